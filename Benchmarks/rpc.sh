#!/usr/bin/env bash
# Unary echo of 64 B with 64 calls in flight on one connection. Target: at least 200,000 calls/s with async handlers.
# Writes Benchmarks/out/rpc.json.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$here/out"
swift build --package-path "$here" -c release --product RPCBench >&2
"$(swift build --package-path "$here" -c release --show-bin-path)/RPCBench" | tee "$here/out/rpc.json"

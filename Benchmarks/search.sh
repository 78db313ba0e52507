#!/usr/bin/env bash
# The lexical index alone: build rate, query latency by shape of query, memory. Arguments: number of chunks (default 100,000).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$here/out"
swift build --package-path "$here" -c release --product SearchBench >&2
"$(swift build --package-path "$here" -c release --show-bin-path)/SearchBench" "$@" | tee "$here/out/search.txt"

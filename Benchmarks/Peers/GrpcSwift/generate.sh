#!/usr/bin/env bash
# Makes Sources/GrpcSwiftPeer/Generated from bench.proto with the plugins of this package's dependencies. They take minutes to build:
# run it when bench.proto has changed, and commit the result.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
protos=$here/../../Protos
out=$here/Sources/GrpcSwiftPeer/Generated
mkdir -p "$out"
for plugin in protoc-gen-swift protoc-gen-grpc-swift-2; do
    swift build --package-path "$here" --product "$plugin"
done
bin=$(swift build --package-path "$here" --show-bin-path)
protoc -I "$protos" --plugin="$bin/protoc-gen-swift" --swift_out="$out" \
    --plugin="$bin/protoc-gen-grpc-swift-2" --grpc-swift-2_out="$out" "$protos/bench.proto"

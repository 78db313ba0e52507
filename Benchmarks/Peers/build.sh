#!/usr/bin/env bash
# Builds the C and C++ peers of `dev/bench rpc` into FOLDER, unless they are newer than their sources.
#
#   Benchmarks/Peers/build.sh FOLDER
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:?usage: build.sh FOLDER}
protos=$here/../Protos
mkdir -p "$out/c" "$out/cpp"

# fresh PROGRAM SOURCE… : whether PROGRAM is newer than all of them.
fresh() {
    [ -x "$1" ] && [ -z "$(find "${@:2}" -newer "$1" -type f | head -n 1)" ]
}

if ! fresh "$out/c-floor" "$here/CFloor" "$here/Shared" "$protos"; then
    protoc-c -I "$protos" --c_out="$out/c" "$protos/bench.proto"
    gcc -std=gnu17 -O2 -Wall -Wextra -Werror -I "$here/Shared" -I "$here/CFloor" -I "$out/c" -o "$out/c-floor" \
        "$here"/CFloor/*.c "$out/c/bench.pb-c.c" -lprotobuf-c
fi
if ! fresh "$out/grpc-cpp" "$here/GrpcCpp" "$here/Shared" "$protos"; then
    protoc -I "$protos" --cpp_out="$out/cpp" --grpc_out="$out/cpp" \
        --plugin=protoc-gen-grpc="$(command -v grpc_cpp_plugin)" "$protos/bench.proto"
    # shellcheck disable=SC2046 # a list of flags
    g++ -std=c++17 -O2 -Wall -Wextra -Werror -I "$here/Shared" -I "$here/GrpcCpp" -I "$out/cpp" -o "$out/grpc-cpp" \
        "$here"/GrpcCpp/*.cc "$out"/cpp/*.cc $(pkg-config --cflags --libs grpc++ protobuf)
fi

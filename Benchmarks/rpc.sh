#!/usr/bin/env bash
# ACP/1 beside other RPC stacks in one run: a C epoll + protobuf-c floor, gRPC C++ and grpc-swift-2. Builds all of them, prints a
# table, writes Benchmarks/out/rpc.json. What is measured, and how, is in Benchmarks/README.md.
#
#   dev/bench rpc [--rounds N] [--seconds S] [--peers ours,c-floor,grpc-cpp,grpc-swift] [--strict]
#
# A figure that is missed is marked; only with --strict is it an error.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../dev/lib.sh"

# What only the other stacks need, and nobody who builds the product.
packages=(g++ pkg-config python3 protobuf-c-compiler libprotobuf-c-dev protobuf-compiler libprotobuf-dev libgrpc++-dev protobuf-compiler-grpc)
missing=()
for package in "${packages[@]}"; do
    [ "$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2> /dev/null)" = installed ] || missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ]; then
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2> /dev/null \
            || fail "packages are missing and need root. Run: sudo apt-get install --no-install-recommends ${missing[*]}"
        as_root=(sudo -n)
    fi
    say "installing ${missing[*]}"
    "${as_root[@]}" bash "$root/dev/setup" --install "${missing[@]}" >&2
fi

# swift_program PACKAGE PRODUCT : builds it for use and prints where it is.
swift_program() {
    swift build --package-path "$1" "${release_flags[@]}" --product "$2" >&2 || fail "the release build of $2 failed"
    echo "$(swift build --package-path "$1" "${release_flags[@]}" --show-bin-path)/$2"
}
say "building the peers; the first time takes some minutes"
built=$here/.build-peers
bash "$here/Peers/build.sh" "$built" >&2 || fail "the C and C++ peers do not build"
ours=$(swift_program "$here" RPCBench)
grpc_swift=$(swift_program "$here/Peers/GrpcSwift" GrpcSwiftPeer)
say "measuring"
exec python3 "$here/rpc.py" --ours "$ours" --c-floor "$built/c-floor" --grpc-cpp "$built/grpc-cpp" \
    --grpc-swift "$grpc_swift" "$@"

# Shared by the scripts in dev/: where things are and how everything is built. Sourced, never run.
# shellcheck shell=bash
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
script=${0##*/}

# The one place for build flags. Warnings are errors by Package.swift's own settings.
debug_flags=()
# The Swift runtime inside the program: an installed acp needs no toolchain and starts faster.
# Exclusivity of accesses is checked in every test, which are debug builds; generics of one module are specialised for the types of another.
release_flags=(-c release --static-swift-stdlib -Xswiftc -enforce-exclusivity=unchecked -Xswiftc -cross-module-optimization)
products=(acp acp-extract)

say() { printf '%s: %s\n' "$script" "$*" >&2; }
# fail MESSAGE [STATUS]
fail() { printf '%s: %s\n' "$script" "$1" >&2; exit "${2:-1}"; }

# Builds the programs for use; prints where they are.
build_release() {
    local product
    for product in "${products[@]}"; do
        swift build --package-path "$root" "${release_flags[@]}" --product "$product" >&2 \
            || fail "the release build of $product failed; the compiler's messages are above"
    done
    swift build --package-path "$root" "${release_flags[@]}" --show-bin-path
}

# Our Swift files, new ones included, generated ones left out; separated by NUL.
swift_files() {
    if git -C "$root" rev-parse --is-inside-work-tree > /dev/null 2>&1; then
        (cd "$root" && git ls-files -z --cached --others --exclude-standard -- '*.swift' ':!:*/Generated/*' ':!:Tests/Protos/TestProtos/*' \
            | while IFS= read -r -d '' file; do [ -e "$file" ] && printf '%s\0' "$file"; done; true)
    else
        (cd "$root" && find Package.swift Sources Tests Benchmarks Fuzz -name '*.swift' -not -path '*/.build*' \
            -not -path '*/Generated/*' -not -path '*/TestProtos/*' -print0 2> /dev/null; true)
    fi
}

#!/usr/bin/env bash
# The main job as a user meets it: start on a new and on an existing data directory, idle memory, 1,000 documents from
# `acp ingest upload` to searchable, and `acp search` as a whole process. Medians; prints a table and writes
# Benchmarks/out/main-job.json.
#
#   dev/bench main-job [--rounds N] [--strict]
#
# What must be reached on 2 cores is in thresholds/main-job.json. A figure that is missed is marked; only with --strict is it an error.
# ACP_BIN_DIR names the release build; dev/bench sets it.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../dev/lib.sh"
acp=${ACP_BIN_DIR:?dev/bench sets it}/acp
rounds=3
strict=
while [ "$#" -gt 0 ]; do
    case "$1" in
        --rounds)
            rounds=${2-}
            [[ $rounds =~ ^[1-9][0-9]?$ ]] || fail "--rounds takes 1 to 99" 64
            shift 2
            ;;
        --strict) strict=--strict; shift ;;
        *) fail "usage: dev/bench main-job [--rounds N] [--strict]" 64 ;;
    esac
done
searches=21
documents=1000
mkdir -p "$here/out"
work=$(mktemp -d "${TMPDIR:-/tmp}/acp-bench-XXXXXX")
chmod 755 "$work"
clean_up() {
    "$acp" down > /dev/null 2>&1 || true
    rm -rf "$work"
}
trap clean_up EXIT

# milliseconds COMMAND… : how long it takes; its output is dropped.
milliseconds() {
    local start=${EPOCHREALTIME/[.,]/}
    "$@" > "$work/last.log" 2>&1 || { cat "$work/last.log" >&2; return 1; }
    echo $(((${EPOCHREALTIME/[.,]/} - start) / 1000))
}
median() { sort -n | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'; }

# Proportional memory of every process below PID and of the servers that run in the data directory, in kB.
memory() {
    local total=0 pid kb command
    for pid in /proc/[0-9]*; do
        command=$(tr '\0' ' ' < "$pid/cmdline" 2> /dev/null) || continue
        case "$command $(readlink "$pid/cwd" 2> /dev/null)" in
            *"$ACP_DATA_DIR"* | *"$acp"* | *acp-extract* | postgres:*) ;;
            *) continue ;;
        esac
        kb=$(awk '/^Pss:/ { print $2 }' "$pid/smaps_rollup" 2> /dev/null) || continue
        total=$((total + ${kb:-0}))
    done
    echo "$total"
}

# About 2 KB of text each, every one different.
mkdir "$work/documents"
awk -v count="$documents" -v folder="$work/documents" 'BEGIN {
    srand(20261122)
    words = split("invoice payment refund customer warehouse carrier label portal order article inspection event service limit request archive contract deadline approval clerk report retention currency supplier shipment postcode barcode scanner interface registration", word, " ")
    for (n = 1; n <= count; n++) {
        file = folder "/document-" n ".txt"
        print "Document number " n " about case C-" (100000 + n) "." > file
        for (line = 1; line <= 22; line++) {
            text = ""
            for (w = 1; w <= 11; w++) text = text word[int(rand() * words) + 1] " "
            print text "in step " int(rand() * 1000) "." > file
        }
        close(file)
    }
}'

new=() ; existing=() ; ingest=() ; search=()
for round in $(seq "$rounds"); do
    export ACP_DATA_DIR=$work/data-$round ACP_CONFIG=$work/config-$round.toml
    new+=("$(milliseconds "$acp" up --detach)")
    "$acp" down > /dev/null 2>&1
    existing+=("$(milliseconds "$acp" up --detach)")
    if [ "$round" -eq 1 ]; then sleep 5; idle=$(memory); fi
    ingest+=("$(milliseconds "$acp" ingest upload "$work/documents" --wait)")
    if [ "$round" -eq "$rounds" ]; then
        for _ in $(seq "$searches"); do search+=("$(milliseconds "$acp" search "refund approval C-100500" -o json)"); done
    fi
    "$acp" down > /dev/null 2>&1
done
middle() { printf '%s\n' "$@" | median; }
printf '{"benchmark": "main-job", "up_new_ms": %s, "up_existing_ms": %s, "idle_pss_kb": %s, "documents": %s, "ingest_to_searchable_ms": %s, "search_process_ms": %s}\n' \
    "$(middle "${new[@]}")" "$(middle "${existing[@]}")" "$idle" "$documents" "$(middle "${ingest[@]}")" "$(middle "${search[@]}")" \
    > "$here/out/main-job.json"
python3 "$here/thresholds.py" main-job "$here/out/main-job.json" $strict

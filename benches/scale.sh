#!/bin/sh
# Measures how libibt scales with the number of threads, of files and of bytes.
#
#   scale.sh [--small] [--only threads,files,bytes] [--repetitions M] [--dir DIR] [--out DIR]
#
#   --small        fewer files and bytes: a few minutes
#   --only         only these sweeps:
#                  threads  a full of K with 1, 2, 4, 8, 16 threads, but no more than there are cores
#                  files    S of 2^16 to 2^20 files of 1 kB
#                  bytes    1, 2, 4, 8, 16 GB in files of 64 MB that compress to half
#   --repetitions  the number of repetitions, 3 by default
#   --dir          the directory for trees and stores, build/bench by default
#   --out          the directory for scale.tsv, scale.md and scale.svg, DIR/results by default
#
# A size that does not fit on the disk is left out, and a message says so.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=benches/common.sh
. benches/common.sh

sweeps="threads files bytes" repetitions=3 dir=build/bench out=''
file_counts="65536 131072 262144 524288 1048576"
gigabytes="1 2 4 8 16" bytes_in_one=1000000000

while [ $# -gt 0 ]; do
    case $1 in
    --small)
        export IBT_BENCH_SMALL=1
        file_counts="4096 8192 16384"
        bytes_in_one=62500000
        ;;
    --only) shift && sweeps=$(echo "$1" | tr , ' ') ;;
    --repetitions) shift && repetitions=$1 ;;
    --dir) shift && dir=$1 ;;
    --out) shift && out=$1 ;;
    --help) usage 0 ;;
    *) usage 2 >&2 ;;
    esac
    shift
done
open_directories
export source="$room/tree" store="$room/store" cache="$room/cache" dest="$room/restored"

need_tools
install_missing
build_ibt

# sample SWEEP X OPERATION COMMAND...: runs the command and writes its time and memory.
sample() {
    sweep=$1 x=$2 operation=$3
    shift 3
    clock "$@" || { tail -n 5 "$room/log" >&2; fail "$operation failed"; }
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$sweep" "$x" "$operation" "$repetition" "$seconds" "$rss_kb" |
        tee -a "$results/scale.tsv" |
        awk '{ printf "  %-8s %9s %-9s %9.3f s %6d MB of memory\n", $1, $2, $3, $5, $6 / 1024 }'
}

empty_store() {
    discard "$store" "$cache" "$dest"
    mkdir "$store" "$cache"
}

restore_sample() {
    mkdir "$dest"
    memory_mb=$(du -sm "$source" | cut -f 1)
    sample "$1" "$2" restore sh benches/tools.sh ibt restore
    memory_mb=
}

# fits MEGABYTES NAME: true if this much fits on the disk; else prints that NAME is left out. Sets $needed.
fits() {
    needed=$1
    ! make_room "$needed" || return 0
    say "$2 and its backup do not fit on the disk: left out"
    return 1
}

# repeat FUNCTION X: calls the function with X $repetitions times, each time with an empty store and a warm tree.
repeat() {
    repetition=1
    while [ "$repetition" -le "$repetitions" ]; do
        empty_store
        # Removes the discarded paths if the room is needed. The result is ignored: $needed includes the tree, which is
        # on the disk already, so less free room is enough.
        make_room "${needed:-0}" || :
        settle
        warm "$source"
        "$1" "$2"
        repetition=$((repetition + 1))
    done
}

# ---- threads

sweep_threads() {
    workloads K
    workloads start K "$source"
    for threads in 1 2 4 8 16; do
        if [ $threads -gt "$(nproc)" ]; then
            say "$threads threads: there are only $(nproc) cores"
        else
            repeat with_threads $threads
        fi
    done
}

with_threads() {
    sample threads "$1" full taskset -c "$(first_cores "$1")" \
        "$IBT" full "$source" --key tree --threads "$1" --store "$store" --cache "$cache" --quiet
}

# first_cores N: prints the first N cores that this process may use, as a list for taskset.
first_cores() {
    python3 -c 'import os, sys; print(*sorted(os.sched_getaffinity(0))[:int(sys.argv[1])], sep=",")' "$1"
}

# ---- files

sweep_files() {
    for count in $file_counts; do
        # A file of 1 kB needs a block and an inode in the tree, and as much again when it is restored.
        fits $((count * 12 / 1024)) "$count files" || continue
        export IBT_BENCH_FILES="$count"
        workloads start S "$source"
        repeat with_files "$count"
        discard "$source"
    done
}

with_files() {
    sample files "$1" full sh benches/tools.sh ibt full
    sample files "$1" nochange sh benches/tools.sh ibt incr
    workloads step S "$repetition" "$source"
    settle
    sample files "$1" incr sh benches/tools.sh ibt incr
    restore_sample files "$1"
}

# ---- bytes

sweep_bytes() {
    for gb in $gigabytes; do
        bytes=$((gb * bytes_in_one))
        fits $((bytes * 3 / 1048576)) "$gb GB" || continue
        python3 benches/fill.py half "$source" $bytes
        repeat with_bytes "$(awk "BEGIN { print $bytes / 1e9 }")"
        discard "$source"
    done
}

with_bytes() {
    sample bytes "$1" full sh benches/tools.sh ibt full
    restore_sample bytes "$1"
}

about_machine "$dir" >"$results/machine.txt"
printf 'sweep\tx\toperation\trepetition\tseconds\trss_kb\n' >"$results/scale.tsv"
for sweep in $sweeps; do
    discard "$room"
    mkdir -p "$room"
    "sweep_$sweep"
done
rm -rf "$room" "$dir/discarded"
python3 benches/report.py scale "$results"

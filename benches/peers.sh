#!/bin/sh
# Compares libibt with other backup tools on the trees of workloads.sh. Measures the time, the memory and the size of
# a full backup, of increments, of an increment without changes, and of the restore.
#
#   peers.sh [--small] [--only K,D] [--tools ibt,tar] [--rounds N] [--repetitions M] [--peers-once]
#            [--chain] [--dir DIR] [--out DIR]
#
#   --small        smaller trees, one increment, and --peers-once: within ten minutes
#   --only         only these workloads of K, D, S, V, L
#   --tools        only these of tar, ibt, ibt-memory, duplicity, rdiff-backup, restic, rustic, borg, dar, bup;
#                  by default all that are installed or that apt-get can install; rustic is not in Debian
#   --rounds       the number of increments, 2 by default
#   --repetitions  the number of repetitions, each from empty stores, 3 by default
#   --peers-once   after the first repetition run only tar and libibt: the others take most of the time
#   --chain        also restores the last of 30 increments of L and of 10 of D, and fulls of the same trees
#   --dir          the directory for trees and stores, build/bench by default
#   --out          the directory for samples.tsv, peers.md, summary.md and peers.svg, DIR/results by default
#
# Within a repetition each operation runs with all tools, one after the other, so that a disturbance of the machine
# disturbs all of them. Every second repetition the order of the tools is reversed. Ratios are computed within a
# repetition. The trees that tar and libibt restore are compared with the source.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=benches/common.sh
. benches/common.sh

workloads="K D S V L"
tools="tar ibt ibt-memory duplicity rdiff-backup restic rustic borg dar bup"
rounds=2 repetitions=3 peers_once='' dir=build/bench out='' chain=

while [ $# -gt 0 ]; do
    case $1 in
    --small)
        export IBT_BENCH_SMALL=1
        peers_once=1 rounds=1
        ;;
    --only) shift && workloads=$(echo "$1" | tr , ' ') ;;
    --tools) shift && tools=$(echo "$1" | tr , ' ') ;;
    --rounds) shift && rounds=$1 ;;
    --repetitions) shift && repetitions=$1 ;;
    --peers-once) peers_once=1 ;;
    --chain) chain=1 ;;
    --dir) shift && dir=$1 ;;
    --out) shift && out=$1 ;;
    --help) usage 0 ;;
    *) usage 2 >&2 ;;
    esac
    shift
done
open_directories
memory=/dev/shm/ibt-bench.$$
export source="$room/tree"

# ---- which tools

need_tools
need mkfs.ext4 e2fsprogs
install_missing
build_ibt

# command_of TOOL: prints the name of the tool's package and the name of its command.
command_of() {
    case $1 in borg) echo borgbackup borg ;; *) echo "$1 $1" ;; esac
}

# is_usable TOOL: true if the tool is installed. Installs it if possible.
is_usable() {
    case $1 in
    ibt | tar) return ;;
    ibt-memory) [ -d /dev/shm ] && return ;;
    rustic) command -v rustic >/dev/null && return ;;
    *) # shellcheck disable=SC2046 # two words
        set -- $(command_of "$1") && (missing='' && need "$2" "$1" && install_missing) && return ;;
    esac
    say "$1 is not there: left out"
    return 1
}

usable=
for tool in $tools; do
    ! is_usable "$tool" || usable="$usable $tool"
done

# ---- one operation

# take TOOL: selects the tool and sets its directories.
take() {
    tool=$1
    case $tool in ibt-memory) home=$memory ;; *) home=$room/$tool ;; esac
    export store="$home/store" cache="$home/cache"
}

# operate OPERATION [NAME]: runs the operation with the selected tool and writes a sample under NAME. If a tool other
# than tar and libibt fails, the status is 1 and the rest of this workload runs without this tool.
operate() {
    bytes=$(bytes_below "$store")
    clock sh benches/tools.sh "$tool" "$1" || {
        tail -n 5 "$room/log" >&2
        case $tool in ibt* | tar) fail "$tool $1 failed on $workload" ;; esac
        say "  $tool $1 failed: left out of $workload"
        present=$(echo " $present " | sed "s/ $tool / /")
        return 1
    }
    bytes=$(($(bytes_below "$store") - bytes))
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$workload" "$tool" "${2:-$1}" "$repetition" "$seconds" "$rss_kb" "$bytes" |
        tee -a "$results/samples.tsv" |
        awk '{ printf "  %-2s %-13s %-13s %9.3f s %6d MB of memory %8.3f MB stored\n", $1, $2, $3, $5, $6 / 1024, $7 / 1e6 }'
}

# in_turn OPERATION [NAME]: runs the operation with every tool in $present.
in_turn() {
    for one in $present; do
        take "$one"
        operate "$@" || continue
    done
}

# restore OPERATION TREE: restores with every tool that has this operation, and compares the restored tree with TREE
# in the first repetition. Restored trees on disk stay until the end of the repetition: see discard.
restore() {
    for one in $present; do
        take "$one"
        can "$1" || continue
        export dest="$home/$1" first
        first=$(first_stamp)
        mkdir "$dest"
        memory_mb=$megabytes
        if operate "$1" && [ "$repetition" = 1 ]; then compare "$2"; fi
        [ "$tool" != ibt-memory ] || rm -rf "$dest"
        memory_mb=
    done
}

# can OPERATION: true if the selected tool has this operation here. Only libibt and tar restore older snapshots, and
# only libibt restores one file.
can() {
    case $tool-$1 in *-restore | ibt*-* | tar-restore_full) ;; *) return 1 ;; esac
}

# Prints the stamp of libibt's oldest snapshot in $store.
first_stamp() {
    find "$store" -name 'tree.state.*' | sort | sed -n '1s/.*state\.\([^.]*\.[^.]*\)\..*/\1/p'
}

# compare TREE: fails unless $dest is the same as TREE. For tools other than libibt and tar only the size is compared.
compare() {
    case $tool in ibt* | tar) ;; *)
        [ "$(bytes_below "$dest")" = "$(bytes_below "$1")" ] || fail "$tool did not restore all of $workload"
        return ;;
    esac
    expect_same "$1" "$dest" "$tool"
}

# ---- one repetition of one workload

repeat() {
    discard "$room" "$memory"
    mkdir -p "$room"
    workloads start "$workload" "$source"
    fitting
    for one in $present; do
        take "$one"
        mkdir -p "$store" "$cache"
        export n=0
        sh benches/tools.sh "$tool" init >>"$room/log" 2>&1 || fail "$tool could not begin: see $room/log"
    done
    settle
    warm "$source"

    in_turn full
    n=1
    [ "$repetition" != 1 ] || cp -a "$source" "$room/first"
    while [ $n -le "$steps" ]; do
        workloads step "$workload" $n "$source"
        settle
        warm "$source"
        in_turn incr incr.$n
        n=$((n + 1))
    done
    settle
    in_turn incr nochange
    n=$((n + 1))

    restore restore "$source"
    restore restore_full "$room/first"
    export path && path=$(small_file)
    [ -z "$path" ] || one_file
}

# Sets $megabytes to the size of the tree. Removes ibt-memory from $present if the memory has no room for its store
# and the restored tree.
fitting() {
    megabytes=$(du -sm "$source" | cut -f 1)
    make_room $((megabytes * 20)) || fail "$room has no room for $megabytes MB twenty times"
    case $present in *ibt-memory*) ;; *) return 0 ;; esac
    [ "$(free_mb /dev/shm)" -le $((megabytes * 3)) ] || return 0
    say "  /dev/shm has no room: ibt-memory left out of $workload"
    present=$(echo " $present " | sed 's/ ibt-memory / /')
}

# Leaves only tar and libibt in $present.
only_reference_and_ours() {
    remaining=
    for one in $present; do
        case $one in tar | ibt*) remaining="$remaining $one" ;; esac
    done
    present=$remaining
}

reversed() {
    last_first=
    for one in "$@"; do last_first="$one $last_first"; done
    echo "$last_first"
}

# Prints the path of a small file in the middle of the tree, or nothing if the tree has at most 100 small files.
small_file() {
    (cd "$source" && find . -type f -size -8k -name '*[a-z0-9]' | LC_ALL=C sort |
        awk '{ path[NR] = $0 } END { if (NR > 100) print substr(path[int(NR / 2)], 3) }')
}

one_file() {
    for one in $present; do
        take "$one"
        can one_file || continue
        export dest="$home/one_file"
        mkdir "$dest"
        operate one_file
        cmp "$source/$path" "$dest/$path" || fail "$tool restored another $path"
    done
}

# ---- a long chain

# restore_chain WORKLOAD LENGTH: restores the last snapshot of a chain of LENGTH increments, and a full of the same tree
# from another store.
restore_chain() {
    workload=$1 chain_length=$2 n=0
    workloads "$workload"
    discard "$room"
    take ibt
    mkdir -p "$store" "$cache"
    workloads start "$workload" "$source"
    sh benches/tools.sh ibt full
    while [ "$n" -lt "$chain_length" ]; do
        n=$((n + 1))
        workloads step "$workload" "$n" "$source"
        sh benches/tools.sh ibt incr
    done
    mkdir "$room/flat"
    store=$room/flat sh benches/tools.sh ibt full
    repetition=1
    while [ "$repetition" -le "$repetitions" ]; do
        store=$home/store
        restore_tip restore_chain
        store=$room/flat
        restore_tip restore_flat
        repetition=$((repetition + 1))
    done
}

# restore_tip NAME: restores the newest snapshot of $store and writes the sample under NAME.
restore_tip() {
    export dest="$home/$1"
    mkdir "$dest"
    operate restore "$1"
    compare "$source"
    discard "$dest"
}

# ---- all of it

trap 'rm -rf "$memory"' EXIT
trap 'exit 130' INT TERM

about_machine "$dir" >"$results/machine.txt"
for tool in $usable; do
    take "$tool"
    [ "$tool" = ibt-memory ] || sh benches/tools.sh "$tool" version
done >"$results/versions.txt"
printf 'workload\ttool\toperation\trepetition\tseconds\trss_kb\tbytes\n' >"$results/samples.tsv"

say "Workloads"
# shellcheck disable=SC2086 # a list
workloads $workloads
for workload in $workloads; do
    present=$usable
    count_steps
    repetition=1
    while [ "$repetition" -le "$repetitions" ]; do
        say "$workload, repetition $repetition of $repetitions"
        [ "$repetition" = 1 ] || [ -z "$peers_once" ] || only_reference_and_ours
        # The first tool finds memory and disk in another state than the last tool.
        # shellcheck disable=SC2086 # a list
        [ "$repetition" = 1 ] || present=$(reversed $present)
        repeat
        repetition=$((repetition + 1))
    done
done
if [ -n "$chain" ]; then
    restore_chain L 30
    restore_chain D 10
fi
rm -rf "$room" "$dir/discarded"
python3 benches/report.py peers "$results"

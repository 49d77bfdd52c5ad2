#!/bin/sh
# Builds libibt with other parameters and measures the bytes, the time and the memory of a chain of backups.
#
#   parameters.sh [--small] [--only K,D] [--variants today,level-1] [--rounds N] [--dir DIR] [--out DIR]
#   parameters.sh --check
#
#   --small     smaller trees: minutes instead of an hour
#   --only      only these workloads of K, D, V, L (see workloads.sh)
#   --variants  only these variants of the list below; by default all
#   --rounds    the number of increments, 5 by default
#   --dir       the directory for libraries, trees and stores, build/bench by default
#   --out       the directory for parameters.tsv and parameters.md, DIR/results by default
#   --check     only checks that each variant still changes the sources
#
# A variant is the library built from src/ with one or a few constants changed. In each round the tree changes, and
# all variants back it up one after the other. At the end each variant restores the newest snapshot, which is compared
# with the tree.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=benches/common.sh
. benches/common.sh

# NAME WORKLOADS [FILE EXPRESSION]...
# EXPRESSION is a sed expression without spaces, which changes src/FILE. If FILE is "level", EXPRESSION is the argument
# of --level instead. A variant runs only on the workloads on which it makes a difference. The variant "again" is the
# same as "today": differences as small as between these two have no meaning.
list_variants() {
    cat <<'END'
today           K,D,V,L
again           K,D,V,L
block-512       K,L      delta/params.rs s/2048/512/
block-1k        K,L      delta/params.rs s/2048/1024/
block-4k        K,L      delta/params.rs s/2048/4096/
block-8k        K,L      delta/params.rs s/2048/8192/
long-block-2k   D,V      delta/params.rs s/clamp(4096/clamp(2048/
long-block-8k   D,V      delta/params.rs s/clamp(4096/clamp(8192/
long-block-16k  D,V      delta/params.rs s/clamp(4096/clamp(16384/
strong-8        K,D,V,L  delta/params.rs s/strong_len:.[A-Z].*LEN/strong_len:8/
strong-12       K,D,V,L  delta/params.rs s/strong_len:.[A-Z].*LEN/strong_len:12/
strong-20       K,D,V,L  delta/params.rs s/strong_len:.[A-Z].*LEN/strong_len:20/
signed-16k      K        delta/params.rs /FOR_CONTENTS:/s/256/16/
signed-64k      K        delta/params.rs /FOR_CONTENTS:/s/256/64/
signed-1m       K        delta/params.rs /FOR_CONTENTS:/s/256/1024/
sum-1/4         K,D,V,L  backup/small.rs s,data_len./.2),data_len/4),
sum-1           K,D,V,L  backup/small.rs s,data_len./.2),data_len),
frame-1m        K,D,V,L  format/frame/mod.rs /^pub.const.FRAME/s/4/1/ format/frame/cache.rs s/mul(FRAME_LEN/&*4/
frame-2m        K,D,V,L  format/frame/mod.rs /^pub.const.FRAME/s/4/2/ format/frame/cache.rs s/mul(FRAME_LEN/&*2/
frame-8m        K,D,V,L  format/frame/mod.rs /^pub.const.FRAME/s/4/8/ format/frame/cache.rs s,mul(FRAME_LEN,&/2,
short-128k      K,D,V,L  format/frame/mod.rs /^pub.const.SHORT/s/512/128/
short-256k      K,D,V,L  format/frame/mod.rs /^pub.const.SHORT/s/512/256/
short-1m        K,D,V,L  format/frame/mod.rs /^pub.const.SHORT/s/512/1024/
short-2m        K,D,V,L  format/frame/mod.rs /^pub.const.SHORT/s/512/2048/
short-4m        K,D,V,L  format/frame/mod.rs /^pub.const.SHORT/s/512/4096/
level-1         K,D,V,L  level 1
level-2         K,D,V,L  level 2
level-4         K,D,V,L  level 4
level-5         K,D,V,L  level 5
level-6         K,D,V,L  level 6
END
}

workloads="K D V L"
variants='' rounds=5 dir=build/bench out='' check=

while [ $# -gt 0 ]; do
    case $1 in
    --small) export IBT_BENCH_SMALL=1 ;;
    --only) shift && workloads=$(echo "$1" | tr , ' ') ;;
    --variants) shift && variants=$(echo "$1" | tr , ' ') ;;
    --rounds) shift && rounds=$1 ;;
    --dir) shift && dir=$1 ;;
    --out) shift && out=$1 ;;
    --check) check=1 ;;
    --help) usage 0 ;;
    *) usage 2 >&2 ;;
    esac
    shift
done
# change NAME WORKLOADS [FILE EXPRESSION]...: changes the sources in $copy. Fails if an expression changes nothing.
change() {
    name=$1
    shift 2
    while [ $# -gt 0 ]; do
        if [ "$1" != level ]; then
            sed "$2" "src/$1" >"$copy/src/$1"
            ! cmp -s "src/$1" "$copy/src/$1" || fail "$name: $2 changes nothing in src/$1"
        fi
        shift 2
    done
}

if [ -n "$check" ]; then
    copy=$(mktemp -d)
    cp -R src "$copy"
    # shellcheck disable=SC2086 # words
    list_variants | (while read -r line; do change $line; done) && ended=0 || ended=1
    rm -rf "$copy"
    exit "$ended"
fi

open_directories
source=$room/tree

need_tools
need mkfs.ext4 e2fsprogs
install_missing
build_ibt

# variant NAME: prints the variant's line of the list.
variant() { list_variants | awk -v name="$1" '$1 == name'; }

all=$(list_variants | awk '{ print $1 }')
: "${variants:=$all}"
for name in $variants; do
    [ -n "$(variant "$name")" ] || fail "there is no variant $name"
done

# ---- building

# build NAME: makes $dir/libraries/NAME/libibt.so.0. A library that was built from the same sources before is used
# again.
build() {
    copy=$dir/copy
    rm -rf "$copy"
    mkdir -p "$copy"
    cp -R src Cargo.toml Cargo.lock CMakeLists.txt LICENSE* CHANGELOG.md abi benches cmake docs examples-c include "$copy"
    # shellcheck disable=SC2046 # words
    change $(variant "$1")
    sources=$(cd "$copy" && find src Cargo.* -type f | LC_ALL=C sort | xargs cksum | cksum | cut -d ' ' -f 1)
    library=$dir/libraries/made-from-$sources
    if [ ! -f "$library/libibt.so.0" ]; then
        say "Building $1"
        mkdir -p "$library"
        { cmake -S "$copy" -B "$dir/cmake" -DBUILD_TESTING=OFF -DIBT_CARGO_TARGET_DIR="$dir/cargo" &&
            nice -n 5 cmake --build "$dir/cmake" --target ibt_shared; } >"$library/log" 2>&1 ||
            fail "$1 cannot be built: see $library/log"
        cp "$dir/cmake/lib/libibt.so.0" "$library/libibt.so.0"
    fi
    ln -sfn "${library##*/}" "$dir/libraries/$(directory_of "$1")"
}

directory_of() { echo "$1" | tr / _; }

# ---- one operation

# take NAME: selects the variant: sets its directories, its level and the library that ibt loads.
take() {
    taken=$1
    directory=$(directory_of "$taken")
    store=$room/$directory/store cache=$room/$directory/cache
    export LD_LIBRARY_PATH="$dir/libraries/$directory"
    level=$(variant "$taken" | sed -n 's/.* level //p')
}

# operate OPERATION COMMAND ARGUMENT...: runs ibt with the arguments and writes a sample.
operate() {
    operation=$1
    shift
    clock "$IBT" "$@" --store "$store" --cache "$cache" --quiet || {
        tail -n 5 "$room/log" >&2
        fail "$operation of $taken failed on $workload"
    }
    case $operation in restore) added='0 0 0 0 0' ;; *) added=$(bytes_of_newest) ;; esac
    # shellcheck disable=SC2086 # the numbers of $added
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' \
        "$workload" "$taken" "$operation" "$seconds" "$user_seconds" "$system_seconds" "$rss_kb" $added |
        tee -a "$results/parameters.tsv" |
        awk '{ printf "  %-2s %-15s %-8s %8.3f s %8.2f s of CPU %4d MB of memory %7.1f MB stored\n",
            $1, $2, $3, $4, $5 + $6, $7 / 1024, ($8 + $9 + $10 + $11 + $12) / 1e6 }'
}

# Prints the bytes of the newest snapshot's own files: full, created, updated, sigvault, state.
bytes_of_newest() {
    find "$store" -name 'tree.*.zst' -printf '%f %s\n' | awk '
        { split($1, part, "."); stamp = part[3] "." part[4]; bytes[stamp, part[2]] += $2
          if (stamp > newest) newest = stamp }
        END { printf "%d %d %d %d %d\n", bytes[newest, "full"], bytes[newest, "created"],
            bytes[newest, "updated"], bytes[newest, "sigvault"], bytes[newest, "state"] }'
}

# back_up full|incr [NAME]: makes a backup with every variant in $present. NAME is the operation in the samples.
back_up() {
    for one in $present; do
        take "$one"
        mkdir -p "$store" "$cache"
        operate "${2:-$1}" "$1" "$source" --key tree ${level:+--level "$level"}
    done
}

# Restores with every variant in $present and compares the restored tree with the source.
restore() {
    for one in $present; do
        take "$one"
        dest=$room/restored/$(directory_of "$one")
        mkdir -p "$dest"
        warm "$store"
        operate restore restore tree "$dest"
        expect_same "$source" "$dest" "$one"
        # Removing a tree takes long and slows down the next operations: see discard.
        discard "$dest"
        make_room $((megabytes * 3)) || fail "$room has no room for one more $workload"
    done
}

# ---- one workload

run() {
    present=
    for one in $variants; do
        case $(variant "$one" | awk '{ print "," $2 "," }') in *",$workload,"*) present="$present $one" ;; esac
    done
    [ -n "$present" ] || return 0
    discard "$room"
    mkdir -p "$room"
    workloads start "$workload" "$source"
    megabytes=$(du -sm "$source" | cut -f 1)
    # shellcheck disable=SC2086 # words
    set -- $present
    make_room $((megabytes * ($# + 3))) ||
        fail "$room has no room for the $workload of $# variants"
    settle
    warm "$source"
    back_up full
    n=1
    while [ $n -le "$steps" ]; do
        workloads step "$workload" $n "$source"
        settle
        warm "$source"
        back_up incr incr.$n
        n=$((n + 1))
    done
    restore
}

# ---- all of it

for name in $variants; do
    build "$name"
done

about_machine "$dir" >"$results/machine.txt"
printf 'workload\tvariant\toperation\tseconds\tuser_seconds\tsystem_seconds\trss_kb\tfull\tcreated\tupdated\tsigvault\tstate\n' \
    >"$results/parameters.tsv"

say "Workloads"
# shellcheck disable=SC2086 # a list
workloads $workloads
for workload in $workloads; do
    count_steps
    say "$workload, $steps increments"
    run
done
rm -rf "$room" "$dir/copy" "$dir/discarded"
python3 benches/report.py parameters "$results"

# Sourced by peers.sh, scale.sh and parameters.sh, from the repository's root: building ibt, the clock, sizes.
# $room is a directory of the script for what is made on the way.
# shellcheck shell=sh disable=SC2034,SC2154 # variables go both ways

say() { printf '%s\n' "$*"; }
fail() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# usage STATUS: prints the comment at the top of the script and exits.
usage() {
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
    exit "$1"
}

# Makes $dir and $out, absolute from here on, and sets $results, the latter, and $room.
open_directories() {
    mkdir -p "$dir" "${out:=$dir/results}"
    dir=$(cd "$dir" && pwd) results=$(cd "$out" && pwd) room=$dir/run
}

workloads() { sh benches/workloads.sh "$dir" "$@"; }

# Sets $steps: as many as $rounds, or as $workload has.
count_steps() {
    offered=$(workloads rounds "$workload")
    steps=$rounds
    [ "$steps" -le "$offered" ] || { say "$workload has only $offered rounds"; steps=$offered; }
}

# expect_same TREE RESTORED WHO: fails unless they are the same.
expect_same() {
    difference=$(rsync -aHnc --delete --itemize-changes "$1/" "$2/" | head -n 10)
    [ -z "$difference" ] || fail "$3 restored something else on $workload:
$difference"
}

# The tools of the benchmark itself; a script adds what else it needs before install_missing.
need_tools() {
    # shellcheck source=tests/support/tools.sh
    . tests/support/tools.sh
    need cc gcc libc6-dev
    need make make
    need cmake cmake
    need rsync rsync
    need zstd zstd
    need python3 python3
    need sqlite3 sqlite3
    need xz xz-utils
    [ -x /usr/bin/time ] || need no-such-command time
    need_rust "$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)"
}

# Builds the example command line over the shared library, optimised, and exports IBT, its path.
# IBT may name one built before.
build_ibt() {
    if [ -z "${IBT-}" ]; then
        say "Building libibt and its example command line"
        mkdir -p build
        { cmake -S . -B build && cmake --build build --target ibt_tool; } >build/benches.log 2>&1 ||
            fail "the build failed: see build/benches.log"
        IBT=$PWD/build/ibt
    fi
    [ -x "$IBT" ] || fail "there is no $IBT"
    export IBT
}

# clock COMMAND...: runs it and sets $seconds, $user_seconds and $system_seconds of CPU, and $rss_kb: the peak of the
# largest process below it.
# What others wrote before must not be paid for within, so dirty pages are flushed first, and $memory_mb are at hand.
clock() {
    sync
    [ -z "${memory_mb-}" ] || touch_memory "$memory_mb"
    began=$(date +%s%N)
    command /usr/bin/time -q -o "$room/rss" -f '%M %U %S' "$@" >>"$room/log" 2>&1 || return
    ended=$(date +%s%N)
    microseconds=$(((ended - began) / 1000))
    seconds=$(printf '%d.%06d' $((microseconds / 1000000)) $((microseconds % 1000000)))
    read -r rss_kb user_seconds system_seconds <"$room/rss"
}

# bytes_below DIR [NAME-PATTERN]: what its files hold.
bytes_below() {
    [ -d "$1" ] || { echo 0; return; }
    find "$1" -type f -name "${2:-*}" -printf '%s\n' | awk '{ sum += $1 } END { printf "%d\n", sum }'
}

# Reads all of TREE, so that the page cache is warm. tar would not read into /dev/null itself.
warm() { tar -cf - -C "$1" . | cat >/dev/null; }

# discard PATH...: takes them away so that what follows is not slowed down. For minutes after an inode was freed ext4
# does not give it out again, and looks at all such ones whenever a file is made: after 16,384 files were removed,
# making as many took 18 s instead of 2 s. So what is on the disk is put aside until make_room or the end.
discard() {
    for old in "$@"; do
        case $old in
        "$dir"/*)
            [ ! -e "$old" ] || { mkdir -p "$dir/discarded" && mv "$old" "$dir/discarded/$(date +%s%N)"; }
            ;;
        *) rm -rf "$old" ;;
        esac
    done
}

# make_room MEGABYTES: true if they are free, if need be after removing what was put aside.
make_room() {
    [ "$(free_mb "$dir")" -le "$1" ] || return 0
    rm -rf "$dir/discarded"
    sync
    [ "$(free_mb "$dir")" -gt "$1" ]
}

# touch_memory MEGABYTES: has so much memory at hand, half of all at most. The host of a virtual machine may take free
# memory back: what is restored then waits until it comes again, for longer than the restore takes.
touch_memory() {
    half=$(awk '/^MemTotal/ { printf "%d", $2 / 2048 }' /proc/meminfo)
    python3 -c 'import sys; held = bytearray(int(sys.argv[1]) << 20); held[::4096] = bytes(len(held[::4096]))' \
        "$(($1 < half ? $1 : half))"
}

# Files touched just now are suspect to every tool that goes by times.
settle() { sleep 3; }

# free_mb DIR: what fits there; in memory, no more than half of what is free.
free_mb() {
    on_disk=$(df -Pm "$1" | awk 'NR == 2 { print $4 }')
    in_memory=$(awk '/^MemAvailable/ { printf "%d\n", $2 / 2048 }' /proc/meminfo)
    if [ "$(stat -f -c %T "$1")" = tmpfs ] && [ "$in_memory" -lt "$on_disk" ]; then
        echo "$in_memory"
    else
        echo "$on_disk"
    fi
}

# One line: machine, file system of DIR, day.
about_machine() {
    printf '%s, %s cores, %s GB of memory, Linux %s, %s, %s\n' \
        "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)" \
        "$(awk '/^MemTotal/ { printf "%.0f", $2 / 1048576 }' /proc/meminfo)" \
        "$(uname -r | sed 's/-.*//')" "$(findmnt -n -o FSTYPE -T "$1")" "$(date -u +%Y-%m-%d)"
}

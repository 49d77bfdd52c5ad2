# Functions of peers.sh, scale.sh and parameters.sh, which source this file from the repository's root: they build
# ibt, measure times, and count sizes. $room is the script's directory for temporary files.
# shellcheck shell=sh disable=SC2034,SC2154 # the scripts and this file use each other's variables

unset IBT_STORE IBT_CACHE IBT_KEY

say() { printf '%s\n' "$*"; }
fail() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# usage STATUS: prints the comment at the top of the script and exits.
usage() {
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
    exit "$1"
}

# Makes the directories $dir and $out. Sets $dir to its absolute path, $results to the absolute path of $out, and
# $room.
open_directories() {
    mkdir -p "$dir" "${out:=$dir/results}"
    dir=$(cd "$dir" && pwd) results=$(cd "$out" && pwd) room=$dir/run
}

workloads() { sh benches/workloads.sh "$dir" "$@"; }

# Sets $steps to $rounds, or to the number of rounds of $workload if that is less.
count_steps() {
    offered=$(workloads rounds "$workload")
    steps=$rounds
    [ "$steps" -le "$offered" ] || { say "$workload has only $offered rounds"; steps=$offered; }
}

# expect_same TREE RESTORED WHO: fails unless both trees are the same. WHO names the tool in the message.
expect_same() {
    difference=$(rsync -aHnc --delete --itemize-changes "$1/" "$2/" | head -n 10)
    [ -z "$difference" ] || fail "$3 restored something else on $workload:
$difference"
}

# Requires the tools that every benchmark needs. A script may require more tools before it calls install_missing.
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

# Builds the example command line and the shared library, optimised, and exports the path of the command line as
# IBT. If IBT is already set, it is the path of a command line to use, and nothing is built.
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

# clock COMMAND...: runs the command. Sets $seconds to the wall time, $user_seconds and $system_seconds to the CPU
# time, and $rss_kb to the peak memory of its largest process.
# Dirty pages of earlier writes are flushed first, so that the command does not wait for them. If $memory_mb is set,
# this number of megabytes of memory is touched first: see touch_memory.
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

# bytes_below DIR [NAME-PATTERN]: prints the bytes of all files below DIR, or of those whose names match.
bytes_below() {
    [ -d "$1" ] || { echo 0; return; }
    find "$1" -type f -name "${2:-*}" -printf '%s\n' | awk '{ sum += $1 } END { printf "%d\n", sum }'
}

# warm TREE: reads all of TREE, so that it is in the page cache. The pipe is needed: with /dev/null as its output tar
# would not read the files.
warm() { tar -cf - -C "$1" . | cat >/dev/null; }

# discard PATH...: takes the paths away without slowing down later measurements. For minutes after an inode was freed,
# ext4 does not use it again, and it searches all such inodes whenever a file is created: after 16,384 files were
# removed, creating as many took 18 s instead of 2 s. So paths on the disk are only moved to $dir/discarded, until
# make_room or the end of the script removes them.
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

# make_room MEGABYTES: true if this much room is free on the disk. If there is less, first removes the discarded paths.
make_room() {
    [ "$(free_mb "$dir")" -le "$1" ] || return 0
    rm -rf "$dir/discarded"
    sync
    [ "$(free_mb "$dir")" -gt "$1" ]
}

# touch_memory MEGABYTES: uses this much memory for a moment, but at most half of the machine's. The host of a virtual
# machine may take free memory back. A restore would then wait for memory, longer than the restore itself takes.
touch_memory() {
    half=$(awk '/^MemTotal/ { printf "%d", $2 / 2048 }' /proc/meminfo)
    python3 -c 'import sys; held = bytearray(int(sys.argv[1]) << 20); held[::4096] = bytes(len(held[::4096]))' \
        "$(($1 < half ? $1 : half))"
}

# Waits, because a tool that compares times must read files again that were changed a moment ago.
settle() { sleep 3; }

# free_mb DIR: prints how many megabytes fit into DIR. If DIR is in memory, at most half of the available memory.
free_mb() {
    on_disk=$(df -Pm "$1" | awk 'NR == 2 { print $4 }')
    in_memory=$(awk '/^MemAvailable/ { printf "%d\n", $2 / 2048 }' /proc/meminfo)
    if [ "$(stat -f -c %T "$1")" = tmpfs ] && [ "$in_memory" -lt "$on_disk" ]; then
        echo "$in_memory"
    else
        echo "$on_disk"
    fi
}

# about_machine DIR: prints one line about the machine, the file system of DIR and the day.
about_machine() {
    printf '%s, %s cores, %s GB of memory, Linux %s, %s, %s\n' \
        "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)" \
        "$(awk '/^MemTotal/ { printf "%.0f", $2 / 1048576 }' /proc/meminfo)" \
        "$(uname -r | sed 's/-.*//')" "$(findmnt -n -o FSTYPE -T "$1")" "$(date -u +%Y-%m-%d)"
}

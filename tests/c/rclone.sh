#!/bin/sh
# The commands of rclone that examples-c/command_storage.c uses, for a directory of this machine. It starts faster than
# rclone, and one of its commands can fail:
#
#   FAULT_COUNT   a file; each command appends a line to it
#   FAULT_VERBS   the commands that are counted, separated by spaces
#   FAULT         "N KIND": command number N fails. fail: it does nothing. late: it does its work first. kill: it does
#                 a part of its work and is killed. short: it does a part of its work and ends with 0.
verb=$1
shift
offset=0 count=0 keep=
while [ "$1" != -- ]; do
    case $1 in
    --offset) offset=$2 && shift ;;
    --count) count=$2 && shift ;;
    --format) shift ;;
    --ignore-existing) keep=1 ;;
    esac
    shift
done
shift

# Runs the command. If $1 is not 1, it reads or writes only a part of the bytes.
work() {
    divisor=$1
    shift
    case $verb in
    rcat)
        if [ "$divisor" = 1 ]; then cat >"$1"; else head -c 60 >"$1"; fi
        # A command that ends with bytes unread fails the next write, so whether it lost bytes would not be asked.
        [ "$kind" != short ] || cat >/dev/null
        ;;
    cat)
        [ -f "$1" ] || { echo "2026/01/02 03:04:05 Failed to cat: directory not found" >&2; return 3; }
        [ "$offset" -ge "$(stat -c %s "$1")" ] || tail -c "+$((offset + 1))" "$1" | head -c $((count / divisor))
        ;;
    lsf)
        [ -e "$1" ] || { echo "2026/01/02 03:04:05 Failed to lsf: directory not found" >&2; return 3; }
        find "$1" -maxdepth 1 -type f -printf '%s;%f\n'
        ;;
    moveto) if [ -n "$keep" ] && [ -e "$2" ]; then rm "$1"; else mv -f "$1" "$2"; fi ;;
    deletefile) rm "$1" ;;
    mkdir) mkdir -p "$1" ;;
    *) return 1 ;;
    esac
}

kind=
case " ${FAULT_VERBS:-} " in *" $verb "*)
    echo "$$ $verb" >>"$FAULT_COUNT"
    [ "$(sed -n "/^$$ /=" "$FAULT_COUNT")" != "${FAULT%% *}" ] || kind=${FAULT##* }
    ;;
esac
case $kind in
'') work 1 "$@" ;;
short) work 2 "$@" ;;
kill)
    [ "$verb" = moveto ] || [ "$verb" = deletefile ] || work 2 "$@"
    kill -9 $$
    ;;
*)
    [ "$kind" = fail ] || work 1 "$@"
    echo "2026/01/02 03:04:05 ERROR : one: it rains" >&2
    echo "2026/01/02 03:04:05 Failed to $verb: it rains" >&2
    exit 7
    ;;
esac

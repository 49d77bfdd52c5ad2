#!/bin/sh
# progress_cancel makes a backup, but none if it is interrupted.   run_progress_cancel.sh COMMAND...
. "$(dirname "$0")/scratch.sh"
plant src
expect 0 "$@" src store
grep -q '^snapshot 2' out || fail "no snapshot was named"
grep -q '\[' err || fail "no progress was shown"

# Backs up `big` to a store that does not exist yet, and sends SIGINT as soon as the program shows progress. A shell
# starts background programs with SIGINT ignored, but this program sets its own handler.
interrupt() {
    rm -rf err other
    "$@" big other >out 2>err &
    pid=$!
    until [ -s err ] || ! kill -0 $pid 2>/dev/null; do sleep 0.01; done
    kill -INT $pid 2>/dev/null || true
    got=0
    wait $pid || got=$?
}

# The source is large, so that the backup still runs when the signal comes. If it does not, the next source is twice as
# large.
mkdir big
i=0
for files in 15 30 60; do
    while [ $i -lt $files ]; do
        head -c 8000000 /dev/urandom >big/$i
        i=$((i + 1))
    done
    interrupt "$@"
    case $got in 0 | 130) ;; *) break ;; esac # 130: the program had already removed its handler
done
case $got in 0 | 130) fail "every backup was faster than the signal" ;; esac
[ $got = 1 ] && grep -q 'cancelled: nothing was stored' err || { cat err >&2; fail "not cancelled: $got"; }
left=$(find other -name '*.state.*' -o -name '.ibt-tmp*' 2>/dev/null | wc -l)
[ "$left" = 0 ] || fail "left-overs in the store"

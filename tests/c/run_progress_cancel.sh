#!/bin/sh
# progress_cancel makes a backup; interrupted, it makes none.   run_progress_cancel.sh COMMAND...
. "$(dirname "$0")/scratch.sh"
plant src
expect 0 "$@" src store
grep -q '^snapshot 2' out || fail "no snapshot was named"
grep -q '\[' err || fail "no progress was shown"

# A source that takes a while, so that the signal, sent when progress shows, finds the backup running. A shell
# ignores SIGINT in what it starts in the background; the program sets its own handler.
i=0
mkdir big
while [ $i -lt 15 ]; do
    head -c 8000000 /dev/urandom >big/$i
    i=$((i + 1))
done
rm err
"$@" big other >out 2>err &
pid=$!
until [ -s err ] || ! kill -0 $pid 2>/dev/null; do sleep 0.01; done
kill -INT $pid 2>/dev/null || true
got=0
wait $pid || got=$?
if [ $got = 0 ]; then
    echo "the backup was faster than the signal"
    exit 0
fi
[ $got = 1 ] && grep -q 'cancelled: nothing was stored' err || { cat err >&2; fail "not cancelled: $got"; }
left=$(find other -name '*.state.*' -o -name '.ibt-tmp*' 2>/dev/null | wc -l)
[ "$left" = 0 ] || fail "left-overs in the store"

#!/bin/sh
# A signal cancels the tool, and the exit status shows which signal.   run_signals.sh COMMAND...
. "$(dirname "$0")/scratch.sh"
mkfifo gate

# The tool writes to a pipe that is not emptied before the signal is sent, so it still runs then.
mkdir src
seq 1 3000000 >src/long
expect 0 "$@" full src --store store
for case in INT:130 TERM:143 HUP:129; do
    signal=${case%:*} wanted=${case#*:} got=0
    rm -f begun sent
    {
        head -c 1
        touch begun
        while [ ! -e sent ]; do sleep 0.02; done
        cat
    } <gate >/dev/null &
    reader=$!
    "$@" cat src long --store store >gate 2>err &
    tool=$!
    while [ ! -e begun ]; do sleep 0.02; done
    kill -s "$signal" $tool
    touch sent
    wait $tool || got=$?
    wait $reader
    [ $got = "$wanted" ] || { cat err; fail "SIG$signal ends with $got, not $wanted"; }
    grep -q '^ibt: cancelled' err || fail "SIG$signal is not told"
done

# nohup(1) starts a program with SIGHUP ignored. The tool must not handle the signal then.
rm -f begun sent
{
    head -c 1
    touch begun
    while [ ! -e sent ]; do sleep 0.02; done
    cat
} <gate >out &
(trap '' HUP && exec "$@" cat src long --store store >gate 2>err) &
tool=$!
while [ ! -e begun ]; do sleep 0.02; done
kill -s HUP $tool
touch sent
wait $tool || fail "an ignored SIGHUP ended the tool"

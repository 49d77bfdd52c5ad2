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

# begin_before_a_full_pipe COMMAND...: runs the tool in the background with a reader that reads one byte and then no
# more. Sets `tool` and `reader`, after the tool has written that byte.
begin_before_a_full_pipe() {
    rm -f begun
    {
        head -c 1 >/dev/null
        touch begun
        exec sleep 60
    } <gate &
    reader=$!
    "$@" >gate &
    tool=$!
    while [ ! -e begun ]; do sleep 0.02; done
}

# A signal ends the tool also while it waits for a reader that does not read.
seq 1 20000 | sed 's/$/ a long name/' | (mkdir names && cd names && tr '\n' '\0' | xargs -0 touch)
expect 0 "$@" full names --store store
for case in "cat src long" "files names" "files names --json"; do
    # shellcheck disable=SC2086 # several words
    begin_before_a_full_pipe "$@" $case --store store 2>err
    sleep 0.3
    got=0
    kill -s TERM $tool
    (sleep 10; kill -s KILL $tool) 2>/dev/null &
    killer=$!
    wait $tool || got=$?
    kill $killer $reader 2>/dev/null || true
    wait $reader || true
    [ $got = 143 ] || fail "SIGTERM does not end '$case' before a full pipe: $got"
    grep -q '^ibt: cancelled' err || fail "SIGTERM is not told"
done

# A closed standard stream is occupied, so that no file of the store gets its number and then messages.
begin_with_closed_streams() {
    exec "$@" <&- 2>&-
}
begin_before_a_full_pipe begin_with_closed_streams "$@" cat src long --store store
occupied="$(readlink /proc/$tool/fd/0) $(readlink /proc/$tool/fd/2)"
kill $tool $reader
wait $tool || true
wait $reader || true
[ ! -e /proc/self/fd ] || [ "$occupied" = "/ /" ] || fail "the closed streams are now $occupied"

# ... and while it reads a list that does not end.
mkfifo list
for case in INT:130 TERM:143; do
    sleep 60 >list &
    writer=$!
    "$@" full src --store listed --files-from - <list 2>err &
    tool=$!
    sleep 1
    got=0
    kill -s "${case%:*}" $tool
    wait $tool || got=$?
    kill $writer
    wait $writer || true
    [ $got = "${case#*:}" ] || { cat err; fail "SIG${case%:*} before a list ends with $got"; }
done

# A file beyond the limit is an error. The drafts are gone, and the next backup works.
mkdir big
"$@" cat src long --store store >big/file
got=0
(ulimit -f 2000 && exec "$@" full big --store limited --level 0 >out 2>err) || got=$?
[ $got = 1 ] || fail "a limit of the file size ends with $got"
grep -q 'File too large' err || fail "the message does not name the cause"
[ ! -e limited ] || [ -z "$(find limited -name '.ibt-tmp*')" ] || fail "drafts stay after a limit"
expect 0 "$@" full big --store limited --level 0

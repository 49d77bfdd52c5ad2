#!/bin/sh
# How the tool treats its command line; makes no backup.   run_usage.sh COMMAND...
. "$(dirname "$0")/scratch.sh"
expect 0 "$@" --version
grep -q '^ibt [0-9]' out || fail "no version"
expect 0 "$@" --help
grep -q 'ibt restore KEY DEST' out || fail "no overview"
for command in full incr restore list; do
    expect 0 "$@" $command --help
    grep -q "^usage: ibt $command" out && grep -q -- --store out && grep -q -- --cache out ||
        fail "no help for $command"
done
expect 2 "$@"
expect 2 "$@" frobnicate
expect 2 "$@" full
expect 2 "$@" full a b
expect 2 "$@" restore key
expect 2 "$@" full a --bogus
expect 2 "$@" full a --at 20261122T220530.123456Z
expect 2 "$@" full a --key
expect 2 "$@" full a --key .bad
expect 2 "$@" full a --threads many
expect 2 "$@" full a --threads -1
expect 2 "$@" full a --level 20
expect 2 "$@" full a --json=yes
for when in yesterday 2026-11-22 2026-11-22T22:05:30 2026-13-22T22:05:30Z 2026-11-22T22:05:30+2 20261122T2205Z; do
    expect 2 "$@" restore key dest --at $when
    grep -q "$when\|--at" err || fail "the message does not say what is wrong"
done
expect 1 "$@" full -- ''
grep -q 'source is empty' err || fail "no reason was given"
[ -z "$(ls tmp)" ] || fail "something was written"

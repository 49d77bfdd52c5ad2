#!/bin/sh
# The tool checks its command line. This makes no backup.   run_usage.sh COMMAND...
. "$(dirname "$0")/scratch.sh"
expect 0 "$@" --version
grep -q '^ibt [0-9]' out || fail "no version"
expect 0 "$@" -V
grep -q '^ibt [0-9]' out || fail "no version"
expect 0 "$@" --help
grep -q 'ibt restore KEY DEST' out || fail "no overview"
cp out overview
expect 0 "$@" help
cmp -s out overview || fail "help is not --help"
expect 2 "$@" help frobnicate
for question in --help --version -V help 'help full' 'list --help'; do
    got=0
    # shellcheck disable=SC2086 # a question has two words
    "$@" $question >/dev/full 2>err || got=$?
    [ $got = 1 ] && grep -q 'cannot write' err || fail "status $got for $question on a full disk"
done
for command in full incr restore list files cat verify compare diff keys prune import consolidate rebuild-cache; do
    expect 0 "$@" $command --help
    grep -q "^usage: ibt $command" out && grep -q -- --store out && grep -q -- --cache out ||
        fail "no help for $command"
    cp out help
    grep -q "^  $command  *[a-z]" overview || fail "no word on $command"
    expect 0 "$@" help $command
    cmp -s out help || fail "help $command is not $command --help"
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
expect 2 "$@" restore key dest --overwrite maybe
expect 2 "$@" restore key dest --overwrite 'may"be' --json
grep -q '^{"status":-1,"error":"not a valid HOW for --overwrite: may\\"be"}$' out || fail "wrong usage is not told in JSON"
for words in frobnicate '' 'full a --bogus' 'full' 'help frobnicate' 'completion frobnicate' 'completion'; do
    # shellcheck disable=SC2086 # these are several words
    expect 2 "$@" $words --json
    grep -q '^{"status":-1,"error":"[^"]*"}$' out || fail "wrong usage is not told in JSON: $words"
    [ "$(wc -l <out)" = 1 ] || fail "more than a line: $words"
done
expect 2 "$@" frobnicate -- --json
[ ! -s out ] || fail "an operand is taken for --json"
expect 2 "$@" restore key dest --keep-last 1
expect 2 "$@" restore key dest --include '[a'
expect 2 "$@" full a --exclude '[a'
expect 2 "$@" restore key dest --root ../up
expect 2 "$@" files
expect 2 "$@" files key path more
expect 2 "$@" cat key
expect 2 "$@" cat key path --json
expect 2 "$@" verify a b
expect 2 "$@" verify --at 20261122T220530.123456Z
expect 2 "$@" list --at 20261122T220530.123456Z
expect 2 "$@" compare key
expect 2 "$@" compare key tree --delete
expect 2 "$@" prune
expect 2 "$@" prune key
grep -q 'what to keep' err || fail "prune does not say what is missing"
expect 2 "$@" prune key --keep-last 0
expect 2 "$@" prune key --keep-daily some
expect 2 "$@" prune key --keep-last 1 --at 20261122T220530.123456Z
expect 2 "$@" import
expect 2 "$@" import key --dry-run
expect 2 "$@" consolidate
expect 2 "$@" consolidate key --dry-run
expect 2 "$@" rebuild-cache
for when in 2026-02-29T00:00:00Z '2026-11-31 10:00' '2026-11-22 25:00' '2026-11-22 10:00x'; do
    expect 2 "$@" restore key dest --at "$when"
done
for when in '2026-11-22 22:05' '2026-11-22 22:05:30' '2028-02-29 22:05:30.5+01:00' 2026-11-22t22:05:30.123456789z \
    2026-11-22 2026-11-22T22:05:30 now today yesterday 90s 15min 6h 2d '3w ago'; do
    expect 1 "$@" restore key dest --at "$when"
    grep -q 'no such directory' err || fail "the time $when is not taken"
done
for when in tomorrow '' 2026-13-22T22:05:30Z 2026-11-22T22:05:30+2 20261122T2205Z 5m 3 h -1h 1h2 '1 h' 'now ago'; do
    expect 2 "$@" restore key dest --at "$when"
    grep -q 'today, yesterday' err || fail "the message does not say what a time is"
done
expect 1 "$@" full -- ''
grep -q 'source is empty' err || fail "no reason was given"
[ -z "$(ls tmp)" ] || fail "something was written"

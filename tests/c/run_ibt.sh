#!/bin/sh
# The tool backs up, lists and restores.   run_ibt.sh COMMAND...
. "$(dirname "$0")/scratch.sh"
plant src
expect 1 "$@" incr src --store store
grep -q '^ibt: cannot ' err || fail "no error was told"
expect 0 "$@" full src --store store --key docs --level 19 --threads 2 --exclude '*.tmp'
grep -q '^docs  2' out || fail "no summary"
[ ! -s err ] || fail "progress was drawn though nobody looks"
cp -a src before
at=$(date -u +%Y-%m-%dT%H:%M:%S.%NZ)
sleep 0.01
echo two >src/new
expect 0 "$@" incr src --store=store --key=docs --level 0 --json
grep -q '"created":1' out || fail "the report is not JSON"
expect 0 "$@" list docs --store store --cache cache
[ "$(grep -c '^docs ' out)" = 2 ] || fail "two snapshots are listed"
stamp=$(awk '$1 == "docs" { print $2; exit }' out)
expect 0 "$@" list --store store --json
grep -q "$stamp" out || fail "the list is not JSON"

expect 0 "$@" restore docs newest --store store --quiet
[ ! -s out ] || fail "--quiet was not quiet"
diff -r --no-dereference src newest
expect 0 "$@" restore docs older --store store --cache cache --at "$stamp"
diff -r --no-dereference before older
expect 0 "$@" restore docs then --store store --at "$at"
diff -r --no-dereference before then
expect 1 "$@" restore docs then --store store
expect 1 "$@" restore other dest --store store
expect 1 "$@" restore docs dest --store store --at 1999-01-01T00:00:00+01:00
expect 1 "$@" list other --store store
expect 0 "$@" list --store elsewhere
grep -q '^no snapshots' out || fail "an empty store lists something"

# Something unreadable: the rest is stored, and the status says so. Root reads everything.
if [ "$(id -u)" != 0 ]; then
    chmod 000 src/new
    expect 3 "$@" incr src --store store --key docs
    grep -q '^ibt: unreadable: ' err || fail "the unreadable file is not told"
else
    echo "skipped: exit status 3 for an unreadable file (root reads everything)"
fi

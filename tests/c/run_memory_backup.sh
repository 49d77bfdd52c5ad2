#!/bin/sh
# memory_backup backs a tree up twice in memory and restores it.   run_memory_backup.sh COMMAND...
. "$(dirname "$0")/scratch.sh"
plant docs
expect 0 "$@" docs restored
grep -q '^increment: done' out || fail "no increment was made"
[ "$(grep -c '^    snapshot ' out)" = 2 ] || fail "not both snapshots were listed"
diff -r --no-dereference docs restored
expect 1 "$@" absent other
grep -q absent err || fail "the error does not name the path"
expect 1 "$@" docs restored
expect 2 "$@" docs

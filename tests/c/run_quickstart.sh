#!/bin/sh
# quickstart backs up a tree twice and restores it.   run_quickstart.sh COMMAND...
. "$(dirname "$0")/scratch.sh"
plant docs
expect 0 "$@" "$scratch/docs" "$scratch/restored"
grep -q '"key":"docs"' out || fail "no report was printed"
diff -r --no-dereference docs restored
expect 0 "$@" "$scratch/docs/" "$scratch/again"
diff -r --no-dereference docs again
expect 1 "$@" "$scratch/absent" "$scratch/other"
grep -q absent err || fail "the error does not name the path"

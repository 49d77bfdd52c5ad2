#!/bin/sh
# The command line with the encrypting storage: backs up, restores, verifies, prunes, and finds damage.
#   run_encrypted_ibt.sh COMMAND...
. "$(dirname "$0")/scratch.sh"
plant docs
printf 'correct horse\n' >passphrase
expect 1 "$@" full docs --store store
grep -q 'IBT_PASSPHRASE_FILE' err || fail "the missing passphrase is not named"
[ ! -e store ] || fail "a store was made without a passphrase"
IBT_PASSPHRASE_FILE=$scratch/passphrase
export IBT_PASSPHRASE_FILE
expect 1 "$@" full docs
grep -q -- '--store' err || fail "the missing store is not named"
expect 1 "$@" list docs --store store
[ ! -e store ] || fail "a list made a store"
expect 0 "$@" full docs --store store
cp -a docs first
stamp=$("$@" list docs --store store --json | jq -r '.snapshots[0].snapshot')
echo more >docs/new
seq 1 20001 >docs/dir/numbers
expect 0 "$@" incr docs --store store
expect 0 "$@" restore docs newest --store store
diff -r --no-dereference docs newest
expect 0 "$@" restore docs oldest --store store --at "$stamp"
diff -r --no-dereference first oldest
expect 0 "$@" verify --store store
expect 0 "$@" cat docs dir/numbers --store store
cmp docs/dir/numbers out
expect 0 "$@" keys --store store
grep -qx docs out || fail "the key is not listed"
! find store | grep -q -e docs -e numbers || fail "a file name can be read"
! grep -rq -e numbers -e blake3 store || fail "the store can be read"

# A store in its own source is left out.
cp -a store docs/store
expect 0 "$@" incr docs --store docs/store
expect 0 "$@" restore docs without --store docs/store
[ ! -e without/store ] || fail "the store is in the backup"
rm -r docs/store

# Another passphrase.
echo 'correct horsf' >wrong
expect 1 env IBT_PASSPHRASE_FILE="$scratch/wrong" "$@" list docs --store store
grep -q 'cannot open store: the passphrase is wrong' err || fail "the wrong passphrase is not named"
expect 1 env IBT_PASSPHRASE_FILE="$scratch/absent" "$@" list docs --store store
grep -q 'No such file' err || fail "the absent file of the passphrase is not named"

# Damage of the largest file, and its loss.
file=$(find store -type f -size +1000c -exec ls -S {} + | head -n 1)
cp "$file" kept
printf 'x' | dd of="$file" bs=1 seek=500 conv=notrunc 2>/dev/null
expect 3 "$@" verify --store store
grep -q 'does not verify' err || fail "the damage is not named"
cp kept "$file"
expect 0 "$@" verify --store store
rm "$file"
expect 3 "$@" verify --store store
cp kept "$file"

expect 0 "$@" prune docs --keep-last 1 --store store
expect 0 "$@" verify --store store
expect 0 "$@" restore docs pruned --store store
diff -r --no-dereference docs pruned

#!/bin/sh
# The command line with the storage that runs rclone: backs up, restores, verifies and prunes in a directory, and in the
# memory of a server; and programs that are missing or killed.
#   run_command_ibt.sh COMMAND...
. "$(dirname "$0")/scratch.sh"
if ! command -v rclone >/dev/null 2>&1; then
    echo "skipped: rclone is not installed"
    exit 0
fi
server=
trap 'cd /; [ -z "$server" ] || kill "$server"; rm -rf "$scratch"' EXIT
RCLONE_CONFIG=$scratch/rclone.conf
export RCLONE_CONFIG
: >rclone.conf
plant docs
cp -a docs first
cp -a docs second
head -c 3000000 /dev/urandom >second/large
seq 1 20001 >second/dir/numbers
rm second/a.txt

# round COMMAND...: backs up, changes, restores, verifies and prunes.
round() {
    rm -rf docs newest oldest pruned
    cp -a first docs
    expect 0 "$@" full docs
    stamp=$("$@" list docs --json | jq -r '.snapshots[0].snapshot')
    rm -rf docs
    cp -a second docs
    expect 0 "$@" incr docs
    expect 0 "$@" list docs
    [ "$(grep -c '^docs' out)" = 2 ] || fail "not both snapshots are listed"
    expect 0 "$@" restore docs newest
    diff -r --no-dereference second newest
    expect 0 "$@" restore docs oldest --at "$stamp"
    diff -r --no-dereference first oldest
    expect 0 "$@" verify
    expect 0 "$@" prune docs --keep-last 1
    expect 0 "$@" restore docs pruned
    diff -r --no-dereference second pruned
}

# A directory.
export IBT_STORE=new/store
expect 1 "$@" list docs
grep -q 'exit status 3: .*directory not found' err || fail "the missing place is not named"
[ ! -e new ] || fail "a list made a store"
round "$@"
rclone lsf new/store >listed
! grep -v '^docs\.' listed || fail "the store has other files"

# The same, in the memory of a server, through HTTP. The server writes the port that it got.
rclone serve webdav :memory: --addr 127.0.0.1:0 >server.log 2>&1 &
server=$!
tries=0
until url=$(sed -n 's/.*started on \[*\(http[^] ]*\)\]*$/\1/p' server.log | head -n 1) && [ -n "$url" ]; do
    tries=$((tries + 1))
    [ $tries -lt 100 ] || fail "the server does not start: $(cat server.log)"
    sleep 0.1
done
IBT_STORE=":webdav,url='$url':store"
round "$@"

# Missing programs and places.
export IBT_RCLONE="$scratch/absent"
expect 1 "$@" list docs
grep -q "cannot run $scratch/absent: No such file" err || fail "the missing program is not named"
unset IBT_RCLONE
IBT_STORE=nowhere:store
expect 1 "$@" full docs
grep -q "exit status 1: .*didn't find section in config file" err || fail "the missing service is not named"
unset IBT_STORE
expect 1 "$@" list docs
grep -q -e --store err || fail "the missing store is not named"

# rclone is killed in the middle of an upload. It is slow, so that it cannot be done before.
cat >slow <<'SCRIPT'
#!/bin/sh
[ "$1" = rcat ] || exec rclone "$@"
exec 3<&0
RCLONE_BWLIMIT=1M rclone "$@" <&3 &
upload=$!
sleep 0.5
[ -z "${KILL_UPLOAD:-}" ] || kill -9 $upload
wait $upload
SCRIPT
chmod +x slow
export IBT_RCLONE="$scratch/slow" IBT_STORE=killed
KILL_UPLOAD=1 expect 1 "$@" full docs
grep -q 'rcat: exit status 137' err || fail "the killed upload is not named: $(cat err)"
[ -z "$(rclone lsf killed)" ] || fail "the killed upload left files"

# This program is killed in the middle of an upload. rclone may write the rest of a draft, and nobody sees it.
"$@" full docs >out 2>err &
program=$!
tries=0
until ls -A killed | grep -q draft; do
    tries=$((tries + 1))
    [ $tries -lt 200 ] || fail "nothing is uploaded: $(cat err)"
    sleep 0.1
done
kill -9 $program
! wait $program || fail "the program ended too early"
sleep 4 # the upload ends
! rclone lsf killed | grep -v '^\.ibt-draft-' || fail "a killed backup left more than drafts"
unset IBT_RCLONE
expect 1 "$@" list docs
grep -q 'the store holds none' err || fail "a killed backup is listed: $(cat out err)"
expect 0 "$@" full docs
expect 0 "$@" verify
rm -rf newest
expect 0 "$@" restore docs newest
diff -r --no-dereference docs newest

#!/bin/sh
# Tests storages in a bucket on the object gateway of a Ceph cluster: a monitor, a manager, three daemons that keep the
# objects, and the gateway, all on the loopback address and in a temporary directory. While a backup and a restore run,
# one of the three daemons is killed; it comes back in between. Then the model test runs over the cluster.
#
#   sh tests/rados.sh
#
# The cluster needs 2 GB of memory and 1 GB of disk. IBT_TEST_CASES makes the model test longer. If the packages of Ceph
# cannot be installed, the script prints "skipped:" and succeeds.
set -eu
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"

# shellcheck source=tests/support/tools.sh
. tests/support/tools.sh
need rclone rclone
need ceph-mon ceph-mon
need ceph-mgr ceph-mgr
need ceph-osd ceph-osd
need radosgw radosgw
need monmaptool ceph-common
# shellcheck disable=SC2086 # a list of packages
[ -z "$missing" ] || install_packages $missing || { echo "skipped: the packages of Ceph cannot be installed"; exit 0; }

room=$(mktemp -d)
export CEPH_CONF="$room/ceph.conf"
finish() {
    for file in "$room"/*.pid; do
        [ ! -e "$file" ] || kill -9 "$(cat "$file")" 2>/dev/null || true
    done
    rm -rf "$room"
}
trap finish EXIT
trap 'exit 1' INT TERM

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# ---- the cluster

mon_port=$(free_port) gateway_port=$(free_port)
cat >"$CEPH_CONF" <<END
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon host = v2:127.0.0.1:$mon_port
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
public addr = 127.0.0.1
cluster addr = 127.0.0.1
run dir = $room
log file = $room/\$name.log
admin socket = $room/\$name.\$pid.asok
osd pool default size = 2
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd objectstore = bluestore
bluestore block size = 4294967296
bluestore fsck on mount = false
osd heartbeat interval = 1
osd heartbeat grace = 4
mon osd min down reporters = 1
mon osd down out interval = 600
mon data = $room/mon
mgr data = $room/mgr
mgr initial modules =
mon allow pool delete = true
osd data = $room/osd.\$id
rgw data = $room/gateway
rgw frontends = beast endpoint=127.0.0.1:$gateway_port
rgw enable usage log = false
END

# start NAME COMMAND...: starts a daemon in the foreground of a job, and notes its process.
start() {
    name=$1
    shift
    "$@" >"$room/$name.out" 2>&1 &
    echo $! >"$room/$name.pid"
}

start_osd() {
    start "osd.$1" ceph-osd -i "$1" -f
}

kill_osd() {
    kill -9 "$(cat "$room/osd.$1.pid")"
    rm "$room/osd.$1.pid"
}

# wait_for SECONDS COMMAND...: waits until the command succeeds.
wait_for() {
    seconds=$1
    shift
    until "$@" >/dev/null 2>&1; do
        seconds=$((seconds - 1))
        [ "$seconds" -gt 0 ] || { echo "this did not come true: $*" >&2; tail -n 20 "$room"/*.out >&2; exit 1; }
        sleep 1
    done
}

up() {
    ceph osd stat 2>/dev/null | grep -q " $1 up"
}

# True if every object has all its copies.
whole() {
    up 3 && timeout 10 ceph pg stat 2>/dev/null | grep -Eq '^([0-9]+) pgs: \1 active\+clean;'
}

echo "Starting the cluster"
monmaptool --create --clobber --fsid "$(sed -n 's/^fsid = //p' "$CEPH_CONF")" \
    --addv a "v2:127.0.0.1:$mon_port" "$room/monmap" >/dev/null
ceph-mon --mkfs -i a --monmap "$room/monmap" >/dev/null 2>&1
start mon ceph-mon -i a -f
wait_for 30 timeout 5 ceph mon stat
mkdir "$room/mgr"
start mgr ceph-mgr -i x -f
for n in 0 1 2; do
    uuid=$(cat /proc/sys/kernel/random/uuid)
    ceph osd new "$uuid" >/dev/null
    mkdir "$room/osd.$n"
    ceph-osd -i $n --mkfs --osd-uuid "$uuid" >"$room/mkfs.out" 2>&1 || { cat "$room/mkfs.out"; exit 1; }
    start_osd $n
done
wait_for 60 up 3
mkdir "$room/gateway"
start gateway radosgw -n client.gateway -f
radosgw-admin user create --uid tester --display-name tester --access-key key --secret-key secret >/dev/null 2>&1
export AWS_ENDPOINT_URL="http://127.0.0.1:$gateway_port" AWS_REGION=default AWS_ALLOW_HTTP=true \
    AWS_ACCESS_KEY_ID=key AWS_SECRET_ACCESS_KEY=secret AWS_EC2_METADATA_DISABLED=true NO_PROXY=127.0.0.1
remote=":s3,provider=Ceph,env_auth=true,endpoint='$AWS_ENDPOINT_URL':"
wait_for 60 env -u AWS_CA_BUNDLE rclone mkdir "${remote}bucket"

# ---- a chain, while a daemon is killed

echo "Building libibt and its command line"
cmake -S . -B build/bucket -DIBT_OBJECT_STORE=ON -DIBT_CARGO_TARGET_DIR="$CARGO_TARGET_DIR" >/dev/null
cmake --build build/bucket --target ibt_tool >build/bucket.log 2>&1 || { tail -n 40 build/bucket.log; exit 1; }
export IBT_STORE=s3://bucket/chain IBT_KEY=tree IBT_CACHE="$room/cache"
ibt="$PWD/build/bucket/ibt"
tree="$room/tree"

# change N: adds 24 files with 2 MB of noise each, and changes one of the files of N - 1.
change() {
    mkdir -p "$tree/$1"
    for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24; do
        head -c 2000000 /dev/urandom >"$tree/$1/$n"
    done
    [ ! -e "$tree/$(($1 - 1))/5" ] || echo "changed" >>"$tree/$(($1 - 1))/5"
}

# while_killing OSD COMMAND...: runs the command, and kills the daemon half a second after it began.
while_killing() {
    osd=$1
    shift
    "$@" &
    running=$!
    sleep 0.5
    kill -0 $running || { echo "the command ended before the daemon was killed: $*" >&2; exit 1; }
    kill_osd "$osd"
    wait $running
}

restore() {
    rm -rf "$room/restored"
    "$@"
    diff -r "$tree" "$room/restored"
}

change 1
"$ibt" full "$tree"
change 2
echo "Killing one of three daemons during an increment"
while_killing 1 "$ibt" incr "$tree"
wait_for 60 up 2
restore "$ibt" restore "$room/restored"
start_osd 1
wait_for 120 whole
echo "Killing another one during a restore"
restore while_killing 2 "$ibt" restore "$room/restored"
"$ibt" verify
start_osd 2
wait_for 120 whole
change 3
"$ibt" incr "$tree"
"$ibt" verify
"$ibt" prune --keep-last 2
"$ibt" consolidate
"$ibt" prune --keep-last 1
restore "$ibt" restore "$room/restored"
"$ibt" list

# ---- the model test

IBT_TEST_BUCKET=s3://bucket/model cargo test --locked --features object-store \
    --config tests/support/object_store.toml --test model bucket
echo "passed"

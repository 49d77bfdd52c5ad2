#!/bin/sh
# Makes the trees that the benchmarks back up, and changes them from round to round.
#
#   workloads.sh DIR [K D S V L]       makes the data of these workloads below DIR, unless it is complete
#   workloads.sh DIR start K TREE      makes the first tree of K at TREE, which must not exist
#   workloads.sh DIR step K N TREE     changes TREE from round N-1 to round N; the first round is 1
#   workloads.sh DIR rounds K          prints the number of rounds
#
#   K  kernel source: each round is the next release of Debian's linux-source-6.1
#   D  a database: one SQLite file with an index; each round updates and inserts rows
#   S  small files of 1 kB; each round rewrites one of a thousand
#   V  a virtual disk: an ext4 image; each round writes a package into it
#   L  logs: twenty files that grow; each round rotates two of them
#
# IBT_BENCH_SMALL=1     the same shapes, a tenth of the size or less
# IBT_BENCH_FILES=N     the number of files in S
# IBT_BENCH_PACKAGES=D  the directory for Debian packages; packages that are in it are not downloaded again
set -eu

[ $# -ge 1 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
dir=$(cd "$1" && pwd)
packages=${IBT_BENCH_PACKAGES:-$dir/packages}
shift

kernel=linux-source-6.1
kernel_releases="6.1.170-3 6.1.176-1 6.1.187-1 6.1.190-1 6.1.192-1 6.1.192-2"

if [ "${IBT_BENCH_SMALL:-0}" = 1 ]; then
    room=$dir/small
    kernel_parts="fs net"
    rows=160000 edits=400
    files=16384
    image_size=104M
    image_holds="libperl5.36 libstdc++-12-dev"
    image_gets="libc6-dev linux-libc-dev perl-modules-5.36"
    log_bytes=4000000
else
    room=$dir/large
    kernel_parts=
    rows=2000000 edits=5000
    files=262144
    image_size=640M
    image_holds="gcc-12 cpp-12 git libllvm14 libperl5.36 perl-modules-5.36 vim-runtime postgresql-15
        libc6-dev libstdc++-12-dev"
    image_gets="libruby3.1 locales samba-libs libmozjs-102-0 erlang-base mariadb-client-core"
    log_bytes=50000000
fi
files=${IBT_BENCH_FILES:-$files}
endless=1000

say() { printf '  %s\n' "$*"; }
fail() { printf 'workloads: %s\n' "$*" >&2; exit 1; }

# make WORKLOAD: makes the workload's data unless it is complete. The make_* functions run in the workload's directory.
make() {
    [ ! -f "$room/$1/complete" ] || return 0
    say "making $1 ..."
    rm -rf "${room:?}/$1"
    mkdir -p "$room/$1"
    cd "$room/$1"
    "make_$1"
    : >"$room/$1/complete"
}

# package NAME [VERSION]: prints the path of a Debian package. Downloads the package if it is not there.
package() {
    mkdir -p "$packages"
    found=$(find "$packages" -name "$1_${2:-*}_*.deb" | sort | tail -n 1)
    if [ -z "$found" ]; then
        (cd "$packages" && apt-get download -qq "$1${2:+=$2}" >&2) || fail "apt-get cannot download $1"
        found=$(find "$packages" -name "$1_${2:-*}_*.deb" | sort | tail -n 1)
    fi
    printf '%s\n' "$found"
}

# ---- K: first/ is the oldest release; N.batch has the changes from round N-1 to round N, for rsync

make_K() {
    round=0
    for release in $kernel_releases; do
        release_is_offered "$release" || { say "$kernel $release is not offered any more: left out"; continue; }
        unpack_release "$release" next
        if [ $round = 0 ]; then
            mv next first
            cp -al first current
        else
            rsync -rcq --delete --write-batch="$round.batch" next/ current/
            rm -rf next "$round.batch.sh"
        fi
        round=$((round + 1))
    done
    rm -rf current
    [ $round -gt 1 ] || fail "fewer than two releases of $kernel are offered"
}

release_is_offered() {
    [ -f "$packages/${kernel}_$1_all.deb" ] || apt-cache madison $kernel |
        awk -F ' *[|] *' -v release="$1" '$2 == release { found = 1 } END { exit !found }'
}

# unpack_release RELEASE TREE: unpacks the source of a release, or the parts $kernel_parts of it, to TREE.
unpack_release() {
    archive=$(package $kernel "$1")
    members=
    for part in $kernel_parts; do members="$members $kernel/$part"; done
    mkdir "$2"
    # shellcheck disable=SC2086 # a list of members, empty for all
    dpkg-deb --fsys-tarfile "$archive" | tar -xOf - "./usr/src/$kernel.tar.xz" | xz -dc -T0 |
        tar -xf - -C "$2" --strip-components=1 ${members:-$kernel}
}

start_K() { cp -a "$room/K/first" "$1"; }
step_K() { rsync -rcq --delete --read-batch="$room/K/$1.batch" "$2/"; }
rounds_K() { find "$room/K" -name '*.batch' | wc -l; }

# ---- D: first/items.db; the contents of a row depend only on its id and on the round that wrote it

make_D() {
    mkdir first
    sqlite3 first/items.db >/dev/null <<SQL
PRAGMA page_size = 4096;
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE item (id INTEGER PRIMARY KEY, owner TEXT, note TEXT, data BLOB);
$(insert_rows 0 1 "$rows")
CREATE INDEX item_owner ON item (owner);
SQL
}

# insert_rows ROUND FIRST LAST: prints the SQL that inserts rows with these ids.
insert_rows() {
    cat <<SQL
WITH RECURSIVE new(id) AS (SELECT $2 UNION ALL SELECT id + 1 FROM new WHERE id < $3)
INSERT INTO item SELECT id, hex(substr(sha3($1 || '-' || id), 1, 6)), $(note "$1"), $(data "$1") FROM new;
SQL
}

# note ROUND prints the SQL for text that compresses; data ROUND for 192 bytes that do not. Both depend on the row's id
# and on the round. sha3() is a function of the sqlite3 shell.
note() {
    echo "printf('Order %08d of customer %s was received and sent to %s; reference %s', id," \
        "id % 99991, substr('Amsterdam Barcelona Copenhagen Edinburgh', 1 + id % 27, 12), hex(substr(sha3('$1 ' || id), 1, 24)))"
}
data() {
    echo "CAST(sha3('$1a' || id, 512) || sha3('$1b' || id, 512) || sha3('$1c' || id, 512) AS BLOB)"
}

start_D() { cp -a "$room/D/first" "$1"; }
step_D() {
    newest=$((rows + edits * ($1 - 1)))
    sqlite3 "$2/items.db" <<SQL
BEGIN;
WITH RECURSIVE edit(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM edit WHERE i < $edits)
UPDATE item SET note = $(note "$1"), data = $(data "$1")
    WHERE id IN (SELECT 1 + (i * i * 7919 + i * 1103515245 + $1 * 12345) % $newest FROM edit);
$(insert_rows "$1" $((newest + 1)) $((newest + edits)))
COMMIT;
SQL
}
rounds_D() { echo $endless; }

# ---- S: no files are kept below DIR, because making the files takes no longer than copying them

make_S() { :; }
start_S() { python3 "$here/fill.py" small "$1" "$files"; }
step_S() { python3 "$here/fill.py" small "$2" "$files" "$1"; }
rounds_S() { echo $endless; }

# ---- V: first/disk.img; N/ is the tree of the package that round N writes into the image

make_V() {
    mkdir tree first
    for name in $image_holds; do dpkg-deb -x "$(package "$name")" tree; done
    E2FSPROGS_FAKE_TIME=1700000000 mkfs.ext4 -q -d tree -U 1b70b70b-0000-4000-8000-000000000001 \
        -E hash_seed=1b70b70b-0000-4000-8000-000000000002 first/disk.img $image_size >/dev/null
    rm -rf tree
    round=0
    for name in $image_gets; do
        round=$((round + 1))
        mkdir "$round"
        dpkg-deb -x "$(package "$name")" "$round"
    done
}

start_V() { cp -a "$room/V/first" "$1"; }
step_V() (
    cd "$room/V/$1"
    write_with_debugfs | E2FSPROGS_FAKE_TIME=$((1700000000 + $1)) \
        debugfs -w -f - "$2/disk.img" >"$room/V/debugfs.log" 2>&1
    ! grep 'Could not allocate' "$room/V/debugfs.log" >&2 || fail "the image of V is full in round $1"
)
rounds_V() { find "$room/V" -mindepth 1 -maxdepth 1 -name '[0-9]*' | wc -l; }

# Prints the commands with which debugfs writes the tree in the current directory. debugfs makes a directory from its
# path; that fails without harm if the directory exists. It makes files only in its current directory.
write_with_debugfs() {
    find . -mindepth 1 -type d -printf 'mkdir "/%P"\n'
    find . -mindepth 1 -type f -printf 'cd "/%h"\nwrite "%p" "%f"\n' | sed 's|^cd "/\./*|cd "/|'
    find . -mindepth 1 -type l -printf 'cd "/%h"\nsymlink "%f" "%l"\n' | sed 's|^cd "/\./*|cd "/|'
}

# ---- L: first/ holds the twenty files

make_L() { python3 "$here/fill.py" logs "$room/L/first" $log_bytes; }
start_L() { cp -a "$room/L/first" "$1"; }
step_L() { python3 "$here/fill.py" logs "$2" $log_bytes "$1"; }
rounds_L() { echo $endless; }

case ${1-} in
start) "start_$2" "$3" ;;
step) "step_$2" "$3" "$4" ;;
rounds) "rounds_$2" ;;
*) for workload in "${@:-K D S V L}"; do for one in $workload; do make "$one"; done; done ;;
esac

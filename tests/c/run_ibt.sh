#!/bin/sh
# The tool backs up, lists and restores.   run_ibt.sh COMMAND...
tests=$(cd "$(dirname "$0")/.." && pwd)
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
expect 0 "$@" restore docs latest --store store --at 9999-12-31T23:59:59Z
diff -r --no-dereference newest latest
expect 1 "$@" restore docs never --store store --at 0001-01-01T00:00:00Z
expect 1 "$@" restore docs then --store store
expect 1 "$@" restore other dest --store store
expect 1 "$@" restore docs dest --store store --at 1999-01-01T00:00:00+01:00
expect 1 "$@" list other --store store
expect 1 "$@" list --store elsewhere
grep -q 'elsewhere: there is no such directory' err || fail "a store that is not there is not named"
expect 1 "$@" list --store s3:///
grep -q 'cannot open the storage: ' err || fail "a URL is taken for a path"
mkdir bare
expect 0 "$@" list --store bare
grep -q '^no snapshots' out || fail "an empty store lists something"

# Backups that make no snapshot.
cp -a store kept
expect 0 "$@" incr src --store store --key docs --level 0 --skip-unchanged --no-cache
grep -q 'nothing changed: no new snapshot' out || fail "an increment without changes does not say so"
echo more >src/later
expect 0 "$@" incr src --store store --key docs --dry-run --no-cache
for line in '^+ later$' '^m \.$' 'dry run: would store .* in 2 files' '1 created'; do
    grep -q -- "$line" out || fail "the dry run of an increment does not tell $line"
done
expect 0 "$@" full src --store absent/store --dry-run --no-cache
grep -q '^+ later$' out || fail "the dry run of a full does not tell the changes"
rm src/later
touch -r newest src
diff -r kept store || fail "a backup that makes no snapshot has changed the store"
[ ! -e absent ] || fail "a dry run created a store"
rm -r kept

# Restores over an existing tree.
expect 0 "$@" restore docs some --store store --include 'dir/*' --include '*.txt'
[ -f some/dir/numbers ] && [ -f some/a.txt ] && [ ! -e some/new ] || fail "--include restored something else"
expect 0 "$@" restore docs below --store store --root dir
diff -r --no-dereference src/dir below
cp -a newest changed
echo changed >changed/a.txt
echo more >changed/extra
rm changed/new
cp -a changed untouched
expect 1 "$@" restore docs changed --store store
expect 0 "$@" restore docs changed --store store --overwrite always --delete --dry-run
for line in '^M a.txt$' '^- extra$' '^+ new$' 'would be restored'; do
    grep -q "$line" out || fail "the dry run does not tell $line"
done
diff -r --no-dereference untouched changed
expect 0 "$@" restore docs changed --store store --overwrite keep
[ "$(cat changed/a.txt)" = changed ] && [ -f changed/new ] || fail "--overwrite keep"
expect 0 "$@" restore docs changed --store store --overwrite different --delete
diff -r --no-dereference src changed

# Lists entries of a snapshot, and prints files.
expect 0 "$@" files docs --store store
grep -q '^-rw.* a.txt$' out && grep -q '^d.* dir$' out || fail "files shows no root directory"
! grep -q numbers out || fail "files shows more than a directory"
expect 0 "$@" files docs dir/ --store=store
grep -q '^l.* dir/link -> ../a.txt$' out && ! grep -q '^d' out || fail "files shows no directory"
expect 0 "$@" files docs a.txt --store store --at "$stamp"
[ "$(wc -l <out)" = 1 ] || fail "files shows no single file"
expect 0 "$@" files docs --recursive --json --store store
grep -q '^{"path":"dir/numbers","type":"file",.*"hash":"blake3:.*}$' out || fail "files --json"
[ "$(wc -l <out)" = 5 ] || fail "files --recursive shows not every entry"
expect 1 "$@" files docs nowhere --store store
expect 0 "$@" cat docs dir/numbers --store store
cmp src/dir/numbers out
expect 0 "$@" cat docs new --store store
expect 1 "$@" cat docs new --store store --at "$stamp"
expect 1 "$@" cat docs dir --store store

# Two snapshots, and keys.
expect 0 "$@" diff docs "$stamp" --store store
grep -q '^+ new$' out && grep -q '1 created (+), 0 deleted' out || { cat out; fail "diff does not tell what is new"; }
[ "$(grep -c '^[+M-] ' out)" = 1 ] || { cat out; fail "diff tells too much"; }
expect 0 "$@" diff docs "$stamp" "$at" --store store
grep -q 'no differences$' out || { cat out; fail "differences of a snapshot from itself"; }
expect 0 "$@" diff docs 9999-12-31 "$stamp" --store store --json
grep -q '"deleted":1' out || fail "diff --json is no report"
expect 1 "$@" diff docs never --store store
grep -q "'never' is neither" err || fail "a wrong time is not named"
expect 2 "$@" diff docs --store store
expect 0 "$@" keys --store store
grep -qx docs out || fail "keys lists no key"
expect 0 "$@" keys --store store --json
grep -q '^{"key":"docs","snapshots":2}$' out || { cat out; fail "keys --json"; }

# No cache.
plant uncached
expect 0 env HOME="$PWD/nobody" XDG_CACHE_HOME="$PWD/nocache" "$@" full uncached --store store --no-cache
echo more >>uncached/dir/numbers
expect 0 env HOME="$PWD/nobody" XDG_CACHE_HOME="$PWD/nocache" "$@" incr uncached --store store --no-cache
[ ! -e nocache ] && [ ! -e nobody ] || fail "--no-cache made a cache"
expect 2 "$@" full uncached --store store --cache ''

# Labels.
plant tagged
expect 0 "$@" full tagged --store store --label 'why=before the update' --label pin=
expect 0 "$@" incr tagged --store store --label why=nightly
expect 0 "$@" incr tagged --store store
expect 0 "$@" list tagged --store store
grep -q ' pin=, why=before the update$' out && grep -q ' why=nightly$' out || { cat out; fail "no labels in the list"; }
expect 0 "$@" list tagged --store store --label why=nightly
[ "$(grep -c '^tagged ' out)" = 1 ] || fail "--label lists others"
expect 2 "$@" full tagged --store store --label pin
expect 2 "$@" full tagged --store store --label =x
expect 1 "$@" cat tagged a.txt --store store --label nothing
expect 2 "$@" prune tagged --store store --keep-within 5 --dry-run
expect 2 "$@" prune tagged --store store --keep-within 5h --snapshot 20200101T000000.000000Z
expect 0 "$@" prune tagged --store store --keep-within 1w --keep-hourly 3 --utc --dry-run
[ "$(grep -c '^kept .* within 604800 s' out)" = 3 ] || { cat out; fail "--keep-within"; }
expect 0 "$@" list tagged --store store
stamps=$(grep -o '[0-9]*T[0-9.]*Z' out)
expect 1 "$@" prune tagged --store store --snapshot "$(echo "$stamps" | head -n 1)" --snapshot 20200101T000000.000000Z
expect 0 "$@" prune tagged --store store --dry-run --snapshot "$(echo "$stamps" | head -n 1)" \
    --snapshot "$(echo "$stamps" | tail -n 1)"
[ "$(grep -c '^would be removed ' out)" = 2 ] || { cat out; fail "--snapshot twice"; }
expect 0 "$@" prune tagged --store store --keep-label why=nightly
grep -q '^removed ' out && grep -q '^kept .* label why$' out && grep -q '^kept .* newest$' out ||
    { cat out; fail "--keep-label"; }

# A backup prints the place of its store, also without --store.
expect 0 "$@" full src --store store --key where
grep -q '^stored in store$' out && grep -q '^[0-9]* entries: ' out || fail "the store is not named"
mkdir lonely
expect 0 "$@" full lonely
grep -q '^1 entry: ' out || fail "one entries"
grep -q "^stored in $PWD/tmp/.*, a temporary directory" out || fail "the default store is not named"

# The tool accepts keys and names as it prints them.
mkdir 50% 50%/d%
for name in '100%' 'a%41' 'x%25' "$(printf 'n\nl')" "$(printf '\377')"; do
    printf '%s' "$name" >"50%/d%/$name"
done
expect 0 "$@" full 50% --store store
expect 0 "$@" list 50%25 --store store
expect 0 "$@" files 50%25 d%25 --store store
sed -n 's/^-.* d%25/d%25/p' out >printed
[ "$(wc -l <printed)" = 5 ] || fail "not five names"
while read -r name; do
    expect 0 "$@" files 50% "$name" --store store
    grep -qF " $name" out || fail "$name is not taken back by files"
    expect 0 "$@" cat 50% "$name" --store store
    cmp -s out "50%/d%/$(cat out)" || fail "$name is not taken back by cat"
done <printed
expect 0 "$@" cat 50% 'd%25/100%25' --store store
[ "$(cat out)" = '100%' ] || fail "an encoded name is not decoded"
expect 0 "$@" cat 50% 'd%/100%' --store store
expect 0 "$@" cat 50% 'd%/a%41' --store store
[ "$(cat out)" = 'a%41' ] || fail "a name that is never printed so was decoded"
expect 0 "$@" restore 50%25 byroot --root d%25 --store store
[ "$(ls byroot | wc -l)" -ge 5 ] || fail "--root takes no printed name"

# Control characters of a name are not printed, because a terminal would obey them.
plant odd
: >"odd/$(printf '\033[2J%%\377')"
expect 0 "$@" full odd --store store
expect 0 "$@" files odd --store store
grep -q '%1B\[2J%25%FF$' out || fail "an odd name is not spelled out"

# Compares a snapshot with a tree, and verifies snapshots.
expect 0 "$@" compare docs newest --store store
grep -q 'no differences$' out || fail "differences in a tree just restored"
cp -a newest other
echo changed >other/a.txt
echo more >other/extra
rm other/dir/numbers
chmod 700 other/new
expect 0 "$@" compare docs other --store store
for line in '^M a.txt$' '^- extra$' '^+ dir/numbers$' '^m new$' '1 only in the snapshot (+), 1 only in the tree (-)'; do
    grep -q "$line" out || fail "compare does not tell $line"
done
# A restore that would remove these differences prints the same signs.
grep '^[+M-] ' out | sort >compared
expect 0 "$@" restore docs other --store store --overwrite always --delete --dry-run
grep '^[+M-] ' out | sort | diff compared - || fail "a sign means two things"
expect 0 "$@" compare docs before --store store --at "$stamp" --json
grep -q '^{' out || fail "compare --json is no JSON"
expect 1 "$@" compare docs nowhere --store store
expect 0 "$@" compare docs before --store store --at "$stamp" --metadata-only
expect 0 "$@" verify --store store
grep -q '^docs .* whole$' out && grep -q '^odd ' out || fail "verify shows not every snapshot"
expect 0 "$@" verify docs --at "$stamp" --store store
[ "$(grep -c '^docs ' out)" = 1 ] || fail "verify --at shows others"
expect 0 "$@" verify docs --store store --presence
grep -q '^docs .* present$' out && grep -q ', 0 B read' out || { cat out; fail "verify --presence"; }
expect 0 "$@" verify docs --store store --part 2/3
grep -q '^docs .* whole in this part$' out || { cat out; fail "verify --part"; }
for bad in 0/3 4/3 3 /3 3/ 1/x 99999999999/99999999999; do
    expect 2 "$@" verify docs --store store --part $bad
done
cp -R store damaged
rm damaged/docs.full.*
expect 3 "$@" verify docs --store damaged
grep -q '^ibt: missing: ' err && grep -q 'loss' out || fail "the loss is not told"
grep -q 'ibt incr --heal SOURCE' err || fail "no cure is told"
expect 3 "$@" incr src --store damaged --cache other --key docs --heal
grep -q '^lost in the store: [1-9][0-9]* healed, [0-9]* still lost$' out || fail "the summary does not say what was healed"
expect 0 "$@" verify docs --store damaged --at 9999-12-31T23:59:59Z
expect 0 "$@" incr src --store damaged --cache other --key docs --heal
grep -q '^nothing is lost in the store$' out || fail "the summary does not say that nothing is lost"
expect 3 "$@" verify docs --store damaged
grep -q 'ibt: the newest snapshots lack nothing' err && ! grep -q 'ibt incr --heal' err || fail "a cure without need"
expect 1 "$@" verify --store nothing-here
grep -q 'nothing-here: there is no such directory' err || fail "a store that is not there is not named"
expect 1 "$@" verify --store bare
grep -q '^ibt: .*nothing was verified' err || fail "a verification of nothing is a good one"

# Many losses with one cause take few lines of text, but JSON has all of them.
mkdir many
for number in $(seq 300); do echo "$number" >"many/$number"; done
expect 0 "$@" full many --store damaged
rm damaged/many.full.*
expect 3 "$@" restore many lost --store damaged --json
[ "$(wc -l <err)" -lt 12 ] || fail "$(wc -l <err) lines of problems"
grep -q 'more of this cause' err || fail "problems of one cause are not put together"
[ "$(grep -o '"kind":"missing"' out | wc -l)" -ge 300 ] || fail "not every problem is in JSON"
mkdir over
expect 1 "$@" restore many over --root nowhere --store damaged --json
grep -q '"error":"' out || fail "no error in JSON"
expect 1 "$@" list nobody --store damaged --json
grep -q '"error":"' out || fail "no error in JSON"

# A state that cannot be read is removed by its stamp, and counted.
expect 0 "$@" full many --store damaged
gone=$(ls damaged | sed -n 's/^many.state.\(.*Z\)\.json.*$/\1/p' | head -n 1)
dd if=/dev/zero of="$(ls damaged/many.state."$gone".*)" bs=1 seek=100 count=50 conv=notrunc 2>dd.err
expect 0 "$@" prune many --at "$gone" --store damaged
grep -q '^1 of 2 snapshots removed (1 of them unreadable)' out || { cat out; fail "a removed snapshot is not counted"; }

# A state that stayed for later snapshots, after its own was removed, is not counted as a snapshot when it goes.
cp -a many tree
for run in full incr incr; do
    echo "$run" >>tree/file
    expect 0 "$@" $run tree --key counted --store counted
done
expect 0 "$@" prune counted --keep-last 2 --store counted
ls counted/counted.retired.* >/dev/null || fail "no state stayed for the later snapshots"
expect 0 "$@" consolidate counted --store counted
expect 0 "$@" prune counted --keep-last 1 --store counted
grep -q '^2 of 3 snapshots removed:' out || { cat out; fail "a state was counted as a snapshot"; }

# No line is longer than the terminal is wide: a table leaves out columns, at last all but the stamp and the key.
# script(1) makes the terminal.
if command -v script >/dev/null; then
    for width in 100 80 60 45; do
        script -qec "stty cols $width; $* list docs --store store; $* verify docs --store store;
            $* prune docs --keep-daily 3 --keep-weekly 3 --keep-monthly 3 --dry-run --store store" \
            /dev/null </dev/null | tr -d '\r' | sed "s/.*$(printf '\033')\[K//" | grep '^docs\|^kept\|^would\|^KEY' >lines
        [ "$(awk -v width=$width 'length($0) > width' lines | wc -l)" = 0 ] && grep -q '^docs .*Z' lines ||
            { cat lines; fail "a line is wider than $width columns"; }
    done
else
    echo "skipped: tables on narrow terminals (no script(1))"
fi
# A store that does not exist or is empty is not verified.
expect 1 "$@" verify --store nowhere
expect 1 "$@" list --store nowhere
expect 1 "$@" restore docs got --store nowhere
grep -q nowhere err && [ ! -e nowhere ] || fail "a store that is not there is not named"
expect 1 "$@" verify --store bare
grep -q 'nothing was verified' err || fail "a verify of nothing does not say so"

# Chains are drawn, consolidated and pruned.
expect 0 "$@" list docs --store store
grep -q '^docs .*`- 2.* incremental ' out || fail "no chain is drawn"
expect 0 "$@" list docs --store store --at "$stamp"
grep -q ' docs.full' out || fail "list --at shows no files"
expect 0 "$@" consolidate docs --store store
expect 0 "$@" consolidate docs --store store
grep -q 'full snapshot already$' out || fail "a second consolidation"
rm -rf cache
expect 0 "$@" rebuild-cache docs --store store
[ -n "$(find cache -type f)" ] || fail "no cache was made"
expect 0 "$@" rebuild-cache docs --store store
grep -q 'the cache was complete$' out || fail "a second cache was made"
expect 0 "$@" prune docs --keep-last 1 --store store --dry-run
grep -q '^kept .* last 1$' out && grep -q '^dry run' out || fail "prune --dry-run gives no reasons"
expect 0 "$@" list docs --store store
[ "$(grep -c '^docs ' out)" = 3 ] || fail "the dry run removed something"
expect 0 "$@" prune docs --at "$stamp" --store store
grep -q "^removed  $stamp" out || fail "prune --at"
expect 0 "$@" prune docs --keep-last 1 --keep-yearly 1 --store store
expect 0 "$@" list docs --store store
[ "$(grep -c '^docs ' out)" = 1 ] || fail "prune left more than one"
expect 1 "$@" prune other --keep-last 1 --store store
expect 0 "$@" restore docs last --store store
diff -r --no-dereference src last
expect 0 "$@" incr src --store store --key docs

# A protected path stays, although the snapshot does not have it.
mkdir last/mine
expect 3 "$@" restore docs last --overwrite always --delete --protect last/mine --store store
grep -q '^ibt: obstructed: .*mine' err && [ -d last/mine ] || fail "the protected path is not told, or gone"
expect 1 "$@" restore docs last --overwrite always --delete --protect last/none --store store
expect 0 "$@" restore docs last --overwrite always --delete --store store
[ ! -d last/mine ] || fail "what is extra stayed"

# After an error, a restore leaves nothing. With --leave-partial it leaves the files that it has restored.
mkdir full small
echo one >full/a.txt
seq 1 1000000 >full/z.txt
expect 0 "$@" full full --store store
if unshare -rm mount -t tmpfs none small 2>/dev/null; then
    for left in "" --leave-partial; do
        expect 1 unshare -rm sh -c 'mount -t tmpfs -o size=1m none small
            status=0; "$@" || status=$?
            [ ! -e small/dest ] || cat small/dest/a.txt
            ls -A small >names; exit $status' sh "$@" restore full small/dest $left --store store
        grep -q 'No space left' err || fail "the full file system is not told"
        case $left in
        "") [ ! -s names ] || fail "a restore that failed left $(cat names)" ;;
        *) [ "$(cat names)" = dest ] && grep -q '^one$' out || fail "$left left nothing" ;;
        esac
    done
else
    echo "skipped: what a failed restore leaves (no mount namespaces)"
fi

# If a file cannot be read, the other files are stored, and the exit status is 3. Root can read every file.
if [ "$(id -u)" != 0 ]; then
    chmod 000 src/new
    expect 3 "$@" incr src --store store --key docs
    grep -q '^ibt: unreadable: ' err || fail "the unreadable file is not told"
else
    echo "skipped: exit status 3 for an unreadable file (root reads everything)"
fi

# Host and source under names of the caller's.
mkdir named
echo one >named/a
expect 0 "$@" full named --store store --host atlas --source-name 'home of me'
expect 0 "$@" list named --store store --json
grep -q '"host":"atlas"' out && grep -q '"source":"home of me"' out || fail "the names are not recorded"
expect 1 "$@" incr named --store store --source-name 'home of me'
grep -q "belongs to host atlas" err && grep -q -e '--allow-source-change' err || fail "the next step is not told"
expect 0 "$@" incr named --store store --allow-source-change
rm named/a
expect 1 "$@" incr named --store store
expect 0 "$@" incr named --store store --allow-empty

# Archives in parts: the files joined in the order of their names are the archive.
plant divided
head -c 200000 /dev/urandom >divided/noise
expect 0 "$@" full divided --store parts --part-size 64k
[ "$(echo parts/divided.full.*)" = "$(ls parts/divided.full.*.tar.zst parts/divided.full.*.tar.zst.0000[2-9] |
    tr '\n' ' ' | sed 's/ $//')" ] || fail "parts have other names"
[ "$(ls parts/divided.full.* | wc -l)" -ge 4 ] || fail "the archive is not in parts"
[ -z "$(find parts -size +65536c)" ] || fail "a part is too long"
cat parts/divided.full.*.tar.zst* | zstd -dcq | tar -x -f - -C "$(mkdir untarred && echo untarred)"
diff -r --no-dereference divided untarred
expect 0 "$@" restore divided joined --store parts
diff -r --no-dereference divided joined
expect 2 "$@" full divided --store parts --part-size 63k
expect 2 "$@" full divided --store parts --part-size large

# A full that publishes partial states: the archive is in parts, and no partial state is left.
expect 0 "$@" full divided --store checkpoints --checkpoint 64k
[ "$(ls checkpoints/divided.full.* | wc -l)" -ge 2 ] || fail "no partial state was published"
[ "$(ls checkpoints | grep -c partial)" -eq 0 ] || fail "a partial state is left"
expect 0 "$@" restore divided noted --store checkpoints
diff -r --no-dereference divided noted
expect 2 "$@" full divided --store checkpoints --checkpoint often

# The entries of a backup are chosen.
mkdir -p chosen/d/e chosen/marked
echo one >chosen/d/e/one
echo two >"chosen/d/two words"
seq 1 5000 >chosen/large
touch chosen/marked/.nobackup chosen/marked/out
expect 0 "$@" full chosen --store store --exclude-if-present .nobackup --exclude-larger-than 10k --exclude-nodump \
    --exclude-caches --one-file-system
expect 0 "$@" files chosen --recursive --json --store store
grep -q '"marked/.nobackup"' out && ! grep -q '"large"\|"marked/out"' out || fail "not what was to be chosen"
find_list() { (cd chosen && find . -name one -print0); }
find_list >list
expect 0 "$@" incr chosen --store store --files-from list --null
expect 0 "$@" files chosen --recursive --json --store store
[ "$(wc -l <out)" = 3 ] && grep -q '"d/e/one"' out || fail "--files-from takes in something else"
printf 'd/two words\nnowhere\n' >list
expect 3 "$@" incr chosen --store store --files-from list
grep -q '^ibt: unreadable: .*nowhere' err || fail "a listed path that does not exist is not told"
echo . >list
expect 0 "$@" incr chosen --store store --files-from list
expect 0 "$@" files chosen --recursive --json --store store
grep -q '"marked/out"' out || fail "the source itself is not everything"
: >list
expect 1 "$@" incr chosen --store store --files-from list
grep -q 'it names no path' err || fail "an empty list is not told"
expect 1 "$@" incr chosen --store store --files-from absent

# An absolute path is one of the file system, through any links, and must lead into the source.
chosen=$(pwd -P)/chosen
ln -s chosen chosen-link
ln -s nowhere chosen/d/link
set_of() { "$@" files chosen --recursive --json --store store | sed -n 's/.*"path":"\([^"]*\)".*/\1/p' | tr '\n' ' '; }
for source in chosen ./chosen "$chosen" chosen/ chosen-link chosen/../chosen; do
    printf '%s\n' "$chosen/d/e/one" "$chosen//d/./link" "$(pwd -P)/chosen-link/d/two words" >list
    expect 0 "$@" incr "$source" --key chosen --store store --files-from list
    [ "$(set_of "$@")" = "d d/e d/e/one d/link d/two words " ] || fail "$source: absolute paths lead elsewhere: $(set_of "$@")"
done
for inside in "$chosen" "$chosen/" / /etc/passwd "${chosen}ed/x" "$chosen/../x"; do
    echo "$inside" >list
    case $inside in "$chosen" | "$chosen/") wanted=0 ;; *) wanted=1 ;; esac
    expect $wanted "$@" incr chosen --store store --files-from list
    [ $wanted = 0 ] || grep -q "not below chosen\|not valid\|malformed\|\.\." err || fail "no reason for $inside"
done
echo /etc/passwd >list
expect 1 "$@" incr chosen --store store --files-from list --json
grep -q '"error":"the list of --files-from, list, has /etc/passwd, which is not below chosen"' out || fail "no JSON"
expect 2 "$@" incr chosen --store store --exclude-larger-than 10x

# A snapshot with damage that a list does not see costs neither find nor stats the other snapshots.
mkdir damaging
seq 1 4000 | while read -r name; do echo "$name" >"damaging/$name"; done
for index in 1 2; do
    echo "$index" >"damaging/only$index"
    expect 0 "$@" full damaging --store damaging-store
done
state=$(ls damaging-store/damaging.state.* | head -n 1)
dd if=/dev/zero of="$state" bs=1 seek=$(($(wc -c <"$state") / 2)) count=9 conv=notrunc 2>dd.err
expect 0 "$@" list damaging --store damaging-store
expect 3 "$@" find damaging 'only*' --store damaging-store
grep -q 'only2' out || fail "find stops at a damaged snapshot"
grep -q 'cannot read damaging.state' err || fail "find does not tell the damage"
expect 3 "$@" stats damaging --store damaging-store
grep -q '^damaging: 2 snapshots' out || fail "stats stops at a damaged snapshot"

# The backups of the Python ancestor are listed, restored and imported.
if command -v python3 >/dev/null && command -v rdiff >/dev/null; then
    python3 "$tests/ancestor_chain.py" broken old nothing
    first=$(head -n 1 old/stamps)
    expect 0 "$@" list docs --store old/store
    grep -q ' ancestor-incremental ' out || fail "the ancestor's backups are not listed"
    expect 0 "$@" restore docs old-first --store old/store --at "$first"
    diff -r old/points/0 old-first
    expect 1 "$@" consolidate docs --store old/store
    grep -q 'ibt import docs' err || fail "no import is proposed"
    mkdir own
    expect 0 env TMPDIR="$PWD/own" "$@" import docs --from old/store --store moved --no-cache --label of=old
    [ "$(grep -c '^imported' out)" = 2 ] || fail "two backups are not imported"
    [ -z "$(ls -A own)" ] || fail "the import left something in TMPDIR"
    expect 0 "$@" import docs --from old/store --store moved --no-cache
    grep -q 'imported already$' out || fail "an import is repeated"
    expect 0 "$@" restore docs moved-newest --store moved
    diff -r old/points/1 moved-newest
    expect 0 "$@" verify --store moved
    expect 1 "$@" import other --from old/store --store moved
    expect 1 "$@" import docs --from nowhere --store moved
fi

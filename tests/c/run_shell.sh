#!/bin/sh
# The tool in shells and scripts: its environment, exit statuses and completions.   run_shell.sh IBT
. "$(dirname "$0")/scratch.sh"
ibt=$1
mkdir src
echo content >src/file

# ---- environment

export IBT_STORE="$PWD/store" IBT_CACHE="$PWD/cache" IBT_KEY=docs
expect 0 "$ibt" full src
[ -n "$(ls store/docs.state.* cache)" ] || fail "IBT_STORE, IBT_CACHE or IBT_KEY is ignored"
grep -q '^8 B of 8 B read in [0-9.]* s$' out || fail "no summary: $(cat out)"
expect 0 "$ibt" restore restored
cmp src/file restored/file
expect 0 "$ibt" files
grep -q ' file$' out || fail "the key of files is not IBT_KEY"
expect 0 "$ibt" cat file
cmp -s out src/file || fail "the key of cat is not IBT_KEY"
expect 0 "$ibt" cat docs file
expect 0 "$ibt" compare src
expect 0 "$ibt" prune --keep-last 1
# An option takes precedence over the environment.
expect 0 "$ibt" full src --store other --cache other-cache --key other
[ -n "$(ls other/other.state.* other-cache)" ] || fail "the options are ignored"
# Without KEY, list and verify are about all keys.
expect 0 "$ibt" full src --key second
expect 0 "$ibt" list
grep -q docs out && grep -q second out || fail "not all keys are listed: $(cat out)"
expect 2 env IBT_KEY=.bad "$ibt" full src
grep -q IBT_KEY err || fail "IBT_KEY is not named: $(cat err)"
expect 2 env IBT_KEY= "$ibt" consolidate
unset IBT_STORE IBT_CACHE IBT_KEY

# ---- patterns of a file

mkdir many
touch many/a.o many/b.c many/c.tmp 'many/#d'
printf '# objects\n\n*.o\n\\#d\n*.tmp' >patterns
expect 0 "$ibt" full many --store patterned --exclude-from patterns
expect 0 "$ibt" files many --store patterned
grep -q b.c out && [ "$(wc -l <out)" = 1 ] || fail "not the patterns of the file: $(cat out)"
expect 0 sh -c '"$1" full many --store patterned --exclude-from - <patterns' sh "$ibt"
expect 2 "$ibt" full many --store patterned --exclude-from absent
printf 'a\0b\n' >patterns
expect 2 "$ibt" full many --store patterned --exclude-from patterns

# ---- find and stats

mkdir finds finds/d
echo one >finds/a.conf
echo two >finds/d/b.conf
touch finds/other
expect 0 "$ibt" full finds --store searched
echo more >>finds/a.conf
rm finds/d/b.conf
expect 0 "$ibt" incr finds --store searched
expect 0 "$ibt" find finds '*.conf' --store searched
[ "$(grep -c 'a.conf$' out)" = 2 ] && [ "$(grep -c 'd/b.conf$' out)" = 1 ] && [ "$(wc -l <out)" = 5 ] ||
    fail "not the entries that match: $(cat out)"
expect 0 "$ibt" find finds 'd/*' --store searched --json
[ "$(wc -l <out)" = 1 ] && grep -q '^{"snapshot":"[0-9T.]*Z","path":"d/b.conf",' out || fail "no JSON: $(cat out)"
expect 0 "$ibt" find finds 'd/*' --store searched --at now
[ ! -s out ] || fail "an entry of another snapshot: $(cat out)"
expect 0 "$ibt" find finds '*' --store searched --at now
grep -q 'other$' out || fail "nothing was found: $(cat out)"
expect 0 "$ibt" stats finds --store searched --json
stored=$(find searched -type f ! -name '*.lock' -exec cat {} + | wc -c)
grep -q '^{"snapshots":2,"entries":4,"bytes":9,"all_bytes":17,"stored_files":[0-9]*,"stored_bytes":'"$stored," out ||
    fail "wrong sums: $(cat out), $stored"
expect 0 "$ibt" stats finds --store searched
grep -q '^finds: 2 snapshots, ' out || fail "no stats: $(cat out)"
expect 1 "$ibt" stats nothing --store searched

# ---- exit statuses

expect 0 "$ibt" full src --store store --key docs
# beside_a_writer COMMAND...: runs the command while all of the key's lock file is locked.
beside_a_writer() {
    perl -e 'use Fcntl; open(my $lock, "+<", shift) or exit 99; my $all = pack("s s x4 q q l x4", F_WRLCK, 0, 0, 0, 0);
        fcntl($lock, 37, $all) or exit 99; exit(system(@ARGV) >> 8)' store/docs.lock "$@"
}
if beside_a_writer true; then
    expect 4 beside_a_writer "$ibt" incr src --store store --key docs --lock-wait 1
    grep -q -- --lock-wait err || fail "no advice: $(cat err)"
else
    echo "skipped: perl cannot lock files here"
fi
for state in store/docs.state.*; do
    echo damaged >"$state"
done
expect 5 "$ibt" restore docs lost --store store
expect 1 "$ibt" restore nobody lost --store store

# ---- completions

expect 2 "$ibt" completion
expect 2 "$ibt" completion tcsh
for shell in bash zsh fish; do
    expect 0 "$ibt" completion $shell
    cp out completion.$shell
    if command -v $shell >/dev/null 2>&1; then
        expect 0 $shell -n completion.$shell
    else
        echo "skipped: $shell is not installed"
    fi
done
# offered WORD...: prints what bash offers for the last word.
offered() {
    bash -c '. ./completion.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _ibt; printf "%s\n" "${COMPREPLY[@]}"' \
        bash "$@" | sort
}
if command -v bash >/dev/null 2>&1; then
    [ "$(offered ibt rest)" = restore ] || fail "commands are not completed: $(offered ibt rest)"
    [ "$(offered ibt restore k d --overwrite o)" = older ] || fail "words of an option are not completed"
    [ -z "$(offered ibt restore k d)" ] || fail "operands are not left to the shell"
    [ -z "$(offered ibt full --store -)" ] || fail "the argument of an option is not left to the shell"
    for command in full incr restore list files cat find stats verify compare diff prune import consolidate \
        rebuild-cache; do
        expect 0 "$ibt" $command --help
        { sed -n 's/^  \(--[a-z-]*\).*/\1/p' out; echo --help; } | sort >options
        offered ibt $command -- >completed
        cmp options completed || fail "the options of $command are not those of its help"
    done
fi

#!/bin/sh
# Shows libibt with a real tree. Backs up three published versions of a library's source, one after the other
# from one directory, then restores each snapshot and compares it with its version.
#
#   sh examples-c/demo.sh      from any directory; needs a C compiler and cargo; installs them if it is allowed to
set -eu
cd "$(dirname "$0")/.."
unset IBT_STORE IBT_CACHE IBT_KEY
build=build/demo
ibt=$build/ibt

say() { printf '\n* %s\n' "$*"; }
fail() { printf 'demo: %s\n' "$*" >&2; exit 1; }

# shellcheck source=tests/support/tools.sh
. tests/support/tools.sh
need cc gcc libc6-dev
need make make
need cmake cmake
need pkg-config pkg-config
need rsync rsync ca-certificates
need_rust "$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)"
install_missing

room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
trap 'exit 130' INT TERM

say "Building libibt and its example command line: some minutes the first time, seconds after that"
mkdir -p build
echo "  (what is being built: tail -f $PWD/build/demo.log)"
{ cmake -S . -B $build && cmake --build $build; } >build/demo.log 2>&1 || {
    tail -n 30 build/demo.log >&2
    fail "the build failed (all of it: build/demo.log)"
}
[ -x $ibt ] || fail "the build made no ibt"
echo "  $ibt"

say "Fetching three published versions of a real source tree with cargo"
mkdir -p "$build/versions"
versions=$(sh tests/support/versions.sh "$PWD/$build/versions") || fail "cargo could not fetch the versions"
for version in $versions; do
    echo "  ${version##*/}: $(find "$version" -type f | wc -l) files, $(du -sh "$version" | cut -f 1)"
done

store=$room/store cache=$room/cache tree=$room/project
mkdir "$tree"
stamps=
snapshot=0

# Backs up the tree, takes the stamp out of the report, and prints by how many bytes the store grew.
back_up() {
    before=$(size_of_store)
    $ibt "$1" "$tree" --store "$store" --cache "$cache" --json >"$room/report"
    stamp=$(sed -n 's/.*"snapshot":"\([^"]*\)".*/\1/p' "$room/report" | head -n 1)
    [ -n "$stamp" ] || stamp=$(sed -n 's/.*"snapshot": *"\([^"]*\)".*/\1/p' "$room/report" | head -n 1)
    [ -n "$stamp" ] || fail "the report names no snapshot: $(cat "$room/report")"
    stamps="$stamps $stamp"
    echo "  $1 backup $stamp: the store grew by $(($(size_of_store) - before)) bytes"
}

size_of_store() {
    if [ -d "$store" ]; then find "$store" -type f -exec cat {} + | wc -c; else echo 0; fi
}

for version in $versions; do
    snapshot=$((snapshot + 1))
    say "Day $snapshot: the project is at ${version##*/}"
    rsync -rc --delete "$version/" "$tree/"
    cp -a "$tree" "$room/day-$snapshot"
    if [ $snapshot = 1 ]; then back_up full; else back_up incr; fi
done

say "What the store holds"
$ibt list --store "$store"
(cd "$store" && find . -name '*.*.*' -type f -exec ls -l {} + | awk '{ printf "  %10d  %s\n", $5, substr($NF, 3) }')

snapshot=0
for stamp in $stamps; do
    snapshot=$((snapshot + 1))
    say "Back to day $snapshot ($stamp)"
    $ibt restore project "$room/restored" --at "$stamp" --store "$store" --cache "$cache"
    difference=$(rsync -aHAXnc --delete --itemize-changes --numeric-ids "$room/day-$snapshot/" "$room/restored/")
    [ -z "$difference" ] || fail "restored, but not the same:
$difference"
    echo "  every file, mode and time is as it was"
    rm -rf "$room/restored"
done

whole=$(find "$room"/day-* -type f -exec cat {} + | wc -c)
say "Three days of $whole bytes lie in $(size_of_store) bytes, and each of them came back."

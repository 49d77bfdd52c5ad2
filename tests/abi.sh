#!/bin/sh
# Compares the ABI that include/ibt.h declares now with the recorded one: no function, argument, result or constant may
# go or change. New ones are allowed, and listed. abi/ibt.abi has the functions with their types, abi/ibt.constants the
# constants, debian/libibt0.symbols the release that first had each function.
#
#   sh tests/abi.sh            compares
#   sh tests/abi.sh --write    records what is new; before a release, or for a new soname
#
# The types are those of functions in C with empty bodies, made of the header: the debug information of libibt itself
# has the types of Rust. tests/header.rs compares the header with the functions in Rust, and tests/c/symbols.sh compares
# the names with the libraries.
set -eu
cd "$(dirname "$0")/.."
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cc=${CC:-cc}
soname=libibt.so.0

fail() { printf '%s\n' "$*" >&2; exit 1; }

echo 'int a[sizeof(void *) == 8 ? 1 : -1];' >"$room/size.c"
if ! $cc -fsyntax-only "$room/size.c" 2>/dev/null; then
    echo "skipped: the recorded ABI is that of systems with 64 bits"
    exit 0
fi

# Each declaration of a function gets a body.
{
    echo '#include <ibt.h>'
    $cc -E -P -Iinclude include/ibt.h | tr '\n' ' ' | tr ';' '\n' |
        sed -n '/typedef/!s/^.*[ *]ibt_[a-z0-9_]*(.*)$/& { __builtin_trap(); }/p'
} >"$room/functions.c"
$cc -g -w -fPIC -shared -Iinclude -Wl,-soname,"$soname" -Wl,--version-script=abi/libibt.map \
    -o "$room/libibt.so" "$room/functions.c"
nm -D --defined-only "$room/libibt.so" | sed -n 's/.* T \(.*\)@@IBT_0$/\1/p' | LC_ALL=C sort >"$room/names"
diff -u abi/ibt.symbols "$room/names" >&2 || fail "the header does not declare what abi/ibt.symbols lists"
abidw --no-corpus-path --no-comp-dir-path --no-architecture --no-show-locs --headers-dir include \
    --out-file "$room/ibt.abi" "$room/libibt.so"

$cc -E -dM -Iinclude include/ibt.h |
    sed -n '/IBT_VERSION/d; s/^#define \(IBT_[A-Z0-9_]* .\)/\1/p' | LC_ALL=C sort >"$room/ibt.constants"

# The line `Since: VERSION` stands in the comment before a function.
{
    echo "$soname libibt0 #MINVER#"
    echo "* Build-Depends-Package: libibt-dev"
    awk '
        sub(/^ \* Since: /, "") { since = $0 }
        match($0, /^[^*]*[ *]ibt_[a-z0-9_]*\(/) && !/^typedef/ {
            name = substr($0, 1, RLENGTH - 1)
            sub(/.*[ *]/, "", name)
            print " " name "@IBT_0 " since
        }' include/ibt.h | { echo " IBT_0@IBT_0 0.1"; cat; } | LC_ALL=C sort
} >"$room/libibt0.symbols"

if [ "${1:-}" = --write ]; then
    cp "$room/ibt.abi" "$room/ibt.constants" abi
    cp "$room/libibt0.symbols" debian
    exit 0
fi

abidiff --harmless --no-added-syms abi/ibt.abi "$room/ibt.abi" >"$room/difference" ||
    fail "the ABI has changed:
$(head -n 40 "$room/difference")"
gone() { LC_ALL=C comm -23 "$1" "$2" | grep . >"$room/gone"; }
LC_ALL=C sort debian/libibt0.symbols >"$room/recorded.symbols"
LC_ALL=C sort "$room/libibt0.symbols" >"$room/current.symbols"
if gone abi/ibt.constants "$room/ibt.constants" || gone "$room/recorded.symbols" "$room/current.symbols"; then
    fail "these are gone or have changed:
$(cat "$room/gone")"
fi
LC_ALL=C comm -13 abi/ibt.constants "$room/ibt.constants" | sed 's/^/not yet recorded: /'
LC_ALL=C comm -13 "$room/recorded.symbols" "$room/current.symbols" | sed 's/^/not yet recorded:/'

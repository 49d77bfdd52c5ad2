#!/bin/sh
# Installs libibt.so with each value of IBT_DEBUG_INFO. With "split", tools find the debug information, which is in a
# file of its own. The variables are those of the build under test, so that cargo has built the library already.
#   debug_info.sh CMAKE NM ADDR2LINE SOURCE_DIR -DVARIABLE=VALUE...
set -eu
cmake=$1 nm=$2 addr2line=$3 source=$4
shift 4
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
fail() { echo "$1" >&2; exit 1; }

# An ordinary mask: the modes below must not depend on that of the caller.
umask 022
for value in strip split keep; do
    {
        "$cmake" -S "$source" -B "$scratch/build" -DIBT_DEBUG_INFO=$value -DBUILD_TESTING=OFF -DIBT_INSTALL_TOOL=OFF \
            -DIBT_INSTALL_MANUALS=OFF -DCMAKE_INSTALL_PREFIX=/opt/ibt "$@" &&
            "$cmake" --build "$scratch/build" &&
            DESTDIR=$scratch/$value "$cmake" --install "$scratch/build"
    } >"$scratch/log" 2>&1 || { cat "$scratch/log" >&2; exit 1; }
done

# library VALUE: prints the path of the installed library.
library() { find "$scratch/$1" -name 'libibt.so.*.*.*' ! -name '*.debug' -type f; }
has_debug_info() { readelf -SW "$1" | grep -q '\.debug_info'; }
# The names that programs link stay.
for value in strip split keep; do
    [ "$("$nm" -D --defined-only "$(library $value)" | grep -c ' T ibt_')" -gt 100 ] ||
        fail "$value: the library lacks functions"
done
has_debug_info "$(library keep)" || fail "keep: the library lacks its debug information"
! has_debug_info "$(library strip)" || fail "strip: the library has debug information"
! has_debug_info "$(library split)" || fail "split: the library has debug information"
[ -z "$(find "$scratch/strip" "$scratch/keep" -name '*.debug')" ] || fail "a file of debug information is installed"

debug=$(library split).debug
[ -f "$debug" ] || fail "split: there is no $debug"
has_debug_info "$debug" || fail "split: $debug has no debug information"
[ -n "$(find "$debug" -perm 644)" ] || fail "split: the mode of the debug information is $(stat -c %a "$debug"), not 644"
! grep -q -e "$source" -e "$scratch" "$debug" || fail "split: the debug information names a directory of this machine"

# addr2line follows the link in the library, and checks the checksum in it, as gdb does.
[ -n "$addr2line" ] || { echo "skipped: addr2line was not found"; exit 0; }
address=$("$nm" -D --defined-only "$(library split)" | sed -n 's/ T ibt_full_backup\(@@.*\)\{0,1\}$//p')
place() { "$addr2line" -e "$(library "$1")" "0x$address"; }
case $(place split) in
    *src/ffi/*.rs:[0-9]*) ;;
    *) fail "split: addr2line does not find the debug information: $(place split)" ;;
esac
mv "$debug" "$scratch/moved"
case $(place split) in
    *.rs:*) fail "addr2line finds the place of ibt_full_backup without $debug, so that this test shows nothing" ;;
esac

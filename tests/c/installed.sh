#!/bin/sh
# A program builds and runs against an installed tree, through CMake and through pkg-config, also after the
# tree was moved.
#   installed.sh CMAKE BUILD_DIR SOURCE_DIR CC LIBDIR [CXX]
set -eu
cmake=$1 build=$2 source=$3 cc=$4 libdir=$5 cxx=${6:-}
consumer=$source/tests/c/consumer
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
fail() { echo "$1" >&2; exit 1; }
# The value of an option of the build.
option() { sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"; }

DESTDIR=$scratch/stage "$cmake" --install "$build" --prefix /opt/ibt >/dev/null
mv "$scratch/stage/opt/ibt" "$scratch/moved"
tree=$scratch/moved
[ -z "$(find "$scratch/stage" -type f)" ] || fail "DESTDIR is not honoured"
# In the programs and libraries too, and in the library with its debug information.
if grep -rl -e "$build" -e "$source" -e "${CARGO_HOME:-$HOME/.cargo}" -e "$scratch" "$tree" "$build/lib" | grep .; then
    fail "these files name a directory of this machine"
fi

# The file names of the library, no debug information in it unless it was asked for, and the licences beside it.
library=$tree/$libdir/libibt.so
version=$(sed -n 's/^Version: //p' "$tree/$libdir/pkgconfig/ibt.pc")
[ "$(readlink "$library.0")" = "libibt.so.$version" ] || fail "libibt.so.0 is not a link to libibt.so.$version"
[ "$(readlink "$library")" = libibt.so.0 ] || fail "libibt.so is not a link to libibt.so.0"
if [ "$(option IBT_DEBUG_INFO)" != keep ] && readelf -SW "$library" | grep -q '\.debug_info'; then
    fail "debug information is installed"
fi
cmp "$source/LICENSE-THIRD-PARTY" "$(find "$tree/share/doc" -name LICENSE-THIRD-PARTY)"

fully_static=OFF
echo 'int main(void) { return 0; }' >"$scratch/empty.c"
if "$cc" -static "$scratch/empty.c" -o "$scratch/empty" 2>/dev/null; then
    fully_static=ON
else
    echo "skipped: the C compiler cannot link with -static"
fi
"$cmake" -S "$consumer" -B "$scratch/consumer" -DCMAKE_PREFIX_PATH="$tree" -DFULLY_STATIC=$fully_static >/dev/null
# The linker warns of the functions for users and groups, which glibc cannot have in a static program.
"$cmake" --build "$scratch/consumer" >"$scratch/log" 2>&1 || { cat "$scratch/log" >&2; exit 1; }
"$scratch/consumer/consumer_ibt"
"$scratch/consumer/consumer_static"
[ $fully_static = OFF ] || "$scratch/consumer/consumer_fully_static"
# A program that asks for another minor release must not find libibt: see docs/abi.md.
mkdir "$scratch/older"
sed 's/find_package(ibt [0-9.]*/find_package(ibt 0.0/' "$consumer/CMakeLists.txt" >"$scratch/older/CMakeLists.txt"
if "$cmake" -S "$scratch/older" -B "$scratch/older/b" -DCMAKE_PREFIX_PATH="$tree" >"$scratch/said" 2>&1 ||
    ! grep -q 'requested version "0.0"' "$scratch/said"; then
    cat "$scratch/said" >&2
    fail "version 0.0 was asked for, and not refused"
fi
if [ -x "$tree/bin/ibt" ]; then
    # Without a path in the program, as in a distribution, the system has to know the directory of the library.
    [ "$(option IBT_INSTALL_RPATH)" = ON ] || export LD_LIBRARY_PATH="$tree/$libdir"
    "$tree/bin/ibt" --version
    [ -n "$(find "$tree" -path '*/man1/ibt.1')" ] || fail "no manual of ibt is installed"
fi

if [ -d "$build/man" ]; then
    [ -n "$(find "$tree" -path '*/man3/ibt_restore.3')" ] || fail "no manuals of the library are installed"
fi

if ! command -v pkg-config >/dev/null; then
    echo "skipped: pkg-config is not installed"
    exit 0
fi
PKG_CONFIG_PATH=$tree/$libdir/pkgconfig
export PKG_CONFIG_PATH
cd "$scratch"
# As installed, and after the move.
[ "$(pkg-config --variable=libdir ibt)" = "/opt/ibt/$libdir" ] || fail "ibt.pc names another directory than $libdir"
config() { pkg-config --define-variable=prefix="$tree" "$@" ibt; }
"$cc" "$consumer/consumer.c" $(config --cflags --libs) -o shared
LD_LIBRARY_PATH=$tree/$libdir ./shared
# --static adds the libraries that libibt.a needs. libibt.a itself must be named, because the linker would take the
# shared library in the same directory.
"$cc" "$consumer/consumer.c" $(config --static --cflags --libs | sed 's/-libt/-l:libibt.a/') -o static
./static
if [ $fully_static = ON ]; then
    "$cc" -static "$consumer/consumer.c" $(config --static --cflags --libs) -o fully_static 2>log ||
        { cat log >&2; exit 1; }
    ./fully_static
fi
if [ -z "$cxx" ]; then
    echo "skipped: no compiler for C++"
    exit 0
fi
"$cxx" -std=c++17 "$consumer/consumer.cpp" $(config --cflags --libs) -o cpp
LD_LIBRARY_PATH=$tree/$libdir ./cpp

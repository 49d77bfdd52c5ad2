#!/bin/sh
# A program builds and runs against an installed tree, through CMake and through pkg-config, also after the
# tree was moved.
#   installed.sh CMAKE BUILD_DIR CONSUMER_DIR CC LIBDIR [CXX]
set -eu
cmake=$1 build=$2 consumer=$3 cc=$4 libdir=$5 cxx=${6:-}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
DESTDIR=$scratch/stage "$cmake" --install "$build" --prefix /opt/ibt >/dev/null
mv "$scratch/stage/opt/ibt" "$scratch/moved"
tree=$scratch/moved
[ -z "$(find "$scratch/stage" -type f)" ] || { echo "DESTDIR is not honoured" >&2; exit 1; }
if grep -rIl -e "$build" -e "$scratch" "$tree" | grep .; then
    echo "these files name a directory of this machine" >&2
    exit 1
fi

"$cmake" -S "$consumer" -B "$scratch/consumer" -DCMAKE_PREFIX_PATH="$tree" >/dev/null
"$cmake" --build "$scratch/consumer" >/dev/null
"$scratch/consumer/consumer_ibt"
"$scratch/consumer/consumer_static"
# A program that asks for another minor release must not find libibt: see docs/abi.md.
mkdir "$scratch/older"
sed 's/find_package(ibt [0-9.]*/find_package(ibt 0.0/' "$consumer/CMakeLists.txt" >"$scratch/older/CMakeLists.txt"
if "$cmake" -S "$scratch/older" -B "$scratch/older/b" -DCMAKE_PREFIX_PATH="$tree" >"$scratch/said" 2>&1 ||
    ! grep -q 'requested version "0.0"' "$scratch/said"; then
    cat "$scratch/said" >&2
    echo "version 0.0 was asked for, and not refused" >&2
    exit 1
fi
if [ -x "$tree/bin/ibt" ]; then
    "$tree/bin/ibt" --version
    [ -n "$(find "$tree" -path '*/man1/ibt.1')" ] || { echo "no manual of ibt is installed" >&2; exit 1; }
fi

if ! command -v pkg-config >/dev/null; then
    echo "skipped: pkg-config is not installed"
    exit 0
fi
PKG_CONFIG_PATH=$tree/$libdir/pkgconfig
export PKG_CONFIG_PATH
cd "$scratch"
"$cc" "$consumer/consumer.c" $(pkg-config --cflags --libs ibt) -o shared
LD_LIBRARY_PATH=$tree/$libdir ./shared
# --static adds the libraries that libibt.a needs. libibt.a itself must be named, because the linker would take the
# shared library in the same directory.
"$cc" "$consumer/consumer.c" $(pkg-config --static --cflags --libs ibt | sed 's/-libt/-l:libibt.a/') -o static
./static
if [ -z "$cxx" ]; then
    echo "skipped: no compiler for C++"
    exit 0
fi
"$cxx" -std=c++17 "$consumer/consumer.cpp" $(pkg-config --cflags --libs ibt) -o cpp
LD_LIBRARY_PATH=$tree/$libdir ./cpp

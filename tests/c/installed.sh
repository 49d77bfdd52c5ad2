#!/bin/sh
# A program builds and runs against an installed tree, through CMake and through pkg-config, also after the
# tree was moved.
#   installed.sh CMAKE BUILD_DIR CONSUMER_DIR CC LIBDIR
set -eu
cmake=$1 build=$2 consumer=$3 cc=$4 libdir=$5
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
# --static asks for what libibt.a needs; the archive itself has to be named, as the shared library lies beside.
"$cc" "$consumer/consumer.c" $(pkg-config --static --cflags --libs ibt | sed 's/-libt/-l:libibt.a/') -o static
./static

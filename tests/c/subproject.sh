#!/bin/sh
# A project builds and runs with the sources of libibt, as a subdirectory and by FetchContent, and installs nothing of
# libibt. The variables are those of the build under test, so that cargo has built the library already.
#   subproject.sh CMAKE SOURCE_DIR CONSUMER_DIR -DVARIABLE=VALUE...
set -eu
cmake=$1 source=$2 consumer=$3
shift 3
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for fetch in OFF ON; do
    build=$scratch/$fetch
    "$cmake" -S "$consumer" -B "$build" -DIBT_SOURCE="$source" -DIBT_FETCH=$fetch "$@" >"$scratch/log" 2>&1 &&
        "$cmake" --build "$build" >>"$scratch/log" 2>&1 || {
        cat "$scratch/log" >&2
        exit 1
    }
    "$build/consumer_ibt"
    "$build/consumer_static"
    DESTDIR=$scratch/stage "$cmake" --install "$build" >/dev/null
    [ -z "$(find "$scratch/stage" -type f 2>/dev/null)" ] || { echo "files of libibt are installed" >&2; exit 1; }
done

#!/bin/sh
# Makes the manual pages of the library from the comments of ibt.h, and libibt-format(5) from docs/format.md.
#   make.sh DIRECTORY SOURCE_DIR VERSION AWK...
set -eu
man=$1 source=$2 version=$3
shift 3
scripts=$source/cmake/manuals
# Lengths and columns in bytes, whatever the locale.
LC_ALL=C
export LC_ALL
# The date of the manual of ibt, and not that of the build: the same sources give the same bytes.
date=$(sed -n 's/^\.Dd //p' "$source/docs/ibt.1")
rm -rf "$man"
mkdir -p "$man/man3" "$man/man5"
"$@" -v "out=$man/man3" -v "date=$date" -f "$scripts/roff.awk" -f "$scripts/header.awk" "$source/include/ibt.h"
"$@" -v "page=$man/man5/libibt-format.5" -v name=libibt-format -v section=5 -v "version=$version" -v "date=$date" \
    -v "about=the backup files of libibt" -f "$scripts/roff.awk" -f "$scripts/markdown.awk" "$source/docs/format.md"

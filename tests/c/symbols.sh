#!/bin/sh
# The libraries export exactly the names in abi/ibt.symbols. In the shared library each has the version IBT_0.
#   symbols.sh NM LIBIBT.SO LIBIBT.A ABI/IBT.SYMBOLS
set -eu
nm=$1 shared=$2 static=$3 listed=$4

compare() {
    LC_ALL=C sort | diff -u "$listed" - || { echo "$1 does not export what $listed lists" >&2; exit 1; }
}

# IBT_0 itself is a symbol too. A name without this version differs from its line in the list.
"$nm" -D --defined-only "$shared" |
    awk '$NF == "IBT_0" { next } sub(/@@IBT_0$/, "", $NF) { print $NF; next } { print $NF " without the version" }' |
    compare "$shared"
"$nm" -g --defined-only "$static" | awk 'NF == 3 { print $3 }' | compare "$static"
readelf -d "$shared" | grep -q 'soname: \[libibt\.so\.0\]' || { echo "wrong soname" >&2; exit 1; }

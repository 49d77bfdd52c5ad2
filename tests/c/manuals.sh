#!/bin/sh
# Every function and type of callback has a manual page, with the whole comment of the header; groff and mandoc have no
# warnings; and every awk makes the same pages.
#   manuals.sh MAN_DIR SOURCE_DIR VERSION
set -eu
man=$1 source=$2 version=$3
header=$source/include/ibt.h symbols=$source/abi/ibt.symbols
fail() { echo "$1" >&2; exit 1; }

# described NAME: the page NAME(3), or the page that it refers to, has a section with this name.
described() {
    page=$man/man3/$1.3
    [ -f "$page" ] || fail "$1 has no page"
    target=$(sed -n '1s/^\.so //p' "$page")
    [ -z "$target" ] || page=$man/$target
    grep -qx "\.SS $1" "$page" || fail "$page does not describe $1"
}
callbacks=$(sed -n 's/.*(\*\(ibt_[a-z_]*_fn\)).*/\1/p' "$header")
[ -n "$callbacks" ] || fail "the header has no types of callbacks"
for name in $(cat "$symbols") $callbacks; do
    described "$name"
done

# The pages have each word of the comments as often as the header.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
words() {
    sed -e 's/\\f[BIPR]//g; s/\\-/-/g; s/\\(ti/~/g; s/\\(ha/^/g; s/\\&//g' -e "s/\\\\(aq/'/g" "$@" | tr -s ' ' '\n' | sort | uniq -c
}
pages=$(grep -L '^\.so' "$man"/man3/*.3)
# shellcheck disable=SC2086 # a list of files
words $pages >"$scratch/pages"
sed -n '/^\/\*\*$/,/^ \*\/$/s/^ \* \{0,1\}//p' "$header" | grep -v '^====' | tr -d '`' | words >"$scratch/comments"
awk 'NR == FNR { has[$2] = $1; next }
    $2 !~ /^[-\/]?$/ && has[$2] + 0 < $1 { print "the comments have " $2 " " $1 " times, the pages " has[$2] + 0; bad = 1 }
    END { exit bad }' "$scratch/pages" "$scratch/comments" || fail "the pages lack words of the header"

for awk in mawk gawk "busybox awk" original-awk; do
    command -v "${awk%% *}" >/dev/null || continue
    # shellcheck disable=SC2086 # a command and its first argument
    sh "$source/cmake/manuals/make.sh" "$scratch/man" "$source" "$version" $awk
    diff -r "$man" "$scratch/man" || fail "$awk makes other pages"
done

if command -v mandoc >/dev/null; then
    # shellcheck disable=SC2086 # a list of files
    mandoc -Tlint -W warning $pages "$man"/man5/*.5 "$source/docs/ibt.1" >&2 || fail "mandoc warns of the pages"
else
    echo "skipped: mandoc is not installed"
fi

command -v groff >/dev/null || { echo "skipped: groff is not installed"; exit 0; }
for page in $pages "$man"/man5/*.5; do
    said=$(groff -man -Tutf8 -ww -z "$page" 2>&1)
    [ -z "$said" ] || fail "$said"
done

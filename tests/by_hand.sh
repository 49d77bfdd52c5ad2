#!/bin/bash
# Restores a snapshot without libibt: zstd opens the archives, jq reads the state, rdiff applies the
# deltas, setfattr brings back extended attributes. What a stranger with the format's description
# would do, and what the tests compare a restore with.
#
#   by_hand.sh STORE STATE DEST      STATE is a state file of STORE; DEST must not exist
set -euo pipefail
store=$1 state=$2 dest=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A stored name's bytes, in $decoded: %XX is a byte, everything else stands for itself.
decode() {
    local text=${1//\\/\\\\}
    printf -v decoded '%b' "${text//%/\\x}"
}

# open FILE: its decompressed bytes.
open() {
    case $1 in *.zst) zstd -dcq "$1" ;; *) cat "$1" ;; esac
}

# range ARCHIVE OFFSET LENGTH: those bytes of an archive's uncompressed stream.
range() {
    dd if="$work/archive.$1" iflag=skip_bytes,count_bytes skip="$2" count="$3" bs=1M status=none
}

# place FROM LENGTH AT: that part of the content, at its offset in the file.
place() {
    [ "$2" -gt 0 ] || return 0
    dd if="$work/content" of="$work/whole" bs=1M conv=notrunc status=none \
        iflag=skip_bytes,count_bytes oflag=seek_bytes skip="$1" count="$2" seek="$3"
}

# file PATH ENTRY: the whole copy, then each delta, then the holes.
file() {
    local archive offset length size first=1 from=0 at=0
    : >"$work/content"
    while read -r archive offset length; do
        if [ "$first" ]; then
            range "$archive" "$offset" "$length" >"$work/content"
            first=
        else
            range "$archive" "$offset" "$length" >"$work/delta"
            rdiff patch "$work/content" "$work/delta" "$work/new"
            mv "$work/new" "$work/content"
        fi
    done < <(jq -r '.at.content // [] | .[] | "\(.[0]) \(.[1]) \(.[2])"' <<<"$2")
    size=$(jq -r '.size' <<<"$2")
    [ "$(jq -r '.hash' <<<"$2")" = "blake3:$(b3sum --no-names "$work/content")" ]
    rm -f "$work/whole"
    truncate -s "$size" "$work/whole"
    while read -r offset length; do
        place "$from" $((offset - at)) "$at"
        from=$((from + offset - at)) at=$((offset + length))
    done < <(jq -r '.holes // [] | .[] | "\(.[0]) \(.[1])"' <<<"$2")
    place "$from" $((size - at)) "$at"
    mv "$work/whole" "$1"
}

# The time as touch takes it: a negative one counts its fraction towards zero.
moment() {
    local seconds=${1%.*} nanos=$((10#${1#*.}))
    if [ "$seconds" -lt 0 ] && [ "$nanos" -gt 0 ]; then
        printf '@-%d.%09d' $((-seconds - 1)) $((1000000000 - nanos))
    else
        printf '@%d.%09d' "$seconds" "$nanos"
    fi
}

make() {
    local entry=$1 type rdev link target
    type=$(jq -r '.type' <<<"$entry")
    link=$(jq -r '.link // 0' <<<"$entry")
    if [ "$link" != 0 ] && [ "${first_name[$link]+set}" ]; then
        ln -- "${first_name[$link]}" "$path"
        return
    fi
    case $type in
    dir) mkdir -m 700 -- "$path" ;;
    file) file "$path" "$entry" ;;
    symlink) decode "$(jq -r '.target' <<<"$entry")" && target=$decoded && ln -s -- "$target" "$path" ;;
    fifo) mkfifo -- "$path" ;;
    char | block)
        rdev=$(jq -r '.rdev' <<<"$entry")
        mknod -- "$path" "${type:0:1}" $(((rdev >> 8 & 0xfff) | (rdev >> 32 & ~0xfff))) \
            $(((rdev & 0xff) | (rdev >> 12 & ~0xff)))
        ;;
    esac
    if [ "$link" != 0 ]; then first_name[$link]=$path; fi
}

dress() {
    local entry=$1 name value
    if [ "$(id -u)" = 0 ]; then
        chown -h "$(jq -r '"\(.uid):\(.gid)"' <<<"$entry")" -- "$path"
    fi
    if [ ! -L "$path" ]; then
        chmod "$(jq -r '.mode' <<<"$entry")" -- "$path"
    fi
    while IFS=$'\t' read -r name value; do
        decode "$name"
        # An empty value must not be written as "0s": setfattr sets nothing then.
        setfattr -h -n "$decoded" ${value:+-v "0s$value"} -- "$path"
    done < <(jq -r '.xattrs // {} | (if type == "object" then to_entries else . end)[]
        | (if type == "array" then . else [.key // .name, .value] end) | "\(.[0])\t\(.[1])"' <<<"$entry")
    touch -h -d "$(moment "$(jq -r '.mtime' <<<"$entry")")" -- "$path"
}

# in_dest ENCODED: sets $path.
in_dest() {
    decode "$1"
    path=$dest${decoded:+/$decoded}
}

open "$state" >"$work/state"
number=0
while read -r name; do
    open "$store/$name" >"$work/archive.$number"
    number=$((number + 1))
done < <(jq -r '.archives[].name' "$work/state")

first_name=()
jq -c '.entries[]' "$work/state" >"$work/entries"
while read -r entry; do
    in_dest "$(jq -r '.path' <<<"$entry")"
    make "$entry"
done <"$work/entries"
# Children before their directories, whose times they would change.
tac "$work/entries" | while read -r entry; do
    in_dest "$(jq -r '.path' <<<"$entry")"
    dress "$entry"
done

#!/bin/sh
# Runs one operation of one backup tool. peers.sh and scale.sh measure the whole script.
#
#   tools.sh TOOL version|init|full|incr|restore|...
#
# The environment sets $source, the tree; $store and $cache, two directories of this tool, of which only
# the store counts as the backup; $dest, an empty directory for a restore; and $n, the number of snapshots so
# far. Every tool that has a choice compresses with zstd -3.
set -eu
: "${source=}" "${store=}" "${cache=}" "${dest=}" "${n=0}"

# ---- libibt, with the example command line; $IBT is its path

ibt_version() { "$IBT" --version; }
ibt_init() { :; }
ibt_full() { "$IBT" full "$source" --key tree --store "$store" --cache "$cache" --quiet; }
ibt_incr() { "$IBT" incr "$source" --key tree --store "$store" --cache "$cache" --quiet; }
ibt_restore() { "$IBT" restore tree "$dest" --store "$store" --cache "$cache" --quiet; }
# $first is the stamp of the full, $path the path of one file.
: "${first=}" "${path=}"
ibt_restore_full() { "$IBT" restore tree "$dest" --at "$first" --store "$store" --cache "$cache" --quiet; }
ibt_one_file() { "$IBT" restore tree "$dest" --include "$path" --store "$store" --cache "$cache" --quiet; }

# ---- GNU tar and zstd: the reference

tar_version() {
    echo "GNU tar $(tar --version | sed -n '1s/.* //p'), zstd $(zstd --version | sed 's/.* v\([0-9.]*\).*/\1/')"
}
tar_init() { :; }
tar_full() { tar -g "$cache/snar" -cf - -C "$source" . | zstd -q -3 -T2 -o "$store/$n.tar.zst"; }
tar_incr() { tar_full; }
tar_restore() {
    i=0
    while [ $i -lt "$n" ]; do
        zstd -qdc "$store/$i.tar.zst" | tar -x --incremental -f - -C "$dest"
        i=$((i + 1))
    done
}
tar_restore_full() { n=1 && tar_restore; }

# ---- duplicity

duplicity_version() { duplicity --version; }
duplicity_init() { :; }
duplicity_full() { duplicity full --no-encryption --archive-dir "$cache" "$source" "file://$store"; }
duplicity_incr() { duplicity incr --no-encryption --archive-dir "$cache" "$source" "file://$store"; }
duplicity_restore() { duplicity restore --force --no-encryption --archive-dir "$cache" "file://$store" "$dest"; }

# ---- rdiff-backup

rdiff_backup_version() { rdiff-backup --version; }
rdiff_backup_init() { :; }
rdiff_backup_full() { rdiff-backup backup "$source" "$store"; }
rdiff_backup_incr() { rdiff_backup_full; }
rdiff_backup_restore() { rdiff-backup --force restore "$store" "$dest"; }

# ---- restic; version 0.14 has only one level of compression, which it calls auto

export RESTIC_PASSWORD=x
restic_version() { restic version | cut -d ' ' -f 1,2; }
restic_init() { restic --cache-dir "$cache" -r "$store" init; }
restic_full() { cd "$source" && restic --cache-dir "$cache" -r "$store" backup .; }
restic_incr() { restic_full; }
restic_restore() { restic --cache-dir "$cache" -r "$store" restore latest --target "$dest"; }

# ---- rustic

export RUSTIC_PASSWORD=x
rustic_version() { rustic --version; }
rustic_init() { rustic --cache-dir "$cache" -r "$store" init; }
rustic_full() { cd "$source" && rustic --cache-dir "$cache" -r "$store" backup .; }
rustic_incr() { rustic_full; }
rustic_restore() { rustic --cache-dir "$cache" -r "$store" restore latest "$dest"; }

# ---- borg

export BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes BORG_BASE_DIR="$cache"
borg_version() { borg --version; }
borg_init() { borg init -e none "$store"; }
borg_full() { cd "$source" && borg create -C zstd,3 "$store::$n" .; }
borg_incr() { borg_full; }
borg_restore() { cd "$dest" && borg extract "$store::$((n - 1))"; }

# ---- dar; a restore extracts all archives, one after the other

dar_version() { dar -V </dev/null 2>/dev/null | sed -n 's/^ *\(dar version [0-9.]*\).*/\1/p'; }
dar_init() { :; }
dar_full() { dar -Q -N -c "$store/$n" -R "$source" -z"$(dar_compression)"; }
dar_incr() { dar -Q -N -c "$store/$n" -A "$store/$((n - 1))" -R "$source" -z"$(dar_compression)"; }
dar_restore() {
    i=0
    while [ $i -lt "$n" ]; do
        dar -Q -N -O -wa -x "$store/$i" -R "$dest"
        i=$((i + 1))
    done
}
dar_compression() {
    if dar -V </dev/null 2>/dev/null | grep -q 'zstd.*YES'; then echo zstd:3; else echo gzip; fi
}

# ---- bup

export BUP_DIR="$store"
bup_version() { echo "bup $(bup --version)"; }
bup_init() { bup init; }
bup_full() { bup index "$source" && bup save -q -n tree "$source"; }
bup_incr() { bup_full; }
bup_restore() { bup restore -q -C "$dest" "/tree/latest$source/."; }

# ibt-memory is ibt with the store, the cache and the restored tree in memory.
case $1 in ibt-memory) tool=ibt ;; *) tool=$(echo "$1" | tr - _) ;; esac
"${tool}_$2"

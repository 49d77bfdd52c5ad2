#!/bin/sh
# Makes the source package's tarballs and tree from the last commit: see debian/README.source. A tarball of crates that
# is in the directory already is taken as it is.
#   make-source.sh DIRECTORY
set -eu
[ $# = 1 ] || { echo "usage: make-source.sh DIRECTORY" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
name=libibt-$version
[ ! -e "$out/$name" ] || { echo "$out/$name exists already" >&2; exit 1; }
# The same commit gives the same tarballs.
time=$(git log -1 --format=%ct)
pack() { tar --sort=name --mtime="@$time" --owner=0 --group=0 --numeric-owner -C "$out" -cJf "$@"; }

git archive --prefix="$name/" HEAD | tar -xf - -C "$out"
mv "$out/$name/debian" "$out/debian"
pack "$out/libibt_$version.orig.tar.xz" "$name"

# Crates that cargo does not compile on any Linux that Debian has keep only a manifest.
reduce() {
    (
        cd "$out/$name"
        for system in x86_64 aarch64 armv7 i686 powerpc64le riscv64gc s390x loongarch64; do
            case $system in armv7) libc=gnueabihf ;; *) libc=gnu ;; esac
            cargo tree --locked --offline --edges all --prefix none --config 'source.crates-io.replace-with="vendor"' \
                --config "source.vendor.directory=\"$out/vendor\"" --target $system-unknown-linux-$libc --format '{p}'
        done
    ) | sed -n 's/^\([^ ]*\) v\([^ ]*\).*/\1-\2/p' | sort -u >"$out/used"
    for crate in "$out"/vendor/*; do
        grep -qxF "${crate##*/}" "$out/used" && continue
        sum=$(sed -n 's/.*"package":"\([0-9a-f]*\)".*/\1/p' "$crate/.cargo-checksum.json")
        find "$crate" -mindepth 1 ! -path "$crate/Cargo.toml" -delete
        mkdir "$crate/src"
        : >"$crate/src/lib.rs"
        printf '{"files":{},"package":"%s"}\n' "$sum" >"$crate/.cargo-checksum.json"
    done
    rm "$out/used"
}

vendor=$out/libibt_$version.orig-vendor.tar.xz
if [ -e "$vendor" ]; then
    tar -xf "$vendor" -C "$out"
else
    cargo vendor --locked --versioned-dirs --manifest-path "$out/$name/Cargo.toml" "$out/vendor" >"$out/log" 2>&1 ||
        { cat "$out/log" >&2; exit 1; }
    rm "$out/log"
    reduce
    pack "$vendor" vendor
fi
mv "$out/vendor" "$out/debian" "$out/$name"
du -h "$out"/*.tar.xz

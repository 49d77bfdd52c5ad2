#!/bin/sh
# Downloads three published versions of a real source tree (the crate libc, about 240 files and 5 MB each)
# to DIR from cargo's registry, and prints their directories, oldest first.
#
#   versions.sh DIR
set -eu
dir=$1
crate=libc
versions="0.2.155 0.2.158 0.2.160"

have_all() {
    for version in $versions; do
        [ -f "$dir/trees/$crate-$version/Cargo.toml" ] || return 1
    done
}

if ! have_all; then
    manifests=
    for version in $versions; do
        mkdir -p "$dir/wants/$version/src"
        : >"$dir/wants/$version/src/lib.rs"
        cat >"$dir/wants/$version/Cargo.toml" <<TOML
[package]
name = "wants"
version = "0.0.0"
edition = "2021"
[dependencies]
$crate = "=$version"
[workspace]
TOML
        manifests="$manifests --sync wants/$version/Cargo.toml"
    done
    rm -rf "$dir/trees"
    first=${versions%% *}
    # shellcheck disable=SC2086 # a list of options
    (cd "$dir" && "${CARGO:-cargo}" vendor --quiet --versioned-dirs --manifest-path "wants/$first/Cargo.toml" \
        $manifests trees >cargo-vendor.log) || { rm -rf "$dir/trees"; exit 1; }
    have_all
fi
for version in $versions; do
    echo "$dir/trees/$crate-$version"
done

# tests/run.sh, tests/cross.sh and examples-c/demo.sh source this file. It finds missing tools, and installs them with
# apt-get if that is allowed.
# shellcheck shell=sh

missing=

# need COMMAND PACKAGE...: notes the packages for installation if COMMAND does not exist.
need() {
    command -v "$1" >/dev/null 2>&1 && return
    shift
    missing="$missing $*"
}

# need_rust VERSION: needs cargo of this version or newer. Debian 12 has a recent cargo in cargo-web.
need_rust() {
    rust_wanted=$1
    rust_is_recent || missing="$missing cargo-web rustc-web"
}

rust_is_recent() {
    rust_has=$(cargo --version 2>/dev/null | sed -n 's/^cargo \([0-9.]*\).*/\1/p')
    [ -n "$rust_has" ] &&
        [ "$(printf '%s\n%s\n' "$rust_wanted" "$rust_has" | sort -V | head -n 1)" = "$rust_wanted" ]
}

# install_packages [OPTION] PACKAGE...: installs them with apt-get. Fails, and says why, if that is not possible.
install_packages() {
    as_root=
    [ "$(id -u)" = 0 ] || as_root="sudo -n"
    if ! command -v apt-get >/dev/null 2>&1 || ! $as_root true 2>/dev/null; then
        echo "Please install first (names of Debian's packages): $*" >&2
        return 1
    fi
    echo "Installing: $*"
    $as_root apt-get update -qq || echo "apt-get update failed; going on with the lists at hand" >&2
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null || {
        echo "apt-get could not install: $*" >&2
        return 1
    }
}

# Installs the missing packages, or prints their names and exits.
install_missing() {
    # shellcheck disable=SC2086 # a list of packages
    [ -z "$missing" ] || install_packages $missing || exit 1
    rust_is_recent || {
        echo "cargo is ${rust_has:-missing}, but $rust_wanted or newer is needed: see https://rustup.rs" >&2
        exit 1
    }
}

# Sourced by the run_*.sh scripts: enters a fresh directory with its own TMPDIR and cache.
set -eu
scratch=$(mktemp -d)
trap 'cd /; rm -rf "$scratch"' EXIT
cd "$scratch"
mkdir tmp home
TMPDIR=$scratch/tmp HOME=$scratch/home XDG_CACHE_HOME=$scratch/cache
export TMPDIR HOME XDG_CACHE_HOME

fail() {
    echo "$0: $*" >&2
    exit 1
}

# expect STATUS COMMAND...: runs the command, which must end with this status. Its output is in ./out and ./err.
expect() {
    wanted=$1
    shift
    got=0
    "$@" >out 2>err </dev/null || got=$?
    [ "$got" = "$wanted" ] || { cat out err >&2; fail "status $got, not $wanted: $*"; }
}

# plant DIR: makes a small tree to back up.
plant() {
    mkdir -p "$1/dir"
    echo one >"$1/a.txt"
    seq 1 20000 >"$1/dir/numbers"
    ln -s ../a.txt "$1/dir/link"
}
unset IBT_STORE IBT_CACHE IBT_KEY

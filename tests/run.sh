#!/bin/sh
# Runs everything that must pass before a change is done: style, lints, tests, documentation, C programs
# under ctest, the demonstration. Installs the tools it needs where apt-get may be used.
#
#   sh tests/run.sh            all of it
#   sh tests/run.sh clippy doc only the steps named so (see the end of this file)
#
# IBT_TEST_CASES, IBT_TEST_DAMAGES and IBT_TEST_KILLS make the random and the fault tests longer.
set -u
cd "$(dirname "$0")/.." || exit 1
export CARGO_TERM_COLOR=never
# One directory for all builds with cargo, so that the C programs and the demonstration share one build of the library.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
export RUSTC_WORKSPACE_WRAPPER="$PWD/tests/support/rustc.sh"
jobs=$(nproc 2>/dev/null || echo 2)
# Many tests wait for the disk or for a clock: more of them run at a time than there are processors.
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-$((jobs + 1))}"
# The random tests have the same cases in each run. A longer run (IBT_TEST_CASES) has new cases, and prints their seed.
[ -n "${IBT_TEST_CASES:-}" ] || export PROPTEST_RNG_SEED="${PROPTEST_RNG_SEED:-1}"
log=build/step.log

# shellcheck source=tests/support/tools.sh
. tests/support/tools.sh
need gcc gcc libc6-dev
need g++ g++
need musl-gcc musl-tools
need make make
need cmake cmake
need pkg-config pkg-config
need git git ca-certificates
need valgrind valgrind
echo '#include <sodium.h>' | cc -E - >/dev/null 2>&1 || need no-such-command libsodium-dev
need strace strace
need rdiff rdiff
need rsync rsync
need rclone rclone
need zstd zstd
need groff groff-base
need mandoc mandoc
need busybox busybox
need doxygen doxygen
need jq jq
need b3sum b3sum
need setfacl acl
need getfattr attr
need bsdtar libarchive-tools
need python3 python3
need setpriv util-linux
need mount mount
need mkfs.exfat exfatprogs
need mke2fs e2fsprogs
need mount.exfat-fuse exfat-fuse
need mkfs.btrfs btrfs-progs
need mkfs.xfs xfsprogs
need lsattr e2fsprogs
need go golang
need abidw abigail-tools
ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1 || need no-such-command libfaketime
ruby -rffi -rminitest -e '' 2>/dev/null || need no-such-command ruby ruby-ffi ruby-minitest
need yard yard
need_rust "$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)"
if ! command -v rustup >/dev/null 2>&1; then
    need cargo-fmt rustfmt-web
    need cargo-clippy rust-web-clippy
fi
install_missing

mkdir -p build
wanted=$*
summary=
skipped=
failures=0

# Runs a command, shows its output and writes it to $log. Returns the status of the command by way of a file: the
# status of a pipe is that of its last command, here tee.
logged() {
    echo unfinished >$log.status
    { "$@" 2>&1; echo $? >$log.status; } | tee $log
    [ "$(cat $log.status)" = 0 ]
}

# skips_of STEP: lists the skipped tests of a step: each line of $log with "skipped:", once. The harness writes "test
# NAME ... RESULT" in two parts, so this text may come before "skipped:" on the same line.
skips_of() {
    sed -n "s/^\(test .* \.\.\. [a-z]*\)\{0,1\}skipped: \(.*\)/  $1: \2/p" $log | sort -u
}

# step NAME COMMAND...: runs the command, and goes on if it fails. Remembers its result and its skipped tests.
step() {
    name=$1
    shift
    case " $wanted " in "  " | *" $name "*) ;; *) return ;; esac
    printf '\n==== %s: %s\n' "$name" "$*"
    began=$(date +%s)
    if logged "$@"; then ended=passed; else ended=FAILED failures=$((failures + 1)); fi
    summary="$summary$(printf '%-8s %4d s  %s' "$ended" $(($(date +%s) - began)) "$name")
"
    skips=$(skips_of "$name")
    [ -z "$skips" ] || skipped="$skipped$skips
"
}

scripts() {
    for script in tests/*.sh tests/support/*.sh fuzz/*.sh examples-c/*.sh benches/*.sh debian/*.sh .ci/run \
        debian/tests/command-line debian/tests/go debian/tests/program debian/tests/python debian/tests/ruby; do
        [ -f "$script" ] || continue
        case $(head -n 1 "$script") in *bash*) shell="bash" ;; *) shell="sh" ;; esac
        $shell -n "$script" || return 1
        ! command -v shellcheck >/dev/null 2>&1 || shellcheck -x "$script" || return 1
    done
    sh benches/parameters.sh --check
}

docs() {
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps && doxygen docs/Doxyfile
}

c_programs() {
    cmake -S . -B build/tests -DIBT_WERROR=ON -DIBT_CARGO_TARGET_DIR="$CARGO_TARGET_DIR" &&
        cmake --build build/tests --parallel "$jobs" &&
        ctest --test-dir build/tests --parallel "$jobs" --output-on-failure --no-tests=error || return 1
    # ctest prints the output of failed tests only. The output of all tests is in this file.
    grep '^skipped:' build/tests/Testing/Temporary/LastTest.log || true
}

# Runs the tests of deltas and backups with librsync, the C engine, in place of our own engine. Only code in src depends
# on the engine, so clippy has seen the other targets already.
c_engine() {
    cargo test --locked --no-fail-fast --features librsync --lib --test delta_oracle --test delta_far \
        --test round_trip --test increments --test stored_form &&
        cargo clippy --locked --features librsync --lib -- -D warnings &&
        cargo clippy --locked --features librsync --lib --profile test -- -D warnings || return 1
    ! grep -rn --include='*.rs' 'feature = "librsync"' tests benches || { echo "clippy must check these with librsync too"; return 1; }
}

# Runs the tests of storages in buckets: lints, units, whole operations against a server of their own, licences.
object_store() {
    feature() {
        command=$1
        shift
        cargo "$command" --locked --features object-store --config tests/support/object_store.toml "$@"
    }
    feature test --no-fail-fast --test object_store --test dependencies &&
        feature test --test model bucket &&
        feature test --lib store::object &&
        feature clippy --lib --test object_store --test model -- -D warnings
}

# Builds and runs a fully static C program with the library, if the standard library for musl is installed or rustup can
# install it. Nothing is optimized: the build takes most of the time, and the program backs up a few files.
musl() {
    target=x86_64-unknown-linux-musl
    std=$(rustc --print target-libdir --target $target)
    [ -d "$std" ] || rustup target add $target || true
    if [ ! -d "$std" ] || [ "$(uname -m)" != x86_64 ]; then
        echo "skipped: no standard library for $target"
        return
    fi
    mkdir -p build && cargo rustc --locked --lib --crate-type staticlib --target $target \
        --config 'profile.dev.opt-level=0' --config 'profile.dev.package."*".opt-level=0' &&
        musl-gcc -static -Iinclude -o build/quickstart-musl examples-c/quickstart.c \
            "$CARGO_TARGET_DIR/$target/debug/libibt.a" "$std/self-contained/libunwind.a" || return 1
    room=$(mktemp -d) && TMPDIR=$room build/quickstart-musl "$PWD/include" "$room/restored" >/dev/null &&
        diff -r include "$room/restored"
    ended=$?
    rm -rf "$room"
    return $ended
}

# Runs the round trips without privileges: the system refuses root nothing, so tests as root do not see a missing right.
ordinary_user() {
    [ "$(id -u)" = 0 ] || { echo "this was one already"; return; }
    binary=$(cargo test --locked --no-run --test round_trip --message-format=json 2>/dev/null |
        jq -r 'select(.executable and .target.name == "round_trip").executable') || return 1
    room=$(mktemp -d) && chmod 1777 "$room" && cp "$binary" "$room/round_trip" || return 1
    (cd "$room" && HOME=$room TMPDIR=$room setpriv --reuid=65534 --regid=65534 --clear-groups ./round_trip)
    ended=$?
    rm -rf "$room"
    return $ended
}

# Installs the library into build/installed, and exports the variables by which a program finds it there.
installed_tree() {
    cmake -S . -B build/tests -DIBT_WERROR=ON >/dev/null && cmake --build build/tests --parallel 2 &&
        cmake --install build/tests --prefix "$PWD/build/installed" >/dev/null || return 1
    found=$(find "$PWD/build/installed" -name ibt.pc)
    export PKG_CONFIG_PATH="${found%/*}" LD_LIBRARY_PATH="${found%/pkgconfig/ibt.pc}"
}

# Checks and tests the Go package. The race detector and the checks of pointers are on.
go_package() (
    installed_tree || exit 1
    export GOCACHE="$PWD/build/go-cache" GODEBUG=cgocheck=2 CGO_ENABLED=1
    cd bindings/go || exit 1
    unformatted=$(gofmt -l .)
    [ -z "$unformatted" ] || { echo "gofmt would change: $unformatted"; exit 1; }
    go vet ./... && go test -race -count=10 -run Goroutines ./... && go test -race -count=1 ./... &&
        go test -count=1 -run Memory ./...
)

# Tests the gem, and checks that its documentation is whole.
ruby_gem() (
    installed_tree || exit 1
    cd bindings/ruby || exit 1
    ruby -w -Ilib test/all.rb || exit 1
    stats=$(yard stats --no-cache --no-save --fail-on-warning --list-undoc 2>&1) || { echo "$stats"; exit 1; }
    case $stats in *"100.00% documented"*) ;; *) echo "$stats"; exit 1 ;; esac
)

# Tests the Python package, with warnings as errors and the checks of Python's development mode. Then uses it to check
# the numbers of docs/scale.md.
python_package() (
    installed_tree || exit 1
    export IBT_LIBRARY="$LD_LIBRARY_PATH/libibt.so.0" PYTHONPATH="$PWD/bindings/python" PYTHONDONTWRITEBYTECODE=1
    python3 -X dev -W error -m unittest discover -s bindings/python/tests &&
        python3 -X dev -W error benches/scale_model.py --check
)

# Lets system calls of the command line fail: a sample of all faults. tests/long.sh runs all of them.
faults() (
    installed_tree && python3 tests/faults.py build/installed/bin/ibt --seconds 40
)

step scripts scripts
step fmt cargo fmt --check
step clippy cargo clippy --locked --all-targets -- -D warnings
step test cargo test --locked --no-fail-fast
step librsync c_engine
step object_store object_store
step musl musl
step ordinary_user ordinary_user
step doc docs
step abi sh tests/abi.sh
step c c_programs
step go go_package
step ruby ruby_gem
step python python_package
step faults faults
step demo sh examples-c/demo.sh

printf '\n==== summary\n%s' "$summary"
[ -z "$skipped" ] || printf '%d skipped:\n%s' "$(printf %s "$skipped" | wc -l)" "$skipped"
[ "$failures" = 0 ]

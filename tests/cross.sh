#!/bin/sh
# Builds libibt for other machines, as a packager would, and runs it.
#
#   sh tests/cross.sh MACHINE... [PART...]
#
# A machine is i686, armhf, arm64, s390x (big-endian), or all. freebsd (x86_64) and macos (arm64) are only checked: the
# compiler looks at the Rust code of the library, and nothing is linked or run. The parts, by default all of them, each
# after a build of the libraries, the tool and the programs of ctest:
#   c       programs of ctest
#   units   the unit tests of the deltas and of the stored formats
#   stores  stores that go from this machine to the other one and back
#
# Uses Debian's compilers, and qemu where this machine cannot run the programs. Rust needs the standard library of the
# other machine in the version of the compiler. Debian's compiler (rustc-web) has this library as a package of the other
# machine (libstd-rust-web-dev), or it is built from rust-web-src. Everything but these packages is in build/cross. A
# Rust of rustup is not used.
set -u
cd "$(dirname "$0")/.." || exit 1
unset IBT_STORE IBT_CACHE IBT_KEY
export CARGO_TERM_COLOR=never LC_ALL=C.UTF-8
dir=$PWD/build/cross
sysroot=$dir/rust
rustc=$sysroot/rustc
cargo=/usr/bin/cargo
config=$dir/config.toml
jobs=$(nproc 2>/dev/null || echo 2)

# shellcheck source=tests/support/tools.sh
. tests/support/tools.sh

# Sets the variables of a machine: its name in Debian, the prefix of its tools, its name in Rust, its emulator, and its
# directory.
describe() {
    case $1 in
    i686) debian=i386 tools=i686-linux-gnu triple=i686-unknown-linux-gnu qemu=qemu-i386 ;;
    armhf) debian=armhf tools=arm-linux-gnueabihf triple=armv7-unknown-linux-gnueabihf qemu=qemu-arm ;;
    arm64) debian=arm64 tools=aarch64-linux-gnu triple=aarch64-unknown-linux-gnu qemu=qemu-aarch64 ;;
    s390x) debian=s390x tools=s390x-linux-gnu triple=s390x-unknown-linux-gnu qemu=qemu-s390x ;;
    freebsd) debian='' triple=x86_64-unknown-freebsd ;;
    macos) debian='' triple=aarch64-apple-darwin ;;
    esac
    build=$dir/$1
    # triple_ is the form of the triple in names of variables.
    triple_=$(printf %s "$triple" | tr - _)
}

# is_installed PACKAGE
is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Installs packages that are missing. It never removes a package: where rustc-web would replace another Rust, it fails.
packages() {
    absent=
    for package in "$@"; do
        is_installed "$package" || absent="$absent $package"
    done
    # shellcheck disable=SC2086 # a list of packages
    [ -z "$absent" ] || install_packages --no-remove $absent
}

# foreign_apt COMMAND...: apt-get for the other architecture, with its own lists of packages. The system does not learn
# of the architecture.
foreign_apt() {
    mkdir -p "$build/apt/lists/partial" "$build/apt/cache/archives/partial" &&
        apt-get -qq -o APT::Architecture="$debian" -o APT::Architectures="$debian" -o APT::Sandbox::User=root \
            -o Dir::State::lists="$build/apt/lists" -o Dir::State::status=/dev/null \
            -o Dir::Cache="$build/apt/cache" -o Acquire::Languages=none "$@"
}

# Makes the directory in which rustc finds the standard libraries, and the compiler that uses it.
prepare_rust() {
    host=$(/usr/bin/rustc -vV | sed -n 's/^host: //p')
    version=$(dpkg-query -W -f='${Version}' rustc-web) && [ -n "$host" ] || return 1
    if [ "$(cat "$sysroot/version" 2>/dev/null)" != "$version" ]; then
        rm -rf "$sysroot" && mkdir -p "$sysroot/lib/rustlib" &&
            ln -s "/usr/lib/rustlib/$host" "$sysroot/lib/rustlib/$host" &&
            printf '#!/bin/sh\nexec /usr/bin/rustc --sysroot "%s" "$@"\n' "$sysroot" >"$rustc" &&
            chmod +x "$rustc" && echo "$version" >"$sysroot/version" || return 1
    fi
}

# Puts the standard library for $triple into the sysroot.
standard_library() {
    [ ! -d "$sysroot/lib/rustlib/$triple" ] || return 0
    { [ -n "$debian" ] && packaged_library; } || build_library
}

# Takes the standard library out of the package for the other architecture.
packaged_library() (
    foreign_apt update || true # a source that fails may be another one
    rm -rf "$build/std" && mkdir -p "$build/std" && cd "$build/std" &&
        foreign_apt download "libstd-rust-web-dev=$version" && dpkg -x ./libstd-rust-web-dev_*.deb . &&
        mv "usr/lib/rustlib/$triple" "$sysroot/lib/rustlib/" && rm -rf "$build/std"
)

# Gets the sources of the standard library.
library_sources() (
    [ ! -d "$sysroot/lib/rustlib/src/rust" ] || exit 0
    mkdir -p "$dir/std" && cd "$dir/std" &&
        apt-get -qq -o APT::Sandbox::User=root download "rust-web-src=$version" && rm -rf unpacked &&
        dpkg -x ./rust-web-src_*.deb unpacked && rm ./rust-web-src_*.deb && mkdir -p "$sysroot/lib/rustlib/src" &&
        ln -s "$PWD"/unpacked/usr/src/rustc-* "$sysroot/lib/rustlib/src/rust"
)

# Builds the standard library. cargo and rustc offer that only with RUSTC_BOOTSTRAP.
build_library() (
    echo "Debian has no libstd-rust-web-dev=$version for $triple: building the standard library"
    std=$dir/std
    library_sources && mkdir -p "$std/lib" || exit 1
    printf '[package]\nname = "nothing"\nedition = "2021"\n[lib]\npath = "nothing.rs"\n' >"$std/lib/Cargo.toml"
    : >"$std/lib/nothing.rs"
    RUSTC_BOOTSTRAP=1 "$cargo" build -Zbuild-std=std,panic_unwind,test --release --target "$triple" \
        --config profile.release.opt-level=1 --manifest-path "$std/lib/Cargo.toml" --target-dir "$std/target" || exit 1
    made=$sysroot/lib/rustlib/$triple
    mkdir -p "$made.part/lib" && cp "$std/target/$triple/release/deps/"*.rlib "$made.part/lib" &&
        rm -f "$made.part/lib/libnothing"* && mv "$made.part" "$made"
)

# Builds and installs the libraries, the tool and the programs of ctest.
build_programs() {
    emulator=$(printf %s "$run" | tr ' ' ';')
    cmake -S . -B "$build" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR="${tools%%-*}" \
        -DCMAKE_C_COMPILER="$tools-gcc" -DCMAKE_CXX_COMPILER="$tools-g++" \
        -DCMAKE_CROSSCOMPILING_EMULATOR="$emulator" -DIBT_CARGO_TARGET="$triple" -DIBT_CARGO_PROFILE=dev \
        -DIBT_CARGO_TARGET_DIR="$dir/target" -DIBT_CARGO_FLAGS="--config '$config'" -DIBT_WERROR=ON \
        -DCARGO="$cargo" -DRUSTC="$rustc" >/dev/null &&
        cmake --build "$build" --parallel "$jobs" &&
        cmake --install "$build" --prefix "$build/installed" >/dev/null
}

# Runs the programs of ctest.
run_programs() {
    ctest --test-dir "$build" --parallel "$jobs" --output-on-failure --no-tests=error
}

# Builds the unit tests, and runs those of the deltas, of the stored formats, and others of code without system calls.
# The compiler of C is the one that CMake gave to cargo, so that the crates are not built again.
unit_tests() (
    TRIPLE=$(printf %s "$triple_" | tr '[:lower:]' '[:upper:]')
    export "CC_$triple_=$dir/target/wrappers/cc_$triple.sh" \
        "AR_$triple_=$(sed -n 's/^CMAKE_AR:[A-Z]*=//p' "$build/CMakeCache.txt")" \
        "CARGO_TARGET_${TRIPLE}_LINKER=$tools-gcc"
    "$cargo" test --config "$config" --locked --lib --no-run --target "$triple" --target-dir "$dir/target" \
        --message-format=json >"$build/messages.json" || exit 1
    tests=$(jq -r 'select(.executable and .profile.test).executable' "$build/messages.json")
    [ -n "$tests" ] || exit 1
    # shellcheck disable=SC2086 # the words of a command
    PROPTEST_RNG_SEED=1 $run "$tests" --test-threads "$jobs" delta:: format:: state:: entry:: stamp:: text:: exclude:: \
        platform::local_time
)

# Checks the Rust code of the library and of the standard library that it uses. C code of crates is not compiled,
# because there is no compiler for it.
check_library() (
    mkdir -p "$build" || exit 1
    cat >"$build/cc" <<'END'
#!/bin/sh
# Makes an empty file of each output.
while [ $# -gt 1 ]; do
    [ "$1" != -o ] || : >"$2"
    shift
done
END
    chmod +x "$build/cc" && export "CC_$triple_=$build/cc" "AR_$triple_=true"
    RUSTC_BOOTSTRAP=1 "$cargo" check -Zbuild-std=std,panic_unwind --locked --lib --target "$triple" \
        --target-dir "$dir/target"
)

# Builds the tool of this machine.
own_tool() {
    cmake -S . -B "$dir/here" -DBUILD_TESTING=OFF -DIBT_CARGO_PROFILE=dev -DIBT_CARGO_TARGET_DIR="$dir/target" \
        -DIBT_CARGO_FLAGS="--config '$config'" -DIBT_WERROR=ON -DCARGO="$cargo" -DRUSTC="$rustc" >/dev/null &&
        cmake --build "$dir/here" --parallel "$jobs" --target ibt_tool
}

# here ARGUMENT...: runs the tool of this machine. there ARGUMENT...: that of the other machine.
here() {
    "$dir/here/ibt" "$@"
}

there() {
    # shellcheck disable=SC2086 # the words of a command
    $run "$build/installed/bin/ibt" "$@"
}

# Makes a tree. One file has bytes beyond 4 GiB, two have times that a time_t of 32 bits does not have.
plant() {
    tree=$room/tree
    mkdir -p "$tree/dir/empty" && printf one >"$tree/a" && chmod 4750 "$tree/a" &&
        seq 1 200000 >"$tree/dir/numbers" && head -c 3000000 /dev/urandom >"$tree/dir/noise" &&
        cp "$tree/dir/noise" "$tree/moved0" && ln "$tree/a" "$tree/dir/same" && ln -s ../a "$tree/dir/link" &&
        mkfifo "$tree/fifo" && printf odd >"$tree/$(printf 'odd\nname\377')" &&
        setfattr -n user.colour -v blue "$tree/a" && setfacl -m u:1234:r "$tree/dir/numbers" &&
        printf far | dd of="$tree/sparse" bs=1 seek=5000000000 status=none &&
        touch -d 2100-06-01T12:00:00.123456789Z "$tree/dir/later" &&
        touch -d 1905-06-01T12:00:00.123456789Z "$tree/dir/earlier" || return 1
    # Other owners need root.
    chown 1234:5678 "$tree/dir/noise" 2>/dev/null || true
}

# change NUMBER: changes the tree, and moves a file.
change() {
    { head -c 500000 "$tree/dir/numbers"; echo "change $1"; tail -c +500001 "$tree/dir/numbers"; } >"$room/edited" &&
        cat "$room/edited" >"$tree/dir/numbers" &&
        printf 'change %d' "$1" | dd of="$tree/dir/noise" bs=1 seek="$1"000000 conv=notrunc status=none &&
        printf 'change %d' "$1" | dd of="$tree/sparse" bs=1 seek=4294967290 conv=notrunc status=none &&
        printf more >>"$tree/a" && mv "$tree/moved$(($1 - 1))" "$tree/moved$1" &&
        echo "$1" >"$tree/new$1" && rm -f "$tree/new$(($1 - 1))"
}

# same TREE TREE: fails, and prints the difference, unless both trees have the same entries. The long file is compared
# from 4 GiB on only: rsync would read it whole.
same() {
    difference=$(rsync -aHAXnc --delete --itemize-changes --numeric-ids --modify-window=-1 --exclude=/sparse \
        "$1/" "$2/") || return 1
    [ -z "$difference" ] || { printf '%s\n' "$difference"; return 1; }
    cmp -i 4294967000 "$1/sparse" "$2/sparse" && [ "$(stat -c '%s %y' "$1/sparse")" = "$(stat -c '%s %y' "$2/sparse")" ]
}

# backup MACHINE full|incr OPTION...: backs up the tree, keeps a copy of it, and remembers the stamp.
backup() {
    "$@" "$tree" --store "$store" --no-cache --json >"$room/report" &&
        stamps="$stamps $(jq -r .snapshot "$room/report")" &&
        cp -a "$tree" "$room/saved$(echo "$stamps" | wc -w)"
}

# restores MACHINE: verifies the store. Restores and compares each snapshot whose tree was kept, and the newest one.
restores() {
    "$1" verify tree --store "$store" --no-cache --quiet || return 1
    number=0
    for stamp in $stamps; do
        number=$((number + 1))
        [ ! -d "$room/saved$number" ] || restored_is "$number" "$1" --at "$stamp" || return 1
    done
    restored_is $number "$1"
}

# restored_is NUMBER MACHINE OPTION...: restores a snapshot, and compares it with the kept tree of this number.
restored_is() {
    kept=$room/saved$1 machine=$2
    shift 2
    "$machine" restore tree "$room/restored" --store "$store" --no-cache --quiet "$@" && same "$kept" "$room/restored"
    restored=$?
    rm -rf "$room/restored"
    return $restored
}

# carry FIRST SECOND: one machine makes a full, the other an increment with signatures only, and the first one with the
# old contents. Both restore everything. Then one copies a snapshot, and the other removes the older ones.
carry() {
    room=$(mktemp -d) store=$room/store stamps=
    plant && backup "$1" full && change 1 && backup "$2" incr --delta signatures &&
        used_deltas && change 2 && backup "$1" incr --delta contents && used_deltas &&
        "$2" incr "$tree" --store "$store" --no-cache --skip-unchanged | grep 'nothing changed' &&
        "$2" compare tree "$tree" --store "$store" --no-cache &&
        restores "$1" && restores "$2" &&
        "$2" consolidate tree --store "$store" --no-cache --quiet && rm -rf "$room/saved1" "$room/saved2" &&
        "$1" prune tree --keep-last 2 --store "$store" --no-cache --quiet &&
        restores "$1" && restores "$2" && same_digests "$1" "$2"
    carried=$?
    rm -rf "$room"
    return $carried
}

# The last increment stored changed files as deltas: fewer bytes than one of the files has.
used_deltas() {
    [ "$(jq .total_size "$room/report")" -lt 200000 ] || { echo "too large for deltas:"; cat "$room/report"; return 1; }
}

# Both machines give one tree the same digest.
same_digests() {
    for machine in "$@"; do
        "$machine" full "$tree" --store "$room/store-$machine" --no-cache --json >"$room/report" || return 1
        jq -r .digest "$room/report"
    done >"$room/digests"
    [ "$(sort -u "$room/digests" | wc -l)" = 1 ] || { echo "two digests of one tree:"; cat "$room/digests"; return 1; }
}

# Sets $run to the command that runs a program of the machine.
emulator() {
    loader=/usr/$tools/lib/ld-linux.so.2
    if [ "$1" = i686 ] && $loader --version >/dev/null 2>&1; then
        run="$loader --library-path /usr/$tools/lib"
    else
        run="$qemu -L /usr/$tools"
        packages qemu-user
    fi
}

# Builds and tests one machine, or does only the parts that the caller named.
test_machine() {
    case $1 in
    freebsd | macos)
        library_sources && part check check_library
        return
        ;;
    esac
    if ! packages "gcc-$tools" "g++-$tools" || ! emulator "$1"; then
        echo "skipped: $1: not all packages can be installed"
        return 0
    fi
    standard_library || { echo "skipped: $1: no standard library of Rust for rustc-web $version"; return 0; }
    build_programs || { echo "$arch: FAILED: build"; return 1; }
    part c run_programs && part units unit_tests &&
        part stores own_tool && part stores carry here there && part stores carry there here
}

# part NAME COMMAND...: runs a part of the test of a machine, and prints how long it took.
part() {
    name=$1
    shift
    case " ${parts:-$name} " in *" $name "*) ;; *) return 0 ;; esac
    since=$(date +%s)
    "$@" || { echo "$arch: FAILED: $name: $*"; return 1; }
    echo "$arch: passed: $name: $* ($(($(date +%s) - since)) s)"
}

machines=''
parts=''
for word in "$@"; do
    case $word in
    all) machines="i686 armhf arm64 s390x freebsd macos" ;;
    i686 | armhf | arm64 | s390x | freebsd | macos) machines="$machines $word" ;;
    c | units | stores) parts="$parts $word" ;;
    *) machines= && break ;;
    esac
done
if [ -z "$machines" ]; then
    echo "usage: sh tests/cross.sh all|i686|armhf|arm64|s390x|freebsd|macos... [c|units|stores...]" >&2
    exit 2
fi
if [ "$(dpkg --print-architecture 2>/dev/null)" != amd64 ]; then
    echo "skipped: builds for other machines: this is not Debian on x86_64"
    exit 0
fi
if ! packages cmake make gcc libc6-dev jq rsync attr acl ca-certificates rustc-web cargo-web || ! prepare_rust; then
    echo "skipped: builds for other machines: no rustc-web"
    exit 0
fi
unset RUSTC_WORKSPACE_WRAPPER RUSTC_WRAPPER RUSTFLAGS CARGO_BUILD_TARGET CARGO_TARGET_DIR
export RUSTC="$rustc"
# Such a build takes half of the time, and these tests handle little data. Without any optimization, the functions of
# the library need more stack than include/ibt.h promises.
printf '[profile.dev]\ndebug = false\n[profile.dev.package."*"]\nopt-level = 1\n' >"$config"
failures=
for arch in $machines; do
    describe "$arch"
    test_machine "$arch" || failures="$failures $arch"
done
[ -z "$failures" ] || { echo "failed:$failures"; exit 1; }

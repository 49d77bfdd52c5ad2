#!/bin/sh
# Builds the targets of the fuzzer and runs each of them.
#
#   sh fuzz/run.sh SECONDS [TARGET...]
#
# cargo-fuzz is not needed: this sets the flags for the coverage that libFuzzer reads. A stable compiler is enough,
# because no sanitizer is used; valgrind sees the little unsafe code of the library in the C programs. Inputs that reach
# new code go to fuzz/corpus. An input that breaks a rule goes to fuzz/artifacts: mend the code, and add the input to
# tests/fuzzed/corpus.
set -eu
cd "$(dirname "$0")"
seconds=$1
shift
triple=$(rustc -vV | sed -n 's/^host: //p')
flags="--cfg fuzzing -Cpasses=sancov-module"
for option in level=4 inline-8bit-counters pc-table trace-compares; do
    flags="$flags -Cllvm-args=-sanitizer-coverage-$option"
done
# With --target, cargo does not pass these flags to build scripts, which have no libFuzzer.
CARGO_TARGET_DIR=$PWD/target RUSTFLAGS="${RUSTFLAGS:-} $flags" RUSTC_WORKSPACE_WRAPPER='' \
    cargo build --locked --release --target "$triple"
failed=''
for corpus in ../tests/fuzzed/corpus/*; do
    target=${corpus##*/}
    case " ${*:-$target} " in *" $target "*) ;; *) continue ;; esac
    mkdir -p "corpus/$target" "artifacts/$target"
    "target/$triple/release/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=16384 \
        -artifact_prefix="artifacts/$target/" "corpus/$target" "$corpus" || failed="$failed $target"
done
[ -z "$failed" ] || { echo "failed:$failed"; exit 1; }

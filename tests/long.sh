#!/bin/sh
# Runs the tests that take hours: every fault of every system call of the command line, five minutes of each target of
# the fuzzer, and the sweeps and random tests of tests/run.sh with many more cases, whose seed is new in each run.
#
#   sh tests/long.sh
set -eu
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"

# Builds the command line, and everything that the tests need.
sh tests/run.sh c
cmake --install build/tests --prefix "$PWD/build/installed" >/dev/null
python3 tests/faults.py build/installed/bin/ibt
sh tests/rados.sh
sh fuzz/run.sh 300

export IBT_TEST_CASES="${IBT_TEST_CASES:-500}" IBT_TEST_KILLS="${IBT_TEST_KILLS:-100}"
export IBT_TEST_DAMAGES="${IBT_TEST_DAMAGES:-100}"
sh tests/run.sh test

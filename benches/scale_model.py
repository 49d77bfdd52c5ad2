#!/usr/bin/env python3
"""Computes the cost of backups that are too large to measure, and checks the numbers that it computes with.

    scale_model.py [--hosts N] [--files N] [--bytes N] [--changed F] [--snapshots N] [--put USD] [--get USD]
    scale_model.py --check

    --hosts      hosts with one source each, 10000 by default
    --files      files of all hosts together, 10^9 by default
    --bytes      bytes of all hosts together, 10^15 by default
    --changed    the part of the files that changes between two increments, 0.01 by default
    --snapshots  snapshots of each host that are kept: a full and increments, 90 by default
    --put --get  the price of 1,000 writes or lists, and of 1,000 reads, in dollars: 0.005 and 0.0004 by default
    --check      makes small backups with libibt, and compares them with the model. It needs the Python package
                 (PYTHONPATH=bindings/python, IBT_LIBRARY=.../libibt.so.0)

docs/scale.md explains the result.
"""

import argparse
import json
import math
import os
import random
import shutil
import sys
import tempfile
import time

# Measured: docs/performance.md says how. Seconds are those of two cores.
STATE_BYTES = 50  # stored bytes of a whole state for each file, S; 70 in K, whose paths are longer
LINE_BYTES = 300  # the same before compression
SECONDS_A_FILE = {"full": 11.0e-6, "increment": 2.9e-6, "restore": 26e-6, "one file": 1.4e-6}
BYTES_A_SECOND = {"full": 0.24e9, "restore": 0.64e9}
PEAK_MEMORY = 120e6

# Requests of an operation with a storage of functions and a warm cache. "write" is the creation of an object, however
# many requests a service makes of a large one. An increment writes up to three archives, and the state.
REQUESTS = {
    "a full": {"list": 2, "write": 3},
    "an increment": {"list": 2, "read": 1, "write": 4},
    "nothing changed": {"list": 2, "read": 3, "write": 1},
    "a list of three snapshots": {"list": 1, "read": 4},
}
LIST_AGAIN_SECONDS = 5  # a longer backup lists once more: RECENT in src/store/catalog.rs
WINDOW_BYTES = 4 << 20  # of a state are read at a time
OTHER_READS = 2  # of the restore of one file of a full: the seek table of the archive, and the frame


def reads_of_one_file(files):
    windows = math.ceil(files * STATE_BYTES / WINDOW_BYTES)
    return OTHER_READS + windows + (windows > 1)  # the seek table of a long state


# The fold rule: docs/format.md, "Layers".
CHANGE_LAYERS_MAX = 7
PERCENT_MAX = 150


def decide(new, layers, base, whole):
    """The number of the newest layers that are merged into the changes of an increment; None for a whole state.

    All are lengths of entry lines. The same as FoldRule::decide in src/format/state/fold.rs.
    """
    if new == 0 and len(layers) <= CHANGE_LAYERS_MAX:
        return 0
    ratio = max(2.0, (whole / (2.0 * max(1, new))) ** (1 / 7))
    merged, count = new, 0
    while count < len(layers):
        if layers[count] > ratio * merged and len(layers) - count < CHANGE_LAYERS_MAX:
            break
        merged += layers[count]
        count += 1
    everything = base + sum(layers[count:]) + merged
    return None if everything * 100 > whole * PERCENT_MAX else count


class Chain:
    """The state files of a chain of increments, in lengths of their entry lines."""

    def __init__(self, whole):
        self.whole, self.base, self.layers, self.written = whole, whole, [], whole

    def add(self, new):
        """An increment in which `new` bytes of lines changed, anywhere in the tree."""
        count = decide(new, self.layers, self.base, self.whole)
        if count is None:
            self.base, self.layers = self.whole, []
            self.written += self.whole
            return
        unchanged = 1 - new / self.whole
        for layer in self.layers[:count]:
            unchanged *= 1 - layer / self.whole
        merged = self.whole * (1 - unchanged)
        if new > 0:
            self.layers[:count] = [merged]
        self.written += merged if new > 0 else 0


def si(number, unit=""):
    """A number with three digits and a prefix."""
    if number == 0:
        return f"0 {unit}".strip()
    power = min(max(int(math.log10(abs(number)) // 3), 0), 5)
    return f"{number / 1000**power:.3g} {['', 'k', 'M', 'G', 'T', 'P'][power]}{unit}".strip()


def duration(seconds):
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"


def model(options):
    """Prints the tables of docs/scale.md."""
    files, size = options.files / options.hosts, options.bytes / options.hosts
    for title, hosts, files, size in (
        (f"{options.hosts:.0f} hosts", options.hosts, files, size),
        ("one source with all of it", 1, options.files, options.bytes),
    ):
        chain, most = Chain(files * LINE_BYTES), 0
        for _ in range(options.snapshots - 1):
            chain.add(files * options.changed * LINE_BYTES)
            most = max(most, len(chain.layers) + 1)
        stored = STATE_BYTES / LINE_BYTES
        state = chain.whole * stored
        increments = (chain.written - chain.whole) * stored / max(1, options.snapshots - 1)
        print(f"\n{title}: {si(files)} files, {si(size, 'B')} each, {options.changed:.3g} of them changes\n")
        print("| | each | all |\n|---|---|---|")
        rows = [
            ("state of a full", state, "B"),
            ("state of an increment, mean", increments, "B"),
            ("states of all snapshots", state + increments * (options.snapshots - 1), "B"),
            ("objects", 3 + 4 * (options.snapshots - 1), ""),
        ]
        for name, each, unit in rows:
            print(f"| {name} | {si(each, unit)} | {si(each * hosts, unit)} |")
        print(f"| state files of one snapshot, at most | {most} | |")
        lists_again = set()
        for name, kind in (("full", "full"), ("increment", "increment"), ("restore", "restore")):
            data = size * (options.changed if kind == "increment" else 1)
            seconds = max(files * SECONDS_A_FILE[kind], data / BYTES_A_SECOND.get(kind, BYTES_A_SECOND["full"]))
            if seconds > LIST_AGAIN_SECONDS:
                lists_again.add(f"{'a' if name != 'increment' else 'an'} {name}")
            print(f"| time of {'a' if name != 'increment' else 'an'} {name} on two cores | {duration(seconds)} | |")
        print(f"| time until one file is found | {duration(files * SECONDS_A_FILE['one file'])} | |")
        print(f"| the same, if each read takes 30 ms | {duration(reads_of_one_file(files) * 0.03)} | |")
        reads = reads_of_one_file(files)
        for name, requests in {**REQUESTS, "the restore of one file": {"list": 1, "read": reads}}.items():
            requests = {**requests, "list": requests["list"] + (name in lists_again)}
            puts = requests["list"] + requests.get("write", 0)  # services price a list like a write
            cost = (puts * options.put + requests.get("read", 0) * options.get) / 1000 * hosts
            number = sum(requests.values())
            print(f"| requests of {name} | {number} | {si(number * hosts)}, {cost:.4g} $ |")


# ---- The check ----


class Counter:
    """A storage in memory that counts requests."""

    def __init__(self):
        self.objects, self.requests = {}, {}

    def count(self, name):
        self.requests[name] = self.requests.get(name, 0) + 1

    def taken(self):
        """The requests since the last call."""
        requests, self.requests = self.requests, {}
        return requests

    def create(self, name):
        self.count("write")
        return Writer(self, name)

    def read_at(self, name, offset, length):
        self.count("read")
        return self.objects[name][offset : offset + length]

    def list(self, prefix):
        self.count("list")
        return [(name, len(data)) for name, data in self.objects.items() if name.startswith(prefix)]

    def delete(self, name):
        self.count("delete")
        self.objects.pop(name, None)


class Writer:
    def __init__(self, counter, name):
        self.counter, self.name, self.data = counter, name, bytearray()

    def write(self, data):
        self.data += data

    def commit(self):
        self.counter.objects[self.name] = bytes(self.data)

    def abort(self):
        pass


def make_tree(root, files):
    random.seed(1)
    for number in range(files):
        directory = os.path.join(root, f"{number // 256:04x}")
        os.makedirs(directory, exist_ok=True)
        with open(os.path.join(directory, f"{number:08x}.dat"), "wb") as file:
            file.write(random.randbytes(1000))
        os.utime(file.name, ns=(10**18 + number * 1234567, 10**18 + number * 1234567))


def rewrite(root, numbers, step):
    """Rewrites files in place: so their directories do not change. Returns their paths."""
    paths = []
    for number in numbers:
        path = f"{number // 256:04x}/{number:08x}.dat"
        with open(os.path.join(root, path), "r+b") as file:
            file.write(b"%08d" % step)
        paths.append(path)
    return paths


def entry_lines(state):
    """The lines of the entries of a state that is not compressed: path and length. And its number of layers."""
    lines = state.split(b"\n")
    first = next(at for at, line in enumerate(lines) if line.endswith(b'"entries":['))
    last = lines.index(b"],")
    entries = [(json.loads(line.rstrip(b","))["path"], len(line) + 1) for line in lines[first + 1 : last]]
    header = json.loads(b"\n".join(lines[: first + 1]) + b"]}")
    return dict(entries), len(header.get("layers", []))


def newest_state(counter):
    return counter.objects[max(name for name in counter.objects if ".state." in name)]


class Check:
    """Compares numbers, prints them, and counts those that differ."""

    failures = 0

    def near(self, name, measured, expected, tolerance):
        good = abs(measured - expected) <= tolerance * expected
        self.failures += not good
        print(f"{'ok  ' if good else 'WRONG'} {name}: {measured:.6g}, the model has {expected:.6g}")


def check_layers(check, ibt, room, files, steps):
    """A chain of increments has exactly the layers that the fold rule gives."""
    source, counter = os.path.join(room, "layers"), Counter()
    make_tree(source, files)
    options = {"key": "layers", "compression": ibt.Compression.NONE, "cache_dir": ""}
    store = ibt.open_storage(counter)
    store.full_backup(source, **options)
    base, _ = entry_lines(newest_state(counter))
    sizes, layers, wrong = dict(base), [], 0
    for step in range(steps):
        time.sleep(0.01)
        number = files // 5 if step % 10 == 9 else 1 + files // 100 * (step % 7) // 2
        changed = rewrite(source, random.sample(range(files), number), step)
        store.incremental_backup(source, **options)
        lines, count = entry_lines(newest_state(counter))
        new = {path: lines[path] for path in changed}
        sizes.update(new)
        lengths = [sum(layer.values()) for layer in layers]
        merged = decide(sum(new.values()), lengths, sum(base.values()), sum(sizes.values()))
        if merged is None:
            base, layers = dict(sizes), []
        else:
            for layer in layers[:merged]:
                new = {**layer, **new}
            layers[:merged] = [new]
        wrong += lines.keys() != (base if merged is None else layers[0]).keys() or count != len(layers)
    check.near(f"increments of {steps} with the layers of the fold rule", steps - wrong, steps, 0)


def check_costs(check, ibt, room, files):
    """The bytes of a state and the requests of the operations."""
    source, counter, cache = os.path.join(room, "costs"), Counter(), os.path.join(room, "cache")
    make_tree(source, files)
    with open(os.path.join(source, "large"), "wb") as file:
        file.write(random.randbytes(40000))
    store, measured = ibt.open_storage(counter), {}

    def count(name, operation, *arguments, **options):
        operation(*arguments, cache_dir=cache, **options)
        measured[name] = counter.taken()

    count("a full", store.full_backup, source)
    check.near("stored bytes of a state for each file", len(newest_state(counter)) / files, STATE_BYTES, 0.25)
    count("one file", store.restore, "costs", os.path.join(room, "one"), include="0000/00000007.dat")
    check.near("reads for one file", measured["one file"]["read"], reads_of_one_file(files), 0.1)
    rewrite(source, range(0, files, 100), 1)
    with open(os.path.join(source, "large"), "r+b") as file:
        file.write(b"another")
    with open(os.path.join(source, "new"), "wb") as file:
        file.write(b"new")
    count("an increment", store.incremental_backup, source)
    count("nothing changed", store.incremental_backup, source)
    count("a list of three snapshots", store.list_snapshots, "costs")
    for name, requests in REQUESTS.items():
        for request, number in {**measured[name], **requests}.items():
            check.near(f"{request}s of {name}", measured[name].get(request, 0), requests.get(request, 0), 0)


def check(files=4096, steps=35):
    """Returns the exit status of the program."""
    import ibt

    result, room = Check(), tempfile.mkdtemp()
    try:
        check_layers(result, ibt, room, files // 4, steps)
        check_costs(result, ibt, room, files)
    finally:
        shutil.rmtree(room)
    return 1 if result.failures else 0


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n", 1)[1])
    numbers = {"hosts": 1e4, "files": 1e9, "bytes": 1e15, "changed": 0.01, "put": 0.005, "get": 0.0004}
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=float, default=default)
    parser.add_argument("--snapshots", type=int, default=90)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if options.check:
        return check()
    model(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())

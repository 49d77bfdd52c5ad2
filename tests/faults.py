#!/usr/bin/env python3
"""Lets the system calls of the command line fail, one after the other, and checks what is left.

    faults.py IBT [--seconds N] [--only OPERATION]

IBT is the command line with the shared library. strace injects each fault: an error of one call, an error of all
calls from one on, or a kill. After each fault

- the command ended with a status of its own, and not with a success that is none;
- every older snapshot verifies, and the newest of them restores exactly;
- the same command again works without help, its result is exact, and no temporary file is left.

With --seconds, the cases are a sample, spread over all calls, that takes about so long; else all of them run. Prints
the number of cases for each operation.
"""

import argparse
import collections
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

# Calls, and the errors that each of them may give. strace changes only the result of a call, so it cannot make a read
# or write short: the bytes would not fit the result. Memory is taken by the loader too, which crashes without it.
FAULTS = {
    "openat": ["error=EIO", "error=EMFILE", "error=ENOMEM"],
    "openat2": ["error=EIO", "error=EMFILE", "error=ENOMEM"],
    "read": ["error=EIO", "error=EINTR"],
    "pread64": ["error=EIO", "error=EINTR"],
    "write": ["error=ENOSPC", "error=EDQUOT", "error=EIO", "error=EINTR"],
    "pwrite64": ["error=ENOSPC", "error=EDQUOT", "error=EINTR"],
    "fallocate": ["error=ENOSPC"],
    "ftruncate": ["error=EIO"],
    "fsync": ["error=EIO", "error=ENOSPC"],
    "syncfs": ["error=EIO"],
    "renameat2": ["error=EIO", "error=ENOSPC", "error=EDQUOT"],
    "renameat": ["error=EIO", "error=ENOSPC"],
    "linkat": ["error=EIO", "error=EDQUOT"],
    "symlinkat": ["error=EIO", "error=EDQUOT"],
    "unlinkat": ["error=EIO", "error=EBUSY"],
    "mkdirat": ["error=ENOSPC", "error=EDQUOT"],
    "getdents64": ["error=EIO", "error=ENOMEM"],
    "fchmod": ["error=EIO", "error=EPERM"],
    "utimensat": ["error=EIO"],
    "statx": ["error=EIO", "error=ENOMEM"],
    "clone3": ["error=EAGAIN"],
    "close": ["error=EIO"],
}
KILLED = ["write", "fsync", "renameat", "renameat2", "linkat", "unlinkat", "mkdirat", "openat2", "close", "fchmod"]


def noise(seed, size):
    return random.Random(seed).randbytes(size)


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


def facts(root):
    """Type, mode, time and content of each entry of a tree; None if there is none."""
    if not os.path.isdir(root):
        return None
    found = {}
    for directory, directories, files in os.walk(root):
        for name in directories + files:
            path = os.path.join(directory, name)
            status = os.lstat(path)
            if os.path.islink(path):
                content = os.readlink(path)
            elif os.path.isfile(path):
                with open(path, "rb") as file:
                    content = file.read()
            else:
                content = ""
            found[os.path.relpath(path, root)] = (status.st_mode, status.st_mtime_ns, content)
    return found


class Room:
    """A source, a store with two snapshots, and copies of their trees."""

    def __init__(self, ibt, path):
        self.ibt, self.path = ibt, path
        self.source, self.clean = self.at("src"), self.at("clean")
        os.makedirs(self.at("tmp"))
        os.makedirs(self.clean)
        for number in range(6):
            write(f"{self.source}/dir/{number}", noise(number, 3000))
        write(f"{self.source}/large", noise(9, 60000))
        write(f"{self.source}/gone/file", b"gone later")
        os.symlink("large", f"{self.source}/way")
        os.link(f"{self.source}/dir/1", f"{self.source}/link")
        self.works("full", self.source, "--store", f"{self.clean}/store", "--cache", f"{self.clean}/cache")
        self.old = facts(self.source)
        self.works("restore", "src", f"{self.clean}/dest", "--store", f"{self.clean}/store")
        write(f"{self.source}/large", noise(9, 60000) + b"more")
        shutil.rmtree(f"{self.source}/gone")
        self.works("incr", self.source, "--store", f"{self.clean}/store", "--cache", f"{self.clean}/cache")
        self.new = facts(self.source)
        write(f"{self.source}/dir/new", noise(10, 5000))
        write(f"{self.source}/large", noise(9, 60000) + b"and more")
        self.newest = facts(self.source)

    def at(self, name):
        return os.path.join(self.path, name)

    def reset(self):
        """A fresh copy of store, cache and destination."""
        shutil.rmtree(self.at("now"), ignore_errors=True)
        subprocess.run(["cp", "-a", self.clean, self.at("now")], check=True)

    def environment(self):
        return {**os.environ, "TMPDIR": self.at("tmp"), "HOME": self.path, "LC_ALL": "C"}

    def run(self, arguments, strace=()):
        command = [*strace, self.ibt, *arguments]
        return subprocess.run(command, env=self.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True)

    def works(self, *arguments):
        ended = self.run(arguments)
        assert ended.returncode == 0, (arguments, ended.returncode, ended.stderr)
        return ended

    def arguments(self, *words):
        return [*words, "--store", self.at("now/store"), "--cache", self.at("now/cache"), "--threads", "2"]


# Each operation: the words of its command, and the tree that it makes: "backup" makes a snapshot of the source,
# "restore" makes the tree of the newest snapshot, None makes neither.
OPERATIONS = {
    "full": (["full", "{src}"], "backup"),
    "incr": (["incr", "{src}"], "backup"),
    "heal": (["incr", "{src}", "--heal"], "backup"),
    "restore": (["restore", "src", "{now}/new"], "restore"),
    "mirror": (["restore", "src", "{now}/dest", "--overwrite", "always", "--delete"], "restore"),
    "consolidate": (["consolidate", "src"], None),
    "prune": (["prune", "src", "--keep-last", "1"], None),
    "rebuild": (["rebuild-cache", "src"], None),
}


class Sweep:
    def __init__(self, room, name):
        self.room, self.name = room, name
        words, self.kind = OPERATIONS[name]
        self.words = [word.format(src=room.source, now=room.at("now")) for word in words]
        self.dest = self.words[2] if self.kind == "restore" else None

    def command(self):
        # rebuild-cache has no option for threads.
        arguments = self.room.arguments(*self.words)
        return arguments[:-2] if self.name in ("rebuild", "prune") else arguments

    def strace(self, *options):
        return ["timeout", "-k", "5", "60", "strace", "-f", "-qq", *options, "--"]

    def cases(self):
        """Every fault of every call: counts the calls of each thread, as strace does."""
        self.room.reset()
        log = self.room.at("log")
        ended = self.room.run(self.command(), self.strace("-o", log))
        assert ended.returncode == 0, (self.name, ended.stderr)
        counts = collections.Counter()
        with open(log, errors="replace") as lines:
            for line in lines:
                called = re.match(r"(\d+) +(\w+)\(", line)
                if called:
                    counts[called.groups()] += 1
        most = collections.Counter()
        for (_, call), count in counts.items():
            most[call] = max(most[call], count)
        for call, count in sorted(most.items()):
            for number in range(1, count + 1):
                for fault in FAULTS.get(call, []):
                    yield f"{call}:{fault}:when={number}"
                    if fault in ("error=ENOSPC", "error=EMFILE", "error=EIO"):
                        yield f"{call}:{fault}:when={number}+"
                if call in KILLED:
                    yield f"{call}:signal=SIGKILL:when={number}"

    def attempt(self, fault):
        """Returns what is wrong after a fault, or None."""
        room = self.room
        room.reset()
        call = fault.split(":")[0]
        injected = ["-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={fault}"]
        ended = room.run(self.command(), self.strace(*injected))
        killed = ended.returncode in (-9, 137)
        # The dynamic linker could not load the program.
        loader = "error while loading shared libraries" in ended.stderr or ended.returncode == 127
        if not loader and not killed and ended.returncode not in (0, 1, 3, 4, 5):
            return f"status {ended.returncode}: {ended.stderr}"
        if killed and "SIGKILL" not in fault:
            return "killed"
        if "panic" in ended.stderr:
            return ended.stderr
        return self.wrong_result(ended, killed) or self.wrong_store(ended) or self.wrong_again()

    def wrong_result(self, ended, killed):
        if ended.returncode == 0 and self.kind == "backup" and self.restored() != self.room.newest:
            return "the backup succeeded, but its snapshot is another tree"
        # After an error at the very end, when the tree has its name, the tree may be complete.
        failed = not killed and ended.returncode not in (0, 3)
        if self.name == "restore" and failed and facts(self.dest) not in (None, self.room.new):
            return f"a failed restore left a part of a tree: {ended.stderr}"
        if ended.returncode == 0 and self.kind == "restore" and facts(self.dest) != self.room.new:
            return "the restore succeeded, but made another tree"
        if self.name == "mirror":
            now = facts(self.dest)
            for path, old in self.room.old.items():
                known = [old[2], self.room.new.get(path, old)[2]]
                if path in self.room.new and path not in now:
                    return f"{path} is absent"
                if path in now and now[path][2] not in known:
                    return f"{path} is neither old nor new"
        return None

    def restored(self, *options):
        """The tree of a snapshot; None if it does not restore."""
        dest = self.room.at("now/restored")
        shutil.rmtree(dest, ignore_errors=True)
        ended = self.room.run(["restore", "src", dest, "--store", self.room.at("now/store"), *options])
        return facts(dest) if ended.returncode == 0 else None

    def wrong_store(self, ended):
        verified = self.room.run(["verify", "src", "--store", self.room.at("now/store")])
        if verified.returncode != 0:
            return f"verify: {verified.stdout}{verified.stderr}"
        restored = self.restored()
        # The newest snapshot is that of the source if the backup came as far as its commit.
        if restored in (self.room.new, self.room.newest):
            return None
        if ended.returncode != 3 or self.kind != "backup":
            return "the newest snapshot is another tree"
        # The backup reported what it could not see. The rest is right: present, or as in the snapshot before.
        for path, entry in (restored or {}).items():
            if entry[2] not in [tree[path][2] for tree in (self.room.new, self.room.newest) if path in tree]:
                return f"the newest snapshot has another {path}"
        return None if restored else "the newest snapshot does not restore"

    def wrong_again(self):
        time.sleep(0.03)  # a restore removes only temporary files that are surely older than itself
        if self.name == "restore" and os.path.exists(self.dest):
            shutil.rmtree(self.dest)
        again = self.room.run(self.command())
        if again.returncode != 0:
            return f"again: status {again.returncode}: {again.stderr}"
        if self.kind == "backup" and self.restored() != self.room.newest:
            return "again: the snapshot is another tree"
        if self.kind == "restore" and facts(self.dest) != self.room.new:
            return "again: the restore made another tree"
        for directory, directories, files in os.walk(self.room.at("now")):
            left = [name for name in directories + files if name.startswith(".ibt-tmp")]
            if left and "cache" not in directory:
                return f"again: {left} in {directory}"
        return None


def sample(cases, seconds):
    """Runs cases in a spread order for some seconds; all of them if `seconds` is None. Yields each case."""
    cases = list(cases)
    if seconds is not None:
        random.Random(1).shuffle(cases)
    end = None if seconds is None else time.monotonic() + seconds
    for case in cases:
        if end is not None and time.monotonic() > end:
            return
        yield case


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ibt")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--only", choices=OPERATIONS)
    options = parser.parse_args()
    path, failures, total = tempfile.mkdtemp(), 0, 0
    try:
        room = Room(os.path.abspath(options.ibt), path)
        if room.run(["--version"], ["timeout", "-k", "5", "60", "strace", "-o", "/dev/null"]).returncode != 0:
            print("skipped: strace may not trace here")
            return 0
        names = [options.only] if options.only else list(OPERATIONS)
        for name in names:
            sweep, count = Sweep(room, name), 0
            for fault in sample(sweep.cases(), options.seconds and options.seconds / len(names)):
                wrong = sweep.attempt(fault)
                count += 1
                if wrong:
                    failures += 1
                    print(f"{name}, {fault}: {wrong}")
            print(f"{name}: {count} faults")
            total += count
    finally:
        shutil.rmtree(path, ignore_errors=True)
    print(f"{total} faults, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

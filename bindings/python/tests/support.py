"""Shared by the tests: trees, a storage in memory, and a class of tests that cleans up."""

import os
import random
import shutil
import sys
import tempfile
import unittest

import ibt
from ibt import _lib

NOT_TEXT = b"caf\xe9 \xff"  # a name that is not UTF-8


def noise(seed, length):
    """Bytes that do not compress."""
    return random.Random(seed).randbytes(length)


def write(path, content=b""):
    """Makes a file, and the directories that lead to it."""
    path = os.fsencode(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)


def make_tree(root):
    """Makes entries of every type that an ordinary user can make."""
    root = os.fsencode(root)
    for i in range(40):
        write(root + b"/dir-%d/sub/file-%d" % (i % 4, i), noise(i, 100 * i))
    write(root + b"/" + NOT_TEXT, b"a name that is not text")
    write(root + b"/dir-0/read-only", b"nobody may write")
    os.mkdir(root + b"/empty")
    os.chmod(root + b"/empty", 0o1777)
    os.symlink(b"dir-0/read-only", root + b"/link")
    os.symlink(NOT_TEXT, root + b"/dangling")
    os.link(root + b"/dir-1/sub/file-5", root + b"/second name")
    os.mkfifo(root + b"/fifo", 0o600)
    os.chmod(root + b"/dir-0/read-only", 0o440)
    os.utime(root + b"/dir-0/read-only", ns=(981173106000000789, 981173106000000789))


def change_tree(root):
    """Makes an edit of every kind."""
    edited = bytearray(noise(39, 3900))
    edited[2000:2007] = b"an edit"
    write(os.path.join(root, "dir-3/sub/file-39"), edited)
    write(os.path.join(root, "new"), b"new")
    os.remove(os.path.join(root, "dir-2/sub/file-2"))
    os.rename(os.path.join(root, "dir-2/sub/file-38"), os.path.join(root, "moved"))
    os.chmod(os.path.join(root, "dir-1/sub/file-1"), 0o600)


def described(root):
    """The entries of a tree, each with all that must be restored. Uses nothing of libibt."""
    root = os.fsencode(root)
    found, first_names = {}, {}

    def describe(path):
        facts = os.lstat(path)
        name = os.path.relpath(path, root)
        text = [facts.st_mode, facts.st_uid, facts.st_gid, facts.st_mtime_ns]
        if os.path.islink(path):
            text.append(os.readlink(path))
        elif os.path.isfile(path):
            with open(path, "rb") as file:
                text += [file.read(), first_names.setdefault(facts.st_ino, name)]
        found[name] = text
        if os.path.isdir(path) and not os.path.islink(path):
            for child in sorted(os.listdir(path)):
                describe(os.path.join(path, child))

    describe(root)
    return found


class ObjectCount:
    """Counts the objects of libibt that are made and freed within a with statement."""

    MADE = {"ibt_options_new": "options", "ibt_cancel_new": "cancel", "ibt_storage_new": "storage"}
    # What the last but one argument receives. The last one receives an error.
    RECEIVED = {
        **dict.fromkeys(
            "ibt_full_backup ibt_incremental_backup ibt_restore ibt_list_snapshots ibt_verify ibt_compare ibt_diff "
            "ibt_prune ibt_consolidate ibt_rebuild_cache".split(), "report"),
        "ibt_snapshot_open": "snapshot", "ibt_storage_open_dir": "storage", "ibt_storage_open_default": "storage",
        "ibt_storage_open_url": "storage",
        **dict.fromkeys("ibt_list_keys ibt_snapshot_list ibt_snapshot_read ibt_snapshot_next "
                        "ibt_snapshot_rewind".split()),
    }
    FREED = {f"ibt_{kind}_free": kind for kind in ("options", "cancel", "storage", "snapshot", "report", "error")}

    def __init__(self):
        self.alive = set()
        self.made = dict.fromkeys(self.FREED.values(), 0)
        self.freed = set()
        self.wrong = []  # objects that were freed twice
        self.real = {}

    def __enter__(self):
        for name in (*self.MADE, *self.RECEIVED, *self.FREED):
            self.real[name] = getattr(_lib.lib, name)
            setattr(_lib.lib, name, self.counted(name, self.real[name]))
        return self

    def __exit__(self, *_):
        for name, function in self.real.items():
            setattr(_lib.lib, name, function)

    def counted(self, name, function):
        def make(*arguments):
            made = function(*arguments)
            self.note(self.MADE[name], made)
            return made

        def receive(*arguments):
            status = function(*arguments)
            self.note("error", arguments[-1]._obj.value)
            if self.RECEIVED[name]:
                self.note(self.RECEIVED[name], arguments[-2]._obj.value)
            return status

        def free(pointer):
            freed = self.FREED[name], pointer
            if freed in self.freed:
                self.wrong.append(name)
                return
            if freed in self.alive:  # else it was made before
                self.alive.discard(freed)
                self.freed.add(freed)
            function(pointer)

        return make if name in self.MADE else receive if name in self.RECEIVED else free

    def note(self, kind, pointer):
        if pointer:
            self.alive.add((kind, pointer))
            self.freed.discard((kind, pointer))
            self.made[kind] += 1

    def count(self, kind):
        return sum(known == kind for known, _ in self.alive)


class Memory(ibt.Storage):
    """A storage in memory. `before` is called with the name of each function, and may raise."""

    reads_cheaply = True

    def __init__(self):
        self.objects = {}
        self.locks = set()
        self.open = 0  # writers that are neither committed nor aborted
        self.before = lambda name: None

    def read_at(self, name, offset, length):
        self.before("read_at")
        if name not in self.objects:
            raise ibt.NotFoundError(f"there is no object {name}")
        return self.objects[name][offset : offset + length]

    def list(self, prefix):
        self.before("list")
        return [(name, len(data)) for name, data in self.objects.items() if name.startswith(prefix)]

    def create(self, name):
        self.before("create")
        self.open += 1
        return MemoryWriter(self, name)

    def delete(self, name):
        self.before("delete")
        self.objects.pop(name, None)

    def lock(self, key):
        self.before("lock")
        if key in self.locks:
            raise ibt.BusyError(f"{key} is locked")
        self.locks.add(key)

    def unlock(self, key):
        self.locks.remove(key)
        self.before("unlock")


class MemoryWriter:
    def __init__(self, memory, name):
        self.memory = memory
        self.name = name
        self.data = bytearray()

    def write(self, data):
        self.memory.before("write")
        self.data += data

    def commit(self):
        self.memory.open -= 1
        self.memory.before("commit")
        if self.name in self.memory.objects:
            raise ibt.ExistsError(f"there is an object {self.name}")
        self.memory.objects[self.name] = bytes(self.data)

    def abort(self):
        self.memory.open -= 1
        self.memory.before("abort")


class Case(unittest.TestCase):
    """A test with a directory, a small source, and a store in memory."""

    def setUp(self):
        self.room = tempfile.mkdtemp(prefix="ibt-python-")
        self.addCleanup(shutil.rmtree, self.room, ignore_errors=True)
        os.environ["XDG_CACHE_HOME"] = self.path("cache-home")
        self.source = self.path("source")
        write(self.path("source/dir/file"), noise(1, 100000))
        write(self.path("source/dir/other"), b"text")
        self.memory = Memory()
        self.store = ibt.open_storage(self.memory)
        self.addCleanup(self.store.close)
        self.names = 0

    def skip(self, reason):
        print(f"skipped: {reason}", file=sys.stderr)
        self.skipTest(reason)

    def path(self, name):
        return os.path.join(self.room, name)

    def new_path(self):
        """A path at which there is nothing yet."""
        self.names += 1
        return self.path(f"new-{self.names}")

    def full(self, **options):
        return self.store.full_backup(self.source, cache_dir="", **options)

    def snapshot(self, **options):
        snapshot = self.store.open_snapshot("source", **options)
        self.addCleanup(snapshot.close)
        return snapshot

    def assert_same_trees(self, one, other):
        first, second = described(one), described(other)
        self.assertEqual(sorted(first), sorted(second))
        for name in first:
            self.assertEqual(first[name], second[name], name)

    def assert_usable(self):
        """The storage is free, all writers and locks have ended, and operations work."""
        self.memory.before = lambda name: None
        self.assertEqual(self.memory.open, 0, "writers that were left open")
        self.assertEqual(self.memory.locks, set(), "locks that were left")
        self.full()
        dest = self.new_path()
        self.store.restore("source", dest)
        self.assert_same_trees(self.source, dest)
        self.store.verify("source")

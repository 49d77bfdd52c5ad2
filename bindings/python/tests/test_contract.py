"""The rules of tests/c/storage_contract.h for storages in Python: the one of these tests, and the example."""

import os
import random
import sys

import ibt
from support import Case, Memory, noise

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "examples"))
from sqlite_storage import SqliteStorage  # noqa: E402


class Contract:
    """The rules, for a storage that make() makes."""

    def setUp(self):
        super().setUp()
        self.storage = self.make()

    def put(self, name, data, piece=1000):
        writer = self.storage.create(name)
        for place in range(0, len(data), piece):
            writer.write(data[place : place + piece])
        writer.commit()

    def get(self, name, offset=0, length=1 << 30):
        """Reads as libibt does: again and again, until the bytes are read or the object ends."""
        found = b""
        while len(found) < length:
            piece = bytes(self.storage.read_at(name, offset + len(found), length - len(found)))
            self.assertLessEqual(len(piece), length - len(found))
            if not piece:
                break
            found += piece
        return found

    def listed(self, prefix=""):
        return dict(self.storage.list(prefix))

    def assert_absent(self, name):
        with self.assertRaises((ibt.NotFoundError, FileNotFoundError)):
            self.storage.read_at(name, 0, 1)
        self.assertNotIn(name, self.listed())

    def test_objects_of_any_size(self):
        for number, size in enumerate((0, 1, 2, 511, 4096, 4097, 65537, 300001, 5 << 20)):
            name = f"key.state.{number}.json"
            self.assert_absent(name)
            self.put(name, noise(number, size), piece=number * 1000 + 7)
            self.assertEqual(self.get(name), noise(number, size))
            self.assertEqual(self.listed()[name], size)
        self.assert_absent("key.state.1.jso")
        self.assert_absent("key.state.1.json.zst")

    def test_ranges(self):
        data = noise(9, 3 << 20)
        self.put("object", data, piece=99999)
        chosen = random.Random(1)
        for _ in range(200):
            offset, length = chosen.randrange(4 << 20), chosen.randrange(1, 2 << 20)
            self.assertEqual(self.get("object", offset, length), data[offset : offset + length])
        self.assertEqual(self.storage.read_at("object", len(data), 1), b"")
        self.assertEqual(self.storage.read_at("object", 2**62, 1), b"")

    def test_nobody_sees_an_object_before_its_commit(self):
        writer = self.storage.create("object")
        writer.write(b"bytes")
        self.assert_absent("object")
        writer.abort()
        self.assert_absent("object")
        self.storage.create("object").abort()
        self.put("object", b"others")
        self.assertEqual(self.get("object"), b"others")

    def test_a_commit_never_replaces(self):
        self.put("object", b"first")
        with self.assertRaises((ibt.ExistsError, FileExistsError)):
            self.put("object", b"second")
        first, second = self.storage.create("two"), self.storage.create("two")
        second.write(b"second")
        second.commit()
        with self.assertRaises((ibt.ExistsError, FileExistsError)):
            first.commit()
        self.assertEqual((self.get("object"), self.get("two")), (b"first", b"second"))

    def test_four_writers_do_not_mix(self):
        writers = [self.storage.create(str(number)) for number in range(4)]
        for piece in range(20):
            for number, writer in enumerate(writers):
                writer.write(noise(number * 100 + piece, 100 * number + 1))
        writers[2].abort()
        for number in (3, 0, 1):
            writers[number].commit()
            whole = b"".join(noise(number * 100 + piece, 100 * number + 1) for piece in range(20))
            self.assertEqual(self.get(str(number)), whole)
        self.assert_absent("2")

    def test_listing_and_deleting(self):
        for number in range(50):
            self.put(f"{'odd.key' if number % 2 else 'odd'}.{number}", b"x" * number)
        self.assertLessEqual({f"odd.key.{number}" for number in range(1, 50, 2)}, set(self.listed("odd.key.")))
        self.storage.delete("absent")
        self.storage.delete("odd.0")
        self.assert_absent("odd.0")
        self.assertEqual(self.get("odd.2"), b"xx")
        self.put("odd.0", b"again")
        self.assertEqual(self.get("odd.0"), b"again")

    def test_locks(self):
        self.storage.lock("source")
        with self.assertRaises(ibt.BusyError):
            self.storage.lock("source")
        self.storage.lock("another")
        with ibt.open_storage(self.storage) as store:
            with self.assertRaises(ibt.BusyError):
                store.full_backup(self.source, cache_dir="")
            self.storage.unlock("source")
            with self.assertRaises(ibt.BusyError):
                self.storage.lock("another")
            store.full_backup(self.source, cache_dir="")
        self.storage.lock("source")
        self.storage.unlock("source")
        self.storage.unlock("another")

    def test_backups(self):
        with ibt.open_storage(self.storage) as store:
            store.full_backup(self.source, cache_dir="")
            with open(self.path("source/new"), "wb") as file:
                file.write(noise(5, 400000))
            report = store.incremental_backup(self.source, cache_dir="")
            self.assertIsNone(report.files[0].path)
            dest = self.new_path()
            store.restore("source", dest)
            self.assert_same_trees(self.source, dest)
            self.assertEqual(len(list(store)), 2)
            store.verify()
            store.consolidate("source", cache_dir="")
            store.prune("source", keep_last=1)
            store.verify()


class MemoryContract(Contract, Case):
    def make(self):
        return Memory()


class SqliteContract(Contract, Case):
    def make(self):
        storage = SqliteStorage(self.path("database"))
        self.addCleanup(storage.database.close)
        return storage

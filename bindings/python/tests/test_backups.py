"""Backups, restores, and everything that looks at them."""

import array
import datetime
import errno
import grp
import io
import json
import logging
import os
import pathlib
import pwd
import random
import shutil
import stat
import subprocess
import tarfile
import urllib.parse

import ibt
from support import NOT_TEXT, Case, Memory, ObjectCount, change_tree, described, make_tree, noise, write


class RoundTrips(Case):
    def test_a_tree_is_backed_up_three_times_and_restored(self):
        stores = {"directory": ibt.open_dir(self.path("store")), "functions": ibt.open_storage(Memory())}
        for name, store in stores.items():
            with self.subTest(name), store:
                self.round_trip(store, name)

    def round_trip(self, store, name):
        source = self.path(f"{name}/source")
        make_tree(source)
        options = {"cache_dir": self.path(name + "-cache")}
        reports, copies = [], []
        for number in range(3):
            copies.append(self.copy(source))
            backup = store.incremental_backup if number else store.full_backup
            reports.append(backup(source, **options))
            if number == 0:
                change_tree(source)
            else:
                write(os.path.join(source, "third"), noise(3, 5000))
        for report, copy in zip(reports, copies):
            dest = self.new_path()
            restored = store.restore(
                "source", dest, snapshot=report.snapshot, expected_digest=report.digest, **options
            )
            self.assert_same_trees(copy, dest)
            self.assertEqual(restored.counters.restored, len(described(dest)))
            self.assertEqual(report.counters.entries, len(described(copy)))
        self.assertEqual([one.kind for one in store], ["full", "incremental", "incremental"])
        store.verify()
        newest = self.new_path()
        store.restore("source", newest)
        self.assert_same_trees(copies[2], newest)

    def copy(self, tree):
        """A copy with hard links, times and modes. Like all of these tests without libibt."""
        dest = self.new_path()
        self.assertEqual(os.spawnlp(os.P_WAIT, "cp", "cp", "-a", tree, dest), 0)
        return dest

    def test_backups_of_the_ancestor_are_imported(self):
        old = self.path("old")
        os.mkdir(old)
        write(os.path.join(old, "tree.state.2013-12-01T10:30:00.5.json"), b"of something else")
        state = {"directory": self.source, "files": [], "subdirs": [], "index": {}}
        write(os.path.join(old, "tree.state.2013-12-01T10:30:00.json"), json.dumps(state).encode())
        empty = self.new_path()
        os.mkdir(empty)
        with tarfile.open(os.path.join(old, "tree.full.2013-12-01T10:30:00.tgz"), "w:gz") as archive:
            archive.add(empty, arcname="")
        cache = self.path("cache")
        for from_dir, place in ((old, self.path("store")), (None, old)):
            with ibt.open_dir(place) as store:
                if from_dir is None:
                    self.assertEqual([one.kind for one in store], ["ancestor-full"])
                report = store.import_ancestor("tree", from_dir, key="new", cache_dir=cache)
                stamps = [(one.key, one.stamp) for one in report.snapshots]
                self.assertEqual(stamps, [("new", "20131201T103000.000000Z")])
                store.restore("new", self.new_path())
                with self.assertRaises(ibt.NotFoundError):
                    store.import_ancestor("other", from_dir)

    def test_paths_of_every_kind(self):
        write(os.path.join(os.fsencode(self.source), NOT_TEXT), b"bytes")
        for number, convert in enumerate((str, os.fsencode, pathlib.Path)):
            with ibt.open_dir(convert(self.path("store"))) as store:
                store.full_backup(convert(self.source), cache_dir=convert(self.path("cache")))
                dest = self.path(f"restored-{number}")
                store.restore("source", convert(dest))
                self.assert_same_trees(self.source, dest)
                store.compare("source", convert(self.source))

    def test_names_that_are_not_text(self):
        source = os.path.join(os.fsencode(self.room), NOT_TEXT)
        write(os.path.join(source, NOT_TEXT), b"bytes")
        os.symlink(NOT_TEXT, os.path.join(source, b"link"))
        os.link(os.path.join(source, NOT_TEXT), os.path.join(source, b"name"))
        report = self.store.full_backup(source, cache_dir="", key="odd")
        info = self.store.list_snapshots("odd").snapshots[0]
        self.assertEqual(info.source_bytes, source)
        with self.store.open_snapshot("odd") as snapshot:
            entries = {entry.path_bytes: entry for entry in snapshot}
            self.assertEqual(list(entries), [b"", NOT_TEXT, b"link", b"name"])
            self.assertEqual(entries[NOT_TEXT].path, os.fsdecode(NOT_TEXT))
            self.assertEqual(entries[b"link"].target_bytes, NOT_TEXT)
            self.assertEqual(entries[b"name"].link_bytes, NOT_TEXT)
            for name in (NOT_TEXT, os.fsdecode(NOT_TEXT), pathlib.Path(os.fsdecode(NOT_TEXT))):
                self.assertEqual(snapshot.read(name), b"bytes")
        with self.assertRaises(FileNotFoundError) as raised:
            self.store.full_backup(os.path.join(source, b"absent \xfe"), key="odd")
        self.assertEqual(raised.exception.path_bytes, os.path.join(source, b"absent \xfe"))
        self.assertEqual(report.counters.entries, 4)

    def test_what_each_operation_reports(self):
        with ibt.open_dir(self.path("store")) as store:
            self.look_at_reports(store)

    def look_at_reports(self, store):
        cache = {"cache_dir": self.path("cache")}
        before = datetime.datetime.now(datetime.timezone.utc)
        full = store.full_backup(self.source, label={"reason": "a test"}, **cache)
        self.assertEqual(full.status, ibt.Status.OK)
        self.assertFalse(full.partial)
        self.assertLess(abs(full.date - before), datetime.timedelta(minutes=10))
        for file in full.files:
            self.assertEqual(os.path.getsize(file.path), file.size)
            self.assertEqual(os.path.basename(file.path), file.name)
        self.assertEqual(full.total_size, sum(file.size for file in full.files))
        write(self.path("source/new"), b"new")
        os.remove(self.path("source/dir/other"))
        changes = []
        increment = store.incremental_backup(self.source, change=changes.append, **cache)
        kinds = {change.path: change.what for change in changes}
        self.assertEqual(kinds["new"], ibt.ChangeKind.CREATED)
        self.assertEqual(kinds["dir/other"], ibt.ChangeKind.DELETED)
        self.assertEqual((increment.counters.created, increment.counters.deleted), (1, 1))

        listed = store.list_snapshots()
        first, second = listed.snapshots
        self.assertEqual((first.kind, second.kind), ("full", "incremental"))
        self.assertEqual((first.labels, second.labels), ({"reason": "a test"}, {}))
        self.assertEqual((first.parent, second.parent), (None, full.snapshot))
        self.assertEqual((first.source, first.key, first.digest), (self.source, "source", full.digest))
        self.assertEqual(first.host, os.uname().nodename)
        self.assertEqual(store.list_keys(), {"source": 2})
        self.assertEqual(store.list_snapshots(label_filter={"reason": None}).snapshots, (first,))
        self.assertEqual(store.list_snapshots("source", as_of=first.date).snapshots[0].stamp, first.stamp)
        self.assertEqual(store.list_snapshots("source", snapshot=first).files, full.files)
        with self.assertRaises(ibt.NotFoundError):
            store.list_snapshots("source", as_of=first.date - datetime.timedelta(hours=1))

        differences = []
        compared = store.compare("source", self.source, snapshot=first, change=differences.append)
        self.assertEqual(sorted(one.path for one in differences), ["", "dir", "dir/other", "new"])
        self.assertEqual(compared.counters.deleted, 1)
        with store.open_snapshot("source", snapshot=first) as one, store.open_snapshot("source") as other:
            found = []
            report = ibt.diff(one, other, change=found.append, path=["new", "dir/other"])
            self.assertEqual({change.path: change.what for change in found}, {
                "new": ibt.ChangeKind.CREATED, "dir/other": ibt.ChangeKind.DELETED})
            self.assertEqual([info.stamp for info in report.snapshots], [first.stamp, second.stamp])
            with self.assertRaises(ibt.BusyError):
                ibt.diff(one, one)

        consolidated = store.consolidate("source", **cache)
        self.assertEqual(consolidated.digest, increment.digest)
        shutil.rmtree(cache["cache_dir"])
        self.assertTrue(store.rebuild_cache("source", **cache).files)
        plan = store.prune("source", keep_last=1, dry_run=True, **cache)
        self.assertEqual(len(list(store)), 3)
        pruned = store.prune("source", keep_last=1, **cache)
        self.assertEqual([info.action for info in pruned.snapshots], [info.action for info in plan.snapshots])
        self.assertEqual(pruned.snapshots[0].action, ibt.Action.REMOVED)
        self.assertEqual(pruned.snapshots[2].reason, "last 1")
        self.assertEqual(len(list(store)), 1)

    def test_reports_agree_with_their_json(self):
        write(os.path.join(os.fsencode(self.source), NOT_TEXT), b"bytes")
        reports = [self.full(label={"a": "b"}), self.store.list_snapshots(), self.store.verify()]
        for name in [name for name in self.memory.objects if ".full." in name]:
            del self.memory.objects[name]
        reports.append(self.store.verify(check=False))
        reports.append(self.store.restore("source", self.new_path(), check=False))
        self.assertEqual(reports[-1].status, ibt.Status.PARTIAL)
        for report in reports:
            parsed = report.as_dict()
            for name in ("status", "key", "snapshot", "digest", "total_size"):
                self.assertEqual(parsed[name], getattr(report, name))
            self.assertEqual(parsed["counters"], report.counters)
            self.assertEqual(parsed["date"], "%d.%09d" % divmod(report.date_ns, 10**9))
            self.assertEqual(
                parsed["files"],
                [{"name": f.name, "kind": f.kind, "size": f.size, "path": f.path} for f in report.files],
            )
            self.assertEqual(len(parsed["problems"]), len(report.problems))
            for one, other in zip(parsed["problems"], report.problems):
                self.assertEqual(one["kind"], other.kind.name.lower())
                self.assertEqual(one["status"], other.status)
                self.assertEqual(one["note"], other.note)
                self.assertEqual(one["os_code"] or None, other.errno)
                self.assertEqual(one["message"], other.message)
                self.assertEqual((one.get("snapshot"), one.get("file")), (other.snapshot, other.file))
                path = urllib.parse.unquote_to_bytes(one["path"]) if "path" in one else None
                self.assertEqual(path, other.path_bytes)
            self.assertEqual(len(parsed["snapshots"]), len(report.snapshots))
            for one, other in zip(parsed["snapshots"], report.snapshots):
                for name in ("key", "kind", "digest", "host", "labels", "parent", "counters", "action", "reason"):
                    self.assertEqual(one[name], getattr(other, name), name)
                self.assertEqual(one["snapshot"], other.stamp)
                self.assertEqual(urllib.parse.unquote_to_bytes(one["source"]), other.source_bytes)
        self.assertIn(NOT_TEXT, [problem.path_bytes for problem in reports[-1].problems])


class Snapshots(Case):
    def setUp(self):
        super().setUp()
        self.big = noise(2, 5 << 20)
        write(self.path("source/big"), self.big)
        os.symlink("dir", self.path("source/link"))
        self.full()
        self.opened = self.snapshot()

    def test_entries(self):
        paths = ["", "big", "dir", "dir/file", "dir/other", "link"]
        self.assertEqual([entry.path for entry in self.opened], paths)
        self.assertEqual([entry.path for entry in self.opened], paths)
        self.assertEqual([entry.path for entry in self.opened.entries()], paths)
        self.assertEqual([entry.name for entry in self.opened.entries("dir", depth=1)], ["dir", "file", "other"])
        self.assertEqual([entry.path for entry in self.opened.listdir()], ["big", "dir", "link"])
        entry = self.opened.entry("dir/file")
        facts = os.lstat(self.path("source/dir/file"))
        self.assertEqual((entry.mode, entry.uid, entry.gid, entry.size), (
            facts.st_mode, facts.st_uid, facts.st_gid, facts.st_size))
        self.assertEqual((entry.mtime_ns, entry.ctime_ns), (facts.st_mtime_ns, facts.st_ctime_ns))
        self.assertEqual(entry.mtime.timestamp(), facts.st_mtime_ns // 1000 / 10**6)
        self.assertTrue(entry.is_file and entry.hash.startswith("blake3:") and not entry.is_dir)
        link = self.opened.entry("link")
        self.assertEqual((link.is_symlink, link.target, link.hash, link.size), (True, "dir", None, 0))
        with self.assertRaises(ibt.NotFoundError) as raised:
            self.opened.entry("absent")
        self.assertIsInstance(raised.exception, FileNotFoundError)
        with self.assertRaises(NotADirectoryError):
            self.opened.listdir("big")
        self.assertEqual(self.opened.info.key, "source")
        self.assertEqual(self.opened.info.counters.entries, 6)

    def test_many_entries_come_in_order(self):
        for i in range(3000):
            write(self.path(f"source/many/{i:04}"))
        self.full()
        with self.snapshot() as snapshot:
            names = [entry.name for entry in snapshot if entry.path.startswith("many/")]
            self.assertEqual(names, [f"{i:04}" for i in range(3000)])
            first, second = iter(snapshot), iter(snapshot)
            self.assertEqual(next(second).path, "")
            with self.assertRaises(RuntimeError):
                next(first)
            for _ in range(100):
                next(second)
            snapshot.entry("dir")  # does not move the iteration
            self.assertEqual(next(second).name, "0094")

    def test_iterations_around_their_batches(self):
        """An iteration reads 16 entries first, then twice as many, up to 512."""
        borders = [16, 48, 112, 240, 496, 1008, 1520]
        counts = sorted({border + shift for border in borders for shift in (-1, 0, 1)})
        for count in counts:
            for i in range(count - 1):  # the root is an entry too
                write(self.path(f"trees/{count}/{i:04}"))
            self.store.full_backup(self.path(f"trees/{count}"), cache_dir="")
            with self.store.open_snapshot(str(count)) as snapshot:
                names = ["", *(f"{i:04}" for i in range(count - 1))]
                for place in {place for place in (1, 15, 16, 17, 48, 49, count - 1) if place < count}:
                    self.assertEqual([one.path for one, _ in zip(snapshot, range(place))], names[:place])
                entries = iter(snapshot)
                self.assertEqual([one.path for one in entries], names)
                self.assertEqual(list(entries), [])

    def test_the_values_of_entries(self):
        """Each value is that of the system."""
        path = self.path("source/dir/file")
        with open(path, "r+b") as file:
            file.truncate(1 << 20)  # a hole
        os.link(path, self.path("source/z"))
        device = self.path("source/device")
        if os.geteuid() == 0:
            os.chown(path, 1, 2)
            os.mknod(device, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        self.full()
        with self.snapshot() as snapshot:
            entry, facts = snapshot.entry("dir/file"), os.stat(path)
            self.assertEqual((entry.uid, entry.gid), (facts.st_uid, facts.st_gid))
            self.assertEqual((entry.user, entry.group), (
                pwd.getpwuid(facts.st_uid).pw_name, grp.getgrgid(facts.st_gid).gr_name))
            self.assertEqual((entry.size, entry.permissions), (1 << 20, facts.st_mode & 0o7777))
            self.assertLess(entry.data_size, entry.size)
            self.assertGreaterEqual(entry.data_size, 100000)
            self.assertEqual((entry.mtime_ns, entry.ctime_ns), (facts.st_mtime_ns, facts.st_ctime_ns))
            born = subprocess.run(["stat", "-c", "%W", path], stdout=subprocess.PIPE, check=True).stdout
            self.assertEqual((entry.birthtime_ns or 0) // 10**9, int(born))
            self.assertEqual((entry.project, entry.rdev, entry.xattrs, entry.target), (0, 0, {}, None))
            self.assertEqual((entry.link, snapshot.entry("z").link), ("dir/file", "dir/file"))
            if os.path.exists(device):
                self.assertEqual(snapshot.entry("device").rdev, os.lstat(device).st_rdev)
                self.assertEqual(snapshot.entry("device").mode, os.lstat(device).st_mode)

    def test_extended_attributes(self):
        try:
            os.setxattr(self.path("source/dir"), "user.test", b"\0any\xff")
        except OSError as error:
            self.skip(f"extended attributes: {error}")
        self.full()
        with self.snapshot() as snapshot:
            self.assertEqual(snapshot.entry("dir").xattrs, {"user.test": b"\0any\xff"})

    def test_contents(self):
        self.assertEqual(self.opened.read("big"), self.big)
        self.assertEqual(self.opened.read("big", 3 << 20, 100), self.big[3 << 20 :][:100])
        self.assertEqual(self.opened.read("big", (5 << 20) - 10, 100), self.big[-10:])
        self.assertEqual(self.opened.read("big", 2**64 - 1), b"")
        copied = io.BytesIO()
        self.assertEqual(self.opened.copy("big", copied), len(self.big))
        self.assertEqual(copied.getvalue(), self.big)
        with open(self.path("copied"), "wb", buffering=0) as file:
            self.opened.copy("big", file)
        with open(self.path("copied"), "rb") as file:
            self.assertEqual(file.read(), self.big)

    def test_a_copy_to_a_file_that_takes_a_part_at_a_time(self):
        class Slow(io.BytesIO):
            def write(self, data):
                return super().write(data[:1000])

        class Silent(io.BytesIO):
            def write(self, data):
                super().write(data)

        for file in (Slow(), Silent()):
            self.assertEqual(self.opened.copy("big", file), len(self.big))
            self.assertEqual(file.getvalue(), self.big)

    def test_a_file_object_at_the_borders_of_its_buffer(self):
        """It reads 1 MiB at once."""
        size = len(self.big)
        borders = [0, 1 << 20, 2 << 20, size]
        places = sorted({place + shift for place in borders for shift in (-1, 0, 1) if 0 <= place + shift})
        calls = [(place, length) for place in places for length in (1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, size)]
        random.Random(1).shuffle(calls)
        with self.opened.open("big") as file:
            for place, length in calls:
                self.assertEqual(file.seek(place), place)
                self.assertTrue(file.read(length) == self.big[place : place + length], (place, length))
            numbers = array.array("I", bytes(4000))
            self.assertEqual(file.seek(7), 7)
            self.assertEqual(file.raw.seek(7), 7)
            self.assertEqual(file.raw.readinto(numbers), 4000)
            self.assertEqual(numbers.tobytes(), self.big[7:4007])
            self.assertEqual((file.raw.tell(), file.readable(), file.seekable(), file.writable()), (
                4007, True, True, False))
        reads = []
        real = self.opened.read
        self.opened.read = lambda *arguments: reads.append(arguments) or real(*arguments)
        with self.opened.open("big") as file:
            while file.read(1000):
                pass
        self.assertLess(len(reads), 10)
        with self.assertRaises(OSError) as raised:
            self.opened.open("link")
        self.assertEqual(raised.exception.errno, errno.EINVAL)

    def test_a_file_object(self):
        with self.opened.open("big") as file, io.BytesIO(self.big) as same:
            self.assertEqual(file.name, "big")
            for place, whence, length in ((0, 0, 10), (100, 1, 70000), (-5, 2, 10), (1 << 20, 0, 3 << 20), (9, 0, -1)):
                self.assertEqual(file.seek(place, whence), same.seek(place, whence))
                self.assertEqual(file.read(length), same.read(length))
                self.assertEqual(file.tell(), same.tell())
            with self.assertRaises(ValueError):
                file.seek(-1)
        with self.opened.open("dir/other") as file, io.TextIOWrapper(file) as text:
            self.assertEqual(text.read(), "text")
        with self.assertRaises(IsADirectoryError):
            self.opened.open("dir")


class Options(Case):
    def test_the_functions_of_a_backup(self):
        phases, messages = set(), []
        report = self.full(
            filter=lambda entry: entry.path != "dir/other",
            progress=lambda now: phases.add(now.phase),
            log=lambda level, message: messages.append((level, message)),
            log_level=ibt.LogLevel.DEBUG,
        )
        self.assertEqual(report.counters.entries, 3)
        self.assertLessEqual({ibt.Phase.SCAN, ibt.Phase.READ, ibt.Phase.COMMIT}, phases)
        for level, message in messages:
            self.assertIsInstance(level, ibt.LogLevel)
            self.assertIsInstance(message, str)
        asked = []
        report = self.full(filter=lambda entry: asked.append(entry.path) or ibt.STOP)
        self.assertEqual((report.counters.entries, len(asked)), (4, 1))
        report = self.full(filter=lambda entry: ibt.Filter.LEAVE_OUT_ALL, allow_empty=True)
        self.assertEqual(report.counters.entries, 1)
        changes = []
        self.full(change=lambda change: changes.append(change) or ibt.STOP)
        self.assertEqual(len(changes), 1)

    def test_numbers_of_the_progress(self):
        last = {}
        report = self.full(progress=lambda now: last.update({now.phase: now}))
        read = last[ibt.Phase.READ]
        self.assertEqual((read.done_bytes, read.total_bytes), (report.counters.bytes,) * 2)
        seen = []
        report = self.store.restore("source", self.new_path(), progress=seen.append)
        seen = [now for now in seen if now.phase == ibt.Phase.RESTORE]
        restored, first = seen[-1], seen[0]
        self.assertEqual((first.done_bytes, first.total_bytes, first.done_entries, first.total_entries), (
            0, 100004, 0, 4))
        self.assertEqual((restored.done_entries, restored.total_entries), (report.counters.restored,) * 2)
        self.assertEqual((restored.done_bytes, restored.total_bytes), (100004, 100004))

    def test_levels_of_messages(self):
        for level, expected in ((ibt.LogLevel.INFO, {ibt.LogLevel.INFO}), (ibt.LogLevel.ERROR, set()), (None, {3})):
            levels = set()
            self.full(log=lambda level, _: levels.add(level), log_level=level)
            self.assertEqual(levels, expected)
        logger = logging.getLogger("ibt-levels")
        with self.assertLogs(logger, logging.DEBUG) as caught:
            self.full(log=logger)
        self.assertEqual({record.levelno for record in caught.records}, {logging.INFO})

    def test_times_beyond_those_of_libibt(self):
        report = self.full()
        zone = datetime.timezone.utc
        info, = self.store
        for time in (datetime.datetime.max.replace(tzinfo=zone), info.date, info.date_ns, 2**63 - 1):
            listed = self.store.list_snapshots("source", as_of=time)
            self.assertEqual([one.stamp for one in listed.snapshots], [report.snapshot])
        for time in (datetime.datetime.min.replace(tzinfo=zone), info.date_ns - 1, -(2**63)):
            with self.assertRaises(ibt.NotFoundError):
                self.store.list_snapshots("source", as_of=time)
        self.full()
        for within in (float("inf"), datetime.timedelta(days=1), 86400.5):
            self.store.prune("source", keep_within=within)
            self.assertEqual(len(list(self.store)), 2)

    def test_messages_go_to_a_logger(self):
        logger = logging.getLogger("ibt-test")
        with self.assertLogs(logger, logging.DEBUG) as caught:
            logger.info("so that there is one")
            self.full(log=logger, log_level=ibt.LogLevel.DEBUG)
        self.assertGreater(len(caught.records), 1)

    def test_values(self):
        one = datetime.timedelta(seconds=1)
        for options in (
            {"exclude": "*.o"}, {"exclude": ["*.o", b"*.a"]}, {"threads": 1}, {"lock_wait": 0.5}, {"lock_wait": one},
            {"lock_wait": float("inf")}, {"compression": ibt.Compression.NONE}, {"compression_level": 1},
            {"part_size": ibt.PART_SIZE_MIN}, {"checkpoint": 0}, {"checkpoint": 2**30},
            {"compression": ibt.Compression.ZSTD, "compression_level": 19}, {"key": None},
            {"host": os.uname().nodename},
            {"label": {"a": "b"}}, {"label": [("a", "b"), ("a", None)]}, {"exclude_larger_than": 2**64 - 1},
            {"source_path": [pathlib.Path("dir/file"), b"dir/other"]}, {"one_file_system": True}, {"log_level": None},
            {"on_file_error": ibt.OnFileError.STOP}, {"cancel": ibt.Cancel()}, {"protected_path": self.room + "/store"},
        ):
            with self.subTest(options):
                os.makedirs(self.room + "/store", exist_ok=True)
                self.full(**options)
        report = self.full(exclude=["other"])
        self.assertEqual(report.counters.entries, 3)
        self.assertEqual(self.full(source_path="dir/file").counters.entries, 3)
        for options, kind in (
            ({"exclude": 7}, TypeError), ({"exclude": [None]}, TypeError), ({"threads": -1}, ValueError),
            ({"threads": 2**32}, ValueError), ({"threads": 2**32 - 1}, ibt.InvalidArgumentError),
            ({"threads": 1.0}, TypeError), ({"threads": "1"}, TypeError), ({"dry_run": "no"}, TypeError),
            ({"lock_wait": -1}, ValueError), ({"lock_wait": float("nan")}, ValueError), ({"lock_wait": "1"}, TypeError),
            ({"lock_wait": True}, TypeError),
            ({"key": "a/b"}, ibt.InvalidArgumentError), ({"key": "a\0b"}, ValueError), ({"key": b"a"}, TypeError),
            ({"exclude": "a\0b"}, ValueError), ({"as_of": datetime.datetime(2026, 1, 1)}, ValueError),
            ({"snapshot": "x"}, ibt.InvalidArgumentError), ({"snapshot": "20261122T220530.123456Z"}, ValueError),
            ({"kye": "a"}, TypeError), ({"progress": 1}, TypeError), ({"log": 1}, TypeError),
            ({"cancel": 1}, TypeError),
            ({"delete_extra": True}, ibt.InvalidArgumentError), ({"overwrite": 77}, ibt.InvalidArgumentError),
            ({"verify_part": 1}, TypeError), ({"verify_part": (3, 2)}, ibt.InvalidArgumentError),
        ):
            with self.subTest(options), self.assertRaises(kind):
                self.full(**options)
        self.assert_usable()

    def test_checkpoints_end_parts_of_archives(self):
        write(self.path("source/large a"), noise(2, 300000))
        write(self.path("source/large b"), noise(3, 300000))
        for checkpoint, parts in ((0, 1), (2**16, 4)):
            report = self.full(checkpoint=checkpoint)
            self.assertEqual([file.kind for file in report.files].count("full"), parts, report.files)
        self.store.prune("source", keep_last=1, checkpoint=0)

    def test_restores_and_prunes(self):
        first = self.full()
        dest = self.new_path()
        self.store.restore("source", dest, include="dir/o*")
        self.assertEqual(sorted(described(dest)), [b".", b"dir", b"dir/other"])
        with self.assertRaises(ibt.ExistsError) as raised:
            self.store.restore("source", dest)
        self.assertIsInstance(raised.exception, FileExistsError)
        write(os.path.join(dest, "extra"))
        changes = []
        self.store.restore(
            "source", dest, overwrite=ibt.Overwrite.IF_DIFFERENT, delete_extra=True, change=changes.append
        )
        self.assert_same_trees(self.source, dest)
        self.assertIn("extra", [change.path for change in changes if change.what == ibt.ChangeKind.DELETED])
        metadata = ibt.Metadata.MODE | ibt.Metadata.TIMES
        self.store.restore("source", self.new_path(), restore_metadata=metadata, root="dir")
        second = self.full(label={"keep": "me"})
        third = self.full()
        self.store.prune("source", keep_label={"keep": None}, keep_within=0)
        self.assertEqual([one.stamp for one in self.store], [second.snapshot, third.snapshot])
        self.store.prune("source", removed=[self.store.list_snapshots().snapshots[0]])
        with self.assertRaises(ibt.InvalidArgumentError):
            self.store.prune("source", removed=third.snapshot)
        self.store.prune("source", removed=third.snapshot, allow_empty=True)
        self.assertEqual(list(self.store), [])
        self.assertTrue(first.snapshot)
        self.store.verify(verify=ibt.VerifyScope.PRESENCE)
        self.store.verify(verify_part=(1, 7))


class Ancestor(Case):
    def test_options_and_stores(self):
        """Each function passes its options on, closes its store, and raises what the operation raises."""
        store = self.path("store")
        with ObjectCount() as count:
            report = ibt.full_backup(self.source, store, exclude="other", label={"a": "b"})
            second = ibt.incremental_backup(self.source, store, skip_unchanged=False, key="source", exclude="other")
            dest = self.new_path()
            ibt.restore_backup("source", dest, store, include="dir/*", snapshot=report["snapshot"])
            date, = ibt.get_full_backups("source", store)
            self.assertLess(abs(date - report["backup_date"]), datetime.timedelta(minutes=1))
            with self.assertRaises(ibt.ExistsError):
                ibt.restore_backup("source", dest, store)
            for call in (ibt.full_backup, ibt.incremental_backup):
                with self.assertRaises(FileNotFoundError):
                    call(self.path("absent"), store)
            with self.assertRaises(ibt.NotFoundError):
                ibt.restore_backup("absent", dest, store)
            self.assertEqual((count.count("storage"), count.made["storage"]), (0, 8))
        self.assertEqual(sorted(described(dest)), [b".", b"dir", b"dir/file"])
        with ibt.open_dir(store) as opened:
            first, other = opened
            self.assertEqual((first.labels, other.labels), ({"a": "b"}, {}))
            self.assertEqual([report["snapshot"], second["snapshot"]], [first.stamp, other.stamp])
            self.assertEqual(first.counters.entries, 3)

    def test_the_functions_of_incremental_backups_tools(self):
        for cache_path in (None, self.path("store")):
            with self.subTest(cache_path):
                self.use(cache_path)

    def use(self, cache_path):
        arguments = () if cache_path is None else (cache_path,)
        os.environ["TMPDIR"], old = self.room, os.environ.get("TMPDIR")
        try:
            report = ibt.full_backup(self.source, *arguments)
            self.assertEqual(report["backup_key"], "source")
            age = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) - report["backup_date"]
            self.assertLess(abs(age), datetime.timedelta(minutes=10))
            for file in report["files"]:
                self.assertEqual(os.path.getsize(file["path"]), file["size"])
            self.assertEqual(report["total"], sum(file["size"] for file in report["files"]))
            write(self.path("source/new"), noise(4, 100))
            self.assertEqual(ibt.incremental_backup(path=self.source, cache_path=cache_path)["backup_key"], "source")
            dest = self.new_path()
            self.assertEqual(ibt.restore_backup("source", dest, cache_path=cache_path), dest)
            self.assert_same_trees(self.source, dest)
            ibt.full_backup(self.source, *arguments)
            dates = ibt.get_full_backups("source", *arguments)
            self.assertEqual(len(dates), 2)
            self.assertGreater(dates[0], dates[1])
        finally:
            if old is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = old

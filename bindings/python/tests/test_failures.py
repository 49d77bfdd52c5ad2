"""Errors, exceptions of callbacks, interrupts, closed and wrong objects."""

import concurrent.futures
import contextlib
import copy
import datetime
import errno
import gc
import io
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback
import weakref

import ibt
from support import Case, Memory, ObjectCount, noise, write


class Mine(Exception):
    """An exception of the caller."""


def raising(*_):
    raise Mine("raised by the test")


class Callbacks(Case):
    """An exception ends the operation, comes out of it, and leaves everything usable."""

    def assert_raises_mine(self, function, *arguments, **options):
        try:
            function(*arguments, **options)
        except Mine as error:
            frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
            self.assertIn("raising", frames)
        else:
            self.fail(f"{function} did not raise")

    def test_exceptions_of_options(self):
        before = set(self.memory.objects)
        for option in ("progress", "change", "filter"):
            with self.subTest(option):
                self.assert_raises_mine(self.full, **{option: raising})
                self.assertEqual(set(self.memory.objects), before)
        self.assert_usable()
        for option in ("progress", "change"):
            with self.subTest(option):
                dest = self.new_path()
                self.assert_raises_mine(self.store.restore, "source", dest, **{option: raising})
                self.assertFalse(os.path.exists(dest))
        write(self.path("source/dir/new"))
        self.assert_raises_mine(self.store.compare, "source", self.source, change=raising)
        self.assert_raises_mine(self.store.verify, "source", progress=raising)
        self.assert_raises_mine(self.store.open_snapshot, "source", progress=raising)
        self.assert_raises_mine(self.store.list_snapshots, progress=raising)
        self.assert_usable()

    def test_exceptions_of_a_log(self):
        called = []
        self.full(log=lambda *line: called.append(line), log_level=ibt.LogLevel.DEBUG)
        if not called:
            self.skip("a backup logs nothing")
        self.assert_raises_mine(self.full, log=raising, log_level=ibt.LogLevel.DEBUG)
        self.assert_usable()

    def test_nothing_of_the_caller_runs_after_an_exception(self):
        """libibt may call back until it notices that the operation has ended."""
        self.full()

        def prune(**functions):
            self.full()
            del functions["change"]
            self.store.prune("source", keep_last=1, **functions)

        def restore(**functions):
            self.store.restore("source", self.new_path(), check=False, **functions)

        def compare(**functions):
            self.store.compare("source", self.room, **functions)

        for operation in (lambda **functions: self.full(filter=functions["log"], **functions), prune, restore, compare):
            self.leave_at_each_call(operation)
        for name in [name for name in self.memory.objects if ".full." in name]:
            del self.memory.objects[name]
        self.leave_at_each_call(restore)  # which logs the losses

    def leave_at_each_call(self, operation):
        for kind in (Mine, None):
            number = 0
            while self.left_at(number, operation, kind):
                number += 1
            self.assertGreater(number, 3)

    def left_at(self, number, operation, kind):
        """Leaves an operation at a call of a function: by an exception, or by a cancel. False without such a call."""
        called, cancel = [], ibt.Cancel()

        def function(*arguments):
            called.append(arguments)
            if len(called) == number + 1:
                if kind is None:
                    cancel.request()
                else:
                    raise kind
            return True

        try:
            operation(
                progress=function, change=function, log=function, log_level=ibt.LogLevel.DEBUG, cancel=cancel)
        except (Mine, ibt.CancelledError):
            self.assertEqual(called[number + 1 :], [])
            return True
        return len(called) > number  # a cancel at the end came too late

    def test_every_kind_of_exception(self):
        for kind in (KeyboardInterrupt, SystemExit, GeneratorExit, StopIteration, MemoryError, ibt.BusyError, OSError):
            with self.subTest(kind.__name__):
                def function(_, kind=kind):
                    raise kind("mine")
                with self.assertRaises(kind) as raised:
                    self.full(change=function)
                self.assertEqual(raised.exception.args, ("mine",))
        self.assert_usable()

    def test_a_filter_without_an_answer(self):
        for answer in (None, 7, "yes"):
            with self.assertRaises(TypeError):
                self.full(filter=lambda entry: answer)
        self.assert_usable()

    def test_exceptions_of_a_listing_and_a_read(self):
        self.full()
        snapshot = self.snapshot()

        class File:
            write = staticmethod(raising)

        self.assert_raises_mine(snapshot.copy, "dir/file", File)
        for answer in (0, -1, 10**9):
            File.write = staticmethod(lambda data: answer)
            with self.assertRaises(OSError):
                snapshot.copy("dir/file", File)
        with self.snapshot() as another, another.open("dir/file") as file:  # which has read nothing yet
            self.memory.before = raising
            self.assert_raises_mine(another.read, "dir/file")
            self.assert_raises_mine(file.read)
            self.memory.before = lambda name: None
        self.assertEqual(snapshot.read("dir/file"), noise(1, 100000))
        self.assert_usable()

    def operations(self):
        """Operations that use every function of a storage."""
        self.full()
        write(self.path("source/dir/other"), b"changed")
        self.store.incremental_backup(self.source, cache_dir="")
        self.store.restore("source", self.new_path())
        self.full()
        self.store.prune("source", keep_last=1)
        cancel = ibt.Cancel()  # a backup that is cancelled aborts its writers

        def stop(now):
            if now.phase == ibt.Phase.READ:
                cancel.request()

        with self.assertRaises(ibt.CancelledError):
            self.full(progress=stop, cancel=cancel)

    def test_exceptions_of_a_storage(self):
        for name in ("read_at", "list", "create", "write", "commit", "abort", "delete", "lock", "unlock"):
            for kind in (Mine, KeyboardInterrupt):
                with self.subTest(function=name, kind=kind.__name__):
                    called = []

                    def before(function, name=name, kind=kind, called=called):
                        if function == name and not called:
                            called.append(function)
                            raise kind("raised by the test")

                    self.memory.before = before
                    # libibt goes on if it cannot remove an object, and lists that as a problem.
                    if name == "delete" and kind is Mine:
                        with contextlib.suppress(Mine, ibt.PartialError):
                            self.operations()
                    else:
                        with self.assertRaises(kind):
                            self.operations()
                    self.assertTrue(called, f"no operation calls {name}")
                    self.assert_usable()

    def test_answers_of_a_storage(self):
        self.full()
        for kind, status in (
            (ibt.ExistsError, ibt.ExistsError), (FileExistsError, ibt.ExistsError),
            (ibt.BusyError, ibt.BusyError), (ibt.CancelledError, ibt.CancelledError),
            (ibt.UnsupportedError, ibt.UnsupportedError), (io.UnsupportedOperation, ibt.UnsupportedError),
            (NotImplementedError, ibt.UnsupportedError), (Mine, Mine), (ibt.StorageError, ibt.StorageError),
            (OSError, OSError), (ValueError, ValueError),
        ):
            for name in ("create", "write", "commit", "lock", "list"):
                with self.subTest(function=name, kind=kind.__name__):
                    failures = []

                    def before(function, name=name, kind=kind, failures=failures):
                        if function == name:
                            failures.append(kind("the reason"))
                            raise failures[-1]

                    self.memory.before = before
                    with self.assertRaises(status) as raised:
                        self.full()
                    self.assertIn("the reason", str(raised.exception))
                    error = raised.exception
                    if status in (Mine, ibt.StorageError, OSError, ValueError):
                        self.assertIn(error, failures)
                    else:
                        self.assertIn(error.__cause__, failures)
                        self.assertEqual(error.op, "full_backup")
                    self.assert_usable()

    def test_damage_that_a_storage_finds(self):
        self.full()

        def before(function):
            if function == "read_at":
                raise ibt.CorruptError("the reason")

        self.memory.before = before
        with self.assertRaises(ibt.CorruptError) as raised:
            self.store.restore("source", self.new_path())
        self.assertIn("the reason", str(raised.exception))
        self.assertEqual(raised.exception.op, "restore")
        self.assert_usable()

    def test_wrong_results_of_a_storage(self):
        self.full()
        for name, result in (
            ("read_at", None), ("read_at", "text"), ("read_at", b"x" * (1 << 22)), ("read_at", 7),
            ("list", None), ("list", 7), ("list", [1]), ("list", [("name", -1)]), ("list", [("name", "1")]),
            ("list", [(b"name", 1)]), ("list", [("name",)]), ("create", None), ("create", 7),
        ):
            with self.subTest(function=name, result=str(result)[:20]):
                memory = Memory()
                memory.objects = dict(self.memory.objects)
                setattr(memory, name, lambda *_: result)
                with ibt.open_storage(memory) as store, self.assertRaises((TypeError, ValueError)):
                    if name == "create":
                        store.full_backup(self.source, cache_dir="")
                    store.restore("source", self.new_path())
        self.memory.list = lambda prefix: [("a\0b", 1), ("odd \udcff", 1), ("", 0), ("x" * 5000, 2**64 - 1)]
        self.assertEqual(self.store.list_keys(), {})
        for wrong in (None, 7, "path", object(), Memory):
            with self.assertRaises(TypeError):
                ibt.open_storage(wrong)

    def test_an_exception_whose_text_raises(self):
        class Odd(Exception):
            def __str__(self):
                raise Mine("in __str__")

        def before(name):
            raise Odd

        self.memory.before = before
        with self.assertRaises(Odd):
            self.full()
        self.assert_usable()

    def test_a_storage_that_cannot_write(self):
        self.full()

        class Reader(ibt.Storage):
            def read_at(_, name, offset, length):
                return self.memory.read_at(name, offset, length)

            def list(_, prefix):
                yield from self.memory.list(prefix)

        with ibt.open_storage(Reader()) as store:
            store.restore("source", self.new_path())
            with self.assertRaises(ibt.UnsupportedError):
                store.full_backup(self.source, cache_dir="")
            with self.assertRaises(ibt.UnsupportedError):
                store.prune("source", keep_last=1)


class Statuses(Case):
    def test_each_status(self):
        report = self.full(compression=ibt.Compression.NONE)
        self.assert_status(ibt.InvalidArgumentError, ValueError, self.full, key="a/b")
        absent = self.path("absent")
        error = self.assert_status(ibt.IoError, FileNotFoundError, self.store.full_backup, absent, cache_dir="")
        self.assertEqual((error.errno, error.path, error.filename), (errno.ENOENT, absent, absent))
        self.assertEqual(error.op, "full_backup")
        error = self.assert_status(ibt.IoError, NotADirectoryError, self.store.compare, "source", __file__)
        self.assertEqual(error.errno, errno.ENOTDIR)
        self.assert_status(ibt.NotFoundError, FileNotFoundError, self.store.restore, "absent", self.new_path())
        self.assert_status(ibt.ExistsError, FileExistsError, self.store.restore, "source", self.source)
        self.assert_status(ibt.MismatchError, ibt.Error, self.full, host="another")
        self.memory.locks.add("source")
        self.assert_status(ibt.BusyError, ibt.Error, self.full)
        self.memory.locks.clear()
        cancel = ibt.Cancel()
        cancel.request()
        self.assert_status(ibt.CancelledError, ibt.Error, self.full, cancel=cancel)
        self.full()  # the request concerns only operations with that object

        for name in [name for name in self.memory.objects if ".full." in name]:
            archive = self.memory.objects.pop(name)
        error = self.assert_status(ibt.PartialError, ibt.Error, self.store.restore, "source", self.new_path())
        self.assertEqual(error.report.problems[0].kind, ibt.ProblemKind.MISSING)
        self.assertIn(error.report.problems[0].message, str(error))
        self.assertTrue(self.store.restore("source", self.new_path(), check=False).partial)
        stop = {"on_file_error": ibt.OnFileError.STOP}
        self.assert_status(ibt.MissingError, ibt.Error, self.store.restore, "source", self.new_path(), **stop)
        self.assertTrue(archive)

        state = next(name for name in sorted(self.memory.objects) if ".state." in name)
        right = self.memory.objects[state]
        options = {"snapshot": report.snapshot}
        self.memory.objects[state] = right.replace(b'"version":1', b'"version":9', 1)
        self.assert_status(ibt.FormatError, ibt.Error, self.store.open_snapshot, "source", **options)
        self.memory.objects[state] = right.replace(b"dir/other", b"dir/0ther", 1)
        self.assert_status(ibt.CorruptError, ibt.Error, self.store.open_snapshot, "source", **options)
        self.memory.objects[state] = right
        # Nothing small reaches LIMIT, and nothing should reach PANIC. STORAGE is that of test_answers_of_a_storage,
        # UNSUPPORTED that of test_a_storage_that_cannot_write.

    def assert_status(self, kind, also, function, *arguments, **options):
        with self.assertRaises(kind) as raised:
            function(*arguments, **options)
        error = raised.exception
        self.assertIsInstance(error, also)
        self.assertIsInstance(error, ibt.Error)
        self.assertEqual(error.status, kind.status)
        self.assertTrue(error.message)
        self.assertEqual(str(error), error.message)
        copied = pickle.loads(pickle.dumps(error))
        self.assertEqual(type(copied), type(error))
        self.assertEqual(
            (copied.status, copied.message, copied.path, copied.op, copied.errno, copied.report),
            (error.status, error.message, error.path, error.op, error.errno, error.report),
        )
        return error

    def test_unknown_numbers(self):
        self.assertEqual(ibt.Status(-77), -77)
        self.assertEqual(ibt.EntryType(77).name, "UNKNOWN_77")
        self.assertEqual(ibt.ChangeKind(1 << 20), 1 << 20)
        with self.assertRaises(ValueError):
            ibt.Status("text")

    def test_an_unreadable_file_is_a_problem(self):
        if os.geteuid() == 0:
            os.symlink("x", self.path("source/dir/link"))
            report = self.full(source_path=["dir/file", "absent"], check=False)
        else:
            os.chmod(self.path("source/dir/other"), 0)
            report = self.full(check=False)
        self.assertTrue(report.partial)
        self.assertEqual(report.problems[0].kind, ibt.ProblemKind.UNREADABLE)


class Objects(Case):
    def test_closed_objects(self):
        self.full()
        snapshot, second = self.snapshot(), self.snapshot()
        self.assertFalse(self.store.closed or snapshot.closed)
        self.store.close()
        self.store.close()
        self.assertIn("closed", repr(self.store))
        for call in (
            lambda: self.store.list_snapshots(), lambda: self.full(), lambda: self.store.list_keys(),
            lambda: list(self.store), lambda: self.store.open_snapshot("source"),
        ):
            with self.assertRaisesRegex(ibt.InvalidArgumentError, "closed"):
                call()
        self.assertEqual(snapshot.read("dir/other"), b"text")  # it keeps the storage
        self.memory.before = raising
        with self.assertRaises(Mine):
            second.read("dir/file")
        snapshot.close()
        snapshot.close()
        for call in (
            lambda: next(iter(snapshot)), lambda: snapshot.entry(), lambda: snapshot.read("dir/other"),
            lambda: snapshot.open("dir/other"), lambda: ibt.diff(snapshot, second),
        ):
            with self.assertRaisesRegex(ibt.InvalidArgumentError, "closed"):
                call()
        self.assertEqual(snapshot.info.key, "source")

    def test_wrong_types(self):
        self.full()
        snapshot = self.snapshot()
        for call in (
            lambda: ibt.open_dir(None), lambda: ibt.open_dir(7), lambda: self.store.full_backup(None),
            lambda: self.store.restore(None, "dest"), lambda: self.store.restore("source", None),
            lambda: self.store.restore(b"source", "dest"), lambda: self.store.verify(7),
            lambda: self.store.open_snapshot(None), lambda: snapshot.read(None), lambda: snapshot.read("a", "b"),
            lambda: snapshot.read("a", 0, 1.5), lambda: snapshot.entries("", depth="1"), lambda: ibt.diff(None, None),
            lambda: ibt.diff(snapshot, self.store), lambda: snapshot.copy("dir/file", None), lambda: self.store.prune(),
            lambda: ibt.open_dir("a", 1), lambda: self.store.full_backup("a", "b"),
        ):
            with self.assertRaises(TypeError):
                call()
        for call in (
            lambda: ibt.open_dir("a\0b"), lambda: ibt.open_dir(""), lambda: self.store.full_backup("a\0b"),
            lambda: self.store.restore("a\0b", "dest"), lambda: snapshot.read("a\0b"), lambda: snapshot.read("a", -1),
            lambda: snapshot.read("a", 2**64), lambda: snapshot.entries("", depth=2**32), lambda: snapshot.entry(".."),
        ):
            with self.assertRaises(ValueError):
                call()
        with self.assertRaises(ibt.NotFoundError):
            ibt.open_dir(self.path("absent"), must_exist=True)

    def test_objects_cannot_be_copied(self):
        self.full()
        for thing in (self.store, self.snapshot()):
            for function in (pickle.dumps, copy.deepcopy):
                with self.assertRaises(TypeError):
                    function(thing)
        report = self.store.list_snapshots()
        self.assertEqual(pickle.loads(pickle.dumps(report)), report)
        entry = self.snapshot().entry("dir/file")
        self.assertEqual(pickle.loads(pickle.dumps(entry)), entry)

    def test_the_collector_closes_in_any_order(self):
        self.full()
        for order in range(24):
            store = ibt.open_storage(self.memory)
            snapshot = store.open_snapshot("source")
            entries = iter(snapshot)
            next(entries)
            file = snapshot.open("dir/file")
            things = {"store": store, "snapshot": snapshot, "entries": entries, "file": file}
            del store, snapshot, entries, file
            names = sorted(things)
            while names:
                order, place = divmod(order, len(names))
                del things[names.pop(place)]
                gc.collect()
                if "file" in things:
                    things["file"].seek(0)
                    self.assertEqual(things["file"].read(), noise(1, 100000))
                if "entries" in things:
                    next(things["entries"], None)

    def test_a_storage_is_released(self):
        memory = Memory()
        store = ibt.open_storage(memory)
        store.full_backup(self.source, cache_dir="")
        snapshot = store.open_snapshot("source")
        memory.before = raising
        with self.assertRaises(Mine):
            store.full_backup(self.source, cache_dir="")
        alive = weakref.ref(memory)
        del memory
        del store
        gc.collect()
        self.assertIsNotNone(alive())
        del snapshot
        gc.collect()
        self.assertIsNone(alive())

    def test_objects_are_freed_without_the_collector(self):
        """An operation that failed leaves no cycle of references that keeps the store open."""
        gc.collect()
        gc.disable()
        try:
            memory = Memory()
            alive = weakref.ref(memory)
            store = ibt.open_storage(memory)
            with contextlib.suppress(Mine):
                store.full_backup(self.source, cache_dir="", progress=raising)
            with contextlib.suppress(ibt.Error):
                store.restore("absent", self.new_path())
            del memory, store
            self.assertIsNone(alive())
        finally:
            gc.enable()

    def test_each_object_is_freed_once(self):
        """The objects of calls that succeed, fail, are left and are cancelled."""
        self.full()
        with ObjectCount() as count:
            cancel = ibt.Cancel()  # which outlives its calls
            for _ in range(3):
                self.use_and_fail(cancel)
            gc.collect()
            self.assertEqual((count.alive, count.wrong), (set(), []))
            for kind, number in count.made.items():
                self.assertGreaterEqual(number, 3, kind)
            self.assertFalse(cancel.requested)

    def use_and_fail(self, cancel):
        store = ibt.open_storage(self.memory)
        store.list_keys(cancel=cancel)
        store.full_backup(self.source, cache_dir="", cancel=cancel)
        with contextlib.suppress(Mine):
            store.list_snapshots(progress=raising)
        with store.open_snapshot("source") as snapshot:
            next(iter(snapshot))
            snapshot.read("dir/file")
            with self.assertRaises(ibt.NotFoundError):
                snapshot.read("absent", cancel=cancel)
        with contextlib.suppress(Mine):
            store.open_snapshot("source", progress=raising)
        with self.assertRaises(ibt.NotFoundError):
            store.restore("absent", self.new_path())
        with self.assertRaises(ibt.InvalidArgumentError):
            store.full_backup(self.source, key="a/b")
        with self.assertRaises(ibt.NotFoundError):
            ibt.open_dir(self.new_path(), must_exist=True)
        ibt.open_dir(self.new_path())  # nobody closes it

    def test_a_close_frees_at_once_and_during_a_call_after_it(self):
        with ObjectCount() as count, ibt.open_storage(self.memory) as store:
            store.full_backup(self.source, cache_dir="")
            snapshot = store.open_snapshot("source")
            self.assertEqual(count.count("snapshot"), 1)
            snapshot.close()
            self.assertEqual(count.count("snapshot"), 0)
            during = []

            def change(_):
                store.close()
                store.close()
                during.append(count.count("storage"))
                self.assertRaisesRegex(ibt.BusyError, "the store", store.list_keys)

            store.full_backup(self.source, cache_dir="", change=change)
            self.assertEqual((set(during), count.count("storage"), count.wrong), ({1}, 0, []))

    def test_a_with_statement_closes(self):
        self.full()
        for opened in (ibt.open_storage(self.memory), self.store.open_snapshot("source")):
            with self.assertRaises(Mine), opened as same:
                self.assertIs(same, opened)
                self.assertFalse(opened.closed)
                self.assertNotIn("closed", repr(opened))
                raise Mine
            self.assertTrue(opened.closed)
            self.assertIn("closed", repr(opened))

    def test_a_callback_that_uses_the_store(self):
        tried = []

        def progress(_):
            if not tried:
                for call in (self.store.list_snapshots, lambda: self.full(), self.store.list_keys):
                    with self.assertRaises(ibt.BusyError):
                        call()
                with ibt.open_dir(self.path("another")) as another:  # another store is free
                    another.full_backup(self.path("source/dir"), cache_dir="")
                self.store.close()
                tried.append(True)

        self.full(progress=progress)
        self.assertTrue(tried)
        with self.assertRaisesRegex(ibt.InvalidArgumentError, "closed"):
            self.store.list_snapshots()
        self.assertEqual(self.memory.locks, set())


class Threads(Case):
    def test_operations_beside_each_other(self):
        def work(i):
            source, dest = self.path(f"many/{i}"), self.path(f"restored-{i}")
            write(os.path.join(source, "file"), noise(i, 50000))
            with ibt.open_dir(self.path("store")) as store:
                store.full_backup(source, cache_dir="")
                store.restore(str(i), dest)
            self.assert_same_trees(source, dest)

        with concurrent.futures.ThreadPoolExecutor(6) as threads:
            for result in [threads.submit(work, i) for i in range(6)]:
                result.result()

    def test_one_store_for_many_threads(self):
        """Each call succeeds, or the store is busy or closed."""
        self.full()
        snapshot = self.snapshot()
        done = []

        def work(number):
            calls = (
                lambda: self.full(), lambda: self.store.list_snapshots("source"),
                lambda: snapshot.read("dir/file"), lambda: list(snapshot),
            )
            for _ in range(10):
                try:
                    calls[number % 4]()
                    done.append(number)
                except (ibt.BusyError, RuntimeError):
                    pass
                except ibt.InvalidArgumentError as error:
                    self.assertIn("closed", str(error))
            if number == 7:
                snapshot.close()
                self.store.close()

        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            for result in [threads.submit(work, i) for i in range(8)]:
                result.result()
        self.assertTrue(done)
        self.assertEqual((self.memory.open, self.memory.locks), (0, set()))

    def test_functions_run_on_the_thread_of_the_caller(self):
        def work():
            me = threading.get_ident()
            seen = set()
            memory = Memory()
            memory.before = lambda name: seen.add(threading.get_ident())

            def note(*_):
                seen.add(threading.get_ident())

            with ibt.open_storage(memory) as store:
                store.full_backup(self.source, cache_dir="", progress=note, change=note, filter=lambda _: not note())
            self.assertEqual(seen, {me})

        work()
        with concurrent.futures.ThreadPoolExecutor(1) as threads:
            threads.submit(work).result()

    def test_other_threads_run_meanwhile(self):
        ticks, end = [], threading.Event()

        def tick():
            while not end.is_set():
                ticks.append(time.monotonic())
                time.sleep(0.001)

        for i in range(300):
            write(self.path(f"source/more/{i}"), noise(i, 20000))
        thread = threading.Thread(target=tick)
        thread.start()
        with ibt.open_dir(self.path("store")) as store:
            began = time.monotonic()
            store.full_backup(self.source, cache_dir="")
            took = time.monotonic() - began
        end.set()
        thread.join()
        during = sum(began <= tick <= began + took for tick in ticks)
        self.assertGreater(during, took / 0.1)

    def test_a_wait_for_a_lock_ends(self):
        self.memory.locks.add("source")
        for wait in (0.3, datetime.timedelta(milliseconds=300)):
            began = time.monotonic()
            with self.assertRaises(ibt.BusyError):
                self.full(lock_wait=wait)
            took = time.monotonic() - began
            self.assertGreaterEqual(took, 0.3)
            self.assertLess(took, 5)

    def test_cancel_from_another_thread(self):
        self.memory.locks.add("source")
        cancel = ibt.Cancel()
        timer = threading.Timer(0.2, cancel.request)
        timer.start()
        began = time.monotonic()
        with self.assertRaises(ibt.CancelledError):
            self.full(lock_wait=float("inf"), cancel=cancel)
        self.assertLess(time.monotonic() - began, 1.2)
        self.assertTrue(cancel.requested)
        timer.join()
        self.memory.locks.clear()
        self.full()
        snapshot = self.snapshot()
        for call in (snapshot.entries, lambda cancel: snapshot.read("dir/file", cancel=cancel), self.store.list_keys):
            with self.assertRaises(ibt.CancelledError):
                call(cancel=cancel)
        self.assert_usable()


class Interrupts(Case):
    """Real signals, for real processes."""

    PROGRAM = """
        import os, signal, sys, threading, time
        sys.path[:0] = {path!r}
        import ibt
        from support import Memory

        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background ignores it

        def announce(*_, said=[]):
            if not said:
                said.append(True)
                print("running", flush=True)

        def for_ever(function):
            function()
            announce()
            while True:
                function()

        def inside_only(number, frame):
            # Elsewhere an interrupt could come before this program is ready for it.
            while frame and os.path.basename(os.path.dirname(frame.f_code.co_filename)) != "ibt":
                frame = frame.f_back
            if frame:
                raise KeyboardInterrupt

        store = ibt.open_dir({store!r})
        began = None
        try:
            {call}
            print("it ended by itself")
        except KeyboardInterrupt:
            print("interrupted")
            {after}
            print("usable")
    """

    def interrupted(self, call, after="pass", signals=1, pause=0.0):
        """Runs a program, and interrupts it when it prints "running". Returns how long it then takes."""
        program = self.PROGRAM.format(path=sys.path, store=self.path("store"), call=call, after=after)
        command = [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(program)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        with process:
            line = process.stdout.readline()
            self.assertEqual(line, "running\n", line + (process.stdout.read() if line != "running\n" else ""))
            began = time.monotonic()
            for _ in range(signals):
                process.send_signal(signal.SIGINT)
                time.sleep(pause)
            said = process.stdout.readline()
            took = time.monotonic() - began
            rest = process.stdout.read()
        self.assertEqual((said, rest, process.returncode), ("interrupted\n", "usable\n", 0))
        return took

    def big_source(self):
        """A backup of this takes seconds."""
        with open(self.path("source/big"), "wb") as file:
            for i in range(24):
                file.write(noise(i, 8 << 20))

    AFTER = "store.full_backup({source!r}, cache_dir='', exclude=['big'], key='other'); store.verify()"

    def test_an_interrupt_ends_a_backup(self):
        self.big_source()
        call = f"store.full_backup({self.source!r}, cache_dir='', compression_level=19, progress=announce)"
        took = self.interrupted(call, self.AFTER.format(source=self.source))
        print(f"a backup ended {took:.3f} s after its interrupt", file=sys.stderr)
        self.assertLess(took, 1)
        with ibt.open_dir(self.path("store")) as store:
            self.assertEqual(store.list_keys(), {"other": 1})

    def test_an_interrupt_of_an_operation_without_callbacks(self):
        holding, release = threading.Event(), threading.Event()

        def hold(_):
            holding.set()
            release.wait()

        with ibt.open_dir(self.path("store")) as store, concurrent.futures.ThreadPoolExecutor(1) as threads:
            held = threads.submit(store.full_backup, self.source, cache_dir="", change=hold)
            holding.wait(10)
            call = f"store.full_backup({self.source!r}, cache_dir='', lock_wait=float('inf'))"
            try:
                took = self.interrupted("threading.Timer(0.3, announce).start(); " + call)
            finally:
                release.set()
            held.result()
        self.assertLess(took, 1)

    def test_an_interrupt_ends_a_wait_for_a_lock(self):
        call = (
            "m = Memory(); m.locks.add('source'); m.before = lambda name: name == 'lock' and announce(); "
            f"ibt.open_storage(m).full_backup({self.source!r}, cache_dir='', lock_wait=float('inf'))"
        )
        self.assertLess(self.interrupted(call), 1)

    def test_an_interrupt_in_a_function_of_the_caller(self):
        call = f"store.full_backup({self.source!r}, cache_dir='', change=lambda c: announce() or time.sleep(60))"
        self.assertLess(self.interrupted(call, self.AFTER.format(source=self.source)), 1)

    def test_an_interrupt_in_a_read(self):
        with ibt.open_dir(self.path("store")) as store:
            store.full_backup(self.source, cache_dir="")
        call = "s = store.open_snapshot('source'); for_ever(lambda: s.read('dir/file'))"
        self.assertLess(self.interrupted(call, "s.read('dir/file')"), 1)

    def test_many_interrupts(self):
        """Twenty signals in a hundredth of a second; the program notes one and ignores the others."""
        self.big_source()
        call = (
            "m = Memory(); s = ibt.open_storage(m); signal.signal(signal.SIGINT, inside_only); "
            f"s.full_backup({self.source!r}, cache_dir='', compression_level=19, progress=announce)"
        )
        after = "signal.signal(signal.SIGINT, signal.SIG_IGN); assert not m.locks and not m.open; s.list_keys()"
        self.interrupted(call, after, signals=20, pause=0.0005)

    def test_a_signal_handler_that_raises_and_one_that_cancels(self):
        self.memory.locks.add("source")

        def handler(*_):
            raise Mine("from a handler")

        old = signal.signal(signal.SIGALRM, handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with self.assertRaises(Mine):
                self.full(lock_wait=float("inf"))
            cancel = ibt.Cancel()
            signal.signal(signal.SIGALRM, lambda *_: cancel.request())
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with self.assertRaises(ibt.CancelledError):
                self.full(lock_wait=float("inf"), cancel=cancel)
        finally:
            signal.signal(signal.SIGALRM, old)
        self.memory.locks.clear()
        self.assert_usable()

    def test_daemon_threads_at_the_end_of_the_process(self):
        self.big_source()
        program = f"""
            import sys, threading
            sys.path[:0] = {sys.path!r}
            import ibt
            running = threading.Event()
            store = ibt.open_dir({self.path("store")!r})
            threading.Thread(target=store.full_backup, args=[{self.source!r}], daemon=True, kwargs={{
                "cache_dir": "", "compression_level": 19, "progress": lambda _: running.set()}}).start()
            running.wait()
        """
        command = [sys.executable, "-X", "dev", "-c", textwrap.dedent(program)]
        ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        with ibt.open_dir(self.path("store")) as store:
            store.full_backup(self.path("source/dir"), cache_dir="", key="source")

    def test_a_fork_gets_no_lock_of_its_parent(self):
        program = f"""
            import os, sys
            sys.path[:0] = {sys.path!r}
            import ibt
            store = ibt.open_dir({self.path("store")!r})
            store.full_backup({self.source!r}, cache_dir="")
            import threading
            from support import Memory
            memory, cancel, waiting = Memory(), ibt.Cancel(), threading.Event()
            memory.locks.add("source")
            memory.before = lambda name: waiting.set()
            other = threading.Thread(target=lambda: wait_for_the_lock(memory, cancel))

            def wait_for_the_lock(memory, cancel):
                try:
                    ibt.open_storage(memory).full_backup(
                        {self.source!r}, cache_dir="", lock_wait=float("inf"), cancel=cancel)
                except ibt.CancelledError:
                    pass

            other.start()
            waiting.wait()
            child = os.fork()
            if child == 0:
                with ibt.open_dir({self.path("store")!r}) as mine:
                    mine.incremental_backup({self.source!r}, cache_dir="")
                sys.exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            cancel.request()
            other.join()
            store.incremental_backup({self.source!r}, cache_dir="")
            assert store.list_keys() == {{"source": 3}}
        """
        # Python 3.12 warns of a fork beside threads.
        command = [sys.executable, "-X", "dev", "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(program)]
        began = time.monotonic()
        ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        self.assertEqual((ended.returncode, ended.stdout), (0, ""))
        self.assertLess(time.monotonic() - began, 9)  # the child waits for no call of its parent

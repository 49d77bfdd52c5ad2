"""Looking into a snapshot."""

from __future__ import annotations

import ctypes
import errno
import io
from typing import TYPE_CHECKING, Any, Callable, Iterator, List, Optional, Tuple

from ._call import Call, on_bytes, on_entry, partial_error
from ._constants import Status
from ._entry import Entry, read_entry
from ._errors import make_error
from ._handle import Cancel, Handle
from ._lib import lib
from ._options import Settings
from ._report import Report, SnapshotInfo, read_counters, take_report
from ._text import UINT32_MAX, UINT64_MAX, Path, number_to_c, path_of, path_to_c, text_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._options import DiffOptions

_BATCH = 512  # entries that an iteration reads at once
_BUFFER = 1 << 20


class Snapshot:
    """One opened snapshot, for listing its entries and reading its files; Store.open_snapshot() makes it.

    Iterating gives every Entry: first the root, whose path is "", then all others in the order of paths, so that each
    directory comes right before its own entries. A snapshot was verified when it was opened, and does not change. It
    keeps its storage, also after the Store was closed, but does not lock it: if the snapshot is removed meanwhile,
    reading its files raises MissingError.

    One call at a time uses a snapshot; a second one raises BusyError. Close it, or use it in a with statement; one that
    nobody refers to is closed by itself.
    """

    def __init__(self, handle: Handle, info: SnapshotInfo) -> None:
        self._handle = handle
        self._info = info
        self._iteration = 0  # the number of the newest iterator

    @property
    def info(self) -> SnapshotInfo:
        """The SnapshotInfo: key, stamp, kind, digest, source, date, labels and counters."""
        return self._info

    @property
    def closed(self) -> bool:
        """Whether the snapshot is closed."""
        return self._handle.closed

    def close(self) -> None:
        """Closes the snapshot. If a call is using it, it is closed when that call ends."""
        self._handle.close()

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ibt.Snapshot {self._info.key} {self._info.stamp}{' (closed)' if self.closed else ''}>"

    def __iter__(self) -> Iterator[Entry]:
        self._iteration += 1
        return self._iterate(self._iteration)

    def _iterate(self, number: int) -> Iterator[Entry]:
        size, first = 16, True
        while True:
            if number != self._iteration:
                raise RuntimeError("another iteration over the snapshot has begun")
            batch, ended = self._next(first, size)
            yield from batch
            if ended:
                return
            size, first = min(size * 2, _BATCH), False

    def _next(self, rewind: bool, size: int) -> Tuple[List[Entry], bool]:
        """Reads the next entries, and whether there are no more."""
        call = Call("iterate")

        def body(pointer: int) -> Tuple[List[Entry], bool]:
            error, entry = ctypes.c_void_p(), ctypes.c_void_p()
            if rewind:
                call.finish(lib.ibt_snapshot_rewind(pointer, ctypes.byref(error)), error)
            entries: List[Entry] = []
            while len(entries) < size:
                call.finish(lib.ibt_snapshot_next(pointer, ctypes.byref(entry), ctypes.byref(error)), error)
                one = read_entry(entry.value)
                if one is None:
                    return entries, True
                entries.append(one)
            return entries, False

        return call.use(self._handle, body)

    def entry(self, path: Path = "") -> Entry:
        """Returns the entry at a path, without following links; "" is the root. Raises NotFoundError without one."""
        return self.entries(path, depth=0)[0]

    def entries(self, path: Path = "", *, depth: Optional[int] = None, cancel: Optional[Cancel] = None) -> List[Entry]:
        """Returns the entry at a path and those below it, down to `depth` levels, in the order of paths.

        With 0 only the entry itself, with 1 also the entries of that directory, with None all. To see all entries of a
        large snapshot, iterate over it, which needs less memory.
        """
        name = path_to_c(path)
        levels = UINT32_MAX if depth is None else number_to_c(depth, "depth", 0, UINT32_MAX)
        call = Call("entries", cancel)

        def body(pointer: int) -> List[Entry]:
            error = ctypes.c_void_p()
            status = lib.ibt_snapshot_list(pointer, name, levels, on_entry, None, ctypes.byref(error))
            call.finish(status, error)
            return call.entries

        return call.use(self._handle, body)

    def listdir(self, path: Path = "") -> List[Entry]:
        """Returns the entries of a directory, sorted by name. Raises NotADirectoryError if it is something else."""
        directory, *children = self.entries(path, depth=1)
        if not directory.is_dir:
            message = f"list {directory.path}: it is not a directory"
            raise make_error(Status.IO, message, directory.path, "listdir", errno.ENOTDIR)
        return sorted(children, key=lambda entry: entry.path_bytes)

    def read(
        self, path: Path, offset: int = 0, length: Optional[int] = None, *, cancel: Optional[Cancel] = None
    ) -> bytes:
        """Returns the content of a file, or `length` bytes of it from `offset` on; fewer if it ends before.

        A read of a whole file checks its hash. A part has no hash to check.
        """
        return b"".join(self._read(path, offset, length, None, cancel).pieces)

    def copy(self, path: Path, file: Any, *, cancel: Optional[Cancel] = None) -> int:
        """Writes the content of a file to a binary file object, and returns the number of bytes.

        The call checks the hash of the file: treat the bytes as provisional until it returns.
        """
        written = 0

        def write(piece: bytes) -> None:
            nonlocal written
            rest = memoryview(piece)
            while len(rest) > 0:
                count = file.write(rest)
                taken = len(rest) if count is None else count
                if not 0 < taken <= len(rest):
                    raise OSError(f"write() of {type(file).__name__} took {taken} of {len(rest)} bytes")
                written += taken
                rest = rest[taken:]

        if not callable(getattr(file, "write", None)):
            raise TypeError(f"file must have a method write(), which {type(file).__name__} has not")
        self._read(path, 0, None, write, cancel)
        return written

    def _read(
        self,
        path: Path,
        offset: int,
        length: Optional[int],
        take: Optional[Callable[[bytes], Any]],
        cancel: Optional[Cancel] = None,
    ) -> Call:
        name = path_to_c(path)
        start = number_to_c(offset, "offset", 0, UINT64_MAX)
        count = UINT64_MAX if length is None else number_to_c(length, "length", 0, UINT64_MAX)
        call = Call("read", cancel)
        call.take_bytes = take

        def body(pointer: int) -> None:
            error = ctypes.c_void_p()
            status = lib.ibt_snapshot_read(pointer, name, start, count, on_bytes, None, ctypes.byref(error))
            call.finish(status, error)

        call.use(self._handle, body)
        return call

    def open(self, path: Path) -> io.BufferedReader:
        """Opens a file of the snapshot for reading bytes, as open(path, "rb") does. It can seek.

        It reads ranges, which have no hash to check; read() and copy() check the hash of the whole file.
        """
        entry = self.entry(path)
        if not entry.is_file:
            number = errno.EISDIR if entry.is_dir else errno.EINVAL
            raise make_error(Status.IO, f"open {entry.path}: it is not a file", entry.path, "open", number)
        return io.BufferedReader(_File(self, entry), _BUFFER)


class _File(io.RawIOBase):
    """A file of a snapshot, read by ranges."""

    def __init__(self, snapshot: Snapshot, entry: Entry) -> None:
        self._snapshot = snapshot
        self._entry = entry
        self._place = 0

    @property
    def name(self) -> str:
        return self._entry.path

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self._snapshot.read(self._entry.path, self._place, len(view))
        view[: len(data)] = data
        self._place += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._entry.size}[whence]
        if start + offset < 0:
            raise ValueError(f"the place {start + offset} is negative")
        self._place = start + offset
        return self._place

    def tell(self) -> int:
        return self._place


def read_info(pointer: int) -> SnapshotInfo:
    """Describes an opened snapshot."""
    labels = {}
    for i in range(lib.ibt_snapshot_label_count(pointer)):
        labels[text_of(lib.ibt_snapshot_label_name(pointer, i))] = text_of(lib.ibt_snapshot_label_value(pointer, i))
    return SnapshotInfo(
        key=text_of(lib.ibt_snapshot_key(pointer)),
        stamp=text_of(lib.ibt_snapshot_stamp(pointer)),
        kind=text_of(lib.ibt_snapshot_kind(pointer)),
        digest=text_of(lib.ibt_snapshot_digest(pointer)),
        source=path_of(lib.ibt_snapshot_source(pointer)),
        host="",
        parent=None,
        date_ns=lib.ibt_snapshot_date(pointer),
        labels=labels,
        counters=read_counters(lambda which: lib.ibt_snapshot_counter(pointer, which)),
        action=None,
        reason="",
    )


def operate(call: Call, settings: Settings, check: bool, run: Callable[[int, Any, Any], int]) -> Report:
    """Runs an operation on the worker, and makes its report and error."""
    options = settings.apply(call)
    report_pointer, error = ctypes.c_void_p(), ctypes.c_void_p()
    try:
        status = run(options, ctypes.byref(report_pointer), ctypes.byref(error))
    finally:
        lib.ibt_options_free(options)
    report = take_report(report_pointer.value)
    call.finish(status, error, report)
    if report is None:
        raise make_error(Status.PANIC, f"{call.op}: there is no report", op=call.op)
    if report.partial and check:
        raise partial_error(call.op, report)
    return report


def diff(before: Snapshot, after: Snapshot, **options: Unpack[DiffOptions]) -> Report:
    """Compares two opened snapshots, of one key or of different keys and stores; DiffOptions are its options.

    The function `change` receives each difference, as a Change from `before` to `after`. The report counts them.
    """
    for name, snapshot in (("before", before), ("after", after)):
        if not isinstance(snapshot, Snapshot):
            raise TypeError(f"{name} must be ibt.Snapshot, not {type(snapshot).__name__}")
    settings = Settings("diff", options)
    call = Call("diff", settings.cancel)
    first, second = before._handle, after._handle

    def body() -> Report:
        with first as one, second as two:
            return operate(call, settings, True, lambda o, r, e: int(lib.ibt_diff(one, two, o, r, e)))

    return call.run(body)

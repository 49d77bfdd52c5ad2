"""Storages that are made of functions in Python."""

from __future__ import annotations

import abc
import ctypes
import io
from typing import Any, Callable, Dict, Iterable, Protocol, Tuple, Union

from ._call import Call, callback
from ._constants import CALLBACK_FAILED, CALLBACK_OK, STORAGE_READS_CHEAPLY, Status
from ._errors import BusyError, CancelledError, CorruptError, ExistsError, NotFoundError, UnsupportedError
from ._lib import lib
from ._text import UINT64_MAX, number_to_c, text_of


class ObjectWriter(Protocol):
    """Writes one object of a Storage. libibt ends it with exactly one call of commit() or abort()."""

    def write(self, data: bytes) -> Any:
        """Appends all of the bytes. The return value is ignored."""

    def commit(self) -> Any:
        """Makes the object durable, and visible under its name in one step.

        It never replaces an existing object: if the name is taken, it raises ExistsError. The writer has ended,
        whatever commit() does.
        """

    def abort(self) -> Any:
        """Discards the bytes written."""


class Storage(abc.ABC):
    """A place for backup files that is made of your functions: an object store, a database, a tape.

    It holds objects. Each object has a name and a sequence of bytes; there are no directories. libibt creates an
    object, reads it, and may delete it, but never changes it. A name has at most 200 bytes of UTF-8, without "/" and
    control characters.

    Every operation needs read_at() and list(). Define these too, as far as your storage can do it:

    create(name) -> ObjectWriter: begins to write an object, which nobody sees before its commit. Up to four writers
    are open at a time. Backups and consolidations need it.

    delete(name): removes an object. Does nothing if there is no such object. Removing snapshots needs it.

    lock(key) and unlock(key): one writer at a time for each key. lock() keeps out every other backup, consolidation or
    prune of the key, also of other programs and machines; if somebody has the lock, it raises BusyError at once.
    Without these two the caller must prevent two writers of one key.

    reads_cheaply: set it to True if reading a range of an object takes little time and costs no money.

    The functions run on the thread that called the operation, one at a time, and never outside of an operation. The
    exceptions NotFoundError, ExistsError, BusyError, CancelledError and UnsupportedError, and Python's
    FileNotFoundError, FileExistsError and NotImplementedError, become the error of the operation. Every other exception
    ends the operation, which then raises it.
    """

    reads_cheaply: bool = False

    @abc.abstractmethod
    def read_at(self, name: str, offset: int, length: int) -> Union[bytes, bytearray, memoryview]:
        """Returns at most `length` bytes of an object, and none only if offset is at or past its end.

        Raises NotFoundError if there is no such object: a restore then lists its contents as missing and goes on.
        Raises CorruptError if it finds that the bytes are damaged: a restore lists that too and goes on.
        """

    @abc.abstractmethod
    def list(self, prefix: str) -> Iterable[Tuple[str, int]]:
        """Returns name and size of every committed object whose name begins with `prefix`, in any order.

        This includes objects that were committed a moment ago. Other names do no harm.
        """


class Functions:
    """A Storage, as the callbacks below need it."""

    def __init__(self, storage: Any) -> None:
        for name in ("read_at", "list"):
            if isinstance(storage, type) or not callable(getattr(storage, name, None)):
                raise TypeError(f"{type(storage).__name__} is no storage: it has no method {name}()")
        self.storage = storage
        self.writers: Dict[int, Any] = {}
        self.count = 0  # of the writers, to number them
        self.writes = self._has("create")
        self.deletes = self._has("delete")
        self.locks = self._has("lock") and self._has("unlock")
        self.reads_cheaply = bool(getattr(storage, "reads_cheaply", False))

    def _has(self, name: str) -> bool:
        return callable(getattr(self.storage, name, None))

    def make(self) -> int:
        """Makes the storage of libibt."""
        pointer: int = lib.ibt_storage_new(None, None)
        lib.ibt_storage_set_reader(pointer, _read_at)
        lib.ibt_storage_set_list(pointer, _list)
        if self.writes:
            lib.ibt_storage_set_writer(pointer, _create, _write, _commit, _abort)
        if self.deletes:
            lib.ibt_storage_set_delete(pointer, _delete)
        if self.locks:
            lib.ibt_storage_set_lock(pointer, _lock, _unlock)
        if self.reads_cheaply:
            lib.ibt_storage_set_traits(pointer, STORAGE_READS_CHEAPLY)
        return pointer


_ANSWERS: Tuple[Tuple[Tuple[type, ...], Status], ...] = (
    ((NotFoundError, FileNotFoundError), Status.NOT_FOUND),
    ((ExistsError, FileExistsError), Status.EXISTS),
    ((BusyError,), Status.BUSY),
    ((CorruptError,), Status.CORRUPT),
    ((CancelledError,), Status.CANCELLED),
    ((UnsupportedError, NotImplementedError, io.UnsupportedOperation), Status.UNSUPPORTED),
)


def _refuse(call: Call, error: Exception) -> int:
    """The answer for an exception. libibt's error will contain the text."""
    try:
        text = " ".join(f"{type(error).__name__}: {error}".split())
    except Exception as second:  # the exception's own __str__ may raise
        text = f"{type(error).__name__} ({type(second).__name__} in its text)"
    number = getattr(error, "errno", None)
    errno = number if isinstance(number, int) and 0 < number < 2**31 else 0
    lib.ibt_storage_fail(None, errno, text.encode("utf-8", "replace").replace(b"\0", b""))
    answer = next((status for kinds, status in _ANSWERS if isinstance(error, kinds)), CALLBACK_FAILED)
    call.refuse(text, error, int(answer))
    return int(answer)


def _function(*arguments: Any) -> Callable[[Callable[..., Any]], Any]:
    """Makes a function of a storage in C. The Python function receives the call, the Functions, and the arguments."""

    def make(function: Callable[..., None]) -> Any:
        def run(call: Call, *values: Any) -> int:
            try:
                function(call, call.storage, *values)
                return CALLBACK_OK
            except Exception as error:
                return _refuse(call, error)

        run.__name__ = function.__name__
        return callback(ctypes.c_int32, *arguments)(run)

    return make


@_function(ctypes.c_char_p, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
def _read_at(call: Call, of: Functions, name: bytes, offset: int, buffer: int, length: int, got: int) -> None:
    data = bytes(memoryview(call.ask(of.storage.read_at, text_of(name), offset, length)))
    if len(data) > length:
        raise ValueError(f"read_at() returned {len(data)} bytes, and {length} were wanted")
    ctypes.memmove(buffer, data, len(data))
    ctypes.c_size_t.from_address(got).value = len(data)


@_function(ctypes.c_char_p, ctypes.c_void_p)
def _list(call: Call, of: Functions, prefix: bytes, out: int) -> None:
    # The whole list is made on the caller's thread: list() may be a generator.
    objects = call.ask(lambda: list(of.storage.list(text_of(prefix))))
    for name, size in objects:
        if not isinstance(name, str):
            raise TypeError(f"list() must return names of type str, not {type(name).__name__}")
        encoded = name.encode("utf-8", "surrogateescape")
        size = number_to_c(size, "the size of an object", 0, UINT64_MAX)
        if b"\0" not in encoded:  # C would see another name
            lib.ibt_list_add(out, encoded, size)


@_function(ctypes.c_char_p, ctypes.c_void_p)
def _create(call: Call, of: Functions, name: bytes, stream: int) -> None:
    writer = call.ask(of.storage.create, text_of(name))
    for method in ("write", "commit", "abort"):
        if not callable(getattr(writer, method, None)):
            raise TypeError(f"create() must return an object with a method {method}(), not {type(writer).__name__}")
    of.count += 1
    of.writers[of.count] = writer
    ctypes.c_void_p.from_address(stream).value = of.count


@_function(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
def _write(call: Call, of: Functions, stream: int, data: int, length: int) -> None:
    call.ask(of.writers[stream].write, ctypes.string_at(data, length))


@_function(ctypes.c_void_p)
def _commit(call: Call, of: Functions, stream: int) -> None:
    call.ask(of.writers.pop(stream).commit)


@callback(None, ctypes.c_void_p)
def _abort(call: Call, stream: int) -> None:
    call.ask(call.storage.writers.pop(stream).abort)


@_function(ctypes.c_char_p)
def _delete(call: Call, of: Functions, name: bytes) -> None:
    call.ask(of.storage.delete, text_of(name))


@_function(ctypes.c_char_p)
def _lock(call: Call, of: Functions, key: bytes) -> None:
    call.ask(of.storage.lock, text_of(key))


@callback(None, ctypes.c_char_p)
def _unlock(call: Call, key: bytes) -> None:
    call.ask(call.storage.storage.unlock, text_of(key))

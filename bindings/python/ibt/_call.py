"""Calls of libibt, and the callbacks that it makes meanwhile.

libibt calls back in the middle of its own work, and no exception may leave such a callback. Python cannot promise that
of a function that ctypes calls: a KeyboardInterrupt may come before its first line. So each call of libibt that may
take long or call back runs on a thread of its own, the worker, and the caller's thread waits for it. Signal handlers
never run on the worker. A callback hands the functions of the caller to the caller's thread, which runs them as
ordinary Python code. If one raises, or Ctrl-C does so while the thread waits, the callback answers with a failure,
libibt ends its work and returns, and then the exception goes on.
"""

from __future__ import annotations

import _thread
import atexit
import ctypes
import os
import threading
import time
from typing import Any, Callable, List, Optional, Set, Tuple, TypeVar

from ._constants import CALLBACK_FAILED, CALLBACK_OK, STOP, Answer, ChangeKind, Filter, LogLevel, Status
from ._entry import Change, Entry, read_entry, read_progress
from ._errors import Error, make_error
from ._handle import Cancel, Flag, Handle
from ._lib import lib
from ._report import Report
from ._text import path_or_none, text_of

T = TypeVar("T")


class _Request:
    """A function of the caller that the caller's thread has to run."""

    def __init__(self, function: Callable[..., Any], arguments: Tuple[Any, ...]) -> None:
        self.function = function
        self.arguments = arguments
        self.begun = False
        self.done = False
        self.value: Any = None
        # Stays if an interrupt comes between the end of the function and the note of its result.
        self.error: Optional[BaseException] = KeyboardInterrupt()
        self.answered = _thread.allocate_lock()
        self.answered.acquire()

    def serve(self) -> None:
        """Runs the function, but not a second time if an interrupt ended an earlier attempt."""
        if not self.begun:
            self.begun = True
            try:
                self.value = self.function(*self.arguments)
                self.error = None
            except BaseException as error:
                self.error = error
        _signal(self.answered)
        self.done = True


def _signal(lock: "_thread.LockType") -> None:
    """Opens a lock that somebody waits for; it may be open already."""
    try:
        lock.release()
    except RuntimeError:
        pass


_now = threading.local()  # _now.call: the call that runs on this worker
_running: "Set[Call]" = set()


@atexit.register
def _stop_all() -> None:
    """Ends the calls of daemon threads: Python would end their workers in the middle of the work of libibt."""
    calls = list(_running)
    for call in calls:
        call.flag.request()
    for call in calls:
        call.wait(10)


os.register_at_fork(after_in_child=_running.clear)  # the child has no worker


def current_call() -> Call:
    """The call whose callback this is."""
    call: Call = _now.call
    return call


class Call:
    """One call of libibt."""

    def __init__(self, op: str, cancel: Optional[Cancel] = None) -> None:
        self.op = op
        self.flag = Flag()
        self.progress: Optional[Callable[..., Any]] = None
        self.change: Optional[Callable[..., Any]] = None
        self.filter: Optional[Callable[..., Any]] = None
        self.log: Optional[Callable[..., Any]] = None
        self.storage: Any = None  # the Functions of the storage in use
        self.take_bytes: Optional[Callable[[bytes], Any]] = None
        self.entries: List[Entry] = []
        self.pieces: List[bytes] = []
        self.keys: List[Tuple[str, int]] = []
        self._cancel = cancel
        self._failure: Optional[BaseException] = None  # the first that ended the call
        self._refusals: List[Tuple[str, Exception, int]] = []  # of a storage's functions: text, exception, answer
        self._request: Optional[_Request] = None
        self._news = _thread.allocate_lock()  # open when the caller's thread has something to do
        self._news.acquire()
        self._arrival = _thread.allocate_lock()  # open when there is a worker
        self._arrival.acquire()
        self._abandoned = False  # the caller's thread does not wait for a worker
        self._ended = False
        self._result: Any = None
        self._error: Optional[BaseException] = None

    # ---- On the caller's thread ----

    def run(self, body: Callable[[], T]) -> T:
        """Runs `body` on a worker, and serves its requests."""
        try:
            if self._cancel is not None:
                self._cancel._attach(self.flag)
            _thread.start_new_thread(self._work, (body,))
            self._attend()
        except BaseException as error:  # an interrupt before _attend(), or while it noted another one
            self.fail(error)
            if self._arrival.acquire(timeout=0.5):
                self._attend()
            else:
                self._abandoned = True
        if self._cancel is not None:
            self._cancel._detach(self.flag)
        result: T = self._outcome()
        return result

    def use(self, handle: Handle, body: Callable[[int], T]) -> T:
        """Runs `body` with the pointer of a handle."""
        self.storage = handle.keeps

        def held() -> T:
            with handle as pointer:
                return body(pointer)

        return self.run(held)

    def _attend(self) -> None:
        """Serves requests until the worker has ended. Notes an interrupt, and goes on."""
        while True:
            try:
                while not self._ended:
                    request = self._request
                    if request is not None and not request.done:
                        request.serve()
                    else:
                        self._news.acquire()
                return
            except BaseException as error:
                self.fail(error)

    def _outcome(self) -> Any:
        failure = self._error if self._failure is None else self._failure
        self._failure = self._error = None
        if failure is None:
            return self._result
        try:
            raise failure
        finally:
            del failure  # else it refers to itself by its traceback, and only the garbage collector frees it

    def wait(self, seconds: float) -> None:
        """Waits for the end of a call of another thread."""
        end = time.monotonic() + seconds
        while self in _running and time.monotonic() < end:
            time.sleep(0.01)

    # ---- On the worker ----

    def _work(self, body: Callable[[], Any]) -> None:
        _now.call = self
        _running.add(self)
        _signal(self._arrival)
        try:
            if not self._abandoned:
                self._result = body()
        except BaseException as error:
            self._error = error
        finally:
            del _now.call, body
            _running.discard(self)
            self._ended = True
            _signal(self._news)

    def ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Runs a function on the caller's thread. Returns its result, or raises its exception."""
        request = _Request(function, arguments)
        self._request = request
        _signal(self._news)
        request.answered.acquire()
        self._request = None
        if request.error is None:
            return request.value
        try:
            raise request.error
        finally:
            request.error = None

    @property
    def stopped(self) -> bool:
        """Whether callbacks must answer with a failure."""
        return self._failure is not None or self.flag.requested

    def fail(self, error: BaseException) -> None:
        """Ends the call with an exception; the first one counts."""
        if self._failure is None:
            self._failure = error
        self.flag.request()

    def refuse(self, text: str, error: Exception, answer: int) -> None:
        """Notes an exception of a storage's function, which counts only if it ends the call."""
        self._refusals.append((text, error, answer))

    def finish(self, status: int, pointer: ctypes.c_void_p, report: Optional[Report] = None) -> None:
        """Raises the exception of a call that failed. Takes the error."""
        error = _take_error(pointer.value, self.op, report)
        if status >= 0:
            return
        if error is None:  # of a call without an argument for errors
            error = make_error(status, text_of(lib.ibt_status_name(status)), op=self.op)
        cause = self._cause(error)
        try:
            if cause is not None and error.status == Status.STORAGE:
                raise cause
            raise error from cause
        finally:
            del error, cause  # see _outcome()

    def _cause(self, error: Error) -> Optional[Exception]:
        """The exception of a storage's function that ended the call. One of a cleanup after it must not hide it."""
        answers = [one for one in self._refusals if one[2] == error.status or error.status == Status.STORAGE]
        named = [cause for text, cause, _ in answers if text in error.message]
        return named[0] if named else answers[-1][1] if answers else None


def _take_error(pointer: Optional[int], op: str, report: Optional[Report]) -> Optional[Error]:
    """Copies and frees an error of libibt; None for NULL."""
    if not pointer:
        return None
    try:
        return make_error(
            lib.ibt_error_status(pointer),
            text_of(lib.ibt_error_message(pointer)),
            path_or_none(lib.ibt_error_path(pointer)),
            op,
            lib.ibt_error_os_code(pointer) or None,
            report,
        )
    finally:
        lib.ibt_error_free(pointer)


def partial_error(op: str, report: Report) -> Error:
    """The exception of an operation that finished with problems."""
    first = next((one for one in report.problems if not one.note), None)
    count = report.counters.problems
    message = f"{op}: finished with {count} problem{'' if count == 1 else 's'}"
    if first is None:
        return make_error(Status.PARTIAL, message, None, op, None, report)
    return make_error(Status.PARTIAL, f"{message}: {first.message}", first.path, op, first.errno, report)


# ---- Callbacks ----


def callback(result: Any, *arguments: Any) -> Callable[[Callable[..., Any]], Any]:
    """Makes a function of C. Its Python function receives the call and all arguments but the userdata."""

    def make(function: Callable[..., Any]) -> Any:
        def run(_userdata: Any, *values: Any) -> Any:
            call = current_call()
            try:
                return function(call, *values)
            except BaseException as error:
                call.fail(error)
                return None if result is None else CALLBACK_FAILED

        run.__name__ = function.__name__
        return ctypes.CFUNCTYPE(result, ctypes.c_void_p, *arguments)(run)

    return make


@callback(ctypes.c_int32, ctypes.c_void_p)
def on_progress(call: Call, now: int) -> int:
    if call.stopped:
        return CALLBACK_FAILED
    if call.progress is not None:
        call.ask(call.progress, read_progress(now))
    return CALLBACK_OK


@callback(ctypes.c_int32, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p)
def on_change(call: Call, what: int, before: Optional[int], after: Optional[int]) -> int:
    if call.stopped or call.change is None:
        return CALLBACK_FAILED
    change = Change(ChangeKind(what), read_entry(before), read_entry(after))
    return STOP.value if call.ask(call.change, change) is STOP else CALLBACK_OK


@callback(ctypes.c_int32, ctypes.c_void_p)
def on_filter(call: Call, entry: int) -> int:
    if call.stopped or call.filter is None:
        return CALLBACK_FAILED
    copied = read_entry(entry)
    answer = call.ask(call.filter, copied)
    if isinstance(answer, bool):
        return Filter.INCLUDE if answer else Filter.LEAVE_OUT
    if isinstance(answer, (Filter, Answer)):
        return answer.value
    raise TypeError(f"the filter must return bool, ibt.Filter or ibt.STOP, not {type(answer).__name__}")


@callback(None, ctypes.c_int32, ctypes.c_char_p)
def on_log(call: Call, level: int, message: bytes) -> None:
    if not call.stopped and call.log is not None:
        call.ask(call.log, LogLevel(level), text_of(message))


@callback(ctypes.c_int32, ctypes.c_char_p, ctypes.c_uint64)
def on_key(call: Call, name: bytes, snapshots: int) -> int:
    call.keys.append((text_of(name), snapshots))
    return CALLBACK_FAILED if call.stopped else CALLBACK_OK


@callback(ctypes.c_int32, ctypes.c_void_p)
def on_entry(call: Call, entry: int) -> int:
    copied = read_entry(entry)
    if copied is not None:
        call.entries.append(copied)
    return CALLBACK_FAILED if call.stopped else CALLBACK_OK


@callback(ctypes.c_int32, ctypes.c_void_p, ctypes.c_size_t)
def on_bytes(call: Call, data: int, length: int) -> int:
    if call.stopped:
        return CALLBACK_FAILED
    piece = ctypes.string_at(data, length)
    if call.take_bytes is None:
        call.pieces.append(piece)
    else:
        call.ask(call.take_bytes, piece)
    return CALLBACK_OK

"""Pointers to objects of libibt."""

from __future__ import annotations

import _thread
import sys
from typing import Any, Callable, Optional, Tuple

from ._constants import Status
from ._errors import make_error
from ._lib import lib


class Handle:
    """A pointer that serves one call at a time.

    A close during a call frees the pointer when that call ends. No method waits for a lock, so that the garbage
    collector and signal handlers may call close() at any moment.
    """

    def __init__(self, kind: str, pointer: int, free: Callable[[int], None], keeps: Any = None) -> None:
        self._kind = kind  # for messages
        self._pointer: Optional[int] = pointer
        self._free = free
        self._closed = False
        self._use = _thread.allocate_lock()  # held while a call uses the pointer
        self.keeps = keeps  # an object that must not be collected before this one

    @property
    def closed(self) -> bool:
        return self._closed

    def __enter__(self) -> int:
        """Reserves the pointer for one call."""
        if not self._use.acquire(blocking=False):
            raise make_error(Status.BUSY, f"another call is using the {self._kind}")
        pointer = self._pointer
        if self._closed or pointer is None:
            self.__exit__()
            raise make_error(Status.INVALID_ARG, f"the {self._kind} is closed")
        return pointer

    def __exit__(self, *_: object) -> None:
        self._use.release()
        if self._closed:
            self.close()

    def close(self) -> None:
        self._closed = True
        if self._use.acquire(blocking=False):
            try:
                self._release()
            finally:
                self._use.release()

    def _release(self) -> None:
        pointer, self._pointer = self._pointer, None
        if pointer is not None:
            self._free(pointer)

    def __del__(self, finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if not finalizing():  # the end of the process frees everything
            self._release()

    def __reduce__(self) -> Tuple[Any, ...]:
        raise TypeError(f"a {self._kind} of libibt cannot be copied or pickled")


class Flag:
    """The request to stop one call."""

    def __init__(self) -> None:
        self.pointer: int = lib.ibt_cancel_new()

    def request(self) -> None:
        lib.ibt_cancel_request(self.pointer)

    @property
    def requested(self) -> bool:
        return bool(lib.ibt_cancel_requested(self.pointer))

    def __del__(self, finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if not finalizing():
            lib.ibt_cancel_free(self.pointer)


class Cancel:
    """A request to stop, for the option cancel of any number of operations.

    Any thread may call request(), and a signal handler too. The request stays: later operations with this object stop
    at once.
    """

    def __init__(self) -> None:
        self._requested = False
        self._flags: "dict[Flag, None]" = {}  # of the running calls

    def request(self) -> None:
        """Asks the operations to stop. They raise CancelledError soon; a backup that is committed already succeeds."""
        self._requested = True
        for flag in list(self._flags):
            flag.request()

    @property
    def requested(self) -> bool:
        """Whether request() was called."""
        return self._requested

    def _attach(self, flag: Flag) -> None:
        self._flags[flag] = None
        if self._requested:
            flag.request()

    def _detach(self, flag: Flag) -> None:
        self._flags.pop(flag, None)

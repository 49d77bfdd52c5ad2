"""Exceptions: one class for each status of libibt."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple, Type

from ._constants import Status

if TYPE_CHECKING:
    from ._report import Report


class Error(Exception):
    """A call of libibt failed. Each status has a class of its own, derived from this one.

    status: the Status. message: one line for people, with the action that failed, its path and the reason. path: the
    path or backup file concerned, or None; path_bytes gives it as bytes. op: the name of the call, such as
    "full_backup". errno: the system's error number behind the failure, or None. report: the Report, or None if the work
    had not begun.

    The functions of a Storage raise these classes too: Error("...") and others end the operation, and NotFoundError,
    ExistsError, BusyError, CancelledError and UnsupportedError say what libibt needs to know.
    """

    status: Status = Status.STORAGE
    errno: Optional[int]

    def __init__(
        self,
        message: str = "",
        *,
        path: Optional[str] = None,
        op: Optional[str] = None,
        errno: Optional[int] = None,
        report: Optional[Report] = None,
        status: Optional[Status] = None,
    ) -> None:
        super().__init__(message)
        if status is not None:
            self.status = status
        self.message = message or f"IBT_ERR_{self.status.name}"
        self.path = path
        self.op = op
        self.errno = errno
        self.report = report
        if isinstance(self, OSError):  # programs look for these
            for name, value in (("strerror", self.message), ("filename", path)):
                setattr(self, name, value)

    def __str__(self) -> str:
        return self.message

    @property
    def path_bytes(self) -> Optional[bytes]:
        """The path as the system has it, or None."""
        return None if self.path is None else os.fsencode(self.path)

    def __reduce__(self) -> Tuple[Any, ...]:
        return make_error, (self.status, self.message, self.path, self.op, self.errno, self.report)


class PartialError(Error):
    """The operation finished with problems, which report.problems lists.

    Entries were unreadable, changed while they were read or are damaged, metadata could not be set, something in the
    destination was in the way, or stored files are missing. The snapshot, or the restored tree, exists. Pass
    check=False to get the report instead of this exception.
    """

    status = Status.PARTIAL


class InvalidArgumentError(Error, ValueError):
    """An argument or option is malformed or has no use in the operation, or the object is closed."""

    status = Status.INVALID_ARG


class IoError(Error, OSError):
    """The system could not read or write.

    It is also an instance of the class that Python has for the error number, such as FileNotFoundError or
    PermissionError.
    """

    status = Status.IO


class NotFoundError(Error, FileNotFoundError):
    """There is no such key, snapshot or entry, or a glob or path matches nothing."""

    status = Status.NOT_FOUND


class ExistsError(Error, FileExistsError):
    """The operation would create something that exists already."""

    status = Status.EXISTS


class CorruptError(Error):
    """Stored bytes are damaged."""

    status = Status.CORRUPT


class FormatError(Error):
    """A newer libibt wrote a file, or the file is no backup file at all."""

    status = Status.FORMAT


class MissingError(Error):
    """A backup file that the snapshot needs is gone."""

    status = Status.MISSING


class StorageError(Error):
    """A function of a Storage failed. Normally the operation raises that function's own exception instead."""

    status = Status.STORAGE


class CancelledError(Error):
    """Cancel.request() ended the operation."""

    status = Status.CANCELLED


class BusyError(Error):
    """Another call or another program is using the object or the key."""

    status = Status.BUSY


class UnsupportedError(Error):
    """It is not possible on this system, or the Storage has no function for it."""

    status = Status.UNSUPPORTED


class LimitError(Error):
    """Something is beyond a documented limit."""

    status = Status.LIMIT


class MismatchError(Error):
    """The source, the host or the digest is not the expected one, or the source is empty and was not before."""

    status = Status.MISMATCH


class PanicError(Error):
    """A bug in libibt that was caught. Please report it with the message."""

    status = Status.PANIC


_CLASSES: Dict[int, Type[Error]] = {int(one.status): one for one in Error.__subclasses__()}
for _class in (Error, *Error.__subclasses__()):
    _class.__module__ = "ibt"  # where programs find it, and what tracebacks show
_of_errno: Dict[int, Type[Error]] = {}


def _class_of_errno(errno: int) -> Type[Error]:
    """IoError, and if Python has a class for the error number, a class derived from both."""
    if errno not in _of_errno:
        builtin = type(OSError(errno, ""))
        _of_errno[errno] = (
            IoError
            if builtin is OSError
            else type("IoError", (IoError, builtin), {"__doc__": IoError.__doc__, "__module__": "ibt"})
        )
    return _of_errno[errno]


def make_error(
    status: int,
    message: str,
    path: Optional[str] = None,
    op: Optional[str] = None,
    errno: Optional[int] = None,
    report: Optional[Report] = None,
) -> Error:
    """Makes the exception for a status."""
    kind = _CLASSES.get(status, Error)
    if kind is IoError and errno:
        kind = _class_of_errno(errno)
    return kind(message, path=path, op=op, errno=errno, report=report, status=Status(status))

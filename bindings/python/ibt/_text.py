"""Conversions between values of Python and of C."""

from __future__ import annotations

import datetime
import operator
import os
from typing import Optional, Union

# A path: text, bytes, or an object such as pathlib.Path.
Path = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
INT64_MIN = -(2**63)
UINT32_MAX = 2**32 - 1
UINT64_MAX = 2**64 - 1


def _without_nul(value: bytes, name: str) -> bytes:
    if b"\0" in value:  # C would see only the part before it
        raise ValueError(f"{name}: embedded null byte")
    return value


def path_to_c(value: Path, name: str = "path") -> bytes:
    """The bytes of a path."""
    try:
        return _without_nul(os.fsencode(value), name)
    except TypeError:
        raise TypeError(f"{name} must be str, bytes or os.PathLike, not {type(value).__name__}") from None


def text_to_c(value: str, name: str) -> bytes:
    """The UTF-8 of a text."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be str, not {type(value).__name__}")
    return _without_nul(value.encode("utf-8", "surrogateescape"), name)


def number_to_c(value: int, name: str, low: int, high: int) -> int:
    """A number, within the limits of its type in C: ctypes would drop bits that do not fit."""
    if isinstance(value, float):
        raise TypeError(f"{name} must be int, not float")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be int, not {type(value).__name__}") from None
    if not low <= number <= high:
        raise ValueError(f"{name}: {number} is not between {low} and {high}")
    return number


def text_of(value: Optional[bytes]) -> str:
    """A text of libibt; "" for NULL."""
    return "" if value is None else value.decode("utf-8", "surrogateescape")


def text_or_none(value: Optional[bytes]) -> Optional[str]:
    """A text of libibt; None for NULL."""
    return None if value is None else value.decode("utf-8", "surrogateescape")


def path_of(value: Optional[bytes]) -> str:
    """A path of libibt; "" for NULL. os.fsencode() gives its bytes."""
    return "" if value is None else os.fsdecode(value)


def path_or_none(value: Optional[bytes]) -> Optional[str]:
    """A path of libibt; None for NULL."""
    return None if value is None else os.fsdecode(value)


def time_of(nanoseconds: int) -> datetime.datetime:
    """The time in UTC, to the microsecond."""
    return _EPOCH + datetime.timedelta(microseconds=nanoseconds // 1000)


def nanoseconds_of(time: datetime.datetime, name: str) -> int:
    """The last nanosecond of a time, which is exact to a microsecond."""
    if time.tzinfo is None:
        raise ValueError(f"{name}: a datetime needs a time zone, such as datetime.timezone.utc")
    microseconds = (time - _EPOCH) // datetime.timedelta(microseconds=1)
    return max(INT64_MIN, min(microseconds * 1000 + 999, 2**63 - 1))

"""Entries, and the values that callbacks receive."""

from __future__ import annotations

import ctypes
import dataclasses
import datetime
import os
import stat
from typing import Dict, Optional

from ._constants import ChangeKind, EntryType, Phase
from ._lib import lib
from ._text import INT64_MIN, UINT32_MAX, path_of, path_or_none, text_or_none, time_of

_FORMATS = {
    EntryType.FILE: stat.S_IFREG,
    EntryType.DIR: stat.S_IFDIR,
    EntryType.SYMLINK: stat.S_IFLNK,
    EntryType.FIFO: stat.S_IFIFO,
    EntryType.CHAR: stat.S_IFCHR,
    EntryType.BLOCK: stat.S_IFBLK,
}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One file, directory, link or device at one moment.

    path: relative to the source, components joined by "/"; "" for the source itself. Bytes that are not UTF-8 become
    surrogates, as in all of Python; path_bytes has them as they are. type: an EntryType. target: of a symbolic link,
    else None. hash: of a file's content without its holes, "blake3:" and 64 hex digits; None if it was not read. size:
    of a file in bytes, holes included, else 0. data_size: without holes. permissions: with setuid, setgid and sticky,
    at most 0o7777. uid, gid. permissions, uid and gid are None if the system of the backup had none. user, group: the
    owners' names at the time of the backup, or None. mtime_ns, ctime_ns: in nanoseconds since 1970. birthtime_ns: None
    if it is unknown. flags: inode flags such as "immutable,nodump", or None. project: the project id, or 0. rdev: the
    number of a device, else 0. link: the path of the first name of a hard link, or None for an entry with one name.
    xattrs: the values of extended attributes by their names.
    """

    path: str
    type: EntryType
    target: Optional[str]
    hash: Optional[str]
    size: int
    data_size: int
    permissions: Optional[int]
    uid: Optional[int]
    gid: Optional[int]
    user: Optional[str]
    group: Optional[str]
    mtime_ns: int
    ctime_ns: int
    birthtime_ns: Optional[int]
    flags: Optional[str]
    project: int
    rdev: int
    link: Optional[str]
    xattrs: Dict[str, bytes]

    @property
    def path_bytes(self) -> bytes:
        """The path as the system has it."""
        return os.fsencode(self.path)

    @property
    def name(self) -> str:
        """The last component of the path; "" for the source itself."""
        return self.path.rpartition("/")[2]

    @property
    def target_bytes(self) -> Optional[bytes]:
        """The target of a symbolic link as the system has it, or None."""
        return None if self.target is None else os.fsencode(self.target)

    @property
    def link_bytes(self) -> Optional[bytes]:
        """The path of the first name of a hard link as the system has it, or None."""
        return None if self.link is None else os.fsencode(self.link)

    @property
    def mtime(self) -> datetime.datetime:
        """The modification time in UTC, to the microsecond."""
        return time_of(self.mtime_ns)

    @property
    def mode(self) -> int:
        """Type and permissions, as st_mode of os.stat_result."""
        return (self.permissions or 0) | _FORMATS.get(self.type, 0)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return self.type == EntryType.FILE

    @property
    def is_dir(self) -> bool:
        """Whether it is a directory."""
        return self.type == EntryType.DIR

    @property
    def is_symlink(self) -> bool:
        """Whether it is a symbolic link."""
        return self.type == EntryType.SYMLINK


@dataclasses.dataclass(frozen=True)
class Progress:
    """The progress of an operation.

    phase: a Phase. path: of the entry, or the name of the backup file, that the operation works on; "" between entries.
    done_bytes, total_bytes, done_entries, total_entries: in this phase; a total is 0 while it is unknown.
    """

    phase: Phase
    path: str
    done_bytes: int
    total_bytes: int
    done_entries: int
    total_entries: int


@dataclasses.dataclass(frozen=True)
class Change:
    """One change that an operation found or made.

    what: a sum of ChangeKind. before: the Entry before, None if it is new. after: the Entry after, None if it is gone.
    """

    what: ChangeKind
    before: Optional[Entry]
    after: Optional[Entry]

    @property
    def path(self) -> str:
        """The path of the entry: the new one, or the old one if it is gone."""
        entry = self.after or self.before
        return "" if entry is None else entry.path


def _xattrs(pointer: int) -> Dict[str, bytes]:
    xattrs = {}
    length = ctypes.c_size_t()
    for i in range(lib.ibt_entry_xattr_count(pointer)):
        value = lib.ibt_entry_xattr_value(pointer, i, ctypes.byref(length))
        content = ctypes.string_at(value, length.value) if value else b""
        xattrs[path_of(lib.ibt_entry_xattr_name(pointer, i))] = content
    return xattrs


def _number_or_none(number: int) -> Optional[int]:
    return None if number == UINT32_MAX else number


def read_entry(pointer: Optional[int]) -> Optional[Entry]:
    """Copies an entry of libibt; None for NULL."""
    if not pointer:
        return None
    birthtime = lib.ibt_entry_btime(pointer)
    return Entry(
        path=path_of(lib.ibt_entry_path(pointer)),
        type=EntryType(lib.ibt_entry_type(pointer)),
        target=path_or_none(lib.ibt_entry_target(pointer)),
        hash=text_or_none(lib.ibt_entry_hash(pointer)),
        size=lib.ibt_entry_size(pointer),
        data_size=lib.ibt_entry_data_size(pointer),
        permissions=_number_or_none(lib.ibt_entry_mode(pointer)),
        uid=_number_or_none(lib.ibt_entry_uid(pointer)),
        gid=_number_or_none(lib.ibt_entry_gid(pointer)),
        user=text_or_none(lib.ibt_entry_user(pointer)),
        group=text_or_none(lib.ibt_entry_group(pointer)),
        mtime_ns=lib.ibt_entry_mtime(pointer),
        ctime_ns=lib.ibt_entry_ctime(pointer),
        birthtime_ns=None if birthtime == INT64_MIN else birthtime,
        flags=text_or_none(lib.ibt_entry_flags(pointer)),
        project=lib.ibt_entry_project(pointer),
        rdev=lib.ibt_entry_rdev(pointer),
        link=path_or_none(lib.ibt_entry_link(pointer)),
        xattrs=_xattrs(pointer),
    )


def read_progress(pointer: int) -> Progress:
    """Copies the progress of an operation."""
    return Progress(
        phase=Phase(lib.ibt_progress_phase(pointer)),
        path=path_of(lib.ibt_progress_path(pointer)),
        done_bytes=lib.ibt_progress_done_bytes(pointer),
        total_bytes=lib.ibt_progress_total_bytes(pointer),
        done_entries=lib.ibt_progress_done_entries(pointer),
        total_entries=lib.ibt_progress_total_entries(pointer),
    )

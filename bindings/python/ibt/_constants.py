"""The numbers of ibt.h, as enumerations."""

from __future__ import annotations

import enum
from typing import Any, Optional


class _Number(enum.IntEnum):
    """Numbers that a newer libibt may add to: a number without a name is a member called UNKNOWN_n."""

    @classmethod
    def _missing_(cls, value: object) -> Optional[Any]:
        if not isinstance(value, int):
            return None
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}"
        member._value_ = value
        return member


class Status(_Number):
    """How a call ended.

    OK, or PARTIAL: the operation finished with problems, which the report lists. The others are failures. Each of
    PARTIAL, INVALID_ARG, IO, NOT_FOUND, EXISTS, CORRUPT, FORMAT, MISSING, STORAGE, CANCELLED, BUSY, UNSUPPORTED, LIMIT,
    MISMATCH and PANIC has a class of exceptions, whose documentation says what the status means.
    """

    OK = 0
    PARTIAL = 1
    INVALID_ARG = -1
    IO = -2
    NOT_FOUND = -3
    EXISTS = -4
    CORRUPT = -5
    FORMAT = -6
    MISSING = -7
    STORAGE = -8
    CANCELLED = -9
    BUSY = -10
    UNSUPPORTED = -11
    LIMIT = -12
    MISMATCH = -13
    PANIC = -99


class Answer(enum.Enum):
    """An answer of a callback.

    STOP: enough. A change callback is not called again, and the operation goes on. A filter lets in this entry and all
    that follow without being asked again.
    """

    STOP = 2


STOP = Answer.STOP


class Filter(_Number):
    """The answer of a filter.

    INCLUDE, as True does. LEAVE_OUT, as False does: libibt still asks about the entries in a directory that is left
    out. LEAVE_OUT_ALL: without everything below the entry, and without asking further.
    """

    INCLUDE = 1
    LEAVE_OUT = 3
    LEAVE_OUT_ALL = 4


class Compression(_Number):
    """The compression of backup files: NONE or ZSTD."""

    NONE = 0
    ZSTD = 1


class Detection(_Number):
    """How an increment finds out that a file is unchanged.

    METADATA: by size, times and inode number. CONTENT: every file is read.
    """

    METADATA = 0
    CONTENT = 1


class Delta(_Number):
    """How an increment makes the delta of a changed file.

    SIGNATURES: no stored content is read. CONTENTS: the old content is read from the storage, and a change costs little
    more than its bytes. AUTO: CONTENTS if the storage is cheap to read, else SIGNATURES.
    """

    AUTO = 0
    SIGNATURES = 1
    CONTENTS = 2


class VerifyScope(_Number):
    """The scope of a verify.

    CONTENTS: everything is read. PRESENCE: the states are read, and archives must exist with the right size.
    """

    CONTENTS = 0
    PRESENCE = 1


class OnFileError(_Number):
    """The policy of an operation for a problem with one file.

    SKIP: it lists the problem in the report and goes on. STOP: it ends, and the problem is its error.
    """

    SKIP = 0
    STOP = 1


class Overwrite(_Number):
    """The policy of a restore for entries that the destination has already.

    NEVER: the destination must be absent or empty. ALWAYS: files whose content differs are replaced. IF_DIFFERENT: as
    ALWAYS, but a file with the snapshot's size and time counts as equal without being read. IF_OLDER: only files with
    an earlier time are replaced. KEEP: only absent entries are restored.
    """

    NEVER = 0
    ALWAYS = 1
    IF_DIFFERENT = 2
    IF_OLDER = 3
    KEEP = 4


class Metadata(enum.IntFlag):
    """The metadata that a restore sets, to be added up with "|".

    MODE: permission bits. OWNER: user and group, by default only with privilege. TIMES: modification times. XATTRS:
    extended attributes, including ACLs. SPECIAL: FIFOs and devices. SETID: setuid and setgid bits. FLAGS: inode flags,
    as chattr sets them. PROJECT: project ids.
    """

    MODE = 1
    OWNER = 2
    TIMES = 4
    XATTRS = 8
    SPECIAL = 16
    SETID = 32
    FLAGS = 64
    PROJECT = 128


class Phase(_Number):
    """The phase of an operation.

    SCAN: looking for changes, reading states, or waiting for the lock. READ: reading files and writing archives.
    COMMIT: making the result durable and visible. RESTORE: writing the restored tree. VERIFY: checking stored bytes,
    comparing, or opening a snapshot. DELETE: removing backup files.
    """

    SCAN = 1
    READ = 2
    COMMIT = 3
    RESTORE = 4
    VERIFY = 5
    DELETE = 6


class LogLevel(_Number):
    """The importance of a message: ERROR, WARN, INFO or DEBUG. A smaller number is more important."""

    ERROR = 1
    WARN = 2
    INFO = 3
    DEBUG = 4


class EntryType(_Number):
    """The type of an entry: FILE, DIR, SYMLINK, FIFO, CHAR (a character device), BLOCK (a block device) or UNKNOWN.

    Only a newer libibt can restore an entry whose type is UNKNOWN.
    """

    FILE = 1
    DIR = 2
    SYMLINK = 3
    FIFO = 4
    CHAR = 5
    BLOCK = 6
    UNKNOWN = 7


class ChangeKind(enum.IntFlag):
    """The ways in which an entry changed.

    CREATED: it is new. DELETED: it is gone. CONTENT: its content or its type. METADATA: mode, owner, times, extended
    attributes or hard links. MOVED: it came from another path. KEPT: a backup carried its old version forward, or a
    restore left the existing entry in its place.
    """

    CREATED = 1
    DELETED = 2
    CONTENT = 4
    METADATA = 8
    MOVED = 16
    KEPT = 32


class ProblemKind(_Number):
    """The kind of a problem of a report; ibt.h describes each in full.

    UNREADABLE, VANISHED (gone before it could be read), CHANGED (while it was read), SKIPPED (by design), DAMAGED,
    MISSING, METADATA (could not be read or set), LEFTOVER (of an earlier run), CLOCK (snapshots from the future),
    OBSTRUCTED (the destination refused an entry), UNLOCKED (nothing could be locked), HEALED (stored again), LOST (by
    the store and the source), UNNEEDED (damage that concerns no snapshot), UNSUPPORTED (only a newer libibt knows it).
    """

    UNREADABLE = 1
    VANISHED = 2
    CHANGED = 3
    SKIPPED = 4
    DAMAGED = 5
    MISSING = 6
    METADATA = 7
    LEFTOVER = 8
    CLOCK = 9
    OBSTRUCTED = 10
    UNLOCKED = 11
    HEALED = 12
    LOST = 13
    UNNEEDED = 14
    UNSUPPORTED = 15


class Action(_Number):
    """The result for a snapshot: KEPT, or REMOVED (a dry run would remove it)."""

    KEPT = 1
    REMOVED = 2


# Answers to libibt.
CALLBACK_OK = 1
CALLBACK_FAILED = 0
# Flags of ibt_storage_open_dir() and of ibt_storage_set_traits().
DIR_MUST_EXIST = 1
DIR_READ_ONLY = 2
DIR_CREATE_PARENTS = 4
STORAGE_READS_CHEAPLY = 1
STORAGE_THREAD_SAFE = 2
# The smallest size of parts, in bytes.
PART_SIZE_MIN = 65536

"""Incremental backups with libibt: full backups, increments of rsync deltas, and restores of any snapshot.

    import ibt

    with ibt.open_dir("store") as store:
        store.full_backup("documents")
        store.restore("documents", "restored")

A snapshot is one backup of one source directory. Snapshots of the same source share a key, by default the name of the
directory. A Store keeps them as ordinary files: in a directory (open_dir()), or in a Storage of yours
(open_storage()). A Snapshot gives the entries and the contents of one snapshot.

Errors. Every failure of libibt is an Error, of the class of its status. An operation that finished with problems, such
as a file that could not be read, raises PartialError; the snapshot exists. Values of a wrong type raise TypeError, and
values that C cannot take (a NUL byte, a number out of range) ValueError.

Callbacks. Functions that you pass, and those of a Storage, run on the thread that called the operation, while it waits.
If one raises, the operation ends cleanly, and then raises that exception.

Ctrl-C ends the running operation, which then raises KeyboardInterrupt: a backup that is ended leaves no snapshot.

Threads. A Store and a Snapshot serve one call at a time, and raise BusyError for a second one. Everything else may be
used by several threads at once. Other threads of Python run during an operation.

Processes. Do not fork while an operation runs: a child process has to open stores of its own. Stores and snapshots
cannot be pickled; reports, entries and errors can.

Names. Paths are str, bytes or os.PathLike. Names that are not UTF-8 come back as str with surrogates, which all of
Python takes; path_bytes and its like have the bytes.

The header ibt.h of libibt describes each operation and option in full.
"""

from __future__ import annotations

from . import _lib
from ._ancestor import full_backup, get_full_backups, incremental_backup, restore_backup
from ._constants import (
    STOP,
    Action,
    Answer,
    ChangeKind,
    PART_SIZE_MIN,
    Compression,
    Delta,
    Detection,
    EntryType,
    Filter,
    LogLevel,
    Metadata,
    OnFileError,
    Overwrite,
    Phase,
    ProblemKind,
    Status,
    VerifyScope,
)
from ._entry import Change, Entry, Progress
from ._errors import (
    BusyError,
    CancelledError,
    CorruptError,
    Error,
    ExistsError,
    FormatError,
    InvalidArgumentError,
    IoError,
    LimitError,
    MismatchError,
    MissingError,
    NotFoundError,
    PanicError,
    PartialError,
    StorageError,
    UnsupportedError,
)
from ._handle import Cancel
from ._options import (
    BackupOptions,
    CommonOptions,
    CompareOptions,
    DiffOptions,
    ImportOptions,
    IncrementOptions,
    OpenOptions,
    PruneOptions,
    RestoreOptions,
    SelectOptions,
    TreeOptions,
    VerifyOptions,
    WriteOptions,
)
from ._report import Counters, File, Problem, Report, SnapshotInfo
from ._snapshot import Snapshot, diff
from ._storage import ObjectWriter, Storage
from ._store import Store, open_default, open_dir, open_storage, open_url

__version__ = "0.1.0"


def version() -> str:
    """Returns the version of the running library, such as "0.1.0"."""
    text: bytes = _lib.lib.ibt_version()
    return text.decode()


__all__ = [
    "Action",
    "Answer",
    "BackupOptions",
    "BusyError",
    "Cancel",
    "CancelledError",
    "Change",
    "ChangeKind",
    "CommonOptions",
    "CompareOptions",
    "Compression",
    "CorruptError",
    "Counters",
    "Delta",
    "Detection",
    "DiffOptions",
    "Entry",
    "EntryType",
    "Error",
    "ExistsError",
    "File",
    "Filter",
    "FormatError",
    "ImportOptions",
    "IncrementOptions",
    "InvalidArgumentError",
    "IoError",
    "LimitError",
    "LogLevel",
    "Metadata",
    "MismatchError",
    "MissingError",
    "NotFoundError",
    "ObjectWriter",
    "OnFileError",
    "OpenOptions",
    "Overwrite",
    "PART_SIZE_MIN",
    "PanicError",
    "PartialError",
    "Phase",
    "Problem",
    "ProblemKind",
    "Progress",
    "PruneOptions",
    "Report",
    "RestoreOptions",
    "STOP",
    "SelectOptions",
    "Snapshot",
    "SnapshotInfo",
    "Status",
    "Storage",
    "StorageError",
    "Store",
    "TreeOptions",
    "UnsupportedError",
    "VerifyOptions",
    "VerifyScope",
    "WriteOptions",
    "diff",
    "full_backup",
    "get_full_backups",
    "incremental_backup",
    "open_default",
    "open_dir",
    "open_storage",
    "open_url",
    "restore_backup",
    "version",
]

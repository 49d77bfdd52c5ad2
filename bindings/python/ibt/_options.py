"""Options of operations, as keyword arguments."""

from __future__ import annotations

import datetime
import logging
import math
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple, TypedDict, Union

from ._call import Call, on_change, on_filter, on_log, on_progress
from ._constants import (
    Answer,
    Compression,
    Delta,
    Detection,
    Filter,
    LogLevel,
    Metadata,
    OnFileError,
    Overwrite,
    VerifyScope,
)
from ._entry import Change, Entry, Progress
from ._handle import Cancel
from ._lib import lib
from ._report import SnapshotInfo
from ._text import INT64_MIN, UINT32_MAX, UINT64_MAX, Path, nanoseconds_of, number_to_c, path_to_c, text_to_c

Paths = Union[Path, Iterable[Path]]
Labels = Union[Mapping[str, Optional[str]], Iterable[Tuple[str, Optional[str]]]]
Stamp = Union[str, SnapshotInfo]
Log = Union[Callable[[LogLevel, str], Any], logging.Logger]
Seconds = Union[int, float, datetime.timedelta]


class CommonOptions(TypedDict, total=False):
    """Options of every operation. None stands for the default of any option.

    progress: a function that receives a Progress about ten times a second. log: a function that receives a LogLevel and
    a message, or a logging.Logger. log_level: the least important level to be logged, LogLevel.INFO by default. cancel:
    a Cancel. threads: the number of worker threads; 0, the default, means one for each core. cache_dir: the directory
    with copies of the newest states and signatures, "" for none; ~/.cache/ibt by default. lock_wait: seconds to wait
    for an operation that has the key, math.inf without limit; 0 by default. on_file_error: an OnFileError.
    protected_path: paths that a restore does not touch and a backup or comparison leaves out.
    """

    progress: Optional[Callable[[Progress], Any]]
    log: Optional[Log]
    log_level: Optional[LogLevel]
    cancel: Optional[Cancel]
    threads: Optional[int]
    cache_dir: Optional[Path]
    lock_wait: Optional[Seconds]
    on_file_error: Optional[OnFileError]
    protected_path: Optional[Paths]


class WriteOptions(CommonOptions, total=False):
    """Options of operations that write to the storage, beside CommonOptions.

    compression: Compression.ZSTD, the default, or NONE. compression_level: 1 (fast) to 19 (small); 3 by default.
    part_size: longer archives are stored in parts of at most this many bytes, at least PART_SIZE_MIN; 0, the default,
    stores each in one file. allow_unlocked: go on where nothing can be locked. The caller guarantees that nobody else
    writes to the key.
    """

    compression: Optional[Compression]
    compression_level: Optional[int]
    part_size: Optional[int]
    allow_unlocked: Optional[bool]


class TreeOptions(TypedDict, total=False):
    """Options of operations that walk a directory: backups and comparisons.

    exclude: patterns, each one line as in a .gitignore file at the root of the source. exclude_file: the name of files
    with patterns for their directory, ".exclude" by default, "" for none. exclude_if_present: names such as ".nobackup"
    that mark directories to be left out. exclude_larger_than: leaves out larger files, in bytes. exclude_nodump: leaves
    out entries with the flag "no dump". one_file_system: does not enter other file systems. skip_cache_dirs: leaves out
    what is in directories with a valid CACHEDIR.TAG. change: a function that receives each Change.
    """

    exclude: Optional[Paths]
    exclude_file: Optional[Path]
    exclude_if_present: Optional[Paths]
    exclude_larger_than: Optional[int]
    exclude_nodump: Optional[bool]
    one_file_system: Optional[bool]
    skip_cache_dirs: Optional[bool]
    change: Optional[Callable[[Change], Any]]


class BackupOptions(WriteOptions, TreeOptions, total=False):
    """Options of full backups, beside WriteOptions and TreeOptions.

    key: of the snapshot, the name of the source by default. host, source_name: names in the snapshot, instead of the
    system's name of the host and the path of the source. label: a dict of labels for the snapshot. filter: a function
    that receives each Entry and returns bool, Filter or STOP; exclude is faster. source_path: paths below the source,
    to which the backup is limited. dry_run: stores nothing. allow_source_change: accept another source or host than
    that of the newest snapshot. allow_empty: accept an empty source although the newest snapshot has entries.
    checkpoint: bytes of the source after which a long full notes how far it is, for the next full to go on from if this
    one is killed or fails; 4 GiB by default, 0 for never.
    """

    key: Optional[str]
    host: Optional[str]
    source_name: Optional[Path]
    label: Optional[Mapping[str, str]]
    filter: Optional[Callable[[Entry], Union[bool, Filter, Answer]]]
    source_path: Optional[Paths]
    dry_run: Optional[bool]
    allow_source_change: Optional[bool]
    allow_empty: Optional[bool]
    checkpoint: Optional[int]


class IncrementOptions(BackupOptions, total=False):
    """Options of increments, beside BackupOptions.

    change_detection: a Detection. delta: a Delta. heal: store again what the store has lost, as far as the source has
    it. skip_unchanged: make no snapshot if nothing changed.
    """

    change_detection: Optional[Detection]
    delta: Optional[Delta]
    heal: Optional[bool]
    skip_unchanged: Optional[bool]


class ImportOptions(WriteOptions, total=False):
    """Options of import_ancestor(), beside WriteOptions.

    key: of the new snapshots, the ancestor's by default. host, source_name: names in the snapshots. label: a dict of
    labels for each snapshot. delta: a Delta. allow_source_change: accept backups of several directories. change: a
    function that receives each Change.
    """

    key: Optional[str]
    host: Optional[str]
    source_name: Optional[Path]
    label: Optional[Mapping[str, str]]
    delta: Optional[Delta]
    allow_source_change: Optional[bool]
    change: Optional[Callable[[Change], Any]]


class SelectOptions(CommonOptions, total=False):
    """Options of operations that select a snapshot, beside CommonOptions. Without these they take the newest.

    snapshot: its stamp, or a SnapshotInfo. as_of: a datetime with a time zone, or nanoseconds since 1970: the last
    snapshot made then or before. label_filter: a dict; only snapshots count that have all these labels, with any value
    for None.
    """

    snapshot: Optional[Stamp]
    as_of: Union[datetime.datetime, int, None]
    label_filter: Optional[Labels]


class OpenOptions(SelectOptions, total=False):
    """Options of open_snapshot(), beside SelectOptions.

    expected_digest: the tree digest that the snapshot must have.
    """

    expected_digest: Optional[str]


class RestoreOptions(OpenOptions, total=False):
    """Options of restores, beside OpenOptions.

    include: globs, and path: paths, to which the restore is limited. exclude: patterns of what it leaves alone. root: a
    directory of the snapshot to be restored as the destination itself. overwrite: an Overwrite. delete_extra: remove
    entries that the snapshot does not have. leave_partial: keep what was restored before an error. restore_metadata: a
    sum of Metadata. map_owners: owners by name instead of number. dry_run: writes nothing. change: a function that
    receives each Change.
    """

    include: Optional[Paths]
    path: Optional[Paths]
    exclude: Optional[Paths]
    root: Optional[Path]
    overwrite: Optional[Overwrite]
    delete_extra: Optional[bool]
    leave_partial: Optional[bool]
    restore_metadata: Optional[Metadata]
    map_owners: Optional[bool]
    dry_run: Optional[bool]
    change: Optional[Callable[[Change], Any]]


class CompareOptions(OpenOptions, TreeOptions, total=False):
    """Options of comparisons, beside OpenOptions and TreeOptions.

    include: globs, and path: paths, to which the comparison is limited. metadata_only: read no content.
    """

    include: Optional[Paths]
    path: Optional[Paths]
    metadata_only: Optional[bool]


class VerifyOptions(CommonOptions, total=False):
    """Options of verify(), beside CommonOptions.

    snapshot, as_of: as in SelectOptions. expected_digest: as in OpenOptions. verify: a VerifyScope. verify_part: a
    pair (part, parts): read one of several parts, counted from 1.
    """

    snapshot: Optional[Stamp]
    as_of: Union[datetime.datetime, int, None]
    expected_digest: Optional[str]
    verify: Optional[VerifyScope]
    verify_part: Optional[Tuple[int, int]]


class PruneOptions(SelectOptions, total=False):
    """Options of prune(), beside SelectOptions: rules that keep snapshots, or the snapshots to be removed.

    keep_last: the number of newest snapshots to keep. keep_within: seconds, or a timedelta, before the newest.
    keep_hourly, keep_daily, keep_weekly, keep_monthly, keep_yearly: the newest of each of so many hours, and so on.
    keep_label: a dict; snapshots with one of these labels, with any value for None. local_time: hours and days are
    those of this machine, not UTC. removed: stamps of the snapshots to be removed. dry_run: only report. allow_empty:
    all snapshots may be removed. allow_unlocked: go on where nothing can be locked. checkpoint: 0 also removes what a
    full that did not end has left for the next one.
    """

    keep_last: Optional[int]
    keep_within: Optional[Seconds]
    keep_hourly: Optional[int]
    keep_daily: Optional[int]
    keep_weekly: Optional[int]
    keep_monthly: Optional[int]
    keep_yearly: Optional[int]
    keep_label: Optional[Labels]
    local_time: Optional[bool]
    removed: Union[Stamp, Iterable[Stamp], None]
    dry_run: Optional[bool]
    allow_empty: Optional[bool]
    allow_unlocked: Optional[bool]
    checkpoint: Optional[int]


class DiffOptions(TypedDict, total=False):
    """Options of diff().

    change, progress, log, log_level, cancel, exclude, include, path: as in CompareOptions.
    """

    change: Optional[Callable[[Change], Any]]
    progress: Optional[Callable[[Progress], Any]]
    log: Optional[Log]
    log_level: Optional[LogLevel]
    cancel: Optional[Cancel]
    exclude: Optional[Paths]
    include: Optional[Paths]
    path: Optional[Paths]


# ---- Converting values for the setters of libibt ----

Step = Tuple[Any, Tuple[Any, ...]]  # a setter, and its arguments
Convert = Callable[[str, Any], List[Step]]


def _one(setter: Any, convert: Callable[[Any, str], Any]) -> Convert:
    return lambda name, value: [(setter, (convert(value, name),))]


def _text(setter: Any) -> Convert:
    return _one(setter, text_to_c)


def _path(setter: Any) -> Convert:
    return _one(setter, path_to_c)


def _paths(setter: Any) -> Convert:
    def convert(name: str, value: Any) -> List[Step]:
        single = isinstance(value, (str, bytes)) or hasattr(value, "__fspath__")
        return [(setter, (path_to_c(one, name),)) for one in ([value] if single else value)]

    return convert


def _number(setter: Any, low: int, high: int) -> Convert:
    return lambda name, value: [(setter, (number_to_c(value, name, low, high),))]


def _count(setter: Any) -> Convert:
    return _number(setter, 0, UINT32_MAX)


def _choice(setter: Any) -> Convert:
    return _number(setter, -(2**31), 2**31 - 1)


def _switch(setter: Any) -> Convert:
    def convert(name: str, value: Any) -> List[Step]:
        if not isinstance(value, bool):
            raise TypeError(f"{name} must be bool, not {type(value).__name__}")
        return [(setter, (int(value),))]

    return convert


def _labels(setter: Any) -> Convert:
    def convert(name: str, value: Any) -> List[Step]:
        pairs = value.items() if isinstance(value, Mapping) else value
        return [
            (setter, (text_to_c(label, name), None if text is None else text_to_c(text, name)))
            for label, text in pairs
        ]

    return convert


def _stamp(value: Any, name: str) -> bytes:
    return text_to_c(value.stamp if isinstance(value, SnapshotInfo) else value, name)


def _stamps(setter: Any) -> Convert:
    def convert(name: str, value: Any) -> List[Step]:
        single = isinstance(value, (str, SnapshotInfo))
        return [(setter, (_stamp(one, name),)) for one in ([value] if single else value)]

    return convert


def _as_of(value: Any, name: str) -> int:
    if isinstance(value, datetime.datetime):
        return nanoseconds_of(value, name)
    return number_to_c(value, name, INT64_MIN, 2**63 - 1)


def _seconds(value: Any, name: str, units: int) -> int:
    """A span in units of 1 / units seconds, rounded up; -1 for one without end."""
    seconds = value.total_seconds() if isinstance(value, datetime.timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"{name} must be a number of seconds or a timedelta, not {type(value).__name__}")
    if not seconds >= 0:
        raise ValueError(f"{name}: {seconds} is negative or not a number")
    return -1 if math.isinf(seconds) else math.ceil(seconds * units)


def _keep_within(value: Any, name: str) -> int:
    seconds = _seconds(value, name, 1)
    return UINT64_MAX if seconds < 0 else number_to_c(seconds, name, 0, UINT64_MAX)


def _lock_wait(value: Any, name: str) -> int:
    return number_to_c(_seconds(value, name, 1000), name, -1, 2**63 - 1)


def _verify_part(name: str, value: Any) -> List[Step]:
    part, parts = value
    numbers = number_to_c(part, name, 0, UINT32_MAX), number_to_c(parts, name, 0, UINT32_MAX)
    return [(lib.ibt_options_set_verify_part, numbers)]


# The names are those of ibt.h without "ibt_options_set_" and "ibt_options_add_".
_OPTIONS: Dict[str, Convert] = {
    "verify": _choice(lib.ibt_options_set_verify),
    "verify_part": _verify_part,
    "metadata_only": _switch(lib.ibt_options_set_metadata_only),
    "host": _text(lib.ibt_options_set_host),
    "source_name": _path(lib.ibt_options_set_source_name),
    "exclude_if_present": _paths(lib.ibt_options_add_exclude_if_present),
    "exclude_larger_than": _number(lib.ibt_options_set_exclude_larger_than, 0, UINT64_MAX),
    "exclude_nodump": _switch(lib.ibt_options_set_exclude_nodump),
    "source_path": _paths(lib.ibt_options_add_source_path),
    "map_owners": _switch(lib.ibt_options_set_map_owners),
    "label": _labels(lib.ibt_options_set_label),
    "keep_label": _labels(lib.ibt_options_add_keep_label),
    "label_filter": _labels(lib.ibt_options_add_label_filter),
    "include": _paths(lib.ibt_options_add_include),
    "path": _paths(lib.ibt_options_add_path),
    "root": _path(lib.ibt_options_set_root),
    "overwrite": _choice(lib.ibt_options_set_overwrite),
    "delete_extra": _switch(lib.ibt_options_set_delete_extra),
    "leave_partial": _switch(lib.ibt_options_set_leave_partial),
    "keep_last": _count(lib.ibt_options_set_keep_last),
    "keep_within": _one(lib.ibt_options_set_keep_within, _keep_within),
    "keep_hourly": _count(lib.ibt_options_set_keep_hourly),
    "keep_daily": _count(lib.ibt_options_set_keep_daily),
    "keep_weekly": _count(lib.ibt_options_set_keep_weekly),
    "keep_monthly": _count(lib.ibt_options_set_keep_monthly),
    "keep_yearly": _count(lib.ibt_options_set_keep_yearly),
    "local_time": _switch(lib.ibt_options_set_local_time),
    "dry_run": _switch(lib.ibt_options_set_dry_run),
    "heal": _switch(lib.ibt_options_set_heal),
    "key": _text(lib.ibt_options_set_key),
    "cache_dir": _path(lib.ibt_options_set_cache_dir),
    "protected_path": _paths(lib.ibt_options_add_protected_path),
    "exclude": _paths(lib.ibt_options_add_exclude),
    "exclude_file": _path(lib.ibt_options_set_exclude_file),
    "snapshot": _one(lib.ibt_options_set_snapshot, _stamp),
    "removed": _stamps(lib.ibt_options_add_removed),
    "as_of": _one(lib.ibt_options_set_as_of, _as_of),
    "part_size": _number(lib.ibt_options_set_part_size, 0, UINT64_MAX),
    "checkpoint": _number(lib.ibt_options_set_checkpoint, 0, UINT64_MAX),
    "threads": _count(lib.ibt_options_set_threads),
    "change_detection": _choice(lib.ibt_options_set_change_detection),
    "delta": _choice(lib.ibt_options_set_delta),
    "one_file_system": _switch(lib.ibt_options_set_one_file_system),
    "skip_cache_dirs": _switch(lib.ibt_options_set_skip_cache_dirs),
    "on_file_error": _choice(lib.ibt_options_set_on_file_error),
    "allow_source_change": _switch(lib.ibt_options_set_allow_source_change),
    "allow_empty": _switch(lib.ibt_options_set_allow_empty),
    "restore_metadata": _count(lib.ibt_options_set_restore_metadata),
    "expected_digest": _text(lib.ibt_options_set_expected_digest),
    "lock_wait": _one(lib.ibt_options_set_lock_wait, _lock_wait),
    "skip_unchanged": _switch(lib.ibt_options_set_skip_unchanged),
    "allow_unlocked": _switch(lib.ibt_options_set_allow_unlocked),
}
_OTHERS = ("progress", "change", "filter", "log", "log_level", "cancel", "compression", "compression_level")

_LEVELS = {
    LogLevel.ERROR: logging.ERROR,
    LogLevel.WARN: logging.WARNING,
    LogLevel.INFO: logging.INFO,
    LogLevel.DEBUG: logging.DEBUG,
}


class Settings:
    """The options of one call, converted on the caller's thread before the call begins."""

    def __init__(self, op: str, options: Mapping[str, Any]) -> None:
        given = {name: value for name, value in options.items() if value is not None}
        for name in options:
            if name not in _OPTIONS and name not in _OTHERS:
                raise TypeError(f"{op}() got an unexpected keyword argument '{name}'")
        self._steps: List[Step] = []
        for name, value in given.items():
            if name in _OPTIONS:
                self._steps += _OPTIONS[name](name, value)
        self._functions = {name: given.get(name) for name in ("progress", "change", "filter")}
        self._log, self._level = _logging(given)
        for name, function in self._functions.items():
            if function is not None and not callable(function):
                raise TypeError(f"{name} must be callable, not {type(function).__name__}")
        self.cancel: Optional[Cancel] = given.get("cancel")
        if self.cancel is not None and not isinstance(self.cancel, Cancel):
            raise TypeError(f"cancel must be ibt.Cancel, not {type(self.cancel).__name__}")
        self._compress(given)

    def _compress(self, given: Mapping[str, Any]) -> None:
        if "compression" in given or "compression_level" in given:
            codec = number_to_c(given.get("compression", Compression.ZSTD), "compression", -(2**31), 2**31 - 1)
            level = number_to_c(given.get("compression_level", 0), "compression_level", -(2**31), 2**31 - 1)
            self._steps.append((lib.ibt_options_set_compression, (codec, level)))

    def apply(self, call: Call) -> int:
        """Makes the options of libibt. libibt itself notes the first value that it refuses."""
        call.progress, call.change, call.filter = self._functions.values()
        call.log = self._log
        options: int = lib.ibt_options_new()
        for setter, arguments in self._steps:
            setter(options, *arguments)
        lib.ibt_options_set_cancel(options, call.flag.pointer)
        if call.progress is not None:
            lib.ibt_options_set_progress(options, on_progress, None, None)
        if call.change is not None:
            lib.ibt_options_set_change(options, on_change, None, None)
        if call.filter is not None:
            lib.ibt_options_set_filter(options, on_filter, None, None)
        if call.log is not None:
            lib.ibt_options_set_log(options, self._level, on_log, None, None)
        return options


def _logging(given: Mapping[str, Any]) -> Tuple[Optional[Callable[[LogLevel, str], Any]], int]:
    """The function that receives messages, and the level of the least important ones."""
    log = given.get("log")
    level = number_to_c(given.get("log_level", LogLevel.INFO), "log_level", -(2**31), 2**31 - 1)
    if isinstance(log, logging.Logger):
        logger = log
        return lambda level, message: logger.log(_LEVELS.get(level, logging.DEBUG), "%s", message), level
    if log is not None and not callable(log):
        raise TypeError(f"log must be callable or a logging.Logger, not {type(log).__name__}")
    return log, level

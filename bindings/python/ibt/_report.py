"""Reports of operations."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
from typing import Any, Callable, Dict, List, Optional, Tuple

from ._constants import Action, ProblemKind, Status
from ._lib import lib
from ._text import path_of, path_or_none, text_of, text_or_none, time_of


class Counters(Dict[str, int]):
    """The counts of an operation: a dict, of which each number is an attribute too.

    entries: of the snapshot, its root included; of all compared entries or all verified snapshots. created. modified:
    files with new content, and entries of a new type. unchanged. moved. deleted. metadata: entries of which only the
    metadata changed. bytes_read. bytes_written. restored: entries. problems: with notes, and with those that the report
    no longer lists. bytes: logical bytes of the snapshot's files. bytes_already_stored: of new and modified files whose
    content was stored already. healed: lost contents that a backup stored again. lost: contents of the parent that
    store and source have lost.
    """

    entries: int
    created: int
    modified: int
    unchanged: int
    moved: int
    deleted: int
    metadata: int
    bytes_read: int
    bytes_written: int
    restored: int
    problems: int
    bytes: int
    bytes_already_stored: int
    healed: int
    lost: int

    def __getattr__(self, name: str) -> int:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


@dataclasses.dataclass(frozen=True)
class File:
    """A backup file.

    name: in the storage. kind: "full", "created", "updated", "sigvault", "state", "retired" or "partial". path: None if
    the storage is not a directory, and in a dry run. size: in bytes.
    """

    name: str
    kind: str
    path: Optional[str]
    size: int


@dataclasses.dataclass(frozen=True)
class SnapshotInfo:
    """Describes a snapshot.

    key. stamp: its name within the key, a time in UTC. kind: "full" or "incremental". digest: of the whole tree.
    source: the absolute path of the source, or the name of the option source_name. host: of the backup; "" in
    Snapshot.info. parent: the stamp of the snapshot that it was compared with or copied from, or None; None in
    Snapshot.info. date_ns: when it was made, in nanoseconds since 1970. labels: a dict. counters: Counters of the
    backup that made it; after a verify, problems is the number of its losses. action: an Action; None in Snapshot.info.
    reason: why it was kept or removed, or "3 losses"; "" if there is nothing to say.
    """

    key: str
    stamp: str
    kind: str
    digest: str
    source: str
    host: str
    parent: Optional[str]
    date_ns: int
    labels: Dict[str, str]
    counters: Counters
    action: Optional[Action]
    reason: str

    @property
    def date(self) -> datetime.datetime:
        """When it was made, in UTC. As the option as_of it selects this snapshot."""
        return time_of(self.date_ns)

    @property
    def source_bytes(self) -> bytes:
        """The source as the system has it."""
        return os.fsencode(self.source)


@dataclasses.dataclass(frozen=True)
class Problem:
    """One problem or note of a report.

    kind: a ProblemKind. note: True if it reports an action or an omission by design, which does not make the result
    partial. status: a Status. errno: the system's error number, or None. message: one line for people. path: of the
    entry, or None. snapshot: its stamp, or None. file: the name of the backup file, or None.
    """

    kind: ProblemKind
    note: bool
    status: Status
    errno: Optional[int]
    message: str
    path: Optional[str]
    snapshot: Optional[str]
    file: Optional[str]

    @property
    def path_bytes(self) -> Optional[bytes]:
        """The path of the entry as the system has it, or None."""
        return None if self.path is None else os.fsencode(self.path)


@dataclasses.dataclass(frozen=True)
class Report:
    """The result of an operation. One that fails has a report too, once its work has begun: Error.report.

    status: a Status. key: that the operation worked on, or None. snapshot: the stamp of the snapshot that it made or
    used, or None. digest: the tree digest of that snapshot, or None; to sign a snapshot, sign this. date_ns: when the
    operation began, in nanoseconds since 1970. files: the File objects made or removed; after a restore, a comparison
    or the list of one snapshot those that the snapshot needs. total_size: of all files, in bytes. counters: Counters.
    snapshots: a SnapshotInfo for each snapshot of a list, verify, prune or diff. problems: the first 10,000 Problem
    objects; counters.problems counts all. json: the report as libibt writes it, one line that docs/abi.md describes.
    """

    status: Status
    key: Optional[str]
    snapshot: Optional[str]
    digest: Optional[str]
    date_ns: int
    files: Tuple[File, ...]
    total_size: int
    counters: Counters
    snapshots: Tuple[SnapshotInfo, ...]
    problems: Tuple[Problem, ...]
    json: str = dataclasses.field(repr=False)

    @property
    def date(self) -> datetime.datetime:
        """When the operation began, in UTC."""
        return time_of(self.date_ns)

    @property
    def partial(self) -> bool:
        """Whether the operation finished with problems."""
        return self.status == Status.PARTIAL

    def as_dict(self) -> Dict[str, Any]:
        """The report as a dict, parsed from its JSON."""
        parsed: Dict[str, Any] = json.loads(self.json)
        return parsed


def _counter_names() -> List[Tuple[int, str]]:
    names: List[Tuple[int, str]] = []
    while True:
        name = lib.ibt_counter_name(len(names) + 1)
        if name is None:
            return names
        names.append((len(names) + 1, text_of(name)))


_COUNTERS = _counter_names()


def read_counters(counter: Callable[[int], int]) -> Counters:
    """Reads all counters with a function that reads one."""
    return Counters((name, counter(number)) for number, name in _COUNTERS)


def _file(pointer: int, i: int) -> File:
    return File(
        name=text_of(lib.ibt_report_file_name(pointer, i)),
        kind=text_of(lib.ibt_report_file_kind(pointer, i)),
        path=path_or_none(lib.ibt_report_file_path(pointer, i)),
        size=lib.ibt_report_file_size(pointer, i),
    )


def _snapshot(pointer: int, i: int) -> SnapshotInfo:
    labels = {}
    for j in range(lib.ibt_report_snapshot_label_count(pointer, i)):
        name = text_of(lib.ibt_report_snapshot_label_name(pointer, i, j))
        labels[name] = text_of(lib.ibt_report_snapshot_label_value(pointer, i, j))
    return SnapshotInfo(
        key=text_of(lib.ibt_report_snapshot_key(pointer, i)),
        stamp=text_of(lib.ibt_report_snapshot_stamp(pointer, i)),
        kind=text_of(lib.ibt_report_snapshot_kind(pointer, i)),
        digest=text_of(lib.ibt_report_snapshot_digest(pointer, i)),
        source=path_of(lib.ibt_report_snapshot_source(pointer, i)),
        host=text_of(lib.ibt_report_snapshot_host(pointer, i)),
        parent=text_or_none(lib.ibt_report_snapshot_parent(pointer, i)),
        date_ns=lib.ibt_report_snapshot_date(pointer, i),
        labels=labels,
        counters=read_counters(lambda which: lib.ibt_report_snapshot_counter(pointer, i, which)),
        action=Action(lib.ibt_report_snapshot_action(pointer, i)),
        reason=text_of(lib.ibt_report_snapshot_reason(pointer, i)),
    )


def _problem(pointer: int, i: int) -> Problem:
    return Problem(
        kind=ProblemKind(lib.ibt_report_problem_kind(pointer, i)),
        note=bool(lib.ibt_report_problem_is_note(pointer, i)),
        status=Status(lib.ibt_report_problem_status(pointer, i)),
        errno=lib.ibt_report_problem_os_code(pointer, i) or None,
        message=text_of(lib.ibt_report_problem_message(pointer, i)),
        path=path_or_none(lib.ibt_report_problem_path(pointer, i)),
        snapshot=text_or_none(lib.ibt_report_problem_snapshot(pointer, i)),
        file=text_or_none(lib.ibt_report_problem_file(pointer, i)),
    )


def take_report(pointer: Optional[int]) -> Optional[Report]:
    """Copies and frees a report of libibt; None for NULL."""
    if not pointer:
        return None
    try:
        return Report(
            status=Status(lib.ibt_report_status(pointer)),
            key=text_or_none(lib.ibt_report_key(pointer)),
            snapshot=text_or_none(lib.ibt_report_snapshot(pointer)),
            digest=text_or_none(lib.ibt_report_digest(pointer)),
            date_ns=lib.ibt_report_date(pointer),
            files=tuple(_file(pointer, i) for i in range(lib.ibt_report_file_count(pointer))),
            total_size=lib.ibt_report_total_size(pointer),
            counters=read_counters(lambda which: lib.ibt_report_counter(pointer, which)),
            snapshots=tuple(_snapshot(pointer, i) for i in range(lib.ibt_report_snapshot_count(pointer))),
            problems=tuple(_problem(pointer, i) for i in range(lib.ibt_report_problem_count(pointer))),
            json=text_of(lib.ibt_report_json(pointer)),
        )
    finally:
        lib.ibt_report_free(pointer)

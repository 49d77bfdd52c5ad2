"""The functions of incremental-backups-tools 0.1, from which libibt descends."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any, Dict, List, Optional, TypeVar

from ._report import Report
from ._store import Store, open_default, open_dir
from ._text import Path

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._options import BackupOptions, IncrementOptions, RestoreOptions

Dest = TypeVar("Dest", bound=Path)


def _open(cache_path: Optional[Path]) -> Store:
    return open_default() if cache_path is None else open_dir(cache_path)


def _naive(time: datetime.datetime) -> datetime.datetime:
    return time.replace(tzinfo=None)


def _as_dict(report: Report) -> Dict[str, Any]:
    return {
        "backup_key": report.key,
        "backup_date": _naive(report.date),
        "files": [{"path": one.path, "size": one.size} for one in report.files],
        "total": report.total_size,
        "snapshot": report.snapshot,
    }


def full_backup(path: Path, cache_path: Optional[Path] = None, **options: Unpack[BackupOptions]) -> Dict[str, Any]:
    """Makes a full backup of a directory, as incremental-backups-tools 0.1 did.

    cache_path: the directory for backup files; by default a private directory below the temporary directory, which the
    system may empty. The key of the backup is the name of the directory. Returns a dict: "backup_key", "backup_date" (a
    datetime in UTC without time zone), "files" (dicts with "path" and "size"), "total" and "snapshot".
    """
    with _open(cache_path) as store:
        return _as_dict(store.full_backup(path, **options))


def incremental_backup(
    path: Path, cache_path: Optional[Path] = None, **options: Unpack[IncrementOptions]
) -> Dict[str, Any]:
    """Makes an increment since the last backup of a directory. Arguments and result are those of full_backup()."""
    with _open(cache_path) as store:
        return _as_dict(store.incremental_backup(path, **options))


def restore_backup(key: str, dest: Dest, cache_path: Optional[Path] = None, **options: Unpack[RestoreOptions]) -> Dest:
    """Restores the newest backup with this key as the directory dest, and returns dest.

    Unlike incremental-backups-tools 0.1 it refuses a directory that is not empty, unless the option overwrite allows
    it.
    """
    with _open(cache_path) as store:
        store.restore(key, dest, **options)
    return dest


def get_full_backups(key: str, cache_path: Optional[Path] = None) -> List[datetime.datetime]:
    """Returns the times of the full backups with this key, the newest first, in UTC without time zone."""
    with _open(cache_path) as store:
        snapshots = store.list_snapshots(key).snapshots
    return [_naive(one.date) for one in reversed(snapshots) if one.kind == "full"]

"""Stores, and the operations on them."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, Mapping, Optional

from ._call import Call, on_key
from ._constants import DIR_CREATE_PARENTS, DIR_MUST_EXIST, DIR_READ_ONLY
from ._handle import Cancel, Handle
from ._lib import lib
from ._options import Settings
from ._report import Report, SnapshotInfo
from ._snapshot import Snapshot, operate, read_info
from ._storage import Functions
from ._text import Path, path_to_c, text_to_c

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._options import (
        BackupOptions,
        CommonOptions,
        CompareOptions,
        ImportOptions,
        IncrementOptions,
        OpenOptions,
        PruneOptions,
        RestoreOptions,
        SelectOptions,
        VerifyOptions,
        WriteOptions,
    )


class Store:
    """An open storage: a directory (open_dir()), or a Storage of yours (open_storage()).

    Every operation takes the options of libibt as keyword arguments: the names of ibt.h without "ibt_options_set_" and
    "ibt_options_add_". An operation that finished with problems raises PartialError, which has the report; with
    check=False it returns the report instead.

    Iterating gives a SnapshotInfo for each snapshot of every key, oldest first. One call at a time uses a store; a
    second one raises BusyError. Close it, or use it in a with statement; one that nobody refers to is closed by itself.
    """

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    @property
    def closed(self) -> bool:
        """Whether the store is closed."""
        return self._handle.closed

    def close(self) -> None:
        """Closes the store; stored files are not touched, and open snapshots stay usable.

        If a call is using the store, it is closed when that call ends.
        """
        self._handle.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ibt.Store{' (closed)' if self.closed else ''}>"

    def __iter__(self) -> Iterator[SnapshotInfo]:
        return iter(self.list_snapshots().snapshots)

    def full_backup(self, source: Path, *, check: bool = True, **options: Unpack[BackupOptions]) -> Report:
        """Makes a full backup of a directory: a new snapshot that needs no older one. Its options are BackupOptions.

        If PartialError is raised, entries could not be read or changed while they were read; the snapshot exists.
        """
        return self._operate("full_backup", lib.ibt_full_backup, check, options, path_to_c(source, "source"))

    def incremental_backup(self, source: Path, *, check: bool = True, **options: Unpack[IncrementOptions]) -> Report:
        """Makes an increment: a snapshot that stores only the changes since the newest snapshot of its key.

        Its options are IncrementOptions. Raises NotFoundError if the key has no snapshot to build on.
        """
        source_name = path_to_c(source, "source")
        return self._operate("incremental_backup", lib.ibt_incremental_backup, check, options, source_name)

    def restore(self, key: str, dest: Path, *, check: bool = True, **options: Unpack[RestoreOptions]) -> Report:
        """Restores a snapshot of the key as the directory dest; RestoreOptions select the snapshot and its entries.

        Without the option overwrite, dest must be absent or empty, or ExistsError is raised. If PartialError is raised,
        the entries that report.problems lists are not restored, or not entirely.
        """
        texts = text_to_c(key, "key"), path_to_c(dest, "dest")
        return self._operate("restore", lib.ibt_restore, check, options, *texts)

    def list_snapshots(
        self, key: Optional[str] = None, *, check: bool = True, **options: Unpack[SelectOptions]
    ) -> Report:
        """Lists the snapshots of a key, or of every key, oldest first: report.snapshots. Its options are SelectOptions.

        If they select a snapshot, the report has that one, and its files are all that the snapshot needs.
        """
        return self._operate("list_snapshots", lib.ibt_list_snapshots, check, options, _key_or_none(key))

    def verify(self, key: Optional[str] = None, *, check: bool = True, **options: Unpack[VerifyOptions]) -> Report:
        """Reads everything that the snapshots of a key, or of every key, need, and compares it with its hashes.

        Its options are VerifyOptions. If PartialError is raised, report.problems has each loss.
        """
        return self._operate("verify", lib.ibt_verify, check, options, _key_or_none(key))

    def compare(self, key: str, tree: Path, *, check: bool = True, **options: Unpack[CompareOptions]) -> Report:
        """Compares a snapshot of the key with a directory. Its options are CompareOptions.

        The function `change` receives each difference, as a Change from the snapshot to the tree.
        """
        texts = text_to_c(key, "key"), path_to_c(tree, "tree")
        return self._operate("compare", lib.ibt_compare, check, options, *texts)

    def prune(self, key: str, *, check: bool = True, **options: Unpack[PruneOptions]) -> Report:
        """Removes snapshots of the key, and then every backup file that no remaining snapshot needs.

        PruneOptions say which: either rules (keep_last and others), or exactly these snapshots (removed, snapshot,
        as_of). With dry_run=True it only reports.
        """
        return self._operate("prune", lib.ibt_prune, check, options, text_to_c(key, "key"))

    def import_ancestor(
        self, key: str, /, from_dir: Optional[Path] = None, *, check: bool = True, **options: Unpack[ImportOptions]
    ) -> Report:
        """Imports the backups that incremental-backups-tools 0.1 made of a directory with the name `key`.

        Makes a snapshot of each, with the date of that backup: report.snapshots. Its files are in the directory
        from_dir, or in the store itself, and are only read. A later import adds the later backups. Its options are
        ImportOptions.
        """
        text = text_to_c(key, "key")
        if from_dir is None:
            return self._operate("import_ancestor", lib.ibt_import, check, options, None, text)
        with open_dir(from_dir, read_only=True) as source, source._handle as pointer:

            def function(storage: int, *rest: Any) -> int:
                return int(lib.ibt_import(storage, pointer, *rest))

            return self._operate("import_ancestor", function, check, options, text)

    def consolidate(self, key: str, *, check: bool = True, **options: Unpack[WriteOptions]) -> Report:
        """Makes a new full snapshot of the newest snapshot of the key, from the storage alone.

        Its options are WriteOptions.
        """
        return self._operate("consolidate", lib.ibt_consolidate, check, options, text_to_c(key, "key"))

    def rebuild_cache(self, key: str, *, check: bool = True, **options: Unpack[CommonOptions]) -> Report:
        """Completes the cache for the newest snapshot of the key. Its options are CommonOptions."""
        return self._operate("rebuild_cache", lib.ibt_rebuild_cache, check, options, text_to_c(key, "key"))

    def list_keys(self, *, cancel: Optional[Cancel] = None) -> Dict[str, int]:
        """Returns the keys that have a snapshot, in ascending order, each with the number of its snapshots."""
        call = Call("list_keys", cancel)

        def body(pointer: int) -> Dict[str, int]:
            error = ctypes.c_void_p()
            status = lib.ibt_list_keys(pointer, on_key, None, ctypes.byref(error))
            call.finish(status, error)
            return dict(call.keys)

        return call.use(self._handle, body)

    def open_snapshot(self, key: str, **options: Unpack[OpenOptions]) -> Snapshot:
        """Opens a snapshot of the key, for listing its entries and reading its files. Its options are OpenOptions."""
        text = text_to_c(key, "key")
        settings = Settings("open_snapshot", options)
        call = Call("open_snapshot", settings.cancel)
        keeps = self._handle.keeps

        def body(pointer: int) -> Snapshot:
            chosen = settings.apply(call)
            made, error = ctypes.c_void_p(), ctypes.c_void_p()
            try:
                status = lib.ibt_snapshot_open(pointer, text, chosen, ctypes.byref(made), ctypes.byref(error))
            finally:
                lib.ibt_options_free(chosen)
            call.finish(status, error)
            assert made.value is not None
            handle = Handle("snapshot", made.value, lib.ibt_snapshot_free, keeps)
            return Snapshot(handle, read_info(made.value))

        return call.use(self._handle, body)

    def _operate(
        self, op: str, function: Callable[..., int], check: bool, options: Mapping[str, Any], *texts: Optional[bytes]
    ) -> Report:
        settings = Settings(op, options)
        call = Call(op, settings.cancel)

        def body(pointer: int) -> Report:
            return operate(call, settings, check, lambda o, r, e: function(pointer, *texts, o, r, e))

        return call.use(self._handle, body)

def _key_or_none(key: Optional[str]) -> Optional[bytes]:
    return None if key is None else text_to_c(key, "key")


def _opened(op: str, function: Callable[[Any, Any], int]) -> Store:
    call = Call(op)

    def body() -> Store:
        made, error = ctypes.c_void_p(), ctypes.c_void_p()
        call.finish(function(ctypes.byref(made), ctypes.byref(error)), error)
        assert made.value is not None
        return Store(Handle("store", made.value, lib.ibt_storage_free))

    return call.run(body)


def open_dir(path: Path, *, must_exist: bool = False, read_only: bool = False, create_parents: bool = False) -> Store:
    """Opens a directory as a store. It need not exist: the first backup makes it, in a directory that exists.

    must_exist: no backup makes the directory, for example in the mount point of a disk that is not mounted. read_only:
    nothing in the directory is changed. create_parents: the first backup also makes the directories above it.
    """
    name = path_to_c(path)
    flags = (
        (DIR_MUST_EXIST if must_exist else 0)
        | (DIR_READ_ONLY if read_only else 0)
        | (DIR_CREATE_PARENTS if create_parents else 0)
    )
    return _opened("open_dir", lambda made, error: int(lib.ibt_storage_open_dir(name, flags, made, error)))


def open_url(url: str) -> Store:
    """Opens the storage of a URL: "s3://bucket/prefix", "gs://...", "az://..." or "file:///path".

    Credentials come from the environment and the standard files. UnsupportedError if libibt was built without object
    stores.
    """
    name = text_to_c(url, "url")
    return _opened("open_url", lambda made, error: int(lib.ibt_storage_open_url(name, made, error)))


def open_default() -> Store:
    """Opens a private directory below the temporary directory, for experiments."""
    return _opened("open_default", lib.ibt_storage_open_default)


def open_storage(storage: Any) -> Store:
    """Makes a store of a Storage, or of another object with its methods."""
    functions = Functions(storage)
    return Store(Handle("store", functions.make(), lib.ibt_storage_free, functions))

"""Backs up a directory into a SQLite database, and restores it: an example of a storage of your own.

    python3 sqlite_storage.py backup DATABASE SOURCE
    python3 sqlite_storage.py restore DATABASE KEY DEST
    python3 sqlite_storage.py list DATABASE
"""

import argparse
import fcntl
import sqlite3
import sys
import tempfile
from typing import IO, Dict, Iterator, Tuple

import ibt

PIECE = 1 << 20  # bytes of an object in one row


class SqliteStorage(ibt.Storage):
    """Objects in two tables: one row for each object, and one for each piece of its bytes."""

    reads_cheaply = True

    def __init__(self, path: str) -> None:
        self.path = path
        self.locks: Dict[str, IO[bytes]] = {}
        self.database = sqlite3.connect(path, isolation_level=None)
        self.database.execute("CREATE TABLE IF NOT EXISTS objects (name TEXT PRIMARY KEY, size INTEGER NOT NULL)")
        self.database.execute(
            "CREATE TABLE IF NOT EXISTS pieces (name TEXT, number INTEGER, data BLOB, PRIMARY KEY (name, number))"
        )

    def read_at(self, name: str, offset: int, length: int) -> bytes:
        if not self.database.execute("SELECT 1 FROM objects WHERE name = ?", (name,)).fetchone():
            raise ibt.NotFoundError(f"there is no object {name}")
        first, last = offset // PIECE, (offset + length - 1) // PIECE
        rows = self.database.execute(
            "SELECT data FROM pieces WHERE name = ? AND number BETWEEN ? AND ? ORDER BY number", (name, first, last)
        )
        data = b"".join(row[0] for row in rows)
        return data[offset - first * PIECE :][:length]

    def list(self, prefix: str) -> Iterator[Tuple[str, int]]:
        for name, size in self.database.execute("SELECT name, size FROM objects"):
            if name.startswith(prefix):
                yield name, size

    def create(self, name: str) -> "Writer":
        return Writer(self.database, name)

    def delete(self, name: str) -> None:
        self.database.execute("BEGIN IMMEDIATE")
        self.database.execute("DELETE FROM objects WHERE name = ?", (name,))
        self.database.execute("DELETE FROM pieces WHERE name = ?", (name,))
        self.database.execute("COMMIT")

    def lock(self, key: str) -> None:
        file = open(f"{self.path}.{key}.lock", "wb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise ibt.BusyError(f"another process is writing {key}") from None
        self.locks[key] = file

    def unlock(self, key: str) -> None:
        self.locks.pop(key).close()


class Writer:
    """Collects an object in a temporary file. Its commit is one transaction."""

    def __init__(self, database: sqlite3.Connection, name: str) -> None:
        self.database = database
        self.name = name
        self.file = tempfile.TemporaryFile()

    def write(self, data: bytes) -> None:
        self.file.write(data)

    def commit(self) -> None:
        size = self.file.tell()
        self.file.seek(0)
        with self.file:
            self.database.execute("BEGIN IMMEDIATE")
            try:
                self.database.execute("INSERT INTO objects VALUES (?, ?)", (self.name, size))
                for number in range((size + PIECE - 1) // PIECE):
                    piece = self.file.read(PIECE)
                    self.database.execute("INSERT INTO pieces VALUES (?, ?, ?)", (self.name, number, piece))
                self.database.execute("COMMIT")
            except BaseException as error:
                self.database.execute("ROLLBACK")
                if isinstance(error, sqlite3.IntegrityError):
                    raise ibt.ExistsError(f"there is an object {self.name} already") from error
                raise

    def abort(self) -> None:
        self.file.close()


def show(progress: ibt.Progress) -> None:
    print(f"\r{progress.phase.name.lower():8} {progress.done_bytes >> 20:6} MiB", end="", file=sys.stderr)


def backup(store: ibt.Store, source: str) -> ibt.Report:
    """An increment, or a full backup if there is none yet."""
    try:
        return store.incremental_backup(source, progress=show)
    except ibt.NotFoundError:
        return store.full_backup(source, progress=show)


def main() -> None:
    parser = argparse.ArgumentParser(description="Incremental backups in a SQLite database.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, arguments in (("backup", ["source"]), ("restore", ["key", "dest"]), ("list", [])):
        command = commands.add_parser(name)
        for argument in ["database", *arguments]:
            command.add_argument(argument)
    chosen = parser.parse_args()
    with ibt.open_storage(SqliteStorage(chosen.database)) as store:
        if chosen.command == "backup":
            report = backup(store, chosen.source)
            print(f"\n{report.snapshot}: {report.total_size} bytes", file=sys.stderr)
        elif chosen.command == "restore":
            store.restore(chosen.key, chosen.dest)
        else:
            for one in store:
                print(one.key, one.stamp, one.kind, one.counters.entries)


if __name__ == "__main__":
    try:
        main()
    except ibt.Error as error:
        sys.exit(f"sqlite_storage.py: {error}")

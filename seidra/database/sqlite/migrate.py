"""The schema on SQLite: what `seidra/database/migrate.py` asks of an engine."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:
    # The first that Windows lacks; locks, signals and sockets would follow.
    sys.exit("Error: SEIDRA runs on Linux and macOS, and on Windows inside WSL only.")

from yoyo.backends.core.sqlite3 import SQLiteBackend
from yoyo.connections import DatabaseURI
from yoyo.migrations import default_migration_table

from seidra.config import Settings, ensure_directory, ensure_runtime_directories, packaged_dir
from seidra.database.migrate import OneTransaction
from seidra.errors import StartError

OLDEST_SQLITE = (3, 38, 0)
"""STRICT tables, RETURNING and the trigram tokenizer need 3.37; 3.38 has JSON built in."""

NEWER_SERVES = False
"""One host, one version: what a newer one has left behind is a mistake to be told."""


class _QuietCursor(sqlite3.Cursor):
    """A cursor that shows no columns: yoyo prints what has some, and SQLite runs a query of its own
    when a column with a CHECK is added."""

    description = None


class _Backend(OneTransaction, SQLiteBackend):  # type: ignore[misc]
    """yoyo's backend, on a private connection instead of its shared cache, whose table locks would
    reach into the serving process."""

    def connect(self, dburi: DatabaseURI) -> sqlite3.Connection:
        connection = sqlite3.connect(dburi.database, timeout=30, isolation_level=None)
        # Where there is no folder for temporary files, as on a read-only disk, a table could not be
        # rebuilt.
        connection.execute("PRAGMA temp_store = MEMORY").close()
        return connection

    def cursor(self) -> sqlite3.Cursor:
        cursor: sqlite3.Cursor = self.connection.cursor(_QuietCursor)
        return cursor


def folder() -> Path:
    """Where SQLite's migrations are."""
    return packaged_dir("migrations")


@contextmanager
def start_lock(settings: Settings) -> Iterator[None]:
    """Let one process at a time migrate and seed; the kernel frees the lock of one that is
    killed."""
    path = settings.database_path.with_name(settings.database_path.name + ".init.lock")
    ensure_directory(path.parent)
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartError(f"The lock file {path} cannot be written: {error.strerror}.") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def check_version() -> None:
    """Raise StartError for an SQLite that is too old for the schema."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise StartError(f"SQLite {sqlite3.sqlite_version} is too old; SEIDRA needs {oldest}.")


def applied_ids(settings: Settings) -> set[str]:
    """The ids that the database has, read without changing it; none when there is no database.

    Raises StartError for what is no database.
    """
    path = settings.database_path
    try:
        if not path.exists():
            return set()
        connection = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=30)
        try:
            # yoyo's own table, which is no part of the schema; its name is yoyo's constant.
            marks = "SELECT name FROM sqlite_master WHERE name = ?"
            if not connection.execute(marks, (default_migration_table,)).fetchall():
                return set()
            applied = f"SELECT migration_id FROM {default_migration_table}"  # noqa: S608
            return {row[0] for row in connection.execute(applied)}
        finally:
            connection.close()
    except (sqlite3.DatabaseError, OSError) as error:
        raise StartError(f"The database {path} cannot be used: {error}.") from None


def is_locked(settings: Settings) -> bool:
    """Whether a killed process left its row in yoyo's lock table, or there is none. Raises
    StartError for a file that cannot be written."""
    path = settings.database_path
    try:
        # SQLite would open it for reading alone.
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
        connection = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=30)
        try:
            lock = "SELECT name FROM sqlite_master WHERE name = ?"
            if not connection.execute(lock, (_Backend.lock_table,)).fetchall():
                return True
            rows = f"SELECT COUNT(*) FROM {_Backend.lock_table}"  # noqa: S608 (yoyo's constant)
            return bool(connection.execute(rows).fetchone()[0])
        finally:
            connection.close()
    except (sqlite3.DatabaseError, OSError) as error:
        raise StartError(f"The database {path} cannot be used: {error}.") from None


@contextmanager
def open_backend(settings: Settings) -> Iterator[_Backend]:
    """yoyo on the file, which is made where there is none."""
    path = settings.database_path
    # Only now: beside a database that cannot be used nothing is made.
    ensure_runtime_directories(settings)
    uri = DatabaseURI("sqlite", None, None, None, None, str(path), {})
    try:
        # Private from its first byte on: it holds password hashes.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        backend = _Backend(uri, default_migration_table)
        with backend:
            backend.init_database()
            # Under start_lock nobody else migrates: a row in yoyo's lock table is a killed
            # process's.
            backend.break_lock()
            yield backend
    except (sqlite3.DatabaseError, OSError) as error:
        raise StartError(f"The database {path} cannot be used: {error}.") from error

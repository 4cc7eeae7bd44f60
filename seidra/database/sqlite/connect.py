"""SQLite: the only place that opens a connection, or says what the driver's error means."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seidra.config import Settings
from seidra.database.base import Database, Owner, conflict_of, dangling_conflict
from seidra.database.sqlite.writer import BUSY_SECONDS, Connection, Transaction, Writer, is_busy
from seidra.errors import Unavailable

DatabaseError = sqlite3.DatabaseError

_UNIQUE = {
    "users.username_key": "users_username_taken",
    "users.email_key": "users_email_taken",
    "account_groups.name_key": "account_groups_name_taken",
}
"""The names of unique constraints, by the columns that SQLite names instead."""

_log = logging.getLogger(__name__)


def open_connection(path: Path, synchronous: str = "normal", *, writer: bool = False) -> Connection:
    """Open `path` as every part of SEIDRA uses it: autocommit, rows by name, WAL, foreign keys
    enforced. One thread at a time uses it.

    A `writer` is for threads that take turns; once it is open, `Writer` does the waiting for locks.
    """
    connection = sqlite3.connect(
        path,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
        factory=Connection,
    )
    connection.row_factory = sqlite3.Row
    # WAL: readers never wait for the writer. synchronous NORMAL: a commit is safe from a killed
    # process at once and from a power cut after the next checkpoint; FULL pays an fsync a commit
    # for the latter (SEIDRA_SQLITE_...).
    for pragma in (
        "journal_mode = WAL",
        f"synchronous = {synchronous}",
        "foreign_keys = ON",
        "temp_store = MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}").close()
    if writer:
        # A checkpoint syncs the disk twice, while writes wait: four times as rare as SQLite has
        # them, at 16 MB of log, they also write less, because the same pages come again and again
        # (3 to 10 % more creates).
        for pragma in ("busy_timeout = 0", "wal_autocheckpoint = 4000"):
            connection.execute(f"PRAGMA {pragma}").close()
    return connection


class SqliteDatabase(Database):
    """One database file. A thread reads through a connection of its own for as long as it has
    something to read, and then leaves it to the next that has; all write in turns through one
    more."""

    errors = sqlite3.Error
    checks_write = True
    product = f"SQLite {sqlite3.sqlite_version}"

    def __init__(self, settings: Settings) -> None:
        self.path = settings.database_path
        self.place = str(self.path)
        self._synchronous = settings.sqlite_synchronous
        self._local = threading.local()
        # Each keeps the schema, half a megabyte: there are as many as threads have read at the same
        # time, and not as threads.
        self._idle: list[Connection] = []
        self._writer = Writer(
            lambda: open_connection(self.path, self._synchronous, writer=True), self.translate
        )

    @property
    def connection(self) -> Connection:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = open_connection(self.path, self._synchronous)
            self._local.connection = connection
        return connection

    def transaction(self, owner: Owner = None, *, shared: bool = False) -> Transaction:
        # All writers take turns here, and so do those of one owner.
        return Transaction(self._writer, shared=shared)

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        connection = self.connection
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            connection.rollback()

    def translate(self, error: Exception) -> Exception:
        if isinstance(error, sqlite3.IntegrityError):
            for columns, constraint in _UNIQUE.items():
                if columns in str(error):
                    return conflict_of(constraint) or error
            if error.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
                return dangling_conflict()
        if not isinstance(error, sqlite3.Error):
            return error
        if is_busy(error):
            _log.warning("database busy for more than %s s", BUSY_SECONDS)
            return Unavailable("The database is busy; try again.")
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _UNUSABLE:
            _log.error("database cannot be written or read: %s", error)
            return Unavailable(
                "The database cannot be used right now; its disk may be full or read-only."
            )
        return error

    def size_bytes(self) -> int:
        files = (self.path, self.path.with_name(f"{self.path.name}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def release(self) -> None:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            return
        del self._local.connection
        if connection.in_transaction:
            connection.rollback()
        self._idle.append(connection)

    def leave(self) -> None:
        self.release()

    def close(self) -> None:
        self.leave()
        while self._idle:
            self._idle.pop().close()
        self._writer.close()


_UNUSABLE = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
}
"""The codes of a disk that is full, damaged or closed."""

"""Connections: the only place that opens one, or says what a driver's error means to a client."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from flask import current_app

from seidra.config import Settings
from seidra.database.writer import BUSY_SECONDS, Transaction, Writer, is_busy
from seidra.errors import Conflict, Problem, Unavailable

Connection = sqlite3.Connection
Row = sqlite3.Row
DatabaseError = sqlite3.DatabaseError

_TAKEN = {
    "users.username_key": Conflict("This username is taken.", "username"),
    "users.email_key": Conflict("This email is taken.", "email"),
}
"""What a broken UNIQUE constraint means to people, by the columns that SQLite names."""

_log = logging.getLogger(__name__)


def connect(path: Path, synchronous: str = "normal", *, writer: bool = False) -> Connection:
    """Open `path` as every part of SEIDRA uses it: autocommit, rows by name, WAL, foreign keys enforced.

    A `writer` is for threads that take turns; once it is open, `Writer` does the waiting for locks.
    """
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=not writer, cached_statements=256
    )
    connection.row_factory = sqlite3.Row
    # WAL: readers never wait for the writer. synchronous NORMAL: a commit is safe from a killed process at once
    # and from a power cut after the next checkpoint; FULL pays an fsync a commit for the latter (SEIDRA_SQLITE_...).
    for pragma in ("journal_mode = WAL", f"synchronous = {synchronous}", "foreign_keys = ON", "temp_store = MEMORY"):
        connection.execute(f"PRAGMA {pragma}").close()
    if writer:
        # A checkpoint syncs the disk twice, while writes wait: four times as rare as SQLite has them, at 16 MB of log,
        # they also write less, because the same pages come again and again (3 to 10 % more creates).
        for pragma in ("busy_timeout = 0", "wal_autocheckpoint = 4000"):
            connection.execute(f"PRAGMA {pragma}").close()
    return connection


class Database:
    """One database file. A thread reads through a connection of its own, kept until the thread calls `leave`; all
    write through one more."""

    def __init__(self, settings: Settings) -> None:
        self.path = settings.database_path
        self._synchronous = settings.sqlite_synchronous
        self._local = threading.local()
        self._writer = Writer(lambda: connect(self.path, self._synchronous, writer=True), translate)

    @property
    def connection(self) -> Connection:
        """This thread's connection: for reading; writes go through `transaction`."""
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect(self.path, self._synchronous)
        return connection

    def transaction(self, *, alone: bool = False) -> Transaction:
        """A short write transaction, as a context manager that gives its connection; see `Transaction`."""
        return Transaction(self._writer, alone=alone)

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A read transaction: its statements see one state of the database, such as a page and its total."""
        connection = self.connection
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            connection.rollback()

    def version(self) -> int:
        """A number that stays the same for this thread as long as nobody commits anything."""
        return int(self.connection.execute("PRAGMA data_version").fetchone()[0])

    def release(self) -> None:
        """Leave no transaction open behind a request."""
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is not None and connection.in_transaction:
            connection.rollback()

    def leave(self) -> None:
        """Close this thread's connection, at the thread's end; another use would open another."""
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            del self._local.connection

    def close(self) -> None:
        """The same, and close the writer too."""
        self.leave()
        self._writer.close()


def translate(error: sqlite3.Error) -> Problem | sqlite3.Error:
    """A driver's error as the failure that it means to a client; what means none comes back as it is."""
    if isinstance(error, sqlite3.IntegrityError):
        for columns, conflict in _TAKEN.items():
            if columns in str(error):
                return Conflict(conflict.detail, next(iter(conflict.errors or {}), None))
        if error.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
            return Conflict("It refers to something that does not exist any more.")
    if is_busy(error):
        return _busy()
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in (
        sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN,
    ):  # fmt: skip
        _log.error("database cannot be written or read: %s", error)
        return Unavailable("The database cannot be used right now; its disk may be full or read-only.")
    return error


def _busy() -> Unavailable:
    _log.warning("database busy for more than %s s", BUSY_SECONDS)
    return Unavailable("The database is busy; try again.")


def get_db() -> Database:
    """The running app's database."""
    return cast(Database, current_app.extensions["seidra.database"])

"""Connections: the only place that opens one, begins a transaction, or reads a driver's error."""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from flask import current_app

from seidra.config import Settings
from seidra.errors import Conflict, Problem, Unavailable

Connection = sqlite3.Connection
Row = sqlite3.Row
DatabaseError = sqlite3.DatabaseError

BUSY_SECONDS = 5.0
"""How long a write waits for its turn before the client gets a 503."""

_TAKEN = {
    "users.username_key": Conflict("This username is taken.", "username"),
    "users.email_key": Conflict("This email is taken.", "email"),
}
"""What a broken UNIQUE constraint means to people, by the columns that SQLite names."""

_log = logging.getLogger(__name__)


def connect(path: Path, synchronous: str = "normal", *, writer: bool = False) -> Connection:
    """Open `path` as every part of SEIDRA uses it: autocommit, rows by name, WAL, foreign keys enforced.

    A `writer` is for threads that take turns; once it is open, `transaction` does the waiting for locks.
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
        connection.execute("PRAGMA busy_timeout = 0").close()
    return connection


class Database:
    """One database file. A thread reads through a connection of its own, kept until the thread calls `leave`.

    The writes of a process take turns on one more. A commit empties the page cache of every other connection: with
    a writer for each thread they would read their pages anew each time (15 to 25 % fewer creates, and a p99 of 38 ms
    instead of 23).
    """

    def __init__(self, settings: Settings) -> None:
        self.path = settings.database_path
        self._synchronous = settings.sqlite_synchronous
        self._local = threading.local()
        self._turn = threading.Lock()
        self._writer: Connection | None = None

    @property
    def connection(self) -> Connection:
        """This thread's connection: for reading; writes go through `transaction`."""
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = connect(self.path, self._synchronous)
        return connection

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A short write transaction, committed at the end of the block and rolled back when it raises.

        All of the block goes through the connection that it gets: `connection` does not see what is not committed.
        Raises Conflict for a broken constraint and Unavailable when the database stays busy or is full.
        """
        deadline = time.monotonic() + BUSY_SECONDS
        if not self._turn.acquire(timeout=BUSY_SECONDS):
            raise _busy()
        try:
            if self._writer is None:
                self._writer = connect(self.path, self._synchronous, writer=True)
            with _transaction(self._writer, deadline):
                yield self._writer
        finally:
            self._turn.release()

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A read transaction: its statements see one state of the database, such as a page and its total."""
        connection = self.connection
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            connection.rollback()

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
        with self._turn:
            if self._writer is not None:
                self._writer.close()
                self._writer = None


@contextmanager
def _transaction(connection: Connection, deadline: float) -> Iterator[None]:
    try:
        _begin_immediate(connection, deadline)
        try:
            yield
        except BaseException:
            connection.rollback()
            raise
        connection.execute("COMMIT").close()
    except DatabaseError as error:
        if connection.in_transaction:
            connection.rollback()
        raise translate(error) from error


def _begin_immediate(connection: Connection, deadline: float) -> None:
    """Take the write lock from the other processes, asking every third of a millisecond or so.

    SQLite's own busy handler backs off to 100 ms, so that under steady writers an unlucky one starves for seconds;
    short jittered polling keeps the wait near the length of the queue.
    """
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE").close()
            return
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() > deadline:
                raise
        time.sleep(random.uniform(0.0001, 0.0005))  # noqa: S311 (jitter, not a secret)


def _is_busy(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def translate(error: sqlite3.Error) -> Problem | sqlite3.Error:
    """A driver's error as the failure that it means to a client; what means none comes back as it is."""
    if isinstance(error, sqlite3.IntegrityError):
        for columns, conflict in _TAKEN.items():
            if columns in str(error):
                return Conflict(conflict.detail, next(iter(conflict.errors or {}), None))
        if error.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
            return Conflict("It refers to something that does not exist any more.")
    if _is_busy(error):
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

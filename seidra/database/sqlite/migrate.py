"""The schema: yoyo applies `migrations/`, one process at a time, each migration together with its
mark."""

from __future__ import annotations

import getpass
import os
import sqlite3
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

try:
    import fcntl
except ImportError:
    # The first that Windows lacks; locks, signals and sockets would follow.
    sys.exit("Error: SEIDRA runs on Linux and macOS, and on Windows inside WSL only.")

import yoyo
from yoyo.backends.core.sqlite3 import SQLiteBackend
from yoyo.connections import DatabaseURI
from yoyo.migrations import default_migration_table

from seidra.config import Settings, ensure_directory, ensure_runtime_directories, packaged_dir
from seidra.errors import StartError

OLDEST_SQLITE = (3, 38, 0)
"""STRICT tables, RETURNING and the trigram tokenizer need 3.37; 3.38 has JSON built in."""


class _QuietCursor(sqlite3.Cursor):
    """A cursor that shows no columns: yoyo prints what has some, and SQLite runs a query of its own
    when a column with a CHECK is added."""

    description = None


class _Backend(SQLiteBackend):  # type: ignore[misc]
    """yoyo's backend, with a migration and its mark in one transaction.

    yoyo commits them apart, and a kill between the two sticks for ever ("table already exists").
    The connection is private instead of yoyo's shared cache, whose table locks would reach into the
    serving process.
    """

    def connect(self, dburi: DatabaseURI) -> sqlite3.Connection:
        connection = sqlite3.connect(dburi.database, timeout=30, isolation_level=None)
        # Where there is no folder for temporary files, as on a read-only disk, a table could not be
        # rebuilt.
        connection.execute("PRAGMA temp_store = MEMORY").close()
        return connection

    def get_log_data(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        # yoyo notes who migrates, and asks for the account's name; in a container it may have none.
        try:
            getpass.getuser()
        except (KeyError, OSError):
            os.environ["LOGNAME"] = str(os.getuid())
        found: dict[str, Any] = super().get_log_data(*args, **kwargs)
        return found

    def apply_one(self, migration: Any, force: bool = False, mark: bool = True) -> None:
        self.ensure_internal_schema_updated()
        with self.transaction():
            migration.process_steps(self, "apply", force=force)
            self.mark_one(migration)

    def rollback_one(self, migration: Any, force: bool = False) -> None:
        self.ensure_internal_schema_updated()
        with self.transaction():
            migration.process_steps(self, "rollback", force=force)
            self.unmark_one(migration)

    def cursor(self) -> sqlite3.Cursor:
        cursor: sqlite3.Cursor = self.connection.cursor(_QuietCursor)
        return cursor


@dataclass(frozen=True)
class Status:
    """One migration, whether it is applied, and whether this version knows it."""

    id: str
    applied: bool
    known: bool = True


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


def apply_migrations(settings: Settings, wanted: Collection[str] | None = None) -> list[str]:
    """Apply what is missing, or what is `wanted` of it; returns the ids applied. The caller holds
    `start_lock`."""
    steps = _checked_migrations(settings)
    if all(step.applied for step in steps) and not _is_locked(settings):
        # As nearly every start finds it: yoyo would parse every migration to apply none.
        ensure_runtime_directories(settings)
        return []
    with _open_backend(settings) as (backend, migrations):
        pending = backend.to_apply(migrations)
        if wanted is not None:
            pending = pending.filter(lambda migration: migration.id in wanted)
        backend.apply_migrations(pending)
        return [migration.id for migration in pending]


def undo_migrations(settings: Settings, count: int | None = 1) -> list[str]:
    """Undo the last `count` migrations (None: all), with their data; returns their ids. Needs
    `start_lock`."""
    _checked_migrations(settings)
    with _open_backend(settings) as (backend, migrations):
        applied = list(backend.to_rollback(migrations))[:count]
        backend.rollback_migrations(applied)
        return [migration.id for migration in applied]


def list_migrations(settings: Settings) -> list[Status]:
    """Every migration in order. A database that does not exist yet has none applied (and is not
    made)."""
    known, applied = _known_ids(), _applied_ids(settings)
    return [Status(id, id in applied, id in known) for id in sorted(applied | set(known))]


def check_current(settings: Settings) -> None:
    """Raise StartError unless the database has just this version's migrations."""
    steps = list_migrations(settings)
    _check_known(settings, steps)
    if not all(step.applied for step in steps):
        raise StartError(
            f"The database {settings.database_path} is not up to date: run `flask init` first."
        )


def check_version() -> None:
    """Raise StartError for an SQLite that is too old for the schema."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise StartError(f"SQLite {sqlite3.sqlite_version} is too old; SEIDRA needs {oldest}.")


def _checked_migrations(settings: Settings) -> list[Status]:
    """Every migration in order, of a database that this version can migrate; raises StartError for
    another one."""
    check_version()
    steps = list_migrations(settings)
    _check_known(settings, steps)
    return steps


def _check_known(settings: Settings, steps: list[Status]) -> None:
    newer = [step.id for step in steps if not step.known]
    if newer:
        path = settings.database_path
        raise StartError(
            f"The database {path} is from a newer version of SEIDRA: it has the migration "
            f"{newer[-1]}."
        )


def _known_ids() -> list[str]:
    migrations = packaged_dir("migrations")
    ids = sorted(p.stem for p in migrations.glob("*.sql") if not p.name.endswith(".rollback.sql"))
    if not ids:
        raise StartError(
            f"There are no migrations in {migrations}: the installation is incomplete."
        )
    return ids


def _applied_ids(settings: Settings) -> set[str]:
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


def _is_locked(settings: Settings) -> bool:
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
def _open_backend(settings: Settings) -> Iterator[tuple[_Backend, Any]]:
    """yoyo on a database that `_checked_migrations` let pass."""
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
            yield backend, yoyo.read_migrations(str(packaged_dir("migrations")))
    except (sqlite3.DatabaseError, OSError) as error:
        raise StartError(f"The database {path} cannot be used: {error}.") from error

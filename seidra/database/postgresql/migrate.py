"""The schema on PostgreSQL: what `seidra/database/migrate.py` asks of an engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import DatabaseURI
from yoyo.migrations import default_migration_table

from seidra.config import Settings, ensure_runtime_directories, packaged_dir
from seidra.database.migrate import OneTransaction
from seidra.errors import StartError

OLDEST_SERVER = 140000
"""The oldest that is still cared for; extensions that an owner may make need 13."""

NEWER_SERVES = True
"""A node may be older than the one that has migrated: from the first schema on, migrations add."""

_LOCK = -2
"""The advisory lock of migrating and seeding (migrations/postgresql/0032.baseline.sql)."""

_CONNECT_SECONDS = 5


class _Backend(OneTransaction, PostgresqlPsycopgBackend):  # type: ignore[misc]
    """yoyo's backend, connected by the URL as it was given."""

    def connect(self, dburi: DatabaseURI) -> psycopg.Connection[tuple[object, ...]]:
        return _connect(dburi.database)


def folder() -> Path:
    """Where PostgreSQL's migrations are."""
    return packaged_dir("migrations") / "postgresql"


def check_version() -> None:
    """Nothing: the server's version is looked at once there is a connection."""


@contextmanager
def start_lock(settings: Settings) -> Iterator[None]:
    """Let one process at a time migrate and seed; the server frees the lock of a connection that
    is lost."""
    try:
        connection = _connect(settings.database_url)
    except psycopg.Error as error:
        raise _unusable(settings, error) from None
    try:
        connection.execute("SELECT PG_ADVISORY_LOCK(%s)", (_LOCK,))
        yield
    finally:
        connection.close()


def applied_ids(settings: Settings) -> set[str]:
    """The ids that the database has, read without changing it.

    Raises StartError for a server that cannot be reached and a database that it does not have.
    """
    try:
        with _connect(settings.database_url) as connection:
            # yoyo's own table, which is no part of the schema; its name is yoyo's constant.
            marks = "SELECT TO_REGCLASS(%s)"
            found = connection.execute(marks, (default_migration_table,)).fetchone()
            if found is None or found[0] is None:
                return set()
            applied = f"SELECT migration_id FROM {default_migration_table}"  # noqa: S608
            return {str(row[0]) for row in connection.execute(applied)}
    except psycopg.Error as error:
        raise _unusable(settings, error) from None


def is_locked(settings: Settings) -> bool:
    """Whether a killed process left its row in yoyo's lock table, or there is no such table."""
    try:
        with _connect(settings.database_url) as connection:
            found = connection.execute("SELECT TO_REGCLASS(%s)", (_Backend.lock_table,)).fetchone()
            if found is None or found[0] is None:
                return True
            rows = f"SELECT COUNT(*) FROM {_Backend.lock_table}"  # noqa: S608 (yoyo's constant)
            counted = connection.execute(rows).fetchone()
            return counted is not None and bool(counted[0])
    except psycopg.Error as error:
        raise _unusable(settings, error) from None


@contextmanager
def open_backend(settings: Settings) -> Iterator[_Backend]:
    """yoyo on a database that is fit for it: of a server new enough, and in UTF-8."""
    ensure_runtime_directories(settings)
    uri = DatabaseURI("postgresql+psycopg", None, None, None, None, settings.database_url, {})
    try:
        backend = _Backend(uri, default_migration_table)
        with backend:
            _check_server(settings, backend.connection)
            backend.init_database()
            # Under start_lock nobody else migrates: a row in yoyo's lock table is a killed
            # process's.
            backend.break_lock()
            yield backend
    except psycopg.Error as error:
        raise _unusable(settings, error) from error


def _connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(
        url,
        autocommit=True,
        connect_timeout=_CONNECT_SECONDS,
        application_name="seidra migrate",
        client_encoding="utf8",
    )


def _check_server(settings: Settings, connection: psycopg.Connection[tuple[object, ...]]) -> None:
    encoding = connection.info.parameter_status("server_encoding") or ""
    for fault in server_faults(connection.info.server_version, encoding, settings.database_place):
        raise StartError(fault)


def server_faults(version: int, encoding: str, place: str) -> list[str]:
    """Why a server, or a database of it, does not do: a sentence for each reason."""
    faults = []
    if version < OLDEST_SERVER:
        faults.append(
            f"PostgreSQL {version // 10000} is too old; SEIDRA needs {OLDEST_SERVER // 10000}."
        )
    if encoding != "UTF8":
        faults.append(f"The database {place} keeps its texts in {encoding}; SEIDRA needs UTF8.")
    return faults


def _unusable(settings: Settings, error: psycopg.Error) -> StartError:
    reason = " ".join(str(error).split()).rstrip(".")
    return StartError(f"The database {settings.database_place} cannot be used: {reason}.")

"""The database. The guide's names are importable from here; whoever asks for one loads
`seidra.start`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seidra.config import Settings
from seidra.database.base import Database
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.errors import StartError

if TYPE_CHECKING:
    from seidra.start.service import (
        DatabaseService,
        init_database,
        seed_default_nsfw_settings,
        seed_default_user,
    )

__all__ = [
    "DatabaseService",
    "init_database",
    "open_database",
    "seed_default_nsfw_settings",
    "seed_default_user",
]


def open_database(settings: Settings) -> Database:
    """The database that SEIDRA_DATABASE_URL names. It is opened at the first use. Raises StartError
    for one whose driver is not installed."""
    if settings.database_engine == "sqlite":
        return SqliteDatabase(settings)
    need_driver()
    from seidra.database.postgresql.connect import PostgresqlDatabase

    return PostgresqlDatabase(settings)


def need_driver() -> None:
    """Raise StartError where PostgreSQL's driver is not installed."""
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise StartError(
            "SEIDRA_DATABASE_URL names PostgreSQL, for which there is no driver: run "
            "`pip install 'seidra[postgresql]'`."
        ) from None


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from seidra.start import service

    return getattr(service, name)

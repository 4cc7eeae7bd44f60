"""The database. The guide's names are importable from here; whoever asks for one loads
`seidra.start`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seidra.config import Settings
from seidra.database.base import Database
from seidra.database.sqlite.connect import SqliteDatabase

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
    """The database that SEIDRA_DATABASE_URL names. It is opened at the first use."""
    return SqliteDatabase(settings)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from seidra.start import service

    return getattr(service, name)

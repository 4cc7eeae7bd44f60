"""Whether requests can be served: asked by `/api/health/ready` in flags."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from seidra.config import Settings
from seidra.database import migrate
from seidra.database.base import Database
from seidra.database.queries import queries
from seidra.errors import StartError

_log = logging.getLogger(__name__)


def readiness_checks(settings: Settings, database: Database) -> dict[str, bool]:
    """What requests need, a flag each: the database answers, its schema is this version's, files
    can be written."""
    return {
        "database": _database_answers(database),
        "schema": schema_problem(settings) is None,
        "storage": not unwritable_folders(
            [settings.media_dir, settings.thumbnail_dir, settings.tmp_dir]
        ),
    }


def _database_answers(database: Database) -> bool:
    try:
        return bool(queries.platform.ping(database.connection))
    except database.errors:
        _log.exception("the database does not answer")
        return False


def schema_problem(settings: Settings) -> str | None:
    """What keeps the database from serving this version, in a sentence; None when nothing does."""
    try:
        migrate.check_current(settings)
    except StartError as error:
        return error.message
    return None


def unwritable_folders(folders: list[Path]) -> list[Path]:
    """Those of the folders that are missing or closed to this process, on a read-only disk too."""
    return [folder for folder in folders if not os.access(folder, os.R_OK | os.W_OK | os.X_OK)]

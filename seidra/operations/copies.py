"""A copy of the database, for what would hold the writers up."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from seidra.config import Settings
from seidra.database import open_database
from seidra.database.base import Database
from seidra.database.queries import queries
from seidra.errors import StartError


@contextmanager
def copied_database(settings: Settings, database: Database) -> Iterator[Database]:
    """The database as it is now, copied while writers go on, for as long as the block lasts.

    For checks that SQLite makes as writes, such as that of a full-text index: under the lock of the
    copy nobody waits. Needs as much room in SEIDRA_TMP_DIR as the database has; raises StartError
    where there is none.
    """
    if not database.checks_write:
        yield database
        return
    try:
        with tempfile.TemporaryDirectory(prefix="check-", dir=settings.tmp_dir) as folder:
            path = Path(folder) / "seidra.db"
            try:
                queries.operations.copy(database.connection, path=str(path))
            except database.errors as error:
                raise StartError(
                    f"The database {database.place} cannot be copied for a check: {error}."
                ) from None
            with closing(open_database(settings.with_database(path))) as copy:
                yield copy
    except OSError as error:
        raise StartError(
            f"The folder {settings.tmp_dir} cannot be written: {error.strerror}."
        ) from None

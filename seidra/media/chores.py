"""What is done now and then about files: those go that no row names, and what crashes left.

`file_deletions` holds the keys of files that go. A row without `due_at` is condemned: nobody may
name its key any more, and so its file can be deleted without holding a lock. A row with `due_at` is
the announcement of a file that is about to be put: until then, the transaction that names the key
takes it away. Whoever fails, crashes or loses its claim in between leaves it, and it runs out.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable

from seidra.database.base import Database
from seidra.database.queries import queries
from seidra.files.base import Files, StoreUnavailable
from seidra.files.keys import with_derived
from seidra.media.keys import is_named
from seidra.values import timestamp, timestamp_in

ANNOUNCED_SECONDS = 3600.0
"""How long a file that was announced may take until a row names it: far more than it ever does."""

_BATCH = 500
"""Files that are deleted before other chores have their turn."""

_DAY = 86_400.0

_log = logging.getLogger(__name__)


def delete_files(database: Database, files: Files) -> int:
    """Delete a batch of the files that are to go; returns how many keys were done. A crash repeats,
    and forgets nothing."""
    # What was written while the clock was ahead would wait until it gets there.
    now, horizon = timestamp(), timestamp_in(2 * ANNOUNCED_SECONDS)
    if queries.media.announcements_overdue(database.connection, now=now, horizon=horizon):
        with database.transaction() as tx:
            queries.media.announcements_condemn(tx, now=now, horizon=horizon)
    condemned = queries.media.deletions(database.connection, limit=_BATCH)
    return delete_condemned(database, files, [row["key"] for row in condemned])


def delete_condemned(database: Database, files: Files, keys: Iterable[str]) -> int:
    """Delete files whose keys are condemned, with what is derived of them; returns how many keys
    were done: none where the store refuses, which is tried again."""
    keys = list(keys)
    unnamed = [key for key in keys if not is_named(database.connection, key)]
    try:
        files.delete(itertools.chain.from_iterable(map(with_derived, unnamed)))
    except (OSError, StoreUnavailable) as error:
        _log.warning("files cannot be deleted: %s", error)
        return 0
    if keys:
        with database.transaction() as tx:
            queries.media.deletions_done(tx, [{"key": key} for key in keys])
    return len(keys)


def purge_trash(database: Database, keep_days: int) -> None:
    """Delete one batch of what was deleted more than so many days ago for ever; triggers queue the
    files."""
    before = timestamp_in(-_DAY * keep_days)
    if queries.trash.purgeable(database.connection, before=before) is not None:
        with database.transaction() as tx:
            queries.trash.purge_before(tx, before=before, limit=_BATCH)


def discard_temporary(files: Files, older_than: float) -> None:
    """Drop what processes that ended in the middle left, once it is older than that many
    seconds."""
    for path in files.temporary(older_than):
        files.discard(path)

"""When a worker does which chore between jobs. What a chore does stands with its feature."""

from __future__ import annotations

import math
import time

from seidra.auth.invitations import KEPT_SECONDS as INVITATION_SECONDS
from seidra.auth.usage import prune_usage
from seidra.config import Settings
from seidra.database.base import Database
from seidra.database.queries import queries
from seidra.exchange.exports import prune_exports
from seidra.exchange.work import ImportWork, expire_imports
from seidra.files.base import Files
from seidra.jobs import chores as job_chores
from seidra.jobs.queue import TURN_SECONDS
from seidra.library.hand_over import HandOverWork
from seidra.media import chores as media_chores
from seidra.values import timestamp, timestamp_in
from seidra.web.repeats import KEPT_SECONDS

_BATCH = 500
"""Rows that one transaction of a purge deletes: about 40 ms with indexes and cascades."""

_BUSY_SECONDS = 5.0
"""How often housekeeping has its turn while jobs keep coming."""

_IMPORT_SECONDS = 2.0
"""For how long imports are worked on before anything else has its turn."""

_HAND_OVER_SECONDS = 1.0
"""Likewise for what is handed over."""

_HOURLY_SECONDS = 3600.0
_EVENT_SECONDS = 60.0


class Housekeeper:
    """Runs the chores when the worker is idle, and every few seconds when it is not."""

    def __init__(self, database: Database, files: Files, settings: Settings) -> None:
        self._database = database
        self._files = files
        self._settings = settings
        self._gone = job_chores.GoneEngines()
        self._imports = ImportWork(database, files, settings)
        self._hand_overs = HandOverWork(database)
        self._last_run = self._last_temporary = self._last_hourly = self._last_events = -math.inf

    def run(self, idle: bool) -> bool:
        """One round, if it is time for one, and some work on imports and hand-overs; returns
        whether these have more."""
        more = self._imports.work(_IMPORT_SECONDS)
        more = self._hand_overs.work(_HAND_OVER_SECONDS) or more
        now = time.monotonic()
        if not idle and now - self._last_run < _BUSY_SECONDS:
            return more
        self._last_run = now
        if now - self._last_temporary > _HOURLY_SECONDS:
            # Each machine has its own.
            self._last_temporary = now
            keep_seconds = self._settings.keep_temporary_hours * 3600.0
            media_chores.discard_temporary(self._files, keep_seconds)
        with self._database.chores() as mine:
            if mine:
                self._do_chores(now)
        return more

    def _do_chores(self, now: float) -> None:
        """What one worker does for all of them."""
        media_chores.delete_files(self._database, self._files)
        purge_account(self._database)
        media_chores.purge_trash(self._database, self._settings.keep_trash_days)
        prune_exports(self._database)
        job_chores.prune_jobs(self._database, self._settings.keep_jobs_days)
        job_chores.redate_jobs(self._database, self._settings.job_lease_seconds)
        if now - self._last_hourly > _HOURLY_SECONDS:
            self._last_hourly = now
            with self._database.transaction() as tx:
                queries.users.sessions_prune(tx, now=timestamp())
                queries.users.password_links_prune(tx, now=timestamp())
                queries.api_keys.prune(tx, now=timestamp())
                queries.hand_overs.expire(tx, now=timestamp())
                queries.invitations.prune(tx, before=timestamp_in(-INVITATION_SECONDS))
                queries.share_links.prune(tx, now=timestamp())
                queries.idempotency.prune(tx, since=timestamp_in(-KEPT_SECONDS))
            prune_usage(self._database)
        if now - self._last_events > _EVENT_SECONDS:
            self._last_events = now
            job_chores.prune_events(self._database, self._settings.event_seconds)
            job_chores.prune_turns(self._database, TURN_SECONDS)
            self._gone.fail_jobs(self._database, now)
            expire_imports(self._database)
            self._database.fold_counters()


def purge_account(database: Database) -> None:
    """Remove one deleted account's things in batches, and then the account."""
    user_id = queries.users.next_deleted(database.connection)
    if user_id is None:
        return
    with database.transaction() as tx:
        queries.jobs.cancel_all(tx, user_id=user_id, now=timestamp())
    for purge_batch in (
        queries.import_pictures.purge_batch,
        queries.imports.purge_batch,
        queries.media.purge_batch,
        queries.trash.purge_batch,
        queries.jobs.purge_batch,
        queries.revisions.purge_batch,
        queries.personas.purge_batch,
    ):
        deleted = _BATCH
        while deleted == _BATCH:
            with database.transaction() as tx:
                deleted = purge_batch(tx, user_id=user_id, limit=_BATCH)
    with database.transaction() as tx:
        queries.users.purge(tx, id=user_id)

"""What a worker does between jobs: delete files, purge deleted accounts, drop what is over."""

from __future__ import annotations

import time

from seidra.config import Settings
from seidra.database.base import Database
from seidra.database.queries import queries
from seidra.jobs import chores
from seidra.jobs.results import live_claims, queue_cleanup
from seidra.media.storage import Storage
from seidra.values import timestamp

_BATCH = 500
"""Rows that one transaction of a purge deletes: about 40 ms with indexes and cascades."""

_BUSY_SECONDS = 5.0
"""How often housekeeping has its turn while jobs keep coming."""

_SESSION_SECONDS = 3600.0
_EVENT_SECONDS = 60.0


class Housekeeper:
    """Runs the chores when the worker is idle, and every few seconds when it is not."""

    def __init__(self, database: Database, storage: Storage, settings: Settings) -> None:
        self._database = database
        self._storage = storage
        self._keep_jobs_days = settings.keep_jobs_days
        self._lease_seconds = settings.job_lease_seconds
        self._keep_temporary_seconds = settings.keep_temporary_hours * 3600.0
        self._event_seconds = settings.event_seconds
        self._last_run = 0.0
        self._last_sessions = 0.0
        self._last_events = 0.0
        self._swept = False

    def run(self, idle: bool) -> None:
        """One round, if it is time for one."""
        now = time.monotonic()
        if not idle and now - self._last_run < _BUSY_SECONDS:
            return
        self._last_run = now
        if not self._swept:
            self._storage.sweep_temporary(lambda: live_claims(self._database))
            self._swept = True
        self._delete_files()
        self._purge_account()
        if self._keep_jobs_days:
            chores.prune_jobs(self._database, self._keep_jobs_days)
        chores.redate_jobs(self._database, self._lease_seconds)
        if now - self._last_sessions > _SESSION_SECONDS:
            self._last_sessions = now
            with self._database.transaction() as tx:
                queries.users.sessions_prune(tx, now=timestamp())
            self._prune_temporary()
        if now - self._last_events > _EVENT_SECONDS:
            self._last_events = now
            chores.prune_events(self._database, self._event_seconds)

    def _delete_files(self) -> None:
        """Unlink the files of deleted items; the queue's row goes after them: a crash repeats, and
        forgets nothing."""
        for row in queries.media.deletions(self._database.connection, limit=_BATCH):
            media_id = row["media_id"]
            with self._database.transaction() as tx:
                # Inside the write lock, where no finishing job can give the same id its files.
                if queries.media.exists(tx, id=media_id) is None:
                    self._storage.delete(media_id)
                queries.media.deletion_done(tx, media_id=media_id)

    def _prune_temporary(self) -> None:
        for path in self._storage.temporary(
            live_claims(self._database), self._keep_temporary_seconds
        ):
            self._storage.discard(path)

    def _purge_account(self) -> None:
        """Remove one deleted account's things in batches, and then the account."""
        user_id = queries.users.next_deleted(self._database.connection)
        if user_id is None:
            return
        with self._database.transaction() as tx:
            for row in queries.jobs.cancel_all(tx, user_id=user_id, now=timestamp()):
                queue_cleanup(tx, row["id"])
        for purge_batch in (
            queries.media.purge_batch,
            queries.jobs.purge_batch,
            queries.personas.purge_batch,
        ):
            deleted = _BATCH
            while deleted == _BATCH:
                with self._database.transaction() as tx:
                    deleted = purge_batch(tx, user_id=user_id, limit=_BATCH)
        with self._database.transaction() as tx:
            queries.users.purge(tx, id=user_id)

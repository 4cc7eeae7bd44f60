"""What has to be done about jobs now and then, whoever's they are; housekeeping says when."""

from __future__ import annotations

import math

from seidra.database.base import Database
from seidra.database.queries import queries
from seidra.jobs.presence import served_engines
from seidra.values import timestamp, timestamp_in

_BATCH = 500
"""Rows that one transaction deletes: a few hundredths of a second."""

_DAY = 86_400.0


def prune_jobs(database: Database, keep_days: int) -> None:
    """Delete one batch of the jobs that ended more than so many days ago; their media stay. 0 keeps
    all."""
    if not keep_days:
        return
    before = timestamp_in(-_DAY * keep_days)
    if queries.jobs.prunable(database.connection, before=before) is not None:
        with database.transaction() as tx:
            queries.jobs.prune(tx, before=before, limit=_BATCH)


def redate_jobs(database: Database, lease_seconds: float) -> None:
    """Bring back the jobs that were written while the clock was ahead, or they would wait until it
    gets there."""
    # No lease and no pause between attempts is longer; a live worker's heartbeat puts a wrong guess
    # right.
    horizon = timestamp_in(2 * max(lease_seconds, 60))
    if queries.jobs.misdated(database.connection, horizon=horizon) is not None:
        with database.transaction() as tx:
            leased_until = timestamp_in(lease_seconds)
            queries.jobs.redate(tx, horizon=horizon, now=timestamp(), leased_until=leased_until)


def prune_events(database: Database, keep_seconds: float) -> None:
    """Drop the changes of jobs that are older than a client may come back for."""
    deleted = _BATCH
    while deleted == _BATCH:
        with database.transaction() as tx:
            deleted = queries.events.prune(
                tx, before=timestamp_in(-keep_seconds), beyond=timestamp_in(60), limit=_BATCH
            )


def prune_turns(database: Database, keep_seconds: float) -> None:
    """Forget which account had how much of an engine before the time that counts."""
    with database.transaction() as tx:
        queries.engines.prune_turns(
            tx, before=timestamp_in(-keep_seconds)[:16], horizon=timestamp_in(60)
        )


GONE_SECONDS = 600.0
"""For how long no worker must have served an engine before the jobs that wait for it fail."""


class GoneEngines:
    """The engines that jobs wait for and no live worker serves, and since when this process has
    found them so: a worker that stops takes its row away, and its engine may be back in a
    second."""

    def __init__(self) -> None:
        self._missed: dict[str, float] = {}
        self._looked = -math.inf

    def fail_jobs(self, database: Database, now: float) -> None:
        """Look whether they are back; fail what waits for one that was away for ten minutes of the
        monotonic clock, of which `now` is the time."""
        if now - self._looked > GONE_SECONDS:
            # Another worker has kept house meanwhile, who may have seen them.
            self._missed = {}
        self._looked = now
        served = served_engines(database.connection)
        load = queries.engines.load(database.connection)
        waiting = {row["engine"] for row in load if row["waiting"]}
        self._missed = {name: self._missed.get(name, now) for name in waiting - served}
        for name, since in self._missed.items():
            if now - since >= GONE_SECONDS:
                _fail_gone(database, name)


def _fail_gone(database: Database, engine: str) -> None:
    failed = _BATCH
    while failed == _BATCH:
        with database.transaction() as tx:
            failed = queries.jobs.fail_gone(
                tx,
                engine=engine,
                error_message=f"No worker has served the engine {engine!r} for ten minutes.",
                now=timestamp(),
                limit=_BATCH,
            )

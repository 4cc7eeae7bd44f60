"""What has to be done about jobs now and then, whoever's they are; housekeeping says when."""

from __future__ import annotations

from seidra.database.base import Database
from seidra.database.queries import queries
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

"""What is done now and then about jobs: those that ended long ago go, and their events; those that
a wrong clock has dated come back."""

from __future__ import annotations

from seidra.database.base import Database
from seidra.database.queries import queries
from seidra.values import timestamp, timestamp_in

_BATCH = 500
"""Rows that one transaction deletes."""


def prune_jobs(database: Database, keep_days: int) -> None:
    """Delete one batch of the jobs that ended longer ago than that; their media stay. 0 keeps
    all."""
    if not keep_days:
        return
    before = timestamp_in(-86_400.0 * keep_days)
    if queries.jobs.prunable(database.connection, before=before) is not None:
        with database.transaction() as tx:
            queries.jobs.prune(tx, before=before, limit=_BATCH)


def redate_jobs(database: Database, lease_seconds: float) -> None:
    """Bring back the jobs that were written while the clock was ahead, or they would wait until it
    gets there."""
    # No lease and no pause between attempts is longer; a live worker's heartbeat puts a wrong
    # guess right.
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

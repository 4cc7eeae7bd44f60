"""A job's pictures: their ids, and what attempts may leave behind."""

from __future__ import annotations

import uuid

from seidra.database.base import Connection, Database
from seidra.database.queries import queries

MAX_IMAGES = 8
"""The most pictures that one job may have."""


def media_id(job_id: str, position: int) -> str:
    """The id of a job's picture: always the same, so that a second attempt overwrites and never
    adds."""
    return str(uuid.uuid5(uuid.UUID(job_id), str(position)))


def live_claims(database: Database) -> list[str]:
    """The claims whose temporary files somebody works on."""
    return [row["claim"] for row in queries.jobs.live_claims(database.connection)]


def queue_cleanup(tx: Connection, job_id: str, first: int = 0) -> None:
    """Queue for deletion the files that attempts may have left which the job, from that position
    on, does not have."""
    for position in range(first, MAX_IMAGES):
        queries.media.deletion_add(tx, media_id=media_id(job_id, position))

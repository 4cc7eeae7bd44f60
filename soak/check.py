"""What must hold of an instance at rest, whatever happened to its processes: each breach is one
sentence."""

from __future__ import annotations

import time
from collections.abc import Iterator, Set
from typing import Any

from seidra import folding
from seidra.config import Settings
from seidra.database.queries import queries
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.operations.media import MediaCheck
from seidra.start import search_texts
from seidra.values import from_json


def rows(database: SqliteDatabase, statement: str) -> list[tuple[Any, ...]]:
    """What a statement gives, as plain tuples."""
    return [tuple(row) for row in database.connection.execute(statement)]


def consistent(database: SqliteDatabase) -> Iterator[str]:
    """Breaches that no moment excuses, not even one right after a kill."""
    with database.snapshot():
        if (found := rows(database, "PRAGMA integrity_check")) != [("ok",)]:
            yield f"integrity_check: {found[:3]}"
        if found := rows(database, "PRAGMA foreign_key_check"):
            yield f"foreign_key_check: {found[:3]}"
        for name, wrong in dict(queries.operations.wrong_counts(database.connection)).items():
            if wrong:
                yield f"{wrong} counters of {name} differ from COUNT"
        yield from _tags(database)
    yield from search_texts.check_texts(database)


def _tags(database: SqliteDatabase) -> Iterator[str]:
    wanted = {
        (user_id, folding.fold(tag), persona_id)
        for persona_id, user_id, tags in rows(database, "SELECT id, user_id, tags FROM personas")
        for tag in from_json(tags)
    }
    if difference := wanted ^ set(
        rows(database, "SELECT user_id, tag_key, persona_id FROM persona_tags")
    ):
        yield f"persona_tags differ from the personas: {sorted(difference)[:4]}"


def wait_until_idle(database: SqliteDatabase, seconds: float) -> None:
    """Wait until no job and no file deletion is due any more. Raises TimeoutError.

    Files of attempts that were killed go when their announcements run out; `run_out` lets them.
    """
    deadline = time.monotonic() + seconds
    waiting = "SELECT COUNT(*) FROM generation_jobs WHERE completed_at IS NULL"
    while (
        left := rows(database, waiting)[0][0]
        + rows(database, "SELECT COUNT(*) FROM file_deletions WHERE due_at IS NULL")[0][0]
    ) > 0:
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"{left} jobs and file deletions are still not done after {seconds:.0f} s"
            )
        time.sleep(0.05)


def run_out(database: SqliteDatabase) -> None:
    """Let it be an hour later for the files that were announced and that no row came to name. No
    job may be at work."""
    with database.transaction() as tx:
        tx.execute("UPDATE file_deletions SET due_at = NULL")


def at_rest(
    database: SqliteDatabase,
    settings: Settings,
    deleted: Set[str] = frozenset(),
    perhaps: Set[str] = frozenset(),
) -> Iterator[str]:
    """Breaches once every job has ended; of `deleted` jobs a client has deleted the picture since,
    or `perhaps`."""
    yield from consistent(database)
    jobs = rows(
        database,
        """
        SELECT j.id, j.status, j.attempts, COUNT(m.id) FROM generation_jobs AS j
        LEFT JOIN media_items AS m ON m.job_id = j.id GROUP BY j.id
    """,
    )
    for id, status, attempts, pictures in jobs:
        right = {int(status == "completed" and id not in deleted)} | (
            {0} if id in perhaps else set()
        )
        if pictures not in right:
            yield f"job {id} is {status} and has {pictures} pictures"
        if status == "failed" and attempts < settings.job_max_attempts:
            yield f"job {id} failed after {attempts} attempts"
    if strays := rows(database, "SELECT id FROM media_items WHERE job_id IS NULL"):
        yield f"media without a job: {strays[:3]}"
    for finding in MediaCheck(settings, database).find(deep=True):
        yield f"media check: {finding.kind}: {finding.sentence}"

"""How much each account has of the engines, and makes there, by the day in UTC: figures alone."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

from seidra.database.base import Connection, Database, required_row
from seidra.database.queries import queries
from seidra.values import timestamp, timestamp_in

KEPT_DAYS = 400
"""For how many days it is known."""


def today() -> str:
    """The day, as `2026-01-31`."""
    return timestamp()[:10]


def end_of_day() -> datetime:
    """When the day ends."""
    return datetime.combine(datetime.now(UTC).date() + timedelta(days=1), time(), UTC)


def add_usage(
    tx: Connection, user_id: int, *, seconds: float, pictures: int = 0, size: int = 0
) -> None:
    """Add to what an account had today: seconds of engines, pictures that it made, and their
    bytes."""
    queries.usage.add(
        tx, user_id=user_id, day=today(), engine_seconds=seconds, pictures=pictures, bytes=size
    )


def usage_today(connection: Connection, user_id: int) -> dict[str, Any]:
    """What an account had today: {engine_seconds, pictures, bytes}."""
    row = queries.usage.of_day(connection, user_id=user_id, day=today())
    return dict(row) if row else {"engine_seconds": 0.0, "pictures": 0, "bytes": 0}


def usage_now(connection: Connection, user_id: int) -> dict[str, Any]:
    """The same, until when the day goes, and what the account has stored in all."""
    stored = required_row(queries.usage.stored(connection, user_id=user_id))
    return usage_today(connection, user_id) | {
        "until": timestamp(end_of_day()),
        "total_pictures": stored["pictures"],
        "total_bytes": stored["bytes"],
    }


def prune_usage(database: Database) -> None:
    """Forget what is older than KEPT_DAYS."""
    with database.transaction() as tx:
        queries.usage.prune(tx, before=timestamp_in(-86_400.0 * KEPT_DAYS)[:10])

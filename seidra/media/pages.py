"""Pages of a user's media, and how many there are in all."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from seidra import folding
from seidra.database.base import Connection, Row, required_row
from seidra.database.queries import queries
from seidra.values import to_json


def media_page(
    connection: Connection, user_id: int, nsfw: bool, query: Mapping[str, Any]
) -> tuple[list[Row], int]:
    """The rows that a query (as MediaQuery loads it) asks for, newest first, and how many match
    it."""
    if is_filtered(query):
        return _matching_page(connection, user_id, nsfw, query)
    return _indexed_page(connection, user_id, nsfw, query)


def is_filtered(query: Mapping[str, Any]) -> bool:
    """Whether what a MediaQuery asks for has to be found, and is not read along an index."""
    filtered = "search" in query or query["tag"] or query["persona_id"] is not None
    return bool(filtered or query["date_from"] or query["date_to"] != "~")


def _indexed_page(
    connection: Connection, user_id: int, nsfw: bool, query: Mapping[str, Any]
) -> tuple[list[Row], int]:
    """A page read along an index, and the total from the counters."""
    favorites = query["favorites_only"]
    counts = required_row(queries.media.counts(connection, user_id=user_id, nsfw=nsfw))
    rows = queries.media.page(
        connection,
        which="favorites" if favorites else "all" if nsfw else "safe",
        user_id=user_id,
        nsfw=nsfw,
        limit=query["limit"],
        offset=query["offset"],
    )
    return rows, counts["favorites" if favorites else "total"]


def _matching_page(
    connection: Connection, user_id: int, nsfw: bool, query: Mapping[str, Any]
) -> tuple[list[Row], int]:
    """A page of what filters match: all matching ids once, for page and total both."""
    ids = matching_items(connection, user_id, nsfw, query)
    page = ids[query["offset"] : query["offset"] + query["limit"]]
    rows = queries.search.media_page(connection, ids=to_json(page), user_id=user_id)
    return rows, len(ids)


def matching_items(
    connection: Connection, user_id: int, nsfw: bool, query: Mapping[str, Any]
) -> list[str]:
    """The ids of all that the filters of a MediaQuery match, newest first."""
    words = folding.words(query.get("search", "")) or [""]
    tags = sorted({folding.fold(tag) for tag in query["tag"]})
    filters = {
        name: query[name] for name in ("date_from", "date_to", "favorites_only", "persona_id")
    }
    filters |= {"user_id": user_id, "nsfw": nsfw}
    filters |= {f"tag_{n + 1}": tags[n] if n < len(tags) else None for n in range(8)}
    by_persona = (
        queries.media.matching if query["persona_id"] is None else queries.media.matching_persona
    )
    statement = queries.media.matching_tagged if tags else by_persona

    def matching(word: str, texts: bool) -> list[Row]:
        return statement(connection, **filters, pattern=folding.like(word), texts=texts)

    return folding.matching_all(words, matching)


def media_spread(connection: Connection, user_id: int, nsfw: bool) -> dict[str, Any]:
    """How a user's media are spread over personas, of the hundred with the most, and over the last
    thirty days, in UTC; a name that several personas have counts for them together."""
    now = datetime.now(UTC)
    first, recent = (f"{now - timedelta(days=days):%Y-%m-%d}" for days in (29, 6))
    rows = queries.media.by_date(connection, user_id=user_id, nsfw=nsfw, since=first)
    by_date = {row["day"]: row["n"] for row in rows}
    by_persona: dict[str, int] = {}
    for row in queries.media.by_persona(connection, user_id=user_id, nsfw=nsfw):
        if row["n"]:
            by_persona[row["name"]] = by_persona.get(row["name"], 0) + row["n"]
    return {
        "recent_count": sum(n for day, n in by_date.items() if day >= recent),
        "by_persona": by_persona,
        "by_date": by_date,
    }

"""The tags of a user's personas and media, as one vocabulary."""

from __future__ import annotations

from typing import Any

from seidra.database.base import Connection
from seidra.database.queries import queries
from seidra.library.facets import TagCounts
from seidra.values import from_json


def list_tags(
    connection: Connection, user_id: int, nsfw: bool, prefix: str, limit: int
) -> list[dict[str, Any]]:
    """The tags that begin with a prefix, the most used first, with how many personas and media have
    each."""
    all_, personas, media = TagCounts(), TagCounts(), TagCounts()
    for counts, rows in (
        (personas, queries.personas.facets(connection, user_id=user_id, nsfw=nsfw, favorite=None)),
        (media, queries.media.facets(connection, user_id=user_id, nsfw=nsfw, favorites_only=False)),
    ):
        for row in rows:
            tags = from_json(row["tags"])
            counts.add(tags, row["n"])
            all_.add(tags, row["n"])
    return [
        {
            "tag": found["tag"],
            "personas": personas.count(found["tag"]),
            "media": media.count(found["tag"]),
        }
        for found in all_.top(prefix, limit)
    ]

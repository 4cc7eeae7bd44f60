"""A page of the list of personas, and how many there are in all.

Each order is read along an index of its own; the total comes from counters. What a search or tags
match is found first.
"""

from __future__ import annotations

from typing import Any

from seidra.database.base import Connection, Row
from seidra.database.queries import queries
from seidra.personas import search


def read_page(
    connection: Connection, user_id: int, nsfw: bool, query: dict[str, Any]
) -> tuple[list[Row], int]:
    """The rows of the page that a PersonaQuery asks for, and the total. In one snapshot or
    transaction."""
    if search.is_filtered(query):
        return search.found_page(connection, user_id, nsfw, query)
    rows = queries.personas.page(
        connection,
        which="favorites" if query["is_favorite"] else "all" if nsfw else "safe",
        order=query["sort"],
        user_id=user_id,
        nsfw=nsfw,
        limit=query["limit"],
        offset=query["offset"],
    )
    total = queries.personas.count(
        connection, user_id=user_id, nsfw=nsfw, favorite=query["is_favorite"]
    )
    return rows, total

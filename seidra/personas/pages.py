"""A page of the list of personas, and how many there are in all: a user's own, those that others
share, or both.

Each order is read along an index of its own; the total comes from counters. What a search or tags
match is found first.
"""

from __future__ import annotations

from typing import Any, Literal, cast

from seidra.database.base import Connection, Row
from seidra.database.queries import queries
from seidra.personas import search
from seidra.web.fields import page_reach


def read_page(
    connection: Connection, user_id: int, nsfw: bool, query: dict[str, Any]
) -> tuple[list[Row], int]:
    """The rows of the page that a PersonaQuery asks for, and the total. In one snapshot or
    transaction."""
    scope = search.scope_of(query)
    if search.is_filtered(query):
        return search.found_page(connection, user_id, nsfw, query)
    if scope != "mine":
        return _page_with_shared(connection, user_id, nsfw, query, scope == "all")
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


def _page_with_shared(
    connection: Connection, user_id: int, nsfw: bool, query: dict[str, Any], mine: bool
) -> tuple[list[Row], int]:
    """The same of what others share, or of that and the user's own. No other's is a favourite."""
    if query["is_favorite"]:
        if not mine:
            return [], 0
        return read_page(connection, user_id, nsfw, {**query, "scope": "mine"})
    page = {
        "user_id": user_id,
        "nsfw": nsfw,
        "limit": query["limit"],
        "offset": query["offset"],
    }
    total = queries.personas.count_shared(connection, user_id=user_id, nsfw=nsfw)
    if not mine:
        rows = queries.personas.page(connection, which="shared", order=query["sort"], **page)
        return rows, total
    rows = queries.personas.page_of_all(
        connection,
        by=cast(_Key, query["sort"].removeprefix("-")),
        direction="down" if query["sort"].startswith("-") else "up",
        reach=page_reach(query),
        **page,
    )
    total += queries.personas.count(connection, user_id=user_id, nsfw=nsfw, favorite=None)
    return rows, total


_Key = Literal["created_at", "updated_at", "name"]

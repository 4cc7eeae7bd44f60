"""A page of the list of personas, and how many there are in all.

Its cards come as bytes, a line each, as the statements answer them. Each order is read along an
index of its own, from the front, or far down it from where that is nearer; the total comes from
counters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from seidra.database.base import Connection, Row
from seidra.database.queries import queries
from seidra.personas import search
from seidra.values import from_json
from seidra.web.services import services

FAR = 1000
"""Up to this offset a page is read from the front at once: passing over so many index entries takes
25 us."""

_EVER = "~"
"""After every timestamp, as text."""

_totals = search.Totals()
_NAMES = {
    "created_at": "created_asc",
    "-created_at": "created_desc",
    "updated_at": "updated_asc",
    "-updated_at": "updated_desc",
    "name": "name_asc",
    "-name": "name_desc",
}
_ALL: dict[str, Callable[..., Row]] = {
    sort: getattr(queries.personas, f"page_{name}") for sort, name in _NAMES.items()
}
_SAFE = _ALL | {
    "created_at": queries.personas.page_created_asc_safe,
    "-created_at": queries.personas.page_created_desc_safe,
}
_FAVORITE = {
    sort: getattr(queries.personas, f"page_favorites_{name}") for sort, name in _NAMES.items()
}


def read(
    connection: Connection, user_id: int, nsfw: bool, query: dict[str, Any]
) -> tuple[bytes, int]:
    """The page that a PersonaQuery asks for, and the total."""
    if "search" in query or query["tag"] or query["is_favorite"] is False:
        return _matching(connection, user_id, nsfw, query)
    if query["offset"] > FAR:
        return _far(connection, user_id, nsfw, query)
    return _near(connection, user_id, nsfw, query)


def _near(
    connection: Connection, user_id: int, nsfw: bool, query: dict[str, Any], before: str = _EVER
) -> tuple[bytes, int]:
    """Read along the index, and the total with it: one statement. `before` holds for the order
    -created_at alone."""
    pages = _FAVORITE if query["is_favorite"] else _ALL if nsfw else _SAFE
    page, limit, offset = pages[query["sort"]], query["limit"], query["offset"]
    row = page(connection, user_id=user_id, nsfw=nsfw, limit=limit, offset=offset, before=before)
    return row["cards"] or b"", row["total"]


def _far(
    connection: Connection, user_id: int, nsfw: bool, query: dict[str, Any]
) -> tuple[bytes, int]:
    """Read from the ten days on that hold the offset; in the orders that have no such counts, from
    the nearer end."""
    sort, offset, before = query["sort"], query["offset"], _EVER
    with services().database.snapshot():
        total = queries.personas.count(
            connection, user_id=user_id, nsfw=nsfw, favorite=query["is_favorite"]
        )
        if offset >= total:
            return b"", total
        limit = min(query["limit"], total - offset)
        counted = sort.endswith("created_at") and not query["is_favorite"]
        turned = sort == "created_at" if counted else offset > total // 2
        if turned:
            sort, offset = sort[1:] if sort.startswith("-") else f"-{sort}", total - offset - limit
        if counted:
            before, offset = _span(connection, user_id, nsfw, offset)
        cards, _ = _near(
            connection,
            user_id,
            nsfw,
            query | {"sort": sort, "limit": limit, "offset": offset},
            before,
        )
    return b"\n".join(cards.split(b"\n")[::-1]) if turned else cards, total


def _span(connection: Connection, user_id: int, nsfw: bool, offset: int) -> tuple[str, int]:
    """The end of the ten days that hold this offset, newest first, and how much of the offset lies
    within them."""
    for span, number in from_json(queries.personas.spans(connection, user_id=user_id, nsfw=nsfw)):
        if offset < number:
            return f"{span}~", offset
        offset -= number
    return _EVER, offset


def _matching(
    connection: Connection, user_id: int, nsfw: bool, query: dict[str, Any]
) -> tuple[bytes, int]:
    """What a search or tags match."""
    with services().database.snapshot():
        ids, total = search.page(connection, _totals, user_id, nsfw, query)
        cards = [queries.personas.card(connection, id=id, nsfw=nsfw) for id in ids]
    # A text without its persona, as only damage leaves it (`flask search check`), must not break
    # the page.
    return b"\n".join(card for card in cards if card is not None), total

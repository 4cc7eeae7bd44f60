"""What a filter leaves, in figures: how many there are, and which tags they have.

The database groups rows that are alike, so that each list of tags is read once; tags are told apart
as lists filter by them, and shown in their most used spelling.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from seidra import folding
from seidra.database.base import Connection, Row
from seidra.database.queries import queries
from seidra.media.pages import is_filtered, matching_items, seen_matching
from seidra.personas import search
from seidra.values import from_json, to_json


class TagCounts:
    """How many things have each tag, over whatever was added."""

    def __init__(self) -> None:
        self._spellings: dict[str, Counter[str]] = {}
        self._keys: dict[str, str] = {}

    def add(self, tags: Iterable[str], n: int) -> None:
        """Count `n` things that have these tags."""
        for tag in tags:
            # Folding is most of the work, and the same tags come again and again.
            key = self._keys.get(tag)
            if key is None:
                key = self._keys[tag] = folding.fold(tag)
            self._spellings.setdefault(key, Counter())[tag] += n

    def count(self, tag: str) -> int:
        """How many things have a tag, in whatever spelling."""
        spellings = self._spellings.get(folding.fold(tag))
        return spellings.total() if spellings else 0

    def top(self, prefix: str, limit: int) -> list[dict[str, Any]]:
        """The tags that begin with a prefix, the most used first."""
        start = folding.fold(prefix)
        found = [(key, each) for key, each in self._spellings.items() if key.startswith(start)]
        found.sort(key=lambda pair: (-pair[1].total(), pair[0]))
        return [{"tag": _usual(each), "count": each.total()} for _, each in found[:limit]]


def _usual(spellings: Counter[str]) -> str:
    """The most used spelling; of several the first in order, so that it stays."""
    return min(spellings, key=lambda tag: (-spellings[tag], tag))


def persona_facets(
    connection: Connection, user_id: int, nsfw: bool, query: Mapping[str, Any]
) -> dict[str, Any]:
    """The figures of the personas that a query (as PersonaFacetsQuery loads it) matches."""
    scope = search.scope_of(query)
    if search.is_filtered(query) or scope == "shared":
        ids = search.matching_ids(connection, user_id, nsfw, query)
        rows = queries.search.persona_facets(connection, ids=ids, user_id=user_id, nsfw=nsfw)
    else:
        rows = queries.personas.facets(
            connection, user_id=user_id, nsfw=nsfw, favorite=query["is_favorite"]
        )
        if scope == "all":
            ids = search.shared_ids(connection, user_id, nsfw, query)
            rows += queries.search.persona_facets(connection, ids=ids, user_id=user_id, nsfw=nsfw)
    return _figures(rows, query)


def media_facets(
    connection: Connection, user_id: int, nsfw: bool, query: Mapping[str, Any]
) -> dict[str, Any]:
    """The figures of the media items that a query (as MediaFacetsQuery loads it) matches. Others'
    tags count where they are given."""
    if query["scope"] != "mine":
        return _seen_facets(connection, user_id, nsfw, query)
    return _figures(_own_media_rows(connection, user_id, nsfw, query), query)


def _own_media_rows(
    connection: Connection, user_id: int, nsfw: bool, query: Mapping[str, Any]
) -> list[Row]:
    if is_filtered(query):
        ids = to_json(matching_items(connection, user_id, nsfw, query))
        return queries.search.media_facets(connection, ids=ids, user_id=user_id, nsfw=nsfw)
    return queries.media.facets(
        connection, user_id=user_id, nsfw=nsfw, favorites_only=query["favorites_only"]
    )


def _seen_facets(
    connection: Connection, user_id: int, nsfw: bool, query: Mapping[str, Any]
) -> dict[str, Any]:
    shared = seen_matching(connection, user_id, nsfw, {**query, "scope": "shared"})
    alike = Counter((row["tags"], bool(row["is_nsfw"])) for row in shared)
    rows: list[Mapping[str, Any] | Row] = [
        {"tags": tags, "is_favorite": False, "is_nsfw": is_nsfw, "n": n}
        for (tags, is_nsfw), n in alike.items()
    ]
    if query["scope"] == "all":
        rows += _own_media_rows(connection, user_id, nsfw, query)
    return _figures(rows, query)


def _figures(rows: Sequence[Mapping[str, Any] | Row], query: Mapping[str, Any]) -> dict[str, Any]:
    counts = TagCounts()
    figures = dict.fromkeys(("total", "favorites", "nsfw", "untagged"), 0)
    for row in rows:
        tags, n = from_json(row["tags"]), row["n"]
        counts.add(tags, n)
        figures["total"] += n
        figures["favorites"] += n if row["is_favorite"] else 0
        figures["nsfw"] += n if row["is_nsfw"] else 0
        figures["untagged"] += 0 if tags else n
    return {**figures, "tags": counts.top(query["prefix"], query["tag_limit"])}

"""Which personas a search and tags match, and what search looks into.

Words of three characters and more are found in the full-text index, where a phrase of trigrams is exactly a
substring; shorter ones by a scan of the owner's texts. Each filter answers ids, oldest first, and a page is cut from
their intersection. A search of the index alone, in the order of creation, does not even read all ids: it counts
and reads its page (100,000 personas, a word in 37 % of them: 7 ms instead of 20).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from seidra import search
from seidra.database.connect import Connection, Row
from seidra.queries import queries
from seidra.values import from_json

_q = queries.personas
_BATCH = 1000
_FEW = 1000
"""Up to so many matches, reading all ids is faster than the index's own descending order (0.2 ms against 0.7)."""


def put(tx: Connection, user_id: int, persona_id: int, values: dict[str, Any]) -> None:
    """Write what search looks into for a persona; `values` are its fields."""
    _q.search_put(
        tx, user_id=user_id, id=persona_id, is_nsfw=bool(values["is_nsfw"]), is_favorite=bool(values["is_favorite"]),
        search_text=_text(values),
    )  # fmt: skip
    _q.search_merge(tx)


def page(connection: Connection, user_id: int, nsfw: bool, query: dict[str, Any]) -> tuple[list[int], int]:
    """The ids of a page of what a PersonaQuery matches, and how many match in all."""
    words = search.words(query.get("search", ""))
    indexed = [word for word in words if len(word) >= search.TRIGRAM]
    scanned = [word for word in words if len(word) < search.TRIGRAM]
    if not words and not query["tag"]:
        scanned = [""]  # The query folds to nothing, which everything contains.
    sort, limit, offset = query["sort"], query["limit"], query["offset"]
    expression = _expression(indexed, nsfw, query["is_favorite"])
    if not scanned and not query["tag"] and sort.endswith("created_at"):
        total = _q.search_count(connection, user_id=user_id, expression=expression)
        if total > _FEW:
            read = _q.search_newest if sort.startswith("-") else _q.search_oldest
            rows = read(connection, user_id=user_id, expression=expression, limit=limit, offset=offset)
            return [row["id"] for row in rows], total
    found = []
    if indexed:
        found.append(_q.matching_indexed(connection, user_id=user_id, expression=expression))
    filters = {"user_id": user_id, "nsfw": nsfw, "favorite": query["is_favorite"]}
    if query["tag"]:
        found.append(_q.matching_tagged(connection, **filters, **_tags(query["tag"])))
    found += [_q.matching_scanned(connection, **filters, word=word) for word in scanned]
    ids = _sorted(connection, user_id, _intersection(found), sort)
    return ids[offset : offset + limit], len(ids)


def _expression(words: list[str], nsfw: bool, favorite: bool | None) -> str:
    """The FTS5 expression: every word as a phrase, and the flags. Quotes make operators plain.

    The flags that most personas have are asked for by their opposites, whose lists are short (a word in 37 %: 6.4 ms
    instead of 7.6).
    """
    parts = [f"search_text : {_quoted(word)}" for word in words]
    if favorite:
        parts.append('favor : "fav"')
    expression = " AND ".join(parts)
    if not nsfw:
        expression = f'({expression}) NOT safety : "nsf"'
    return f'({expression}) NOT favor : "fav"' if favorite is False else expression


def _quoted(word: str) -> str:
    return '"' + word.replace('"', '""') + '"'


def _tags(tags: list[str]) -> dict[str, Any]:
    keys = sorted({search.fold(tag) for tag in tags})
    return {"tag_count": len(keys), **{f"tag_{n + 1}": keys[n] if n < len(keys) else None for n in range(8)}}


def _intersection(found: list[str]) -> list[int]:
    """The ids that all answers (JSON arrays) have, in the order of the first: oldest first."""
    first: list[int]
    first, *others = (from_json(ids) for ids in found)
    for other in others:
        kept = set(other)
        first = [id for id in first if id in kept]
    return first


def _sorted(connection: Connection, user_id: int, ids: list[int], sort: str) -> list[int]:
    """The ids, which come oldest first, in the order asked."""
    if sort.endswith("updated_at"):
        kept = set(ids)
        ids = [id for id in from_json(_q.ids_by_updated(connection, user_id=user_id)) if id in kept]
    elif sort.endswith("name"):
        kept = set(ids)
        ids = [id for id in from_json(_q.ids_by_name(connection, user_id=user_id)) if id in kept]
    return ids[::-1] if sort.startswith("-") else ids


# ------------------------------------------------------------------------------------------------ upkeep


def check(tx: Connection) -> list[str]:
    """What is wrong with the texts and their index, a sentence each; nothing is the answer to hope for."""
    wrong = []
    stale = sum(1 for row in _sources(tx) if _differs(row))
    if stale:
        wrong.append(f"{stale} personas have a search text that is not theirs.")
    if strays := _q.search_strays(tx):
        wrong.append(f"{strays} search texts belong to no persona.")
    try:
        _q.search_check(tx)
    except sqlite3.DatabaseError:
        wrong.append("The index differs from its table.")
    return wrong


def rebuild(tx: Connection) -> int:
    """Make every text and the index again from the personas; returns how many texts there are."""
    count = 0
    # First, so that the triggers below find in the index what they are to take out of it.
    _q.search_rebuild(tx)
    for row in _sources(tx):
        count += 1
        if _differs(row):
            put(tx, row["user_id"], row["id"], _values(row))
    _q.search_drop_strays(tx)
    return count


def _sources(tx: Connection) -> Iterator[Row]:
    after = 0
    while rows := _q.search_sources(tx, after=after, limit=_BATCH):
        yield from rows
        after = rows[-1]["id"]


def _differs(row: Row) -> bool:
    flags = ("nsf" if row["is_nsfw"] else "sfw", "fav" if row["is_favorite"] else "oth")
    return row["search_text"] != _text(_values(row)) or (row["safety"], row["favor"]) != flags


def _values(row: Row) -> dict[str, Any]:
    return {**dict(row), "tags": from_json(row["tags"])}


def _text(values: dict[str, Any]) -> str:
    return search.document([values["name"], values["description"], values["style_prompt"], *values["tags"]])

"""Which personas a search and tags match, and what search looks into.

Words of three characters and more are found in the full-text index, where a phrase of trigrams is
exactly a substring, and in the few texts that wait to come into it; shorter ones by a scan of the
owner's texts. Each filter answers ids, oldest first, and a page is cut from their intersection. A
search of the index alone, in the order of creation, does not even read all ids: it counts and reads
its page (100,000 personas, a word in 37 % of them: 10 ms instead of 25, and 0.3 once it has been
counted).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Any, NamedTuple

from seidra import folding
from seidra.database.base import Connection, Row
from seidra.database.queries import queries
from seidra.database.sqlite.connect import DatabaseError
from seidra.values import from_json

_BATCH = 1000
_FEW = 1000
"""So many ids are read at once, for a page to be cut from, rather than a page of them."""
_TOTALS = 1000
"""So many totals are remembered, in half a megabyte at most."""


class FoundBy(NamedTuple):
    """What a persona is found by: its search text, and the keys of its tags."""

    text: str
    tag_keys: list[str]


def found_by(values: dict[str, Any]) -> FoundBy:
    """What a persona with these fields is found by."""
    return FoundBy(_text(values), sorted({folding.fold(tag) for tag in values["tags"]}))


def put(tx: Connection, user_id: int, persona_id: int, values: dict[str, Any], text: str) -> None:
    """Write what search looks into for a persona; `values` are its fields."""
    queries.personas.search_put(
        tx,
        user_id=user_id,
        id=persona_id,
        is_nsfw=bool(values["is_nsfw"]),
        is_favorite=bool(values["is_favorite"]),
        search_text=text,
    )


class Totals:
    """What searches have counted in the index, each beside the version of it at which it was
    counted.

    A total is used again while its owner's version in the database is the same; the further pages
    of a search, which ask for it again, then cost a page alone.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, str], tuple[int, int]] = {}

    def get(self, user_id: int, expression: str, version: int, count: Callable[[], int]) -> int:
        """How much an expression matches of one owner's texts in the index, which is at
        `version`."""
        known = self._known.get((user_id, expression))
        if known is None or known[0] != version:
            if known is None and len(self._known) >= _TOTALS:
                self._known.clear()
            known = self._known[user_id, expression] = version, count()
        return known[1]


def page(
    connection: Connection, totals: Totals, user_id: int, nsfw: bool, query: dict[str, Any]
) -> tuple[list[int], int]:
    """The ids of a page of what a PersonaQuery matches, and how many match in all. In one snapshot
    or transaction."""
    words = folding.words(query.get("search", ""))
    indexed = [word for word in words if len(word) >= folding.TRIGRAM]
    scanned = [word for word in words if len(word) < folding.TRIGRAM]
    if not words and not query["tag"]:
        scanned = [""]  # The query folds to nothing, which everything contains.
    filters = {"user_id": user_id, "nsfw": nsfw, "favorite": query["is_favorite"]}
    sort, limit, offset = query["sort"], query["limit"], query["offset"]
    found = []
    if indexed:
        index = _Index(
            connection, totals, user_id, _expression(indexed, nsfw, query["is_favorite"])
        )
        waiting = _waiting(connection, indexed, filters)
        if not scanned and not query["tag"] and sort.endswith("created_at") and index.count > _FEW:
            newest = sort.startswith("-")
            read = index.newest if newest else index.oldest
            return _with_waiting(read, waiting, limit, offset, newest=newest), index.count + len(
                waiting
            )
        found.append(sorted(index.all() + waiting))
    if query["tag"]:
        found.append(
            from_json(
                queries.personas.matching_tagged(connection, **filters, **_tags(query["tag"]))
            )
        )
    found += [
        from_json(queries.personas.matching_scanned(connection, **filters, word=word))
        for word in scanned
    ]
    ids = _sorted(connection, user_id, _intersection(found), sort)
    return ids[offset : offset + limit], len(ids)


class _Index:
    """What an expression matches of one owner's texts in the index."""

    def __init__(
        self, connection: Connection, totals: Totals, user_id: int, expression: str
    ) -> None:
        self._connection = connection
        self._totals = totals
        self._given: dict[str, Any] = {"user_id": user_id, "expression": expression}

    @cached_property
    def count(self) -> int:
        """How many."""
        version = queries.personas.search_version(self._connection, user_id=self._given["user_id"])
        count = partial(queries.personas.search_count, self._connection, **self._given)
        return self._totals.get(**self._given, version=version, count=count)

    def all(self) -> list[int]:
        """Their ids, oldest first."""
        return _ids(queries.personas.matching_indexed(self._connection, **self._given))

    def oldest(self, limit: int, offset: int, from_id: int = 0) -> list[int]:
        """A page of them, oldest first, from an id on."""
        return _ids(
            queries.personas.search_oldest(
                self._connection, **self._given, from_id=from_id, limit=limit, offset=offset
            )
        )

    def newest(self, limit: int, offset: int) -> list[int]:
        """A page of them, newest first.

        Backwards the index is slow to begin (2.9 ms instead of 0.2): so the end of the range is
        read forwards, twice as many personas as should hold the page.
        """
        end = offset + limit
        if end <= _FEW:
            user_id = self._given["user_id"]
            owned = queries.personas.count(
                self._connection, user_id=user_id, nsfw=True, favorite=None
            )
            from_id = queries.personas.id_at(
                self._connection, user_id=user_id, offset=2 * end * owned // self.count
            )
            ids = self.oldest(-1, 0, from_id or 0)
            if len(ids) >= end:
                return ids[::-1][offset:end]
        return _ids(
            queries.personas.search_newest(
                self._connection, **self._given, limit=limit, offset=offset
            )
        )


def _ids(found: str) -> list[int]:
    ids: list[int] = from_json(found)
    return ids


def _waiting(connection: Connection, words: list[str], filters: dict[str, Any]) -> list[int]:
    """The ids, oldest first, of the matching texts that wait to come into the index."""
    texts = queries.personas.search_waiting(connection, **filters)
    return [row["id"] for row in texts if all(word in row["search_text"] for word in words)]


def _with_waiting(
    read: Callable[[int, int], list[int]],
    waiting: list[int],
    limit: int,
    offset: int,
    *,
    newest: bool,
) -> list[int]:
    """A page, by limit and offset, of the ids that `read` gives pages of and of those that wait, in
    one order."""
    start = max(offset - len(waiting), 0)
    ids = read(limit + len(waiting), start)
    if start and not ids:
        return []
    # Those that lie before what was read have their places there too.
    after = [id for id in waiting if not start or (id < ids[0]) == newest]
    skipped = offset - start - (len(waiting) - len(after))
    return sorted(ids + after, reverse=newest)[skipped : skipped + limit]


def _expression(words: list[str], nsfw: bool, favorite: bool | None) -> str:
    """The FTS5 expression: every word as a phrase, and the marks. Quotes make operators plain.

    With each word END finds the fences behind the owner's texts, where FTS5 stops: it looks for the
    next document that has all of them, and hands none up before, so one fence for the whole would
    not do.
    """
    marks = ['"FAV"'] if favorite else []
    expression = " AND ".join(f'({each} OR "END")' for each in [*map(_quoted, words), *marks])
    if not nsfw:
        expression = f'({expression}) NOT "NSF"'
    return f'({expression}) NOT "FAV"' if favorite is False else expression


def _quoted(word: str) -> str:
    return '"' + word.replace('"', '""') + '"'


def _tags(tags: list[str]) -> dict[str, Any]:
    keys = sorted({folding.fold(tag) for tag in tags})
    return {
        "tag_count": len(keys),
        **{f"tag_{n + 1}": keys[n] if n < len(keys) else None for n in range(8)},
    }


def _intersection(found: list[list[int]]) -> list[int]:
    """The ids that all answers have, in the order of the first: oldest first."""
    first, *others = found
    for other in others:
        kept = set(other)
        first = [id for id in first if id in kept]
    return first


def _sorted(connection: Connection, user_id: int, ids: list[int], sort: str) -> list[int]:
    """The ids, which come oldest first, in the order asked."""
    if sort.endswith("updated_at"):
        kept = set(ids)
        ids = [
            id
            for id in from_json(queries.personas.ids_by_updated(connection, user_id=user_id))
            if id in kept
        ]
    elif sort.endswith("name"):
        kept = set(ids)
        ids = [
            id
            for id in from_json(queries.personas.ids_by_name(connection, user_id=user_id))
            if id in kept
        ]
    return ids[::-1] if sort.startswith("-") else ids


# ------------------------------------------------------------------------------------------- upkeep


def check(tx: Connection) -> list[str]:
    """What is wrong with the texts and their index, a sentence each; nothing is the answer to hope
    for."""
    wrong = []
    stale = sum(1 for row in _sources(tx) if _differs(row))
    if stale:
        wrong.append(f"{stale} personas have a search text that is not theirs.")
    if strays := queries.personas.search_strays(tx):
        wrong.append(f"{strays} search texts belong to no persona.")
    try:
        queries.personas.search_check(tx)
    except DatabaseError:
        wrong.append("The index differs from its table.")
    return wrong


def rebuild(tx: Connection) -> int:
    """Make every text and the index again from the personas; returns how many texts there are."""
    count = 0
    # First, so that the triggers below find in the index what they are to take out of it.
    queries.personas.search_queue_clear(tx)
    queries.personas.search_rebuild(tx)
    queries.personas.search_optimize(tx)
    queries.personas.search_versions_renew(tx)
    for row in _sources(tx):
        count += 1
        if _differs(row):
            values = _values(row)
            put(tx, row["user_id"], row["id"], values, _text(values))
    queries.personas.search_drop_strays(tx)
    return count


def _sources(tx: Connection) -> Iterator[Row]:
    after = 0
    while rows := queries.personas.search_sources(tx, after=after, limit=_BATCH):
        yield from rows
        after = rows[-1]["id"]


def _differs(row: Row) -> bool:
    flags = ("nsf" if row["is_nsfw"] else "sfw", "fav" if row["is_favorite"] else "oth")
    return row["search_text"] != _text(_values(row)) or (row["safety"], row["favor"]) != flags


def _values(row: Row) -> dict[str, Any]:
    return {**dict(row), "tags": from_json(row["tags"])}


def _text(values: dict[str, Any]) -> str:
    return folding.document(
        [values["name"], values["description"], values["style_prompt"], *values["tags"]]
    )

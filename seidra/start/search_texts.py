"""Search texts: those of personas and their index, compared with the personas and made anew from
them; those of media made anew."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from seidra import folding
from seidra.database.base import Connection, Database, Row
from seidra.database.queries import queries
from seidra.media import write as media
from seidra.personas import search
from seidra.values import from_json, timestamp

_BATCH = 1000


def check_texts(database: Database) -> list[str]:
    """What is wrong with the texts and their index, a sentence each; nothing is the answer to hope
    for.

    It keeps the write lock for as long as it takes, for SQLite's check of an index is a write: of a
    database that is served, give it a copy.
    """
    wrong = []
    with database.transaction() as tx:
        stale = sum(1 for row in _sources(tx) if _differs(row))
        if stale:
            wrong.append(f"{stale} personas have a search text that is not theirs.")
        if strays := queries.search.strays(tx):
            wrong.append(f"{strays} search texts belong to no persona.")
        try:
            queries.search.check(tx)
        except database.errors:
            wrong.append("The index differs from its table.")
    return wrong


def rebuild_texts(tx: Connection) -> int:
    """Make every text and the index again from the personas; returns how many texts there are."""
    count = 0
    # First, so that the triggers below find in the index what they are to take out of it.
    queries.search.rebuild(tx)
    queries.search.optimize(tx)
    for row in _sources(tx):
        count += 1
        if _differs(row):
            values = _values(row)
            search.put_text(tx, row["user_id"], row["id"], values, search.search_text(values))
    queries.search.drop_strays(tx)
    return count


def fold_anew(database: Database) -> None:
    """Make the texts anew where this version folds them otherwise, or a migration has just made
    their table."""
    if queries.platform.state(database.connection, name="search_folding") != folding.FOLDING:
        _fold_media_anew(database)
        with database.transaction() as tx:
            rebuild_texts(tx)
            queries.platform.remember(
                tx, name="search_folding", value=folding.FOLDING, now=timestamp()
            )


def _fold_media_anew(database: Database) -> None:
    """Make what media are found and filtered by anew, in batches: once more after a crash."""
    after = ""
    while rows := queries.media.sources(database.connection, after=after, limit=_BATCH):
        after = rows[-1]["id"]
        with database.transaction() as tx:
            for row in rows:
                tags = from_json(row["tags"])
                text = media.search_text(from_json(row["metadata"]), tags)
                if text != row["search_text"]:
                    queries.media.update_search_text(tx, id=row["id"], search_text=text)
                if tags:
                    media.write_tag_keys(tx, row["user_id"], row["id"], tags)


def _sources(tx: Connection) -> Iterator[Row]:
    after = 0
    while rows := queries.search.sources(tx, after=after, limit=_BATCH):
        yield from rows
        after = rows[-1]["id"]


def _differs(row: Row) -> bool:
    marks = ("nsf" if row["is_nsfw"] else "sfw", "fav" if row["is_favorite"] else "oth")
    text = search.search_text(_values(row))
    return row["search_text"] != text or (row["safety"], row["favor"]) != marks


def _values(row: Row) -> dict[str, Any]:
    return {**dict(row), "tags": from_json(row["tags"])}

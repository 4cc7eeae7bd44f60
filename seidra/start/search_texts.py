"""Search texts: those of personas and their index, compared with the personas and made anew from
them; and these, those of jobs and media, and what names are sorted by, made anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from seidra import folding
from seidra.database.base import Connection, Database, Row
from seidra.database.queries import queries
from seidra.jobs import queue
from seidra.media import write as media
from seidra.personas import search
from seidra.values import from_json, timestamp

_BATCH = 200
"""How many rows one transaction writes."""


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
            search.text_index(tx).check_index(tx)
        except database.errors:
            wrong.append("The index differs from its table.")
    return wrong


def rebuild_texts(tx: Connection) -> int:
    """Make every text and the index again from the personas; returns how many texts there are."""
    count = 0
    # First, so that the triggers below find in the index what they are to take out of it.
    search.text_index(tx).rebuild_index(tx)
    for row in _sources(tx):
        count += 1
        if _differs(row):
            values = _values(row)
            search.put_text(tx, row["user_id"], row["id"], values, search.search_text(values))
    queries.search.drop_strays(tx)
    return count


def fold_anew(database: Database) -> None:
    """Make what is derived of texts anew, table by table, where this version derives it otherwise,
    or a migration has just made the table or taken its mark away; in batches, and from the
    beginning again after a crash."""
    marks: list[tuple[str, str, Callable[[Database], None]]] = [
        ("media_folding", folding.FOLDING, _fold_media_anew),
        ("jobs_folding", folding.FOLDING, _fold_jobs_anew),
        ("personas_folding", f"{folding.FOLDING}.{folding.SORTING}", _fold_personas_anew),
    ]
    for name, value, fold_table_anew in marks:
        if queries.platform.state(database.connection, name=name) != value:
            fold_table_anew(database)
            with database.transaction() as tx:
                queries.platform.remember(tx, name=name, value=value, now=timestamp())


def _fold_media_anew(database: Database) -> None:
    """Make what media are found and filtered by anew."""
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


def _fold_jobs_anew(database: Database) -> None:
    """Make what jobs are found by anew."""
    after = ""
    while rows := queries.jobs.sources(database.connection, after=after, limit=_BATCH):
        after = rows[-1]["id"]
        with database.transaction() as tx:
            for row in rows:
                name = from_json(row["metadata"]).get("persona_name", "")
                text = queue.search_text(row["prompt"], name)
                if text != row["search_text"]:
                    queries.jobs.update_search_text(tx, id=row["id"], search_text=text)


def _fold_personas_anew(database: Database) -> None:
    """Make what personas are found, filtered and sorted by anew."""
    with database.transaction() as tx:
        # First, so that triggers find in the index what they are to take out of it.
        search.text_index(tx).rebuild_index(tx)
        queries.search.drop_strays(tx)
    after = 0
    while rows := queries.search.sources(database.connection, after=after, limit=_BATCH):
        after = rows[-1]["id"]
        derived = [
            (row, folding.sort_key(row["name"]), search.found_by(_values(row))) for row in rows
        ]
        with database.transaction() as tx:
            for row, name_key, found_by in derived:
                # Where another process has changed it meanwhile, that wrote all of this.
                if queries.personas.update_name_key(
                    tx, id=row["id"], name_key=name_key, version=row["version"]
                ):
                    search.write_found_by(tx, row["user_id"], row["id"], _values(row), found_by)


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

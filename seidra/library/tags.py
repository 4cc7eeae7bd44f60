"""The tags of a user's personas and media, as one vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from seidra import folding
from seidra.database.base import Connection, Database, Row
from seidra.database.batches import Id, act_on_each
from seidra.database.queries import queries
from seidra.errors import NotFound
from seidra.library.facets import TagCounts
from seidra.media.write import retag_item
from seidra.personas.write import retag_persona
from seidra.values import from_json

MAX_RETAGGED = 10_000
"""Things that one request takes a tag from, some 1 ms each."""

Retag = Callable[[list[str]], list[str]]


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


def rename_tag(database: Database, user_id: int, tag: str, to: str | None) -> dict[str, int]:
    """Give all personas and media of a user that have a tag, in whatever spelling and whatever the
    NSFW settings, another one in its place, or none; where they have that one too, the two become
    one.

    Some at a time, so that others come in between: what a failure leaves is done by asking again.
    Returns how many were changed, and how many remain beyond the first `MAX_RETAGGED`. Raises
    NotFound where nothing has the tag.
    """
    key = folding.fold(tag)
    with database.snapshot() as connection:
        having = {"user_id": user_id, "tag_key": key}
        personas = queries.personas.tagged(connection, **having)
        media = queries.media.tagged(connection, **having)
    if not personas and not media:
        raise NotFound("tag")
    retag = _retagging(key, to)
    persona_ids, media_ids = (_changing(rows, retag) for rows in (personas, media))
    first = persona_ids[:MAX_RETAGGED]
    then = media_ids[: MAX_RETAGGED - len(first)]
    return {
        "personas": _retag_each(
            database, user_id, first, lambda tx, id: retag_persona(tx, user_id, id, retag)
        ),
        "media": _retag_each(
            database, user_id, then, lambda tx, id: retag_item(tx, user_id, id, retag)
        ),
        "remaining": len(persona_ids) + len(media_ids) - len(first) - len(then),
    }


def _retagging(key: str, to: str | None) -> Retag:
    """What becomes of a list of tags: the one of this key is `to`, in its place, or is no more."""
    # The same tags come again and again.
    fold = lru_cache(maxsize=10_000)(folding.fold)

    def retag(tags: list[str]) -> list[str]:
        changed: dict[str, str] = {}
        for tag in tags:
            new = to if fold(tag) == key else tag
            if new is not None:
                changed.setdefault(fold(new), new)
        return list(changed.values())

    return retag


def _changing(rows: Iterable[Row], retag: Retag) -> list[Any]:
    """The ids of those whose tags would be others."""
    return [row["id"] for row in rows if retag(tags := from_json(row["tags"])) != tags]


def _retag_each(
    database: Database, user_id: int, ids: Iterable[Id], act: Callable[[Connection, Id], bool]
) -> int:
    """Change each; returns how many were."""
    changed: list[Id] = []

    def note(tx: Connection, id: Id) -> None:
        if act(tx, id):
            changed.append(id)

    act_on_each(database, user_id, ids, note)
    return len(changed)

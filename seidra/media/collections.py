"""Collections of a user's media. One that is shared shows its pictures to everybody on the
instance, private ones too: that is what sharing it means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from seidra.database.base import Connection, Row
from seidra.database.queries import queries
from seidra.errors import Conflict, Forbidden, NotFound, QuotaExceeded
from seidra.media.links import Links
from seidra.media.view import picture_links
from seidra.media.write import SHARED, check_may_share
from seidra.values import new_uid, timestamp, to_json
from seidra.web.fields import page_reach

MAX_COLLECTIONS = 1_000
"""Collections of an account."""

MAX_PICTURES = 10_000
"""Pictures of a collection, those in the trash included."""

_WRITTEN = ("name", "description", "visibility", "with_details")


def collection_json(row: Row, links: Links, user_id: int) -> dict[str, Any]:
    """A collection as a user sees it who may."""
    cover = None
    if row["cover_id"] is not None:
        size = (row["cover_width"], row["cover_height"])
        cover = {
            "media_id": row["cover_id"],
            **picture_links(links, row["cover_id"], *size, user_id),
        }
    return {
        "id": row["id"],
        "owner": {"id": row["owner_id"], "username": row["owner_name"]},
        "is_mine": row["owner_id"] == user_id,
        "name": row["name"],
        "description": row["description"],
        "visibility": row["visibility"],
        "with_details": bool(row["with_details"]),
        "count": row["n"],
        "cover": cover,
        "version": row["version"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }


def seen_collection(connection: Connection, user_id: int, collection_id: str) -> Row:
    """A collection that a user may see, their own or shared. Raises NotFound."""
    row = queries.collections.get(connection, id=collection_id, user_id=user_id)
    if row is None:
        raise NotFound("collection")
    return row


def own_collection(connection: Connection, user_id: int, collection_id: str) -> Row:
    """A collection of a user. Raises NotFound, and Forbidden for one that another shares."""
    row = seen_collection(connection, user_id, collection_id)
    if row["owner_id"] != user_id:
        raise Forbidden(
            "The collection is another account's, and shared with you: look at it.",
            code="not_yours",
        )
    return row


def collections_page(
    connection: Connection, user_id: int, nsfw: bool, query: Mapping[str, Any]
) -> tuple[list[Row], int]:
    """A page of the collections of a scope, the newest first, and how many there are."""
    scope = query["scope"]
    asked = {"user_id": user_id, "nsfw": nsfw, "limit": query["limit"], "offset": query["offset"]}
    if scope != "all":
        rows = queries.collections.page(connection, scope=scope, **asked)
        return rows, queries.collections.count(connection, scope=scope, user_id=user_id)
    rows = queries.collections.both(connection, **asked, reach=page_reach(query))
    mine, shared = (
        queries.collections.count(connection, scope=each, user_id=user_id) for each in _SCOPES
    )
    return rows, mine + shared


_SCOPES: tuple[Literal["mine"], Literal["shared"]] = ("mine", "shared")


def collection_media(
    connection: Connection, user_id: int, collection_id: str, nsfw: bool, query: Mapping[str, Any]
) -> tuple[list[Row], int]:
    """A page of the pictures of a collection, in order, and how many there are. Raises
    NotFound."""
    seen_collection(connection, user_id, collection_id)
    rows = queries.collections.media(
        connection,
        id=collection_id,
        user_id=user_id,
        nsfw=nsfw,
        limit=query["limit"],
        offset=query["offset"],
    )
    return rows, queries.collections.media_count(connection, id=collection_id, nsfw=nsfw)


def create_collection(tx: Connection, user_id: int, values: Mapping[str, Any]) -> str:
    """Make a collection of a body's `values`; returns its id. Raises QuotaExceeded and
    Forbidden."""
    count = queries.collections.count_owned(tx, user_id=user_id)
    if count >= MAX_COLLECTIONS:
        raise QuotaExceeded("collections", MAX_COLLECTIONS, count)
    if values["visibility"] == SHARED:
        check_may_share(tx, user_id, is_nsfw=False)
    collection_id = new_uid()
    written = {name: values[name] for name in _WRITTEN}
    queries.collections.create(tx, id=collection_id, user_id=user_id, now=timestamp(), **written)
    return collection_id


def change_collection(tx: Connection, user_id: int, row: Row, change: Mapping[str, Any]) -> None:
    """Write a change over a collection's row of the same transaction. Raises Forbidden."""
    stored: dict[str, Any] = {name: row[name] for name in _WRITTEN}
    stored["with_details"] = bool(row["with_details"])
    values = {**stored, **change}
    if values == stored:
        return
    if values["visibility"] == SHARED and row["visibility"] != SHARED:
        check_may_share(tx, user_id, is_nsfw=False)
    queries.collections.update(tx, id=row["id"], user_id=user_id, now=timestamp(), **values)


def add_media(tx: Connection, user_id: int, collection_id: str, ids: Sequence[str]) -> None:
    """Put a user's items at the end of a collection, all or none; those that are in it stay where
    they are. Raises NotFound and QuotaExceeded."""
    seen = queries.search.own_media(tx, ids=to_json(list(ids)), user_id=user_id)
    if {row["id"] for row in seen} != set(ids):
        raise NotFound("media item")
    members = queries.collections.members(tx, id=collection_id)
    there = {row["media_id"] for row in members}
    new = [media_id for media_id in dict.fromkeys(ids) if media_id not in there]
    if len(members) + len(new) > MAX_PICTURES:
        raise QuotaExceeded("pictures of a collection", MAX_PICTURES, len(members))
    last = members[-1]["position"] if members else 0
    _write(
        tx,
        user_id,
        collection_id,
        new,
        lambda: queries.collections.add(
            tx,
            [
                {"id": collection_id, "media_id": media_id, "position": last + n}
                for n, media_id in enumerate(new, 1)
            ],
        ),
    )


def remove_media(tx: Connection, user_id: int, collection_id: str, ids: Iterable[str]) -> None:
    """Take items out of a collection; of those that are not in it nothing is said."""
    there = {row["media_id"] for row in queries.collections.members(tx, id=collection_id)}
    gone = sorted(there.intersection(ids))
    _write(
        tx,
        user_id,
        collection_id,
        gone,
        lambda: queries.collections.remove(
            tx, [{"id": collection_id, "media_id": media_id} for media_id in gone]
        ),
    )


def order_media(tx: Connection, user_id: int, collection_id: str, ids: Sequence[str]) -> None:
    """Let items of a collection come first, in this order; the others follow in theirs. Raises
    Conflict for one that is not in it."""
    members = queries.collections.members(tx, id=collection_id)
    places = {row["media_id"]: row["position"] for row in members}
    first = list(dict.fromkeys(ids))
    if not all(media_id in places for media_id in first):
        raise Conflict("Not all of these are in the collection.", "ids", code="not_in_collection")
    chosen = set(first)
    ordered = [*first, *(media_id for media_id in places if media_id not in chosen)]
    moved = [
        {"id": collection_id, "media_id": media_id, "position": n}
        for n, media_id in enumerate(ordered, 1)
        if places[media_id] != n
    ]
    if ordered != list(places):
        _write(tx, user_id, collection_id, moved, lambda: queries.collections.place(tx, moved))


def _write(
    tx: Connection,
    user_id: int,
    collection_id: str,
    what: Sequence[object],
    write: Callable[[], object],
) -> None:
    """Write, where there is something to write, and that the collection has changed."""
    if what:
        write()
        queries.collections.changed(tx, id=collection_id, user_id=user_id, now=timestamp())

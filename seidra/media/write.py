"""The rules by which a user's media change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from seidra import folding
from seidra.auth import limits
from seidra.auth.limits import limits_in_force
from seidra.config import Settings
from seidra.database.base import Connection, Row, required_row
from seidra.database.queries import queries
from seidra.errors import Forbidden, NotFound, Problem, QuotaExceeded
from seidra.nsfw import policy
from seidra.values import from_json, timestamp, to_json

JOB, UPLOAD, IMPORT = "job", "upload", "import"
"""Where a picture comes from."""

PRIVATE, SHARED = "private", "shared"
"""Who sees a picture or a collection: its owner, or everybody on the instance."""


def check_room(
    connection: Connection, user_id: int, settings: Settings, count: int = 1, size: int = 0
) -> None:
    """Raise QuotaExceeded where so many media more are more than a user may have, or theirs are as
    large as they may be: before more are asked for, for what was asked for before comes in all the
    same. `size`: bytes of those that are about to come, and must still fit."""
    counts = _check_count(connection, user_id, settings, count)
    limit = limits_in_force(connection, user_id).bytes_limit(settings)
    if not limit:
        return
    used = counts["bytes"] + queries.trash.bytes(connection, user_id=user_id)
    if used + max(size, 1) > limit:
        raise QuotaExceeded(
            "bytes of media, those in the trash included", limit, used, "delete some for ever first"
        )


def check_return(connection: Connection, user_id: int, settings: Settings) -> None:
    """Raise QuotaExceeded where one more item cannot come back from the trash. Its bytes count
    while it lies there already."""
    _check_count(connection, user_id, settings, 1)


def _check_count(connection: Connection, user_id: int, settings: Settings, count: int) -> Row:
    counts = required_row(queries.media.counts(connection, user_id=user_id, nsfw=True))
    limit = limits_in_force(connection, user_id).media_limit(settings)
    if counts["total"] + count > limit:
        raise QuotaExceeded("media items", limit, counts["total"])
    return counts


def visible_item(connection: Connection, user_id: int, media_id: str) -> Row:
    """An item that its owner may see. Raises NotFound."""
    row = queries.media.get(connection, id=media_id, user_id=user_id)
    if row is None:
        raise NotFound("media item")
    return row


def seen_item(connection: Connection, user_id: int, media_id: str) -> Row:
    """An item that a user may see, whosever it is. Raises NotFound."""
    row = queries.shared_media.get(connection, id=media_id, user_id=user_id)
    if row is None:
        raise NotFound("media item")
    return row


def own_item(connection: Connection, user_id: int, media_id: str) -> Row:
    """An item of a user's own, to be changed or given to others. Raises NotFound, and Forbidden
    for one that another shares."""
    row = queries.media.get(connection, id=media_id, user_id=user_id)
    if row is None:
        raise _not_own(connection, user_id, media_id)
    return row


def _not_own(connection: Connection, user_id: int, media_id: str) -> Problem:
    """Why a user may not do to an item what is its owner's alone: it is shared, or not there."""
    row = queries.shared_media.get(connection, id=media_id, user_id=user_id)
    if row is not None and row["owner_id"] != user_id:
        return Forbidden(
            "The picture is another account's, and shared with you: look at it.", code="not_yours"
        )
    return NotFound("media item")


def change_item(tx: Connection, user_id: int, row: Row, change: dict[str, Any]) -> Row:
    """Write a change of `tags`, `visibility` and flags over an item's row of the same transaction;
    returns the new row, or the same where nothing changes. Raises Forbidden for what the NSFW
    settings do not allow, and for who may not share."""
    stored = {
        "tags": from_json(row["tags"]),
        "visibility": row["visibility"],
        **{name: bool(row[name]) for name in _FLAGS},
    }
    values = stored | change
    if values == stored:
        return row
    if values["is_nsfw"] and not row["is_nsfw"]:
        policy.check_may_make(tx, user_id, True)
    if values["visibility"] == SHARED and row["visibility"] != SHARED:
        check_may_share(tx, user_id, is_nsfw=values["is_nsfw"])
    _write_item(tx, user_id, row, values)
    return visible_item(tx, user_id, row["id"])


def retag_item(
    tx: Connection, user_id: int, media_id: str, retag: Callable[[list[str]], list[str]]
) -> bool:
    """Change an item's tags, whatever the NSFW settings; returns whether it was changed, which it
    is not where it is gone."""
    row = queries.media.whole(tx, id=media_id, user_id=user_id)
    if row is None:
        return False
    stored: list[str] = from_json(row["tags"])
    tags = retag(list(stored))
    if tags == stored:
        return False
    flags = {name: bool(row[name]) for name in _FLAGS}
    _write_item(tx, user_id, row, flags | {"visibility": row["visibility"], "tags": tags})
    return True


_FLAGS = ("is_favorite", "is_nsfw", "with_details")


def check_may_share(connection: Connection, user_id: int, *, is_nsfw: bool) -> None:
    """Raise Forbidden where a user may not give something to others: everybody on the instance, or
    whoever has a link. What makes a picture or a collection shared, and a link, asks this."""
    limits.check_may_share(connection, user_id)
    policy.check_may_make(connection, user_id, is_nsfw)


def _write_item(tx: Connection, user_id: int, row: Row, values: dict[str, Any]) -> None:
    """Write what may be changed of an item over its row, and what it is found by."""
    queries.media.update(
        tx,
        id=row["id"],
        user_id=user_id,
        tags=to_json(values["tags"]),
        is_favorite=values["is_favorite"],
        is_nsfw=values["is_nsfw"],
        visibility=values["visibility"],
        with_details=values["with_details"],
        search_text=search_text(from_json(row["metadata"]), values["tags"]),
        now=timestamp(),
    )
    write_tag_keys(tx, user_id, row["id"], values["tags"])


def search_text(metadata: dict[str, Any], tags: list[str]) -> str:
    """What an item is found by."""
    return folding.document([metadata.get("prompt", ""), *tags])


def write_tag_keys(tx: Connection, user_id: int, media_id: str, tags: list[str]) -> None:
    """Write what an item's tags are filtered by."""
    queries.media.tags_clear(tx, media_id=media_id)
    keys = sorted({folding.fold(tag) for tag in tags})
    queries.media.tags_add(
        tx, [{"user_id": user_id, "tag_key": key, "media_id": media_id} for key in keys]
    )


def deletable_version(tx: Connection, user_id: int, media_id: str) -> int:
    """The version of an item that its owner may delete, seen or not. Raises NotFound, and
    Forbidden for one that another shares."""
    version: int | None = queries.media.version(tx, id=media_id, user_id=user_id)
    if version is None:
        raise _not_own(tx, user_id, media_id)
    return version

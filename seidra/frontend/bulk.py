"""Many media items changed or deleted in one go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seidra import folding
from seidra.database.base import Connection
from seidra.errors import NotFound
from seidra.media.trash import delete_item
from seidra.media.write import change_item, deletable_version, visible_item
from seidra.values import from_json

MAX_TAGS = 50
"""Tags that an item may have."""

_CHANGES: dict[str, dict[str, Any]] = {
    "favorite": {"is_favorite": True},
    "unfavorite": {"is_favorite": False},
    "nsfw": {"is_nsfw": True},
    "sfw": {"is_nsfw": False},
}


def act_on_media(
    tx: Connection,
    user_id: int,
    action: str,
    media_ids: Sequence[str],
    tags: Sequence[str],
    keep_days: int,
) -> list[str]:
    """Do the same to each item; returns the ids of those that it was done to: not to what is not
    there, and not to what would get too many tags. Raises Forbidden, and nothing is done, for what
    the NSFW settings do not allow."""
    done = []
    for media_id in dict.fromkeys(media_ids):
        try:
            if action == "delete":
                # Seen or not: an owner may always delete.
                deletable_version(tx, user_id, media_id)
                delete_item(tx, user_id, media_id, keep_days)
                done.append(media_id)
            elif _change_item(tx, user_id, action, media_id, tags):
                done.append(media_id)
        except NotFound:
            continue
    return done


def _change_item(
    tx: Connection, user_id: int, action: str, media_id: str, tags: Sequence[str]
) -> bool:
    row = visible_item(tx, user_id, media_id)
    change = _CHANGES.get(action)
    if change is None:
        change = {"tags": _changed_tags(from_json(row["tags"]), action, tags)}
        if len(change["tags"]) > MAX_TAGS:
            return False
    change_item(tx, user_id, row, change)
    return True


def _changed_tags(stored: list[str], action: str, tags: Sequence[str]) -> list[str]:
    """The tags with some more, or without some, told apart as lists are filtered."""
    keys = {folding.fold(tag) for tag in (tags if action == "untag" else stored)}
    if action == "untag":
        return [tag for tag in stored if folding.fold(tag) not in keys]
    return [*stored, *(tag for tag in tags if folding.fold(tag) not in keys)]

"""The trash of a user: what lies in it, what comes back, what goes for ever. What an entry is says
`seidra.media.trash`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from seidra.config import Settings
from seidra.database.base import Connection, Database, Row
from seidra.database.queries import queries
from seidra.errors import NotFound
from seidra.media import trash
from seidra.media.links import TRASH, Links
from seidra.media.write import check_return
from seidra.personas.write import check_room, restore_persona

_BATCH = 200
"""Entries that one transaction deletes."""

_Check = Callable[[Connection, int, Settings], None]
_BringBack = Callable[[Connection, int, Row], None]

_RESTORE: dict[str, tuple[_Check, _BringBack]] = {
    trash.MEDIA: (check_return, trash.restore_item),
    trash.PERSONA: (check_room, restore_persona),
}
"""Who says whether one more may come back, and what brings it back."""


def read_page(
    connection: Connection, user_id: int, nsfw: bool, query: dict[str, Any]
) -> tuple[list[Row], int]:
    """The entries of the page that a TrashQuery asks for, and how many there are in all."""
    kind = query.get("kind")
    rows = queries.trash.page(
        connection,
        which="all" if nsfw else "safe",
        user_id=user_id,
        nsfw=nsfw,
        kind=kind,
        limit=query["limit"],
        offset=query["offset"],
    )
    return rows, queries.trash.count(connection, user_id=user_id, nsfw=nsfw, kind=kind)


def entry_json(row: Row, links: Links, user_id: int) -> dict[str, Any]:
    """An entry as its owner sees it. The thumbnail of an item has a link of the trash's own, for
    the item's are dead; that of a persona is its cover's, while that is there."""
    thumbnail = None
    if row["file_key"] is not None:
        thumbnail = links.make(row["id"], "thumbnail", user_id, TRASH)
    elif row["shown_media_id"] is not None:
        thumbnail = links.make(row["shown_media_id"], "thumbnail", user_id)
    return {
        **restored_json(row),
        "is_nsfw": bool(row["is_nsfw"]),
        "bytes": row["bytes"],
        "thumbnail_url": thumbnail,
        "deleted_at": row["deleted_at"],
    }


def restored_json(row: Row) -> dict[str, Any]:
    """What an entry is of."""
    persona = row["kind"] == trash.PERSONA
    return {
        "id": row["id"],
        "kind": row["kind"],
        "item_id": int(row["item_id"]) if persona else row["item_id"],
        "name": row["name"],
    }


def restore_entries(
    tx: Connection, user_id: int, wanted: Sequence[str | dict[str, Any]], settings: Settings
) -> list[dict[str, Any]]:
    """Bring back entries, by their ids or by `{kind, item_id}`, all or none; returns what came
    back. Raises NotFound, also for what the NSFW settings in force hide, and QuotaExceeded."""
    restored = {}
    for entry in [_find_entry(tx, user_id, named) for named in wanted]:
        if entry["id"] not in restored:
            check, bring_back = _RESTORE[entry["kind"]]
            check(tx, user_id, settings)
            bring_back(tx, user_id, entry)
            restored[entry["id"]] = restored_json(entry)
    return list(restored.values())


def _find_entry(tx: Connection, user_id: int, named: str | dict[str, Any]) -> Row:
    if isinstance(named, str):
        entry = queries.trash.get(tx, id=named, user_id=user_id)
    else:
        entry = queries.trash.get_item(tx, **named, user_id=user_id)
    if entry is None:
        raise NotFound("entry of the trash")
    return entry


def purge_entry(tx: Connection, user_id: int, entry_id: str) -> None:
    """Delete an entry for ever, whatever the NSFW settings. Raises NotFound."""
    if not queries.trash.remove(tx, id=entry_id, user_id=user_id):
        raise NotFound("entry of the trash")


def empty_trash(database: Database, user_id: int) -> None:
    """Delete all of a user's entries for ever, seen or not, a batch at a time."""
    deleted = _BATCH
    while deleted == _BATCH:
        with database.transaction(user_id) as tx:
            deleted = queries.trash.purge_batch(tx, user_id=user_id, limit=_BATCH)

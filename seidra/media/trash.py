"""The trash: what is deleted is kept whole, as a document, and comes back under its own id.

An entry has an id of its own; `kind` and `item_id` say what it was. The document is JSON with the
number of its schema: `{"schema": 2, "media": {...}}` holds an item with its LoRAs, and that of a
persona its fields, with what other programs keep with it. A picture's file stays under its key,
which the entry names meanwhile, and the revisions of a persona stay under its id.
"""

from __future__ import annotations

from typing import Any

from seidra.database.base import Connection, Row, required_row
from seidra.database.queries import queries
from seidra.media.keys import row_key
from seidra.media.write import JOB, PRIVATE, search_text, write_tag_keys
from seidra.values import from_json, new_uid, timestamp, to_json

SCHEMA = 2
"""The number of what documents hold. Raise it with a change that a restore has to know of. 2: a
persona has extensions, and says how its present revision came about."""

MEDIA, PERSONA = "media", "persona"

_NAME = 100
"""Characters of a prompt that call an item in the trash."""

_JSON = ("metadata", "tags", "nsfw_tags")


def add_entry(
    tx: Connection, kind: str, row: Row, item: dict[str, Any], name: str, **more: Any
) -> None:
    """Keep a document of a row that is about to be deleted in the same transaction. `more`: what
    media have beside it."""
    columns = {
        "bytes": 0,
        "file_key": None,
        "persona_id": None,
        "job_id": None,
        "position": None,
        "avatar_media_id": None,
    }
    queries.trash.add(
        tx,
        id=new_uid(),
        user_id=row["user_id"],
        kind=kind,
        item_id=str(row["id"]),
        name=name,
        is_nsfw=row["is_nsfw"],
        document=to_json({"schema": SCHEMA, kind: item}),
        now=timestamp(),
        **(columns | more),
    )


def whole_row(row: Row, json_columns: tuple[str, ...]) -> dict[str, Any]:
    """A row as an object of a document: what is JSON in its columns stands in it as such."""
    return {
        name: from_json(row[name]) if name in json_columns else row[name]
        for name in row.keys()  # noqa: SIM118 (no dict)
        if name != "user_id"
    }


def delete_item(tx: Connection, user_id: int, media_id: str, keep_days: int) -> None:
    """Delete an item that is there: into the trash, or for ever where nothing is kept (a trigger
    queues its file then). Its job shows one picture less."""
    if keep_days:
        _keep_item(tx, user_id, media_id)
    queries.jobs.results_changed(tx, media_id=media_id, now=timestamp())
    queries.media.delete(tx, id=media_id, user_id=user_id)


def _keep_item(tx: Connection, user_id: int, media_id: str) -> None:
    row = required_row(queries.media.whole(tx, id=media_id, user_id=user_id))
    item = whole_row(row, _JSON)
    item["loras"] = [lora["name"] for lora in queries.media.loras(tx, media_id=media_id)]
    add_entry(
        tx,
        MEDIA,
        row,
        item,
        " ".join(str(item["metadata"].get("prompt", "")).split())[:_NAME],
        bytes=row["file_size"],
        file_key=row_key(row),
        persona_id=row["persona_id"],
        job_id=row["job_id"],
        position=row["position"],
    )


def restore_item(tx: Connection, user_id: int, entry: Row) -> None:
    """Bring an item back, as it was; what was decided of its persona meanwhile holds for it too."""
    item = from_json(entry["document"])[MEDIA]
    loras = item.pop("loras")
    # Entries of before there were other sources do not say it.
    item.setdefault("source", JOB)
    item["visibility"] = item.get("visibility", PRIVATE)
    item["with_details"] = bool(item.get("with_details", False))
    text = search_text(item["metadata"], item["tags"])
    columns = item | {name: to_json(item[name]) for name in _JSON}
    columns["is_nsfw"] = bool(entry["is_nsfw"])
    queries.media.bring_back(tx, user_id=user_id, search_text=text, **columns)
    write_tag_keys(tx, user_id, item["id"], item["tags"])
    add_loras(tx, user_id, item["id"], loras)
    queries.trash.remove(tx, id=entry["id"], user_id=user_id)
    queries.jobs.results_changed(tx, media_id=item["id"], now=timestamp())


def add_loras(tx: Connection, user_id: int, media_id: str, names: list[str]) -> None:
    """Write by which LoRAs an item is filtered."""
    queries.media.loras_add(
        tx,
        [{"user_id": user_id, "name": name, "media_id": media_id} for name in sorted(set(names))],
    )

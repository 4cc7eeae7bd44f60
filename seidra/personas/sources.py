"""Where personas came from: the entry of a file, kept verbatim to know it again and to give it
back."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, NamedTuple

from seidra.database.base import Connection
from seidra.database.queries import queries
from seidra.values import from_json, to_json, unpacked


class StoredSource(NamedTuple):
    """The source of a persona. `file` is the stem of the file's name; `facts` are those of the
    whole file; `revision` is the persona's as the last import left it."""

    format: str
    tool: str
    file: str
    entry: str
    facts: Mapping[str, Any]
    original: bytes | None
    revision: int
    imported_at: str


def read_source(connection: Connection, user_id: int, persona_id: int) -> StoredSource | None:
    """Where a persona came from; None for one that was made here."""
    row = queries.sources.get(connection, persona_id=persona_id, user_id=user_id)
    if row is None:
        return None
    return StoredSource(
        row["format"],
        row["tool"],
        row["file"],
        row["entry"],
        from_json(row["facts"]),
        None if row["original"] is None else unpacked(row["original"]),
        row["revision"],
        row["imported_at"],
    )


_PACKED = ("original", "base")


def source_document(connection: Connection, user_id: int, persona_id: int) -> dict[str, Any] | None:
    """A persona's source as an object of a document, whose packed parts are in base64; None where
    there is none."""
    row = queries.sources.get(connection, persona_id=persona_id, user_id=user_id)
    if row is None:
        return None
    packed = {
        name: None if row[name] is None else base64.b64encode(row[name]).decode()
        for name in _PACKED
    }
    return {**dict(row), **packed, "facts": from_json(row["facts"])}


def put_document(
    tx: Connection, user_id: int, persona_id: int, document: Mapping[str, Any] | None
) -> None:
    """Write a persona's source as a document has it; None: there is none."""
    if document is None:
        queries.sources.remove(tx, persona_id=persona_id, user_id=user_id)
        return
    unpacked_parts = {
        name: None if document[name] is None else base64.b64decode(document[name])
        for name in _PACKED
    }
    columns = {**document, **unpacked_parts, "facts": to_json(document["facts"])}
    queries.sources.put(tx, persona_id=persona_id, user_id=user_id, **columns)

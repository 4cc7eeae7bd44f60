"""Which file a media row has, and whether any row has a file."""

from __future__ import annotations

from seidra.database.base import Connection, Row
from seidra.database.queries import queries
from seidra.files.keys import original_key, plain_key


def row_key(row: Row) -> str:
    """The key of a media row's picture, by its `file_key`, `id` and `mime_type`."""
    return row["file_key"] or plain_key(row["id"], row["mime_type"])


def is_named(connection: Connection, key: str) -> bool:
    """Whether a row names the file of a key, or what it is derived of. Whoever deletes files asks
    this."""
    return queries.media.key_named(connection, key=original_key(key)) is not None

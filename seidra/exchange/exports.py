"""Exports: what a person asks for, made at once where it is small, or else by a worker.

A row says what was asked for and how far it is. Its file is a ZIP, kept for a day under a key that
the row names, and goes with it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import IO, Any

from seidra.database.base import Connection, Database, Row
from seidra.database.queries import queries
from seidra.errors import Conflict, NotFound
from seidra.exchange import own
from seidra.exchange.belongings import Belongings, Chosen
from seidra.exchange.found import WrittenFile
from seidra.exchange.targets import SEIDRA, TARGETS, Losses, batched, write_files, write_zip
from seidra.files.keys import ARCHIVE
from seidra.library.bulk import filtered_ids
from seidra.media.links import EXPORTS, Links
from seidra.nsfw import policy
from seidra.personas import write
from seidra.personas.pages import read_page
from seidra.values import new_uid, timestamp, timestamp_in

KEPT_SECONDS = 86_400.0
"""How long an export is kept once it is made, or was asked for and failed."""

MAX_EXPORTS = 10
"""Exports that a user has at once: a disk holds each of them."""

_SMALL_PERSONAS = 100
_SMALL_BYTES = 16 << 20
"""Bytes of pictures up to which an export is made while its request waits, in memory."""


# -------------------------------------------------------------------------------------- which ones


def choose(database: Database, user_id: int, body: dict[str, Any]) -> Chosen:
    """Which personas a body means: its `ids`, all that its `filter` finds, or everything, whatever
    the NSFW settings. Raises NotFound for an id of what is not there, or may not be seen."""
    if body.get("everything"):
        return Chosen(None, nsfw=True)
    if "filter" in body:
        query = body["filter"]
        ids = filtered_ids(database, user_id, read_page, query, most=None)[0]
        nsfw = policy.may_list_nsfw(database.connection, user_id, query["include_nsfw"])
        return Chosen(ids, nsfw)
    ids = list(dict.fromkeys(body["ids"]))
    with database.snapshot() as connection:
        for persona_id in ids:
            write.read_persona(connection, user_id, persona_id)
        return Chosen(ids, policy.in_force(connection, user_id))


def is_small(belongings: Belongings, target: str) -> bool:
    """Whether an export is made at once."""
    if belongings.count() > _SMALL_PERSONAS:
        return False
    if target == SEIDRA:
        return belongings.pictures_size()[1] <= _SMALL_BYTES
    return TARGETS[target].cover != "whole" or belongings.covers_bytes() <= _SMALL_BYTES


# ------------------------------------------------------------------------------------ what it holds


def find_losses(belongings: Belongings, target: str, *, library: bool) -> Losses:
    """What an export would lose; `library`: as our own ZIP, in which nothing is lost."""
    losses, cover = Losses(target), TARGETS[target].cover
    personas = belongings.personas(cover if cover == "none" else "head")
    for batch in batched(personas, TARGETS[target].together):
        losses.add(batch, nothing=library)
    return losses


def write_export(
    out: IO[bytes], belongings: Belongings, target: str, losses: Losses
) -> Iterator[int]:
    """Write a ZIP to what takes bytes, as far as it is iterated: a library of our own, or the files
    of another format with a report. Each step says how many personas and pictures are done that
    were not before."""
    if target == SEIDRA:
        return own.write_library(out, belongings.personas(), belongings.pictures())
    return write_zip(out, losses, belongings.personas(TARGETS[target].cover))


def make_file(belongings: Belongings, target: str) -> tuple[WrittenFile, int]:
    """A small export whole, and how much is lost: one file where the format has one for all, or
    else a ZIP."""
    losses = Losses(target)
    if target != SEIDRA and (TARGETS[target].together > 1 or belongings.count() == 1):
        personas = list(belongings.personas(TARGETS[target].cover))
        files = write_files(target, personas)
        if len(files) == 1:
            losses.add(personas)
            return files[0], losses.lost
    data = io.BytesIO()
    for _ in write_export(data, belongings, target, losses):
        pass
    return WrittenFile(archive_name(target), ARCHIVE, data.getvalue()), losses.lost


def archive_name(target: str) -> str:
    """What a ZIP that is made now is called."""
    return f"seidra-{target}-{timestamp()[:10]}.zip"


# --------------------------------------------------------------------------------------- their rows


def ask_export(tx: Connection, user_id: int, target: str, chosen: Chosen, total: int) -> Row:
    """Ask for an export that a worker makes; returns its row. Raises Conflict where the user has as
    many as there may be."""
    if queries.exports.count(tx, user_id=user_id) >= MAX_EXPORTS:
        raise Conflict(
            f"You have {MAX_EXPORTS} exports; delete one first.", code="too_many_exports"
        )
    export_id = new_uid()
    queries.exports.create(
        tx,
        id=export_id,
        user_id=user_id,
        target=target,
        chosen=chosen.as_json(),
        total=total,
        now=timestamp(),
        expires_at=timestamp_in(KEPT_SECONDS),
    )
    return read_export(tx, user_id, export_id)


def read_export(connection: Connection, user_id: int, export_id: str) -> Row:
    """The row of an export. Raises NotFound."""
    row = queries.exports.get(connection, id=export_id, user_id=user_id)
    if row is None:
        raise NotFound("export")
    return row


def list_exports(
    connection: Connection, user_id: int, limit: int, offset: int
) -> tuple[Sequence[Row], int]:
    """A page of a user's exports, and how many there are."""
    rows = queries.exports.page(connection, user_id=user_id, limit=limit, offset=offset)
    return rows, queries.exports.count(connection, user_id=user_id)


def delete_export(tx: Connection, user_id: int, export_id: str) -> None:
    """Delete an export and its file; one that is being made is given up. Raises NotFound."""
    if not queries.exports.delete(tx, id=export_id, user_id=user_id):
        raise NotFound("export")


def export_json(row: Row, links: Links, user_id: int) -> dict[str, Any]:
    """An export as its owner sees it."""
    completed = row["status"] == "completed"
    progress = row["done"] / row["total"] if row["total"] else 0.0
    return {
        "id": row["id"],
        "to": row["target"],
        "status": row["status"],
        "progress": 1.0 if completed else round(min(progress, 1.0), 3),
        "done": row["done"],
        "total": row["total"],
        "lost": row["lost"],
        "file_name": row["file_name"],
        "file_size": row["file_size"],
        "download_url": links.make(row["id"], "download", user_id, EXPORTS) if completed else None,
        "error_code": row["error_code"],
        "error_message": row["error_message"],
        "created_at": row["created_at"],
        "started_at": row["started_at"],
        "completed_at": row["completed_at"],
        "expires_at": row["expires_at"],
    }


def prune_exports(database: Database) -> None:
    """Delete the exports that have had their time; a trigger queues their files."""
    if queries.exports.expired(database.connection, now=timestamp()) is not None:
        with database.transaction() as tx:
            queries.exports.prune(tx, now=timestamp(), limit=_BATCH)


_BATCH = 100

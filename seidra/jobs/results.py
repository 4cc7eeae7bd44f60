"""A job's pictures: what they are called, how they are stored, and how rows come to name them.

First each file is announced, then put, under a key that no other attempt has; then the transaction
that is fenced by the claim takes the announcements away and names the keys. Wherever this ends in
between, the announcements run out and the files go (`seidra.media.chores`).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seidra.database.base import Connection, Database, Row
from seidra.database.queries import queries
from seidra.engines.base import EngineError, RenderedImage
from seidra.files.base import Files
from seidra.files.keys import EXTENSIONS, derived_key, new_key
from seidra.folding import document
from seidra.jobs.queue import OWNER
from seidra.media.chores import ANNOUNCED_SECONDS, delete_condemned
from seidra.media.inscribe import Piece, inscribe
from seidra.media.thumbnails import MIME_TYPE, Thumbnails, first_sizes, make_thumbnails
from seidra.media.trash import add_loras
from seidra.media.write import JOB, write_tag_keys
from seidra.values import from_json, timestamp, timestamp_in, to_json


class AnnouncementGone(Exception):
    """A picture was stored too late to be named: its file is deleted, or about to be."""


@dataclass(frozen=True)
class StoredPicture:
    """A picture that an attempt has made, in smaller sizes too, and what they will be called. Its
    file is `pieces`, one after the other."""

    media_id: str
    key: str
    image: RenderedImage
    thumbnails: Thumbnails
    pieces: Sequence[Piece]

    @property
    def size(self) -> int:
        """The bytes of its file."""
        return sum(map(len, self.pieces))


def media_id(job_id: str, position: int) -> str:
    """The id of a job's picture: always the same, so that a job never has two at one position."""
    return str(uuid.uuid5(uuid.UUID(job_id), str(position)))


def prepare_picture(job_id: str, claim: str, image: RenderedImage, text: str = "") -> StoredPicture:
    """A picture of an attempt, named and in smaller sizes; `text` says in its file how it was made,
    unless its engine did. Raises OSError for what is none, and EngineError for one of a type that
    is not kept."""
    if image.mime_type not in EXTENSIONS:
        raise EngineError(
            f"The engine answered with {image.mime_type!r:.60}, which is no type of picture that"
            " SEIDRA keeps.",
            permanent=True,
            code="nonsense",
        )
    item = media_id(job_id, image.position)
    key = new_key(item, image.mime_type, claim)
    sizes = first_sizes(image.width, image.height)
    pieces = inscribe(image.data, image.mime_type, text) if text else [image.data]
    return StoredPicture(item, key, image, make_thumbnails(image.data, sizes), pieces)


def store_picture(database: Database, files: Files, picture: StoredPicture) -> None:
    """Announce the files and put them, outside of any transaction. Raises OSError."""
    due_at = timestamp_in(ANNOUNCED_SECONDS)
    with database.transaction() as tx:
        queries.media.announce(tx, [{"key": picture.key, "due_at": due_at}])
    files.put(picture.key, picture.pieces, picture.image.mime_type)
    for size, data in picture.thumbnails.pictures.items():
        files.put(derived_key(picture.key, size), data, MIME_TYPE)


def add_picture(tx: Connection, job: Row, owner: Row, picture: StoredPicture, seed: int) -> None:
    """Insert the media row that names the files, in the transaction that is fenced by the claim.

    `job` is the row as it was claimed, `owner` has the flags that the media take, `seed` is the one
    that was asked for. Raises AnnouncementGone.
    """
    image = picture.image
    used_seed = seed if image.seed is None and "seed" not in image.dropped else image.seed
    metadata = {
        "prompt": job["prompt"],
        "negative_prompt": job["negative_prompt"],
        "seed": used_seed,
        "parameters": from_json(job["parameters"]),
        "loras": from_json(job["loras"]),
        "engine": job["engine"],
        "model": job["model_name"],
        "details": dict(image.metadata),
    }
    if job["persona_revision"] is not None:
        metadata["persona_revision"] = job["persona_revision"]
    told = from_json(job["metadata"])
    if OWNER in told:
        metadata["persona"] = {"name": told.get("persona_name", ""), "owner": told[OWNER]}
    if image.used:
        metadata["used"] = dict(image.used)
    if image.dropped:
        metadata["dropped"] = list(image.dropped)
    item = Item(job["prompt"], metadata, job["model_name"], owner["persona_id"], owner["is_nsfw"])
    name_picture(tx, owner["user_id"], picture, item, job_id=job["id"])


@dataclass(frozen=True)
class Item:
    """What a media item says beside its picture. `source`: as in `seidra.media.write`."""

    prompt: str
    metadata: Mapping[str, Any]
    model: str | None
    persona_id: int | None
    is_nsfw: bool
    tags: Sequence[str] = ()
    source: str = JOB


def name_picture(
    tx: Connection, user_id: int, picture: StoredPicture, item: Item, *, job_id: str | None = None
) -> None:
    """Insert the media row that names the stored files of a picture, with what it is found by.
    Raises AnnouncementGone."""
    if not queries.media.announcement_take(tx, key=picture.key):
        raise AnnouncementGone(picture.key)
    image = picture.image
    tags = list(item.tags)
    queries.media.create(
        tx,
        id=picture.media_id,
        user_id=user_id,
        job_id=job_id,
        position=image.position,
        persona_id=item.persona_id,
        source=item.source,
        file_type=image.mime_type.partition("/")[0],
        mime_type=image.mime_type,
        width=image.width,
        height=image.height,
        file_size=picture.size,
        file_key=picture.key,
        color=picture.thumbnails.color,
        model=item.model,
        metadata=to_json(item.metadata),
        tags=to_json(tags),
        is_nsfw=item.is_nsfw,
        search_text=document([item.prompt, *tags]),
        now=timestamp(),
    )
    if tags:
        write_tag_keys(tx, user_id, picture.media_id, tags)
    names = [lora["name"] for lora in item.metadata["loras"]]
    add_loras(tx, user_id, picture.media_id, names)


def abandon_picture(database: Database, files: Files, picture: StoredPicture) -> None:
    """Let the files of a picture that no row came to name go now, and not when their announcement
    runs out."""
    with database.transaction() as tx:
        queries.media.condemn(tx, [{"key": picture.key}])
    delete_condemned(database, files, [picture.key])

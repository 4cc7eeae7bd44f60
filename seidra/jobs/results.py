"""A job's pictures: what they are called, how they are stored, and how rows come to name them.

First each file is announced, then put, under a key that no other attempt has; then the transaction
that is fenced by the claim takes the announcements away and names the keys. Wherever this ends in
between, the announcements run out and the files go (`seidra.media.chores`).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from seidra.database.base import Connection, Database, Row
from seidra.database.queries import queries
from seidra.engines.base import RenderedImage
from seidra.files.base import Files
from seidra.files.keys import derived_key, new_key
from seidra.folding import document
from seidra.media import thumbnails
from seidra.media.chores import ANNOUNCED_SECONDS, delete_condemned
from seidra.values import from_json, timestamp, timestamp_in, to_json

MAX_IMAGES = 8
"""The most pictures that one job may have."""


class AnnouncementGone(Exception):
    """A picture was stored too late to be named: its file is deleted, or about to be."""


@dataclass(frozen=True)
class Picture:
    """A picture that an attempt has made, with its thumbnail, and what they will be called."""

    media_id: str
    position: int
    key: str
    image: RenderedImage
    thumbnail: bytes


def media_id(job_id: str, position: int) -> str:
    """The id of a job's picture: always the same, so that a job never has two at one position."""
    return str(uuid.uuid5(uuid.UUID(job_id), str(position)))


def prepare_pictures(job_id: str, claim: str, images: Iterable[RenderedImage]) -> list[Picture]:
    """The pictures of an attempt, named and with thumbnails. Raises OSError for what is none."""
    pictures = []
    for position, image in enumerate(images):
        item = media_id(job_id, position)
        key = new_key(item, image.mime_type, claim)
        small = thumbnails.thumbnail(image.data)
        pictures.append(Picture(item, position, key, image, small))
    return pictures


def store_pictures(database: Database, files: Files, pictures: list[Picture]) -> None:
    """Announce the files and put them, outside of any transaction. Raises OSError."""
    due_at = timestamp_in(ANNOUNCED_SECONDS)
    with database.transaction() as tx:
        queries.media.announce(tx, [{"key": found.key, "due_at": due_at} for found in pictures])
    for picture in pictures:
        small = derived_key(picture.key, thumbnails.SIZE)
        files.put(picture.key, picture.image.data, picture.image.mime_type)
        files.put(small, picture.thumbnail, thumbnails.MIME_TYPE)


def add_pictures(
    tx: Connection, job: Row, owner: Row, pictures: Iterable[Picture], engine: str
) -> None:
    """Insert the media rows that name the files, in the transaction that completes the job.

    `job` is the row as it was claimed, `owner` has the flags that the media take. Raises
    AnnouncementGone.
    """
    parameters, now = from_json(job["parameters"]), timestamp()
    for picture in pictures:
        if not queries.media.announcement_take(tx, key=picture.key):
            raise AnnouncementGone(picture.key)
        image = picture.image
        metadata = {
            "prompt": job["prompt"],
            "negative_prompt": job["negative_prompt"],
            "seed": parameters["seed"],
            "parameters": parameters,
            "engine": engine,
            "details": dict(image.metadata),
        }
        queries.media.create(
            tx,
            id=picture.media_id,
            user_id=owner["user_id"],
            job_id=job["id"],
            position=picture.position,
            persona_id=owner["persona_id"],
            file_type=image.mime_type.partition("/")[0],
            mime_type=image.mime_type,
            width=image.width,
            height=image.height,
            file_size=len(image.data),
            file_key=picture.key,
            metadata=to_json(metadata),
            is_nsfw=owner["is_nsfw"],
            search_text=document([job["prompt"]]),
            now=now,
        )


def abandon_pictures(database: Database, files: Files, pictures: Iterable[Picture]) -> None:
    """Let the files of pictures that no row came to name go now, and not when their announcements
    run out."""
    keys = [picture.key for picture in pictures]
    with database.transaction() as tx:
        queries.media.condemn(tx, [{"key": key} for key in keys])
    delete_condemned(database, files, keys)

"""Pictures that are sent in: `POST /api/media`, and what imports do with the pictures of files.

As for a job's: the files are announced and put first, then one transaction names them; what goes
wrong in between leaves an announcement, and the files go.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flask import Response, g
from PIL import Image

from seidra.auth.tokens import login_required
from seidra.database.base import Connection, Database
from seidra.engines.base import RenderedImage
from seidra.errors import Invalid, NotFound, Unavailable
from seidra.exchange.documents import broken
from seidra.exchange.pictures import metadata_of
from seidra.files.base import Files
from seidra.files.keys import new_key
from seidra.jobs.results import (
    AnnouncementGone,
    Item,
    StoredPicture,
    abandon_picture,
    name_picture,
    store_picture,
)
from seidra.media.schemas import MEDIA_EXAMPLE, MediaSchema
from seidra.media.thumbnails import (
    MAX_PIXELS,
    TooBusy,
    decoder_turn,
    first_sizes,
    make_thumbnails,
)
from seidra.media.view import media_json
from seidra.media.write import UPLOAD, check_room, visible_item
from seidra.nsfw import policy
from seidra.personas.write import read_persona
from seidra.values import new_uid
from seidra.web.answers import public_url, reply_versioned
from seidra.web.blueprint import Blueprint
from seidra.web.fields import MAX_INTEGER, Body, FilePart, QueryFlag, QueryWhole, Tags
from seidra.web.repeats import keep_made, repeatable
from seidra.web.services import services
from seidra.web.uploads import Upload, takes_files

blp = Blueprint("uploads", __name__, url_prefix="/api/media", description="Pictures sent in")

_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "MPO": "image/jpeg", "WEBP": "image/webp"}
"""By Pillow's names; an MPO is a JPEG behind which a phone has put more of them."""


class UploadSchema(Body):
    """A picture to keep: PNG, JPEG or WebP."""

    file = FilePart(required=True)
    is_nsfw = QueryFlag(load_default=False)
    tags = Tags()
    persona_id = QueryWhole(
        1, MAX_INTEGER, metadata={"description": "The persona that it is shown with."}
    )


@dataclass(frozen=True)
class SentPicture:
    """A picture that was sent in: decoded once, named, in smaller sizes, and what it says."""

    picture: StoredPicture
    metadata: dict[str, Any]


def prepare_sent(data: bytes) -> SentPicture:
    """A picture that is about to be kept. Raises Invalid for the field `file`, and TooBusy."""
    metadata = metadata_of(data)
    mime_type, width, height = _look_at(data)
    try:
        with decoder_turn():
            thumbnails = make_thumbnails(data, first_sizes(width, height))
    except (OSError, Image.DecompressionBombError):
        raise broken("Is no whole picture.", "broken_picture") from None
    media_id = str(uuid.uuid4())
    image = RenderedImage(data, mime_type, width, height)
    key = new_key(media_id, mime_type, new_uid())
    return SentPicture(StoredPicture(media_id, key, image, thumbnails, [image.data]), metadata)


def _look_at(data: bytes) -> tuple[str, int, int]:
    """Type and size of a picture, by its head. Raises Invalid."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as image:
            kind, (width, height) = str(image.format), image.size
            moves = kind in ("PNG", "WEBP") and getattr(image, "n_frames", 1) > 1
    except Image.DecompressionBombError:
        raise _too_many_pixels() from None
    except ValueError:
        # What Pillow says of packed texts that are far too large: no later size could be made.
        raise broken("Has a text that is larger than is read.", "text_too_long") from None
    except (OSError, SyntaxError, TypeError):
        raise broken("Is no whole picture.", "broken_picture") from None
    if width * height > MAX_PIXELS:
        raise _too_many_pixels()
    if moves:
        raise broken("Must be one picture, and not one that moves.", "animated")
    return _TYPES[kind], width, height


def _too_many_pixels() -> Invalid:
    return broken(f"Must have at most {MAX_PIXELS:,} pixels.", "too_many_pixels")


@contextmanager
def stored(database: Database, files: Files, sent: SentPicture) -> Iterator[None]:
    """Put the files of a picture, for a transaction within the block to name them; they go where it
    does not. Raises Unavailable for a full disk."""
    try:
        store_picture(database, files, sent.picture)
        yield
    except BaseException as error:
        abandon_picture(database, files, sent.picture)
        if isinstance(error, OSError) and error.errno is not None:
            raise Unavailable("The picture could not be stored; the disk may be full.") from None
        if isinstance(error, AnnouncementGone):
            raise Unavailable("Storing the picture took too long; try again.") from None
        raise


def name_sent(
    tx: Connection,
    user_id: int,
    sent: SentPicture,
    *,
    source: str,
    persona_id: int | None = None,
    is_nsfw: bool = False,
    tags: list[str] | None = None,
) -> str:
    """Name a stored picture as a media item, in a transaction of its owner; returns its id. It
    takes the flag of its persona. Raises Forbidden for NSFW out of force, Invalid for a persona
    that is not theirs."""
    if persona_id is not None:
        try:
            persona = read_persona(tx, user_id, persona_id)
        except NotFound:
            raise Invalid({"persona_id": ["Must be one of your own personas."]}) from None
        is_nsfw = is_nsfw or bool(persona["is_nsfw"])
    policy.check_may_make(tx, user_id, is_nsfw)
    metadata = sent.metadata
    item = Item(
        metadata["prompt"],
        metadata,
        metadata["model"],
        persona_id,
        is_nsfw,
        tags or (),
        source,
    )
    name_picture(tx, user_id, sent.picture, item)
    return sent.picture.media_id


def _answer(media_id: str) -> Response:
    row = visible_item(services().database.connection, g.user["id"], media_id)
    path = f"{public_url()}/api/media/{media_id}"
    return reply_versioned(
        media_json(row, services().links, g.user), row["version"], 201, Location=path
    )


@blp.route("", methods=["POST"])
@login_required
@takes_files(1)
@repeatable(_answer)
@blp.arguments(UploadSchema, location="files")
@blp.response(201, MediaSchema, example=MEDIA_EXAMPLE | {"source": "upload", "job_id": None})
@blp.alt_response(403, "PROBLEM")
@blp.alt_response(409, "PROBLEM")
def upload(body: dict[str, Any]) -> Response:
    """Send in a picture; what it says of how it was made becomes its `metadata`."""
    file: Upload = body["file"]
    own, user_id = services(), g.user["id"]
    check_room(own.database.connection, user_id, own.settings, size=file.size)
    try:
        sent = prepare_sent(file.read())
    except TooBusy:
        raise Unavailable("Other pictures are being read; try again.") from None
    with stored(own.database, own.files, sent), own.database.transaction(user_id) as tx:
        check_room(tx, user_id, own.settings, size=file.size)
        media_id = name_sent(
            tx,
            user_id,
            sent,
            source=UPLOAD,
            persona_id=body.get("persona_id"),
            is_nsfw=body["is_nsfw"],
            tags=body.get("tags"),
        )
        keep_made(tx, media_id, 201, f"/api/media/{media_id}")
    return _answer(media_id)

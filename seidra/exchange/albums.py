"""The pictures of a library on their way in: planned with its personas, applied and taken back with
them.

While an import is a plan, each picture lies on the disk under the key that it will have, and a row
of the plan names it. One that is here already, by its id and size, comes no second time; where its
id is another user's, it gets one that is the same at each import.
"""

from __future__ import annotations

import contextlib
import io
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from marshmallow import ValidationError
from PIL import Image

from seidra.config import Settings
from seidra.database.base import Connection, Database, Row
from seidra.database.queries import queries
from seidra.errors import Invalid, Mistake, Unavailable
from seidra.exchange.found import Remark
from seidra.exchange.own import FoundPicture, Library
from seidra.files.base import Files
from seidra.files.keys import new_key
from seidra.media.chores import ANNOUNCED_SECONDS
from seidra.media.collections import MAX_COLLECTIONS, MAX_PICTURES
from seidra.media.crops import read_crop
from seidra.media.share_schemas import NewCollectionSchema
from seidra.media.trash import add_loras
from seidra.media.write import IMPORT, JOB, PRIVATE, UPLOAD, check_room, search_text, write_tag_keys
from seidra.nsfw import policy
from seidra.values import from_json, packed, timestamp_in, to_json, unpacked
from seidra.web.fields import Tags, check_json

_BATCH = 50
_BATCH_SECONDS = 0.15
_DEPTH = 32
_MAX_METADATA = 256 * 1024
_LARGEST = 64_000_000
"""Pixels of a picture."""

_MIME_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
_OWN_IDS = uuid.UUID("0f1c2d6e-52c1-5d0c-9d7a-6f1d6a1f7a55")
"""The namespace of ids that are made of a user's and a picture's."""

_TAGS = Tags()
_COLLECTION = NewCollectionSchema(only=("name", "description"))


class Album:
    """What becomes of the pictures of a library: `ids` says which picture here each is, of those
    that come in or are here; `remarks` what to tell."""

    def __init__(
        self, connection: Connection, user_id: int, library: Library, *, nsfw: bool
    ) -> None:
        self.library = library
        self.ids: dict[str, str] = {}
        self.entries: dict[str, int] = {}
        """The entries of the import by the uid that the library gives them."""
        self._coming: set[str] = set()
        self._shapes: dict[str, tuple[int, int]] = {}
        known = hidden = broken = 0
        for picture in library.pictures():
            if picture.error is not None or picture.id in self.ids or not _fits(picture):
                broken += 1
            elif picture.fields["is_nsfw"] and not nsfw:
                hidden += 1
            else:
                here, is_here = _id_here(connection, user_id, picture)
                self.ids[picture.id] = here
                self._shapes[picture.id] = picture.fields["width"], picture.fields["height"]
                if is_here:
                    known += 1
                else:
                    self._coming.add(picture.id)
        counts = {
            "pictures_coming": (len(self._coming), "pictures come along."),
            "pictures_known": (known, "pictures are here already."),
            "pictures_nsfw_off": (hidden, "pictures are NSFW, which is not in force for you."),
            "pictures_unreadable": (broken, "pictures of it cannot be read."),
        }
        self.remarks = [
            Remark(code, f"{count} {words}") for code, (count, words) in counts.items() if count
        ]

    def pictures(self) -> Iterator[FoundPicture]:
        """The pictures that come in."""
        for picture in self.library.pictures():
            if picture.id in self._coming:
                self._coming.discard(picture.id)
                yield picture

    def avatar_of(self, media_id: Any) -> str | None:
        """The picture here that is one of the library."""
        return self.ids.get(media_id) if isinstance(media_id, str) else None

    def avatar_and_crop(self, media_id: Any, crop: Any) -> dict[str, str | None]:
        """The same as columns of a persona, with the square of it that is shown, if it lies in
        it."""
        here = self.avatar_of(media_id)
        square = None
        if here is not None and isinstance(crop, str):
            width, height = self._shapes[media_id]
            with contextlib.suppress(ValueError):
                if read_crop(crop).is_within(width, height):
                    square = crop
        return {"avatar_media_id": here, "avatar_crop": square}


def _fits(picture: FoundPicture) -> bool:
    """Whether what a library says of a picture can be kept here."""
    fields = picture.fields
    try:
        check_json(fields["metadata"], _DEPTH)
        check_json([fields["nsfw_tags"], fields.get("model"), fields.get("color")])
        _TAGS.deserialize(fields["tags"])
    except Exception:
        return False
    color = fields.get("color")
    return (
        picture.fields["mime_type"] in _MIME_TYPES.values()
        and fields["file_type"] == "image"
        and 0 < fields["width"] * fields["height"] <= _LARGEST
        and len(to_json(fields["metadata"])) <= _MAX_METADATA
        and all(isinstance(tag, str) for tag in fields["nsfw_tags"])
        and (color is None or (len(color) == 7 and color.startswith("#")))
        and fields.get("source", IMPORT) in (JOB, UPLOAD, IMPORT)
    )


def _taken_collections(named: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of the collections that a picture's line names whose words the API takes too."""
    taken = []
    for each in named:
        words = {name: each[name] for name in ("name", "description")}
        with contextlib.suppress(ValidationError):
            taken.append(each | _COLLECTION.load(words))
    return taken


def _id_here(connection: Connection, user_id: int, picture: FoundPicture) -> tuple[str, bool]:
    """The id that a picture has here, and whether it is here."""
    others = str(uuid.uuid5(_OWN_IDS, f"{user_id} {picture.id}"))
    for media_id in (picture.id, others):
        found = queries.import_pictures.owner(connection, media_id=media_id)
        if found is None:
            return media_id, False
        if found["user_id"] == user_id:
            return media_id, True
    return str(uuid.uuid4()), False


def keep_album(
    database: Database, files: Files, user_id: int, import_id: str, album: Album, first: int
) -> int:
    """Put the pictures of a library that come in, and write them into a plan, from a number on;
    returns the next one. Raises Invalid for one that is none, or is not what its line says."""
    number = first
    for picture in album.pictures():
        data = album.library.read(picture)
        _check_picture(picture, data)
        media_id = album.ids[picture.id]
        key = new_key(media_id, picture.fields["mime_type"], import_id)
        due_at = timestamp_in(ANNOUNCED_SECONDS)
        with database.transaction() as tx:
            queries.media.announce(tx, [{"key": key, "due_at": due_at}])
        try:
            files.put(key, data, picture.fields["mime_type"])
        except OSError:
            raise Unavailable("There is no room for a picture on the server's disk.") from None
        fields = dict(picture.fields)
        fields["tags"] = _TAGS.deserialize(fields["tags"])
        fields["collections"] = _taken_collections(fields.get("collections", []))
        with database.transaction(user_id) as tx:
            if queries.media.announcement_take(tx, key=key):
                queries.import_pictures.add(
                    tx,
                    import_id=import_id,
                    n=number,
                    entry=album.entries.get(picture.persona_uid or ""),
                    media_id=media_id,
                    file_key=key,
                    size=len(data),
                    is_nsfw=fields["is_nsfw"],
                    document=packed(to_json(fields).encode()),
                )
                number += 1
    return number


def _check_picture(picture: FoundPicture, data: bytes) -> None:
    fields = picture.fields
    try:
        with Image.open(io.BytesIO(data), formats=tuple(_MIME_TYPES)) as image:
            seen = _MIME_TYPES[str(image.format)], image.width, image.height
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        seen = None
    if seen != (fields["mime_type"], fields["width"], fields["height"]):
        sentence = f"It is damaged: {picture.member} is not the picture that its line says."
        raise Invalid({"file": [Mistake(sentence, "damaged")]})


class AlbumWork:
    """Applies the pictures of an import and takes them back, some of them a transaction.
    `progress` fences each with the claim of whoever works."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        in_time: Callable[[], bool],
        progress: Callable[[Connection, str, int], None],
    ) -> None:
        self._database = database
        self._settings = settings
        self._in_time = in_time
        self._progress = progress

    def apply(self, row: Row) -> bool:
        """Let the pictures of an import come in; returns whether all are."""

        def write(tx: Connection, picture: Row, ready: Mapping[str, Any]) -> None:
            state = _add(tx, row["user_id"], picture, ready)
            queries.import_pictures.move(tx, import_id=row["id"], n=picture["n"], state=state)

        def check(tx: Connection, pictures: list[Row]) -> None:
            user_id = row["user_id"]
            size = sum(each["size"] for each in pictures)
            check_room(tx, user_id, self._settings, len(pictures), size)
            policy.check_may_make(tx, user_id, any(each["is_nsfw"] for each in pictures))

        return self._each(row, "planned", check, write)

    def take_back(self, row: Row, *, undo: bool) -> bool:
        """Take them out again, but for those that somebody has changed since; returns whether all
        are."""

        def write(tx: Connection, picture: Row, ready: Mapping[str, Any]) -> None:
            media_id, user_id = picture["media_id"], row["user_id"]
            version = queries.media.version(tx, id=media_id, user_id=user_id)
            if version == 1:
                queries.media.delete(tx, id=media_id, user_id=user_id)
                _drop_collections(tx, user_id, picture)
            state = "kept" if version not in (1, None) else "undone" if undo else "planned"
            queries.import_pictures.move(tx, import_id=row["id"], n=picture["n"], state=state)

        return self._each(row, "done", lambda tx, pictures: None, write)

    def _each(
        self,
        row: Row,
        state: str,
        check: Callable[[Connection, list[Row]], None],
        write: Callable[[Connection, Row, Mapping[str, Any]], None],
    ) -> bool:
        while left := queries.import_pictures.in_state(
            self._database.connection, import_id=row["id"], state=state, limit=_BATCH
        ):
            if not self._in_time():
                return False
            ready = [(picture, _ready(picture) if state == "planned" else {}) for picture in left]
            with self._database.transaction(row["user_id"]) as tx:
                began = time.monotonic()
                check(tx, left)
                for at, (picture, columns) in enumerate(ready):
                    if at and time.monotonic() - began > _BATCH_SECONDS:
                        break
                    write(tx, picture, columns)
                self._progress(tx, row["id"], row["entries"])
        return True


def _ready(picture: Row) -> dict[str, Any]:
    """The columns of a picture's media item, folded before its turn."""
    fields = from_json(unpacked(picture["document"]).decode())
    metadata, tags = fields["metadata"], fields["tags"]
    loras = metadata.get("loras")
    names = [lora.get("name") for lora in loras if isinstance(lora, dict)] if loras else []
    return {
        "fields": fields,
        "tags": tags,
        "loras": [name for name in names if isinstance(name, str)],
        "search_text": search_text(_texts(metadata), tags),
    }


def _texts(metadata: Mapping[str, Any]) -> dict[str, Any]:
    prompt = metadata.get("prompt")
    return {"prompt": prompt if isinstance(prompt, str) else ""}


def _add(tx: Connection, user_id: int, picture: Row, ready: Mapping[str, Any]) -> str:
    """Insert a media item; returns the state of its picture in the journal."""
    if picture["entry"] is not None and picture["persona_id"] is None:
        # Its persona was left out.
        return "skipped"
    if queries.media.exists(tx, id=picture["media_id"]) is not None:
        return "skipped"
    fields = ready["fields"]
    json = {name: to_json(fields[name]) for name in ("metadata", "tags", "nsfw_tags")}
    names = ("file_type", "mime_type", "width", "height", "is_favorite", "is_nsfw")
    queries.media.bring_back(
        tx,
        id=picture["media_id"],
        user_id=user_id,
        job_id=None,
        position=0,
        source=fields.get("source", IMPORT),
        persona_id=picture["persona_id"],
        **{name: fields[name] for name in names},
        **json,
        file_size=picture["size"],
        file_key=picture["file_key"],
        color=fields.get("color"),
        model=fields.get("model"),
        # Whatever it was where it comes from: who shares something here says so here.
        visibility=PRIVATE,
        with_details=False,
        search_text=ready["search_text"],
        version=1,
        created_at=fields["created_at"],
        updated_at=fields["updated_at"],
    )
    write_tag_keys(tx, user_id, picture["media_id"], ready["tags"])
    add_loras(tx, user_id, picture["media_id"], ready["loras"])
    for collection in fields.get("collections", ()):
        _collect(tx, user_id, picture["media_id"], collection)
    return "done"


def _collect(tx: Connection, user_id: int, media_id: str, collection: Mapping[str, Any]) -> None:
    """Put a picture where it stood in a collection, which comes along as a private one unless it
    is here. What is beyond the bounds of collections stays out of them."""
    collection_id, is_here = _collection_here(tx, user_id, collection["id"])
    if is_here:
        count = queries.collections.media_count(tx, id=collection_id, nsfw=True)
        if count >= MAX_PICTURES:
            return
    elif queries.collections.count_owned(tx, user_id=user_id) >= MAX_COLLECTIONS:
        return
    else:
        columns = ("name", "description", "created_at", "updated_at")
        queries.collections.bring_back(
            tx, id=collection_id, user_id=user_id, **{name: collection[name] for name in columns}
        )
    place = {"id": collection_id, "media_id": media_id, "position": collection["position"]}
    queries.collections.add(tx, [place])


def _collection_here(tx: Connection, user_id: int, collection_id: str) -> tuple[str, bool]:
    """The id that a collection of a library has here, and whether it is here: its own, or, where
    another has that, one that is the same at each import."""
    owner = queries.collections.owner(tx, id=collection_id)
    if owner in (None, user_id):
        return collection_id, owner is not None
    own = str(uuid.uuid5(_OWN_IDS, f"{user_id} {collection_id}"))
    return own, queries.collections.owner(tx, id=own) is not None


def _drop_collections(tx: Connection, user_id: int, picture: Row) -> None:
    """What a picture's collections came with goes with the last of their pictures."""
    fields = from_json(unpacked(picture["document"]).decode())
    for collection in fields.get("collections", ()):
        collection_id, is_here = _collection_here(tx, user_id, collection["id"])
        if is_here:
            queries.collections.drop_brought(tx, id=collection_id, user_id=user_id)


def drop_album(database: Database, import_id: str) -> None:
    """Delete the pictures of an import whose time is over, some of them a transaction; triggers
    queue the files of those that did not come in."""
    dropped = _BATCH
    while dropped == _BATCH:
        with database.transaction() as tx:
            dropped = queries.import_pictures.drop(tx, import_id=import_id, limit=_BATCH)


def count_room(connection: Connection, user_id: int, import_id: str, settings: Settings) -> None:
    """Raise QuotaExceeded or Forbidden where the pictures of a plan may not come in."""
    sums = queries.import_pictures.sums(connection, import_id=import_id)
    if sums is not None and sums["n"]:
        check_room(connection, user_id, settings, sums["n"], sums["bytes"])
        policy.check_may_make(connection, user_id, bool(sums["nsfw"]))

"""What exports are made of: a user's personas and pictures as they stand in the database, read a
page at a time, so that memory does not grow with them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from seidra import parameters
from seidra.database.base import Database, Row, required_row
from seidra.database.queries import queries
from seidra.exchange.found import GivenPersona, History, Source
from seidra.exchange.own import FORMAT, GivenPicture
from seidra.files.base import Files
from seidra.media.keys import row_key
from seidra.media.thumbnails import TooBusy, thumbnail_key
from seidra.values import from_json, to_json, unpacked

Cover = Literal["none", "head", "small", "whole"]
"""How the picture that stands for a persona goes along; "head": as what it begins with, which says
its type."""

_HEAD = 16

_SMALL = 640
_PAGE = 100
_JSON = ("metadata", "tags", "nsfw_tags")
_FLAGS = ("is_favorite", "is_nsfw")


@dataclass(frozen=True)
class Chosen:
    """Which personas are exported: `ids`, or all (None). `nsfw`: also those that are NSFW, and such
    pictures. With all of them go the pictures that have no persona."""

    ids: Sequence[int] | None
    nsfw: bool

    def as_json(self) -> str:
        """For the column of an export."""
        return to_json({"ids": self.ids, "nsfw": self.nsfw})

    @staticmethod
    def of_json(text: str) -> Chosen:
        """Out of the column of an export."""
        return Chosen(**from_json(text))


class Belongings:
    """What a user has of what is chosen."""

    def __init__(self, database: Database, files: Files, user_id: int, chosen: Chosen) -> None:
        self._database = database
        self._files = files
        self._user_id = user_id
        self._chosen = chosen

    def count(self) -> int:
        """How many personas there are."""
        if self._chosen.ids is not None:
            return len(self._chosen.ids)
        connection = self._database.connection
        return int(
            queries.personas.count(
                connection, user_id=self._user_id, nsfw=self._chosen.nsfw, favorite=None
            )
        )

    def pictures_size(self) -> tuple[int, int]:
        """How many pictures there are, and their bytes; without the avatars that are another
        persona's pictures."""
        connection, user_id, nsfw = self._database.connection, self._user_id, self._chosen.nsfw
        if self._chosen.ids is None:
            counts = required_row(queries.media.counts(connection, user_id=user_id, nsfw=nsfw))
            return counts["total"], counts["bytes"]
        count = size = 0
        for persona_id in self._chosen.ids:
            row = required_row(
                queries.media.persona_bytes(
                    connection, persona_id=persona_id, user_id=user_id, nsfw=nsfw
                )
            )
            count, size = count + row["n"], size + row["bytes"]
        return count, size

    def covers_bytes(self) -> int:
        """The bytes of the pictures that stand for the personas."""
        covers = (self._cover(row) for row in self._rows())
        return sum(cover["file_size"] for cover in covers if cover is not None)

    def personas(self, cover: Cover = "none") -> Iterator[GivenPersona]:
        """The personas, the oldest first where all are chosen; the pictures that stand for them
        small, whole or without their bytes."""
        for row in self._rows():
            yield self._given(row, cover)

    def pictures(self) -> Iterator[GivenPicture]:
        """The pictures of the personas, and their avatars, whosever pictures these are."""
        if self._chosen.ids is None:
            yield from self._pages("user", None)
            return
        avatars: dict[str, None] = {}
        seen: set[str] = set()
        for row in self._rows():
            if row["avatar_media_id"] is not None:
                avatars[row["avatar_media_id"]] = None
            for picture in self._pages("persona", row["id"]):
                if picture.line["id"] in avatars:
                    seen.add(picture.line["id"])
                yield picture
        for avatar in avatars:
            if avatar not in seen:
                yield from self._avatar(avatar)

    def _rows(self) -> Iterator[Row]:
        """The rows of the personas, whole; of what is gone meanwhile there is none."""
        connection, user_id = self._database.connection, self._user_id
        for row in (
            self._all_rows()
            if self._chosen.ids is None
            else (
                queries.personas.whole(connection, id=persona_id, user_id=user_id)
                for persona_id in self._chosen.ids
            )
        ):
            if row is not None and (self._chosen.nsfw or not row["is_nsfw"]):
                yield row

    def _all_rows(self) -> Iterator[Row]:
        since, after = "", 0
        while page := queries.personas.whole_page(
            self._database.connection,
            user_id=self._user_id,
            since=since,
            after=after,
            limit=_PAGE,
        ):
            yield from page
            since, after = page[-1]["created_at"], page[-1]["id"]

    def _picture_of(self, row: Row, cover: Cover) -> bytes | None:
        found = self._cover(row)
        if found is None or found["mime_type"].startswith("video/"):
            return None
        if cover == "none":
            return b""
        key = row_key(found)
        try:
            if cover == "small":
                with contextlib.suppress(TooBusy):
                    key = thumbnail_key(self._files, key, _SMALL)
            with self._files.open(key) as file:
                return file.read(_HEAD if cover == "head" else -1)
        except OSError:
            return None

    def _given(self, row: Row, cover: Cover) -> GivenPersona:
        return GivenPersona(
            fields={
                "name": row["name"],
                "description": row["description"],
                "style_prompt": row["style_prompt"],
                "negative_prompt": row["negative_prompt"],
                "loras": from_json(row["loras"]),
                "generation_params": parameters.shown(from_json(row["generation_params"])),
                "tags": from_json(row["tags"]),
                "is_favorite": bool(row["is_favorite"]),
                "is_nsfw": bool(row["is_nsfw"]),
                "visibility": row["visibility"],
                "avatar_url": row["avatar_url"],
            },
            uid=row["uid"],
            revision=row["revision"],
            extensions=from_json(row["extensions"]),
            source=self._source(row),
            picture=self._picture_of(row, cover),
            history=History(
                created_at=row["created_at"],
                updated_at=row["updated_at"],
                revision=row["revision"],
                revised={
                    "at": row["revised_at"],
                    "by": row["revised_by"],
                    "note": row["revision_note"],
                },
                revisions=[_revision(each) for each in self._revisions(row)],
                avatar=row["avatar_media_id"],
                crop=row["avatar_crop"],
            ),
        )

    def _revisions(self, row: Row) -> Sequence[Row]:
        if row["revision"] == 1:
            return ()
        return queries.revisions.whole(
            self._database.connection,
            user_id=self._user_id,
            persona_id=row["id"],
            nsfw=self._chosen.nsfw,
        )

    def _source(self, row: Row) -> Source | None:
        """Where a persona came from; that it came from SEIDRA says nothing that it does not say
        itself."""
        found = queries.sources.get(
            self._database.connection, persona_id=row["id"], user_id=self._user_id
        )
        if found is None or found["format"] == FORMAT:
            return None
        return Source(
            found["format"],
            found["tool"],
            found["file"],
            found["entry"],
            None if found["original"] is None else unpacked(found["original"]),
            from_json(found["facts"]),
            {
                "base": from_json(unpacked(found["base"]).decode()),
                "revision": found["revision"],
                "imported_at": found["imported_at"],
            },
        )

    def _cover(self, row: Row) -> Row | None:
        return queries.media.cover(
            self._database.connection,
            user_id=self._user_id,
            persona_id=row["id"],
            avatar_media_id=row["avatar_media_id"],
            nsfw=self._chosen.nsfw,
        )

    def _pages(
        self, of: Literal["user", "persona"], persona_id: int | None
    ) -> Iterator[GivenPicture]:
        since = after = ""
        while page := queries.media.whole_page(
            self._database.connection,
            of=of,
            user_id=self._user_id,
            persona_id=persona_id,
            nsfw=self._chosen.nsfw,
            since=since,
            after=after,
            limit=_PAGE,
        ):
            yield from map(self._picture, page)
            since, after = page[-1]["created_at"], page[-1]["id"]

    def _avatar(self, media_id: str) -> Iterator[GivenPicture]:
        row = queries.media.whole_with_persona(
            self._database.connection, id=media_id, user_id=self._user_id, nsfw=self._chosen.nsfw
        )
        if row is not None:
            yield self._picture(row)

    def _picture(self, row: Row) -> GivenPicture:
        line = _picture_line(row)
        if self._chosen.ids is None:
            # Who is given some personas is not told in what their pictures are put together.
            line["collections"] = [
                dict(each)
                for each in queries.collections.holding(
                    self._database.connection, media_id=row["id"], user_id=self._user_id
                )
            ]
        return GivenPicture(line, partial(self._files.open, row_key(row)))


def _revision(row: Row) -> dict[str, Any]:
    """A kept revision as our own JSON has it."""
    values = from_json(unpacked(row["document"]).decode())
    extensions = values.pop("extensions", {})
    return {
        "number": row["number"],
        "at": row["made_at"],
        "by": row["made_by"],
        "note": row["note"],
        "is_nsfw": bool(row["is_nsfw"]),
        "values": values,
        "extensions": extensions,
    }


def _picture_line(row: Row) -> dict[str, Any]:
    """A row of media as a line of a library."""
    line = {name: row[name] for name in row.keys() if name != "file_key"}  # noqa: SIM118 (no dict)
    line |= {name: from_json(line[name]) for name in _JSON}
    return line | {name: bool(line[name]) for name in _FLAGS}

"""How a media row looks to its owner, and to whom it is shared with."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from seidra.database.base import Row
from seidra.files.keys import EXTENSIONS
from seidra.folding import cut_text
from seidra.media.links import Links
from seidra.media.thumbnails import smaller_sizes
from seidra.media.write import SHARED
from seidra.values import json_fragment

_UNNAMEABLE = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\u200e\u200f\u2028-\u202e\u2066-\u2069]+')
"""What no file may be called on some system, or what turns a name around."""

_NAME = 50
"""Characters of a persona's name in a file's: 255 bytes are what a file system takes."""


def media_json(row: Row, links: Links, user: Row) -> dict[str, Any]:
    """A media row as the API shows it to the user who owns it, with links that are valid for a
    while."""
    return {
        **_picture_json(row, links, user["id"]),
        "user_id": user["id"],
        "owner": {"id": user["id"], "username": user["username"]},
        "is_mine": True,
        "job_id": row["job_id"],
        "persona_id": row["persona_id"],
        "source": row["source"],
        "metadata": json_fragment(row["metadata"]),
        "tags": json_fragment(row["tags"]),
        "is_favorite": bool(row["is_favorite"]),
        "nsfw_tags": json_fragment(row["nsfw_tags"]),
        "visibility": row["visibility"],
        "with_details": bool(row["with_details"]),
        "version": row["version"],
        "updated_at": row["updated_at"],
    }


def seen_json(row: Row, links: Links, user: Row) -> dict[str, Any]:
    """A media row of whoever owns it as the API shows it to a user who may see it. Of others' there
    is the picture; prompt, parameters and tags where they are given too (`details`)."""
    if row["owner_id"] == user["id"]:
        return media_json(row, links, user)
    details = bool(row["details"])
    return {
        **_picture_json(row, links, user["id"]),
        "user_id": row["owner_id"],
        "owner": {"id": row["owner_id"], "username": row["owner_name"]},
        "is_mine": False,
        # Job and persona are things of the owner alone.
        "job_id": None,
        "persona_id": None,
        "source": row["source"],
        "metadata": json_fragment(row["metadata"]) if details else {},
        "tags": json_fragment(row["tags"]) if details else [],
        "is_favorite": False,
        "nsfw_tags": json_fragment(row["nsfw_tags"]) if details else [],
        "visibility": SHARED,
        "with_details": details,
        "version": row["version"],
        # When its owner wrote it last tells what nobody has given.
        "updated_at": row["created_at"],
    }


def _picture_json(row: Row, links: Links, user_id: int) -> dict[str, Any]:
    """What everybody sees of a picture who sees it, with links for this user."""
    link = partial(links.make, row["id"], user_id=user_id)
    url, thumbnail_url = link("content"), link("thumbnail")
    return {
        "id": row["id"],
        "url": url,
        "thumbnail_url": thumbnail_url,
        # The same links, under the names that the Ultimate frontend reads; no path of a disk.
        "file_path": url,
        "thumbnail_path": thumbnail_url,
        "download_url": link("download"),
        "color": row["color"],
        "file_type": row["file_type"],
        "mime_type": row["mime_type"],
        **picture_links(links, row["id"], row["width"], row["height"], user_id),
        "file_size": row["file_size"],
        "is_nsfw": bool(row["is_nsfw"]),
        "created_at": row["created_at"],
    }


def picture_links(
    links: Links, media_id: str, width: int, height: int, user_id: int
) -> dict[str, Any]:
    """The size of a picture in pixels, and its thumbnails: the sizes below its own."""
    smaller = smaller_sizes(width, height)
    urls = links.make_thumbnails(media_id, [size for size, *_ in smaller], user_id)
    return {
        "thumbnails": [
            {"url": url, "width": small_width, "height": small_height}
            for url, (_, small_width, small_height) in zip(urls, smaller, strict=True)
        ],
        "width": width,
        "height": height,
    }


def plain_name(text: str) -> str:
    """A text as the name of a file on any system, without what is at its edges."""
    return _UNNAMEABLE.sub("-", text).strip(" .-")


def file_name(created_at: str, mime_type: str, persona: str | None, seed: object) -> str:
    """What a picture is called as a file to keep: by persona, date and seed, as far as these are
    told."""
    name = cut_text(plain_name(persona or ""), _NAME).strip(" .-")
    parts = [name or "seidra", created_at[:10]]
    if isinstance(seed, int | str) and re.fullmatch(r"[0-9]{1,20}", str(seed)):
        parts.append(str(seed))
    return " ".join(parts) + EXTENSIONS[mime_type]

"""A persona's fields as its row stores them, and as they are where nobody says anything."""

from __future__ import annotations

from typing import Any

from seidra.database.base import Row
from seidra.values import from_json

DEFAULTS: dict[str, Any] = {
    "description": "",
    "style_prompt": "",
    "negative_prompt": "",
    "loras": [],
    "generation_params": {},
    "tags": [],
    "is_favorite": False,
    "is_nsfw": False,
    "avatar_url": None,
    "avatar_media_id": None,
    "avatar_crop": None,
}
JSON = ("loras", "generation_params", "tags")
"""The columns that hold JSON."""

FLAGS = ("is_favorite", "is_nsfw")
STORED = ("name", *DEFAULTS)


def stored_values(row: Row) -> dict[str, Any]:
    """A row's fields as they are stored, to merge a change into."""
    stored = {name: from_json(row[name]) if name in JSON else row[name] for name in STORED}
    return stored | {name: bool(row[name]) for name in FLAGS}

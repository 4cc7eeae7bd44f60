"""How a persona looks to whom it is shown: what the API answers is made of a row here and nowhere
else."""

from __future__ import annotations

from typing import Any

from seidra import parameters
from seidra.database.base import Row
from seidra.files.keys import SIZES
from seidra.media.crops import Crop, crop_sizes, read_crop
from seidra.media.links import Links, thumbnail_variant
from seidra.media.thumbnails import SIZE
from seidra.media.view import picture_links
from seidra.personas.loras import lora_names
from seidra.personas.revisions import Revision
from seidra.values import from_json, json_fragment


def persona_json(row: Row, links: Links, user_id: int) -> dict[str, Any]:
    """A row of `personas.get` or a page, as a user sees it: their own, or one that another shares.
    An avatar of its owner's media is a fresh link for that user."""
    media_id = row["shown_media_id"]
    loras = from_json(row["loras"])
    return {
        "id": row["id"],
        "uid": row["uid"],
        "name": row["name"],
        "description": row["description"],
        "style_prompt": row["style_prompt"],
        "negative_prompt": row["negative_prompt"],
        "loras": loras,
        "lora_models": lora_names(loras),
        "generation_params": parameters.shown(from_json(row["generation_params"])),
        "tags": json_fragment(row["tags"]),
        "is_favorite": bool(row["is_favorite"]),
        "is_nsfw": bool(row["is_nsfw"]),
        "visibility": row["visibility"],
        "owner": {"id": row["user_id"], "username": row["owner_name"]},
        "is_mine": row["user_id"] == user_id,
        # Older frontends keep things of their own here; SEIDRA has `tags` and fields for them.
        "metadata": {},
        "version": row["version"],
        "revision": row["revision"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "avatar_url": links.make(
            media_id, thumbnail_variant(SIZE, row["avatar_crop"] or ""), user_id
        )
        if media_id
        else row["avatar_url"],
        "cover": _cover_json(row, links, user_id),
    }


def card_json(row: Row, links: Links, user_id: int) -> dict[str, Any]:
    """The same without what a card in a grid does not show, which may be long."""
    persona = persona_json(row, links, user_id)
    for name in ("description", "negative_prompt", "generation_params"):
        del persona[name]
    return persona


def _cover_json(row: Row, links: Links, user_id: int) -> dict[str, Any] | None:
    """The picture that stands for a persona: its avatar, else the newest of the user's own that may
    be shown. Another's avatar is there as thumbnails, without what a file says of how it was
    made."""
    media_id, size = row["cover_media_id"], (row["cover_width"], row["cover_height"])
    if media_id is None or None in size:
        return None
    kind = "avatar" if media_id == row["shown_media_id"] else "latest"
    if kind == "avatar" and row["avatar_crop"] is not None:
        return _cropped_cover(media_id, read_crop(row["avatar_crop"]), links, user_id)
    foreign = kind == "avatar" and row["user_id"] != user_id
    return {
        "media_id": media_id,
        "kind": kind,
        "crop": None,
        "url": links.make(
            media_id, thumbnail_variant(max(SIZES)) if foreign else "content", user_id
        ),
        **picture_links(links, media_id, *size, user_id),
    }


def _cropped_cover(media_id: str, crop: Crop, links: Links, user_id: int) -> dict[str, Any]:
    """The same of an avatar of which a square is shown."""

    def link(size: int) -> str:
        return links.make(media_id, thumbnail_variant(size, str(crop)), user_id)

    return {
        "media_id": media_id,
        "kind": "avatar",
        "crop": crop._asdict(),
        "url": link(max(SIZES)),
        "thumbnails": [
            {"url": link(size), "width": size, "height": size} for size in crop_sizes(crop)
        ],
        "width": min(crop.size, max(SIZES)),
        "height": min(crop.size, max(SIZES)),
    }


def revision_json(revision: Revision) -> dict[str, Any]:
    """A revision in a list."""
    return {
        "number": revision.number,
        "at": revision.at,
        "by": revision.by,
        "note": revision.note,
        "changed": list(revision.changed),
        "content_hash": revision.content_hash,
        "is_current": revision.is_current,
        "is_nsfw": revision.is_nsfw,
    }


def whole_revision_json(revision: Revision) -> dict[str, Any]:
    """A revision with what restoring it brings back, in the words of a persona."""
    values = revision.values
    return revision_json(revision) | {
        "name": values["name"],
        "description": values["description"],
        "style_prompt": values["style_prompt"],
        "negative_prompt": values["negative_prompt"],
        "loras": values["loras"],
        "lora_models": lora_names(values["loras"]),
        "generation_params": parameters.shown(values["generation_params"]),
        "tags": values["tags"],
    }

"""/api/media."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import Response, g

from seidra.auth.tokens import login_required
from seidra.database.base import Row, required_row
from seidra.database.queries import queries
from seidra.errors import NotFound
from seidra.files.keys import EXTENSIONS
from seidra.media.access import linked_user
from seidra.media.answers import send_bare, send_crop, send_stored, send_thumbnail
from seidra.media.crops import read_crop
from seidra.media.keys import row_key
from seidra.media.links import thumbnail_variant
from seidra.media.pages import media_page, media_spread, media_timeline, seen_counts, seen_page
from seidra.media.schemas import (
    CHANGED_EXAMPLE,
    MEDIA_EXAMPLE,
    ChangedMediaSchema,
    DownloadQuery,
    FavoriteSchema,
    LinkQuery,
    MediaChangeSchema,
    MediaPageSchema,
    MediaQuery,
    MediaSchema,
    MediaStatsQuery,
    MediaStatsSchema,
    TagsSchema,
    ThumbnailQuery,
    TimelineQuery,
    TimelineSchema,
)
from seidra.media.trash import delete_item
from seidra.media.view import file_name, media_json, seen_json
from seidra.media.write import change_item, deletable_version, own_item, seen_item
from seidra.nsfw import policy
from seidra.values import from_json
from seidra.web import rates
from seidra.web.answers import check_if_match, no_content, page_headers, reply, reply_versioned
from seidra.web.blueprint import Blueprint
from seidra.web.services import services

blp = Blueprint("media", __name__, url_prefix="/api/media", description="What was generated")


# ------------------------------------------------------------------------------------------ reading


@blp.route("", methods=["GET"])
@login_required
@blp.arguments(MediaQuery, location="query")
@blp.response(200, MediaPageSchema, example={"total": 1, "items": [MEDIA_EXAMPLE]})
def list_media(query: dict[str, Any]) -> Response:
    """My media, or those that others share too, the newest first or last."""
    with services().database.snapshot() as connection:
        nsfw = policy.may_list_nsfw(connection, g.user["id"], query["include_nsfw"])
        mine = query["scope"] == "mine"
        read_page, shown = (media_page, media_json) if mine else (seen_page, seen_json)
        rows, total = read_page(connection, g.user["id"], nsfw, query)
    headers = page_headers(total, query["limit"], query["offset"])
    items = [shown(row, services().links, g.user) for row in rows]
    return reply({"total": total, "items": items}, headers=headers)


@blp.route("/stats", methods=["GET"])
@login_required
@blp.arguments(MediaStatsQuery, location="query")
@blp.response(
    200,
    MediaStatsSchema,
    example={
        "total": 2,
        "favorites": 1,
        "nsfw": 0,
        "by_type": {"image": 2, "video": 0},
        "total_size": 1824690,
        "total_images": 2,
        "favorites_count": 1,
        "recent_count": 1,
        "by_persona": {"Élodie of the Tides": 2},
        "by_date": {"2026-01-31": 1},
    },
)
def stats(query: dict[str, Any]) -> Response:
    """My media in figures, or those that others share too."""
    scope = query["scope"]
    with services().database.snapshot() as connection:
        nsfw = policy.may_list_nsfw(connection, g.user["id"], query["include_nsfw"])
        row: Row | dict[str, int] = (
            required_row(queries.media.counts(connection, user_id=g.user["id"], nsfw=nsfw))
            if scope == "mine"
            else seen_counts(connection, g.user["id"], nsfw, scope)
        )
        spread = media_spread(connection, g.user["id"], nsfw, scope)
    return reply(
        {
            "total": row["total"],
            "favorites": row["favorites"],
            "nsfw": row["nsfw"],
            "by_type": {"image": row["images"], "video": row["videos"]},
            "total_size": row["bytes"],
            "total_images": row["images"],
            "favorites_count": row["favorites"],
            **spread,
        }
    )


@blp.route("/timeline", methods=["GET"])
@login_required
@blp.arguments(TimelineQuery, location="query")
@blp.response(
    200, TimelineSchema(many=True), example=[{"month": "2026-01", "day": None, "count": 41}]
)
def timeline(query: dict[str, Any]) -> Response:
    """How many of my media were made in each month or day, the newest first; none has none."""
    with services().database.snapshot() as connection:
        nsfw = policy.may_list_nsfw(connection, g.user["id"], query["include_nsfw"])
        periods = media_timeline(connection, g.user["id"], nsfw, query)
    return reply(periods)


@blp.route("/<uuid:media_id>", methods=["GET"])
@login_required
@blp.response(200, MediaSchema, example=MEDIA_EXAMPLE)
@blp.alt_response(304, description="Not modified")
def read(media_id: UUID) -> Response:
    """One media item, mine or shared."""
    row = seen_item(services().database.connection, g.user["id"], str(media_id))
    return reply_versioned(seen_json(row, services().links, g.user), row["version"])


def _answer(row: Row, message: str | None = None) -> Response:
    shown = media_json(row, services().links, g.user)
    if message is not None:
        shown |= {"media_id": row["id"], "message": message}
    return reply_versioned(shown, row["version"])


# ------------------------------------------------------------------------------------------ writing


@blp.route("/<uuid:media_id>", methods=["PATCH"])
@login_required
@blp.arguments(MediaChangeSchema, example={"tags": ["keep"], "is_favorite": True})
@blp.response(200, MediaSchema, example=MEDIA_EXAMPLE)
@blp.alt_response(403, "PROBLEM")
@blp.alt_response(412, "PROBLEM")
def patch(change: dict[str, Any], media_id: UUID) -> Response:
    """Change a media item."""
    return _answer(_change(media_id, lambda row: change))


@blp.route("/<uuid:media_id>/favorite", methods=["PUT"])
@login_required
@blp.arguments(FavoriteSchema, required=False, example={"value": True})
@blp.response(200, ChangedMediaSchema, example=CHANGED_EXAMPLE | {"message": "It is no favourite."})
@blp.alt_response(412, "PROBLEM")
def put_favorite(body: dict[str, Any], media_id: UUID) -> Response:
    """Make it a favourite or not; without a value, toggle."""
    row = _change(media_id, lambda row: {"is_favorite": body.get("value", not row["is_favorite"])})
    return _answer(row, f"It is {'a' if row['is_favorite'] else 'no'} favourite.")


@blp.route("/<uuid:media_id>/tags", methods=["PUT"])
@login_required
@blp.arguments(TagsSchema, example={"tags": ["keep", "cover"]})
@blp.response(200, ChangedMediaSchema, example=CHANGED_EXAMPLE)
@blp.alt_response(412, "PROBLEM")
def put_tags(body: dict[str, Any], media_id: UUID) -> Response:
    """Replace the tags; a bare array of them is taken too."""
    return _answer(_change(media_id, lambda row: body), "The tags are written.")


def _change(media_id: UUID, change_of: Callable[[Row], dict[str, Any]]) -> Row:
    with services().database.transaction(g.user["id"]) as tx:
        row = own_item(tx, g.user["id"], str(media_id))
        check_if_match(row["version"])
        return change_item(tx, g.user["id"], row, change_of(row))


@blp.route("/<uuid:media_id>", methods=["DELETE"])
@login_required
@blp.response(204)
@blp.alt_response(412, "PROBLEM")
def delete(media_id: UUID) -> Response:
    """Delete a media item: it lies in the trash for a while."""
    with services().database.transaction(g.user["id"]) as tx:
        check_if_match(deletable_version(tx, g.user["id"], str(media_id)))
        delete_item(tx, g.user["id"], str(media_id), services().settings.keep_trash_days)
    services().wake.set()
    return no_content()


# -------------------------------------------------------------------------------------------- files


def _linked_row(media_id: UUID, variant: str, link: dict[str, Any]) -> tuple[Row, int, int]:
    """The row that a signed link or a Bearer token lets be loaded, for how many seconds a browser
    may keep it, and whom it is loaded for; row, rights and NSFW settings are checked at each
    use."""
    user_id, max_age = linked_user(str(media_id), variant, link)
    row = queries.media.linked(services().database.connection, id=str(media_id), user_id=user_id)
    if row is None:
        raise NotFound("media item")
    # What is shared can be taken back: the browser asks again each time.
    return row, max_age if row["owner_id"] == user_id else 0, user_id


def _linked_thumbnail(media_id: UUID, variant: str, link: dict[str, Any]) -> tuple[Row, int]:
    """The same of a thumbnail, which lets the avatar of a shared persona be seen by others too:
    it has no prompt in it, and of an avatar that is a square there is the square alone."""
    user_id, max_age = linked_user(str(media_id), variant, link)
    connection = services().database.connection
    row = queries.media.linked(connection, id=str(media_id), user_id=user_id)
    if row is not None:
        return row, max_age if row["owner_id"] == user_id else 0
    row = queries.media.linked_avatar(
        connection, id=str(media_id), crop=link["crop"], user_id=user_id
    )
    if row is None:
        raise NotFound("media item")
    return row, 0


_PICTURE = {"schema": {"type": "string", "format": "binary"}}
_OTHER_PICTURES = {200: {"content": dict.fromkeys(("image/jpeg", "image/webp"), _PICTURE)}}
"""What a picture that was sent in may be, beside PNG."""


@blp.route("/<uuid:media_id>/content", methods=["GET"])
@rates.counts_itself
@blp.arguments(LinkQuery, location="query")
@blp.response(
    200, {"type": "string", "format": "binary"}, content_type="image/png", description="The picture"
)
@blp.alt_response(403, "PROBLEM")
@blp.doc(security=[{}, {"access": []}], responses=_OTHER_PICTURES)
def content(link: dict[str, Any], media_id: UUID) -> Response:
    """The picture, in the page; ranges and ETag work."""
    row, max_age, _ = _linked_row(media_id, "content", link)
    name = f"seidra-{media_id}{EXTENSIONS[row['mime_type']]}"
    if not row["details"]:
        tag = f"{media_id}-content-bare"
        return send_bare(row_key(row), row["mime_type"], tag, max_age, row["id"], name)
    return send_stored(
        row_key(row), row["mime_type"], f"{media_id}-content", max_age, row["id"], name
    )


@blp.route("/<uuid:media_id>/thumbnail", methods=["GET"])
@rates.counts_itself
@blp.arguments(ThumbnailQuery, location="query")
@blp.response(
    200,
    {"type": "string", "format": "binary"},
    content_type="image/webp",
    description="The thumbnail",
)
@blp.alt_response(403, "PROBLEM")
@blp.doc(security=[{}, {"access": []}])
def thumbnail(link: dict[str, Any], media_id: UUID) -> Response:
    """The picture, or a square of it, in a smaller size; one that is not there is made."""
    variant = thumbnail_variant(link["size"], link["crop"])
    row, max_age = _linked_thumbnail(media_id, variant, link)
    tag = f"{media_id}-{variant.replace(':', '-')}"
    if link["crop"]:
        crop, picture = read_crop(link["crop"]), (row["width"], row["height"])
        if not crop.is_within(*picture):
            raise NotFound("part of the picture")
        return send_crop(row_key(row), picture, crop, link["size"], tag, max_age, str(media_id))
    return send_thumbnail(row_key(row), link["size"], tag, max_age, str(media_id))


@blp.route("/<uuid:media_id>/download", methods=["GET"])
@rates.counts_itself
@blp.arguments(DownloadQuery, location="query")
@blp.response(
    200, {"type": "string", "format": "binary"}, content_type="image/png", description="The picture"
)
@blp.alt_response(403, "PROBLEM")
@blp.doc(security=[{}, {"access": []}], responses=_OTHER_PICTURES)
def download(link: dict[str, Any], media_id: UUID) -> Response:
    """The picture, as a file to keep, called by persona, date and seed."""
    row, max_age, user_id = _linked_row(media_id, "download", link)
    about = required_row(queries.media.named(services().database.connection, id=row["id"]))
    metadata = from_json(about["metadata"])
    told = metadata.get("persona")
    # Of another's persona the name that it had when the picture was made.
    persona = about["persona"] or (told.get("name") if isinstance(told, dict) else None)
    name = file_name(
        about["created_at"],
        row["mime_type"],
        persona if row["owner_id"] == user_id else None,
        metadata.get("seed") if row["details"] else None,
    )
    if link["metadata"] == "none" or not row["details"]:
        tag = f"{media_id}-download-bare"
        return send_bare(
            row_key(row), row["mime_type"], tag, max_age, row["id"], name, attached=True
        )
    tag = f"{media_id}-download"
    return send_stored(row_key(row), row["mime_type"], tag, max_age, row["id"], name, attached=True)

"""/api/shares and /api/collections, and the links of a media item."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal
from uuid import UUID

from flask import Response, g

from seidra.auth.tokens import login_required
from seidra.database.base import Connection, Row
from seidra.database.queries import queries
from seidra.media import collections, sharing
from seidra.media.schemas import MEDIA_EXAMPLE
from seidra.media.share_schemas import (
    COLLECTION_EXAMPLE,
    IDS_EXAMPLE,
    LINK_EXAMPLE,
    MADE_EXAMPLE,
    NEW_COLLECTION_EXAMPLE,
    SHARE_EXAMPLE,
    CollectionChangeSchema,
    CollectionMediaQuery,
    CollectionMediaSchema,
    CollectionPageSchema,
    CollectionSchema,
    CollectionsQuery,
    MadeLinkSchema,
    MediaIdsSchema,
    NewCollectionSchema,
    ShareLinkPageSchema,
    ShareSchema,
)
from seidra.media.view import seen_json
from seidra.media.write import own_item
from seidra.nsfw import policy
from seidra.web.answers import (
    SECRET,
    check_if_match,
    no_content,
    page_headers,
    public_url,
    reply,
    reply_versioned,
)
from seidra.web.blueprint import Blueprint
from seidra.web.fields import PageQuery
from seidra.web.services import services

shares_blp = Blueprint(
    "shares", __name__, url_prefix="/api", description="Links that show a picture to outsiders"
)
collections_blp = Blueprint(
    "collections",
    __name__,
    url_prefix="/api/collections",
    description="Media put together, for oneself or for everybody on the instance",
)


# -------------------------------------------------------------------------------------------- links


@shares_blp.route("/media/<uuid:media_id>/share", methods=["POST"])
@login_required
@shares_blp.arguments(ShareSchema, example=SHARE_EXAMPLE)
@shares_blp.response(201, MadeLinkSchema, example=MADE_EXAMPLE)
@shares_blp.alt_response(403, "PROBLEM")
@shares_blp.alt_response(409, "PROBLEM")
def share_media(body: dict[str, Any], media_id: UUID) -> Response:
    """Make a link that shows one picture of mine to whoever has it."""
    with services().database.transaction(g.user["id"]) as tx:
        row = own_item(tx, g.user["id"], str(media_id))
        link = sharing.share_media(tx, g.user["id"], row, body["days"], body["with_details"])
    return _made(link)


def _made(link: sharing.MadeLink) -> Response:
    shown = {
        "id": link.id,
        "url": f"{public_url()}/s/{link.token}",
        "expires_at": link.expires_at,
    }
    return reply(shown, 201, SECRET)


@shares_blp.route("/media/<uuid:media_id>/shares", methods=["GET"])
@login_required
@shares_blp.arguments(PageQuery, location="query")
@shares_blp.response(200, ShareLinkPageSchema, example={"total": 1, "items": [LINK_EXAMPLE]})
def list_media_shares(query: dict[str, Any], media_id: UUID) -> Response:
    """The links to one picture of mine that are good, the newest first."""
    with services().database.snapshot() as connection:
        own_item(connection, g.user["id"], str(media_id))
        return _links(connection, "media", query, str(media_id))


@shares_blp.route("/shares", methods=["GET"])
@login_required
@shares_blp.arguments(PageQuery, location="query")
@shares_blp.response(200, ShareLinkPageSchema, example={"total": 1, "items": [LINK_EXAMPLE]})
def list_shares(query: dict[str, Any]) -> Response:
    """All my links that are good, the newest first."""
    with services().database.snapshot() as connection:
        return _links(connection, "user", query)


def _links(
    connection: Connection,
    of: Literal["user", "media", "collection"],
    query: dict[str, Any],
    item_id: str | None = None,
) -> Response:
    rows, total = sharing.links_page(connection, g.user["id"], of, query, item_id)
    items = [
        {
            "id": row["id"],
            "media_id": row["media_id"],
            "collection_id": row["collection_id"],
            "with_details": bool(row["with_details"]),
            "created_at": row["created_at"],
            "expires_at": row["expires_at"],
        }
        for row in rows
    ]
    headers = page_headers(total, query["limit"], query["offset"])
    return reply({"total": total, "items": items}, headers=headers)


@shares_blp.route("/shares/<uuid:share_id>", methods=["DELETE"])
@login_required
@shares_blp.response(204)
def take_back(share_id: UUID) -> Response:
    """Take a link back: it is dead at once."""
    with services().database.transaction(g.user["id"]) as tx:
        sharing.take_back(tx, g.user["id"], str(share_id))
    return no_content()


# -------------------------------------------------------------------------------------- collections


@collections_blp.route("", methods=["GET"])
@login_required
@collections_blp.arguments(CollectionsQuery, location="query")
@collections_blp.response(
    200, CollectionPageSchema, example={"total": 1, "items": [COLLECTION_EXAMPLE]}
)
def list_collections(query: dict[str, Any]) -> Response:
    """My collections, or those that others share, the newest first."""
    with services().database.snapshot() as connection:
        nsfw = policy.may_list_nsfw(connection, g.user["id"], query["include_nsfw"])
        rows, total = collections.collections_page(connection, g.user["id"], nsfw, query)
    headers = page_headers(total, query["limit"], query["offset"])
    links = services().links
    items = [collections.collection_json(row, links, g.user["id"]) for row in rows]
    return reply({"total": total, "items": items}, headers=headers)


@collections_blp.route("", methods=["POST"])
@login_required
@collections_blp.arguments(NewCollectionSchema, example=NEW_COLLECTION_EXAMPLE)
@collections_blp.response(201, CollectionSchema, example=COLLECTION_EXAMPLE)
@collections_blp.alt_response(403, "PROBLEM")
@collections_blp.alt_response(409, "PROBLEM")
def create(body: dict[str, Any]) -> Response:
    """Make a collection, with nothing in it."""
    with services().database.transaction(g.user["id"]) as tx:
        collection_id = collections.create_collection(tx, g.user["id"], body)
        row = collections.own_collection(tx, g.user["id"], collection_id)
    return _answer(row, 201, Location=f"{public_url()}/api/collections/{collection_id}")


def _answer(row: Row, status: int = 200, **headers: str) -> Response:
    shown = collections.collection_json(row, services().links, g.user["id"])
    return reply_versioned(shown, row["version"], status, **headers)


@collections_blp.route("/<uuid:collection_id>", methods=["GET"])
@login_required
@collections_blp.response(200, CollectionSchema, example=COLLECTION_EXAMPLE)
@collections_blp.alt_response(304, description="Not modified")
def read(collection_id: UUID) -> Response:
    """One collection, mine or shared."""
    connection = services().database.connection
    return _answer(collections.seen_collection(connection, g.user["id"], str(collection_id)))


def _change(collection_id: UUID, change: Callable[[Connection, Row], None]) -> Response:
    with services().database.transaction(g.user["id"]) as tx:
        row = collections.own_collection(tx, g.user["id"], str(collection_id))
        check_if_match(row["version"])
        change(tx, row)
        changed = collections.own_collection(tx, g.user["id"], str(collection_id))
    return _answer(changed)


@collections_blp.route("/<uuid:collection_id>", methods=["PATCH"])
@login_required
@collections_blp.arguments(CollectionChangeSchema, example={"visibility": "shared"})
@collections_blp.response(200, CollectionSchema, example=COLLECTION_EXAMPLE)
@collections_blp.alt_response(403, "PROBLEM")
@collections_blp.alt_response(412, "PROBLEM")
def patch(change: dict[str, Any], collection_id: UUID) -> Response:
    """Change a collection of mine."""
    return _change(
        collection_id,
        lambda tx, row: collections.change_collection(tx, g.user["id"], row, change),
    )


@collections_blp.route("/<uuid:collection_id>", methods=["DELETE"])
@login_required
@collections_blp.response(204)
@collections_blp.alt_response(412, "PROBLEM")
def delete(collection_id: UUID) -> Response:
    """Delete a collection of mine and its links; its media stay."""
    with services().database.transaction(g.user["id"]) as tx:
        row = collections.own_collection(tx, g.user["id"], str(collection_id))
        check_if_match(row["version"])
        queries.collections.delete(tx, id=row["id"], user_id=g.user["id"])
    return no_content()


@collections_blp.route("/<uuid:collection_id>/media", methods=["GET"])
@login_required
@collections_blp.arguments(CollectionMediaQuery, location="query")
@collections_blp.response(
    200, CollectionMediaSchema, example={"total": 1, "items": [MEDIA_EXAMPLE]}
)
def list_collection_media(query: dict[str, Any], collection_id: UUID) -> Response:
    """The media of a collection, in order."""
    with services().database.snapshot() as connection:
        nsfw = policy.may_list_nsfw(connection, g.user["id"], query["include_nsfw"])
        rows, total = collections.collection_media(
            connection, g.user["id"], str(collection_id), nsfw, query
        )
    headers = page_headers(total, query["limit"], query["offset"])
    items = [seen_json(row, services().links, g.user) for row in rows]
    return reply({"total": total, "items": items}, headers=headers)


@collections_blp.route("/<uuid:collection_id>/media", methods=["POST"])
@login_required
@collections_blp.arguments(MediaIdsSchema, example=IDS_EXAMPLE)
@collections_blp.response(200, CollectionSchema, example=COLLECTION_EXAMPLE)
@collections_blp.alt_response(409, "PROBLEM")
@collections_blp.alt_response(412, "PROBLEM")
def add_media(body: dict[str, Any], collection_id: UUID) -> Response:
    """Put media of mine at the end of a collection, all or none."""
    return _change(
        collection_id,
        lambda tx, row: collections.add_media(tx, g.user["id"], row["id"], body["ids"]),
    )


@collections_blp.route("/<uuid:collection_id>/media", methods=["DELETE"])
@login_required
@collections_blp.arguments(MediaIdsSchema, example=IDS_EXAMPLE)
@collections_blp.response(200, CollectionSchema, example=COLLECTION_EXAMPLE)
@collections_blp.alt_response(412, "PROBLEM")
def remove_media(body: dict[str, Any], collection_id: UUID) -> Response:
    """Take media out of a collection of mine."""
    return _change(
        collection_id,
        lambda tx, row: collections.remove_media(tx, g.user["id"], row["id"], body["ids"]),
    )


@collections_blp.route("/<uuid:collection_id>/order", methods=["PUT"])
@login_required
@collections_blp.arguments(MediaIdsSchema, example=IDS_EXAMPLE)
@collections_blp.response(200, CollectionSchema, example=COLLECTION_EXAMPLE)
@collections_blp.alt_response(409, "PROBLEM")
@collections_blp.alt_response(412, "PROBLEM")
def put_order(body: dict[str, Any], collection_id: UUID) -> Response:
    """Let these come first, in this order; the others follow in theirs."""
    return _change(
        collection_id,
        lambda tx, row: collections.order_media(tx, g.user["id"], row["id"], body["ids"]),
    )


@collections_blp.route("/<uuid:collection_id>/share", methods=["POST"])
@login_required
@collections_blp.arguments(ShareSchema, example=SHARE_EXAMPLE)
@collections_blp.response(201, MadeLinkSchema, example=MADE_EXAMPLE)
@collections_blp.alt_response(403, "PROBLEM")
@collections_blp.alt_response(409, "PROBLEM")
def share_collection(body: dict[str, Any], collection_id: UUID) -> Response:
    """Make a link that shows a collection of mine to whoever has it."""
    with services().database.transaction(g.user["id"]) as tx:
        row = collections.own_collection(tx, g.user["id"], str(collection_id))
        link = sharing.share_collection(
            tx, g.user["id"], row["id"], body["days"], body["with_details"]
        )
    return _made(link)


@collections_blp.route("/<uuid:collection_id>/shares", methods=["GET"])
@login_required
@collections_blp.arguments(PageQuery, location="query")
@collections_blp.response(200, ShareLinkPageSchema, example={"total": 1, "items": [LINK_EXAMPLE]})
def list_collection_shares(query: dict[str, Any], collection_id: UUID) -> Response:
    """The links to one collection of mine that are good, the newest first."""
    with services().database.snapshot() as connection:
        collections.own_collection(connection, g.user["id"], str(collection_id))
        return _links(connection, "collection", query, str(collection_id))

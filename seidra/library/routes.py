"""/api/trash."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Response, g

from seidra.auth.tokens import login_required
from seidra.database.queries import queries
from seidra.errors import NotFound
from seidra.library import trash
from seidra.library.schemas import (
    ENTRY_EXAMPLE,
    RESTORE_EXAMPLE,
    RESTORED_EXAMPLE,
    RestoredSchema,
    RestoreSchema,
    TrashPageSchema,
    TrashQuery,
)
from seidra.media.access import linked_user
from seidra.media.answers import send_thumbnail
from seidra.media.links import TRASH
from seidra.media.schemas import LinkQuery
from seidra.media.thumbnails import SIZE
from seidra.nsfw import policy
from seidra.web import rates
from seidra.web.answers import no_content, page_headers, reply
from seidra.web.blueprint import Blueprint
from seidra.web.services import services

trash_blp = Blueprint(
    "trash", __name__, url_prefix="/api/trash", description="What was deleted and can come back"
)


@trash_blp.route("", methods=["GET"])
@login_required
@trash_blp.arguments(TrashQuery, location="query")
@trash_blp.response(200, TrashPageSchema, example={"total": 1, "items": [ENTRY_EXAMPLE]})
def list_trash(query: dict[str, Any]) -> Response:
    """My trash, what was deleted last first."""
    with services().database.snapshot() as connection:
        nsfw = policy.may_list_nsfw(connection, g.user["id"], query["include_nsfw"])
        rows, total = trash.read_page(connection, g.user["id"], nsfw, query)
    headers = page_headers(total, query["limit"], query["offset"])
    items = [trash.entry_json(row, services().links, g.user["id"]) for row in rows]
    return reply({"total": total, "items": items}, headers=headers)


@trash_blp.route("/restore", methods=["POST"])
@login_required
@trash_blp.arguments(RestoreSchema, example=RESTORE_EXAMPLE)
@trash_blp.response(200, RestoredSchema, example=RESTORED_EXAMPLE)
@trash_blp.alt_response(404, "PROBLEM")
@trash_blp.alt_response(409, "PROBLEM")
def restore(body: dict[str, Any]) -> Response:
    """Bring back what was deleted, under its own id: all of it or, where something is not there
    or a quota is full, none."""
    with services().database.transaction(g.user["id"]) as tx:
        restored = trash.restore_entries(tx, g.user["id"], body["ids"], services().settings)
    return reply({"restored": restored})


@trash_blp.route("", methods=["DELETE"])
@login_required
@trash_blp.response(204)
def empty() -> Response:
    """Delete all of it for ever, also what the NSFW settings hide."""
    trash.empty_trash(services().database, g.user["id"])
    services().wake.set()
    return no_content()


@trash_blp.route("/<uuid:entry_id>", methods=["DELETE"])
@login_required
@trash_blp.response(204)
def purge(entry_id: UUID) -> Response:
    """Delete an entry for ever."""
    with services().database.transaction(g.user["id"]) as tx:
        trash.purge_entry(tx, g.user["id"], str(entry_id))
    services().wake.set()
    return no_content()


@trash_blp.route("/<uuid:entry_id>/thumbnail", methods=["GET"])
@rates.counts_itself
@trash_blp.arguments(LinkQuery, location="query")
@trash_blp.response(
    200,
    {"type": "string", "format": "binary"},
    content_type="image/webp",
    description="The thumbnail",
)
@trash_blp.alt_response(403, "PROBLEM")
@trash_blp.doc(security=[{}, {"access": []}])
def thumbnail(link: dict[str, Any], entry_id: UUID) -> Response:
    """The thumbnail of a picture in the trash."""
    user_id, max_age = linked_user(str(entry_id), "thumbnail", link, TRASH)
    row = queries.trash.linked(services().database.connection, id=str(entry_id), user_id=user_id)
    if row is None:
        raise NotFound("entry of the trash")
    return send_thumbnail(row["file_key"], SIZE, f"{entry_id}-thumbnail", max_age, row["item_id"])

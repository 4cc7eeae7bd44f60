"""/api/admin/invitations: links with which people make their own accounts, for administrators."""

from __future__ import annotations

import logging
from typing import Any

from flask import Response, g
from marshmallow import Schema, fields, validate

from seidra.auth import invitations
from seidra.auth.schemas import Email
from seidra.auth.tokens import admin_required
from seidra.database.base import INSTANCE, Row
from seidra.database.queries import queries
from seidra.errors import NotFound
from seidra.values import timestamp
from seidra.web.answers import SECRET, no_content, page_headers, public_url, reply
from seidra.web.blueprint import Blueprint
from seidra.web.fields import Body, PageQuery, Text, Whole
from seidra.web.services import services

blp = Blueprint(
    "invitations",
    __name__,
    url_prefix="/api/admin/invitations",
    description="Links with which people make their own accounts",
)

_log = logging.getLogger(__name__)

OPEN, USED, EXPIRED = "open", "used", "expired"


class InvitationSchema(Schema):
    """An invitation, without its link."""

    id = fields.Integer()
    status = fields.String(validate=validate.OneOf((OPEN, USED, EXPIRED)))
    email = fields.String(
        allow_none=True, metadata={"description": "Who alone may use it; null: whoever has it."}
    )
    note = fields.String()
    group_id = fields.Integer(
        allow_none=True,
        metadata={"description": "The group of the account it makes; null: none."},
    )
    created_at = fields.DateTime()
    expires_at = fields.DateTime()
    made_by = fields.String(
        allow_none=True,
        metadata={"description": "A username; null: the command line, or who is gone."},
    )
    used_at = fields.DateTime(allow_none=True)
    used_by = fields.String(
        allow_none=True, metadata={"description": "The username of the account it made."}
    )


class InvitationsSchema(Schema):
    """A page of the invitations, the last one first."""

    total = fields.Integer()
    invitations = fields.List(fields.Nested(InvitationSchema))


class NewInvitationSchema(Body):
    """An invitation to be."""

    READ_ONLY = frozenset(InvitationSchema._declared_fields) - {"email", "note", "group_id"}

    email = Email(allow_none=True, load_default=None)
    days = Whole(
        1,
        invitations.MOST_DAYS,
        load_default=invitations.DAYS,
        metadata={"description": "How long it is good."},
    )
    note = Text(0, 200, line=True, load_default="")
    group_id = Whole(
        1,
        2**31 - 1,
        allow_none=True,
        load_default=None,
        metadata={"description": "The group that the account is put into; null: none."},
    )


class MadeInvitationSchema(Schema):
    """An invitation that was just made: its link is told this once."""

    id = fields.Integer()
    url = fields.String()
    expires_at = fields.DateTime()


_EXAMPLE = {
    "id": 4,
    "status": OPEN,
    "email": None,
    "note": "for Grandma",
    "group_id": None,
    "created_at": "2026-01-31T12:00:00.000000Z",
    "expires_at": "2026-02-07T12:00:00.000000Z",
    "made_by": "alice",
    "used_at": None,
    "used_by": None,
}


@blp.route("", methods=["GET"])
@admin_required
@blp.arguments(PageQuery, location="query")
@blp.response(200, InvitationsSchema, example={"total": 1, "invitations": [_EXAMPLE]})
def list_invitations(query: dict[str, Any]) -> Response:
    """The invitations, those too that were used or have expired, for a year."""
    limit, offset = query["limit"], query["offset"]
    with services().database.snapshot() as connection:
        rows = queries.invitations.page(connection, limit=limit, offset=offset)
        total = queries.invitations.count(connection)
    now = timestamp()
    return reply(
        {"total": total, "invitations": [_invitation_json(row, now) for row in rows]},
        headers=page_headers(total, limit, offset),
    )


def _invitation_json(row: Row, now: str) -> dict[str, Any]:
    status = USED if row["used_at"] else OPEN if row["expires_at"] > now else EXPIRED
    shown = ("id", "email", "note", "group_id", "created_at", "expires_at", "used_at")
    return {
        **{name: row[name] for name in shown},
        "status": status,
        "made_by": row["maker"],
        "used_by": row["guest"],
    }


@blp.route("", methods=["POST"])
@admin_required
@blp.arguments(NewInvitationSchema, required=False, example={"note": "for Grandma", "days": 7})
@blp.response(
    201,
    MadeInvitationSchema,
    example={
        "id": 4,
        "url": "/join#k3uTm4yJ0hVZb9sQxwE2rD7fGnLpAcIo5BvXq1zKtHY",
        "expires_at": "2026-02-07T12:00:00.000000Z",
    },
)
def make_invitation(body: dict[str, Any]) -> Response:
    """A link at which one person makes an account, once, where registration is closed too. It is
    told this once."""
    with services().database.transaction(INSTANCE) as tx:
        made = invitations.invite(
            tx,
            g.user["id"],
            email=body["email"],
            days=body["days"],
            note=body["note"],
            group_id=body["group_id"],
        )
    _log.info("administrator %d made invitation %d", g.user["id"], made.id)
    url = f"{public_url()}{made.path}"
    return reply({"id": made.id, "url": url, "expires_at": made.expires_at}, 201, SECRET)


@blp.route("/<id:invitation_id>", methods=["DELETE"])
@admin_required
@blp.response(204)
def take_back(invitation_id: int) -> Response:
    """Take an invitation back that nobody has used: its link is worth nothing any more."""
    with services().database.transaction(INSTANCE) as tx:
        if not queries.invitations.delete(tx, id=invitation_id):
            raise NotFound("open invitation")
    return no_content()

"""/api/hand-overs: what others leave to me; and, for administrators, offering it."""

from __future__ import annotations

import logging
from typing import Any, Literal

from flask import Response, g
from marshmallow import Schema, fields, validate

from seidra.auth.tokens import admin_required, login_required
from seidra.database.base import INSTANCE, Connection, Row
from seidra.database.queries import queries
from seidra.errors import NotFound
from seidra.library import hand_over
from seidra.web.answers import PRIVATE, no_content, page_headers, public_url, reply
from seidra.web.blueprint import Blueprint
from seidra.web.fields import Body, PageQuery, Text, Whole, one_of
from seidra.web.repeats import keep_made, repeatable
from seidra.web.services import services

blp = Blueprint(
    "hand_overs", __name__, url_prefix="/api/hand-overs", description="What others leave to me"
)
admin_blp = Blueprint(
    "hand_overs_admin", __name__, url_prefix="/api/admin", description="Accounts and the instance"
)

_log = logging.getLogger(__name__)

_MOST = 2_147_483_647


class PartySchema(Schema):
    """An account, under the name that it had."""

    id = fields.Integer()
    username = fields.String()


class FiguresSchema(Schema):
    """How much there is."""

    personas = fields.Integer()
    media = fields.Integer()
    bytes = fields.Integer()


class StayingSchema(Schema):
    """How much stays with who had it."""

    personas = fields.Integer()
    media = fields.Integer()


class HandOverSchema(Schema):
    """What an account hands over to another one. `going`: what goes once it is accepted, or has
    still to; null when it is over. `staying`: what is NSFW while that is not in force for the
    receiver, and at the end all that was not moved."""

    id = fields.Integer()
    from_ = fields.Nested(PartySchema, data_key="from")
    to = fields.Nested(PartySchema)
    what = fields.String(validate=validate.OneOf(hand_over.WHAT))
    status = fields.String(validate=validate.OneOf(hand_over.STATUSES))
    going = fields.Nested(FiguresSchema, allow_none=True)
    moved = fields.Nested(FiguresSchema)
    staying = fields.Nested(StayingSchema)
    created_at = fields.DateTime()
    expires_at = fields.DateTime(
        metadata={"description": "Until when the receiver may answer."},
    )
    answered_at = fields.DateTime(allow_none=True)
    ended_at = fields.DateTime(allow_none=True)


class HandOversSchema(Schema):
    """A page of them, the last one first."""

    total = fields.Integer()
    hand_overs = fields.List(fields.Nested(HandOverSchema))


class NewHandOverSchema(Body):
    """What is to be offered to whom."""

    READ_ONLY = frozenset(
        f.data_key or name for name, f in HandOverSchema._declared_fields.items()
    ) - {"to", "what"}

    to = Whole(
        1, _MOST, required=True, metadata={"description": "The id of the account that gets it."}
    )
    what = Text(required=True, validate=one_of(*hand_over.WHAT))


_EXAMPLE = {
    "id": 2,
    "from": {"id": 3, "username": "bob"},
    "to": {"id": 2, "username": "alice"},
    "what": "all",
    "status": "pending",
    "going": {"personas": 12, "media": 28, "bytes": 25_600_000},
    "moved": {"personas": 0, "media": 0, "bytes": 0},
    "staying": {"personas": 0, "media": 0},
    "created_at": "2026-01-31T12:00:00.000000Z",
    "expires_at": "2026-03-02T12:00:00.000000Z",
    "answered_at": None,
    "ended_at": None,
}
_ACCEPTED = _EXAMPLE | {"status": "accepted", "answered_at": "2026-02-01T09:00:00.000000Z"}
_DECLINED = _EXAMPLE | {
    "status": "declined",
    "going": None,
    "answered_at": "2026-02-01T09:00:00.000000Z",
    "ended_at": "2026-02-01T09:00:00.000000Z",
}


def _page(query: dict[str, Any], to_id: int | None) -> Response:
    limit, offset = query["limit"], query["offset"]
    which: Literal["all", "to"] = "all" if to_id is None else "to"
    with services().database.snapshot() as connection:
        rows = queries.hand_overs.page(
            connection, which=which, to_id=to_id, limit=limit, offset=offset
        )
        total = queries.hand_overs.count(connection, which=which, to_id=to_id)
        shown = [hand_over.hand_over_json(connection, row) for row in rows]
    return reply({"total": total, "hand_overs": shown}, headers=page_headers(total, limit, offset))


# --------------------------------------------------------------------------------------- receivers


@blp.route("", methods=["GET"])
@login_required
@blp.arguments(PageQuery, location="query")
@blp.response(200, HandOversSchema, example={"total": 1, "hand_overs": [_EXAMPLE]})
def list_mine(query: dict[str, Any]) -> Response:
    """What others leave to me: to be answered, on its way, and what was."""
    return _page(query, g.user["id"])


@blp.route("/<id:hand_over_id>/accept", methods=["POST"])
@login_required
@blp.response(202, HandOverSchema, example=_ACCEPTED)
@blp.alt_response(409, "PROBLEM")
def accept(hand_over_id: int) -> Response:
    """Accept it: a worker makes it mine, and `moved` says how far it is."""
    found = hand_over.read_hand_over(
        services().database.connection, hand_over_id, to_id=g.user["id"]
    )
    with services().database.transaction((found["from_id"], found["to_id"])) as tx:
        hand_over.accept(tx, found, services().settings)
        answer = hand_over.hand_over_json(tx, hand_over.read_hand_over(tx, hand_over_id))
    return reply(answer, 202, PRIVATE)


@blp.route("/<id:hand_over_id>/decline", methods=["POST"])
@login_required
@blp.response(200, HandOverSchema, example=_DECLINED)
@blp.alt_response(409, "PROBLEM")
def decline(hand_over_id: int) -> Response:
    """Decline it: everything stays where it is."""
    with services().database.transaction(g.user["id"]) as tx:
        found = hand_over.read_hand_over(tx, hand_over_id, to_id=g.user["id"])
        hand_over.decline(tx, found)
        answer = hand_over.hand_over_json(tx, hand_over.read_hand_over(tx, hand_over_id))
    return reply(answer)


# ---------------------------------------------------------------------------------- administrators


@admin_blp.route("/hand-overs", methods=["GET"])
@admin_required
@admin_blp.arguments(PageQuery, location="query")
@admin_blp.response(200, HandOversSchema, example={"total": 1, "hand_overs": [_EXAMPLE]})
def list_all(query: dict[str, Any]) -> Response:
    """Who has handed over how much to whom, and when: a record for good."""
    return _page(query, None)


def _show_made(hand_over_id: str) -> Response:
    connection = services().database.connection
    return reply(_read(connection, int(hand_over_id)))


def _read(connection: Connection, hand_over_id: int) -> dict[str, Any]:
    return hand_over.hand_over_json(connection, hand_over.read_hand_over(connection, hand_over_id))


@admin_blp.route("/hand-overs/<id:hand_over_id>", methods=["GET"])
@admin_required
@admin_blp.response(200, HandOverSchema, example=_EXAMPLE)
def read_one(hand_over_id: int) -> Response:
    """One of them."""
    return reply(_read(services().database.connection, hand_over_id))


@admin_blp.route("/hand-overs/<id:hand_over_id>", methods=["DELETE"])
@admin_required
@admin_blp.response(204)
@admin_blp.alt_response(409, "PROBLEM")
def withdraw(hand_over_id: int) -> Response:
    """Withdraw an offer that nobody has answered. It stays on record."""
    with services().database.transaction(INSTANCE) as tx:
        hand_over.withdraw(tx, hand_over.read_hand_over(tx, hand_over_id))
    return no_content()


@admin_blp.route("/users/<id:user_id>/hand-over", methods=["POST"])
@admin_required
@repeatable(_show_made)
@admin_blp.arguments(NewHandOverSchema, example={"to": 2, "what": "all"})
@admin_blp.response(201, HandOverSchema, example=_EXAMPLE)
@admin_blp.alt_response(409, "PROBLEM")
def make_offer(body: dict[str, Any], user_id: int) -> Response:
    """Offer what an account has to another one, which has thirty days to accept. The account may be
    disabled already; it is not deleted by this."""
    with services().database.transaction(INSTANCE) as tx:
        giver: Row | None = queries.users.get(tx, id=user_id)
        if giver is None:
            raise NotFound("account")
        made = hand_over.offer(tx, giver, body["to"], body["what"], g.user["id"])
        path = f"/api/admin/hand-overs/{made}"
        keep_made(tx, made, 201, path)
        answer = _read(tx, made)
    _log.info(
        "administrator %d offered what account %d has to account %d",
        g.user["id"],
        user_id,
        body["to"],
    )
    return reply(answer, 201, {**PRIVATE, "Location": public_url() + path})

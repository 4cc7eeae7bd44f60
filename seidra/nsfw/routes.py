"""/api/settings/nsfw: what a user, and what the instance, allows."""

from __future__ import annotations

from typing import Any

from flask import Response, g

from seidra.auth.keys import key_scope
from seidra.auth.tokens import admin_required, login_required
from seidra.database.base import INSTANCE, Connection
from seidra.database.queries import queries
from seidra.errors import Invalid
from seidra.nsfw import policy
from seidra.nsfw.schemas import NSFW_EXAMPLE, NsfwChangeSchema, NsfwSchema
from seidra.values import timestamp, to_json
from seidra.web.answers import reply
from seidra.web.blueprint import Blueprint
from seidra.web.services import services

blp = Blueprint("nsfw", __name__, url_prefix="/api/settings/nsfw", description="NSFW settings")

_CATEGORIES = {"suggestive": False, "explicit": False, "violence": False}


def _write_settings(tx: Connection, user_id: int | None, settings: dict[str, Any]) -> Response:
    if policy.stored_settings(tx, user_id) == settings:
        return reply(settings)
    queries.nsfw.put(
        tx,
        user_id=user_id,
        enabled=settings["enabled"],
        age_verified=settings["age_verified"],
        intensity=settings["intensity"],
        categories=to_json(settings["categories"]),
        overrides=to_json(settings["overrides"]),
        now=timestamp(),
    )
    return reply(settings)


def _check_wishes(tx: Connection, body: dict[str, Any]) -> None:
    """Raise Invalid for what goes beyond the instance's settings or what I am allowed."""
    allowed = policy.is_allowed(tx, g.user["id"])
    if errors := policy.wishes_beyond(body, policy.instance_settings(tx), allowed=allowed):
        raise Invalid(errors)


def _merged_settings(stored: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    categories = stored["categories"] | change.get("categories", {})
    return {**stored, **change, "categories": categories}


@blp.route("", methods=["GET"])
@login_required
@blp.response(200, NsfwSchema, example=NSFW_EXAMPLE)
def read() -> Response:
    """My NSFW settings; before I said anything the instance's, without its age word."""
    return reply(policy.user_settings(services().database.connection, g.user["id"]))


@blp.route("", methods=["PUT"])
@login_required
@key_scope(None)
@blp.arguments(NsfwSchema, example=NSFW_EXAMPLE)
@blp.response(200, NsfwSchema, example=NSFW_EXAMPLE)
def replace(body: dict[str, Any]) -> Response:
    """Replace my NSFW settings; nothing may go beyond the instance's default."""
    with services().database.transaction(g.user["id"]) as tx:
        _check_wishes(tx, body)
        return _write_settings(
            tx, g.user["id"], _merged_settings({"categories": _CATEGORIES}, body)
        )


@blp.route("", methods=["PATCH"])
@login_required
@key_scope(None)
@blp.arguments(NsfwChangeSchema, example={"age_verified": True})
@blp.response(200, NsfwSchema, example=NSFW_EXAMPLE)
def merge(body: dict[str, Any]) -> Response:
    """Change some of my NSFW settings."""
    with services().database.transaction(g.user["id"]) as tx:
        _check_wishes(tx, body)
        return _write_settings(
            tx, g.user["id"], _merged_settings(policy.user_settings(tx, g.user["id"]), body)
        )


@blp.route("/default", methods=["GET"])
@admin_required
@blp.response(200, NsfwSchema, example=NSFW_EXAMPLE)
def read_default() -> Response:
    """The instance's NSFW settings."""
    return reply(policy.instance_settings(services().database.connection))


@blp.route("/default", methods=["PUT"])
@admin_required
@blp.arguments(NsfwSchema, example=NSFW_EXAMPLE)
@blp.response(200, NsfwSchema, example=NSFW_EXAMPLE)
def replace_default(body: dict[str, Any]) -> Response:
    """Replace the instance's NSFW settings."""
    with services().database.transaction(INSTANCE) as tx:
        return _write_settings(tx, None, _merged_settings({"categories": _CATEGORIES}, body))


@blp.route("/default", methods=["PATCH"])
@admin_required
@blp.arguments(NsfwChangeSchema, example={"intensity": "low"})
@blp.response(200, NsfwSchema, example=NSFW_EXAMPLE)
def merge_default(body: dict[str, Any]) -> Response:
    """Change some of the instance's NSFW settings."""
    with services().database.transaction(INSTANCE) as tx:
        return _write_settings(tx, None, _merged_settings(policy.instance_settings(tx), body))

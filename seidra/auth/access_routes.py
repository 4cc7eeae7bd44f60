"""/api/auth/sessions and /api/auth/keys: who has access to my account, and how to end it."""

from __future__ import annotations

from typing import Any

from flask import Response, g

from seidra.auth import keys
from seidra.auth.routes import bound_body, confirmed_account, unchanged_account
from seidra.auth.schemas import (
    KEY_EXAMPLE,
    SESSION_EXAMPLE,
    EndedSchema,
    KeysSchema,
    MadeKeySchema,
    NewKeySchema,
    SessionsSchema,
)
from seidra.auth.tokens import login_required
from seidra.database.queries import queries
from seidra.errors import NotFound
from seidra.values import timestamp
from seidra.web.answers import SECRET, no_content, reply
from seidra.web.blueprint import Blueprint
from seidra.web.services import services

blp = Blueprint("access", __name__, url_prefix="/api/auth", description="Sessions and API keys")
blp.before_request(bound_body)

_MOST_SESSIONS = 100


@blp.route("/sessions", methods=["GET"])
@login_required
@blp.response(200, SessionsSchema, example={"sessions": [SESSION_EXAMPLE]})
def list_sessions() -> Response:
    """Where I am logged in."""
    rows = queries.users.session_list(
        services().database.connection,
        user_id=g.user["id"],
        now=timestamp(),
        limit=_MOST_SESSIONS,
    )
    sessions = [
        {
            "id": row["handle"],
            "user_agent": row["user_agent"],
            "created_at": row["created_at"],
            "last_used_at": row["last_used_at"],
            "expires_at": row["expires_at"],
            "current": row["id"] == g.user["session_id"],
        }
        for row in rows
    ]
    return reply({"sessions": sessions})


@blp.route("/sessions/<handle>", methods=["DELETE"])
@login_required
@blp.response(204)
def end_session(handle: str) -> Response:
    """End one of my sessions: its tokens are worthless from here on."""
    with services().database.transaction(g.user["id"]) as tx:
        if not queries.users.session_end_by_handle(tx, handle=handle, user_id=g.user["id"]):
            raise NotFound("session")
    return no_content()


@blp.route("/sessions/end-others", methods=["POST"])
@login_required
@blp.response(200, EndedSchema, example={"ended": 2})
def end_other_sessions() -> Response:
    """End all of my sessions but this one. API keys stay."""
    with services().database.transaction(g.user["id"]) as tx:
        ended = queries.users.end_sessions(tx, user_id=g.user["id"], keep=g.user["session_id"])
    return reply({"ended": ended})


@blp.route("/keys", methods=["GET"])
@login_required
@blp.response(200, KeysSchema, example={"keys": [KEY_EXAMPLE]})
def list_keys() -> Response:
    """My API keys; those that have expired too, for a while."""
    rows = queries.api_keys.list_all(services().database.connection, user_id=g.user["id"])
    return reply({"keys": [keys.key_json(row) for row in rows]})


@blp.route("/keys", methods=["POST"])
@login_required
@blp.arguments(
    NewKeySchema,
    example={
        "name": "nightly script",
        "scope": "generate",
        "expires_in_days": 90,
        "current_password": "a long phrase",
    },
)
@blp.response(
    201,
    MadeKeySchema,
    example={**KEY_EXAMPLE, "key": "seidra_k3uTm4yJ0hVZb9sQxwE2rD7fGnLpAcIo5BvXq1zxB4w"},
)
@blp.alt_response(403, "PROBLEM")
@blp.alt_response(409, "PROBLEM")
def make_key(body: dict[str, Any]) -> Response:
    """Make an API key, with the present password. The key is told this once."""
    stored = confirmed_account(body["current_password"], "current_password")
    with services().database.transaction(g.user["id"]) as tx:
        unchanged_account(tx, stored)
        made = keys.make_key(tx, stored["id"], body["name"], body["scope"], body["expires_in_days"])
    return reply(made, 201, SECRET)


@blp.route("/keys/<id:key_id>", methods=["DELETE"])
@login_required
@blp.response(204)
def end_key(key_id: int) -> Response:
    """End an API key: it and its streams are over at once."""
    with services().database.transaction(g.user["id"]) as tx:
        if not queries.api_keys.delete(tx, id=key_id, user_id=g.user["id"]):
            raise NotFound("API key")
    return no_content()

"""/api/auth: accounts and sessions, and /api/settings: what a user prefers."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from flask import Response, g
from marshmallow import ValidationError

from seidra.auth import accounts, passwords, tokens
from seidra.auth.schemas import (
    TOKEN_EXAMPLE,
    USER_EXAMPLE,
    AccountSchema,
    LoginSchema,
    PasswordSchema,
    RegisterSchema,
    SettingsSchema,
    TokenSchema,
    UserSchema,
    merge_settings,
)
from seidra.auth.tokens import login_required
from seidra.database.base import INSTANCE, Connection, Row, required_row
from seidra.database.queries import queries
from seidra.errors import Forbidden, Invalid, Unauthorized
from seidra.values import from_json, timestamp, to_json
from seidra.web import rates
from seidra.web.answers import SECRET, no_content, reply
from seidra.web.blueprint import Blueprint
from seidra.web.problems import flatten_messages
from seidra.web.services import services

P = ParamSpec("P")
R = TypeVar("R")

blp = Blueprint(
    "auth", __name__, url_prefix="/api/auth", description="Accounts, sessions and tokens"
)
settings_blp = Blueprint(
    "settings", __name__, url_prefix="/api/settings", description="What a user prefers"
)


def registration_open(view: Callable[P, R]) -> Callable[P, R]:
    """403 before anything else where registration is closed."""

    @wraps(view)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        if services().settings.registration != "open":
            raise Forbidden("Registration is closed here; ask the operator for an account.")
        return view(*args, **kwargs)

    return checked


@blp.route("/register", methods=["POST"])
@registration_open
@rates.limited("register")
@blp.arguments(
    RegisterSchema,
    example={"username": "alice", "email": "alice@example.com", "password": "a long phrase"},
)
@blp.response(201, TokenSchema, example=TOKEN_EXAMPLE)
@blp.alt_response(403, "PROBLEM")
@blp.alt_response(409, "PROBLEM")
def register(body: dict[str, Any]) -> Response:
    """Make an account and log in. The first account ever is an administrator."""
    rates.count_name(accounts.name_key(body["username"]), "register")
    digest = passwords.hash_password(body["password"], services().settings)
    with services().database.transaction(INSTANCE) as tx:
        user = accounts.create_account(tx, body["username"], body["email"], digest)
        token = tokens.begin_session(tx, user, services().settings)
    return reply(token, 201, SECRET)


@blp.route("/login", methods=["POST"])
@rates.limited("login")
@blp.arguments(LoginSchema, example={"username": "alice", "password": "a long phrase"})
@blp.response(200, TokenSchema, example=TOKEN_EXAMPLE)
@blp.alt_response(401, "PROBLEM")
def login(body: dict[str, Any]) -> Response:
    """Log in by username or email. Wrong, unknown and disabled look the same and take the same
    time."""
    rates.count_name(accounts.name_key(body["username"]), "login")
    found = accounts.find_account(services().database.connection, body["username"])
    encoded = found["password_hash"] if found else None
    # One Argon2 computation whoever is asked for: time must not tell which names exist.
    right = passwords.verify_password(
        encoded or passwords.decoy_hash(services().settings), body["password"]
    )
    if found is None or not right or encoded is None or not found["is_active"]:
        raise Unauthorized("The username or the password is wrong.", error=None)
    with services().database.transaction(found["id"]) as tx:
        # Read again inside: the account may have been disabled, or its password changed, since it
        # was checked.
        now = queries.users.get_for_update(tx, id=found["id"])
        if now is None or not now["is_active"] or now["password_hash"] != encoded:
            raise Unauthorized("The username or the password is wrong.", error=None)
        token = tokens.begin_session(
            tx, required_row(queries.users.get(tx, id=found["id"])), services().settings
        )
    return reply(token, 200, SECRET)


@blp.route("/refresh", methods=["POST"])
@rates.limited("refresh")
@blp.response(200, TokenSchema, example=TOKEN_EXAMPLE)
@blp.alt_response(401, "PROBLEM")
@blp.doc(security=[{"refresh": []}])
def refresh() -> Response:
    """Exchange the refresh token (sent as Bearer) for a fresh pair; the old one dies after a short
    grace."""
    presented = tokens.bearer_token()
    claims = services().verifier(presented, "refresh")
    with services().database.transaction(claims.user_id) as tx:
        token = tokens.refresh_session(tx, presented, claims.session_id, services().settings)
    if token is None:
        raise Unauthorized(
            "The refresh token was used before or its session is over; log in again."
        )
    return reply(token, 200, SECRET)


@blp.route("/logout", methods=["POST"])
@login_required
@blp.response(204)
def logout() -> Response:
    """End the session: its access and refresh tokens are worthless from here on."""
    with services().database.transaction(g.user["id"]) as tx:
        queries.users.session_end(tx, session_id=g.user["session_id"])
    return no_content()


@blp.route("/me", methods=["GET"])
@login_required
@blp.response(200, UserSchema, example=USER_EXAMPLE)
def me() -> Response:
    """Who I am."""
    return reply(accounts.public_user(g.user))


@blp.route("/me", methods=["PATCH"])
@login_required
@blp.arguments(
    AccountSchema, example={"password": "another long phrase", "current_password": "a long phrase"}
)
@blp.response(200, UserSchema, example=USER_EXAMPLE)
@blp.alt_response(403, "PROBLEM")
@blp.alt_response(409, "PROBLEM")
def change_me(body: dict[str, Any]) -> Response:
    """Change email or password, with the present password; a new password ends all other
    sessions."""
    accounts.check_not_system(g.user["id"])
    stored = _confirmed_account(body["current_password"], "current_password")
    digest = (
        passwords.hash_password(body["password"], services().settings)
        if "password" in body
        else None
    )
    with services().database.transaction(g.user["id"]) as tx:
        _unchanged_account(tx, stored)
        if "email" in body:
            accounts.set_email(tx, stored["id"], body["email"])
        if digest is not None:
            accounts.set_password(tx, stored["id"], digest, keep_session=g.user["session_id"])
        user = required_row(queries.users.get(tx, id=stored["id"]))
    return reply(accounts.public_user(user))


def _delete_me(body: dict[str, Any]) -> Response:
    accounts.check_not_system(g.user["id"])
    stored = _confirmed_account(body["password"], "password")
    with services().database.transaction(INSTANCE) as tx:
        accounts.delete_account(tx, _unchanged_account(tx, stored))
    return no_content()


@blp.route("/me", methods=["DELETE"])
@login_required
@blp.arguments(PasswordSchema, example={"password": "a long phrase"})
@blp.response(204)
@blp.alt_response(403, "PROBLEM")
@blp.alt_response(409, "PROBLEM")
def delete_me(body: dict[str, Any]) -> Response:
    """Delete my account: disabled and its names freed at once, everything it has removed in the
    background."""
    return _delete_me(body)


@blp.route("/me/delete", methods=["POST"])
@login_required
@blp.arguments(PasswordSchema, example={"password": "a long phrase"})
@blp.response(204)
@blp.alt_response(403, "PROBLEM")
@blp.alt_response(409, "PROBLEM")
def delete_me_by_post(body: dict[str, Any]) -> Response:
    """The same for clients and proxies that send no body with DELETE."""
    return _delete_me(body)


def _confirmed_account(password: str, field: str) -> Row:
    """My stored account, when the password is mine. Raises Forbidden, naming the field."""
    stored = required_row(
        queries.users.get_for_update(services().database.connection, id=g.user["id"])
    )
    if not passwords.verify_password(
        stored["password_hash"] or passwords.decoy_hash(services().settings), password
    ):
        error = Forbidden("The password is wrong.")
        error.errors = {field: ["Is not the present password."]}
        raise error
    return stored


def _unchanged_account(tx: Connection, stored: Row) -> Row:
    """My account inside the transaction, when nothing changed since the password was checked."""
    row: Row | None = queries.users.get_for_update(tx, id=stored["id"])
    if row is None or row["password_hash"] != stored["password_hash"]:
        raise Unauthorized("The account has changed meanwhile; log in again.")
    return row


# ----------------------------------------------------------------------------------------- settings


@settings_blp.route("", methods=["GET"])
@login_required
@settings_blp.response(200, SettingsSchema, example=USER_EXAMPLE["settings"])
def read_settings() -> Response:
    """My settings."""
    return reply(from_json(g.user["settings"]))


def _merge_settings(change: dict[str, Any]) -> Response:
    with services().database.transaction(g.user["id"]) as tx:
        stored = queries.users.get_for_update(tx, id=g.user["id"])
        if stored is None:
            raise Unauthorized("The account is gone.")
        try:
            merged = merge_settings(from_json(stored["settings"]), change)
        except ValidationError as error:
            raise Invalid(flatten_messages(error.messages)) from None
        queries.users.update_settings(
            tx, id=g.user["id"], settings=to_json(merged), now=timestamp()
        )
    return reply(merged)


@settings_blp.route("", methods=["PUT"])
@login_required
@settings_blp.arguments(SettingsSchema, example={"theme": "midnight", "extra": {"grid": 4}})
@settings_blp.response(200, SettingsSchema, example=USER_EXAMPLE["settings"])
def change_settings(change: dict[str, Any]) -> Response:
    """Merge a change into my settings."""
    return _merge_settings(change)


@blp.route("/me/settings", methods=["PUT"])
@login_required
@blp.arguments(SettingsSchema, example={"theme": "midnight", "extra": {"grid": 4}})
@blp.response(200, SettingsSchema, example=USER_EXAMPLE["settings"])
def change_my_settings(change: dict[str, Any]) -> Response:
    """The same under the account."""
    return _merge_settings(change)

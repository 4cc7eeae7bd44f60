"""/api/auth: accounts and sessions, and /api/settings: what a user prefers."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from flask import Response, g, request
from marshmallow import ValidationError

from seidra.auth import accounts, first_account, invitations, passwords, proxy, tokens
from seidra.auth.limits import limits_in_force
from seidra.auth.schemas import (
    ME_EXAMPLE,
    TOKEN_EXAMPLE,
    USER_EXAMPLE,
    AccountSchema,
    LoginSchema,
    MeSchema,
    PasswordSchema,
    RedeemSchema,
    RegisterSchema,
    SettingsSchema,
    TokenSchema,
    UserSchema,
    merge_settings,
)
from seidra.auth.tokens import login_required
from seidra.auth.usage import usage_now
from seidra.database.base import INSTANCE, Connection, Row, required_row
from seidra.database.queries import queries
from seidra.errors import Forbidden, Invalid, Mistake, Unauthorized
from seidra.values import from_json, same_json, timestamp, to_json
from seidra.web import rates
from seidra.web.answers import SECRET, no_content, reply
from seidra.web.arguments import bounded_body
from seidra.web.blueprint import Blueprint
from seidra.web.problems import flatten_messages
from seidra.web.services import services

P = ParamSpec("P")
R = TypeVar("R")

blp = Blueprint(
    "auth", __name__, url_prefix="/api/auth", description="Accounts, sessions and tokens"
)
MAX_BODY = 65_536
"""The largest body below /api/auth, in bytes: settings of 16 KB, however they are escaped, fit."""


@blp.before_request  # type: ignore[untyped-decorator]
def bound_body() -> None:
    """Names and passwords are small, and most of this is asked without an account."""
    request.max_content_length = min(MAX_BODY, services().settings.max_body)


settings_blp = Blueprint(
    "settings", __name__, url_prefix="/api/settings", description="What a user prefers"
)


def registration_open(view: Callable[P, R]) -> Callable[P, R]:
    """403 before anything else where registration is closed; but the first account may be made,
    and whoever is invited may come."""

    @wraps(view)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        if (
            _registration_closed()
            and not first_account.is_missing(services().database.connection)
            and not _brings_invitation()
        ):
            raise _closed()
        return view(*args, **kwargs)

    return checked


def _brings_invitation() -> bool:
    """Whether the body looks as if it held an invitation; what it is worth is asked later."""
    return b'"invitation"' in bounded_body()


def _registration_closed() -> bool:
    return services().settings.registration != "open"


def _closed() -> Forbidden:
    return Forbidden(
        "Registration is closed here; ask the operator for an account.", code="registration_closed"
    )


def _check_setup_token(given: str | None) -> None:
    """Raise Forbidden where the first account takes the setup token and this is not it. Counted as
    a login tried."""
    settings = services().settings
    if not first_account.needs_token(settings, request.remote_addr or ""):
        return
    rates.count_request("login", rates.client_address())
    if given is None or not first_account.is_right_token(settings, given):
        raise Forbidden(
            "The first account takes the setup token, which the server said at its start and keeps"
            " as setup.token in its data folder.",
            code="setup_token_required",
        )


def _asked_language() -> str:
    """The language that the browser asks for, of those that the studio speaks."""
    found: str | None = request.accept_languages.best_match(accounts.LANGUAGES)
    return found or accounts.DEFAULT_USER_SETTINGS["language"]


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
    """Make an account and log in. The first account ever is an administrator; off loopback, or
    where registration is closed, it takes the setup token. Others take an invitation there."""
    settings = services().settings
    first = first_account.is_missing(services().database.connection)
    invitation = body.get("invitation")
    if first:
        _check_setup_token(body.get("setup_token"))
    elif invitation is None and _registration_closed():
        raise _closed()
    if invitation is not None:
        # Whoever guesses is as slow as who guesses passwords.
        rates.count_request("login", rates.client_address())
        invitations.check_invitation(services().database.connection, invitation, body["email"])
    rates.count_name(accounts.name_key(body["username"]), "register")
    digest = passwords.hash_password(body["password"], settings)
    with services().database.transaction(INSTANCE) as tx:
        if (
            first
            and invitation is None
            and _registration_closed()
            and not first_account.is_missing(tx)
        ):
            # Somebody else was faster: this would be the second one.
            raise _closed()
        user = accounts.create_account(
            tx, body["username"], body["email"], digest, language=_asked_language()
        )
        if invitation is not None:
            invitations.use_invitation(tx, invitation, user["id"])
        token = tokens.begin_session(tx, user, settings)
    if first:
        first_account.forget_token(settings)
    return reply(token, 201, SECRET)


@blp.route("/login", methods=["POST"])
@rates.limited("login")
@blp.arguments(LoginSchema, example={"username": "alice", "password": "a long phrase"})
@blp.response(200, TokenSchema, example=TOKEN_EXAMPLE)
@blp.alt_response(401, "PROBLEM")
@blp.alt_response(403, "PROBLEM")
def login(body: dict[str, Any]) -> Response:
    """Log in by username or email. Wrong, unknown and disabled look the same and take the same
    time."""
    settings = services().settings
    if not settings.password_login:
        raise Forbidden(
            "Nobody logs in with a password here: come through the proxy that knows you.",
            code="password_login_off",
        )
    found = accounts.find_account(services().database.connection, body["username"])
    _count_password_try(body["username"], found["id"] if found else None)
    encoded = found["password_hash"] if found else None
    right = services().check_login(encoded, body["password"])
    if found is None or not right or encoded is None or not found["is_active"]:
        raise _wrong_login()
    # Whoever logs in brings what a hash at today's cost is made of.
    anew = (
        passwords.hash_password(body["password"], settings)
        if passwords.is_below_cost(encoded, settings)
        else None
    )
    with services().database.transaction(found["id"]) as tx:
        # Read again inside: the account may have been disabled, or its password changed, since it
        # was checked; or another login has just made its hash anew.
        now = queries.users.get_for_update(tx, id=found["id"])
        if now is None or not now["is_active"]:
            raise _wrong_login()
        if now["password_hash"] != encoded:
            if not passwords.is_right_password(now["password_hash"] or "", body["password"]):
                raise _wrong_login()
        elif anew is not None:
            queries.users.rehash_password(tx, id=found["id"], password_hash=anew)
        token = tokens.begin_session(
            tx, required_row(queries.users.get(tx, id=found["id"])), settings
        )
    return reply(token, 200, SECRET)


@blp.route("/proxy", methods=["POST"])
@rates.limited("login")
@blp.response(200, TokenSchema, example=TOKEN_EXAMPLE)
@blp.alt_response(401, "PROBLEM")
@blp.alt_response(403, "PROBLEM")
@blp.alt_response(409, "PROBLEM")
def log_in_by_proxy() -> Response:
    """Log in as whom the reverse proxy in front says, where that is switched on: without a
    password, and without a body."""
    settings = services().settings
    visitor = proxy.read_visitor(request.environ, settings)
    found = proxy.find_account(services().database.connection, visitor)
    if found is None:
        if not settings.auth_create:
            raise proxy.no_account()
        with services().database.transaction(INSTANCE) as tx:
            found = proxy.find_account(tx, visitor) or proxy.create_account(
                tx, visitor, _asked_language()
            )
    with services().database.transaction(found["id"]) as tx:
        # Read again inside: it may have been disabled, deleted or renamed meanwhile.
        user: Row | None = queries.users.get(tx, id=found["id"])
        if user is None or not user["is_active"]:
            raise Unauthorized("This account is disabled.", error=None, code="account_disabled")
        token = tokens.begin_session(tx, user, settings)
    return reply(token, 200, SECRET)


def _wrong_login() -> Unauthorized:
    return Unauthorized(
        "The username or the password is wrong.", error=None, code="wrong_credentials"
    )


def _count_password_try(name: str, user_id: int | None) -> None:
    """Count a password that is tried: for its account, whichever of its names was given, or for a
    name that nobody has."""
    rates.count_name(accounts.name_key(name) if user_id is None else f"id:{user_id}", "login")


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
            "The refresh token was used before or its session is over; log in again.",
            code="session_ended",
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
@blp.response(200, MeSchema, example=ME_EXAMPLE)
def me() -> Response:
    """Who I am, what I may have and use, and what is used of it."""
    with services().database.snapshot() as connection:
        limits = limits_in_force(connection, g.user["id"])
        used = usage_now(connection, g.user["id"])
    shown = {"limits": limits.shown(services().settings), "usage": used}
    return reply(accounts.public_user(g.user) | shown)


_NAMES = ("username", "email")
"""What an account is found by where a proxy says who comes: nobody may take another one's."""


@blp.route("/me", methods=["PATCH"])
@login_required
@blp.arguments(
    AccountSchema, example={"password": "another long phrase", "current_password": "a long phrase"}
)
@blp.response(200, UserSchema, example=USER_EXAMPLE)
@blp.alt_response(403, "PROBLEM")
@blp.alt_response(409, "PROBLEM")
def change_me(body: dict[str, Any]) -> Response:
    """Change username, email or password, with the present password; a new password ends all other
    sessions, and API keys unless `keep_keys`."""
    accounts.check_not_system(g.user["id"])
    if services().settings.auth_header is not None and not body.keys().isdisjoint(_NAMES):
        raise Forbidden(
            "The proxy in front says who you are here; an administrator changes your names.",
            code="name_from_proxy",
        )
    stored = confirmed_account(body["current_password"], "current_password")
    digest = (
        passwords.hash_password(body["password"], services().settings)
        if "password" in body
        else None
    )
    with services().database.transaction(g.user["id"]) as tx:
        unchanged_account(tx, stored)
        if body.get("username", stored["username"]) != stored["username"]:
            accounts.rename_account(tx, stored["id"], body["username"])
        if body.get("email", stored["email"]) != stored["email"]:
            accounts.set_email(tx, stored["id"], body["email"])
        if digest is not None:
            accounts.set_password(
                tx,
                stored["id"],
                digest,
                keep_session=g.user["session_id"],
                keep_keys=body["keep_keys"],
            )
        user = required_row(queries.users.get(tx, id=stored["id"]))
    return reply(accounts.public_user(user))


@blp.route("/password", methods=["POST"])
@rates.limited("login")
@blp.arguments(
    RedeemSchema,
    example={
        "token": "k3uTm4yJ0hVZb9sQxwE2rD7fGnLpAcIo5BvXq1zKtHY",
        "password": "another long phrase",
    },
)
@blp.response(204)
@blp.alt_response(403, "PROBLEM")
def redeem_link(body: dict[str, Any]) -> Response:
    """Set a new password by a one-time link of an administrator; it ends all sessions and API keys
    of the account."""
    user_id = accounts.password_link_user(services().database.connection, body["token"])
    digest = passwords.hash_password(body["password"], services().settings)
    with services().database.transaction(user_id) as tx:
        # Asked again: another request may just have used the link.
        accounts.password_link_user(tx, body["token"])
        accounts.set_password(tx, user_id, digest)
    return no_content()


def _delete_me(body: dict[str, Any]) -> Response:
    accounts.check_not_system(g.user["id"])
    stored = confirmed_account(body["password"], "password")
    with services().database.transaction((INSTANCE, stored["id"])) as tx:
        accounts.delete_account(tx, unchanged_account(tx, stored))
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


def confirmed_account(password: str, field: str) -> Row:
    """My stored account, when the password is mine. Raises Forbidden, naming the field. Counted as
    a login tried: who holds a token must not guess here what they may not guess there."""
    _count_password_try(g.user["username"], g.user["id"])
    stored: Row | None = queries.users.get_for_update(
        services().database.connection, id=g.user["id"]
    )
    if stored is None:
        raise account_gone()
    if not passwords.is_right_password(stored["password_hash"] or "", password):
        raise Forbidden(
            "The password is wrong.",
            code="wrong_password",
            errors={field: [Mistake("Is not the present password.", "wrong_password")]},
        )
    return stored


def account_gone() -> Unauthorized:
    """For an account that was deleted between the guard and what it asked for."""
    return Unauthorized("The account is gone.", code="session_ended")


def unchanged_account(tx: Connection, stored: Row) -> Row:
    """My account inside the transaction, when nothing changed since the password was checked."""
    row: Row | None = queries.users.get_for_update(tx, id=stored["id"])
    if row is None or row["password_hash"] != stored["password_hash"]:
        raise Unauthorized("The account has changed meanwhile; log in again.", code="session_ended")
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
            raise account_gone()
        known = from_json(stored["settings"])
        try:
            merged = merge_settings(known, change)
        except ValidationError as error:
            raise Invalid(flatten_messages(error.messages)) from None
        if not same_json(merged, known):
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

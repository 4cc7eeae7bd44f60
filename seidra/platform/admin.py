"""/api/admin: accounts and the instance, for administrators. Of what others have made, figures
alone are told: no persona, no picture, no prompt."""

from __future__ import annotations

import logging
import threading
from dataclasses import asdict
from importlib.metadata import version
from typing import Any, Literal

from flask import Response, g
from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from seidra.auth import accounts, limits, passwords
from seidra.auth.schemas import (
    LIMITS_EXAMPLE,
    AccountLimitsSchema,
    Email,
    NewPassword,
    Username,
    UserSchema,
)
from seidra.auth.tokens import admin_required
from seidra.database.base import INSTANCE, Connection, Row
from seidra.database.queries import queries
from seidra.errors import Conflict, NotFound
from seidra.jobs.presence import SILENCE_SECONDS
from seidra.jobs.schemas import STATUSES
from seidra.operations import checks
from seidra.platform.groups import check_engine_names
from seidra.platform.limit_schemas import AccountsQuery, SaidBody, SaidSchema
from seidra.values import timestamp_in
from seidra.web.answers import PRIVATE, SECRET, no_content, page_headers, public_url, reply
from seidra.web.blueprint import Blueprint
from seidra.web.fields import Flag, Query, QueryFlag, Whole
from seidra.web.repeats import keep_made, repeatable
from seidra.web.services import services

blp = Blueprint("admin", __name__, url_prefix="/api/admin", description="Accounts and the instance")

_VERSION = version("seidra")
_log = logging.getLogger(__name__)


class AdminAccountSchema(SaidSchema):
    """An account as administrators see it: figures, and nothing of what it holds. `limits` is what
    holds for it, with what its group and the instance say."""

    id = fields.Integer()
    username = fields.String()
    email = fields.String()
    is_active = fields.Boolean()
    is_admin = fields.Boolean()
    nsfw_allowed = fields.Boolean()
    created_at = fields.DateTime()
    last_seen_at = fields.DateTime(
        allow_none=True,
        metadata={"description": "The last login or refresh of a session that is not over."},
    )
    personas = fields.Integer()
    jobs = fields.Integer()
    media = fields.Integer()
    media_bytes = fields.Integer()
    group_id = fields.Integer(allow_none=True)
    limits = fields.Nested(AccountLimitsSchema)


class AdminAccountsSchema(Schema):
    """A page of the accounts."""

    total = fields.Integer()
    users = fields.List(fields.Nested(AdminAccountSchema))


class NewAccountSchema(SaidBody):
    """An account to be. Without a password nobody can log in before a password link was used."""

    READ_ONLY = frozenset(AdminAccountSchema._declared_fields)

    username = Username(required=True)
    email = Email(required=True)
    password = NewPassword()
    is_admin = Flag(load_default=False)
    nsfw_allowed = Flag(load_default=True)
    group_id = Whole(1, 2**31 - 1, allow_none=True)


class RightsSchema(SaidBody):
    """What an administrator says of an account; what is left out stays."""

    READ_ONLY = frozenset(AdminAccountSchema._declared_fields) | frozenset(
        UserSchema._declared_fields
    )
    ONE_OF = ("is_active", "is_admin", "nsfw_allowed")

    is_active = Flag()
    is_admin = Flag()
    nsfw_allowed = Flag()
    group_id = Whole(1, 2**31 - 1, allow_none=True, metadata={"description": "null: in no group."})

    @validates_schema
    def _check_something_changes(self, data: Any, **kwargs: Any) -> None:
        if not data:
            raise ValidationError(
                "Must have is_active, is_admin, nsfw_allowed, group_id or a limit to change."
            )


class PasswordLinkSchema(Schema):
    """A one-time link at which its account sets a new password."""

    url = fields.String()
    expires_at = fields.DateTime()


_ACCOUNT_EXAMPLE = {
    "id": 3,
    "username": "bob",
    "email": "bob@example.com",
    "is_active": True,
    "is_admin": False,
    "nsfw_allowed": True,
    "created_at": "2026-01-31T12:00:00.000000Z",
    "last_seen_at": "2026-02-02T08:30:00.000000Z",
    "personas": 12,
    "jobs": 30,
    "media": 28,
    "media_bytes": 25_600_000,
    "group_id": 4,
    **dict.fromkeys(SaidSchema._declared_fields),
    "limits": LIMITS_EXAMPLE,
}


# ---------------------------------------------------------------------------------------- accounts


@blp.route("/users", methods=["GET"])
@admin_required
@blp.arguments(AccountsQuery, location="query")
@blp.response(200, AdminAccountsSchema, example={"total": 1, "users": [_ACCOUNT_EXAMPLE]})
def list_accounts(query: dict[str, Any]) -> Response:
    """The accounts, or those of a group, in the order they were made."""
    limit, offset, group_id = query["limit"], query["offset"], query["group_id"]
    which: Literal["all", "group"] = "all" if group_id is None else "group"
    with services().database.snapshot() as connection:
        rows = queries.users.page(connection, which=which, id=group_id, limit=limit, offset=offset)
        total = queries.users.count(connection, which=which, id=group_id)
    return reply(
        {"total": total, "users": [_account_json(row) for row in rows]},
        headers=page_headers(total, limit, offset),
    )


def _account_json(row: Row) -> dict[str, Any]:
    flags = ("is_active", "is_admin", "nsfw_allowed")
    shown = {
        "limits": limits.limits_of(row).shown(services().settings),
        **limits.said(row),
    }
    return {
        name: bool(row[name]) if name in flags else row[name]
        for name in AdminAccountSchema._declared_fields.keys() - shown.keys()
    } | shown


def _read_account(connection: Connection, user_id: int) -> dict[str, Any]:
    for row in queries.users.page(connection, which="one", id=user_id, limit=1, offset=0):
        return _account_json(row)
    raise NotFound("account")


def _show_made(user_id: str) -> Response:
    return reply(_read_account(services().database.connection, int(user_id)))


def _account_for_update(tx: Connection, user_id: int) -> Row:
    row: Row | None = queries.users.get_for_update(tx, id=user_id)
    if row is None:
        raise NotFound("account")
    return row


@blp.route("/users", methods=["POST"])
@admin_required
@repeatable(_show_made)
@blp.arguments(
    NewAccountSchema, example={"username": "bob", "email": "bob@example.com", "is_admin": False}
)
@blp.response(201, AdminAccountSchema, example=_ACCOUNT_EXAMPLE)
@blp.alt_response(409, "PROBLEM")
def make_account(body: dict[str, Any]) -> Response:
    """Make an account for somebody, where registration is closed too."""
    check_engine_names(services().setup, body)
    digest = (
        passwords.hash_password(body["password"], services().settings)
        if "password" in body
        else None
    )
    with services().database.transaction(INSTANCE) as tx:
        row = accounts.create_account(
            tx,
            body["username"],
            body["email"],
            digest,
            admin=body["is_admin"],
            nsfw_allowed=body["nsfw_allowed"],
        )
        limits.change_limits(tx, row["id"], body)
        made = _read_account(tx, row["id"])
        path = f"/api/admin/users/{made['id']}"
        keep_made(tx, made["id"], 201, path)
    return reply(made, 201, {**PRIVATE, "Location": public_url() + path})


@blp.route("/users/<id:user_id>", methods=["PATCH"])
@admin_required
@blp.arguments(RightsSchema, example={"nsfw_allowed": False})
@blp.response(200, AdminAccountSchema, example=_ACCOUNT_EXAMPLE | {"nsfw_allowed": False})
@blp.alt_response(409, "PROBLEM")
def change_account(body: dict[str, Any], user_id: int) -> Response:
    """Disable or enable an account, make it an administrator or not, put it into a group, and say
    what it may have and use: it holds at once."""
    check_engine_names(services().setup, body)
    with services().database.transaction((INSTANCE, user_id)) as tx:
        row = _account_for_update(tx, user_id)
        rights = {name: body.get(name, bool(row[name])) for name in RightsSchema.ONE_OF}
        if (rights["is_active"], rights["is_admin"]) != (row["is_active"], row["is_admin"]):
            accounts.set_rights(tx, row, active=rights["is_active"], admin=rights["is_admin"])
        if rights["nsfw_allowed"] != row["nsfw_allowed"]:
            accounts.allow_nsfw(tx, user_id, rights["nsfw_allowed"])
        limits.change_limits(tx, user_id, body)
        changed = _read_account(tx, user_id)
    return reply(changed)


@blp.route("/users/<id:user_id>", methods=["DELETE"])
@admin_required
@blp.response(204)
@blp.alt_response(409, "PROBLEM")
def delete_account(user_id: int) -> Response:
    """Delete an account: disabled and its names freed at once, everything it has removed in the
    background."""
    with services().database.transaction((INSTANCE, user_id)) as tx:
        row = _account_for_update(tx, user_id)
        accounts.check_not_system(user_id)
        accounts.delete_account(tx, row)
    _log.info("administrator %d deleted account %d", g.user["id"], user_id)
    return no_content()


@blp.route("/users/<id:user_id>/password-link", methods=["POST"])
@admin_required
@blp.response(
    201,
    PasswordLinkSchema,
    example={
        "url": "/password#k3uTm4yJ0hVZb9sQxwE2rD7fGnLpAcIo5BvXq1zKtHY",
        "expires_at": "2026-01-31T13:00:00.000000Z",
    },
)
def make_password_link(user_id: int) -> Response:
    """A link at which the account's owner sets a new password: once, within an hour. One made
    before is worth nothing any more."""
    with services().database.transaction((INSTANCE, user_id)) as tx:
        _account_for_update(tx, user_id)
        accounts.check_not_system(user_id)
        token, expires_at = accounts.make_password_link(tx, user_id)
    _log.info("administrator %d made a password link for account %d", g.user["id"], user_id)
    # Behind the #, which no browser sends and no log holds.
    url = f"{public_url()}/password#{token}"
    return reply({"url": url, "expires_at": expires_at}, 201, SECRET)


# ----------------------------------------------------------------------------------------- instance


class DoctorCheckSchema(Schema):
    """One thing that `flask doctor` looks at."""

    name = fields.String()
    state = fields.String(validate=validate.OneOf((checks.OK, checks.WARN, checks.FAIL)))
    seen = fields.String()
    advice = fields.String()


class DiskSchema(Schema):
    """What is stored, and what may still be."""

    media_bytes = fields.Integer()
    database_bytes = fields.Integer()
    free_bytes = fields.Integer(metadata={"description": "Of the folder that has the least."})


class QueueSchema(Schema):
    """What there is to do, and who does it."""

    jobs = fields.Dict(keys=fields.String(), values=fields.Integer())
    oldest_queued_at = fields.DateTime(allow_none=True)
    workers = fields.Integer(metadata={"description": "With a sign of life in the last minute."})


class StateSchema(Schema):
    """The instance as its operator sees it."""

    version = fields.String()
    settings = fields.Dict(
        keys=fields.String(),
        metadata={"description": "By variable; of a secret only whether it is set."},
    )
    checks = fields.List(fields.Nested(DoctorCheckSchema))
    disk = fields.Nested(DiskSchema)
    queue = fields.Nested(QueueSchema)


class StateQuery(Query):
    """How much is looked at."""

    thorough = QueryFlag(
        load_default=False,
        metadata={"description": "With the checks that read everything, which may take minutes."},
    )


_EXAMINING = threading.Lock()
"""One thorough look at a time: it reads everything that is stored."""


@blp.route("/instance", methods=["GET"])
@admin_required
@blp.arguments(StateQuery, location="query")
@blp.response(
    200,
    StateSchema,
    example={
        "version": _VERSION,
        "settings": {"SEIDRA_REGISTRATION": "closed", "SEIDRA_JWT_SECRET": "(set)"},
        "checks": [{"name": "disk", "state": "ok", "seen": "71.3 GB are free.", "advice": ""}],
        "disk": {"media_bytes": 25_600_000, "database_bytes": 1_048_576, "free_bytes": 71_300_000},
        "queue": {
            "jobs": dict.fromkeys(STATUSES, 0),
            "oldest_queued_at": None,
            "workers": 2,
        },
    },
)
@blp.alt_response(409, "PROBLEM")
def read_state(query: dict[str, Any]) -> Response:
    """Version, settings in force, what `flask doctor` says, disk and queue."""
    settings, database = services().settings, services().database
    found = _examine(whole=query["thorough"])
    with database.snapshot() as connection:
        jobs = {row["status"]: row["n"] for row in queries.platform.jobs_by_status(connection)}
        oldest = queries.platform.oldest_queued(connection)
        media_bytes = queries.platform.media_bytes(connection)
        workers = queries.workers.list_all(connection)
    alive = timestamp_in(-SILENCE_SECONDS)
    return reply(
        {
            "version": _VERSION,
            "settings": settings.shown_values(),
            "checks": [asdict(check) for check in found],
            "disk": {
                "media_bytes": media_bytes,
                "database_bytes": database.size_bytes(),
                "free_bytes": min(map(checks.free_bytes, settings.runtime_folders())),
            },
            "queue": {
                "jobs": {status: jobs.get(status, 0) for status in STATUSES},
                "oldest_queued_at": oldest,
                "workers": sum(1 for row in workers if row["seen_at"] >= alive),
            },
        }
    )


def _examine(*, whole: bool) -> list[checks.Check]:
    if not whole:
        return list(checks.examine(services().settings, whole=False))
    if not _EXAMINING.acquire(blocking=False):
        raise Conflict("Everything is being looked at already; wait for that.", code="busy")
    try:
        return list(checks.examine(services().settings))
    finally:
        _EXAMINING.release()

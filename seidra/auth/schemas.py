"""Bodies and answers of /api/auth and /api/settings."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, fields, pre_load, validate, validates_schema

from seidra.auth.accounts import plain_name
from seidra.auth.keys import SCOPES
from seidra.auth.passwords import normal_password
from seidra.common_passwords import is_common
from seidra.errors import Mistake
from seidra.web.fields import (
    Body,
    Entries,
    Flag,
    FreeObject,
    Text,
    Whole,
    check_count,
    check_json,
    check_size,
    one_of,
)

SETTINGS_BYTES = 16_384
MAX_NOTIFICATIONS = 50
MAX_GIVEN_PASSWORD = 1024
"""The longest password that is looked at, in characters."""

_USERNAME = r"[A-Za-z0-9._\-]{3,50}"


class Username(Text):
    """A name to log in with."""

    def __init__(self, **kwargs: Any) -> None:
        rule = validate.Regexp(
            rf"{_USERNAME}\Z", error="Must be 3 to 50 of A-Z, a-z, 0-9, '.', '_', '-'."
        )
        documented = {"minLength": 3, "maxLength": 50, "pattern": f"^{_USERNAME}$"}
        super().__init__(line=True, validate=rule, metadata=documented, **kwargs)


class Email(Text):
    """An email address to log in with."""

    def __init__(self, **kwargs: Any) -> None:
        rule = validate.Email(error="Must be an email address.")
        super().__init__(3, 254, line=True, validate=rule, metadata={"format": "email"}, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        return plain_name(super()._deserialize(value, attr, data, **kwargs))


class NewPassword(Text):
    """A password to be: its normal form counts, and common ones are refused."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(8, 128, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if isinstance(value, str) and len(value) <= MAX_GIVEN_PASSWORD:
            value = normal_password(value)
        password = super()._deserialize(value, attr, data, **kwargs)
        if is_common(password):
            raise ValidationError(
                Mistake(
                    "Is too common a password; choose one that nobody would guess.",
                    "common_password",
                )
            )
        return password


class SettingsSchema(Body):
    """A user's settings; what is sent is merged deeply into what is stored."""

    theme = Text(1, 50, line=True)
    language = Text(
        2, 35, line=True, metadata={"description": "A BCP 47 tag, such as en or pt-BR."}
    )
    notifications = Entries(Text(1, 50, line=True), Flag(), MAX_NOTIFICATIONS, "names")
    telemetry_opt_in = Flag()
    extra = FreeObject(metadata={"description": "Whatever the frontend keeps; null removes a key."})


class UserSchema(Schema):
    """An account, as its owner sees it."""

    id = fields.Integer()
    username = fields.String()
    email = fields.String()
    is_active = fields.Boolean()
    is_admin = fields.Boolean()
    created_at = fields.DateTime()
    settings = fields.Nested(SettingsSchema)


class AccountLimitsSchema(Schema):
    """What holds for an account: the administrators' word, else the instance's. null: no limit."""

    nsfw_allowed = fields.Boolean()
    may_share = fields.Boolean()
    engines = fields.List(fields.String(), allow_none=True)
    models = fields.List(fields.String(), allow_none=True)
    engine_minutes_a_day = fields.Integer(allow_none=True)
    max_pictures = fields.Integer()
    max_bytes = fields.Integer(allow_none=True)


class OwnUsageSchema(Schema):
    """What I had of the engines today, and made there, by the day in UTC, which ends at `until`;
    and how many media items I have in all, with their bytes, those in the trash included."""

    engine_seconds = fields.Float()
    pictures = fields.Integer()
    bytes = fields.Integer()
    until = fields.DateTime()
    total_pictures = fields.Integer()
    total_bytes = fields.Integer()


class MeSchema(UserSchema):
    """My account, what I may have and use, and what is used of it."""

    limits = fields.Nested(AccountLimitsSchema)
    usage = fields.Nested(OwnUsageSchema)


class TokenSchema(Schema):
    """A pair of tokens; `expires_in` is the access token's lifetime in seconds."""

    access_token = fields.String()
    refresh_token = fields.String()
    token_type = fields.String(validate=validate.Equal("bearer"))
    expires_in = fields.Integer()
    user = fields.Nested(UserSchema)


class RegisterSchema(Body):
    """A new account."""

    username = Username(required=True)
    email = Email(required=True)
    password = NewPassword(required=True)
    setup_token = Text(
        1, 100, metadata={"description": "For the first account, where /api/instance asks for it."}
    )
    invitation = Text(
        1,
        100,
        metadata={
            "description": "The token of an invitation; with it, where registration is closed too."
        },
    )


class LoginSchema(Body):
    """A login: `username` takes a username or an email; `email` is another name for it."""

    username = Text(1, 254, required=True)
    password = Text(1, MAX_GIVEN_PASSWORD, required=True)

    @pre_load
    def _email_is_a_name(self, data: Any, **kwargs: Any) -> Any:
        if isinstance(data, dict) and "email" in data and "username" not in data:
            data = {"username": data["email"], **{k: v for k, v in data.items() if k != "email"}}
        return data


class AccountSchema(Body):
    """Changes to one's account: a new username, email or password, with the present password.
    A new password ends API keys too, unless `keep_keys`."""

    READ_ONLY = frozenset(MeSchema._declared_fields)
    ONE_OF = ("username", "email", "password")

    username = Username()
    email = Email()
    password = NewPassword()
    current_password = Text(1, MAX_GIVEN_PASSWORD, required=True)
    keep_keys = Flag(load_default=False)

    @validates_schema
    def _check_something_changes(self, data: Any, **kwargs: Any) -> None:
        if data.keys().isdisjoint(self.ONE_OF):
            raise ValidationError("Must have a username, an email or a password to change.")


class PasswordSchema(Body):
    """The present password, to confirm."""

    password = Text(1, MAX_GIVEN_PASSWORD, required=True)


class RedeemSchema(Body):
    """A new password, by the token of a one-time link."""

    token = Text(1, 100, required=True)
    password = NewPassword(required=True)


class SessionSchema(Schema):
    """A session of mine; it was last used when it last logged in or refreshed."""

    id = fields.String()
    user_agent = fields.String(
        metadata={"description": "What the client said that it is, 200 characters at most."}
    )
    created_at = fields.DateTime()
    last_used_at = fields.DateTime()
    expires_at = fields.DateTime()
    current = fields.Boolean()


class SessionsSchema(Schema):
    """My sessions, the last used first; a hundred at most."""

    sessions = fields.List(fields.Nested(SessionSchema))


class EndedSchema(Schema):
    """How many were ended."""

    ended = fields.Integer()


class NewKeySchema(Body):
    """An API key to be, with the present password."""

    name = Text(1, 100, line=True, required=True)
    scope = Text(required=True, validate=one_of(*SCOPES))
    expires_in_days = Whole(
        1, 3650, load_default=None, allow_none=True, metadata={"description": "null: never."}
    )
    current_password = Text(1, MAX_GIVEN_PASSWORD, required=True)


class KeySchema(Schema):
    """An API key of mine, without the key itself."""

    id = fields.Integer()
    name = fields.String()
    scope = fields.String(validate=validate.OneOf(SCOPES))
    last_four = fields.String()
    created_at = fields.DateTime()
    expires_at = fields.DateTime(allow_none=True)
    last_used_at = fields.DateTime(
        allow_none=True, metadata={"description": "To the minute; null: never."}
    )


class MadeKeySchema(KeySchema):
    """An API key that was just made: `key` is shown this once."""

    key = fields.String()


class KeysSchema(Schema):
    """My API keys, newest first."""

    keys = fields.List(fields.Nested(KeySchema))


def merge_settings(stored: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """The stored settings with a change merged in deeply; null removes a key of `extra`.

    Raises ValidationError when the outcome is too large or too deep, though each change alone was
    not.
    """
    merged: dict[str, Any] = _merge_values(stored, change)
    try:
        check_count(merged["notifications"], MAX_NOTIFICATIONS, "names")
    except ValidationError as error:
        raise ValidationError({"notifications": error.messages}) from None
    try:
        check_json(merged)
        check_size(merged, SETTINGS_BYTES)
    except ValidationError as error:
        raise ValidationError({"extra": error.messages}) from None
    return merged


def _merge_values(stored: Any, change: Any) -> Any:
    if not isinstance(change, dict):
        return change
    # As RFC 7396: what was no object begins as an empty one, so that no null is stored.
    merged = dict(stored) if isinstance(stored, dict) else {}
    for name, value in change.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge_values(merged.get(name), value)
    return merged


USER_EXAMPLE = {
    "id": 2,
    "username": "alice",
    "email": "alice@example.com",
    "is_active": True,
    "is_admin": True,
    "created_at": "2026-01-31T12:00:00.000000Z",
    "settings": {
        "theme": "system",
        "language": "en",
        "notifications": {"web": True, "email": False, "slack": False},
        "telemetry_opt_in": False,
        "extra": {},
    },
}
LIMITS_EXAMPLE = {
    "nsfw_allowed": False,
    "may_share": True,
    "engines": None,
    "models": None,
    "engine_minutes_a_day": 30,
    "max_pictures": 1_000_000,
    "max_bytes": None,
}
ME_EXAMPLE = {
    **USER_EXAMPLE,
    "limits": LIMITS_EXAMPLE,
    "usage": {
        "engine_seconds": 312.5,
        "pictures": 14,
        "bytes": 12_800_000,
        "until": "2026-02-01T00:00:00.000000Z",
        "total_pictures": 28,
        "total_bytes": 25_600_000,
    },
}
TOKEN_EXAMPLE = {
    "access_token": "eyJhbGciOiJIUzI1NiIs...",
    "refresh_token": "eyJhbGciOiJIUzI1NiIs...",
    "token_type": "bearer",
    "expires_in": 900,
    "user": USER_EXAMPLE,
}
SESSION_EXAMPLE = {
    "id": "9f86d081884c7d65",
    "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "created_at": "2026-01-31T12:00:00.000000Z",
    "last_used_at": "2026-02-02T08:30:00.000000Z",
    "expires_at": "2026-05-01T12:00:00.000000Z",
    "current": True,
}
KEY_EXAMPLE = {
    "id": 3,
    "name": "nightly script",
    "scope": "generate",
    "last_four": "xB4w",
    "created_at": "2026-01-31T12:00:00.000000Z",
    "expires_at": None,
    "last_used_at": None,
}

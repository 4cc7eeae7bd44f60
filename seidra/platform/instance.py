"""/api/instance: what a page needs to know before anybody has logged in."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from flask import Response, request
from marshmallow import Schema, fields, validate

from seidra.auth import first_account
from seidra.auth.accounts import DEFAULT_USER_SETTINGS, LANGUAGES
from seidra.auth.keys import MAX_KEYS
from seidra.auth.schemas import NewKeySchema, RegisterSchema
from seidra.config import Settings
from seidra.jobs.requests import DEFAULTS
from seidra.jobs.schemas import GenerationParamsSchema, GenerationSchema
from seidra.media.schemas import MediaChangeSchema
from seidra.personas.schemas import PersonaSchema
from seidra.web.answers import reply
from seidra.web.blueprint import Blueprint
from seidra.web.fields import bounds_of
from seidra.web.services import services

blp = Blueprint("instance", __name__, url_prefix="/api", description="What this instance is")

_VERSION = version("seidra")
_FIELDS: dict[str, dict[str, Any]] = {
    "account": {
        name: bounds
        for name, bounds in bounds_of(RegisterSchema).items()
        if name not in ("setup_token", "invitation")
    }
    | {"username": {"min": 3, "max": 50}},
    "persona": bounds_of(PersonaSchema),
    "generation_params": bounds_of(GenerationParamsSchema),
    "job": bounds_of(GenerationSchema),
    "media": bounds_of(MediaChangeSchema),
    "key": {
        name: bounds
        for name, bounds in bounds_of(NewKeySchema).items()
        if name in ("name", "expires_in_days")
    },
}
"""The bounds that bodies are checked by, so that a form can say them first."""

_FIELDS["job"].pop("persona_id")  # An id is chosen and not typed.

_PARAMETERS = ("width", "height", "num_inference_steps", "guidance_scale", "scheduler", "quality")


class BoundsSchema(Schema):
    """The bounds of a field: of a number, of a text's characters, of a list's parts."""

    min = fields.Float()
    max = fields.Float()


class LimitsSchema(Schema):
    """What bodies may hold, and how much of a thing there may be."""

    fields_ = fields.Dict(
        keys=fields.String(),
        values=fields.Dict(keys=fields.String(), values=fields.Nested(BoundsSchema)),
        data_key="fields",
        metadata={"description": "{kind of thing: {field: {min, max}}}"},
    )
    max_body = fields.Integer(metadata={"description": "Bytes of a request's body."})
    max_upload = fields.Integer(metadata={"description": "Bytes of a file that is sent in."})
    max_queued_jobs = fields.Integer()
    max_personas = fields.Integer()
    max_media = fields.Integer()
    max_media_bytes = fields.Integer(metadata={"description": "0: any number."})
    max_keys = fields.Integer()
    keep_trash_days = fields.Integer(
        metadata={"description": "Days that what is deleted can come back. 0: it cannot."}
    )
    streams_per_user = fields.Integer()


class DefaultsSchema(Schema):
    """What holds where nobody says anything else."""

    theme = fields.String()
    language = fields.String()
    generation_params = fields.Dict(
        metadata={"description": "Of the built-in engine; a real one has its own."}
    )


class LoginWaysSchema(Schema):
    """How one logs in here."""

    password = fields.Boolean(metadata={"description": "By a name and a password."})
    proxy = fields.Boolean(
        metadata={"description": "By POST /api/auth/proxy, behind a proxy that says who comes."}
    )


class InstanceSchema(Schema):
    """What this instance is."""

    name = fields.String()
    version = fields.String()
    needs_setup = fields.Boolean(
        metadata={"description": "No person has an account: the first one is to be made."}
    )
    setup_token_required = fields.Boolean(
        metadata={"description": "Making the first account from here takes the setup token."}
    )
    registration = fields.String(validate=validate.OneOf(("open", "closed")))
    login = fields.Nested(LoginWaysSchema)
    languages = fields.List(fields.String())
    limits = fields.Nested(LimitsSchema)
    defaults = fields.Nested(DefaultsSchema)


def _limits(settings: Settings) -> dict[str, Any]:
    return {
        "fields": _FIELDS,
        "max_body": settings.max_body,
        "max_upload": settings.max_upload,
        "max_queued_jobs": settings.max_queued_jobs,
        "max_personas": settings.max_personas,
        "max_media": settings.max_media,
        "max_media_bytes": settings.max_media_bytes,
        "max_keys": MAX_KEYS,
        "keep_trash_days": settings.keep_trash_days,
        "streams_per_user": settings.streams_per_user,
    }


_DEFAULTS = {
    "theme": DEFAULT_USER_SETTINGS["theme"],
    "language": DEFAULT_USER_SETTINGS["language"],
    "generation_params": {name: DEFAULTS[name] for name in _PARAMETERS},
}


@blp.route("/instance", methods=["GET"])
@blp.response(
    200,
    InstanceSchema,
    example={
        "name": "SEIDRA",
        "version": _VERSION,
        "needs_setup": False,
        "setup_token_required": False,
        "registration": "open",
        "login": {"password": True, "proxy": False},
        "languages": list(LANGUAGES),
        "limits": _limits(Settings()),
        "defaults": _DEFAULTS,
    },
)
def read_instance() -> Response:
    """What this instance is called and lets one do, for whoever asks."""
    settings = services().settings
    missing = first_account.is_missing(services().database.connection)
    return reply(
        {
            "name": settings.instance_name,
            "version": _VERSION,
            "needs_setup": missing,
            "setup_token_required": missing
            and first_account.needs_token(settings, request.remote_addr or ""),
            "registration": settings.registration,
            "login": {
                "password": settings.password_login,
                "proxy": settings.auth_header is not None,
            },
            "languages": list(LANGUAGES),
            "limits": _limits(settings),
            "defaults": _DEFAULTS,
        },
        headers={"Cache-Control": "no-store"},
    )

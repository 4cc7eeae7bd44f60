"""What everybody may know of the instance: what a page needs before anybody has logged in."""

from __future__ import annotations

from importlib.metadata import version

from flask import Response
from marshmallow import Schema, fields, validate

from seidra.database.queries import queries
from seidra.prompts import MAX_LORAS, MAX_NEGATIVE_PROMPT, MAX_REQUEST_PROMPT
from seidra.web.answers import reply
from seidra.web.blueprint import Blueprint
from seidra.web.services import services

LANGUAGES = ("en", "fr")
"""What the studio speaks."""

blp = Blueprint("instance", __name__, url_prefix="/api", description="What the instance is")

_VERSION = version("seidra")


class InstanceSchema(Schema):
    """The instance: its version, whether somebody may register, and what limits it sets."""

    version = fields.String()
    needs_setup = fields.Boolean(
        metadata={"description": "Nobody has an account yet: the first one administers."}
    )
    registration = fields.String(validate=validate.OneOf(["open", "closed"]))
    languages = fields.List(fields.String())
    limits = fields.Dict(keys=fields.String(), values=fields.Integer())


@blp.route("/instance", methods=["GET"])
@blp.response(
    200,
    InstanceSchema,
    example={
        "version": "0.2.0",
        "needs_setup": False,
        "registration": "open",
        "languages": ["en", "fr"],
        "limits": {
            "prompt": 8000,
            "negative_prompt": 16000,
            "loras": 50,
            "count": 8,
            "queued_jobs": 100,
            "body_bytes": 1048576,
        },
    },
)
def read_instance() -> Response:
    """What the instance is, for everybody."""
    settings = services().settings
    first = queries.platform.state(services().database.connection, name="first_person")
    return reply(
        {
            "version": _VERSION,
            "needs_setup": first is None,
            "registration": settings.registration,
            "languages": LANGUAGES,
            "limits": {
                "prompt": MAX_REQUEST_PROMPT,
                "negative_prompt": MAX_NEGATIVE_PROMPT,
                "loras": MAX_LORAS,
                "count": 8,
                "queued_jobs": settings.max_queued_jobs,
                "body_bytes": settings.max_body,
            },
        },
        headers={"Cache-Control": "no-store"},
    )

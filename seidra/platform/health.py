"""Health and the instance's summary."""

from __future__ import annotations

from importlib.metadata import version

from flask import Response
from marshmallow import Schema, fields

from seidra.auth.tokens import admin_required
from seidra.operations.readiness import readiness_checks
from seidra.start.service import platform_summary
from seidra.web.answers import reply
from seidra.web.blueprint import Blueprint
from seidra.web.problems import problem_response
from seidra.web.services import services

blp = Blueprint("platform", __name__, url_prefix="/api", description="Health and summary")

_VERSION = version("seidra")
_PUBLIC = {"Cache-Control": "no-store"}


class HealthSchema(Schema):
    """The process is up."""

    status = fields.String()
    version = fields.String()


class ReadySchema(Schema):
    """Whether requests can be served: one flag for each thing they need."""

    status = fields.String()
    checks = fields.Dict(keys=fields.String(), values=fields.Boolean())


class SummarySchema(Schema):
    """How much there is in the whole instance."""

    users = fields.Integer()
    personas = fields.Integer()
    jobs = fields.Integer()
    media = fields.Integer()


@blp.route("/health", methods=["GET"])
@blp.response(200, HealthSchema, example={"status": "ok", "version": "0.2.0"})
def health() -> Response:
    """Whether the process is alive, and which version it is; it asks nothing else."""
    return reply({"status": "ok", "version": _VERSION}, headers=_PUBLIC)


@blp.route("/health/ready", methods=["GET"])
@blp.response(
    200,
    ReadySchema,
    example={"status": "ready", "checks": {"database": True, "schema": True, "storage": True}},
)
@blp.alt_response(503, "PROBLEM")
def ready() -> Response:
    """Whether requests can be served: the database answers, its schema is this version's, storage
    can be written."""
    checks = readiness_checks(services().settings, services().database)
    if all(checks.values()):
        return reply({"status": "ready", "checks": checks}, headers=_PUBLIC)
    missing = ", ".join(name for name, well in checks.items() if not well)
    response = problem_response(503, f"Not ready: {missing}.", checks=checks)
    response.headers.extend(_PUBLIC)
    return response


@blp.route("/system/summary", methods=["GET"])
@admin_required
@blp.response(200, SummarySchema, example={"users": 2, "personas": 12, "jobs": 30, "media": 28})
def summary() -> Response:
    """How much there is, for administrators."""
    return reply(platform_summary(services().database))

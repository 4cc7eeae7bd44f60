"""/api/engines, and what administrators may do with them. Which engines there are is the operator's
word; what they have is what workers saw last: no request waits for an engine."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from flask import Response, g
from marshmallow import Schema, fields

from seidra import folding
from seidra.auth.limits import limits_in_force
from seidra.auth.tokens import admin_required, login_required
from seidra.database.base import Connection, Row
from seidra.database.queries import queries
from seidra.engines.setup import Configured, Setup
from seidra.engines.stored import read_capabilities
from seidra.errors import NotFound
from seidra.jobs.presence import served_engines
from seidra.values import from_json, timestamp
from seidra.web.answers import reply
from seidra.web.blueprint import Blueprint
from seidra.web.fields import Query, Text, one_of
from seidra.web.services import services

STATUSES = ("ready", "busy", "unreachable", "no_worker")
CATALOGUES = ("model", "lora", "scheduler")

blp = Blueprint(
    "engines", __name__, url_prefix="/api/engines", description="What renders, and what it has"
)
admin_blp = Blueprint(
    "engines-admin",
    __name__,
    url_prefix="/api/admin/engines",
    description="Engines, for administrators",
)


class SizesSchema(Schema):
    """The sizes of pictures in pixels; where `fixed` lists any, only those."""

    min = fields.Integer()
    max = fields.Integer()
    multiple = fields.Integer()
    fixed = fields.List(fields.List(fields.Integer()))


class CanSchema(Schema):
    """What an engine can do, as it was last seen."""

    negative_prompt = fields.Boolean()
    seed = fields.Boolean()
    loras = fields.Boolean()
    progress = fields.Boolean()
    frames = fields.Boolean()
    cancel = fields.Boolean()
    sizes = fields.Nested(SizesSchema)
    max_count = fields.Integer()
    images = fields.List(
        fields.String(), metadata={"description": "The pictures that it can start from."}
    )


class EngineSchema(Schema):
    """An engine: `waiting` and `running` count everybody's jobs on it."""

    name = fields.String()
    kind = fields.String()
    title = fields.String()
    is_default = fields.Boolean()
    status = fields.String(validate=one_of(*STATUSES))
    message = fields.String(allow_none=True)
    checked_at = fields.DateTime(allow_none=True)
    waiting = fields.Integer()
    running = fields.Integer()
    at_once = fields.Integer()
    can = fields.Nested(CanSchema)


class CatalogueQuery(Query):
    """Which names, and a part of them."""

    kind = Text(validate=one_of(*CATALOGUES), load_default="model")
    search = Text(1, 100, metadata={"description": "A part of the name."})


class NameSchema(Schema):
    """A name that a persona or a job may say, and for which family of models it is made."""

    name = fields.String()
    family = fields.String(allow_none=True)


class CatalogueSchema(Schema):
    """What an engine has, as it was last seen."""

    kind = fields.String(validate=one_of(*CATALOGUES))
    checked_at = fields.DateTime(allow_none=True)
    items = fields.List(fields.Nested(NameSchema))


ENGINE_EXAMPLE = {
    "name": "studio",
    "kind": "comfyui",
    "title": "The big card",
    "is_default": True,
    "status": "ready",
    "message": None,
    "checked_at": "2026-01-31T12:00:00.000000Z",
    "waiting": 0,
    "running": 0,
    "at_once": 1,
    "can": {
        "negative_prompt": True,
        "seed": True,
        "loras": True,
        "progress": True,
        "frames": True,
        "cancel": True,
        "sizes": {"min": 64, "max": 2048, "multiple": 8, "fixed": []},
        "max_count": 8,
        "images": [],
    },
}


@blp.route("", methods=["GET"])
@login_required
@blp.response(200, EngineSchema(many=True), example=[ENGINE_EXAMPLE])
def list_engines() -> Response:
    """The engines that I may use."""
    with services().database.snapshot() as connection:
        allowed = limits_in_force(connection, g.user["id"]).engines
        found = engines_json(connection, services().setup)
    return reply([each for each in found if allowed is None or each["name"] in allowed])


@blp.route("/<name>/catalogue", methods=["GET"])
@login_required
@blp.arguments(CatalogueQuery, location="query")
@blp.response(
    200,
    CatalogueSchema,
    example={
        "kind": "model",
        "checked_at": "2026-01-31T12:00:00.000000Z",
        "items": [{"name": "sdxl-base", "family": "sdxl"}],
    },
)
@blp.alt_response(404, "PROBLEM")
def read_catalogue(query: dict[str, Any], name: str) -> Response:
    """The names of models, LoRAs or schedulers that an engine has, of models those that I may use;
    none where it does not tell."""
    _check_name(name)
    connection = services().database.connection
    limits = limits_in_force(connection, g.user["id"])
    if limits.engines is not None and name not in limits.engines:
        raise NotFound("engine")
    row = queries.engines.get(connection, name=name)
    can = read_capabilities(from_json(row["capabilities"]) if row else {})
    families = {
        "model": {
            found: model.family
            for found, model in can.models.items()
            if limits.models is None or found in limits.models
        },
        "lora": {found: lora.family for found, lora in can.loras.items()},
        "scheduler": dict.fromkeys(can.schedulers),
    }[query["kind"]]
    part = folding.fold(query.get("search", ""))
    return reply(
        {
            "kind": query["kind"],
            "checked_at": row["probed_at"] if row else None,
            "items": [
                {"name": found, "family": family}
                for found, family in sorted(families.items())
                if part in folding.fold(found)
            ],
        }
    )


@admin_blp.route("/<name>/check", methods=["POST"])
@admin_required
@admin_blp.response(202, EngineSchema, example=ENGINE_EXAMPLE)
@admin_blp.alt_response(404, "PROBLEM")
def check_engine(name: str) -> Response:
    """Have an engine looked at: a worker does so within a second or two."""
    _check_name(name)
    with services().database.transaction() as tx:
        queries.engines.ask_probe(tx, name=name, now=timestamp())
        found = engines_json(tx, services().setup)
    return reply(next(engine for engine in found if engine["name"] == name), 202)


def _check_name(name: str) -> None:
    if name not in services().setup.engines:
        raise NotFound("engine")


def engines_json(connection: Connection, setup: Setup) -> list[dict[str, Any]]:
    """Every engine as the API shows it, from one state of the database."""
    rows = {row["name"]: row for row in queries.engines.list_all(connection)}
    load = {row["engine"]: row for row in queries.engines.load(connection)}
    served = served_engines(connection)
    return [
        _engine_json(name, engine, setup, rows.get(name), load.get(name), served)
        for name, engine in setup.engines.items()
    ]


def _engine_json(
    name: str,
    engine: Configured,
    setup: Setup,
    row: Row | None,
    load: Row | None,
    served: Collection[str],
) -> dict[str, Any]:
    running = load["running"] if load else 0
    can = read_capabilities(from_json(row["capabilities"]) if row else {})
    status, message = "ready", None
    if name not in served:
        status, message = "no_worker", "No worker serves it; jobs wait until one does."
    elif row is not None and row["unreachable_since"] is not None:
        status, message = "unreachable", row["message"]
    elif running >= engine.options.at_once:
        status = "busy"
    return {
        "name": name,
        "kind": engine.kind,
        "title": engine.options.extra.get("title", name),
        "is_default": name == setup.default,
        "status": status,
        "message": message,
        "checked_at": row["probed_at"] if row else None,
        "waiting": load["waiting"] if load else 0,
        "running": running,
        "at_once": engine.options.at_once,
        "can": {
            **{
                feature: feature in can.features
                for feature in ("negative_prompt", "seed", "loras", "progress", "frames")
            },
            "cancel": "cancel_running" in can.features,
            "sizes": {
                "min": can.sizes.low,
                "max": can.sizes.high,
                "multiple": can.sizes.multiple,
                "fixed": [list(size) for size in can.sizes.fixed],
            },
            "max_count": can.max_count,
            "images": list(can.images),
        },
    }

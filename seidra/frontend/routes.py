"""The calls of the Ultimate frontend that no other part of the API answers."""

from __future__ import annotations

from typing import Any, NoReturn

from flask import Response, current_app, g

from seidra.auth.keys import key_scope
from seidra.auth.tokens import login_required
from seidra.database.queries import queries
from seidra.errors import Problem
from seidra.frontend.bulk import act_on_media
from seidra.frontend.requests import read_single
from seidra.frontend.schemas import (
    BULK_ANSWER_EXAMPLE,
    BULK_EXAMPLE,
    INFO_EXAMPLE,
    LORA_EXAMPLE,
    MODEL_EXAMPLE,
    NOTIFICATIONS_EXAMPLE,
    SINGLE_EXAMPLE,
    STATUS_EXAMPLE,
    BulkAnswerSchema,
    BulkSchema,
    InfoSchema,
    LoraModelSchema,
    MessageSchema,
    ModelSchema,
    ModelsStatusSchema,
    NotificationsQuery,
    NotificationsSchema,
    SingleSchema,
)
from seidra.frontend.view import engine_names, lora_json, model_json, notifications
from seidra.jobs import queue
from seidra.jobs.requests import GENERATION, draft_job, named_look
from seidra.jobs.routes import job_path, reply_queued, show_queued
from seidra.jobs.schemas import PREVIEW_EXAMPLE, PreviewAnswerSchema
from seidra.nsfw import policy
from seidra.values import timestamp, timestamp_in
from seidra.web import rates
from seidra.web.answers import page_headers, reply
from seidra.web.blueprint import Blueprint
from seidra.web.repeats import keep_made, repeatable
from seidra.web.services import services

LOOK_SECONDS = 10.0
"""An engine that was looked at less than so long ago is left alone: anybody may ask."""

SHOWN_NOTIFICATIONS = 10
"""How many notifications stand beside what else there is to tell."""

blp = Blueprint(
    "frontend", __name__, url_prefix="/api", description="For the frontend of SEIDRA Ultimate"
)


@blp.route("/generate/single", methods=["POST"])
@login_required
@key_scope("generate")
@repeatable(show_queued)
@blp.arguments(SingleSchema, example=SINGLE_EXAMPLE)
@blp.response(202, PreviewAnswerSchema, example=PREVIEW_EXAMPLE)
@blp.alt_response(403, "PROBLEM")
@blp.alt_response(429, "PROBLEM")
def generate_single(body: dict[str, Any]) -> Response:
    """Queue a generation, as `POST /api/jobs` does, by a flat body; follow the job at Location."""
    asked = read_single(body)
    rates.count_request("preview", str(g.user["id"]))
    with services().database.transaction(g.user["id"], shared=True) as tx:
        policy.check_may_make(tx, g.user["id"], asked.is_nsfw)
        look = named_look(tx, g.user["id"], body.get("persona_id"))
        draft = draft_job(tx, g.user["id"], services().setup, asked, look, GENERATION)
        note = body.get("metadata")
        job_id = queue.add_job(tx, g.user["id"], draft, asked.force, services().settings, note)
        keep_made(tx, job_id, 202, job_path(job_id))
    return reply_queued(job_id, draft)


@blp.route("/media/bulk-action", methods=["POST"])
@login_required
@blp.arguments(BulkSchema, example=BULK_EXAMPLE)
@blp.response(200, BulkAnswerSchema, example=BULK_ANSWER_EXAMPLE)
@blp.alt_response(403, "PROBLEM")
def bulk_action(body: dict[str, Any]) -> Response:
    """Change or delete up to 200 of my media items."""
    asked = body["media_ids"]
    with services().database.transaction(g.user["id"]) as tx:
        done = act_on_media(
            tx,
            g.user["id"],
            body["action"],
            asked,
            body.get("tags", ()),
            services().settings.keep_trash_days,
        )
    services().wake.set()
    return reply(
        {
            "action": body["action"],
            "processed": len(done),
            "failed": len(set(asked)) - len(done),
            "media_ids": done,
        }
    )


# ------------------------------------------------------------------------------------------- models


@blp.route("/models/available", methods=["GET"])
@login_required
@blp.response(200, ModelSchema(many=True), example=[MODEL_EXAMPLE])
def list_models() -> Response:
    """The models that engines were last seen to have."""
    found = engine_names(services().database.connection, services().setup, "model")
    return reply([model_json(model) for model in found])


@blp.route("/models/lora", methods=["GET"])
@login_required
@blp.response(200, LoraModelSchema(many=True), example=[LORA_EXAMPLE])
def list_loras() -> Response:
    """The LoRAs that engines were last seen to have."""
    found = engine_names(services().database.connection, services().setup, "lora")
    return reply([lora_json(model) for model in found])


@blp.route("/models/status", methods=["GET"])
@login_required
@blp.response(200, ModelsStatusSchema, example=STATUS_EXAMPLE)
def models_status() -> Response:
    """What engines have, as far as they tell."""
    loras = engine_names(services().database.connection, services().setup, "lora")
    return reply(
        {
            "loaded_models": [],
            "available_loras": [lora["name"] for lora in loras],
            "gpu_info": {},
            "cache_size": "",
            "optimal_batch_size": None,
        }
    )


@blp.route("/models/reload", methods=["POST"])
@login_required
@blp.response(200, MessageSchema, example={"message": "The engines are being looked at again."})
def reload_models() -> Response:
    """Have the engines looked at again: a worker does so within a second or two."""
    since = timestamp_in(-LOOK_SECONDS)
    with services().database.transaction() as tx:
        for row in queries.engines.list_all(tx):
            if row["name"] in services().setup.engines and (row["probed_at"] or "") < since:
                queries.engines.ask_probe(tx, name=row["name"], now=timestamp())
    return reply({"message": "The engines are being looked at again."})


@blp.route("/models/download", methods=["POST"])
@login_required
@blp.alt_response(501, "PROBLEM")
def download_model() -> Response:
    """Not offered: SEIDRA downloads no models."""
    _not_offered("SEIDRA downloads no models; put them where the engine looks for them.")


@blp.route("/models/clear-cache", methods=["POST"])
@login_required
@blp.alt_response(501, "PROBLEM")
def clear_cache() -> Response:
    """Not offered: SEIDRA keeps no models."""
    _not_offered("SEIDRA keeps no models; what an engine has loaded is the engine's own.")


@blp.route("/models/<model:name>", methods=["DELETE"])
@login_required
@blp.alt_response(501, "PROBLEM")
def delete_model(name: str) -> Response:
    """Not offered: SEIDRA deletes no models."""
    _not_offered("SEIDRA deletes no models; they are the engine's own.")


def _not_offered(sentence: str) -> NoReturn:
    raise Problem(sentence, status=501, code="not_offered")


# ------------------------------------------------------------------------------------------- system


@blp.route("/system/info", methods=["GET"])
@login_required
@blp.response(200, InfoSchema, example=INFO_EXAMPLE)
def info() -> Response:
    """What there is to be told of the system; what SEIDRA does not know or tell is empty."""
    with services().database.snapshot() as connection:
        models = engine_names(connection, services().setup, "model")
        told, _ = notifications(connection, g.user["id"], False, SHOWN_NOTIFICATIONS, 0)
    return reply(
        {
            "timestamp": timestamp(),
            "environment": "",
            "debug": current_app.debug,
            "gpu": {},
            "models": [model["name"] for model in models],
            "model_info": {},
            "connections": {},
            "system": {},
            "media_directory": "",
            "notifications": told,
        }
    )


@blp.route("/system/notifications", methods=["GET"])
@login_required
@blp.arguments(NotificationsQuery, location="query")
@blp.response(200, NotificationsSchema, example=NOTIFICATIONS_EXAMPLE)
def list_notifications(query: dict[str, Any]) -> Response:
    """What there is to tell of my jobs that ended, of the newest job first."""
    limit, offset = query["limit"], query["offset"]
    with services().database.snapshot() as connection:
        nsfw = policy.may_list_nsfw(connection, g.user["id"], query["include_nsfw"])
        items, total = notifications(connection, g.user["id"], nsfw, limit, offset)
    return reply(
        {
            "items": items,
            "total": total,
            "limit": limit,
            "offset": offset,
            "hasMore": offset + len(items) < total,
        },
        headers=page_headers(total, limit, offset),
    )

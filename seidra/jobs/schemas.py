"""Queries and answers of /api/jobs."""

from __future__ import annotations

from marshmallow import Schema, fields

from seidra.web.fields import MAX_INTEGER, PageQuery, Query, QueryFlag, QueryWhole, Text, one_of

STATUSES = ("queued", "processing", "completed", "failed", "cancelled")
FINAL = ("completed", "failed", "cancelled")


class WaitingSchema(Schema):
    """What a job waits for: `engine`, which is away since then."""

    code = fields.String(validate=one_of("engine"))
    engine = fields.String()
    since = fields.DateTime()


class JobSchema(Schema):
    """A generation job; times are null until they come."""

    job_id = fields.UUID()
    status = fields.String(validate=one_of(*STATUSES))
    progress = fields.Float(metadata={"minimum": 0, "maximum": 1})
    job_type = fields.String()
    persona_id = fields.Integer(allow_none=True)
    prompt = fields.String()
    negative_prompt = fields.String()
    model_name = fields.String()
    lora_models = fields.List(fields.String())
    parameters = fields.Dict()
    result_images = fields.List(
        fields.String(), metadata={"description": "Signed links to the pictures."}
    )
    metadata = fields.Dict()
    is_nsfw = fields.Boolean()
    error_message = fields.String(allow_none=True)
    attempts = fields.Integer()
    waiting_for = fields.Nested(WaitingSchema, allow_none=True)
    created_at = fields.DateTime()
    updated_at = fields.DateTime()
    started_at = fields.DateTime(allow_none=True)
    completed_at = fields.DateTime(allow_none=True)


class JobsSchema(Schema):
    """A page of jobs."""

    total = fields.Integer()
    jobs = fields.List(fields.Nested(JobSchema))


class JobsQuery(PageQuery):
    """Filters of the list."""

    status = Text(validate=one_of(*STATUSES))
    job_type = Text(1, 100)
    persona_id = QueryWhole(0, MAX_INTEGER)
    search = Text(
        1,
        100,
        metadata={"description": "Words that must all be in the prompt or the persona's name."},
    )
    include_nsfw = QueryFlag(load_default=False)


class JobStatsSchema(Schema):
    """Jobs in figures; `average_duration` in seconds over the completed ones, null without any."""

    total = fields.Integer()
    by_status = fields.Dict(keys=fields.String(), values=fields.Integer())
    average_duration = fields.Float(allow_none=True)
    last_completed = fields.DateTime(allow_none=True)


class FollowQuery(Query):
    """Where a stream goes on. The header Last-Event-ID, which browsers send by themselves, comes
    first."""

    last_event_id = fields.String(
        metadata={"description": "The last id received; what came after it follows."}
    )


class FollowAllQuery(FollowQuery):
    """Where the stream of all jobs goes on, and whether NSFW things are in it."""

    include_nsfw = QueryFlag(load_default=False)


class TicketSchema(Schema):
    """What opens streams without a header; `expires_in` in seconds."""

    ticket = fields.String()
    expires_in = fields.Integer()


class PreviewAnswerSchema(Schema):
    """A preview that was queued; `estimated_time` in seconds."""

    job_id = fields.UUID()
    status = fields.String(validate=one_of("queued"))
    message = fields.String()
    persona_id = fields.Integer()
    estimated_time = fields.Float()


JOB_EXAMPLE = {
    "job_id": "0b8f6a52-3a54-4d0e-8d0f-1d6b6c1a7e11",
    "status": "completed",
    "progress": 1.0,
    "job_type": "persona_preview",
    "persona_id": 1,
    "prompt": "moonlit ocean, soft teal light, film grain",
    "negative_prompt": "text, watermark",
    "model_name": "sdxl-base",
    "lora_models": ["film-grain-xl"],
    "parameters": {
        "width": 768,
        "height": 768,
        "num_inference_steps": 25,
        "guidance_scale": 7.5,
        "scheduler": "ddim",
        "quality": "standard",
        "model_name": "sdxl-base",
        "seed": 42,
    },
    "result_images": [
        "/api/media/6f1c2f0e-0d5b-5d5c-9c55-2b8d3f3c1a10/content?user=2&expires=1769990400&signature=…"
    ],
    "metadata": {"persona_name": "Élodie of the Tides", "tags": ["sea"], "engine": "mock"},
    "is_nsfw": False,
    "error_message": None,
    "attempts": 1,
    "waiting_for": None,
    "created_at": "2026-01-31T12:00:00.000000Z",
    "updated_at": "2026-01-31T12:00:00.180000Z",
    "started_at": "2026-01-31T12:00:00.010000Z",
    "completed_at": "2026-01-31T12:00:00.180000Z",
}
PREVIEW_EXAMPLE = {
    "job_id": "0b8f6a52-3a54-4d0e-8d0f-1d6b6c1a7e11",
    "status": "queued",
    "message": "The preview is queued.",
    "persona_id": 1,
    "estimated_time": 0.2,
}

"""Bodies, queries and answers of /api/jobs, and what bodies of personas and jobs have in common."""

from __future__ import annotations

from typing import Any

from marshmallow import (
    INCLUDE,
    Schema,
    ValidationError,
    fields,
    post_load,
    validates_schema,
)

from seidra.media.schemas import OwnerSchema, ThumbnailSchema
from seidra.parameters import EXACT_SEED, MAX_SEED, RANDOM_SEED, read_seed
from seidra.prompts import MAX_LORAS, MAX_NEGATIVE_PROMPT, MAX_REQUEST_PROMPT, MAX_WEIGHT
from seidra.web.fields import (
    MAX_INTEGER,
    Body,
    Entries,
    Flag,
    Items,
    Number,
    PageQuery,
    Query,
    QueryFlag,
    QueryWhole,
    Text,
    UuidText,
    Whole,
    check_json,
    check_size,
    large_as_text,
    one_of,
)

STATUSES = ("queued", "processing", "completed", "failed", "cancelled")
FINAL = ("completed", "failed", "cancelled")
SORTS = ("created_at", "-created_at")
MAX_CANCELLED = 1_000
"""Jobs that one request may name to cancel them."""


_LARGEST = str(MAX_SEED)
_SEED_DIGITS = "|".join(
    [
        rf"[0-9]{{1,{len(_LARGEST) - 1}}}",
        *(
            f"{_LARGEST[:at]}[0-{int(digit) - 1}][0-9]{{{len(_LARGEST) - at - 1}}}"
            for at, digit in enumerate(_LARGEST)
            if digit != "0"
        ),
        _LARGEST,
    ]
)
"""A pattern of the decimal texts up to the largest seed."""

_SEED_DOCUMENTED = {
    "anyOf": [
        {"type": "integer", "minimum": RANDOM_SEED, "maximum": MAX_SEED},
        {"type": "string", "pattern": f"^(-1|{_SEED_DIGITS})$"},
        {"type": "null"},
    ],
    "description": f"0 to {MAX_SEED}, as text beyond {EXACT_SEED}; -1 for a new one.",
}


class Seed(fields.Field[Any]):
    """A seed, as a number or its decimal text; -1 is a new one each time, null is none."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_none=True, metadata=_SEED_DOCUMENTED, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        try:
            return read_seed(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None


class LoraSchema(Body):
    """A LoRA; `clip_weight` is that of the text encoder, where it is another."""

    name = Text(1, 200, line=True, required=True)
    weight = Number(-MAX_WEIGHT, MAX_WEIGHT, load_default=1)
    clip_weight = Number(-MAX_WEIGHT, MAX_WEIGHT, allow_none=True)
    enabled = Flag(load_default=True)

    def load(self, data: Any, **kwargs: Any) -> Any:
        """A whole one, also in a body that changes only some fields."""
        return super().load(data, **kwargs | {"partial": False})

    @post_load
    def _without_null(self, lora: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {name: value for name, value in lora.items() if value is not None}


class Loras(Items):
    """At most 50 LoRAs."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(fields.Nested(LoraSchema), MAX_LORAS, "LoRAs", **kwargs)


class GenerationParamsSchema(Body):
    """Generation parameters: the known ones are checked, the common names of other tools are read
    as ours, others are kept as they are; 8 KB in all."""

    class Meta:
        unknown = INCLUDE

    width = Whole(64, 2048, metadata={"description": "Pixels."})
    height = Whole(64, 2048, metadata={"description": "Pixels."})
    num_inference_steps = Whole(1, 150)
    guidance_scale = Number(0, 30)
    seed = Seed()
    scheduler = Text(1, 200, line=True)
    quality = Text(validate=one_of("draft", "standard", "high"))
    model_name = Text(1, 200, line=True)
    engine = Text(1, 200, line=True)

    def load(self, data: Any, **kwargs: Any) -> Any:
        """An object that can be stored; `seidra.parameters.understand` reads what is in it."""
        if not isinstance(data, dict):
            raise ValidationError("Must be an object.")
        check_json(data, large=True)
        kept = large_as_text(data)
        check_size(kept, MAX_PARAMETERS)
        return kept


MAX_IMAGES = 8
"""Pictures that a job may start from."""

MAX_PARAMETERS = 8192
"""Bytes of generation parameters as JSON."""


class WaitingSchema(Schema):
    """What a job waits for since then: `engine`, which is away, `worker`, for none serves the
    engine, or `turn`."""

    code = fields.String(validate=one_of("engine", "worker", "turn"))
    engine = fields.String()
    since = fields.DateTime()


class PreviewSchema(Body):
    """What a preview may ask for beside the persona's own look."""

    prompt = Text(metadata={"maxLength": MAX_REQUEST_PROMPT})
    count = Whole(1, 8, load_default=1, metadata={"description": "Pictures, with seed + k each."})
    seed = Seed()
    engine = Text(1, 50, line=True, metadata={"description": "The name of an engine, or `auto`."})
    force = Flag(metadata={"description": "Queue it whatever the engine was seen to lack."})


class GenerationSchema(PreviewSchema):
    """What to make. What is given here goes before the persona's."""

    prompt = Text(required=True, metadata={"maxLength": MAX_REQUEST_PROMPT})
    negative_prompt = Text(metadata={"maxLength": MAX_NEGATIVE_PROMPT})
    persona_id = Whole(1, MAX_INTEGER, allow_none=True)
    loras = Loras()
    images = Entries(
        Text(1, 100, line=True),
        UuidText(),
        MAX_IMAGES,
        "pictures",
        metadata={"description": "Pictures of my own to start from, by the workflow's inputs."},
    )
    parameters = fields.Nested(GenerationParamsSchema)
    dry_run = Flag(metadata={"description": "Answer what would be sent, and queue nothing."})


class FindingSchema(Schema):
    """One thing that an engine lacks or does otherwise."""

    level = fields.String(validate=one_of("error", "warning"))
    code = fields.String()
    field = fields.String()
    value = fields.Raw(allow_none=True)
    detail = fields.String()
    suggestions = fields.List(fields.String())


class CheckQuery(Query):
    """Which engine to compare with."""

    engine = Text(1, 50, line=True)


class CheckSchema(Schema):
    """What an engine, as it was last seen, lacks for a persona or does otherwise."""

    ok = fields.Boolean()
    engine = fields.String()
    findings = fields.List(fields.Nested(FindingSchema))


class DryRunSchema(Schema):
    """What would be sent; a seed of -1 would be drawn."""

    ok = fields.Boolean()
    engine = fields.String()
    prompt = fields.String()
    negative_prompt = fields.String()
    model_name = fields.String()
    loras = fields.List(fields.Nested(LoraSchema))
    parameters = fields.Dict()
    count = fields.Integer()
    images = fields.Dict(keys=fields.String(), values=fields.UUID())
    warnings = fields.List(fields.Dict())
    findings = fields.List(fields.Nested(FindingSchema))


class ResultSchema(Schema):
    """A picture of a job, with signed links."""

    media_id = fields.UUID()
    url = fields.String()
    thumbnails = fields.List(fields.Nested(ThumbnailSchema))
    width = fields.Integer()
    height = fields.Integer()


class JobPersonaSchema(Schema):
    """The persona of a job, as it was called then; `id` is null once it is deleted, or is another's
    and shared no more. `owner`: whose it was, as they were called then; null: one's own."""

    id = fields.Integer(allow_none=True)
    name = fields.String()
    owner = fields.Nested(OwnerSchema, allow_none=True)


class JobSchema(Schema):
    """A generation job; times are null until they come."""

    job_id = fields.UUID()
    status = fields.String(validate=one_of(*STATUSES))
    message = fields.String(metadata={"description": "How it stands, for people."})
    progress = fields.Float(metadata={"minimum": 0, "maximum": 1})
    job_type = fields.String()
    persona_id = fields.Integer(allow_none=True)
    persona_revision = fields.Integer(allow_none=True)
    persona = fields.Nested(JobPersonaSchema, allow_none=True)
    engine = fields.String()
    prompt = fields.String()
    negative_prompt = fields.String()
    model_name = fields.String()
    loras = fields.List(fields.Nested(LoraSchema))
    lora_models = fields.List(fields.String())
    parameters = fields.Dict()
    count = fields.Integer()
    images = fields.Dict(
        keys=fields.String(),
        values=fields.UUID(),
        metadata={"description": "Pictures that it starts from, by the workflow's inputs."},
    )
    frame_url = fields.String(
        allow_none=True,
        metadata={"description": "A signed link to the picture as far as it is made."},
    )
    result_images = fields.List(
        fields.String(), metadata={"description": "Signed links to the pictures."}
    )
    results = fields.List(fields.Nested(ResultSchema))
    metadata = fields.Dict()
    is_nsfw = fields.Boolean()
    error_message = fields.String(allow_none=True)
    error_code = fields.String(allow_none=True)
    warnings = fields.List(
        fields.Dict(),
        metadata={"description": "What was not done as it was asked: [{code, field, detail}]"},
    )
    attempts = fields.Integer()
    version = fields.Integer()
    waiting_for = fields.Nested(WaitingSchema, allow_none=True)
    position = fields.Integer(
        allow_none=True,
        metadata={"description": "Of a queued job: its place on its engine, 1 for the next."},
    )
    estimated_time = fields.Float(
        allow_none=True,
        metadata={"description": "Of a queued job: seconds until it is done, everybody's counted."},
    )
    created_at = fields.DateTime()
    updated_at = fields.DateTime()
    started_at = fields.DateTime(allow_none=True)
    completed_at = fields.DateTime(allow_none=True)


class RetriedJobSchema(JobSchema):
    """The new job."""

    new_job_id = fields.UUID(metadata={"description": "The same as `job_id`."})


class JobsSchema(Schema):
    """A page of jobs."""

    total = fields.Integer()
    jobs = fields.List(fields.Nested(JobSchema))


class JobsQuery(PageQuery):
    """Filters of the list."""

    status = Items(
        Text(validate=one_of(*STATUSES)),
        20,
        "statuses",
        metadata={"description": "One or several of them."},
    )
    active = QueryFlag(
        load_default=False,
        metadata={"description": "Only what is queued or processing."},
    )
    job_type = Text(1, 100)
    engine = Text(1, 50)
    sort = Text(validate=one_of(*SORTS), load_default="-created_at")
    persona_id = QueryWhole(0, MAX_INTEGER)
    search = Text(
        1,
        100,
        metadata={"description": "Words that must all be in the prompt or the persona's name."},
    )
    include_nsfw = QueryFlag(load_default=False)


class JobChangeSchema(Body):
    """What may be changed of a job."""

    READ_ONLY = frozenset(JobSchema._declared_fields) - {"is_nsfw"}

    is_nsfw = Flag(metadata={"description": "true makes its pictures NSFW too; false does not."})


class CancelSchema(Body):
    """Which jobs to cancel: all of mine that wait, or these."""

    status = Text(validate=one_of("queued"))
    ids = Items(UuidText(), MAX_CANCELLED, "ids")

    @validates_schema
    def check_one(self, data: dict[str, Any], **kwargs: Any) -> None:
        """Raise ValidationError unless exactly one of them is there."""
        if len(data) != 1:
            raise ValidationError("Give either status or ids.", "ids")


class NotCancelledSchema(Schema):
    """A job that could not be cancelled, and the word for why."""

    id = fields.UUID()
    code = fields.String(validate=one_of("not_found", "conflict"))


class CancelledSchema(Schema):
    """How many jobs were cancelled, and which of those that were named were not."""

    cancelled = fields.Integer()
    failed = fields.List(fields.Nested(NotCancelledSchema))


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
    """A preview or generation that was queued: its place on its engine, where 1 is the next, and
    `estimated_time` in seconds; both count everybody's jobs."""

    job_id = fields.UUID()
    status = fields.String(
        validate=one_of("queued", "processing", *FINAL),
        metadata={"description": "queued, but where a request is repeated"},
    )
    message = fields.String()
    persona_id = fields.Integer(allow_none=True)
    position = fields.Integer(allow_none=True)
    estimated_time = fields.Float(allow_none=True)
    warnings = fields.List(fields.Dict())


_PICTURE = "/api/media/6f1c2f0e-0d5b-5d5c-9c55-2b8d3f3c1a10"
_SIGNED = "?user=2&expires=1769990400&signature=…"
JOB_EXAMPLE = {
    "job_id": "0b8f6a52-3a54-4d0e-8d0f-1d6b6c1a7e11",
    "status": "completed",
    "message": "The job is completed.",
    "progress": 1.0,
    "job_type": "persona_preview",
    "persona_id": 1,
    "persona_revision": 1,
    "persona": {"id": 1, "name": "Élodie of the Tides", "owner": None},
    "engine": "mock",
    "prompt": "moonlit ocean, soft teal light, film grain",
    "negative_prompt": "text, watermark",
    "model_name": "sdxl-base",
    "loras": [{"name": "film-grain-xl", "weight": 0.8}],
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
    "count": 1,
    "images": {},
    "frame_url": None,
    "result_images": [f"{_PICTURE}/content{_SIGNED}"],
    "results": [
        {
            "media_id": "6f1c2f0e-0d5b-5d5c-9c55-2b8d3f3c1a10",
            "url": f"{_PICTURE}/content{_SIGNED}",
            "thumbnails": [{"url": f"{_PICTURE}/thumbnail{_SIGNED}", "width": 320, "height": 320}],
            "width": 768,
            "height": 768,
        }
    ],
    "metadata": {"persona_name": "Élodie of the Tides", "tags": ["sea"], "engine": "mock"},
    "is_nsfw": False,
    "error_message": None,
    "error_code": None,
    "warnings": [],
    "attempts": 1,
    "version": 4,
    "waiting_for": None,
    "position": None,
    "estimated_time": None,
    "created_at": "2026-01-31T12:00:00.000000Z",
    "updated_at": "2026-01-31T12:00:00.180000Z",
    "started_at": "2026-01-31T12:00:00.010000Z",
    "completed_at": "2026-01-31T12:00:00.180000Z",
}
RETRIED_EXAMPLE = JOB_EXAMPLE | {
    "status": "queued",
    "message": "The job is queued.",
    "new_job_id": JOB_EXAMPLE["job_id"],
}
PREVIEW_EXAMPLE = {
    "job_id": "0b8f6a52-3a54-4d0e-8d0f-1d6b6c1a7e11",
    "status": "queued",
    "message": "The preview is queued.",
    "persona_id": 1,
    "position": 1,
    "estimated_time": 0.2,
    "warnings": [],
}
GENERATION_EXAMPLE = {"prompt": "a lighthouse at dusk", "persona_id": 1, "count": 2}
CHECK_EXAMPLE = {
    "ok": False,
    "engine": "studio",
    "findings": [
        {
            "level": "error",
            "code": "lora_missing",
            "field": "loras",
            "value": "film-grain",
            "detail": "This engine has no LoRA called 'film-grain'.",
            "suggestions": ["film-grain-xl"],
        }
    ],
}
DRY_RUN_EXAMPLE = {
    "ok": True,
    "engine": "mock",
    "prompt": "a lighthouse at dusk, moonlit ocean, soft teal light, film grain",
    "negative_prompt": "text, watermark",
    "model_name": "sdxl-base",
    "loras": [{"name": "film-grain-xl", "weight": 0.8}],
    "parameters": JOB_EXAMPLE["parameters"],
    "count": 2,
    "images": {},
    "warnings": [],
    "findings": [],
}

"""Bodies, queries and answers of what the Ultimate frontend calls."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, fields, validates_schema

from seidra.jobs.schemas import Seed
from seidra.library.bulk import MEDIA_ACTIONS
from seidra.library.organise_schemas import TaggingSchema
from seidra.prompts import MAX_LORAS, MAX_NEGATIVE_PROMPT, MAX_REQUEST_PROMPT, MAX_WEIGHT
from seidra.web.fields import (
    MAX_INTEGER,
    Body,
    Flag,
    FreeObject,
    Items,
    Names,
    Number,
    PageQuery,
    QueryFlag,
    Text,
    UuidText,
    Whole,
    one_of,
)

LEVELS = ("info", "warning", "error", "success")
MAX_BULK = 200
"""Media items that one call changes: one transaction, which holds up nobody."""


class SingleSchema(Body):
    """What to make, in the frontend's words. What is null is as what is not there."""

    prompt = Text(required=True, metadata={"maxLength": MAX_REQUEST_PROMPT})
    negative_prompt = Text(metadata={"maxLength": MAX_NEGATIVE_PROMPT})
    width = Whole(64, 2048, metadata={"description": "Pixels."})
    height = Whole(64, 2048, metadata={"description": "Pixels."})
    num_inference_steps = Whole(1, 150)
    guidance_scale = Number(0, 30)
    num_images = Whole(1, 8, load_default=1, metadata={"description": "Our `count`."})
    persona_id = Whole(1, MAX_INTEGER)
    lora_models = Names()
    lora_weights = Items(
        Number(-MAX_WEIGHT, MAX_WEIGHT),
        MAX_LORAS,
        "weights",
        metadata={"description": "In the order of `lora_models`; 1 for those that have none."},
    )
    seed = Seed()
    model_name = Text(1, 200, line=True)
    scheduler = Text(1, 200, line=True)
    style = Text(1, 200, line=True, metadata={"description": "Kept; no engine uses it."})
    quality = Text(1, 200, line=True, metadata={"description": "Another than ours is left out."})
    is_nsfw = Flag()
    job_type = Text(1, 100, line=True, metadata={"description": "It is always a generation."})
    metadata = FreeObject(metadata={"description": "Kept as `metadata.note` of the job."})

    def load(self, data: Any, **kwargs: Any) -> Any:
        """As other bodies, without what is null."""
        if isinstance(data, dict):
            data = {name: value for name, value in data.items() if value is not None}
        return super().load(data, **kwargs)

    @validates_schema
    def _weights_have_names(self, data: Any, **kwargs: Any) -> None:
        if len(data.get("lora_weights", ())) > len(data.get("lora_models", ())):
            raise ValidationError("Must not be more than there are in lora_models.", "lora_weights")


for _name, _field in SingleSchema._declared_fields.items():
    # The document says what `load` takes.
    _field.allow_none = _name != "prompt"


class BulkSchema(TaggingSchema):
    """What to do with which media items; `tags` for `tag` and `untag` alone."""

    action = Text(required=True, validate=one_of(*MEDIA_ACTIONS))
    media_ids = Items(UuidText(), MAX_BULK, "media items", required=True)


class BulkAnswerSchema(Schema):
    """How many were done and how many were not; `media_ids` are those that were."""

    action = fields.String(validate=one_of(*MEDIA_ACTIONS))
    processed = fields.Integer()
    failed = fields.Integer()
    media_ids = fields.List(fields.UUID())


class ModelSchema(Schema):
    """A model of an engine; `category` is the family that it is made for, `tags` are the engines
    that have it. Description, size and address are not known to SEIDRA."""

    id = fields.String()
    name = fields.String()
    description = fields.String()
    type = fields.String(validate=one_of("model"))
    size = fields.String()
    is_downloaded = fields.Boolean()
    download_url = fields.String(allow_none=True)
    category = fields.String()
    tags = fields.List(fields.String())


class LoraModelSchema(Schema):
    """A LoRA of an engine, as a model; where its file lies is not known to SEIDRA."""

    id = fields.String()
    name = fields.String()
    description = fields.String()
    file_path = fields.String()
    download_url = fields.String(allow_none=True)
    category = fields.String()
    tags = fields.List(fields.String())
    is_downloaded = fields.Boolean()
    file_size = fields.Integer(allow_none=True)


class ModelsStatusSchema(Schema):
    """What engines have; what they have loaded, and on which card, they do not tell."""

    loaded_models = fields.List(fields.String())
    available_loras = fields.List(fields.String())
    gpu_info = fields.Dict()
    cache_size = fields.String()
    optimal_batch_size = fields.Integer(allow_none=True)


class MessageSchema(Schema):
    """A sentence for people."""

    message = fields.String()


class NotificationSchema(Schema):
    """What to tell of a job that ended; `id` is the job's."""

    id = fields.UUID()
    level = fields.String(validate=one_of(*LEVELS))
    title = fields.String()
    message = fields.String()
    category = fields.String()
    metadata = fields.Dict()
    tags = fields.List(fields.String())
    timestamp = fields.DateTime()


class NotificationsSchema(Schema):
    """A page of notifications, of the newest job first."""

    items = fields.List(fields.Nested(NotificationSchema))
    total = fields.Integer()
    limit = fields.Integer()
    offset = fields.Integer()
    hasMore = fields.Boolean()


class NotificationsQuery(PageQuery):
    """Which page, and whether NSFW jobs are told of."""

    include_nsfw = QueryFlag(load_default=False)


class InfoSchema(Schema):
    """What there is to be told of the system to everybody who has an account: the models, and the
    newest notifications. The rest is empty."""

    timestamp = fields.DateTime()
    environment = fields.String()
    debug = fields.Boolean()
    gpu = fields.Dict()
    models = fields.List(fields.String())
    model_info = fields.Dict()
    connections = fields.Dict()
    system = fields.Dict()
    media_directory = fields.String()
    notifications = fields.List(fields.Nested(NotificationSchema))


SINGLE_EXAMPLE = {
    "prompt": "a lighthouse at dusk",
    "width": 768,
    "height": 768,
    "num_images": 2,
    "persona_id": 1,
    "lora_models": ["film-grain-xl"],
    "lora_weights": [0.8],
}
BULK_EXAMPLE = {
    "action": "tag",
    "media_ids": ["6f1c2f0e-0d5b-5d5c-9c55-2b8d3f3c1a10"],
    "tags": ["keep"],
}
BULK_ANSWER_EXAMPLE = {
    "action": "tag",
    "processed": 1,
    "failed": 0,
    "media_ids": ["6f1c2f0e-0d5b-5d5c-9c55-2b8d3f3c1a10"],
}
MODEL_EXAMPLE = {
    "id": "sdxl-base",
    "name": "sdxl-base",
    "description": "",
    "type": "model",
    "size": "",
    "is_downloaded": True,
    "download_url": None,
    "category": "sdxl",
    "tags": ["studio"],
}
LORA_EXAMPLE = {
    "id": "film-grain-xl",
    "name": "film-grain-xl",
    "description": "",
    "file_path": "",
    "download_url": None,
    "category": "sdxl",
    "tags": ["studio"],
    "is_downloaded": True,
    "file_size": None,
}
STATUS_EXAMPLE: dict[str, Any] = {
    "loaded_models": [],
    "available_loras": ["film-grain-xl"],
    "gpu_info": {},
    "cache_size": "",
    "optimal_batch_size": None,
}
NOTIFICATION_EXAMPLE = {
    "id": "0b8f6a52-3a54-4d0e-8d0f-1d6b6c1a7e11",
    "level": "success",
    "title": "Generation made",
    "message": "a lighthouse at dusk",
    "category": "generation",
    "metadata": {
        "job_id": "0b8f6a52-3a54-4d0e-8d0f-1d6b6c1a7e11",
        "persona_id": 1,
        "engine": "mock",
        "error_code": None,
    },
    "tags": ["completed"],
    "timestamp": "2026-01-31T12:00:00.180000Z",
}
NOTIFICATIONS_EXAMPLE = {
    "items": [NOTIFICATION_EXAMPLE],
    "total": 1,
    "limit": 20,
    "offset": 0,
    "hasMore": False,
}
INFO_EXAMPLE = {
    "timestamp": "2026-01-31T12:00:00.000000Z",
    "environment": "",
    "debug": False,
    "gpu": {},
    "models": ["sdxl-base"],
    "model_info": {},
    "connections": {},
    "system": {},
    "media_directory": "",
    "notifications": [NOTIFICATION_EXAMPLE],
}

"""Bodies, queries and answers of /api/personas."""

from __future__ import annotations

from typing import Any, get_args

from marshmallow import Schema, ValidationError, fields, post_load, validates_schema
from marshmallow.validate import URL

from seidra.jobs.schemas import GenerationParamsSchema, Loras, PreviewSchema
from seidra.media.crops import SMALLEST, Crop
from seidra.media.links import is_media_link
from seidra.media.schemas import OwnerSchema, ThumbnailSchema
from seidra.media.write import PRIVATE, SHARED
from seidra.personas.revisions import CONTENT, Maker
from seidra.web.fields import (
    MAX_INTEGER,
    Body,
    Flag,
    Items,
    Names,
    PageQuery,
    Query,
    QueryFlag,
    Tags,
    Text,
    UuidText,
    Whole,
    one_of,
)
from seidra.web.services import services

SORTS = ("created_at", "-created_at", "updated_at", "-updated_at", "name", "-name")


class AvatarUrl(Text):
    """null, an http(s) URL, or the link of one's own media that an answer gave."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(1, 500, line=True, allow_none=True, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        url = services().links.as_reference(super()._deserialize(value, attr, data, **kwargs))
        if not is_media_link(url):
            URL(
                schemes={"http", "https"}, require_tld=False, error="Must be an http or https URL."
            )(url)
        return url


class CoverSchema(Schema):
    """The picture that stands for a persona: its avatar, else the newest that may be shown."""

    media_id = fields.UUID()
    kind = fields.String(validate=one_of("avatar", "latest"))
    crop = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        allow_none=True,
        metadata={"description": "{x, y, size} of an avatar of which a square is shown."},
    )
    url = fields.String()
    thumbnails = fields.List(fields.Nested(ThumbnailSchema))
    width = fields.Integer()
    height = fields.Integer()


class PersonaSchema(Body):
    """A persona: a look that pictures are made with. One of the two prompts must be there."""

    READ_ONLY = frozenset({"warnings"})

    id = fields.Integer(dump_only=True)
    uid = fields.UUID(dump_only=True)
    name = Text(1, 100, line=True, required=True)
    description = Text(0, 8000)
    style_prompt = Text(
        0,
        8000,
        metadata={"description": "{prompt} in it stands for what a person asks for."},
    )
    negative_prompt = Text(0, 16_000)
    loras = Loras()
    lora_models = Names(
        metadata={"description": "The names of `loras`; written alone, new ones get the weight 1."}
    )
    generation_params = fields.Nested(GenerationParamsSchema)
    tags = Tags()
    is_favorite = Flag()
    is_nsfw = Flag()
    visibility = Text(
        validate=one_of(PRIVATE, SHARED),
        metadata={
            "description": "shared: everybody on this instance sees it, makes pictures with it and"
            " copies it. private, at first: nobody else."
        },
    )
    owner = fields.Nested(OwnerSchema, dump_only=True)
    is_mine = fields.Boolean(dump_only=True)
    avatar_url = AvatarUrl()
    cover = fields.Nested(CoverSchema, dump_only=True, allow_none=True)
    metadata = fields.Dict(
        dump_only=True, metadata={"description": "Always empty; there for the Ultimate frontend."}
    )
    version = fields.Integer(dump_only=True)
    revision = fields.Integer(
        dump_only=True, metadata={"description": "Counts the changes of what a picture is made of."}
    )
    created_at = fields.DateTime(dump_only=True)
    updated_at = fields.DateTime(dump_only=True)


class WarningSchema(Schema):
    """What was done otherwise than it was written: a word for programs, and a sentence."""

    code = fields.String()
    field = fields.String()
    detail = fields.String()


class WrittenPersonaSchema(PersonaSchema):
    """A persona, and what to tell of how it was written."""

    warnings = fields.List(
        fields.Nested(WarningSchema),
        dump_only=True,
        metadata={"description": "What was kept, and no engine uses."},
    )


class PersonaChangeSchema(PersonaSchema):
    """Changes to a persona; what is left out stays."""

    ONE_OF = tuple(
        name for name, field in PersonaSchema._declared_fields.items() if not field.dump_only
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(partial=True, **kwargs)

    @validates_schema
    def _something(self, data: Any, **kwargs: Any) -> None:
        if not data:
            raise ValidationError("Must change at least one field.")


class UnsavedPreviewSchema(PreviewSchema):
    """A persona that is not saved, and what its preview may ask for beside its look."""

    persona = fields.Nested(PersonaSchema, required=True)
    persona_id = Whole(
        1,
        MAX_INTEGER,
        allow_none=True,
        metadata={"description": "The persona that this is a change of: its seed is taken."},
    )


class PersonaQuery(PageQuery):
    """Filters and order of the list."""

    search = Text(
        1,
        100,
        metadata={
            "description": "Words that must all be somewhere in name, description, style"
            " prompt or tags; without case and accents."
        },
    )
    tag = Items(
        Text(1, 50, line=True),
        8,
        "tags",
        load_default=list,
        metadata={"description": "Repeatable: all must match."},
    )
    untagged = QueryFlag(
        load_default=False, metadata={"description": "true: only what has no tag."}
    )
    is_favorite = QueryFlag(load_default=None, metadata={"description": "false: only the others."})
    scope = Text(
        validate=one_of("mine", "shared", "all"),
        load_default="mine",
        metadata={"description": "shared: what others share; all: that and mine."},
    )
    include_nsfw = QueryFlag(load_default=False)
    sort = Text(validate=one_of(*SORTS), load_default="-created_at")
    shown = Text(
        data_key="fields",
        validate=one_of("card"),
        load_default=None,
        metadata={
            "description": "card: without description, negative_prompt and generation_params."
        },
    )


class RevisionSchema(Schema):
    """How a persona was, or is, between two changes of what a picture is made of."""

    number = fields.Integer(
        metadata={"description": "The `revision` of the persona then; that of its jobs, too."}
    )
    at = fields.DateTime()
    by = fields.String(validate=one_of(*get_args(Maker)))
    note = fields.String(
        metadata={"description": "Of a restore or an undo the number of what came back."}
    )
    changed = fields.List(
        fields.String(validate=one_of(*CONTENT)),
        metadata={"description": "The fields that differ from the one before, where one is kept."},
    )
    content_hash = fields.String(
        metadata={"description": "SHA-256: the same for the same content."}
    )
    is_current = fields.Boolean()
    is_nsfw = fields.Boolean()


class WholeRevisionSchema(RevisionSchema):
    """A revision with what restoring it brings back."""

    name = fields.String()
    description = fields.String()
    style_prompt = fields.String()
    negative_prompt = fields.String()
    loras = Loras()
    lora_models = fields.List(fields.String())
    generation_params = fields.Nested(GenerationParamsSchema)
    tags = fields.List(fields.String())


class DuplicateSchema(Body):
    """The copy's name."""

    name = Text(1, 100, line=True)


class DuplicateQuery(Query):
    """The copy's name, for clients that send no body."""

    new_name = Text(1, 100, line=True)


class CropSchema(Body):
    """A square of a picture, in the pixels that its file has."""

    x = Whole(0, 65_535, required=True)
    y = Whole(0, 65_535, required=True)
    size = Whole(SMALLEST, 65_535, required=True)

    @post_load
    def _crop(self, data: dict[str, int], **kwargs: Any) -> Crop:
        return Crop(**data)


class AvatarSchema(Body):
    """Which of one's own media items is the avatar, and which square of it; none: all of it."""

    media_id = UuidText(required=True)
    crop = fields.Nested(CropSchema, allow_none=True)


PERSONA_EXAMPLE = {
    "id": 1,
    "uid": "019c13ec-9e00-7c3a-9d1f-5b0c8a7e4f21",
    "name": "Élodie of the Tides",
    "description": "Sea-worn portraits",
    "style_prompt": "moonlit ocean, soft teal light, film grain",
    "negative_prompt": "text, watermark",
    "loras": [{"name": "film-grain-xl", "weight": 0.8, "enabled": True}],
    "lora_models": ["film-grain-xl"],
    "generation_params": {"width": 768, "height": 768, "guidance_scale": 7.5},
    "tags": ["sea", "portrait"],
    "is_favorite": True,
    "is_nsfw": False,
    "visibility": "private",
    "owner": {"id": 2, "username": "alice"},
    "is_mine": True,
    "avatar_url": None,
    "cover": None,
    "metadata": {},
    "version": 1,
    "revision": 1,
    "created_at": "2026-01-31T12:00:00.000000Z",
    "updated_at": "2026-01-31T12:00:00.000000Z",
}
WRITTEN_EXAMPLE = PERSONA_EXAMPLE | {"warnings": []}
REVISION_EXAMPLE = {
    "number": 2,
    "at": "2026-01-31T12:05:00.000000Z",
    "by": "edit",
    "note": "",
    "changed": ["style_prompt"],
    "content_hash": "9f2c1d0f3f7c5d8b0a4e6f1b2c3d4e5f60718293a4b5c6d7e8f9a0b1c2d3e4f5",
    "is_current": False,
    "is_nsfw": False,
}
WHOLE_REVISION_EXAMPLE = REVISION_EXAMPLE | {
    name: PERSONA_EXAMPLE[name]
    for name in (
        "name",
        "description",
        "style_prompt",
        "negative_prompt",
        "loras",
        "lora_models",
        "generation_params",
        "tags",
    )
}
PERSONA_BODY_EXAMPLE = {
    name: value
    for name, value in PERSONA_EXAMPLE.items()
    if name
    not in (
        "id",
        "uid",
        "owner",
        "is_mine",
        "metadata",
        "version",
        "revision",
        "lora_models",
        "created_at",
        "updated_at",
    )
}

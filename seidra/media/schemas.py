"""Bodies, queries and answers of /api/media."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, validate, validates_schema

from seidra.files.keys import SIZES
from seidra.media.crops import PATTERN
from seidra.media.thumbnails import SIZE
from seidra.media.write import PRIVATE, SHARED
from seidra.web.fields import (
    MAX_INTEGER,
    Body,
    Flag,
    Items,
    Query,
    QueryFlag,
    QueryTime,
    QueryWhole,
    QueryZone,
    StatsQuery,
    Tags,
    Text,
    UuidText,
    one_of,
)

SCOPES = ("mine", "shared", "all")


class ThumbnailSchema(Schema):
    """A smaller picture, with a signed link."""

    url = fields.String()
    width = fields.Integer()
    height = fields.Integer()


class OwnerSchema(Schema):
    """Whose something is."""

    id = fields.Integer()
    username = fields.String()


class MediaSchema(Schema):
    """A media item; sizes in pixels and bytes. The links load without a header until they
    expire."""

    id = fields.UUID()
    user_id = fields.Integer()
    job_id = fields.UUID(allow_none=True)
    persona_id = fields.Integer(allow_none=True)
    source = fields.String(
        validate=one_of("job", "upload", "import"),
        metadata={"description": "Where it comes from."},
    )
    url = fields.String()
    thumbnail_url = fields.String()
    file_path = fields.String(metadata={"description": "The same as `url`: no path of a disk."})
    thumbnail_path = fields.String(metadata={"description": "The same as `thumbnail_url`."})
    thumbnails = fields.List(
        fields.Nested(ThumbnailSchema),
        metadata={"description": "The sizes below the picture's own, the smallest first."},
    )
    color = fields.String(
        allow_none=True, metadata={"description": "The mean colour, as #rrggbb; null for old ones."}
    )
    download_url = fields.String()
    file_type = fields.String(validate=one_of("image", "video"))
    mime_type = fields.String()
    width = fields.Integer()
    height = fields.Integer()
    file_size = fields.Integer()
    metadata = fields.Dict()
    tags = fields.List(fields.String())
    is_favorite = fields.Boolean()
    is_nsfw = fields.Boolean()
    nsfw_tags = fields.List(fields.String())
    visibility = fields.String(validate=one_of(PRIVATE, SHARED))
    with_details = fields.Boolean(
        metadata={"description": "Whether others see prompt, parameters and tags too."}
    )
    owner = fields.Nested(OwnerSchema)
    is_mine = fields.Boolean()
    version = fields.Integer()
    created_at = fields.DateTime()
    updated_at = fields.DateTime()


class ChangedMediaSchema(MediaSchema):
    """A media item that was changed, and what was done."""

    media_id = fields.UUID(metadata={"description": "The same as `id`."})
    message = fields.String()


class MediaPageSchema(Schema):
    """A page of media items."""

    total = fields.Integer()
    items = fields.List(fields.Nested(MediaSchema))


class MediaStatsSchema(Schema):
    """Media in figures; `total_size` in bytes, days in UTC."""

    total = fields.Integer()
    favorites = fields.Integer()
    nsfw = fields.Integer()
    by_type = fields.Dict(keys=fields.String(), values=fields.Integer())
    total_size = fields.Integer()
    total_images = fields.Integer(metadata={"description": "The same as `by_type.image`."})
    favorites_count = fields.Integer(metadata={"description": "The same as `favorites`."})
    recent_count = fields.Integer(metadata={"description": "Of the last seven days."})
    by_persona = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        metadata={"description": "By the name of the persona: of the hundred with the most."},
    )
    by_date = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        metadata={"description": "By the day, of the last thirty days."},
    )


class MediaChangeSchema(Body):
    """Changes to a media item; what is left out stays, and an answer's read-only fields are
    ignored."""

    READ_ONLY = frozenset(MediaSchema._declared_fields)
    ONE_OF = ("is_favorite", "tags", "is_nsfw", "visibility", "with_details")

    is_favorite = Flag()
    tags = Tags()
    is_nsfw = Flag()
    visibility = Text(validate=one_of(PRIVATE, SHARED))
    with_details = Flag()

    @validates_schema
    def _something(self, data: Any, **kwargs: Any) -> None:
        if not data:
            raise ValidationError("Must change at least one field.")


class FavoriteSchema(Body):
    """Whether it is a favourite; left out, it is toggled."""

    value = Flag()


class TagsSchema(Body):
    """The tags, all of them; a bare array of them is taken too."""

    BARE = "tags"

    tags = Tags(required=True)


SCOPE = {"description": "Whose: mine, what others share one by one, or both."}


class MediaStatsQuery(StatsQuery):
    """Whether NSFW things count, and whose."""

    scope = Text(validate=one_of(*SCOPES), load_default="mine", metadata=SCOPE)


class MediaQuery(Query):
    """Filters of the list."""

    scope = Text(validate=one_of(*SCOPES), load_default="mine", metadata=SCOPE)

    limit = QueryWhole(1, 200, load_default=50, metadata={"description": "How many to answer."})
    offset = QueryWhole(0, load_default=0, metadata={"description": "How many to pass over."})
    tags = Text(1, 500, metadata={"description": "Comma list: any must match."})
    tag = Items(
        Text(1, 50, line=True),
        8,
        "tags",
        load_default=list,
        metadata={"description": "Repeatable: any must match."},
    )
    favorites_only = QueryFlag(load_default=False)
    search = Text(
        1, 100, metadata={"description": "Words that must all be in the prompt or a tag."}
    )
    tz = QueryZone(
        load_default=lambda: UTC,
        metadata={
            "type": "string",
            "description": "The time zone of dates, such as Europe/Paris; UTC without it.",
        },
    )
    date_from = QueryTime(load_default=lambda: "", metadata={"description": "Made then or later."})
    date_to = QueryTime(
        load_default=lambda: "~", end_of_day=True, metadata={"description": "Made then or earlier."}
    )
    persona_id = QueryWhole(0, MAX_INTEGER, load_default=None)
    job_id = UuidText(load_default=None)
    collection = UuidText(
        load_default=None,
        metadata={"description": "The id of a collection, mine or shared, that has them."},
    )
    model = Text(
        1, 200, load_default=None, metadata={"description": "The model that was asked for."}
    )
    lora = Text(1, 200, load_default=None, metadata={"description": "A LoRA it was made with."})
    include_nsfw = QueryFlag(load_default=False)
    sort = Text(validate=one_of("created_at", "-created_at"), load_default="-created_at")

    @post_load
    def _one_list(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        data["tag"] += [tag.strip() for tag in data.pop("tags", "").split(",") if tag.strip()]
        if len(data["tag"]) > 8:
            raise ValidationError("Must be at most 8 tags.", "tags")
        return data


class TimelineQuery(MediaQuery):
    """The filters of the list, and how its time is divided."""

    class Meta(MediaQuery.Meta):
        exclude = ("limit", "offset", "sort", "scope")

    by = Text(validate=one_of("month", "day"), load_default="month")


class TimelineSchema(Schema):
    """How many items were made in a month, or on a day of it."""

    month = fields.String(metadata={"description": "Such as 2026-01."})
    day = fields.String(
        allow_none=True, metadata={"description": "Such as 2026-01-31; null for a whole month."}
    )
    count = fields.Integer()


class LinkQuery(Query):
    """What a signed link carries; without it the file is asked for with a Bearer token."""

    user = fields.String(load_default="")
    expires = fields.String(load_default="")
    signature = fields.String(load_default=None)


class DownloadQuery(LinkQuery):
    """The same for a file to keep; any signed link of one takes `metadata`."""

    metadata = Text(
        load_default="all",
        validate=one_of("all", "none"),
        metadata={"description": "`none`: without prompt, parameters, EXIF and XMP in the file."},
    )


class ThumbnailQuery(LinkQuery):
    """The same for a thumbnail."""

    crop = Text(
        load_default="",
        validate=validate.Regexp(f"(?:{PATTERN})?\\Z", error="Must be x-y-size in pixels."),
        metadata={
            "pattern": f"^({PATTERN})?$",
            "description": "A square of the picture alone, `x-y-size` in its pixels.",
        },
    )

    size = QueryWhole(
        min(SIZES),
        max(SIZES),
        load_default=SIZE,
        validate=validate.OneOf(SIZES, error=f"Must be one of: {', '.join(map(str, SIZES))}."),
        metadata={"description": "Pixels on the longer side; a picture is never enlarged."},
    )


_EXAMPLE_LINK = (
    "/api/media/6f1c2f0e-0d5b-5d5c-9c55-2b8d3f3c1a10/{}?user=2&expires=1769990400&signature=…"
)
MEDIA_EXAMPLE = {
    "id": "6f1c2f0e-0d5b-5d5c-9c55-2b8d3f3c1a10",
    "user_id": 2,
    "job_id": "0b8f6a52-3a54-4d0e-8d0f-1d6b6c1a7e11",
    "persona_id": 1,
    "source": "job",
    "url": _EXAMPLE_LINK.format("content"),
    "thumbnail_url": _EXAMPLE_LINK.format("thumbnail"),
    "file_path": _EXAMPLE_LINK.format("content"),
    "thumbnail_path": _EXAMPLE_LINK.format("thumbnail"),
    "thumbnails": [
        {
            "url": _EXAMPLE_LINK.format("thumbnail").replace("?", f"?size={size}&")
            if size != SIZE
            else _EXAMPLE_LINK.format("thumbnail"),
            "width": size,
            "height": size,
        }
        for size in SIZES
        if size < 768
    ],
    "color": "#3b5f6e",
    "download_url": _EXAMPLE_LINK.format("download"),
    "file_type": "image",
    "mime_type": "image/png",
    "width": 768,
    "height": 768,
    "file_size": 912345,
    "metadata": {
        "prompt": "moonlit ocean, soft teal light, film grain",
        "negative_prompt": "text, watermark",
        "seed": 42,
        "parameters": {"width": 768, "height": 768, "seed": 42},
        "engine": "mock",
        "persona_revision": 1,
    },
    "tags": ["keep"],
    "is_favorite": False,
    "is_nsfw": False,
    "nsfw_tags": [],
    "visibility": "private",
    "with_details": False,
    "owner": {"id": 2, "username": "alice"},
    "is_mine": True,
    "version": 2,
    "created_at": "2026-01-31T12:00:00.180000Z",
    "updated_at": "2026-01-31T12:00:00.180000Z",
}
CHANGED_EXAMPLE = MEDIA_EXAMPLE | {
    "media_id": MEDIA_EXAMPLE["id"],
    "message": "The tags are written.",
}

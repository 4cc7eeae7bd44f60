"""Bodies, queries and answers of collections and of links for outsiders."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, fields, validates_schema

from seidra.media.schemas import MEDIA_EXAMPLE, SCOPES, MediaSchema, OwnerSchema, ThumbnailSchema
from seidra.media.write import PRIVATE, SHARED
from seidra.web.fields import Body, Flag, Items, PageQuery, QueryFlag, Text, UuidText, Whole, one_of

MAX_DAYS = 365
MAX_IDS = 1_000
"""Items that one request puts into a collection, takes out or orders."""


class ShareSchema(Body):
    """A link to make: for how many days, and whether with prompt and parameters."""

    days = Whole(1, MAX_DAYS, required=True)
    with_details = Flag(load_default=False)


class MadeLinkSchema(Schema):
    """A link that was made. `url` is told this once: of its token the hash alone is kept."""

    id = fields.UUID()
    url = fields.String()
    expires_at = fields.DateTime()


class ShareLinkSchema(Schema):
    """A link that is good, to a media item or a collection."""

    id = fields.UUID()
    media_id = fields.UUID(allow_none=True)
    collection_id = fields.UUID(allow_none=True)
    with_details = fields.Boolean()
    created_at = fields.DateTime()
    expires_at = fields.DateTime()


class ShareLinkPageSchema(Schema):
    """A page of links."""

    total = fields.Integer()
    items = fields.List(fields.Nested(ShareLinkSchema))


class CollectionCoverSchema(Schema):
    """The first picture of a collection."""

    media_id = fields.UUID()
    thumbnails = fields.List(fields.Nested(ThumbnailSchema))
    width = fields.Integer()
    height = fields.Integer()


class CollectionSchema(Schema):
    """A collection of media. Shared, it shows its pictures to everybody on the instance, private
    ones too."""

    id = fields.UUID()
    owner = fields.Nested(OwnerSchema)
    is_mine = fields.Boolean()
    name = fields.String()
    description = fields.String()
    visibility = fields.String(validate=one_of(PRIVATE, SHARED))
    with_details = fields.Boolean(
        metadata={"description": "Whether others see prompt, parameters and tags too."}
    )
    count = fields.Integer(metadata={"description": "The pictures that you may see."})
    cover = fields.Nested(CollectionCoverSchema, allow_none=True)
    version = fields.Integer()
    created_at = fields.DateTime()
    updated_at = fields.DateTime()


class CollectionPageSchema(Schema):
    """A page of collections."""

    total = fields.Integer()
    items = fields.List(fields.Nested(CollectionSchema))


class CollectionMediaSchema(Schema):
    """A page of the media of a collection."""

    total = fields.Integer()
    items = fields.List(fields.Nested(MediaSchema))


class NewCollectionSchema(Body):
    """A collection to make."""

    READ_ONLY = frozenset(CollectionSchema._declared_fields)

    name = Text(1, 100, line=True, required=True)
    description = Text(0, 2000, load_default="")
    visibility = Text(validate=one_of(PRIVATE, SHARED), load_default=PRIVATE)
    with_details = Flag(load_default=False)


class CollectionChangeSchema(Body):
    """Changes to a collection; what is left out stays."""

    READ_ONLY = frozenset(CollectionSchema._declared_fields)
    ONE_OF = ("name", "description", "visibility", "with_details")

    name = Text(1, 100, line=True)
    description = Text(0, 2000)
    visibility = Text(validate=one_of(PRIVATE, SHARED))
    with_details = Flag()

    @validates_schema
    def _something(self, data: Any, **kwargs: Any) -> None:
        if not data:
            raise ValidationError("Must change at least one field.")


class MediaIdsSchema(Body):
    """Which media items."""

    ids = Items(UuidText(), MAX_IDS, "ids", required=True)


class CollectionsQuery(PageQuery):
    """Whose collections."""

    scope = Text(validate=one_of(*SCOPES), load_default="mine")
    include_nsfw = QueryFlag(load_default=False)


class CollectionMediaQuery(PageQuery):
    """A page of a collection's media."""

    include_nsfw = QueryFlag(load_default=False)


SHARE_EXAMPLE = {"days": 30, "with_details": False}
MADE_EXAMPLE = {
    "id": "0198f3a2-7c11-7d30-9b1e-3f5a2c7d8e90",
    "url": "/s/9tN3vXo0Yk2mPzq7RbL1sWcE5uHdJ8gKfA4iTnV6yQx",
    "expires_at": "2026-03-02T12:00:00.000000Z",
}
LINK_EXAMPLE = {
    "id": MADE_EXAMPLE["id"],
    "media_id": MEDIA_EXAMPLE["id"],
    "collection_id": None,
    "with_details": False,
    "created_at": "2026-01-31T12:00:00.000000Z",
    "expires_at": MADE_EXAMPLE["expires_at"],
}
NEW_COLLECTION_EXAMPLE = {"name": "Tides", "description": "The best of the sea"}
COLLECTION_EXAMPLE = {
    "id": "0198f3a2-8d22-7e41-8c2f-4a6b3d8e9fa1",
    "owner": MEDIA_EXAMPLE["owner"],
    "is_mine": True,
    "name": "Tides",
    "description": "The best of the sea",
    "visibility": "private",
    "with_details": False,
    "count": 1,
    "cover": {
        "media_id": MEDIA_EXAMPLE["id"],
        "thumbnails": MEDIA_EXAMPLE["thumbnails"],
        "width": 768,
        "height": 768,
    },
    "version": 2,
    "created_at": "2026-01-31T12:00:00.000000Z",
    "updated_at": "2026-01-31T12:05:00.000000Z",
}
IDS_EXAMPLE = {"ids": [MEDIA_EXAMPLE["id"]]}

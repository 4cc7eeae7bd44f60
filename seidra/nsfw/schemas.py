"""Bodies and answers of /api/settings/nsfw."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from seidra.web.fields import Body, Flag, FreeObject, Text, one_of

INTENSITIES = ("low", "medium", "high")


class CategoriesSchema(Body):
    """Which kinds of NSFW content engines may make."""

    suggestive = Flag()
    explicit = Flag()
    violence = Flag()


class NsfwSchema(Body):
    """NSFW settings, of a user or of the instance."""

    enabled = Flag(required=True)
    age_verified = Flag(required=True)
    intensity = Text(required=True, validate=one_of(*INTENSITIES))
    categories = fields.Nested(CategoriesSchema, required=True)
    overrides = FreeObject(load_default=dict)


class NsfwChangeSchema(NsfwSchema):
    """Changes to NSFW settings; what is left out stays."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(partial=True, **kwargs)


NSFW_EXAMPLE = {
    "enabled": True,
    "age_verified": True,
    "intensity": "medium",
    "categories": {"suggestive": True, "explicit": False, "violence": False},
    "overrides": {},
}

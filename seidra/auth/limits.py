"""What an administrator lets an account have and use, and what is left of it.

What is said of the account itself goes before what is said of its group, and that before the
instance's settings; of pictures and bytes the lower of theirs and the instance's holds. NSFW things
may be had where account and group both allow them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from seidra.config import Settings
from seidra.database.base import Connection, Row, required_row
from seidra.database.queries import queries
from seidra.errors import Forbidden
from seidra.values import from_json

WHO_CHANGES = "An administrator can change that."
"""The end of the sentence that refuses something."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for an account. None: nobody has said anything, and the instance's settings
    hold."""

    nsfw_allowed: bool
    may_share: bool
    engines: tuple[str, ...] | None
    models: tuple[str, ...] | None
    """Names as the engines' catalogues give them."""
    engine_minutes_a_day: int | None
    """Of a day in UTC, on all engines together."""
    max_pictures: int | None
    max_bytes: int | None

    def media_limit(self, settings: Settings) -> int:
        """How many media items the account may have."""
        if self.max_pictures is None:
            return settings.max_media
        return min(self.max_pictures, settings.max_media)

    def bytes_limit(self, settings: Settings) -> int:
        """How many bytes its media may have; 0: any number."""
        known = [limit for limit in (self.max_bytes, settings.max_media_bytes) if limit]
        return min(known, default=0)

    def shown(self, settings: Settings) -> dict[str, Any]:
        """As a JSON object, with the instance's settings where they hold."""
        return {
            "nsfw_allowed": self.nsfw_allowed,
            "may_share": self.may_share,
            "engines": None if self.engines is None else list(self.engines),
            "models": None if self.models is None else list(self.models),
            "engine_minutes_a_day": self.engine_minutes_a_day,
            "max_pictures": self.media_limit(settings),
            "max_bytes": self.bytes_limit(settings) or None,
        }


def limits_in_force(connection: Connection, user_id: int) -> Limits:
    """What holds for an account that there is."""
    return limits_of(required_row(queries.limits.in_force(connection, user_id=user_id)))


def limits_of(row: Row) -> Limits:
    """What the columns `..._in_force` of a row say."""
    return Limits(
        bool(row["nsfw_in_force"]),
        bool(row["share_in_force"]),
        _names(row["engines_in_force"]),
        _names(row["models_in_force"]),
        row["minutes_in_force"],
        row["pictures_in_force"],
        row["bytes_in_force"],
    )


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(from_json(text))


def check_may_share(connection: Connection, user_id: int) -> None:
    """Raise Forbidden where an account may not share anything."""
    if not limits_in_force(connection, user_id).may_share:
        raise Forbidden(
            f"This account may not share anything. {WHO_CHANGES}", code="sharing_not_allowed"
        )

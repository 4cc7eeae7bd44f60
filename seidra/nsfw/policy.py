"""What NSFW settings mean: a user's own word AND the administrator's for the account AND the
instance's default.

Whether a user may see and make NSFW things is one SQL predicate, the view `nsfw_viewers`; the
statements that read by id use it themselves, and lists ask `may_list_nsfw` first. What is in force
beyond that goes to engines as hints.
"""

from __future__ import annotations

from typing import Any

from seidra.auth.limits import limits_in_force
from seidra.database.base import Connection, Row, required_row
from seidra.database.queries import queries
from seidra.errors import Forbidden, Mistake
from seidra.nsfw.schemas import INTENSITIES
from seidra.values import from_json


def in_force(connection: Connection, user_id: int) -> bool:
    """Whether NSFW things are in force for a user."""
    return queries.nsfw.in_force(connection, user_id=user_id) is not None


def is_allowed(connection: Connection, user_id: int) -> bool:
    """Whether an administrator lets the account, and its group, have NSFW things."""
    return limits_in_force(connection, user_id).nsfw_allowed


def may_list_nsfw(connection: Connection, user_id: int, asked: bool) -> bool:
    """Whether a list may show NSFW things: asked for AND in force."""
    return asked and in_force(connection, user_id)


def check_may_make(connection: Connection, user_id: int, is_nsfw: bool) -> None:
    """Raise Forbidden when a write makes something NSFW against the settings in force."""
    if is_nsfw and not in_force(connection, user_id):
        sentence = "Is not allowed by the NSFW settings in force."
        raise Forbidden(
            "NSFW content is not in force for you: enable it and confirm your age in the settings.",
            code="nsfw_off",
            errors={"is_nsfw": [Mistake(sentence, "nsfw_off")]},
        )


def stored_settings(connection: Connection, user_id: int | None) -> dict[str, Any] | None:
    """What a user has said, or the instance's settings (None); None where a user has said
    nothing."""
    if user_id is None:
        return instance_settings(connection)
    row = queries.nsfw.get(connection, user_id=user_id)
    return _settings_of(row) if row else None


def instance_settings(connection: Connection) -> dict[str, Any]:
    """The instance's settings."""
    return _settings_of(required_row(queries.nsfw.get_default(connection)))


def user_settings(connection: Connection, user_id: int) -> dict[str, Any]:
    """A user's settings. Before they say anything: the default, but without its age word, which is
    the operator's."""
    said = stored_settings(connection, user_id)
    return instance_settings(connection) | {"age_verified": False} if said is None else said


def engine_hints(connection: Connection, user_id: int) -> dict[str, Any]:
    """What is in force, as engines get it: {enabled, intensity, categories}, the stricter of user
    and default."""
    mine, instance = user_settings(connection, user_id), instance_settings(connection)
    return {
        "enabled": in_force(connection, user_id),
        "intensity": min(mine["intensity"], instance["intensity"], key=INTENSITIES.index),
        "categories": {
            name: bool(mine["categories"].get(name)) and bool(allowed)
            for name, allowed in instance["categories"].items()
        },
    }


def wishes_beyond(
    wanted: dict[str, Any], instance: dict[str, Any], *, allowed: bool = True
) -> dict[str, list[str]]:
    """The fields, with messages, in which a user's wish goes beyond the instance's settings, or
    beyond what the account is `allowed`."""
    errors: dict[str, list[str]] = {
        name: ["Is more than the default of this instance allows."]
        for name in ("enabled", "age_verified")
        if wanted.get(name) and not instance[name]
    }
    if wanted.get("age_verified") and not allowed:
        sentence = "Is not for this account: an administrator has said so."
        errors["age_verified"] = [Mistake(sentence, "nsfw_not_allowed")]
    if "intensity" in wanted and INTENSITIES.index(wanted["intensity"]) > INTENSITIES.index(
        instance["intensity"]
    ):
        errors["intensity"] = [
            f"Must not be above this instance's default, {instance['intensity']}."
        ]
    for name, value in wanted.get("categories", {}).items():
        if value and not instance["categories"].get(name):
            errors[f"categories.{name}"] = ["Is more than the default of this instance allows."]
    return errors


def _settings_of(row: Row) -> dict[str, Any]:
    return {
        "enabled": bool(row["enabled"]),
        "age_verified": bool(row["age_verified"]),
        "intensity": row["intensity"],
        "categories": from_json(row["categories"]),
        "overrides": from_json(row["overrides"]),
    }

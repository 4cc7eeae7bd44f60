"""What an administrator lets an account have and use, and what is left of it.

What is said of the account itself goes before what is said of its group, and that before the
instance's settings; of pictures and bytes the lower of theirs and the instance's holds. NSFW things
may be had where account and group both allow them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from seidra import folding
from seidra.config import Settings
from seidra.database.base import Connection, Row, required_row
from seidra.database.queries import queries
from seidra.errors import Forbidden, Invalid, NotFound
from seidra.values import from_json, timestamp, to_json

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


# ------------------------------------------------------------------------ what administrators say

OWN = ("engines", "models", "engine_minutes_a_day", "max_pictures", "max_bytes", "may_share")
"""What is said of an account or a group; null says nothing. NSFW things stand beside: true says
nothing there."""


def said(row: Row) -> dict[str, Any]:
    """What a row of an account or a group says."""
    values = {name: row[name] for name in OWN}
    for name in ("engines", "models"):
        values[name] = None if values[name] is None else from_json(values[name])
    if values["may_share"] is not None:
        values["may_share"] = bool(values["may_share"])
    return values


def _stored(values: Mapping[str, Any]) -> dict[str, Any]:
    stored = {name: values[name] for name in OWN}
    for name in ("engines", "models"):
        names = stored[name]
        stored[name] = None if names is None else to_json(list(dict.fromkeys(names)))
    return stored


def change_limits(tx: Connection, user_id: int, change: Mapping[str, Any]) -> None:
    """Write what an administrator says of an account anew: some of OWN, and `group_id`. What is
    left out stays. Raises NotFound, and Invalid for a group that is not there."""
    row = queries.limits.of_account(tx, user_id=user_id)
    if row is None:
        raise NotFound("account")
    values = {"group_id": row["group_id"], **said(row)}
    changed = values | {name: change[name] for name in values if name in change}
    if changed == values:
        return
    check_group(tx, changed["group_id"])
    queries.limits.write(
        tx, user_id=user_id, group_id=changed["group_id"], **_stored(changed), now=timestamp()
    )


def read_group(connection: Connection, group_id: int) -> Row | None:
    """A group with the number of its members."""
    for row in queries.limits.group_page(connection, which="one", id=group_id, limit=1, offset=0):
        return row
    return None


def check_group(connection: Connection, group_id: int | None) -> None:
    """Raise Invalid for a group that is none; None is no group at all."""
    if group_id is not None and read_group(connection, group_id) is None:
        raise Invalid({"group_id": ["Must be one of the groups."]})


def existing_group(connection: Connection, group_id: int) -> Row:
    """The same. Raises NotFound."""
    row = read_group(connection, group_id)
    if row is None:
        raise NotFound("group")
    return row


def create_group(tx: Connection, values: Mapping[str, Any]) -> int:
    """Make a group of these `values`, its name among them; returns its id. A taken name becomes a
    Conflict when the transaction ends."""
    values = {**dict.fromkeys(OWN), "nsfw_allowed": True, **values}
    made: int = queries.limits.group_create(
        tx,
        name=values["name"],
        name_key=folding.fold(values["name"]),
        nsfw_allowed=values["nsfw_allowed"],
        **_stored(values),
        now=timestamp(),
    )
    return made


def change_group(tx: Connection, group_id: int, change: Mapping[str, Any]) -> None:
    """Write what is said of a group anew; what is left out stays, and holds for its members from
    now on. Raises NotFound; a taken name becomes a Conflict when the transaction ends."""
    row = existing_group(tx, group_id)
    values = {"name": row["name"], "nsfw_allowed": bool(row["nsfw_allowed"]), **said(row)}
    changed = values | dict(change)
    if changed == values:
        return
    queries.limits.group_update(
        tx,
        id=group_id,
        name=changed["name"],
        name_key=folding.fold(changed["name"]),
        nsfw_allowed=changed["nsfw_allowed"],
        **_stored(changed),
        now=timestamp(),
    )


def change_members(
    tx: Connection, group_id: int, add: Iterable[int], remove: Iterable[int]
) -> list[dict[str, Any]]:
    """Put accounts into a group, out of the one that each was in, and take others out of it;
    returns `{id, code}` of those that are not there, or were no members. Raises NotFound."""
    existing_group(tx, group_id)
    now, failed = timestamp(), []
    for user_id in dict.fromkeys(remove):
        if not queries.limits.leave(tx, user_id=user_id, group_id=group_id, now=now):
            failed.append({"id": user_id, "code": "not_member"})
    for user_id in dict.fromkeys(add):
        if not queries.limits.join(tx, user_id=user_id, group_id=group_id, now=now):
            failed.append({"id": user_id, "code": "not_found"})
    return failed

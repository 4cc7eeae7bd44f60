"""The rules by which personas are written: plain functions for routes, commands and imports alike.

Each takes the connection of a transaction of the owner, and the owner's id. Where a persona may
have changed meanwhile, `check_version` gets the version that is stored and raises to refuse it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from seidra import folding
from seidra.database.base import Connection, Row
from seidra.database.queries import queries
from seidra.errors import Invalid, NotFound
from seidra.media.links import media_id_of
from seidra.nsfw import policy
from seidra.personas import search
from seidra.personas.loras import take_loras
from seidra.values import from_json, new_uid, timestamp, to_json

CheckVersion = Callable[[int], None]

_DEFAULTS: dict[str, Any] = {
    "description": "",
    "negative_prompt": "",
    "loras": [],
    "generation_params": {},
    "tags": [],
    "is_favorite": False,
    "is_nsfw": False,
    "avatar_url": None,
    "avatar_media_id": None,
}
_JSON = ("loras", "generation_params", "tags")
_STORED = ("name", "style_prompt", *_DEFAULTS)

_LOOK = ("name", "description", "style_prompt", "negative_prompt", "loras", "generation_params")
"""What a picture is made of and called by: a change of it is a revision."""


@dataclass(frozen=True)
class NewPersona:
    """A persona that is about to be made: all of its fields, and what it is found by."""

    values: dict[str, Any]
    found_by: search.FoundBy


def prepare_persona(body: dict[str, Any]) -> NewPersona:
    """The persona that a body asks for, with defaults, and folded before its turn: nobody else
    writes while a transaction is open."""
    body, _ = take_loras(body, [])
    values = _DEFAULTS | body
    return NewPersona(values, search.found_by(values))


def read_persona(connection: Connection, user_id: int, persona_id: int) -> Row:
    """The row of a persona, when the NSFW settings in force let it be seen. Raises NotFound."""
    row = queries.personas.get(connection, id=persona_id, user_id=user_id)
    if row is None:
        raise NotFound("persona")
    return row


def stored_values(row: Row) -> dict[str, Any]:
    """A row's fields as they are stored, to merge a change into."""
    return {name: from_json(row[name]) if name in _JSON else row[name] for name in _STORED}


def create_persona(tx: Connection, user_id: int, persona: NewPersona) -> Row:
    """Make a persona; returns its row. Raises Forbidden for NSFW out of force, Invalid for another
    one's avatar."""
    policy.check_may_make(tx, user_id, persona.values["is_nsfw"])
    values = _with_avatar(tx, user_id, persona.values, None)
    persona_id = queries.personas.create(
        tx, uid=new_uid(), user_id=user_id, now=timestamp(), **_columns(values)
    )
    _write_found_by(tx, user_id, persona_id, values, persona.found_by)
    return read_persona(tx, user_id, persona_id)


def change_persona(
    tx: Connection,
    user_id: int,
    persona_id: int,
    change: dict[str, Any],
    check_version: CheckVersion,
) -> Row:
    """Merge a change into a persona; what becomes NSFW takes its jobs and media along. Returns the
    row; raises as `create_persona` does, and NotFound."""
    row = read_persona(tx, user_id, persona_id)
    check_version(row["version"])
    stored = stored_values(row)
    change, _ = take_loras(change, stored["loras"])
    values = stored | change
    if values["is_nsfw"] and not stored["is_nsfw"]:
        policy.check_may_make(tx, user_id, True)
        queries.jobs.mark_nsfw(tx, persona_id=persona_id, now=timestamp())
        queries.media.mark_nsfw(tx, persona_id=persona_id, now=timestamp())
    if "avatar_url" in change:
        values = _with_avatar(tx, user_id, values, stored["avatar_media_id"])
    return _update(tx, user_id, row, values)


def set_avatar(
    tx: Connection, user_id: int, persona_id: int, media_id: str, check_version: CheckVersion
) -> Row:
    """Make one of the user's media items the avatar; returns the row. Raises NotFound, and Invalid
    for what is not theirs."""
    row = read_persona(tx, user_id, persona_id)
    check_version(row["version"])
    _check_own_media(tx, user_id, media_id, "media_id")
    avatar = {"avatar_url": None, "avatar_media_id": media_id}
    return _update(tx, user_id, row, stored_values(row) | avatar)


def duplicate_persona(tx: Connection, user_id: int, persona_id: int, name: str | None) -> Row:
    """Make a copy, named as asked or "<name> (copy)"; returns its row. Raises NotFound."""
    values = stored_values(read_persona(tx, user_id, persona_id))
    suffix = " (copy)"
    values["name"] = name or values["name"][: 100 - len(suffix)] + suffix
    return create_persona(tx, user_id, prepare_persona(values))


def delete_persona(
    tx: Connection, user_id: int, persona_id: int, check_version: CheckVersion
) -> None:
    """Delete a persona, whatever the NSFW settings; its jobs and media stay, without a persona.
    Raises NotFound."""
    version = queries.personas.version(tx, id=persona_id, user_id=user_id)
    if version is None:
        raise NotFound("persona")
    check_version(version)
    queries.jobs.leave_persona(tx, persona_id=persona_id, now=timestamp())
    queries.media.leave_persona(tx, persona_id=persona_id, now=timestamp())
    queries.personas.delete(tx, id=persona_id, user_id=user_id)


def _columns(values: dict[str, Any]) -> dict[str, Any]:
    """The values as the columns of a whole row, with what is derived from them."""
    return {
        **{name: to_json(values[name]) if name in _JSON else values[name] for name in _STORED},
        "name_key": folding.fold(values["name"]),
    }


def _update(tx: Connection, user_id: int, row: Row, values: dict[str, Any]) -> Row:
    persona_id = row["id"]
    stored = stored_values(row)
    queries.personas.update(
        tx,
        id=persona_id,
        user_id=user_id,
        revision=row["revision"] + any(values[name] != stored[name] for name in _LOOK),
        now=timestamp(),
        **_columns(values),
    )
    queries.personas.tags_clear(tx, persona_id=persona_id)
    _write_found_by(tx, user_id, persona_id, values, search.found_by(values))
    return read_persona(tx, user_id, persona_id)


def _write_found_by(
    tx: Connection,
    user_id: int,
    persona_id: int,
    values: dict[str, Any],
    found_by: search.FoundBy,
) -> None:
    search.put_text(tx, user_id, persona_id, values, found_by.text)
    queries.personas.tags_add(
        tx,
        [
            {"user_id": user_id, "tag_key": key, "persona_id": persona_id}
            for key in found_by.tag_keys
        ],
    )


def _with_avatar(
    tx: Connection, user_id: int, values: dict[str, Any], kept: str | None
) -> dict[str, Any]:
    """The values with a link of one's own media, as an answer gave it, turned back into the
    reference that it came from; `kept` is the item that is the avatar already."""
    url = values["avatar_url"]
    media_id = media_id_of(url) if url else None
    if media_id is not None:
        if media_id != kept:
            _check_own_media(tx, user_id, media_id, "avatar_url")
        return values | {"avatar_url": None, "avatar_media_id": media_id}
    if url is not None or kept is not None:
        return values | {"avatar_media_id": None}
    return values


def _check_own_media(tx: Connection, user_id: int, media_id: str, field: str) -> None:
    if queries.media.get(tx, id=media_id, user_id=user_id) is None:
        raise Invalid({field: ["Must be one of your own media items."]})

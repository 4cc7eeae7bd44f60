"""The rules by which personas are written: plain functions for routes, commands and imports alike.

Each takes the connection of a transaction of the owner, and the owner's id. Where a persona may
have changed meanwhile, `check_version` gets the version that is stored and raises to refuse it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seidra import folding, parameters
from seidra.config import Settings
from seidra.database.base import Connection, Row
from seidra.database.queries import queries
from seidra.engines.samplers import recognise
from seidra.errors import Invalid, NotFound, QuotaExceeded
from seidra.jobs.requests import Look, unsaved_look
from seidra.jobs.schemas import MAX_PARAMETERS
from seidra.media import trash
from seidra.media.links import media_id_of
from seidra.nsfw import policy
from seidra.personas import search
from seidra.personas.loras import take_loras
from seidra.values import from_json, new_uid, same_json, timestamp, to_json

CheckVersion = Callable[[int], None]
Warnings = Sequence[dict[str, Any]]
"""What to tell of a write that was done: [{code, field, detail}]."""

_MAX_NAME = 100
_DEFAULTS: dict[str, Any] = {
    "description": "",
    "style_prompt": "",
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
_FLAGS = ("is_favorite", "is_nsfw")
_STORED = ("name", *_DEFAULTS)

_LOOK = ("name", "description", "style_prompt", "negative_prompt", "loras", "generation_params")
"""What a picture is made of and called by: a change of it is a revision."""
_TOGETHER = ("style_prompt", "negative_prompt", "generation_params")
"""What `_check_whole` looks at; what is stored already stays as it is."""


@dataclass(frozen=True)
class NewPersona:
    """A persona that is about to be made: all of its fields, what it is found by, and what to tell
    whoever makes it."""

    values: dict[str, Any]
    found_by: search.FoundBy
    warnings: Warnings = ()


def prepare_persona(body: dict[str, Any]) -> NewPersona:
    """The persona that a body asks for, with defaults, and folded before its turn: nobody else
    writes while a transaction is open."""
    change, warnings = body_change(body, _DEFAULTS)
    values = _DEFAULTS | change
    _check_whole(values)
    return NewPersona(values, search.found_by(values), warnings)


def body_change(
    body: dict[str, Any], stored: Mapping[str, Any], *, merge: bool = False
) -> tuple[dict[str, Any], Warnings]:
    """What a body changes of what is stored, under the names that columns have, and what to tell of
    it. `merge`: its generation parameters are a merge patch (RFC 7396).

    What is already stored may be written back as it is. Raises Invalid for wrong parameters.
    """
    change, both = take_loras(body, stored["loras"])
    warnings = [_BOTH_LORAS] if both else []
    written = change.pop("generation_params", None)
    kept = stored["generation_params"]
    if written is None or same_json(written, parameters.shown(kept)):
        return change, warnings
    removed = {key: None for key, value in written.items() if merge and value is None}
    understood = parameters.understand(
        {key: value for key, value in written.items() if key not in removed}, recognise
    )
    understood, negative = parameters.take_negative_prompt(
        understood, change.get("negative_prompt")
    )
    if understood.errors:
        raise parameters.invalid_parameters(understood.errors, "generation_params.")
    if negative is not None:
        change["negative_prompt"] = negative
    params = understood.ours
    change["generation_params"] = (
        parameters.merge_patch(kept, params | removed) if merge else params
    )
    return change, [*warnings, *(remark.shown() for remark in understood.warnings)]


_BOTH_LORAS = {
    "code": "lora_models_unused",
    "field": "lora_models",
    "detail": "'loras' and 'lora_models' name different LoRAs; 'loras' was taken.",
}


def _check_whole(values: Mapping[str, Any]) -> None:
    """The rules that fields have together. Raises Invalid."""
    if folding.is_blank(values["style_prompt"]) and folding.is_blank(values["negative_prompt"]):
        sentence = "Must not be blank where there is no negative prompt either."
        raise Invalid({"style_prompt": [sentence]})
    if len(to_json(values["generation_params"]).encode()) > MAX_PARAMETERS:
        sentence = f"Must not take more than {MAX_PARAMETERS} bytes as JSON."
        raise Invalid({"generation_params": [sentence]})


def read_persona(connection: Connection, user_id: int, persona_id: int) -> Row:
    """The row of a persona, when the NSFW settings in force let it be seen. Raises NotFound."""
    row = queries.personas.get(connection, id=persona_id, user_id=user_id)
    if row is None:
        raise NotFound("persona")
    return row


def stored_values(row: Row) -> dict[str, Any]:
    """A row's fields as they are stored, to merge a change into."""
    stored = {name: from_json(row[name]) if name in _JSON else row[name] for name in _STORED}
    return stored | {name: bool(row[name]) for name in _FLAGS}


def unsaved_persona(
    tx: Connection, user_id: int, persona: NewPersona, persona_id: int | None
) -> Look:
    """What a persona that is not saved brings to a preview, under the rules by which it would be
    saved; `persona_id` is the one that it changes. Raises as `create_persona` does, but for
    quotas."""
    policy.check_may_make(tx, user_id, persona.values["is_nsfw"])
    return unsaved_look(_with_avatar(tx, user_id, persona.values, None), persona_id)


def check_room(connection: Connection, user_id: int, settings: Settings) -> None:
    """Raise QuotaExceeded where a user's personas are as many as they may be."""
    used = queries.personas.count(connection, user_id=user_id, nsfw=True, favorite=None)
    if used >= settings.max_personas:
        raise QuotaExceeded("personas", settings.max_personas, used)


def create_persona(tx: Connection, user_id: int, persona: NewPersona, settings: Settings) -> Row:
    """Make a persona; returns its row. Raises QuotaExceeded, Forbidden for NSFW out of force,
    Invalid for another one's avatar."""
    check_room(tx, user_id, settings)
    policy.check_may_make(tx, user_id, persona.values["is_nsfw"])
    values = _with_avatar(tx, user_id, persona.values, None)
    persona_id = queries.personas.create(
        tx, uid=new_uid(), user_id=user_id, now=timestamp(), **_columns(values)
    )
    search.write_found_by(tx, user_id, persona_id, values, persona.found_by)
    return read_persona(tx, user_id, persona_id)


def change_persona(
    tx: Connection,
    user_id: int,
    persona_id: int,
    body: dict[str, Any],
    check_version: CheckVersion,
    *,
    merge: bool = False,
) -> tuple[Row, Warnings]:
    """Change a persona as a body says (see `body_change`); what becomes NSFW takes its jobs and
    media along. Returns the row, and what to tell; raises as `create_persona` does, and
    NotFound."""
    row = read_persona(tx, user_id, persona_id)
    check_version(row["version"])
    stored = stored_values(row)
    change, warnings = body_change(body, stored, merge=merge)
    values = stored | change
    if not change.keys().isdisjoint(_TOGETHER):
        _check_whole(values)
    if values["is_nsfw"] and not stored["is_nsfw"]:
        policy.check_may_make(tx, user_id, True)
        queries.jobs.mark_nsfw(tx, persona_id=persona_id, now=timestamp())
        queries.media.mark_nsfw(tx, persona_id=persona_id, now=timestamp())
        queries.trash.mark_nsfw(tx, persona_id=persona_id, user_id=user_id)
    if "avatar_url" in change:
        values = _with_avatar(tx, user_id, values, stored["avatar_media_id"])
    return _update(tx, user_id, row, values), [*warnings, *_left_out(stored, values, merge)]


def _left_out(stored: dict[str, Any], values: dict[str, Any], merge: bool) -> Warnings:
    """What to tell of parameters that are no more because others were written in their place."""
    if merge:
        return []
    gone = stored["generation_params"].keys() - values["generation_params"].keys()
    return [
        {
            "code": "dropped_parameter",
            "field": name,
            "detail": f"'{name}' was not sent, and is no more: parameters are replaced as a whole,"
            " unless they are sent as application/merge-patch+json.",
        }
        for name in sorted(gone)
    ]


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


def duplicate_persona(
    tx: Connection, user_id: int, persona_id: int, name: str | None, settings: Settings
) -> Row:
    """Make a copy, named as asked or by `copy_name`; returns its row. Raises NotFound."""
    values = stored_values(read_persona(tx, user_id, persona_id))
    values["name"] = name or copy_name(values["name"])
    return create_persona(tx, user_id, NewPersona(values, search.found_by(values)), settings)


def copy_name(name: str) -> str:
    """What a copy is called: "<name> (copy)", and the copy of that "<name> (copy 2)"; cut so that
    it fits."""
    match = _COPY.search(name)
    suffix = " (copy)"
    if match:
        name = name[: match.start()]
        count = sum(int(number or 1) for number in re.findall(r"\(copy ?([0-9]*)\)", match[0]))
        suffix = f" (copy {count + 1})"
    return folding.cut_text(name, _MAX_NAME - len(suffix)).rstrip() + suffix


_COPY = re.compile(r"(?<=\S)(?: \(copy(?: [0-9]{1,6})?\))+$")


def delete_persona(
    tx: Connection, user_id: int, persona_id: int, keep_days: int, check_version: CheckVersion
) -> None:
    """Delete a persona, whatever the NSFW settings: into the trash, or for ever where nothing is
    kept. Its jobs and media stay as they are, and show it again once it is back. Raises
    NotFound."""
    row = queries.personas.whole(tx, id=persona_id, user_id=user_id)
    if row is None:
        raise NotFound("persona")
    check_version(row["version"])
    if keep_days:
        persona = trash.whole_row(row, _JSON)
        avatar = row["avatar_media_id"]
        trash.add_entry(tx, trash.PERSONA, row, persona, row["name"], avatar_media_id=avatar)
    queries.personas.delete(tx, id=persona_id, user_id=user_id)


def restore_persona(tx: Connection, user_id: int, entry: Row) -> None:
    """Bring a persona back from its entry of the trash, as it was."""
    persona = from_json(entry["document"])[trash.PERSONA]
    columns = persona | _columns(persona)
    queries.personas.bring_back(tx, user_id=user_id, **columns)
    search.write_found_by(tx, user_id, persona["id"], persona, search.found_by(persona))
    queries.trash.remove(tx, id=entry["id"], user_id=user_id)


def _columns(values: dict[str, Any]) -> dict[str, Any]:
    """The values as the columns of a whole row, with what is derived from them."""
    return {
        **{name: to_json(values[name]) if name in _JSON else values[name] for name in _STORED},
        "name_key": folding.sort_key(values["name"]),
    }


def retag_persona(
    tx: Connection, user_id: int, persona_id: int, retag: Callable[[list[str]], list[str]]
) -> bool:
    """Change a persona's tags, whatever the NSFW settings; returns whether it was changed, which it
    is not where it is gone."""
    row = queries.personas.whole(tx, id=persona_id, user_id=user_id)
    if row is None:
        return False
    stored = stored_values(row)
    return _write(tx, user_id, row, stored | {"tags": retag(stored["tags"])})


def _update(tx: Connection, user_id: int, row: Row, values: dict[str, Any]) -> Row:
    """Write a persona over its row; returns the new row, or the same where nothing changes."""
    return read_persona(tx, user_id, row["id"]) if _write(tx, user_id, row, values) else row


def _write(tx: Connection, user_id: int, row: Row, values: dict[str, Any]) -> bool:
    """Write a persona over its row, and what it is found by; returns whether it was changed."""
    persona_id = row["id"]
    stored = stored_values(row)
    if same_json(values, stored):
        return False
    queries.personas.update(
        tx,
        id=persona_id,
        user_id=user_id,
        revision=row["revision"] + any(not same_json(values[name], stored[name]) for name in _LOOK),
        now=timestamp(),
        **_columns(values),
    )
    search.write_found_by(tx, user_id, persona_id, values, search.found_by(values))
    return True


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

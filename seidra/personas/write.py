"""The rules by which personas are written: plain functions for routes, commands and imports alike.

Each takes the connection of a transaction of the owner, and the owner's id. Where a persona may
have changed meanwhile, `check_version` gets the version that is stored and raises to refuse it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from seidra import folding, parameters
from seidra.auth.limits import check_may_share
from seidra.config import Settings
from seidra.database.base import Connection, Row, required_row
from seidra.database.queries import queries
from seidra.engines.samplers import recognise
from seidra.errors import Forbidden, Invalid, Mistake, NotFound, Problem, QuotaExceeded
from seidra.jobs.requests import Look, unsaved_look
from seidra.jobs.schemas import MAX_PARAMETERS
from seidra.media import trash
from seidra.media.crops import SMALLEST, Crop
from seidra.media.links import media_id_of
from seidra.media.write import PRIVATE
from seidra.nsfw import policy
from seidra.personas import revisions, search, sources
from seidra.personas.loras import take_loras
from seidra.personas.revisions import EDIT, Origin
from seidra.personas.stored import DEFAULTS, JSON, STORED, stored_values
from seidra.values import from_json, new_uid, same_json, timestamp, to_json

CheckVersion = Callable[[int], None]
Warnings = Sequence[dict[str, Any]]
"""What to tell of a write that was done: [{code, field, detail}]."""

_MAX_NAME = 100
_TOGETHER = ("style_prompt", "negative_prompt", "generation_params")
"""What `check_whole` looks at; what is stored already stays as it is."""

_WHOLE_JSON = (*JSON, "extensions")
"""The columns of a whole row that hold JSON."""


@dataclass(frozen=True)
class NewPersona:
    """A persona that is about to be made: all of its fields, what it is found by, what to tell
    whoever makes it, and what other programs keep with it, by namespace. `uid`: that of a persona
    that was made elsewhere, and not here; None: a new one."""

    values: dict[str, Any]
    found_by: search.FoundBy
    warnings: Warnings = ()
    extensions: Mapping[str, Any] = field(default_factory=dict)
    uid: str | None = None


class PreparedValues(NamedTuple):
    """All fields of a persona that a body asks for, and what to tell of it."""

    values: dict[str, Any]
    warnings: Warnings


def prepare_values(body: dict[str, Any]) -> PreparedValues:
    """The fields that a body asks for, with defaults. Raises Invalid."""
    change, warnings = body_change(body, DEFAULTS)
    values = DEFAULTS | change
    check_whole(values)
    return PreparedValues(values, warnings)


def prepare_persona(body: dict[str, Any]) -> NewPersona:
    """The persona that a body asks for, with defaults, and folded before its turn: nobody else
    writes while a transaction is open."""
    values, warnings = prepare_values(body)
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


def check_whole(values: Mapping[str, Any]) -> None:
    """The rules that fields have together. Raises Invalid."""
    if folding.is_blank(values["style_prompt"]) and folding.is_blank(values["negative_prompt"]):
        sentence = "Must not be blank where there is no negative prompt either."
        raise Invalid({"style_prompt": [Mistake(sentence, "no_prompt")]})
    if len(to_json(values["generation_params"]).encode()) > MAX_PARAMETERS:
        sentence = f"Must not take more than {MAX_PARAMETERS} bytes as JSON."
        raise Invalid({"generation_params": [sentence]})


def read_persona(connection: Connection, user_id: int, persona_id: int) -> Row:
    """The row of a user's own persona, when the NSFW settings in force let it be seen: for whatever
    is its owner's alone. Raises NotFound, and Forbidden for one that another shares."""
    row = queries.personas.get(connection, whose="own", id=persona_id, user_id=user_id)
    if row is None:
        raise _not_own(connection, user_id, persona_id)
    return row


def see_persona(connection: Connection, user_id: int, persona_id: int) -> Row:
    """The row of a persona that is the user's own or shared, when their NSFW settings in force let
    it be seen: to look at it, to make pictures with it, to copy it. Raises NotFound."""
    row = queries.personas.get(connection, whose="seen", id=persona_id, user_id=user_id)
    if row is None:
        raise NotFound("persona")
    return row


def _not_own(connection: Connection, user_id: int, persona_id: int) -> Problem:
    """Why a user may not do to a persona what is its owner's alone: it is shared, or not there."""
    if queries.personas.shared_exists(connection, id=persona_id, user_id=user_id):
        return Forbidden(
            "The persona is another account's, and shared with you: look at it, make pictures with"
            " it, or copy it.",
            code="not_yours",
        )
    return NotFound("persona")


def take_visibility(tx: Connection, user_id: int, wanted: str, stored: str) -> str:
    """The visibility that a write stores where it asks for `wanted` and there is `stored` (for a
    new one: private). Every change of it is decided here, in the transaction of its owner. Raises
    Forbidden for what becomes shared, of who may not share."""
    if wanted != stored and wanted != PRIVATE:
        check_may_share(tx, user_id)
    return wanted


def unsaved_persona(
    tx: Connection, user_id: int, persona: NewPersona, persona_id: int | None
) -> Look:
    """What a persona that is not saved brings to a preview, under the rules by which it would be
    saved; `persona_id` is the one that it changes. Raises as `create_persona` does, but for
    quotas."""
    policy.check_may_make(tx, user_id, persona.values["is_nsfw"])
    return unsaved_look(_with_avatar(tx, user_id, persona.values, None), persona_id)


def check_room(tx: Connection, user_id: int, settings: Settings, count: int = 1) -> None:
    """Raise QuotaExceeded where a user may not have so many personas more."""
    used = queries.personas.count(tx, user_id=user_id, nsfw=True, favorite=None)
    if used + count > settings.max_personas:
        raise QuotaExceeded("personas", settings.max_personas, used)


def create_persona(
    tx: Connection,
    user_id: int,
    persona: NewPersona,
    settings: Settings,
    origin: Origin = EDIT,
) -> Row:
    """Make a persona; returns its row. Raises QuotaExceeded, Forbidden for NSFW out of force,
    Invalid for another one's avatar, or for extensions beyond what is kept."""
    check_room(tx, user_id, settings)
    policy.check_may_make(tx, user_id, persona.values["is_nsfw"])
    values = _with_avatar(tx, user_id, persona.values, None)
    persona_id = add_persona(tx, user_id, replace(persona, values=values), origin)
    return read_persona(tx, user_id, persona_id)


def add_persona(tx: Connection, user_id: int, persona: NewPersona, origin: Origin) -> int:
    """Insert a persona whose maker has asked for room, for the NSFW settings in force and for whose
    its avatar is; returns its id. Raises Invalid for extensions beyond what is kept."""
    values = persona.values
    visibility = take_visibility(tx, user_id, values.get("visibility", PRIVATE), PRIVATE)
    persona_id: int = queries.personas.create(
        tx,
        visibility=visibility,
        uid=persona.uid or new_uid(),
        user_id=user_id,
        extensions=revisions.extensions_column(persona.extensions),
        revised_by=origin.by,
        revision_note=origin.note,
        now=timestamp(),
        **_columns(values),
    )
    search.write_found_by(tx, user_id, persona_id, values, persona.found_by)
    return persona_id


def replace_persona(
    tx: Connection, user_id: int, row: Row, persona: NewPersona, origin: Origin
) -> Row:
    """Write all of a persona, its extensions too, over its row of `personas.whole`; whose avatar it
    is was asked before. Returns the new row; raises as `_update` does."""
    _write_over(tx, user_id, row, persona.values, origin, persona.extensions, persona.found_by)
    return required_row(queries.personas.whole(tx, id=row["id"], user_id=user_id))


def change_persona(
    tx: Connection,
    user_id: int,
    persona_id: int,
    body: dict[str, Any],
    check_version: CheckVersion,
    *,
    merge: bool = False,
    origin: Origin = EDIT,
    extensions: Mapping[str, Any] | None = None,
) -> tuple[Row, Warnings]:
    """Change a persona as a body says (see `body_change`), and its extensions where they are given;
    what becomes NSFW takes its jobs and media along. What was is kept as a revision where what a
    picture is made of changes, and always where `origin` is no edit. Returns the row, and what to
    tell; raises as `create_persona` does, and NotFound."""
    row = read_persona(tx, user_id, persona_id)
    check_version(row["version"])
    stored = stored_values(row)
    change, warnings = body_change(body, stored, merge=merge)
    if change.get("visibility") == row["visibility"]:
        del change["visibility"]
    values = stored | change
    if not change.keys().isdisjoint(_TOGETHER):
        check_whole(values)
    if "avatar_url" in change:
        values = _with_avatar(tx, user_id, values, stored["avatar_media_id"])
    row = _update(tx, user_id, row, values, origin, extensions)
    return row, [*warnings, *_left_out(stored, values, merge)]


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


def restore_revision(
    tx: Connection,
    user_id: int,
    persona_id: int,
    number: int,
    check_version: CheckVersion,
    *,
    undo: bool = False,
) -> Row:
    """Make a persona what it was in one of its revisions, as a new revision; returns the row.

    Name, description, prompts, LoRAs, parameters, tags and extensions come back. Whether it is a
    favourite, and its avatar, stay, and it stays NSFW, or becomes so with what comes back. With
    `undo`, which takes an import back, all is as it was. Raises NotFound, also for a revision that
    is kept no more, and Forbidden for NSFW out of force.
    """
    row = read_persona(tx, user_id, persona_id)
    check_version(row["version"])
    revision = revisions.read_revision(tx, user_id, row, number)
    stored = stored_values(row)
    if undo:
        values = dict(revision.values)
    else:
        values = stored | {name: revision.values[name] for name in revisions.CONTENT}
        values["is_nsfw"] = stored["is_nsfw"] or revision.is_nsfw
    origin = Origin("undo" if undo else "restore", str(number))
    return _update(tx, user_id, row, values, origin, revision.extensions)


def set_avatar(
    tx: Connection,
    user_id: int,
    persona_id: int,
    media_id: str,
    check_version: CheckVersion,
    crop: Crop | None = None,
) -> Row:
    """Make one of the user's media items the avatar, or a square of it; returns the row. Raises
    NotFound, and Invalid for what is not theirs, and for a square that is not in the picture."""
    row = read_persona(tx, user_id, persona_id)
    check_version(row["version"])
    item = _check_own_media(tx, user_id, media_id, "media_id")
    if crop is not None and not crop.is_within(item["width"], item["height"]):
        sentence = (
            f"Must be a square of {SMALLEST} pixels or more within the picture,"
            f" which has {item['width']} x {item['height']}."
        )
        raise Invalid({"crop": [Mistake(sentence, "crop_outside")]})
    avatar = {
        "avatar_url": None,
        "avatar_media_id": media_id,
        "avatar_crop": None if crop is None else str(crop),
    }
    return _update(tx, user_id, row, stored_values(row) | avatar)


def duplicate_persona(
    tx: Connection, user_id: int, persona_id: int, name: str | None, settings: Settings
) -> Row:
    """Make a private copy of a persona that the user sees, named as asked or by `copy_name`;
    returns its row. Its revisions begin anew. Of another's go neither the avatar along nor what
    other programs keep with it. Raises NotFound."""
    row = see_persona(tx, user_id, persona_id)
    values = stored_values(row)
    values["name"] = name or copy_name(values["name"])
    extensions: Mapping[str, Any] = {}
    if row["user_id"] == user_id:
        extensions = revisions.read_extensions(tx, user_id, row)
    else:
        values |= {"avatar_url": None, "avatar_media_id": None, "avatar_crop": None}
    copy = NewPersona(values, search.found_by(values), extensions=extensions)
    return create_persona(tx, user_id, copy, settings)


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
    kept. Its jobs and media stay as they are, and show it again once it is back. Raises as
    `read_persona` does."""
    row = queries.personas.whole(tx, id=persona_id, user_id=user_id)
    if row is None:
        raise _not_own(tx, user_id, persona_id)
    check_version(row["version"])
    if keep_days:
        persona = trash.whole_row(row, _WHOLE_JSON)
        persona["source"] = sources.source_document(tx, user_id, persona_id)
        avatar = row["avatar_media_id"]
        trash.add_entry(tx, trash.PERSONA, row, persona, row["name"], avatar_media_id=avatar)
    queries.personas.delete(tx, id=persona_id, user_id=user_id)


def restore_persona(tx: Connection, user_id: int, entry: Row) -> None:
    """Bring a persona back from its entry of the trash, as it was; its revisions were kept. One
    that was shared is so again, which others notice while its owner may share."""
    persona = _BESIDE | from_json(entry["document"])[trash.PERSONA]
    source = persona.pop("source")
    columns = persona | _columns(persona)
    columns["extensions"] = to_json(persona["extensions"])
    queries.personas.bring_back(tx, user_id=user_id, **columns)
    sources.put_document(tx, user_id, persona["id"], source)
    search.write_found_by(tx, user_id, persona["id"], persona, search.found_by(persona))
    queries.trash.remove(tx, id=entry["id"], user_id=user_id)


_BESIDE: dict[str, Any] = {
    "avatar_crop": None,
    "extensions": {},
    "revised_at": None,
    "revised_by": "edit",
    "revision_note": "",
    "source": None,
    "visibility": PRIVATE,
}
"""What documents of before do not have."""


def _columns(values: dict[str, Any]) -> dict[str, Any]:
    """The values as the columns of a whole row, with what is derived from them."""
    return {
        **{name: to_json(values[name]) if name in JSON else values[name] for name in STORED},
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
    values = stored | {"tags": retag(stored["tags"])}
    if same_json(values, stored):
        return False
    _write_over(tx, user_id, row, values, EDIT, None, search.found_by(values))
    return True


def _update(
    tx: Connection,
    user_id: int,
    row: Row,
    values: dict[str, Any],
    origin: Origin = EDIT,
    extensions: Mapping[str, Any] | None = None,
) -> Row:
    """Write a persona over its row; returns the new row, or the same where nothing changes. Raises
    Forbidden for what becomes NSFW against the settings in force, and Invalid for extensions beyond
    what is kept, before anything is written."""
    stored = stored_values(row)
    is_revised = origin.by != "edit" or revisions.is_revised(values, stored)
    if extensions is None and not is_revised and same_json(values, stored):
        return row
    found_by = search.found_by(values)
    _write_over(tx, user_id, row, values, origin, extensions, found_by)
    return read_persona(tx, user_id, row["id"])


def _write_over(
    tx: Connection,
    user_id: int,
    row: Row,
    values: dict[str, Any],
    origin: Origin,
    extensions: Mapping[str, Any] | None,
    found_by: search.FoundBy,
) -> None:
    persona_id, stored = row["id"], stored_values(row)
    is_revised = origin.by != "edit" or revisions.is_revised(values, stored)
    becomes_nsfw = values["is_nsfw"] and not stored["is_nsfw"]
    if becomes_nsfw:
        policy.check_may_make(tx, user_id, True)
    visibility = None
    if "visibility" in values:
        visibility = take_visibility(tx, user_id, values["visibility"], row["visibility"])
    column = None if extensions is None else revisions.extensions_column(extensions)
    now = timestamp()
    if is_revised:
        revisions.keep_revision(tx, user_id, row)
    if becomes_nsfw:
        _mark_nsfw(tx, user_id, persona_id, now)
    queries.personas.update(
        tx,
        id=persona_id,
        user_id=user_id,
        visibility=visibility,
        extensions=column,
        revision=row["revision"] + is_revised,
        revised_at=now if is_revised else None,
        revised_by=origin.by if is_revised else None,
        revision_note=origin.note if is_revised else None,
        now=now,
        **_columns(values),
    )
    search.write_found_by(tx, user_id, persona_id, values, found_by)


def _mark_nsfw(tx: Connection, user_id: int, persona_id: int, now: str) -> None:
    """A persona becomes NSFW: so does all that its owner made of it, and how it was."""
    queries.jobs.mark_nsfw(tx, persona_id=persona_id, user_id=user_id, now=now)
    queries.media.mark_nsfw(tx, persona_id=persona_id, user_id=user_id, now=now)
    queries.trash.mark_nsfw(tx, persona_id=persona_id, user_id=user_id)
    queries.revisions.mark_nsfw(tx, persona_id=persona_id, user_id=user_id)


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
            values = values | {"avatar_crop": None}
        return values | {"avatar_url": None, "avatar_media_id": media_id}
    if url is not None or kept is not None:
        return values | {"avatar_media_id": None, "avatar_crop": None}
    return values


def _check_own_media(tx: Connection, user_id: int, media_id: str, field: str) -> Row:
    row = queries.media.get(tx, id=media_id, user_id=user_id)
    if row is None:
        raise Invalid({field: ["Must be one of your own media items."]})
    return row

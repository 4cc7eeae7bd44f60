"""What only SEIDRA's own form says of a persona, taken in again: since when there is one, its
revisions, and where it came from before."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from marshmallow import ValidationError

from seidra.database.base import Connection
from seidra.database.queries import queries
from seidra.errors import Invalid
from seidra.exchange.found import FoundPersona, Remark, Source
from seidra.personas.revisions import KEPT, content_hash, extensions_column
from seidra.personas.stored import DEFAULTS, STORED
from seidra.values import packed, to_json
from seidra.web.fields import check_json, check_text

_MAKERS = ("edit", "import", "undo", "restore")
_NOTE = 200
_NAME = 500
_MAX_ORIGINAL = 1024 * 1024
_MAX_FACTS = 4096
_MAX_BASE = 512 * 1024
_DEPTH = 32
_MAX_REVISION = 2**31

ReadFields = Callable[[Mapping[str, Any]], dict[str, Any]]
"""A persona's fields as they are stored, of a body that says them. Raises Invalid or
ValidationError."""

AvatarOf = Callable[[Any, Any], dict[str, str | None]]
"""Which picture here one of the file is, and which square of it is shown: `avatar_media_id` and
`avatar_crop`."""


def history_document(
    found: FoundPersona, read_fields: ReadFields, avatar_of: AvatarOf
) -> tuple[dict[str, Any], list[Remark]]:
    """What an entry says of a persona's past, checked, for the document of a plan; and what was
    left out of it."""
    history, remarks = found.history, list[Remark]()
    document: dict[str, Any] = {}
    if history is not None and history.revision < _MAX_REVISION:
        kept = []
        for revision in history.revisions[-KEPT:]:
            try:
                kept.append(_revision(revision, history.revision, read_fields, avatar_of))
            except (Invalid, ValidationError, TypeError, ValueError, KeyError):
                continue
        # One of each number.
        kept = list({revision["number"]: revision for revision in kept}.values())
        if len(kept) < len(history.revisions):
            count = len(history.revisions) - len(kept)
            remarks.append(Remark("revisions_left_out", f"{count} revisions cannot be kept."))
        document["history"] = {
            "created_at": history.created_at,
            "updated_at": history.updated_at,
            "revision": history.revision,
            "revised": _revised(history.revised),
            "revisions": kept,
            "crop": avatar_of(history.avatar, history.crop)["avatar_crop"],
        }
    if found.source is not None:
        try:
            document["source"] = _source(found.source)
        except (ValidationError, TypeError, ValueError):
            remarks.append(Remark("source_left_out", "Where it came from cannot be kept."))
    return document, remarks


def _revision(
    revision: Mapping[str, Any], present: int, read_fields: ReadFields, avatar_of: AvatarOf
) -> dict[str, Any]:
    number, values, extensions = revision["number"], revision["values"], revision["extensions"]
    if type(number) is not int or not 1 <= number < present:
        raise ValueError("no number of a revision")
    if not isinstance(extensions, dict) or not isinstance(values, dict):
        raise TypeError("no object")
    body = {name: values[name] for name in STORED if values.get(name) is not None}
    avatar, crop = body.pop("avatar_media_id", None), body.pop("avatar_crop", None)
    here = avatar_of(avatar, crop)
    stored = DEFAULTS | read_fields(body) | here
    if stored["avatar_media_id"] is not None:
        stored["avatar_url"] = None
    check_json(extensions, _DEPTH)
    extensions_column(extensions)
    made = _revised(revision)
    if made["at"] is None:
        raise ValueError("no time")
    return {
        "number": number,
        **made,
        "is_nsfw": revision["is_nsfw"] is True,
        "values": {name: stored[name] for name in STORED},
        "extensions": extensions,
    }


def _revised(said: Mapping[str, Any]) -> dict[str, Any]:
    """When, by what and how a revision came about."""
    at, by, note = said.get("at"), said.get("by"), said.get("note")
    good = isinstance(note, str) and len(note) <= _NOTE
    if good:
        check_text(str(note))
    return {
        "at": at if isinstance(at, str) and len(at) == len("2026-01-31T12:00:00.000000Z") else None,
        "by": by if by in _MAKERS else "edit",
        "note": note if good else "",
    }


def _source(source: Source) -> dict[str, Any]:
    texts = (source.format, source.tool, source.file, source.entry)
    for text in texts:
        check_text(text)
        if len(text) > _NAME:
            raise ValueError("a name is too long")
    last = source.last
    base, revision = last.get("base"), last.get("revision")
    base = base if isinstance(base, dict) else {}
    for name in ("generation_params", "extensions"):
        if not isinstance(base.get(name, {}), dict):
            raise TypeError(name)
    check_json(base, _DEPTH)
    check_json(dict(source.facts), _DEPTH)
    if len(to_json(source.facts)) > _MAX_FACTS or len(to_json(base)) > _MAX_BASE:
        raise ValueError("it is too large")
    original = source.original
    if original is not None and len(original) > _MAX_ORIGINAL:
        raise ValueError("it is too large")
    imported_at = last.get("imported_at")
    return {
        **dict(zip(("format", "tool", "file", "entry"), texts, strict=True)),
        "facts": dict(source.facts),
        "base": base,
        "revision": revision if type(revision) is int and 1 <= revision < _MAX_REVISION else 1,
        "imported_at": imported_at if isinstance(imported_at, str) else "",
        "original": None if original is None else base64.b64encode(original).decode(),
    }


def write_history(
    tx: Connection, user_id: int, persona_id: int, document: Mapping[str, Any]
) -> int | None:
    """Write what `history_document` has found over a persona that the same transaction has made;
    returns the revision at which it stands, None where it says none."""
    history = document.get("history")
    if history is None:
        return None
    revised = history["revised"]
    queries.personas.set_history(
        tx,
        id=persona_id,
        user_id=user_id,
        created_at=history["created_at"],
        updated_at=history["updated_at"],
        revision=history["revision"],
        revised_at=revised["at"],
        revised_by=revised["by"],
        revision_note=revised["note"],
    )
    for revision in history["revisions"]:
        values = revision["values"]
        queries.revisions.keep(
            tx,
            user_id=user_id,
            persona_id=persona_id,
            number=revision["number"],
            made_at=revision["at"],
            made_by=revision["by"],
            note=revision["note"],
            is_nsfw=revision["is_nsfw"],
            content_hash=content_hash(values),
            document=packed(to_json({**values, "extensions": revision["extensions"]}).encode()),
        )
    return int(history["revision"])


def write_source(
    tx: Connection, user_id: int, persona_id: int, source: Mapping[str, Any], now: str
) -> None:
    """Write where a persona came from before, in place of the library that it came with."""
    original = source["original"]
    data = None if original is None else base64.b64decode(original)
    queries.sources.put(
        tx,
        persona_id=persona_id,
        user_id=user_id,
        **{name: source[name] for name in ("format", "tool", "file", "entry", "revision")},
        facts=to_json(source["facts"]),
        sha256=None if data is None else hashlib.sha256(data).hexdigest(),
        original=None if data is None else packed(data),
        base=packed(to_json(source["base"]).encode()),
        imported_at=source["imported_at"] or now,
    )

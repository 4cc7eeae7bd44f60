"""The revisions of a persona: how it was before each change of what a picture is made of.

The present revision is the persona's own row; those before it are kept as whole documents. A number
is the persona's `revision` while it was the present one.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson

from seidra.database.base import Connection, Row, required_row
from seidra.database.queries import queries
from seidra.errors import Invalid, NotFound
from seidra.personas.stored import DEFAULTS, STORED, stored_values
from seidra.values import from_json, json_fragment, same_json, to_json

KEPT = 100
"""Revisions of a persona that are kept, the present one among them."""

MAX_EXTENSIONS = 65_536
"""Bytes of a persona's extensions as JSON."""

LOOK = ("name", "description", "style_prompt", "negative_prompt", "loras", "generation_params")
"""What a picture is made of and called by: a change of it is a revision."""

CONTENT = (*LOOK, "tags")
"""What is hashed, to know the same persona again, and what restoring a revision brings back."""

Maker = Literal["edit", "import", "undo", "restore"]


@dataclass(frozen=True, slots=True)
class Origin:
    """How a revision comes about. `note` says what `by` leaves open: of a restore the number of the
    revision that came back, of an import where in which file it was."""

    by: Maker = "edit"
    note: str = ""


EDIT = Origin()


@dataclass(frozen=True, slots=True)
class Revision:
    """A persona as it was. `values` are its fields as they are stored. `changed` names the fields
    that differ from the one before; it is empty where none before is there to be seen."""

    number: int
    at: str
    by: Maker
    note: str
    is_nsfw: bool
    is_current: bool
    content_hash: str
    values: Mapping[str, Any]
    extensions: Mapping[str, Any]
    changed: Sequence[str] = ()


def content_hash(values: Mapping[str, Any]) -> str:
    """The SHA-256 of what a persona says, as canonical JSON: the same for the same content,
    whatever its id, flags and pictures."""
    content = {name: values[name] for name in CONTENT}
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def is_revised(values: Mapping[str, Any], stored: Mapping[str, Any]) -> bool:
    """Whether a change of what is stored is one of what a picture is made of."""
    return any(not same_json(values[name], stored[name]) for name in LOOK)


def extensions_column(extensions: Mapping[str, Any]) -> str:
    """Extensions as their column holds them. Raises Invalid for more than is kept."""
    text = to_json(extensions)
    if len(text.encode()) > MAX_EXTENSIONS:
        sentence = f"Must not take more than {MAX_EXTENSIONS} bytes as JSON."
        raise Invalid({"extensions": [sentence]})
    return text


def read_extensions(connection: Connection, user_id: int, row: Row) -> dict[str, Any]:
    """What other programs keep with a persona, by namespace, to be given back to them."""
    extensions: dict[str, Any] = from_json(_beside(connection, user_id, row)["extensions"])
    return extensions


def keep_revision(tx: Connection, user_id: int, row: Row) -> None:
    """Keep a persona as it is in its row, which the same transaction then changes; the oldest go,
    beyond the last `KEPT`."""
    beside = _beside(tx, user_id, row)
    values = stored_values(row)
    document = values | {"extensions": json_fragment(beside["extensions"])}
    queries.revisions.keep(
        tx,
        user_id=user_id,
        persona_id=row["id"],
        number=row["revision"],
        made_at=_made_at(row, beside),
        made_by=beside["revised_by"],
        note=beside["revision_note"],
        is_nsfw=values["is_nsfw"],
        content_hash=content_hash(values),
        document=zlib.compress(to_json(document).encode(), _LEVEL),
    )
    last = row["revision"] + 1 - KEPT
    if last > 0:
        queries.revisions.prune(tx, user_id=user_id, persona_id=row["id"], up_to=last)


_LEVEL = 1
"""Of zlib: the fastest. The document is written under the lock of the database."""


def read_page(
    connection: Connection, user_id: int, row: Row, limit: int, offset: int
) -> tuple[list[Revision], int]:
    """A page of the revisions of a persona's row, newest first, the present one among them, and how
    many there are; without those that the NSFW settings in force hide. In one snapshot."""
    kept = queries.revisions.count(connection, user_id=user_id, persona_id=row["id"])
    return _read(connection, user_id, row, row["revision"], limit, offset), kept + 1


def read_revision(connection: Connection, user_id: int, row: Row, number: int) -> Revision:
    """One revision of a persona's row. Raises NotFound, also for one that is kept no more, or that
    the NSFW settings in force hide."""
    found = _read(connection, user_id, row, number, 1, 0)
    if not found or found[0].number != number:
        raise NotFound("revision")
    return found[0]


def _read(
    connection: Connection, user_id: int, row: Row, up_to: int, limit: int, offset: int
) -> list[Revision]:
    """Revisions from a number on downwards, each with what differs from the one before."""
    found: list[Revision] = []
    if up_to == row["revision"]:
        if offset == 0:
            found.append(_present(connection, user_id, row))
        else:
            offset -= 1
    rows = queries.revisions.kept(
        connection,
        user_id=user_id,
        persona_id=row["id"],
        up_to=up_to,
        # With the one before the last of them, to compare that.
        limit=limit + 1 - len(found),
        offset=offset,
    )
    found += [_kept(each) for each in rows]
    others = [*found[1:], None]
    return [
        replace(each, changed=_changed(each, before))
        for each, before in zip(found[:limit], others, strict=False)
    ]


def _present(connection: Connection, user_id: int, row: Row) -> Revision:
    beside = _beside(connection, user_id, row)
    values = stored_values(row)
    return Revision(
        row["revision"],
        _made_at(row, beside),
        beside["revised_by"],
        beside["revision_note"],
        values["is_nsfw"],
        True,
        content_hash(values),
        values,
        from_json(beside["extensions"]),
    )


def _kept(row: Row) -> Revision:
    document = from_json(zlib.decompress(row["document"]).decode())
    return Revision(
        row["number"],
        row["made_at"],
        row["made_by"],
        row["note"],
        bool(row["is_nsfw"]),
        False,
        row["content_hash"],
        # What fields were added since.
        DEFAULTS | {name: value for name, value in document.items() if name in STORED},
        document["extensions"],
    )


def _changed(revision: Revision, before: Revision | None) -> list[str]:
    if before is None:
        return []
    return [name for name in CONTENT if not same_json(revision.values[name], before.values[name])]


def _beside(connection: Connection, user_id: int, row: Row) -> Row:
    return required_row(queries.revisions.beside(connection, id=row["id"], user_id=user_id))


def _made_at(row: Row, beside: Row) -> str:
    """When a persona's present revision came about; of one from before that was noted, when it last
    may have."""
    first: str = row["created_at"] if row["revision"] == 1 else row["updated_at"]
    return beside["revised_at"] or first

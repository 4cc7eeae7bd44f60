"""What an import is made of: files, a text, or one of one's own pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from seidra.database.base import Connection, Row
from seidra.database.queries import queries
from seidra.errors import Invalid, Mistake, Problem, Unavailable
from seidra.exchange import formats
from seidra.exchange.found import FoundFile, FoundPersona, IncomingFile
from seidra.exchange.plan import Found, Picture
from seidra.files.base import Files
from seidra.folding import cut_text, is_blank
from seidra.media.keys import row_key
from seidra.media.write import visible_item
from seidra.values import from_json

OWN = "seidra-picture"
"""The format of what is made of one's own picture, of which everything is known."""

_NAME = 60


@dataclass(frozen=True)
class Incoming:
    """What was found, and the picture that is to be the avatar of it, if one's own was read."""

    found: Found
    avatar: Picture | None = None


def read_files(files: Iterable[tuple[str, bytes]], format: str, encoding: str | None) -> Incoming:
    """What files hold, one after the other. Raises Invalid, which names the file where there are
    several."""
    found: list[tuple[str, FoundFile]] = []
    for name, data in files:
        file = IncomingFile(name, data, encoding)
        try:
            found.append((name, formats.read_file(file, format)))
        except Invalid as error:
            raise _of_file(name, error) from None
    return Incoming(found)


def _of_file(name: str, error: Invalid) -> Invalid:
    """The failure of a file, with the file's name in its sentences."""
    shown = name.encode("utf-8", "replace").decode()[:100]
    errors = {
        field: [
            Mistake(f"{shown}: {sentence}", sentence.code, **sentence.bounds)
            if isinstance(sentence, Mistake)
            else f"{shown}: {sentence}"
            for sentence in sentences
        ]
        for field, sentences in (error.errors or {}).items()
    }
    return Invalid(errors, more=error.more)


def read_text(text: str, format: str) -> Incoming:
    """What a pasted text holds. The same text is the same source; another one is another."""
    data = text.encode()
    name = f"text-{hashlib.sha256(data).hexdigest()[:16]}.txt"
    try:
        return Incoming([(name, formats.read_file(IncomingFile(name, data), format))])
    except Invalid as error:
        errors = {
            "text" if field == "file" else field: list(sentences)
            for field, sentences in (error.errors or {}).items()
        }
        raise Invalid(errors, more=error.more) from None


def read_media_item(connection: Connection, files: Files, user_id: int, media_id: str) -> Incoming:
    """What is known of one of one's own pictures. Raises NotFound, and Invalid for one of which
    nothing is known."""
    item = visible_item(connection, user_id, media_id)
    metadata = from_json(item["metadata"])
    avatar = Picture(media_id)
    if not is_blank(metadata.get("prompt") or metadata.get("negative_prompt") or ""):
        return Incoming([(media_id, _own_picture(media_id, item, metadata))], avatar)
    whole = queries.media.whole(connection, id=media_id, user_id=user_id)
    if whole is None:
        raise _no_data()
    try:
        with files.open(row_key(whole)) as file:
            data = file.read()
    except OSError:
        raise Unavailable("The picture's file cannot be read.") from None
    try:
        return Incoming([(media_id, formats.read_file(IncomingFile(media_id, data)))], avatar)
    except Invalid:
        raise _no_data() from None


def _no_data() -> Problem:
    return Invalid({"media_id": [Mistake("Nothing is known of how it was made.", "no_data")]})


def _own_picture(media_id: str, item: Row, metadata: dict[str, Any]) -> FoundFile:
    """A persona that makes such pictures."""
    prompt = str(metadata.get("prompt") or "")
    params = dict(metadata.get("parameters") or {})
    if metadata.get("seed") is not None:
        params["seed"] = metadata["seed"]
    if metadata.get("model"):
        params.setdefault("model_name", metadata["model"])
    fields = {
        "name": cut_text(" ".join(prompt.split()), _NAME).strip() or "Picture",
        "style_prompt": prompt,
        "negative_prompt": str(metadata.get("negative_prompt") or ""),
        "loras": list(metadata.get("loras") or []),
        "generation_params": params,
        "is_nsfw": bool(item["is_nsfw"]),
    }
    entry = FoundPersona(locator="picture", entry=media_id, fields=fields)
    return FoundFile(OWN, "SEIDRA", [entry])

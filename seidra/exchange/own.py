"""SEIDRA's own forms: a persona as JSON, and a library as a ZIP in which nothing is lost.

    personas.jsonl   a line for each persona, which is the JSON of one: everything of it
    media/...        the pictures, byte for byte
    media.jsonl      a line for each picture: everything that is known of it, and its checksum
    report.json      which pictures could not be read
    manifest.json    schema, counts, and the checksums of the two lists

A library is written in one pass to anything that takes bytes, and read a line and a picture at a
time: memory does not grow with it. Nothing in it chooses where a file goes.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import tempfile
import zipfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import IO, Any, BinaryIO, overload
from uuid import UUID

import orjson

from seidra.errors import Invalid, Mistake
from seidra.exchange import archives, documents
from seidra.exchange.found import (
    FoundFile,
    FoundPersona,
    GivenPersona,
    History,
    IncomingFile,
    Remark,
    Source,
    WrittenFile,
)
from seidra.files.keys import EXTENSIONS
from seidra.values import timestamp

FORMAT, LIBRARY, TOOL = "seidra", "seidra-library", "SEIDRA"
SCHEMA = 1
"""The number of what documents hold. Raise it with a change that a reader has to know of."""

PERSONAS, MEDIA, REPORT, MANIFEST = "personas.jsonl", "media.jsonl", "report.json", "manifest.json"

CHUNK = 1 << 20
_LONGEST_LINE = 16 << 20
"""Bytes of a persona with a hundred revisions, at the most."""

_LISTS = 1 << 30
"""Bytes of personas.jsonl and media.jsonl together."""

_COLLECTIONS = 1_000
"""Collections that a picture may be in."""

_LINES = 2_000_000
"""Lines that either may have, empty ones too."""

_PACKED_PICTURES = 4
"""So many times as large as a library all of its pictures may be, unpacked: SEIDRA does not pack
them, and packed by others they become hardly smaller."""

_DIRECTORY = 64 * 1024
"""Bytes that the list of members may take beside half of the file: a member has a name there and
where it is, and what it holds is no smaller."""

_LONGEST_MANIFEST = 1 << 20
_MEMBERS = 2_000_000
_READ_ONCE = 20_000
"""Personas that a file may have which is read as a whole."""

_FIELDS = (
    "name",
    "description",
    "style_prompt",
    "negative_prompt",
    "loras",
    "generation_params",
    "tags",
    "is_favorite",
    "is_nsfw",
    "avatar_url",
)

PICTURE_FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "file_type": str,
    "mime_type": str,
    "width": int,
    "height": int,
    "file_size": int,
    "metadata": dict,
    "tags": list,
    "is_favorite": bool,
    "is_nsfw": bool,
    "nsfw_tags": list,
    "created_at": str,
    "updated_at": str,
}
"""What a line of media.jsonl must have, and of which JSON type."""

_OPTIONAL_PICTURE_FIELDS: Mapping[str, type] = {
    "color": str,
    "model": str,
    "source": str,
    "collections": list,
}

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_HEX = re.compile(r"[0-9a-f]{64}")


# ---------------------------------------------------------------------------------------- a persona


def persona_json(persona: GivenPersona) -> dict[str, Any]:
    """A persona as an object of our own JSON."""
    history = persona.history
    shown: dict[str, Any] = {
        "format": FORMAT,
        "schema": SCHEMA,
        "uid": persona.uid,
        "revision": persona.revision,
        "persona": dict(persona.fields),
        "extensions": dict(persona.extensions),
        "source": None if persona.source is None else _source_json(persona.source),
    }
    if history is not None:
        shown |= {
            "created_at": history.created_at,
            "updated_at": history.updated_at,
            "revised": dict(history.revised),
            "avatar": history.avatar,
            "crop": history.crop,
            "revisions": [dict(revision) for revision in history.revisions],
        }
    return shown


def _source_json(source: Source) -> dict[str, Any]:
    original = source.original
    return {
        "format": source.format,
        "tool": source.tool,
        "file": source.file,
        "entry": source.entry,
        "facts": dict(source.facts),
        "last": dict(source.last),
        # Verbatim, in whatever encoding it came.
        "original_base64": None if original is None else base64.b64encode(original).decode(),
    }


def write(personas: Sequence[GivenPersona]) -> list[WrittenFile]:
    """A file for each persona, in our own JSON."""
    return [
        WrittenFile(
            f"{persona.fields['name']}.seidra.json",
            "application/json",
            orjson.dumps(persona_json(persona), option=orjson.OPT_INDENT_2) + b"\n",
        )
        for persona in personas
    ]


def lost(persona: GivenPersona) -> list[Remark]:
    """What the JSON of one persona leaves behind: a library alone carries pictures."""
    if persona.picture is None:
        return []
    sentence = "Its picture goes with a card or with a ZIP of SEIDRA alone."
    return [Remark("not_carried", sentence, "picture")]


def read_persona(value: Any, locator: str) -> FoundPersona:
    """The persona that an object of our own JSON is; one that is none carries its error."""
    fields = value.get("persona") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(fields, dict):
        return _unreadable(locator, "It is no persona of SEIDRA's own JSON.")
    schema = value.get("schema")
    if type(schema) is not int or not 1 <= schema <= SCHEMA:
        sentence = f"Its schema is {schema!r}; this version of SEIDRA reads {SCHEMA}."
        return _unreadable(locator, sentence)
    name = fields.get("name")
    extensions = value.get("extensions")
    return FoundPersona(
        locator=locator,
        entry=name if isinstance(name, str) else locator,
        fields={name: fields[name] for name in _FIELDS if name in fields},
        uid=_uuid(value.get("uid")),
        extensions=extensions if isinstance(extensions, dict) else {},
        source=_read_source(value.get("source")),
        history=_read_history(value),
    )


def _unreadable(locator: str, sentence: str) -> FoundPersona:
    return FoundPersona(locator, locator, {}, error=Remark("unreadable", sentence))


def _uuid(value: object) -> str | None:
    try:
        return str(UUID(value)) if isinstance(value, str) else None
    except ValueError:
        return None


def _read_source(value: Any) -> Source | None:
    if not isinstance(value, dict):
        return None
    format, tool, file, entry = (value.get(n) for n in ("format", "tool", "file", "entry"))
    if not all(isinstance(text, str) for text in (format, tool, file, entry)):
        return None
    facts, packed = value.get("facts"), value.get("original_base64")
    original = None
    if isinstance(packed, str):
        try:
            original = base64.b64decode(packed, validate=True)
        except ValueError:
            return None
    return Source(
        format=str(format),
        tool=str(tool),
        file=str(file),
        entry=str(entry),
        original=original,
        facts=facts if isinstance(facts, dict) else {},
        last=last if isinstance(last := value.get("last"), dict) else {},
    )


def _read_history(value: Mapping[str, Any]) -> History | None:
    made, changed, revision = (value.get(n) for n in ("created_at", "updated_at", "revision"))
    revisions = value.get("revisions", [])
    if not (_is_time(made) and _is_time(changed)) or type(revision) is not int or revision < 1:
        return None
    if not isinstance(revisions, list) or not all(isinstance(each, dict) for each in revisions):
        revisions = []
    revised = value.get("revised")
    return History(
        str(made),
        str(changed),
        revision,
        revised if isinstance(revised, dict) else {},
        revisions,
        _uuid(value.get("avatar")),
        crop if isinstance(crop := value.get("crop"), str) else None,
    )


def _is_time(value: object) -> bool:
    return isinstance(value, str) and _TIME.fullmatch(value) is not None


# ------------------------------------------------------------------------------- writing a library


@dataclass(frozen=True)
class GivenPicture:
    """A picture for a library: its line of media.jsonl without file and checksum (`id` and
    `mime_type` among them), and how its bytes are opened."""

    line: Mapping[str, Any]
    open: Callable[[], BinaryIO]


def write_library(
    out: IO[bytes], personas: Iterable[GivenPersona], pictures: Iterable[GivenPicture]
) -> Iterator[int]:
    """Write a library to what takes bytes. It is done as far as it is iterated: each step says how
    many personas and pictures are in it now that were not before; some say none. Pictures are asked
    for when all personas are written. A picture that cannot be read is in the report and keeps its
    line, without a file."""
    counts = {"personas": 0, "revisions": 0, "pictures": 0}
    unreadable: list[dict[str, Any]] = []
    with (
        zipfile.ZipFile(out, "w") as archive,
        tempfile.SpooledTemporaryFile(CHUNK) as lines,
    ):
        with _packed(archive, PERSONAS) as (file, personas_digest):
            for persona in personas:
                line = orjson.dumps(persona_json(persona), option=orjson.OPT_APPEND_NEWLINE)
                file.write(line)
                personas_digest.update(line)
                counts["personas"] += 1
                if persona.history is not None:
                    counts["revisions"] += len(persona.history.revisions)
                yield 1
        for picture in pictures:
            name = f"media/{picture.line['id']}{EXTENSIONS[picture.line['mime_type']]}"
            about = dict(picture.line)
            try:
                source = picture.open()
            except OSError:
                about |= {"file": None, "sha256": None}
                unreadable.append({"media_id": picture.line["id"], "code": "missing_picture"})
            else:
                with source:
                    digest = yield from _add_file(archive, name, source)
                about |= {"file": name, "sha256": digest}
            lines.write(orjson.dumps(about, option=orjson.OPT_APPEND_NEWLINE))
            counts["pictures"] += 1
            yield 1
        lines.seek(0)
        with _packed(archive, MEDIA) as (file, media_digest):
            while chunk := lines.read(CHUNK):
                file.write(chunk)
                media_digest.update(chunk)
                yield 0
        report = {"schema": SCHEMA, "to": FORMAT, "lost": len(unreadable), "pictures": unreadable}
        archive.writestr(_member(REPORT), orjson.dumps(report))
        manifest = {
            "format": LIBRARY,
            "schema": SCHEMA,
            "seidra": version("seidra"),
            "created_at": timestamp(),
            "counts": counts,
            "sha256": {PERSONAS: personas_digest.hexdigest(), MEDIA: media_digest.hexdigest()},
        }
        archive.writestr(_member(MANIFEST), orjson.dumps(manifest, option=orjson.OPT_INDENT_2))


def _member(name: str, *, packed: bool = True) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    info.external_attr = 0o600 << 16
    return info


@contextmanager
def _packed(archive: zipfile.ZipFile, name: str) -> Iterator[tuple[IO[bytes], Any]]:
    """A compressed file of an archive to write to, and the digest for what it holds."""
    with archive.open(_member(name), "w", force_zip64=True) as file:
        yield file, hashlib.sha256()


def _add_file(archive: zipfile.ZipFile, name: str, source: BinaryIO) -> Generator[int, None, str]:
    """Add a picture as it is: compressed it is already. Returns its checksum."""
    digest = hashlib.sha256()
    with archive.open(_member(name, packed=False), "w", force_zip64=True) as file:
        while chunk := source.read(CHUNK):
            file.write(chunk)
            digest.update(chunk)
            yield 0
    return digest.hexdigest()


# ------------------------------------------------------------------------------- reading a library


@dataclass(frozen=True)
class FoundPicture:
    """A picture of a library. `fields` has what `PICTURE_FIELDS` names, and `color`, `model` and
    `source` where there are such; `error` says why it cannot be taken."""

    id: str
    persona_uid: str | None
    fields: Mapping[str, Any]
    member: str
    sha256: str
    error: Remark | None = None


class Library:
    """Reads a library from a seekable file. Raises Invalid, naming the field `file`, for one that
    is none, that is damaged, or that is of a newer SEIDRA."""

    def __init__(self, file: BinaryIO) -> None:
        try:
            size = file.seek(0, io.SEEK_END)
            if archives.directory_of(file).size > size // 2 + _DIRECTORY:
                raise _invalid("Its list of members is most of it.", "unreadable")
            self._archive = zipfile.ZipFile(file)
            members = self._archive.infolist()
        except archives.DAMAGE as error:
            raise _invalid(f"It is no ZIP that can be read: {error}.", "unreadable") from None
        if len(members) > _MEMBERS:
            raise _invalid(f"It has more than {_MEMBERS:,} files.", "too_many")
        if any(member.flag_bits & 1 for member in members):
            raise _invalid("It is encrypted.", "encrypted")
        self._sizes = {member.filename: member.file_size for member in members}
        if len(self._sizes) < len(members):
            raise _invalid("It has two files of one name.", "unreadable")
        if sum(self._sizes.get(name, 0) for name in (PERSONAS, MEDIA)) > _LISTS:
            raise _invalid(f"Its lists have more than {_LISTS:,} bytes.", "too_large_unpacked")
        pictures = sum(each for name, each in self._sizes.items() if name.startswith("media/"))
        if pictures > _PACKED_PICTURES * size:
            sentence = f"Its pictures are packed more than {_PACKED_PICTURES} times."
            raise _invalid(sentence, "packed_too_much")
        self.manifest = self._read_manifest()

    def _read_manifest(self) -> dict[str, Any]:
        if self._sizes.get(MANIFEST, _LONGEST_MANIFEST + 1) > _LONGEST_MANIFEST:
            raise _invalid("It is no library of SEIDRA: it has no manifest.", "unknown_format")
        with _damaged():
            manifest = _loads(self._archive.read(MANIFEST))
        if not isinstance(manifest, dict) or manifest.get("format") != LIBRARY:
            raise _invalid("It is no library of SEIDRA.", "unknown_format")
        schema = manifest.get("schema")
        if type(schema) is not int or not 1 <= schema <= SCHEMA:
            sentence = f"Its schema is {schema!r}; this version of SEIDRA reads {SCHEMA}."
            raise _invalid(sentence, "newer")
        if not isinstance(manifest.get("sha256"), dict):
            raise _invalid("It is damaged: its manifest cannot be read.", "damaged")
        return manifest

    def check(self) -> None:
        """Read both lists once: raises Invalid where they are not what the manifest says."""
        for name in (PERSONAS, MEDIA):
            digest = hashlib.sha256()
            with _damaged(), self._open(name) as file:
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
            if digest.hexdigest() != self.manifest["sha256"].get(name):
                raise _invalid(f"It is damaged: {name} is not what its manifest says.", "damaged")

    def personas(self) -> Iterator[FoundPersona]:
        """Its personas, one after the other."""
        for number, value in self._lines(PERSONAS):
            yield read_persona(value, f"{PERSONAS} line {number}")

    def pictures(self) -> Iterator[FoundPicture]:
        """Its pictures, one after the other, without their bytes."""
        for number, value in self._lines(MEDIA):
            yield self._picture(value, f"{MEDIA} line {number}")

    def copy(self, picture: FoundPicture, write: Callable[[bytes], object]) -> None:
        """Hand the bytes of a picture to `write`; afterwards, raises Invalid where they are not
        those that its line says."""
        digest = hashlib.sha256()
        with _damaged(), self._archive.open(picture.member) as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                write(chunk)
        if digest.hexdigest() != picture.sha256:
            raise _invalid(f"It is damaged: {picture.member} is not what its line says.", "damaged")

    def read(self, picture: FoundPicture) -> bytes:
        """The bytes of a picture, likewise."""
        data = io.BytesIO()
        self.copy(picture, data.write)
        return data.getvalue()

    def _open(self, name: str) -> IO[bytes]:
        if name not in self._sizes:
            raise _invalid(f"It is damaged: {name} is missing.", "damaged")
        return self._archive.open(name)

    def _lines(self, name: str) -> Iterator[tuple[int, Any]]:
        with _damaged(), self._open(name) as file:
            number = 0
            while line := file.readline(_LONGEST_LINE + 1):
                number += 1
                if number > _LINES:
                    raise _invalid(f"{name} has more than {_LINES:,} lines.", "too_many")
                if len(line) > _LONGEST_LINE:
                    raise _invalid(f"{name} line {number} is too long.", "too_long")
                if line.strip():
                    yield number, _loads(line)

    def _picture(self, value: Any, locator: str) -> FoundPicture:
        if not isinstance(value, dict) or (id := _uuid(value.get("id"))) is None:
            return _bad_picture(locator, "It is no picture of a library.")
        fields = {
            name: value[name]
            for name, kind in {**PICTURE_FIELDS, **_OPTIONAL_PICTURE_FIELDS}.items()
            if isinstance(value.get(name), kind)
            # true is no number
            and not (kind is int and isinstance(value[name], bool))
        }
        if missing := PICTURE_FIELDS.keys() - fields.keys():
            return _bad_picture(locator, f"It has no good {', '.join(sorted(missing))}.", id)
        member, sha256 = value.get("file"), value.get("sha256")
        if member is None:
            return _bad_picture(locator, "Its picture could not be read when it was exported.", id)
        ending = EXTENSIONS.get(fields["mime_type"])
        if ending is None or member != f"media/{id}{ending}" or not isinstance(sha256, str):
            return _bad_picture(locator, "It has no good file, sha256 or mime_type.", id)
        if self._sizes.get(member) != fields["file_size"] or not _HEX.fullmatch(sha256):
            return _bad_picture(locator, f"{member} is missing or of another size.", id)
        if not (_is_time(fields["created_at"]) and _is_time(fields["updated_at"])):
            return _bad_picture(locator, "It has no good created_at or updated_at.", id)
        if "collections" in fields:
            fields["collections"] = _collections(fields["collections"])
        return FoundPicture(id, _uuid(value.get("persona_uid")), fields, member, sha256)


def _collections(values: list[Any]) -> list[dict[str, Any]]:
    """The collections that a picture's line names; what is none is passed over."""
    found = []
    for value in values[:_COLLECTIONS]:
        if not isinstance(value, dict) or (id := _uuid(value.get("id"))) is None:
            continue
        name, words, place = (value.get(key) for key in ("name", "description", "position"))
        times = {key: value.get(key) for key in ("created_at", "updated_at")}
        if (
            isinstance(name, str)
            and isinstance(words, str)
            and type(place) is int
            and 0 <= place < 1 << 31
            and all(_is_time(each) for each in times.values())
        ):
            found.append({"id": id, "name": name, "description": words, "position": place, **times})
    return found


def _bad_picture(locator: str, sentence: str, id: str = "") -> FoundPicture:
    error = Remark("unreadable", f"{locator}: {sentence}")
    return FoundPicture(id, None, {}, "", "", error=error)


def _invalid(sentence: str, code: str) -> Invalid:
    return Invalid({"file": [Mistake(sentence, code)]})


@contextmanager
def _damaged() -> Iterator[None]:
    """What reading a damaged archive raises, as Invalid."""
    try:
        yield
    except Invalid:
        raise
    except archives.DAMAGE as error:
        raise _invalid(f"It is damaged: {error}.", "damaged") from None


def _loads(text: bytes) -> Any:
    """The value of a JSON text. Raises ValueError, and Invalid for what would take much memory."""
    documents.check_parts(text.count(b"[") + text.count(b"{"), text.count(b":"))
    return orjson.loads(text)


# ----------------------------------------------------------------------------- reading as a format


_NOT_OURS = frozenset({"unknown_format", "unreadable", "broken_archive"})
"""Why a ZIP cannot be read that may as well be somebody else's."""


def recognise(file: IncomingFile) -> bool:
    """Whether a file is of our own: JSON of one persona, a line or several, or a whole library."""
    if file.data.startswith(b"PK\3\4"):
        try:
            Library(io.BytesIO(file.data))
        except Invalid as problem:
            return _NOT_OURS.isdisjoint(_codes(problem))
        return True
    first = file.data.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not first.startswith(b"{"):
        return False
    for text in (first.partition(b"\n")[0], first):
        try:
            value = _loads(text)
        except (ValueError, Invalid):
            continue
        return isinstance(value, dict) and value.get("format") == FORMAT
    return False


def _codes(problem: Invalid) -> list[str]:
    mistakes = (problem.errors or {}).get("file", [])
    return [mistake.code for mistake in mistakes if isinstance(mistake, Mistake)]


def read(file: IncomingFile) -> FoundFile:
    """The personas of a file of our own; with a library, whose pictures come along. Raises
    Invalid."""
    if file.data.startswith(b"PK\3\4"):
        return _read_whole(Library(io.BytesIO(file.data)))
    text = file.data.removeprefix(b"\xef\xbb\xbf")
    try:
        return FoundFile(FORMAT, TOOL, [read_persona(_loads(text), "the persona")])
    except (ValueError, Invalid):
        # A persona a line; what is too much for one is too much for its line.
        lines = text.splitlines()
    if len(lines) > _READ_ONCE:
        raise _invalid(f"It has more than {_READ_ONCE:,} entries.", "too_many")
    entries = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                entries.append(read_persona(_loads(line), f"line {number}"))
            except ValueError as error:
                entries.append(_unreadable(f"line {number}", f"It is no JSON: {error}."))
    return FoundFile(FORMAT, TOOL, entries)


def _read_whole(library: Library) -> FoundFile:
    library.check()
    return FoundFile(FORMAT, TOOL, _Personas(library), library=library)


class _Personas(Sequence[FoundPersona]):
    """The personas of a library, read again each time, as all of them with their revisions may be
    more than memory holds. Raises Invalid where one cannot be read, or there are too many."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._count = 0
        for _ in library.personas():
            self._count += 1
            if self._count > _READ_ONCE:
                raise _invalid(f"It has more than {_READ_ONCE:,} entries.", "too_many")

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[FoundPersona]:
        return self._library.personas()

    @overload
    def __getitem__(self, at: int) -> FoundPersona: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[FoundPersona]: ...

    def __getitem__(self, at: int | slice) -> FoundPersona | Sequence[FoundPersona]:
        return list(self)[at]

"""A plan: what an import would do, entry by entry. Nothing else is changed by it.

An entry is known again by its uid, by its source (format, stem of the file's name, its name there),
or by having the very content of a persona of its name. Of one whose name alone is taken, its owner
says what it is to be.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from marshmallow import ValidationError
from marshmallow.validate import URL

from seidra import folding
from seidra.database.base import Connection, Database
from seidra.database.queries import queries
from seidra.errors import Conflict, Invalid, Mistake, NotFound, Problem, Unavailable
from seidra.exchange.albums import Album, keep_album
from seidra.exchange.catalogue import Catalogue, read_catalogue
from seidra.exchange.compare import Compared, compare
from seidra.exchange.found import FoundFile, FoundPersona, Remark
from seidra.exchange.histories import history_document
from seidra.files.base import Files
from seidra.files.keys import new_key
from seidra.media.chores import ANNOUNCED_SECONDS
from seidra.nsfw import policy
from seidra.personas import revisions, write
from seidra.personas.schemas import AvatarUrl, PersonaSchema
from seidra.personas.stored import DEFAULTS, stored_values
from seidra.values import (
    from_json,
    new_uid,
    packed,
    same_json,
    timestamp,
    timestamp_in,
    to_json,
    unpacked,
)
from seidra.web.fields import MAX_TAGS, Text, check_json
from seidra.web.problems import flatten_messages

MAX_ENTRIES = 20_000
"""Entries that an import may have."""
MAX_PLANS = 50
"""Plans that a user has at once: a disk holds their entries and pictures."""
MAX_ORIGINAL = 1024 * 1024
"""Bytes of an entry that are kept verbatim, also zlib'd."""
PLAN_SECONDS = 86_400.0
"""How long a plan can be applied."""

_PLANNING_SECONDS = 3600.0
_BATCH = 200
_BATCH_BYTES = 1024 * 1024
"""A transaction writes so many entries, or so many bytes of them."""
_MAX_FACTS = 4096
"""Bytes of a file's facts that are kept with each of its personas."""
_MAX_NAME = 100
_DEPTH = 32
"""How deep extensions may be."""

ON_CONFLICT = ("skip", "update", "copy")
ACTIONS = ("create", "update", "unchanged", "skip", "conflict", "error")


@dataclass(frozen=True)
class Options:
    """What holds for a whole import. `on_conflict` is one of ON_CONFLICT; None: its owner decides
    by entry. `is_nsfw` None: as the files say."""

    on_conflict: str | None = None
    tags: Sequence[str] = ()
    is_nsfw: bool | None = None

    def shown(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"on_conflict": self.on_conflict, "tags": list(self.tags), "is_nsfw": self.is_nsfw}


@dataclass(frozen=True)
class Picture:
    """One of the owner's media items that is the avatar of what is found."""

    media_id: str


class _ImportedUrl(AvatarUrl):
    """An http(s) URL, which is kept and never fetched: no link of ours, whose picture is another
    one's, or is not here."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        url = Text._deserialize(self, value, attr, data, **kwargs)
        URL(schemes={"http", "https"}, require_tld=False, error="Must be an http or https URL.")(
            url
        )
        return url


class EntryFieldsSchema(PersonaSchema):
    """The fields of an entry: those of a persona's body, but that no link of ours can be in it, and
    that what is imported is shared by nobody yet."""

    class Meta(PersonaSchema.Meta):
        exclude = ("visibility",)

    avatar_url = _ImportedUrl()


_ENTRY_FIELDS = EntryFieldsSchema()

_NSFW_WORDS = re.compile(
    r"\b(nsfw|nude|naked|nudity|topless|hentai|porn\w*|explicit|uncensored|erotic\w*|nipples?|"
    r"genitals?|penis|vagina|pussy|blowjob|sex)\b",
    re.IGNORECASE,
)
"""Words that hint at NSFW. They suggest, and decide nothing."""


@dataclass
class _Planned:
    """An entry as it is written, and what its document holds."""

    row: dict[str, Any]
    document: dict[str, Any]

    def warn(self, *remarks: Remark) -> None:
        self.document["warnings"] += [remark_json(remark) for remark in remarks]


def remark_json(remark: Remark) -> dict[str, Any]:
    """A remark as the plan shows it."""
    return {"code": remark.code, "detail": remark.detail, "field": remark.field}


@dataclass
class _Planner:
    """Plans the entries of one import, in their order."""

    connection: Connection
    user_id: int
    nsfw: bool
    options: Options
    catalogue: Catalogue
    keys: dict[tuple[str, str, str], int] = field(default_factory=dict)
    personas: set[int] = field(default_factory=set)
    uids: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    album: Album | None = None
    """The pictures of the library that is planned, if it is one."""

    def plan(self, found: FoundPersona, format: str, tool: str, file: str) -> _Planned:
        """One entry."""
        planned = _Planned(
            {
                "locator": found.locator[:300],
                "format": format,
                "tool": tool,
                "file": file,
                "entry": self._entry_key(format, file, found.entry),
                "action": "error",
                "match": None,
                "persona_id": None,
                "version": None,
                "is_nsfw": False,
                "original": None,
                "sha256": None,
                "media_id": None,
                "file_key": None,
            },
            {
                "name": found.entry[:_MAX_NAME],
                "fields": {},
                "said": {},
                "uid": None,
                "diff": [],
                "warnings": [remark_json(remark) for remark in found.remarks],
                "lost": [],
                "error": None,
            },
        )
        self._keep_original(planned, found.original)
        if found.error is not None:
            planned.document["error"] = remark_json(found.error)
            return planned
        try:
            self._settle(planned, found)
        except _CannotBe as error:
            planned.row |= {"action": "error", "match": None, "persona_id": None, "version": None}
            planned.document |= {"fields": {}, "diff": [], "error": remark_json(error.remark)}
        return planned

    def _entry_key(self, format: str, file: str, entry: str) -> str:
        """What the entry is called among those of its file; of several of one name the second is
        "<name> #2"."""
        name = first = format, file, entry[:500]
        while name in self.keys:
            self.keys[first] += 1
            name = format, file, f"{entry[:500]} #{self.keys[first]}"
        self.keys[name] = 1
        return name[2]

    def _keep_original(self, planned: _Planned, original: bytes | None) -> None:
        if original is None:
            return
        planned.row["sha256"] = hashlib.sha256(original).hexdigest()
        kept = packed(original) if len(original) <= MAX_ORIGINAL else b""
        if kept and len(kept) <= MAX_ORIGINAL:
            planned.row["original"] = kept
        else:
            planned.document["lost"].append("original")

    def _settle(self, planned: _Planned, found: FoundPersona) -> None:
        said = self._said(planned, found)
        values = {**DEFAULTS, "extensions": {}, **said}
        name_key = folding.sort_key(values["name"])
        here = self._known_persona(planned, found, values, name_key)
        planned.document["said"] = said
        planned.document["name"] = values["name"]
        if here is None:
            planned.row["action"] = "create"
            planned.document["fields"] = values
            if found.uid is not None and found.uid not in self.uids:
                planned.document["uid"] = _uid_of(found.uid)
                self.uids.add(found.uid)
            past, remarks = history_document(found, _read_fields, self._avatar_of)
            planned.document |= past
            planned.warn(*remarks)
        else:
            values = self._compared(planned, here)
        if values["is_nsfw"] and not self.nsfw:
            raise _CannotBe("nsfw_off", "It is NSFW, which is not in force for you.", "is_nsfw")
        planned.row["is_nsfw"] = values["is_nsfw"]
        if name_key in self.names:
            planned.warn(
                Remark("name_taken", "Another entry of this import has the same name.", "name")
            )
        self.names.add(name_key)
        planned.warn(*self.catalogue.unknown(values))
        if not values["is_nsfw"] and (hint := _nsfw_hint(values)):
            planned.warn(
                Remark("looks_nsfw", f"The word {hint!r} suggests that it is NSFW.", "is_nsfw")
            )

    def _avatar_of(self, media_id: Any, crop: Any) -> dict[str, str | None]:
        if self.album is None:
            return {"avatar_media_id": None, "avatar_crop": None}
        return self.album.avatar_and_crop(media_id, crop)

    def _said(self, planned: _Planned, found: FoundPersona) -> dict[str, Any]:
        """What the file says, as it would be stored. Raises _CannotBe."""
        given = {name: value for name, value in found.fields.items() if value is not None}
        if isinstance(name := given.get("name"), str) and len(name.strip()) > _MAX_NAME:
            given["name"] = folding.cut_text(name.strip(), _MAX_NAME).rstrip()
            planned.warn(
                Remark("name_shortened", f"The name has more than {_MAX_NAME} characters.", "name")
            )
        given["tags"] = self._tags(planned, given.get("tags", ()))
        if not given["tags"] and "tags" not in found.fields:
            del given["tags"]
        if self.options.is_nsfw is not None:
            given["is_nsfw"] = self.options.is_nsfw
        try:
            body = _ENTRY_FIELDS.load(given)
            prepared = write.prepare_values(body)
        except ValidationError as error:
            raise _broken(flatten_messages(error.messages)) from None
        except Invalid as error:
            raise _broken(error.errors or {}) from None
        planned.document["warnings"] += [
            {name: warning[name] for name in ("code", "detail", "field")}
            for warning in prepared.warnings
        ]
        said = {
            name: value
            for name, value in prepared.values.items()
            if name in body or not same_json(value, DEFAULTS.get(name))
        }
        return said | self._extensions(planned, found)

    def _extensions(self, planned: _Planned, found: FoundPersona) -> dict[str, Any]:
        """What another program keeps with an entry, as far as it can be kept here."""
        if not found.extensions:
            return {}
        try:
            check_json(dict(found.extensions), _DEPTH)
            revisions.extensions_column(found.extensions)
        except (Invalid, ValidationError):
            planned.document["lost"].append("extensions")
            return {}
        return {"extensions": dict(found.extensions)}

    def _tags(self, planned: _Planned, tags: Any) -> Any:
        """An entry's tags with those of the import; as many as a persona may have."""
        if not isinstance(tags, (list, tuple)) or not all(isinstance(tag, str) for tag in tags):
            return tags
        wanted = list({folding.fold(tag): tag for tag in [*self.options.tags, *tags]}.values())
        if len(wanted) > MAX_TAGS:
            planned.warn(
                Remark(
                    "tags_left_out", f"It has more than {MAX_TAGS} tags; the first stay.", "tags"
                )
            )
            planned.document["lost"] += [f"tag {tag}" for tag in wanted[MAX_TAGS:]]
        return wanted[:MAX_TAGS]

    def _known_persona(
        self, planned: _Planned, found: FoundPersona, values: dict[str, Any], name_key: str
    ) -> _Here | None:
        """The persona that an entry is, or may be."""
        row = planned.row
        own = {"user_id": self.user_id, "nsfw": self.nsfw}
        if found.uid is not None:
            persona_id = queries.personas.by_uid(self.connection, uid=found.uid, **own)
            if here := self._take(persona_id, "uid"):
                here.base = _base_of(self.connection, self.user_id, here.id)
                return here
        source = queries.sources.by_entry(
            self.connection, format=row["format"], file=row["file"], entry=row["entry"], **own
        )
        if source is not None and (here := self._take(source["id"], "source")):
            here.base = from_json(unpacked(source["base"]).decode())
            return here
        named = queries.personas.by_name(self.connection, name_key=name_key, **own)
        candidates = [row["id"] for row in named if row["id"] not in self.personas]
        for persona_id in candidates:
            here = self._read(persona_id, "hash")
            if here is not None and same_content(values, here.values):
                self.personas.add(persona_id)
                return here
        return self._take(candidates[0], "name") if candidates else None

    def _take(self, persona_id: int | None, match: str) -> _Here | None:
        """A persona, for one entry of the import alone."""
        if persona_id is None or persona_id in self.personas:
            return None
        here = self._read(persona_id, match)
        if here is not None:
            self.personas.add(persona_id)
        return here

    def _read(self, persona_id: int, match: str) -> _Here | None:
        row = queries.personas.whole(self.connection, id=persona_id, user_id=self.user_id)
        if row is None:
            return None
        extensions = from_json(row["extensions"])
        values = {**stored_values(row), "extensions": extensions}
        return _Here(persona_id, match, row["version"], values)

    def _compared(self, planned: _Planned, here: _Here) -> dict[str, Any]:
        """Say what becomes of an entry whose persona is here; returns the fields as they would
        be."""
        compared = compare(here.base, here.values, planned.document["said"])
        planned.row |= {"match": here.match, "persona_id": here.id, "version": here.version}
        planned.row["action"] = self._action(compared)
        planned.document["fields"] = compared.merged
        planned.document["diff"] = [difference.shown() for difference in compared.differences]
        if here.match == "name" and compared.conflicts:
            planned.warn(Remark("name_taken", "You have a persona of this name.", "name"))
        try:
            write.check_whole(compared.merged)
        except Invalid as error:
            raise _broken(error.errors or {}) from None
        return compared.merged

    def _action(self, compared: Compared) -> str:
        if not compared.changes:
            return "unchanged"
        if not compared.conflicts:
            return "update"
        return conflict_action(self.options.on_conflict)


def _read_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """Fields as they are stored, of what a file says. Raises Invalid and ValidationError."""
    return write.prepare_values(_ENTRY_FIELDS.load(given)).values


@dataclass
class _Here:
    """A persona that is here. `base`: what its source said the last time."""

    id: int
    match: str
    version: int
    values: dict[str, Any]
    base: dict[str, Any] | None = None


class _CannotBe(Exception):
    """An entry cannot become a persona."""

    def __init__(self, code: str, detail: str, field: str) -> None:
        super().__init__(detail)
        self.remark = Remark(code, detail, field)


def conflict_action(on_conflict: str | None) -> str:
    """What becomes of a conflict by default."""
    return {None: "conflict", "skip": "skip", "update": "update", "copy": "create"}[on_conflict]


def same_content(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two personas say the same: marks and avatars aside."""
    return all(same_json(one[name], other[name]) for name in _CONTENT)


_CONTENT = (
    "name",
    "description",
    "style_prompt",
    "negative_prompt",
    "loras",
    "generation_params",
    "tags",
)


def _base_of(connection: Connection, user_id: int, persona_id: int) -> dict[str, Any] | None:
    row = queries.sources.get(connection, persona_id=persona_id, user_id=user_id)
    if row is None:
        return None
    base: dict[str, Any] = from_json(unpacked(row["base"]).decode())
    return base


def _uid_of(text: str) -> str | None:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None


def _nsfw_hint(values: Mapping[str, Any]) -> str | None:
    for text in (values["name"], values["style_prompt"], *values["tags"]):
        if match := _NSFW_WORDS.search(text):
            return match[0]
    return None


def _broken(errors: Mapping[str, Sequence[str]]) -> _CannotBe:
    """The failure of an entry whose fields break their rules: the first is told."""
    name, sentences = next(iter(errors.items()), ("body", ["Is invalid."]))
    sentence = sentences[0]
    code = sentence.code if isinstance(sentence, Mistake) else "invalid"
    if name in ("style_prompt", "negative_prompt"):
        code = {"length": "prompt_too_long", "no_prompt": "no_prompt"}.get(code, code)
    return _CannotBe(code, f"{name}: {sentence}", name)


# ---------------------------------------------------------------------------------------- the plan

Found = Sequence[tuple[str, FoundFile]]
"""The files of an import: what each was called, and what was found in it."""


def make_plan(
    database: Database,
    files: Files,
    user_id: int,
    found: Found,
    options: Options,
    keep: Callable[[Connection, str], None] = lambda tx, import_id: None,
    avatar: Picture | None = None,
) -> str:
    """Plan an import; returns its id. `keep` is called in the transaction that shows it. Raises
    Invalid for too many entries or none, Forbidden for NSFW out of force, NotFound for an avatar
    that is not there, Conflict for more plans than there may be."""
    _check_found(found)
    connection = database.connection
    policy.check_may_make(connection, user_id, bool(options.is_nsfw))
    nsfw = policy.in_force(connection, user_id)
    albums = {
        at: Album(connection, user_id, file.library, nsfw=nsfw)
        for at, (_, file) in enumerate(found)
        if file.library is not None
    }
    if avatar and queries.media.get(connection, id=avatar.media_id, user_id=user_id) is None:
        raise NotFound("media item")
    import_id = new_uid()
    with database.transaction(user_id) as tx:
        if queries.imports.plans(tx, user_id=user_id) >= MAX_PLANS:
            raise Conflict(f"You have {MAX_PLANS} plans; delete one first.", code="too_many_plans")
        queries.imports.create(
            tx,
            id=import_id,
            user_id=user_id,
            options=to_json(options.shown()),
            files=to_json(
                [_file_json(name, file, albums.get(at)) for at, (name, file) in enumerate(found)]
            ),
            now=timestamp(),
            expires_at=timestamp_in(_PLANNING_SECONDS),
        )
    planner = _Planner(connection, user_id, nsfw, options, read_catalogue(connection))
    actions: Counter[str] = Counter()
    warnings: Counter[str] = Counter()
    entries = 0
    for batch in _batches(_plan_all(planner, found, files, database, avatar, albums)):
        rows = []
        for planned, columns in batch:
            actions[planned.row["action"]] += 1
            warnings.update({warning["code"] for warning in planned.document["warnings"]})
            rows.append({"import_id": import_id, "n": entries, **columns})
            entries += 1
        with database.transaction(user_id) as tx:
            for row in rows:
                # Where the announcement has run out the file is as good as gone.
                if row["file_key"] and not queries.media.announcement_take(tx, key=row["file_key"]):
                    row["file_key"] = row["media_id"] = None
            queries.imports.add_entries(tx, rows)
    pictures = 0
    for album in albums.values():
        pictures = keep_album(database, files, user_id, import_id, album, pictures)
    summary = {"actions": dict(actions), "warnings": dict(warnings), "results": {}}
    with database.transaction(user_id) as tx:
        queries.imports.show(
            tx,
            id=import_id,
            user_id=user_id,
            summary=to_json(summary),
            entries=entries,
            now=timestamp(),
            expires_at=timestamp_in(PLAN_SECONDS),
        )
        keep(tx, import_id)
    return import_id


def _check_found(found: Found) -> None:
    entries = sum(len(file.entries) for _, file in found)
    if entries > MAX_ENTRIES:
        sentence = f"Must have at most {MAX_ENTRIES} entries; these have {entries}."
        raise Invalid({"file": [Mistake(sentence, "too_many_entries", max=MAX_ENTRIES)]})
    if not entries and not any(file.library for _, file in found):
        raise Invalid({"file": [Mistake("Must hold something to import.", "no_entries")]})


def _file_json(name: str, file: FoundFile, album: Album | None) -> dict[str, Any]:
    return {
        "name": PurePosixPath(name.replace("\\", "/")).name[:200],
        "stem": stem_of(name),
        "format": file.format,
        "tool": file.tool,
        "entries": len(file.entries),
        "facts": _small_facts(file.facts),
        "warnings": [
            remark_json(remark) for remark in (*file.remarks, *(album.remarks if album else ()))
        ],
    }


def stem_of(name: str) -> str:
    """What a file is known by: its name without folder and ending."""
    return PurePosixPath(name.replace("\\", "/")).stem[:200]


def _small_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a file that are small enough to be kept with each persona of it, the smallest
    first."""
    kept: dict[str, Any] = {}
    for name in sorted(facts, key=lambda name: len(to_json(facts[name]))):
        if len(to_json({**kept, name: facts[name]})) <= _MAX_FACTS:
            kept[name] = facts[name]
    return kept


def _plan_all(
    planner: _Planner,
    found: Found,
    files: Files,
    database: Database,
    avatar: Picture | None,
    albums: Mapping[int, Album],
) -> Iterator[_Planned]:
    first = 0
    for at, (name, file) in enumerate(found):
        stem, planner.album = stem_of(name), albums.get(at)
        for number, entry in enumerate(file.entries, first):
            planned = planner.plan(entry, file.format, file.tool, stem)
            if planner.album is not None and entry.uid is not None:
                planner.album.entries[entry.uid] = number
            if not _takes_picture(planned):
                pass
            elif entry.history is not None and planner.album is not None:
                planned.row["media_id"] = planner.album.avatar_of(entry.history.avatar)
            elif avatar is not None:
                planned.row["media_id"] = avatar.media_id
            elif entry.picture is not None:
                _put_picture(planned, entry.picture, files, database)
            yield planned
        first += len(file.entries)


def _takes_picture(planned: _Planned) -> bool:
    """Whether an entry's picture may become an avatar: that of an update does only where there is
    none, or each change of a card would bring the card's picture again."""
    action = planned.row["action"]
    has_one = planned.document["fields"].get("avatar_media_id") is not None
    # What is skipped may be chosen all the same.
    return action in ("create", "conflict", "skip") or (action == "update" and not has_one)


def _put_picture(planned: _Planned, picture: bytes, files: Files, database: Database) -> None:
    """Keep the picture that came with an entry as a file; it becomes a media item once the import
    is applied, which also looks whether it can be decoded."""
    mime_type = picture_type(picture)
    if mime_type is None:
        planned.warn(Remark("picture_unreadable", "Its picture is no PNG, JPEG or WebP."))
        planned.document["lost"].append("picture")
        return
    media_id = str(uuid.uuid4())
    key = new_key(media_id, mime_type, "import")
    due_at = timestamp_in(ANNOUNCED_SECONDS)
    with database.transaction() as tx:
        queries.media.announce(tx, [{"key": key, "due_at": due_at}])
    try:
        files.put(key, picture, mime_type)
    except OSError:
        raise Unavailable("There is no room for a picture on the server's disk.") from None
    planned.row |= {"media_id": media_id, "file_key": key}


def picture_type(data: bytes) -> str | None:
    """The type of a picture, by how it begins."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return None


def _columns(planned: _Planned) -> dict[str, Any]:
    return {**planned.row, "document": packed(to_json(planned.document).encode())}


def _batches(
    all_planned: Iterator[_Planned],
) -> Iterator[list[tuple[_Planned, dict[str, Any]]]]:
    """As many as one transaction writes, each with its columns, which are packed before."""
    batch: list[tuple[_Planned, dict[str, Any]]] = []
    size = 0
    for planned in all_planned:
        columns = _columns(planned)
        batch.append((planned, columns))
        size += len(columns["original"] or b"") + len(columns["document"])
        if len(batch) == _BATCH or size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class PlanStale(Problem):
    """What an import would touch has changed since it was planned."""

    status, code = 409, "plan_stale"

    def __init__(self, entries: Sequence[int]) -> None:
        super().__init__(
            "What it would change has changed since it was planned; import it again.",
            more={"entries": list(entries[:20])},
        )

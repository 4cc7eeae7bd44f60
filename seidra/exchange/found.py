"""The form between files and personas, whatever the format: what a reader found in a file, and
what a writer is given to put into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from seidra.errors import Invalid
from seidra.exchange import documents, texts
from seidra.exchange.documents import Document

if TYPE_CHECKING:
    from seidra.exchange.own import Library


@dataclass(frozen=True, slots=True)
class Remark:
    """What people should know of a file or an entry. `code` is a stable word, `detail` a sentence,
    `field` the persona's field that it is about, or ""."""

    code: str
    detail: str
    field: str = ""


@dataclass(frozen=True)
class IncomingFile:
    """A file as it came. `name` is what its sender called it, and decides nothing but names.
    `encoding`: what a text is read in, where that was chosen; None: as it says itself.

    What several readers ask for is made once: the text, and the JSON in it.
    """

    name: str
    data: bytes
    encoding: str | None = None

    @property
    def stem(self) -> str:
        """The name without folders and ending."""
        return PurePosixPath(self.name.replace("\\", "/")).stem

    @cached_property
    def _decoded(self) -> str | Invalid:
        try:
            return texts.decode(self.data, self.encoding)
        except Invalid as fault:
            return fault

    @cached_property
    def _parsed(self) -> Document | Invalid | None:
        text = self.known_text
        if text is None or text.lstrip()[:1] not in ("{", "["):
            return None
        try:
            return documents.parse(text)
        except Invalid as fault:
            return fault

    @property
    def text(self) -> str:
        """The whole text, without a byte order mark. Raises Invalid where it is none."""
        if isinstance(self._decoded, Invalid):
            raise self._decoded
        return self._decoded

    @property
    def known_text(self) -> str | None:
        """The text; None where it is none."""
        return None if isinstance(self._decoded, Invalid) else self._decoded

    @property
    def document(self) -> Document | None:
        """The JSON of the file; None where it is none, or breaks its rules (see `fault`)."""
        return self._parsed if isinstance(self._parsed, Document) else None

    @property
    def json(self) -> Document:
        """The JSON of the file. Raises Invalid where it is none."""
        if self.document is None:
            raise self.fault or documents.broken("Is not JSON.")
        return self.document

    @property
    def fault(self) -> Invalid | None:
        """What is wrong with the file as a text, or with the JSON that it begins as."""
        if isinstance(self._decoded, Invalid):
            return self._decoded
        return self._parsed if isinstance(self._parsed, Invalid) else None


@dataclass(frozen=True, slots=True)
class History:
    """What SEIDRA's own form says of a persona beside what it is: since when there is one, which
    revision it stands at, and those before, the oldest first. `avatar` is the id of a picture of
    the same library, `crop` the square of it that is shown, as `x-y-size`. `revised` says how the
    present revision came about ({at, by, note}), and each of `revisions` has {number, at, by, note,
    is_nsfw, values, extensions}."""

    created_at: str
    updated_at: str
    revision: int
    revised: Mapping[str, Any] = field(default_factory=dict)
    revisions: Sequence[Mapping[str, Any]] = ()
    avatar: str | None = None
    crop: str | None = None


@dataclass(frozen=True, slots=True)
class FoundPersona:
    """One entry of a file.

    `fields` has the names and types of a body of `POST /api/personas`, mapped but not validated
    yet; what is not in it takes its default. `entry` is the name that the file itself has for it:
    with the format and the file's stem it tells the same entry again at the next import. `original`
    is the entry verbatim, at most 1 MiB of it. `picture` shows it, undecoded and unchecked. `error`
    says why it cannot become a persona. `source` and `history` come with SEIDRA's own form alone.
    """

    locator: str
    entry: str
    fields: Mapping[str, Any]
    uid: str | None = None
    extensions: Mapping[str, Any] = field(default_factory=dict)
    original: bytes | None = None
    picture: bytes | None = None
    remarks: Sequence[Remark] = ()
    error: Remark | None = None
    source: Source | None = None
    history: History | None = None


@dataclass(frozen=True, slots=True)
class FoundFile:
    """What a file holds. `facts` are those of the whole file that a writer of the same format needs
    to give it back as it was: byte order mark, line ends, header, headings. `library`: one of our
    own, whose pictures come along."""

    format: str
    tool: str
    entries: Sequence[FoundPersona]
    facts: Mapping[str, Any] = field(default_factory=dict)
    remarks: Sequence[Remark] = ()
    library: Library | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where a persona came from: kept beside it to know it again, and to give it back. `last` is
    what only SEIDRA's own form carries of it: {base, revision, imported_at} of the last import."""

    format: str
    tool: str
    file: str
    entry: str
    original: bytes | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    last: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GivenPersona:
    """A persona for a writer: `fields` as in `FoundPersona`, all of them. `picture`: PNG, JPEG or
    WebP of its avatar, else of its newest picture; None where there is none, and only how it
    begins, or b"", where there is one whose bytes are not asked for."""

    fields: Mapping[str, Any]
    uid: str
    revision: int
    extensions: Mapping[str, Any] = field(default_factory=dict)
    source: Source | None = None
    picture: bytes | None = None
    history: History | None = None


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file for a person to take away."""

    name: str
    mime_type: str
    data: bytes

"""Every format that is read and written, and which one a file is: by what is in it, never by its
name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from seidra.errors import Invalid, Mistake
from seidra.exchange import (
    archives,
    cards,
    fooocus,
    invokeai,
    own,
    pasted,
    pictures,
    sdnext,
    sidecars,
    style_lists,
    styles_csv,
    swarmui,
)
from seidra.exchange.documents import broken
from seidra.exchange.found import (
    FoundFile,
    GivenPersona,
    IncomingFile,
    Remark,
    WrittenFile,
)

AUTO = "auto"


class Reader(Protocol):
    """A module that reads a format. `read` raises Invalid for what it cannot read."""

    FORMAT: str

    def recognise(self, file: IncomingFile, /) -> bool:
        """Whether a file is of the format, by what is in it."""

    def read(self, file: IncomingFile, /) -> FoundFile:
        """What is in the file."""


class Writer(Protocol):
    """A module that writes a format."""

    FORMAT: str

    def write(self, personas: Sequence[GivenPersona], /) -> list[WrittenFile]:
        """The files for the personas."""

    def lost(self, persona: GivenPersona, /) -> list[Remark]:
        """What the format cannot carry of a persona."""


READERS: Sequence[Reader] = (
    own,
    # A card may be a picture.
    cards,
    pictures,
    sidecars,
    swarmui,
    fooocus,
    sdnext,
    invokeai,
    style_lists,
    # Before the infotext: the prompt in the last row of a styles.csv may be one.
    styles_csv,
    pasted,
)
"""In the order in which they are asked; the first that recognises a file reads it."""

WRITERS: Mapping[str, Writer] = {
    writer.FORMAT: writer
    for writer in (
        own,
        *cards.WRITERS,
        *(styles_csv, sdnext, style_lists, fooocus, swarmui, invokeai, pasted),
    )
}
"""By the name of the format that is asked for."""


def formats_read() -> list[str]:
    """What `read_file` takes as a format, beside "auto"."""
    return sorted({reader.FORMAT for reader in READERS})


def read_file(file: IncomingFile, format: str = AUTO) -> FoundFile:
    """What is in a file; `format` where its sender says which one it is.

    Raises Invalid for `file`, `format` or `encoding`, with the rule that is broken.
    """
    if format != AUTO:
        return _reader(format).read(file)
    for reader in READERS:
        if reader.recognise(file):
            return reader.read(file)
    if swarmui.recognise_yaml(file):
        return swarmui.read(file)
    if archives.is_zip(file.data):
        with archives.opened(file.data):
            pass  # What is wrong with it as an archive is said first.
    elif file.fault is not None:
        raise file.fault
    known = ", ".join(formats_read())
    raise broken(f"Is of no format that SEIDRA reads: {known}.", "format_unknown")


def _reader(format_name: str) -> Reader:
    for reader in READERS:
        if format_name == reader.FORMAT:
            return reader
    choices = ", ".join([AUTO, *formats_read()])
    raise Invalid({"format": [Mistake(f"Must be one of: {choices}.", "choice")]})


def lost(format_name: str, personas: Sequence[GivenPersona]) -> Mapping[str, Sequence[Remark]]:
    """What a format cannot carry, by the `uid` of the persona; those that lose nothing are not in
    it."""
    writer = WRITERS[format_name]
    remarks = {persona.uid: list(writer.lost(persona)) for persona in personas}
    if format_name == style_lists.FORMAT:
        for uid, more in style_lists.lost_together(personas).items():
            remarks[uid] += more
    return {uid: told for uid, told in remarks.items() if told}

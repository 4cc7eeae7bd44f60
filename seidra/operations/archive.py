"""The archive of a backup: a plain tar of regular files, with a manifest of the others as the last
one.

    media/<key>       the pictures, as they are: compressed already
    seidra.db.gz      the database
    manifest.jsonl    a line about the whole, a line for each file above in the same order, and the
                      lines' checksum

Format 1, of SEIDRA 0.1, has only keys of the form `ab/<id>.png`. What is derived of the pictures is
left out, for it can be made again.

Any tar reads it. Here only what is written here is read: one header at a time, no links, no
extensions, names of two shapes. So nothing in an archive chooses where a file goes, and memory does
not grow with it. A truncated archive has no manifest.
"""

from __future__ import annotations

import hashlib
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from seidra.errors import StartError
from seidra.files.keys import is_picture_key
from seidra.values import from_json, to_json

FORMAT, READABLE = 2, (1, 2)
DATABASE, MANIFEST, MEDIA = "seidra.db.gz", "manifest.jsonl", "media/"
CHUNK = 1 << 20
_BLOCK = 512
_LONGEST_LINE = 1 << 20

Progress = Callable[[int], object]


class Damaged(StartError):
    """The archive is not one of ours, or not whole; the sentence says which."""


@dataclass(frozen=True)
class Member:
    """A file of the archive: its name, its size, and where its bytes begin."""

    name: str
    size: int
    offset: int


class Writer:
    """Writes an archive to `file`; the manifest's lines wait in `lines` (both binary, seekable and
    empty)."""

    def __init__(self, file: BinaryIO, lines: BinaryIO, progress: Progress) -> None:
        self._file = file
        self._lines = lines
        self._progress = progress
        self.count = self.bytes = 0

    def add(self, name: str, source: BinaryIO, size: int) -> None:
        """Add the first `size` bytes of `source`. Raises ReadFailed, and leaves no trace of it,
        when they cannot be read."""
        start = self._file.tell()
        try:
            checksum = self._write(name, source, size, self._progress)
        except ReadFailed:
            self._file.seek(start)
            self._file.truncate()
            raise
        self._lines.write(
            to_json({"name": name, "size": size, "sha256": checksum}).encode() + b"\n"
        )
        self.count += 1
        self.bytes += size

    def finish(self, about: dict[str, Any]) -> None:
        """Write the manifest and the archive's end."""
        head = (
            to_json(
                {"format": FORMAT, **about, "members": self.count, "bytes": self.bytes}
            ).encode()
            + b"\n"
        )
        self._lines.seek(0)
        digest = hashlib.sha256(head)
        while chunk := self._lines.read(CHUNK):
            digest.update(chunk)
        tail = to_json({"sha256": digest.hexdigest()}).encode() + b"\n"
        size = len(head) + self._lines.tell() + len(tail)
        self._lines.seek(0)
        self._file.write(_header(MANIFEST, size))
        self._file.write(head)
        while chunk := self._lines.read(CHUNK):
            self._file.write(chunk)
        self._file.write(tail + bytes(-size % _BLOCK) + bytes(2 * _BLOCK))

    def _write(self, name: str, source: BinaryIO, size: int, progress: Progress) -> str:
        digest, left = hashlib.sha256(), size
        source.seek(0)
        self._file.write(_header(name, size))
        while left:
            try:
                chunk = source.read(min(CHUNK, left))
            except OSError as error:
                raise ReadFailed(str(error)) from error
            if not chunk:
                raise ReadFailed("it became shorter while it was read")
            digest.update(chunk)
            self._file.write(chunk)
            left -= len(chunk)
            progress(len(chunk))
        self._file.write(bytes(-size % _BLOCK))
        return digest.hexdigest()


class ReadFailed(Exception):
    """A file that was to go into the archive cannot be read."""


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, int(time.time())
    # GNU's way of writing a size knows no limit; the names are short.
    return info.tobuf(tarfile.GNU_FORMAT, "ascii")


class Reader:
    """Reads an archive from `file`, whose manifest's lines come from `lines`: the same file, opened
    twice.

    Raises Damaged where the archive is not what its manifest says.
    """

    def __init__(self, file: BinaryIO, lines: BinaryIO) -> None:
        self._file = file
        self._lines = lines
        self._manifest = self._find_manifest()
        self.about = self._read_about()

    def members(self) -> Iterator[tuple[Member, str]]:
        """Each file but the manifest, with the checksum that the manifest gives it."""
        listed = self._listed()
        for member in _members(self._file):
            if member.name == MANIFEST:
                break
            line = next(listed, None)
            if line is None or (line.get("name"), line.get("size")) != (member.name, member.size):
                raise Damaged(
                    f"The archive is damaged: {member.name!r} is not as its manifest says."
                )
            if member.name != DATABASE and not _is_picture(member.name):
                raise Damaged(f"The archive is no backup of SEIDRA: it holds {member.name!r}.")
            yield member, str(line.get("sha256"))
        if next(listed, None) is not None:
            raise Damaged("The archive is damaged: a file is missing that its manifest lists.")

    def read(
        self, member: Member, checksum: str, write: Callable[[bytes], object], progress: Progress
    ) -> None:
        """Hand a member's bytes to `write`; afterwards, raise Damaged when they are not those of
        the manifest."""
        digest, left = hashlib.sha256(), member.size
        self._file.seek(member.offset)
        while left:
            chunk = self._file.read(min(CHUNK, left))
            if not chunk:
                raise Damaged("The archive is truncated.")
            digest.update(chunk)
            write(chunk)
            left -= len(chunk)
            progress(len(chunk))
        if digest.hexdigest() != checksum:
            raise Damaged(
                f"The archive is damaged: {member.name!r} has not the bytes that its manifest says."
            )

    def _find_manifest(self) -> Member:
        """The last member; the archive must end behind it."""
        last = None
        for last in _members(self._file):  # noqa: B007 (the last one is wanted)
            pass
        if last is None or last.name != MANIFEST:
            raise Damaged("The archive is no backup of SEIDRA: its last file is no manifest.")
        return last

    def _read_about(self) -> dict[str, Any]:
        self._lines.seek(self._manifest.offset)
        about = _parse(self._lines.readline(_LONGEST_LINE))
        if about.get("format") not in READABLE:
            raise Damaged(
                f"The archive has the format {about.get('format')!r}; this version of SEIDRA reads"
                f" {' and '.join(map(str, READABLE))}."
            )
        database = about.get("database")
        if not (
            isinstance(database, dict)
            and isinstance(database.get("size"), int)
            and isinstance(about.get("bytes"), int)
            and isinstance(about.get("migrations"), list)
        ):
            raise Damaged("The archive is damaged: its manifest cannot be read.")
        return about

    def _listed(self) -> Iterator[dict[str, Any]]:
        """The lines about files; the manifest's own checksum is verified behind the last one."""
        self._lines.seek(self._manifest.offset)
        end = self._manifest.offset + self._manifest.size
        digest, line = hashlib.sha256(), self._lines.readline(_LONGEST_LINE)
        while True:
            digest.update(line)
            line = self._lines.readline(min(_LONGEST_LINE, max(end - self._lines.tell(), 0)))
            found = _parse(line)
            if "name" not in found:
                if self._lines.tell() != end or found.get("sha256") != digest.hexdigest():
                    raise Damaged(
                        "The archive is damaged: its manifest has not the bytes that it had."
                    )
                return
            yield found


def _is_picture(name: str) -> bool:
    return name.startswith(MEDIA) and is_picture_key(name.removeprefix(MEDIA))


def _parse(line: bytes) -> dict[str, Any]:
    try:
        found = from_json(line.decode())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Damaged("The archive is damaged: its manifest cannot be read.")
    return found


def _members(file: BinaryIO) -> Iterator[Member]:
    """Every member of a tar of regular files; stands behind its last block at the end."""
    end = file.seek(0, 2)
    position = file.seek(0)
    while True:
        block = file.read(_BLOCK)
        if len(block) < _BLOCK:
            raise Damaged("The archive is truncated." if position else "The file is no archive.")
        if not any(block):
            break
        try:
            info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
        except (tarfile.HeaderError, ValueError):
            text = (
                "The archive is damaged: a header in it cannot be read."
                if position
                else "The file is no archive."
            )
            raise Damaged(text) from None
        if info.type != tarfile.REGTYPE or info.size < 0:
            raise Damaged(f"The archive is no backup of SEIDRA: {info.name!r} is no plain file.")
        offset = position + _BLOCK
        position = offset + info.size + -info.size % _BLOCK
        if position > end:
            raise Damaged("The archive is truncated.")
        yield Member(info.name, info.size, offset)
        file.seek(position)
    if file.read(_BLOCK) != bytes(_BLOCK) or file.read(1):
        raise Damaged("The archive is damaged: it does not end where it should.")

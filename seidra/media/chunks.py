"""The parts that the files of pictures are made of: chunks of PNG and WebP, segments of JPEG.

Each walk raises OSError, IndexError or struct.error for what is no whole picture of its type;
`whole` makes OSError of all three. What lies behind a picture's end is no part of it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

PNG = b"\x89PNG\r\n\x1a\n"
JPEG_START, JPEG_END, JPEG_SCAN = 0xD8, 0xD9, 0xDA
_JPEG = bytes([0xFF, JPEG_START])
EXIF = b"Exif\x00\x00"
"""What EXIF begins with in a JPEG, and in some WebPs."""

_FILLED = re.compile(rb"\xff*")
"""A marker may begin with any number of these bytes."""

_NEXT_MARKER = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")
"""What ends the data of a scan: no stuffed byte, and no restart."""


class Chunk(NamedTuple):
    """A part of a PNG or WebP: its kind, its body, and from where to where all of it stands in the
    file."""

    kind: bytes
    body: bytes
    start: int
    end: int


@contextmanager
def whole() -> Iterator[None]:
    """Let what breaks off raise OSError."""
    try:
        yield
    except (IndexError, struct.error):
        raise OSError("The picture is not whole.") from None


def type_of(data: bytes) -> str | None:
    """The MIME type that a picture's file begins as: PNG, JPEG or WebP; None for anything else."""
    if data.startswith(PNG):
        return "image/png"
    if data.startswith(_JPEG):
        return "image/jpeg"
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def png_chunks(data: bytes) -> Iterator[Chunk]:
    """The chunks of a PNG, IEND as the last."""
    if not data.startswith(PNG):
        raise OSError("The picture is no PNG.")
    at, kind = len(PNG), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + length + 12
        if end > len(data):
            raise OSError("The picture is not whole.")
        yield Chunk(kind, data[at + 8 : end - 4], at, end)
        at = end


def jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The segments of a JPEG after its start, each whole and by its marker, a scan with its
    data."""
    if not data.startswith(_JPEG):
        raise OSError("The picture is no JPEG.")
    at = 2
    while True:
        if data[at] != 0xFF:
            raise OSError("The picture is damaged.")
        filled = _FILLED.match(data, at)
        at = filled.end() - 1 if filled else at
        marker = data[at + 1]
        if marker == JPEG_END:
            return
        (length,) = struct.unpack_from(">H", data, at + 2)
        end = at + 2 + length
        if length < 2 or end > len(data):
            raise OSError("The picture is not whole.")
        if marker == JPEG_SCAN:
            following = _NEXT_MARKER.search(data, end)
            if following is None:
                raise OSError("The picture is not whole.")
            end = following.start()
        yield marker, data[at:end]
        at = end


def webp_chunks(data: bytes) -> Iterator[Chunk]:
    """The chunks of a WebP."""
    riff, size, webp = struct.unpack_from("<4sI4s", data)
    if (riff, webp) != (b"RIFF", b"WEBP") or size + 8 > len(data):
        raise OSError("The picture is no whole WebP.")
    at = 12
    while at < size + 8:
        kind, length = struct.unpack_from("<4sI", data, at)
        body = data[at + 8 : at + 8 + length]
        if len(body) < length:
            raise OSError("The picture is not whole.")
        end = at + 8 + length + length % 2
        yield Chunk(kind, body, at, end)
        at = end

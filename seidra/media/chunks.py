"""The parts that the files of pictures are made of: chunks of PNG and WebP, segments of JPEG.

Each walk raises OSError, IndexError or struct.error for what is no whole picture of its type;
`whole` makes OSError of all three. What lies behind a picture's end is no part of it. Of a view of
the file (memoryview) all parts are views: nothing is copied.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, NamedTuple, TypeVar

PNG = b"\x89PNG\r\n\x1a\n"
JPEG_START, JPEG_END, JPEG_SCAN = 0xD8, 0xD9, 0xDA
_JPEG = bytes([0xFF, JPEG_START])
EXIF = b"Exif\x00\x00"
"""What EXIF begins with in a JPEG, and in some WebPs."""

JFIF_SEGMENT, EXIF_SEGMENT = 0xE0, 0xE1
WEBP_EXIF = 0x08
"""The flag of an extended WebP that has EXIF."""

_FILLED = re.compile(rb"\xff*")
"""A marker may begin with any number of these bytes."""

_NEXT_MARKER = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")
"""What ends the data of a scan: no stuffed byte, and no restart."""


Data = TypeVar("Data", bytes, memoryview)


class Chunk(NamedTuple, Generic[Data]):
    """A part of a PNG or WebP: its kind, its body, and from where to where all of it stands in the
    file."""

    kind: bytes
    body: Data
    start: int
    end: int


class Segment(NamedTuple, Generic[Data]):
    """A part of a JPEG: its marker, all of it, and where it ends in the file."""

    marker: int
    whole: Data
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


def png_chunks(data: Data) -> Iterator[Chunk[Data]]:
    """The chunks of a PNG, IEND as the last."""
    if data[: len(PNG)] != PNG:
        raise OSError("The picture is no PNG.")
    at, kind = len(PNG), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + length + 12
        if end > len(data):
            raise OSError("The picture is not whole.")
        yield Chunk(kind, data[at + 8 : end - 4], at, end)
        at = end


def jpeg_segments(data: Data) -> Iterator[Segment[Data]]:
    """The segments of a JPEG after its start, a scan with its data."""
    if data[: len(_JPEG)] != _JPEG:
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
        yield Segment(marker, data[at:end], end)
        at = end


def webp_chunks(data: Data) -> Iterator[Chunk[Data]]:
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


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG as it is written."""
    checked = kind + body
    return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))


def exif_segment(exif: bytes) -> bytes:
    """The segment of a JPEG that holds EXIF. Raises struct.error for more than it has room for."""
    body = EXIF + exif
    return struct.pack(">BBH", 0xFF, EXIF_SEGMENT, len(body) + 2) + body


def webp_chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a WebP as it is written."""
    return struct.pack("<4sI", kind, len(body)) + body + b"\x00" * (len(body) % 2)

"""How a picture was made, written into its file where other tools read it: the text `parameters` of
a PNG, the comment of a user in the EXIF of a JPEG or WebP.

The file comes back in pieces, most of which are its own bytes: a picture of 20 MB is held once.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from seidra.media.chunks import (
    EXIF,
    EXIF_SEGMENT,
    JFIF_SEGMENT,
    WEBP_EXIF,
    exif_segment,
    jpeg_segments,
    png_chunk,
    png_chunks,
    webp_chunk,
    webp_chunks,
    whole,
)

Piece = bytes | memoryview

_KEYWORD = b"parameters\0"
_TEXTS = frozenset([b"tEXt", b"zTXt", b"iTXt"])
_EXIF_POINTER, _USER_COMMENT = 0x8769, 0x9286
_WEBP_ALPHA = 0x10


def inscribe(data: bytes, mime_type: str, text: str) -> list[Piece]:
    """The pieces of the same picture with this text in it. As it is where it tells something
    already, where its form has no room for so much, and where it is no whole picture."""
    write = _KINDS.get(mime_type)
    try:
        with whole():
            pieces = write and write(memoryview(data), text)
    except OSError:
        pieces = None
    return pieces or [data]


def _in_png(data: memoryview, text: str) -> list[Piece] | None:
    """In a chunk behind the header; PNG, third edition, 11.3.3."""
    chunks = png_chunks(data)
    header = next(chunks)
    if any(c.kind in _TEXTS and c.body[: len(_KEYWORD)] == _KEYWORD for c in chunks):
        return None
    try:
        chunk = png_chunk(b"tEXt", _KEYWORD + text.encode("latin-1"))
    except UnicodeEncodeError:
        chunk = png_chunk(b"iTXt", _KEYWORD + b"\0\0\0\0" + text.encode("utf-8", "replace"))
    return _with(data, header.end, chunk)


def _in_jpeg(data: memoryview, text: str) -> list[Piece] | None:
    """In a segment behind that of JFIF, which is the first where there is one."""
    behind = 2
    for marker, segment, end in jpeg_segments(data):
        if marker == EXIF_SEGMENT and segment[4 : 4 + len(EXIF)] == EXIF:
            return None
        if marker == JFIF_SEGMENT and behind == 2:
            behind = end
    return _with(data, behind, exif_segment(_exif(text)))


def _in_webp(data: memoryview, text: str) -> list[Piece] | None:
    """In a chunk at the end, which the header of an extended file announces; RFC 9649, 2.7."""
    chunks = webp_chunks(data)
    first = next(chunks, None)
    if first is None:
        return None
    last = first
    for last in chunks:
        if last.kind == b"EXIF":
            return None
    if first.kind == b"VP8X":
        extended, rest = bytes([first.body[0] | WEBP_EXIF]) + first.body[1:], first.end
    else:
        extended, rest = _extended(first.kind, first.body), first.start
    header, exif = webp_chunk(b"VP8X", extended), webp_chunk(b"EXIF", _exif(text))
    view = data[rest : last.end]
    size = 4 + len(header) + len(view) + len(exif)
    return [struct.pack("<4sI4s", b"RIFF", size, b"WEBP") + header, view, exif]


def _extended(kind: bytes, body: memoryview) -> bytes:
    """What an extended file's header says of a simple one: its size stands in the picture."""
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", body, 1)
        width, height, alpha = bits & 0x3FFF, bits >> 14 & 0x3FFF, bits >> 28 & 1
    else:
        width, height = (side - 1 & 0x3FFF for side in struct.unpack_from("<HH", body, 6))
        alpha = 0
    flags = WEBP_EXIF | (_WEBP_ALPHA if alpha else 0)
    # Its sides are written with three bytes each.
    return struct.pack("<I", flags) + struct.pack("<II", width | height << 24, height >> 8)[:6]


def _exif(text: str) -> bytes:
    """EXIF with a comment of the user and nothing else; Exif 2.32, 4.6.5."""
    if text.isascii():
        comment = b"ASCII\0\0\0" + text.encode()
    else:
        comment = b"UNICODE\0" + text.encode("utf-16-be", "replace")
    one, pointer, told = 1, 26, 44
    directory = (one, _EXIF_POINTER, 4, 1, pointer, 0)
    inner = (one, _USER_COMMENT, 7, len(comment), told, 0)
    return struct.pack(">4sIHHHIIIHHHIII", b"MM\0*", 8, *directory, *inner) + comment


def _with(data: memoryview, at: int, piece: bytes) -> list[Piece]:
    return [data[:at], piece, data[at:]]


_KINDS: dict[str, Callable[[memoryview, str], list[Piece] | None]] = {
    "image/png": _in_png,
    "image/jpeg": _in_jpeg,
    "image/webp": _in_webp,
}

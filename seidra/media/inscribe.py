"""How a picture was made, written into its file where other tools read it: the text `parameters` of
a PNG, the comment of a user in the EXIF of a JPEG or WebP.

The file comes back in pieces, most of which are its own bytes: a picture of 20 MB is held once.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

from seidra.media.chunks import EXIF, JPEG_SCAN, PNG

Piece = bytes | memoryview

_KEYWORD = b"parameters"
_TEXTS = frozenset([b"tEXt", b"zTXt", b"iTXt"])
_EXIF_SEGMENT, _JFIF_SEGMENT = 0xE1, 0xE0
_EXIF_POINTER, _USER_COMMENT = 0x8769, 0x9286
_WEBP_EXIF, _WEBP_ALPHA = 0x08, 0x10


def inscribe(data: bytes, mime_type: str, text: str) -> list[Piece]:
    """The pieces of the same picture with this text in it. As it is where it tells something
    already, where its form has no room for so much, and where it is no whole picture."""
    write = _KINDS.get(mime_type)
    try:
        return [data] if write is None else write(data, text)
    except (IndexError, struct.error):
        return [data]


def _in_png(data: bytes, text: str) -> list[Piece]:
    """In a chunk behind the header; PNG, third edition, 11.3.3."""
    at, header, kind = len(PNG), 0, b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind in _TEXTS and data.startswith(_KEYWORD + b"\0", at + 8):
            return [data]
        at += length + 12
        header = header or at
    try:
        chunk = b"tEXt" + _KEYWORD + b"\0" + text.encode("latin-1")
    except UnicodeEncodeError:
        chunk = b"iTXt" + _KEYWORD + b"\0\0\0\0\0" + text.encode("utf-8", "replace")
    checksum = zlib.crc32(chunk)
    chunk = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", checksum)
    return _with(data, header, chunk)


def _in_jpeg(data: bytes, text: str) -> list[Piece]:
    """In a segment behind that of JFIF, which is the first where there is one."""
    at, behind, marker = 2, 2, 0
    while marker != JPEG_SCAN:
        if data[at] != 0xFF:
            return [data]
        marker = data[at + 1]
        (length,) = struct.unpack_from(">H", data, at + 2)
        if marker == _EXIF_SEGMENT and data.startswith(EXIF, at + 4):
            return [data]
        at += length + 2
        if marker == _JFIF_SEGMENT and behind == 2:
            behind = at
    body = EXIF + _exif(text)
    if len(body) + 2 > 0xFFFF:
        return [data]
    return _with(data, behind, struct.pack(">BBH", 0xFF, _EXIF_SEGMENT, len(body) + 2) + body)


def _in_webp(data: bytes, text: str) -> list[Piece]:
    """In a chunk at the end, which the header of an extended file announces; RFC 9649, 2.7."""
    (size,) = struct.unpack_from("<4xI", data)
    end = size + 8
    first = bytes(data[12:16])
    at = 12
    while at < end:
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind == b"EXIF":
            return [data]
        at += 8 + length + length % 2
    exif = _exif(text)
    chunk = struct.pack("<4sI", b"EXIF", len(exif)) + exif + b"\0" * (len(exif) % 2)
    if first == b"VP8X":
        extended, rest = bytes([data[20] | _WEBP_EXIF]) + data[21:30], 30
    else:
        extended, rest = _extended(data, first), 12
    header = struct.pack("<4sI", b"VP8X", len(extended)) + extended
    view = memoryview(data)[rest:end]
    whole = struct.pack("<4sI4s", b"RIFF", 4 + len(header) + len(view) + len(chunk), b"WEBP")
    return [whole + header, view, chunk]


def _extended(data: bytes, kind: bytes) -> bytes:
    """What an extended file's header says of a simple one: its size stands in the picture."""
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height, alpha = bits & 0x3FFF, bits >> 14 & 0x3FFF, bits >> 28 & 1
    else:
        width, height = (side - 1 & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
        alpha = 0
    flags = _WEBP_EXIF | (_WEBP_ALPHA if alpha else 0)
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


def _with(data: bytes, at: int, piece: bytes) -> list[Piece]:
    view = memoryview(data)
    return [view[:at], piece, view[at:]]


_KINDS: dict[str, Callable[[bytes, str], list[Piece]]] = {
    "image/png": _in_png,
    "image/jpeg": _in_jpeg,
    "image/webp": _in_webp,
}

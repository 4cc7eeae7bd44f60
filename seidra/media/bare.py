"""A picture's file without what was written beside the picture: prompt, parameters, EXIF, XMP.

What the picture is made of is copied byte for byte, so that no pixel changes; what a file holds
besides is left out, known or not. Of EXIF the orientation stays, for the picture would lie on its
side without it.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNKS = frozenset(
    b"IHDR PLTE IDAT IEND acTL fcTL fdAT".split()
    # How colours and size are meant.
    + b"tRNS gAMA cHRM sRGB iCCP cICP mDCV cLLI sBIT bKGD pHYs".split()
)
_WEBP_CHUNKS = frozenset([b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"])

_APPLICATION = {0xE0: b"JFIF\x00", 0xE2: b"ICC_PROFILE\x00", 0xEE: b"Adobe"}
"""The segments of applications that say how a JPEG's colours and size are meant, by marker."""
_JPEG_MARKERS = frozenset([*range(0xC0, 0xD0), 0xDA, 0xDB, 0xDC, 0xDD]) - {0xC8}
_START, _END, _SCAN, _EXIF_SEGMENT = 0xD8, 0xD9, 0xDA, 0xE1
_NEXT_MARKER = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")
"""What ends the data of a scan: no stuffed byte, and no restart."""

_EXIF = b"Exif\x00\x00"
_ORIENTATION = 0x0112
_WEBP_EXIF, _WEBP_XMP = 0x08, 0x04


def bare_picture(data: bytes, mime_type: str) -> bytes:
    """The same picture and nothing else. Raises OSError for what is no whole picture of the
    type."""
    bare = _KINDS.get(mime_type)
    if bare is None:
        raise OSError(f"Of {mime_type} nothing can be left out.")
    try:
        return bare(data)
    except (IndexError, struct.error):
        raise OSError("The picture is not whole.") from None


def _bare_png(data: bytes) -> bytes:
    if not data.startswith(_PNG):
        raise OSError("The picture is no PNG.")
    kept, orientation, at, kind = [_PNG], 1, len(_PNG), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        chunk = data[at : at + length + 12]
        if len(chunk) < length + 12:
            raise OSError("The picture is not whole.")
        if kind == b"eXIf":
            orientation = _orientation(chunk[8:-4])
        elif kind in _PNG_CHUNKS:
            kept.append(chunk)
        at += length + 12
    if orientation != 1:
        body = b"eXIf" + _exif_of(orientation)
        # After IHDR, and so before the picture.
        kept.insert(
            2, struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        )
    return b"".join(kept)


def _bare_jpeg(data: bytes) -> bytes:
    if data[:2] != bytes([0xFF, _START]):
        raise OSError("The picture is no JPEG.")
    kept, orientation = [data[:2]], 1
    for marker, segment in _jpeg_segments(data):
        if marker == _EXIF_SEGMENT and segment[4:].startswith(_EXIF):
            orientation = _orientation(segment[4 + len(_EXIF) :])
        elif marker in _JPEG_MARKERS or (
            marker in _APPLICATION and segment[4:].startswith(_APPLICATION[marker])
        ):
            kept.append(segment)
    if orientation != 1:
        body = _EXIF + _exif_of(orientation)
        segment = struct.pack(">BBH", 0xFF, _EXIF_SEGMENT, len(body) + 2) + body
        # JFIF's own segment is the first where there is one.
        kept.insert(2 if kept[1][1] == 0xE0 else 1, segment)
    return b"".join([*kept, bytes([0xFF, _END])])


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The segments of a JPEG after its start, each whole and by its marker, a scan with its data;
    what lies behind the end of the picture is none."""
    at = 2
    while True:
        if data[at] != 0xFF:
            raise OSError("The picture is damaged.")
        while data[at + 1] == 0xFF:
            at += 1
        marker = data[at + 1]
        if marker == _END:
            return
        (length,) = struct.unpack_from(">H", data, at + 2)
        end = at + 2 + length
        if length < 2 or end > len(data):
            raise OSError("The picture is not whole.")
        if marker == _SCAN:
            following = _NEXT_MARKER.search(data, end)
            if following is None:
                raise OSError("The picture is not whole.")
            end = following.start()
        yield marker, data[at:end]
        at = end


def _bare_webp(data: bytes) -> bytes:
    riff, size, webp = struct.unpack_from("<4sI4s", data)
    if (riff, webp) != (b"RIFF", b"WEBP") or size + 8 > len(data):
        raise OSError("The picture is no whole WebP.")
    kept: list[tuple[bytes, bytes]] = []
    orientation, at = 1, 12
    while at < size + 8:
        kind, length = struct.unpack_from("<4sI", data, at)
        body = data[at + 8 : at + 8 + length]
        if len(body) < length:
            raise OSError("The picture is not whole.")
        if kind == b"EXIF":
            orientation = _orientation(body.removeprefix(_EXIF))
        elif kind in _WEBP_CHUNKS:
            kept.append((kind, body))
        at += 8 + length + length % 2
    if not kept:
        raise OSError("The picture is damaged.")
    if kept[0][0] == b"VP8X":
        flags = kept[0][1][0] & ~(_WEBP_EXIF | _WEBP_XMP)
        if orientation != 1:
            flags |= _WEBP_EXIF
            kept.append((b"EXIF", _exif_of(orientation)))
        kept[0] = (b"VP8X", bytes([flags]) + kept[0][1][1:])
    chunks = b"".join(
        struct.pack("<4sI", kind, len(body)) + body + b"\x00" * (len(body) % 2)
        for kind, body in kept
    )
    return struct.pack("<4sI4s", b"RIFF", len(chunks) + 4, b"WEBP") + chunks


def _orientation(exif: bytes) -> int:
    """How a picture is to be turned, by its EXIF; 1, not at all, where that does not say it."""
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(exif[:4])
    if order is None:
        return 1
    try:
        (table,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, table)
        for n in range(count):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", exif, table + 2 + 12 * n)
            if tag == _ORIENTATION:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def _exif_of(orientation: int) -> bytes:
    """EXIF that says the orientation and nothing else."""
    return struct.pack(">4sIHHHIHHI", b"MM\x00*", 8, 1, _ORIENTATION, 3, 1, orientation, 0, 0)


_KINDS: dict[str, Callable[[bytes], bytes]] = {
    "image/png": _bare_png,
    "image/jpeg": _bare_jpeg,
    "image/webp": _bare_webp,
}

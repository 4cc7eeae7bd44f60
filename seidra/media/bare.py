"""A picture's file without what was written beside the picture: prompt, parameters, EXIF, XMP.

What the picture is made of is copied byte for byte, so that no pixel changes; what a file holds
besides is left out, known or not. Of EXIF the orientation stays, for the picture would lie on its
side without it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from seidra.media.chunks import (
    EXIF,
    EXIF_SEGMENT,
    JFIF_SEGMENT,
    JPEG_END,
    JPEG_SCAN,
    PNG,
    WEBP_EXIF,
    exif_segment,
    jpeg_segments,
    png_chunk,
    png_chunks,
    webp_chunk,
    webp_chunks,
    whole,
)

_PNG_CHUNKS = frozenset(
    b"IHDR PLTE IDAT IEND acTL fcTL fdAT".split()
    # How colours and size are meant.
    + b"tRNS gAMA cHRM sRGB iCCP cICP mDCV cLLI sBIT bKGD pHYs".split()
)
_WEBP_CHUNKS = frozenset([b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"])

_APPLICATION = {JFIF_SEGMENT: b"JFIF\x00", 0xE2: b"ICC_PROFILE\x00", 0xEE: b"Adobe"}
"""The segments of applications that say how a JPEG's colours and size are meant, by marker."""
_JPEG_MARKERS = frozenset([*range(0xC0, 0xD0), JPEG_SCAN, 0xDB, 0xDC, 0xDD]) - {0xC8}
_ORIENTATION = 0x0112
_WEBP_XMP = 0x04


def bare_picture(data: bytes, mime_type: str) -> bytes:
    """The same picture and nothing else. Raises OSError for what is no whole picture of the
    type."""
    bare = _KINDS.get(mime_type)
    if bare is None:
        raise OSError(f"Of {mime_type} nothing can be left out.")
    with whole():
        return bare(data)


def _bare_png(data: bytes) -> bytes:
    kept, orientation = [PNG], 1
    for chunk in png_chunks(data):
        if chunk.kind == b"eXIf":
            orientation = _orientation(chunk.body)
        elif chunk.kind in _PNG_CHUNKS:
            kept.append(data[chunk.start : chunk.end])
    if orientation != 1:
        # After IHDR, and so before the picture.
        kept.insert(2, png_chunk(b"eXIf", _exif_of(orientation)))
    return b"".join(kept)


def _bare_jpeg(data: bytes) -> bytes:
    kept, orientation = [data[:2]], 1
    for marker, segment, _ in jpeg_segments(data):
        if marker == EXIF_SEGMENT and segment[4:].startswith(EXIF):
            orientation = _orientation(segment[4 + len(EXIF) :])
        elif marker in _JPEG_MARKERS or (
            marker in _APPLICATION and segment[4:].startswith(_APPLICATION[marker])
        ):
            kept.append(segment)
    if orientation != 1:
        # JFIF's own segment is the first where there is one.
        kept.insert(2 if kept[1][1] == JFIF_SEGMENT else 1, exif_segment(_exif_of(orientation)))
    return b"".join([*kept, bytes([0xFF, JPEG_END])])


def _bare_webp(data: bytes) -> bytes:
    kept: list[tuple[bytes, bytes]] = []
    orientation = 1
    for kind, body, _, _ in webp_chunks(data):
        if kind == b"EXIF":
            orientation = _orientation(body.removeprefix(EXIF))
        elif kind in _WEBP_CHUNKS:
            kept.append((kind, body))
    if not kept:
        raise OSError("The picture is damaged.")
    if kept[0][0] == b"VP8X":
        flags = kept[0][1][0] & ~(WEBP_EXIF | _WEBP_XMP)
        if orientation != 1:
            flags |= WEBP_EXIF
            kept.append((b"EXIF", _exif_of(orientation)))
        kept[0] = (b"VP8X", bytes([flags]) + kept[0][1][1:])
    chunks = b"".join(webp_chunk(kind, body) for kind, body in kept)
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

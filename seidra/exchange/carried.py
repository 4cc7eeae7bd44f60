"""What the file of a picture carries beside the picture: texts of PNG, EXIF, XMP, comments, and
what is hidden in its last bits. Only where it stands and how it is encoded; what it says is the
matter of `pictures` and `cards`.

Each text is read up to `MAX_TEXT` bytes, however small it is packed; a larger one is left and told.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass, field

from PIL import Image

from seidra.errors import Unavailable
from seidra.exchange.documents import broken
from seidra.exchange.found import Remark
from seidra.media.chunks import EXIF, jpeg_segments, png_chunks, type_of, webp_chunks, whole
from seidra.media.thumbnails import MAX_PIXELS, TooBusy, decoder_turn

MAX_TEXT = 2 * 1024 * 1024
"""Bytes of one text, unpacked."""

_MAX_TEXTS = 8 * 1024 * 1024
"""Bytes of all texts of a picture."""

_MAX_UNPACKED = 32 * 1024 * 1024
"""Bytes that are unpacked of all texts of a picture, also of those that are too long."""

_MAX_EXIFS = 8
_MAX_PARTS = 100_000
"""Chunks of a file that are looked at."""

_XMP_KEY = "XML:com.adobe.xmp"
_XMP_SEGMENT = b"http://ns.adobe.com/xap/1.0/\x00"
_COMMENT, _APP1, _APP11 = 0xFE, 0xE1, 0xEB
_EXIF_IFD, USER_COMMENT, MAKER_NOTE = 0x8769, 0x9286, 0x927C
_WORDS = ("Steps: ", '"prompt"', "Negative prompt:", "sui_image_params")
_UNICODE, _ASCII, _UNKNOWN = b"UNICODE\0", b"ASCII\0\0\0", b"\0" * 8

_HIDDEN = {
    b"stealth_pnginfo": ("A", False),
    b"stealth_pngcomp": ("A", True),
    b"stealth_rgbinfo": ("RGB", False),
    b"stealth_rgbcomp": ("RGB", True),
}
_SIGNATURE_BITS = 15 * 8


@dataclass(slots=True)
class Carried:
    """The texts of a picture. `texts` by keyword, of two with one keyword the first; `exif` by tag,
    decoded; `comments` of a JPEG; `signed` by a manifest of C2PA."""

    mime_type: str
    texts: dict[str, str] = field(default_factory=dict)
    exif: dict[int, str] = field(default_factory=dict)
    comments: list[str] = field(default_factory=list)
    xmp: str = ""
    signed: bool = False
    behind: int = 0
    """Bytes behind the end of the picture: another file may be hidden there."""
    remarks: list[Remark] = field(default_factory=list)
    _bytes: int = 0
    _unpacked: int = 0
    exifs: int = 0

    def text(self, keyword: str) -> str:
        """The text under a keyword, compared without case; "" for none."""
        wanted = keyword.lower()
        return next((text for key, text in self.texts.items() if key.lower() == wanted), "")

    def room_for(self, size: int, place: str) -> bool:
        """Whether a text of so many bytes is read; one that is not is told."""
        self._bytes += size
        if size <= MAX_TEXT and self._bytes <= _MAX_TEXTS:
            return True
        self.left(place)
        return False

    def unpack(self, packed: bytes, wbits: int = zlib.MAX_WBITS) -> bytes | None:
        """Packed bytes, "" for broken ones; None for more than may be, of them or of all."""
        if self._unpacked > _MAX_UNPACKED:
            return None
        raw = _unpack(packed, wbits)
        self._unpacked += MAX_TEXT if raw is None else len(raw)
        return raw

    def left(self, place: str) -> None:
        """Tell of a text that was not read."""
        detail = f"The text {place[:80]!r} has more than {MAX_TEXT:,} bytes, and was not read."
        remark = Remark("text_too_long", detail)
        if remark not in self.remarks and len(self.remarks) < 20:
            self.remarks.append(remark)


def read_carried(data: bytes) -> Carried:
    """What a PNG, JPEG or WebP carries. Raises Invalid for anything else, and for half of one."""
    mime_type = type_of(data)
    if mime_type is None:
        raise broken("Must be a picture: PNG, JPEG or WebP.", "not_a_picture")
    carried = Carried(mime_type)
    try:
        with whole():
            _READERS[mime_type](data, carried)
    except OSError as error:
        raise broken(f"Is no whole picture: {error}", "broken_picture") from None
    if carried.signed:
        detail = "The picture is signed (C2PA); a copy with other texts in it is not, any more."
        carried.remarks.append(Remark("c2pa_present", detail))
    if carried.behind:
        detail = f"{carried.behind:,} bytes stand behind the end of the picture; nobody reads them."
        carried.remarks.append(Remark("trailing_data", detail))
    return carried


# ------------------------------------------------------------------------------------- containers


def _read_png(data: bytes, carried: Carried) -> None:
    end = 0
    for number, chunk in enumerate(png_chunks(data)):
        if number > _MAX_PARTS:
            raise OSError("It has too many parts.")
        kind, body, end = chunk.kind, chunk.body, chunk.end
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            _read_text_chunk(kind, body, carried)
        elif kind == b"eXIf":
            _read_exif(body, carried)
        elif kind == b"caBX":
            carried.signed = True
    carried.behind = len(data) - end
    carried.xmp = carried.texts.pop(_XMP_KEY, "")


def _read_text_chunk(kind: bytes, body: bytes, carried: Carried) -> None:
    """PNG, third edition, 11.3.3: tEXt, zTXt and iTXt."""
    key, _, rest = body.partition(b"\0")
    keyword = key.decode("latin-1")
    packed = kind == b"zTXt"
    if kind == b"iTXt":
        packed, rest = rest[:1] == b"\1", rest[2:]
        # A language, and the keyword translated.
        rest = rest.split(b"\0", 2)[-1] if rest.count(b"\0") >= 2 else b""
    elif packed:
        rest = rest[1:]
    raw = carried.unpack(rest) if packed else rest
    if raw is None or not carried.room_for(len(raw), keyword):
        carried.left(keyword)
        return
    if keyword not in carried.texts:
        carried.texts[keyword] = _text(raw)


def _unpack(data: bytes, wbits: int = zlib.MAX_WBITS) -> bytes | None:
    """Packed bytes; None for more than may be, and for what is broken."""
    unpacking = zlib.decompressobj(wbits)
    try:
        raw = unpacking.decompress(data, MAX_TEXT + 1)
    except zlib.error:
        return b""
    return raw if len(raw) <= MAX_TEXT else None


def _text(raw: bytes) -> str:
    """Programs write UTF-8 where Latin-1 is meant to be."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _read_jpeg(data: bytes, carried: Carried) -> None:
    for number, (marker, segment, _) in enumerate(jpeg_segments(data)):
        if number > _MAX_PARTS:
            raise OSError("It has too many parts.")
        body = segment[4:]
        if marker == _COMMENT and carried.room_for(len(body), "comment"):
            carried.comments.append(_text(body.rstrip(b"\0")))
        elif marker == _APP1 and body.startswith(EXIF):
            _read_exif(body[len(EXIF) :], carried)
        elif marker == _APP1 and body.startswith(_XMP_SEGMENT):
            carried.xmp = carried.xmp or _text(body[len(_XMP_SEGMENT) :])
        elif marker == _APP11 and b"c2pa" in body[:200]:
            carried.signed = True
    # Phones put more pictures behind the first one; fill bytes make this one longer.
    carried.behind = max(len(data) - data.rfind(b"\xff\xd9") - 2, 0)


def _read_webp(data: bytes, carried: Carried) -> None:
    end = 0
    for number, chunk in enumerate(webp_chunks(data)):
        if number > _MAX_PARTS:
            raise OSError("It has too many parts.")
        kind, body, end = chunk.kind, chunk.body, chunk.end
        if kind == b"EXIF":
            _read_exif(body.removeprefix(EXIF), carried)
        elif kind == b"XMP " and carried.room_for(len(body), "XMP"):
            carried.xmp = _text(body)
        elif kind == b"C2PA":
            carried.signed = True
    carried.behind = max(len(data) - end, 0)


_READERS = {"image/png": _read_png, "image/jpeg": _read_jpeg, "image/webp": _read_webp}


# ------------------------------------------------------------------------------------------- EXIF


def _read_exif(exif: bytes, carried: Carried) -> None:
    """The texts of the first directory and of the Exif one. What is broken in it is left, and so
    is all beyond a few EXIFs."""
    carried.exifs += 1
    if carried.exifs > _MAX_EXIFS:
        return
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(exif[:4])
    if order is None:
        return
    try:
        (first,) = struct.unpack_from(f"{order}I", exif, 4)
        pointer = _read_directory(exif, first, order, carried)
        if pointer:
            _read_directory(exif, pointer, order, carried)
    except struct.error:
        return


def _read_directory(exif: bytes, at: int, order: str, carried: Carried) -> int:
    """The texts of a directory; returns where the Exif directory is, or 0."""
    (count,) = struct.unpack_from(f"{order}H", exif, at)
    pointer = 0
    for n in range(min(count, 500)):
        place = at + 2 + 12 * n
        tag, kind, length, value = struct.unpack_from(f"{order}HHII", exif, place)
        if tag == _EXIF_IFD:
            pointer = value
        elif kind in (1, 2, 7):
            # Bytes, ASCII and undefined: one byte each; up to four stand in the entry itself.
            start = place + 8 if length <= 4 else value
            size = min(length, max(len(exif) - start, 0))
            if tag not in carried.exif and carried.room_for(size, f"EXIF {tag:#06x}"):
                body = exif[start : start + size]
                carried.exif[tag] = _comment(body) if tag == USER_COMMENT else _exif_text(body)
    return pointer


def _exif_text(body: bytes) -> str:
    return _text(body.rstrip(b"\0"))


def _comment(body: bytes) -> str:
    """A UserComment (Exif 2.32, 4.6.5): behind a code of eight bytes, which Fooocus leaves out."""
    code, text = body[:8], body[8:]
    if code == _UNICODE:
        return _utf16(text)
    if code in (_ASCII, _UNKNOWN):
        return _exif_text(text)
    return _exif_text(body)


def _utf16(text: bytes) -> str:
    """UTF-16 in the order that it makes sense in: writers have either, whatever the file says; and
    some have UTF-8."""
    if b"\0" not in text[:200] and text.isascii():
        return _exif_text(text)
    if text[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return text.decode("utf-16", "replace").rstrip("\0")
    read = [text.decode(codec, "replace").rstrip("\0") for codec in ("utf-16-be", "utf-16-le")]

    def sense(read: str) -> tuple[int, int]:
        return sum(word in read for word in _WORDS), sum(c.isascii() for c in read[:5_000])

    return max(read, key=sense)


# ------------------------------------------------------------------------------ in the last bits


def hidden_text(data: bytes) -> str:
    """What is hidden in the last bits of a picture's pixels ("stealth"); "" for nothing. Decodes
    the picture: the caller looks at what stands in the open first. Raises Unavailable where
    too many others are being decoded."""
    if type_of(data) == "image/jpeg":
        return ""  # Whose last bits are not the ones that were written.
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "WEBP")) as image:
            if image.width * image.height > MAX_PIXELS:
                return ""
            with decoder_turn():
                return _hidden_in(image)
    except TooBusy:
        raise Unavailable("Other pictures are being read; try again.") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return ""


def _hidden_in(image: Image.Image) -> str:
    if image.mode not in ("RGB", "RGBA"):
        return ""
    for channels in ("A", "RGB"):
        if channels == "A" and image.mode != "RGBA":
            continue
        columns = -(-(_SIGNATURE_BITS + 32) // (len(channels) * image.height))
        bits = _last_bits(image, channels, columns)
        known = _HIDDEN.get(_bytes_of(bits[:_SIGNATURE_BITS]))
        if known is None or known[0] != channels or len(bits) < _SIGNATURE_BITS + 32:
            continue
        length = int(bits[_SIGNATURE_BITS : _SIGNATURE_BITS + 32], 2)
        if length > MAX_TEXT * 8 or length % 8:
            return ""
        start = _SIGNATURE_BITS + 32
        columns = -(-(start + length) // (len(channels) * image.height))
        bits = _last_bits(image, channels, columns)[start : start + length]
        body = _bytes_of(bits)
        raw = _unpack(body, zlib.MAX_WBITS | 16) if known[1] else body
        return _text(raw) if raw else ""
    return ""


def _last_bits(image: Image.Image, channels: str, columns: int) -> bytes:
    """The last bits of the first columns, downwards, as digits."""
    part = image.crop((0, 0, min(columns, image.width), image.height))
    part = part.getchannel("A") if channels == "A" else part.convert("RGB")
    return part.transpose(Image.Transpose.TRANSPOSE).tobytes().translate(_DIGITS)


_DIGITS = bytes(ord("0") + n % 2 for n in range(256))


def _bytes_of(bits: bytes) -> bytes:
    whole_bytes = len(bits) // 8
    return int(bits[: whole_bytes * 8] or b"0", 2).to_bytes(whole_bytes, "big")

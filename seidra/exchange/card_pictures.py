"""The picture of a card: a PNG with texts in it, whose pixels nobody touches."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Mapping

from PIL import Image, ImageOps

from seidra.exchange.found import GivenPersona
from seidra.media.bare import bare_picture
from seidra.media.chunks import png_chunks, type_of
from seidra.media.thumbnails import MAX_PIXELS

_PLAIN = (512, 768)
"""Pixels of what is drawn where there is no picture."""


def card_picture(persona: GivenPersona) -> bytes:
    """The picture of a persona as a PNG without any texts: its own pixels where it is one, encoded
    anew where it is another, and a plain one where it has none or none that can be read."""
    picture = persona.picture
    if picture is not None:
        try:
            if type_of(picture) == "image/png":
                return bare_picture(picture, "image/png")
            with Image.open(io.BytesIO(picture), formats=("PNG", "JPEG", "WEBP")) as image:
                if image.width * image.height <= MAX_PIXELS:
                    return _encoded(ImageOps.exif_transpose(image))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            pass
    return _drawn(persona.uid)


def _encoded(image: Image.Image) -> bytes:
    file = io.BytesIO()
    if image.mode not in ("RGB", "RGBA", "L", "LA", "P"):
        image = image.convert("RGB")
    image.save(file, "PNG")
    return file.getvalue()


def _drawn(seed: str) -> bytes:
    """A gradient of two colours, the same for the same persona."""
    hue = hashlib.sha256(seed.encode()).digest()[0] * 360 // 256
    ends = [f"hsl({(hue + turn) % 360}, 45%, {light}%)" for turn, light in ((0, 22), (40, 58))]
    light = Image.linear_gradient("L").resize(_PLAIN)
    return _encoded(
        Image.composite(Image.new("RGB", _PLAIN, ends[1]), Image.new("RGB", _PLAIN, ends[0]), light)
    )


def with_texts(png: bytes, texts: Mapping[str, str]) -> bytes:
    """A PNG with these texts before its picture: in Latin-1 where that holds them, which every
    reader knows, else in UTF-8."""
    start = next(chunk.start for chunk in png_chunks(png) if chunk.kind == b"IDAT")
    chunks = b"".join(_text_chunk(key, text) for key, text in texts.items() if text)
    return png[:start] + chunks + png[start:]


def _text_chunk(keyword: str, text: str) -> bytes:
    key = keyword.encode("latin-1")
    try:
        kind, body = b"tEXt", key + b"\0" + text.encode("latin-1")
    except UnicodeEncodeError:
        kind, body = b"iTXt", key + b"\0\0\0\0\0" + text.encode("utf-8", "replace")
    checksum = zlib.crc32(kind + body)
    return struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", checksum)

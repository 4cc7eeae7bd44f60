"""Thumbnails: WebP, 320 pixels on the longer side; one that is gone is made again."""

from __future__ import annotations

import io
import math
from collections.abc import Callable

from PIL import Image

from seidra.files.base import Files
from seidra.files.keys import SIZES, derived_key

MAX_PIXELS = 50_000_000
"""The largest picture that is decoded, about 200 MB of memory; a small file can claim to be far
larger."""

SIZE = SIZES[0]
MIME_TYPE = "image/webp"


class TooLarge(OSError):
    """A picture whose decoding would take too much memory."""


def thumbnail(data: bytes) -> bytes:
    """A picture's thumbnail. Raises TooLarge, or OSError (also PIL's own) for what is no whole
    picture."""
    try:
        return _thumbnail(data)
    except Image.DecompressionBombError as error:
        raise TooLarge(str(error)) from None
    except (ValueError, SyntaxError) as error:
        # How Pillow puts some kinds of damage, such as a text that decompresses to far too much.
        raise OSError(f"The picture cannot be read: {error}") from None


def thumbnail_size(width: int, height: int) -> tuple[int, int]:
    """The size of the thumbnail of a picture, which is never enlarged: as Pillow's `thumbnail`
    has it."""
    if max(width, height) <= SIZE:
        return width, height
    aspect = width / height
    if width >= height:
        small = _nearest_length(SIZE / aspect, lambda length: abs(aspect - SIZE / max(length, 0.1)))
        return SIZE, small
    return _nearest_length(SIZE * aspect, lambda length: abs(aspect - length / SIZE)), SIZE


def _nearest_length(exact: float, distance: Callable[[int], float]) -> int:
    """Of the two whole lengths beside an exact one, that of the nearest shape."""
    return max(min(math.floor(exact), math.ceil(exact), key=distance), 1)


def thumbnail_key(files: Files, key: str) -> str:
    """The key of a picture's thumbnail, which is made if it is gone. Raises OSError when it cannot
    be made, or the picture is gone too."""
    small = derived_key(key, SIZE)
    try:
        files.open(small).close()
    except FileNotFoundError:
        with files.open(key) as picture:
            files.put(small, thumbnail(picture.read()), MIME_TYPE)
        try:
            files.open(key).close()
        except FileNotFoundError:
            # Deleted meanwhile, the picture first: nobody else would delete this any more.
            files.delete([small])
    return small


def _thumbnail(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        # Only the header has been read so far.
        if image.width * image.height > MAX_PIXELS:
            raise TooLarge(f"The picture has {image.width} x {image.height} pixels.")
        # Lets the decoder skip what a small picture does not need, where the format can.
        image.draft("RGB", (SIZE * 2, SIZE * 2))
        small = image.convert("RGBA" if image.mode in ("RGBA", "LA", "PA", "P") else "RGB")
        small.thumbnail((SIZE, SIZE), Image.Resampling.BICUBIC, reducing_gap=2.0)
    out = io.BytesIO()
    # method 0 takes half the time of the default for some per cent more bytes.
    small.save(out, "WEBP", quality=82, method=0)
    return out.getvalue()

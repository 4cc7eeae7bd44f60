"""A square of a picture: where it stands, and how it is cut out.

What is cut out is stored nowhere: it is made of the smallest stored size that has its pixels, which
takes some milliseconds, and browsers keep it.
"""

from __future__ import annotations

import io
import re
from typing import NamedTuple

from PIL import Image

from seidra.files.base import Files
from seidra.files.keys import SIZES
from seidra.media.thumbnails import decoder_turn, thumbnail_key

SMALLEST = 64
"""Pixels of the smallest square."""

PATTERN = "[0-9]{1,5}-[0-9]{1,5}-[0-9]{1,5}"


class Crop(NamedTuple):
    """A square in the pixels of a picture, as its file has them: its upper left corner, and its
    sides. As a text, `x-y-size`."""

    x: int
    y: int
    size: int

    def __str__(self) -> str:
        return f"{self.x}-{self.y}-{self.size}"

    def is_within(self, width: int, height: int) -> bool:
        """Whether it lies in a picture of that size, and is large enough."""
        return (
            self.size >= SMALLEST and self.x + self.size <= width and self.y + self.size <= height
        )


def read_crop(text: str) -> Crop:
    """The square that a text says. Raises ValueError for any other text."""
    if not re.fullmatch(PATTERN, text):
        raise ValueError(text)
    return Crop(*map(int, text.split("-")))


def crop_sizes(crop: Crop) -> list[int]:
    """The sizes that a square has below its own."""
    return [size for size in SIZES if size < crop.size]


def cut_out(files: Files, key: str, picture: tuple[int, int], crop: Crop, edge: int) -> bytes:
    """A square of the picture of a key, whose width and height `picture` says, as WebP with sides
    of `edge` pixels, never enlarged. Raises TooBusy, and OSError where it cannot be made."""
    longest = max(picture)
    edge = min(edge, crop.size)
    small = next((s for s in SIZES if s < longest and crop.size * s >= edge * longest), None)
    source = thumbnail_key(files, key, small) if small else key
    with decoder_turn(), files.open(source) as file, Image.open(file) as image:
        scale = max(image.size) / longest
        left, upper, side = (length * scale for length in crop)
        box = (left, upper, min(left + side, image.width), min(upper + side, image.height))
        part = image.convert("RGBA" if image.mode in ("RGBA", "LA", "PA", "P") else "RGB").resize(
            (edge, edge), Image.Resampling.BICUBIC, box
        )
    out = io.BytesIO()
    part.save(out, "WEBP", quality=82, method=0)
    return out.getvalue()

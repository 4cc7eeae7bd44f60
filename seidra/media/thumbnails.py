"""Thumbnails: a picture in smaller sizes, as WebP; one that is not there is made when it is asked
for."""

from __future__ import annotations

import io
import math
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

# WebP by name: asked for a form that it has not met, Pillow loads all forty of its formats (5 MB).
from PIL import Image, WebPImagePlugin  # noqa: F401

from seidra.files.base import Files
from seidra.files.keys import SIZES, derived_key

MAX_PIXELS = 64_000_000
"""The largest picture that is decoded, about 250 MB of memory; a small file can claim to be far
larger."""

SIZE = 320
"""The size of what is called the thumbnail."""

_AT_ONCE = (SIZE, 640)
"""The sizes that are made with a picture; the others when they are first asked for."""

MIME_TYPE = "image/webp"

_DECODERS = threading.BoundedSemaphore(2)
"""So many threads of a process decode pictures for a request at a time: each may take the memory of
MAX_PIXELS, and a page of old pictures asks for sixty."""

_PATIENCE = 10.0
"""Seconds that a request waits for its turn to decode."""


class TooLarge(OSError):
    """A picture whose decoding would take too much memory."""


class TooBusy(Exception):
    """Other pictures are being decoded, and this one did not get its turn."""


@dataclass(frozen=True)
class Thumbnails:
    """A picture in smaller sizes, by size, and its mean colour as `#rrggbb`."""

    pictures: dict[int, bytes]
    color: str


def first_sizes(width: int, height: int) -> list[int]:
    """The sizes that a new picture is made in: the thumbnail in any case, others where it is
    larger."""
    return [size for size in _AT_ONCE if size == SIZE or size < max(width, height)]


def make_thumbnails(data: bytes, sizes: Iterable[int]) -> Thumbnails:
    """A picture in these sizes, never enlarged. Raises TooLarge, or OSError (also PIL's own) for
    what is no whole picture."""
    try:
        return _make_thumbnails(data, sizes)
    except Image.DecompressionBombError as error:
        raise TooLarge(str(error)) from None
    except (ValueError, SyntaxError) as error:
        # How Pillow puts some kinds of damage, such as a text that decompresses to far too much.
        raise OSError(f"The picture cannot be read: {error}") from None


@lru_cache(maxsize=256)
def smaller_sizes(width: int, height: int) -> tuple[tuple[int, int, int], ...]:
    """The sizes that a picture has below its own, each with width and height. Remembered: a page
    asks for few shapes, many times."""
    return tuple(
        (size, *thumbnail_size(width, height, size)) for size in SIZES if size < max(width, height)
    )


def thumbnail_size(width: int, height: int, size: int = SIZE) -> tuple[int, int]:
    """Width and height of a picture in a size: it is never enlarged, and else as Pillow's
    `thumbnail` has it."""
    if max(width, height) <= size:
        return width, height
    aspect = width / height
    if width >= height:
        small = _nearest_length(size / aspect, lambda length: abs(aspect - size / max(length, 0.1)))
        return size, small
    return _nearest_length(size * aspect, lambda length: abs(aspect - length / size)), size


def _nearest_length(exact: float, distance: Callable[[int], float]) -> int:
    """Of the two whole lengths beside an exact one, that of the nearest shape."""
    return max(min(math.floor(exact), math.ceil(exact), key=distance), 1)


def thumbnail_key(files: Files, key: str, size: int = SIZE) -> str:
    """The key of a picture in a size, which is made if it is not there. Raises TooBusy, and OSError
    when it cannot be made, or the picture is gone too."""
    small = derived_key(key, size)
    try:
        files.open(small).close()
    except FileNotFoundError:
        with decoder_turn():
            with files.open(key) as picture:
                made = make_thumbnails(picture.read(), [size])
            files.put(small, made.pictures[size], MIME_TYPE)
        try:
            files.open(key).close()
        except FileNotFoundError:
            # Deleted meanwhile, the picture first: nobody else would delete this any more.
            files.delete([small])
    return small


@contextmanager
def decoder_turn() -> Iterator[None]:
    """A turn to decode a picture. Raises TooBusy where there is none for a while."""
    if not _DECODERS.acquire(timeout=_PATIENCE):
        raise TooBusy
    try:
        yield
    finally:
        _DECODERS.release()


def _make_thumbnails(data: bytes, sizes: Iterable[int]) -> Thumbnails:
    with Image.open(io.BytesIO(data)) as image:
        # Only the header has been read so far.
        if image.width * image.height > MAX_PIXELS:
            raise TooLarge(f"The picture has {image.width} x {image.height} pixels.")
        wanted, whole = sorted(sizes, reverse=True), image.size
        # Lets the decoder skip what a small picture does not need, where the format can.
        image.draft("RGB", (wanted[0] * 2, wanted[0] * 2))
        image.load()
        mode = "RGBA" if image.mode in ("RGBA", "LA", "PA", "P") else "RGB"
        # Not a copy where it is the same: of the largest picture it takes 250 MB.
        small: Image.Image = image if image.mode == mode else image.convert(mode)
    pictures = {}
    for size in wanted:
        # Of the one before, which is faster; but as large as it would be of the whole picture.
        target = thumbnail_size(*whole, size)
        if small.size != target:
            small = small.resize(target, Image.Resampling.BICUBIC, reducing_gap=2.0)
        out = io.BytesIO()
        # method 0 takes half the time of the default for some per cent more bytes.
        small.save(out, "WEBP", quality=82, method=0)
        pictures[size] = out.getvalue()
    return Thumbnails(pictures, _mean_color(small))


def _mean_color(picture: Image.Image) -> str:
    """What a picture is from far away; what is transparent counts as little as it is seen."""
    premultiplied = picture.convert("RGBA").convert("RGBa")
    pixel = premultiplied.resize((1, 1), Image.Resampling.BOX).convert("RGBA")
    return "#" + pixel.tobytes()[:3].hex()

"""The last stages: the photographic finish, and the PNG with its text chunks."""

from __future__ import annotations

import io
import random
import zlib

from PIL import Image, ImageChops, ImageFilter
from PIL.PngImagePlugin import PngInfo

from seidra.engines.mock.colours import Colour

_GRAIN_SIDE = 256


def bloom(image: Image.Image, strength: float) -> Image.Image:
    """Let the highlights bleed into what is around them."""
    small = image.reduce(8) if min(image.size) >= 64 else image
    bright = small.point([max(0, round((i - 150) * 1.6 * strength)) for i in range(256)] * 3)
    glow = bright.filter(ImageFilter.GaussianBlur(max(min(small.size) / 18, 1)))
    return ImageChops.add(image, glow.resize(image.size, Image.Resampling.BILINEAR))


def contrast(image: Image.Image, boldness: float) -> Image.Image:
    """An S-curve about mid-grey; `boldness` 1 is gentle, under 0.9 flattens."""
    amount = (boldness - 0.9) * 0.8
    curve = []
    for level in range(256):
        x = level / 255
        s = x * x * (3 - 2 * x)
        curve.append(round(255 * (x + (s - x) * amount)))
    return image.point(curve * 3)


def vignette(image: Image.Image, colour: Colour, strength: float) -> Image.Image:
    """Let the corners sink into `colour`, by `strength` (0-1) at the very corner."""
    shade = Image.radial_gradient("L").point(
        [round(255 * strength * (i / 255) ** 2.2) for i in range(256)]
    )
    image.paste(colour, (0, 0), shade.resize(image.size, Image.Resampling.BILINEAR))
    return image


def grain(image: Image.Image, rng: random.Random) -> Image.Image:
    """A film's grain: a pixel in eight a level up or down, which breaks the bands of 8-bit
    gradients."""
    noise = Image.frombytes("L", (_GRAIN_SIDE, _GRAIN_SIDE), rng.randbytes(_GRAIN_SIDE**2))
    noise = noise.point([0 if i < 16 else 2 if i > 239 else 1 for i in range(256)])
    tile = Image.merge("RGB", (noise, noise, noise))
    sheet = Image.new("RGB", image.size)
    for x in range(0, image.width, _GRAIN_SIDE):
        for y in range(0, image.height, _GRAIN_SIDE):
            sheet.paste(tile, (x, y))
    return ImageChops.add(image, sheet, 1, -1)


def encode(image: Image.Image) -> bytes:
    """`image` as a PNG."""
    chunks = PngInfo()
    chunks.add_text("Software", "SEIDRA mock engine")
    file = io.BytesIO()
    # Gradients under grain repeat in runs or not at all: run lengths are both faster and smaller
    # here than matches.
    image.save(file, "PNG", compress_level=1, compress_type=zlib.Z_RLE, pnginfo=chunks)
    return file.getvalue()

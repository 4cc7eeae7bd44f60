"""Type: the persona's name, a thin rule and the tags, within the canvas whatever they say."""

from __future__ import annotations

import math
import random
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont, ImageStat

from seidra.engines.mock.colours import Colour, Palette, luminance, mix

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
_DOT = "  ·  "
# Letters that Unicode does not take apart into a letter and an accent.
_STROKED = {
    "ł": "l",
    "Ł": "L",
    "ø": "o",
    "Ø": "O",
    "đ": "d",
    "Đ": "D",
    "ß": "ss",
    "æ": "ae",
    "Æ": "AE",
    "œ": "oe",
}
_SMALLEST = 96
"""Pixels of the shorter side below which there is no type at all."""


def typeface(size: float) -> Font:
    """Pillow's own face at `size` pixels; where Pillow lacks FreeType, its bitmap face of one
    size."""
    return ImageFont.load_default(size)


@lru_cache(maxsize=4096)
def _shows(character: str) -> bool:
    """Whether the face has the character: its glyph is neither the 'missing' box nor outside the
    face's encoding."""
    font = typeface(24)
    try:
        return character == " " or bytes(font.getmask(character)) not in (
            b"",
            bytes(font.getmask("\U0010fffd")),
        )
    except UnicodeEncodeError:
        return _in_bitmap_face(character)


def _in_bitmap_face(character: str) -> bool:
    return character.isascii() and character.isprintable()


def legible(text: str) -> str:
    """`text` in one line, without the characters that the face cannot show."""
    composed = unicodedata.normalize("NFC", " ".join(text.split()))
    return " ".join("".join(map(_nearest, composed)).split())


def _nearest(character: str) -> str:
    """The character, or its letter without the accent, or nothing."""
    if _shows(character):
        return character
    plain = _STROKED.get(character) or unicodedata.normalize("NFKD", character)
    return "".join(part for part in plain if _shows(part))


def word_mask(text: str, size: float, tracking: float = 0.0) -> Image.Image:
    """An L image of one line of `text` at `size` pixels, letters `tracking` sizes apart, cut to its
    ink's width."""
    font = typeface(size)
    if isinstance(font, ImageFont.ImageFont):
        _left, _top, right, bottom = font.getbbox(text)
        small = Image.new("L", (max(round(right), 1), max(round(bottom), 1)))
        ImageDraw.Draw(small).text((0, 0), text, fill=255, font=font)
        scale = size / small.height
        return small.resize(
            (max(round(small.width * scale), 1), max(round(size), 1)), Image.Resampling.BICUBIC
        )
    places, x = [], 0.0
    for character, following in zip(text, [*text[1:], ""], strict=True):
        places.append(x)
        x += font.getlength(character + following) - font.getlength(following) + tracking * size
    mask = Image.new("L", (max(math.ceil(x - tracking * size), 1), math.ceil(size * 1.3)))
    pen = ImageDraw.Draw(mask)
    for character, place in zip(text, places, strict=True):
        pen.text((place, 0), character, fill=255, font=font)
    return mask


def fitted(
    text: str, size: float, smallest: float, room: float, tracking: float = 0.0
) -> Image.Image:
    """`text` at `size` or smaller, down to `smallest`; then cut with an ellipsis until it is `room`
    pixels wide."""
    mask = word_mask(text, size, tracking)
    if mask.width > room:
        size = max(size * room / mask.width * 0.985, smallest)
        mask = word_mask(text, size, tracking)
    ellipsis = "\u2026" if _shows("\u2026") else "..."
    while mask.width > room and text:
        # Aim from how far over it is, then go letter by letter: few tries for a long text.
        text = text[: min(len(text) - 1, int(len(text) * room / mask.width) + 1)].rstrip()
        mask = word_mask(text + ellipsis, size, tracking)
    return mask if text else Image.new("L", (1, 1))


def tag_line(tags: Sequence[str], size: float, room: float) -> Image.Image | None:
    """As many whole tags as `room` pixels hold, in small spaced capitals; None when there is
    nothing to show."""
    shown = [word for word in (legible(str(tag)).upper() for tag in tags[:12]) if word]
    if not shown:
        return None
    while len(shown) > 1 and word_mask(_DOT.join(shown), size, 0.14).width > room:
        shown.pop()
    return fitted(_DOT.join(shown), size, size * 0.8, room, 0.14)


def set_type(
    image: Image.Image, palette: Palette, title: str, tags: Sequence[str], rng: random.Random
) -> Image.Image:
    """`image` with the title, or a seal for one that the face cannot show, above a rule and the
    tags."""
    width, height = image.size
    unit = min(width, height)
    if unit < _SMALLEST:
        return image
    margin = unit * 0.065
    room = width - 2 * margin
    size = unit * rng.uniform(0.068, 0.082)
    capitals, centred = rng.random() < 0.4, rng.random() < 0.3
    name = legible(title)
    if capitals:
        head = (
            fitted(name.upper(), size * 0.74, unit * 0.036, room, 0.2)
            if name
            else seal(unit * 0.13, rng)
        )
    else:
        head = fitted(name, size, unit * 0.04, room, -0.005) if name else seal(unit * 0.13, rng)
    small = tag_line(tags, max(unit * 0.0215, 9), room)
    block = [part for part in (head, small) if part is not None]
    return _place(image, palette, block, margin, centred)


def _place(
    image: Image.Image, palette: Palette, block: list[Image.Image], margin: float, centred: bool
) -> Image.Image:
    """Stack the block at the foot of the picture over a veil that gives it contrast."""
    width, height = image.size
    gap = margin * 0.42
    tall = sum(part.height for part in block) + gap * (2 if len(block) > 1 else 1)
    top = height - margin * 0.85 - tall
    image, ink = _veiled(image, palette, top - margin)
    pen = ImageDraw.Draw(image)
    rule = min(margin * 1.6, width - 2 * margin)
    y = top
    for index, part in enumerate(block):
        x = (width - part.width) / 2 if centred else margin
        image.paste(
            ink if index == 0 else mix(ink, palette.sky[1], 0.12), (round(x), round(y)), part
        )
        y += part.height + gap * 0.55
        if index == 0:
            start = (width - rule) / 2 if centred else margin
            thick = max(round(min(width, height) / 400), 1)
            pen.rectangle((start, y, start + rule, y + thick - 1), fill=_rule_colour(palette, ink))
            y += gap * 0.8
    return image


def _veiled(image: Image.Image, palette: Palette, top: float) -> tuple[Image.Image, Colour]:
    """Darken or lighten the foot of the picture towards the palette as far as type needs; and the
    type's colour."""
    width, height = image.size
    first = max(round(top), 0)
    foot = image.crop((0, first, width, height)).reduce(4)
    statistics = ImageStat.Stat(foot.convert("L"))
    level, unrest = statistics.mean[0], statistics.stddev[0]
    light_type = level < (105 if luminance(palette.sky[0]) > 150 else 190)
    ink, veil = (
        (mix(palette.glow, (255, 255, 255), 0.6), palette.ink)
        if light_type
        else (palette.ink, palette.glow)
    )
    contrast = abs(luminance(ink) - level)
    strength = min(max(1.0 - contrast / 260, 0.3) + unrest / 160, 0.88)
    ramp = Image.linear_gradient("L").resize((width, height - first)).point(_veil_curve(strength))
    image.paste(veil, (0, first), ramp)
    return image, ink


def _veil_curve(strength: float) -> list[int]:
    return [round(255 * strength * min(1.0, (i / 255) * 1.9) ** 1.2) for i in range(256)]


def _rule_colour(palette: Palette, ink: Colour) -> Colour:
    """The accent that stands out most from what the type stands on."""
    return max(palette.accents, key=lambda accent: 255 - abs(luminance(accent) - luminance(ink)))


def seal(side: float, rng: random.Random) -> Image.Image:
    """An L image of a round emblem, for a name that cannot be set: a rosette of circles within a
    ring."""
    size = max(round(side), 8) * 4
    middle, line = size / 2, max(size // 40, 1)
    mask = Image.new("L", (size, size))
    pen = ImageDraw.Draw(mask)
    pen.ellipse((line, line, size - line, size - line), outline=255, width=line)
    leaves, reach, turn = rng.randint(5, 9), size * rng.uniform(0.14, 0.22), rng.choice((0.0, 0.5))
    orbit = size * 0.43 - reach
    for i in range(leaves):
        angle = math.tau * (i + turn) / leaves
        x, y = middle + math.sin(angle) * orbit, middle - math.cos(angle) * orbit
        pen.ellipse((x - reach, y - reach, x + reach, y + reach), outline=255, width=line)
    return mask.reduce(4)

"""Colours, the palettes they come in, and the words that call for them."""

from __future__ import annotations

import colorsys
import random
from collections.abc import Sequence
from dataclasses import dataclass

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Palette:
    """Seven colours with fixed roles: `sky` runs from top to horizon, `ink` is the nearest
    silhouette."""

    name: str
    sky: tuple[Colour, Colour, Colour]
    glow: Colour
    ink: Colour
    accents: tuple[Colour, Colour]


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """The colour `share` (0-1) of the way from `a` to `b`."""
    return (
        round(a[0] + (b[0] - a[0]) * share),
        round(a[1] + (b[1] - a[1]) * share),
        round(a[2] + (b[2] - a[2]) * share),
    )


def blend_stops(stops: Sequence[Colour], position: float) -> Colour:
    """The colour at `position` (0-1, clamped) along evenly spaced `stops`."""
    place = min(max(position, 0.0), 1.0) * (len(stops) - 1)
    index = min(int(place), len(stops) - 2)
    return mix(stops[index], stops[index + 1], place - index) if len(stops) > 1 else stops[0]


def luminance(colour: Sequence[float]) -> float:
    """Perceived brightness, 0 to 255."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def _hex(text: str) -> Colour:
    return (int(text[0:2], 16), int(text[2:4], 16), int(text[4:6], 16))


# name: sky top, sky middle, horizon | glow | ink | two accents
_TABLE = """
ember      1a0b1e 7a1f3d f2703f  ffd9a0  12060f  ff4d3d ffb347
abyss      04121f 0b4f6c 6cc9c2  effff2  020a12  19a7ce f6c667
sakura     4a2a55 d0708f ffd9d2  fff4e6  2b1531  ff7fa5 8fd3c8
neon       0a0420 3b0a6b e0218a  ffe0b0  06010f  2de2e6 f706cf
moss       0c1f1a 2f5d50 c8d8a0  fff3c4  07130f  e0a458 86c08b
dune       2e2550 d1593f f9c56d  fff1cf  2c1220  ef8354 3fa7a3
frost      0e1b33 3f6fa8 d7e9f7  ffffff  0a1426  8fd3ff c7b8ff
midnight   05060f 1a1f4a 5a5fb0  f7efcf  03040c  ffd27d 8fb8ff
paper      f6ecda efcfa6 de8156  fffaf0  1f2d46  c8402f 2f7f86
mint       e3f4ec a9ddd0 f9b9a4  ffffff  16384a  ff7a66 2a9d8f
royal      140b2e 4b1d7a d4a24e  ffedb8  0c0619  ffd166 b15cff
noir       0b0b0d 3d3d44 cfcac2  ffffff  060607  e0263c f2efe8
citrus     0d3b3a 1f8a70 ffe066  fffbdc  08201f  ff5e5b ffb400
rosewood   1d0a12 8c1c3c f6aaa0  ffe9dc  150509  ff5d73 f4c98a
verdigris  0b2027 40798c cfd7c7  fdf6e3  071418  e76f51 f4a261
lilac      231942 8c78b8 ffcad4  fff0f3  170f2e  b388eb f7aef8
solar      ffe3a1 ff9b5c d4365d  fff8e0  36103a  fff1b8 7a1fa2
"""


def _read_table() -> dict[str, Palette]:
    palettes = {}
    for line in _TABLE.split("\n"):
        if line:
            name, *codes = line.split()
            top, middle, low, glow, ink, first, second = map(_hex, codes)
            palettes[name] = Palette(name, (top, middle, low), glow, ink, (first, second))
    return palettes


PALETTES = _read_table()

PALETTE_WORDS = {
    "ember": (
        "fire flame lava volcano dragon phoenix autumn fall red orange sunset ember hell demon "
        "copper 火 炎 秋"
    ),
    "abyss": (
        "ocean sea water river lake underwater mermaid blue teal aqua deep wave rain island 海 "
        "水 青"
    ),
    "sakura": (
        "sakura cherry blossom pink spring love kawaii japan japanese geisha anime candy peach "
        "桜 春 花"
    ),
    "neon": (
        "neon cyberpunk synthwave vaporwave cyber hacker club arcade electric magenta laser "
        "futuristic tokyo 電"
    ),
    "moss": (
        "forest moss green jungle nature wood elf druid tree leaf garden meadow emerald olive "
        "fern 森 木 緑"
    ),
    "dune": (
        "desert dune sand egypt sahara canyon western camel nomad terracotta oasis sandstone 砂"
    ),
    "frost": "winter snow ice frost frozen cold arctic glacier icy december white viking 雪 氷 冬",
    "midnight": (
        "night moon midnight space star galaxy dark cosmos astronaut gothic vampire indigo navy "
        "月 夜 星"
    ),
    "paper": (
        "paper vintage retro poster sketch ink watercolor watercolour beige cream japandi "
        "drawing sepia print"
    ),
    "mint": "mint pastel fresh morning soft cute baby light turquoise breeze summer",
    "royal": (
        "royal queen king purple gold golden crown magic wizard violet fantasy mystic palace "
        "sorceress 金 王"
    ),
    "noir": "noir black monochrome grey gray detective film shadow bw minimal silver suit",
    "citrus": "tropical lemon lime citrus yellow beach palm parrot brazil summer fruit jazz",
    "rosewood": (
        "rose wine crimson ruby burgundy velvet romance romantic scarlet sensual tango valentine 薔"
    ),
    "verdigris": (
        "steampunk bronze mountain rust harbor harbour machine industrial scotland mist fog "
        "engineer 山"
    ),
    "lilac": "lilac lavender dream dreamy fairy unicorn ethereal mauve orchid twilight angel dusk",
    "solar": "sun solar sunrise bright heat hot radiant dawn festival carnival summer 日",
}


def tuned(palette: Palette, boldness: float, rng: random.Random) -> Palette:
    """`palette` with its saturation scaled by `boldness` (1 is as drawn) and its hues turned a
    little by `rng`."""
    turn = rng.uniform(-0.025, 0.025)

    def tune(colour: Colour) -> Colour:
        hue, light, saturation = colorsys.rgb_to_hls(*(part / 255 for part in colour))
        red, green, blue = colorsys.hls_to_rgb(
            (hue + turn) % 1.0, light, min(saturation * boldness, 1.0)
        )
        return (round(red * 255), round(green * 255), round(blue * 255))

    top, middle, low = map(tune, palette.sky)
    first, second = map(tune, palette.accents)
    return Palette(
        palette.name, (top, middle, low), tune(palette.glow), tune(palette.ink), (first, second)
    )

"""Scenes of the land: mountains, ocean, desert, forest. Each draws over a sky whose light stands at
`source`."""

from __future__ import annotations

import math
import random

from PIL import ImageDraw

from seidra.engines.mock.canvas import Canvas, Point
from seidra.engines.mock.colours import Colour, luminance, mix
from seidra.engines.mock.curves import across, grounded, ridge, spline, swell

Slope = tuple[Colour, Colour]
"""A shaded slope's colours, at its top and at its foot."""

_STEPS = [step / 14 for step in range(15)]

Dune = tuple[float, float, float]
"""A dune's crest (x), half width and height."""


def mountains(canvas: Canvas, rng: random.Random, source: Point) -> None:
    """Ridges behind ridges, each darker and lower, with mist at their feet."""
    palette, height = canvas.palette, canvas.height
    haze = mix(palette.sky[2], palette.glow, 0.3)
    layers = canvas.count(5, 4)
    for i in range(layers):
        near = i / (layers - 1)
        base = height * (0.5 + 0.42 * near**1.15)
        rise = min(height * 0.5, canvas.unit * 0.8) * (0.44 - 0.3 * near)
        line = across(ridge(rng, roughness=0.5 + 0.04 * near), canvas.width, base, rise)
        colour = mix(mix(haze, palette.sky[1], 0.35 + 0.4 * near), palette.ink, near**1.1 * 0.96)
        foot = mix(colour, haze, 0.55 * (1 - near))
        with canvas.stencil(colour, foot, top=base - rise, bottom=base + height * 0.14) as pen:
            pen.polygon(grounded(line, height), fill=255)
        if near < 0.7:
            dark = mix(colour, palette.ink if near else palette.sky[1], 0.42)
            _shade(canvas, rng, line, base + rise * 0.5, source, (dark, mix(colour, foot, 0.5)))


def _shade(
    canvas: Canvas,
    rng: random.Random,
    line: list[Point],
    base: float,
    source: Point,
    colours: Slope,
) -> None:
    """Shade each peak's side away from the light: down the ridge to the next saddle, back up a
    jagged spur."""
    dark, foot = colours
    coarse = range(0, len(line), 4)
    with canvas.stencil(dark, foot, top=min(y for _, y in line), bottom=base, opacity=0.8) as pen:
        for at in coarse[1:-1]:
            x, y = line[at]
            if y > line[at - 4][1] or y > line[at + 4][1] or y > base:
                continue
            away = 1 if x > source[0] else -1
            saddle = at + 4 * away
            while (
                0 <= saddle + 4 * away < len(line) and line[saddle + 4 * away][1] > line[saddle][1]
            ):
                saddle += 4 * away
            drop = base - y
            spur = [
                (x + away * drop * (0.28 * t + rng.uniform(-0.09, 0.09) * t**0.5), y + drop * t)
                for t in _STEPS
            ]
            slope = line[at : saddle + 1] if away > 0 else line[saddle : at + 1][::-1]
            pen.polygon(
                [*slope, (line[saddle][0] + away * drop * 0.3, base), *spur[::-1]], fill=255
            )


def ocean(canvas: Canvas, rng: random.Random, source: Point) -> None:
    """A horizon, swells that widen towards the eye, and the light's path on the water."""
    palette, width, height = canvas.palette, canvas.width, canvas.height
    horizon = height * rng.uniform(0.5, 0.58)
    deep = mix(palette.sky[0], palette.ink, 0.55)
    shallow = mix(palette.sky[1], palette.sky[2], 0.45)
    with canvas.stencil(shallow, palette.sky[1], deep, top=horizon, bottom=height) as pen:
        pen.rectangle((0, horizon, width, height), fill=255)
    rows = canvas.count(9, 5)
    for i in range(rows):
        near = (i + 1) / rows
        base = horizon + (height - horizon) * near**1.7 * 0.95
        rise = canvas.unit * (0.004 + 0.03 * near)
        crest = mix(mix(shallow, palette.accents[0], 0.25), deep, near * 0.75)
        line = across(swell(rng, 2 + 2 * (1 - near)), width, base, rise)
        with canvas.stencil(
            crest, deep, top=base - rise, bottom=base + height * 0.17 * near, opacity=0.62
        ) as pen:
            pen.polygon(grounded(line, height), fill=255)
    _glitter(canvas, rng, source[0], horizon)


def _glitter(canvas: Canvas, rng: random.Random, x: float, horizon: float) -> None:
    depth = canvas.height - horizon
    glow = canvas.palette.glow
    with canvas.light(spread=canvas.unit * 0.006) as pen:
        for _ in range(canvas.count(210, 60)):
            near = rng.random() ** 1.6
            spread = canvas.unit * (0.05 + 0.2 * near)
            centre, y = x + rng.gauss(0, 0.5) * spread, horizon + depth * near
            reach = canvas.unit * rng.uniform(0.006, 0.045) * (0.3 + near)
            fall = 1 - min(abs(centre - x) / (spread * 2), 0.9)
            thick = canvas.unit * (0.0012 + 0.0035 * near)
            pen.ellipse(
                (centre - reach, y - thick, centre + reach, y + thick),
                fill=mix((0, 0, 0), glow, 0.75 * fall),
            )


def desert(canvas: Canvas, rng: random.Random, source: Point) -> None:
    """Dunes with a lit and a shadowed flank either side of a winding crest, and wind ripples on the
    nearest."""
    palette, height = canvas.palette, canvas.height
    away = 1 if source[0] < canvas.width / 2 else -1
    layers = canvas.count(5, 4)
    for i in range(layers):
        near = i / (layers - 1)
        base = height * (0.6 + 0.36 * near)
        rise = min(canvas.unit, height) * (0.09 + 0.11 * near)
        dunes = _dunes(canvas, rng, (base, rise), 0.22 + 0.3 * near)
        line = [
            (x, base - max(_dune_height(x, dune) for dune in dunes)) for x in _columns(canvas.width)
        ]
        lit = mix(
            mix(palette.sky[2], palette.glow, 0.4 * (1 - near)),
            palette.accents[0],
            0.1 + 0.35 * near,
        )
        foot = mix(lit, mix(palette.sky[1], palette.ink, 0.6 * near), 0.4 + 0.4 * near)
        bottom = base + rise * 0.9
        with canvas.stencil(lit, foot, top=base - rise, bottom=bottom) as pen:
            pen.polygon(grounded(line, height), fill=255)
        if near > 0.4:
            _ripples(canvas, line, mix(foot, palette.ink, 0.3))
        dark = mix(mix(palette.sky[1], palette.sky[0], 0.5), palette.ink, 0.15 + 0.6 * near)
        with canvas.stencil(
            dark, mix(dark, foot, 0.35), foot, top=base - rise, bottom=bottom
        ) as pen:
            for dune in dunes:
                pen.polygon(_lee(dune, base, bottom, away), fill=255)


def _columns(width: float) -> list[float]:
    return [width * i / 120 for i in range(121)]


def _dunes(canvas: Canvas, rng: random.Random, level: Point, broad: float) -> list[Dune]:
    """Dunes side by side: each its crest's place, its half width and its height."""
    dunes = []
    span = max(canvas.unit * broad, canvas.width / 40)
    x = -span * rng.random()
    while x < canvas.width + span:
        dunes.append((x, span * rng.uniform(1.0, 1.5), level[1] * rng.uniform(0.5, 1.0)))
        x += span * rng.uniform(1.1, 1.9)
    return dunes


def _dune_height(x: float, dune: Dune) -> float:
    crest, reach, tall = dune
    return tall * math.pow(max(0.0, 1 - abs(x - crest) / reach), 1.35)


def _lee(dune: Dune, base: float, bottom: float, away: int) -> list[Point]:
    """The flank out of the light: down the dune's outline, back up an S from its foot to the
    crest."""
    crest, reach, tall = dune
    outline = [(crest + away * reach * t, base - tall * (1 - t) ** 1.35) for t in _STEPS]
    drop = bottom - base + tall
    fold = [(0.0, 0.0), (-0.05, 0.2), (0.1, 0.5), (0.05, 0.78), (0.25, 1.0)]
    seam = spline([(crest + away * reach * x, base - tall + drop * y) for x, y in fold])
    return [*outline, *reversed(seam)]


def _ripples(canvas: Canvas, line: list[Point], colour: tuple[int, int, int]) -> None:
    gap = canvas.unit * 0.013
    with canvas.stencil(colour, opacity=0.2) as pen:
        for i in range(canvas.count(16)):
            sink = gap * (i + 1) * (1 + i * 0.08)
            bent = [
                (x, y + sink + gap * 0.5 * math.sin(x / canvas.unit * 21 + i * 0.7))
                for x, y in line
            ]
            pen.line(bent, fill=255, width=canvas.fine)


def forest(canvas: Canvas, rng: random.Random, source: Point) -> None:
    """Stands of pines from the mist to the dark edge, with shafts of light between them."""
    palette, height = canvas.palette, canvas.height
    haze = mix(palette.sky[2], palette.glow, 0.35)
    layers = canvas.count(5, 4)
    for i in range(layers):
        near = i / (layers - 1)
        base = height * (0.62 + 0.36 * near)
        ground = across(swell(rng, 1.2), canvas.width, base, canvas.unit * 0.025)
        colour = mix(mix(haze, palette.sky[1], 0.3 + 0.5 * near), palette.ink, near**1.3 * 0.97)
        tall = min(height * 0.5, canvas.unit * 0.55) * (0.42 + 0.75 * near)
        mist = mix(colour, haze, 0.6 * (1 - near))
        with canvas.stencil(colour, mist, top=base - tall, bottom=base + tall * 0.3) as pen:
            pen.polygon(grounded(ground, height), fill=255)
            gap = tall * (0.15 + 0.12 * near)
            x = rng.uniform(-gap, 0)
            while x < canvas.width + gap:
                foot = ground[min(max(int(x / canvas.width * 96), 0), 96)][1] + tall * 0.03
                _pine(pen, rng, (x, foot), tall * rng.uniform(0.55, 1.08))
                x += (
                    gap
                    * rng.uniform(0.6, 1.7)
                    * (3.2 if near == 1 and abs(x / canvas.width - 0.5) < 0.28 else 1)
                )
        if i == 1:
            _shafts(canvas, rng, source)


def _pine(pen: ImageDraw.ImageDraw, rng: random.Random, foot: Point, tall: float) -> None:
    """A conifer as one jagged polygon: tiers of boughs that droop, wider towards the ground."""
    x, y = foot
    tiers = 9
    left: list[Point] = []
    right: list[Point] = []
    for tier in range(1, tiers + 1):
        share = tier / tiers
        level = y - tall * (1 - share * 0.93)
        for side, edge in ((-1, left), (1, right)):
            reach = tall * 0.19 * share**0.85 * rng.uniform(0.75, 1.2)
            edge += [(x + side * reach, level), (x + side * reach * 0.42, level - tall * 0.022)]
    trunk = tall * 0.018
    pen.polygon([(x, y - tall), *right, (x + trunk, y), (x - trunk, y), *reversed(left)], fill=255)
    pen.rectangle((x - trunk, y - tall * 0.1, x + trunk, y + tall * 0.05), fill=255)


def _shafts(canvas: Canvas, rng: random.Random, source: Point) -> None:
    strength = 0.3 if luminance(canvas.palette.sky[0]) < 110 else 0.5
    with canvas.stencil(canvas.palette.glow, opacity=strength, soft=canvas.unit * 0.016) as pen:
        for _ in range(canvas.count(7, 4)):
            angle, wide = rng.uniform(0.2, math.pi - 0.2), rng.uniform(0.02, 0.055)
            reach = canvas.width + canvas.height
            ends = [
                (source[0] + math.cos(a) * reach, source[1] + math.sin(a) * reach)
                for a in (angle, angle + wide)
            ]
            pen.polygon([source, *ends], fill=rng.randint(90, 210))

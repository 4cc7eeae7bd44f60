"""Scenes without a horizon: planets, blossoms, flames, brush strokes, silk, a halo."""

from __future__ import annotations

import itertools
import math
import random

from PIL import Image, ImageDraw

from seidra.engines.mock.canvas import Canvas, Point
from seidra.engines.mock.colours import Colour, blend_stops, mix
from seidra.engines.mock.curves import circle, flow_field, follow, spline, swell, turned
from seidra.engines.mock.sky import stars


def cosmos(canvas: Canvas, rng: random.Random, source: Point) -> None:
    """A ringed planet with its moons and their orbits before a nebula."""
    palette = canvas.palette
    dust = mix(palette.sky[1], palette.accents[1], 0.5)
    nebula = canvas.mesh(
        [palette.sky[0], palette.ink, palette.ink, palette.sky[1], dust, palette.ink], 5, rng
    )
    canvas.image = Image.blend(nebula, canvas.gradient([palette.sky[0], palette.ink]), 0.3)
    stars(canvas, rng, source)
    centre = (canvas.width * rng.uniform(0.4, 0.66), canvas.height * rng.uniform(0.36, 0.46))
    radius = canvas.unit * rng.uniform(0.15, 0.25)
    tilt = rng.uniform(-0.5, 0.5)
    canvas.halo(
        (centre[0] - radius * 0.4, centre[1] - radius * 0.4), radius * 3, palette.accents[1], 0.55
    )
    with canvas.stencil(palette.glow, opacity=0.35) as pen:
        for i in range(canvas.count(4, 3)):
            pen.line(
                _orbit(centre, radius * (2.3 + 0.55 * i), 0.32, tilt), fill=255, width=canvas.fine
            )
    _ring(canvas, centre, radius, tilt, math.pi, math.tau)
    day = mix(mix(palette.sky[2], palette.accents[0], 0.55), palette.glow, 0.3)
    canvas.sphere(centre, radius, day, palette.ink, lean=0.6)
    _ring(canvas, centre, radius, tilt, 0, math.pi)
    for i in range(3):
        angle = rng.uniform(0, math.tau)
        path = _orbit(centre, radius * (2.3 + 0.55 * i), 0.32, tilt)
        place = path[int(angle / math.tau * (len(path) - 1))]
        canvas.sphere(place, radius * rng.uniform(0.06, 0.16), palette.accents[i % 2], palette.ink)


def _orbit(
    centre: Point, radius: float, flat: float, tilt: float, start: float = 0, end: float = math.tau
) -> list[Point]:
    angles = [start + (end - start) * i / 90 for i in range(91)]
    return turned(
        [(math.cos(a) * radius, math.sin(a) * radius * flat) for a in angles], tilt, centre
    )


def _ring(
    canvas: Canvas, centre: Point, radius: float, tilt: float, start: float, end: float
) -> None:
    palette = canvas.palette
    ramp = [palette.glow, palette.accents[1], mix(palette.sky[2], palette.ink, 0.3), palette.sky[2]]
    with canvas.paint() as pen:
        for i in range(22):
            if i in (8, 9, 16):
                continue
            reach = radius * (1.35 + 0.03 * i)
            fill = (*blend_stops(ramp, i / 21), 220 - 6 * i)
            pen.line(
                _orbit(centre, reach, 0.32, tilt, start, end),
                fill=fill,
                width=max(round(radius * 0.024), 1),
            )


def blossom(canvas: Canvas, rng: random.Random, source: Point) -> None:
    """A great flower seen from above: petals by the golden angle, each a stack of paler and paler
    leaves."""
    palette = canvas.palette
    canvas.image = canvas.mesh(
        [palette.ink, palette.sky[0], palette.sky[0], palette.sky[1]], 4, rng
    )
    centre = (canvas.width * rng.uniform(0.44, 0.6), canvas.height * rng.uniform(0.38, 0.46))
    radius = min(canvas.unit * rng.uniform(0.4, 0.5), canvas.height * 0.5)
    canvas.halo(centre, radius * 2.1, palette.accents[0], 0.55)
    outer, inner = (
        mix(palette.accents[0], palette.sky[1], 0.35),
        mix(palette.glow, palette.accents[1], 0.3),
    )
    broad, point = rng.uniform(0.3, 0.5), rng.uniform(0.0, 0.25)
    petals = canvas.count(58, 30)
    with canvas.paint() as pen:
        for i in range(petals):
            if i % 16 == 0:
                canvas.tick()
            share = 1 - i / petals
            angle = i * 2.39996 + rng.uniform(-0.08, 0.08)
            colour = blend_stops(
                [inner, mix(palette.accents[0], palette.glow, 0.25), outer], share**0.9
            )
            size = radius * (0.12 + 0.88 * share**0.8) * rng.uniform(0.93, 1.05)
            _petal(
                pen,
                centre,
                angle,
                size,
                (broad, point),
                (colour, mix(colour, palette.ink, 0.5), palette.glow),
            )
    _stamens(canvas, rng, centre, radius * 0.17)


def _petal(
    pen: ImageDraw.ImageDraw,
    hub: Point,
    angle: float,
    size: float,
    form: tuple[float, float],
    colours: tuple[Colour, Colour, Colour],
) -> None:
    broad, point = form
    colour, shadow, light = colours
    outline: list[Point] = []
    for i in range(25):
        t = i / 24 * math.tau
        along = 0.5 - 0.5 * math.cos(t)
        outline.append((along * (1 + point * along**6), math.sin(t) * broad * along**0.55))
    pen.polygon(turned(outline, angle, hub, size * 1.03), fill=shadow)
    for i in range(6):
        fade = i / 5
        inset = 1 - 0.15 * i
        shift = size * 0.11 * fade
        place = (hub[0] + math.cos(angle) * shift, hub[1] + math.sin(angle) * shift)
        fill = mix(mix(shadow, colour, 0.55 + 0.45 * fade), light, 0.2 * fade**2)
        pen.polygon(turned(outline, angle, place, size * inset), fill=fill)


def _stamens(canvas: Canvas, rng: random.Random, centre: Point, radius: float) -> None:
    with canvas.light(spread=radius * 0.03) as pen:
        for i in range(70):
            reach, angle = radius * math.sqrt(i / 70), i * 2.39996
            spot = (centre[0] + math.cos(angle) * reach, centre[1] + math.sin(angle) * reach)
            colour = mix(canvas.palette.accents[1], canvas.palette.glow, rng.random())
            pen.ellipse(circle(spot, radius * 0.045), fill=mix((0, 0, 0), colour, 0.7))


def flames(canvas: Canvas, rng: random.Random, source: Point) -> None:
    """Tongues of fire, tall and red behind, short and pale in front, with thin licks of light among
    them."""
    palette = canvas.palette
    canvas.image = canvas.gradient(
        [palette.ink, mix(palette.ink, palette.sky[0], 0.8), palette.sky[1]]
    )
    hearth = (canvas.width * rng.uniform(0.42, 0.58), canvas.height * 0.92)
    canvas.halo((hearth[0], canvas.height * 0.62), canvas.unit, palette.accents[0], 0.75)
    ramp = [
        mix(palette.sky[1], palette.accents[0], 0.4),
        palette.accents[0],
        palette.accents[1],
        palette.glow,
    ]
    layers = canvas.count(6, 4)
    for i in range(layers):
        near = i / (layers - 1)
        tall = canvas.height * (0.84 - 0.46 * near)
        tip, root = blend_stops(ramp, near * 0.85), blend_stops(ramp, near * 0.85 + 0.28)
        top, soft = hearth[1] - tall, canvas.unit * 0.004
        with canvas.stencil(tip, root, top=top, bottom=hearth[1], opacity=0.72, soft=soft) as pen:
            for k in range(7):
                away = (k - 3) / 3 * (1 - 0.55 * near) + rng.uniform(-0.1, 0.1)
                foot = (hearth[0] + away * canvas.width * 0.36, hearth[1] + canvas.unit * 0.1)
                high = tall * (1 - 0.5 * abs(away)) * rng.uniform(0.7, 1.05)
                broad = canvas.unit * rng.uniform(0.085, 0.13) * (1 - 0.45 * near)
                pen.polygon(_tongue(rng, foot, high, broad), fill=255)
    _licks(canvas, rng, hearth)


def _tongue(rng: random.Random, foot: Point, tall: float, broad: float) -> list[Point]:
    """A flame's outline: a full body that sways the more the higher it gets, to a point."""
    bends, phase, lean = rng.uniform(0.6, 1.1), rng.uniform(0, math.tau), rng.uniform(-0.5, 0.5)
    left, right = [], []
    for i in range(33):
        t = i / 32
        middle = foot[0] + broad * (
            1.5 * t**1.3 * math.sin(math.tau * bends * t + phase) + lean * t * t
        )
        half = broad * (1 - t) ** 1.15 * (1.0 + 0.9 * math.sin(min(t * 4.2, math.pi)))
        left.append((middle - half, foot[1] - tall * t))
        right.append((middle + half, foot[1] - tall * t))
    return left + right[::-1]


def _licks(canvas: Canvas, rng: random.Random, hearth: Point) -> None:
    """Thin bright lines that rise through the fire."""
    field = flow_field(rng, canvas.unit * 0.22)
    calm = field(*hearth)
    with canvas.light(spread=canvas.unit * 0.006) as pen:
        for _ in range(canvas.count(70)):
            start = (
                hearth[0] + rng.gauss(0, 0.2) * canvas.width,
                canvas.height * rng.uniform(0.35, 0.9),
            )
            rise = follow(
                lambda x, y: math.sin(field(x, y) - calm) * 0.7 - math.pi / 2,
                start,
                canvas.unit * 0.012,
                24,
            )
            colour = mix(canvas.palette.accents[1], canvas.palette.glow, rng.random())
            pen.line(
                rise[: rng.randint(6, 24)], fill=mix((0, 0, 0), colour, 0.6), width=canvas.fine
            )


def strokes(canvas: Canvas, rng: random.Random, source: Point) -> None:
    """Broad ribbons of paint that follow one field, laid over each other with a thin shadow."""
    palette = canvas.palette
    dark = rng.random() < 0.7
    ground = palette.ink if dark else mix(palette.glow, palette.sky[2], 0.25)
    canvas.image = Image.blend(
        Image.new("RGB", canvas.image.size, ground), canvas.mesh(palette.sky, 3, rng), 0.22
    )
    field = flow_field(rng, canvas.unit * rng.uniform(0.35, 0.75), turns=rng.uniform(0.7, 1.5))
    colours = [
        palette.sky[1],
        palette.sky[2],
        palette.accents[0],
        palette.accents[1],
        palette.glow,
        palette.sky[0],
    ]
    weights = [3, 3, 3, 2, 1, 2]
    count = canvas.count(120 * max(canvas.width, canvas.height) / canvas.unit, 50)
    with canvas.paint() as pen:
        for i in range(min(count, 900)):
            if i % 48 == 0:
                canvas.tick()
            start = (rng.uniform(-0.1, 1.1) * canvas.width, rng.uniform(-0.1, 1.1) * canvas.height)
            wide = canvas.unit * (0.008 + 0.05 * rng.random() ** 2) * (1.2 - 0.7 * i / count)
            path = follow(field, start, canvas.unit * 0.018, rng.randint(10, 42))
            colour = rng.choices(colours, weights)[0]
            _stroke(pen, path, wide * 1.2, mix(palette.ink, ground, 0.3))
            _stroke(pen, path, wide, colour)
            if wide > max(canvas.unit * 0.014, 8):
                _stroke(pen, path[2:-2], wide * 0.16, mix(colour, palette.glow, 0.45))


def _stroke(
    pen: ImageDraw.ImageDraw, path: list[Point], wide: float, colour: tuple[int, ...]
) -> None:
    """A line with round ends, as one polygon: faster than jointed segments, and nothing is drawn
    twice."""
    half = wide / 2
    left, right = [], []
    for (ax, ay), (bx, by) in itertools.pairwise(path):
        length = math.hypot(bx - ax, by - ay) or 1.0
        nx, ny = (ay - by) / length * half, (bx - ax) / length * half
        left.append(((ax + bx) / 2 + nx, (ay + by) / 2 + ny))
        right.append(((ax + bx) / 2 - nx, (ay + by) / 2 - ny))
    pen.polygon(left + right[::-1], fill=colour)
    for a, b in ((left[0], right[0]), (left[-1], right[-1])):
        pen.ellipse(
            circle(((a[0] + b[0]) / 2, (a[1] + b[1]) / 2), max(half - 0.5, 0.5)), fill=colour
        )


def silk(canvas: Canvas, rng: random.Random, source: Point) -> None:
    """Veils of hundreds of hair-thin lines, each veil turning from one curve into another."""
    palette = canvas.palette
    mist = canvas.mesh([palette.ink, palette.sky[0], palette.sky[1]], 4, rng)
    canvas.image = Image.blend(
        canvas.gradient([palette.ink, palette.sky[0], palette.ink]), mist, 0.5
    )
    canvas.halo((canvas.width * 0.5, canvas.height * 0.42), canvas.unit * 0.7, palette.sky[1], 0.6)
    first, second = palette.accents
    ramps = [[first, palette.sky[2]], [second, palette.glow], [palette.sky[2], first]]
    for ramp in ramps:
        lines = canvas.count(46, 20)
        ends = [spline(_veil_edge(canvas, rng), 7) for _ in range(2)]
        with canvas.light(spread=canvas.unit * 0.01) as pen:
            for i in range(lines):
                share = i / (lines - 1)
                pairs = zip(*ends, strict=True)
                path = [
                    (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share) for a, b in pairs
                ]
                bright = 0.22 + 0.4 * (1 - share) ** 2 + (0.3 if i == 0 else 0)
                pen.line(
                    path, fill=mix((0, 0, 0), blend_stops(ramp, share), bright), width=canvas.fine
                )


def _veil_edge(canvas: Canvas, rng: random.Random) -> list[Point]:
    heights = swell(rng, 1.3, 9)
    base = canvas.height * rng.uniform(0.28, 0.62)
    return [
        (canvas.width * (i / 6 - 0.15), base - canvas.height * 0.24 * height)
        for i, height in enumerate(heights)
    ]


def halo(canvas: Canvas, rng: random.Random, source: Point) -> None:
    """A disc, rings and rays: what stands behind an icon."""
    palette = canvas.palette
    melt = canvas.mesh([*palette.sky, palette.accents[0]], 4, rng)
    canvas.image = Image.blend(canvas.gradient(palette.sky), melt, 0.4)
    centre = (canvas.width * 0.5, canvas.height * 0.4)
    reach = math.hypot(canvas.width, canvas.height)
    rays = rng.choice((24, 32, 48))
    turn = rng.uniform(0, 1)
    with canvas.stencil(palette.glow, opacity=0.13) as pen:
        for i in range(rays):
            start = 360 * (i + turn) / rays
            pen.pieslice(circle(centre, reach), start, start + 180 / rays, fill=255)
    canvas.halo(centre, canvas.unit * 0.8, palette.glow, 0.55)
    radius = canvas.unit * 0.34
    top, bottom = centre[1] - radius, centre[1] + radius
    with canvas.stencil(palette.accents[1], palette.accents[0], top=top, bottom=bottom) as pen:
        pen.ellipse(circle(centre, radius), fill=255)
    with canvas.stencil(palette.glow, opacity=0.8) as pen:
        for i in range(canvas.count(5, 3)):
            reach = radius * (1.06 + 0.0225 * i * (i + 1))
            pen.ellipse(circle(centre, reach), outline=255, width=canvas.fine * 2 - 1)

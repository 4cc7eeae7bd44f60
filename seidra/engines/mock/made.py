"""Scenes of made things: a city and its reflection, a neon grid, tiles, crystal."""

from __future__ import annotations

import math
import random

from PIL import Image, ImageDraw

from seidra.engines.mock.canvas import Canvas, Point
from seidra.engines.mock.colours import Colour, blend_stops, mix
from seidra.engines.mock.curves import across, circle, grounded, ridge

Tower = tuple[float, float, float]
"""Left, right, top."""


def city(canvas: Canvas, rng: random.Random, source: Point) -> None:
    """Rows of towers with lit windows above still water."""
    shore = canvas.height * rng.uniform(0.7, 0.76)
    _skyline(canvas, rng, shore)
    _reflect(canvas, rng, shore)


def _skyline(canvas: Canvas, rng: random.Random, shore: float) -> None:
    palette = canvas.palette
    haze = mix(palette.sky[2], palette.sky[1], 0.25)
    layers = canvas.count(4, 3)
    for i in range(layers):
        near = i / (layers - 1)
        tall = min(shore * 0.8, canvas.unit * 0.62) * (1 - 0.42 * near)
        towers = _towers(rng, canvas.width, shore, tall, canvas.unit * (0.05 + 0.04 * near))
        colour = mix(mix(haze, palette.sky[1], 0.5), palette.ink, 0.12 + 0.84 * near)
        foot = mix(colour, haze, 0.55 * (1 - near))
        with canvas.stencil(colour, foot, top=shore - tall, bottom=shore) as pen:
            for tower in towers:
                _tower(pen, rng, tower, shore)
        if near > 0.2:
            _windows(canvas, rng, towers, shore, 0.35 + 0.65 * near)


def _towers(
    rng: random.Random, width: float, shore: float, tall: float, broad: float
) -> list[Tower]:
    towers, x = [], -broad * rng.random()
    while x < width:
        wide = broad * rng.uniform(0.5, 1.5)
        towers.append((x, x + wide, shore - tall * (0.22 + 0.78 * rng.random() ** 1.8)))
        x += wide * rng.uniform(1.0, 1.25)
    return towers


def _tower(pen: ImageDraw.ImageDraw, rng: random.Random, tower: Tower, shore: float) -> None:
    left, right, top = tower
    wide = right - left
    pen.rectangle((left, top, right, shore), fill=255)
    crown = rng.random()
    if crown < 0.3:
        pen.rectangle((left + wide * 0.22, top - wide * 0.35, right - wide * 0.22, top), fill=255)
        pen.rectangle((left + wide * 0.47, top - wide * 1.1, left + wide * 0.53, top), fill=255)
    elif crown < 0.5:
        pen.polygon([(left, top), ((left + right) / 2, top - wide * 0.7), (right, top)], fill=255)
    elif crown < 0.65:
        pen.polygon([(left, top), (left, top - wide * 0.5), (right, top)], fill=255)


def _windows(
    canvas: Canvas, rng: random.Random, towers: list[Tower], shore: float, bright: float
) -> None:
    cell = max(canvas.unit * 0.0135, 3.0 * canvas.fine)
    colours = (
        [canvas.palette.glow] * 3 + [canvas.palette.accents[1]] * 2 + [canvas.palette.accents[0]]
    )
    with canvas.light(spread=canvas.unit * 0.007 if bright == 1 else 0) as pen:
        for left, right, top in towers:
            columns = int((right - left) / cell) - 1
            lit, colour = rng.uniform(0.1, 0.55), rng.choice(colours)
            for row in range(1, int((shore - top) / cell)):
                for column in range(columns):
                    if rng.random() < lit:
                        x, y = left + cell * (column + 0.85), top + cell * row
                        fill = mix((0, 0, 0), colour, bright * rng.uniform(0.45, 1.0))
                        pen.rectangle((x, y, x + cell * 0.42, y + cell * 0.5), fill=fill)


def _reflect(canvas: Canvas, rng: random.Random, shore: float) -> None:
    """Turn the picture above the shore over onto the water, row by row a little astray."""
    width, height = canvas.image.size
    line = round(shore / canvas.fine)
    depth = height - line
    mirror = canvas.image.crop((0, max(line - depth * 2, 0), width, line)).transpose(
        Image.Transpose.FLIP_TOP_BOTTOM
    )
    mirror = mirror.resize((width, depth), Image.Resampling.BILINEAR)
    dark = Image.new("RGB", mirror.size, mix(canvas.palette.ink, canvas.palette.sky[0], 0.45))
    mirror = Image.composite(
        dark, mirror, Image.linear_gradient("L").resize(mirror.size).point(_water_depth())
    )
    rows = max(height // 256, 1)
    for y in range(0, depth, rows):
        near = y / depth
        shift = round(
            (rng.gauss(0, 1) * 0.004 + 0.008 * math.sin(y * 0.4 * 256 / height) * near) * width
        )
        strip = mirror.crop((0, y, width, min(y + rows, depth)))
        canvas.image.paste(strip, (0, line + y))
        canvas.image.paste(strip, (shift, line + y))
    canvas.tick()


def _water_depth() -> list[int]:
    return [round(70 + 165 * i / 255) for i in range(256)]


def grid(canvas: Canvas, rng: random.Random, source: Point) -> None:
    """A glowing floor of lines running to a horizon of ridges or towers, under a sun cut by
    bars."""
    palette, width, height = canvas.palette, canvas.width, canvas.height
    horizon = height * rng.uniform(0.6, 0.66)
    radius = min(canvas.unit * 0.27, horizon * 0.62)
    _barred_sun(canvas, (width / 2, horizon - radius * 0.72), radius)
    if rng.random() < 0.5:
        _skyline(canvas, rng, horizon)
    else:
        line = across(ridge(rng), width, horizon, canvas.unit * 0.1)
        far = mix(palette.ink, palette.sky[1], 0.5)
        with canvas.stencil(far, palette.ink, top=horizon * 0.85, bottom=horizon) as pen:
            pen.polygon(
                grounded([(x, min(y, horizon)) for x, y in line], horizon + canvas.fine), fill=255
            )
    with canvas.stencil(
        mix(palette.ink, palette.sky[1], 0.55), palette.ink, top=horizon, bottom=height
    ) as pen:
        pen.rectangle((0, horizon, width, height), fill=255)
    _floor(canvas, horizon)
    canvas.halo((width / 2, horizon), canvas.unit * 0.7, palette.accents[1], 0.25)


def _barred_sun(canvas: Canvas, centre: Point, radius: float) -> None:
    palette = canvas.palette
    canvas.halo(centre, radius * 2.2, palette.accents[1], 0.55)
    top, bottom = centre[1] - radius, centre[1] + radius
    stops = (palette.glow, mix(palette.glow, palette.sky[2], 0.75), palette.sky[1])
    with canvas.stencil(*stops, top=top, bottom=bottom) as pen:
        pen.ellipse(circle(centre, radius), fill=255)
        for i in range(7):
            y = centre[1] - radius * 0.12 + radius * 0.16 * i
            pen.rectangle(
                (centre[0] - radius, y, centre[0] + radius, y + radius * 0.014 * (i + 1)), fill=0
            )


def _floor(canvas: Canvas, horizon: float) -> None:
    width, depth = canvas.width, canvas.height - horizon
    line = max(round(canvas.unit * 0.0024), canvas.fine)
    with canvas.light(spread=canvas.unit * 0.007) as pen:
        for i in range(-26, 27):
            colour = mix(canvas.palette.accents[0], (0, 0, 0), min(abs(i) / 34, 0.8))
            x = width / 2 + i * canvas.unit * 0.036
            pen.line(
                (x, horizon, width / 2 + (x - width / 2) * 8, canvas.height),
                fill=colour,
                width=line,
            )
        rows = canvas.count(13, 8)
        for i in range(rows):
            near = ((i + 0.3) / rows) ** 2.4
            y = horizon + depth * near
            colour = mix((0, 0, 0), canvas.palette.accents[0], 0.35 + 0.65 * near)
            pen.line((0, y, width, y), fill=colour, width=line)


def tiles(canvas: Canvas, rng: random.Random, source: Point) -> None:
    """A grid of quarter discs, rings, stripes and dots in flat colours, as on a printed poster."""
    palette = canvas.palette
    across_count = max(2, round(4 * canvas.width / canvas.unit))
    side = canvas.width / min(across_count, 64)
    colours = [*palette.sky, palette.glow, palette.ink, *palette.accents]
    with canvas.paint() as pen:
        for row in range(math.ceil(canvas.height / side)):
            for column in range(math.ceil(canvas.width / side)):
                ground, figure, detail = rng.sample(colours, 3)
                _tile(pen, rng, (column * side, row * side), side, (ground, figure, detail))
    canvas.image = Image.blend(canvas.image, canvas.mesh(palette.sky, 3, rng), 0.12)
    canvas.halo(source, canvas.unit * 0.9, palette.glow, 0.25)


def _tile(
    pen: ImageDraw.ImageDraw,
    rng: random.Random,
    corner: Point,
    side: float,
    colours: tuple[Colour, ...],
) -> None:
    ground, figure, detail = colours
    x, y = corner
    pen.rectangle((x, y, x + side, y + side), fill=ground)
    turn = rng.randrange(4)
    hub = (x + side * (turn in (1, 2)), y + side * (turn in (2, 3)))
    middle = (x + side / 2, y + side / 2)
    match rng.randrange(6):
        case 0:
            for share, colour in ((1.0, figure), (0.66, detail), (0.33, ground)):
                pen.pieslice(circle(hub, side * share), turn * 90, turn * 90 + 90, fill=colour)
        case 1:
            pen.pieslice(circle(middle, side / 2), turn * 90, turn * 90 + 180, fill=figure)
            pen.ellipse(circle(middle, side * 0.17), fill=detail)
        case 2:
            for i in range(0, 8, 2):
                pen.rectangle((x, y + side * i / 8, x + side, y + side * (i + 1) / 8), fill=figure)
            pen.pieslice(circle(hub, side), turn * 90, turn * 90 + 90, fill=detail)
        case 3:
            pen.ellipse(circle(middle, side * 0.5), fill=figure)
            pen.ellipse(circle(middle, side * 0.32), fill=detail)
            pen.ellipse(circle(middle, side * 0.14), fill=ground)
        case 4:
            corners = [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]
            pen.polygon(
                [corners[turn], corners[(turn + 1) % 4], corners[(turn + 2) % 4]], fill=figure
            )
            pen.ellipse(circle(middle, side * 0.22), fill=detail)
        case _:
            pen.pieslice(circle(hub, side), turn * 90, turn * 90 + 90, fill=figure)
            far = (2 * middle[0] - hub[0], 2 * middle[1] - hub[1])
            pen.pieslice(circle(far, side * 0.42), turn * 90 + 180, turn * 90 + 270, fill=detail)


def crystal(canvas: Canvas, rng: random.Random, source: Point) -> None:
    """A field of facets, each lit by its tilt and by how near it is to the light."""
    palette = canvas.palette
    canvas.image = canvas.mesh([palette.sky[0], palette.ink, palette.sky[1]], 4, rng)
    gap = canvas.unit / canvas.count(8, 5)
    columns, rows = (
        min(math.ceil(canvas.width / gap), 160) + 2,
        min(math.ceil(canvas.height / gap), 160) + 2,
    )
    gap = max(gap, canvas.width / (columns - 2), canvas.height / (rows - 2))
    knots = [
        [
            ((c + rng.uniform(-0.92, -0.08)) * gap, (r + rng.uniform(-0.92, -0.08)) * gap)
            for c in range(columns)
        ]
        for r in range(rows)
    ]
    ramp = [
        palette.ink,
        palette.sky[0],
        palette.sky[1],
        palette.accents[0],
        palette.sky[2],
        palette.glow,
    ]
    with canvas.paint() as pen:
        for r in range(rows - 1):
            for c in range(columns - 1):
                a, b, d, e = knots[r][c], knots[r][c + 1], knots[r + 1][c], knots[r + 1][c + 1]
                halves = ((a, b, d), (b, e, d)) if rng.random() < 0.5 else ((a, b, e), (a, e, d))
                for facet in halves:
                    _facet(pen, rng, facet, source, canvas.unit, ramp)
    canvas.halo(source, canvas.unit * 0.75, palette.glow, 0.55)


def _facet(
    pen: ImageDraw.ImageDraw,
    rng: random.Random,
    facet: tuple[Point, Point, Point],
    source: Point,
    unit: float,
    ramp: list[Colour],
) -> None:
    """One triangle and, inside it, a smaller paler one: the bevel that makes it read as cut
    stone."""
    x, y = (sum(point[i] for point in facet) / 3 for i in (0, 1))
    away = math.hypot(x - source[0], y - source[1]) / unit
    tone = max(0.0, 0.92 - away * 0.85) + rng.uniform(-0.17, 0.2)
    pen.polygon(facet, fill=blend_stops(ramp, tone))
    if rng.random() < 0.6:
        lean = [(px * 0.66 + x * 0.34, py * 0.66 + y * 0.34) for px, py in facet]
        pen.polygon([facet[0], facet[1], lean[1], lean[0]], fill=blend_stops(ramp, tone + 0.1))
        pen.polygon([facet[1], facet[2], lean[2], lean[1]], fill=blend_stops(ramp, tone - 0.07))

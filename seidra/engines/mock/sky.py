"""What is above and in front of a scene: the sky's gradient, its sun, moon, stars, aurora, clouds;
the weather."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from PIL import Image

from seidra.engines.mock.canvas import Canvas, Point
from seidra.engines.mock.colours import luminance, mix
from seidra.engines.mock.curves import across, circle, swell


def paint_sky(canvas: Canvas, sky: str, rng: random.Random, source: Point) -> None:
    """Cover the canvas with a sky whose light stands at `source`."""
    palette = canvas.palette
    canvas.image = canvas.gradient(
        [*palette.sky, mix(palette.sky[2], palette.glow, 0.5)], 0, canvas.height * 0.85
    )
    clouds = canvas.mesh(
        [*palette.sky, palette.sky[0], mix(palette.sky[1], palette.accents[0], 0.4)], 4, rng
    )
    canvas.image = Image.blend(canvas.image, clouds, 0.22)
    canvas.tick()
    SKIES[sky](canvas, rng, source)


def is_dark(canvas: Canvas) -> bool:
    """Whether the palette's sky is dark enough to carry stars."""
    return luminance(canvas.palette.sky[0]) < 110


def sun(canvas: Canvas, rng: random.Random, source: Point) -> None:
    radius = canvas.unit * rng.uniform(0.1, 0.19)
    glow = canvas.palette.glow
    canvas.halo(source, canvas.unit * 0.95, mix(glow, canvas.palette.accents[0], 0.5), 0.6)
    canvas.halo(source, radius * 2.3, glow, 0.6)
    low = mix(glow, max(canvas.palette.accents, key=lambda accent: accent[0] - accent[2]), 0.6)
    with canvas.stencil(glow, low, top=source[1] - radius, bottom=source[1] + radius) as pen:
        pen.ellipse(circle(source, radius), fill=255)


def moon(canvas: Canvas, rng: random.Random, source: Point) -> None:
    stars(canvas, rng, source)
    radius = canvas.unit * rng.uniform(0.085, 0.15)
    glow = canvas.palette.glow
    canvas.halo(source, radius * 5, mix(glow, canvas.palette.sky[2], 0.5), 0.65)
    canvas.halo(source, radius * 1.8, glow, 0.5)
    canvas.sphere(source, radius, glow, mix(glow, canvas.palette.sky[1], 0.35), lean=0.3)
    with canvas.stencil(
        mix(glow, canvas.palette.sky[1], 0.55), opacity=0.3, soft=radius * 0.06
    ) as pen:
        for _ in range(14):
            angle, reach = rng.uniform(0, math.tau), radius * 0.78 * math.sqrt(rng.random())
            spot = (source[0] + math.cos(angle) * reach, source[1] + math.sin(angle) * reach)
            pen.ellipse(circle(spot, radius * rng.uniform(0.04, 0.2)), fill=255)


def stars(canvas: Canvas, rng: random.Random, source: Point) -> None:
    if not is_dark(canvas):
        clouds(canvas, rng, source)
        return
    colours = (
        canvas.palette.glow,
        mix(canvas.palette.glow, canvas.palette.sky[1], 0.45),
        canvas.palette.accents[1],
    )
    grain = max(canvas.unit / 1100, 0.5 * canvas.fine)
    with canvas.light() as pen:
        for _ in range(canvas.count(260, 60)):
            place = (rng.uniform(0, canvas.width), canvas.height * rng.random() ** 1.5 * 0.8)
            size = grain * (0.5 + 2.2 * rng.random() ** 6)
            pen.ellipse(
                circle(place, size), fill=mix((0, 0, 0), rng.choice(colours), rng.uniform(0.3, 1))
            )


def aurora(canvas: Canvas, rng: random.Random, source: Point) -> None:
    """Curtains of light: columns of one gradient hung from a wave, at low resolution, where blur is
    free."""
    stars(canvas, rng, source)
    columns, rows = 128, 96
    rays = [
        Image.linear_gradient("L").resize((1, 48)).point(_ray(0.2 + 0.09 * level))
        for level in range(10)
    ]
    for colour in (canvas.palette.accents[0], canvas.palette.accents[1], canvas.palette.sky[2]):
        curtain = Image.new("L", (columns, rows))
        hem = across(swell(rng, 1.1, columns), columns, rows * rng.uniform(0.34, 0.5), rows * 0.16)
        folds = swell(rng, 9, columns)
        for x, (_, y) in enumerate(hem):
            length = max(round(rows * (0.32 + 0.1 * folds[x])), 2)
            bright = min(max(round(5 + 4 * folds[(x * 3) % columns]), 0), 9)
            curtain.paste(rays[bright].resize((1, length)), (x, round(y) - length))
        mask = curtain.resize(canvas.image.size, Image.Resampling.BICUBIC)
        canvas.image.paste(mix(colour, canvas.palette.glow, 0.25), (0, 0), mask)
        canvas.tick()


def _ray(bright: float) -> list[int]:
    return [round(225 * bright * (i / 255) ** 1.8) for i in range(256)]


def clouds(canvas: Canvas, rng: random.Random, source: Point) -> None:
    palette = canvas.palette
    canvas.halo(source, canvas.unit * 0.8, palette.glow, 0.5)
    for bank in range(3):
        y = canvas.height * (0.16 + 0.15 * bank + rng.uniform(-0.05, 0.05))
        colour = mix(palette.sky[2], palette.glow, 0.3 + 0.2 * bank)
        with canvas.stencil(colour, opacity=0.5, soft=canvas.unit * 0.018) as pen:
            for _ in range(5):
                x, reach = rng.uniform(0, canvas.width), canvas.unit * rng.uniform(0.12, 0.34)
                for _ in range(9):
                    puff = (
                        x + rng.uniform(-reach, reach),
                        y + rng.uniform(-0.024, 0.024) * canvas.unit,
                    )
                    wide, high = (
                        reach * rng.uniform(0.25, 0.7),
                        canvas.unit * rng.uniform(0.003, 0.016),
                    )
                    pen.ellipse(
                        (puff[0] - wide, puff[1] - high, puff[0] + wide, puff[1] + high), fill=255
                    )


SKIES: dict[str, Callable[[Canvas, random.Random, Point], None]] = {
    "sun": sun,
    "moon": moon,
    "stars": stars,
    "aurora": aurora,
    "clouds": clouds,
}


def rain(canvas: Canvas, rng: random.Random) -> None:
    lean = rng.uniform(-0.25, 0.25)
    with canvas.stencil(
        mix(canvas.palette.glow, canvas.palette.accents[0], 0.3), opacity=0.3
    ) as pen:
        for _ in range(canvas.count(230)):
            x, y = rng.uniform(-0.1, 1.1) * canvas.width, rng.uniform(-0.1, 1) * canvas.height
            drop = canvas.unit * rng.uniform(0.025, 0.08)
            pen.line((x, y, x + lean * drop, y + drop), fill=255, width=canvas.fine)


def snow(canvas: Canvas, rng: random.Random) -> None:
    for size, soft, share in ((0.0022, 0.0, 150), (0.0065, 0.004, 45), (0.016, 0.009, 12)):
        with canvas.stencil((255, 255, 255), opacity=0.75, soft=soft * canvas.unit) as pen:
            for _ in range(canvas.count(share)):
                place = (rng.uniform(0, canvas.width), rng.uniform(0, canvas.height))
                pen.ellipse(
                    circle(place, canvas.unit * size * rng.uniform(0.5, 1.1)),
                    fill=rng.randint(110, 255),
                )


def embers(canvas: Canvas, rng: random.Random) -> None:
    colours = (canvas.palette.glow, canvas.palette.accents[1], canvas.palette.accents[0])
    with canvas.light(spread=canvas.unit * 0.008) as pen:
        for _ in range(canvas.count(130)):
            x, y = rng.uniform(0, canvas.width), canvas.height * (1 - rng.random() ** 1.4)
            size = canvas.unit * (0.0007 + 0.0026 * rng.random() ** 3)
            pen.ellipse(
                (x - size, y - size * rng.uniform(1, 2.2), x + size, y + size),
                fill=rng.choice(colours),
            )


def petals(canvas: Canvas, rng: random.Random) -> None:
    light, deep = mix(canvas.palette.accents[0], (255, 255, 255), 0.55), canvas.palette.accents[0]
    with canvas.paint() as pen:
        for _ in range(canvas.count(46)):
            x, y = rng.uniform(0, canvas.width), rng.uniform(0, canvas.height)
            size, angle = canvas.unit * rng.uniform(0.006, 0.02), rng.uniform(0, math.tau)
            shape = []
            for i in range(14):
                t = math.tau * i / 14
                px, py = size * math.cos(t), size * 0.55 * math.sin(t) * (1 - 0.35 * math.cos(t))
                shape.append(
                    (x + px * math.cos(angle) - py * math.sin(angle), y + px * math.sin(angle) + py)
                )
            pen.polygon(shape, fill=(*mix(deep, light, rng.random()), rng.randint(150, 240)))


def fireflies(canvas: Canvas, rng: random.Random) -> None:
    for _ in range(canvas.count(16, 6)):
        place = (rng.uniform(0, canvas.width), canvas.height * rng.uniform(0.3, 0.95))
        size = canvas.unit * rng.uniform(0.012, 0.04)
        canvas.halo(place, size, canvas.palette.glow, rng.uniform(0.6, 1.0))
        canvas.halo(place, size * 0.3, canvas.palette.glow)


def clear(canvas: Canvas, rng: random.Random) -> None:
    """Nothing falls."""


WEATHERS: dict[str, Callable[[Canvas, random.Random], None]] = {
    "rain": rain,
    "snow": snow,
    "embers": embers,
    "petals": petals,
    "fireflies": fireflies,
    "none": clear,
}

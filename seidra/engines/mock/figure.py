"""The figure: a head in profile before whatever scene the words gave."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Sequence

from PIL import ImageDraw

from seidra.engines.mock.canvas import Canvas, Point
from seidra.engines.mock.colours import Colour, blend_stops, mix
from seidra.engines.mock.curves import circle, spline

Placer = Callable[[Sequence[Point]], list[Point]]
"""From head heights about the head's centre to the canvas."""

# A profile facing right, in head heights about the head's centre; from the hairline down the face
# to the throat.
_FACE: tuple[Point, ...] = (
    (0.20, -0.44), (0.31, -0.34), (0.362, -0.22), (0.365, -0.12), (0.352, -0.065), (0.385, 0.01),
    (0.435, 0.085), (0.428, 0.118), (0.375, 0.135), (0.368, 0.165), (0.398, 0.20), (0.392, 0.225),
    (0.366, 0.238), (0.392, 0.262), (0.384, 0.292), (0.352, 0.318), (0.366, 0.372), (0.345, 0.42),
    (0.285, 0.447), (0.19, 0.43), (0.085, 0.40),
)  # fmt: skip
_THROAT: tuple[Point, ...] = (
    (0.075, 0.46), (0.07, 0.58), (0.095, 0.70), (0.18, 0.79), (0.36, 0.86), (0.62, 0.95),
    (0.78, 1.12),
)  # fmt: skip
_BACK: tuple[Point, ...] = (
    (-0.98, 1.12), (-0.84, 0.96), (-0.56, 0.85), (-0.36, 0.76), (-0.28, 0.62), (-0.275, 0.45),
    (-0.33, 0.28), (-0.42, 0.10), (-0.45, -0.08), (-0.41, -0.27), (-0.29, -0.43), (-0.11, -0.52),
    (0.06, -0.515), (0.20, -0.44),
)  # fmt: skip

_LASHES: tuple[Point, ...] = ((0.335, -0.02), (0.305, 0.006), (0.27, 0.012), (0.232, -0.004))
_BROW: tuple[Point, ...] = ((0.345, -0.1), (0.31, -0.128), (0.265, -0.128), (0.2, -0.1))
_STYLES: dict[str, tuple[tuple[Point, ...], tuple[Point, ...]]] = {
    "loose": (
        (
            (0.24, -0.46), (0.08, -0.61), (-0.2, -0.61), (-0.45, -0.42), (-0.6, -0.05),
            (-0.74, 0.32), (-1.0, 0.62), (-1.42, 0.74),
        ),
        (
            (0.25, -0.4), (0.17, -0.3), (0.07, -0.15), (-0.01, 0.05), (-0.07, 0.32), (-0.16, 0.62),
            (-0.3, 0.95), (-0.42, 1.32),
        ),
    ),
    "bob": (
        (
            (0.24, -0.46), (0.08, -0.6), (-0.2, -0.6), (-0.45, -0.4),
            (-0.54, -0.02), (-0.52, 0.3), (-0.4, 0.52),
        ),
        (
            (0.25, -0.4), (0.19, -0.3), (0.12, -0.16), (0.07, 0.02),
            (0.06, 0.22), (0.1, 0.38), (0.16, 0.5),
        ),
    ),
    "crop": (
        (
            (0.24, -0.46), (0.1, -0.6), (-0.16, -0.62), (-0.4, -0.47),
            (-0.5, -0.16), (-0.46, 0.1), (-0.36, 0.3),
        ),
        (
            (0.26, -0.38), (0.21, -0.3), (0.12, -0.24), (0.03, -0.1),
            (-0.04, 0.06), (-0.14, 0.18), (-0.26, 0.3),
        ),
    ),
    "knot": (
        ((0.24, -0.46), (0.08, -0.58), (-0.18, -0.6), (-0.38, -0.52), (-0.5, -0.44)),
        ((0.25, -0.4), (0.14, -0.2), (-0.06, 0.02), (-0.32, 0.02), (-0.5, -0.24)),
    ),
}  # fmt: skip


def figure(canvas: Canvas, rng: random.Random) -> None:
    """Draw a head and shoulders in profile, lit from ahead, its hair a sheaf of lines."""
    palette = canvas.palette
    head = min(canvas.unit * 0.5, canvas.height * 0.5)
    side = rng.choice((-1, 1))
    centre = (canvas.width * (0.5 - 0.04 * side), canvas.height * 0.44)

    def place(points: Sequence[Point]) -> list[Point]:
        return [(centre[0] + side * x * head, centre[1] + y * head) for x, y in points]

    face, throat, back = (spline(part, 4) for part in (_FACE, _THROAT, _BACK))
    floor = [(0.9, 3.0), (-1.1, 3.0)]
    top, bottom = centre[1] - head * 0.5, centre[1] + head * 1.15
    canvas.halo((centre[0] + side * head * 0.3, centre[1]), head * 1.15, palette.glow, 0.4)
    dark = mix(palette.ink, palette.sky[0], 0.25)
    with canvas.stencil(
        mix(dark, palette.accents[0], 0.25), dark, palette.ink, top=top, bottom=bottom
    ) as pen:
        pen.polygon(place([*face, *throat, *floor, *back]), fill=255)
    _face_light(canvas, place(face + throat), head, side)
    _lash(canvas, place, head)
    _hair(canvas, rng, place, head)


def _face_light(canvas: Canvas, edge: list[Point], head: float, side: int) -> None:
    """The light along the face: bands ever narrower and brighter, blurred into one shaded cheek,
    and a fine rim."""
    palette = canvas.palette
    last = len(edge) - 1
    # The deeper a band, the less of the lips and the nose it repeats.
    calm = [
        sum(x for x, _ in edge[max(i - 9, 0) : i + 10]) / len(edge[max(i - 9, 0) : i + 10])
        for i in range(last + 1)
    ]
    stops, top, bottom = (palette.glow, palette.accents[0], palette.ink), edge[0][1], edge[-1][1]
    with canvas.stencil(*stops, top=top, bottom=bottom, soft=head * 0.014) as pen:
        for band in range(7):
            depth = head * 0.2 * (1 - band / 7) ** 1.3
            inner = [
                (
                    calm[i]
                    + (x - calm[i]) * band / 7
                    - side * depth * math.sin(math.pi * i / last) ** 0.6,
                    y,
                )
                for i, (x, y) in enumerate(edge)
            ]
            pen.polygon([*edge, *reversed(inner)], fill=14 + 24 * band)
    with canvas.light(spread=head * 0.012) as pen:
        for i, (a, b) in enumerate(itertools.pairwise(edge)):
            colour = mix(palette.glow, (0, 0, 0), (i / last) ** 2)
            pen.line((*a, *b), fill=colour, width=max(round(head * 0.007), canvas.fine))


def _lash(canvas: Canvas, place: Placer, head: float) -> None:
    """A closed eye and a brow, in two strokes."""
    with canvas.stencil(mix(canvas.palette.ink, canvas.palette.sky[0], 0.2)) as pen:
        for stroke, share in ((_LASHES, 0.011), (_BROW, 0.015)):
            for i, point in enumerate(place(spline(stroke, 12))):
                thick = head * share * (0.35 + 0.65 * math.sin(math.pi * min(i / 36, 1.0)))
                pen.ellipse(circle(point, thick), fill=235)


def _hair(canvas: Canvas, rng: random.Random, place: Placer, head: float) -> None:
    """Hair as a sheaf of strands between an outer and an inner lock, which the style sets: loose,
    cropped, knotted."""
    palette = canvas.palette
    style = rng.choice(("loose", "loose", "bob", "knot", "crop"))
    outer, inner = (spline(lock, 8) for lock in _STYLES[style])
    dark = mix(palette.ink, palette.sky[0], 0.4)
    first, second = palette.accents
    ramp = [dark, palette.ink, second, mix(second, palette.sky[2], 0.5), dark, first, dark]
    wave, phase = rng.uniform(2.0, 5.0), rng.uniform(0, math.tau)
    strands = canvas.count(90, 50)
    with canvas.paint() as pen:
        pen.polygon(place([*outer, *reversed(inner)]), fill=dark)
        for i in range(strands):
            share = min(max(i / (strands - 1) + rng.uniform(-0.03, 0.03), 0.0), 1.0)
            lock = _between(
                outer,
                inner,
                share,
                (wave, phase + share * 2.5, 0.035 if style == "loose" else 0.012),
            )
            colour = mix(blend_stops(ramp, share), palette.ink, rng.uniform(0, 0.55))
            pen.line(
                place(lock), fill=colour, width=max(round(head * rng.uniform(0.004, 0.013)), 1)
            )
        if style == "knot":
            _knot(pen, rng, place, head, ramp)


def _between(
    outer: list[Point], inner: list[Point], share: float, wave: tuple[float, float, float]
) -> list[Point]:
    """The strand `share` of the way in, waving more towards its end."""
    pace, phase, size = wave
    last = len(outer) - 1
    path = []
    for i, (a, b) in enumerate(zip(outer, inner, strict=True)):
        t = i / last
        bend = size * t * t * 2 * math.sin(pace * math.tau * t + phase)
        path.append(
            (a[0] + (b[0] - a[0]) * share + bend, a[1] + (b[1] - a[1]) * share + bend * 0.6)
        )
    return path


def _knot(
    pen: ImageDraw.ImageDraw, rng: random.Random, place: Placer, head: float, ramp: list[Colour]
) -> None:
    hub = (-0.55, -0.36)
    middle = place([hub])[0]
    pen.ellipse(circle(middle, head * 0.175), fill=ramp[0])
    for i in range(34):
        start, reach = rng.uniform(0, math.tau), 0.17 * math.sqrt(rng.random())
        arc = [start + k * 0.16 for k in range(rng.randint(8, 24))]
        path = place(
            [(hub[0] + math.cos(a) * reach, hub[1] + math.sin(a) * reach * 0.94) for a in arc]
        )
        pen.line(path, fill=blend_stops(ramp, i / 33), width=max(round(head * 0.006), 1))

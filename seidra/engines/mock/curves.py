"""Lines that look grown rather than ruled: ridges, swells, splines and flow fields."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Sequence

from seidra.engines.mock.canvas import Point

Field = Callable[[float, float], float]


def ridge(rng: random.Random, levels: int = 7, roughness: float = 0.52) -> list[float]:
    """2**levels + 1 heights of about -1 to 1 by midpoint displacement: a mountain's outline."""
    heights = [rng.uniform(-0.6, 0.6), rng.uniform(-0.6, 0.6)]
    reach = 0.8
    for _ in range(levels):
        finer = []
        for left, right in itertools.pairwise(heights):
            finer += [left, (left + right) / 2 + rng.uniform(-reach, reach)]
        heights = [*finer, heights[-1]]
        reach *= roughness
    return heights


def swell(rng: random.Random, waves: float = 1.5, points: int = 97) -> list[float]:
    """`points` heights of about -1 to 1 along a few added sines: a dune or a wave."""
    parts = [
        (waves * rng.uniform(0.5, 1.3) * k, rng.uniform(0, math.tau), 0.62 / k)
        for k in (1, 1.7, 3.1)
    ]
    return [
        sum(
            size * math.sin(math.tau * pace * i / (points - 1) + phase)
            for pace, phase, size in parts
        )
        for i in range(points)
    ]


def across(heights: Sequence[float], width: float, base: float, rise: float) -> list[Point]:
    """Points from the left edge to the right: `base` minus `rise` times each height."""
    step = width / (len(heights) - 1)
    return [(i * step, base - rise * height) for i, height in enumerate(heights)]


def grounded(line: Sequence[Point], floor: float) -> list[Point]:
    """The area between a line and `floor`, as a polygon."""
    return [*line, (line[-1][0], floor), (line[0][0], floor)]


def spline(points: Sequence[Point], steps: int = 8, closed: bool = False) -> list[Point]:
    """A Catmull-Rom curve through `points`, `steps` points a span."""
    ring = (
        [points[-1], *points, points[0], points[1]] if closed else [points[0], *points, points[-1]]
    )
    curve = []
    for a, b, c, d in zip(ring, ring[1:], ring[2:], ring[3:], strict=False):
        for step in range(steps):
            t = step / steps
            curve.append((_cubic(a[0], b[0], c[0], d[0], t), _cubic(a[1], b[1], c[1], d[1], t)))
    return curve if closed else [*curve, points[-1]]


def _cubic(a: float, b: float, c: float, d: float, t: float) -> float:
    return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))


def flow_field(rng: random.Random, unit: float, turns: float = 1.0) -> Field:
    """A smooth field of directions (radians) whose features are about `unit` wide."""
    lean = rng.uniform(0, math.tau)
    waves = [
        (
            rng.uniform(0.6, 2.4) / unit,
            rng.uniform(0.6, 2.4) / unit,
            rng.uniform(0, math.tau),
            rng.uniform(0.5, 1.0),
        )
        for _ in range(3)
    ]

    def direction(x: float, y: float) -> float:
        return lean + turns * sum(
            size * math.sin(across_ * x + phase) * math.cos(down * y - phase)
            for across_, down, phase, size in waves
        )

    return direction


def follow(field: Field, start: Point, step: float, count: int) -> list[Point]:
    """The path of `count` steps of length `step` that drifts along `field` from `start`."""
    x, y = start
    path = [start]
    for _ in range(count):
        angle = field(x, y)
        x += math.cos(angle) * step
        y += math.sin(angle) * step
        path.append((x, y))
    return path


def circle(centre: Point, radius: float) -> tuple[float, float, float, float]:
    """The box of a circle, as ImageDraw wants it."""
    return (centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius)


def turned(points: Sequence[Point], angle: float, centre: Point, scale: float = 1.0) -> list[Point]:
    """`points` about the origin, scaled, turned by `angle` radians and moved to `centre`."""
    cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
    return [(centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos) for x, y in points]

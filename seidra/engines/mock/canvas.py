"""The surface that the scenes draw on: anti-aliased layers of shapes, gradients and light over one
RGB image."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from seidra.engines.mock.colours import Colour, Palette

Point = tuple[float, float]

_TERMINATOR = [round(255 * min(i / 165, 1.0) ** 1.5) for i in range(256)]
"""How dark a ball is by the distance from its highlight: slow at first, then night (1.85 radii away
are at 167)."""


@lru_cache(maxsize=1)
def _falloff() -> Image.Image:
    """A 256x256 soft light: 255 at the centre, falling as a cubic to 0 at the inscribed circle."""
    return Image.radial_gradient("L").point(
        [round(255 * max(0.0, 1 - i / 181) ** 2.2) for i in range(256)]
    )


class Canvas:
    """An RGB image of `size` pixels, drawn in fine coordinates, `fine` of which make a pixel.

    `width`, `height` and `unit` (the shorter side) are in fine coordinates, as is all that a scene
    draws. Every layer calls `tick` when it is down, which tells the picture so far: there a render
    reports and may be cancelled.
    """

    def __init__(
        self,
        size: tuple[int, int],
        fine: int,
        palette: Palette,
        detail: float,
        tell: Callable[[Image.Image], None],
    ) -> None:
        self.image = Image.new("RGB", size)
        self.fine = fine
        self.palette = palette
        self.detail = detail
        # Given the picture, it needs no reference to this canvas: the two would keep each other,
        # and the picture, in memory until Python looks for such circles.
        self._tell = tell
        self.width = size[0] * fine
        self.height = size[1] * fine
        self.unit = min(self.width, self.height)

    def tick(self) -> None:
        """A layer is down."""
        self._tell(self.image)

    def count(self, number: float, least: int = 1) -> int:
        """`number` of things at the usual detail, scaled to this render's."""
        return max(least, round(number * self.detail))

    def gradient(
        self, stops: Sequence[Colour], top: float = 0, bottom: float | None = None
    ) -> Image.Image:
        """An image of the canvas's size whose rows run through `stops` from fine row `top` to
        `bottom`."""
        width, height = self.image.size
        first = top / self.fine
        span = max((self.height if bottom is None else bottom) / self.fine - first, 1.0)
        dots = Image.new("RGB", (1, len(stops)))
        dots.putdata(list(stops))
        # From the middle of the first dot to that of the last: just the linear ramp between their
        # colours.
        ramp = dots.resize(
            (1, round(span)), Image.Resampling.BILINEAR, box=(0, 0.5, 1, len(stops) - 0.5)
        )
        column = Image.new("RGB", (1, height), stops[-1])
        column.paste(stops[0], (0, 0, 1, max(round(first), 0)))
        column.paste(ramp, (0, round(first)))
        return column.resize((width, height), Image.Resampling.NEAREST)

    def mesh(self, colours: Sequence[Colour], cells: int, rng: random.Random) -> Image.Image:
        """An image of the canvas's size in which random `colours` melt into each other, about
        `cells` a side."""
        tiny = Image.new("RGB", (cells, cells))
        tiny.putdata([rng.choice(colours) for _ in range(cells * cells)])
        small = tiny.resize((64, 64), Image.Resampling.BICUBIC)
        return small.resize(self.image.size, Image.Resampling.BILINEAR)

    @contextmanager
    def stencil(
        self,
        *stops: Colour,
        top: float = 0,
        bottom: float | None = None,
        opacity: float = 1.0,
        soft: float = 0.0,
    ) -> Iterator[ImageDraw.ImageDraw]:
        """A layer of one vertical gradient, seen where the caller draws (values 0-255); `soft`
        blurs, in fine units."""
        mask = Image.new("L", (self.width, self.height))
        yield ImageDraw.Draw(mask)
        mask = mask.reduce(self.fine)
        if soft:
            mask = self._softened(mask, soft / self.fine)
        if opacity < 1:
            mask = mask.point([round(value * opacity) for value in range(256)])
        if len(stops) == 1:
            self.image.paste(stops[0], (0, 0), mask)
        else:
            self.image.paste(self.gradient(stops, top, bottom), (0, 0), mask)
        self.tick()

    @contextmanager
    def paint(self) -> Iterator[ImageDraw.ImageDraw]:
        """Opaque or translucent RGBA shapes in any colours, drawn on the picture itself at its fine
        size."""
        layer = self.image.resize((self.width, self.height), Image.Resampling.NEAREST)
        yield ImageDraw.Draw(layer, "RGBA")
        self.image = layer.reduce(self.fine)
        self.tick()

    @contextmanager
    def light(self, spread: float = 0.0) -> Iterator[ImageDraw.ImageDraw]:
        """A layer of RGB light on black, added as light is; `spread` (fine units) puts a glow
        around what is drawn."""
        layer = Image.new("RGB", (self.width, self.height))
        yield ImageDraw.Draw(layer)
        layer = layer.reduce(self.fine)
        if spread:
            layer = ImageChops.add(layer, self._softened(layer, spread / self.fine), 0.7)
        self.image = ImageChops.add(self.image, layer)
        self.tick()

    def _softened(self, layer: Image.Image, radius: float) -> Image.Image:
        """`layer` blurred by `radius` pixels, at a smaller size, as a blur hides the difference."""
        shrink = 4 if radius >= 2.5 else 2
        small = layer.reduce(shrink).filter(ImageFilter.GaussianBlur(radius / shrink))
        return small.resize(self.image.size, Image.Resampling.BILINEAR)

    def halo(self, centre: Point, radius: float, colour: Colour, strength: float = 1.0) -> None:
        """Lay a round soft light of `radius` fine units over the picture."""
        left, top, side = self._pixels(centre, radius)
        box = (
            max(left, 0),
            max(top, 0),
            min(left + side, self.image.width),
            min(top + side, self.image.height),
        )
        if side < 2 or box[0] >= box[2] or box[1] >= box[3]:
            return
        seen = tuple((box[i] - (left, top)[i % 2]) * 256 / side for i in range(4))
        area = (box[2] - box[0], box[3] - box[1])
        tile = _falloff().resize(
            area, Image.Resampling.BILINEAR, box=(seen[0], seen[1], seen[2], seen[3])
        )
        # Laid over, not added: a third of the cost of a screen, and it keeps its colour on a light
        # ground.
        self.image.paste(colour, box[:2], tile.point([round(i * strength) for i in range(256)]))
        self.tick()

    def sphere(
        self, centre: Point, radius: float, lit: Colour, dark: Colour, lean: float = 0.4
    ) -> None:
        """A shaded ball lit from the upper left, its highlight `lean` radii off its centre."""
        left, top, side = self._pixels(centre, radius)
        if side < 4:
            return
        bright = (
            Image.radial_gradient("L")
            .point(_TERMINATOR)
            .resize((side * 2, side * 2), Image.Resampling.BILINEAR)
        )
        offset = round(side * (0.5 + lean / 2))
        shade = bright.crop((offset, offset, offset + side, offset + side))
        ball = Image.composite(
            Image.new("RGB", shade.size, dark), Image.new("RGB", shade.size, lit), shade
        )
        disc = Image.new("L", (side * 2, side * 2))
        ImageDraw.Draw(disc).ellipse((1, 1, side * 2 - 2, side * 2 - 2), fill=255)
        self.image.paste(ball, (left, top), disc.reduce(2))
        self.tick()

    def _pixels(self, centre: Point, radius: float) -> tuple[int, int, int]:
        """Left, top and side in pixels of the square about a circle given in fine units."""
        side = round(2 * radius / self.fine)
        return (
            round((centre[0] - radius) / self.fine),
            round((centre[1] - radius) / self.fine),
            side,
        )

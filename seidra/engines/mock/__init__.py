"""The default engine: it renders a real picture from a persona's words, without a model.

A picture is planned from the request's words (`plan`), drawn in layers at a working size (`sky`,
`land`, `made`, `forms`, `figure` on a `canvas`), scaled to the size asked for, finished, lettered
and encoded.
"""

from __future__ import annotations

import io
import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from PIL import Image

from seidra.engines.base import (
    Capabilities,
    Engine,
    EngineError,
    RenderContext,
    RenderedImage,
    RenderRequest,
    Sizes,
)
from seidra.engines.mock import finish, forms, land, made
from seidra.engines.mock.canvas import Canvas, Point
from seidra.engines.mock.figure import figure
from seidra.engines.mock.lettering import set_type
from seidra.engines.mock.plan import Plan, make_plan
from seidra.engines.mock.sky import WEATHERS, paint_sky

__all__ = ["MockEngine"]

_SMALLEST, _LARGEST = 64, 2048

_FEATURES = frozenset({
    "negative_prompt", "seed", "steps", "guidance", "loras", "sizes", "progress", "frames",
})  # fmt: skip

_FRAME_S, _FRAME_SIDE = 1.0, 128
"""A drawing that takes longer than so many seconds shows what there is of it, in so many pixels."""

# Pixels of the working image, fine units a pixel, and the factor on detail.
_QUALITY = {"draft": (300_000, 1, 0.7), "standard": (600_000, 2, 1.0), "high": (1_200_000, 3, 1.25)}

_SCENES: dict[str, Callable[[Canvas, random.Random, Point], None]] = {
    "mountains": land.mountains,
    "ocean": land.ocean,
    "desert": land.desert,
    "forest": land.forest,
    "city": made.city,
    "grid": made.grid,
    "tiles": made.tiles,
    "crystal": made.crystal,
    "cosmos": forms.cosmos,
    "blossom": forms.blossom,
    "flames": forms.flames,
    "strokes": forms.strokes,
    "silk": forms.silk,
    "halo": forms.halo,
}
_UNDER_A_SKY = frozenset({"mountains", "ocean", "desert", "forest", "city", "grid"})


class MockEngine(Engine):
    """Draws pictures of the request's size from its words and seeds; the same request always gives
    the same bytes."""

    kind = "mock"

    def probe(self) -> Capabilities:
        """What it can do; it has no models, and takes any name for one."""
        return Capabilities(
            version="1",
            features=_FEATURES,
            sizes=Sizes(_SMALLEST, _LARGEST, 1),
        )

    def render(self, request: RenderRequest, context: RenderContext) -> Iterator[RenderedImage]:
        """Render RGB PNGs. Raises EngineError for a side outside 64-2048 pixels."""
        for side, length in (("width", request.width), ("height", request.height)):
            if not _SMALLEST <= length <= _LARGEST:
                rule = f"{side} must be between {_SMALLEST} and {_LARGEST} pixels, and is {length}"
                raise EngineError(rule, permanent=True)
        context.submitting()
        wanted = request.wanted()
        progress = _Progress(context, len(wanted))
        for picture in wanted:
            alone = replace(request, seed=picture.seed, pictures=())
            plan = make_plan(alone)
            image = _draw(plan, alone, progress)
            image = _finish(image, plan, alone, progress)
            data = finish.encode(image)
            progress.end_picture()
            yield RenderedImage(
                data,
                "image/png",
                request.width,
                request.height,
                {
                    "engine": self.name,
                    "palette": plan.palette.name,
                    "motif": plan.motif,
                    "figure": plan.figure,
                },
                position=picture.position,
                seed=picture.seed,
                dropped=_dropped(request),
            )


def _dropped(request: RenderRequest) -> list[str]:
    """What of a request shows nowhere in a drawing: every LoRA counts alike."""
    dropped = ["images"] if request.images else []
    if any(lora.weight != 1 for lora in request.loras):
        dropped.append("loras.weight")
    if any(lora.clip_weight is not None for lora in request.loras):
        dropped.append("loras.clip_weight")
    return dropped


class _Progress:
    """Reports after each layer. How many there will be depends on the scene, so each takes a share
    of what is left of its picture."""

    def __init__(self, context: RenderContext, pictures: int) -> None:
        self._context = context
        self._pictures = pictures
        self._done = 0
        self._fraction = 0.0
        self._shown = time.monotonic()

    def __call__(self, image: Image.Image | None = None) -> None:
        self._fraction += (0.95 - self._fraction) * 0.08
        self._context.report((self._done + self._fraction) / self._pictures)
        if image is not None and time.monotonic() - self._shown >= _FRAME_S:
            self._shown = time.monotonic()
            self._context.preview(_coarse(image))

    def end_picture(self) -> None:
        """The picture in hand is whole."""
        self._done += 1
        self._fraction = 0.0
        self._shown = time.monotonic()
        self._context.report(self._done / self._pictures)


def _coarse(image: Image.Image) -> bytes:
    """What stands on the canvas, small."""
    small = image.copy()
    small.thumbnail((_FRAME_SIDE, _FRAME_SIDE), Image.Resampling.BILINEAR)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=60)
    return out.getvalue()


def _draw(plan: Plan, request: RenderRequest, progress: _Progress) -> Image.Image:
    pixels, fine, detail = _QUALITY.get(request.quality, _QUALITY["standard"])
    scale = min(1.0, math.sqrt(pixels / (request.width * request.height)))
    size = (max(round(request.width * scale), 16), max(round(request.height * scale), 16))
    canvas = Canvas(size, fine, plan.palette, plan.detail * detail, progress)
    scene = plan.motif
    rng = plan.random("sky")
    source = (canvas.width * rng.uniform(0.24, 0.76), canvas.height * rng.uniform(0.2, 0.4))
    if scene in _UNDER_A_SKY:
        # The grid brings its own sun.
        paint_sky(canvas, "stars" if scene == "grid" else plan.sky, rng, source)
    _SCENES[scene](canvas, plan.random("scene"), source)
    if plan.figure:
        figure(canvas, plan.random("figure"))
    WEATHERS[plan.weather](canvas, plan.random("weather"))
    return canvas.image


def _finish(
    image: Image.Image, plan: Plan, request: RenderRequest, progress: _Progress
) -> Image.Image:
    image = finish.bloom(image, 0.35 * plan.boldness)
    progress()
    image = finish.vignette(finish.contrast(image, plan.boldness), plan.palette.ink, 0.34)
    progress()
    if image.size != (request.width, request.height):
        image = image.resize((request.width, request.height), Image.Resampling.BICUBIC)
    progress()
    image = finish.grain(image, plan.random("grain"))
    progress()
    image = set_type(image, plan.palette, request.title, request.tags, plan.random("type"))
    progress()
    return image

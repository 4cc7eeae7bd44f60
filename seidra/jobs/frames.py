"""Unfinished pictures of jobs: made small and encoded anew, for nothing that an engine sends is
passed on as it came; one a second at most."""

from __future__ import annotations

import io
import time

from PIL import Image

LARGEST_BYTES = 64 * 1024
MIME_TYPE = "image/webp"

_SIDE = 512
_MOST_PIXELS = 16_000_000
_FORMATS = ("JPEG", "PNG", "WEBP")
_QUALITIES = (75, 50, 25)
_SECONDS = 1.0


class FramePace:
    """Says whether it is time for another frame."""

    def __init__(self) -> None:
        self._next = 0.0

    def is_due(self) -> bool:
        """Whether the last one for which this was true is a second ago."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + _SECONDS
        return True


def encode_frame(data: bytes) -> bytes | None:
    """A picture as WebP of at most 64 KB and 512 pixels a side; None for what is no whole JPEG, PNG
    or WebP of a sensible size."""
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.width * image.height > _MOST_PIXELS:
                return None
            image.draft("RGB", (_SIDE, _SIDE))
            # A new image: nothing of the old one's texts and profiles goes along.
            small = image.convert("RGB")
    except Exception:
        # Pillow's decoders raise whatever a damaged picture makes of them.
        return None
    for side in (_SIDE, _SIDE // 2):
        small.thumbnail((side, side), Image.Resampling.BILINEAR)
        small.info.clear()
        for quality in _QUALITIES:
            out = io.BytesIO()
            small.save(out, "WEBP", quality=quality, method=0)
            if out.tell() <= LARGEST_BYTES:
                return out.getvalue()
    return None

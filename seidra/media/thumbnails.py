"""Thumbnails: WebP, 320 pixels on the longer side."""

from __future__ import annotations

import io

from PIL import Image

SIZE = 320
MIME_TYPE = "image/webp"


def thumbnail(data: bytes) -> bytes:
    """A picture's thumbnail. Raises OSError (also PIL's UnidentifiedImageError) for what is no whole picture."""
    with Image.open(io.BytesIO(data)) as image:
        # Lets the decoder skip what a small picture does not need, where the format can.
        image.draft("RGB", (SIZE * 2, SIZE * 2))
        small = image.convert("RGBA" if image.mode in ("RGBA", "LA", "PA", "P") else "RGB")
        small.thumbnail((SIZE, SIZE), Image.Resampling.BICUBIC, reducing_gap=2.0)
    out = io.BytesIO()
    # method 0 takes half the time of the default for some per cent more bytes.
    small.save(out, "WEBP", quality=82, method=0)
    return out.getvalue()

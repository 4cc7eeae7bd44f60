"""Pictures that came with an import become media items."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from PIL import Image

from seidra.database.base import Connection
from seidra.database.queries import queries
from seidra.files.base import Files
from seidra.files.keys import derived_key
from seidra.folding import document
from seidra.media.thumbnails import MIME_TYPE, first_sizes, make_thumbnails
from seidra.media.write import IMPORT
from seidra.values import timestamp, to_json


@dataclass(frozen=True)
class ReadyPicture:
    """A picture whose file is there, in smaller sizes too, and that no media item names yet."""

    media_id: str
    key: str
    mime_type: str
    width: int
    height: int
    size: int
    color: str


def prepare_picture(files: Files, media_id: str, key: str) -> ReadyPicture:
    """Look at a picture and put its smaller sizes. Raises OSError for what is none."""
    with files.open(key) as file:
        data = file.read()
    try:
        with Image.open(io.BytesIO(data)) as image:
            width, height, mime_type = image.width, image.height, image.get_format_mimetype()
    except (ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise OSError(f"The picture cannot be read: {error}") from None
    thumbnails = make_thumbnails(data, first_sizes(width, height))
    for size, small in thumbnails.pictures.items():
        files.put(derived_key(key, size), small, MIME_TYPE)
    return ReadyPicture(media_id, key, str(mime_type), width, height, len(data), thumbnails.color)


def add_picture(
    tx: Connection, user_id: int, persona_id: int, picture: ReadyPicture, values: dict[str, Any]
) -> None:
    """Insert the media item of an imported persona's picture; `values` are the persona's fields."""
    metadata = {
        "prompt": values["style_prompt"],
        "negative_prompt": values["negative_prompt"],
        "seed": values["generation_params"].get("seed"),
        "parameters": values["generation_params"],
        "loras": values["loras"],
        "model": values["generation_params"].get("model_name", ""),
    }
    queries.media.create(
        tx,
        id=picture.media_id,
        user_id=user_id,
        job_id=None,
        position=0,
        source=IMPORT,
        persona_id=persona_id,
        file_type="image",
        mime_type=picture.mime_type,
        width=picture.width,
        height=picture.height,
        file_size=picture.size,
        file_key=picture.key,
        color=picture.color,
        model=metadata["model"],
        metadata=to_json(metadata),
        tags="[]",
        is_nsfw=values["is_nsfw"],
        search_text=document([values["style_prompt"]]),
        now=timestamp(),
    )

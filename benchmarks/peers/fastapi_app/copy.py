"""The same users and personas in the service's own database."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import create_engine

from benchmarks.peers.fastapi_app.models import Base

_COLUMNS = """id, user_id, name, description, style_prompt, negative_prompt, generation_params,
    tags, is_favorite, is_nsfw, avatar_url"""
_LORA_NAMES = "(SELECT JSON_GROUP_ARRAY(JSON_EXTRACT(value, '$.name')) FROM JSON_EACH(loras))"


def copy(source: sqlite3.Connection, path: Path) -> None:
    """Make the database `path` and fill it from an open SEIDRA database."""
    engine = create_engine(f"sqlite:///{path}")
    Base.metadata.create_all(engine)
    engine.dispose()
    source.execute("ATTACH ? AS peer", (str(path),))
    source.execute(
        "INSERT INTO peer.users (id, username, is_active) SELECT id, username, TRUE FROM main.users"
    )
    # SQLAlchemy's text form of a time: a blank for the T, no zone.
    times = ", ".join(
        f"REPLACE(SUBSTR({name}, 1, 26), 'T', ' ')" for name in ("created_at", "updated_at")
    )
    source.execute(
        f"INSERT INTO peer.personas ({_COLUMNS}, lora_models, created_at, updated_at)"
        f" SELECT {_COLUMNS}, {_LORA_NAMES}, {times} FROM main.personas ORDER BY id"
    )
    source.execute("DETACH peer")

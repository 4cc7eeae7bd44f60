"""Search on PostgreSQL: pg_trgm's index over owner and text, for owners of many texts and words
that it can see; everything else by a scan of the owner's texts."""

from __future__ import annotations

import re

from seidra import folding
from seidra.database.base import Connection
from seidra.database.queries import queries

MANY = 5_000
"""Of so many texts an owner's are not read whole any more where the index can help: that takes some
5 ms."""

_ASKED = 4
"""How many words a search is asked for one by one; the longest ones leave the fewest texts."""

_VISIBLE = re.compile(r"[^\W_]{3}")
"""What the index sees of a word: three letters or digits in a row. For a word without them it would
be read whole, everybody's texts."""


def found_ids(
    connection: Connection, user_id: int, words: list[str], nsfw: bool, favorite: bool | None
) -> list[str]:
    """A JSON array of the ids of those that contain all of these words, in no order, as the only
    one of a list."""
    visible = [word for word in words if _VISIBLE.search(word)]
    queries.search.plan_for_values(connection)
    indexed = (
        bool(visible)
        and queries.personas.count(connection, user_id=user_id, nsfw=True, favorite=None) > MANY
    )
    asked = (visible if indexed else words)[:_ASKED]
    others = [word for word in words if word not in asked]
    # What a scan is asked for it looks for as it stands.
    patterns = [folding.like(word) for word in asked] if indexed else asked
    patterns = patterns + [""] * (_ASKED - len(patterns))
    return [
        queries.search.containing(
            connection,
            by="index" if indexed else "scan",
            user_id=user_id,
            nsfw=nsfw,
            favorite=favorite,
            **{f"word_{n}": pattern for n, pattern in enumerate(patterns, 1)},
            others=[folding.like(word) for word in others],
        )
    ]


def check_index(tx: Connection) -> None:
    """Nothing: the server keeps the index as it keeps the table."""


def rebuild_index(tx: Connection) -> None:
    """Make the index again from its table."""
    queries.search.rebuild(tx)

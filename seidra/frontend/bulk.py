"""Many media items changed or deleted in one go."""

from __future__ import annotations

from collections.abc import Sequence

from seidra.database.base import Connection
from seidra.errors import NotFound
from seidra.library.bulk import TooManyTags, act_on_item


def act_on_media(
    tx: Connection,
    user_id: int,
    action: str,
    media_ids: Sequence[str],
    tags: Sequence[str],
    keep_days: int,
) -> list[str]:
    """Do the same to each item; returns the ids of those that it was done to: not to what is not
    there, and not to what would get too many tags. Raises Forbidden, and nothing is done, for what
    the NSFW settings do not allow."""
    done = []
    for media_id in dict.fromkeys(media_ids):
        try:
            act_on_item(tx, user_id, media_id, action, tags, keep_days)
        except (NotFound, TooManyTags):
            continue
        done.append(media_id)
    return done

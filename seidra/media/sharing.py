"""Links for outsiders: whoever has one sees a picture, or a collection, until it ends or is taken
back.

A link is a random token, of which the hash alone is stored, so that no backup opens anything. It
goes with what it opens: what lies in the trash has none, and comes back without.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from seidra.database.base import Connection, Row
from seidra.database.queries import queries
from seidra.errors import NotFound, QuotaExceeded
from seidra.media.write import check_may_share
from seidra.values import new_uid, timestamp, timestamp_in

MAX_LINKS = 10_000
"""Links of an account that are good at a time."""

_DAY = 86_400.0
_TOKEN_BYTES = 32
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class MadeLink:
    """A link that was just made. The token is told this once."""

    id: str
    token: str
    expires_at: str


def share_media(tx: Connection, user_id: int, row: Row, days: int, with_details: bool) -> MadeLink:
    """Make a link to a user's item. Raises Forbidden and QuotaExceeded."""
    check_may_share(tx, user_id, is_nsfw=bool(row["is_nsfw"]))
    return _make_link(tx, user_id, days, with_details, media_id=row["id"], collection_id=None)


def share_collection(
    tx: Connection, user_id: int, collection_id: str, days: int, with_details: bool
) -> MadeLink:
    """Make a link to a user's collection; what of it is NSFW it shows while that is in force for
    the owner. Raises Forbidden and QuotaExceeded."""
    check_may_share(tx, user_id, is_nsfw=False)
    return _make_link(tx, user_id, days, with_details, media_id=None, collection_id=collection_id)


def _make_link(
    tx: Connection, user_id: int, days: int, with_details: bool, **opens: str | None
) -> MadeLink:
    count = queries.share_links.count_live(tx, user_id=user_id, now=timestamp())
    if count >= MAX_LINKS:
        raise QuotaExceeded("links", MAX_LINKS, count, "take some back first")
    link = MadeLink(new_uid(), secrets.token_urlsafe(_TOKEN_BYTES), timestamp_in(_DAY * days))
    queries.share_links.create(
        tx,
        id=link.id,
        user_id=user_id,
        token_hash=_hash(link.token),
        with_details=with_details,
        now=timestamp(),
        expires_at=link.expires_at,
        **opens,
    )
    return link


def links_page(
    connection: Connection,
    user_id: int,
    of: Literal["user", "media", "collection"],
    query: Mapping[str, Any],
    item_id: str | None = None,
) -> tuple[list[Row], int]:
    """A page of a user's links that are good, the newest first, and how many there are: all, or
    those of an item or a collection."""
    asked = {"user_id": user_id, "media_id": item_id, "collection_id": item_id, "now": timestamp()}
    rows = queries.share_links.newest(
        connection, of=of, **asked, limit=query["limit"], offset=query["offset"]
    )
    return rows, queries.share_links.count(connection, of=of, **asked)


def take_back(tx: Connection, user_id: int, link_id: str) -> None:
    """Take a link back, at once. Raises NotFound."""
    if not queries.share_links.delete(tx, id=link_id, user_id=user_id):
        raise NotFound("link")


@dataclass(frozen=True)
class OpenedLink:
    """What a good token opens: a media item, or the collection of a name."""

    user_id: int
    media_id: str | None
    collection_id: str | None
    with_details: bool
    name: str | None
    description: str | None


def open_link(connection: Connection, token: str) -> OpenedLink:
    """What a token opens. Raises NotFound, whatever is the matter with it."""
    row = (
        queries.share_links.opened(connection, token_hash=_hash(token), now=timestamp())
        if _TOKEN.fullmatch(token)
        else None
    )
    if row is None:
        raise NotFound
    return OpenedLink(
        row["user_id"],
        row["media_id"],
        row["collection_id"],
        bool(row["with_details"]),
        row["name"],
        row["description"],
    )


def linked_picture(connection: Connection, link: OpenedLink, media_id: str | None = None) -> Row:
    """The picture of a link, or one of its collection. Raises NotFound."""
    row = queries.share_links.picture(
        connection,
        id=media_id or link.media_id,
        user_id=link.user_id,
        media_id=link.media_id,
        collection_id=link.collection_id,
    )
    if row is None:
        raise NotFound
    return row


def linked_pictures(
    connection: Connection, link: OpenedLink, limit: int, offset: int
) -> tuple[list[Row], int]:
    """A page of the pictures of a link's collection, and how many there are."""
    asked = {"collection_id": link.collection_id, "user_id": link.user_id}
    rows = queries.share_links.pictures(connection, **asked, limit=limit, offset=offset)
    return rows, queries.share_links.pictures_count(connection, **asked)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()

"""The same done to many personas or media items."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from seidra import folding
from seidra.config import Settings
from seidra.database.base import Connection, Database, Row
from seidra.database.batches import act_on_each
from seidra.engines.setup import Setup
from seidra.errors import Problem
from seidra.jobs import queue
from seidra.jobs.requests import PREVIEW, draft_job, look_of, read_asked
from seidra.media.trash import delete_item
from seidra.media.write import PRIVATE, SHARED, change_item, deletable_version, own_item
from seidra.nsfw import policy
from seidra.personas import write
from seidra.values import from_json
from seidra.web.fields import MAX_TAGS

MAX_ITEMS = 1_000
"""Items that one request changes."""

TAGGING = ("tag", "untag")
CHANGES: dict[str, dict[str, Any]] = {
    "favorite": {"is_favorite": True},
    "unfavorite": {"is_favorite": False},
    "nsfw": {"is_nsfw": True},
    "sfw": {"is_nsfw": False},
}
SHARING: dict[str, dict[str, Any]] = {
    "share": {"visibility": SHARED},
    "unshare": {"visibility": PRIVATE},
}
MEDIA_ACTIONS = (*CHANGES, *TAGGING, *SHARING, "delete")
PERSONA_ACTIONS = (*MEDIA_ACTIONS, "preview")


class TooManyTags(Problem):
    """An item would have more tags than it may."""

    status, code = 422, "too_many_tags"


# -------------------------------------------------------------------------------------- which ones


class ReadPage(Protocol):
    """`read_page` of personas, `media_page` of media."""

    def __call__(
        self, connection: Connection, user_id: int, nsfw: bool, query: dict[str, Any], /
    ) -> tuple[list[Row], int]: ...


def filtered_ids(
    database: Database,
    user_id: int,
    read_page: ReadPage,
    query: Mapping[str, Any],
    *,
    most: int | None,
) -> tuple[list[Any], int]:
    """The ids of the first that a filter finds (`most` of them, None: all), in the order of their
    list, and how many more there are."""
    ids: list[Any] = []
    with database.snapshot() as connection:
        nsfw = policy.may_list_nsfw(connection, user_id, query["include_nsfw"])
        while True:
            page = {"sort": "-created_at", **query, "limit": MAX_ITEMS, "offset": len(ids)}
            rows, total = read_page(connection, user_id, nsfw, page)
            ids += [row["id"] for row in rows]
            if not rows or len(ids) >= total or (most is not None and len(ids) >= most):
                return ids, total - len(ids)


# ------------------------------------------------------------------------------------ what is done


def act_on_personas(
    database: Database,
    user_id: int,
    ids: Iterable[int],
    action: str,
    tags: Sequence[str],
    setup: Setup,
    settings: Settings,
) -> list[dict[str, Any]]:
    """Do the same to each of a user's personas; returns `{id, code}` of those that it was not done
    to."""

    def act(tx: Connection, persona_id: int) -> None:
        if action == "delete":
            write.delete_persona(tx, user_id, persona_id, settings.keep_trash_days, _any_version)
        elif action == "preview":
            asked = read_asked({})
            look = look_of(write.see_persona(tx, user_id, persona_id), user_id)
            draft = draft_job(tx, user_id, setup, asked, look, PREVIEW)
            queue.add_job(tx, user_id, draft, asked.force, settings)
        else:
            row = write.read_persona(tx, user_id, persona_id)
            change = _change_of(action, row, tags)
            write.change_persona(tx, user_id, persona_id, change, _any_version)

    return act_on_each(database, user_id, ids, act)


def act_on_media(
    database: Database,
    user_id: int,
    ids: Iterable[str],
    action: str,
    tags: Sequence[str],
    settings: Settings,
) -> list[dict[str, Any]]:
    """The same of media items."""

    def act(tx: Connection, media_id: str) -> None:
        act_on_item(tx, user_id, media_id, action, tags, settings.keep_trash_days)

    return act_on_each(database, user_id, ids, act)


def act_on_item(
    tx: Connection, user_id: int, media_id: str, action: str, tags: Sequence[str], keep_days: int
) -> None:
    """Do something to a media item. Raises NotFound, TooManyTags, and Forbidden for what the NSFW
    settings do not allow, before anything is written."""
    if action == "delete":
        # Seen or not: an owner may always delete.
        deletable_version(tx, user_id, media_id)
        delete_item(tx, user_id, media_id, keep_days)
    else:
        row = own_item(tx, user_id, media_id)
        change_item(tx, user_id, row, _change_of(action, row, tags))


def _any_version(version: int) -> None:
    """A change of many asks for no version."""


def _change_of(action: str, row: Row, tags: Sequence[str]) -> dict[str, Any]:
    if change := (CHANGES | SHARING).get(action):
        return change
    stored: list[str] = from_json(row["tags"])
    keys = {folding.fold(tag) for tag in (tags if action == "untag" else stored)}
    if action == "untag":
        return {"tags": [tag for tag in stored if folding.fold(tag) not in keys]}
    changed = [*stored, *(tag for tag in tags if folding.fold(tag) not in keys)]
    if len(changed) > MAX_TAGS:
        raise TooManyTags(f"It would have more than {MAX_TAGS} tags.")
    return {"tags": changed}

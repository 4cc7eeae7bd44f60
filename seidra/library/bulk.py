"""The same done to many personas or media items, a batch of them a transaction, so that nobody else
waits long for a turn to write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from seidra import folding
from seidra.config import Settings
from seidra.database.base import Connection, Database
from seidra.engines.setup import Setup
from seidra.errors import Problem
from seidra.jobs import queue
from seidra.jobs.requests import PREVIEW, draft_job, look_of, read_asked
from seidra.media import pages
from seidra.media.trash import delete_item
from seidra.media.write import change_item, deletable_version, visible_item
from seidra.personas import search, write
from seidra.values import from_json

MAX_ITEMS = 1_000
"""Items that one request changes."""

MAX_TAGS = 50
"""Tags that an item may have."""

TAGGING = ("tag", "untag")
CHANGES: dict[str, dict[str, Any]] = {
    "favorite": {"is_favorite": True},
    "unfavorite": {"is_favorite": False},
    "nsfw": {"is_nsfw": True},
    "sfw": {"is_nsfw": False},
}
MEDIA_ACTIONS = (*CHANGES, *TAGGING, "delete")
PERSONA_ACTIONS = (*MEDIA_ACTIONS, "preview")

_Id = TypeVar("_Id", int, str)

_BATCH = 100
"""Items that one transaction changes, some 2 ms each at the worst."""


class TooManyTags(Problem):
    """An item would have more tags than it may."""

    status, code = 422, "too_many_tags"


@dataclass
class Outcome:
    """How many were done, and which were not: `{id, code}`."""

    done: int
    failed: list[dict[str, Any]]


# -------------------------------------------------------------------------------------- which ones


def filtered_personas(
    database: Database, user_id: int, nsfw: bool, query: Mapping[str, Any]
) -> tuple[list[int], int]:
    """The first of a user's personas that a filter finds, in the order of the list, and how many
    more there are."""
    with database.snapshot() as connection:
        ids, total = search.page_ids(
            connection, user_id, nsfw, {**query, "limit": MAX_ITEMS, "offset": 0}
        )
    return ids, total - len(ids)


def filtered_media(
    database: Database, user_id: int, nsfw: bool, query: Mapping[str, Any]
) -> tuple[list[str], int]:
    """The same of media."""
    with database.snapshot() as connection:
        ids = pages.matching_items(connection, user_id, nsfw, query)
    return ids[:MAX_ITEMS], max(len(ids) - MAX_ITEMS, 0)


# ------------------------------------------------------------------------------------ what is done


def act_on_personas(
    database: Database,
    user_id: int,
    ids: Iterable[int],
    action: str,
    tags: Sequence[str],
    setup: Setup,
    settings: Settings,
) -> Outcome:
    """Do the same to each of a user's personas."""

    def act(tx: Connection, persona_id: int) -> None:
        if action == "delete":
            write.delete_persona(tx, user_id, persona_id, settings.keep_trash_days, _any_version)
        elif action == "preview":
            asked = read_asked({})
            look = look_of(write.read_persona(tx, user_id, persona_id))
            draft = draft_job(tx, setup, asked, look, PREVIEW)
            queue.add_job(tx, user_id, draft, look, PREVIEW, asked.force, settings)
        else:
            row = write.read_persona(tx, user_id, persona_id)
            change = _change_of(action, from_json(row["tags"]), tags)
            write.change_persona(tx, user_id, persona_id, change, _any_version)

    return _act_in_batches(database, user_id, ids, act)


def act_on_media(
    database: Database,
    user_id: int,
    ids: Iterable[str],
    action: str,
    tags: Sequence[str],
    settings: Settings,
) -> Outcome:
    """Do the same to each of a user's media items."""

    def act(tx: Connection, media_id: str) -> None:
        act_on_item(tx, user_id, media_id, action, tags, settings.keep_trash_days)

    return _act_in_batches(database, user_id, ids, act)


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
        row = visible_item(tx, user_id, media_id)
        change_item(tx, user_id, row, _change_of(action, from_json(row["tags"]), tags))


def _any_version(version: int) -> None:
    """A change of many asks for no version."""


def _change_of(action: str, stored: list[str], tags: Sequence[str]) -> dict[str, Any]:
    if action in CHANGES:
        return CHANGES[action]
    keys = {folding.fold(tag) for tag in (tags if action == "untag" else stored)}
    if action == "untag":
        return {"tags": [tag for tag in stored if folding.fold(tag) not in keys]}
    changed = [*stored, *(tag for tag in tags if folding.fold(tag) not in keys)]
    if len(changed) > MAX_TAGS:
        raise TooManyTags(f"It would have more than {MAX_TAGS} tags.")
    return {"tags": changed}


def _act_in_batches(
    database: Database,
    user_id: int,
    ids: Iterable[_Id],
    act: Callable[[Connection, _Id], None],
) -> Outcome:
    outcome = Outcome(0, [])
    for batch in _batches(dict.fromkeys(ids)):
        with database.transaction(user_id) as tx:
            for id in batch:
                # The rules raise before they write, so what fails leaves the others alone.
                try:
                    act(tx, id)
                except Problem as problem:
                    code = problem.code or _CODES.get(problem.status, "refused")
                    outcome.failed.append({"id": id, "code": code})
                else:
                    outcome.done += 1
    return outcome


_CODES = {403: "forbidden", 404: "not_found"}


def _batches(ids: Iterable[_Id]) -> Iterator[list[_Id]]:
    left = iter(ids)
    while batch := list(islice(left, _BATCH)):
        yield batch

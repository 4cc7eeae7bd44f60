"""The same done to many rows, some of them a transaction, so that nobody else waits long for a turn
to write."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, TypeVar

from seidra.database.base import Connection, Database
from seidra.errors import Problem

Id = TypeVar("Id", int, str)

BATCH = 100
"""Rows that one transaction changes, some 2 ms each at the worst."""


def act_on_each(
    database: Database, user_id: int, ids: Iterable[Id], act: Callable[[Connection, Id], object]
) -> list[dict[str, Any]]:
    """Do `act` to each id once, as a write of the user; returns `{id, code}` of those that it
    raised a Problem for. `act` raises before it writes, so that these leave the others alone."""
    failed: list[dict[str, Any]] = []
    left = iter(dict.fromkeys(ids))
    while batch := list(islice(left, BATCH)):
        with database.transaction(user_id) as tx:
            for id in batch:
                try:
                    act(tx, id)
                except Problem as problem:
                    failed.append({"id": id, "code": problem.code})
    return failed

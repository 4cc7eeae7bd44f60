"""The sign of life that each worker keeps in the database, for /metrics and for people."""

from __future__ import annotations

import logging
import os
import time

from seidra.database.base import Connection, Database
from seidra.database.queries import queries
from seidra.values import timestamp, timestamp_in

SECONDS = 10.0
"""How often a worker says that it is at work."""

FORGET_SECONDS = 3600.0
"""How long the row of a worker that ended without a word stays, for people to see."""

SILENCE_SECONDS = 60.0
"""A worker that has given no sign of life for so long does not count."""

_log = logging.getLogger(__name__)


class Presence:
    """One worker's row in `workers`. A failure is logged: no sign of life is worth a job."""

    def __init__(self, database: Database, worker: str, engine: str) -> None:
        self.engine = engine
        self._database = database
        self._row = {
            "id": worker,
            "host": os.uname().nodename,
            "pid": os.getpid(),
            "engine": engine,
        }
        self._last = -SECONDS

    def show(self) -> None:
        """Say that the worker is at work, where that is due."""
        if time.monotonic() - self._last < SECONDS:
            return
        self._last = time.monotonic()
        try:
            with self._database.transaction() as tx:
                queries.workers.seen(tx, **self._row, now=timestamp())
                queries.workers.prune(tx, before=timestamp_in(-FORGET_SECONDS))
        except Exception:
            _log.exception("sign of life failed; the worker goes on")

    def end(self) -> None:
        """The worker stops."""
        try:
            with self._database.transaction() as tx:
                queries.workers.gone(tx, id=self._row["id"])
        except Exception:
            _log.exception("a stopping worker could not take its row away")


def served_engines(connection: Connection) -> set[str]:
    """The names of the engines that a live worker serves."""
    since = timestamp_in(-SILENCE_SECONDS)
    return {name for name, seen_at in engines_seen(connection).items() if seen_at >= since}


def engines_seen(connection: Connection) -> dict[str, str]:
    """When a worker that serves it last gave a sign of life, by engine."""
    seen: dict[str, str] = {}
    for worker in queries.workers.list_all(connection):
        for name in worker["engine"].split(", "):
            seen[name] = max(seen.get(name, ""), worker["seen_at"])
    return seen

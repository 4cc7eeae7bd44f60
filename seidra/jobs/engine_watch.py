"""What a worker's process knows of its engines: it looks at them now and then, and stops there what
was cancelled while nobody held it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

from seidra.database.base import Database
from seidra.database.queries import queries
from seidra.engines.base import Capabilities, Engine, EngineError
from seidra.engines.stored import capabilities_json
from seidra.values import from_json, timestamp, timestamp_in, to_json

PROBE_SECONDS = 300.0
"""How often an engine is looked at."""

_LOOK_SECONDS = 1.0
_HOLDERS_SECONDS = 2.0
"""For how long a cancelled job is left to the worker that holds it, which learns of it within a
second."""

_log = logging.getLogger(__name__)


class EngineWatch:
    """A thread that watches the engines of a process. The engines are its own to call: `probe` and
    `abandon` touch nothing that a render uses."""

    def __init__(self, database: Database, engines: Sequence[Engine]) -> None:
        self._database = database
        self._engines = {engine.name: engine for engine in engines}
        self._stopping = threading.Event()
        self.thread = threading.Thread(target=self._watch_on, name="seidra-watch", daemon=True)

    def retire(self) -> None:
        """Watch no more."""
        self._stopping.set()

    def _watch_on(self) -> None:
        try:
            self._run(self.register)
            while not self._stopping.is_set():
                self._run(self.probe_due)
                self._run(self.stop_orphans)
                self._stopping.wait(_LOOK_SECONDS)
        finally:
            self._database.leave()

    def _run(self, what: Any) -> None:
        try:
            what()
        except Exception:
            _log.exception("watching the engines failed; it goes on")
        finally:
            self._database.release()

    def register(self) -> None:
        """Say that these engines are served, and are to be looked at."""
        with self._database.transaction() as tx:
            for engine in self._engines.values():
                queries.engines.register(tx, name=engine.name, kind=engine.kind, now=timestamp())

    def probe_due(self) -> None:
        """Look at the engines that are due; of several processes one does."""
        horizon = timestamp_in(2 * PROBE_SECONDS)
        due = queries.engines.probe_due(self._database.connection, now=timestamp(), horizon=horizon)
        for row in due:
            engine = self._engines.get(row["name"])
            if engine is None or self._stopping.is_set():
                continue
            with self._database.transaction() as tx:
                mine = queries.engines.take_probe(
                    tx,
                    name=engine.name,
                    next=timestamp_in(PROBE_SECONDS),
                    now=timestamp(),
                    horizon=horizon,
                )
            if mine:
                self._probe(engine)

    def _probe(self, engine: Engine) -> None:
        found = probe_engine(engine)
        with self._database.transaction() as tx:
            if isinstance(found, str):
                queries.engines.unreachable(tx, name=engine.name, message=found, now=timestamp())
            else:
                queries.engines.probed(
                    tx,
                    name=engine.name,
                    capabilities=to_json(capabilities_json(found)),
                    now=timestamp(),
                )

    def stop_orphans(self) -> None:
        """Stop what engines still make of cancelled jobs, until they are sure that nothing runs."""
        for engine in self._engines.values():
            orphans = queries.engines.orphans(
                self._database.connection,
                engine=engine.name,
                before=timestamp_in(-_HOLDERS_SECONDS),
            )
            for row in orphans:
                try:
                    stopped = engine.abandon(from_json(row["state"]))
                except EngineError:
                    break
                if stopped:
                    with self._database.transaction() as tx:
                        queries.engines.orphan_gone(tx, job_id=row["job_id"])


def probe_engine(engine: Engine) -> Capabilities | str:
    """What an engine has and can do, or a sentence why it could not be asked."""
    try:
        return engine.probe()
    except EngineError as error:
        return str(error)
    except Exception:
        _log.exception("an engine could not be asked", extra={"fields": {"engine": engine.name}})
        return "The engine answered what makes no sense; the server's log says more."

"""The worker of a process: a thread for each slot of each engine that claims and works off jobs,
and one that keeps house and watches the engines.

A slot is one job at a time on one engine; an engine has `at_once` of them, over all processes: the
statement that claims counts. So a slow engine holds up no other.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import NamedTuple

from seidra.config import Settings
from seidra.database.base import Database, Row
from seidra.database.queries import queries
from seidra.engines.base import Engine
from seidra.files.base import Files
from seidra.jobs import queue
from seidra.jobs.attempt import SHORTEST_PAUSE, Attempt, Workshop
from seidra.jobs.engine_watch import EngineWatch
from seidra.jobs.presence import Presence
from seidra.values import timestamp

_FIRST_ESTIMATE = 1.0
"""Seconds that a job is taken to need before one has been measured."""

LongWork = Callable[[threading.Event], bool]

_log = logging.getLogger(__name__)


class _Claimed(NamedTuple):
    """A job that was claimed, by which claim, whether its engine has to load a model for it; when,
    and how many seconds it is taken to need."""

    job: Row
    claim: str
    loads: bool
    began: str
    estimated: float


class _Slot:
    """One job at a time on one engine."""

    def __init__(self, engine: Engine, workshop: Workshop, name: str, turn: threading.Lock) -> None:
        self.engine = engine
        self.wake = threading.Event()
        self._turn = turn
        """Of the slots of an engine in this process one claims at a time: they would only wait for
        each other in the database, and others behind them."""
        self.attempt: Attempt | None = None
        self._shop = workshop
        self._name = name
        self._claims = 0
        self._estimate = _FIRST_ESTIMATE
        self._away_until = 0.0

    def work_one(self) -> bool:
        """Claim and work off one job. Returns whether there was one."""
        if time.monotonic() < self._away_until:
            return False
        with self._turn:
            claimed = self._claim_one()
        if isinstance(claimed, bool):
            return claimed
        database, clock = self._shop.database, time.monotonic()
        self.attempt = Attempt(self._shop, self.engine, claimed.job, claimed.claim, claimed.loads)
        try:
            if not self.attempt.run():
                # The others that wait for it would only find the same.
                self._away_until = time.monotonic() + SHORTEST_PAUSE
        finally:
            self.attempt = None
            took = time.monotonic() - clock
            self._estimate = took
            with database.transaction(shared=True) as tx:
                queue.add_turn(tx, claimed.job, took - claimed.estimated, claimed.began)
        return True

    def _claim_one(self) -> _Claimed | bool:
        """Claim one job; or whether there was one, which was refused."""
        engine, database = self.engine.name, self._shop.database
        at_once, now = self.engine.options.at_once, timestamp()
        if queries.jobs.due(database.connection, engine=engine, now=now, at_once=at_once) is None:
            return False
        self._claims += 1
        claim, began = f"{self._name}-{self._claims}", timestamp()
        # Of a turn counts what is over before it ends, as the job before went.
        turn = max(self.engine.options.turn_s - self._estimate, 0.0)
        # Claims of an engine take turns: each sees how many jobs are in hand, and who had how much.
        with database.transaction(f"engine {engine}") as tx:
            job = queue.claim_job(tx, engine, at_once, claim, self._shop.settings, turn)
            if job is None or queue.refuse_job(tx, job, claim):
                return job is not None
            # What is in hand counts as estimated, or its owner would have the next turn too.
            estimated = self._estimate
            queue.add_turn(tx, job, estimated, began)
            loads = queue.note_load(tx, job)
        return _Claimed(job, claim, loads, began, estimated)


class Worker:
    """The threads of one process that work off the jobs of its engines until they are stopped.

    `engines` holds one instance for each slot, `watched` one of each engine to look at meanwhile.
    Between jobs, one thread calls `keep_house` and says whether all idle; it returns whether it
    has more to do at once. What takes long has a thread of its own: each of `long_works` does one
    piece, such as an export, says whether there was one, and ends early once its event is set, for
    then this process stops.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        files: Files,
        engines: Sequence[Engine],
        wake: threading.Event,
        keep_house: Callable[[bool], bool],
        watched: Sequence[Engine] = (),
        long_works: Sequence[LongWork] = (),
    ) -> None:
        self.name = f"{os.uname().nodename[:20]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._database = database
        self._settings = settings
        self._keep_house = keep_house
        names = list(dict.fromkeys(engine.name for engine in engines))
        self._presence = Presence(database, self.name, ", ".join(names))
        workshop = Workshop(settings, database, files, self._presence.show)
        turns = {name: threading.Lock() for name in names}
        self._slots = [
            _Slot(engine, workshop, f"{self.name}.{number}", turns[engine.name])
            for number, engine in enumerate(engines)
        ]
        self._watch = EngineWatch(database, watched)
        self._wake = wake
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep_on, name="seidra-worker", daemon=True)
        self._long_works = long_works
        self._long_wake = threading.Event()
        self._long_worker = threading.Thread(
            target=self._work_long_on, name="seidra-long-works", daemon=True
        )
        self._stop_listening: Callable[[], None] = lambda: None
        self._threads = [
            threading.Thread(
                target=self._work_on, args=(slot,), name=f"seidra-{slot.engine.name}", daemon=True
            )
            for slot in self._slots
        ]

    def start(self) -> None:
        """Begin to work."""
        fields = {"worker": self.name, "engine": self._presence.engine}
        _log.info("worker started", extra={"fields": fields})
        for thread in (self._keeper, self._watch.thread, self._long_worker, *self._threads):
            thread.start()
        self._stop_listening = self._database.listen(self._wake_slots)

    def retire(self) -> None:
        """Take no more jobs; those in hand go on. `stop` follows."""
        self._stopping.set()
        self._stop_listening()
        self._watch.retire()
        self._wake_slots()
        self._long_wake.set()
        self._wake.set()

    def stop(self, grace: float) -> None:
        """Take no more jobs; finish those in hand within `grace` seconds, or else leave them: what
        an outside server renders goes on, and the next attempt takes it up."""
        self.retire()
        _join_all((self._keeper, self._long_worker, *self._threads), grace)
        left = [slot.attempt for slot in self._slots if slot.attempt is not None]
        for attempt in left:
            attempt.leave()
        _join_all((*self._threads, self._watch.thread), 1.0)
        for thread, slot in zip(self._threads, self._slots, strict=True):
            held = slot.attempt
            if thread.is_alive() and held is not None:
                # The engine does not listen. The fence throws away what it may still bring.
                held.give_back()
        _log.info("worker stopped", extra={"fields": {"worker": self.name}})

    def work_one(self) -> bool:
        """Claim and work off one job at each slot, in this thread. Returns whether there was
        one."""
        worked = [not self._stopping.is_set() and slot.work_one() for slot in self._slots]
        return any(worked)

    def work_long(self) -> bool:
        """Do one piece of each work that takes long, in this thread. Returns whether there was
        one."""
        worked = [work(self._stopping) for work in self._long_works]
        return any(worked)

    def _wake_slots(self) -> None:
        for slot in self._slots:
            slot.wake.set()

    def _work_long_on(self) -> None:
        try:
            while not self._stopping.is_set():
                self._long_wake.clear()
                try:
                    worked = self.work_long()
                except Exception:
                    _log.exception("a work that takes long failed; it goes on")
                    self._stopping.wait(1.0)
                    continue
                self._database.release()
                if not worked and not self._stopping.is_set():
                    self._long_wake.wait(self._settings.job_poll_ms / 1000)
        finally:
            self._database.leave()

    def _work_on(self, slot: _Slot) -> None:
        try:
            while not self._stopping.is_set():
                # Cleared before looking: what is queued from here on sets it again.
                slot.wake.clear()
                try:
                    worked = slot.work_one()
                except Exception:
                    _log.exception("worker failed; it goes on")
                    self._stopping.wait(1.0)
                    continue
                self._database.release()
                if not worked and not self._stopping.is_set():
                    slot.wake.wait(self._settings.job_poll_ms / 1000)
        finally:
            self._database.leave()

    def _keep_on(self) -> None:
        try:
            while not self._stopping.is_set():
                self._wake.clear()
                self._wake_slots()
                self._long_wake.set()
                self._presence.show()
                try:
                    more = self._keep_house(all(slot.attempt is None for slot in self._slots))
                except Exception:
                    _log.exception("housekeeping failed; it goes on")
                    self._stopping.wait(1.0)
                    continue
                self._database.release()
                if not more:
                    self._wake.wait(self._settings.job_poll_ms / 1000)
            self._presence.end()
        finally:
            self._database.leave()


def _join_all(threads: Sequence[threading.Thread], seconds: float) -> None:
    """Wait until these have ended, so many seconds at most for all together."""
    deadline = time.monotonic() + seconds
    for thread in threads:
        if thread.ident is not None:
            thread.join(max(deadline - time.monotonic(), 0.0))

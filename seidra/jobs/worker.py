"""The worker: claim -> render -> store -> finish, and the housekeeping between jobs.

A claim is a stamp on the job's row under a lease that a heartbeat renews. Every later write to the
job requires the stamp (the fence), so whatever a worker that was cancelled, or believed dead, still
brings is thrown away.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from seidra.config import Settings
from seidra.database.base import Database, Row
from seidra.database.queries import queries
from seidra.engines.base import (
    Engine,
    EngineError,
    RenderCancelled,
    RenderContext,
    RenderDetached,
    RenderedImage,
    RenderRequest,
)
from seidra.files.base import Files
from seidra.jobs import queue, results
from seidra.jobs.presence import Presence
from seidra.media.thumbnails import TooLarge
from seidra.nsfw import policy
from seidra.values import from_json, timestamp, timestamp_in, to_json

_PROGRESS_SECONDS = 0.2
"""How far apart two writes of progress are at least: each is a write transaction."""

_log = logging.getLogger(__name__)


def _reason(error: Exception) -> str:
    """What a job's owner is told of a failure that is no EngineError."""
    if isinstance(error, TooLarge):
        return "The engine made a picture that is too large to be opened."
    if isinstance(error, results.AnnouncementGone):
        return "Storing the picture took too long."
    # The disk's errors have a number; those of Pillow and of HTTP clients are OSErrors without one.
    if isinstance(error, OSError) and error.errno:
        return f"The picture could not be stored: {os.strerror(error.errno)}."
    return "The engine failed unexpectedly; the server's log says why."


class _Lost(Exception):
    """The job is not this claim's any more: cancelled, deleted, or taken over."""


class Worker:
    """One thread that works off the jobs of its engines (by name) until it is stopped; between them
    it calls `keep_house` and says whether it idles."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        files: Files,
        engines: Mapping[str, Engine],
        wake: threading.Event,
        keep_house: Callable[[bool], None],
    ) -> None:
        self.name = f"{os.uname().nodename[:20]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._database = database
        self._settings = settings
        self._engines = engines
        self._files = files
        self._keep_house = keep_house
        self._presence = Presence(database, self.name, ", ".join(engines))
        self._wake = wake
        self._stopping = threading.Event()
        self._current: tuple[str, str, RenderContext] | None = None
        self._claims = 0
        self._thread = threading.Thread(target=self._work_on, name="seidra-worker", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def retire(self) -> None:
        """Take no more jobs; the one in hand goes on. `stop` follows."""
        self._stopping.set()
        self._wake.set()

    def stop(self, grace: float) -> None:
        """Take no more jobs; finish the one in hand within `grace` seconds, or else give it back,
        uncounted."""
        self.retire()
        self._thread.join(grace)
        if current := self._current:
            job_id, claim, context = current
            # What an outside server renders for it goes on: the next attempt takes it over.
            context.detach()
            self._thread.join(1.0)
            if self._thread.is_alive():
                # The engine does not listen. The fence throws away what it may still bring.
                self._give_back(job_id, claim)
        _log.info("worker stopped", extra={"fields": {"worker": self.name}})

    def _work_on(self) -> None:
        fields = {"worker": self.name, "engine": ", ".join(self._engines)}
        _log.info("worker started", extra={"fields": fields})
        try:
            while not self._stopping.is_set():
                # Cleared before looking: what is queued from here on sets it again.
                self._wake.clear()
                self._presence.show()
                try:
                    worked = self.work_one()
                    self._keep_house(not worked)
                except Exception:
                    _log.exception("worker failed; it goes on")
                    self._stopping.wait(1.0)
                    continue
                if not worked:
                    self._wake.wait(self._settings.job_poll_ms / 1000)
            self._presence.end()
        finally:
            self._database.leave()

    def work_one(self) -> bool:
        """Claim and work off one job of each engine. Returns whether there was one."""
        # All are asked, or those behind one that always has work would never have their turn.
        worked = [self._work_one_for(name) for name in self._engines]
        return any(worked)

    def _work_one_for(self, engine: str) -> bool:
        if self._stopping.is_set():
            return False
        due = queries.jobs.due(self._database.connection, engine=engine, now=timestamp())
        if due is None:
            return False
        self._claims += 1
        claim = f"{self.name}-{self._claims}"
        with self._database.transaction() as tx:
            job = queue.claim_job(tx, engine, claim, self._settings)
        if job is not None:
            self._try_job(job, claim)
        return True

    # -------------------------------------------------------------------------------------- one job

    def _try_job(self, job: Row, claim: str) -> None:
        context = self._make_context(job, claim)
        self._current = (job["id"], claim, context)
        done = threading.Event()
        heart = threading.Thread(
            target=self._keep_lease, args=(job["id"], claim, context, done), daemon=True
        )
        heart.start()
        began = time.monotonic()
        try:
            images = list(self._engines[job["engine"]].render(self._make_request(job), context))
            self._finish(job, claim, images, time.monotonic() - began)
        except (_Lost, RenderCancelled, RenderDetached):
            if self._stopping.is_set():
                self._give_back(job["id"], claim)
            _log.info("job left", extra={"fields": {"job": job["id"]}})
        except EngineError as error:
            self._fail(job, claim, str(error), permanent=error.permanent)
        except Exception as error:
            _log.exception("job failed", extra={"fields": {"job": job["id"]}})
            self._fail(job, claim, _reason(error))
        finally:
            done.set()
            heart.join()
            self._current = None

    def _make_context(self, job: Row, claim: str) -> RenderContext:
        last = time.monotonic()

        def on_progress(fraction: float) -> None:
            nonlocal last
            if time.monotonic() - last < _PROGRESS_SECONDS:
                return
            last = time.monotonic()
            with self._database.transaction(shared=True) as tx:
                kept = queries.jobs.progress(
                    tx,
                    id=job["id"],
                    claim=claim,
                    progress=fraction,
                    leased_until=self._lease_end(),
                    now=timestamp(),
                )
            check_fence(kept)

        def on_remember(state: dict[str, Any]) -> None:
            with self._database.transaction() as tx:
                kept = queries.jobs.remember(
                    tx, id=job["id"], claim=claim, engine_state=to_json(state)
                )
            check_fence(kept)

        def check_fence(kept: int) -> None:
            if not kept:
                self._end_lost(job["id"], context)
                raise _Lost

        context = RenderContext(on_progress, on_remember, from_json(job["engine_state"]))
        return context

    def _end_lost(self, job_id: str, context: RenderContext) -> None:
        """End a render whose job is not this claim's any more. What an outside server makes of it
        is stopped only where no other attempt goes on with it."""
        if queries.jobs.wanted(self._database.connection, id=job_id) is None:
            context.cancel()
        else:
            context.detach()

    def _keep_lease(
        self, job_id: str, claim: str, context: RenderContext, done: threading.Event
    ) -> None:
        """Renew the lease while the engine is silent; learn that the job was cancelled or taken
        over."""
        try:
            while not done.wait(min(self._settings.job_lease_seconds / 3, 1.0)):
                self._presence.show()
                try:
                    with self._database.transaction(shared=True) as tx:
                        kept = queries.jobs.heartbeat(
                            tx, id=job_id, claim=claim, leased_until=self._lease_end()
                        )
                    if not kept:
                        self._end_lost(job_id, context)
                        return
                except Exception:
                    _log.exception("heartbeat failed; it goes on")
        finally:
            self._database.leave()

    def _make_request(self, job: Row) -> RenderRequest:
        parameters, metadata = from_json(job["parameters"]), from_json(job["metadata"])
        return RenderRequest(
            prompt=job["prompt"],
            negative_prompt=job["negative_prompt"],
            title=metadata.get("persona_name", ""),
            tags=metadata.get("tags", []),
            seed=parameters["seed"],
            width=parameters["width"],
            height=parameters["height"],
            steps=parameters["num_inference_steps"],
            guidance_scale=parameters["guidance_scale"],
            scheduler=parameters["scheduler"],
            quality=parameters["quality"],
            model_name=job["model_name"],
            lora_models=[lora["name"] for lora in from_json(job["loras"])],
            is_nsfw=bool(job["is_nsfw"]),
            content_policy=policy.engine_hints(self._database.connection, job["user_id"]),
            parameters=parameters,
        )

    # -------------------------------------------------------------------------------------- its end

    def _finish(self, job: Row, claim: str, images: list[RenderedImage], seconds: float) -> None:
        """Files first; then, in one transaction, the fence and the rows that name them."""
        if not 1 <= len(images) <= results.MAX_IMAGES:
            raise EngineError(
                f"The engine made {len(images)} pictures; it may make 1 to {results.MAX_IMAGES}.",
                permanent=True,
            )
        pictures = results.prepare_pictures(job["id"], claim, images)
        metadata = from_json(job["metadata"]) | {"engine": job["engine"]}
        try:
            results.store_pictures(self._database, self._files, pictures)
            with self._database.transaction() as tx:
                owner = queries.jobs.finish(
                    tx,
                    id=job["id"],
                    claim=claim,
                    seconds=seconds,
                    metadata=to_json(metadata),
                    now=timestamp(),
                )
                if owner is None:
                    raise _Lost
                results.add_pictures(tx, job, owner, pictures, job["engine"])
        except Exception:
            self._abandon(pictures)
            raise
        _log.info(
            "job completed", extra={"fields": {"job": job["id"], "seconds": round(seconds, 3)}}
        )

    def _abandon(self, pictures: list[results.Picture]) -> None:
        try:
            results.abandon_pictures(self._database, self._files, pictures)
        except Exception:
            # Why the pictures are given up says more. Their announcements run out by themselves.
            _log.warning("pictures of a lost attempt stay for a while", exc_info=True)

    def _fail(self, job: Row, claim: str, message: str, *, permanent: bool = False) -> None:
        """End the job as failed, or let it be tried again a little later while it has attempts
        left."""
        final = permanent or job["attempts"] >= self._settings.job_max_attempts
        with self._database.transaction() as tx:
            if final:
                queries.jobs.fail(
                    tx, id=job["id"], claim=claim, error_message=message, now=timestamp()
                )
            else:
                pause = min(2.0 ** job["attempts"], 60.0)
                queries.jobs.give_back(
                    tx,
                    id=job["id"],
                    claim=claim,
                    run_after=timestamp_in(pause),
                    uncounted=0,
                    error_message=message,
                    now=timestamp(),
                )
        fields = {"job": job["id"], "attempt": job["attempts"], "final": final, "reason": message}
        _log.warning("job attempt failed", extra={"fields": fields})

    def _give_back(self, job_id: str, claim: str) -> None:
        with self._database.transaction() as tx:
            queue.give_back_job(tx, job_id, claim)

    def _lease_end(self) -> str:
        return timestamp_in(self._settings.job_lease_seconds)

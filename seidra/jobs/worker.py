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
from collections.abc import Callable
from typing import Any

from seidra.config import Settings
from seidra.database.base import Connection, Database, Row
from seidra.database.queries import queries
from seidra.engines.base import (
    Engine,
    EngineError,
    RenderCancelled,
    RenderContext,
    RenderedImage,
    RenderRequest,
)
from seidra.folding import document
from seidra.jobs.presence import Presence
from seidra.jobs.results import MAX_IMAGES, media_id, queue_cleanup
from seidra.media.storage import Storage
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
    # The disk's errors have a number; those of Pillow and of HTTP clients are OSErrors without one.
    if isinstance(error, OSError) and error.errno:
        return f"The picture could not be stored: {os.strerror(error.errno)}."
    return "The engine failed unexpectedly; the server's log says why."


class _Lost(Exception):
    """The job is not this claim's any more: cancelled, deleted, or taken over."""


class Worker:
    """One thread that works off jobs until it is stopped; between them it calls `keep_house` and
    says whether it idles."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        storage: Storage,
        engine: Engine,
        wake: threading.Event,
        keep_house: Callable[[bool], None],
    ) -> None:
        self.name = f"{os.uname().nodename[:20]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._database = database
        self._settings = settings
        self._engine = engine
        self._storage = storage
        self._keep_house = keep_house
        self._presence = Presence(database, self.name, engine.name)
        self._wake = wake
        self._stopping = threading.Event()
        self._current: tuple[str, str, RenderContext] | None = None
        self._claims = 0
        self._thread = threading.Thread(target=self._run, name="seidra-worker", daemon=True)

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
            context.cancel()
            self._thread.join(1.0)
            if self._thread.is_alive():
                # The engine does not listen. The fence throws away what it may still bring.
                self._give_back(job_id, claim)
        _log.info("worker stopped", extra={"fields": {"worker": self.name}})

    def _run(self) -> None:
        _log.info(
            "worker started", extra={"fields": {"worker": self.name, "engine": self._engine.name}}
        )
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
        """Claim and work off one job. Returns whether there was one."""
        now = timestamp()
        if queries.jobs.due(self._database.connection, now=now) is None:
            return False
        self._claims += 1
        claim = f"{self.name}-{self._claims}"
        with self._database.transaction() as tx:
            self._fail_exhausted(tx)
            job = queries.jobs.claim(tx, now=timestamp(), claim=claim, leased_until=self._lease())
        if job is None:
            return True
        self._attempt(job, claim)
        return True

    def _fail_exhausted(self, tx: Connection) -> None:
        attempts = self._settings.job_max_attempts
        message = f"The worker was lost {attempts} times while it made this; the job is given up."
        for row in queries.jobs.fail_exhausted(
            tx, now=timestamp(), max_attempts=attempts, error_message=message
        ):
            _log.error("job failed: its workers were lost", extra={"fields": {"job": row["id"]}})
            queue_cleanup(tx, row["id"])

    # -------------------------------------------------------------------------------------- one job

    def _attempt(self, job: Row, claim: str) -> None:
        context = self._context(job, claim)
        self._current = (job["id"], claim, context)
        done = threading.Event()
        heart = threading.Thread(
            target=self._beat, args=(job["id"], claim, context, done), daemon=True
        )
        heart.start()
        began = time.monotonic()
        try:
            images = list(self._engine.render(self._request(job), context))
            self._finish(job, claim, images, time.monotonic() - began)
        except (_Lost, RenderCancelled):
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
            self._storage.discard_temporary(claim)

    def _context(self, job: Row, claim: str) -> RenderContext:
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
                    leased_until=self._lease(),
                    now=timestamp(),
                )
            if not kept:
                raise _Lost

        def on_remember(state: dict[str, Any]) -> None:
            with self._database.transaction() as tx:
                queries.jobs.remember(tx, id=job["id"], claim=claim, engine_state=to_json(state))

        return RenderContext(on_progress, on_remember, from_json(job["engine_state"]))

    def _beat(self, job_id: str, claim: str, context: RenderContext, done: threading.Event) -> None:
        """Renew the lease while the engine is silent; learn that the job was cancelled or taken
        over."""
        try:
            while not done.wait(min(self._settings.job_lease_seconds / 3, 1.0)):
                self._presence.show()
                try:
                    with self._database.transaction(shared=True) as tx:
                        kept = queries.jobs.heartbeat(
                            tx, id=job_id, claim=claim, leased_until=self._lease()
                        )
                    if not kept:
                        context.cancel()
                        return
                except Exception:
                    _log.exception("heartbeat failed; it goes on")
        finally:
            self._database.leave()

    def _request(self, job: Row) -> RenderRequest:
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
            lora_models=from_json(job["lora_models"]),
            is_nsfw=bool(job["is_nsfw"]),
            content_policy=policy.hints(self._database.connection, job["user_id"]),
            parameters=parameters,
        )

    # -------------------------------------------------------------------------------------- its end

    def _finish(self, job: Row, claim: str, images: list[RenderedImage], seconds: float) -> None:
        """Files first, under temporary names; then, in one transaction, the fence, the renames and
        the rows."""
        if not 1 <= len(images) <= MAX_IMAGES:
            raise EngineError(
                f"The engine made {len(images)} pictures; it may make 1 to {MAX_IMAGES}.",
                permanent=True,
            )
        for position, image in enumerate(images):
            self._storage.put_temporary(claim, position, image.data)
        metadata = from_json(job["metadata"]) | {"engine": self._engine.name}
        with self._database.transaction() as tx:
            now = timestamp()
            owner = queries.jobs.finish(
                tx, id=job["id"], claim=claim, seconds=seconds, metadata=to_json(metadata), now=now
            )
            if owner is None:
                raise _Lost
            for position, image in enumerate(images):
                item = media_id(job["id"], position)
                self._storage.promote(claim, position, item, image.mime_type)
                self._add_media(tx, job, owner, item, position, image, now)
            if job["attempts"] > 1:
                # A crashed attempt may have left more pictures than this one made.
                queue_cleanup(tx, job["id"], first=len(images))
        _log.info(
            "job completed", extra={"fields": {"job": job["id"], "seconds": round(seconds, 3)}}
        )

    def _add_media(
        self,
        tx: Connection,
        job: Row,
        owner: Row,
        item: str,
        position: int,
        image: RenderedImage,
        now: str,
    ) -> None:
        parameters = from_json(job["parameters"])
        metadata = {
            "prompt": job["prompt"],
            "negative_prompt": job["negative_prompt"],
            "seed": parameters["seed"],
            "parameters": parameters,
            "engine": self._engine.name,
            "details": dict(image.metadata),
        }
        queries.media.create(
            tx,
            id=item,
            user_id=owner["user_id"],
            job_id=job["id"],
            position=position,
            persona_id=owner["persona_id"],
            file_type=image.mime_type.partition("/")[0],
            mime_type=image.mime_type,
            width=image.width,
            height=image.height,
            file_size=len(image.data),
            metadata=to_json(metadata),
            is_nsfw=owner["is_nsfw"],
            search_text=document([job["prompt"]]),
            now=now,
        )

    def _fail(self, job: Row, claim: str, message: str, *, permanent: bool = False) -> None:
        """End the job as failed, or let it be tried again a little later while it has attempts
        left."""
        final = permanent or job["attempts"] >= self._settings.job_max_attempts
        with self._database.transaction() as tx:
            if final and queries.jobs.fail(
                tx, id=job["id"], claim=claim, error_message=message, now=timestamp()
            ):
                queue_cleanup(tx, job["id"])
            elif not final:
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
            queries.jobs.give_back(
                tx,
                id=job_id,
                claim=claim,
                run_after=timestamp(),
                uncounted=1,
                error_message=None,
                now=timestamp(),
            )

    def _lease(self) -> str:
        return timestamp_in(self._settings.job_lease_seconds)

"""One attempt at a job: the engine renders, each picture is stored as it is made, and the job ends.

A claim is a stamp on the job's row under a lease that a heartbeat renews. Every later write to the
job requires the stamp (the fence), so whatever a worker that was cancelled, or believed dead, still
brings is thrown away.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from seidra.auth.usage import add_usage
from seidra.config import Settings
from seidra.database.base import Connection, Database, Row
from seidra.database.queries import queries
from seidra.engines import infotext
from seidra.engines.base import (
    Engine,
    EngineError,
    EngineUnavailable,
    Lora,
    Picture,
    RenderCancelled,
    RenderContext,
    RenderDetached,
    RenderedImage,
    RenderRequest,
)
from seidra.engines.maps import apply_map
from seidra.errors import Unavailable
from seidra.files.base import Files, StoreUnavailable
from seidra.jobs import queue, results
from seidra.jobs.frames import FramePace, encode_frame
from seidra.jobs.requests import DEFAULTS
from seidra.media.keys import row_key
from seidra.media.thumbnails import TooLarge
from seidra.nsfw import policy
from seidra.parameters import seed_of_picture
from seidra.values import from_json, parse_timestamp, timestamp, timestamp_in, to_json

_PROGRESS_SECONDS = 0.2
"""How far apart two writes of progress are at least: each is a write transaction."""

SHORTEST_PAUSE, LONGEST_PAUSE = 5.0, 60.0
"""Seconds until an engine that was away is tried again: as long as it has been away, within
these."""

_DATABASE_PAUSE = 1.0
"""Seconds until a database that was away is tried again."""

_SCHEDULER = "euler"
"""What a real engine is asked for where nobody chose a scheduler: every kind has it."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Workshop:
    """What every attempt in a process works with. `alive` is called now and then meanwhile."""

    settings: Settings
    database: Database
    files: Files
    alive: Callable[[], None] = field(default=lambda: None)

    def lease_end(self) -> str:
        """Until when a lease that begins now stands."""
        return timestamp_in(self.settings.job_lease_seconds)


class _Lost(Exception):
    """The job is not this claim's any more: cancelled, deleted, or taken over."""


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


class Attempt:
    """What one claim does with its job."""

    def __init__(
        self, workshop: Workshop, engine: Engine, job: Row, claim: str, loads: bool = False
    ) -> None:
        self._loads = loads
        """Whether the engine has to load a model for it, and no picture is made yet."""
        self._shop = workshop
        self._engine = engine
        self._job = job
        self._claim = claim
        self._metadata = from_json(job["metadata"]) | {"engine": job["engine"]}
        self._warnings: list[Any] = from_json(job["warnings"])
        self._missing: dict[int, Picture] = {}
        self._share = 1.0
        """Which part of the job's pictures this attempt makes."""
        self._counted = False
        self._told = time.monotonic()
        self._began = time.monotonic()
        self._counted_until = self._began
        """Until when the engine's time counts as used by the job's owner already."""
        self._leaving = self._completed = False
        self.context = RenderContext(
            self._write_progress,
            self._write_state,
            from_json(job["engine_state"]),
            self._count_submission,
            self._write_frame,
        )
        self._pace = FramePace()

    @property
    def job_id(self) -> str:
        """The id of its job."""
        return str(self._job["id"])

    def run(self) -> bool:
        """Render and store what is missing of the job, and end it. Answers whether the engine could
        be reached."""
        done = threading.Event()
        heart = threading.Thread(target=self._keep_lease, args=(done,), daemon=True)
        heart.start()
        try:
            self._render()
        except (_Lost, RenderCancelled, RenderDetached):
            if self._leaving:
                self.give_back()
            else:
                self._count_rest()
            _log.info("job left", extra={"fields": {"job": self.job_id}})
        except EngineUnavailable as error:
            self._wait_for_engine(error)
            return False
        except StoreUnavailable as error:
            self._wait_for_store(error)
        except EngineError as error:
            self._fail(str(error), error.code, permanent=error.permanent)
        except Exception as error:
            if self._is_database_away(error):
                self._wait_for_database()
            else:
                _log.exception("job failed", extra={"fields": {"job": self.job_id}})
                self._fail(_reason(error), "failed")
        finally:
            done.set()
            heart.join()
        return True

    def leave(self) -> None:
        """Let the render end: what an outside server makes goes on, for the next attempt to take
        up."""
        self._leaving = True
        self.context.detach()

    def give_back(self, pause: float = 0.0) -> None:
        """Let another attempt take the job, at once or after some seconds. This one does not count
        where nothing that it sent goes on."""
        uncounted = self._counted and not self.context.state
        with self._shop.database.transaction() as tx:
            until = self._count_use(tx)
            queries.jobs.give_back(
                tx,
                id=self.job_id,
                claim=self._claim,
                run_after=timestamp_in(pause),
                counted=-1 if uncounted else 0,
                error_message=None,
                error_code=None,
                waiting_since=None,
                now=timestamp(),
            )
        self._counted_until = until

    def _count_use(self, tx: Connection, *, pictures: int = 0, size: int = 0) -> float:
        """Count the engine's time since the last count as used by the job's owner, and what was
        made in it; returns until when, which counts once the transaction is over. An engine that is
        away is not used."""
        until = time.monotonic()
        seconds = until - self._counted_until
        add_usage(tx, self._job["user_id"], seconds=seconds, pictures=pictures, size=size)
        return until

    def _count_rest(self) -> None:
        """The same at an end that writes nothing else."""
        with self._shop.database.transaction(shared=True) as tx:
            until = self._count_use(tx)
        self._counted_until = until

    # ------------------------------------------------------------------------------------- a render

    def _render(self) -> None:
        asked = self._make_request()
        request = apply_map(asked, self._engine.options)
        for image in self._engine.render(request, self.context):
            if request.prompt != asked.prompt:
                # What an operator's map adds is no part of the job's own prompt.
                image = replace(image, used={**image.used, "prompt": request.prompt})
            if image.position in self._missing:
                self._keep_picture(image, request)
            else:
                fields = {"job": self.job_id, "position": image.position}
                _log.warning("picture that nobody asked for", extra={"fields": fields})
        if self._missing:
            made = len(request.wanted()) - len(self._missing)
            raise EngineError(
                f"The engine made {made} of {len(request.wanted())} pictures.",
                permanent=True,
                code="pictures_missing",
            )

    def _make_request(self) -> RenderRequest:
        job, parameters = self._job, from_json(self._job["parameters"])
        defaults = DEFAULTS
        seed = int(parameters["seed"])
        connection = self._shop.database.connection
        made = {row["position"] for row in queries.media.positions(connection, job_id=job["id"])}
        self._missing = {
            position: Picture(position, seed_of_picture(seed, position))
            for position in range(job["count"])
            if position not in made
        }
        self._share = len(self._missing) / job["count"]
        loras = [Lora(**entry) for entry in from_json(job["loras"])]
        return RenderRequest(
            prompt=job["prompt"],
            negative_prompt=job["negative_prompt"],
            title=self._metadata.get("persona_name", ""),
            tags=self._metadata.get("tags", []),
            seed=seed,
            width=parameters.get("width", defaults["width"]),
            height=parameters.get("height", defaults["height"]),
            steps=parameters.get("num_inference_steps", defaults["num_inference_steps"]),
            guidance_scale=parameters.get("guidance_scale", defaults["guidance_scale"]),
            scheduler=parameters.get("scheduler") or _SCHEDULER,
            quality=parameters.get("quality", defaults["quality"]),
            model_name=job["model_name"],
            lora_models=[lora.name for lora in loras],
            loras=loras,
            is_nsfw=bool(job["is_nsfw"]),
            content_policy=policy.engine_hints(connection, job["user_id"]),
            parameters=parameters,
            images={
                name: self._read_image(name, media_id)
                for name, media_id in from_json(job["images"]).items()
            },
            job_id=job["id"],
            pictures=tuple(self._missing.values()),
        )

    def _read_image(self, name: str, media_id: str) -> bytes:
        """A picture that the job starts from, which may be gone by now, or hidden."""
        row = queries.media.linked(
            self._shop.database.connection, id=media_id, user_id=self._job["user_id"]
        )
        try:
            if row is not None:
                with self._shop.files.open(row_key(row)) as file:
                    return file.read()
        except FileNotFoundError:
            pass
        raise EngineError(
            f"The picture that the job starts from ({name}) is not there any more.",
            permanent=True,
            code="image_missing",
        )

    def _keep_picture(self, image: RenderedImage, request: RenderRequest) -> None:
        """The files first; then, in one transaction, the fence and the row that names them. The
        last picture completes the job."""
        wanted = self._missing[image.position]
        self._note(image)
        text = infotext.write(infotext.of_picture(request, image))
        picture = results.prepare_picture(self.job_id, self._claim, image, text)
        written = {
            "id": self.job_id,
            "claim": self._claim,
            "metadata": to_json(self._metadata),
            "warnings": to_json(self._warnings),
        }
        last, seconds = len(self._missing) == 1, time.monotonic() - self._began
        try:
            results.store_picture(self._shop.database, self._shop.files, picture)
            with self._shop.database.transaction() as tx:
                now = timestamp()
                if last:
                    owner = queries.jobs.finish(tx, **written, seconds=seconds, now=now)
                else:
                    owner = queries.jobs.keep_picture(tx, **written, now=now)
                if owner is None:
                    self._end_lost()
                    raise _Lost
                results.add_picture(tx, self._job, owner, picture, wanted.seed)
                until = self._count_use(tx, pictures=1, size=picture.size)
                if self._loads:
                    queue.begin_turn(tx, self._job)
        except Exception:
            self._abandon(picture)
            raise
        self._loads, self._counted_until = False, until
        del self._missing[image.position]
        if last:
            self._completed = True
            fields = {"job": self.job_id, "seconds": round(seconds, 3)}
            _log.info("job completed", extra={"fields": fields})

    def _note(self, image: RenderedImage) -> None:
        """Keep with the job what was really used, what the engine could not do, and what there is
        to say about it."""
        if image.used:
            self._metadata["used"] = dict(image.used)
        if image.dropped:
            self._metadata["dropped"] = sorted({*self._metadata.get("dropped", ()), *image.dropped})
        for warning in image.metadata.get("warnings", ()):
            if warning not in self._warnings:
                self._warnings.append(warning)

    def _abandon(self, picture: results.StoredPicture) -> None:
        try:
            results.abandon_picture(self._shop.database, self._shop.files, picture)
        except Exception:
            # Why the picture is given up says more. Its announcement runs out by itself.
            _log.warning("a picture of a lost attempt stays for a while", exc_info=True)

    # ------------------------------------------------------------------- while the engine works

    def _write_progress(self, fraction: float) -> None:
        if time.monotonic() - self._told < _PROGRESS_SECONDS:
            return
        self._told = time.monotonic()
        # The engine counts the pictures that this attempt began with; the job counts all.
        earlier = 1 - self._share
        with self._shop.database.transaction(shared=True) as tx:
            kept = queries.jobs.progress(
                tx,
                id=self.job_id,
                claim=self._claim,
                progress=earlier + fraction * self._share,
                leased_until=self._shop.lease_end(),
                now=timestamp(),
            )
        self._check_fence(kept)

    def _write_frame(self, data: bytes) -> None:
        if not self._pace.is_due():
            return
        webp = encode_frame(data)
        if webp is None:
            return
        with self._shop.database.transaction(shared=True) as tx:
            kept = queries.jobs.put_frame(tx, id=self.job_id, claim=self._claim, webp=webp)
        self._check_fence(kept)

    def _write_state(self, state: dict[str, Any]) -> None:
        with self._shop.database.transaction() as tx:
            kept = queries.jobs.remember(
                tx, id=self.job_id, claim=self._claim, engine_state=to_json(state)
            )
        self._check_fence(kept)

    def _count_submission(self) -> None:
        most = self._shop.settings.job_max_attempts
        with self._shop.database.transaction() as tx:
            counted = queries.jobs.submit(
                tx, id=self.job_id, claim=self._claim, max_attempts=most, now=timestamp()
            )
            kept = 1 if counted else self._renew_lease(tx)
        self._check_fence(kept)
        if counted is None:
            raise EngineError(
                f"The worker or the engine was lost {most} times while this was made; the job is"
                " given up.",
                permanent=True,
                code="lost",
            )
        self._counted = True

    def _check_fence(self, kept: int) -> None:
        if not kept:
            self._end_lost()
            raise _Lost

    def _end_lost(self) -> None:
        """End a render whose job is not this claim's any more. What an outside server makes of it
        is stopped only where no other attempt goes on with it."""
        if queries.jobs.wanted(self._shop.database.connection, id=self.job_id) is None:
            self.context.cancel()
        else:
            self.context.detach()

    def _keep_lease(self, done: threading.Event) -> None:
        """Renew the lease while the engine is silent; learn that the job was cancelled or taken
        over."""
        try:
            while not done.wait(min(self._shop.settings.job_lease_seconds / 3, 1.0)):
                self._shop.alive()
                try:
                    with self._shop.database.transaction(shared=True) as tx:
                        kept = self._renew_lease(tx)
                    if not kept:
                        if not done.is_set():
                            self._end_lost()
                        return
                except Exception:
                    _log.exception("heartbeat failed; it goes on")
        finally:
            self._shop.database.leave()

    def _renew_lease(self, tx: Any) -> int:
        return queries.jobs.heartbeat(
            tx, id=self.job_id, claim=self._claim, leased_until=self._shop.lease_end()
        )

    # ------------------------------------------------------------------- ends without result

    def _fail(self, message: str, code: str, *, permanent: bool = False) -> None:
        """End the job as failed, or let it be tried again a little later while it has attempts
        left."""
        if self._completed:
            # The engine failed at tidying up.
            return
        counted = 0 if self._counted or code == "lost" else 1
        attempts = self._job["attempts"] + (1 if self._counted else counted)
        final = permanent or attempts >= self._shop.settings.job_max_attempts
        written = {
            "id": self.job_id,
            "claim": self._claim,
            "counted": counted,
            "error_message": message,
            "error_code": code,
        }
        with self._shop.database.transaction() as tx:
            until = self._count_use(tx)
            if final:
                queries.jobs.fail(tx, **written, now=timestamp())
            else:
                queries.jobs.give_back(
                    tx,
                    **written,
                    run_after=timestamp_in(min(2.0**attempts, 60.0)),
                    waiting_since=None,
                    now=timestamp(),
                )
        self._counted_until = until
        fields = {"job": self.job_id, "attempt": attempts, "final": final, "reason": message}
        _log.warning("job attempt failed", extra={"fields": fields})

    def _wait_for_store(self, error: StoreUnavailable) -> None:
        """Give the job back, uncounted, for a while: what failed is neither the engine nor the job.
        What it has made is made again then."""
        with self._shop.database.transaction() as tx:
            queries.jobs.give_back(
                tx,
                id=self.job_id,
                claim=self._claim,
                run_after=timestamp_in(LONGEST_PAUSE),
                counted=-1 if self._counted else 0,
                error_message=error.detail,
                error_code="storage",
                waiting_since=None,
                now=timestamp(),
            )
        _log.warning("the store of files is away", extra={"fields": {"job": self.job_id}})

    def _is_database_away(self, error: Exception) -> bool:
        database = self._shop.database
        if isinstance(error, database.errors):
            error = database.translate(error)
        return isinstance(error, Unavailable)

    def _wait_for_database(self) -> None:
        """Give the job back, uncounted, as soon as the database answers; where that takes longer
        than a lease, the lease has run out. Raises what it raised then."""
        _log.warning("the database was away", extra={"fields": {"job": self.job_id}})
        deadline = time.monotonic() + self._shop.settings.job_lease_seconds
        while True:
            try:
                self.give_back(SHORTEST_PAUSE)
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_DATABASE_PAUSE)
            else:
                return

    def _wait_for_engine(self, error: EngineUnavailable) -> None:
        """Give the job back, uncounted, until the engine may be there again."""
        since = self._job["waiting_since"] or timestamp()
        away = (parse_timestamp(timestamp()) - parse_timestamp(since)).total_seconds()
        pause = min(max(away, SHORTEST_PAUSE), LONGEST_PAUSE)
        with self._shop.database.transaction() as tx:
            queries.jobs.give_back(
                tx,
                id=self.job_id,
                claim=self._claim,
                run_after=timestamp_in(pause),
                counted=0,
                error_message=str(error),
                error_code=error.code,
                waiting_since=since,
                now=timestamp(),
            )
        fields = {"job": self.job_id, "engine": self._job["engine"], "reason": str(error)}
        _log.warning("engine away", extra={"fields": fields})

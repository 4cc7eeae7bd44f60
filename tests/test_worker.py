"""The worker: one job, one result, whatever is cancelled, lost, taken over, stopped or killed in
between."""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import PASSWORD, Person, environment, wait_for
from flask import Flask
from PIL import Image, PngImagePlugin
from stored import columns, tables, told

from seidra.config import Settings
from seidra.database.queries import queries
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.engines.base import (
    Engine,
    EngineError,
    EngineUnavailable,
    Options,
    RenderContext,
    RenderedImage,
    RenderRequest,
)
from seidra.engines.mock import MockEngine
from seidra.errors import Unavailable
from seidra.files.local import LocalFiles
from seidra.jobs import queue, results
from seidra.jobs.engine_watch import EngineWatch
from seidra.jobs.results import media_id
from seidra.jobs.worker import Worker
from seidra.operations import housekeeping
from seidra.operations.housekeeping import Housekeeper
from seidra.operations.workers import make_worker
from seidra.values import parse_timestamp, timestamp_in
from seidra.web.services import services_of

SMALL = {"generation_params": {"width": 64, "height": 64, "quality": "draft"}}
LARGE = {"generation_params": {"width": 2048, "height": 2048, "quality": "high"}}
PAST = "2000-01-01T00:00:00.000000Z"


def picture(
    colour: str = "teal", size: tuple[int, int] = (64, 64), position: int = 0
) -> RenderedImage:
    """Of an engine that says by itself how it was made: its bytes are kept as they are."""
    out, chunks = io.BytesIO(), PngImagePlugin.PngInfo()
    chunks.add_text("parameters", "Steps: 20")
    Image.new("RGB", size, colour).save(out, "PNG", pnginfo=chunks)
    return RenderedImage(out.getvalue(), "image/png", *size, position=position)


class Held(Engine):
    """Shows a picture once it is released, deaf to everything else."""

    def __init__(self, colour: str = "teal") -> None:
        super().__init__("mock")
        self.entered, self.released = threading.Event(), threading.Event()
        self.picture = picture(colour)
        self.context: RenderContext

    def render(self, request: RenderRequest, context: RenderContext) -> list[RenderedImage]:
        self.context = context
        context.submitting()
        self.entered.set()
        assert self.released.wait(60)
        return [self.picture]


class Doing(Engine):
    """Does what the test says."""

    def __init__(self, render: Callable[[RenderContext], list[RenderedImage]]) -> None:
        super().__init__("mock")
        self._render = render

    def render(self, request: RenderRequest, context: RenderContext) -> list[RenderedImage]:
        context.submitting()
        return self._render(context)


class Several(Engine):
    """Makes each picture that is wanted in the colour of its position, and keeps which it made."""

    COLOURS = ("red", "green", "blue", "teal")

    def __init__(self) -> None:
        super().__init__("mock")
        self.made: list[tuple[int, int]] = []
        self.before: Callable[[int], None] = lambda position: None

    def render(self, request: RenderRequest, context: RenderContext) -> Iterator[RenderedImage]:
        context.submitting()
        for wanted in request.wanted():
            self.before(wanted.position)
            self.made.append((wanted.position, wanted.seed))
            yield picture(self.COLOURS[wanted.position], position=wanted.position)


def several(database: SqliteDatabase, job_id: str, count: int) -> str:
    """Let a job be one of so many pictures."""
    with database.transaction() as tx:
        tx.execute("UPDATE generation_jobs SET count = ? WHERE id = ?", (count, job_id))
    return job_id


@pytest.fixture
def hire(app: Flask, database: SqliteDatabase, settings: Settings) -> Callable[..., Worker]:
    """Make a worker that is not started: `hire(engine, job_lease_seconds=1)`."""

    def make(engine: Engine, wake: threading.Event | None = None, **changes: Any) -> Worker:
        return make_worker(
            dataclasses.replace(settings, **changes), database, [engine], wake or threading.Event()
        )

    return make


@contextmanager
def background(database: SqliteDatabase, target: Callable[[], Any]) -> Iterator[threading.Thread]:
    """Run it in a thread, which must have ended by the end of the block."""

    def run() -> None:
        try:
            target()
        finally:
            database.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield thread
    thread.join(60)
    assert not thread.is_alive()


@contextmanager
def started(worker: Worker) -> Iterator[Worker]:
    worker.start()
    try:
        yield worker
    finally:
        worker.stop(grace=30)


def row(database: SqliteDatabase, job_id: str) -> dict[str, Any]:
    """The job's row, with what the API does not show."""
    return dict(
        database.connection.execute(
            "SELECT * FROM generation_jobs WHERE id = ?", (job_id,)
        ).fetchone()
    )


def due_again(database: SqliteDatabase, job_id: str) -> None:
    """Let the job's pause or lease be over."""
    with database.transaction() as tx:
        tx.execute("UPDATE generation_jobs SET run_after = ? WHERE id = ?", (PAST, job_id))


def files(settings: Settings) -> list[Path]:
    """Everything that lies in the folders of media, thumbnails and temporary files."""
    folders = (settings.media_dir, settings.thumbnail_dir, settings.tmp_dir)
    return sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())


def crashed(
    database: SqliteDatabase,
    settings: Settings,
    job_id: str,
    pictures: list[RenderedImage],
    claim: str = "dead-1",
) -> list[results.StoredPicture]:
    """What an attempt leaves that crashed between its files and its rows."""
    prepared = [results.prepare_picture(job_id, claim, made) for made in pictures]
    for made in prepared:
        results.store_picture(database, LocalFiles(settings), made)
    return prepared


def announcements_run_out(database: SqliteDatabase) -> None:
    """Let it be an hour later for the files that were announced and not named."""
    with database.transaction() as tx:
        tx.execute("UPDATE file_deletions SET due_at = ? WHERE due_at IS NOT NULL", (PAST,))


def items(person: Person) -> list[dict[str, Any]]:
    return person.get("/api/media?limit=200").get_json()["items"]


# ------------------------------------------------------------------------------------------ one job


def test_a_job_becomes_one_picture_with_a_thumbnail(
    alice: Person, worker: Worker, database: SqliteDatabase, settings: Settings
) -> None:
    persona = alice.persona(
        generation_params={"width": 640, "height": 480, "quality": "draft", "seed": 5}
    )
    job_id = alice.preview(persona["id"])
    assert worker.work_one() is True
    assert worker.work_one() is False
    job = alice.get(f"/api/jobs/{job_id}").get_json()
    assert (job["status"], job["progress"], job["attempts"], job["error_message"]) == (
        "completed",
        1,
        1,
        None,
    )
    assert job["created_at"] <= job["started_at"] <= job["completed_at"] == job["updated_at"]
    assert job["metadata"]["engine"] == "mock"
    [item] = items(alice)
    assert job["result_images"] == [item["url"]]
    assert item["id"] == media_id(job_id, 0)
    shown = ("job_id", "persona_id", "file_type", "mime_type", "width", "height", "is_nsfw")
    assert [item[name] for name in shown] == [
        job_id,
        persona["id"],
        "image",
        "image/png",
        640,
        480,
        False,
    ]
    assert (item["metadata"]["prompt"], item["metadata"]["seed"]) == ("moonlit ocean", 5)
    large, small = files(settings)
    assert re.fullmatch(rf"{item['id']}\.[0-9a-f]{{16}}\.png", large.name)
    assert small.name == f"{large.name}.320.webp"
    assert (large.parent.name, small.parent.name) == (item["id"][:2],) * 2
    assert large.stat().st_size == item["file_size"]
    with Image.open(large) as image, Image.open(small) as thumbnail:
        image.load()
        thumbnail.load()
        assert (image.format, image.size) == ("PNG", (640, 480))
        assert (thumbnail.format, thumbnail.size) == ("WEBP", (320, 240))
    assert not list(settings.tmp_dir.iterdir())
    assert row(database, job_id)["claim"] is None
    assert queued_deletions(database) == []


def test_jobs_are_taken_in_the_order_in_which_they_wait(
    alice: Person, bob: Person, worker: Worker
) -> None:
    mine, other = alice.persona(**SMALL), bob.persona(**SMALL)
    waiting = [
        (person, person.preview(persona["id"]))
        for person, persona in [(alice, mine), (bob, other), (alice, mine)]
    ]
    for person, job_id in waiting:
        worker.work_one()
        assert person.get(f"/api/jobs/{job_id}").get_json()["status"] == "completed"


def test_several_pictures_come_in_order(
    alice: Person, hire: Callable[..., Worker], database: SqliteDatabase
) -> None:
    job_id = several(database, alice.preview(alice.persona()["id"], seed=2**53 - 1), 3)
    hire(Several()).work_one()
    links = alice.get(f"/api/jobs/{job_id}").get_json()["result_images"]
    assert [alice.client.get(link, buffered=True).data for link in links] == [
        picture(colour).data for colour in ("red", "green", "blue")
    ]
    assert alice.get("/api/jobs").get_json()["total"] == 1
    seeds = [
        json.loads(found[0])["seed"]
        for found in database.connection.execute(
            "SELECT metadata FROM media_items ORDER BY position"
        )
    ]
    assert seeds == [2**53 - 1, 2**53, 2**53 + 1]


def test_each_picture_is_there_as_soon_as_it_is_made(
    alice: Person, hire: Callable[..., Worker], database: SqliteDatabase
) -> None:
    job_id = several(database, alice.preview(alice.persona()["id"]), 3)
    engine, seen = Several(), list[tuple[str, int]]()

    def look(position: int) -> None:
        job = alice.get(f"/api/jobs/{job_id}").get_json()
        seen.append((job["status"], len(job["result_images"])))

    engine.before = look
    hire(engine).work_one()
    assert seen == [("processing", 0), ("processing", 1), ("processing", 2)]
    job = alice.get(f"/api/jobs/{job_id}").get_json()
    assert (job["status"], len(job["result_images"])) == ("completed", 3)


@pytest.mark.parametrize("end", ["cancelled", "failed"])
def test_a_job_that_ends_early_keeps_the_pictures_it_has(
    alice: Person, hire: Callable[..., Worker], database: SqliteDatabase, end: str
) -> None:
    job_id = several(database, alice.preview(alice.persona()["id"]), 3)
    engine = Several()

    def happens(position: int) -> None:
        if position == 1 and end == "failed":
            raise EngineError("No.", permanent=True)
        if position == 1:
            alice.post(f"/api/jobs/{job_id}/cancel")

    engine.before = happens
    hire(engine).work_one()
    job = alice.get(f"/api/jobs/{job_id}").get_json()
    assert (job["status"], len(job["result_images"])) == (end, 1)


def test_an_attempt_that_follows_makes_only_what_is_missing(
    alice: Person, hire: Callable[..., Worker], database: SqliteDatabase
) -> None:
    job_id = several(database, alice.preview(alice.persona()["id"], seed=7), 3)
    engine, failed = Several(), list[int]()

    def fails_at_the_second(position: int) -> None:
        if position == 1 and not failed:
            failed.append(position)
            raise EngineError("Not yet.")

    engine.before = fails_at_the_second
    worker = hire(engine)
    worker.work_one()
    due_again(database, job_id)
    worker.work_one()
    assert engine.made == [(0, 7), (1, 8), (2, 9)]
    job = alice.get(f"/api/jobs/{job_id}").get_json()
    assert (job["status"], job["attempts"], len(job["result_images"])) == ("completed", 2, 3)


def test_no_pictures_are_the_engines_fault_and_too_many_are_left(
    alice: Person, hire: Callable[..., Worker], settings: Settings
) -> None:
    job_id = alice.preview(alice.persona()["id"])
    hire(Doing(lambda context: [])).work_one()
    job = alice.get(f"/api/jobs/{job_id}").get_json()
    assert (job["status"], job["attempts"]) == ("failed", 1)
    assert "0 of 1" in job["error_message"]
    assert files(settings) == items(alice) == []
    job_id = alice.preview(alice.persona()["id"])
    hire(Doing(lambda context: [picture(position=n % 3) for n in range(9)])).work_one()
    job = alice.get(f"/api/jobs/{job_id}").get_json()
    assert (job["status"], len(job["result_images"]), len(files(settings))) == ("completed", 1, 2)


def test_a_type_that_is_not_kept_fails_at_once_and_says_so(
    alice: Person, hire: Callable[..., Worker], settings: Settings
) -> None:
    job_id = alice.preview(alice.persona()["id"])
    odd = dataclasses.replace(picture(), mime_type="image/tiff")
    hire(Doing(lambda context: [odd])).work_one()
    job = alice.get(f"/api/jobs/{job_id}").get_json()
    assert (job["status"], job["attempts"], job["error_code"]) == ("failed", 1, "nonsense")
    assert "image/tiff" in job["error_message"]
    assert files(settings) == items(alice) == []


def test_media_take_the_flags_of_the_moment_the_job_ends(
    alice: Person, hire: Callable[..., Worker], database: SqliteDatabase
) -> None:
    alice.allow_nsfw()
    engine, persona = Held(), alice.persona()
    alice.preview(persona["id"])
    with background(database, hire(engine).work_one):
        assert engine.entered.wait(30)
        assert (
            alice.patch(f"/api/personas/{persona['id']}", json={"is_nsfw": True}).status_code == 200
        )
        engine.released.set()
    assert items(alice) == []
    assert alice.get("/api/media?include_nsfw=true").get_json()["items"][0]["is_nsfw"] is True


# ---------------------------------------------------------------------------------------- the fence


@pytest.mark.parametrize("noticed", [True, False])
def test_the_late_result_of_a_cancelled_job_is_thrown_away(
    alice: Person,
    hire: Callable[..., Worker],
    database: SqliteDatabase,
    settings: Settings,
    noticed: bool,
) -> None:
    engine = Held()
    job_id = alice.preview(alice.persona()["id"])
    with background(database, hire(engine).work_one):
        assert engine.entered.wait(30)
        answer = alice.post(f"/api/jobs/{job_id}/cancel")
        assert (answer.status_code, answer.get_json()["status"]) == (200, "cancelled")
        if noticed:
            wait_for(lambda: engine.context.cancelled)
        engine.released.set()
    assert alice.get(f"/api/jobs/{job_id}").get_json() == answer.get_json()
    assert files(settings) == items(alice) == []


def test_a_deleted_accounts_late_result_is_thrown_away(
    alice: Person, hire: Callable[..., Worker], database: SqliteDatabase, settings: Settings
) -> None:
    engine = Held()
    alice.preview(alice.persona()["id"])
    with background(database, hire(engine).work_one):
        assert engine.entered.wait(30)
        assert alice.delete("/api/auth/me", json={"password": PASSWORD}).status_code == 204
        Housekeeper(database, LocalFiles(settings), settings).run(idle=True)
        engine.released.set()
    assert files(settings) == []
    assert database.connection.execute("SELECT COUNT(*) FROM media_items").fetchone()[0] == 0


@pytest.mark.parametrize("late", ["before", "after"])
def test_who_lost_the_lease_cannot_bring_a_result(
    alice: Person,
    hire: Callable[..., Worker],
    database: SqliteDatabase,
    settings: Settings,
    late: str,
) -> None:
    first, second = Held("red"), Held("blue")
    job_id = alice.preview(alice.persona()["id"])
    other = hire(second)

    def take_over() -> None:
        # Again, where a heartbeat of the first renews the lease in between.
        while not second.entered.is_set():
            due_again(database, job_id)
            other.work_one()

    with background(database, hire(first).work_one) as losing:
        assert first.entered.wait(30)
        with background(database, take_over) as taking:
            assert second.entered.wait(30)
            if late == "before":
                first.released.set()
                losing.join(30)
                assert row(database, job_id)["status"] == "processing"
                assert items(alice) == []
            second.released.set()
            taking.join(30)
        first.released.set()
    job = alice.get(f"/api/jobs/{job_id}").get_json()
    assert (job["status"], job["attempts"]) == ("completed", 2)
    [item] = items(alice)
    assert alice.client.get(item["url"], buffered=True).data == second.picture.data
    assert len(files(settings)) == 2


def test_a_crash_between_files_and_rows_leaves_nothing_in_the_end(
    alice: Person, worker: Worker, keeper: Housekeeper, database: SqliteDatabase, settings: Settings
) -> None:
    job_id = alice.preview(alice.persona(**SMALL)["id"])
    # More pictures than the attempt that follows.
    colours = ("red", "green", "blue")
    crashed(database, settings, job_id, [picture(c, position=n) for n, c in enumerate(colours)])
    worker.work_one()
    [item] = items(alice)
    shown = alice.client.get(item["url"], buffered=True).data
    assert shown != picture("red").data
    keeper.run(idle=True)
    assert len(files(settings)) == 8
    announcements_run_out(database)
    keeper.run(idle=True)
    assert len(files(settings)) == 2
    assert queued_deletions(database) == []
    assert alice.client.get(item["url"], buffered=True).data == shown


def test_a_crash_at_any_step_leaves_nothing_in_the_end(
    alice: Person,
    hire: Callable[..., Worker],
    keeper: Housekeeper,
    database: SqliteDatabase,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The worker dies somewhere on the way to three pictures; the attempt that follows makes those
    that are missing."""

    class Killed(BaseException):
        pass

    left = 0

    def mortal(module: Any, name: str) -> None:
        real = getattr(module, name)

        def step(*arguments: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            return real(*arguments)

        monkeypatch.setattr(module, name, step)

    for module, name in (
        (os, "fsync"),
        (os, "replace"),
        (results, "store_picture"),
        (results, "add_picture"),
    ):
        mortal(module, name)
    persona, died = alice.persona(), 0
    first, second = hire(Several()), hire(Several())
    while True:
        job_id = several(database, alice.preview(persona["id"]), 3)
        left = died + 1
        try:
            first.work_one()
        except Killed:
            died += 1
        else:
            break
        left = 0
        due_again(database, job_id)
        second.work_one()
        assert row(database, job_id)["status"] == "completed"
        announcements_run_out(database)
        keeper.run(idle=True)
        assert len(files(settings)) == 6 * died, f"killed at step {died}"
        assert queued_deletions(database) == []
    assert died == 24
    left = 0
    assert {alice.client.get(item["url"], buffered=True).status_code for item in items(alice)} == {
        200
    }


@pytest.mark.parametrize("gone", [True, False])
def test_who_stored_too_late_names_no_file_that_goes(
    alice: Person,
    hire: Callable[..., Worker],
    keeper: Housekeeper,
    database: SqliteDatabase,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    gone: bool,
) -> None:
    """Its announcements have run out, though the job is still its own; the next attempt is in
    time."""
    job_id = alice.preview(alice.persona()["id"])
    store, late = results.store_picture, True

    def stores(*arguments: Any) -> None:
        store(*arguments)
        if late:
            announcements_run_out(database)
            # Else somebody is just about to delete them.
            with monkeypatch.context() as patched:
                if not gone:
                    patched.setattr(LocalFiles, "delete", refuse)
                keeper.run(idle=True)
            assert (files(settings) == []) is gone

    def refuse(*arguments: Any) -> None:
        raise OSError(errno.EROFS, "x")

    monkeypatch.setattr(results, "store_picture", stores)
    worker = hire(Doing(lambda context: [picture()]))
    worker.work_one()
    assert row(database, job_id)["error_message"] == "Storing the picture took too long."
    keeper.run(idle=True)
    assert files(settings) == queued_deletions(database) == items(alice) == []
    late = False
    due_again(database, job_id)
    worker.work_one()
    [item] = items(alice)
    assert alice.client.get(item["url"], buffered=True).data == picture().data


def test_a_file_that_comes_after_its_announcement_ran_out_is_taken_away(
    alice: Person,
    hire: Callable[..., Worker],
    keeper: Housekeeper,
    database: SqliteDatabase,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alice.preview(alice.persona()["id"])
    put = LocalFiles.put

    def puts_late(*arguments: Any) -> None:
        announcements_run_out(database)
        keeper.run(idle=True)
        put(*arguments)

    monkeypatch.setattr(LocalFiles, "put", puts_late)
    hire(Doing(lambda context: [picture()])).work_one()
    assert files(settings) == queued_deletions(database) == items(alice) == []


def test_announcements_of_a_clock_that_was_ahead_run_out_too(
    alice: Person, keeper: Housekeeper, database: SqliteDatabase, settings: Settings
) -> None:
    crashed(database, settings, alice.preview(alice.persona()["id"]), [picture()])
    with database.transaction() as tx:
        tx.execute("UPDATE file_deletions SET due_at = ?", (timestamp_in(86_400),))
    keeper.run(idle=True)
    assert files(settings) == []


def test_a_late_attempt_neither_overwrites_nor_deletes_the_picture_of_another(
    alice: Person, worker: Worker, keeper: Housekeeper, database: SqliteDatabase, settings: Settings
) -> None:
    job_id = alice.preview(alice.persona(**SMALL)["id"])
    worker.work_one()
    [item] = items(alice)
    shown = alice.client.get(item["url"], buffered=True).data
    late = crashed(database, settings, job_id, [picture("red")])
    assert alice.client.get(item["url"], buffered=True).data == shown
    for made in late:
        results.abandon_picture(database, LocalFiles(settings), made)
    keeper.run(idle=True)
    assert alice.client.get(item["url"], buffered=True).data == shown
    assert len(files(settings)) == 2


def test_giving_up_spares_what_was_named_after_all(
    alice: Person, worker: Worker, database: SqliteDatabase, settings: Settings
) -> None:
    """A commit may have worked although the worker was told otherwise."""
    job_id = alice.preview(alice.persona(**SMALL)["id"])
    worker.work_one()
    [item] = items(alice)
    [key] = database.connection.execute("SELECT file_key FROM media_items").fetchone()
    made = results.prepare_picture(job_id, "any", picture())
    made = dataclasses.replace(made, key=key)
    results.abandon_picture(database, LocalFiles(settings), made)
    assert alice.client.get(item["url"], buffered=True).status_code == 200
    assert len(files(settings)) == 2
    assert queued_deletions(database) == []


# ----------------------------------------------------------------------------------------- failures


def failing(error: Exception) -> Engine:
    def render(context: RenderContext) -> list[RenderedImage]:
        raise error

    return Doing(render)


def test_a_permanent_failure_ends_the_job_at_once(
    alice: Person, hire: Callable[..., Worker]
) -> None:
    job_id = alice.preview(alice.persona()["id"])
    hire(failing(EngineError("No such model.", permanent=True))).work_one()
    job = alice.get(f"/api/jobs/{job_id}").get_json()
    assert (job["status"], job["attempts"], job["error_message"]) == ("failed", 1, "No such model.")
    assert job["completed_at"] == job["updated_at"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (EngineError("The server is busy."), "The server is busy."),
        (RuntimeError("secret"), "The engine failed unexpectedly; the server's log says why."),
        (
            OSError(errno.ENOSPC, "x"),
            f"The picture could not be stored: {os.strerror(errno.ENOSPC)}.",
        ),
    ],
)
def test_another_failure_is_tried_again_until_the_attempts_are_used_up(
    alice: Person,
    hire: Callable[..., Worker],
    database: SqliteDatabase,
    error: Exception,
    message: str,
) -> None:
    job_id = alice.preview(alice.persona()["id"])
    worker = hire(failing(error), job_max_attempts=3)
    for attempt in (1, 2):
        assert worker.work_one() is True
        job = alice.get(f"/api/jobs/{job_id}").get_json()
        assert (job["status"], job["attempts"], job["error_message"]) == (
            "processing",
            attempt,
            message,
        )
        stored = row(database, job_id)
        assert stored["claim"] is None
        assert stored["run_after"] > stored["updated_at"]
        due_again(database, job_id)
    worker.work_one()
    job = alice.get(f"/api/jobs/{job_id}").get_json()
    assert (job["status"], job["attempts"], job["error_message"]) == ("failed", 3, message)
    assert worker.work_one() is False


def test_a_database_that_is_away_burns_no_attempts(
    alice: Person,
    hire: Callable[..., Worker],
    database: SqliteDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither where it stays away while the job is to be given back."""
    job_id = alice.preview(alice.persona()["id"])
    away = [Unavailable("The database cannot be used right now; try again.")] * 2
    give_back = queries.jobs.give_back

    def fail(*arguments: Any, **more: Any) -> None:
        raise away.pop()

    def give_back_later(*arguments: Any, **more: Any) -> Any:
        return fail() if away else give_back(*arguments, **more)

    monkeypatch.setattr("seidra.jobs.attempt._DATABASE_PAUSE", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(results, "add_picture", fail)
        patch.setattr(queries.jobs, "give_back", give_back_later)
        hire(plain()).work_one()
    assert not away
    found = row(database, job_id)
    assert (found["status"], found["claim"], found["attempts"]) == ("processing", None, 0)
    assert found["error_message"] is None
    due_again(database, job_id)
    assert hire(plain()).work_one() is True
    found = row(database, job_id)
    assert (found["status"], found["attempts"]) == ("completed", 1)


def test_a_later_attempt_may_succeed(
    alice: Person, hire: Callable[..., Worker], database: SqliteDatabase
) -> None:
    job_id = alice.preview(alice.persona()["id"])
    hire(failing(EngineError("Busy."))).work_one()
    due_again(database, job_id)
    began = row(database, job_id)["started_at"]
    hire(Doing(lambda context: [picture()])).work_one()
    job = alice.get(f"/api/jobs/{job_id}").get_json()
    assert (job["status"], job["attempts"], job["started_at"]) == ("completed", 2, began)


def test_what_is_no_picture_fails_with_a_true_message(
    alice: Person, hire: Callable[..., Worker], settings: Settings
) -> None:
    job_id = alice.preview(alice.persona()["id"])
    hire(
        Doing(lambda context: [RenderedImage(b"no picture", "image/png", 1, 1)]), job_max_attempts=1
    ).work_one()
    job = alice.get(f"/api/jobs/{job_id}").get_json()
    assert job["status"] == "failed"
    assert job["error_message"] == "The engine failed unexpectedly; the server's log says why."
    assert files(settings) == items(alice) == []


def test_a_job_whose_workers_were_lost_too_often_fails(
    alice: Person, worker: Worker, database: SqliteDatabase
) -> None:
    job_id, after = (alice.preview(alice.persona(**SMALL)["id"]) for _ in range(2))
    with database.transaction() as tx:
        tx.execute(
            "UPDATE generation_jobs SET status = 'processing', claim = 'x', attempts = 3,"
            " run_after = ? WHERE id = ?",
            (PAST, job_id),
        )
    for _ in range(2):
        worker.work_one()
    job = alice.get(f"/api/jobs/{job_id}").get_json()
    assert (job["status"], job["attempts"]) == ("failed", 3)
    assert "lost 3 times" in job["error_message"]
    assert alice.get(f"/api/jobs/{after}").get_json()["status"] == "completed"


# --------------------------------------------------------------------------------- while it renders


def test_the_heartbeat_renews_the_lease_of_a_silent_engine(
    alice: Person, hire: Callable[..., Worker], database: SqliteDatabase
) -> None:
    engine = Held()
    job_id = alice.preview(alice.persona()["id"])
    with background(database, hire(engine, job_lease_seconds=1).work_one):
        assert engine.entered.wait(30)
        first = parse_timestamp(row(database, job_id)["run_after"])
        wait_for(
            lambda: (
                (parse_timestamp(row(database, job_id)["run_after"]) - first).total_seconds() > 1.2
            )
        )
        engine.released.set()
    job = alice.get(f"/api/jobs/{job_id}").get_json()
    assert (job["status"], job["attempts"]) == ("completed", 1)


def test_progress_is_written_under_growing_versions(
    alice: Person, hire: Callable[..., Worker], database: SqliteDatabase
) -> None:
    job_id = alice.preview(alice.persona()["id"])
    seen: list[tuple[float, int]] = []

    def render(context: RenderContext) -> list[RenderedImage]:
        def next_report() -> bool:
            context.report(0.2 + 0.3 * len(seen))
            now = row(database, job_id)
            return bool(now["progress"] > (seen[-1][0] if seen else 0.0))

        for _ in range(2):
            wait_for(next_report)
            now = row(database, job_id)
            seen.append((now["progress"], now["version"]))
        return [picture()]

    hire(Doing(render)).work_one()
    assert [progress for progress, _ in seen] == [0.2, 0.5]
    assert 1 < seen[0][1] < seen[1][1] < row(database, job_id)["version"]


def test_what_an_engine_remembers_reaches_the_next_attempt(
    alice: Person, hire: Callable[..., Worker], database: SqliteDatabase
) -> None:
    job_id = alice.preview(alice.persona()["id"])
    states: list[dict[str, Any]] = []

    def render(context: RenderContext) -> list[RenderedImage]:
        states.append(dict(context.state))
        context.remember(**{f"step{len(states)}": "é"})
        if len(states) < 3:
            raise EngineError("Not yet.")
        return [picture()]

    worker = hire(Doing(render))
    for _ in range(3):
        due_again(database, job_id)
        worker.work_one()
    assert states == [{}, {"step1": "é"}, {"step1": "é", "step2": "é"}]
    assert "step1" not in alice.get(f"/api/jobs/{job_id}").text


def test_what_is_remembered_of_a_lost_job_raises_before_anything_is_sent(
    alice: Person, hire: Callable[..., Worker], database: SqliteDatabase
) -> None:
    job_id = alice.preview(alice.persona()["id"])
    sent: list[str] = []

    def render(context: RenderContext) -> list[RenderedImage]:
        context.remember(id="before")
        alice.post(f"/api/jobs/{job_id}/cancel")
        context.remember(id="after")
        sent.append("after")
        return [picture()]

    assert hire(Doing(render)).work_one() is True
    stored = row(database, job_id)
    assert (stored["status"], stored["engine_state"]) == ("cancelled", '{"id":"before"}')
    assert (sent, items(alice)) == ([], [])


ENDS: dict[str, tuple[Callable[..., Any], bool]] = {
    # What happens while an engine renders, and whether its server is told to stop.
    "cancelled": (lambda alice, job_id, **_: alice.post(f"/api/jobs/{job_id}/cancel"), True),
    "deleted": (
        lambda alice, job_id, **_: (
            alice.post(f"/api/jobs/{job_id}/cancel"),
            alice.delete(f"/api/jobs/{job_id}"),
        ),
        True,
    ),
    "stopped": (lambda worker, **_: worker.stop(grace=0), False),
    "taken over": (lambda take_over, **_: take_over("processing"), False),
    "made by another": (lambda take_over, **_: take_over("completed"), False),
    "given up by another": (lambda take_over, **_: take_over("failed"), True),
}


@pytest.mark.parametrize("by", ["heartbeat", "report", "remember"])
@pytest.mark.parametrize("end", ENDS)
def test_a_server_is_told_to_stop_only_what_nobody_goes_on_with(
    alice: Person, hire: Callable[..., Worker], database: SqliteDatabase, end: str, by: str
) -> None:
    happens, stops = ENDS[end]
    job_id = alice.preview(alice.persona()["id"])
    entered, ended, told = threading.Event(), threading.Event(), list[str]()

    def take_over(status: str) -> None:
        now = ("other", status, None) if status == "processing" else (None, status, PAST)
        with database.transaction() as tx:
            tx.execute(
                "UPDATE generation_jobs SET claim = ?, status = ?, completed_at = ? WHERE id = ?",
                (*now, job_id),
            )

    def render(context: RenderContext) -> list[RenderedImage]:
        context.on_cancel(lambda: told.append("stop"))
        entered.set()
        assert ended.wait(30)
        if by == "heartbeat":
            context.wait(60)
        while by == "report":
            context.report(0.5)
        context.remember(id="x")
        raise AssertionError("it goes on")

    worker = hire(Doing(render))
    with started(worker):
        assert entered.wait(30)
        if end == "stopped":
            ended.set()
        happens(alice=alice, job_id=job_id, worker=worker, take_over=take_over)
        ended.set()
    assert told == (["stop"] if stops else [])


# --------------------------------------------------------------------------------- several engines


class Named(Doing):
    """An engine of its own name, whose pictures have its colour."""

    def __init__(self, name: str) -> None:
        super().__init__(lambda context: [picture(name)])
        self.name = name


def queued_for(person: Person, database: SqliteDatabase, *names: str) -> list[str]:
    """The ids of jobs that wait for the engines of these names."""
    persona, ids = person.persona(), []
    for name in names:
        ids.append(person.preview(persona["id"]))
        with database.transaction() as tx:
            tx.execute("UPDATE generation_jobs SET engine = ? WHERE id = ?", (name, ids[-1]))
    return ids


def test_a_worker_takes_only_the_jobs_of_its_engine(
    alice: Person, hire: Callable[..., Worker], database: SqliteDatabase
) -> None:
    waiting = queued_for(alice, database, "red", "blue", "red")
    first, second, third = waiting
    red, blue = hire(Named("red")), hire(Named("blue"))
    assert blue.work_one() is True
    assert blue.work_one() is False
    assert [row(database, id)["status"] for id in waiting] == ["queued", "completed", "queued"]
    assert red.work_one() is True
    assert [row(database, id)["status"] for id in waiting] == ["completed", "completed", "queued"]
    for job_id, name in ((first, "red"), (second, "blue")):
        job = alice.get(f"/api/jobs/{job_id}").get_json()
        assert job["metadata"]["engine"] == name
        [link] = job["result_images"]
        assert alice.client.get(link, buffered=True).data == picture(name).data
    # Neither fails what the other one's workers lost, nor takes it.
    with database.transaction() as tx:
        tx.execute(
            "UPDATE generation_jobs SET status = 'processing', claim = 'x', attempts = 3,"
            " run_after = ? WHERE id = ?",
            (PAST, third),
        )
    queued_for(alice, database, "mock")
    assert hire(MockEngine()).work_one() is True
    assert row(database, third)["status"] == "processing"
    assert red.work_one() is True
    assert row(database, third)["status"] == "failed"


def test_jobs_are_queued_for_the_engine_that_is_selected(
    settings: Settings, alice: Person, worker: Worker, database: SqliteDatabase
) -> None:
    assert row(database, alice.preview(alice.persona()["id"]))["engine"] == "mock"
    assert worker.work_one() is True
    [job_id] = queued_for(alice, database, "sold")
    assert worker.work_one() is False
    alice.post(f"/api/jobs/{job_id}/cancel")
    again = alice.post(f"/api/jobs/{job_id}/retry").get_json()["job_id"]
    assert row(database, again)["engine"] == "mock"


def test_a_worker_of_two_engines_lets_none_wait_for_the_other(
    alice: Person, settings: Settings, database: SqliteDatabase
) -> None:
    waiting = queued_for(alice, database, "red", "red", "blue")
    both = [Named(name) for name in ("red", "blue")]
    worker = Worker(
        settings, database, LocalFiles(settings), both, threading.Event(), lambda idle: None
    )
    assert worker.work_one() is True
    assert [row(database, id)["status"] for id in waiting] == ["completed", "queued", "completed"]


def test_a_worker_that_is_told_to_stop_takes_no_job_of_its_other_engine(
    alice: Person, settings: Settings, database: SqliteDatabase
) -> None:
    def render(context: RenderContext) -> list[RenderedImage]:
        worker.retire()
        return [picture()]

    waiting = queued_for(alice, database, "red", "blue")
    red = Doing(render)
    red.name = "red"
    both = [red, Named("blue")]
    worker = Worker(
        settings, database, LocalFiles(settings), both, threading.Event(), lambda idle: None
    )
    assert worker.work_one() is True
    assert [row(database, id)["status"] for id in waiting] == ["completed", "queued"]


# ---------------------------------------------------------------------------- the engine is away


class Away(Engine):
    """An engine that cannot be reached, or that goes away in the middle, until it is back."""

    def __init__(self, in_the_middle: bool = False) -> None:
        super().__init__("mock")
        self.in_the_middle, self.back = in_the_middle, False
        self.sent = 0

    def render(self, request: RenderRequest, context: RenderContext) -> list[RenderedImage]:
        if not context.state and (self.back or self.in_the_middle):
            context.remember(id="one")
            context.submitting()
            self.sent += 1
        if not self.back:
            raise EngineUnavailable("The engine does not answer.")
        return [picture()]


@pytest.mark.parametrize("in_the_middle", [False, True])
def test_an_engine_that_is_away_burns_no_attempts(
    alice: Person, hire: Callable[..., Worker], database: SqliteDatabase, in_the_middle: bool
) -> None:
    job_id = alice.preview(alice.persona()["id"])
    engine, pauses = Away(in_the_middle), list[int]()
    for _ in range(8):
        # Each by a worker of its own: one leaves an engine alone for a while that it found away.
        assert hire(engine).work_one() is True
        stored = row(database, job_id)
        assert (stored["status"], stored["claim"]) == ("processing", None)
        assert stored["attempts"] == int(in_the_middle)
        waited = parse_timestamp(stored["run_after"]) - parse_timestamp(stored["updated_at"])
        pauses.append(round(waited.total_seconds()))
        job = alice.get(f"/api/jobs/{job_id}").get_json()
        assert job["waiting_for"] == {
            "code": "engine",
            "engine": "mock",
            "since": stored["waiting_since"],
        }
        assert job["error_message"] == "The engine does not answer."
        since = timestamp_in(-2 * pauses[-1])
        with database.transaction() as tx:
            tx.execute("UPDATE generation_jobs SET waiting_since = ?", (since,))
        due_again(database, job_id)
    assert pauses == [5, 10, 20, 40, 60, 60, 60, 60]
    engine.back = True
    hire(engine).work_one()
    job = alice.get(f"/api/jobs/{job_id}").get_json()
    assert (job["status"], job["attempts"], job["waiting_for"]) == ("completed", 1, None)
    assert (job["error_message"], engine.sent) == (None, 1)


def test_a_worker_leaves_an_engine_alone_for_a_while_that_it_found_away(
    alice: Person, hire: Callable[..., Worker], database: SqliteDatabase
) -> None:
    persona = alice.persona()
    waiting = [alice.preview(persona["id"]) for _ in range(2)]
    worker = hire(Away())
    assert worker.work_one() is True
    assert worker.work_one() is False
    assert [row(database, id)["status"] for id in waiting] == ["processing", "queued"]


# ------------------------------------------------------------------------------------- whose turn


def plain() -> Engine:
    """An engine that makes a picture."""
    return Doing(lambda context: [picture()])


def test_workers_hold_at_most_at_once_of_an_engines_jobs(
    alice: Person, hire: Callable[..., Worker], database: SqliteDatabase
) -> None:
    persona = alice.persona()
    first, second = (alice.preview(persona["id"]) for _ in range(2))
    engine = Held()
    with background(database, hire(engine).work_one):
        assert engine.entered.wait(30)
        assert hire(plain()).work_one() is False
        two = plain()
        two.options = Options(at_once=2)
        assert hire(two).work_one() is True
        engine.released.set()
    assert {row(database, id)["status"] for id in (first, second)} == {"completed"}


def test_where_an_engine_has_no_place_free_nobody_waits_for_its_turn(
    alice: Person,
    hire: Callable[..., Worker],
    database: SqliteDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    persona = alice.persona()
    for _ in range(2):
        alice.preview(persona["id"])
    engine = Held()
    with background(database, hire(engine).work_one):
        assert engine.entered.wait(30)
        with monkeypatch.context() as patch:
            patch.setattr(queue, "claim_job", lambda *_: pytest.fail("it waited for its turn"))
            assert hire(plain()).work_one() is False
        engine.released.set()
    assert hire(plain()).work_one() is True


def test_of_the_slots_of_a_process_one_claims_at_a_time(
    alice: Person,
    settings: Settings,
    database: SqliteDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    persona = alice.persona()
    jobs = [alice.preview(persona["id"]) for _ in range(6)]
    claiming: list[int] = []
    most: list[int] = []
    due = queries.jobs.due

    def slow_due(*arguments: Any, **more: Any) -> Any:
        claiming.append(1)
        most.append(len(claiming))
        time.sleep(0.02)
        claiming.pop()
        return due(*arguments, **more)

    monkeypatch.setattr(queries.jobs, "due", slow_due)
    slots = [plain() for _ in range(3)]
    for slot in slots:
        slot.options = Options(at_once=3)
    with started(make_worker(settings, database, slots, threading.Event())):
        wait_for(lambda: {row(database, id)["status"] for id in jobs} == {"completed"}, 60)
    assert max(most) == 1


def test_what_a_lost_worker_held_comes_before_all_others_in_its_own_slot(
    alice: Person, bob: Person, hire: Callable[..., Worker], database: SqliteDatabase
) -> None:
    persona = alice.persona()
    early, lost = (alice.preview(persona["id"]) for _ in range(2))
    with database.transaction() as tx:
        tx.execute(
            "UPDATE generation_jobs SET status = 'processing', claim = 'x', run_after = ?"
            " WHERE id = ?",
            (timestamp_in(-1), lost),
        )
    hire(plain()).work_one()
    assert [row(database, id)["status"] for id in (early, lost)] == ["queued", "completed"]


def test_accounts_take_turns_by_what_they_had_lately(
    alice: Person, bob: Person, hire: Callable[..., Worker], database: SqliteDatabase
) -> None:
    mine, other = alice.persona(), bob.persona()
    many = [alice.preview(mine["id"]) for _ in range(5)]
    worker = hire(plain())
    worker.work_one()
    late = bob.preview(other["id"])
    worker.work_one()
    assert row(database, late)["status"] == "completed"
    assert [row(database, id)["status"] for id in many] == ["completed", *["queued"] * 4]
    # Who had much a while ago has as good a turn as anybody.
    late = bob.preview(other["id"])
    with database.transaction() as tx:
        tx.execute("UPDATE engine_turns SET seconds = 100 WHERE user_id = ?", (bob.id,))
        tx.execute(
            "UPDATE engine_turns SET minute = '2000-01-01T00:00' WHERE user_id = ?", (bob.id,)
        )
    worker.work_one()
    assert row(database, late)["status"] == "completed"
    with database.transaction() as tx:
        tx.execute("UPDATE engine_turns SET seconds = 100 WHERE user_id = ?", (bob.id,))
    late = bob.preview(other["id"])
    worker.work_one()
    assert row(database, late)["status"] == "queued"


def test_a_place_in_the_queue_counts_what_everybody_has_there(
    alice: Person, bob: Person, hire: Callable[..., Worker]
) -> None:
    mine, other = alice.persona(), bob.persona()

    def place(person: Person, persona: dict[str, Any]) -> int:
        answer = person.post(f"/api/personas/{persona['id']}/preview")
        return int(answer.get_json()["position"])

    assert [place(alice, mine) for _ in range(4)] == [1, 2, 3, 4]
    # In turns: behind one of hers, then behind two.
    assert [place(bob, other) for _ in range(2)] == [2, 4]
    assert place(alice, mine) == 7


def test_previews_come_before_an_accounts_own_generations(
    alice: Person, hire: Callable[..., Worker], database: SqliteDatabase
) -> None:
    persona = alice.persona()
    generation, preview = (alice.preview(persona["id"]) for _ in range(2))
    with database.transaction() as tx:
        tx.execute("UPDATE generation_jobs SET job_type = 'generation' WHERE id = ?", (generation,))
    hire(plain()).work_one()
    assert [row(database, id)["status"] for id in (generation, preview)] == ["queued", "completed"]


# --------------------------------------------------------------------------- cancelled and unheld


class Orphaned(Several):
    """Says only the second time that nothing runs any more."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Any] = []

    def abandon(self, state: Mapping[str, Any]) -> bool:
        self.asked.append(state)
        return len(self.asked) > 1


@pytest.mark.parametrize("deleted", [False, True])
def test_what_is_cancelled_while_nobody_holds_it_is_stopped_on_the_engine(
    alice: Person, database: SqliteDatabase, deleted: bool
) -> None:
    job_id = alice.preview(alice.persona()["id"])
    with database.transaction() as tx:
        tx.execute(
            "UPDATE generation_jobs SET status = 'processing', claim = 'gone', engine_state = ?"
            " WHERE id = ?",
            ('{"id":"far"}', job_id),
        )
    assert alice.post(f"/api/jobs/{job_id}/cancel").status_code == 200
    if deleted:
        assert alice.delete(f"/api/jobs/{job_id}").status_code == 204
    engine = Orphaned()
    watch = EngineWatch(database, [engine])
    watch.stop_orphans()
    # Its holder, had it one, would learn of it by itself.
    assert engine.asked == []
    with database.transaction() as tx:
        tx.execute("UPDATE engine_orphans SET since = ?", (PAST,))
    for _ in range(3):
        watch.stop_orphans()
    assert engine.asked == [{"id": "far"}] * 2


# ----------------------------------------------------------------------------- running and stopping


def test_an_idle_worker_is_woken_by_a_request(
    app: Flask, alice: Person, hire: Callable[..., Worker]
) -> None:
    persona = alice.persona(**SMALL)
    # It would look by itself every hour.
    with started(hire(MockEngine(), services_of(app).wake, job_poll_ms=3_600_000)):
        for _ in range(3):
            job_id = alice.preview(persona["id"])
            wait_for(
                lambda id=job_id: alice.get(f"/api/jobs/{id}").get_json()["status"] == "completed"
            )
        item = items(alice)[0]
        [path] = services_of(app).settings.media_dir.rglob(f"{item['id']}.*.png")
        alice.delete(f"/api/media/{item['id']}")
        alice.delete("/api/trash")
        wait_for(lambda: not path.exists())


def test_an_idle_worker_finds_the_jobs_of_other_processes(
    alice: Person, hire: Callable[..., Worker]
) -> None:
    with started(hire(MockEngine(), job_poll_ms=50)):
        job_id = alice.preview(alice.persona(**SMALL)["id"])
        wait_for(lambda: alice.get(f"/api/jobs/{job_id}").get_json()["status"] == "completed")


def test_a_worker_goes_on_after_a_failure_of_its_own(
    alice: Person, hire: Callable[..., Worker], database: SqliteDatabase
) -> None:
    job_id = alice.preview(alice.persona(**SMALL)["id"])
    with database.transaction() as tx:
        tx.execute("UPDATE generation_jobs SET parameters = '{}' WHERE id = ?", (job_id,))
    with started(hire(MockEngine(), job_poll_ms=50, job_max_attempts=1)):
        good = alice.preview(alice.persona(**SMALL)["id"])
        wait_for(lambda: alice.get(f"/api/jobs/{good}").get_json()["status"] == "completed")
    assert alice.get(f"/api/jobs/{job_id}").get_json()["status"] == "failed"


def test_stopping_finishes_the_job_in_hand_and_takes_no_other(
    alice: Person, hire: Callable[..., Worker], database: SqliteDatabase
) -> None:
    engine, wake, persona = Held(), threading.Event(), alice.persona()
    in_hand, waiting = (alice.preview(persona["id"]) for _ in range(2))
    worker = hire(engine, wake)
    worker.start()
    assert engine.entered.wait(30)
    with background(database, lambda: worker.stop(grace=30)):
        # A stop wakes the worker up.
        assert wake.wait(30)
        engine.released.set()
    assert row(database, in_hand)["status"] == "completed"
    assert row(database, waiting)["status"] == "queued"


@pytest.mark.parametrize("listens", [True, False])
def test_stopping_in_the_middle_gives_the_job_back_uncounted(
    alice: Person,
    hire: Callable[..., Worker],
    database: SqliteDatabase,
    settings: Settings,
    listens: bool,
) -> None:
    held = Held("red")

    def listen(context: RenderContext) -> list[RenderedImage]:
        held.entered.set()
        context.wait(60)
        return [held.picture]

    job_id = alice.preview(alice.persona()["id"])
    worker = hire(Doing(listen) if listens else held)
    worker.start()
    assert held.entered.wait(30)
    worker.stop(grace=0)
    stored = row(database, job_id)
    assert (stored["status"], stored["claim"], stored["attempts"]) == ("processing", None, 0)
    assert stored["error_message"] is None
    assert hire(Doing(lambda context: [picture("blue")])).work_one() is True
    held.released.set()
    worker.stop(grace=30)
    stored = row(database, job_id)
    assert (stored["status"], stored["attempts"]) == ("completed", 1)
    [item] = items(alice)
    assert alice.client.get(item["url"], buffered=True).data == picture("blue").data
    assert len(files(settings)) == 2


# ------------------------------------------------------------------------------------- housekeeping


@pytest.fixture
def keeper(database: SqliteDatabase, settings: Settings) -> Housekeeper:
    return Housekeeper(database, LocalFiles(settings), settings)


def queued_deletions(database: SqliteDatabase) -> list[str]:
    return [found[0] for found in database.connection.execute("SELECT key FROM file_deletions")]


def test_the_files_of_deleted_media_go(
    alice: Person, worker: Worker, keeper: Housekeeper, database: SqliteDatabase, settings: Settings
) -> None:
    persona = alice.persona(**SMALL)
    for _ in range(2):
        alice.preview(persona["id"])
        worker.work_one()
    gone, kept = items(alice)
    alice.delete(f"/api/media/{gone['id']}")
    assert queued_deletions(database) == []
    alice.delete("/api/trash")
    assert [key[3:39] for key in queued_deletions(database)] == [gone["id"]]
    keeper.run(idle=True)
    assert {path.name[:36] for path in files(settings)} == {kept["id"]}
    assert queued_deletions(database) == []
    keeper.run(idle=True)
    assert len(files(settings)) == 2


def test_a_crash_after_the_files_went_repeats_harmlessly(
    alice: Person, worker: Worker, keeper: Housekeeper, database: SqliteDatabase, settings: Settings
) -> None:
    alice.preview(alice.persona(**SMALL)["id"])
    worker.work_one()
    [item] = items(alice)
    alice.delete(f"/api/media/{item['id']}")
    alice.delete("/api/trash")
    for path in files(settings):
        path.unlink()
    keeper.run(idle=True)
    assert queued_deletions(database) == []


def test_a_queued_deletion_spares_an_item_that_is_there(
    alice: Person, worker: Worker, keeper: Housekeeper, database: SqliteDatabase, settings: Settings
) -> None:
    alice.preview(alice.persona(**SMALL)["id"])
    worker.work_one()
    [item] = items(alice)
    with database.transaction() as tx:
        tx.execute("INSERT INTO file_deletions (key) SELECT file_key FROM media_items")
    keeper.run(idle=True)
    assert alice.client.get(item["url"], buffered=True).status_code == 200
    assert len(files(settings)) == 2
    assert queued_deletions(database) == []


@pytest.mark.parametrize("end", ["cancelled", "failed", "lost"])
def test_what_a_crashed_attempt_left_goes_when_its_job_ends_without_a_result(
    alice: Person,
    hire: Callable[..., Worker],
    keeper: Housekeeper,
    database: SqliteDatabase,
    settings: Settings,
    end: str,
) -> None:
    job_id = alice.preview(alice.persona()["id"])
    crashed(database, settings, job_id, [picture()])
    with database.transaction() as tx:
        tx.execute(
            "UPDATE generation_jobs SET status = 'processing', claim = 'x', attempts = ?,"
            " run_after = ? WHERE id = ?",
            (3 if end == "lost" else 1, PAST, job_id),
        )
    if end == "cancelled":
        alice.post(f"/api/jobs/{job_id}/cancel")
    else:
        hire(failing(EngineError("No.", permanent=True))).work_one()
    assert row(database, job_id)["status"] == ("cancelled" if end == "cancelled" else "failed")
    assert len(files(settings)) == 2
    announcements_run_out(database)
    keeper.run(idle=True)
    assert files(settings) == []


def test_a_disk_that_refuses_to_delete_stops_no_other_chore(
    alice: Person,
    worker: Worker,
    keeper: Housekeeper,
    database: SqliteDatabase,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alice.preview(alice.persona(**SMALL)["id"])
    worker.work_one()
    alice.delete(f"/api/media/{items(alice)[0]['id']}")
    assert alice.delete("/api/auth/me", json={"password": PASSWORD}).status_code == 204

    def refuse(*arguments: Any) -> None:
        raise OSError(errno.EROFS, "x")

    with monkeypatch.context() as patched:
        patched.setattr(LocalFiles, "delete", refuse)
        keeper.run(idle=True)
    assert (
        database.connection.execute("SELECT id FROM users WHERE id = ?", (alice.id,)).fetchone()
        is None
    )
    assert len(files(settings)) == 2
    keeper.run(idle=True)
    assert files(settings) == queued_deletions(database) == []


def test_a_deleted_account_is_purged_in_batches(
    alice: Person,
    bob: Person,
    worker: Worker,
    keeper: Housekeeper,
    database: SqliteDatabase,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(housekeeping, "_BATCH", 3)
    for person, count in ((alice, 7), (bob, 1)):
        for _ in range(count):
            person.preview(person.persona(tags=["t"], **SMALL)["id"])
            worker.work_one()
    alice.preview(alice.persona()["id"])
    assert alice.delete("/api/auth/me", json={"password": PASSWORD}).status_code == 204
    largest: dict[str, list[int]] = {"personas": [], "generation_jobs": [], "media_items": []}
    for table, batches in largest.items():
        total = database.connection.execute(
            f"SELECT COUNT(*) FROM {table} WHERE user_id = ?", (alice.id,)
        ).fetchone()
        assert total[0] >= 7
        batches.append(total[0])
    with database.transaction() as tx:
        writer = tx
    with told(writer) as statements:
        for _ in range(8):
            keeper.run(idle=True)
    for table in largest:
        assert sum(f"DELETE FROM {table} WHERE id IN" in text for text in statements) >= 3, table
    owned = [
        table
        for table in tables(database.connection)
        if "user_id" in columns(database.connection, table)
    ]
    assert len(owned) >= 9
    for table in owned:
        left = f"SELECT COUNT(*) FROM {table} WHERE user_id = ?"
        assert database.connection.execute(left, (alice.id,)).fetchone()[0] == 0, table
    assert (
        database.connection.execute("SELECT 1 FROM users WHERE id = ?", (alice.id,)).fetchone()
        is None
    )
    [kept] = items(bob)
    assert {path.name[:36] for path in files(settings)} == {kept["id"]}


# ---------------------------------------------------------------------------------------- processes


@contextmanager
def processes(
    folder: Path, count: int, *arguments: str, **more: str
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """`flask worker`, so many times, on the instance in `folder`; nothing is left of them after the
    block."""
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith("SEIDRA_")
    }
    variables |= environment(folder, **more)
    with ExitStack() as stack:
        started = []
        for _ in range(count):
            command = [sys.executable, "-m", "flask", "worker", *arguments]
            process = stack.enter_context(subprocess.Popen(command, env=variables, cwd=folder))
            stack.callback(process.kill)
            started.append(process)
        yield started


def claimant(database: SqliteDatabase, job_id: str) -> int | None:
    """The process that renders a job."""
    claim = row(database, job_id)["claim"]
    return int(claim.rsplit("-", 3)[1]) if claim else None


@pytest.mark.slow
def test_a_job_whose_process_is_killed_is_made_once_by_another(
    alice: Person, database: SqliteDatabase, settings: Settings
) -> None:
    persona = alice.persona(**LARGE)
    with processes(
        settings.data_dir, 2, SEIDRA_JOB_LEASE_SECONDS="1", SEIDRA_JOB_POLL_MS="50"
    ) as both:
        job_id = alice.preview(persona["id"])
        # What was claimed and not yet sent to the engine is no attempt.
        wait_for(lambda: row(database, job_id)["attempts"] == 1)
        pid = claimant(database, job_id)
        killed = next(process for process in both if process.pid == pid)
        killed.kill()
        killed.wait(30)
        assert row(database, job_id)["status"] == "processing"
        wait_for(lambda: row(database, job_id)["status"] == "completed", 60)
    assert row(database, job_id)["attempts"] == 2
    [item] = items(alice)
    assert (item["width"], item["height"]) == (2048, 2048)
    assert sorted(
        path.suffix for path in files(settings) if settings.tmp_dir not in path.parents
    ) == [".png", ".webp", ".webp"]


@pytest.mark.slow
def test_two_processes_share_a_hundred_jobs_and_do_none_twice(
    alice: Person, database: SqliteDatabase, settings: Settings
) -> None:
    persona = alice.persona(**SMALL)
    ids = {alice.preview(persona["id"], seed=n) for n in range(100)}
    with processes(settings.data_dir, 2, SEIDRA_JOB_POLL_MS="50") as both:
        wait_for(
            lambda: alice.get("/api/jobs/stats").get_json()["by_status"]["completed"] == 100, 60
        )
        for process in both:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(30) for process in both] == [0, 0]
    rows = database.connection.execute(
        "SELECT attempts, started_at, claim, version FROM generation_jobs"
    ).fetchall()
    assert [(found["attempts"], found["claim"]) for found in rows] == [(1, None)] * 100
    assert all(found["started_at"] for found in rows)
    assert {item["job_id"] for item in items(alice)} == ids
    assert alice.get("/api/media").get_json()["total"] == 100
    assert len(files(settings)) == 200


@pytest.mark.slow
def test_sigterm_ends_a_worker_well_and_gives_its_job_back(
    alice: Person, database: SqliteDatabase, settings: Settings
) -> None:
    job_id = alice.preview(alice.persona(**LARGE)["id"])
    with processes(settings.data_dir, 1, "--grace", "0") as [process]:
        wait_for(lambda: claimant(database, job_id))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    stored = row(database, job_id)
    assert (stored["status"], stored["claim"], stored["attempts"]) == ("processing", None, 0)
    assert stored["run_after"] <= timestamp_in(0)
    assert not list(settings.tmp_dir.iterdir())

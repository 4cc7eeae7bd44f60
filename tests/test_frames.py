"""Unfinished pictures of jobs: what is kept of what an engine shows, and who may see it."""

from __future__ import annotations

import dataclasses
import io
import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Person, wait_for
from flask import Flask
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from test_events import listen

from seidra.config import Settings
from seidra.database.queries import queries
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.engines.base import Engine, RenderContext, RenderedImage, RenderRequest
from seidra.engines.mock import MockEngine
from seidra.jobs import frames
from seidra.jobs.frames import LARGEST_BYTES, FramePace, encode_frame
from seidra.operations.workers import make_worker
from seidra.web.services import services_of


def picture(width: int, height: int, kind: str = "PNG", **kwargs: Any) -> bytes:
    """Noise, which no format makes small."""
    noise = random.Random(1).randbytes(width * height * 3)
    out = io.BytesIO()
    Image.frombytes("RGB", (width, height), noise).save(out, kind, **kwargs)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("size", [(64, 64), (512, 300), (1024, 1024)])
def test_a_frame_is_encoded_anew(kind: str, size: tuple[int, int]) -> None:
    webp = encode_frame(picture(*size, kind))
    assert webp is not None
    assert len(webp) <= LARGEST_BYTES
    with Image.open(io.BytesIO(webp)) as image:
        assert image.format == "WEBP"
        assert max(image.size) <= 512


def test_nothing_of_the_engines_own_bytes_goes_along() -> None:
    text = PngInfo()
    text.add_text("prompt", "a secret prompt")
    webp = encode_frame(picture(64, 64, pnginfo=text, icc_profile=b"a secret profile"))
    assert webp is not None
    assert b"secret" not in webp


@pytest.mark.parametrize(
    "data",
    [b"", b"<svg/>", picture(64, 64)[:200], picture(8, 8, "GIF"), b"\xff\xd8\xff" + b"x" * 99],
)
def test_what_is_no_picture_is_no_frame(data: bytes) -> None:
    assert encode_frame(data) is None


def test_a_frame_that_claims_to_be_huge_is_not_decoded() -> None:
    out = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(out, "PNG")
    assert encode_frame(out.getvalue()) is None


def test_one_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(frames.time, "monotonic", lambda: now[0])
    pace, due = FramePace(), []
    for _ in range(30):
        due.append(pace.is_due())
        now[0] += 0.1
    assert due.count(True) == 3


class _Showing(Engine):
    """Draws as the mock does, and shows what it is given before, when a test says so."""

    kind = "mock"

    def __init__(self, shown: list[bytes], go_on: threading.Event) -> None:
        super().__init__("mock")
        self._shown, self._go_on = shown, go_on

    def render(self, request: RenderRequest, context: RenderContext) -> Iterator[RenderedImage]:
        for data in self._shown:
            context.preview(data)
        assert self._go_on.wait(60)
        yield from MockEngine().render(request, context)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With room for two streams of one person."""
    return dataclasses.replace(settings, web_threads=8)


@pytest.fixture
def go_on() -> threading.Event:
    return threading.Event()


@pytest.fixture
def showing(app: Flask, go_on: threading.Event) -> Iterator[Flask]:
    """An app whose worker stands still with a frame shown."""
    own = services_of(app)
    engine = _Showing([picture(600, 600, "JPEG"), picture(64, 64)], go_on)
    worker = make_worker(own.settings, own.database, [engine], own.wake)
    worker.start()
    yield app
    go_on.set()
    worker.stop(10)


def shown(person: Person, job_id: str) -> dict[str, Any]:
    """A job once it shows a frame."""

    def look() -> dict[str, Any] | None:
        job: dict[str, Any] = person.get(f"/api/jobs/{job_id}").get_json()
        return job if job["frame_url"] else None

    found: dict[str, Any] = wait_for(look, 30)
    return found


SMALL = {"generation_params": {"width": 64, "height": 64}}


def test_a_frame_is_seen_by_its_owner_while_the_job_is_made(
    showing: Flask, alice: Person, bob: Person, database: SqliteDatabase, go_on: threading.Event
) -> None:
    with listen(alice) as all_jobs:
        job_id = alice.preview(alice.persona(**SMALL)["id"])
        job = shown(alice, job_id)
        told = next(data for event, data in all_jobs.events() if event == "preview")
    assert told == {"job_id": job_id, "frame_url": job["frame_url"]}
    url = job["frame_url"]
    assert url.startswith(f"/api/jobs/{job_id}/frame?n=1&user={alice.id}&")
    # By the link alone, by a token, and by nobody else's.
    answer = alice.client.get(url)
    assert (answer.status_code, answer.mimetype) == (200, "image/webp")
    assert answer.headers["Cache-Control"] == "private, no-cache"
    with Image.open(io.BytesIO(answer.data)) as image:
        assert image.size == (256, 256)  # noise, which 64 KB hold no more of
    etag = answer.headers["ETag"]
    assert alice.client.get(url, headers={"If-None-Match": etag}).status_code == 304
    assert alice.get(f"/api/jobs/{job_id}/frame").data == answer.data
    assert bob.get(f"/api/jobs/{job_id}/frame").status_code == 404
    assert bob.client.get(f"/api/jobs/{job_id}/frame").status_code == 401
    forged = url.replace(f"user={alice.id}", f"user={bob.id}")
    assert bob.client.get(forged).get_json()["code"] == "link_invalid"
    # One row a job, the second frame came too fast.
    kept = database.connection.execute("SELECT n FROM job_frames").fetchall()
    assert [row[0] for row in kept] == [1]
    go_on.set()
    wait_for(lambda: alice.get(f"/api/jobs/{job_id}").get_json()["status"] == "completed", 30)
    assert alice.get(f"/api/jobs/{job_id}").get_json()["frame_url"] is None
    assert alice.client.get(url).status_code == 404
    assert database.connection.execute("SELECT COUNT(*) FROM job_frames").fetchone()[0] == 0


def test_the_frame_of_an_nsfw_job_is_seen_as_its_pictures_are(
    showing: Flask, alice: Person
) -> None:
    alice.allow_nsfw()
    persona = alice.persona(is_nsfw=True, **SMALL)["id"]
    with listen(alice) as safe, listen(alice, "/api/jobs/events?include_nsfw=true") as all_jobs:
        job_id = alice.preview(persona)
        url = shown(alice, job_id)["frame_url"]
        assert next(data for event, data in all_jobs.events() if event == "preview")
        assert alice.client.get(url).status_code == 200
        assert alice.patch("/api/settings/nsfw", json={"enabled": False}).status_code == 200
        assert alice.client.get(url).status_code == 404
        services_of(showing).streams.stopping = lambda: True
        # The settings alone are told: not the job, not its frame.
        assert {event for event, _ in safe.rest()} <= {"reset"}


def test_a_frame_alone_tells_no_job(alice: Person, database: SqliteDatabase, app: Flask) -> None:
    job_id = alice.preview(alice.persona(**SMALL)["id"])
    with database.transaction() as tx:
        tx.execute("UPDATE generation_jobs SET status = 'processing', claim = 'c'")
    version = alice.get(f"/api/jobs/{job_id}").get_json()
    with listen(alice, f"/api/jobs/{job_id}/events") as one:
        assert one.next()[0] == "job"
        for number in (1, 2):
            with database.transaction() as tx:
                put = "INSERT INTO job_frames (job_id, n, webp) VALUES (?, ?, ?)"
                if number == 2:
                    put = "UPDATE job_frames SET n = 2"
                tx.execute(put, (job_id, 1, b"x") if number == 1 else ())
            event, data = one.next()
            assert event == "preview"
            assert f"n={number}&" in data["frame_url"]
    now = alice.get(f"/api/jobs/{job_id}").get_json()
    assert now | {"frame_url": None} == version
    # The claim's end, whatever it is, takes the frame along.
    with database.transaction() as tx:
        tx.execute("UPDATE generation_jobs SET claim = NULL")
    assert alice.get(f"/api/jobs/{job_id}").get_json()["frame_url"] is None


def test_the_frame_of_a_lost_claim_is_not_put(alice: Person, database: SqliteDatabase) -> None:
    job_id = alice.preview(alice.persona(**SMALL)["id"])
    with database.transaction() as tx:
        tx.execute("UPDATE generation_jobs SET status = 'processing', claim = 'mine'")
        assert queries.jobs.put_frame(tx, id=job_id, claim="another", webp=b"x") == 0
        assert queries.jobs.put_frame(tx, id=job_id, claim="mine", webp=b"x") == 1
        assert queries.jobs.put_frame(tx, id=job_id, claim="mine", webp=b"y") == 1
    rows = database.connection.execute("SELECT n, webp FROM job_frames").fetchall()
    assert [tuple(row) for row in rows] == [(2, b"y")]


def test_the_mock_shows_what_there_is_of_a_slow_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seidra.engines.mock._FRAME_S", 0.0)
    seen: list[bytes] = []
    context = RenderContext(on_frame=seen.append)
    list(MockEngine().render(RenderRequest("an ocean", 7, width=256, height=128), context))
    assert len(seen) > 3
    for data in seen:
        with Image.open(io.BytesIO(data)) as image:
            assert image.size == (128, 64)
    assert seen[0] != seen[-1]

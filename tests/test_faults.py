"""Faults of disk, files, database and clock: a clear answer or log line, nothing lost, recovery
without a hand."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import jwt
import pytest
from conftest import Person, environment, wait_for
from flask import Flask
from test_start import GUNICORN, Server, run, variables
from werkzeug.test import TestResponse

from seidra import create_app
from seidra.config import Settings
from seidra.database import open_database
from seidra.database.sqlite import writer
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.engines.base import Engine, RenderContext, RenderedImage, RenderRequest
from seidra.engines.mock import MockEngine
from seidra.files.local import LocalFiles
from seidra.jobs.worker import Worker
from seidra.operations.housekeeping import Housekeeper
from seidra.operations.media import LOST, UNREADABLE, MediaCheck
from seidra.operations.workers import make_worker
from seidra.values import timestamp_in
from seidra.web.services import services_of
from soak.check import at_rest, wait_until_idle

TINY = {"width": 64, "height": 64, "quality": "draft"}


class SmallDisk:
    """A file system of a few MB, that can be filled up and made read-only."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._ballast = folder, folder / "ballast"

    def fill(self) -> None:
        """Use up the last byte."""
        with self._ballast.open("wb", buffering=0) as file:
            for size in (65536, 4096, 1):
                with suppress(OSError):
                    while True:
                        file.write(bytes(size))

    def empty(self) -> None:
        """Give the room back."""
        self._ballast.unlink()

    def remount(self, mode: str) -> None:
        """`ro` or `rw`."""
        subprocess.run(["mount", "-o", f"remount,{mode}", str(self.folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m,mode=0700", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield SmallDisk(folder)
    subprocess.run(["umount", "-l", str(folder)], check=True)


def problem(answer: TestResponse, status: int) -> str:
    """The detail of a problem+json answer with that status."""
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json"), (
        answer.text
    )
    if status == 503:
        assert int(answer.headers["Retry-After"]) > 0
    return str(answer.get_json()["detail"])


def check_whole(settings: Settings) -> None:
    """Everything in the database and on the disk agrees."""
    database = open_database(settings)
    try:
        wait_until_idle(database, 120)
        assert list(at_rest(database, settings)) == []
    finally:
        database.close()


# ----------------------------------------------------------------------------------------- the disk


@pytest.mark.slow
@pytest.mark.sqlite_only("the disk is the file's")
def test_a_full_disk_refuses_writes_clearly_and_nothing_is_lost(
    tmp_path: Path, disk: SmallDisk
) -> None:
    (tmp_path / "instance").symlink_to(disk.folder)
    made, refused = [], 0
    with Server(tmp_path, *GUNICORN, SEIDRA_WEB_WORKERS="1") as server:
        server.ready().register()
        disk.fill()
        body = {"name": "Luna", "style_prompt": "sea " * 200, "generation_params": TINY}
        # The write-ahead log has some room left in it.
        for _ in range(2000):
            status, text, headers = server.call("POST", "/api/personas", body)
            if status == 201:
                made.append(json.loads(text)["id"])
                continue
            assert (status, headers["Content-Type"]) == (503, "application/problem+json"), text
            assert headers["Retry-After"]
            assert "disk" in json.loads(text)["detail"]
            if (refused := refused + 1) == 3:
                break
        assert refused == 3
        assert server.call("GET", "/api/personas")[0] == 200
        disk.empty()
        made.append(server.json("POST", "/api/personas", body, 201)["id"])
        job = server.json("POST", f"/api/personas/{made[-1]}/preview", status=202)["job_id"]
        assert server.picture(f"/api/jobs/{job}")
        log = server.log.read_text()
    assert "database cannot be written or read" in log
    assert "Exception on" not in log
    database = open_database(settings := Settings.load(environment(disk.folder)))
    assert [
        row[0] for row in database.connection.execute("SELECT id FROM personas ORDER BY id")
    ] == made
    database.close()
    check_whole(settings)


@pytest.fixture
def apart(tmp_path: Path, disk: SmallDisk) -> Iterator[tuple[Flask, Worker]]:
    """An app whose pictures are on the small disk, and whose database is not; and its running
    worker."""
    folders = {
        f"SEIDRA_{name}_DIR": str(disk.folder / name.lower())
        for name in ("MEDIA", "THUMBNAIL", "TMP")
    }
    settings = Settings.load(
        environment(tmp_path / "instance", SEIDRA_JOB_MAX_ATTEMPTS="10", **folders)
    )
    app = create_app(settings)
    database, wake = services_of(app).database, services_of(app).wake
    worker = make_worker(settings, database, [MockEngine()], wake)
    worker.start()
    yield app, worker
    worker.stop(10)
    database.close()


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["No space left on device", "Read-only file system"])
@pytest.mark.sqlite_only("what agrees at the end is asked in SQLite's words")
def test_a_preview_waits_until_the_picture_can_be_stored(
    apart: tuple[Flask, Worker], disk: SmallDisk, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    alice = Person(apart[0], "alice")
    persona = alice.persona(generation_params=TINY)

    def job(id: str) -> dict[str, Any]:
        return alice.get(f"/api/jobs/{id}").get_json()

    first = alice.preview(persona["id"])
    wait_for(lambda: job(first)["status"] == "completed")
    [item] = alice.get("/api/media").get_json()["items"]
    next((disk.folder / "thumbnail").rglob("*.webp")).unlink()
    disk.remount("ro") if "Read-only" in fault else disk.fill()
    second = alice.preview(persona["id"])
    reason = wait_for(lambda: job(second)["error_message"])
    assert reason == f"The picture could not be stored: {fault}."
    assert "job failed" in caplog.text
    assert alice.client.get(item["url"], buffered=True).status_code == 200
    assert "thumbnail" in problem(alice.client.get(item["thumbnail_url"]), 503)
    disk.remount("rw") if "Read-only" in fault else disk.empty()
    wait_for(lambda: job(second)["status"] == "completed")
    assert job(second)["error_message"] is None
    assert alice.client.get(item["thumbnail_url"], buffered=True).status_code == 200
    check_whole(services_of(apart[0]).settings)


@pytest.mark.slow
def test_a_start_on_a_read_only_disk_is_one_sentence_and_works_later(
    tmp_path: Path, disk: SmallDisk
) -> None:
    env = variables(disk.folder / "instance")
    disk.remount("ro")
    refused = run("-m", "flask", "init", cwd=tmp_path, env=env)
    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: ")
    assert "Read-only file system" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    disk.remount("rw")
    assert run("-m", "flask", "init", cwd=tmp_path, env=env).returncode == 0


# ------------------------------------------------------------------------------------- single files


@pytest.mark.parametrize(
    ("damage", "kind"),
    [(Path.unlink, LOST), (lambda path: path.write_bytes(path.read_bytes()[:-99]), "size")],
)
def test_a_picture_that_is_deleted_or_damaged_is_told_logged_found_and_put_back(
    alice: Person,
    worker: Worker,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], Any],
    kind: str,
) -> None:
    alice.preview(alice.persona(generation_params=TINY)["id"])
    worker.work_one()
    [item] = alice.get("/api/media").get_json()["items"]
    [path] = settings.media_dir.rglob("*.png")
    [thumbnail] = settings.thumbnail_dir.rglob("*.webp")
    whole = path.read_bytes()
    thumbnail.unlink()
    damage(path)
    problem(alice.client.get(item["thumbnail_url"]), 404)
    assert f"file of media item {item['id']} is missing or damaged" in caplog.text
    database = open_database(settings)
    assert [finding.kind for finding in MediaCheck(settings, database).find(deep=True)] == [kind]
    path.write_bytes(whole)
    for name in ("url", "thumbnail_url"):
        assert alice.client.get(item[name], buffered=True).status_code == 200
    assert list(MediaCheck(settings, database).find(deep=True)) == []
    # The same size, and yet no picture: only decoding it shows that.
    path.write_bytes(whole[:60] + bytes(len(whole) - 60))
    assert [finding.kind for finding in MediaCheck(settings, database).find(deep=True)] == [
        UNREADABLE
    ]
    database.close()


# ------------------------------------------------------------------------------------- the database

HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.sqlite_only("one writer locks the file for all")
def test_a_locked_database_is_503_until_it_is_free(
    app: Flask,
    alice: Person,
    worker: Worker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("WARNING", "seidra")
    monkeypatch.setattr(writer, "BUSY_SECONDS", 0.2)
    persona = alice.persona(generation_params=TINY)
    path = services_of(app).settings.database_path
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert "busy" in problem(
            alice.patch(f"/api/personas/{persona['id']}", json={"name": "Nova"}), 503
        )
        problem(alice.post(f"/api/personas/{persona['id']}/preview"), 503)
        assert "database busy for more than" in caplog.text
        assert alice.get(f"/api/personas/{persona['id']}").get_json()["name"] == "Luna"
        holder.kill()
    assert alice.patch(f"/api/personas/{persona['id']}", json={"name": "Nova"}).status_code == 200
    alice.preview(persona["id"])
    assert worker.work_one()
    check_whole(services_of(app).settings)


# ---------------------------------------------------------------------------------------- the clock


def test_jobs_written_while_the_clock_was_ahead_do_not_wait_for_it(
    alice: Person, make_app: Callable[..., Flask], settings: Settings
) -> None:
    app = make_app(job_lease_seconds=1)
    database, settings = services_of(app).database, services_of(app).settings
    persona = alice.persona(generation_params=TINY)
    queued, held = alice.preview(persona["id"]), alice.preview(persona["id"])
    ahead = timestamp_in(86_400)
    with database.transaction() as tx:
        tx.execute("UPDATE generation_jobs SET run_after = ?", (ahead,))
        tx.execute(
            "UPDATE generation_jobs SET status = 'processing', claim = 'gone', attempts = 1"
            " WHERE id = ?",
            (held,),
        )
    worker = make_worker(settings, database, [MockEngine()], services_of(app).wake)
    assert not worker.work_one()
    Housekeeper(database, LocalFiles(settings), settings).run(idle=True)
    # One may still be held, and the engine does one at once: its worker, were it alive, has a
    # lease's time to say so.
    for _ in range(2):
        wait_for(worker.work_one)
    for job in (held, queued):
        assert alice.get(f"/api/jobs/{job}").get_json()["status"] == "completed"


@pytest.mark.sqlite_only("what agrees at the end is asked in SQLite's words")
def test_a_job_in_hand_outlives_a_jump_of_the_clock(
    alice: Person, database: SqliteDatabase, settings: Settings
) -> None:
    """Its lease is in the past all at once; another worker may take it, and just one of the two
    brings the picture."""
    alice.preview(alice.persona(generation_params=TINY)["id"])
    other = make_worker(settings, database, [MockEngine()], threading.Event())

    class Jumping(Engine):
        def render(self, request: RenderRequest, context: RenderContext) -> list[RenderedImage]:
            with database.transaction() as tx:
                tx.execute("UPDATE generation_jobs SET run_after = ?", (timestamp_in(-3600),))
            assert other.work_one()
            return MockEngine().render(request, context)

    assert make_worker(settings, database, [Jumping(name="mock")], threading.Event()).work_one()
    Housekeeper(database, LocalFiles(settings), settings).run(idle=True)
    check_whole(settings)
    [job] = alice.get("/api/jobs").get_json()["jobs"]
    assert (job["status"], len(job["result_images"])) == ("completed", 1)


def test_tokens_made_while_the_clock_was_a_little_ahead_are_good(app: Flask, alice: Person) -> None:
    """By tokens as the server signs them, dated by another clock."""
    secret = app.config["JWT_SECRET_KEY"]

    def dated(token: str, seconds: float) -> dict[str, str]:
        claims = jwt.decode(token, secret, algorithms=["HS256"])
        moved = {name: claims[name] + seconds for name in ("iat", "nbf", "exp")}
        return {"Authorization": f"Bearer {jwt.encode(claims | moved, secret, 'HS256')}"}

    access, refresh = alice.token["access_token"], alice.token["refresh_token"]
    client = app.test_client()
    assert client.get("/api/auth/me", headers=dated(access, 240)).status_code == 200
    problem(client.get("/api/auth/me", headers=dated(access, 3600)), 401)
    problem(client.get("/api/auth/me", headers=dated(access, -901)), 401)
    problem(client.post("/api/auth/refresh", headers=dated(refresh, -40 * 86_400)), 401)
    assert alice.get("/api/auth/me").status_code == 200

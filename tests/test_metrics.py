"""/metrics: off by default, and right across processes."""

from __future__ import annotations

import threading
import time
import urllib.request
from pathlib import Path

import pytest
from conftest import ENGINE, Person, wait_for
from flask import Flask
from test_start import GUNICORN, Server

from seidra.config import Settings
from seidra.database.queries import queries
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.engines.mock import MockEngine
from seidra.jobs import presence
from seidra.jobs.worker import Worker
from seidra.operations.workers import make_worker
from seidra.values import timestamp_in
from seidra.web.services import services_of

TOKEN = "a-token-for-prometheus"


def scrape(server: Server, token: str = TOKEN) -> dict[str, float]:
    """The metrics by name and labels."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}/metrics", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        lines = answer.read().decode().splitlines()
    return {
        name: float(value)
        for line in lines
        if line[0] != "#"
        for name, _, value in [line.rpartition(" ")]
    }


def counted(found: dict[str, float], method: str, route: str, status: int) -> float:
    return found.get(
        f'seidra_http_requests_total{{method="{method}",route="{route}",status="{status}"}}', 0
    )


def test_off_there_is_nothing(app: Flask, alice: Person) -> None:
    assert alice.get("/metrics").status_code == 404
    assert "metrics" not in app.view_functions


@pytest.mark.slow
def test_two_processes_count_together(tmp_path: Path) -> None:
    variables = {"SEIDRA_METRICS": TOKEN, "SEIDRA_WEB_WORKERS": "2", "SEIDRA_JOB_POLL_MS": "50"}
    with Server(tmp_path, *GUNICORN, **variables).ready() as server:
        server.register()
        for _ in range(40):
            assert server.call("GET", "/api/personas")[0] == 200
        assert server.call("GET", "/api/personas/7")[0] == 404
        assert server.call("GET", "/a/path/that/nobody/knows")[0] == 404
        assert server.call("BREW", "/api/personas")[0] == 405
        assert server.call("GET", "/metrics")[0] == 401
        server.picture(server.preview())
        # Whichever process answers, it says the same.
        for found in [scrape(server) for _ in range(6)]:
            assert counted(found, "GET", "/api/personas", 200) == 40
            assert counted(found, "GET", "/api/personas/<id:persona_id>", 404) == 1
            assert counted(found, "GET", "none", 404) == 1
            assert counted(found, "other", "none", 405) == 1
            labels = 'method="GET",route="/api/personas"'
            assert found[f"seidra_http_request_seconds_count{{{labels}}}"] == 40
            assert 0 < found[f"seidra_http_request_seconds_sum{{{labels}}}"] < 40
            assert found[f'seidra_http_request_seconds_bucket{{le="+Inf",{labels}}}'] == 40
            assert found['seidra_jobs{status="completed"}'] == 1
            assert found['seidra_jobs{status="queued"}'] == found["seidra_queue_age_seconds"] == 0
            seen = [
                value
                for name, value in found.items()
                if name.startswith("seidra_worker_seen_seconds")
            ]
            assert len(seen) == 2
            assert max(seen) < 60
            assert found["seidra_media_bytes"] > 1000
            assert found["seidra_database_bytes"] > 10_000
            for folder in ("database", "media") if ENGINE == "sqlite" else ("media",):
                free, whole = (
                    found[f'seidra_disk_{name}bytes{{folder="{folder}"}}'] for name in ("free_", "")
                )
                assert 0 < free < whole
        server.stop()
    # The next server begins at nothing.
    with Server(tmp_path, *GUNICORN, **variables).ready() as server:
        assert counted(scrape(server), "GET", "/api/personas", 200) == 0


def rows(database: SqliteDatabase) -> list[tuple[str, str]]:
    return [(row["id"], row["seen_at"]) for row in queries.workers.list_all(database.connection)]


def test_a_worker_shows_itself_and_leaves(database: SqliteDatabase, settings: Settings) -> None:
    worker = make_worker(settings, database, [MockEngine()], threading.Event())
    worker.start()
    wait_for(lambda: [id for id, _ in rows(database)] == [worker.name])
    worker.stop(5)
    assert rows(database) == []


def test_a_sign_of_life_is_renewed_and_dead_workers_are_forgotten(database: SqliteDatabase) -> None:
    mine = presence.Presence(database, "mine", "mock")
    with database.transaction() as tx:
        for name, age in (
            ("dead", presence.FORGET_SECONDS + 1),
            ("silent", presence.FORGET_SECONDS - 60),
        ):
            queries.workers.seen(
                tx, id=name, host="h", pid=1, engine="mock", now=timestamp_in(-age)
            )
    mine.show()
    first = dict(rows(database))
    assert set(first) == {"silent", "mine"}
    mine.show()
    assert dict(rows(database)) == first
    mine._last = time.monotonic() - presence.SECONDS
    mine.show()
    assert dict(rows(database))["mine"] > first["mine"]


def test_a_worker_shows_itself_while_a_job_takes_long(
    alice: Person, worker: Worker, database: SqliteDatabase
) -> None:
    slow = threading.Event()
    alice.preview(alice.persona()["id"])
    [slot] = worker._slots

    class Slow(type(slot.engine)):  # type: ignore[misc]
        def render(self, request, context):  # type: ignore[no-untyped-def]
            slow.wait(120)
            return super().render(request, context)

    slot.engine = Slow(name="mock")
    thread = threading.Thread(target=worker.work_one)
    thread.start()
    try:
        wait_for(lambda: [id for id, _ in rows(database)] == [worker.name])
    finally:
        slow.set()
        thread.join()


def test_the_counters_folder_outlives_the_sweep_of_temporary_files(
    settings: Settings, app: Flask
) -> None:
    folder = settings.tmp_dir / "metrics"
    folder.mkdir()
    (settings.tmp_dir / "of-nobody").mkdir()
    assert services_of(app).files.temporary(older_than=-1) == [settings.tmp_dir / "of-nobody"]


@pytest.mark.slow
def test_what_accounts_had_of_the_engines_today_by_their_ids_alone(tmp_path: Path) -> None:
    """Of those who had something, in figures: no name and nothing of what they made."""
    with Server(tmp_path, *GUNICORN, SEIDRA_METRICS=TOKEN, SEIDRA_JOB_POLL_MS="50") as server:
        server.ready().register()
        before = scrape(server)
        assert not [name for name in before if name.startswith("seidra_usage_today")]
        server.picture(server.preview())
        user = server.json("GET", "/api/auth/me")["id"]
        item = server.json("GET", "/api/media")["items"][0]
        found = scrape(server)
        used = {name: found[name] for name in found if name.startswith("seidra_usage_today")}
        assert used.pop(f'seidra_usage_today_engine_seconds{{user="{user}"}}') > 0
        assert used == {
            f'seidra_usage_today_pictures{{user="{user}"}}': 1,
            f'seidra_usage_today_bytes{{user="{user}"}}': item["file_size"],
        }
        told = [word for word in ("alice", "Luna", "moonlit", item["id"]) if word in str(found)]
        assert not told

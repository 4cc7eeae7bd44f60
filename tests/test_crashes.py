"""Workers that die, with a server that outlives them: real processes before the fake ComfyUI, which
counts what was sent to it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from conftest import Person, environment, wait_for
from engines.fake_comfyui import FakeComfyUI
from flask import Flask
from test_start import variables

from seidra import create_app
from seidra.config import Settings
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.web.services import services_of

PARAMS = {"width": 64, "height": 64, "num_inference_steps": 5, "model_name": "sd15.safetensors"}

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture(params=[True, False], ids=["new", "old"])
def comfy(request: pytest.FixtureRequest) -> Iterator[FakeComfyUI]:
    """The server, of the newer and of the older protocol."""
    with FakeComfyUI(new=request.param) as server:
        yield server


@pytest.fixture
def settings(settings: Settings, comfy: FakeComfyUI) -> Settings:
    """An instance before that server."""
    return Settings.load(
        environment(settings.data_dir, SEIDRA_ENGINE="comfyui", SEIDRA_ENGINE_URL=comfy.url)
    )


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    app = create_app(settings)
    yield app
    services_of(app).database.close()


@pytest.fixture
def start(settings: Settings, comfy: FakeComfyUI) -> Iterator[Start]:
    """Start `flask worker`; all end with the test."""
    with ExitStack() as stack:

        def begin(*arguments: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [sys.executable, "-m", "flask", "worker", *arguments],
                cwd=settings.data_dir,
                env=variables(
                    settings.data_dir,
                    SEIDRA_ENGINE="comfyui",
                    SEIDRA_ENGINE_URL=comfy.url,
                    SEIDRA_JOB_LEASE_SECONDS="1",
                    SEIDRA_JOB_POLL_MS="50",
                ),
            )
            stack.callback(process.wait, 30)
            stack.callback(process.kill)
            return process

        yield begin


def job(person: Person, job_id: str) -> dict[str, Any]:
    answer = person.get(f"/api/jobs/{job_id}")
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def is_in(person: Person, job_id: str, *statuses: str) -> Callable[[], bool]:
    return lambda: job(person, job_id)["status"] in statuses


def state(database: SqliteDatabase, job_id: str) -> str:
    found = database.connection.execute(
        "SELECT engine_state FROM generation_jobs WHERE id = ?", (job_id,)
    ).fetchone()
    return str(found[0])


def queued(person: Person) -> str:
    return person.preview(person.persona(generation_params=PARAMS)["id"])


@pytest.mark.parametrize("end", ["SIGKILL", "SIGTERM"])
def test_a_worker_that_ends_while_it_runs_sends_nothing_twice(
    alice: Person, comfy: FakeComfyUI, start: Start, end: str
) -> None:
    comfy.hold()
    job_id = queued(alice)
    first = start("--grace", "0")
    wait_for(lambda: comfy.queue_of()[0])
    first.send_signal(signal.Signals[end])
    first.wait(30)
    assert job(alice, job_id)["status"] == "processing"
    start()
    comfy.go_on()
    wait_for(is_in(alice, job_id, "completed", "failed"))
    done = job(alice, job_id)
    assert (done["status"], done["attempts"], len(comfy.submissions), comfy.cancels) == (
        "completed",
        1,
        1,
        0,
    )
    [picture] = done["result_images"]
    assert alice.client.get(picture, buffered=True).status_code == 200


def test_a_worker_that_dies_before_the_answer_sends_nothing_twice(
    alice: Person, comfy: FakeComfyUI, start: Start
) -> None:
    comfy.hold()
    late = comfy.fault("POST", "/prompt", "hang_after")
    job_id = queued(alice)
    first = start()
    assert late.met.wait(30)
    first.kill()
    first.wait(30)
    late.release.set()
    start()
    comfy.go_on()
    wait_for(is_in(alice, job_id, "completed", "failed"))
    assert (job(alice, job_id)["status"], len(comfy.submissions)) == ("completed", 1)


def test_what_ends_after_its_worker_is_fetched(
    alice: Person, comfy: FakeComfyUI, start: Start
) -> None:
    comfy.hold()
    job_id = queued(alice)
    first = start()
    wait_for(lambda: comfy.queue_of()[0])
    first.kill()
    first.wait(30)
    comfy.go_on()
    wait_for(lambda: comfy.queue_of() == ([], []))
    start()
    wait_for(is_in(alice, job_id, "completed", "failed"))
    assert (job(alice, job_id)["status"], len(comfy.submissions)) == ("completed", 1)


def test_a_job_cancelled_while_nobody_holds_it_is_stopped_on_the_server(
    alice: Person, comfy: FakeComfyUI, start: Start, database: SqliteDatabase
) -> None:
    comfy.hold()
    job_id = queued(alice)
    first = start()
    wait_for(lambda: comfy.queue_of()[0])
    first.kill()
    first.wait(30)
    comfy.lose_cancels = 1
    assert alice.post(f"/api/jobs/{job_id}/cancel").status_code == 200
    assert alice.delete(f"/api/jobs/{job_id}").status_code == 204
    start()
    wait_for(lambda: comfy.cancels >= 1)
    comfy.go_on()
    orphans = "SELECT COUNT(*) FROM engine_orphans"
    wait_for(lambda: database.connection.execute(orphans).fetchone()[0] == 0)
    assert comfy.queue_of() == ([], [])
    assert (len(comfy.submissions), alice.get("/api/media").get_json()["total"]) == (1, 0)


def test_an_engine_that_is_away_is_waited_for(
    alice: Person, comfy: FakeComfyUI, start: Start
) -> None:
    comfy.down()
    job_id = queued(alice)
    start()
    wait_for(lambda: job(alice, job_id)["waiting_for"])
    waiting = job(alice, job_id)
    assert (waiting["attempts"], waiting["waiting_for"]["engine"]) == (0, "comfyui")
    comfy.up()
    wait_for(is_in(alice, job_id, "completed", "failed"))
    done = job(alice, job_id)
    assert (done["status"], done["attempts"], done["error_message"]) == ("completed", 1, None)


def test_a_slow_engine_holds_up_no_other(
    alice: Person, comfy: FakeComfyUI, start: Start, database: SqliteDatabase
) -> None:
    comfy.hold()
    slow = queued(alice)
    start()
    wait_for(lambda: comfy.queue_of()[0])
    quick = queued(alice)
    with database.transaction() as tx:
        tx.execute("UPDATE generation_jobs SET engine = 'mock' WHERE id = ?", (quick,))
    wait_for(is_in(alice, quick, "completed"))
    assert job(alice, slow)["status"] == "processing"
    comfy.go_on()
    wait_for(is_in(alice, slow, "completed"))


def test_two_processes_never_hold_two_jobs_of_an_engine_that_does_one_at_once(
    alice: Person, comfy: FakeComfyUI, start: Start, database: SqliteDatabase
) -> None:
    persona = alice.persona(generation_params=PARAMS | {"num_inference_steps": 2})
    both = [start() for _ in range(2)]
    at_work = "SELECT COUNT(DISTINCT pid) FROM workers"
    # Else the first to start might have done all before the second has begun.
    wait_for(lambda: database.connection.execute(at_work).fetchone()[0] == len(both))
    ids = [alice.preview(persona["id"], seed=n) for n in range(50)]
    held = (
        "SELECT claim FROM generation_jobs"
        " WHERE engine = 'comfyui' AND status = 'processing' AND claim IS NOT NULL"
    )
    claims, most = set[str](), 0

    def all_done() -> bool:
        nonlocal most
        now = [row[0] for row in database.connection.execute(held)]
        claims.update(claim.rsplit("-", 1)[0] for claim in now)
        most = max(most, len(now))
        stats = alice.get("/api/jobs/stats").get_json()["by_status"]
        done = bool(stats["completed"] == len(ids))
        if done and len(claims) < len(both):
            # One of them was always the faster: they go on until each had its turn.
            ids.extend(alice.preview(persona["id"], seed=n) for n in range(10))
        return done and len(claims) == len(both)

    wait_for(all_done, 120)
    assert most == 1
    assert len(comfy.submissions) == len(set(comfy.submissions)) == len(ids) >= 50


def test_the_capabilities_of_a_server_are_known_after_a_worker_began(
    comfy: FakeComfyUI, start: Start, database: SqliteDatabase
) -> None:
    start()
    found = wait_for(
        lambda: database.connection.execute(
            "SELECT capabilities, kind FROM engines"
            " WHERE name = 'comfyui' AND probed_at IS NOT NULL"
        ).fetchone()
    )
    assert "own_id" in found[0]
    assert found[1] == "comfyui"

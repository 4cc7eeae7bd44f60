"""Workers that die, with a server that outlives them: real processes before fake servers, which
count what was sent to them.

At every barrier stands how many submissions the server saw. ComfyUI can be asked, and sees one.
A1111's pictures are lost with the connection: it sees a second one, and never two at a time. What
OpenAI made of the first cannot be asked at all: it sees a second one, and the job says so.
"""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from conftest import Person, environment, wait_for
from fake_comfyui import FakeComfyUI
from fake_openai import KEY, FakeOpenai
from fake_sdapi import FakeSdapi
from flask import Flask
from test_start import variables

from seidra import create_app
from seidra.config import Settings
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.web.services import services_of

pytestmark = pytest.mark.slow

Start = Callable[..., subprocess.Popen[bytes]]


class Remote(ABC):
    """A server whose renders stand still when they are told to."""

    kind: str
    model: str
    again: int
    """How many submissions it sees of a job whose first one it got, and whose worker was lost."""
    told: list[str]
    """The warnings of such a job."""
    url: str
    interrupts_orphans = True

    @property
    @abstractmethod
    def submissions(self) -> int: ...

    @property
    @abstractmethod
    def cancels(self) -> int: ...

    @abstractmethod
    def hold(self) -> None: ...

    @abstractmethod
    def go_on(self) -> None: ...

    @abstractmethod
    def running(self) -> bool: ...

    @abstractmethod
    def idle(self) -> bool: ...

    @abstractmethod
    def keep_out(self) -> tuple[threading.Event, threading.Event]:
        """Let the next job stand before the door, and be dropped there: (it stands there, drop
        it). What comes after that is let in."""

    @abstractmethod
    def close(self) -> None: ...

    def variables(self, folder: Path) -> dict[str, str]:
        return {"SEIDRA_ENGINE": self.kind, "SEIDRA_ENGINE_URL": self.url}


class RemoteComfyUI(Remote):
    kind, model, again, told = "comfyui", "sd15.safetensors", 1, []

    def __init__(self, new: bool) -> None:
        self.fake = FakeComfyUI(new=new)
        self.url = self.fake.url

    @property
    def submissions(self) -> int:
        return len(self.fake.submissions)

    @property
    def cancels(self) -> int:
        return self.fake.cancels

    def hold(self) -> None:
        self.fake.hold()

    def go_on(self) -> None:
        self.fake.go_on()

    def running(self) -> bool:
        return bool(self.fake.queue_of()[0])

    def idle(self) -> bool:
        return self.fake.queue_of() == ([], [])

    def keep_out(self) -> tuple[threading.Event, threading.Event]:
        fault = self.fake.fault("POST", "/prompt", "hang_before")
        return fault.met, fault.release

    def close(self) -> None:
        self.fake.close()


class RemoteSdapi(Remote):
    kind, model, again, told = "sdapi", "sd_xl_base_1.0", 2, []

    def __init__(self) -> None:
        self.fake = FakeSdapi("forge")
        self.url = self.fake.url

    @property
    def submissions(self) -> int:
        return len(self.fake.bodies)

    @property
    def cancels(self) -> int:
        return len(self.fake.interrupts)

    def hold(self) -> None:
        self.fake.pause(1)

    def go_on(self) -> None:
        self.fake.resume()

    def running(self) -> bool:
        return self.fake.running is not None and self.fake.step == 1

    def idle(self) -> bool:
        return self.fake.running is None and not self.fake.pending

    def keep_out(self) -> tuple[threading.Event, threading.Event]:
        self.fake.doorstep = threading.Event()
        return self.fake.at_door, self.fake.doorstep

    def close(self) -> None:
        self.fake.close()


class RemoteOpenai(Remote):
    kind, model, again, told = "openai", "gpt-image-2.5-flare", 2, ["maybe_billed"]
    interrupts_orphans = False

    def __init__(self) -> None:
        self.fake = FakeOpenai()
        self.url = self.fake.url

    @property
    def submissions(self) -> int:
        return len(self.fake.bodies)

    @property
    def cancels(self) -> int:
        """It takes none."""
        return 0

    def hold(self) -> None:
        self.fake.hold.clear()

    def go_on(self) -> None:
        self.fake.hold.set()

    def running(self) -> bool:
        return len(self.fake.bodies) > self.fake.answered

    def idle(self) -> bool:
        return True

    def keep_out(self) -> tuple[threading.Event, threading.Event]:
        self.fake.doorstep = threading.Event()
        return self.fake.at_door, self.fake.doorstep

    def close(self) -> None:
        self.fake.close()

    def variables(self, folder: Path) -> dict[str, str]:
        key = folder / "key"
        key.write_text(KEY)
        key.chmod(0o600)
        return {**super().variables(folder), "SEIDRA_ENGINE_KEY_FILE": str(key)}


REMOTES: dict[str, Callable[[], Remote]] = {
    "comfyui-new": lambda: RemoteComfyUI(new=True),
    "comfyui-old": lambda: RemoteComfyUI(new=False),
    "sdapi": RemoteSdapi,
    "openai": RemoteOpenai,
}
COMFYUI = pytest.mark.parametrize("remote", ["comfyui-new", "comfyui-old"], indirect=True)


@pytest.fixture(params=REMOTES)
def remote(request: pytest.FixtureRequest) -> Iterator[Remote]:
    """The server."""
    with closing(REMOTES[request.param]()) as server:
        yield server


@pytest.fixture
def comfy(remote: Remote) -> FakeComfyUI:
    """The fake itself, where the server is a ComfyUI."""
    assert isinstance(remote, RemoteComfyUI)
    return remote.fake


@pytest.fixture
def chosen(settings: Settings, remote: Remote) -> Settings:
    """An instance before that server."""
    return Settings.load(environment(settings.data_dir, **remote.variables(settings.data_dir)))


@pytest.fixture
def app(chosen: Settings) -> Iterator[Flask]:
    app = create_app(chosen)
    yield app
    services_of(app).database.close()


@pytest.fixture
def start(chosen: Settings, remote: Remote) -> Iterator[Start]:
    """Start `flask worker`; all end with the test."""
    with ExitStack() as stack:

        def begin(*arguments: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [sys.executable, "-m", "flask", "worker", *arguments],
                cwd=chosen.data_dir,
                env=variables(
                    chosen.data_dir,
                    **remote.variables(chosen.data_dir),
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


def params(remote: Remote) -> dict[str, Any]:
    return {"width": 64, "height": 64, "num_inference_steps": 5, "model_name": remote.model}


def queued(person: Person, remote: Remote) -> str:
    return person.preview(person.persona(generation_params=params(remote))["id"])


def kill(process: subprocess.Popen[bytes], end: str = "SIGKILL") -> None:
    process.send_signal(signal.Signals[end])
    process.wait(30)


def check_made_once(
    person: Person, remote: Remote, job_id: str, seen: int, told: list[str]
) -> None:
    """The job is completed with one picture, which is there; the server saw so many submissions,
    and no cancel."""
    wait_for(is_in(person, job_id, "completed", "failed"))
    done = job(person, job_id)
    assert (done["status"], done["error_message"]) == ("completed", None)
    assert (remote.submissions, remote.cancels) == (seen, 0)
    assert [warning["code"] for warning in done["warnings"]] == told
    [picture] = done["result_images"]
    assert person.client.get(picture, buffered=True).status_code == 200
    assert person.get("/api/media").get_json()["total"] == 1


# ----------------------------------------------------------------------------- at every barrier


def test_killed_after_it_remembered_and_before_the_server_had_it(
    alice: Person, remote: Remote, start: Start
) -> None:
    """One submission, for nothing came of the first."""
    stands, drop = remote.keep_out()
    job_id = queued(alice, remote)
    first = start()
    assert stands.wait(60)
    kill(first)
    drop.set()
    if isinstance(remote, RemoteSdapi | RemoteOpenai):
        remote.fake.doorstep = None
    assert remote.submissions == 0
    start()
    # OpenAI cannot be asked whether it had it.
    check_made_once(alice, remote, job_id, 1, remote.told)


@COMFYUI
def test_killed_after_it_sent_and_before_the_answer(
    alice: Person, remote: Remote, comfy: FakeComfyUI, start: Start
) -> None:
    """The answer to `POST /prompt`; at the others that answer is the picture."""
    comfy.hold()
    late = comfy.fault("POST", "/prompt", "hang_after")
    job_id = queued(alice, remote)
    first = start()
    assert late.met.wait(30)
    kill(first)
    late.release.set()
    start()
    comfy.go_on()
    check_made_once(alice, remote, job_id, 1, [])


@pytest.mark.parametrize("remote", ["sdapi"], indirect=True)
def test_killed_while_the_server_has_it_in_its_queue(
    alice: Person, remote: RemoteSdapi, start: Start
) -> None:
    """It is waited for before it is sent again: never are two of the job with the server."""
    fake = remote.fake
    fake.pause()
    other = {"prompt": "somebody else's", "negative_prompt": "", "steps": 2, "seed": 1}
    body = {**other, "width": 64, "height": 64, "cfg_scale": 7.0, "sampler_name": "Euler"}
    threading.Thread(target=fake.txt2img, args=(body,), daemon=True).start()
    fake.until(lambda: fake.running)
    job_id = queued(alice, remote)
    first = start()
    wait_for(lambda: fake.pending)
    kill(first)
    start()
    with pytest.raises(AssertionError):
        # It would send, if it did not wait.
        wait_for(lambda: remote.submissions > 2, 3)
    fake.resume()
    check_made_once(alice, remote, job_id, 3, [])
    assert len(fake.rendered) == 3


@pytest.mark.parametrize("end", ["SIGKILL", "SIGTERM"])
def test_ended_while_the_server_renders(
    alice: Person, remote: Remote, start: Start, end: str
) -> None:
    remote.hold()
    job_id = queued(alice, remote)
    first = start("--grace", "0")
    wait_for(remote.running)
    kill(first, end)
    assert job(alice, job_id)["status"] == "processing"
    assert (remote.submissions, remote.cancels) == (1, 0)
    start()
    remote.go_on()
    check_made_once(alice, remote, job_id, remote.again, remote.told)


@COMFYUI
def test_what_ends_after_its_worker_is_fetched(alice: Person, remote: Remote, start: Start) -> None:
    remote.hold()
    job_id = queued(alice, remote)
    first = start()
    wait_for(remote.running)
    kill(first)
    remote.go_on()
    wait_for(remote.idle)
    start()
    check_made_once(alice, remote, job_id, 1, [])


@pytest.mark.sqlite_only("a statement that takes for ever is held open in the file")
def test_killed_with_the_picture_stored_and_the_job_not_finished(
    alice: Person, remote: Remote, start: Start, database: SqliteDatabase, chosen: Settings
) -> None:
    """In the very transaction that names the picture, which is made to last."""
    with database.transaction() as tx:
        tx.execute(
            "CREATE TRIGGER barrier BEFORE INSERT ON media_items BEGIN SELECT COUNT(*) FROM ("
            "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 1000000000)"
            " SELECT n FROM c); END"
        )
    job_id = queued(alice, remote)
    first = start()
    wait_for(lambda: list(chosen.media_dir.rglob("*.png")) and is_locked(chosen, 1.0))
    kill(first)
    with database.transaction() as tx:
        tx.execute("DROP TRIGGER barrier")
    assert job(alice, job_id)["results"] == []
    assert (remote.submissions, remote.idle()) == (1, True)
    start()
    check_made_once(alice, remote, job_id, remote.again, remote.told)


def is_locked(settings: Settings, seconds: float) -> bool:
    """Whether somebody writes all the while."""
    with closing(sqlite3.connect(settings.database_path, timeout=seconds)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        return False


def test_a_lease_is_taken_over_from_a_worker_that_comes_back(
    alice: Person, remote: Remote, start: Start, database: SqliteDatabase
) -> None:
    """The first one stands still beyond its lease, and wakes while the second one has the job: it
    stops nothing on the server, and brings nothing."""
    remote.hold()
    job_id = queued(alice, remote)
    first = start()
    wait_for(remote.running)
    claimed = claim_of(database, job_id)
    first.send_signal(signal.SIGSTOP)
    start()
    wait_for(lambda: claim_of(database, job_id) not in (claimed, None))
    taken = claim_of(database, job_id)
    first.send_signal(signal.SIGCONT)
    # Three heartbeats: it learns that the job is another's.
    time.sleep(1.5)
    assert claim_of(database, job_id) == taken
    remote.go_on()
    check_made_once(alice, remote, job_id, remote.again, remote.told)
    assert first.poll() is None


def claim_of(database: SqliteDatabase, job_id: str) -> str | None:
    found = "SELECT claim FROM generation_jobs WHERE id = ?"
    row = database.connection.execute(found, (job_id,)).fetchone()
    return None if row is None else row[0]


def test_cancelled_while_nobody_holds_it(
    alice: Person, remote: Remote, start: Start, database: SqliteDatabase
) -> None:
    """The next worker has it stopped where that can be; nothing is sent again, nothing comes."""
    remote.hold()
    job_id = queued(alice, remote)
    first = start()
    wait_for(remote.running)
    kill(first)
    if isinstance(remote, RemoteComfyUI):
        remote.fake.lose_cancels = 1
    assert alice.post(f"/api/jobs/{job_id}/cancel").status_code == 200
    assert alice.delete(f"/api/jobs/{job_id}").status_code == 204
    start()
    orphans = "SELECT COUNT(*) FROM engine_orphans"
    wait_for(lambda: database.connection.execute(orphans).fetchone()[0] == 0)
    if remote.interrupts_orphans:
        assert remote.cancels >= 1
    wait_for(remote.idle)
    assert (remote.submissions, alice.get("/api/media").get_json()["total"]) == (1, 0)


# ------------------------------------------------------------------------------ one engine, many


@COMFYUI
def test_an_engine_that_is_away_is_waited_for(
    alice: Person, remote: Remote, comfy: FakeComfyUI, start: Start
) -> None:
    comfy.down()
    job_id = queued(alice, remote)
    start()
    wait_for(lambda: job(alice, job_id)["waiting_for"])
    waiting = job(alice, job_id)
    assert (waiting["attempts"], waiting["waiting_for"]["engine"]) == (0, "comfyui")
    comfy.up()
    wait_for(is_in(alice, job_id, "completed", "failed"))
    done = job(alice, job_id)
    assert (done["status"], done["attempts"], done["error_message"]) == ("completed", 1, None)


@COMFYUI
def test_a_slow_engine_holds_up_no_other(
    alice: Person, remote: Remote, comfy: FakeComfyUI, start: Start, database: SqliteDatabase
) -> None:
    comfy.hold()
    slow = queued(alice, remote)
    start()
    wait_for(lambda: comfy.queue_of()[0])
    quick = queued(alice, remote)
    with database.transaction() as tx:
        tx.execute("UPDATE generation_jobs SET engine = 'mock' WHERE id = ?", (quick,))
    wait_for(is_in(alice, quick, "completed"))
    assert job(alice, slow)["status"] == "processing"
    comfy.go_on()
    wait_for(is_in(alice, slow, "completed"))


@COMFYUI
def test_two_processes_never_hold_two_jobs_of_an_engine_that_does_one_at_once(
    alice: Person, remote: Remote, comfy: FakeComfyUI, start: Start, database: SqliteDatabase
) -> None:
    persona = alice.persona(generation_params=params(remote) | {"num_inference_steps": 2})
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


@COMFYUI
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


@pytest.mark.parametrize("remote", ["comfyui-new", "comfyui-old", "sdapi"], indirect=True)
def test_what_an_engine_shows_meanwhile_is_a_frame_of_the_job(
    alice: Person, remote: Remote, start: Start
) -> None:
    remote.hold()
    if isinstance(remote, RemoteComfyUI):
        remote.fake.hold(step=3)
    job_id = queued(alice, remote)
    start()
    wait_for(lambda: job(alice, job_id)["frame_url"], 60)
    frame = alice.client.get(job(alice, job_id)["frame_url"])
    assert (frame.status_code, frame.mimetype) == (200, "image/webp")
    assert frame.data[8:12] == b"WEBP"
    remote.go_on()
    check_made_once(alice, remote, job_id, 1, [])
    assert job(alice, job_id)["frame_url"] is None

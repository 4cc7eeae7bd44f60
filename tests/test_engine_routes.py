"""What is known of the engines: the routes, the commands, the doctor and the metrics, from what
workers saw."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import Person, environment
from engines.fake_comfyui import FakeComfyUI
from flask import Flask

from seidra import create_app
from seidra import engines as kinds
from seidra.cli import engines as commands
from seidra.config import Settings
from seidra.database.queries import queries
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.engines.base import Capabilities, Model, Sizes
from seidra.engines.stored import capabilities_json, read_capabilities
from seidra.jobs.engine_watch import EngineWatch
from seidra.jobs.presence import Presence
from seidra.operations.checks import WARN, examine
from seidra.platform.metrics import _State
from seidra.values import from_json, timestamp_in, to_json
from seidra.web.services import services_of


@pytest.fixture
def comfy() -> Iterator[FakeComfyUI]:
    with FakeComfyUI() as server:
        yield server


@pytest.fixture
def settings(settings: Settings, comfy: FakeComfyUI) -> Settings:
    return Settings.load(
        environment(settings.data_dir, SEIDRA_ENGINE="comfyui", SEIDRA_ENGINE_URL=comfy.url)
    )


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    app = create_app(settings)
    yield app
    services_of(app).database.close()


@pytest.fixture
def watch(app: Flask, settings: Settings, database: SqliteDatabase) -> EngineWatch:
    """What a worker that has just started sees; it is alive."""
    setup = services_of(app).setup
    watch = EngineWatch(
        database, [kinds.make(name, engine) for name, engine in setup.engines.items()]
    )
    watch.register()
    Presence(database, "worker", ", ".join(setup.engines)).show()
    return watch


def engine(person: Person, name: str = "comfyui") -> dict[str, Any]:
    answer = person.get("/api/engines")
    assert answer.status_code == 200
    return next(found for found in answer.get_json() if found["name"] == name)


def test_capabilities_come_back_from_the_database_as_they_went() -> None:
    whole = Capabilities(
        version="1",
        models={"a": Model("a.safetensors", "sdxl")},
        loras={"b": Model("b.safetensors")},
        schedulers=("euler",),
        foreign={"samplers": ("euler", "lcm")},
        features=frozenset({"seed", "loras"}),
        sizes=Sizes(256, 1024, 16, ((256, 256), (1024, 1024))),
        max_count=4,
        seed_max=2**31,
    )
    for can in (whole, Capabilities()):
        assert read_capabilities(from_json(to_json(capabilities_json(can)))) == can
    assert read_capabilities({}) == Capabilities()


def test_an_engine_without_a_worker_says_so(alice: Person) -> None:
    found = engine(alice)
    assert (found["status"], found["checked_at"], found["is_default"]) == ("no_worker", None, True)
    assert not any(found["can"][feature] for feature in ("seed", "loras", "progress"))


def test_an_engine_shows_what_a_worker_saw(
    alice: Person, watch: EngineWatch, comfy: FakeComfyUI
) -> None:
    watch.probe_due()
    found = engine(alice)
    assert (found["status"], found["kind"], found["at_once"]) == ("ready", "comfyui", 1)
    assert all(found["can"][feature] for feature in ("seed", "loras", "progress", "cancel"))
    names = alice.get("/api/engines/comfyui/catalogue").get_json()
    assert "sd15.safetensors" in [item["name"] for item in names["items"]]
    assert names["checked_at"] == found["checked_at"]
    loras = alice.get("/api/engines/comfyui/catalogue?kind=lora&search=SKETCH").get_json()["items"]
    assert [item["name"].partition(".")[0] for item in loras] == ["sketch"]
    samplers = alice.get("/api/engines/comfyui/catalogue?kind=scheduler").get_json()["items"]
    assert "euler" in [item["name"] for item in samplers]
    assert alice.get("/api/engines/comfyui/catalogue?kind=vae").status_code == 422
    assert alice.get("/api/engines/sold/catalogue").status_code == 404
    # Nothing of where it is called.
    assert str(comfy.port) not in alice.get("/api/engines").text


def test_jobs_of_all_count_and_make_it_busy(
    alice: Person, bob: Person, watch: EngineWatch, database: SqliteDatabase
) -> None:
    persona = alice.persona()
    for _ in range(3):
        job_id = alice.preview(persona["id"])
    with database.transaction() as tx:
        tx.execute(
            "UPDATE generation_jobs SET status = 'processing', claim = 'x' WHERE id = ?", (job_id,)
        )
    watch.probe_due()
    found = engine(bob)
    assert (found["status"], found["waiting"], found["running"]) == ("busy", 2, 1)


def test_an_engine_that_does_not_answer_keeps_what_it_had(
    alice: Person, admin: Person, watch: EngineWatch, comfy: FakeComfyUI
) -> None:
    watch.probe_due()
    before = alice.get("/api/engines/comfyui/catalogue").get_json()["items"]
    comfy.down()
    # Not due.
    watch.probe_due()
    assert engine(alice)["status"] == "ready"
    assert alice.post("/api/admin/engines/comfyui/check").status_code == 403
    assert admin.post("/api/admin/engines/sold/check").status_code == 404
    answer = admin.post("/api/admin/engines/comfyui/check")
    assert (answer.status_code, answer.get_json()["name"]) == (202, "comfyui")
    watch.probe_due()
    found = engine(alice)
    assert found["status"] == "unreachable"
    assert found["message"]
    assert str(comfy.port) not in found["message"]
    assert alice.get("/api/engines/comfyui/catalogue").get_json()["items"] == before
    comfy.up()
    admin.post("/api/admin/engines/comfyui/check")
    watch.probe_due()
    assert (engine(alice)["status"], engine(alice)["message"]) == ("ready", None)


def test_of_several_workers_one_looks(
    watch: EngineWatch, settings: Settings, database: SqliteDatabase, comfy: FakeComfyUI
) -> None:
    other = EngineWatch(
        database,
        [kinds.make(name, found) for name, found in kinds.read_setup(settings).engines.items()],
    )
    watch.probe_due()
    asked = len(comfy.requests)
    assert asked > 0
    other.probe_due()
    assert len(comfy.requests) == asked
    # A moment that a clock wrote which was ahead.
    with database.transaction() as tx:
        tx.execute("UPDATE engines SET probe_due_at = ?", (timestamp_in(86_400),))
    other.probe_due()
    assert len(comfy.requests) > asked


def test_the_doctor_names_an_engine_that_is_away(
    watch: EngineWatch, settings: Settings, comfy: FakeComfyUI
) -> None:
    def check() -> Any:
        return next(check for check in examine(settings) if check.name == "engines")

    watch.probe_due()
    assert "comfyui, mock" in check().seen
    comfy.down()
    watch._probe(watch._engines["comfyui"])
    assert check().state == WARN
    assert "flask engines check comfyui" in check().advice


def test_the_metrics_tell_of_every_engine(
    alice: Person, watch: EngineWatch, settings: Settings, database: SqliteDatabase
) -> None:
    alice.preview(alice.persona()["id"])
    watch.probe_due()
    with database.transaction() as tx:
        queries.engines.unreachable(tx, name="mock", message="No.", now=timestamp_in(0))
    gauges = {
        (metric.name, sample.labels["engine"]): sample.value
        for metric in _State(database, settings).collect()
        for sample in metric.samples
        if metric.name.startswith("seidra_engine_")
    }
    assert gauges["seidra_engine_up", "comfyui"] == 1
    assert gauges["seidra_engine_up", "mock"] == 0
    assert gauges["seidra_engine_waiting_jobs", "comfyui"] == 1
    assert gauges["seidra_engine_running_jobs", "comfyui"] == 0
    assert gauges["seidra_engine_orphaned_jobs", "comfyui"] == 0
    assert 0 <= gauges["seidra_engine_checked_seconds", "comfyui"] < 60


# ------------------------------------------------------------------------------------ the commands


def invoke(monkeypatch: pytest.MonkeyPatch, settings: Settings, *arguments: str) -> Any:
    monkeypatch.setattr(commands, "get_settings", lambda: settings)
    return CliRunner().invoke(commands.engines, list(arguments))


def test_the_engines_are_listed(
    watch: EngineWatch, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = invoke(monkeypatch, settings, "list")
    assert done.exit_code == 0
    first, second = done.output.splitlines()
    assert first.split() == [
        "comfyui",
        "comfyui",
        "ready",
        "0",
        "running,",
        "0",
        "waiting",
        "default",
    ]
    assert second.split() == ["mock", "mock", "ready", "0", "running,", "0", "waiting"]


def test_the_engines_are_asked(
    settings: Settings, comfy: FakeComfyUI, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = invoke(monkeypatch, settings, "check")
    assert done.exit_code == 0
    assert "models, 2 LoRAs." in done.output
    assert invoke(monkeypatch, settings, "check", "sold").exit_code == 1
    comfy.down()
    assert invoke(monkeypatch, settings, "check", "mock").exit_code == 0
    done = invoke(monkeypatch, settings, "check")
    assert done.exit_code == 1
    assert "1 of the engines do not answer." in done.output


def test_what_runs_here_is_found(
    settings: Settings, comfy: FakeComfyUI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "PLACES", (("comfyui", comfy.port, ""), ("sdapi", 9, "")))
    done = invoke(monkeypatch, settings, "find")
    assert done.exit_code == 0
    written = dict(
        line.strip().split("=", 1) for line in done.output.splitlines() if "SEIDRA" in line
    )
    assert written == {"SEIDRA_ENGINE": "comfyui", "SEIDRA_ENGINE_URL": comfy.url}
    again = dataclasses.replace(settings, engine="comfyui", engine_url=written["SEIDRA_ENGINE_URL"])
    assert kinds.check_setup(again).default == "comfyui"
    comfy.down()
    assert invoke(monkeypatch, settings, "find").exit_code == 1

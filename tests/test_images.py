"""Pictures of one's own that a job starts from, as named inputs of an operator's workflow."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Person, environment
from fake_comfyui import FakeComfyUI
from flask import Flask

from seidra import create_app, engines
from seidra.config import Settings
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.engines.mock import MockEngine
from seidra.engines.stored import capabilities_json
from seidra.jobs.worker import Worker
from seidra.operations.workers import make_worker
from seidra.web.services import services_of

WORKFLOW = {
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd15.safetensors"}},
    "11": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
    "5": {"class_type": "VAEEncode", "inputs": {"pixels": ["11", 0], "vae": ["4", 2]}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["4", 1]}},
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "model": ["4", 0], "seed": 1, "steps": 2, "cfg": 4.0, "sampler_name": "euler",
            "scheduler": "normal", "positive": ["6", 0], "negative": ["6", 0],
            "latent_image": ["5", 0], "denoise": 0.5,
        },
    },
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "mine"}},
}  # fmt: skip
FILE = """
default = "studio"

[engines.studio]
kind = "comfyui"
url = "{url}"
workflow = "graph.json"
inputs = {{prompt = ["6.text"], seed = ["3.seed"], face = ["11.image"]}}
"""


@pytest.fixture
def comfy() -> Iterator[FakeComfyUI]:
    with FakeComfyUI() as server:
        yield server


@pytest.fixture
def settings(settings: Settings, comfy: FakeComfyUI, tmp_path: Path) -> Settings:
    (tmp_path / "graph.json").write_text(json.dumps(WORKFLOW))
    file = tmp_path / "engines.toml"
    file.write_text(FILE.format(url=comfy.url))
    return Settings.load(environment(settings.data_dir, SEIDRA_ENGINES=str(file)))


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    app = create_app(settings)
    yield app
    services_of(app).database.close()


@pytest.fixture
def studio(app: Flask) -> Worker:
    """A worker for both engines; the studio was looked at."""
    own = services_of(app)
    engine = engines.make("studio", own.setup.engines["studio"])
    with own.database.transaction() as tx:
        tx.execute(
            "INSERT INTO engines (name, kind, capabilities, probed_at, probe_due_at)"
            " VALUES ('studio', 'comfyui', ?, '2026', '2026')",
            (json.dumps(capabilities_json(engine.probe())),),
        )
    return make_worker(own.settings, own.database, [engine, MockEngine()], threading.Event())


def drawn(person: Person, worker: Worker, **persona: Any) -> str:
    """A picture of the person's own; returns its media id."""
    look = person.persona(generation_params={"width": 64, "height": 64}, **persona)
    job_id = person.preview(look["id"], engine="mock")
    assert worker.work_one()
    [made] = person.get(f"/api/jobs/{job_id}").get_json()["results"]
    return str(made["media_id"])


def generate(person: Person, **body: Any) -> dict[str, Any]:
    answer = person.post("/api/jobs", json={"prompt": "a cat", **body})
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = person.get(f"/api/jobs/{answer.get_json()['job_id']}").get_json()
    return job


def refused(person: Person, field: str, **body: Any) -> dict[str, Any]:
    answer = person.post("/api/jobs", json={"prompt": "a cat", **body})
    assert answer.status_code == 422, answer.text
    problem: dict[str, Any] = answer.get_json()
    assert list(problem["errors"]) == [field]
    return problem


def test_a_picture_of_my_own_goes_into_the_workflow(
    alice: Person, comfy: FakeComfyUI, studio: Worker
) -> None:
    media = drawn(alice, studio)
    bytes_of = alice.get(f"/api/media/{media}/content", buffered=True).data
    [engine] = [one for one in alice.get("/api/engines").get_json() if one["name"] == "studio"]
    assert engine["can"]["images"] == ["face"]
    dry = {"prompt": "a cat", "images": {"face": media}, "dry_run": True}
    answer = alice.post("/api/jobs", json=dry).get_json()
    assert (answer["ok"], answer["images"]) == (True, {"face": media})
    job = generate(alice, images={"face": media})
    assert (job["images"], job["engine"]) == ({"face": media}, "studio")
    assert studio.work_one()
    done = alice.get(f"/api/jobs/{job['job_id']}").get_json()
    assert (done["status"], done["error_message"]) == ("completed", None)
    assert done["metadata"]["used"]["images"] == ["face"]
    assert comfy.uploads == [bytes_of]
    # Made again, with the same picture.
    again = alice.post(f"/api/jobs/{job['job_id']}/again").get_json()
    assert again["images"] == {"face": media}
    assert studio.work_one()
    assert comfy.uploads == [bytes_of] * 2


def test_pictures_must_be_my_own_and_to_be_seen(alice: Person, bob: Person, studio: Worker) -> None:
    media = drawn(alice, studio)
    refused(bob, "images.face", images={"face": media})
    refused(alice, "images.face", images={"face": "0b8f6a52-3a54-4d0e-8d0f-1d6b6c1a7e11"})
    alice.allow_nsfw()
    secret = drawn(alice, studio, is_nsfw=True)
    # What is made of it is NSFW.
    assert generate(alice, images={"face": secret})["is_nsfw"]
    assert alice.patch("/api/settings/nsfw", json={"enabled": False}).status_code == 200
    refused(alice, "images.face", images={"face": secret})
    assert not generate(alice, images={"face": media})["is_nsfw"]


@pytest.mark.parametrize(
    ("images", "field"),
    [
        ({"face": "no id"}, "images.face"),
        ({"face": 1}, "images.face"),
        ({"": "0b8f6a52-3a54-4d0e-8d0f-1d6b6c1a7e11"}, "images."),
        ([], "images"),
        ({f"p{n}": "0b8f6a52-3a54-4d0e-8d0f-1d6b6c1a7e11" for n in range(9)}, "images"),
    ],
)
def test_what_is_no_picture(alice: Person, images: Any, field: str) -> None:
    refused(alice, field, images=images)


def test_an_engine_that_takes_no_such_picture(alice: Person, studio: Worker) -> None:
    media = drawn(alice, studio)
    problem = refused(alice, "images", images={"fcae": media})
    assert problem["code"] == "cannot_be_made"
    [finding] = problem["findings"]
    assert (finding["code"], finding["value"]) == ("image_unknown", "fcae")
    assert finding["suggestions"] == ["face"]


def test_a_picture_that_is_gone_fails_the_job(
    alice: Person, comfy: FakeComfyUI, studio: Worker, database: SqliteDatabase
) -> None:
    media = drawn(alice, studio)
    job = generate(alice, images={"face": media})
    assert alice.delete(f"/api/media/{media}").status_code == 204
    assert studio.work_one()
    failed = alice.get(f"/api/jobs/{job['job_id']}").get_json()
    assert (failed["status"], failed["error_code"]) == ("failed", "image_missing")
    assert comfy.submissions == []

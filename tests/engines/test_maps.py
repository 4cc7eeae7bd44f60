"""What the operator's map of LoRAs adds to a request, for engines of every kind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import Person, environment
from fake_comfyui import FakeComfyUI
from fake_openai import KEY, FakeOpenai
from fake_sdapi import FakeSdapi
from flask import Flask

from seidra import create_app, engines
from seidra.config import Settings
from seidra.engines.base import Lora, Options, RenderRequest
from seidra.engines.maps import apply_map
from seidra.operations.workers import make_worker
from seidra.web.services import services_of

LORAS = {
    "grain": {"file": "xl/film-grain-xl.safetensors", "weight": 0.8, "trigger": "film grain"},
    "ink": {"file": "ink", "trigger": "ink"},
    "plain": {"file": "plain"},
}


@pytest.mark.parametrize(
    ("prompt", "loras", "sent", "weights"),
    [
        ("a cat", [Lora("grain")], "a cat, film grain", [(0.8, None)]),
        ("a cat", [Lora("grain", 0.5, -0.25)], "a cat, film grain", [(0.4, -0.2)]),
        ("Film Grain, a cat", [Lora("grain", 2)], "Film Grain, a cat", [(1.6, None)]),
        ("pink drinks", [Lora("ink")], "pink drinks, ink", [(1, None)]),
        ("", [Lora("grain"), Lora("ink")], "film grain, ink", [(0.8, None), (1, None)]),
        ("a cat", [Lora("plain", 0.3), Lora("unknown")], "a cat", [(0.3, None), (1, None)]),
        ("a cat", [], "a cat", []),
    ],
)
def test_a_map(
    prompt: str, loras: list[Lora], sent: str, weights: list[tuple[float, float | None]]
) -> None:
    made = apply_map(RenderRequest(prompt, 1, loras=loras), Options(loras=LORAS))
    assert made.prompt == sent
    assert [(lora.weight, lora.clip_weight) for lora in made.loras] == weights


@pytest.fixture
def make(settings: Settings, tmp_path: Path) -> Iterator[Callable[[str], Flask]]:
    """Make an app with one engine and this map."""
    made: list[Flask] = []

    def begin(lines: str) -> Flask:
        file = tmp_path / "engines.toml"
        (tmp_path / "key").write_text(KEY)
        (tmp_path / "key").chmod(0o600)
        file.write_text(f'default = "studio"\n[engines.studio]\n{lines}\n', encoding="utf-8")
        chosen = environment(settings.data_dir, SEIDRA_ENGINES=str(file))
        made.append(create_app(Settings.load(chosen)))
        return made[-1]

    yield begin
    for app in made:
        services_of(app).database.close()


def made_by(app: Flask, **body: Any) -> dict[str, Any]:
    """A job that a worker of the studio made."""
    alice = Person(app, "alice")
    dry = alice.post("/api/jobs", json={**body, "dry_run": True}).get_json()
    job_id = alice.post("/api/jobs", json=body).get_json()["job_id"]
    own = services_of(app)
    slot = engines.make("studio", own.setup.engines["studio"])
    assert make_worker(own.settings, own.database, [slot], threading.Event()).work_one()
    job: dict[str, Any] = alice.get(f"/api/jobs/{job_id}").get_json()
    assert job["status"] == "completed", job["error_message"]
    # The job says what was asked, the dry run what is sent, and `used` what was.
    assert (job["prompt"], job["loras"]) == (body["prompt"], body["loras"])
    assert job["metadata"]["used"]["prompt"] == dry["prompt"]
    return job


BODY: dict[str, Any] = {
    "prompt": "a cat",
    "loras": [{"name": "grain", "weight": 0.5}],
    "parameters": {"width": 64, "height": 64, "num_inference_steps": 2},
}
GRAIN = 'loras.grain = {file = "film-grain-xl", weight = 0.8, trigger = "film grain"}'


def test_comfyui(make: Callable[[str], Flask]) -> None:
    with FakeComfyUI() as fake:
        app = make(f'kind = "comfyui"\nurl = "{fake.url}"\n{GRAIN}')
        job = made_by(app, **BODY)
        [graph] = fake.graphs.values()
    [lora] = [node["inputs"] for node in graph.values() if node["class_type"] == "LoraLoader"]
    assert (lora["strength_model"], lora["strength_clip"]) == (0.4, 0.4)
    texts = [node["inputs"]["text"] for node in graph.values() if "text" in node["inputs"]]
    assert "a cat, film grain" in texts
    assert job["metadata"]["used"]["loras"][0]["weight"] == 0.4


def test_sdapi(make: Callable[[str], Flask]) -> None:
    with closing(FakeSdapi()) as fake:
        made_by(make(f'kind = "sdapi"\nurl = "{fake.url}"\n{GRAIN}'), **BODY)
        assert fake.bodies[0]["prompt"] == "a cat, film grain <lora:film-grain-xl:0.4>"


def test_openai(make: Callable[[str], Flask]) -> None:
    with closing(FakeOpenai()) as fake:
        lines = f'kind = "openai"\nurl = "{fake.url}"\nkey_file = "key"\n{GRAIN}'
        made_by(make(f'{lines}\ndefault_model = "gpt-image-1.5"'), **BODY)
        assert fake.prompts == [("a cat, film grain", "")]

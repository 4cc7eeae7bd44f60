"""The kind `diffusers` for real: models of this machine through a real `flask worker`, or the
engine alone where only it is looked at. `make engines` runs it."""

from __future__ import annotations

import hashlib
import io
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import toys
from conftest import Person, environment, wait_for
from PIL import Image
from test_start import variables

from seidra import create_app
from seidra.config import Settings
from seidra.database import init_database
from seidra.engines.diffusers.child import in_words
from seidra.web.services import services_of

SETUP = """
[engines.here]
kind = "diffusers"
extra = {threads = 1, device = "cpu"}
"""


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models: a whole one, one of numbers that are none, a damaged file, LoRAs."""
    folder = tmp_path_factory.mktemp("shelf") / "models"
    toys.make_model(folder / "toy")
    toys.make_model(folder / "broken", broken=True)
    toys.make_lora(folder / "loras", "grain")
    (folder / "loras" / "junk.safetensors").write_bytes(b"<html>not found</html>")
    return folder


class House:
    """An instance with one worker in a process of its own."""

    def __init__(self, folder: Path, models: Path) -> None:
        (folder / "engines.toml").write_text(SETUP)
        self.variables = variables(
            folder / "data",
            SEIDRA_ENGINES=str(folder / "engines.toml"),
            SEIDRA_MODELS_DIR=str(models),
            SEIDRA_JOB_LEASE_SECONDS="3",
            OMP_NUM_THREADS="1",
        )
        found = environment(folder / "data") | {
            name: value for name, value in self.variables.items() if name.startswith("SEIDRA_")
        }
        self.settings = Settings.load(found)
        init_database(self.settings)
        self.app = create_app(self.settings)
        self.person = Person(self.app, "alice")
        self.log = folder / "worker.log"
        with self.log.open("wb") as log:
            self.worker = subprocess.Popen(
                [sys.executable, "-m", "flask", "worker", "--grace", "0"],
                cwd=folder,
                env=self.variables,
                stderr=log,
            )

    def close(self) -> None:
        self.worker.terminate()
        self.worker.wait(30)
        services_of(self.app).database.close()

    def order(self, **fields: Any) -> str:
        parameters = {"num_inference_steps": 4, "seed": 7, "width": 64, "height": 64}
        parameters |= fields.pop("parameters", {})
        parameters["model_name"] = fields.pop("model_name", "toy")
        body = {"prompt": "a red lantern", "engine": "here", "force": True}
        answer = self.person.post("/api/jobs", json={**body, **fields, "parameters": parameters})
        assert answer.status_code == 202, answer.text
        return str(answer.get_json()["job_id"])

    def job(self, job_id: str) -> dict[str, Any]:
        return dict(self.person.get(f"/api/jobs/{job_id}").get_json())

    def ended(self, job_id: str) -> dict[str, Any]:
        ends = ("completed", "failed", "cancelled")
        return dict(
            wait_for(lambda: (job := self.job(job_id))["status"] in ends and job, seconds=240)
        )

    def picture(self, **fields: Any) -> bytes:
        """The picture of a job that must be made."""
        job = self.ended(self.order(**fields))
        assert job["status"] == "completed", (job, self.log.read_text()[-3000:])
        return self.file(job)

    def file(self, job: dict[str, Any]) -> bytes:
        [link] = job["result_images"]
        with self.person.client.get(link) as answer:
            return answer.data

    def child(self) -> int:
        """The process that renders."""
        tasks = Path(f"/proc/{self.worker.pid}/task").glob("*/children")
        children = [pid for task in tasks for pid in task.read_text().split()]
        found = [
            pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        [pid] = found
        return int(pid)

    def rendering(self, job_id: str) -> Callable[[], bool]:
        return lambda: self.job(job_id)["progress"] > 0


@pytest.fixture(scope="session")
def house(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("house"), models)
    yield made
    made.close()


def pixels(data: bytes) -> str:
    return hashlib.sha256(Image.open(io.BytesIO(data)).tobytes()).hexdigest()


LONG = {"num_inference_steps": 150, "width": 256, "height": 256}


def test_the_same_seed_gives_the_same_bytes(house: House) -> None:
    first, again, other = (house.picture(parameters={"seed": seed}) for seed in (7, 7, 8))
    assert first == again
    assert pixels(first) != pixels(other)
    image = Image.open(io.BytesIO(first))
    assert image.size == (64, 64)
    assert "Seed: 7, " in image.info["parameters"]


def test_the_job_tells_what_was_used(house: House) -> None:
    job = house.ended(house.order(parameters={"width": 70, "scheduler": "dpmpp_2m_karras"}))
    used = job["metadata"]["used"]
    assert (used["model"], used["width"], used["scheduler"]) == ("toy", 64, "dpmpp_2m_karras")
    assert "dropped" not in job["metadata"]


def test_a_negative_prompt_counts(house: House) -> None:
    assert pixels(house.picture()) != pixels(house.picture(negative_prompt="blurred"))


@pytest.mark.parametrize("scheduler", ["euler", "heun", "pndm", "unipc", "lcm", "dpm2_a"])
def test_schedulers(house: House, scheduler: str) -> None:
    assert house.picture(parameters={"scheduler": scheduler})


def test_a_lora_changes_the_picture_and_goes_again(house: House) -> None:
    plain = house.picture()
    half, full = (house.picture(loras=[{"name": "grain", "weight": w}]) for w in (0.5, 1.0))
    assert len({pixels(plain), pixels(half), pixels(full)}) == 3
    assert house.picture() == plain


def test_a_lora_that_is_none_is_said(house: House) -> None:
    plain = house.picture()
    job = house.ended(house.order(loras=[{"name": "junk", "weight": 1}]))
    assert (job["status"], job["error_code"]) == ("failed", "lora_unfit")
    assert house.picture() == plain


def test_numbers_that_are_none_give_a_failed_job(house: House) -> None:
    job = house.ended(house.order(model_name="broken"))
    assert (job["status"], job["error_code"], job["attempts"]) == ("failed", "black_picture", 1)
    assert "overflowed" in job["error_message"]


def test_a_cancel_stops_it_and_the_next_is_made(house: House) -> None:
    job_id = house.order(parameters=LONG)
    wait_for(house.rendering(job_id))
    child = house.child()
    assert house.person.post(f"/api/jobs/{job_id}/cancel").status_code == 200
    began = time.monotonic()
    assert house.picture()
    assert time.monotonic() - began < 10
    assert house.child() == child
    assert house.job(job_id)["status"] == "cancelled"


def test_a_killed_process_costs_an_attempt_and_no_picture(house: House) -> None:
    job_id = house.order(parameters=LONG)
    wait_for(house.rendering(job_id))
    os.kill(house.child(), signal.SIGKILL)
    job = house.ended(job_id)
    assert (job["status"], job["attempts"]) == ("completed", 2)
    assert house.file(job)


def test_out_of_memory_begins_a_new_process(house: House) -> None:
    house.picture()
    child = house.child()
    size = int(Path(f"/proc/{child}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(child, resource.RLIMIT_AS, (size + 8_000_000, size + 8_000_000))
    large = {"width": 1024, "height": 1024, "num_inference_steps": 1}
    job = house.ended(house.order(parameters=large))
    assert (job["status"], job["attempts"]) == ("completed", 2)
    assert house.child() != child


def test_a_real_lack_of_memory_is_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    assert in_words(caught.value).code == "out_of_memory"


def test_the_process_ends_with_its_worker(models: Path, tmp_path: Path) -> None:
    house = House(tmp_path, models)
    try:
        job_id = house.order(parameters=LONG)
        wait_for(house.rendering(job_id))
        child = house.child()
        house.worker.kill()
        house.worker.wait()
        wait_for(lambda: not Path(f"/proc/{child}").exists(), seconds=20)
    finally:
        house.close()

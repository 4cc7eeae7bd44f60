"""Generations: what people ask for, with or without a persona, and what engines lack for it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Person, environment
from flask import Flask
from PIL import Image

from seidra import create_app
from seidra.config import Settings
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.jobs.worker import Worker
from seidra.media.thumbnails import thumbnail_size
from seidra.web.services import services_of

TINY = {"width": 64, "height": 64, "quality": "draft"}
DEFAULTS = {
    "width": 768,
    "height": 768,
    "num_inference_steps": 25,
    "guidance_scale": 7.5,
    "scheduler": "ddim",
    "quality": "standard",
    "model_name": "sdxl-base",
}
GRAIN = {"name": "grain", "weight": 0.5}


def made(person: Person, **body: Any) -> dict[str, Any]:
    """The job of a generation that is queued."""
    answer = person.post("/api/jobs", json={"prompt": "a lighthouse", **body})
    assert answer.status_code == 202, answer.text
    queued = answer.get_json()
    assert answer.headers["Location"] == f"/api/jobs/{queued['job_id']}"
    assert queued["status"] == "queued"
    job: dict[str, Any] = person.get(answer.headers["Location"]).get_json()
    assert queued["persona_id"] == job["persona_id"]
    assert queued["warnings"] == job["warnings"]
    return job


def refused(person: Person, *fields: str, **body: Any) -> dict[str, Any]:
    """The problem of a generation that is refused, and names these fields."""
    answer = person.post("/api/jobs", json={"prompt": "a lighthouse", **body})
    assert answer.status_code == 422, answer.text
    problem: dict[str, Any] = answer.get_json()
    assert set(problem["errors"]) == set(fields)
    assert person.get("/api/jobs").get_json()["total"] == 0
    return problem


# ---------------------------------------------------------------------------------------- composing


def test_a_prompt_alone_is_enough(app: Flask, alice: Person) -> None:
    job = made(alice, negative_prompt="text")
    assert (job["prompt"], job["negative_prompt"]) == ("a lighthouse", "text")
    assert (job["job_type"], job["engine"], job["count"]) == ("generation", "mock", 1)
    assert (job["persona"], job["persona_id"], job["persona_revision"]) == (None, None, None)
    seed = job["parameters"]["seed"]
    assert 0 <= seed < 2**31
    assert job["parameters"] == DEFAULTS | {"seed": seed}
    assert made(alice)["parameters"]["seed"] != seed
    assert services_of(app).wake.is_set()


def test_what_is_given_goes_before_the_personas(alice: Person) -> None:
    persona = alice.persona(
        name="Nova",
        style_prompt="photo of {prompt}, <lora:ink:2>, film grain",
        negative_prompt="watermark",
        loras=[GRAIN, {"name": "off", "enabled": False}],
        generation_params={"width": 512, "seed": 7, "own": 1},
        tags=["sea"],
    )
    job = made(
        alice,
        prompt="a cat <lora:grain:3>",
        negative_prompt="text",
        persona_id=persona["id"],
        parameters={"steps": 9, "model": "m"},
        loras=[{"name": "film", "weight": 1.5, "clip_weight": 1}],
    )
    assert job["prompt"] == "photo of a cat, film grain"
    assert job["negative_prompt"] == "text, watermark"
    assert job["loras"] == [
        {"name": "grain", "weight": 3},
        {"name": "ink", "weight": 2},
        {"name": "film", "weight": 1.5, "clip_weight": 1},
    ]
    assert job["lora_models"] == ["grain", "ink", "film"]
    assert job["model_name"] == "m"
    assert job["parameters"] == DEFAULTS | {
        "width": 512, "seed": 7, "own": 1, "num_inference_steps": 9, "model_name": "m",
    }  # fmt: skip
    assert job["persona"] == {"id": persona["id"], "name": "Nova", "owner": None}
    assert (job["persona_revision"], job["metadata"]["tags"]) == (1, ["sea"])
    alice.patch(f"/api/personas/{persona['id']}", json={"description": "x"})
    assert made(alice, persona_id=persona["id"])["persona_revision"] == 2
    assert alice.get("/api/jobs?search=nova").get_json()["total"] == 2


def test_a_preview_may_ask_for_more_too(alice: Person) -> None:
    path = f"/api/personas/{alice.persona()['id']}/preview"
    answer = alice.post(path, json={"prompt": "a cat", "count": 3, "engine": "mock", "seed": "5"})
    job = alice.get(answer.headers["Location"]).get_json()
    assert (job["prompt"], job["count"]) == ("a cat, moonlit ocean", 3)
    assert (job["job_type"], job["parameters"]["seed"]) == ("persona_preview", 5)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"prompt": ""}, ["prompt"]),
        ({"prompt": "\u2800"}, ["prompt"]),
        ({"prompt": None}, ["prompt"]),
        ({"prompt": "<lora:grain:1>"}, ["prompt"]),
        ({"persona_id": 99}, ["persona_id"]),
        ({"persona_id": 0}, ["persona_id"]),
        ({"count": 0}, ["count"]),
        ({"count": 9}, ["count"]),
        ({"seed": "x"}, ["seed"]),
        ({"engine": "none"}, ["engine"]),
        ({"parameters": {"engine": "none"}}, ["engine"]),
        ({"parameters": {"steps": 0}}, ["parameters.steps"]),
        ({"parameters": {"negative": "a"}, "negative_prompt": "b"}, ["parameters.negative_prompt"]),
        ({"loras": [{"name": "x", "weight": 11}]}, ["loras.0.weight"]),
        ({"dry_run": 1}, ["dry_run"]),
        ({"persona": 1}, ["persona"]),
    ],
)
def test_a_wrong_generation_is_422(alice: Person, body: dict[str, Any], fields: list[str]) -> None:
    refused(alice, *fields, **body)


def test_limits_of_prompts(alice: Person) -> None:
    assert refused(alice, "prompt", prompt="x" * 8001)["code"] == "prompt_too_long"
    problem = refused(alice, "negative_prompt", negative_prompt="x" * 16_001)
    assert problem["code"] == "prompt_too_long"
    persona = alice.persona(style_prompt="{prompt} {prompt} {prompt} {prompt} {prompt}")
    problem = refused(alice, "prompt", prompt="x" * 8000, persona_id=persona["id"])
    assert problem["code"] == "prompt_too_long"
    assert made(alice, prompt="x" * 8000, negative_prompt="y" * 16_000)["prompt"] == "x" * 8000


def test_another_ones_persona_cannot_be_used(alice: Person, bob: Person) -> None:
    persona = bob.persona()
    theirs = refused(alice, "persona_id", persona_id=persona["id"])
    never = refused(alice, "persona_id", persona_id=persona["id"] + 1)
    assert theirs["errors"] == never["errors"]


def test_a_hidden_personas_jobs_are_hidden(alice: Person) -> None:
    alice.allow_nsfw()
    persona = alice.persona(is_nsfw=True)
    assert made(alice, persona_id=persona["id"])["is_nsfw"] is True
    assert alice.patch("/api/settings/nsfw", json={"enabled": False}).status_code == 200
    answer = alice.post("/api/jobs", json={"prompt": "x", "persona_id": persona["id"]})
    assert answer.status_code == 422


# -------------------------------------------------------------------------------------------- seeds


@pytest.mark.parametrize(
    ("stored", "asked", "seed"),
    [
        ({"seed": 7}, {}, 7),
        ({"seed": 7}, {"seed": 8}, 8),
        ({"seed": 7}, {"seed": "9"}, 9),
        ({"seed": 7}, {"seed": None}, 7),
        ({"seed": 7}, {"seed": -1}, None),
        ({"seed": -1}, {}, None),
        ({}, {}, None),
        ({"seed": 7}, {"parameters": {"seed": 3}}, 3),
        ({"seed": 7}, {"parameters": {"seed": 3}, "seed": 4}, 4),
        ({}, {"seed": 2**63 - 1}, str(2**63 - 1)),
    ],
)
def test_the_seed_is_the_given_one_or_drawn(
    alice: Person, stored: dict[str, Any], asked: dict[str, Any], seed: Any
) -> None:
    persona = alice.persona(generation_params=stored)["id"]
    found = [made(alice, persona_id=persona, **asked)["parameters"]["seed"] for _ in range(2)]
    if seed is None:
        assert found[0] != found[1]
        assert all(0 <= drawn < 2**31 for drawn in found)
    else:
        assert found == [seed, seed]


def test_a_preview_draws_only_where_it_is_asked_to(alice: Person) -> None:
    path = f"/api/personas/{alice.persona()['id']}/preview"

    def seeds(**body: Any) -> list[Any]:
        answers = [alice.post(path, json=body).headers["Location"] for _ in range(2)]
        return [alice.get(job).get_json()["parameters"]["seed"] for job in answers]

    first, second = seeds()
    assert first == second
    first, second = seeds(seed=-1)
    assert first != second


# ------------------------------------------------------------------------------------- its pictures


def test_the_pictures_of_a_job(alice: Person, worker: Worker) -> None:
    job = made(alice, count=2, seed=5, parameters=TINY | {"width": 640, "height": 400})
    worker.work_one()
    job = alice.get(f"/api/jobs/{job['job_id']}").get_json()
    assert (job["status"], job["error_code"], job["warnings"]) == ("completed", None, [])
    assert len(job["results"]) == 2
    assert job["result_images"] == [result["url"] for result in job["results"]]
    for n, result in enumerate(job["results"]):
        media = alice.get(f"/api/media/{result['media_id']}").get_json()
        assert media["metadata"]["seed"] == 5 + n
        assert media["url"] == result["url"]
        assert (result["width"], result["height"]) == (640, 400)
        sizes = [(small["width"], small["height"]) for small in result["thumbnails"]]
        assert sizes == [(160, 100), (320, 200)]
        for small, size in zip(result["thumbnails"], sizes, strict=True):
            shown = alice.client.get(small["url"], buffered=True)
            with Image.open(io.BytesIO(shown.data)) as image:
                assert image.size == size
    tiny = made(alice, parameters=TINY)
    worker.work_one()
    (result,) = alice.get(f"/api/jobs/{tiny['job_id']}").get_json()["results"]
    assert result["thumbnails"] == []


def test_thumbnails_have_the_size_that_is_told() -> None:
    sizes = [(w, h) for w in (64, 320, 321, 641, 1000, 1999) for h in (64, 65, 320, 333, 777, 2048)]
    for size in [*sizes, (4000, 3), (3, 4000)]:
        image = Image.new("L", size)
        image.thumbnail((320, 320))
        assert thumbnail_size(*size) == image.size, size


# -------------------------------------------------------------------------------- again and dry run


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_again_is_the_same_with_another_seed(
    alice: Person, database: SqliteDatabase, status: str
) -> None:
    persona = alice.persona(loras=[GRAIN])["id"]
    first = made(alice, persona_id=persona, count=3, seed=5, parameters=TINY)
    path = f"/api/jobs/{first['job_id']}/again"
    assert alice.post(path).status_code == 409
    with database.transaction() as tx:
        tx.execute(
            "UPDATE generation_jobs SET status = ?, completed_at = '2026', error_message = 'x'",
            (status,),
        )
    answer = alice.post(path)
    assert answer.status_code == 201, answer.text
    new = answer.get_json()
    assert answer.headers["Location"] == f"/api/jobs/{new['job_id']}"
    assert (new["status"], new["attempts"], new["error_message"]) == ("queued", 0, None)
    assert new["parameters"].pop("seed") != first["parameters"].pop("seed")
    for name in ("prompt", "loras", "parameters", "count", "engine", "persona", "job_type"):
        assert new[name] == first[name], name
    assert new["metadata"]["again_of"] == first["job_id"]


def test_a_dry_run_queues_nothing(alice: Person) -> None:
    persona = alice.persona(style_prompt="{prompt}, ocean", loras=[GRAIN])["id"]
    body = {"prompt": "a cat", "persona_id": persona, "dry_run": True, "count": 2}
    answer = alice.post("/api/jobs", json=body)
    assert answer.status_code == 200
    assert answer.get_json() == {
        "ok": True,
        "engine": "mock",
        "prompt": "a cat, ocean",
        "negative_prompt": "",
        "model_name": "sdxl-base",
        "loras": [GRAIN],
        "parameters": DEFAULTS | {"seed": -1},
        "count": 2,
        "images": {},
        "warnings": [],
        "findings": [],
    }
    given = alice.post("/api/jobs", json=body | {"seed": 2**60}).get_json()
    assert given["parameters"]["seed"] == str(2**60)
    assert alice.get("/api/jobs").get_json()["total"] == 0
    wrong = alice.post("/api/jobs", json=body | {"prompt": "x" * 8001})
    assert wrong.get_json()["code"] == "prompt_too_long"


def test_generations_wait_in_the_same_queue(make_app: Callable[..., Flask]) -> None:
    alice = Person(make_app(max_queued_jobs=1), "alice")
    made(alice)
    assert alice.post("/api/jobs", json={"prompt": "x"}).status_code == 429
    assert alice.post("/api/jobs", json={"prompt": "x", "dry_run": True}).status_code == 200


# ----------------------------------------------------------------------------- what an engine lacks

SEEN = {
    "version": "1",
    "models": {"sdxl-base": {"file": "sd_xl_base_1.0.safetensors", "family": "sdxl"}},
    "loras": {"film-grain-xl": {"file": "film-grain-xl.safetensors", "family": "sdxl"}},
    "schedulers": ["ddim", "euler"],
    "foreign": {"samplers": [], "schedules": []},
    "features": ["seed", "loras", "lora_weights"],
    "sizes": {"low": 64, "high": 2048, "multiple": 8, "fixed": []},
    "max_count": 8,
    "seed_max": 2**63 - 1,
}


def see(database: SqliteDatabase, name: str, capabilities: dict[str, Any]) -> None:
    """Write what an engine was seen to have, as a worker does."""
    with database.transaction() as tx:
        tx.execute(
            "INSERT INTO engines (name, kind, capabilities, probed_at, probe_due_at)"
            " VALUES (?, 'comfyui', ?, '2026', '2026')"
            " ON CONFLICT (name) DO UPDATE SET capabilities = excluded.capabilities",
            (name, json.dumps(capabilities)),
        )


def test_what_an_engine_lacks_is_told_before_it_queues(
    alice: Person, database: SqliteDatabase
) -> None:
    see(database, "mock", SEEN)
    body = {"loras": [{"name": "film-grain"}], "negative_prompt": "text"}
    problem = refused(alice, "loras", **body)
    assert (problem["code"], problem["engine"]) == ("cannot_be_made", "mock")
    error, warning = problem["findings"]
    assert error == {
        "level": "error",
        "code": "lora_missing",
        "field": "loras",
        "value": "film-grain",
        "detail": "This engine has no LoRA called 'film-grain'.",
        "suggestions": ["film-grain-xl"],
    }
    assert (warning["level"], warning["code"]) == ("warning", "negative_prompt_ignored")
    dry = alice.post("/api/jobs", json={"prompt": "x", "dry_run": True, **body}).get_json()
    assert (dry["ok"], dry["findings"]) == (False, problem["findings"])
    assert made(alice, **body, force=True)["warnings"] == problem["findings"]
    # Warnings alone are no hindrance.
    job = made(alice, negative_prompt="text", loras=[{"name": "film-grain-xl"}])
    assert [found["code"] for found in job["warnings"]] == ["negative_prompt_ignored"]


def test_a_persona_is_checked(alice: Person, database: SqliteDatabase) -> None:
    path = f"/api/personas/{alice.persona(generation_params={'model_name': 'other'})['id']}/check"
    unseen = {"ok": True, "engine": "mock", "findings": []}
    assert alice.get(path).get_json() == unseen
    see(database, "mock", SEEN)
    answer = alice.get(path, query_string={"engine": "mock"}).get_json()
    assert answer["ok"] is False
    assert [found["code"] for found in answer["findings"]] == ["model_unknown"]
    preview = alice.post(path.replace("check", "preview"))
    assert (preview.status_code, preview.get_json()["findings"]) == (422, answer["findings"])
    assert alice.get(path, query_string={"engine": "none"}).status_code == 422
    see(database, "mock", SEEN | {"models": {}})
    assert alice.get(path).get_json() == unseen


@pytest.fixture
def several(tmp_path: Path) -> Person:
    """A person of an instance with two real engines, of which `auto` chooses."""
    config = tmp_path / "engines.toml"
    config.write_text(
        """default = "auto"
        [engines.one]
        kind = "comfyui"
        url = "http://127.0.0.1:1"
        [engines.two]
        kind = "comfyui"
        url = "http://127.0.0.1:2"
        at_once = 2
        """
    )
    variables = environment(tmp_path / "several", SEIDRA_ENGINES=str(config))
    return Person(create_app(Settings.load(variables)), "alice")


def test_auto_takes_the_least_busy_that_can(several: Person) -> None:
    database = services_of(several.client.application).database
    engines = [made(several)["engine"] for _ in range(6)]
    assert engines == ["one", "two", "two", "one", "two", "two"]
    see(database, "two", SEEN)
    see(database, "one", SEEN | {"models": {"mine": {"file": "m", "family": None}}})
    several.post("/api/jobs", json={"prompt": "x", "engine": "one"})
    assert made(several, parameters={"model": "mine"})["engine"] == "one"
    assert made(several, parameters={"model": "sdxl-base"})["engine"] == "two"
    answer = several.post("/api/jobs", json={"prompt": "x", "parameters": {"model": "none"}})
    assert answer.get_json()["code"] == "cannot_be_made"


def test_auto_takes_of_several_only_what_an_account_may_use(several: Person) -> None:
    """The least busy of those that are allowed; where none is, the refusal says so."""
    admin = several
    bob = Person(admin.client.application, "bob")
    path = f"/api/admin/users/{bob.id}"

    def allow(*engines: str) -> None:
        assert admin.patch(path, json={"engines": list(engines)}).status_code == 200

    allow("one")
    assert [made(bob)["engine"] for _ in range(3)] == ["one"] * 3
    assert made(bob, engine="auto")["engine"] == "one"
    assert [made(admin)["engine"] for _ in range(2)] == ["two", "two"]
    body = {"prompt": "x", "engine": "two"}
    answer = bob.post("/api/jobs", json=body)
    assert (answer.status_code, answer.get_json()["code"]) == (403, "engine_not_allowed")
    assert [each["name"] for each in bob.get("/api/engines").get_json()] == ["one"]
    # Drawn pictures alone are better than none.
    allow("mock")
    assert made(bob)["engine"] == "mock"
    allow("one", "mock")
    assert made(bob)["engine"] == "one"
    allow()
    for engine in ({}, {"engine": "auto"}):
        answer = bob.post("/api/jobs", json={"prompt": "x", **engine})
        assert (answer.status_code, answer.get_json()["code"]) == (403, "engine_not_allowed")


def test_a_real_engine_gets_what_a_person_chose(several: Person) -> None:
    job = made(several, engine="one", seed=5, parameters={"width": 512})
    assert (job["parameters"], job["model_name"]) == ({"width": 512, "seed": 5}, "")
    assert made(several, engine="mock", seed=5)["parameters"] == DEFAULTS | {"seed": 5}
    persona = several.persona(generation_params={"engine": "two"})["id"]
    chosen = made(several, persona_id=persona)
    assert chosen["engine"] == "two"
    assert "engine" not in chosen["parameters"]
    assert made(several, persona_id=persona, engine="one")["engine"] == "one"
    gone = several.persona(generation_params={"engine": "gone"})["id"]
    job = made(several, persona_id=gone)
    assert job["engine"] in ("one", "two")
    assert [warning["code"] for warning in job["warnings"]] == ["engine_unknown"]

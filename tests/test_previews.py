"""Previews of personas that are not saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from conftest import Person
from flask import Flask

from seidra.database.sqlite.connect import SqliteDatabase
from seidra.jobs.worker import Worker

DRAFT = {
    "name": "Sol",
    "style_prompt": "{prompt}, desert at noon",
    "negative_prompt": "rain",
    "loras": [{"name": "grain", "weight": 0.5}],
    "generation_params": {"width": 64, "height": 64, "quality": "draft"},
    "tags": ["warm"],
}


def preview(person: Person, persona: dict[str, Any] = DRAFT, **more: Any) -> dict[str, Any]:
    answer = person.post("/api/previews", json={"persona": persona, **more})
    assert answer.status_code == 202, answer.text
    told = answer.get_json()
    assert answer.headers["Location"] == f"/api/jobs/{told['job_id']}"
    return person.get(answer.headers["Location"]).get_json() | {"told": told}


def test_a_draft_is_previewed_as_it_would_be_saved(alice: Person, worker: Worker) -> None:
    saved = alice.persona(**DRAFT)
    alike = alice.get(f"/api/jobs/{alice.preview(saved['id'])}").get_json()
    job = preview(alice, persona_id=saved["id"])
    for name in ("prompt", "negative_prompt", "loras", "parameters", "engine", "count", "is_nsfw"):
        assert job[name] == alike[name], name
    assert (job["persona_id"], job["persona_revision"]) == (None, None)
    assert job["persona"] == {"id": None, "name": "Sol", "owner": None}
    assert (job["job_type"], job["told"]["persona_id"]) == ("persona_preview", None)
    while worker.work_one():
        pass
    made = alice.get(f"/api/jobs/{job['job_id']}").get_json()
    item = alice.get(f"/api/media/{made['results'][0]['media_id']}").get_json()
    assert item["persona_id"] is None
    # Nothing is saved, and a picture of what was not is nobody's cover.
    assert alice.get("/api/personas").headers["X-Total-Count"] == "1"
    cover = alice.get(f"/api/personas/{saved['id']}").get_json()["cover"]
    assert cover["media_id"] != item["id"]
    assert alice.get(f"/api/jobs?search=sol&persona_id={saved['id']}").get_json()["total"] == 1


def test_the_seed_of_a_draft_stays_while_one_works_on_it(alice: Person) -> None:
    saved = alice.persona(name="Sol")
    own = alice.get(f"/api/jobs/{alice.preview(saved['id'])}").get_json()["parameters"]["seed"]
    seeds = [preview(alice, DRAFT | {"name": name})["parameters"]["seed"] for name in "AB"]
    assert seeds[0] == seeds[1] != own
    assert preview(alice, persona_id=saved["id"])["parameters"]["seed"] == own
    assert preview(alice, seed=7)["parameters"]["seed"] == 7
    params = DRAFT | {"generation_params": {"seed": 9}}
    assert preview(alice, params)["parameters"]["seed"] == 9


def test_a_preview_takes_what_every_preview_takes(alice: Person, worker: Worker) -> None:
    job = preview(alice, prompt="a fox", count=2, engine="mock")
    assert job["prompt"].startswith("a fox, desert")
    while worker.work_one():
        pass
    assert len(alice.get(f"/api/jobs/{job['job_id']}").get_json()["results"]) == 2
    # What an engine does not use is told, as where it is saved.
    odd = DRAFT | {"generation_params": {"sampler": "unheard of"}}
    told = preview(alice, odd)["told"]["warnings"]
    assert told == alice.post("/api/personas", json=odd).get_json()["warnings"] != []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "persona"),
        ({"persona": 5}, "persona"),
        ({"persona": {"style_prompt": "x"}}, "persona.name"),
        ({"persona": {"name": "x"}}, "persona.style_prompt"),
        ({"persona": DRAFT | {"nme": "x"}}, "persona.nme"),
        ({"persona": DRAFT | {"loras": [{"weight": 1}]}}, "persona.loras.0.name"),
        (
            {"persona": DRAFT | {"generation_params": {"width": 1}}},
            "persona.generation_params.width",
        ),
        (
            {"persona": DRAFT | {"generation_params": {"engine": "none"}}, "engine": "none"},
            "engine",
        ),
        ({"persona": DRAFT, "persona_id": 999}, "persona_id"),
        ({"persona": DRAFT, "count": 9}, "count"),
        (
            {
                "persona": DRAFT
                | {"avatar_url": "/api/media/6f1c2f0e-0d5b-5d5c-9c55-2b8d3f3c1a10/thumbnail"}
            },
            "persona.avatar_url",
        ),
    ],
)
def test_what_is_wrong_is_named(
    alice: Person, database: SqliteDatabase, body: dict[str, Any], field: str
) -> None:
    answer = alice.post("/api/previews", json=body)
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, [field])
    assert alice.get("/api/jobs").get_json()["total"] == 0


def test_another_ones_persona_is_none_to_change(alice: Person, bob: Person) -> None:
    theirs = bob.persona()["id"]
    answer = alice.post("/api/previews", json={"persona": DRAFT, "persona_id": theirs})
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["persona_id"])


def test_nsfw_drafts_need_it_in_force(alice: Person) -> None:
    draft = DRAFT | {"is_nsfw": True}
    answer = alice.post("/api/previews", json={"persona": draft})
    assert (answer.status_code, answer.get_json()["code"]) == (403, "nsfw_off")
    alice.allow_nsfw()
    assert preview(alice, draft)["is_nsfw"] is True
    assert alice.get("/api/jobs").get_json()["total"] == 0


def test_limits_hold_for_drafts(make_app: Callable[..., Flask]) -> None:
    alice = Person(make_app(max_queued_jobs=1, max_personas=0), "alice")
    preview(alice)
    answer = alice.post("/api/previews", json={"persona": DRAFT})
    assert (answer.status_code, answer.get_json()["code"]) == (429, "queue_full")
    full = Person(make_app(max_media=0), "bob")
    answer = full.post("/api/previews", json={"persona": DRAFT})
    assert (answer.status_code, answer.get_json()["code"]) == (409, "quota_exceeded")


def test_a_draft_can_be_tried_again(alice: Person) -> None:
    job = preview(alice)
    assert alice.post(f"/api/jobs/{job['job_id']}/cancel").status_code == 200
    for how in ("retry", "again"):
        made = alice.post(f"/api/jobs/{job['job_id']}/{how}").get_json()
        assert made["persona"] == {"id": None, "name": "Sol", "owner": None}
        assert made["prompt"] == job["prompt"]

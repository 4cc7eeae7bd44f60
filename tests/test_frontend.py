"""The calls of SEIDRA Ultimate's web frontend, as a browser sends them: each is asked for by a
preflight, carries an Origin and a Content-Type whatever it is, and finds what it reads."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Person
from engines.fake_comfyui import FakeComfyUI
from flask import Flask
from werkzeug.test import TestResponse

from seidra import engines as kinds
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.jobs.engine_watch import EngineWatch
from seidra.jobs.worker import Worker
from seidra.web.services import services_of

ORIGIN = "http://localhost:3000"

JOB = {
    *("job_id", "status", "prompt", "progress", "job_type", "model_name", "persona_id"),
    *("created_at", "updated_at", "completed_at", "result_images", "message"),
}
JOB_WHOLE = JOB | {"negative_prompt", "parameters", "metadata", "error_message"}
PERSONA = {
    *("id", "name", "description", "style_prompt", "negative_prompt", "lora_models"),
    *("generation_params", "tags", "is_favorite", "is_nsfw", "metadata"),
}
MEDIA = {
    *("id", "user_id", "job_id", "file_path", "thumbnail_path", "file_type", "mime_type"),
    *("metadata", "tags", "is_favorite", "is_nsfw", "nsfw_tags", "created_at"),
}
MEDIA_STATS = {
    *("total_images", "total_size", "favorites_count", "recent_count", "by_persona", "by_date"),
}
MODEL = {
    *("id", "name", "description", "type", "size", "is_downloaded", "download_url"),
    *("category", "tags"),
}
LORA = (MODEL - {"type", "size"}) | {"file_path", "file_size"}
STATUS = {
    *("loaded_models", "available_loras", "gpu_info", "cache_size", "optimal_batch_size"),
}
SETTINGS = {"theme", "language", "notifications", "telemetry_opt_in", "extra"}
NSFW = {"enabled", "age_verified", "intensity", "categories", "overrides"}
NOTE = {"id", "level", "title", "message", "category", "metadata", "tags", "timestamp"}
INFO = {
    *("timestamp", "environment", "debug", "gpu", "models", "model_info", "connections"),
    *("system", "media_directory", "notifications"),
}
SINGLE = {
    "prompt": "a lighthouse",
    "negative_prompt": "fog",
    "width": 64,
    "height": 64,
    "num_inference_steps": 2,
    "guidance_scale": 7,
    "num_images": 2,
    "lora_models": [],
    "lora_weights": [],
    "seed": 5,
    "model_name": "sdxl-base",
    "scheduler": "ddim",
    "style": "cinematic",
    "quality": "high",
    "is_nsfw": False,
    "job_type": "generation",
    "metadata": {"form": "simple"},
}
NEW = {
    "name": "Sol",
    "description": "Dry",
    "style_prompt": "desert",
    "negative_prompt": "rain",
    "lora_models": [],
    "generation_params": {"width": 64, "height": 64},
}

CALLS: list[tuple[str, str, Any, int, set[str]]] = [
    ("POST", "/generate/single", SINGLE, 202, {"job_id", "status", "message", "estimated_time"}),
    ("GET", "/jobs?limit=20&offset=0&job_type=generation&search=light", None, 200, {"total"}),
    ("GET", "/jobs?status=completed&persona_id={persona}", None, 200, {"total", "jobs"}),
    ("GET", "/jobs/{job}", None, 200, JOB_WHOLE),
    ("POST", "/jobs/{waiting}/cancel", None, 200, {"message", "job_id"}),
    ("POST", "/jobs/{waiting}/retry", None, 201, {"job_id", "new_job_id", "status", "message"}),
    (
        *("GET", "/jobs/stats", None, 200),
        {"total", "by_status", "average_duration", "last_completed"},
    ),
    ("GET", "/personas/", None, 200, PERSONA),
    ("POST", "/personas/", NEW, 201, PERSONA),
    ("PUT", "/personas/{persona}", {"name": "Luna"}, 200, PERSONA),
    ("POST", "/personas/{persona}/duplicate?new_name=Nova", None, 201, PERSONA),
    ("DELETE", "/personas/{spare}", None, 204, set()),
    ("GET", "/personas/{persona}/preview", None, 405, set()),
    (
        *("POST", "/personas/{persona}/preview", None, 202),
        {"job_id", "status", "message", "persona_id", "estimated_time"},
    ),
    (
        "GET",
        "/media?limit=50&offset=0&tags=keep,cover&favorites_only=false&search=ocean"
        "&date_from=2020-01-01&date_to=2999-12-31&persona_id={persona}",
        *(None, 200),
        {"total", "items"},
    ),
    ("GET", "/media/stats", None, 200, MEDIA_STATS),
    ("PUT", "/media/{media}/favorite", None, 200, {"media_id", "is_favorite", "message"}),
    ("PUT", "/media/{media}/tags", ["keep"], 200, {"media_id", "tags", "message"}),
    (
        *("POST", "/media/bulk-action", {"action": "favorite", "media_ids": ["{media}"]}, 200),
        {"action", "processed", "failed", "media_ids"},
    ),
    ("DELETE", "/media/{media}", None, 204, set()),
    ("GET", "/models/status", None, 200, STATUS),
    ("GET", "/models/available", None, 200, MODEL),
    ("GET", "/models/lora", None, 200, LORA),
    ("POST", "/models/download", {"model_id": "sdxl-base"}, 501, set()),
    ("POST", "/models/reload", None, 200, {"message"}),
    ("POST", "/models/clear-cache", None, 501, set()),
    ("DELETE", "/models/sdxl-base", None, 501, set()),
    ("GET", "/settings/", None, 200, SETTINGS),
    ("PUT", "/settings/", {"theme": "night", "extra": {}}, 200, SETTINGS),
    ("GET", "/settings/nsfw", None, 200, NSFW),
    (
        "PUT",
        "/settings/nsfw",
        {
            "enabled": False,
            "age_verified": False,
            "intensity": "low",
            "categories": {},
            "overrides": {},
        },
        *(200, NSFW),
    ),
    ("GET", "/health", None, 200, {"status", "gpu", "models_loaded", "active_connections"}),
    ("GET", "/system/info", None, 200, INFO),
    (
        *("GET", "/system/notifications?limit=5&offset=0", None, 200),
        {"items", "total", "limit", "offset", "hasMore"},
    ),
    ("POST", "/generate/video", {"prompt": "x"}, 404, set()),
    ("GET", "/media/video-assets", None, 404, set()),
]
"""Each call: method, address, body, status, and the fields that are read of the answer, or of the
first of a bare list."""


def browse(person: Person, method: str, path: str, body: Any = None) -> TestResponse:
    """A call as the frontend's client sends it, with the token that its patch adds."""
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    preflight = person.client.options(f"/api{path}", headers=asked)
    # Of a path that is none the preflight says so already.
    if preflight.status_code == 404:
        return preflight
    assert preflight.status_code in (200, 204), path
    allowed = preflight.headers["Access-Control-Allow-Headers"].lower()
    assert {"authorization", "content-type"} <= set(allowed.split(", "))
    assert method in preflight.headers["Access-Control-Allow-Methods"]
    headers = {"Origin": ORIGIN, "Content-Type": "application/json"}
    more = {} if body is None else {"json": body}
    answer = person.open(method, f"/api{path}", headers=headers, **more)
    for told in (preflight, answer):
        assert told.headers["Access-Control-Allow-Origin"] == ORIGIN, path
        assert told.headers["Access-Control-Allow-Credentials"] == "true", path
    return answer


def work(worker: Worker) -> None:
    while worker.work_one():
        pass


@pytest.fixture
def things(alice: Person, worker: Worker) -> dict[str, str]:
    """A persona with a job and its picture, one to delete, and a job that waits."""
    small = {"generation_params": {"width": 64, "height": 64}}
    persona = alice.persona(**small)["id"]
    job = alice.preview(persona)
    work(worker)
    media = alice.get("/api/media").get_json()["items"][0]["id"]
    alice.put(f"/api/media/{media}/tags", json={"tags": ["cover"]})
    spare, waiting = alice.persona(name="Spare")["id"], alice.preview(persona)
    return {
        "persona": str(persona),
        "job": job,
        "media": media,
        "spare": str(spare),
        "waiting": waiting,
    }


def placed(value: Any, things: dict[str, str]) -> Any:
    """A text, or a list or object of them, with the ids of these things."""
    if isinstance(value, str):
        return re.sub(r"\{(\w+)\}", lambda match: things[match[1]], value)
    if isinstance(value, dict):
        return {name: placed(part, things) for name, part in value.items()}
    return [placed(part, things) for part in value] if isinstance(value, list) else value


def test_every_call_of_the_table(alice: Person, things: dict[str, str]) -> None:
    for method, path, body, status, reads in CALLS:
        answer = browse(alice, method, placed(path, things), placed(body, things))
        assert answer.status_code == status, (method, path, answer.text)
        if status in (404, 405, 501):
            assert answer.content_type == "application/problem+json"
            assert answer.get_json()["detail"].endswith(".")
        elif reads:
            found = answer.get_json()
            if isinstance(found, list):
                # What draws the pictures of tests has no models; below an engine has them.
                assert found or path.startswith("/models/"), path
                found = found[0] if found else dict.fromkeys(reads)
            assert reads <= found.keys(), (path, reads - found.keys())
    allow = alice.get(f"/api/personas/{things['persona']}/preview").headers["Allow"]
    assert "POST" in allow


def test_what_stands_in_lists(alice: Person, things: dict[str, str]) -> None:
    (done,) = browse(alice, "GET", "/jobs?status=completed").get_json()["jobs"]
    assert done.keys() >= JOB
    assert (done["job_id"], done["message"]) == (things["job"], "The job is completed.")
    (item,) = browse(alice, "GET", "/media?tags=keep,cover").get_json()["items"]
    assert item.keys() >= MEDIA
    assert item["user_id"] == alice.id
    assert (item["file_path"], item["thumbnail_path"]) == (item["url"], item["thumbnail_url"])
    for name in ("file_path", "thumbnail_path"):
        # As an <img> loads it: without a header.
        with alice.client.get(item[name]) as answer:
            assert answer.mimetype.startswith("image/")
    assert browse(alice, "GET", "/personas/").get_json()[0]["metadata"] == {}
    stats = browse(alice, "GET", "/media/stats").get_json()
    day = item["created_at"][:10]
    assert (stats["total_images"], stats["favorites_count"], stats["recent_count"]) == (1, 0, 1)
    assert (stats["by_persona"], stats["by_date"]) == ({"Luna": 1}, {day: 1})
    # Bytes, as it was: a text of the same name would be another thing.
    assert stats["total_size"] == item["file_size"]


# -------------------------------------------------------------------------------------- generations


def test_a_generation_in_the_frontends_words(alice: Person, worker: Worker) -> None:
    persona = alice.persona(generation_params={"width": 128, "height": 128})["id"]
    body = SINGLE | {"persona_id": persona, "height": None}
    answer = browse(alice, "POST", "/generate/single", body)
    assert answer.status_code == 202, answer.text
    told = answer.get_json()
    assert answer.headers["Location"] == f"/api/jobs/{told['job_id']}"
    assert (told["status"], told["message"]) == ("queued", "The generation is queued.")
    # A style is nothing that an engine knows; it is kept, and told.
    assert [warning["field"] for warning in told["warnings"]] == ["style"]
    work(worker)
    job = browse(alice, "GET", f"/jobs/{told['job_id']}").get_json()
    assert (job["status"], job["job_type"], job["count"]) == ("completed", "generation", 2)
    assert (job["persona_id"], len(job["result_images"])) == (persona, 2)
    assert job["prompt"] == "a lighthouse, moonlit ocean"
    assert job["negative_prompt"] == "fog"
    chosen = {name: job["parameters"][name] for name in ("width", "height", "seed", "quality")}
    assert chosen == {"width": 64, "height": 128, "seed": 5, "quality": "high"}
    assert job["metadata"]["note"] == {"form": "simple"}
    assert job["metadata"]["persona_name"] == "Luna"


def test_what_seidra_has_not_is_told(alice: Person) -> None:
    body = {"prompt": "x", "quality": "ultra", "job_type": "batch", "style": "noir"}
    told = browse(alice, "POST", "/generate/single", body).get_json()
    assert {warning["field"] for warning in told["warnings"]} == {"quality", "job_type", "style"}
    job = alice.get(f"/api/jobs/{told['job_id']}").get_json()
    assert (job["job_type"], job["parameters"]["quality"]) == ("generation", "standard")


def test_loras_come_with_their_weights(alice: Person) -> None:
    body = {"prompt": "x", "lora_models": ["film", "ink"], "lora_weights": [0.5]}
    told = browse(alice, "POST", "/generate/single", body).get_json()
    loras = alice.get(f"/api/jobs/{told['job_id']}").get_json()["loras"]
    assert [(lora["name"], lora["weight"]) for lora in loras] == [("film", 0.5), ("ink", 1)]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"prompt": None}, "prompt"),
        ({"num_images": 9}, "num_images"),
        ({"width": 32}, "width"),
        ({"lora_models": ["a"], "lora_weights": [1, 2]}, "lora_weights"),
        ({"persona_id": 999}, "persona_id"),
        ({"seed": -2}, "seed"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_generation_that_cannot_be_made(
    alice: Person, change: dict[str, Any], field: str
) -> None:
    answer = browse(alice, "POST", "/generate/single", SINGLE | change)
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, [field])
    assert alice.get("/api/jobs").get_json()["total"] == 0


def test_another_users_persona_makes_nothing(alice: Person, bob: Person) -> None:
    body = {"prompt": "x", "persona_id": bob.persona()["id"]}
    answer = browse(alice, "POST", "/generate/single", body)
    assert list(answer.get_json()["errors"]) == ["persona_id"]


def test_nsfw_as_everywhere(alice: Person, worker: Worker) -> None:
    body = {"prompt": "x", "width": 64, "height": 64, "is_nsfw": True}
    answer = browse(alice, "POST", "/generate/single", body)
    assert (answer.status_code, answer.get_json()["code"]) == (403, "nsfw_off")
    assert alice.get("/api/jobs?include_nsfw=true").get_json()["total"] == 0
    alice.allow_nsfw()
    told = browse(alice, "POST", "/generate/single", body).get_json()
    work(worker)
    assert alice.get(f"/api/jobs/{told['job_id']}").get_json()["is_nsfw"]
    for path, total in (("/system/notifications", 0), ("/system/notifications?include_nsfw=1", 1)):
        assert browse(alice, "GET", path).get_json()["total"] == total
    assert browse(alice, "GET", "/system/info").get_json()["notifications"] == []
    assert browse(alice, "GET", "/media/stats").get_json()["by_date"] == {}


def test_the_rates_hold(make_app: Callable[..., Flask]) -> None:
    alice = Person(make_app(rate_limits=True, rate_preview="1/minute"), "alice")
    codes = [alice.post("/api/generate/single", json={"prompt": "x"}).status_code for _ in "12"]
    assert codes == [202, 429]


# ----------------------------------------------------------------------------- jobs, notifications


def test_a_job_that_is_tried_again_names_the_new_one(alice: Person, things: dict[str, str]) -> None:
    cancelled = browse(alice, "POST", f"/jobs/{things['waiting']}/cancel").get_json()
    assert (cancelled["job_id"], cancelled["message"]) == (
        things["waiting"],
        "The job is cancelled.",
    )
    again = browse(alice, "POST", f"/jobs/{things['waiting']}/retry").get_json()
    assert again["new_job_id"] == again["job_id"] != things["waiting"]
    assert (again["status"], again["message"]) == ("queued", "The job is queued.")


def test_jobs_that_ended_are_told_of(
    alice: Person, bob: Person, things: dict[str, str], database: SqliteDatabase
) -> None:
    alice.post(f"/api/jobs/{things['waiting']}/cancel")
    page = browse(alice, "GET", "/system/notifications?limit=1").get_json()
    (newest,) = page["items"]
    assert (page["total"], page["limit"], page["offset"], page["hasMore"]) == (2, 1, 0, True)
    assert newest.keys() == NOTE
    assert (newest["id"], newest["level"]) == (things["waiting"], "info")
    page = browse(alice, "GET", "/system/notifications?limit=1&offset=1").get_json()
    (oldest,) = page["items"]
    assert (oldest["level"], oldest["title"]) == ("success", "Preview made: Luna")
    assert (oldest["message"], oldest["category"]) == ("moonlit ocean", "persona_preview")
    assert not page["hasMore"]
    with database.transaction() as tx:
        tx.execute(
            "UPDATE generation_jobs SET status = 'failed', error_message = 'No card.'"
            " WHERE status = 'cancelled'"
        )
    failed = browse(alice, "GET", "/system/notifications").get_json()["items"][0]
    assert (failed["level"], failed["message"]) == ("error", "No card.")
    assert browse(bob, "GET", "/system/notifications").get_json()["items"] == []
    assert browse(bob, "GET", "/system/info").get_json()["notifications"] == []


# ------------------------------------------------------------------------------------ media, models


def test_many_media_at_once(
    alice: Person, bob: Person, things: dict[str, str], worker: Worker
) -> None:
    browse(alice, "POST", "/generate/single", SINGLE)
    work(worker)
    ids = [item["id"] for item in alice.get("/api/media").get_json()["items"]]
    assert len(ids) >= 3
    gone = str(uuid.uuid4())

    def act(person: Person, action: str, **more: Any) -> dict[str, Any]:
        body = {"action": action, "media_ids": [*ids, ids[0], gone], **more}
        answer = browse(person, "POST", "/media/bulk-action", body)
        assert answer.status_code == 200, answer.text
        return answer.get_json()

    for action in ("favorite", "tag"):
        assert act(alice, action, tags=["Kept"]) == {
            "action": action,
            "processed": len(ids),
            "failed": 1,
            "media_ids": ids,
        }
    assert alice.get("/api/media?favorites_only=true&tags=kept").get_json()["total"] == len(ids)
    act(alice, "untag", tags=["KEPT"])
    assert alice.get("/api/media?tags=kept").get_json()["total"] == 0
    # Others' things do not exist.
    assert act(bob, "delete") == {
        "action": "delete",
        "processed": 0,
        "failed": len(ids) + 1,
        "media_ids": [],
    }
    nsfw = browse(alice, "POST", "/media/bulk-action", {"action": "nsfw", "media_ids": ids})
    assert (nsfw.status_code, nsfw.get_json()["code"]) == (403, "nsfw_off")
    assert act(alice, "delete")["processed"] == len(ids)
    assert alice.get("/api/media").get_json()["total"] == 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"action": "burn", "media_ids": []}, "action"),
        ({"action": "delete"}, "media_ids"),
        ({"action": "delete", "media_ids": ["x"]}, "media_ids.0"),
        (
            {"action": "delete", "media_ids": [str(uuid.UUID(int=n)) for n in range(201)]},
            "media_ids",
        ),
        ({"action": "tag", "media_ids": []}, "tags"),
        ({"action": "tag", "media_ids": [], "tags": []}, "tags"),
    ],
)
def test_a_bulk_action_that_is_none(alice: Person, body: dict[str, Any], field: str) -> None:
    answer = browse(alice, "POST", "/media/bulk-action", body)
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, [field])


def test_an_item_with_all_its_tags_takes_no_more(alice: Person, things: dict[str, str]) -> None:
    many = [f"t{n}" for n in range(50)]
    assert browse(alice, "PUT", f"/media/{things['media']}/tags", many).status_code == 200
    body = {"action": "tag", "media_ids": [things["media"]], "tags": ["one more"]}
    answer = browse(alice, "POST", "/media/bulk-action", body).get_json()
    assert (answer["processed"], answer["failed"]) == (0, 1)
    assert alice.get(f"/api/media/{things['media']}").get_json()["tags"] == many


def test_tags_as_a_bare_array_obey_the_same_rules(alice: Person, things: dict[str, str]) -> None:
    path = f"/media/{things['media']}/tags"
    answer = browse(alice, "PUT", path, ["a", "A ", "b"]).get_json()
    assert (answer["media_id"], answer["tags"]) == (things["media"], ["a", "b"])
    wrong = browse(alice, "PUT", path, ["x" * 51])
    assert (wrong.status_code, list(wrong.get_json()["errors"])) == (422, ["tags.0"])


def test_models_are_those_of_the_engines(make_app: Callable[..., Flask]) -> None:
    with FakeComfyUI() as server:
        app = make_app(engine="comfyui", engine_url=server.url)
        alice, database = Person(app, "alice"), services_of(app).database
        setup = services_of(app).setup
        watch = EngineWatch(database, [kinds.make(n, e) for n, e in setup.engines.items()])
        watch.register()
        watch.probe_due()
        for kind, path, reads in (("model", "available", MODEL), ("lora", "lora", LORA)):
            names = alice.get(f"/api/engines/comfyui/catalogue?kind={kind}").get_json()["items"]
            found = browse(alice, "GET", f"/models/{path}").get_json()
            assert found
            assert {model["name"] for model in found} == {item["name"] for item in names}
            for model in found:
                assert model.keys() == reads
                assert (model["tags"], model["is_downloaded"]) == (["comfyui"], True)
        loras = [lora["name"] for lora in found]
        assert browse(alice, "GET", "/models/status").get_json()["available_loras"] == loras
        assert browse(alice, "GET", "/system/info").get_json()["models"]

        def due() -> str:
            read = "SELECT probe_due_at FROM engines"
            return str(database.connection.execute(read).fetchone()[0])

        # It was looked at this very moment.
        before = due()
        browse(alice, "POST", "/models/reload")
        assert due() == before
        with database.transaction() as tx:
            tx.execute("UPDATE engines SET probed_at = '2026-01-01T00:00:00.000000Z'")
        browse(alice, "POST", "/models/reload")
        assert due() < before


# ----------------------------------------------------------------------------------------- left out


def test_the_routes_can_be_left_out(make_app: Callable[..., Flask]) -> None:
    alice = Person(make_app(frontend_routes=False), "alice")
    assert alice.post("/api/generate/single", json={"prompt": "x"}).status_code == 404
    assert alice.get("/api/system/notifications").status_code == 404
    paths = alice.get("/api/openapi.json").get_json()["paths"]
    assert not [path for path in paths if "generate" in path or "models" in path]
    assert "/api/jobs" in paths

"""How much one account may have."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from conftest import Person
from flask import Flask
from werkzeug.test import TestResponse

from seidra.engines.mock import MockEngine
from seidra.jobs.worker import Worker
from seidra.operations.workers import make_worker
from seidra.web.services import services_of

MakeApp = Callable[..., Flask]


def worker_of(app: Flask) -> Worker:
    """A worker of an app, which is not started."""
    parts = services_of(app)
    return make_worker(parts.settings, parts.database, [MockEngine()], threading.Event())


def refused(answer: TestResponse) -> tuple[int, int]:
    """The limit and what was used, as a refusal tells them."""
    problem: dict[str, Any] = answer.get_json()
    assert (answer.status_code, problem["code"]) == (409, "quota_exceeded"), answer.text
    assert str(problem["limit"]) in problem["detail"]
    return problem["limit"], problem["used"]


def test_personas_are_bounded_whichever_way_they_are_made(make_app: MakeApp) -> None:
    app = make_app(max_personas=2)
    alice = Person(app, "alice")
    ids = [alice.persona()["id"] for _ in range(2)]
    body = {"name": "Nova", "style_prompt": "stars"}
    assert refused(alice.post("/api/personas", json=body)) == (2, 2)
    assert refused(alice.post(f"/api/personas/{ids[0]}/duplicate")) == (2, 2)
    assert alice.get("/api/personas").headers["X-Total-Count"] == "2"
    # Another account has a quota of its own, and what is deleted makes room.
    Person(app, "bob").persona()
    assert alice.patch(f"/api/personas/{ids[0]}", json={"name": "Sol"}).status_code == 200
    assert alice.delete(f"/api/personas/{ids[0]}").status_code == 204
    assert alice.post(f"/api/personas/{ids[1]}/duplicate").status_code == 201


def test_nsfw_personas_count_while_nobody_sees_them(make_app: MakeApp) -> None:
    alice = Person(make_app(max_personas=1), "alice")
    alice.allow_nsfw()
    alice.persona(is_nsfw=True)
    assert alice.patch("/api/settings/nsfw", json={"enabled": False}).status_code == 200
    body = {"name": "Nova", "style_prompt": "stars"}
    assert refused(alice.post("/api/personas", json=body)) == (1, 1)


def test_full_media_refuse_new_jobs_and_keep_what_waits_already(make_app: MakeApp) -> None:
    app = make_app(max_media=1)
    alice = Person(app, "alice")
    persona = alice.persona()["id"]
    cancelled = alice.preview(persona)
    assert alice.post(f"/api/jobs/{cancelled}/cancel").status_code == 200
    waiting = [alice.preview(persona) for _ in range(2)]
    worker = worker_of(app)
    for _ in waiting:
        assert worker.work_one()
    media = alice.get("/api/media")
    assert media.headers["X-Total-Count"] == "2"
    asked = [
        alice.post(f"/api/personas/{persona}/preview"),
        alice.post("/api/jobs", json={"prompt": "a lighthouse"}),
        alice.post(f"/api/jobs/{cancelled}/retry"),
        alice.post(f"/api/jobs/{waiting[0]}/again"),
    ]
    assert [refused(answer) for answer in asked] == [(1, 2)] * 4
    assert alice.get("/api/jobs").headers["X-Total-Count"] == "3"
    for job_id in waiting:
        (picture,) = alice.get(f"/api/jobs/{job_id}").get_json()["results"]
        assert alice.delete(f"/api/media/{picture['media_id']}").status_code == 204
    assert alice.post(f"/api/personas/{persona}/preview").status_code == 202


def test_the_bytes_of_media_are_bounded_too(make_app: MakeApp) -> None:
    app = make_app(max_media_bytes=1)
    alice = Person(app, "alice")
    persona = alice.persona()["id"]
    alice.preview(persona)
    assert worker_of(app).work_one()
    limit, used = refused(alice.post(f"/api/personas/{persona}/preview"))
    assert limit == 1 < used


def test_nothing_comes_back_beyond_a_quota(make_app: MakeApp) -> None:
    app = make_app(max_personas=1, max_media=1)
    alice = Person(app, "alice")
    persona = alice.persona()["id"]
    alice.preview(persona, count=2)
    assert worker_of(app).work_one()
    ids = [item["id"] for item in alice.get("/api/media").get_json()["items"]]
    for media_id in ids:
        assert alice.delete(f"/api/media/{media_id}").status_code == 204
    assert alice.delete(f"/api/personas/{persona}").status_code == 204

    def restore(*names: tuple[str, Any]) -> TestResponse:
        wanted = [{"kind": kind, "item_id": item_id} for kind, item_id in names]
        return alice.post("/api/trash/restore", json={"ids": wanted})

    # Not one of two, where there is room for one alone.
    both = [("media", media_id) for media_id in ids]
    assert refused(restore(*both)) == (1, 1)
    assert alice.get("/api/media").get_json()["total"] == 0
    assert restore(both[0]).status_code == 200
    assert refused(restore(both[1])) == (1, 1)
    other = alice.persona()["id"]
    assert refused(restore(("persona", persona))) == (1, 1)
    assert alice.get("/api/trash").get_json()["total"] == 2
    assert alice.delete(f"/api/personas/{other}").status_code == 204
    assert restore(("persona", persona)).status_code == 200


def test_bytes_in_the_trash_count_until_they_are_gone(make_app: MakeApp) -> None:
    app = make_app(max_media_bytes=1_000_000)
    alice, bob = Person(app, "alice"), Person(app, "bob")
    persona = alice.persona()["id"]
    alice.preview(persona)
    assert worker_of(app).work_one()
    [item] = alice.get("/api/media").get_json()["items"]
    size = item["file_size"]
    full = services_of(make_app(max_media_bytes=size)).settings
    object.__setattr__(services_of(app).settings, "max_media_bytes", full.max_media_bytes)
    assert refused(alice.post(f"/api/personas/{persona}/preview")) == (size, size)
    assert alice.delete(f"/api/media/{item['id']}").status_code == 204
    answer = alice.post(f"/api/personas/{persona}/preview")
    assert refused(answer) == (size, size)
    assert "for ever" in answer.get_json()["detail"]
    assert bob.post("/api/jobs", json={"prompt": "sea"}).status_code == 202
    # They count already, and so may come back.
    wanted = {"ids": [{"kind": "media", "item_id": item["id"]}]}
    assert alice.post("/api/trash/restore", json=wanted).status_code == 200
    assert alice.delete(f"/api/media/{item['id']}").status_code == 204
    assert alice.delete("/api/trash").status_code == 204
    assert alice.post(f"/api/personas/{persona}/preview").status_code == 202


def test_the_instance_tells_the_quotas(make_app: MakeApp) -> None:
    client = make_app(max_personas=3, max_media=4, max_media_bytes=5).test_client()
    told = client.get("/api/instance").get_json()["limits"]
    assert [told[f"max_{name}"] for name in ("personas", "media", "media_bytes")] == [3, 4, 5]

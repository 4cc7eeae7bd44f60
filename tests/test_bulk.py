"""Many personas or media items changed, previewed or deleted in one request."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Person
from flask import Flask

from seidra.database import batches
from seidra.jobs.worker import Worker
from seidra.library import bulk

TINY = {"width": 64, "height": 64, "quality": "draft"}


def act(person: Person, kind: str, **body: Any) -> dict[str, Any]:
    answer = person.post(f"/api/{kind}/bulk", json=body)
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def names(person: Person, **query: Any) -> list[str]:
    query = {"sort": "name", "limit": 100} | query
    return [each["name"] for each in person.get("/api/personas", query_string=query).get_json()]


def pictures(person: Person, worker: Worker, count: int) -> list[str]:
    persona = person.persona(generation_params=TINY)["id"]
    for seed in range(count):
        person.preview(persona, seed=seed)
    while worker.work_one():
        pass
    return [item["id"] for item in person.get("/api/media").get_json()["items"]]


def test_ids_are_changed_and_what_is_not_mine_is_told(alice: Person, bob: Person) -> None:
    mine = [alice.persona(name=f"P{n}")["id"] for n in range(3)]
    other = bob.persona(name="Bob")["id"]
    outcome = act(alice, "personas", ids=[*mine[:2], other, mine[0]], action="favorite")
    failed = [{"id": other, "code": "not_found"}]
    assert outcome == {"done": 2, "failed": failed, "remaining": 0}
    assert names(alice, is_favorite="true") == ["P0", "P1"]
    assert names(bob, is_favorite="true") == []
    assert act(alice, "personas", ids=mine, action="unfavorite")["done"] == 3
    assert names(alice, is_favorite="true") == []


def test_tags_come_and_go_however_they_are_spelled(alice: Person, worker: Worker) -> None:
    persona = alice.persona(tags=["Élan", "sea"])["id"]
    act(alice, "personas", ids=[persona], action="tag", tags=["elan", "Wood"])
    assert alice.get(f"/api/personas/{persona}").get_json()["tags"] == ["Élan", "sea", "Wood"]
    act(alice, "personas", ids=[persona], action="untag", tags=["SEA", "none"])
    assert alice.get(f"/api/personas/{persona}").get_json()["tags"] == ["Élan", "Wood"]
    [item] = pictures(alice, worker, 1)
    act(alice, "media", ids=[item], action="tag", tags=["wood"])
    assert alice.get("/api/media?tag=wood").get_json()["total"] == 1


def test_a_fifty_first_tag_fails_alone(alice: Person) -> None:
    full = alice.persona(name="Full", tags=[f"t{n}" for n in range(50)])["id"]
    free = alice.persona(name="Free")["id"]
    outcome = act(alice, "personas", ids=[full, free], action="tag", tags=["more"])
    assert outcome["failed"] == [{"id": full, "code": "too_many_tags"}]
    assert names(alice, tag="more") == ["Free"]


def test_a_filter_reaches_what_the_list_shows(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(7):
        alice.persona(name=f"Wolf {n}", tags=["pack"])
    alice.persona(name="Bear")
    monkeypatch.setattr(bulk, "MAX_ITEMS", 5)
    monkeypatch.setattr(batches, "BATCH", 2)
    chosen = {"search": "wolf", "tag": ["pack"], "sort": "name"}
    outcome = act(alice, "personas", filter=chosen, action="delete")
    assert (outcome["done"], outcome["failed"], outcome["remaining"]) == (5, [], 2)
    assert names(alice) == ["Bear", "Wolf 5", "Wolf 6"]
    assert alice.get("/api/trash").get_json()["total"] == 5
    assert act(alice, "personas", filter={}, action="favorite")["done"] == 3


def test_media_of_a_filter_go_into_the_trash(alice: Person, worker: Worker) -> None:
    ids = pictures(alice, worker, 3)
    act(alice, "media", ids=ids[:1], action="favorite")
    outcome = act(alice, "media", filter={"favorites_only": True}, action="delete")
    assert (outcome["done"], outcome["remaining"]) == (1, 0)
    assert [item["id"] for item in alice.get("/api/media").get_json()["items"]] == ids[1:]
    restored = alice.post(
        "/api/trash/restore", json={"ids": [{"kind": "media", "item_id": ids[0]}]}
    )
    assert restored.status_code == 200
    assert alice.get("/api/media").get_json()["total"] == 3
    unknown = str(uuid.uuid4())
    failed = [{"id": unknown, "code": "not_found"}]
    assert act(alice, "media", ids=[unknown], action="delete")["failed"] == failed


def test_previews_stop_where_the_queue_is_full(make_app: Callable[..., Flask]) -> None:
    app = make_app(max_queued_jobs=2)
    alice = Person(app, "alice")
    ids = [alice.persona(name=f"P{n}")["id"] for n in range(4)]
    outcome = act(alice, "personas", ids=ids, action="preview")
    assert outcome["done"] == 2
    assert outcome["failed"] == [{"id": id, "code": "queue_full"} for id in ids[2:]]
    assert alice.get("/api/jobs").get_json()["total"] == 2


def test_nsfw_out_of_force_fails_and_changes_nothing(alice: Person) -> None:
    persona = alice.persona()["id"]
    outcome = act(alice, "personas", ids=[persona], action="nsfw")
    assert outcome == {"done": 0, "failed": [{"id": persona, "code": "nsfw_off"}], "remaining": 0}
    assert alice.get(f"/api/personas/{persona}").get_json()["is_nsfw"] is False
    alice.allow_nsfw()
    assert act(alice, "personas", ids=[persona], action="nsfw")["done"] == 1
    # A filter leaves out what is NSFW unless it asks for it.
    assert act(alice, "personas", filter={}, action="favorite")["done"] == 0
    assert act(alice, "personas", filter={"include_nsfw": True}, action="favorite")["done"] == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"action": "favorite"}, "ids"),
        ({"action": "favorite", "ids": [], "filter": {}}, "ids"),
        ({"action": "tag", "ids": []}, "tags"),
        ({"action": "restore", "ids": []}, "action"),
        ({"action": "favorite", "ids": list(range(1001))}, "ids"),
        ({"action": "favorite", "filter": {"serch": "x"}}, "filter.serch"),
        ({"action": "favorite", "filter": {"tag": "x"}}, "filter.tag"),
        ({"action": "favorite", "filter": 5}, "filter"),
    ],
)
def test_what_is_wrong_is_named(alice: Person, body: dict[str, Any], field: str) -> None:
    answer = alice.post("/api/personas/bulk", json=body)
    assert answer.status_code == 422
    assert list(answer.get_json()["errors"]) == [field]


@pytest.mark.parametrize(
    ("chosen", "field"),
    [
        ({"date_from": 0}, "date_from"),
        ({"date_to": ["2026-01-31"]}, "date_to"),
        ({"date_from": "yesterday"}, "date_from"),
        ({"date_from": "2026-01-31", "tz": 5}, "tz"),
        ({"persona_id": "1"}, "persona_id"),
        ({"job_id": 1}, "job_id"),
        ({"favorites_only": "true"}, "favorites_only"),
    ],
)
def test_what_is_wrong_in_a_filter_of_media_is_named(
    alice: Person, chosen: dict[str, Any], field: str
) -> None:
    answer = alice.post("/api/media/bulk", json={"action": "favorite", "filter": chosen})
    assert answer.status_code == 422
    assert list(answer.get_json()["errors"]) == [f"filter.{field}"]

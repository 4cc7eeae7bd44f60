"""The trash: what is deleted comes back as it was, is nowhere meanwhile, and goes in the end."""

from __future__ import annotations

from typing import Any

from conftest import Person
from flask.testing import FlaskClient

from seidra.database.sqlite.connect import SqliteDatabase
from seidra.jobs.worker import Worker
from seidra.media import chores
from seidra.web.services import services_of


def furnish(person: Person, worker: Worker) -> tuple[dict[str, Any], dict[str, Any], str]:
    """A persona, the picture of its job, and the job's id."""
    made = person.persona(tags=["Sea"], generation_params={"width": 400, "height": 64})
    job = person.preview(made["id"])
    worker.work_one()
    return made, person.get("/api/media").get_json()["items"][0], job


def load(client: FlaskClient, url: str) -> int:
    """The status of a link's answer."""
    with client.get(url) as answer:
        return answer.status_code


def trash_of(person: Person, **query: Any) -> list[dict[str, Any]]:
    answer = person.get("/api/trash", query_string=query).get_json()
    assert answer["total"] == len(answer["items"])
    items: list[dict[str, Any]] = answer["items"]
    return items


def test_a_picture_goes_and_comes_back_as_it_was(
    alice: Person, bob: Person, client: FlaskClient, worker: Worker
) -> None:
    _, item, job = furnish(alice, worker)
    path = f"/api/media/{item['id']}"
    before = alice.patch(path, json={"tags": ["keep"], "is_favorite": True}).get_json()
    assert alice.delete(path).status_code == 204
    assert alice.get(path).status_code == 404
    for url in (item["url"], item["thumbnail_url"], item["download_url"]):
        assert load(client, url) == 404
    assert alice.get("/api/media").get_json() == {"total": 0, "items": []}
    assert alice.get("/api/media?tag=keep").get_json()["total"] == 0
    assert alice.get("/api/media/stats").get_json()["total_size"] == 0
    assert alice.get(f"/api/jobs/{job}").get_json()["results"] == []
    [entry] = trash_of(alice)
    assert (entry["kind"], entry["item_id"]) == ("media", item["id"])
    assert (entry["bytes"], entry["name"]) == (item["file_size"], item["metadata"]["prompt"])
    assert load(client, entry["thumbnail_url"]) == 200
    # A link of the one place is none of the other.
    assert load(client, entry["thumbnail_url"].replace("/trash/", "/media/")) == 403
    assert trash_of(alice, kind="persona") == trash_of(bob) == []
    wanted = {"ids": [{"kind": "media", "item_id": item["id"]}]}
    assert bob.post("/api/trash/restore", json=wanted).status_code == 404
    services = services_of(client.application)
    chores.delete_files(services.database, services.files)
    answer = alice.post("/api/trash/restore", json=wanted)
    assert answer.get_json() == {
        "restored": [{name: entry[name] for name in ("id", "kind", "item_id", "name")}]
    }
    assert alice.get(path).get_json() == before
    assert alice.get("/api/media?tag=keep").get_json()["total"] == 1
    chores.delete_files(services.database, services.files)
    assert load(client, item["url"]) == 200
    assert load(client, entry["thumbnail_url"]) == 404
    assert alice.get(f"/api/jobs/{job}").get_json()["results"][0]["media_id"] == item["id"]
    assert trash_of(alice) == []
    assert alice.post("/api/trash/restore", json=wanted).status_code == 404


def test_a_persona_comes_back_to_its_jobs_and_pictures(alice: Person, worker: Worker) -> None:
    made, item, job = furnish(alice, worker)
    path = f"/api/personas/{made['id']}"
    alice.put(f"{path}/avatar", json={"media_id": item["id"]})
    before = alice.get(path).get_json()
    version = alice.get(f"/api/media/{item['id']}").headers["ETag"].partition("-")[0]
    assert alice.delete(path).status_code == 204
    assert alice.get(path).status_code == 404
    assert alice.get("/api/personas?search=luna").get_json() == []
    shown = alice.get(f"/api/jobs/{job}").get_json()
    assert shown["persona_id"] is None
    assert shown["persona"] == {"id": None, "name": made["name"]}
    assert alice.get(f"/api/media/{item['id']}").get_json()["persona_id"] is None
    [entry] = trash_of(alice)
    assert (entry["kind"], entry["item_id"], entry["name"]) == ("persona", made["id"], made["name"])
    assert entry["thumbnail_url"]
    # A name is nobody's alone, so another one of that name is in nobody's way.
    other = alice.persona()["id"]
    assert other > made["id"]
    answer = alice.post("/api/trash/restore", json={"ids": [entry["id"], entry["id"]]})
    assert len(answer.get_json()["restored"]) == 1
    assert alice.get(path).get_json() == before
    assert {p["id"] for p in alice.get("/api/personas?search=luna").get_json()} == {
        made["id"],
        other,
    }
    tagged = alice.get("/api/personas?tags=sea").get_json()
    assert made["id"] in {persona["id"] for persona in tagged}
    assert alice.get(f"/api/jobs/{job}").get_json()["persona_id"] == made["id"]
    answer = alice.get(f"/api/media/{item['id']}")
    assert answer.get_json()["persona_id"] == made["id"]
    assert answer.headers["ETag"].partition("-")[0] == version


def test_restoring_is_all_or_nothing(alice: Person, worker: Worker) -> None:
    made, item, _ = furnish(alice, worker)
    alice.delete(f"/api/personas/{made['id']}")
    ids = [{"kind": "persona", "item_id": made["id"]}, {"kind": "media", "item_id": item["id"]}]
    assert alice.post("/api/trash/restore", json={"ids": ids}).status_code == 404
    assert len(trash_of(alice)) == 1
    for bad in ("x", 7, {"kind": "job", "item_id": 1}, {"kind": "persona", "item_id": "x"}, None):
        answer = alice.post("/api/trash/restore", json={"ids": [bad]})
        assert answer.status_code == 422, bad
        assert "ids.0" in answer.get_json()["errors"] or "ids" in answer.get_json()["errors"]


def test_for_ever_takes_the_files(
    alice: Person, bob: Person, client: FlaskClient, worker: Worker
) -> None:
    services = services_of(client.application)
    for how in ("entry", "all", "time"):
        _, item, _ = furnish(alice, worker)
        alice.delete(f"/api/media/{item['id']}")
        assert list(services.files.keys())
        [entry] = trash_of(alice, kind="media")
        assert bob.delete(f"/api/trash/{entry['id']}").status_code == 404
        bob.delete("/api/trash")
        chores.purge_trash(services.database, 1)
        assert len(trash_of(alice)) == 1
        if how == "entry":
            assert alice.delete(f"/api/trash/{entry['id']}").status_code == 204
        elif how == "all":
            assert alice.delete("/api/trash").status_code == 204
        else:
            with services.database.transaction() as tx:
                tx.execute("UPDATE trash SET deleted_at = '2020-01-31T12:00:00.000000Z'")
            chores.purge_trash(services.database, 30)
        assert trash_of(alice) == []
        chores.delete_files(services.database, services.files)
        assert list(services.files.keys()) == []


def test_nothing_hidden_is_listed_or_comes_back(
    alice: Person, worker: Worker, database: SqliteDatabase
) -> None:
    _, item, _ = furnish(alice, worker)
    alice.delete(f"/api/media/{item['id']}")
    [entry] = trash_of(alice)
    with database.transaction() as tx:
        tx.execute("UPDATE trash SET is_nsfw = 1")
    assert trash_of(alice) == trash_of(alice, include_nsfw="true") == []
    answer = alice.post("/api/trash/restore", json={"ids": [entry["id"]]})
    assert answer.status_code == 404
    # Its owner may always delete it.
    assert alice.delete(f"/api/trash/{entry['id']}").status_code == 204

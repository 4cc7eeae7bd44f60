"""The trash: what is deleted comes back as it was, is nowhere meanwhile, and goes in the end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import PASSWORD, Person, environment
from flask import Flask
from flask.testing import FlaskClient

from seidra import create_app
from seidra.config import Settings
from seidra.database import migrate, open_database
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.files.keys import SIZES, is_picture_key
from seidra.files.local import LocalFiles
from seidra.jobs.worker import Worker
from seidra.media import chores
from seidra.media.thumbnails import thumbnail_key
from seidra.operations import backup, restore
from seidra.operations.housekeeping import Housekeeper
from seidra.operations.media import MediaCheck
from seidra.operations.rollback import count_after, rollback
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
    assert shown["persona"] == {"id": None, "name": made["name"], "owner": None}
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


def test_a_persona_in_the_trash_shows_its_cover(
    alice: Person, client: FlaskClient, worker: Worker
) -> None:
    alice.allow_nsfw()
    made, first, _ = furnish(alice, worker)
    alice.preview(made["id"])
    worker.work_one()
    newest = alice.get("/api/media").get_json()["items"][0]
    assert newest["id"] != first["id"]
    path = f"/api/personas/{made['id']}"

    def shown(**query: Any) -> str | None:
        assert alice.delete(path).status_code == 204
        [entry] = trash_of(alice, kind="persona", **query)
        url = entry["thumbnail_url"]
        wanted = {"ids": [entry["id"]]}
        assert alice.post("/api/trash/restore", json=wanted).status_code == 200
        if url is None:
            return None
        assert load(client, url) == 200
        return url.split("/")[3]

    assert shown() == newest["id"]
    alice.patch(f"/api/media/{newest['id']}", json={"is_nsfw": True})
    assert (shown(), shown(include_nsfw="true")) == (first["id"], newest["id"])
    alice.put(f"{path}/avatar", json={"media_id": first["id"]})
    assert shown(include_nsfw="true") == first["id"]
    for item in (first, newest):
        assert alice.delete(f"/api/media/{item['id']}").status_code == 204
    assert shown(include_nsfw="true") is None


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
        tx.execute("UPDATE trash SET is_nsfw = TRUE")
    assert trash_of(alice) == trash_of(alice, include_nsfw="true") == []
    answer = alice.post("/api/trash/restore", json={"ids": [entry["id"]]})
    assert answer.status_code == 404
    # Its owner may always delete it.
    assert alice.delete(f"/api/trash/{entry['id']}").status_code == 204


def keep_house(app: Flask) -> None:
    parts = services_of(app)
    Housekeeper(parts.database, parts.files, parts.settings).run(idle=True)


def test_where_nothing_is_kept_it_goes_at_once(
    make_app: Callable[..., Flask], alice: Person, worker: Worker
) -> None:
    made, item, _ = furnish(alice, worker)
    app = make_app(keep_trash_days=0)
    client = app.test_client()
    for path in (f"/api/media/{item['id']}", f"/api/personas/{made['id']}"):
        assert client.delete(path, headers=alice.headers).status_code == 204
        assert trash_of(alice) == []
    keep_house(app)
    assert list(services_of(app).files.keys()) == []
    wanted = {"ids": [{"kind": "media", "item_id": item["id"]}]}
    assert alice.post("/api/trash/restore", json=wanted).status_code == 404


def test_what_lay_in_the_trash_goes_once_nothing_is_kept(
    make_app: Callable[..., Flask], alice: Person, worker: Worker
) -> None:
    made, item, _ = furnish(alice, worker)
    alice.delete(f"/api/media/{item['id']}")
    alice.delete(f"/api/personas/{made['id']}")
    assert len(trash_of(alice)) == 2
    app = make_app(keep_trash_days=0)
    # Entries go in one round, their files in the next.
    keep_house(app)
    keep_house(app)
    assert trash_of(alice) == []
    assert list(services_of(app).files.keys()) == []


def test_an_account_takes_its_trash_along_and_nobody_elses(
    app: Flask, alice: Person, bob: Person, worker: Worker, database: SqliteDatabase
) -> None:
    items = {}
    for person in (alice, bob):
        made, items[person.name], _ = furnish(person, worker)
        person.delete(f"/api/media/{items[person.name]['id']}")
        person.delete(f"/api/personas/{made['id']}")
    [entry] = trash_of(alice, kind="media")
    assert load(app.test_client(), entry["thumbnail_url"]) == 200
    assert alice.delete("/api/auth/me", json={"password": PASSWORD}).status_code == 204
    assert load(app.test_client(), entry["thumbnail_url"]) == 404
    keep_house(app)
    keep_house(app)
    owners = database.connection.execute("SELECT DISTINCT user_id FROM trash").fetchall()
    assert [row[0] for row in owners] == [bob.id]
    keys = list(services_of(app).files.keys())
    assert keys
    assert all(items["bob"]["id"] in key for key in keys)
    assert len(trash_of(bob)) == 2


@pytest.mark.slow
def test_a_backup_has_the_trash_and_no_derived_pictures(
    app: Flask, alice: Person, worker: Worker, tmp_path: Path
) -> None:
    settings, files = services_of(app).settings, LocalFiles(services_of(app).settings)
    made, item, job = furnish(alice, worker)
    _, kept, _ = furnish(alice, worker)
    before = {
        name: alice.get(f"/api/media/{item['id']}").get_json()[name]
        for name in ("metadata", "tags")
    }
    pictures = {key for key in list(files.keys()) if is_picture_key(key)}
    for key in pictures:
        for size in SIZES:
            thumbnail_key(files, key, size)
    alice.delete(f"/api/media/{item['id']}")
    alice.delete(f"/api/personas/{made['id']}")
    archive = tmp_path / "backup.tar"
    report = backup.backup(settings, services_of(app).database, archive, lambda count: None)
    assert report == backup.Report(2, [])

    place = Settings.load(environment(tmp_path / "place"))
    restore.check_place(place)
    with restore.opened(archive) as reader:
        restore.check_archive(place, reader, lambda count: None)
        restored = restore.restore(place, reader, lambda count: None)
    assert (restored.media, restored.lost) == (2, 0)
    assert set(LocalFiles(place).keys()) == pictures
    other = create_app(place)
    with closing(services_of(other).database):
        there = other.test_client()
        answer = there.post("/api/auth/login", json={"username": "alice", "password": PASSWORD})
        headers = {"Authorization": f"Bearer {answer.get_json()['access_token']}"}
        wanted = [
            {"kind": "media", "item_id": item["id"]},
            {"kind": "persona", "item_id": made["id"]},
        ]
        answer = there.post("/api/trash/restore", json={"ids": wanted}, headers=headers)
        assert len(answer.get_json()["restored"]) == 2
        back = there.get(f"/api/media/{item['id']}", headers=headers).get_json()
        assert (back["persona_id"], back["job_id"]) == (made["id"], job)
        assert {name: back[name] for name in before} == before
        for url in (back["url"], back["thumbnail_url"]):
            assert load(there, url) == 200
        assert there.get(f"/api/media/{kept['id']}", headers=headers).status_code == 200
        assert list(MediaCheck(place, services_of(other).database).find(deep=True)) == []


@pytest.mark.slow
def test_pictures_of_the_trash_that_are_gone_from_a_backup(
    app: Flask, alice: Person, worker: Worker, database: SqliteDatabase, tmp_path: Path
) -> None:
    """One that is purged while the backup runs is left out; one that is lost is named."""
    settings = services_of(app).settings
    items = sorted(furnish(alice, worker)[1]["id"] for _ in range(3))
    for id in items:
        alice.delete(f"/api/media/{id}")
    # In the order of the walk: while the first is read, the second goes.
    whole, purged, lost = items
    for path in settings.media_dir.rglob("*.png"):
        if not path.name.startswith(whole):
            path.unlink()

    def purge(count: int) -> None:
        with database.transaction() as tx:
            tx.execute("DELETE FROM trash WHERE item_id = ?", (purged,))

    archive = tmp_path / "backup.tar"
    assert backup.backup(settings, database, archive, purge) == backup.Report(1, [lost])
    place = Settings.load(environment(tmp_path / "place"))
    with restore.opened(archive) as reader:
        restore.check_archive(place, reader, lambda count: None)
        assert restore.restore(place, reader, lambda count: None).lost == 1
    with closing(open_database(place)) as there:
        kept = there.connection.execute("SELECT item_id FROM trash ORDER BY item_id").fetchall()
        assert [row[0] for row in kept] == [whole, lost]


@pytest.mark.slow
@pytest.mark.sqlite_only("PostgreSQL begins later than these migrations")
def test_the_way_back_drops_trash_and_sizes_and_keeps_the_rest(
    app: Flask, alice: Person, worker: Worker
) -> None:
    settings, files = services_of(app).settings, LocalFiles(services_of(app).settings)
    made, gone, _ = furnish(alice, worker)
    _, kept, _ = furnish(alice, worker)
    for key in [key for key in list(files.keys()) if is_picture_key(key)]:
        for size in SIZES:
            thumbnail_key(files, key, size)
    alice.delete(f"/api/media/{gone['id']}")
    alice.delete(f"/api/personas/{made['id']}")
    services_of(app).database.close()
    undone = rollback(settings, count_after(settings, "0023"))
    assert any(id.startswith("0024.") for id in undone)
    assert not any(step.applied for step in migrate.list_migrations(settings) if step.id >= "0024")
    mine = [key for key in list(files.keys()) if kept["id"] in key]
    assert len(mine) == 2
    assert next(key for key in mine if not is_picture_key(key)).endswith(".png.320.webp")

    forward = create_app(settings)
    with closing(services_of(forward).database):
        there = forward.test_client()
        items = there.get("/api/media", headers=alice.headers).get_json()["items"]
        assert [item["id"] for item in items] == [kept["id"]]
        assert items[0]["color"] is None
        assert there.get("/api/trash", headers=alice.headers).get_json()["total"] == 0
        assert load(there, items[0]["thumbnails"][0]["url"]) == 200
        keep_house(forward)
        assert not [key for key in list(files.keys()) if gone["id"] in key]
        assert list(MediaCheck(settings, services_of(forward).database).find()) == []

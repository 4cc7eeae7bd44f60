"""Exports: personas and pictures go out as files, at once or by a worker, and nothing of others."""

from __future__ import annotations

import io
import json
import tarfile
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest
from conftest import Person
from flask import Flask
from werkzeug.test import TestResponse

from seidra.database.sqlite.connect import SqliteDatabase
from seidra.exchange import exports
from seidra.exchange.export_work import MAX_ATTEMPTS, Exporter
from seidra.exchange.own import MANIFEST, MEDIA, PERSONAS, REPORT
from seidra.jobs.worker import Worker
from seidra.operations import backup
from seidra.operations.housekeeping import Housekeeper
from seidra.operations.media import MediaCheck
from seidra.values import timestamp_in
from seidra.web.services import services_of

NEVER = threading.Event()
EVERYTHING = {"everything": True, "to": "seidra"}


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is small enough to be made at once."""
    monkeypatch.setattr(exports, "_SMALL_PERSONAS", -1)


def furnish(person: Person, worker: Worker) -> tuple[dict[str, Any], dict[str, Any]]:
    """A persona with everything, its avatar a picture of its own; and that picture."""
    person.allow_nsfw()
    made = person.persona(
        name="Élodie / of the Tides",
        description="Sea-worn\nportraits",
        style_prompt='a "quoted" {prompt}, <lora:film:0.5>\r\nsecond line',
        negative_prompt="text",
        loras=[{"name": "grain", "weight": 0.7, "clip_weight": 0.2, "enabled": False}],
        generation_params={"width": 400, "height": 64, "seed": str(2**62), "own": {"k": [1]}},
        tags=["Sea", "portrait"],
        is_favorite=True,
    )
    person.preview(made["id"])
    while worker.work_one():
        pass
    item = person.get("/api/media").get_json()["items"][0]
    path = f"/api/media/{item['id']}"
    item = person.patch(path, json={"tags": ["keep"], "is_favorite": True}).get_json()
    answer = person.put(f"/api/personas/{made['id']}/avatar", json={"media_id": item["id"]})
    assert answer.status_code == 200
    return answer.get_json(), item


def unpacked(answer: TestResponse) -> zipfile.ZipFile:
    assert answer.status_code == 200, answer.text
    assert answer.mimetype == "application/zip"
    archive = zipfile.ZipFile(io.BytesIO(answer.data))
    assert archive.testzip() is None
    return archive


def lines(archive: zipfile.ZipFile, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in archive.read(name).splitlines()]


def ask(person: Person, **body: Any) -> dict[str, Any]:
    """Ask for an export that a worker is to make."""
    answer = person.post("/api/exports", json=EVERYTHING | body)
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == f"/api/exports/{answer.get_json()['id']}"
    return answer.get_json()


def state(person: Person, export: dict[str, Any]) -> dict[str, Any]:
    answer = person.get(f"/api/exports/{export['id']}")
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def files_of(app: Flask) -> list[str]:
    """The keys of the exports that are on the disk."""
    keys = services_of(app).files.keys()
    return [key for key in keys if key.endswith(".zip")]


def keep_house(app: Flask) -> None:
    parts = services_of(app)
    Housekeeper(parts.database, parts.files, parts.settings).run(idle=True)


# -------------------------------------------------------------------------------------- one persona


def test_a_persona_as_our_own_json(alice: Person, bob: Person, worker: Worker) -> None:
    made, item = furnish(alice, worker)
    path = f"/api/personas/{made['id']}/export"
    answer = alice.get(path)
    assert answer.status_code == 200
    assert answer.mimetype == "application/json"
    assert answer.headers["X-Lost"] == "1"
    disposition = answer.headers["Content-Disposition"]
    assert disposition.startswith("attachment; filename=")
    assert "%C3%89lodie%20-%20of%20the%20Tides.seidra.json" in disposition
    own = answer.get_json()
    assert (own["format"], own["schema"], own["uid"]) == ("seidra", 1, made["uid"])
    fields = own["persona"]
    assert {name: fields[name] for name in fields if name != "avatar_url"} == {
        name: made[name] for name in fields if name != "avatar_url"
    }
    assert own["avatar"] == item["id"]
    assert (own["created_at"], own["revision"]) == (made["created_at"], made["revision"])
    told = alice.get(f"{path}?dry_run=true").get_json()
    assert (told["personas"], told["lost"], told["codes"]) == (1, 1, {"not_carried": 1})
    assert told["entries"][0]["name"] == made["name"]
    assert bob.get(path).status_code == 404
    assert alice.get(f"{path}?to=doc").status_code == 422
    # Without a picture there is none to lose.
    other = alice.persona()["id"]
    assert alice.get(f"/api/personas/{other}/export").headers["X-Lost"] == "0"


def test_the_json_that_goes_out_is_a_persona_when_it_is_sent_back(
    alice: Person, bob: Person, worker: Worker
) -> None:
    made, _ = furnish(alice, worker)
    fields = alice.get(f"/api/personas/{made['id']}/export").get_json()["persona"]
    twin = bob.persona(**fields)
    for name in ("name", "description", "style_prompt", "negative_prompt", "loras", "tags"):
        assert twin[name] == made[name], name
    assert twin["generation_params"] == made["generation_params"]


FORMATS = {
    "seidra": "seidra",
    "card-png": "card",
    "card-json": "card",
    "charx": "card",
    "a1111": "a1111",
    "sdnext": "sdnext",
    # Lists of styles and those of InvokeAI look alike.
    "fooocus": "fooocus",
    "invokeai": "fooocus",
    "fooocus-preset": "fooocus-preset",
    "swarmui": "swarmui",
    "infotext": "infotext",
}
"""What a file of each format is read as when it comes back."""


@pytest.mark.parametrize("target", FORMATS)
def test_each_format_is_read_again_by_another_account(
    alice: Person, bob: Person, worker: Worker, target: str
) -> None:
    made, _ = furnish(alice, worker)
    # A slash is a folder to some programs.
    plain = alice.patch(f"/api/personas/{made['id']}", json={"name": "Élodie"})
    assert plain.status_code == 200
    made = plain.get_json()
    other = alice.persona(name="Other")  # without a picture
    told = alice.get(f"/api/personas/{other['id']}/export?to={target}&dry_run=true").get_json()
    lost = alice.get(f"/api/personas/{other['id']}/export?to={target}").headers["X-Lost"]
    assert int(lost) == told["lost"]
    path = f"/api/personas/{made['id']}/export?to={target}"
    answer = alice.get(path)
    assert answer.status_code == 200
    told = alice.get(f"{path}&dry_run=true").get_json()
    assert int(answer.headers["X-Lost"]) == told["lost"]
    # A preset of Fooocus is called as its file is.
    name = "Élodie.json" if target == "fooocus-preset" else "file"
    file = (io.BytesIO(answer.data), name)
    sent = bob.post("/api/imports", data={"file": file}, content_type="multipart/form-data")
    assert sent.status_code == 201, sent.text
    plan = sent.get_json()
    assert plan["files"][0]["format"] == FORMATS[target]
    [entry] = plan["entries"]
    assert entry["action"] == "create"
    assert 'a "quoted"' in entry["fields"]["style_prompt"]
    assert bob.post(f"/api/imports/{plan['id']}/apply").get_json()["status"] == "applied"
    [persona] = bob.get("/api/personas").get_json()
    # What the format has no place for is told, and all else is there.
    lost = {each["field"] for each in told["entries"][0]["lost"]} if told["entries"] else set()
    for field in {"name", "description", "negative_prompt", "tags", "is_favorite"} - lost:
        assert persona[field] == made[field], field


def test_what_is_nsfw_goes_out_only_where_it_may_be_seen(alice: Person) -> None:
    alice.allow_nsfw()
    hidden = alice.persona(name="Hidden", is_nsfw=True)
    shown = alice.persona(name="Shown")
    path = f"/api/personas/{hidden['id']}/export"
    assert alice.get(path).status_code == 200
    names = {"Hidden": {"include_nsfw": True}, "Shown": {}}
    for name, query in names.items():
        answer = alice.post("/api/exports", json={"filter": query, "to": "seidra"})
        found = {own["persona"]["name"] for own in lines(unpacked(answer), PERSONAS)}
        assert found == ({"Hidden", "Shown"} if name == "Hidden" else {"Shown"})
    alice.patch("/api/settings/nsfw", json={"age_verified": False})
    assert alice.get(path).status_code == 404
    body = {"ids": [hidden["id"], shown["id"]], "to": "seidra"}
    assert alice.post("/api/exports", json=body).status_code == 404
    answer = alice.post("/api/exports", json={"filter": {"include_nsfw": True}, "to": "seidra"})
    assert [own["persona"]["name"] for own in lines(unpacked(answer), PERSONAS)] == ["Shown"]
    # One's own whole library is one's own.
    for answer in (
        alice.post("/api/exports", json=EVERYTHING),
        alice.get("/api/export", buffered=True),
    ):
        found = {own["persona"]["name"] for own in lines(unpacked(answer), PERSONAS)}
        assert found == {"Hidden", "Shown"}


# ------------------------------------------------------------------------------------------ at once


def test_a_small_library_comes_at_once(alice: Person, bob: Person, worker: Worker) -> None:
    made, item = furnish(alice, worker)
    furnish(bob, worker)
    for answer in (
        alice.post("/api/exports", json=EVERYTHING),
        alice.get("/api/export", buffered=True),
    ):
        archive = unpacked(answer)
        assert answer.headers["X-Lost"] == "0"
        assert "seidra-seidra-20" in answer.headers["Content-Disposition"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        [own] = lines(archive, PERSONAS)
        assert own["uid"] == made["uid"]
        [line] = lines(archive, MEDIA)
        assert line["id"] == own["avatar"] == item["id"]
        assert line["persona_uid"] == made["uid"]
        for name in ("metadata", "tags", "is_favorite", "is_nsfw", "created_at", "file_size"):
            assert line[name] == item[name], name
        with alice.client.get(item["url"]) as picture:
            assert archive.read(line["file"]) == picture.data
        manifest = json.loads(archive.read(MANIFEST))
        assert manifest["counts"] == {"personas": 1, "revisions": 0, "pictures": 1}
        assert json.loads(archive.read(REPORT))["lost"] == 0
    assert alice.get("/api/exports").get_json() == {"total": 0, "items": []}


def test_chosen_personas_take_their_pictures_and_avatars_along(
    alice: Person, worker: Worker
) -> None:
    made, item = furnish(alice, worker)
    twin = alice.persona(name="Twin")
    alice.put(f"/api/personas/{twin['id']}/avatar", json={"media_id": item["id"]})
    alice.persona(name="Other")
    for ids, pictures in (([twin["id"]], 1), ([twin["id"], made["id"], twin["id"]], 1)):
        archive = unpacked(alice.post("/api/exports", json={"ids": ids}))
        assert len(lines(archive, PERSONAS)) == len(set(ids))
        assert [line["id"] for line in lines(archive, MEDIA)] == [item["id"]] * pictures


def test_a_picture_that_is_lost_is_told_and_keeps_its_line(
    app: Flask, alice: Person, worker: Worker
) -> None:
    furnish(alice, worker)
    files = services_of(app).files
    files.delete(list(files.keys()))
    archive = unpacked(alice.get("/api/export", buffered=True))
    [line] = lines(archive, MEDIA)
    assert line["file"] is None
    report = json.loads(archive.read(REPORT))
    assert report["pictures"] == [{"media_id": line["id"], "code": "missing_picture"}]


def test_a_body_says_one_thing(alice: Person, bob: Person) -> None:
    theirs = bob.persona()["id"]
    for body in ({}, {"ids": [1], "everything": True}, {"everything": False}):
        answer = alice.post("/api/exports", json=body)
        assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["ids"]), body
    answer = alice.post("/api/exports", json={"everything": True, "to": "doc"})
    assert list(answer.get_json()["errors"]) == ["to"]
    assert alice.post("/api/exports", json={"ids": [theirs]}).status_code == 404
    dry = {"ids": [alice.persona()["id"]], "dry_run": True}
    assert alice.post("/api/exports", json=dry).get_json()["lost"] == 0


def test_everything_is_sent_once_at_a_time(alice: Person, bob: Person) -> None:
    with alice.get("/api/export", buffered=False) as first:
        assert first.status_code == 200
        second = alice.get("/api/export", buffered=True)
        assert (second.status_code, second.get_json()["code"]) == (429, "too_many_exports")
        assert second.headers["Retry-After"]
        assert bob.get("/api/export", buffered=True).status_code == 200
    assert alice.get("/api/export", buffered=True).status_code == 200


# ---------------------------------------------------------------------------------------- by worker


@pytest.mark.usefixtures("large")
def test_a_worker_makes_what_is_large(
    app: Flask, alice: Person, bob: Person, worker: Worker
) -> None:
    _, item = furnish(alice, worker)
    export = ask(alice)
    assert (export["status"], export["progress"], export["total"]) == ("queued", 0, 1)
    assert export["download_url"] is None
    assert worker.work_long()
    assert not worker.work_long()
    done = state(alice, export)
    assert (done["status"], done["progress"], done["done"], done["total"]) == ("completed", 1, 2, 2)
    assert alice.get("/api/exports").get_json() == {"total": 1, "items": [done]}
    assert bob.get("/api/exports").get_json() == {"total": 0, "items": []}
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/download")):
        assert bob.open(method, f"/api/exports/{export['id']}{path}").status_code == 404
    anybody = app.test_client()
    with anybody.get(done["download_url"]) as answer:
        archive = unpacked(answer)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Disposition"].startswith(
            "attachment; filename=seidra-seidra"
        )
        assert answer.content_length == done["file_size"]
        whole = answer.data
    assert [line["id"] for line in lines(archive, MEDIA)] == [item["id"]]
    with anybody.get(done["download_url"], headers={"Range": "bytes=10-19"}) as part:
        assert (part.status_code, part.data) == (206, whole[10:20])
    forged = done["download_url"].replace(f"user={alice.id}", f"user={bob.id}")
    assert anybody.get(forged).status_code == 403
    assert anybody.get(done["download_url"].replace("exports", "media")).status_code == 403
    # Its file is nobody's orphan, and goes with it.
    assert len(files_of(app)) == 1
    parts = services_of(app)
    assert not list(MediaCheck(parts.settings, parts.database).find())
    assert alice.delete(f"/api/exports/{export['id']}").status_code == 204
    keep_house(app)
    assert files_of(app) == []
    assert anybody.get(done["download_url"]).status_code == 404
    assert alice.get(f"/api/exports/{export['id']}").status_code == 404


@pytest.mark.usefixtures("large")
def test_a_repeat_asks_for_nothing_more(alice: Person, worker: Worker) -> None:
    key = {"Idempotency-Key": "one"}
    first = alice.post("/api/exports", json=EVERYTHING, headers=key)
    worker.work_long()
    again = alice.post("/api/exports", json=EVERYTHING, headers=key)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (again.status_code, again.get_json()["id"]) == (202, first.get_json()["id"])
    assert again.get_json()["status"] == "completed"
    assert alice.get("/api/exports").get_json()["total"] == 1


@pytest.mark.usefixtures("large")
def test_an_export_has_a_day(app: Flask, alice: Person, worker: Worker, database: Any) -> None:
    export = ask(alice)
    worker.work_long()
    url = state(alice, export)["download_url"]
    keep_house(app)
    assert len(files_of(app)) == 1
    with database.transaction() as tx:
        tx.execute("UPDATE exports SET expires_at = '2026-01-01T00:00:00.000000Z'")
    assert app.test_client().get(url).status_code == 404
    keep_house(app)
    keep_house(app)
    assert alice.get(f"/api/exports/{export['id']}").status_code == 404
    assert files_of(app) == []


@pytest.mark.usefixtures("large")
def test_there_are_so_many_and_no_more(
    alice: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "MAX_EXPORTS", 2)
    first = ask(alice)
    ask(alice)
    answer = alice.post("/api/exports", json=EVERYTHING)
    assert (answer.status_code, answer.get_json()["code"]) == (409, "too_many_exports")
    ask(bob)
    alice.delete(f"/api/exports/{first['id']}")
    ask(alice)


def exporter_of(app: Flask) -> Exporter:
    parts = services_of(app)
    return Exporter(parts.database, parts.files, parts.settings)


@pytest.mark.usefixtures("large")
def test_one_of_an_owner_at_a_time(
    app: Flask, alice: Person, bob: Person, database: SqliteDatabase
) -> None:
    first, second, theirs = ask(alice), ask(alice), ask(bob)
    with database.transaction() as tx:
        tx.execute(
            "UPDATE exports SET status = 'processing', claim = 'other', attempts = 1,"
            " leased_until = ? WHERE id = ?",
            (timestamp_in(20), first["id"]),
        )
    exporter = exporter_of(app)
    assert exporter.work_one(NEVER)
    assert not exporter.work_one(NEVER)
    assert [state(alice, first)["status"], state(alice, second)["status"]] == [
        "processing",
        "queued",
    ]
    assert state(bob, theirs)["status"] == "completed"
    # The other worker is silent: it is begun again.
    with database.transaction() as tx:
        tx.execute(
            "UPDATE exports SET leased_until = '2026-01-01T00:00:00.000000Z' WHERE claim = 'other'"
        )
    assert exporter.work_one(NEVER)
    assert state(alice, first)["status"] == "completed"


@pytest.mark.usefixtures("large")
def test_what_takes_its_worker_along_each_time_has_failed(
    app: Flask, alice: Person, worker: Worker, database: SqliteDatabase
) -> None:
    furnish(alice, worker)
    export, files = ask(alice), services_of(app).files
    exporter = exporter_of(app)
    for attempt in range(MAX_ATTEMPTS):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(files, "put_file", _die)
            patch.setattr(Path, "unlink", _die)
            with pytest.raises(KeyboardInterrupt):
                exporter.work_one(NEVER)
        assert state(alice, export)["status"] == "processing"
        parts = [path for path in files.temporary(0) if path.name.startswith("export-")]
        assert len(parts) == 1, attempt
        assert not exporter.work_one(NEVER)
        with database.transaction() as tx:
            tx.execute("UPDATE exports SET leased_until = '2026-01-01T00:00:00.000000Z'")
    assert exporter.work_one(NEVER)
    failed = state(alice, export)
    assert (failed["status"], failed["error_code"]) == ("failed", "given_up")
    assert failed["download_url"] is None
    keep_house(app)
    assert files_of(app) == []


def _die(*args: Any, **kwargs: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.usefixtures("large")
def test_a_process_that_stops_gives_it_back(app: Flask, alice: Person, worker: Worker) -> None:
    furnish(alice, worker)
    export = ask(alice)
    stopping = threading.Event()
    stopping.set()
    exporter = exporter_of(app)
    assert exporter.work_one(stopping)
    assert state(alice, export)["status"] == "queued"
    assert services_of(app).files.temporary(0) == []
    for _ in range(MAX_ATTEMPTS + 1):
        exporter.work_one(stopping)
    assert exporter.work_one(NEVER)
    assert state(alice, export)["status"] == "completed"


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("when", ["written", "put"])
def test_what_is_deleted_meanwhile_leaves_nothing(
    app: Flask, alice: Person, worker: Worker, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    furnish(alice, worker)
    export, files = ask(alice), services_of(app).files

    def delete() -> None:
        assert alice.delete(f"/api/exports/{export['id']}").status_code == 204

    if when == "put":
        put = files.put_file

        def put_late(*args: Any) -> None:
            put(*args)
            delete()

        monkeypatch.setattr(files, "put_file", put_late)
    else:
        write = exports.write_export

        def write_late(*args: Any) -> Any:
            yield from write(*args)
            delete()

        monkeypatch.setattr("seidra.exchange.export_work.write_export", write_late)
    assert exporter_of(app).work_one(NEVER)
    assert alice.get("/api/exports").get_json()["total"] == 0
    assert files_of(app) == []
    assert files.temporary(0) == []


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(28, "full"), "disk_full"),
        (OSError(5, "broken"), "unwritable"),
        (KeyError("x"), "internal_error"),
    ],
)
def test_a_failure_says_why(
    app: Flask,
    alice: Person,
    worker: Worker,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    code: str,
) -> None:
    furnish(alice, worker)
    export, files = ask(alice), services_of(app).files

    def fail(*args: Any) -> None:
        raise error

    monkeypatch.setattr(files, "put_file", fail)
    assert exporter_of(app).work_one(NEVER)
    failed = state(alice, export)
    assert (failed["status"], failed["error_code"]) == ("failed", code)
    assert failed["error_message"].endswith(".")
    assert files_of(app) == files.temporary(0) == []
    assert not exporter_of(app).work_one(NEVER)


@pytest.mark.usefixtures("large")
def test_no_backup_has_exports(
    app: Flask, alice: Person, worker: Worker, tmp_path: Path, make_app: Any
) -> None:
    ask(alice)
    worker.work_long()
    parts = services_of(app)
    target = tmp_path / "backup.tar"
    backup.backup(parts.settings, parts.database, target, lambda count: None)
    with tarfile.open(target) as archive:
        assert archive.getnames() == ["seidra.db.gz", "manifest.jsonl"]
    assert alice.get("/api/exports").get_json()["total"] == 1

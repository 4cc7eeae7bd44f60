"""Handing over what somebody leaves: offered, accepted by the receiver, and moved in batches that a
kill cannot break."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import PASSWORD, Person, environment, wait_for
from flask import Flask
from stored import rows
from test_auth import keep_house
from test_start import variables
from test_walks import INFOTEXT

from seidra import create_app
from seidra.config import Settings
from seidra.database.queries import queries
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.jobs.worker import Worker
from seidra.library import hand_over
from seidra.library.hand_over import HandOverWork
from seidra.personas import search
from seidra.values import timestamp_in
from seidra.web.services import services_of

SMALL = {"width": 64, "height": 64}


def told(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.get_json()["code"]


def offer(admin: Person, giver: Person, receiver: Person) -> dict[str, Any]:
    answer = admin.post(
        f"/api/admin/users/{giver.id}/hand-over", json={"to": receiver.id, "what": "all"}
    )
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"/api/admin/hand-overs/{answer.get_json()['id']}"
    return answer.get_json()


def accept(receiver: Person, offered: dict[str, Any]) -> dict[str, Any]:
    answer = receiver.post(f"/api/hand-overs/{offered['id']}/accept")
    assert answer.status_code == 202, answer.text
    return answer.get_json()


def loads(app: Flask, link: str) -> int:
    """The status of a signed link's answer, to whoever has it."""
    with app.test_client().get(link) as answer:
        return answer.status_code


def work(app: Flask) -> None:
    """What a worker does about hand-overs, to its end."""
    mover = HandOverWork(services_of(app).database)
    while mover.work(60):
        pass


def fill(person: Person, worker: Worker, **fields: Any) -> tuple[int, str, str]:
    """A persona with a picture as its avatar; returns its id, the job's and the picture's."""
    persona = person.persona(generation_params=SMALL, **fields)["id"]
    job = person.preview(persona)
    while worker.work_one():
        pass
    media = next(
        each["id"]
        for each in person.get("/api/media?include_nsfw=true").get_json()["items"]
        if each["persona_id"] == persona
    )
    answer = person.put(f"/api/personas/{persona}/avatar", json={"media_id": media})
    assert answer.status_code == 200, answer.text
    return persona, job, media


def check_counts(database: SqliteDatabase) -> None:
    """Counters and the index of search are what their tables say."""
    wrong = queries.operations.wrong_counts(database.connection)
    assert wrong is not None
    assert set(wrong) == {0}
    assert queries.search.strays(database.connection) == 0
    with database.transaction() as tx:
        search.text_index(tx).check_index(tx)


# ------------------------------------------------------------------------------------ the whole way


def test_what_somebody_leaves_becomes_anothers(
    app: Flask,
    admin: Person,
    alice: Person,
    bob: Person,
    worker: Worker,
    database: SqliteDatabase,
) -> None:
    persona, job, media = fill(bob, worker, name="Luna", tags=["sea"], description="moon")
    assert bob.patch(f"/api/personas/{persona}", json={"name": "Luna 2"}).status_code == 200
    assert bob.patch(f"/api/media/{media}", json={"tags": ["beach"]}).status_code == 200
    item = bob.get(f"/api/media/{media}").get_json()
    assert loads(app, item["url"]) == 200
    alice.persona(name="Luna 2")
    offered = offer(admin, bob, alice)
    assert offered["from"] == {"id": bob.id, "username": "bob"}
    assert offered["going"]["personas"] == 1
    assert offered["going"]["bytes"] == item["file_size"]
    (seen,) = alice.get("/api/hand-overs").get_json()["hand_overs"]
    assert seen == offered
    # Nothing has moved before the receiver has said so.
    work(app)
    assert alice.get(f"/api/personas/{persona}").status_code == 404
    assert accept(alice, offered)["status"] == "accepted"
    old_tag = bob.get(f"/api/personas/{persona}").headers["ETag"]
    work(app)
    done = admin.get(f"/api/admin/hand-overs/{offered['id']}").get_json()
    assert (done["status"], done["going"]) == ("completed", None)
    assert done["moved"] == {"personas": 1, "media": 1, "bytes": item["file_size"]}
    assert done["staying"] == {"personas": 0, "media": 0}
    assert done["ended_at"] > done["answered_at"] > done["created_at"]

    # The one has it no more, in no way: an edit that was begun before is a 404.
    assert bob.get(f"/api/personas/{persona}").status_code == 404
    edit = bob.patch(
        f"/api/personas/{persona}", json={"name": "Mine"}, headers={"If-Match": old_tag}
    )
    assert edit.status_code == 404
    assert bob.get(f"/api/media/{media}").status_code == 404
    assert loads(app, item["url"]) in (403, 404)
    for path in ("/api/personas", "/api/personas?search=luna", "/api/personas?tag=sea"):
        assert bob.get(path).headers["X-Total-Count"] == "0", path
    for path in ("/api/media", "/api/media?tag=beach", "/api/media?search=moonlit"):
        assert bob.get(path).headers["X-Total-Count"] == "0", path
    own_job = bob.get(f"/api/jobs/{job}").get_json()
    assert media not in str(own_job)

    # The other has all of it.
    got = alice.get(f"/api/personas/{persona}").get_json()
    assert (got["name"], got["tags"], got["description"]) == ("Luna 2", ["sea"], "moon")
    assert media in got["avatar_url"]
    assert len(alice.get(f"/api/personas/{persona}/revisions").get_json()) == 2
    assert alice.get("/api/personas?search=luna").headers["X-Total-Count"] == "2"
    assert alice.get("/api/personas?tag=sea").headers["X-Total-Count"] == "1"
    assert alice.get(f"/api/jobs/{job}").status_code == 404
    mine = alice.get(f"/api/media/{media}").get_json()
    assert (mine["persona_id"], mine["job_id"], mine["tags"]) == (persona, None, ["beach"])
    assert loads(app, mine["url"]) == 200
    assert alice.get("/api/media?tag=beach").headers["X-Total-Count"] == "1"
    check_counts(database)

    # Then the leaver goes, and takes nothing along; the record stays.
    assert admin.delete(f"/api/admin/users/{bob.id}").status_code == 204
    keep_house(app)
    assert alice.get(f"/api/personas/{persona}").status_code == 200
    assert loads(app, mine["url"]) == 200
    assert admin.get("/api/admin/hand-overs").get_json()["hand_overs"] == [done]
    check_counts(database)


def test_who_is_not_meant_does_not_see_it(admin: Person, alice: Person, bob: Person) -> None:
    offered = offer(admin, bob, alice)
    path = f"/api/hand-overs/{offered['id']}"
    for person in (bob, admin):
        assert person.post(f"{path}/accept").status_code == 404
        assert person.post(f"{path}/decline").status_code == 404
        assert person.get("/api/hand-overs").get_json() == {"total": 0, "hand_overs": []}
    for person in (alice, bob):
        assert told(person.get("/api/admin/hand-overs")) == (403, "admin_required")
    assert alice.post("/api/hand-overs/999/accept").status_code == 404


def test_an_offer_is_answered_once(app: Flask, admin: Person, alice: Person, bob: Person) -> None:
    offered = offer(admin, bob, alice)
    path = f"/api/hand-overs/{offered['id']}"
    again = admin.post(f"/api/admin/users/{bob.id}/hand-over", json={"to": admin.id, "what": "all"})
    assert told(again) == (409, "hand_over_open")
    declined = alice.post(f"{path}/decline")
    assert (declined.status_code, declined.get_json()["status"]) == (200, "declined")
    for answer in (alice.post(f"{path}/accept"), alice.post(f"{path}/decline")):
        assert told(answer) == (409, "hand_over_ended")
    second = offer(admin, bob, alice)
    assert admin.delete(f"/api/admin/hand-overs/{second['id']}").status_code == 204
    assert told(admin.delete(f"/api/admin/hand-overs/{second['id']}")) == (409, "hand_over_ended")
    third = offer(admin, bob, alice)
    with services_of(app).database.transaction() as tx:
        tx.execute(
            "UPDATE hand_overs SET expires_at = ? WHERE id = ?", (timestamp_in(-1), third["id"])
        )
    assert told(alice.post(f"/api/hand-overs/{third['id']}/accept")) == (409, "hand_over_ended")
    keep_house(app)
    statuses = [each["status"] for each in alice.get("/api/hand-overs").get_json()["hand_overs"]]
    assert statuses == ["expired", "withdrawn", "declined"]
    offer(admin, bob, alice)


def test_of_two_acceptances_at_once_one_counts(
    app: Flask, admin: Person, alice: Person, bob: Person
) -> None:
    bob.persona()
    offered = offer(admin, bob, alice)

    def say_yes(_: int) -> int:
        headers = alice.headers
        path = f"/api/hand-overs/{offered['id']}/accept"
        return app.test_client().post(path, headers=headers).status_code

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(say_yes, range(4))) == [202, 409, 409, 409]
    work(app)
    done = admin.get(f"/api/admin/hand-overs/{offered['id']}").get_json()
    assert done["moved"]["personas"] == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"what": "all"}, "to"),
        ({"to": 999, "what": "all"}, "to"),
        ({"to": 1, "what": "all"}, "to"),
        ({"to": "{bob}", "what": "all"}, "to"),
        ({"to": "alice", "what": "all"}, "to"),
        ({"to": 2, "what": "some"}, "what"),
    ],
)
def test_a_bad_offer_names_its_field(
    admin: Person, bob: Person, body: dict[str, Any], field: str
) -> None:
    body = {key: bob.id if value == "{bob}" else value for key, value in body.items()}
    answer = admin.post(f"/api/admin/users/{bob.id}/hand-over", json=body)
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, [field])
    assert admin.get("/api/admin/hand-overs").get_json()["total"] == 0
    assert (
        admin.post("/api/admin/users/999/hand-over", json={"to": 2, "what": "all"}).status_code
        == 404
    )


# ------------------------------------------------------------------------------------ what it takes


def test_nsfw_things_go_only_where_they_are_allowed(
    app: Flask,
    admin: Person,
    alice: Person,
    bob: Person,
    worker: Worker,
    database: SqliteDatabase,
) -> None:
    bob.allow_nsfw()
    fill(bob, worker, name="Day")
    night, _, picture = fill(bob, worker, name="Night", is_nsfw=True)
    offered = offer(admin, bob, alice)
    assert (offered["going"]["personas"], offered["staying"]["personas"]) == (1, 1)
    accepted = accept(alice, offered)
    assert accepted["staying"] == {"personas": 1, "media": 1}
    work(app)
    done = admin.get(f"/api/admin/hand-overs/{offered['id']}").get_json()
    assert (done["status"], done["staying"]) == ("completed", {"personas": 1, "media": 1})
    assert bob.get(f"/api/personas/{night}").status_code == 200
    assert bob.get(f"/api/media/{picture}").get_json()["persona_id"] == night
    check_counts(database)
    alice.allow_nsfw()
    assert alice.get("/api/personas?include_nsfw=true").headers["X-Total-Count"] == "1"
    # Now it may have the rest.
    accept(alice, offer(admin, bob, alice))
    work(app)
    assert alice.get(f"/api/personas/{night}").status_code == 200
    assert alice.get(f"/api/media/{picture}").get_json()["persona_id"] == night
    check_counts(database)


def test_a_receiver_without_room_is_told(make_app: Callable[..., Flask]) -> None:
    app = make_app(max_personas=2)
    admin, alice, bob = (Person(app, name) for name in ("admin", "alice", "bob"))
    for person in (alice, bob):
        person.persona()
        person.persona()
    offered = offer(admin, bob, alice)
    path = f"/api/hand-overs/{offered['id']}/accept"
    answer = alice.post(path)
    assert told(answer) == (409, "quota_exceeded")
    assert (answer.get_json()["limit"], answer.get_json()["used"]) == (2, 2)
    for persona in alice.get("/api/personas").get_json():
        assert alice.delete(f"/api/personas/{persona['id']}").status_code == 204
    assert alice.post(path).status_code == 202


def test_media_beyond_the_receivers_bytes_stay(
    admin: Person, alice: Person, bob: Person, worker: Worker, make_app: Callable[..., Flask]
) -> None:
    fill(bob, worker)
    small = make_app(max_media_bytes=10)
    offered = offer(admin, bob, alice)
    path = f"/api/hand-overs/{offered['id']}/accept"
    answer = small.test_client().post(path, headers=alice.headers)
    assert told(answer) == (409, "quota_exceeded")
    assert alice.post(path).status_code == 202


def test_what_a_job_is_still_making_stays_with_the_job(
    app: Flask, admin: Person, alice: Person, bob: Person, worker: Worker, database: SqliteDatabase
) -> None:
    _, job, media = fill(bob, worker)
    with database.transaction() as tx:
        tx.execute(
            "UPDATE generation_jobs SET status = 'queued', completed_at = NULL WHERE id = ?", (job,)
        )
    accept(alice, offer(admin, bob, alice))
    work(app)
    assert bob.get(f"/api/media/{media}").status_code == 200
    assert alice.get(f"/api/media/{media}").status_code == 404
    (done,) = admin.get("/api/admin/hand-overs").get_json()["hand_overs"]
    assert done["staying"] == {"personas": 0, "media": 1}


# ---------------------------------------------------------------------------------- what goes wrong


def test_an_account_that_is_deleted_meanwhile_is_purged_after_it_has_handed_over(
    app: Flask, admin: Person, alice: Person, bob: Person, database: SqliteDatabase
) -> None:
    persona = bob.persona()["id"]
    accept(alice, offer(admin, bob, alice))
    assert bob.delete("/api/auth/me", json={"password": PASSWORD}).status_code == 204
    assert queries.users.next_deleted(database.connection) is None
    keep_house(app)
    assert alice.get(f"/api/personas/{persona}").status_code == 200
    keep_house(app)
    assert queries.users.next_deleted(database.connection) is None
    (done,) = admin.get("/api/admin/hand-overs").get_json()["hand_overs"]
    assert (done["status"], done["from"]["username"]) == ("completed", "bob")
    check_counts(database)


def test_an_offer_ends_with_either_account(admin: Person, alice: Person, bob: Person) -> None:
    carol = Person(admin.client.application, "carol")
    offer(admin, bob, alice)
    offer(admin, carol, bob)
    assert admin.delete(f"/api/admin/users/{bob.id}").status_code == 204
    shown = admin.get("/api/admin/hand-overs").get_json()["hand_overs"]
    assert [each["status"] for each in shown] == ["withdrawn", "withdrawn"]


def test_a_receiver_who_goes_leaves_the_rest_where_it_is(
    app: Flask, admin: Person, alice: Person, bob: Person, database: SqliteDatabase
) -> None:
    persona = bob.persona()["id"]
    accept(alice, offer(admin, bob, alice))
    assert alice.delete("/api/auth/me", json={"password": PASSWORD}).status_code == 204
    keep_house(app)
    (done,) = admin.get("/api/admin/hand-overs").get_json()["hand_overs"]
    assert (done["status"], done["staying"]["personas"]) == ("failed", 1)
    assert bob.get(f"/api/personas/{persona}").status_code == 200
    check_counts(database)


def test_a_disabled_account_hands_over_too(
    app: Flask, admin: Person, alice: Person, bob: Person
) -> None:
    persona = bob.persona()["id"]
    admin.patch(f"/api/admin/users/{bob.id}", json={"is_active": False})
    accept(alice, offer(admin, bob, alice))
    work(app)
    assert alice.get(f"/api/personas/{persona}").status_code == 200
    gone = admin.post(f"/api/admin/users/{alice.id}/hand-over", json={"to": bob.id, "what": "all"})
    assert gone.get_json()["codes"]["to"][0]["code"] == "no_account"


def test_it_waits_for_an_import_that_is_being_applied(
    app: Flask, admin: Person, alice: Person, bob: Person, database: SqliteDatabase
) -> None:
    persona = bob.persona()["id"]
    planned = bob.post("/api/imports", json={"text": INFOTEXT}).get_json()["id"]
    accept(alice, offer(admin, bob, alice))
    with database.transaction() as tx:
        tx.execute("UPDATE imports SET status = 'applying' WHERE id = ?", (planned,))
    assert HandOverWork(database).work(60) is False
    assert bob.get(f"/api/personas/{persona}").status_code == 200
    with database.transaction() as tx:
        tx.execute("UPDATE imports SET status = 'planned' WHERE id = ?", (planned,))
    work(app)
    assert alice.get(f"/api/personas/{persona}").status_code == 200


def test_a_fault_repeats_what_was_not_committed(
    app: Flask,
    admin: Person,
    alice: Person,
    bob: Person,
    database: SqliteDatabase,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(3):
        bob.persona(name=f"P{number}")
    accept(alice, offer(admin, bob, alice))
    monkeypatch.setattr(hand_over, "_PERSONAS", 1)
    mover = HandOverWork(database)
    move, calls = mover._move_personas, iter(range(9))

    def failing(tx: Any, row: Any) -> bool:
        moved = move(tx, row)
        if next(calls) == 1:
            raise OSError("the disk is full")
        return moved

    monkeypatch.setattr(mover, "_move_personas", failing)
    assert mover.work(60) is False
    assert bob.get("/api/personas").headers["X-Total-Count"] == "2"
    check_counts(database)
    assert mover.work(60) is False
    assert alice.get("/api/personas").headers["X-Total-Count"] == "3"
    (done,) = admin.get("/api/admin/hand-overs").get_json()["hand_overs"]
    assert done["moved"]["personas"] == 3


def test_it_moves_while_the_owner_edits(
    app: Flask, admin: Person, alice: Person, bob: Person, database: SqliteDatabase
) -> None:
    """Every edit is a 200 before and a 404 after, and what was answered is what the receiver
    gets."""
    personas = [bob.persona(name=f"P{number}")["id"] for number in range(30)]
    offered = offer(admin, bob, alice)
    last: dict[int, str] = {}
    statuses: set[int] = set()
    done = threading.Event()

    def edit() -> None:
        client, number = app.test_client(), 0
        while not done.is_set():
            number += 1
            for persona in personas:
                name = f"N{number}"
                answer = client.patch(
                    f"/api/personas/{persona}", json={"name": name}, headers=bob.headers
                )
                statuses.add(answer.status_code)
                if answer.status_code == 200:
                    last[persona] = name

    thread = threading.Thread(target=edit)
    thread.start()
    try:
        wait_for(lambda: len(last) == len(personas))
        accept(alice, offered)
        work(app)
        wait_for(lambda: 404 in statuses)
    finally:
        done.set()
        thread.join(60)
    assert statuses == {200, 404}
    for persona in personas:
        assert alice.get(f"/api/personas/{persona}").get_json()["name"] == last[persona]
    check_counts(database)


PLANT = """
WITH RECURSIVE n (i) AS (SELECT 100000 UNION ALL SELECT i + 1 FROM n WHERE i < 99999 + {count})
INSERT INTO media_items (
    id, user_id, file_type, mime_type, width, height, file_size, metadata, search_text, created_at,
    updated_at
)
SELECT '00' || i || '-0000-4000-8000-000000000000', {user_id}, 'image', 'image/png', 8, 8, 10,
    '{{}}', '', '2026-01-01T00:00:00.' || i || 'Z', '2026-01-01T00:00:00.000000Z'
FROM n
"""


@pytest.mark.slow
def test_a_worker_that_is_killed_leaves_it_to_the_next(tmp_path: Path) -> None:
    """kill -9 in the middle: nothing is lost, nothing counted twice, and it goes on."""
    count = 6_000
    folder = tmp_path / "instance"
    settings = Settings.load(environment(folder))
    app = create_app(dataclasses.replace(settings))
    admin, alice, bob = (Person(app, name) for name in ("admin", "alice", "bob"))
    persona = bob.persona()["id"]
    database = services_of(app).database
    with database.transaction() as tx:
        tx.execute(PLANT.format(count=count, user_id=bob.id))
    accept(alice, offer(admin, bob, alice))

    def moved() -> int:
        [(done,)] = rows(settings, "SELECT media FROM hand_overs")
        return int(done)

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "flask", "worker"]
        return subprocess.Popen(command, cwd=tmp_path, env=variables(folder))

    first = start()
    try:
        wait_for(lambda: moved() > 0)
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait(60)
    between = moved()
    assert 0 < between < count, "the kill came too late to tell anything"
    owners = "SELECT COUNT(*) FROM media_items WHERE user_id = ?"
    assert database.connection.execute(owners, (alice.id,)).fetchone()[0] == between
    check_counts(database)
    second = start()
    try:
        wait_for(
            lambda: (
                admin.get("/api/admin/hand-overs").get_json()["hand_overs"][0]["status"]
                == "completed"
            )
        )
    finally:
        second.terminate()
        second.wait(60)
    (done,) = admin.get("/api/admin/hand-overs").get_json()["hand_overs"]
    assert done["moved"] == {"personas": 1, "media": count, "bytes": count * 10}
    assert database.connection.execute(owners, (alice.id,)).fetchone()[0] == count
    assert alice.get(f"/api/personas/{persona}").status_code == 200
    check_counts(database)
    database.close()

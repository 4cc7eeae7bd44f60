"""What happens when several act at once on what is shared: threads, and processes of a server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import PASSWORD, Person, wait_for
from flask import Flask
from test_hand_over import accept, check_counts, offer, work
from test_limits import JOB, group_of, limit
from test_shared_media import item_of, link_of
from test_start import GUNICORN, Server
from test_worker import Held, Several, background, hire, several

from seidra.database.sqlite.connect import SqliteDatabase
from seidra.jobs.worker import Worker

__all__ = ["hire"]

Hire = Callable[..., Worker]


class Busy:
    """What a thread does again and again, and the statuses that it was answered."""

    def __init__(self, app: Flask, person: Person, act: Callable[[Any, int], list[int]]) -> None:
        self.statuses: list[int] = []
        self._over = threading.Event()
        self._fault: BaseException | None = None
        self._act, self._client, self._headers = act, app.test_client(), person.headers
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        def call(method: str, path: str, body: Any = None) -> int:
            with self._client.open(path, method=method, json=body, headers=self._headers) as answer:
                return answer.status_code

        number = 0
        try:
            while not self._over.is_set() and number < 2_000:
                number += 1
                self.statuses += self._act(call, number)
        except BaseException as fault:
            self._fault = fault
            raise

    def end(self) -> None:
        self._over.set()
        self.thread.join(120)
        assert not self.thread.is_alive()
        assert self._fault is None


@contextmanager
def busy(*many: Busy) -> Iterator[None]:
    """All of them at once, which have begun, and have ended by the end of the block."""
    for one in many:
        one.thread.start()
    try:
        wait_for(lambda: all(one.statuses for one in many))
        yield
    finally:
        for one in many:
            one.end()


def test_two_accounts_share_and_unshare_at_once(
    app: Flask, alice: Person, bob: Person, admin: Person, database: SqliteDatabase
) -> None:
    """Every list that a third one reads meanwhile is whole, and the counters fit at the end."""
    persons = (alice, bob)
    mine = {person: [person.persona()["id"] for _ in range(2)] for person in persons}
    media = {person: item_of(person)["id"] for person in persons}

    def toggle(person: Person) -> Callable[[Any, int], list[int]]:
        def act(call: Any, number: int) -> list[int]:
            body = {"visibility": "shared" if number % 2 else "private"}
            paths = [f"/api/personas/{id}" for id in mine[person]]
            return [call("PATCH", path, body) for path in (*paths, f"/api/media/{media[person]}")]

        return act

    def look(call: Any, number: int) -> list[int]:
        return [
            call("GET", "/api/personas?scope=all"),
            call("GET", "/api/personas/facets?scope=shared"),
            call("GET", "/api/media?scope=all"),
            call("GET", "/api/media/stats?scope=shared"),
        ]

    acting = [Busy(app, person, toggle(person)) for person in persons]
    reader = Busy(app, admin, look)
    with busy(*acting, reader):
        wait_for(lambda: all(len(each.statuses) >= 60 for each in acting))
        wait_for(lambda: len(reader.statuses) >= 20)
    assert {status for each in (*acting, reader) for status in each.statuses} == {200}
    check_counts(database)
    for scope in ("personas", "media"):
        shared = sum(
            each["visibility"] == "shared"
            for person in persons
            for each in _items(person.get(f"/api/{scope}?limit=100").get_json())
        )
        found = admin.get(f"/api/{scope}?scope=shared")
        assert int(found.headers["X-Total-Count"]) == len(_items(found.get_json())) == shared


def _items(page: Any) -> list[Any]:
    return page if isinstance(page, list) else page["items"]


def test_a_hand_over_while_the_owner_edits_and_shares(
    app: Flask,
    admin: Person,
    alice: Person,
    bob: Person,
    worker: Worker,
    database: SqliteDatabase,
) -> None:
    """What was answered before it moved is what the receiver has; nothing is shared twice or by
    nobody, and a link that was made before is dead."""
    personas = [bob.persona(name=f"P{number}")["id"] for number in range(12)]
    media = [item_of(bob)["id"] for _ in range(6)]
    album = bob.post("/api/collections", json={"name": "Tides"}).get_json()["id"]
    offered = offer(admin, bob, alice)
    last: dict[str, str] = {}
    links: list[str] = []

    def act(call: Any, number: int) -> list[int]:
        said = "shared" if number % 2 else "private"
        answers = []
        paths = [f"/api/personas/{id}" for id in personas] + [f"/api/media/{id}" for id in media]
        paths.append(f"/api/collections/{album}")
        method = "POST" if number % 2 else "DELETE"
        answers.append(call(method, f"/api/collections/{album}/media", {"ids": media[:3]}))
        for path in paths:
            status = call("PATCH", path, {"visibility": said})
            answers.append(status)
            if status == 200:
                last[path] = said
        with app.test_client() as client:
            for id in media[:2]:
                path = f"/api/media/{id}/share"
                made = client.post(path, json={"days": 1}, headers=bob.headers)
                answers.append(made.status_code)
                if made.status_code == 201:
                    links.append(made.get_json()["url"])
        return answers

    owner = Busy(app, bob, act)
    with busy(owner):
        wait_for(lambda: len(last) == len(personas) + len(media) + 1 and links)
        accept(alice, offered)
        work(app)
        # What another shares is not his to change, and what another keeps is not there.
        wait_for(lambda: {403, 404} & set(owner.statuses))
    assert set(owner.statuses) <= {200, 201, 403, 404, 409}
    for path, said in last.items():
        assert alice.get(path).get_json()["visibility"] == said, path
        assert bob.get(path).status_code == (200 if said == "shared" else 404), path
    assert {app.test_client().get(link).status_code for link in links} == {404}
    check_counts(database)


def test_a_link_that_is_taken_back_while_it_streams(app: Flask, alice: Person, bob: Person) -> None:
    """What has begun is sent to its end or breaks off; whatever is asked from then on is dead,
    and so is the rest of a file that comes in parts."""
    item = item_of(alice)
    link = link_of(alice, item, with_details=True)
    url = f"{link['url']}/picture"
    whole = app.test_client().get(url, buffered=True)
    assert whole.status_code == 200
    streaming = app.test_client().get(url)
    first = app.test_client().get(url, headers={"Range": "bytes=0-9"}, buffered=True)
    assert (first.status_code, first.data) == (206, whole.data[:10])
    assert alice.delete(f"/api/shares/{link['id']}").status_code == 204
    assert whole.data.startswith(streaming.data)
    streaming.close()
    for headers in ({}, {"Range": "bytes=10-"}, {"If-None-Match": whole.headers["ETag"]}):
        dead = app.test_client().get(url, headers=headers)
        assert dead.status_code == 404, headers
    # Nobody may keep it unasked.
    assert "no-" in whole.headers["Cache-Control"]


def test_limits_that_change_while_a_job_runs(
    admin: Person, alice: Person, hire: Hire, database: SqliteDatabase
) -> None:
    """What has begun is made to its end and counted; what comes next is refused."""
    job = several(database, alice.preview(alice.persona()["id"]), 3)
    engine = Several()

    def happens(position: int) -> None:
        if position == 1:
            limit(admin, alice, engines=[], engine_minutes_a_day=0, max_pictures=1)

    engine.before = happens
    assert hire(engine).work_one()
    done = alice.get(f"/api/jobs/{job}").get_json()
    assert (done["status"], len(done["result_images"])) == ("completed", 3)
    assert alice.get("/api/auth/me").get_json()["usage"]["pictures"] == 3
    assert alice.post(f"/api/jobs/{job}/again").status_code == 403
    limit(admin, alice, engines=None)
    assert alice.post(f"/api/jobs/{job}/again").status_code == 429
    limit(admin, alice, engine_minutes_a_day=None)
    assert alice.post(f"/api/jobs/{job}/again").status_code == 409


def test_a_cancelled_job_counts_what_it_used(
    alice: Person, hire: Hire, database: SqliteDatabase
) -> None:
    """The engine's seconds until it was let go, and no picture that was thrown away."""
    engine = Held()
    job = alice.preview(alice.persona()["id"])
    with background(database, hire(engine).work_one):
        assert engine.entered.wait(60)
        assert alice.get("/api/auth/me").get_json()["usage"]["engine_seconds"] == 0
        assert alice.post(f"/api/jobs/{job}/cancel").status_code == 200
        wait_for(lambda: engine.context.cancelled)
        engine.released.set()
    used = alice.get("/api/auth/me").get_json()["usage"]
    assert used["engine_seconds"] > 0
    assert (used["pictures"], used["bytes"]) == (0, 0)


def test_a_group_is_deleted_while_its_members_act(
    app: Flask, admin: Person, alice: Person, bob: Person
) -> None:
    """Each request is before or after: refused by the group's word, or taken without it."""
    group = group_of(admin, alice, bob, engines=[])

    def act(call: Any, number: int) -> list[int]:
        return [call("POST", "/api/jobs", JOB)]

    members = [Busy(app, person, act) for person in (alice, bob)]
    with busy(*members):
        wait_for(lambda: all(len(each.statuses) >= 6 for each in members))
        assert {status for each in members for status in each.statuses} == {403}
        assert admin.delete(f"/api/admin/groups/{group}").status_code == 204
        after = [len(each.statuses) for each in members]
        wait_for(
            lambda: all(len(each.statuses) >= n + 4 for each, n in zip(members, after, strict=True))
        )
    for each, n in zip(members, after, strict=True):
        # The one that was on its way is either.
        assert set(each.statuses[n + 1 :]) <= {202, 429}
        assert set(each.statuses) <= {202, 403, 429}
    assert alice.get("/api/auth/me").get_json()["limits"]["engines"] is None


@pytest.mark.slow
def test_unsharing_in_one_process_ends_it_in_every_other(tmp_path: Path) -> None:
    """Of a server with two processes, whichever answers: after the answer all is dead."""
    variables = {"SEIDRA_WEB_WORKERS": "2", "SEIDRA_JOB_POLL_MS": "50"}
    with Server(tmp_path, *GUNICORN, **variables).ready() as server:
        server.register()
        job = server.preview()
        server.picture(job)
        media = server.json("GET", "/api/media")["items"][0]["id"]
        persona = server.json("GET", "/api/personas")[0]["id"]
        owner = server.token
        body = {"username": "bob", "email": "bob@example.com", "password": PASSWORD}
        other = server.json("POST", "/api/auth/register", body, 201)["access_token"]
        for _ in range(5):
            server.token = owner
            change_to(server, media, persona, "shared")
            link = server.json("POST", f"/api/media/{media}/share", {"days": 1}, 201)
            server.token = other
            seen = server.json("GET", f"/api/media/{media}")
            urls = [seen["url"], seen["thumbnail_url"], f"{link['url']}/picture"]
            assert [server.call("GET", url)[0] for url in urls] == [200] * 3
            server.json("GET", f"/api/personas/{persona}")
            server.token = owner
            change_to(server, media, persona, "private")
            assert server.call("DELETE", f"/api/shares/{link['id']}")[0] == 204
            server.token = other
            urls += [f"/api/media/{media}", f"/api/personas/{persona}"]
            # So many that both processes are among those that answer.
            answers = [server.call("GET", url)[0] for url in urls for _ in range(6)]
            assert answers == [404] * len(answers)


def change_to(server: Server, media: str, persona: int, visibility: str) -> None:
    body = {"visibility": visibility}
    server.json("PATCH", f"/api/media/{media}", body)
    server.json("PATCH", f"/api/personas/{persona}", body)

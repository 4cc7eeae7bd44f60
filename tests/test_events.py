"""Live progress: what streams tell, to whom, from where on, how many there may be, and how they
end."""

from __future__ import annotations

import dataclasses
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, cast

import pytest
from conftest import ENGINE, PASSWORD, Person, wait_for
from flask import Flask
from stored import dangling
from test_start import GUNICORN, Server
from werkzeug.test import TestResponse

from seidra.auth import tickets
from seidra.config import Settings
from seidra.database.base import Database
from seidra.database.queries import queries
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.database.sqlite.writer import Connection
from seidra.jobs import events, feed
from seidra.jobs import streams as streams_module
from seidra.jobs.streams import Streams
from seidra.jobs.worker import Worker
from seidra.operations.housekeeping import Housekeeper
from seidra.values import timestamp
from seidra.web.services import services_of

SMALL = {"generation_params": {"width": 64, "height": 64, "quality": "draft"}}
ALL = "/api/jobs/events"


class Listener:
    """A client of one stream's bytes. `next()` waits for the next event; `rest()` reads to the
    end."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.id = self.retry = ""
        self.blocks = self._blocks(chunks)
        # The first block, which comes at once: how long to wait before coming back.
        assert next(self.blocks) == {"retry": "1000"}

    def _blocks(self, chunks: Iterator[bytes]) -> Iterator[dict[str, str]]:
        text = ""
        for chunk in chunks:
            text += chunk.decode()
            while "\n\n" in text:
                block, _, text = text.partition("\n\n")
                fields = dict(
                    line.partition(": ")[::2]
                    for line in block.split("\n")
                    if not line.startswith(":")
                )
                # As a browser does: the last id counts, whether or not there is an event with it.
                self.id = fields.get("id", self.id)
                yield fields
        assert text == ""

    def events(self) -> Iterator[tuple[str, Any]]:
        for fields in self.blocks:
            if "event" in fields:
                yield fields["event"], json.loads(fields["data"])
            self.retry = fields.get("retry", "")

    def next(self) -> tuple[str, Any]:
        return next(self.events())

    def rest(self) -> list[tuple[str, Any]]:
        found = list(self.events())
        assert self.retry == "1000"
        return found


@contextmanager
def listen(person: Person, path: str = ALL, **kwargs: Any) -> Iterator[Listener]:
    answer = person.get(path, **kwargs)
    assert answer.status_code == 200, answer.text
    try:
        yield Listener(iter(answer.response))
    finally:
        answer.close()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With room for two streams of one person, who may not take the last place of a process."""
    return dataclasses.replace(settings, streams=4)


@pytest.fixture
def streams(app: Flask) -> Streams:
    return services_of(app).streams


def stop(streams: Streams) -> None:
    """Let streams end at their next look, as when the process stops."""
    streams.stopping = lambda: True


def stored(reader: Database | Connection) -> list[tuple[Any, ...]]:
    """What the table of events holds, but for times; inside a transaction, what it sees of it."""
    connection = reader.connection if isinstance(reader, Database) else reader
    rows = connection.execute("SELECT job_id, version, was_nsfw FROM job_events ORDER BY id")
    return [tuple(row) for row in rows]


def mark_nsfw(person: Person, persona_id: int) -> None:
    assert person.patch(f"/api/personas/{persona_id}", json={"is_nsfw": True}).status_code == 200


# ---------------------------------------------------------------------------------- what is written


def test_every_way_a_job_changes_leaves_an_event(
    alice: Person, database: SqliteDatabase, worker: Worker
) -> None:
    alice.allow_nsfw()
    persona = alice.persona(**SMALL)["id"]
    done, cancelled = alice.preview(persona), alice.preview(persona)
    assert worker.work_one()
    alice.post(f"/api/jobs/{cancelled}/cancel")
    mark_nsfw(alice, persona)
    alice.delete(f"/api/jobs/{done}")
    # Made, claimed, finished, marked; a slow renderer reports progress between. Then deleted.
    *changed, deleted = [event[1:] for event in stored(database) if event[0] == done]
    assert len(changed) >= 4
    assert changed == [(version, 0) for version in range(1, len(changed) + 1)]
    assert deleted == (len(changed), 1)
    assert [event for event in stored(database) if event[0] == cancelled] == [
        (cancelled, 1, 0),
        (cancelled, 2, 0),
        (cancelled, 3, 0),
    ]
    (made,) = database.connection.execute(
        "SELECT created_at FROM job_events ORDER BY id DESC LIMIT 1"
    ).fetchone()
    assert len(made) == len(timestamp())
    assert made <= timestamp()


def test_a_change_that_is_taken_back_leaves_no_event(
    alice: Person, database: SqliteDatabase
) -> None:
    job = alice.preview(alice.persona()["id"])
    before = stored(database)
    with pytest.raises(RuntimeError), database.transaction() as tx:  # noqa: PT012 (the block is what is taken back)
        queries.jobs.cancel(tx, id=job, user_id=alice.id, now=timestamp())
        # PostgreSQL writes them at the end, so that their ids follow the commits.
        assert len(stored(tx)) == len(before) + (ENGINE == "sqlite")
        raise RuntimeError
    assert stored(database) == before


CLAIM: dict[str, Any] = {
    "engine": "mock",
    "at_once": 1,
    "recent": "2026",
    "turns_since": "2999",
    "claim": "a",
}


def test_jobs_that_workers_lost_leave_events(alice: Person, database: SqliteDatabase) -> None:
    job = alice.preview(alice.persona()["id"])
    with database.transaction() as tx:
        queries.jobs.claim(tx, **CLAIM, now=timestamp(), leased_until="2026-01-01")
        queries.jobs.heartbeat(tx, id=job, claim="a", leased_until="2026-01-02")
        queries.jobs.progress(
            tx, id=job, claim="a", progress=0.5, leased_until="2026-01-02", now=timestamp()
        )
        queries.jobs.fail(
            tx,
            id=job,
            claim="a",
            counted=0,
            error_message="lost",
            error_code="lost",
            now=timestamp(),
        )
    assert stored(database) == [(job, 1, 0), (job, 2, 0), (job, 3, 0), (job, 4, 0)]


def test_each_step_of_a_worker_makes_a_new_version(alice: Person, database: SqliteDatabase) -> None:
    job = alice.preview(alice.persona()["id"])
    mine = {"id": job, "claim": "a", "counted": 0, "error_message": "busy", "error_code": "busy"}
    again = {"run_after": timestamp(), "waiting_since": None}
    tags = [alice.get(f"/api/jobs/{job}").headers["ETag"]]
    with database.transaction() as tx:
        claim = CLAIM | {"leased_until": "2999"}
        assert queries.jobs.claim(tx, now=timestamp(), **claim)
        assert queries.jobs.give_back(tx, now=timestamp(), **mine, **again)
        assert queries.jobs.claim(tx, now=timestamp(), **claim)
        assert queries.jobs.fail(tx, now=timestamp(), **mine)
    tags.append(alice.get(f"/api/jobs/{job}").headers["ETag"])
    assert stored(database) == [(job, version, 0) for version in range(1, 6)]
    assert len(set(tags)) == 2


def test_a_deleted_account_takes_its_events_along(
    app: Flask, alice: Person, bob: Person, worker: Worker, database: SqliteDatabase
) -> None:
    kept = bob.preview(bob.persona()["id"])
    alice.preview(alice.persona()["id"])
    assert alice.delete("/api/auth/me", json={"password": PASSWORD}).status_code == 204
    Housekeeper(database, services_of(app).files, services_of(app).settings).run(idle=True)
    assert stored(database) == [(kept, 1, 0)]
    assert dangling(database.connection) == []


# ------------------------------------------------------------------------------------------ one job


def test_a_jobs_stream_tells_its_state_its_changes_and_ends_with_it(
    alice: Person, worker: Worker
) -> None:
    job = alice.preview(alice.persona(**SMALL)["id"])
    path = f"/api/jobs/{job}"
    with listen(alice, f"{path}/events") as listener:
        assert listener.next() == ("job", alice.get(path).get_json())
        assert worker.work_one()
        name, shown = listener.next()
        assert (name, shown) == ("job", alice.get(path).get_json())
        assert (shown["status"], shown["progress"], len(shown["result_images"])) == (
            "completed",
            1,
            1,
        )
        assert alice.client.get(shown["result_images"][0], buffered=True).status_code == 200
        assert listener.rest() == []
    answer = alice.get(f"{path}/events", buffered=True)
    headers = answer.headers
    assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert (headers["Cache-Control"], headers["X-Accel-Buffering"]) == ("no-store", "no")
    assert "Content-Length" not in headers


def test_each_step_of_a_job_is_told(alice: Person, database: SqliteDatabase) -> None:
    job = alice.preview(alice.persona()["id"])
    with listen(alice, f"/api/jobs/{job}/events") as listener:
        assert listener.next()[1]["status"] == "queued"
        with database.transaction() as tx:
            queries.jobs.claim(tx, **CLAIM, now=timestamp(), leased_until="2999")
        assert listener.next()[1]["status"] == "processing"
        for fraction in (0.25, 0.5):
            with database.transaction() as tx:
                queries.jobs.progress(
                    tx, id=job, claim="a", progress=fraction, leased_until="2999", now=timestamp()
                )
            assert listener.next()[1]["progress"] == fraction
        alice.post(f"/api/jobs/{job}/cancel")
        assert [shown["status"] for _, shown in listener.rest()] == ["cancelled"]


def test_a_final_job_is_told_once_and_then_204_says_not_to_come_back(
    alice: Person, worker: Worker
) -> None:
    job = alice.preview(alice.persona(**SMALL)["id"])
    path = f"/api/jobs/{job}/events"
    worker.work_one()
    with listen(alice, path) as listener:
        assert [name for name, _ in listener.rest()] == ["job"]
    again = alice.get(path, headers={"Last-Event-ID": listener.id})
    assert (again.status_code, again.data) == (204, b"")
    # One that was away when it ended is told.
    with listen(alice, path, headers={"Last-Event-ID": "1"}) as late:
        assert [shown["status"] for _, shown in late.rest()] == ["completed"]


def test_a_job_that_is_deleted_meanwhile_is_gone(alice: Person, database: SqliteDatabase) -> None:
    job = alice.preview(alice.persona()["id"])
    with listen(alice, f"/api/jobs/{job}/events") as listener:
        listener.next()
        with database.transaction() as tx:
            tx.execute("DELETE FROM generation_jobs WHERE id = ?", (job,))
        assert listener.rest() == [("gone", {"job_id": job})]
    assert (
        alice.get(f"/api/jobs/{job}/events", headers={"Last-Event-ID": listener.id}).status_code
        == 404
    )


def test_other_jobs_are_not_in_a_jobs_stream(alice: Person, streams: Streams) -> None:
    persona = alice.persona()["id"]
    job, other = alice.preview(persona), alice.preview(persona)
    with listen(alice, f"/api/jobs/{job}/events") as listener:
        listener.next()
        alice.post(f"/api/jobs/{other}/cancel")
        stop(streams)
        assert listener.rest() == []


# ----------------------------------------------------------------------------------------- all jobs


def test_the_stream_of_all_jobs_begins_now_and_tells_every_change(
    alice: Person, worker: Worker
) -> None:
    persona = alice.persona(**SMALL)["id"]
    old = alice.preview(persona)
    with listen(alice) as listener:
        new = alice.preview(persona)
        assert listener.next() == ("job", alice.get(f"/api/jobs/{new}").get_json())
        assert worker.work_one()
        assert listener.next() == ("job", alice.get(f"/api/jobs/{old}").get_json())
        alice.delete(f"/api/jobs/{old}")
        assert listener.next() == ("gone", {"job_id": old})


def test_nothing_of_another_user_is_told(alice: Person, bob: Person, streams: Streams) -> None:
    with listen(alice) as listener:
        job = bob.preview(bob.persona()["id"])
        bob.post(f"/api/jobs/{job}/cancel")
        mine = alice.preview(alice.persona()["id"])
        assert listener.next()[1]["job_id"] == mine
        stop(streams)
        assert listener.rest() == []
    for person in (alice, bob):
        answer = person.get(f"/api/jobs/{job}/events")
        assert answer.status_code == (404 if person is alice else 200)
        answer.close()


@pytest.mark.parametrize("how", ["header", "query", "header before query"])
def test_a_client_comes_back_and_misses_nothing(
    alice: Person, database: SqliteDatabase, streams: Streams, how: str
) -> None:
    persona = alice.persona()["id"]
    with listen(alice) as listener:
        first = alice.preview(persona)
        assert listener.next()[1]["job_id"] == first
        away = listener.id
    second, third = alice.preview(persona), alice.preview(persona)
    alice.post(f"/api/jobs/{second}/cancel")
    headers = {} if how == "query" else {"Last-Event-ID": away}
    path = {"header": ALL, "query": f"{ALL}?last_event_id={away}"}.get(
        how, f"{ALL}?last_event_id=999"
    )
    with listen(alice, path, headers=headers) as again:
        # Each changed job once, in the order of the last changes.
        told = [again.next()[1], again.next()[1]]
        assert [(shown["job_id"], shown["status"]) for shown in told] == [
            (third, "queued"),
            (second, "cancelled"),
        ]
        newest = again.id
        stop(streams)
        assert again.rest() == []
    with listen(alice, headers={"Last-Event-ID": newest}) as uptodate:
        assert uptodate.rest() == []


def test_between_two_events_of_one_look_a_client_can_come_back_too(
    alice: Person, streams: Streams
) -> None:
    persona = alice.persona()["id"]
    with listen(alice) as listener:
        jobs = [alice.preview(persona) for _ in range(3)]
        stop(streams)
        listener.rest()
    streams.stopping = lambda: False
    with listen(alice, headers={"Last-Event-ID": "1"}) as again:
        assert [again.next()[1]["job_id"], again.next()[1]["job_id"]] == jobs[1:]


def test_positions_move_on_while_only_others_have_events(
    alice: Person, bob: Person, streams: Streams
) -> None:
    with listen(alice) as listener:
        began = int(next(listener.blocks)["id"])
        persona = bob.persona()["id"]
        for _ in range(3):
            bob.preview(persona)
        stop(streams)
        assert listener.rest() == []
        assert int(listener.id) == began + 3


@pytest.mark.parametrize("last", ["99", "-1", "1.5", "x", "٣", "9" * 30, "1; DROP", "0"])
def test_a_position_that_is_not_kept_is_told_to_read_anew(
    alice: Person, streams: Streams, database: SqliteDatabase, last: str
) -> None:
    job = alice.preview(alice.persona()["id"])
    alice.post(f"/api/jobs/{job}/cancel")
    with database.transaction() as tx:
        tx.execute("DELETE FROM job_events WHERE id = 1")
    stop(streams)
    with listen(alice, query_string={"last_event_id": last}) as listener:
        assert listener.rest() == [("reset", {})]
        assert listener.id == "2"
    with listen(alice, f"/api/jobs/{job}/events", query_string={"last_event_id": last}) as listener:
        assert [shown["status"] for _, shown in listener.rest()] == ["cancelled"]


def test_too_many_changes_at_once_are_a_reset(
    alice: Person, streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MOST", 2)
    persona = alice.persona()["id"]
    with listen(alice, headers={"Last-Event-ID": "0"}) as listener:
        for _ in range(3):
            alice.preview(persona)
        assert listener.next() == ("reset", {})
        assert listener.id == "3"
        job = alice.preview(persona)
        assert listener.next()[1]["job_id"] == job


def test_an_idle_stream_beats_with_its_position(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 2 * events._HEARTBEAT_SECONDS < 15
    monkeypatch.setattr(events, "_HEARTBEAT_SECONDS", 0.3)
    alice.preview(alice.persona()["id"])
    answer = alice.get(ALL)
    chunks = iter(answer.response)
    assert [next(chunks) for _ in range(3)] == [
        b"retry: 1000\n\nid: 1\n\n",
        b":\nid: 1\n\n",
        b":\nid: 1\n\n",
    ]
    answer.close()


# --------------------------------------------------------------------------------------------- NSFW


def test_nsfw_jobs_are_told_only_where_asked_for_and_in_force(
    alice: Person, streams: Streams
) -> None:
    alice.allow_nsfw()
    tame, wild = alice.persona()["id"], alice.persona(is_nsfw=True)["id"]
    for path, told in ((ALL, False), (f"{ALL}?include_nsfw=true", True)):
        with listen(alice, path) as listener:
            hidden, shown = alice.preview(wild), alice.preview(tame)
            alice.post(f"/api/jobs/{hidden}/cancel")
            alice.delete(f"/api/jobs/{hidden}")
            last = alice.preview(tame)
            seen: list[tuple[str, str]] = []
            while ("job", last) not in seen:
                name, body = listener.next()
                seen.append((name, body["job_id"]))
            assert ("job", shown) in seen
            assert (("gone", hidden) in seen) is told, path


def test_settings_take_effect_at_once(alice: Person) -> None:
    alice.allow_nsfw()
    wild = alice.persona(is_nsfw=True)["id"]
    job = alice.preview(wild)
    with (
        listen(alice, f"{ALL}?include_nsfw=true") as listener,
        listen(alice, f"/api/jobs/{job}/events") as single,
    ):
        assert single.next()[1]["job_id"] == job
        assert alice.patch("/api/settings/nsfw", json={"enabled": False}).status_code == 200
        assert listener.next() == ("reset", {})
        assert single.rest() == [("gone", {"job_id": job})]
    assert alice.get(f"/api/jobs/{job}/events").status_code == 404


def test_an_administrators_word_takes_effect_at_once(alice: Person, admin: Person) -> None:
    alice.allow_nsfw()
    job = alice.preview(alice.persona(is_nsfw=True)["id"])
    with listen(alice, f"/api/jobs/{job}/events") as single:
        assert single.next()[1]["job_id"] == job
        change = {"nsfw_allowed": False}
        assert admin.patch(f"/api/admin/users/{alice.id}", json=change).status_code == 200
        assert single.rest() == [("gone", {"job_id": job})]


def test_jobs_that_become_nsfw_are_gone_for_those_who_do_not_ask(alice: Person) -> None:
    alice.allow_nsfw()
    persona = alice.persona()["id"]
    job = alice.preview(persona)
    with listen(alice) as tame, listen(alice, f"{ALL}?include_nsfw=true") as wild:
        mark_nsfw(alice, persona)
        assert tame.next() == ("gone", {"job_id": job})
        name, shown = wild.next()
        assert (name, shown["job_id"], shown["is_nsfw"]) == ("job", job, True)


# -------------------------------------------------------------------------------------- who listens


def ticket(person: Person) -> str:
    answer = person.post(f"{ALL}/ticket")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    body = answer.get_json()
    assert body["expires_in"] == 600
    return body["ticket"]


def test_a_ticket_opens_streams_again_and_again_and_nothing_else(
    alice: Person, bob: Person, streams: Streams
) -> None:
    job, made = alice.preview(alice.persona()["id"]), ticket(alice)
    stop(streams)
    for path in (ALL, f"/api/jobs/{job}/events", ALL):
        answer = alice.client.get(path, query_string={"ticket": made}, buffered=True)
        assert answer.status_code == 200
    assert (
        alice.client.get(
            f"/api/jobs/{job}/events", query_string={"ticket": ticket(bob)}
        ).status_code
        == 404
    )
    for path in ("/api/jobs", f"/api/jobs/{job}", "/api/auth/me"):
        assert alice.client.get(path, query_string={"ticket": made}).status_code == 401
        assert (
            alice.client.get(path, headers={"Authorization": f"Bearer {made}"}).status_code == 401
        )
    assert alice.client.post(f"{ALL}/ticket", query_string={"ticket": made}).status_code == 401
    assert alice.token["access_token"] not in made


def test_what_is_no_ticket_is_401(alice: Person, app: Flask) -> None:
    made = ticket(alice)
    link_key = services_of(app).links._key
    forged = tickets.URLSafeTimedSerializer(link_key, salt="stream").dumps([alice.id, "x"])
    body, moment, signature = made.rsplit(".", 2)
    for bad in (
        "",
        "x",
        "..",
        forged,
        made[:-1],
        made + "A",
        f"{body}.{moment}.",
        f"{body}.{signature}",
        f"{body}A.{moment}.x",
        f"{body}.{moment}.{signature[::-1]}",
        alice.token["access_token"],
        alice.token["refresh_token"],
        "\x00",
        "é",
    ):
        answer = alice.client.get(ALL, query_string={"ticket": bad})
        assert (answer.status_code, answer.headers["WWW-Authenticate"][:6]) == (401, "Bearer"), bad
    # A header comes first, and has to be good.
    headers = {"Authorization": "Bearer x"}
    assert alice.client.get(ALL, query_string={"ticket": made}, headers=headers).status_code == 401


def test_a_ticket_is_good_for_ten_minutes(
    alice: Person, streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, now = ticket(alice), time.time()
    stop(streams)
    for later, status in ((595, 200), (602, 401)):
        monkeypatch.setattr("itsdangerous.timed.time.time", lambda later=later: now + later)
        assert (
            alice.client.get(ALL, query_string={"ticket": made}, buffered=True).status_code
            == status
        )


def logout(person: Person, database: SqliteDatabase) -> None:
    assert person.post("/api/auth/logout").status_code == 204


def disable(person: Person, database: SqliteDatabase) -> None:
    with database.transaction() as tx:
        tx.execute("UPDATE users SET is_active = FALSE WHERE id = ?", (person.id,))


def delete_account(person: Person, database: SqliteDatabase) -> None:
    assert person.delete("/api/auth/me", json={"password": PASSWORD}).status_code == 204


def change_password(person: Person, database: SqliteDatabase) -> None:
    other = person.client.post(
        "/api/auth/login", json={"username": person.name, "password": PASSWORD}
    ).get_json()
    headers = {"Authorization": f"Bearer {other['access_token']}"}
    change = {"password": "another phrase", "current_password": PASSWORD}
    assert person.client.patch("/api/auth/me", json=change, headers=headers).status_code == 200


@pytest.mark.parametrize("revoke", [logout, disable, delete_account, change_password])
def test_a_revoked_session_closes_its_streams(
    alice: Person,
    bob: Person,
    database: SqliteDatabase,
    streams: Streams,
    revoke: Callable[[Person, SqliteDatabase], None],
) -> None:
    job, made = alice.preview(alice.persona()["id"]), ticket(alice)
    with listen(alice) as listener, listen(alice, f"/api/jobs/{job}/events") as single:
        single.next()
        revoke(alice, database)
        began = time.monotonic()
        assert listener.rest() == single.rest() == []
        assert time.monotonic() - began < 10
    assert alice.client.get(ALL, query_string={"ticket": made}).status_code == 401
    with listen(bob):
        assert len(streams) == 1


# ----------------------------------------------------------------------------------------- how many


def refused(answer: TestResponse) -> None:
    assert (answer.status_code, answer.content_type) == (429, "application/problem+json")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


def test_streams_are_bounded_for_each_user_and_in_all(make_app: Callable[..., Flask]) -> None:
    app = make_app(streams=3, streams_per_user=2)
    alice, bob, carol = (Person(app, name) for name in ("alice", "bob", "carol"))
    one, two = alice.get(ALL), alice.get(ALL)
    refused(alice.get(ALL))
    third = bob.get(ALL)
    refused(bob.get(ALL))
    two.close()
    # The last place is for somebody who has none.
    refused(bob.get(ALL))
    refused(alice.get(ALL))
    four = carol.get(ALL)
    assert four.status_code == 200
    for answer in (one, third, four):
        answer.close()
    assert len(services_of(app).streams) == 0


def test_one_thread_is_room_for_one_stream(make_app: Callable[..., Flask]) -> None:
    alice = Person(make_app(streams=1), "alice")
    with listen(alice):
        refused(alice.get(ALL))


def test_a_place_is_given_back_however_a_stream_ends(
    alice: Person, database: SqliteDatabase, streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = alice.client._request_from_builder_args((ALL,), {"headers": alice.headers}).environ
    # Closed before its first byte was asked for; the test client asks for it by itself.
    alice.client.application.wsgi_app(environ, lambda *_: lambda _: None).close()
    with listen(alice):
        assert len(streams) == 1
    assert alice.open("HEAD", ALL).status_code == 200
    assert len(streams) == 0

    def broken(self: feed.Feed) -> list[bytes]:
        raise database.errors("disk I/O error")

    with monkeypatch.context() as patched:
        patched.setattr(feed.Feed, "next_messages", broken)
        with listen(alice) as listener:
            assert list(listener.events()) == []
            assert len(streams) == 0


def test_a_stream_ends_after_its_time(make_app: Callable[..., Flask]) -> None:
    alice = Person(make_app(stream_seconds=1), "alice")
    began = time.monotonic()
    with listen(alice) as listener:
        assert listener.rest() == []
    assert 1 <= time.monotonic() - began < 10


# ------------------------------------------------------------------------------------------ pruning


def test_old_events_are_dropped_and_the_newest_stays(
    alice: Person, database: SqliteDatabase, streams: Streams, app: Flask
) -> None:
    persona = alice.persona()["id"]
    for _ in range(6):
        alice.preview(persona)

    def date(**dates: str) -> list[int]:
        with database.transaction() as tx:
            tx.execute("UPDATE job_events SET created_at = ?", (timestamp(),))
            for id, moment in dates.items():
                tx.execute(
                    "UPDATE job_events SET created_at = ? WHERE id = ?", (moment, int(id[1:]))
                )
        Housekeeper(database, services_of(app).files, services_of(app).settings).run(idle=True)
        return [
            row[0] for row in database.connection.execute("SELECT id FROM job_events ORDER BY id")
        ]

    assert date() == [1, 2, 3, 4, 5, 6]
    assert date(_1="2026-01-01") == [2, 3, 4, 5, 6]
    # Never one from the middle: what is kept is whole. A clock that was ahead for a while holds
    # nothing up.
    assert date(_3="2026-01-01") == [4, 5, 6]
    assert date(_4="2999-01-01") == [5, 6]
    assert date(_5="2026-01-01", _6="2026-01-01") == [6]
    stop(streams)
    for last, told in (("6", []), ("5", 1), ("4", [("reset", {})])):
        with listen(alice, headers={"Last-Event-ID": last}) as listener:
            found = listener.rest()
            assert len(found) == told if isinstance(told, int) else found == told


def test_pruning_goes_on_until_it_is_done(
    alice: Person, database: SqliteDatabase, app: Flask
) -> None:
    alice.preview(alice.persona()["id"])
    with database.transaction() as tx:
        tx.executemany(
            "INSERT INTO job_events (user_id, job_id, version, was_nsfw, created_at)"
            " VALUES (?, 'x', 1, FALSE, '2026')",
            [(alice.id,)] * 1300,
        )
    Housekeeper(database, services_of(app).files, services_of(app).settings).run(idle=True)
    assert database.connection.execute("SELECT COUNT(*), MAX(id) FROM job_events").fetchone()[
        :
    ] == (1, 1301)


def test_few_streams_look_at_the_same_time(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each holds a connection meanwhile; on a busy machine all thirty would."""
    monkeypatch.setattr(streams_module, "POLL_SECONDS", 0.0)
    streams = Streams(dataclasses.replace(settings, streams=12))
    lock, looking, most = threading.Lock(), 0, 0

    class Looking:
        over = False

        def next_messages(self) -> list[bytes]:
            nonlocal looking, most
            with lock:
                looking += 1
                most = max(most, looking)
            time.sleep(0.02)
            with lock:
                looking -= 1
            return [b"told"]

        def place_bytes(self) -> bytes:
            return b""

    def follow(user_id: int) -> None:
        told = events._stream_bytes(cast(feed.Feed, Looking()), streams.open(user_id), [])
        assert [next(told) for _ in range(4)][1:] == [b"told"] * 3
        told.close()

    with ThreadPoolExecutor(12) as clients:
        list(clients.map(follow, range(12)))
    assert (most, len(streams)) == (4, 0)


# ------------------------------------------------------------------------------------- real servers


class Remote(Listener):
    """A stream of a real server, or what it answers instead."""

    def __init__(self, server: Server, path: str = ALL, status: int = 200, **headers: str) -> None:
        self.connection = HTTPConnection("127.0.0.1", server.port, timeout=120)
        headers |= {} if "?" in path else {"Authorization": f"Bearer {server.token}"}
        self.connection.request("GET", path, headers=headers)
        self.answer = self.connection.getresponse()
        if self.answer.status != status:
            self.close()
        assert self.answer.status == status
        if status == 200:
            super().__init__(iter(lambda: self.answer.read1(65536), b""))
        else:
            self.close()

    def close(self) -> None:
        self.answer.close()
        self.connection.close()

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def has_room(server: Server) -> bool:
    try:
        Remote(server).close()
    except AssertionError:
        return False
    return True


@pytest.mark.slow
def test_streams_starve_no_requests_notice_a_gone_client_and_end_with_the_server(
    tmp_path: Path,
) -> None:
    with Server(tmp_path, *GUNICORN, SEIDRA_WEB_WORKERS="1", SEIDRA_STREAMS="3") as server:
        server.ready().register()
        by_ticket = f"{ALL}?ticket={server.json('POST', f'{ALL}/ticket')['ticket']}"
        with Remote(server, by_ticket) as leaves, Remote(server, by_ticket) as stays:
            assert int(Remote(server, by_ticket, 429).answer.headers["Retry-After"]) > 0
            for _ in range(20):
                assert server.call("GET", "/api/jobs")[0] == 200
            server.preview()
            while stays.next()[1].get("status") != "completed":
                pass
            # The place of a client that has gone is free at once, without waiting for a heartbeat.
            leaves.close()
            began = time.monotonic()
            wait_for(lambda: has_room(server))
            assert time.monotonic() - began < events._HEARTBEAT_SECONDS
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            stays.rest()
            # Its time to answer what is under way is 30 s.
            assert time.monotonic() - began < 20
        log = server.stop()
        assert time.monotonic() - began < 20
    assert f'"path":"{ALL}"' in log
    assert "ticket=" not in log


@pytest.mark.slow
def test_streams_work_across_processes(tmp_path: Path) -> None:
    alone = {
        "SEIDRA_EMBEDDED_WORKER": "false",
        "SEIDRA_WEB_WORKERS": "1",
        "SEIDRA_STREAMS": "3",
        "SEIDRA_STREAM_SECONDS": "20",
    }
    with Server(tmp_path, *GUNICORN, **alone) as one, Server(tmp_path, *GUNICORN, **alone) as other:
        one.ready().register()
        other.ready().token = one.token
        job = one.preview()
        with Remote(one, f"{job}/events") as single, Remote(other) as everything:
            assert single.next()[1]["status"] == "queued"
            with Server(tmp_path, "-m", "flask", "worker", **alone) as worker:
                assert single.rest()[-1][1]["status"] == "completed"
                while everything.next()[1].get("status") != "completed":
                    pass
                worker.stop()
        # A place in one process's stream is a place in the other's.
        with Remote(other, f"{job}/events", **{"Last-Event-ID": "1"}) as again:
            assert [shown["status"] for _, shown in again.rest()] == ["completed"]
        Remote(other, f"{job}/events", 204, **{"Last-Event-ID": single.id})
        other.stop()
        one.stop()

"""Who has access to an account: sessions, chains of refresh tokens, API keys and their scopes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from conftest import PASSWORD, Person
from flask import Flask
from flask.testing import FlaskClient
from stored import dump
from test_events import ALL, Listener, listen
from test_walks import ACCOUNT, JOB, NOTHING, PERSONA, ROUTES, fill, filled, furnish
from werkzeug.test import TestResponse

from seidra.database.sqlite.connect import SqliteDatabase
from seidra.jobs.worker import Worker
from seidra.values import parse_timestamp, timestamp, timestamp_in
from seidra.web.services import services_of


def login(person: Person, agent: str = "Other/1.0") -> dict[str, Any]:
    body = {"username": person.name, "password": PASSWORD}
    headers = {"User-Agent": agent}
    return person.client.post("/api/auth/login", json=body, headers=headers).get_json()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def key_of(person: Person, scope: str = "all", **more: Any) -> dict[str, Any]:
    body = {"name": f"for {scope}", "scope": scope, "current_password": PASSWORD, **more}
    answer = person.post("/api/auth/keys", json=body)
    assert answer.status_code == 201, answer.text
    return answer.get_json()


def alive(client: FlaskClient, token: str) -> bool:
    """Whether a token or key is still good for reading."""
    return client.get("/api/personas", headers=bearer(token)).status_code == 200


# ----------------------------------------------------------------------------------------- sessions


def test_sessions_are_listed_and_ended_one_by_one(alice: Person, bob: Person) -> None:
    other = login(alice, "Phone/2.0 \x00é" + "x" * 500)
    sessions = alice.get("/api/auth/sessions").get_json()["sessions"]
    assert [session["current"] for session in sessions] == [False, True]
    first = sessions[0]
    assert first["user_agent"].startswith("Phone/2.0 ")
    assert len(first["user_agent"]) == 200
    assert first["last_used_at"] == first["created_at"] < first["expires_at"]
    # No answer carries what the tokens name.
    stored = services_of(alice.client.application).database.connection.execute(
        "SELECT id FROM sessions"
    )
    assert not [row[0] for row in stored if row[0] in json.dumps(sessions)]
    assert bob.delete(f"/api/auth/sessions/{first['id']}").status_code == 404
    assert alive(alice.client, other["access_token"])
    assert alice.delete(f"/api/auth/sessions/{first['id']}").status_code == 204
    assert not alive(alice.client, other["access_token"])
    assert alice.delete(f"/api/auth/sessions/{first['id']}").status_code == 404
    assert len(alice.get("/api/auth/sessions").get_json()["sessions"]) == 1


def test_the_other_sessions_end_together(alice: Person, bob: Person) -> None:
    others = [login(alice) for _ in range(3)]
    key = key_of(alice)["key"]
    assert alice.post("/api/auth/sessions/end-others").get_json() == {"ended": 3}
    assert [alive(alice.client, other["access_token"]) for other in others] == [False] * 3
    assert alive(alice.client, alice.token["access_token"])
    assert alive(alice.client, key)
    assert bob.get("/api/auth/me").status_code == 200


def test_a_refresh_is_a_use_of_its_session(alice: Person, database: SqliteDatabase) -> None:
    with database.transaction() as tx:
        tx.execute("UPDATE sessions SET created_at = ?", (timestamp_in(-3600),))
    (before,) = alice.get("/api/auth/sessions").get_json()["sessions"]
    assert refresh(alice, alice.token).status_code == 200
    (after,) = alice.get("/api/auth/sessions").get_json()["sessions"]
    assert (after["id"], after["created_at"]) == (before["id"], before["created_at"])
    assert after["last_used_at"] > before["last_used_at"] == before["created_at"]


# ------------------------------------------------------------------------------- chains of refresh


def refresh(person: Person, token: dict[str, Any]) -> TestResponse:
    return person.client.post("/api/auth/refresh", headers=bearer(token["refresh_token"]))


def fresh(person: Person, token: dict[str, Any]) -> dict[str, Any]:
    answer = refresh(person, token)
    assert answer.status_code == 200, answer.text
    return answer.get_json()


@pytest.fixture
def later(database: SqliteDatabase) -> Callable[[float], None]:
    """Let time pass: everything about refresh tokens moves into the past."""

    def pass_time(seconds: float) -> None:
        def moved(text: str | None) -> str | None:
            if text is None:
                return None
            moment = parse_timestamp(text).timestamp() - seconds
            return timestamp(parse_timestamp(text).fromtimestamp(moment).astimezone())

        with database.transaction() as tx:
            rows = tx.execute("SELECT digest, used_at, issued_at FROM refresh_tokens").fetchall()
            for digest, used_at, issued_at in [tuple(row) for row in rows]:
                tx.execute(
                    "UPDATE refresh_tokens SET used_at = ?, issued_at = ? WHERE digest = ?",
                    (moved(used_at), moved(issued_at), digest),
                )

    return pass_time


Later = Callable[[float], None]


def test_a_lost_answer_does_not_end_the_session(alice: Person, later: Later) -> None:
    lost = fresh(alice, alice.token)
    for _ in range(3):
        later(3600)
        arrived = fresh(alice, alice.token)
    assert alive(alice.client, arrived["access_token"])
    after = fresh(alice, arrived)
    # Lost was lost: whoever has it after all is somebody else.
    later(3600)
    assert refresh(alice, lost).status_code == 401
    assert not alive(alice.client, after["access_token"])


def test_both_used_is_theft(alice: Person, later: Later) -> None:
    mine = fresh(alice, alice.token)
    later(60)
    mine = fresh(alice, mine)
    later(60)
    # A copy of the first token, whose successor was used.
    assert refresh(alice, alice.token).status_code == 401
    assert refresh(alice, mine).status_code == 401
    assert alice.get("/api/auth/me").status_code == 401


@pytest.mark.parametrize("first", ["owner", "thief"])
def test_a_token_copied_before_it_was_lost_ends_the_session(
    alice: Person, later: Later, first: str
) -> None:
    owner = fresh(alice, alice.token)
    later(60)
    thief = fresh(alice, alice.token)
    one, two = (owner, thief) if first == "owner" else (thief, owner)
    later(60)
    kept = fresh(alice, one)
    later(60)
    assert refresh(alice, two).status_code == 401
    assert not alive(alice.client, kept["access_token"])


def test_two_tabs_go_on_side_by_side(alice: Person, later: Later) -> None:
    tabs = [fresh(alice, alice.token) for _ in range(2)]
    for _ in range(3):
        later(900)
        tabs = [fresh(alice, tab) for tab in tabs]
    # One of them loses an answer.
    later(900)
    fresh(alice, tabs[0])
    later(900)
    assert all(alive(alice.client, fresh(alice, tab)["access_token"]) for tab in tabs)


def test_a_late_tab_after_a_lost_answer_takes_nothing_from_the_first_two(
    alice: Person, later: Later
) -> None:
    tabs = [fresh(alice, alice.token) for _ in range(2)]
    later(60)
    fresh(alice, alice.token)
    later(60)
    assert all(alive(alice.client, fresh(alice, tab)["access_token"]) for tab in tabs)


def test_lost_answers_are_forgotten_and_bounded(
    alice: Person, later: Later, database: SqliteDatabase
) -> None:
    answers = []
    for _ in range(102):
        later(60)
        answers.append(refresh(alice, alice.token).status_code)
    assert answers == [200] * 100 + [401] * 2
    left = database.connection.execute(
        "SELECT COUNT(*) FROM refresh_tokens AS r JOIN sessions AS s ON s.id = r.session_id"
        " WHERE s.user_id = ?",
        (alice.id,),
    ).fetchone()
    assert left[0] == 0


def test_what_a_used_one_makes_worthless_is_gone(
    alice: Person, later: Later, database: SqliteDatabase
) -> None:
    for _ in range(5):
        later(60)
        arrived = fresh(alice, alice.token)
    later(60)
    fresh(alice, arrived)
    later(60)
    count = "SELECT COUNT(*) FROM refresh_tokens WHERE session_id IN"
    mine = "(SELECT id FROM sessions WHERE user_id = ?)"
    left = database.connection.execute(f"{count} {mine}", (alice.id,)).fetchone()[0]
    # The one that was used last, and what it was exchanged for.
    assert left == 2


# ----------------------------------------------------------------------------------------- API keys


def test_a_key_is_told_once_and_stored_as_a_digest(
    alice: Person, bob: Person, database: SqliteDatabase
) -> None:
    made = key_of(alice, "read", expires_in_days=7)
    key = made.pop("key")
    assert key.startswith("seidra_")
    assert len(key) == len("seidra_") + 43
    assert made["last_four"] == key[-4:]
    assert alice.get("/api/auth/keys").get_json() == {"keys": [made]}
    assert bob.get("/api/auth/keys").get_json() == {"keys": []}
    assert key not in dump(database.connection)
    days = parse_timestamp(made["expires_at"]) - parse_timestamp(made["created_at"])
    assert 6.99 < days.total_seconds() / 86400 < 7.01
    assert alive(alice.client, key)
    assert alice.client.get("/api/personas", headers=bearer(key)).get_json() == []
    bob.persona()
    assert alice.client.get("/api/personas/1", headers=bearer(key)).status_code == 404
    for bad in (key[:-1], key + "A", "seidra_", key[:7] + key[7:].swapcase(), f"seidra_{'é' * 43}"):
        answer = alice.client.get("/api/personas", headers=bearer(bad))
        assert (answer.status_code, answer.get_json()["code"]) == (401, "key_invalid"), bad


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"current_password": "wrong"}, 403, "current_password"),
        ({"scope": "admin"}, 422, "scope"),
        ({"name": " "}, 422, "name"),
        ({"name": "x" * 101}, 422, "name"),
        ({"expires_in_days": 0}, 422, "expires_in_days"),
        ({"expires_in_days": 3651}, 422, "expires_in_days"),
    ],
)
def test_a_key_that_cannot_be_made(
    alice: Person, change: dict[str, Any], status: int, field: str
) -> None:
    body = {"name": "x", "scope": "read", "current_password": PASSWORD} | change
    answer = alice.post("/api/auth/keys", json=body)
    assert (answer.status_code, list(answer.get_json()["errors"])) == (status, [field])
    assert alice.get("/api/auth/keys").get_json() == {"keys": []}


def test_twenty_keys_are_enough(alice: Person, bob: Person, database: SqliteDatabase) -> None:
    made = [key_of(alice) for _ in range(20)]
    body = {"name": "x", "scope": "read", "current_password": PASSWORD}
    answer = alice.post("/api/auth/keys", json=body)
    assert (answer.status_code, answer.get_json()["code"]) == (409, "too_many_keys")
    key_of(bob)
    with database.transaction() as tx:
        tx.execute("UPDATE api_keys SET expires_at = ? WHERE id = 1", (timestamp_in(-1),))
    # One that has expired does not count, nor is it good.
    assert not alive(alice.client, made[0]["key"])
    key_of(alice)


def end_it(person: Person, made: dict[str, Any], database: SqliteDatabase) -> None:
    assert person.delete(f"/api/auth/keys/{made['id']}").status_code == 204


def new_password(person: Person, made: dict[str, Any], database: SqliteDatabase) -> None:
    change = {"password": "another phrase", "current_password": PASSWORD}
    assert person.patch("/api/auth/me", json=change).status_code == 200


def delete_account(person: Person, made: dict[str, Any], database: SqliteDatabase) -> None:
    assert person.delete("/api/auth/me", json={"password": PASSWORD}).status_code == 204


def let_expire(person: Person, made: dict[str, Any], database: SqliteDatabase) -> None:
    with database.transaction() as tx:
        tx.execute("UPDATE api_keys SET expires_at = ?", (timestamp(),))


def disable(person: Person, made: dict[str, Any], database: SqliteDatabase) -> None:
    with database.transaction() as tx:
        tx.execute("UPDATE users SET is_active = FALSE WHERE id = ?", (person.id,))


@pytest.mark.parametrize("end", [end_it, new_password, delete_account, let_expire, disable])
def test_a_key_ends_with_its_streams_and_tickets(
    alice: Person, database: SqliteDatabase, end: Callable[..., None]
) -> None:
    made = key_of(alice, "read")
    headers = bearer(made["key"])
    ticket = alice.client.post(f"{ALL}/ticket", headers=headers).get_json()["ticket"]
    stream = alice.client.get(ALL, headers=headers)
    listener = Listener(iter(stream.response))
    next(listener.blocks)
    end(alice, made, database)
    assert listener.rest() == []
    stream.close()
    assert not alive(alice.client, made["key"])
    assert alice.client.get(ALL, query_string={"ticket": ticket}).status_code == 401


def test_logout_and_a_password_with_keep_keys_leave_keys(alice: Person) -> None:
    key = key_of(alice)["key"]
    change = {"password": "another phrase", "current_password": PASSWORD, "keep_keys": True}
    assert alice.patch("/api/auth/me", json=change).status_code == 200
    assert alice.post("/api/auth/logout").status_code == 204
    assert alive(alice.client, key)


def test_a_use_is_written_once_a_minute(alice: Person, database: SqliteDatabase) -> None:
    made = key_of(alice)

    def last_used() -> str | None:
        return alice.get("/api/auth/keys").get_json()["keys"][0]["last_used_at"]

    assert last_used() is None
    alive(alice.client, made["key"])
    first = last_used()
    alive(alice.client, made["key"])
    assert first is not None
    assert last_used() == first
    with database.transaction() as tx:
        tx.execute("UPDATE api_keys SET last_used_at = ?", (timestamp_in(-61),))
    alive(alice.client, made["key"])
    assert last_used() > first


def test_a_key_shares_its_users_rate_and_streams(make_app: Callable[..., Flask]) -> None:
    app = make_app(rate_limits=True, rate_general="10/minute", streams_per_user=1, web_threads=8)
    alice = Person(app, "alice")
    key = key_of(alice)["key"]
    with listen(alice):
        answer = alice.client.get(ALL, headers=bearer(key))
        assert answer.status_code == 429
    codes = [alive(alice.client, key) for _ in range(10)]
    assert codes[0]
    assert not codes[-1]
    assert alice.get("/api/personas").status_code == 429


# -------------------------------------------------------------------------- what each scope may do

GENERATE = {
    ("POST", f"{PERSONA}/preview"),
    ("POST", "/api/previews"),
    ("POST", "/api/jobs"),
    ("POST", "/api/generate/single"),
    ("POST", "/api/jobs/cancel"),
    ("POST", f"{JOB}/cancel"),
    ("POST", f"{JOB}/retry"),
    ("POST", f"{JOB}/again"),
}
ADMINISTRATION = {
    ("GET", "/api/system/summary"),
    ("GET", "/api/settings/nsfw/default"),
    ("PUT", "/api/settings/nsfw/default"),
    ("PATCH", "/api/settings/nsfw/default"),
}
NSFW_WRITES = {("PUT", "/api/settings/nsfw"), ("PATCH", "/api/settings/nsfw")}


def scopes_for(route: tuple[str, str]) -> set[str]:
    """Which scopes reach a route, as docs/api.md says it."""
    method, rule = route
    if rule.startswith(("/api/auth", "/api/admin")) or route in ADMINISTRATION | NSFW_WRITES:
        return set()
    if method == "GET" or route == ("POST", "/api/jobs/events/ticket"):
        return {"read", "generate", "all"}
    return {"generate", "all"} if route in GENERATE else {"all"}


def test_every_route_says_which_scopes_reach_it(admin: Person, worker: Worker) -> None:
    """Of an administrator's keys, too: they are no administrators."""
    things = furnish(admin, worker)
    services_of(admin.client.application).streams.stopping = lambda: True
    made = {scope: key_of(admin, scope)["key"] for scope in ("read", "generate", "all")}
    for route, body in ROUTES.items():
        # Nothing is changed or deleted before all scopes have been tried.
        path = fill(route[1], things if route[0] == "GET" else NOTHING | {"persona": 999})
        for scope, key in made.items():
            answer = admin.client.open(
                path,
                method=route[0],
                json=filled(body, things),
                headers=bearer(key),
                buffered=True,
            )
            refused = answer.status_code == 403 and answer.get_json()["code"] == "scope"
            assert refused == (scope not in scopes_for(route)), (route, scope, answer.text[:200])
            assert refused or answer.status_code != 401, route
    assert alive(admin.client, admin.token["access_token"])
    assert ("PATCH", ACCOUNT) in ROUTES


def test_a_key_is_no_refresh_token(alice: Person) -> None:
    answer = alice.client.post("/api/auth/refresh", headers=bearer(key_of(alice)["key"]))
    assert answer.status_code == 401

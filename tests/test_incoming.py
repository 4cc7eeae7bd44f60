"""What comes in over HTTP: bounded before it is looked at, counted whatever its headers, compared
in one form, and answered in a word that programs know."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import PASSWORD, Person
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError, fields
from test_rates import login, refused
from test_security import send, server  # noqa: F401 (a fixture)
from test_start import Server
from werkzeug.test import TestResponse

from seidra import common_passwords, folding, parsers
from seidra.auth import accounts, passwords
from seidra.auth.schemas import PasswordSchema
from seidra.config import Settings
from seidra.database.queries import queries
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.jobs.worker import Worker
from seidra.start.account_keys import compare_names_anew
from seidra.start.search_texts import fold_anew
from seidra.values import timestamp
from seidra.web.fields import Body
from seidra.web.logs import JsonFormatter
from seidra.web.services import services_of

Make = Callable[..., Flask]

MANY = {f"field{n}": 1 for n in range(60_000)}


def made_item(person: Person, worker: Worker) -> dict[str, Any]:
    """A media item of a person."""
    person.preview(person.persona(generation_params={"width": 64, "height": 64})["id"])
    assert worker.work_one()
    return person.get("/api/media").get_json()["items"][0]


# ------------------------------------------------------------------------------- before the bound


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/api/personas", {"tags": [1] * 200_000}, "tags"),
        ("POST", "/api/personas", {"tags": ["a"] * 200_000}, "tags"),
        ("POST", "/api/personas", {"lora_models": [1] * 200_000}, "lora_models"),
        ("POST", "/api/personas", {"loras": [1] * 200_000}, "loras"),
        ("POST", "/api/personas", {"loras": [{}] * 200_000}, "loras"),
        ("POST", "/api/jobs", {"prompt": "x", "images": MANY}, "images"),
        ("POST", "/api/personas", MANY, None),
        ("PUT", "/api/settings", {"notifications": MANY}, "notifications"),
        ("PUT", "/api/settings", {"extra": {"a": [1] * 200_000}}, "extra"),
        ("PUT", "/api/settings", MANY, None),
        ("PATCH", "/api/settings/nsfw", {"categories": MANY}, None),
        ("PATCH", "/api/settings/nsfw", {"overrides": MANY}, "overrides"),
        ("POST", "/api/personas", {"x" * 900_000: 1}, None),
    ],
)
def test_what_is_too_much_is_refused_before_it_is_looked_at(
    alice: Person, method: str, path: str, body: Any, field: str | None
) -> None:
    body = {"name": "x", "style_prompt": "y"} | body if path == "/api/personas" else body
    data = json.dumps(body)
    began = time.process_time()
    answer = alice.open(method, path, data=data, content_type="application/json")
    assert time.process_time() - began < 1
    assert answer.status_code == 422
    assert len(answer.data) < 10_000
    problem = answer.get_json()
    assert len([text for texts in problem["errors"].values() for text in texts]) <= 20
    assert field is None or list(problem["errors"]) == [field]


def bodies(schema: type[Body] = Body) -> Iterator[type[Body]]:
    """Every class of a body that the app has, once it was made."""
    for body in schema.__subclasses__():
        yield body
        yield from bodies(body)


def test_every_list_and_object_is_counted_before_its_parts_are_looked_at(app: Flask) -> None:
    looked_at = []
    fields_seen = set()
    for body in bodies():
        for name, field in body().load_fields.items():
            parts = {
                fields.List: getattr(field, "inner", None),
                fields.Dict: getattr(field, "value_field", None),
            }
            for kind, part in parts.items():
                if isinstance(field, kind) and part is not None:
                    fields_seen.add(name)
                    part.deserialize = lambda *given, seen=name, **more: looked_at.append(seen)
                    value = [1] * 5_000 if kind is fields.List else MANY
                    with pytest.raises(ValidationError) as error:
                        field.deserialize(value)
                    (mistake,) = error.value.messages
                    assert (mistake.code, mistake.bounds.keys()) == ("count", {"max"})
    assert looked_at == []
    assert fields_seen >= {"tags", "loras", "lora_models", "images", "ids", "notifications"}


def test_at_most_twenty_mistakes_are_told(alice: Person) -> None:
    answer = alice.post(
        "/api/personas", json={"name": "", "tags": [1] * 50, **{f"f{n}": 1 for n in range(50)}}
    )
    errors = answer.get_json()["errors"]
    assert sum(map(len, errors.values())) == 20
    # marshmallow itself is not asked about the others, each of which costs it time.
    with pytest.raises(ValidationError) as error:
        PasswordSchema().load({"password": "x"} | MANY)
    assert len(error.value.messages) == 20
    answer = alice.post("/api/personas", json={"name": "x", "style_prompt": "y", "extra": 1})
    assert answer.get_json()["errors"] == {"extra": ["Unknown field."]}


def test_bodies_for_accounts_are_small(alice: Person, client: FlaskClient) -> None:
    for path in ("/api/auth/login", "/api/auth/register"):
        answer = client.post(path, json={"username": "x", "password": "y" * 70_000})
        assert (answer.status_code, answer.get_json()["code"]) == (413, "too_large")
    assert alice.patch("/api/auth/me", json={"email": "x" * 70_000}).status_code == 413
    assert alice.post("/api/personas", json={"name": "x" * 70_000}).status_code == 422


# ------------------------------------------------------------------------------------- the rates


@pytest.mark.parametrize("authorization", [None, "x", "Bearer", "Bearer forged", "Basic eDp5"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/openapi.json"),
        ("GET", "/api/docs/files/index.css"),
        ("GET", "/nothing"),
        ("PUT", "/api/openapi.json"),
        ("OPTIONS", "/api/personas"),
        ("GET", "/api/personas"),
        ("GET", "/api/events"),
        ("GET", "/api/events?ticket=x"),
        ("POST", "/api/auth/refresh"),
        ("GET", "/api/media/6f1c2f0e-0d5b-5d5c-9c55-2b8d3f3c1a10/content"),
        ("GET", "/api/media/6f1c2f0e-0d5b-5d5c-9c55-2b8d3f3c1a10/content?signature=x"),
    ],
)
def test_no_header_takes_a_request_out_of_the_general_rate(
    make_app: Make, authorization: str | None, method: str, path: str
) -> None:
    client = make_app(rate_limits=True, rate_general="3/minute").test_client()
    headers = {} if authorization is None else {"Authorization": authorization}
    for _ in range(3):
        assert client.open(path, method=method, headers=headers, buffered=True).status_code != 429
    refused(client.open(path, method=method, headers=headers, buffered=True))


def test_a_link_with_a_header_is_counted_too(make_app: Make, settings: Settings) -> None:
    app = make_app(rate_limits=True, rate_general="2/minute")
    alice = Person(app, "alice")
    link = services_of(app).links.make("6f1c2f0e-0d5b-5d5c-9c55-2b8d3f3c1a10", "content", alice.id)
    assert alice.client.get(link, headers=alice.headers).status_code == 404
    # A valid link counts at a rate of its own; what is none, as what anybody sends.
    assert [alice.client.get(link, headers=alice.headers).status_code for _ in range(3)] == [
        404
    ] * 3
    wrong = link.replace("signature=", "signature=x")
    assert alice.client.get(wrong).status_code == 403
    refused(alice.client.get(wrong))


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/api/auth/me", {"email": "a@b.example", "current_password": "wrong phrase"}),
        ("DELETE", "/api/auth/me", {"password": "wrong phrase"}),
        ("POST", "/api/auth/me/delete", {"password": "wrong phrase"}),
    ],
)
def test_passwords_tried_with_a_token_are_logins_tried(
    make_app: Make, method: str, path: str, body: Any
) -> None:
    app = make_app(rate_limits=True, rate_account="3/minute", rate_login="100/minute")
    alice = Person(app, "alice")
    assert alice.open(method, path, json=body).status_code == 403
    assert alice.open(method, path, json=body).status_code == 403
    assert login(alice.client, "alice").status_code == 401
    refused(alice.open(method, path, json=body))
    refused(login(alice.client, "alice@example.com"))


def test_all_names_of_an_account_are_counted_together(make_app: Make) -> None:
    app = make_app(rate_limits=True, rate_account="2/minute", rate_login="100/minute")
    client = Person(app, "alice").client
    assert login(client, "alice").status_code == 401
    assert login(client, " ALICE@example.com ").status_code == 401
    for name in ("alice", "alice@example.com"):
        refused(login(client, name))
    assert login(client, "bob").status_code == 401


# --------------------------------------------------------------------------------- the validator


def test_an_etag_changes_with_the_links_of_its_body(
    alice: Person, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = made_item(alice, worker)
    path = f"/api/media/{item['id']}"
    before = alice.get(path)
    known = {"If-None-Match": before.headers["ETag"]}
    assert alice.get(path, headers=known).status_code == 304
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 2 * 86_400)
    monkeypatch.setattr("seidra.media.links.time.time", lambda: now + 2 * 86_400)
    links = services_of(alice.client.application).links
    assert links.make(item["id"], "content", alice.id) != item["url"]
    monkeypatch.undo()
    # The window is all that moves: a body made in the next one.
    monkeypatch.setattr(links, "_window", links._window + 1)
    answer = alice.get(path, headers=known)
    assert answer.status_code == 200
    assert answer.get_json()["url"] != item["url"]
    match = {"If-Match": before.headers["ETag"]}
    assert alice.patch(path, json={"tags": ["a"]}, headers=match).status_code == 200
    assert alice.patch(path, json={"tags": ["b"]}, headers=match).status_code == 412


def test_a_change_that_changes_nothing_writes_nothing(
    alice: Person, worker: Worker, database: SqliteDatabase
) -> None:
    path = f"/api/media/{made_item(alice, worker)['id']}"
    alice.patch(path, json={"tags": ["a"], "is_favorite": True})
    before = alice.get(path)
    for answer in (
        alice.patch(path, json={"tags": [" a "]}),
        alice.put(f"{path}/favorite", json={"value": True}),
        alice.put(f"{path}/tags", json={"tags": ["a"]}),
    ):
        assert answer.get_json().items() >= before.get_json().items()
        assert answer.headers["ETag"].split("-")[0] == before.headers["ETag"].split("-")[0]

    def written() -> Any:
        row = database.connection.execute(
            "SELECT updated_at FROM users WHERE id = ?", (alice.id,)
        ).fetchone()
        return row[0]

    began = written()
    assert alice.put("/api/settings", json={"theme": "system"}).status_code == 200
    same = {"username": "alice", "email": "alice@example.com", "current_password": PASSWORD}
    assert alice.patch("/api/auth/me", json=same).status_code == 200
    assert written() == began
    assert alice.put("/api/settings", json={"theme": "dawn"}).status_code == 200
    assert written() != began


@pytest.mark.parametrize("path", ["/api/settings/nsfw", "/api/settings/nsfw/default"])
def test_nsfw_settings_that_stay_are_not_written(
    admin: Person, database: SqliteDatabase, path: str
) -> None:
    def written() -> list[Any]:
        sql = "SELECT user_id, updated_at FROM nsfw_settings ORDER BY user_id"
        return [tuple(row) for row in database.connection.execute(sql)]

    assert admin.patch(path, json={"enabled": True}).status_code == 200
    began = written()
    stored = admin.get(path).get_json()
    assert admin.patch(path, json={"enabled": True}).get_json() == stored
    assert admin.put(path, json=stored).get_json() == stored
    assert written() == began
    assert admin.patch(path, json={"intensity": "low"}).status_code == 200
    assert written() != began


# ------------------------------------------------------------------ input that was a 500 before


@pytest.mark.parametrize("url", ["http://[", "http://\u2100.com/", "//[", "http://[v1.x]/"])
def test_an_avatar_that_is_no_url_is_422(alice: Person, url: str) -> None:
    path = f"/api/personas/{alice.persona()['id']}"
    answer = alice.patch(path, json={"avatar_url": url})
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["avatar_url"])


def test_an_account_that_is_deleted_meanwhile_is_401(
    app: Flask, alice: Person, database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = queries.users.session_user

    def and_then_deleted(connection: Any, **names: Any) -> Any:
        user = real(connection, **names)
        with database.transaction() as tx:
            row = queries.users.get_for_update(tx, id=alice.id)
            if row is not None:
                accounts.delete_account(tx, row)
        return user

    monkeypatch.setattr(queries.users, "session_user", and_then_deleted)
    body = {"email": "new@example.com", "current_password": PASSWORD}
    answer = alice.patch("/api/auth/me", json=body)
    assert (answer.status_code, answer.get_json()["code"]) == (401, "session_ended")


@pytest.mark.parametrize(
    ("given", "allowed", "refused"),
    [
        ("http://[::1]:3000", "http://[::1]:3000", "http://1:3000"),
        ("http://[::1]:3000", "http://[::1]:3000", "http://1:3000.evil.com"),
        ("http://[0:0::1]", "http://[::1]", "http://[::2]"),
        ("https://x:443", "https://x", "https://x:444"),
        ("http://X.example:80/", "http://x.example", "http://x.example.evil.com"),
        ("http://x.example", "http://x.example", "http://xyexample"),
        ("tauri://localhost", "tauri://localhost", "http://localhost"),
        ("capacitor://localhost", "capacitor://localhost", "tauri://localhost"),
    ],
)
def test_an_origin_is_what_a_browser_sends_and_no_pattern(
    make_app: Make, given: str, allowed: str, refused: str
) -> None:
    client = make_app(allowed_origins=parsers.origins(given)).test_client()
    answer = client.get("/api/health", headers={"Origin": allowed})
    assert answer.headers["Access-Control-Allow-Origin"] == allowed
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    answer = client.get("/api/health", headers={"Origin": refused})
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    "message",
    [
        "Invalid request line: 'GET /api/media/x/content?user=2&signature=SECRET&expires=1 X'",
        'GET /api/events?ticket=SECRET HTTP/1.1"',
        "b'GET /api/events?Ticket%3dSECRET'",
    ],
)
def test_no_log_line_shows_a_signature_or_a_ticket(message: str) -> None:
    record = logging.LogRecord("gunicorn.error", logging.WARNING, "", 1, message, (), None)
    line = JsonFormatter().format(record)
    assert "SECRET" not in line
    assert "***" in line
    try:
        raise ValueError(message)
    except ValueError as error:
        record.exc_info = (type(error), error, error.__traceback__)
    assert "SECRET" not in JsonFormatter().format(record)


def test_a_request_line_that_cannot_be_read_is_logged_without_its_secrets(
    server: Server,  # noqa: F811
) -> None:
    line = b"GET /api/events?ticket=VERYSECRET HTTP/1.1 junk\r\nHost: x\r\n\r\n"
    assert b" 400 " in send(server, line).partition(b"\r\n")[0]
    assert "VERYSECRET" not in server.log.read_text(encoding="utf-8")


# -------------------------------------------------------------------------------------- one form


def test_names_are_trimmed_and_composed_wherever_they_are_given(client: FlaskClient) -> None:
    body = {"username": " bob ", "email": " bo\u0308b@Example.com ", "password": PASSWORD}
    answer = client.post("/api/auth/register", json=body)
    assert answer.status_code == 201, answer.text
    user = answer.get_json()["user"]
    assert (user["username"], user["email"]) == ("bob", "b\u00f6b@Example.com")
    for name in (" bob ", "BOB\n", " bo\u0308b@example.com", "BÖB@EXAMPLE.COM "):
        assert login(client, name, password=PASSWORD).status_code == 200, name


def test_two_addresses_that_fold_alike_are_two(client: FlaskClient) -> None:
    for name, email in (("one", "straße@example.com"), ("two", "strasse@example.com")):
        body = {"username": name, "email": email, "password": PASSWORD}
        assert client.post("/api/auth/register", json=body).status_code == 201, name
        assert login(client, email, password=PASSWORD).get_json()["user"]["username"] == name
    body = {"username": "three", "email": "STRASSE@example.com", "password": PASSWORD}
    answer = client.post("/api/auth/register", json=body)
    assert (answer.status_code, answer.get_json()["code"]) == (409, "email_taken")


def test_keys_that_were_made_otherwise_are_made_anew(
    alice: Person, client: FlaskClient, database: SqliteDatabase
) -> None:
    with database.transaction() as tx:
        tx.execute(
            "UPDATE users SET email = 'straße@example.com', email_key = 'strasse@example.com'"
            " WHERE id = ?",
            (alice.id,),
        )
        queries.platform.remember(tx, name="name_keys", value="1", now=timestamp())
    assert login(client, "straße@example.com", password=PASSWORD).status_code == 401
    compare_names_anew(database)
    assert login(client, "straße@example.com", password=PASSWORD).status_code == 200


@pytest.mark.parametrize(
    ("registered", "given"),
    [
        ("pässwörter sind lang", "pa\u0308sswo\u0308rter sind lang"),
        ("pa\u0308sswo\u0308rter sind lang", "pässwörter sind lang"),
        (" a long phrase ", "a long phrase"),
        ("a long phrase", "a long phrase\n"),
        ("ａ long phrase", "a long phrase"),
    ],
)
def test_a_password_is_the_same_from_every_keyboard(
    client: FlaskClient, registered: str, given: str
) -> None:
    body = {"username": "bob", "email": "bob@example.com", "password": registered}
    assert client.post("/api/auth/register", json=body).status_code == 201
    for password in (registered, given):
        answer = login(client, "bob", password=password)
        assert answer.status_code == 200
    token = {"Authorization": f"Bearer {answer.get_json()['access_token']}"}
    change = {"password": f" {given.strip()}er ", "current_password": given}
    assert client.patch("/api/auth/me", json=change, headers=token).status_code == 200
    assert login(client, "bob", password=f"{registered.strip()}er").status_code == 200


def test_a_hash_from_before_is_good_and_made_anew_where_it_costs_less(
    app: Flask, alice: Person, database: SqliteDatabase, make_app: Make
) -> None:
    raw = " pa\u0308ss phrase "
    old = passwords._password_hasher(8, 1).hash(raw)
    with database.transaction() as tx:
        queries.users.update_password(tx, id=alice.id, password_hash=old, now=timestamp())

    def stored() -> str:
        return str(queries.users.password_hash(database.connection, id=alice.id))

    assert login(alice.client, "alice", password=raw).status_code == 200
    assert stored() == old
    raised = make_app(argon2_time_cost=3)
    assert login(raised.test_client(), "alice", password="wrong phrase").status_code == 401
    assert stored() == old
    assert login(raised.test_client(), "alice", password=raw).status_code == 200
    assert "t=3" in stored()
    # Other sessions live on, and from now on the normal form is enough.
    assert alice.get("/api/auth/me").status_code == 200
    assert login(raised.test_client(), "alice", password="päss phrase").status_code == 200
    again = stored()
    assert login(app.test_client(), "alice", password="päss phrase").status_code == 200
    assert stored() == again


def test_after_the_cost_was_raised_no_time_tells_who_exists(
    alice: Person, bob: Person, make_app: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_app(argon2_time_cost=3).test_client()
    assert login(client, "bob", password=PASSWORD).status_code == 200
    spent: list[str] = []
    real = passwords.verify_password

    def counting(encoded: str, password: str) -> bool:
        spent.append(encoded.split("$")[3])
        return real(encoded, password)

    monkeypatch.setattr(passwords, "verify_password", counting)
    costs = set()
    for name in ("alice", "bob", "nobody", "nobody@example.com", "system"):
        spent.clear()
        assert login(client, name).status_code == 401
        costs.add(tuple(sorted(spent)))
    assert costs == {("m=8,t=1,p=1", "m=8,t=3,p=1")}


COMMON = [
    "password", "12345678", "aaaaaaaa", "Password1!", "p@ssw0rd", "qwertyuiop", "87654321",
    "abcdefgh", "abcd1234", "iloveyou", "letmein123", "passwordpassword", "1q2w3e4r", "12121212",
    "ｐａｓｓｗｏｒｄ", "seidra2026", "qwerty123456", "Sunshine99", " password ",
]  # fmt: skip


@pytest.mark.parametrize("password", COMMON)
def test_common_passwords_are_refused_for_everybody(
    alice: Person, client: FlaskClient, password: str
) -> None:
    body = {"username": "bob", "email": "bob@example.com", "password": password}
    change = {"password": password, "current_password": PASSWORD}
    for answer in (
        client.post("/api/auth/register", json=body),
        alice.patch("/api/auth/me", json=change),
    ):
        assert answer.status_code == 422
        assert answer.get_json()["codes"] == {"password": [{"code": "common_password"}]}


@pytest.mark.parametrize(
    "password",
    [
        PASSWORD,
        "eight888",
        "correct staple",
        "tr0ub4dor&3",
        "a1b2c3d4e5f6g7",
        "k8#mPq2v",
        "мама мыла",
    ],
)
def test_others_are_not_common(password: str) -> None:
    assert not common_passwords.is_common(password)


UNSEEN = [
    "\u200b", "\u2800", "\u3164", "\u00ad", "\u2060", "\ufe0f", "\u202e", "\u115f", "\u180e",
    "\u034f", "\ufeff", "\u00a0", "\u3000", "\U000e0001", "\U000e0100", "\uffa0",
]  # fmt: skip


@pytest.mark.parametrize("unseen", UNSEEN)
def test_a_name_has_something_to_see(alice: Person, unseen: str) -> None:
    good = {"name": "x", "style_prompt": "y"}
    text = f"{unseen} {unseen}"
    for body, field in (
        ({"name": text}, "name"),
        ({"style_prompt": text}, "style_prompt"),
        ({"tags": [text]}, "tags.0"),
        ({"lora_models": [text]}, "lora_models.0"),
    ):
        answer = alice.post("/api/personas", json=good | body)
        assert list(answer.get_json().get("errors", {})) == [field], answer.text
    assert alice.put("/api/settings", json={"notifications": {text: True}}).status_code == 422
    assert alice.post("/api/personas", json=good | {"name": f"x{unseen}y"}).status_code == 201


def test_tags_are_one_where_the_filter_takes_them_for_one(alice: Person) -> None:
    made = alice.persona(tags=["Café", "Cafe\u0301", "CAFE", "tea", "L’eau", "l'eau", "❤️", "❤"])
    assert made["tags"] == ["Café", "tea", "L’eau", "❤️"]


@pytest.mark.parametrize(
    ("name", "search"),
    [
        ("L’Étoile", "L'Étoile"),
        ("L'Étoile", "l’etoile"),
        ("❤", "❤️"),
        ("I ❤️ you", "❤ you"),
        ("葛\U000e0100城", "葛城"),
        ("葛城市", "葛\U000e0101城"),
        ("“Nova” — «Luna»", '"nova" - "luna"'),
        ('"Nova" - "Luna"', "„nova“ – ″luna″"),
        ("rock‑n‑roll", "rock-n-roll"),
        ("a − b", "a - b"),
        ("5′ tall", "5' tall"),
        ("rock \u0149 roll", "rock 'n roll"),
    ],
)
def test_a_mark_is_found_in_each_of_its_forms(alice: Person, name: str, search: str) -> None:
    made = alice.persona(name=name)
    found = alice.get("/api/personas", query_string={"search": search}).get_json()
    assert [persona["id"] for persona in found] == [made["id"]]


@given(st.text(max_size=20))
def test_folding_a_folded_text_changes_nothing(text: str) -> None:
    assert folding.fold(folding.fold(text)) == folding.fold(text)


def test_texts_that_were_folded_otherwise_are_made_anew(
    alice: Person, worker: Worker, database: SqliteDatabase
) -> None:
    item = made_item(alice, worker)
    alice.patch(f"/api/media/{item['id']}", json={"tags": ["L’eau"]})
    alice.persona(name="L’Étoile", tags=["L’eau"], style_prompt="L’eau")
    alice.preview(alice.persona(name="L’Étoile 10", style_prompt="by L’eau")["id"])
    alice.persona(name="L’Étoile 9")
    version = alice.get(f"/api/media/{item['id']}").headers["ETag"]
    with database.transaction() as tx:
        tx.execute("UPDATE media_items SET search_text = 'l’eau'")
        tx.execute("UPDATE media_tags SET tag_key = 'l’eau'")
        tx.execute(
            "UPDATE persona_texts SET search_text = 'l’etoile' WHERE search_text LIKE 'l''etoile%'"
        )
        tx.execute("UPDATE persona_tags SET tag_key = 'l’eau'")
        tx.execute("UPDATE personas SET name_key = 'x'")
        tx.execute("UPDATE generation_jobs SET search_text = 'l’eau'")
        for table in ("media", "jobs", "personas"):
            queries.platform.remember(tx, name=f"{table}_folding", value="1", now=timestamp())

    def total(path: str) -> str:
        return str(alice.get(path).headers["X-Total-Count"])

    paths = (
        "/api/media?search=l'eau",
        "/api/media?tag=L'eau",
        "/api/personas?search=l'etoile",
        "/api/personas?tag=L'eau",
        "/api/jobs?search=l'eau",
    )
    assert [total(path) for path in paths] == ["0", "0", "0", "0", "0"]
    fold_anew(database)
    assert [total(path) for path in paths] == ["1", "1", "3", "1", "1"]
    named = alice.get("/api/personas?search=l'etoile&sort=name").get_json()
    assert [persona["name"] for persona in named] == ["L’Étoile", "L’Étoile 9", "L’Étoile 10"]
    assert alice.get(f"/api/media/{item['id']}").headers["ETag"] == version


# ------------------------------------------------------------------------------- empty and absent


@pytest.mark.parametrize("path", ["/api/personas", "/api/jobs", "/api/media"])
@pytest.mark.parametrize(
    "query",
    [
        "search=", "search=&tag=", "sort=", "limit=", "offset=", "include_nsfw=", "tag=",
        "tag=&tag=", "persona_id=", "status=", "job_type=", "date_from=", "date_to=",
        "tags=", "favorites_only=", "is_favorite=",
    ],
)  # fmt: skip
def test_an_empty_parameter_is_as_none(alice: Person, path: str, query: str) -> None:
    persona = alice.persona()["id"]
    alice.preview(persona)
    plain, empty = alice.get(path), alice.get(f"{path}?{query}")
    assert empty.status_code == 200, empty.text
    assert empty.get_json() == plain.get_json()


def test_an_account_is_renamed(alice: Person, bob: Person, client: FlaskClient) -> None:
    answer = alice.patch("/api/auth/me", json={"username": "alicia"})
    assert list(answer.get_json()["errors"]) == ["current_password"]
    body = {"username": " alicia ", "current_password": PASSWORD}
    answer = alice.patch("/api/auth/me", json=body)
    assert (answer.status_code, answer.get_json()["username"]) == (200, "alicia")
    assert alice.get("/api/auth/me").get_json()["username"] == "alicia"
    assert login(client, "ALICIA", password=PASSWORD).status_code == 200
    assert login(client, "alice", password=PASSWORD).status_code == 401
    answer = alice.patch("/api/auth/me", json=body | {"username": "BOB"})
    assert (answer.status_code, answer.get_json()["code"]) == (409, "name_taken")
    assert alice.patch("/api/auth/me", json=body | {"username": "Alicia"}).status_code == 200
    assert alice.patch("/api/auth/me", json=body | {"username": "a b"}).status_code == 422


def chunked(server: Server, size: int) -> int:  # noqa: F811
    """The status of a chunked login whose body has that many bytes."""
    body = b'{"username": "nobody", "password": "wrong"}'
    body += b" " * (size - len(body))
    head = b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    head += b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = send(server, head + b"%x\r\n%s\r\n0\r\n\r\n" % (size, body))
    return int(answer.split(b" ", 2)[1])


def test_the_limit_of_a_body_is_the_same_however_it_is_sent(server: Server) -> None:  # noqa: F811
    assert [chunked(server, size) for size in (2047, 2048, 2049)] == [401, 401, 413]


def test_a_body_may_begin_with_a_bom(alice: Person) -> None:
    data = b"\xef\xbb\xbf" + json.dumps({"name": "x", "style_prompt": "y"}).encode()
    answer = alice.post("/api/personas", data=data, content_type="application/json")
    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("date_from=2026-11-25&date_to=2026-11-25", True),
        ("date_to=2026-W48-3", True),
        ("date_to=2026W483", True),
        ("date_to=2026-w48", True),
        ("date_to=2026-W48-2", False),
        ("date_from=2026-W48-4", False),
        ("date_to=2026-11-25t12:00:00z", True),
        ("date_to=2026-11-25t11:59:59z", False),
        ("date_from=2026-11-25t12:00:00%2b00:00", True),
        ("date_to=20261125T120000Z", True),
    ],
)
def test_a_date_may_be_written_in_every_way(
    alice: Person, worker: Worker, database: SqliteDatabase, query: str, found: bool
) -> None:
    made_item(alice, worker)
    with database.transaction() as tx:
        # A Wednesday, of the 48th week.
        tx.execute("UPDATE media_items SET created_at = '2026-11-25T12:00:00.000000Z'")
    answer = alice.get(f"/api/media?{query}")
    assert (answer.status_code, answer.get_json().get("total")) == (200, int(found))


# ----------------------------------------------------------------------------------------- codes


def told(answer: TestResponse) -> tuple[int, str]:
    return answer.status_code, answer.get_json()["code"]


def test_a_401_says_what_to_do(
    app: Flask, alice: Person, client: FlaskClient, make_app: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def me(token: str | None) -> TestResponse:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return client.get("/api/auth/me", headers=headers)

    access, refresh = alice.token["access_token"], alice.token["refresh_token"]
    assert told(me(None)) == (401, "token_missing")
    assert told(me("forged")) == (401, "token_invalid")
    assert told(me(refresh)) == (401, "token_invalid")
    now = time.time()
    # As the memo of verified tokens has it, and as a process does that has not seen the token.
    for reader in (app, make_app()):
        if reader is app:
            monkeypatch.setattr("seidra.auth.tokens.time.time", lambda: now + 1000)
        else:
            monkeypatch.undo()
            monkeypatch.setattr("jwt.api_jwt.datetime", _Later)
        client = reader.test_client()
        answer = me(access)
        assert told(answer) == (401, "token_expired")
        assert "/api/auth/refresh" in answer.get_json()["detail"]
        assert "log in" not in answer.get_json()["detail"]
    monkeypatch.undo()
    client = app.test_client()
    assert alice.post("/api/auth/logout").status_code == 204
    assert told(me(access)) == (401, "session_ended")


class _Later:
    """A clock that is an hour ahead, for the library that decodes tokens."""

    @staticmethod
    def now(tz: Any = None) -> Any:
        from datetime import datetime, timedelta

        return datetime.now(tz) + timedelta(hours=1)


def test_mistakes_have_codes_and_bounds(alice: Person) -> None:
    body = {
        "name": "",
        "tags": ["x"] * 51,
        "description": "x" * 8001,
        "colour": 1,
    }
    problem = alice.post("/api/personas", json=body).get_json()
    assert problem["code"] == "invalid"
    assert problem["codes"] == {
        "name": [{"code": "blank"}],
        "description": [{"code": "length", "min": 0, "max": 8000}],
        "tags": [{"code": "count", "max": 50}],
        "colour": [{"code": "unknown"}],
    }
    assert problem["codes"].keys() == problem["errors"].keys()
    body = {"name": "Luna", "style_prompt": "moon", "generation_params": {"width": 1}}
    problem = alice.post("/api/personas", json=body).get_json()
    (width,) = problem["codes"]["generation_params.width"]
    assert (width["min"], width["max"]) == (64, 2048)


# ---------------------------------------------------------------------------------------- streams


def test_one_account_never_takes_the_last_stream(make_app: Make) -> None:
    app = make_app(streams=4, streams_per_user=8)
    streams = services_of(app).streams
    slots = [streams.open(1) for _ in range(3)]
    with pytest.raises(Exception, match="no room"):
        streams.open(1)
    slots.append(streams.open(2))
    with pytest.raises(Exception, match="no room"):
        streams.open(3)

"""Accounts, sessions and tokens."""

from __future__ import annotations

import base64
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from argon2 import PasswordHasher
from conftest import PASSWORD, Person
from flask import Flask
from flask.testing import FlaskClient
from stored import all_rows, dump
from werkzeug.test import TestResponse

from seidra.auth import accounts
from seidra.config import Settings, jwt_secret
from seidra.database.queries import queries
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.jobs.worker import Worker
from seidra.operations.housekeeping import Housekeeper
from seidra.personas import search
from seidra.values import timestamp_in
from seidra.web.services import services_of

NEW_PASSWORD = "quite another phrase"
CAROL = {"username": "carol", "email": "carol@example.com", "password": PASSWORD}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def login(client: FlaskClient, name: str, password: str = PASSWORD) -> TestResponse:
    return client.post("/api/auth/login", json={"username": name, "password": password})


def refresh(client: FlaskClient, token: dict[str, Any]) -> TestResponse:
    return client.post("/api/auth/refresh", headers=bearer(token["refresh_token"]))


def me(client: FlaskClient, access_token: str) -> int:
    """The status of GET /me with this token."""
    return client.get("/api/auth/me", headers=bearer(access_token)).status_code


def set_rights(database: SqliteDatabase, person: Person, *, active: bool, admin: bool) -> None:
    """What `flask users disable` and `flask users promote` do."""
    with database.transaction() as tx:
        accounts.set_rights(
            tx, queries.users.get_for_update(tx, id=person.id), active=active, admin=admin
        )


# ----------------------------------------------------------------------------------------- register


def test_register_answers_the_token_of_the_contract(client: FlaskClient) -> None:
    answer = client.post("/api/auth/register", json=CAROL)
    token = answer.get_json()
    assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")
    assert list(token) == ["access_token", "refresh_token", "token_type", "expires_in", "user"]
    assert (token["token_type"], token["expires_in"]) == ("bearer", 900)
    user = token["user"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", user.pop("created_at"))
    assert user == {
        "id": 2,
        "username": "carol",
        "email": "carol@example.com",
        "is_active": True,
        "is_admin": True,
        "settings": {
            "theme": "system",
            "language": "en",
            "notifications": {"web": True, "email": False, "slack": False},
            "telemetry_opt_in": False,
            "extra": {},
        },
    }
    assert me(client, token["access_token"]) == 200


def test_only_the_first_person_ever_is_an_administrator(
    app: Flask, admin: Person, alice: Person, database: SqliteDatabase
) -> None:
    assert admin.token["user"]["is_admin"]
    assert not alice.token["user"]["is_admin"]
    set_rights(database, alice, active=True, admin=True)
    assert admin.delete("/api/auth/me", json={"password": PASSWORD}).status_code == 204
    assert not Person(app, "carol").token["user"]["is_admin"]
    # Not even where there is no administrator at all any more: it is recorded, not counted.
    with database.transaction() as tx:
        tx.execute("UPDATE users SET is_admin = FALSE")
    assert not Person(app, "dave").token["user"]["is_admin"]


def test_an_account_of_the_command_line_is_a_first_person_too(
    app: Flask, database: SqliteDatabase
) -> None:
    with database.transaction() as tx:
        assert accounts.create_account(tx, "operator", "operator@example.com", "hash")["is_admin"]
    assert not Person(app, "carol").token["user"]["is_admin"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"username": "alice"}, "username"),
        ({"username": "ALICE"}, "username"),
        ({"email": "alice@example.com"}, "email"),
        ({"email": "Alice@EXAMPLE.com"}, "email"),
        ({"username": "system"}, "username"),
        ({"username": "System"}, "username"),
        ({"email": "System@seidra.local"}, "email"),
    ],
)
def test_taken_names_are_a_conflict(
    alice: Person, client: FlaskClient, change: dict[str, str], field: str
) -> None:
    answer = client.post("/api/auth/register", json=CAROL | change)
    assert answer.status_code == 409
    assert list(answer.get_json()["errors"]) == [field]
    assert client.post("/api/auth/register", json=CAROL).status_code == 201


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", "ab"),
        ("username", "a" * 51),
        ("username", "a b c"),
        ("username", "car\nol"),
        ("username", "çarol"),
        ("username", 12345),
        ("username", None),
        ("email", "carol"),
        ("email", "carol@"),
        ("email", "carol@example.com\nBcc: x@example.com"),
        ("email", f"{'c' * 250}@example.com"),
        ("email", None),
        ("password", "seven77"),
        ("password", "x" * 129),
        ("password", " " * 8),
        ("password", ["a long phrase"]),
        ("password", None),
        ("is_admin", True),
    ],
)
def test_bad_fields_are_named(client: FlaskClient, field: str, value: Any) -> None:
    answer = client.post("/api/auth/register", json=CAROL | {field: value})
    assert answer.status_code == 422
    assert list(answer.get_json()["errors"]) == [field]


def test_every_field_is_needed(client: FlaskClient) -> None:
    answer = client.post("/api/auth/register", json={})
    assert answer.status_code == 422
    assert sorted(answer.get_json()["errors"]) == sorted(CAROL)


@pytest.mark.parametrize("username", ["abc", "a" * 50, "A.b_c-9"])
@pytest.mark.parametrize("password", ["eight888", ("a-long-phrase." * 10)[:128]])
def test_the_limits_themselves_are_allowed(
    client: FlaskClient, username: str, password: str
) -> None:
    body = CAROL | {"username": username, "password": password}
    assert client.post("/api/auth/register", json=body).status_code == 201
    assert login(client, username, password).status_code == 200


@pytest.mark.parametrize("body", [json.dumps(CAROL), "{}", "not JSON", ""])
def test_closed_registration_says_so_before_anything_else(
    make_app: Callable[..., Flask], body: str
) -> None:
    Person(make_app(), "admin")
    client = make_app(registration="closed").test_client()
    answer = client.post("/api/auth/register", data=body, content_type="application/json")
    assert (answer.status_code, answer.get_json()["code"]) == (403, "registration_closed")
    assert "errors" not in answer.get_json()


# -------------------------------------------------------------------------------------------- login


@pytest.fixture
def verifications(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The hashes that Argon2 was asked to verify; it still does."""
    calls: list[str] = []
    real = PasswordHasher.verify

    def counting(self: PasswordHasher, hash: str, password: str) -> bool:
        calls.append(hash)
        return real(self, hash, password)

    monkeypatch.setattr(PasswordHasher, "verify", counting)
    return calls


@pytest.mark.parametrize("name", ["alice", "ALICE", "alice@example.com", "Alice@Example.COM"])
def test_login_by_username_or_email_in_any_case(
    alice: Person, client: FlaskClient, verifications: list[str], name: str
) -> None:
    answer = login(client, name)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert answer.get_json()["user"] == alice.token["user"]
    assert me(client, answer.get_json()["access_token"]) == 200
    assert len(verifications) == 1


def test_login_takes_the_email_under_its_own_name(alice: Person, client: FlaskClient) -> None:
    body = {"email": "alice@example.com", "password": PASSWORD}
    assert client.post("/api/auth/login", json=body).get_json()["user"]["id"] == alice.id


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("alice", "wrong phrase"),
        ("alice", PASSWORD + "."),
        ("alice", PASSWORD.upper()),
        ("alice", "x" * 1000),
        ("nobody", PASSWORD),
        ("nobody@example.com", PASSWORD),
        ("bob", PASSWORD),  # disabled
        ("carol", PASSWORD),  # deleted
        ("deleted:4", PASSWORD),  # what is left of carol
        ("system", ""),
    ],
)
def test_every_failed_login_looks_and_costs_the_same(
    app: Flask,
    alice: Person,
    bob: Person,
    database: SqliteDatabase,
    verifications: list[str],
    name: str,
    password: str,
) -> None:
    set_rights(database, bob, active=False, admin=False)
    carol = Person(app, "carol")
    assert carol.delete("/api/auth/me", json={"password": PASSWORD}).status_code == 204
    verifications.clear()
    answer = login(app.test_client(), name, password or "anything at all")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    body = answer.get_json()
    del body["request_id"]
    assert body == {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "code": "wrong_credentials",
        "detail": "The username or the password is wrong.",
    }
    assert len(verifications) == 1


def test_a_login_has_a_session_of_its_own(alice: Person, client: FlaskClient) -> None:
    other = login(client, "alice").get_json()
    assert alice.post("/api/auth/logout").status_code == 204
    assert alice.get("/api/auth/me").status_code == 401
    assert me(client, other["access_token"]) == 200


# ------------------------------------------------------------------------------------------ refresh


def test_refresh_rotates_the_pair(alice: Person, client: FlaskClient) -> None:
    answer = refresh(client, alice.token)
    fresh = answer.get_json()
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert fresh["refresh_token"] != alice.token["refresh_token"]
    assert fresh["user"] == alice.token["user"]
    assert me(client, fresh["access_token"]) == 200
    assert refresh(client, fresh).status_code == 200


def test_two_tabs_may_refresh_with_one_token(alice: Person, client: FlaskClient) -> None:
    pairs = [refresh(client, alice.token).get_json() for _ in range(2)]
    assert pairs[0]["refresh_token"] != pairs[1]["refresh_token"]
    assert [me(client, pair["access_token"]) for pair in pairs] == [200, 200]
    assert [refresh(client, pair).status_code for pair in pairs] == [200, 200]
    assert alice.get("/api/auth/me").status_code == 200


def test_a_refresh_token_used_again_later_ends_its_session(make_app: Callable[..., Flask]) -> None:
    app = make_app(refresh_grace=0)
    client, alice = app.test_client(), Person(app, "alice")
    other = login(client, "alice").get_json()
    used = refresh(client, alice.token).get_json()
    fresh = refresh(client, used).get_json()
    assert me(client, fresh["access_token"]) == 200
    again = refresh(client, alice.token)
    assert (again.status_code, again.headers["WWW-Authenticate"]) == (
        401,
        'Bearer error="invalid_token"',
    )
    assert alice.get("/api/auth/me").status_code == 401
    assert me(client, fresh["access_token"]) == 401
    assert refresh(client, fresh).status_code == 401
    assert me(client, other["access_token"]) == 200


@pytest.mark.parametrize(("seconds", "status"), [(8, 200), (12, 401)])
def test_the_grace_is_ten_seconds(
    alice: Person, client: FlaskClient, database: SqliteDatabase, seconds: int, status: int
) -> None:
    used = refresh(client, alice.token).get_json()
    fresh = refresh(client, used).get_json()
    with database.transaction() as tx:
        used_at = timestamp_in(-seconds)
        tx.execute("UPDATE refresh_tokens SET used_at = ? WHERE used_at IS NOT NULL", (used_at,))
    assert refresh(client, alice.token).status_code == status
    assert me(client, fresh["access_token"]) == status
    assert refresh(client, fresh).status_code == status


def test_used_refresh_tokens_do_not_pile_up(make_app: Callable[..., Flask]) -> None:
    app = make_app(refresh_grace=0)
    alice, client = Person(app, "alice"), app.test_client()
    # Another session's tokens are not this one's to forget.
    other = login(client, "alice").get_json()
    refresh(client, other)
    token = alice.token
    for _ in range(5):
        token = refresh(client, token).get_json()
    left = services_of(app).database.connection.execute(
        "SELECT session_id, used_at IS NOT NULL FROM refresh_tokens"
    )
    # Of each session the last one is left, and the one before, whose answer may have been lost.
    kept = sorted((used, n) for (_, used), n in Counter(map(tuple, left)).items())
    assert kept == [(0, 1)] * 2 + [(1, 1)] * 2
    assert refresh(client, token).status_code == 200


def test_refresh_tokens_are_stored_hashed(
    alice: Person, client: FlaskClient, database: SqliteDatabase
) -> None:
    fresh = refresh(client, alice.token).get_json()
    stored = dump(database.connection)
    for token in (alice.token, fresh):
        assert token["refresh_token"] not in stored
        assert token["access_token"] not in stored


def test_a_session_ends_however_often_it_is_refreshed(make_app: Callable[..., Flask]) -> None:
    app = make_app(session_seconds=100, access_token_seconds=900)
    alice = Person(app, "alice")
    assert alice.token["expires_in"] <= 100
    fresh = refresh(app.test_client(), alice.token).get_json()
    for name in ("access_token", "refresh_token"):
        expires = jwt.decode(fresh[name], options={"verify_signature": False})["exp"]
        assert expires <= time.time() + 101


# --------------------------------------------------------------------------------------- logout, me


def test_logout_ends_the_session(alice: Person, client: FlaskClient) -> None:
    fresh = refresh(client, alice.token).get_json()
    assert alice.post("/api/auth/logout").status_code == 204
    for token in (alice.token, fresh):
        assert me(client, token["access_token"]) == 401
        assert refresh(client, token).status_code == 401


def test_me(alice: Person) -> None:
    answer = alice.get("/api/auth/me")
    me = answer.get_json()
    assert me.keys() - alice.token["user"].keys() == {"limits", "usage"}
    assert me | alice.token["user"] == me
    assert answer.headers["Cache-Control"] == "private, no-cache"


def test_a_new_email(alice: Person, bob: Person, client: FlaskClient) -> None:
    body = {"email": "new@example.com", "current_password": PASSWORD}
    answer = alice.patch("/api/auth/me", json=body)
    assert (answer.status_code, answer.get_json()["email"]) == (200, "new@example.com")
    assert login(client, "NEW@example.com").status_code == 200
    assert login(client, "alice@example.com").status_code == 401
    assert bob.patch("/api/auth/me", json=body).status_code == 409
    assert bob.get("/api/auth/me").get_json()["email"] == "bob@example.com"


def test_a_new_password_ends_all_other_sessions(
    alice: Person, bob: Person, client: FlaskClient
) -> None:
    other = login(client, "alice").get_json()
    body = {"password": NEW_PASSWORD, "current_password": PASSWORD}
    assert alice.patch("/api/auth/me", json=body).status_code == 200
    assert login(client, "alice").status_code == 401
    assert login(client, "alice", NEW_PASSWORD).status_code == 200
    assert me(client, other["access_token"]) == 401
    assert refresh(client, other).status_code == 401
    assert alice.get("/api/auth/me").status_code == 200
    assert refresh(client, alice.token).status_code == 200
    assert bob.get("/api/auth/me").status_code == 200


@pytest.mark.parametrize("change", [{"email": "new@example.com"}, {"password": NEW_PASSWORD}])
@pytest.mark.parametrize(
    ("given", "status"), [({}, 422), ({"current_password": "wrong phrase"}, 403)]
)
def test_the_present_password_is_needed_and_checked(
    alice: Person, client: FlaskClient, change: dict[str, str], given: dict[str, str], status: int
) -> None:
    answer = alice.patch("/api/auth/me", json=change | given)
    assert answer.status_code == status
    assert list(answer.get_json()["errors"]) == ["current_password"]
    assert login(client, "alice@example.com").status_code == 200


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({}, "body"),
        ({"email": "none"}, "email"),
        ({"email": None}, "email"),
        ({"password": "short"}, "password"),
        ({"password": None}, "password"),
        ({"colour": "red", "email": "new@example.com"}, "colour"),
    ],
)
def test_bad_changes_of_the_account(alice: Person, change: dict[str, Any], field: str) -> None:
    answer = alice.patch("/api/auth/me", json=change | {"current_password": PASSWORD})
    assert answer.status_code == 422
    assert list(answer.get_json()["errors"]) == [field]


def test_what_is_read_can_be_edited_and_sent_back(alice: Person) -> None:
    read = alice.get("/api/auth/me").get_json()
    account = alice.token["user"]
    body = read | {"email": "new@example.com", "is_admin": True, "current_password": PASSWORD}
    assert alice.patch("/api/auth/me", json=body).get_json() == account | {
        "email": "new@example.com"
    }


# ----------------------------------------------------------------------------------------- deletion

DELETE = [("DELETE", "/api/auth/me"), ("POST", "/api/auth/me/delete")]


@pytest.mark.parametrize(("method", "path"), DELETE)
def test_deletion_needs_the_password(alice: Person, method: str, path: str) -> None:
    answer = alice.open(method, path, json={"password": "wrong phrase"})
    assert (answer.status_code, list(answer.get_json()["errors"])) == (403, ["password"])
    answer = alice.open(method, path, json={})
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["password"])
    assert alice.get("/api/auth/me").status_code == 200


@pytest.mark.parametrize(("method", "path"), DELETE)
def test_deletion_disables_at_once_and_frees_the_names(
    app: Flask, alice: Person, client: FlaskClient, method: str, path: str
) -> None:
    other = login(client, "alice").get_json()
    assert alice.open(method, path, json={"password": PASSWORD}).status_code == 204
    assert alice.get("/api/auth/me").status_code == 401
    assert me(client, other["access_token"]) == 401
    assert refresh(client, other).status_code == 401
    assert login(client, "alice").status_code == 401
    again = Person(app, "alice")
    assert again.id > alice.id
    assert login(client, "alice").get_json()["user"]["id"] == again.id


def keep_house(app: Flask) -> None:
    """What the worker does when it has no job."""
    parts = services_of(app)
    keeper = Housekeeper(parts.database, parts.files, parts.settings)
    # The account's rows go in the first round, and their files in the next.
    for _ in range(2):
        keeper.run(idle=True)


def everything(database: SqliteDatabase, settings: Settings) -> dict[str, list[Any]]:
    """Every row of every table, and every file. The index of search is compared with its table."""
    with database.transaction() as tx:
        search.text_index(tx).check_index(tx)
    # They are counted apart on PostgreSQL, until they are brought together.
    database.fold_counters()
    rows = all_rows(database.connection)
    folders: list[Path] = [settings.media_dir, settings.thumbnail_dir, settings.tmp_dir]
    return rows | {
        "files": sorted(
            str(path) for folder in folders for path in folder.rglob("*") if path.is_file()
        )
    }


def furnish(person: Person, worker: Worker) -> None:
    """Give a person rows in every table that may name them."""
    person.allow_nsfw()
    persona = person.persona(
        tags=["sea"], is_favorite=True, generation_params={"width": 64, "height": 64}
    )
    person.persona(name="Sol", is_nsfw=True)
    changed = person.patch(f"/api/personas/{persona['id']}", json={"name": "Luna again"})
    assert changed.status_code == 200
    person.preview(persona["id"])
    assert worker.work_one()
    media = person.get("/api/media").get_json()["items"][0]
    assert person.put(f"/api/media/{media['id']}/tags", json={"tags": ["keep"]}).status_code == 200
    assert (
        person.put(
            f"/api/personas/{persona['id']}/avatar", json={"media_id": media["id"]}
        ).status_code
        == 200
    )
    person.preview(persona["id"])
    nova = {"name": "Nova", "style_prompt": "stars"}
    made = person.post("/api/personas", json=nova, headers={"Idempotency-Key": "nova"})
    assert made.status_code == 201
    key = {"name": "script", "scope": "read", "current_password": PASSWORD}
    assert person.post("/api/auth/keys", json=key).status_code == 201
    text = "desert\nSteps: 25, Sampler: Euler a, CFG scale: 7"
    plan = person.post("/api/imports", json={"text": text}).get_json()
    assert person.post(f"/api/imports/{plan['id']}/apply").status_code == 202
    with services_of(person.client.application).database.transaction() as tx:
        accounts.make_password_link(tx, person.id)
    assert refresh(person.client, person.token).status_code == 200


def test_deletion_leaves_nothing_of_the_user_and_all_of_the_others(
    app: Flask, settings: Settings, bob: Person, database: SqliteDatabase, worker: Worker
) -> None:
    furnish(bob, worker)
    assert worker.work_one()
    before = everything(database, settings)
    carol = Person(app, "carol")
    furnish(carol, worker)
    grown = everything(database, settings)
    same = {name for name in before if len(grown[name]) == len(before[name])}
    empty = {
        "platform_state",
        "invitations",
        "hand_overs",
        "file_deletions",
        "job_frames",
        "workers",
        "engines",
        "engine_orphans",
        "media_loras",
        "trash",
        "exports",
        "import_pictures",
        "account_groups",
        "collections",
        "collection_media",
        "share_links",
        "shared_media_counts",
        "collection_counts",
        "shared_persona_counts",
    }
    assert same == empty | {name for name in before if "yoyo" in name}
    assert carol.delete("/api/auth/me", json={"password": PASSWORD}).status_code == 204
    keep_house(app)
    assert everything(database, settings) == before


def test_an_id_never_comes_back(app: Flask, admin: Person) -> None:
    alice = Person(app, "alice")
    assert alice.delete("/api/auth/me", json={"password": PASSWORD}).status_code == 204
    keep_house(app)
    assert Person(app, "alice").id > alice.id


def test_the_last_active_administrator_stays(
    admin: Person, alice: Person, database: SqliteDatabase
) -> None:
    assert admin.delete("/api/auth/me", json={"password": PASSWORD}).status_code == 409
    set_rights(database, alice, active=True, admin=True)
    set_rights(database, alice, active=False, admin=True)
    assert admin.post("/api/auth/me/delete", json={"password": PASSWORD}).status_code == 409
    assert admin.get("/api/auth/me").status_code == 200
    set_rights(database, alice, active=True, admin=True)
    assert admin.delete("/api/auth/me", json={"password": PASSWORD}).status_code == 204


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        (
            "PATCH",
            "/api/auth/me",
            {"password": NEW_PASSWORD, "current_password": "the operator's word"},
        ),
        (
            "PATCH",
            "/api/auth/me",
            {"email": "new@example.com", "current_password": "the operator's word"},
        ),
        ("DELETE", "/api/auth/me", {"password": "the operator's word"}),
        ("POST", "/api/auth/me/delete", {"password": "the operator's word"}),
    ],
)
def test_the_system_account_is_the_operators(
    make_app: Callable[..., Flask], method: str, path: str, body: dict[str, str]
) -> None:
    client = make_app(default_user_password="the operator's word").test_client()
    token = login(client, "system", "the operator's word").get_json()
    assert (token["user"]["id"], token["user"]["is_admin"]) == (1, False)
    answer = client.open(path, method=method, json=body, headers=bearer(token["access_token"]))
    assert answer.status_code == 403
    assert login(client, "system", "the operator's word").status_code == 200


# ------------------------------------------------------------------------------------------- tokens


def test_a_disabled_users_tokens_die_at_once(
    alice: Person, client: FlaskClient, database: SqliteDatabase
) -> None:
    assert alice.get("/api/auth/me").status_code == 200
    set_rights(database, alice, active=False, admin=False)
    assert alice.get("/api/auth/me").status_code == 401
    assert refresh(client, alice.token).status_code == 401
    set_rights(database, alice, active=True, admin=False)
    assert alice.get("/api/auth/me").status_code == 401
    assert login(client, "alice").status_code == 200


def test_the_memo_never_outlives_a_revocation(
    alice: Person, client: FlaskClient, database: SqliteDatabase
) -> None:
    """A token that verified a moment ago is refused when its session's row, its user or its time is
    gone."""
    other = login(client, "alice").get_json()
    assert [me(client, token["access_token"]) for token in (alice.token, other)] == [200, 200]
    session = jwt.decode(other["access_token"], options={"verify_signature": False})["sid"]
    with database.transaction() as tx:
        queries.users.session_end(tx, session_id=session)
    assert [me(client, token["access_token"]) for token in (alice.token, other)] == [200, 401]
    with database.transaction() as tx:
        tx.execute("UPDATE users SET is_active = FALSE WHERE id = ?", (alice.id,))
    assert me(client, alice.token["access_token"]) == 401
    assert refresh(client, alice.token).status_code == 401


def test_a_token_expires_while_it_is_remembered(
    alice: Person, client: FlaskClient, settings: Settings
) -> None:
    claims = jwt.decode(alice.token["access_token"], options={"verify_signature": False})
    now = time.time()
    brief = jwt.encode(claims | {"exp": now + 60}, jwt_secret(settings), "HS256")
    assert me(client, brief) == 200
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: now + 61)
        assert me(client, brief) == 401


def _encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def _bad_tokens(good: str, refresh_token: str, secret: str) -> dict[str, str]:
    claims = jwt.decode(good, options={"verify_signature": False})
    header, payload, signature = good.split(".")
    return {
        "forged": f"{header}.{_encoded(claims | {'sub': '1'})}.{signature}",
        "expired": jwt.encode(claims | {"exp": int(time.time()) - 1}, secret, "HS256"),
        "not yet": jwt.encode(claims | {"nbf": int(time.time()) + 600}, secret, "HS256"),
        "wrong type": refresh_token,
        "alg none": f"{_encoded({'alg': 'none', 'typ': 'JWT'})}.{payload}.",
        "alg None": f"{_encoded({'alg': 'None', 'typ': 'JWT'})}.{payload}.{signature}",
        "other algorithm": jwt.encode(claims, secret, "HS512"),
        "other secret": jwt.encode(claims, "another secret of enough characters", "HS256"),
        "other session": jwt.encode(claims | {"sid": "somebody"}, secret, "HS256"),
        "other user": jwt.encode(claims | {"sub": "1"}, secret, "HS256"),
        "odd user": jwt.encode(claims | {"sub": "me"}, secret, "HS256"),
        "no session": jwt.encode({k: v for k, v in claims.items() if k != "sid"}, secret, "HS256"),
        "no expiry": jwt.encode({k: v for k, v in claims.items() if k != "exp"}, secret, "HS256"),
        "no user": jwt.encode({k: v for k, v in claims.items() if k != "sub"}, secret, "HS256"),
        "cut": good[:-5],
        "longer": good + "A" * 8,
        "garbage": "garbage",
        "dots": "..",
        "many dots": "a.b.c.d.e",
        "non-ASCII": "clé.été.ñ",
        "long": "A" * 10_000,
        "two words": f"{good} {good}",
    }


def test_bad_tokens_are_refused(alice: Person, client: FlaskClient, settings: Settings) -> None:
    bad = _bad_tokens(
        alice.token["access_token"], alice.token["refresh_token"], jwt_secret(settings)
    )
    for name, token in bad.items():
        for method, path in (
            ("GET", "/api/auth/me"),
            ("POST", "/api/auth/logout"),
            ("POST", "/api/auth/refresh"),
        ):
            if (name, path) == ("wrong type", "/api/auth/refresh"):
                token = alice.token["access_token"]
            answer = client.open(path, method=method, headers=bearer(token))
            assert answer.status_code == 401, (name, path)
            assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"', (
                name,
                path,
            )
    assert alice.get("/api/auth/me").status_code == 200


@pytest.mark.parametrize(
    "value", [None, "", "Bearer", "Bearer ", "Bearer   ", "Basic YWxpY2U6eA==", "Token {}", "{}"]
)
def test_without_a_bearer_token_there_is_only_the_challenge(
    alice: Person, client: FlaskClient, value: str | None
) -> None:
    given = {} if value is None else {"Authorization": value.format(alice.token["access_token"])}
    answer = client.get("/api/auth/me", headers=given)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


def test_the_scheme_is_read_without_case(alice: Person, client: FlaskClient) -> None:
    headers = {"Authorization": f"bEARER {alice.token['access_token']}"}
    assert client.get("/api/auth/me", headers=headers).status_code == 200


def test_a_token_of_another_instance_is_worthless(
    alice: Person, make_app: Callable[..., Flask], settings: Settings
) -> None:
    other = make_app(jwt_secret="another secret of enough characters").test_client()
    assert me(other, alice.token["access_token"]) == 401

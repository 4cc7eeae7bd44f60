"""/api/admin: accounts, links to new passwords, and the instance; and that nothing of others is
told."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from conftest import PASSWORD, Person, environment
from flask import Flask
from stored import dump
from test_access import alive, key_of, login
from test_walks import ROUTES, fill, furnish
from werkzeug.test import TestResponse

from seidra.config import Settings
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.jobs.worker import Worker
from seidra.values import timestamp_in
from seidra.web.services import services_of


def text_of(answer: TestResponse) -> str:
    """What an answer tells, also in a ZIP."""
    if answer.mimetype != "application/zip":
        return answer.text
    archive = zipfile.ZipFile(io.BytesIO(answer.data))
    return "".join(archive.read(name).decode("utf-8", "replace") for name in archive.namelist())


def account(admin: Person, user_id: int) -> dict[str, Any]:
    (found,) = (
        each for each in admin.get("/api/admin/users").get_json()["users"] if each["id"] == user_id
    )
    return found


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.get_json()["code"]


# ----------------------------------------------------------------------------------------- accounts


def test_accounts_are_listed_with_their_figures(
    admin: Person, alice: Person, worker: Worker
) -> None:
    furnish(alice, worker)
    answer = admin.get("/api/admin/users?limit=2&offset=1")
    assert answer.headers["X-Total-Count"] == "3"
    assert answer.get_json()["total"] == 3
    assert [user["username"] for user in answer.get_json()["users"]] == ["admin", "alice"]
    told = answer.get_json()["users"][1]
    assert (told["personas"], told["jobs"], told["media"]) == (1, 1, 1)
    assert told["media_bytes"] > 100
    assert told["last_seen_at"] >= told["created_at"]
    assert (told["is_active"], told["is_admin"], told["nsfw_allowed"]) == (True, False, True)


def test_an_account_is_made_where_registration_is_closed(make_app: Callable[..., Flask]) -> None:
    admin = Person(make_app(registration="closed"), "admin")
    body = {"username": "bob", "email": "bob@example.com", "password": PASSWORD}
    answer = admin.post("/api/admin/users", json=body | {"nsfw_allowed": False})
    made = answer.get_json()
    assert (answer.status_code, made["nsfw_allowed"], made["is_admin"]) == (201, False, False)
    assert answer.headers["Location"] == f"/api/admin/users/{made['id']}"
    logged_in = admin.client.post(
        "/api/auth/login", json={k: body[k] for k in body if k != "email"}
    )
    assert logged_in.status_code == 200
    taken = body | {"email": "other@example.com"}
    assert code(admin.post("/api/admin/users", json=taken)) == (409, "name_taken")
    assert admin.get("/api/admin/users").headers["X-Total-Count"] == "3"


def test_rights_are_given_and_taken(admin: Person, alice: Person) -> None:
    key, path = key_of(alice)["key"], f"/api/admin/users/{alice.id}"
    assert admin.patch(path, json={"is_admin": True}).get_json()["is_admin"]
    assert alice.get("/api/admin/users").status_code == 200
    assert not admin.patch(path, json={"is_admin": False}).get_json()["is_admin"]
    assert code(alice.get("/api/admin/users")) == (403, "admin_required")
    assert not admin.patch(path, json={"is_active": False}).get_json()["is_active"]
    assert alice.get("/api/auth/me").status_code == 401
    assert not alive(alice.client, key)
    assert admin.patch(path, json={"is_active": True}).get_json()["is_active"]
    # Whoever comes back logs in, and makes new keys.
    assert alice.get("/api/auth/me").status_code == 401
    assert not alive(alice.client, key)
    assert alive(alice.client, login(alice)["access_token"])
    assert admin.patch(path, json={}).status_code == 422
    assert admin.patch("/api/admin/users/999", json={"is_active": True}).status_code == 404


@pytest.mark.parametrize("change", [{"is_admin": False}, {"is_active": False}, None])
def test_the_last_active_administrator_is_kept(
    admin: Person, alice: Person, change: dict[str, Any] | None
) -> None:
    def take(user_id: int) -> Any:
        path = f"/api/admin/users/{user_id}"
        return admin.delete(path) if change is None else admin.patch(path, json=change)

    assert code(take(admin.id)) == (409, "last_admin")
    assert account(admin, admin.id)["is_admin"]
    admin.patch(f"/api/admin/users/{alice.id}", json={"is_admin": True})
    assert take(alice.id).status_code in (200, 204)
    assert code(take(admin.id)) == (409, "last_admin")


def test_the_system_account_is_the_operators(admin: Person) -> None:
    path = "/api/admin/users/1"
    assert code(admin.patch(path, json={"is_admin": True})) == (409, "system_account")
    assert code(admin.patch(path, json={"is_active": True})) == (409, "no_password")
    assert code(admin.delete(path)) == (403, "system_account")
    assert code(admin.post(f"{path}/password-link")) == (403, "system_account")


def test_a_deleted_account_is_gone_at_once(admin: Person, alice: Person) -> None:
    key = key_of(alice)["key"]
    assert admin.delete(f"/api/admin/users/{alice.id}").status_code == 204
    assert alice.get("/api/auth/me").status_code == 401
    assert not alive(alice.client, key)
    assert admin.delete(f"/api/admin/users/{alice.id}").status_code == 404
    assert Person(admin.client.application, "alice").id != alice.id


# ----------------------------------------------------------------------------------- password links


def link_for(admin: Person, user_id: int) -> str:
    answer = admin.post(f"/api/admin/users/{user_id}/password-link")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")
    url: str = answer.get_json()["url"]
    page, _, token = url.partition("#")
    assert page == "/password"
    return token


def redeem(person: Person, token: str, password: str = "another phrase") -> Any:
    body = {"token": token, "password": password}
    return person.client.post("/api/auth/password", json=body)


def test_a_link_sets_a_new_password_once_and_ends_everything(
    admin: Person, alice: Person, database: SqliteDatabase
) -> None:
    key, token = key_of(alice)["key"], link_for(admin, alice.id)
    assert token not in dump(database.connection)
    common = redeem(alice, token, "password")
    assert (common.status_code, list(common.get_json()["errors"])) == (422, ["password"])
    assert alice.get("/api/auth/me").status_code == 200
    assert redeem(alice, token).status_code == 204
    assert alice.get("/api/auth/me").status_code == 401
    assert not alive(alice.client, key)
    body = {"username": "alice", "password": "another phrase"}
    assert alice.client.post("/api/auth/login", json=body).status_code == 200
    assert code(redeem(alice, token)) == (403, "link_invalid")
    assert admin.get("/api/auth/me").status_code == 200


def replace(admin: Person, alice: Person, database: SqliteDatabase) -> None:
    link_for(admin, alice.id)


def run_out(admin: Person, alice: Person, database: SqliteDatabase) -> None:
    with database.transaction() as tx:
        (expires,) = tx.execute("SELECT expires_at FROM password_links").fetchone()
        assert timestamp_in(3590) < expires <= timestamp_in(3600)
        tx.execute("UPDATE password_links SET expires_at = ?", (timestamp_in(-1),))


def disable(admin: Person, alice: Person, database: SqliteDatabase) -> None:
    admin.patch(f"/api/admin/users/{alice.id}", json={"is_active": False})
    admin.patch(f"/api/admin/users/{alice.id}", json={"is_active": True})


def delete(admin: Person, alice: Person, database: SqliteDatabase) -> None:
    admin.delete(f"/api/admin/users/{alice.id}")


def change_password(admin: Person, alice: Person, database: SqliteDatabase) -> None:
    change = {"password": "a third phrase", "current_password": PASSWORD}
    assert alice.patch("/api/auth/me", json=change).status_code == 200


@pytest.mark.parametrize("end", [replace, run_out, disable, delete, change_password])
def test_a_link_that_is_over(
    admin: Person, alice: Person, database: SqliteDatabase, end: Callable[..., None]
) -> None:
    token = link_for(admin, alice.id)
    end(admin, alice, database)
    for bad in (token, "", token[:-1], "é"):
        assert redeem(alice, bad).status_code in (403, 422), bad
    assert code(redeem(alice, token)) == (403, "link_invalid")


def test_an_account_without_a_password_begins_with_a_link(admin: Person) -> None:
    made = admin.post(
        "/api/admin/users", json={"username": "bob", "email": "bob@example.com"}
    ).get_json()
    for password in ("", "x", PASSWORD):
        body = {"username": "bob", "password": password}
        assert admin.client.post("/api/auth/login", json=body).status_code in (401, 422)
    assert redeem(admin, link_for(admin, made["id"]), PASSWORD).status_code == 204
    body = {"username": "bob", "password": PASSWORD}
    assert admin.client.post("/api/auth/login", json=body).status_code == 200


# ---------------------------------------------------------------------------------------- instance


def test_the_instance_is_shown_without_its_secrets(make_app: Callable[..., Flask]) -> None:
    secrets = {
        "jwt_secret": "a signing secret of more than 32 bytes",
        "default_user_password": "the systems own phrase",
        "engine_url": "http://127.0.0.1:1/way-in",
    }
    app = make_app(**secrets, engine="comfyui", instance_name="Studio")
    admin = Person(app, "admin")
    for path in ("/api/admin/instance", "/api/admin/instance?thorough=true"):
        answer = admin.get(path)
        told = answer.get_json()
        assert not [secret for secret in (*secrets.values(), "way-in") if secret in answer.text]
        assert told["settings"]["SEIDRA_JWT_SECRET"] == "(set)"
        assert told["settings"]["SEIDRA_INSTANCE_NAME"] == "Studio"
        names = {check["name"] for check in told["checks"]}
        assert {"version", "settings", "secrets", "disk", "schema", "jobs"} <= names
        assert ("integrity" in names) == ("thorough" in path)
        assert told["disk"]["free_bytes"] > 0
        assert told["queue"]["jobs"]["queued"] == 0


def test_every_secret_setting_is_hidden(settings: Settings) -> None:
    secret = {"SEIDRA_METRICS": "a-token-of-metrics", "SEIDRA_RATE_STORAGE": "redis://:word@h"}
    shown = Settings.load({**environment(settings.data_dir), **secret}).shown_values()
    assert [shown[name] for name in secret] == ["(set)", "(set)"]
    assert settings.shown_values()["SEIDRA_METRICS"] == "off"


def test_nothing_of_what_others_made_is_told(admin: Person, alice: Person, worker: Worker) -> None:
    """What an administrator can read, walked: no persona, no picture, no prompt."""
    things = furnish(alice, worker)
    persona = alice.persona(
        name="Whispering Willow", style_prompt="a clearing of birches", tags=["heartwood"]
    )
    job = alice.preview(persona["id"])
    assert alice.put("/api/settings", json={"extra": {"diary": "private words"}}).status_code == 200
    services_of(admin.client.application).streams.stopping = lambda: True
    hidden = ["Luna", "moonlit ocean", "Whispering Willow", "birches", "heartwood"]
    hidden += [things["job"], things["media"], persona["uid"], job, "private words"]
    read = 0
    for method, rule in ROUTES:
        if method == "GET" and "<id:" not in rule and "<uuid:" not in rule:
            answer = admin.get(fill(rule, things), buffered=True)
            assert answer.status_code == 200, rule
            told = text_of(answer)
            assert not [word for word in hidden if word in told], rule
            read += 1
    assert read > 12
    changed = admin.patch(f"/api/admin/users/{alice.id}", json={"nsfw_allowed": False})
    assert not [word for word in hidden if word in changed.text]
    # The account's own name is what is told of it.
    assert "alice" in changed.text

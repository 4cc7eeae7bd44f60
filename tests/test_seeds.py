"""The defaults of a fresh instance: as promised, once, and never over a person's change."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import PASSWORD, Person, environment
from flask import Flask
from stored import open_rows, records, rows

from seidra import create_app
from seidra.config import Settings
from seidra.database import init_database, seed_default_nsfw_settings, seed_default_user
from seidra.errors import StartError
from seidra.web.services import services_of

ROOT = Path(__file__).resolve().parent.parent
FIRST, SECOND = "the operator's phrase", "another phrase of his"
VARIABLE = "SEIDRA_DEFAULT_USER_PASSWORD"

Start = Callable[..., Flask]


def system(settings: Settings) -> dict[str, Any]:
    """The account `system` as it is stored."""
    (row,) = records(settings, "SELECT * FROM users WHERE id = 1")
    return row


def login(app: Flask, username: str, password: str) -> int:
    return (
        app.test_client()
        .post("/api/auth/login", json={"username": username, "password": password})
        .status_code
    )


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the same instance again: `start(SEIDRA_X="...")`."""
    made: list[Flask] = []

    def begin(**more: str) -> Flask:
        made.append(create_app(Settings.load(environment(tmp_path / "instance", **more))))
        return made[-1]

    yield begin
    for app in made:
        services_of(app).database.close()


def settings_of(app: Flask) -> Settings:
    return services_of(app).settings


# ------------------------------------------------------------------------------------- the defaults


def test_the_account_system(settings: Settings) -> None:
    row = system(settings)
    assert {
        name: row[name]
        for name in ("id", "username", "email", "is_active", "is_admin", "password_hash")
    } == {
        "id": 1,
        "username": "system",
        "email": "system@seidra.local",
        "is_active": 0,
        "is_admin": 0,
        "password_hash": None,
    }
    assert json.loads(row["settings"]) == {
        "theme": "ultimate",
        "language": "en",
        "notifications": {"web": True, "email": False, "slack": False},
        "telemetry_opt_in": False,
        "extra": {},
    }
    assert len(rows(settings, "SELECT id FROM users")) == 1


def test_the_nsfw_default(settings: Settings) -> None:
    (row,) = records(settings, "SELECT * FROM nsfw_settings")
    assert (row["user_id"], row["enabled"], row["age_verified"], row["intensity"]) == (
        None,
        1,
        1,
        "medium",
    )
    assert json.loads(row["categories"]) == {
        "suggestive": True,
        "explicit": False,
        "violence": False,
    }
    assert json.loads(row["overrides"]) == {}


def test_the_operators_word_about_age_is_not_copied_to_a_user(admin: Person) -> None:
    assert admin.get("/api/settings/nsfw").get_json()["age_verified"] is False


def test_the_first_person_is_user_two_and_the_administrator(admin: Person) -> None:
    assert admin.id == 2
    assert admin.token["user"]["is_admin"] is True


def test_seeding_again_changes_nothing(settings: Settings) -> None:
    def everything() -> list[Any]:
        return [
            rows(settings, f"SELECT * FROM {table}")
            for table in ("users", "nsfw_settings", "platform_state")
        ]

    before = everything()
    assert init_database(settings) == []
    seed_default_user(settings)
    seed_default_nsfw_settings(settings)
    assert everything() == before


def test_what_is_missing_is_seeded_again(settings: Settings) -> None:
    with open_rows(settings) as connection:
        connection.execute("DELETE FROM nsfw_settings")
        connection.execute("DELETE FROM users")
    seed_default_user(settings)
    assert system(settings)["username"] == "system"
    assert rows(settings, "SELECT * FROM nsfw_settings") == []
    seed_default_nsfw_settings(settings)
    assert len(rows(settings, "SELECT * FROM nsfw_settings")) == 1


@pytest.mark.parametrize("seed", [seed_default_user, seed_default_nsfw_settings])
def test_seeding_needs_a_migrated_database(
    tmp_path: Path, seed: Callable[[Settings], None]
) -> None:
    with pytest.raises(StartError, match="is not up to date: run `flask init` first"):
        seed(Settings.load(environment(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_a_persons_changes_outlive_a_start(start: Start) -> None:
    app = start()
    admin = Person(app, "admin")
    changed = {"enabled": False, "intensity": "low", "categories": {"suggestive": False}}
    assert admin.patch("/api/settings/nsfw/default", json=changed).status_code == 200
    assert admin.patch("/api/settings/nsfw", json={"intensity": "low"}).status_code == 200
    assert admin.put("/api/settings", json={"theme": "dark", "language": "de"}).status_code == 200
    paths = ("/api/settings/nsfw/default", "/api/settings/nsfw", "/api/settings")
    before = [admin.get(path).get_json() for path in paths]
    assert (before[0]["enabled"], before[0]["intensity"]) == (False, "low")
    assert (before[2]["theme"], before[2]["language"]) == ("dark", "de")

    admin.client = start().test_client()
    assert [admin.get(path).get_json() for path in paths] == before


def test_the_system_accounts_settings_outlive_a_start(start: Start) -> None:
    settings = settings_of(start())
    with open_rows(settings) as connection:
        connection.execute(
            "UPDATE users SET settings = ?, email = 'me@example.com' WHERE id = 1",
            ('{"theme": "dark"}',),
        )
    start()
    assert system(settings)["settings"] == '{"theme": "dark"}'
    assert system(settings)["email"] == "me@example.com"


# ------------------------------------------------------------------------------------- its password


def test_without_a_password_nobody_logs_in_as_system(start: Start) -> None:
    app = start()
    assert [login(app, "system", password) for password in ("x", "system", "None", PASSWORD)] == [
        401
    ] * 4


def test_the_password_comes_goes_and_changes_with_the_setting(start: Start) -> None:
    app = start(**{VARIABLE: FIRST})
    settings = settings_of(app)
    first = system(settings)
    assert (first["is_active"], first["is_admin"]) == (1, 0)
    assert FIRST not in first["password_hash"]
    assert (login(app, "system", FIRST), login(app, "system@seidra.local", FIRST)) == (200, 200)
    assert login(app, "system", SECOND) == 401

    # Unchanged: not hashed again, and nobody is logged out.
    sessions = rows(settings, "SELECT id FROM sessions")
    assert len(sessions) == 2
    app = start(**{VARIABLE: FIRST})
    assert system(settings) == first
    assert rows(settings, "SELECT id FROM sessions") == sessions

    app = start(**{VARIABLE: SECOND})
    assert system(settings)["password_hash"] != first["password_hash"]
    assert (login(app, "system", FIRST), login(app, "system", SECOND)) == (401, 200)

    app = start()
    gone = system(settings)
    assert (gone["is_active"], gone["password_hash"]) == (0, None)
    assert rows(settings, "SELECT id FROM sessions") == []
    assert login(app, "system", SECOND) == 401

    app = start(**{VARIABLE: SECOND})
    assert login(app, "system", SECOND) == 200


@pytest.mark.parametrize("then", [{VARIABLE: SECOND}, {}], ids=["changed", "unset"])
def test_a_password_that_changes_ends_systems_sessions_and_nobody_elses(
    start: Start, then: dict[str, str]
) -> None:
    app = start(**{VARIABLE: FIRST})
    alice = Person(app, "alice")
    answer = app.test_client().post(
        "/api/auth/login", json={"username": "system", "password": FIRST}
    )
    headers = {"Authorization": f"Bearer {answer.get_json()['access_token']}"}
    assert app.test_client().get("/api/auth/me", headers=headers).status_code == 200
    client = start(**then).test_client()
    assert client.get("/api/auth/me", headers=headers).status_code == 401
    assert client.get("/api/auth/me", headers=alice.headers).status_code == 200


def test_another_cost_does_not_hash_an_unchanged_password_again(start: Start) -> None:
    settings = settings_of(start(**{VARIABLE: FIRST}))
    before = system(settings)
    start(**{VARIABLE: FIRST, "SEIDRA_ARGON2_TIME_COST": "2"})
    assert system(settings) == before


def test_a_disabled_system_account_stays_disabled(start: Start) -> None:
    settings = settings_of(start(**{VARIABLE: FIRST}))
    with open_rows(settings) as connection:
        connection.execute("UPDATE users SET is_active = FALSE WHERE id = 1")
    app = start(**{VARIABLE: FIRST})
    assert login(app, "system", FIRST) == 401
    assert system(settings)["is_active"] == 0


@pytest.mark.parametrize("method", ["patch", "delete"])
def test_the_api_does_not_change_the_system_account(start: Start, method: str) -> None:
    app = start(**{VARIABLE: FIRST})
    client = app.test_client()
    answer = client.post("/api/auth/login", json={"username": "system", "password": FIRST})
    headers = {"Authorization": f"Bearer {answer.get_json()['access_token']}"}
    body = {
        "patch": {"password": SECOND, "current_password": FIRST},
        "delete": {"password": FIRST},
    }[method]
    before = system(settings_of(app))
    assert (
        client.open("/api/auth/me", method=method.upper(), json=body, headers=headers).status_code
        == 403
    )
    assert system(settings_of(app)) == before


@pytest.mark.parametrize(
    "password", ["short", "eleven char", "passwordpassword", "Changeme1234", "aaaaaaaaaaaaaaa"]
)
def test_a_weak_password_is_refused_at_the_start(
    start: Start, tmp_path: Path, password: str
) -> None:
    with pytest.raises(
        StartError, match=f"^{VARIABLE} (must have 12 to 128 characters|is too common)"
    ) as caught:
        start(**{VARIABLE: password})
    assert password not in caught.value.message
    assert not (tmp_path / "instance").exists()


# -------------------------------------------------------------------------------- the guide's names

GUIDE = """
from seidra.config import settings, ensure_runtime_directories
from seidra.database import init_database, seed_default_user
from seidra.database import seed_default_nsfw_settings, DatabaseService

ensure_runtime_directories()
init_database()
seed_default_user()
seed_default_nsfw_settings()
with DatabaseService() as db:
    print(db.get_platform_summary())
print(settings.database_path, settings.registration)
"""


@pytest.mark.slow
@pytest.mark.sqlite_only("the guide opens its file")
def test_the_guides_python(tmp_path: Path) -> None:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SEIDRA_")}
    env = (
        kept
        | environment(tmp_path / "instance", SEIDRA_REGISTRATION="closed")
        | {"PYTHONPATH": str(ROOT)}
    )
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", GUIDE],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines() == [
            "{'users': 1, 'personas': 0, 'jobs': 0, 'media': 0}",
            f"{tmp_path / 'instance' / 'seidra.db'} closed",
        ]

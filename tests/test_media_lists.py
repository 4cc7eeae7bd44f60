"""Lists of media: both orders, filters by what made a picture, time zones, and the timeline."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from conftest import Person
from stored import told

from seidra.database.sqlite.connect import SqliteDatabase
from seidra.jobs.worker import Worker
from seidra.media.schemas import MediaQuery

SMALL = {"width": 64, "height": 64, "quality": "draft"}

MOMENTS = [
    "2025-12-31T23:30:00.000000Z",
    "2026-01-31T22:59:59.999999Z",
    "2026-01-31T23:00:00.000000Z",
    "2026-03-29T12:00:00.000000Z",
    "2026-10-25T00:30:00.000000Z",
    "2026-10-25T01:30:00.000000Z",
]
"""Around the ends of months and days, and the night in which an hour of Paris comes twice."""


def make(person: Person, worker: Worker, **persona: Any) -> dict[str, Any]:
    parameters = SMALL | persona.pop("generation_params", {})
    person.preview(person.persona(generation_params=parameters, **persona)["id"])
    worker.work_one()
    item: dict[str, Any] = person.get("/api/media?include_nsfw=true").get_json()["items"][0]
    return item


def ids_of(person: Person, **query: Any) -> list[str]:
    """The ids of a list, which the figures of its facets must agree with."""
    answer = person.get("/api/media", query_string=query)
    assert answer.status_code == 200, answer.text
    body = answer.get_json()
    assert body["total"] == int(answer.headers["X-Total-Count"]) == len(body["items"])
    facets = person.get("/api/media/facets", query_string=query).get_json()
    assert facets["total"] == body["total"]
    return [item["id"] for item in body["items"]]


def dated(person: Person, worker: Worker, database: SqliteDatabase) -> list[str]:
    """Items that were made at MOMENTS."""
    ids = [make(person, worker)["id"] for _ in MOMENTS]
    with database.transaction() as tx:
        for id, moment in zip(ids, MOMENTS, strict=True):
            tx.execute("UPDATE media_items SET created_at = ? WHERE id = ?", (moment, id))
    return ids


def test_both_orders_page_alike(alice: Person, worker: Worker, database: SqliteDatabase) -> None:
    ids = [make(alice, worker)["id"] for _ in range(5)]
    with database.transaction() as tx:
        # Of one moment the ids decide.
        tx.execute("UPDATE media_items SET created_at = ?, is_favorite = TRUE", (MOMENTS[0],))
        tx.execute("UPDATE media_items SET created_at = ? WHERE id = ?", (MOMENTS[1], ids[2]))
    oldest = [*sorted({*ids} - {ids[2]}), ids[2]]
    model = alice.get("/api/media").get_json()["items"][0]["metadata"]["model"]
    for more in (
        {},
        {"favorites_only": "1"},
        {"search": "moon"},
        {"date_from": "2000-01-01"},
        {"model": model},
        {"include_nsfw": "true"},
    ):
        for sort, wanted in (("created_at", oldest), ("-created_at", oldest[::-1])):
            walked: list[str] = []
            for offset in (0, 2, 4):
                query = more | {"sort": sort, "limit": "2", "offset": str(offset)}
                body = alice.get("/api/media", query_string=query).get_json()
                assert body["total"] == 5
                walked += [item["id"] for item in body["items"]]
            assert walked == wanted, (more, sort)
    assert ids_of(alice) == oldest[::-1]
    answer = alice.get("/api/media?sort=name")
    assert (answer.status_code, set(answer.get_json()["errors"])) == (422, {"sort"})


def test_filters_by_what_made_a_picture(
    alice: Person, bob: Person, worker: Worker, database: SqliteDatabase
) -> None:
    alice.allow_nsfw()
    grain, glow = {"name": "grain", "weight": 0.5}, {"name": "glow", "weight": 1.0}
    one = make(alice, worker, loras=[grain], generation_params={"model_name": "sdxl-base"})
    two = make(alice, worker, loras=[grain, glow])
    wild = make(alice, worker, is_nsfw=True, loras=[glow])
    make(bob, worker, loras=[grain, glow])
    with database.transaction() as tx:
        tx.execute("UPDATE media_items SET model = 'other' WHERE id <> ?", (one["id"],))
    alice.patch(f"/api/media/{two['id']}", json={"is_favorite": True, "tags": ["sea"]})
    first, second, third = (item["id"] for item in (one, two, wild))
    table: list[tuple[dict[str, Any], list[str]]] = [
        ({"model": "sdxl-base"}, [first]),
        ({"model": "other"}, [second]),
        ({"model": "other", "include_nsfw": "true"}, [third, second]),
        ({"model": "other", "favorites_only": "1"}, [second]),
        ({"model": "sdxl-base", "favorites_only": "1"}, []),
        ({"model": "oth"}, []),
        ({"lora": "grain"}, [second, first]),
        ({"lora": "glow"}, [second]),
        ({"lora": "glow", "include_nsfw": "true"}, [third, second]),
        ({"lora": "glow", "model": "sdxl-base"}, []),
        ({"lora": "grain", "model": "sdxl-base"}, [first]),
        ({"lora": "grain", "tag": "sea"}, [second]),
        ({"lora": "grain", "search": "moonlit ocean"}, [second, first]),
        ({"lora": "%"}, []),
        ({"job_id": one["job_id"]}, [first]),
        ({"job_id": one["job_id"].upper()}, [first]),
        ({"job_id": one["job_id"], "model": "other"}, []),
        ({"job_id": wild["job_id"]}, []),
        ({"persona_id": one["persona_id"], "lora": "grain"}, [first]),
        ({"persona_id": one["persona_id"], "lora": "glow"}, []),
        ({"persona_id": one["persona_id"], "job_id": two["job_id"]}, []),
        ({"tag": ["sea", "land"], "persona_id": two["persona_id"]}, [second]),
        ({"tag": "sea", "persona_id": one["persona_id"]}, []),
    ]
    for query, wanted in table:
        assert ids_of(alice, **query) == wanted, query
        counted = alice.get("/api/media/timeline", query_string=query).get_json()
        assert sum(month["count"] for month in counted) == len(wanted), query
    assert ids_of(bob, job_id=one["job_id"]) == []
    assert ids_of(bob, persona_id=one["persona_id"]) == []
    for query_string, field in (("job_id=x", "job_id"), ("lora=%20", "lora")):
        answer = alice.get(f"/api/media?{query_string}")
        assert (answer.status_code, set(answer.get_json()["errors"])) == (422, {field})


def test_what_lies_in_the_trash_filters_nothing(alice: Person, worker: Worker) -> None:
    item = make(alice, worker)
    persona = {"persona_id": item["persona_id"]}
    alice.put(f"/api/media/{item['id']}/tags", json=["sea"])
    more: list[dict[str, Any]] = [{}, {"search": "moon"}, {"tag": "sea"}]
    assert [ids_of(alice, **persona, **query) for query in more] == [[item["id"]]] * 3
    alice.delete(f"/api/personas/{item['persona_id']}")
    assert [ids_of(alice, **persona, **query) for query in more] == [[]] * 3
    assert ids_of(alice) == [item["id"]]
    alice.post(
        "/api/trash/restore", json={"ids": [{"kind": "persona", "item_id": item["persona_id"]}]}
    )
    assert [ids_of(alice, **persona, **query) for query in more] == [[item["id"]]] * 3
    assert ids_of(alice, job_id=item["job_id"]) == [item["id"]]
    assert alice.delete(f"/api/jobs/{item['job_id']}").status_code == 204
    assert ids_of(alice, job_id=item["job_id"]) == []


def test_dates_are_days_of_a_time_zone(
    alice: Person, worker: Worker, database: SqliteDatabase
) -> None:
    ids = dated(alice, worker, database)
    paris = {"tz": "Europe/Paris"}
    table: list[tuple[dict[str, Any], list[int]]] = [
        ({"date_to": "2025-12-31"}, [0]),
        ({"date_to": "2025-12-31"} | paris, []),
        ({"date_from": "2026-01-01", "date_to": "2026-01-31"} | paris, [1, 0]),
        ({"date_from": "2026-02-01", "date_to": "2026-02-01"} | paris, [2]),
        ({"date_from": "2026-01-31", "date_to": "2026-01-31"}, [2, 1]),
        ({"date_from": "2026-10-25T02:30", "date_to": "2026-10-25"} | paris, [5, 4]),
        ({"date_from": "2026-02-01T00:00"} | paris, [5, 4, 3, 2]),
        ({"date_from": "2026-02-01T00:00Z"} | paris, [5, 4, 3]),
        ({"date_from": "2026-W05", "date_to": "2026-W05", "tz": "Asia/Kathmandu"}, [2, 1]),
        ({"date_from": "2026-10-25", "tz": "Etc/GMT+12"}, []),
        ({"date_to": "9999-12-31"} | paris, [5, 4, 3, 2, 1, 0]),
        (paris, [5, 4, 3, 2, 1, 0]),
    ]
    for query, wanted in table:
        assert ids_of(alice, **query) == [ids[n] for n in wanted], query


def test_a_day_ends_with_the_second_of_its_hours_that_come_twice() -> None:
    # In Beirut the clocks go back at midnight.
    days = {"date_from": "2026-10-24", "date_to": "2026-10-24", "tz": "Asia/Beirut"}
    loaded = MediaQuery().load(days)
    assert loaded["date_from"] == "2026-10-23T21:00:00.000000Z"
    assert loaded["date_to"] == "2026-10-24T21:59:59.999999Z"


@pytest.mark.parametrize(
    "zone",
    [
        "Mars",
        "Europe",
        "../../etc/passwd",
        "/etc/localtime",
        "Europe/Paris\x00",
        "x" * 999,
        "é",
    ],
)
def test_what_is_no_time_zone_is_422(alice: Person, zone: str) -> None:
    for path in ("/api/media", "/api/media/timeline", "/api/media/facets"):
        answer = alice.get(path, query_string={"tz": zone, "date_from": "2026-01-31"})
        assert (answer.status_code, set(answer.get_json()["errors"])) == (422, {"tz"})


def test_the_timeline_counts_what_the_list_has(
    alice: Person, bob: Person, worker: Worker, database: SqliteDatabase
) -> None:
    assert alice.get("/api/media/timeline").get_json() == []
    ids = dated(alice, worker, database)
    make(bob, worker)
    alice.allow_nsfw()
    alice.patch(f"/api/media/{ids[0]}", json={"is_favorite": True})
    alice.patch(f"/api/media/{ids[5]}", json={"is_nsfw": True})
    model = alice.get("/api/media").get_json()["items"][0]["metadata"]["model"]
    assert alice.get("/api/media/timeline").get_json() == [
        {"month": "2026-10", "day": None, "count": 1},
        {"month": "2026-03", "day": None, "count": 1},
        {"month": "2026-01", "day": None, "count": 2},
        {"month": "2025-12", "day": None, "count": 1},
    ]
    for more in (
        {},
        {"include_nsfw": "true"},
        {"favorites_only": "true"},
        {"model": model},
        {"model": model, "include_nsfw": "true"},
        {"search": "moon"},
        {"search": "nothing"},
        {"date_from": "2026-01-01", "date_to": "2026-10-24"},
    ):
        listed = alice.get("/api/media", query_string=more).get_json()["items"]
        for name in ("UTC", "Europe/Paris", "Asia/Kathmandu", "America/Los_Angeles"):
            zone = UTC if name == "UTC" else ZoneInfo(name)
            if "date_from" in more:
                listed = alice.get("/api/media", query_string=more | {"tz": name}).get_json()[
                    "items"
                ]
            for by, form in (("month", "%Y-%m"), ("day", "%Y-%m-%d")):
                wanted = Counter(
                    f"{datetime.fromisoformat(item['created_at']).astimezone(zone):{form}}"
                    for item in listed
                )
                query = more | {"tz": name, "by": by}
                answer = alice.get("/api/media/timeline", query_string=query)
                assert answer.get_json() == [
                    {
                        "month": period[:7],
                        "day": period if by == "day" else None,
                        "count": wanted[period],
                    }
                    for period in sorted(wanted, reverse=True)
                ], query
    answer = alice.get("/api/media/timeline?by=year")
    assert (answer.status_code, set(answer.get_json()["errors"])) == (422, {"by"})


def test_a_timeline_reads_no_more_for_more_items(
    alice: Person, worker: Worker, database: SqliteDatabase
) -> None:
    def statements() -> int:
        with told(database.connection) as seen:
            assert len(alice.get("/api/media/timeline").get_json()) == 1
        return len(seen)

    make(alice, worker)
    one = statements()
    for _ in range(3):
        make(alice, worker)
    assert statements() == one

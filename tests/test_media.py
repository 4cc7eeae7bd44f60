"""Media: lists and filters, changes, and the signed links that files load by."""

from __future__ import annotations

import io
import os
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import PASSWORD, Person
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from stored import told
from werkzeug.test import TestResponse

from seidra.config import Settings
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.engines.mock import MockEngine
from seidra.jobs.worker import Worker
from seidra.media import links as links_module
from seidra.media.links import Links
from seidra.operations.workers import make_worker
from seidra.web.services import services_of

FIELDS = {
    "id",
    "user_id",
    "owner",
    "is_mine",
    "visibility",
    "with_details",
    "file_path",
    "thumbnail_path",
    "job_id",
    "persona_id",
    "source",
    "url",
    "thumbnail_url",
    "thumbnails",
    "download_url",
    "color",
    "file_type",
    "mime_type",
    "width",
    "height",
    "file_size",
    "metadata",
    "tags",
    "is_favorite",
    "is_nsfw",
    "nsfw_tags",
    "version",
    "created_at",
    "updated_at",
}
UNKNOWN = "6f1c2f0e-0d5b-5d5c-9c55-2b8d3f3c1a10"

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def make(worker: Worker) -> Make:
    """Make a media item: `make(alice, style_prompt="desert", tags=["t"])`; tags and favourite are
    the item's."""

    def made(
        person: Person, change: dict[str, Any] | None = None, **persona: Any
    ) -> dict[str, Any]:
        parameters = {"width": 64, "height": 64, "quality": "draft"} | persona.pop(
            "generation_params", {}
        )
        job_id = person.preview(person.persona(generation_params=parameters, **persona)["id"])
        worker.work_one()
        items = person.get("/api/media?include_nsfw=true").get_json()["items"]
        item: dict[str, Any] = next(item for item in items if item["job_id"] == job_id)
        if change:
            item = person.patch(f"/api/media/{item['id']}", json=change).get_json()
        return item

    return made


def listed(person: Person, **query: Any) -> list[str]:
    """The ids of a list, whose totals must agree."""
    answer = person.get("/api/media", query_string=query)
    assert answer.status_code == 200, answer.text
    body = answer.get_json()
    assert body["total"] == int(answer.headers["X-Total-Count"]) == len(body["items"])
    return [item["id"] for item in body["items"]]


def load(client: FlaskClient, url: str, **headers: str) -> TestResponse:
    """Load a link as a browser would, without a token."""
    return client.get(
        url,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        buffered=True,
    )


# ------------------------------------------------------------------------------------------ reading


def test_an_item_has_every_field_and_no_path_of_the_server(
    alice: Person, make: Make, settings: Settings
) -> None:
    item = make(alice, generation_params={"seed": 3, "own": "kept"})
    assert set(item) == FIELDS
    answer = alice.get(f"/api/media/{item['id']}")
    assert answer.get_json() == item
    assert item["metadata"]["prompt"] == "moonlit ocean"
    assert (item["metadata"]["seed"], item["metadata"]["engine"]) == (3, "mock")
    assert item["metadata"]["parameters"]["own"] == "kept"
    assert (item["tags"], item["is_favorite"], item["nsfw_tags"]) == ([], False, [])
    assert str(settings.data_dir) not in answer.text
    assert alice.get("/api/media").get_json() == {"total": 1, "items": [item]}


def test_every_filter_of_the_list(alice: Person, bob: Person, make: Make) -> None:
    sea = make(
        alice, {"tags": ["Été", "a,b"], "is_favorite": True}, style_prompt="Élan over the sea"
    )
    sand = make(alice, {"tags": ["keep"]}, style_prompt="100% red_desert")
    both = make(alice, {"tags": ["keep", "été"], "is_favorite": True}, style_prompt="beach")
    make(bob, {"tags": ["keep", "été"], "is_favorite": True}, style_prompt="sea desert beach")
    one, two, three = (item["id"] for item in (sea, sand, both))
    assert listed(alice) == [three, two, one]
    table: list[tuple[dict[str, Any], list[str]]] = [
        ({"tags": "ete"}, [three, one]),
        ({"tags": "KEEP,ete"}, [three, two, one]),
        ({"tags": " keep , "}, [three, two]),
        ({"tag": "keep"}, [three, two]),
        ({"tag": ["a,b", "x"]}, [one]),
        ({"tags": "x", "tag": "a,b"}, [one]),
        ({"tags": "kee"}, []),
        ({"tags": "%"}, []),
        ({"favorites_only": "true"}, [three, one]),
        ({"favorites_only": "false"}, [three, two, one]),
        ({"favorites_only": "1", "tags": "keep"}, [three]),
        ({"search": "elan"}, [one]),
        ({"search": "SEA over"}, [one]),
        ({"search": "ete"}, [three, one]),
        ({"search": "keep beach"}, [three]),
        ({"search": "keepbeach"}, []),
        ({"search": "%"}, [two]),
        ({"search": "_"}, [two]),
        ({"search": "100%"}, [two]),
        ({"search": "e", "favorites_only": "1"}, [three, one]),
        ({"search": "sea", "tags": "keep"}, []),
        ({"persona_id": sand["persona_id"]}, [two]),
        ({"persona_id": 0}, []),
        ({"persona_id": 2**63}, []),
        ({"persona_id": sea["persona_id"], "search": "sea"}, [one]),
        ({"persona_id": sea["persona_id"], "tags": "keep"}, []),
        ({"persona_id": both["persona_id"], "tags": "keep", "search": "beach"}, [three]),
        ({"unknown": "x"}, [three, two, one]),
    ]
    for query, wanted in table:
        assert listed(alice, **query) == wanted, query


def test_a_time_range_and_a_bare_date(alice: Person, make: Make, database: SqliteDatabase) -> None:
    ids = [make(alice)["id"] for _ in range(4)]
    moments = [
        "2026-01-30T23:59:59.999999Z",
        "2026-01-31T00:00:00.000000Z",
        "2026-01-31T23:59:59.999999Z",
        "2026-02-01T00:00:00.000000Z",
    ]
    for id, moment in zip(ids, moments, strict=True):
        with database.transaction() as tx:
            tx.execute("UPDATE media_items SET created_at = ? WHERE id = ?", (moment, id))
    for query, wanted in (
        ({"date_from": "2026-01-31"}, [3, 2, 1]),
        ({"date_to": "2026-01-31"}, [2, 1, 0]),
        ({"date_from": "2026-01-31", "date_to": "2026-01-31"}, [2, 1]),
        ({"date_from": "20260131", "date_to": "20260131"}, [2, 1]),
        ({"date_to": "2026-01-31T00:00:00Z"}, [1, 0]),
        ({"date_from": "2026-01-31T01:00:00+01:00", "date_to": "2026-01-31T12:00"}, [1]),
        ({"date_from": "2026-02-01T00:00:00.000001Z"}, []),
        ({"date_from": "2026-02-02", "date_to": "2026-01-01"}, []),
        (
            {
                "date_to": "2026-01-31",
                "persona_id": alice.get(f"/api/media/{ids[0]}").get_json()["persona_id"],
            },
            [0],
        ),
    ):
        assert listed(alice, **query) == [ids[n] for n in wanted], query


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("offset=-1", "offset"),
        ("date_from=soon", "date_from"),
        ("date_to=2026-13-01", "date_to"),
        ("favorites_only=x", "favorites_only"),
        ("tags=1,2,3,4,5,6,7,8,9", "tags"),
        ("tags=1,2,3,4,5,6,7,8&tag=9", "tags"),
        ("search=%20", "search"),
        ("tag=%20", "tag"),
    ],
)
def test_a_bad_query_is_422(alice: Person, query: str, field: str) -> None:
    answer = alice.get(f"/api/media?{query}")
    assert answer.status_code == 422
    assert {name.partition(".")[0] for name in answer.get_json()["errors"]} == {field}


@pytest.mark.parametrize("query", ["", "&favorites_only=true", "&search=moon", "&tags=t"])
def test_pages_walk_the_list_once(alice: Person, make: Make, query: str) -> None:
    ids = [make(alice, {"tags": ["t"], "is_favorite": True})["id"] for _ in range(5)][::-1]
    walked: list[str] = []
    url: str | None = f"/api/media?limit=2{query}"
    while url:
        answer = alice.get(url)
        assert (answer.get_json()["total"], answer.headers["X-Total-Count"]) == (5, "5")
        walked += [item["id"] for item in answer.get_json()["items"]]
        following = re.search(r'<([^>]+)>; rel="next"', answer.headers["Link"])
        url = following[1] if following else None
    assert walked == ids
    assert alice.get(f"/api/media?limit=200&offset={2**63}{query}").get_json() == {
        "total": 5,
        "items": [],
    }


def test_a_page_takes_as_many_statements_however_long_it_is(
    alice: Person, make: Make, database: SqliteDatabase
) -> None:
    def statements(query: str) -> int:
        with told(database.connection) as seen:
            assert alice.get(f"/api/media{query}").status_code == 200
        return len(seen)

    queries = ("", "?favorites_only=true", "?search=moon", "?tags=t", "?date_from=2000-01-01")
    make(alice, {"tags": ["t"], "is_favorite": True})
    one = [statements(query) for query in queries]
    for _ in range(3):
        make(alice, {"tags": ["t"], "is_favorite": True})
    assert [statements(query) for query in queries] == one


def test_stats_are_of_my_media(alice: Person, bob: Person, make: Make) -> None:
    alice.allow_nsfw()
    sizes = [make(alice, {"is_favorite": True})["file_size"], make(alice)["file_size"]]
    wild = make(alice, is_nsfw=True)["file_size"]
    make(bob)
    tame = {
        "total": 2,
        "favorites": 1,
        "nsfw": 0,
        "by_type": {"image": 2, "video": 0},
        "total_size": sum(sizes),
    }
    tame |= {"total_images": 2, "favorites_count": 1, "recent_count": 2, "by_persona": {"Luna": 2}}
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    tame["by_date"] = {today: 2}
    assert alice.get("/api/media/stats").get_json() == tame
    assert alice.get("/api/media/stats?include_nsfw=true").get_json() == {
        "total": 3,
        "favorites": 1,
        "nsfw": 1,
        "by_type": {"image": 3, "video": 0},
        "total_size": sum(sizes) + wild,
        "total_images": 3,
        "favorites_count": 1,
        "recent_count": 3,
        "by_persona": {"Luna": 3},
        "by_date": {today: 3},
    }


def test_nsfw_items_are_seen_only_where_asked_for_and_in_force(
    alice: Person, client: FlaskClient, make: Make
) -> None:
    alice.allow_nsfw()
    tame, wild = make(alice, {"tags": ["t"]}), make(alice, {"tags": ["t"]}, is_nsfw=True)
    for query in ({}, {"search": "moon"}, {"tags": "t"}, {"date_from": "2000-01-01"}):
        assert listed(alice, **query) == [tame["id"]], query
        assert listed(alice, **query, include_nsfw="true") == [wild["id"], tame["id"]], query
    assert load(client, wild["url"]).status_code == 200
    alice.patch("/api/settings/nsfw", json={"enabled": False})
    assert listed(alice, include_nsfw="true") == [tame["id"]]
    assert alice.get(f"/api/media/{wild['id']}").status_code == 404
    assert [
        load(client, wild[name]).status_code for name in ("url", "thumbnail_url", "download_url")
    ] == [404] * 3
    assert alice.patch(f"/api/media/{tame['id']}", json={"is_nsfw": True}).status_code == 403
    assert alice.delete(f"/api/media/{wild['id']}").status_code == 204


# ------------------------------------------------------------------------------------------ writing


def test_a_patch_changes_what_it_names(alice: Person, make: Make) -> None:
    alice.allow_nsfw()
    item = make(alice)
    path = f"/api/media/{item['id']}"
    for change in (
        {"is_favorite": True},
        {"tags": [" Sea ", "SEA", "été"]},
        {"is_nsfw": True},
        {"is_favorite": False},
    ):
        answer = alice.patch(path, json=change)
        changed = answer.get_json()
        item |= change | {"updated_at": changed["updated_at"], "version": item["version"] + 1}
        item["tags"] = ["Sea", "été"] if item["tags"] else []
        assert changed == item == alice.get(path).get_json()
    assert answer.headers["ETag"].startswith('"5-')
    assert alice.patch(path, json=item).get_json() == item, "nothing changes, nothing is written"
    edited = alice.patch(path, json=item | {"tags": ["new"]})
    assert (edited.status_code, edited.get_json()["tags"]) == (200, ["new"])


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("PATCH", "", {}, "body"),
        ("PATCH", "", {"id": UNKNOWN}, "body"),
        ("PATCH", "", {"is_favorite": 1}, "is_favorite"),
        ("PATCH", "", {"tags": ["x" * 51]}, "tags"),
        ("PATCH", "", {"titel": "x"}, "titel"),
        ("PUT", "/favorite", {"value": "yes"}, "value"),
        ("PUT", "/favorite", {"is_favorite": True}, "is_favorite"),
        ("PUT", "/tags", {}, "tags"),
        ("PUT", "/tags", {"tags": "a"}, "tags"),
        ("PUT", "/tags", {"tags": [" "]}, "tags"),
    ],
)
def test_a_bad_change_is_422(
    alice: Person, make: Make, method: str, path: str, body: Any, field: str
) -> None:
    item = make(alice)
    answer = alice.open(method, f"/api/media/{item['id']}{path}", json=body)
    assert answer.status_code == 422
    assert {name.partition(".")[0] for name in answer.get_json()["errors"]} == {field}
    assert alice.get(f"/api/media/{item['id']}").get_json() == item


def test_favorite_toggles_or_takes_a_value(alice: Person, make: Make) -> None:
    path = f"/api/media/{make(alice)['id']}/favorite"
    bodies: list[dict[str, Any]] = [
        {},
        {"json": {}},
        {"json": {"value": True}},
        {"json": {"value": True}},
        {},
    ]
    seen = [alice.put(path, **body).get_json()["is_favorite"] for body in bodies]
    assert seen == [True, False, True, True, False]


def test_tags_are_replaced_and_searched(
    alice: Person, make: Make, database: SqliteDatabase
) -> None:
    id = make(alice, {"tags": ["old"]})["id"]
    assert alice.put(f"/api/media/{id}/tags", json={"tags": ["new", "ö"]}).get_json()["tags"] == [
        "new",
        "ö",
    ]
    assert [listed(alice, tags=tag) for tag in ("old", "new", "O")] == [[], [id], [id]]
    assert [listed(alice, search=tag) for tag in ("old", "new")] == [[], [id]]
    alice.delete(f"/api/media/{id}")
    assert database.connection.execute("SELECT COUNT(*) FROM media_tags").fetchone()[0] == 0


@pytest.mark.parametrize(
    ("expected", "fresh"),
    [('"2"', True), ('W/"2"', True), ('"2-0"', True), ("*", True), ('"1"', False), ('"22"', False)],
)
def test_versions_of_an_item(alice: Person, make: Make, expected: str, fresh: bool) -> None:
    path = f"/api/media/{make(alice, {'tags': ['t']})['id']}"
    tag = alice.get(path).headers["ETag"]
    assert re.fullmatch('"2-[0-9a-f]{16}"', tag)
    for known, status in ((tag, 304), (f"W/{tag}", 304), ("*", 304), ('"2"', 200), ('"2-0"', 200)):
        assert alice.get(path, headers={"If-None-Match": known}).status_code == status, known
    for method, more, body in (
        ("PATCH", "", {"tags": ["u"]}),
        ("PUT", "/favorite", {}),
        ("PUT", "/tags", {"tags": []}),
        ("DELETE", "", None),
    ):
        answer = alice.open(method, path + more, headers={"If-Match": expected}, json=body)
        assert answer.status_code == ((204 if method == "DELETE" else 200) if fresh else 412), (
            method
        )
        expected = re.sub(r"\d+", lambda match: str(int(match[0]) + 1), expected)
        if not fresh:
            expected = '"1"'


def test_somebody_elses_item_does_not_exist(alice: Person, bob: Person, make: Make) -> None:
    id = make(bob)["id"]
    for wanted in (id, UNKNOWN):
        path = f"/api/media/{wanted}"
        for method, more, body in (
            ("GET", "", None),
            ("DELETE", "", None),
            ("PATCH", "", {"tags": []}),
            ("PUT", "/favorite", {}),
            ("PUT", "/tags", {"tags": []}),
            ("GET", "/content", None),
            ("GET", "/thumbnail", None),
            ("GET", "/download", None),
        ):
            assert alice.open(method, path + more, json=body).status_code == 404, (method, more)
    assert listed(alice) == listed(alice, search="moon") == []
    assert listed(bob) == [id]


# -------------------------------------------------------------------------------------------- links


def test_links_load_without_a_header(alice: Person, client: FlaskClient, make: Make) -> None:
    item = make(alice, generation_params={"width": 640, "height": 320})
    pictures = {name: load(client, item[name]) for name in ("url", "thumbnail_url", "download_url")}
    shown = {name: Image.open(io.BytesIO(answer.data)) for name, answer in pictures.items()}
    assert [(image.format, image.size) for image in shown.values()] == [
        ("PNG", (640, 320)),
        ("WEBP", (320, 160)),
        ("PNG", (640, 320)),
    ]
    assert [answer.content_type for answer in pictures.values()] == [
        "image/png",
        "image/webp",
        "image/png",
    ]
    assert len(pictures["url"].data) == item["file_size"]
    for answer in pictures.values():
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert re.fullmatch(r"private, max-age=[1-9]\d*", answer.headers["Cache-Control"])
    kinds = [
        (answer.headers["Content-Disposition"].split("; filename=")) for answer in pictures.values()
    ]
    name = f"seidra-{item['id']}"
    assert kinds == [
        ["inline", f"{name}.png"],
        ["inline", f"{name}.webp"],
        ["attachment", f'"Luna {item["created_at"][:10]} {item["metadata"]["seed"]}.png"'],
    ]


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        ("/content", "/thumbnail"),
        ("/content", "/download"),
        (r"user=(\d+)", "user=1"),
        (r"user=\d+", "user=x"),
        (r"user=\d+&", ""),
        (r"expires=\d", "expires=9"),
        (r"expires=\d+", "expires=99999999999999"),
        (r"expires=", "expires=+"),
        (r"signature=..", "signature=AA"),
        (r"signature=.+", "signature=é"),
        (r"(signature=.+).$", r"\1"),
        (r"media/[0-9a-f-]+", f"media/{UNKNOWN}"),
    ],
)
def test_a_tampered_link_is_403(
    alice: Person, client: FlaskClient, make: Make, pattern: str, replacement: str
) -> None:
    url = make(alice)["url"]
    tampered = re.sub(pattern, replacement, url, count=1)
    assert tampered != url
    answer = load(client, tampered)
    assert (answer.status_code, answer.content_type) == (403, "application/problem+json")
    assert load(client, url).status_code == 200


def test_a_link_of_another_user_to_ones_item_is_worthless(
    app: Flask, alice: Person, bob: Person, client: FlaskClient, make: Make
) -> None:
    """Signed well, but for somebody who does not own the item."""
    link = services_of(app).links.make(make(alice)["id"], "content", bob.id)
    assert load(client, link).status_code == 404


def set_clock(monkeypatch: pytest.MonkeyPatch, now: float) -> None:
    """What time it is for links, and for nothing else."""
    monkeypatch.setattr(links_module, "time", SimpleNamespace(time=lambda: now))


def test_links_expire_and_are_equal_within_a_window(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    window, links = settings.media_link_seconds, Links(settings)
    start = 1_800_000_000 // window * window

    def link_at(second: float) -> str:
        set_clock(monkeypatch, second)
        return links.make(UNKNOWN, "content", 2)

    link = link_at(start)
    assert link == link_at(start + window - 0.01) != link_at(start + window)
    user, expires, signature = re.findall(r"=([^&]+)", link)
    assert int(expires) == start + 2 * window
    for second, valid in (
        (start, True),
        (start + 2 * window - 1, True),
        (start + 2 * window, False),
    ):
        set_clock(monkeypatch, second)
        assert (links.check(UNKNOWN, "content", user, expires, signature) == 2) is valid
        assert links.check(UNKNOWN, "download", user, expires, signature) is None


def test_an_expired_link_over_http_is_403(
    alice: Person, client: FlaskClient, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make(alice)["url"]
    expires = int(re.findall(r"expires=(\d+)", url)[0])
    set_clock(monkeypatch, expires)
    assert load(client, url).status_code == 403


def test_a_link_dies_with_its_item_and_its_user(
    admin: Person, alice: Person, client: FlaskClient, make: Make, database: SqliteDatabase
) -> None:
    first, second = make(alice), make(alice)
    alice.delete(f"/api/media/{first['id']}")
    assert load(client, first["url"]).status_code == 404
    assert load(client, second["url"]).status_code == 200
    with database.transaction() as tx:
        tx.execute("UPDATE users SET is_active = FALSE WHERE id = ?", (alice.id,))
    assert load(client, second["url"]).status_code == 404
    with database.transaction() as tx:
        tx.execute("UPDATE users SET is_active = TRUE WHERE id = ?", (alice.id,))
    assert load(client, second["url"]).status_code == 200
    assert alice.delete("/api/auth/me", json={"password": PASSWORD}).status_code == 204
    assert load(client, second["url"]).status_code == 404


def test_the_links_of_two_instances_are_not_each_others(make_app: Callable[..., Flask]) -> None:
    one, two = (Links(services_of(make_app(jwt_secret=secret * 32)).settings) for secret in "ab")
    user, expires, signature = re.findall(r"=([^&]+)", one.make(UNKNOWN, "content", 2))
    assert one.check(UNKNOWN, "content", user, expires, signature) == 2
    assert two.check(UNKNOWN, "content", user, expires, signature) is None


def test_links_begin_with_the_public_url_and_never_with_the_host_header(
    make_app: Callable[..., Flask],
) -> None:
    app = make_app(public_url="https://studio.example/api-root")
    link = services_of(app).links.make(UNKNOWN, "content", 2)
    assert link.startswith(f"https://studio.example/api-root/api/media/{UNKNOWN}/content?")
    person = Person(app, "alice")
    answer = person.get("/api/media", headers={"Host": "evil.example"})
    assert answer.headers["Link"].startswith("<https://studio.example/api-root/api/media?")


# -------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("wanted", "status", "part"),
    [
        ("bytes=0-9", 206, slice(0, 10)),
        ("bytes=10-", 206, slice(10, None)),
        ("bytes=-5", 206, slice(-5, None)),
        ("bytes=0-99999999", 206, slice(None)),
        ("bytes=99999999-", 416, None),
        ("bytes=5-2", 416, None),
    ],
)
def test_ranges(
    alice: Person, client: FlaskClient, make: Make, wanted: str, status: int, part: slice | None
) -> None:
    item = make(alice)
    whole = load(client, item["url"])
    assert whole.headers["Accept-Ranges"] == "bytes"
    answer = load(client, item["url"], Range=wanted)
    assert answer.status_code == status
    size = item["file_size"]
    if part is not None:
        assert answer.data == whole.data[part]
        start, stop, _ = part.indices(size)
        assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"
    else:
        assert answer.headers["Content-Range"] == f"bytes */{size}"
        assert answer.content_type == "application/problem+json"


def test_a_file_that_the_browser_has_is_304(alice: Person, client: FlaskClient, make: Make) -> None:
    item = make(alice)
    tags = {
        name: load(client, item[name]).headers["ETag"]
        for name in ("url", "thumbnail_url", "download_url")
    }
    assert len(set(tags.values())) == 3
    for name, tag in tags.items():
        answer = load(client, item[name], If_None_Match=tag)
        assert (answer.status_code, answer.data, answer.headers["ETag"]) == (304, b"", tag)
        assert load(client, item[name], If_None_Match='"other"').status_code == 200


def test_a_token_works_without_a_signature(alice: Person, client: FlaskClient, make: Make) -> None:
    item = make(alice)
    for variant in ("content", "thumbnail", "download"):
        path = f"/api/media/{item['id']}/{variant}"
        answer = alice.get(path, buffered=True)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "private, no-cache")
        refused = load(client, path)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")
        assert load(client, f"{path}?signature=").status_code == 401
        assert load(client, f"{path}?signature=x").status_code == 403


def test_a_thumbnail_that_is_gone_is_made_again(
    alice: Person, client: FlaskClient, make: Make, settings: Settings
) -> None:
    item = make(alice, generation_params={"width": 400, "height": 100})
    before = load(client, item["thumbnail_url"]).data
    [path] = settings.thumbnail_dir.rglob("*.webp")
    path.unlink()
    assert load(client, item["thumbnail_url"]).data == before
    assert list(settings.thumbnail_dir.rglob("*.*")) == [path]


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"no picture")])
def test_a_picture_that_is_missing_or_damaged_is_404(
    alice: Person,
    client: FlaskClient,
    make: Make,
    settings: Settings,
    damage: Callable[[Path], Any],
) -> None:
    item = make(alice)
    for path in settings.thumbnail_dir.rglob("*.webp"):
        path.unlink()
    [path] = settings.media_dir.rglob("*.png")
    damage(path)
    for name in (
        ("url", "thumbnail_url", "download_url") if not path.exists() else ("thumbnail_url",)
    ):
        answer = load(client, item[name])
        assert (answer.status_code, answer.content_type) == (404, "application/problem+json")
        assert str(settings.data_dir) not in answer.text
    assert alice.get(f"/api/media/{item['id']}").status_code == 200


# ----------------------------------------------------------------------------------- behind a proxy


def test_behind_a_proxy_the_answer_names_the_file_and_still_checks_each_use(
    make_app: Callable[..., Flask], alice: Person, bob: Person, make: Make, settings: Settings
) -> None:
    item = make(alice)
    client = make_app(x_accel_redirect="/protected").test_client()
    for link, folder, suffix, mime_type in (
        ("url", "media", "png", "image/png"),
        ("download_url", "media", "png", "image/png"),
        ("thumbnail_url", "thumbnails", "webp", "image/webp"),
    ):
        for method in ("GET", "HEAD"):
            answer = client.open(
                item[link], method=method, headers={"Range": "bytes=0-9", "If-None-Match": "*"}
            )
            assert (answer.status_code, answer.data, answer.headers["Content-Length"]) == (
                200,
                b"",
                "0",
            )
            named = answer.headers["X-Accel-Redirect"].removeprefix("/protected")
            assert named.startswith(f"/{folder}/{item['id'][:2]}/{item['id']}.")
            assert named.endswith(f".{suffix}")
            assert (settings.data_dir / named[1:]).is_file()
            assert "X-Sendfile" not in answer.headers
            assert answer.mimetype == mime_type
            kind = (
                "attachment; "
                if link == "download_url"
                else f"inline; filename=seidra-{item['id']}"
            )
            assert answer.headers["Content-Disposition"].startswith(kind)
            assert answer.headers["Cache-Control"].startswith("private, max-age=")
            assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    for refused, status in (
        (item["url"] + "x", 403),
        (item["url"].replace("content", "download"), 403),
    ):
        answer = client.get(refused)
        assert (answer.status_code, answer.headers.get("X-Accel-Redirect")) == (status, None)
    assert client.get(item["url"].partition("?")[0], headers=bob.headers).status_code == 404
    assert alice.delete(f"/api/media/{item['id']}").status_code == 204
    assert "X-Accel-Redirect" not in client.get(item["url"]).headers


def test_behind_a_proxy_the_group_may_read_the_files_and_nothing_else(
    make_app: Callable[..., Flask], alice: Person, settings: Settings
) -> None:
    def modes(folder: Path) -> set[tuple[bool, str]]:
        return {
            (path.is_dir(), oct(path.stat().st_mode & 0o777))
            for path in [folder, *folder.rglob("*")]
        }

    app = make_app(x_accel_redirect="/protected")
    parts = services_of(app)
    worker = make_worker(parts.settings, parts.database, [MockEngine()], threading.Event())
    previous = os.umask(0o077)
    try:
        alice.preview(alice.persona(generation_params={"width": 64, "height": 64})["id"])
        assert worker.work_one()
    finally:
        os.umask(previous)
    for folder in (settings.media_dir, settings.thumbnail_dir):
        assert modes(folder) == {(True, "0o750"), (False, "0o640")}
    assert modes(settings.tmp_dir) == {(True, "0o700")}
    assert all(path.stat().st_mode & 0o077 == 0 for path in settings.data_dir.glob("*.secret"))

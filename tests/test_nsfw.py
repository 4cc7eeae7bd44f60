"""NSFW settings, and the policy walked over everything that could show something."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
from conftest import Person
from flask import Flask
from flask.testing import FlaskClient
from stored import refuse_updates

from seidra.config import Settings
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.engines.base import Engine, RenderContext, RenderedImage, RenderRequest
from seidra.engines.mock import MockEngine
from seidra.jobs.worker import Worker
from seidra.operations.workers import make_worker
from seidra.web.services import services_of

OWN, DEFAULT = "/api/settings/nsfw", "/api/settings/nsfw/default"
INSTANCE = {
    "enabled": True,
    "age_verified": True,
    "intensity": "medium",
    "categories": {"suggestive": True, "explicit": False, "violence": False},
    "overrides": {},
}
SMALL = {"width": 64, "height": 64}


# ----------------------------------------------------------------------------------------- settings


def test_before_a_word_of_ones_own_the_default_holds_without_its_age_word(
    admin: Person, alice: Person
) -> None:
    assert alice.get(OWN).get_json() == INSTANCE | {"age_verified": False}
    assert admin.patch(DEFAULT, json={"intensity": "low"}).status_code == 200
    assert alice.get(OWN).get_json() == INSTANCE | {"age_verified": False, "intensity": "low"}


def test_put_replaces(alice: Person, bob: Person) -> None:
    wanted = INSTANCE | {"intensity": "low", "overrides": {"blur": True}}
    assert alice.put(OWN, json=wanted).get_json() == wanted
    body = {"enabled": True, "age_verified": False, "intensity": "medium", "categories": {}}
    replaced = body | {"categories": dict.fromkeys(INSTANCE["categories"], False), "overrides": {}}
    assert alice.put(OWN, json=body).get_json() == replaced
    assert alice.get(OWN).get_json() == replaced
    assert bob.get(OWN).get_json() == INSTANCE | {"age_verified": False}


def test_patch_merges(alice: Person) -> None:
    alice.patch(OWN, json={"age_verified": True, "overrides": {"blur": True}})
    answer = alice.patch(OWN, json={"categories": {"suggestive": False}})
    expected = INSTANCE | {
        "overrides": {"blur": True},
        "categories": dict.fromkeys(INSTANCE["categories"], False),
    }
    assert answer.get_json() == alice.get(OWN).get_json() == expected


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"enabled": "yes"}, "enabled"),
        ({"age_verified": 1}, "age_verified"),
        ({"intensity": "extreme"}, "intensity"),
        ({"intensity": None}, "intensity"),
        ({"categories": {"gore": True}}, "categories.gore"),
        ({"categories": {"suggestive": "no"}}, "categories.suggestive"),
        ({"categories": []}, "categories"),
        ({"overrides": {"a": "x" * 8192}}, "overrides"),
        ({"overrides": []}, "overrides"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_bad_settings(admin: Person, change: dict[str, Any], field: str) -> None:
    for path in (OWN, DEFAULT):
        before = admin.get(path).get_json()
        for method in ("PUT", "PATCH"):
            answer = admin.open(method, path, json=INSTANCE | change)
            assert (answer.status_code, list(answer.get_json()["errors"])) == (422, [field])
        assert admin.get(path).get_json() == before


def test_put_needs_every_field(admin: Person) -> None:
    for path in (OWN, DEFAULT):
        answer = admin.put(path, json={})
        assert answer.status_code == 422
        assert sorted(answer.get_json()["errors"]) == [
            "age_verified",
            "categories",
            "enabled",
            "intensity",
        ]


def test_the_default_is_the_administrators(admin: Person, alice: Person) -> None:
    for method, body in (("GET", None), ("PUT", INSTANCE), ("PATCH", {"enabled": False})):
        assert alice.open(method, DEFAULT, json=body).status_code == 403
        # Refused before the body is looked at.
        assert alice.open(method, DEFAULT, json={"colour": "red"}).status_code == 403
    assert admin.get(DEFAULT).get_json() == INSTANCE
    wanted = INSTANCE | {
        "intensity": "high",
        "categories": {"suggestive": True, "explicit": True, "violence": False},
    }
    assert admin.put(DEFAULT, json=wanted).get_json() == wanted
    assert admin.patch(DEFAULT, json={"categories": {"explicit": False}}).get_json() == INSTANCE | {
        "intensity": "high"
    }
    assert admin.get(DEFAULT).get_json() == INSTANCE | {"intensity": "high"}
    # It says nothing about the administrator's own settings.
    assert admin.get(OWN).get_json()["age_verified"] is False


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize(
    ("lowered", "change", "fields"),
    [
        ({}, {"intensity": "high"}, ["intensity"]),
        ({}, {"categories": {"explicit": True}}, ["categories.explicit"]),
        (
            {},
            {"intensity": "high", "categories": {"explicit": True, "violence": True}},
            ["intensity", "categories.explicit", "categories.violence"],
        ),
        ({"enabled": False}, {"age_verified": False}, ["enabled"]),
        ({"age_verified": False}, {}, ["age_verified"]),
        ({"intensity": "low"}, {}, ["intensity"]),
        ({"categories": {"suggestive": False}}, {}, ["categories.suggestive"]),
    ],
)
def test_beyond_the_default_is_refused(
    admin: Person,
    alice: Person,
    method: str,
    lowered: dict[str, Any],
    change: dict[str, Any],
    fields: list[str],
) -> None:
    assert admin.patch(DEFAULT, json=lowered).status_code == 200
    before = alice.get(OWN).get_json()
    answer = alice.open(method, OWN, json=INSTANCE | change)
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, fields)
    assert alice.get(OWN).get_json() == before


# --------------------------------------------------------------------------------------- the policy


class Scene(NamedTuple):
    """Alice's things: each a plain one and an NSFW one, alike but for that, and two avatars."""

    personas: dict[str, int]
    jobs: dict[str, str]
    media: dict[str, dict[str, Any]]


@pytest.fixture
def scene(alice: Person, worker: Worker) -> Scene:
    """What the walks look for; NSFW is in force for alice."""
    alice.allow_nsfw()
    personas, jobs, media = {}, {}, {}
    for name, is_nsfw in (("plain", False), ("nsfw", True)):
        persona = alice.persona(
            name=f"Luna {name}",
            tags=["sea"],
            is_favorite=True,
            is_nsfw=is_nsfw,
            generation_params=SMALL,
        )
        personas[name] = persona["id"]
        jobs[name] = alice.preview(persona["id"])
        assert worker.work_one()
        link = alice.get(f"/api/jobs/{jobs[name]}").get_json()["result_images"][0]
        change = {"tags": ["keep"], "is_favorite": True}
        media[name] = alice.patch(f"/api/media/{link.split('/')[3]}", json=change).get_json()
    return Scene(personas, jobs, media)


LISTS = [
    "/api/personas",
    "/api/personas?is_favorite=true",
    "/api/personas?search=luna",
    "/api/personas?search=lu",
    "/api/personas?search=moonlit+luna",
    "/api/personas?tag=sea",
    "/api/personas?tag=SEA&search=luna",
    *[
        f"/api/personas?sort={sort}"
        for sort in ("created_at", "updated_at", "-updated_at", "name", "-name")
    ],
    *[
        f"/api/personas?is_favorite=true&sort={sort}"
        for sort in ("created_at", "updated_at", "-updated_at", "name")
    ],
    "/api/jobs",
    "/api/jobs?status=completed",
    "/api/jobs?job_type=persona_preview",
    "/api/jobs?search=luna",
    "/api/media",
    "/api/media?favorites_only=true",
    "/api/media?search=moonlit",
    "/api/media?tags=keep",
    "/api/media?tag=keep&search=ocean",
    "/api/media?date_from=2001-01-01",
]


def listed(person: Person, path: str, **query: str) -> list[bool]:
    """The is_nsfw of what a list shows; its totals must agree."""
    answer = person.get(asking(path, **query))
    body = answer.get_json()
    items = body if isinstance(body, list) else body.get("jobs", body.get("items"))
    assert answer.headers["X-Total-Count"] == str(len(items))
    assert isinstance(body, list) or body["total"] == len(items)
    return sorted(item["is_nsfw"] for item in items)


def asking(path: str, **query: str) -> str:
    """The path with more parameters."""
    return f"{path}{'&' if '?' in path else '?'}{urlencode(query)}"


ACCOUNT = "/api/admin/users/{}"

# How NSFW things go out of force: a path, who says it, and what.
OUT = [
    pytest.param(("alice", OWN, {"age_verified": False}), id="age"),
    pytest.param(("alice", OWN, {"enabled": False}), id="switched off"),
    pytest.param(("admin", DEFAULT, {"enabled": False}), id="instance off"),
    pytest.param(("admin", DEFAULT, {"age_verified": False}), id="instance age"),
    pytest.param(("admin", ACCOUNT, {"nsfw_allowed": False}), id="account"),
]


@pytest.fixture(params=OUT)
def put_out(request: pytest.FixtureRequest, admin: Person, alice: Person) -> Any:
    """Call it to put NSFW things out of force for alice, in each of the ways that there are."""
    name, path, change = request.param
    person = {"admin": admin, "alice": alice}[name]
    return lambda: (
        person.patch(path.format(alice.id), json=change).status_code == 200
        or pytest.fail("settings refused")
    )


def test_lists_show_nsfw_where_asked_and_in_force(alice: Person, scene: Scene) -> None:
    for path in LISTS:
        assert listed(alice, path) == [False], path
        assert listed(alice, path, include_nsfw="false") == [False], path
        assert listed(alice, path, include_nsfw="true") == [False, True], path
    for path in ("/api/jobs", "/api/media"):
        persona_id = str(scene.personas["nsfw"])
        assert listed(alice, path, persona_id=persona_id) == []
        assert listed(alice, path, persona_id=persona_id, include_nsfw="true") == [True]


def test_lists_hide_nsfw_out_of_force(alice: Person, scene: Scene, put_out: Any) -> None:
    put_out()
    for path in LISTS:
        assert listed(alice, path, include_nsfw="true") == [False], path


def test_what_an_account_may_not_have_it_cannot_ask_for(admin: Person, alice: Person) -> None:
    path = ACCOUNT.format(alice.id)
    alice.allow_nsfw()
    assert admin.patch(path, json={"nsfw_allowed": False}).get_json()["nsfw_allowed"] is False
    for answer in (
        alice.patch(OWN, json={"age_verified": True}),
        alice.put(OWN, json=alice.get(OWN).get_json() | {"age_verified": True}),
    ):
        body = answer.get_json()
        assert (answer.status_code, list(body["errors"])) == (422, ["age_verified"])
        assert body["codes"]["age_verified"][0]["code"] == "nsfw_not_allowed"
    assert alice.patch(OWN, json={"intensity": "low"}).status_code == 200
    made = alice.post("/api/personas", json={"name": "x", "style_prompt": "y", "is_nsfw": True})
    assert (made.status_code, made.get_json()["code"]) == (403, "nsfw_off")
    # What the account has said itself is in force again when it may.
    admin.patch(path, json={"nsfw_allowed": True})
    assert alice.persona(is_nsfw=True)["is_nsfw"]


def figures(person: Person, **query: str) -> list[Any]:
    """Every count that the statistics of jobs and media give."""
    jobs = person.get("/api/jobs/stats", query_string=query).get_json()
    media = person.get("/api/media/stats", query_string=query).get_json()
    counts = [
        jobs["total"],
        jobs["by_status"]["completed"],
        media["total"],
        media["favorites"],
        media["by_type"]["image"],
    ]
    return [*counts, media["nsfw"], media["total_size"], jobs["last_completed"]]


def test_statistics_count_nsfw_where_asked_and_in_force(alice: Person, scene: Scene) -> None:
    sizes = {name: item["file_size"] for name, item in scene.media.items()}
    ends = {
        name: alice.get(f"/api/jobs/{id}").get_json()["completed_at"]
        for name, id in scene.jobs.items()
    }
    assert figures(alice) == [1, 1, 1, 1, 1, 0, sizes["plain"], ends["plain"]]
    assert figures(alice, include_nsfw="true") == [
        2,
        2,
        2,
        2,
        2,
        1,
        sum(sizes.values()),
        ends["nsfw"],
    ]


def test_statistics_hide_nsfw_out_of_force(alice: Person, scene: Scene, put_out: Any) -> None:
    usual = figures(alice)
    put_out()
    assert figures(alice, include_nsfw="true") == usual


def by_id(scene: Scene, name: str) -> list[tuple[str, str, Any]]:
    """Every request that names a thing; none of them deletes it."""
    persona, job, media = (
        f"/api/personas/{scene.personas[name]}",
        f"/api/jobs/{scene.jobs[name]}",
        f"/api/media/{scene.media[name]['id']}",
    )
    return [
        ("GET", persona, None),
        ("PATCH", persona, {"description": "changed"}),
        ("PUT", persona, {"description": "changed"}),
        ("PATCH", persona, {"is_nsfw": name == "nsfw"}),
        ("POST", f"{persona}/duplicate", {}),
        ("POST", f"{persona}/preview", {}),
        ("PUT", f"{persona}/avatar", {"media_id": scene.media["plain"]["id"]}),
        ("GET", job, None),
        ("POST", f"{job}/cancel", None),
        ("POST", f"{job}/retry", None),
        ("GET", media, None),
        ("PATCH", media, {"is_favorite": True}),
        ("PUT", f"{media}/favorite", {"value": True}),
        ("PUT", f"{media}/tags", {"tags": ["keep"]}),
        ("GET", f"{media}/content", None),
        ("GET", f"{media}/thumbnail", None),
        ("GET", f"{media}/download", None),
    ]


def test_by_id_the_settings_in_force_alone_decide(
    alice: Person, scene: Scene, put_out: Any
) -> None:
    for method, path, body in by_id(scene, "nsfw"):
        assert alice.open(method, path, json=body, buffered=True).status_code in (
            200,
            201,
            202,
            409,
        ), (method, path)
    put_out()
    for method, path, body in by_id(scene, "nsfw"):
        assert alice.open(method, path, json=body, buffered=True).status_code == 404, (method, path)
    for method, path, body in by_id(scene, "plain"):
        assert alice.open(method, path, json=body, buffered=True).status_code in (
            200,
            201,
            202,
            409,
        ), (method, path)


def test_the_owners_delete_always_works(
    alice: Person, bob: Person, scene: Scene, put_out: Any
) -> None:
    put_out()
    paths = [
        f"/api/media/{scene.media['nsfw']['id']}",
        f"/api/jobs/{scene.jobs['nsfw']}",
        f"/api/personas/{scene.personas['nsfw']}",
    ]
    for path in paths:
        assert bob.delete(path).status_code == 404
        assert alice.delete(path).status_code == 204
        assert alice.delete(path).status_code == 404


def test_links_die_when_the_settings_change(
    alice: Person, client: FlaskClient, scene: Scene, put_out: Any
) -> None:
    names = ("url", "thumbnail_url", "download_url")
    links = {name: [item[link] for link in names] for name, item in scene.media.items()}
    links["nsfw"] += alice.get(f"/api/jobs/{scene.jobs['nsfw']}").get_json()["result_images"]
    assert {client.get(link, buffered=True).status_code for link in links["nsfw"]} == {200}
    put_out()
    assert {client.get(link, buffered=True).status_code for link in links["nsfw"]} == {404}
    assert {client.get(link, buffered=True).status_code for link in links["plain"]} == {200}


def test_an_etag_opens_nothing_out_of_force(alice: Person, scene: Scene, put_out: Any) -> None:
    paths = [f"/api/personas/{scene.personas['nsfw']}", f"/api/media/{scene.media['nsfw']['id']}"]
    etags = [alice.get(path).headers["ETag"] for path in paths]
    put_out()
    for path, etag in zip(paths, etags, strict=True):
        assert alice.get(path, headers={"If-None-Match": etag}).status_code == 404


def test_an_nsfw_avatar_is_hidden_like_its_media(alice: Person, scene: Scene, put_out: Any) -> None:
    path = f"/api/personas/{scene.personas['plain']}"
    assert (
        alice.put(f"{path}/avatar", json={"media_id": scene.media["nsfw"]["id"]}).status_code == 200
    )

    def in_lists(**query: str) -> set[bool]:
        paths = [path for path in LISTS if path.startswith("/api/personas")]
        found = [item for path in paths for item in alice.get(asking(path, **query)).get_json()]
        return {
            item["avatar_url"] is not None
            for item in found
            if item["id"] == scene.personas["plain"]
        }

    assert (
        alice.get(path)
        .get_json()["avatar_url"]
        .startswith(f"/api/media/{scene.media['nsfw']['id']}/thumbnail?")
    )
    assert (in_lists(), in_lists(include_nsfw="true")) == ({False}, {True})
    put_out()
    assert alice.get(path).get_json()["avatar_url"] is None
    assert in_lists(include_nsfw="true") == {False}
    # Nor can it be made one now.
    answer = alice.put(f"{path}/avatar", json={"media_id": scene.media["nsfw"]["id"]})
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["media_id"])


def test_an_nsfw_picture_is_hidden_in_a_job_that_is_not(alice: Person, scene: Scene) -> None:
    job = f"/api/jobs/{scene.jobs['plain']}"

    def pictures(**query: str) -> list[int]:
        paths = ("/api/jobs", "/api/jobs?status=completed", "/api/jobs?search=luna")
        found = [
            item for path in paths for item in alice.get(asking(path, **query)).get_json()["jobs"]
        ]
        return [
            len(item["result_images"]) for item in found if item["job_id"] == scene.jobs["plain"]
        ]

    assert pictures() == [1, 1, 1]
    assert (
        alice.patch(f"/api/media/{scene.media['plain']['id']}", json={"is_nsfw": True}).status_code
        == 200
    )
    assert (pictures(), pictures(include_nsfw="true")) == ([0, 0, 0], [1, 1, 1])
    assert len(alice.get(job).get_json()["result_images"]) == 1
    assert alice.patch(OWN, json={"age_verified": False}).status_code == 200
    assert alice.get(job).get_json()["result_images"] == []


# ------------------------------------------------------------------------------------------ writing


def test_making_something_nsfw_against_the_settings_is_forbidden(
    alice: Person, scene: Scene, put_out: Any
) -> None:
    put_out()
    everything = [
        alice.get(path).get_json() for path in ("/api/personas", "/api/jobs", "/api/media")
    ]
    persona, media = (
        f"/api/personas/{scene.personas['plain']}",
        f"/api/media/{scene.media['plain']['id']}",
    )
    for method, path, body in (
        ("POST", "/api/personas", {"name": "Nyx", "style_prompt": "night"}),
        ("PATCH", persona, {"name": "Nyx"}),
        ("PUT", persona, {"name": "Nyx"}),
        ("PATCH", media, {"tags": ["night"]}),
    ):
        answer = alice.open(method, path, json=body | {"is_nsfw": True})
        assert (answer.status_code, list(answer.get_json()["errors"])) == (403, ["is_nsfw"]), (
            method,
            path,
        )
    assert [
        alice.get(path).get_json() for path in ("/api/personas", "/api/jobs", "/api/media")
    ] == everything
    alice.patch(OWN, json={"age_verified": True, "enabled": True})


def flags(database: SqliteDatabase) -> dict[str, list[int]]:
    """The is_nsfw of every row, oldest first."""
    tables = ("personas", "generation_jobs", "media_items")
    query = "SELECT is_nsfw FROM {} ORDER BY created_at, id"
    return {
        table: [row[0] for row in database.connection.execute(query.format(table))]
        for table in tables
    }


def test_marking_a_persona_marks_its_jobs_and_media(
    alice: Person, bob: Person, worker: Worker, database: SqliteDatabase
) -> None:
    alice.allow_nsfw()
    other, persona = (
        alice.persona(name=name, generation_params=SMALL) for name in ("other", "this")
    )
    bobs = bob.persona(generation_params=SMALL)
    for person, one in ((alice, other), (alice, persona), (bob, bobs)):
        person.preview(one["id"])
        assert worker.work_one()
    queued = alice.preview(persona["id"])
    path = f"/api/personas/{persona['id']}"
    etag = alice.get(f"/api/jobs/{queued}").headers["ETag"]
    assert alice.patch(path, json={"is_nsfw": True}).status_code == 200
    assert flags(database) == {
        "personas": [0, 1, 0],
        "generation_jobs": [0, 1, 0, 1],
        "media_items": [0, 1, 0],
    }
    assert alice.get(f"/api/jobs/{queued}").headers["ETag"] != etag
    assert worker.work_one()
    assert alice.patch(path, json={"is_nsfw": False}).status_code == 200
    assert flags(database) == {
        "personas": [0, 0, 0],
        "generation_jobs": [0, 1, 0, 1],
        "media_items": [0, 1, 0, 1],
    }


@pytest.mark.parametrize("table", ["generation_jobs", "media_items", "personas"])
def test_marking_is_one_transaction(
    alice: Person, worker: Worker, database: SqliteDatabase, table: str
) -> None:
    """Where one of the three cannot be marked, none is."""
    alice.allow_nsfw()
    persona = alice.persona(generation_params=SMALL)
    alice.preview(persona["id"])
    assert worker.work_one()
    refuse_updates(database.connection, table, "is_nsfw")
    assert alice.patch(f"/api/personas/{persona['id']}", json={"is_nsfw": True}).status_code == 500
    assert flags(database) == {"personas": [0], "generation_jobs": [0], "media_items": [0]}


class Meanwhile(Engine):
    """The mock, with something that happens while it renders."""

    def __init__(self) -> None:
        super().__init__("mock")
        self.requests: list[RenderRequest] = []
        self.happens: Any = lambda: None

    def render(self, request: RenderRequest, context: RenderContext) -> list[RenderedImage]:
        self.requests.append(request)
        self.happens()
        return MockEngine().render(request, context)


@pytest.fixture
def meanwhile(app: Flask, settings: Settings) -> tuple[Meanwhile, Worker]:
    """An engine that tells what it was asked for, and its worker."""
    engine = Meanwhile()
    return engine, make_worker(settings, services_of(app).database, [engine], threading.Event())


def test_what_is_being_rendered_is_marked_too(
    alice: Person, meanwhile: tuple[Meanwhile, Worker], database: SqliteDatabase
) -> None:
    engine, worker = meanwhile
    alice.allow_nsfw()
    persona = alice.persona(generation_params=SMALL)
    job = alice.preview(persona["id"])
    engine.happens = lambda: alice.patch(f"/api/personas/{persona['id']}", json={"is_nsfw": True})
    assert worker.work_one()
    assert alice.get(f"/api/jobs/{job}").get_json()["status"] == "completed"
    assert flags(database) == {"personas": [1], "generation_jobs": [1], "media_items": [1]}


@pytest.mark.parametrize(
    ("instance", "own", "expected"),
    [
        ({}, {}, {"intensity": "medium", "suggestive": True}),
        ({}, {"intensity": "low"}, {"intensity": "low", "suggestive": True}),
        ({}, {"categories": {"suggestive": False}}, {"intensity": "medium", "suggestive": False}),
        ({"intensity": "low"}, {}, {"intensity": "low", "suggestive": True}),
        ({"categories": {"suggestive": False}}, {}, {"intensity": "medium", "suggestive": False}),
    ],
)
def test_engines_get_the_stricter_of_user_and_instance(
    admin: Person,
    alice: Person,
    meanwhile: tuple[Meanwhile, Worker],
    instance: dict[str, Any],
    own: dict[str, Any],
    expected: dict[str, Any],
) -> None:
    engine, worker = meanwhile
    assert alice.put(OWN, json=INSTANCE | own).status_code == 200
    alice.preview(alice.persona(is_nsfw=True, generation_params=SMALL)["id"])
    # Lowered after alice said her word, and after the job was queued.
    assert admin.patch(DEFAULT, json=instance).status_code == 200
    assert worker.work_one()
    [request] = engine.requests
    assert request.is_nsfw
    assert request.content_policy == {
        "enabled": True,
        "intensity": expected["intensity"],
        "categories": {"suggestive": expected["suggestive"], "explicit": False, "violence": False},
    }

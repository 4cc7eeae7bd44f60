"""Walks over the URL map: what holds for every route, so that a new one is guarded or a test fails.

`ROUTES` is the table of what each guarded route takes; a route that is missing from it fails the
first test.
"""

from __future__ import annotations

import io
import json
import logging
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urljoin

import pytest
from conftest import PASSWORD, Person
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate as validate_openapi
from PIL import Image
from werkzeug.test import TestResponse

from seidra.database.queries import queries
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.exchange.belongings import Chosen
from seidra.exchange.exports import ask_export
from seidra.jobs.worker import Worker
from seidra.studio.public import PATHS as SHARED_PAGES
from seidra.studio.routes import PATHS as STUDIO
from seidra.values import timestamp, timestamp_in
from seidra.web.logs import JsonFormatter
from seidra.web.services import services_of

PERSONA, JOB, MEDIA = (
    "/api/personas/<id:persona_id>",
    "/api/jobs/<uuid:job_id>",
    "/api/media/<uuid:media_id>",
)
SESSION, KEY = "/api/auth/sessions/<string(length=16):handle>", "/api/auth/keys/<id:key_id>"
ENTRY = "/api/trash/<uuid:entry_id>"
SHARE = "/api/shares/<uuid:share_id>"
COLLECTION = "/api/collections/<uuid:collection_id>"
IMPORT = "/api/imports/<uuid:import_id>"
EXPORT = "/api/exports/<uuid:export_id>"
ACCOUNT = "/api/admin/users/<id:user_id>"
GROUP = "/api/admin/groups/<id:group_id>"
INVITATION = "/api/admin/invitations/<id:invitation_id>"
HAND_OVER = "/hand-overs/<id:hand_over_id>"
NSFW = {
    "enabled": True,
    "age_verified": True,
    "intensity": "low",
    "categories": {"suggestive": True},
}
ANY_ID = "6f1c2f0e-0d5b-5d5c-9c55-2b8d3f3c1a10"

INFOTEXT = "moonlit ocean\nSteps: 25, Sampler: Euler a, CFG scale: 7, Seed: 42"

ROUTES: dict[tuple[str, str], dict[str, Any] | None] = {
    ("GET", "/api/auth/me"): None,
    ("PATCH", "/api/auth/me"): {"email": "new@example.com", "current_password": PASSWORD},
    ("GET", "/api/auth/sessions"): None,
    ("DELETE", SESSION): None,
    ("POST", "/api/auth/sessions/end-others"): None,
    ("GET", "/api/auth/keys"): None,
    ("POST", "/api/auth/keys"): {
        "name": "script",
        "scope": "read",
        "expires_in_days": 7,
        "current_password": PASSWORD,
    },
    ("DELETE", KEY): None,
    ("GET", "/api/admin/users"): None,
    ("POST", "/api/admin/users"): {
        "username": "dora",
        "email": "dora@example.com",
        "password": PASSWORD,
    },
    ("PATCH", ACCOUNT): {"nsfw_allowed": False},
    ("POST", f"{ACCOUNT}/password-link"): None,
    ("GET", "/api/admin/invitations"): None,
    ("POST", "/api/admin/invitations"): {"days": 3, "note": "for Grandma"},
    ("DELETE", INVITATION): None,
    ("POST", f"{ACCOUNT}/hand-over"): {"to": 2, "what": "all"},
    ("GET", "/api/admin/hand-overs"): None,
    ("GET", f"/api/admin{HAND_OVER}"): None,
    ("DELETE", f"/api/admin{HAND_OVER}"): None,
    ("GET", "/api/hand-overs"): None,
    ("POST", f"/api{HAND_OVER}/accept"): None,
    ("POST", f"/api{HAND_OVER}/decline"): None,
    ("DELETE", ACCOUNT): None,
    ("GET", "/api/admin/instance"): None,
    ("GET", "/api/admin/groups"): None,
    ("POST", "/api/admin/groups"): {"name": "Children", "engine_minutes_a_day": 30},
    ("GET", GROUP): None,
    ("PATCH", GROUP): {"max_pictures": 2_000},
    ("POST", f"{GROUP}/members"): {"remove": [999]},
    ("DELETE", GROUP): None,
    ("GET", "/api/admin/usage"): None,
    ("GET", "/api/admin/usage.csv"): None,
    ("PUT", "/api/auth/me/settings"): {"theme": "midnight", "language": "fr"},
    ("GET", "/api/settings"): None,
    ("PUT", "/api/settings"): {"theme": "midnight", "extra": {"grid": 4}},
    ("GET", "/api/settings/nsfw"): None,
    ("PUT", "/api/settings/nsfw"): NSFW,
    ("PATCH", "/api/settings/nsfw"): {"intensity": "low"},
    ("GET", "/api/settings/nsfw/default"): None,
    ("PUT", "/api/settings/nsfw/default"): NSFW,
    ("PATCH", "/api/settings/nsfw/default"): {"intensity": "low"},
    ("GET", "/api/system/summary"): None,
    ("GET", "/api/personas"): None,
    ("POST", "/api/personas"): {
        "name": "Sol",
        "style_prompt": "desert",
        "description": "Dry",
        "negative_prompt": "rain",
    },
    ("GET", "/api/personas/facets"): None,
    ("POST", "/api/personas/bulk"): {"ids": [999], "action": "favorite"},
    ("GET", PERSONA): None,
    ("PUT", PERSONA): {"name": "Luna", "avatar_url": "https://pictures.example/luna.png"},
    ("PATCH", PERSONA): {"style_prompt": "sunlit ocean", "avatar_url": None},
    ("POST", f"{PERSONA}/duplicate"): {"name": "Luna again"},
    ("PUT", f"{PERSONA}/avatar"): {"media_id": "{media}"},
    ("POST", f"{PERSONA}/preview"): {"seed": 42},
    ("GET", f"{PERSONA}/check"): None,
    ("GET", f"{PERSONA}/export"): None,
    ("POST", "/api/exports"): {"everything": True, "to": "seidra"},
    ("GET", "/api/export"): None,
    ("GET", "/api/exports"): None,
    ("GET", EXPORT): None,
    ("GET", f"{EXPORT}/download"): None,
    ("GET", f"{PERSONA}/revisions"): None,
    ("GET", f"{PERSONA}/revisions/<id:number>"): None,
    ("POST", f"{PERSONA}/revisions/<id:number>/restore"): None,
    ("POST", "/api/previews"): {
        "persona": {"name": "Sol", "style_prompt": "desert"},
        "seed": 42,
    },
    ("GET", "/api/jobs"): None,
    ("POST", "/api/jobs"): {"prompt": "a lighthouse", "parameters": {"width": 64, "height": 64}},
    ("GET", "/api/jobs/stats"): None,
    ("GET", "/api/jobs/events"): None,
    ("POST", "/api/jobs/events/ticket"): None,
    ("GET", JOB): None,
    ("GET", f"{JOB}/events"): None,
    ("GET", f"{JOB}/frame"): None,
    ("PATCH", JOB): {"is_nsfw": False},
    ("POST", "/api/jobs/cancel"): {"status": "queued"},
    ("POST", f"{JOB}/cancel"): None,
    ("POST", f"{JOB}/retry"): None,
    ("POST", f"{JOB}/again"): None,
    ("GET", "/api/engines"): None,
    ("GET", "/api/engines/<name>/catalogue"): None,
    ("POST", "/api/admin/engines/<name>/check"): None,
    ("GET", "/api/media"): None,
    ("POST", "/api/media"): None,
    ("GET", "/api/media/stats"): None,
    ("GET", "/api/media/timeline"): None,
    ("GET", "/api/media/facets"): None,
    ("POST", "/api/media/bulk"): {"ids": [ANY_ID], "action": "favorite"},
    ("POST", f"{MEDIA}/share"): {"days": 7, "with_details": False},
    ("GET", f"{MEDIA}/shares"): None,
    ("GET", "/api/shares"): None,
    ("DELETE", SHARE): None,
    ("GET", "/api/collections"): None,
    ("POST", "/api/collections"): {"name": "Tides", "description": "Of the sea"},
    ("GET", COLLECTION): None,
    ("PATCH", COLLECTION): {"name": "Low tides"},
    ("GET", f"{COLLECTION}/media"): None,
    ("POST", f"{COLLECTION}/media"): {"ids": ["{media}"]},
    ("PUT", f"{COLLECTION}/order"): {"ids": ["{media}"]},
    ("DELETE", f"{COLLECTION}/media"): {"ids": [ANY_ID]},
    ("POST", f"{COLLECTION}/share"): {"days": 7},
    ("GET", f"{COLLECTION}/shares"): None,
    ("DELETE", COLLECTION): None,
    ("GET", "/api/tags"): None,
    ("POST", "/api/tags/rename"): {"tag": "sea", "to": "ocean"},
    ("POST", "/api/tags/delete"): {"tag": "ocean"},
    ("GET", MEDIA): None,
    ("POST", "/api/generate/single"): {
        "prompt": "a lighthouse",
        "width": 64,
        "height": 64,
        "num_images": 2,
        "lora_models": [],
        "metadata": {"from": "a form"},
    },
    ("POST", "/api/media/bulk-action"): {
        "action": "tag",
        "media_ids": ["{media}"],
        "tags": ["keep"],
    },
    ("GET", "/api/models/available"): None,
    ("GET", "/api/models/lora"): None,
    ("GET", "/api/models/status"): None,
    ("POST", "/api/models/reload"): None,
    ("POST", "/api/models/download"): None,
    ("POST", "/api/models/clear-cache"): None,
    ("DELETE", "/api/models/<model:name>"): None,
    ("GET", "/api/system/info"): None,
    ("GET", "/api/system/notifications"): None,
    ("PATCH", MEDIA): {"is_favorite": True, "tags": ["keep"]},
    ("PUT", f"{MEDIA}/favorite"): {"value": True},
    ("PUT", f"{MEDIA}/tags"): {"tags": ["keep", "cover"]},
    ("GET", f"{MEDIA}/content"): None,
    ("GET", f"{MEDIA}/thumbnail"): None,
    ("GET", f"{MEDIA}/download"): None,
    ("GET", "/api/trash"): None,
    ("POST", "/api/trash/restore"): {"ids": ["{restorable}"]},
    ("GET", f"{ENTRY}/thumbnail"): None,
    ("DELETE", ENTRY): None,
    ("DELETE", EXPORT): None,
    ("DELETE", "/api/trash"): None,
    ("GET", "/api/imports"): None,
    ("POST", "/api/imports"): {"text": INFOTEXT, "tags": ["pasted"]},
    ("POST", "/api/personas/from-picture"): {"text": INFOTEXT},
    ("GET", IMPORT): None,
    ("POST", f"{IMPORT}/apply"): {"choices": {"0": "skip"}},
    ("POST", f"{IMPORT}/undo"): None,
    ("DELETE", IMPORT): None,
    ("DELETE", MEDIA): None,
    ("DELETE", JOB): None,
    ("DELETE", PERSONA): None,
    ("POST", "/api/auth/me/delete"): {"password": PASSWORD},
    ("DELETE", "/api/auth/me"): {"password": PASSWORD},
    ("POST", "/api/auth/logout"): None,
}
PUBLIC: dict[tuple[str, str], dict[str, Any] | None] = {
    ("POST", "/api/auth/register"): {
        "username": "carol",
        "email": "carol@example.com",
        "password": PASSWORD,
    },
    ("POST", "/api/auth/login"): {"username": "alice", "password": PASSWORD},
    ("POST", "/api/auth/refresh"): None,
    ("POST", "/api/auth/proxy"): None,
    ("POST", "/api/auth/password"): {"token": "{link}", "password": PASSWORD},
    ("GET", "/api/instance"): None,
    ("GET", "/api/health"): None,
    ("GET", "/api/health/ready"): None,
    ("GET", "/api/openapi.json"): None,
    ("GET", "/api/docs"): None,
    ("GET", "/api/docs/files/<path:name>"): None,
}
WITH_ID = {
    route: body
    for route, body in ROUTES.items()
    if "<" in route[1] and "name>" not in route[1] and "/admin/" not in route[1]
}
"""The routes of things that have an owner: engines have none, and accounts have administrators."""
PAGES = {
    *(("GET", path) for path in (*STUDIO, *SHARED_PAGES)),
    ("GET", "/studio/<digest>/<path:name>"),
    ("GET", "/docs"),
    ("GET", "/favicon.ico"),
}
"""What a browser asks for by itself: no part of the API."""

WITH_BODY = {route: body for route, body in (ROUTES | PUBLIC).items() if body is not None}
NOT_OFFERED = {
    ("POST", "/api/models/download"),
    ("POST", "/api/models/clear-cache"),
    ("DELETE", "/api/models/<model:name>"),
}
"""What a frontend calls, and SEIDRA does not do: a 501 for everybody who has a token."""
MULTIPART = {("POST", "/api/media")}
"""Whose body is no JSON; tests/test_sent_pictures.py has it."""
BARE = {("PUT", f"{MEDIA}/tags")}
"""Whose body may be an array."""
OPTIONAL_BODY = {
    ("POST", "/api/admin/invitations"),
    ("POST", f"{PERSONA}/duplicate"),
    ("POST", f"{PERSONA}/preview"),
    ("PUT", f"{MEDIA}/favorite"),
    ("POST", f"{IMPORT}/apply"),
}


def routes(app: Flask) -> set[tuple[str, str]]:
    """Every method and rule of the URL map."""
    methods = {"GET", "POST", "PUT", "PATCH", "DELETE"}
    return {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) & methods
    }


def fill(text: str, things: dict[str, Any]) -> str:
    """A rule with the ids of these things, or a path with any ids."""
    ids = {
        "id:persona_id": things["persona"],
        "uuid:job_id": things["job"],
        "uuid:media_id": things["media"],
        "uuid:entry_id": things["entry"],
        "uuid:import_id": things["import"],
        "uuid:export_id": things["export"],
        "uuid:share_id": things["share"],
        "uuid:collection_id": things["collection"],
        "string(length=16):handle": things["session"],
        "id:key_id": things["key"],
        "id:user_id": things["account"],
        "id:group_id": things.get("group", 999),
        "id:number": 1,
        "id:invitation_id": things.get("invitation", 999),
        "id:hand_over_id": things.get("hand_over", 999),
        "name": "mock",
        "model:name": "checkpoints/mock",
    }
    return re.sub(r"<([^>]+)>", lambda match: str(ids.get(match[1], "swagger-ui.css")), text)


def filled(body: Any, things: dict[str, Any]) -> Any:
    text = json.dumps(body).replace("{media}", str(things["media"]))
    text = text.replace("{restorable}", str(things.get("restorable", ANY_ID)))
    return json.loads(text.replace("{link}", things.get("link", "no link")))


TEXTS = {("GET", "/api/export"), ("GET", "/api/admin/usage.csv")}
"""What answers no JSON."""
FILES = ("/content", "/thumbnail", "/download", "/frame")
STREAMS = {("GET", "/api/jobs/events"), ("GET", f"{JOB}/events")}
SECRETS = {
    ("POST", "/api/jobs/events/ticket"),
    ("POST", "/api/auth/keys"),
    ("POST", f"{ACCOUNT}/password-link"),
    ("POST", f"{MEDIA}/share"),
    ("POST", f"{COLLECTION}/share"),
    ("POST", "/api/admin/invitations"),
}
"""What hands out something to get in with."""


@pytest.fixture(autouse=True)
def short_streams(request: pytest.FixtureRequest) -> None:
    """Streams say their first words and end, as in a process that stops."""
    if "app" in request.fixturenames:
        services_of(request.getfixturevalue("app")).streams.stopping = lambda: True


NOTHING = {
    "persona": 1,
    "job": ANY_ID,
    "media": ANY_ID,
    "entry": ANY_ID,
    "import": ANY_ID,
    "export": ANY_ID,
    "share": ANY_ID,
    "collection": ANY_ID,
    "session": "0" * 16,
    "key": 1,
    "account": 999,
}


def furnish(person: Person, worker: Worker) -> dict[str, Any]:
    """Make a persona with a completed job and its media, another session and an API key; returns
    their ids."""
    login = {"username": person.name, "password": PASSWORD}
    assert person.client.post("/api/auth/login", json=login).status_code == 200
    key = {"name": "script", "scope": "all", "current_password": PASSWORD}
    sessions = person.get("/api/auth/sessions").get_json()["sessions"]
    small = {"width": 64, "height": 64}
    persona = person.persona(generation_params=small, tags=["sea"])["id"]
    deleted = [person.preview(persona) for _ in range(2)]
    while worker.work_one():
        pass
    for item in person.get("/api/media").get_json()["items"]:
        if item["job_id"] in deleted:
            assert person.delete(f"/api/media/{item['id']}").status_code == 204
    for job in deleted:
        assert person.delete(f"/api/jobs/{job}").status_code == 204
    trash = person.get("/api/trash").get_json()["items"]
    job = person.preview(persona)
    while worker.work_one():
        pass
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "WEBP")
    with services_of(person.client.application).database.transaction() as tx:
        frame = (job, 1, picture.getvalue())
        tx.execute("INSERT INTO job_frames (job_id, n, webp) VALUES (?, ?, ?)", frame)
        group = {"name": f"Group of {person.name}", "name_key": f"group of {person.name}"}
        limits = dict.fromkeys(("engines", "models", "engine_minutes_a_day", "max_pictures"))
        limits |= {"max_bytes": None, "may_share": None, "nsfw_allowed": True}
        group_id = queries.limits.group_create(tx, **group, **limits, now=timestamp())
        moments = {"now": timestamp(), "expires_at": timestamp_in(86_400)}
        invitation = queries.invitations.create(
            tx,
            digest=f"of {person.name}",
            email=None,
            note="",
            group_id=None,
            made_by=person.id,
            **moments,
        )
        hand_over = queries.hand_overs.create(
            tx,
            from_id=1,
            from_name="system",
            to_id=person.id,
            to_name=person.name,
            made_by=person.id,
            what="all",
            **moments,
        )
        queries.hand_overs.answer(
            tx, id=hand_over, status="declined", now=timestamp(), ended_at=timestamp()
        )
        export = ask_export(tx, person.id, "seidra", Chosen(None, nsfw=True), 1)["id"]
    assert worker.work_long()
    media = person.get("/api/media").get_json()["items"][0]["id"]
    collection = person.post("/api/collections", json={"name": "Waves"}).get_json()["id"]
    added = person.post(f"/api/collections/{collection}/media", json={"ids": [media]})
    assert added.status_code == 200, added.text
    return {
        "persona": persona,
        "job": job,
        "media": media,
        "collection": collection,
        "share": person.post(f"/api/media/{media}/share", json={"days": 1}).get_json()["id"],
        "entry": trash[0]["id"],
        "export": export,
        "restorable": trash[1]["id"],
        "import": person.post("/api/imports", json={"text": INFOTEXT}).get_json()["id"],
        "session": next(each["id"] for each in sessions if not each["current"]),
        "key": person.post("/api/auth/keys", json=key).get_json()["id"],
        "account": person.id,
        "group": group_id,
        "invitation": invitation,
        "hand_over": hand_over,
    }


def problem(answer: TestResponse, status: int, *fields: str) -> None:
    """Assert that an answer is the one shape of a failure, and names these fields."""
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    body = answer.get_json()
    common = {"type", "title", "status", "code", "detail", "request_id"}
    assert body.keys() == common | ({"errors", "codes"} if fields else set())
    assert re.fullmatch(r"[a-z_]+", body["code"])
    assert {f: len(c) for f, c in body.get("codes", {}).items()} == {
        f: len(texts) for f, texts in body.get("errors", {}).items()
    }
    assert (body["type"], body["status"]) == ("about:blank", status)
    assert body["title"]
    assert re.fullmatch(r"[A-Z0-9].*\.", body["detail"]), body["detail"]
    assert body["request_id"] == answer.headers["X-Request-ID"]
    assert list(body.get("errors", {})) == list(fields)
    assert all(isinstance(text, str) for texts in body.get("errors", {}).values() for text in texts)


# -------------------------------------------------------------------------------------- the URL map


def test_every_route_stands_in_the_table(app: Flask) -> None:
    assert routes(app) == ROUTES.keys() | PUBLIC.keys() | PAGES


def test_every_route_but_the_public_ones_refuses_bad_tokens(
    alice: Person, bob: Person, worker: Worker
) -> None:
    things = furnish(alice, worker)
    assert bob.post("/api/auth/logout").status_code == 204
    header, payload, signature = alice.token["access_token"].split(".")
    bad = [
        {},
        {"Authorization": f"Bearer {header}.{payload}.{signature[::-1]}"},
        {"Authorization": f"Bearer {alice.token['refresh_token']}"},
        bob.headers,
    ]
    for (method, rule), body in ROUTES.items():
        for headers in bad:
            answer = alice.client.open(
                fill(rule, things), method=method, headers=headers, json=filled(body, things)
            )
            problem(answer, 401)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer"), (method, rule)
            # Nor is anything told about what stands behind it.
            problem(alice.client.open(fill(rule, NOTHING), method=method, headers=headers), 401)
    me = alice.get("/api/auth/me").get_json()
    assert me | alice.token["user"] == me
    assert len(alice.get("/api/personas").get_json()) == 1


def test_another_users_things_do_not_exist(
    alice: Person, bob: Person, admin: Person, worker: Worker
) -> None:
    things = furnish(alice, worker)
    others = {person.name: furnish(person, worker)["media"] for person in (bob, admin)}
    before = [alice.get(fill(rule, things)).get_json() for rule in (PERSONA, JOB, MEDIA)]
    for (method, rule), body in WITH_ID.items():
        for person in (bob, admin):
            path = fill(rule, things)
            answer = person.open(method, path, json=filled(body, {"media": others[person.name]}))
            problem(answer, 404)
            detail = answer.get_json()["detail"]
            # Not to be told from what never was.
            names = ("job", "media", "entry", "export", "import", "share", "collection")
            ids = {name: uuid.uuid4() for name in names} | {"persona": 999}
            missing = fill(rule, ids | {"session": "f" * 16, "key": 999, "account": 999})
            assert (
                person.open(method, missing, json=filled(body, things)).get_json()["detail"]
                == detail
            )
    assert [alice.get(fill(rule, things)).get_json() for rule in (PERSONA, JOB, MEDIA)] == before


def test_lists_and_statistics_hold_ones_own_things_alone(
    alice: Person, bob: Person, worker: Worker
) -> None:
    empty = {path: bob.get(path).get_json() for path in ("/api/jobs/stats", "/api/media/stats")}
    things = furnish(alice, worker)
    for path in (
        "/api/personas",
        "/api/personas?search=luna",
        "/api/personas?search=lu",
        "/api/personas?sort=name",
        "/api/jobs",
        "/api/jobs?search=luna",
        f"/api/jobs?persona_id={things['persona']}",
        "/api/media",
        "/api/media?search=ocean",
        f"/api/media?persona_id={things['persona']}",
    ):
        assert alice.get(path).headers["X-Total-Count"] == "1", path
        assert bob.get(path).headers["X-Total-Count"] == "0", path
    assert {path: bob.get(path).get_json() for path in empty} == empty


def test_another_users_media_is_no_avatar(alice: Person, bob: Person, worker: Worker) -> None:
    media = furnish(alice, worker)["media"]
    persona = bob.persona()["id"]
    problem(bob.put(f"/api/personas/{persona}/avatar", json={"media_id": media}), 422, "media_id")
    link = alice.get(f"/api/media/{media}").get_json()["thumbnail_url"]
    problem(bob.patch(f"/api/personas/{persona}", json={"avatar_url": link}), 422, "avatar_url")


def test_a_trailing_slash_changes_nothing(admin: Person, worker: Worker) -> None:
    things = furnish(admin, worker)
    for method, rule in ROUTES.keys() | PUBLIC.keys() - {("GET", "/api/docs/files/<path:name>")}:
        path = fill(rule, things)
        answers = [admin.client.open(at, method=method, json={}) for at in (path, f"{path}/")]
        assert answers[0].status_code == answers[1].status_code, (method, rule)
        other = (401, 415) if (method, rule) in MULTIPART else (200, 401, 422)
        assert answers[0].status_code in other, (method, rule)
        # How much of the disk is free, and the time, change from one moment to the next.
        moving = ("/api/admin/instance", "/api/system/info", "/api/export")
        if method == "GET" and rule not in moving:
            plain, slashed = (admin.get(at, buffered=True) for at in (path, f"{path}/"))
            assert (
                (plain.status_code, plain.data)
                == (slashed.status_code, slashed.data)
                == (200, plain.data)
            ), rule


# ------------------------------------------------------------------------------------------- bodies


def send(
    person: Person, route: tuple[str, str], data: str | bytes, media_type: str = "application/json"
) -> TestResponse:
    return person.open(route[0], fill(route[1], NOTHING), data=data, content_type=media_type)


def test_bodies_that_are_no_json_object(admin: Person) -> None:
    for route, body in WITH_BODY.items():
        text = json.dumps(filled(body, NOTHING))
        problem(send(admin, route, text, "text/plain"), 415)
        problem(send(admin, route, "name=Luna", "application/x-www-form-urlencoded"), 415)
        for malformed in (
            "{",
            text[:-1],
            text + "x",
            "{'name': 1}",
            b"\xff",
            '{"a": NaN}',
            '{"a": -Infinity}',
        ):
            problem(send(admin, route, malformed), 400)
        for other in ("[]", "3", '"text"', "null", "true"):
            if other != "[]" or route not in BARE:
                problem(send(admin, route, other), 422, "body")
        if route not in OPTIONAL_BODY:
            problem(send(admin, route, ""), 400)


def test_deep_nesting_is_malformed(admin: Person) -> None:
    depth = 10_000
    for route in WITH_BODY:
        problem(send(admin, route, "[" * depth + "]" * depth), 400)
        problem(send(admin, route, '{"a":' * depth + "1" + "}" * depth), 400)


def test_unknown_fields_are_named(admin: Person) -> None:
    for route, body in WITH_BODY.items():
        for name, shown in (
            ("colour", "colour"),
            ("\x00", "\x00"),
            ("\ud800", "\\ud800"),
            ("é", "é"),
        ):
            problem(send(admin, route, json.dumps(filled(body, NOTHING) | {name: 1})), 422, shown)


def test_text_that_nothing_can_hold_is_refused(admin: Person) -> None:
    for route, body in WITH_BODY.items():
        whole = filled(body, NOTHING)
        for name in (name for name, value in whole.items() if isinstance(value, str)):
            for bad in ("carol\x00@example.com", "carol\ud800@example.com", "\udfff" * 20):
                problem(send(admin, route, json.dumps(whole | {name: bad})), 422, name)


def test_numbers_that_are_none(admin: Person) -> None:
    for route, body in WITH_BODY.items():
        whole = filled(body, NOTHING)
        for name in whole:
            for number in ("1e999", "-1e999", str(10**40)):
                data = json.dumps(whole | {name: "(number)"}).replace('"(number)"', number)
                problem(send(admin, route, data), 422, name)
    for number in ("1e999", "-1e999", str(10**40)):
        settings = f'{{"extra": {{"a": {number}}}}}'
        problem(send(admin, ("PUT", "/api/settings"), settings), 422, "extra")
        params = f'{{"strength": [{number}]}}'
        free = f'{{"name": "a", "style_prompt": "b", "generation_params": {params}}}'
        answer = send(admin, ("POST", "/api/personas"), free)
        if number.isdecimal():
            # What other programs count so far is kept, as text.
            assert answer.get_json()["generation_params"] == {"strength": [number]}
        else:
            problem(answer, 422, "generation_params")


def test_bodies_that_are_too_large(make_app: Callable[..., Flask]) -> None:
    admin = Person(make_app(max_body=1024), "admin")
    for route, body in WITH_BODY.items():
        text = json.dumps(filled(body, NOTHING))
        problem(send(admin, route, text + " " * 1024), 413)
        assert send(admin, route, "3".ljust(1024)).status_code == 422


def test_bodies_that_break_off(admin: Person) -> None:
    """The client went in the middle: what came looks whole, and must not be taken for it."""
    for route, body in WITH_BODY.items():
        text = json.dumps(filled(body, NOTHING))
        answer = admin.open(
            route[0],
            fill(route[1], NOTHING),
            data=text,
            content_type="application/json",
            environ_overrides={"CONTENT_LENGTH": str(len(text) + 1)},
        )
        problem(answer, 400)


class Reset(io.BytesIO):
    """The body of a client whose connection is gone."""

    def read(self, size: int | None = -1) -> bytes:
        raise ConnectionResetError


def test_bodies_whose_connection_is_reset(admin: Person) -> None:
    for (method, rule), body in WITH_BODY.items():
        text = json.dumps(filled(body, NOTHING))
        answer = admin.open(
            method,
            fill(rule, NOTHING),
            content_type="application/json",
            environ_overrides={"wsgi.input": Reset(), "CONTENT_LENGTH": str(len(text))},
        )
        problem(answer, 400)


# ---------------------------------------------------------------------------------- numbers in URLs


@pytest.mark.parametrize(
    "id", [0, -1, 2**31, 2**63 - 1, 2**63, 2**64, 10**400, "1.0", "x", "١٢", "%00", "1%2F2"]
)
def test_ids_that_no_persona_has(admin: Person, id: Any) -> None:
    for (method, rule), body in WITH_ID.items():
        if rule.startswith(PERSONA):
            problem(
                admin.open(
                    method, fill(rule, NOTHING | {"persona": id}), json=filled(body, NOTHING)
                ),
                404,
            )


@pytest.mark.parametrize(
    "id", [ANY_ID, ANY_ID.upper(), "1", "x" * 36, ANY_ID[:-1], "%00", "stats/x"]
)
def test_ids_that_no_job_or_media_has(admin: Person, id: str) -> None:
    for (method, rule), body in WITH_ID.items():
        if not rule.startswith(PERSONA):
            answer = admin.open(
                method,
                fill(rule, NOTHING | {"job": id, "media": id}),
                json=filled(body, NOTHING),
            )
            problem(answer, 404)


@pytest.mark.parametrize("offset", [1, 2**31, 2**63 - 1, 2**63, 2**64, 10**40])
def test_offsets_beyond_the_end_give_an_empty_page(
    alice: Person, worker: Worker, offset: int
) -> None:
    furnish(alice, worker)
    for path in (
        "/api/personas?",
        "/api/personas?search=luna&",
        "/api/jobs?",
        "/api/jobs?search=luna&",
        "/api/jobs?status=completed&",
        "/api/media?",
        "/api/media?search=ocean&",
    ):
        answer = alice.get(f"{path}offset={offset}")
        body = answer.get_json()
        assert answer.status_code == 200
        assert (body if isinstance(body, list) else body.get("jobs", body.get("items"))) == []
        assert answer.headers["X-Total-Count"] == "1"


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=-1", "limit=1.5", "limit=%20", "limit=١", "limit=1_0"]
)
def test_limits_have_limits(admin: Person, query: str) -> None:
    for path in ("/api/personas", "/api/jobs", "/api/media"):
        problem(admin.get(f"{path}?{query}"), 422, "limit")
        problem(admin.get(f"{path}?offset=-1"), 422, "offset")
        assert admin.get(f"{path}?limit=100&offset=0&unknown=1").status_code == 200


# -------------------------------------------------------------------------------- failures, headers


def test_every_failure_has_one_shape(make_app: Callable[..., Flask]) -> None:
    app = make_app(max_queued_jobs=1)
    admin = Person(app, "admin")
    persona = admin.persona()["id"]
    job = admin.preview(persona)
    stale = {"If-Match": '"99"'}
    for method, path, more, status, fields in (
        ("GET", "/nothing", {}, 404, ()),
        ("GET", "/api", {}, 404, ()),
        ("GET", "/api/personas//", {}, 404, ()),
        ("GET", "/api/docs/files/none.js", {}, 404, ()),
        ("GET", "/api/docs/files/..%2f__init__.py", {}, 404, ()),
        ("GET", "/metrics", {}, 404, ()),
        ("PUT", "/api/personas", {}, 405, ()),
        ("TRACE", "/api/personas", {}, 405, ()),
        ("POST", "/api/auth/login", {"json": {"username": "admin", "password": "wrong"}}, 401, ()),
        ("POST", "/api/auth/refresh", {}, 401, ()),
        (
            "POST",
            "/api/auth/register",
            {"json": PUBLIC["POST", "/api/auth/register"] | {"username": "ADMIN"}},
            409,
            ("username",),
        ),
        (
            "PATCH",
            "/api/auth/me",
            {"json": {"email": "a@b.example", "current_password": "wrong"}},
            403,
            ("current_password",),
        ),
        ("PATCH", f"/api/personas/{persona}", {"json": {"name": "x"}, "headers": stale}, 412, ()),
        ("PATCH", f"/api/personas/{persona}", {"json": {}}, 422, ("body",)),
        ("DELETE", f"/api/jobs/{job}", {}, 409, ()),
        ("POST", f"/api/personas/{persona}/preview", {}, 429, ()),
        ("GET", "/api/personas?search=%00&tag=%20", {}, 422, ("search", "tag.0")),
        ("GET", f"/api/media/{ANY_ID}/content?user=1&expires=9&signature=x", {}, 403, ()),
    ):
        problem(admin.open(method, path, **more), status, *fields)
    assert admin.post(f"/api/personas/{persona}/preview").headers["Retry-After"].isdigit()
    assert "GET" in admin.put("/api/personas").headers["Allow"]


def test_a_500_says_nothing_of_its_cause(admin: Person, database: SqliteDatabase) -> None:
    database.connection.execute("ALTER TABLE users RENAME COLUMN settings TO hidden_settings")
    answer = admin.get("/api/auth/me")
    problem(answer, 500)
    assert "settings" not in answer.text
    assert "sql" not in answer.text.lower()


@pytest.mark.parametrize("given", ["a", "0f9A-b_c.d", "x" * 64])
def test_a_request_id_comes_back(client: FlaskClient, given: str) -> None:
    for path in ("/api/health", "/api/auth/me", "/nothing"):
        answer = client.get(path, headers={"X-Request-ID": given})
        assert answer.headers["X-Request-ID"] == given
        assert answer.get_json().get("request_id", given) == given


@pytest.mark.parametrize("given", [None, "", "x" * 65, "two words", "a/b", "é", '{"a":1}'])
def test_another_request_id_is_replaced(client: FlaskClient, given: str | None) -> None:
    headers = {} if given is None else {"X-Request-ID": given}
    ids = [
        client.get(path, headers=headers).headers["X-Request-ID"]
        for path in ("/api/health", "/nothing")
    ]
    assert all(re.fullmatch(r"[0-9a-f]{32}", id) for id in ids)
    assert len(set(ids)) == 2


ALLOWED = "http://localhost:3000"


def test_cors_for_an_allowed_origin(alice: Person) -> None:
    exposed = {
        "ETag",
        "Idempotency-Replayed",
        "Link",
        "Location",
        "Retry-After",
        "X-Request-ID",
        "X-Total-Count",
        "Content-Disposition",
        "X-Lost",
    }
    for path in ("/api/personas", "/api/health", "/api/jobs/none", "/nothing"):
        answer = alice.get(path, headers={"Origin": ALLOWED})
        assert answer.headers["Access-Control-Allow-Origin"] == ALLOWED
        assert set(answer.headers["Access-Control-Expose-Headers"].split(", ")) == exposed
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
        assert "Origin" in answer.headers["Vary"]
    asked = {
        "Origin": ALLOWED,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "authorization, content-type, if-match, idempotency-key",
    }
    preflight = alice.client.options("/api/personas/1", headers=asked)
    assert preflight.status_code in (200, 204)
    assert preflight.headers["Access-Control-Allow-Origin"] == ALLOWED
    assert "PATCH" in preflight.headers["Access-Control-Allow-Methods"]
    allowed = preflight.headers["Access-Control-Allow-Headers"].lower().split(", ")
    assert {"authorization", "content-type", "if-match", "idempotency-key"} <= set(allowed)
    assert preflight.headers["Access-Control-Allow-Credentials"] == "true"


@pytest.mark.parametrize(
    "origin",
    [
        "https://localhost:3000",
        "http://localhost:3001",
        "http://localhost:30000",
        "http://localhost:3000.evil.example",
        "http://evil.example",
        "http://xlocalhost:3000",
        "null",
        None,
    ],
)
def test_cors_for_any_other_origin(alice: Person, origin: str | None) -> None:
    headers = {} if origin is None else {"Origin": origin}
    asked = {"Access-Control-Request-Method": "GET"}
    for answer in (
        alice.get("/api/personas", headers=headers),
        alice.get("/nothing", headers=headers),
        alice.client.options("/api/personas", headers=headers | asked),
    ):
        assert not [name for name in dict(answer.headers) if name.startswith("Access-Control")]


# ------------------------------------------------------------------------------------- the document


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    """The OpenAPI document as it is served."""
    return client.get("/api/openapi.json").get_json()


def operation(document: dict[str, Any], method: str, rule: str) -> dict[str, Any]:
    """What the document says of a route."""
    return document["paths"][re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule)][method.lower()]


DESCRIBED = [
    route for route in ROUTES | PUBLIC if "docs" not in route[1] and "openapi" not in route[1]
]


def test_the_document_is_valid_and_describes_every_route(document: dict[str, Any]) -> None:
    validate_openapi(document)
    assert document["openapi"].startswith("3.1.")
    paths = {re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule) for _, rule in DESCRIBED}
    described = [
        (method, path)
        for path, item in document["paths"].items()
        for method in item.keys() & {"get", "post", "put", "patch", "delete"}
    ]
    assert set(document["paths"]) == paths
    assert len(described) == len(DESCRIBED)
    assert all(operation(document, *route)["summary"] for route in DESCRIBED)


def test_the_document_names_security_and_errors(document: dict[str, Any]) -> None:
    for route in DESCRIBED:
        described = operation(document, *route)
        errors = {int(status) for status in described["responses"] if status[0] in "45"}
        link = route[1].endswith(FILES) and route not in NOT_OFFERED
        if route == ("POST", "/api/auth/refresh"):
            assert described["security"] == [{"refresh": []}]
        elif route in PUBLIC:
            assert described["security"] == [], route
        else:
            ways = [{}, {"access": []}] if link else [{"access": []}]
            assert described["security"] == (ways + [{"ticket": []}] * (route in STREAMS)), route
            assert 401 in errors, route
        assert errors >= ({404} if route in WITH_ID else set()), route
        assert errors >= ({400, 413, 415, 422} if route in WITH_BODY else set()), route
        assert "default" in route[1] or "summary" in route[1] or 403 in errors or not link, route
        for status in errors:
            content = described["responses"][str(status)]["content"]
            assert content == {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            }


def check(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    """Assert that a value is what a schema of the document says."""
    whole = {**schema, "components": document["components"]}
    Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(value)


def check_fields(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    """Assert that an answer has every field of its schema and no other."""
    name = schema.get("$ref", "").rpartition("/")[2]
    schema = document["components"]["schemas"][name] if name else schema
    if isinstance(value, list):
        for item in value:
            check_fields(document, schema.get("items", {}), item)
    elif (
        isinstance(value, dict)
        and "properties" in schema
        and name not in ("GenerationParams", "Lora")
    ):
        assert value.keys() == schema["properties"].keys(), name
        for field, part in value.items():
            check_fields(document, schema["properties"][field], part)


def json_answers(document: dict[str, Any], route: tuple[str, str]) -> dict[str, Any]:
    """{status: media type object} of the JSON answers of a route that are no failures."""
    answers = operation(document, *route)["responses"].items()
    return {
        code: a["content"]["application/json"]
        for code, a in answers
        if "application/json" in a.get("content", {})
    }


def test_every_json_answer_and_body_has_an_example_of_its_schema(document: dict[str, Any]) -> None:
    for route in DESCRIBED:
        answers = json_answers(document, route)
        responses = operation(document, *route)["responses"]
        without = {"204", "304"}
        if route[1].endswith(FILES) or route in STREAMS or route in TEXTS:
            without |= {"200"}
        assert {code for code in responses if code[0] in "23"} - answers.keys() <= without, route
        for content in answers.values():
            check(document, content["schema"], content["example"])
            check_fields(document, content["schema"], content["example"])
        described = route in WITH_BODY or route in MULTIPART
        assert ("requestBody" in operation(document, *route)) == described, route
        if route in WITH_BODY:
            content = operation(document, *route)["requestBody"]["content"]["application/json"]
            check(document, content["schema"], content["example"])


def walk(person: Person, worker: Worker) -> Iterator[tuple[tuple[str, str], TestResponse]]:
    """Every route's good answer: reading and changing first, then deleting, then the ends of
    sessions."""
    things = furnish(person, worker)
    bystander = {"username": "bystander", "email": "bystander@example.com"}
    made = person.post("/api/admin/users", json=bystander)
    link = person.post(f"{made.headers['Location']}/password-link").get_json()["url"]
    things |= {"account": made.get_json()["id"], "link": link.partition("#")[2]}
    # A Host that an attacker chose.
    base = {"base_url": "http://evil.example", "buffered": True}
    for (method, rule), body in (PUBLIC | ROUTES).items():
        at = dict(things)
        if rule.endswith(("/cancel", "/retry")):
            at["job"] = person.preview(things["persona"])
        if HAND_OVER in rule:
            at["hand_over"] = offer_something(person)
        if rule == INVITATION:
            at["invitation"] = person.post("/api/admin/invitations").get_json()["id"]
        if rule.endswith("/retry"):
            assert person.post(f"/api/jobs/{at['job']}/cancel").status_code == 200
        headers = {"X-Forwarded-Host": "evil.example"}
        if rule == "/api/auth/refresh":
            headers["Authorization"] = f"Bearer {person.token['refresh_token']}"
        sent = filled(body, at)
        if rule == "/api/auth/login":
            sent["username"] = person.name
        carried: dict[str, Any] = {"json": sent}
        if (method, rule) in MULTIPART:
            file = io.BytesIO()
            Image.new("RGB", (8, 8)).save(file, "PNG")
            carried = {"data": {"file": (io.BytesIO(file.getvalue()), "a.png")}}
        yield (
            (method, rule),
            person.open(method, fill(rule, at), headers=headers, **carried, **base),
        )
        if "current_password" in (body or {}) or "password" in (body or {}):
            # Accounts that were deleted, or whose email changed, on the way are made anew.
            person = _again(person, worker, things)


def offer_something(person: Person) -> int:
    """Offer a person what an account has that is no more; returns the offer's id."""
    with services_of(person.client.application).database.transaction() as tx:
        found: int = tx.execute(
            "INSERT INTO hand_overs (from_id, from_name, to_id, to_name, made_by, what, created_at,"
            " expires_at) SELECT 1000000 + COUNT(*), 'gone', ?, ?, 1, 'all', ?, ? FROM hand_overs"
            " RETURNING id",
            (person.id, person.name, timestamp(), timestamp_in(60)),
        ).fetchone()[0]
    return found


def _again(person: Person, worker: Worker, things: dict[str, Any]) -> Person:
    if person.get("/api/auth/me").status_code == 401:
        person = Person(person.client.application, f"{person.name}-again")
        things |= furnish(person, worker)
    return person


@pytest.fixture
def answers(
    admin: Person, alice: Person, database: SqliteDatabase, worker: Worker
) -> list[tuple[tuple[str, str], TestResponse]]:
    """The good answers of every route, to an administrator who is not the only one."""
    with database.transaction() as tx:
        tx.execute("UPDATE users SET is_admin = TRUE WHERE id = ?", (alice.id,))
    return list(walk(alice, worker))


def test_real_answers_are_what_the_document_says(
    document: dict[str, Any], answers: list[tuple[tuple[str, str], TestResponse]]
) -> None:
    assert {route for route, _ in answers} == ROUTES.keys() | PUBLIC.keys()
    for route, answer in answers:
        if route in NOT_OFFERED:
            problem(answer, 501)
            continue
        if route == ("POST", "/api/auth/proxy"):
            # Where no proxy is named; tests/test_doors.py has the other answers.
            problem(answer, 401)
            continue
        assert answer.status_code in (200, 201, 202, 204), (route, answer.text)
        if route in DESCRIBED:
            responses = operation(document, *route)["responses"]
            assert str(answer.status_code) in responses, route
            content = responses[str(answer.status_code)].get("content", {})
            assert answer.mimetype in content if content else not answer.data, route
        if route in DESCRIBED and answer.mimetype == "application/json":
            schema = content["application/json"]["schema"]
            check(document, schema, answer.get_json())
            check_fields(document, schema, answer.get_json())


def test_answers_are_private_or_secret(answers: list[tuple[tuple[str, str], TestResponse]]) -> None:
    for route, answer in answers:
        assert answer.headers["X-Content-Type-Options"] == "nosniff", route
        assert answer.headers["X-Request-ID"], route
        if route[1] in ("/api/auth/register", "/api/auth/login", "/api/auth/refresh"):
            assert answer.headers["Cache-Control"] == "no-store", route
        if route in STREAMS or route in SECRETS:
            assert answer.headers["Cache-Control"] == "no-store", route
        elif route in ROUTES.keys() - NOT_OFFERED:
            assert answer.headers["Cache-Control"] == "private, no-cache", route
            assert {"Authorization", "Origin"} <= set(answer.headers["Vary"].split(", ")), route


def test_no_answer_names_a_host(answers: list[tuple[tuple[str, str], TestResponse]]) -> None:
    for route, answer in answers:
        headers = str(answer.headers)
        text = answer.text if answer.mimetype in ("application/json", "text/html") else ""
        for known in ("https://pictures.example/luna.png", "http://localhost:3000"):
            text = text.replace(known, "")
        text = text.replace("http://127.0.0.1:3000", "")
        assert "evil.example" not in headers + text, route
        assert not re.search(r"https?://|[\"'(]//", headers + text), route


@pytest.mark.parametrize("below", ["", "/seidra"])
def test_a_browser_is_led_to_the_documentation(client: FlaskClient, below: str) -> None:
    """Below a path too, which a proxy takes off or names as SCRIPT_NAME."""
    for path in ("/docs", "/docs/"):
        answer = client.get(path, environ_overrides={"SCRIPT_NAME": below})
        assert answer.status_code == 302
        assert urljoin(f"https://x{below}{path}", answer.headers["Location"]) == (
            f"https://x{below}/api/docs"
        )
    icon = client.get("/favicon.ico")
    assert (icon.status_code, icon.mimetype) == (200, "image/svg+xml")


def test_the_documentation_page_shows_pictures_and_keeps_the_token(client: FlaskClient) -> None:
    page = client.get("/api/docs")
    (images,) = re.findall(r"img-src ([^;]*)", page.headers["Content-Security-Policy"])
    assert "blob:" in images.split()
    assert '"persistAuthorization": true' in page.text


def test_the_documentation_page_is_served_locally(client: FlaskClient) -> None:
    page = client.get("/api/docs")
    assert (page.status_code, page.mimetype) == (200, "text/html")
    files = re.findall(r"""(?:src|href|url\s*:)\s*=?\s*["']([^"']+)["']""", page.text)
    assert len(files) >= 4
    for path in files:
        assert path.startswith("/api/"), path
        answer = client.get(path, buffered=True)
        assert (answer.status_code, len(answer.data) > 100) == (200, True), path


# ------------------------------------------------------------------------------------------ the log


def test_the_log_is_json_and_keeps_secrets(make_app: Callable[..., Flask], worker: Worker) -> None:
    app = make_app(log_level="debug")
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        alice = Person(app, "alice")
        alice.get("/api/auth/me", headers={"X-Request-ID": "followed"})
        media = alice.get(f"/api/media/{furnish(alice, worker)['media']}").get_json()
        links = [media[name] for name in ("url", "thumbnail_url", "download_url")]
        for link in (*links, links[0] + "x"):
            alice.client.get(link, buffered=True)
        tokens = [alice.token]
        login = {"username": "alice", "password": PASSWORD}
        tokens.append(alice.client.post("/api/auth/login", json=login).get_json())
        alice.client.post("/api/auth/login", json=login | {"password": "wrong secret"})
        refresh = {"Authorization": f"Bearer {alice.token['refresh_token']}"}
        tokens.append(alice.client.post("/api/auth/refresh", headers=refresh).get_json())
        change = {"password": "another secret", "current_password": PASSWORD}
        assert alice.patch("/api/auth/me", json=change).status_code == 200
        body = {"name": "x", "scope": "all", "current_password": "another secret"}
        key = alice.post("/api/auth/keys", json=body).get_json()["key"]
        for sent in (key, key[:-1]):
            alice.client.get("/api/personas", headers={"Authorization": f"Bearer {sent}"})
        alice.get("/odd\npath\x1b[31m/%ff%00")
        services_of(app).database.connection.execute("ALTER TABLE personas RENAME TO gone")
        assert alice.get("/api/personas").status_code == 500
    finally:
        root.removeHandler(handler)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert all(line.keys() >= {"time", "level", "logger", "message"} for line in lines)
    requests = [line for line in lines if line["message"] == "request"]
    followed = [line for line in requests if line["request_id"] == "followed"]
    assert [(line["path"], line["status"], line["user"]) for line in followed] == [
        ("/api/auth/me", 200, alice.id)
    ]
    assert any("exception" in line for line in lines)
    assert sum("/content" in line["path"] for line in requests) == 2
    secrets = [PASSWORD, "wrong secret", "another secret", key[len("seidra_") : -1]]
    secrets += [token[name] for token in tokens for name in ("access_token", "refresh_token")]
    secrets += [
        token[name].split(".")[2] for token in tokens for name in ("access_token", "refresh_token")
    ]
    secrets += [link.partition("signature=")[2] for link in links]
    for secret in secrets:
        assert secret not in stream.getvalue()

"""What is given to others and what is kept: every GET route with every filter, asked by another
user and by the administrator."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import PASSWORD, Person
from flask import Flask
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from test_sent_pictures import send
from test_walks import INFOTEXT, NOTHING, PUBLIC, ROUTES, fill
from werkzeug.test import TestResponse

from seidra.jobs.worker import Worker
from seidra.web.services import services_of

Json = dict[str, Any]

KEPT, GIVEN, SHY, GONE = "zqkept", "zqgiven", "zqshy", "zqgone"
"""Words in every text of what alice keeps for herself, of what she gives to everybody, of what is
NSFW of that, and of what somebody gives whose account is disabled."""

SMALL = {"width": 64, "height": 64, "num_inference_steps": 1}
ANY_UUID = "00000000-0000-4000-8000-000000000000"

FIGURES = {
    "/api/admin/users",
    "/api/admin/users?",
    "/api/admin/usage",
    "/api/admin/usage.csv",
    "/api/admin/instance",
    "/api/system/summary",
    "/api/system/info",
    "/api/health/ready",
}
"""What tells how much there is on the instance, or the time: the words are looked for in it, and
figures may differ."""

VALUES: dict[str, Callable[[Json], list[Any]]] = {
    "limit": lambda _: [1],
    "offset": lambda _: [1],
    "search": lambda _: [KEPT, KEPT[:3], KEPT[:2], GIVEN, SHY, GONE],
    "tag": lambda _: [KEPT, GIVEN, SHY, GONE],
    "tags": lambda _: [KEPT, f"{KEPT},{GIVEN}"],
    "prefix": lambda _: [KEPT, KEPT[:3]],
    "untagged": lambda _: [True],
    "is_favorite": lambda _: [True, False],
    "favorites_only": lambda _: [True],
    "sort": lambda _: ["created_at", "-created_at"],
    "fields": lambda _: ["card"],
    "status": lambda _: ["completed", "queued"],
    "active": lambda _: [True],
    "job_type": lambda _: ["preview"],
    "engine": lambda _: ["mock"],
    "kind": lambda _: [],
    "persona_id": lambda at: [at["persona"]],
    "job_id": lambda at: [at["job"]],
    "collection": lambda at: [at["collection"]],
    "model": lambda _: ["dreamer", KEPT],
    "lora": lambda _: ["film-grain", KEPT],
    "tz": lambda _: ["Asia/Tokyo"],
    "date_from": lambda _: ["2020-01-01"],
    "date_to": lambda _: ["2100-01-01"],
    "by": lambda _: ["day", "month"],
    "to": lambda _: [],
    "from": lambda _: ["2020-01-01"],
    "group_by": lambda _: ["account", "day"],
    "group_id": lambda _: [1],
    "user_id": lambda at: [at["account"]],
    "action": lambda _: ["create"],
    "dry_run": lambda _: [True],
    "thorough": lambda _: [],
    "metadata": lambda _: ["all", "none"],
    "crop": lambda _: ["0-0-64"],
    "size": lambda _: [160],
    "user": lambda at: [str(at["account"])],
    "expires": lambda _: [],
    "signature": lambda _: ["x"],
}
"""What each parameter is asked with, of what alice keeps. One that is missing fails the walk."""


@pytest.fixture(autouse=True)
def short_streams(app: Flask) -> None:
    """Streams say their first words and end, as in a process that stops."""
    services_of(app).streams.stopping = lambda: True


def said(word: str) -> bytes:
    """A picture whose file says a word."""
    text, out = PngInfo(), io.BytesIO()
    text.add_text("parameters", f"{word}\nSteps: 2, Seed: 1, Model: {word}")
    Image.new("RGB", (96, 64), "navy").save(out, "PNG", pnginfo=text)
    return out.getvalue()


def item_of(person: Person, word: str, **form: Any) -> str:
    answer = send(person, said(word), f"{word}.png", **{"tags": [word], **form})
    assert answer.status_code == 201, answer.text
    made: str = answer.get_json()["id"]
    return made


def made(answer: TestResponse) -> Json:
    assert answer.status_code in (200, 201, 202), answer.text
    body: Json = answer.get_json()
    return body


def album_of(person: Person, word: str, *media: str, **values: Any) -> str:
    body = {"name": f"{word} album", "description": f"{word} words", **values}
    id: str = made(person.post("/api/collections", json=body))["id"]
    made(person.post(f"/api/collections/{id}/media", json={"ids": list(media)}))
    return id


def give(person: Person, word: str, *, is_nsfw: bool = False) -> Json:
    """Share one of each: a persona with an avatar, pictures with and without details, an album.
    What the pictures hold beside is kept."""
    persona = person.persona(
        name=f"{word} sol",
        description=word,
        style_prompt=f"{word} desert",
        tags=[word],
        generation_params=SMALL,
        is_nsfw=is_nsfw,
        visibility="shared",
    )["id"]
    nsfw = {"is_nsfw": "true"} if is_nsfw else {}
    avatar = item_of(person, KEPT, persona_id=str(persona), **nsfw)
    made(person.put(f"/api/personas/{persona}/avatar", json={"media_id": avatar}))
    bare, full = item_of(person, KEPT, **nsfw), item_of(person, word, **nsfw)
    made(person.patch(f"/api/media/{bare}", json={"visibility": "shared"}))
    change = {"visibility": "shared", "with_details": True}
    made(person.patch(f"/api/media/{full}", json=change))
    inside = item_of(person, KEPT, **nsfw)
    # An album is not NSFW itself: its words are everybody's.
    album = album_of(person, GIVEN if is_nsfw else word, inside, visibility="shared")
    return {
        "persona": persona,
        "avatar": avatar,
        "bare": bare,
        "full": full,
        "inside": inside,
        "album": album,
    }


def keep(person: Person, given: Json, worker: Worker) -> tuple[Json, list[str]]:
    """Make one of each thing that an account can have, and keep it. Returns ids for paths, and
    what must be nowhere."""
    persona = person.persona(
        name=f"{KEPT} luna",
        description=KEPT,
        style_prompt=f"{KEPT} ocean",
        tags=[KEPT, GIVEN],
        generation_params=SMALL | {"model_name": "dreamer"},
        is_favorite=True,
    )["id"]
    made(person.patch(f"/api/personas/{persona}", json={"description": f"{KEPT} again"}))
    deleted = [
        person.persona(name=f"{KEPT} trashed")["id"],
        item_of(person, KEPT),
    ]
    assert person.delete(f"/api/personas/{deleted[0]}").status_code == 204
    assert person.delete(f"/api/media/{deleted[1]}").status_code == 204
    job = person.preview(persona)
    # Also with what is shared: its other pictures are hers.
    mine = person.preview(given["persona"])
    prompt = {"prompt": f"{KEPT} prompt", "parameters": SMALL}
    written = made(person.post("/api/jobs", json=prompt))["job_id"]
    while worker.work_one():
        pass
    pictures = [
        item["id"]
        for item in person.get("/api/media?limit=200").get_json()["items"]
        if item["job_id"] in (job, mine, written)
    ]
    assert len(pictures) == 3
    sent = item_of(person, KEPT, persona_id=str(given["persona"]))
    shy = item_of(person, KEPT, is_nsfw="true")
    album = album_of(person, KEPT, sent, given["full"], shy)
    link = made(person.post(f"/api/media/{sent}/share", json={"days": 3}))
    album_link = made(person.post(f"/api/collections/{album}/share", json={"days": 3}))
    plan = made(person.post("/api/imports", json={"text": f"{KEPT} {INFOTEXT}"}))["id"]
    body = {"everything": True, "to": "seidra"}
    export = person.post("/api/exports", json=body)
    assert export.status_code in (200, 202), export.text
    worker.work_long()
    exports = person.get("/api/exports").get_json()["items"]
    key = {"name": KEPT, "scope": "read", "current_password": PASSWORD}
    key_id = made(person.post("/api/auth/keys", json=key))["id"]
    made(person.put("/api/settings", json={"theme": "midnight", "extra": {KEPT: KEPT}}))
    login = {"username": person.name, "password": PASSWORD}
    made(person.client.post("/api/auth/login", json=login, headers={"User-Agent": KEPT}))
    sessions = person.get("/api/auth/sessions").get_json()["sessions"]
    entries = person.get("/api/trash").get_json()["items"]
    assert len(entries) == 2
    at = {
        "persona": persona,
        "job": job,
        "media": sent,
        "entry": entries[0]["id"],
        "import": plan,
        "export": exports[0]["id"] if exports else ANY_UUID,
        "share": link["id"],
        "collection": album,
        "session": sessions[0]["id"],
        "key": key_id,
        "account": person.id,
    }
    ids = [job, mine, written, *pictures, sent, shy, album, link["id"], album_link["id"], plan]
    ids += [link["url"], album_link["url"], *(entry["id"] for entry in entries)]
    ids += [each["id"] for each in (*exports, *sessions)]
    return at, [KEPT, *map(str, ids)]


# --------------------------------------------------------------------------------------- the walk


def questions(document: Json, at: Json) -> Iterator[tuple[str, Json]]:
    """Every GET route with each value of each of its parameters, in each scope; as rules."""
    for method, rule in sorted(ROUTES.keys() | PUBLIC.keys()):
        path = re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule)
        operation = document["paths"].get(path, {}).get("get")
        if method != "GET" or operation is None:
            continue
        asked = {
            each["name"]: each["schema"]
            for each in operation.get("parameters", [])
            if each["in"] == "query"
        }
        scopes = ["mine", "shared", "all"] if asked.pop("scope", None) else [None]
        shy = asked.pop("include_nsfw", None) is not None
        for scope in scopes:
            base: Json = {} if scope is None else {"scope": scope}
            yield rule, base
            base |= {"include_nsfw": "true"} if shy else {}
            yield rule, base
            for name in asked:
                for value in VALUES[name](at):
                    yield rule, base | {name: value}


def texts_of(answer: TestResponse) -> str:
    """All that an answer says: headers, body, and what stands in a ZIP."""
    body = answer.data
    # A page's neighbours repeat the question.
    headers = "\n".join(f"{name}: {text}" for name, text in answer.headers if name != "Link")
    if body.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            body = b"".join(archive.read(name) for name in archive.namelist())
    return f"{headers}\n{body.decode(errors='replace')}"


def shown_of(answer: TestResponse) -> str:
    """What an answer says without what differs from one moment to the next."""
    body = answer.data
    if body.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            names = sorted(set(archive.namelist()) - {"manifest.json"})
            body = b"".join(archive.read(name) for name in names)
    text = body.decode(errors="replace")
    text = re.sub(r"expires=\d+&(?:amp;)?signature=[\w-]+", "signed", text)
    text = re.sub(r"(?m)^id: \d+$|\"request_id\":\s*\"[^\"]+\"", "", text)
    return f"{answer.status_code} {answer.headers.get('X-Total-Count')} {text}"


def walk(person: Person, at: Json, *, names: Json, things: bool = False) -> dict[str, TestResponse]:
    """The answers to every question, or to those about one thing, by the question; `at` is what
    parameters name, `names` what paths name."""
    document = person.client.get("/api/openapi.json").get_json()
    found = {}
    for number, (rule, query) in enumerate(questions(document, at)):
        # Lists are the same whatever the paths of the others name.
        if things and "<" not in rule:
            continue
        answer = person.get(fill(rule, names), query_string=query, buffered=True)
        assert answer.status_code < 500, (rule, query)
        found[f"{number} {rule} {'&'.join(query)}"] = answer
    return found


def rule_of(question: str) -> str:
    return question.split(" ")[1]


def links_in(answers: dict[str, TestResponse]) -> set[str]:
    """Every signed link in these answers."""
    return {
        json.loads(f'"{link}"')
        for answer in answers.values()
        if answer.mimetype in ("application/json", "text/event-stream")
        for link in re.findall(r"\"(/api/[^\"]*signature=[^\"]+)\"", answer.text)
    }


def own_of(person: Person, worker: Worker, given: Json) -> Json:
    """What the one who looks has: a job with the shared persona, and one of each for paths."""
    persona = person.persona(name="Own", tags=["own"], generation_params=SMALL)["id"]
    job = person.preview(given["persona"])
    while worker.work_one():
        pass
    media = person.get("/api/media").get_json()["items"][0]["id"]
    return NOTHING | {"persona": persona, "job": job, "media": media, "account": person.id}


@pytest.mark.slow
def test_what_is_kept_changes_no_answer_that_others_get(
    app: Flask, admin: Person, alice: Person, bob: Person, worker: Worker
) -> None:
    for person in (alice, bob):
        person.allow_nsfw()
    carol = Person(app, "carol")
    given, shy, gone = give(alice, GIVEN), give(alice, SHY, is_nsfw=True), give(carol, GONE)
    lost = links_in({"": bob.get(f"/api/media/{gone['full']}")})
    assert lost
    assert admin.patch(f"/api/admin/users/{carol.id}", json={"is_active": False}).status_code == 200
    own = {person.name: own_of(person, worker, given) for person in (bob, admin)}
    viewers = {
        (person, name): names
        for person in (bob, admin)
        for name, names in (
            ("own", own[person.name]),
            ("given", NOTHING | _as_paths(given, "full")),
            ("bare", NOTHING | _as_paths(given, "bare")),
            ("shy", NOTHING | _as_paths(shy, "full")),
            ("gone", NOTHING | _as_paths(gone, "full")),
        )
    }

    def look(at: Json) -> dict[tuple[Person, str], dict[str, TestResponse]]:
        return {
            (person, name): walk(person, at, names=names, things=name != "own")
            for (person, name), names in viewers.items()
        }

    before = look(NOTHING | {"persona": 999_999, "job": ANY_UUID})
    at, kept = keep(alice, given, worker)
    after = look(at)
    for (person, name), answers in after.items():
        for question, answer in answers.items():
            text = texts_of(answer)
            told = [word for word in (*kept, GONE) if word in text]
            assert not told, (person.name, name, question, told)
            assert person is bob or SHY not in text, (name, question)
            if rule_of(question) not in FIGURES:
                earlier = before[person, name][question]
                assert shown_of(answer) == shown_of(earlier), (person.name, name, question)
    # What is kept is there for nobody else by its ids.
    for person in (bob, admin):
        for question, answer in walk(person, at, names=at, things=True).items():
            told = [word for word in kept if word in texts_of(answer)]
            assert not told, (person.name, question, told)
            rule = rule_of(question)
            if "<" in rule and "/admin/" not in rule and "name>" not in rule:
                refused = (401, 403, 404) if "user" in question or "sign" in question else (404,)
                assert answer.status_code in refused, (person.name, question)
    assert [bob.client.get(link).status_code for link in lost] == [404] * len(lost)

    # And what is given is there, in these places and no others.
    told = {
        rule_of(question)
        for (person, name), answers in after.items()
        if person is bob
        for question, answer in answers.items()
        if GIVEN in texts_of(answer)
    }
    assert told == TOLD
    shown = "".join(texts_of(each) for each in after[bob, "own"].values())
    assert [given[name] in shown for name in ("avatar", "bare", "full", "album")] == [True] * 4
    assert SHY in shown
    by_id = "".join(texts_of(each) for each in after[bob, "given"].values())
    assert given["inside"] in by_id
    _open_links(alice, bob, admin, after, kept, given, shy)


TOLD = {
    "/api/collections",
    "/api/collections/<uuid:collection_id>",
    "/api/export",
    "/api/jobs",
    "/api/jobs/<uuid:job_id>",
    "/api/jobs/<uuid:job_id>/events",
    "/api/media",
    "/api/media/<uuid:media_id>",
    "/api/media/<uuid:media_id>/content",
    "/api/media/<uuid:media_id>/download",
    "/api/media/facets",
    "/api/personas",
    "/api/personas/<id:persona_id>",
    "/api/personas/facets",
    "/api/system/info",
    "/api/system/notifications",
}
"""Where what is given is told: also by what bob has made of it."""


def _as_paths(given: Json, media: str) -> Json:
    return {"persona": given["persona"], "media": given[media], "collection": given["album"]}


def _open_links(
    alice: Person,
    bob: Person,
    admin: Person,
    after: dict[tuple[Person, str], dict[str, TestResponse]],
    kept: list[str],
    given: Json,
    shy: Json,
) -> None:
    """Every link in the answers shows what is given; and once it is taken back, nothing."""
    hers = [str(id) for each in (given, shy) for name, id in each.items() if name != "persona"]
    links = {person: links_in(_all_of(after, person)) for person in (bob, admin)}
    for person, found in links.items():
        for link in found:
            answer = person.client.get(link, buffered=True)
            assert answer.status_code == 200, link
            assert not [word for word in kept if word in texts_of(answer)], link
    foreign = {
        person: [link for link in found if any(id in link for id in hers)]
        for person, found in links.items()
    }
    ids = [str(each[name]) for each in (given, shy) for name in ("avatar", "bare", "full")]
    assert [any(id in link for link in foreign[bob]) for id in ids] == [True] * 6
    alice_keeps(alice, given)
    alice_keeps(alice, shy)
    for person, found in foreign.items():
        for link in found:
            assert person.client.get(link).status_code == 404, link
    made_of_it = {
        "/api/export",
        "/api/jobs",
        "/api/jobs/<uuid:job_id>",
        "/api/jobs/<uuid:job_id>/events",
        "/api/media",
        "/api/media/<uuid:media_id>",
        "/api/media/<uuid:media_id>/content",
        "/api/media/<uuid:media_id>/download",
        "/api/system/info",
        "/api/system/notifications",
    }
    for person in (bob, admin):
        answers = walk(person, NOTHING, names=NOTHING | _as_paths(given, "full"))
        for question, answer in answers.items():
            text = texts_of(answer)
            assert rule_of(question) in made_of_it or GIVEN not in text, question
            assert not [id for id in hers if id in text], question


def _all_of(
    after: dict[tuple[Person, str], dict[str, TestResponse]], person: Person
) -> dict[str, TestResponse]:
    return {
        f"{name} {question}": answer
        for (who, name), answers in after.items()
        if who is person
        for question, answer in answers.items()
    }


def alice_keeps(alice: Person, given: Json) -> None:
    """Take back all that was given."""
    back = {"visibility": "private"}
    made(alice.patch(f"/api/personas/{given['persona']}", json=back))
    made(alice.patch(f"/api/collections/{given['album']}", json=back))
    for name in ("bare", "full"):
        made(alice.patch(f"/api/media/{given[name]}", json=back))

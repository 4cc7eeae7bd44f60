"""Personas that are shared: who sees what of them, and nothing else."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Person
from flask import Flask
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from test_sql import TEXTS
from werkzeug.test import TestResponse

from seidra import folding
from seidra.database.queries import queries
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.jobs.worker import Worker
from seidra.media.links import thumbnail_variant
from seidra.values import to_json
from seidra.web.services import services_of

Json = dict[str, Any]

SMALL = {"generation_params": {"width": 64, "height": 64, "num_inference_steps": 1}}


def problem(answer: TestResponse, status: int, code: str | None = None) -> Json:
    assert answer.status_code == status, answer.text
    body: Json = answer.get_json()
    assert code in (None, body["code"]), body
    return body


def share(person: Person, persona_id: int, visibility: str = "shared") -> Json:
    answer = person.patch(f"/api/personas/{persona_id}", json={"visibility": visibility})
    assert answer.status_code == 200, answer.text
    changed: Json = answer.get_json()
    return changed


def names(person: Person, query: str) -> list[str]:
    """The names of a page in its order; its total is that of all."""
    answer = person.get(f"/api/personas?{query}")
    assert answer.status_code == 200, answer.text
    found = [each["name"] for each in answer.get_json()]
    assert int(answer.headers["X-Total-Count"]) == len(found)
    return found


def loads(person: Person, url: str, *, by_link: bool = True) -> bool:
    """Whether a picture comes, by its signed link alone or by the person's token."""
    with person.client.get(url) if by_link else person.get(url) as answer:
        return answer.status_code == 200


def picture(person: Person, worker: Worker, persona_id: int) -> str:
    """Make a picture with a persona; returns its media id."""
    job = person.preview(persona_id)
    assert worker.work_one()
    made: str = person.get(f"/api/jobs/{job}").get_json()["results"][0]["media_id"]
    return made


# ------------------------------------------------------------------------------------ one predicate


def _plain(sql: str) -> str:
    return re.sub(r"\s+", " ", sql).replace("( ", "(").replace(" )", ")")


def test_one_predicate_says_who_may_see_a_persona() -> None:
    """Wherever a statement asks for what is shared, it is in the same words."""
    live = re.compile(
        r"\((\w)\.visibility = 'shared' AND EXISTS \(SELECT 1 FROM sharers AS o"
        r" WHERE o\.user_id = (\w)\.user_id\)\)"
    )
    asking = {}
    for name, text in TEXTS.items():
        sql = _plain(text)
        # Of media and collections tests/test_sql.py asks the same; hand-overs are the leaver's.
        others = ("collections.", "shared_media.", "share_links.", "hand_overs.")
        if "visibility = 'shared'" not in sql or name.startswith(others):
            continue
        found = list(live.finditer(sql))
        assert all(match[1] == match[2] for match in found), name
        if name != "operations.wrong_counts":
            assert len(found) == sql.count("visibility = 'shared'"), name
            for match in found:
                before = sql[: match.start()]
                assert (
                    before.endswith(
                        (
                            f"({match[1]}.user_id = :user_id OR ",
                            f"{match[1]}.user_id <> :user_id AND ",
                        )
                    )
                    or name == "media.linked_avatar"
                ), name
        asking[name] = len(found)
    assert {"personas.get[seen]", "search.persona_page", "media.get", "jobs.page[all,any]"} <= set(
        asking
    )


def test_every_statement_that_joins_personas_says_whose_they_are() -> None:
    """A row of another's is reached by no other way than the predicate."""
    for name, text in TEXTS.items():
        sql = _plain(text)
        for match in re.finditer(r"\b(?:FROM|JOIN) personas AS (\w)\b", sql):
            alias = match[1]
            owner = rf"(?<!\w){alias}\.user_id (=|<>) (:user_id|\w\.user_id)|\+{alias}\.user_id = "
            everybody = {"search.sources", "search.strays", "search.drop_strays"}
            sources = name.startswith(("search.strays", "search.drop_strays"))
            assert (
                re.search(owner, sql)
                or name in everybody
                # The mover goes by the leaver.
                or name.startswith("hand_overs.")
                or sources
                # Of the owner's own sources and of what the persona is looked up in by itself.
                or name in {"sources.by_entry", "media.linked_avatar"}
            ), name


# --------------------------------------------------------------------------------------- what is it


def test_a_persona_is_private_until_its_owner_shares_it(alice: Person, bob: Person) -> None:
    made = alice.persona(name="Sol", is_favorite=True, tags=["sea"])
    assert (made["visibility"], made["is_mine"]) == ("private", True)
    assert made["owner"] == {"id": alice.id, "username": "alice"}
    path = f"/api/personas/{made['id']}"
    problem(bob.get(path), 404)
    changed = share(alice, made["id"])
    assert (changed["visibility"], changed["version"]) == ("shared", made["version"] + 1)
    # No content of a revision; said again it changes nothing.
    assert changed["revision"] == made["revision"]
    assert share(alice, made["id"])["version"] == changed["version"]
    assert len(alice.get(f"{path}/revisions").get_json()) == 1
    seen = bob.get(path).get_json()
    assert seen | {"is_mine": True, "is_favorite": True} == alice.get(path).get_json()
    assert (seen["is_mine"], seen["is_favorite"]) == (False, False)
    share(alice, made["id"], "private")
    problem(bob.get(path), 404)
    problem(alice.patch(path, json={"visibility": "public"}), 422)
    assert alice.persona(visibility="shared")["visibility"] == "shared"


def test_only_its_owner_changes_a_shared_one(alice: Person, bob: Person) -> None:
    id = alice.persona(visibility="shared")["id"]
    before = alice.get(f"/api/personas/{id}").get_json()
    path = f"/api/personas/{id}"
    tries: list[Callable[[], TestResponse]] = [
        lambda: bob.patch(path, json={"name": "Mine"}),
        lambda: bob.put(path, json={"is_favorite": True}),
        lambda: bob.patch(path, json={"visibility": "private"}),
        lambda: bob.delete(path),
        lambda: bob.put(
            f"{path}/avatar", json={"media_id": "6f1c2f0e-0d5b-5d5c-9c55-2b8d3f3c1a10"}
        ),
        lambda: bob.get(f"{path}/revisions"),
        lambda: bob.get(f"{path}/revisions/1"),
        lambda: bob.post(f"{path}/revisions/1/restore"),
        lambda: bob.get(f"{path}/export"),
        lambda: bob.post("/api/exports", json={"ids": [id], "to": "seidra"}),
    ]
    for attempt in tries:
        problem(attempt(), 403, "not_yours")
    for action in ("favorite", "tag", "delete", "nsfw", "unshare"):
        answer = bob.post(
            "/api/personas/bulk", json={"ids": [id], "action": action, "tags": ["x"]}
        ).get_json()
        assert answer["failed"] == [{"id": id, "code": "not_yours"}], answer
    assert alice.get(path).get_json() == before
    # Of a private one it is the 404 that it always was.
    share(alice, id, "private")
    for attempt in tries:
        problem(attempt(), 404)


def test_many_are_shared_at_once(alice: Person, bob: Person) -> None:
    ids = [alice.persona(name=name)["id"] for name in "ab"]
    body: Json = {"ids": ids, "action": "share"}
    assert alice.post("/api/personas/bulk", json=body).get_json()["done"] == 2
    assert names(bob, "scope=shared") == ["b", "a"]
    body = {"filter": {}, "action": "unshare"}
    assert alice.post("/api/personas/bulk", json=body).get_json()["done"] == 2
    assert names(bob, "scope=shared") == []


# ------------------------------------------------------------------------------- lists and searches


def test_the_walk_of_a_third_person(alice: Person, bob: Person, worker: Worker) -> None:
    """Every list, count, search, facet, link, export and stream: of a private one nothing, of a
    shared one exactly what is given."""
    secret = alice.persona(name="Secretive", tags=["hidden"], **SMALL)["id"]
    media = picture(alice, worker, secret)
    alice.put(f"/api/personas/{secret}/avatar", json={"media_id": media})
    walked = [
        *(f"/api/personas?scope={scope}" for scope in ("mine", "shared", "all")),
        *(f"/api/personas?scope={scope}&search=secretive" for scope in ("shared", "all")),
        *(f"/api/personas?scope={scope}&search=se" for scope in ("shared", "all")),
        *(f"/api/personas?scope={scope}&tag=hidden" for scope in ("shared", "all")),
        *(f"/api/personas?scope={scope}&fields=card&sort=name" for scope in ("shared", "all")),
        *(f"/api/personas?scope={scope}&is_favorite=false" for scope in ("shared", "all")),
        *(f"/api/personas/facets?scope={scope}" for scope in ("mine", "shared", "all")),
        *(f"/api/personas/facets?scope={scope}&search=secretive" for scope in ("shared", "all")),
        "/api/tags",
        "/api/jobs",
        f"/api/jobs?persona_id={secret}",
        "/api/jobs/stats",
        "/api/media",
        f"/api/media?persona_id={secret}",
        "/api/media/stats",
        "/api/media/facets",
        "/api/media/timeline",
        "/api/trash",
        "/api/exports",
        "/api/imports",
    ]
    before = {path: bob.get(path) for path in walked}
    for path, answer in before.items():
        assert answer.status_code == 200, path
        text = answer.text.lower()
        assert not [word for word in ("secretive", "hidden", media) if word in text], path
        assert answer.headers.get("X-Total-Count", "0") == "0", path
    share(alice, secret)
    told = {path for path in walked if bob.get(path).text != before[path].text}
    # The avatar and the persona itself, and no jobs, media, tags or trash of hers.
    assert told == {path for path in walked if "scope=shared" in path or "scope=all" in path}
    shared = bob.get("/api/personas?scope=shared").get_json()[0]
    assert shared["cover"]["kind"] == "avatar"
    for path in (
        f"/api/media/{media}",
        f"/api/media/{media}/content",
        f"/api/media/{media}/download",
    ):
        problem(bob.get(path), 404)
    # The copies of the owner's own account have them.
    exported = bob.post("/api/exports", json={"everything": True, "to": "seidra"})
    assert b"Secretive" not in exported.data


def test_lists_of_each_scope(alice: Person, bob: Person, admin: Person) -> None:
    bob.persona(name="bob 1", is_favorite=True, tags=["sea"])
    for person, name in ((alice, "alice 10"), (alice, "alice 2"), (admin, "admin 3")):
        person.persona(name=name, visibility="shared", tags=["sea"], is_favorite=True)
    alice.persona(name="alice alone", tags=["sea"])
    bob.persona(name="bob 4", visibility="shared")
    assert names(bob, "") == ["bob 4", "bob 1"]
    assert names(bob, "scope=") == ["bob 4", "bob 1"]
    assert names(bob, "scope=shared") == ["admin 3", "alice 2", "alice 10"]
    assert names(bob, "scope=all") == ["bob 4", "admin 3", "alice 2", "alice 10", "bob 1"]
    assert names(bob, "scope=all&sort=created_at") == [
        *("bob 1", "alice 10", "alice 2", "admin 3", "bob 4"),
    ]
    ordered = ["admin 3", "alice 2", "alice 10", "bob 1", "bob 4"]
    assert names(bob, "scope=all&sort=name") == ordered
    assert names(bob, "scope=all&sort=-name") == ordered[::-1]
    assert names(bob, "scope=shared&sort=-updated_at") == ["admin 3", "alice 2", "alice 10"]
    assert names(bob, "scope=all&is_favorite=true") == ["bob 1"]
    assert names(bob, "scope=shared&is_favorite=true") == []
    assert names(bob, "scope=shared&is_favorite=false") == ["admin 3", "alice 2", "alice 10"]
    assert names(bob, "scope=all&tag=SEA&sort=name") == ordered[:4]
    assert names(bob, "scope=all&untagged=true") == ["bob 4"]
    assert names(bob, "scope=shared&search=alice") == ["alice 2", "alice 10"]
    page = bob.get("/api/personas?scope=all&limit=2&offset=1&sort=name")
    assert [each["name"] for each in page.get_json()] == ordered[1:3]
    assert page.headers["X-Total-Count"] == "5"
    page = bob.get("/api/personas?scope=shared&limit=1&offset=2")
    assert [each["name"] for each in page.get_json()] == ["alice 10"]
    problem(bob.get("/api/personas?scope=others"), 422)
    facets = bob.get("/api/personas/facets?scope=all").get_json()
    assert facets == {
        "total": 5,
        "favorites": 1,
        "nsfw": 0,
        "untagged": 1,
        "tags": [{"tag": "sea", "count": 4}],
    }
    assert facets == bob.get("/api/personas/facets?scope=all&search=b%20").get_json() | {
        "total": 5,
        "favorites": 1,
        "untagged": 1,
        "tags": facets["tags"],
    }
    assert bob.get("/api/personas/facets?scope=shared").get_json()["total"] == 3


_WORDS = ("sea", "Séa", "moon", "mo", "a", "“quiet”", "100%", "un_der")
_PERSONAS = st.lists(
    st.fixed_dictionaries(
        {
            "owner": st.sampled_from(["alice", "bob"]),
            "name": st.lists(st.sampled_from(_WORDS), min_size=1, max_size=3).map(" ".join),
            "tags": st.lists(st.sampled_from(["red", "Blue", "grün"]), unique=True, max_size=2),
            "is_favorite": st.booleans(),
            "visibility": st.sampled_from(["private", "shared"]),
        }
    ),
    max_size=8,
)


@examples(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    personas=_PERSONAS,
    scope=st.sampled_from(["mine", "shared", "all"]),
    search=st.sampled_from(["", "sea", "SEA", "mo", '"quiet"', "100%", "un_der", "sea moon"]),
    tag=st.sampled_from(["", "RED", "blue"]),
    favorite=st.sampled_from([None, True, False]),
    key=st.sampled_from(["created_at", "name"]),
    down=st.booleans(),
)
def test_a_scope_finds_what_a_plain_filter_finds(
    alice: Person,
    bob: Person,
    database: SqliteDatabase,
    personas: list[Json],
    scope: str,
    search: str,
    tag: str,
    favorite: bool | None,
    key: str,
    down: bool,
) -> None:
    with database.transaction() as tx:
        tx.execute("DELETE FROM personas")
    made = []
    for fields in personas:
        owner = {"alice": alice, "bob": bob}[fields["owner"]]
        made.append(
            owner.persona(**{name: value for name, value in fields.items() if name != "owner"})
        )

    def wanted(each: Json) -> bool:
        mine = each["owner"]["id"] == bob.id
        if not mine and (scope == "mine" or each["visibility"] == "private"):
            return False
        if mine and scope == "shared":
            return False
        text = folding.fold(" ".join([each["name"], "moonlit ocean", *each["tags"]]))
        tags = [folding.fold(one) for one in each["tags"]]
        return (
            all(word in text for word in folding.words(search))
            and (not tag or folding.fold(tag) in tags)
            and favorite in (None, mine and each["is_favorite"])
        )

    query = {"scope": scope, "sort": f"-{key}" if down else key, "limit": 100}
    query |= {"search": search} if search else {}
    query |= {"tag": tag} if tag else {}
    query |= {} if favorite is None else {"is_favorite": str(favorite).lower()}
    answer = bob.get("/api/personas", query_string=query)
    expected = sorted(
        (each for each in made if wanted(each)),
        key=lambda each: (
            (folding.sort_key(each["name"]), each["id"]) if key == "name" else (each["id"],)
        ),
        reverse=down,
    )
    assert [each["id"] for each in answer.get_json()] == [each["id"] for each in expected]
    assert answer.headers["X-Total-Count"] == str(len(expected))
    facets = bob.get("/api/personas/facets", query_string=query).get_json()
    assert facets["total"] == len(expected)
    assert facets["favorites"] == sum(
        each["is_favorite"] and each["owner"]["id"] == bob.id for each in expected
    )


def test_what_is_nsfw_is_shown_by_the_viewers_settings(
    alice: Person, bob: Person, worker: Worker
) -> None:
    alice.allow_nsfw()
    id = alice.persona(name="Red", is_nsfw=True, visibility="shared")["id"]
    plain = alice.persona(name="Plain", visibility="shared", **SMALL)["id"]
    media = picture(alice, worker, plain)
    alice.put(f"/api/personas/{plain}/avatar", json={"media_id": media})
    url = bob.get(f"/api/personas/{plain}").get_json()["avatar_url"]
    assert loads(bob, url)
    alice.patch(f"/api/media/{media}", json={"is_nsfw": True})
    for path in (f"/api/personas/{id}", f"/api/personas/{id}/check"):
        problem(bob.get(path), 404)
    problem(bob.post(f"/api/personas/{id}/preview"), 404)
    problem(bob.post(f"/api/personas/{id}/duplicate"), 404)
    problem(bob.patch(f"/api/personas/{id}", json={"name": "x"}), 404)
    problem(bob.post("/api/jobs", json={"prompt": "x", "persona_id": id}), 422)
    assert names(bob, "scope=shared&include_nsfw=true") == ["Plain"]
    assert bob.get(f"/api/personas/{plain}").get_json()["cover"] is None
    problem(bob.client.get(url), 404)
    bob.allow_nsfw()
    assert names(bob, "scope=shared") == ["Plain"]
    assert names(bob, "scope=shared&include_nsfw=true&search=re") == ["Red"]
    assert names(bob, "scope=all&include_nsfw=true") == ["Plain", "Red"]
    assert loads(bob, url)


def test_a_disabled_owner_shares_nothing(admin: Person, alice: Person, bob: Person) -> None:
    id = alice.persona(name="Sol", visibility="shared")["id"]
    job = bob.preview(id)
    assert names(bob, "scope=shared&search=so") == ["Sol"]
    path = f"/api/admin/users/{alice.id}"
    assert admin.patch(path, json={"is_active": False}).status_code == 200
    problem(bob.get(f"/api/personas/{id}"), 404)
    for query in ("scope=shared", "scope=all", "scope=shared&search=so", "scope=all&untagged=1"):
        assert names(bob, query) == []
    assert bob.get("/api/personas/facets?scope=all").get_json()["total"] == 0
    assert bob.get(f"/api/jobs/{job}").get_json()["persona_id"] is None
    assert admin.patch(path, json={"is_active": True}).status_code == 200
    assert names(bob, "scope=shared") == ["Sol"]
    # An administrator sees no more than anybody.
    share(Person_again(alice), id, "private")
    problem(admin.get(f"/api/personas/{id}"), 404)
    assert names(admin, "scope=all") == []


def Person_again(person: Person) -> Person:
    """The same person after a new login."""
    from conftest import PASSWORD

    answer = person.client.post(
        "/api/auth/login", json={"username": person.name, "password": PASSWORD}
    )
    person.use(answer.get_json())
    return person


# --------------------------------------------------------------------------- what is made with them


def test_what_another_makes_is_theirs_and_says_whose_persona_it_was(
    alice: Person, bob: Person, worker: Worker
) -> None:
    id = alice.persona(name="Sol", visibility="shared", **SMALL)["id"]
    alice.patch(f"/api/personas/{id}", json={"description": "Now at dusk"})
    before = alice.get(f"/api/personas/{id}").get_json()
    media = picture(bob, worker, id)
    (job,) = bob.get("/api/jobs").get_json()["jobs"]
    owner = {"id": alice.id, "username": "alice"}
    assert job["persona"] == {"id": id, "name": "Sol", "owner": owner}
    assert (job["persona_id"], job["persona_revision"]) == (id, 2)
    item = bob.get(f"/api/media/{media}").get_json()
    assert item["metadata"]["persona"] == {"name": "Sol", "owner": owner}
    assert (item["metadata"]["persona_revision"], item["persona_id"]) == (2, id)
    with bob.get(item["download_url"]) as download:
        assert "Sol" in download.headers["Content-Disposition"]
    # By persona it is found by who made it; its cover is their own.
    assert bob.get(f"/api/jobs?persona_id={id}").get_json()["total"] == 1
    assert bob.get(f"/api/media?persona_id={id}").get_json()["total"] == 1
    assert bob.get(f"/api/personas/{id}").get_json()["cover"]["media_id"] == media
    # The owner learns nothing of it.
    assert alice.get(f"/api/personas/{id}").get_json() == before
    assert alice.get(f"/api/jobs?persona_id={id}").get_json()["total"] == 0
    assert alice.get(f"/api/media?persona_id={id}").get_json()["total"] == 0
    assert alice.get("/api/media/stats").get_json()["by_persona"] == {}
    problem(alice.get(f"/api/media/{media}"), 404)
    problem(alice.get(f"/api/jobs/{job['job_id']}"), 404)
    # What it becomes marks nothing of another's.
    alice.allow_nsfw()
    alice.patch(f"/api/personas/{id}", json={"is_nsfw": True})
    assert bob.get(f"/api/media/{media}").get_json()["is_nsfw"] is False
    # As it was told then it stays, without an id.
    alice.delete(f"/api/personas/{id}")
    job = bob.get(f"/api/jobs/{job['job_id']}").get_json()
    assert job["persona"] == {"id": None, "name": "Sol", "owner": owner}
    assert bob.get(f"/api/media/{media}").get_json()["metadata"] == item["metadata"]


def test_one_generates_checks_and_drafts_with_it(alice: Person, bob: Person) -> None:
    id = alice.persona(name="Sol", style_prompt="red desert", visibility="shared")["id"]
    assert bob.get(f"/api/personas/{id}/check").status_code == 200
    body = {"prompt": "a fox", "persona_id": id}
    dry = bob.post("/api/jobs", json={**body, "dry_run": True}).get_json()
    assert dry["prompt"] == "a fox, red desert"
    queued = bob.post("/api/jobs", json=body)
    assert queued.status_code == 202
    draft = {"persona": {"name": "x", "style_prompt": "y"}, "persona_id": id}
    assert bob.post("/api/previews", json=draft).status_code == 202
    bulk = {"ids": [id], "action": "preview"}
    assert bob.post("/api/personas/bulk", json=bulk).get_json()["done"] == 1
    share(alice, id, "private")
    assert bob.post("/api/personas/bulk", json=bulk).get_json()["failed"][0]["code"] == "not_found"
    problem(bob.post("/api/jobs", json=body), 422)
    problem(bob.post("/api/jobs", json={**body, "dry_run": True}), 422)
    problem(bob.post("/api/previews", json=draft), 422)


def test_unsharing_ends_it_at_once(alice: Person, bob: Person, worker: Worker) -> None:
    """What is queued was composed, and runs; nothing is made anew."""
    id = alice.persona(name="Sol", visibility="shared", **SMALL)["id"]
    done, waiting, gone = (bob.preview(id) for _ in range(3))
    assert worker.work_one()
    bob.post(f"/api/jobs/{gone}/cancel")
    share(alice, id, "private")
    problem(bob.get(f"/api/personas/{id}"), 404)
    problem(bob.post(f"/api/personas/{id}/preview"), 404)
    problem(bob.post(f"/api/personas/{id}/duplicate"), 404)
    assert worker.work_one()
    job = bob.get(f"/api/jobs/{waiting}").get_json()
    assert (job["status"], job["persona"]["id"], job["persona_id"]) == ("completed", None, None)
    assert bob.get(f"/api/media/{job['results'][0]['media_id']}").get_json()["persona_id"] is None
    assert bob.get(f"/api/media?persona_id={id}").get_json()["total"] == 0
    problem(bob.post(f"/api/jobs/{done}/again"), 409, "not_shared")
    problem(bob.post(f"/api/jobs/{gone}/retry"), 409, "not_shared")
    share(alice, id)
    again = bob.post(f"/api/jobs/{done}/again").get_json()
    assert again["persona"]["owner"]["username"] == "alice"
    retried = bob.post(f"/api/jobs/{gone}/retry").get_json()
    assert retried["persona"] == again["persona"] == job["persona"] | {"id": id}
    alice.delete(f"/api/personas/{id}")
    problem(bob.post(f"/api/jobs/{done}/again"), 409, "not_shared")


def test_made_again_it_is_as_nsfw_as_the_persona_is_by_now(
    alice: Person, bob: Person, worker: Worker
) -> None:
    for person in (alice, bob):
        person.allow_nsfw()
    id = alice.persona(visibility="shared", **SMALL)["id"]
    job = bob.preview(id)
    assert worker.work_one()
    alice.patch(f"/api/personas/{id}", json={"is_nsfw": True})
    assert bob.post(f"/api/jobs/{job}/again").get_json()["is_nsfw"] is True


def test_a_copy_is_private_and_ones_own(alice: Person, bob: Person, worker: Worker) -> None:
    url = "https://example.com/a.png"
    id = alice.persona(visibility="shared", is_favorite=True, avatar_url=url, tags=["sea"])["id"]
    copy = bob.post(f"/api/personas/{id}/duplicate").get_json()
    assert (copy["visibility"], copy["is_mine"], copy["is_favorite"]) == ("private", True, False)
    assert (copy["avatar_url"], copy["name"], copy["tags"]) == (None, "Luna (copy)", ["sea"])
    problem(alice.get(f"/api/personas/{copy['id']}"), 404)
    own = alice.post(f"/api/personas/{id}/duplicate").get_json()
    assert (own["visibility"], own["avatar_url"]) == ("private", url)
    share(alice, id, "private")
    assert bob.get(f"/api/personas/{copy['id']}").get_json()["name"] == "Luna (copy)"


# ------------------------------------------------------------------------------------------ avatars


def test_its_avatar_is_seen_with_it_and_no_other_picture(
    app: Flask, alice: Person, bob: Person, worker: Worker
) -> None:
    id = alice.persona(visibility="shared", **SMALL)["id"]
    media, other = picture(alice, worker, id), picture(alice, worker, id)
    assert alice.get(f"/api/personas/{id}").get_json()["cover"]["media_id"] == other
    # Without an avatar no picture of hers stands for it.
    assert bob.get(f"/api/personas/{id}").get_json()["cover"] is None
    alice.put(f"/api/personas/{id}/avatar", json={"media_id": media})
    seen = bob.get(f"/api/personas/{id}").get_json()
    links = [seen["avatar_url"], seen["cover"]["url"]]
    links += [each["url"] for each in seen["cover"]["thumbnails"]]
    for url in links:
        with bob.client.get(url) as answer:
            assert (answer.status_code, answer.mimetype) == (200, "image/webp")
        assert f"user={bob.id}&" in url
    # A link of another variant, or for another picture, gives nothing: a file says how it was made.
    make = services_of(app).links.make
    for variant in ("content", "download", thumbnail_variant(320, "0-0-64")):
        problem(bob.client.get(make(media, variant, bob.id)), 404)
    problem(bob.client.get(make(other, "thumbnail", bob.id)), 404)
    problem(bob.get(f"/api/media/{other}/thumbnail"), 404)
    assert loads(bob, f"/api/media/{media}/thumbnail", by_link=False)
    hers = alice.get(f"/api/personas/{id}").get_json()["avatar_url"]
    for change in (
        lambda: share(alice, id, "private"),
        lambda: alice.patch(f"/api/personas/{id}", json={"avatar_url": None}),
    ):
        share(alice, id)
        alice.put(f"/api/personas/{id}/avatar", json={"media_id": media})
        assert loads(bob, links[0])
        change()
        for url in links:
            problem(bob.client.get(url), 404)
        assert loads(alice, hers)


def test_of_a_square_there_is_the_square_alone(
    app: Flask, alice: Person, bob: Person, worker: Worker
) -> None:
    big = {"generation_params": {"width": 128, "height": 128, "num_inference_steps": 1}}
    id = alice.persona(visibility="shared", **big)["id"]
    media = picture(alice, worker, id)
    body = {"media_id": media, "crop": {"x": 8, "y": 8, "size": 64}}
    assert alice.put(f"/api/personas/{id}/avatar", json=body).status_code == 200
    seen = bob.get(f"/api/personas/{id}").get_json()
    for url in (seen["avatar_url"], seen["cover"]["url"]):
        assert loads(bob, url)
    problem(bob.client.get(services_of(app).links.make(media, "thumbnail", bob.id)), 404)
    problem(bob.get(f"/api/media/{media}/thumbnail"), 404)


# ----------------------------------------------------------------------- trash, exports and imports


def test_trash_keeps_it_shared_and_an_import_makes_it_private(
    alice: Person, bob: Person, worker: Worker
) -> None:
    id = alice.persona(name="Sol", visibility="shared")["id"]
    exported = alice.get(f"/api/personas/{id}/export?to=seidra")
    assert exported.get_json()["persona"]["visibility"] == "shared"
    alice.delete(f"/api/personas/{id}")
    problem(bob.get(f"/api/personas/{id}"), 404)
    assert names(bob, "scope=shared") == []
    body = {"ids": [{"kind": "persona", "item_id": id}]}
    assert alice.post("/api/trash/restore", json=body).status_code == 200
    assert bob.get(f"/api/personas/{id}").get_json()["visibility"] == "shared"
    assert names(bob, "scope=shared") == ["Sol"]
    plan = bob.post("/api/imports", json={"text": exported.text}).get_json()
    applied = bob.post(f"/api/imports/{plan['id']}/apply", json={})
    assert applied.status_code in (200, 202), applied.text
    while worker.work_one():
        pass


# -------------------------------------------------------------------------------------------- races


def test_unsharing_while_another_generates(alice: Person, bob: Person, app: Flask) -> None:
    """Each request is before or after: what was refused made nothing, and what comes after the
    answer to unsharing is refused."""
    id = alice.persona(style_prompt="red desert", visibility="shared")["id"]
    begun, over = threading.Event(), threading.Event()
    answers: list[int] = []

    def generate() -> None:
        client = app.test_client()
        while len(answers) < 200:
            late = over.is_set()
            answer = client.post(
                "/api/jobs", json={"prompt": "x", "persona_id": id}, headers=bob.headers
            )
            assert answer.status_code in ((422,) if late else (202, 422, 429)), answer.text
            answers.append(answer.status_code)
            begun.set()
            if late:
                return

    thread = threading.Thread(target=generate)
    thread.start()
    assert begun.wait(60)
    share(alice, id, "private")
    over.set()
    thread.join(120)
    assert not thread.is_alive()
    assert answers[-1] == 422
    jobs = bob.get("/api/jobs?limit=100").get_json()
    assert jobs["total"] == answers.count(202)
    assert {job["prompt"] for job in jobs["jobs"]} == {"x, red desert"}


def test_two_edits_at_once_leave_both(alice: Person, bob: Person, app: Flask) -> None:
    made = alice.persona()
    path = f"/api/personas/{made['id']}"
    gate = threading.Barrier(2)
    seen = []

    def edit(body: Json) -> None:
        client = app.test_client()
        gate.wait(60)
        seen.append(client.patch(path, json=body, headers=alice.headers).status_code)

    threads = [
        threading.Thread(target=edit, args=(body,))
        for body in ({"visibility": "shared"}, {"name": "Sol"})
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    after = bob.get(path).get_json()
    assert seen == [200, 200]
    assert (after["name"], after["visibility"]) == ("Sol", "shared")
    assert after["version"] == made["version"] + 2
    # And of two that name the version that they saw, one is told.
    stale = alice.patch(path, json={"visibility": "private"}, headers={"If-Match": '"1-x"'})
    problem(stale, 412, "stale")


def test_the_counters_keep_up(alice: Person, bob: Person, database: SqliteDatabase) -> None:
    alice.allow_nsfw()
    bob.allow_nsfw()

    def counted() -> dict[int, int]:
        rows = database.connection.execute(
            "SELECT is_nsfw, SUM(n) FROM shared_persona_counts WHERE user_id = ?"
            " GROUP BY is_nsfw HAVING SUM(n) > 0",
            [alice.id],
        ).fetchall()
        return {row[0]: row[1] for row in rows}

    id = alice.persona(visibility="shared")["id"]
    alice.persona()
    assert counted() == {0: 1}
    alice.patch(f"/api/personas/{id}", json={"is_nsfw": True})
    assert counted() == {1: 1}
    alice.patch(f"/api/personas/{id}", json={"is_nsfw": False, "visibility": "private"})
    assert counted() == {}
    alice.patch(f"/api/personas/{id}", json={"is_nsfw": True, "visibility": "shared"})
    assert counted() == {1: 1}
    alice.delete(f"/api/personas/{id}")
    assert counted() == {}


@pytest.mark.parametrize("name", ["sql", "seidra"])
def test_the_words_are_the_same_everywhere(name: str) -> None:
    """'private' and 'shared' are all there is."""
    from pathlib import Path

    root = Path(__file__).parent.parent / name
    for path in [*root.rglob("*.sql"), *root.rglob("*.py")]:
        for word in re.findall(r"visibility = '(\w+)'", path.read_text()):
            assert word in ("private", "shared"), path


def test_what_is_read_by_ids_is_asked_again_who_may_see_it(
    alice: Person, bob: Person, admin: Person, worker: Worker, database: SqliteDatabase
) -> None:
    """Behind a filter that let a private one through stands another: whoever asks for its very id
    gets no row, no figure and no name of it."""
    alice.allow_nsfw()
    private = alice.persona(tags=["moon"], **SMALL)["id"]
    shared = alice.persona(tags=["sun"], **SMALL, visibility="shared")["id"]
    shy = alice.persona(visibility="shared", is_nsfw=True)["id"]
    mine = picture(bob, worker, shared)
    ids = to_json([private, shared, shy])
    page = {"order": "-created_at", "limit": 9, "offset": 0}
    words = {"words": "[]", "tag_keys": "[]", "untagged": False}
    connection = database.connection
    for person in (bob, admin):
        asked: dict[str, Any] = {"user_id": person.id, "nsfw": False}
        rows = queries.search.persona_page(connection, ids=ids, **asked)
        assert [row["id"] for row in rows] == [shared]
        rows = queries.search.persona_facets(connection, ids=ids, **asked)
        assert [(row["tags"], row["n"]) for row in rows] == [('["sun"]', 1)]
        found = queries.search.sorted_page(
            connection, which="seen", ids=to_json([private, shared]), user_id=person.id, **page
        )
        assert found == to_json([shared])
        assert queries.search.shared(connection, **asked, **words) == to_json([shared])
        for which in ("few", "many"):
            found = queries.search.sorted_page(
                connection, which=which, ids=ids, user_id=person.id, **page
            )
            assert found == "[]"
    assert bob.patch(f"/api/media/{mine}", json={"tags": ["mine"]}).get_json()["persona_id"]
    share(alice, shared, "private")
    asked = {"user_id": bob.id, "nsfw": True}
    rows = queries.search.persona_page(connection, ids=ids, **asked)
    assert [row["id"] for row in rows] == [shy]
    rows = queries.search.persona_facets(connection, ids=ids, **asked)
    assert [row["tags"] for row in rows] == ["[]"]
    # Whose persona a picture of one's own was made with is a number no more.
    for answer in (
        bob.get(f"/api/media/{mine}"),
        bob.patch(f"/api/media/{mine}", json={"tags": ["still mine"]}),
    ):
        assert answer.get_json()["persona_id"] is None
    for query in ("", "?search=mine", "?scope=all", "?scope=all&tag=still+mine"):
        items = bob.get(f"/api/media{query}").get_json()["items"]
        assert [item["persona_id"] for item in items] == [None], query

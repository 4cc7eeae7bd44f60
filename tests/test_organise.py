"""Facets and tags: what there is in a library, and how often."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Person

from seidra.database import batches
from seidra.jobs.worker import Worker
from seidra.library import tags


def facets(person: Person, kind: str = "personas", **query: Any) -> dict[str, Any]:
    answer = person.get(f"/api/{kind}/facets", query_string=query)
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def counts(found: dict[str, Any]) -> list[tuple[str, int]]:
    return [(each["tag"], each["count"]) for each in found["tags"]]


@pytest.fixture
def library(alice: Person, bob: Person) -> Person:
    """Alice's personas, with tags in several spellings; bob's, which nobody else counts."""
    alice.persona(name="One", tags=["Élan", "sea"], is_favorite=True)
    alice.persona(name="Two", tags=["élan"], style_prompt="desert")
    alice.persona(name="Three", tags=["élan", "Sea", "eldritch"])
    alice.persona(name="Four")
    bob.persona(name="Other", tags=["sea", "bob"])
    return alice


def test_facets_count_what_there_is(library: Person) -> None:
    found = facets(library)
    assert {name: found[name] for name in ("total", "favorites", "nsfw", "untagged")} == {
        "total": 4,
        "favorites": 1,
        "nsfw": 0,
        "untagged": 1,
    }
    # The most used spelling, and of as many uses the first in order.
    assert counts(found) == [("élan", 3), ("Sea", 2), ("eldritch", 1)]


@pytest.mark.parametrize(
    ("query", "total", "tags"),
    [
        ({"tag": "SEA"}, 2, [("Sea", 2), ("Élan", 2), ("eldritch", 1)]),
        ({"tag": ["sea", "eldritch"]}, 1, [("eldritch", 1), ("Sea", 1), ("élan", 1)]),
        ({"search": "desert"}, 1, [("élan", 1)]),
        ({"search": "de"}, 1, [("élan", 1)]),
        ({"untagged": "true"}, 1, []),
        ({"untagged": "true", "tag": "sea"}, 0, []),
        ({"is_favorite": "true"}, 1, [("Élan", 1), ("sea", 1)]),
        ({"is_favorite": "false"}, 3, [("élan", 2), ("eldritch", 1), ("Sea", 1)]),
        ({"prefix": "EL"}, 4, [("élan", 3), ("eldritch", 1)]),
        ({"limit": 1}, 4, [("élan", 3)]),
    ],
)
def test_facets_take_the_filters_of_the_list(
    library: Person, query: dict[str, Any], total: int, tags: list[tuple[str, int]]
) -> None:
    found = facets(library, **query)
    assert found["total"] == total
    assert sorted(counts(found)) == sorted(tags)
    if "limit" not in query:
        listed = library.get("/api/personas", query_string=query)
        assert listed.headers["X-Total-Count"] == str(total)


def test_the_untagged_are_listed_in_the_order_asked(library: Person) -> None:
    library.persona(name="Six")
    for sort, names in (("created_at", ["Four", "Six"]), ("-name", ["Six", "Four"])):
        listed = library.get(f"/api/personas?untagged=true&sort={sort}").get_json()
        assert [each["name"] for each in listed] == names


def test_what_is_nsfw_counts_where_it_is_asked_for_and_in_force(library: Person) -> None:
    library.allow_nsfw()
    library.persona(name="Five", tags=["night"], is_nsfw=True)
    assert (facets(library)["total"], facets(library)["nsfw"]) == (4, 0)
    for query in ({}, {"tag": "night"}):
        found = facets(library, include_nsfw="true", **query)
        assert found["nsfw"] == 1
        assert ("night", 1) in counts(found)
    assert facets(library, tag="night")["total"] == 0
    library.patch("/api/settings/nsfw", json={"age_verified": False})
    assert facets(library, include_nsfw="true")["total"] == 4
    assert "night" not in library.get("/api/tags?include_nsfw=true").text


def test_media_have_facets_too_and_tags_are_one_vocabulary(library: Person, worker: Worker) -> None:
    persona = library.persona(name="Maker", generation_params={"width": 64, "height": 64})["id"]
    library.preview(persona, count=2)
    while worker.work_one():
        pass
    first = library.get("/api/media").get_json()["items"][0]
    change = {"tags": ["SEA", "cover"], "is_favorite": True}
    assert library.patch(f"/api/media/{first['id']}", json=change).status_code == 200
    found = facets(library, "media")
    assert (found["total"], found["favorites"], found["untagged"]) == (2, 1, 1)
    assert counts(found) == [("cover", 1), ("SEA", 1)]
    assert facets(library, "media", tag="sea")["total"] == 1
    assert facets(library, "media", favorites_only="true")["untagged"] == 0
    assert facets(library, "media", persona_id=persona)["total"] == 2
    assert facets(library, "media", persona_id=persona + 99)["total"] == 0
    listed = library.get("/api/tags?prefix=SE").get_json()["tags"]
    assert listed == [{"tag": "SEA", "personas": 2, "media": 1}]
    assert len(library.get("/api/tags?limit=2").get_json()["tags"]) == 2


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "include_nsfw=maybe", "prefix=%20"])
def test_wrong_queries_are_told(alice: Person, query: str) -> None:
    for path in ("/api/personas/facets", "/api/media/facets", "/api/tags"):
        answer = alice.get(f"{path}?{query}")
        assert answer.status_code == 422
        assert list(answer.get_json()["errors"]) == [query.partition("=")[0]]


def retag(person: Person, tag: str, to: str | None = None) -> dict[str, Any]:
    path, body = ("delete", {"tag": tag}) if to is None else ("rename", {"tag": tag, "to": to})
    answer = person.post(f"/api/tags/{path}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def tags_of(person: Person, kind: str = "personas") -> dict[str, list[str]]:
    """The tags of each thing, by its name or the beginning of its prompt."""
    found = person.get(f"/api/{kind}?include_nsfw=true").get_json()
    if kind == "personas":
        return {each["name"]: each["tags"] for each in found}
    return {each["id"]: each["tags"] for each in found["items"]}


def test_a_tag_is_renamed_however_it_is_spelled(library: Person, bob: Person) -> None:
    before = {each["name"]: each for each in library.get("/api/personas").get_json()}
    assert retag(library, "ELAN", "Verve") == {"personas": 3, "media": 0, "remaining": 0}
    assert tags_of(library) == {
        "One": ["Verve", "sea"],
        "Two": ["Verve"],
        "Three": ["Verve", "Sea", "eldritch"],
        "Four": [],
    }
    for each in library.get("/api/personas").get_json():
        was, changed = before[each["name"]], each["name"] != "Four"
        assert each["version"] == was["version"] + changed
        assert (each["updated_at"] > was["updated_at"]) == changed
        # Tags are no part of a look.
        assert each["revision"] == was["revision"]
    assert tags_of(bob) == {"Other": ["sea", "bob"]}
    for query, total in (
        ("search=verve", 3),
        ("tag=verve", 3),
        ("search=élan", 0),
        ("tag=élan", 0),
    ):
        assert library.get(f"/api/personas?{query}").headers["X-Total-Count"] == str(total), query
    # Another spelling of the same tag changes what is spelled otherwise alone.
    assert retag(library, "sea", "Sea")["personas"] == 1
    assert retag(library, "sea", "Sea")["personas"] == 0


def test_a_name_that_is_there_takes_the_other_in(library: Person) -> None:
    assert retag(library, "sea", "ÉLAN")["personas"] == 2
    assert tags_of(library)["One"] == ["Élan"]
    assert tags_of(library)["Three"] == ["élan", "eldritch"]
    assert counts(facets(library)) == [("élan", 3), ("eldritch", 1)]


def test_a_tag_is_taken_away_from_media_too(library: Person, bob: Person, worker: Worker) -> None:
    library.preview(library.persona(generation_params={"width": 64, "height": 64})["id"], count=2)
    while worker.work_one():
        pass
    first, other = (item["id"] for item in library.get("/api/media").get_json()["items"])
    for media_id, names in ((first, ["a/b", "SEA"]), (other, ["a/b"])):
        library.put(f"/api/media/{media_id}/tags", json=names)
    version = library.get(f"/api/media/{other}").get_json()["version"]
    assert retag(library, "sea") == {"personas": 2, "media": 1, "remaining": 0}
    assert tags_of(library, "media") == {first: ["a/b"], other: ["a/b"]}
    assert library.get("/api/media?search=sea").get_json()["total"] == 0
    assert library.get("/api/media?tag=sea").get_json()["total"] == 0
    assert library.get(f"/api/media/{other}").get_json()["version"] == version
    assert retag(library, "a/b", "c")["media"] == 2
    assert library.get("/api/media?tag=c&search=c").get_json()["total"] == 2
    assert tags_of(bob) == {"Other": ["sea", "bob"]}


def test_what_nsfw_hides_is_renamed_too(library: Person) -> None:
    library.allow_nsfw()
    library.persona(name="Five", tags=["night"], is_nsfw=True)
    library.patch("/api/settings/nsfw", json={"age_verified": False})
    assert retag(library, "night", "dusk")["personas"] == 1
    library.allow_nsfw()
    assert tags_of(library)["Five"] == ["dusk"]
    assert library.get("/api/personas?tag=dusk&include_nsfw=true").headers["X-Total-Count"] == "1"


def test_many_are_done_in_batches_and_the_rest_remains(
    library: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tags, "MAX_RETAGGED", 2)
    monkeypatch.setattr(batches, "BATCH", 1)
    assert retag(library, "élan") == {"personas": 2, "media": 0, "remaining": 1}
    assert retag(library, "élan") == {"personas": 1, "media": 0, "remaining": 0}


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("rename", {"tag": "sea"}, 422, "to"),
        ("rename", {"tag": "sea", "to": " "}, 422, "to"),
        ("rename", {"tag": "sea", "to": "x" * 51}, 422, "to"),
        ("rename", {"tag": 5, "to": "x"}, 422, "tag"),
        ("rename", {"tag": "sea", "to": "x", "all": True}, 422, "all"),
        ("delete", {}, 422, "tag"),
        ("rename", {"tag": "bob", "to": "x"}, 404, None),
        ("delete", {"tag": "nowhere"}, 404, None),
    ],
)
def test_a_tag_that_cannot_be_changed(
    library: Person, path: str, body: dict[str, Any], status: int, field: str | None
) -> None:
    before = tags_of(library)
    answer = library.post(f"/api/tags/{path}", json=body)
    assert (answer.status_code, list(answer.get_json().get("errors", {}))) == (
        status,
        [field] if field else [],
    )
    assert tags_of(library) == before

"""Collections: media put together, for oneself, for everybody on the instance, or by a link."""

from __future__ import annotations

import random
from typing import Any

import pytest
from conftest import Person
from test_downloads import SECRET
from test_shared_media import change, item_of, listed
from werkzeug.test import TestResponse

from seidra.database.queries import queries
from seidra.database.sqlite.connect import SqliteDatabase

PATH = "/api/collections"


def made(person: Person, *items: dict[str, Any], **values: Any) -> dict[str, Any]:
    """A collection with these items."""
    answer = person.post(PATH, json={"name": "Tides", **values})
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"].endswith(answer.get_json()["id"])
    found: dict[str, Any] = answer.get_json()
    if items:
        found = put(person, found, *items)
    return found


def put(person: Person, collection: dict[str, Any], *items: dict[str, Any]) -> dict[str, Any]:
    body = {"ids": [item["id"] for item in items]}
    answer = person.post(f"{PATH}/{collection['id']}/media", json=body)
    assert answer.status_code == 200, answer.text
    changed: dict[str, Any] = answer.get_json()
    return changed


def inside(person: Person, collection: dict[str, Any], **query: Any) -> list[str]:
    answer = person.get(f"{PATH}/{collection['id']}/media", query_string=query)
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.get_json()["items"]]


def seen(person: Person, scope: str = "shared") -> list[str]:
    answer = person.get(f"{PATH}?scope={scope}").get_json()
    assert answer["total"] == len(answer["items"])
    return [each["id"] for each in answer["items"]]


def test_a_collection_is_made_changed_and_deleted(alice: Person) -> None:
    item = item_of(alice)
    collection = made(alice, description="Of the sea")
    assert (collection["count"], collection["cover"], collection["version"]) == (0, None, 1)
    assert (collection["visibility"], collection["is_mine"]) == ("private", True)
    collection = put(alice, collection, item)
    assert (collection["count"], collection["version"]) == (1, 2)
    assert collection["cover"]["media_id"] == item["id"]
    path = f"{PATH}/{collection['id']}"
    changed = alice.patch(path, json={"name": "Low tides"}).get_json()
    assert (changed["name"], changed["description"]) == ("Low tides", "Of the sea")
    assert changed["version"] == 3
    # What changes nothing is no change; and what was read can be sent back.
    assert alice.patch(path, json=changed).get_json() == changed
    assert put(alice, changed, item)["version"] == 3
    answer = alice.get(path)
    assert answer.get_json() == changed
    unchanged = {"If-None-Match": answer.headers["ETag"]}
    assert alice.get(path, headers=unchanged).status_code == 304
    stale = {"If-Match": '"1"'}
    assert alice.patch(path, json={"name": "x"}, headers=stale).status_code == 412
    assert alice.delete(path, headers=stale).status_code == 412
    assert alice.delete(path).status_code == 204
    assert alice.get(path).status_code == 404
    # Its media stay.
    assert alice.get(f"/api/media/{item['id']}").status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": " "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "x", "description": "x" * 2001}, "description"),
        ({"name": "x", "visibility": "public"}, "visibility"),
        ({"name": "x", "colour": "red"}, "colour"),
    ],
)
def test_a_bad_body_makes_nothing(alice: Person, body: dict[str, Any], field: str) -> None:
    answer = alice.post(PATH, json=body)
    assert answer.status_code == 422
    assert list(answer.get_json()["errors"]) == [field]
    assert seen(alice, "mine") == []


def test_pictures_stand_in_their_order(alice: Person) -> None:
    one, two, three, four = (item_of(alice) for _ in range(4))
    collection = made(alice, one, two, three)
    ids = [item["id"] for item in (one, two, three)]
    assert inside(alice, collection) == ids
    put(alice, collection, four, one, four)
    assert inside(alice, collection) == [*ids, four["id"]]
    path = f"{PATH}/{collection['id']}"
    answer = alice.put(f"{path}/order", json={"ids": [four["id"], two["id"]]})
    assert answer.get_json()["cover"]["media_id"] == four["id"]
    wanted = [item["id"] for item in (four, two, one, three)]
    assert inside(alice, collection) == wanted
    again = alice.put(f"{path}/order", json={"ids": wanted}).get_json()
    assert again["version"] == answer.get_json()["version"]
    pages = [inside(alice, collection, limit=2, offset=offset) for offset in (0, 2, 4)]
    assert pages == [wanted[:2], wanted[2:], []]
    other = item_of(alice)
    refused = alice.put(f"{path}/order", json={"ids": [other["id"]]})
    assert (refused.status_code, refused.get_json()["code"]) == (409, "not_in_collection")
    gone = alice.delete(f"{path}/media", json={"ids": [two["id"], other["id"]]}).get_json()
    assert gone["count"] == 3
    assert inside(alice, collection) == [item["id"] for item in (four, one, three)]


def test_only_ones_own_media_come_in(alice: Person, bob: Person) -> None:
    own, foreign = item_of(alice), change(bob, item_of(bob), visibility="shared")
    collection = made(alice)
    path = f"{PATH}/{collection['id']}/media"
    body = {"ids": [own["id"], foreign["id"]]}
    assert alice.post(path, json=body).status_code == 404
    # All or none.
    assert inside(alice, collection) == []


def test_a_private_one_is_nobodys_elses(alice: Person, bob: Person, admin: Person) -> None:
    item = item_of(alice)
    collection = made(alice, item)
    path = f"{PATH}/{collection['id']}"
    for other in (bob, admin):
        assert seen(other) == seen(other, "all") == seen(other, "mine") == []
        for each in (path, f"{path}/media", f"{path}/shares"):
            assert other.get(each).status_code == 404
        assert other.get(f"/api/media/{item['id']}").status_code == 404


def test_a_shared_one_shows_its_pictures_and_nothing_else(
    alice: Person, bob: Person, admin: Person
) -> None:
    item, other = item_of(alice), item_of(alice)
    collection = made(alice, item, visibility="shared")
    path = f"{PATH}/{collection['id']}"
    mine = made(bob)
    assert seen(bob) == [collection["id"]]
    assert seen(bob, "all") == [mine["id"], collection["id"]]
    assert seen(alice) == []
    found = bob.get(path).get_json()
    assert (found["is_mine"], found["count"]) == (False, 1)
    assert found["owner"] == {"id": alice.id, "username": "alice"}
    cover = found["cover"]["thumbnails"]
    picture = bob.get(f"{path}/media").get_json()["items"][0]
    assert (picture["metadata"], picture["tags"], picture["is_mine"]) == ({}, [], False)
    assert bob.get(f"/api/media/{item['id']}").get_json() == picture
    assert SECRET.encode() not in bob.client.get(picture["url"]).data
    assert bob.get(f"/api/media/{other['id']}").status_code == 404
    # It is no picture shared by itself.
    assert listed(bob) == []
    alice.patch(path, json={"with_details": True})
    assert bob.get(f"{path}/media").get_json()["items"][0]["tags"] == ["hush"]
    assert SECRET.encode() in bob.client.get(picture["url"], buffered=True).data
    for method, target, body in (
        ("PATCH", path, {"name": "mine"}),
        ("POST", f"{path}/media", {"ids": [item["id"]]}),
        ("DELETE", f"{path}/media", {"ids": [item["id"]]}),
        ("PUT", f"{path}/order", {"ids": [item["id"]]}),
        ("POST", f"{path}/share", {"days": 1}),
        ("DELETE", path, None),
    ):
        answer = bob.open(method, target, json=body)
        assert (answer.status_code, answer.get_json()["code"]) == (403, "not_yours"), target
    alice.patch(path, json={"visibility": "private"})
    assert seen(bob) == []
    assert bob.client.get(picture["url"]).status_code == 404
    assert bob.get(f"/api/media/{item['id']}").status_code == 404
    assert not [each for each in cover if bob.client.get(each["url"]).status_code != 404]
    alice.patch(path, json={"visibility": "shared"})
    assert admin.patch(f"/api/admin/users/{alice.id}", json={"is_active": False}).status_code == 200
    assert seen(bob) == []
    assert seen(bob, "all") == [mine["id"]]
    assert bob.get(path).status_code == 404


def test_the_nsfw_rules_are_those_of_who_looks(alice: Person, bob: Person) -> None:
    alice.allow_nsfw()
    shy, plain = item_of(alice, is_nsfw="true"), item_of(alice)
    collection = made(alice, shy, plain, visibility="shared")
    path = f"{PATH}/{collection['id']}"
    assert inside(alice, collection) == [plain["id"]]
    assert inside(alice, collection, include_nsfw="true") == [shy["id"], plain["id"]]
    assert alice.get(path).get_json()["count"] == 2
    found = bob.get(path).get_json()
    assert (found["count"], found["cover"]["media_id"]) == (1, plain["id"])
    assert inside(bob, collection, include_nsfw="true") == [plain["id"]]
    listed_one = bob.get(f"{PATH}?scope=shared&include_nsfw=true").get_json()["items"][0]
    assert listed_one["count"] == 1
    bob.allow_nsfw()
    assert bob.get(path).get_json()["count"] == 2
    assert bob.get(f"{PATH}?scope=shared").get_json()["items"][0]["count"] == 1


def test_what_lies_in_the_trash_comes_back_to_its_place(
    alice: Person, database: SqliteDatabase
) -> None:
    one, two = item_of(alice), item_of(alice)
    collection = made(alice, one, two)
    assert alice.delete(f"/api/media/{one['id']}").status_code == 204
    assert inside(alice, collection) == [two["id"]]
    assert alice.get(f"{PATH}/{collection['id']}").get_json()["count"] == 1
    entry = alice.get("/api/trash").get_json()["items"][0]["id"]
    assert alice.post("/api/trash/restore", json={"ids": [entry]}).status_code == 200
    assert inside(alice, collection) == [one["id"], two["id"]]
    assert alice.delete(f"/api/media/{one['id']}").status_code == 204
    assert alice.delete("/api/trash").status_code == 204
    rows = database.connection.execute("SELECT media_id FROM collection_media").fetchall()
    assert [row[0] for row in rows] == [two["id"]]


def test_counts_are_what_a_count_says(alice: Person, bob: Person, database: SqliteDatabase) -> None:
    """Whatever is done to pictures and collections, in the order of a die."""
    alice.allow_nsfw()
    die = random.Random(5)
    items = [item_of(alice)["id"] for _ in range(6)]
    albums = [made(alice, name=f"{n}", visibility="shared")["id"] for n in range(3)]

    def add(album: str, item: str) -> TestResponse:
        return alice.post(f"{PATH}/{album}/media", json={"ids": [item]})

    def take(album: str, item: str) -> TestResponse:
        return alice.delete(f"{PATH}/{album}/media", json={"ids": [item]})

    def veil(_: str, item: str) -> TestResponse:
        return alice.patch(f"/api/media/{item}", json={"is_nsfw": die.random() < 0.5})

    def trash(_: str, item: str) -> TestResponse:
        return alice.delete(f"/api/media/{item}")

    def restore(_: str, item: str) -> TestResponse:
        body = {"ids": [{"kind": "media", "item_id": item}]}
        return alice.post("/api/trash/restore", json=body)

    def purge(*_: str) -> TestResponse:
        gone = alice.get("/api/trash?include_nsfw=true").get_json()["items"]
        items.extend(item_of(alice)["id"] for _ in gone)
        for entry in gone:
            items.remove(entry["item_id"])
        return alice.delete("/api/trash")

    def renew(album: str, _: str) -> TestResponse:
        albums.remove(album)
        albums.append(made(alice, name="new", visibility="shared")["id"])
        return alice.delete(f"{PATH}/{album}")

    steps = [add] * 8 + [take, veil, veil, trash, trash, restore, restore, renew]
    done = set()
    for number in range(150):
        step = purge if number % 40 == 39 else die.choice(steps)
        answer = step(die.choice(albums), die.choice(items))
        assert answer.status_code in (200, 204, 404), answer.text
        if answer.status_code != 404:
            done.add(step.__name__)
        wrong = queries.operations.wrong_counts(database.connection)
        assert wrong is not None
        assert set(wrong) == {0}, (number, step.__name__, dict(wrong))
        if number % 10 == 0:
            for person in (alice, bob):
                _check_numbers(person, albums)
    assert len(done) == 7
    assert bob.get(f"{PATH}?scope=shared").get_json()["total"] == len(albums)


def _check_numbers(person: Person, albums: list[str]) -> None:
    """What collections say of themselves is what somebody sees in them."""
    for shy in ("", "?include_nsfw=true"):
        listed_ones = person.get(f"{PATH}{shy or '?'}&scope=all").get_json()["items"]
        assert sorted(each["id"] for each in listed_ones) == sorted(albums)
        for each in listed_ones:
            page = person.get(f"{PATH}/{each['id']}/media{shy}").get_json()
            assert each["count"] == page["total"] == len(page["items"])
            first = page["items"][0]["id"] if page["items"] else None
            assert (each["cover"] and each["cover"]["media_id"]) == first


def test_collections_and_their_pictures_are_bounded(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seidra.media.collections.MAX_COLLECTIONS", 1)
    monkeypatch.setattr("seidra.media.collections.MAX_PICTURES", 1)
    one, two = item_of(alice), item_of(alice)
    collection = made(alice, one)
    answer = alice.post(PATH, json={"name": "more"})
    assert (answer.status_code, answer.get_json()["code"]) == (409, "quota_exceeded")
    body = {"ids": [one["id"], two["id"]]}
    answer = alice.post(f"{PATH}/{collection['id']}/media", json=body)
    assert (answer.status_code, answer.get_json()["code"]) == (409, "quota_exceeded")
    assert inside(alice, collection) == [one["id"]]


def test_a_link_shows_the_grid_and_each_picture(
    alice: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seidra.studio.public._ON_A_PAGE", 2)
    items = [item_of(alice) for _ in range(3)]
    other = item_of(alice)
    collection = made(alice, *items, name="<Tides>", description="Of & the sea")
    path = f"{PATH}/{collection['id']}"
    link = alice.post(f"{path}/share", json={"days": 3}).get_json()
    assert alice.get(f"{path}/shares").get_json()["items"][0]["id"] == link["id"]
    first = bob.client.get(link["url"])
    assert first.status_code == 200
    assert "&lt;Tides&gt;" in first.text
    assert "Of &amp; the sea" in first.text
    assert [item["id"] in first.text for item in items] == [True, True, False]
    assert f'href="{link["url"]}?page=2"' in first.text
    second = bob.client.get(f"{link['url']}?page=2")
    assert [item["id"] in second.text for item in items] == [False, False, True]
    assert bob.client.get(f"{link['url']}?page=3").status_code == 404
    one = f"{link['url']}/{items[0]['id']}"
    assert f'src="{one}/picture"' in bob.client.get(one).text
    assert SECRET.encode() not in bob.client.get(f"{one}/picture").data
    assert bob.client.get(f"{one}/thumbnail", buffered=True).status_code == 200
    for wrong in (f"{link['url']}/picture", f"{link['url']}/{other['id']}"):
        assert bob.client.get(wrong).status_code == 404
    alice.delete(f"{path}/media", json={"ids": [items[0]["id"]]})
    assert bob.client.get(f"{one}/picture").status_code == 404
    assert alice.delete(path).status_code == 204
    assert bob.client.get(link["url"]).status_code == 404
    assert alice.get("/api/shares").get_json()["total"] == 0


def test_a_grid_veils_what_is_nsfw(alice: Person, bob: Person) -> None:
    alice.allow_nsfw()
    shy, plain = item_of(alice, is_nsfw="true"), item_of(alice)
    collection = made(alice, shy, plain)
    share = f"{PATH}/{collection['id']}/share"
    link = alice.post(share, json={"days": 3}).get_json()
    page = bob.client.get(link["url"]).text
    assert shy["id"] not in page
    assert plain["id"] in page
    assert shy["id"] in bob.client.get(f"{link['url']}?show=1").text
    alice.patch("/api/settings/nsfw", json={"enabled": False})
    assert shy["id"] not in bob.client.get(f"{link['url']}?show=1").text
    assert bob.client.get(f"{link['url']}/{shy['id']}/picture").status_code == 404


@pytest.mark.parametrize("path", ["/api/personas", "/api/media", "/api/collections", "/api/shares"])
@pytest.mark.parametrize("scope", ["mine", "shared", "all"])
@pytest.mark.parametrize("offset", [2**63 - 1, 2**63, 10**30])
def test_pages_behind_all_numbers_are_empty(
    alice: Person, path: str, scope: str, offset: int
) -> None:
    item_of(alice)
    answer = alice.get(path, query_string={"scope": scope, "offset": offset, "limit": 44})
    assert answer.status_code == 200, answer.text
    shown = answer.get_json()
    assert (shown if isinstance(shown, list) else shown["items"]) == []


def test_the_list_of_media_is_filtered_by_a_collection(alice: Person, bob: Person) -> None:
    """One's own, or one that is shared; with every other filter, and no more than it gives."""
    bob.allow_nsfw()
    alice.allow_nsfw()
    one, two = item_of(alice, tags=["open"]), item_of(alice, tags=["sea"])
    shy, beside = item_of(alice, is_nsfw="true"), item_of(alice, tags=["sea"])
    kept = made(alice, one, two, shy)
    given = made(alice, two, shy, visibility="shared")
    change(alice, beside, visibility="shared")

    def ids_of(person: Person, collection: str, **query: Any) -> list[str]:
        query |= {"collection": collection}
        page = person.get("/api/media", query_string=query).get_json()
        assert page["total"] == len(page["items"])
        facets = person.get("/api/media/facets", query_string=query).get_json()
        assert facets["total"] == page["total"]
        if "scope" not in query:
            months = person.get("/api/media/timeline", query_string=query).get_json()
            assert sum(month["count"] for month in months) == page["total"]
        return [item["id"] for item in page["items"]]

    first, second, third = (item["id"] for item in (one, two, shy))
    assert ids_of(alice, kept["id"]) == [second, first]
    assert ids_of(alice, kept["id"].upper(), sort="created_at") == [first, second]
    assert ids_of(alice, kept["id"], include_nsfw="true") == [third, second, first]
    assert ids_of(alice, kept["id"], tag="sea") == [second]
    assert ids_of(alice, kept["id"], search="open") == [first]
    assert ids_of(alice, kept["id"], date_to="2000-01-01") == []
    assert ids_of(alice, kept["id"], scope="all") == [second, first]
    assert ids_of(alice, given["id"], scope="shared") == []
    assert ids_of(alice, "00000000-0000-4000-8000-000000000000") == []
    # Another's is one's own by no scope, and a private one by none at all.
    for scope in ("mine", "shared", "all"):
        assert ids_of(bob, kept["id"], scope=scope) == []
        wanted = [] if scope == "mine" else [second]
        assert ids_of(bob, given["id"], scope=scope) == wanted
    shared = {"scope": "shared"}
    assert ids_of(bob, given["id"], include_nsfw="true", **shared) == [third, second]
    # What is not shown is not found, until it is given.
    assert ids_of(bob, given["id"], tag="sea", **shared) == []
    assert ids_of(bob, given["id"], search="sea", **shared) == []
    path = f"{PATH}/{given['id']}"
    assert alice.patch(path, json={"with_details": True}).status_code == 200
    assert ids_of(bob, given["id"], tag="sea", **shared) == [second]
    assert ids_of(bob, given["id"], search="sea", **shared) == [second]
    assert alice.patch(path, json={"visibility": "private"}).status_code == 200
    assert ids_of(bob, given["id"], **shared) == []
    answer = alice.get("/api/media?collection=x")
    assert (answer.status_code, set(answer.get_json()["errors"])) == (422, {"collection"})


def test_a_bulk_action_takes_what_a_collection_has(alice: Person, bob: Person) -> None:
    one, two = item_of(alice), item_of(alice)
    collection = made(alice, one, visibility="shared")

    def tag(person: Person) -> dict[str, Any]:
        body = {"action": "tag", "tags": ["album"], "filter": {"collection": collection["id"]}}
        answer = person.post("/api/media/bulk", json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.get_json()
        return found

    assert tag(bob)["done"] == 0
    assert tag(alice) == {"done": 1, "failed": [], "remaining": 0}
    tags = [alice.get(f"/api/media/{item['id']}").get_json()["tags"] for item in (one, two)]
    assert ["album" in each for each in tags] == [True, False]

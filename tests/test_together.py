"""What joins sharing, limits and leaving: the right to share, and what of what is shared is left to
another."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Person
from flask import Flask
from test_hand_over import accept, check_counts, fill, told, work
from test_limits import group_of, limit
from test_shared_media import change, item_of, link_of, listed

from seidra.database.sqlite.connect import SqliteDatabase
from seidra.jobs.worker import Worker


def collection_of(person: Person, *items: dict[str, Any], **values: Any) -> str:
    made = person.post("/api/collections", json={"name": "Tides", **values})
    assert made.status_code == 201, made.text
    collection: str = made.get_json()["id"]
    body = {"ids": [item["id"] for item in items]}
    answer = person.post(f"/api/collections/{collection}/media", json=body)
    assert answer.status_code == 200, answer.text
    return collection


def personas(person: Person, scope: str = "shared", **query: Any) -> list[int]:
    found = person.get("/api/personas", query_string={"scope": scope, **query})
    return [each["id"] for each in found.get_json()]


def collections(person: Person, scope: str = "shared") -> list[str]:
    found = person.get(f"/api/collections?scope={scope}").get_json()
    assert found["total"] == len(found["items"])
    return [each["id"] for each in found["items"]]


# ------------------------------------------------------------------------------- the right to share


@pytest.mark.parametrize("of", ["account", "group"])
def test_what_is_shared_ends_with_the_right_to_share_and_comes_back_with_it(
    admin: Person, alice: Person, bob: Person, of: str
) -> None:
    group = group_of(admin, alice)
    persona = alice.persona(name="Luna", visibility="shared")["id"]
    shared, other = change(alice, item_of(alice), visibility="shared"), item_of(alice)
    album = collection_of(alice, other, visibility="shared")
    link, to_album = (
        link_of(alice, shared),
        alice.post(f"/api/collections/{album}/share", json={"days": 1}).get_json(),
    )
    urls = [bob.get(f"/api/media/{each['id']}").get_json()["url"] for each in (shared, other)]
    for may in (True, False, True):
        if of == "account":
            limit(admin, alice, may_share=may)
        else:
            answer = admin.patch(f"/api/admin/groups/{group}", json={"may_share": may})
            assert answer.status_code == 200, answer.text
        status = 200 if may else 404
        assert personas(bob) == personas(bob, search="luna") == ([persona] if may else [])
        assert personas(bob, "all") == ([persona] if may else [])
        assert bob.get(f"/api/personas/{persona}").status_code == status
        assert bob.get("/api/personas?scope=shared").headers["X-Total-Count"] == str(int(may))
        assert listed(bob) == listed(bob, "all") == ([shared["id"]] if may else [])
        assert bob.get(f"/api/media/{shared['id']}").status_code == status
        assert bob.get(f"/api/media/{other['id']}").status_code == status
        assert collections(bob) == collections(bob, "all") == ([album] if may else [])
        assert bob.get(f"/api/collections/{album}").status_code == status
        for url in (*urls, link["url"], to_album["url"]):
            with bob.client.get(url) as opened:
                assert opened.status_code == status, url
        # The owner has it all the same.
        assert alice.get(f"/api/personas/{persona}").get_json()["visibility"] == "shared"
        assert collections(alice, "mine") == [album]
        assert alice.get(f"/api/collections/{album}").status_code == 200
        assert alice.get(f"/api/media/{other['id']}").status_code == 200


def test_who_may_not_share_makes_nothing_shared(admin: Person, alice: Person) -> None:
    refused = (403, "sharing_not_allowed")
    persona, item = alice.persona()["id"], item_of(alice)
    album = collection_of(alice, item)
    old = change(alice, item_of(alice), visibility="shared")
    limit(admin, alice, may_share=False)
    look = {"name": "Sol", "style_prompt": "sun", "visibility": "shared"}
    path = f"/api/media/{item['id']}"
    for answer in (
        alice.post("/api/personas", json=look),
        alice.patch(f"/api/personas/{persona}", json={"visibility": "shared"}),
        alice.patch(path, json={"visibility": "shared"}),
        alice.post(f"{path}/share", json={"days": 1}),
        alice.post("/api/collections", json={"name": "Out", "visibility": "shared"}),
        alice.patch(f"/api/collections/{album}", json={"visibility": "shared"}),
        alice.post(f"/api/collections/{album}/share", json={"days": 1}),
    ):
        assert told(answer) == refused
    assert personas(alice, "mine") == [persona]
    assert collections(alice, "mine") == [album]
    assert alice.get(path).get_json()["visibility"] == "private"
    # What needs no right: other changes of what was shared before, and to share it no more.
    assert change(alice, old, tags=["sea"])["visibility"] == "shared"
    assert change(alice, old, visibility="private")["visibility"] == "private"


# ----------------------------------------------------------------------------------- what is theirs


def test_anothers_picture_shows_no_persona_that_is_not_seen(
    alice: Person, bob: Person, worker: Worker
) -> None:
    persona, _, media = fill(bob, worker, name="Luna")
    change(bob, {"id": media}, visibility="shared")
    album = collection_of(bob, {"id": media}, visibility="shared")

    def shown() -> list[int | None]:
        lists = (
            "/api/media?scope=shared",
            "/api/media?scope=all",
            "/api/media?scope=shared&search=",
        )
        pages = [alice.get(path).get_json()["items"] for path in lists]
        pages += [alice.get(f"/api/collections/{album}/media").get_json()["items"]]
        pages += [[alice.get(f"/api/media/{media}").get_json()]]
        assert all(len(page) == 1 for page in pages)
        return [page[0]["persona_id"] for page in pages]

    assert set(shown()) == {None}
    change(bob, {"id": media}, with_details=True)
    assert set(shown()) == {None}
    bob.patch(f"/api/personas/{persona}", json={"visibility": "shared"})
    change(bob, {"id": media}, with_details=True)
    assert bob.get(f"/api/media/{media}").get_json()["persona_id"] == persona


# ------------------------------------------------------------------------------ what is left behind


def offer(admin: Person, giver: Person, receiver: Person, what: str) -> dict[str, Any]:
    answer = admin.post(
        f"/api/admin/users/{giver.id}/hand-over", json={"to": receiver.id, "what": what}
    )
    assert answer.status_code == 201, answer.text
    offered: dict[str, Any] = answer.get_json()
    return offered


def test_what_is_shared_goes_alone(
    app: Flask,
    admin: Person,
    alice: Person,
    bob: Person,
    worker: Worker,
    database: SqliteDatabase,
) -> None:
    persona, _, avatar = fill(bob, worker, name="Luna", visibility="shared")
    kept, _, kept_avatar = fill(bob, worker, name="Mine")
    shared, in_album, alone = item_of(bob), item_of(bob), item_of(bob)
    change(bob, shared, visibility="shared")
    album = collection_of(bob, in_album, visibility="shared")
    own = collection_of(bob, shared, alone)
    links = [link_of(bob, shared)["url"], link_of(bob, alone)["url"]]
    links += [bob.post(f"/api/collections/{album}/share", json={"days": 1}).get_json()["url"]]
    offered = offer(admin, bob, alice, "shared")
    assert (offered["going"]["personas"], offered["going"]["media"]) == (1, 3)
    assert offered["staying"] == {"personas": 1, "media": 2}
    accept(alice, offered)
    work(app)
    done = admin.get(f"/api/admin/hand-overs/{offered['id']}").get_json()
    assert (done["status"], done["moved"]) == ("completed", offered["going"])
    assert done["staying"] == offered["staying"]

    assert personas(alice, "mine") == personas(bob) == [persona]
    assert personas(bob, "mine") == [kept]
    assert avatar in alice.get(f"/api/personas/{persona}").get_json()["avatar_url"]
    assert set(listed(alice, "mine")) == {avatar, shared["id"], in_album["id"]}
    assert set(listed(bob, "mine")) == {kept_avatar, alone["id"]}
    assert listed(bob) == [shared["id"]]
    assert collections(alice, "mine") == collections(bob) == [album]
    assert collections(bob, "mine") == [own]
    for person, of, item in ((alice, album, in_album), (bob, own, alone)):
        page = person.get(f"/api/collections/{of}/media").get_json()["items"]
        assert [each["id"] for each in page] == [item["id"]]
    members = database.connection.execute("SELECT COUNT(*) FROM collection_media").fetchone()[0]
    assert members == 2
    # Links to what has gone are dead; what has stayed has its own.
    statuses = [app.test_client().get(url).status_code for url in links]
    assert statuses == [404, 200, 404]
    check_counts(database)


def test_with_all_go_collections_and_what_was_shared_stays_so(
    app: Flask, admin: Person, alice: Person, bob: Person, database: SqliteDatabase
) -> None:
    one, two, thrown = (item_of(bob) for _ in range(3))
    change(bob, one, visibility="shared")
    album = collection_of(bob, two, thrown, one)
    assert bob.delete(f"/api/media/{thrown['id']}").status_code == 204
    accept(alice, offer(admin, bob, alice, "all"))
    work(app)
    assert collections(bob, "mine") == []
    page = alice.get(f"/api/collections/{album}/media").get_json()["items"]
    assert [each["id"] for each in page] == [two["id"], one["id"]]
    members = database.connection.execute("SELECT COUNT(*) FROM collection_media").fetchone()[0]
    assert members == 2
    assert listed(bob) == [one["id"]]
    check_counts(database)


def test_who_receives_needs_room_under_the_limits_in_force(
    admin: Person, alice: Person, bob: Person
) -> None:
    change(bob, item_of(bob), visibility="shared")
    change(bob, item_of(bob), visibility="shared")
    offered = offer(admin, bob, alice, "shared")
    path = f"/api/hand-overs/{offered['id']}/accept"
    group = group_of(admin, alice, max_pictures=1)
    assert told(alice.post(path)) == (409, "quota_exceeded")
    admin.patch(f"/api/admin/groups/{group}", json={"max_pictures": None, "max_bytes": 10})
    assert told(alice.post(path)) == (409, "quota_exceeded")
    admin.patch(f"/api/admin/groups/{group}", json={"max_bytes": None})
    assert alice.post(path).status_code == 202

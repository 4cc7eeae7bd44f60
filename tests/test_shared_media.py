"""Media that are given to others: to everybody on the instance, and by links for outsiders."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from conftest import PASSWORD, Person
from flask import Flask
from test_downloads import SECRET, saved
from test_sent_pictures import send

from seidra.database.sqlite.connect import SqliteDatabase
from seidra.operations.housekeeping import purge_account
from seidra.values import timestamp
from seidra.web.logs import JsonFormatter
from seidra.web.services import services_of


def item_of(person: Person, **form: Any) -> dict[str, Any]:
    """A picture whose file says the prompt wherever it can, with tags."""
    answer = send(person, saved("PNG"), "sea.png", **{"tags": ["hush"], **form})
    assert answer.status_code == 201, answer.text
    return answer.get_json()


def change(person: Person, item: dict[str, Any], **values: Any) -> dict[str, Any]:
    answer = person.patch(f"/api/media/{item['id']}", json=values)
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def listed(person: Person, scope: str = "shared", **query: Any) -> list[str]:
    """The ids of a list, whose total fits."""
    answer = person.get("/api/media", query_string={"scope": scope, **query}).get_json()
    assert answer["total"] == len(answer["items"])
    return [item["id"] for item in answer["items"]]


def link_of(person: Person, item: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = person.post(f"/api/media/{item['id']}/share", json={"days": 7, **body})
    assert answer.status_code == 201, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.get_json()


# ------------------------------------------------------------------------------ within the instance


def test_a_private_picture_is_nobodys_elses(alice: Person, bob: Person, admin: Person) -> None:
    item = item_of(alice)
    assert (item["visibility"], item["is_mine"]) == ("private", True)
    assert item["owner"] == {"id": alice.id, "username": "alice"}
    for other in (bob, admin):
        assert listed(other) == listed(other, "all") == []
        assert other.get(f"/api/media/{item['id']}").status_code == 404


def test_a_shared_picture_is_seen_without_what_it_was_made_with(
    alice: Person, bob: Person, admin: Person
) -> None:
    persona = alice.persona(name="Hushed")["id"]
    item = change(alice, item_of(alice, persona_id=str(persona)), visibility="shared")
    assert item["visibility"] == "shared"
    change(alice, item, is_favorite=True)
    assert listed(alice) == []
    assert listed(alice, "all") == listed(bob) == listed(admin, "all") == [item["id"]]
    assert listed(bob, "mine") == []
    seen = bob.get(f"/api/media/{item['id']}").get_json()
    assert seen == bob.get("/api/media?scope=shared").get_json()["items"][0]
    assert seen["owner"] == {"id": alice.id, "username": "alice"}
    assert (seen["is_mine"], seen["visibility"], seen["with_details"]) == (False, "shared", False)
    assert (seen["metadata"], seen["tags"], seen["persona_id"]) == ({}, [], None)
    assert (seen["is_favorite"], seen["job_id"]) == (False, None)
    assert (seen["width"], seen["file_size"]) == (item["width"], item["file_size"])
    told = json.dumps(seen)
    assert SECRET not in told
    assert "hush" not in told
    assert "Hushed" not in told
    # Nor do the bytes or the name of the file, however they are asked for.
    for url in (seen["url"], seen["download_url"], f"{seen['download_url']}&metadata=all"):
        answer = bob.client.get(url)
        assert answer.status_code == 200
        assert SECRET.encode() not in answer.data
        assert "X-Accel-Redirect" not in answer.headers
        assert "Hushed" not in answer.headers.get("Content-Disposition", "")
        tag = answer.headers["ETag"]
        again = bob.client.get(url, headers={"If-None-Match": tag})
        assert again.status_code == 304
        part = bob.client.get(url, headers={"Range": "bytes=0-7"})
        assert (part.status_code, part.data) == (206, answer.data[:8])
    mine = alice.client.get(item["url"], buffered=True)
    assert SECRET.encode() in mine.data
    assert mine.headers["ETag"] != tag
    thumbnail = bob.client.get(seen["thumbnail_url"], buffered=True)
    assert thumbnail.status_code == 200
    assert SECRET.encode() not in thumbnail.data
    bearer = bob.get(f"/api/media/{item['id']}/content")
    assert SECRET.encode() not in bearer.data


def test_details_are_given_where_they_are_said_to_be(alice: Person, bob: Person) -> None:
    item = change(alice, item_of(alice), visibility="shared", with_details=True)
    seen = bob.get(f"/api/media/{item['id']}").get_json()
    assert (seen["metadata"], seen["tags"]) == (item["metadata"], ["hush"])
    assert bob.client.get(seen["url"], buffered=True).data == saved("PNG")
    change(alice, item, with_details=False)
    assert SECRET.encode() not in bob.client.get(seen["url"]).data


def test_behind_a_proxy_a_bare_picture_is_no_file_of_its(
    make_app: Callable[..., Flask], alice: Person, bob: Person
) -> None:
    item = change(alice, item_of(alice), visibility="shared")
    app = make_app(x_accel_redirect="/protected")
    alice.client, bob.client = app.test_client(), app.test_client()
    seen = bob.get(f"/api/media/{item['id']}").get_json()
    answer = bob.client.get(seen["url"])
    assert "X-Accel-Redirect" not in answer.headers
    assert SECRET.encode() not in answer.data
    assert len(answer.data) > 100
    assert "X-Accel-Redirect" in alice.client.get(item["url"], buffered=True).headers
    link = link_of(alice, item)
    assert "X-Accel-Redirect" not in bob.client.get(f"{link['url']}/picture").headers
    given = link_of(alice, item, with_details=True)
    answer = bob.client.get(f"{given['url']}/picture", buffered=True)
    assert answer.headers["X-Accel-Redirect"].startswith("/protected")


def test_what_is_not_given_is_not_found_either(alice: Person, bob: Person) -> None:
    """A search or a filter by what is hidden would tell it."""
    hidden = change(alice, item_of(alice), visibility="shared")
    persona = alice.persona()["id"]
    given = item_of(alice, tags=["open"], persona_id=str(persona))
    change(alice, given, visibility="shared", with_details=True, is_favorite=True)
    assert listed(bob, sort="created_at") == [hidden["id"], given["id"]]
    assert listed(bob) == [given["id"], hidden["id"]]
    assert listed(bob, search="hush") == listed(bob, tag="hush") == []
    assert listed(bob, search="open") == listed(bob, tag="OPEN") == [given["id"]]
    assert listed(bob, favorites_only="true") == listed(bob, persona_id=persona) == []
    assert listed(bob, model="no such") == listed(bob, lora="no such") == []
    assert listed(bob, date_from="2000-01-01") == [given["id"], hidden["id"]]
    assert listed(bob, date_to="2000-01-01") == []
    own = item_of(bob, tags=["hush"])
    assert listed(bob, "all") == [own["id"], given["id"], hidden["id"]]
    assert listed(bob, "all", tag="hush") == [own["id"]]
    assert listed(bob, "all", sort="created_at")[-1] == own["id"]
    facets = bob.get("/api/media/facets?scope=shared").get_json()
    assert (facets["total"], facets["tags"]) == (2, [{"tag": "open", "count": 1}])
    facets = bob.get("/api/media/facets?scope=all").get_json()
    assert {each["tag"]: each["count"] for each in facets["tags"]} == {"open": 1, "hush": 1}
    stats = bob.get("/api/media/stats?scope=shared").get_json()
    assert (stats["total"], stats["favorites"], stats["by_persona"]) == (2, 0, {})
    assert stats["by_date"] == {timestamp()[:10]: 2}
    assert bob.get("/api/media/stats?scope=all").get_json()["total"] == 3
    assert bob.get("/api/media/stats").get_json()["total"] == 1


def test_pages_of_all_are_whole(alice: Person, bob: Person) -> None:
    for n in range(6):
        item = item_of(alice if n % 2 else bob)
        if n % 2:
            change(alice, item, visibility="shared")
    every = listed(bob, "all", limit=100)
    assert len(every) == 6
    for sort, whole in (("-created_at", every), ("created_at", every[::-1])):
        found = []
        for offset in range(0, 6, 2):
            query = {"scope": "all", "limit": 2, "offset": offset, "sort": sort}
            answer = bob.get("/api/media", query_string=query).get_json()
            assert answer["total"] == 6
            found += [each["id"] for each in answer["items"]]
        assert found == whole


def test_unsharing_ends_it_at_once(alice: Person, bob: Person) -> None:
    item = change(alice, item_of(alice), visibility="shared")
    seen = bob.get(f"/api/media/{item['id']}").get_json()
    urls = [seen["url"], seen["thumbnail_url"], seen["download_url"]]
    for url in urls:
        answer = bob.client.get(url, buffered=True)
        # A browser may not keep it unasked.
        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "private, no-cache")
    body = {"ids": [item["id"]], "action": "unshare"}
    assert alice.post("/api/media/bulk", json=body).get_json()["done"] == 1
    assert [bob.client.get(url).status_code for url in urls] == [404] * 3
    assert listed(bob) == []
    assert bob.get(f"/api/media/{item['id']}").status_code == 404
    assert alice.post("/api/media/bulk", json=body | {"action": "share"}).get_json()["done"] == 1
    assert listed(bob) == [item["id"]]


def test_only_its_owner_changes_it(alice: Person, bob: Person) -> None:
    item = change(alice, item_of(alice), visibility="shared")
    path = f"/api/media/{item['id']}"
    assert bob.patch(path, json={"visibility": "private"}).status_code == 403
    assert bob.put(f"{path}/tags", json={"tags": ["mine"]}).status_code == 403
    assert bob.put(f"{path}/favorite", json={"value": True}).status_code == 403
    assert bob.post(f"{path}/share", json={"days": 1}).status_code == 403
    assert bob.get(f"{path}/shares").status_code == 403
    assert bob.delete(path).status_code == 403
    persona = bob.persona()["id"]
    avatar = bob.put(f"/api/personas/{persona}/avatar", json={"media_id": item["id"]})
    assert avatar.status_code in (404, 422)
    for action in ("share", "delete", "favorite"):
        answer = bob.post("/api/media/bulk", json={"ids": [item["id"]], "action": action})
        assert answer.get_json()["failed"] == [{"id": item["id"], "code": "not_yours"}]
    assert alice.get(path).status_code == 200


def test_the_nsfw_rules_are_those_of_who_looks(alice: Person, bob: Person, admin: Person) -> None:
    alice.allow_nsfw()
    item = change(alice, item_of(alice), visibility="shared", is_nsfw=True)
    assert listed(bob, include_nsfw="true") == []
    assert bob.get(f"/api/media/{item['id']}").status_code == 404
    assert bob.get("/api/media/stats?scope=shared&include_nsfw=true").get_json()["total"] == 0
    bob.allow_nsfw()
    assert listed(bob) == []
    assert listed(bob, include_nsfw="true") == listed(bob, "all", include_nsfw="true")
    seen = bob.get(f"/api/media/{item['id']}").get_json()
    assert bob.client.get(seen["url"]).status_code == 200
    assert bob.patch("/api/settings/nsfw", json={"enabled": False}).status_code == 200
    assert bob.client.get(seen["url"]).status_code == 404
    # What the owner has in force says nothing of who looks.
    assert alice.patch("/api/settings/nsfw", json={"enabled": False}).status_code == 200
    admin.allow_nsfw()
    assert listed(admin, include_nsfw="true") == [item["id"]]


def test_counts_follow_every_change(alice: Person, bob: Person, database: SqliteDatabase) -> None:
    alice.allow_nsfw()
    bob.allow_nsfw()

    def total(scope: str = "shared") -> tuple[int, int, int]:
        stats = bob.get(f"/api/media/stats?scope={scope}&include_nsfw=true").get_json()
        return stats["total"], stats["nsfw"], stats["total_size"]

    first, second = item_of(alice), item_of(alice)
    size = first["file_size"]
    assert total() == (0, 0, 0)
    change(alice, first, visibility="shared")
    change(alice, second, visibility="shared", is_nsfw=True)
    assert total() == (2, 1, 2 * size)
    change(alice, first, is_nsfw=True)
    assert total() == (2, 2, 2 * size)
    change(alice, second, visibility="private", is_nsfw=False)
    assert total() == (1, 1, size)
    assert alice.delete(f"/api/media/{first['id']}").status_code == 204
    assert total() == (0, 0, 0)
    entry = alice.get("/api/trash?include_nsfw=true").get_json()["items"][0]["id"]
    assert alice.post("/api/trash/restore", json={"ids": [entry]}).status_code == 200
    # As it was when it went.
    assert total() == (1, 1, size)


def test_who_is_gone_shares_nothing(
    alice: Person, bob: Person, admin: Person, database: SqliteDatabase
) -> None:
    item = change(alice, item_of(alice), visibility="shared")
    seen = bob.get(f"/api/media/{item['id']}").get_json()
    link = link_of(alice, item)
    for active in (False, True):
        answer = admin.patch(f"/api/admin/users/{alice.id}", json={"is_active": active})
        assert answer.status_code == 200
        assert listed(bob) == listed(bob, "all") == ([item["id"]] if active else [])
        assert bob.client.get(seen["url"]).status_code == (200 if active else 404)
        assert bob.client.get(link["url"]).status_code == (200 if active else 404)
        assert bob.get("/api/media/facets?scope=shared").get_json()["total"] == int(active)
        assert bob.get("/api/media/stats?scope=shared").get_json()["total"] == int(active)
    login = bob.client.post("/api/auth/login", json={"username": "alice", "password": PASSWORD})
    alice.use(login.get_json())
    made = alice.post("/api/collections", json={"name": "Tides"}).get_json()["id"]
    body = {"ids": [item["id"]]}
    assert alice.post(f"/api/collections/{made}/media", json=body).status_code == 200
    assert alice.delete("/api/auth/me", json={"password": PASSWORD}).status_code == 204
    assert listed(bob) == []
    assert bob.client.get(link["url"]).status_code == 404
    purge_account(database)
    for table in (
        "share_links",
        "collections",
        "collection_media",
        "collection_counts",
        "shared_media_counts",
    ):
        left = database.connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
        assert left == 0, table


@pytest.mark.parametrize(
    "bad", [{"visibility": "public"}, {"visibility": None}, {"with_details": 2}]
)
def test_bad_values_are_refused(alice: Person, bad: dict[str, Any]) -> None:
    item = item_of(alice)
    answer = alice.patch(f"/api/media/{item['id']}", json=bad)
    assert answer.status_code == 422
    assert list(answer.get_json()["errors"]) == list(bad)
    assert alice.get("/api/media?scope=others").status_code == 422


# ------------------------------------------------------------------------------ links for outsiders


def test_a_link_shows_one_picture_and_nothing_of_how_it_was_made(
    alice: Person, bob: Person, database: SqliteDatabase
) -> None:
    item, other = item_of(alice), item_of(alice)
    link = link_of(alice, item)
    assert re.fullmatch(r"/s/[A-Za-z0-9_-]{43}", link["url"])
    token = link["url"].rpartition("/")[2]
    page = bob.client.get(link["url"])
    assert page.status_code == 200
    assert page.content_type == "text/html; charset=utf-8"
    assert page.headers["X-Robots-Tag"] == "noindex, nofollow"
    policy = page.headers["Content-Security-Policy"]
    assert "script" not in policy
    assert "<script" not in page.text
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'")
    assert f'width="{item["width"]}" height="{item["height"]}"' in page.text
    assert item["created_at"][:10] in page.text
    assert 'property="og:title"' in page.text
    assert SECRET not in page.text
    assert "hush" not in page.text
    assert "alice" not in page.text
    for name in ("picture", "download"):
        answer = bob.client.get(f"{link['url']}/{name}")
        assert answer.status_code == 200
        assert SECRET.encode() not in answer.data
        assert answer.headers["Cache-Control"] == "private, no-cache"
        assert ("attachment" in answer.headers["Content-Disposition"]) == (name == "download")
        tag = {"If-None-Match": answer.headers["ETag"]}
        assert bob.client.get(f"{link['url']}/{name}", headers=tag).status_code == 304
    assert bob.client.get(f"{link['url']}/thumbnail?size=640", buffered=True).status_code == 200
    for wrong in ("thumbnail?size=1", "nothing", other["id"], f"{item['id']}/picture"):
        assert bob.client.get(f"{link['url']}/{wrong}").status_code == 404
    # Nothing that is stored opens it.
    rows = database.connection.execute("SELECT * FROM share_links").fetchall()
    assert token not in json.dumps([tuple(row) for row in rows])
    assert token not in json.dumps(alice.get("/api/shares").get_json())


def test_a_link_tells_the_prompt_where_it_is_said_to(alice: Person, bob: Person) -> None:
    item = item_of(alice)
    link = link_of(alice, item, with_details=True)
    prompt = item["metadata"]["prompt"]
    assert prompt
    assert prompt in bob.client.get(link["url"]).text
    assert bob.client.get(f"{link['url']}/picture", buffered=True).data == saved("PNG")


def test_links_are_listed_and_taken_back(alice: Person, bob: Person) -> None:
    item, other = item_of(alice), item_of(alice)
    first, second, third = link_of(alice, item), link_of(alice, item), link_of(alice, other)
    found = alice.get(f"/api/media/{item['id']}/shares").get_json()
    assert [each["id"] for each in found["items"]] == [second["id"], first["id"]]
    assert found["total"] == 2
    answer = alice.get("/api/shares?limit=2")
    assert [each["id"] for each in answer.get_json()["items"]] == [third["id"], second["id"]]
    assert answer.headers["X-Total-Count"] == "3"
    assert 'rel="next"' in answer.headers["Link"]
    assert bob.get("/api/shares").get_json()["total"] == 0
    assert bob.delete(f"/api/shares/{first['id']}").status_code == 404
    assert alice.delete(f"/api/shares/{first['id']}").status_code == 204
    assert alice.delete(f"/api/shares/{first['id']}").status_code == 404
    assert bob.client.get(first["url"]).status_code == 404
    assert bob.client.get(f"{first['url']}/picture").status_code == 404
    assert bob.client.get(second["url"]).status_code == 200


def test_whatever_is_the_matter_the_page_is_the_same(
    alice: Person, bob: Person, database: SqliteDatabase
) -> None:
    items = [item_of(alice) for _ in range(3)]
    gone, ended, back = (link_of(alice, item) for item in items)
    never = bob.client.get(f"/s/{'a' * 43}")
    assert never.status_code == 404
    assert never.content_type.startswith("text/html")
    assert alice.delete(f"/api/media/{items[0]['id']}").status_code == 204
    assert alice.delete(f"/api/shares/{back['id']}").status_code == 204
    with database.transaction() as tx:
        tx.execute("UPDATE share_links SET expires_at = ? WHERE id = ?", (timestamp(), ended["id"]))
    alice.allow_nsfw()
    shy = item_of(alice, is_nsfw="true")
    hidden = link_of(alice, shy)
    assert bob.client.get(hidden["url"]).status_code == 200
    assert alice.patch("/api/settings/nsfw", json={"enabled": False}).status_code == 200
    for url in (gone["url"], ended["url"], back["url"], hidden["url"], "/s/short", "/s/%00"):
        answer = bob.client.get(url)
        assert (answer.status_code, answer.data) == (404, never.data), url
        assert bob.client.get(f"{url}/picture").data == never.data
    # What comes back from the trash has no link any more.
    entry = alice.get("/api/trash").get_json()["items"][0]["id"]
    assert alice.post("/api/trash/restore", json={"ids": [entry]}).status_code == 200
    assert bob.client.get(gone["url"]).status_code == 404
    assert alice.get(f"/api/media/{items[0]['id']}/shares").get_json()["total"] == 0


def test_an_nsfw_picture_asks_before_it_shows(alice: Person, bob: Person) -> None:
    alice.allow_nsfw()
    item = item_of(alice, is_nsfw="true")
    link = link_of(alice, item)
    page = bob.client.get(link["url"])
    assert "<img" not in page.text
    assert "og:image" not in page.text
    assert f'href="{link["url"]}?show=1"' in page.text
    assert f'src="{link["url"]}/picture"' in bob.client.get(f"{link['url']}?show=1").text


@pytest.mark.parametrize("days", [0, 366, -1, "soon", None, 1.5])
def test_a_link_ends_within_a_year(alice: Person, days: Any) -> None:
    path = f"/api/media/{item_of(alice)['id']}/share"
    answer = alice.post(path, json={"days": days})
    assert answer.status_code == 422
    assert list(answer.get_json()["errors"]) == ["days"]
    assert alice.post(path, json={}).status_code == 422


def test_links_of_an_account_are_bounded(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seidra.media.sharing.MAX_LINKS", 1)
    item = item_of(alice)
    link_of(alice, item)
    answer = alice.post(f"/api/media/{item['id']}/share", json={"days": 1})
    assert (answer.status_code, answer.get_json()["code"]) == (409, "quota_exceeded")
    assert alice.get("/api/shares").get_json()["total"] == 1


def test_the_page_speaks_the_readers_language(alice: Person, bob: Person) -> None:
    url = link_of(alice, item_of(alice))["url"]
    for asked, lang, word in (("fr-FR,fr;q=0.9", "fr", "Image partagée"), ("de", "en", "Shared")):
        answer = bob.client.get(url, headers={"Accept-Language": asked})
        assert f'<html lang="{lang}">' in answer.text
        assert word in answer.text
        assert "Accept-Language" in answer.headers["Vary"]


def test_a_page_below_a_path_leads_to_itself(make_app: Callable[..., Flask], alice: Person) -> None:
    item = item_of(alice)
    app = make_app(public_url="https://studio.example/seidra")
    alice.client = app.test_client()
    link = link_of(alice, item)
    assert link["url"].startswith("https://studio.example/seidra/s/")
    path = urlsplit(link["url"]).path
    page = app.test_client().get(path)
    assert f'src="{path}/picture"' in page.text
    assert f'property="og:image" content="{link["url"]}/thumbnail?size=640"' in page.text
    # Whatever Host says.
    forged = app.test_client().get(path, headers={"Host": "evil.example"})
    assert "evil" not in forged.text
    assert forged.status_code == 200
    assert app.test_client().get(f"{path}/picture").status_code == 200


def test_visitors_have_a_rate_of_their_own(make_app: Callable[..., Flask], alice: Person) -> None:
    url = link_of(alice, item_of(alice))["url"]
    app = make_app(rate_limits=True, rate_shared="2/minute", rate_general="1000/minute")
    client = app.test_client()
    assert [client.get(url).status_code for _ in range(3)] == [200, 200, 429]
    assert client.get("/s/never").status_code == 429
    assert client.get("/api/instance").status_code == 200


def test_no_log_holds_a_token(alice: Person, bob: Person, caplog: pytest.LogCaptureFixture) -> None:
    link = link_of(alice, item_of(alice))
    token = link["url"].rpartition("/")[2]
    caplog.set_level("INFO")
    with bob.client.application.test_request_context(link["url"]):
        bob.client.application.log_exception((None, None, None))
    bob.client.get(f"{link['url']}/picture")
    for name in services_of(bob.client.application).settings.media_dir.rglob("*.png"):
        name.unlink()
    assert bob.client.get(f"{link['url']}/picture").status_code == 404
    lines = [JsonFormatter().format(record) for record in caplog.records]
    assert any("/s/***" in line for line in lines)
    assert not [line for line in lines if token in line]


def test_thumbnails_hold_nothing_but_the_picture(alice: Person, bob: Person) -> None:
    for kind in ("PNG", "JPEG", "WEBP"):
        item = change(alice, send(alice, saved(kind), f"x.{kind}").get_json(), visibility="shared")
        seen = bob.get(f"/api/media/{item['id']}").get_json()
        data = bob.client.get(seen["thumbnail_url"], buffered=True).data
        assert SECRET.encode() not in data, kind
        assert b"EXIF" not in data, kind
        assert b"XMP" not in data, kind
        link = link_of(alice, item)
        small = bob.client.get(f"{link['url']}/thumbnail", buffered=True).data
        assert small[:4] == b"RIFF"
        assert SECRET.encode() not in small

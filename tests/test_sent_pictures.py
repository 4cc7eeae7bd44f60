"""`POST /api/media`: a picture that is sent in becomes a media item, whole or not at all."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Person
from flask import Flask
from PIL import Image
from test_pictures import A1111, png, png_with, raw_chunk
from werkzeug.test import TestResponse

from seidra.database.sqlite.connect import SqliteDatabase
from seidra.exchange import uploads
from seidra.web.services import services_of


def send(person: Person, data: bytes, name: str = "sea.png", **form: Any) -> TestResponse:
    headers = form.pop("headers", {})
    body = {"file": (io.BytesIO(data), name), **form}
    return person.post("/api/media", data=body, headers=headers)


def picture(kind: str = "PNG", size: tuple[int, int] = (900, 600), **more: Any) -> bytes:
    file = io.BytesIO()
    made = Image.linear_gradient("L").resize(size).convert("RGB")
    made.save(file, kind, **more)
    return file.getvalue()


def stored(person: Person) -> list[Path]:
    """All files of the instance."""
    settings = services_of(person.client.application).settings
    folders = (settings.media_dir, settings.thumbnail_dir, settings.tmp_dir)
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def nothing_stored(person: Person) -> None:
    assert stored(person) == []
    assert person.get("/api/media").get_json()["total"] == 0
    rows = services_of(person.client.application).database.connection
    assert rows.execute("SELECT COUNT(*) FROM file_deletions").fetchone()[0] == 0


@pytest.mark.parametrize(
    ("kind", "mime_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")]
)
def test_a_picture_becomes_an_item(alice: Person, kind: str, mime_type: str) -> None:
    data = picture(kind)
    # Whatever it is called.
    answer = send(alice, data, "x.gif")
    item = answer.get_json()
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"/api/media/{item['id']}"
    assert (item["source"], item["job_id"], item["persona_id"]) == ("upload", None, None)
    assert (item["mime_type"], item["width"], item["height"]) == (mime_type, 900, 600)
    assert item["file_size"] == len(data)
    assert item["color"].startswith("#")
    assert alice.client.get(item["url"], buffered=True).data == data
    assert [each["width"] for each in item["thumbnails"]] == [160, 320, 640]
    assert alice.client.get(item["thumbnail_url"], buffered=True).status_code == 200
    assert len(stored(alice)) == 3
    assert alice.get(answer.headers["Location"]).get_json() == item
    assert alice.get("/api/media").get_json()["items"] == [item]
    counts = alice.get("/api/media/stats").get_json()
    assert (counts["total"], counts["total_size"]) == (1, len(data))


def test_what_it_says_is_found(alice: Person) -> None:
    persona = alice.persona()["id"]
    form = {"tags": ["sea", "keep"], "persona_id": str(persona), "is_nsfw": "false"}
    item = send(alice, png({"parameters": A1111}), **form).get_json()
    assert item["metadata"]["prompt"] == "a lighthouse, dusk"
    assert item["metadata"]["model"] == "seaXL"
    assert (item["tags"], item["persona_id"]) == (["sea", "keep"], persona)
    for query in ("search=lighthouse", "tags=keep", "model=seaXL", "lora=ink",
                  f"persona_id={persona}"):  # fmt: skip
        assert alice.get(f"/api/media?{query}").get_json()["total"] == 1, query
    download = alice.client.get(item["download_url"], buffered=True)
    assert "42.png" in download.headers["Content-Disposition"]
    avatar = alice.put(f"/api/personas/{persona}/avatar", json={"media_id": item["id"]})
    assert avatar.get_json()["cover"]["media_id"] == item["id"]


def test_it_goes_through_the_trash(alice: Person) -> None:
    item = send(alice, png({"parameters": A1111}), tags=["sea"]).get_json()
    assert alice.delete(f"/api/media/{item['id']}").status_code == 204
    entry = {"kind": "media", "item_id": item["id"]}
    assert alice.post("/api/trash/restore", json={"ids": [entry]}).status_code == 200
    again = alice.get(f"/api/media/{item['id']}").get_json()
    assert {**again, "version": 0, "updated_at": ""} == {**item, "version": 0, "updated_at": ""}


def apng() -> bytes:
    file = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    return file.getvalue()


def moving_webp() -> bytes:
    file = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:])
    return file.getvalue()


def claiming(width: int, height: int) -> bytes:
    """A small PNG that claims to be that large."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = zlib.compress(b"\0" * 1_000_000)
    parts = [raw_chunk(b"IHDR", head), raw_chunk(b"IDAT", body), raw_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


WHOLE = picture()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "not_a_picture"),
        (b"hello", "not_a_picture"),
        (b"GIF89a" + b"\0" * 40, "not_a_picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not_a_picture"),
        (WHOLE[: len(WHOLE) // 2], "broken_picture"),
        (picture("JPEG")[:2_000], "broken_picture"),
        (picture("WEBP")[:900], "broken_picture"),
        (WHOLE.replace(b"IDAT", b"IDAX", 1), "broken_picture"),
        (apng(), "animated"),
        (moving_webp(), "animated"),
        (claiming(8_001, 8_000), "too_many_pixels"),
        (claiming(2**31 - 1, 2**31 - 1), "too_many_pixels"),
        (claiming(7_000, 7_000), "broken_picture"),
    ],
)
def test_what_is_no_picture_is_refused_and_leaves_nothing(
    alice: Person, data: bytes, code: str
) -> None:
    answer = send(alice, data)
    body = answer.get_json()
    assert answer.status_code == 422, answer.text
    assert body["codes"] == {"file": [{"code": code}]}
    nothing_stored(alice)


def test_texts_that_are_bombs_are_refused(alice: Person) -> None:
    packed = zlib.compress(b"x" * 100_000_000, 9)
    answer = send(alice, png_with((b"zTXt", b"parameters\0\0" + packed)))
    assert answer.get_json()["codes"] == {"file": [{"code": "text_too_long"}]}
    nothing_stored(alice)
    item = send(alice, png_with((b"tEXt", b"parameters\0" + b"x" * 3_000_000))).get_json()
    assert [each["code"] for each in item["metadata"]["remarks"]] == ["text_too_long"]


def test_fields_are_checked_before_anything_is_stored(alice: Person, bob: Person) -> None:
    theirs = bob.persona()["id"]
    for form, field in (
        ({"persona_id": str(theirs)}, "persona_id"),
        ({"persona_id": "x"}, "persona_id"),
        ({"is_nsfw": "perhaps"}, "is_nsfw"),
        ({"tags": ["x" * 51]}, "tags.0"),
        ({"colour": "red"}, "colour"),
    ):
        answer = send(alice, WHOLE, **form)
        assert (answer.status_code, list(answer.get_json()["errors"])) == (422, [field])
    assert alice.post("/api/media", data={"tags": "x"}).status_code == 415
    two = {"file": [(io.BytesIO(WHOLE), "a.png"), (io.BytesIO(WHOLE), "b.png")]}
    assert alice.post("/api/media", data=two).status_code == 422
    nothing_stored(alice)


def test_nsfw_rules_hold(alice: Person) -> None:
    answer = send(alice, WHOLE, is_nsfw="true")
    assert (answer.status_code, answer.get_json()["code"]) == (403, "nsfw_off")
    nothing_stored(alice)
    alice.allow_nsfw()
    persona = alice.persona(is_nsfw=True)["id"]
    item = send(alice, WHOLE, persona_id=str(persona)).get_json()
    # It takes its persona's flag.
    assert item["is_nsfw"] is True
    assert alice.get("/api/media").get_json()["total"] == 0
    assert alice.get("/api/media?include_nsfw=true").get_json()["total"] == 1


def test_quotas_hold(make_app: Callable[..., Flask]) -> None:
    few = Person(make_app(max_media=1), "alice")
    assert send(few, WHOLE).status_code == 201
    answer = send(few, WHOLE)
    assert (answer.status_code, answer.get_json()["code"]) == (409, "quota_exceeded")


def test_bytes_are_counted_with_the_one_that_comes(make_app: Callable[..., Flask]) -> None:
    small = Person(make_app(max_media_bytes=len(WHOLE) * 2 - 1), "alice")
    assert send(small, WHOLE).status_code == 201
    answer = send(small, WHOLE)
    assert (answer.status_code, answer.get_json()["limit"]) == (409, len(WHOLE) * 2 - 1)
    assert len(stored(small)) == 3


def test_a_file_beyond_the_limit_is_a_413(make_app: Callable[..., Flask]) -> None:
    person = Person(make_app(max_upload=65_536), "alice")
    noise = Image.effect_noise((400, 400), 90)
    file = io.BytesIO()
    noise.save(file, "PNG")
    assert send(person, file.getvalue()).status_code == 413
    nothing_stored(person)


def test_sent_again_under_its_key_it_is_the_same_item(alice: Person) -> None:
    key = {"Idempotency-Key": "k1"}
    first = send(alice, WHOLE, headers=key)
    again = send(alice, WHOLE, headers=key)
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
    assert again.get_json() == first.get_json()
    assert again.headers["Location"] == first.headers["Location"]
    other = send(alice, picture("JPEG"), headers=key)
    assert (other.status_code, list(other.get_json()["errors"])) == (422, ["Idempotency-Key"])
    assert alice.get("/api/media").get_json()["total"] == 1


def test_a_failure_in_between_leaves_nothing(
    alice: Person, database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("in the transaction")

    monkeypatch.setattr(uploads, "name_picture", fails)
    assert send(alice, WHOLE).status_code == 500
    nothing_stored(alice)


def test_a_full_disk_is_told(alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("seidra.files.local.LocalFiles.put", full)
    assert send(alice, WHOLE).status_code == 503
    nothing_stored(alice)


def test_a_phones_picture_with_more_behind_it_is_taken(alice: Person) -> None:
    data = picture("JPEG") + picture("JPEG", (90, 60))
    item = send(alice, data).get_json()
    assert (item["mime_type"], item["width"]) == ("image/jpeg", 900)
    assert alice.client.get(item["url"], buffered=True).data == data

"""Pictures in smaller sizes: which there are, when they are made, and how their links load."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import Person
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image, ImageStat

from seidra.config import Settings
from seidra.files.keys import SIZES
from seidra.jobs.worker import Worker
from seidra.media import thumbnails
from seidra.media.thumbnails import make_thumbnails
from seidra.web.services import services_of

AT_ONCE = {320, 640}


@pytest.fixture
def item(alice: Person, worker: Worker) -> dict[str, Any]:
    """One that is larger than every size."""
    return make(alice, worker, 1680, 96)


def make(person: Person, worker: Worker, width: int, height: int) -> dict[str, Any]:
    parameters = {"width": width, "height": height, "quality": "draft"}
    person.preview(person.persona(generation_params=parameters)["id"])
    worker.work_one()
    made: dict[str, Any] = person.get("/api/media").get_json()["items"][0]
    return made


def sizes_on_disk(settings: Settings) -> set[int]:
    return {int(path.suffixes[-2][1:]) for path in settings.thumbnail_dir.rglob("*.webp")}


def links(item: dict[str, Any]) -> dict[int, str]:
    """The link of each size."""
    return dict(zip(SIZES, [shown["url"] for shown in item["thumbnails"]], strict=True))


def size_of(data: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(data)) as shown:
        assert shown.format == "WEBP"
        return shown.size


def test_other_sizes_are_made_when_they_are_first_asked_for(
    item: dict[str, Any], client: FlaskClient, settings: Settings
) -> None:
    assert sizes_on_disk(settings) == AT_ONCE
    assert item["thumbnail_url"] == links(item)[320]
    for shown in item["thumbnails"]:
        answer = client.get(shown["url"], buffered=True)
        assert answer.status_code == 200
        assert size_of(answer.data) == (shown["width"], shown["height"])
    assert sizes_on_disk(settings) == set(SIZES)
    made = {path: path.stat().st_ino for path in settings.thumbnail_dir.rglob("*.webp")}
    for url in links(item).values():
        client.get(url).close()
    # Once is enough.
    assert {path: path.stat().st_ino for path in settings.thumbnail_dir.rglob("*.webp")} == made


def test_a_small_picture_is_never_enlarged(
    alice: Person, worker: Worker, client: FlaskClient, settings: Settings
) -> None:
    small = make(alice, worker, 200, 64)
    assert [(shown["width"], shown["height"]) for shown in small["thumbnails"]] == [(160, 51)]
    assert sizes_on_disk(settings) == {320}
    assert size_of(client.get(small["thumbnail_url"], buffered=True).data) == (200, 64)
    path = f"/api/media/{small['id']}/thumbnail?size=1600"
    assert size_of(alice.get(path, buffered=True).data) == (200, 64)


def test_one_signature_is_good_for_all_sizes_and_for_nothing_else(
    item: dict[str, Any], alice: Person
) -> None:
    client = alice.client
    (plain,) = {re.sub(r"size=\d+&", "", url) for url in links(item).values()}
    assert client.get(plain, buffered=True).status_code == 200
    for changed in (
        plain.replace("/thumbnail", "/content"),
        plain.replace("/thumbnail", "/download"),
        plain.replace("?", "?crop=0-0-64&"),
    ):
        assert client.get(changed).status_code == 403, changed
    for bad in ("0", "161", "321", "99999", "x", "-160"):
        answer = alice.get(f"/api/media/{item['id']}/thumbnail?size={bad}")
        assert (answer.status_code, set(answer.get_json()["errors"])) == (422, {"size"}), bad


def test_links_whose_size_was_signed_go_on(
    item: dict[str, Any], alice: Person, client: FlaskClient, app: Flask
) -> None:
    """As pages have them that were open while 0.2 was replaced."""
    signer = services_of(app).links
    expires = int(time.time()) + 600
    for size, good in ((640, 200), (1600, 403)):
        signature = signer._sign(item["id"], "thumbnail:640", alice.id, expires, "media")
        query = f"size={size}&user={alice.id}&expires={expires}&signature={signature}"
        answer = client.get(f"/api/media/{item['id']}/thumbnail?{query}", buffered=True)
        assert answer.status_code == good


def test_ranges_and_conditions_of_each_size(item: dict[str, Any], client: FlaskClient) -> None:
    tags = set()
    for url in links(item).values():
        whole = client.get(url, buffered=True)
        assert re.fullmatch(r"private, max-age=[1-9]\d*", whole.headers["Cache-Control"])
        assert whole.headers["X-Content-Type-Options"] == "nosniff"
        tags.add(whole.headers["ETag"])
        part = client.get(url, headers={"Range": "bytes=4-11"}, buffered=True)
        assert (part.status_code, part.data) == (206, whole.data[4:12])
        beyond = client.get(url, headers={"Range": "bytes=99999999-"}, buffered=True)
        assert beyond.status_code == 416
        known = {"If-None-Match": whole.headers["ETag"]}
        fresh = client.get(url, headers=known, buffered=True)
        assert (fresh.status_code, fresh.data) == (304, b"")
    assert len(tags) == len(SIZES)


def test_behind_a_proxy_each_size_is_named_once_it_is_there(
    item: dict[str, Any], make_app: Callable[..., Flask], settings: Settings
) -> None:
    client = make_app(x_accel_redirect="/protected").test_client()
    for size, url in links(item).items():
        answer = client.get(url)
        named = answer.headers["X-Accel-Redirect"].removeprefix("/protected")
        assert named.startswith(f"/thumbnails/{item['id'][:2]}/{item['id']}.")
        assert named.endswith(f".png.{size}.webp")
        assert size_of((settings.data_dir / named[1:]).read_bytes())[0] == size
        assert (answer.data, answer.mimetype) == (b"", "image/webp")


@pytest.fixture
def no_turn(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Others decode as many pictures as may be decoded at a time; a call lets one of them end."""
    monkeypatch.setattr(thumbnails, "_PATIENCE", 0.05)
    held = 0
    while thumbnails._DECODERS.acquire(blocking=False):
        held += 1
    assert held == 2
    left = [thumbnails._DECODERS.release] * held
    yield lambda: left.pop()()
    for release in left:
        release()


def test_who_gets_no_turn_to_decode_is_told_to_try_again(
    item: dict[str, Any],
    client: FlaskClient,
    settings: Settings,
    no_turn: Callable[[], None],
) -> None:
    url = links(item)[160]
    answer = client.get(url)
    assert (answer.status_code, answer.content_type) == (503, "application/problem+json")
    assert answer.get_json()["detail"] == "Other thumbnails are being made; try again."
    assert int(answer.headers["Retry-After"]) >= 1
    assert "private" not in answer.headers.get("Cache-Control", "")
    assert sizes_on_disk(settings) == AT_ONCE
    # What is there needs no turn.
    with client.get(item["thumbnail_url"]) as there:
        assert there.status_code == 200
    no_turn()
    with client.get(url) as made:
        assert made.status_code == 200


def test_a_picture_that_cannot_be_decoded_gives_its_turn_back(
    item: dict[str, Any], client: FlaskClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thumbnails, "_PATIENCE", 0.05)
    [path] = settings.media_dir.rglob("*.png")
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    assert [client.get(links(item)[160]).status_code for _ in range(4)] == [404] * 4
    path.write_bytes(whole)
    with client.get(links(item)[160]) as made:
        assert made.status_code == 200


@pytest.mark.parametrize(
    ("mode", "fill", "color"),
    [
        ("RGB", (255, 0, 0), "#ff0000"),
        ("L", 128, "#808080"),
        ("RGBA", (10, 20, 30, 255), "#0a141e"),
        ("P", 0, None),
    ],
)
def test_the_color_is_the_mean_of_the_picture(mode: str, fill: Any, color: str | None) -> None:
    out = io.BytesIO()
    Image.new(mode, (500, 300), fill).save(out, "PNG")
    made = make_thumbnails(out.getvalue(), [320])
    if color is None:
        assert re.fullmatch("#[0-9a-f]{6}", made.color)
        return
    shown = [int(made.color[at : at + 2], 16) for at in (1, 3, 5)]
    wanted = [int(color[at : at + 2], 16) for at in (1, 3, 5)]
    assert max(abs(a - b) for a, b in zip(shown, wanted, strict=True)) <= 1


def test_what_is_transparent_has_no_color() -> None:
    picture = Image.new("RGBA", (400, 400), (255, 255, 255, 0))
    picture.paste((0, 0, 255, 255), (0, 0, 400, 100))
    out = io.BytesIO()
    picture.save(out, "PNG")
    assert make_thumbnails(out.getvalue(), [320]).color == "#0000ff"


def test_an_item_says_the_color_of_its_picture(item: dict[str, Any], client: FlaskClient) -> None:
    with Image.open(io.BytesIO(client.get(item["url"], buffered=True).data)) as picture:
        mean = ImageStat.Stat(picture.convert("RGB")).mean
    said = [int(item["color"][at : at + 2], 16) for at in (1, 3, 5)]
    assert max(abs(a - b) for a, b in zip(said, mean, strict=True)) <= 3


def test_the_thumbnail_of_a_trashed_picture_is_made_at_first_use_too(
    item: dict[str, Any], alice: Person, client: FlaskClient, settings: Settings
) -> None:
    alice.delete(f"/api/media/{item['id']}")
    for path in settings.thumbnail_dir.rglob("*.webp"):
        path.unlink()
    [entry] = alice.get("/api/trash").get_json()["items"]
    assert size_of(client.get(entry["thumbnail_url"], buffered=True).data)[0] == 320
    assert sizes_on_disk(settings) == {320}

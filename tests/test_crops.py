"""Avatars of which a square is shown."""

from __future__ import annotations

import io
from typing import Any

import pytest
from conftest import Person
from PIL import Image
from test_sent_pictures import picture, send

from seidra.files.keys import SIZES
from seidra.media.crops import Crop, cut_out, read_crop
from seidra.web.services import services_of


def halves(size: tuple[int, int] = (1200, 800)) -> bytes:
    """A picture that is red on its left and blue on its right."""
    made = Image.new("RGB", size, "red")
    made.paste("blue", (size[0] // 2, 0, *size))
    file = io.BytesIO()
    made.save(file, "PNG")
    return file.getvalue()


def shown(person: Person, url: str) -> Image.Image:
    answer = person.client.get(url, buffered=True)
    assert answer.status_code == 200, answer.text
    assert answer.content_type == "image/webp"
    return Image.open(io.BytesIO(answer.data))


def color(image: Image.Image) -> str:
    red, _, blue = image.convert("RGB").resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]
    return "red" if red > 200 and blue < 60 else "blue" if blue > 200 and red < 60 else "both"


def avatar(person: Person, persona: int, **body: Any) -> Any:
    return person.put(f"/api/personas/{persona}/avatar", json=body)


def test_a_square_is_shown_and_no_more(alice: Person) -> None:
    media = send(alice, halves()).get_json()["id"]
    persona = alice.persona()["id"]
    crop = {"x": 600, "y": 100, "size": 500}
    made = avatar(alice, persona, media_id=media, crop=crop).get_json()
    cover = made["cover"]
    assert (cover["media_id"], cover["kind"], cover["crop"]) == (media, "avatar", crop)
    assert (cover["width"], cover["height"]) == (500, 500)
    assert [(each["width"], each["height"]) for each in cover["thumbnails"]] == [
        (160, 160),
        (320, 320),
    ]
    for url, side in ((made["avatar_url"], 320), (cover["url"], 500),
                      *((each["url"], each["width"]) for each in cover["thumbnails"])):  # fmt: skip
        image = shown(alice, url)
        assert (image.size, color(image)) == ((side, side), "blue")
    left = {"x": 0, "y": 0, "size": 600}
    other = avatar(alice, persona, media_id=media, crop=left).get_json()
    assert color(shown(alice, other["avatar_url"])) == "red"
    # The old links go on: they are of the same picture.
    assert color(shown(alice, made["avatar_url"])) == "blue"
    assert other["version"] == made["version"] + 1
    assert alice.get("/api/personas").get_json()[0]["cover"]["crop"] == left
    found = alice.get("/api/personas?search=luna").get_json()[0]
    assert found["cover"]["crop"] == left
    whole = avatar(alice, persona, media_id=media).get_json()
    assert whole["cover"]["crop"] is None
    assert (whole["cover"]["width"], whole["cover"]["height"]) == (1200, 800)


def test_what_is_written_back_keeps_it_and_another_picture_drops_it(alice: Person) -> None:
    one, two = (send(alice, halves()).get_json()["id"] for _ in range(2))
    persona = alice.persona()["id"]
    crop = {"x": 1, "y": 2, "size": 64}
    made = avatar(alice, persona, media_id=one, crop=crop).get_json()
    path = f"/api/personas/{persona}"
    same = alice.put(path, json=alice.get(path).get_json()).get_json()
    assert (same["cover"]["crop"], same["version"]) == (crop, made["version"])
    copy = alice.post(f"{path}/duplicate").get_json()
    assert copy["cover"]["crop"] == crop
    link = alice.get(f"/api/media/{two}").get_json()["thumbnail_url"]
    assert alice.patch(path, json={"avatar_url": link}).get_json()["cover"]["crop"] is None
    avatar(alice, persona, media_id=one, crop=crop)
    assert alice.patch(path, json={"avatar_url": None}).get_json()["avatar_url"] is None
    # And the trash keeps it.
    avatar(alice, persona, media_id=one, crop=crop)
    assert alice.delete(path).status_code == 204
    entry = {"kind": "persona", "item_id": persona}
    assert alice.post("/api/trash/restore", json={"ids": [entry]}).status_code == 200
    assert alice.get(path).get_json()["cover"]["crop"] == crop


@pytest.mark.parametrize(
    ("crop", "field"),
    [
        ({"x": 0, "y": 0, "size": 801}, "crop"),
        ({"x": 701, "y": 0, "size": 500}, "crop"),
        ({"x": 0, "y": 301, "size": 500}, "crop"),
        ({"x": 0, "y": 0, "size": 63}, "crop.size"),
        ({"x": -1, "y": 0, "size": 64}, "crop.x"),
        ({"x": 0, "y": 0}, "crop.size"),
        ({"x": 0.5, "y": 0, "size": 64}, "crop.x"),
        ({"x": 0, "y": 0, "size": 64, "w": 1}, "crop.w"),
        ([0, 0, 64], "crop"),
    ],
)
def test_a_square_outside_of_the_picture_is_refused(alice: Person, crop: Any, field: str) -> None:
    media = send(alice, halves()).get_json()["id"]
    persona = alice.persona()
    answer = avatar(alice, persona["id"], media_id=media, crop=crop)
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, [field])
    assert alice.get(f"/api/personas/{persona['id']}").get_json()["version"] == persona["version"]


def test_links_of_squares_are_signed_for_the_square(alice: Person, bob: Person) -> None:
    media = send(alice, halves()).get_json()["id"]
    persona = alice.persona()["id"]
    crop = {"x": 600, "y": 100, "size": 500}
    url = avatar(alice, persona, media_id=media, crop=crop).get_json()["avatar_url"]
    assert "crop=600-100-500" in url
    for other in (url.replace("600-100", "500-100"), url.replace("crop=600-100-500&", "")):
        assert alice.client.get(other).status_code == 403
    assert alice.client.get(url.replace("size=320", "size=640"), buffered=True).status_code == 200
    path = f"/api/media/{media}/thumbnail"
    for text, status in (("1-2-64", 200), ("1-2-64\n", 422), ("x", 422), ("1-2", 422),
                         ("9999-0-64", 404), ("0-0-1", 404)):  # fmt: skip
        answer = alice.get(path, query_string={"crop": text}, buffered=True)
        assert answer.status_code == status, text
    assert bob.get(path, query_string={"crop": "1-2-64"}).status_code == 404
    assert alice.delete(f"/api/media/{media}").status_code == 204
    assert alice.client.get(url).status_code == 404


def test_of_a_large_picture_a_stored_size_is_enough(alice: Person) -> None:
    """And a small square is cut out of all its pixels."""
    media = send(alice, picture("JPEG", (3000, 2000))).get_json()["id"]
    files = services_of(alice.client.application).files
    (key,) = [key for key in files.keys() if key.endswith(".jpg")]  # noqa: SIM118
    before = set(files.keys())
    for crop, edge in ((Crop(0, 0, 2000), 160), (Crop(10, 10, 64), 160), (Crop(0, 0, 2000), 1600)):
        data = cut_out(files, key, (3000, 2000), crop, edge)
        with Image.open(io.BytesIO(data)) as image:
            assert image.size == (min(edge, crop.size),) * 2
    assert set(files.keys()) == before
    assert media in key
    assert read_crop(str(Crop(1, 2, 64))) == Crop(1, 2, 64)
    assert max(SIZES) == 1600

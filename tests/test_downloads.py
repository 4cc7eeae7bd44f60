"""Downloads: what files are called, and what they leave out."""

from __future__ import annotations

import io
import re
import struct
from typing import Any
from urllib.parse import unquote

import pytest
from conftest import Person
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image, ImageChops, PngImagePlugin

from seidra.database.sqlite.connect import SqliteDatabase
from seidra.jobs.worker import Worker
from seidra.media.bare import bare_picture
from seidra.media.view import file_name
from seidra.web.services import services_of

SECRET = "moonlit ocean of the prompt"
XMP = f"<x:xmpmeta xmlns:x='adobe:ns:meta/'>{SECRET}</x:xmpmeta>".encode()


def picture(mode: str = "RGB") -> Image.Image:
    """One whose pixels all differ a little, wider than high."""
    red, green = Image.linear_gradient("L"), Image.radial_gradient("L")
    bands = [red, green, ImageChops.invert(red), green][: len(mode)]
    return Image.merge(mode, bands).resize((60, 40))


def exif(orientation: int) -> Image.Exif:
    """What a camera or another tool writes, with the prompt in it."""
    written = Image.Exif()
    written[0x010E] = SECRET
    written[0x0112] = orientation
    written[0x9286] = SECRET
    return written


def saved(kind: str, mode: str = "RGB", orientation: int = 1, **options: Any) -> bytes:
    """A file of a kind that says the prompt wherever the kind has a place for it."""
    out = io.BytesIO()
    options |= {"exif": exif(orientation), "dpi": (300, 300)}
    if kind == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text("parameters", SECRET)
        text.add_text("prompt", SECRET, zip=False)
        text.add_itxt("XML:com.adobe.xmp", XMP.decode())
        text.add(b"prVt", SECRET.encode(), after_idat=True)
        options["pnginfo"] = text
    elif kind == "JPEG":
        options |= {"xmp": XMP, "comment": SECRET, "icc_profile": b"colours" * 9}
    else:
        options |= {"xmp": XMP, "icc_profile": b"colours" * 9}
    picture(mode).save(out, kind, **options)
    # Some tools write behind the end, too.
    return out.getvalue() + (b"" if kind == "WEBP" else SECRET.encode())


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("PNG", "RGB", {}),
        ("PNG", "RGBA", {}),
        ("JPEG", "RGB", {}),
        ("JPEG", "RGB", {"progressive": True}),
        ("JPEG", "CMYK", {"restart_marker_blocks": 2}),
        ("WEBP", "RGB", {"lossless": True}),
        ("WEBP", "RGBA", {}),
    ],
)
def test_a_bare_picture_is_the_same_picture_and_nothing_else(
    kind: str, mode: str, options: dict[str, Any], orientation: int
) -> None:
    data = saved(kind, mode, orientation, **options)
    # The text that is compressed in PNG is found by what it is called.
    hidden = [SECRET.encode(), b"xmpmeta", b"parameters", b"prVt"]
    assert any(word in data for word in hidden)
    bare = bare_picture(data, f"image/{kind.lower()}")
    assert not any(word in bare for word in hidden)
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(bare)) as after:
        assert (after.format, after.mode, after.size) == (kind, before.mode, before.size)
        assert after.tobytes() == before.tobytes()
        assert after.info.get("icc_profile") == before.info.get("icc_profile")
        assert after.info.get("dpi") == before.info.get("dpi")
        assert dict(after.getexif()) == ({0x0112: 6} if orientation == 6 else {})
        assert not {"xmp", "comment", "parameters"} & set(after.info)
    assert bare_picture(bare, f"image/{kind.lower()}") == bare


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_a_bare_animation_still_moves(kind: str) -> None:
    frames = [
        picture(),
        ImageChops.invert(picture()),
        picture().transpose(Image.Transpose.ROTATE_180),
    ]
    out = io.BytesIO()
    frames[0].save(out, kind, save_all=True, append_images=frames[1:], duration=40, exif=exif(1))
    bare = bare_picture(out.getvalue(), f"image/{kind.lower()}")
    assert SECRET.encode() not in bare
    with Image.open(io.BytesIO(out.getvalue())) as before, Image.open(io.BytesIO(bare)) as after:
        assert after.n_frames == 3  # type: ignore[attr-defined]
        for number in range(3):
            before.seek(number)
            after.seek(number)
            assert after.tobytes() == before.tobytes()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_what_is_no_whole_picture_is_never_given_out(kind: str) -> None:
    data = saved(kind)
    bare = bare_picture(data, f"image/{kind.lower()}")
    for length in range(len(bare)):
        with pytest.raises(OSError):
            bare_picture(bare[:length], f"image/{kind.lower()}")
    with pytest.raises(OSError):
        bare_picture(b"no picture at all, of whatever kind", f"image/{kind.lower()}")
    with pytest.raises(OSError):
        bare_picture(data, "video/mp4")


def test_damaged_exif_says_nothing_and_breaks_nothing() -> None:
    body = b"Exif\x00\x00MM\x00*" + struct.pack(">I", 2**31)
    segment = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    out = io.BytesIO()
    picture().save(out, "JPEG")
    plain = out.getvalue()
    assert bare_picture(plain[:2] + segment + plain[2:], "image/jpeg") == plain


@pytest.mark.parametrize(
    ("persona", "seed", "mime_type", "name"),
    [
        ("Luna", 42, "image/png", "Luna 2026-01-31 42.png"),
        ("Élodie: the Tides", "9223372036854775807", "image/jpeg", None),
        ("a/../b\\c\x00", 0, "image/webp", "a-..-b-c 2026-01-31 0.webp"),
        ("..", 7, "image/png", "seidra 2026-01-31 7.png"),
        ("evil\u202egnp", 7, "image/png", "evil-gnp 2026-01-31 7.png"),
        (None, None, "image/png", "seidra 2026-01-31.png"),
        (None, {"a": 1}, "image/png", "seidra 2026-01-31.png"),
        (None, "../7", "image/png", "seidra 2026-01-31.png"),
    ],
)
def test_what_a_file_is_called(
    persona: str | None, seed: Any, mime_type: str, name: str | None
) -> None:
    wanted = name or "Élodie- the Tides 2026-01-31 9223372036854775807.jpg"
    assert file_name("2026-01-31T12:00:00.000000Z", mime_type, persona, seed) == wanted
    long = file_name("2026-01-31T12:00:00.000000Z", mime_type, "\U0001f319" * 100, seed)
    assert len(long.encode()) <= 255


def made(person: Person, worker: Worker, **persona: Any) -> dict[str, Any]:
    parameters = {"width": 64, "height": 64, "seed": 77}
    person.preview(person.persona(generation_params=parameters, **persona)["id"])
    worker.work_one()
    item: dict[str, Any] = person.get("/api/media?include_nsfw=true").get_json()["items"][0]
    return item


def disposition(client: FlaskClient, url: str) -> tuple[str, str]:
    """The plain name of a download, and the whole one."""
    with client.get(url) as answer:
        assert answer.status_code == 200
        header = answer.headers["Content-Disposition"]
    assert header.isascii()
    found = re.fullmatch(
        r"attachment; filename=\"?([^\"]+?)\"?(?:; filename\*=UTF-8''(\S+))?", header
    )
    assert found, header
    return found[1], unquote(found[2]) if found[2] else found[1]


def test_a_download_is_named_by_persona_date_and_seed(
    alice: Person, client: FlaskClient, worker: Worker
) -> None:
    item = made(alice, worker, name="Élodie of the Tides")
    day = item["created_at"][:10]
    url = item["download_url"]
    names = (f"Elodie of the Tides {day} 77.png", f"Élodie of the Tides {day} 77.png")
    assert disposition(client, url) == names
    assert disposition(client, f"{url}&metadata=none") == names
    alice.patch(f"/api/personas/{item['persona_id']}", json={"name": "月の海"})
    assert disposition(client, url) == (f"{day} 77.png", f"月の海 {day} 77.png")
    alice.delete(f"/api/personas/{item['persona_id']}")
    assert disposition(client, url) == (f"seidra {day} 77.png",) * 2


def test_a_hidden_persona_names_no_file(
    alice: Person, client: FlaskClient, worker: Worker, database: SqliteDatabase
) -> None:
    item = made(alice, worker, name="Luna")
    with database.transaction() as tx:
        tx.execute("UPDATE personas SET is_nsfw = TRUE")
    assert disposition(client, item["download_url"])[0].startswith("seidra ")
    alice.allow_nsfw()
    assert disposition(client, item["download_url"])[0].startswith("Luna ")


def test_a_link_of_a_download_gives_it_without_metadata_too(
    app: Flask, alice: Person, client: FlaskClient, worker: Worker, database: SqliteDatabase
) -> None:
    item = made(alice, worker)
    files = services_of(app).files
    [key] = [key for key in list(files.keys()) if key.endswith(".png")]
    data = saved("PNG")
    files.put(key, data, "image/png")
    url = item["download_url"]
    whole = client.get(url, buffered=True)
    assert whole.data == client.get(f"{url}&metadata=all", buffered=True).data == data
    bare = client.get(f"{url}&metadata=none", buffered=True)
    assert bare.data == bare_picture(data, "image/png")
    assert bare.headers["ETag"] != whole.headers["ETag"]
    for name in ("Cache-Control", "Vary", "Content-Security-Policy", "Content-Type"):
        assert bare.headers[name] == whole.headers[name]
    part = client.get(f"{url}&metadata=none", headers={"Range": "bytes=3-9"}, buffered=True)
    assert (part.status_code, part.data) == (206, bare.data[3:10])
    fresh = client.get(
        f"{url}&metadata=none", headers={"If-None-Match": bare.headers["ETag"]}, buffered=True
    )
    assert (fresh.status_code, fresh.data) == (304, b"")
    # The page's picture has no such form, and a link is still checked.
    assert client.get(f"{url}x&metadata=none").status_code == 403
    assert (
        client.get(f"{item['url'].replace('content', 'download')}&metadata=none").status_code == 403
    )
    answer = client.get(f"{url}&metadata=some")
    assert (answer.status_code, set(answer.get_json()["errors"])) == (422, {"metadata"})
    path = f"/api/media/{item['id']}/download?metadata=none"
    assert alice.get(path, buffered=True).data == bare.data
    files.put(key, data[: len(data) // 2], "image/png")
    assert client.get(f"{url}&metadata=none").status_code == 404


def test_behind_a_proxy_a_bare_picture_is_sent_as_it_is(
    make_app: Any, alice: Person, worker: Worker
) -> None:
    url = made(alice, worker)["download_url"]
    client = make_app(x_accel_redirect="/protected").test_client()
    assert "X-Accel-Redirect" in client.get(url).headers
    answer = client.get(f"{url}&metadata=none", buffered=True)
    assert "X-Accel-Redirect" not in answer.headers
    with Image.open(io.BytesIO(answer.data)) as shown:
        assert shown.size == (64, 64)

"""Files that come with a request: streamed, bounded, and gone when it is answered."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient

from seidra.config import Settings
from seidra.web.answers import reply
from seidra.web.arguments import parsed_arguments
from seidra.web.fields import Body, FilePart, Items, QueryFlag, Text
from seidra.web.services import services_of
from seidra.web.uploads import received, takes_files

LIMIT = 65_536
BOUNDARY = "seidra-boundary"


class FormSchema(Body):
    file = Items(FilePart(), 9, "files", required=True)
    flag = QueryFlag(load_default=False)
    tag = Items(Text(1, 9), 9, "tags")


def described(body: dict[str, Any]) -> Response:
    files = [[each.name, each.size, each.read()[:4].decode("latin-1")] for each in body["file"]]
    whole = received()
    assert whole is not None
    return reply(body | {"file": files, "digest": whole.digest})


@pytest.fixture
def client(make_app: Callable[..., Flask]) -> Iterator[FlaskClient]:
    """Of an app that has a route for up to six files, one for one, and one that also takes JSON."""
    app = make_app(max_upload=LIMIT)
    parse = parsed_arguments(FormSchema, "files", True)
    app.add_url_rule("/six", "six", takes_files(6)(parse(described)), methods=["POST"])
    app.add_url_rule("/one", "one", takes_files(1)(parse(described)), methods=["POST"])
    either = takes_files(1, or_json=True)(lambda: reply({"received": received() is not None}))
    app.add_url_rule("/either", "either", either, methods=["POST"])
    with app.test_client() as client:
        yield client


def part(name: str = "a.png", size: int = 8, field: str = "file") -> bytes:
    head = f'Content-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'
    return f"--{BOUNDARY}\r\n{head}".encode() + b"x" * size + b"\r\n"


def text(field: str, value: str) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n'
    return f"{head}{value}\r\n".encode()


END = f"--{BOUNDARY}--\r\n".encode()


def send(client: FlaskClient, *parts: bytes, path: str = "/six", **more: Any) -> Any:
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    return client.post(path, data=b"".join(parts), content_type=kind, **more)


def test_files_and_texts_come_as_they_were_sent(client: FlaskClient) -> None:
    answer = send(client, part("b.png", 300_00), text("flag", "true"), part("", 0),
                  text("tag", "x"), part("a/../ü.png", 3), text("tag", "y"), END)  # fmt: skip
    assert answer.status_code == 200, answer.text
    told = answer.get_json()
    assert told.pop("digest")
    assert told == {
        "file": [["b.png", 30_000, "xxxx"], ["a/../ü.png", 3, "xxx"]],
        "flag": True,
        "tag": ["x", "y"],
    }


def test_a_body_without_a_file_names_the_field(client: FlaskClient) -> None:
    for parts in ([text("flag", "true")], [part("", 0)], []):
        answer = send(client, *parts, END)
        assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["file"])
    answer = send(client, text("file", "no file"), END)
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["file.0"])
    answer = send(client, part(), text("colour", "red"), END)
    assert list(answer.get_json()["errors"]) == ["colour"]


def test_another_type_of_body_is_a_415(client: FlaskClient) -> None:
    for more in ({"json": {}}, {"data": b"x", "content_type": "image/png"}, {}):
        answer = client.post("/six", **more)
        assert (answer.status_code, answer.get_json()["code"]) == (415, "unsupported_media_type")
        assert "multipart/form-data" in answer.get_json()["detail"]
    assert client.post("/either", json={}).get_json() == {"received": False}
    assert send(client, part(), END, path="/either").get_json() == {"received": True}


def test_the_largest_file_and_one_byte_more(client: FlaskClient) -> None:
    assert send(client, part(size=LIMIT), END).status_code == 200
    answer = send(client, part(size=LIMIT + 1), END)
    told = answer.get_json()
    assert (answer.status_code, told["code"], told["limit"]) == (413, "too_large", LIMIT)
    assert told["codes"] == {"file": [{"code": "too_large", "max": LIMIT}]}
    assert f"{LIMIT:,}" in told["detail"]


def test_the_largest_body_with_and_without_a_length(client: FlaskClient) -> None:
    parts = [part(size=LIMIT)] * 4
    assert send(client, *parts, END).status_code == 200
    assert send(client, *parts, part(size=9), END).status_code == 200
    whole = 4 * LIMIT + 512 * 1024
    texts = [text("tag", "x" * 200_000)] * 3
    for chunked in ({}, {"wsgi.input_terminated": True, "CONTENT_LENGTH": ""}):
        answer = send(client, *parts, *texts, END, environ_overrides=chunked)
        assert (answer.status_code, answer.get_json().get("limit")) == (413, whole)


def test_texts_and_parts_are_bounded(client: FlaskClient) -> None:
    assert send(client, part(), text("tag", "x" * 600_000), END).status_code == 413
    assert send(client, part(), *[text("tag", "x")] * 400, END).status_code == 413
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{"x" * 600_000}'.encode()
    assert send(client, head).status_code == 413


def test_too_many_files_are_told(client: FlaskClient) -> None:
    answer = send(client, *[part()] * 7, END)
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["file"])
    assert send(client, *[part()] * 6, END).status_code == 200
    assert send(client, part(), part(), END, path="/one").status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        b"x",
        part(),
        part()[:-4],
        END[:-6],
        b"--" + BOUNDARY.encode() + b"\r\nno header\r\n\r\nx\r\n" + END,
        b"--" + BOUNDARY.encode() + b"\r\n\xff: x\r\n\r\nx\r\n" + END,
        part().replace(b' name="file";', b"") + END,
        text("tag", "x").replace(b' name="tag"', b"") + END,
    ],
)
def test_what_is_no_whole_body_is_malformed(client: FlaskClient, body: bytes) -> None:
    answer = send(client, body)
    assert (answer.status_code, answer.get_json()["code"]) == (400, "malformed"), answer.text


def test_a_boundary_that_is_none_is_malformed(client: FlaskClient) -> None:
    for kind in ("multipart/form-data", "multipart/form-data; boundary=é"):
        assert client.post("/six", data=part() + END, content_type=kind).status_code == 400


def test_a_client_that_goes_in_the_middle(client: FlaskClient) -> None:
    body = part(size=40_000)
    answer = send(client, body, environ_overrides={"CONTENT_LENGTH": str(len(body) + 9)})
    assert answer.status_code == 400


def test_the_same_files_have_the_same_digest_whatever_the_boundary(client: FlaskClient) -> None:
    def digest(name: str = "a.png", data: bytes = b"abc", flag: str = "true") -> str:
        form = {"file": (io.BytesIO(data), name), "flag": flag}
        return str(client.post("/six", data=form).get_json()["digest"])

    assert digest() == digest()
    assert len({digest(), digest("b.png"), digest(data=b"abd"), digest(flag="false")}) == 4


def test_a_large_file_lies_on_the_disk_and_goes(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the folder for temporary files, without a name."""
    app = make_app()
    seen: dict[str, Any] = {}

    def look() -> Response:
        whole = received()
        assert whole is not None
        (upload,) = whole.files
        seen["file"] = upload.file
        seen["rolled"] = upload.file._rolled  # type: ignore[attr-defined]
        place = os.readlink(f"/proc/self/fd/{upload.file.fileno()}")
        seen["folder"] = Path(place.removesuffix(" (deleted)")).parent
        return reply({})

    app.add_url_rule("/look", "look", takes_files(1)(look), methods=["POST"])
    tmp: Path = services_of(app).settings.tmp_dir
    before = set(tmp.iterdir())
    with app.test_client() as client:
        assert send(client, part(size=300_000), END, path="/look").status_code == 200
    assert seen["rolled"]
    assert seen["folder"] == tmp
    assert seen["file"].closed
    assert set(tmp.iterdir()) == before


def test_a_full_disk_is_told(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("seidra.web.uploads._Part.write", full)
    answer = send(client, part(), END)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


def test_the_setting_is_told_to_those_who_ask(make_app: Callable[..., Flask]) -> None:
    limits = make_app(max_upload=LIMIT).test_client().get("/api/instance").get_json()["limits"]
    assert limits["max_upload"] == LIMIT
    assert Settings.load({}).max_upload == 32 * 1024 * 1024

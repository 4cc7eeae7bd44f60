"""From an attacker's side: what the walks over the URL map and each feature's own tests do not
try."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
import re
import resource
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import PASSWORD, Person
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image
from test_start import GUNICORN, Server
from test_walks import NOTHING, WITH_BODY, fill, filled, furnish, problem

from seidra.auth import passwords
from seidra.config import Settings
from seidra.engines.base import RenderedImage
from seidra.jobs.worker import Worker
from seidra.media import thumbnails
from seidra.web.services import services_of

# ------------------------------------------------------------------------------------------ headers


def test_every_answer_forbids_framing_sniffing_and_referrers(alice: Person) -> None:
    for path in (
        "/api/personas",
        "/api/health",
        "/nothing",
        "/api/docs",
        "/api/openapi.json",
        "/api/personas/x",
    ):
        headers = alice.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["X-Frame-Options"] == "DENY", path
        assert headers["Referrer-Policy"] == "no-referrer", path
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy, path
        assert "frame-ancestors 'none'" in policy, path
        assert len(headers.getlist("Content-Security-Policy")) == 1


def test_the_documentation_page_may_run_its_own_scripts_and_no_other(client: FlaskClient) -> None:
    page = client.get("/api/docs")
    policy = {
        part.split()[0]: part.split()[1:]
        for part in page.headers["Content-Security-Policy"].split(";")
    }
    inline = re.findall(r"<script[^>]*>(.*?)</script>", page.text, re.DOTALL)
    digests = {
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in inline
        if script
    }
    assert len(digests) == 1
    assert set(policy["script-src"]) == {"'self'"} | digests
    assert policy["connect-src"] == ["'self'"]
    assert not re.search(r"<[^>]+ on\w+=", page.text)


def test_a_picture_is_sandboxed(alice: Person, worker: Worker) -> None:
    answer = alice.get(f"/api/media/{furnish(alice, worker)['media']}/content", buffered=True)
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"


@pytest.mark.parametrize(
    "value", ["evil.example", "evil.example:1\r\nX: y", "localhost@evil.example"]
)
def test_no_host_header_reaches_an_answer(alice: Person, value: str) -> None:
    value = value.partition("\r")[0]
    headers = {"Host": value, "X-Forwarded-Host": value, "X-Forwarded-Prefix": "/evil.example"}
    persona = alice.persona()["id"]
    for method, path in (
        ("GET", "/api/personas?limit=1"),
        ("GET", "/api/docs"),
        ("GET", "//evil.example/api"),
        ("GET", "/\\evil.example"),
        ("POST", f"/api/personas/{persona}/duplicate"),
        ("POST", f"/api/personas/{persona}/preview"),
        ("GET", "/api/personas/"),
        ("GET", "/api/docs/"),
        ("GET", "/api/health?next=https://evil.example"),
    ):
        answer = alice.open(method, path, headers=headers)
        assert "evil.example" not in str(answer.headers), path
        assert "evil.example" not in answer.text.replace(path, ""), path
        assert not 300 <= answer.status_code < 400, path


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "///evil.example/%2e%2e",
        "/\\evil.example",
        "/https://evil.example",
        "/api//evil.example/",
        "/api/personas//evil.example",
        "/api/personas/?next=https://evil.example",
        "/api/auth/login?url=//evil.example",
        "/api/docs/..//evil.example",
        "/api/media/https:%2f%2fevil.example/content",
        "/%0d%0aLocation:%20//evil",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS"])
def test_nobody_is_sent_elsewhere(alice: Person, method: str, path: str) -> None:
    answer = alice.client.open(path, method=method, headers=alice.headers)
    # Where the whole path names a host, the page of `/` is asked for, which leads to the docs.
    assert answer.headers.get("Location") in (None, "api/docs")
    assert not 300 <= answer.status_code < 400 or "Location" in answer.headers
    assert answer.status_code < 500


# ---------------------------------------------------------------------------------------- injection

SQL = [
    "' OR '1'='1",
    "1; DROP TABLE users --",
    '" UNION SELECT password_hash FROM users --',
    "\\'; --",
    "%' ESCAPE '",
    "*",
]


def test_sql_in_every_parameter_is_text(
    app: Flask, alice: Person, bob: Person, worker: Worker
) -> None:
    bob.persona(name="secret of bob")
    document = app.test_client().get("/api/openapi.json").get_json()
    tried = 0
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for parameter in operation.get("parameters", []) if isinstance(operation, dict) else []:
                for text in SQL if parameter["in"] == "query" else ():
                    url = re.sub(
                        r"{[^}]*id}", "1" if "persona" in path else str(NOTHING["job"]), path
                    )
                    answer = alice.open(method.upper(), url, query_string={parameter["name"]: text})
                    assert answer.status_code in (200, 201, 202, 403, 404, 422), (
                        method,
                        path,
                        parameter["name"],
                    )
                    assert "secret of bob" not in answer.text
                    assert "sql" not in answer.text.lower()
                    tried += 1
    assert tried > 100
    assert bob.get("/api/personas").headers["X-Total-Count"] == "1"


def test_sql_in_every_field_is_text(alice: Person) -> None:
    for (method, rule), body in WITH_BODY.items():
        whole = filled(body, NOTHING)
        for name in [name for name, value in whole.items() if isinstance(value, str)]:
            for text in SQL:
                answer = alice.open(method, fill(rule, NOTHING), json=whole | {name: text})
                assert answer.status_code in (200, 201, 202, 401, 403, 404, 409, 422), (
                    method,
                    rule,
                    name,
                )
    stored = alice.persona(name=SQL[0], style_prompt=SQL[1], description=SQL[2], tags=SQL)
    assert (
        alice.get("/api/personas", query_string={"search": SQL[0], "tag": SQL[3]}).get_json()[0][
            "id"
        ]
        == stored["id"]
    )


def test_nothing_that_is_not_the_clients_is_taken_from_a_body(app: Flask, alice: Person) -> None:
    grab = {
        "is_admin": True,
        "user_id": 1,
        "id": 1,
        "password_hash": "x",
        "version": 99,
        "is_active": False,
        "created_at": "2000-01-01T00:00:00Z",
        "deleted_at": None,
        "avatar_media_id": NOTHING["media"],
    }
    before = alice.get("/api/auth/me").get_json()
    persona = alice.persona()
    for (method, rule), body in WITH_BODY.items():
        if rule.endswith(("/me", "/me/delete")) and method != "PATCH":
            continue
        for name, value in grab.items():
            things = NOTHING | {"persona": persona["id"]}
            answer = alice.open(
                method, fill(rule, things), json=filled(body, things) | {name: value}
            )
            if answer.status_code in (200, 201) and rule.startswith("/api/personas"):
                shown = answer.get_json()
                assert shown["created_at"] > "2020", rule
                assert name == "id" or shown.get(name) != value or name not in shown, (rule, name)
    now = alice.get("/api/auth/me").get_json()
    assert now | {"email": "", "settings": {}} == before | {"email": "", "settings": {}}
    assert Person(app, "dora").token["user"]["is_admin"] is False


# --------------------------------------------------------------------------------------- JSON bombs


def test_json_that_is_too_much(alice: Person) -> None:
    wide = "{" + ",".join(f'"k{n}":1' for n in range(60_000)) + "}"
    bombs = {
        '{"name": "a", "name": "b", "style_prompt": "c"}': 201,
        '{"name": "a", "style_prompt": "b", "generation_params": ' + wide + "}": 422,
        "[" + "1," * 300_000 + "1]": 422,
        '{"name": ' + "9" * 100_000 + ', "style_prompt": "b"}': 400,
        '{"name": "a", "style_prompt": "b", "generation_params": {"a": 1e400}}': 422,
        '{"name": "a", "style_prompt": "b", "generation_params": '
        + '{"a":' * 9
        + "1"
        + "}" * 9
        + "}": 422,
        '{"name": "' + "\\ud800" * 10 + '", "style_prompt": "b"}': 422,
        '{"name": "' + "a" * 900_000 + '", "style_prompt": "b"}': 422,
    }
    for text, status in bombs.items():
        began = time.process_time()
        answer = alice.post("/api/personas", data=text, content_type="application/json")
        assert answer.status_code == status, text[:60]
        assert time.process_time() - began < 5
        assert len(answer.data) < 10_000_000


# -------------------------------------------------------------------------------------------- login


def test_a_login_takes_one_hash_whoever_is_asked_for(
    app: Flask, alice: Person, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    real = passwords.verify_password
    monkeypatch.setattr(
        passwords,
        "verify_password",
        lambda encoded, given: calls.append(encoded) or real(encoded, given),
    )
    texts = set()
    for name in ("alice", "nobody", "alice@example.com", "nobody@example.com", "system"):
        calls.clear()
        answer = client.post("/api/auth/login", json={"username": name, "password": "wrong phrase"})
        body = answer.get_json()
        texts.add((answer.status_code, body["detail"], str(body.get("errors"))))
        assert len(calls) == 1, name
        # At the same cost, so in the same time.
        assert (
            calls[0].split("$")[3]
            == passwords.hash_password(PASSWORD, services_of(app).settings).split("$")[3]
        )
    assert len(texts) == 1


# -------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("planted", ["picture", "folder", "thumbnail"])
def test_a_link_in_the_place_of_a_file_is_not_followed(
    alice: Person, worker: Worker, settings: Settings, tmp_path: Path, planted: str
) -> None:
    item = furnish(alice, worker)["media"]
    secret = tmp_path / "outside"
    base = settings.thumbnail_dir if planted == "thumbnail" else settings.media_dir
    (file,) = [path for path in base.rglob(f"{item}.*") if not path.match("*.640.webp")]
    if planted == "folder":
        file.parent.rename(secret)
        file.parent.symlink_to(secret)
    else:
        secret.write_bytes(file.read_bytes())
        file.unlink()
        file.symlink_to(secret)
    variant = "thumbnail" if planted == "thumbnail" else "content"
    problem(alice.get(f"/api/media/{item}/{variant}", buffered=True), 404)
    assert alice.delete(f"/api/media/{item}").status_code == 204


@pytest.mark.parametrize(
    "name",
    [
        "../wsgi.py",
        "..%2f..%2fsetup.cfg",
        "%2e%2e/setup.cfg",
        "/etc/passwd",
        "..\\..\\setup.cfg",
        "a\x00.js",
    ],
)
def test_no_path_leads_out_of_a_folder(alice: Person, name: str) -> None:
    for path in (f"/api/docs/files/{name}", f"/api/media/{name}", f"/api/media/{name}/content"):
        answer = alice.get(path, buffered=True)
        assert answer.status_code in (404, 401), path
        assert b"root:" not in answer.data


def bomb(width: int, height: int) -> bytes:
    """A small PNG that claims, and decompresses to, so many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    packer = zlib.compressobj(9)
    rows = (
        b"".join(packer.compress(bytes(width // 8 + 1)) for _ in range(min(height, 2000)))
        + packer.flush()
    )
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(8_001, 8_000), (60_000, 60_000)])
def test_a_bomb_of_a_picture_is_not_decoded(
    alice: Person, worker: Worker, size: tuple[int, int]
) -> None:
    data = bomb(*size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(thumbnails.TooLarge):
        thumbnails.make_thumbnails(data, [320])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB
    job = alice.preview(alice.persona()["id"])
    image = RenderedImage(data=data, mime_type="image/png", width=64, height=64)
    [slot] = worker._slots
    slot.engine.render = lambda *_: [image]  # type: ignore[method-assign]
    few = dataclasses.replace(slot._shop.settings, job_max_attempts=1)
    slot._shop = dataclasses.replace(slot._shop, settings=few)
    assert worker.work_one()
    shown = alice.get(f"/api/jobs/{job}").get_json()
    assert (shown["status"], shown["error_message"]) == (
        "failed",
        "The engine made a picture that is too large to be opened.",
    )


def test_a_text_bomb_in_a_picture_is_no_picture() -> None:
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PNG")
    text = b"a\x00\x00" + zlib.compress(b"x" * 30_000_000, 9)
    chunk = (
        struct.pack(">I", len(text))
        + b"zTXt"
        + text
        + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    )
    data = out.getvalue()
    with pytest.raises(OSError, match="cannot be read"):
        thumbnails.make_thumbnails(data[:33] + chunk + data[33:], [320])


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "ftp://h/x",
        "//h/x",
        " javascript:alert(1)",
        "java\nscript:x",
        "vbscript:x",
        "http:/\\h",
        "https://",
        "blob:http://h/x",
    ],
)
def test_an_avatar_is_a_web_address_and_nothing_else(alice: Person, url: str) -> None:
    persona = alice.persona()["id"]
    problem(alice.patch(f"/api/personas/{persona}", json={"avatar_url": url}), 422, "avatar_url")


# ------------------------------------------------------------------------------------ a real server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """gunicorn with one process of four threads and a small body limit."""
    folder = tmp_path_factory.mktemp("served")
    more = {"SEIDRA_MAX_BODY": "2048", "SEIDRA_WEB_WORKERS": "1", "SEIDRA_WEB_THREADS": "4"}
    with Server(folder, *GUNICORN, **more) as started:
        started.ready().register()
        yield started


def send(server: Server, *parts: bytes, pause: float = 0) -> bytes:
    """Send raw bytes and read the answer's beginning."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=120) as raw:
        for part in parts:
            raw.sendall(part)
            time.sleep(pause)
        try:
            return raw.recv(65_536)
        except ConnectionResetError:
            return b""


def head(
    server: Server, method: bytes = b"POST", path: bytes = b"/api/personas", *more: bytes
) -> bytes:
    lines = [
        method + b" " + path + b" HTTP/1.1",
        b"Host: x",
        b"Content-Type: application/json",
        b"Authorization: Bearer " + server.token.encode(),
        b"Connection: close",
        *more,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def test_a_chunked_body_without_a_length_has_the_same_limit(server: Server) -> None:
    start = head(server, b"POST", b"/api/personas", b"Transfer-Encoding: chunked")
    small = json.dumps({"name": "Luna", "style_prompt": "moon"}).encode()
    chunks = [b"%x\r\n%s\r\n" % (len(part), part) for part in (small[:10], small[10:])]
    assert send(server, start, *chunks, b"0\r\n\r\n").startswith(b"HTTP/1.1 201")
    many = [b"200\r\n" + b" " * 512 + b"\r\n"] * 10
    assert send(server, start, *many, b"0\r\n\r\n").startswith(b"HTTP/1.1 413")


def test_two_lengths_and_lines_of_their_own_are_refused(server: Server) -> None:
    both = head(
        server, b"POST", b"/api/personas", b"Content-Length: 2", b"Transfer-Encoding: chunked"
    )
    assert send(server, both, b"0\r\n\r\n").split()[1] in (b"400", b"413")
    split = send(server, head(server, b"GET", b"/api/health", b"X-Request-ID: a\nSet-Cookie: x=1"))
    assert b"Set-Cookie" not in split
    assert b"Set-Cookie" not in send(server, head(server, b"GET", b"/api/%0d%0aSet-Cookie:%20x=1"))
    assert server.call("GET", "/api/health")[0] == 200
    for line in server.log.read_text().splitlines():
        if line.startswith("{"):
            assert "request_id" in json.loads(line) or "message" in json.loads(line)


@pytest.mark.slow
def test_clients_that_dribble_do_not_hold_up_the_others(server: Server) -> None:
    whole, blanks = head(server, b"POST", b"/api/personas", b"Content-Length: 10"), b" " * 10
    step = len(whole) // 10 + 1
    slow = [*(whole[at : at + step] for at in range(0, len(whole), step)), blanks]
    body = [whole, *(blanks[at : at + 1] for at in range(10))]
    with ThreadPoolExecutor(3) as pool:
        held = [pool.submit(send, server, *parts, pause=0.3) for parts in (slow, body, slow)]
        times = []
        while not all(one.done() for one in held) and len(times) < 200:
            began = time.monotonic()
            assert server.call("GET", "/api/personas")[0] == 200
            times.append(time.monotonic() - began)
        answers = [one.result().split(b" ", 2)[1] for one in held]
    assert answers == [b"400"] * 3
    assert len(times) > 10
    assert sorted(times)[len(times) // 2] < 1

"""deploy/nginx.conf in a real nginx before a real gunicorn; only ports and folders differ from the
file."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from conftest import wait_for
from test_start import GUNICORN, ROOT, Server

from seidra.config import Settings
from soak.ports import free_port

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed (apt-get install nginx)"),
]

GONE = "proxy_pass http://127.0.0.1:9"
"""A place where nobody listens."""

CONF = (ROOT / "deploy" / "nginx.conf").read_text()
CLIENT = "127.0.0.2"
"""Where clients come from, so that they are not taken for the proxy; Linux has all of 127.0.0.0/8
on loopback."""

# SEIDRA itself, with one route more that tells who SEIDRA thinks is asking.
PROBE = """
from flask import jsonify, request
from wsgi import app

@app.get("/api/who")
def who():
    return jsonify(
        address=request.remote_addr, scheme=request.scheme, host=request.host,
        route=request.access_route,
    )
"""

MAIN = """
daemon off;
worker_processes 1;
pid FOLDER/nginx.pid;
error_log FOLDER/main.error.log;
USER
events {{ worker_connections 256; }}
http {{
    include {types};
    access_log off;
    client_body_temp_path FOLDER/body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi;
    scgi_temp_path FOLDER/scgi;
    include FOLDER/seidra.conf;
}}
"""


@dataclass
class Proxy:
    """A running nginx: its port, its folder with the logs, and the gunicorn behind it."""

    port: int
    folder: Path
    server: Server
    media: Any = None

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        tls: ssl.SSLContext | None = None,
        **headers: str,
    ) -> tuple[int, Message, bytes]:
        """One request; `X_Y` is the header X-Y."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if tls is None:
            connection = http.client.HTTPConnection(
                "127.0.0.1", self.port, timeout=60, source_address=(CLIENT, 0)
            )
        else:
            connection = http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=60, context=tls
            )
        try:
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def api(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Message, Any]:
        """A request with the token, in JSON."""
        headers = {
            "Authorization": f"Bearer {self.server.token}",
            "Content_Type": "application/json",
            **headers,
        }
        data = None if body is None else json.dumps(body).encode()
        status, got, text = self.ask(method, path, data, **headers)
        return status, got, json.loads(text) if text else None

    def around(self) -> Proxy:
        """The server itself, asked the same way."""
        return Proxy(self.server.port, self.folder, self.server)

    def logs(self) -> str:
        """All that nginx has logged."""
        return "".join(path.read_text() for path in self.folder.glob("*.log"))


@contextmanager
def nginx(
    folder: Path, server: Server, conf: str = CONF, upstream: int | None = None
) -> Iterator[Proxy]:
    """Run nginx with deploy/nginx.conf, ports and folders replaced."""
    port = free_port()
    folder.mkdir()
    for old, new in (
        ("    listen 80;", f"    listen 127.0.0.1:{port};"),
        ("    listen [::]:80;\n", ""),
        ("127.0.0.1:8000", f"127.0.0.1:{upstream or server.port}"),
        ("/var/lib/seidra/", f"{server.log.parent / 'instance'}/"),
        ("/var/log/nginx/", f"{folder}/"),
    ):
        assert old in conf
        conf = conf.replace(old, new)
    (folder / "seidra.conf").write_text(conf)
    types = next(
        path
        for path in ("/etc/nginx/mime.types", "/usr/local/nginx/conf/mime.types")
        if os.path.exists(path)
    )
    # pytest's folders are closed to nginx's usual user.
    main = MAIN.format(types=types).replace("USER", "user root;" if os.geteuid() == 0 else "")
    (folder / "nginx.conf").write_text(main.replace("FOLDER", str(folder)))
    assert NGINX is not None
    command = [
        NGINX,
        "-p",
        str(folder),
        "-e",
        str(folder / "main.error.log"),
        "-c",
        str(folder / "nginx.conf"),
    ]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stderr
    assert "[warn]" not in re.sub(r".*user.*", "", checked.stderr), checked.stderr
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: _listens(port))
        yield Proxy(port, folder, server)
    finally:
        process.terminate()
        process.wait(60)


def _listens(port: int) -> bool:
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """gunicorn as deploy/seidra.env.example sets it, with two threads, an account and a picture."""
    folder = tmp_path_factory.mktemp("behind")
    (folder / "probe.py").write_text(PROBE)
    command = (*GUNICORN, "--pythonpath", str(folder), "probe:app")
    with Server(
        folder,
        *command,
        SEIDRA_WEB_WORKERS="1",
        SEIDRA_WEB_THREADS="2",
        SEIDRA_TRUSTED_PROXIES="1",
        SEIDRA_X_ACCEL_REDIRECT="/protected",
    ) as server:
        server.ready().register()
        job = server.preview()
        wait_for(lambda: server.json("GET", job)["status"] == "completed", 60)
        yield server
        server.stop()


@pytest.fixture(scope="module")
def proxy(behind: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """nginx before it; `proxy.media` is the picture."""
    with nginx(tmp_path_factory.mktemp("proxy") / "nginx", behind) as proxy:
        _, _, page = proxy.api("GET", "/api/media")
        proxy.media = page["items"][0]
        yield proxy
    log = proxy.logs()
    assert "[crit]" not in log
    assert "[alert]" not in log


# ------------------------------------------------------------------------------------------ the API


def test_the_api_works_through_it(proxy: Proxy) -> None:
    made = [
        proxy.api("POST", "/api/personas", {"name": f"N{n}", "style_prompt": "sea " * 50})[2]["id"]
        for n in range(8)
    ]
    status, headers, found = proxy.api("GET", "/api/personas?limit=100")
    assert (status, headers["Content-Encoding"]) == (200, None)
    assert set(made) <= {persona["id"] for persona in found}
    status, headers, _ = proxy.ask(
        "GET",
        "/api/personas?limit=100",
        Authorization=f"Bearer {proxy.server.token}",
        Accept_Encoding="gzip",
    )
    assert (status, headers["Content-Encoding"]) == (200, "gzip")
    # gzip makes the ETag a weak one, which SEIDRA takes for what it was.
    status, headers, _ = proxy.api("GET", f"/api/personas/{made[0]}")
    weak = f"W/{headers['ETag']}"
    assert proxy.api("GET", f"/api/personas/{made[0]}", If_None_Match=weak)[0] == 304
    assert proxy.api("PATCH", f"/api/personas/{made[0]}", {"tags": ["a"]}, If_Match=weak)[0] == 200
    status, headers, _ = proxy.ask("GET", "/api/nothing")
    assert (status, headers["Content-Type"]) == (404, "application/problem+json")
    assert headers.get_all("X-Content-Type-Options") == ["nosniff"]
    assert "nginx/" not in headers["Server"]


def test_the_client_s_address_is_nginx_s_word_and_nobody_else_s(proxy: Proxy) -> None:
    _, _, body = proxy.ask("GET", "/api/who")
    assert json.loads(body)["address"] == CLIENT
    forged = {
        "X_Forwarded_For": "6.6.6.6, 7.7.7.7",
        "X_Forwarded_Proto": "https",
        "X_Forwarded_Host": "evil.example",
        "Forwarded": "for=6.6.6.6;host=evil.example;proto=https",
        "X_Real_IP": "6.6.6.6",
    }
    _, _, body = proxy.ask("GET", "/api/who", **forged)
    told = json.loads(body)
    assert (told["address"], told["scheme"]) == (CLIENT, "http")
    assert "evil" not in told["host"]
    # The address is seen at all only because one proxy is trusted, and that one is nginx.
    _, _, body = proxy.around().ask("GET", "/api/who", X_Forwarded_For="9.9.9.9")
    assert json.loads(body)["address"] == "9.9.9.9"


def test_a_body_over_the_limit_is_refused_by_nginx_in_the_same_shape(proxy: Proxy) -> None:
    limit = Settings.load({}).max_body
    files = 4 * Settings.load({}).max_upload + 512 * 1024
    assert re.findall(r"client_max_body_size (\w+);", CONF) == [str(limit), str(files)]
    head = {"Content_Type": "application/json"}
    # Nobody's, and so refused by SEIDRA itself, whose own bound for accounts is smaller.
    below = proxy.ask("POST", "/api/personas", b" " * limit, **head)
    assert below[0] == 401
    status, headers, body = proxy.ask("POST", "/api/auth/login", b" " * (limit + 1), **head)
    assert (status, headers["Content-Type"]) == (413, "application/problem+json")
    said = json.loads(body)
    direct = proxy.around().ask("POST", "/api/auth/login", b" " * (limit + 1), **head)
    assert said.keys() == json.loads(direct[2]).keys()
    assert {**said, "request_id": 0} == {**json.loads(direct[2]), "request_id": 0}


def test_slow_uploads_hold_no_thread(proxy: Proxy) -> None:
    head = (
        b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 60\r\n\r\n{"
    )
    slow = [socket.create_connection(("127.0.0.1", proxy.port), timeout=60) for _ in range(6)]
    try:
        for upload in slow:
            upload.sendall(head)
        # Two threads, six uploads in the middle, and still an answer.
        for _ in range(4):
            assert proxy.ask("GET", "/api/health")[0] == 200
        for upload in slow:
            upload.sendall(b" " * 58 + b"}")
            assert upload.recv(65536).startswith(b"HTTP/1.1 422 ")
    finally:
        for upload in slow:
            upload.close()


def test_metrics_are_not_for_the_outside(proxy: Proxy) -> None:
    for path in ("/metrics", "/metrics/", "/%6detrics", "//metrics", "/api/../metrics"):
        assert proxy.ask("GET", path)[0] == 404


def test_events_come_as_they_happen(proxy: Proxy) -> None:
    token = {"Authorization": f"Bearer {proxy.server.token}"}
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=120)
    try:
        connection.request("GET", "/api/jobs/events", headers={**token, "Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Content-Encoding"]) == (200, None)
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        job = proxy.server.preview().rpartition("/")[2]
        lines = []
        # The stream goes on for a minute: a buffered one would show nothing before, and the read
        # would time out.
        while not (lines and job in lines[-1] and '"completed"' in lines[-1]):
            lines.append(answer.readline().decode())
            assert lines[-1], lines
    finally:
        connection.close()


# -------------------------------------------------------------------------------------- compression


def test_what_seidra_compresses_nginx_leaves_alone(proxy: Proxy) -> None:
    token = f"Bearer {proxy.server.token}"
    for accepted in ("gzip", "identity"):
        for path in ("/api/personas?limit=100", "/api/openapi.json", "/", "/api/nothing"):
            status, headers, body = proxy.ask(
                "GET", path, Authorization=token, Accept_Encoding=accepted
            )
            members = ",".join(headers.get_all("Vary", [])).lower().replace(" ", "").split(",")
            assert members.count("accept-encoding") == 1, (path, accepted, members)
            packed = headers["Content-Encoding"] == "gzip"
            assert packed == (
                accepted == "gzip" and len(gzip.decompress(body) if packed else body) >= 1024
            )
    name = "/api/docs/files/swagger-ui-bundle.js"
    status, headers, body = proxy.ask("GET", name, Accept_Encoding="gzip")
    assert (status, headers["Content-Encoding"]) == (200, "gzip")
    assert headers.get_all("Vary") == ["Accept-Encoding"]
    # Files that are no pictures come with their body, whatever X-Accel-Redirect is for.
    plain = proxy.ask("GET", name)[2]
    assert len(plain) > 500_000
    assert gzip.decompress(body) == plain == proxy.around().ask("GET", name)[2]


# ------------------------------------------------------------------------------------- below a path


@pytest.fixture(scope="module")
def lower(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """gunicorn that stands below /seidra, with an account and a picture."""
    with Server(
        tmp_path_factory.mktemp("lower"),
        *GUNICORN,
        "wsgi:app",
        SEIDRA_WEB_WORKERS="1",
        SEIDRA_TRUSTED_PROXIES="1",
        SEIDRA_X_ACCEL_REDIRECT="/protected",
        SEIDRA_PUBLIC_URL="http://host.example/seidra",
    ) as server:
        server.ready().register()
        job = server.preview()
        assert job.startswith("/seidra/api/jobs/")
        wait_for(lambda: server.json("GET", job)["status"] == "completed", 60)
        yield server
        server.stop()


@pytest.mark.parametrize("passed", ["http://seidra", "http://seidra/"], ids=["whole", "stripped"])
def test_everything_works_below_a_path(lower: Server, tmp_path: Path, passed: str) -> None:
    conf = CONF.replace(
        "    location / {\n        proxy_pass http://seidra;",
        f"    location /seidra/ {{\n        proxy_pass {passed};",
    )
    assert conf != CONF
    host = "http://host.example"
    with nginx(tmp_path / "nginx", lower, conf) as proxy:
        # The studio, and each file that it names.
        status, _, page = proxy.ask("GET", "/seidra/")
        named = re.findall(r'(?:src|href)="([^"]+)"', page.decode())
        assert (status, len(named) > 3) == (200, True)
        for path in named:
            assert path.startswith("/seidra/")
            assert proxy.ask("GET", path)[0] == 200, path
        # The documentation.
        status, headers, _ = proxy.ask("GET", "/seidra/docs")
        assert (status, headers["Location"]) == (302, "api/docs")
        status, _, page = proxy.ask("GET", "/seidra/api/docs")
        files = re.findall(r'(?:src|href)="([^"]+)"', page.decode())
        [document] = re.findall(r"""url: ['"]([^'"]+openapi.json)""", page.decode())
        assert document == "/seidra/api/openapi.json"
        assert any(name.endswith("swagger-ui-bundle.js") for name in files)
        for path in files:
            status, _, body = proxy.ask("GET", path)
            assert (status, bool(body)) == (200, True), path
        _, _, body = proxy.ask("GET", document)
        assert json.loads(body)["servers"] == [{"url": "/seidra"}]
        # Lists, their pages, and where things are made.
        status, headers, made = proxy.api(
            "POST", "/seidra/api/personas", {"name": "Low", "style_prompt": "s"}
        )
        place = f"/seidra/api/personas/{made['id']}"
        assert (status, headers["Location"]) == (201, host + place)
        _, headers, _ = proxy.api("GET", "/seidra/api/personas?limit=1")
        assert f'<{host}/seidra/api/personas?limit=1&offset=1>; rel="next"' in headers["Link"]
        # A picture: its bytes come from nginx; as an avatar it stays what it is.
        [item] = proxy.api("GET", "/seidra/api/media")[2]["items"]
        assert item["url"].startswith(f"{host}/seidra/api/media/")
        status, headers, data = proxy.ask("GET", item["url"].removeprefix(host))
        assert (status, data[:4]) == (200, b"\x89PNG")
        assert "X-Accel-Redirect" not in headers
        chosen = proxy.api("PUT", f"{place}/avatar", {"media_id": item["id"]})[2]
        status, headers, again = proxy.api("PUT", place, chosen)
        assert (status, again["avatar_url"]) == (200, chosen["avatar_url"])
        assert again["version"] == chosen["version"]
        assert again["cover"]["kind"] == "avatar"
        assert proxy.ask("GET", "/api/personas")[0] == 404


# ----------------------------------------------------------------------------------------- pictures

# What differs because nginx sends the file: its own ETag, and how it names itself and the
# connection.
OWN = {"etag", "server", "date", "connection", "content-length", "x-accel-redirect", "x-request-id"}


def parts(headers: Message, name: str) -> set[str]:
    """The members of a header that is a list, however many lines it takes."""
    return {part.strip().lower() for line in headers.get_all(name, []) for part in line.split(",")}


@pytest.mark.parametrize("link", ["url", "thumbnail_url", "download_url"])
def test_a_picture_comes_from_nginx_with_the_headers_of_seidra(proxy: Proxy, link: str) -> None:
    path = proxy.media[link]
    origin = {"Origin": "http://localhost:3000"}
    status, headers, data = proxy.ask("GET", path, **origin)
    assert status == 200
    variant, ending = ("thumbnails", ".320.webp") if link == "thumbnail_url" else ("media", "")
    (file,) = (proxy.server.log.parent / "instance" / variant).rglob(
        f"{proxy.media['id']}.*{ending}"
    )
    assert data == file.read_bytes()
    _, said, empty = proxy.around().ask("GET", path, **origin)
    assert empty == b""
    for name in {name.lower() for name in said} - OWN - {"vary", "cache-control"}:
        assert headers.get_all(name) == said.get_all(name), name
    # As long as the link is valid, which is counted in whole seconds from each request on.
    here, there = (found["Cache-Control"].rpartition("=") for found in (headers, said))
    assert here[:2] == there[:2] == ("private, max-age", "=")
    assert 0 <= int(here[2]) - int(there[2]) < 60
    assert parts(headers, "Vary") == parts(said, "Vary") == {"authorization", "origin"}
    assert "X-Accel-Redirect" not in headers
    assert len(headers.get_all("X-Request-ID")) == 1

    etag = headers["ETag"]
    assert proxy.ask("HEAD", path)[1]["Content-Length"] == str(len(data))
    assert proxy.ask("HEAD", path)[2] == b""
    status, headers, none = proxy.ask("GET", path, If_None_Match=etag)
    assert (status, none, headers["ETag"]) == (304, b"", etag)
    assert headers["Cache-Control"].startswith("private, max-age=")
    assert proxy.ask("GET", path, If_None_Match='"other"')[0] == 200
    status, headers, part = proxy.ask("GET", path, Range="bytes=10-19")
    assert (status, part, headers["Content-Range"]) == (
        206,
        data[10:20],
        f"bytes 10-19/{len(data)}",
    )
    assert headers.get_all("X-Content-Type-Options") == ["nosniff"]
    assert proxy.ask("GET", path, Range="bytes=10-19", If_Range=etag)[0] == 206
    assert proxy.ask("GET", path, Range="bytes=10-19", If_Range='"other"')[0] == 200
    assert proxy.ask("GET", path, Range=f"bytes={len(data)}-")[0] == 416
    assert proxy.ask("GET", path.replace("signature=", "signature=x"))[0] == 403


def test_files_cannot_be_reached_around_seidra(proxy: Proxy) -> None:
    media = proxy.server.log.parent / "instance" / "media"
    [file] = media.rglob(f"{proxy.media['id']}.*")
    name = file.relative_to(media).as_posix()
    for path in (
        f"/protected/media/{name}",
        f"/protected/media//{name}",
        f"/protected/thumbnails/../media/{name}",
        f"/%70rotected/media/{name}",
        f"//protected/media/{name}",
        f"/protected//media/{name}",
        f"/protected/{name}",
        "/protected/media/../seidra.db",
        "/protected/media../seidra.db",
        "/protected/media/%2e%2e/seidra.db",
        "/protected/media",
        "/protected/media/",
        "/protected/",
        "/media/" + name,
        f"/api/..//protected/media/{name}",
    ):
        status, _, body = proxy.ask("GET", path)
        assert status in (400, 404), path
        assert b"PNG" not in body
        assert b"SQLite" not in body
    # Nor by a header that only an upstream may send.
    status, _, body = proxy.ask("GET", "/api/health", X_Accel_Redirect=f"/protected/media/{name}")
    assert json.loads(body)["status"] == "ok"


# ------------------------------------------------------------------------------ logs, failures, TLS


def test_no_signature_or_ticket_reaches_a_log(proxy: Proxy, tmp_path: Path) -> None:
    secret = "SECRETSECRETSECRET"
    path = proxy.media["url"]
    signature = path.partition("signature=")[2]
    referer = f"http://studio.example{path}"
    paths = [
        path,
        f"{path}{secret}",
        f"/api/jobs/events?ticket={secret}",
        f"/api/jobs/{proxy.media['job_id']}/events?ticket={secret}",
    ]
    for asked in paths[:2]:
        proxy.ask("GET", asked, Referer=referer, User_Agent=referer)
        proxy.ask("POST", asked, b"x" * 2_000_000)
    with nginx(tmp_path / "down", proxy.server, upstream=free_port()) as down:
        # Nobody listens behind this one: what it logs of that is the whole request line, elsewhere.
        for asked in [*paths, "/api/personas"]:
            status, headers, body = down.ask("GET", asked)
            assert (status, headers["Retry-After"]) == (503, "2")
            assert json.loads(body)["status"] == 503
        wait_for(lambda: down.logs().count('"status":503') == len(paths) + 1)
        said = down.logs()
        assert "connect() failed" in said
    said += wait_for(
        lambda: log if (log := proxy.logs()).count(path.partition("?")[0]) >= 4 else ""
    )
    said += proxy.server.log.read_text()
    assert signature not in said
    assert secret not in said
    assert "signature" not in said
    lines = [json.loads(line) for line in (proxy.folder / "access.log").read_text().splitlines()]
    assert {line["client"] for line in lines} <= {CLIENT, "127.0.0.1"}
    (ours, *_) = [
        line for line in lines if line["path"] == path.partition("?")[0] and line["status"] == 200
    ]
    assert ours["request_id"]
    assert f'"request_id":"{ours["request_id"]}"' in proxy.server.log.read_text()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_tls_is_one_command_away(proxy: Proxy, tmp_path: Path) -> None:
    key, certificate, port = tmp_path / "key.pem", tmp_path / "cert.pem", free_port()
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=studio.example",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            key,
            "-out",
            certificate,
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    # Byte for byte what the file's own instruction does.
    (tmp_path / "seidra.conf").write_text(CONF)
    switch_on, for_older, bucket = re.findall(r"sed -i '(.*?)'", CONF)
    assert bucket == "s/#S3 //"
    for told in [switch_on, *([for_older] if version_of_nginx() < (1, 25, 1) else [])]:
        subprocess.run(["sed", "-i", told, tmp_path / "seidra.conf"], check=True, timeout=60)
    conf = (
        (tmp_path / "seidra.conf")
        .read_text()
        .replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
    )
    conf = re.sub(r"    listen \[::\]:443 ssl.*\n", "", conf)
    conf = re.sub(r"/etc/letsencrypt\S*fullchain.pem", str(certificate), conf)
    conf = re.sub(r"/etc/letsencrypt\S*privkey.pem", str(key), conf)
    with nginx(tmp_path / "nginx", proxy.server, conf) as plain:
        status, headers, _ = plain.ask("GET", "/api/personas?limit=5", Host="evil.example")
        assert (status, headers["Location"]) == (308, "https://studio.example/api/personas?limit=5")
        secure = Proxy(port, plain.folder, plain.server)
        context = ssl.create_default_context(cafile=str(certificate))
        status, headers, body = secure.ask("GET", "/api/who", tls=context)
        assert json.loads(body)["scheme"] == "https"
        assert headers.get_all("Strict-Transport-Security") == ["max-age=31536000"]
        status, headers, _ = secure.ask("GET", proxy.media["url"], tls=context)
        assert (status, headers.get_all("Strict-Transport-Security")) == (200, ["max-age=31536000"])
        # What nginx says by itself.
        for method, path, sent, expected in (
            ("POST", "/api/personas", b"x" * 2_000_000, 413),
            ("GET", "/metrics", None, 404),
        ):
            status, headers, _ = secure.ask(method, path, sent, tls=context)
            assert status == expected
            assert headers.get_all("Strict-Transport-Security") == ["max-age=31536000"]
        spoken = subprocess.run(
            ["openssl", "s_client", "-alpn", "h2", "-connect", f"127.0.0.1:{port}"],
            input="",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
        ).stdout
        assert "ALPN protocol: h2" in spoken
    with nginx(
        tmp_path / "down", proxy.server, conf.replace("proxy_pass http://seidra", GONE)
    ) as down:
        secure = Proxy(port, down.folder, down.server)
        status, headers, _ = secure.ask("GET", "/api/who", tls=context)
        assert (status, headers["Retry-After"]) == (503, "2")
        assert headers.get_all("Strict-Transport-Security") == ["max-age=31536000"]


def version_of_nginx() -> tuple[int, ...]:
    assert NGINX is not None
    said = subprocess.run([NGINX, "-v"], capture_output=True, text=True, timeout=60).stderr
    return tuple(int(part) for part in re.findall(r"nginx/(\d+)\.(\d+)\.(\d+)", said)[0])


def test_one_of_two_nodes_is_enough(proxy: Proxy, tmp_path: Path) -> None:
    """As docs/scaling.md changes the file for several nodes; the first of these is not there."""
    path = tmp_path / "seidra.conf"
    path.write_text(CONF)
    told = (ROOT / "docs" / "scaling.md").read_text()
    for command in re.findall(r"^(sed -i .+) /etc/nginx/conf.d/seidra.conf$", told, re.MULTILINE):
        subprocess.run(f"{command} {path}", shell=True, check=True)
    conf = path.read_text()
    assert re.findall(r"proxy_(?:connect|read)_timeout (.+);", conf) == ["2s", "20s", "20s"]
    assert conf.count("    server 10.0.0.3") == 2
    conf = conf.replace("10.0.0.31:8000", "127.0.0.1:9").replace("10.0.0.32", "127.0.0.1")
    with nginx(tmp_path / "two", proxy.server, conf) as both:
        for n in range(8):
            assert both.api("GET", "/api/personas")[0] == 200
            assert (
                both.api("POST", "/api/personas", {"name": f"N{n}", "style_prompt": "sea"})[0]
                == 201
            )
        assert "Connection refused" in both.logs()

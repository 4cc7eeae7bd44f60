"""The HTTP client of the engines, against servers that misbehave."""

from __future__ import annotations

import base64
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from seidra.engines.wire import Ended, Nonsense, Unreachable, Wire, WireError
from seidra.errors import StartError

Script = Callable[[socket.socket], None]


class Server:
    """Listens on a free port and plays `script` to every connection, each in its own thread."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[bytes] = []
        self.over = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._play, args=(sock,), daemon=True).start()

    def _play(self, sock: socket.socket) -> None:
        with sock:
            self.script(sock)

    def heard(self, sock: socket.socket) -> bytes:
        """One request, body and all."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += sock.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                while len(body) < int(line.split(b":")[1]):
                    body += sock.recv(65536)
        self.requests.append(head + b"\r\n\r\n" + body)
        return self.requests[-1]


@contextmanager
def serving(answer: bytes | Callable[[Server, socket.socket], None]) -> Iterator[Server]:
    """A server that answers every request with these bytes, or does what the function does."""

    def script(sock: socket.socket) -> None:
        if isinstance(answer, bytes):
            server.heard(sock)
            sock.sendall(answer)
        else:
            answer(server, sock)

    server = Server(script)
    try:
        yield server
    finally:
        server.over.set()
        server.listener.close()


def plain(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def test_sends_json_and_reads_json() -> None:
    with serving(plain(b'{"a": [1]}', "201 Created", "X-Word: here")) as server:
        wire = Wire(f"{server.url}/under/", "secret")
        answer = wire.request("POST", "/do", query={"q": "a b&c"}, json={"prompt": "ü"})
    assert (answer.status, answer.ok, answer.json()) == (201, True, {"a": [1]})
    assert answer.headers["x-word"] == "here"
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /under/do?q=a+b%26c HTTP/1.1\r\n")
    assert body == '{"prompt":"ü"}'.encode()
    assert b"\r\nContent-Type: application/json" in head
    assert b"\r\nAuthorization: Bearer secret" in head
    assert b"\r\nOrigin" not in head


@pytest.mark.parametrize(
    ("key", "header"),
    [
        ("", None),
        ("abc\n", "Bearer abc"),
        ("ann:pässword", "Basic " + base64.b64encode("ann:pässword".encode()).decode()),
        ("Basic eA==", "Basic eA=="),
        ("Bearer a:b", "Bearer a:b"),
    ],
)
def test_key(key: str, header: str | None) -> None:
    assert Wire("http://127.0.0.1", key).authorization().get("Authorization") == header


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8188", "ftp://x", "http://", "http://[::1", "http://h:x"]
)
def test_url_that_is_none(url: str) -> None:
    with pytest.raises(StartError):
        Wire(url)


def test_password_in_the_url_is_refused_and_not_told() -> None:
    with pytest.raises(StartError) as caught:
        Wire("http://ann:hunter2@127.0.0.1")
    assert "hunter2" not in caught.value.message


def test_refused_was_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unreachable, match="refuses connections") as caught:
        Wire(f"http://127.0.0.1:{port}").request("GET", "/")
    assert not caught.value.sent


def test_unknown_name_was_not_sent() -> None:
    with pytest.raises(Unreachable) as caught:
        Wire("http://nowhere.invalid").request("GET", "/")
    assert not caught.value.sent


def test_closed_without_an_answer_may_have_been_sent() -> None:
    def close(server: Server, sock: socket.socket) -> None:
        server.heard(sock)

    with serving(close) as server, pytest.raises(Unreachable, match="broke") as caught:
        Wire(server.url).request("POST", "/", json={})
    assert caught.value.sent
    assert len(server.requests) == 1, "a request is never sent twice"


def test_silence_has_a_limit() -> None:
    def hang(server: Server, sock: socket.socket) -> None:
        server.over.wait(20)

    with serving(hang) as server, pytest.raises(Unreachable, match=r"nothing for 0\.2 s") as caught:
        Wire(server.url, silence_s=0.2).request("GET", "/")
    assert caught.value.sent


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"])
def test_end_from_another_thread_is_at_once(start: bytes) -> None:
    waits = threading.Event()

    def hang(server: Server, sock: socket.socket) -> None:
        server.heard(sock)
        sock.sendall(start)
        waits.set()
        server.over.wait(20)

    with serving(hang) as server:
        wire = Wire(server.url)
        ended: list[float] = []

        def end() -> None:
            waits.wait(10)
            ended.append(time.monotonic())
            wire.end()

        threading.Thread(target=end).start()
        with pytest.raises(Ended):
            wire.request("GET", "/")
        assert time.monotonic() - ended[0] < 1
        with pytest.raises(Ended):
            wire.request("GET", "/")
        assert len(server.requests) == 1, "an ended line lets nothing through"
        assert wire.ended
        assert not wire.afresh().ended


def test_end_while_connecting_is_at_once() -> None:
    # A full backlog: the kernel lets the next connection wait.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        wire = Wire(f"http://127.0.0.1:{port}", connect_s=20)
        timer = threading.Timer(0.3, wire.end)
        timer.start()
        began = time.monotonic()
        with pytest.raises(Ended):
            wire.request("GET", "/")
        assert 0.2 < time.monotonic() - began < 5
        for filler in fillers:
            filler.close()


def test_connecting_has_a_limit() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        with pytest.raises(Unreachable, match="does not answer") as caught:
            Wire(f"http://127.0.0.1:{port}", connect_s=0.2).request("GET", "/")
        assert not caught.value.sent
        for filler in fillers:
            filler.close()


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", Unreachable),
        (CHUNKED + b"9\r\nhalf", Unreachable),
        (plain(b"x" * 101), Nonsense),
        (CHUNKED + b"65\r\n" + b"x" * 101 + b"\r\n0\r\n\r\n", Nonsense),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 101, Nonsense),
        (plain(b"", "302 Found", "Location: http://127.0.0.1/"), Nonsense),
        (b"SSH-2.0-OpenSSH\r\n\r\n", Nonsense),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", Nonsense),
    ],
)
def test_answer_that_breaks_the_rules(answer: bytes, failure: type[WireError]) -> None:
    with serving(answer) as server, pytest.raises(failure):
        Wire(server.url).request("GET", "/", limit=100)
    assert len(server.requests) == 1


def test_largest_answer_is_taken() -> None:
    with serving(plain(b"x" * 100)) as server:
        assert Wire(server.url).request("GET", "/", limit=100).body == b"x" * 100


def test_body_without_end_is_given_up() -> None:
    def pour(server: Server, sock: socket.socket) -> None:
        server.heard(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while not server.over.is_set():
                sock.sendall(b"x" * 65536)
        except OSError:
            pass

    with serving(pour) as server, pytest.raises(Nonsense, match="more than can be taken"):
        Wire(server.url).request("GET", "/", limit=1_000_000)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"a": NaN}', b"\xff"])
def test_not_json(body: bytes) -> None:
    with serving(plain(body)) as server, pytest.raises(Nonsense):
        Wire(server.url).request("GET", "/").json()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that only this test trusts, and its key beside it."""
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=here", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key.pem",
         "-out", folder / "cert.pem"],
        capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    return folder / "cert.pem"


@contextmanager
def serving_tls(certificate: Path, then: Callable[[Server, ssl.SSLSocket], None]) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))

    def encrypted(server: Server, sock: socket.socket) -> None:
        try:
            with context.wrap_socket(sock, server_side=True) as secret:
                then(server, secret)
        except OSError:
            pass  # who does not trust it goes away

    with serving(encrypted) as server:
        yield server.url.replace("http:", "https:")


def test_tls(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(server: Server, sock: ssl.SSLSocket) -> None:
        server.heard(sock)
        sock.sendall(plain(b"secret"))

    with serving_tls(certificate, answer) as url:
        with pytest.raises(Unreachable, match="TLS") as caught:
            Wire(url).request("GET", "/")
        assert not caught.value.sent
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert Wire(url).request("GET", "/").body == b"secret"


def test_end_of_a_request_over_tls_is_at_once(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = threading.Event()

    def hang(server: Server, sock: ssl.SSLSocket) -> None:
        server.heard(sock)
        waits.set()
        server.over.wait(20)

    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving_tls(certificate, hang) as url:
        wire = Wire(url)
        ended: list[float] = []

        def end() -> None:
            waits.wait(10)
            ended.append(time.monotonic())
            wire.end()

        threading.Thread(target=end).start()
        with pytest.raises(Ended):
            wire.request("GET", "/")
        assert time.monotonic() - ended[0] < 1


def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with serving(plain(b"here")) as server:
        assert Wire(server.url).request("GET", "/").body == b"here"


def test_address_in_full_must_be_the_servers_own() -> None:
    with serving(plain(b"here")) as server:
        wire = Wire(f"{server.url}/v1")
        assert wire.request("GET", f"{server.url}/out/a.png?b=1").body == b"here"
        assert server.requests[0].startswith(b"GET /out/a.png?b=1 ")
        for url in (
            "http://169.254.169.254/latest",
            server.url.replace("http:", "https:") + "/a",
            server.url.replace("127.0.0.1", "localhost") + "/a",
            server.url.replace("//", "//x@") + "/a",
            "http://[x",
        ):
            with pytest.raises(Nonsense):
                wire.request("GET", url)
    assert len(server.requests) == 1

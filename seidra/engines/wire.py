"""HTTP to an engine's server, over the standard library's `http.client`.

One connection a request, own limits for connecting and for silence, bodies of bounded size, no
redirects, no proxies of the environment. A request that waits for its answer is ended at once from
another thread by shutting its socket down, which closing a client of `httpx` or `urllib3` does not
do. Nothing is sent twice, and nothing is logged.
"""

from __future__ import annotations

import base64
import contextlib
import io
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import (
    HTTPConnection,
    HTTPException,
    HTTPResponse,
    HTTPSConnection,
    IncompleteRead,
    RemoteDisconnected,
)
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson

from seidra.errors import StartError

SMALL = 16 * 1024 * 1024
"""The most bytes of an answer that is JSON: ComfyUI with a thousand nodes tells 4 MB of them."""
LARGE = 128 * 1024 * 1024
"""The most bytes of an answer that holds pictures."""

_PIECE = 64 * 1024


class WireError(Exception):
    """A request got no answer that can be used. The message is the end of a sentence that begins
    with the engine's name ("refuses connections"); it holds no address and no secret."""


class Unreachable(WireError):
    """The server was not reached, or was lost. `sent` says that it may have got the request: a
    request that must not happen twice is asked after before it is sent again."""

    def __init__(self, words: str, *, sent: bool) -> None:
        super().__init__(words)
        self.sent = sent


class Nonsense(WireError):
    """The server answered, and the answer breaks the rules: too large, a redirect, not HTTP, not
    JSON."""


class Ended(WireError):
    """`Wire.end` was called, before the request or during it; the server may have got it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer of whatever status but a redirect. Names of `headers` are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether it is a success."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The value that the body holds. Raises Nonsense where it is no JSON (NaN is none)."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise Nonsense("answers with something that is not JSON") from error


class Wire:
    """A line to one server, for any number of requests by any threads, until somebody ends it.

    `url` may have a path, which goes before each request's. `key` becomes the Authorization: as it
    stands with `Basic ` or `Bearer ` before it, `user:password` as Basic, all else as Bearer.
    `connect_s` bounds connecting (looking the name up aside), `silence_s` each wait for bytes.
    Raises StartError for a URL that is none.
    """

    def __init__(
        self, url: str, key: str = "", *, connect_s: float = 5.0, silence_s: float = 10.0
    ) -> None:
        self.url = url
        self._key = key
        self._connect_s = connect_s
        self._silence_s = silence_s
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise StartError("An engine's URL cannot be read.") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise StartError("An engine's URL begins with http:// or https:// and names a host.")
        if parts.username is not None:
            raise StartError("An engine's URL holds no password: it belongs into the key file.")
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._host = parts.hostname
        self._port = port or (443 if self._tls else 80)
        self._origin = (parts.scheme, self._host, self._port)
        self._prefix = parts.path.rstrip("/")
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._ended = False

    def afresh(self, **limits: float) -> Wire:
        """A new line to the same server, for what is to be said after this one was ended. Takes
        `connect_s` and `silence_s`."""
        own = {"connect_s": self._connect_s, "silence_s": self._silence_s}
        return Wire(self.url, self._key, **{**own, **limits})

    def end(self) -> None:
        """End all requests in hand at once, and let none through any more. From any thread."""
        with self._lock:
            self._ended = True
            for sock in self._open:
                _shut_down(sock)

    @property
    def ended(self) -> bool:
        """Whether `end` was called."""
        return self._ended

    def authorization(self) -> dict[str, str]:
        """The header that says who we are; empty without a key."""
        key = self._key.strip()
        if not key:
            return {}
        if not key.startswith(("Basic ", "Bearer ")):
            if ":" in key:
                key = f"Basic {base64.b64encode(key.encode()).decode()}"
            else:
                key = f"Bearer {key}"
        return {"Authorization": key}

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        json: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        silence_s: float | None = None,
        limit: int = SMALL,
        take: Callable[[bytes], bytes] = lambda piece: piece,
    ) -> Answer:
        """Send one request and read its answer of at most `limit` bytes. `take` gets each piece as
        it comes, and leaves what of it the answer's body is to hold.

        `path` follows the URL's own; an address in full is taken where it is this server's, as in
        an answer that tells where its pictures are. `json` is sent as JSON, `body` as it is.
        Raises Unreachable, Nonsense, Ended.
        """
        target = self._target(path)
        if query:
            target += ("&" if "?" in target else "?") + urlencode(query)
        sending = {"Accept": "*/*", "Connection": "close", **self.authorization()}
        if json is not None:
            body = orjson.dumps(json)
            sending["Content-Type"] = "application/json"
        sending.update(headers or {})
        # It never connects itself: the socket is made below, where it can be ended.
        connection = (HTTPSConnection if self._tls else HTTPConnection)(self._host, self._port)
        connection.auto_open = 0
        silence = silence_s or self._silence_s
        sock: socket.socket | None = None
        response: HTTPResponse | None = None
        sent = False
        try:
            sock = self._connect()
            sock.settimeout(silence)
            connection.sock = sock
            sent = True
            connection.request(method, target, body, sending)
            response = connection.getresponse()
            return _read(response, limit, take)
        except (OSError, IncompleteRead, RemoteDisconnected, UnicodeError) as error:
            # UnicodeError: a host's name that no DNS could hold.
            if self._ended:
                raise Ended("was not asked to the end") from error
            raise Unreachable(_words(error, silence, sent), sent=sent) from error
        except HTTPException as error:
            if self._ended:
                raise Ended("was not asked to the end") from error
            raise Nonsense("answers with something that is not HTTP") from error
        finally:
            with self._lock:
                if sock is not None:
                    self._open.discard(sock)
            if response is not None:
                response.close()
            connection.close()

    def _target(self, path: str) -> str:
        """What stands in the request's first line."""
        if not path.startswith(("http:", "https:")):
            return f"{self._prefix}/{path.lstrip('/')}"
        try:
            parts = urlsplit(path)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError as error:
            raise Nonsense("tells an address that cannot be read") from error
        if (parts.scheme, parts.hostname, port) != self._origin or parts.username is not None:
            raise Nonsense("tells an address that is not its own")
        return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def _connect(self) -> socket.socket:
        """A connected socket that `end` knows. Tries each of the name's addresses, all within the
        time for connecting."""
        until = time.monotonic() + self._connect_s
        failure: OSError = OSError("no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(
            self._host, self._port, type=socket.SOCK_STREAM
        ):
            sock = socket.socket(family, kind, protocol)
            self._know(sock)
            try:
                sock.settimeout(max(until - time.monotonic(), 0.01))
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._tls:
                    plain, sock = sock, self._encrypt(sock)
                    self._know(sock)
                    with self._lock:
                        self._open.discard(plain)
                    sock.do_handshake()
            except OSError as error:
                failure = error
                with self._lock:
                    self._open.discard(sock)
                sock.close()
            else:
                return sock
        raise failure

    def _encrypt(self, sock: socket.socket) -> ssl.SSLSocket:
        # The handshake waits for bytes too, and so comes after `end` knows the socket.
        assert self._tls is not None
        return self._tls.wrap_socket(
            sock, server_hostname=self._host, do_handshake_on_connect=False
        )

    def _know(self, sock: socket.socket) -> None:
        """Let `end` shut this socket down; fails where it was called already."""
        with self._lock:
            if self._ended:
                sock.close()
                raise ConnectionAbortedError
            self._open.add(sock)


def _shut_down(sock: socket.socket) -> None:
    # The plain method: that of an SSLSocket takes the TLS state from under the thread that reads.
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _read(response: HTTPResponse, limit: int, take: Callable[[bytes], bytes]) -> Answer:
    if 300 <= response.status < 400:
        raise Nonsense("answers with a redirect, which is not followed")
    if (response.length or 0) > limit:
        raise Nonsense("answers with more than can be taken")
    kept = io.BytesIO()
    came = 0
    while piece := response.read(_PIECE):
        came += len(piece)
        if came > limit:
            raise Nonsense("answers with more than can be taken")
        kept.write(take(piece))
    if response.length:
        # `read` with a size keeps silent about an end that comes too early.
        raise IncompleteRead(b"", response.length)
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, kept.getvalue())


def _words(error: Exception, silence: float, sent: bool) -> str:
    if isinstance(error, ssl.SSLError) and not sent:
        return "cannot be talked to over TLS"
    if isinstance(error, socket.gaierror | UnicodeError):
        return "has a name that nobody knows"
    if isinstance(error, ConnectionRefusedError):
        return "refuses connections"
    if isinstance(error, TimeoutError):
        return f"said nothing for {silence:g} seconds" if sent else "does not answer"
    return "broke the connection off" if sent else "cannot be reached"

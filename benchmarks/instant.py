"""An engine that answers at once, in the words of OpenAI: what a job takes beside is SEIDRA's."""

from __future__ import annotations

import base64
import io
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

import orjson
from PIL import Image

MODEL = "instant"


class InstantEngine:
    """Serves on a free port of 127.0.0.1, after a `pause` in seconds; keeps when each job came and
    when its answer went. A context manager."""

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause
        self.came: list[float] = []
        self.went: list[float] = []
        picture = orjson.dumps(
            {"created": 0, "data": [{"b64_json": base64.b64encode(_png()).decode()}]}
        )
        engine = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._send(orjson.dumps({"data": [{"id": MODEL}]}))

            def do_POST(self) -> None:
                engine.came.append(time.perf_counter())
                self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(engine.pause)
                self._send(picture)
                engine.went.append(time.perf_counter())

            def _send(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing is logged."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def per_second(self) -> float:
        """Jobs a second, from the first one's arrival to the last one's."""
        return (len(self.came) - 1) / (self.came[-1] - self.came[0])

    def idle_ms(self) -> list[float]:
        """The milliseconds between an answer and the job after it."""
        pairs = zip(self.went, self.came[1:], strict=False)
        return [(came - went) * 1000 for went, came in pairs]


def _png() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (512, 512), "teal").save(out, "PNG")
    return out.getvalue()

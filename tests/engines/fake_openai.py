"""A server of OpenAI's image API as the real ones behave (engines.md, C.4), in two dialects.

`openai` knows the fields of the GPT image models and refuses every other, always answers with
base64, and asks for a key. `localai` answers with a `url` on itself unless base64 is asked for,
splits prompts at the first bar, and takes seeds of 32 bits.
"""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any

from fake_sdapi import Listener, painted, png
from PIL import Image

KEY = "sk-sesame"
_FIELDS = frozenset({
    "prompt", "background", "model", "moderation", "n", "output_compression", "output_format",
    "partial_images", "quality", "size", "stream", "user",
})  # fmt: skip
_QUALITIES = frozenset({"low", "medium", "high", "xhigh", "max", "auto"})


def _error(message: str, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    kind = "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


class FakeOpenai:
    """One server on a free port of this machine, with the fault points as plain attributes."""

    def __init__(self, dialect: str = "openai") -> None:
        self.dialect = dialect
        self.models = ["gpt-5", "gpt-image-1.5", "gpt-image-2.5-flare", "whisper-1"]
        if dialect == "localai":
            self.models = ["dreamshaper", "flux.1-dev"]
        self.lists_models = True
        # What was seen.
        self.bodies: list[dict[str, Any]] = []
        self.prompts: list[tuple[str, str]] = []
        """The positive and negative prompts that were understood."""
        self.fetched: list[str] = []
        self.answered = 0
        # Fault points.
        self.fault: dict[str, Any] = {}
        """For the next picture: status=<n>, code=<code>, retry_after, close, body=<bytes>, empty,
        half, black, size=<bytes>, url=<address>, redirect."""
        self.hold = threading.Event()
        """While clear, pictures are not finished."""
        self.hold.set()
        self.doorstep: threading.Event | None = None
        """While given and not set, what is to be made waits unread, and is dropped then."""
        self.at_door = threading.Event()
        self.hung_up = threading.Event()
        """Set when who asked leaves before the answer."""
        self._pictures: dict[str, bytes] = {}
        self._change = threading.Condition()
        self._server = Listener(("127.0.0.1", 0), _handler(self))
        self.origin = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{self.origin}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()

    def until_asked(self, times: int, seconds: float = 10.0) -> None:
        with self._change:
            assert self._change.wait_for(lambda: len(self.bodies) >= times, seconds)

    # ------------------------------------------------------------------------------ rendering

    def refusal(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        """Why this server does not make that picture."""
        if not isinstance(body.get("prompt"), str) or not body.get("model"):
            return 400, _error("Missing required parameter.", "missing_required_parameter")
        if body["model"] not in self.models:
            return 404, _error(f"The model {body['model']} does not exist", "model_not_found")
        if self.dialect == "localai":
            if not -(2**31) <= body.get("seed", 0) < 2**31:
                return 500, _error("json: cannot unmarshal number into Go value of type int")
            return None
        unknown = sorted(set(body) - _FIELDS)
        if unknown:
            return 400, _error(
                f"Unknown parameter: '{unknown[0]}'.", "unknown_parameter", unknown[0]
            )
        if "forbidden" in body["prompt"]:
            return 400, _error(f"Your request was rejected: {body['prompt']}", "moderation_blocked")
        if len(body["prompt"]) > 32_000 or body.get("quality", "auto") not in _QUALITIES:
            return 400, _error("Invalid value.", "invalid_value", "quality")
        if not self._lawful(body["model"], *map(int, body["size"].split("x"))):
            return 400, _error(f"Invalid value: '{body['size']}'.", "invalid_value", "size")
        return None

    def _lawful(self, model: str, width: int, height: int) -> bool:
        if model.startswith("gpt-image-1"):
            return (width, height) in ((1024, 1024), (1536, 1024), (1024, 1536))
        long, short = max(width, height), min(width, height)
        whole = width % 16 == height % 16 == 0
        return whole and short > 0 and long <= 3 * short and long <= 3840 and short <= 2160

    def generate(self, body: dict[str, Any], connection: socket.socket) -> tuple[int, Any]:
        with self._change:
            fault, self.fault = self.fault, {}
            self.bodies.append(body)
            self._change.notify_all()
        if "status" in fault:
            return fault["status"], _error(str(body.get("prompt")), fault.get("code"))
        refused = self.refusal(body)
        if refused:
            return refused
        positive, negative = body["prompt"], body.get("negative_prompt", "")
        if self.dialect == "localai" and "|" in positive:
            positive, negative = positive.split("|")[:2]
        self.prompts.append((positive, negative))
        connection.settimeout(0.05)
        while not self.hold.wait(0.02):
            with contextlib.suppress(TimeoutError):
                if not connection.recv(1):
                    self.hung_up.set()
                    return 0, None
        connection.settimeout(None)
        if fault.get("close"):
            return 0, None
        if "body" in fault:
            return 200, fault["body"]
        self.answered += 1
        width, height = map(int, body["size"].split("x"))
        words = (positive, negative, body.get("seed", self.answered), body.get("step", 15))
        image = painted(words, width, height)
        data = png(Image.new("RGB", (width, height)) if fault.get("black") else image)
        if fault.get("half"):
            data = data[: len(data) // 2]
        entry: dict[str, Any] = {"b64_json": base64.b64encode(data).decode()}
        if "size" in fault:
            entry = {"b64_json": "A" * fault["size"]}
        if "url" in fault:
            entry = {"url": fault["url"]}
        elif self.dialect == "localai" and body.get("response_format") != "b64_json":
            path = f"/generated-images/{self.answered}.png"
            self._pictures[path] = data
            entry = {"url": f"{self.origin}{path}"}
        made = [] if fault.get("empty") else [entry] * body.get("n", 1)
        told = {"created": 1, "data": made}
        if self.dialect == "openai":
            told |= {"quality": body.get("quality", "high"), "size": body["size"]}
        return 200, told

    def keep(self, path: str, data: bytes) -> str:
        """Offer these bytes under a path of this server, and tell the address."""
        self._pictures[path] = data
        return f"{self.origin}{path}"

    def get(self, path: str) -> Any:
        if path == "/v1/models" and self.lists_models:
            return {"object": "list", "data": [{"id": name} for name in self.models]}
        if path in self._pictures:
            self.fetched.append(path)
            return self._pictures[path]
        return None


def _handler(fake: FakeOpenai) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            if self.path == "/elsewhere":
                self._say(302, b"", Location=f"{fake.origin}/generated-images/1.png")
            elif self._allowed():
                value = fake.get(self.path)
                self._say(404 if value is None else 200, _error("?") if value is None else value)

        def do_POST(self) -> None:
            if fake.doorstep is not None:
                fake.at_door.set()
                fake.doorstep.wait(30)
                self.close_connection = True
                return
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length))
            if not self._allowed():
                return
            if self.path != "/v1/images/generations":
                self._say(404, _error("Unknown route"))
                return
            retry = fake.fault.get("retry_after")
            status, value = fake.generate(body, self.connection)
            if value is None:
                self.close_connection = True
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
                return
            self._say(status, value, **({"Retry-After": retry} if retry else {}))

        def _allowed(self) -> bool:
            if fake.dialect == "openai" and self.headers.get("Authorization") != f"Bearer {KEY}":
                self._say(401, _error("Incorrect API key provided", "invalid_api_key"))
                return False
            return True

        def _say(self, status: int, value: Any, **headers: str) -> None:
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                for name, text in headers.items():
                    self.send_header(name, text)
                self.end_headers()
                self.wfile.write(data)

    return Handler

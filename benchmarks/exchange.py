"""Imports and exports on an instance of their own: 10,000 styles planned and applied while somebody
else writes, 1,000 pictures into a ZIP, and what keeping revisions costs the editor."""

from __future__ import annotations

import csv
import io
import random
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from benchmarks import servers, texts
from benchmarks.servers import Server
from seidra.config import Settings
from seidra.database.sqlite.connect import open_connection
from seidra.files.keys import new_key
from seidra.files.local import LocalFiles
from seidra.values import timestamp

_STYLES, _PICTURES = 10_000, 1_000
_PICTURE_BYTES = 100_000
_CHANGES = 200
_PAUSE = 0.02
_DEADLINE = 180.0


def figures(*, quick: bool) -> dict[str, float]:
    """All of it; `quick` takes a tenth of the pictures and changes, but all of the styles."""
    pictures, changes = (n // 10 if quick else n for n in (_PICTURES, _CHANGES))
    with tempfile.TemporaryDirectory() as folder, servers.alone(Path(folder)) as server:
        token, other = (_register(server, name) for name in ("importer", "writer"))
        found = _revisions(server, other, changes)
        found |= _import(server, token, other)
        user_id = orjson.loads(server.get("/api/auth/me", other))["id"]
        _fill(Path(folder), user_id, pictures)
        return found | _export(server, other, pictures)


def _register(server: Server, name: str) -> str:
    account = {"username": name, "email": f"{name}@example.com", "password": "moss-and-amber-42"}
    answer = server.post("/api/auth/register", "", orjson.dumps(account), 201)
    return str(orjson.loads(answer)["access_token"])


# ---------------------------------------------------------------------------------------- an import


def _import(server: Server, token: str, other: str) -> dict[str, float]:
    """The seconds of plan, apply and undo, memory, and how long another user's create took at
    worst meanwhile."""
    body, content_type = _form("styles.csv", _styles())
    with _Memory(server) as memory, _OtherWriter(server, other) as writer:
        began = time.monotonic()
        answer = server.post("/api/imports", token, body, 201, content_type)
        planned = time.monotonic()
        path = f"/api/imports/{orjson.loads(answer)['id']}"
        server.post(f"{path}/apply", token, b"{}", 202)
        _wait_for(server, path, token, "applied")
        applied = time.monotonic()
        server.post(f"{path}/undo", token, b"{}", 202)
        _wait_for(server, path, token, "undone")
        undone = time.monotonic()
    return {
        "import_plan_s": round(planned - began, 2),
        "import_apply_s": round(applied - planned, 2),
        "import_undo_s": round(undone - applied, 2),
        "import_other_writer_s": round(writer.worst, 3),
        "import_memory_mb": round(memory.growth, 1),
    }


def _styles() -> bytes:
    rng, out = random.Random(15), io.StringIO()
    rows = csv.writer(out)
    rows.writerow(["name", "prompt", "negative_prompt"])
    for number in range(_STYLES):
        body = texts.persona(rng)
        rows.writerow([f"{body['name']} {number}", body["style_prompt"], body["negative_prompt"]])
    return out.getvalue().encode()


def _form(name: str, data: bytes) -> tuple[bytes, str]:
    """A form with one file, and its content type."""
    boundary = uuid.uuid4().hex
    head = (
        f"--{boundary}\r\n"
        f'Content-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: text/csv\r\n\r\n"
    )
    body = head.encode() + data + f"\r\n--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"


class _Beside:
    """A thread that does something again and again beside what is measured. A context manager;
    raises at its end what went wrong."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._error: Exception | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _begin(self) -> None:
        """What is done before the first time."""

    def _again(self) -> None:
        raise NotImplementedError

    def _run(self) -> None:
        try:
            self._begin()
            while not self._stopping.wait(_PAUSE):
                self._again()
        except Exception as error:
            self._error = error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()
        if self._error is not None:
            raise self._error


class _OtherWriter(_Beside):
    """Another user who makes a persona every 20 ms; `worst` is how many seconds the slowest
    took."""

    def __init__(self, server: Server, token: str) -> None:
        super().__init__(server)
        self.worst = 0.0
        self._token = token
        self._rng = random.Random(16)

    def _again(self) -> None:
        body = orjson.dumps(texts.persona(self._rng) | {"is_nsfw": False})
        began = time.monotonic()
        self._server.post("/api/personas", self._token, body, 201)
        self.worst = max(self.worst, time.monotonic() - began)


class _Memory(_Beside):
    """Watches the resident memory of the server's processes; `growth` is by how many MB the one
    that grew most had grown at its largest."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.growth = 0.0
        self._first: list[float] = []

    def _begin(self) -> None:
        self._first = self._server.workers_mb()

    def _again(self) -> None:
        now = self._server.workers_mb()
        grown = [after - before for before, after in zip(self._first, now, strict=True)]
        self.growth = max(self.growth, *grown)


def _wait_for(server: Server, path: str, token: str, status: str) -> dict[str, Any]:
    """The thing at a path once it has this status. Raises RuntimeError for one that failed, or
    takes too long."""
    deadline = time.monotonic() + _DEADLINE
    while time.monotonic() < deadline:
        found: dict[str, Any] = orjson.loads(server.get(path, token))
        if found["status"] == status:
            return found
        if found["status"] == "failed":
            break
        time.sleep(0.05)
    raise RuntimeError(f"{path} did not become {status}: {found['error_message']}")


# ---------------------------------------------------------------------------------------- an export


def _fill(folder: Path, user_id: int, count: int) -> None:
    """Give a user pictures of 100 KB each: what an export packs is not looked at, so they are
    random bytes."""
    url = f"sqlite:///{folder / 'seidra.db'}"
    settings = Settings.load({"SEIDRA_DATABASE_URL": url})
    files, rng, now = LocalFiles(settings), random.Random(17), timestamp()
    rows = []
    for number in range(count):
        media_id = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        key = new_key(media_id, "image/png", str(number))
        files.put(key, rng.randbytes(_PICTURE_BYTES), "image/png")
        rows.append((media_id, user_id, _PICTURE_BYTES, key, now, now))
    connection = open_connection(settings.database_path)
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(
        "INSERT INTO media_items (id, user_id, file_size, file_key, created_at, updated_at,"
        " file_type, mime_type, width, height, metadata, search_text) VALUES (?, ?, ?, ?, ?, ?,"
        " 'image', 'image/png', 1, 1, '{}', '')",
        rows,
    )
    connection.execute("COMMIT")
    connection.close()


def _export(server: Server, token: str, pictures: int) -> dict[str, float]:
    """The seconds until everything of a user stands in a ZIP, and memory. Raises RuntimeError for
    a ZIP that is too small to hold the pictures."""
    body = orjson.dumps({"everything": True, "to": "seidra"})
    with _Memory(server) as memory:
        began = time.monotonic()
        answer = orjson.loads(server.post("/api/exports", token, body, 202))
        made = _wait_for(server, f"/api/exports/{answer['id']}", token, "completed")
        seconds = time.monotonic() - began
    if made["file_size"] < pictures * _PICTURE_BYTES:
        raise RuntimeError(f"The export has {made['file_size']} bytes.")
    return {
        "export_pictures_per_second": round(pictures / seconds, 1),
        "export_memory_mb": round(memory.growth, 1),
    }


# ---------------------------------------------------------------------------------------- revisions


def _revisions(server: Server, token: str, count: int) -> dict[str, float]:
    """How many times as long a change of the prompt takes, which keeps a revision, as one of the
    tags, which keeps none: the medians of changes that took turns."""
    body = texts.persona(random.Random(18)) | {"is_nsfw": False}
    made = orjson.loads(server.post("/api/personas", token, orjson.dumps(body), 201))
    path = f"/api/personas/{made['id']}"
    changes: dict[str, Callable[[int], dict[str, Any]]] = {
        "prompt": lambda n: {"style_prompt": f"{body['style_prompt']}, {n}"},
        "tags": lambda n: {"tags": [*body["tags"], f"tag {n}"]},
    }
    taken: dict[str, list[float]] = {name: [] for name in changes}
    for number in range(count):
        for name, change in changes.items():
            sent = orjson.dumps(change(number))
            began = time.perf_counter()
            server.patch(path, token, sent)
            taken[name].append(time.perf_counter() - began)
    prompt, tags = (statistics.median(taken[name]) for name in changes)
    return {"revision_vs_plain_change": round(prompt / tags, 2)}

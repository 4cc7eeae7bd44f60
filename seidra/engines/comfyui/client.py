"""ComfyUI's protocol: what can be said to a server, and what it answers.

Nothing here decides: each method is one question or order. All raise what `Wire.request` raises,
and `Refused` for an answer that is a failure.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from seidra.engines.wire import LARGE, Answer, Nonsense, Unreachable, Wire

Status = Literal["pending", "running", "completed", "failed", "cancelled", "unknown"]
Graph = Mapping[str, Mapping[str, Any]]

_NEW_STATUS: dict[str, Status] = {
    "pending": "pending",
    "in_progress": "running",
    "completed": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
}

INPUT_FOLDER = "seidra"
"""The folder in the server's input folder where pictures of ours go."""

_SUBMIT_SILENCE_S = 30.0
"""A graph is validated before the answer, which reads files."""


class Refused(Exception):
    """The server answered with a status that is a failure; `document` is its JSON, where it is
    some."""

    def __init__(self, status: int, document: Any = None) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.document = document


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A picture in one of the server's folders (`output` or `temp`)."""

    filename: str
    subfolder: str = ""
    folder: str = "output"


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a job. `unknown` is a job that never came, was dequeued, or was forgotten in
    a restart. `pictures` of a completed one, those in the output folder first; `error` is the
    `execution_error` of a failed one (it holds prompts: not to be logged)."""

    status: Status
    pictures: Sequence[StoredFile] = ()
    error: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def open(self) -> bool:
        """Whether it waits or runs."""
        return self.status in ("pending", "running")


UNKNOWN = Fate("unknown")


class Client:
    """One server. `new` says that it has `/api/jobs`; None: to be found out."""

    def __init__(self, wire: Wire, *, new: bool | None = None) -> None:
        self.wire = wire
        self.new = new

    def afresh(self) -> Client:
        """The same over a new wire, for what is to be said after the old one was ended."""
        return Client(self.wire.afresh(), new=self.new)

    def version(self) -> str:
        """The server's version, such as 0.30.0; empty where it tells none."""
        stats = _mapping(self._get("/system_stats").json())
        return str(_mapping(stats.get("system", {})).get("comfyui_version") or "")

    def node(self, class_name: str) -> Mapping[str, Any]:
        """What `/object_info` tells of a node's class; empty where the server has it not."""
        document = _mapping(self._get(f"/object_info/{class_name}").json())
        return _mapping(document.get(class_name, {}))

    def submit(self, job_id: str, client_id: str, graph: Graph) -> Mapping[str, Any]:
        """Queue a graph under our id, whose messages go to the socket of `client_id`. Returns
        `{prompt_id, number, node_errors}`. The same id twice is queued twice."""
        answer = self.wire.request(
            "POST",
            "/prompt",
            json={
                "prompt": graph,
                "prompt_id": job_id,
                "client_id": client_id,
                "extra_data": {"preview_method": "latent2rgb"},
            },
            silence_s=_SUBMIT_SILENCE_S,
        )
        return _mapping(_fine(answer).json())

    def ask(self, job_id: str) -> Fate:
        """What became of a job."""
        if self.new is None:
            self.new = self._has_jobs_route()
        if self.new:
            answer = self.wire.request("GET", f"/api/jobs/{job_id}")
            if answer.status != 404:
                return _new_fate(_mapping(_fine(answer).json()))
            if "json" in answer.headers.get("content-type", ""):
                return UNKNOWN
            # The 404 of the handler of static files: an older ComfyUI stands there now.
            self.new = False
        return self._ask_old(job_id)

    def _has_jobs_route(self) -> bool:
        answer = self.wire.request("GET", "/api/jobs", query={"limit": "1"})
        if answer.status in (404, 405):
            return False
        return _fine(answer).ok

    def _ask_old(self, job_id: str) -> Fate:
        fate = self._history(job_id)
        if fate is None:
            queue = _mapping(self._get("/queue").json())
            for item in _list(queue.get("queue_running", [])):
                if _queue_id(item) == job_id:
                    return Fate("running")
            for item in _list(queue.get("queue_pending", [])):
                if _queue_id(item) == job_id:
                    return Fate("pending")
            # It may have ended between the two questions.
            fate = self._history(job_id)
        return fate or UNKNOWN

    def _history(self, job_id: str) -> Fate | None:
        history = _mapping(self._get(f"/history/{job_id}").json())
        return _old_fate(_mapping(history[job_id])) if job_id in history else None

    def cancel(self, job_id: str, fate: Fate) -> None:
        """Stop a job that was `fate` a moment ago, and no other. The order can be lost: ask."""
        if self.new:
            self._post(f"/api/jobs/{job_id}/cancel", {})
        elif fate.status == "pending":
            self._post("/queue", {"delete": [job_id]})
        else:
            self._post("/interrupt", {"prompt_id": job_id})

    def fetch(self, file: StoredFile) -> bytes | None:
        """A picture's bytes as they lie there, half written perhaps; None where it is none."""
        answer = self.wire.request(
            "GET",
            "/view",
            query={"filename": file.filename, "subfolder": file.subfolder, "type": file.folder},
            silence_s=_SUBMIT_SILENCE_S,
            limit=LARGE,
        )
        return None if answer.status == 404 else _fine(answer).body

    def upload(self, data: bytes) -> str:
        """Put a picture into the server's input folder, under a name that follows from its bytes;
        returns what a LoadImage calls it."""
        name = f"{hashlib.sha256(data).hexdigest()[:32]}.{_extension(data)}"
        boundary = f"seidra-{uuid.uuid4().hex}"
        fields = {"type": "input", "subfolder": INPUT_FOLDER, "overwrite": "true"}
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
            for key, value in fields.items()
        ]
        disposition = f'form-data; name="image"; filename="{name}"'
        head = f"--{boundary}\r\nContent-Disposition: {disposition}\r\n"
        head += "Content-Type: application/octet-stream\r\n\r\n"
        answer = self.wire.request(
            "POST",
            "/upload/image",
            body=b"".join(
                ["".join([*parts, head]).encode(), data, f"\r\n--{boundary}--\r\n".encode()]
            ),
            headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
            silence_s=_SUBMIT_SILENCE_S,
        )
        told = _mapping(_fine(answer).json())
        folder = str(told.get("subfolder") or "")
        return f"{folder}/{told.get('name')}" if folder else str(told.get("name"))

    def _get(self, path: str) -> Answer:
        return _fine(self.wire.request("GET", path))

    def _post(self, path: str, body: Mapping[str, Any]) -> None:
        _fine(self.wire.request("POST", path, json=body))


def _extension(data: bytes) -> str:
    if data.startswith(b"\xff\xd8"):
        return "jpg"
    return "webp" if data[8:12] == b"WEBP" else "png"


def _fine(answer: Answer) -> Answer:
    if answer.ok:
        return answer
    if answer.status in (502, 503, 504):
        # A proxy's word for a server that is away.
        raise Unreachable("is away, says what stands before it", sent=True)
    try:
        document = answer.json()
    except Nonsense:
        document = None
    raise Refused(answer.status, document)


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Nonsense("answers in a way that ComfyUI does not")
    return value


def _list(value: Any) -> Sequence[Any]:
    if not isinstance(value, list):
        raise Nonsense("answers in a way that ComfyUI does not")
    return value


def _queue_id(item: Any) -> Any:
    return item[1] if isinstance(item, list) and len(item) > 1 else None


def _new_fate(job: Mapping[str, Any]) -> Fate:
    status = _NEW_STATUS.get(str(job.get("status")))
    if status is None:
        raise Nonsense("tells a status that nobody knows")
    error = job.get("execution_error")
    return Fate(status, _pictures(job.get("outputs")), error if isinstance(error, dict) else {})


def _old_fate(entry: Mapping[str, Any]) -> Fate:
    status = entry.get("status")
    if not isinstance(status, dict) or status.get("status_str") != "error":
        # An entry without a status is that of a job whose outputs were all cached.
        return Fate("completed", _pictures(entry.get("outputs")))
    messages = [
        message
        for message in _list(status.get("messages", []))
        if isinstance(message, list) and len(message) > 1
    ]
    for name, data in ((message[0], message[1]) for message in messages):
        if name == "execution_interrupted":
            return Fate("cancelled")
        if name == "execution_error" and isinstance(data, dict):
            return Fate("failed", error=data)
    return Fate("failed")


def _pictures(outputs: Any) -> Sequence[StoredFile]:
    """Every picture that any node put out, the kept ones before those of previews."""
    files = []
    for output in outputs.values() if isinstance(outputs, dict) else ():
        images = output.get("images") if isinstance(output, dict) else None
        for image in images if isinstance(images, list) else ():
            if isinstance(image, dict) and isinstance(image.get("filename"), str):
                files.append(
                    StoredFile(
                        image["filename"],
                        str(image.get("subfolder") or ""),
                        str(image.get("type") or "output"),
                    )
                )
    return sorted(files, key=lambda file: file.folder != "output")

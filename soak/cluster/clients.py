"""Accounts that make personas and queue jobs through nginx, and follow what becomes of these.

Each account writes down what it was answered. A request whose answer is lost, or that is refused
for a while, is sent again until it is answered: under its `Idempotency-Key` where it makes
something. So of every job that was made, its account knows.
"""

from __future__ import annotations

import http.client
import itertools
import json
import random
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from soak.cluster.services import FRONT
from soak.instance import PASSWORD, TINY

WAITING = 25
"""So many jobs of an account whose ends it has not seen yet, and it waits with the next."""

_PATIENCE = 30.0
"""Seconds for one answer: longer than nginx itself waits for a node."""

_GIVE_UP = 180.0
"""Seconds after which a request that is sent again and again has failed."""

_SILENCE = 12.0
"""A stream says something every five seconds. One that does not has lost its node."""

_FINAL = ("completed", "failed", "cancelled")


@dataclass
class Figures:
    """What all clients together have seen. `longest` are seconds by how a request ended."""

    answered: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    longest: dict[str, float] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    streams: Counter[str] = field(default_factory=Counter)
    moments: list[tuple[float, float, str]] = field(default_factory=list)
    """When each request ended that was not just answered: when it began, how long it took, how."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, what: str, began: float, how: str) -> None:
        """One request has ended."""
        took = time.monotonic() - began
        with self.lock:
            if how == "answered":
                self.answered[what] += 1
            else:
                self.refused[how] += 1
            self.longest[how] = max(self.longest.get(how, 0.0), took)
            if how != "answered" or took > 1.0:
                self.moments.append((began, took, how))

    def complain(self, sentence: str) -> None:
        """Something that must not be."""
        with self.lock:
            self.wrong.append(sentence)


class Budget:
    """How many jobs all accounts together still queue."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._taken = 0
        self._lock = threading.Lock()
        self._closed = False

    def take(self) -> bool:
        """Whether there is one more."""
        with self._lock:
            if self._closed or self._taken >= self.jobs:
                return False
            self._taken += 1
            return True

    @property
    def taken(self) -> int:
        """How many are queued."""
        return self._taken

    def close(self) -> None:
        """No more: the time is up."""
        self._closed = True


class Account:
    """One account: a thread that asks, and one that follows its stream."""

    def __init__(self, name: str, seed: int, figures: Figures, budget: Budget) -> None:
        self.name = name
        self.figures = figures
        self.jobs: dict[str, int] = {}
        """The jobs that it was told of, and how many pictures it asked for."""
        self.cancelled: set[str] = set()
        """Those of which it was told that they are cancelled."""
        self.perhaps_cancelled: set[str] = set()
        self.ended: dict[str, tuple[str, tuple[str, ...]]] = {}
        """What the stream told of the ends of jobs: status and pictures."""
        self.personas: dict[int, set[str]] = {}
        """Its personas, and what they may be called by now."""
        self.user_id = 0
        self.token = ""
        self._budget = budget
        self._random = random.Random(seed)
        self._numbers = itertools.count()
        self._connection = http.client.HTTPConnection(*FRONT, timeout=_PATIENCE)
        self._versions: dict[str, int] = {}
        self._position = ""
        self._node = ""
        self._followed = threading.Event()
        self._over = threading.Event()
        self._worker = threading.Thread(target=self._work, daemon=True)
        self._follower = threading.Thread(target=self._follow, daemon=True)

    def register(self) -> None:
        """Make the account."""
        body = {"username": self.name, "email": f"{self.name}@example.com", "password": PASSWORD}
        status, answer, _ = self._send("POST", "/api/auth/register", body)
        if status != 201:
            raise RuntimeError(f"registering {self.name}: {status} {answer}")
        self.token, self.user_id = answer["access_token"], answer["user"]["id"]

    def start(self) -> None:
        """Follow the stream, then begin to ask."""
        self._follower.start()
        if not self._followed.wait(60):
            raise RuntimeError(f"the stream of {self.name} does not begin")
        self._worker.start()

    def join(self, seconds: float) -> bool:
        """Whether all was asked within so many seconds."""
        self._worker.join(seconds)
        return not self._worker.is_alive()

    def saw_all(self) -> bool:
        """Whether the stream has told of the ends of all jobs."""
        return self.jobs.keys() <= self.ended.keys()

    def leave(self) -> None:
        """Follow no more."""
        self._over.set()
        self._follower.join(_SILENCE + 5)

    # ------------------------------------------------------------------------------------- requests

    def ask(self, method: str, path: str, body: Any = None, *, make: bool = False) -> Any:
        """Status, JSON and headers of the answer, however often it takes to get one. `make`: under
        a key."""
        key = str(uuid.uuid4()) if make else ""
        deadline = time.monotonic() + _GIVE_UP
        while True:
            began = time.monotonic()
            status, answer, headers = self._try(method, path, body, key)
            if status == 409 and make and answer.get("code") == "in_progress":
                self.figures.note(method, began, "409 in_progress")
            elif status == 500 or status == 429:
                self.figures.complain(f"{method} {path}: {status} {answer}")
                return status, answer, headers
            elif 0 < status < 500:
                self.figures.note(method, began, "answered")
                return status, answer, headers
            else:
                self.figures.note(method, began, str(status or "lost"))
            if time.monotonic() > deadline:
                self.figures.complain(f"{method} {path} is not answered: {status} {answer}")
                return status, answer, headers
            time.sleep(min(float(headers.get("Retry-After", 0.5)), 2.0))

    def _try(self, method: str, path: str, body: Any, key: str) -> tuple[int, Any, Any]:
        try:
            return self._send(method, path, body, key)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return 0, repr(error), {}

    def _send(
        self, method: str, path: str, body: Any = None, key: str = ""
    ) -> tuple[int, Any, Any]:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        if key:
            headers["Idempotency-Key"] = key
        data = None if body is None else json.dumps(body)
        self._connection.request(method, path, data, headers)
        answer = self._connection.getresponse()
        text = answer.read()
        kind = answer.headers.get("Content-Type", "")
        return answer.status, json.loads(text) if text and "json" in kind else text, answer.headers

    # ----------------------------------------------------------------------------------------- load

    def _work(self) -> None:
        """Mixed requests until there are no more jobs to queue."""
        try:
            for _ in range(3):
                self._make_persona()
            steps = (self._read, self._see, self._edit, self._make_persona, self._cancel)
            while self._queue():
                for step in self._random.choices((None, *steps), (50, 20, 15, 10, 3, 2), k=1):
                    if step is not None:
                        step()
        except Exception as error:
            self.figures.complain(f"the client of {self.name} fails: {error!r}")

    def _made(self, path: str, body: Any, status: int) -> Any:
        """The answer to a request that makes something, or None where it is a wrong one."""
        got, answer, _ = self.ask("POST", path, body, make=True)
        # One that is sent again answers as the first one did.
        if got != status:
            self.figures.complain(f"POST {path}: {got} {answer}")
            return None
        return answer

    def _make_persona(self) -> None:
        stamp = f"{self.name} {next(self._numbers)}"
        body = {
            "name": stamp,
            "style_prompt": f"Style {stamp}",
            "tags": ["soak", self.name],
            "generation_params": TINY,
        }
        if (answer := self._made("/api/personas", body, 201)) is not None:
            if answer["id"] in self.personas:
                self.figures.complain(f"persona {answer['id']} was made twice")
            self.personas[answer["id"]] = {stamp}

    def _queue(self) -> bool:
        """Queue one job; False where there are enough."""
        waited = time.monotonic()
        while len(self.jobs.keys() - self.ended.keys()) >= WAITING:
            if time.monotonic() - waited > 600:
                self.figures.complain(f"the jobs of {self.name} do not end, or are not told of")
                return False
            time.sleep(1)
            self._read()
        if not self._budget.take():
            return False
        count = self._random.choice((1, 1, 1, 1, 1, 1, 1, 2))
        persona = self._random.choice(list(self.personas))
        if self._random.random() < 0.6:
            answer = self._made(f"/api/personas/{persona}/preview", {"count": count}, 202)
        else:
            asked = {"prompt": f"a harbour {next(self._numbers)}", "parameters": TINY}
            answer = self._made("/api/jobs", asked | {"persona_id": persona, "count": count}, 202)
        if answer is not None:
            if answer["job_id"] in self.jobs:
                self.figures.complain(f"job {answer['job_id']} was made twice")
            self.jobs[answer["job_id"]] = count
        return True

    def _read(self) -> None:
        path = self._random.choice(
            ("/api/personas?limit=20", "/api/jobs?limit=20", "/api/media?limit=20", "/api/auth/me")
        )
        status, answer, _ = self.ask("GET", path)
        if status != 200:
            self.figures.complain(f"GET {path}: {status} {answer}")

    def _see(self) -> None:
        """Load one of the newest pictures by its link."""
        status, page, _ = self.ask("GET", "/api/media?limit=5")
        if status != 200 or not page["items"]:
            return
        item = self._random.choice(page["items"])
        status, data, headers = self.ask("GET", item["url"])
        if status != 200 or headers["Content-Type"] != item["mime_type"]:
            self.figures.complain(f"picture {item['id']}: {status} {str(data)[:200]}")
        elif len(data) != item["file_size"]:
            self.figures.complain(f"picture {item['id']} has {len(data)} bytes")

    def _edit(self) -> None:
        persona = self._random.choice(list(self.personas))
        stamp = f"{self.name} {next(self._numbers)}"
        self.personas[persona].add(stamp)
        path = f"/api/personas/{persona}"
        status, answer, _ = self.ask("PATCH", path, {"name": stamp, "style_prompt": stamp})
        if status == 200:
            self.personas[persona] = {stamp}
        else:
            self.figures.complain(f"PATCH {path}: {status} {answer}")

    def _cancel(self) -> None:
        waiting = [id for id in self.jobs if id not in self.ended]
        if not waiting:
            return
        id = self._random.choice(waiting)
        self.perhaps_cancelled.add(id)
        status, answer, _ = self.ask("POST", f"/api/jobs/{id}/cancel")
        if status == 200:
            self.cancelled.add(id)
        elif status != 409:
            # 409: it has ended; also where the first of two tries has cancelled it.
            self.figures.complain(f"cancelling {id}: {status} {answer}")

    # --------------------------------------------------------------------------------------- stream

    def _follow(self) -> None:
        """Follow the stream, and go on where it ended, wherever that is."""
        while not self._over.is_set():
            connection = http.client.HTTPConnection(*FRONT, timeout=_SILENCE)
            try:
                self._follow_one(connection)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.figures.streams[f"broken: {type(error).__name__}"] += 1
            except Exception as error:
                self.figures.complain(f"the stream of {self.name} fails: {error!r}")
            finally:
                connection.close()
            # As every stream says (`retry`), and not all at the same moment.
            self._over.wait(self._random.uniform(0.5, 1.5))

    def _follow_one(self, connection: http.client.HTTPConnection) -> None:
        headers = {"Authorization": f"Bearer {self.token}"}
        if self._position:
            headers["Last-Event-ID"] = self._position
        connection.request("GET", "/api/jobs/events", headers=headers)
        answer = connection.getresponse()
        if answer.status != 200:
            self.figures.streams[f"refused: {answer.status}"] += 1
            if answer.status not in (503, 504):
                self.figures.complain(f"the stream of {self.name}: {answer.status}")
            return
        node = answer.headers["X-Node"].split(", ")[-1]
        if self._node:
            self.figures.streams["resumed" if node == self._node else "resumed elsewhere"] += 1
        self._node = node
        told: dict[str, str] = {}
        while not self._over.is_set() and (line := answer.readline().decode()):
            name, _, value = line.rstrip("\n").partition(": ")
            if name:
                told[name] = value
                continue
            # Only what is whole counts, or a broken stream would go on behind what it was telling.
            if "event" in told:
                self._hear(told["event"], json.loads(told["data"]))
            if "id" in told:
                self._position = told["id"]
                self._followed.set()
            told = {}

    def _hear(self, event: str, data: dict[str, Any]) -> None:
        self.figures.streams[event] += 1
        if event == "job":
            self._learn(data)
        elif event == "gone":
            self.figures.complain(f"the stream says that job {data['job_id']} is gone")
        elif event == "reset":
            self._read_anew()

    def _learn(self, job: dict[str, Any]) -> None:
        id = job["job_id"]
        if job["version"] < self._versions.get(id, 0):
            self.figures.complain(f"the stream tells of job {id} an older state than before")
        self._versions[id] = job["version"]
        if job["status"] in _FINAL:
            pictures = tuple(picture["media_id"] for picture in job["results"])
            self.ended[id] = job["status"], pictures

    def _read_anew(self) -> None:
        """What a client does that is told so: read the jobs whose ends it does not know."""
        reader = Account(self.name, 0, self.figures, self._budget)
        reader.token = self.token
        for id in [id for id in self.jobs if id not in self.ended]:
            status, job, _ = reader.ask("GET", f"/api/jobs/{id}")
            if status == 200:
                self._learn(job)
        reader._connection.close()

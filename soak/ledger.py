"""A client that writes down what the server answered, and what the database may therefore hold.

Each client writes as a user of its own, one request at a time. So of everything that it wrote there
is one right value, or, where an answer was lost, two; and each write sets several fields from one
stamp, so that half a write shows.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

from seidra.database.sqlite.connect import SqliteDatabase
from seidra.values import from_json
from soak.check import rows
from soak.instance import PASSWORD, TINY, Client, LostAnswer

GONE = ""
"""The stamp of a persona that is deleted."""


def body(stamp: str) -> dict[str, Any]:
    """A persona that says one thing in each of its fields."""
    return {
        "name": f"Name {stamp}",
        "description": f"Description {stamp}",
        "style_prompt": f"Style {stamp}",
        "tags": [f"tag-{stamp}", "Soak"],
        "generation_params": TINY,
    }


class Ledger:
    """One user's client. `work` sends until told to stop; `breaches` compares the database with
    what was answered."""

    def __init__(self, port: int, name: str, seed: int) -> None:
        self.client, self.name = Client(port), name
        self.user_id = self.client.register(name)
        self.answered: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.personas: dict[int, set[str]] = {}
        self.perhaps_made: set[str] = set()
        self.settings: set[str] = set()
        self.jobs: set[str] = set()
        self.cancelled: set[str] = set()
        self.deleted: set[str] = set()
        self.perhaps_deleted: set[str] = set()
        self._random = random.Random(seed)
        self._turn = 0

    def work(self, stop: threading.Event) -> None:
        """Random requests, most of them writes."""
        steps = (
            self._create,
            self._edit,
            self._delete,
            self._settings,
            self._preview,
            self._login,
            self._cancel,
            self._delete_picture,
        )
        while not stop.is_set():
            self._turn += 1
            (step,) = self._random.choices(steps, (8, 8, 3, 3, 4, 2, 1, 1))
            kind = step.__name__.lstrip("_")
            try:
                if step(f"{self.user_id}-{self._turn}"):
                    self.answered[kind] += 1
            except LostAnswer:
                self.lost[kind] += 1
                stop.wait(0.05)

    def _ask(self, method: str, path: str, body: Any = None, also: int = 0) -> Any:
        """The answer's JSON, or None for a 204 or the other status that is right here. Raises
        LostAnswer."""
        status, answer = self.client.ask(method, path, body)
        if status not in (200, 201, 202, 204, also):
            self.wrong.append(f"{method} {path}: {status} {answer}")
        return answer if status < 300 else None

    def _some_persona(self) -> int | None:
        there = [id for id, stamps in self.personas.items() if GONE not in stamps]
        return self._random.choice(there) if there else None

    def _create(self, stamp: str) -> bool:
        self.perhaps_made.add(stamp)
        if answer := self._ask("POST", "/api/personas", body(stamp)):
            self.personas[answer["id"]] = {stamp}
        self.perhaps_made.discard(stamp)
        return bool(answer)

    def _edit(self, stamp: str) -> bool:
        if (id := self._some_persona()) is None:
            return False
        self.personas[id].add(stamp)
        if answer := self._ask("PATCH", f"/api/personas/{id}", body(stamp)):
            self.personas[id] = {stamp}
        return bool(answer)

    def _delete(self, stamp: str) -> bool:
        if len(self.personas) < 5 or (id := self._some_persona()) is None:
            return False
        self.personas[id].add(GONE)
        self._ask("DELETE", f"/api/personas/{id}")
        self.personas[id] = {GONE}
        return True

    def _settings(self, stamp: str) -> bool:
        self.settings.add(stamp)
        self._ask("PUT", "/api/settings", {"extra": {"first": stamp, "second": stamp}})
        self.settings = {stamp}
        return True

    def _preview(self, stamp: str) -> bool:
        if (id := self._some_persona()) is None:
            return False
        if answer := self._ask("POST", f"/api/personas/{id}/preview"):
            self.jobs.add(answer["job_id"])
        return bool(answer)

    def _login(self, stamp: str) -> bool:
        if answer := self._ask(
            "POST", "/api/auth/login", {"username": self.name, "password": PASSWORD}
        ):
            self.client.token = answer["access_token"]
        return bool(answer)

    def _cancel(self, stamp: str) -> bool:
        if not self.jobs:
            return False
        id = self._random.choice(sorted(self.jobs))
        # 409: it is final already.
        if self._ask("POST", f"/api/jobs/{id}/cancel", also=409):
            self.cancelled.add(id)
        return True

    def _delete_picture(self, stamp: str) -> bool:
        found = self._ask("GET", "/api/media?limit=1")
        if not found or not found["items"]:
            return False
        item = found["items"][0]
        self.perhaps_deleted.add(item["job_id"])
        self._ask("DELETE", f"/api/media/{item['id']}")
        self.deleted.add(item["job_id"])
        return True

    # ----------------------------------------------------------------------------- looking after it

    def breaches(self, database: SqliteDatabase) -> Iterator[str]:
        """What was answered and is not there, and what is there by halves; then what is there is
        what is known."""
        yield from self.wrong
        yield from self._persona_breaches(database)
        yield from self._other_breaches(database)

    def _persona_breaches(self, database: SqliteDatabase) -> Iterator[str]:
        statement = (
            "SELECT id, name, description, style_prompt, tags FROM personas"
            f" WHERE user_id = {self.user_id}"
        )
        there = {row[0]: row[1:] for row in rows(database, statement)}
        for id, (name, description, style, tags) in there.items():
            stamp = name.removeprefix("Name ")
            whole = (description, style, from_json(tags)) == (
                f"Description {stamp}",
                f"Style {stamp}",
                [f"tag-{stamp}", "Soak"],
            )
            if not whole:
                yield f"persona {id} is half written: {name}, {description}, {style}, {tags}"
            right = self.personas.get(id, self.perhaps_made)
            if stamp not in right:
                yield f"persona {id} is {stamp!r}; right is one of {right}"
        for id, stamps in self.personas.items():
            if id not in there and GONE not in stamps:
                yield f"persona {id} was answered and is not there"
        known = set(self.personas) | set(there)
        self.personas = {
            id: {there[id][0].removeprefix("Name ")} if id in there else {GONE} for id in known
        }
        self.perhaps_made = set()

    def _other_breaches(self, database: SqliteDatabase) -> Iterator[str]:
        mine = f"WHERE user_id = {self.user_id}"
        stored = from_json(
            rows(database, f"SELECT settings FROM users WHERE id = {self.user_id}")[0][0]
        )["extra"]
        if stored.get("first") != stored.get("second") or (
            self.settings and stored.get("first") not in self.settings
        ):
            yield f"the settings of {self.name} are {stored}; right is one of {self.settings}"
        self.settings = {stored["first"]} if stored else set()
        ids = {row[0] for row in rows(database, f"SELECT id FROM generation_jobs {mine}")}
        if not self.jobs <= ids or len(ids) > len(self.jobs) + self.lost["preview"]:
            yield (
                f"{len(self.jobs)} previews answered, {self.lost['preview']} answers lost,"
                f" {len(ids)} jobs there"
            )
        ended = {
            row[0]
            for row in rows(
                database, f"SELECT id FROM generation_jobs {mine} AND status = 'cancelled'"
            )
        }
        if missing := self.cancelled - ended:
            yield f"cancelled jobs that are not: {sorted(missing)[:3]}"
        sessions = rows(database, f"SELECT COUNT(*) FROM sessions {mine}")[0][0] - 1
        logins, lost = self.answered["login"], self.lost["login"]
        if not logins <= sessions <= logins + lost:
            yield f"{logins} logins answered, {lost} answers lost, {sessions} sessions"

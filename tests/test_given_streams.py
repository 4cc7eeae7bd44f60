"""What streams tell while another account makes, shares, takes back and deletes things, and while
both generate with what is shared: nothing that was not given."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from conftest import Person, wait_for
from flask import Flask
from test_given import GIVEN, KEPT, SMALL, album_of, item_of, made

from seidra.jobs import streams
from seidra.jobs.worker import Worker
from seidra.web.services import services_of

ALL = "/api/jobs/events"


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "POLL_SECONDS", 0.01)


class Listener:
    """Reads a stream to its end in a thread of its own."""

    def __init__(self, person: Person, path: str, **query: Any) -> None:
        self.text = ""
        self._answer = person.get(path, query_string=query)
        assert self._answer.status_code == 200, self._answer.text
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        for chunk in self._answer.response:
            assert isinstance(chunk, bytes)
            self.text += chunk.decode()
        self._answer.close()

    def end(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """What was told, but for a block that is not whole yet."""
        blocks = self.text.split("\n\n")[:-1]
        fields = [dict(line.partition(": ")[::2] for line in each.split("\n")) for each in blocks]
        return [(each["event"], json.loads(each["data"])) for each in fields if "event" in each]

    def told(self, job: str) -> str | None:
        """What this stream has said last of a job."""
        said = [(name, data) for name, data in self.events() if data.get("job_id") == job]
        return said[-1][1].get("status", said[-1][0]) if said else None


@contextmanager
def listening(app: Flask, *asked: tuple[Person, dict[str, Any]]) -> Iterator[list[Listener]]:
    """Everybody's stream of all jobs, open until the block is left."""
    with ExitStack() as stack:
        found = [Listener(person, ALL, **query) for person, query in asked]
        for each in found:
            stack.callback(each.end)
        stack.callback(setattr, services_of(app).streams, "stopping", lambda: True)
        yield found


def test_streams_tell_nothing_that_was_not_given(
    app: Flask, admin: Person, alice: Person, bob: Person, worker: Worker
) -> None:
    for person in (alice, bob, admin):
        person.allow_nsfw()
    carol = Person(app, "carol")
    people = (bob, carol, admin, alice)
    asked: list[tuple[Person, dict[str, Any]]] = [(person, {}) for person in people]
    asked += [(person, {"include_nsfw": "true"}) for person in (bob, admin)]
    jobs: dict[str, list[str]] = {person.name: [] for person in people}

    def work() -> None:
        while worker.work_one():
            pass

    with listening(app, *asked) as listeners:
        streams_of = dict(zip((person.name for person in people), listeners, strict=False))

        def generate(person: Person, persona: int, until: str = "completed") -> str:
            """A preview, of which everybody who may hear it has heard before it goes on."""
            job = person.preview(persona)
            jobs[person.name].append(job)
            assert wait_for(lambda: streams_of[person.name].told(job) is not None)
            work()
            assert wait_for(lambda: streams_of[person.name].told(job) == until)
            return job

        shared = alice.persona(
            name=f"{GIVEN} sol", style_prompt=GIVEN, generation_params=SMALL, visibility="shared"
        )["id"]
        kept = alice.persona(
            name=f"{KEPT} luna", style_prompt=KEPT, tags=[KEPT], generation_params=SMALL
        )["id"]
        shy = alice.persona(
            name=f"{KEPT} shy", style_prompt=KEPT, generation_params=SMALL, is_nsfw=True
        )["id"]
        # She makes pictures with each, and the others with what is shared.
        own = [generate(alice, each) for each in (kept, shared)]
        jobs["alice"].append(alice.preview(shy))
        work()
        theirs = {
            person.name: [generate(person, shared) for _ in range(2)] for person in (bob, admin)
        }
        # She shares and takes back a persona, a picture and an album; she changes and deletes.
        made(alice.patch(f"/api/personas/{kept}", json={"visibility": "shared"}))
        generate(alice, kept)
        made(alice.patch(f"/api/personas/{kept}", json={"visibility": "private"}))
        generate(alice, kept)
        pictures = [each["id"] for each in alice.get("/api/media").get_json()["items"]]
        for visibility in ("shared", "private"):
            made(alice.patch(f"/api/media/{pictures[0]}", json={"visibility": visibility}))
        sent = item_of(alice, KEPT)
        album = album_of(alice, KEPT, sent, pictures[0], visibility="shared")
        made(alice.patch(f"/api/collections/{album}", json={"visibility": "private"}))
        made(alice.patch(f"/api/jobs/{own[0]}", json={"is_nsfw": True}))
        assert alice.delete(f"/api/media/{pictures[1]}").status_code == 204
        assert alice.delete(f"/api/jobs/{own[0]}").status_code == 204
        assert alice.delete(f"/api/personas/{kept}").status_code == 204
        # What was queued of the shared one before it was taken back is made.
        late = bob.preview(shared)
        jobs["bob"].append(late)
        made(alice.patch(f"/api/personas/{shared}", json={"visibility": "private"}))
        work()
        assert bob.post(f"/api/personas/{shared}/preview").status_code == 404
        assert wait_for(lambda: streams_of["bob"].told(late) == "completed")
        assert bob.delete(f"/api/jobs/{late}").status_code == 204
        assert wait_for(lambda: streams_of["bob"].told(late) == "gone")
        assert wait_for(lambda: streams_of["alice"].told(own[0]) == "gone")
        # A stream of one job is its owner's.
        for person in (bob, carol, admin):
            for job in jobs["alice"]:
                assert person.get(f"{ALL.removesuffix('/events')}/{job}/events").status_code == 404
        for job in theirs["bob"]:
            assert alice.get(f"{ALL.removesuffix('/events')}/{job}/events").status_code == 404

    ids = {str(each) for each in (*pictures, sent, album, *jobs["alice"])}
    for (person, _), listener in zip(asked, listeners, strict=True):
        told = {str(data["job_id"]) for _, data in listener.events() if "job_id" in data}
        assert told <= set(jobs[person.name]), person.name
        others = {job for name, each in jobs.items() if name != person.name for job in each}
        assert not [id for id in others if id in listener.text]
        if person is not alice:
            words = [word for word in (KEPT, *ids) if word in listener.text]
            assert not words, (person.name, words)
    # And what is told is told: of one's own jobs, whose persona it was.
    assert set(theirs["bob"]) <= {data["job_id"] for _, data in listeners[0].events()}
    assert GIVEN in listeners[0].text
    assert KEPT in listeners[3].text
    assert [name for name in ("bob", "admin") if f'"{name}"' in listeners[3].text] == []
    assert listeners[1].events() == []

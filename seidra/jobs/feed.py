"""What one stream tells its client: the changes of one job, or of all jobs of a user, read from the
database alone.

A position is the id of an event up to which the client has been told everything. A client that
comes back with it, to whichever process, is told what it missed; when that is not kept any more, or
too much, it is told to read anew.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

import orjson

from seidra.database.base import Connection, Database, Row
from seidra.database.queries import queries
from seidra.engines.setup import Setup
from seidra.errors import NotFound
from seidra.jobs.schemas import FINAL
from seidra.jobs.view import Waits, frame_url, job_json, read_waits
from seidra.media.links import Links
from seidra.values import timestamp, to_json

MOST = 100
"""How many jobs one look tells about; with more changed ones the client is told to read the list
anew."""


class Feed:
    """One client's view. `over` says that nothing more will come; `position` is where the client
    stands."""

    def __init__(
        self,
        database: Database,
        setup: Setup,
        links: Links,
        user: Row,
        *,
        job_id: str | None = None,
        nsfw: bool = False,
    ) -> None:
        self.over = False
        self.position = 0
        self._database = database
        self._setup = setup
        self._links = links
        self._user_id: int = user["id"]
        self._session_id: str | None = user["session_id"]
        self._key_id: int | None = user["key_id"]
        self._job_id = job_id
        # A job's own stream shows what reading it by its id shows: what is in force decides.
        self._asked = nsfw or job_id is not None
        self._nsfw = False

    def first_messages(self, last: str | None) -> list[bytes]:
        """What is told first, to a client that got the event `last`: a job's present state unless
        it has it already, of all jobs nothing, or `reset` when it may have missed something. Raises
        NotFound for a job that is not there.
        """
        with self._database.snapshot() as connection:
            pulse = self._read_pulse(connection)
            if pulse is None:
                self.over = True
                return []
            self._nsfw = self._asked and bool(pulse["nsfw"])
            horizon: int = pulse["horizon"]
            known = _kept_position(last, queries.events.oldest(connection), horizon)
            self.position = horizon
            if self._job_id is not None:
                return self._begin_job(connection, self._job_id, known)
        if known is not None:
            self.position = known
        return [_event_bytes("reset", {}, horizon)] if known is None and last is not None else []

    def _begin_job(self, connection: Connection, job_id: str, known: int | None) -> list[bytes]:
        jobs, waits = self._read_jobs(connection, [job_id])
        rows = jobs.get(job_id)
        if rows is None:
            raise NotFound("job")
        self.over = rows[0]["status"] in FINAL
        if known is not None and not self._read_changes(connection, known, self.position):
            return []
        return [self._job_message(rows, waits, self.position)]

    def next_messages(self) -> list[bytes]:
        """What has changed since the last look. Session or API key, user and NSFW settings are
        asked each time."""
        try:
            return self._look(self._database.connection)
        finally:
            # Many streams wait most of the time: they share a few connections.
            self._database.release()

    def _look(self, connection: Connection) -> list[bytes]:
        pulse = self._read_pulse(connection)
        if pulse is None:
            self.over = True
            return []
        before, self._nsfw = self._nsfw, self._asked and bool(pulse["nsfw"])
        horizon = max(pulse["horizon"], self.position)
        if self._nsfw != before:
            return self._settings_changed(connection, horizon)
        if horizon == self.position:
            return []
        # What is read from here on is as new as the horizon, or newer and then told once more.
        changes = self._read_changes(connection, self.position, horizon)
        self.position = horizon
        if len(changes) > MOST:
            return [_event_bytes("reset", {}, horizon)]
        jobs, waits = self._read_jobs(connection, [change["job_id"] for change in changes])
        return [
            message
            for change in changes
            for message in self._change_messages(change, jobs.get(change["job_id"]), waits)
        ]

    def place_bytes(self) -> bytes:
        """The position, so that a client keeps up even while nothing of its own happens."""
        return b"id: %d\n\n" % self.position

    def _settings_changed(self, connection: Connection, horizon: int) -> list[bytes]:
        """Other jobs are to be seen from now on."""
        self.position = horizon
        if self._job_id is None:
            return [_event_bytes("reset", {}, horizon)]
        jobs, waits = self._read_jobs(connection, [self._job_id])
        return [self._change_message(self._job_id, jobs.get(self._job_id), waits, horizon, seen=1)]

    def _change_messages(self, change: Row, rows: list[Row] | None, waits: Waits) -> list[bytes]:
        """What a change of a job is told by: the job, where more than its frame changed, and the
        frame, where there is a new one."""
        told = []
        frames_alone = change["frames"] == change["n"]
        if rows is None or not frames_alone or rows[0]["status"] in FINAL:
            id, seen = change["id"], change["seen"]
            told = [self._change_message(change["job_id"], rows, waits, id, seen)]
        if rows is not None and change["frames"] and rows[0]["frame"] is not None:
            url = frame_url(rows[0], self._links, self._user_id)
            frame = {"job_id": change["job_id"], "frame_url": url}
            told.append(_event_bytes("preview", frame, change["id"]))
        return [message for message in told if message]

    def _change_message(
        self, job_id: str, rows: list[Row] | None, waits: Waits, id: int, seen: int
    ) -> bytes:
        """A changed job: as it is now, or gone (deleted or hidden), or nothing where it was never
        to be seen."""
        if rows is not None:
            self.over = self._job_id is not None and rows[0]["status"] in FINAL
            return self._job_message(rows, waits, id)
        self.over = self._job_id is not None
        return _event_bytes("gone", {"job_id": job_id}, id) if seen or self._nsfw else b""

    def _job_message(self, rows: list[Row], waits: Waits, id: int) -> bytes:
        return _event_bytes("job", job_json(rows, waits, self._links, self._user_id), id)

    def _read_jobs(
        self, connection: Connection, ids: list[str]
    ) -> tuple[dict[str, list[Row]], Waits]:
        """The rows of those of these jobs that this client may see now, by job, and what those that
        wait wait for."""
        rows = queries.search.job_page(
            connection, ids=to_json(ids), user_id=self._user_id, nsfw=self._nsfw
        )
        waits = read_waits(connection, self._setup, self._user_id, rows)
        return {job_id: list(mine) for job_id, mine in groupby(rows, lambda row: row["id"])}, waits

    def _read_pulse(self, connection: Connection) -> Row | None:
        pulse: Row | None = queries.events.pulse(
            connection,
            session_id=self._session_id,
            key_id=self._key_id,
            user_id=self._user_id,
            now=timestamp(),
        )
        return pulse

    def _read_changes(self, connection: Connection, position: int, horizon: int) -> list[Row]:
        return queries.events.changes(
            connection,
            user_id=self._user_id,
            job_id=self._job_id,
            position=position,
            horizon=horizon,
            limit=MOST + 1,
        )


def _kept_position(last: str | None, oldest: int | None, horizon: int) -> int | None:
    """The position that a client names, if everything after it is kept; else None."""
    if last is None or not (last.isascii() and last.isdigit() and len(last) <= 19):
        return None
    position = int(last)
    kept = oldest is not None and oldest - 1 <= position <= horizon
    return position if kept or position == horizon else None


def _event_bytes(event: str, data: Any, id: int) -> bytes:
    """One server-sent event."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (id, event.encode(), orjson.dumps(data))

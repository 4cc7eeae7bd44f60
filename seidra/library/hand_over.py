"""Handing over: what somebody leaves goes to another one, who has agreed.

An administrator offers it, the receiver accepts, and a worker moves the rows in short transactions
of both accounts. What has moved is the receiver's and nobody else's, so that a worker that is
killed leaves nothing to take back, and the next one goes on with what there is still. Files stay
where they are: their keys name item and attempt, and no account.

Personas go with their revisions, tags and sources, media with theirs, collections with those of
their pictures that go. What is shared: personas, with their avatars, media, and collections, with
their pictures. It stays shared, and links for outsiders end: they were the word of who leaves.
Jobs, trash, imports and exports stay. So does what is NSFW where that is not in force for the
receiver.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Literal, NamedTuple

from seidra.config import Settings
from seidra.database.base import Connection, Database, Row, required_row
from seidra.database.queries import queries
from seidra.errors import Conflict, Invalid, Mistake, NotFound, QuotaExceeded
from seidra.media.collections import MAX_COLLECTIONS
from seidra.media.write import check_room as check_media_room
from seidra.nsfw import policy
from seidra.personas.write import check_room as check_persona_room
from seidra.values import timestamp, timestamp_in

WHAT = ("shared", "all")
"""What can be handed over."""

STATUSES = ("pending", "accepted", "completed", "declined", "withdrawn", "expired", "failed")
OPEN = ("pending", "accepted")

ANSWER_SECONDS = 30 * 86_400.0
"""How long the receiver may think about it."""

_PERSONAS = 50
_MEDIA = 200
_COLLECTIONS = 1
"""Rows that one transaction moves. With a persona move its revisions, and its text in the index;
with a collection its up to 10,000 places are looked through."""

_log = logging.getLogger(__name__)


class Figures(NamedTuple):
    """How much there is."""

    personas: int
    media: int
    bytes: int


def offer(tx: Connection, giver: Row, to_id: int, what: str, made_by: int) -> int:
    """Offer what an account has to another one; returns the offer's id. Raises Invalid for a
    receiver who is none, and Conflict where something of it is offered already."""
    receiver = queries.users.get(tx, id=to_id)
    if receiver is None or not receiver["is_active"]:
        raise Invalid({"to": [Mistake("Must be the id of an active account.", "no_account")]})
    if to_id == giver["id"]:
        raise Invalid({"to": [Mistake("Must be another account.", "same_account")]})
    made: int | None = queries.hand_overs.create(
        tx,
        from_id=giver["id"],
        from_name=giver["username"],
        to_id=to_id,
        to_name=receiver["username"],
        made_by=made_by,
        what=what,
        now=timestamp(),
        expires_at=timestamp_in(ANSWER_SECONDS),
    )
    if made is None:
        raise Conflict(
            "What this account has is offered already; withdraw that first.", code="hand_over_open"
        )
    return made


def read_hand_over(connection: Connection, hand_over_id: int, to_id: int | None = None) -> Row:
    """A hand-over, of one receiver where one is given. Raises NotFound."""
    row = queries.hand_overs.get(connection, id=hand_over_id)
    if row is None or (to_id is not None and row["to_id"] != to_id):
        raise NotFound("hand-over")
    return row


def accept(tx: Connection, row: Row, settings: Settings) -> None:
    """Accept an offer, in a transaction of both accounts: a worker begins with it at once. Raises
    QuotaExceeded where the receiver has no room, and Conflict for an offer that is none any
    more."""
    goes = going(tx, row)
    if goes.personas:
        check_persona_room(tx, row["to_id"], settings, goes.personas)
    if goes.media:
        check_media_room(tx, row["to_id"], settings, goes.media, goes.bytes)
    come = queries.hand_overs.collections_count(tx, what=row["what"], from_id=row["from_id"])
    used = queries.collections.count_owned(tx, user_id=row["to_id"])
    if come and used + come > MAX_COLLECTIONS:
        raise QuotaExceeded("collections", MAX_COLLECTIONS, used)
    _answer(tx, row, "accepted", ended=False)
    _log.info("hand-over %d: account %d accepted", row["id"], row["to_id"])


def decline(tx: Connection, row: Row) -> None:
    """Decline an offer. Raises Conflict for one that is none any more."""
    _answer(tx, row, "declined")


def withdraw(tx: Connection, row: Row) -> None:
    """Withdraw an offer that nobody has answered. Raises Conflict for any other."""
    _answer(tx, row, "withdrawn")


def _answer(tx: Connection, row: Row, status: str, *, ended: bool = True) -> None:
    now = timestamp()
    if not queries.hand_overs.answer(
        tx, id=row["id"], status=status, now=now, ended_at=now if ended else None
    ):
        raise Conflict(
            "This was answered or withdrawn before, or has expired.", code="hand_over_ended"
        )


def going(connection: Connection, row: Row) -> Figures:
    """What a hand-over would move, or has still to."""
    nsfw = policy.in_force(connection, row["to_id"])
    if row["what"] == "all":
        return _figures(connection, row["from_id"], nsfw)
    personas = queries.hand_overs.shared_personas(connection, from_id=row["from_id"], nsfw=nsfw)
    media = required_row(queries.hand_overs.shared_media(connection, nsfw=nsfw, **_sides(row)))
    return Figures(personas, media["n"], media["bytes"])


def staying(connection: Connection, row: Row) -> Figures:
    """What stays with who had it: what is NSFW, or not shared."""
    whole, goes = _figures(connection, row["from_id"], True), going(connection, row)
    return Figures(*(all_ - part for all_, part in zip(whole, goes, strict=True)))


def _figures(connection: Connection, user_id: int, nsfw: bool) -> Figures:
    personas = queries.personas.count(connection, user_id=user_id, nsfw=nsfw, favorite=None)
    media = required_row(queries.media.counts(connection, user_id=user_id, nsfw=nsfw))
    return Figures(personas, media["total"], media["bytes"])


def hand_over_json(connection: Connection, row: Row) -> dict[str, Any]:
    """A hand-over as its receiver and administrators see it: figures, and who."""
    is_open = row["status"] in OPEN
    status = row["status"]
    if status == "pending" and row["expires_at"] <= timestamp():
        status, is_open = "expired", False
    left = staying(connection, row) if is_open else None
    return {
        "id": row["id"],
        "from": {"id": row["from_id"], "username": row["from_name"]},
        "to": {"id": row["to_id"], "username": row["to_name"]},
        "what": row["what"],
        "status": status,
        "going": going(connection, row)._asdict() if is_open else None,
        "moved": {name: row[name] for name in Figures._fields},
        "staying": {
            "personas": left.personas if left else row["personas_left"],
            "media": left.media if left else row["media_left"],
        },
        **{name: row[name] for name in ("created_at", "expires_at", "answered_at", "ended_at")},
    }


# ----------------------------------------------------------------------------------------- the work


class HandOverWork:
    """Moves what was accepted. It remembers how far it has come, to pass over what stays only
    once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._places: dict[tuple[int, str], tuple[Any, Any]] = {}

    def work(self, seconds: float) -> bool:
        """Work for about so many seconds; returns whether there is more."""
        until = time.monotonic() + seconds
        for row in queries.hand_overs.accepted(self._database.connection):
            try:
                while not self._work_on(row):
                    if time.monotonic() > until:
                        return True
            except Exception:
                # What was not committed has to be found again; other chores have their turn.
                self._places.clear()
                _log.exception("hand-over %d: it goes on later", row["id"])
        return False

    def _work_on(self, row: Row) -> bool:
        """One transaction of a hand-over; returns whether it is at its end, or has to wait."""
        with self._database.transaction((row["from_id"], row["to_id"])) as tx:
            stored = queries.hand_overs.get(tx, id=row["id"])
            if stored is None or stored["status"] != "accepted":
                return True
            if queries.hand_overs.is_receiver_there(tx, to_id=row["to_id"]) is None:
                self._finish(tx, stored, "failed")
                return True
            if queries.imports.working(tx, user_id=row["from_id"]) is not None:
                # It would write, or take back, what is another one's by then.
                return True
            if (
                self._move_personas(tx, stored)
                or self._move_media(tx, stored)
                or self._move_collections(tx, stored)
            ):
                return False
            self._finish(tx, stored, "completed")
            return True

    def _finish(self, tx: Connection, row: Row, status: str) -> None:
        left = _figures(tx, row["from_id"], True)
        queries.hand_overs.finish(
            tx,
            id=row["id"],
            status=status,
            personas_left=left.personas,
            media_left=left.media,
            now=timestamp(),
        )
        self._places.pop((row["id"], "personas"), None)
        self._places.pop((row["id"], "media"), None)
        _log.info("hand-over %d: %s", row["id"], status)

    def _move_personas(self, tx: Connection, row: Row) -> bool:
        since, after = self._places.get((row["id"], "personas"), ("", 0))
        found = queries.hand_overs.personas(
            tx,
            which=_which(tx, row),
            what=row["what"],
            from_id=row["from_id"],
            since=since,
            after=after,
            limit=_PERSONAS,
        )
        if not found:
            return False
        queries.hand_overs.move_personas(tx, [{"id": each["id"], **_sides(row)} for each in found])
        queries.hand_overs.count_up(tx, id=row["id"], personas=len(found), media=0, bytes=0)
        self._places[row["id"], "personas"] = (found[-1]["created_at"], found[-1]["id"])
        return True

    def _move_media(self, tx: Connection, row: Row) -> bool:
        since, after = self._places.get((row["id"], "media"), ("", ""))
        found = queries.hand_overs.media(
            tx,
            which=_which(tx, row),
            what=row["what"],
            **_sides(row),
            nsfw=policy.in_force(tx, row["to_id"]),
            since=since,
            after=after,
            limit=_MEDIA,
        )
        if not found:
            return False
        jobs = {each["job_id"]: None for each in found if each["job_id"] is not None}
        queries.hand_overs.move_media(tx, [{"id": each["id"], **_sides(row)} for each in found])
        if row["what"] == "shared":
            queries.hand_overs.take_out(
                tx, [{"id": each["id"], "from_id": row["from_id"]} for each in found]
            )
        now = timestamp()
        queries.hand_overs.jobs_changed(
            tx, [{"job_id": job_id, "from_id": row["from_id"], "now": now} for job_id in jobs]
        )
        queries.hand_overs.count_up(
            tx,
            id=row["id"],
            personas=0,
            media=len(found),
            bytes=sum(each["file_size"] for each in found),
        )
        self._places[row["id"], "media"] = (found[-1]["created_at"], found[-1]["id"])
        return True

    def _move_collections(self, tx: Connection, row: Row) -> bool:
        found = queries.hand_overs.collections(
            tx, what=row["what"], from_id=row["from_id"], limit=_COLLECTIONS
        )
        ids = [each["id"] for each in found]
        now = timestamp()
        queries.hand_overs.move_collections(
            tx, [{"id": each, "now": now, **_sides(row)} for each in ids]
        )
        queries.hand_overs.thin_collections(
            tx, [{"id": each, "to_id": row["to_id"]} for each in ids]
        )
        return bool(ids)


def _which(tx: Connection, row: Row) -> Literal["all", "safe"]:
    return "all" if policy.in_force(tx, row["to_id"]) else "safe"


def _sides(row: Row) -> dict[str, int]:
    return {"from_id": row["from_id"], "to_id": row["to_id"]}

"""Applying an import, and taking it back, in short transactions: all or nothing is what the journal
promises.

Each transaction writes some personas, and beside each what it replaced. Who fails, or finds an
import whose worker is gone, walks the journal backwards; so does an undo. A claim fences the work:
who has lost it writes nothing more.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from seidra.config import Settings
from seidra.database.base import Connection, Database, Row
from seidra.database.queries import queries
from seidra.errors import Conflict, Invalid, Mistake, NotFound, Problem
from seidra.exchange.albums import AlbumWork, count_room, drop_album
from seidra.exchange.histories import write_history, write_source
from seidra.exchange.import_pictures import ReadyPicture, add_picture, prepare_picture
from seidra.exchange.plan import PLAN_SECONDS, PlanStale, conflict_action
from seidra.files.base import Files
from seidra.media.write import check_room as check_media_room
from seidra.nsfw import policy
from seidra.personas import search, sources, write
from seidra.personas.revisions import Origin
from seidra.personas.stored import DEFAULTS, STORED, stored_values
from seidra.values import from_json, packed, timestamp, timestamp_in, to_json, unpacked

IN_REQUEST = 1_000
"""An import of so many entries is applied by the request; a larger one by a worker."""

KEPT_SECONDS = 30 * 86_400.0
"""How long what was applied stays, and can be undone."""

_LEASE_SECONDS = 20.0
_BATCH = 200
_BATCH_SECONDS = 0.1
"""A transaction writes so many entries, or for so long."""

_NOTE = 200
"""Characters of a revision's note."""

_DELETED = 50
"""Entries that one transaction deletes, which may hold 1 MiB each."""

_log = logging.getLogger(__name__)

CheckVersion = Callable[[int], None]
Keep = Callable[[Connection], None]
WRITING = ("create", "update")


class LostClaim(Exception):
    """Somebody else works on the import."""


# ------------------------------------------------------------------------------- what is to be done


def effective_action(planned: str, chosen: str | None, on_conflict: str | None) -> str:
    """What becomes of an entry: what its owner chose for it, or else for all conflicts."""
    if chosen is not None:
        return chosen
    return conflict_action(on_conflict) if planned == "conflict" else planned


def allowed_choices(planned: str, persona_id: int | None) -> tuple[str, ...]:
    """What the owner may choose for an entry."""
    if planned == "error":
        return ("skip",)
    return ("create", "skip") if persona_id is None else ("create", "update", "skip")


def begin_apply(
    database: Database,
    user_id: int,
    import_id: str,
    choices: Mapping[int, str],
    on_conflict: str | None,
    check_version: CheckVersion,
    settings: Settings,
    claim: str | None = None,
    keep: Keep = lambda tx: None,
) -> None:
    """Let a plan be applied as its owner has chosen, by who has the `claim`, or None by whoever
    comes. Nothing of it is done yet. `keep` is called in the transaction that begins it.

    Raises NotFound, PlanStale, Conflict for an import that is no plan (any more) or beside another
    one, Invalid for choices that there are not, and what making its personas would raise.
    """
    row = _own_import(database.connection, user_id, import_id)
    check_version(row["version"])
    outline = queries.imports.outline(database.connection, import_id=import_id)
    actions = _decide(outline, choices, on_conflict)
    writing = {n for n, action in actions.items() if action in WRITING}
    decided = {"choices": {str(n): action for n, action in choices.items()}}
    with database.transaction(user_id) as tx:
        _check_plan(tx, user_id, _own_import(tx, user_id, import_id))
        nsfw = any(entry["is_nsfw"] for entry in outline if entry["n"] in writing)
        policy.check_may_make(tx, user_id, nsfw)
        made = sum(actions[n] == "create" for n in writing)
        if made:
            write.check_room(tx, user_id, settings, made)
        pictures = sum(entry["file_key"] is not None for entry in outline if entry["n"] in writing)
        if pictures:
            check_media_room(tx, user_id, settings, pictures)
        count_room(tx, user_id, import_id, settings)
        _check_fresh(tx, user_id, import_id, actions)
        begun = queries.imports.begin(
            tx,
            id=import_id,
            user_id=user_id,
            status="applying",
            choices=to_json({**decided, "on_conflict": on_conflict}),
            done=0,
            version=row["version"],
            claim=claim,
            leased_until=timestamp_in(_LEASE_SECONDS),
            now=timestamp(),
        )
        if not begun:
            raise _not_now()
        keep(tx)


def begin_undo(
    database: Database,
    user_id: int,
    import_id: str,
    check_version: CheckVersion,
    claim: str | None = None,
    keep: Keep = lambda tx: None,
) -> None:
    """Let an import that was applied be taken back, likewise. Raises NotFound, and Conflict for any
    other."""
    with database.transaction(user_id) as tx:
        row = _own_import(tx, user_id, import_id)
        check_version(row["version"])
        if row["status"] != "applied" or row["expires_at"] < timestamp():
            raise Conflict("Only an import that was applied can be undone.", code="not_applied")
        _check_alone(tx, user_id)
        queries.imports.begin(
            tx,
            id=import_id,
            user_id=user_id,
            status="undoing",
            choices=row["choices"],
            done=row["entries"],
            version=row["version"],
            claim=claim,
            leased_until=timestamp_in(_LEASE_SECONDS),
            now=timestamp(),
        )
        keep(tx)


def _own_import(connection: Connection, user_id: int, import_id: str) -> Row:
    row = queries.imports.get(connection, id=import_id, user_id=user_id)
    if row is None:
        raise NotFound("import")
    return row


def _check_plan(tx: Connection, user_id: int, row: Row) -> None:
    if row["status"] == "expired" or row["expires_at"] < timestamp():
        raise Conflict("The plan has expired; import it again.", code="plan_expired")
    if row["status"] not in ("planned", "failed"):
        raise Conflict("It has been applied already, or is being.", code="not_planned")
    _check_alone(tx, user_id)


def _check_alone(tx: Connection, user_id: int) -> None:
    if queries.imports.working(tx, user_id=user_id) is not None:
        raise _not_now()


def _not_now() -> Conflict:
    return Conflict(
        "Another import of yours is being applied or undone; wait for its end.",
        code="import_in_progress",
    )


def _decide(
    outline: Sequence[Row], choices: Mapping[int, str], on_conflict: str | None
) -> dict[int, str]:
    """What becomes of each entry. Raises Invalid for choices that there are not, and Conflict where
    something is undecided."""
    errors = {}
    entries = {entry["n"]: entry for entry in outline}
    for n, action in choices.items():
        if n not in entries:
            errors[f"choices.{n}"] = ["There is no such entry."]
            continue
        allowed = allowed_choices(entries[n]["action"], entries[n]["persona_id"])
        if action not in allowed:
            sentence = f"Must be one of: {', '.join(allowed)}."
            errors[f"choices.{n}"] = [Mistake(sentence, "choice")]
    if errors:
        raise Invalid(dict(list(errors.items())[:20]))
    # What was taken back only in part, because somebody has changed it meanwhile, stays as it is.
    actions = {
        n: effective_action(entry["action"], choices.get(n), on_conflict)
        for n, entry in entries.items()
        if entry["state"] == "planned"
    }
    undecided = [n for n, action in actions.items() if action == "conflict"]
    if undecided:
        raise Problem(
            f"{len(undecided)} entries are in conflict with what you have; say what is to become"
            " of them.",
            status=409,
            code="undecided",
            more={"entries": undecided[:20]},
        )
    return actions


def _check_fresh(tx: Connection, user_id: int, import_id: str, actions: Mapping[int, str]) -> None:
    changed = queries.imports.changed_since(tx, import_id=import_id, user_id=user_id)
    stale = [row["n"] for row in changed if actions.get(row["n"]) == "update"]
    known = queries.imports.imported_since(tx, import_id=import_id, user_id=user_id)
    stale += [row["n"] for row in known if actions.get(row["n"]) == "create"]
    if stale:
        raise PlanStale(sorted(stale))


# ----------------------------------------------------------------------------------------- the work


@dataclass(frozen=True)
class _Step:
    """An entry that is about to be written, with all that can be made ready before."""

    n: int
    action: str
    row: Row
    persona: write.NewPersona | None = None
    uid: str | None = None
    base: bytes = b""
    facts: str = "{}"
    picture: ReadyPicture | None = None
    note: str | None = None
    past: Mapping[str, Any] = field(default_factory=dict)
    """What `history_document` has found."""


class ImportWork:
    """Works on imports that were begun; one object a thread or request."""

    def __init__(self, database: Database, files: Files, settings: Settings) -> None:
        self._database = database
        self._files = files
        self._settings = settings
        self.claim = f"{os.getpid()}-{uuid.uuid4()}"
        self._until: float | None = None
        self._albums = AlbumWork(database, settings, self._in_time, self._progress)

    def finish(self, import_id: str) -> None:
        """Work on an import to its end. Raises what made it fail, once all is taken back."""
        self._until = None
        failure: Exception | None = None
        while True:
            try:
                if self._work_on(import_id):
                    break
            except LostClaim:
                break
            except Exception as error:
                # A failure on the way back leaves it to a worker.
                if failure is not None:
                    raise
                failure = error
                if not self._fail(import_id, error):
                    raise
        if failure is not None:
            raise failure

    def work(self, seconds: float) -> bool:
        """Work on what waits for about so many seconds; returns whether there may be more."""
        self._until = time.monotonic() + seconds
        now, horizon = timestamp(), timestamp_in(2 * _LEASE_SECONDS)
        rows = queries.imports.waiting(
            self._database.connection, claim=self.claim, now=now, horizon=horizon
        )
        for row in rows:
            try:
                while not self._work_on(row["id"]):
                    if time.monotonic() > self._until:
                        return True
            except LostClaim:
                continue
            except Exception as error:
                _log.exception("an import failed; it is taken back")
                self._fail(row["id"], error)
        return False

    def _fail(self, import_id: str, error: Exception) -> bool:
        """Turn an import around; returns whether that was possible."""
        code = error.code if isinstance(error, Problem) else None
        message = "It failed, and all of it was taken back."
        if isinstance(error, Problem):
            message = error.detail
        with self._database.transaction() as tx:
            return bool(
                queries.imports.fail(
                    tx,
                    id=import_id,
                    claim=self.claim,
                    error_code=code or "failed",
                    error_message=message,
                    leased_until=timestamp_in(_LEASE_SECONDS),
                    now=timestamp(),
                )
            )

    def _work_on(self, import_id: str) -> bool:
        """Some of an import's work; returns whether it is at its end."""
        with self._database.transaction() as tx:
            row = queries.imports.claim(
                tx,
                id=import_id,
                claim=self.claim,
                now=timestamp(),
                horizon=timestamp_in(2 * _LEASE_SECONDS),
                leased_until=timestamp_in(_LEASE_SECONDS),
                interrupted="SEIDRA was stopped in the middle of it, and all of it was taken back.",
            )
        if row is None:
            raise LostClaim
        if row["status"] == "applying" and row["error_code"] is None:
            return self._apply_some(row)
        return self._take_back_some(row)

    def _in_time(self) -> bool:
        return self._until is None or time.monotonic() < self._until

    def _progress(self, tx: Connection, import_id: str, done: int) -> None:
        moved = queries.imports.progress(
            tx,
            id=import_id,
            claim=self.claim,
            done=done,
            leased_until=timestamp_in(_LEASE_SECONDS),
            now=timestamp(),
        )
        if not moved:
            raise LostClaim

    def _end(self, row: Row, status: str, seconds: float) -> None:
        counts: dict[str, int] = Counter()
        results = queries.imports.results(self._database.connection, import_id=row["id"])
        for found in results:
            if found["state"] != "planned":
                counts[f"{_DONE[found['state']]}{found['action']}"] += found["n"]
        summary = from_json(row["summary"]) | {"results": dict(counts)}
        with self._database.transaction() as tx:
            queries.imports.end(
                tx,
                id=row["id"],
                claim=self.claim,
                status=status,
                summary=to_json(summary),
                now=timestamp(),
                expires_at=timestamp_in(seconds),
            )

    # ----------------------------------------------------------------------------------- forwards

    def _apply_some(self, row: Row) -> bool:
        decided = from_json(row["choices"])
        files = {(file["format"], file["stem"]): file for file in from_json(row["files"])}
        done = row["done"]
        while done < row["entries"]:
            if not self._in_time():
                return False
            before = min(done + _BATCH, row["entries"])
            entries = queries.imports.entries_on(
                self._database.connection, import_id=row["id"], n=done, up_to=before
            )
            steps = list(self._steps(row, entries, decided, files))
            if not steps:
                with self._database.transaction() as tx:
                    self._progress(tx, row["id"], before)
            while steps:
                steps = self._write_some(row, steps, before)
            done = before
        if not self._albums.apply(row):
            return False
        self._end(row, "applied", KEPT_SECONDS)
        return True

    def _steps(
        self,
        row: Row,
        entries: Sequence[Row],
        decided: Mapping[str, Any],
        files: Mapping[tuple[str, str], Mapping[str, Any]],
    ) -> Iterator[_Step]:
        """What is to be written of some entries."""
        for entry in entries:
            if entry["state"] != "planned":
                continue
            chosen = decided["choices"].get(str(entry["n"]))
            action = effective_action(entry["action"], chosen, decided["on_conflict"])
            if action in WRITING:
                facts = files.get((entry["format"], entry["file"]), {}).get("facts", {})
                yield self._prepare(entry, action, facts)
            elif action != entry["action"]:
                yield _Step(entry["n"], action, entry)

    def _prepare(self, entry: Row, action: str, facts: Mapping[str, Any]) -> _Step:
        document = from_json(unpacked(entry["document"]).decode())
        values = document["fields"]
        if action == "create" and entry["persona_id"] is not None:
            # A copy beside the persona that it might have been.
            values = {**DEFAULTS, **document["said"]}
            values["name"] = write.copy_name(values["name"])
        picture, note = None, None
        if entry["media_id"] and not values["avatar_media_id"]:
            if entry["file_key"]:
                try:
                    picture = prepare_picture(self._files, entry["media_id"], entry["file_key"])
                except OSError:
                    note = "picture_unreadable"
            if note is None:
                values = {**values, "avatar_url": None, "avatar_media_id": entry["media_id"]}
                values["avatar_crop"] = document.get("history", {}).get("crop")
        return _Step(
            entry["n"],
            action,
            entry,
            write.NewPersona(
                {name: values[name] for name in STORED},
                search.found_by(values),
                extensions=values.get("extensions", {}),
            ),
            document["uid"],
            packed(to_json(document["said"]).encode()),
            to_json(facts),
            picture,
            note,
            {name: document[name] for name in ("history", "source") if name in document},
        )

    def _write_some(self, row: Row, steps: list[_Step], before: int) -> list[_Step]:
        """Write some steps in one transaction; returns those that are left."""
        with self._database.transaction(row["user_id"]) as tx:
            began = time.monotonic()
            self._check_room(tx, row["user_id"], steps)
            written = 0
            for step in steps:
                if written and time.monotonic() - began > _BATCH_SECONDS:
                    break
                self._write(tx, row, step)
                written += 1
            left = steps[written:]
            self._progress(tx, row["id"], left[0].n if left else before)
        return left

    def _check_room(self, tx: Connection, user_id: int, steps: Sequence[_Step]) -> None:
        made = sum(step.action == "create" for step in steps)
        if made:
            write.check_room(tx, user_id, self._settings, made)
        pictures = sum(step.picture is not None for step in steps)
        if pictures:
            check_media_room(tx, user_id, self._settings, pictures)
        nsfw = any(step.persona and step.persona.values["is_nsfw"] for step in steps)
        policy.check_may_make(tx, user_id, nsfw)

    def _write(self, tx: Connection, row: Row, step: _Step) -> None:
        if step.persona is None:
            queries.imports.decide(tx, import_id=row["id"], n=step.n, action=step.action)
            return
        user_id = row["user_id"]
        replaced = None
        origin = Origin("import", f"{step.row['file']}: {step.row['entry']}"[:_NOTE])
        if step.action == "create":
            uid = step.uid
            if uid is not None and queries.personas.uid_taken(tx, uid=uid) is not None:
                uid = None
            persona = dataclasses.replace(step.persona, uid=uid)
            persona_id = write.add_persona(tx, user_id, persona, origin)
            version = 1
            revision = write_history(tx, user_id, persona_id, step.past) or 1
        else:
            persona_id = step.row["persona_id"]
            whole = queries.personas.whole(tx, id=persona_id, user_id=user_id)
            if whole is None or whole["version"] != step.row["version"]:
                raise PlanStale([step.n])
            replaced = {
                "values": stored_values(whole),
                "extensions": from_json(whole["extensions"]),
                "source": sources.source_document(tx, user_id, persona_id),
            }
            whole = write.replace_persona(tx, user_id, whole, step.persona, origin)
            version, revision = whole["version"], whole["revision"]
        if step.picture is not None:
            add_picture(tx, user_id, persona_id, step.picture, step.persona.values)
        queries.sources.take(
            tx,
            persona_id=persona_id,
            user_id=user_id,
            facts=step.facts,
            base=step.base,
            revision=revision,
            imported_at=timestamp(),
            import_id=row["id"],
            n=step.n,
        )
        if step.action == "create" and "source" in step.past:
            write_source(tx, user_id, persona_id, step.past["source"], timestamp())
        queries.imports.journal(
            tx,
            import_id=row["id"],
            n=step.n,
            action=step.action,
            written_id=persona_id,
            replaced=None if replaced is None else packed(to_json(replaced).encode()),
            left_version=version,
            note=step.note,
        )

    # ---------------------------------------------------------------------------------- backwards

    def _take_back_some(self, row: Row) -> bool:
        """Walk back; at the end it is undone, or a plan again that failed once."""
        undo = row["status"] == "undoing"
        if not self._albums.take_back(row, undo=undo):
            return False
        done = row["done"] if undo else row["entries"]
        while True:
            entries = queries.imports.entries_back(
                self._database.connection, import_id=row["id"], n=done, limit=_BATCH
            )
            if not entries:
                break
            if not self._in_time():
                return False
            steps = [(entry, _before_of(entry)) for entry in entries]
            while steps:
                with self._database.transaction(row["user_id"]) as tx:
                    began = time.monotonic()
                    for at, (entry, before) in enumerate(steps):
                        if at and time.monotonic() - began > _BATCH_SECONDS:
                            break
                        self._take_back(tx, row, entry, before, undo)
                        done = entry["n"]
                    else:
                        at = len(steps)
                    steps = steps[at:]
                    self._progress(tx, row["id"], done)
        if not undo:
            with self._database.transaction() as tx:
                self._progress(tx, row["id"], 0)
        self._end(row, *(("undone", KEPT_SECONDS) if undo else ("failed", PLAN_SECONDS)))
        return True

    def _take_back(
        self, tx: Connection, row: Row, entry: Row, before: _Before | None, undo: bool
    ) -> None:
        """Take back what an entry did, unless somebody has changed it since."""
        user_id, persona_id = row["user_id"], entry["written_id"]
        whole = queries.personas.whole(tx, id=persona_id, user_id=user_id)
        state, note, version = "undone" if undo else "planned", None, None
        if whole is None:
            # Of what was made and is deleted already there is nothing to take back.
            note = "gone"
            state = "kept" if before is not None else state
        elif whole["version"] != entry["left_version"]:
            state, note = "kept", "changed_since"
        elif before is None:
            queries.personas.delete(tx, id=persona_id, user_id=user_id)
        else:
            whole = write.replace_persona(tx, user_id, whole, before.persona, Origin("undo"))
            sources.put_document(tx, user_id, persona_id, before.source)
            version = whole["version"]
        if state != "kept" and entry["file_key"] and note is None:
            self._drop_picture(tx, user_id, entry["media_id"])
        queries.imports.journal_back(
            tx,
            import_id=row["id"],
            n=entry["n"],
            state=state,
            note=note,
            version=version,
        )

    def _drop_picture(self, tx: Connection, user_id: int, media_id: str) -> None:
        """Delete the media item that an entry made, unless somebody has changed it since."""
        if queries.media.version(tx, id=media_id, user_id=user_id) == 1:
            queries.media.delete(tx, id=media_id, user_id=user_id)


_DONE = {"done": "", "undone": "undone_", "kept": "kept_"}


@dataclass(frozen=True)
class _Before:
    """What an entry replaced, folded before its turn."""

    persona: write.NewPersona
    source: Mapping[str, Any] | None


def _before_of(entry: Row) -> _Before | None:
    if entry["replaced"] is None:
        return None
    document = from_json(unpacked(entry["replaced"]).decode())
    values = document["values"]
    persona = write.NewPersona(values, search.found_by(values), extensions=document["extensions"])
    return _Before(persona, document["source"])


# ------------------------------------------------------------------------------------------ the end


def delete_import(
    database: Database, user_id: int, import_id: str, check_version: CheckVersion
) -> None:
    """Delete an import with its journal: it cannot be undone any more. Raises NotFound, and
    Conflict for one that is being applied or undone."""
    with database.transaction(user_id) as tx:
        row = _own_import(tx, user_id, import_id)
        check_version(row["version"])
        if not queries.imports.expire(tx, id=import_id, now=timestamp()):
            raise Conflict("It is being applied or undone; wait for its end.", code="in_progress")
    _drop(database, import_id)


def expire_imports(database: Database) -> None:
    """Delete an import whose time is over, a batch at a time."""
    row = queries.imports.expiring(database.connection, now=timestamp())
    if row is None:
        return
    with database.transaction() as tx:
        if not queries.imports.expire(tx, id=row["id"], now=timestamp()):
            return
    _drop(database, row["id"])


def _drop(database: Database, import_id: str) -> None:
    drop_album(database, import_id)
    dropped = _DELETED
    while dropped == _DELETED:
        with database.transaction() as tx:
            dropped = queries.imports.drop_entries(tx, import_id=import_id, limit=_DELETED)
    with database.transaction() as tx:
        queries.imports.drop(tx, id=import_id)

"""What must hold at the end, and a witness in the database that SEIDRA does not know of: each
change of a job's status or claim."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import obstore
import psycopg
from obstore.store import S3Store

from seidra.config import Settings
from seidra.database import open_database
from seidra.database.queries import queries
from seidra.files.keys import SIZES, derived_key
from soak.cluster.clients import Account
from soak.cluster.nodes import Nodes
from soak.cluster.services import BUCKET, DATABASE_URL, S3_ENDPOINT, S3_KEYS

_WITNESS = """
CREATE SCHEMA soak;
CREATE TABLE soak.moves (
    n BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id TEXT NOT NULL, old_status TEXT NOT NULL, new_status TEXT NOT NULL,
    old_claim TEXT, new_claim TEXT, lease_left DOUBLE PRECISION NOT NULL
);
CREATE FUNCTION soak.note() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO soak.moves (job_id, old_status, new_status, old_claim, new_claim, lease_left)
    VALUES (
        OLD.id, OLD.status, NEW.status, OLD.claim, NEW.claim,
        EXTRACT(EPOCH FROM OLD.run_after::TIMESTAMPTZ - CLOCK_TIMESTAMP())
    );
    RETURN NULL;
END
$$;
CREATE TRIGGER soak_note AFTER UPDATE ON generation_jobs
FOR EACH ROW WHEN (OLD.status <> NEW.status OR OLD.claim IS DISTINCT FROM NEW.claim)
EXECUTE FUNCTION soak.note();
"""

_CLOCKS = 0.5
"""Seconds by which the nodes' clock and the server's may be apart: they are measured."""

_FINAL = "('completed', 'failed', 'cancelled')"


def _connect() -> psycopg.Connection[Any]:
    return psycopg.connect(DATABASE_URL, connect_timeout=5)


def rows(statement: str) -> list[tuple[Any, ...]]:
    """What a statement gives. Raises psycopg.Error, also where the server is cut off."""
    with _connect() as connection:
        return connection.execute(statement).fetchall()  # type: ignore[arg-type]


def place_witness() -> None:
    """Have each change of a job noted."""
    with _connect() as connection:
        connection.execute(_WITNESS)


def wait_until_done(seconds: float) -> str | None:
    """Wait until every job has ended; a breach where they do not."""
    deadline = time.monotonic() + seconds
    statement = f"SELECT COUNT(*) FROM generation_jobs WHERE status NOT IN {_FINAL}"
    while left := rows(statement)[0][0]:
        if time.monotonic() > deadline:
            return f"{left} jobs have not ended after {seconds:.0f} s"
        time.sleep(0.2)
    return None


def run_out(seconds: float) -> str | None:
    """Let it be an hour later for the files that were announced and that no row came to name, and
    wait until workers have deleted them."""
    with _connect() as connection:
        connection.execute("UPDATE file_deletions SET due_at = NULL")
    deadline = time.monotonic() + seconds
    while left := rows("SELECT COUNT(*) FROM file_deletions")[0][0]:
        if time.monotonic() > deadline:
            return f"{left} files that nobody names are not deleted after {seconds:.0f} s"
        time.sleep(0.2)
    return None


def breaches(accounts: Sequence[Account], nodes: Nodes) -> Iterator[str]:
    """Everything that does not hold, a sentence each. All jobs have ended, and nothing is on its
    way."""
    for account in accounts:
        yield from _account_breaches(account)
    yield from _history_breaches()
    yield from _object_breaches()
    # SEIDRA's own word, by another node than the one that has just been asked.
    for node, words in (("web1", ("media", "check")), ("web2", ("doctor",))):
        code, said = nodes.flask(node, *words)
        if code != 0:
            yield f"flask {' '.join(words)} on {node}: {said.strip()[-1500:]}"


def _account_breaches(account: Account) -> Iterator[str]:
    mine = f"user_id = {account.user_id}"
    there = {
        id: (status, count)
        for id, status, count in rows(f"SELECT id, status, count FROM generation_jobs WHERE {mine}")
    }
    if lost := account.jobs.keys() - there.keys():
        yield f"{account.name}: {len(lost)} answered jobs are not there: {sorted(lost)[:3]}"
    if more := there.keys() - account.jobs.keys():
        yield f"{account.name}: {len(more)} jobs are there twice: {sorted(more)[:3]}"
    pictures: dict[str, list[tuple[int, str, str]]] = defaultdict(list)
    for job_id, position, id, key in rows(
        "SELECT job_id, position, id, file_key FROM media_items"
        f" WHERE {mine} ORDER BY job_id, position"
    ):
        pictures[job_id].append((position, id, key))
    for id, (status, count) in there.items():
        yield from _job_breaches(account, id, status, count, pictures.pop(id, []))
    if pictures:
        yield f"{account.name}: pictures without a job: {list(pictures)[:3]}"
    names = {
        id: (name, style)
        for id, name, style in rows(f"SELECT id, name, style_prompt FROM personas WHERE {mine}")
    }
    if names.keys() != account.personas.keys():
        others = sorted(names.keys() ^ account.personas.keys())
        yield f"{account.name} has other personas than it made: {others[:3]}"
    for id, (name, style) in names.items():
        right = account.personas.get(id, set())
        if name not in right or style not in (name, f"Style {name}"):
            yield f"persona {id} is {name!r} and {style!r}; right is one of {right}"


def _job_breaches(
    account: Account, id: str, status: str, count: int, found: list[tuple[int, str, str]]
) -> Iterator[str]:
    asked = account.jobs.get(id, count)
    positions = [position for position, _, _ in found]
    if status == "completed" and (count != asked or positions != list(range(count))):
        yield f"job {id} is completed with the pictures {positions}; {asked} were asked for"
    if len({key for _, _, key in found}) != len(found):
        yield f"job {id} has two pictures of one file"
    if status == "cancelled" and id not in account.perhaps_cancelled:
        yield f"job {id} is cancelled, and nobody has done so"
    if id in account.cancelled and status != "cancelled":
        yield f"job {id} was cancelled, and is {status}"
    if status == "failed":
        yield f"job {id} has failed"
    told = account.ended.get(id)
    right = (status, tuple(media_id for _, media_id, _ in found))
    if told != right:
        yield f"the stream told of job {id} {told}; the database says {right}"


def _history_breaches() -> Iterator[str]:
    """What the witness saw: one end of each job, nothing after it, and no claim taken from another
    one before its lease ran out."""
    ends: Counter[str] = Counter()
    for job_id, old, new, old_claim, new_claim, left in rows(
        "SELECT job_id, old_status, new_status, old_claim, new_claim, lease_left"
        " FROM soak.moves ORDER BY n"
    ):
        if ends[job_id]:
            yield f"job {job_id} went from {old} to {new} after its end"
        if new in ("completed", "failed", "cancelled"):
            ends[job_id] += 1
        elif old_claim is not None and new_claim is not None and left > _CLOCKS:
            yield f"job {job_id} was taken from {old_claim} {left:.1f} s before its lease ended"
    for (id,) in rows(f"SELECT id FROM generation_jobs WHERE status IN {_FINAL}"):
        if ends[id] != 1:
            yield f"job {id} has ended {ends[id]} times"


def _object_breaches() -> Iterator[str]:
    """Every row has its object, whole, and every object its row."""
    store = S3Store(
        BUCKET,
        endpoint=S3_ENDPOINT,
        region="us-east-1",
        access_key_id=S3_KEYS["AWS_ACCESS_KEY_ID"],
        secret_access_key=S3_KEYS["AWS_SECRET_ACCESS_KEY"],
        client_options={"allow_http": True},
    )
    there = {
        about["path"].removeprefix("media/"): about["size"]
        for page in obstore.list(store, "media/")
        for about in page
    }
    wanted = dict(rows("SELECT file_key, file_size FROM media_items"))
    for key, size in wanted.items():
        if there.get(key) != size:
            yield f"{key} has {there.get(key)} bytes in the bucket; its row says {size}"
    named = wanted.keys() | {derived_key(key, size) for key in wanted for size in SIZES}
    if orphans := there.keys() - named:
        yield f"{len(orphans)} objects without a row: {sorted(orphans)[:3]}"


def figures() -> dict[str, Any]:
    """How it went, by the witness."""
    ((claims, taken),) = rows(
        "SELECT COUNT(*) FILTER (WHERE old_claim IS NULL AND new_claim IS NOT NULL),"
        " COUNT(*) FILTER (WHERE old_claim <> new_claim) FROM soak.moves"
    )
    jobs = dict(rows("SELECT status, COUNT(*) FROM generation_jobs GROUP BY status"))
    pictures = rows("SELECT COUNT(*) FROM media_items")[0][0]
    return {"jobs": jobs, "pictures": pictures, "claims": claims, "taken over": taken}


def wrong_counts() -> dict[str, int]:
    """Counters that differ from what they count."""
    database = open_database(
        Settings.load(
            {
                "SEIDRA_DATABASE_URL": DATABASE_URL,
                "SEIDRA_JWT_SECRET": "0123456789abcdef0123456789abcdef",
            }
        )
    )
    try:
        found = dict(queries.operations.wrong_counts(database.connection) or {})
    finally:
        database.close()
    return {name: wrong for name, wrong in found.items() if wrong}

"""The database that is measured: a user with 1,000 personas, one with 100,000, a million in all;
jobs and media alike.

Made once and used again while sizes, migrations and this package's texts stay the same. Rows of all
users come interleaved, as they would in the years that such a library takes to grow.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks import texts
from seidra import folding
from seidra.config import Settings
from seidra.database import init_database
from seidra.database.sqlite.connect import open_connection
from seidra.jobs.results import media_id
from seidra.values import timestamp, to_json

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "benchmarks" / "work"

SMALL, LARGE, WRITER = 2, 3, 4
"""The users' ids: 1,000 personas, 100,000, and the one whose personas the benchmark makes and
removes."""

RARE_ROWS = 5
SHARED_ROWS = 1_000
_OTHERS = 200
_BEGAN = datetime(2024, 1, 1)
_BATCH = 20_000


@dataclass(frozen=True)
class Sizes:
    """How many personas, and jobs and media each; `deep_offset` is 80 % into the large user's."""

    name: str
    small: int
    large: int
    total: int

    @property
    def deep_offset(self) -> int:
        return self.large * 8 // 10


FULL = Sizes("full", 1_000, 100_000, 1_000_000)
QUICK = Sizes("quick", 1_000, 60_000, 100_000)


def environment(sizes: Sizes) -> dict[str, str]:
    """The SEIDRA_* variables of everything that is measured."""
    return {
        "SEIDRA_DATABASE_URL": f"sqlite:///{WORK / sizes.name / 'seidra.db'}",
        "SEIDRA_JWT_SECRET": "a secret for benchmarks only, not for anything else",
        "SEIDRA_ACCESS_TOKEN_SECONDS": "86400",
        "SEIDRA_MAX_QUEUED_JOBS": "1000",
        "SEIDRA_WEB_WORKERS": "2",
        "SEIDRA_WEB_THREADS": "4",
        "SEIDRA_LOG_LEVEL": "warning",
        "SEIDRA_EMBEDDED_WORKER": "false",
        # What is measured is sent by one user in seconds.
        "SEIDRA_RATE_LIMITS": "off",
    }


def ensure(sizes: Sizes, copy: Callable[[sqlite3.Connection, Path], None]) -> dict[str, Any]:
    """Make the database, and by `copy` the peer's, unless they are there; returns {"rows": {...},
    "seconds": n}."""
    folder = WORK / sizes.name
    stamp, wanted = folder / "stamp.json", fingerprint(sizes)
    if stamp.is_file():
        known: dict[str, Any] = json.loads(stamp.read_text())
        if known["fingerprint"] == wanted:
            _tidy(sizes)
            if not (folder / "fastapi.db").exists():
                # Made by a run that asks the peer nothing.
                with closing(open_connection(folder / "seidra.db")) as connection:
                    copy(connection, folder / "fastapi.db")
            return known
    print(f"Making the database ({sizes.total:,} personas, jobs and media each) ...", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    settings = Settings.load(environment(sizes))
    init_database(settings)
    began = time.monotonic()
    connection = open_connection(settings.database_path)
    # Nothing of it needs to outlive a crash before the stamp is written.
    for pragma in (
        "journal_mode = OFF",
        "synchronous = OFF",
        "foreign_keys = OFF",
        "cache_size = -2000000",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    _fill(connection, sizes)
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    rows = _check(connection, sizes)
    copy(connection, folder / "fastapi.db")
    connection.close()
    known = {
        "fingerprint": wanted,
        "rows": rows,
        "seconds": round(time.monotonic() - began, 1),
        **asdict(sizes),
    }
    stamp.write_text(json.dumps(known))
    return known


def fingerprint(sizes: Sizes) -> str:
    """What the database is made of: another one is another database."""
    digest = hashlib.sha256(json.dumps(asdict(sizes)).encode())
    here = ROOT / "benchmarks"
    names = (
        "data.py",
        "texts.py",
        "words.txt",
        "peers/fastapi_app/models.py",
        "peers/fastapi_app/copy.py",
    )
    sources = [
        *ROOT.glob("migrations/*.sql"),
        Path(folding.__file__),
        *(here / name for name in names),
    ]
    for path in sorted(sources):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _tidy(sizes: Sizes) -> None:
    """Remove what earlier runs wrote, as time would have done it."""
    settings = Settings.load(environment(sizes))
    connection = open_connection(settings.database_path)
    connection.execute("BEGIN")
    for table in ("media_items", "generation_jobs", "personas"):
        connection.execute(f"DELETE FROM {table} WHERE user_id = ?", (WRITER,))
    connection.execute("DELETE FROM file_deletions")
    connection.execute("COMMIT")
    connection.close()
    for folder in (settings.media_dir, settings.thumbnail_dir, settings.tmp_dir):
        shutil.rmtree(folder, ignore_errors=True)


def _fill(connection: sqlite3.Connection, sizes: Sizes) -> None:
    """Everything in one transaction."""
    rng = random.Random(7)
    connection.execute("BEGIN")
    _insert(connection, "users", _users())
    owners = [SMALL] * sizes.small + [LARGE] * sizes.large
    owners += [WRITER + 1 + rng.randrange(_OTHERS) for _ in range(sizes.total - len(owners))]
    rng.shuffle(owners)
    rare = set(rng.sample([at for at, owner in enumerate(owners) if owner == LARGE], RARE_ROWS))
    rows = _rows(rng, owners, rare)
    while batch := list(islice(rows, _BATCH)):
        personas, found_by, tags, jobs, media = zip(*batch, strict=True)
        _insert(connection, "personas", personas)
        _insert(connection, "persona_texts", found_by)
        _insert(connection, "persona_tags", [row for each in tags for row in each])
        _insert(connection, "generation_jobs", jobs)
        _insert(connection, "media_items", media)
    connection.execute(
        "UPDATE personas SET visibility = 'shared' WHERE id IN"
        " (SELECT id FROM personas WHERE user_id > ? ORDER BY id LIMIT ?)",
        (WRITER, SHARED_ROWS),
    )
    connection.execute("COMMIT")


def _insert(connection: sqlite3.Connection, table: str, rows: Any) -> None:
    if rows:
        columns = list(rows[0])
        names, values = ", ".join(columns), ", ".join(f":{column}" for column in columns)
        connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({values})", rows)


def _users() -> list[dict[str, Any]]:
    return [
        {
            "id": id,
            "username": f"user{id}",
            "username_key": f"user{id}",
            "email": f"user{id}@example.com",
            "email_key": f"user{id}@example.com",
            "settings": "{}",
            "created_at": timestamp(_BEGAN),
            "updated_at": timestamp(_BEGAN),
        }
        for id in range(SMALL, WRITER + _OTHERS + 1)
    ]


def _rows(
    rng: random.Random, owners: list[int], rare: set[int]
) -> Iterator[
    tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]], dict[str, Any], dict[str, Any]]
]:
    """One persona after another: its row, search text and tags, a job that it had and the picture
    that the job made."""
    step = timedelta(days=700) / len(owners)
    for at, owner in enumerate(owners):
        body = texts.persona(rng, rare=at in rare)
        now = timestamp(_BEGAN + at * step)
        shared = {
            "user_id": owner,
            "is_nsfw": body["is_nsfw"],
            "created_at": now,
            "updated_at": now,
        }
        loras = [{"name": name, "weight": 1} for name in body.pop("lora_models")]
        persona = {
            **body,
            **shared,
            "id": at + 1,
            "uid": str(uuid.UUID(int=at + 1)),
            "name_key": folding.sort_key(body["name"]),
            "loras": to_json([{**lora, "enabled": True} for lora in loras]),
            **{name: to_json(body[name]) for name in ("generation_params", "tags")},
        }
        text = {
            "doc_id": (owner << 32) | (at + 1),
            "safety": "nsf" if body["is_nsfw"] else "sfw",
            "favor": "fav" if body["is_favorite"] else "oth",
            "search_text": folding.document(
                [body["name"], body["description"], body["style_prompt"], *body["tags"]]
            ),
        }
        keys = {folding.fold(tag) for tag in body["tags"]}
        tags = [{"user_id": owner, "tag_key": key, "persona_id": at + 1} for key in sorted(keys)]
        job_id = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        failed = rng.random() < 0.03
        parameters = body["generation_params"] | {
            "seed": at,
            "num_inference_steps": 25,
            "scheduler": "ddim",
        }
        search_text = folding.document([body["style_prompt"]])
        job = {
            **shared,
            "id": job_id,
            "persona_id": at + 1,
            "job_type": "persona_preview",
            "status": "failed" if failed else "completed",
            "progress": 1.0,
            "prompt": body["style_prompt"],
            "negative_prompt": body["negative_prompt"],
            "model_name": "sdxl-base",
            "loras": to_json(loras),
            "parameters": to_json(parameters),
            "metadata": to_json({"persona_name": body["name"], "engine": "mock"}),
            "attempts": 1,
            "run_after": now,
            "seconds": 0.2,
            "search_text": search_text,
            "started_at": now,
            "completed_at": now,
        }
        item = {
            **shared,
            "id": media_id(job_id, 0),
            "job_id": job_id,
            "persona_id": at + 1,
            "file_type": "image",
            "mime_type": "image/png",
            "width": 768,
            "height": 768,
            "file_size": rng.randrange(400_000, 1_400_000),
            "metadata": to_json(
                {"prompt": body["style_prompt"], "seed": at, "parameters": parameters}
            ),
            "is_favorite": body["is_favorite"],
            "search_text": search_text,
        }
        yield persona, text, tags, job, item


def _check(connection: sqlite3.Connection, sizes: Sizes) -> dict[str, int]:
    """The numbers of rows; raises when a counter differs from a COUNT."""
    rows = {}
    for table, counters in (
        ("personas", "persona_counts"),
        ("generation_jobs", "job_counts"),
        ("media_items", "media_counts"),
    ):
        counted = dict(
            connection.execute(f"SELECT user_id, COUNT(*) FROM {table} GROUP BY user_id").fetchall()
        )
        kept = dict(
            connection.execute(
                f"SELECT user_id, SUM(n) FROM {counters} GROUP BY user_id"
            ).fetchall()
        )
        if counted != kept or (counted[SMALL], counted[LARGE]) != (sizes.small, sizes.large):
            raise RuntimeError(f"{counters} differs from {table}.")
        rows[table] = sum(counted.values())
    return rows

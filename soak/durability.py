"""What an answered write that also survives a power cut costs: synchronous FULL against NORMAL,
taking turns."""

from __future__ import annotations

import dataclasses
import statistics
import time
from pathlib import Path
from typing import Any

from seidra.config import Settings
from seidra.database import init_database
from seidra.database.queries import queries
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.values import timestamp

_ROUNDS = 11


def run(folder: Path, writes: int) -> dict[str, Any]:
    """Median microseconds of a small transaction with each, and the median ratio of neighbouring
    rounds."""
    folder.mkdir(exist_ok=True)
    url = f"sqlite:////{str(folder / 'seidra.db').lstrip('/')}"
    settings = Settings.load({"SEIDRA_DATABASE_URL": url})
    init_database(settings)
    taken: dict[str, list[float]] = {"normal": [], "full": []}
    for _ in range(_ROUNDS):
        for mode, rounds in taken.items():
            rounds.append(
                _round(
                    SqliteDatabase(dataclasses.replace(settings, sqlite_synchronous=mode)), writes
                )
            )
    ratios = [full / normal for normal, full in zip(*taken.values(), strict=True)]
    figures = {f"{mode}_us": round(statistics.median(rounds)) for mode, rounds in taken.items()}
    return {**figures, "full_to_normal": round(statistics.median(ratios), 1), "breaches": []}


def _round(database: SqliteDatabase, writes: int) -> float:
    """Microseconds of one write transaction, as an average of many."""
    began = time.perf_counter()
    for number in range(writes):
        with database.transaction() as tx:
            queries.platform.remember(tx, name="soak", value=str(number), now=timestamp())
    seconds = time.perf_counter() - began
    database.close()
    return seconds / writes * 1e6

"""`flask media check`: what it finds, what it mends, and that it hurts nobody who works
meanwhile."""

from __future__ import annotations

import dataclasses
import os
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import Person, wait_for
from test_start import run, variables

from seidra.config import Settings
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.engines.base import Engine, RenderContext, RenderedImage, RenderRequest
from seidra.jobs import chores
from seidra.jobs.results import media_id
from seidra.jobs.worker import Worker
from seidra.media.storage import Storage
from seidra.operations.housekeeping import Housekeeper
from seidra.operations.media import Finding, MediaCheck
from seidra.operations.workers import make_worker
from seidra.values import timestamp_in

SMALL = {"generation_params": {"width": 64, "height": 64, "quality": "draft"}}
STRAY = "abababab-abab-abab-abab-abababababab"


def found(
    settings: Settings, database: SqliteDatabase, *, deep: bool = False
) -> list[tuple[str, Path]]:
    return sorted(
        (finding.kind, finding.path) for finding in MediaCheck(settings, database).find(deep=deep)
    )


def pictures(settings: Settings) -> list[Path]:
    return sorted(settings.media_dir.rglob("*.png"))


def put(path: Path, data: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def aged(path: Path, hours: float) -> Path:
    then = path.stat().st_mtime - hours * 3600
    os.utime(path, (then, then))
    return path


@pytest.fixture
def filled(alice: Person, worker: Worker, settings: Settings) -> Settings:
    """An instance with three pictures."""
    persona = alice.persona(**SMALL)
    for seed in range(3):
        alice.preview(persona["id"], seed=seed)
        worker.work_one()
    assert len(pictures(settings)) == 3
    return settings


def test_what_it_finds(filled: Settings, database: SqliteDatabase) -> None:
    assert found(filled, database, deep=True) == []
    lost, short, broken = pictures(filled)
    data = broken.read_bytes()
    lost.unlink()
    short.write_bytes(b"x")
    broken.write_bytes(data[:60] + bytes(len(data) - 60))
    stray = put(filled.media_dir / "ab" / f"{STRAY}.png")
    # A thumbnail of nothing, a picture of another type than its item's, files that SEIDRA never
    # makes.
    thumbnail = put(filled.thumbnail_dir / "ab" / f"{STRAY}.webp")
    twin = put(broken.with_suffix(".jpg"))
    strangers = [put(filled.media_dir / "notes.txt"), put(filled.media_dir / "cd" / f"{STRAY}.png")]
    leftover = aged(put(filled.tmp_dir / "thumbnail-1-2"), 25)
    put(filled.tmp_dir / "thumbnail-3-4")
    expected = [
        ("leftover", leftover),
        ("lost", lost),
        ("orphan", stray),
        ("orphan", thumbnail),
        ("orphan", twin),
        ("size", short),
        *(("stranger", path) for path in strangers),
    ]
    assert found(filled, database) == sorted(expected)
    assert found(filled, database, deep=True) == sorted([*expected, ("unreadable", broken)])


def test_a_picture_of_another_size_is_unreadable_as_its_item(
    filled: Settings, database: SqliteDatabase
) -> None:
    one = pictures(filled)[0]
    with database.transaction() as tx:
        tx.execute("UPDATE media_items SET width = 65 WHERE id = ?", (one.stem,))
    assert found(filled, database) == []
    [finding] = MediaCheck(filled, database).find(deep=True)
    assert finding.sentence == f"{one} is 64x64; its item says 65x64."


def test_repair_deletes_what_has_lost_its_other_half(
    filled: Settings, database: SqliteDatabase, alice: Person
) -> None:
    lost, short, _ = pictures(filled)
    lost.unlink()
    short.write_bytes(b"x")
    put(filled.media_dir / "ab" / f"{STRAY}.png")
    stranger = put(filled.media_dir / "notes.txt")
    folder = filled.tmp_dir / "dead-1"
    put(folder / "0.media")
    aged(folder, 25)
    check = MediaCheck(filled, database)
    findings = list(check.find())
    assert [check.repair(finding) for finding in findings] == [
        finding.kind in ("lost", "orphan", "leftover") for finding in findings
    ]
    assert found(filled, database) == [("size", short), ("stranger", stranger)]
    items = alice.get("/api/media").get_json()
    assert items["total"] == 2
    assert lost.stem not in {item["id"] for item in items["items"]}
    assert not folder.exists()
    # The lost picture's thumbnail goes with the item.
    Housekeeper(database, Storage(filled), filled).run(idle=True)
    assert not (filled.thumbnail_dir / lost.stem[:2] / f"{lost.stem}.webp").exists()


def test_files_that_are_about_to_go_anyway_are_no_finding(
    filled: Settings, database: SqliteDatabase, alice: Person
) -> None:
    alice.delete(f"/api/media/{pictures(filled)[0].stem}")
    assert len(pictures(filled)) == 3
    assert found(filled, database) == []


def test_a_suspicion_that_has_become_wrong_mends_nothing(
    filled: Settings, database: SqliteDatabase
) -> None:
    check = MediaCheck(filled, database)
    one = pictures(filled)[0]
    assert not check.repair(Finding("orphan", one, "", one.stem))
    assert not check.repair(Finding("lost", one, "", one.stem))
    assert one.exists()
    assert found(filled, database) == []


class Pair(Engine):
    """Two pictures, so that there is a moment between the renames and the commit."""

    name = "mock"

    def __init__(self, image: bytes) -> None:
        self._image = image

    def render(self, request: RenderRequest, context: RenderContext) -> list[RenderedImage]:
        return [RenderedImage(self._image, "image/png", 64, 64)] * 2


def test_a_file_whose_row_is_about_to_commit_is_left_alone(
    filled: Settings, database: SqliteDatabase, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker stops between its renames and its commit, while the check sees the files without
    rows."""
    renamed, go_on = threading.Event(), threading.Event()
    worker = make_worker(
        filled, database, Pair(pictures(filled)[0].read_bytes()), threading.Event()
    )
    real = worker._add_media

    def halting(*arguments: Any) -> None:
        renamed.set()
        # Well within the five seconds that the check waits for the write lock.
        go_on.wait(1)
        real(*arguments)

    monkeypatch.setattr(worker, "_add_media", halting)
    job_id = alice.preview(alice.persona(**SMALL)["id"])
    results: list[Any] = []

    def work() -> None:
        with closing(database):
            worker.work_one()

    def look() -> None:
        with closing(database):
            check = MediaCheck(filled, database)
            for finding in check.find():
                results.append(check.repair(finding))

    working = threading.Thread(target=work)
    working.start()
    assert renamed.wait(30)
    assert (filled.media_dir / media_id(job_id, 0)[:2] / f"{media_id(job_id, 0)}.png").exists()
    looking = threading.Thread(target=look)
    looking.start()
    working.join(30)
    looking.join(30)
    assert results == []
    assert len(pictures(filled)) == 5
    assert found(filled, database) == []


def test_a_check_while_a_worker_works_finds_nothing(
    filled: Settings, database: SqliteDatabase, alice: Person
) -> None:
    persona = alice.persona(**SMALL)
    worker = make_worker(
        filled, database, Pair(pictures(filled)[0].read_bytes()), threading.Event()
    )
    jobs = [alice.preview(persona["id"]) for _ in range(20)]
    worker.start()
    try:
        seen: list[tuple[str, Path]] = []
        wait_for(lambda: seen.extend(found(filled, database)) or _done(alice, jobs[-1]))
    finally:
        worker.stop(30)
    assert seen == []
    assert len(pictures(filled)) == 43


def _done(alice: Person, job_id: str) -> bool:
    return bool(alice.get(f"/api/jobs/{job_id}").get_json()["status"] == "completed")


# ------------------------------------------------------------------------------------- housekeeping


def test_what_a_crashed_attempt_left_beyond_the_result_goes(
    filled: Settings, database: SqliteDatabase, alice: Person, worker: Worker
) -> None:
    job_id = alice.preview(alice.persona(**SMALL)["id"])
    storage = Storage(filled)
    storage.put_temporary("dead-1", 3, pictures(filled)[0].read_bytes())
    storage.promote("dead-1", 3, media_id(job_id, 3), "image/png")
    storage.discard_temporary("dead-1")
    with database.transaction() as tx:
        tx.execute(
            "UPDATE generation_jobs SET attempts = 1, status = 'processing' WHERE id = ?", (job_id,)
        )
    worker.work_one()
    assert len(pictures(filled)) == 5
    Housekeeper(database, storage, filled).run(idle=True)
    assert len(pictures(filled)) == 4
    assert found(filled, database) == []


def test_a_thumbnail_made_while_its_item_is_deleted_does_not_stay(
    filled: Settings, database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, id = Storage(filled), pictures(filled)[0].stem
    (filled.thumbnail_dir / id[:2] / f"{id}.webp").unlink()
    real = os.replace

    def deleted_first(source: Any, target: Any) -> None:
        storage.delete(id)
        real(source, target)

    monkeypatch.setattr(os, "replace", deleted_first)
    storage.thumbnail_path(id, "image/png")
    assert not (filled.thumbnail_dir / id[:2] / f"{id}.webp").exists()
    assert list(filled.tmp_dir.iterdir()) == []


def test_old_jobs_go_in_batches_and_their_media_stay(
    filled: Settings, database: SqliteDatabase, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chores, "_BATCH", 2)
    waiting = alice.preview(alice.persona(**SMALL)["id"])
    jobs = [
        job["job_id"]
        for job in alice.get("/api/jobs").get_json()["jobs"]
        if job["job_id"] != waiting
    ]
    with database.transaction() as tx:
        tx.execute(
            "UPDATE generation_jobs SET created_at = ?, run_after = ?",
            (timestamp_in(-9e6), timestamp_in(-9e6)),
        )
        for job_id in jobs:
            tx.execute(
                "UPDATE generation_jobs SET completed_at = ? WHERE id = ?",
                (timestamp_in(-864_010), job_id),
            )

    def left(days: int) -> int:
        settings = dataclasses.replace(filled, keep_jobs_days=days)
        Housekeeper(database, Storage(settings), settings).run(idle=True)
        return int(alice.get("/api/jobs").get_json()["total"])

    assert [left(0), left(11)] == [4, 4]
    assert [left(10), left(10), left(10)] == [2, 1, 1]
    assert alice.get(f"/api/jobs/{waiting}").status_code == 200
    media = alice.get("/api/media").get_json()
    assert media["total"] == 3
    assert {item["job_id"] for item in media["items"]} == {None}


def test_old_temporary_files_go(filled: Settings, database: SqliteDatabase, alice: Person) -> None:
    job_id = alice.preview(alice.persona(**SMALL)["id"])
    keeper = Housekeeper(database, Storage(filled), filled)
    # Its first round sweeps what a crash left; later ones drop what is old.
    keeper.run(idle=True)
    keeper._last_sessions = float("-inf")
    with database.transaction() as tx:
        tx.execute(
            "UPDATE generation_jobs SET status = 'processing', claim = 'live-1' WHERE id = ?",
            (job_id,),
        )
    for name in ("live-1", "dead-1", "young-1"):
        put(filled.tmp_dir / name / "0.media")
    aged(put(filled.tmp_dir / "thumbnail-1-2"), 25)
    put(filled.tmp_dir / "thumbnail-3-4")
    for name in ("live-1", "dead-1"):
        aged(filled.tmp_dir / name, 25)
    keeper.run(idle=True)
    assert sorted(path.name for path in filled.tmp_dir.iterdir()) == [
        "live-1",
        "thumbnail-3-4",
        "young-1",
    ]


# -------------------------------------------------------------------------------------- the command


def test_the_command(filled: Settings, tmp_path: Path) -> None:
    def check(*options: str) -> tuple[int, str, str]:
        done = run(
            "-m", "flask", "media", "check", *options, cwd=tmp_path, env=variables(filled.data_dir)
        )
        return done.returncode, done.stdout, done.stderr

    assert check("--deep") == (0, "Checked 3 items and 6 files: all is well.\n", "")
    lost, short, _ = pictures(filled)
    lost.unlink()
    short.write_bytes(b"x")
    orphans = [put(filled.media_dir / "ab" / f"{STRAY[:-2]}{n}.png") for n in range(10, 20)]
    code, said, sentence = check()
    assert code == 1
    assert said.splitlines()[0] == f"lost        Item {lost.stem} has no file {lost}."
    assert said.splitlines()[-1] == "Checked 3 items and 15 files, 1 lost, 10 orphan, 1 size."
    assert (
        sentence
        == "Error: Something is wrong; `flask media check --repair` mends 11 of 12 findings.\n"
    )
    code, said, sentence = check("--repair")
    assert (code, said) == (1, "")
    assert "10 of 15 files have no item" in sentence
    assert all(path.exists() for path in orphans)
    code, said, sentence = check("--repair", "--force")
    assert (code, said.count("Deleted.")) == (1, 11)
    assert (
        sentence
        == "Error: Something is wrong that only a person can mend, from a backup for example.\n"
    )
    assert not any(path.exists() for path in orphans)

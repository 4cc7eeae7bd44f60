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
from seidra.files.keys import SIZES, derived_key, original_key
from seidra.files.local import LocalFiles
from seidra.jobs import chores, results
from seidra.jobs.worker import Worker
from seidra.media.thumbnails import thumbnail_key
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


def id_of(path: Path) -> str:
    """The id of the item that a file belongs to."""
    return path.name[:36]


def key_of(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


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
    # Thumbnails of nothing, pictures of another type and another attempt than their item's, files
    # that SEIDRA never makes.
    thumbnail = put(filled.thumbnail_dir / "ab" / f"{STRAY}.webp")
    derived = put(filled.thumbnail_dir / "ab" / f"{STRAY}.0123456789abcdef.png.320.webp")
    twin = put(broken.with_suffix(".jpg"))
    other = put(broken.with_name(f"{id_of(broken)}.0123456789abcdef.png"))
    plain = put(broken.with_name(f"{id_of(broken)}.png"))
    strangers = [
        put(filled.media_dir / "notes.txt"),
        put(filled.media_dir / "cd" / f"{STRAY}.png"),
        put(filled.media_dir / "ab" / f"{STRAY}.png.320.webp"),
        put(filled.thumbnail_dir / "ab" / f"{STRAY}.png.320.webp"),
        put(filled.thumbnail_dir / "ab" / f"{STRAY}.0123456789abcdef.png.480.webp"),
    ]
    leftover = aged(put(filled.tmp_dir / "thumbnail-1-2"), 25)
    put(filled.tmp_dir / "thumbnail-3-4")
    expected = [
        ("leftover", leftover),
        ("lost", lost),
        ("orphan", stray),
        ("orphan", thumbnail),
        ("orphan", derived),
        ("orphan", twin),
        ("orphan", other),
        ("orphan", plain),
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
        tx.execute("UPDATE media_items SET width = 65 WHERE id = ?", (id_of(one),))
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
    assert id_of(lost) not in {item["id"] for item in items["items"]}
    assert not folder.exists()
    # The lost picture's thumbnail goes with the item.
    Housekeeper(database, LocalFiles(filled), filled).run(idle=True)
    assert len(list(filled.thumbnail_dir.rglob("*.webp"))) == 2


def test_files_that_are_about_to_go_anyway_are_no_finding(
    filled: Settings, database: SqliteDatabase, alice: Person
) -> None:
    alice.delete(f"/api/media/{id_of(pictures(filled)[0])}")
    assert len(pictures(filled)) == 3
    assert found(filled, database) == []


def test_a_suspicion_that_has_become_wrong_mends_nothing(
    filled: Settings, database: SqliteDatabase
) -> None:
    check = MediaCheck(filled, database)
    one = pictures(filled)[0]
    assert not check.repair(Finding("orphan", one, "", key_of(one), id_of(one)))
    assert not check.repair(Finding("lost", one, "", key_of(one), id_of(one)))
    assert one.exists()
    assert found(filled, database) == []


class Pair(Engine):
    """Two pictures, so that there is a moment between files and rows."""

    def __init__(self, image: bytes) -> None:
        super().__init__("mock")
        self._image = image

    def render(self, request: RenderRequest, context: RenderContext) -> list[RenderedImage]:
        return [
            RenderedImage(self._image, "image/png", 64, 64, position=picture.position)
            for picture in request.wanted()
        ]


def two_each(database: SqliteDatabase) -> None:
    """Let each job that waits be one of two pictures."""
    with database.transaction() as tx:
        tx.execute("UPDATE generation_jobs SET count = 2 WHERE status = 'queued'")


def test_a_file_whose_row_is_about_to_commit_is_left_alone(
    filled: Settings, database: SqliteDatabase, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker stops between its files and their rows, while the check sees files without
    rows."""
    stored, go_on = threading.Event(), threading.Event()
    worker = make_worker(
        filled, database, [Pair(pictures(filled)[0].read_bytes())], threading.Event()
    )
    real = results.store_picture

    def halting(*arguments: Any) -> None:
        real(*arguments)
        stored.set()
        assert go_on.wait(120)

    monkeypatch.setattr(results, "store_picture", halting)
    job_id = alice.preview(alice.persona(**SMALL)["id"])
    two_each(database)
    repaired: list[Any] = []

    def work() -> None:
        with closing(database):
            worker.work_one()

    def look() -> None:
        with closing(database):
            check = MediaCheck(filled, database)
            for finding in check.find():
                repaired.append(check.repair(finding))

    working = threading.Thread(target=work)
    working.start()
    assert stored.wait(120)
    first = results.media_id(job_id, 0)
    assert list((filled.media_dir / first[:2]).glob(f"{first}.*.png"))
    looking = threading.Thread(target=look)
    looking.start()
    looking.join(120)
    go_on.set()
    working.join(120)
    assert repaired == []
    assert len(pictures(filled)) == 5
    assert found(filled, database) == []


def test_a_check_while_a_worker_works_finds_nothing(
    filled: Settings, database: SqliteDatabase, alice: Person
) -> None:
    persona = alice.persona(**SMALL)
    worker = make_worker(
        filled, database, [Pair(pictures(filled)[0].read_bytes())], threading.Event()
    )
    jobs = [alice.preview(persona["id"]) for _ in range(20)]
    two_each(database)
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


def test_files_of_an_attempt_that_crashed_are_no_finding_and_go(
    filled: Settings, database: SqliteDatabase, alice: Person, worker: Worker
) -> None:
    """It had stored more pictures than the attempt that follows."""
    job_id = alice.preview(alice.persona(**SMALL)["id"])
    files, data = LocalFiles(filled), pictures(filled)[0].read_bytes()
    made = [RenderedImage(data, "image/png", 64, 64, position=position) for position in range(3)]
    for image in made:
        results.store_picture(database, files, results.prepare_picture(job_id, "dead-1", image))
    with database.transaction() as tx:
        tx.execute(
            "UPDATE generation_jobs SET attempts = 1, status = 'processing' WHERE id = ?", (job_id,)
        )
    worker.work_one()
    assert len(pictures(filled)) == 7
    assert found(filled, database) == []
    with database.transaction() as tx:
        tx.execute("UPDATE file_deletions SET due_at = ?", (timestamp_in(-1),))
    Housekeeper(database, files, filled).run(idle=True)
    assert len(pictures(filled)) == 4
    assert found(filled, database) == []


def test_a_thumbnail_made_while_its_item_is_deleted_does_not_stay(
    filled: Settings, database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, key = LocalFiles(filled), key_of(pictures(filled)[0])
    files.delete([derived_key(key, 320)])
    real = os.replace

    def deleted_first(source: Any, target: Any) -> None:
        files.delete([key, derived_key(key, 320)])
        real(source, target)

    monkeypatch.setattr(os, "replace", deleted_first)
    thumbnail_key(files, key)
    assert not any(original_key(found) == key for found in files.keys())  # noqa: SIM118
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
        Housekeeper(database, LocalFiles(settings), settings).run(idle=True)
        return int(alice.get("/api/jobs").get_json()["total"])

    assert [left(0), left(11)] == [4, 4]
    assert [left(10), left(10), left(10)] == [2, 1, 1]
    assert alice.get(f"/api/jobs/{waiting}").status_code == 200
    media = alice.get("/api/media").get_json()
    assert media["total"] == 3
    assert {item["job_id"] for item in media["items"]} == {None}


def test_old_temporary_files_go(filled: Settings, database: SqliteDatabase) -> None:
    for name in ("host-7-ab12cd34-1", "host-7-ab12cd34-2"):
        # As an attempt of 0.1 left them.
        put(filled.tmp_dir / name / "0.media")
    aged(put(filled.tmp_dir / "put-1-2"), 25)
    put(filled.tmp_dir / "put-3-4")
    aged(filled.tmp_dir / "host-7-ab12cd34-1", 25)
    Housekeeper(database, LocalFiles(filled), filled).run(idle=True)
    assert sorted(path.name for path in filled.tmp_dir.iterdir()) == [
        "host-7-ab12cd34-2",
        "put-3-4",
    ]


# -------------------------------------------------------------------------------------- the command


@pytest.mark.slow
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
    assert said.splitlines()[0] == f"lost        Item {id_of(lost)} has no file {lost}."
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


def test_every_size_and_the_trash_are_no_finding(
    filled: Settings, database: SqliteDatabase, alice: Person
) -> None:
    files = LocalFiles(filled)
    kept, trashed, _ = pictures(filled)
    for path in (kept, trashed):
        for size in SIZES:
            thumbnail_key(files, key_of(path), size)
    assert alice.delete(f"/api/media/{id_of(trashed)}").status_code == 204
    assert found(filled, database, deep=True) == []
    # What is looked at in an item is looked at in the trash too.
    trashed.write_bytes(trashed.read_bytes()[:-1])
    assert found(filled, database) == [("size", trashed)]
    trashed.unlink()
    check = MediaCheck(filled, database)
    [lost] = check.find()
    assert (lost.kind, lost.media_id) == ("lost", id_of(trashed))
    assert check.repair(lost)
    assert alice.get("/api/trash").get_json()["total"] == 0
    assert found(filled, database) == []
    Housekeeper(database, files, filled).run(idle=True)
    assert not [key for key in list(files.keys()) if id_of(trashed) in key]
    # A size of nothing is one.
    stray = put(filled.thumbnail_dir / "ab" / f"{STRAY}.0123456789abcdef.png.1600.webp")
    assert found(filled, database) == [("orphan", stray)]

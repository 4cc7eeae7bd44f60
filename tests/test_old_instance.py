"""An instance as SEIDRA 0.1 left it: its files go on where they are, and a way back leads to it.

`old/` holds one and its backup, made by 0.1: three pictures, one of them deleted and not yet gone,
and the temporary folder of an attempt that was killed.
"""

from __future__ import annotations

import dataclasses
import gzip
import io
import os
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import PASSWORD, environment
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from seidra import create_app
from seidra.config import Settings
from seidra.database import migrate
from seidra.database.sqlite.connect import SqliteDatabase, open_connection
from seidra.engines.base import RenderedImage
from seidra.engines.mock import MockEngine
from seidra.files.keys import SIZES
from seidra.files.local import LocalFiles
from seidra.jobs import results
from seidra.operations import backup, restore
from seidra.operations.housekeeping import Housekeeper
from seidra.operations.media import MediaCheck
from seidra.operations.rollback import rollback
from seidra.operations.workers import make_worker
from seidra.web.services import services_of

pytestmark = [pytest.mark.slow, pytest.mark.sqlite_only("0.1 had SQLite alone")]

OLD = Path(__file__).parent / "old"
KEPT = [
    ("1f", "1f071518-488e-5006-b1a4-5b2a0ac0c96c"),
    ("e5", "e5999613-219b-554a-8380-9e5a103d5889"),
]
DELETED = ("5a", "5ae4383f-5db3-51f8-ac41-d38abf99ead5")


def plain(settings: Settings, *pictures: tuple[str, str]) -> list[Path]:
    """The files of some pictures, by the names of 0.1."""
    return sorted(
        [settings.media_dir / shard / f"{id}.png" for shard, id in pictures]
        + [settings.thumbnail_dir / shard / f"{id}.webp" for shard, id in pictures]
    )


def stored(settings: Settings) -> list[Path]:
    """Every file of the media."""
    folders = (settings.media_dir, settings.thumbnail_dir)
    return sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def old(tmp_path: Path) -> Settings:
    """The instance of 0.1, that no later version has touched."""
    with tarfile.open(OLD / "instance-0.1.tar.gz") as tar:
        tar.extractall(tmp_path / "instance", filter="data")
    # What was in hand is as old as the test, not as the archive.
    for path in (tmp_path / "instance" / "tmp").rglob("*"):
        os.utime(path)
    return Settings.load(environment(tmp_path / "instance"))


@pytest.fixture
def serve() -> Iterator[Callable[[Settings], Flask]]:
    """Bring an instance up to date and make its application: `serve(old)`."""
    made: list[Flask] = []

    def make(settings: Settings) -> Flask:
        made.append(create_app(settings))
        return made[-1]

    yield make
    for app in made:
        services_of(app).database.close()


def login(app: Flask) -> tuple[FlaskClient, dict[str, str]]:
    client = app.test_client()
    answer = client.post("/api/auth/login", json={"username": "alice", "password": PASSWORD})
    return client, {"Authorization": f"Bearer {answer.get_json()['access_token']}"}


def shown(app: Flask) -> dict[str, list[bytes]]:
    """What every item's three links load, by the item's id."""
    client, headers = login(app)
    items = client.get("/api/media", headers=headers).get_json()["items"]
    loaded: dict[str, list[bytes]] = {}
    for item in items:
        answers = [
            client.get(item[name], buffered=True)
            for name in ("url", "thumbnail_url", "download_url")
        ]
        assert [answer.status_code for answer in answers] == [200] * 3
        loaded[item["id"]] = [answer.data for answer in answers]
    return loaded


def kinds(settings: Settings) -> list[str]:
    """What a look over rows and files finds."""
    with closing(SqliteDatabase(settings)) as database:
        return [finding.kind for finding in MediaCheck(settings, database).find(deep=True)]


def keep_house(settings: Settings) -> None:
    with closing(SqliteDatabase(settings)) as database:
        Housekeeper(database, LocalFiles(settings), settings).run(idle=True)


def test_its_files_are_served_where_they_are(
    old: Settings, serve: Callable[[Settings], Flask]
) -> None:
    before = {path: path.read_bytes() for path in stored(old)}
    assert sorted(before) == plain(old, *KEPT, DELETED)
    loaded = shown(serve(old))
    assert loaded == {
        id: [before[picture], before[thumbnail], before[picture]]
        for shard, id in KEPT
        for picture, thumbnail in [plain(old, (shard, id))]
    }
    assert kinds(old) == []
    assert {path: path.read_bytes() for path in stored(old)} == before


def test_what_was_to_go_goes(old: Settings, serve: Callable[[Settings], Flask]) -> None:
    left = old.tmp_dir / "host-7-ab12cd34-1"
    os.utime(left, (0, 0))
    app = serve(old)
    keep_house(old)
    assert stored(old) == plain(old, *KEPT)
    assert not left.exists()
    client, headers = login(app)
    assert client.delete(f"/api/media/{KEPT[0][1]}", headers=headers).status_code == 204
    assert kinds(old) == []
    keep_house(old)
    # The trash has them still.
    assert stored(old) == plain(old, *KEPT)
    assert client.delete("/api/trash", headers=headers).status_code == 204
    assert kinds(old) == []
    keep_house(old)
    assert stored(old) == plain(old, KEPT[1])
    assert kinds(old) == []
    rows = services_of(app).database.connection
    assert rows.execute("SELECT COUNT(*) FROM file_deletions").fetchone()[0] == 0


def test_a_thumbnail_that_is_gone_is_made_again(
    old: Settings, serve: Callable[[Settings], Flask]
) -> None:
    [_, thumbnail] = plain(old, KEPT[0])
    thumbnail.unlink()
    app = serve(old)
    keep_house(old)
    assert shown(app)[KEPT[0][1]][1][:4] == b"RIFF"
    assert stored(old) == plain(old, *KEPT)


def test_its_backup_is_restored_and_backed_up_again(
    tmp_path: Path, serve: Callable[[Settings], Flask]
) -> None:
    place, again = (Settings.load(environment(tmp_path / name)) for name in ("place", "again"))

    def put_back(archive: Path, settings: Settings) -> restore.Restored:
        with restore.opened(archive) as reader:
            restore.check_archive(settings, reader, lambda count: None)
            return restore.restore(settings, reader, lambda count: None)

    restored = put_back(OLD / "backup-0.1.tar", place)
    assert (restored.media, restored.lost) == (2, 0)
    assert restored.applied > 0
    database = services_of(serve(place)).database
    report = backup.backup(place, database, tmp_path / "again.tar", lambda count: None)
    assert report == backup.Report(2, [])
    with tarfile.open(tmp_path / "again.tar") as tar:
        assert tar.getnames()[:2] == [f"media/{shard}/{id}.png" for shard, id in KEPT]
    assert put_back(tmp_path / "again.tar", again) == restore.Restored(2, 0, 0)
    assert shown(serve(again)).keys() == {id for _, id in KEPT}


# ------------------------------------------------------------------------------------- the way back


def depth() -> int:
    """How many migrations 0.1 does not have."""
    steps = [
        step.id for step in migrate.list_migrations(Settings.load(environment(Path("/nowhere"))))
    ]
    return len(steps) - next(n for n, id in enumerate(steps) if id.startswith("0016.") or n == 15)


@pytest.fixture
def grown(old: Settings, serve: Callable[[Settings], Flask]) -> dict[str, list[bytes]]:
    """What the instance shows once it has pictures of this version too, a deleted one among them,
    and those of an attempt that was killed."""
    app = serve(old)
    parts = services_of(app)
    worker = make_worker(old, parts.database, [MockEngine()], threading.Event())
    client, headers = login(app)
    [persona] = client.get("/api/personas", headers=headers).get_json()
    for seed in range(10, 13):
        path = f"/api/personas/{persona['id']}/preview"
        job = client.post(path, json={"seed": seed}, headers=headers).get_json()["job_id"]
        if seed < 12:
            assert worker.work_one()
    picture = RenderedImage(plain(old, KEPT[0])[0].read_bytes(), "image/png", 64, 64)
    for position in range(2):
        lost = dataclasses.replace(picture, position=position)
        made = results.prepare_picture(job, "dead-1", lost)
        results.store_picture(parts.database, parts.files, made)
    newest = client.get("/api/media", headers=headers).get_json()["items"][0]["id"]
    assert client.delete(f"/api/media/{newest}", headers=headers).status_code == 204
    loaded = shown(app)
    parts.database.close()
    assert len(loaded) == 3
    return loaded


def check_is_of_01(settings: Settings, loaded: dict[str, list[bytes]]) -> None:
    """Rows and files are as 0.1 knows them."""
    assert stored(settings) == plain(settings, *((id[:2], id) for id in loaded))
    for id, (picture, thumbnail, _) in loaded.items():
        paths = plain(settings, (id[:2], id))
        assert [path.read_bytes() for path in paths] == [picture, thumbnail]
    with closing(open_connection(settings.database_path)) as rows:
        columns = [row["name"] for row in rows.execute("PRAGMA table_info(media_items)")]
        assert "file_key" not in columns
        assert {row[0] for row in rows.execute("SELECT id FROM media_items")} == set(loaded)
        assert rows.execute("SELECT media_id FROM file_deletions").fetchall() == []


def test_the_way_back_gives_files_the_names_of_01(
    old: Settings, grown: dict[str, list[bytes]], serve: Callable[[Settings], Flask]
) -> None:
    rollback(old, depth())
    check_is_of_01(old, grown)
    assert shown(serve(old)) == grown
    assert kinds(old) == []


@pytest.mark.parametrize(
    ("module", "name", "calls"),
    [(os, "link", 1), (os, "link", 2), (LocalFiles, "delete", 1), (migrate, "undo_migrations", 1)],
)
def test_a_way_back_that_is_killed_can_be_gone_again_or_not(
    old: Settings,
    grown: dict[str, list[bytes]],
    serve: Callable[[Settings], Flask],
    monkeypatch: pytest.MonkeyPatch,
    module: Any,
    name: str,
    calls: int,
) -> None:
    class Killed(BaseException):
        pass

    real, left = getattr(module, name), calls

    def kill(*arguments: Any) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise Killed
        real(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(module, name, kill)
        with pytest.raises(Killed):
            rollback(old, depth())
    # Whoever stays with this version instead loses nothing.
    assert shown(serve(old)) == grown
    rollback(old, depth())
    check_is_of_01(old, grown)


def test_a_way_back_without_second_names_copies(
    old: Settings, grown: dict[str, list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    rollback(old, depth())
    check_is_of_01(old, grown)


def test_a_way_back_that_stays_above_leaves_the_files_alone(
    old: Settings, grown: dict[str, list[bytes]]
) -> None:
    steps = [step.id for step in migrate.list_migrations(old)]
    above = len(steps) - 1 - next(n for n, id in enumerate(steps) if id.startswith("0018."))
    before = stored(old)
    assert rollback(old, above) == steps[::-1][:above]
    assert stored(old) == before


def test_the_old_instance_is_one(old: Settings) -> None:
    """Its schema is that of 0.1: later migrations are still to come."""
    applied = [step.id for step in migrate.list_migrations(old) if step.applied]
    assert applied[-1] == "0015.persona_search_versions"
    packed = gzip.decompress((OLD / "instance-0.1.tar.gz").read_bytes())
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        assert not any(name.endswith("jwt.secret") for name in tar.getnames())


def test_its_pictures_get_other_sizes_at_first_use(
    old: Settings, serve: Callable[[Settings], Flask]
) -> None:
    client, headers = login(serve(old))
    before = stored(old)
    items = client.get("/api/media", headers=headers).get_json()["items"]
    assert {item["color"] for item in items} == {None}
    for item in items:
        for size in SIZES:
            path = f"/api/media/{item['id']}/thumbnail?size={size}"
            answer = client.get(path, headers=headers, buffered=True)
            with Image.open(io.BytesIO(answer.data)) as picture:
                assert max(picture.size) == min(size, max(item["width"], item["height"]))
    made = {path.name for path in {*stored(old)} - {*before}}
    ids = [item["id"] for item in items]
    assert made == {f"{id}.png.{size}.webp" for id in ids for size in SIZES if size != 320}
    assert kinds(old) == []
    client.delete(f"/api/media/{ids[0]}", headers=headers)
    client.delete("/api/trash", headers=headers)
    keep_house(old)
    assert not [path for path in stored(old) if path.name.startswith(ids[0])]

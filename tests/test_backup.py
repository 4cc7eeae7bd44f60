"""Backup and restore: whole, under load, and refused where something is wrong."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import sqlite3
import stat
import tarfile
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import PASSWORD, Person, environment, wait_for
from flask import Flask
from test_start import GUNICORN, ROOT, Server, run, variables

from seidra import create_app
from seidra.config import Settings
from seidra.database import migrate, open_database
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.engines.mock import MockEngine
from seidra.errors import StartError
from seidra.files.local import LocalFiles
from seidra.jobs.worker import Worker
from seidra.media.keys import row_key
from seidra.operations import archive, backup, restore
from seidra.operations.workers import make_worker
from seidra.start.search_texts import check_texts
from seidra.web.services import services_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.sqlite_only("backups of a file; those of a server: tests/postgresql/test_move.py"),
]

STRAY = "abababab-abab-abab-abab-abababababab"
SMALL = {"generation_params": {"width": 64, "height": 64, "quality": "draft"}}


def quiet(count: int) -> None:
    """Progress that nobody watches."""


def put_back(archive: Path, settings: Settings) -> restore.Restored:
    """What `flask restore` does."""
    restore.check_place(settings)
    with restore.opened(archive) as reader:
        restore.check_archive(settings, reader, quiet)
        return restore.restore(settings, reader, quiet)


def manifest(archive: Path) -> list[dict[str, Any]]:
    with tarfile.open(archive) as tar:
        member = tar.extractfile("manifest.jsonl")
        assert member is not None
        return [json.loads(line) for line in member]


def modes(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode)
        for path in folder.rglob("*")
    }


def check_whole(settings: Settings) -> dict[str, int]:
    """Assert that an instance agrees with itself; returns how much it holds."""
    database = open_database(settings)
    with closing(database):
        connection = database.connection
        assert [tuple(row) for row in connection.execute("PRAGMA integrity_check")] == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert check_texts(database) == []
        counted = {}
        for table, counters in (
            ("personas", "persona_counts"),
            ("generation_jobs", "job_counts"),
            ("media_items", "media_counts"),
        ):
            counted[table] = connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
            assert (
                connection.execute(f"SELECT COALESCE(SUM(n), 0) FROM {counters}").fetchone()[0]
                == counted[table]
            )
        for row in connection.execute("SELECT id, mime_type, file_key, file_size FROM media_items"):
            assert LocalFiles(settings).path(row_key(row)).stat().st_size == row["file_size"]
    return counted


@pytest.fixture
def filled(alice: Person, worker: Worker, settings: Settings) -> Settings:
    """An instance with three pictures and one queued job."""
    persona = alice.persona(name="Élodie", **SMALL)
    for seed in range(3):
        alice.preview(persona["id"], seed=seed)
        worker.work_one()
    alice.preview(persona["id"])
    return settings


@pytest.fixture
def saved(filled: Settings, database: SqliteDatabase, tmp_path: Path) -> Path:
    """Its backup."""
    target = tmp_path / "backup.tar"
    assert backup.backup(filled, database, target, quiet) == backup.Report(3, [])
    return target


@pytest.fixture
def place(tmp_path: Path) -> Settings:
    """The settings of an empty place, which does not exist yet."""
    return Settings.load(environment(tmp_path / "place"))


# ------------------------------------------------------------------------------------------- backup


def test_the_archive_is_private_and_says_what_it_holds(saved: Path, filled: Settings) -> None:
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert [path.name for path in saved.parent.iterdir() if "backup" in path.name] == ["backup.tar"]
    about, *members, end = manifest(saved)
    assert (about["format"], about["members"], about["media"], about["unreadable"]) == (2, 4, 3, 0)
    assert about["migrations"] == [step.id for step in migrate.list_migrations(filled)]
    assert re.fullmatch(r"\d+\.\d+\.\d+", about["seidra"])
    assert re.fullmatch(r"20\d\d-.*Z", about["created_at"])
    assert about["bytes"] == sum(member["size"] for member in members)
    assert len(end["sha256"]) == 64
    with tarfile.open(saved) as tar:
        names = tar.getnames()
        assert names == [member["name"] for member in members] + ["manifest.jsonl"]
        assert all(member.isreg() and member.mode == 0o600 for member in tar)
        for member in members:
            data = tar.extractfile(member["name"]).read()  # type: ignore[union-attr]
            assert (len(data), hashlib.sha256(data).hexdigest()) == (
                member["size"],
                member["sha256"],
            )
    pictures = sorted(
        f"media/{p.relative_to(filled.media_dir)}" for p in filled.media_dir.rglob("*.png")
    )
    assert names[:3] == pictures


def test_the_signing_secret_is_not_in_it(saved: Path, filled: Settings, place: Settings) -> None:
    secret = (filled.data_dir / "jwt.secret").read_bytes()
    assert len(secret) > 32
    assert secret not in saved.read_bytes()
    put_back(saved, place)
    assert not (place.data_dir / "jwt.secret").exists()
    assert secret not in place.database_path.read_bytes()


def test_pictures_that_are_gone(
    filled: Settings, database: SqliteDatabase, tmp_path: Path, place: Settings
) -> None:
    """One whose item is deleted while the backup runs is left out; one that is lost is named."""
    paths = {path.name[:36]: path for path in filled.media_dir.rglob("*.png")}
    ids = sorted(paths)
    paths[ids[2]].unlink()
    deleted = False

    def delete_second(count: int) -> None:
        nonlocal deleted
        if not deleted:
            deleted = True
            with database.transaction() as tx:
                tx.execute("DELETE FROM media_items WHERE id = ?", (ids[1],))
            paths[ids[1]].unlink()

    report = backup.backup(filled, database, tmp_path / "backup.tar", delete_second)
    assert report == backup.Report(1, [ids[2]])
    assert put_back(tmp_path / "backup.tar", place) == restore.Restored(media=1, lost=1, applied=0)
    with closing(sqlite3.connect(place.database_path)) as connection:
        assert sorted(row[0] for row in connection.execute("SELECT id FROM media_items")) == [
            ids[0],
            ids[2],
        ]


def test_a_backup_that_fails_leaves_nothing(
    filled: Settings, database: SqliteDatabase, tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    target = folder / "backup.tar"
    target.write_bytes(b"the last one")

    class Stopped(BaseException):
        pass

    def stop(count: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        backup.backup(filled, database, target, stop)
    assert target.read_bytes() == b"the last one"
    assert list(folder.iterdir()) == [target]
    with pytest.raises(StartError, match="cannot be written: No such file"):
        backup.backup(filled, database, tmp_path / "nowhere" / "backup.tar", quiet)


def test_a_full_disk_leaves_no_half_archive(
    filled: Settings, database: SqliteDatabase, tmp_path: Path
) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = filled.database_path.stat().st_size
    # A file can become no larger than this: the copy of the database cannot be written.
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 4, limits[1]))
    try:
        with pytest.raises(StartError, match=r"cannot be (copied|written)"):
            backup.backup(filled, database, tmp_path / "backup.tar", quiet)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir() if "backup" in path.name] == []


# ------------------------------------------------------------------------------------------ restore


def test_links_and_open_invitations_do_not_come_back(
    filled: Settings,
    place: Settings,
    alice: Person,
    admin: Person,
    database: SqliteDatabase,
    tmp_path: Path,
) -> None:
    """One that was taken back after the backup would open something again."""
    media = alice.get("/api/media").get_json()["items"][0]["id"]
    link = alice.post(f"/api/media/{media}/share", json={"days": 7}).get_json()
    for note in ("used", "open"):
        assert admin.post("/api/admin/invitations", json={"note": note}).status_code == 201
    with database.transaction() as tx:
        tx.execute("UPDATE invitations SET used_at = expires_at, used_by = 1 WHERE note = 'used'")
    archive = tmp_path / "links.tar"
    backup.backup(filled, database, archive, quiet)
    assert alice.delete(f"/api/shares/{link['id']}").status_code == 204
    put_back(archive, place)
    with closing(sqlite3.connect(place.database_path)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM share_links").fetchone()[0] == 0
        assert connection.execute("SELECT note FROM invitations").fetchall() == [("used",)]


def test_everything_comes_back_and_sessions_are_ended(
    saved: Path, filled: Settings, place: Settings, alice: Person
) -> None:
    assert put_back(saved, place) == restore.Restored(media=3, lost=0, applied=0)
    assert check_whole(place) == {"personas": 1, "generation_jobs": 4, "media_items": 3}
    for path in filled.media_dir.rglob("*.png"):
        assert (
            place.media_dir / path.relative_to(filled.media_dir)
        ).read_bytes() == path.read_bytes()
    found = modes(place.data_dir)
    assert {mode for name, mode in found.items() if (place.data_dir / name).is_dir()} == {0o700}
    assert {mode for name, mode in found.items() if (place.data_dir / name).is_file()} == {0o600}
    assert list(place.tmp_dir.iterdir()) == []
    assert not [name for name in found if "restore" in name]

    with closing(sqlite3.connect(place.database_path)) as connection:
        for table in ("sessions", "refresh_tokens"):
            assert connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] == 0
    # Even with the same secret the old tokens are worthless.
    shutil.copy(filled.data_dir / "jwt.secret", place.data_dir / "jwt.secret")
    app = create_app(place)
    client = app.test_client()
    assert client.get("/api/auth/me", headers=alice.headers).status_code == 401
    refresh = {"Authorization": f"Bearer {alice.token['refresh_token']}"}
    assert client.post("/api/auth/refresh", headers=refresh).status_code == 401
    token = client.post(
        "/api/auth/login", json={"username": "alice", "password": PASSWORD}
    ).get_json()
    headers = {"Authorization": f"Bearer {token['access_token']}"}
    assert [
        p["name"] for p in client.get("/api/personas?search=elodie", headers=headers).get_json()
    ] == ["Élodie"]
    item = client.get("/api/media", headers=headers).get_json()["items"][0]
    thumbnail = client.get(item["thumbnail_url"], buffered=True)
    assert (thumbnail.status_code, thumbnail.data[:4]) == (200, b"RIFF")
    services_of(app).database.close()


def test_a_proxy_may_read_the_pictures_that_come_back(sound: Path, place: Settings) -> None:
    put_back(sound, dataclasses.replace(place, x_accel_redirect="/protected"))
    found = modes(place.media_dir)
    assert sorted(set(found.values())) == [0o640, 0o750]
    assert stat.S_IMODE(place.database_path.stat().st_mode) == 0o600


def test_an_older_backup_is_migrated(
    saved: Path, filled: Settings, place: Settings, tmp_path: Path
) -> None:
    last = migrate.list_migrations(filled)[-1].id
    migrate.undo_migrations(filled, 1)
    older, copy = tmp_path / "older.tar", tmp_path / "older.db"
    with closing(sqlite3.connect(filled.database_path)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    rewrite_database(saved, older, copy, drop=last)
    assert put_back(older, place).applied == 1
    migrate.check_current(place)


def test_a_search_index_that_differs_is_made_again(
    filled: Settings, database: SqliteDatabase, tmp_path: Path, place: Settings
) -> None:
    with database.transaction() as tx:
        tx.execute(
            "INSERT INTO persona_search (persona_search, rowid, marked_text)"
            " SELECT 'delete', doc_id, marked_text FROM persona_search_texts"
        )
    backup.backup(filled, database, tmp_path / "backup.tar", quiet)
    put_back(tmp_path / "backup.tar", place)
    check_whole(place)


def test_it_restores_into_an_empty_place_only(saved: Path, place: Settings) -> None:
    put_back(saved, place)
    before = {path.name for path in place.data_dir.rglob("*")}
    with pytest.raises(StartError, match="There is a database"):
        put_back(saved, place)
    place.database_path.unlink()
    with pytest.raises(StartError, match="There are files in"):
        put_back(saved, place)
    assert {path.name for path in place.data_dir.rglob("*")} == before - {place.database_path.name}


# ---------------------------------------------------------------------------------- what is refused

Parts = list[tuple[tarfile.TarInfo, bytes]]


def parts(path: Path) -> Parts:
    with tarfile.open(path) as tar:
        return [(member, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]


def write(path: Path, found: Parts) -> None:
    """A tar as these parts say, ending right behind the last one."""
    with open(path, "wb") as file:
        for info, data in found:
            info.size = len(data) if info.isreg() else 0
            file.write(info.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512))
        file.write(bytes(1024))


def listing(found: Parts, change: Callable[[dict[str, Any]], None] | None = None) -> Parts:
    """The same parts under a manifest that agrees with them, changed."""
    about = json.loads(found[-1][1].splitlines()[0])
    files = found[:-1]
    about |= {"members": len(files), "bytes": sum(len(data) for _, data in files)}
    if change:
        change(about)
    lines = json.dumps(about).encode() + b"\n"
    for info, data in files:
        line = {"name": info.name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        lines += json.dumps(line).encode() + b"\n"
    lines += json.dumps({"sha256": hashlib.sha256(lines).hexdigest()}).encode() + b"\n"
    return [*files, (found[-1][0], lines)]


def rewrite_database(source: Path, target: Path, database: Path, drop: str = "") -> None:
    """An archive like another with a database of one's own in it, and one migration less."""
    found, data = parts(source), database.read_bytes()

    def change(about: dict[str, Any]) -> None:
        about["database"] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        about["migrations"] = [id for id in about["migrations"] if id != drop]

    found = [
        (info, gzip.compress(data) if info.name == "seidra.db.gz" else old) for info, old in found
    ]
    write(target, listing(found, change))


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def flipped(path: Path, found: Parts) -> None:
    data = bytearray(path.read_bytes())
    data[600] ^= 1
    path.write_bytes(data)


def flipped_in_the_manifest(path: Path, found: Parts) -> None:
    path.write_bytes(path.read_bytes().replace(b'"created_at":"20', b'"created_at":"19'))


def truncated(path: Path, found: Parts) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def truncated_between_members(path: Path, found: Parts) -> None:
    os.truncate(path, 512 + found[0][0].size + -found[0][0].size % 512)


def without_manifest(path: Path, found: Parts) -> None:
    write(path, found[:-1])


def without_database(path: Path, found: Parts) -> None:
    write(path, listing([part for part in found if part[0].name != "seidra.db.gz"]))


def a_picture_less(path: Path, found: Parts) -> None:
    write(path, found[1:])


def a_picture_more(path: Path, found: Parts) -> None:
    extra = member("media/ab/abababab-abab-abab-abab-abababababab.png")
    write(path, [*found[:-1], (extra, b"x"), found[-1]])


def behind_its_end(path: Path, found: Parts) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def a_text_file(path: Path, found: Parts) -> None:
    path.write_text("Dear diary,\n" * 100)


def an_empty_file(path: Path, found: Parts) -> None:
    path.write_bytes(b"")


def a_newer_format(path: Path, found: Parts) -> None:
    write(path, listing(found, lambda about: about.update(format=3)))


def a_newer_schema(path: Path, found: Parts) -> None:
    write(path, listing(found, lambda about: about["migrations"].append("9999.future")))


def a_database_bomb(path: Path, found: Parts) -> None:
    write(path, listing(found, lambda about: about["database"].update(size=10)))


def larger_than_the_disk(path: Path, found: Parts) -> None:
    write(path, listing(found, lambda about: about["database"].update(size=1 << 60)))


def odd(
    name: str, kind: bytes = tarfile.REGTYPE, target: str = ""
) -> Callable[[Path, Parts], None]:
    """A member that the manifest lists, rightly, and that must not be there."""

    def change(path: Path, found: Parts) -> None:
        write(path, listing([(member(name, kind, target), b""), *found]))

    return change


REFUSED: list[tuple[Callable[[Path, Parts], None], str]] = [
    (flipped, "has not the bytes that its manifest says"),
    (flipped_in_the_manifest, "its manifest has not the bytes that it had"),
    (truncated, "truncated|cannot be read"),
    (truncated_between_members, "truncated"),
    (without_manifest, "its last file is no manifest"),
    (without_database, "it holds no database"),
    (a_picture_less, "is not as its manifest says"),
    (a_picture_more, "is not as its manifest says"),
    (behind_its_end, "does not end where it should"),
    (a_text_file, "is no archive"),
    (an_empty_file, "is no archive"),
    (a_newer_format, "has the format 3"),
    (a_newer_schema, "from a newer version of SEIDRA: it has the migration 9999.future"),
    (a_database_bomb, "its database has not the bytes"),
    (larger_than_the_disk, "bytes free"),
    (odd("../escaped"), "it holds '../escaped'"),
    (odd("/tmp/escaped"), "it holds '/tmp/escaped'"),
    (odd("media/../../escaped.png"), "it holds"),
    (odd("jwt.secret"), "it holds 'jwt.secret'"),
    (odd(f"media/ab/{STRAY}.0123456789abcdef.png.320.webp"), "it holds 'media/ab"),
    (odd("media/ab", tarfile.SYMTYPE, "/etc"), "is no plain file"),
    (odd("media/ab", tarfile.LNKTYPE, "../seidra.db"), "is no plain file"),
    (odd("media/ab", tarfile.CHRTYPE), "is no plain file"),
    (odd("media/ab", tarfile.FIFOTYPE), "is no plain file"),
    (odd("media/ab", tarfile.DIRTYPE), "is no plain file"),
    (odd("././@LongLink", tarfile.GNUTYPE_LONGNAME), "is no plain file"),
    (odd("x", tarfile.XHDTYPE), "is no plain file"),
]


@pytest.fixture(scope="module")
def sound(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of a small instance, made once."""
    folder = tmp_path_factory.mktemp("sound")
    shutil.copytree(template, folder / "instance")
    settings = Settings.load(environment(folder / "instance"))
    app = create_app(settings)
    database = services_of(app).database
    alice = Person(app, "alice")
    worker = make_worker(settings, database, [MockEngine()], threading.Event())
    for _ in range(2):
        alice.preview(alice.persona(**SMALL)["id"])
        worker.work_one()
    backup.backup(settings, database, folder / "backup.tar", quiet)
    database.close()
    return folder / "backup.tar"


def change_name(value: Any) -> str:
    return getattr(value, "__name__", "") if callable(value) else ""


@pytest.mark.parametrize(("change", "sentence"), REFUSED, ids=change_name)
def test_what_is_wrong_is_refused_and_leaves_nothing(
    sound: Path, tmp_path: Path, change: Callable[[Path, Parts], None], sentence: str
) -> None:
    path = tmp_path / "backup.tar"
    shutil.copy(sound, path)
    change(path, parts(path))
    place = Settings.load(environment(tmp_path / "place"))
    with pytest.raises(StartError, match=sentence) as refused:
        put_back(path, place)
    assert "\n" not in refused.value.message
    if change is a_database_bomb:
        # Found out while it is unpacked: the empty folders and the lock of any start stay.
        left = [p for p in tmp_path.rglob("*") if p.is_file()]
        assert sorted(p.name for p in left) == ["backup.tar", "seidra.db.init.lock"]
    else:
        assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_database_in_a_sound_archive(
    sound: Path, tmp_path: Path, place: Settings
) -> None:
    source = Settings.load(environment(tmp_path / "source"))
    put_back(sound, source)
    with closing(sqlite3.connect(source.database_path)) as connection:
        page = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'personas_created'"
        ).fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    with open(source.database_path, "r+b") as file:
        # The entries of an index stand at the end of its page.
        file.seek(page * size - 100)
        file.write(bytes(100))
    database = source.database_path
    rewrite_database(sound, tmp_path / "damaged.tar", database)
    with pytest.raises(StartError, match="The database in the archive is damaged"):
        put_back(tmp_path / "damaged.tar", place)
    assert [path.name for path in place.data_dir.rglob("*") if path.is_file()] == [
        "seidra.db.init.lock"
    ]


FOREIGN = {
    "trigger": "CREATE TRIGGER spy AFTER INSERT ON personas BEGIN"
    " UPDATE users SET is_admin = 1 WHERE id = 7; END",
    "view": "CREATE VIEW spy AS SELECT 1",
    "table": "CREATE TABLE spy (a)",
    "index": "CREATE INDEX spy ON personas (description)",
}


@pytest.mark.parametrize("kind", [*FOREIGN, "our trigger"])
def test_a_database_with_foreign_parts_is_refused(
    sound: Path, tmp_path: Path, place: Settings, kind: str
) -> None:
    source = Settings.load(environment(tmp_path / "source"))
    put_back(sound, source)
    with closing(sqlite3.connect(source.database_path)) as connection:
        if kind == "our trigger":
            # Under the name of one of ours.
            (name,) = connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'personas'"
            ).fetchone()
            connection.execute(f"DROP TRIGGER {name}")
            connection.execute(FOREIGN["trigger"].replace("spy", name))
        else:
            name = "spy"
            connection.execute(FOREIGN[kind])
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
    rewrite_database(sound, tmp_path / "foreign.tar", source.database_path)
    sentence = f"is not SEIDRA's alone: it has the {kind.removeprefix('our ')} {name}"
    with pytest.raises(StartError, match=sentence):
        put_back(tmp_path / "foreign.tar", place)
    assert [path.name for path in place.data_dir.rglob("*") if path.is_file()] == [
        "seidra.db.init.lock"
    ]


def test_a_restore_that_is_interrupted_leaves_nothing(sound: Path, place: Settings) -> None:
    class Stopped(BaseException):
        pass

    def stop(count: int) -> None:
        raise Stopped

    with restore.opened(sound) as reader, pytest.raises(Stopped):
        restore.restore(place, reader, stop)
    assert [path.name for path in place.data_dir.rglob("*") if path.is_file()] == [
        "seidra.db.init.lock"
    ]
    assert put_back(sound, place).media == 2


def test_memory_does_not_grow_with_the_archive(tmp_path: Path) -> None:
    tracemalloc = pytest.importorskip("tracemalloc")
    size = 64 << 20
    (tmp_path / "large").write_bytes(bytes(size))
    name = "media/ab/abababab-abab-abab-abab-abababababab.png"
    tracemalloc.start()
    try:
        with open(tmp_path / "backup.tar", "xb") as file, open(tmp_path / "large", "rb") as source:
            writer = archive.Writer(file, io.BytesIO(), quiet)
            writer.add(name, source, size)
            writer.finish({"migrations": [], "database": {"size": 0, "sha256": ""}})
        with restore.opened(tmp_path / "backup.tar") as reader:
            for found, checksum in reader.members():
                reader.read(found, checksum, lambda chunk: None, quiet)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


# --------------------------------------------------------------------------------------- under load


class Load:
    """People who make, change and delete things on a server, until told to stop."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.stopped = threading.Event()
        self.failures: list[str] = []
        self.rounds = 0
        self.threads = [threading.Thread(target=self.work, args=(n,)) for n in range(3)]
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        self.stopped.set()
        for thread in self.threads:
            thread.join(60)

    def work(self, number: int) -> None:
        while not self.stopped.is_set():
            body = {"name": f"Persona {number}", "style_prompt": "a lantern in the fog", **SMALL}
            code, text, _ = self.server.call("POST", "/api/personas", body)
            persona = json.loads(text).get("id")
            codes = [
                code,
                self.server.call("PATCH", f"/api/personas/{persona}", {"tags": ["fog"]})[0],
            ]
            codes.append(self.server.call("POST", f"/api/personas/{persona}/preview")[0])
            items = self.server.json("GET", "/api/media")["items"]
            if len(items) > 5:
                # Another thread may have been faster.
                self.server.call("DELETE", f"/api/media/{items[number]['id']}")
            self.failures += [str(code) for code in codes if code not in (200, 201, 202, 429)]
            self.rounds += 1


def test_under_load(tmp_path: Path) -> None:
    source, target = tmp_path / "instance", tmp_path / "backup.tar"
    with Server(tmp_path, *GUNICORN, SEIDRA_LOG_LEVEL="warning") as server:
        server.ready().register()
        load = Load(server)
        try:
            wait_for(lambda: load.rounds > 8 or load.failures)
            done = run("-m", "flask", "backup", str(target), cwd=ROOT, env=variables(source))
            seen = load.rounds
            wait_for(lambda: load.rounds > seen or load.failures)
        finally:
            load.stop()
        assert (done.returncode, done.stderr, load.failures) == (0, "", [])
        assert "Backed up the database and" in done.stdout
        server.stop()
    settings = Settings.load(environment(tmp_path / "elsewhere" / "instance"))
    done = run(
        "-m",
        "flask",
        "restore",
        str(target),
        cwd=ROOT,
        env=variables(tmp_path / "elsewhere" / "instance"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    held = check_whole(settings)
    assert held["personas"] > 0
    assert held["media_items"] > 0
    for path in settings.media_dir.rglob("*.png"):
        original = source / "media" / path.relative_to(settings.media_dir)
        # What was deleted after the backup is not there to compare with.
        assert not original.exists() or original.read_bytes() == path.read_bytes()
    with Server(tmp_path / "elsewhere", *GUNICORN, SEIDRA_WEB_WORKERS="1") as server:
        server.ready().login()
        item = server.json("GET", "/api/media")["items"][0]
        assert (
            server.call("GET", item["url"])[0]
            == server.call("GET", item["thumbnail_url"])[0]
            == 200
        )
        assert server.picture(server.preview())
        server.stop()


def test_the_commands(app: Flask, filled: Settings, tmp_path: Path) -> None:
    env, target = variables(filled.data_dir), tmp_path / "backup.tar"
    elsewhere = variables(tmp_path / "place")
    done = run("-m", "flask", "backup", str(target), cwd=tmp_path, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(
        rf"Backed up the database and 3 pictures: [\d,]+ bytes in {target}\.\n", done.stdout
    )
    first = target.read_bytes()
    done = run("-m", "flask", "backup", str(target), cwd=tmp_path, env=env)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"Error: There is a file {target} already; --force overwrites it.\n"
    assert target.read_bytes() == first
    next(filled.media_dir.rglob("*.png")).unlink()
    done = run("-m", "flask", "backup", str(target), "--force", cwd=tmp_path, env=env)
    assert done.returncode == 0
    assert "cannot be read and is not in the backup" in done.stderr
    done = run("-m", "flask", "restore", str(target), cwd=tmp_path, env=elsewhere)
    assert done.returncode == 0
    assert re.fullmatch(r"Restored the database and 2 pictures of 20\S+Z\.\n", done.stdout)
    assert done.stderr == "1 media items have no picture in the archive; see `flask media check`.\n"
    done = run("-m", "flask", "restore", str(target), cwd=tmp_path, env=elsewhere)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: There is a database ")
    done = run(
        "-m",
        "flask",
        "restore",
        str(tmp_path / "none.tar"),
        cwd=tmp_path,
        env=variables(tmp_path / "new"),
    )
    missing = tmp_path / "none.tar"
    assert (
        done.stderr == f"Error: The archive {missing} cannot be read: No such file or directory.\n"
    )
    assert not (tmp_path / "new").exists()


def test_unfinished_pictures_stay_out(
    filled: Settings, database: SqliteDatabase, place: Settings, tmp_path: Path
) -> None:
    with database.transaction() as tx:
        frames = "SELECT id, 1, CAST('x' AS BLOB) FROM generation_jobs"
        tx.execute(f"INSERT INTO job_frames (job_id, n, webp) {frames}")
    backup.backup(filled, database, tmp_path / "with-frames.tar", quiet)
    put_back(tmp_path / "with-frames.tar", place)
    with closing(open_database(place)) as there:
        kept = "SELECT (SELECT COUNT(*) FROM job_frames), (SELECT COUNT(*) FROM generation_jobs)"
        assert tuple(there.connection.execute(kept).fetchone()) == (0, 4)
    assert database.connection.execute("SELECT COUNT(*) FROM job_frames").fetchone()[0] == 4


def test_keys_of_repeats_stay_out(
    filled: Settings, database: SqliteDatabase, place: Settings, tmp_path: Path
) -> None:
    with database.transaction() as tx:
        tx.execute(
            "INSERT INTO idempotency_keys"
            " SELECT id, 'k', 'POST /api/personas', 'd', 201, '/x', '1', created_at FROM users"
        )
    backup.backup(filled, database, tmp_path / "with-keys.tar", quiet)
    put_back(tmp_path / "with-keys.tar", place)
    count = "SELECT COUNT(*) FROM idempotency_keys"
    with closing(open_database(place)) as there:
        assert there.connection.execute(count).fetchone()[0] == 0
    assert database.connection.execute(count).fetchone()[0] > 0

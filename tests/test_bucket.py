"""Media in a bucket: both stores do the same, and an instance lives on either."""

from __future__ import annotations

import dataclasses
import io
import json
import subprocess
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import obstore
import pytest
from buckets import KEYS, SECRET, BucketServer, bucket_server, names
from conftest import Person, environment, wait_for
from flask import Flask
from PIL import Image
from test_nginx import CONF, NGINX, nginx
from test_start import GUNICORN, Server, run, variables

from seidra import create_app
from seidra.config import Settings
from seidra.database.base import Database
from seidra.engines.mock import MockEngine
from seidra.errors import StartError
from seidra.exchange.export_work import Exporter
from seidra.files import keys, open_files
from seidra.files.base import Files, StoreUnavailable
from seidra.files.s3 import BucketFiles
from seidra.jobs import results
from seidra.media.chores import delete_files
from seidra.operations import backup, checks, moves, restore
from seidra.operations.housekeeping import Housekeeper
from seidra.operations.media import MediaCheck
from seidra.operations.rollback import give_plain_names
from seidra.operations.workers import make_worker
from seidra.web.services import services_of

ID = "6f1c2f0e-0d5b-5d5c-9c55-2b8d3f3c1a10"
KEY = keys.new_key(ID, "image/png", "worker-1")
SMALL = keys.derived_key(KEY, 320)
STRAY = "abababab-abab-abab-abab-abababababab"
NOWHERE = "http://127.0.0.1:9"
PICTURE = {"width": 400, "height": 400, "quality": "draft"}


def quiet(done: int) -> None:
    """No progress bar."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BucketServer]:
    with bucket_server(tmp_path_factory.mktemp("bucket")) as server:
        yield server


@pytest.fixture
def bucket(server: BucketServer) -> str:
    return server.make_bucket()


def in_bucket(settings: Settings, url: str) -> Settings:
    return dataclasses.replace(
        settings, media_url=url, bucket_keys=tuple(KEYS.items()), jwt_secret=SECRET
    )


@pytest.fixture
def placed(settings: Settings, server: BucketServer, bucket: str) -> Settings:
    """The settings of a fresh instance whose files are in a bucket."""
    return in_bucket(settings, server.url(bucket))


# --------------------------------------------------------------------------------------- the stores


@pytest.fixture(params=["folders", "bucket"])
def files(
    request: pytest.FixtureRequest, settings: Settings, server: BucketServer, bucket: str
) -> Files:
    if request.param == "bucket":
        settings = in_bucket(settings, server.url(bucket))
    store = open_files(settings)
    store.check()
    return store


def read(files: Files, key: str) -> bytes:
    with files.open(key) as file:
        return file.read()


def test_what_is_put_is_there_until_it_is_deleted(files: Files) -> None:
    assert files.is_empty()
    old = keys.plain_key(ID, "image/webp")
    put = [KEY, SMALL, old, keys.derived_key(old, 320)]
    for number, key in enumerate(put):
        files.put(key, bytes([number]) * (number + 1), "image/webp")
    assert [read(files, key) for key in put] == [b"\0", b"\1\1", b"\2\2\2", b"\3\3\3\3"]
    assert sorted(files.keys()) == sorted(put)
    assert [stored.key for stored in files.scan()] == sorted(put)
    assert {stored.key: stored.size for stored in files.scan()} == dict(
        zip(put, (1, 2, 3, 4), strict=True)
    )
    assert all(abs(stored.modified - time.time()) < 60 for stored in files.scan())
    assert files.stat(SMALL).size == 2
    assert not files.is_empty()
    files.delete([KEY, "6f/" + KEY[3:].replace("png", "jpg"), SMALL])
    assert sorted(files.keys()) == sorted(put[2:])
    for use in (files.open, files.stat):
        with pytest.raises(FileNotFoundError):
            use(KEY)
    files.add_name(old, KEY)
    files.add_name(SMALL, SMALL)
    assert read(files, KEY) == read(files, old)


@pytest.mark.parametrize(
    "key", ["", "../seidra.db", f"ab/{ID}.png", f"6f/{ID}.exe", f"/6f/{ID}.png"]
)
def test_what_is_no_key_names_no_file(files: Files, key: str) -> None:
    uses: list[Callable[[], Any]] = [
        lambda: files.put(key, b"x", ""),
        lambda: files.open(key),
        lambda: files.stat(key),
        lambda: files.delete([key]),
        lambda: files.place(key),
        lambda: files.add_name(KEY, key),
    ]
    files.put(KEY, b"x", "")
    for use in uses:
        with pytest.raises(ValueError, match="is no key"):
            use()


def test_a_large_file_goes_in_parts_and_is_read_where_it_is_sought(files: Files) -> None:
    data = bytes(range(256)) * 80_000
    part = files.temporary_path("put")
    part.write_bytes(data)
    key = keys.archive_key(ID, "worker-1")
    files.put_file(key, part, "application/zip")
    assert not part.exists()
    with files.open(key) as file:
        assert file.seek(0, io.SEEK_END) == len(data) == 20_480_000
        file.seek(-3, io.SEEK_END)
        assert file.read() == data[-3:]
        file.seek(9_000_001)
        assert file.read(5) == data[9_000_001:9_000_006]
        assert file.tell() == 9_000_006
        file.seek(0)
        assert file.read() == data
        assert file.read(1) == b""


@pytest.mark.parametrize("size", [3, 5_000_000])
def test_a_file_may_come_in_pieces(files: Files, size: int) -> None:
    files.put(KEY, [b"a" * size, memoryview(b"b" * size)], "image/png")
    assert read(files, KEY) == b"a" * size + b"b" * size
    # Large ones go by a file, which is gone.
    assert files.temporary(-1) == []


def test_what_is_adopted_is_taken_back_when_the_rest_fails(files: Files) -> None:
    def unpacked() -> Path:
        folder = files.temporary_path("restore")
        path = folder / KEY
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
        return folder

    def fail_then() -> None:
        with files.adopted(unpacked()):
            assert read(files, KEY) == b"x"
            raise KeyError

    with pytest.raises(KeyError):
        fail_then()
    assert files.is_empty()
    with files.adopted(unpacked()):
        pass
    assert list(files.keys()) == [KEY]


@pytest.mark.slow
def test_a_list_has_pages_and_many_are_deleted_at_once(
    placed: Settings, server: BucketServer, bucket: str
) -> None:
    store = server.store(bucket)
    made = [f"{n:02x}/{n:02x}{ID[2:-4]}{m:04x}.png" for n in range(25) for m in range(44)]
    for key in made:
        obstore.put(store, f"seidra/{key}", b"x")
    # What stands beside is not ours.
    obstore.put(store, f"other/{made[0]}", b"x")
    obstore.put(store, f"seidra-2/{made[0]}", b"x")
    files = open_files(placed)
    assert list(files.keys()) == made
    assert len(made) == 1100
    files.delete(made)
    assert names(store) == [f"other/{made[0]}", f"seidra-2/{made[0]}"]


def test_an_object_carries_its_type_and_its_address_is_good_for_a_minute(
    placed: Settings, server: BucketServer, bucket: str
) -> None:
    files = open_files(placed)
    files.put(SMALL, b"picture", "image/webp")
    link = files.link(SMALL, 3600)
    assert link is not None
    assert not link.internal
    assert "X-Amz-Expires=60&" in link.address
    with urllib.request.urlopen(link.address, timeout=60) as answer:
        assert (answer.read(), answer.headers["Content-Type"]) == (b"picture", "image/webp")
    # A signed address cannot say a name.
    assert files.link(SMALL, 3600, attached=True) is None
    proxied = open_files(dataclasses.replace(placed, x_accel_redirect="/protected"))
    inside = proxied.link(SMALL, 3600, "HEAD", attached=True)
    assert inside is not None
    assert inside.internal
    assert inside.address.startswith(f"/protected/bucket/{bucket}/seidra/{SMALL}?X-Amz-Algorithm=")
    outside = dataclasses.replace(
        placed, media_url=f"{server.url(bucket)}&public=https://pictures.example"
    )
    public = open_files(outside)
    assert public.origin == "https://pictures.example"
    shown = public.link(SMALL, 60)
    assert shown is not None
    assert shown.address.startswith(f"https://pictures.example/{bucket}/seidra/{SMALL}?")
    assert read(public, SMALL) == b"picture"


# ------------------------------------------------------------------------------- where it cannot be


@pytest.mark.parametrize(
    ("url", "given", "said"),
    [
        ("s3://nobody-has-it?endpoint=SERVER", KEYS, "There is no bucket nobody-has-it"),
        (f"s3://bucket?endpoint={NOWHERE}", KEYS, "does not answer as S3 does"),
        (
            "s3://bucket?endpoint=SERVER",
            {},
            "AWS_ACCESS_KEY_ID and AWS_SECRET",
        ),
        ("s3://bucket", {"AWS_ACCESS_KEY_ID": "x"}, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_a_bucket_that_cannot_be_used_is_told_at_the_start(
    settings: Settings, server: BucketServer, url: str, given: dict[str, str], said: str
) -> None:
    url = url.replace("SERVER", server.endpoint)
    chosen = dataclasses.replace(in_bucket(settings, url), bucket_keys=tuple(given.items()))
    with pytest.raises(StartError) as caught:
        create_app(chosen)
    assert said in caught.value.message
    assert "\n" not in caught.value.message
    found = {check.name: check for check in checks.examine(chosen, whole=False)}
    assert found["bucket"].state == checks.FAIL
    assert said in found["bucket"].seen


def test_a_secret_of_one_machine_is_refused(placed: Settings) -> None:
    with pytest.raises(StartError, match="SEIDRA_JWT_SECRET must be given with"):
        create_app(dataclasses.replace(placed, jwt_secret=""))


def test_the_keys_are_read_under_their_own_names_and_never_shown(tmp_path: Path) -> None:
    settings = Settings.load(environment(tmp_path, SEIDRA_MEDIA_URL="s3://bucket", **KEYS))
    assert dict(settings.bucket_keys) == KEYS
    assert settings.shown_values()["SEIDRA_MEDIA_URL"] == "(set)"
    for value in KEYS.values():
        assert value not in repr(settings)
        assert value not in json.dumps(settings.shown_values())


@pytest.mark.slow
def test_without_its_client_the_start_says_what_to_install(tmp_path: Path) -> None:
    program = "import sys; sys.modules['obstore'] = None; import seidra.files.s3"
    done = run("-c", program, cwd=tmp_path, env=variables(tmp_path))
    assert "pip install 'seidra[s3]'" in done.stderr
    # And nobody without a bucket needs it.
    program = "import sys; sys.modules['obstore'] = None; import seidra.files, seidra.files.local"
    assert run("-c", program, cwd=tmp_path, env=variables(tmp_path)).returncode == 0


# ------------------------------------------------------------------------------------- an instance


@dataclasses.dataclass
class Instance:
    """An app on a bucket."""

    app: Flask
    person: Person

    def __post_init__(self) -> None:
        parts = services_of(self.app)
        self.settings: Settings = parts.settings
        self.database: Database = parts.database
        self.files: Files = parts.files
        self.worker = make_worker(parts.settings, parts.database, [MockEngine()], threading.Event())

    def make(self, **fields: Any) -> dict[str, Any]:
        """A picture."""
        self.job = self.person.preview(
            self.person.persona(generation_params=PICTURE, **fields)["id"]
        )
        assert self.worker.work_one()
        item: dict[str, Any] = self.person.get("/api/media").get_json()["items"][0]
        assert item["job_id"] == self.job
        return item

    def keep_house(self) -> None:
        """What a worker does between jobs."""
        Housekeeper(self.database, self.files, self.settings).run(idle=True)

    def findings(self) -> list[tuple[str, str]]:
        found = MediaCheck(self.settings, self.database).find(deep=True)
        return sorted((finding.kind, finding.key) for finding in found)


@pytest.fixture
def instance(placed: Settings) -> Iterator[Instance]:
    app = create_app(placed)
    yield Instance(app, Person(app, "alice"))
    services_of(app).database.close()


def follow(instance: Instance, url: str, **headers: str) -> Any:
    """What a browser gets by a link: the redirect's cache, and the answer of the bucket."""
    answer = instance.app.test_client().get(url)
    assert answer.status_code == 302, answer.text
    assert answer.headers["Cache-Control"] == "private, max-age=30"
    request = urllib.request.Request(answer.headers["Location"], headers=headers)
    with urllib.request.urlopen(request, timeout=60) as given:
        return given.status, given.headers["Content-Type"], given.read()


def test_pictures_are_made_shown_and_deleted(
    instance: Instance, server: BucketServer, bucket: str
) -> None:
    item = instance.make()
    assert len(names(server.store(bucket))) == 2
    assert not [path for path in instance.settings.media_dir.rglob("*") if path.is_file()]
    assert not [path for path in instance.settings.thumbnail_dir.rglob("*") if path.is_file()]
    status, mime_type, data = follow(instance, item["url"])
    assert (status, mime_type, len(data)) == (200, "image/png", item["file_size"])
    assert follow(instance, item["url"], Range="bytes=5-9")[::2] == (206, data[5:10])
    # A size that was not made with the picture is made now.
    for small in item["thumbnails"]:
        status, mime_type, thumbnail = follow(instance, small["url"])
        assert (status, mime_type) == (200, "image/webp")
        assert Image.open(io.BytesIO(thumbnail)).size == (small["width"], small["height"])
    assert len(names(server.store(bucket))) == 3
    # What has a name of ours comes through us, ranges too.
    client = instance.app.test_client()
    kept = client.get(item["download_url"])
    assert (kept.status_code, kept.data) == (200, data)
    assert kept.headers["Content-Disposition"].startswith("attachment; ")
    ranged = client.get(item["download_url"], headers={"Range": "bytes=-7"})
    assert (ranged.status_code, ranged.data) == (206, data[-7:])
    again = client.get(item["download_url"], headers={"If-None-Match": kept.headers["ETag"]})
    assert again.status_code == 304
    beyond = client.get(item["download_url"], headers={"Range": f"bytes={len(data)}-"})
    assert beyond.status_code == 416
    bare = client.get(f"{item['download_url']}&metadata=none")
    assert bare.status_code == 200
    assert len(bare.data) < len(data)
    # Each use is checked again, and what is gone leads nowhere.
    assert client.get(item["url"] + "x").status_code == 403
    assert instance.person.delete(f"/api/media/{item['id']}").status_code == 204
    assert client.get(item["url"]).status_code == 404
    assert len(names(server.store(bucket))) == 3
    entry = instance.person.get("/api/trash").get_json()["items"][0]
    assert follow(instance, entry["thumbnail_url"])[0] == 200
    assert instance.person.delete("/api/trash").status_code in (200, 204)
    instance.keep_house()
    assert names(server.store(bucket)) == []


def test_a_square_of_a_picture_comes_through_us(instance: Instance) -> None:
    item = instance.make()
    body = {"media_id": item["id"], "crop": {"x": 0, "y": 0, "size": 200}}
    put = instance.person.put(f"/api/personas/{item['persona_id']}/avatar", json=body)
    assert put.status_code == 200, put.text
    cover = put.get_json()["cover"]["thumbnails"][0]
    answer = instance.app.test_client().get(cover["url"])
    assert (answer.status_code, answer.mimetype) == (200, "image/webp")


def test_a_picture_that_is_sent_in_lies_there_too(instance: Instance) -> None:
    out = io.BytesIO()
    Image.new("RGB", (700, 80), "navy").save(out, "PNG")
    sent = {"file": (io.BytesIO(out.getvalue()), "sea.png")}
    answer = instance.person.post("/api/media", data=sent)
    assert answer.status_code == 201, answer.text
    assert follow(instance, answer.get_json()["url"])[2] == out.getvalue()


def test_a_file_that_is_gone_is_a_404_of_ours(instance: Instance) -> None:
    item = instance.make()
    instance.files.delete(list(instance.files.keys()))
    for name in ("url", "thumbnail_url", "download_url"):
        answer = instance.app.test_client().get(item[name])
        assert (answer.status_code, answer.content_type) == (404, "application/problem+json")


def test_an_export_is_written_and_taken_away(instance: Instance) -> None:
    item = instance.make()
    asked = instance.person.post("/api/exports", json={"everything": True, "to": "seidra"})
    if asked.status_code == 200:
        data = asked.data
    else:
        assert asked.status_code == 202, asked.text
        exporter = Exporter(instance.database, instance.files, instance.settings)
        assert exporter.work_one(threading.Event())
        shown = instance.person.get(asked.headers["Location"]).get_json()
        answer = instance.app.test_client().get(shown["download_url"])
        assert answer.status_code == 200, answer.text
        data = answer.data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert any(item["id"] in name for name in archive.namelist())
    assert instance.findings() == []


def test_what_has_lost_its_other_half_is_found_and_mended(
    instance: Instance, server: BucketServer, bucket: str
) -> None:
    lost, short, kept = (instance.make(name=name) for name in "abc")
    assert instance.findings() == []
    pictures = filter(keys.is_picture_key, instance.files.keys())
    by_id = {key[3:39]: key for key in pictures}
    stray = f"ab/{STRAY}.png"
    instance.files.delete([by_id[lost["id"]]])
    instance.files.put(by_id[short["id"]], b"short", "image/png")
    instance.files.put(stray, b"x", "image/png")
    obstore.put(server.store(bucket), "seidra/notes.txt", b"x")
    assert instance.findings() == sorted(
        [
            ("lost", by_id[lost["id"]]),
            ("size", by_id[short["id"]]),
            ("orphan", stray),
            ("stranger", ""),
        ]
    )
    check = MediaCheck(instance.settings, instance.database)
    mended = [finding.kind for finding in check.find() if check.repair(finding)]
    assert sorted(mended) == ["lost", "orphan"]
    instance.keep_house()
    left = {key[3:39] for key in instance.files.keys()}  # noqa: SIM118
    assert left == {short["id"], kept["id"]}


def test_what_an_attempt_has_put_and_abandons_is_no_orphan_and_goes(instance: Instance) -> None:
    """One that lost its claim between the file and the transaction."""
    item = instance.make()
    image = results.RenderedImage(
        position=7,
        data=read(instance.files, next(instance.files.keys())),
        mime_type="image/png",
        width=400,
        height=400,
    )
    made = results.prepare_picture(item["job_id"], "claim-9", image)
    results.store_picture(instance.database, instance.files, made)
    assert instance.findings() == []
    assert len(list(instance.files.keys())) == 4
    results.abandon_picture(instance.database, instance.files, made)
    assert len(list(instance.files.keys())) == 2


@pytest.mark.slow
def test_a_bucket_that_is_away_is_told_and_nothing_is_lost(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = instance.make()
    away = BucketFiles(
        dataclasses.replace(instance.settings, media_url=f"s3://bucket?endpoint={NOWHERE}")
    )
    present, open_store = instance.files._store, BucketFiles._open_store  # type: ignore[attr-defined]
    monkeypatch.setattr(instance.files, "_store", away._store)
    monkeypatch.setattr(BucketFiles, "_open_store", lambda self, endpoint: away._store)
    parts = services_of(instance.app)
    worker = make_worker(parts.settings, parts.database, [MockEngine()], threading.Event())
    client = instance.app.test_client()
    began = time.monotonic()
    answer = client.get(item["url"])
    assert time.monotonic() - began < 30
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.get_json()["code"] == "unavailable"
    out = io.BytesIO()
    Image.new("RGB", (80, 80)).save(out, "PNG")
    sent = instance.person.post("/api/media", data={"file": (io.BytesIO(out.getvalue()), "a.png")})
    assert sent.status_code == 503
    # A job waits, and no attempt is burnt.
    job = instance.person.preview(item["persona_id"])
    assert worker.work_one()
    shown = instance.person.get(f"/api/jobs/{job}").get_json()
    assert (shown["status"], shown["attempts"]) == ("processing", 0)
    assert "store" in shown["error_message"]
    assert delete_files(instance.database, instance.files) == 0
    target = instance.settings.data_dir / "b.tar"
    with pytest.raises(StoreUnavailable):
        # Not a backup without pictures.
        backup.backup(instance.settings, instance.database, target, quiet)
    assert not target.exists()
    monkeypatch.setattr(instance.files, "_store", present)
    monkeypatch.setattr(BucketFiles, "_open_store", open_store)
    instance.keep_house()
    assert len(list(instance.files.keys())) == 2
    with instance.database.transaction() as tx:
        tx.execute("UPDATE generation_jobs SET run_after = created_at WHERE id = ?", (job,))
    assert instance.worker.work_one()
    shown = instance.person.get(f"/api/jobs/{job}").get_json()
    assert (shown["status"], shown["attempts"]) == ("completed", 1)
    assert instance.findings() == []


# ------------------------------------------------------------------------------------- moving house


@pytest.mark.slow
@pytest.mark.parametrize("way", ["bucket to folders", "folders to bucket", "bucket to bucket"])
def test_a_backup_of_either_is_restored_into_either(
    settings: Settings, server: BucketServer, tmp_path: Path, way: str
) -> None:
    source, target = way.split(" to ")
    if source == "bucket":
        settings = in_bucket(settings, server.url(server.make_bucket()))
    place = Settings.load(environment(tmp_path / "place"))
    if target == "bucket":
        place = in_bucket(place, server.url(server.make_bucket(), ""))
    app = create_app(settings)
    with closing(services_of(app).database):
        first = Instance(app, Person(app, "alice"))
        item = first.make()
        data = read(first.files, next(key for key in first.files.keys() if key.endswith("png")))  # noqa: SIM118
        report = backup.backup(settings, first.database, tmp_path / "b.tar", quiet)
        assert (report.media, report.unreadable) == (1, [])
    restore.check_place(place)
    with restore.opened(tmp_path / "b.tar") as reader:
        restore.check_archive(place, reader, quiet)
        restored = restore.restore(place, reader, quiet)
    assert (restored.media, restored.lost) == (1, 0)
    files = open_files(place)
    [key] = files.keys()
    assert item["id"] in key
    assert read(files, key) == data
    with pytest.raises(StartError, match="already"):
        restore.check_place(place)


@pytest.mark.slow
def test_files_move_into_a_bucket_and_back(
    settings: Settings, server: BucketServer, bucket: str, tmp_path: Path
) -> None:
    app = create_app(settings)
    with closing(services_of(app).database):
        first = Instance(app, Person(app, "alice"))
        first.make()
        here = open_files(settings)
        before = {key: read(here, key) for key in here.keys()}  # noqa: SIM118
        moved = in_bucket(settings, server.url(bucket))
        there = moves.other_store(dataclasses.replace(moved, media_url=None), moved.media_url)
        # Broken off, it goes on; half a file is no file.
        half, whole = sorted(before)
        there.put(half, before[half][:5], "image/png")
        there.put(whole, before[whole], "image/webp")
        copied = moves.copy_files(here, there, quiet)
        assert (copied.files, copied.bytes, copied.kept) == (1, len(before[half]), 1)
        assert {key: read(there, key) for key in there.keys()} == before  # noqa: SIM118
        assert first.findings() == []
    with pytest.raises(StartError, match="there already"):
        moves.other_store(moved, moved.media_url)
    here.delete(before)
    env = variables(tmp_path / "instance", SEIDRA_MEDIA_URL=moved.media_url or "", **KEYS)
    env["SEIDRA_JWT_SECRET"] = SECRET
    done = run("-m", "flask", "media", "copy", "--to", "folders", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert f"Copied 2 files, {sum(map(len, before.values())):,} bytes; 0 were" in done.stdout
    assert {key: read(here, key) for key in here.keys()} == before  # noqa: SIM118
    wrong = run("-m", "flask", "media", "copy", "--to", "elsewhere", cwd=tmp_path, env=env)
    assert wrong.returncode == 2
    assert "must be s3://bucket" in wrong.stderr


def test_a_copy_that_comes_back_otherwise_is_taken_away(
    settings: Settings, placed: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = open_files(settings), open_files(placed)
    here.put(KEY, b"picture", "image/png")
    put = BucketFiles.put_file

    def spoil(self: BucketFiles, key: str, source: Path, mime_type: str) -> None:
        source.write_bytes(b"pictura")
        put(self, key, source, mime_type)

    with monkeypatch.context() as patched:
        patched.setattr(BucketFiles, "put_file", spoil)
        with pytest.raises(StartError, match="did not come back as it was written"):
            moves.copy_files(here, there, quiet)
    assert there.is_empty()
    assert moves.copy_files(here, there, quiet).files == 1


def test_the_way_back_gives_plain_names_there_too(instance: Instance) -> None:
    item = instance.make()
    give_plain_names(instance.database, instance.files)
    assert sorted(instance.files.keys()) == [
        f"{item['id'][:2]}/{item['id']}.png",
        f"{item['id'][:2]}/{item['id']}.png.320.webp",
    ]
    assert instance.findings() == []


# ----------------------------------------------------------------------------- what is told of it


def test_the_doctor_looks_at_the_bucket(
    instance: Instance, server: BucketServer, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(name: str, **changes: Any) -> str:
        chosen = dataclasses.replace(instance.settings, **changes)
        found = {check.name: check for check in checks.examine(chosen, whole=False)}
        return found[name].state

    assert told("bucket") == checks.OK
    assert told("rates", rate_limits=True) == checks.WARN
    assert names(server.store(bucket)) == []
    for off, state in ((120, checks.WARN), (3600, checks.FAIL), (-3600, checks.FAIL)):
        with monkeypatch.context() as patched:
            patched.setattr(BucketFiles, "try_writing", lambda self, off=off: time.time() + off)
            assert told("bucket") == state

    def closed(self: BucketFiles) -> float:
        raise StoreUnavailable("no")

    monkeypatch.setattr(BucketFiles, "try_writing", closed)
    assert told("bucket") == checks.FAIL


def test_the_page_may_load_from_the_bucket(instance: Instance, server: BucketServer) -> None:
    policy = instance.app.test_client().get("/").headers["Content-Security-Policy"]
    parts = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert parts["img-src"].endswith(f" {server.endpoint}")
    assert parts["connect-src"].endswith(f" {server.endpoint}")
    assert server.endpoint not in parts["script-src"] + parts["default-src"]
    proxied = create_app(dataclasses.replace(instance.settings, x_accel_redirect="/protected"))
    with closing(services_of(proxied).database):
        policy = proxied.test_client().get("/").headers["Content-Security-Policy"]
    assert server.endpoint not in policy


# ------------------------------------------------------------------------------------- behind nginx


@pytest.mark.slow
@pytest.mark.skipif(NGINX is None, reason="nginx is not installed (apt-get install nginx)")
def test_behind_nginx_the_bytes_come_from_the_bucket(
    server: BucketServer, bucket: str, tmp_path: Path
) -> None:
    (tmp_path / "seidra.conf").write_text(CONF)
    [told] = [line.split("'")[1] for line in CONF.splitlines() if "'s/#S3 //'" in line]
    subprocess.run(["sed", "-i", told, tmp_path / "seidra.conf"], check=True, timeout=60)
    conf = (tmp_path / "seidra.conf").read_text()
    assert "http://127.0.0.1:9000/" in conf
    conf = conf.replace("http://127.0.0.1:9000/", f"{server.endpoint}/")
    (tmp_path / "server").mkdir()
    with Server(
        tmp_path / "server",
        *GUNICORN,
        SEIDRA_WEB_WORKERS="1",
        SEIDRA_WEB_THREADS="2",
        SEIDRA_TRUSTED_PROXIES="1",
        SEIDRA_X_ACCEL_REDIRECT="/protected",
        SEIDRA_MEDIA_URL=server.url(bucket),
        SEIDRA_JWT_SECRET=SECRET,
        **KEYS,
    ) as running:
        running.ready().register()
        job = running.preview()
        wait_for(lambda: running.json("GET", job)["status"] == "completed", 60)
        with nginx(tmp_path / "nginx", running, conf) as proxy:
            item = proxy.api("GET", "/api/media")[2]["items"][0]
            status, headers, data = proxy.ask("GET", item["url"], Authorization="Bearer x")
            assert (status, headers["Content-Type"]) == (200, "image/png")
            assert (len(data), data[:4]) == (item["file_size"], b"\x89PNG")
            for name, said in (
                ("Content-Security-Policy", "default-src 'none'; sandbox"),
                ("X-Content-Type-Options", "nosniff"),
                ("Content-Disposition", f"inline; filename=seidra-{item['id']}.png"),
            ):
                assert headers.get_all(name) == [said]
            [caching] = headers.get_all("Cache-Control") or []
            assert caching.startswith("private, max-age=")
            assert not [name for name in headers if name.lower().startswith("x-amz")]
            # Ranges and conditions are the bucket's to judge, by its own ETag.
            status, _, part = proxy.ask("GET", item["url"], Range="bytes=5-9")
            assert (status, part) == (206, data[5:10])
            assert proxy.ask("GET", item["url"], If_None_Match=headers["ETag"])[0] == 304
            status, asked, nothing = proxy.ask("HEAD", item["url"])
            assert (status, asked["Content-Length"], nothing) == (200, str(len(data)), b"")
            status, kept, _ = proxy.ask("GET", item["download_url"])
            assert kept["Content-Disposition"].startswith("attachment; ")
            assert len(kept.get_all("Content-Disposition") or []) == 1
            assert proxy.ask("GET", item["thumbnail_url"])[1]["Content-Type"] == "image/webp"
            # Nobody else finds the way.
            assert proxy.ask("GET", f"/protected/bucket/{bucket}/seidra/x")[0] == 404
            assert proxy.ask("GET", item["url"] + "x")[0] == 403
            assert "X-Amz-Signature" not in proxy.logs()
        running.stop()

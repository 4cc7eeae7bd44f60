"""A library of SEIDRA's own goes out and comes in again: everything of it, and nothing else."""

from __future__ import annotations

import dataclasses
import io
import json
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Person, copy_instance
from flask import Flask
from PIL import Image
from test_exports import furnish, lines, unpacked

from seidra import create_app
from seidra.errors import Forbidden, Invalid, QuotaExceeded
from seidra.exchange import albums, own, plan, work
from seidra.exchange.found import IncomingFile
from seidra.exchange.own import MANIFEST, MEDIA, PERSONAS, Library
from seidra.jobs.worker import Worker
from seidra.media import chores
from seidra.operations.housekeeping import Housekeeper
from seidra.operations.media import MediaCheck
from seidra.values import timestamp, to_json
from seidra.web.services import services_of

pytestmark = pytest.mark.slow


def any_version(version: int) -> None:
    """Whatever it is."""


@pytest.fixture
def empty(template: Path, tmp_path: Path) -> Iterator[Flask]:
    """Another instance, in which nobody has anything."""
    app = create_app(copy_instance(template, tmp_path / "other"))
    yield app
    services_of(app).database.close()


@pytest.fixture
def carol(empty: Flask) -> Person:
    """A user of that one."""
    carol = Person(empty, "carol")
    carol.allow_nsfw()
    return carol


def planned(person: Person, data: bytes, name: str = "library.zip") -> str:
    parts = services_of(person.client.application)
    found = [(name, own.read(IncomingFile(name, data)))]
    return plan.make_plan(parts.database, parts.files, person.id, found, plan.Options())


def apply(person: Person, import_id: str, **changes: Any) -> None:
    parts = services_of(person.client.application)
    settings = dataclasses.replace(parts.settings, **changes)
    worker = work.ImportWork(parts.database, parts.files, settings)
    work.begin_apply(
        parts.database, person.id, import_id, {}, None, any_version, settings, worker.claim
    )
    worker.finish(import_id)


def undo(person: Person, import_id: str) -> None:
    parts = services_of(person.client.application)
    worker = work.ImportWork(parts.database, parts.files, parts.settings)
    work.begin_undo(parts.database, person.id, import_id, any_version, worker.claim)
    worker.finish(import_id)


def import_library(person: Person, data: bytes) -> str:
    import_id = planned(person, data)
    apply(person, import_id)
    return import_id


def status(person: Person, import_id: str) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """An import's state, what it would do, and the warnings of its file."""
    row = (
        services_of(person.client.application)
        .database.connection.execute(
            "SELECT status, summary, files FROM imports WHERE id = ?", (import_id,)
        )
        .fetchone()
    )
    return row["status"], json.loads(row["summary"]), json.loads(row["files"])[0]["warnings"]


def library_of(person: Person) -> bytes:
    answer = person.get("/api/export", buffered=True)
    unpacked(answer)
    return answer.data


def content(data: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, bytes]]:
    """What a library holds: its personas, its pictures, and their bytes."""
    archive = zipfile.ZipFile(io.BytesIO(data))
    personas = sorted(lines(archive, PERSONAS), key=lambda line: line["uid"])
    pictures = sorted(lines(archive, MEDIA), key=lambda line: line["id"])
    files = {line["id"]: archive.read(line["file"]) for line in pictures}
    return personas, pictures, files


def furnish_more(person: Person, worker: Worker) -> None:
    """Everything that a library can hold."""
    made, item = furnish(person, worker)
    path = f"/api/personas/{made['id']}"
    for number in range(3):
        assert person.patch(path, json={"style_prompt": f"look {number}"}).status_code == 200
    assert person.patch(path, json={"tags": ["other"], "is_nsfw": True}).status_code == 200
    crop = {"media_id": item["id"], "crop": {"x": 30, "y": 0, "size": 64}}
    assert person.put(f"{path}/avatar", json=crop).status_code == 200
    plain = person.persona(name="=1+1", avatar_url="https://pictures.example/a.png")
    person.persona(name="Negative", style_prompt="", negative_prompt="n" * 16_000)
    job = person.post("/api/jobs", json={"prompt": "alone", "loras": [{"name": "haze"}]})
    assert job.status_code == 202
    person.preview(plain["id"], count=3)
    while worker.work_one():
        pass
    database = services_of(person.client.application).database
    with database.transaction() as tx:
        extensions = to_json({"swarmui": {"deep": [{"a": None}, 1.5, "é"]}})
        tx.execute("UPDATE personas SET extensions = ? WHERE id = ?", (extensions, plain["id"]))
        source = (plain["id"], person.id, to_json({"bom": True}), b"", timestamp())
        tx.execute(
            "INSERT INTO persona_sources (persona_id, user_id, format, tool, file, entry, facts,"
            " sha256, original, base, revision, imported_at) VALUES (?, ?, 'a1111', 'A1111',"
            " 'styles', '=1+1', ?, NULL, NULL, ?, 1, ?)",
            source,
        )
        packed = plan.packed(b'{"name": "=1+1"}')
        original = plan.packed(b'=1+1,"x\xff"\r\n')
        tx.execute("UPDATE persona_sources SET base = ?, original = ?", (packed, original))


def test_an_empty_instance_has_the_same_library(
    alice: Person, carol: Person, worker: Worker
) -> None:
    furnish_more(alice, worker)
    before = library_of(alice)
    import_id = import_library(carol, before)
    said = status(carol, import_id)
    assert said[0] == "applied"
    assert said[1]["actions"] == {"create": 3}
    assert [warning["code"] for warning in said[2]] == ["pictures_coming"]
    assert content(library_of(carol)) == content(before)
    # It is all there for people, too.
    personas = carol.get("/api/personas?include_nsfw=true&sort=created_at").get_json()
    assert [persona["name"] for persona in personas] == [
        "Élodie / of the Tides",
        "=1+1",
        "Negative",
    ]
    first = personas[0]
    assert first["cover"]["kind"] == "avatar"
    media = carol.get("/api/media?include_nsfw=true").get_json()
    assert media["total"] == 5
    ours = [item for item in media["items"] if item["persona_id"] == first["id"]]
    assert [item["id"] for item in ours] == [first["cover"]["media_id"]]
    for item in media["items"]:
        for link in (item["url"], item["thumbnail_url"]):
            with carol.client.get(link) as answer:
                assert answer.status_code == 200
    for query in ("tag=keep", "lora=haze", "search=alone", f"persona_id={first['id']}"):
        answer = carol.get(f"/api/media?include_nsfw=true&{query}")
        assert answer.get_json()["total"] == 1, query
    shown = carol.get(f"/api/personas/{first['id']}/revisions").get_json()
    assert [each["number"] for each in shown] == [4, 3, 2, 1]
    restored = carol.post(f"/api/personas/{first['id']}/revisions/2/restore")
    assert restored.get_json()["style_prompt"] == "look 0"
    parts = services_of(carol.client.application)
    assert not list(MediaCheck(parts.settings, parts.database).find())


def test_the_same_library_again_changes_nothing(
    alice: Person, carol: Person, worker: Worker
) -> None:
    furnish_more(alice, worker)
    data = library_of(alice)
    import_library(carol, data)
    before = content(library_of(carol))
    again = planned(carol, data)
    said = status(carol, again)
    assert said[1]["actions"] == {"unchanged": 3}
    assert [warning["code"] for warning in said[2]] == ["pictures_known"]
    apply(carol, again)
    assert content(library_of(carol)) == before


def test_undoing_leaves_nothing_and_no_file(alice: Person, carol: Person, worker: Worker) -> None:
    furnish_more(alice, worker)
    parts = services_of(carol.client.application)
    database = parts.database
    nothing = content(library_of(carol))
    import_id = import_library(carol, library_of(alice))
    # What somebody has changed since stays.
    kept = carol.get("/api/media?search=alone").get_json()["items"][0]["id"]
    assert carol.put(f"/api/media/{kept}/favorite", json={"value": True}).status_code == 200
    undo(carol, import_id)
    personas, pictures, _ = content(library_of(carol))
    assert personas == nothing[0]
    assert [picture["id"] for picture in pictures] == [kept]
    with database.transaction() as tx:
        tx.execute("UPDATE imports SET expires_at = '2026-01-01T00:00:00.000000Z'")
    Housekeeper(database, parts.files, parts.settings).run(idle=True)
    chores.delete_files(database, parts.files)
    keys = list(parts.files.keys())
    assert all(kept in key for key in keys)
    assert any(key.endswith(".png") for key in keys)
    rows = database.connection.execute("SELECT COUNT(*) FROM import_pictures").fetchone()
    assert rows[0] == 0


def test_an_import_that_fails_takes_its_pictures_back(
    alice: Person, carol: Person, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnish_more(alice, worker)
    data = library_of(alice)
    import_id = planned(carol, data)
    added = work.AlbumWork._each
    calls = []

    def fail(self: Any, row: Any, state: str, *args: Any) -> bool:
        calls.append(state)
        done = added(self, row, state, *args)
        if state == "planned":
            raise RuntimeError("in the middle")
        return done

    monkeypatch.setattr(work.AlbumWork, "_each", fail)
    with pytest.raises(RuntimeError):
        apply(carol, import_id)
    assert calls == ["planned", "done"]
    assert content(library_of(carol)) == ([], [], {})
    monkeypatch.undo()
    # Its files are still there, and so it can be applied after all.
    parts = services_of(carol.client.application)
    chores.delete_files(parts.database, parts.files)
    apply(carol, import_id)
    assert content(library_of(carol)) == content(data)


def test_on_the_same_instance_it_becomes_ones_own(
    alice: Person, bob: Person, worker: Worker
) -> None:
    furnish_more(alice, worker)
    bob.allow_nsfw()
    data = library_of(alice)
    import_library(bob, data)
    theirs, ours = content(data), content(library_of(bob))
    assert not {line["id"] for line in theirs[1]} & {line["id"] for line in ours[1]}
    assert not {line["uid"] for line in theirs[0]} & {line["uid"] for line in ours[0]}
    assert sorted(theirs[2].values()) == sorted(ours[2].values())
    avatars = {line["persona"]["name"]: line["avatar"] for line in ours[0]}
    assert avatars["Élodie / of the Tides"] in ours[2]
    assert content(library_of(alice)) == theirs
    # The pictures are known again, whatever became of their ids.
    said = status(bob, planned(bob, data))
    assert {warning["code"] for warning in said[2]} == {"pictures_known"}


def collections_of(person: Person) -> list[tuple[str, str, str, list[str]]]:
    """Name, words, visibility and pictures, in their order, of each collection."""
    found = person.get("/api/collections?include_nsfw=true").get_json()["items"]
    pages = {
        each["id"]: person.get(f"/api/collections/{each['id']}/media?include_nsfw=true").get_json()
        for each in found
    }
    for each in found:
        assert each["count"] == pages[each["id"]]["total"]
    return [
        (
            each["name"],
            each["description"],
            each["visibility"],
            [item["id"] for item in pages[each["id"]]["items"]],
        )
        for each in found
    ]


def put_together(person: Person) -> None:
    """Two collections, one of them shared, and with pictures in an order of its own; and an empty
    one."""
    ids = [item["id"] for item in person.get("/api/media?include_nsfw=true").get_json()["items"]]
    for name, chosen, visibility in (
        ("Tides", [ids[2], ids[0], ids[1]], "shared"),
        ("Moons", [ids[1]], "private"),
        ("Nothing yet", [], "private"),
    ):
        body = {"name": name, "description": f"{name} of mine", "visibility": visibility}
        made = person.post("/api/collections", json=body).get_json()["id"]
        if chosen:
            answer = person.post(f"/api/collections/{made}/media", json={"ids": chosen})
            assert answer.status_code == 200, answer.text


def test_collections_come_along_as_private_ones(
    alice: Person, bob: Person, carol: Person, worker: Worker
) -> None:
    furnish_more(alice, worker)
    put_together(alice)
    before, data = collections_of(alice), library_of(alice)
    assert [name for name, *_ in before] == ["Nothing yet", "Moons", "Tides"]
    first = import_library(carol, data)
    wanted = [(name, words, "private", ids) for name, words, _, ids in before if ids]
    assert collections_of(carol) == wanted
    assert content(library_of(carol)) == content(data)
    # The same once more changes nothing; and nothing of it is left when it is undone, but for
    # what somebody has touched.
    import_library(carol, data)
    assert collections_of(carol) == wanted
    (moons, _) = carol.get("/api/collections?include_nsfw=true").get_json()["items"]
    path = f"/api/collections/{moons['id']}"
    assert carol.patch(path, json={"name": "My moons"}).status_code == 200
    undo(carol, first)
    assert collections_of(carol) == [("My moons", "Moons of mine", "private", [])]
    # Beside those of whoever has them on the same instance, they are others.
    bob.allow_nsfw()
    import_library(bob, data)
    assert [(name, len(ids)) for name, _, _, ids in collections_of(bob)] == [
        ("Moons", 1),
        ("Tides", 3),
    ]
    assert collections_of(alice) == before
    # What a few personas hold says nothing of them.
    persona = alice.get("/api/personas?include_nsfw=true").get_json()[0]["id"]
    answer = alice.post("/api/exports", json={"ids": [persona], "to": "seidra"}, buffered=True)
    assert answer.status_code in (200, 202), answer.text
    if answer.status_code == 200 and answer.data.startswith(b"PK"):
        given = lines(zipfile.ZipFile(io.BytesIO(answer.data)), MEDIA)
        assert not any("collections" in line for line in given)
    lines_of = lines(zipfile.ZipFile(io.BytesIO(data)), MEDIA)
    assert any(line["collections"] for line in lines_of)


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "x"},
        {"name": " "},
        {"name": "x" * 101},
        {"name": "two\nlines"},
        {"name": "NUL\x00"},
        {"name": "half \ud800"},
        {"description": "NUL\x00"},
        {"description": "x" * 2001},
        {"description": 7},
        {"position": True},
        {"position": -1},
        {"created_at": "yesterday"},
    ],
)
def test_a_collection_that_is_none_is_passed_over(wrong: dict[str, Any]) -> None:
    good = {
        "id": "9bc89ecf-8ecb-54e6-a0f0-88635923984f",
        "name": "Tides",
        "description": "",
        "position": 1,
        "created_at": "2026-01-31T12:00:00.180000Z",
        "updated_at": "2026-01-31T12:00:00.180000Z",
    }
    named = own._collections([7, good | wrong, good, None])
    assert albums._taken_collections(named) == [good]


def test_what_may_not_come_in(alice: Person, carol: Person, worker: Worker) -> None:
    furnish_more(alice, worker)
    data = library_of(alice)
    with pytest.raises(QuotaExceeded):
        apply(carol, planned(carol, data), max_media=4)
    with pytest.raises(QuotaExceeded):
        apply(carol, planned(carol, data), max_personas=2)
    assert content(library_of(carol)) == ([], [], {})
    import_id = planned(carol, data)
    carol.patch("/api/settings/nsfw", json={"age_verified": False})
    with pytest.raises(Forbidden):
        apply(carol, import_id)
    said = status(carol, planned(carol, data))
    assert said[1]["actions"] == {"error": 1, "create": 2}
    assert {warning["code"] for warning in said[2]} == {"pictures_coming", "pictures_nsfw_off"}


# ------------------------------------------------------------------------------------------ hostile


def rewritten(data: bytes, changes: dict[str, bytes | None]) -> bytes:
    """A library with some of its files replaced (None: left out), and a manifest that fits."""
    old = zipfile.ZipFile(io.BytesIO(data))
    members = {name: old.read(name) for name in old.namelist()}
    for name, change in changes.items():
        members.pop(name, None)
        if change is not None:
            members[name] = change
    if MANIFEST in members and MANIFEST not in changes:
        manifest = json.loads(members[MANIFEST])
        for name in (PERSONAS, MEDIA):
            manifest["sha256"][name] = own.hashlib.sha256(members.get(name, b"")).hexdigest()
        members[MANIFEST] = json.dumps(manifest).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return out.getvalue()


def changed_line(data: bytes, name: str, **changes: Any) -> bytes:
    line = lines(zipfile.ZipFile(io.BytesIO(data)), name)[0] | changes
    return json.dumps(line).encode() + b"\n"


def test_a_library_that_is_damaged_is_refused(alice: Person, carol: Person, worker: Worker) -> None:
    furnish(alice, worker)
    data = library_of(alice)
    archive = zipfile.ZipFile(io.BytesIO(data))
    picture = next(name for name in archive.namelist() if name.startswith("media/"))
    bomb = b'{"format":"seidra","x":"' + b"a" * (17 << 20)
    other = io.BytesIO()
    Image.new("RGB", (400, 64)).save(other, "PNG")
    size = len(other.getvalue())
    newer = json.dumps(json.loads(archive.read(MANIFEST)) | {"schema": 2}).encode()
    bad: list[bytes] = [
        data[: len(data) // 2],
        data[:-30],
        data.replace(b"IDAT", b"IDAX", 1),
        rewritten(data, {MANIFEST: None}),
        rewritten(data, {MANIFEST: b"[" * 100_000}),
        rewritten(data, {MANIFEST: b"{}"}),
        rewritten(data, {MANIFEST: newer}),
        rewritten(data, {MANIFEST: archive.read(MANIFEST).replace(b"sha256", b"sha255")}),
        rewritten(data, {PERSONAS: None}),
        rewritten(data, {PERSONAS: bomb}),
        rewritten(data, {PERSONAS: b"{\n"}),
        rewritten(data, {PERSONAS: b"[" * 100_000}),
        rewritten(data, {MEDIA: None}),
        # Another picture than the line says: by its bytes, then by its kind.
        rewritten(data, {MEDIA: changed_line(data, MEDIA, sha256="0" * 64)}),
        rewritten(
            data,
            {
                MEDIA: changed_line(
                    data, MEDIA, sha256=own.hashlib.sha256(b"<svg>").hexdigest(), file_size=5
                ),
                picture: b"<svg>",
            },
        ),
        rewritten(
            data,
            {
                MEDIA: changed_line(
                    data,
                    MEDIA,
                    sha256=own.hashlib.sha256(other.getvalue()).hexdigest(),
                    file_size=size,
                    width=64_000_000,
                    height=1,
                ),
                picture: other.getvalue(),
            },
        ),
    ]
    for number, each in enumerate(bad):
        with pytest.raises(Invalid) as refused:
            planned(carol, each)
        assert list(refused.value.errors or {}) == ["file"], number
    assert content(library_of(carol)) == ([], [], {})
    parts = services_of(carol.client.application)
    with parts.database.transaction() as tx:
        tx.execute("UPDATE imports SET expires_at = '2026-01-01T00:00:00.000000Z'")
        tx.execute("UPDATE file_deletions SET due_at = NULL")
    for _ in range(len(bad)):
        work.expire_imports(parts.database)
    chores.delete_files(parts.database, parts.files)
    assert list(parts.files.keys()) == []


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        (MEDIA, {"id": "../../etc/passwd"}),
        (MEDIA, {"file": "media/../seidra.db"}),
        (MEDIA, {"file": "/etc/passwd"}),
        (MEDIA, {"mime_type": "text/html"}),
        (MEDIA, {"width": True}),
        (MEDIA, {"width": 10**9}),
        (MEDIA, {"metadata": {"prompt": "\x00"}}),
        (MEDIA, {"metadata": {"a": "b" * 300_000}}),
        (MEDIA, {"tags": [1]}),
        (MEDIA, {"nsfw_tags": [{}]}),
        (MEDIA, {"color": "red"}),
        (MEDIA, {"created_at": "yesterday"}),
    ],
)
def test_a_line_that_is_wrong_is_left_out(
    alice: Person, carol: Person, worker: Worker, name: str, changes: dict[str, Any]
) -> None:
    furnish(alice, worker)
    data = library_of(alice)
    bad = rewritten(data, {name: changed_line(data, name, **changes)})
    import_id = planned(carol, bad)
    assert [warning["code"] for warning in status(carol, import_id)[2]] == ["pictures_unreadable"]
    apply(carol, import_id)
    personas, pictures, _ = content(library_of(carol))
    assert (len(personas), pictures) == (1, [])


def test_a_past_that_is_wrong_is_left_out(alice: Person, carol: Person, worker: Worker) -> None:
    made, _ = furnish(alice, worker)
    alice.patch(f"/api/personas/{made['id']}", json={"style_prompt": "later"})
    data = library_of(alice)
    [line] = lines(zipfile.ZipFile(io.BytesIO(data)), PERSONAS)
    good = line["revisions"][0]
    wrong: list[Any] = [
        {"number": 2},
        {"number": -1},
        {"number": True},
        {"values": None},
        {"values": {"name": 5}},
        {"values": {"name": "x", "style_prompt": "", "negative_prompt": ""}},
        {"values": good["values"] | {"generation_params": {"width": 1}}},
        {"values": good["values"] | {"loras": [{"name": "\x00"}]}},
        {"extensions": []},
        {"extensions": {"a": "b" * 70_000}},
        {"at": None},
    ]
    for change in wrong:
        bad = changed_line(data, PERSONAS, revisions=[good | change])
        import_id = planned(carol, rewritten(data, {PERSONAS: bad}))
        warnings = status(carol, import_id)[1]["warnings"]
        assert warnings.get("revisions_left_out") == 1, change
    source = {"format": "a1111", "tool": "x", "file": "y", "entry": "z", "facts": {}}
    for number, worse in enumerate(
        (
            {"last": {"base": {"generation_params": 5}}},
            {"entry": "e" * 501},
            {"file": "\x00"},
            {"facts": {"a": "b" * 5000}},
        )
    ):
        bad = changed_line(data, PERSONAS, source=source | worse, original_base64=None)
        import_id = planned(carol, rewritten(data, {PERSONAS: bad}))
        assert status(carol, import_id)[1]["warnings"].get("source_left_out") == 1, number
    apply(carol, import_id)
    assert len(content(library_of(carol))[0]) == 1


@pytest.mark.parametrize(
    "text",
    [
        b'{"format": "seidra"}',
        b'{"format": "seidra", "schema": 2, "persona": {}}',
        b'{"format": "seidra", "schema": true, "persona": {}}',
        b'{"format": "seidra", "schema": 1, "persona": []}',
    ],
)
def test_json_of_our_own_that_is_wrong_says_so(text: bytes) -> None:
    file = IncomingFile("x.json", text)
    assert own.recognise(file)
    [entry] = own.read(file).entries
    assert entry.error is not None
    assert entry.error.code == "unreadable"


def test_what_is_not_ours_is_not_recognised() -> None:
    nothing = io.BytesIO()
    with zipfile.ZipFile(nothing, "w") as archive:
        archive.writestr("card.json", "{}")
    for data in (b"", b"{", b"[]", b'{"format": "other"}', b"PK\3\4", nothing.getvalue()):
        assert not own.recognise(IncomingFile("x", data)), data


def test_json_and_json_lines_are_read_as_they_were_written(
    alice: Person, carol: Person, worker: Worker
) -> None:
    furnish_more(alice, worker)
    archive = zipfile.ZipFile(io.BytesIO(library_of(alice)))
    text = archive.read(PERSONAS)
    for data in (b"\xef\xbb\xbf" + text, text.replace(b"\n", b"\r\n")):
        file = IncomingFile("mine.jsonl", data)
        assert own.recognise(file)
        entries = own.read(file).entries
        assert [entry.entry for entry in entries] == [
            line["persona"]["name"] for line in lines(archive, PERSONAS)
        ]
        assert all(entry.error is None for entry in entries)
    import_id = planned(carol, text, "mine.jsonl")
    apply(carol, import_id)
    ours, theirs = (content(data)[0] for data in (library_of(carol), library_of(alice)))
    without = [[line | {"avatar": None, "crop": None} for line in each] for each in (ours, theirs)]
    for line in without[1]:
        for revision in line["revisions"]:
            revision["values"] |= {"avatar_media_id": None, "avatar_crop": None}
    assert without[0] == without[1]


def test_a_library_of_a_thousand_pictures_is_written_and_read_in_flat_memory(
    alice: Person, tmp_path: Path
) -> None:
    """Pictures of 100 KB: together they are a hundred times what may be in memory at once."""
    data = bytes(100_000)

    def pictures() -> Iterator[own.GivenPicture]:
        for number in range(1_000):
            line = {"id": f"{number:08x}-0000-7000-8000-000000000000", "mime_type": "image/png"}
            yield own.GivenPicture(line, lambda: io.BytesIO(data))

    path = tmp_path / "library.zip"
    tracemalloc.start()
    with open(path, "wb") as out:
        steps = sum(1 for _ in own.write_library(out, [], pictures()))
    _, peak = tracemalloc.get_traced_memory()
    assert steps >= 1_000
    assert path.stat().st_size > 100_000_000
    assert peak < 8_000_000, peak
    tracemalloc.reset_peak()
    with open(path, "rb") as file:
        library = Library(file)
        library.check()
        assert sum(1 for _ in library.pictures()) == 1_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8_000_000, peak

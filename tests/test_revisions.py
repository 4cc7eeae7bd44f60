"""Revisions of personas: what makes one, what it holds, bringing it back, and who sees it."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import Person, environment
from test_personas import version_of, wrong_fields

from seidra.config import Settings
from seidra.database import migrate, open_database
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.errors import Invalid, NotFound
from seidra.jobs.worker import Worker
from seidra.operations import backup, restore
from seidra.operations.housekeeping import purge_account
from seidra.personas import revisions, write
from seidra.personas.revisions import Origin
from seidra.web.services import services_of

SMALL = {"width": 64, "height": 64}


def history(person: Person, persona: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
    """The revisions of a persona, newest first."""
    answer = person.get(f"/api/personas/{persona['id']}/revisions", query_string=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.get_json()
    return found


def revision(person: Person, persona: dict[str, Any], number: int) -> dict[str, Any]:
    answer = person.get(f"/api/personas/{persona['id']}/revisions/{number}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def change(person: Person, persona: dict[str, Any], **fields: Any) -> dict[str, Any]:
    answer = person.patch(f"/api/personas/{persona['id']}", json=fields)
    assert answer.status_code == 200, answer.text
    changed: dict[str, Any] = answer.get_json()
    return changed


def bring_back(person: Person, persona: dict[str, Any], number: int) -> dict[str, Any]:
    answer = person.post(f"/api/personas/{persona['id']}/revisions/{number}/restore")
    assert answer.status_code == 200, answer.text
    restored: dict[str, Any] = answer.get_json()
    return restored


def stored_rows(database: SqliteDatabase) -> int:
    return int(database.connection.execute("SELECT COUNT(*) FROM persona_revisions").fetchone()[0])


def no_check(version: int) -> None:
    """Whatever the version is."""


# ----------------------------------------------------------------------------------- what makes one


def test_a_new_persona_has_its_first_revision(alice: Person, database: SqliteDatabase) -> None:
    made = alice.persona(tags=["sea"])
    [first] = history(alice, made)
    assert first == {
        "number": 1,
        "at": made["created_at"],
        "by": "edit",
        "note": "",
        "changed": [],
        "content_hash": first["content_hash"],
        "is_current": True,
        "is_nsfw": False,
    }
    assert stored_rows(database) == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "Nova"),
        ("description", "Bright"),
        ("style_prompt", "desert"),
        ("negative_prompt", "rain"),
        ("loras", [{"name": "grain", "weight": 0.5}]),
        ("generation_params", {"width": 512}),
    ],
)
def test_a_change_of_what_a_picture_is_made_of_keeps_the_one_before(
    alice: Person, field: str, value: Any
) -> None:
    made = alice.persona(tags=["sea"])
    changed = change(alice, made, **{field: value})
    assert changed["revision"] == 2
    now, before = history(alice, made)
    assert (now["number"], now["is_current"], now["changed"]) == (2, True, [field])
    assert (before["number"], before["is_current"], before["changed"]) == (1, False, [])
    assert (before["at"], now["at"]) == (made["created_at"], changed["updated_at"])
    assert now["content_hash"] != before["content_hash"]
    # Each holds the persona as it was, and as it is.
    names = ("name", "description", "style_prompt", "negative_prompt", "loras", "lora_models")
    for shown, number in ((made, 1), (changed, 2)):
        found = revision(alice, made, number)
        for name in (*names, "generation_params", "tags"):
            assert found[name] == shown[name], name


def test_flags_tags_and_avatar_alone_make_none(alice: Person, worker: Worker) -> None:
    made = alice.persona(generation_params=SMALL)
    alice.preview(made["id"])
    worker.work_one()
    [picture] = alice.get("/api/media").get_json()["items"]
    alice.allow_nsfw()
    for fields in ({"tags": ["sea"]}, {"is_favorite": True}, {"is_nsfw": True}, {"is_nsfw": False}):
        assert change(alice, made, **fields)["revision"] == 1
    alice.put(f"/api/personas/{made['id']}/avatar", json={"media_id": picture["id"]})
    assert [each["number"] for each in history(alice, made)] == [1]
    # What they were in the end is kept with what comes next.
    change(alice, made, name="Nova")
    assert revision(alice, made, 1)["tags"] == ["sea"]


def test_what_changes_nothing_makes_none(alice: Person) -> None:
    made = alice.persona(name="Luna")
    changed = change(alice, made, name="Luna")
    assert (changed["revision"], changed["version"]) == (1, 1)


def test_the_hash_is_of_the_content_alone(alice: Person, bob: Person) -> None:
    fields = {"generation_params": {"width": 512, "own": 1}, "tags": ["sea"]}
    mine, other = alice.persona(**fields, is_favorite=True), bob.persona(**fields)
    [first], [second] = history(alice, mine), history(bob, other)
    canonical = json.dumps(
        {
            "name": "Luna",
            "description": "",
            "style_prompt": "moonlit ocean",
            "negative_prompt": "",
            "loras": [],
            "generation_params": {"own": 1, "width": 512},
            "tags": ["sea"],
        },
        sort_keys=True,
        separators=(",", ":"),
    )
    assert first["content_hash"] == hashlib.sha256(canonical.encode()).hexdigest()
    assert first["content_hash"] == second["content_hash"]
    # And the one that is kept is the one that was shown.
    change(alice, mine, name="Nova")
    assert history(alice, mine)[1]["content_hash"] == first["content_hash"]


def test_the_last_hundred_are_kept(alice: Person, database: SqliteDatabase) -> None:
    made = alice.persona()
    with database.transaction(alice.id) as tx:
        for number in range(2, 104):
            write.change_persona(tx, alice.id, made["id"], {"name": f"Luna {number}"}, no_check)
    found = history(alice, made, limit=100)
    assert [each["number"] for each in found] == list(range(103, 3, -1))
    assert stored_rows(database) == 99
    for number, status in ((4, 200), (3, 404), (104, 404), (0, 404)):
        path = f"/api/personas/{made['id']}/revisions/{number}"
        assert alice.get(path).status_code == status, number
        if status == 404:
            assert alice.post(f"{path}/restore").status_code == 404, number
    assert bring_back(alice, made, 4)["name"] == "Luna 4"


def test_pages_of_revisions(alice: Person) -> None:
    made = alice.persona()
    for number in range(2, 6):
        change(alice, made, style_prompt=f"ocean {number}")
    path = f"/api/personas/{made['id']}/revisions"
    everything = history(alice, made)
    for limit in (1, 2, 3):
        pages = []
        for offset in range(0, 5, limit):
            answer = alice.get(path, query_string={"limit": limit, "offset": offset})
            assert answer.headers["X-Total-Count"] == "5"
            pages += answer.get_json()
        # What a revision changed is told across the pages' bounds.
        assert pages == everything
    assert history(alice, made, offset=5) == history(alice, made, offset=2**70) == []


# -------------------------------------------------------------------------------- bringing one back


def test_what_is_brought_back_is_a_new_revision(alice: Person) -> None:
    made = alice.persona(
        description="Sea-worn",
        loras=[{"name": "grain", "weight": 0.5}],
        generation_params={"width": 512, "own": [1]},
        tags=["sea"],
    )
    change(
        alice,
        made,
        name="Nova",
        description="",
        style_prompt="desert",
        negative_prompt="rain",
        loras=[],
        generation_params={},
        tags=["sand"],
        is_favorite=True,
        avatar_url="https://pictures.example/nova.png",
    )
    restored = bring_back(alice, made, 1)
    assert (restored["revision"], restored["version"]) == (3, 3)
    names = ("name", "description", "style_prompt", "negative_prompt", "loras")
    for name in (*names, "generation_params", "tags"):
        assert restored[name] == made[name], name
    # What says nothing of the look stays.
    assert restored["is_favorite"] is True
    assert restored["avatar_url"] == "https://pictures.example/nova.png"
    now = history(alice, made)[0]
    assert (now["number"], now["by"], now["note"]) == (3, "restore", "1")
    assert alice.get(f"/api/personas/{made['id']}").get_json() == restored
    # It is found by what it is again.
    assert [p["id"] for p in alice.get("/api/personas?search=moonlit").get_json()] == [made["id"]]
    assert [p["id"] for p in alice.get("/api/personas?tag=sea").get_json()] == [made["id"]]
    # The other way round, as the studio's undo does.
    assert bring_back(alice, made, 2)["name"] == "Nova"


def test_even_the_same_is_a_new_revision(alice: Person) -> None:
    made = alice.persona()
    assert bring_back(alice, made, 1)["revision"] == 2
    now, before = history(alice, made)
    assert now["content_hash"] == before["content_hash"]
    assert (now["by"], now["changed"]) == ("restore", [])


def test_a_stale_version_brings_nothing_back(alice: Person, database: SqliteDatabase) -> None:
    made = alice.persona()
    old = alice.get(f"/api/personas/{made['id']}").headers["ETag"]
    change(alice, made, name="Nova")
    path = f"/api/personas/{made['id']}/revisions/1"
    answer = alice.post(f"{path}/restore", headers={"If-Match": old})
    assert (answer.status_code, answer.get_json()["code"]) == (412, "stale")
    assert stored_rows(database) == 1
    # The tag of a revision is of the persona's version.
    read = alice.get(path)
    assert version_of(read) == 2
    again = alice.get(path, headers={"If-None-Match": read.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    answer = alice.post(f"{path}/restore", headers={"If-Match": read.headers["ETag"]})
    assert (answer.status_code, version_of(answer)) == (200, 3)


# ----------------------------------------------------------------------------------- who sees which


def test_revisions_of_others_do_not_exist(alice: Person, bob: Person) -> None:
    made, other = alice.persona(), bob.persona()
    change(alice, made, name="Nova")
    path = f"/api/personas/{made['id']}/revisions"
    for answer in (bob.get(path), bob.get(f"{path}/1"), bob.post(f"{path}/1/restore")):
        assert answer.status_code == 404
    assert len(history(bob, other)) == 1
    assert bob.get(f"/api/personas/{other['id']}/revisions/2").status_code == 404


def test_what_was_nsfw_is_seen_and_brought_back_where_that_is_in_force(
    alice: Person, database: SqliteDatabase
) -> None:
    alice.allow_nsfw()
    made = alice.persona()
    change(alice, made, style_prompt="bare ocean")
    change(alice, made, is_nsfw=True)
    change(alice, made, style_prompt="ocean", is_nsfw=False)
    change(alice, made, style_prompt="calm ocean")
    assert [each["is_nsfw"] for each in history(alice, made)] == [False, False, True, True]
    alice.patch("/api/settings/nsfw", json={"age_verified": False})
    assert [each["number"] for each in history(alice, made)] == [4, 3]
    answer = alice.get(f"/api/personas/{made['id']}/revisions?limit=1&offset=1")
    assert answer.headers["X-Total-Count"] == "2"
    assert answer.get_json()[0]["changed"] == []
    path = f"/api/personas/{made['id']}/revisions/2"
    assert alice.get(path).status_code == alice.post(f"{path}/restore").status_code == 404
    alice.allow_nsfw()
    assert bring_back(alice, made, 2)["is_nsfw"] is True
    # And stays so.
    assert bring_back(alice, made, 4)["is_nsfw"] is True
    alice.patch("/api/settings/nsfw", json={"age_verified": False})
    assert alice.get(f"/api/personas/{made['id']}/revisions").status_code == 404
    assert stored_rows(database) == 5


# ------------------------------------------------------------------------------- imports, and undo


def test_an_import_always_makes_one_and_its_undo_brings_all_back(
    alice: Person, database: SqliteDatabase
) -> None:
    alice.allow_nsfw()
    made = alice.persona(tags=["sea"], is_favorite=True)
    settings = services_of(alice.client.application).settings
    imported = Origin("import", "styles.csv row 17")
    kept = {"chara_card_v2": {"first_mes": "Ahoy"}}
    body = {"tags": ["sand"], "is_favorite": False, "is_nsfw": True}
    with database.transaction(alice.id) as tx:
        row, _ = write.change_persona(
            tx, alice.id, made["id"], body, no_check, origin=imported, extensions=kept
        )
        assert (row["revision"], row["is_favorite"]) == (2, 0)
        assert revisions.read_extensions(tx, alice.id, row) == kept
    now, before = history(alice, made)
    assert (now["by"], now["note"], now["changed"]) == ("import", "styles.csv row 17", ["tags"])
    assert (before["by"], before["number"]) == ("edit", 1)
    with database.transaction(alice.id) as tx:
        row = write.restore_revision(tx, alice.id, made["id"], 1, no_check, undo=True)
        assert revisions.read_extensions(tx, alice.id, row) == {}
    undone = alice.get(f"/api/personas/{made['id']}").get_json()
    changed = ("version", "revision", "updated_at")
    assert {**undone, **dict.fromkeys(changed)} == {**made, **dict.fromkeys(changed)}
    assert (history(alice, made)[0]["by"], undone["revision"]) == ("undo", 3)
    # One that an import made, with what other programs keep with it.
    new = write.prepare_persona({"name": "Sol", "style_prompt": "desert"})
    with database.transaction(alice.id) as tx:
        persona = write.NewPersona(new.values, new.found_by, extensions=kept, uid="u1")
        row = write.create_persona(tx, alice.id, persona, settings, imported)
        copy = write.duplicate_persona(tx, alice.id, row["id"], None, settings)
        assert row["uid"] == "u1" != copy["uid"]
        assert revisions.read_extensions(tx, alice.id, copy) == kept
    [first] = history(alice, {"id": row["id"]})
    assert (first["by"], first["note"]) == ("import", "styles.csv row 17")
    # No answer shows them, and a change of something else leaves them.
    changed_since = change(alice, {"id": row["id"]}, name="Sun", tags=["hot"])
    assert "extensions" not in changed_since
    with database.transaction(alice.id) as tx:
        again = write.read_persona(tx, alice.id, row["id"])
        assert revisions.read_extensions(tx, alice.id, again) == kept
        assert dict(revisions.read_revision(tx, alice.id, again, 1).extensions) == kept


def test_extensions_have_their_limit(alice: Person, database: SqliteDatabase) -> None:
    made = alice.persona()
    settings = services_of(alice.client.application).settings
    most = {"x": "é" * ((revisions.MAX_EXTENSIONS - len('{"x":""}')) // 2)}
    more = {"x": most["x"] + "é"}
    new = write.prepare_persona({"name": "Sol", "style_prompt": "desert"})
    with database.transaction(alice.id) as tx:
        for act in (
            lambda: write.change_persona(
                tx, alice.id, made["id"], {"name": "Nova"}, no_check, extensions=more
            ),
            lambda: write.create_persona(
                tx, alice.id, write.NewPersona(new.values, new.found_by, (), more), settings
            ),
        ):
            with pytest.raises(Invalid) as refused:
                act()
            assert set(refused.value.errors or {}) == {"extensions"}
        write.change_persona(tx, alice.id, made["id"], {"tags": ["sea"]}, no_check, extensions=most)
    assert [each["number"] for each in history(alice, made)] == [1]
    assert wrong_fields(alice.patch(f"/api/personas/{made['id']}", json={"extensions": {}})) == {
        "extensions"
    }


# -------------------------------------------------------------------------- jobs and their pictures


def test_a_picture_tells_which_revision_made_it(alice: Person, worker: Worker) -> None:
    made = alice.persona(generation_params=SMALL)
    first = alice.preview(made["id"])
    change(alice, made, style_prompt="desert")
    second = alice.preview(made["id"])
    loose = alice.post("/api/jobs", json={"prompt": "a lamp", "parameters": SMALL}).get_json()
    worker.work_one()
    worker.work_one()
    worker.work_one()
    items = alice.get("/api/media").get_json()["items"]
    told = {item["job_id"]: item["metadata"].get("persona_revision") for item in items}
    assert told == {first: 1, second: 2, loose["job_id"]: None}
    for job, number in ((first, 1), (second, 2)):
        assert alice.get(f"/api/jobs/{job}").get_json()["persona_revision"] == number
        # One that is made again is made of the same.
        again = alice.post(f"/api/jobs/{job}/again").get_json()["job_id"]
        assert alice.get(f"/api/jobs/{again}").get_json()["persona_revision"] == number


# ----------------------------------------------------------------------------------- going for good


def test_the_trash_keeps_them_and_brings_them_back(alice: Person, database: SqliteDatabase) -> None:
    made = alice.persona()
    with database.transaction(alice.id) as tx:
        write.change_persona(
            tx,
            alice.id,
            made["id"],
            {"name": "Nova"},
            no_check,
            origin=Origin("import", "a.csv"),
            extensions={"a": 1},
        )
    before = history(alice, made)
    path = f"/api/personas/{made['id']}"
    assert alice.delete(path).status_code == 204
    assert alice.get(f"{path}/revisions").status_code == 404
    assert stored_rows(database) == 1
    back = {"ids": [{"kind": "persona", "item_id": made["id"]}]}
    assert alice.post("/api/trash/restore", json=back).status_code == 200
    assert history(alice, made) == before
    with database.transaction(alice.id) as tx:
        row = write.read_persona(tx, alice.id, made["id"])
        assert revisions.read_extensions(tx, alice.id, row) == {"a": 1}
    assert bring_back(alice, made, 1)["name"] == "Luna"
    # For ever.
    alice.delete(path)
    assert alice.delete("/api/trash").status_code == 204
    assert stored_rows(database) == 0


def test_an_entry_of_the_trash_from_before_comes_back(
    alice: Person, database: SqliteDatabase
) -> None:
    made = alice.persona()
    alice.delete(f"/api/personas/{made['id']}")
    with database.transaction(alice.id) as tx:
        document = json.loads(tx.execute("SELECT document FROM trash").fetchone()[0])
        assert document["schema"] == 2
        for name in ("extensions", "revised_at", "revised_by", "revision_note"):
            del document["persona"][name]
        tx.execute("UPDATE trash SET document = ?", [json.dumps(document | {"schema": 1})])
    back = {"ids": [{"kind": "persona", "item_id": made["id"]}]}
    assert alice.post("/api/trash/restore", json=back).status_code == 200
    [first] = history(alice, made)
    assert (first["at"], first["by"]) == (made["created_at"], "edit")


def test_where_no_trash_is_kept_they_go_at_once(alice: Person, database: SqliteDatabase) -> None:
    made, other = alice.persona(), alice.persona()
    for persona in (made, other):
        change(alice, persona, name="Nova")
    with database.transaction(alice.id) as tx:
        write.delete_persona(tx, alice.id, made["id"], 0, no_check)
    assert stored_rows(database) == 1
    assert len(history(alice, other)) == 2


def test_an_account_takes_its_revisions_along(
    alice: Person, bob: Person, admin: Person, database: SqliteDatabase
) -> None:
    for person in (alice, alice, bob):
        made = person.persona()
        change(person, made, name="Nova")
    alice.delete(f"/api/personas/{made['id'] - 1}")
    assert admin.delete(f"/api/admin/users/{alice.id}").status_code == 204
    purge_account(database)
    assert stored_rows(database) == 1
    assert len(history(bob, made)) == 2


def test_a_backup_has_them(alice: Person, settings: Settings, tmp_path: Path) -> None:
    made = alice.persona()
    change(alice, made, name="Nova")
    database = services_of(alice.client.application).database
    backup.backup(settings, database, tmp_path / "all.tar", lambda count: None)
    place = Settings.load(environment(tmp_path / "place"))
    with restore.opened(tmp_path / "all.tar") as reader:
        restore.check_archive(place, reader, lambda count: None)
        restore.restore(place, reader, lambda count: None)
    with closing(open_database(place)) as restored:
        row = write.read_persona(restored.connection, alice.id, made["id"])
        first = revisions.read_revision(restored.connection, alice.id, row, 1)
        assert (first.values["name"], row["name"]) == ("Luna", "Nova")
        with pytest.raises(NotFound):
            revisions.read_revision(restored.connection, alice.id, row, 3)


@pytest.mark.slow
@pytest.mark.sqlite_only("PostgreSQL begins later than these migrations")
def test_the_way_back_drops_them_and_the_personas_go_on(
    alice: Person, settings: Settings, database: SqliteDatabase
) -> None:
    made, trashed = alice.persona(), alice.persona(tags=["sea"])
    for persona in (made, trashed):
        change(alice, persona, name="Nova")
    alice.delete(f"/api/personas/{trashed['id']}")
    before = alice.get(f"/api/personas/{made['id']}").get_json()
    steps = [step.id for step in migrate.list_migrations(settings)]
    depth = len(steps) - steps.index("0028.persona_revisions")
    with migrate.start_lock(settings):
        migrate.undo_migrations(settings, depth)
        migrate.apply_migrations(settings)
    assert alice.get(f"/api/personas/{made['id']}").get_json() == before
    [present] = history(alice, made)
    assert (present["number"], present["at"], present["by"]) == (2, before["updated_at"], "edit")
    change(alice, made, name="Sol")
    assert [each["number"] for each in history(alice, made)] == [3, 2]
    back = {"ids": [{"kind": "persona", "item_id": trashed["id"]}]}
    assert alice.post("/api/trash/restore", json=back).status_code == 200
    assert [each["number"] for each in history(alice, trashed)] == [2]


def test_a_copy_begins_anew(alice: Person) -> None:
    made = alice.persona()
    change(alice, made, name="Nova")
    copy = alice.post(f"/api/personas/{made['id']}/duplicate").get_json()
    assert [each["number"] for each in history(alice, copy)] == [1]

"""Personas: the contract's fields, copies, pages, versions, tags and avatars."""

from __future__ import annotations

import random
import re
import time
import uuid
from typing import Any

import pytest
from conftest import Person
from werkzeug.test import TestResponse

from seidra.config import Settings
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.errors import Conflict, NotFound
from seidra.jobs.worker import Worker
from seidra.personas import write
from seidra.web.services import services_of

LOOK = {"name": "Luna", "style_prompt": "moonlit ocean"}
FULL = {
    "name": "Élodie",
    "description": "Sea-worn",
    "style_prompt": "ocean",
    "negative_prompt": "text",
    "lora_models": ["film-grain"],
    "generation_params": {"width": 512, "own": {"kept": [1, None]}},
    "tags": ["sea"],
    "is_favorite": True,
    "is_nsfw": False,
    "avatar_url": "https://example.com/a.png",
}
SMALL = {"generation_params": {"width": 64, "height": 64, "quality": "draft"}}
SORTS = ("created_at", "-created_at", "updated_at", "-updated_at", "name", "-name")


def version_of(answer: TestResponse) -> int:
    """The version of the row that an answer shows, by its ETag."""
    match = re.fullmatch(r'"(\d+)-[0-9a-f]{16}"', answer.headers["ETag"])
    assert match
    return int(match[1])


def wrong_fields(answer: TestResponse) -> set[str]:
    """The fields that a 422 names."""
    assert answer.status_code == 422, answer.text
    assert answer.content_type == "application/problem+json"
    return set(answer.get_json()["errors"])


def made_media(person: Person, worker: Worker, **fields: Any) -> dict[str, Any]:
    """A picture of a persona of this person."""
    job_id = person.preview(person.persona(**SMALL, **fields)["id"])
    worker.work_one()
    items = person.get("/api/media?include_nsfw=true").get_json()["items"]
    return next(item for item in items if item["job_id"] == job_id)


# ------------------------------------------------------------------------------------------- fields


def test_created_with_location_etag_and_defaults(alice: Person) -> None:
    answer = alice.post("/api/personas", json=LOOK)
    made = answer.get_json()
    assert (answer.status_code, version_of(answer)) == (201, 1)
    assert answer.headers["Location"] == f"/api/personas/{made['id']}"
    assert made.pop("warnings") == []
    assert made.pop("created_at") == made.pop("updated_at")
    assert made == LOOK | {
        "id": made["id"],
        "uid": made["uid"],
        "version": 1,
        "revision": 1,
        "description": "",
        "negative_prompt": "",
        "loras": [],
        "lora_models": [],
        "generation_params": {},
        "tags": [],
        "is_favorite": False,
        "is_nsfw": False,
        "visibility": "private",
        "owner": {"id": alice.id, "username": "alice"},
        "is_mine": True,
        "avatar_url": None,
        "cover": None,
        "metadata": {},
    }


def test_every_field_comes_back_as_sent(alice: Person) -> None:
    made = alice.persona(**FULL)
    read = alice.get(f"/api/personas/{made['id']}").get_json()
    assert read == made
    assert {name: read[name] for name in FULL} == FULL
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", read["created_at"])
    assert alice.get("/api/personas").get_json() == [made]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "   "),
        ("name", None),
        ("name", "x" * 101),
        ("name", 5),
        ("name", "two\nlines"),
        ("name", "a\x00b"),
        ("name", "\ud800"),
        ("description", "x" * 8001),
        ("description", None),
        ("style_prompt", ""),
        ("style_prompt", " \n "),
        ("style_prompt", "x" * 8001),
        ("style_prompt", None),
        ("negative_prompt", "x" * 16_001),
        ("negative_prompt", ["no"]),
        ("lora_models", "one"),
        ("lora_models", ["x" * 201]),
        ("lora_models", [""]),
        ("lora_models", [1]),
        ("lora_models", None),
        ("loras", "one"),
        ("loras", None),
        ("loras", [{"name": "grain"}] * 51),
        ("loras", [{}]),
        ("loras", [{"name": ""}]),
        ("loras", [{"name": "x" * 201}]),
        ("loras", [{"name": "grain", "weight": 10.5}]),
        ("loras", [{"name": "grain", "weight": "1"}]),
        ("loras", [{"name": "grain", "clip_weight": -11}]),
        ("loras", [{"name": "grain", "enabled": 1}]),
        ("loras", [{"name": "grain", "color": "red"}]),
        ("generation_params", []),
        ("generation_params", None),
        ("tags", "a"),
        ("tags", [""]),
        ("tags", ["x" * 51]),
        ("tags", [3]),
        ("tags", None),
        ("tags", [str(n) for n in range(51)]),
        ("is_favorite", "true"),
        ("is_favorite", 1),
        ("is_favorite", None),
        ("is_nsfw", "no"),
        ("is_nsfw", None),
        ("avatar_url", ""),
        ("avatar_url", "javascript:alert(1)"),
        ("avatar_url", "ftp://example.com/x"),
        ("avatar_url", "https://example.com/" + "x" * 500),
        ("avatar_url", "/etc/passwd"),
        ("avatar_url", 7),
        ("nmae", "x"),
        ("user_id", 1),
        ("avatar_media_id", "x"),
    ],
)
def test_a_broken_rule_is_422_and_names_the_field(alice: Person, field: str, value: Any) -> None:
    made = alice.persona()
    for answer in (
        alice.post("/api/personas", json=LOOK | {field: value}),
        alice.patch(f"/api/personas/{made['id']}", json={field: value}),
        alice.put(f"/api/personas/{made['id']}", json={field: value}),
    ):
        assert {name.partition(".")[0] for name in wrong_fields(answer)} == {field}
    assert alice.get("/api/personas").get_json() == [made]


@pytest.mark.parametrize("missing", ["name", "style_prompt"])
def test_a_required_field_left_out_is_422(alice: Person, missing: str) -> None:
    body = {name: value for name, value in LOOK.items() if name != missing}
    assert wrong_fields(alice.post("/api/personas", json=body)) == {missing}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "x" * 100),
        ("name", "🌊" * 100),
        ("description", "y" * 8000),
        ("description", ""),
        ("style_prompt", "x" * 8000),
        ("style_prompt", "two\nlines"),
        ("negative_prompt", "x" * 16_000),
        ("lora_models", ["x" * 200] * 50),
        ("tags", [f"{n:050}" for n in range(50)]),
        ("avatar_url", "http://localhost:9000/a.png"),
        ("avatar_url", None),
    ],
)
def test_a_value_on_the_limit_is_kept(alice: Person, field: str, value: Any) -> None:
    assert alice.persona(**{field: value})[field] == value


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("width", [64, 2048], [63, 2049, 64.5, "512", None, True]),
        ("height", [64, 2048], [63, 2049, "512"]),
        ("num_inference_steps", [1, 150], [0, 151, 2.5]),
        ("guidance_scale", [0, 7.5, 30], [-0.1, 30.1, "7", True, None]),
        ("seed", [-1, 0, 2**53 - 1, str(2**63 - 1)], [-2, str(2**63), 1.5, "x", True]),
        ("scheduler", ["ddim", "x" * 200], ["", "x" * 201, 1, None]),
        ("quality", ["draft", "standard", "high"], ["ultra", "", 1, None]),
        ("model_name", ["sdxl-base", "x" * 200], ["", "x" * 201, None]),
        ("own_key", [None, 1.5, "x" * 8000, {"deep": [1, "ß"]}], ["\ud800", "x" * 8192]),
    ],
)
def test_generation_params_are_checked_when_saved(
    alice: Person, name: str, good: list[Any], bad: list[Any]
) -> None:
    persona = alice.persona()
    path = f"/api/personas/{persona['id']}"
    for value in bad:
        fields = wrong_fields(alice.patch(path, json={"generation_params": {name: value}}))
        assert fields <= {
            "generation_params",
            f"generation_params.{name}",
            "generation_params.body",
        }, value
        if name != "own_key":
            assert fields == {f"generation_params.{name}"}
    for value in good:
        answer = alice.patch(path, json={"generation_params": {name: value}})
        assert answer.get_json()["generation_params"] == {name: value}


def test_generation_params_take_8_kb_in_all(alice: Person) -> None:
    room = 8192 - len('{"a":"","b":""}')
    exact = {"a": "x" * (room - 4000), "b": "y" * 4000}
    assert alice.persona(generation_params=exact)["generation_params"] == exact
    over = alice.post("/api/personas", json=LOOK | {"generation_params": exact | {"b": "y" * 4001}})
    assert all(field.startswith("generation_params") for field in wrong_fields(over))


def test_infinite_numbers_are_no_json(alice: Person) -> None:
    body = '{"name": "x", "style_prompt": "y", "generation_params": {"own": NaN}}'
    answer = alice.post("/api/personas", data=body, content_type="application/json")
    assert answer.status_code == 400


# ---------------------------------------------------------------------------- prompts, LoRAs, words


@pytest.mark.parametrize("blank", ["", " \n", "\u200b\ufeff", "\u2800", "\U000e0101\u3164"])
def test_one_of_the_two_prompts_must_be_there(alice: Person, blank: str) -> None:
    made = alice.persona(style_prompt=blank, negative_prompt="text")
    assert (made["style_prompt"], made["negative_prompt"]) == (blank, "text")
    path = f"/api/personas/{made['id']}"
    assert wrong_fields(alice.patch(path, json={"negative_prompt": blank})) == {"style_prompt"}
    assert alice.patch(path, json={"negative_prompt": "", "style_prompt": "x"}).status_code == 200
    assert wrong_fields(alice.patch(path, json={"style_prompt": blank})) == {"style_prompt"}
    body = {"name": "Luna", "style_prompt": blank, "negative_prompt": blank}
    assert wrong_fields(alice.post("/api/personas", json=body)) == {"style_prompt"}


GRAIN = {"name": "grain", "weight": 0.5, "enabled": True}


def test_loras_come_back_with_their_weights(alice: Person) -> None:
    loras = [GRAIN, {"name": "ink", "weight": -1, "clip_weight": 2, "enabled": False}]
    made = alice.persona(loras=[*loras, {"name": "film", "clip_weight": None}])
    assert made["loras"] == [*loras, {"name": "film", "weight": 1, "enabled": True}]
    assert made["lora_models"] == ["grain", "ink", "film"]
    again = alice.put(f"/api/personas/{made['id']}", json=made).get_json()
    assert (again["loras"], again["revision"], again["version"]) == (made["loras"], 1, 1)


def test_names_alone_keep_the_weights_they_have(alice: Person) -> None:
    made = alice.persona(loras=[GRAIN, {"name": "ink"}])
    path = f"/api/personas/{made['id']}"
    names = ["film", "grain"]
    now = alice.patch(path, json={"lora_models": names}).get_json()
    assert now["loras"] == [{"name": "film", "weight": 1, "enabled": True}, GRAIN]
    # With both in a body, the one that differs from what is stored counts.
    changed = now | {"lora_models": ["grain"]}
    now = alice.put(path, json=changed).get_json()
    assert (now["loras"], now["warnings"]) == ([GRAIN], [])
    now = alice.put(path, json=now | {"loras": [GRAIN | {"weight": 2}]}).get_json()
    assert (now["loras"], now["warnings"]) == ([GRAIN | {"weight": 2}], [])
    both = {"lora_models": ["a"], "loras": [GRAIN | {"name": "b"}]}
    now = alice.patch(path, json=both).get_json()
    assert now["lora_models"] == ["b"]
    assert [warning["code"] for warning in now["warnings"]] == ["lora_models_unused"]
    assert "warnings" not in alice.get(path).get_json()
    agreed = {"lora_models": ["c"], "loras": [{"name": "c", "weight": 3}]}
    now = alice.patch(path, json=agreed).get_json()
    assert (now["loras"][0]["weight"], now["warnings"]) == (3, [])


def test_other_tools_words_are_stored_as_ours(alice: Person) -> None:
    params = {
        "steps": 30, "cfg_scale": "6.5", "sampler_name": "DPM++ 2M", "scheduler": "karras",
        "negative": "blurry", "model": "m.safetensors", "seed": None, "own": 1,
    }  # fmt: skip
    answer = alice.post("/api/personas", json=LOOK | {"generation_params": params}).get_json()
    assert answer["negative_prompt"] == "blurry"
    assert answer["generation_params"] == {
        "num_inference_steps": 30, "guidance_scale": 6.5, "scheduler": "dpmpp_2m_karras",
        "model_name": "m.safetensors", "own": 1,
    }  # fmt: skip
    assert [(w["code"], w["field"]) for w in answer["warnings"]] == [("unused_parameter", "own")]
    path = f"/api/personas/{answer['id']}"
    both = {"steps": 30, "num_inference_steps": 20}
    refused = alice.patch(path, json={"generation_params": both})
    assert wrong_fields(refused) == {"generation_params.steps"}
    assert refused.get_json()["codes"] == {"generation_params.steps": [{"code": "says_otherwise"}]}
    refused = alice.patch(path, json={"generation_params": {"width": 1}})
    assert refused.get_json()["codes"] == {
        "generation_params.width": [{"code": "range", "min": 64, "max": 2048}]
    }
    differing = {"negative_prompt": "text", "generation_params": {"negative": "blurry"}}
    assert wrong_fields(alice.patch(path, json=differing)) == {"generation_params.negative_prompt"}


def test_what_is_stored_already_may_be_written_back(
    alice: Person, database: SqliteDatabase
) -> None:
    """As 0.1 stored it: other tools' words too, whatever they say."""
    made = alice.persona()
    stored = '{"steps":999,"num_inference_steps":20,"width":4000}'
    with database.transaction() as tx:
        tx.execute("UPDATE personas SET generation_params = ?", (stored,))
    read = alice.get(f"/api/personas/{made['id']}").get_json()
    assert read["generation_params"] == {"steps": 999, "num_inference_steps": 20, "width": 4000}
    again = alice.put(f"/api/personas/{made['id']}", json=read | {"is_favorite": True})
    assert again.status_code == 200, again.text
    assert again.get_json()["generation_params"] == read["generation_params"]
    assert again.get_json()["revision"] == 1


def test_a_seed_of_another_tool_beyond_ours_is_kept_whole(alice: Person) -> None:
    params = {"noise_seed": 2**64 - 1, "own": [2**64, {"a": -(2**80)}], "width": 640}
    body = {"name": "x", "style_prompt": "y", "generation_params": params}
    made = alice.post("/api/personas", json=body).get_json()
    assert made["generation_params"] == {
        "noise_seed": "18446744073709551615",
        "own": ["18446744073709551616", {"a": "-1208925819614629174706176"}],
        "width": 640,
    }
    told = [(each["code"], each["field"]) for each in made["warnings"]]
    assert sorted(told) == [("seed_large", "noise_seed"), ("unused_parameter", "own")]
    path = f"/api/personas/{made['id']}"
    again = alice.put(path, json=alice.get(path).get_json()).get_json()
    assert (again["generation_params"], again["version"]) == (made["generation_params"], 1)
    job = alice.post(f"{path}/preview").get_json()
    assert job["status"] == "queued"
    answer = alice.post("/api/jobs", json={"prompt": "x", "parameters": params, "dry_run": True})
    assert ("seed_large", "noise_seed") in [
        (each["code"], each["field"]) for each in answer.get_json()["warnings"]
    ]
    # Our own has its range, and no number beyond it is a width.
    for name in ("seed", "width"):
        answer = alice.patch(path, json={"generation_params": {name: 2**64 - 1}})
        assert list(answer.get_json()["errors"]) == [f"generation_params.{name}"]


def test_a_large_seed_is_answered_as_text(alice: Person) -> None:
    made = alice.persona(generation_params={"seed": 2**53})
    assert made["generation_params"] == {"seed": str(2**53)}
    path = f"/api/personas/{made['id']}"
    assert alice.put(path, json=made).get_json()["revision"] == 1
    body = {"generation_params": {"seed": "17"}}
    assert alice.patch(path, json=body).get_json()["generation_params"] == {"seed": 17}


def test_a_merge_patch_merges_parameters(alice: Person) -> None:
    params = {"width": 512, "height": 512, "own": {"a": 1, "b": {"c": 2}}, "scheduler": "ddim"}
    path = f"/api/personas/{alice.persona(generation_params=params)['id']}"

    def merged(**patch: Any) -> Any:
        answer = alice.patch(
            path,
            json={"generation_params": patch},
            headers={"Content-Type": "application/merge-patch+json"},
        )
        assert answer.status_code == 200, answer.text
        return answer.get_json()["generation_params"]

    assert merged() == params
    params |= {"width": 640}
    del params["height"]
    assert merged(width=640, height=None, absent=None) == params
    patched = merged(own={"a": None, "b": {"d": 3}})
    assert patched == params | {"own": {"b": {"c": 2, "d": 3}}}
    assert merged(sampler_name="Euler a", own=None) == {"width": 640, "scheduler": "euler_a"}
    for n in range(3):
        room = "x" * 4000
        answer = alice.patch(
            path,
            json={"generation_params": {f"own{n}": room}},
            headers={"Content-Type": "application/merge-patch+json"},
        )
        assert answer.status_code == (422 if n == 2 else 200)
    replaced = alice.patch(path, json={"generation_params": {"width": 64}}).get_json()
    assert replaced["generation_params"] == {"width": 64}


def test_parameters_that_a_change_drops_are_told(alice: Person) -> None:
    params = {"width": 512, "height": 640, "seed": 3}
    path = f"/api/personas/{alice.persona(generation_params=params)['id']}"

    def told(body: dict[str, Any], kind: str = "application/json") -> list[tuple[str, str]]:
        answer = alice.patch(path, json=body, headers={"Content-Type": kind})
        assert answer.status_code == 200
        return [(told["code"], told["field"]) for told in answer.get_json()["warnings"]]

    assert told({"name": "Nova"}) == []
    assert told({"generation_params": params}) == []
    assert told({"generation_params": {"seed": None}}, "application/merge-patch+json") == []
    assert told({"generation_params": {"seed": 5}}) == [
        ("dropped_parameter", "height"),
        ("dropped_parameter", "width"),
    ]
    assert told({"generation_params": {"seed": 5}}) == []


def test_a_revision_is_a_change_of_what_a_picture_is_made_of(alice: Person) -> None:
    made = alice.persona(**FULL)
    path = f"/api/personas/{made['id']}"
    revision = 1
    for body, changes in [
        ({"is_favorite": False}, 0),
        ({"tags": ["other"], "avatar_url": None}, 0),
        ({"name": made["name"]}, 0),
        ({"name": "Nova"}, 1),
        ({"description": "x"}, 1),
        ({"style_prompt": "x"}, 1),
        ({"negative_prompt": "x", "style_prompt": "y"}, 1),
        ({"loras": [{"name": "film-grain", "weight": 0.5}]}, 1),
        ({"lora_models": ["film-grain"]}, 0),
        ({"generation_params": {"width": 64}}, 1),
    ]:
        revision += changes
        now = alice.patch(path, json=body).get_json()
        assert now["revision"] == revision, body
    assert (now["version"], now["uid"]) == (9, made["uid"])


def test_uids_are_in_the_order_of_making(alice: Person) -> None:
    uids = [uuid.UUID(alice.persona()["uid"]) for _ in range(3)]
    assert {uid.version for uid in uids} == {7}
    moments = [uid.int >> 80 for uid in uids]
    assert moments == sorted(moments)
    assert abs(moments[0] / 1000 - time.time()) < 60


# ----------------------------------------------------------------------------------------- changing


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_get_edit_put_works_with_read_only_fields(alice: Person, method: str) -> None:
    made = alice.persona(**FULL)
    edited = made | {"name": "Nova", "created_at": "1999-01-01T00:00:00.000000Z", "id": 77}
    answer = alice.open(method, f"/api/personas/{made['id']}", json=edited)
    assert answer.status_code == 200, answer.text
    now = answer.get_json()
    assert now.pop("warnings") == []
    assert now.pop("updated_at") > made.pop("updated_at")
    assert now == made | {"name": "Nova", "version": 2, "revision": 2}


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_what_a_change_leaves_out_stays(alice: Person, method: str) -> None:
    made = alice.persona(**FULL)
    path = f"/api/personas/{made['id']}"
    changed = alice.open(method, path, json={"description": ""}).get_json()
    changes = {"description": "", "version": 2, "revision": 2, "warnings": []}
    assert changed == made | changes | {"updated_at": changed["updated_at"]}
    assert alice.open(method, path, json={"avatar_url": None}).get_json()["avatar_url"] is None
    for empty in ({}, {"id": 3, "created_at": "x"}):
        wrong_fields(alice.open(method, path, json=empty))
    assert alice.open(method, path, data="", content_type="application/json").status_code == 400


def test_a_deleted_persona_is_gone(alice: Person) -> None:
    path = f"/api/personas/{alice.persona()['id']}"
    assert alice.delete(path).status_code == 204
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        body = None if method in ("GET", "DELETE") else {"name": "x"}
        assert alice.open(method, path, json=body).status_code == 404
    assert alice.get("/api/personas").get_json() == []


@pytest.mark.parametrize("id", ["0", str(2**63), "9" * 40, "-1", "abc", "1.0"])
def test_an_id_that_cannot_be_is_404(alice: Person, id: str) -> None:
    assert alice.get(f"/api/personas/{id}").status_code == 404


def test_deleting_a_persona_keeps_its_jobs_and_media(alice: Person, worker: Worker) -> None:
    item = made_media(alice, worker)
    waiting = alice.preview(item["persona_id"])
    assert alice.delete(f"/api/personas/{item['persona_id']}").status_code == 204
    assert alice.get(f"/api/media/{item['id']}").get_json()["persona_id"] is None
    for job_id in (item["job_id"], waiting):
        assert alice.get(f"/api/jobs/{job_id}").get_json()["persona_id"] is None
    worker.work_one()
    assert alice.get(f"/api/jobs/{waiting}").get_json()["status"] == "completed"
    assert alice.get("/api/media").get_json()["total"] == 2


# ------------------------------------------------------------------------------------------- copies


@pytest.mark.parametrize(
    ("query", "body", "name"),
    [
        ("", None, "Luna (copy)"),
        ("", {}, "Luna (copy)"),
        ("", {"name": "Nova"}, "Nova"),
        ("?new_name=Stella", None, "Stella"),
        ("?new_name=Stella", {"name": "Nova"}, "Nova"),
    ],
)
def test_a_copy_is_named_as_asked(alice: Person, query: str, body: Any, name: str) -> None:
    made = alice.persona(**FULL | {"name": "Luna"})
    answer = alice.post(
        f"/api/personas/{made['id']}/duplicate{query}", **({} if body is None else {"json": body})
    )
    copy = answer.get_json()
    assert (answer.status_code, version_of(answer)) == (201, 1)
    assert answer.headers["Location"] == f"/api/personas/{copy['id']}"
    assert copy["id"] != made["id"]
    own = ("id", "uid", "name", "created_at", "updated_at")
    assert copy["name"] == name
    assert {k: v for k, v in copy.items() if k not in own} == {
        k: v for k, v in made.items() if k not in own
    }
    assert alice.get("/api/personas", query_string={"tag": "sea"}).headers["X-Total-Count"] == "2"


def test_the_copy_of_a_long_name_still_fits(alice: Person) -> None:
    made = alice.persona(name="é" * 100)
    copy = alice.post(f"/api/personas/{made['id']}/duplicate").get_json()
    assert copy["name"] == "é" * 93 + " (copy)"


def test_copies_of_copies_are_counted(alice: Person) -> None:
    id, names = alice.persona(name="Luna")["id"], []
    for _ in range(4):
        copy = alice.post(f"/api/personas/{id}/duplicate").get_json()
        id = copy["id"]
        names.append(copy["name"])
    assert names == ["Luna (copy)", "Luna (copy 2)", "Luna (copy 3)", "Luna (copy 4)"]


FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"


@pytest.mark.parametrize(
    ("name", "copy"),
    [
        ("Luna (copy) (copy)", "Luna (copy 3)"),
        ("(copy)", "(copy) (copy)"),
        ("Luna (copy 99999999)", "Luna (copy 99999999) (copy)"),
        ("Luna (copyright)", "Luna (copyright) (copy)"),
        ("x" * 93 + " (copy)", "x" * 91 + " (copy 2)"),
        ("x" * 91 + FAMILY + "y" * 4, "x" * 91 + " (copy)"),
        ("x" * 88 + FAMILY + "y" * 7, "x" * 88 + FAMILY + " (copy)"),
        ("x" * 92 + "\U0001f44d\U0001f3fd" + "y" * 6, "x" * 92 + " (copy)"),
        ("x" * 92 + "e\u0301" + "y" * 6, "x" * 92 + " (copy)"),
        ("x" * 92 + "\u0915\u094d\u0937" + "y" * 5, "x" * 92 + " (copy)"),
        ("x" * 92 + "\u1112\u1161\u11ab" + "y" * 5, "x" * 92 + " (copy)"),
        ("x" * 90 + "\U0001f1eb\U0001f1f7\U0001f1e9\U0001f1ea" + "y" * 6,
         "x" * 90 + "\U0001f1eb\U0001f1f7 (copy)"),
        ("x" * 91 + "\U0001f1eb\U0001f1f7\U0001f1e9\U0001f1ea" + "y" * 5,
         "x" * 91 + "\U0001f1eb\U0001f1f7 (copy)"),
        ("e" + "\u0301" * 99, "e" + "\u0301" * 92 + " (copy)"),
        ("x" * 90 + "   " + "y" * 7, "x" * 90 + " (copy)"),
    ],
)  # fmt: skip
def test_the_name_of_a_copy_is_cut_between_what_people_see(
    alice: Person, name: str, copy: str
) -> None:
    made = alice.persona(name=name)
    assert made["name"] == name
    given = alice.post(f"/api/personas/{made['id']}/duplicate").get_json()["name"]
    assert (given, len(given) <= 100) == (copy, True)


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("?new_name=%20", None),
        ("?new_name=" + "x" * 101, None),
        ("", {"name": " "}),
        ("", {"new_name": "x"}),
    ],
)
def test_a_copy_needs_a_good_name(alice: Person, query: str, body: Any) -> None:
    made = alice.persona()
    kwargs = {} if body is None else {"json": body}
    wrong_fields(alice.post(f"/api/personas/{made['id']}/duplicate{query}", **kwargs))
    assert alice.get("/api/personas").headers["X-Total-Count"] == "1"


# -------------------------------------------------------------------------------------------- pages


def crowd(person: Person, count: int) -> list[dict[str, Any]]:
    """Personas of all kinds, made over two months, some at one moment, some of one name, and
    changed in another order than they were made in."""
    rng = random.Random(count)
    person.allow_nsfw()
    names = ["ada", "Ada", "Ádám", "Zoë", "zoe", "Ωmega", "b", "B 2"]
    made = [
        person.persona(
            name=rng.choice(names), is_favorite=n % 3 == 0, is_nsfw=n % 4 == 0, description=str(n)
        )
        for n in range(count)
    ]
    with services_of(person.client.application).database.transaction() as tx:
        days = sorted(
            f"2026-0{rng.randrange(1, 3)}-{rng.choice(['01', '09', '10', '19', '20', '31'])}"
            for _ in made
        )
        for day, persona in zip(days, made, strict=True):
            tx.execute(
                "UPDATE personas SET created_at = ? WHERE id = ?",
                (f"{day}T00:00:00.000000Z", persona["id"]),
            )
    for persona in rng.sample(made, count // 2):
        person.patch(f"/api/personas/{persona['id']}", json={"negative_prompt": "x"})
    return person.get("/api/personas?include_nsfw=true&limit=100").get_json()


def links(answer: TestResponse) -> dict[str, str]:
    return {rel: url for url, rel in re.findall(r'<([^>]+)>; rel="(\w+)"', answer.headers["Link"])}


def folded(name: str) -> str:
    return {"Ádám": "adam", "Zoë": "zoe", "Ωmega": "ωmega"}.get(name, name.lower())


def test_following_next_walks_every_list_exactly_once(alice: Person) -> None:
    everyone = crowd(alice, 23)
    keys = {
        "created_at": lambda p: (p["created_at"], p["id"]),
        "updated_at": lambda p: (p["updated_at"], p["id"]),
        "name": lambda p: (folded(p["name"]), p["id"]),
    }
    for sort in SORTS:
        for favorite in (None, True, False):
            for nsfw in (True, False):
                wanted = [
                    p["id"]
                    for p in sorted(
                        everyone, key=keys[sort.strip("-")], reverse=sort.startswith("-")
                    )
                    if (favorite is None or p["is_favorite"] is favorite)
                    and (nsfw or not p["is_nsfw"])
                ]
                query = f"?sort={sort}&include_nsfw={str(nsfw).lower()}&limit=4"
                query += "" if favorite is None else f"&is_favorite={str(favorite).lower()}"
                url: str | None = f"/api/personas{query}"
                walked: list[int] = []
                while url:
                    answer = alice.get(url)
                    assert answer.headers["X-Total-Count"] == str(len(wanted)), url
                    walked += [p["id"] for p in answer.get_json()]
                    last, url = links(answer)["last"], links(answer).get("next")
                assert walked == wanted, query
                assert [p["id"] for p in alice.get(last).get_json()] == wanted[
                    (len(wanted) - 1) // 4 * 4 :
                ]


@pytest.mark.parametrize("sort", ["created_at", "-created_at", "name"])
def test_any_window_is_the_same_slice(alice: Person, sort: str) -> None:
    crowd(alice, 9)
    query = f"?include_nsfw=true&sort={sort}"
    everyone = [p["id"] for p in alice.get(f"/api/personas{query}&limit=100").get_json()]
    for offset in range(12):
        for limit in (1, 2, 5, 9, 100):
            answer = alice.get(f"/api/personas{query}&limit={limit}&offset={offset}")
            assert [p["id"] for p in answer.get_json()] == everyone[offset : offset + limit], (
                offset,
                limit,
            )
            assert answer.headers["X-Total-Count"] == "9"


def test_links_of_a_page_keep_the_query(alice: Person) -> None:
    for n in range(5):
        alice.persona(name=f"Äda {n}", tags=["a&b"])
    answer = alice.get(
        "/api/personas", query_string={"search": "äda", "tag": "a&b", "limit": 2, "offset": 2}
    )
    found = links(answer)
    assert set(found) == {"first", "prev", "next", "last"}
    assert [p["name"] for p in alice.get(found["prev"]).get_json()] == ["Äda 4", "Äda 3"]
    assert [p["name"] for p in alice.get(found["next"]).get_json()] == ["Äda 0"]
    assert found["last"] == found["next"]
    assert found["first"] == found["prev"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("offset=-1", "offset"),
        ("offset=1_0", "offset"),
        ("sort=id", "sort"),
        ("is_favorite=maybe", "is_favorite"),
        ("include_nsfw=2", "include_nsfw"),
        ("search=%20", "search"),
        ("search=" + "x" * 101, "search"),
        ("search=%00", "search"),
        ("&".join(f"tag={n}" for n in range(9)), "tag"),
        ("tag=" + "x" * 51, "tag"),
    ],
)
def test_a_bad_query_is_422_and_names_the_parameter(alice: Person, query: str, field: str) -> None:
    assert {
        name.partition(".")[0] for name in wrong_fields(alice.get(f"/api/personas?{query}"))
    } == {field}


@pytest.mark.parametrize("offset", [1, 2**62, 2**63 - 1, 2**63, 10**29])
def test_an_offset_beyond_the_end_is_an_empty_page(alice: Person, offset: int) -> None:
    alice.persona()
    for query in ("", "&search=luna", "&is_favorite=false"):
        answer = alice.get(f"/api/personas?offset={offset}&unknown=x{query}")
        assert (answer.status_code, answer.get_json(), answer.headers["X-Total-Count"]) == (
            200,
            [],
            "1",
        )
        assert "next" not in links(answer)


def test_counters_agree_with_the_table_after_any_operations(
    alice: Person, bob: Person, worker: Worker, database: SqliteDatabase
) -> None:
    rng = random.Random(5)
    for person in (alice, bob):
        person.allow_nsfw()
    for _ in range(60):
        person = rng.choice([alice, bob])
        mine = person.get("/api/personas?include_nsfw=true").get_json()
        flags = {"is_favorite": rng.random() < 0.5, "is_nsfw": rng.random() < 0.5}
        action = rng.choice(["create", "create", "change", "copy", "delete", "preview"])
        if action == "create" or not mine:
            person.persona(**SMALL, **flags)
            continue
        path = f"/api/personas/{rng.choice(mine)['id']}"
        if action == "change":
            person.patch(path, json=flags)
        elif action == "delete":
            person.delete(path)
        elif action == "copy":
            person.post(f"{path}/duplicate")
        else:
            person.post(f"{path}/preview")
            worker.work_one()
            item = person.get("/api/media?include_nsfw=true").get_json()["items"]
            if item and rng.random() < 0.5:
                person.put(f"/api/media/{item[0]['id']}/favorite")
            elif item:
                person.delete(f"/api/media/{item[0]['id']}")
    counters = {
        "persona_counts": ("personas", "user_id, is_nsfw, is_favorite", ""),
        "job_counts": ("generation_jobs", "user_id, is_nsfw, status, job_type", ""),
        "media_counts": (
            "media_items",
            "user_id, is_nsfw, is_favorite, file_type",
            ", SUM(file_size)",
        ),
    }
    for counter, (table, group, more) in counters.items():
        figures = "SUM(n), SUM(bytes)" if more else "SUM(n)"
        kept = (
            f"SELECT {group}, {figures} FROM {counter} GROUP BY {group} HAVING SUM(n) <> 0"
            f" ORDER BY {group}"
        )
        real = f"SELECT {group}, COUNT(*){more} FROM {table} GROUP BY {group} ORDER BY {group}"
        rows = [[tuple(row) for row in database.connection.execute(sql)] for sql in (kept, real)]
        assert rows[0] == rows[1], counter
        assert rows[0]


# ----------------------------------------------------------------------------------------- versions


def test_the_etag_changes_with_each_write_alone(alice: Person) -> None:
    path = f"/api/personas/{alice.persona()['id']}"
    assert len({alice.get(path).headers["ETag"] for _ in range(2)}) == 1
    assert version_of(alice.patch(path, json={"name": "x"})) == 2
    answer = alice.get(path)
    assert version_of(answer) == 2
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["Vary"] == "Authorization, Origin, Accept-Encoding"


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_write_that_changes_nothing_makes_no_version(alice: Person, method: str) -> None:
    made = alice.persona(**FULL)
    path = f"/api/personas/{made['id']}"
    params = dict(reversed(made["generation_params"].items()))
    for body in (made, {"is_favorite": made["is_favorite"]}, {"generation_params": params}):
        answer = alice.open(method, path, json=body)
        now = answer.get_json()
        assert now.pop("warnings") is not None
        assert (answer.status_code, version_of(answer), now) == (200, 1, made)


def test_true_is_another_value_than_one(alice: Person) -> None:
    made = alice.persona(generation_params={"hires": 1})
    answer = alice.patch(
        f"/api/personas/{made['id']}", json={"generation_params": {"hires": True}}
    ).get_json()
    assert (answer["version"], answer["revision"]) == (2, 2)
    assert answer["generation_params"] == {"hires": True}
    for value in (1, True):
        alice.put("/api/settings", json={"extra": {"grid": value}})
    assert alice.get("/api/settings").get_json()["extra"]["grid"] is True


@pytest.mark.parametrize(
    ("known", "status"),
    [
        ("{tag}", 304),
        ("W/{tag}", 304),
        ("*", 304),
        ('"7", {tag}', 304),
        ('"1"', 200),
        ('"1-0123456789abcdef"', 200),
    ],
)
def test_if_none_match(alice: Person, known: str, status: int) -> None:
    path = f"/api/personas/{alice.persona()['id']}"
    tag = alice.get(path).headers["ETag"]
    answer = alice.get(path, headers={"If-None-Match": known.format(tag=tag)})
    assert (answer.status_code, version_of(answer)) == (status, 1)
    assert bool(answer.data) is (status == 200)


@pytest.mark.parametrize(
    ("expected", "fresh"),
    [('"1"', True), ('W/"1"', True), ("*", True), ('"7", "1"', True), ('"2"', False), ("", False)],
)
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_if_match(alice: Person, method: str, expected: str, fresh: bool) -> None:
    path = f"/api/personas/{alice.persona()['id']}"
    body = {} if method == "DELETE" else {"json": {"name": "Nova"}}
    answer = alice.open(method, path, headers={"If-Match": expected}, **body)
    assert answer.status_code == ((204 if method == "DELETE" else 200) if fresh else 412)
    if not fresh:
        assert alice.get(path).get_json()["name"] == "Luna"


# --------------------------------------------------------------------------------------------- tags


def test_tags_are_trimmed_and_unique_without_case(alice: Person) -> None:
    made = alice.persona(tags=[" Sea ", "sea", "SEA", "Straße", "STRASSE", "café", "cafe"])
    assert made["tags"] == ["Sea", "Straße", "café"]


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        (["sea"], ["a", "b"]),
        (["SEA"], ["a", "b"]),
        (["sea", "nuit"], ["b"]),
        (["sea", "Sea"], ["a", "b"]),
        (["ete"], ["a"]),
        (["ÉTÉ"], ["a"]),
        (["se"], []),
        (["sea", "none"], []),
        (["%"], []),
        (["t1", "t2", "t3", "t4", "t5", "t6", "t7", "sea"], ["b"]),
    ],
)
def test_all_tags_must_match_without_case_and_accents(
    alice: Person, bob: Person, tags: list[str], found: Any
) -> None:
    alice.persona(name="a", tags=["Sea", "été", "ete"])
    alice.persona(name="b", tags=["sea", "Nuit", *(f"t{n}" for n in range(1, 8))])
    alice.persona(name="c")
    bob.persona(name="d", tags=["sea", "nuit", "été"])
    for more in ({}, {"search": "moon"}, {"search": "m"}):
        answer = alice.get("/api/personas", query_string={"tag": tags, "sort": "name", **more})
        assert [p["name"] for p in answer.get_json()] == found
        assert answer.headers["X-Total-Count"] == str(len(found))


def test_tags_and_favorites_filter_together(alice: Person) -> None:
    alice.persona(name="a", tags=["sea"], is_favorite=True)
    alice.persona(name="b", tags=["sea"])
    alice.persona(name="c", is_favorite=True)
    for favorite, found in (("true", ["a"]), ("false", ["b"])):
        answer = alice.get(f"/api/personas?tag=sea&is_favorite={favorite}")
        assert [p["name"] for p in answer.get_json()] == found
        assert answer.headers["X-Total-Count"] == "1"


def test_tags_follow_a_change_and_go_with_the_persona(
    alice: Person, database: SqliteDatabase
) -> None:
    path = f"/api/personas/{alice.persona(tags=['old', 'kept'])['id']}"
    alice.patch(path, json={"tags": ["kept", "new"]})
    counts = [
        alice.get(f"/api/personas?tag={tag}").headers["X-Total-Count"]
        for tag in ("old", "kept", "new")
    ]
    assert counts == ["0", "1", "1"]
    alice.delete(path)
    assert database.connection.execute("SELECT COUNT(*) FROM persona_tags").fetchone()[0] == 0


# ------------------------------------------------------------------------------------------ avatars


def test_an_avatar_is_a_fresh_link_that_loads(alice: Person, worker: Worker) -> None:
    item = made_media(alice, worker)
    path = f"/api/personas/{alice.persona(avatar_url='https://example.com/a.png')['id']}"
    answer = alice.put(f"{path}/avatar", json={"media_id": item["id"]})
    assert (answer.status_code, version_of(answer)) == (200, 2)
    for avatar in (
        answer.get_json()["avatar_url"],
        alice.get(path).get_json()["avatar_url"],
        alice.get("/api/personas").get_json()[0]["avatar_url"],
    ):
        picture = alice.client.get(avatar, buffered=True)
        assert (picture.status_code, picture.mimetype) == (200, "image/webp")


def test_get_edit_put_keeps_the_avatar(alice: Person, worker: Worker) -> None:
    item = made_media(alice, worker)
    path = f"/api/personas/{item['persona_id']}"
    alice.put(f"{path}/avatar", json={"media_id": item["id"]})
    before = alice.get(path).get_json()
    after = alice.put(path, json=before | {"name": "Nova"}).get_json()
    assert after["avatar_url"] == before["avatar_url"] is not None
    copy = alice.post(f"{path}/duplicate").get_json()
    assert copy["avatar_url"] == before["avatar_url"]
    assert (
        alice.patch(path, json={"avatar_url": "https://example.com/b.png"}).get_json()[
            "avatar_url"
        ][-5:]
        == "b.png"
    )
    assert (
        alice.patch(path, json={"avatar_url": before["avatar_url"]}).get_json()["avatar_url"]
        == before["avatar_url"]
    )
    assert alice.patch(path, json={"avatar_url": None}).get_json()["avatar_url"] is None


def test_somebody_elses_media_is_no_avatar(alice: Person, bob: Person, worker: Worker) -> None:
    item = made_media(bob, worker)
    path = f"/api/personas/{alice.persona()['id']}"
    for media_id in (item["id"], "6f1c2f0e-0d5b-5d5c-9c55-2b8d3f3c1a10", "no uuid", None):
        assert wrong_fields(alice.put(f"{path}/avatar", json={"media_id": media_id})) == {
            "media_id"
        }
    assert wrong_fields(alice.put(f"{path}/avatar", json={})) == {"media_id"}
    assert wrong_fields(alice.patch(path, json={"avatar_url": item["thumbnail_url"]})) == {
        "avatar_url"
    }
    assert wrong_fields(alice.post("/api/personas", json=LOOK | {"avatar_url": item["url"]})) == {
        "avatar_url"
    }
    assert alice.get(path).get_json()["avatar_url"] is None


def test_an_avatar_whose_media_is_deleted_reads_as_null(alice: Person, worker: Worker) -> None:
    item = made_media(alice, worker)
    path = f"/api/personas/{item['persona_id']}"
    alice.put(f"{path}/avatar", json={"media_id": item["id"]})
    alice.delete(f"/api/media/{item['id']}")
    read = alice.get(path).get_json()
    assert read["avatar_url"] is None
    assert alice.get("/api/personas").get_json()[0]["avatar_url"] is None
    assert alice.put(path, json=read).status_code == 200


def test_an_avatar_that_the_nsfw_settings_hide_reads_as_null(alice: Person, worker: Worker) -> None:
    alice.allow_nsfw()
    item = made_media(alice, worker, is_nsfw=True)
    path = f"/api/personas/{alice.persona()['id']}"
    alice.put(f"{path}/avatar", json={"media_id": item["id"]})
    assert alice.get(path).get_json()["avatar_url"]
    alice.patch("/api/settings/nsfw", json={"enabled": False})
    assert alice.get(path).get_json()["avatar_url"] is None
    alice.patch("/api/settings/nsfw", json={"enabled": True})
    assert alice.get(path).get_json()["avatar_url"]


# ------------------------------------------------------------------------------------------- owners


def test_somebody_elses_persona_does_not_exist(alice: Person, bob: Person) -> None:
    path = f"/api/personas/{bob.persona()['id']}"
    for method, more, body in (
        ("GET", "", None),
        ("PUT", "", {"name": "x"}),
        ("PATCH", "", {"name": "x"}),
        ("DELETE", "", None),
        ("POST", "/duplicate", {}),
        ("POST", "/preview", {}),
        ("PUT", "/avatar", {"media_id": "6f1c2f0e-0d5b-5d5c-9c55-2b8d3f3c1a10"}),
    ):
        answer = alice.open(method, path + more, **({} if body is None else {"json": body}))
        assert answer.status_code == 404, (method, more)
    assert alice.get("/api/personas").headers["X-Total-Count"] == "0"
    assert version_of(bob.get(path)) == 1


# ---------------------------------------------------------------------------------------- the rules


def test_the_rules_need_no_request(
    alice: Person, database: SqliteDatabase, settings: Settings
) -> None:
    """As a command or an import calls them: with a transaction and a user's id."""
    versions: list[int] = []
    body = {"name": "Luna", "style_prompt": "moonlit", "tags": ["sea"]}
    with database.transaction(alice.id) as tx:
        id = write.create_persona(tx, alice.id, write.prepare_persona(body), settings)["id"]
        write.change_persona(tx, alice.id, id, {"name": "Nova"}, versions.append)
        copy = write.duplicate_persona(tx, alice.id, id, None, settings)
        write.delete_persona(tx, alice.id, id, 30, versions.append)
    assert versions == [1, 2]
    (persona,) = alice.get("/api/personas?search=nova&tag=sea").get_json()
    assert (persona["id"], persona["name"]) == (copy["id"], "Nova (copy)")


def test_a_rule_that_is_refused_by_the_version_writes_nothing(
    alice: Person, database: SqliteDatabase
) -> None:
    made = alice.persona()

    def refuse(version: int) -> None:
        raise Conflict("It is not that version.")

    for rule in (
        lambda tx: write.change_persona(tx, alice.id, made["id"], {"name": "Nova"}, refuse),
        lambda tx: write.set_avatar(tx, alice.id, made["id"], "none", refuse),
        lambda tx: write.delete_persona(tx, alice.id, made["id"], 30, refuse),
    ):
        with pytest.raises(Conflict), database.transaction(alice.id) as tx:
            rule(tx)
    assert alice.get(f"/api/personas/{made['id']}").get_json() == made


def test_nobody_writes_what_is_another_users(
    alice: Person, bob: Person, database: SqliteDatabase, settings: Settings
) -> None:
    made = alice.persona()
    versions: list[int] = []
    for rule in (
        lambda tx: write.change_persona(tx, bob.id, made["id"], {"name": "x"}, versions.append),
        lambda tx: write.set_avatar(tx, bob.id, made["id"], "none", versions.append),
        lambda tx: write.duplicate_persona(tx, bob.id, made["id"], "x", settings),
        lambda tx: write.delete_persona(tx, bob.id, made["id"], 30, versions.append),
    ):
        with pytest.raises(NotFound), database.transaction(bob.id) as tx:
            rule(tx)
    assert versions == []
    assert alice.get(f"/api/personas/{made['id']}").get_json() == made


def test_a_card_leaves_out_what_a_grid_does_not_show(alice: Person) -> None:
    made = alice.persona(**FULL)
    hidden = {"description", "negative_prompt", "generation_params"}
    for query in ("", "&search=a", "&sort=name"):
        [card] = alice.get(f"/api/personas?fields=card{query}").get_json()
        assert card == {name: value for name, value in made.items() if name not in hidden}
    answer = alice.get("/api/personas?fields=all")
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["fields"])

"""Imports: a plan, applied and taken back."""

from __future__ import annotations

import io
import json
from typing import Any

from conftest import Person
from werkzeug.test import TestResponse


def style(name: str, prompt: str = "moonlit ocean", **more: Any) -> dict[str, Any]:
    """An entry of SD.Next's, with a prompt."""
    return {"name": name, "prompt": prompt, "negative": "", "extra": "", "preview": "", **more}


def send(person: Person, *styles: Any, file: str = "styles.json", **options: Any) -> TestResponse:
    data = {"file": (io.BytesIO(json.dumps(list(styles)).encode()), file), **options}
    return person.post("/api/imports", data=data, content_type="multipart/form-data")


def plan(person: Person, *styles: Any, **options: Any) -> dict[str, Any]:
    answer = send(person, *styles, **options)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.get_json()
    assert answer.headers["Location"] == f"/api/imports/{made['id']}"
    return made


def apply(person: Person, made: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = person.post(f"/api/imports/{made['id']}/apply", json=body)
    assert answer.status_code == 202, answer.text
    done: dict[str, Any] = answer.get_json()
    return done


def test_it_works(alice: Person) -> None:
    made = plan(alice, style("Luna"), style("Sol", "desert"))
    print(json.dumps(made, indent=1))
    assert alice.get("/api/personas").get_json() == []
    done = apply(alice, made)
    print(json.dumps(done, indent=1))
    assert done["status"] == "applied"
    assert len(alice.get("/api/personas").get_json()) == 2
    again = plan(alice, style("Luna"), style("Sol", "desert"))
    assert again["summary"]["actions"] == {"unchanged": 2}
    answer = alice.post(f"/api/imports/{made['id']}/undo")
    assert answer.status_code == 202, answer.text
    assert answer.get_json()["status"] == "undone"
    print(json.dumps(answer.get_json(), indent=1))
    assert alice.get("/api/personas").get_json() == []

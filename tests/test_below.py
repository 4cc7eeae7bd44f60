"""An app below a path of its host: SEIDRA_PUBLIC_URL with a path."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conftest import Person
from flask import Flask

LINK = "/api/media/6f1c2f0e-0d5b-5d5c-9c55-2b8d3f3c1a10/content"


@pytest.mark.parametrize("path", ["/seidra", "/a/b", "/caf%C3%A9"])
def test_a_request_is_answered_with_and_without_the_path(
    make_app: Callable[..., Flask], path: str
) -> None:
    client = make_app(public_url=f"http://host.example{path}").test_client()
    for asked in ("/api/health", f"{path}/api/health", f"{path}/", path, "/"):
        assert client.get(asked).status_code == 200, asked
    assert client.get(f"{path}x/api/health").status_code == 404
    assert client.get(f"{path}{path}/api/health").status_code == 404
    assert client.get(f"{path}/api/openapi.json").get_json()["servers"] == [{"url": path}]


def test_an_app_without_a_path_stands_at_the_root(app: Flask) -> None:
    client = app.test_client()
    assert client.get("/seidra/api/health").status_code == 404
    assert client.get("/api/openapi.json").get_json()["servers"] == [{"url": "/"}]
    assert b'"/api/docs/files/' in client.get("/api/docs").data


@pytest.mark.parametrize(
    ("url", "status"),
    [
        (f"http://host.example/seidra{LINK}?signature=x", 422),
        (f"/seidra{LINK}", 422),
        (LINK, 422),
        # Another host's, and no link of media at all, are what they are.
        (f"http://host.example/seidra{LINK}", 201),
        ("http://host.example/seidra/api/media/else.png", 201),
    ],
)
def test_a_link_below_the_path_is_a_reference(
    make_app: Callable[..., Flask], url: str, status: int
) -> None:
    alice = Person(make_app(public_url="http://host.example/seidra"), "alice")
    answer = alice.post("/api/personas", json={"name": "L", "style_prompt": "s", "avatar_url": url})
    assert answer.status_code == status
    if status == 422:
        assert answer.get_json()["errors"] == {
            "avatar_url": ["Must be one of your own media items."]
        }
    else:
        assert answer.get_json()["avatar_url"] == url


def test_patches_are_documented_with_both_types(app: Flask) -> None:
    paths = app.test_client().get("/api/openapi.json").get_json()["paths"]
    patches = [path["patch"] for path in paths.values() if "patch" in path]
    assert len(patches) >= 4
    for operation in patches:
        assert set(operation["requestBody"]["content"]) == {
            "application/json",
            "application/merge-patch+json",
        }
    for path in paths.values():
        for method in path.keys() - {"patch", "parameters"}:
            body = path[method].get("requestBody", {"content": {}})
            assert "application/merge-patch+json" not in body["content"]

"""A user's settings: /api/settings and /api/auth/me/settings are one thing under two names."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Person

PATHS = ("/api/settings", "/api/auth/me/settings")
DEFAULTS = {
    "theme": "system",
    "language": "en",
    "notifications": {"web": True, "email": False, "slack": False},
    "telemetry_opt_in": False,
    "extra": {},
}


def put(person: Person, change: Any, path: str = PATHS[0]) -> dict[str, Any]:
    """Change the settings; returns what they are now, by the answer and by reading."""
    answer = person.put(path, json=change)
    assert answer.status_code == 200, answer.text
    assert person.get("/api/settings").get_json() == answer.get_json()
    return answer.get_json()


@pytest.mark.parametrize("path", PATHS)
def test_changes_are_merged_deeply(alice: Person, bob: Person, path: str) -> None:
    assert alice.get("/api/settings").get_json() == DEFAULTS
    assert put(alice, {"theme": "midnight"}, path) == DEFAULTS | {"theme": "midnight"}
    put(alice, {"notifications": {"email": True, "pager": True}}, path)
    put(alice, {"extra": {"grid": {"columns": 4, "gap": 2}, "sidebar": "open"}}, path)
    expected = {
        "theme": "midnight",
        "language": "pt-BR",
        "notifications": {"web": True, "email": True, "slack": False, "pager": True},
        "telemetry_opt_in": True,
        "extra": {"grid": {"columns": 6, "gap": 2}, "sidebar": "open"},
    }
    change = {"extra": {"grid": {"columns": 6}}, "telemetry_opt_in": True, "language": "pt-BR"}
    assert put(alice, change, path) == expected
    assert alice.get("/api/auth/me").get_json()["settings"] == expected
    assert bob.get("/api/settings").get_json() == DEFAULTS


def test_what_is_read_can_be_sent_back(alice: Person) -> None:
    assert put(alice, DEFAULTS) == DEFAULTS
    assert put(alice, {}) == DEFAULTS


@pytest.mark.parametrize(
    ("change", "extra"),
    [
        ({"a": None}, {"b": {"c": 1, "d": [1, None]}}),
        ({"b": {"c": None}}, {"a": 1, "b": {"d": [1, None]}}),
        ({"b": None, "a": 2}, {"a": 2}),
        ({"missing": None}, {"a": 1, "b": {"c": 1, "d": [1, None]}}),
        (
            {"new": {"x": None, "y": {"z": None}}},
            {"a": 1, "b": {"c": 1, "d": [1, None]}, "new": {"y": {}}},
        ),
        ({"a": {"x": None}}, {"a": {}, "b": {"c": 1, "d": [1, None]}}),
        ({"b": {"d": [2]}}, {"a": 1, "b": {"c": 1, "d": [2]}}),
    ],
)
def test_null_removes_a_key_of_extra(
    alice: Person, change: dict[str, Any], extra: dict[str, Any]
) -> None:
    put(alice, {"extra": {"a": 1, "b": {"c": 1, "d": [1, None]}}})
    assert put(alice, {"extra": change})["extra"] == extra


BAD = [
    ({"theme": ""}, "theme"),
    ({"theme": "   "}, "theme"),
    ({"theme": "x" * 51}, "theme"),
    ({"theme": 1}, "theme"),
    ({"theme": None}, "theme"),
    ({"theme": "two\nlines"}, "theme"),
    ({"language": "e"}, "language"),
    ({"language": "x" * 36}, "language"),
    ({"language": ["en"]}, "language"),
    ({"telemetry_opt_in": "yes"}, "telemetry_opt_in"),
    ({"telemetry_opt_in": 1}, "telemetry_opt_in"),
    ({"notifications": {"web": "on"}}, "notifications.web"),
    ({"notifications": {"web": None}}, "notifications.web"),
    ({"notifications": {"": True}}, "notifications."),
    ({"notifications": {"x" * 51: True}}, "notifications." + "x" * 51),
    ({"notifications": {str(n): True for n in range(51)}}, "notifications"),
    ({"notifications": [True]}, "notifications"),
    ({"notifications": None}, "notifications"),
    ({"extra": None}, "extra"),
    ({"extra": []}, "extra"),
    ({"extra": {"a": "\x00"}}, "extra"),
    ({"extra": {"\x00": 1}}, "extra"),
    ({"extra": {"a": 2**63}}, "extra"),
    ({"extra": {"a": "x" * 8192}}, "extra"),
    ({"extra": {"a": [[[[[[[[[]]]]]]]]]}}, "extra"),
    ({"colour": "red"}, "colour"),
]


@pytest.mark.parametrize(("change", "field"), BAD)
def test_bad_values_are_named_and_nothing_is_stored(
    alice: Person, change: dict[str, Any], field: str
) -> None:
    for path in PATHS:
        answer = alice.put(path, json={"theme": "midnight", "language": "fr"} | change)
        assert answer.status_code == 422
        assert list(answer.get_json()["errors"]) == [field]
        assert alice.get("/api/settings").get_json() == DEFAULTS


def test_sizes_hold_for_the_sum_of_many_changes(alice: Person) -> None:
    """Each change is small enough alone."""
    put(alice, {"extra": {"a": "x" * 8000}})
    stored = put(alice, {"extra": {"b": "x" * 8000}})
    answer = alice.put("/api/settings", json={"theme": "midnight", "extra": {"c": "x" * 400}})
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["extra"])
    assert alice.get("/api/settings").get_json() == stored
    put(alice, {"extra": {"a": None, "c": "x" * 400}})


def test_the_number_of_notifications_holds_for_the_sum_too(alice: Person) -> None:
    put(alice, {"notifications": {f"n{n}": True for n in range(47)}})
    answer = alice.put("/api/settings", json={"notifications": {"one more": True}})
    assert (answer.status_code, list(answer.get_json()["errors"])) == (422, ["notifications"])
    assert len(put(alice, {"notifications": {"n0": False}})["notifications"]) == 50

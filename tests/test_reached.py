"""Which tests `make test-postgresql` runs is read from their code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import conftest
import pytest
from conftest import environment
from reached import reaches


def named(folder: Path) -> dict[str, str]:
    return environment(folder)


class Place:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def variables(self) -> dict[str, str]:
        return conftest.environment(self.folder)


@pytest.fixture
def place() -> Callable[[Path], dict[str, str]]:
    return lambda folder: Place(folder).variables


def reached(request: pytest.FixtureRequest) -> bool:
    return reaches(request.node, "database_url")


def test_what_names_no_database_reaches_none(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    assert not reached(request)
    assert reaches(request.node, "node")


@pytest.mark.usefixtures("app")
def test_a_fixture_reaches_it(request: pytest.FixtureRequest) -> None:
    assert reached(request)


def test_a_function_reaches_it(request: pytest.FixtureRequest) -> None:
    assert reached(request)
    assert callable(named)


def test_a_class_within_a_fixture_reaches_it(
    request: pytest.FixtureRequest, place: Callable[[Path], dict[str, str]]
) -> None:
    assert reached(request)

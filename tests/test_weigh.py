"""The script that weighs the house: what it counts, on a small house and on this one."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import weigh

MODULE = '''"""Documentation
of two lines."""

from typing import Any


def read_one_word(value: Any) -> Any:  # fmt: skip
    """Says what."""
    return """two
lines"""


class Thing:
    def __init__(self) -> None:
        # Why.
        self.long = "{long}"  # type: ignore[misc]
'''.replace("{long}", "x" * 90)

FILES = {
    "seidra/jobs/thing.py": MODULE,
    "seidra/engines/mock/draw.py": "x = 1\n",
    ".venv/lib/other.py": "y = 2  # fmt: skip\n",
    "sql/things.sql": "-- name: page\n-- A page.\n-- family: order name: ORDER BY name\n"
    "-- family: order id: ORDER BY id\nSELECT id FROM things WHERE a = :a ORDER BY name;\n"
    "-- name: odd\n-- An odd one.\nSELECT id FROM things WHERE name GLOB 'x:y';\n",
    "sql/search.sql": "-- name: get^\n-- One.\nSELECT id FROM things WHERE name GLOB :a;\n",
    "migrations/0001.sql": "CREATE TABLE a (b); CREATE INDEX c ON a (b);"
    "CREATE VIRTUAL TABLE d USING fts5(e);",
    "migrations/0001.rollback.sql": "DROP TABLE a;",
    "setup.cfg": "[options]\ninstall_requires =\n    flask\n    # why\n    orjson>=3\n",
}


def test_a_small_house(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    weigh.main(tmp_path)
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [line.split(" | ")[1].rstrip(" |") for line in lines] == [
        *("1", "16", "7", "32", "0"),
        *("2", "1", "0", "0"),
        *("3", "4", "2", "1"),
        *("2", "2", "3.5, 4, 4", "3.00", "39.1", "9.1%"),
        *("1", "2", "1"),
    ]


@pytest.mark.slow
def test_this_house() -> None:
    checkout = Path(weigh.__file__).parents[1]
    figures = dict(weigh.weigh(checkout))
    assert int(figures["settings"]) > 40
    assert int(figures["statements"]) > 100

"""What each kind can do, as docs/engines.md says it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from fake_comfyui import FakeComfyUI
from fake_openai import KEY, FakeOpenai
from fake_sdapi import FakeSdapi

from seidra.engines import make
from seidra.engines.base import FEATURES, Options
from seidra.engines.setup import Configured, FileRead, read_engines

PAGE = Path(__file__).resolve().parents[2] / "docs/engines.md"


def _of_comfyui() -> frozenset[str]:
    found = []
    for new in (True, False):
        with FakeComfyUI(new=new) as server:
            found.append(_features("comfyui", url=server.url))
    assert found[0] == found[1]
    return found[0]


def _of_sdapi(program: str) -> frozenset[str]:
    server = FakeSdapi(program)
    try:
        return _features("sdapi", url=server.url)
    finally:
        server.close()


def _of_openai(dialect: str) -> frozenset[str]:
    server = FakeOpenai(dialect)
    try:
        return _features("openai", url=server.url, key=KEY, dialect=dialect)
    finally:
        server.close()


def _features(kind: str, url: str = "", key: str = "", dialect: str = "") -> frozenset[str]:
    options = Options(url=url, key=key, dialect=dialect)
    return make("studio", Configured(kind, options)).probe().features


COLUMNS: dict[str, Callable[[], frozenset[str]]] = {
    "mock": lambda: _features("mock"),
    "comfyui": _of_comfyui,
    "forge": lambda: _of_sdapi("forge"),
    "sdnext": lambda: _of_sdapi("sdnext"),
    "sdcpp": lambda: _of_sdapi("sdcpp"),
    "openai": lambda: _of_openai("openai"),
    "localai": lambda: _of_openai("localai"),
}


def table() -> str:
    """The rows of the page's table, as the engines themselves say it."""
    can = {name: features() for name, features in COLUMNS.items()}
    rows = []
    for feature in sorted(FEATURES):
        answers = ("yes" if feature in features else "" for features in can.values())
        rows.append(f"| `{feature}` | {' | '.join(answers)} |\n")
    return "".join(rows)


def test_the_page_says_what_each_can() -> None:
    page = PAGE.read_text(encoding="utf-8")
    head = f"| | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}\n"
    found = re.search(re.escape(head) + r"((?:\|.*\|\n)+)", page)
    assert found
    assert found[1] == table()


def test_the_file_of_the_page_is_a_good_one() -> None:
    [text] = re.findall(r"```toml\n(default.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)

    def read(path: Path) -> FileRead:
        return FileRead(text.encode() if path.suffix == ".toml" else b"sk-key", 0o100600)

    found = read_engines({"SEIDRA_ENGINES": "/etc/seidra/engines.toml"}, read)
    assert (list(found.engines), found.default) == (["studio", "local", "mock"], "studio")
    for name, configured in found.engines.items():
        make(name, configured)

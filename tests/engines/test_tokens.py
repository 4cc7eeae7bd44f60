"""How many tokens a prompt has, and whether what is too much is told."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest
from fake_openai import FakeOpenai

from seidra.engines import make
from seidra.engines.base import Capabilities, Model, Options, RenderRequest
from seidra.engines.findings import check
from seidra.engines.setup import Configured
from seidra.engines.tokens import CLIP_TOKENS, count_tokens
from seidra.errors import StartError


@pytest.mark.parametrize(
    ("text", "tokens", "real"),
    [
        # `real` was counted with CLIP's vocabulary.
        ("", 0, 0),
        ("masterpiece, best quality, highly detailed, rim light, bokeh", 12, 13),
        ("portrait of a woman, 85mm lens, 8k", 12, 12),
        ("the cat's hat", 4, 4),
        ("hyperrealistic", 2, 2),
        ("(a cat:1.3)", 8, 8),
        ("\u591c\u306e\u6d77", 5, 6),
    ],
)
def test_tokens(text: str, tokens: int, real: int) -> None:
    assert count_tokens(text) == tokens
    assert tokens <= real


LONG = ", ".join(["moonlit ocean"] * 26)
"""78 tokens."""


def cut(family: str | None, **fields: Any) -> list[tuple[str, Any]]:
    can = Capabilities(
        models={"m": Model("m", family)},
        features=frozenset({"negative_prompt", "seed"}),
        cuts_prompts=True,
    )
    request = RenderRequest(**{"prompt": "a cat", "seed": 1, "model_name": "m"} | fields)
    found = check(request, can)
    assert {one.level for one in found if one.code == "prompt_cut"} <= {"warning"}
    return [(one.field, one.value) for one in found if one.code == "prompt_cut"]


def test_what_is_cut_is_told() -> None:
    assert count_tokens(LONG) == 77 > CLIP_TOKENS
    assert cut("sdxl", prompt=LONG) == [("prompt", 77)]
    assert cut("sd1", prompt=LONG, negative_prompt=LONG) == [
        ("prompt", 77),
        ("negative_prompt", 77),
    ]
    just = LONG.removesuffix(", moonlit ocean") + ","
    assert count_tokens(just) == CLIP_TOKENS
    assert cut("sdxl", prompt=just) == []


@pytest.mark.parametrize("family", [None, "sd3", "flux", "qwen", "zimage"])
def test_where_it_is_not_sure_nothing_is_told(family: str | None) -> None:
    assert cut(family, prompt=LONG) == []


def test_the_operator_says_that_localai_cuts() -> None:
    models = {"dream": {"file": "dreamshaper", "family": "sd1"}}
    request = RenderRequest(LONG, 1, model_name="dream")
    with closing(FakeOpenai("localai")) as fake:
        for extra, told in (({}, []), ({"cuts_prompts": True}, ["prompt_cut"])):
            options = Options(url=fake.url, dialect="localai", models=models, extra=extra)
            found = check(request, make("local", Configured("openai", options)).probe())
            assert [one.code for one in found if one.field == "prompt"] == told


@pytest.mark.parametrize(("dialect", "value"), [("openai", True), ("localai", "yes")])
def test_a_wrong_word_of_the_operators(dialect: str, value: Any) -> None:
    options = Options(url="http://x", dialect=dialect, extra={"cuts_prompts": value})
    with pytest.raises(StartError, match=r"extra\.cuts_prompts"):
        make("local", Configured("openai", options))

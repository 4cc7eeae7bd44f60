"""Composing: a persona's style and a request become what an engine gets. The tables say how."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seidra import prompts
from seidra.prompts import Composed, Layer, LoraEntry, PromptTooLong, TooManyLoras

# The style, what is asked for, and the prompt.
PROMPTS = [
    # joined
    ("", "", ""),
    ("film grain", "a cat", "a cat, film grain"),
    ("film grain", "", "film grain"),
    ("", "a cat", "a cat"),
    ("  film grain\n", " a cat ", "a cat, film grain"),
    ("  film grain ", "", "  film grain "),
    ("  film grain ", "  ", "  film grain "),
    ("  ", " a cat ", " a cat "),
    ("film grain", "a cat,", "a cat,, film grain"),
    # a template
    ("photo of {prompt}", "a cat", "photo of a cat"),
    ("photo of {prompt}, 35mm", " a cat\n", "photo of a cat, 35mm"),
    ("{prompt} and {prompt}", "a cat", "a cat and a cat"),
    ("{prompt}", "a cat", "a cat"),
    ("({prompt}:1.2)", "a cat", "(a cat:1.2)"),
    # one pass: what was asked for is no template
    ("photo of {prompt}", "{prompt}", "photo of {prompt}"),
    ("film grain", "{prompt}", "{prompt}, film grain"),
    ("{Prompt} { prompt }", "a cat", "a cat, {Prompt} { prompt }"),
    # a template, and nothing asked for
    ("a, {prompt}, b", "", "a, b"),
    ("a,{prompt},b", "", "a,b"),
    ("a , {prompt} , b", "", "a, b"),
    ("photo of {prompt}", "", "photo of"),
    ("photo of {prompt}", "   ", "photo of"),
    ("{prompt}", "", ""),
    ("{prompt}, b", "", "b"),
    ("a, {prompt}", "", "a"),
    ("{prompt} in the rain", "", "in the rain"),
    ("a {prompt} b", "", "a b"),
    ("a{prompt}b", "", "ab"),
    ("({prompt}:1.2)", "", "(:1.2)"),
    ("photo of {prompt}, 35mm", "", "photo of 35mm"),
    ("photo of{prompt},35mm", "", "photo of 35mm"),
    ("a, {prompt} b", "", "a b"),
    ("a,\n{prompt},\nb", "", "a,\nb"),
    ("a\n{prompt}\nb", "", "a\nb"),
    ("{prompt}, {prompt}", "", ""),
    ("a, {prompt}, {prompt}, b", "", "a, b"),
    ("a, , {prompt}, b", "", "a,, b"),
]


@pytest.mark.parametrize(("style", "asked", "prompt"), PROMPTS)
def test_prompts(style: str, asked: str, prompt: str) -> None:
    assert prompts.compose(Layer(style), Layer(asked)).prompt == prompt
    # and the negative prompt by the same rule
    composed = prompts.compose(Layer(negative_prompt=style), Layer(negative_prompt=asked))
    assert (composed.prompt, composed.negative_prompt) == ("", prompt)


def test_without_a_persona() -> None:
    asked = Layer(" a cat ", "text", [{"name": "grain", "weight": 0.5}], {"width": 64})
    composed = prompts.compose(None, asked, {"width": 768, "height": 768})
    assert composed == Composed(
        " a cat ", "text", [{"name": "grain", "weight": 0.5}], {"width": 64, "height": 768}, []
    )


# ------------------------------------------------------------------------------------------- LoRAs


def lora(name: str, weight: float, clip_weight: float | None = None) -> LoraEntry:
    entry: LoraEntry = {"name": name, "weight": weight}
    return entry if clip_weight is None else {**entry, "clip_weight": clip_weight}


# A text, what is left of it, and the LoRAs.
TAGS: list[tuple[str, str, list[LoraEntry]]] = [
    ("a cat", "a cat", []),
    (" a , b ,", " a , b ,", []),
    ("a <lora:x:0.8>", "a", [lora("x", 0.8)]),
    ("a, <lora:x:0.8>, b", "a, b", [lora("x", 0.8)]),
    ("a,<lora:x:0.8>,b", "a,b", [lora("x", 0.8)]),
    ("a <lora:x:0.8>, b", "a, b", [lora("x", 0.8)]),
    ("a, <lora:x:0.8> b", "a, b", [lora("x", 0.8)]),
    ("a <lora:x:0.8> b", "a b", [lora("x", 0.8)]),
    ("a<lora:x:0.8>b", "a b", [lora("x", 0.8)]),
    ("<lora:x:0.8>", "", [lora("x", 0.8)]),
    ("<lora:x:0.8>, b", "b", [lora("x", 0.8)]),
    ("a, <lora:x:0.8>", "a", [lora("x", 0.8)]),
    ("a, <lora:x:1><lora:y:2> b", "a, b", [lora("x", 1), lora("y", 2)]),
    ("a, <lora:x:1> <lora:y:2> b", "a, b", [lora("x", 1), lora("y", 2)]),
    ("a, <lora:x:1> <lora:y:2>, b", "a, b", [lora("x", 1), lora("y", 2)]),
    ("a, <lora:x:1>, <lora:y:2>, b", "a, b", [lora("x", 1), lora("y", 2)]),
    ("a\n<lora:x:1>\nb", "a\nb", [lora("x", 1)]),
    # the forms of A1111
    ("<lora:x>", "", [lora("x", 1)]),
    ("<lora:x:-1.5>", "", [lora("x", -1.5)]),
    ("<LoRA:My Film (v2).1:.5>", "", [lora("My Film (v2).1", 0.5)]),
    ("<lora:xl/film:1>", "", [lora("xl/film", 1)]),
    ("<lora:x:0.2:0.8>", "", [lora("x", 0.8, 0.2)]),
    ("<lora:x:0.8:0.8>", "", [lora("x", 0.8)]),
    ("<lora:x:te=0.2:unet=0.8>", "", [lora("x", 0.8, 0.2)]),
    ("<lora:x:1:0.5:dyn=64>", "", [lora("x", 0.5, 1)]),
    # what is none
    ("<lora:x:0.8", "<lora:x:0.8", []),
    ("<lyco:x:1> <hypernet:y:1>", "<lyco:x:1> <hypernet:y:1>", []),
    # no tag comes of two halves
    ("<lo<lora:x:1>ra:y:1>", "<lo ra:y:1>", [lora("x", 1)]),
    ("<lora:<lora:x:1>y:1>", "y:1>", []),
]


@pytest.mark.parametrize(("text", "left", "loras"), TAGS)
def test_tags(text: str, left: str, loras: list[LoraEntry]) -> None:
    assert prompts.take_tags(text) == (left, loras)


@pytest.mark.parametrize(
    ("text", "code", "loras"),
    [
        ("a <lora:x:strong>", "lora_tag_unreadable", []),
        ("a <lora:x:nan>", "lora_tag_unreadable", []),
        ("a <lora::1>", "lora_tag_unreadable", []),
        ("a <lora:>", "lora_tag_unreadable", []),
        ("a <lora:x:11> <lora:x:11>", "lora_weight_limited", [lora("x", 10)]),
        ("a <lora:x:-1e9>", "lora_weight_limited", [lora("x", -10)]),
    ],
)
def test_tags_that_are_told(text: str, code: str, loras: list[LoraEntry]) -> None:
    composed = prompts.compose(Layer(text), Layer())
    assert (composed.prompt, composed.loras) == ("a", loras)
    [warning] = composed.warnings
    assert (warning.code, warning.field) == (code, "style_prompt")


JOINED: list[tuple[list[Any], str, str, list[Any], list[LoraEntry]]] = [
    # the persona's list, its style, what is asked for, the request's list, and what comes of them
    ([], "", "", [], []),
    ([{"name": "x"}], "", "", [], [lora("x", 1)]),
    ([lora("x", 0.1)], "", "", [], [lora("x", 0.1)]),
    ([lora("x", 0.1)], "<lora:x:0.2>", "", [], [lora("x", 0.2)]),
    ([lora("x", 0.1)], "<lora:x:0.2>", "<lora:x:0.3>", [], [lora("x", 0.3)]),
    ([lora("x", 0.1)], "<lora:x:0.2>", "<lora:x:0.3>", [lora("x", 0.4)], [lora("x", 0.4)]),
    # the style's tags count before the request's, wherever the request stands
    ([], "{prompt} <lora:x:0.2>", "<lora:x:0.3>", [], [lora("x", 0.3)]),
    ([], "<lora:x:0.2><lora:x:0.3>", "", [], [lora("x", 0.3)]),
    (
        [lora("x", 1), lora("y", 1)],
        "<lora:z:1>",
        "",
        [lora("x", 2)],
        [lora("x", 2), lora("y", 1), lora("z", 1)],
    ),
    # taken out
    ([lora("x", 0)], "", "", [], []),
    ([{"name": "x", "enabled": False}], "", "", [], []),
    ([{"name": "x", "enabled": False}], "<lora:x:1>", "", [], [lora("x", 1)]),
    ([lora("x", 1)], "", "<lora:x:0>", [], []),
    ([lora("x", 1)], "<lora:x:1>", "", [lora("x", 0)], []),
    ([lora("x", 1)], "<lora:x:1>", "", [{"name": "x", "enabled": False}], []),
    # the last one says all
    ([lora("x", 1, 0.5)], "", "", [lora("x", 2)], [lora("x", 2)]),
    ([lora("x", 1)], "", "", [lora("x", 2, 0.5)], [lora("x", 2, 0.5)]),
    ([lora("x", 1, 1)], "", "", [], [lora("x", 1)]),
    # a name is exact
    ([lora("x", 1)], "", "", [lora("X", 1)], [lora("x", 1), lora("X", 1)]),
    # a tag that only the two together are
    ([], "<lora:{prompt}:1>", "x", [], [lora("{prompt}", 1)]),
    ([], "a> b", "<lora:x", [], [lora("x, a", 1)]),
]


@pytest.mark.parametrize(("persona", "style", "asked", "request_list", "joined"), JOINED)
def test_joining(
    persona: list[Any], style: str, asked: str, request_list: list[Any], joined: list[LoraEntry]
) -> None:
    composed = prompts.compose(Layer(style, loras=persona), Layer(asked, loras=request_list))
    assert composed.loras == joined
    assert "<lora:" not in composed.prompt


def test_tags_of_negative_prompts_count_too() -> None:
    composed = prompts.compose(Layer("a", "b <lora:x:1>"), Layer("c", "d, <lora:y:-1>"))
    assert (composed.prompt, composed.negative_prompt) == ("c, a", "d, b")
    assert composed.loras == [lora("x", 1), lora("y", -1)]


def test_parameters_merge_key_by_key() -> None:
    composed = prompts.compose(
        Layer(parameters={"width": 512, "scheduler": "euler", "x": 1}),
        Layer(parameters={"width": 640, "sampler": "res_2s", "seed": None}),
        {"width": 768, "height": 768, "scheduler": "ddim"},
    )
    assert composed.parameters == {"width": 640, "height": 768, "sampler": "res_2s", "x": 1}


# ------------------------------------------------------------------------------------------ limits


@pytest.mark.parametrize(
    ("persona", "request_layer", "field", "length"),
    [
        (Layer(), Layer("a" * 8_001), "prompt", 8_001),
        (Layer(), Layer(negative_prompt="a" * 16_001), "negative_prompt", 16_001),
        (Layer("{prompt}" * 5), Layer("a" * 8_000), "prompt", 40_000),
        (Layer("{prompt}" * 1_000), Layer("a" * 8_000), "prompt", 8_000_000),
        (
            Layer(negative_prompt="b" * 16_000),
            Layer(negative_prompt="a" * 16_000),
            "negative_prompt",
            32_002,
        ),
    ],
    ids=["prompt", "negative", "places", "many", "joined"],
)
def test_too_long(persona: Layer, request_layer: Layer, field: str, length: int) -> None:
    with pytest.raises(PromptTooLong) as caught:
        prompts.compose(persona, request_layer)
    error = caught.value
    assert (error.code, error.status, error.name, error.length) == (
        "prompt_too_long",
        422,
        field,
        length,
    )
    assert f"{length:,}" in dict(error.errors or {})[field][0]


def test_as_long_as_may_be() -> None:
    composed = prompts.compose(
        Layer("{prompt}" * 4, "b" * 15_998), Layer("a" * 8_000, "a" * 16_000)
    )
    assert (len(composed.prompt), len(composed.negative_prompt)) == (32_000, 32_000)


def test_fifty_loras_and_no_more() -> None:
    fifty = [lora(f"x{n}", 1) for n in range(50)]
    assert prompts.compose(Layer(loras=fifty), Layer()).loras == fifty
    with pytest.raises(TooManyLoras, match="loras"):
        prompts.compose(Layer(loras=fifty), Layer("<lora:y:1>"))


@pytest.mark.parametrize(
    "text",
    [
        "<lora:" * 1_300,
        "<lo" * 1_000 + "<lora:x:1>" + "ra:x:1>" * 700,
        "a" + " " * 7_990 + "b",
        "," * 8_000,
    ],
    ids=["unclosed", "nested", "blanks", "commas"],
)
def test_long_texts_take_no_time(text: str) -> None:
    before = time.process_time()
    for style in (text, text[:4_000] + "{prompt}" + text[4_000:7_900]):
        prompts.compose(Layer(style), Layer())
    assert time.process_time() - before < 1


# -------------------------------------------------------------------------------------- properties

_PIECES = st.lists(
    st.sampled_from(
        ["a", " ", ",", "\n", "{prompt}", "<lora:", "x", ":1", ">", "<lora:y:0.5>", "<"]
    )
).map("".join)


@given(_PIECES, _PIECES)
def test_no_tag_is_left_and_composing_again_changes_nothing(style: str, asked: str) -> None:
    composed = prompts.compose(Layer(style), Layer(asked))
    left, loras = prompts.take_tags(composed.prompt)
    assert (left, loras) == (composed.prompt, [])


@given(
    st.text(min_size=1).filter(lambda name: prompts.write_tag(name, 1) is not None),
    st.floats(-10, 10).filter(bool),
    st.none() | st.floats(-10, 10),
)
def test_a_tag_is_read_as_it_was_written(
    name: str, weight: float, clip_weight: float | None
) -> None:
    tag = prompts.write_tag(name, weight, clip_weight)
    assert tag is not None
    text, [found] = prompts.take_tags(f"a {tag}")
    [expected] = prompts.join_loras([lora(name, weight, clip_weight)])
    assert (text, found) == ("a", expected)


@pytest.mark.parametrize("name", ["", " x", "a:b", "a>b", "a<b", "a\nb"])
def test_names_that_no_tag_can_hold(name: str) -> None:
    assert prompts.write_tag(name, 1) is None


def test_tags_as_they_are_written() -> None:
    assert prompts.write_tag("x", 1.0) == "<lora:x:1>"
    assert prompts.write_tag("x", 0.8, 0.8) == "<lora:x:0.8>"
    assert prompts.write_tag("x", 0.8, 0.5) == "<lora:x:0.5:0.8>"

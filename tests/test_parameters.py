"""Generation parameters: what people and other tools write, and what SEIDRA stores of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seidra import parameters
from seidra.engines.samplers import recognise
from seidra.parameters import MAX_SEED, Understood


def understand(**params: Any) -> Understood:
    return parameters.understand(params, recognise)


# What is written, and what is stored.
STORED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"width": 768, "height": 512.0}, {"width": 768, "height": 512}),
    (
        {"num_inference_steps": 30, "guidance_scale": 7},
        {"num_inference_steps": 30, "guidance_scale": 7},
    ),
    ({"quality": "high", "engine": "studio"}, {"quality": "high", "engine": "studio"}),
    # other tools' words
    ({"steps": 30, "cfg": 7}, {"num_inference_steps": 30, "guidance_scale": 7}),
    ({"Steps": 30, "CFG scale": 6.5}, {"num_inference_steps": 30, "guidance_scale": 6.5}),
    ({"cfg_scale": 5}, {"guidance_scale": 5}),
    ({"cfgscale": "7.5", "steps": "20"}, {"guidance_scale": 7.5, "num_inference_steps": 20}),
    ({"model": "a"}, {"model_name": "a"}),
    ({"ckpt_name": "a.safetensors"}, {"model_name": "a.safetensors"}),
    ({"Size": "768x512"}, {"width": 768, "height": 512}),
    ({"default_aspect_ratio": "1152*896"}, {"width": 1152, "height": 896}),
    ({"resolution": "(1152, 896)"}, {"width": 1152, "height": 896}),
    ({"noise_seed": 7}, {"seed": 7}),
    ({"steps": None, "sampler_name": None}, {}),
    ({"negative": "text"}, {"negative_prompt": "text"}),
    # the same said twice
    ({"steps": 30, "num_inference_steps": 30}, {"num_inference_steps": 30}),
    ({"cfg": 7, "cfg_scale": 7.0}, {"guidance_scale": 7}),
    ({"size": "768x512", "width": 768}, {"width": 768, "height": 512}),
    # seeds
    ({"seed": 0}, {"seed": 0}),
    ({"seed": -1}, {"seed": -1}),
    ({"seed": "-1"}, {"seed": -1}),
    ({"seed": None}, {}),
    ({"seed": "9223372036854775807"}, {"seed": MAX_SEED}),
    ({"seed": MAX_SEED}, {"seed": MAX_SEED}),
    ({"seed": 42.0}, {"seed": 42}),
    # of other tools, beyond ours: kept, as text
    ({"noise_seed": 2**64 - 1}, {"noise_seed": "18446744073709551615"}),
    ({"noise_seed": "18446744073709551615"}, {"noise_seed": "18446744073709551615"}),
    ({"noiseSeed": 2**63, "seed": 7}, {"noiseSeed": "9223372036854775808", "seed": 7}),
    # samplers
    ({"scheduler": "dpmpp_2m_karras"}, {"scheduler": "dpmpp_2m_karras"}),
    ({"scheduler": "res_multistep"}, {"scheduler": "res_multistep"}),
    ({"sampler": "Euler a"}, {"scheduler": "euler_a"}),
    ({"Sampler": "DPM++ 2M", "Schedule type": "Karras"}, {"scheduler": "dpmpp_2m_karras"}),
    ({"sampler_name": "DPM++ 2M Karras"}, {"scheduler": "dpmpp_2m_karras"}),
    ({"sampler_name": "dpmpp_2m", "scheduler": "karras"}, {"scheduler": "dpmpp_2m_karras"}),
    (
        {"sampler_name": "DPM++ 2M", "scheduler": "SGM Uniform"},
        {"scheduler": "dpmpp_2m_sgm_uniform"},
    ),
    ({"sampler_name": "Euler", "scheduler": "Automatic"}, {"scheduler": "euler"}),
    ({"sampler": "ddim", "scheduler": "ddim_uniform"}, {"scheduler": "ddim"}),
    (
        {"sampler": "euler_ancestral", "schedule": "normal", "scheduler": "euler_a"},
        {"scheduler": "euler_a"},
    ),
    ({"sampler": "Euler a", "scheduler": "euler_a"}, {"scheduler": "euler_a"}),
    # foreign ones are kept
    ({"sampler": "res_multistep"}, {"sampler": "res_multistep"}),
    (
        {"sampler": "res_multistep", "scheduler": "beta"},
        {"sampler": "res_multistep", "schedule": "beta"},
    ),
    (
        {"sampler_name": "euler", "schedule_type": "kl_optimal"},
        {"sampler": "euler", "schedule": "kl_optimal"},
    ),
    # what is unknown is kept
    ({"clip_skip": 2, "x": {"y": [None]}}, {"clip_skip": 2, "x": {"y": [None]}}),
    ({"size": "auto"}, {"size": "auto"}),
]


@pytest.mark.parametrize(("written", "stored"), STORED)
def test_what_is_stored(written: dict[str, Any], stored: dict[str, Any]) -> None:
    understood = parameters.understand(written, recognise)
    assert (understood.ours, understood.errors) == (stored, [])
    assert {name: type(value) for name, value in understood.ours.items() if name == "width"} in (
        {},
        {"width": int},
    )
    # and stored again, it is the same and says the same
    again = parameters.understand(understood.ours, recognise)
    assert again.ours == stored
    assert {remark.code for remark in again.warnings} == {
        remark.code for remark in understood.warnings
    }


# What is refused: the field, the code, and what its sentence says.
REFUSED: list[tuple[dict[str, Any], str, str, str]] = [
    ({"width": 63}, "width", "range", "from 64 to 2048"),
    ({"height": 2049}, "height", "range", "from 64 to 2048"),
    ({"width": "768"}, "width", "range", "a whole number"),
    ({"width": True}, "width", "range", "a whole number"),
    ({"width": None}, "width", "range", "a whole number"),
    ({"num_inference_steps": 0}, "num_inference_steps", "range", "from 1 to 150"),
    ({"steps": 151}, "steps", "range", "from 1 to 150"),
    ({"steps": "many"}, "steps", "range", "from 1 to 150"),
    ({"guidance_scale": 30.5}, "guidance_scale", "range", "from 0 to 30"),
    ({"guidance_scale": float("nan")}, "guidance_scale", "range", "from 0 to 30"),
    ({"guidance_scale": "7"}, "guidance_scale", "range", "a number"),
    ({"cfg": -1}, "cfg", "range", "from 0 to 30"),
    ({"size": "32x512"}, "size", "range", "from 64 to 2048"),
    ({"seed": -2}, "seed", "range", "-1 for a new one"),
    ({"seed": 2**63}, "seed", "range", "9223372036854775807"),
    ({"seed": "9223372036854775808"}, "seed", "range", "9223372036854775807"),
    ({"seed": "12a"}, "seed", "range", "whole number"),
    ({"seed": 1e18}, "seed", "range", "as text beyond"),
    ({"seed": True}, "seed", "range", "whole number"),
    ({"seed": "٣"}, "seed", "range", "whole number"),
    ({"quality": "best"}, "quality", "choice", "draft, standard, high"),
    ({"quality": ["high"]}, "quality", "choice", "draft, standard, high"),
    ({"model_name": ""}, "model_name", "length", "1 to 200"),
    ({"model_name": "a" * 201}, "model_name", "length", "1 to 200"),
    ({"engine": "a\nb"}, "engine", "length", "one line"),
    ({"sampler": 7}, "sampler", "length", "one line"),
    ({"negative": 7}, "negative", "invalid", "a text"),
    # beside ours with another value: both are named
    ({"steps": 30, "num_inference_steps": 25}, "steps", "says_otherwise", "'num_inference_steps'"),
    ({"num_inference_steps": 25, "steps": 30}, "steps", "says_otherwise", "'num_inference_steps'"),
    ({"cfg": 7, "cfg_scale": 8}, "cfg_scale", "says_otherwise", "'cfg'"),
    ({"size": "768x512", "width": 512}, "size", "says_otherwise", "'width'"),
    (
        {"sampler_name": "Euler a", "scheduler": "ddim"},
        "sampler_name",
        "says_otherwise",
        "'scheduler'",
    ),
    ({"sampler_name": "a", "sampler": "b"}, "sampler_name", "says_otherwise", "'sampler'"),
    (
        {"sampler": "a", "schedule": "beta", "scheduler": "karras"},
        "scheduler",
        "says_otherwise",
        "'schedule'",
    ),
    ({"negative": "a", "negative_prompt": "b"}, "negative", "says_otherwise", "'negative_prompt'"),
]


@pytest.mark.parametrize(("written", "field", "code", "says"), REFUSED)
def test_what_is_refused(written: dict[str, Any], field: str, code: str, says: str) -> None:
    [error] = parameters.understand(written, recognise).errors
    assert (error.field, error.code) == (field, code)
    assert says in error.detail


def test_errors_as_answers_have_them() -> None:
    errors = understand(width=1, cfg=99).errors
    assert parameters.messages(errors) == {
        "width": ["Must be a whole number from 64 to 2048."],
        "cfg": ["Must be a number from 0 to 30."],
    }
    assert parameters.codes(errors)["width"] == [{"code": "range", "min": 64, "max": 2048}]


@pytest.mark.parametrize(
    ("written", "code", "field"),
    [
        ({"clip_skip": 2}, "unused_parameter", "clip_skip"),
        ({"size": "auto"}, "unused_parameter", "size"),
        ({"schedule": "karras"}, "schedule_alone", "schedule"),
        ({"sampler_name": "res_multistep"}, "sampler_unknown", "sampler_name"),
        ({"sampler": "res_multistep", "scheduler": "ddim"}, "unused_parameter", "sampler"),
    ],
)
def test_what_is_told(written: dict[str, Any], code: str, field: str) -> None:
    [warning] = parameters.understand(written, recognise).warnings
    assert (warning.code, warning.field) == (code, field)
    assert warning.shown() == {"code": code, "field": field, "detail": warning.detail}
    assert warning.detail.endswith(".")


def test_nothing_is_told_of_what_engines_use() -> None:
    assert understand(width=64, steps=2, sampler="Euler", seed=-1, engine="a").warnings == []


@pytest.mark.parametrize(
    ("written", "beside", "negative", "errors"),
    [
        ({"negative": "text"}, None, "text", 0),
        ({"negative": "text"}, "", "text", 0),
        ({"negative": "text"}, "text", "text", 0),
        ({"negative": "text"}, "other", "other", 1),
        ({"width": 64}, "other", "other", 0),
        ({"negative": ""}, None, "", 0),
    ],
)
def test_a_negative_prompt_among_the_parameters(
    written: dict[str, Any], beside: str | None, negative: str, errors: int
) -> None:
    understood, found = parameters.take_negative_prompt(
        parameters.understand(written, recognise), beside
    )
    assert found == negative
    assert len(understood.errors) == errors
    assert "negative_prompt" not in understood.ours


# ------------------------------------------------------------------------------------------ layers


@pytest.mark.parametrize(
    ("layers", "merged"),
    [
        ([{"a": 1, "b": {"c": 1}}, {"b": {"d": 2}}], {"a": 1, "b": {"d": 2}}),
        ([{"seed": 7}, {"seed": None}], {"seed": 7}),
        ([{"seed": 7}, {"seed": 0}], {"seed": 0}),
        ([{"seed": 7}, {"seed": -1}], {"seed": -1}),
        ([{"x": 1}, {"x": None}], {"x": None}),
        (
            [{"scheduler": "ddim"}, {"sampler": "x", "schedule": "y"}],
            {"sampler": "x", "schedule": "y"},
        ),
        ([{"sampler": "x", "schedule": "y"}, {"scheduler": "ddim"}], {"scheduler": "ddim"}),
        ([{"sampler": "x", "schedule": "y"}, {"sampler": "z"}], {"sampler": "z"}),
        ([{"sampler": "x"}, {"width": 64}], {"sampler": "x", "width": 64}),
        ([], {}),
    ],
)
def test_merging(layers: list[dict[str, Any]], merged: dict[str, Any]) -> None:
    before = [dict(layer) for layer in layers]
    assert parameters.merge(*layers) == merged
    assert layers == before


def test_seeds_of_pictures_and_as_answered() -> None:
    assert parameters.seed_of_picture(7, 3) == 10
    assert parameters.seed_of_picture(MAX_SEED, 1) == 0
    assert parameters.shown_seed(2**53 - 1) == 2**53 - 1
    assert parameters.shown_seed(2**53) == "9007199254740992"
    assert parameters.shown({"seed": MAX_SEED, "width": 64}) == {"seed": str(MAX_SEED), "width": 64}
    assert parameters.shown({"seed": None}) == {"seed": None}
    assert all(0 <= parameters.draw_seed() < 2**31 for _ in range(50))


# -------------------------------------------------------------------------------------- properties

_KEYS = st.one_of(
    st.sampled_from([*parameters.KNOWN, "steps", "cfg", "sampler_name", "schedule_type", "size"]),
    st.sampled_from(["Seed", "negative", "Model", "clip_skip", "Scheduler"]),
    st.text(max_size=8),
)
_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64), 2**64),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["Euler a", "karras", "DPM++ 2M", "Automatic", "768x512", "res_2s", "12"]),
)


@given(st.dictionaries(_KEYS, _VALUES, max_size=6))
def test_understanding_again_changes_nothing(written: dict[str, Any]) -> None:
    first = parameters.understand(written, recognise)
    again = parameters.understand(first.ours, recognise)
    if not first.errors:
        assert again.errors == []
        assert repr(again.ours) == repr({key: first.ours[key] for key in again.ours})
        assert again.ours.keys() == first.ours.keys()


@given(st.integers(-1, MAX_SEED))
def test_a_seed_comes_back_as_it_was_answered(seed: int) -> None:
    shown = parameters.shown({"seed": seed})
    assert understand(**shown).ours == {"seed": seed}

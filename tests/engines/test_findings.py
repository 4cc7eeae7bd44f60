"""What an engine lacks for a request, or does otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seidra.engines import findings
from seidra.engines.base import (
    Capabilities,
    Lora,
    Model,
    Picture,
    RenderRequest,
    Sizes,
)
from seidra.engines.mock import MockEngine

STUDIO = Capabilities(
    models={
        "sdxl-base": Model("sd_xl_base_1.0.safetensors", "sdxl"),
        "sd_xl_base_1.0.safetensors": Model("sd_xl_base_1.0.safetensors", "sdxl"),
        "SD15\\dreamshaper_8.safetensors": Model("SD15\\dreamshaper_8.safetensors", "sd1"),
        "a/twin.safetensors": Model("a/twin.safetensors"),
        "b/Twin.ckpt": Model("b/Twin.ckpt"),
    },
    loras={
        "film-grain-xl": Model("xl/film-grain-xl.safetensors", "sdxl"),
        "sd1/film-grain.safetensors": Model("sd1/film-grain.safetensors", "sd1"),
        "xl/ink.safetensors": Model("xl/ink.safetensors", "sdxl"),
        "sd1/ink.safetensors": Model("sd1/ink.safetensors", "sd1"),
        "unknown-family": Model("unknown-family.pt"),
    },
    schedulers=["ddim", "euler", "euler_a", "dpmpp_2m", "dpmpp_2m_karras"],
    foreign={"samplers": ["euler", "res_multistep"], "schedules": ["normal", "beta57"]},
    features=frozenset({"negative_prompt", "seed", "loras", "lora_weights"}),
    sizes=Sizes(64, 2048, 8),
    max_count=4,
    seed_max=2**31 - 1,
)
CLOUD = Capabilities(features=frozenset(), sizes=Sizes(fixed=((1024, 1024), (1536, 1024))))
FINE = RenderRequest("a", 7, 768, 512, "text", scheduler="euler_a", model_name="sdxl-base")


def found(request: RenderRequest, capabilities: Capabilities = STUDIO) -> list[tuple[Any, ...]]:
    return [
        (finding.level, finding.code, finding.field, finding.value, list(finding.suggestions))
        for finding in findings.check(request, capabilities)
    ]


def test_nothing_to_say() -> None:
    loras = [Lora("film-grain-xl", 0.8), Lora("unknown-family")]
    assert found(replace(FINE, loras=loras)) == []
    # what an engine does not tell is not looked at
    untold = Capabilities(features=STUDIO.features)
    assert found(replace(FINE, loras=loras, model_name="x", scheduler="y"), untold) == []
    assert found(replace(FINE, loras=[Lora("x")]), MockEngine().probe()) == []
    # its own default
    assert found(replace(FINE, model_name="", scheduler="")) == []


MODELS = [
    ("sdxl-base", []),
    ("sd_xl_base_1.0.safetensors", []),
    ("sd_xl_base_1.0", []),
    ("SD_XL_BASE_1.0", []),
    ("some/folder/sd_xl_base_1.0.ckpt", []),
    ("dreamshaper_8", []),
    ("sd15/DreamShaper_8.safetensors", []),
    ("a/twin", []),
    ("B\\TWIN", []),
    ("twin", [("error", "model_ambiguous", ["a/twin.safetensors", "b/Twin.ckpt"])]),
    ("TWIN.safetensors", [("error", "model_ambiguous", ["a/twin.safetensors", "b/Twin.ckpt"])]),
    ("sdxl-bse", [("error", "model_unknown", ["sdxl-base", "sd_xl_base_1.0.safetensors"])]),
    ("dream-shaper8", [("error", "model_unknown", ["SD15\\dreamshaper_8.safetensors"])]),
    # a version is no extension
    ("sd_xl_base_1", [("error", "model_unknown", ["sd_xl_base_1.0.safetensors", "sdxl-base"])]),
    ("zzz", [("error", "model_unknown", [])]),
]


@pytest.mark.parametrize(("name", "expected"), MODELS)
def test_models(name: str, expected: list[tuple[str, str, list[str]]]) -> None:
    assert found(replace(FINE, model_name=name)) == [
        (level, code, "model_name", name, suggestions) for level, code, suggestions in expected
    ]


LORAS = [
    ("Film-Grain-XL", "sdxl-base", []),
    ("film-grain-xl.safetensors", "sdxl-base", []),
    ("film-grain", "dreamshaper_8", []),
    ("xl/ink", "sdxl-base", []),
    ("ink", "sdxl-base", [("lora_ambiguous", ["xl/ink.safetensors", "sd1/ink.safetensors"])]),
    (
        "film-grane-xl",
        "sdxl-base",
        [("lora_missing", ["film-grain-xl", "sd1/film-grain.safetensors"])],
    ),
    ("film-grain-xl", "dreamshaper_8", [("lora_family", ["sd1/film-grain.safetensors"])]),
    ("film-grain", "sdxl-base", [("lora_family", ["film-grain-xl"])]),
    # whose family nobody knows, or whose model
    ("unknown-family", "sdxl-base", []),
    ("film-grain-xl", "a/twin", []),
]


@pytest.mark.parametrize(("name", "model", "expected"), LORAS)
def test_loras(name: str, model: str, expected: list[tuple[str, list[str]]]) -> None:
    request = replace(FINE, model_name=model, loras=[Lora(name, 0.5)])
    assert found(request) == [
        ("error", code, "loras", name, suggestions) for code, suggestions in expected
    ]


def test_one_lora_by_two_names() -> None:
    request = replace(FINE, loras=[Lora("film-grain-xl"), Lora("xl/film-grain-xl.safetensors")])
    assert found(request) == [
        ("warning", "lora_twice", "loras", "xl/film-grain-xl.safetensors", [])
    ]


def test_an_engine_with_models_and_no_lora_has_none() -> None:
    bare = replace(STUDIO, loras={})
    assert found(replace(FINE, loras=[Lora("x")]), bare) == [
        ("error", "lora_missing", "loras", "x", [])
    ]


SCHEDULERS: list[tuple[str, dict[str, Any], list[tuple[str, str, str, list[str]]]]] = [
    ("dpmpp_2m_karras", {}, []),
    ("res_multistep", {}, []),
    ("ddim", {"sampler": "res_multistep", "schedule": "beta57"}, []),
    ("ddim", {"sampler": "res_multistep"}, []),
    ("ddim", {"scheduler": "ddim", "sampler": "gone"}, []),
    ("Euler a", {}, [("scheduler_unknown", "scheduler", "Euler a", ["euler_a", "euler"])]),
    (
        "DPM++ 2M Karras",
        {},
        [("scheduler_unknown", "scheduler", "DPM++ 2M Karras", ["dpmpp_2m_karras"])],
    ),
    (
        "euler_a_beta",
        {},
        [("scheduler_unknown", "scheduler", "euler_a_beta", ["euler_a", "euler"])],
    ),
    ("zzz", {}, [("scheduler_unknown", "scheduler", "zzz", [])]),
    (
        "ddim",
        {"sampler": "res_multi"},
        [("sampler_unknown", "sampler", "res_multi", ["res_multistep"])],
    ),
    (
        "ddim",
        {"sampler": "euler", "schedule": "ays"},
        [("sampler_unknown", "sampler", "euler / ays", ["euler", "euler_a"])],
    ),
]


@pytest.mark.parametrize(("scheduler", "parameters", "expected"), SCHEDULERS)
def test_schedulers(
    scheduler: str, parameters: dict[str, Any], expected: list[tuple[str, str, str, list[str]]]
) -> None:
    request = replace(FINE, scheduler=scheduler, parameters=parameters)
    assert found(request) == [("error", *rest) for rest in expected]


SIZES = [
    ((768, 770), Sizes(), (768, 768)),
    ((768, 512), Sizes(), (768, 512)),
    ((65, 63), Sizes(), (64, 64)),
    ((2048, 4096), Sizes(high=1536), (1536, 1536)),
    ((100, 100), Sizes(low=100, multiple=64), (128, 128)),
    ((768, 770), Sizes(multiple=1), (768, 770)),
    ((1000, 1000), CLOUD.sizes, (1024, 1024)),
    ((768, 512), CLOUD.sizes, (1536, 1024)),
    ((64, 2048), CLOUD.sizes, (1024, 1024)),
    ((512, 512), Sizes(fixed=((256, 256), (512, 512), (1024, 1024))), (512, 512)),
    ((500, 500), Sizes(fixed=((256, 256), (512, 512), (1024, 1024))), (512, 512)),
]


@pytest.mark.parametrize(("asked", "sizes", "made"), SIZES)
def test_sizes(asked: tuple[int, int], sizes: Sizes, made: tuple[int, int]) -> None:
    assert findings.fit_size(*asked, sizes) == made
    request = replace(FINE, width=asked[0], height=asked[1])
    was, will_be = f"{asked[0]}x{asked[1]}", f"{made[0]}x{made[1]}"
    expected = [] if was == will_be else [("warning", "size_rounded", "size", was, [will_be])]
    assert found(request, replace(STUDIO, sizes=sizes)) == expected


def test_seeds_that_are_reduced() -> None:
    seeds = [Picture(k, 2**31 - 1 + k) for k in range(3)]
    request = replace(FINE, pictures=seeds)
    assert found(request) == [("warning", "seed_reduced", "seed", 2147483648, [])]
    [finding] = findings.check(request, STUDIO)
    assert "0 is used instead of 2147483648" in finding.detail
    large = replace(FINE, pictures=[Picture(0, 2**63 - 1)])
    assert [value for _, _, _, value, _ in found(large)] == ["9223372036854775807"]
    assert findings.fit_seed(2**63 - 1, STUDIO) == 2**31 - 1
    assert findings.fit_seed(7, STUDIO) == 7


def test_too_many_pictures() -> None:
    request = replace(FINE, pictures=[Picture(k, k) for k in range(5)])
    assert found(request) == [("error", "too_many_pictures", "count", 5, [])]


def test_what_is_ignored_and_errors_first() -> None:
    request = replace(FINE, width=1024, height=1024, loras=[Lora("x", 0.5), Lora("y")])
    assert found(request, CLOUD) == [
        ("warning", "loras_ignored", "loras", ["x", "y"], []),
        ("warning", "negative_prompt_ignored", "negative_prompt", None, []),
        ("warning", "seed_ignored", "seed", None, []),
    ]
    assert [code for _, code, *_ in found(replace(request, negative_prompt=" "), CLOUD)] == [
        "loras_ignored",
        "seed_ignored",
    ]
    weightless = replace(STUDIO, features=STUDIO.features - {"lora_weights"}, loras={}, models={})
    assert found(replace(request), weightless) == [
        ("warning", "lora_weights_ignored", "loras", ["x"], [])
    ]
    unweighted = replace(STUDIO, features=STUDIO.features - {"lora_weights"})
    lora = [Lora("film-grain-xl", 0.5)]
    mixed = found(replace(FINE, height=770, loras=lora, scheduler="zzz"), unweighted)
    assert [level for level, *_ in mixed] == ["error", "warning", "warning"]


def test_an_answer() -> None:
    request = replace(FINE, model_name="dreamshaper_8", loras=[Lora("film-grain-xl")])
    [finding] = findings.check(request, STUDIO)
    assert finding.shown() == {
        "level": "error",
        "code": "lora_family",
        "field": "loras",
        "value": "film-grain-xl",
        "detail": "film-grain-xl is made for SDXL; dreamshaper_8 is a Stable Diffusion 1 model.",
        "suggestions": ["sd1/film-grain.safetensors"],
    }
    assert findings.has_errors([finding])
    assert not findings.has_errors([replace(finding, level="warning")])


def test_no_prompt_is_told() -> None:
    request = replace(FINE, prompt="secret words", negative_prompt="secret too", model_name="zzz")
    for capabilities in (STUDIO, CLOUD):
        assert "secret" not in repr(findings.check(request, capabilities))


_SIDES = st.integers(1, 4096)


@given(
    _SIDES,
    _SIDES,
    st.builds(Sizes, st.integers(1, 512), st.integers(1024, 4096), st.sampled_from([1, 8, 16, 64])),
)
def test_a_size_that_was_fitted_fits(width: int, height: int, sizes: Sizes) -> None:
    fitted = findings.fit_size(width, height, sizes)
    assert findings.fit_size(*fitted, sizes) == fitted
    assert all(sizes.low <= side <= sizes.high and side % sizes.multiple == 0 for side in fitted)


@given(st.text(max_size=12))
def test_every_name_stands_for_itself(name: str) -> None:
    things = {name: Model(name), f"x/{name}.safetensors": Model(f"x/{name}.safetensors")}
    assert findings.resolve(name, things) == [name]


def test_a_model_without_a_file_is_not_every_name() -> None:
    assert findings.resolve("folder/", {"a": Model("")}) == []
    assert findings.resolve("x/A.ckpt", {"a": Model("")}) == ["a"]

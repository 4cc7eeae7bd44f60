"""Schedulers: what each kind of engine is sent for a name of ours, and what we read of theirs."""

from __future__ import annotations

from typing import Any

import pytest

from seidra.engines import samplers
from seidra.engines.base import RenderRequest
from seidra.engines.samplers import Dialect, Pair

# engines.md, D.7: ours, ComfyUI, A1111 and Forge, SD.Next, sd.cpp, the class in diffusers
TABLE = [
    (
        "ddim",
        "ddim/ddim_uniform",
        "DDIM/Automatic",
        "DDIM/default",
        "ddim_trailing/discrete",
        "DDIMScheduler",
    ),
    ("ddpm", "ddpm/normal", "DDPM/Automatic", "DDPM/default", None, "DDPMScheduler"),
    ("pndm", None, "PLMS/Automatic", "PNDM/default", None, "PNDMScheduler"),
    ("lms", "lms/normal", "LMS/Automatic", "LMSD/default", None, "LMSDiscreteScheduler"),
    ("lms_karras", "lms/karras", "LMS/Karras", "LMSD/karras", None, "LMSDiscreteScheduler"),
    (
        "euler",
        "euler/normal",
        "Euler/Automatic",
        "Euler/default",
        "euler/discrete",
        "EulerDiscreteScheduler",
    ),
    ("euler_simple", "euler/simple", "Euler/Simple", None, "euler/simple", None),
    ("euler_beta", "euler/beta", "Euler/Beta", "Euler/betas", None, "EulerDiscreteScheduler"),
    (
        "euler_a",
        "euler_ancestral/normal",
        "Euler a/Automatic",
        "Euler a/default",
        "euler_a/discrete",
        "EulerAncestralDiscreteScheduler",
    ),
    ("euler_a_karras", "euler_ancestral/karras", "Euler a/Karras", None, "euler_a/karras", None),
    (
        "heun",
        "heun/normal",
        "Heun/Automatic",
        "Heun/default",
        "heun/discrete",
        "HeunDiscreteScheduler",
    ),
    (
        "dpm2",
        "dpm_2/normal",
        "DPM2/Uniform",
        "KDPM2/default",
        "dpm2/discrete",
        "KDPM2DiscreteScheduler",
    ),
    (
        "dpm2_a",
        "dpm_2_ancestral/normal",
        "DPM2 a/Uniform",
        "KDPM2 a/default",
        None,
        "KDPM2AncestralDiscreteScheduler",
    ),
    (
        "dpmpp_2m",
        "dpmpp_2m/normal",
        "DPM++ 2M/Uniform",
        "DPM++ 2M/default",
        "dpm++2m/discrete",
        "DPMSolverMultistepScheduler",
    ),
    (
        "dpmpp_2m_karras",
        "dpmpp_2m/karras",
        "DPM++ 2M/Karras",
        "DPM++ 2M/karras",
        "dpm++2m/karras",
        "DPMSolverMultistepScheduler",
    ),
    (
        "dpmpp_2m_sgm_uniform",
        "dpmpp_2m/sgm_uniform",
        "DPM++ 2M/SGM Uniform",
        None,
        "dpm++2m/sgm_uniform",
        None,
    ),
    (
        "dpmpp_2m_sde",
        "dpmpp_2m_sde/normal",
        "DPM++ 2M SDE/Uniform",
        "DPM++ 2M SDE/default",
        "dpm++2m_sde/discrete",
        "DPMSolverMultistepScheduler",
    ),
    (
        "dpmpp_2m_sde_exponential",
        "dpmpp_2m_sde/exponential",
        "DPM++ 2M SDE/Exponential",
        "DPM++ 2M SDE/exponential",
        "dpm++2m_sde/exponential",
        "DPMSolverMultistepScheduler",
    ),
    (
        "dpmpp_sde_karras",
        "dpmpp_sde/karras",
        "DPM++ SDE/Karras",
        "DPM++ SDE/karras",
        None,
        "DPMSolverSDEScheduler",
    ),
    (
        "dpmpp_2s_a",
        "dpmpp_2s_ancestral/normal",
        "DPM++ 2S a/Uniform",
        "DPM++ 1S/default",
        "dpm++2s_a/discrete",
        "DPMSolverSinglestepScheduler",
    ),
    (
        "dpmpp_3m_sde",
        "dpmpp_3m_sde/normal",
        "DPM++ 3M SDE/Uniform",
        "DPM++ 3M SDE/default",
        None,
        "DPMSolverMultistepScheduler",
    ),
    ("unipc", "uni_pc/normal", "UniPC/Automatic", "UniPC/default", None, "UniPCMultistepScheduler"),
    ("unipc_karras", "uni_pc/karras", None, "UniPC/karras", None, "UniPCMultistepScheduler"),
    ("deis", "deis/normal", "DEIS/Automatic", "DEIS/default", None, "DEISMultistepScheduler"),
    ("lcm", "lcm/sgm_uniform", "LCM/SGM Uniform", "LCM/default", "lcm/lcm", "LCMScheduler"),
    ("karras", None, None, None, None, None),
    ("euler_normal", None, None, None, None, None),
    ("Euler a", None, None, None, None, None),
    ("", None, None, None, None, None),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0] or "empty")
def test_what_each_kind_is_sent(row: tuple[str | None, ...]) -> None:
    name, *cells, class_name = row
    assert name is not None
    for dialect, cell in zip(samplers.DIALECTS, cells, strict=True):
        assert samplers.pair(dialect, name) == (Pair(*cell.split("/")) if cell else None), dialect
    found = samplers.diffusers_class(name)
    assert (found.name if found else None) == class_name


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("pndm", {"skip_prk_steps": True}),
        ("euler", {}),
        ("euler_beta", {"use_beta_sigmas": True}),
        ("dpmpp_2m_karras", {"algorithm_type": "dpmsolver++", "use_karras_sigmas": True}),
        ("dpmpp_2m_sde", {"algorithm_type": "sde-dpmsolver++"}),
        ("dpmpp_3m_sde", {"algorithm_type": "sde-dpmsolver++", "solver_order": 3}),
    ],
)
def test_settings_of_diffusers(name: str, settings: dict[str, Any]) -> None:
    found = samplers.diffusers_class(name)
    assert found is not None
    assert found.settings == settings


def test_every_name_is_known_somewhere() -> None:
    names = samplers.all_names()
    assert len(names) == len(set(names)) == 17 * 6
    nowhere = {f"pndm_{schedule}" for schedule in samplers.SUFFIXES}
    known = {name for name in names for column in samplers.DIALECTS if samplers.pair(column, name)}
    assert set(names) - known == nowhere


# What another tool wrote, and ours for it.
THEIRS = [
    # A1111: infotext since 1.9 has both, before that one name
    ("Euler a", "Automatic", "euler_a"),
    ("Euler a", None, "euler_a"),
    ("euler a", "", "euler_a"),
    ("DPM++ 2M Karras", None, "dpmpp_2m_karras"),
    ("DPM++ 2M Karras", "Karras", "dpmpp_2m_karras"),
    ("DPM++ 2M Karras", "Automatic", "dpmpp_2m_karras"),
    ("DPM++ 2M Karras", "Exponential", None),
    ("DPM++ 2M", "Karras", "dpmpp_2m_karras"),
    ("DPM++ 2M", "Automatic", "dpmpp_2m_karras"),
    ("DPM++ 2M", None, "dpmpp_2m"),
    ("DPM++ 2M", "Uniform", "dpmpp_2m"),
    ("Euler", "Uniform", "euler"),
    ("DPM 2M", None, None),
    ("DPM++ 2M", "Normal", "dpmpp_2m"),
    ("DPM++ 2M", "SGM Uniform", "dpmpp_2m_sgm_uniform"),
    ("DPM++ 2M", "Align Your Steps", None),
    ("DPM++ 2M SDE", "Automatic", "dpmpp_2m_sde_exponential"),
    ("DPM++ 2M SDE Karras", None, "dpmpp_2m_sde_karras"),
    ("DPM++ 2M SDE Heun", "Karras", None),
    ("DPM++ SDE", "Automatic", "dpmpp_sde_karras"),
    ("DPM++ 3M SDE Exponential", None, "dpmpp_3m_sde_exponential"),
    ("DPM++ 2S a", "Karras", "dpmpp_2s_a_karras"),
    ("DPM2 a", "Automatic", "dpm2_a_karras"),
    ("LMS Karras", None, "lms_karras"),
    ("PLMS", "Automatic", "pndm"),
    ("DDIM", "Automatic", "ddim"),
    ("UniPC", "Automatic", "unipc"),
    ("LCM", "Automatic", "lcm"),
    ("Restart", "Automatic", None),
    # ComfyUI, SwarmUI
    ("euler_ancestral", "normal", "euler_a"),
    ("euler_ancestral", "karras", "euler_a_karras"),
    ("euler", "simple", "euler_simple"),
    ("euler", "ddim_uniform", None),
    ("dpmpp_2m", "karras", "dpmpp_2m_karras"),
    ("dpmpp_2m_sde_gpu", "karras", None),
    ("ddim", "ddim_uniform", "ddim"),
    ("ddim", "normal", None),
    ("lcm", "sgm_uniform", "lcm"),
    ("lcm", "normal", None),
    ("uni_pc", "normal", "unipc"),
    ("uni_pc_bh2", "normal", None),
    ("res_multistep", "simple", None),
    # InvokeAI, SD.Next, stable-diffusion.cpp, diffusers, AI Horde
    ("dpmpp_2m_k", None, "dpmpp_2m_karras"),
    ("euler_k", None, "euler_karras"),
    ("kdpm_2_a", None, "dpm2_a"),
    ("KDPM2 a", "default", "dpm2_a"),
    ("DPM++ 2M", "karras", "dpmpp_2m_karras"),
    ("DPM++ 2M", "betas", "dpmpp_2m_beta"),
    ("DPM++ 1S", "default", None),
    ("dpm++2m", "discrete", "dpmpp_2m"),
    ("EulerAncestralDiscreteScheduler", None, "euler_a"),
    ("DPMSolverMultistepScheduler", None, "dpmpp_2m"),
    ("k_euler_ancestral", None, "euler_a"),
    ("", None, None),
    ("karras", None, None),
    ("_k", None, None),
]


@pytest.mark.parametrize(("sampler", "schedule", "ours"), THEIRS)
def test_what_another_tool_wrote(sampler: str, schedule: str | None, ours: str | None) -> None:
    assert samplers.recognise(sampler, schedule) == ours


@pytest.mark.parametrize("dialect", samplers.DIALECTS)
def test_what_is_sent_is_read_back_or_sends_the_same(dialect: Dialect) -> None:
    for name in samplers.all_names():
        theirs = samplers.pair(dialect, name)
        if theirs is None or theirs.sampler == "DPM++ 1S":
            continue
        ours = samplers.recognise(*theirs)
        assert ours is not None, name
        assert samplers.pair(dialect, ours) == theirs, name


def test_what_an_engine_can_do_by_its_lists() -> None:
    comfyui = samplers.available(
        "comfyui", ["euler", "euler_ancestral", "ddim"], ["normal", "karras"]
    )
    assert comfyui == ["ddim_karras", "euler", "euler_karras", "euler_a", "euler_a_karras"]
    # by a schedule's label or its name
    for schedules in (["Automatic", "SGM Uniform"], ["automatic", "sgm_uniform"]):
        assert samplers.available("a1111", ["Euler a"], schedules) == [
            "euler_a",
            "euler_a_sgm_uniform",
        ]
    # SD.Next lists no schedules, and takes none beside Euler a
    assert samplers.available("sdnext", ["Euler a", "Euler"]) == [
        "euler",
        "euler_karras",
        "euler_exponential",
        "euler_beta",
        "euler_a",
    ]
    # an older stable-diffusion.cpp has no dpm++2m_sde
    assert "dpmpp_2m_sde" not in samplers.available("sdcpp", ["euler", "dpm++2m"], ["discrete"])


FOREIGN = {
    "samplers": ["euler", "res_multistep", "DPM++ 2M SDE Heun"],
    "schedules": ["normal", "kl_optimal", "Karras"],
}


@pytest.mark.parametrize(
    ("scheduler", "parameters", "sent"),
    [
        ("euler_a_karras", {}, ("euler_ancestral", "karras")),
        # the engine's own names, where it lists them
        ("res_multistep", {}, ("res_multistep", "normal")),
        ("Res_Multistep", {}, None),
        ("gone", {}, None),
        ("", {"sampler": "res_multistep"}, ("res_multistep", "normal")),
        ("ddim", {"sampler": "res_multistep"}, ("res_multistep", "normal")),
        (
            "ddim",
            {"sampler": "res_multistep", "schedule": "kl_optimal"},
            ("res_multistep", "kl_optimal"),
        ),
        ("ddim", {"sampler": "res_multistep", "schedule": "bong"}, None),
        ("ddim", {"sampler": "gone", "schedule": "normal"}, None),
        # ours, said in the parameters, goes first
        ("euler", {"scheduler": "euler", "sampler": "res_multistep"}, ("euler", "normal")),
        ("euler", {"sampler": 7}, ("euler", "normal")),
        ("euler", {"sampler": "", "schedule": "kl_optimal"}, ("euler", "normal")),
    ],
)
def test_what_a_request_is_sent_with(
    scheduler: str, parameters: dict[str, Any], sent: tuple[str, str] | None
) -> None:
    request = RenderRequest("a", 1, scheduler=scheduler, parameters=parameters)
    assert samplers.choose("comfyui", request, FOREIGN) == sent


def test_a_foreign_sampler_gets_the_schedule_of_its_program() -> None:
    request = RenderRequest("a", 1, scheduler="DPM++ 2M SDE Heun")
    schedules = {name: samplers.choose(name, request, FOREIGN) for name in samplers.DIALECTS}
    assert {name: found and found.schedule for name, found in schedules.items()} == {
        "comfyui": "normal",
        "a1111": "Automatic",
        "sdnext": "default",
        "sdcpp": "discrete",
    }

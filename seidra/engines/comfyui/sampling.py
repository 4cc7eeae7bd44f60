"""ComfyUI's samplers and schedules behind SEIDRA's names (lists of 0.30.0)."""

from __future__ import annotations

SUFFIXES = ("karras", "exponential", "sgm_uniform", "beta", "simple")
"""What may follow a sampler's name in SEIDRA; ComfyUI's schedules have the same names."""

_PLAIN = {
    "ddim": ("ddim", "ddim_uniform"),
    "ddpm": ("ddpm", "normal"),
    "lms": ("lms", "normal"),
    "euler": ("euler", "normal"),
    "euler_a": ("euler_ancestral", "normal"),
    "heun": ("heun", "normal"),
    "dpm2": ("dpm_2", "normal"),
    "dpm2_a": ("dpm_2_ancestral", "normal"),
    "dpmpp_2m": ("dpmpp_2m", "normal"),
    "dpmpp_2m_sde": ("dpmpp_2m_sde", "normal"),
    "dpmpp_sde": ("dpmpp_sde", "normal"),
    "dpmpp_2s_a": ("dpmpp_2s_ancestral", "normal"),
    "dpmpp_3m_sde": ("dpmpp_3m_sde", "normal"),
    "unipc": ("uni_pc", "normal"),
    "deis": ("deis", "normal"),
    "lcm": ("lcm", "sgm_uniform"),
}

SAMPLINGS: dict[str, tuple[str, str]] = {
    **_PLAIN,
    **{
        f"{name}_{suffix}": (sampler, suffix)
        for name, (sampler, _) in _PLAIN.items()
        for suffix in SUFFIXES
    },
}
"""SEIDRA's name -> (sampler_name, scheduler) of a KSampler. ComfyUI has nothing for `pndm`."""

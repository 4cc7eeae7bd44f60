"""What a request comes to on a ComfyUI server: which files, sampler, steps and sizes, and what of
it cannot be done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from seidra.engines import samplers
from seidra.engines.base import EngineError, Lora, Options, RenderRequest, Sizes
from seidra.engines.comfyui.stock import Stock, guess_family, matches
from seidra.engines.findings import fit_size, nearest
from seidra.errors import StartError

SIZES = Sizes(multiple=8)
"""A latent's cell is 8 pixels a side."""

_QUALITY = {"draft": 0.5, "standard": 1.0, "high": 1.5}
_MOST_STEPS = 150
_DEFAULT_OF_MOCK = "sdxl-base"


@dataclass(frozen=True, slots=True)
class Family:
    """How models of one kind are drawn with.

    `encoder_type` is the `type` of the loader of `encoders` text encoders. Where `distilled`, a
    second, negative pass (cfg over 1) is not for them: the guidance is a number beside the prompt
    (`guidance_node`) or not to be had. `steps`, `guidance` and `scheduler` take the place of
    SEIDRA's defaults, which are made for Stable Diffusion, where a persona says nothing.
    """

    encoder_type: str
    encoders: int
    latent: str = "EmptyLatentImage"
    loras_on_text: bool = True
    distilled: bool = False
    guidance_node: bool = False
    shift: float | None = None
    steps: int | None = None
    guidance: float | None = None
    sampling: tuple[str, str] | None = None


_FLOW = ("euler", "simple")

FAMILIES: Mapping[str, Family] = {
    "sd1": Family("stable_diffusion", 1),
    "sdxl": Family("sdxl", 2),
    "sd3": Family("sd3", 2, latent="EmptySD3LatentImage"),
    "flux": Family(
        "flux",
        2,
        latent="EmptySD3LatentImage",
        distilled=True,
        guidance_node=True,
        steps=20,
        guidance=3.5,
        sampling=_FLOW,
    ),
    "qwen": Family(
        "qwen_image",
        1,
        latent="EmptySD3LatentImage",
        loras_on_text=False,
        shift=3.1,
        steps=20,
        guidance=2.5,
        sampling=_FLOW,
    ),
    "zimage": Family(
        "lumina2",
        1,
        latent="EmptySD3LatentImage",
        loras_on_text=False,
        distilled=True,
        shift=3.0,
        steps=9,
        sampling=_FLOW,
    ),
}


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model's files on the server: a `checkpoint` that holds everything, or a `diffusion_model`
    with its text encoders and VAE. A `vae` beside a checkpoint takes the place of its own."""

    checkpoint: str = ""
    diffusion_model: str = ""
    text_encoders: Sequence[str] = ()
    vae: str = ""
    family: str | None = None

    @property
    def file(self) -> str:
        """What it is known by."""
        return self.checkpoint or self.diffusion_model

    @property
    def kind(self) -> Family:
        """How to draw with it; an unknown family is drawn with as Stable Diffusion."""
        return FAMILIES[self.family or "sd1"]


@dataclass(frozen=True, slots=True)
class AppliedLora:
    """A LoRA found on the server, with the weights of the model and of the text encoder."""

    name: str
    file: str
    weight: float
    clip_weight: float


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that a picture is made of but its seed. `model` is None where an own workflow brings its
    own. `dropped` are the fields of the request that cannot be done here."""

    prompt: str
    negative_prompt: str
    model: ModelFiles | None
    loras: Sequence[AppliedLora]
    sampler: str
    schedule: str
    steps: int
    guidance: float
    width: int
    height: int
    dropped: Sequence[str] = ()
    images: Mapping[str, str] = field(default_factory=dict)
    """What a LoadImage calls the pictures that were uploaded, by their inputs' names."""

    def used(self) -> dict[str, Any]:
        """What stands in a picture's metadata, by the server's names (JSON values)."""
        return {
            **({"model": self.model.file} if self.model else {}),
            "loras": [
                {
                    "name": lora.name,
                    "file": lora.file,
                    "weight": lora.weight,
                    "clip_weight": lora.clip_weight,
                }
                for lora in self.loras
            ],
            "sampler": self.sampler,
            "schedule": self.schedule,
            "steps": self.steps,
            "guidance_scale": self.guidance,
            "width": self.width,
            "height": self.height,
        }


def read_models(models: Mapping[str, Mapping[str, Any]]) -> dict[str, ModelFiles]:
    """The operator's map. Raises StartError, naming the model, where a part is missing."""
    return {name: _read_model(name, entry) for name, entry in models.items()}


def _read_model(name: str, entry: Mapping[str, Any]) -> ModelFiles:
    family = entry.get("family")
    file = str(entry.get("file") or "")
    encoders = entry.get("text_encoders") or ()
    encoders = (encoders,) if isinstance(encoders, str) else tuple(str(one) for one in encoders)
    model = ModelFiles(
        checkpoint=file,
        diffusion_model=str(entry.get("diffusion_model") or ""),
        text_encoders=encoders,
        vae=str(entry.get("vae") or ""),
        family=str(family) if family else guess_family(file) if file else None,
    )
    if model.family is not None and model.family not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise StartError(f"The family of the model {name} is one of {known}.")
    if file:
        if model.diffusion_model:
            raise StartError(f"The model {name} has a file or a diffusion_model, not both.")
        return model
    if not (model.diffusion_model and model.vae and model.family):
        raise StartError(
            f"The model {name} has a file, or a diffusion_model, text_encoders, a vae and a family."
        )
    wanted = model.kind.encoders
    if len(encoders) != wanted:
        raise StartError(f"The model {name} has {len(encoders)} text_encoders; it takes {wanted}.")
    return model


def find_model(name: str, models: Mapping[str, ModelFiles], stock: Stock) -> ModelFiles:
    """The model that a name means: the operator's, else a checkpoint of the server. Raises
    EngineError."""
    if name in models:
        model = models[name]
        return replace(
            model,
            checkpoint=_spelled(model.checkpoint, stock.checkpoints),
            diffusion_model=_spelled(model.diffusion_model, stock.diffusion_models),
        )
    found = matches(name, stock.checkpoints)
    if len(found) == 1:
        return ModelFiles(checkpoint=found[0], family=guess_family(found[0]))
    if found:
        raise EngineError(
            f"The model {name} is two on this engine: {', '.join(found)}.",
            permanent=True,
            code="model_ambiguous",
        )
    if matches(name, stock.diffusion_models):
        raise EngineError(
            f"The model {name} lies on this engine without its text encoders and VAE; the operator"
            " can name them in the engines file.",
            permanent=True,
            code="model_missing",
        )
    near = _like_it(name, [*models, *stock.checkpoints])
    raise EngineError(
        f"The model {name} is not on this engine.{near}", permanent=True, code="model_missing"
    )


def _spelled(file: str, files: Sequence[str]) -> str:
    """A file as the server spells it (`\\` between folders on Windows, the extension); as it is
    where the server has it not, which it will say itself."""
    found = matches(file, files) if file else ()
    return found[0] if len(found) == 1 else file


def find_loras(
    loras: Sequence[Lora], names: Mapping[str, Mapping[str, Any]], stock: Stock
) -> list[AppliedLora]:
    """The files that LoRAs mean. Raises EngineError for the first that is not there."""
    applied = []
    for lora in loras:
        wanted = str(names.get(lora.name, {}).get("file") or lora.name)
        found = matches(wanted, stock.loras)
        if not found:
            near = _like_it(lora.name, [*names, *stock.loras])
            raise EngineError(
                f"The LoRA {lora.name} is not on this engine.{near}",
                permanent=True,
                code="lora_missing",
            )
        if len(found) > 1:
            raise EngineError(
                f"The LoRA {lora.name} is two on this engine: {', '.join(found)}.",
                permanent=True,
                code="lora_ambiguous",
            )
        clip_weight = lora.weight if lora.clip_weight is None else lora.clip_weight
        applied.append(AppliedLora(lora.name, found[0], lora.weight, clip_weight))
    return applied


def _like_it(name: str, names: Iterable[str]) -> str:
    """A sentence with the names most like this one, a space before it; empty where none is."""
    near = nearest(name, names)
    return f" Like it: {', '.join(near)}." if near else ""


def make_recipe(
    request: RenderRequest,
    options: Options,
    models: Mapping[str, ModelFiles],
    stock: Stock,
    *,
    with_model: bool = True,
    with_loras: bool = True,
    with_sampling: bool = True,
) -> Recipe:
    """What a request comes to here. `with_model`, `with_loras` and `with_sampling` say whether they
    can be chosen. Raises EngineError for a model, LoRA or sampler that the server has not."""
    dropped = []
    model = None
    family = FAMILIES["sd1"]
    if with_model:
        model = find_model(_model_name(request, options, models, stock), models, stock)
        family = model.kind
    loras: Sequence[AppliedLora] = ()
    if with_loras:
        loras = find_loras(request.loras, options.loras, stock)
        if not family.loras_on_text and any(
            lora.clip_weight not in (None, lora.weight) for lora in request.loras
        ):
            dropped.append("loras.clip_weight")
    elif request.loras:
        dropped.append("loras")
    if family.distilled and request.negative_prompt.strip():
        dropped.append("negative_prompt")

    told = request.parameters
    steps = request.steps
    if family.steps is not None and not told.keys() & {"num_inference_steps", "steps"}:
        steps = family.steps
    guidance = request.guidance_scale
    guidance_told = told.keys() & {"guidance_scale", "cfg_scale", "cfg"}
    if family.distilled and not family.guidance_node:
        if guidance_told and guidance != 1.0:
            dropped.append("guidance_scale")
        guidance = 1.0
    elif family.guidance is not None and not guidance_told:
        guidance = family.guidance
    sampler, schedule = _sampling(request, family, stock) if with_sampling else ("", "")
    factor = _QUALITY.get(request.quality, 1.0)
    width, height = fit_size(request.width, request.height, SIZES)
    return Recipe(
        prompt=request.prompt,
        negative_prompt="" if family.distilled else request.negative_prompt,
        model=model,
        loras=loras,
        sampler=sampler,
        schedule=schedule,
        steps=min(max(round(steps * factor), 1), _MOST_STEPS),
        guidance=guidance,
        width=width,
        height=height,
        dropped=dropped,
    )


def _model_name(
    request: RenderRequest, options: Options, models: Mapping[str, ModelFiles], stock: Stock
) -> str:
    """What the request names, else the operator's default, else the first there is. The mock's
    default, which a request has where nobody chose, counts only where it is a model here too."""
    name = request.model_name
    chosen = "model_name" in request.parameters or name != _DEFAULT_OF_MOCK
    if name and (chosen or name in models or matches(name, stock.checkpoints)):
        return name
    name = options.default_model or next(iter([*models, *stock.checkpoints]), "")
    if not name:
        raise EngineError(
            "This engine has no model to draw with.", permanent=True, code="model_missing"
        )
    return name


def _sampling(request: RenderRequest, family: Family, stock: Stock) -> tuple[str, str]:
    """The sampler and the schedule, each one that the server lists (a list that it does not tell
    holds everything). Another tool's pair that it does not list gives way to the request's
    scheduler. Raises EngineError."""
    own = samplers.wanted_pair(request)
    if own is not None and samplers.lists_pair(own, stock.foreign):
        return samplers.choose("comfyui", request, stock.foreign) or own
    if family.sampling and "scheduler" not in request.parameters:
        return family.sampling
    name = request.scheduler
    sampler, schedule = samplers.pair("comfyui", name) or samplers.Pair(name, "normal")
    for wanted, has in ((sampler, stock.samplers), (schedule, stock.schedules)):
        if has and wanted not in has:
            near = _like_it(name, [*samplers.all_names(), *stock.samplers])
            raise EngineError(
                f"The sampler {name} is not on this engine.{near}",
                permanent=True,
                code="sampler_missing",
            )
    return sampler, schedule

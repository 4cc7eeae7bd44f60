"""The graphs that a ComfyUI server is sent: built in, or the operator's own with inputs by name.

A graph is API format: `{id: {"class_type": ..., "inputs": {name: value or [id, output]}}}`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from seidra.engines.comfyui.recipes import AppliedLora, ModelFiles, Recipe
from seidra.errors import StartError

FOLDER = "seidra"
"""The folder in the server's output folder where our pictures go."""

Link = list[Any]
"""[the node's id, which of its outputs]"""


def prefix(job_id: str) -> str:
    """The prefix of a job's files. It is in the graph, and unlike any other: so a server that was
    sent an equal graph before does not answer with that one's file, which may be gone."""
    return f"{FOLDER}/{job_id}"


class Drawing(Protocol):
    """A way to make a graph. `features` are those of `Capabilities` that depend on it; `with_...`
    say whether a model, LoRAs and a sampler can be chosen."""

    with_model: bool
    with_loras: bool
    with_sampling: bool
    images: Sequence[str]
    """The names of the pictures that it takes."""

    @property
    def features(self) -> frozenset[str]: ...

    def graph(self, recipe: Recipe, seed: int, job_id: str) -> dict[str, Any]:
        """The graph of one picture."""
        ...

    def used(self, recipe: Recipe) -> dict[str, Any]:
        """What of the recipe the graph takes."""
        ...

    def dropped(self, recipe: Recipe, asked: Mapping[str, Any]) -> Sequence[str]:
        """The fields of a request (`asked`: its parameters as a person gave them) that the graph
        does not take."""
        ...


class BuiltIn:
    """Text to picture with a checkpoint or with a model in separate files, and LoRAs."""

    with_model = True
    with_loras = True
    with_sampling = True
    images: Sequence[str] = ()
    features = frozenset({
        "negative_prompt", "seed", "steps", "guidance", "loras", "lora_weights", "sizes",
    })  # fmt: skip

    def graph(self, recipe: Recipe, seed: int, job_id: str) -> dict[str, Any]:
        """The graph of one picture."""
        assert recipe.model is not None
        family = recipe.model.kind
        nodes = _Nodes()
        model, clip, vae = _load(nodes, recipe.model)
        if family.loras_on_text:
            model, clip = _apply_loras(nodes, recipe.loras, model, clip)
        else:
            model, _ = _apply_loras(nodes, recipe.loras, model, None)
        if family.shift is not None:
            model = [nodes.add("ModelSamplingAuraFlow", model=model, shift=family.shift), 0]
        plain: Link = [nodes.add("CLIPTextEncode", clip=clip, text=recipe.prompt), 0]
        positive, cfg = plain, recipe.guidance
        if family.guidance_node:
            guided = nodes.add("FluxGuidance", conditioning=plain, guidance=recipe.guidance)
            positive, cfg = [guided, 0], 1.0
        # Where there is no negative pass its input must be linked all the same, and is not read.
        negative = plain
        if not family.distilled:
            negative = [nodes.add("CLIPTextEncode", clip=clip, text=recipe.negative_prompt), 0]
        latent = nodes.add(family.latent, width=recipe.width, height=recipe.height, batch_size=1)
        sampled = nodes.add(
            "KSampler",
            model=model,
            positive=positive,
            negative=negative,
            latent_image=[latent, 0],
            seed=seed,
            steps=recipe.steps,
            cfg=cfg,
            sampler_name=recipe.sampler,
            scheduler=recipe.schedule,
            denoise=1.0,
        )
        decoded = nodes.add("VAEDecode", samples=[sampled, 0], vae=vae)
        nodes.add("SaveImage", images=[decoded, 0], filename_prefix=prefix(job_id))
        return nodes.graph

    def used(self, recipe: Recipe) -> dict[str, Any]:
        """All of it."""
        return recipe.used()

    def dropped(self, recipe: Recipe, asked: Mapping[str, Any]) -> Sequence[str]:
        """What the model cannot do."""
        return recipe.dropped


class _Nodes:
    """A graph in the making."""

    def __init__(self, graph: dict[str, Any] | None = None, prefix: str = "") -> None:
        self.graph: dict[str, Any] = graph if graph is not None else {}
        self._prefix = prefix

    def add(self, class_type: str, **inputs: Any) -> str:
        """Add a node; returns its id."""
        node_id = f"{self._prefix}{len(self.graph) + 1}"
        self.graph[node_id] = {"class_type": class_type, "inputs": inputs}
        return node_id


_ClipLink = TypeVar("_ClipLink", Link, None)


def _apply_loras(
    nodes: _Nodes, loras: Sequence[AppliedLora], model: Link, clip: _ClipLink
) -> tuple[Link, _ClipLink]:
    """A chain of LoRAs behind a model, and behind a text encoder where one is given; returns its
    ends."""
    for lora in loras:
        if clip is None:
            node = nodes.add(
                "LoraLoaderModelOnly",
                model=model,
                lora_name=lora.file,
                strength_model=lora.weight,
            )
            model = [node, 0]
        else:
            node = nodes.add(
                "LoraLoader",
                model=model,
                clip=clip,
                lora_name=lora.file,
                strength_model=lora.weight,
                strength_clip=lora.clip_weight,
            )
            model, clip = [node, 0], [node, 1]
    return model, clip


def _load(nodes: _Nodes, model: ModelFiles) -> tuple[Link, Link, Link]:
    """The model, the text encoder and the VAE."""
    if model.checkpoint:
        node = nodes.add("CheckpointLoaderSimple", ckpt_name=model.checkpoint)
        vae: Link = [node, 2]
        if model.vae:
            vae = [nodes.add("VAELoader", vae_name=model.vae), 0]
        return [node, 0], [node, 1], vae
    loaded = nodes.add("UNETLoader", unet_name=model.diffusion_model, weight_dtype="default")
    kind = model.kind.encoder_type
    if len(model.text_encoders) == 1:
        [encoder] = model.text_encoders
        clip = nodes.add("CLIPLoader", clip_name=encoder, type=kind)
    else:
        first, second = model.text_encoders
        clip = nodes.add("DualCLIPLoader", clip_name1=first, clip_name2=second, type=kind)
    return [loaded, 0], [clip, 0], [nodes.add("VAELoader", vae_name=model.vae), 0]


# ------------------------------------------------------------------------- the operator's own graph

_FEATURES = {
    "negative_prompt": "negative_prompt",
    "seed": "seed",
    "steps": "steps",
    "guidance": "guidance",
    "width": "sizes",
}

_FIELDS = {
    "negative_prompt": "negative_prompt",
    "seed": "seed",
    "steps": "steps",
    "guidance": "guidance_scale",
    "width": "width",
    "height": "height",
    "sampler": "scheduler",
    "model": "model_name",
}
"""An input's name -> the field of the request that is dropped without it."""

INPUTS = ("prompt", "filename_prefix", "schedule", *_FIELDS)
"""The names of `Options.inputs` that all workflows know. `prompt` must be given; without
`filename_prefix` it is that of every SaveImage."""

_PICTURE_NODES = frozenset({"LoadImage", "LoadImageMask"})


class OwnWorkflow:
    """The operator's graph, with the named inputs filled in.

    `loras` names outputs and no inputs: that of a model and, behind it, that of a text encoder
    (`["4.0", "4.1"]`); the chain of LoRAs goes between them and all that hangs on them. Any other
    name whose places are pictures of LoadImage nodes is a picture of a request.
    """

    def __init__(self, workflow: Mapping[str, Any], inputs: Mapping[str, Sequence[str]]) -> None:
        """Raises StartError, naming it, for an input that the graph has not."""
        self._workflow = workflow
        for node_id, node in workflow.items():
            if not isinstance(node, dict) or not isinstance(node.get("inputs"), dict):
                raise StartError(
                    f"The workflow's node {node_id} has no inputs: it must be saved in API format."
                )
        self._behind = [self._output(path) for path in inputs.get("loras", ())]
        if len(self._behind) > 2:
            raise StartError('The loras of a workflow are one or two outputs, as "4.0" and "4.1".')
        self._paths = {
            name: [self._path(path) for path in inputs[name]] for name in inputs if name != "loras"
        }
        self.images: Sequence[str] = [name for name in self._paths if name not in INPUTS]
        for name in self.images:
            if not all(self._takes_picture(*place) for place in self._paths[name]):
                raise StartError(
                    f"A workflow has no input {name}; there is {', '.join((*INPUTS, 'loras'))}, and"
                    " any name for the image of a LoadImage."
                )
        self.with_loras = bool(self._behind)
        if not self._paths.get("prompt"):
            raise StartError('A workflow needs an input for the prompt, such as "6.text".')
        if "filename_prefix" not in self._paths:
            self._paths["filename_prefix"] = [
                (node_id, "filename_prefix")
                for node_id, node in workflow.items()
                if node.get("class_type") == "SaveImage"
            ]
        if not self._paths["filename_prefix"]:
            raise StartError("A workflow needs a SaveImage, or an input for the filename_prefix.")
        self.with_model = bool(self._paths.get("model"))
        self.with_sampling = bool(self._paths.get("sampler"))

    def _path(self, path: str) -> tuple[str, str]:
        node_id, _, name = path.partition(".")
        node = self._workflow.get(node_id)
        if node is None or name not in node["inputs"]:
            raise StartError(f"The workflow has no input {path}.")
        return node_id, name

    def _output(self, path: str) -> Link:
        node_id, _, number = path.partition(".")
        if node_id not in self._workflow or not number.isdecimal():
            raise StartError(f"The loras of a workflow are outputs, such as 4.0; {path} is none.")
        return [node_id, int(number)]

    def _takes_picture(self, node_id: str, name: str) -> bool:
        return name == "image" and self._workflow[node_id].get("class_type") in _PICTURE_NODES

    @property
    def features(self) -> frozenset[str]:
        """What its named inputs make possible."""
        loras = {"loras", "lora_weights"} if self.with_loras else set()
        return frozenset(loras).union(
            feature for name, feature in _FEATURES.items() if self._paths.get(name)
        )

    def graph(self, recipe: Recipe, seed: int, job_id: str) -> dict[str, Any]:
        """The graph of one picture."""
        graph: dict[str, Any] = copy.deepcopy(dict(self._workflow))
        values = {**self._values(recipe), "seed": seed, "filename_prefix": prefix(job_id)}
        values |= recipe.images
        for name, paths in self._paths.items():
            for node_id, input_name in paths:
                # A picture that nobody gives stays the graph's own.
                if name in values:
                    graph[node_id]["inputs"][input_name] = values[name]
        if recipe.loras and self._behind:
            self._insert_loras(graph, recipe.loras)
        return graph

    def _insert_loras(self, graph: dict[str, Any], loras: Sequence[AppliedLora]) -> None:
        hanging = list(graph.values())
        model, clip = self._behind[0], self._behind[1] if len(self._behind) > 1 else None
        nodes = _Nodes(graph, "seidra-")
        if clip is None:
            ends = [(model, _apply_loras(nodes, loras, model, None)[0])]
        else:
            ends = list(zip(self._behind, _apply_loras(nodes, loras, model, clip), strict=True))
        for node in hanging:
            for name, value in node["inputs"].items():
                for start, end in ends:
                    if value == start:
                        node["inputs"][name] = end

    def _values(self, recipe: Recipe) -> dict[str, Any]:
        return {
            "prompt": recipe.prompt,
            "negative_prompt": recipe.negative_prompt,
            "steps": recipe.steps,
            "guidance": recipe.guidance,
            "width": recipe.width,
            "height": recipe.height,
            "sampler": recipe.sampler,
            "schedule": recipe.schedule,
            "model": recipe.model.file if recipe.model else "",
        }

    def used(self, recipe: Recipe) -> dict[str, Any]:
        """What goes in by a named input, prompts aside."""
        words = {"guidance": "guidance_scale"}
        return {
            **{
                words.get(name, name): value
                for name, value in self._values(recipe).items()
                if self._paths.get(name) and name not in ("prompt", "negative_prompt")
            },
            **({"loras": recipe.used()["loras"]} if self._behind else {}),
        }

    def dropped(self, recipe: Recipe, asked: Mapping[str, Any]) -> Sequence[str]:
        """What has no named input, where a person asked for it."""
        told = {
            "negative_prompt": recipe.negative_prompt.strip(),
            "seed": True,
            "steps": asked.keys() & {"num_inference_steps", "steps"},
            "guidance": asked.keys() & {"guidance_scale", "cfg_scale", "cfg"},
            "sampler": asked.keys() & {"scheduler", "sampler"},
            "model": asked.keys() & {"model_name"},
        }
        missing = [
            field for name, field in _FIELDS.items() if told.get(name) and not self._paths.get(name)
        ]
        if len(self._behind) == 1 and any(lora.clip_weight != lora.weight for lora in recipe.loras):
            missing.append("loras.clip_weight")
        return [*recipe.dropped, *missing]

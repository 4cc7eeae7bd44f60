"""ComfyUI's graph (the API's form, as `prompt` of a picture): from the sampler that made the
picture back to prompts, LoRAs, model and size.

Links are `[node id, slot]`. A graph may have circles and thousands of nodes: no walk is longer than
`_FAR`, and none visits a node twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from seidra.exchange.found import Remark
from seidra.exchange.generation import Generation, lora, loras_of
from seidra.prompts import LoraEntry

_FAR = 20
"""How many links away from a sampler a text is looked for."""

_CHAIN = 100
"""LoRAs that a model may go through."""

_TEXTS = ("text", "text_g", "clip_l", "t5xxl", "text_l", "prompt", "string", "value", "text_1")
"""Inputs that hold a text, or lead to one, the likeliest first."""

_MODELS = ("ckpt_name", "unet_name", "model_name")

Graph = Mapping[str, Any]
Node = Mapping[str, Any]


def is_graph(value: Any) -> bool:
    """Whether a JSON value is such a graph."""
    return (
        isinstance(value, dict)
        and bool(value)
        and any(isinstance(node, dict) and "class_type" in node for node in value.values())
    )


def read_graph(graph: Graph, raw: str) -> Generation:
    """What a graph says of its picture."""
    made = Generation("ComfyUI", raw)
    sampler = _sampler(graph)
    if sampler is None:
        detail = "It has a workflow of ComfyUI, in which no sampler was found."
        made.remarks.append(Remark("workflow_not_understood", detail))
        return made
    inputs = _inputs(sampler)
    guider = _node(graph, inputs.get("guider"))
    asked = {**_inputs(guider), **inputs} if guider is not None else inputs
    positive = asked.get("positive", asked.get("conditioning"))
    made.prompt = _text(graph, positive)
    made.negative_prompt = _text(graph, asked.get("negative"))
    made.loras, model = _model_chain(graph, asked.get("model"))
    found = _parameters(graph, asked)
    guidance = _input_before(graph, positive, "guidance")
    if guidance is not None:
        # Flux: beside it the CFG scale is 1.
        found["guidance_scale"] = guidance
    if model:
        found["model_name"] = model
    made.parameters = {key: value for key, value in found.items() if value is not None}
    denoise = _value(graph, asked.get("denoise"))
    if isinstance(denoise, (int, float)) and denoise != 1:
        made.more["denoise"] = denoise
    others = sum(1 for node in graph.values() if _samples(node)) - 1
    if others > 0:
        detail = f"The workflow has {others} more samplers; the first one was taken."
        made.remarks.append(Remark("more_samplers", detail))
    return made


def _parameters(graph: Graph, asked: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for ours, theirs in (
        ("seed", ("seed", "noise_seed")),
        ("num_inference_steps", ("steps",)),
        ("guidance_scale", ("cfg",)),
        ("sampler", ("sampler_name",)),
        ("schedule", ("scheduler",)),
    ):
        for name in theirs:
            if name in asked:
                found[ours] = _value(graph, asked[name])
    # SamplerCustomAdvanced has a node for each of them.
    for name, ours, word in (
        ("noise", "seed", "noise_seed"),
        ("sampler", "sampler", "sampler_name"),
        ("sigmas", "schedule", "scheduler"),
        ("sigmas", "num_inference_steps", "steps"),
    ):
        node = _node(graph, asked.get(name))
        if node is not None and word in _inputs(node):
            found.setdefault(ours, _value(graph, _inputs(node)[word]))
    for side in ("width", "height"):
        length = _input_before(graph, asked.get("latent_image"), side)
        if isinstance(length, int) and not isinstance(length, bool):
            found[side] = length
    return found


def _inputs(node: Node | None) -> Mapping[str, Any]:
    inputs = node.get("inputs") if node is not None else None
    return inputs if isinstance(inputs, dict) else {}


def _node(graph: Graph, link: Any) -> Node | None:
    if not isinstance(link, list) or not link or not isinstance(link[0], (str, int)):
        return None
    node = graph.get(str(link[0]))
    return node if isinstance(node, dict) else None


def _kind(node: Node) -> str:
    kind = node.get("class_type")
    return kind if isinstance(kind, str) else ""


def _samples(node: Any) -> bool:
    if not isinstance(node, dict):
        return False
    inputs = _inputs(node)
    return "latent_image" in inputs and ("positive" in inputs or "guider" in inputs)


def _sampler(graph: Graph) -> Node | None:
    """The sampler that begins with nothing, else the first."""
    samplers: list[Node] = [node for node in graph.values() if _samples(node)]
    for node in samplers:
        latent = _node(graph, _inputs(node)["latent_image"])
        if latent is not None and "Empty" in _kind(latent):
            return node
    return samplers[0] if samplers else None


def _value(graph: Graph, value: Any) -> Any:
    """A value, or that of the node that it is linked to."""
    seen = 0
    while isinstance(value, list) and seen < _FAR:
        inputs = _inputs(_node(graph, value))
        names = ("value", "seed", "noise_seed", "int", "float", "number", "string", "text")
        value = next((inputs[name] for name in names if name in inputs), None)
        seen += 1
    return None if isinstance(value, (list, dict)) else value


def _text(graph: Graph, link: Any) -> str:
    """The text that conditions a picture."""
    return _text_from(graph, link, set(), _FAR)


def _text_from(graph: Graph, value: Any, seen: set[str], far: int) -> str:
    if isinstance(value, str):
        return value
    node = _node(graph, value)
    if node is None or far == 0 or str(value[0]) in seen:
        return ""
    seen.add(str(value[0]))
    inputs = _inputs(node)
    if "positive" in inputs and "negative" in inputs:
        # What changes both: its outputs are in the same order.
        side = "negative" if value[1:2] == [1] else "positive"
        return _text_from(graph, inputs[side], seen, far - 1)
    named = [inputs[name] for name in _TEXTS if name in inputs]
    # Then whatever else leads on: conditionings that are combined, strings that are joined.
    linked = [v for name, v in inputs.items() if name not in _TEXTS and _node(graph, v) is not None]
    texts: dict[str, None] = {}
    for part in [*named, *(linked if not named else ())]:
        text = _text_from(graph, part, seen, far - 1)
        if text:
            texts[text] = None
    return ", ".join(texts)


def _input_before(graph: Graph, link: Any, name: str) -> Any:
    """The first number of that name on the way back from a link."""
    left: deque[Any] = deque([link])
    seen: set[str] = set()
    while left and len(seen) < 1_000:
        at = left.popleft()
        node = _node(graph, at)
        if node is None or str(at[0]) in seen:
            continue
        seen.add(str(at[0]))
        inputs = _inputs(node)
        value = _value(graph, inputs.get(name))
        if isinstance(value, (int, float)):
            return value
        left += [part for part in inputs.values() if isinstance(part, list)]
    return None


def _model_chain(graph: Graph, link: Any) -> tuple[list[LoraEntry], str]:
    """The LoRAs that a model goes through, in the order in which they are applied, and its
    name."""
    found: list[LoraEntry] = []
    seen: set[str] = set()
    model = ""
    node = _node(graph, link)
    while node is not None and str(link[0]) not in seen and len(seen) < _CHAIN:
        seen.add(str(link[0]))
        inputs = _inputs(node)
        found += reversed(_loras(graph, inputs))
        names = (_value(graph, inputs[name]) for name in _MODELS if name in inputs)
        model = next((name for name in names if isinstance(name, str)), "")
        if model:
            break
        link = inputs.get("model")
        node = _node(graph, link)
    return found[::-1], model.replace("\\", "/")


def _loras(graph: Graph, inputs: Mapping[str, Any]) -> list[LoraEntry]:
    if "lora_name" in inputs:
        weight = _value(graph, inputs.get("strength_model"))
        clip = _value(graph, inputs.get("strength_clip"))
        return loras_of([lora(_value(graph, inputs["lora_name"]), weight, clip)])
    # Loaders of several have an object for each.
    return loras_of(
        lora(each.get("lora"), each.get("strength"), each.get("strengthTwo"))
        for each in inputs.values()
        if isinstance(each, dict) and each.get("on", True) and "lora" in each
    )

"""What a ComfyUI server says of a failure, as sentences for the job's owner.

A server's own texts may hold prompts, paths and addresses, and are not passed on: a sentence is
made of the failure's kind, names of nodes and inputs, and names of files that were asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seidra.engines.base import EngineError

_MOST_SENTENCES = 5
_LONGEST_VALUE = 200

# An input's name -> what it chooses, and the failure's code.
_CHOICES = {
    "ckpt_name": ("model", "model_missing"),
    "unet_name": ("model", "model_missing"),
    "model_name": ("model", "model_missing"),
    "lora_name": ("LoRA", "lora_missing"),
    "vae_name": ("VAE", "model_missing"),
    "clip_name": ("text encoder", "model_missing"),
    "clip_name1": ("text encoder", "model_missing"),
    "clip_name2": ("text encoder", "model_missing"),
    "sampler_name": ("sampler", "sampler_missing"),
    "scheduler": ("schedule", "sampler_missing"),
}

_INVALID = "workflow_invalid"


def rejection(document: Any) -> EngineError:
    """The failure that an answer to `POST /prompt` tells: its `error` and `node_errors`."""
    document = document if isinstance(document, dict) else {}
    sentences: list[str] = []
    code = _INVALID
    nodes = document.get("node_errors")
    for node_id, node in nodes.items() if isinstance(nodes, dict) else ():
        node = node if isinstance(node, dict) else {}
        errors = node.get("errors")
        where = f"{node.get('class_type') or 'unnamed'} ({node_id})"
        for error in errors if isinstance(errors, list) else ():
            sentence, word = _node_sentence(where, error if isinstance(error, dict) else {})
            code = word if code == _INVALID else code
            if sentence not in sentences:
                sentences.append(sentence)
    if not sentences:
        error = document.get("error")
        sentences = [_whole_sentence(error if isinstance(error, dict) else {})]
    if len(sentences) > _MOST_SENTENCES:
        more = len(sentences) - _MOST_SENTENCES
        sentences = [*sentences[:_MOST_SENTENCES], f"There are {more} more such failures."]
    return EngineError(" ".join(sentences), permanent=True, code=code)


def _node_sentence(where: str, error: Mapping[str, Any]) -> tuple[str, str]:
    kind = error.get("type")
    info = error.get("extra_info")
    info = info if isinstance(info, dict) else {}
    name = str(info.get("input_name") or "")
    value = str(info.get("received_value"))[:_LONGEST_VALUE]
    if kind == "value_not_in_list":
        if name in _CHOICES:
            what, code = _CHOICES[name]
            return f"The {what} {value} is not on this engine.", code
        return f"The node {where} knows no such value of {name}.", _INVALID
    if kind in ("value_smaller_than_min", "value_bigger_than_max"):
        size = "small" if kind == "value_smaller_than_min" else "large"
        return f"The value of {name} is too {size} for the node {where}.", _INVALID
    if kind == "required_input_missing":
        return f"The node {where} misses its input {name}.", _INVALID
    if name:
        return f"The node {where} cannot use its input {name}.", _INVALID
    return f"The node {where} is not valid on this engine.", _INVALID


def _whole_sentence(error: Mapping[str, Any]) -> str:
    kind = error.get("type")
    if kind == "missing_node_type":
        info = error.get("extra_info")
        name = info.get("class_type") if isinstance(info, dict) else None
        node = f"the node {name}" if name else "a node of the workflow"
        return f"This engine lacks {node}, which comes with an extension of ComfyUI."
    if kind == "prompt_no_outputs":
        return "The workflow has no node that puts a picture out."
    if kind == "invalid_prompt_id":
        return "This engine does not take the job's id."
    return "This engine does not take the workflow."


def execution(error: Mapping[str, Any], *, again: bool) -> EngineError:
    """The failure of a job that ran. `again` says that it ran out of memory before: ComfyUI unloads
    all models then, so that a second try, and no third, is sensible."""
    kind = str(error.get("exception_type") or "")
    message = str(error.get("exception_message") or "").lower()
    node = str(error.get("node_type") or "unnamed")[:_LONGEST_VALUE]
    if "OutOfMemory" in kind or "out of memory" in message or "allocation on device" in message:
        return EngineError(
            "The engine ran out of memory; a smaller picture may fit.",
            permanent=again,
            code="out_of_memory",
        )
    if "shapes cannot be multiplied" in message or "size mismatch" in message:
        return EngineError(
            f"The model and what is used with it (LoRA, text encoder, VAE) are not made for each"
            f" other: the node {node} failed.",
            permanent=True,
            code="models_mismatch",
        )
    kind = kind.rsplit(".", 1)[-1][:_LONGEST_VALUE]
    return EngineError(
        f"The engine failed in the node {node}{f' with {kind}' if kind else ''}.",
        permanent=False,
    )

"""What lies in SEIDRA_MODELS_DIR, read without torch: folders as diffusers writes them, single
files, LoRAs. Only names and the heads of files are read, so that any process may look.

    models/
      painter/model_index.json ...      a model as a folder
      sd15.safetensors                  a model in a single file ...
      configs/sd1/model_index.json ...  ... and how such models are built
      loras/film-grain.safetensors      a LoRA

Pickled files (.ckpt, .pt, .bin) run what is in them when they are opened: they are not seen.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seidra.engines.base import Model

INDEX = "model_index.json"
LORAS, CONFIGS = "loras", "configs"
_EXTENSION = ".safetensors"
_LARGEST_HEAD = 32 * 1024 * 1024
_LARGEST_INDEX = 1024 * 1024
_DEEPEST = 3
"""How many folders below SEIDRA_MODELS_DIR are looked into."""

_BY_PIPELINE = (
    ("StableDiffusionXL", "sdxl"),
    ("StableDiffusion3", "sd3"),
    ("Flux", "flux"),
    ("QwenImage", "qwen"),
    ("ZImage", "zimage"),
)
_BY_WIDTH = {768: "sd1", 1024: "sd2", 2048: "sdxl"}
"""The width of what the text encoders give, which each cross attention of a UNet reads."""


def find_models(folder: Path) -> dict[str, Model]:
    """The models by their names: the path below the folder, without extension. Raises OSError."""
    found: dict[str, Model] = {}
    for path in _walk(folder, _DEEPEST):
        name = path.relative_to(folder)
        if path.is_dir():
            found[str(name)] = Model(str(name), _family_of_folder(path))
        else:
            found.setdefault(str(name.with_suffix("")), Model(str(name), family_of_file(path)))
    return found


def find_loras(folder: Path) -> dict[str, Model]:
    """The LoRAs by their names: the path below `loras`, without extension. Raises OSError."""
    shelf = folder / LORAS
    if not shelf.is_dir():
        return {}
    return {
        str(path.relative_to(shelf).with_suffix("")): Model(
            str(path.relative_to(shelf)), family_of_lora(path)
        )
        for path in sorted(shelf.rglob(f"*{_EXTENSION}"))
        if path.is_file()
    }


def _walk(folder: Path, deepest: int) -> Iterator[Path]:
    """Folders that are models, and single files of models."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = Path(entry.path)
        if entry.name.startswith("."):
            continue
        if entry.is_file() and path.suffix == _EXTENSION:
            yield path
        elif entry.is_dir() and (path / INDEX).is_file():
            if path.parent.name != CONFIGS:
                yield path
        elif entry.is_dir() and deepest > 1 and entry.name not in (LORAS, CONFIGS):
            yield from _walk(path, deepest - 1)


# ---------------------------------------------------------------------------------------- families


def _family_of_folder(folder: Path) -> str | None:
    name = str(_read_json(folder / INDEX).get("_class_name") or "")
    for begin, family in _BY_PIPELINE:
        if name.startswith(begin):
            return family
    if not name.startswith("StableDiffusion"):
        return None
    width = _read_json(folder / "unet" / "config.json").get("cross_attention_dim")
    return "sd2" if width == 1024 else "sd1"


def family_of_file(path: Path) -> str | None:
    """The family of a model in a single file, by the names and shapes of its tensors."""
    head = read_head(path)
    if any(name.startswith("conditioner.embedders.1.") for name in head):
        return "sdxl"
    if any("joint_blocks." in name for name in head):
        return "sd3"
    if any("double_blocks." in name for name in head):
        return "flux"
    if any(name.startswith("cond_stage_model.") for name in head):
        return "sd2" if _reading_width(head) == 1024 else "sd1"
    return None


def family_of_lora(path: Path) -> str | None:
    """The family of models that a LoRA is made for, by what kohya's scripts write about it, else
    by its shapes."""
    head = read_head(path)
    about = head.get("__metadata__")
    base = str(about.get("ss_base_model_version") or "") if isinstance(about, dict) else ""
    for begin, family in (("sdxl", "sdxl"), ("sd_v1", "sd1"), ("sd_v2", "sd2"), ("flux", "flux")):
        if base.startswith(begin):
            return family
    return _BY_WIDTH.get(_reading_width(head))


def _reading_width(head: Mapping[str, Any]) -> int:
    """The width of the text that the first cross attention of these tensors reads; 0 for none."""
    for name, tensor in head.items():
        if "attn2" in name and "to_k" in name and not name.endswith(("lora_up.weight", "alpha")):
            shape = tensor.get("shape") if isinstance(tensor, dict) else None
            if isinstance(shape, list) and len(shape) > 1 and "lora_B" not in name:
                return int(shape[1])
    return 0


def read_head(path: Path) -> dict[str, Any]:
    """The head of a .safetensors file: its tensors' names, types and shapes; empty where it is
    none. The head is JSON behind its length in eight bytes."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _LARGEST_HEAD:
                return {}
            head = json.loads(file.read(length))
    except (OSError, ValueError, struct.error):
        return {}
    return head if isinstance(head, dict) else {}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(_LARGEST_INDEX))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}

"""Presets of SwarmUI: its export in JSON, the list that it imports, and its small YAML (formats.md,
A5). Its CSV is read as `seidra.exchange.styles_csv` reads all others."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from seidra.exchange import given
from seidra.exchange.documents import MAX_DEPTH, MAX_PARTS, Part, broken, parse, too_many
from seidra.exchange.documents import write as to_json
from seidra.exchange.drafts import (
    Draft,
    number_of,
    picture_in,
    split_path,
    text_of,
    told_apart,
)
from seidra.exchange.found import (
    FoundFile,
    FoundPersona,
    GivenPersona,
    IncomingFile,
    Remark,
    WrittenFile,
)
from seidra.exchange.given import Target
from seidra.prompts import PLACE, LoraEntry

FORMAT = "swarmui"
TARGET = Target(
    "SwarmUI",
    FORMAT,
    frozenset({"description", "loras", "picture", "is_favorite"}),
    frozenset(
        {
            *("num_inference_steps", "guidance_scale", "seed", "width", "height", "model_name"),
            *("sampler", "schedule", "scheduler"),
        }
    ),
)

_VALUE = "{value}"
_KNOWN = {
    "model": "model_name",
    "steps": "num_inference_steps",
    "cfgscale": "guidance_scale",
    "seed": "seed",
    "width": "width",
    "height": "height",
    "sampler": "sampler",
    "scheduler": "schedule",
}
"""SEIDRA's name for each of SwarmUI's parameters that it knows."""
_TEXTS = frozenset({"prompt", "negativeprompt", "loras", "loraweights"})
_OWN = frozenset({"title", "description", "preview_image", "is_starred", "param_map"})
_YAML = re.compile(
    r"^[ \t]+(?:prompt|negativeprompt|prompt_prefix|uc_prompt):(?:\s|$)", re.MULTILINE
)
_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


def recognise(file: IncomingFile) -> bool:
    """Whether presets have a map of parameters, or entries SwarmUI's word for a negative prompt."""
    document = file.document
    if document is None:
        return False
    if isinstance(document.value, dict):
        return bool(document.value) and all(map(_is_preset, document.value.values()))
    return (
        isinstance(document.value, list)
        and all(isinstance(value, dict) and "name" in value for value in document.value)
        and any("negativeprompt" in value for value in document.value)
    )


def _is_preset(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("param_map"), dict)


def recognise_yaml(file: IncomingFile) -> bool:
    """Whether it is a YAML of presets: the keys that SwarmUI looks for, below others."""
    text = file.known_text
    return text is not None and file.document is None and _YAML.search(text) is not None


def read(file: IncomingFile) -> FoundFile:
    """The presets of a file, in order. Raises Invalid for what is none of the three forms."""
    if file.fault is None and file.document is None:
        found = [
            _read_plain(part, f"{file.name} {part.key}", file.stem)
            for part in _yaml_presets(file.text)
        ]
    else:
        document = file.json
        if isinstance(document.value, list):
            found = [
                _read_plain(part, f"{file.name} entry {number}", file.stem)
                for number, part in enumerate(document.parts, 1)
            ]
        else:
            found = [_read(part, f"{file.name} {part.key}", file.stem) for part in document.parts]
    entries, remarks = told_apart(found)
    return FoundFile(FORMAT, "SwarmUI", entries, {}, remarks)


def _read(part: Part, locator: str, stem: str) -> FoundPersona:
    preset = part.value if isinstance(part.value, dict) else {}
    # SwarmUI takes the key for the name, not the title.
    key = part.key or ""
    folder, name = split_path(key)
    draft = Draft(FORMAT, locator, key, part.raw)
    draft.odd_numbers(part)
    draft.name(name, stem)
    draft.tag(folder)
    draft.description(text_of(preset.get("description")))
    params = preset.get("param_map")
    params = params if isinstance(params, dict) else {}
    more = {key: value for key, value in params.items() if key not in {*_KNOWN, *_TEXTS}}
    draft.prompts(
        _from_swarm(params.get("prompt")),
        _from_swarm(params.get("negativeprompt")),
        alone=bool(params.keys() - {"prompt", "negativeprompt"}),
    )
    draft.loras(_loras(params))
    found = {ours: params.get(theirs) for theirs, ours in _KNOWN.items()}
    draft.parameters({name: _plain(value) for name, value in found.items()})
    if preset.get("is_starred") is True:
        draft.fields["is_favorite"] = True
    draft.picture = picture_in(preset.get("preview_image"))
    draft.keep({key: value for key, value in preset.items() if key not in _OWN})
    preview = None if draft.picture else preset.get("preview_image")
    draft.keep({"param_map": more, "preview_image": preview})
    return draft.done()


def _read_plain(part: Part, locator: str, stem: str) -> FoundPersona:
    """An entry of the list, or of the YAML: texts alone."""
    preset: Mapping[str, Any] = part.value if isinstance(part.value, dict) else {}
    key = part.key if part.key is not None else text_of(preset.get("name"))
    folder, name = split_path(key)
    draft = Draft(FORMAT, locator, key, part.raw)
    draft.odd_numbers(part)
    draft.name(name, stem)
    draft.tag(folder)
    style, negative = text_of(preset.get("prompt")), text_of(preset.get("negativeprompt"))
    before, behind = text_of(preset.get("prompt_prefix")), text_of(preset.get("prompt_suffix"))
    if not style and (before or behind):
        style = " ".join(text for text in (before, PLACE, behind) if text)
    draft.prompts(
        _from_swarm(style),
        _from_swarm(
            negative or text_of(preset.get("negative_prompt")) or text_of(preset.get("uc_prompt"))
        ),
    )
    return draft.done()


def _from_swarm(text: Any) -> str:
    return text_of(text).replace(_VALUE, PLACE)


def _to_swarm(text: str) -> str:
    return text.replace(PLACE, _VALUE)


def _plain(value: Any) -> Any:
    """What the decimal text of a parameter says; all values of SwarmUI are texts."""
    number = number_of(value)
    if number is None:
        return value
    # A seed beyond 2^53 is another as a float.
    return int(value) if re.fullmatch(r"-?[0-9]{1,20}", str(value)) else number


def _loras(params: Mapping[str, Any]) -> list[LoraEntry]:
    names = [name.strip() for name in text_of(params.get("loras")).split(",")]
    weights = [number_of(text) for text in text_of(params.get("loraweights")).split(",")]
    weights += [None] * len(names)
    return [
        {"name": name, "weight": 1.0 if weight is None else weight}
        for name, weight in zip(names, weights, strict=False)
        if name
    ]


# ------------------------------------------------------------------------------------------- YAML


def _yaml_presets(text: str) -> list[Part]:
    """The members of the outermost mapping, scalars as text. Raises Invalid for anything else, for
    a reference (which can make much of little), and for too much of it."""
    builder = _Builder(text)
    try:
        for event in yaml.parse(text, Loader=_Loader):
            builder.take(event)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise broken(f"Is no YAML that can be read{where}.") from None
    if not builder.parts:
        raise broken("Is no YAML of presets, which names a mapping for each.")
    return builder.parts


class _Builder:
    """Makes values of the events of a YAML document, without recursion."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._open: list[dict[str, Any] | list[Any]] = []
        self._keys: list[str | None] = []
        self._start = 0
        self.parts: list[Part] = []
        """The members of the outermost mapping, each as it was written."""

    def take(self, event: Any) -> None:
        """Take the next event."""
        if isinstance(event, yaml.AliasEvent):
            raise broken("Has references, which are not followed.")
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self._open.append({} if isinstance(event, yaml.MappingStartEvent) else [])
            self._keys.append(None)
            if len(self._open) > MAX_DEPTH:
                raise broken(f"Is nested deeper than {MAX_DEPTH} levels.", "too_deep")
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._keys.pop()
            self._put(self._open.pop(), event)
        elif isinstance(event, yaml.ScalarEvent):
            self._put(event.value, event)

    def _put(self, value: Any, event: Any) -> None:
        """Put a value that is whole into what it stands in."""
        container = self._open[-1] if self._open else None
        if isinstance(container, list):
            container.append(value)
        elif container is not None and self._keys[-1] is None:
            self._keys[-1] = str(value)
            if len(self._open) == 1:
                self._start = event.start_mark.index
        elif container is not None:
            key, self._keys[-1] = str(self._keys[-1]), None
            container[key] = value
            if len(self._open) == 1:
                raw = self._text[self._start : event.end_mark.index]
                self.parts.append(Part(key, value, raw))
                if len(self.parts) > MAX_PARTS:
                    raise too_many()


# ---------------------------------------------------------------------------------------- writing


def write(personas: Sequence[GivenPersona]) -> list[WrittenFile]:
    """One object of presets, as SwarmUI exports and imports it. What came from it gives the same
    bytes again where nothing was changed, and else keeps what was not."""
    written = [_written(persona) for persona in personas]
    names = given.apart([name for name, _ in written])
    members = (
        f"{to_json(name)}: {preset}" for name, (_, preset) in zip(names, written, strict=True)
    )
    text = given.object_of(members)
    return [WrittenFile("swarmui_presets.json", "application/json", text.encode())]


def _written(persona: GivenPersona) -> tuple[str, str]:
    """The key of a preset, and the preset."""
    fields = persona.fields
    name = given.text(fields, "name")
    original = given.original_of(persona, FORMAT)
    value: Any = parse(original).value if original is not None else None
    if original is None or persona.source is None or not _is_preset(value):
        preset = {
            "author": "",
            "title": name,
            "description": given.text(fields, "description"),
            "preview_image": given.preview_of(persona.picture),
            "is_starred": bool(fields.get("is_favorite")),
            "param_map": _parameters(persona),
        }
        return name, to_json(preset)
    key = persona.source.entry
    found = _read(Part(key, value, original), "", "")
    changes = given.changed(persona, found)
    if not changes:
        return key, original
    if "name" in changes:
        folder = split_path(key)[0]
        key = f"{folder}/{name}" if folder else name
        value["title"] = key
    if "description" in changes:
        value["description"] = given.text(fields, "description")
    if "is_favorite" in changes:
        value["is_starred"] = bool(fields.get("is_favorite"))
    params = value["param_map"]
    ours = _parameters(persona)
    for field, names in _NAMES.items():
        if field in changes:
            for param in names:
                params.pop(param, None)
            params |= {param: ours[param] for param in names if param in ours}
    return key, to_json(value)


_NAMES = {
    "style_prompt": ("prompt",),
    "negative_prompt": ("negativeprompt",),
    "loras": ("loras", "loraweights"),
    "generation_params": (*_KNOWN, "aspectratio"),
}


def _parameters(persona: GivenPersona) -> dict[str, str]:
    """The map of parameters, all texts."""
    fields = persona.fields
    params = given.understood(fields)
    sampler, schedule = given.comfyui_pair(params)
    style, negative = given.text(fields, "style_prompt"), given.text(fields, "negative_prompt")
    loras = given.on(persona)
    found = {
        "prompt": "" if style == PLACE else _to_swarm(style),
        "negativeprompt": _to_swarm(negative),
        "loras": ",".join(lora["name"] for lora in loras),
        "loraweights": ",".join(given.plain(lora.get("weight", 1)) for lora in loras),
        "sampler": sampler,
        "scheduler": schedule,
    }
    for theirs, ours in _KNOWN.items():
        if ours not in ("sampler", "schedule") and params.get(ours) is not None:
            found[theirs] = given.plain(params[ours])
    if "width" in found or "height" in found:
        # Else its own ratio decides.
        found["aspectratio"] = "Custom"
    return {name: value for name, value in found.items() if value}


def lost(persona: GivenPersona) -> list[Remark]:
    """What a preset has no place for."""
    remarks = [*given.not_carried(persona, TARGET), *given.places_lost(persona, TARGET)]
    if any("," in lora["name"] or lora.get("clip_weight") for lora in given.on(persona)):
        detail = "SwarmUI: no place for a LoRA's text encoder weight, or a comma in its name."
        remarks.append(Remark("not_carried", detail, "loras"))
    if len(given.on(persona)) < len(persona.fields.get("loras") or ()):
        detail = "SwarmUI: no place for LoRAs that are switched off."
        remarks.append(Remark("not_carried", detail, "loras"))
    return remarks

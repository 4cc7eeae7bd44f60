"""Whether an engine can do what is asked of it: one pure function for the routes, the doctor and
the worker, which looks again before it renders (lists change while a job waits).

An error means that the picture would not be the one asked for: the request is refused. A warning
tells what will be done otherwise. The rules are those of engines.md, D.2 and D.3.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from seidra.engines import samplers
from seidra.engines.base import Capabilities, EngineError, Model, RenderRequest, Sizes
from seidra.engines.tokens import CLIP_TOKENS, count_tokens
from seidra.parameters import shown_seed

Level = Literal["error", "warning"]

FAMILIES = {
    "sd1": "Stable Diffusion 1",
    "sd2": "Stable Diffusion 2",
    "sdxl": "SDXL",
    "sd3": "Stable Diffusion 3",
    "flux": "Flux",
    "qwen": "Qwen-Image",
    "zimage": "Z-Image",
}
"""The families of models, and what people call them."""
_OF_CLIP_ALONE = frozenset({"sd1", "sd2", "sdxl"})
"""The families whose text encoders are all CLIP's."""
_EXTENSION = re.compile(r"\.(safetensors|sft|ckpt|pth?|bin|gguf)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that an engine lacks or does otherwise: `code` for programs, the parameter `field`
    and its `value`, a sentence for people, and names that may have been meant, nearest first."""

    level: Level
    code: str
    field: str
    value: Any
    detail: str
    suggestions: Sequence[str] = ()

    def shown(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "level": self.level,
            "code": self.code,
            "field": self.field,
            "value": self.value,
            "detail": self.detail,
            "suggestions": list(self.suggestions),
        }


def has_errors(findings: Iterable[Finding]) -> bool:
    """Whether one of the findings is an error."""
    return any(finding.level == "error" for finding in findings)


def check(request: RenderRequest, capabilities: Capabilities) -> list[Finding]:
    """What the engine with these capabilities lacks for a request, or does otherwise; errors
    first.

    What an engine does not tell is not looked at: models where it names none, LoRAs where it names
    neither models nor LoRAs, schedulers where it names none and no sampler of its own.
    """
    found = [
        *_model(request, capabilities),
        *_loras(request, capabilities),
        *_scheduler(request, capabilities),
        *_images(request, capabilities),
        *_pictures(request, capabilities),
        *_size(request, capabilities.sizes),
        *_ignored(request, capabilities),
        *_cut(request, capabilities),
    ]
    return sorted(found, key=lambda finding: finding.level != "error")


# ------------------------------------------------------------------------------------------- names


class Names:
    """The names of an engine's models or LoRAs, looked up as people write them."""

    def __init__(self, things: Mapping[str, Model]) -> None:
        self.things = things
        self._forms: list[dict[str, dict[str, str]]] | None = None

    def find(self, name: str) -> list[str]:
        """The keys that a name stands for: the very name, else without extension and case, else
        without folder too. Several: it is ambiguous. Two names of one file are one thing, and the
        first is given."""
        if name in self.things:
            return [name]
        if self._forms is None:
            self._forms = [self._index(simplify) for simplify in _SIMPLER]
        for form, simplify in zip(self._forms, _SIMPLER, strict=True):
            if found := form.get(simplify(name)):
                return list(found.values())
        return []

    def _index(self, simplify: Callable[[str], str]) -> dict[str, dict[str, str]]:
        """{simple name: {file: key}}"""
        index: dict[str, dict[str, str]] = {}
        for key, thing in self.things.items():
            for simple in {simplify(key), simplify(thing.file)} - {""}:
                index.setdefault(simple, {}).setdefault(thing.file or key, key)
        return index


def resolve(name: str, things: Mapping[str, Model]) -> list[str]:
    """The keys of `things` that a name stands for, as `Names.find` has them."""
    return Names(things).find(name)


def only_one(what: str, name: str, found: Sequence[str]) -> str:
    """The one of what was found for a name. Raises EngineError for none and for several."""
    if not found:
        raise EngineError(
            f"The engine has no {what} {name!r}.", permanent=True, code=f"unknown_{what.lower()}"
        )
    if len(found) > 1:
        raise EngineError(
            f"The engine has several {what}s that {name!r} may mean: {', '.join(sorted(found))}.",
            permanent=True,
            code=f"ambiguous_{what.lower()}",
        )
    return found[0]


def nearest(name: str, names: Iterable[str], count: int = 3) -> list[str]:
    """The names that look most like `name`, whatever their case, folders and extensions."""
    by_form: dict[str, str] = {}
    for known in names:
        by_form.setdefault(_bare_name(known), known)
    close = difflib.get_close_matches(_bare_name(name), by_form, count, cutoff=0.5)
    return [by_form[form] for form in close]


def _without_extension(name: str) -> str:
    return _EXTENSION.sub("", name.replace("\\", "/").casefold())


def _bare_name(name: str) -> str:
    return _without_extension(name).rpartition("/")[2]


_SIMPLER = (_without_extension, _bare_name)


# ------------------------------------------------------------------------------------------ checks


def _model(request: RenderRequest, capabilities: Capabilities) -> Iterable[Finding]:
    name, models = request.model_name, capabilities.models
    if not name or not models:
        return
    keys = resolve(name, models)
    if not keys:
        yield Finding(
            "error",
            "model_unknown",
            "model_name",
            name,
            f"This engine has no model called {name!r}.",
            nearest(name, models),
        )
    elif len(keys) > 1:
        yield _ambiguous("model_ambiguous", "model_name", name, keys)


def _loras(request: RenderRequest, capabilities: Capabilities) -> Iterable[Finding]:
    if "loras" not in capabilities.features:
        if request.loras:
            ignored = [lora.name for lora in request.loras]
            yield Finding(
                "warning",
                "loras_ignored",
                "loras",
                ignored,
                f"This engine uses no LoRAs: {_listed(ignored)} will have no effect.",
            )
        return
    if capabilities.loras or capabilities.models:
        names, models = Names(capabilities.loras), resolve(request.model_name, capabilities.models)
        model = capabilities.models[models[0]] if len(models) == 1 else Model("")
        for lora in request.loras:
            yield from _lora(lora.name, names, request.model_name, model)
        yield from _twice([lora.name for lora in request.loras], names)
    if "lora_weights" not in capabilities.features:
        weighted = [lora.name for lora in request.loras if lora.weight != 1]
        if weighted:
            yield Finding(
                "warning",
                "lora_weights_ignored",
                "loras",
                weighted,
                f"This engine uses every LoRA at full weight, {_listed(weighted)} too.",
            )


def _lora(name: str, names: Names, model_name: str, model: Model) -> Iterable[Finding]:
    keys = names.find(name)
    if not keys:
        yield Finding(
            "error",
            "lora_missing",
            "loras",
            name,
            f"This engine has no LoRA called {name!r}.",
            nearest(name, names.things),
        )
        return
    if len(keys) > 1:
        yield _ambiguous("lora_ambiguous", "loras", name, keys)
        return
    theirs = names.things[keys[0]].family
    if theirs and model.family and theirs != model.family:
        made_for, is_for = (FAMILIES.get(family, family) for family in (theirs, model.family))
        fitting = [key for key, lora in names.things.items() if lora.family == model.family]
        yield Finding(
            "error",
            "lora_family",
            "loras",
            name,
            f"{name} is made for {made_for}; {model_name} is a {is_for} model.",
            nearest(name, fitting),
        )


def _twice(asked: Sequence[str], names: Names) -> Iterable[Finding]:
    """Two names of one LoRA, which would be applied twice."""
    first: dict[str, str] = {}
    for name in asked:
        keys = names.find(name)
        if len(keys) != 1:
            continue
        other = first.setdefault(names.things[keys[0]].file or keys[0], name)
        if other != name:
            yield Finding(
                "warning",
                "lora_twice",
                "loras",
                name,
                f"{other!r} and {name!r} are the same LoRA, which will be applied twice.",
            )


def _ambiguous(code: str, field: str, name: str, keys: Sequence[str]) -> Finding:
    detail = f"{name!r} may be {_listed(keys, 'or')}; write the whole name."
    return Finding("error", code, field, name, detail, keys)


def _scheduler(request: RenderRequest, capabilities: Capabilities) -> Iterable[Finding]:
    has, foreign = capabilities.schedulers, capabilities.foreign
    if not has and not foreign.get("samplers"):
        return
    pair = samplers.wanted_pair(request)
    if pair is not None:
        if not samplers.lists_pair(pair, foreign):
            name = " / ".join(part for part in pair if part)
            yield Finding(
                "error",
                "sampler_unknown",
                "sampler",
                name,
                f"This engine has no sampler {name!r}.",
                nearest(pair.sampler, [*has, *foreign.get("samplers", ())]),
            )
        return
    name = request.scheduler
    if not name or name in has or name in foreign.get("samplers", ()):
        return
    # Another tool's spelling of what the engine has is nearer than any look-alike.
    meant = [ours for ours in (samplers.recognise(name),) if ours in has]
    plain = samplers.split(name)
    if plain is not None and plain[0] in has:
        meant.append(plain[0])
    near = [ours for ours in nearest(name, has) if ours not in meant]
    yield Finding(
        "error",
        "scheduler_unknown",
        "scheduler",
        name,
        f"This engine has no scheduler {name!r}.",
        [ours for ours in (*meant, *near) if ours is not None][:3],
    )


def _images(request: RenderRequest, capabilities: Capabilities) -> Iterable[Finding]:
    for name in request.images:
        if name not in capabilities.images:
            takes = f"picture called {name!r}" if capabilities.images else "pictures to start from"
            yield Finding(
                "error",
                "image_unknown",
                "images",
                name,
                f"This engine takes no {takes}.",
                nearest(name, capabilities.images) or list(capabilities.images)[:3],
            )


def _pictures(request: RenderRequest, capabilities: Capabilities) -> Iterable[Finding]:
    wanted = request.wanted()
    if len(wanted) > capabilities.max_count:
        yield Finding(
            "error",
            "too_many_pictures",
            "count",
            len(wanted),
            f"This engine makes at most {capabilities.max_count} pictures a job.",
        )
    if "seed" not in capabilities.features:
        return
    reduced = [picture.seed for picture in wanted if picture.seed > capabilities.seed_max]
    if reduced:
        used = fit_seed(reduced[0], capabilities)
        yield Finding(
            "warning",
            "seed_reduced",
            "seed",
            shown_seed(reduced[0]),
            f"This engine takes seeds up to {capabilities.seed_max}: {used} is used instead of"
            f" {reduced[0]}.",
        )


def _size(request: RenderRequest, sizes: Sizes) -> Iterable[Finding]:
    asked = (request.width, request.height)
    made = fit_size(*asked, sizes)
    if made != asked:
        was, will_be = (f"{width}x{height}" for width, height in (asked, made))
        yield Finding(
            "warning",
            "size_rounded",
            "size",
            was,
            f"This engine does not make {was}: the picture will have {will_be}.",
            [will_be],
        )


def _ignored(request: RenderRequest, capabilities: Capabilities) -> Iterable[Finding]:
    if request.negative_prompt.strip() and "negative_prompt" not in capabilities.features:
        yield Finding(
            "warning",
            "negative_prompt_ignored",
            "negative_prompt",
            None,
            "This engine takes no negative prompt: it will have no effect.",
        )
    if "seed" not in capabilities.features:
        yield Finding(
            "warning",
            "seed_ignored",
            "seed",
            None,
            "This engine takes no seed: the picture cannot be made again.",
        )


def _cut(request: RenderRequest, capabilities: Capabilities) -> Iterable[Finding]:
    """Only where it is sure: Flux, SD3 and others have a second text encoder that reads on."""
    keys = resolve(request.model_name, capabilities.models) if capabilities.cuts_prompts else []
    if len(keys) != 1 or capabilities.models[keys[0]].family not in _OF_CLIP_ALONE:
        return
    texts = {"prompt": request.prompt}
    if "negative_prompt" in capabilities.features:
        texts["negative_prompt"] = request.negative_prompt
    for field, text in texts.items():
        tokens = count_tokens(text)
        if tokens > CLIP_TOKENS:
            yield Finding(
                "warning",
                "prompt_cut",
                field,
                tokens,
                f"This engine reads the first {CLIP_TOKENS} tokens alone; this has about {tokens},"
                " and what stands at its end will have no effect.",
            )


def fit_size(width: int, height: int, sizes: Sizes) -> tuple[int, int]:
    """The size that an engine with these sizes makes for one asked for, in pixels: each side within
    the limits and rounded down to the multiple; of fixed sizes the one of the nearest shape, then
    area."""
    if sizes.fixed:
        shape, area = width / height, width * height

        def distance(size: tuple[int, int]) -> tuple[float, float]:
            theirs, pixels = size[0] / size[1], size[0] * size[1]
            return (max(shape / theirs, theirs / shape), max(area / pixels, pixels / area))

        return (width, height) if (width, height) in sizes.fixed else min(sizes.fixed, key=distance)
    return _fit_side(width, sizes), _fit_side(height, sizes)


def _fit_side(length: int, sizes: Sizes) -> int:
    multiple = max(sizes.multiple, 1)
    lowest = -(-sizes.low // multiple) * multiple
    return max(min(length, sizes.high) // multiple * multiple, lowest)


def fit_seed(seed: int, capabilities: Capabilities) -> int:
    """The seed that an engine is sent for one of ours."""
    return seed if seed <= capabilities.seed_max else seed % (capabilities.seed_max + 1)


def _listed(names: Sequence[str], word: str = "and") -> str:
    quoted = [repr(name) for name in names]
    if len(quoted) < 2:
        return "".join(quoted)
    return f"{', '.join(quoted[:-1])} {word} {quoted[-1]}"

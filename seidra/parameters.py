"""Generation parameters: those that SEIDRA knows, their ranges, and the words that other tools have
for them.

The ranges are the contract's (Personas); the words of other tools are those of A1111, Forge,
SD.Next, Fooocus, SwarmUI, InvokeAI and ComfyUI (engines.md, D.7; formats.md, A and D).
"""

from __future__ import annotations

import dataclasses
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from seidra.errors import Invalid

MAX_SEED = 2**63 - 1
EXACT_SEED = 2**53 - 1
"""The largest seed that a JavaScript number holds; larger ones are answered as text."""
RANDOM_SEED = -1
"""Stands for a new seed each time."""

SCHEDULES = frozenset(
    {"normal", "simple", "karras", "exponential", "sgmuniform", "beta", "ddimuniform"}
)
"""What a `scheduler` beside a `sampler` is when it is another tool's word for a schedule; without
case, blanks and marks."""


@dataclass(frozen=True, slots=True)
class Remark:
    """Something to say about one parameter: `code` for programs, `detail` a sentence for people,
    `limits` the numbers of the rule (min, max)."""

    code: str
    field: str
    detail: str
    limits: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def shown(self) -> dict[str, Any]:
        """As a JSON object: {code, field, detail} and the limits."""
        return {"code": self.code, "field": self.field, "detail": self.detail, **self.limits}


class Understood(NamedTuple):
    """Parameters under SEIDRA's names, what to tell about them, and what is wrong with them; with
    errors nothing may be stored."""

    ours: dict[str, Any]
    warnings: list[Remark]
    errors: list[Remark]


class _Broken(Exception):
    """A value breaks its rule. The text goes on after "Must be"."""

    def __init__(self, rule: str, code: str = "invalid", **limits: Any) -> None:
        super().__init__(rule)
        self.rule = rule
        self.code = code
        self.limits = limits


def _whole(low: int, high: int) -> Callable[[Any], int]:
    def parse(value: Any) -> int:
        # 25.0 is a whole number in JSON too.
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _Broken(f"a whole number from {low} to {high}", "range", min=low, max=high)
        return value

    return parse


def _number(low: float, high: float) -> Callable[[Any], float]:
    def parse(value: Any) -> float:
        fits = isinstance(value, (int, float)) and not isinstance(value, bool)
        # What is no number (NaN) is in no range either.
        if not fits or not low <= value <= high:
            raise _Broken(f"a number from {low} to {high}", "range", min=low, max=high)
        number: float = value
        return number

    return parse


def _seed(value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"-1|[0-9]{1,19}", value.strip()):
        value = int(value)
    # A float beyond 2**53 is not the number that was written.
    if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT_SEED:
        value = int(value)
    fits = isinstance(value, int) and not isinstance(value, bool)
    if not fits or not RANDOM_SEED <= value <= MAX_SEED:
        raise _Broken(
            f"a whole number from 0 to {MAX_SEED} (as text beyond {EXACT_SEED}), or -1 for a new"
            " one each time",
            "range",
            min=RANDOM_SEED,
            max=MAX_SEED,
        )
    return int(value)


def _is_large_seed(value: Any) -> bool:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,40}", value):
        value = int(value)
    return isinstance(value, int) and value > MAX_SEED


def _line(value: Any) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if not 1 <= len(text) <= 200 or re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", text):
        raise _Broken("one line of 1 to 200 characters", "length", min=1, max=200)
    return text


def _quality(value: Any) -> str:
    if value not in ("draft", "standard", "high"):
        raise _Broken("one of: draft, standard, high", "choice", choices="draft, standard, high")
    return str(value)


KNOWN: Mapping[str, Callable[[Any], Any]] = {
    "width": _whole(64, 2048),
    "height": _whole(64, 2048),
    "num_inference_steps": _whole(1, 150),
    "guidance_scale": _number(0, 30),
    "seed": _seed,
    "sampler": _line,
    "schedule": _line,
    "scheduler": _line,
    "quality": _quality,
    "model_name": _line,
    "engine": _line,
}
"""The parameters that SEIDRA knows. Each parser gives the value to store or raises _Broken."""

_ALIASES = {
    "steps": "num_inference_steps",
    "numsteps": "num_inference_steps",
    "inferencesteps": "num_inference_steps",
    "samplingsteps": "num_inference_steps",
    "cfg": "guidance_scale",
    "cfgscale": "guidance_scale",
    "defaultcfgscale": "guidance_scale",
    "noiseseed": "seed",
    "samplername": "sampler",
    "defaultsampler": "sampler",
    "samplemethod": "sampler",
    "scheduletype": "schedule",
    "defaultscheduler": "schedule",
    "model": "model_name",
    "modelname": "model_name",
    "checkpoint": "model_name",
    "ckptname": "model_name",
    "sdmodelcheckpoint": "model_name",
    "sdmodelname": "model_name",
    "basemodel": "model_name",
    "defaultmodel": "model_name",
    "negative": "negative_prompt",
    "negativeprompt": "negative_prompt",
    "uc": "negative_prompt",
    "defaultpromptnegative": "negative_prompt",
    "size": "size",
    "resolution": "size",
    "defaultaspectratio": "size",
}
"""Other tools' words, without case, blanks and marks, and ours for them. `size` is a width and a
height in one text; `negative_prompt` is a field of a persona or request, no parameter."""

_SIZE = re.compile(r"\(?\s*([0-9]{1,5})\s*[x×*,]\s*([0-9]{1,5})\s*\)?", re.IGNORECASE)


def understand(
    params: Mapping[str, Any], recognise: Callable[[str, str | None], str | None]
) -> Understood:
    """Read parameters as people and other tools write them, into SEIDRA's names.

    `recognise` is `seidra.engines.samplers.recognise`: our scheduler for another tool's sampler and
    schedule. What is unknown is kept as it is, and told. Understanding what was understood changes
    nothing. `negative_prompt` may come out among ours: see `take_negative_prompt`.
    """
    reading = _Reading()
    for key, value in params.items():
        if key in KNOWN or key == "negative_prompt":
            reading.take(key, key, value)
    for key, value in params.items():
        if key in KNOWN or key == "negative_prompt":
            continue
        alias = _fold(key)
        name = _ALIASES.get(alias) or next((ours for ours in KNOWN if _fold(ours) == alias), None)
        if name is None:
            reading.ours[key] = value
            reading.warn("unused_parameter", key, f"No engine uses {key!r}; it is kept as it is.")
        elif name == "size":
            reading.take_size(key, value)
        elif name == "seed" and _is_large_seed(value):
            # Such as ComfyUI has them, up to 2**64 - 1.
            reading.ours[key] = str(value)
            reading.warn(
                "seed_large",
                key,
                f"{key!r} is beyond SEIDRA's seeds, which end at {MAX_SEED}; it is kept as it is,"
                " and no engine uses it.",
            )
        else:
            reading.take(key, name, _plain_number(value) if name in _NUMBERS else value)
    _settle_sampler(reading, recognise)
    return Understood(reading.ours, reading.warnings, reading.errors)


_NUMBERS = frozenset({"width", "height", "num_inference_steps", "guidance_scale"})


class _Reading:
    """The parameters read so far, and under which key each was written."""

    def __init__(self) -> None:
        self.ours: dict[str, Any] = {}
        self.written: dict[str, str] = {}
        self.warnings: list[Remark] = []
        self.errors: list[Remark] = []

    def warn(self, code: str, key: str, detail: str) -> None:
        self.warnings.append(Remark(code, key, detail))

    def take(self, key: str, name: str, value: Any) -> None:
        """Take the value that was written under `key` as the one of our parameter `name`."""
        if value is None and (key != name or name == "seed"):
            return  # as if it were not there
        try:
            parsed = _parse(name, value)
        except _Broken as broken:
            self.errors.append(Remark(broken.code, key, f"Must be {broken.rule}.", broken.limits))
            return
        if name not in self.ours:
            self.ours[name] = parsed
            self.written[name] = key
        elif self.ours[name] != parsed:
            self.disagree(key, self.written[name])

    def take_size(self, key: str, value: Any) -> None:
        """Take a text such as 768x512 as width and height."""
        match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
        if match is None:
            # Such as `auto`, or one of a tool's own words.
            self.ours[key] = value
            self.warn("unused_parameter", key, f"No engine uses {key!r}; it is kept as it is.")
            return
        self.take(key, "width", int(match[1]))
        self.take(key, "height", int(match[2]))

    def disagree(self, key: str, other: str) -> None:
        self.errors.append(
            Remark(
                "says_otherwise",
                key,
                f"{key!r} and {other!r} mean the same and have different values; leave one out.",
            )
        )


def _parse(name: str, value: Any) -> Any:
    if name == "negative_prompt":
        if not isinstance(value, str):
            raise _Broken("a text")
        return value
    return KNOWN[name](value)


def _settle_sampler(reading: _Reading, recognise: Callable[[str, str | None], str | None]) -> None:
    """Make `scheduler` of a pair that another tool wrote, where a name of ours is known for it."""
    ours, written = reading.ours, reading.written
    sampler = ours.get("sampler")
    if sampler is None:
        if "schedule" in ours:
            reading.warn(
                "schedule_alone",
                written["schedule"],
                f"{written['schedule']!r} says nothing without a sampler; it is kept as it is.",
            )
        return
    # ComfyUI, SwarmUI and A1111's API call the schedule `scheduler`.
    if _fold(ours.get("scheduler", "")) in SCHEDULES | {"automatic"}:
        schedule = ours.pop("scheduler")
        if ours.setdefault("schedule", schedule) != schedule:
            reading.disagree(written["scheduler"], written["schedule"])
            return
        written.setdefault("schedule", written["scheduler"])
    found = recognise(sampler, ours.get("schedule"))
    if "scheduler" in ours:
        if found == ours["scheduler"]:
            del ours["sampler"]
            ours.pop("schedule", None)
        elif found is not None:
            reading.disagree(written["sampler"], written["scheduler"])
        else:
            reading.warn(
                "unused_parameter",
                written["sampler"],
                f"Engines use {written['scheduler']!r}; {written['sampler']!r} is kept as it is.",
            )
    elif found is not None:
        del ours["sampler"]
        ours.pop("schedule", None)
        ours["scheduler"] = found
    else:
        name = " / ".join([sampler, *([ours["schedule"]] if "schedule" in ours else [])])
        reading.warn(
            "sampler_unknown",
            written["sampler"],
            f"SEIDRA has no name of its own for the sampler {name!r}; it works only with an engine"
            " that has these very names.",
        )


def take_negative_prompt(
    understood: Understood, beside: str | None
) -> tuple[Understood, str | None]:
    """Take a negative prompt that was written among the parameters out of them, to become the field
    `negative_prompt`; `beside` is what that field says already, None or "" for nothing.

    Returns what is left and the negative prompt (`beside` where there is no other). Two that differ
    are an error.
    """
    ours = dict(understood.ours)
    written = ours.pop("negative_prompt", None)
    if written is None or written == beside:
        return understood._replace(ours=ours), beside
    if not beside:
        return understood._replace(ours=ours), written
    error = Remark(
        "says_otherwise",
        "negative_prompt",
        "The negative prompt among the parameters and 'negative_prompt' have different texts;"
        " leave one out.",
    )
    return understood._replace(ours=ours, errors=[*understood.errors, error]), beside


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of SEIDRA's names merged key by key, the last layer first; a seed that is null is
    absent.

    `scheduler` and another tool's `sampler` and `schedule` say the same thing, so that a layer with
    the one takes out the other of the layers below.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        if "scheduler" in layer or "sampler" in layer:
            for name in ("scheduler", "sampler", "schedule"):
                merged.pop(name, None)
        absent = {"seed"} if layer.get("seed") is None else set()
        merged.update({key: value for key, value in layer.items() if key not in absent})
    return merged


def merge_patch(stored: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Stored parameters with a JSON merge patch (RFC 7396): null removes, objects merge."""
    removed = {key for key, value in patch.items() if value is None}
    merged = merge(stored, {key: value for key, value in patch.items() if key not in removed})
    for key, value in patch.items():
        if isinstance(value, Mapping):
            below = stored.get(key)
            merged[key] = merge_patch(below if isinstance(below, Mapping) else {}, value)
    return {key: value for key, value in merged.items() if key not in removed}


def draw_seed() -> int:
    """A new seed for a generation: 31 bits, which every tool can take."""
    return secrets.randbits(31)


def shown_seed(seed: int) -> int | str:
    """A seed as it is answered: as decimal text where a JavaScript number would not hold it."""
    return seed if abs(seed) <= EXACT_SEED else str(seed)


def shown(params: Mapping[str, Any]) -> dict[str, Any]:
    """Stored parameters as they are answered."""
    seed = params.get("seed")
    large = isinstance(seed, int) and not isinstance(seed, bool)
    return {**params, "seed": shown_seed(seed)} if large and seed is not None else dict(params)


def seed_of_picture(seed: int, position: int) -> int:
    """The seed of the picture at that position (from 0) of a job with this seed."""
    return (seed + position) % 2**63


def messages(errors: Iterable[Remark], within: str = "") -> dict[str, list[str]]:
    """Errors as {field: [messages]}, which `seidra.errors.Invalid` takes; `within` goes before each
    field's name."""
    found: dict[str, list[str]] = {}
    for error in errors:
        found.setdefault(within + error.field, []).append(error.detail)
    return found


def codes(errors: Iterable[Remark], within: str = "") -> dict[str, list[dict[str, Any]]]:
    """Errors as {field: [{code, min, max, ...}]}: what a translation needs beside the messages."""
    found: dict[str, list[dict[str, Any]]] = {}
    for error in errors:
        found.setdefault(within + error.field, []).append({"code": error.code, **error.limits})
    return found


def invalid_parameters(errors: Sequence[Remark], within: str) -> Invalid:
    """The 422 for wrong parameters, whose names `within` goes before."""
    return Invalid(messages(errors, within), more={"codes": codes(errors, within)})


def read_seed(value: Any) -> int:
    """A seed as it may be written: a whole number, or its decimal text. Raises ValueError, with a
    sentence, for anything else."""
    try:
        return _seed(value)
    except _Broken as broken:
        raise ValueError(f"Must be {broken.rule}.") from None


def _fold(key: str) -> str:
    """A key without case, blanks and marks: "CFG scale", cfg_scale and cfgScale are one."""
    return re.sub(r"[\W_]", "", key.casefold())


def _plain_number(value: Any) -> Any:
    """The number of a decimal text, as presets of SwarmUI and infotexts have them; anything else as
    it is."""
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,6}(\.[0-9]{1,9})?\s*", value):
        return float(value) if "." in value else int(value)
    return value

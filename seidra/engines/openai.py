"""The engine kind `openai`: OpenAI's image API and the servers that speak it, by dialect.

A picture is one call, whatever the dialect: LocalAI makes n equal pictures of one seed, and a call
that is lost costs one picture. Nothing can be asked after a crash, and nothing is sent twice by
itself: a picture may have been billed though its answer never came. The next attempt says so.

Facts: engines.md, C.4 and D.5, and the types of the `openai` SDK 3.57.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from seidra.engines.base import (
    Capabilities,
    Engine,
    EngineError,
    EngineUnavailable,
    Model,
    Options,
    Picture,
    RenderContext,
    RenderedImage,
    RenderRequest,
    Sizes,
)
from seidra.engines.findings import fit_size
from seidra.engines.received import (
    LARGEST_PICTURE,
    Call,
    ReceivedPicture,
    read_picture,
    sent_picture,
    trouble,
)
from seidra.engines.sdapi.names import plain_text
from seidra.engines.sieve import Sieve
from seidra.engines.wire import Answer, Nonsense, Unreachable, Wire, WireError
from seidra.errors import StartError

__all__ = ["OpenaiEngine"]

_LOOK_S = 5.0
_PROBE_S = 4.0
_LARGEST_ANSWER = LARGEST_PICTURE // 3 * 4 + 1024 * 1024
_STEP_FACTORS = {"draft": 0.5, "standard": 1.0, "high": 1.5}
_MOST_STEPS = 150
_QUALITIES = {"draft": "low", "standard": "medium", "high": "high"}
_STANDARD_SIZES = ((1024, 1024), (1536, 1024), (1024, 1536))
"""What every GPT image model makes, and those before gpt-image-2 make nothing else."""
_SIDE_MULTIPLE = 16
_LONG_SIDE, _SHORT_SIDE, _STEEPEST = 3840, 2160, 3
"""The largest picture, and how many times as long as the other a side may be."""
_SIZES = Sizes(256, _LONG_SIDE, _SIDE_MULTIPLE)


@dataclass(frozen=True, slots=True)
class _Dialect:
    """What a server of this API has beyond OpenAI's, or lacks."""

    features: frozenset[str]
    longest_prompt: int
    billed: bool = False
    """Whether each picture costs money: then one whose answer was lost is asked for once more, and
    one that was answered badly not again."""
    seed_max: int = 2**63 - 1
    quality: bool = False
    negative_by_bar: bool = False
    """`positive|negative` in the prompt: then no other bar may stand in it."""
    asks_for_base64: bool = False
    """`url` is its default; OpenAI's own models refuse the field."""


_DIALECTS = {
    "openai": _Dialect(frozenset({"sizes"}), longest_prompt=32_000, billed=True, quality=True),
    "localai": _Dialect(
        frozenset({"sizes", "negative_prompt", "seed", "steps", "cancel_running"}),
        longest_prompt=48_000,
        seed_max=2**31 - 1,
        negative_by_bar=True,
        asks_for_base64=True,
    ),
}


class OpenaiEngine(Engine):
    """Renders by `POST .../v1/images/generations`. `dialect` is `openai`, the default, or
    `localai`. `extra["sizes"]`, such as `["1024x1024"]`, lists the only ones that the operator's
    models make; `extra["cuts_prompts"]`, for LocalAI, says that its backend is diffusers, which
    reads no more of a prompt than CLIP's window. Raises StartError for another dialect, and for
    anything else there."""

    kind = "openai"

    def __init__(self, name: str = "", options: Options | None = None) -> None:
        super().__init__(name, options)
        dialect = self.options.dialect or "openai"
        if dialect not in _DIALECTS:
            raise StartError(
                f"The engine {self.name} has no dialect {dialect!r}; there is"
                f" {', '.join(sorted(_DIALECTS))}."
            )
        self._dialect = _DIALECTS[dialect]
        # LocalAI does not tell which of its backends makes a picture: the operator does.
        cuts_prompts = self.options.extra.get("cuts_prompts", False)
        if not isinstance(cuts_prompts, bool) or (cuts_prompts and dialect != "localai"):
            raise StartError(
                f"The engine {self.name}: extra.cuts_prompts is true or false, and for the dialect"
                " 'localai' alone."
            )
        self._cuts_prompts = cuts_prompts
        self._wire = Wire(self.options.url, self.options.key)
        path = urlsplit(self.options.url).path.rstrip("/")
        self._root = "" if path.endswith("/v1") else "/v1"

    # ------------------------------------------------------------------------------ what it can

    def probe(self) -> Capabilities:
        """The models that the server lists, where it does, and the operator's. Of a list that names
        image models as such, the others (that write or speak) are left out."""
        wire = self._wire.afresh(connect_s=_PROBE_S, silence_s=_PROBE_S)
        try:
            answer = wire.request("GET", f"{self._root}/models")
            listed = [] if answer.status == 404 else _model_names(_checked(answer).json())
        except WireError as error:
            raise EngineUnavailable(f"The engine {error}.") from error
        except EngineError as error:
            if error.permanent:
                raise
            raise EngineUnavailable(str(error)) from error
        pictures = [name for name in listed if "image" in name.casefold()]
        models = {name: Model(name) for name in pictures or listed}
        for name, setting in self.options.models.items():
            file = str(setting.get("file") or name)
            if not listed or file in listed:
                models[name] = Model(file, setting.get("family"))
        return Capabilities(
            models=models,
            features=self._dialect.features,
            sizes=replace(_SIZES, fixed=self._common_sizes(list(models))),
            seed_max=self._dialect.seed_max,
            cuts_prompts=self._cuts_prompts,
        )

    def _common_sizes(self, models: Sequence[str]) -> Sequence[tuple[int, int]]:
        """The only sizes there are, where every model has the same few."""
        choices = {tuple(self._sizes_of(name)) for name in models}
        return next(iter(choices)) if len(choices) == 1 else ()

    # ------------------------------------------------------------------------------ rendering

    def render(self, request: RenderRequest, context: RenderContext) -> Iterator[RenderedImage]:
        """Render the pictures one after another. Raises EngineError (permanent where the request is
        refused, or was answered badly and billed), EngineUnavailable, and what `context` raises.
        Where an earlier attempt sent something and never heard of it, the first picture carries the
        warning `maybe_billed`; a second lost answer is permanent."""
        lost = bool(context.state.get("sent")) and self._dialect.billed
        wanted = request.wanted()
        for done, picture in enumerate(wanted):
            body, warnings, dropped = self._body(request, picture)
            if lost and not done:
                warnings.append(
                    _warning(
                        "maybe_billed",
                        "engine",
                        "The answer to an earlier attempt was lost; that picture may have been"
                        " billed too.",
                    )
                )
            context.remember(sent=True)
            if not done:
                context.submitting()
            context.report(done / len(wanted))
            told, received = self._picture(body, context, lost_before=lost and not done)
            context.report((done + 1) / len(wanted))
            yield self._rendered(request, picture, body, told, received, warnings, dropped)
            if done + 1 < len(wanted):
                # It is kept: nothing that was sent is open any more.
                context.remember(sent=False)

    def _picture(
        self, body: Mapping[str, Any], context: RenderContext, *, lost_before: bool
    ) -> tuple[Mapping[str, Any], ReceivedPicture]:
        """Make one call, and hang up when the render ends: LocalAI stops then, OpenAI may make the
        picture and bill it all the same."""
        line = self._wire.afresh(silence_s=float(self.options.timeout_s))

        sieve = Sieve(LARGEST_PICTURE)

        def ask() -> Answer:
            path = f"{self._root}/images/generations"
            return line.request("POST", path, json=body, limit=_LARGEST_ANSWER, take=sieve.feed)

        try:
            answer = _call(ask, line, context)
        except WireError as error:
            if isinstance(error, Unreachable) and error.sent:
                raise self._lost(error, again=lost_before) from error
            context.remember(sent=False)
            raise self._spoilt(trouble(error)) from error
        if not answer.ok:
            # No picture was made of it, and none billed.
            context.remember(sent=False)
        _checked(answer)
        try:
            return self._read(answer.json(), sieve, line, context)
        except WireError as error:
            context.remember(sent=False)
            raise self._spoilt(trouble(error)) from error
        except EngineError as error:
            context.remember(sent=False)
            raise self._spoilt(error) from error

    def _read(
        self, value: Any, sieve: Sieve, line: Wire, context: RenderContext
    ) -> tuple[Mapping[str, Any], ReceivedPicture]:
        told = _table(value)
        data = told.get("data")
        entry = _table(data[0]) if isinstance(data, list) and data else {}
        address = entry.get("url")
        if entry.get("b64_json") or not isinstance(address, str):
            return told, read_picture(sent_picture(entry.get("b64_json"), sieve))

        # Wire follows no redirect, and asks no host but the engine's own.
        def fetch() -> Answer:
            return line.request("GET", address, limit=LARGEST_PICTURE)

        fetched = _call(fetch, line, context)
        if not fetched.ok:
            raise EngineError(
                "The engine answered with the address of a picture that is not there.",
                code="nonsense",
            )
        return told, read_picture(fetched.body)

    def _lost(self, error: WireError, *, again: bool) -> EngineError:
        """The failure of a picture that may have been made, and whose answer never came."""
        if not self._dialect.billed:
            return trouble(error)
        return EngineError(
            f"The engine {error}; the picture may have been billed"
            f"{', for the second time' if again else ''}.",
            permanent=again,
            code="engine_lost",
        )

    def _spoilt(self, error: EngineError) -> EngineError:
        """The failure of a picture that was made, and cannot be used: paid for, it is not ordered
        again by itself."""
        if not self._dialect.billed or error.permanent or isinstance(error, EngineUnavailable):
            return error
        return EngineError(str(error), permanent=True, code=error.code)

    def abandon(self, state: Mapping[str, Any]) -> bool:
        """Always true: there is nothing to ask, and whoever made the call has hung up."""
        return True

    # ------------------------------------------------------------------------------ the request

    def _body(
        self, request: RenderRequest, picture: Picture
    ) -> tuple[dict[str, Any], list[dict[str, str]], list[str]]:
        """What is sent for one picture, the warnings about it, and the fields left out. Raises
        EngineError where there is no model to ask for, or the prompt is too long."""
        dialect = self._dialect
        name = request.model_name or self.options.default_model
        model = str(self._setting(name).get("file") or name)
        if not model:
            raise EngineError(
                "This engine needs a model, and none was chosen.",
                permanent=True,
                code="unknown_model",
            )
        warnings: list[dict[str, str]] = []
        dropped: list[str] = []
        prompt, negative = plain_text(request.prompt), plain_text(request.negative_prompt)
        if dialect.negative_by_bar:
            prompt = prompt.replace("|", "/")
            if negative:
                prompt = f"{prompt}|{negative.replace('|', '/')}"
        elif negative:
            dropped.append("negative_prompt")
        if len(prompt) > dialect.longest_prompt:
            raise EngineError(
                f"The prompt has {len(prompt)} characters; this engine takes"
                f" {dialect.longest_prompt}.",
                permanent=True,
                code="prompt_too_long",
            )
        width, height = self._size(name, request.width, request.height)
        body: dict[str, Any] = {
            "model": model,
            "prompt": prompt,
            "n": 1,
            "size": f"{width}x{height}",
        }
        if dialect.quality:
            body["quality"] = _QUALITIES.get(request.quality, "medium")
        if dialect.asks_for_base64:
            body["response_format"] = "b64_json"
        if "steps" in dialect.features:
            factor = _STEP_FACTORS.get(request.quality, 1.0)
            body["step"] = min(max(round(request.steps * factor), 1), _MOST_STEPS)
        else:
            dropped.append("steps")
        if "seed" in dialect.features:
            seed = picture.seed % (dialect.seed_max + 1)
            body["seed"] = seed
            if seed != picture.seed:
                detail = f"The engine takes no seed above {dialect.seed_max}; it got {seed}."
                warnings.append(_warning("seed_reduced", "seed", detail))
        else:
            dropped.append("seed")
        dropped += ["guidance_scale", "scheduler"]
        if request.loras:
            dropped.append("loras")
        if request.images:
            dropped.append("images")
        return body, warnings, dropped

    def _setting(self, model: str) -> Mapping[str, Any]:
        return self.options.models.get(model, {})

    def _sizes_of(self, model: str) -> Sequence[tuple[int, int]]:
        """The only sizes that a model makes; none where it makes any. `model` is SEIDRA's name."""
        given = self.options.extra.get("sizes")
        if isinstance(given, list):
            return [size for text in given if (size := _parsed_size(text))]
        file = str(self._setting(model).get("file") or model)
        return _STANDARD_SIZES if file.startswith("gpt-image-1") else ()

    def _size(self, model: str, width: int, height: int) -> tuple[int, int]:
        fixed = self._sizes_of(model)
        if fixed:
            return fit_size(width, height, Sizes(fixed=fixed))
        if self._dialect.quality:
            return _lawful_size(width, height)
        return fit_size(width, height, _SIZES)

    # ------------------------------------------------------------------------------ the answer

    def _rendered(
        self,
        request: RenderRequest,
        picture: Picture,
        body: Mapping[str, Any],
        told: Mapping[str, Any],
        received: ReceivedPicture,
        warnings: list[dict[str, str]],
        dropped: Sequence[str],
    ) -> RenderedImage:
        if (received.width, received.height) != (request.width, request.height):
            detail = (
                f"The engine made {received.width}x{received.height} of"
                f" {request.width}x{request.height}."
            )
            field = "width" if received.width != request.width else "height"
            warnings.append(_warning("size_changed", field, detail))
        used: dict[str, Any] = {
            "model": body["model"],
            "width": received.width,
            "height": received.height,
        }
        if "step" in body:
            used["steps"] = body["step"]
        quality = told.get("quality") or body.get("quality")
        if isinstance(quality, str):
            used["quality"] = quality
        return RenderedImage(
            received.data,
            received.mime_type,
            received.width,
            received.height,
            {"engine": self.name, "warnings": warnings} if warnings else {"engine": self.name},
            position=picture.position,
            # LocalAI takes the seed and does not tell it; its backends may ignore it.
            seed=body.get("seed"),
            used=used,
            dropped=dropped,
        )


# ------------------------------------------------------------------------------------------- sizes


def _rounded(pixels: int) -> int:
    return max(round(pixels / _SIDE_MULTIPLE), 1) * _SIDE_MULTIPLE


def _lawful_size(width: int, height: int) -> tuple[int, int]:
    """The nearest size that OpenAI's newer models make: multiples of 16, no side more than three
    times the other, 3840x2160 at most either way."""
    long, short = max(width, height), min(width, height)
    short = max(short, math.ceil(long / _STEEPEST))
    scale = min(1.0, _LONG_SIDE / long, _SHORT_SIDE / short)
    long, short = _rounded(round(long * scale)), _rounded(round(short * scale))
    if long > short * _STEEPEST:
        short += _SIDE_MULTIPLE
    return (long, short) if width >= height else (short, long)


def _parsed_size(text: object) -> tuple[int, int] | None:
    width, _, height = str(text).partition("x")
    if width.isdecimal() and height.isdecimal() and int(width) and int(height):
        return int(width), int(height)
    return None


# ------------------------------------------------------------------------------ reading the answer


def _call(ask: Callable[[], Answer], line: Wire, context: RenderContext) -> Answer:
    """The answer to a request, made by a thread of its own and ended when the render is to end.
    Raises WireError, and what `context` raises."""
    call = Call(ask, line.end, context)
    try:
        while not call.wait(_LOOK_S):
            context.raise_if_ended()
        context.raise_if_ended()
        return call.answer()
    finally:
        if not call.over:
            call.end()


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _warning(code: str, field: str, detail: str) -> dict[str, str]:
    return {"code": code, "field": field, "detail": detail}


def _model_names(value: object) -> list[str]:
    data = _table(value).get("data")
    entries = data if isinstance(data, list) else []
    names = [_table(entry).get("id") for entry in entries]
    return [name for name in names if isinstance(name, str) and name]


_REFUSALS = frozenset({"moderation_blocked", "content_policy_violation"})


def _checked(answer: Answer) -> Answer:
    """The answer, where it is a success. Raises EngineError in words that repeat nothing of what
    was sent: a server's own message may hold the prompt."""
    if answer.ok:
        return answer
    status = answer.status
    told: dict[str, Any] = {}
    with contextlib.suppress(Nonsense):
        told = _table(_table(answer.json()).get("error"))
    code = told.get("code") if isinstance(told.get("code"), str) else ""
    if code in _REFUSALS:
        raise EngineError(
            "The provider refused this prompt.", permanent=True, code="prompt_refused"
        )
    if status in (401, 403):
        raise EngineError(
            "The engine does not take the key that SEIDRA has for it.",
            permanent=True,
            code="engine_key",
        )
    if code == "insufficient_quota":
        raise EngineError(
            "The provider's account has no credit left.", permanent=True, code="engine_quota"
        )
    if status == 404:
        raise EngineError(
            "The engine does not know the model, or makes no pictures.",
            permanent=True,
            code="unknown_model",
        )
    if status == 429:
        after = answer.headers.get("retry-after", "")
        wait = f"; it asks to wait {after} seconds" if after.isdecimal() and len(after) < 6 else ""
        raise EngineError(f"The engine has too many requests now{wait}.", code="engine_busy")
    if status < 500:
        param = told.get("param")
        named = isinstance(param, str) and param.isidentifier() and len(param) < 60
        raise EngineError(
            f"The engine does not accept the request{f' ({param})' if named else ''}.",
            permanent=True,
            code="engine_refused",
        )
    raise EngineError(f"The engine failed with the status {status}.")

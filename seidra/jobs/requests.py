"""What a person asks for becomes what an engine is sent: composed with a persona's look, settled on
an engine, and compared with what that engine has.

Nothing here is written; `seidra.jobs.queue` queues the draft.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from seidra import parameters
from seidra.auth.limits import Limits, limits_in_force
from seidra.database.base import Connection, Row
from seidra.database.queries import queries
from seidra.engines import findings, samplers
from seidra.engines.base import Lora, Options, Picture, RenderRequest
from seidra.engines.findings import Finding
from seidra.engines.maps import apply_map
from seidra.engines.setup import AUTO, MOCK, Configured, Setup
from seidra.engines.stored import read_capabilities
from seidra.errors import Invalid
from seidra.folding import is_blank
from seidra.jobs.allowances import find_forbidden, known_models, usual_model
from seidra.parameters import RANDOM_SEED, draw_seed, seed_of_picture
from seidra.prompts import Layer, LoraEntry, compose
from seidra.values import from_json

PREVIEW, GENERATION = "persona_preview", "generation"
"""The types of jobs."""

DEFAULTS: dict[str, Any] = {
    "width": 768,
    "height": 768,
    "num_inference_steps": 25,
    "guidance_scale": 7.5,
    "scheduler": "ddim",
    "quality": "standard",
    "model_name": "sdxl-base",
}
"""What the mock takes where nobody says anything else; a real engine has its own defaults."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a body asks for, with parameters under SEIDRA's names."""

    layer: Layer
    seed: int | None = None
    count: int = 1
    engine: str | None = None
    warnings: Sequence[dict[str, Any]] = ()
    force: bool = False
    images: Mapping[str, str] = field(default_factory=dict)
    """Ids of media items, by the names of a workflow's inputs."""
    is_nsfw: bool = False
    """Whether one of the pictures is."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a persona brings to a job. One that is not saved has neither id nor revision; `seed` is
    what its previews take where nobody says one."""

    id: int | None
    revision: int | None
    name: str
    tags: list[str]
    is_nsfw: bool
    layer: Layer
    seed: int
    owner: Mapping[str, Any] | None = None
    """{id, username} of whose it is, where it is another's."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A job as it would be queued, with the look that it is made with, if any, and the limits in
    force when it was made. `seed_given` is false where the seed was drawn for it."""

    job_type: str
    look: Look | None
    engine: str
    prompt: str
    negative_prompt: str
    loras: list[LoraEntry]
    parameters: dict[str, Any]
    count: int
    seed_given: bool
    warnings: list[dict[str, Any]]
    options: Options
    images: dict[str, str]
    is_nsfw: bool
    limits: Limits
    findings: list[Finding] = field(default_factory=list)

    @property
    def model_name(self) -> str:
        """The model that was chosen; nothing where the engine's default is taken."""
        return str(self.parameters.get("model_name", ""))

    def request(self) -> RenderRequest:
        """What its engine would be sent, the operator's map applied."""
        params, seed = self.parameters, self.parameters["seed"]
        asked = RenderRequest(
            prompt=self.prompt,
            negative_prompt=self.negative_prompt,
            seed=seed,
            width=params.get("width", DEFAULTS["width"]),
            height=params.get("height", DEFAULTS["height"]),
            scheduler=params.get("scheduler") or "",
            model_name=self.model_name,
            loras=[
                Lora(entry["name"], entry.get("weight", 1), entry.get("clip_weight"))
                for entry in self.loras
            ],
            parameters=params,
            # Their names alone are looked at.
            images=dict.fromkeys(self.images, b""),
            pictures=[Picture(k, seed_of_picture(seed, k)) for k in range(self.count)],
        )
        return apply_map(asked, self.options)


class CannotBeMade(Invalid):
    """An engine lacks what a request needs."""

    code = "cannot_be_made"

    def __init__(self, engine: str, found: Sequence[Finding]) -> None:
        errors: dict[str, list[str]] = {}
        for finding in found:
            if finding.level == "error":
                errors.setdefault(finding.field, []).append(finding.detail)
        super().__init__(
            errors, more={"engine": engine, "findings": [finding.shown() for finding in found]}
        )


def read_asked(body: Mapping[str, Any]) -> Asked:
    """What a body of a generation or preview asks for. Raises Invalid for wrong parameters."""
    understood = parameters.understand(body.get("parameters", {}), samplers.recognise)
    understood, negative_prompt = parameters.take_negative_prompt(
        understood, body.get("negative_prompt")
    )
    if understood.errors:
        raise parameters.invalid_parameters(understood.errors, "parameters.")
    ours = dict(understood.ours)
    engine = body.get("engine") or ours.pop("engine", None)
    layer = Layer(body.get("prompt", ""), negative_prompt or "", body.get("loras", ()), ours)
    return Asked(
        layer,
        body.get("seed"),
        body.get("count", 1),
        engine,
        [remark.shown() for remark in understood.warnings],
        body.get("force", False),
        body.get("images", {}),
    )


def with_images(connection: Connection, user_id: int, asked: Asked) -> Asked:
    """The same, once the pictures that it starts from were seen to be the user's own and to be
    seen; what is made of NSFW ones is NSFW. Raises Invalid."""
    errors: dict[str, list[str]] = {}
    is_nsfw = False
    for name, media_id in asked.images.items():
        row = queries.media.get(connection, id=media_id, user_id=user_id)
        if row is None or row["file_type"] != "image":
            errors[f"images.{name}"] = ["Must be one of your own pictures."]
        else:
            is_nsfw = is_nsfw or bool(row["is_nsfw"])
    if errors:
        raise Invalid(errors)
    return replace(asked, is_nsfw=is_nsfw)


def look_of(row: Row, user_id: int) -> Look:
    """What the persona of a row of `personas.get` brings to a job of a user."""
    is_own = row["user_id"] == user_id
    return Look(
        row["id"],
        row["revision"],
        row["name"],
        from_json(row["tags"]),
        bool(row["is_nsfw"]),
        Layer(
            row["style_prompt"],
            row["negative_prompt"],
            from_json(row["loras"]),
            from_json(row["generation_params"]),
        ),
        persona_seed(row["id"]),
        None if is_own else {"id": row["user_id"], "username": row["owner_name"]},
    )


def unsaved_look(values: Mapping[str, Any], persona_id: int | None) -> Look:
    """What a persona brings to a job that has these fields and is not saved; `persona_id` is the
    one that they change, whose seed it takes, so that what differs is the look alone."""
    layer = Layer(
        values["style_prompt"],
        values["negative_prompt"],
        values["loras"],
        values["generation_params"],
    )
    seed = persona_seed(persona_id or 0)
    return Look(None, None, values["name"], values["tags"], values["is_nsfw"], layer, seed)


def named_look(connection: Connection, user_id: int, persona_id: int | None) -> Look | None:
    """What the persona that a body names brings to a job; None where it names none. Raises
    Invalid where it is neither the user's own nor shared, or not to be seen."""
    if persona_id is None:
        return None
    row = queries.personas.get(connection, whose="seen", id=persona_id, user_id=user_id)
    if row is None:
        raise Invalid({"persona_id": ["Must be one of your own personas, or a shared one."]})
    return look_of(row, user_id)


def draft_job(
    connection: Connection,
    user_id: int,
    setup: Setup,
    asked: Asked,
    look: Look | None,
    job_type: str,
) -> Draft:
    """The job that a request of a user makes, on the engine that it, else the persona, else the
    instance names; `auto` is the least busy of those that can and that the user may use. Raises
    Invalid, also for an engine that is not there."""
    limits = limits_in_force(connection, user_id)
    wanted, warnings = _wanted_engine(setup, asked, look, limits)
    drafts = []
    for name in _least_busy(connection, setup, limits) if wanted == AUTO else [wanted]:
        defaults = _defaults_of(connection, setup, name, limits)
        draft = _compose_draft(
            asked, look, name, setup.engines[name], job_type, warnings, defaults, limits
        )
        draft.findings.extend(_check_draft(connection, draft))
        if not findings.has_errors(draft.findings):
            return draft
        drafts.append(draft)
    return drafts[0]


def usable_engines(setup: Setup, limits: Limits) -> list[str]:
    """The engines that an account may use."""
    return [name for name in setup.engines if limits.engines is None or name in limits.engines]


def usual_engine(setup: Setup, limits: Limits) -> str:
    """The engine where nobody names one: the instance's default, or `auto` for who may not use
    that."""
    usable = usable_engines(setup, limits)
    return AUTO if usable and setup.default not in (*usable, AUTO) else setup.default


def _wanted_engine(
    setup: Setup, asked: Asked, look: Look | None, limits: Limits
) -> tuple[str, list[dict[str, Any]]]:
    known = (*setup.engines, AUTO)
    if asked.engine is not None:
        if asked.engine not in known:
            raise Invalid({"engine": [f"Must be one of: {', '.join(known)}."]})
        return asked.engine, []
    chosen = look.layer.parameters.get("engine") if look else None
    usual = usual_engine(setup, limits)
    if chosen is None or chosen in known:
        return chosen or usual, []
    # Stored when there was such an engine; the persona stays of use without it.
    detail = f"There is no engine {chosen!r} any more; {usual!r} was taken."
    return usual, [{"code": "engine_unknown", "field": "engine", "detail": detail}]


def _least_busy(connection: Connection, setup: Setup, limits: Limits) -> list[str]:
    """The engines that `auto` may choose, the least busy first; drawn pictures only where there is
    nothing else, and what an account may not use only where it may use nothing, to be refused."""
    usable = usable_engines(setup, limits) or list(setup.engines)
    load = {
        row["engine"]: row["waiting"] + row["running"] for row in queries.engines.load(connection)
    }
    real = [name for name in usable if setup.engines[name].kind != MOCK]
    return sorted(
        real or usable,
        key=lambda name: load.get(name, 0) / setup.engines[name].options.at_once,
    )


def _defaults_of(
    connection: Connection, setup: Setup, engine: str, limits: Limits
) -> dict[str, Any] | None:
    """What an engine is sent where nobody says anything else, and it would not choose itself."""
    configured = setup.engines[engine]
    defaults = DEFAULTS if configured.kind == MOCK else None
    if limits.models is None:
        return defaults
    usual = usual_model(limits, configured.options, known_models(connection, engine))
    return {**(defaults or {}), **({"model_name": usual} if usual else {})}


def _compose_draft(
    asked: Asked,
    look: Look | None,
    engine: str,
    configured: Configured,
    job_type: str,
    warnings: Sequence[dict[str, Any]],
    defaults: dict[str, Any] | None,
    limits: Limits,
) -> Draft:
    composed = compose(look.layer if look else None, asked.layer, defaults)
    if is_blank(composed.prompt) and is_blank(composed.negative_prompt):
        raise Invalid({"prompt": ["Must not be blank."]})
    chosen = {name: value for name, value in composed.parameters.items() if name != "engine"}
    seed = chosen.get("seed") if asked.seed is None else asked.seed
    if seed is None and look is not None and job_type == PREVIEW:
        seed = look.seed
    given = seed is not None and seed != RANDOM_SEED
    return Draft(
        job_type,
        look,
        engine,
        composed.prompt,
        composed.negative_prompt,
        composed.loras,
        chosen | {"seed": seed if given else draw_seed()},
        asked.count,
        given,
        [*warnings, *asked.warnings, *(warned._asdict() for warned in composed.warnings)],
        configured.options,
        dict(asked.images),
        asked.is_nsfw or (look is not None and look.is_nsfw),
        limits,
    )


def persona_seed(persona_id: int) -> int:
    """The seed of a preview of a persona that has none: always the same. 0 to 2**53-1."""
    digest = hashlib.sha256(f"persona {persona_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 11


def _check_draft(connection: Connection, draft: Draft) -> list[Finding]:
    """What of a draft its owner may not use, and what its engine, as it was last seen, lacks for it
    or does otherwise; nothing of that where it was never seen."""
    row = queries.engines.get(connection, name=draft.engine)
    seen = from_json(row["capabilities"]) if row is not None else {}
    can = read_capabilities(seen)
    forbidden = find_forbidden(draft.limits, draft.engine, draft.model_name, can.models)
    return [*forbidden, *(findings.check(draft.request(), can) if seen else [])]

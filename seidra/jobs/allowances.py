"""What an account may have made, and where: the engines and models that an administrator lets it
use, and the minutes that it has of them in a day.

Asked when a job is queued, in the owner's transaction, and again when a worker claims it: what is
changed holds at once, for what waits too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from seidra.auth.limits import WHO_CHANGES, Limits, limits_in_force
from seidra.auth.usage import end_of_day, usage_today
from seidra.database.base import Connection, Row
from seidra.database.queries import queries
from seidra.engines.base import Capabilities, Model, Options
from seidra.engines.findings import Finding, resolve
from seidra.engines.stored import read_capabilities
from seidra.errors import Forbidden, Mistake, Problem
from seidra.values import from_json, timestamp

FIRST_ESTIMATE = 0.3
"""Seconds that a picture is said to take before the first one has been measured."""

ENGINE, MODEL, MINUTES = "engine_not_allowed", "model_not_allowed", "engine_minutes_used"


class Refusal(NamedTuple):
    """Why a job is not made, as it is kept with it."""

    code: str
    sentence: str


class EngineMinutesUsed(Problem):
    """429: the account has had its minutes of the day."""

    status, code = 429, MINUTES

    def __init__(self, limit: int, used: float) -> None:
        until = end_of_day()
        super().__init__(
            _minutes_sentence(limit, used),
            headers={
                "Retry-After": str(max(math.ceil((until - datetime.now(UTC)).total_seconds()), 1))
            },
            more={"limit": limit, "used": int(used // 60), "until": timestamp(until)},
        )


def _minutes_sentence(limit: int, used: float) -> str:
    until = timestamp(end_of_day())
    return (
        f"This account may use {limit} engine minutes a day: {int(used // 60)} are used, and what"
        f" it has waiting or running takes the rest. There are new ones from {until} on."
        f" {WHO_CHANGES}"
    )


def known_models(connection: Connection, engine: str) -> Mapping[str, Model]:
    """The models of an engine, as it was last seen."""
    return _seen(connection, engine).models


def _seen(connection: Connection, engine: str) -> Capabilities:
    row = queries.engines.get(connection, name=engine)
    return read_capabilities(from_json(row["capabilities"]) if row else {})


def usual_model(limits: Limits, options: Options, models: Mapping[str, Model]) -> str | None:
    """The model that is taken where nobody chooses one: with a list of models the operator's
    default if it is there, else the first that the engine has. None: the engine's own default."""
    if not limits.models:
        return None
    if options.default_model in limits.models:
        return options.default_model
    return next((name for name in limits.models if name in models), limits.models[0])


def find_forbidden(
    limits: Limits, engine: str, model_name: str, models: Mapping[str, Model]
) -> list[Finding]:
    """What an account may not use of these: an engine, and a model by whatever name the engine
    knows it."""
    found = []
    if limits.engines is not None and engine not in limits.engines:
        sentence = f"This account may not use the engine {engine!r}. {WHO_CHANGES}"
        found.append(Finding("error", ENGINE, "engine", engine, sentence, limits.engines))
    if limits.models is not None:
        # As the engine will look it up: `find` prefers the very name, and may find several.
        keys = resolve(model_name, models) or [model_name]
        if not all(key in limits.models for key in keys):
            what = f"the model {model_name!r}" if model_name else "an engine's own default model"
            sentence = f"This account may not use {what}. {WHO_CHANGES}"
            found.append(
                Finding("error", MODEL, "model_name", model_name, sentence, limits.models[:10])
            )
    return found


def check_allowed(
    connection: Connection, user_id: int, limits: Limits, engine: str, model_name: str
) -> None:
    """Raise Forbidden for an engine or a model that an account with these limits may not use,
    naming the field, and EngineMinutesUsed where what it has queued needs all that it has left of
    today's minutes. The last job may take longer than that."""
    models = known_models(connection, engine) if limits.models is not None else {}
    for finding in find_forbidden(limits, engine, model_name, models):
        raise Forbidden(
            finding.detail,
            code=finding.code,
            errors={finding.field: [Mistake(finding.detail, finding.code)]},
        )
    if limits.engine_minutes_a_day is not None:
        used = usage_today(connection, user_id)["engine_seconds"]
        promised = queries.usage.promised(
            connection, which="all", user_id=user_id, id=None, first=FIRST_ESTIMATE
        )
        if used + promised >= limits.engine_minutes_a_day * 60:
            raise EngineMinutesUsed(limits.engine_minutes_a_day, used)


def refusal(tx: Connection, job: Row) -> Refusal | None:
    """Why a claimed job is not made: its account may not use its engine or model by now, or has had
    its minutes of today."""
    limits = limits_in_force(tx, job["user_id"])
    models = known_models(tx, job["engine"]) if limits.models is not None else {}
    for finding in find_forbidden(limits, job["engine"], job["model_name"], models):
        return Refusal(finding.code, finding.detail)
    if limits.engine_minutes_a_day is not None:
        used = usage_today(tx, job["user_id"])["engine_seconds"]
        held = queries.usage.promised(
            tx, which="held", user_id=job["user_id"], id=job["id"], first=FIRST_ESTIMATE
        )
        if used + held >= limits.engine_minutes_a_day * 60:
            return Refusal(MINUTES, _minutes_sentence(limits.engine_minutes_a_day, used))
    return None

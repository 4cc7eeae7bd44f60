"""Every failure as an answer of one shape: application/problem+json (RFC 9457), also for tokens and
unknown paths."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from itertools import islice
from typing import Any

import orjson
from flask import Flask, Response, has_request_context, request
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException, InternalServerError

from seidra.database.base import Database
from seidra.errors import STATUS_CODES, Errors, Invalid, Mistake, Problem

MAX_MISTAKES = 20
"""How many mistakes of a request are told: an answer must not grow with what was sent."""

_MAX_NAME = 200
"""How much of a field's name is told, which is the client's own."""


def flatten_messages(messages: Any) -> dict[str, list[str]]:
    """marshmallow's nested messages as {dotted field: [messages]}, the first twenty of them; list
    positions are part of the name."""
    flat: dict[str, list[str]] = {}
    for field, sentence in islice(_single_messages(messages, ""), MAX_MISTAKES):
        flat.setdefault(field, []).append(sentence)
    return flat


def _single_messages(messages: Any, prefix: str) -> Iterator[tuple[str, str]]:
    if isinstance(messages, dict):
        for key, value in messages.items():
            yield from _single_messages(value, _field_name(prefix, key))
    else:
        for sentence in messages if isinstance(messages, list) else [messages]:
            yield prefix, sentence if isinstance(sentence, str) else str(sentence)


def _field_name(prefix: str, key: Any) -> str:
    # A field's name is the client's, and may be what no UTF-8 answer can hold.
    name = str(key)[:_MAX_NAME].encode("utf-8", "backslashreplace").decode()[:_MAX_NAME]
    # A Dict field reports below "key" and "value"; people know the entry by its name.
    if name in ("_schema", "value", "key") and prefix:
        return prefix
    name = "body" if name == "_schema" else name
    return f"{prefix}.{name}" if prefix else name


def problem_response(
    status: int, detail: str, errors: Errors | None = None, *, code: str | None = None, **more: Any
) -> Response:
    """The problem+json answer for a status; `detail` is a sentence for people, `code` a word for
    programs (by default the status's), `more` further members."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code or STATUS_CODES.get(status, "failed"),
        "detail": detail,
    }
    if errors:
        body["errors"] = errors
        body["codes"] = {
            field: [_mistake_code(sentence) for sentence in sentences]
            for field, sentences in errors.items()
        }
    body.update(more)
    if has_request_context():
        body["request_id"] = request.environ.get("seidra.request_id")
    return Response(orjson.dumps(body), status, content_type="application/problem+json")


def _mistake_code(sentence: str) -> dict[str, Any]:
    """What a program needs of a mistake: {code, min, max, ...}."""
    if isinstance(sentence, Mistake):
        return {"code": sentence.code, **sentence.bounds}
    return {"code": _MARSHMALLOW_CODES.get(sentence, "invalid")}


def problem_of(error: Problem) -> Response:
    """The answer for a Problem."""
    response = problem_response(
        error.status, error.detail, error.errors, code=error.code, **error.more
    )
    response.headers.update(error.headers)
    return response


def _validation_problem(error: ValidationError) -> Response:
    return problem_of(Invalid(flatten_messages(error.messages)))


_MARSHMALLOW_CODES = {
    "Missing data for required field.": "required",
    "Unknown field.": "unknown",
    "Field may not be null.": "null",
    "Not a valid string.": "type",
    "Not a valid list.": "type",
    "Not a valid mapping type.": "type",
    "Invalid input type.": "type",
    "Not a valid UUID.": "type",
}
"""The codes of what marshmallow says by itself."""

_DETAILS = {
    400: "The request is malformed.",
    404: "There is no such page.",
    405: "This path does not know that method.",
    413: "The request body is too large.",
    415: "The body must be JSON, sent as application/json.",
}


def http_problem(error: HTTPException) -> Response:
    """What Flask and Werkzeug raise by themselves, in the same shape."""
    if error.code is None or error.code < 400:
        return Response(error.get_body(), error.code or 500, error.get_headers())
    response = problem_response(
        error.code, _DETAILS.get(error.code, error.description or error.name)
    )
    for name, value in error.get_headers():
        if name not in ("Content-Type", "Content-Length"):
            response.headers[name] = value
    return response


def _unexpected_failure(_: InternalServerError) -> Response:
    """A 500 says nothing of its cause to the client; Flask's log says everything."""
    return problem_response(
        500, "Something went wrong on the server; the log has it under this request_id."
    )


def answer_failures(app: Flask, database: Database) -> None:
    """Make every failure of `app` a problem+json answer."""

    def database_failure(error: Exception) -> Response:
        # What a transaction translates for writes, for the reads outside of one.
        translated = database.translate(error)
        if not isinstance(translated, Problem):
            raise translated
        return problem_of(translated)

    app.register_error_handler(Problem, problem_of)
    app.register_error_handler(ValidationError, _validation_problem)
    app.register_error_handler(HTTPException, http_problem)
    app.register_error_handler(database.errors, database_failure)
    # Not of Exception: Flask logs and signals only what nobody handles.
    app.register_error_handler(InternalServerError, _unexpected_failure)

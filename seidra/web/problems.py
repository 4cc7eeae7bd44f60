"""Every failure as an answer of one shape: application/problem+json (RFC 9457), also for tokens and
unknown paths."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson
from flask import Flask, Response, has_request_context, request
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException, InternalServerError

from seidra.database.base import Database
from seidra.errors import Errors, Invalid, Problem


def flatten_messages(messages: Any, prefix: str = "") -> dict[str, list[str]]:
    """marshmallow's nested messages as {dotted field: [messages]}; list positions are part of the
    name."""
    if isinstance(messages, dict):
        flat: dict[str, list[str]] = {}
        for key, value in messages.items():
            # A field's name is the client's, and may be what no UTF-8 answer can hold.
            key = str(key).encode("utf-8", "backslashreplace").decode()
            # A Dict field reports below "key" and "value"; people know the entry by its name.
            name = (
                prefix
                if key in ("_schema", "value", "key") and prefix
                else f"{prefix}.{key}"
                if prefix
                else key
            )
            for field, texts in flatten_messages(
                value, "body" if name == "_schema" else name
            ).items():
                flat.setdefault(field, []).extend(texts)
        return flat
    return {
        prefix: [str(text) for text in (messages if isinstance(messages, list) else [messages])]
    }


def problem_response(
    status: int, detail: str, errors: Errors | None = None, **more: Any
) -> Response:
    """The problem+json answer for a status; `detail` is a sentence for people, `more` further
    members."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors:
        body["errors"] = errors
    body.update(more)
    if has_request_context():
        body["request_id"] = request.environ.get("seidra.request_id")
    return Response(orjson.dumps(body), status, content_type="application/problem+json")


def problem_of(error: Problem) -> Response:
    """The answer for a Problem."""
    code = {"code": error.code} if error.code else {}
    response = problem_response(error.status, error.detail, error.errors, **code, **error.more)
    response.headers.update(error.headers)
    return response


def _validation_problem(error: ValidationError) -> Response:
    return problem_of(Invalid(flatten_messages(error.messages)))


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

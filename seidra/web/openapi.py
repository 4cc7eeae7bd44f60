"""The OpenAPI 3.1 document: flask-smorest makes it from the schemas that validate; this adds what
all routes share."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from importlib.metadata import version
from pathlib import Path
from typing import Any

import flask_smorest
import flask_swagger_ui
import orjson
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from flask import Flask, Response, send_from_directory
from marshmallow import Schema, fields

from seidra.web.problems import http_problem


class ProblemSchema(Schema):
    """A failure (RFC 9457)."""

    type = fields.String()
    title = fields.String()
    status = fields.Integer()
    code = fields.String(metadata={"description": "A stable word for programs."})
    detail = fields.String(metadata={"description": "A sentence for people."})
    errors = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={"description": "{field: [messages]}, twenty messages at most"},
    )
    codes = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.Dict()),
        metadata={"description": "{field: [{code, min, max, ...}]}, one for each message"},
    )
    limit = fields.Integer(metadata={"description": "Of a quota or a size: the most there may be."})
    used = fields.Integer(metadata={"description": "Of a quota: what there is."})
    until = fields.DateTime(metadata={"description": "Of minutes that are used up: until when."})
    entries = fields.List(
        fields.Integer(), metadata={"description": "Of an import: which entries, twenty at most."}
    )
    request_id = fields.String(allow_none=True)


class Api(flask_smorest.Api):  # type: ignore[misc]
    """flask-smorest with SEIDRA's failures. The document is written when it is first asked for, for
    that is half of what it costs to make the application, and served as bytes that are made
    once."""

    ERROR_SCHEMA = ProblemSchema
    DEFAULT_ERROR_RESPONSE_NAME = None

    def __init__(self, app: Flask, **kwargs: Any) -> None:
        self._undocumented: list[flask_smorest.Blueprint] = []
        self._writing = threading.RLock()
        super().__init__(app, **kwargs)

    @property
    def spec(self) -> Any:
        """The document, with all blueprints that were registered."""
        with self._writing:
            blueprints, self._undocumented = self._undocumented, []
            if blueprints:
                super()._register_responses()
            for blueprint in blueprints:
                name = blueprint.name
                blueprint.register_views_in_doc(
                    self, self._app, self._spec, name=name, parameters=None
                )
                self._spec.tag({"name": name, "description": blueprint.description})
            if blueprints:
                _complete_document(self._app, self._spec)
        return self._spec

    @spec.setter
    def spec(self, spec: Any) -> None:
        self._spec = spec

    def _register_responses(self) -> None:
        """Nothing yet: a response for each status is made when the document is written."""

    def register_blueprint(self, blp: flask_smorest.Blueprint) -> None:
        """Register the routes of a blueprint; all blueprints before the document is asked for."""
        self._app.extensions["flask-smorest"]["blp_name_to_api"][blp.name] = self
        self._app.register_blueprint(blp)
        self._undocumented.append(blp)

    def handle_http_exception(self, error: Any) -> Response:
        return http_problem(error)

    def _openapi_json(self) -> Response:
        if not hasattr(self, "_document"):
            self._document = orjson.dumps(self.spec.to_dict())
        return Response(self._document, content_type="application/json")

    def _openapi_swagger_ui(self) -> Response:
        page = super()._openapi_swagger_ui()
        return Response(
            page, headers={"Content-Security-Policy": _page_policy(page)}, mimetype="text/html"
        )


def _page_policy(page: str) -> str:
    """What the documentation page may load: our files, and the scripts that stand in the page
    itself, by hash."""
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    hashes = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts
    ]
    allowed = "".join(f" 'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src 'self'{allowed}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


_VERSION = version("seidra")
_SWAGGER_UI = Path(flask_swagger_ui.__file__).parent / "dist"

_DESCRIPTION = """The backend of a self-hosted AI image studio: personas, previews, jobs and media.

Send `Authorization: Bearer <access token>`. Failures are `application/problem+json` (RFC 9457).
Lists take `limit` and `offset` and answer `X-Total-Count` and `Link`. Times are ISO-8601 UTC with
microseconds."""

_PROBLEMS = {
    400: "The body is not well-formed JSON.",
    401: "No live token.",
    403: "Not allowed.",
    404: "It does not exist, or is another user's.",
    409: "It does not fit the present state.",
    412: "It has changed since it was read.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "Fields break their rules.",
    429: "Too many.",
    501: "Not offered.",
    503: "The database is busy.",
}


class _BodyConverter(OpenAPIConverter):
    """apispec's, which also says of a body that it must have one of some fields, or that the value
    of one may stand for it."""

    def schema2jsonschema(self, schema: Any) -> Any:
        found = super().schema2jsonschema(schema)  # type: ignore[no-untyped-call]
        if names := getattr(schema, "ONE_OF", ()):
            found["anyOf"] = [{"required": [name]} for name in names]
        if bare := getattr(schema, "BARE", None):
            found = {"anyOf": [found, found["properties"][bare]]}
        return found


class _Marshmallow(MarshmallowPlugin):
    Converter = _BodyConverter


def make_api(app: Flask, base_path: str) -> Api:
    """The Api that blueprints are registered with; the document is at /api/openapi.json, its page
    at /api/docs, both below `base_path`, which is "" or such as /seidra."""
    app.config.update(
        API_TITLE="SEIDRA",
        API_VERSION=_VERSION,
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/api",
        OPENAPI_SWAGGER_UI_PATH="/docs",
        OPENAPI_SWAGGER_UI_URL=f"{base_path}/api/docs/files/",
        # A token once given is there again after a reload.
        OPENAPI_SWAGGER_UI_CONFIG={"persistAuthorization": True},
        API_SPEC_OPTIONS={
            "info": {"description": _DESCRIPTION, "license": {"name": "MIT", "identifier": "MIT"}},
            "servers": [{"url": base_path or "/"}],
            "components": {
                "securitySchemes": {
                    "access": {
                        "type": "http",
                        "scheme": "bearer",
                        "description": "The access token.",
                    },
                    "refresh": {
                        "type": "http",
                        "scheme": "bearer",
                        "description": "The refresh token.",
                    },
                    "ticket": {
                        "type": "apiKey",
                        "in": "query",
                        "name": "ticket",
                        "description": "For streams alone.",
                    },
                }
            },
        },
    )
    api = Api(app, spec_kwargs={"marshmallow_plugin": _Marshmallow()})
    api.spec.components.response(
        "PROBLEM",
        {
            "description": "A failure.",
            "content": {"application/problem+json": {"schema": ProblemSchema}},
        },
    )

    @app.get("/api/docs/files/<path:name>")
    def docs_file(name: str) -> Response:
        return send_from_directory(_SWAGGER_UI, name, max_age=86_400)

    return api


def _complete_document(app: Flask, spec: Any) -> None:
    """Say of every operation what the guards and parsers around it do: its security, its failures,
    its headers."""
    for rule in app.url_map.iter_rules():
        operations = spec._paths.get(re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule), {})
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            operation = operations.get(method.lower())
            if operation is not None:
                view = app.view_functions[rule.endpoint]
                _complete_operation(operation, view, "<" in rule.rule, method == "PATCH")


def _allow_empty(parameter: dict[str, Any]) -> None:
    """Say of a query parameter that an empty one is as one that is not there."""
    schema = parameter["schema"]
    if schema.get("type") == "array":
        schema["items"] = {"anyOf": [schema["items"], _EMPTY]}
    else:
        parameter["schema"] = {"anyOf": [schema, _EMPTY]}


_EMPTY = {"type": "string", "maxLength": 0}


_REPEATS = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same request again under the same key, within a day, makes nothing more.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,64}$"},
}


def _complete_operation(operation: dict[str, Any], view: Any, has_id: bool, merges: bool) -> None:
    body = operation.get("requestBody")
    for parameter in operation.get("parameters", []):
        if isinstance(parameter, dict) and parameter.get("in") == "query":
            _allow_empty(parameter)
    statuses = {429, 503}
    if getattr(view, "login_required", False):
        operation["security"] = [{"access": []}]
        statuses.add(401)
    else:
        operation.setdefault("security", [])
    if any(operation["security"]):
        statuses.add(401)
    if getattr(view, "admin_required", False):
        statuses.add(403)
    if has_id:
        statuses.add(404)
    if getattr(view, "repeatable", False):
        operation.setdefault("parameters", []).append(_REPEATS)
        statuses |= {404, 409}
    if body is not None or operation.get("parameters"):
        statuses.add(422)
    if body is not None:
        statuses |= {400, 413, 415}
        if merges:
            content = body["content"]
            content["application/merge-patch+json"] = content["application/json"]
    responses = operation.setdefault("responses", {})
    responses.pop("422", None)
    for status in sorted(statuses | {int(code) for code in responses if int(code) in _PROBLEMS}):
        responses[str(status)] = {
            "description": _PROBLEMS[status],
            "content": {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            },
        }

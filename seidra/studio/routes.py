"""The page of the studio, at each of its paths, and the files that it is made of.

It needs no login to be served: what it shows comes from the API, which asks for one.
"""

from __future__ import annotations

from flask import Flask, Response, redirect, request
from werkzeug import exceptions
from werkzeug.wrappers import Response as WerkzeugResponse

from seidra.config import Settings
from seidra.errors import NotFound
from seidra.studio.files import StaticFile, read_studio
from seidra.web.compress import MIN_BYTES
from seidra.web.problems import http_problem
from seidra.web.services import services_of

PATHS = (
    "/",
    "/setup",
    "/login",
    "/register",
    "/password",
    "/join",
    "/personas",
    "/personas/<name>",
    "/create",
    "/gallery",
    "/gallery/<name>",
    "/collections",
    "/collections/<name>",
    "/transfer",
    "/jobs",
    "/tags",
    "/trash",
    "/settings",
    "/admin",
    "/admin/users",
    "/admin/groups",
    "/admin/usage",
    "/admin/instance",
)
"""Where the page answers; which of its pages that is, the page itself finds out."""


def page_policy(bucket: str | None) -> str:
    """What the page may load: also from the web origin of a bucket that links lead to."""
    images, calls = "'self' blob: data:", "'self'"
    if bucket is not None:
        images, calls = f"{images} {bucket}", f"{calls} {bucket}"
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src {images}; "
        f"connect-src {calls}; require-trusted-types-for 'script'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    )


POLICY = page_policy(None)
"""The same without a bucket. A 304 carries it too: a browser takes the policy of the answer it got
last."""

_FOREVER = "public, max-age=31536000, immutable"


def serve_studio(app: Flask, settings: Settings) -> None:
    """Answer the paths of the studio, `/favicon.ico`, and `/docs`, which leads to the
    documentation; and a browser that asks for another path, with the page that says so."""
    studio = read_studio(settings.base_path)
    policy = page_policy(services_of(app).files.origin)
    common = {"Cache-Control": "no-cache", "Content-Security-Policy": policy}

    def answer_page(name: str = "") -> Response:
        headers = common | {"ETag": studio.etag, "Vary": "Accept-Encoding"}
        if studio.etag.strip('"') in request.if_none_match:
            return Response(status=304, headers=headers)
        return _file_answer(studio.page, headers)

    def answer_missing(error: exceptions.NotFound) -> Response:
        if not _is_page_wanted():
            return http_problem(error)
        # No ETag: it would be that of the pages that exist, and a 304 has no 404 in it.
        answer = _file_answer(studio.page, common | {"Vary": "Accept, Accept-Encoding"})
        answer.status_code = 404
        return answer

    def answer_file(digest: str, name: str) -> Response:
        file = studio.files.get(name)
        if file is None or digest != studio.digest:
            raise NotFound("file")
        return _file_answer(file, {"Cache-Control": _FOREVER, "Vary": "Accept-Encoding"})

    def answer_icon() -> Response:
        return _file_answer(studio.files["icon.svg"], {"Cache-Control": "public, max-age=86400"})

    for path in PATHS:
        app.add_url_rule(path, "studio", answer_page)
    app.add_url_rule("/studio/<digest>/<path:name>", "studio_file", answer_file)
    app.add_url_rule("/favicon.ico", "icon", answer_icon)
    app.add_url_rule("/docs", "lead_to_docs", lead_to_docs)
    app.register_error_handler(exceptions.NotFound, answer_missing)


def lead_to_docs() -> WerkzeugResponse:
    """Where the documentation is: seen from here, so that it is right below a path too."""
    return redirect(f"{'../' * (request.path.count('/') - 1)}api/docs")


def _is_page_wanted() -> bool:
    """Whether somebody opened an address that nothing has: programs ask for anything, or for JSON,
    and below `/api` and `/studio` there are no pages."""
    accepted = request.accept_mimetypes
    return (
        request.url_rule is None
        and request.path.split("/")[1] not in ("api", "studio")
        and accepted["text/html"] > accepted["application/problem+json"]
    )


def _file_answer(file: StaticFile, headers: dict[str, str]) -> Response:
    if len(file.plain) >= MIN_BYTES and request.accept_encodings["gzip"]:
        headers = headers | {"Content-Encoding": "gzip"}
        return Response(file.compressed, headers=headers, content_type=file.content_type)
    return Response(file.plain, headers=headers, content_type=file.content_type)

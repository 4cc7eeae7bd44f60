"""What Flask promises to whoever writes a route holds in SEIDRA's app too."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flask
import pytest
from conftest import Person
from flask import Flask, Response, abort, after_this_request, g, request, send_file, session
from flask.signals import got_request_exception, request_finished
from marshmallow import fields
from stored import open_rows

from seidra.database.queries import queries
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.errors import NotFound
from seidra.web.answers import reply
from seidra.web.blueprint import Blueprint
from seidra.web.fields import Body
from seidra.web.services import services, services_of

Make = Callable[..., Flask]


@pytest.fixture(params=[flask.Blueprint, Blueprint], ids=["flask's", "ours"])
def blp(request: pytest.FixtureRequest) -> Any:
    """A blueprint below /new, to be registered when it has its routes."""
    return request.param("new", __name__, url_prefix="/new")


def test_a_blueprints_hooks_run(app: Flask, blp: Any) -> None:
    told: list[str] = []

    @blp.before_request
    def before() -> None:
        told.append("before")

    @blp.route("/thing", methods=["GET"])
    def thing() -> Response:
        told.append("view")
        return reply({"a": 1})

    @blp.after_request
    def after(response: Response) -> Response:
        told.append("after")
        return response

    @blp.teardown_request
    def teardown(error: BaseException | None) -> None:
        told.append("teardown")

    app.register_blueprint(blp)
    assert app.test_client().get("/new/thing").get_json() == {"a": 1}
    assert told == ["before", "view", "after", "teardown"]
    assert app.test_client().get("/api/health").status_code == 200
    assert len(told) == 4


def test_a_blueprints_hook_may_answer_itself(app: Flask, blp: Any) -> None:
    blp.before_request(lambda: ("closed today", 403))
    blp.add_url_rule("/thing", view_func=lambda: "open", endpoint="thing")
    app.register_blueprint(blp)
    answer = app.test_client().get("/new/thing")
    assert (answer.status_code, answer.text) == (403, "closed today")


def test_a_blueprints_error_handlers_run(app: Flask, blp: Any) -> None:
    class Odd(Exception):
        pass

    @blp.route("/<kind>", methods=["GET"])
    def fail(kind: str) -> Response:
        if kind == "http":
            abort(409)
        raise {"odd": Odd(), "ours": NotFound("thing"), "other": LookupError()}[kind]

    blp.register_error_handler(Odd, lambda error: ("odd", 418))
    blp.register_error_handler(409, lambda error: ("http", 409))
    blp.register_error_handler(NotFound, lambda error: ("ours", 404))
    blp.register_error_handler(LookupError, lambda error: ("other", 400))
    app.register_blueprint(blp)
    client = app.test_client()
    answers = {kind: client.get(f"/new/{kind}") for kind in ("odd", "http", "ours", "other")}
    assert {kind: answer.text for kind, answer in answers.items()} == {k: k for k in answers}
    assert [answer.status_code for answer in answers.values()] == [418, 409, 404, 400]
    # Of the others' failures SEIDRA makes its own answers.
    assert client.get("/api/personas/1").content_type == "application/problem+json"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("streaming", [True, False])
def test_what_is_to_be_done_at_the_end_of_an_answer_is_done(
    app: Flask, blp: Any, method: str, streaming: bool
) -> None:
    told: list[str] = []

    def parts() -> Iterator[bytes]:
        yield b"one"
        told.append("sent")
        yield b"two"

    @blp.route("/thing", methods=["GET"])
    def thing() -> Response:
        response = Response(parts() if streaming else b"onetwo")
        response.call_on_close(lambda: told.append("closed"))
        return response

    app.register_blueprint(blp)
    with app.test_client().open("/new/thing", method=method) as answer:
        assert answer.data == (b"onetwo" if method == "GET" else b"")
    assert told == (["sent", "closed"] if streaming and method == "GET" else ["closed"])


def test_a_header_with_a_line_break_is_refused(app: Flask, blp: Any) -> None:
    for number, make in enumerate(
        (
            lambda value: reply({}, headers={"X-Name": value}),
            lambda value: ({}, 200, {"X-Name": value}),
        )
    ):
        blp.add_url_rule(
            f"/{number}",
            view_func=lambda make=make: make(request.args["name"]),
            endpoint=str(number),
        )
    app.register_blueprint(blp)
    client = app.test_client()
    for number in (0, 1):
        assert client.get(f"/new/{number}?name=plain").headers["X-Name"] == "plain"
        answer = client.get(f"/new/{number}?name=a%0D%0ASet-Cookie:%20b=c")
        assert answer.status_code == 500
        assert "Set-Cookie" not in answer.headers


def test_a_file_that_is_no_media_is_sent_as_it_is_behind_the_proxy_too(
    make_app: Make, blp: Any, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("plain")
    blp.add_url_rule("/notes", view_func=lambda: send_file(tmp_path / "notes.txt"), endpoint="n")
    app = make_app(x_accel_redirect="/protected")
    app.register_blueprint(blp)
    client = app.test_client()
    with client.get("/new/notes") as answer:
        assert answer.text == "plain"
        assert not {"X-Accel-Redirect", "X-Sendfile"} & set(answer.headers.keys())
    with client.get("/new/notes", headers={"Range": "bytes=1-2"}) as part:
        assert (part.status_code, part.text) == (206, "la")


def test_an_answer_may_be_changed_and_replaced_afterwards(app: Flask, blp: Any) -> None:
    @blp.route("/<kind>", methods=["GET"])
    def thing(kind: str) -> Response:
        @after_this_request
        def later(response: Response) -> Response:
            response.headers["X-Later"] = "yes"
            return response

        return reply({"kind": kind})

    @blp.after_request
    def after(response: Response) -> Response:
        if request.path.endswith("changed"):
            response.set_data(response.get_data() + b" ")
            response.status_code = 203
            return response
        return Response(b"another", 202)

    app.register_blueprint(blp)
    changed, replaced = (app.test_client().get(f"/new/{kind}") for kind in ("changed", "replaced"))
    assert (changed.status_code, changed.data) == (203, b'{"kind":"changed"} ')
    assert changed.headers["X-Later"] == "yes"
    assert (replaced.status_code, replaced.data) == (202, b"another")
    for answer in (changed, replaced):
        assert len(answer.headers.getlist("X-Request-ID")) == 1
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_what_an_answer_says_itself_is_said_once(app: Flask, blp: Any) -> None:
    own = {"referrer-policy": "same-origin", "Content-Security-Policy": "default-src 'self'"}
    blp.add_url_rule("/thing", view_func=lambda: ("well", own), endpoint="thing")
    app.register_blueprint(blp)
    headers = app.test_client().get("/new/thing").headers
    assert headers.getlist("Referrer-Policy") == ["same-origin"]
    assert headers.getlist("Content-Security-Policy") == ["default-src 'self'"]
    assert headers.getlist("X-Frame-Options") == ["DENY"]


def test_a_view_may_return_whatever_flask_takes(app: Flask, blp: Any) -> None:
    values: list[Any] = [
        ({"a": 1}, b'{"a":1}\n'),
        (["a"], b'["a"]\n'),
        ("text", b"text"),
        (b"bytes", b"bytes"),
        ((part for part in ("a", "b")), b"ab"),
        (("made", 201, {"Location": "/new/1"}), b"made"),
    ]
    for number, (value, _) in enumerate(values):
        blp.add_url_rule(f"/{number}", view_func=lambda v=value: v, endpoint=str(number))
    app.register_blueprint(blp)
    answers = [app.test_client().get(f"/new/{number}") for number in range(len(values))]
    assert [answer.data for answer in answers] == [data for _, data in values]
    assert [answer.status_code for answer in answers] == [200] * 5 + [201]


class ThingSchema(Body):
    name = fields.String(required=True)


def test_a_body_can_be_read_by_hooks_and_views_beside_its_schema(app: Flask) -> None:
    blp, told = Blueprint("new", __name__, url_prefix="/new"), []

    @blp.before_request
    def before() -> None:
        if "early" in request.args:
            told.append(request.get_data())

    @blp.route("/thing", methods=["POST"])
    @blp.arguments(ThingSchema)
    def thing(body: dict[str, Any]) -> Response:
        return reply([body, request.get_json(), request.get_data(as_text=True)])

    @blp.after_request
    def after(response: Response) -> Response:
        told.append(request.get_data())
        return response

    app.register_blueprint(blp)
    for path, count in (("/new/thing", 1), ("/new/thing?early", 2)):
        told.clear()
        answer = app.test_client().post(path, json={"name": "a"})
        assert answer.get_json() == [{"name": "a"}, {"name": "a"}, '{"name": "a"}']
        assert told == [b'{"name": "a"}'] * count


def test_a_route_takes_flasks_options(app: Flask, blp: Any) -> None:
    @blp.route("/first", defaults={"number": 1}, methods=["GET"])
    @blp.route("/<int:number>", methods=["GET"], endpoint="other")
    def thing(number: int) -> Response:
        return reply([number, request.endpoint])

    @blp.get("/short")
    def short() -> Response:
        return reply(flask.url_for(".other", number=7))

    app.register_blueprint(blp)
    client = app.test_client()
    assert client.get("/new/5").get_json() == [5, "new.other"]
    assert client.get("/new/first").get_json() == [1, "new.thing"]
    assert client.get("/new/short").get_json() == "/new/7"


def test_a_failure_that_nobody_expects_is_logged_and_signalled(
    app: Flask, blp: Any, caplog: pytest.LogCaptureFixture
) -> None:
    blp.add_url_rule("/thing", view_func=lambda: 1 // 0, endpoint="thing")
    app.register_blueprint(blp)
    told: list[Any] = []

    def remember(sender: Flask, exception: Exception | None = None, **_: Any) -> None:
        told.append(exception)

    with (
        got_request_exception.connected_to(remember, app),
        request_finished.connected_to(remember, app),
        caplog.at_level(logging.ERROR, "seidra"),
    ):
        answer = app.test_client().get("/new/thing?secret")
    assert (answer.status_code, answer.content_type) == (500, "application/problem+json")
    assert [type(each) for each in told] == [ZeroDivisionError, type(None)]
    (record,) = caplog.records
    assert record.exc_info
    assert "/new/thing" in record.getMessage()
    assert "secret" not in record.getMessage()
    app.testing = True
    with pytest.raises(ZeroDivisionError):
        app.test_client().get("/new/thing")


def test_no_request_leaves_a_transaction_open_behind_it(
    app: Flask, blp: Any, database: SqliteDatabase
) -> None:
    """Or what the next one of the same thread reads would be as old as that."""

    @blp.route("/thing", methods=["POST"])
    def thing() -> Response:
        connection = services().database.connection
        connection.execute("BEGIN")
        assert not queries.users.list_all(connection)[1:]
        raise NotFound("thing")

    app.register_blueprint(blp)
    client = app.test_client()
    assert client.post("/new/thing").status_code == 404
    # A statement that is no part of a transaction sees what others have written since.
    with open_rows(services_of(app).settings) as other:
        other.execute("UPDATE users SET username = 'renamed'")
    assert queries.users.list_all(database.connection)[0]["username"] == "renamed"


def test_a_failure_of_an_own_hook_is_a_500_too(app: Flask, blp: Any) -> None:
    @blp.after_request
    def after(response: Response) -> Response:
        raise LookupError

    blp.add_url_rule("/thing", view_func=lambda: "well", endpoint="thing")
    app.register_blueprint(blp)
    answer = app.test_client().get("/new/thing")
    assert (answer.status_code, answer.content_type) == (500, "application/problem+json")


def test_sessions_and_hosts_are_flasks_own(app: Flask, blp: Any) -> None:
    @blp.route("/visits", methods=["POST"])
    def visits() -> Response:
        session["visits"] = session.get("visits", 0) + 1
        return reply([session["visits"], g.get("user"), request.host])

    app.register_blueprint(blp)
    client = app.test_client()
    # Without a key Flask refuses, instead of a session that is lost.
    assert client.post("/new/visits").status_code == 500
    app.secret_key = "of this test"
    assert [client.post("/new/visits").get_json()[0] for _ in range(2)] == [1, 2]
    app.config["TRUSTED_HOSTS"] = ["studio.example"]
    assert client.post("/new/visits", headers={"Host": "studio.example"}).get_json()[2] == (
        "studio.example"
    )
    assert client.post("/new/visits", headers={"Host": "elsewhere.example"}).status_code == 400


def test_a_persons_request_runs_the_hooks_of_the_apps_own_blueprints(app: Flask) -> None:
    """Those that are registered already, at the routes that people use."""
    told: list[str] = []
    for name in ("personas", "jobs", "media"):
        app.before_request_funcs.setdefault(name, []).append(lambda n=name: told.append(n))
    person = Person(app, "alice")
    for name in ("personas", "jobs", "media"):
        assert person.get(f"/api/{name}").status_code == 200
    assert told == ["personas", "jobs", "media"]

"""A fixed cast (alice, bob and an administrator) on a real, migrated database in a temporary
folder."""

from __future__ import annotations

import dataclasses
import gc
import os
import shutil
import signal
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import yoyo.migrations
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from seidra import create_app
from seidra.auth.first_account import token_file
from seidra.config import Settings
from seidra.database.sqlite.connect import SqliteDatabase
from seidra.engines.mock import MockEngine
from seidra.jobs.worker import Worker
from seidra.operations.workers import make_worker
from seidra.web.services import services_of

PASSWORD = "a long phrase"

# A hash in a test costs next to nothing; the tests of passwords raise it themselves. Tests send
# much from one address.
CHEAP = {
    "SEIDRA_ARGON2_MEMORY_KIB": "8",
    "SEIDRA_ARGON2_TIME_COST": "1",
    "SEIDRA_LOG_LEVEL": "error",
    "SEIDRA_RATE_LIMITS": "off",
    # Whatever stands in the .env of this checkout is not meant for tests.
    "FLASK_SKIP_DOTENV": "1",
}

# On a loaded machine any example may take long.
hypothesis.settings.register_profile("seidra", deadline=None)
hypothesis.settings.load_profile("seidra")


# A shell starts what runs in its background with SIGINT ignored, which the programs that tests
# start would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _remember_rules() -> None:
    """Compile a route once a process, not once an app: the tests make some thousand apps with the
    same routes, and this was most of what each cost. What a rule is made of depends on its text and
    the converters of its map; what builds its URL looks the converters up in the rule that it is
    called on."""
    compile_rule = Rule.compile
    parts = ("_parts", "_trace", "_converters")
    compiled: dict[Any, tuple[dict[str, Any], Any, Any]] = {}

    def compile_once(rule: Rule) -> None:
        assert rule.map is not None
        key = (
            rule.rule,
            rule.subdomain,
            rule.host if rule.map.host_matching else None,
            rule.merge_slashes,
            repr(rule.defaults),
            *rule.map.converters.values(),
        )
        if key not in compiled:
            compile_rule(rule)
            made = {name: getattr(rule, name) for name in parts}
            # Through `__func__`: bound, they would keep this rule's app alive.
            builders = (rule._build.__func__, rule._build_unknown.__func__)  # type: ignore[attr-defined]
            compiled[key] = (made, *builders)
            return
        made, build, build_unknown = compiled[key]
        for name in parts:
            setattr(rule, name, made[name].copy())
        rule.arguments.update(rule._converters)
        rule._build = build.__get__(rule, None)
        rule._build_unknown = build_unknown.__get__(rule, None)

    Rule.compile = compile_once  # type: ignore[method-assign]


def _remember_migrations() -> None:
    """Split the text of a migration into statements once a process: this is half of the processor's
    time of a first start, and the tests make hundreds."""
    read = yoyo.migrations.read_sql_migration
    known: dict[Any, Any] = {}

    def read_once(path: str) -> Any:
        try:
            found = os.stat(path)
        except FileNotFoundError:
            return read(path)
        key = (path, found.st_mtime_ns, found.st_size)
        if key not in known:
            known[key] = read(path)
        directives, comment, statements = known[key]
        return dict(directives), comment, list(statements)

    yoyo.migrations.read_sql_migration = read_once


_remember_rules()
_remember_migrations()


ENGINE = os.environ.get("SEIDRA_TEST_DATABASE", "sqlite")
"""The engine that the tests run on: sqlite or postgresql."""

if ENGINE == "postgresql":
    # The environment of `make engines` has no driver.
    import psycopg
    from postgresql_databases import Databases
    from postgresql_server import URL_VARIABLE, postgresql_server
    from reached import reaches

_running = ExitStack()
_on_server: list[Databases] = []


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "sqlite_only(reason): what is tested is SQLite's own, or speaks to the file."
    )
    if ENGINE == "postgresql":
        # One server a run; the processes of xdist find it by the variable.
        os.environ[URL_VARIABLE] = _running.enter_context(postgresql_server())
        _on_server.append(Databases(os.environ[URL_VARIABLE]))
        # A thread that ends takes its connection along, as on SQLite, whose driver does not warn.
        config.addinivalue_line("filterwarnings", "ignore:.*deleted while still:ResourceWarning")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two for each core: a test waits about as long as it works."""
    return 2 * (os.cpu_count() or 1)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What imports and ten thousand tests are made of stays until the end: the collector would walk
    over all of it again and again, for a fifth of the whole time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_unconfigure(config: pytest.Config) -> None:
    for databases in _on_server:
        databases.close()
    _running.close()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On PostgreSQL run what can differ there: the tests whose code, or that of their fixtures or
    of what these name, names `database_url`, which alone knows where an instance has its database,
    or the server itself. So a test that asks for `app`, `settings` or `environment` is among them
    by itself. SEIDRA_TEST_SHARE=3 runs a third of them, always the same by their names."""
    if ENGINE == "postgresql":
        share = int(os.environ.get("SEIDRA_TEST_SHARE", "1"))
        chosen = [
            item
            for item in items
            if not item.get_closest_marker("sqlite_only")
            and reaches(item, "database_url", "postgresql_server")
            and zlib.crc32(item.nodeid.encode()) % share == 0
        ]
        kept = set(chosen)
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = chosen


def _take_question_marks() -> None:
    """Let what tests ask the database by itself stand as SQLite has it: a `?` for each value."""
    execute = psycopg.Connection.execute

    def execute_either(self: Any, query: Any, *parameters: Any, **options: Any) -> Any:
        if isinstance(query, str) and parameters and "?" in query:
            query = query.replace("%", "%%").replace("?", "%s")
        return execute(self, query, *parameters, **options)

    executemany = psycopg.Cursor.executemany

    def executemany_either(self: Any, query: Any, *parameters: Any, **options: Any) -> Any:
        if isinstance(query, bytes) and b"?" in query:
            query = query.replace(b"%", b"%%").replace(b"?", b"%s")
        return executemany(self, query, *parameters, **options)

    psycopg.Connection.execute = execute_either  # type: ignore[method-assign]
    psycopg.Cursor.executemany = executemany_either  # type: ignore[method-assign]


if ENGINE == "postgresql":
    _take_question_marks()


def databases() -> Databases:
    """The databases of this process on the server."""
    return _on_server[0]


def copy_instance(template: Path, folder: Path) -> Settings:
    """The settings of an instance in `folder` that is a copy of that in `template`, to whose
    database nobody is connected."""
    shutil.copytree(template, folder)
    if ENGINE == "postgresql":
        databases().copy(template, folder)
    return Settings.load(environment(folder))


@pytest.fixture(autouse=True)
def _end_databases(request: pytest.FixtureRequest) -> Iterator[None]:
    """End what the test has made on the server below its folder."""
    if ENGINE != "postgresql" or "tmp_path" not in request.fixturenames:
        yield
    else:
        own: Path = request.getfixturevalue("tmp_path")
        yield
        databases().end(own)


def database_url(folder: Path) -> str:
    """Where the instance that lives in `folder` has its database."""
    if ENGINE == "postgresql":
        return f"{databases().server}/{databases().of(folder)}"
    return f"sqlite:////{str(folder / 'seidra.db').lstrip('/')}"


def environment(folder: Path, **more: str) -> dict[str, str]:
    """The variables of an instance that lives in `folder`."""
    nodes = {
        "SEIDRA_DATA_DIR": str(folder),
        "SEIDRA_JWT_SECRET": "a secret for the tests that is as long as the longest digest of all",
    }
    return {
        "SEIDRA_DATABASE_URL": database_url(folder),
        **(nodes if ENGINE == "postgresql" else {}),
        **CHEAP,
        **more,
    }


def wait_for(condition: Callable[[], Any], seconds: float = 120.0) -> Any:
    """Poll until the condition is true and return what it gave; fail after a deadline."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {condition}"
        time.sleep(0.01)
    return value


def segments(database: SqliteDatabase) -> int:
    """How many parts the search index has: each is read by each search."""
    return int(
        database.connection.execute(
            "SELECT COUNT(DISTINCT segid) FROM persona_search_idx"
        ).fetchone()[0]
    )


class Person:
    """A client that sends one user's token. `person.get("/api/personas")`."""

    def __init__(self, app: Flask, name: str) -> None:
        self.name = name
        self.client: FlaskClient = app.test_client()
        body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
        token = token_file(services_of(app).settings)
        if token.exists():
            body["setup_token"] = token.read_text()
        answer = self.client.post("/api/auth/register", json=body)
        assert answer.status_code == 201, answer.text
        self.use(answer.get_json())

    def use(self, token: dict[str, Any]) -> None:
        """Send this Token's access token from now on."""
        self.token = token
        self.id: int = token["user"]["id"]
        self.headers = {"Authorization": f"Bearer {token['access_token']}"}

    def open(self, method: str, path: str, **kwargs: Any) -> TestResponse:
        headers = {**self.headers, **kwargs.pop("headers", {})}
        answer = self.client.open(path, method=method, headers=headers, **kwargs)
        # werkzeug's client puts a large multipart body into a temporary file, and forgets it.
        answer.request.environ["wsgi.input"].close()
        return answer

    def get(self, path: str, **kwargs: Any) -> TestResponse:
        return self.open("GET", path, **kwargs)

    def post(self, path: str, **kwargs: Any) -> TestResponse:
        return self.open("POST", path, **kwargs)

    def put(self, path: str, **kwargs: Any) -> TestResponse:
        return self.open("PUT", path, **kwargs)

    def patch(self, path: str, **kwargs: Any) -> TestResponse:
        return self.open("PATCH", path, **kwargs)

    def delete(self, path: str, **kwargs: Any) -> TestResponse:
        return self.open("DELETE", path, **kwargs)

    # What many tests begin with; each asserts that it worked.

    def persona(self, **fields: Any) -> dict[str, Any]:
        """Make a persona and return it, without what only the answer to a write tells."""
        answer = self.post(
            "/api/personas", json={"name": "Luna", "style_prompt": "moonlit ocean", **fields}
        )
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.get_json()
        made.pop("warnings", None)
        return made

    def preview(self, persona_id: int, **body: Any) -> str:
        """Queue a preview and return the job's id."""
        answer = self.post(f"/api/personas/{persona_id}/preview", json=body)
        assert answer.status_code == 202, answer.text
        return answer.get_json()["job_id"]

    def allow_nsfw(self) -> None:
        """Put NSFW things in force for this person."""
        assert self.patch("/api/settings/nsfw", json={"age_verified": True}).status_code == 200


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a migrated and seeded instance that nobody has used; tests get copies."""
    folder = tmp_path_factory.mktemp("template")
    app = create_app(Settings.load(environment(folder)))
    # A database that somebody is connected to cannot be copied.
    services_of(app).database.close()
    return folder


@pytest.fixture
def settings(template: Path, tmp_path: Path) -> Settings:
    """The settings of a fresh instance."""
    return copy_instance(template, tmp_path / "instance")


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    """The application on a fresh instance, with no worker."""
    # The template was initialised, and its copy is; to look again takes a third of the time.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("seidra.init_database", lambda settings: [])
        app = create_app(settings)
    yield app
    services_of(app).database.close()


@pytest.fixture
def make_app(settings: Settings) -> Iterator[Callable[..., Flask]]:
    """Make the application with some settings changed: `make_app(registration="closed")`."""
    made: list[Flask] = []

    def make(**changes: Any) -> Flask:
        made.append(create_app(dataclasses.replace(settings, **changes)))
        return made[-1]

    yield make
    for app in made:
        services_of(app).database.close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client without a token."""
    return app.test_client()


@pytest.fixture
def admin(app: Flask) -> Person:
    """The first person, and so the administrator."""
    return Person(app, "admin")


@pytest.fixture
def alice(app: Flask, admin: Person) -> Person:
    """A user."""
    return Person(app, "alice")


@pytest.fixture
def bob(app: Flask, admin: Person) -> Person:
    """Another user."""
    return Person(app, "bob")


@pytest.fixture
def database(app: Flask) -> SqliteDatabase:
    """The application's database."""
    return services_of(app).database


@pytest.fixture
def worker(app: Flask) -> Worker:
    """A worker that is not started: `worker.work_one()` works off one job in the test's own
    thread."""
    settings = services_of(app).settings
    return make_worker(settings, services_of(app).database, [MockEngine()], threading.Event())

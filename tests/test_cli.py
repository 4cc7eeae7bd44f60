"""The command line: what each command does, what it says, and how it refuses."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from conftest import ENGINE, PASSWORD, Person, copy_instance, environment
from flask import Flask
from flask.cli import FlaskGroup
from stored import open_rows, rows

from seidra import create_app
from seidra.cli.database import db
from seidra.cli.users import users
from seidra.config import PACKAGE_DIR, Settings, get_settings, packaged_dir
from seidra.database.sqlite.connect import open_connection
from seidra.web.services import services_of

ROOT = Path(__file__).resolve().parent.parent
MIGRATIONS = packaged_dir("migrations") / ("" if ENGINE == "sqlite" else ENGINE)
STEPS = sorted(path.stem for path in MIGRATIONS.glob("*.sql") if ".rollback" not in path.name)

Flask_ = Callable[..., Result]


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The environment names a folder that does not exist yet; the process's settings are read from
    it."""
    for name in [name for name in os.environ if name.startswith("SEIDRA_")]:
        monkeypatch.delenv(name)
    for name, value in environment(tmp_path / "instance").items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()
    yield tmp_path / "instance"
    get_settings.cache_clear()


@pytest.fixture
def flask(instance: Path) -> Flask_:
    """Run a command: `flask("users", "list")`. What it prints is in `stdout` and `stderr`."""

    def run(*arguments: str, **options: Any) -> Result:
        get_settings.cache_clear()
        group = FlaskGroup(load_dotenv=False)
        return CliRunner().invoke(group, arguments, **options)

    return run


@pytest.fixture
def ready(
    flask: Flask_, instance: Path, template: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """The settings of an initialised instance."""
    copied = copy_instance(template, instance)
    monkeypatch.setenv("SEIDRA_DATABASE_URL", copied.database_url)
    return get_settings()


def said(result: Result) -> str:
    """What a command that must succeed printed."""
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def refused(result: Result) -> str:
    """The one sentence of a command that must be refused."""
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("Error: ").removesuffix("\n")


def accounts(settings: Settings) -> dict[str, tuple[int, int]]:
    """{username: (is_active, is_admin)} without the system account."""
    return {
        name: rights
        for name, *rights in rows(settings, "SELECT username, is_active, is_admin FROM users")
        if name != "system"
    }


def make(flask: Flask_, name: str, *more: str) -> Result:
    return flask("users", "create", name, f"{name}@example.com", "--password", PASSWORD, *more)


# ------------------------------------------------------------------------------------- the database


def test_every_command_says_what_it_is_for(flask: Flask_) -> None:
    names = [
        "init",
        "db",
        "seed",
        "summary",
        "users",
        "search",
        "media",
        "export",
        "backup",
        "restore",
        "doctor",
        "worker",
        "run",
        "version",
    ]
    listed = flask("--help").stdout.partition("Commands:")[2]
    assert [name for name in names if f"\n  {name} " not in listed] == []
    for command in (
        *([name] for name in names),
        *(["db", name] for name in db.commands),
        *(["users", name] for name in users.commands),
    ):
        assert said(flask(*command, "--help")).split("\n\n")[1].strip() != "", command


def test_init(flask: Flask_, instance: Path) -> None:
    end = f"The database {get_settings().database_place} is ready.\n"
    assert said(flask("init")) == f"Applied {len(STEPS)} migrations.\n{end}"
    assert said(flask("init")) == f"The schema is up to date.\n{end}"
    assert {path.name for path in instance.iterdir() if path.is_dir()} == {
        "media",
        "thumbnails",
        "models",
        "tmp",
    }


def test_db_status_makes_nothing(flask: Flask_, instance: Path) -> None:
    assert said(flask("db", "status")) == "".join(f"pending  {id}\n" for id in STEPS)
    assert not instance.exists()


def test_db_upgrade_rollback_and_status(flask: Flask_, instance: Path) -> None:
    assert said(flask("db", "upgrade")) == "".join(f"applied {id}\n" for id in STEPS)
    assert rows(get_settings(), "SELECT * FROM users") == [], "upgrade seeds nothing"
    assert said(flask("db", "upgrade")) == "The schema is up to date.\n"
    assert said(flask("db", "status")) == "".join(f"applied  {id}\n" for id in STEPS)
    assert said(flask("db", "rollback", "--yes")) == f"rolled back {STEPS[-1]}\n"
    assert said(flask("db", "rollback", "--yes", "--count", "2")) == "".join(
        f"rolled back {i}\n" for i in STEPS[-2:-4:-1]
    )
    assert said(flask("db", "status")).splitlines()[-3:] == [f"pending  {id}" for id in STEPS[-3:]]
    assert said(flask("db", "rollback", "--yes", "--all")).count("rolled back") == len(STEPS) - 3
    assert (
        said(flask("db", "rollback", "--yes", "--all")) == "There is no migration to roll back.\n"
    )


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_db_rollback_asks_first(flask: Flask_, ready: Settings, answer: str) -> None:
    result = flask("db", "rollback", "--all", input=answer)
    assert result.exit_code == 1
    assert "This deletes the data that the migrations hold. Go on? [y/N]" in result.stdout
    assert "pending" not in said(flask("db", "status"))
    agreed = flask("db", "rollback", input="y\n")
    assert agreed.exit_code == 0
    assert f"rolled back {STEPS[-1]}" in agreed.stdout


@pytest.mark.sqlite_only("that of a server is made before")
def test_db_rollback_without_a_database(flask: Flask_, instance: Path) -> None:
    assert (
        refused(flask("db", "rollback", "--yes"))
        == f"There is no database {instance / 'seidra.db'}."
    )
    assert not instance.exists()


@pytest.mark.parametrize("count", ["0", "-1", "all"])
def test_db_rollback_of_a_wrong_count(flask: Flask_, ready: Settings, count: str) -> None:
    assert flask("db", "rollback", "--yes", "--count", count).exit_code == 2
    assert "pending" not in said(flask("db", "status"))


def test_seed(flask: Flask_, instance: Path) -> None:
    said(flask("db", "upgrade"))
    for _ in range(2):
        assert said(flask("seed")) == "The defaults are in place.\n"
        assert rows(get_settings(), "SELECT id, username FROM users") == [(1, "system")]
        assert rows(get_settings(), "SELECT user_id FROM nsfw_settings") == [(None,)]


def test_summary(flask: Flask_, ready: Settings) -> None:
    assert said(flask("summary")).split() == [
        "users",
        "1",
        "personas",
        "0",
        "jobs",
        "0",
        "media",
        "0",
    ]
    app = create_app(ready)
    alice = Person(app, "alice")
    alice.preview(alice.persona()["id"])
    services_of(app).database.close()
    assert said(flask("summary")).split() == [
        "users",
        "2",
        "personas",
        "1",
        "jobs",
        "1",
        "media",
        "0",
    ]


@pytest.mark.parametrize(
    "command",
    [
        ("seed",),
        ("summary",),
        ("users", "list"),
        ("users", "disable", "alice"),
        ("search", "check"),
        ("search", "rebuild"),
        ("users", "create", "alice", "alice@example.com", "--password", PASSWORD),
    ],
)
def test_a_command_on_a_database_that_is_not_initialised(
    flask: Flask_, instance: Path, command: tuple[str, ...]
) -> None:
    place = get_settings().database_place
    sentence = f"The database {place} is not up to date: run `flask init` first."
    assert refused(flask(*command)) == sentence
    assert not instance.exists()


@pytest.mark.parametrize(
    "command", [("init",), ("db", "status"), ("users", "list"), ("summary",), ("worker",)]
)
def test_a_wrong_setting_is_named(
    flask: Flask_, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("SEIDRA_WEB_THREADS", "0")
    assert refused(flask(*command)) == "SEIDRA_WEB_THREADS must be a whole number from 1 to 128."


# ----------------------------------------------------------------------------------------- accounts


def test_the_first_account_is_the_administrator(flask: Flask_, ready: Settings) -> None:
    assert said(make(flask, "alice")) == "Made alice (administrator), id 2.\n"
    assert said(make(flask, "bob")) == "Made bob, id 3.\n"
    assert said(make(flask, "carol", "--admin")) == "Made carol (administrator), id 4.\n"
    assert accounts(ready) == {"alice": [1, 1], "bob": [1, 0], "carol": [1, 1]}


def test_an_account_made_here_logs_in_there(flask: Flask_, ready: Settings) -> None:
    said(make(flask, "alice"))
    app: Flask = create_app(ready)
    answer = app.test_client().post(
        "/api/auth/login", json={"username": "alice", "password": PASSWORD}
    )
    assert answer.status_code == 200
    assert Person(app, "bob").token["user"]["is_admin"] is False
    services_of(app).database.close()


def test_a_password_is_asked_for_twice(flask: Flask_, ready: Settings) -> None:
    result = flask(
        "users", "create", "alice", "alice@example.com", input=f"{PASSWORD}\n{PASSWORD}\n"
    )
    assert result.exit_code == 0
    assert PASSWORD not in result.output
    result = flask("users", "create", "bob", "bob@example.com", input=f"{PASSWORD}\nanother one\n")
    assert result.exit_code == 1
    assert list(accounts(ready)) == ["alice"]


def test_a_password_from_the_environment(
    flask: Flask_, ready: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEIDRA_PASSWORD", PASSWORD)
    assert (
        said(flask("users", "create", "alice", "alice@example.com"))
        == "Made alice (administrator), id 2.\n"
    )


@pytest.mark.parametrize(
    ("name", "email", "password", "sentence"),
    [
        ("bob", "no address", PASSWORD, "email: Must be an email address."),
        (
            "b",
            "b@example.com",
            PASSWORD,
            "username: Must be 3 to 50 of A-Z, a-z, 0-9, '.', '_', '-'.",
        ),
        (
            "bob smith",
            "b@example.com",
            PASSWORD,
            "username: Must be 3 to 50 of A-Z, a-z, 0-9, '.', '_', '-'.",
        ),
        ("ALICE", "b@example.com", PASSWORD, "This username is taken."),
        ("bob", "Alice@Example.com", PASSWORD, "This email is taken."),
        ("System", "b@example.com", PASSWORD, "This username is taken."),
    ],
)
def test_an_account_that_cannot_be_made(
    flask: Flask_, ready: Settings, name: str, email: str, password: str, sentence: str
) -> None:
    said(make(flask, "alice"))
    assert refused(flask("users", "create", name, email, "--password", password)) == sentence
    assert list(accounts(ready)) == ["alice"]


@pytest.mark.parametrize("password", ["short", "x" * 129])
def test_a_password_that_breaks_the_rule(flask: Flask_, ready: Settings, password: str) -> None:
    said(make(flask, "alice"))
    for command in (("create", "bob", "bob@example.com"), ("set-password", "alice")):
        sentence = refused(flask("users", *command, "--password", password))
        assert sentence.startswith("password: ")
        assert password not in sentence
    assert list(accounts(ready)) == ["alice"]


def test_a_refused_first_account_leaves_the_place_of_the_administrator(
    flask: Flask_, ready: Settings
) -> None:
    refused(flask("users", "create", "system", "x@example.com", "--password", PASSWORD))
    # The refused one may have drawn an id.
    assert said(make(flask, "alice")).startswith("Made alice (administrator), id ")


def test_users_list(flask: Flask_, ready: Settings) -> None:
    for name in ("alice", "bob"):
        said(make(flask, name))
    said(flask("users", "disable", "bob"))
    assert [line.split() for line in said(flask("users", "list")).splitlines()] == [
        ["1", "system", "system@seidra.local", "inactive"],
        ["2", "alice", "alice@example.com", "active", "administrator"],
        ["3", "bob", "bob@example.com", "inactive"],
    ]


@pytest.mark.parametrize("name", ["bob", "BOB", "bob@example.com", "Bob@Example.COM"])
def test_an_account_is_found_by_name_or_email(flask: Flask_, ready: Settings, name: str) -> None:
    said(make(flask, "alice"))
    said(make(flask, "bob"))
    assert said(flask("users", "promote", name)) == f"{name} is an administrator.\n"
    assert accounts(ready)["bob"] == [1, 1]
    assert said(flask("users", "demote", name)) == f"{name} is no administrator.\n"
    assert accounts(ready)["bob"] == [1, 0]
    assert said(flask("users", "disable", name)) == f"Disabled {name}.\n"
    assert accounts(ready)["bob"] == [0, 0]
    assert said(flask("users", "enable", name)) == f"Enabled {name}.\n"
    assert accounts(ready) == {"alice": [1, 1], "bob": [1, 0]}


@pytest.mark.parametrize("command", ["disable", "enable", "promote", "demote", "set-password"])
def test_an_account_that_is_not_there(flask: Flask_, ready: Settings, command: str) -> None:
    more = ("--password", PASSWORD) if command == "set-password" else ()
    assert refused(flask("users", command, "nobody", *more)) == "There is no account nobody."


@pytest.mark.parametrize("command", ["disable", "demote"])
def test_the_last_administrator_stays(flask: Flask_, ready: Settings, command: str) -> None:
    said(make(flask, "alice"))
    said(make(flask, "bob", "--admin"))
    said(flask("users", "disable", "bob"))
    # bob is an administrator, but not an active one.
    sentence = "This is the last active administrator; make another one first."
    assert refused(flask("users", command, "alice")) == sentence
    assert accounts(ready)["alice"] == [1, 1]
    said(flask("users", "enable", "bob"))
    said(flask("users", command, "alice"))
    assert accounts(ready)["alice"] != [1, 1]


def test_the_system_account_is_the_operators(flask: Flask_, ready: Settings) -> None:
    before = rows(ready, "SELECT * FROM users")
    assert (
        refused(flask("users", "promote", "system"))
        == "The system account cannot be an administrator."
    )
    sentence = "The system account is changed by the operator's settings alone."
    assert refused(flask("users", "set-password", "system", "--password", PASSWORD)) == sentence
    assert rows(ready, "SELECT * FROM users") == before


def test_disabling_and_a_new_password_end_sessions(flask: Flask_, ready: Settings) -> None:
    app = create_app(ready)
    admin, alice, bob = Person(app, "admin"), Person(app, "alice"), Person(app, "bob")
    said(flask("users", "disable", "alice"))
    said(flask("users", "set-password", "bob", "--password", "a new long phrase"))
    assert [person.get("/api/auth/me").status_code for person in (admin, alice, bob)] == [
        200,
        401,
        401,
    ]

    def login(name: str, password: str) -> int:
        return (
            app.test_client()
            .post("/api/auth/login", json={"username": name, "password": password})
            .status_code
        )

    assert (
        login("alice", PASSWORD),
        login("bob", PASSWORD),
        login("bob", "a new long phrase"),
    ) == (401, 401, 200)
    said(flask("users", "enable", "alice"))
    assert login("alice", PASSWORD) == 200
    assert alice.get("/api/auth/me").status_code == 401, "the old session is over for good"
    services_of(app).database.close()


# ------------------------------------------------------------------------------------------- search


@pytest.mark.sqlite_only("the index is SQLite's own")
def test_the_search_index_is_checked_and_rebuilt(flask: Flask_, ready: Settings) -> None:
    app = create_app(ready)
    alice = Person(app, "alice")
    alice.persona(name="Élodie")
    assert said(flask("search", "check")) == "The search index agrees with its table.\n"
    with closing(open_connection(ready.database_path)) as connection:
        connection.execute(
            "INSERT INTO persona_search (persona_search, rowid, marked_text)"
            " SELECT 'delete', doc_id, marked_text FROM persona_search_texts"
        )
    assert alice.get("/api/personas?search=elodie").get_json() == []
    sentence = "The index differs from its table. Run `flask search rebuild`."
    assert refused(flask("search", "check")) == sentence
    assert said(flask("search", "rebuild")) == "The search index is rebuilt; it has 1 personas.\n"
    assert said(flask("search", "check")) == "The search index agrees with its table.\n"
    assert [persona["name"] for persona in alice.get("/api/personas?search=elodie").get_json()] == [
        "Élodie"
    ]
    services_of(app).database.close()


@pytest.mark.sqlite_only("these are SQLite's migrations")
def test_personas_are_found_again_after_their_index_was_undone_and_made_again(
    flask: Flask_, ready: Settings
) -> None:
    app = create_app(ready)
    alice = Person(app, "alice")
    alice.persona(name="Élodie")
    services_of(app).database.close()
    said(
        flask(
            "db",
            "rollback",
            "--yes",
            "--count",
            str(len(STEPS) - STEPS.index("0005.persona_search")),
        )
    )
    said(flask("init"))
    assert said(flask("search", "check")) == "The search index agrees with its table.\n"
    assert [persona["name"] for persona in alice.get("/api/personas?search=elodie").get_json()] == [
        "Élodie"
    ]
    services_of(app).database.close()


def test_version(flask: Flask_, instance: Path) -> None:
    said = flask("version").stdout
    assert said.startswith(f"SEIDRA {version('seidra')} in {PACKAGE_DIR}\nPython 3.")
    assert said.endswith(f"\nFlask {version('flask')}\n")
    # Nothing is needed for it, and nothing made.
    assert list(instance.parent.glob("**/*.db")) == []


def test_users_delete(flask: Flask_, ready: Settings) -> None:
    for name in ("root", "carol"):
        said(flask("users", "create", name, f"{name}@example.com", "--password", PASSWORD))
    assert flask("users", "delete", "carol", input="n\n").exit_code == 1
    assert "carol" in said(flask("users", "list"))
    assert said(flask("users", "delete", "CAROL@example.com", "--yes")) == (
        "Deleted CAROL@example.com; a worker removes what it had.\n"
    )
    assert "carol" not in said(flask("users", "list"))
    said(flask("users", "create", "carol", "carol@example.com", "--password", PASSWORD))
    for name, sentence in (
        ("root", "This is the last active administrator; make another one first."),
        ("system", "The system account is changed by the operator's settings alone."),
        ("nobody", "There is no account nobody."),
    ):
        assert refused(flask("users", "delete", name, "--yes")) == sentence


def test_rollback_to_a_migration(flask: Flask_, ready: Settings) -> None:
    assert refused(flask("db", "rollback", "--to", "9999", "--yes")) == (
        "There is no applied migration 9999."
    )
    assert flask("db", "rollback", "--to", "0016", "--all", "--yes").exit_code == 2
    stay = STEPS[-3]
    undone = said(flask("db", "rollback", "--to", stay.partition(".")[0], "--yes")).splitlines()
    assert undone == [f"rolled back {step}" for step in STEPS[:-3:-1]]
    assert "There is no migration" in said(flask("db", "rollback", "--to", stay, "--yes"))


# ----------------------------------------------------------------------------------- real processes


@pytest.mark.slow
@pytest.mark.parametrize("where", ["checkout", "empty"])
def test_the_real_command(tmp_path: Path, where: str) -> None:
    """From an empty folder there is no wsgi.py: the commands do not need the app."""
    folder = ROOT if where == "checkout" else tmp_path / "empty"
    folder.mkdir(exist_ok=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SEIDRA_", "FLASK_"))}
    # Python finds the flask beside itself and SEIDRA's commands by their entry points.
    env = (
        kept
        | environment(tmp_path / "instance", SEIDRA_PASSWORD=PASSWORD)
        | {"PYTHONPATH": str(ROOT)}
    )

    def flask(*arguments: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "flask", *arguments],
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    assert flask("init")[::2] == (0, "")
    assert flask("users", "create", "alice", "alice@example.com") == (
        0,
        "Made alice (administrator), id 2.\n",
        "",
    )
    assert flask("users", "demote", "alice") == (
        1,
        "",
        "Error: This is the last active administrator; make another one first.\n",
    )
    assert (tmp_path / "instance" / "seidra.db").is_file() or ENGINE != "sqlite"
    if where == "empty":
        assert list(folder.iterdir()) == []


@pytest.mark.slow
@pytest.mark.sqlite_only("it looks for the files of two databases")
@pytest.mark.parametrize("where", [".", "below"])
def test_a_command_from_elsewhere_means_the_same_instance(tmp_path: Path, where: str) -> None:
    """Flask reads the `.env` of the working folder and of those above it; SEIDRA the checkout's."""
    shutil.copytree(ROOT / "seidra", tmp_path / "checkout" / "seidra")
    for name in ("sql", "migrations"):
        (tmp_path / "checkout" / name).symlink_to(ROOT / name)
    (tmp_path / "checkout" / "setup.cfg").touch()
    for folder, name in ((tmp_path / "checkout", "ours"), (tmp_path / "elsewhere", "theirs")):
        (folder / "below").mkdir(parents=True)
        (folder / ".env").write_text(f"SEIDRA_DATABASE_URL=sqlite:///{tmp_path / name}/seidra.db\n")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SEIDRA_", "FLASK_"))}
    done = subprocess.run(
        [sys.executable, "-m", "flask", "init"],
        cwd=tmp_path / "elsewhere" / where,
        env=kept | {"PYTHONPATH": str(tmp_path / "checkout")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"The database {tmp_path / 'ours' / 'seidra.db'} is ready." in done.stdout
    assert not (tmp_path / "theirs").exists()


# --------------------------------------------------------------------------- limits and their usage


def limits_of(flask: Flask_, *options: str) -> dict[str, str]:
    """What `flask users limits carol` shows, by field."""
    shown = said(flask("users", "limits", "carol", *options))
    return {line.split()[0]: " ".join(line.split()[1:]) for line in shown.splitlines()}


def test_limits_are_said_shown_and_taken_back(flask: Flask_, ready: Settings) -> None:
    said(make(flask, "carol"))
    before = limits_of(flask)
    assert before["engines"] == before["models"] == before["engine_minutes_a_day"] == "no limit"
    said_options = (
        *("--engine", "mock", "--model", "dreamer", "--model", "sdxl-base", "--pictures", "7"),
        *("--engine-minutes", "30", "--bytes", "5000", "--sharing", "no", "--nsfw", "no"),
    )
    assert limits_of(flask, *said_options) == {
        "nsfw_allowed": "no",
        "may_share": "no",
        "engines": "mock",
        "models": "dreamer, sdxl-base",
        "engine_minutes_a_day": "30",
        "max_pictures": "7",
        "max_bytes": "5000",
    }
    # One option says nothing of the others, and `any` takes a word back.
    shown = limits_of(flask, "--pictures", "any", "--engine", "any", "--sharing", "any")
    assert (shown["max_pictures"], shown["engines"]) == (before["max_pictures"], "no limit")
    assert (shown["may_share"], shown["max_bytes"]) == ("yes", "5000")


def test_a_group_is_named_and_its_word_shown(flask: Flask_, ready: Settings) -> None:
    said(make(flask, "carol"))
    with open_rows(ready) as connection:
        connection.execute(
            "INSERT INTO account_groups (name, name_key, max_pictures, created_at, updated_at)"
            " VALUES ('Children', 'children', 9, '', '')"
        )
    assert limits_of(flask, "--group", "CHILDREN")["max_pictures"] == "9"
    assert limits_of(flask, "--group", "none")["max_pictures"] != "9"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--group", "nobody"), "There is no group nobody."),
        (
            ("--engine", "nowhere", "--pictures", "3"),
            "engines: There is no engine 'nowhere'; there is mock.",
        ),
    ],
)
def test_bad_limits_change_nothing(
    flask: Flask_, ready: Settings, options: tuple[str, ...], sentence: str
) -> None:
    said(make(flask, "carol"))
    before = limits_of(flask)
    assert refused(flask("users", "limits", "carol", "--nsfw", "no", *options)).startswith(sentence)
    assert limits_of(flask) == before


@pytest.mark.parametrize("option", [("--pictures", "-1"), ("--bytes", "much"), ("--sharing", "1")])
def test_a_limit_that_is_none_is_a_usage_error(
    flask: Flask_, ready: Settings, option: tuple[str, str]
) -> None:
    said(make(flask, "carol"))
    result = flask("users", "limits", "carol", *option)
    assert result.exit_code == 2
    assert option[0] in result.stderr


def test_usage_is_listed_by_account_and_by_day(flask: Flask_, ready: Settings) -> None:
    said(make(flask, "carol"))
    said(make(flask, "dan"))
    [(carol,), (dan,)] = rows(ready, "SELECT id FROM users WHERE username <> 'system' ORDER BY id")
    with open_rows(ready) as connection:
        connection.executemany(
            "INSERT INTO usage_days VALUES (?, ?, ?, ?, ?)",
            [
                (carol, "2026-01-02", 60.0, 2, 300),
                (dan, "2026-01-02", 90.0, 1, 100),
                (dan, "2026-01-03", 30.0, 4, 50),
                (dan, "2026-02-01", 600.0, 9, 9),
            ],
        )
    span = ("--from", "2026-01-01", "--to", "2026-01-31")
    lines = said(flask("usage", *span)).splitlines()
    assert lines[0] == "2026-01-01 to 2026-01-31"
    assert [line.split() for line in lines[1:]] == [
        ["dan", "2.0", "min", "5", "pictures", "150", "bytes"],
        ["carol", "1.0", "min", "2", "pictures", "300", "bytes"],
    ]
    by_day = said(flask("usage", *span, "--by", "day", "--csv")).splitlines()
    assert [line.split(",")[-2:] for line in by_day[1:]] == [["3", "400"], ["4", "50"]]
    by_account = said(flask("usage", *span, "--csv")).splitlines()
    assert by_account[1].split(",")[:2] == [str(dan), "dan"]
    assert refused(flask("usage", "--from", "yesterday")).startswith("--from: ")

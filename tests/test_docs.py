"""The documentation says what is: settings, commands, routes, the guides, links, and the answers
that it shows."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from contextlib import ExitStack
from importlib.metadata import entry_points
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest
from conftest import environment, wait_for
from dotenv import dotenv_values
from flask import Flask
from flask.testing import FlaskClient
from test_cli import flask, instance
from test_start import FirstStart, variables
from werkzeug.test import TestResponse

from seidra.config import Settings, variables_of
from seidra.engines.base import RenderContext, RenderRequest
from seidra.engines.mock import MockEngine
from seidra.jobs.worker import Worker

__all__ = ["flask", "instance"]

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = "docs/commands.md"
GUIDE, FRENCH_GUIDE = "docs/initialisation.md", "docs/initialisation.fr.md"
VARIABLES = variables_of(Settings)


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[tuple[str, str]]:
    """The code blocks of a page: language and text."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", read(page), re.MULTILINE | re.DOTALL)


def headings(text: str) -> list[str]:
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"^#+ .*$", prose, re.MULTILINE)


def plain(default: Any) -> str:
    """A default as its variable would say it."""
    if isinstance(default, bool):
        return str(default).lower()
    return (
        ",".join(default) if isinstance(default, tuple) else "" if default is None else str(default)
    )


# ----------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(("variable", "field"), VARIABLES.items(), ids=VARIABLES)
def test_setting_is_documented_with_its_default(
    variable: str, field: dataclasses.Field[Any]
) -> None:
    rows = re.findall(
        rf"^\| `{variable}` \| (.*?) \| (.*?) \| (.*?) \|$",
        read("docs/configuration.md"),
        re.MULTILINE,
    )
    assert len(rows) == 1
    if field.default is None:
        assert rows[0][0] == (field.metadata["shown"] or "unset")
    else:
        assert rows[0][0] == f"`{plain(field.default)}`"
    assert f"\n#{variable}={plain(field.default)}\n" in read(".env.example")


def test_documented_settings_exist() -> None:
    known = set(VARIABLES)
    assert (
        set(re.findall(r"^\| `(SEIDRA_\w+)`", read("docs/configuration.md"), re.MULTILINE)) == known
    )
    assert set(re.findall(r"^#(SEIDRA_\w+)=", read(".env.example"), re.MULTILINE)) == known


def test_env_example_is_the_defaults() -> None:
    uncommented = re.sub(r"^#(SEIDRA_)", r"\1", read(".env.example"), flags=re.MULTILINE)
    values = {
        name: value or "" for name, value in dotenv_values(stream=StringIO(uncommented)).items()
    }
    assert set(values) == set(VARIABLES)
    assert Settings.load(values) == Settings.load({})


# --------------------------------------------------------------------------------- commands, routes


def commands() -> dict[str, click.Command]:
    """Every command of SEIDRA's by its whole name."""
    found: dict[str, click.Command] = {}

    def walk(name: str, command: click.Command) -> None:
        if isinstance(command, click.Group):
            for part, child in command.commands.items():
                walk(f"{name} {part}", child)
        else:
            found[name] = command

    for entry in entry_points(group="flask.commands"):
        if entry.value.startswith("seidra."):
            walk(f"flask {entry.name}", entry.load())
    return found


def test_commands_are_documented_with_their_options() -> None:
    sections = re.split(r"^## ", read("docs/commands.md"), flags=re.MULTILINE)[1:]
    documented = {section.split("\n", 1)[0].strip("`"): section for section in sections}
    known = commands()
    assert len(known) > 10
    assert set(documented) == set(known)
    for name, command in known.items():
        options = (
            []
            if name == "flask run"
            else [p for p in command.params if isinstance(p, click.Option)]
        )
        for option in options:
            assert any(opt in documented[name] for opt in option.opts), f"{name} {option.opts}"


def test_routes_are_documented(app: Flask) -> None:
    known = {
        f"{method} {rule.rule}"
        for rule in app.url_map.iter_rules()
        # The pages of the studio are no API: docs/studio.md lists them.
        if rule.endpoint not in ("studio", "studio_file")
        and not rule.endpoint.startswith("shared_")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    documented = re.findall(r"^\| `([A-Z]+ /\S*)` \|", read("docs/api.md"), re.MULTILINE)
    assert len(documented) == len(set(documented))
    assert set(documented) == known


# -------------------------------------------------------------------------------------------- links


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    names = [heading.lstrip("# ") for heading in headings(page.read_text(encoding="utf-8"))]
    return {re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-") for name in names}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(
        r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_are_there(page: Path) -> None:
    """Also those that are named as from within seidra/; NNNN and <...> stand for names to come."""
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"`((?:\w+/)+[\w.]+\.(?:py|pyi|sql|conf|md|service))`", text)
    for name in named:
        assert "NNNN" in name or (ROOT / name).exists() or (ROOT / "seidra" / name).exists(), name


# ---------------------------------------------------------------------------------------- the guide


def test_guides_say_the_same() -> None:
    english, french = headings(read(GUIDE)), headings(read(FRENCH_GUIDE))
    assert [h.split()[0] for h in english] == [h.split()[0] for h in french]
    assert [(kind, _without_comments(text)) for kind, text in blocks(GUIDE)] == [
        (kind, _without_comments(text)) for kind, text in blocks(FRENCH_GUIDE)
    ]
    sentences = [
        re.findall(r"^\*\*(`+.*?`+)\*\*", read(page), re.MULTILINE)
        for page in (GUIDE, FRENCH_GUIDE)
    ]
    assert sentences[0] == sentences[1] != []


def _without_comments(text: str) -> str:
    return re.sub(r"(^|\s+)# .*$", "", text, flags=re.MULTILINE)


@pytest.mark.slow
@pytest.mark.sqlite_only("the guide asks the file by the program sqlite3")
def test_guide_works(tmp_path: Path) -> None:
    """Every Python block, `flask` command and query of the guide, in its order, gives what stands
    below it."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("SEIDRA_")}
    env |= environment(tmp_path / "data")
    shown = blocks(GUIDE)
    answers = {at: text for at, (kind, text) in enumerate(shown) if kind == "text"}
    checked = 0
    for at, (kind, text) in enumerate(shown):
        answer = answers.get(at + 1, "")
        if kind == "python":
            output = _run([sys.executable, "-c", text], tmp_path, env)
        elif text.startswith(("flask init", "flask db upgrade", "flask seed", "flask summary")):
            output = "".join(
                _run(["-m", *shlex.split(line)], tmp_path, env) for line in text.splitlines()
            )
        elif text.startswith("sqlite3 "):
            output = _query(tmp_path / "data/seidra.db", shlex.split(text)[2])
        else:
            continue
        if answer:
            checked += 1
            assert _ends_as_shown(output.replace(f"{tmp_path}/", ""), answer), text
    assert checked >= 8


def _ends_as_shown(output: str, shown: str) -> bool:
    """Whether an output ends with what is shown; a line `...` stands for any lines."""
    parts = [re.escape(part) for part in shown.split("...\n")]
    return re.search("(?s:.*)".join(parts) + r"\Z", output) is not None


def _run(command: list[str], folder: Path, env: dict[str, str]) -> str:
    if command[0] == "-m":
        command = [sys.executable, *command]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _query(path: Path, statements: str) -> str:
    connection = sqlite3.connect(path)
    try:
        rows = [row for statement in statements.split(";") for row in connection.execute(statement)]
    finally:
        connection.close()
    return "".join("|".join(map(str, row)) + "\n" for row in rows)


def test_the_example_engine_renders() -> None:
    scope: dict[str, Any] = {}
    exec(next(text for kind, text in blocks("docs/architecture.md") if kind == "python"), scope)
    context = RenderContext()
    (image,) = scope["PlainEngine"](name="plain").render(
        RenderRequest("a", seed=7, width=64, height=80), context
    )
    assert image.data.startswith(b"\x89PNG")
    assert MockEngine().render(RenderRequest("a", seed=7, width=64, height=80), context)


SHOWN = ["init", "db rollback", "seed", "summary", "users create", "users list", "import"]
SHOWN += ["users disable"]
SHOWN += ["users enable", "users delete", "users set-password", "users promote", "users demote"]
SHOWN += ["search check", "db upgrade", "doctor"]
"""The commands whose transcripts are played, in this order on one instance."""


@pytest.mark.slow
@pytest.mark.sqlite_only("the page shows what they say on SQLite")
def test_shown_commands_say_what_is_shown(
    flask: Any, instance: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each `$ flask ...` of the page, and below it what it prints."""
    monkeypatch.chdir(tmp_path)
    Path("styles.csv").write_text(
        'name,prompt,negative_prompt\nFilm,"{prompt}, film grain",text\nInk,ink drawing,\n'
    )
    sections = dict(
        re.findall(r"^## `flask (.*?)`\n(.*?)(?=^## |\Z)", read(COMMANDS), re.MULTILINE | re.DOTALL)
    )
    played = 0
    for name in SHOWN:
        if name == "users enable":
            for other in ("carol", "dora"):
                mail = f"{other}@example.com"
                assert (
                    flask("users", "create", other, mail, "--password", "my phrase").exit_code == 0
                )
        if name == "db upgrade":
            shutil.rmtree(instance)
        if name == "seed":
            assert flask("init").exit_code == 0
        (shown,) = re.findall(r"^```console\n(.*?)^```$", sections[name], re.MULTILINE | re.DOTALL)
        for transcript in shown.split("$ flask ")[1:]:
            command, _, told = transcript.partition("\n")
            said = flask(*shlex.split(command)).output.replace(str(instance), "data")
            played += 1
            if name == "doctor":
                # What an instance is like differs; which checks there are does not.
                assert _checks(said) == _checks(told)
            else:
                assert _ends_as_shown(said, told), command
    assert played >= 20


@pytest.mark.slow
@pytest.mark.parametrize("page", ["docs/families.md", "docs/teams.md"])
def test_the_pages_for_households_and_teams_show_what_their_commands_print(
    flask: Any, page: str
) -> None:
    """Word for word, on a fresh instance whose administrator is there."""
    assert flask("init").exit_code == 0
    make = ("users", "create", "ada", "ada@example.com", "--password", "my phrase", "--admin")
    assert flask(*make).exit_code == 0
    played = 0
    for kind, text in blocks(page):
        if kind != "console":
            continue
        for transcript in text.split("$ flask ")[1:]:
            command, _, told = transcript.partition("\n")
            answer = flask(*shlex.split(command))
            assert (answer.exit_code, answer.output) == (0, told), command
            played += 1
    assert played >= 2


def _checks(lines: str) -> list[str]:
    return re.findall(r"^(?:ok|warn|fail)\s+(\w+)", lines, re.MULTILINE)


@pytest.mark.slow
def test_the_readme_and_the_quick_start_can_be_pasted(tmp_path: Path) -> None:
    for page in ("README.md", "docs/quickstart.md"):
        folder = tmp_path / page.replace("/", "-")
        folder.mkdir()
        with ExitStack() as stack:
            server = stack.enter_context(
                FirstStart(folder, "-m", "flask", "serve", SEIDRA_WEB_WORKERS="1")
            )
            server.ready()
            shell = stack.enter_context(
                subprocess.Popen(
                    ["sh"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            assert shell.stdin is not None
            assert shell.stdout is not None
            for kind, text in blocks(page):
                if kind != "sh" or not re.search(r"curl|TOKEN", text):
                    continue
                shell.stdin.write(text.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}"))
                shell.stdin.write("echo; echo done\n")
                shell.stdin.flush()
                answer = "".join(iter(shell.stdout.readline, "done\n"))
                assert '"status":4' not in answer, (text, answer)
                if "/preview" in text:
                    server.login()
                    (job,) = server.json("GET", "/api/jobs")["jobs"]
                    assert server.picture(f"/api/jobs/{job['job_id']}")
            shell.stdin.close()
            assert shell.wait(60) == 0
            assert (folder / "preview.png").read_bytes()[:4] in (b"\x89PNG", b"RIFF"), page


HERE = "http://127.0.0.1:8000/"


@pytest.mark.slow
def test_the_quick_start_shows_what_a_start_says(tmp_path: Path) -> None:
    (banner,) = (text for kind, text in blocks("docs/quickstart.md") if kind == "text")
    with FirstStart(tmp_path, "-m", "flask", "serve") as server:
        server.ready()
        wait_for(lambda: "administrator)\n" in server.log.read_text())
        said = server.log.read_text().replace(f"127.0.0.1:{server.port}", "127.0.0.1:8000")
        # The page shows the start at a desktop's terminal, which this is not.
        shown = banner.replace("Open http://127.0.0.1:8000/ in your browser.", HERE)
        assert (shown != banner, shown in said) == (True, True)
        # What the guide says of a port that is taken.
        command = [sys.executable, "-m", "flask", "serve"]
        env = variables(tmp_path / "other", SEIDRA_BIND=f"127.0.0.1:{server.port}")
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)
        sentence = done.stderr.splitlines()[-1].replace(str(server.port), "8000")
        assert (done.returncode, f"**`{sentence}`**" in read(GUIDE)) == (1, True), done.stderr


# ------------------------------------------------------------------------------------ shown answers

CHANGING = {
    "access_token",
    "refresh_token",
    "job_id",
    "created_at",
    "updated_at",
    "started_at",
    "completed_at",
    "result_images",
    "results",
    "uid",
    "version",
}


class Session:
    """Runs a page's curl commands on the test client, with this instance's tokens and ids for the
    page's."""

    def __init__(self, client: FlaskClient, worker: Worker) -> None:
        self.client, self.worker = client, worker
        self.real: dict[str, str] = {}

    def curl(self, command: str) -> TestResponse:
        while self.worker.work_one():
            pass
        for shown, real in self.real.items():
            command = command.replace(shown, real)
        method, url, headers, data = "", "", {}, None
        words = iter(shlex.split(command.replace("\\\n", " "))[1:])
        for word in words:
            if word == "-X":
                method = next(words)
            elif word == "-H":
                name, _, value = next(words).partition(": ")
                headers[name] = value
            elif word == "-d":
                data = next(words)
            elif word == "-o":
                next(words)
            elif not word.startswith("-"):
                url = word
        path = url.removeprefix("http://127.0.0.1:8000")
        assert path.startswith("/"), url
        return self.client.open(
            path, method=method or ("POST" if data else "GET"), headers=headers, data=data
        )

    def answers(self, page: str) -> list[tuple[str, Any, Any]]:
        """Each command of the page that has an answer: the command, what the page shows, what
        SEIDRA answers."""
        found, shown = [], blocks(page)
        for (kind, command), (answer_kind, answer) in pairwise(shown):
            if kind != "sh" or not command.startswith("curl") or answer_kind != "json":
                continue
            told, given = json.loads(answer), self.curl(command).get_json()
            found.append((command, told, given))
            if not isinstance(told, dict):
                continue
            if "access_token" in told:
                self.real["$TOKEN"] = given["access_token"]
            if told.get("result_images"):
                self._learn_links(told["result_images"][0], given["result_images"][0])
            if "job_id" in told:
                self.real[told["job_id"]] = self.real["$JOB"] = given["job_id"]
        return found

    def _learn_links(self, told: str, given: str) -> None:
        self.real[told] = self.real["$LINK"] = given
        self.real[told.split("/")[3]] = given.split("/")[3]


def shape(value: Any) -> Any:
    """The keys of an answer at every depth, without its values."""
    if isinstance(value, dict):
        return {key: shape(part) for key, part in value.items()}
    return [shape(part) for part in value] if isinstance(value, list) else None


def test_shown_answers_are_what_the_api_gives(client: FlaskClient, worker: Worker) -> None:
    session = Session(client, worker)
    readme = session.answers("README.md")
    assert len(readme) == 4
    for command, told, given in readme:
        assert shape(given) == shape(told), command
        # A job's version counts how often progress was written: a matter of time.
        timed = {"version"} if "job_id" in told else set()
        for key in told.keys() - CHANGING - timed - {"user"}:
            assert given[key] == told[key], (command, key)
    picture = session.curl(
        next(text for kind, text in blocks("README.md") if text.startswith("curl -o"))
    )
    assert (picture.status_code, picture.mimetype) == (200, "image/png")
    picture.close()

    # A change, so that the stale ETag of the page is one.
    headers = {"Authorization": f"Bearer {session.real['$TOKEN']}"}
    assert (
        client.patch("/api/personas/1", json={"tags": ["elf"]}, headers=headers).status_code == 200
    )
    api = session.answers("docs/api.md")
    assert len(api) >= 9
    for command, told, given in api:
        assert shape(given) == shape(told), command

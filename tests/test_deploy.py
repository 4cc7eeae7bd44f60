"""deploy/: what it names exists, its settings are settings, and its parts agree with each other."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from seidra.config import PASSWORD_VARIABLE, Settings, variables_of

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
FILES = sorted(path for path in DEPLOY.iterdir() if path.is_file())
EXAMPLE = dotenv_values(DEPLOY / "seidra.env.example")
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
UNITS = ["seidra.service", "seidra-worker.service", "seidra.socket"]
GUIDE = (ROOT / "docs" / "deployment.md").read_text()


def unit(name: str) -> dict[str, list[str]]:
    """A unit's directives; one may stand several times."""
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"^(\w+)=(.*)$", (DEPLOY / name).read_text(), re.MULTILINE):
        found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize(
    "path", [*FILES, ROOT / "docs" / "deployment.md"], ids=lambda path: path.name
)
def test_each_setting_that_is_named_exists(path: Path) -> None:
    known = {*variables_of(Settings), PASSWORD_VARIABLE}
    named = set(re.findall(r"SEIDRA_[A-Z0-9_]+", path.read_text()))
    assert named <= known
    assert (
        len({path.name for path in FILES} & {"nginx.conf", "Dockerfile", "compose.yaml", *UNITS})
        == 6
    )


def test_the_example_settings_load_and_are_safe() -> None:
    settings = Settings.load({name: value or "" for name, value in EXAMPLE.items()})
    assert settings.registration == "closed"
    assert settings.trusted_proxies == 1
    assert settings.public_url == "https://studio.example"
    assert settings.database_path == Path("/var/lib/seidra/seidra.db")
    # Read the same by systemd, Docker and python-dotenv: no quotes, blanks, `$` or comments after
    # values.
    for line in (DEPLOY / "seidra.env.example").read_text().splitlines():
        assert re.fullmatch(r"(#.*|SEIDRA_[A-Z_]+=[\w:/.,%-]+|)", line), line


def test_nginx_agrees_with_the_example_settings() -> None:
    conf = (DEPLOY / "nginx.conf").read_text()
    settings = Settings.load({name: value or "" for name, value in EXAMPLE.items()})
    assert f"client_max_body_size {settings.max_body};" in conf
    assert f"client_max_body_size {4 * settings.max_upload + 512 * 1024};" in conf
    assert f"server {settings.bind};" in conf
    for name, folder in (("media", settings.media_dir), ("thumbnails", settings.thumbnail_dir)):
        assert re.search(
            rf"location {settings.x_accel_redirect}/{name}/ {{\s+internal;\s+alias {folder}/;\s+}}",
            conf,
        )
    assert f"server_name {str(settings.public_url).removeprefix('https://')};" in conf


# ------------------------------------------------------------------------------------------ systemd


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for name in UNITS:
        # systemd wants the programs to be there.
        text = (
            (DEPLOY / name)
            .read_text()
            .replace("/opt/seidra/current/.venv/bin", str(Path(sys.executable).parent))
        )
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in UNITS)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    said = [
        line
        for line in done.stderr.splitlines()
        if str(tmp_path) in line or any(name in line for name in UNITS)
    ]
    assert (done.returncode, said) == (0, [])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("name", ["seidra.service", "seidra-worker.service"])
def test_systemd_calls_the_units_hardened(name: str) -> None:
    # The exposure in tenths, of 100; from 40 on it is no longer "OK".
    done = subprocess.run(
        [
            "systemd-analyze",
            "security",
            "--no-pager",
            "--offline=true",
            "--threshold=20",
            str(DEPLOY / name),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_units_agree_with_the_rest() -> None:
    server, worker, port = (unit(name) for name in UNITS)
    assert port["ListenStream"] == [EXAMPLE["SEIDRA_BIND"]]
    assert server["Requires"] == ["seidra.socket"]
    for service in (server, worker):
        assert service["WorkingDirectory"] == ["/etc/seidra"]
        assert service["User"] == service["Group"] == service["StateDirectory"] == ["seidra"]
        assert service["Environment"] == ["LOGNAME=seidra"]
        assert service["NoNewPrivileges"] == service["MemoryDenyWriteExecute"] == ["true"]
        assert service["ProtectSystem"] == ["strict"]
        # gunicorn gives its processes 30 s, a worker its job 25 s.
        assert int(service["TimeoutStopSec"][0]) > 30
    # One copy of the code: what stands beside `flask` is installed there.
    flask = "/opt/seidra/current/.venv/bin/flask"
    assert server["ExecStart"] == [f"{flask} serve"]
    assert worker["ExecStart"] == [f"{flask} worker --grace 25"]
    assert DOCKERFILE.rstrip().endswith('CMD ["flask", "serve"]')
    for path in re.findall(
        r"/opt/seidra/current/([\w./-]+)", "".join((DEPLOY / name).read_text() for name in UNITS)
    ):
        assert path.startswith(".venv/bin/") or (ROOT / path).exists(), path


# ------------------------------------------------------------------------------------------- Docker


def copies() -> list[str]:
    """What the Dockerfile copies from the checkout."""
    return [
        source
        for words in re.findall(r"^COPY (?!--)(.*)$", DOCKERFILE, re.MULTILINE)
        for source in words.split()[:-1]
    ]


def test_what_the_image_copies_is_there_and_reaches_the_builder() -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignore[1] == "*"
    let = [line[1:] for line in ignore if line.startswith("!")]
    assert sorted(copies()) == sorted(let)
    assert {"seidra", "sql", "migrations"} <= set(copies())
    for source in copies():
        assert (ROOT / source).exists(), source
    assert not any(
        fnmatch(".env", line[1:]) or fnmatch("data", line[1:])
        for line in ignore
        if line.startswith("!")
    )


def test_the_image_is_small_and_nobody_s_root() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    assert len(stages) == 2
    for stage in stages:
        (version,) = re.findall(r"^python:3\.(\d+)-slim", stage)
        assert int(version) >= 11
    final = stages[-1]
    assert "apt-get" not in DOCKERFILE
    assert "--no-index" in final
    assert final.index("\nUSER seidra") < final.index("\nCMD")
    assert "\nHEALTHCHECK " in final
    assert "SEIDRA_REGISTRATION=closed" in final
    assert "LOGNAME=seidra" in final


def test_compose_agrees_with_the_rest() -> None:
    compose: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = compose["services"]
    for name in ("server", "worker"):
        service = services[name]
        assert (
            DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]
        ).resolve() == DEPLOY / "Dockerfile"
        assert service["env_file"] == "seidra.env"
        assert service["volumes"] == ["data:/var/lib/seidra"]
        assert int(service["stop_grace_period"].removesuffix("s")) > 30
    assert set(compose["volumes"]) == {"data"}
    proxy = services["nginx"]
    # One network, so that the address in nginx.conf is the server's; one group, so that it can read
    # the pictures.
    assert proxy["network_mode"] == "service:server"
    assert proxy["user"].split(":")[1] == re.findall(r"groupadd --gid (\d+)", DOCKERFILE)[0]
    for volume in proxy["volumes"]:
        source, _, mode = volume.split(":")
        assert mode == "ro"
        assert source == "data" or (DEPLOY / source).is_file()


# ---------------------------------------------------------------------------------------- the guide


def test_the_guide_clones_a_version(tmp_path: Path) -> None:
    (clone,) = re.findall(r"^```sh\n(git clone .*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.com"]
    source = tmp_path / "source"
    for command in (
        ["init", "--quiet", str(source)],
        ["-C", str(source), "commit", "--quiet", "--allow-empty", "-m", "one"],
        ["-C", str(source), "tag", "v1"],
        ["-C", str(source), "commit", "--quiet", "--allow-empty", "-m", "two"],
        ["-C", str(source), "branch", "next"],
    ):
        subprocess.run([*git, *command], check=True, timeout=60)
    (tmp_path / "opt").mkdir()
    script = clone.replace("/opt/seidra", str(tmp_path / "opt"))
    for version in ("v1", "next"):
        subprocess.run(
            ["sh", "-ec", script],
            env={**os.environ, "REPOSITORY": str(source), "VERSION": version},
            check=True,
            timeout=60,
        )
    assert len(list((tmp_path / "opt").glob("v1*"))) == 2
    assert (tmp_path / "opt" / "v1" / ".git").is_dir()


def test_the_guide_speaks_of_every_file() -> None:
    for path in FILES:
        assert f"deploy/{path.name}" in GUIDE, path.name
    for path in re.findall(r"deploy/([\w.-]+)", GUIDE):
        assert path == "seidra.env" or (DEPLOY / path).exists(), path

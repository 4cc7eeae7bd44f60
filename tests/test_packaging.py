"""The wheel: everything SEIDRA needs is in it, and it runs away from the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from conftest import ENGINE, environment
from test_start import FirstStart, variables

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent

REQUEST = """
import seidra
app = seidra.create_app()
client = app.test_client()
body = {"username": "alice", "email": "alice@example.com", "password": "a long phrase"}
assert client.get("/api/health").status_code == 200
assert client.post("/api/auth/register", json=body).status_code == 201
print(seidra.__file__)
"""


def run(
    *command: str, cwd: Path, path: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run Python outside of the checkout, with nothing of SEIDRA in the environment but what is
    given."""
    variables = {
        k: v for k, v in os.environ.items() if not k.startswith(("SEIDRA_", "FLASK_"))
    } | variables
    if path is not None:
        variables["PYTHONPATH"] = str(path)
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def checked(*command: str, cwd: Path, path: Path | None = None, **variables: str) -> str:
    """What a command that must succeed prints."""
    done = run(*command, cwd=cwd, path=path, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout to build in: builders leave folders behind."""
    target = tmp_path_factory.mktemp("checkout")
    for folder in ("seidra", "sql", "migrations"):
        shutil.copytree(
            ROOT / folder, target / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    (target / "tests").mkdir()
    for file in ("setup.cfg", "pyproject.toml", "README.md"):
        if (ROOT / file).exists():
            shutil.copy(ROOT / file, target / file)
    return target


@pytest.fixture(scope="module")
def wheel(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel."""
    out = tmp_path_factory.mktemp("dist")
    checked("-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), ".", cwd=copy)
    (file,) = out.glob("seidra-*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the wheel is installed in; with it on PYTHONPATH it comes before the
    checkout."""
    target = tmp_path_factory.mktemp("site")
    arguments = (
        "--no-deps",
        "--no-index",
        "--disable-pip-version-check",
        "--target",
        str(target),
        str(wheel),
    )
    checked("-m", "pip", "install", *arguments, cwd=target)
    return target


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(
    copy: Path, wheel: Path
) -> None:
    expected = {
        f"seidra/{path.relative_to(base).as_posix()}"
        for base in (copy / "seidra", copy)
        for path in (
            [*base.rglob("*")]
            if base.name == "seidra"
            else [*base.glob("sql/**/*.sql"), *base.glob("migrations/**/*.sql")]
        )
        if path.is_file()
    }
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == expected
    assert any(name.startswith("seidra/migrations/") for name in names)
    assert any(name.startswith("seidra/sql/") for name in names)


def test_an_installed_wheel_initialises_and_serves_outside_of_the_checkout(
    installed: Path, tmp_path: Path
) -> None:
    variables = environment(tmp_path / "instance")
    said = checked("-m", "flask", "init", cwd=tmp_path, path=installed, **variables)
    assert "Applied" in said
    said = checked("-c", REQUEST, cwd=tmp_path, path=installed, **variables)
    assert Path(said.strip()).is_relative_to(installed)
    applied = checked(
        "-m", "flask", "db", "status", cwd=tmp_path, path=installed, **variables
    ).splitlines()
    folder = ROOT / "migrations" / ("" if ENGINE == "sqlite" else ENGINE)
    migrations = [path for path in folder.glob("*.sql") if ".rollback" not in path.name]
    assert len(applied) == len(migrations)
    assert all(line.startswith("applied") for line in applied)


def test_an_installed_wheel_serves_by_one_command(installed: Path, tmp_path: Path) -> None:
    wheel = {"PYTHONPATH": str(installed), "FLASK_APP": ""}
    with FirstStart(tmp_path, "-m", "flask", "serve", **wheel) as server:
        server.ready().register()
        # A picture: each server process has its worker, and says so.
        assert server.picture(server.preview())
        told = checked(
            "-m", "flask", "doctor", cwd=tmp_path, **(variables(tmp_path / "instance") | wheel)
        )
        assert f"SEIDRA {version('seidra')} in {installed / 'seidra'}" in told
        assert f"SEIDRA is ready.\n  Version         {version('seidra')}\n" in server.stop()
    assert {path.name for path in tmp_path.iterdir()} == {"instance", server.log.name}


@pytest.mark.parametrize(
    "command", [("init",), ("db", "status"), ("serve",), ("worker",), ("summary",)]
)
def test_an_installed_wheel_asks_for_the_database(
    installed: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    done = run("-m", "flask", *command, cwd=tmp_path, path=installed)
    assert done.returncode == 1
    assert (
        done.stderr
        == "Error: SEIDRA_DATABASE_URL must be given when SEIDRA does not run from a checkout.\n"
    )
    assert list(tmp_path.iterdir()) == []
    assert not (installed / "data").exists()


def test_an_editable_install_runs_from_the_checkout(copy: Path, tmp_path: Path) -> None:
    arguments = (
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "--disable-pip-version-check",
        "--ignore-installed",
    )
    checked(
        "-m", "pip", "install", *arguments, "--prefix", str(tmp_path), "-e", str(copy), cwd=tmp_path
    )
    (site,) = tmp_path.rglob("site-packages")
    # Without the site module this Python has no SEIDRA of its own; its libraries come by the path
    # alone.
    program = (
        f"import site, sys; sys.path.insert(0, {str(site)!r}); site.addsitedir({str(site)!r})\n"
        "from seidra.config import in_checkout, packaged_dir, settings\n"
        "from seidra.database.queries import queries\n"
        "print(in_checkout(), packaged_dir('sql'), packaged_dir('migrations'), "
        "settings.database_path)\n"
    )
    said = checked("-S", "-c", program, cwd=tmp_path, path=Path(sysconfig.get_path("purelib")))
    real = copy.resolve()
    assert said.split() == [
        "True",
        str(real / "sql"),
        str(real / "migrations"),
        str(real / "data" / "seidra.db"),
    ]


def test_an_incomplete_installation_is_a_clear_error(installed: Path, tmp_path: Path) -> None:
    broken = tmp_path / "site"
    shutil.copytree(installed, broken)
    for file in (broken / "seidra" / "migrations").rglob("*.sql"):
        file.unlink()
    done = run(
        "-m", "flask", "init", cwd=tmp_path, path=broken, **environment(tmp_path / "instance")
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: There are no migrations in ")
    assert done.stderr.count("\n") == 1


def test_requirements_install_the_checkout_itself() -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] in (["-e ."], ["."])

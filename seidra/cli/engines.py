"""`flask engines ...`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import click

from seidra import engines as kinds
from seidra.cli.groups import CheckedGroup
from seidra.config import get_settings
from seidra.database import DatabaseService
from seidra.engines.base import Capabilities, Options
from seidra.engines.setup import Configured
from seidra.jobs.engine_watch import probe_engine
from seidra.jobs.engines import engines_json

PLACES = (
    ("comfyui", 8188, ""),
    ("comfyui", 8000, ""),
    ("sdapi", 7860, ""),
    ("sdapi", 1234, "sdcpp"),
    ("openai", 8080, "localai"),
)
"""Where the programs listen that people run: kind, port and dialect."""


@click.group(cls=CheckedGroup)
def engines() -> None:
    """What renders."""


@engines.command("list")
def list_engines() -> None:
    """List the engines that there are, as the workers saw them last."""
    settings = get_settings()
    setup = kinds.read_setup(settings)
    with DatabaseService(settings) as service:
        for engine in engines_json(service.database.connection, setup):
            default = "default" if engine["is_default"] else ""
            click.echo(
                f"{engine['name']:<20}  {engine['kind']:<10}  {engine['status']:<12}"
                f"  {engine['running']} running, {engine['waiting']} waiting  {default}".rstrip()
            )
            if engine["message"]:
                click.echo(f"    {engine['message']}")


@engines.command("check")
@click.argument("name", required=False)
def check_engines(name: str | None) -> None:
    """Ask the engines, or one, what they have. Code 1 when one does not answer."""
    setup = kinds.check_setup(get_settings())
    if name is not None and name not in setup.engines:
        raise click.ClickException(
            f"There is no engine {name!r}; there is {', '.join(setup.engines)}."
        )
    silent = 0
    for each in [name] if name is not None else list(setup.engines):
        found = probe_engine(kinds.make(each, setup.engines[each]))
        silent += isinstance(found, str)
        click.echo(f"{each}: {found if isinstance(found, str) else _in_words(found)}")
    if silent:
        raise click.ClickException(f"{silent} of the engines do not answer.")


@engines.command("find")
@click.option("--host", default="127.0.0.1", help="Where to look.")
def find_engines(host: str) -> None:
    """Look which engines run on this machine, and say what to write for them."""

    def look(place: tuple[str, int, str]) -> Capabilities | str:
        kind, port, dialect = place
        options = Options(url=f"http://{host}:{port}", dialect=dialect)
        return probe_engine(kinds.make(kind, Configured(kind, options)))

    with ThreadPoolExecutor(len(PLACES)) as pool:
        answers = list(pool.map(look, PLACES))
    found = [
        (place, answer)
        for place, answer in zip(PLACES, answers, strict=True)
        if isinstance(answer, Capabilities)
    ]
    if not found:
        ports = ", ".join(str(port) for _, port, _ in PLACES)
        raise click.ClickException(f"No engine answers at {host}, on none of the ports {ports}.")
    for (kind, port, _), can in found:
        click.echo(f"{kind} at http://{host}:{port}: {_in_words(can)}")
        click.echo(f"    SEIDRA_ENGINE={kind}\n    SEIDRA_ENGINE_URL=http://{host}:{port}")


def _in_words(can: Capabilities) -> str:
    version = f"version {can.version}, " if can.version else ""
    return f"{version}{len(can.models)} models, {len(can.loras)} LoRAs."

"""`make lint`: no installed package has a known hole, as far as the database of them (PyPI's) can
be asked.

Without it, say on a machine without the network, this says so and lets the rest of the checks go
on.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def ask() -> list[dict[str, Any]] | None:
    """What pip-audit knows of each installed package; None when it got no answer."""
    command = [
        str(Path(sys.executable).with_name("pip-audit")),
        "--local",
        "--skip-editable",
        "--format",
        "json",
        "--progress-spinner",
        "off",
        "--timeout",
        "5",
    ]
    answer = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    packages: list[dict[str, Any]] | None = json.loads(answer)["dependencies"] if answer else None
    return packages


def judge(packages: list[dict[str, Any]] | None) -> tuple[str, int]:
    """A sentence for people and the exit code: 1 where a package has a known hole."""
    checked = [package for package in packages or [] if "vulns" in package]
    if not checked:
        return "Known holes: not checked, their database cannot be asked from here.", 0
    holes = [
        f"  {package['name']} {package['version']}: {hole['id']}, mended in "
        f"{', '.join(hole['fix_versions']) or 'none'}"
        for package in checked
        for hole in package["vulns"]
    ]
    if holes:
        return "\n".join(["Known holes:", *holes]), 1
    return f"Known holes: none in {len(checked)} packages.", 0


if __name__ == "__main__":
    sentence, code = judge(ask())
    print(sentence)
    sys.exit(code)

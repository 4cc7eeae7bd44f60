"""Run the soak and print its figures; code 1 when anything was lost.

`SOAK_QUICK=1` takes about a minute. `--only crash,contention,durability` runs some parts.
Everything happens in a temporary folder (TMPDIR says where) and on 127.0.0.1; the folder is kept
when something was lost.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from soak import contention, crash, durability


def parts(quick: bool, kills: int | None, seed: int) -> dict[str, Callable[[Path], dict[str, Any]]]:
    """The parts by name."""
    return {
        "crash": lambda folder: crash.run(folder, kills or (8 if quick else 100), seed),
        "contention": lambda folder: contention.run(folder, 10 if quick else 120),
        "durability": lambda folder: durability.run(folder, 30 if quick else 200),
    }


def main() -> int:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument(
        "--only", default="crash,contention,durability", help="parts, separated by commas"
    )
    parser.add_argument("--kills", type=int, help="how many kills (default 100, quick 8)")
    parser.add_argument(
        "--seed", type=int, default=int(time.time()), help="repeats the choices, not the timing"
    )
    options = parser.parse_args()
    quick = os.environ.get("SOAK_QUICK", "") not in ("", "0")
    chosen = parts(quick, options.kills, options.seed)
    if unknown := set(options.only.split(",")) - set(chosen):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    base = Path(tempfile.mkdtemp(prefix="seidra-soak-"))
    print(f"seed {options.seed}, in {base}", flush=True)
    breaches = 0
    for name in options.only.split(","):
        began = time.monotonic()
        (base / name).mkdir()
        figures = chosen[name](base / name)
        breaches += len(figures["breaches"])
        print(f"{name} ({time.monotonic() - began:.0f} s)")
        for key, value in figures.items():
            print(f"  {key:<12} {value or 'none'}", flush=True)
    if not breaches:
        shutil.rmtree(base)
    print(f"{breaches} breaches" if breaches else "Nothing was lost.")
    return breaches > 0


if __name__ == "__main__":
    sys.exit(main())

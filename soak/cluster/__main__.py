"""Run SEIDRA on several machines, and let them fail; code 1 when anything was lost.

Two web and four worker nodes, PostgreSQL, a server of S3, Redis and nginx, each in a network
namespace of its own; nothing of it reaches the host's network. CLUSTER_JOBS says how many jobs are
queued (10,000), CLUSTER_MINUTES how long that may take (45), CLUSTER_QUICK=1 queues 600 in some
minutes, CLUSTER_SEED repeats the choices, though not the timing. Everything else is in a temporary
folder (TMPDIR says where), which is kept when something was lost. It needs root, and the packages
of Debian that it names where they are missing.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType

from soak.cluster.network import HUB, made_network
from soak.cluster.services import missing
from soak.instance import ROOT


def main() -> int:
    """Make the network, run what is in it, and take it down."""
    if os.geteuid() != 0:
        print("make soak-cluster makes network namespaces: run it as root.", file=sys.stderr)
        return 2
    if packages := missing():
        print(
            "make soak-cluster needs more of Debian's packages: apt-get install"
            f" --no-install-recommends {' '.join(packages)}",
            file=sys.stderr,
        )
        return 2
    signal.signal(signal.SIGTERM, _stop)
    folder = Path(tempfile.mkdtemp(prefix="seidra-cluster-"))
    # PostgreSQL's account passes through it.
    folder.chmod(0o755)
    code = 1
    try:
        with made_network() as network:
            run = (sys.executable, "-m", "soak.cluster.run", str(os.getpid()), str(folder))
            inside = ["ip", "netns", "exec", network.namespace(HUB), *run]
            process = subprocess.Popen(inside, env=os.environ | {"PYTHONPATH": str(ROOT)})
            # Whatever ends this ends the other one too: its network goes.
            code = process.wait()
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        code = 130
    if code == 1:
        print(f"The logs are in {folder}.")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return code


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

"""The run itself, in the hub of a network that `python -m soak.cluster` has made."""

from __future__ import annotations

import os
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from soak.cluster import audit, services
from soak.cluster.chaos import Chaos
from soak.cluster.clients import Account, Budget, Figures
from soak.cluster.machines import Keeper, Machine
from soak.cluster.network import ADDRESSES, Network
from soak.cluster.nodes import Nodes
from soak.cluster.services import Postgresql, listens, wait_for
from soak.instance import PASSWORD

ACCOUNTS = 10


class Cluster:
    """Every machine, started."""

    def __init__(self, network: Network, folder: Path) -> None:
        self.folder = folder
        self.network = network
        self.database = Postgresql(network, folder)
        self.others = [
            services.redis(network, folder),
            services.s3(network, folder),
            services.front(network, folder),
        ]
        self.nodes = Nodes(network, folder, ACCOUNTS)

    def start(self) -> None:
        """Start the services, then all nodes at once: one of them makes the schema."""
        self.database.make()
        for machine in self.others:
            machine.start()
        redis, s3, front = self.others
        wait_for("Redis", lambda: listens(ADDRESSES["redis"], 6379), redis)
        wait_for("S3", services.make_bucket, s3)
        wait_for("nginx", lambda: listens(*services.FRONT), front)
        for node in self.nodes.all:
            node.start()
        for node in self.nodes.all:
            wait_for("SEIDRA", partial(self.serves, node), node, 180)
        code, said = self.nodes.flask(
            "web1",
            "users",
            "create",
            "--admin",
            "admin",
            "admin@example.com",
            SEIDRA_PASSWORD=PASSWORD,
        )
        if code != 0:
            raise RuntimeError(said)

    def serves(self, node: Machine) -> bool:
        """Whether a node is at work: it takes connections, or has said so since it was started."""
        if node in self.nodes.web:
            return listens(ADDRESSES[node.name], services.WEB_PORT)
        seen = f"SELECT 1 FROM workers WHERE host = '{node.name}' AND pid = {node.pid}"
        try:
            return bool(audit.rows(seen))
        except psycopg.Error:
            return False

    @property
    def machines(self) -> list[Machine]:
        """All of them."""
        return [self.database, *self.others, *self.nodes.all]


def run(network: Network, folder: Path, jobs: int, minutes: float, seed: int) -> int:
    """Run, and print the figures; returns how many breaches there are."""
    print(f"seed {seed}, {jobs} jobs, in {folder}", flush=True)
    cluster = Cluster(network, folder)
    began = time.monotonic()
    cluster.start()
    audit.place_witness()
    print(f"started in {time.monotonic() - began:.0f} s", flush=True)
    figures, budget = Figures(), Budget(jobs)
    accounts = [Account(f"user{n}", seed + n, figures, budget) for n in range(ACCOUNTS)]
    for account in accounts:
        account.register()
    breaches = _one_too_many(figures, budget)
    keeper = Keeper(cluster.nodes.all)
    chaos = Chaos(
        network,
        cluster.nodes.web,
        cluster.nodes.work,
        {machine.name: machine for machine in cluster.machines},
        lambda: max(budget.taken / jobs, (time.monotonic() - began) / 60 / minutes),
        cluster.serves,
        seed,
    )
    began = time.monotonic()
    for account in accounts:
        account.start()
    chaos.start()
    breaches += _wait_for(accounts, budget, began, minutes)
    queued = time.monotonic() - began
    chaos.end()
    if breach := audit.wait_until_done(180):
        breaches.append(breach)
    took = time.monotonic() - began
    deadline = time.monotonic() + 60
    while not all(account.saw_all() for account in accounts) and time.monotonic() < deadline:
        time.sleep(0.2)
    for account in accounts:
        account.leave()
    told = audit.figures()
    if breach := audit.run_out(60):
        breaches.append(breach)
    keeper.stop()
    breaches += audit.breaches(accounts, cluster.nodes)
    breaches += [f"{n} counters of {name} are wrong" for name, n in audit.wrong_counts().items()]
    breaches += chaos.failed + figures.wrong
    _report(told, figures, chaos, cluster, queued, took)
    for breach in breaches[:40]:
        print(f"  BREACH {breach[:600]}")
    print(f"{len(breaches)} breaches" if breaches else "Nothing was lost.", flush=True)
    return len(breaches)


def _one_too_many(figures: Figures, budget: Budget) -> list[str]:
    """Both nodes count in Redis: whichever is asked, nobody can register once more."""
    found = []
    for n in range(4):
        try:
            Account(f"more{n}", 0, figures, budget).register()
        except RuntimeError as error:
            if "429" not in str(error):
                found.append(str(error))
        else:
            found.append(f"{ACCOUNTS + n + 1} accounts were registered; {ACCOUNTS} are allowed")
    return found


def _wait_for(
    accounts: Sequence[Account], budget: Budget, began: float, minutes: float
) -> list[str]:
    """Wait until all is queued; where the time is up, no more is."""
    told = time.monotonic()
    while any(not account.join(0.5) for account in accounts):
        now = time.monotonic()
        if now - told > 30:
            told = now
            ended = sum(len(account.ended) for account in accounts)
            print(f"  {now - began:4.0f} s: {budget.taken} queued, {ended} ended", flush=True)
        if now - began > minutes * 60:
            budget.close()
        if now - began > minutes * 60 + 600:
            return ["clients have not ended ten minutes after the time was up"]
    return []


def _report(
    told: dict[str, Any],
    figures: Figures,
    chaos: Chaos,
    cluster: Cluster,
    queued: float,
    took: float,
) -> None:
    jobs = sum(told["jobs"].values())
    lines = {
        "jobs": f"{jobs} {told['jobs']} with {told['pictures']} pictures in {took:.0f} s:"
        f" {jobs / took:.1f}/s; queued in {queued:.0f} s",
        "claims": f"{told['claims']}, and {told['taken over']} taken over from lost workers",
        "requests": f"{sum(figures.answered.values())} answered, {dict(figures.answered)}",
        "sent again": dict(figures.refused),
        "slowest s": {how: round(seconds, 2) for how, seconds in sorted(figures.longest.items())},
        "faults": dict(sorted(chaos.done.items())),
        "restarts": sum(machine.restarts for machine in cluster.nodes.all),
        "streams": dict(sorted(figures.streams.items())),
    }
    for name, line in lines.items():
        print(f"  {name:<12} {line}")
    for outage in chaos.outages:
        print(f"  {outage.what:<20} {_during(figures, outage.began, outage.ended)}")
    for what, count in _errors(cluster).most_common(12):
        print(f"  log {count:>6} x {what}")


def _during(figures: Figures, began: float, ended: float) -> str:
    """How requests went that began while a service was away."""
    ended = ended or time.monotonic()
    ways: Counter[str] = Counter()
    longest: dict[str, float] = {}
    last = began
    for at, took, how in figures.moments:
        if began - 1 <= at <= ended:
            ways[how] += 1
            longest[how] = max(longest.get(how, 0.0), took)
        if how in ("503", "504", "lost") and began <= at + took <= ended + 30:
            last = max(last, at + took)
    slow = ", ".join(f"{n} x {how} (longest {longest[how]:.1f} s)" for how, n in ways.items())
    return f"away for {ended - began:.1f} s: {slow or 'nothing was noticed'}; the last failure" + (
        f" {last - ended:+.1f} s from its return"
    )


def _errors(cluster: Cluster) -> Counter[str]:
    """What nodes have logged as an error or a traceback, without what differs from line to line."""
    found: Counter[str] = Counter()
    for machine in cluster.nodes.all:
        for line in machine.log.read_text(errors="replace").splitlines():
            if '"level":"' in line and '"level":"info"' not in line:
                message = re.sub(r"[0-9a-f]{8,}|\d+", "#", line.partition('"message":"')[2])
                found[message[:160]] += 1
    return found


def main() -> int:
    """Arguments: whose network it is, and the folder."""
    quick = os.environ.get("CLUSTER_QUICK", "") not in ("", "0")
    jobs = int(os.environ.get("CLUSTER_JOBS", "600" if quick else "10000"))
    minutes = float(os.environ.get("CLUSTER_MINUTES", "5" if quick else "45"))
    seed = int(os.environ.get("CLUSTER_SEED", str(int(time.time()))))
    try:
        return run(Network(int(sys.argv[1])), Path(sys.argv[2]), jobs, minutes, seed) > 0
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())

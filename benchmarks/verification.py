"""How long verifying takes, against simulated clusters in processes of their own.

Run it with ``python benchmarks/verification.py [--rounds N] [--runs N] [--speed S]``.

- A whole run of all checks beside its chain of exclusive checks, which no run can be quicker than.
- Fifty runs at a time in this one process, on two cores, beside a single run.
- Requests the API server gets in a run.

The clock of the simulated clusters runs faster than ours: at 25 times for whole runs, and at twice for fifty
runs at a time, which share the two cores with their fifty clusters. A real cluster takes longer over the same
things, and does so elsewhere. Ends with 1 where a limit is exceeded.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from conformance import checks, engine, probe_settings  # noqa: E402
from conformance.catalogue import Checklist, builtin_checklists  # noqa: E402
from conformance.cluster import kubeconfig  # noqa: E402
from conformance.cluster.connection import connect  # noqa: E402
from conformance.cluster.guard import NetworkPolicy  # noqa: E402
from conformance.report import Cleanup, Report  # noqa: E402
from conformance.simulator import start  # noqa: E402
from conformance.verdicts import CheckResult, Outcome  # noqa: E402

VERSION = "1.37"
CORES = 2
CLUSTERS_PER_PROCESS = 25
WHOLE_SPEED = 25.0
LIMIT_RATIO, LIMIT_SLOWDOWN, LIMIT_RSS_MIB, LIMIT_REQUESTS = 1.25, 2.0, 1024.0, 1500


class Host:
    """A process that serves simulated clusters."""

    def __init__(self, count: int, speed: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--host", str(count), "--speed", str(speed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def hear(self) -> str:
        """Return the next line it says."""
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise SystemExit("a process with simulated clusters broke down")
        return line

    def ask(self, text: str) -> str:
        """Say something to it and return what it answers."""
        if self._process.stdin:
            self._process.stdin.write(f"{text}\n")
            self._process.stdin.flush()
        return self.hear()

    def end(self) -> None:
        """Let it end, and wait for that."""
        self._process.communicate(timeout=60)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """A simulated cluster in another process."""

    port: int
    kubeconfig: str
    settings: str
    host: Host
    number: int

    def requests(self) -> int:
        """Return how many requests it has had."""
        return int(self.host.ask(str(self.number)))


class Stopwatch:
    """Notes how long each check takes, its clean-up included."""

    def __init__(self) -> None:
        self._begun: dict[str, float] = {}
        self.seconds: dict[str, float] = {}

    def started(self, check_id: str, at: datetime) -> None:
        self._begun[check_id] = time.monotonic()

    def finished(self, result: CheckResult) -> None:
        if result.id in self._begun:
            self.seconds[result.id] = time.monotonic() - self._begun[result.id]

    def cleaned(self, cleanup: Cleanup) -> None:
        """What is left is in the report."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="of whole runs")
    parser.add_argument("--runs", type=int, default=50, help="at a time")
    parser.add_argument("--speed", type=float, default=2.0, help="of the clusters many runs share")
    parser.add_argument("--host", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.host is not None:
        return _host(options.host, options.speed)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    count = len(list(_everything().requirements()))
    print(f"{count} checks, Python {sys.version.split()[0]}, {len(os.sched_getaffinity(0))} cores\n")
    print(f"{'':44}{'measured':>12}   limit")
    good = _whole_runs(options.rounds)
    good = _many_runs(options.runs, options.speed) and good
    return 0 if good else 1


def _everything() -> Checklist:
    """Return the newest checklist with the requirements only older ones have."""
    newest = builtin_checklists()[VERSION]
    missing = {
        requirement.id: (category.key, requirement)
        for checklist in builtin_checklists().values()
        for category, requirement in checklist.requirements()
    }
    for _, requirement in newest.requirements():
        del missing[requirement.id]
    categories = tuple(
        dataclasses.replace(
            category,
            requirements=(
                *category.requirements,
                *(requirement for key, requirement in missing.values() if key == category.key),
            ),
        )
        for category in newest.categories
    )
    return dataclasses.replace(newest, categories=categories)


# Clusters -----------------------------------------------------------------------------------------


def _host(count: int, speed: float) -> int:
    """Serve clusters until standard input ends; tell where they are, and on request what they were asked."""
    with contextlib.ExitStack() as stack:
        clusters = [stack.enter_context(start(f"conformant-{VERSION}", speed=speed)) for _ in range(count)]
        for cluster in clusters:
            # The manifest of this version leaves out what only older checklists need.
            told = {
                "port": cluster.port,
                "kubeconfig": cluster.admin_kubeconfig,
                "settings": cluster.settings,
            }
            print(json.dumps(told), flush=True)
        for line in sys.stdin:
            print(clusters[int(line)].requests().total(), flush=True)
    return 0


@contextlib.contextmanager
def _clusters(count: int, speed: float) -> Iterator[list[Cluster]]:
    with contextlib.ExitStack() as stack:
        found: list[Cluster] = []
        while len(found) < count:
            number = min(CLUSTERS_PER_PROCESS, count - len(found))
            host = Host(number, speed)
            stack.callback(host.end)
            found += [Cluster(**json.loads(host.hear()), host=host, number=index) for index in range(number)]
        yield found


def _verify(cluster: Cluster, checklist: Checklist, watch: Stopwatch | None = None) -> Report:
    policy = NetworkPolicy(allowed=frozenset({("127.0.0.1", cluster.port)}))
    access = kubeconfig.load(cluster.kubeconfig.encode())
    with contextlib.closing(connect(access, policy)) as connection:
        return engine.verify(
            connection,
            checklist,
            run_id=str(uuid.uuid4()),
            settings=probe_settings.parse(cluster.settings.encode()),
            budget=timedelta(hours=1),
            listener=watch,
        )


# Measuring ----------------------------------------------------------------------------------------


def _whole_runs(rounds: int) -> bool:
    exclusive = {info.id for info in checks.info() if info.exclusive}
    checklist = _everything()
    whole, chains, requests = [], [], []
    with _clusters(1, WHOLE_SPEED) as [cluster]:
        _expect_good(_verify(cluster, checklist))
        for _ in range(rounds):
            watch, before, began = Stopwatch(), cluster.requests(), time.monotonic()
            report = _verify(cluster, checklist, watch)
            whole.append(time.monotonic() - began)
            chains.append(sum(seconds for name, seconds in watch.seconds.items() if name in exclusive))
            requests.append(cluster.requests() - before)
            _expect_good(report)
    ratio = statistics.median(one / chain for one, chain in zip(whole, chains, strict=True))
    print(f"{'whole run':44}{statistics.median(whole):>10.1f} s")
    print(f"{'its chain of exclusive checks':44}{statistics.median(chains):>10.1f} s")
    good = _compare("whole run : chain", ratio, LIMIT_RATIO)
    return _compare("requests in a run, at most", max(requests), LIMIT_REQUESTS) and good


def _many_runs(count: int, speed: float) -> bool:
    checklist = _everything()
    with _clusters(count, speed) as clusters:
        began = time.monotonic()
        _expect_good(_verify(clusters[0], checklist))
        one = time.monotonic() - began
        reports: list[Report] = []
        threads = [
            threading.Thread(target=lambda cluster=cluster: reports.append(_verify(cluster, checklist)))
            for cluster in clusters
        ]
        began, worked = time.monotonic(), time.process_time()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        many, worked = time.monotonic() - began, time.process_time() - worked
    if len(reports) != count:
        raise SystemExit(f"only {len(reports)} of {count} runs ended")
    for report in reports:
        _expect_good(report)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{'one run, at the slower clock':44}{one:>10.1f} s")
    print(f"{f'{count} runs at a time':44}{many:>10.1f} s")
    print(f"{'of which this process worked, each run':44}{worked / count:>10.1f} s")
    good = _compare(f"{count} runs : one run", many / one, LIMIT_SLOWDOWN)
    return _compare("peak memory of this process, MiB", peak, LIMIT_RSS_MIB) and good


def _expect_good(report: Report) -> None:
    """Stop where a run did not do what is measured."""
    if report.outcome is not Outcome.CONFORMANT or not report.cleanup.complete:
        odd = [
            f"{entry.id}: {entry.status} {entry.reason}" for entry in report.results if entry.status != "pass"
        ]
        raise SystemExit(f"a run against a good cluster was {report.outcome}: {'; '.join(odd)}")


def _compare(what: str, value: float, limit: float) -> bool:
    good = value <= limit
    print(f"{what:44}{value:>12.2f}   {limit:g}{'' if good else '   EXCEEDED'}")
    return good


if __name__ == "__main__":
    sys.exit(main())

"""What a killed worker costs: nothing. Runs whose worker is killed at a random moment, again and again.

Run it with ``python benchmarks/kills.py [N] [--width W] [--seed S]``. Real workers of the queue check
simulated clusters, several runs at a time. While runs are under way the worker process is killed with
SIGKILL and another one is started. It goes on until N runs were hit in their middle, and looks at each
when it has ended: exactly one verdict per requirement, in the database and in the sealed report, and
nothing left in its cluster. Exit code 0 only if that holds for every run.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conformance.simulator import SimulatedCluster
    from submissions.models import Submission, TestCluster, VerificationRun

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

VERSION = "1.36"
SPEED = 50.0
LEASE_SECONDS = 3
RING_SECONDS = 1.0
LOOK_SECONDS = 0.1
START_SECONDS = 120.0
END_SECONDS = 600.0
# The end of a run is short; a kill after it would hit nothing.
LATEST = 0.9


class WorkerProcess:
    """A worker of the queue in a process of its own, which can be killed and started again."""

    def __init__(self, folder: Path, width: int) -> None:
        self._log = (folder / "worker.log").open("ab")
        self._command = [
            *(sys.executable, "-m", "celery", "-A", "certportal", "--quiet", "worker"),
            *("--pool", "threads", "--concurrency", str(width + 1), "--queues", "portal,verification"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING"),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def kill(self) -> None:
        """End it at once; it gets no chance to tidy up."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.kill()
        self._log.close()


@contextlib.contextmanager
def portal(folder: Path) -> Iterator[None]:
    """A portal of this script's own, with a database and a queue in `folder`."""
    for name in ("DATABASE_URL", "REDIS_URL"):
        os.environ.pop(name, None)
    os.environ |= {
        "DATA_DIR": str(folder),
        "EMBEDDED": "true",
        "RUN_LEASE": f"{LEASE_SECONDS}s",
        "LOG_LEVEL": "ERROR",
        "DJANGO_SETTINGS_MODULE": "certportal.settings",
        "PYTHONWARNINGS": "ignore:You're running the worker with superuser privileges",
    }
    import django
    from django.core.management import call_command
    from django.db import connections

    django.setup()
    call_command("migrate", verbosity=0)
    try:
        yield
    finally:
        connections.close_all()


@contextlib.contextmanager
def platforms(folder: Path, width: int) -> Iterator[list[SimulatedCluster]]:
    """Simulated clusters that the portal may reach."""
    from conformance.simulator import start

    home = folder / "clusters"
    home.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        clusters = [stack.enter_context(start(f"conformant-{VERSION}", speed=SPEED)) for _ in range(width)]
        for number, cluster in enumerate(clusters):
            (home / f"{number}.yaml").write_text(cluster.kubeconfig)
        yield clusters


def prepare(clusters: list[SimulatedCluster]) -> tuple[Submission, list[TestCluster]]:
    """A vendor with a submission, and the clusters registered."""
    from certportal.accounts.models import User
    from conformance.catalogue import builtin_checklists
    from registry.services import publish_checklist
    from submissions.services import clusters as cluster_service
    from submissions.services import drafting, organizations

    user = User.objects.create_user("vendor@example.com", None, name="Vera")
    organization = organizations.create_organization(actor=user, name="Northwind", website_url="")
    platform = organizations.create_platform(organization=organization, actor=user, name="Engine")
    checklist, _ = publish_checklist(checklist=builtin_checklists()[VERSION], source="builtin")
    submission = drafting.create_submission(
        actor=user, configuration=platform.configurations.get(), checklist=checklist
    )
    registered = [
        cluster_service.register_cluster(
            organization=organization, actor=user, name=f"lab-{number}", data=cluster.kubeconfig.encode()
        )
        for number, cluster in enumerate(clusters)
    ]
    return submission, registered


# Runs ---------------------------------------------------------------------------------------------------


def ask(submission: Submission, clusters: list[TestCluster]) -> list[VerificationRun]:
    from submissions.services import runs

    return [
        runs.request_run(submission=submission, cluster=cluster, actor=cluster.created_by)
        for cluster in clusters
    ]


def states(asked: list[VerificationRun]) -> Counter[str]:
    from submissions.models import VerificationRun

    rows = VerificationRun.objects.filter(pk__in=[run.pk for run in asked])
    return Counter(rows.values_list("status", flat=True))


def running(asked: list[VerificationRun]) -> set[int]:
    from submissions.models import VerificationRun

    rows = VerificationRun.objects.filter(pk__in=[run.pk for run in asked], status="running")
    return set(rows.values_list("pk", flat=True))


def until(condition: Any, seconds: float) -> bool:
    """Wait for a condition, and ring the doorbell each second as the portal's beat does each minute."""
    from django.utils import timezone

    from submissions.services import runs

    ends, ring = time.monotonic() + seconds, 0.0
    while time.monotonic() < ends:
        if condition():
            return True
        if time.monotonic() >= ring:
            runs.reconcile_runs(now=timezone.now())
            ring = time.monotonic() + RING_SECONDS
        time.sleep(LOOK_SECONDS)
    return False


def have_ended(asked: list[VerificationRun]) -> bool:
    found = states(asked)
    return not found["queued"] and not found["running"]


def verdicts(run: VerificationRun) -> dict[str, str]:
    return dict(run.results.values_list("requirement_id", "status"))


def faults(run: VerificationRun, requirements: list[str]) -> list[str]:
    """What is wrong with a run that has ended; nothing, if all is well."""
    run.refresh_from_db()
    found = []
    if run.status != "finished":
        return [f"it is {run.status}: {run.error}"]
    if list(run.results.values_list("requirement_id", flat=True)) != requirements:
        found.append("the database has not exactly one result per requirement")
    if run.results.filter(finished_at=None).exclude(reason="no_check").exists():
        found.append("a requirement has no verdict")
    report = run.report or {}
    reported = {entry["id"]: entry["status"] for entry in report["results"]}
    if [entry["id"] for entry in report["results"]] != requirements:
        found.append("the report has not exactly one result per requirement")
    if reported != verdicts(run):
        found.append("report and database disagree")
    if not report["cleanup"]["complete"]:
        found.append(f"it says that it left behind {report['cleanup']['left_behind']}")
    return found


def leftovers(cluster: SimulatedCluster) -> list[str]:
    """Every object of a run in the cluster, whatever its kind."""
    from conformance.context import RUN_LABEL

    def look(world: Any) -> list[str]:
        mine = {
            namespace["metadata"]["name"]
            for namespace in world.store.each("namespaces")
            if RUN_LABEL in (namespace["metadata"].get("labels") or {})
        }
        return [
            f"{entry.key}/{item['metadata']['name']}"
            for entry in world.types
            for item in world.store.each(entry.key)
            if RUN_LABEL in (item["metadata"].get("labels") or {})
            or item["metadata"].get("namespace") in mine
        ]

    return cluster.call(look)


# The benchmark ------------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("kills", type=int, nargs="?", default=100, metavar="N", help="runs to hit (100)")
    parser.add_argument("--width", type=int, default=4, help="runs at a time, each on its own cluster (4)")
    parser.add_argument("--seed", type=int, default=None, help="of the random moments")
    options = parser.parse_args()
    # Whoever stops this script wants its workers gone, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    width = max(1, min(options.width, options.kills))
    with tempfile.TemporaryDirectory(prefix="kills-") as name, portal(Path(name)):
        return measure(Path(name), options.kills, width, seed)


def measure(folder: Path, kills: int, width: int, seed: int) -> int:
    chance = random.Random(seed)  # noqa: S311 - moments, not secrets
    worker = WorkerProcess(folder, width)
    started = time.monotonic()
    try:
        with platforms(folder, width) as clusters:
            submission, registered = prepare(clusters)
            requirements = list(submission.checklist.requirements.values_list("requirement_id", flat=True))
            worker.start()
            undisturbed, expected = calibrate(submission, registered)
            print(f"undisturbed: {width} runs at a time take {undisturbed:.1f} s; seed {seed}", flush=True)
            tally, lasting = Tally(), undisturbed
            while tally.hit < kills and not tally.is_hopeless:
                batch = registered[: min(width, kills - tally.hit)]
                asked = ask(submission, batch)
                until(lambda asked=asked: running(asked), START_SECONDS)
                moment = chance.uniform(0, lasting * LATEST)
                until(lambda: False, moment)
                hit = running(asked)
                if not hit:
                    # The machine has become quicker since; aim into the runs again.
                    lasting = moment
                worker.kill()
                worker.start()
                if not until(lambda asked=asked: have_ended(asked), END_SECONDS):
                    print(f"not ended within {END_SECONDS:g} s: {dict(states(asked))}", flush=True)
                tally.add(asked, hit, clusters, requirements, expected)
            seconds = time.monotonic() - started
    finally:
        worker.close()
    print(f"{tally.summary(len(requirements))}, {seconds:.0f} s", flush=True)
    return 0 if tally.is_clean and tally.hit >= kills else 1


def calibrate(submission: Submission, registered: list[TestCluster]) -> tuple[float, dict[str, str]]:
    """How long runs take that nobody disturbs, and what they say."""
    asked = ask(submission, registered)
    until(lambda: running(asked), START_SECONDS)
    began = time.monotonic()
    if not until(lambda: have_ended(asked), END_SECONDS):
        raise SystemExit("undisturbed runs do not end; see the worker's log")
    return time.monotonic() - began, verdicts(asked[0])


class Tally:
    """What became of the runs."""

    def __init__(self) -> None:
        self.runs = self.hit = self.broken = self.other_verdicts = self.left = 0
        self.attempts: Counter[int] = Counter()
        # Not one run of the last batch came out well: going on would only say the same again.
        self.is_hopeless = False

    def add(
        self,
        asked: list[VerificationRun],
        hit: set[int],
        clusters: list[SimulatedCluster],
        requirements: list[str],
        expected: dict[str, str],
    ) -> None:
        broken: list[bool] = []
        for run, cluster in zip(asked, clusters, strict=False):
            wrong, left = faults(run, requirements), leftovers(cluster)
            self.runs += 1
            self.hit += run.pk in hit
            self.broken += bool(wrong)
            broken.append(bool(wrong))
            self.left += len(left)
            self.attempts[run.attempts] += 1
            differing = {
                name: status for name, status in verdicts(run).items() if status != expected.get(name)
            }
            self.other_verdicts += bool(differing)
            if left:
                wrong.append(f"{len(left)} objects left in the cluster, such as {', '.join(left[:3])}")
            for text in wrong:
                print(f"run {run.pk}: {text}", flush=True)
            if differing:
                print(f"run {run.pk}: other verdicts than undisturbed: {differing}", flush=True)
        self.is_hopeless = all(broken)
        print(f"{self.hit} runs hit", flush=True)

    @property
    def is_clean(self) -> bool:
        return not self.broken and not self.left

    def summary(self, requirements: int) -> str:
        return (
            f"kills: {self.hit} runs hit of {self.runs}, {self.runs - self.broken} with exactly one verdict "
            f"for each of {requirements} requirements, {self.left} objects left behind, "
            f"{self.other_verdicts} with other verdicts than undisturbed, "
            f"at most {max(self.attempts, default=0)} attempts"
        )


if __name__ == "__main__":
    sys.exit(main())

"""Runs of the engine against a simulated cluster, and looks behind its back."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from conformance import engine
from conformance.catalogue import builtin_checklists
from conformance.cluster import kubeconfig, rbac
from conformance.cluster.connection import Connection, connect
from conformance.cluster.guard import NetworkPolicy
from conformance.context import RUN_LABEL
from conformance.report import Cleanup, Report
from conformance.rights import Right
from conformance.simulator import SimulatedCluster, platform, start
from conformance.verdicts import CheckResult, ScenarioResult, StepResult

SPEED = 50.0


@dataclass
class Recorder:
    """A listener that remembers, and does something when a check starts."""

    on_start: Callable[[str], None] | None = None
    started_ids: list[str] = field(default_factory=list)
    finished_results: list[CheckResult] = field(default_factory=list)
    finished_steps: list[tuple[str, StepResult]] = field(default_factory=list)
    finished_scenarios: list[ScenarioResult] = field(default_factory=list)
    cleanups: list[Cleanup] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)

    def started(self, check_id: str, at: datetime) -> None:
        import threading

        assert at <= datetime.now(UTC)
        self.threads.add(threading.get_ident())
        self.started_ids.append(check_id)
        if self.on_start:
            self.on_start(check_id)

    def finished(self, result: CheckResult) -> None:
        import threading

        self.threads.add(threading.get_ident())
        self.finished_results.append(result)

    def scenario_started(self, scenario_id: str, at: datetime) -> None:
        self.started(scenario_id, at)

    def step_finished(self, scenario_id: str, step: StepResult) -> None:
        self.finished_steps.append((scenario_id, step))

    def scenario_finished(self, result: ScenarioResult) -> None:
        self.finished_scenarios.append(result)

    def cleaned(self, cleanup: Cleanup) -> None:
        self.cleanups.append(cleanup)


@contextlib.contextmanager
def connected(cluster: SimulatedCluster, *, timeout: float = 10, admin: bool = False) -> Iterator[Connection]:
    """Connect with the rights a vendor hands over, or with all of them."""
    text = cluster.admin_kubeconfig if admin else cluster.kubeconfig
    policy = NetworkPolicy(allowed=frozenset({("127.0.0.1", cluster.port)}))
    with contextlib.closing(connect(kubeconfig.load(text.encode()), policy, timeout=timeout)) as connection:
        yield connection


def run(cluster: SimulatedCluster, *only: str, timeout: float = 10, **options: Any) -> Report:
    """Verify a cluster against its own version's checklist."""
    checklist = builtin_checklists()[options.pop("version", cluster.profile.version)]
    options.setdefault("budget", timedelta(seconds=120))
    options.setdefault("run_id", "test-run")
    with connected(cluster, timeout=timeout) as connection:
        return engine.verify(connection, checklist, only=only or None, **options)


def verdict(report: Report, check_id: str) -> CheckResult:
    return next(result for result in report.results if result.id == check_id)


# A namespace that a run made for one of its checks; see `Context.short`.
_OWN_NAMESPACE = re.compile(r"certportal-[0-9a-f]{6}[0-9]+-.+")


def leftovers(cluster: SimulatedCluster) -> list[str]:
    """Return whatever of a run is still stored, of any kind."""

    def look(world: Any) -> list[str]:
        return [
            f"{entry.key}/{item['metadata']['name']}"
            for entry in world.types
            for item in world.store.each(entry.key)
            if RUN_LABEL in (item["metadata"].get("labels") or {})
            or _OWN_NAMESPACE.fullmatch(str(item["metadata"].get("namespace", "")))
        ]

    return cluster.call(look)


def devices_in_use(cluster: SimulatedCluster) -> int:
    """Return how many claims hold a device and how many running pods ask for one."""
    claims = [
        claim
        for claim in cluster.store.list("resourceclaims.resource.k8s.io")
        if (claim.get("status") or {}).get("allocation")
    ]
    return len(claims)


def occupied(profile: str, **options: Any) -> contextlib.AbstractContextManager[SimulatedCluster]:
    """Start a cluster of a profile, fast."""
    return start(profile, speed=options.pop("speed", SPEED), **options)


def wait_for(condition: Callable[[], Any], seconds: float = 10) -> Any:
    """Wait until something holds, and return what it returned."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it never came to hold")


def make_namespace(cluster: SimulatedCluster, name: str, labels: dict[str, str] | None = None) -> None:
    """Create a namespace past the API and wait until pods can be created in it."""
    cluster.store.create(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels or {}}}
    )
    wait_for(lambda: cluster.store.get("serviceaccounts", name, "default"))


@contextlib.contextmanager
def withheld(cluster: SimulatedCluster, right: Right) -> Iterator[None]:
    """Take one right away from the verifier's role for a while."""
    roles = "clusterroles.rbac.authorization.k8s.io"
    before = cluster.store.get(roles, "", rbac.ACCOUNT)
    assert before is not None
    rules = [
        part for rule in before["rules"] for part in platform.withheld_rule(rule, right.verb, right.resource)
    ]
    cluster.store.edit(roles, "", rbac.ACCOUNT, lambda role: role.update(rules=rules))
    try:
        yield
    finally:
        cluster.store.edit(roles, "", rbac.ACCOUNT, lambda role: role.update(rules=before["rules"]))

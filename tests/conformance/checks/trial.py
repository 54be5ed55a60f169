"""One check against one simulated cluster, with the settings its vendor hands over."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from conformance import checks, probe_settings, run
from conformance.simulator import SimulatedCluster
from conformance.verdicts import CheckResult
from tests.conformance.engine import world

# Fast enough that a wait which must run out takes a second or two.
HURRIED = 200.0


@contextlib.contextmanager
def hurried(profile: str) -> Iterator[SimulatedCluster]:
    """Start a cluster on which waits run out soon."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "SHORTEST_WAIT", 1.5)
        if profile.startswith("logs-unreadable"):
            patch.setattr(run, "SHORTEST_READ", 1.5)
        with world.occupied(profile, speed=HURRIED) as cluster:
            yield cluster


def observe(
    cluster: SimulatedCluster, check_id: str, settings: bytes | None = None, **options: Any
) -> CheckResult:
    """Run a check with the vendor's settings, or others; make sure that it leaves nothing behind."""
    told = probe_settings.parse(cluster.settings.encode() if settings is None else settings)
    report = world.run(cluster, check_id, settings=told, **options)
    assert report.cleanup.complete
    assert world.leftovers(cluster) == []
    assert _claims_left(cluster) == []
    result = world.verdict(report, check_id)
    assert result.message.strip()
    return result


def _claims_left(cluster: SimulatedCluster) -> list[str]:
    """Return the claims of the runs' namespaces: what is made of a template carries no label of ours."""
    return [
        claim["metadata"]["name"]
        for claim in cluster.store.list("resourceclaims.resource.k8s.io")
        if claim["metadata"]["namespace"].startswith("certportal-")
    ]


def on(
    profile: str, check_id: str, settings: bytes | None = None, *, speed: float = world.SPEED, **options: Any
) -> CheckResult:
    """Run a check on a cluster of its own, without hurry."""
    with world.occupied(profile, speed=speed) as cluster:
        return observe(cluster, check_id, settings, **options)


def looked(profile: str, check_id: str, due: tuple[str, str], **options: Any) -> CheckResult:
    """Run a check on a hurried cluster of its own, and once more without hurry where something else is due.

    A machine under load may be late for a cluster whose minutes last a fraction of a second.
    """
    with hurried(profile) as cluster:
        result = observe(cluster, check_id, **options)
    return result if said(result) == due else on(profile, check_id, **options)


def verdict(profile: str, check_id: str, settings: bytes | None = None, **options: Any) -> tuple[str, str]:
    """Return status and reason of a check on a hurried cluster of its own."""
    with hurried(profile) as cluster:
        return said(observe(cluster, check_id, settings, **options))


def said(result: CheckResult) -> tuple[str, str]:
    """Return status and reason."""
    return result.status.value, result.reason


def version_for(check_id: str) -> str:
    """Return a version whose checklist has the check, the one most have where it can be chosen."""
    info = checks.load()[check_id].info
    return next(version for version in ("1.36", "1.37", "1.35", "1.34", "1.33") if info.belongs_to(version))


def observations(result: CheckResult) -> dict[str, Any]:
    """Return what the check wrote down of its observations."""
    found: dict[str, Any] = json.loads(
        next(piece for piece in result.evidence if piece.name == "observations.json").content
    )
    return found

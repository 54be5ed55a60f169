"""Playing scenarios against simulated clusters."""

from __future__ import annotations

from typing import Any

from conformance.simulator import SimulatedCluster
from conformance.verdicts import ScenarioResult, Status, StepResult
from tests.conformance.engine import world


def play(cluster: SimulatedCluster, scenario: str, **options: Any) -> ScenarioResult:
    """Play one scenario and no check; make sure that nothing of it stays."""
    # A requirement none has selects no check.
    report = world.run(cluster, "none", scenarios=[scenario], **options)
    assert report.cleanup.complete
    assert world.leftovers(cluster) == []
    [result] = report.scenarios
    return result


def step(result: ScenarioResult, name: str) -> StepResult:
    return next(entry for entry in result.steps if entry.id == name)


def assert_stops_at(result: ScenarioResult, name: str, status: Status, reason: str) -> None:
    """Assert that every step before `name` passed, that it has this verdict, and that it decides."""
    ids = [entry.id for entry in result.steps]
    before = result.steps[: ids.index(name)]
    assert [entry.status for entry in before] == [Status.PASS] * len(before)
    found = step(result, name)
    assert (found.status, found.reason) == (status, reason)
    assert found.message.strip()
    assert (result.status, result.reason) == (status, reason)
    assert found.title in result.message

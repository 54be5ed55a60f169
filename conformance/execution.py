"""Running one check or one scenario and turning whatever happens into verdicts with evidence."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from conformance.catalogue import Level
from conformance.checks import Check
from conformance.cluster import errors
from conformance.cluster.patience import OutOfTime, Patience
from conformance.conclusions import BudgetExhausted, Cancelled, Concluded
from conformance.redaction import redact_text
from conformance.run import Run
from conformance.scenarios import Scenario, Step
from conformance.verdicts import (
    CheckResult,
    Evidence,
    ScenarioResult,
    Status,
    StepResult,
    Verdict,
    deciding_step,
)

logger = logging.getLogger(__name__)

CANCELLED = (Status.UNKNOWN, "cancelled", "The run was cancelled before this came to a verdict.")
NOT_REACHED = "not_reached"
_NEEDS_EVIDENCE = frozenset({Status.PASS, Status.FAIL, Status.NOT_APPLICABLE})
_CAPTURE_SECONDS = 30.0


def execute(run: Run, check: Check, level: Level) -> CheckResult:
    """Run a check and return what it found."""
    started_at, started = datetime.now(UTC), time.monotonic()
    verdict = _judged(run, lambda: check.function(run))
    evidence = _evidence(run)
    if verdict.status in _NEEDS_EVIDENCE and not evidence:
        verdict = Verdict(Status.ERROR, "no_evidence", f"{verdict.message} Nothing was kept that shows it.")
    return CheckResult(
        id=check.info.id,
        level=level,
        status=verdict.status,
        reason=verdict.reason,
        message=_message(run, verdict),
        started_at=started_at,
        finished_at=datetime.now(UTC),
        duration_seconds=time.monotonic() - started,
        evidence=evidence,
    )


def play(run: Run, scenario: Scenario, tell: Callable[[StepResult], None]) -> ScenarioResult:
    """Play a scenario step by step and return what it found; `tell` hears of each step as it ends."""
    started_at, started = datetime.now(UTC), time.monotonic()
    steps = []
    for result in _steps(run, scenario):
        steps.append(result)
        tell(result)
    evidence = _evidence(run)
    deciding = deciding_step(steps)
    status, reason, message = deciding.status, deciding.reason, f"{deciding.title}: {deciding.message}"
    if status is Status.PASS:
        passed = sum(step.status is Status.PASS for step in steps)
        reason, message = "all_steps_passed", f"{passed} of {len(steps)} steps passed, none failed."
    if status in _NEEDS_EVIDENCE and not evidence:
        status, reason = Status.ERROR, "no_evidence"
    return ScenarioResult(
        id=scenario.info.id,
        status=status,
        reason=reason,
        message=message,
        steps=tuple(steps),
        started_at=started_at,
        finished_at=datetime.now(UTC),
        duration_seconds=time.monotonic() - started,
        evidence=evidence,
    )


def without_steps(scenario: Scenario, verdict: Verdict) -> ScenarioResult:
    """Return the result of a scenario that could not begin: the first step has the verdict."""
    steps = [
        StepResult(step.id, step.title, verdict.status, verdict.reason, verdict.message)
        if position == 0
        else _not_reached(step)
        for position, step in enumerate(scenario.info.steps)
    ]
    return ScenarioResult(scenario.info.id, verdict.status, verdict.reason, verdict.message, tuple(steps))


def _steps(run: Run, scenario: Scenario) -> Iterator[StepResult]:
    """Run the steps that can be reached, in order."""
    stage = scenario.factory(run)
    open_ways: set[str] = set()
    for step in scenario.info.steps:
        if not open_ways.issuperset(step.needs):
            yield _not_reached(step)
            continue
        started_at, started = datetime.now(UTC), time.monotonic()
        verdict = _judged(run, lambda step=step: step.function(stage))  # type: ignore[misc]
        if verdict.status in {Status.PASS, Status.NOT_APPLICABLE}:
            open_ways.add(step.id)
        yield StepResult(
            id=step.id,
            title=step.title,
            status=verdict.status,
            reason=verdict.reason,
            message=_message(run, verdict),
            started_at=started_at,
            duration_seconds=time.monotonic() - started,
        )


def _not_reached(step: Step) -> StepResult:
    message = "An earlier step did not come as far as this one needs."
    return StepResult(step.id, step.title, Status.UNKNOWN, NOT_REACHED, message)


def _evidence(run: Run) -> tuple[Evidence, ...]:
    if not run.context.stop.is_set():
        run.capture_all(Patience.of(_CAPTURE_SECONDS))
    return run.evidence.sealed()


def _message(run: Run, verdict: Verdict) -> str:
    return errors.printable(redact_text(verdict.message, run.secrets()))


def _judged(run: Run, function: Callable[[], Verdict]) -> Verdict:
    """Return the verdict of a function of a check or scenario, whatever it returns or raises."""
    try:
        run.require()
        verdict = function()
    except Concluded as conclusion:
        verdict = conclusion.verdict
    except Cancelled:
        verdict = Verdict(*CANCELLED)
    except (BudgetExhausted, OutOfTime):
        verdict = _out_of_budget()
    except errors.ClusterError as error:
        verdict = Verdict(Status.ERROR, error.reason, f"The cluster could not be observed: {error}")
        if run.remaining() <= 0:
            verdict = _out_of_budget()
    except Exception as error:
        logger.exception("%s failed", run.info.id)
        verdict = Verdict(Status.ERROR, "internal", f"The check itself failed ({type(error).__name__}).")
    return verdict


def _out_of_budget() -> Verdict:
    return Verdict(Status.ERROR, "budget", "The engine's time ran out before this came to a verdict.")

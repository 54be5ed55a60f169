"""What runs see of simulated workloads: filled in from the start, written step by step."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from django.utils import timezone

from submissions.models import ScenarioEvidence, ScenarioResult, VerificationRun
from submissions.models.scenarios import NOT_RUN
from submissions.states import Verdict

if TYPE_CHECKING:
    from conformance import verdicts


def prefill(run: VerificationRun) -> None:
    """Enter every scenario as unknown, with its steps still to come."""
    from conformance import scenarios

    ScenarioResult.objects.bulk_create(
        ScenarioResult(
            run=run,
            scenario_id=info.id,
            position=position,
            steps=[
                {
                    "id": step.id,
                    "title": step.title,
                    "status": Verdict.UNKNOWN.value,
                    "reason": NOT_RUN,
                    "message": "",
                    "started_at": None,
                    "duration_seconds": 0,
                }
                for step in info.steps
            ],
        )
        for position, info in enumerate(scenarios.info())
    )


def wanted(run: VerificationRun) -> list[str]:
    """The scenarios of a run that are known here."""
    return list(run.scenarios.values_list("scenario_id", flat=True))


def start(run: VerificationRun, scenario_id: str, at: datetime) -> None:
    """Note that a scenario is being played; steps a dead predecessor saw are seen anew."""
    row = run.scenarios.get(scenario_id=scenario_id)
    row.started_at = at
    for entry in row.steps:
        entry |= {"status": Verdict.UNKNOWN.value, "reason": NOT_RUN, "message": "", "duration_seconds": 0}
    row.save(update_fields=["started_at", "steps"])


def write_step(run: VerificationRun, scenario_id: str, step: verdicts.StepResult) -> None:
    """Replace a step still to come by its verdict."""
    from conformance.report import step_as_dict

    row = run.scenarios.get(scenario_id=scenario_id)
    row.steps = [step_as_dict(step) if entry["id"] == step.id else entry for entry in row.steps]
    row.save(update_fields=["steps"])


def write(run: VerificationRun, result: verdicts.ScenarioResult) -> None:
    """Replace the pre-filled unknown of a scenario by what the engine saw."""
    row = run.scenarios.get(scenario_id=result.id)
    row.finished_at = result.finished_at or timezone.now()
    row.started_at = result.started_at or row.started_at
    _fill(row, result)
    row.save()
    row.evidence.all().delete()
    _keep_evidence(row, result, lambda piece: piece.content)


def keep(
    run: VerificationRun,
    result: verdicts.ScenarioResult,
    position: int,
    content: Callable[[verdicts.Evidence], bytes],
) -> None:
    """Keep a scenario of a vendor's own run; `content` finds that of a piece the report only names."""
    row = ScenarioResult(run=run, scenario_id=result.id, position=position)
    row.started_at, row.finished_at = result.started_at, result.finished_at
    _fill(row, result)
    row.save()
    _keep_evidence(row, result, content)


def _fill(row: ScenarioResult, result: verdicts.ScenarioResult) -> None:
    from conformance.report import step_as_dict

    row.status = result.status.value
    row.reason = result.reason
    row.message = result.message
    row.duration_seconds = result.duration_seconds
    row.steps = [step_as_dict(step) for step in result.steps]


def _keep_evidence(
    row: ScenarioResult,
    result: verdicts.ScenarioResult,
    content: Callable[[verdicts.Evidence], bytes],
) -> None:
    ScenarioEvidence.objects.bulk_create(
        ScenarioEvidence(
            result=row,
            name=piece.name,
            media_type=piece.media_type,
            sha256=piece.sha256,
            size=piece.size,
            content=content(piece),
            captured_at=piece.captured_at,
        )
        for piece in result.evidence
    )


def finished(run: VerificationRun) -> dict[str, verdicts.ScenarioResult]:
    """What an earlier attempt of the run played to the end, as the engine takes it over."""
    from conformance import verdicts
    from conformance.report import step_from_dict

    return {
        row.scenario_id: verdicts.ScenarioResult(
            id=row.scenario_id,
            status=verdicts.Status(row.status),
            reason=row.reason,
            message=row.message,
            steps=tuple(step_from_dict(entry) for entry in row.steps),
            started_at=row.started_at,
            finished_at=row.finished_at,
            duration_seconds=row.duration_seconds or 0.0,
            evidence=tuple(
                verdicts.Evidence(piece.name, piece.media_type, bytes(piece.content), piece.captured_at)
                for piece in row.evidence.all()
            ),
        )
        for row in run.scenarios.filter(finished_at__isnull=False).prefetch_related("evidence")
    }

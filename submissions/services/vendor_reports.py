"""Reports of runs a vendor made itself: what we take, and why we would not.

A bundle comes from a stranger until its signature is that of a key the vendor registered. Even then it
is the vendor's word, and counts as such; what the portal sees with its own eyes comes before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction

from certportal.accounts.models import User
from conformance import bundle, scenarios, verdicts
from conformance.report import Report
from submissions import rules
from submissions.errors import ApplicantError
from submissions.models import CheckEvidence, CheckResult, ReportKey, Submission, VerificationRun
from submissions.services import scenario_results
from submissions.services.events import record_event
from submissions.states import TERMINAL, RunKind, RunOutcome, RunStatus

log = structlog.get_logger(__name__)

REPORTS_LAST = timedelta(days=90)
CLOCK_SKEW = timedelta(minutes=10)  # the vendor's clock and ours may differ
NOT_SELECTED = "not_selected"
# Beyond this a number has more than one spelling, and PostgreSQL would choose another than the seal's.
LARGEST_NUMBER = 1e15


def take_report(
    *, submission: Submission, actor: User, data: bytes, now: datetime
) -> tuple[VerificationRun, bool]:
    """Keep a signed bundle as a run of the vendor's; returns it, and whether it is new here.

    Raises `ApplicantError` with what to do instead.
    """
    if not rules.may_edit(actor, submission.organization):
        raise ApplicantError("not_allowed", "Only the vendor's owners and editors upload reports.")
    if submission.status in TERMINAL:
        raise ApplicantError("not_possible", f"The submission is {submission.get_status_display().lower()}.")
    found = _read(data)
    key = _key(submission, found)
    _refuse_unfit(submission, found.report, now)
    with transaction.atomic():
        # Two uploads of one report at the same moment: the second waits here and finds the first.
        Submission.objects.select_for_update().get(pk=submission.pk)
        existing = _existing(submission, found)
        if existing is not None:
            return existing, False
        run = _keep(submission, actor, found, key, now)
        record_event(
            action="vendor_report_taken",
            actor=actor,
            submission=submission,
            data={
                "run": str(run.uuid),
                "outcome": run.outcome,
                "digest": run.report_digest,
                "key": key.key_id,
                "bundle_sha256": hashlib.sha256(data).hexdigest(),
            },
        )
    log.info("vendor report taken", run=str(run.uuid), outcome=run.outcome, key=key.key_id)
    return run, True


def _read(data: bytes) -> bundle.Bundle:
    try:
        found = bundle.read_bundle(data)
    except bundle.BundleError as error:
        code = "file_too_large" if error.code == "too_large" else f"report_{error.code}"
        raise ApplicantError(code, str(error)) from error
    if not all(_is_storable(value) for value in _values(found.document)):
        raise ApplicantError("report_unreadable", "The report holds characters or numbers no report has.")
    return found


def _values(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, entry in value.items():
            yield key
            yield from _values(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _values(entry)
    else:
        yield value


def _is_storable(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
    return not isinstance(value, float | int) or abs(value) < LARGEST_NUMBER


def _key(submission: Submission, found: bundle.Bundle) -> ReportKey:
    if found.signer is None:
        raise ApplicantError(
            "report_unsigned",
            "The report is not signed. Make a key with `conformance keygen`, register its public half on "
            "the organization's page, and run `conformance verify` with --sign-key.",
        )
    key: ReportKey | None = submission.organization.report_keys.filter(key_id=found.signer.key_id).first()
    if key is None:
        raise ApplicantError(
            "unknown_key",
            f"{submission.organization} has no report key {found.signer.key_id}; "
            "register its public half first.",
        )
    if key.revoked_at is not None:
        raise ApplicantError("key_revoked", f"The key {key} was revoked; sign with another one.")
    return key


def _refuse_unfit(submission: Submission, report: Report, now: datetime) -> None:
    """Refuse what is a sound report and yet none of this submission, of today, or of a real cluster."""
    checklist = submission.checklist
    expected = {row.requirement_id: row.level for row in checklist.requirements.all()}
    if report.checklist != checklist.version:
        raise ApplicantError(
            "other_checklist",
            f"The report is about checklist {report.checklist}, the submission about {checklist.version}.",
        )
    levels = {result.id: result.level.value for result in report.results}
    if levels != expected or len(levels) != len(report.results):
        raise ApplicantError(
            "other_checklist",
            f"The report's requirements are not those of checklist {checklist.version} as published here.",
        )
    if report.started_at > report.finished_at or report.finished_at > now + CLOCK_SKEW:
        raise ApplicantError("report_dated_wrong", "The report ends before it begins, or in the future.")
    if report.finished_at < now - REPORTS_LAST:
        raise ApplicantError(
            "report_too_old", f"The run is more than {REPORTS_LAST.days} days old. Run the checks again."
        )
    if report.cancelled:
        raise ApplicantError("report_cancelled", "The run was broken off. Run the checks again, to the end.")
    if report.simulated and not settings.EMBEDDED:
        raise ApplicantError(
            "report_simulated", "The run was made against a simulated cluster, which certifies nothing."
        )
    if any(len(text) > longest for text, longest in _bounded(report)):
        raise ApplicantError("report_unreadable", "The report has names longer than any check gives.")


def _bounded(report: Report) -> Iterator[tuple[str, int]]:
    holders: list[verdicts.CheckResult | verdicts.ScenarioResult] = [*report.results, *report.scenarios]
    for result in holders:
        yield result.reason, 80
        for piece in result.evidence:
            yield piece.name, 200
            yield piece.media_type, 100


def _existing(submission: Submission, found: bundle.Bundle) -> VerificationRun | None:
    """The run this report became before; raises `ApplicantError` where it was for another platform."""
    same = VerificationRun.objects.filter(kind=RunKind.VENDOR, report_digest=found.report.digest)
    run: VerificationRun | None = same.filter(submission=submission).first()
    if run is None and same.exclude(submission__configuration=submission.configuration).exists():
        raise ApplicantError(
            "report_used",
            "This report was uploaded for another platform or configuration; each is run on its own.",
        )
    return run


def _keep(
    submission: Submission, actor: User, found: bundle.Bundle, key: ReportKey, now: datetime
) -> VerificationRun:
    report = found.report
    selected = sorted(result.id for result in report.results if result.reason != NOT_SELECTED)
    run = VerificationRun.objects.create(
        kind=RunKind.VENDOR,
        submission=submission,
        signed_by=key,
        requested_by=actor,
        status=RunStatus.FINISHED,
        outcome=RunOutcome(report.outcome.value),
        only=selected if len(selected) < len(report.results) else [],
        simulated=report.simulated,
        created_at=now,
        started_at=report.started_at,
        finished_at=report.finished_at,
        report={name: value for name, value in found.document.items() if name != "digest"},
        report_digest=report.digest,
    )
    positions = dict(submission.checklist.requirements.values_list("requirement_id", "position"))
    for result in report.results:
        if run.only and result.id not in run.only:
            continue
        row = _keep_result(run, result, positions[result.id])
        CheckEvidence.objects.bulk_create(
            CheckEvidence(
                result=row,
                name=piece.name,
                media_type=piece.media_type,
                sha256=piece.sha256,
                size=piece.size,
                content=found.content(result.id, piece),
                captured_at=piece.captured_at,
            )
            for piece in result.evidence
        )
    _keep_scenarios(run, found)
    if report.simulated and not submission.simulated:
        Submission.objects.filter(pk=submission.pk).update(simulated=True)
    return run


def _keep_scenarios(run: VerificationRun, found: bundle.Bundle) -> None:
    """Keep the scenarios known here, each once; what else a report calls one says nothing to anybody."""
    reported = {result.id: result for result in found.report.scenarios}
    for position, info in enumerate(scenarios.info()):
        if (result := reported.get(info.id)) is not None:

            def content(piece: verdicts.Evidence, holder: str = f"scenarios/{info.id}") -> bytes:
                return found.content(holder, piece)

            scenario_results.keep(run, result, position, content)


def _keep_result(run: VerificationRun, result: verdicts.CheckResult, position: int) -> CheckResult:
    return CheckResult.objects.create(
        run=run,
        requirement_id=result.id,
        level=result.level.value,
        position=position,
        status=result.status.value,
        reason=result.reason,
        message=result.message,
        started_at=result.started_at,
        finished_at=result.finished_at,
        duration_seconds=result.duration_seconds,
    )

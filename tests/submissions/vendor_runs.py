"""Reports of runs that a vendor made, as the command writes them."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from conformance.bundle import to_bundle
from conformance.catalogue import Level
from conformance.report import ClusterFacts, Report
from conformance.signing import SigningKey
from conformance.verdicts import CheckResult, Evidence, Status, outcome_of
from submissions.models import ReportKey, Submission
from submissions.services import report_keys
from tests.submissions.factories import owner_of

KEY = SigningKey.generate()
OBSERVED = b'{"bound": 4}'


def registered(submission: Submission, key: SigningKey = KEY) -> ReportKey:
    """The public half, registered with the submission's organization."""
    organization = submission.organization
    return report_keys.add_key(
        organization=organization,
        actor=owner_of(organization),
        name="lab",
        public_key=key.public.pem(),
    )


def report_for(
    submission: Submission,
    verdicts: dict[str, Status] | None = None,
    *,
    finished_at: datetime | None = None,
    **changes: Any,
) -> Report:
    """A report of the submission's checklist: everything passed, but for what `verdicts` says."""
    ended = (finished_at or timezone.now()).replace(microsecond=0)
    began = ended - timedelta(minutes=5)
    results = tuple(
        CheckResult(
            requirement.requirement_id,
            Level(requirement.level),
            (verdicts or {}).get(requirement.requirement_id, Status.PASS),
            "seen",
            "What the vendor's run saw.",
            began,
            ended,
            3.0,
            (Evidence("observations.json", "application/json", OBSERVED, ended),),
        )
        for requirement in submission.checklist.requirements.all()
    )
    report = Report(
        checklist=submission.checklist.version,
        outcome=outcome_of(results),
        cluster=ClusterFacts("v1.35.1", "uid-1", 3),
        started_at=began,
        finished_at=ended,
        results=results,
    )
    return dataclasses.replace(report, **changes)


def bundle_for(submission: Submission, *args: Any, key: SigningKey | None = KEY, **options: Any) -> bytes:
    return to_bundle(report_for(submission, *args, **options), key)

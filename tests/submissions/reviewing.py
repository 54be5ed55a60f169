"""What tests of reviewing begin with: people of the accreditation group, and submissions in their hands."""

from __future__ import annotations

from typing import Any

from certportal.accounts.models import ReviewRole, User
from submissions.models import Submission, VerificationRun
from submissions.services import drafting, lifecycle
from submissions.states import RunOutcome, Verdict
from tests.submissions.factories import RunFactory, SubmissionFactory, UserFactory, owner_of

NA_NOTES = "The platform runs on bare metal; there is no provider that could add nodes."


def reviewer(**fields: Any) -> User:
    return UserFactory(review_role=ReviewRole.REVIEWER, **fields)


def lead(**fields: Any) -> User:
    return UserFactory(review_role=ReviewRole.LEAD_REVIEWER, **fields)


def operator(**fields: Any) -> User:
    return UserFactory(is_staff=True, **fields)


def handed_in(claims: dict[str, dict[str, Any]] | None = None, **fields: Any) -> Submission:
    """A submission without errors that its vendor submitted; `claims` say otherwise by requirement id."""
    submission = SubmissionFactory(complete=True, **fields)
    actor = owner_of(submission.organization)
    for requirement_id, values in (claims or {}).items():
        drafting.save_claim(submission=submission, actor=actor, requirement_id=requirement_id, values=values)
    return lifecycle.submit(submission=submission, actor=actor)


def waiver_asked(requirement_id: str = "cluster_autoscaling", **fields: Any) -> Submission:
    """A submission that says N/A of a MUST, handed in."""
    said = {"status": "N/A", "notes": NA_NOTES, "evidence": []}
    return handed_in({requirement_id: said}, **fields)


def verified(submission: Submission, **verdicts: str) -> VerificationRun:
    """A finished run of every check: each passed, unless `verdicts` says otherwise by requirement id."""
    ids = submission.checklist.requirements.values_list("requirement_id", flat=True)
    seen = dict.fromkeys(ids, Verdict.PASS.value) | verdicts
    outcome = RunOutcome.NON_CONFORMANT if "fail" in seen.values() else RunOutcome.CONFORMANT
    return RunFactory(submission=submission, verdicts=seen, outcome=outcome, report_digest="ab" * 32)


def in_review(submission: Submission | None = None, *, by: User | None = None) -> Submission:
    """A submission that a reviewer took up."""
    return lifecycle.start_review(submission=submission or handed_in(), actor=by or reviewer())


def ready_to_approve() -> Submission:
    """A submission in review whose run saw everything pass."""
    submission = handed_in()
    verified(submission)
    return in_review(submission)


def certified() -> Submission:
    """A submission that two reviewers approved."""
    submission = ready_to_approve()
    for _ in range(2):
        submission = lifecycle.approve(submission=submission, actor=reviewer())
    submission.refresh_from_db()
    return submission

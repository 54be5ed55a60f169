"""The accreditation group's queue. Reads only, with a fixed number of queries whatever its length."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from django.conf import settings
from django.db.models import Count, Q

from certportal.accounts.models import User
from submissions.models import (
    Approval,
    CheckResult,
    Claim,
    ConflictOfInterest,
    Membership,
    Submission,
    VerificationRun,
)
from submissions.review import Row, count_contradictions, count_waivers, rows_of
from submissions.services.lifecycle import business_days_between
from submissions.states import AWAITING_REVIEW, TERMINAL, Status


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """One line of the queue."""

    submission: Submission
    rows: tuple[Row, ...]
    run: VerificationRun | None
    is_running: bool
    approvals: tuple[Approval, ...]
    needed: int
    conflict: bool
    is_mine: bool
    today: date

    @property
    def contradictions(self) -> int:
        return count_contradictions(self.rows)

    @property
    def waivers(self) -> int:
        return count_waivers(self.rows)

    @property
    def age(self) -> int:
        """Business days since the vendor submitted."""
        submitted = self.submission.submitted_at
        end = self.submission.decided_at.date() if self.submission.decided_at else self.today
        return business_days_between(submitted.date(), end) if submitted else 0

    @property
    def is_overdue(self) -> bool:
        due = self.submission.due_on
        return self.submission.status in AWAITING_REVIEW and due is not None and due < self.today

    @property
    def days_left(self) -> int:
        """Business days until it is due; 0 from then on."""
        due = self.submission.due_on
        return business_days_between(self.today, due) if due is not None else 0

    @property
    def days_late(self) -> int:
        """Business days since it was due."""
        due = self.submission.due_on
        return business_days_between(due, self.today) if due is not None else 0

    @property
    def verification(self) -> str:
        """The state of the verification, in the vocabulary of the badges."""
        if self.is_running:
            return "running"
        return self.run.outcome if self.run is not None else ""

    @property
    def verification_words(self) -> str:
        """What the badge says, where its usual words would not do."""
        return "" if self.verification else "Not verified yet"

    @property
    def turn(self) -> str:
        """Whose turn it is, in a few words."""
        submission = self.submission
        if submission.status == Status.SUBMITTED:
            return "A reviewer, to begin"
        if submission.status == Status.IN_REVIEW:
            if self.is_mine:
                return "Another reviewer"
            return "A second reviewer" if self.approvals else "The reviewers"
        if submission.status == Status.CHANGES_REQUESTED:
            return "The vendor"
        if submission.is_embargoed:
            release = submission.release_on
            return f"Nobody until {release:%-d %B %Y}" if release else "The portal"
        return "Nobody"


def queue_entries(submissions: Sequence[Submission], user: User, today: date) -> list[QueueEntry]:
    """The lines of the queue for `submissions`, in their order, with a fixed number of queries."""
    keys = [submission.pk for submission in submissions]
    claims: defaultdict[int, list[Claim]] = defaultdict(list)
    for claim in Claim.objects.filter(submission__in=keys).select_related("requirement", "waiver"):
        claims[claim.submission_id].append(claim)
    runs: dict[int, VerificationRun] = {}
    for run in VerificationRun.objects.deciding().filter(submission__in=keys).defer("report"):
        runs.setdefault(run.submission_id, run)
    own_runs: dict[int, VerificationRun] = {}
    for run in VerificationRun.objects.vouching().filter(submission__in=keys).defer("report"):
        own_runs.setdefault(run.submission_id, run)
    results: defaultdict[int, dict[str, CheckResult]] = defaultdict(dict)
    weighed = [run.pk for run in (*runs.values(), *own_runs.values())]
    for result in CheckResult.objects.filter(run__in=weighed):
        results[result.run_id][result.requirement_id] = result
    running = set(
        VerificationRun.objects.active()
        .verifications()
        .filter(submission__in=keys)
        .values_list("submission_id", flat=True)
    )
    approvals: defaultdict[int, list[Approval]] = defaultdict(list)
    for approval in Approval.objects.filter(submission__in=keys).select_related("reviewer"):
        approvals[approval.submission_id].append(approval)
    interests = conflicted_organizations(user)
    entries = []
    for submission in submissions:
        found, own = runs.get(submission.pk), own_runs.get(submission.pk)
        counted = tuple(item for item in approvals[submission.pk] if item.round == submission.round)
        entries.append(
            QueueEntry(
                submission=submission,
                rows=rows_of(
                    submission,
                    claims[submission.pk],
                    results[found.pk] if found else {},
                    today,
                    results[own.pk] if own else {},
                ),
                run=found,
                is_running=submission.pk in running,
                approvals=counted,
                needed=settings.APPROVALS_NEEDED,
                conflict=submission.organization.pk in interests,
                is_mine=any(item.reviewer_id == user.pk for item in counted),
                today=today,
            )
        )
    return entries


def conflicted_organizations(user: User) -> set[int]:
    """The organizations on whose submissions the person must not decide."""
    declared = ConflictOfInterest.objects.filter(reviewer=user).values_list("organization_id", flat=True)
    member = Membership.objects.filter(user=user).values_list("organization_id", flat=True)
    return {*declared, *member}


@dataclass(frozen=True, slots=True)
class Counts:
    """How many submissions stand where."""

    waiting: int
    overdue: int
    changes: int
    decided: int


def counts(today: date) -> Counts:
    """How the queue stands, in one query."""
    waiting = Q(status__in=AWAITING_REVIEW)
    found = Submission.objects.reviewable().aggregate(
        waiting=Count("pk", filter=waiting),
        overdue=Count("pk", filter=waiting & Q(due_on__lt=today)),
        changes=Count("pk", filter=Q(status=Status.CHANGES_REQUESTED)),
        decided=Count("pk", filter=Q(status__in=TERMINAL)),
    )
    return Counts(**found)

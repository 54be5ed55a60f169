"""The states of a submission and of a run, and who may change what.

One table: what is not in it does not happen. `services.transition` is the only writer.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import models
from django.utils.translation import gettext_lazy as _


class Status(models.TextChoices):
    """Where a submission is."""

    DRAFT = "draft", _("Draft")
    SUBMITTED = "submitted", _("Submitted")
    IN_REVIEW = "in_review", _("In review")
    CHANGES_REQUESTED = "changes_requested", _("Changes requested")
    APPROVED = "approved", _("Approved")
    REJECTED = "rejected", _("Rejected")
    WITHDRAWN = "withdrawn", _("Withdrawn")


class Action(models.TextChoices):
    """What someone does to a submission."""

    SUBMIT = "submit", _("Submit")
    START_REVIEW = "start_review", _("Start review")
    REQUEST_CHANGES = "request_changes", _("Request changes")
    APPROVE = "approve", _("Approve")
    REJECT = "reject", _("Reject")
    WITHDRAW = "withdraw", _("Withdraw")


class Role(models.TextChoices):
    """On whose behalf an action is taken."""

    VENDOR = "vendor", _("Vendor")
    REVIEWER = "reviewer", _("Reviewer")


@dataclass(frozen=True, slots=True)
class Step:
    """Where an action leads, whose it is, and whether it needs a reason."""

    to: Status
    role: Role
    needs_reason: bool = False


TRANSITIONS: dict[tuple[Status, Action], Step] = {
    (Status.DRAFT, Action.SUBMIT): Step(Status.SUBMITTED, Role.VENDOR),
    (Status.CHANGES_REQUESTED, Action.SUBMIT): Step(Status.SUBMITTED, Role.VENDOR),
    (Status.SUBMITTED, Action.START_REVIEW): Step(Status.IN_REVIEW, Role.REVIEWER),
    (Status.IN_REVIEW, Action.REQUEST_CHANGES): Step(
        Status.CHANGES_REQUESTED, Role.REVIEWER, needs_reason=True
    ),
    (Status.IN_REVIEW, Action.APPROVE): Step(Status.APPROVED, Role.REVIEWER),
    (Status.IN_REVIEW, Action.REJECT): Step(Status.REJECTED, Role.REVIEWER, needs_reason=True),
    (Status.DRAFT, Action.WITHDRAW): Step(Status.WITHDRAWN, Role.VENDOR),
    (Status.SUBMITTED, Action.WITHDRAW): Step(Status.WITHDRAWN, Role.VENDOR),
    (Status.IN_REVIEW, Action.WITHDRAW): Step(Status.WITHDRAWN, Role.VENDOR),
    (Status.CHANGES_REQUESTED, Action.WITHDRAW): Step(Status.WITHDRAWN, Role.VENDOR),
}

EDITABLE = frozenset({Status.DRAFT, Status.CHANGES_REQUESTED})
AWAITING_REVIEW = frozenset({Status.SUBMITTED, Status.IN_REVIEW})
TERMINAL = frozenset({Status.APPROVED, Status.REJECTED, Status.WITHDRAWN})


class RunStatus(models.TextChoices):
    """Where a verification run is."""

    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    FINISHED = "finished", _("Finished")
    ERRORED = "errored", _("Errored")
    CANCELLED = "cancelled", _("Cancelled")


RUN_ACTIVE = frozenset({RunStatus.QUEUED, RunStatus.RUNNING})


class RunKind(models.TextChoices):
    """Who looked, or that nobody did: a sweep only removes what dead runs left in a cluster."""

    PORTAL = "portal_run", _("Run by the portal")
    VENDOR = "vendor_run", _("Run by the vendor")
    SWEEP = "sweep", _("Sweep")


class RunOutcome(models.TextChoices):
    """What a finished run says of the platform."""

    CONFORMANT = "conformant", _("Conformant")
    NON_CONFORMANT = "non_conformant", _("Not conformant")
    INCOMPLETE = "incomplete", _("Incomplete")


class Verdict(models.TextChoices):
    """What a check says of a requirement. Only `pass` passes."""

    PASS = "pass", _("Pass")
    FAIL = "fail", _("Fail")
    NOT_APPLICABLE = "not_applicable", _("Not applicable")
    ERROR = "error", _("Error")
    UNKNOWN = "unknown", _("Unknown")

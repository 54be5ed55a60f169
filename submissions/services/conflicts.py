"""Interests of reviewers in vendors. Who has one does not decide."""

from __future__ import annotations

from django.db import IntegrityError, transaction

from certportal.accounts.models import User
from submissions.errors import ApplicantError
from submissions.models import ConflictOfInterest, Organization
from submissions.services.events import record_event


def _refuse_stranger(actor: User, reviewer: User) -> None:
    if not actor.is_lead_reviewer and not (actor.is_reviewer and actor == reviewer):
        raise ApplicantError(
            "not_allowed", "Reviewers declare their own interests; lead reviewers those of others as well."
        )


@transaction.atomic
def declare_conflict(
    *, reviewer: User, organization: Organization, note: str, actor: User
) -> ConflictOfInterest:
    """Record that `reviewer` has an interest in `organization`. Approvals already given stop counting."""
    _refuse_stranger(actor, reviewer)
    note = " ".join(note.split())
    if not note:
        raise ApplicantError("reason_missing", "Say what the interest is, in a few words.")
    try:
        with transaction.atomic():
            conflict = ConflictOfInterest.objects.create(
                reviewer=reviewer, organization=organization, note=note[:300]
            )
    except IntegrityError as error:
        raise ApplicantError(
            "declared_already", f"An interest of {reviewer} in {organization} is on record already."
        ) from error
    record_event(
        action="conflict_declared",
        actor=actor,
        reason=note,
        data={"organization": organization.slug, "reviewer": reviewer.pk},
    )
    return conflict


@transaction.atomic
def lift_conflict(*, conflict: ConflictOfInterest, actor: User, reason: str) -> None:
    """Strike an interest off the record. A lead reviewer does that, and not for themselves."""
    if not actor.is_lead_reviewer or actor == conflict.reviewer:
        raise ApplicantError("not_allowed", "Another person, a lead reviewer, lifts a conflict of interest.")
    if not reason.strip():
        raise ApplicantError("reason_missing", "Say why the interest is over.")
    record_event(
        action="conflict_lifted",
        actor=actor,
        reason=reason.strip(),
        data={"organization": conflict.organization.slug, "reviewer": conflict.reviewer_id},
    )
    conflict.delete()

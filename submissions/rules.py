"""Who may do what; asked by pages, API and admin alike."""

from __future__ import annotations

from certportal.accounts.models import User
from submissions.models import ConflictOfInterest, MembershipRole, Organization, Submission

EDITORS = (MembershipRole.OWNER, MembershipRole.EDITOR)


def role_in(user: User, organization: Organization) -> str:
    """The person's role in the organization, "" for a stranger."""
    membership = organization.memberships.filter(user=user).first()
    return membership.role if membership else ""


def may_edit(user: User, organization: Organization) -> bool:
    """Owners and editors prepare and submit; viewers look on."""
    return role_in(user, organization) in EDITORS


def may_manage(user: User, organization: Organization) -> bool:
    """Owners decide about people and tokens."""
    return role_in(user, organization) == MembershipRole.OWNER


def conflict_of(user: User, organization: Organization) -> str:
    """Why the reviewer must not decide on the organization's submissions; "" when nothing is known."""
    if organization.memberships.filter(user=user).exists():
        return f"You are a member of {organization}."
    declared = ConflictOfInterest.objects.filter(reviewer=user, organization=organization).first()
    return f"You have an interest in {organization}: {declared.note}" if declared else ""


def may_review(user: User, submission: Submission) -> bool:
    """Reviewers without an interest in the vendor may decide on what was submitted."""
    return (
        user.is_reviewer
        and submission.submitted_at is not None
        and not conflict_of(user, submission.organization)
    )

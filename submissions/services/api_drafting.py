"""Filling in a submission by API: many fields in one act, all of them or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

from certportal.accounts.models import User
from submissions.errors import StaleState
from submissions.models import Configuration, Organization, Submission
from submissions.services import drafting
from submissions.services.lifecycle import set_release_date
from submissions.services.organizations import create_configuration, create_platform


def configuration_for(
    *, organization: Organization, actor: User, platform: str, configuration: str
) -> Configuration:
    """The configuration by its platform's name (or name in addresses) and its own, added where it is new."""
    platform = " ".join(platform.split())
    configuration = " ".join(configuration.split()) or "default"
    found = (
        organization.platforms.filter(slug=platform).first()
        or organization.platforms.filter(name__iexact=platform).first()
        or create_platform(organization=organization, actor=actor, name=platform)
    )
    existing: Configuration | None = found.configurations.filter(name=configuration).first()
    return existing or create_configuration(platform=found, name=configuration)


@transaction.atomic
def create_draft(
    *,
    organization: Organization,
    actor: User,
    platform: str,
    configuration: str,
    kubernetes_version: str,
    metadata: Mapping[str, str],
    claims: Sequence[Mapping[str, Any]],
) -> Submission:
    """Start a draft and fill in what is given."""
    checklist = drafting.checklist_for(kubernetes_version)
    submission = drafting.create_submission(
        actor=actor,
        configuration=configuration_for(
            organization=organization, actor=actor, platform=platform, configuration=configuration
        ),
        checklist=checklist,
        metadata=drafting.storable(metadata),
    )
    return change_draft(submission=submission, actor=actor, metadata={}, claims=claims)


@transaction.atomic
def change_draft(
    *,
    submission: Submission,
    actor: User,
    metadata: Mapping[str, str],
    claims: Sequence[Mapping[str, Any]],
    revision: int | None = None,
    release: Mapping[str, Any] | None = None,
) -> Submission:
    """Change what is given. `release` has ``release_on`` where that is to change.

    Raises `StaleState` when `revision` is given and the submission has moved on.
    """
    row = Submission.objects.select_for_update().get(pk=submission.pk)
    if revision is not None and revision != row.revision:
        raise StaleState(
            f"The submission is at revision {row.revision}, not {revision}. Read it again, then change it."
        )
    if metadata:
        drafting.save_metadata(submission=row, actor=actor, values=metadata)
    for claim in claims:
        values = {name: value for name, value in claim.items() if name != "id"}
        drafting.save_claim(
            submission=row, actor=actor, requirement_id=str(claim["id"]), values=drafting.storable(values)
        )
    if release:
        set_release_date(submission=row, actor=actor, release_on=release["release_on"])
    row.refresh_from_db()
    return row

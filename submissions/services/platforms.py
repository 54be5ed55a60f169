"""Correcting what was written of platforms and their configurations."""

from __future__ import annotations

from django.db import IntegrityError, transaction

from certportal.accounts.models import User
from submissions.errors import ApplicantError
from submissions.models import Configuration, Platform
from submissions.services.events import record_event


@transaction.atomic
def change_platform(
    *, platform: Platform, actor: User, name: str, description: str, base_platform: str
) -> Platform:
    """Correct a platform. Its address stays, and what was submitted keeps its own words."""
    row = Platform.objects.select_for_update().get(pk=platform.pk)
    row.name, row.description, row.base_platform = name, description, base_platform
    row.save(update_fields=["name", "description", "base_platform"])
    record_event(
        action="platform_changed",
        actor=actor,
        data={"organization": row.organization.slug, "platform": row.slug, "name": name},
    )
    return row


def change_configuration(
    *, configuration: Configuration, actor: User, name: str, description: str
) -> Configuration:
    """Correct a configuration. Once it was certified under its name, the name stays."""
    submitted = configuration.submissions.filter(submitted_at__isnull=False).exists()
    if submitted and name != configuration.name:
        raise ApplicantError(
            "name_in_use",
            f"{configuration} was submitted under this name already; add a new configuration instead.",
        )
    try:
        with transaction.atomic():
            row = Configuration.objects.select_for_update().get(pk=configuration.pk)
            row.name, row.description = name, description
            row.save(update_fields=["name", "description"])
            record_event(
                action="configuration_changed",
                actor=actor,
                data={
                    "organization": row.platform.organization.slug,
                    "platform": row.platform.slug,
                    "name": name,
                },
            )
    except IntegrityError as error:
        raise ApplicantError(
            "name_taken", f"{configuration.platform} has a configuration called {name} already."
        ) from error
    return row

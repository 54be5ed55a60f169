"""Rules between settings, as system checks: each setting is fine by itself, together they are not."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 - Django's own name

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@register(Tags.security)
def check_embedded(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The embedded portal shows its mail to everyone and has demo accounts, so it stays on loopback."""
    if not settings.EMBEDDED or urlsplit(settings.SITE_URL).hostname in LOOPBACK:
        return []
    return [
        Error(
            "The embedded portal is for one person on one machine, and SITE_URL is a public address.",
            hint="Unset EMBEDDED; docs/operator.md says how to run the portal in production.",
            id="certportal.E001",
        )
    ]


@register(Tags.security, deploy=True)
def check_review(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """What weakens a decision is possible and worth a warning."""
    found: list[CheckMessage] = []
    if settings.APPROVALS_NEEDED < 2:  # noqa: PLR2004 - the programme asks for two reviewers
        found.append(
            Warning(
                "One reviewer alone can certify.",
                hint="Set APPROVALS_NEEDED to 2 or more.",
                id="certportal.W001",
            )
        )
    if not settings.REVIEWERS_NEED_MFA:
        found.append(
            Warning(
                "Reviewers need no second factor.", hint="Unset REVIEWERS_NEED_MFA.", id="certportal.W002"
            )
        )
    if not settings.VERIFICATION_REQUIRED:
        found.append(
            Warning(
                "A submission can be approved without a verification run.",
                hint="Unset VERIFICATION_REQUIRED.",
                id="certportal.W003",
            )
        )
    return found

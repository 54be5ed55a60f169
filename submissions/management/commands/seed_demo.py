"""Fill the demo."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from submissions.errors import ApplicantError, PortalError
from submissions.services import demo


class Command(BaseCommand):
    help = "Fill the embedded portal's demo through the portal's own services. Safe to repeat."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.EMBEDDED:
            raise CommandError(
                "The demo is for the embedded portal; run it with `make run`, or set EMBEDDED=true."
            )
        try:
            demo.fill(self.stdout.write)
        except (ApplicantError, PortalError, OSError) as error:
            raise CommandError(str(error)) from error

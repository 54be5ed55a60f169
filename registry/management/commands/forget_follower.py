"""Delete everything that is kept of somebody who follows changes."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from registry.following_services import forget_address


class Command(BaseCommand):
    help = (
        "Delete every subscription of a mail address, or of the receiver of a webhook, and the log of what "
        "it was told: for people who ask for it and have no mail left with a link in it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("address", help="a mail address, or the https address of a receiver")

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{forget_address(options['address'])} subscriptions were deleted.")

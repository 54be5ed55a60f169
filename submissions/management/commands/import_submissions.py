"""Take over existing records."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from registry.services import expire_certificates
from submissions.management.table import print_outcomes
from submissions.services.importing import import_submissions


def day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is not a date; write it as YYYY-MM-DD") from error


class Command(BaseCommand):
    help = "Import submissions laid out as vX.Y/<product>/PRODUCT.yaml. Doing it again adds nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, help="folder that holds the vX.Y folders")
        parser.add_argument(
            "--certified-on",
            type=day,
            metavar="YYYY-MM-DD",
            help="record them as certified on this date, self-attested and imported; else they become drafts",
        )

    def handle(self, *args: Any, folder: Path, certified_on: date | None, **options: Any) -> None:
        if not folder.is_dir():
            raise CommandError(f"{folder} is not a folder.")
        today = timezone.now().date()
        if certified_on is not None and certified_on > today:
            raise CommandError(f"--certified-on {certified_on} is in the future.")
        print_outcomes(self.stdout, import_submissions(folder, certified_on=certified_on))
        expired = expire_certificates(today=today)
        if expired:
            self.stdout.write(f"{len(expired)} of the certificates have expired since.")

"""Publish the checklists of a folder."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from submissions.management.table import print_outcomes
from submissions.services.importing import import_checklists


class Command(BaseCommand):
    help = "Publish every checklist in a folder. A corrected checklist becomes a new revision."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, help="folder with AIConformance-X.Y.yaml files")

    def handle(self, *args: Any, folder: Path, **options: Any) -> None:
        if not folder.is_dir():
            raise CommandError(f"{folder} is not a folder.")
        print_outcomes(self.stdout, import_checklists(folder))

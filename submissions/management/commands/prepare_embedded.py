"""Bring the embedded portal's data folder up to date."""

from __future__ import annotations

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from conformance.catalogue import builtin_checklists
from registry.models import Checklist
from registry.services import publish_checklist
from submissions.services import demo


class Command(BaseCommand):
    help = "Migrate, collect static files, publish checklists, make the demo's people. Safe to repeat."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write("bringing the database up to date")
        call_command("migrate", interactive=False, verbosity=0)
        self.stdout.write("collecting static files")
        call_command("collectstatic", interactive=False, verbosity=0)
        published = set(Checklist.objects.published().values_list("version", flat=True))
        for version, checklist in sorted(builtin_checklists().items()):
            if version not in published:
                publish_checklist(checklist=checklist, source=Checklist.Source.BUILT_IN)
                self.stdout.write(f"published the built-in checklist {version}")
        # Before the portal says that it is ready and names the log-ins.
        demo.make_people()

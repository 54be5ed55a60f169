"""Replace the key that signs credentials, or withdraw one that fell into other hands."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from registry import keys
from registry.models import SigningKey


class Command(BaseCommand):
    help = (
        "Make a new key for signing credentials. The former one signs no more, and stays published: what it "
        "signed goes on verifying. With --withdraw a key is published no longer, and what it signed stops "
        "verifying; holders fetch their credentials anew."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--withdraw", metavar="THUMBPRINT", default="")
        parser.add_argument("--list", action="store_true", help="show the keys and change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["withdraw"]:
            try:
                keys.withdraw_key(thumbprint=options["withdraw"], now=timezone.now())
            except keys.SigningKeyError as error:
                raise CommandError(str(error)) from error
        elif not options["list"]:
            keys.rotate_key(now=timezone.now())
        for key in SigningKey.objects.all():
            self.stdout.write(f"{key.thumbprint}  made {key.created_at:%Y-%m-%d}  {self._state(key)}")

    def _state(self, key: SigningKey) -> str:
        if key.withdrawn_at:
            return f"withdrawn {key.withdrawn_at:%Y-%m-%d}"
        if key.retired_at:
            return f"signed until {key.retired_at:%Y-%m-%d}, still published"
        return "signs"

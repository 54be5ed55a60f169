"""Encrypt every kubeconfig, the signing key and the secrets of webhooks anew."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from registry.following_services import encrypt_secrets_anew
from registry.keys import SigningKeyError, encrypt_anew
from submissions.services.clusters import rotate_keys


class Command(BaseCommand):
    help = (
        "Encrypt every kubeconfig, the key that signs credentials and the secrets of webhooks with the first "
        "key of FIELD_KEYS. "
        "Afterwards older keys may be taken away."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{rotate_keys()} kubeconfigs are encrypted with the first key.")
        try:
            self.stdout.write(f"{encrypt_anew()} signing keys are encrypted with the first key.")
        except SigningKeyError as error:
            raise CommandError(str(error)) from error
        number = encrypt_secrets_anew()
        self.stdout.write(f"{number} secrets of webhooks are encrypted with the first key.")

"""Secrets the portal makes for itself on one machine, and the keys that encrypt kubeconfigs."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured


def new_secret(*, fernet: bool = False) -> str:
    return Fernet.generate_key().decode() if fernet else secrets.token_urlsafe(48)


def make_folder(path: Path) -> None:
    """Make the data folder if it is not there yet."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(
            f"The data folder {path} cannot be made ({error.strerror}); set DATA_DIR to one the portal may "
            "write to."
        ) from error


def kept_secret(path: Path, *, fernet: bool = False) -> str:
    """The secret in `path`, made there (readable by its owner alone) when it is not there yet.

    Several processes may start at once; all of them end up with the secret that was written first.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}.new")
        if not path.exists():
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(new_secret(fernet=fernet))
            # Unlike a rename, a link fails when another process was first; then its secret stands.
            with suppress(FileExistsError):
                path.hardlink_to(fresh)
            fresh.unlink()
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"The secret in {path} can neither be read nor made ({error}); set DATA_DIR to a folder that "
            "the portal may write to, or set SECRET_KEY and FIELD_KEYS."
        ) from error


def parse_field_keys(text: str) -> tuple[str, ...]:
    """Check that every comma-separated key in `text` is a Fernet key."""
    keys = tuple(key.strip() for key in text.split(",") if key.strip())
    for position, key in enumerate(keys, start=1):
        try:
            Fernet(key)
        except ValueError as error:
            raise ImproperlyConfigured(
                f"Key number {position} in FIELD_KEYS is not 32 url-safe base64-encoded bytes; "
                "`python -m certportal.keys` prints a fresh one."
            ) from error
    if not keys:
        raise ImproperlyConfigured("FIELD_KEYS holds no key; `python -m certportal.keys` prints a fresh one.")
    return keys


if __name__ == "__main__":
    print(f"SECRET_KEY={new_secret()}")
    print(f"FIELD_KEYS={new_secret(fernet=True)}")

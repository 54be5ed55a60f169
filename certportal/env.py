"""Typed settings from the environment.

Every reader raises `ImproperlyConfigured` with a sentence that names the variable, what it holds and
what it should hold. A secret may come from a file: ``NAME_FILE`` is read where ``NAME`` is absent.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off"})
SECONDS_PER_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Env:
    """Reads typed values from a mapping of environment variables."""

    def __init__(self, variables: Mapping[str, str] = os.environ) -> None:
        self._variables = variables

    def text(self, name: str, default: str = "") -> str:
        """The variable's text, or the text of the file that ``NAME_FILE`` names."""
        value = self._variables.get(name, "").strip()
        if value:
            return value
        path = self._variables.get(f"{name}_FILE", "").strip()
        if not path:
            return default
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ImproperlyConfigured(
                f"{name}_FILE names {path!r}, which cannot be read: {error}."
            ) from error

    def flag(self, name: str, *, default: bool) -> bool:
        value = self.text(name)
        if not value:
            return default
        if value.lower() in TRUE:
            return True
        if value.lower() in FALSE:
            return False
        raise ImproperlyConfigured(f"{name} is {value!r}; it should be true or false.")

    def integer(self, name: str, default: int, *, minimum: int = 0) -> int:
        value = self.text(name)
        if not value:
            return default
        try:
            number = int(value)
        except ValueError as error:
            raise ImproperlyConfigured(f"{name} is {value!r}; it should be a whole number.") from error
        if number < minimum:
            raise ImproperlyConfigured(f"{name} is {number}; it should be {minimum} or more.")
        return number

    def words(self, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """A comma-separated list."""
        value = self.text(name)
        if not value:
            return default
        return tuple(word.strip() for word in value.split(",") if word.strip())

    def duration(self, name: str, default: timedelta) -> timedelta:
        """A number with a unit: ``90s``, ``15m``, ``2h``, ``30d``."""
        value = self.text(name)
        if not value:
            return default
        number, unit = value[:-1], value[-1:]
        if not number.isdecimal() or unit not in SECONDS_PER_UNIT:
            raise ImproperlyConfigured(
                f"{name} is {value!r}; it should be a number with a unit, such as 90s, 15m, 2h or 30d."
            )
        return timedelta(seconds=int(number) * SECONDS_PER_UNIT[unit])

    def address(self, name: str, default: str, *, schemes: tuple[str, ...]) -> str:
        """A URL with one of `schemes`, without a trailing slash."""
        value = self.text(name, default)
        if not value:
            return ""
        parts = urlsplit(value)
        if parts.scheme not in schemes or not (parts.netloc or parts.path):
            raise ImproperlyConfigured(
                f"{name} is not an address this portal understands; it should start with "
                f"{' or '.join(f'{scheme}://' for scheme in schemes)}."
            )
        return value.rstrip("/")

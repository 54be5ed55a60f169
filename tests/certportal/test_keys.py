"""Secrets the portal makes for itself."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

from certportal.keys import kept_secret, parse_field_keys


def test_kept_secret_stays_the_same_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "secret"
    first = kept_secret(path)
    assert kept_secret(path) == first
    assert len(first) >= 48
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_kept_secret_of_processes_starting_together_is_one(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    seen: list[str] = []
    threads = [threading.Thread(target=lambda: seen.append(kept_secret(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen) == {path.read_text()}


def test_kept_secret_says_what_to_do_when_the_folder_cannot_be_written(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ImproperlyConfigured, match="set DATA_DIR to a folder that the portal may write to"):
        kept_secret(blocked / "secret")


def test_field_keys_are_checked_one_by_one() -> None:
    good = Fernet.generate_key().decode()
    assert parse_field_keys(f" {good} ,{good}") == (good, good)
    with pytest.raises(ImproperlyConfigured, match="Key number 2"):
        parse_field_keys(f"{good},bad")
    with pytest.raises(ImproperlyConfigured, match="holds no key"):
        parse_field_keys(" , ")

"""Settings from the environment: typed, and malformed ones stop the start with a sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from certportal.env import Env

ROOT = Path(__file__).parents[2]


def test_text_is_read_from_the_file_that_name_file_names(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from a file\n")
    assert Env({"NAME_FILE": str(secret)}).text("NAME") == "from a file"


def test_text_of_the_variable_wins_over_its_file(tmp_path: Path) -> None:
    assert Env({"NAME": "direct", "NAME_FILE": str(tmp_path / "absent")}).text("NAME") == "direct"


def test_flag_reads_the_usual_words() -> None:
    assert [Env({"F": word}).flag("F", default=False) for word in ("true", "Yes", "1", "on")] == [True] * 4
    assert [Env({"F": word}).flag("F", default=True) for word in ("false", "no", "0", "OFF")] == [False] * 4


def test_duration_reads_each_unit() -> None:
    read = [Env({"D": text}).duration("D", timedelta()) for text in ("90s", "15m", "2h", "30d")]
    assert read == [timedelta(seconds=90), timedelta(minutes=15), timedelta(hours=2), timedelta(days=30)]


@pytest.mark.parametrize(
    ("variables", "read", "sentence"),
    [
        (
            {"F": "maybe"},
            lambda env: env.flag("F", default=True),
            "F is 'maybe'; it should be true or false.",
        ),
        ({"I": "many"}, lambda env: env.integer("I", 1), "I is 'many'; it should be a whole number."),
        ({"I": "0"}, lambda env: env.integer("I", 1, minimum=1), "I is 0; it should be 1 or more."),
        (
            {"D": "soon"},
            lambda env: env.duration("D", timedelta()),
            "D is 'soon'; it should be a number with a unit, such as 90s, 15m, 2h or 30d.",
        ),
        (
            {"A": "ftp://x"},
            lambda env: env.address("A", "", schemes=("http", "https")),
            "A is not an address this portal understands; it should start with http:// or https://.",
        ),
    ],
)
def test_malformed_value_is_refused_with_a_sentence(
    variables: dict[str, str], read: object, sentence: str
) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        read(Env(variables))  # type: ignore[operator]
    assert str(caught.value) == sentence


def test_unreadable_secret_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"NAME_FILE names .*absent.*cannot be read"):
        Env({"NAME_FILE": str(tmp_path / "absent")}).text("NAME")


def start(tmp_path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env={**clean, "DATA_DIR": str(tmp_path / "data"), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"PORT": "http"}, "PORT is 'http'; it should be a whole number."),
        ({"DEBUG": "perhaps"}, "DEBUG is 'perhaps'; it should be true or false."),
        ({"LOG_LEVEL": "LOUD"}, "LOG_LEVEL is 'LOUD'; it should be one of"),
        ({"FIELD_KEYS": "short"}, "Key number 1 in FIELD_KEYS is not 32 url-safe base64-encoded bytes"),
        ({"DATABASE_URL": "postgresql://127.0.0.1/x"}, "SECRET_KEY and FIELD_KEYS must be set"),
        ({"DATABASE_URL": "mysql://127.0.0.1/x"}, "DATABASE_URL is not an address this portal understands"),
    ],
)
def test_malformed_setting_stops_the_start_with_one_sentence(
    tmp_path: Path, variables: dict[str, str], words: str
) -> None:
    result = start(tmp_path, **variables)
    assert result.returncode == 1
    assert result.stderr.startswith("certportal cannot start: ")
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_defaults_start(tmp_path: Path) -> None:
    result = start(tmp_path)
    assert result.returncode == 0, result.stderr

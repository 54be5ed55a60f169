"""The steps of docs/verifying.md, run as they stand there, against a portal that answers over HTTP."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from registry import keys, services
from registry.models import Certificate
from tests.registry.factories import CertificateFactory

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def blocks() -> list[tuple[str, str]]:
    return BLOCK.findall((ROOT / "docs" / "verifying.md").read_text())


@pytest.fixture
def stranger(live_server: Any, settings: Settings, tmp_path: Path):
    """Runs blocks in an empty folder; returns what the last one printed and its exit code."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    settings.SITE_URL = live_server.url
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PORTAL": live_server.url,
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
    }

    def run(number: str, blocks: list[tuple[str, str]]) -> tuple[int, str]:
        code, said = 0, ""
        for language, text in blocks:
            command = ["sh", "-euc", text] if language == "sh" else [sys.executable, "-c", text]
            done = subprocess.run(
                command,
                cwd=tmp_path,
                env={**environment, "NUMBER": number},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            code, said = done.returncode, done.stdout + done.stderr
            if code:
                break
        return code, said

    return run


def certificate() -> Certificate:
    """A certificate that holds on the day the test runs."""
    from django.utils import timezone

    return CertificateFactory(on=timezone.now().date(), platform_name="Harbour", platform_version="2.1")


def test_document_has_the_steps_that_are_run_here(blocks: list[tuple[str, str]]) -> None:
    assert [language for language, _text in blocks] == ["sh", "python", "sh", "python", "sh", "sh"]


def test_stranger_verifies_a_certificate_by_the_document(stranger, blocks: list[tuple[str, str]]) -> None:
    number = certificate().number
    code, said = stranger(number, blocks[:2])
    assert (code, said.splitlines()[0]) == (0, "Harbour 2.1, Kubernetes 1.35")
    assert stranger(number, blocks[:4]) == (0, "It holds.\n")
    code, said = stranger(number, blocks[:5])
    assert code == 0, said
    assert said.rstrip().endswith("Genuine, and it holds.")
    code, said = stranger(number, blocks)
    assert code == 0
    assert '"certified":' in said


def test_stranger_finds_out_a_revocation(stranger, blocks: list[tuple[str, str]]) -> None:
    row = certificate()
    assert stranger(row.number, blocks[:2])[0] == 0
    services.revoke_certificate(certificate=row, reason="Found out.")
    # The credential in hand is the one of before; the lists are of now.
    assert stranger(row.number, blocks[2:4]) == (1, "It no longer holds: revocation.\n")
    code, said = stranger(row.number, blocks[4:5])
    assert code == 1
    assert "FAILED" in said


def test_stranger_finds_out_a_suspension(stranger, blocks: list[tuple[str, str]]) -> None:
    row = certificate()
    services.suspend_certificate(certificate=row, reason="Unreachable.")
    assert stranger(row.number, blocks[:4]) == (1, "It no longer holds: suspension.\n")


def test_stranger_finds_out_a_forgery(stranger, blocks: list[tuple[str, str]], tmp_path: Path) -> None:
    number = certificate().number
    assert stranger(number, blocks[:4])[0] == 0
    path = tmp_path / "credential.jwt"
    head, body, signature = path.read_text().strip().split(".")
    path.write_text(f"{head}.{body[:80]}{'A' if body[80] != 'A' else 'B'}{body[81:]}.{signature}\n")
    code, said = stranger(number, blocks[1:2])
    assert code == 1
    assert "InvalidSignatureError" in said
    assert stranger(number, blocks[4:5])[0] == 1


def test_stranger_goes_on_verifying_after_a_rotation(stranger, blocks: list[tuple[str, str]]) -> None:
    from django.utils import timezone

    number = certificate().number
    assert stranger(number, blocks[:1])[0] == 0
    keys.rotate_key(now=timezone.now())
    fetch_keys = [("sh", blocks[0][1].splitlines()[1])]
    assert stranger(number, [*fetch_keys, *blocks[1:4]]) == (0, "It holds.\n")

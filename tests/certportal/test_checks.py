"""Rules between settings."""

from __future__ import annotations

from typing import Any

import pytest
from django.core import checks


def found(*, deploy: bool = False) -> list[str]:
    messages = checks.run_checks(tags=[checks.Tags.security], include_deployment_checks=deploy)
    return [str(message.id) for message in messages if str(message.id).startswith("certportal.")]


def test_embedded_portal_on_loopback_is_fine(settings: Any) -> None:
    settings.EMBEDDED, settings.SITE_URL = True, "http://127.0.0.1:8000"
    assert found() == []


def test_embedded_portal_on_a_public_address_is_an_error(settings: Any) -> None:
    settings.EMBEDDED, settings.SITE_URL = True, "https://certified.example.org"
    assert found() == ["certportal.E001"]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("APPROVALS_NEEDED", 1, ["certportal.W001"]),
        ("REVIEWERS_NEED_MFA", False, ["certportal.W002"]),
        ("VERIFICATION_REQUIRED", False, ["certportal.W003"]),
        ("APPROVALS_NEEDED", 3, []),
    ],
)
def test_what_weakens_a_decision_is_warned_of(
    settings: Any, name: str, value: object, expected: list[str]
) -> None:
    setattr(settings, name, value)
    assert found(deploy=True) == expected

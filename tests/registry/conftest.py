"""The day on which the tests of pages and the API take place."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.utils import timezone

from registry import services
from tests.registry.factories import ISSUED, CertificateFactory

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def today(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """1 June 2026, noon."""
    monkeypatch.setattr(timezone, "now", lambda: NOON)
    return NOON


@pytest.fixture
def registry(today: datetime) -> dict[str, str]:
    """One certificate in each status on that day; numbers by status."""
    day = ISSUED.replace
    active = CertificateFactory(
        platform_name="Harbour", platform_version="2.1", vendor="Old Harbour", kubernetes_version="1.36"
    )
    expiring = CertificateFactory(
        platform_name="Fjord", on=day(year=2025, month=7), assurance="self_attested"
    )
    expired = CertificateFactory(platform_name="Quartz", on=day(year=2025))
    suspended = CertificateFactory(platform_name="Meridian")
    services.suspend_certificate(
        certificate=suspended, reason="Evidence unreachable.", on=day(month=5, day=20)
    )
    revoked = CertificateFactory(platform_name="Lagoon")
    services.revoke_certificate(
        certificate=revoked, reason="Changed under the same version.", on=day(month=4)
    )
    superseded = CertificateFactory(platform_name="Tundra")
    renewal = CertificateFactory(platform_name="Tundra", on=day(day=20), simulated=True)
    found = {
        "active": active,
        "expiring": expiring,
        "expired": expired,
        "suspended": suspended,
        "revoked": revoked,
        "superseded": superseded,
        "renewal": renewal,
    }
    return {name: certificate.number for name, certificate in found.items()}

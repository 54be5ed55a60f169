"""Own-row rules of published facts."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, IntegrityError, transaction

from registry.models import Certificate, CertificateEvent, CertificateRequirement
from tests.registry.factories import ISSUED, CertificateFactory, ChecklistFactory, RequirementSnapshotFactory

pytestmark = pytest.mark.django_db
EXPIRES = date(2027, 3, 1)


def test_checklist_once_published_is_frozen() -> None:
    checklist = ChecklistFactory()
    checklist.revision = 7
    with pytest.raises(ValidationError, match="frozen"):
        checklist.save()


@pytest.mark.parametrize(
    ("status", "on", "expected"),
    [
        ("active", EXPIRES - timedelta(days=1), "active"),
        ("active", EXPIRES, "expired"),
        ("suspended", EXPIRES - timedelta(days=1), "suspended"),
        ("suspended", EXPIRES, "expired"),
        ("revoked", EXPIRES, "revoked"),
        ("superseded", EXPIRES, "superseded"),
    ],
)
def test_status_as_of_a_date(status: str, on: date, expected: str) -> None:
    certificate = Certificate(number="AIK-2026-0001", status=status, issued_on=ISSUED, expires_on=EXPIRES)
    assert certificate.status_as_of(on) == expected


@pytest.mark.parametrize(
    ("status", "days_left", "expected"),
    [
        ("active", 61, False),
        ("active", 60, True),
        ("active", 1, True),
        ("active", 0, False),
        ("revoked", 5, False),
    ],
)
def test_certificate_is_expiring_within_sixty_days(status: str, days_left: int, expected: bool) -> None:
    certificate = Certificate(status=status, issued_on=ISSUED, expires_on=EXPIRES)
    assert certificate.is_expiring(EXPIRES - timedelta(days=days_left)) is expected


def test_certificate_event_cannot_be_changed_or_deleted() -> None:
    event = CertificateFactory().history.get()
    event.reason = "Other words."
    with pytest.raises(ValidationError, match="added to"):
        event.save()
    with pytest.raises(ValidationError, match="added to"):
        event.delete()


def test_certificate_with_history_cannot_be_deleted() -> None:
    certificate = CertificateFactory()
    with pytest.raises(DatabaseError), transaction.atomic():
        Certificate.objects.filter(pk=certificate.pk).delete()
    assert CertificateEvent.objects.filter(certificate=certificate).count() == 1


def test_second_live_certificate_of_the_same_platform_is_refused_by_the_database() -> None:
    first = CertificateFactory()
    twin = Certificate.objects.get(pk=first.pk)
    twin.pk, twin.number, twin.source = None, "AIK-2026-9999", "00000000-0000-4000-8000-000000000000"
    with pytest.raises(IntegrityError), transaction.atomic():
        twin.save(force_insert=True)


@pytest.mark.parametrize("claim", ["Implemented", "Partially Implemented", "Not Implemented", "N/A", ""])
@pytest.mark.parametrize("verdict", ["", "pass", "fail", "unknown", "error", "not_applicable"])
def test_requirement_is_met_by_the_same_rule_in_python_and_in_the_database(claim: str, verdict: str) -> None:
    snapshot = RequirementSnapshotFactory(claim=claim, verdict=verdict)
    row = CertificateFactory(requirements=[snapshot]).requirements.get()
    expected = claim == "Implemented" and verdict not in {"fail", "not_applicable"}
    assert row.is_met is expected
    assert CertificateRequirement.objects.met().filter(pk=row.pk).exists() is expected
    assert Certificate.objects.meeting(row.requirement_id).exists() is expected

"""What changes the registry, and what its history then answers."""

from __future__ import annotations

import dataclasses
from datetime import date, timedelta

import pytest

from conformance.catalogue import Category, builtin_checklists
from registry import services
from registry.models import Certificate, Checklist
from registry.services import RegistryError
from registry.tasks import expire_certificates_task
from tests.registry.factories import (
    ISSUED,
    CertificateFactory,
    CertificateSnapshotFactory,
    ChecklistFactory,
    RequirementSnapshotFactory,
)

pytestmark = pytest.mark.django_db
EXPIRES = date(2027, 3, 1)


def status_on(certificate: Certificate, on: date) -> str | None:
    return Certificate.objects.with_status_on(on).values_list("status_on", flat=True).get(pk=certificate.pk)


def history(certificate: Certificate) -> list[tuple[str, str, date]]:
    return list(certificate.history.values_list("kind", "status", "effective_on"))


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2026, 3, 1), date(2027, 3, 1)),
        (date(2026, 12, 31), date(2027, 12, 31)),
        (date(2027, 2, 28), date(2028, 2, 28)),
        (date(2028, 2, 29), date(2029, 2, 28)),
    ],
)
def test_one_year_after(day: date, expected: date) -> None:
    assert services.one_year_after(day) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("Acme Cloud!", "acme-cloud"), ("  K8s  ", "k8s"), ("x" * 100, "x" * 80)]
)
def test_address_name(text: str, expected: str) -> None:
    assert services.address_name(text) == expected


def test_address_name_without_latin_letters_is_stable_and_distinct() -> None:
    assert services.address_name("百度") == services.address_name("百度")
    assert services.address_name("百度") != services.address_name("京东")


def test_numbers_run_through_a_year_and_start_again_in_the_next() -> None:
    taken = [services.take_number(day) for day in (ISSUED, ISSUED, date(2027, 1, 1), ISSUED)]
    assert taken == ["AIK-2026-0001", "AIK-2026-0002", "AIK-2027-0001", "AIK-2026-0003"]


def test_checklist_published_twice_changes_nothing() -> None:
    first = ChecklistFactory()
    again, is_new = services.publish_checklist(
        checklist=builtin_checklists()["1.35"], source=Checklist.Source.BUILT_IN
    )
    assert (again.pk, is_new) == (first.pk, False)
    assert first.requirements.count() == len(list(builtin_checklists()["1.35"].requirements()))


def test_checklist_with_other_content_becomes_a_revision_and_the_current_one() -> None:
    first = ChecklistFactory()
    original = builtin_checklists()["1.35"]
    shorter: tuple[Category, ...] = original.categories[:1]
    corrected = dataclasses.replace(original, categories=shorter, digest="0" * 64)
    second, is_new = services.publish_checklist(checklist=corrected, source=Checklist.Source.PROGRAMME)
    assert (is_new, second.revision) == (True, 2)
    assert list(Checklist.objects.current()) == [second]
    first.refresh_from_db()
    assert first.is_published


def test_issued_certificate_is_active_for_a_year_and_has_a_history() -> None:
    certificate = CertificateFactory()
    assert (certificate.issued_on, certificate.expires_on) == (ISSUED, EXPIRES)
    assert history(certificate) == [("issued", "active", ISSUED)]
    assert list(certificate.requirements.values_list("requirement_id", "position")) == [
        ("gang_scheduling", 0),
        ("secure_accelerator_access", 1),
        ("cluster_autoscaling", 2),
    ]


def test_certificate_published_after_the_decision_still_ends_a_year_after_the_decision() -> None:
    certificate = services.issue_certificate(
        snapshot=CertificateSnapshotFactory(), on=ISSUED + timedelta(days=40), decided_on=ISSUED
    )
    assert certificate.expires_on == EXPIRES


def test_issuing_twice_from_one_source_returns_the_certificate_there_is() -> None:
    snapshot = CertificateSnapshotFactory()
    first = services.issue_certificate(snapshot=snapshot, on=ISSUED)
    second = services.issue_certificate(snapshot=snapshot, on=ISSUED + timedelta(days=1))
    assert second.pk == first.pk
    assert Certificate.objects.count() == 1


def test_renewal_before_expiry_supersedes_the_former() -> None:
    former = CertificateFactory(platform_name="Engine")
    renewed_on = EXPIRES - timedelta(days=20)
    renewal = CertificateFactory(platform_name="Engine", on=renewed_on)
    former.refresh_from_db()
    assert former.status == "superseded"
    assert renewal.supersedes == former
    assert history(renewal) == [("renewed", "active", renewed_on)]
    assert status_on(former, renewed_on - timedelta(days=1)) == "active"
    assert status_on(former, renewed_on) == "superseded"


def test_certificate_after_a_lapse_is_issued_anew_and_the_gap_shows() -> None:
    former = CertificateFactory(platform_name="Engine")
    again = EXPIRES + timedelta(days=10)
    later = CertificateFactory(platform_name="Engine", on=again)
    former.refresh_from_db()
    assert former.status == "expired"
    assert history(former)[-1] == ("expired", "expired", EXPIRES)
    assert history(later) == [("issued", "active", again)]


@pytest.mark.parametrize(
    "other", [{"configuration": "air-gapped"}, {"platform_version": "2.0"}, {"kubernetes_version": "1.36"}]
)
def test_other_configuration_version_or_kubernetes_is_certified_beside(other: dict[str, str]) -> None:
    first = CertificateFactory(platform_name="Engine")
    CertificateFactory(platform_name="Engine", **other)
    first.refresh_from_db()
    assert first.status == "active"


def test_renewal_dated_before_the_former_is_refused() -> None:
    CertificateFactory(platform_name="Engine")
    with pytest.raises(RegistryError, match="after 2026-02-28"):
        CertificateFactory(platform_name="Engine", on=ISSUED - timedelta(days=1))


def test_every_date_of_a_turbulent_year_has_one_answer() -> None:
    certificate = CertificateFactory()
    day = [ISSUED + timedelta(days=n) for n in range(120)]
    services.suspend_certificate(certificate=certificate, reason="Evidence gone.", on=day[30])
    services.reinstate_certificate(certificate=certificate, reason="Evidence back.", on=day[40])
    services.suspend_certificate(certificate=certificate, reason="Gone again.", on=day[60])
    assert services.revoke_uncured(today=day[95]) == [certificate.number]
    asked = [ISSUED - timedelta(days=1), *(day[n] for n in (0, 29, 30, 39, 40, 59, 60, 89, 90)), EXPIRES]
    assert [status_on(certificate, on) for on in asked] == [
        None,
        *["active"] * 2,
        *["suspended"] * 2,
        *["active"] * 2,
        *["suspended"] * 2,
        *["revoked"] * 2,
    ]


def test_reason_is_demanded_since_it_stands_in_public() -> None:
    with pytest.raises(RegistryError, match="Say why"):
        services.suspend_certificate(certificate=CertificateFactory(), reason="  ", on=ISSUED)


@pytest.mark.parametrize("change", [services.suspend_certificate, services.revoke_certificate])
def test_certificate_past_its_expiry_can_neither_be_suspended_nor_revoked(change: object) -> None:
    certificate = CertificateFactory()
    with pytest.raises(RegistryError, match="expired"):
        change(certificate=certificate, reason="Too late.", on=EXPIRES)  # type: ignore[operator]
    assert history(certificate) == [("issued", "active", ISSUED)]


def test_active_certificate_cannot_be_reinstated() -> None:
    with pytest.raises(RegistryError, match="is active"):
        services.reinstate_certificate(certificate=CertificateFactory(), reason="Why not.", on=ISSUED)


def test_change_dated_before_the_last_one_is_refused() -> None:
    certificate = CertificateFactory()
    services.suspend_certificate(certificate=certificate, reason="Gone.", on=ISSUED + timedelta(days=30))
    with pytest.raises(RegistryError, match="is before that"):
        services.revoke_certificate(
            certificate=certificate, reason="Rewrite.", on=ISSUED + timedelta(days=29)
        )
    certificate.refresh_from_db()
    assert certificate.status == "suspended"


def test_expiry_is_recorded_once_and_on_the_date_it_happened() -> None:
    certificate = CertificateFactory()
    assert services.expire_certificates(today=EXPIRES - timedelta(days=1)) == []
    assert services.expire_certificates(today=EXPIRES + timedelta(days=3)) == [certificate.number]
    assert services.expire_certificates(today=EXPIRES + timedelta(days=4)) == []
    assert history(certificate)[1:] == [("expired", "expired", EXPIRES)]


def test_expiry_task_leaves_what_has_ended_otherwise() -> None:
    revoked = CertificateFactory(on=date(2020, 1, 1))
    services.revoke_certificate(certificate=revoked, reason="Wrong.", on=date(2020, 2, 1))
    expired = CertificateFactory(on=date(2020, 1, 1))
    assert expire_certificates_task() == [expired.number]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], "self_attested"),
        ([{}], "self_attested"),
        ([{"verified": True}, {}], "portal_verified"),
        ([{"verified": True, "level": "SHOULD"}], "self_attested"),
        ([{"assurance": "vendor_run", "verdict": "pass"}, {}], "vendor_run"),
        ([{"assurance": "portal_verified", "verdict": "unknown"}], "self_attested"),
    ],
)
def test_overall_assurance_is_that_of_the_strongest_must_seen_to_pass(
    rows: list[dict[str, object]], expected: str
) -> None:
    snapshots = [RequirementSnapshotFactory(**row) for row in rows]
    assert services.overall_assurance(snapshots) == expected

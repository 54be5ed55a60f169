"""Reads of the registry."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from registry import services
from registry.models import Certificate
from tests.registry.factories import ISSUED, CertificateFactory, RequirementSnapshotFactory

pytestmark = pytest.mark.django_db
EXPIRES = date(2027, 3, 1)


def test_listed_leaves_out_what_is_issued_later() -> None:
    early, late = CertificateFactory(), CertificateFactory(on=ISSUED + timedelta(days=10))
    assert list(Certificate.objects.listed(ISSUED)) == [early]
    assert set(Certificate.objects.listed(ISSUED + timedelta(days=10))) == {early, late}


def test_unrecorded_expiry_shows_all_the_same() -> None:
    CertificateFactory()
    assert Certificate.objects.listed(EXPIRES).get().status_on == "expired"
    assert Certificate.objects.get().status == "active"


def test_valid_is_active_on_the_date() -> None:
    certificate = CertificateFactory()
    services.suspend_certificate(certificate=certificate, reason="Gone.", on=ISSUED + timedelta(days=5))
    assert Certificate.objects.valid(ISSUED + timedelta(days=4)).exists()
    assert not Certificate.objects.valid(ISSUED + timedelta(days=5)).exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("acme harbour", 1),
        ("HARBOUR 2.1-lts", 1),
        ("aik-2026-0001", 1),
        ("air-gapped", 1),
        ("acme engine-room", 0),
        ("  ", 2),
        ("%", 0),
    ],
)
def test_matching_needs_every_word_somewhere(text: str, expected: int) -> None:
    CertificateFactory(platform_name="Harbour", platform_version="2.1-lts", configuration="air-gapped")
    CertificateFactory(vendor="Fjord", platform_name="Platform")
    assert Certificate.objects.matching(text).count() == expected


@pytest.mark.parametrize(("name", "expected"), [("acme-cloud", 1), ("ACME cloud", 1), ("acme", 0)])
def test_of_vendor_takes_name_or_short_form(name: str, expected: int) -> None:
    CertificateFactory()
    assert Certificate.objects.of_vendor(name).count() == expected


def test_of_vendor_takes_a_name_that_is_the_short_form_of_another() -> None:
    CertificateFactory(vendor="Nord")
    other = CertificateFactory(vendor="NORD", platform_name="Fjord")
    Certificate.objects.filter(pk=other.pk).update(vendor_slug="nord-2")
    assert Certificate.objects.of_vendor("nord").count() == 2
    assert Certificate.objects.of_vendor("nord-2").count() == 1


def test_coverage_counts_each_requirement_by_how_it_is_known() -> None:
    rows = [
        RequirementSnapshotFactory(requirement_id="a", verified=True),
        # The portal looked and could not tell: the vendor's word is all there is.
        RequirementSnapshotFactory(requirement_id="b", verdict="unknown"),
        RequirementSnapshotFactory(requirement_id="c", assurance="vendor_run", verdict="pass"),
        RequirementSnapshotFactory(requirement_id="d", waiver=True),
        RequirementSnapshotFactory(requirement_id="e", unclaimed=True),
        RequirementSnapshotFactory(requirement_id="f", level="SHOULD", verdict="fail"),
        RequirementSnapshotFactory(requirement_id="g", claim="Partially Implemented"),
    ]
    CertificateFactory(requirements=rows)
    found = Certificate.objects.get()
    assert (
        found.requirement_count,
        found.verified_count,
        found.vendor_run_count,
        found.attested_count,
        found.waived_count,
        found.failed_count,
    ) == (7, 1, 1, 1, 1, 1)


def test_vendors_and_versions_are_listed_once_and_in_order() -> None:
    for vendor, version in (("zeta", "1.9"), ("Acme Cloud", "1.35"), ("Acme Cloud", "1.36")):
        CertificateFactory(vendor=vendor, kubernetes_version=version)
    assert Certificate.objects.vendors() == [("acme-cloud", "Acme Cloud"), ("zeta", "zeta")]
    assert Certificate.objects.kubernetes_versions() == ["1.36", "1.35", "1.9"]

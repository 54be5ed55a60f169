"""What the list needs of a certificate, derived from its requirements and its history.

The columns on `Certificate` spare the list a join for every row; the tally spares it counting a million
of them. Both are written here and only here, in the transaction of the change they follow from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date
from typing import Any, Protocol

from django.db import models, transaction
from django.utils import timezone

from conformance import catalogue
from registry.models import Certificate, CertificateEvent, CertificateRequirement, RegistryState, Tally
from registry.querysets import counts_as_met

# Called after a change is committed, in the process that made it: caches forget what they hold.
listeners: list[Callable[[], None]] = []
# The status of the tally's row that counts certificates whatever theirs is.
ANY = ""
COUNTS = (
    "requirement_count",
    "verified_count",
    "vendor_run_count",
    "attested_count",
    "waived_count",
    "failed_count",
)


class Row(Protocol):
    """What is read of a requirement: a row of the registry or its snapshot."""

    @property
    def requirement_id(self) -> str: ...
    @property
    def claim(self) -> str: ...
    @property
    def verdict(self) -> str: ...
    @property
    def assurance(self) -> str: ...
    @property
    def waived(self) -> bool: ...


def words_of(values: Iterable[str]) -> str:
    """Values as one text in which each stands between spaces, so that a part of it finds a whole value."""
    found = sorted(set(values))
    return f" {' '.join(found)} " if found else ""


def coverage_of(rows: Iterable[Row]) -> dict[str, Any]:
    """The derived columns of a certificate with these requirements."""
    rows = list(rows)
    met = {row.requirement_id for row in rows if counts_as_met(row.claim, row.verdict)}
    return {
        "requirement_count": len(rows),
        "verified_count": sum(row.assurance == "portal_verified" and row.verdict == "pass" for row in rows),
        "vendor_run_count": sum(row.assurance == "vendor_run" and row.verdict == "pass" for row in rows),
        "attested_count": sum(
            row.requirement_id in met and row.assurance == "self_attested" and not row.waived for row in rows
        ),
        "waived_count": sum(row.waived for row in rows),
        "failed_count": sum(row.verdict == "fail" and not row.waived for row in rows),
        "met": words_of(met),
        "workloads": words_of(workloads_of({row.requirement_id for row in rows}, met)),
    }


def workloads_of(listed: set[str], met: set[str]) -> set[str]:
    """Kinds of workload that are served in full: every requirement of the checklist for them is met."""
    found = set()
    for kind in catalogue.WorkloadKind:
        asked = {id_ for id_ in listed if (info := catalogue.REQUIREMENTS.get(id_)) and kind in info.kinds}
        if asked and asked <= met:
            found.add(kind.value)
    return found


def facet_values(certificate: Certificate) -> list[tuple[str, str, str]]:
    """Every (facet, value, label) the certificate counts for."""
    return [
        ("all", "", ""),
        ("vendor", certificate.vendor_slug, certificate.vendor),
        ("kubernetes_version", certificate.kubernetes_version, certificate.kubernetes_version),
        ("assurance", certificate.assurance, certificate.assurance),
        ("configuration", certificate.configuration, certificate.configuration),
        *(("workload", kind, kind) for kind in certificate.workloads.split()),
        *(("requirement", id_, id_) for id_ in certificate.met.split()),
    ]


def record_issue(certificate: Certificate) -> None:
    """Count a certificate that was just issued."""
    touch()
    _count(certificate, ANY, 1)
    _count(certificate, certificate.status, 1)


def record_change(certificate: Certificate, *, before: str, on: date) -> None:
    """Move a certificate whose status was `before` to the one it has now, effective on the date `on`."""
    certificate.changed_on = max(certificate.changed_on or on, on)
    certificate.save(update_fields=["changed_on"])
    touch()
    if before != certificate.status:
        _count(certificate, before, -1)
        _count(certificate, certificate.status, 1)


def touch() -> None:
    """Say that something the public sees has changed.

    Whoever does so holds the row until the transaction ends: changes wait for each other. They are few.
    """
    now = timezone.now()
    _state, is_new = RegistryState.objects.get_or_create(pk=1, defaults={"changed_at": now})
    if not is_new:
        RegistryState.objects.filter(pk=1).update(version=models.F("version") + 1, changed_at=now)
    for listener in listeners:
        transaction.on_commit(listener)


def _count(certificate: Certificate, status: str, step: int) -> None:
    # Always in the same order, so that two changes at once wait for each other and never for ever.
    for facet, value, label in sorted(facet_values(certificate)):
        counted = Tally.objects.filter(facet=facet, value=value, status=status).update(
            number=models.F("number") + step, label=label
        )
        if not counted:
            Tally.objects.create(facet=facet, value=value, status=status, label=label, number=max(step, 0))


@transaction.atomic
def recount() -> None:
    """Derive every column and the tally anew; for migrations, restores and doubts."""
    tally: Counter[tuple[str, str, str]] = Counter()
    labels: dict[tuple[str, str], str] = {}
    batch: list[Certificate] = []
    for certificate in Certificate.objects.order_by("pk").iterator(chunk_size=500):
        batch.append(certificate)
        if len(batch) == 500:  # noqa: PLR2004 - rows read at a time
            _derive(batch, tally, labels)
            batch = []
    _derive(batch, tally, labels)
    Tally.objects.all().delete()
    Tally.objects.bulk_create(
        (
            Tally(facet=facet, value=value, status=status, label=labels[facet, value], number=number)
            for (facet, value, status), number in sorted(tally.items())
        ),
        batch_size=500,
    )
    touch()


def _derive(
    batch: list[Certificate], tally: Counter[tuple[str, str, str]], labels: dict[tuple[str, str], str]
) -> None:
    keys = [certificate.pk for certificate in batch]
    rows: dict[int, list[CertificateRequirement]] = {}
    for row in CertificateRequirement.objects.filter(certificate__in=keys):
        rows.setdefault(row.certificate_id, []).append(row)
    newest: dict[int, tuple[date, str, date | None]] = {
        pk: (on, status, cure_by)
        for pk, on, status, cure_by in CertificateEvent.objects.filter(certificate__in=keys)
        .order_by("effective_on", "pk")
        .values_list("certificate", "effective_on", "status", "cure_by")
    }
    for certificate in batch:
        for name, value in coverage_of(rows.get(certificate.pk, [])).items():
            setattr(certificate, name, value)
        on, status, cure_by = newest.get(certificate.pk, (certificate.issued_on, "", None))
        certificate.changed_on = on
        certificate.cure_by = (
            cure_by if status == certificate.status == Certificate.Status.SUSPENDED else None
        )
        for facet, value, label in facet_values(certificate):
            tally[facet, value, ANY] += 1
            tally[facet, value, certificate.status] += 1
            labels[facet, value] = label
    Certificate.objects.bulk_update(
        batch, [*COUNTS, "met", "workloads", "changed_on", "cure_by"], batch_size=200
    )

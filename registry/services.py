"""Everything that writes to the registry."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.text import slugify

from conformance import catalogue
from registry import standing
from registry.following_services import announce
from registry.models import (
    CURE_DAYS,
    Assurance,
    Category,
    Certificate,
    CertificateEvent,
    CertificateRequirement,
    Checklist,
    NumberSequence,
    Requirement,
    StatusEntry,
)

log = structlog.get_logger(__name__)

# What the public history says of a revocation that nobody had to decide.
NOT_CURED = "The cause of the suspension was not cured in time."

Kind = CertificateEvent.Kind
Status = Certificate.Status


class RegistryError(Exception):
    """A change the registry does not allow; the text says why."""


@dataclass(frozen=True, slots=True)
class RequirementSnapshot:
    """What goes on the certificate about one requirement."""

    requirement_id: str
    category: str
    description: str
    level: str
    claim: str = ""
    notes: str = ""
    evidence: Sequence[str] = ()
    verdict: str = ""
    verdict_reason: str = ""
    verdict_message: str = ""
    assurance: str = ""
    waived: bool = False
    waiver_reason: str = ""
    waiver_expires_on: date | None = None


@dataclass(frozen=True, slots=True)
class CertificateSnapshot:
    """Everything a certificate says, taken at the moment of the decision."""

    vendor: str
    platform_name: str
    platform_version: str
    kubernetes_version: str
    assurance: str
    requirements: Sequence[RequirementSnapshot]
    vendor_slug: str = ""
    platform_slug: str = ""
    configuration: str = "default"
    checklist_revision: int = 1
    checklist_digest: str = ""
    description: str = ""
    website_url: str = ""
    documentation_url: str = ""
    repo_url: str = ""
    logo_url: str = ""
    base_conformance_url: str = ""
    base_platform: str = ""
    simulated: bool = False
    imported: bool = False
    findings: Sequence[dict[str, Any]] = ()
    run_digest: str = ""
    run_finished_at: datetime | None = None
    source: uuid.UUID = field(default_factory=uuid.uuid4)


def one_year_after(day: date) -> date:
    """The same day of the next year; 28 February for 29 February, so that a year is never exceeded."""
    try:
        return day.replace(year=day.year + 1)
    except ValueError:
        return day.replace(year=day.year + 1, day=28)


def address_name(text: str, *, longest: int = 80) -> str:
    """`text` as it stands in addresses, never empty: names without Latin letters get a stable digest."""
    slug = slugify(text)[:longest].strip("-")
    return slug or f"x{uuid.uuid5(uuid.NAMESPACE_URL, text).hex[:10]}"


def take_number(day: date) -> str:
    """The next certificate number of `day`'s year, such as ``AIK-2026-0042``. Needs a transaction."""
    NumberSequence.objects.get_or_create(year=day.year)
    sequence = NumberSequence.objects.select_for_update().get(year=day.year)
    sequence.last += 1
    sequence.save(update_fields=["last"])
    return f"AIK-{day.year}-{sequence.last:04d}"


@transaction.atomic
def publish_checklist(
    *, checklist: catalogue.Checklist, source: str, at: datetime | None = None
) -> tuple[Checklist, bool]:
    """Publish `checklist`, as a new revision when the version exists with other content.

    Returns the row and whether it is new. Publishing the same content again changes nothing.
    """
    existing = Checklist.objects.filter(version=checklist.version, digest=checklist.digest).first()
    if existing:
        return existing, False
    last = Checklist.objects.filter(version=checklist.version).aggregate(last=Max("revision"))["last"] or 0
    row = Checklist.objects.create(
        version=checklist.version, revision=last + 1, digest=checklist.digest, source=source
    )
    position = 0
    for category_position, category in enumerate(checklist.categories):
        category_row = Category.objects.create(checklist=row, key=category.key, position=category_position)
        for requirement in category.requirements:
            Requirement.objects.create(
                checklist=row,
                category=category_row,
                requirement_id=requirement.id,
                description=requirement.description,
                level=requirement.level,
                position=position,
            )
            position += 1
    row.published_at = at or timezone.now()
    row.save()
    standing.touch()
    return row, True


def live_twin(snapshot: CertificateSnapshot) -> Certificate | None:
    """The live certificate of the same platform version, configuration and Kubernetes version, locked."""
    return (
        Certificate.objects.select_for_update()
        .filter(
            vendor_slug=snapshot.vendor_slug or address_name(snapshot.vendor),
            platform_slug=snapshot.platform_slug or address_name(snapshot.platform_name),
            platform_version=snapshot.platform_version,
            configuration=snapshot.configuration,
            kubernetes_version=snapshot.kubernetes_version,
            status__in=[Status.ACTIVE, Status.SUSPENDED],
        )
        .first()
    )


@transaction.atomic
def issue_certificate(
    *, snapshot: CertificateSnapshot, on: date, decided_on: date | None = None
) -> Certificate:
    """Issue the certificate that `snapshot` describes, on the day `on`.

    It is valid for one year from the decision, which is earlier than `on` where the vendor's release
    date held the publication back.

    A live certificate of the same platform version, configuration and Kubernetes version is renewed:
    the new one supersedes it. Issuing again from the same source returns the certificate there is.
    """
    existing = Certificate.objects.filter(source=snapshot.source).first()
    if existing:
        return existing
    vendor_slug = snapshot.vendor_slug or address_name(snapshot.vendor)
    platform_slug = snapshot.platform_slug or address_name(snapshot.platform_name)
    former = live_twin(snapshot)
    renews = False
    if former is not None:
        # A date in the past already has its answer, as for every other change.
        last = former.changed_on or former.issued_on
        if on < last:
            raise RegistryError(f"{former.number} changed on {last}, after {on}: nothing to renew.")
        renews = former.status_as_of(on) == Status.ACTIVE
        if former.is_uncured(on):
            _revoke_uncured(former)
        elif former.status_as_of(on) == Status.EXPIRED:
            _change(former, Kind.EXPIRED, Status.EXPIRED, on=former.expires_on, reason="")
        else:
            _change(
                former, Kind.SUPERSEDED, Status.SUPERSEDED, on=on, reason="Replaced by a newer certificate."
            )
    values = {
        name: getattr(snapshot, name)
        for name in snapshot.__dataclass_fields__
        if name not in {"requirements", "findings", "vendor_slug", "platform_slug"}
    }
    certificate = Certificate.objects.create(
        number=take_number(on),
        issued_on=on,
        expires_on=one_year_after(decided_on or on),
        supersedes=former,
        vendor_slug=vendor_slug,
        platform_slug=platform_slug,
        findings=list(snapshot.findings),
        changed_on=on,
        **standing.coverage_of(snapshot.requirements),
        **values,
    )
    CertificateRequirement.objects.bulk_create(
        CertificateRequirement(
            certificate=certificate,
            position=position,
            evidence=list(row.evidence),
            **{name: getattr(row, name) for name in row.__dataclass_fields__ if name != "evidence"},
        )
        for position, row in enumerate(snapshot.requirements)
    )
    event = CertificateEvent.objects.create(
        certificate=certificate,
        kind=Kind.RENEWED if renews else Kind.ISSUED,
        status=Status.ACTIVE,
        effective_on=on,
    )
    announce(event)
    StatusEntry.objects.create(certificate=certificate)
    standing.record_issue(certificate)
    log.info("certificate issued", number=certificate.number, expires_on=str(certificate.expires_on))
    return certificate


def suspend_certificate(*, certificate: Certificate, reason: str, on: date | None = None) -> Certificate:
    """Suspend after a written notice; the cure clock of 30 days starts on the date.

    The reason is what the notice says. When the time has passed, the certificate is revoked by itself.
    """
    return _change_from(certificate, {Status.ACTIVE}, Kind.SUSPENDED, Status.SUSPENDED, reason=reason, on=on)


def reinstate_certificate(*, certificate: Certificate, reason: str, on: date | None = None) -> Certificate:
    """Lift a suspension whose cause was cured."""
    return _change_from(certificate, {Status.SUSPENDED}, Kind.REINSTATED, Status.ACTIVE, reason=reason, on=on)


def revoke_certificate(*, certificate: Certificate, reason: str, on: date | None = None) -> Certificate:
    """End a certificate before its time; the right to use the mark ends at once."""
    live = {Status.ACTIVE, Status.SUSPENDED}
    return _change_from(certificate, live, Kind.REVOKED, Status.REVOKED, reason=reason, on=on)


def expire_certificates(*, today: date) -> list[str]:
    """Record the expiry of every certificate past its date; returns their numbers."""
    numbers = []
    for pk in Certificate.objects.expired_unnoticed(today).order_by("pk").values_list("pk", flat=True):
        with transaction.atomic():
            certificate = Certificate.objects.select_for_update().get(pk=pk)
            live = certificate.status in {Status.ACTIVE, Status.SUSPENDED}
            if live and certificate.status_as_of(today) == Status.EXPIRED:
                _change(certificate, Kind.EXPIRED, Status.EXPIRED, on=certificate.expires_on, reason="")
                numbers.append(certificate.number)
    return numbers


def revoke_uncured(*, today: date) -> list[str]:
    """Record the revocation of every certificate whose time to cure has passed; returns their numbers."""
    numbers = []
    for pk in Certificate.objects.uncured_unnoticed(today).order_by("pk").values_list("pk", flat=True):
        with transaction.atomic():
            certificate = Certificate.objects.select_for_update().get(pk=pk)
            if certificate.is_uncured(today):
                _revoke_uncured(certificate)
                numbers.append(certificate.number)
    return numbers


def _revoke_uncured(certificate: Certificate) -> None:
    """Record it on the day it happened by the calendar, whenever the task came by."""
    day = certificate.cure_by
    assert day is not None  # noqa: S101 - the callers have looked
    _change(certificate, Kind.REVOKED, Status.REVOKED, on=day, reason=NOT_CURED, cure_by=day)


@transaction.atomic
def _change_from(
    certificate: Certificate,
    allowed: set[Status],
    kind: Kind,
    status: Status,
    *,
    reason: str,
    on: date | None,
) -> Certificate:
    if not reason.strip():
        raise RegistryError("Say why: the reason stands in the public history.")
    certificate = Certificate.objects.select_for_update().get(pk=certificate.pk)
    on = on or timezone.now().date()
    last = certificate.history.order_by("-effective_on", "-pk").first()
    if last is not None and on < last.effective_on:
        # A date in the past already has its answer; a change may not rewrite it.
        raise RegistryError(f"{certificate.number} changed on {last.effective_on}; {on} is before that.")
    now = certificate.status_as_of(on)
    if now not in allowed:
        raise RegistryError(f"{certificate.number} is {now} on {on}; it cannot be {kind.label.lower()}.")
    cure_by = on + timedelta(days=CURE_DAYS) if kind == Kind.SUSPENDED else None
    _change(certificate, kind, status, on=on, reason=reason, cure_by=cure_by)
    return certificate


def _change(
    certificate: Certificate,
    kind: Kind,
    status: Status,
    *,
    on: date,
    reason: str,
    cure_by: date | None = None,
) -> None:
    before, certificate.status = certificate.status, status
    certificate.cure_by = cure_by if status == Status.SUSPENDED else None
    certificate.save(update_fields=["status", "cure_by", "updated_at"])
    event = CertificateEvent.objects.create(
        certificate=certificate,
        kind=kind,
        status=status,
        effective_on=on,
        reason=reason,
        cure_by=cure_by,
    )
    announce(event)
    standing.record_change(certificate, before=before, on=on)
    log.info("certificate changed", number=certificate.number, kind=kind.value, on=str(on))


def overall_assurance(requirements: Sequence[RequirementSnapshot]) -> str:
    """How we know, for a certificate as a whole: by the strongest way in which a MUST was seen met.

    Each requirement carries its own; pages always show both.
    """
    seen = {row.assurance for row in requirements if row.level == "MUST" and row.verdict == "pass"}
    for assurance in (Assurance.PORTAL_VERIFIED, Assurance.VENDOR_RUN):
        if assurance in seen:
            return assurance
    return Assurance.SELF_ATTESTED

"""Was it certified on that day? One answer for a number, and one for a platform by its name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db.models import Q

from registry.models import Certificate
from registry.querysets import CertificateQuerySet
from registry.services import address_name


@dataclass(frozen=True, slots=True)
class Answer:
    """What the registry says of a certificate on a date."""

    certificate: Certificate
    on: date
    status: str
    is_future: bool
    successor: Certificate | None = None

    @property
    def certified(self) -> bool:
        return self.status == Certificate.Status.ACTIVE

    @property
    def cure_by(self) -> date | None:
        """The first day on which it is revoked unless its cause was cured, on the date of the answer.

        None where it was not suspended, where another notice ran than does today, and where the certificate
        ends before the notice does.
        """
        certificate = self.certificate
        is_the_same = certificate.changed_on is not None and certificate.changed_on <= self.on
        return certificate.cure_ends if self.status == Certificate.Status.SUSPENDED and is_the_same else None


def answer_for(number: str, on: date, *, today: date) -> Answer | None:
    """None where the public has never seen the number."""
    certificate = Certificate.objects.listed(today).filter(number=number).first()
    if certificate is None:
        return None
    then: Any = Certificate.objects.with_status_on(on).get(pk=certificate.pk)
    successor = certificate.successors.filter(issued_on__lte=today).order_by("pk").first()
    return Answer(certificate, on, then.status_on or "not_issued", on > today, successor)


@dataclass(frozen=True, slots=True)
class PlatformAsked:
    """Which platform is meant. Names are the names or their short forms in addresses; empty: any."""

    platform: str
    vendor: str = ""
    version: str = ""
    configuration: str = ""
    kubernetes_version: str = ""


@dataclass(frozen=True, slots=True)
class PlatformAnswer:
    """What the registry says of a platform on a date."""

    asked: PlatformAsked
    on: date
    is_future: bool
    certificates: tuple[Any, ...]  # with `status_on` of that date, None before they were issued

    @property
    def holding(self) -> tuple[Any, ...]:
        """The certificates that held on the date."""
        return tuple(row for row in self.certificates if row.status_on == Certificate.Status.ACTIVE)

    @property
    def certified(self) -> bool:
        return bool(self.holding)

    @property
    def known(self) -> bool:
        """Whether the registry knows any certificate of such a platform."""
        return bool(self.certificates)

    @property
    def simulated(self) -> bool:
        """Whether all that makes it certified came of a simulated cluster, and so certifies nothing."""
        return self.certified and all(row.simulated for row in self.holding)

    @property
    def vendors(self) -> tuple[str, ...]:
        """Whose platforms the question may mean; more than one where no vendor was named."""
        return tuple(dict.fromkeys(row.vendor for row in self.certificates))


def answer_for_platform(asked: PlatformAsked, on: date, *, today: date) -> PlatformAnswer:
    """Every published certificate of the platform asked, the newest first, with its status on the date."""
    name = asked.platform.strip()
    # The short form takes care of capitals and signs; both columns have an index.
    slugs = {name.lower(), address_name(name)}
    found: CertificateQuerySet = Certificate.objects.published(today).filter(
        Q(platform_slug__in=slugs) | Q(platform_name=name)
    )
    if asked.vendor:
        found = found.of_vendor(asked.vendor)
    exact = {
        "platform_version": asked.version.strip(),
        "configuration": asked.configuration.strip(),
        "kubernetes_version": asked.kubernetes_version,
    }
    found = found.filter(**{field: value for field, value in exact.items() if value})
    rows: Any = found.with_status_on(on).order_by("-issued_on", "-pk")
    return PlatformAnswer(asked, on, on > today, tuple(rows))

"""The change log: what was certified, renewed, suspended, revoked, what expired, and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from registry.models import Certificate, CertificateEvent
from registry.querysets import CertificateQuerySet
from registry.services import NOT_CURED

Kind = CertificateEvent.Kind
# Words and tone of every kind of change.
KINDS: dict[str, tuple[Any, str]] = {
    Kind.ISSUED: (_("Certified"), "good"),
    Kind.RENEWED: (_("Renewed"), "good"),
    Kind.REINSTATED: (_("Reinstated"), "good"),
    Kind.SUSPENDED: (_("Suspended"), "warn"),
    Kind.REVOKED: (_("Revoked"), "bad"),
    Kind.EXPIRED: (_("Expired"), "quiet"),
    Kind.SUPERSEDED: (_("Superseded"), "quiet"),
}
# What the calendar brings about: it stands in the log before a task records it.
BY_CALENDAR = (Kind.EXPIRED, Kind.REVOKED)
# At most this many of those that no task has recorded yet; the hourly task leaves none.
_UNRECORDED_AT_MOST = 1000


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one certificate."""

    certificate: Certificate
    kind: str
    on: date
    reason: str
    event_pk: int | None

    @property
    def words(self) -> str:
        return str(KINDS[self.kind][0])

    @property
    def tone(self) -> str:
        return KINDS[self.kind][1]

    @property
    def title(self) -> str:
        return f"{self.certificate.platform_name} {self.certificate.platform_version}"

    @property
    def key(self) -> str:
        """Stable, also when a task records later what the calendar already decided."""
        # Either happens once in the life of a certificate.
        if self.kind in {Kind.EXPIRED, Kind.REVOKED}:
            return f"{self.certificate.number}/{self.kind}"
        return f"{self.certificate.number}/{self.event_pk}"

    @property
    def at(self) -> datetime:
        """Midnight UTC of the day on which it took effect."""
        return datetime.combine(self.on, time(), tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the log: everything after it is older. Written ``2026-03-01.17``."""

    on: date
    pk: int

    def __str__(self) -> str:
        return f"{self.on.isoformat()}.{self.pk}"

    @classmethod
    def read(cls, text: str) -> Position | None:
        """None where `text` is no position."""
        day, _dot, pk = text.partition(".")
        if not (pk.isascii() and pk.isdigit() and len(pk) < 19):  # noqa: PLR2004 - what a database holds
            return None
        try:
            return cls(date.fromisoformat(day), int(pk))
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which changes are asked for; an empty value asks for all."""

    kind: str = ""
    vendor: str = ""
    platform: str = ""
    number: str = ""
    since: date | None = None
    certificates: CertificateQuerySet | None = None
    """Only changes of these; None: of any."""

    def of(self, prefix: str) -> Q:
        """The condition on certificates, whose columns stand behind `prefix`."""
        found = Q()
        for column, value in (
            ("vendor_slug", self.vendor),
            ("platform_slug", self.platform),
            ("number", self.number),
        ):
            if value:
                found &= Q(**{f"{prefix}{column}": value})
        if self.certificates is not None:
            found &= Q(**{f"{prefix}pk__in": self.certificates.values("pk")})
        return found


def changes(wanted: Wanted, *, today: date, limit: int, after: Position | None = None) -> list[Change]:
    """The newest `limit` changes that the public may know, newest first; those `after` a position.

    Expiries, and revocations of what was not cured in time, stand in the log from the day they happen,
    recorded or not.
    """
    events = CertificateEvent.objects.filter(
        wanted.of("certificate__"), effective_on__lte=today, certificate__issued_on__lte=today
    ).select_related("certificate")
    if wanted.kind:
        events = events.filter(kind=wanted.kind)
    if wanted.since:
        events = events.filter(effective_on__gte=wanted.since)
    if after:
        events = events.filter(effective_on__lte=after.on).exclude(effective_on=after.on, pk__gte=after.pk)
    found = [
        Change(event.certificate, event.kind, event.effective_on, event.reason, event.pk)
        for event in events.order_by("-effective_on", "-pk")[:limit]
    ]
    if after is None and wanted.kind in {"", *BY_CALENDAR}:
        found = sorted([*_unrecorded(wanted, today), *found], key=lambda change: change.on, reverse=True)[
            :limit
        ]
    return found


def _unrecorded(wanted: Wanted, today: date) -> list[Change]:
    published = Certificate.objects.filter(wanted.of(""), issued_on__lte=today)
    found: list[Change] = []
    if wanted.kind in {"", Kind.EXPIRED}:
        expired = published.expired_unnoticed(today)
        if wanted.since:
            expired = expired.filter(expires_on__gte=wanted.since)
        found += [
            Change(certificate, Kind.EXPIRED, certificate.expires_on, "", None)
            for certificate in expired.order_by("-expires_on", "-pk")[:_UNRECORDED_AT_MOST]
        ]
    if wanted.kind in {"", Kind.REVOKED}:
        uncured = published.uncured_unnoticed(today)
        if wanted.since:
            uncured = uncured.filter(cure_by__gte=wanted.since)
        found += [
            Change(certificate, Kind.REVOKED, certificate.cure_by, NOT_CURED, None)
            for certificate in uncured.order_by("-cure_by", "-pk")[:_UNRECORDED_AT_MOST]
            if certificate.cure_by
        ]
    return found


def position_after(found: list[Change], today: date) -> Position:
    """Where the next page begins: after the last change that has been recorded."""
    for change in reversed(found):
        if change.event_pk is not None:
            return Position(change.on, change.event_pk)
    return Position(today, 10**18)

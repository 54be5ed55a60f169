"""Reads of the registry that read as adjectives."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from django.db import connections, models
from django.db.models import Case, F, OuterRef, Q, Subquery, Value, When

from conformance import catalogue
from registry.looking_up import HasWord, MatchesWords, WordsRank, search_words

if TYPE_CHECKING:
    from registry.models import Certificate, CertificateRequirement, Checklist

LIVE = ("active", "suspended")
# Verdicts that leave a claim standing: none, passed, or nobody could tell.
NOT_CONTRADICTED = ("", "pass", "unknown", "error")


def counts_as_met(claim: str, verdict: str) -> bool:
    """Whether a requirement counts as met: claimed, and not contradicted by what was observed."""
    return claim == "Implemented" and verdict in NOT_CONTRADICTED


def uncured(today: date) -> Q:
    """Recorded as suspended, and not cured in time; the same rule as `Certificate.is_uncured`."""
    # The comparison with no date is unknown to SQL, and its opposite too: absence is named.
    return Q(status="suspended", cure_by__isnull=False, cure_by__lte=today, cure_by__lt=F("expires_on"))


class ChecklistQuerySet(models.QuerySet["Checklist"]):
    """Checklists."""

    def published(self) -> ChecklistQuerySet:
        return self.filter(published_at__isnull=False)

    def current(self) -> ChecklistQuerySet:
        """The newest published revision of each version."""
        newest = (
            type(self)(self.model)
            .filter(version=OuterRef("version"), published_at__isnull=False)
            .order_by("-revision")
            .values("pk")[:1]
        )
        return self.published().filter(pk=Subquery(newest))


class CertificateQuerySet(models.QuerySet["Certificate"]):
    """Certificates. Status is always asked *for a date*: a stored status can lag behind the calendar."""

    def with_status_on(self, on: date) -> CertificateQuerySet:
        """Annotate `status_on`: the status on the date `on` from the history; NULL before it was issued.

        The history's last entry effective by then decides, except that a suspension not cured in time
        is a revocation from that day on, and a live certificate past its expiry date has expired.
        """
        from registry.models import CertificateEvent

        last: Any = CertificateEvent.objects.filter(certificate=OuterRef("pk"), effective_on__lte=on)
        # Decided where the entry is read: another look for its day would cost as much again.
        uncured_then = Q(status="suspended", cure_by__lte=on, cure_by__lt=OuterRef("expires_on"))
        shown = last.annotate(shown=Case(When(uncured_then, then=Value("revoked")), default=F("status")))
        newest = shown.order_by("-effective_on", "-pk").values("shown")[:1]
        return self.annotate(_recorded_status=Subquery(newest)).annotate(
            status_on=Case(
                When(Q(_recorded_status__in=LIVE) & Q(expires_on__lte=on), then=Value("expired")),
                default=F("_recorded_status"),
                output_field=models.CharField(null=True),
            )
        )

    def valid(self, on: date) -> CertificateQuerySet:
        """Certified on the date `on`: issued, not expired, neither suspended nor revoked nor replaced."""
        return self.with_status_on(on).filter(Q(status_on="active"))

    def listed(self, on: date) -> CertificateQuerySet:
        """Issued by the date `on`, with `status_on`: what the public could know on that date."""
        annotated: Any = self.with_status_on(on)
        found: CertificateQuerySet = annotated.filter(issued_on__lte=on, status_on__isnull=False)
        return found

    def published(self, today: date) -> CertificateQuerySet:
        """Public by `today`: what will be issued later is nobody's business yet, whatever date is asked."""
        return self.filter(issued_on__lte=today)

    def of_vendor(self, name: str) -> CertificateQuerySet:
        """Of the vendor with this name or this short form, however capitalised."""
        return self.filter(self.vendor_named(name))

    def vendor_named(self, name: str) -> Q:
        """What `of_vendor` asks for, which takes a look at all certificates to tell."""
        short_form, name = name.strip().lower(), name.strip()
        # Either alone is found by an index in the order of the list; both together hardly ever have to be.
        everything = type(self)(self.model)
        if not everything.filter(vendor__iexact=name).exclude(vendor_slug=short_form).exists():
            return Q(vendor_slug=short_form)
        return Q(vendor_slug=short_form) | Q(vendor__iexact=name)

    def settled(self, today: date) -> bool:
        """Whether nothing is dated later than `today`: the columns then say what the history says."""
        return not self.filter(changed_on__gt=today).exists()

    def standing(self, today: date) -> CertificateQuerySet:
        """The same rows as `listed(today)`, read from their own columns; only where `settled(today)`."""
        found: CertificateQuerySet = self.filter(issued_on__lte=today).annotate(
            status_on=Case(
                When(uncured(today), then=Value("revoked")),
                When(Q(status__in=LIVE) & Q(expires_on__lte=today), then=Value("expired")),
                default=F("status"),
                output_field=models.CharField(),
            )
        )
        return found

    def as_recorded(self) -> CertificateQuerySet:
        """The same rows as `standing`, where the calendar knows nothing that the columns do not say."""
        return self.annotate(status_on=F("status"))

    def standing_as(self, status: str, today: date) -> CertificateQuerySet:
        """Of `standing(today)`, those with this status, in terms an index answers."""
        # Few at any time, and none once the hourly task was there: the usual question needs no alternative.
        late = [] if status == "active" else self._late_cures(today)
        if status == "expired":
            found = self.filter(Q(status="expired") | Q(status__in=LIVE, expires_on__lte=today))
            return found.exclude(pk__in=late) if late else found
        if status in LIVE:
            found = self.filter(status=status, expires_on__gt=today)
            return found.exclude(pk__in=late) if late else found
        if status == "revoked" and late:
            return self.filter(Q(status="revoked") | Q(pk__in=late))
        return self.filter(status=status)

    def _late_cures(self, today: date) -> list[int]:
        return list(type(self)(self.model).uncured_unnoticed(today).values_list("pk", flat=True))

    def meeting(self, requirement_id: str) -> CertificateQuerySet:
        """Those that count the requirement as met; the same rule as `CertificateRequirement.is_met`."""
        return self.filter(HasWord("met", requirement_id))

    def serving(self, workload: str) -> CertificateQuerySet:
        """Those that meet every requirement of their checklist for this kind of workload."""
        return self.filter(HasWord("workloads", workload))

    def vendors(self) -> list[tuple[str, str]]:
        """Short form and name of every vendor, by name."""
        rows = self.order_by().values("vendor_slug").annotate(name=models.Max("vendor"))
        return sorted(((row["vendor_slug"], row["name"]) for row in rows), key=lambda row: row[1].casefold())

    def kubernetes_versions(self) -> list[str]:
        """Every Kubernetes version certified so far, newest first."""
        rows = self.order_by().values_list("kubernetes_version", flat=True).distinct()
        return sorted(rows, key=catalogue.version_key, reverse=True)

    def expired_unnoticed(self, today: date) -> CertificateQuerySet:
        """Still recorded as live although `today` is past the expiry date."""
        return self.filter(status__in=LIVE, expires_on__lte=today).exclude(uncured(today))

    def uncured_unnoticed(self, today: date) -> CertificateQuerySet:
        """Still recorded as suspended although the time to cure ended, before they expired."""
        return self.filter(uncured(today))

    def matching(self, text: str) -> CertificateQuerySet:
        """Those in which every word of `text` occurs: name, vendor, version, configuration or number.

        PostgreSQL looks up whole words, the last by how it begins; SQLite looks for all of them anywhere.
        """
        if not text.split():
            return self
        words = search_words(text)
        if not words:
            return self.none()
        if connections[self.db].vendor == "postgresql":
            return self.filter(MatchesWords(words))
        found = self
        for word in text.split():
            found = found.filter(
                Q(platform_name__icontains=word)
                | Q(vendor__icontains=word)
                | Q(platform_version__icontains=word)
                | Q(configuration__icontains=word)
                | Q(description__icontains=word)
                | Q(number__icontains=word)
            )
        return found

    def best_first(self, text: str) -> CertificateQuerySet:
        """Those that match `text` best first: by the platform's name, then the vendor's."""
        words = search_words(text)
        if words and connections[self.db].vendor == "postgresql":
            return self.order_by(WordsRank(words).desc(), "-issued_on", "-pk")
        named = Case(
            When(platform_name__istartswith=text.strip(), then=Value(3)),
            When(platform_name__icontains=text.strip(), then=Value(2)),
            When(vendor__icontains=text.strip(), then=Value(1)),
            default=Value(0),
            output_field=models.IntegerField(),
        )
        return self.order_by(named.desc(), "-issued_on", "-pk")


class CertificateRequirementQuerySet(models.QuerySet["CertificateRequirement"]):
    """What certificates say of requirements."""

    def met(self) -> CertificateRequirementQuerySet:
        """Claimed, and not contradicted by what was observed."""
        return self.filter(claim="Implemented", verdict__in=NOT_CONTRADICTED)

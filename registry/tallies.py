"""The tally as it holds on a day: how many certificates have a value, without reading the certificates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

from django.db.models import QuerySet

from registry.models import Certificate, Tally
from registry.standing import ANY, facet_values

SHOWN_AT_MOST = 12
MANY_VALUED = ("vendor", "configuration")


@dataclass(frozen=True, slots=True)
class Counted:
    """How often each value occurs, and whether that is all."""

    numbers: Counter[str]
    labels: dict[str, str]
    is_least: bool
    further: int = 0
    """Values that were not even looked at."""
    least: set[str] = field(default_factory=set)
    """Single values whose count is the least, where the others are exact."""


class TallyOn:
    """The tally as it holds on a day: what only the calendar knows is moved where it belongs."""

    def __init__(self, today: date) -> None:
        self.today = today
        self._facets: dict[tuple[str, str], Counted] = {}
        self._expiring: dict[tuple[str, str], int] = {}

    @cached_property
    def is_settled(self) -> bool:
        """Whether the certificates' own columns say what holds on the day."""
        return Certificate.objects.settled(self.today)

    @cached_property
    def is_noticed(self) -> bool:
        """Whether the recorded statuses are those that hold on the day, and everything is issued by it.

        So they are from the first hour of a day on, when the hourly task has written down what the date says.
        """
        return self.is_settled and not self._unnoticed

    @cached_property
    def _unnoticed(self) -> list[Certificate]:
        columns = (
            *("vendor_slug", "vendor", "kubernetes_version", "assurance"),
            *("configuration", "workloads", "met", "status", "issued_on", "expires_on", "cure_by"),
        )
        certificates = Certificate.objects.order_by()
        expired = certificates.expired_unnoticed(self.today).only(*columns)
        uncured = certificates.uncured_unnoticed(self.today).only(*columns)
        to_come = certificates.filter(issued_on__gt=self.today).only(*columns)
        # Each by an index of its own, and in one query.
        return list(expired.union(uncured, to_come, all=True))

    @cached_property
    def _few(self) -> dict[tuple[str, str], Counter[str]]:
        """Every value of the facets that have few."""
        return self.numbers(Tally.objects.exclude(facet__in=MANY_VALUED))

    def numbers(self, rows: QuerySet[Tally]) -> dict[tuple[str, str], Counter[str]]:
        """Numbers by status for each (facet, value) of `rows`; `ANY` for all."""
        found: dict[tuple[str, str], Counter[str]] = {}
        for name, key, status, number in rows.filter(number__gt=0).values_list(
            "facet", "value", "status", "number"
        ):
            found.setdefault((name, key), Counter())[status] += number
        for certificate in self._unnoticed:
            for facet, value, _label in facet_values(certificate):
                if (facet, value) not in found:
                    continue
                found[facet, value][certificate.status] -= 1
                if certificate.issued_on > self.today:
                    found[facet, value][ANY] -= 1
                else:
                    found[facet, value][certificate.status_as_of(self.today)] += 1
        return found

    def shown(self, facet: str, status: str = ANY) -> QuerySet[Tally]:
        """The rows of the values that something public has, today and with this status."""
        rows = Tally.objects.filter(facet=facet, status=status, number__gt=0)
        without = Counter(
            value
            for certificate in self._unnoticed
            if certificate.status == status or (status == ANY and certificate.issued_on > self.today)
            for name, value, _label in facet_values(certificate)
            if name == facet
        )
        if not without:
            return rows
        known = rows.filter(value__in=without).values_list("value", "number")
        return rows.exclude(value__in=[value for value, number in known if number <= without[value]])

    def of(self, facet: str, value: str) -> Counter[str]:
        """Numbers by status for one value."""
        if facet not in MANY_VALUED:
            return self._few.get((facet, value), Counter())
        return self.numbers(Tally.objects.filter(facet=facet, value=value)).get((facet, value), Counter())

    def expiring(self, facet: str, value: str, count: Callable[[], int]) -> int:
        """How many with the value will soon expire: what `count` says, which only the calendar tells."""
        # Anybody can ask for any value; only those that are there are remembered.
        if facet in MANY_VALUED or (facet, value) not in self._few:
            return count()
        if (facet, value) not in self._expiring:
            self._expiring[facet, value] = count()
        return self._expiring[facet, value]

    def facet(self, name: str, status: str) -> Counted:
        """How many with this status have each value; only the most frequent values where they are many."""
        if (name, status) not in self._facets:
            self._facets[name, status] = self._counted(name, status)
        return self._facets[name, status]

    def _counted(self, name: str, status: str) -> Counted:
        if name not in MANY_VALUED:
            numbers = {value: each[status] for (facet, value), each in self._few.items() if facet == name}
            return Counted(Counter(numbers), {}, is_least=False)
        rows = Tally.objects.filter(facet=name, status=status, number__gt=0)
        top = list(
            rows.order_by("-number", "value").values_list("value", "label", "number")[: SHOWN_AT_MOST + 1]
        )
        further = rows.count() - SHOWN_AT_MOST if len(top) > SHOWN_AT_MOST else 0
        found = Counter({value: number for value, _label, number in top[:SHOWN_AT_MOST]})
        for certificate in self._unnoticed if status else ():
            for facet, value, _label in facet_values(certificate):
                if facet == name and value in found:
                    now = certificate.status_as_of(self.today)
                    found[value] += (status == now) - (status == certificate.status)
        return Counted(found, {row[0]: row[1] for row in top}, is_least=False, further=further)


def tally_on(today: date, rows: QuerySet[Tally]) -> dict[tuple[str, str], Counter[str]]:
    """Numbers by status for the (facet, value) of `rows`, as they hold on `today`; `ANY` for all."""
    return TallyOn(today).numbers(rows)


_newest: tuple[object, TallyOn] | None = None


def forget() -> None:
    """Remember nothing of any version."""
    global _newest  # noqa: PLW0603
    _newest = None


def remembered(version: object, today: date) -> TallyOn:
    """The tally on a day, the same for as long as `version`, that of the registry, is the same.

    What one request has found in it the next need not look up: whoever changes the registry changes the
    version in the same transaction. It has to be read before the tally is. None remembers nothing.
    """
    global _newest  # noqa: PLW0603 - one for each process, replaced as a whole
    kept = _newest
    if version is None:
        return TallyOn(today)
    if kept is None or kept[0] != (version, today):
        kept = _newest = ((version, today), TallyOn(today))
    return kept[1]

"""Figures about the registry as a whole. Those of today come from the tally, those of months from history."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.core.cache import cache
from django.db.models import Count
from django.db.models.functions import TruncMonth

from conformance import catalogue
from registry.models import Assurance, CertificateEvent, RegistryState, Tally
from registry.standing import ANY
from registry.tallies import MANY_VALUED, TallyOn

MONTHS = 24
_KEPT = 600  # seconds; a change of the registry asks anew
_BEGAN = ("issued", "renewed")
_ENDED = ("expired", "revoked", "superseded")


@dataclass(frozen=True, slots=True)
class Statistics:
    """What is certified today and what happened in the last months, oldest month first."""

    by_status: dict[str, int]
    by_version: dict[str, int]
    by_assurance: dict[str, int]
    by_requirement: dict[str, int]
    by_workload: dict[str, int]
    vendors: int
    certified: int
    months: list[tuple[date, int, int]]


def statistics_on(today: date) -> Statistics:
    """The figures of `today`."""
    known = TallyOn(today)
    tally = known.numbers(Tally.objects.exclude(facet__in=MANY_VALUED))

    def active(facet: str) -> dict[str, int]:
        found = tally.items()
        # What nobody may know of yet has not even a zero.
        return {value: had["active"] for (name, value), had in found if name == facet and had[ANY] > 0}

    everything = tally.get(("all", ""), Counter())
    versions = active("kubernetes_version")
    assurance = active("assurance")
    return Statistics(
        by_status={status: number for status, number in everything.items() if status != ANY},
        by_version={key: versions[key] for key in sorted(versions, key=catalogue.version_key)},
        by_assurance={value: assurance.get(value, 0) for value in reversed(Assurance.values)},
        by_requirement=active("requirement"),
        by_workload=active("workload"),
        vendors=known.shown("vendor", "active").count(),
        certified=everything["active"],
        months=_months(today),
    )


def _months(today: date) -> list[tuple[date, int, int]]:
    """For each of the last months: how many certificates began to hold, and how many ended."""
    version = RegistryState.objects.filter(pk=1).values_list("version", flat=True).first() or 0
    key = f"statistics-months:{today.isoformat()}:{version}"
    known: list[tuple[date, int, int]] | None = cache.get(key)
    if known is not None:
        return known
    first = _months_before(today, MONTHS - 1)
    rows: Any = (
        CertificateEvent.objects.filter(effective_on__gte=first, effective_on__lte=today)
        .filter(certificate__issued_on__lte=today)
        .order_by()
        .annotate(month=TruncMonth("effective_on"))
        .values("month", "kind")
        .annotate(number=Count("pk"))
    )
    began: Counter[date] = Counter()
    ended: Counter[date] = Counter()
    for row in rows:
        if row["kind"] in _BEGAN:
            began[row["month"]] += row["number"]
        elif row["kind"] in _ENDED:
            ended[row["month"]] += row["number"]
    months = [_months_before(today, back) for back in range(MONTHS - 1, -1, -1)]
    found = [(month, began[month], ended[month]) for month in months]
    cache.set(key, found, _KEPT)
    return found


def _months_before(day: date, number: int) -> date:
    """The first day of the month `number` months before that of `day`."""
    months = day.year * 12 + day.month - 1 - number
    return date(months // 12, months % 12 + 1, 1)

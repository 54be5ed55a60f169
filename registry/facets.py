"""What the list can be narrowed down to, with how many certificates each choice would leave.

A count is exact, or it says that it is the least: with no filter, or the status alone, it comes from the
tally; otherwise from the certificates that match, up to `COUNTED_AT_MOST` of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from operator import itemgetter
from typing import Any
from urllib.parse import quote_plus, urlencode

from django.http import QueryDict
from django.urls import reverse
from django.utils.translation import gettext as _

from certportal.languages import current_language
from conformance import catalogue
from registry.filters import EXPIRING, STATUSES, WORKLOADS, CertificateFilter, expiring_until
from registry.models import Assurance
from registry.standing import ANY
from registry.tallies import MANY_VALUED, SHOWN_AT_MOST, Counted, TallyOn

COUNTED_AT_MOST = 250
# The columns a count needs; a certificate's own are enough.
_COLUMNS = {
    "vendor": ("vendor_slug", "vendor"),
    "kubernetes_version": ("kubernetes_version",),
    "status": ("status_on", "expires_on"),
    "assurance": ("assurance",),
    "configuration": ("configuration",),
    "workload": ("workloads",),
    "requirement": ("met",),
}


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a facet. `address` asks for it, or takes it back where it is chosen."""

    value: str
    label: str
    number: int
    is_least: bool
    is_chosen: bool
    address: str

    @property
    def figure(self) -> str:
        """The number as it is shown; the + says that it is the least."""
        return f"{self.number}+" if self.is_least else str(self.number)


@dataclass(frozen=True, slots=True)
class Facet:
    """One way to narrow the list down. `left_out` choices are too many to show."""

    name: str
    title: str
    choices: tuple[Choice, ...]
    left_out: int = 0

    @property
    def chosen(self) -> Choice | None:
        return next((choice for choice in self.choices if choice.is_chosen), None)


@dataclass(frozen=True, slots=True)
class Facets:
    """All facets of a list, and how many certificates match. `total` is the least where `is_least`."""

    facets: tuple[Facet, ...]
    total: int
    is_least: bool


def facets_of(filters: CertificateFilter, query: QueryDict) -> Facets:
    """The facets of what `filters` ask for; their addresses keep the rest of `query`."""
    asked = filters.asked
    tally = filters.tally
    known = total_of(filters)
    if filters.is_settled and set(asked) <= {"status"} and asked.get("status") != EXPIRING:
        status = asked.get("status", "")
        counted = {name: tally.facet(name, status) for name in _COLUMNS if name != "status"}
        counted["status"] = _statuses(filters, "all", "")
        total, is_least = known or 0, False
    else:
        counted, total, is_least = _from_rows(filters, tally)
        if known is not None:
            total, is_least = known, False
    kept = [(key, values[-1]) for key, values in query.lists() if values and key != "page"]
    path = reverse("registry:list")
    return Facets(
        tuple(
            _facet(
                name,
                title,
                counted[name],
                asked.get(name, ""),
                address_of(path, (pair for pair in kept if pair[0] != name)),
            )
            for name, title in (
                ("status", _("Status")),
                ("kubernetes_version", _("Kubernetes")),
                ("vendor", _("Vendor")),
                ("assurance", _("How we know")),
                ("workload", _("Workload served in full")),
                ("configuration", _("Configuration")),
                ("requirement", _("Requirement met")),
            )
        ),
        total,
        is_least,
    )


def _facet(name: str, title: str, counted: Counted, chosen: str, without: str) -> Facet:
    """One facet; `without` is the address that asks for everything else."""
    words = _words(name, current_language())
    values = [value for value, number in counted.numbers.items() if number or value == chosen]
    if chosen and chosen not in counted.numbers:
        # What the address asks for stays visible, also when nothing matches.
        values.append(chosen)
    if words:
        order = list(words)
        values.sort(key=lambda value: order.index(value) if value in words else len(order))
    elif name == "kubernetes_version":
        values.sort(key=catalogue.version_key, reverse=True)
    else:
        values.sort(
            key=lambda value: (-counted.numbers[value], str(counted.labels.get(value, value)).casefold())
        )
    shown = values[:SHOWN_AT_MOST] if name in MANY_VALUED else values
    if chosen and chosen not in shown:
        shown.append(chosen)
    beginning = f"{without}{'&' if '?' in without else '?'}{name}="
    return Facet(
        name,
        title,
        tuple(
            Choice(
                value=value,
                label=words.get(value) or counted.labels.get(value) or value,
                number=counted.numbers[value],
                is_least=(counted.is_least and counted.numbers[value] > 0) or value in counted.least,
                is_chosen=value == chosen,
                address=without if value == chosen else f"{beginning}{quote_plus(value)}",
            )
            for value in shown
        ),
        left_out=len(values) - len(shown) + counted.further,
    )


@lru_cache(maxsize=64)
def _words(name: str, _language: str) -> dict[str, str]:
    """The values of a facet in words, in the order in which they are shown; in the present language."""
    if name == "requirement":
        return {info.id: _(info.title) for info in catalogue.REQUIREMENTS.values()}
    choices: dict[str, Iterable[tuple[str, Any]]] = {
        "status": STATUSES,
        "assurance": reversed(Assurance.choices),
        "workload": WORKLOADS,
    }
    return {value: str(words) for value, words in choices.get(name, ())}


def address_of(path: str, query: Iterable[tuple[str, str]]) -> str:
    """The address to share: `path` with the parts of `query` that say something."""
    said = urlencode([(name, value) for name, value in query if value])
    return f"{path}?{said}" if said else path


def _statuses(filters: CertificateFilter, facet: str, value: str) -> Counted:
    """The statuses of everything that has the value, which is asked for together with a status or none."""

    def expiring() -> int:
        rows = filters.narrowed(leave_out="status").filter(
            status="active",
            expires_on__gt=filters.date_asked,
            expires_on__lte=expiring_until(filters.date_asked),
        )
        return len(rows.values_list("pk")[: COUNTED_AT_MOST + 1])

    tally = filters.tally
    numbers = Counter({status: number for status, number in tally.of(facet, value).items() if status != ANY})
    number = tally.expiring(facet, value, expiring)
    numbers[EXPIRING] = min(number, COUNTED_AT_MOST)
    least = {EXPIRING} if number > COUNTED_AT_MOST else set()
    return Counted(numbers, {}, is_least=False, least=least)


def _tallied(filters: CertificateFilter, asked: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """(facet, value, status) where the tally has a row for what is asked; None where it has none."""
    rest = {name: value for name, value in asked.items() if name != "status"}
    status = asked.get("status", "")
    # A vendor may be asked for by its name, which the tally does not know.
    if not filters.is_settled or status == EXPIRING or not set(rest) <= set(_COLUMNS) - {"vendor"}:
        return None
    if len(rest) > 1:
        return None
    facet, value = next(iter(rest.items()), ("all", ""))
    return facet, value, status


def total_of(filters: CertificateFilter) -> int | None:
    """How many match, where the tally knows it; None where they have to be counted."""
    row = _tallied(filters, filters.asked)
    if row is None:
        return None
    facet, value, status = row
    return filters.tally.of(facet, value)[status]


# --- From the certificates that match ---------------------------------------------------------------


def _from_rows(filters: CertificateFilter, tally: TallyOn) -> tuple[dict[str, Counted], int, bool]:
    asked = filters.asked
    free = [name for name in _COLUMNS if name not in asked]
    columns = list(dict.fromkeys(column for name in free for column in _COLUMNS[name])) or ["pk"]
    rows = list(filters.narrowed().values_list(*columns)[: COUNTED_AT_MOST + 1])
    counted = {name: _counted(name, rows, columns, filters.date_asked) for name in free}
    for name, own in _COLUMNS.items():
        if name not in asked:
            continue
        without = {other: value for other, value in asked.items() if other != name}
        row = _tallied(filters, without)
        if row and name == "status":
            counted[name] = _statuses(filters, row[0], row[1])
        elif row and row[0] == "all":
            counted[name] = tally.facet(name, row[2])
        else:
            others = list(filters.narrowed(leave_out=name).values_list(*own)[: COUNTED_AT_MOST + 1])
            counted[name] = _counted(name, others, list(own), filters.date_asked)
    return counted, min(len(rows), COUNTED_AT_MOST), len(rows) > COUNTED_AT_MOST


def _counted(name: str, rows: list[tuple[Any, ...]], columns: list[str], on: date) -> Counted:
    is_least = len(rows) > COUNTED_AT_MOST
    wanted = [columns.index(column) for column in _COLUMNS[name]]
    # Equal rows are told apart only after they were counted: there are few different ones.
    # A slice keeps a row with one column a row.
    part = itemgetter(*wanted) if len(wanted) > 1 else itemgetter(slice(wanted[0], wanted[0] + 1))
    alike = Counter(map(part, rows[:COUNTED_AT_MOST]))
    numbers: Counter[str] = Counter()
    labels: dict[str, str] = {}
    for row, number in alike.items():
        for value in _values(name, row, on):
            numbers[value] += number
        if name == "vendor":
            labels[row[0]] = row[1]
    return Counted(numbers, labels, is_least)


def _values(name: str, row: tuple[Any, ...], on: date) -> Iterable[str]:
    if name in {"workload", "requirement"}:
        return list(row[0].split())
    if name == "status" and row[0] == "active" and row[1] <= expiring_until(on):
        return [row[0], EXPIRING]
    return [row[0]]

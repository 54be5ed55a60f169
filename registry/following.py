"""What can be followed: everything, a vendor, a platform, a certificate, or what a filter finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

import django_filters
from django.http import QueryDict
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from registry.filters import CertificateFilter
from registry.models import Certificate
from registry.overviews import former_slugs
from registry.querysets import CertificateQuerySet
from registry.services import address_name

# Filters of the list that say something of a certificate for good. Its status is what changes, and a date
# is past: neither is followed.
FILTERS = (
    *("search", "vendor", "kubernetes_version", "assurance"),
    *("requirement", "configuration", "workload", "platform", "number"),
)


class ScopeError(ValueError):
    """A filter that cannot be understood; `problems` has a sentence for each field."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("; ".join(problems.values()))
        self.problems = problems


class ScopeFilter(CertificateFilter):
    """The filters of the list, and two that its links express by their path."""

    platform = django_filters.CharFilter(
        label=_("Platform"), field_name="platform_slug", lookup_expr="iexact"
    )
    number = django_filters.CharFilter(label=_("Certificate"), field_name="number", lookup_expr="iexact")

    def filter_vendor(self, queryset: Any, _name: str, value: str) -> Any:
        """Also what was issued under a former name of the vendor."""
        return queryset.filter(vendor_slug__in=former_slugs(value))


@dataclass(frozen=True, slots=True)
class Scope:
    """A part of the registry, by the filters that find it."""

    asked: tuple[tuple[str, str], ...] = ()

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Scope:
        """What the address of a list or a feed asks for. Raises ScopeError.

        Two addresses that mean the same give the same scope.
        """
        data = QueryDict(mutable=True)
        for name in FILTERS:
            if query.get(name, "").strip():
                data[name] = query[name].strip()
        filters = ScopeFilter(data, queryset=Certificate.objects.all())
        if not filters.form.is_valid():
            raise ScopeError({name: str(errors[0]) for name, errors in filters.form.errors.items()})
        asked = {name: str(filters.form.cleaned_data[name]) for name in FILTERS if name in data}
        if "vendor" in asked:
            asked["vendor"] = _short_form(asked["vendor"])
        if "number" in asked:
            asked["number"] = asked["number"].upper()
        if "platform" in asked:
            asked["platform"] = asked["platform"].lower()
        return cls(tuple((name, asked[name]) for name in FILTERS if name in asked))

    @classmethod
    def kept(cls, query: str) -> Scope:
        """The scope of a `query` that was made from one before."""
        return cls(tuple((name, value) for name, value in parse_qsl(query) if name in FILTERS))

    @property
    def query(self) -> str:
        """As it stands in addresses."""
        return urlencode(self.asked)

    @property
    def words(self) -> list[tuple[str, str]]:
        """Label and value of each filter, for people."""
        filters = ScopeFilter.base_filters
        return [(str(filters[name].label), self._value_words(name, value)) for name, value in self.asked]

    def _value_words(self, name: str, value: str) -> str:
        # Only what the public may see gives a name away.
        public: CertificateQuerySet = Certificate.objects.published(timezone.now().date())
        if name == "vendor":
            newest = public.filter(vendor_slug=value).order_by("-pk").first()
            return newest.vendor if newest else value
        if name == "platform":
            slugs = former_slugs(dict(self.asked).get("vendor", ""))
            rows = public.filter(platform_slug=value, vendor_slug__in=slugs)
            named = rows.order_by("-pk").first()
            return named.platform_name if named else value
        field = ScopeFilter.base_filters[name].field
        return str(dict(getattr(field, "choices", ())).get(value, value))

    def certificates(self) -> CertificateQuerySet:
        """Every certificate that belongs to it, whether or not the public may see it yet."""
        found: Any = Certificate.objects.order_by()
        filters = ScopeFilter(QueryDict(), queryset=Certificate.objects.none())
        for name, value in self.asked:
            found = filters.filters[name].filter(found, value)
        rows: CertificateQuerySet = found
        return rows

    def address(self, name: str) -> str:
        """The address of the page or feed `name` for this scope."""
        path = reverse(f"registry:{name}")
        return f"{path}?{self.query}" if self.asked else path


def _short_form(vendor: str) -> str:
    """The vendor's short form; of one that nobody knows, what it would be."""
    public: CertificateQuerySet = Certificate.objects.published(timezone.now().date())
    known = public.of_vendor(vendor).order_by("-pk").values_list("vendor_slug", flat=True).first()
    return known or address_name(vendor)


def scope_of_query(query: QueryDict) -> Scope | None:
    """The scope of an address, None where it cannot be understood."""
    try:
        return Scope.read(query.dict())  # type: ignore[arg-type] # the last value of each, which is text
    except ScopeError:
        return None

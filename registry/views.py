"""Public pages. They read published facts alone, so that they keep working whatever else does not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_safe
from django_htmx.middleware import HtmxDetails

from registry.caching import public_page
from registry.facets import Choice, Facets, address_of, facets_of
from registry.filters import ORDERINGS, CertificateFilter
from registry.following import FILTERS
from registry.models import Certificate, CertificateRequirement
from registry.paging import ListPaginator
from registry.querysets import CertificateQuerySet
from registry.templatetags.portal import joined

PAGE_SIZE = 25
NOT_FILTERS = {"page", "ordering", "view"}
FILTERED_BY_LINK = (
    *("status", "kubernetes_version", "vendor", "assurance"),
    *("workload", "configuration", "requirement"),
)
# The columns a row of the list shows, or needs to know what it shows.
ROW = (
    *("number", "platform_name", "platform_version", "vendor", "configuration", "kubernetes_version"),
    *("status", "issued_on", "expires_on", "cure_by", "simulated", "imported", "assurance"),
    *("requirement_count", "verified_count", "vendor_run_count"),
    *("attested_count", "waived_count", "failed_count"),
)
EXPORT_FORMS = ("csv", "json", "jsonl", "yaml")
COMPARED_AT_MOST = 5


def _today() -> date:
    return timezone.now().date()


def _list_context(request: HttpRequest) -> dict[str, Any]:
    """The filtered list as the page and its fragment show it."""
    certificates: CertificateQuerySet = Certificate.objects.all()
    asked = CertificateFilter(request.GET, queryset=certificates, request=request)
    found: Any = certificates.none()
    counted: Facets | None = None
    # A filter that cannot be understood shows nothing, rather than a list that looks filtered.
    if asked.form.is_valid():
        counted = facets_of(asked, request.GET)
        found = asked.qs
        words = asked.asked.get("search", "")
        if words and not counted.is_least and not asked.form.cleaned_data["ordering"]:
            # Ranking reads all that match; where that is a great many, the newest come first instead.
            found = found.best_first(words)
    paginator = ListPaginator(found.only(*ROW), PAGE_SIZE, counted)
    page = paginator.get_page(request.GET.get("page"))
    day = asked.date_asked
    for certificate in page:
        certificate.expiring_soon = certificate.status_on == "active" and certificate.expires_within(day)
        certificate.days_left = (certificate.expires_on - day).days
    return {
        "section": "certified",
        "filter": asked,
        "form": asked.form,
        "orderings": ORDERINGS,
        "ordering": request.GET.get("ordering", ""),
        "page": page,
        "counted": counted,
        "standings": _standings(counted) if counted else [],
        "as_cards": request.GET.get("view") == "cards",
        "other_view": _other_view(request),
        "date_asked": day,
        "is_today": day == _today(),
        "is_future": day > _today(),
        "is_filtered": any(value for name, value in request.GET.items() if name not in NOT_FILTERS),
        "chosen": [
            (name, request.GET[name])
            for name in (*FILTERED_BY_LINK, "view")
            if request.GET.get(name, "") and len(request.GET[name]) < 300  # noqa: PLR2004 - as forms allow
        ],
        "export_links": _export_links(request),
        "follow": _follow_address(request),
        "compared_at_most": COMPARED_AT_MOST,
    }


def _standings(counted: Facets) -> list[Choice]:
    """What holds, what will soon end and what no longer holds, as figures that lead there."""
    status = next(facet for facet in counted.facets if facet.name == "status")
    return [choice for choice in status.choices if choice.number]


def _other_view(request: HttpRequest) -> str:
    """The same list as a table where it is shown as cards, and the other way round."""
    kept = [(name, value) for name, value in _said(request.GET) if name != "view"]
    if request.GET.get("view") != "cards":
        kept.append(("view", "cards"))
    return address_of(reverse("registry:list"), kept)


def _follow_address(request: HttpRequest) -> str:
    """Where one follows what the list shows; its date, status and order are not followed."""
    kept = [(name, request.GET[name]) for name in FILTERS if name in request.GET]
    return address_of(reverse("registry:follow"), kept)


def _export_links(request: HttpRequest) -> SafeString:
    """The list as files, one link after another."""
    kept = [(name, value) for name, value in _said(request.GET) if name not in {"page", "view"}]
    links = [
        format_html(
            '<a href="{}" rel="nofollow">{}</a>',
            address_of(reverse("api-export-certifications", args=[form]), kept),
            form.upper(),
        )
        for form in EXPORT_FORMS
    ]
    return mark_safe(joined(links))  # noqa: S308 - each link is escaped above


def _wants_fragment(request: HttpRequest) -> bool:
    """Whether htmx asks to replace a part of the page, rather than to restore the whole from its history."""
    htmx: HtmxDetails = request.htmx  # type: ignore[attr-defined]
    return bool(htmx) and not htmx.history_restore_request


def _said(query: QueryDict) -> list[tuple[str, str]]:
    """Every parameter with each of its values."""
    return [(name, value) for name, values in query.lists() for value in values]


@require_safe
@public_page
def home(request: HttpRequest) -> HttpResponse:
    """What this is, and the list itself."""
    return render(request, "registry/home.html", _list_context(request))


@require_safe
@public_page
def certificate_list(request: HttpRequest) -> HttpResponse:
    """The list; its fragment alone for the search that follows the typing."""
    context = _list_context(request)
    if _wants_fragment(request):
        response = render(request, "registry/_results.html", context)
        response["HX-Push-Url"] = address_of(reverse("registry:list"), _said(request.GET))
    else:
        response = render(request, "registry/list.html", context)
    patch_vary_headers(response, ["HX-Request"])
    return response


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """One requirement across the compared certificates; None where a checklist does not have it."""

    requirement_id: str
    category: str
    cells: tuple[CertificateRequirement | None, ...]


@require_safe
@public_page
def compare(request: HttpRequest) -> HttpResponse:
    """Up to five certificates side by side."""
    asked = list(
        dict.fromkeys(number.strip().upper() for number in request.GET.getlist("c") if number.strip())
    )
    kept = asked[:COMPARED_AT_MOST]
    today = _today()
    rows = Certificate.objects.listed(today).filter(number__in=kept).prefetch_related("requirements")
    found = {certificate.number: certificate for certificate in rows}
    certificates: list[Any] = [found[number] for number in kept if number in found]
    for certificate in certificates:
        certificate.expiring_soon = certificate.is_expiring(today)
        others = [other.number for other in certificates if other is not certificate]
        certificate.without = address_of(reverse("registry:compare"), [("c", number) for number in others])
    context = {
        "section": "compare",
        "certificates": certificates,
        "rows": compared_rows(certificates),
        "missing": [number for number in kept if number not in found],
        "left_out": asked[COMPARED_AT_MOST:],
        "compared_at_most": COMPARED_AT_MOST,
        "is_full": len(certificates) >= COMPARED_AT_MOST,
    }
    return render(request, "registry/compare.html", context)


def compared_rows(certificates: list[Certificate]) -> list[ComparedRow]:
    """Every requirement of any of them, in the order of the checklists, newest Kubernetes first."""
    by_certificate = [{row.requirement_id: row for row in item.requirements.all()} for item in certificates]
    categories: dict[str, str] = {}
    for rows in sorted(by_certificate, key=len, reverse=True):
        for row in rows.values():
            categories.setdefault(row.requirement_id, row.category)
    order = list(dict.fromkeys(categories.values()))
    return [
        ComparedRow(requirement_id, category, tuple(rows.get(requirement_id) for rows in by_certificate))
        for requirement_id, category in sorted(categories.items(), key=lambda item: order.index(item[1]))
    ]

"""Pages across certificates: the matrix, vendors, requirements, checklists, statistics."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from conformance import catalogue
from registry import overviews
from registry.caching import public_page
from registry.charts import Bar, Group, bars, columns
from registry.filters import WORKLOADS
from registry.models import Assurance, Certificate, Tally
from registry.paging import KnownPaginator
from registry.querysets import CertificateQuerySet
from registry.standing import ANY
from registry.statistics import Statistics, statistics_on
from registry.structured import breadcrumbs
from registry.tallies import TallyOn, tally_on
from registry.templatetags.portal import requirement_title, short_month, state_words

MATRIX_ROWS = 25
VENDORS_A_PAGE = 100
SHOWN_OF_EACH = 20


def _today() -> date:
    return timezone.now().date()


def _marked(certificates: Iterable[Any], today: date) -> list[Any]:
    """Certificates of a list as its table shows them."""
    found = list(certificates)
    for certificate in found:
        certificate.expiring_soon = certificate.status_on == "active" and certificate.expires_within(today)
        certificate.days_left = (certificate.expires_on - today).days
    return found


@require_safe
@public_page
def matrix(request: HttpRequest) -> HttpResponse:
    """Every certified platform of a Kubernetes version against every requirement of its checklist."""
    today = _today()
    versions = overviews.versions_in_use(today)
    asked = catalogue.minor_version(request.GET.get("kubernetes_version", ""))
    version = asked or (versions[0] if versions else "")
    certificates = overviews.matrix_rows(version, today)
    total = TallyOn(today).of("kubernetes_version", version)["active"]
    if not Certificate.objects.settled(today):
        total = certificates.count()
    page = KnownPaginator(certificates, MATRIX_ROWS, total).get_page(request.GET.get("page"))
    found = overviews.columns_of(version, page) if version else []
    context = {
        "section": "matrix",
        "version": version,
        "versions": versions if version in versions or not version else [version, *versions],
        "page": page,
        "columns": found,
        "rows": [(certificate, overviews.cells_of(certificate, found)) for certificate in page],
        "legend": [(key, words, meaning) for key, (words, meaning) in overviews.CELLS.items()],
    }
    return render(request, "registry/matrix.html", context)


# --- Vendors and platforms -------------------------------------------------------------------------------


@require_safe
@public_page
def vendors(request: HttpRequest) -> HttpResponse:
    """Every vendor with a certificate, by name."""
    today = _today()
    tally = TallyOn(today)
    rows = tally.shown("vendor")
    if words := request.GET.get("search", "").strip():
        rows = rows.filter(label__icontains=words)
    page = Paginator(rows.order_by("label", "value"), VENDORS_A_PAGE).get_page(request.GET.get("page"))
    shown = [row.value for row in page]
    counted = tally.numbers(Tally.objects.filter(facet="vendor", value__in=shown))
    context = {
        "section": "vendors",
        "page": page,
        "search": words,
        "rows": [
            (row, counted[row.facet, row.value]["active"], counted[row.facet, row.value][ANY]) for row in page
        ],
    }
    return render(request, "registry/vendors.html", context)


def _of_slugs(certificates: CertificateQuerySet, slug: str) -> CertificateQuerySet:
    return certificates.filter(vendor_slug__in=overviews.former_slugs(slug))


@require_safe
@public_page
def vendor(request: HttpRequest, slug: str) -> HttpResponse:
    """What a vendor has certified, and what no longer is."""
    today = _today()
    moved = overviews.present_address(slug.lower())
    if moved or slug != slug.lower():
        return HttpResponsePermanentRedirect(reverse("registry:vendor", args=[(moved or (slug.lower(),))[0]]))
    found = overviews.find_vendor(slug, today)
    if found is None:
        raise Http404
    held = _of_slugs(overviews.certified(today), slug).order_by("platform_name", "-issued_on", "-pk")
    others = (
        _of_slugs(overviews.shown_certificates(today), slug)
        .exclude(pk__in=held.order_by().values("pk"))
        .order_by("-issued_on", "-pk")
    )
    holding = _marked(held[: SHOWN_OF_EACH + 1], today)
    ended = _marked(others[: SHOWN_OF_EACH + 1], today)
    context = {
        "section": "vendors",
        "vendor": found,
        "holding": holding[:SHOWN_OF_EACH],
        "more_holding": len(holding) > SHOWN_OF_EACH,
        "ended": ended[:SHOWN_OF_EACH],
        "more_ended": len(ended) > SHOWN_OF_EACH,
        "platforms": _platforms([*holding, *ended]),
        "structured": breadcrumbs((_("Vendors"), reverse("registry:vendors")), (found.name, request.path)),
    }
    return render(request, "registry/vendor.html", context)


def _platforms(certificates: list[Any]) -> list[tuple[str, str]]:
    """Address and name of each platform, by name."""
    named: dict[str, str] = {}
    for certificate in certificates:
        path = reverse("registry:platform", args=[certificate.vendor_slug, certificate.platform_slug])
        named.setdefault(path, certificate.platform_name)
    return sorted(named.items(), key=lambda item: item[1].casefold())


@require_safe
@public_page
def platform(request: HttpRequest, vendor_slug: str, slug: str) -> HttpResponse:
    """Every certificate of one platform, newest first: one address for all its versions."""
    today = _today()
    moved = overviews.present_address(vendor_slug, slug)
    if moved:
        return HttpResponsePermanentRedirect(reverse("registry:platform", args=moved))
    rows = overviews.shown_certificates(today).filter(platform_slug=slug)
    found = _marked(_of_slugs(rows, vendor_slug).order_by("-issued_on", "-pk")[:SHOWN_OF_EACH], today)
    if not found:
        raise Http404
    newest = found[0]
    context = {
        "section": "vendors",
        "certificates": found,
        "newest": newest,
        "vendor": overviews.Vendor(vendor_slug, newest.vendor),
        "is_certified": any(certificate.status_on == "active" for certificate in found),
        "structured": breadcrumbs(
            (_("Vendors"), reverse("registry:vendors")),
            (newest.vendor, reverse("registry:vendor", args=[vendor_slug])),
            (newest.platform_name, request.path),
        ),
    }
    return render(request, "registry/platform.html", context)


# --- Requirements and checklists ---------------------------------------------------------------------------


def _met_today(today: date) -> tuple[dict[str, int], int]:
    """How many certificates that hold meet each requirement, and how many hold."""
    rows = Tally.objects.filter(facet__in=("all", "requirement"), number__gt=0)
    tally = tally_on(today, rows)
    met = {value: numbers["active"] for (facet, value), numbers in tally.items() if facet == "requirement"}
    return met, tally[("all", "")]["active"] if ("all", "") in tally else 0


@require_safe
@public_page
def requirements(request: HttpRequest) -> HttpResponse:
    """Every requirement and its level in each checklist."""
    met, total = _met_today(_today())
    versions, lines = overviews.requirement_lines(met)
    rows = [(line, [line.level_in(version) for version in versions]) for line in lines]
    context = {"section": "requirements", "versions": versions, "rows": rows, "total": total}
    return render(request, "registry/requirements.html", context)


@require_safe
@public_page
def requirement(request: HttpRequest, requirement_id: str) -> HttpResponse:
    """What a requirement asks, how it is checked, and who meets it."""
    today = _today()
    found = overviews.requirement_page(requirement_id)
    if found is None:
        raise Http404
    met, total = _met_today(today)
    meeting = overviews.certified(today).meeting(requirement_id).order_by("-issued_on", "-pk")
    context = {
        "section": "requirements",
        "requirement": found,
        "title": requirement_title(requirement_id),
        "workloads": [words for kind, words in WORKLOADS if kind in found.kinds],
        "met": met.get(requirement_id, 0),
        "total": total,
        "certificates": _marked(meeting[:SHOWN_OF_EACH], today),
        "structured": breadcrumbs(
            (_("Requirements"), reverse("registry:requirements")),
            (requirement_title(requirement_id), request.path),
        ),
    }
    return render(request, "registry/requirement.html", context)


@require_safe
@public_page
def checklist(request: HttpRequest, version: str) -> HttpResponse:
    """A published checklist, and what differs from another one."""
    known = overviews.published_checklists()
    minor = catalogue.minor_version(version)
    if minor is None or minor not in known:
        raise Http404
    if minor != version:
        return HttpResponsePermanentRedirect(reverse("registry:checklist", args=[minor]))
    order = list(known)
    before = order[order.index(minor) - 1] if order.index(minor) else ""
    compared = catalogue.minor_version(request.GET.get("from", "")) or before
    base = known.get(compared) if compared != minor else None
    context = {
        "section": "requirements",
        "checklist": known[minor],
        "versions": list(reversed(order)),
        "others": [other for other in reversed(order) if other != minor],
        "requirements": list(known[minor].requirements.all()),
        "base": base,
        "differences": overviews.differences(base, known[minor]) if base else [],
        "is_own_wording": known[minor].source != "programme",
        "is_comparable": base is not None and base.source == known[minor].source,
        "structured": breadcrumbs(
            (_("Requirements"), reverse("registry:requirements")),
            (_("Checklist %(version)s") % {"version": minor}, request.path),
        ),
    }
    return render(request, "registry/checklist.html", context)


# --- Statistics ---


@require_safe
@public_page
def statistics(request: HttpRequest) -> HttpResponse:
    """Figures with charts; each chart's table stands beside it."""
    today = _today()
    figures = statistics_on(today)
    context = {
        "section": "statistics",
        "figures": figures,
        "today": today,
        "charts": list(_charts(figures)),
        "months": list(reversed(figures.months)),
        "months_chart": columns(
            [Group(short_month(month), (began, ended)) for month, began, ended in figures.months],
            ("good", "quiet"),
            key="months",
            title=_("Certificates issued and ended, by month"),
            description=_("For each of the last 24 months, how many began to hold and how many ended."),
        ),
    }
    return render(request, "registry/statistics.html", context)


def _charts(figures: Statistics) -> Iterable[dict[str, Any]]:
    """Title, picture and rows of every bar chart."""
    assurance_tones = {"portal_verified": "good", "vendor_run": "busy", "self_attested": "quiet"}
    status_tones = {"active": "good", "suspended": "warn", "revoked": "bad"}
    requirement_rows = sorted(figures.by_requirement.items(), key=lambda item: -item[1])
    for key, title, of, rows in (
        (
            "versions",
            _("Certified today, by Kubernetes version"),
            _("Certificates that hold, for each Kubernetes version."),
            [Bar(f"Kubernetes {value}", number) for value, number in figures.by_version.items()],
        ),
        (
            "assurance",
            _("Certified today, by how we know"),
            _("Certificates that hold, by the strongest assurance on them."),
            [
                Bar(str(Assurance(value).label), number, assurance_tones[value])
                for value, number in figures.by_assurance.items()
            ],
        ),
        (
            "status",
            _("All certificates, by status"),
            _("Every certificate ever issued, by its status today."),
            [
                Bar(state_words(status), figures.by_status.get(status, 0), status_tones.get(status, "quiet"))
                for status in Certificate.Status.values
            ],
        ),
        (
            "workloads",
            _("Certified today, by workload served in full"),
            _("Certificates that hold and meet every requirement of their checklist for a kind of workload."),
            [Bar(str(words), figures.by_workload.get(kind, 0)) for kind, words in WORKLOADS],
        ),
        (
            "requirements",
            _("Certified today, by requirement met"),
            _("Certificates that hold and meet a requirement. Not every checklist has every requirement."),
            [Bar(requirement_title(value), number) for value, number in requirement_rows],
        ),
    ):
        if any(row.value for row in rows):
            yield {
                "key": key,
                "title": title,
                "description": of,
                "rows": rows,
                "picture": bars(rows, key=key, title=title, description=of),
            }

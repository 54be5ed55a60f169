"""How the public pages are found: site map, rules for robots, cards for shared links."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import chain

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape
from django.views.decorators.http import require_safe

from certportal.languages import ENGLISH, TAGS, path_in
from conformance.catalogue import REQUIREMENTS
from registry.caching import public_page
from registry.models import Certificate, Checklist
from registry.social_card import certificate_card, general_card
from registry.structured import address
from registry.tallies import TallyOn

# A site map holds 50,000 addresses at most, and each page stands in it once for each language.
A_MAP = 1_000  # certificates
VENDORS_AT_MOST = 10_000
NAMESPACE = "http://www.sitemaps.org/schemas/sitemap/0.9"
XHTML = "http://www.w3.org/1999/xhtml"
_PAGES = ("registry:list", "registry:matrix", "registry:vendors", "registry:requirements")
_MORE_PAGES = ("registry:changes", "registry:statistics", "registry:verify")


def _today() -> date:
    return timezone.now().date()


def _xml(root: str, entries: Iterator[str]) -> HttpResponse:
    text = "".join(entries)
    head = f'<?xml version="1.0" encoding="utf-8"?>\n<{root} xmlns="{NAMESPACE}" xmlns:xhtml="{XHTML}">'
    return HttpResponse(
        f"{head}{text}</{root}>\n",
        content_type="application/xml; charset=utf-8",
    )


def _urls(path: str, changed: date | None = None) -> Iterator[str]:
    """A page in each of its languages; each names all of them."""
    when = f"<lastmod>{changed.isoformat()}</lastmod>" if changed else ""
    places = {tag: escape(address(path_in(path, language))) for language, tag in TAGS.items()}
    others = "".join(
        f'<xhtml:link rel="alternate" hreflang="{tag}" href="{place}"/>'
        for tag, place in (*places.items(), ("x-default", places[ENGLISH]))
    )
    for place in places.values():
        yield f"<url><loc>{place}</loc>{when}{others}</url>"


@require_safe
@public_page
def sitemap(request: HttpRequest) -> HttpResponse:
    """The index of the site maps: one of pages, and one for every thousand certificates."""
    newest = Certificate.objects.published(_today()).order_by("-pk").values_list("pk", flat=True).first() or 0
    parts = ["pages", *(str(part) for part in range(newest // A_MAP + 1))]
    places = (address(reverse("registry:sitemap-part", args=[part])) for part in parts)
    return _xml("sitemapindex", (f"<sitemap><loc>{escape(place)}</loc></sitemap>" for place in places))


@require_safe
@public_page
def sitemap_part(request: HttpRequest, part: str) -> HttpResponse:
    """Addresses of the pages, or of the certificates with these keys in the database."""
    if part == "pages":
        return _xml("urlset", _pages())
    if not (part.isascii() and part.isdigit() and len(part) < 12):  # noqa: PLR2004 - keys are smaller
        raise Http404
    first = int(part) * A_MAP
    rows = (
        Certificate.objects.published(_today())
        .filter(pk__gte=first, pk__lt=first + A_MAP)
        .order_by("pk")
        .only("number", "changed_on")
    )
    urls = (_urls(row.get_absolute_url(), row.changed_on) for row in rows)
    return _xml("urlset", chain.from_iterable(urls))


def _pages() -> Iterator[str]:
    yield f"<url><loc>{escape(address(reverse('api-docs')))}</loc></url>"
    yield from _urls(reverse("home"))
    for name in (*_PAGES, *_MORE_PAGES):
        yield from _urls(reverse(name))
    for id_ in REQUIREMENTS:
        yield from _urls(reverse("registry:requirement", args=[id_]))
    for version in Checklist.objects.current().values_list("version", flat=True):
        yield from _urls(reverse("registry:checklist", args=[version]))
    for slug in (
        TallyOn(_today()).shown("vendor").order_by("value").values_list("value", flat=True)[:VENDORS_AT_MOST]
    ):
        yield from _urls(reverse("registry:vendor", args=[slug]))


@require_safe
@public_page
def robots(request: HttpRequest) -> HttpResponse:
    """What robots leave alone: private pages, and the endless combinations of filters."""
    filtered = (reverse("registry:list"), reverse("registry:compare"))
    lines = [
        "User-agent: *",
        *(f"Disallow: {path}" for path in ("/vendor/", "/admin/", "/outbox/")),
        *(f"Disallow: {path_in('/accounts/', language)}" for language in TAGS),
        *(f"Disallow: {path_in(path, language)}*?" for path in filtered for language in TAGS),
        f"Disallow: {reverse('api-export-root')}",
        "",
        f"Sitemap: {address(reverse('registry:sitemap'))}",
        "",
    ]
    return HttpResponse("\n".join(lines), content_type="text/plain; charset=utf-8")


def _card(content: bytes) -> HttpResponse:
    response = HttpResponse(content, content_type="image/png")
    # Shown by other sites beside a link; that is its purpose.
    response["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


@require_safe
@public_page
def card(request: HttpRequest) -> HttpResponse:
    """The picture beside links to the portal."""
    return _card(general_card())


@require_safe
@public_page
def card_of_certificate(request: HttpRequest, number: str) -> HttpResponse:
    """The picture beside links to a certificate."""
    certificate = get_object_or_404(Certificate.objects.published(_today()), number=number)
    return _card(certificate_card(certificate))

"""The change log as a page, an Atom feed and a JSON feed, with the same filters."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from datetime import date, datetime, time
from typing import Any
from urllib.parse import urlsplit
from xml.sax.saxutils import XMLGenerator
from xml.sax.xmlreader import AttributesImpl

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.xmlutils import SimplerXMLGenerator
from django.views.decorators.http import require_safe

from registry.caching import public_page
from registry.changes import KINDS, Change, Position, Wanted, changes, position_after
from registry.following import FILTERS, Scope, ScopeFilter, scope_of_query
from registry.forms import date_field
from registry.structured import address
from registry.tallies import SHOWN_AT_MOST, TallyOn

A_PAGE = 50
OF_THE_LIST = tuple(name for name in FILTERS if name not in {"vendor", "platform", "number"})
ATOM = "http://www.w3.org/2005/Atom"


class ChangeForm(forms.Form):
    """Which changes to show."""

    kind = forms.ChoiceField(
        label=_("What"),
        required=False,
        choices=[("", _("Every change")), *((kind, words) for kind, (words, _tone) in KINDS.items())],
    )
    vendor = forms.SlugField(label=_("Vendor"), required=False, max_length=80)
    platform = forms.SlugField(label=_("Platform"), required=False, max_length=80)
    number = forms.CharField(label=_("Certificate"), required=False, max_length=24)
    since = date_field(label=_("Since"), required=False)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # The other filters of the list mean here what they mean there; its links bring them along.
        for name in OF_THE_LIST:
            self.fields[name] = copy.deepcopy(ScopeFilter.base_filters[name].field)
        for name in ("platform", "number", *OF_THE_LIST):
            self.fields[name].widget = forms.HiddenInput()

    def wanted(self) -> Wanted:
        """The changes that are asked for; only where the form is valid."""
        own = {name: value for name, value in self.cleaned_data.items() if name not in OF_THE_LIST}
        narrowing = {name: self.cleaned_data[name] for name in OF_THE_LIST if self.cleaned_data[name]}
        return Wanted(**own, certificates=Scope.read(narrowing).certificates() if narrowing else None)


def _today() -> date:
    return timezone.now().date()


@require_safe
@public_page
def change_log(request: HttpRequest) -> HttpResponse:
    """Everything that happened to certificates, newest first."""
    today = _today()
    form = ChangeForm(request.GET)
    top = TallyOn(today).shown("vendor").order_by("-number", "value")
    vendors = [(row.value, row.label) for row in top[:SHOWN_AT_MOST]]
    asked = request.GET.get("vendor", "")
    if asked and asked not in dict(vendors):
        vendors.append((asked, asked))
    form.fields["vendor"].widget = forms.Select(choices=[("", _("Every vendor")), *sorted(vendors)])
    found: list[Change] = []
    following = ""
    if form.is_valid():
        after = Position.read(request.GET.get("after", ""))
        found = changes(form.wanted(), today=today, limit=A_PAGE + 1, after=after)
        if len(found) > A_PAGE:
            found = found[:A_PAGE]
            query = request.GET.copy()
            query["after"] = str(position_after(found, today))
            following = f"?{query.urlencode()}"
    scope = scope_of_query(request.GET)
    context = {
        "section": "changes",
        "form": form,
        "changes": found,
        "following": following,
        "is_later_page": "after" in request.GET,
        "atom": _address_of("registry:changes-atom", request.GET),
        "json": _address_of("registry:changes-json", request.GET),
        "follow": scope.address("follow") if scope else "",
    }
    return render(request, "registry/changes.html", context)


def _address_of(name: str, query: QueryDict) -> str:
    kept = query.copy()
    kept.pop("after", None)
    for key in [key for key in kept if not kept[key]]:
        del kept[key]
    return f"{reverse(name)}?{kept.urlencode()}" if kept else reverse(name)


def _newest(request: HttpRequest) -> list[Change]:
    """The changes of a feed; none where the address asks for what cannot be understood."""
    form = ChangeForm(request.GET)
    return changes(form.wanted(), today=_today(), limit=A_PAGE) if form.is_valid() else []


def _tag(specific: str) -> str:
    """A tag address (RFC 4151): stable, whatever becomes of the portal's web address."""
    return f"tag:{urlsplit(settings.SITE_URL).hostname},2026:{specific}"


def _sentence(change: Change) -> str:
    certificate = change.certificate
    text = (
        f"{change.words}: {change.title} by {certificate.vendor}, Kubernetes "
        f"{certificate.kubernetes_version}, certificate {certificate.number}."
    )
    if certificate.simulated:
        text += " Simulated: certifies nothing."
    return f"{text} {change.reason}".strip()


def _updated(found: Iterable[Change]) -> datetime:
    newest = max((change.at for change in found), default=None)
    # An empty feed was last changed when the day began: nothing has happened since.
    return newest or datetime.combine(_today(), time(), tzinfo=timezone.now().tzinfo)


@require_safe
@public_page
def atom(request: HttpRequest) -> HttpResponse:
    """The newest changes as an Atom feed (RFC 4287)."""
    found = _newest(request)
    response = HttpResponse(content_type="application/atom+xml; charset=utf-8")
    xml = SimplerXMLGenerator(response, "utf-8")
    own = address(request.get_full_path())
    xml.startDocument()
    xml.startElement("feed", AttributesImpl({"xmlns": ATOM}))
    xml.addQuickElement("id", _tag(f"changes{own.removeprefix(settings.SITE_URL)}"))
    xml.addQuickElement("title", f"{settings.SITE_NAME}: changes of certificates")
    xml.addQuickElement("updated", _updated(found).isoformat())
    xml.addQuickElement("link", None, {"rel": "self", "href": own, "type": "application/atom+xml"})
    page = address(_address_of("registry:changes", request.GET))
    xml.addQuickElement("link", None, {"rel": "alternate", "href": page, "type": "text/html"})
    xml.startElement("author", AttributesImpl({}))
    xml.addQuickElement("name", settings.SITE_NAME)
    xml.endElement("author")
    for change in found:
        _entry(xml, change)
    xml.endElement("feed")
    xml.endDocument()
    return response


def _entry(xml: XMLGenerator, change: Change) -> None:
    quick: Any = xml.addQuickElement  # type: ignore[attr-defined]
    xml.startElement("entry", AttributesImpl({}))
    quick("id", _tag(f"change/{change.key}"))
    quick("title", f"{change.words}: {change.title}")
    quick("updated", change.at.isoformat())
    quick("link", None, {"rel": "alternate", "href": address(change.certificate.get_absolute_url())})
    quick("category", None, {"term": change.kind, "label": change.words})
    quick("summary", _sentence(change))
    xml.endElement("entry")


@require_safe
@public_page
def json_feed(request: HttpRequest) -> HttpResponse:
    """The newest changes as a JSON feed (version 1.1)."""
    feed = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": f"{settings.SITE_NAME}: changes of certificates",
        "home_page_url": address(_address_of("registry:changes", request.GET)),
        "feed_url": address(request.get_full_path()),
        "language": "en",
        "authors": [{"name": settings.SITE_NAME, "url": settings.SITE_URL}],
        "items": [
            {
                "id": _tag(f"change/{change.key}"),
                "url": address(change.certificate.get_absolute_url()),
                "title": f"{change.words}: {change.title}",
                "content_text": _sentence(change),
                "date_published": change.at.isoformat(),
                "tags": [change.kind],
            }
            for change in _newest(request)
        ],
    }
    return JsonResponse(feed, content_type="application/feed+json")

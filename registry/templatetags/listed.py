"""Parts of a list's rows: ``{% load listed %}``.

A list of a hundred rows shows the same few badges over and over. Each is rendered from its template once
and kept for each language; what differs from row to row is only what decides which one. The cells themselves
are put together here: a template takes ten times as long, and nothing on the list is made more often.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from html import escape  # Django's does the same, and looks for words yet to be translated first
from types import SimpleNamespace
from typing import Any, NamedTuple

from django import template
from django.template.loader import render_to_string
from django.urls import get_script_prefix, reverse
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext

from certportal.languages import current_language
from registry.facets import Facet
from registry.templatetags.portal import dated_shortly

register = template.Library()

_BETWEEN = re.compile(r"\s+")
_COUNTS = (
    *("assurance", "requirement_count", "verified_count", "vendor_run_count"),
    *("attested_count", "waived_count", "failed_count"),
)

_PICK = (
    '<td class="certificates__pick no-print">'
    '<input type="checkbox" name="c" value="{number}" id="pick-{number}">'
    '<label for="pick-{number}"><span class="visually-hidden">{compare}</span></label></td>'
)
_CELLS = (
    '<th scope="row"><a href="{address}">{name} {version}</a>'
    '<span class="certificates__vendor">{vendor}</span>'
    '<span class="mono note">{number}</span>{imported}</th>'
    '<td data-label="Kubernetes" class="number">{kubernetes}</td>'
    '<td data-label="{words.status}">{standing}</td>'
    '<td data-label="{words.expires}" class="number">{expires}</td>'
    '<td data-label="{words.how}">{coverage}</td>'
)


_CHOICE = (
    '<li><a href="{address}" rel="nofollow" data-choice="{facet}={value}"{chosen}><span>{label}{hint}</span>'
    '<span class="facet__number">{figure}</span></a></li>'
)


class _Words(NamedTuple):
    """What every row says, in one language and fit for HTML; but for `compare`, which names are put into."""

    status: str
    expires: str
    how: str
    imported: str
    compare: str


@lru_cache(maxsize=8)
def _words(_language: str) -> _Words:
    return _Words(
        status=escape(gettext("Status")),
        expires=escape(gettext("Expires")),
        how=escape(gettext("How we know")),
        imported=f' <span class="note">{escape(gettext("Imported record"))}</span>',
        compare=escape(gettext("Compare %(name)s %(version)s")),
    )


@register.simple_tag
def facet_choices(facet: Facet) -> SafeString:
    """The values of a facet, each a link that asks for it or takes it back."""
    hint = (
        f'<span class="visually-hidden"> {escape(gettext("(chosen; choose again to take it back)"))}</span>'
    )
    parts = [
        _CHOICE.format(
            address=escape(choice.address),
            facet=escape(facet.name),
            value=escape(choice.value),
            label=escape(choice.label),
            figure=escape(choice.figure),
            chosen=' aria-current="true"' if choice.is_chosen else "",
            hint=hint if choice.is_chosen else "",
        )
        for choice in facet.choices
    ]
    return mark_safe("\n".join(parts))  # noqa: S308 - every value above is escaped


@lru_cache(maxsize=64)
def _address(_language: str, _prefix: str) -> str:
    """The address of certificates, with a place for the number."""
    return reverse("registry:certificate", args=["NUMBER"]).replace("NUMBER", "{}")


@lru_cache(maxsize=1024)
def _expires(_language: str, day: date) -> str:
    return dated_shortly(day)


@register.simple_tag
def certificate_cells(certificate: Any, *, pick: bool = False) -> SafeString:
    """The cells of a certificate's row; with `pick`, one to tick it for a comparison before them."""
    language = current_language()
    words = _words(language)
    number, name = escape(certificate.number), escape(certificate.platform_name)
    version, vendor = escape(certificate.platform_version), escape(certificate.vendor)
    is_usual = certificate.configuration == "default"
    text = _CELLS.format(
        address=_address(language, get_script_prefix()).format(number),
        name=name,
        version=version,
        vendor=vendor if is_usual else f"{vendor} · {escape(certificate.configuration)}",
        number=number,
        imported=words.imported if certificate.imported else "",
        kubernetes=escape(certificate.kubernetes_version),
        words=words,
        standing=standing(certificate),
        expires=_expires(language, certificate.expires_on),
        coverage=coverage(certificate),
    )
    if pick:
        compare = words.compare % {"name": name, "version": version}
        text = _PICK.format(number=number, compare=compare) + text
    return mark_safe(text)  # noqa: S308 - every value above is escaped


@register.simple_tag
def standing(certificate: Any) -> SafeString:
    """The status of a certificate of a list, and the days left if they are few."""
    soon = bool(certificate.expiring_soon)
    return _standing(
        current_language(),
        str(certificate.status_on),
        bool(certificate.simulated),
        certificate.days_left if soon else None,
    )


@lru_cache(maxsize=1024)
def _standing(_language: str, status: str, simulated: bool, days_left: int | None) -> SafeString:  # noqa: FBT001
    certificate = SimpleNamespace(
        status_on=status, simulated=simulated, expiring_soon=days_left is not None, days_left=days_left
    )
    return _rendered("registry/_standing.html", certificate)


@register.simple_tag
def coverage(certificate: Any) -> SafeString:
    """How many requirements are known in which way."""
    return _coverage(current_language(), *(getattr(certificate, name) for name in _COUNTS))


@lru_cache(maxsize=4096)
def _coverage(_language: str, *values: Any) -> SafeString:
    return _rendered("registry/_coverage.html", SimpleNamespace(**dict(zip(_COUNTS, values, strict=True))))


def _rendered(name: str, certificate: Any) -> SafeString:
    """Rendered on one line. The templates escape what they show; the values are statuses and numbers."""
    text = render_to_string(name, {"certificate": certificate})
    return mark_safe(_BETWEEN.sub(" ", text).strip())  # noqa: S308 - rendered and escaped above

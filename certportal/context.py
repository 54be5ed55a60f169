"""What every template may use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils import translation

from certportal.languages import ENGLISH, TAGS, current_language, other_paths

# Public pages, and the parameters that make a page of its own.
CANONICAL: dict[str, tuple[str, ...]] = {
    "home": (),
    "api-docs": (),
    "registry:list": ("page",),
    "registry:certificate": (),
    "registry:matrix": ("kubernetes_version", "page"),
    "registry:compare": (),
    "registry:verify": (),
    "registry:vendors": ("page",),
    "registry:vendor": (),
    "registry:platform": (),
    "registry:requirements": (),
    "registry:requirement": (),
    "registry:checklist": (),
    "registry:statistics": (),
    "registry:changes": (),
}


@dataclass(frozen=True, slots=True)
class LanguageLink:
    """A language in its own name, where this page (or else the first one) stands in it."""

    tag: str
    name: str
    path: str
    is_current: bool


def portal(request: HttpRequest) -> dict[str, Any]:
    """Names of the portal, whether it is the embedded one, the addresses of a public page, its languages."""
    paths = other_paths(request)
    return {
        "site_name": settings.SITE_NAME,
        "site_url": settings.SITE_URL,
        "embedded": settings.EMBEDDED,
        "canonical": canonical(request),
        "alternates": alternates(request, paths),
        "languages": list(language_links(request, paths)),
    }


def _kept(request: HttpRequest) -> str | None:
    """The part of the query that makes a public page of its own; None for pages that are somebody's own."""
    match = request.resolver_match
    if match is None or match.view_name not in CANONICAL:
        return None
    kept = {name: request.GET[name] for name in CANONICAL[match.view_name] if request.GET.get(name)}
    return f"?{urlencode(kept)}" if kept else ""


def canonical(request: HttpRequest) -> str:
    """The address by which a public page is known: without filters, except where they make another page.

    Empty for pages that are somebody's own.
    """
    kept = _kept(request)
    return "" if kept is None else f"{settings.SITE_URL}{request.path}{kept}"


def alternates(request: HttpRequest, paths: Mapping[str, str]) -> list[tuple[str, str]]:
    """Language and address of a public page in all its languages; English is for whoever speaks none."""
    kept = _kept(request)
    if kept is None or not paths:
        return []
    found = [(TAGS[language], f"{settings.SITE_URL}{path}{kept}") for language, path in paths.items()]
    return [*found, ("x-default", f"{settings.SITE_URL}{paths[ENGLISH]}{kept}")]


def language_links(request: HttpRequest, paths: Mapping[str, str]) -> Iterator[LanguageLink]:
    """Where to read on in which language. Pages that exist in English only lead to the first page."""
    # What a form sent cannot be asked for again.
    query = request.META.get("QUERY_STRING", "") if request.method in {"GET", "HEAD"} else ""
    for language, name in settings.LANGUAGES:
        is_current = language == current_language()
        path = f"{paths[language]}{f'?{query}' if query else ''}" if paths else _first_page(language)
        yield LanguageLink(TAGS[language], name, path, is_current)


def _first_page(language: str) -> str:
    with translation.override(language):
        return reverse("home")

"""The languages of the public pages. The address alone decides, so that every answer can be kept by anyone.

English stands at the plain addresses, the others behind their code: ``/ja/certified/``. No header and no
cookie is asked; what has no address in a language is English.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver, is_valid_path
from django.utils import translation
from django.utils.encoding import escape_uri_path

ENGLISH = "en"
# As HTML and HTTP write them; settings and addresses have them in small letters.
TAGS: dict[str, str] = {"en": "en", "zh-hans": "zh-Hans", "ja": "ja"}


def current_language() -> str:
    """The language of the answer that is being made."""
    language = translation.get_language()
    return language if language in TAGS else ENGLISH


def language_of(path: str) -> str:
    """The language that an address asks for."""
    first = path[1:].partition("/")[0]
    return first if first in TAGS and first != ENGLISH else ENGLISH


def path_in(path: str, language: str) -> str:
    """`path`, in whatever language it is, as it stands in `language`."""
    own = language_of(path)
    plain = path if own == ENGLISH else path[len(own) + 1 :]
    return plain if language == ENGLISH else f"/{language}{plain}"


class LanguagePrefix:
    """The code of the present language before addresses, nothing in English.

    Django's own pattern of this kind works in the root of the addresses only. Here pages and what exists
    once (feeds, keys, pictures) share one namespace, so that no link has to know which is which.
    """

    converters: dict[str, Any] = {}

    @property
    def prefix(self) -> str:
        language = current_language()
        return "" if language == ENGLISH else f"{language}/"

    @property
    def regex(self) -> re.Pattern[str]:
        """Asked once for each language, when addresses are made from names."""
        return re.compile(re.escape(self.prefix))

    def match(self, path: str) -> tuple[str, tuple[()], dict[str, Any]] | None:
        return (path.removeprefix(self.prefix), (), {}) if path.startswith(self.prefix) else None

    def check(self) -> list[Any]:
        return []

    def describe(self) -> str:
        return f"'{self}'"

    def __str__(self) -> str:
        return self.prefix


def in_every_language(patterns: Sequence[URLPattern | URLResolver]) -> URLResolver:
    """`patterns`, at addresses of their own in each language."""
    return URLResolver(LanguagePrefix(), list(patterns))  # type: ignore[arg-type] # any pattern will do


def other_paths(request: HttpRequest) -> dict[str, str]:
    """The path of this page in each language; empty where the page exists in English only."""
    path = request.path_info
    # One other language is enough to ask: a page has an address in all of them or in none.
    other = next(language for language in TAGS if language not in {ENGLISH, language_of(path)})
    with translation.override(other):
        if not is_valid_path(path_in(path, other)):
            return {}
    return {language: escape_uri_path(path_in(path, language)) for language, _name in settings.LANGUAGES}


class LanguageMiddleware:
    """Makes the answer in the language of the address, and says so in Content-Language."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        language = language_of(request.path_info)
        # The thread goes on to other requests, and to answers made outside of this middleware.
        with translation.override(language):
            request.LANGUAGE_CODE = language
            response = self.get_response(request)
        response.headers.setdefault("Content-Language", TAGS[language])
        return response

"""Public pages may be kept for a minute by anyone, and never past the day whose status they state.

They are sent compressed to whoever takes that. Answers to one person never are: beside a secret, the length
of what was compressed tells of it.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, NamedTuple

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse
from django.utils import timezone
from django.utils.cache import (
    get_conditional_response,
    patch_cache_control,
    patch_vary_headers,
    set_response_etag,
)
from django.utils.http import http_date

from registry.models import RegistryState

LONGEST = 60  # seconds
SETTLING = timedelta(seconds=2)
WORTH_COMPRESSING = 860  # bytes; less fits into one packet anyway
_TEXT = re.compile(r"text/|application/(?:[a-z.-]+\+)?(?:json|xml)\b|image/svg\+xml")
_TAKES_GZIP = re.compile(r"(?:^|,)\s*gzip\s*(?:,|$)")


def seconds_left_today(now: datetime) -> int:
    """Whole seconds until midnight UTC: from then on, statuses may be others."""
    passed = now.hour * 3600 + now.minute * 60 + now.second
    return 86400 - passed - (now.microsecond > 0)


class Version(NamedTuple):
    """The registry's version, and when it changed to it."""

    number: int
    changed_at: datetime


def version_of(request: HttpRequest) -> Version | None:
    """The version of the registry from which the answer is made, or an earlier one; None before the first."""
    if not hasattr(request, "registry_version"):
        rows = RegistryState.objects.filter(pk=1).values_list("version", "changed_at")
        request.registry_version = next((Version(*row) for row in rows), None)  # type: ignore[attr-defined]
    found: Version | None = request.registry_version  # type: ignore[attr-defined]
    return found


def last_change(request: HttpRequest, now: datetime) -> datetime | None:
    """When the registry last changed, in whole seconds: at the latest when the day began.

    None in the first seconds after a change: two changes in one second would look like one, and whoever
    has seen the first would be told for good that nothing has changed.
    """
    version = version_of(request)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    newest = max(version.changed_at if version else midnight, midnight)
    return newest.replace(microsecond=0) if now - newest >= SETTLING else None


def public_page(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Let answers to anonymous readers be cached, with an ETag; others are private.

    A request with any cookie counts as someone's: its answer may hold a name or a message.
    """

    @wraps(view)
    def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        # Read before what it is said of: an answer may be newer than it says, never older.
        if request.method in {"GET", "HEAD"}:
            version_of(request)
        response = view(request, *args, **kwargs)
        if isinstance(response, SimpleTemplateResponse) and not response.is_rendered:
            # Answers of the API are rendered later; the ETag needs their content.
            response.add_post_render_callback(lambda rendered: _finished(request, rendered))
            return response
        return _finished(request, response)

    return inner


def _compress(request: HttpRequest, response: HttpResponse) -> None:
    if not _TEXT.match(response.headers["Content-Type"]):
        return
    patch_vary_headers(response, ["Accept-Encoding"])
    if len(response.content) < WORTH_COMPRESSING or not _TAKES_GZIP.search(
        request.headers.get("Accept-Encoding", "")
    ):
        return
    # The same content has the same bytes and so the same tag: no time of day in them.
    response.content = gzip.compress(response.content, compresslevel=6, mtime=0)
    response.headers["Content-Encoding"] = "gzip"


def _finished(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    if request.method not in {"GET", "HEAD"} or not isinstance(response, HttpResponse):
        return response
    patch_vary_headers(response, ["Cookie"])
    if request.COOKIES or response.cookies:
        patch_cache_control(response, private=True, no_cache=True)
        return response
    if response.status_code != 200:  # noqa: PLR2004 - the one code that is worth keeping
        return response
    now = timezone.now()
    patch_cache_control(response, public=True, max_age=min(LONGEST, seconds_left_today(now)))
    if not response.has_header("ETag"):
        # The tag names the bytes that are sent, so it comes after the compression.
        _compress(request, response)
        set_response_etag(response)
    modified = last_change(request, now)
    if modified:
        response["Last-Modified"] = http_date(modified.timestamp())
    return (
        get_conditional_response(
            request,
            etag=response["ETag"],
            last_modified=int(modified.timestamp()) if modified else None,
            response=response,
        )
        or response
    )

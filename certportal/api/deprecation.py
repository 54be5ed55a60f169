"""What will go: said in the description of the API, and in every answer of what is concerned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import wraps
from typing import Any, TypeVar, cast

from django.conf import settings
from django.urls import reverse
from django.utils.http import http_date
from drf_spectacular.utils import OpenApiParameter, extend_schema

# Nothing goes earlier than this after it was said to go.
NOTICE = timedelta(days=365)
_Method = TypeVar("_Method", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Deprecation:
    """From when something is deprecated, from when it may be gone, and the address that takes its place."""

    since: date
    sunset: date
    successor: str = ""

    def __post_init__(self) -> None:
        if self.sunset - self.since < NOTICE:
            raise ValueError(f"{NOTICE.days} days must lie between the notice and the end.")

    def headers(self) -> dict[str, str]:
        """`Deprecation` (RFC 9745), `Sunset` (RFC 8594), and where to read on."""
        links = [f'<{settings.SITE_URL}{reverse("api-docs")}#change>; rel="deprecation"; type="text/html"']
        if self.successor:
            links.append(f'<{settings.SITE_URL}{self.successor}>; rel="successor-version"')
        return {
            "Deprecation": f"@{_seconds(self.since)}",
            "Sunset": http_date(_seconds(self.sunset)),
            "Link": ", ".join(links),
        }


def _seconds(day: date) -> int:
    return int(datetime.combine(day, time(), tzinfo=UTC).timestamp())


def deprecated(
    *, since: date, sunset: date, successor: str = "", parameter: str = ""
) -> Callable[[_Method], _Method]:
    """Announce the end of a view's method, or with `parameter` of that parameter alone.

    It stands before `extend_schema`. Errors are answered with the headers, too.
    """
    notice = Deprecation(since, sunset, successor)
    told = {
        "Deprecation": "Since when it is deprecated, as `@` and seconds since 1970.",
        "Sunset": "From when it may be gone.",
        "Link": "Where to read on, and what takes its place.",
    }

    def announced(method: _Method) -> _Method:
        @wraps(method)
        def inner(view: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            if not parameter or parameter in request.query_params:
                view.headers.update(notice.headers())
            return method(view, request, *args, **kwargs)

        described: Any = extend_schema(
            deprecated=not parameter,
            parameters=[
                OpenApiParameter(
                    name, str, OpenApiParameter.HEADER, response=[200], required=False, description=words
                )
                for name, words in told.items()
            ],
        )(inner)
        return cast(_Method, described)

    return announced

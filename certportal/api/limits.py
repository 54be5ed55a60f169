"""How many requests a client may make of the API, and how it is told.

A client is a token that is good, else the address that asks. Answers that the site's cache gives never get
here: they cost next to nothing and are not counted, and they carry no figures, which would be another's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils import timezone

from certportal.api.problems import API_ROOT, CONTENT_TYPE, problem_body
from certportal.clients import client_of, count

EXPORTS = f"{API_ROOT}v1/exports/"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
TOO_MANY = 429


@dataclass(frozen=True, slots=True)
class Policy:
    """`quota` requests in `window` seconds. Its name stands in the headers."""

    name: str
    quota: int
    window: int
    meaning: str


def policies() -> dict[str, Policy]:
    """Every policy there is, by name."""
    window = settings.API_RATE_WINDOW
    return {
        policy.name: policy
        for policy in (
            Policy("default", settings.API_RATE_LIMIT, window, "reading without a token, by address"),
            Policy("token", settings.API_TOKEN_LIMIT, window, "reading with a token, each by itself"),
            Policy("writes", settings.API_WRITE_LIMIT, window, "requests that change something"),
            Policy("exports", settings.API_EXPORT_LIMIT, window, "whole exports"),
        )
    }


def policy_for(request: HttpRequest, *, has_token: bool) -> Policy:
    """What costs more has a smaller quota of its own."""
    known = policies()
    if request.path.startswith(EXPORTS):
        return known["exports"]
    if request.method not in SAFE:
        return known["writes"]
    return known["token" if has_token else "default"]


def token_of(request: HttpRequest) -> str:
    """The key of the token that the request shows; empty where it shows none, or none that is good.

    A made-up token is another one with every request: those who show one are counted by their address.
    """
    scheme, _space, secret = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip().isascii():
        return ""
    # The public side works without this app; only who shows a token needs it.
    from submissions.models import ApiToken
    from submissions.models.organizations import hash_token

    found = ApiToken.objects.filter(
        token_hash=hash_token(secret.strip()), revoked_at=None, expires_at__gt=timezone.now()
    )
    pk = found.values_list("pk", flat=True).first()
    return f"token-{pk}" if pk else ""


class RateLimitMiddleware:
    """Counts requests of the API in fixed windows, in the cache that all processes share.

    Where the cache cannot be reached everyone gets through: the limit protects the portal from load,
    nobody's secrets depend on it. A quota of 0 switches a policy off.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path.startswith(API_ROOT) or request.path == API_ROOT:
            return self.get_response(request)
        if not any(policy.quota for policy in policies().values()):
            return self.get_response(request)
        token = token_of(request)
        policy = policy_for(request, has_token=bool(token))
        if not policy.quota:
            return self.get_response(request)
        window, passed = divmod(int(time.time()), policy.window)
        left_seconds = policy.window - passed
        used = count(f"{policy.name}:{window}:{token or client_of(request)}", policy.window)
        remaining = max(policy.quota - used, 0)
        is_over = used > policy.quota
        response = _too_many(policy, left_seconds) if is_over else self.get_response(request)
        response["RateLimit-Policy"] = f'"{policy.name}";q={policy.quota};w={policy.window}'
        response["RateLimit"] = f'"{policy.name}";r={remaining};t={left_seconds}'
        # The names of earlier drafts, which many clients read.
        response["RateLimit-Limit"] = str(policy.quota)
        response["RateLimit-Remaining"] = str(remaining)
        response["RateLimit-Reset"] = str(left_seconds)
        return response


def _too_many(policy: Policy, seconds: int) -> HttpResponse:
    body = problem_body(
        TOO_MANY,
        "too_many_requests",
        f"{policy.quota} requests in {policy.window} seconds are allowed. Try again in {seconds} seconds.",
        **{"violated-policies": [policy.name]},
    )
    headers = {"Retry-After": str(seconds), "Cache-Control": "no-store"}
    return JsonResponse(body, status=TOO_MANY, content_type=CONTENT_TYPE, headers=headers)


# --- In the description of the API ---------------------------------------------------------------------

_TEXT = {"schema": {"type": "string"}}
FIGURES: dict[str, Any] = {
    "RateLimit-Policy": {
        **_TEXT,
        "description": "The policy that counted this request: its name, `q` requests in `w` seconds.",
    },
    "RateLimit": {**_TEXT, "description": "What is left: `r` requests for the next `t` seconds."},
}
PROBLEM_OF_LIMITS: dict[str, Any] = {
    "description": "Too many requests in this window; the code is `too_many_requests`.",
    "headers": {
        **FIGURES,
        "Retry-After": {
            "schema": {"type": "integer"},
            "description": "Seconds until the next window.",
        },
    },
    "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def describe_limits(result: dict[str, Any], generator: Any, **_more: Any) -> dict[str, Any]:
    """Say of every operation that it is counted, and what the answer is beyond the limit."""
    for operations in result["paths"].values():
        for operation in operations.values():
            if isinstance(operation, dict) and "responses" in operation:
                operation["responses"].setdefault(str(TOO_MANY), PROBLEM_OF_LIMITS)
    return result

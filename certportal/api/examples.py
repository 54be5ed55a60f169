"""Examples that hold for the whole API."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiExample

PROBLEM = OpenApiExample(
    "A filter that cannot be understood",
    value={
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "code": "invalid",
        "detail": "The request has errors in on; see the list.",
        "errors": [{"path": "on", "code": "invalid", "message": "This is no date. Write it as 2026-03-31."}],
    },
    media_type="application/problem+json",
    status_codes=["400"],
)

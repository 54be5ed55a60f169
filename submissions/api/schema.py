"""What the OpenAPI description says of this API."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from certportal.api.schema import ProblemSerializer

MEDIA_TYPE = "application/problem+json"


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Tokens in the description."""

    target_class = "submissions.api.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A token of the vendor workspace, page API tokens.",
        }


def problems(*statuses: int) -> dict[tuple[int, str], type[ProblemSerializer]]:
    """The problem documents an operation may answer with; 401 always."""
    return {(status, MEDIA_TYPE): ProblemSerializer for status in sorted({401, *statuses})}

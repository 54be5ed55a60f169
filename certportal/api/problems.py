"""Errors of the API as problem details (RFC 9457)."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import set_rollback

CONTENT_TYPE = "application/problem+json"
API_ROOT = "/api/"
# What the person can mend is a conflict with how things stand (409), unless its code says otherwise.
STATUS_OF_CODE = {
    "not_allowed": status.HTTP_403_FORBIDDEN,
    "conflict_of_interest": status.HTTP_403_FORBIDDEN,
    "file_too_large": status.HTTP_413_REQUEST_ENTITY_TOO_LARGE,
    "report_unreadable": status.HTTP_422_UNPROCESSABLE_ENTITY,
    "report_changed": status.HTTP_422_UNPROCESSABLE_ENTITY,
    "report_contradictory": status.HTTP_422_UNPROCESSABLE_ENTITY,
    "report_unsigned": status.HTTP_422_UNPROCESSABLE_ENTITY,
    "report_dated_wrong": status.HTTP_422_UNPROCESSABLE_ENTITY,
    "report_too_old": status.HTTP_422_UNPROCESSABLE_ENTITY,
    "report_cancelled": status.HTTP_422_UNPROCESSABLE_ENTITY,
    "report_simulated": status.HTTP_422_UNPROCESSABLE_ENTITY,
    "unknown_key": status.HTTP_422_UNPROCESSABLE_ENTITY,
    "key_revoked": status.HTTP_422_UNPROCESSABLE_ENTITY,
    "bad_key": status.HTTP_422_UNPROCESSABLE_ENTITY,
    "bad_file_name": status.HTTP_422_UNPROCESSABLE_ENTITY,
    "document_has_errors": status.HTTP_422_UNPROCESSABLE_ENTITY,
    "document_unreadable": status.HTTP_422_UNPROCESSABLE_ENTITY,
    "other_checklist": status.HTTP_422_UNPROCESSABLE_ENTITY,
    "unknown_checklist": status.HTTP_422_UNPROCESSABLE_ENTITY,
    "unknown_requirement": status.HTTP_422_UNPROCESSABLE_ENTITY,
}


def problem_body(status_code: int, code: str, detail: str, **extra: Any) -> dict[str, Any]:
    """A problem document; `code` is stable and meant for programs, `detail` for people."""
    title = HTTPStatus(status_code).phrase
    return {
        "type": "about:blank",
        "title": title,
        "status": status_code,
        "code": code,
        "detail": detail,
        **extra,
    }


def problem(status_code: int, code: str, detail: str, **extra: Any) -> Response:
    """The document of `problem_body` as an answer of DRF."""
    return Response(
        problem_body(status_code, code, detail, **extra), status=status_code, content_type=CONTENT_TYPE
    )


def problem_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: every error the API answers is a problem document."""
    from submissions.errors import ApplicantError

    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    if isinstance(error, ApplicantError):
        set_rollback()
        answer = STATUS_OF_CODE.get(error.code, status.HTTP_409_CONFLICT)
        return problem(answer, error.code, str(error), **error.details)
    if not isinstance(error, exceptions.APIException):
        return None
    set_rollback()
    if isinstance(error, exceptions.ValidationError):
        found = list(listed_errors(error.detail))
        response = problem(error.status_code, "invalid", _sentence(found), errors=found)
    else:
        code = error.get_codes()
        response = problem(
            error.status_code, code if isinstance(code, str) else str(error.default_code), str(error.detail)
        )
    if (challenge := getattr(error, "auth_header", None)) is not None:
        response["WWW-Authenticate"] = challenge
    if (wait := getattr(error, "wait", None)) is not None:
        response["Retry-After"] = str(int(wait))
    return response


def listed_errors(detail: Any, path: str = "") -> Iterator[dict[str, str]]:
    """DRF's nested error details as one flat list of ``path``, ``code`` and ``message``.

    Paths read as in the judge's problems: ``metadata.websiteUrl``, ``evidence[0]``; empty for the whole.
    """
    if isinstance(detail, dict):
        for name, inner in detail.items():
            yield from listed_errors(inner, _place_below(path, name))
    elif isinstance(detail, list):
        for position, inner in enumerate(detail):
            nested = isinstance(inner, dict | list)
            yield from listed_errors(inner, f"{path}[{position}]" if nested else path)
    else:
        yield {"path": path, "code": getattr(detail, "code", "invalid"), "message": str(detail)}


def _place_below(path: str, name: str | int) -> str:
    if name == api_settings.NON_FIELD_ERRORS_KEY:
        return path
    if isinstance(name, int):  # a list's errors, by position
        return f"{path}[{name}]"
    return f"{path}.{name}" if path else name


def _sentence(found: list[dict[str, str]]) -> str:
    names = list(dict.fromkeys(entry["path"] for entry in found if entry["path"]))
    if not names:
        return "; ".join(entry["message"] for entry in found) or "The request has errors."
    return f"The request has errors in {', '.join(names)}; see the list."


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """The site's 400, for what Django itself refuses: a problem document under the API."""
    if request.path.startswith(API_ROOT):
        return JsonResponse(
            problem_body(
                status.HTTP_400_BAD_REQUEST,
                "bad_request",
                "The request is broken, too large, or meant for another host.",
            ),
            status=status.HTTP_400_BAD_REQUEST,
            content_type=CONTENT_TYPE,
        )
    return defaults.bad_request(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """The site's 404: a problem document under the API, the page elsewhere."""
    if request.path.startswith(API_ROOT):
        return JsonResponse(
            problem_body(status.HTTP_404_NOT_FOUND, "not_found", "There is nothing at this address."),
            status=status.HTTP_404_NOT_FOUND,
            content_type=CONTENT_TYPE,
        )
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """The site's 500: a problem document under the API, the page elsewhere. The log has the rest."""
    if request.path.startswith(API_ROOT):
        return JsonResponse(
            problem_body(
                status.HTTP_500_INTERNAL_SERVER_ERROR,
                "internal_error",
                "The portal could not finish this. The error has been recorded.",
            ),
            status=status.HTTP_500_INTERNAL_SERVER_ERROR,
            content_type=CONTENT_TYPE,
        )
    return defaults.server_error(request)

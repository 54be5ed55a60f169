"""The Status answers of a Kubernetes API server, as exceptions."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Cause:
    """One field a request got wrong. `reason` is a CauseType such as ``FieldValueInvalid``."""

    reason: str
    message: str
    field: str


class ApiError(Exception):
    """A request the server refuses. `code` is the HTTP status, `reason` the StatusReason."""

    def __init__(self, code: int, reason: str, message: str, details: Json | None = None) -> None:
        super().__init__(message)
        self.code = int(code)
        self.reason = reason
        self.message = message
        self.details = details

    def status(self) -> Json:
        body: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            body["reason"] = self.reason
        if self.details:
            body["details"] = self.details
        body["code"] = self.code
        return body


def qualified(group: str, resource: str) -> str:
    """Return `resource` as the server names it in messages: ``jobs.batch``, ``pods``."""
    return f"{resource}.{group}" if group else resource


def _details(name: str, group: str, resource: str) -> Json:
    details: Json = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    details["kind"] = resource
    return details


def not_found(group: str, resource: str, name: str) -> ApiError:
    message = f'{qualified(group, resource)} "{name}" not found'
    return ApiError(HTTPStatus.NOT_FOUND, "NotFound", message, _details(name, group, resource))


def no_such_path() -> ApiError:
    return ApiError(HTTPStatus.NOT_FOUND, "NotFound", "the server could not find the requested resource", {})


def already_exists(group: str, resource: str, name: str) -> ApiError:
    message = f'{qualified(group, resource)} "{name}" already exists'
    return ApiError(HTTPStatus.CONFLICT, "AlreadyExists", message, _details(name, group, resource))


def conflict(group: str, resource: str, name: str, why: str) -> ApiError:
    message = f'Operation cannot be fulfilled on {qualified(group, resource)} "{name}": {why}'
    return ApiError(HTTPStatus.CONFLICT, "Conflict", message, _details(name, group, resource))


def forbidden(group: str, resource: str, name: str, why: str, causes: Sequence[Cause] = ()) -> ApiError:
    subject = f'{qualified(group, resource)} "{name}"' if name else qualified(group, resource)
    details = _details(name, group, resource)
    if causes:
        details["causes"] = [dataclasses.asdict(cause) for cause in causes]
    return ApiError(HTTPStatus.FORBIDDEN, "Forbidden", f"{subject} is forbidden: {why}", details)


def invalid(group: str, kind: str, name: str, causes: Sequence[Cause]) -> ApiError:
    """Return the 422 for an object whose fields do not hold; every cause is listed."""
    subject = f"{kind}.{group}" if group else kind
    texts = [f"{cause.field}: {cause.message}" for cause in causes]
    problems = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details = _details(name, group, kind)
    details["causes"] = [dataclasses.asdict(cause) for cause in causes]
    return ApiError(
        HTTPStatus.UNPROCESSABLE_ENTITY, "Invalid", f'{subject} "{name}" is invalid: {problems}', details
    )


def bad_request(message: str) -> ApiError:
    return ApiError(HTTPStatus.BAD_REQUEST, "BadRequest", message)


def unauthorized() -> ApiError:
    return ApiError(HTTPStatus.UNAUTHORIZED, "Unauthorized", "Unauthorized")


def gone(message: str) -> ApiError:
    """Return the 410 that tells a client to list again."""
    return ApiError(HTTPStatus.GONE, "Expired", message)


def internal(message: str) -> ApiError:
    text = f"Internal error occurred: {message}"
    return ApiError(
        HTTPStatus.INTERNAL_SERVER_ERROR, "InternalError", text, {"causes": [{"message": message}]}
    )


def method_not_allowed() -> ApiError:
    return ApiError(
        HTTPStatus.METHOD_NOT_ALLOWED,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
        {},
    )


def unsupported_media_type(supported: Sequence[str]) -> ApiError:
    return ApiError(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: "
        + ", ".join(supported),
        {},
    )


def required(field: str, detail: str = "") -> Cause:
    return Cause("FieldValueRequired", f"Required value{': ' + detail if detail else ''}", field)


def invalid_value(field: str, value: Any, detail: str) -> Cause:
    shown = f'"{value}"' if isinstance(value, str) else _shown(value)
    return Cause("FieldValueInvalid", f"Invalid value: {shown}: {detail}", field)


def unsupported_value(field: str, value: Any, supported: Sequence[str]) -> Cause:
    choices = ", ".join(f'"{choice}"' for choice in supported)
    return Cause(
        "FieldValueNotSupported", f'Unsupported value: "{value}": supported values: {choices}', field
    )


def duplicate(field: str, value: Any) -> Cause:
    shown = f'"{value}"' if isinstance(value, str) else _shown(value)
    return Cause("FieldValueDuplicate", f"Duplicate value: {shown}", field)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    if isinstance(value, dict):
        return json.dumps(value, separators=(",", ":"), sort_keys=True)
    return str(value)

"""JSON as the body of a request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions, status
from rest_framework.parsers import BaseParser


class BodyTooLarge(exceptions.APIException):
    """More was sent than is read."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = _("The body is too large.")
    default_code = "body_too_large"


class JSONParser(BaseParser):
    """JSON in UTF-8, whatever the type says of its encoding: of reasonable size and depth, of text only.

    Half a pair of surrogates is refused: it is no text, and neither a database nor an answer can hold it.
    """

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        data = stream.read(limit + 1)
        if len(data) > limit:
            raise BodyTooLarge
        try:
            found = json.loads(data.decode("utf-8-sig"), parse_constant=_refuse)
            json.dumps(found, ensure_ascii=False).encode()
        except RecursionError as error:
            raise exceptions.ParseError("The JSON is nested too deeply.") from error
        except ValueError as error:
            raise exceptions.ParseError(f"This is no JSON: {_ascii(error)}.") from error
        return found


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _ascii(error: ValueError) -> str:
    """The error's words without what the body said: that may be what no answer can hold."""
    if isinstance(error, UnicodeError):
        return f"it holds what is no text ({error.reason})" if hasattr(error, "reason") else "it is no text"
    return str(error).encode("ascii", "replace").decode()

"""Pages of certificates, by number or by cursor."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param

from certportal.api.pagination import PagePagination
from registry.facets import total_of
from registry.models import Certificate
from registry.paging import PAGED_AT_MOST, counted_up_to

CURSOR = OpenApiParameter(
    "cursor",
    OpenApiTypes.STR,
    description=(
        "Turn pages from a place instead of by number: empty for the first page, afterwards what `next` "
        "says. Goes with one `ordering`, and only forwards."
    ),
)
_LONGEST_CURSOR = 600  # characters


class CertificationPagination(PagePagination):
    """Counts exactly up to ten thousand; beyond, `count` is the least and `next` goes on by cursor."""

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        """The rows of the page that is asked for."""
        self.request = request
        self.address = request.build_absolute_uri()
        self.rows = queryset
        self.size = self.get_page_size(request)
        known = total_of(view.filters) if hasattr(view, "filters") else None
        self.count, self.is_least = (known, False) if known is not None else counted_up_to(queryset)
        if "cursor" in request.query_params:
            return self._from_cursor(request.query_params["cursor"])
        return self._from_number(request.query_params.get("page", "") or "1")

    def _from_number(self, asked: str) -> list[Any]:
        number = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 9 else 0  # noqa: PLR2004
        first = (number - 1) * self.size
        if number < 1 or first >= max(min(self.count, PAGED_AT_MOST), 1):
            raise exceptions.NotFound(_("There is no such page."))
        found = list(self.rows[first : first + self.size + 1])
        shown = found[: self.size]
        url = self.address
        self.next = self.previous = None
        if len(found) > self.size:
            if first + self.size < PAGED_AT_MOST:
                self.next = replace_query_param(url, "page", number + 1)
            else:
                self.next = self._cursor_url(shown[-1])
        if number > 1:
            before = remove_query_param(url, "page")
            self.previous = before if number == 2 else replace_query_param(url, "page", number - 1)  # noqa: PLR2004
        return shown

    # --- By cursor -------------------------------------------------------------------------------------

    def _order(self) -> tuple[str, bool]:
        """The column that decides the order, and whether it descends."""
        order = [str(name) for name in self.rows.query.order_by]
        if len(order) != 2:  # noqa: PLR2004 - the column and the tie-break
            raise _bad_cursor(_("A cursor goes with one ordering."))
        return order[0].lstrip("-"), order[0].startswith("-")

    def _from_cursor(self, text: str) -> list[Any]:
        column, descends = self._order()
        rows = self.rows
        if text:
            value, pk = _read_cursor(text, column)
            than = "lt" if descends else "gt"
            try:
                # The first condition alone is what an index can begin at.
                rows = rows.filter(
                    Q(**{f"{column}__{than}e": value}),
                    Q(**{f"{column}__{than}": value}) | Q(**{f"pk__{than}": pk}),
                )
            except (ValidationError, ValueError, TypeError) as error:
                raise _bad_cursor(_("This is no cursor of this list.")) from error
        found = list(rows[: self.size + 1])
        self.next = self._cursor_url(found[self.size - 1]) if len(found) > self.size else None
        self.previous = None
        return found[: self.size]

    def _cursor_url(self, last: Certificate) -> str:
        column, _descends = self._order()
        value = getattr(last, column)
        text = json.dumps([column, value.isoformat() if hasattr(value, "isoformat") else value, last.pk])
        cursor = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
        return replace_query_param(remove_query_param(self.address, "page"), "cursor", cursor)

    # --- The answer --------------------------------------------------------------------------------------

    def get_paginated_response(self, data: Any) -> Response:
        body = {"count": self.count, "next": self.next, "previous": self.previous, "results": data}
        if self.is_least:
            body["count_is_least"] = True
        return Response(body)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        described: dict[str, Any] = super().get_paginated_response_schema(schema)
        described["properties"]["count_is_least"] = {
            "type": "boolean",
            "example": False,
            "description": "There, and true, where more than `count` match: counting stops at 10,000.",
        }
        return described


def _bad_cursor(message: str) -> exceptions.ValidationError:
    return exceptions.ValidationError({"cursor": [exceptions.ErrorDetail(message, code="bad_cursor")]})


def _read_cursor(text: str, column: str) -> tuple[Any, int]:
    message = _("This is no cursor of this list.")
    if len(text) > _LONGEST_CURSOR or not text.isascii():
        raise _bad_cursor(message)
    try:
        read = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error) as error:
        raise _bad_cursor(message) from error
    if not (isinstance(read, list) and len(read) == 3 and read[0] == column):  # noqa: PLR2004 - as written
        raise _bad_cursor(_("This cursor belongs to another ordering."))
    value, pk = read[1:]
    if not isinstance(value, str) or "\x00" in value or type(pk) is not int or not 0 <= pk < 2**63:
        raise _bad_cursor(message)
    return value, pk

"""Pages of API lists."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request


class PagePagination(PageNumberPagination):
    """``count next previous results``; a hundred rows a page at most, whatever is asked."""

    page_size = 25
    page_size_query_param = "page_size"
    max_page_size = 100

    def get_page_size(self, request: Request) -> int:
        """Rows a page. What is no positive number is refused, not silently replaced."""
        asked = request.query_params.get(self.page_size_query_param, "")
        if not asked:
            return self.page_size
        if not (asked.isascii() and asked.isdigit()) or int(asked[:9]) < 1:
            raise exceptions.ValidationError({self.page_size_query_param: ["A positive number is needed."]})
        return min(int(asked[:9]), self.max_page_size)

    def get_page_number(self, request: Request, paginator: Any) -> str:
        """The number asked for, in the digits of the addresses; the first where none is."""
        asked: str = request.query_params.get(self.page_query_param, "") or "1"
        if not (asked.isascii() and asked.isdigit() and len(asked) < 10):  # noqa: PLR2004 - more than any list has
            raise exceptions.NotFound(_("There is no such page."))
        return asked

"""Pages of lists that may be very long: counting stops where nobody turns pages any more."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.core.paginator import Paginator

from registry.facets import Facets

PAGED_AT_MOST = 10_000  # rows


def counted_up_to(rows: Any, limit: int = PAGED_AT_MOST) -> tuple[int, bool]:
    """How many `rows` there are, and whether there are more than the `limit` returned."""
    number = rows.order_by().values("pk")[: limit + 1].count()
    return min(number, limit), number > limit


class KnownPaginator(Paginator):  # type: ignore[type-arg]
    """Pages of rows whose number is known without counting them."""

    def __init__(self, rows: Any, per_page: int, total: int) -> None:
        super().__init__(rows, per_page)
        self.total = total

    @cached_property
    def count(self) -> int:
        """Rows on all pages: no more than can be turned to in reasonable time."""
        return min(self.total, PAGED_AT_MOST)


class ListPaginator(KnownPaginator):
    """Pages of the list, as its facets counted them. `is_least` says that there are more than `total`."""

    def __init__(self, rows: Any, per_page: int, counted: Facets | None) -> None:
        super().__init__(rows, per_page, counted.total if counted else 0)
        self.is_least = counted is not None and counted.is_least

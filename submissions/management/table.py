"""Tables that commands print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from django.core.management.base import OutputWrapper

from submissions.services.importing import Outcome


def print_outcomes(out: OutputWrapper, outcomes: Iterable[Outcome]) -> None:
    """Print a line for each outcome as it comes, and the sums at the end."""
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        counts[outcome.result] += 1
        out.write(f"{outcome.result:<10} {outcome.name:<32} {outcome.detail}")
    sums = ", ".join(f"{counts[result]} {result}" for result in ("imported", "unchanged", "refused"))
    out.write(sums if counts else "There is nothing to import in this folder.")

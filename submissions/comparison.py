"""A run beside the runs before it: which verdicts changed, and whether what was observed did. Reads only."""

from __future__ import annotations

from dataclasses import dataclass

from submissions.models import CheckEvidence, CheckResult, VerificationRun
from submissions.states import RunStatus

OBSERVATIONS = "observations.json"
LOOKED_BACK = 20


@dataclass(frozen=True, slots=True)
class Change:
    """A requirement whose verdict is another than in the newest earlier run that checked it."""

    before: CheckResult
    after: CheckResult
    same_observations: bool

    @property
    def id(self) -> str:
        return str(self.after.requirement_id)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed since earlier runs of the same submission."""

    changes: tuple[Change, ...]
    unchanged: int
    first_seen: int

    @property
    def suspicious(self) -> int:
        """Verdicts that changed although the same was observed."""
        return sum(1 for change in self.changes if change.same_observations)


def compare(run: VerificationRun) -> Comparison | None:
    """Compare a finished run with those before it; None where there is nothing to compare with.

    Each requirement is compared with the newest earlier run that checked it, so that runs of single
    requirements compare as well.
    """
    if run.status != RunStatus.FINISHED:
        return None
    earlier = list(
        VerificationRun.objects.finished()
        .filter(submission=run.submission_id, finished_at__lt=run.finished_at)
        .order_by("-finished_at", "-pk")
        .values_list("pk", flat=True)[:LOOKED_BACK]
    )
    if not earlier:
        return None
    place = {pk: position for position, pk in enumerate(earlier)}
    checked = CheckResult.objects.filter(run__in=earlier, finished_at__isnull=False).select_related("run")
    before: dict[str, CheckResult] = {}
    for result in sorted(checked.defer("run__report"), key=lambda row: place[row.run_id]):
        before.setdefault(result.requirement_id, result)
    results = [row for row in run.results.all() if row.finished_at is not None]
    turned = [
        (before[row.requirement_id], row)
        for row in results
        if row.requirement_id in before and before[row.requirement_id].status != row.status
    ]
    seen = _observations([row.pk for pair in turned for row in pair])
    return Comparison(
        changes=tuple(Change(old, new, _is_same(old, new, seen)) for old, new in turned),
        unchanged=sum(row.requirement_id in before for row in results) - len(turned),
        first_seen=sum(row.requirement_id not in before for row in results),
    )


def _observations(results: list[int]) -> dict[int, str]:
    """The digest of what each check observed, by its result."""
    found = CheckEvidence.objects.filter(result__in=results, name=OBSERVATIONS)
    return dict(found.values_list("result_id", "sha256"))


def _is_same(old: CheckResult, new: CheckResult, seen: dict[int, str]) -> bool:
    """Whether both runs observed the same; what a check computed says so, else its reason and sentence."""
    if old.pk in seen and new.pk in seen:
        return seen[old.pk] == seen[new.pk]
    return (old.reason, old.message) == (new.reason, new.message)

"""A run beside the runs before it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from submissions.comparison import compare
from submissions.models import CheckEvidence, CheckResult, VerificationRun
from submissions.states import RunStatus
from tests.submissions.cast import Cast
from tests.submissions.factories import RunFactory
from tests.submissions.reviewing import handed_in, reviewer


def run_of(cast: Cast, minutes_ago: int, **verdicts: str) -> VerificationRun:
    run = RunFactory(submission=cast.submission, cluster=cast.cluster, verdicts=verdicts)
    at = timezone.now() - timedelta(minutes=minutes_ago)
    VerificationRun.objects.filter(pk=run.pk).update(finished_at=at)
    run.refresh_from_db()
    return run


def result(run: VerificationRun, requirement_id: str = "gang_scheduling") -> CheckResult:
    return run.results.get(requirement_id=requirement_id)


def observe(run: VerificationRun, digest: str) -> None:
    CheckEvidence.objects.create(
        result=result(run),
        name="observations.json",
        media_type="application/json",
        sha256=digest,
        size=2,
        content=b"{}",
    )


@pytest.fixture(autouse=True)
def _without_the_first_run(cast: Cast) -> None:
    cast.run.delete()


def test_first_run_has_nothing_to_compare_with(cast: Cast) -> None:
    assert compare(run_of(cast, 1, gang_scheduling="pass")) is None


def test_changed_unchanged_and_new_verdicts_are_told_apart(cast: Cast) -> None:
    before = run_of(cast, 9, gang_scheduling="fail", dra_support="pass")
    after = run_of(cast, 1, gang_scheduling="pass", dra_support="pass", robust_controller="pass")
    CheckResult.objects.filter(run=after).update(reason="bound", message="All started.")

    found = compare(after)

    assert found is not None
    assert [(c.id, c.before.status, c.after.status, c.before.run) for c in found.changes] == [
        ("gang_scheduling", "fail", "pass", before)
    ]
    assert (found.unchanged, found.first_seen, found.suspicious) == (1, 1, 0)


def test_each_requirement_is_compared_with_the_newest_run_that_checked_it(cast: Cast) -> None:
    older = run_of(cast, 9, gang_scheduling="fail", dra_support="fail")
    newer = run_of(cast, 5, gang_scheduling="pass")
    after = run_of(cast, 1, gang_scheduling="fail", dra_support="pass")

    found = compare(after)

    assert found is not None
    assert {c.id: c.before.run for c in found.changes} == {"gang_scheduling": newer, "dra_support": older}


@pytest.mark.parametrize(("digests", "suspicious"), [(("a" * 64, "a" * 64), 1), (("a" * 64, "b" * 64), 0)])
def test_verdict_that_changed_with_no_change_of_observations_is_flagged(
    cast: Cast, digests: tuple[str, str], suspicious: int
) -> None:
    before, after = run_of(cast, 9, gang_scheduling="fail"), run_of(cast, 1, gang_scheduling="pass")
    for run, digest in zip((before, after), digests, strict=True):
        observe(run, digest)

    found = compare(after)

    assert found is not None
    assert (len(found.changes), found.suspicious) == (1, suspicious)


def test_same_reason_and_sentence_with_another_verdict_is_flagged(cast: Cast) -> None:
    run_of(cast, 9, gang_scheduling="fail")

    found = compare(run_of(cast, 1, gang_scheduling="pass"))

    assert found is not None
    assert found.suspicious == 1


def test_runs_that_did_not_finish_are_neither_compared_nor_compared_with(cast: Cast) -> None:
    broken = run_of(cast, 9, gang_scheduling="fail")
    VerificationRun.objects.filter(pk=broken.pk).update(status=RunStatus.ERRORED, outcome="")
    after = run_of(cast, 1, gang_scheduling="pass")
    broken.refresh_from_db()

    assert compare(broken) is None
    assert compare(after) is None


def test_comparing_costs_a_fixed_number_of_queries(cast: Cast, django_assert_num_queries: Any) -> None:
    ids = cast.submission.checklist.requirements.values_list("requirement_id", flat=True)
    for minutes in range(9, 1, -1):
        run_of(cast, minutes, **dict.fromkeys(ids, "fail" if minutes % 2 else "pass"))
    after = run_of(cast, 1, **dict.fromkeys(ids, "fail"))

    with django_assert_num_queries(4):
        found = compare(after)

    assert found is not None
    assert len(found.changes) == len(ids)


def test_run_page_tells_what_changed_and_what_is_odd(cast: Cast) -> None:
    before, after = run_of(cast, 9, gang_scheduling="fail"), run_of(cast, 1, gang_scheduling="pass")

    page = cast.browser("viewer").get(reverse("submissions:run", args=[after.uuid])).content.decode()

    assert "Compared with earlier runs" in page
    assert "1 verdict changed with no change of results" in page
    assert reverse("submissions:run", args=[before.uuid]) in page


def test_fragment_of_a_run_that_just_ended_brings_the_comparison(cast: Cast) -> None:
    run_of(cast, 9, gang_scheduling="fail")
    after = run_of(cast, 1, gang_scheduling="pass")

    page = (
        cast.browser("viewer")
        .get(reverse("submissions:run", args=[after.uuid]), {"seen": "x"}, headers={"HX-Request": "true"})
        .content.decode()
    )

    assert '<div id="run-comparison" hx-swap-oob="true">' in page
    assert "Compared with earlier runs" in page


def test_reviewers_see_the_comparison_too(db: None, settings: Any) -> None:
    settings.REVIEWERS_NEED_MFA = False
    submission = handed_in()
    first = RunFactory(submission=submission, verdicts={"gang_scheduling": "fail"})
    VerificationRun.objects.filter(pk=first.pk).update(finished_at=timezone.now() - timedelta(hours=1))
    second = RunFactory(submission=submission, cluster=first.cluster, verdicts={"gang_scheduling": "pass"})
    client = Client()
    client.force_login(reviewer())

    page = client.get(reverse("admin:review_run", args=[second.uuid])).content.decode()

    assert "Compared with earlier runs" in page
    assert reverse("admin:review_run", args=[first.uuid]) in page

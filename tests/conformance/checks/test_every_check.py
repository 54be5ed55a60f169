"""What every check has to do alike: notice its defects, and blame nobody for what it could not see.

That each check names a right that is missing is seen in `engine/test_least_privilege.py`, one right
after another.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from conformance import checks
from tests.conformance.checks import trial
from tests.conformance.checks.particulars import NEVER, TABLE, USUAL, Said
from tests.conformance.engine import world


def defects() -> Iterator[tuple[str, str, Said]]:
    for check_id, particulars in TABLE.items():
        for profile, due in particulars.verdicts.items():
            yield check_id, profile, due


def answers() -> Iterator[tuple[str, str, str, Said]]:
    for check_id, particulars in TABLE.items():
        for request in particulars.requests:
            for answer in USUAL:
                yield check_id, request, answer, particulars.of(request, answer)


def test_every_check_is_in_the_table() -> None:
    assert list(TABLE) == list(checks.load())


@pytest.mark.parametrize("check_id", list(checks.load()))
def test_nothing_is_missing_from_an_entry(check_id: str) -> None:
    particulars = TABLE[check_id]

    assert particulars.requests
    assert "fail" in {status for status, _ in particulars.verdicts.values()}
    # What is said to be unusual is tried, and is.
    for (request, answer), due in particulars.unusual.items():
        assert request in particulars.requests
        assert due != USUAL[answer]


@pytest.mark.cluster
@pytest.mark.parametrize(("check_id", "profile", "due"), list(defects()))
def test_defect_is_noticed(check_id: str, profile: str, due: Said) -> None:
    result = trial.looked(profile, check_id, due)

    assert trial.said(result) == due
    # Whoever is blamed, or left in doubt, is shown why.
    assert result.evidence or due[0] == "error"


@pytest.mark.cluster
@pytest.mark.parametrize(("check_id", "request_", "answer", "due"), list(answers()))
def test_answer_that_shows_nothing_of_the_platform_is_an_error(
    check_id: str, request_: str, answer: str, due: Said
) -> None:
    trouble = f"stalls:{request_}" if answer == NEVER else f"errors:{answer}:{request_}"
    options = {"timeout": 2} if answer == NEVER else {}

    result = trial.looked(f"{trouble}@{trial.version_for(check_id)}", check_id, due, **options)

    assert trial.said(result) == due


@pytest.mark.cluster
@pytest.mark.parametrize("check_id", list(TABLE))
def test_engine_running_out_of_time_is_an_error_and_not_the_platforms_failure(check_id: str) -> None:
    particulars = TABLE[check_id]
    profile = particulars.waits_on
    if profile.startswith("stalls:"):
        profile = f"{profile}@{trial.version_for(check_id)}"
    with world.occupied(profile) as cluster:
        result = trial.observe(cluster, check_id, timeout=30, budget=timedelta(seconds=particulars.seconds))

    assert trial.said(result) == ("error", "budget")

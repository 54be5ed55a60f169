"""What a file of test output says, whatever its format."""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

MAX_BYTES: Final = 32 * 1024 * 1024
MAX_TESTS: Final = 200_000
MAX_FLAWS: Final = 20
MAX_NAME: Final = 1_000


class Format(enum.StrEnum):
    """A kind of test output. LOG is what ``go test -v`` or Ginkgo prints."""

    JUNIT = "junit"
    GO_JSON = "go-json"
    LOG = "log"


class Verdict(enum.StrEnum):
    """What became of a test. NOT_RUN was listed or started and has no result."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_RUN = "not run"


class FlawCode(enum.StrEnum):
    """Why a file cannot be taken at face value."""

    MALFORMED = "malformed"
    TRUNCATED = "truncated"
    INCONSISTENT = "inconsistent"
    TOO_LARGE = "too_large"


@dataclass(frozen=True, slots=True)
class Flaw:
    code: FlawCode
    message: str


@dataclass(frozen=True, slots=True)
class TestResult:
    """One test. `group` is its package or class, `duration` in seconds where the output says it."""

    __test__ = False  # not a test class, whatever pytest thinks of its name

    name: str
    verdict: Verdict
    duration: float | None = None
    group: str = ""


@dataclass(frozen=True, slots=True)
class Results:
    """What a file of test output says.

    `executed` and `failed` count tests that ran; they may exceed the named `tests`, since a terse log
    names none.
    """

    format: Format
    tests: tuple[TestResult, ...]
    flaws: tuple[Flaw, ...]
    executed: int
    failed: int

    def find(self, name: str) -> TestResult | None:
        """The test called `name` with its subtests taken together; None where it is not listed.

        A test fails with any of its subtests, and has not run if every subtest was skipped.
        """
        exact = [test for test in self.tests if _is_called(test, name)]
        below = [test for test in self.tests if test.name.startswith(f"{name}/")]
        if not exact and not below:
            return None
        verdict = _together(test.verdict for test in exact or below)
        under = {test.verdict for test in below}
        if Verdict.FAILED in under:
            verdict = Verdict.FAILED
        elif verdict is Verdict.PASSED and under and Verdict.PASSED not in under:
            verdict = Verdict.SKIPPED
        durations = [test.duration for test in exact if test.duration is not None]
        return TestResult(name, verdict, max(durations, default=None), (exact or below)[0].group)


def _is_called(test: TestResult, name: str) -> bool:
    return name in {test.name, test.name.removeprefix("[It] "), f"{test.group}.{test.name}"}


_WEIGHT = {Verdict.FAILED: 3, Verdict.PASSED: 2, Verdict.SKIPPED: 1, Verdict.NOT_RUN: 0}


def _together(verdicts: Iterable[Verdict]) -> Verdict:
    return max(verdicts, key=_WEIGHT.__getitem__)


_LINES: Final = re.compile(r"[^\r\n]+")


def lines_of(text: str) -> Iterator[str]:
    """The lines of `text` that are not empty, without holding them all at once."""
    return (match[0] for match in _LINES.finditer(text))


def seconds(text: object) -> float | None:
    """The duration `text` says, None where it says none."""
    try:
        value = float(str(text).replace(",", ""))
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


# Ginkgo lists the set-up and reporting of a suite beside its tests; they pass without a test running.
_SUITE_NODE: Final = re.compile(
    r"\[(?:Report|Synchronized)?(?:Before|After)Suite\]|\[DeferCleanup \(Suite\)\]|\[ReportEntry\]"
)


def counted(kind: Format, tests: list[TestResult], flaws: list[Flaw]) -> Results:
    """Results with their counts taken from the tests themselves."""
    ran = [test for test in tests if test.verdict in {Verdict.PASSED, Verdict.FAILED}]
    executed = [test for test in ran if not _SUITE_NODE.match(test.name)]
    failed = sum(test.verdict is Verdict.FAILED for test in ran)
    return Results(kind, tuple(tests), tuple(flaws[:MAX_FLAWS]), max(len(executed), failed), failed)


def unrun(tests: list[TestResult]) -> list[TestResult]:
    """Tests that passed around a suite which ran nothing have shown nothing."""
    return [
        TestResult(test.name, Verdict.NOT_RUN, test.duration, test.group)
        if test.verdict is Verdict.PASSED
        else test
        for test in tests
    ]

"""Logs of a verbose run: what ``go test -v`` prints, what Ginkgo prints, and one inside the other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from conformance.artefacts.results import (
    MAX_NAME,
    MAX_TESTS,
    Flaw,
    FlawCode,
    Format,
    Results,
    TestResult,
    Verdict,
    counted,
    lines_of,
    seconds,
    unrun,
)

_SIGNS: Final = re.compile(
    r"^[^\n]{0,80}?(?:--- (?:PASS|FAIL|SKIP): \S|=== RUN\s+\S|Running Suite: |"
    r"Ran \d+ of \d+ Specs? in |Will run \d+ of \d+ specs)",
    re.MULTILINE | re.IGNORECASE,
)
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_STAMP = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}[\d.,:+Z-]*\s")
_MAX_LINE: Final = 20_000
_VERDICT_LINE = re.compile(r"\s*--- (PASS|FAIL|SKIP): (\S+)(?: \((\d+(?:\.\d+)?)(?:s| seconds)\))?\s*$")
_RUN_LINE = re.compile(r"\s*=== RUN\s+(\S+)\s*$")
_PACKAGE_LINE = re.compile(r"(ok|FAIL)\s+(\S+)\s+(?:\(cached\)|\d+(?:\.\d+)?s|\[[a-z ]+ failed\])(.*)$")
_RAN_LINE = re.compile(r"\s*Ran (\d+) of (\d+) Specs? in ", re.IGNORECASE)
_SUITE_LINE = re.compile(
    r"\s*(SUCCESS|FAIL)!.*?-- (\d+) Passed \| (\d+) Failed \| (?:\d+ Flaked \| )?"
    r"\d+ Pending \| \d+ Skipped",
    re.IGNORECASE,
)
_BULLET_LINE = re.compile(
    r"\s*(•|\+|[SP])\s+(?:(Failure|Panic)\b.*|((?:\[[^\[\]]{1,60}\]\s*)+))$", re.IGNORECASE
)
_MESSAGE_LINE = re.compile(r'"msg":"(PASSED|FAILED|SKIPPED) ([^"]{1,1000})"')
_DOTS = frozenset("SP•F")
_LOG_VERDICTS = {
    "PASS": Verdict.PASSED,
    "FAIL": Verdict.FAILED,
    "SKIP": Verdict.SKIPPED,
    "PASSED": Verdict.PASSED,
    "FAILED": Verdict.FAILED,
    "SKIPPED": Verdict.SKIPPED,
}
_DIED_SIGNS = ("panic: ", "[build failed]", "[setup failed]", "fatal error: ", "exit status ", "signal: ")


@dataclass(slots=True)
class Log:
    """What a log says: verdicts of Go tests and of Ginkgo specs, and the summaries of both."""

    tests: list[TestResult] = field(default_factory=list)
    specs: list[TestResult] = field(default_factory=list)
    open: dict[str, None] = field(default_factory=dict)
    finals: list[Verdict] = field(default_factory=list)
    suites_started: int = 0
    summaries: list[tuple[Verdict, int, int]] = field(default_factory=list)  # verdict, passed, failed
    ran: list[int] = field(default_factory=list)
    passes_seen: int = 0
    failures_seen: int = 0
    died: bool = False

    @property
    def is_hollow(self) -> bool:
        """Ginkgo ran, and ran no spec."""
        return bool(self.ran) and sum(self.ran) == 0

    def ginkgo_flaws(self) -> Iterator[Flaw]:
        if self.suites_started > len(self.ran):
            yield Flaw(FlawCode.TRUNCATED, "the suite started and its summary is missing")
        passed = sum(summary[1] for summary in self.summaries)
        failed = sum(summary[2] for summary in self.summaries)
        for verdict, _, suite_failed in self.summaries:
            if (verdict is Verdict.FAILED) != bool(suite_failed) and not (
                verdict is Verdict.FAILED and self.died
            ):
                said = "success" if verdict is Verdict.PASSED else "failure"
                yield Flaw(FlawCode.INCONSISTENT, f"the summary says {said} and counts {suite_failed} failed")
        if self.summaries and len(self.summaries) == len(self.ran) and sum(self.ran) != passed + failed:
            message = f"the summary counts {passed + failed} results of {sum(self.ran)} specs that ran"
            yield Flaw(FlawCode.INCONSISTENT, message)
        if not self.summaries or not self.passes_seen + self.failures_seen:
            return
        if self.failures_seen != failed:
            message = f"the log shows {self.failures_seen} failed specs and its summary counts {failed}"
            yield Flaw(FlawCode.INCONSISTENT, message)
        if self.passes_seen != passed:
            message = f"the log shows {self.passes_seen} passed specs and its summary counts {passed}"
            yield Flaw(FlawCode.INCONSISTENT, message)

    def go_flaws(self) -> Iterator[Flaw]:
        if not self.tests and not self.open:
            return
        if not self.finals:
            yield Flaw(FlawCode.TRUNCATED, "the log has no final result; it breaks off")
            return
        failed = [test.name for test in self.tests if test.verdict is Verdict.FAILED]
        if Verdict.FAILED not in self.finals:
            if failed:
                yield Flaw(FlawCode.INCONSISTENT, f"the log ends with a pass although {failed[0]} failed")
            if self.open:
                name = next(iter(self.open))
                yield Flaw(FlawCode.INCONSISTENT, f"the log ends with a pass although {name} has no result")
        elif not failed and not self.open and not self.died:
            yield Flaw(FlawCode.INCONSISTENT, "the log ends with a failure and shows no failed test")
        yield from family_flaws(self.tests)


def looks_like_one(text: str) -> bool:
    return bool(_SIGNS.search(_ANSI.sub("", text)))


def read(text: str) -> Results:
    log = scan(lines_of(text))
    tests = log.tests + [TestResult(name, Verdict.NOT_RUN) for name in log.open]
    flaws = [*log.go_flaws(), *log.ginkgo_flaws()]
    results = counted(Format.LOG, (unrun(tests) if log.is_hollow else tests) + log.specs, flaws)
    failed = max(results.failed, log.failures_seen, sum(summary[2] for summary in log.summaries))
    summed = sum(passed + bad for _, passed, bad in log.summaries)
    executed = max(results.executed, sum(log.ran), summed, log.passes_seen + log.failures_seen, failed)
    return Results(
        results.format, results.tests, results.flaws, failed if log.is_hollow else executed, failed
    )


def family_flaws(tests: Iterable[TestResult]) -> Iterator[Flaw]:
    """A parent that passes above a failed subtest: Go never prints that."""
    verdicts = {test.name: test.verdict for test in tests}
    for name, verdict in verdicts.items():
        parent = name.rpartition("/")[0]
        if verdict is Verdict.FAILED and verdicts.get(parent) is Verdict.PASSED:
            yield Flaw(FlawCode.INCONSISTENT, f"{parent} is said to pass although {name} failed")


def scan(lines: Iterable[str]) -> Log:
    """Read what `lines` say, without judging it."""
    log = Log()
    block = _Block()
    for raw in lines:
        line = _ANSI.sub("", raw[:_MAX_LINE]).rstrip()
        if line.startswith("20") and (stamp := _STAMP.match(line)):
            line = line[stamp.end() :]
        if line and not block.take(log, line):
            _take(log, line)
        if len(log.tests) + len(log.specs) + len(log.open) > MAX_TESTS:
            break
    return log


@dataclass(slots=True)
class _Block:
    """The part of a Ginkgo log between two rulers, which tells of one spec.

    A passed spec has its title before the verdict, a failed or skipped one behind it.
    """

    is_fresh: bool = False
    title: str = ""
    waiting: Verdict | None = None

    def take(self, log: Log, line: str) -> bool:
        """True where the line was the block's own and says nothing else."""
        if line.startswith("-----"):
            self.is_fresh, self.title, self.waiting = True, "", None
            return True
        fresh, self.is_fresh = self.is_fresh, False
        if self.waiting is not None and not line.startswith((" ", "/")):
            log.specs.append(_spec(line, self.waiting))
            self.waiting = None
            return True
        if bullet := _BULLET_LINE.match(line):
            self._take_bullet(log, _bullet_verdict(bullet))
            return True
        if fresh and not line.startswith(" "):
            self.title = line
        return False

    def _take_bullet(self, log: Log, verdict: Verdict) -> None:
        log.passes_seen += verdict is Verdict.PASSED
        log.failures_seen += verdict is Verdict.FAILED
        if self.title:
            log.specs.append(_spec(self.title, verdict))
        elif verdict is not Verdict.PASSED:
            self.waiting = verdict
        self.title = ""


def _spec(title: str, verdict: Verdict) -> TestResult:
    return TestResult(title.replace("[It] ", "").strip()[:MAX_NAME], verdict)


def _bullet_verdict(bullet: re.Match[str]) -> Verdict:
    words = f"{bullet[2] or ''}{bullet[3] or ''}".upper()
    if any(word in words for word in ("FAIL", "PANIC", "TIMEDOUT", "INTERRUPTED", "ABORTED")):
        return Verdict.FAILED
    if bullet[1] == "S" or "SKIP" in words:
        return Verdict.SKIPPED
    return Verdict.NOT_RUN if bullet[1] == "P" or "PENDING" in words else Verdict.PASSED


def _take(log: Log, line: str) -> None:  # noqa: C901 - one branch for each kind of line
    if "--- " in line and (match := _VERDICT_LINE.match(line)):
        name = match[2][:MAX_NAME]
        log.open.pop(name, None)
        log.tests.append(TestResult(name, _LOG_VERDICTS[match[1]], seconds(match[3])))
    elif "=== RUN" in line and (match := _RUN_LINE.match(line)):
        log.open[match[1][:MAX_NAME]] = None
    elif line in {"PASS", "FAIL"}:
        log.finals.append(_LOG_VERDICTS[line])
    elif line.startswith(("ok", "FAIL")) and (match := _PACKAGE_LINE.match(line)):
        log.finals.append(Verdict.PASSED if match[1] == "ok" else Verdict.FAILED)
        log.died = log.died or "failed]" in line
    elif match := _SUITE_LINE.match(line):
        verdict = Verdict.PASSED if match[1].upper() == "SUCCESS" else Verdict.FAILED
        log.summaries.append((verdict, int(match[2][:9]), int(match[3][:9])))
    elif match := _RAN_LINE.match(line):
        log.ran.append(int(match[1][:9]))
    elif "Running Suite: " in line:
        log.suites_started += 1
    elif '"msg":"' in line and (match := _MESSAGE_LINE.search(line)):
        log.specs.append(TestResult(match[2], _LOG_VERDICTS[match[1]]))
    elif "•" in line and set(line) <= _DOTS:
        log.passes_seen += line.count("•")
        log.failures_seen += line.count("F")
    elif line.startswith(_DIED_SIGNS) or "Interrupted by" in line:
        log.died = True

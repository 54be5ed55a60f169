"""The line-delimited events of ``go test -json``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from conformance.artefacts.logs import Log, family_flaws, scan
from conformance.artefacts.results import (
    MAX_FLAWS,
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

_ACTIONS = frozenset(
    {"start", "run", "pause", "cont", "pass", "bench", "fail", "output", "skip", "build-output", "build-fail"}
)
_VERDICTS = {"pass": Verdict.PASSED, "fail": Verdict.FAILED, "skip": Verdict.SKIPPED}


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def event(line: str) -> dict[str, Any] | None:
    """The event on `line`, None where it holds none."""
    found = _json(line) if line.lstrip().startswith("{") else None
    return found if isinstance(found, dict) and found.get("Action") in _ACTIONS else None


@dataclass(slots=True)
class _Package:
    """The events of one Go package. `open` holds tests without a verdict yet."""

    verdict: Verdict | None = None
    tests: list[TestResult] = field(default_factory=list)
    open: dict[str, None] = field(default_factory=dict)
    output: list[str] = field(default_factory=list)
    build_failed: bool = False


def read(text: str) -> Results:
    packages: dict[str, _Package] = {}
    flaws: list[Flaw] = []
    tests: list[TestResult] = []
    started = 0
    for found in _events(text, flaws):
        name = str(found.get("Package") or found.get("ImportPath") or "")[:MAX_NAME]
        started += found["Action"] == "run"
        if started > MAX_TESTS:
            flaws.append(Flaw(FlawCode.TOO_LARGE, f"it lists more than {MAX_TESTS} tests"))
            break
        _take(packages.setdefault(name, _Package()), name, found)
    for name, package in packages.items():
        listed = package.tests + [TestResult(open_, Verdict.NOT_RUN, None, name) for open_ in package.open]
        printed = scan(lines_of("".join(package.output)))
        flaws.extend(_flaws(name, package, printed))
        tests.extend(unrun(listed) if printed.is_hollow else listed)
    return counted(Format.GO_JSON, tests, flaws)


def _events(text: str, flaws: list[Flaw]) -> Iterator[dict[str, Any]]:
    """The events in `text`. Other lines occur (a build's messages); an event that breaks off is a flaw."""
    broken = 0
    for number, line in enumerate(lines_of(text), 1):
        if broken:
            flaws.append(Flaw(FlawCode.MALFORMED, f"line {broken} is no valid JSON"))
            broken = 0
            if len(flaws) >= MAX_FLAWS:
                return
        if found := event(line):
            yield found
        elif line.lstrip().startswith("{") and _json(line) is None:
            broken = number
    if broken:
        flaws.append(Flaw(FlawCode.TRUNCATED, f"line {broken} is cut off"))


def _take(package: _Package, group: str, found: dict[str, Any]) -> None:
    action = found["Action"]
    test = found.get("Test")
    if action == "output":
        package.output.append(str(found.get("Output", "")))
    elif action == "build-fail":
        package.build_failed = True
    elif isinstance(test, str) and test:
        test = test[:MAX_NAME]
        if action == "run":
            package.open[test] = None
        elif action in _VERDICTS:
            package.open.pop(test, None)
            verdict = _VERDICTS[action]
            package.tests.append(TestResult(test, verdict, seconds(found.get("Elapsed", "")), group))
    elif action in _VERDICTS:
        package.verdict = _VERDICTS[action]


def _flaws(name: str, package: _Package, printed: Log) -> Iterator[Flaw]:
    where = f"package {name}" if name else "the run"
    failed = [test.name for test in package.tests if test.verdict is Verdict.FAILED]
    if package.verdict is None:
        if not package.build_failed:
            yield Flaw(FlawCode.TRUNCATED, f"{where} has no result; the output breaks off")
    elif package.verdict is not Verdict.FAILED:
        if failed:
            yield Flaw(FlawCode.INCONSISTENT, f"{where} is said to pass although {failed[0]} failed")
        if package.open:
            yield Flaw(
                FlawCode.INCONSISTENT,
                f"{where} is said to pass although {next(iter(package.open))} has no result",
            )
    elif package.verdict is Verdict.FAILED and not (
        failed or package.open or package.build_failed or printed.died
    ):
        yield Flaw(FlawCode.INCONSISTENT, f"{where} is said to fail although none of its tests did")
    said = {test.name: test.verdict for test in package.tests}
    for test in printed.tests:
        if said.get(test.name, test.verdict) is not test.verdict:
            message = f"{test.name} is recorded as {said[test.name]}, but printed {test.verdict}"
            yield Flaw(FlawCode.INCONSISTENT, message)
    yield from family_flaws(package.tests)
    yield from printed.ginkgo_flaws()

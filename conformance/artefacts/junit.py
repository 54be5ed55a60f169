"""JUnit XML, as Go tools, Ginkgo, pytest and googletest write it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

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
    seconds,
)

MAX_DEPTH: Final = 40
MAX_ELEMENTS: Final = 2_000_000

START: Final = re.compile(r"<\?xml|<!--|<!DOCTYPE|<testsuites?[\s>/]", re.IGNORECASE)
_FAILED_WORDS = frozenset(
    {"failed", "failure", "error", "errored", "timedout", "timeout", "panicked", "interrupted", "aborted"}
)
_NOT_RUN_WORDS = frozenset({"pending", "disabled", "notrun", "not run", "suppressed", "ignored"})


class _Refused(Exception):  # noqa: N818 - the document is turned down, nothing failed
    pass


@dataclass(slots=True)
class _Suite:
    """An open testsuite: what its attributes declare and what was counted inside."""

    name: str
    declared_tests: int | None
    declared_bad: int | None
    tests: int = 0
    bad: int = 0


@dataclass(slots=True)
class _Case:
    name: str
    group: str
    said: str
    duration: float | None
    marks: set[str] = field(default_factory=set)


class _JUnit:
    def __init__(self) -> None:
        self.tests: list[TestResult] = []
        self.flaws: list[Flaw] = []
        self._suites: list[_Suite] = []
        self._case: _Case | None = None
        self._depth = 0
        self._elements = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._elements += 1
        if self._depth > MAX_DEPTH or self._elements > MAX_ELEMENTS:
            raise _Refused(f"it is nested deeper than {MAX_DEPTH} levels or has too many elements")
        tag = tag.rpartition(":")[2]
        if tag in {"testsuites", "testsuite"}:
            bad = [_count(attributes.get(key)) for key in ("failures", "errors")]
            declared = None if bad == [None, None] else sum(count or 0 for count in bad)
            self._suites.append(
                _Suite(attributes.get("name", tag), _count(attributes.get("tests")), declared)
            )
        elif tag == "testcase":
            if len(self.tests) >= MAX_TESTS:
                raise _Refused(f"it lists more than {MAX_TESTS} tests")
            said = attributes.get("status", "").lower()
            if attributes.get("result", "").lower() in {"skipped", "suppressed"}:
                said = attributes["result"].lower()
            self._case = _Case(
                attributes.get("name", "")[:MAX_NAME],
                attributes.get("classname", "")[:MAX_NAME],
                said,
                seconds(attributes.get("time", "")),
            )
        elif self._case is not None:
            self._case.marks.add(tag)

    def end(self, tag: str) -> None:
        self._depth -= 1
        tag = tag.rpartition(":")[2]
        if tag == "testcase" and self._case is not None:
            self._finish(self._case)
            self._case = None
        elif tag in {"testsuites", "testsuite"} and self._suites:
            self._compare(self._suites.pop())

    def _finish(self, case: _Case) -> None:
        if case.marks & {"failure", "error"} or case.said in _FAILED_WORDS:
            verdict = Verdict.FAILED
        elif "skipped" in case.marks or case.said == "skipped":
            verdict = Verdict.SKIPPED
        elif case.said in _NOT_RUN_WORDS:
            verdict = Verdict.NOT_RUN
        else:
            verdict = Verdict.PASSED
        if case.marks & {"failure", "error"} and case.said in {"passed", "success"}:
            self.flaws.append(
                Flaw(FlawCode.INCONSISTENT, f"{case.name} is marked {case.said} and holds a failure")
            )
        self.tests.append(TestResult(case.name, verdict, case.duration, case.group))
        if self._suites:
            self._suites[-1].tests += 1
            self._suites[-1].bad += verdict is Verdict.FAILED

    def _compare(self, suite: _Suite) -> None:
        if self._suites:
            self._suites[-1].tests += suite.tests
            self._suites[-1].bad += suite.bad
        # Tools disagree on what they count, so only what no way of counting explains is a flaw.
        if suite.declared_tests is not None and suite.tests < suite.declared_tests:
            message = f"{suite.name} announces {suite.declared_tests} tests and lists {suite.tests}"
            self.flaws.append(Flaw(FlawCode.INCONSISTENT, message))
        if suite.declared_bad is not None and bool(suite.declared_bad) != bool(suite.bad):
            message = f"{suite.name} announces {suite.declared_bad} failures and lists {suite.bad}"
            self.flaws.append(Flaw(FlawCode.INCONSISTENT, message))


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,9}", text) else None


def read(data: bytes) -> Results:
    reader = _JUnit()
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.EntityDeclHandler = _refuse_doctype
    try:
        parser.Parse(data, True)  # noqa: FBT003 - expat's own signature
    except _Refused as refusal:
        reader.flaws.append(Flaw(FlawCode.MALFORMED, str(refusal)))
        return Results(Format.JUNIT, (), tuple(reader.flaws), 0, 0)
    except (expat.ExpatError, ValueError, LookupError) as error:
        # ValueError and LookupError: encodings the declaration names and Python does not have.
        ended = isinstance(error, expat.ExpatError) and error.code in _ENDED
        code = FlawCode.TRUNCATED if ended else FlawCode.MALFORMED
        reader.flaws.append(
            Flaw(code, f"the XML breaks off ({error})" if ended else f"no valid XML ({error})")
        )
    return counted(Format.JUNIT, reader.tests, reader.flaws)


_ENDED = {
    expat.errors.codes[expat.errors.XML_ERROR_NO_ELEMENTS],
    expat.errors.codes[expat.errors.XML_ERROR_UNCLOSED_TOKEN],
    expat.errors.codes[expat.errors.XML_ERROR_PARTIAL_CHAR],
    expat.errors.codes[expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION],
}


def _refuse_doctype(*_: object) -> None:
    raise _Refused("it declares a document type or entities, which are not allowed")

import json

import pytest

from conformance import artefacts
from conformance.artefacts import FlawCode, Format, Results, Verdict


def read(text: str) -> Results:
    results = artefacts.read(text.encode())
    assert results is not None
    return results


def verdict(text: str, name: str) -> Verdict | None:
    found = read(text).find(name)
    return found.verdict if found else None


def flaws(text: str) -> list[FlawCode]:
    return [flaw.code for flaw in read(text).flaws]


# Recognition --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b'<?xml version="1.0"?>\n<testsuites/>', Format.JUNIT),
        (b'\xef\xbb\xbf  <testsuite name="x"/>', Format.JUNIT),
        (b"<!-- made by a tool --><testsuite/>", Format.JUNIT),
        ('<?xml version="1.0" encoding="utf-16"?><testsuite/>'.encode("utf-16"), Format.JUNIT),
        (b'{"Action":"start","Package":"p"}\n', Format.GO_JSON),
        (b'go: downloading x\n{"Action":"run","Package":"p","Test":"T"}\n', Format.GO_JSON),
        (b"=== RUN   TestX\n", Format.LOG),
        (b"noise\n--- PASS: TestX (0.00s)\n", Format.LOG),
        (b"2026-01-01T00:00:00Z === RUN   TestX\n", Format.LOG),
        (b"Running Suite: e2e\n", Format.LOG),
        (b"\x1b[1mRan 3 of 4 Specs in 1.0 seconds\x1b[0m\n", Format.LOG),
        ("=== RUN   TestX\r\n".encode("utf-16"), Format.LOG),
        (b"<html><body>testsuite</body></html>", None),
        (b"<svg/>", None),
        (b'{"a": 1}', None),
        (b"# Notes\nAll tests passed.\n", None),
        (b"", None),
        (b"\x00\xff\xfe\x01", None),
    ],
)
def test_recognise_looks_at_the_content(data: bytes, kind: Format | None) -> None:
    assert artefacts.recognise(data) is kind
    assert (artefacts.read(data) is None) == (kind is None)


def test_file_too_large_is_not_read() -> None:
    results = artefacts.read(b"=== RUN   TestX\n" + b" " * artefacts.MAX_BYTES)
    assert results is not None
    assert [flaw.code for flaw in results.flaws] == [FlawCode.TOO_LARGE]
    assert results.tests == ()


# JUnit --------------------------------------------------------------------------------------------

JUNIT = """<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="6" failures="1" errors="1">
 <testsuite name="p" tests="6" failures="1" errors="1" skipped="1">
  <properties><property name="go.version" value="x"/></properties>
  <testcase classname="p" name="TestPassed" time="1.50"/>
  <testcase classname="p" name="TestFailed" time="1,002.5"><failure message="m">text</failure></testcase>
  <testcase classname="p" name="TestError"><error/></testcase>
  <testcase classname="p" name="TestSkipped"><skipped/></testcase>
  <testcase classname="p" name="TestNotRun" status="notrun"/>
  <testcase classname="p" name="TestTimedOut" status="passed"/>
 </testsuite>
</testsuites>"""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("TestPassed", Verdict.PASSED),
        ("TestFailed", Verdict.FAILED),
        ("TestError", Verdict.FAILED),
        ("TestSkipped", Verdict.SKIPPED),
        ("TestNotRun", Verdict.NOT_RUN),
        ("p.TestPassed", Verdict.PASSED),
        ("TestPass", None),
        ("testpassed", None),
    ],
)
def test_junit_verdicts(name: str, expected: Verdict | None) -> None:
    assert verdict(JUNIT, name) is expected


def test_junit_counts_and_durations() -> None:
    results = read(JUNIT)
    assert (results.format, results.executed, results.failed, results.flaws) == (Format.JUNIT, 4, 2, ())
    assert [test.duration for test in results.tests] == [1.5, 1002.5, None, None, None, None]


@pytest.mark.parametrize("status", ["failed", "timedout", "panicked", "interrupted", "aborted"])
def test_junit_status_attribute_of_ginkgo_fails(status: str) -> None:
    text = f'<testsuite><testcase name="T" status="{status}"/></testsuite>'
    assert verdict(text, "T") is Verdict.FAILED


@pytest.mark.parametrize("status", ["pending", "disabled"])
def test_junit_status_attribute_of_ginkgo_is_no_run(status: str) -> None:
    text = f'<testsuite><testcase name="T" status="{status}"/></testsuite>'
    assert verdict(text, "T") is Verdict.NOT_RUN


def test_junit_finds_a_ginkgo_spec_without_its_prefix() -> None:
    text = '<testsuite><testcase name="[It] sharing works" status="passed"/></testsuite>'
    assert verdict(text, "sharing works") is Verdict.PASSED


def test_junit_set_up_of_a_suite_is_no_executed_test() -> None:
    text = """<testsuites><testsuite name="e2e" tests="3">
      <testcase name="[SynchronizedBeforeSuite]" status="passed"/>
      <testcase name="[ReportAfterSuite] report" status="passed"/>
      <testcase name="[It] x" status="skipped"><skipped/></testcase></testsuite></testsuites>"""
    results = read(text)
    assert (results.executed, results.failed) == (0, 0)


def test_junit_failed_set_up_counts_as_failure() -> None:
    results = read('<testsuite><testcase name="[BeforeSuite]"><failure/></testcase></testsuite>')
    assert results.failed == 1


@pytest.mark.parametrize(
    "text",
    [
        '<testsuite name="p" tests="2"><testcase name="A"/></testsuite>',
        '<testsuite name="p" tests="1" failures="1"><testcase name="A"/></testsuite>',
        '<testsuite name="p" failures="0"><testcase name="A"><failure/></testcase></testsuite>',
        '<testsuite><testcase name="A" status="passed"><failure/></testcase></testsuite>',
        '<testsuites tests="9"><testsuite><testcase name="A"/></testsuite></testsuites>',
    ],
)
def test_junit_that_contradicts_its_summary_is_inconsistent(text: str) -> None:
    assert FlawCode.INCONSISTENT in flaws(text)


def test_junit_cut_off_is_truncated_and_its_finished_tests_are_read() -> None:
    text = JUNIT[: JUNIT.index('<testcase classname="p" name="TestSkipped"')]
    assert flaws(text) == [FlawCode.TRUNCATED]
    assert verdict(text, "TestPassed") is Verdict.PASSED
    assert verdict(text, "TestSkipped") is None


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaa">]><testsuite name="&a;"/>',
        '<!DOCTYPE testsuite SYSTEM "file:///etc/passwd"><testsuite/>',
        "<testsuite>" + "<a>" * 100,
        "<testsuite></wrong>",
        "<testsuite>&undefined;</testsuite>",
        '<?xml version="1.0" encoding="no-such"?><testsuite/>',
    ],
)
def test_junit_that_is_hostile_or_broken_is_malformed(text: str) -> None:
    results = read(text)
    assert [flaw.code for flaw in results.flaws] == [FlawCode.MALFORMED]
    assert results.tests == ()


def test_too_many_tests_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conformance.artefacts.junit.MAX_TESTS", 2)
    assert flaws("<testsuite>" + '<testcase name="A"/>' * 3 + "</testsuite>") == [FlawCode.MALFORMED]


# go test -json ------------------------------------------------------------------------------------


def go(*events: tuple[str, str | None] | dict) -> str:
    lines = []
    for event in events:
        if isinstance(event, dict):
            lines.append({"Package": "p", **event})
        else:
            action, test = event
            lines.append({"Action": action, "Package": "p", **({"Test": test} if test else {})})
    return "\n".join(json.dumps(line) for line in lines) + "\n"


def output(text: str, test: str | None = None) -> dict:
    return {"Action": "output", "Output": text, **({"Test": test} if test else {})}


PASSING = go(
    ("start", None),
    ("run", "TestA"),
    output("=== RUN   TestA\n", "TestA"),
    output("--- PASS: TestA (0.10s)\n", "TestA"),
    {"Action": "pass", "Test": "TestA", "Elapsed": 0.1},
    ("run", "TestB"),
    ("skip", "TestB"),
    output("PASS\n"),
    ("pass", None),
)


def test_go_json_verdicts() -> None:
    results = read(PASSING)
    assert (results.format, results.executed, results.failed, results.flaws) == (Format.GO_JSON, 1, 0, ())
    found = results.find("TestA")
    assert found is not None
    assert (found.verdict, found.duration, found.group) == (Verdict.PASSED, 0.1, "p")
    assert verdict(PASSING, "TestB") is Verdict.SKIPPED
    assert verdict(PASSING, "p.TestA") is Verdict.PASSED


def test_go_json_passes_by_other_lines() -> None:
    text = "go: downloading\n" + PASSING + "exit status 0\n"
    assert verdict(text, "TestA") is Verdict.PASSED
    assert flaws(text) == []


def test_go_json_without_a_package_result_is_truncated() -> None:
    text = go(("start", None), ("run", "TestA"))
    assert flaws(text) == [FlawCode.TRUNCATED]
    assert verdict(text, "TestA") is Verdict.NOT_RUN


def test_go_json_cut_off_inside_a_line_is_truncated() -> None:
    assert FlawCode.TRUNCATED in flaws(PASSING[:-20])


def test_go_json_with_a_broken_line_is_malformed() -> None:
    lines = PASSING.splitlines()
    lines[3] = lines[3][:10]
    assert flaws("\n".join(lines)) == [FlawCode.MALFORMED]


@pytest.mark.parametrize(
    "text",
    [
        go(("run", "TestA"), ("fail", "TestA"), ("pass", None)),
        go(("run", "TestA"), ("pass", None)),
        go(("run", "TestA"), ("pass", "TestA"), ("fail", None)),
        go(("run", "TestA"), output("--- FAIL: TestA (0.1s)\n", "TestA"), ("pass", "TestA"), ("pass", None)),
        go(("run", "TestA"), ("run", "TestA/b"), ("fail", "TestA/b"), ("pass", "TestA"), ("fail", None)),
    ],
)
def test_go_json_that_contradicts_itself_is_inconsistent(text: str) -> None:
    assert FlawCode.INCONSISTENT in flaws(text)


def test_go_json_failed_package_with_a_reason_is_consistent() -> None:
    assert flaws(go(("fail", "TestA"), ("fail", None))) == []
    assert flaws(go({"Action": "build-fail"}, ("fail", None))) == []
    assert flaws(go(("pass", "TestA"), output("panic: oh\n"), ("fail", None))) == []


def test_go_json_around_a_suite_that_ran_nothing_has_run_nothing() -> None:
    text = go(
        ("run", "TestE2E"),
        output("Running Suite: e2e\n"),
        output("Ran 0 of 7144 Specs in 0.1 seconds\n"),
        output("SUCCESS! -- 0 Passed | 0 Failed | 0 Pending | 7144 Skipped\n"),
        ("pass", "TestE2E"),
        ("pass", None),
    )
    assert verdict(text, "TestE2E") is Verdict.NOT_RUN
    assert read(text).executed == 0


# Subtests -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parent", "children", "expected"),
    [
        ("pass", ["pass", "skip"], Verdict.PASSED),
        ("pass", ["skip", "skip"], Verdict.SKIPPED),
        ("pass", ["fail", "pass"], Verdict.FAILED),
        ("fail", ["fail"], Verdict.FAILED),
        ("skip", [], Verdict.SKIPPED),
    ],
)
def test_test_is_taken_together_with_its_subtests(
    parent: str, children: list[str], expected: Verdict
) -> None:
    events = [(action, f"TestA/{number}") for number, action in enumerate(children)]
    assert verdict(go(*events, (parent, "TestA"), ("pass", None)), "TestA") is expected


def test_subtest_is_found_by_its_own_name() -> None:
    text = go(("fail", "TestA/one"), ("pass", "TestA/two"), ("fail", "TestA"), ("fail", None))
    assert verdict(text, "TestA/two") is Verdict.PASSED
    assert verdict(text, "TestA/one") is Verdict.FAILED


def test_test_that_failed_once_has_failed() -> None:
    text = go(("fail", "TestA"), ("pass", "TestA"), ("fail", None))
    assert verdict(text, "TestA") is Verdict.FAILED


# Logs ---------------------------------------------------------------------------------------------

LOG = """=== RUN   TestA
=== RUN   TestA/one
    x_test.go:3: hello
--- PASS: TestA (0.10s)
    --- PASS: TestA/one (0.05s)
=== RUN   TestB
    x_test.go:9: no device
--- SKIP: TestB (0.00s)
PASS
ok  \texample.org/test\t1.234s
"""


def test_log_verdicts() -> None:
    results = read(LOG)
    assert (results.format, results.executed, results.failed, results.flaws) == (Format.LOG, 2, 0, ())
    assert verdict(LOG, "TestA/one") is Verdict.PASSED
    assert verdict(LOG, "TestB") is Verdict.SKIPPED
    assert verdict(LOG, "TestC") is None


def test_log_with_time_stamps_and_colours_is_read() -> None:
    text = "".join(f"2026-05-06T09:43:01.03Z \x1b[32m{line}\x1b[0m\n" for line in LOG.splitlines())
    assert verdict(text, "TestA") is Verdict.PASSED
    assert flaws(text) == []


def test_log_without_an_end_is_truncated() -> None:
    text = LOG[: LOG.index("--- SKIP")]
    assert flaws(text) == [FlawCode.TRUNCATED]
    assert verdict(text, "TestB") is Verdict.NOT_RUN


@pytest.mark.parametrize(
    "text",
    [
        LOG.replace("--- PASS: TestA (0.10s)", "--- FAIL: TestA (0.10s)"),
        LOG.replace("--- SKIP: TestB (0.00s)\n", ""),
        LOG.replace("PASS\nok", "FAIL\nFAIL"),
        LOG.replace("    --- PASS: TestA/one", "    --- FAIL: TestA/one"),
    ],
)
def test_log_whose_verdicts_disagree_with_its_end_is_inconsistent(text: str) -> None:
    assert FlawCode.INCONSISTENT in flaws(text)


def test_log_of_a_panic_is_consistent() -> None:
    text = "=== RUN   TestA\npanic: test timed out\nFAIL\texample.org/test\t1.2s\nFAIL\n"
    assert flaws(text) == []
    assert verdict(text, "TestA") is Verdict.NOT_RUN


def test_log_without_tests_to_run_has_executed_nothing() -> None:
    text = "=== RUN   TestA\n--- SKIP: TestA (0.00s)\nPASS\nok  \tp\t0.1s\n"
    assert read(text).executed == 0


def ginkgo(body: str, ran: int, passed: int, failed: int = 0, word: str = "SUCCESS") -> str:
    return (
        f"Running Suite: e2e - /usr/local/bin\n=====\nWill run {ran} of 7144 specs\n{body}\n"
        f"Ran {ran} of 7144 Specs in 847.275 seconds\n"
        f"{word}! -- {passed} Passed | {failed} Failed | 0 Pending | {7144 - ran} Skipped\nPASS\n"
    )


def test_ginkgo_terse_log_counts_its_dots() -> None:
    results = read(ginkgo("SSSSS•SSSS•SS", ran=2, passed=2))
    assert (results.executed, results.failed, results.flaws) == (2, 0, ())


def test_ginkgo_summary_is_read_in_any_case() -> None:
    assert read(ginkgo("•", ran=1, passed=1, word="SUCcESS")).flaws == ()


@pytest.mark.parametrize(
    "text",
    [
        ginkgo("SS•SS•", ran=3, passed=3),
        ginkgo("SS•SS•", ran=2, passed=1),
        ginkgo("•", ran=1, passed=0, failed=1, word="SUCCESS"),
        ginkgo("•", ran=1, passed=1, word="FAIL"),
        ginkgo("• [FAILED] [1.0 seconds]\nsharing [It] works\n------------------------------", 1, 1),
    ],
)
def test_ginkgo_log_that_contradicts_its_summary_is_inconsistent(text: str) -> None:
    assert FlawCode.INCONSISTENT in flaws(text)


def test_ginkgo_log_without_summary_is_truncated() -> None:
    assert flaws("Running Suite: e2e\nWill run 3 of 4 specs\n•S") == [FlawCode.TRUNCATED]


def test_ginkgo_log_that_ran_nothing_has_executed_nothing() -> None:
    results = read(
        "=== RUN   TestE2E\n" + ginkgo("SSSS", ran=0, passed=0) + "--- PASS: TestE2E (0.1s)\nPASS\n"
    )
    assert results.executed == 0
    found = results.find("TestE2E")
    assert found is not None
    assert found.verdict is Verdict.NOT_RUN


VERBOSE = """Running Suite: e2e
------------------------------
Sharing of devices is isolated
/src/sharing.go:12
  STEP: creating a pod
• [5.123 seconds]
------------------------------
• [FAILED] [3.100 seconds]
Gangs [It] start together
/src/gang.go:9
  [FAILED] Expected
------------------------------
S [SKIPPED] [0.001 seconds]
Scaling [It] adds a node
/src/scaling.go:1
------------------------------
P [PENDING]
Later [It] comes
------------------------------

Summarizing 1 Failure:
  [FAIL] Gangs [It] start together
  /src/gang.go:9

Ran 2 of 4 Specs in 9.000 seconds
FAIL! -- 1 Passed | 1 Failed | 1 Pending | 1 Skipped
"""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Sharing of devices is isolated", Verdict.PASSED),
        ("Gangs start together", Verdict.FAILED),
        ("Scaling adds a node", Verdict.SKIPPED),
        ("Later comes", Verdict.NOT_RUN),
    ],
)
def test_ginkgo_verbose_log_names_its_specs(name: str, expected: Verdict) -> None:
    assert verdict(VERBOSE, name) is expected
    assert flaws(VERBOSE) == []
    assert (read(VERBOSE).executed, read(VERBOSE).failed) == (2, 1)


def test_progress_messages_of_the_e2e_framework_are_read() -> None:
    text = 'Running Suite: e2e\n{"msg":"PASSED [sig-node] Pods run","completed":1}\n' + ginkgo("", 1, 1)
    assert verdict(text, "[sig-node] Pods run") is Verdict.PASSED

"""The report: complete, sealed, and readable in every form."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from conformance import artefacts
from conformance.catalogue import Level
from conformance.cli import main
from conformance.report import (
    Cleanup,
    ClusterFacts,
    Report,
    ReportError,
    digest_of,
    read,
    to_junit,
    verify_seal,
)
from conformance.verdicts import CheckResult, Evidence, Outcome, Status, outcome_of

START = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


def result(name: str, status: Status, level: Level = Level.MUST, message: str = "m") -> CheckResult:
    return CheckResult(
        name,
        level,
        status,
        "reason",
        message,
        started_at=START,
        finished_at=START + timedelta(seconds=2),
        duration_seconds=2.0,
        evidence=(Evidence("observations.json", "application/json", b"{}", START),),
    )


def report(*results: CheckResult) -> Report:
    found = results or (
        result("gang_scheduling", Status.PASS),
        result("robust_controller", Status.FAIL, message="no\x00 <good>"),
        result("pod_autoscaling", Status.UNKNOWN),
        result("cluster_autoscaling", Status.NOT_APPLICABLE),
        result("accelerator_metrics", Status.ERROR),
    )
    return Report(
        checklist="1.36",
        checklist_digest="sha256:1",
        outcome=outcome_of(found),
        cluster=ClusterFacts("v1.36.2", "uid-1", 3),
        started_at=START,
        finished_at=START + timedelta(seconds=10),
        results=tuple(found),
        simulated=True,
        cleanup=Cleanup(complete=False, left_behind=("pods/a",)),
    )


def test_json_has_the_published_fields() -> None:
    document = json.loads(report().to_json())

    assert set(document) >= {
        "schema",
        "checklist",
        "outcome",
        "cluster",
        "tool",
        "started_at",
        "finished_at",
        "results",
        "scenarios",
        "simulated",
        "cleanup",
        "digest",
    }
    assert document["outcome"] == "non_conformant"
    assert document["cluster"] == {"version": "v1.36.2", "uid": "uid-1", "nodes": 3}
    assert document["cleanup"] == {"complete": False, "left_behind": ["pods/a"]}
    entry = document["results"][0]
    assert set(entry) >= {"id", "level", "status", "reason", "message", "duration_seconds", "evidence"}
    assert set(entry["evidence"][0]) >= {"name", "media_type", "sha256", "size"}


def test_json_reads_back_equal_but_for_the_content_of_evidence() -> None:
    original = report()

    found = Report.from_json(original.to_json())

    assert found.as_dict() == original.as_dict()
    assert found.digest == original.digest
    assert found.results[0].evidence[0].content == b""
    assert found.results[0].evidence[0].size == 2


def test_seal_breaks_with_any_change() -> None:
    document = json.loads(report().to_json())
    assert verify_seal(document)

    for change in (
        {"outcome": "conformant"},
        {"simulated": False},
        {"digest": "sha256:0"},
        {"results": document["results"][:-1]},
    ):
        assert not verify_seal({**document, **change})


def test_seal_does_not_depend_on_form() -> None:
    document = json.loads(report().to_json())
    shuffled = json.loads(json.dumps(dict(reversed(document.items())), indent=7))

    assert digest_of(shuffled) == document["digest"]
    assert verify_seal(shuffled)


def test_a_later_signature_does_not_change_the_seal() -> None:
    document = json.loads(report().to_json())

    assert verify_seal({**document, "signature": "abc"})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"schema": "x"}',
        b'{"a": 1, "a": 2}',
        b"\xff",
        b"[" * 100_000,
        b'{"schema": "https://certportal.dev/schemas/report/v1"}',
        b'{"schema": "https://certportal.dev/schemas/report/v1", "cluster": 1, "cleanup": 2}',
    ],
)
def test_what_is_no_report_is_refused(data: bytes) -> None:
    with pytest.raises(ReportError):
        Report.from_json(data)


def test_numbers_beyond_json_do_not_break_the_seal_check() -> None:
    document = read(report().to_json().replace('"nodes": 3', '"nodes": NaN'))

    assert verify_seal(document) is False


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ((), Outcome.INCOMPLETE),
        (("pass",), Outcome.CONFORMANT),
        (("pass", "not_applicable"), Outcome.CONFORMANT),
        (("not_applicable",), Outcome.INCOMPLETE),
        (("pass", "unknown"), Outcome.INCOMPLETE),
        (("pass", "error"), Outcome.INCOMPLETE),
        (("pass", "error", "fail"), Outcome.NON_CONFORMANT),
    ],
)
def test_outcome_of_musts(statuses: tuple[str, ...], expected: Outcome) -> None:
    results = [result(str(index), Status(status)) for index, status in enumerate(statuses)]

    assert outcome_of(results) is expected


@pytest.mark.parametrize("status", list(Status))
def test_a_should_never_changes_the_outcome(status: Status) -> None:
    assert outcome_of([result("a", Status.PASS), result("b", status, Level.SHOULD)]) is Outcome.CONFORMANT


def test_junit_counts_nothing_but_pass_as_passed() -> None:
    root = ET.fromstring(to_junit(report()))  # noqa: S314 - our own text
    suite = root[0]

    assert {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5",
        "failures": "1",
        "errors": "1",
        "skipped": "2",
    }
    cases = {case.get("name"): [child.tag for child in case] for case in suite.iter("testcase")}
    assert cases == {
        "gang_scheduling": [],
        "robust_controller": ["failure"],
        "pod_autoscaling": ["skipped"],
        "cluster_autoscaling": ["skipped"],
        "accelerator_metrics": ["error"],
    }


# What the schemas that CI systems validate against allow and ask for, by element.
JUNIT_CHILDREN = {
    "testsuites": ["testsuite"],
    "testsuite": ["properties", "testcase"],
    "properties": ["property"],
    "property": [],
    "testcase": ["skipped", "error", "failure"],
    "skipped": [],
    "error": [],
    "failure": [],
}
JUNIT_ATTRIBUTES = {
    "testsuites": {"name", "time", "tests", "failures", "errors"},
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"},
    "properties": set(),
    "property": {"name", "value"},
    "testcase": {"classname", "name", "time"},
    "skipped": {"message"},
    "error": {"message", "type"},
    "failure": {"message", "type"},
}


def test_junit_keeps_to_the_usual_schema() -> None:
    root = ET.fromstring(to_junit(report()))  # noqa: S314 - our own text

    assert root.tag == "testsuites"
    for element in root.iter():
        order = JUNIT_CHILDREN[element.tag]
        places = [order.index(child.tag) for child in element]
        assert places == sorted(places)
        assert set(element.attrib) == JUNIT_ATTRIBUTES[element.tag]
    assert root[0].get("timestamp") == "2026-01-02T03:04:05"
    assert all(len(case) <= 1 and float(case.get("time", "")) >= 0 for case in root.iter("testcase"))


def test_junit_reads_as_what_it_says_with_our_own_reader() -> None:
    found = artefacts.read(to_junit(report()).encode())

    assert found is not None
    assert {test.name: test.verdict.value for test in found.tests} == {
        "gang_scheduling": "passed",
        "robust_controller": "failed",
        "pod_autoscaling": "skipped",
        "cluster_autoscaling": "skipped",
        "accelerator_metrics": "failed",
    }


@pytest.mark.parametrize(
    "statuses",
    [
        (),
        (Status.UNKNOWN,),
        (Status.NOT_APPLICABLE,),
        (Status.NOT_APPLICABLE, Status.UNKNOWN),
        (Status.PASS, Status.UNKNOWN),
    ],
)
def test_junit_is_not_green_where_the_outcome_is_incomplete(statuses: tuple[Status, ...]) -> None:
    found = report()
    results = tuple(result(str(number), status) for number, status in enumerate(statuses))
    found = dataclasses.replace(found, results=results, outcome=outcome_of(results))

    suite = ET.fromstring(to_junit(found))[0]  # noqa: S314 - our own text

    assert suite.get("errors") == "1"
    assert suite.get("tests") == str(len(statuses) + 1)
    assert suite.findall("testcase")[-1].find("error") is not None


def test_junit_of_a_conformant_run_is_green() -> None:
    suite = ET.fromstring(to_junit(report(result("a", Status.PASS), result("b", Status.NOT_APPLICABLE))))[0]  # noqa: S314

    assert (suite.get("tests"), suite.get("errors"), suite.get("failures")) == ("2", "0", "0")


def test_verify_report_tells_intact_from_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "report.json"
    file.write_text(report().to_json())
    assert main(["verify-report", str(file)]) == 0
    assert "intact" in capsys.readouterr().out

    file.write_text(report().to_json().replace('"status": "fail"', '"status": "pass"'))
    assert main(["verify-report", str(file)]) == 1
    assert "CHANGED" in capsys.readouterr().out

    file.write_text("hello")
    assert main(["verify-report", str(file)]) == 2
    assert main(["verify-report", str(tmp_path / "none")]) == 2


def test_verify_report_notices_an_outcome_that_does_not_follow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "report.json"
    file.write_text(dataclasses.replace(report(), outcome=Outcome.CONFORMANT).to_json())

    assert main(["verify-report", str(file)]) == 1
    assert "CONTRADICTORY" in capsys.readouterr().out

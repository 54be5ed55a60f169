"""The report of a run: what it says, how it is sealed, and the forms it travels in."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

from conformance import __version__
from conformance.catalogue import Level
from conformance.verdicts import CheckResult, Evidence, Outcome, ScenarioResult, Status, StepResult

SCHEMA = "https://certportal.dev/schemas/report/v1"
TOOL = "certportal-conformance"
MAX_REPORT = 16 * 1024 * 1024

# What XML 1.0 cannot hold at all.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class ReportError(Exception):
    """The document is not a report. The message says why."""


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """Which cluster was looked at. `uid` is that of kube-system."""

    version: str = ""
    uid: str = ""
    nodes: int = 0


@dataclass(frozen=True, slots=True)
class Cleanup:
    """Whether everything the run created is gone again."""

    complete: bool = True
    left_behind: tuple[str, ...] = ()

    def __add__(self, other: Cleanup) -> Cleanup:
        """Return both together, each thing named once."""
        further = tuple(name for name in other.left_behind if name not in self.left_behind)
        return Cleanup(self.complete and other.complete, self.left_behind + further)


@dataclass(frozen=True, slots=True)
class Report:
    """A run's findings. `results` has every requirement of the checklist, executed or not.

    `scenarios` are those that were asked for; they say how the platform fares and decide nothing.
    """

    checklist: str
    outcome: Outcome
    cluster: ClusterFacts
    started_at: datetime
    finished_at: datetime
    results: tuple[CheckResult, ...]
    checklist_digest: str = ""
    tool_version: str = __version__
    simulated: bool = False
    cancelled: bool = False
    cleanup: Cleanup = field(default_factory=Cleanup)
    scenarios: tuple[ScenarioResult, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the report as it is published, without the seal."""
        return {
            "schema": SCHEMA,
            "checklist": self.checklist,
            "checklist_digest": self.checklist_digest,
            "outcome": self.outcome.value,
            "cluster": {
                "version": self.cluster.version,
                "uid": self.cluster.uid,
                "nodes": self.cluster.nodes,
            },
            "tool": {"name": TOOL, "version": self.tool_version},
            "started_at": _stamp(self.started_at),
            "finished_at": _stamp(self.finished_at),
            "results": [_result(result) for result in self.results],
            "scenarios": [_scenario(scenario) for scenario in self.scenarios],
            "simulated": self.simulated,
            "cancelled": self.cancelled,
            "cleanup": {
                "complete": self.cleanup.complete,
                "left_behind": list(self.cleanup.left_behind),
            },
        }

    @property
    def digest(self) -> str:
        """The seal: SHA-256 over the canonical form of everything else."""
        return digest_of(self.as_dict())

    def to_json(self, signature: Mapping[str, str] | None = None) -> str:
        """Return the sealed report as people read it, with the `signature` of its digest if there is one."""
        document = self.as_dict()
        document["digest"] = digest_of(document)
        if signature is not None:
            document["signature"] = dict(signature)
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, data: str | bytes) -> Report:
        """Read a report back, without the content of its evidence; raise ReportError."""
        return _Reader(read(data)).report()


def read(data: str | bytes) -> dict[str, Any]:
    """Return the document of a report, of whatever schema; raise ReportError where it is none."""
    if len(data) > MAX_REPORT:
        raise ReportError(f"The report has more than {MAX_REPORT} bytes.")
    try:
        document = json.loads(data, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise ReportError("The file is not a JSON document without duplicate fields.") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise ReportError(f"The file is not a report (schema {SCHEMA}).")
    return document


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field stands twice")
    return found


def canonical(document: Mapping[str, Any]) -> bytes:
    """Return the one form of a document that is hashed: sorted fields, no blanks, UTF-8."""
    return json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode("utf-8", "surrogatepass")


def digest_of(document: Mapping[str, Any]) -> str:
    """Return ``sha256:…`` over the canonical form of a document without its own digest."""
    bare = {key: value for key, value in document.items() if key not in {"digest", "signature"}}
    return f"sha256:{hashlib.sha256(canonical(bare)).hexdigest()}"


def verify_seal(document: Mapping[str, Any]) -> bool:
    """Tell whether a report still is what was sealed."""
    try:
        return document.get("digest") == digest_of(document)
    except ValueError:
        return False


def is_regular(data: bytes, document: Mapping[str, Any]) -> bool:
    """Tell whether `data` is `document` as programs write it: spaced in one regular way throughout.

    The seal covers what a report says. This covers the rest: no byte can change unnoticed.
    """
    for indent, separators in ((2, None), (None, None), (None, (",", ":")), (4, None), ("\t", None)):
        for ascii_only in (False, True):
            text = json.dumps(document, indent=indent, separators=separators, ensure_ascii=ascii_only)
            if data in {content := text.encode("utf-8", "surrogatepass"), content + b"\n"}:
                return True
    return False


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _result(result: CheckResult) -> dict[str, Any]:
    return {
        "id": result.id,
        "level": result.level.value,
        "status": result.status.value,
        "reason": result.reason,
        "message": result.message,
        "started_at": _stamp(result.started_at) if result.started_at else None,
        "finished_at": _stamp(result.finished_at) if result.finished_at else None,
        "duration_seconds": round(result.duration_seconds, 3),
        "evidence": [_listed(piece) for piece in result.evidence],
    }


def _listed(piece: Evidence) -> dict[str, Any]:
    return {
        "name": piece.name,
        "media_type": piece.media_type,
        "sha256": piece.sha256,
        "size": piece.size,
        "captured_at": _stamp(piece.captured_at),
    }


def _scenario(result: ScenarioResult) -> dict[str, Any]:
    return {
        "id": result.id,
        "status": result.status.value,
        "reason": result.reason,
        "message": result.message,
        "started_at": _stamp(result.started_at) if result.started_at else None,
        "finished_at": _stamp(result.finished_at) if result.finished_at else None,
        "duration_seconds": round(result.duration_seconds, 3),
        "steps": [step_as_dict(step) for step in result.steps],
        "evidence": [_listed(piece) for piece in result.evidence],
    }


def step_as_dict(step: StepResult) -> dict[str, Any]:
    """Return a step of a scenario as a report has it."""
    return {
        "id": step.id,
        "title": step.title,
        "status": step.status.value,
        "reason": step.reason,
        "message": step.message,
        "started_at": _stamp(step.started_at) if step.started_at else None,
        "duration_seconds": round(step.duration_seconds, 3),
    }


def step_from_dict(entry: Mapping[str, Any]) -> StepResult:
    """Read a step back; raise KeyError, TypeError or ValueError where it is none."""
    started = entry.get("started_at")
    return StepResult(
        id=_text(entry["id"]),
        title=_text(entry["title"]),
        status=Status(entry["status"]),
        reason=_text(entry["reason"]),
        message=_text(entry["message"]),
        started_at=_moment(started) if started else None,
        duration_seconds=float(entry["duration_seconds"]),
    )


class _Reader:
    """Reads a report field by field; a stranger may have written it."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    def report(self) -> Report:
        document = self._document
        try:
            cluster, cleanup = document["cluster"], document["cleanup"]
            return Report(
                checklist=_text(document["checklist"]),
                checklist_digest=_text(document.get("checklist_digest", "")),
                outcome=Outcome(document["outcome"]),
                cluster=ClusterFacts(_text(cluster["version"]), _text(cluster["uid"]), int(cluster["nodes"])),
                tool_version=_text(document["tool"]["version"]),
                started_at=_moment(document["started_at"]),
                finished_at=_moment(document["finished_at"]),
                results=tuple(self._result(entry) for entry in document["results"]),
                scenarios=tuple(self._scenario(entry) for entry in document.get("scenarios", [])),
                simulated=document.get("simulated") is True,
                cancelled=document.get("cancelled") is True,
                cleanup=Cleanup(
                    cleanup["complete"] is True, tuple(_text(name) for name in cleanup["left_behind"])
                ),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ReportError(f"The report lacks a field or has one of the wrong type ({error}).") from error

    def _result(self, entry: dict[str, Any]) -> CheckResult:
        started, finished = entry.get("started_at"), entry.get("finished_at")
        return CheckResult(
            id=_text(entry["id"]),
            level=Level(entry["level"]),
            status=Status(entry["status"]),
            reason=_text(entry["reason"]),
            message=_text(entry["message"]),
            started_at=_moment(started) if started else None,
            finished_at=_moment(finished) if finished else None,
            duration_seconds=float(entry["duration_seconds"]),
            evidence=tuple(_piece(piece) for piece in entry["evidence"]),
        )

    def _scenario(self, entry: dict[str, Any]) -> ScenarioResult:
        started, finished = entry.get("started_at"), entry.get("finished_at")
        return ScenarioResult(
            id=_text(entry["id"]),
            status=Status(entry["status"]),
            reason=_text(entry["reason"]),
            message=_text(entry["message"]),
            steps=tuple(step_from_dict(step) for step in entry["steps"]),
            started_at=_moment(started) if started else None,
            finished_at=_moment(finished) if finished else None,
            duration_seconds=float(entry["duration_seconds"]),
            evidence=tuple(_piece(piece) for piece in entry["evidence"]),
        )


@dataclass(frozen=True, slots=True)
class ListedEvidence(Evidence):
    """A piece of evidence a report names without holding it."""

    listed_size: int = 0

    @property
    def size(self) -> int:
        """Bytes of the content, as the report says."""
        return self.listed_size


def _piece(entry: dict[str, Any]) -> Evidence:
    piece = ListedEvidence(
        _text(entry["name"]),
        _text(entry["media_type"]),
        b"",
        _moment(entry["captured_at"]),
        listed_size=int(entry["size"]),
    )
    object.__setattr__(piece, "sha256", _text(entry["sha256"]))
    return piece


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text expected, {type(value).__name__} found")
    return value


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(_text(value))
    if moment.tzinfo is None:
        raise ValueError("a time without its zone")
    return moment


def to_junit(report: Report) -> str:
    """Return the results as JUnit XML: unknown and not applicable are skipped, never passed.

    A file in which tests were only skipped is green to most readers. So where nothing in it is red and
    the outcome is not conformant all the same, a last test case says that, as an error.
    """
    root = ET.Element("testsuites", {"name": "AI conformance"})
    suite = ET.SubElement(root, "testsuite", {"name": f"AI conformance {report.checklist}"})
    properties = ET.SubElement(suite, "properties")
    for name, value in (
        ("checklist", report.checklist),
        ("outcome", report.outcome.value),
        ("cluster.version", report.cluster.version),
        ("simulated", str(report.simulated).lower()),
        ("digest", report.digest),
    ):
        ET.SubElement(properties, "property", {"name": name, "value": _xml(value)})
    for result in report.results:
        _test_case(suite, result)
    seen = {result.status for result in report.results}
    if report.outcome is not Outcome.CONFORMANT and not seen & {Status.FAIL, Status.ERROR}:
        case = ET.SubElement(suite, "testcase", {"classname": "conformance", "name": "outcome", "time": "0"})
        told = "Not every MUST was seen met, so the outcome is incomplete: nothing executed is never a pass."
        ET.SubElement(case, "error", {"message": told, "type": report.outcome.value})
    tags = [child.tag for case in suite.iter("testcase") for child in case]
    totals = {
        "tests": str(len(suite.findall("testcase"))),
        "failures": str(tags.count("failure")),
        "errors": str(tags.count("error")),
        "time": f"{sum(result.duration_seconds for result in report.results):.3f}",
    }
    for key, value in totals.items():
        root.set(key, value)
        suite.set(key, value)
    suite.set("skipped", str(tags.count("skipped")))
    # Schemas in use want the time without fraction and zone; it is UTC.
    suite.set("timestamp", report.started_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S"))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


_JUNIT_TAGS = {Status.FAIL: "failure", Status.ERROR: "error"}


def _test_case(suite: ET.Element, result: CheckResult) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        {
            "classname": f"conformance.{result.level.value}",
            "name": _xml(result.id),
            "time": f"{result.duration_seconds:.3f}",
        },
    )
    if result.status is Status.PASS:
        return
    tag = _JUNIT_TAGS.get(result.status, "skipped")
    if tag == "skipped":
        told = f"{result.status.value}: {result.message or result.reason}"
        ET.SubElement(case, tag, {"message": _xml(told)})
    else:
        ET.SubElement(case, tag, {"message": _xml(result.message), "type": _xml(result.reason)})


def _xml(text: str) -> str:
    return _NOT_XML.sub("�", text)

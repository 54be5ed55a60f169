"""A report as an in-toto attestation: a Statement v1 with the predicate test-result.

The subjects are the files of the bundle, each with its digest. A requirement counts as failed where a
MUST was not seen met, whether it was seen to fail or could not be seen; nothing executed never passes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from conformance.catalogue import Level
from conformance.report import TOOL, Report
from conformance.verdicts import CheckResult, Outcome, Status

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"


def statement(report: Report, files: Mapping[str, bytes]) -> dict[str, Any]:
    """Return what is attested of `report`; `files` are those of its bundle, by name."""
    passed = [result.id for result in report.results if result.status is Status.PASS]
    failed = [result.id for result in report.results if _counts_as_failed(result)]
    warned = [result.id for result in report.results if result.id not in {*passed, *failed}]
    result = "WARNED" if warned else "PASSED"
    if report.outcome is not Outcome.CONFORMANT:
        result = "FAILED"
    return {
        "_type": STATEMENT,
        "subject": [
            {"name": name, "digest": {"sha256": hashlib.sha256(content).hexdigest()}}
            for name, content in sorted(files.items())
        ],
        "predicateType": PREDICATE,
        "predicate": {
            "result": result,
            "configuration": _configuration(report),
            "passedTests": passed,
            "warnedTests": warned,
            "failedTests": failed,
        },
    }


def written(document: Mapping[str, Any]) -> bytes:
    """Return a statement as it is kept and signed."""
    return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"


def _counts_as_failed(result: CheckResult) -> bool:
    if result.status is Status.FAIL:
        return True
    return result.level is Level.MUST and result.status in {Status.ERROR, Status.UNKNOWN}


def _configuration(report: Report) -> list[dict[str, Any]]:
    """Return what the run was made with: checklist, tool and cluster, as resource descriptors."""
    checklist: dict[str, Any] = {
        "name": f"AIConformance-{report.checklist}",
        "uri": f"urn:certportal:checklist:{report.checklist}",
    }
    algorithm, _, value = report.checklist_digest.partition(":")
    if value:
        checklist["digest"] = {algorithm: value}
    return [
        checklist,
        {"name": TOOL, "uri": f"urn:certportal:tool:{report.tool_version}"},
        {
            "name": "cluster",
            "uri": f"urn:certportal:cluster:{report.cluster.uid or 'unknown'}",
            "annotations": {"version": report.cluster.version, "simulated": report.simulated},
        },
    ]

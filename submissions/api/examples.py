"""Examples of work in progress that the description of the API shows."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample

SITE = "https://certified.example.org"
SUBMISSION_ID = "6f1c2d1e-3b5a-4c8d-9e7f-0a1b2c3d4e5f"
RUN_ID = "0b9a8c7d-6e5f-4a3b-8c2d-1e0f9a8b7c6d"

_METADATA = {
    "kubernetesVersion": "v1.36.2",
    "platformName": "Harbour",
    "platformVersion": "2.1",
    "vendorName": "Old Harbour",
}
_CLAIM: dict[str, Any] = {
    "id": "gang_scheduling",
    "status": "Implemented",
    "evidence": ["https://docs.example.org/gang"],
    "notes": "",
}
NEW_SUBMISSION = OpenApiExample(
    "A draft",
    request_only=True,
    value={
        "platform": "Harbour",
        "configuration": "default",
        "kubernetes_version": "1.36",
        "metadata": {"platformVersion": "2.1"},
        "claims": [_CLAIM],
    },
)
DOCUMENT = OpenApiExample(
    "A PRODUCT.yaml",
    request_only=True,
    media_type="application/yaml",
    value=(
        "metadata:\n"
        "  kubernetesVersion: v1.36.2\n"
        "  platformName: Harbour\n"
        '  platformVersion: "2.1"\n'
        "  vendorName: Old Harbour\n"
        "spec:\n"
        "  schedulingOrchestration:\n"
        "    - id: gang_scheduling\n"
        "      level: MUST\n"
        "      status: Implemented\n"
        "      evidence: [https://docs.example.org/gang]\n"
    ),
)
CHANGE = OpenApiExample("One answer", request_only=True, value={"claims": [_CLAIM], "revision": 4})
WITHDRAWAL = OpenApiExample("With a reason", request_only=True, value={"reason": "The release was put off."})
NEW_RUN = OpenApiExample(
    "Two requirements",
    request_only=True,
    value={"cluster": "lab", "only": ["gang_scheduling", "dra_support"]},
)

_SUBMISSION: dict[str, Any] = {
    "id": SUBMISSION_ID,
    "url": f"{SITE}/vendor/submissions/{SUBMISSION_ID}/",
    "organization": "old-harbour",
    "platform": "harbour",
    "platform_name": "Harbour",
    "platform_version": "2.1",
    "configuration": "default",
    "kubernetes_version": "1.36",
    "status": "draft",
    "revision": 4,
    "round": 0,
    "simulated": False,
    "created_at": "2026-02-10T09:00:00Z",
    "updated_at": "2026-02-11T16:30:00Z",
    "submitted_at": None,
    "due_on": None,
    "decided_at": None,
    "release_on": None,
    "certificate_number": "",
}
SUBMISSION_IN_A_LIST = OpenApiExample("A draft", response_only=True, value=_SUBMISSION)
SUBMISSION = OpenApiExample(
    "A draft with an error",
    response_only=True,
    value={
        **_SUBMISSION,
        "checklist_digest": "4f0c2a6b9d1e8f37",
        "metadata": _METADATA,
        "claims": [{**_CLAIM, "category": "schedulingOrchestration", "level": "MUST", "met_by": ""}],
        "valid": False,
        "problems": [
            {
                "code": "missing_field",
                "severity": "error",
                "message": "The platform's website is missing.",
                "path": "metadata.websiteUrl",
                "line": None,
                "column": None,
            }
        ],
    },
)
FILE = OpenApiExample(
    "A test's results",
    response_only=True,
    value={
        "name": "results/junit.xml",
        "size": 2048,
        "sha256": "9b2d5c8e1f40a6739b2d5c8e1f40a6739b2d5c8e1f40a6739b2d5c8e1f40a673",
        "uploaded_at": "2026-02-11T16:30:00Z",
    },
)
_RUN: dict[str, Any] = {
    "id": RUN_ID,
    "url": f"{SITE}/vendor/runs/{RUN_ID}/",
    "submission": SUBMISSION_ID,
    "kind": "portal_run",
    "cluster": "lab",
    "signed_by": None,
    "status": "finished",
    "outcome": "conformant",
    "only": [],
    "simulated": False,
    "created_at": "2026-02-11T17:00:00Z",
    "started_at": "2026-02-11T17:00:02Z",
    "finished_at": "2026-02-11T17:09:40Z",
    "cancel_requested_at": None,
    "attempts": 1,
    "error": "",
    "report_digest": "sha256:9b2d5c8e1f40a673",
}
RUN_IN_A_LIST = OpenApiExample("A run", response_only=True, value=_RUN)
RUN = OpenApiExample(
    "A run in full",
    response_only=True,
    value={
        **_RUN,
        "results": [
            {
                "id": "gang_scheduling",
                "level": "MUST",
                "status": "pass",
                "reason": "gang_bound",
                "message": "Every pod of the gang was bound at once.",
                "started_at": "2026-02-11T17:00:05Z",
                "finished_at": "2026-02-11T17:02:11Z",
                "duration_seconds": 126.0,
                "evidence": [
                    {
                        "name": "events.json",
                        "media_type": "application/json",
                        "sha256": "9b2d5c8e1f40a6739b2d5c8e1f40a6739b2d5c8e1f40a6739b2d5c8e1f40a673",
                        "size": 4096,
                    }
                ],
            }
        ],
        "scenarios": [],
        "report": {"schema": "conformance-report/v1", "checklist": "1.36", "outcome": "conformant"},
    },
)

"""Examples that the description of the API shows."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample

NUMBER = "AIK-2026-0042"
SITE = "https://certified.example.org"
_CERTIFICATE: dict[str, Any] = {
    "number": "AIK-2026-0042",
    "url": "https://certified.example.org/certified/AIK-2026-0042/",
    "platform_name": "Harbour",
    "platform_version": "2.1",
    "configuration": "default",
    "vendor": "Old Harbour",
    "kubernetes_version": "1.36",
    "status": "active",
    "status_on": "2026-06-01",
    "expiring_soon": False,
    "assurance": "portal_verified",
    "coverage": {
        "requirements": 1,
        "portal_verified": 1,
        "vendor_run": 0,
        "self_attested": 0,
        "waived": 0,
        "failed": 0,
    },
    "issued_on": "2026-03-01",
    "expires_on": "2027-03-01",
    "simulated": False,
    "imported": False,
    "requirements": [
        {
            "id": "gang_scheduling",
            "level": "MUST",
            "category": "schedulingOrchestration",
            "description": "Of a group of pods, every one starts or none does.",
            "workloads": ["mlops", "training"],
            "claim": "Implemented",
            "notes": "",
            "evidence": ["https://docs.example.org/gang"],
            "met": True,
            "verdict": "pass",
            "verdict_reason": "gang_bound",
            "verdict_message": "Every pod of the gang was bound at once.",
            "assurance": "portal_verified",
            "waived": False,
            "waiver_reason": "",
            "waiver_expires_on": None,
        }
    ],
}
CERTIFICATION = OpenApiExample("A certificate", response_only=True, value=_CERTIFICATE)
CERTIFICATION_IN_FULL = OpenApiExample(
    "A certificate in full",
    response_only=True,
    value={
        **_CERTIFICATE,
        "description": "A Kubernetes platform for one's own machines.",
        "website_url": "https://harbour.example.org/",
        "documentation_url": "https://docs.example.org/",
        "repo_url": "",
        "base_conformance_url": "https://github.com/cncf/k8s-conformance/tree/master/v1.36/harbour",
        "base_platform": "",
        "checklist_revision": 1,
        "checklist_digest": "4f0c2a6b9d1e8f37",
        "run_digest": "sha256:9b2d5c8e1f40a673",
        "run_finished_at": "2026-02-20T14:05:00Z",
        "findings": [],
        "cure_by": None,
        "history": [
            {
                "kind": "issued",
                "status": "active",
                "effective_on": "2026-03-01",
                "reason": "",
                "cure_by": None,
            }
        ],
        "supersedes": None,
        "superseded_by": None,
    },
)
CHANGES = OpenApiExample(
    "A renewal",
    response_only=True,
    value={
        "next": f"{SITE}/api/v1/changes/?after=2026-03-01.4711",
        "results": [
            {
                "kind": "renewed",
                "on": "2026-03-01",
                "reason": "",
                "number": "AIK-2026-0042",
                "url": "https://certified.example.org/certified/AIK-2026-0042/",
                "platform_name": "Harbour",
                "platform_version": "2.1",
                "vendor": "Old Harbour",
                "kubernetes_version": "1.36",
                "simulated": False,
            }
        ],
    },
)
VENDOR = OpenApiExample(
    "A vendor",
    response_only=True,
    value={
        "slug": "old-harbour",
        "name": "Old Harbour",
        "url": "https://certified.example.org/vendors/old-harbour/",
        "certificates": 7,
        "certified_today": 3,
    },
)
EXPORT = OpenApiExample(
    "A file",
    response_only=True,
    value={
        "name": "certifications",
        "format": "csv",
        "url": f"{SITE}/api/v1/exports/certifications.csv",
    },
)
LANDSCAPE = OpenApiExample(
    "A landscape",
    response_only=True,
    media_type="application/yaml",
    value={
        "landscape": [
            {
                "category": None,
                "name": "Certified Kubernetes AI platforms",
                "subcategories": [
                    {
                        "subcategory": None,
                        "name": "Kubernetes 1.36",
                        "items": [
                            {
                                "item": None,
                                "name": "Harbour 2.1",
                                "homepage_url": "https://harbour.example.org/",
                                "organization": {"name": "Old Harbour"},
                                "extra": {
                                    "certificate": NUMBER,
                                    "certificate_url": f"{SITE}/certified/{NUMBER}/",
                                    "configuration": "default",
                                    "assurance": "portal_verified",
                                    "accepted": "2026-03-01",
                                    "expires": "2027-03-01",
                                },
                            }
                        ],
                    }
                ],
            }
        ]
    },
)
CHECKLIST = OpenApiExample(
    "A checklist",
    response_only=True,
    value={
        "version": "1.36",
        "revision": 1,
        "digest": "4f0c2a6b9d1e8f37",
        "source": "builtin",
        "published_at": "2026-01-15T09:00:00Z",
        "requirements": [
            {
                "id": "gang_scheduling",
                "title": "Gang scheduling",
                "category": "schedulingOrchestration",
                "level": "MUST",
                "description": "Of a group of pods, every one starts or none does.",
            }
        ],
    },
)
CERTIFIED = OpenApiExample(
    "It was",
    response_only=True,
    value={
        "on": "2026-06-01",
        "certified": True,
        "known": True,
        "future": False,
        "simulated": False,
        "certificates": [
            {
                "number": NUMBER,
                "url": f"{SITE}/certified/{NUMBER}/",
                "platform_name": "Harbour",
                "platform_version": "2.1",
                "configuration": "default",
                "vendor": "Old Harbour",
                "kubernetes_version": "1.36",
                "status": "active",
                "issued_on": "2026-03-01",
                "expires_on": "2027-03-01",
                "simulated": False,
            }
        ],
    },
)
REQUIREMENT = OpenApiExample(
    "A requirement",
    response_only=True,
    value={
        "id": "gang_scheduling",
        "title": "Gang scheduling",
        "url": f"{SITE}/requirements/gang_scheduling/",
        "workloads": ["mlops", "training"],
        "wordings": [
            {
                "version": "1.36",
                "level": "MUST",
                "category": "schedulingOrchestration",
                "description": "Of a group of pods, every one starts or none does.",
            }
        ],
        "check": {"observes": "Every pod of a group starts, or none does.", "deadline": 600, "kar": 53},
    },
)
STATISTICS = OpenApiExample(
    "Figures",
    response_only=True,
    value={
        "certified": 3,
        "vendors": 2,
        "by_status": {"active": 3, "expired": 1},
        "by_version": {"1.35": 1, "1.36": 2},
        "by_assurance": {"portal_verified": 2, "self_attested": 1},
        "by_requirement": {"gang_scheduling": 3},
        "by_workload": {"training": 2},
        "months": [{"month": "2026-03-01", "issued": 1, "ended": 0}],
    },
)
BADGE = OpenApiExample(
    "A badge",
    response_only=True,
    media_type="image/svg+xml",
    value='<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="Harbour 2.1: certified">…</svg>',
)
CREDENTIAL = OpenApiExample(
    "What it says",
    response_only=True,
    media_type="application/json",
    value={
        "iss": SITE,
        "sub": f"{SITE}/certified/{NUMBER}/#platform",
        "jti": f"{SITE}/api/v1/certifications/{NUMBER}/credential/",
        "name": "Harbour 2.1, Kubernetes 1.36",
        "validFrom": "2026-03-01T00:00:00Z",
        "validUntil": "2027-03-01T00:00:00Z",
    },
)
STATUS_LIST = OpenApiExample(
    "What it says",
    response_only=True,
    media_type="application/json",
    value={
        "iss": SITE,
        "id": f"{SITE}/api/v1/status-lists/1/",
        "credentialSubject": {
            "id": f"{SITE}/api/v1/status-lists/1/#list",
            "type": "BitstringStatusList",
            "statusPurpose": "revocation",
            "encodedList": "uH4sIAAAAAAAC_-3BMQEAAADCoPVPbQwfoAAAAAAAAAAAAAAAAAAAAIC3AYbSVKsAQAAA",
        },
    },
)

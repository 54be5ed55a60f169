"""The public API: what it lists, how it filters, how it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from registry import services
from registry.models import Certificate
from tests.registry.factories import ISSUED, CertificateFactory, ChecklistFactory, RequirementSnapshotFactory

pytestmark = pytest.mark.django_db
LIST = "/api/v1/certifications/"


def found(client: Client, query: str) -> set[str]:
    response = client.get(f"{LIST}?{query}")
    assert response.status_code == 200, response.content
    return {row["number"] for row in response.json()["results"]}


def problem(client: Client, path: str, status: int) -> dict[str, Any]:
    response = client.get(path)
    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    return body


def test_list_is_paginated_and_complete(client: Client, registry: dict[str, str]) -> None:
    body = client.get(f"{LIST}?page_size=3").json()
    assert (body["count"], body["previous"], len(body["results"])) == (7, None, 3)
    assert "page=2" in body["next"]


def test_certification_says_what_the_contract_names(client: Client, registry: dict[str, str]) -> None:
    row = client.get(f"{LIST}{registry['active']}/").json()
    requirements = row.pop("requirements")
    assert row == {
        "number": registry["active"],
        "url": f"http://127.0.0.1:8000/certified/{registry['active']}/",
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
            "requirements": 3,
            "portal_verified": 1,
            "vendor_run": 0,
            "self_attested": 1,
            "waived": 1,
            "failed": 0,
        },
        "issued_on": "2026-03-01",
        "expires_on": "2027-03-01",
        "simulated": False,
        "imported": False,
        "description": "",
        "website_url": "https://example.org/",
        "documentation_url": "https://docs.example.org/",
        "repo_url": "",
        "base_conformance_url": "",
        "base_platform": "",
        "checklist_revision": 1,
        "checklist_digest": "",
        "run_digest": "",
        "run_finished_at": None,
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
    }
    assert [(entry["id"], entry["met"], entry["waived"]) for entry in requirements] == [
        ("gang_scheduling", True, False),
        ("secure_accelerator_access", True, False),
        ("cluster_autoscaling", False, True),
    ]
    assert requirements[0] == {
        "id": "gang_scheduling",
        "level": "MUST",
        "category": "schedulingOrchestration",
        "description": "Of a group of pods, every one starts or none does.",
        "workloads": ["mlops", "training"],
        "claim": "Implemented",
        "notes": "Works in the default installation.",
        "evidence": ["https://docs.example.org/gang"],
        "met": True,
        "verdict": "pass",
        "verdict_reason": "",
        "verdict_message": "All bound.",
        "assurance": "portal_verified",
        "waived": False,
        "waiver_reason": "",
        "waiver_expires_on": None,
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("search=harbour+2.1", {"active"}),
        # The last word may be unfinished.
        ("search=old+harb", {"active"}),
        ("search=nothing", set()),
        ("vendor=old-harbour", {"active"}),
        ("vendor=OLD+harbour", {"active"}),
        ("kubernetes_version=1.36", {"active"}),
        ("kubernetes_version=v1.36.4", {"active"}),
        ("kubernetes_version=1.99", set()),
        ("status=active", {"active", "expiring", "renewal"}),
        ("status=expiring", {"expiring"}),
        ("status=expired", {"expired"}),
        ("status=suspended", {"suspended"}),
        ("status=revoked", {"revoked"}),
        ("status=superseded", {"superseded"}),
        ("assurance=self_attested", {"expiring"}),
        ("assurance=vendor_run", set()),
        ("requirement=cluster_autoscaling", set()),
        ("status=&vendor=&on=&search=harbour", {"active"}),
        ("status=active&kubernetes_version=1.35&search=acme", {"expiring", "renewal"}),
        # As of a date before most of it: later certificates are not there, the others as they were then.
        ("on=2025-08-01", {"expiring", "expired"}),
        ("on=2025-08-01&status=active", {"expiring", "expired"}),
        ("on=2026-03-10&status=active", {"active", "expiring", "suspended", "revoked", "superseded"}),
        ("on=2027-03-01&status=active", {"renewal"}),
        ("on=2024-01-01", set()),
    ],
)
def test_filters(client: Client, registry: dict[str, str], query: str, expected: set[str]) -> None:
    assert found(client, query) == {registry[name] for name in expected}


def test_filter_by_requirement_finds_those_that_meet_it(client: Client, today: object) -> None:
    meets = CertificateFactory(requirements=[RequirementSnapshotFactory()])
    CertificateFactory(requirements=[RequirementSnapshotFactory(verdict="fail")])
    CertificateFactory(requirements=[RequirementSnapshotFactory(claim="Not Implemented")])
    assert found(client, "requirement=gang_scheduling") == {meets.number}


def test_status_is_that_of_the_date_asked(client: Client, registry: dict[str, str]) -> None:
    number = registry["suspended"]
    asked = {on: client.get(f"{LIST}{number}/?on={on}").json() for on in ("2026-05-19", "2026-05-20")}
    assert [(row["status"], row["status_on"], len(row["history"])) for row in asked.values()] == [
        ("active", "2026-05-19", 1),
        ("suspended", "2026-05-20", 2),
    ]


@pytest.mark.parametrize(
    ("ordering", "expected"),
    [
        ("platform_name", ["Fjord", "Harbour", "Lagoon", "Meridian", "Quartz", "Tundra", "Tundra"]),
        ("-platform_name", ["Tundra", "Tundra", "Quartz", "Meridian", "Lagoon", "Harbour", "Fjord"]),
        ("expires_on", ["Quartz", "Fjord", "Harbour", "Meridian", "Lagoon", "Tundra", "Tundra"]),
        ("", ["Tundra", "Tundra", "Lagoon", "Meridian", "Harbour", "Fjord", "Quartz"]),
    ],
)
def test_ordering(client: Client, registry: dict[str, str], ordering: str, expected: list[str]) -> None:
    rows = client.get(f"{LIST}?ordering={ordering}").json()["results"]
    assert [row["platform_name"] for row in rows] == expected


def test_pages_of_equal_rows_show_each_once(client: Client, today: object) -> None:
    for _ in range(5):
        CertificateFactory(platform_name="Same", platform_version=str(Certificate.objects.count()))
    pages = [client.get(f"{LIST}?ordering=platform_name&page_size=2&page={n}").json() for n in (1, 2, 3)]
    numbers = [row["number"] for page in pages for row in page["results"]]
    assert len(set(numbers)) == len(numbers) == 5


@pytest.mark.parametrize(
    ("query", "path", "code"),
    [
        ("status=valid", "status", "invalid_choice"),
        ("assurance=trust_me", "assurance", "invalid_choice"),
        ("requirement=no_such_thing", "requirement", "invalid_choice"),
        ("kubernetes_version=latest", "kubernetes_version", "invalid_version"),
        ("on=31.12.2026", "on", "invalid"),
        ("on=2026-02-30", "on", "invalid"),
        ("ordering=colour", "ordering", "invalid_choice"),
        ("ordering=,", "ordering", "empty_entry"),
        ("ordering=number,", "ordering", "empty_entry"),
        ("page_size=many", "page_size", "invalid"),
        ("page_size=0", "page_size", "invalid"),
    ],
)
def test_filter_that_cannot_be_understood_is_refused(
    client: Client, query: str, path: str, code: str
) -> None:
    body = problem(client, f"{LIST}?{query}", 400)
    assert body["code"] == "invalid"
    assert [(error["path"], error["code"]) for error in body["errors"]] == [(path, code)]
    assert path in body["detail"]


def test_all_bad_filters_are_named_at_once(client: Client) -> None:
    body = problem(client, f"{LIST}?status=x&on=y", 400)
    assert {error["path"] for error in body["errors"]} == {"status", "on"}


def test_page_size_is_a_hundred_at_most(client: Client, today: object) -> None:
    for number in range(101):
        CertificateFactory(platform_version=str(number), requirements=[])
    assert len(client.get(f"{LIST}?page_size=5000").json()["results"]) == 100


@pytest.mark.parametrize(
    "path",
    [
        f"{LIST}AIK-1999-0001/",
        f"{LIST}AIK-1999-0001/badge.svg",
        f"{LIST}?page=99",
        "/api/v1/checklists/1.99/",
        "/api/v1/no-such-thing/",
    ],
)
def test_what_is_not_there_is_a_problem_document(client: Client, path: str) -> None:
    assert problem(client, path, 404)["code"] == "not_found"


def test_certificate_before_its_issue_is_not_found(client: Client, registry: dict[str, str]) -> None:
    assert problem(client, f"{LIST}{registry['active']}/?on=2026-02-28", 404)["code"] == "not_found"


def test_certificate_of_a_day_to_come_is_not_shown_on_any_date(client: Client, today: object) -> None:
    later = CertificateFactory(on=ISSUED.replace(month=9))
    assert found(client, "") == set()
    assert found(client, "on=2026-10-01") == set()
    problem(client, f"{LIST}{later.number}/", 404)
    problem(client, f"{LIST}{later.number}/?on=2026-10-01", 404)
    problem(client, f"{LIST}{later.number}/badge.svg", 404)


def test_bad_date_on_one_certificate_is_refused(client: Client, registry: dict[str, str]) -> None:
    body = problem(client, f"{LIST}{registry['active']}/?on=soon", 400)
    assert [error["path"] for error in body["errors"]] == ["on"]


def test_writing_is_not_offered(client: Client, registry: dict[str, str]) -> None:
    response = client.delete(f"{LIST}{registry['active']}/")
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")


def test_credentials_are_not_read(client: Client, registry: dict[str, str]) -> None:
    response = client.get(LIST, headers={"authorization": "Token nonsense"})
    assert response.status_code == 200


def test_superseded_certificate_names_its_successor(client: Client, registry: dict[str, str]) -> None:
    former = client.get(f"{LIST}{registry['superseded']}/").json()
    later = client.get(f"{LIST}{registry['renewal']}/").json()
    assert (former["superseded_by"], later["supersedes"]) == (registry["renewal"], registry["superseded"])
    before = client.get(f"{LIST}{registry['superseded']}/?on=2026-03-19").json()
    assert (before["status"], before["superseded_by"]) == ("active", None)


def test_list_asks_the_same_number_of_queries_for_one_and_for_three(
    client: Client, today: object, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for wanted in (1, 3):
        while Certificate.objects.count() < wanted:
            CertificateFactory()
        # Settled, two counts, the page, its requirements, and when the registry last changed.
        with django_assert_num_queries(6):
            assert client.get(LIST).json()["count"] == wanted


def test_checklists_show_the_newest_revision(client: Client) -> None:
    ChecklistFactory(version="1.35")
    ChecklistFactory(version="1.36")
    rows = client.get("/api/v1/checklists/").json()["results"]
    assert [(row["version"], row["revision"], row["source"]) for row in rows] == [
        ("1.35", 1, "builtin"),
        ("1.36", 1, "builtin"),
    ]
    first = rows[0]["requirements"][0]
    assert set(first) == {"id", "title", "category", "level", "description"}


@pytest.mark.parametrize("spelling", ["1.35", "v1.35", "v1.35.3"])
def test_checklist_by_version(client: Client, spelling: str) -> None:
    ChecklistFactory(version="1.35")
    body = client.get(f"/api/v1/checklists/{spelling}/").json()
    assert body["version"] == "1.35"
    assert {row["id"]: row["level"] for row in body["requirements"]}["gang_scheduling"] == "MUST"


def test_badge_states_what_holds_today(client: Client, registry: dict[str, str]) -> None:
    expected = {
        "active": "certified, ends 2027-03-01",
        "expiring": "certified, ends 2026-07-01",
        "expired": "expired 2026-03-01",
        "suspended": "suspended",
        "revoked": "revoked",
        "superseded": "superseded",
        "renewal": "simulated, certifies nothing",
    }
    for name, words in expected.items():
        response = client.get(f"{LIST}{registry[name]}/badge.svg", headers={"accept": "image/svg+xml"})
        svg = response.content.decode()
        assert response["Content-Type"] == "image/svg+xml"
        assert f">{words}</text>" in svg
        assert "style" not in svg
        assert response["Cache-Control"] == "public, max-age=60"


def test_badge_escapes_the_platform_name(client: Client, today: object) -> None:
    number = CertificateFactory(platform_name='<script>"&').number
    svg = client.get(f"{LIST}{number}/badge.svg").content.decode()
    assert "<script" not in svg
    assert "&lt;script&gt;" in svg


def test_schema_describes_the_public_api(client: Client) -> None:
    response = client.get("/api/v1/schema/?format=json")
    paths = response.json()["paths"]
    assert {
        "/api/v1/certifications/",
        "/api/v1/certifications/{number}/",
        "/api/v1/certifications/{number}/badge.svg",
        "/api/v1/checklists/",
        "/api/v1/checklists/{version}/",
    } <= set(paths)
    listed = paths["/api/v1/certifications/"]["get"]
    assert {parameter["name"] for parameter in listed["parameters"]} == {
        "search", "vendor", "kubernetes_version", "status", "assurance", "requirement", "on", "ordering",
        "configuration", "workload", "fields", "cursor", "page", "page_size",
    }  # fmt: skip
    assert "application/problem+json" in listed["responses"]["400"]["content"]


def test_unexpected_error_is_a_problem_document_and_tells_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: object, today: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("registry.querysets.CertificateQuerySet.settled", broken)
    client.raise_request_exception = False
    body = problem(client, LIST, 500)
    assert body["code"] == "internal_error"
    assert "secret" not in str(body)


def test_revocation_shows_at_once(client: Client, registry: dict[str, str], today: Any) -> None:
    certificate = Certificate.objects.get(number=registry["active"])
    services.revoke_certificate(certificate=certificate, reason="Found out.", on=today.date())
    assert client.get(f"{LIST}{registry['active']}/").json()["status"] == "revoked"
    assert registry["active"] in found(client, "status=revoked")

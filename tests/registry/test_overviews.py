"""Pages across certificates: the matrix, vendors, platforms, requirements and checklists."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from conformance.catalogue import builtin_checklists
from registry import overviews, services
from registry.models import Certificate, CertificateRequirement, Checklist, FormerAddress
from tests.registry.factories import (
    ISSUED,
    CertificateFactory,
    ChecklistFactory,
    RequirementSnapshotFactory,
)
from tests.registry.reading import queries_of, table_rows, words

pytestmark = pytest.mark.django_db

OVERVIEWS = [
    "/matrix/",
    "/vendors/",
    "/vendors/acme-cloud/",
    "/vendors/acme-cloud/tundra/",
    "/requirements/",
    "/requirements/gang_scheduling/",
    "/checklists/1.35/",
    "/statistics/",
    "/changes/",
    "/changes/feed.atom",
    "/changes/feed.json",
    "/sitemap.xml",
    "/sitemap-pages.xml",
    "/sitemap-0.xml",
    "/robots.txt",
    "/card.png",
]
# For programs, what must be hidden as well.
FOR_PROGRAMS = [
    "/api/v1/vendors/",
    "/api/v1/statistics/",
    "/api/v1/requirements/gang_scheduling/",
    "/api/v1/changes/",
    *(
        f"/api/v1/exports/{name}.csv"
        for name in ("certifications", "requirements", "changes", "vendors", "checklists")
    ),
]


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    cache.clear()


def checklist_of(
    version: str, rows: list[tuple[str, str, str, str]], *, source: str = "programme"
) -> Checklist:
    """A published checklist of (category, id, level, description)."""
    from conformance.catalogue import Category, Level, Requirement
    from conformance.catalogue import Checklist as Described

    categories: dict[str, list[Requirement]] = {}
    for category, id_, level, description in rows:
        categories.setdefault(category, []).append(Requirement(id_, description, Level(level)))
    described = Described(
        version=version,
        categories=tuple(Category(key, tuple(found)) for key, found in categories.items()),
        digest=f"{version:0>64}",
        published_wording=source == "programme",
    )
    return services.publish_checklist(checklist=described, source=source)[0]


# --- The matrix ---------------------------------------------------------------------------------------


def test_matrix_shows_what_holds_for_the_newest_version(client: Client, registry: dict[str, str]) -> None:
    response = client.get("/matrix/")
    assert table_rows(response) == ["Harbour 2.1 Old Harbour Verified Attested Waived"]
    assert re.findall(r'aria-current="page">([\d.]+)<', response.content.decode()) == ["1.36"]


def test_matrix_of_a_version_leaves_out_what_does_not_hold(client: Client, registry: dict[str, str]) -> None:
    rows = table_rows(client.get("/matrix/?kubernetes_version=v1.35.2"))
    assert [row.split(" Acme Cloud")[0] for row in rows] == ["Fjord 1.0", "Tundra 1.0"]
    assert "simulated" in rows[1]


def test_matrix_has_the_columns_of_the_published_checklist(client: Client, registry: dict[str, str]) -> None:
    ChecklistFactory(version="1.36")
    response = client.get("/matrix/")
    columns = re.findall(
        r'class="matrix__requirement"><a href="/requirements/(\w+)/"', response.content.decode()
    )
    assert columns == [row.id for _category, row in builtin_checklists()["1.36"].requirements()]
    assert "Not asked" in table_rows(response)[0]


def test_matrix_links_to_certificates_and_says_what_its_words_mean(
    client: Client, registry: dict[str, str]
) -> None:
    response = client.get("/matrix/")
    assert f'<a href="/certified/{registry["active"]}/">Harbour 2.1</a>' in response.content.decode()
    assert "Vendor ran the vendor ran our check and handed in the sealed report" in words(response)


def test_matrix_of_a_version_without_certificates_says_so(client: Client, registry: dict[str, str]) -> None:
    assert "No certificate holds for this version today" in words(
        client.get("/matrix/?kubernetes_version=1.20")
    )


def test_matrix_of_an_empty_registry_says_so(client: Client) -> None:
    assert "No certificate holds for this version today" in words(client.get("/matrix/"))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"verdict": "pass", "assurance": "portal_verified"}, "verified"),
        ({"verdict": "pass", "assurance": "vendor_run"}, "vendor_run"),
        ({"verdict": "pass", "assurance": "self_attested"}, "attested"),
        ({"assurance": "self_attested"}, "attested"),
        ({"verdict": "unknown", "assurance": "self_attested"}, "attested"),
        ({"verdict": "fail", "assurance": "self_attested"}, "failed"),
        ({"verdict": "fail", "waived": True, "claim": "N/A"}, "waived"),
        ({"claim": "Partially Implemented"}, "partly"),
        ({"claim": "Not Implemented"}, "not"),
        ({"claim": ""}, "unclaimed"),
        ({"verdict": "not_applicable"}, "unclaimed"),
    ],
)
def test_cell_says_how_a_requirement_stands(values: dict[str, Any], expected: str) -> None:
    row = CertificateRequirement(**{"claim": "Implemented", "requirement_id": "gang_scheduling", **values})
    assert overviews.cell_of(row) == expected
    assert expected in overviews.CELLS


def test_cell_of_a_requirement_that_is_not_listed_is_not_asked() -> None:
    assert overviews.cell_of(None) == "absent"


# --- Vendors and platforms ------------------------------------------------------------------------------


def test_vendors_are_listed_with_what_holds_and_what_was_ever_issued(
    client: Client, registry: dict[str, str]
) -> None:
    rows = table_rows(client.get("/vendors/"))
    # Of Acme Cloud's six, one holds and one more is a simulated renewal.
    assert rows == ["Acme Cloud 2 6", "Old Harbour 1 1"]


def test_vendors_are_found_by_a_part_of_their_name(client: Client, registry: dict[str, str]) -> None:
    assert table_rows(client.get("/vendors/?search=HARB")) == ["Old Harbour 1 1"]
    assert "No vendor matches" in words(client.get("/vendors/?search=zzz"))


def test_vendor_page_tells_what_holds_from_what_does_not(client: Client, registry: dict[str, str]) -> None:
    page = client.get("/vendors/acme-cloud/").content.decode()
    holding, ended = page.split('id="ended-heading"')
    numbers = {name: f"/certified/{number}/" for name, number in registry.items()}
    assert {name for name, path in numbers.items() if path in holding} == {"expiring", "renewal"}
    assert {name for name, path in numbers.items() if path in ended} == {
        *("expired", "suspended", "revoked", "superseded"),
    }
    assert 'href="/vendors/acme-cloud/fjord/"' in holding


def test_vendor_without_anything_that_holds_says_so(client: Client, today: datetime) -> None:
    CertificateFactory(on=date(2024, 1, 1))
    text = words(client.get("/vendors/acme-cloud/"))
    assert "Nothing is certified today." in text
    assert "Expired" in text


def test_vendor_that_nobody_knows_is_not_found(client: Client, registry: dict[str, str]) -> None:
    assert client.get("/vendors/nobody/").status_code == 404
    assert client.get("/vendors/acme-cloud/nothing/").status_code == 404


def test_platform_has_one_address_for_all_its_certificates(client: Client, registry: dict[str, str]) -> None:
    page = client.get("/vendors/acme-cloud/tundra/").content.decode()
    assert page.index(registry["renewal"]) < page.index(registry["superseded"])
    assert registry["expiring"] not in page


def test_former_address_leads_to_the_present_one(client: Client, registry: dict[str, str]) -> None:
    FormerAddress.objects.create(kind="vendor", vendor_slug="acme-old", to_vendor_slug="acme")
    FormerAddress.objects.create(kind="vendor", vendor_slug="acme", to_vendor_slug="acme-cloud")
    FormerAddress.objects.create(
        kind="platform",
        vendor_slug="acme-cloud",
        platform_slug="steppe",
        to_vendor_slug="acme-cloud",
        to_platform_slug="tundra",
    )
    for path, leads_to in (
        ("/vendors/acme-old/", "/vendors/acme-cloud/"),
        ("/vendors/acme/", "/vendors/acme-cloud/"),
        ("/vendors/acme-cloud/steppe/", "/vendors/acme-cloud/tundra/"),
        ("/vendors/acme-old/steppe/", "/vendors/acme-cloud/tundra/"),
        ("/vendors/Acme-Cloud/", "/vendors/acme-cloud/"),
    ):
        response = client.get(path)
        assert (response.status_code, response["Location"]) == (301, leads_to), path


def test_addresses_that_were_swapped_lead_round_in_no_circle(
    client: Client, registry: dict[str, str]
) -> None:
    FormerAddress.objects.create(kind="vendor", vendor_slug="acme-cloud", to_vendor_slug="acme")
    FormerAddress.objects.create(kind="vendor", vendor_slug="acme", to_vendor_slug="acme-cloud")
    assert overviews.present_address("acme-cloud") is None or overviews.present_address("acme") is None


def test_what_was_certified_under_a_former_name_stands_on_the_vendors_page(
    client: Client, registry: dict[str, str]
) -> None:
    number = CertificateFactory(vendor="Acme Labs", platform_name="Crater").number
    FormerAddress.objects.create(kind="vendor", vendor_slug="acme-labs", to_vendor_slug="acme-cloud")
    assert number in client.get("/vendors/acme-cloud/").content.decode()
    assert client.get("/vendors/acme-labs/crater/")["Location"] == "/vendors/acme-cloud/crater/"
    assert number in client.get("/vendors/acme-cloud/crater/").content.decode()


# --- Requirements and checklists ----------------------------------------------------------------------------


def test_requirements_show_their_level_in_each_checklist(client: Client, registry: dict[str, str]) -> None:
    for version in ("1.33", "1.34", "1.36"):
        ChecklistFactory(version=version)
    rows = {row.split("  ")[0]: row for row in table_rows(client.get("/requirements/"))}
    line = next(row for row in rows.values() if row.startswith("Dynamic resource allocation"))
    # Newest first: gone in 1.36, MUST in 1.34, SHOULD in 1.33.
    assert re.search(r"not in this checklist MUST SHOULD", line)
    met = next(row for row in rows.values() if row.startswith("Gang scheduling"))
    assert met.endswith(" 3")


def test_requirements_without_checklists_say_so(client: Client) -> None:
    assert "No checklist has been published yet" in words(client.get("/requirements/"))


def test_requirement_page_says_what_is_asked_how_it_is_checked_and_who_meets_it(
    client: Client, registry: dict[str, str]
) -> None:
    checklist_of("1.34", [("security", "gang_scheduling", "SHOULD", "All pods or none.")])
    checklist_of("1.35", [("security", "gang_scheduling", "MUST", "All pods of a group or none.")])
    checklist_of("1.36", [("security", "gang_scheduling", "MUST", "All pods of a group or none.")])
    response = client.get("/requirements/gang_scheduling/")
    text = words(response)
    assert "1.36 MUST Worded as in the checklist before." in text
    assert "1.35 MUST All pods of a group or none." in text
    assert "1.34 SHOULD All pods or none." in text
    assert "3 of 3 certificates that hold today" in text
    assert "Test plan 53 of the programme." in text
    listed = {
        name for name, number in registry.items() if f"/certified/{number}/" in response.content.decode()
    }
    assert listed == {"active", "expiring", "renewal"}


def test_requirement_that_is_not_met_is_not_counted(client: Client, today: datetime) -> None:
    CertificateFactory(requirements=[RequirementSnapshotFactory(claim="Not Implemented")])
    CertificateFactory(requirements=[RequirementSnapshotFactory(verdict="fail")])
    assert "0 of 2 certificates that hold today" in words(client.get("/requirements/gang_scheduling/"))


def test_requirement_that_nobody_knows_is_not_found(client: Client) -> None:
    assert client.get("/requirements/perpetual_motion/").status_code == 404


def test_requirement_that_is_in_no_checklist_yet_says_so(client: Client) -> None:
    assert "No published checklist has this requirement." in words(
        client.get("/requirements/gang_scheduling/")
    )


def test_checklist_page_shows_its_requirements_and_what_is_new(client: Client) -> None:
    checklist_of(
        "1.34",
        [
            ("accelerators", "dra_support", "MUST", "Claims work."),
            ("accelerators", "gpu_sharing", "SHOULD", "Shares work."),
            ("security", "gang_scheduling", "SHOULD", "All pods or none."),
            ("security", "ai_inference", "MUST", "Traffic is split."),
            ("security", "accelerator_metrics", "MUST", "Figures are there."),
        ],
    )
    checklist_of(
        "1.35",
        [
            ("accelerators", "gpu_sharing", "SHOULD", "Shares work well."),
            ("scheduling", "gang_scheduling", "MUST", "All pods or none."),
            ("security", "ai_inference", "SHOULD", "Traffic is split."),
            ("security", "accelerator_metrics", "MUST", "Figures are there."),
            ("security", "workload_sandboxing", "SHOULD", "Sandboxes hold."),
        ],
    )
    response = client.get("/checklists/1.35/")
    found = re.findall(
        r'class="difference difference--(\w+)">.*?/requirements/(\w+)/', response.content.decode(), re.DOTALL
    )
    assert found == [
        ("reworded", "gpu_sharing"),
        ("raised", "gang_scheduling"),
        ("moved", "gang_scheduling"),
        ("lowered", "ai_inference"),
        ("added", "workload_sandboxing"),
        ("removed", "dra_support"),
    ]
    text = words(response)
    assert "What is different from 1.34" in text
    assert "Shares work. Shares work well." in text
    assert "From Security to Scheduling." in text
    # The other way round, by the address.
    back = client.get("/checklists/1.34/?from=1.35").content.decode()
    assert 'class="difference difference--added"' in back
    assert "dra_support" in back


def test_checklists_in_different_words_are_not_compared_by_their_words(client: Client) -> None:
    checklist_of("1.34", [("security", "gang_scheduling", "MUST", "All or none.")])
    checklist_of("1.35", [("security", "gang_scheduling", "MUST", "In our words.")], source="builtin")
    text = words(client.get("/checklists/1.35/"))
    assert "Nothing." in text
    assert "the wordings were not compared" in text


def test_checklist_shows_its_newest_revision(client: Client) -> None:
    checklist_of("1.35", [("security", "gang_scheduling", "MUST", "All or none.")])
    corrected = builtin_checklists()["1.35"]
    services.publish_checklist(checklist=corrected, source="programme")
    assert f"{len(list(corrected.requirements()))} requirements. Revision 2" in words(
        client.get("/checklists/1.35/")
    )


def test_first_checklist_has_nothing_to_be_compared_with(client: Client) -> None:
    ChecklistFactory(version="1.35")
    response = client.get("/checklists/1.35/")
    assert response.status_code == 200
    assert 'id="differences"' not in response.content.decode()


def test_checklist_in_another_spelling_leads_to_its_address(client: Client) -> None:
    ChecklistFactory(version="1.35")
    response = client.get("/checklists/v1.35.3/")
    assert (response.status_code, response["Location"]) == (301, "/checklists/1.35/")
    assert client.get("/checklists/1.99/").status_code == 404
    assert client.get("/checklists/nonsense/").status_code == 404


# --- What holds for all of them ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/matrix/?kubernetes_version=1.35",
        "/vendors/",
        "/vendors/acme-cloud/",
        "/vendors/acme-cloud/engine/",
        "/requirements/",
        "/requirements/gang_scheduling/",
        "/checklists/1.35/",
        "/statistics/",
        "/changes/",
        "/changes/feed.atom",
        "/changes/feed.json",
        "/sitemap.xml",
        "/sitemap-pages.xml",
        "/sitemap-0.xml",
    ],
)
def test_overview_asks_the_same_number_of_queries_for_one_and_for_three(
    client: Client, today: datetime, path: str
) -> None:
    ChecklistFactory(version="1.35")
    CertificateFactory(platform_name="Engine")
    client.get(path)  # what is asked once in the life of a process
    cache.clear()
    one = queries_of(client, path)
    CertificateFactory(platform_name="Engine", platform_version="2.0", vendor="Acme Cloud")
    CertificateFactory(platform_name="Engine", platform_version="3.0", configuration="edge")
    for version in ("1.36", "1.37"):
        ChecklistFactory(version=version)
    cache.clear()
    assert queries_of(client, path) == one


@pytest.mark.parametrize("path", OVERVIEWS)
def test_overview_may_be_kept_and_is_not_sent_twice(
    client: Client, registry: dict[str, str], path: str
) -> None:
    ChecklistFactory(version="1.35")
    response = client.get(path)
    assert response.status_code == 200
    assert response["Cache-Control"] == "public, max-age=60"
    assert "Set-Cookie" not in response
    again = client.get(path, headers={"if-none-match": response["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.post(path).status_code == 405


def read(client: Client, path: str) -> bytes:
    response: Any = client.get(path)
    assert response.status_code == 200, path
    return b"".join(response) if response.streaming else bytes(response.content)


@pytest.mark.parametrize("path", [*OVERVIEWS, *FOR_PROGRAMS])
def test_embargo_leaks_nowhere(
    client: Client, registry: dict[str, str], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ChecklistFactory(version="1.35")
    before = read(client, path)
    secret = CertificateFactory(
        platform_name="Secret launch",
        vendor="Secret vendor",
        kubernetes_version="1.99",
        on=ISSUED.replace(month=9),
    )
    also = CertificateFactory(platform_name="Harbour", vendor="Old Harbour", on=ISSUED.replace(month=9))
    cache.clear()
    after = read(client, path)
    assert after == before
    for text in (b"ecret", secret.number.encode(), also.number.encode()):
        assert text not in after
    for hidden in (
        *("/vendors/secret-vendor/", "/vendors/secret-vendor/secret-launch/"),
        f"/certified/{secret.number}/card.png",
    ):
        assert client.get(hidden).status_code == 404
    # On its day it is there.
    monkeypatch.setattr(timezone, "now", lambda: datetime(2026, 9, 1, 9, tzinfo=UTC))
    assert client.get("/vendors/secret-vendor/").status_code == 200


def test_names_of_vendors_are_escaped_everywhere(client: Client, today: datetime) -> None:
    hostile = "<script>alert(1)</script>"
    CertificateFactory(platform_name=hostile, vendor=hostile, description=hostile)
    certificate = Certificate.objects.get()
    for path in (
        *("/matrix/", "/vendors/", "/changes/", "/statistics/", "/requirements/gang_scheduling/"),
        *(
            "/changes/feed.atom",
            f"/certified/{certificate.number}/",
            f"/sitemap-{certificate.pk // 1000}.xml",
        ),
        f"/vendors/{certificate.vendor_slug}/",
        f"/vendors/{certificate.vendor_slug}/{certificate.platform_slug}/",
    ):
        response = client.get(path)
        assert response.status_code == 200, path
        assert hostile not in response.content.decode(), path

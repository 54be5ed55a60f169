"""The public pages: what they list, what they say, what they never say."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from registry.caching import seconds_left_today
from registry.models import Certificate
from tests.registry.factories import ISSUED, CertificateFactory, RequirementSnapshotFactory
from tests.registry.reading import words

pytestmark = pytest.mark.django_db


def rows(response: HttpResponse) -> list[str]:
    return re.findall(r'name="c" value="([^"]+)"', response.content.decode())


@pytest.mark.parametrize("path", ["/", "/certified/"])
def test_list_shows_every_certificate_newest_first(
    client: Client, registry: dict[str, str], path: str
) -> None:
    response = client.get(path)
    assert len(rows(response)) == 7
    assert rows(response)[0] == registry["renewal"]
    assert "7 certificates" in words(response)


def test_list_says_how_we_know(client: Client, registry: dict[str, str]) -> None:
    assert "1 of 3 verified by the portal, 1 attested, 1 waived" in words(
        client.get("/certified/?search=harbour")
    )


def test_list_says_that_nothing_was_verified(client: Client, today: datetime) -> None:
    CertificateFactory(requirements=[RequirementSnapshotFactory()])
    assert "1 of 1 attested by the vendor, none verified" in words(client.get("/certified/"))


@pytest.mark.parametrize(
    ("query", "badge"),
    [
        ("search=harbour", "Certified"),
        ("status=expiring", "Certified Expiring soon 30 days left"),
        ("status=expired", "Expired"),
        ("status=suspended", "Suspended"),
        ("status=revoked", "Revoked"),
        ("status=superseded", "Superseded"),
        ("search=tundra&status=active", "Simulated: certified"),
    ],
)
def test_list_shows_the_status_in_words(
    client: Client, registry: dict[str, str], query: str, badge: str
) -> None:
    response = client.get(f"/certified/?{query}")
    assert len(rows(response)) == 1
    table = response.content.decode().split("<tbody>")[1]
    cell = re.search(r'<td data-label="Status">(.*?)</td>', table, re.DOTALL)
    assert cell is not None
    assert re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", cell[1])).strip() == badge


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("vendor=old-harbour", {"active"}),
        ("kubernetes_version=1.36", {"active"}),
        ("assurance=self_attested", {"expiring"}),
        ("requirement=gang_scheduling&status=revoked", {"revoked"}),
        ("on=2025-08-01", {"expiring", "expired"}),
        ("on=2026-03-10&search=lagoon", {"revoked"}),
    ],
)
def test_list_filters_as_the_api_does(
    client: Client, registry: dict[str, str], query: str, expected: set[str]
) -> None:
    assert set(rows(client.get(f"/certified/?{query}"))) == {registry[name] for name in expected}


def test_list_of_a_past_day_says_so(client: Client, registry: dict[str, str]) -> None:
    text = words(client.get("/certified/?on=2026-03-10"))
    assert "6 certificates as of 10 March 2026" in text
    assert "Statuses are those of that day." in text


def test_list_of_a_coming_day_says_that_it_is_no_promise(client: Client, registry: dict[str, str]) -> None:
    assert "if nothing is suspended, revoked or renewed" in words(client.get("/certified/?on=2027-01-01"))


def test_list_with_a_filter_it_cannot_understand_shows_nothing_and_says_why(
    client: Client, registry: dict[str, str]
) -> None:
    response = client.get("/certified/?on=31.12.2026")
    assert rows(response) == []
    assert "The filters could not be applied As of: This is no date." in words(response)


def test_list_keeps_what_was_asked_in_the_form(client: Client, registry: dict[str, str]) -> None:
    page = client.get("/certified/?search=harb&vendor=nobody&status=active").content.decode()
    assert 'value="harb"' in page
    # What the links chose goes along with the next search.
    assert '<input type="hidden" form="filters" name="vendor" value="nobody">' in page
    assert '<input type="hidden" form="filters" name="status" value="active">' in page


def test_empty_list_says_what_to_do(client: Client, registry: dict[str, str]) -> None:
    assert "No certificate matches" in words(client.get("/certified/?search=zzz"))


def test_empty_registry_says_so(client: Client) -> None:
    assert "Nothing is certified yet" in words(client.get("/"))


def test_pages_of_the_list_keep_the_filters(client: Client, today: datetime) -> None:
    for version in range(26):
        CertificateFactory(platform_version=str(version), requirements=[])
    first = client.get("/certified/?vendor=acme-cloud")
    assert len(rows(first)) == 25
    assert 'href="/certified/?vendor=acme-cloud&amp;page=2"' in first.content.decode()
    assert len(rows(client.get("/certified/?vendor=acme-cloud&page=2"))) == 1


def test_search_by_htmx_answers_the_fragment_and_the_address_to_share(
    client: Client, registry: dict[str, str]
) -> None:
    response = client.get("/certified/?search=harbour&vendor=&status=", headers={"hx-request": "true"})
    assert response.content.decode().strip().startswith('<div class="listing results" id="results">')
    assert response["HX-Push-Url"] == "/certified/?search=harbour"
    assert "HX-Request" in response["Vary"]


def test_history_restored_by_htmx_gets_the_whole_page(client: Client, registry: dict[str, str]) -> None:
    headers = {"hx-request": "true", "hx-history-restore-request": "true"}
    assert "<!doctype html>" in client.get("/certified/", headers=headers).content.decode()


def test_certificate_page_shows_what_stands_behind_each_requirement(
    client: Client, registry: dict[str, str]
) -> None:
    response = client.get(f"/certified/{registry['active']}/")
    text = words(response)
    assert "Gang scheduling MUST gang_scheduling" in text
    assert "Vendor claims Implemented Observed Pass How we know Verified by the portal" in text
    assert "Vendor claims Implemented Observed Not checked How we know Attested by the vendor" in text
    assert "Waived. Bare metal only." in text
    assert "Holds until the end of 28 February 2027 (273 days left)" in text


def test_certificate_page_links_web_addresses_only_and_without_endorsement(
    client: Client, today: datetime
) -> None:
    evidence = ("https://docs.example.org/a", "javascript:alert(1)", "//evil.example", "results/junit.xml")
    number = CertificateFactory(requirements=[RequirementSnapshotFactory(evidence=evidence)]).number
    page = client.get(f"/certified/{number}/").content.decode()
    assert re.findall(r'<a class="external[^>]*href="([^"]+)" rel="nofollow noopener"', page)[:1] == [
        "https://docs.example.org/a"
    ]
    assert 'href="javascript' not in page
    assert 'href="//' not in page
    assert "results/junit.xml" in page


def test_certificate_page_escapes_what_vendors_wrote(client: Client, today: datetime) -> None:
    hostile = "<script>alert(1)</script>"
    row = RequirementSnapshotFactory(notes=hostile, claim="Implemented", waiver_reason=hostile, waived=True)
    number = CertificateFactory(
        platform_name=hostile, vendor=hostile, description=hostile, requirements=[row]
    ).number
    for path in (
        f"/certified/{number}/",
        "/certified/",
        f"/compare/?c={number}",
        f"/verify/?number={number}",
    ):
        assert hostile not in client.get(path).content.decode()


def test_simulated_certificate_says_so_loudly_and_bears_no_seal(
    client: Client, registry: dict[str, str]
) -> None:
    response = client.get(f"/certified/{registry['renewal']}/")
    text = words(response)
    assert "Simulated: certifies nothing" in text
    assert "Simulated: certified" in text
    assert "certificate__seal" not in response.content.decode()


def test_imported_certificate_shows_its_findings(client: Client, today: datetime) -> None:
    finding = {
        "code": "evidence_missing",
        "severity": "error",
        "message": "A MUST has no evidence.",
        "path": "spec.security",
        "line": 12,
        "column": 3,
    }
    number = CertificateFactory(imported=True, findings=[finding]).number
    text = words(client.get(f"/certified/{number}/"))
    assert "Imported record" in text
    assert "Error A MUST has no evidence. spec.security line 12, column 3" in text


@pytest.mark.parametrize(
    ("name", "on", "expected"),
    [
        ("active", "2026-03-01", "Yes On 1 March 2026 Harbour 2.1 was certified"),
        ("active", "2026-02-28", "had not been issued yet; that was on 1 March 2026"),
        ("active", "2026-12-01", "Yes, if nothing changes until then"),
        ("active", "2027-03-01", "will have expired"),
        ("expired", "2026-03-01", "had expired"),
        ("suspended", "2026-05-20", "Suspended On 20 May 2026"),
        ("revoked", "2026-04-01", "was revoked"),
        ("revoked", "2026-03-31", "Yes On 31 March 2026"),
        ("superseded", "2026-03-20", "had been replaced by a newer certificate"),
        ("renewal", "2026-03-20", "Simulated: this certificate certifies nothing."),
    ],
)
def test_question_after_a_date_has_one_answer(
    client: Client, registry: dict[str, str], name: str, on: str, expected: str
) -> None:
    number = registry[name]
    for path in (f"/certified/{number}/?on={on}", f"/verify/?number={number}&on={on}"):
        assert expected in words(client.get(path))


def test_certificate_page_says_of_a_bad_date_what_is_wrong(client: Client, registry: dict[str, str]) -> None:
    assert "This is no date." in words(client.get(f"/certified/{registry['active']}/?on=soon"))


def test_unrecorded_expiry_stands_in_the_history_of_the_page(
    client: Client, registry: dict[str, str]
) -> None:
    assert Certificate.objects.get(number=registry["expired"]).status == "active"
    assert "Expired 1 March 2026" in words(client.get(f"/certified/{registry['expired']}/"))


def test_number_in_small_letters_leads_to_the_certificate(client: Client, registry: dict[str, str]) -> None:
    number = registry["active"]
    response = client.get(f"/certified/{number.lower()}/")
    assert (response.status_code, response["Location"]) == (301, f"/certified/{number}/")


def test_verify_without_a_date_answers_for_today(client: Client, registry: dict[str, str]) -> None:
    text = words(client.get(f"/verify/?number=+{registry['active'].lower()}+"))
    assert "Yes On 1 June 2026 Harbour 2.1 was certified" in text


def test_verify_of_an_unknown_number_says_so(client: Client) -> None:
    assert "No certificate has this number" in words(client.get("/verify/?number=AIK-1999-0001"))


def test_certificate_of_a_day_to_come_is_nowhere(client: Client, today: datetime) -> None:
    number = CertificateFactory(platform_name="Secret launch", on=ISSUED.replace(month=9)).number
    assert client.get(f"/certified/{number}/").status_code == 404
    for path in ("/", "/certified/?on=2026-12-01", f"/compare/?c={number}", f"/verify/?number={number}"):
        assert "Secret launch" not in client.get(path).content.decode()


def test_compare_puts_certificates_side_by_side(client: Client, registry: dict[str, str]) -> None:
    query = f"c={registry['active']}&c={registry['revoked']}&c=AIK-1999-0001"
    text = words(client.get(f"/compare/?{query}"))
    assert "No certificate has the number AIK-1999-0001." in text
    assert "Harbour 2.1" in text
    assert "Lagoon 1.0" in text
    assert "Certified Revoked" in text


def test_compare_takes_five_and_says_what_it_left_out(client: Client, registry: dict[str, str]) -> None:
    numbers = list(registry.values())
    response = client.get("/compare/", {"c": numbers})
    assert f"{numbers[5]}, {numbers[6]} were left out" in words(response)
    assert response.content.decode().count('scope="col"') == 5


def test_compare_says_where_a_checklist_lacks_a_requirement(client: Client, today: datetime) -> None:
    one = CertificateFactory(requirements=[RequirementSnapshotFactory()]).number
    two = CertificateFactory(requirements=[RequirementSnapshotFactory(requirement_id="dra_support")]).number
    assert words(client.get(f"/compare/?c={one}&c={two}")).count("Not in this checklist") == 2


@pytest.mark.parametrize(
    ("path", "expected"), [("/certified/", 8), ("/", 8), ("/compare/?c={0}&c={1}&c={2}", 3)]
)
def test_page_asks_the_same_number_of_queries_for_one_and_for_three(
    client: Client,
    today: datetime,
    django_assert_num_queries: DjangoAssertNumQueries,
    path: str,
    expected: int,
) -> None:
    numbers: list[str] = []
    for wanted in (1, 3):
        while len(numbers) < wanted:
            numbers.append(CertificateFactory().number)
        asked = path.format(*(numbers * 3))
        with django_assert_num_queries(expected):
            assert client.get(asked).status_code == 200


def test_certificate_page_asks_the_same_number_of_queries_for_one_and_for_three_requirements(
    client: Client, today: datetime, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    one = CertificateFactory(requirements=[RequirementSnapshotFactory()])
    for certificate in (one, CertificateFactory()):
        with django_assert_num_queries(5):
            assert client.get(f"/certified/{certificate.number}/").status_code == 200


def test_anonymous_answer_may_be_cached_and_is_not_sent_twice(
    client: Client, registry: dict[str, str]
) -> None:
    response = client.get("/certified/")
    assert response["Cache-Control"] == "public, max-age=60"
    assert "Set-Cookie" not in response
    again = client.get("/certified/", headers={"if-none-match": response["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_answer_to_someone_with_a_cookie_is_private(client: Client, registry: dict[str, str]) -> None:
    client.cookies["sessionid"] = "anything"
    response = client.get("/certified/")
    assert set(response["Cache-Control"].split(", ")) == {"private", "no-cache"}


def test_cached_answer_ends_with_the_day_whose_status_it_states(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = datetime(2026, 6, 1, 23, 59, 40, tzinfo=UTC)
    monkeypatch.setattr(timezone, "now", lambda: late)
    assert seconds_left_today(late) == 20
    assert client.get("/")["Cache-Control"] == "public, max-age=20"


def test_public_pages_are_read_only(client: Client) -> None:
    assert client.post("/certified/").status_code == 405

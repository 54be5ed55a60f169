"""The list from its own columns and its tally says what requirements and history say, whatever happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.http import HttpRequest, QueryDict
from django.test import Client, RequestFactory
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry import facets, services, standing, tallies
from registry.facets import facets_of
from registry.filters import CertificateFilter
from registry.models import Certificate, Tally
from registry.tallies import TallyOn
from tests.registry.factories import CertificateFactory, RequirementSnapshotFactory

pytestmark = pytest.mark.django_db
TODAY = date(2026, 6, 1)
on_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="SQLite looks for words anywhere and ranks roughly."
)


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timezone, "now", lambda: datetime(2026, 6, 1, 12, tzinfo=UTC))


def asked(query: str, request: HttpRequest | None = None) -> CertificateFilter:
    found = CertificateFilter(QueryDict(query), queryset=Certificate.objects.all(), request=request)
    assert found.is_valid()
    return found


def counted(query: str = "", request: HttpRequest | None = None) -> dict[str, dict[str, int]]:
    """Every facet's numbers by value; with a request, from what is remembered."""
    found = facets_of(asked(query, request), QueryDict(query))
    return {facet.name: {choice.value: choice.number for choice in facet.choices} for facet in found.facets}


def tally() -> dict[tuple[str, str, str], int]:
    rows = Tally.objects.filter(number__gt=0).values_list("facet", "value", "status", "number")
    return {(facet, value, status): number for facet, value, status, number in rows}


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(("issue", "suspend", "reinstate", "revoke", "expire")),
        st.integers(0, 3),  # which certificate, or which platform is issued
        st.integers(-20, 200),  # days later; some are dated ahead of today
    ),
    min_size=1,
    max_size=9,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES)
def test_list_by_its_columns_is_the_list_by_the_history(
    noon: None, changes: list[tuple[str, int, int]]
) -> None:
    with transaction.atomic():
        _happen(changes)
        for day in (TODAY - timedelta(days=30), TODAY, TODAY + timedelta(days=400)):
            certificates = Certificate.objects.all()
            known = {row.number: row.status_on for row in certificates.listed(day)}
            if certificates.settled(day):
                fast = {row.number: row.status_on for row in certificates.standing(day)}
                assert fast == known
                if TallyOn(day).is_noticed:
                    recorded = certificates.as_recorded()
                    assert {row.number: row.status_on for row in recorded} == known
                for status in Certificate.Status.values:
                    wanted = {number for number, found in known.items() if found == status}
                    rows = certificates.standing(day).standing_as(status, day)
                    assert set(rows.values_list("number", flat=True)) == wanted
        before = tally()
        standing.recount()
        assert tally() == before
        transaction.set_rollback(True)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES)
def test_what_is_remembered_is_what_holds(noon: None, changes: list[tuple[str, int, int]]) -> None:
    tallies.forget()
    with transaction.atomic():
        for _ in _changes(changes):
            for query in ("", "status=active", "status=expiring", "kubernetes_version=1.36&status=active"):
                for _again in range(2):
                    assert counted(query, request=RequestFactory().get("/")) == counted(query)
        transaction.set_rollback(True)


def test_what_is_remembered_is_not_looked_up_again(
    registry: dict[str, str], django_assert_num_queries: Any
) -> None:
    counted("status=active", request=RequestFactory().get("/"))
    with django_assert_num_queries(1):  # the version
        counted("status=active", request=RequestFactory().get("/"))


def _happen(changes: list[tuple[str, int, int]]) -> None:
    for _ in _changes(changes):
        pass


def _changes(changes: list[tuple[str, int, int]]) -> Iterator[None]:
    """Make the changes that the registry allows, one after the other."""
    day = date(2025, 3, 1)
    issued: list[Certificate] = []
    for name, which, later in changes:
        day += timedelta(days=later)
        try:
            if name == "issue":
                issued.append(CertificateFactory(on=day, platform_name=f"Platform {which}"))
            elif name == "expire":
                services.expire_certificates(today=day)
            elif issued:
                change = getattr(services, f"{name}_certificate")
                change(certificate=issued[which % len(issued)], reason="Because.", on=day)
        except services.RegistryError:
            continue
        yield


QUERIES = ("", "status=active", "status=expired", "vendor=acme-cloud", "search=acme", "status=expiring")


@pytest.mark.parametrize("query", QUERIES)
def test_every_count_is_the_number_of_rows_behind_its_address(
    client: Client, registry: dict[str, str], query: str
) -> None:
    found = facets_of(asked(query), QueryDict(query))
    assert found.total == client.get(f"/api/v1/certifications/?{query}").json()["count"]
    looked = 0
    for facet in found.facets:
        for choice in facet.choices:
            if choice.is_chosen:
                continue
            answer = client.get(choice.address.replace("/certified/", "/api/v1/certifications/"))
            assert answer.json()["count"] == choice.number, (facet.name, choice.value)
            looked += 1
    assert looked > 5


def test_counts_from_the_tally_are_those_from_the_rows(
    registry: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # An expiry that no task has recorded yet counts as one in both.
    CertificateFactory(platform_name="Lapsed", on=date(2025, 5, 1), vendor="Other")
    by_tally = counted()
    monkeypatch.setattr(CertificateFilter, "is_settled", False)
    assert counted() == by_tally


def test_chosen_value_stays_to_be_taken_back_also_where_nothing_matches(registry: dict[str, str]) -> None:
    vendor = next(
        facet for facet in facets_of(asked("vendor=nobody"), QueryDict("vendor=nobody&page=3")).facets
        if facet.name == "vendor"
    )  # fmt: skip
    chosen = next(choice for choice in vendor.choices if choice.is_chosen)
    assert (chosen.value, chosen.number, chosen.address) == ("nobody", 0, "/certified/")
    assert {"acme-cloud", "old-harbour"} <= {choice.value for choice in vendor.choices}


def test_counts_stop_at_a_limit_and_say_so(registry: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facets, "COUNTED_AT_MOST", 3)
    found = facets_of(asked("search=acme"), QueryDict("search=acme"))
    assert (found.total, found.is_least) == (3, True)
    figures = [choice.figure for facet in found.facets for choice in facet.choices]
    assert figures
    assert all(figure.endswith("+") for figure in figures if figure != "0")


def test_vendors_beyond_the_shown_ones_are_counted(noon: None) -> None:
    for number in range(facets.SHOWN_AT_MOST + 3):
        CertificateFactory(vendor=f"Vendor {number}")
    vendor = next(facet for facet in facets_of(asked(""), QueryDict("")).facets if facet.name == "vendor")
    assert (len(vendor.choices), vendor.left_out) == (facets.SHOWN_AT_MOST, 3)


def test_certificate_of_a_day_to_come_is_in_no_count(noon: None) -> None:
    CertificateFactory()
    CertificateFactory(on=TODAY + timedelta(days=10), vendor="Embargoed", configuration="secret")
    assert counted()["vendor"] == {"acme-cloud": 1}
    assert counted()["configuration"] == {"default": 1}


def test_workload_is_served_in_full_by_all_its_requirements(noon: None) -> None:
    def rows(**verdicts: str) -> list[services.RequirementSnapshot]:
        return [
            RequirementSnapshotFactory(requirement_id=id_, verdict=verdict)
            for id_, verdict in verdicts.items()
        ]

    full = CertificateFactory(
        requirements=rows(secure_accelerator_access="pass", robust_controller="pass", gang_scheduling="pass")
    )
    CertificateFactory(
        requirements=rows(secure_accelerator_access="pass", robust_controller="fail", gang_scheduling="pass")
    )
    assert full.workloads.split() == ["agentic", "inference", "mlops", "training"]
    for kind in ("agentic", "training"):
        assert list(asked(f"workload={kind}").qs) == [full]


def test_requirement_is_found_whole_and_not_by_a_part_of_its_name(noon: None) -> None:
    CertificateFactory(requirements=[RequirementSnapshotFactory(requirement_id="x_gang_scheduling_y")])
    assert not Certificate.objects.meeting("gang_scheduling").exists()


def test_platform_that_is_called_so_comes_before_one_that_mentions_it(noon: None) -> None:
    CertificateFactory(platform_name="Harbour")
    CertificateFactory(platform_name="Fjord", vendor="Harbour")
    CertificateFactory(platform_name="Quartz", description="Made with Harbour in mind.")
    page = Client().get("/certified/?search=harbour").content.decode()
    assert page.index("Harbour 1.0</a>") < page.index("Fjord 1.0</a>") < page.index("Quartz 1.0</a>")


@on_postgresql
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("harb", 1),
        ("HARBOUR 2.1", 1),
        ("lts harb", 1),
        ("2.1-lts", 1),
        ("arbour", 0),
        ("x' | 'y", 0),
        ("%", 0),
    ],
)
def test_words_are_found_by_how_they_begin(words: str, expected: int) -> None:
    CertificateFactory(platform_name="Harbour", platform_version="2.1-lts")
    assert Certificate.objects.matching(words).count() == expected


def test_cards_show_what_the_table_shows(client: Client, registry: dict[str, str]) -> None:
    cards = client.get("/certified/?view=cards").content.decode()
    table = client.get("/certified/").content.decode()
    assert cards.count('class="card') - cards.count('class="cards"') - cards.count("card__pick") == 7
    for number in registry.values():
        assert number in cards
        assert number in table
    assert 'href="/certified/?view=cards"' in table


def test_pages_of_a_long_list_end_where_counting_ends(
    client: Client, registry: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.views.PAGE_SIZE", 2)
    monkeypatch.setattr("registry.paging.PAGED_AT_MOST", 4)
    page = client.get("/certified/?page=2").content.decode()
    assert "7 certificates" in page
    assert "Pages end here." in page


def test_answer_of_the_list_is_light(client: Client, registry: dict[str, str]) -> None:
    for number in range(30):
        CertificateFactory(vendor=f"A vendor with a long name, number {number}", on=date(2025, 7, 1))
    assert len(client.get("/").content) < 60_000


def test_counts_of_columns_are_those_of_the_requirements(registry: dict[str, str]) -> None:
    columns: dict[str, Any] = {row.number: row.met.split() for row in Certificate.objects.all()}
    for number, met in columns.items():
        rows = Certificate.objects.get(number=number).requirements.all()
        assert Counter(met) == Counter(row.requirement_id for row in rows if row.is_met)

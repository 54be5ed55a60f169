"""The figures: counted right, drawn as they are told, the same in the chart and in its table."""

from __future__ import annotations

import re
from datetime import date, datetime

import pytest
from django.core.cache import cache
from django.test import Client

from registry import services
from registry.charts import LONGEST, Bar, Group, bars, columns
from registry.statistics import MONTHS, statistics_on
from tests.registry.factories import CertificateFactory, RequirementSnapshotFactory
from tests.registry.reading import table_rows, words

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    cache.clear()


def test_figures_are_those_of_the_day(registry: dict[str, str], today: datetime) -> None:
    figures = statistics_on(today.date())
    assert figures.certified == 3
    assert figures.vendors == 2
    assert figures.by_status == {"active": 3, "suspended": 1, "revoked": 1, "expired": 1, "superseded": 1}
    assert figures.by_version == {"1.35": 2, "1.36": 1}
    assert figures.by_assurance == {"portal_verified": 2, "vendor_run": 0, "self_attested": 1}
    assert figures.by_requirement == {"gang_scheduling": 3, "secure_accelerator_access": 3}


def test_months_tell_what_began_and_what_ended(registry: dict[str, str], today: datetime) -> None:
    services.expire_certificates(today=today.date())
    months = {month: (began, ended) for month, began, ended in statistics_on(today.date()).months}
    assert len(months) == MONTHS
    assert (min(months), max(months)) == (date(2024, 7, 1), date(2026, 6, 1))
    assert months[date(2025, 7, 1)] == (1, 0)
    # Four began in March and one renewed another, which ended; one expired.
    assert months[date(2026, 3, 1)] == (5, 2)
    assert months[date(2026, 4, 1)] == (0, 1)
    assert months[date(2026, 5, 1)] == (0, 0)


def test_months_that_are_kept_are_asked_for_anew_after_a_change(today: datetime) -> None:
    CertificateFactory()
    first = statistics_on(today.date()).months
    CertificateFactory()
    assert statistics_on(today.date()).months != first


def test_page_says_every_figure_in_a_table(client: Client, registry: dict[str, str]) -> None:
    response = client.get("/statistics/")
    assert "1 June 2026" in words(response)
    rows = table_rows(response)
    for row in (
        *("Kubernetes 1.35 2", "Kubernetes 1.36 1", "Verified by the portal 2", "Attested by the vendor 1"),
        *("Certified 3", "Suspended 1", "Revoked 1", "Expired 1", "Superseded 1", "Gang scheduling 3"),
        "March 2026 5 1",
    ):
        assert row in rows


def test_every_chart_has_a_name_a_description_and_a_table(client: Client, registry: dict[str, str]) -> None:
    page = client.get("/statistics/").content.decode()
    charts = re.findall(r"<svg class=\"chart\".*?</svg>", page, re.DOTALL)
    assert len(charts) == page.count('class="data chart-table"') == 6
    for chart in charts:
        named = re.search(r'role="img" aria-labelledby="(\S+) (\S+)"', chart)
        assert named is not None
        assert re.search(rf'<title id="{named[1]}">\w', chart)
        assert re.search(rf'<desc id="{named[2]}">\w', chart)
        assert "style=" not in chart


def test_page_of_an_empty_registry_has_no_charts_of_nothing(client: Client) -> None:
    response = client.get("/statistics/")
    assert response.status_code == 200
    assert "0 certificates of 0 vendors hold" in words(response)
    assert response.content.decode().count('<svg class="chart"') == 1


def test_what_was_seen_to_fail_is_not_met(today: datetime) -> None:
    CertificateFactory(requirements=[RequirementSnapshotFactory(verdict="fail")])
    assert statistics_on(today.date()).by_requirement == {}


def test_bars_are_as_long_as_what_they_stand_for() -> None:
    picture = bars(
        [Bar("A", 8), Bar("B", 4), Bar("C", 0), Bar("<D>", 1000)], key="k", title="T", description="D"
    )
    lengths = re.findall(r'chart__bar--accent" x="0" y="\d+" width="([\d.]+)%"', picture)
    assert [float(length) for length in lengths] == [
        pytest.approx(LONGEST * 8 / 1000, abs=0.01),
        0.5,  # as short as can be seen
        0.0,
        LONGEST,
    ]
    assert "&lt;D&gt;" in picture


def test_columns_are_as_high_as_what_they_stand_for() -> None:
    groups = [Group("January", (4, 2)), Group("February", (0, 1))]
    picture = columns(groups, ("good", "quiet"), key="k", title="T", description="D")
    heights = re.findall(
        r'chart__bar--(\w+)" x="[\d.]+%" y="[\d.]+" width="[\d.]+%" height="([\d.]+)"', picture
    )
    assert heights == [("good", "180.0"), ("quiet", "90.0"), ("quiet", "45.0")]


def test_chart_of_nothing_can_be_drawn() -> None:
    assert "<svg" in bars([], key="k", title="T", description="D")
    assert "<svg" in columns([], ("good",), key="k", title="T", description="D")

"""How the public API is read: fields, pages by cursor, dates, and what one has already."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client

from registry import services
from registry.models import Certificate, RegistryState
from tests.registry.factories import CertificateFactory, ChecklistFactory, RequirementSnapshotFactory

pytestmark = pytest.mark.django_db
ROOT = "/api/v1/"
LIST = f"{ROOT}certifications/"


def problem(client: Client, path: str) -> tuple[int, str, list[tuple[str, str]]]:
    response = client.get(path)
    assert response["Content-Type"] == "application/problem+json"
    body = response.json()
    return body["status"], body["code"], [(error["path"], error["code"]) for error in body.get("errors", [])]


# --- Fields -----------------------------------------------------------------------------------------------


def test_list_answers_with_the_fields_asked_for(client: Client, registry: dict[str, str]) -> None:
    whole = client.get(LIST).json()["results"]
    some = client.get(f"{LIST}?fields=number, status,coverage").json()["results"]
    assert some == [{name: row[name] for name in ("number", "status", "coverage")} for row in whole]


def test_detail_answers_with_the_fields_asked_for(client: Client, registry: dict[str, str]) -> None:
    path = f"{LIST}{registry['suspended']}/"
    assert client.get(f"{path}?fields=history,cure_by").json() == {
        name: client.get(path).json()[name] for name in ("history", "cure_by")
    }


def test_fields_left_empty_are_all_fields(client: Client, registry: dict[str, str]) -> None:
    assert client.get(f"{LIST}?fields=").json()["results"] == client.get(LIST).json()["results"]


@pytest.mark.parametrize("fields", ["number,secret", ",", "number,", "Number", "logo_url"])
def test_unknown_field_is_refused(client: Client, registry: dict[str, str], fields: str) -> None:
    expected = (400, "invalid", [("fields", "unknown_field")])
    assert problem(client, f"{LIST}?fields={fields}") == expected
    assert problem(client, f"{LIST}{registry['active']}/?fields={fields}") == expected


def test_requirements_are_not_read_where_they_are_not_asked_for(
    client: Client, registry: dict[str, str], django_assert_num_queries: Any
) -> None:
    client.get(LIST)  # From now on it is known what follows from the registry as a whole.
    with django_assert_num_queries(3):
        client.get(LIST)
    with django_assert_num_queries(2):
        client.get(f"{LIST}?fields=number,status")


# --- Pages by cursor ---------------------------------------------------------------------------------------


def followed(client: Client, path: str) -> list[str]:
    """Numbers on all pages, from `next` to `next`."""
    numbers, url = [], path
    while url:
        body = client.get(url).json()
        numbers += [row["number"] for row in body["results"]]
        url = body["next"] and urlsplit(body["next"])._replace(scheme="", netloc="").geturl()
    return numbers


@pytest.mark.parametrize("ordering", ["", "number", "-platform_name", "vendor", "-expires_on", "-issued_on"])
def test_cursor_shows_each_row_once_in_order(client: Client, today: object, ordering: str) -> None:
    for number in range(7):
        CertificateFactory(platform_name=f"Engine {number % 3}", vendor=f"V {number % 2}", requirements=[])
    whole = [row["number"] for row in client.get(f"{LIST}?ordering={ordering}").json()["results"]]
    assert followed(client, f"{LIST}?ordering={ordering}&page_size=2&cursor=") == whole
    assert followed(client, f"{LIST}?ordering={ordering}&page_size=2") == whole
    assert len(set(whole)) == 7


def test_cursor_shows_no_row_twice_when_one_is_added(client: Client, today: object) -> None:
    for _ in range(4):
        CertificateFactory(requirements=[])
    first = client.get(f"{LIST}?page_size=2&cursor=").json()
    CertificateFactory(requirements=[])
    rest = followed(client, urlsplit(first["next"])._replace(scheme="", netloc="").geturl())
    shown = [row["number"] for row in first["results"]] + rest
    assert len(shown) == len(set(shown)) == 4


def test_cursor_keeps_the_filters(client: Client, registry: dict[str, str]) -> None:
    following = client.get(f"{LIST}?status=active&page_size=1&cursor=&fields=number").json()["next"]
    asked = parse_qs(urlsplit(following).query)
    assert {name: asked[name] for name in ("status", "page_size", "fields")} == {
        "status": ["active"],
        "page_size": ["1"],
        "fields": ["number"],
    }


@pytest.mark.parametrize("cursor", ["x", "LS0t", "bnVsbA", "=" * 700, "é", "WyJudW1iZXIiLCAieCIsIDFd"])
def test_cursor_of_no_list_is_refused(client: Client, registry: dict[str, str], cursor: str) -> None:
    assert problem(client, f"{LIST}?cursor={cursor}") == (400, "invalid", [("cursor", "bad_cursor")])


@pytest.mark.parametrize(
    "path", ["certifications/?page=", "vendors/?page=", "checklists/?page=", "certifications/?page_size="]
)
def test_page_that_is_none_is_not_found_and_an_empty_one_is_the_first(
    client: Client, registry: dict[str, str], path: str
) -> None:
    assert client.get(f"{ROOT}{path}").status_code == 200
    if "size" not in path:
        for value in ("0", "-1", "99", "x", "1.5", "9" * 30, "%D9%A1"):
            assert problem(client, f"{ROOT}{path}{value}")[:2] == (404, "not_found")


# --- Dates ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("platform=Harbour&on=2026-02-28", (False, True, False)),
        ("platform=Harbour&on=2026-03-01", (True, True, False)),
        ("platform=harbour&vendor=old-harbour&version=2.1", (True, True, False)),
        ("platform=Harbour&version=9", (False, False, False)),
        ("platform=Meridian&on=2026-05-19", (True, True, False)),
        ("platform=Meridian&on=2026-05-20", (False, True, False)),
        ("platform=Quartz&on=2026-02-28", (True, True, False)),
        ("platform=Quartz&on=2026-03-01", (False, True, False)),
        ("platform=Harbour&on=2027-02-28", (True, True, True)),
        ("platform=Harbour&on=9999-12-31", (False, True, True)),
        ("platform=Nowhere", (False, False, False)),
        ("number=aik-1999-0001", (False, False, False)),
    ],
)
def test_certified_on_a_day_in_one_call(
    client: Client, registry: dict[str, str], query: str, expected: tuple[bool, bool, bool]
) -> None:
    body = client.get(f"{ROOT}certified/?{query}").json()
    assert (body["certified"], body["known"], body["future"]) == expected


def test_certified_names_every_certificate_of_the_platform(client: Client, registry: dict[str, str]) -> None:
    body = client.get(f"{ROOT}certified/?platform=Tundra&on=2026-03-19").json()
    assert {row["number"]: row["status"] for row in body["certificates"]} == {
        registry["superseded"]: "active",
        registry["renewal"]: None,
    }


@pytest.mark.parametrize(
    "query", ["", "number=AIK-2026-0001&platform=Harbour", "platform=Harbour&on=soon", "platform=%00"]
)
def test_question_that_names_nothing_or_too_much_is_refused(
    client: Client, registry: dict[str, str], query: str
) -> None:
    assert problem(client, f"{ROOT}certified/?{query}")[:2] == (400, "invalid")


# --- What one has already -----------------------------------------------------------------------------------

PATHS = (
    *("certifications/", "certifications/?status=active&fields=number", "certifications/{active}/"),
    *("certifications/{active}/badge.svg", "certifications/{active}/credential/", "status-lists/1/"),
    *("certified/?platform=Harbour", "changes/", "vendors/", "checklists/", "checklists/1.36/"),
    *("requirements/gang_scheduling/", "statistics/", "exports/", "schema/"),
)


@pytest.fixture
def settled(registry: dict[str, str], today: datetime) -> dict[str, str]:
    """A registry that has not changed for an hour, with a checklist."""
    ChecklistFactory(version="1.36")
    RegistryState.objects.update(changed_at=today - timedelta(hours=1))
    return registry


@pytest.mark.parametrize("path", PATHS)
def test_answer_is_not_sent_to_whoever_has_it(client: Client, settled: dict[str, str], path: str) -> None:
    address = f"{ROOT}{path.format(**settled)}"
    first = client.get(address)
    assert first.status_code == 200
    assert set(first["Cache-Control"].split(", ")) == {"public", "max-age=60"}
    assert first["Last-Modified"] == "Mon, 01 Jun 2026 11:00:00 GMT"
    for headers in ({"if-none-match": first["ETag"]}, {"if-modified-since": first["Last-Modified"]}):
        for ask in (client.get, client.head):
            again = ask(address, headers=headers)
            assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
            assert again["Cache-Control"] == first["Cache-Control"]
    assert client.get(address, headers={"if-none-match": '"another"'}).content == first.content


@pytest.mark.parametrize("path", PATHS)
def test_head_is_the_beginning_of_get(client: Client, settled: dict[str, str], path: str) -> None:
    address = f"{ROOT}{path.format(**settled)}"
    whole, head = client.get(address), client.head(address)
    assert (head.status_code, head.content) == (200, b"")
    same = ("Content-Type", "ETag", "Last-Modified", "Cache-Control", "Vary")
    assert {name: head.get(name) for name in same} == {name: whole.get(name) for name in same}


@pytest.mark.parametrize("path", PATHS[:3])
def test_change_gives_another_tag(client: Client, settled: dict[str, str], path: str) -> None:
    address = f"{ROOT}{path.format(**settled)}"
    former = client.get(address)["ETag"]
    certificate = Certificate.objects.get(number=settled["active"])
    services.revoke_certificate(certificate=certificate, reason="Found out.", on=certificate.issued_on)
    changed = client.get(address, headers={"if-none-match": former})
    assert changed.status_code == 200
    assert changed["ETag"] != former


def test_error_is_not_kept(client: Client, settled: dict[str, str]) -> None:
    for path in ("certifications/AIK-1999-0001/", "certifications/?status=x", "none/"):
        assert "public" not in client.get(f"{ROOT}{path}").get("Cache-Control", "")


def test_awkward_words_are_found_and_shown_as_they_are(client: Client, today: object) -> None:
    text = "港 “Ω” <b>&amp;</b> 'x'"
    row = CertificateFactory(
        platform_name=text, vendor=text, requirements=[RequirementSnapshotFactory(notes=text)]
    )
    (found,) = client.get(LIST, {"vendor": text}).json()["results"]
    assert (found["number"], found["platform_name"], found["requirements"][0]["notes"]) == (
        row.number,
        text,
        text,
    )

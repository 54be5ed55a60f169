"""Exports: what is written can be read again, and is what was there."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import yaml
from django.http import StreamingHttpResponse
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from registry import exports, services
from registry.models import Certificate, RegistryState
from tests.registry.factories import ISSUED, CertificateFactory, ChecklistFactory, RequirementSnapshotFactory

pytestmark = pytest.mark.django_db
ROOT = "/api/v1/exports/"
NAMES = ("certifications", "requirements", "changes", "vendors", "checklists")
# What breaks formats: signs of their own, formulas, line ends of all kinds, other scripts, much of it.
AWKWARD = (
    "港の「岸」",
    'He said "no", twice',
    "one\ntwo\r\nthree\rfour",
    "a\u0085b\u2028c\u2029d",
    "=HYPERLINK(1)",
    "+1",
    "-1",
    "@x",
    "'quoted'",
    "\ttab",
    "\uff1dwide",
    " leading and trailing ",
    "- item: {a: [b]} # no",
    "null",
    "true",
    "2026-03-01",
    "1.10",
    "\\u0041 \\ %41",
    "😀",
    "\ufeffmark",
    "x" * 30_000,
    "",
)


@pytest.fixture
def settled(registry: dict[str, str], today: datetime) -> None:
    """The registry has not changed for a while."""
    RegistryState.objects.update(changed_at=today - timedelta(hours=1))


def read(client: Client, path: str) -> str:
    response = client.get(f"{ROOT}{path}")
    assert response.status_code == 200, response.content
    assert isinstance(response, StreamingHttpResponse)
    return b"".join(response).decode()


def from_csv(text: str) -> list[dict[str, str]]:
    """Rows as a program reads them: an apostrophe at the beginning of a cell is not part of it."""
    rows = csv.DictReader(io.StringIO(text, newline=""))
    return [{name: cell.removeprefix("'") for name, cell in row.items()} for row in rows]


def from_json_lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.removesuffix("\n").split("\n")] if text else []


READERS: dict[str, Callable[[str], Any]] = {
    "json": json.loads,
    "jsonl": from_json_lines,
    "yaml": yaml.safe_load,
}


def as_cells(row: dict[str, Any]) -> dict[str, str]:
    """A row of JSON as the cells of CSV that say the same."""
    cells: dict[str, str] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            cells |= as_cells({f"{name}_{inner}": each for inner, each in value.items()})
        elif isinstance(value, str):
            cells[name] = value
        else:
            cells[name] = "" if value is None else json.dumps(value, ensure_ascii=False)
    return cells


@pytest.fixture
def awkward(today: object) -> list[Certificate]:
    """A certificate for each awkward text, in every field that holds a vendor's words."""
    ChecklistFactory(version="1.36")
    made = []
    for number, text in enumerate(AWKWARD):
        short = text[:80] or "x"
        row = CertificateFactory(
            vendor=short,
            platform_name=short,
            platform_version=str(number),
            configuration=short[:40],
            description=text,
            requirements=[
                RequirementSnapshotFactory(notes=text, evidence=(text or "x",), verdict_message=text)
            ],
        )
        made.append(row)
    services.revoke_certificate(certificate=made[0], reason=AWKWARD[2], on=ISSUED + timedelta(days=3))
    return made


@pytest.mark.parametrize("form", READERS)
@pytest.mark.parametrize("name", NAMES)
def test_export_reads_back_to_what_the_json_export_says(
    client: Client, awkward: object, name: str, form: str
) -> None:
    expected = json.loads(read(client, f"{name}.json"))
    assert len(expected) > 10
    assert READERS[form](read(client, f"{name}.{form}")) == expected


@pytest.mark.parametrize("name", NAMES)
def test_csv_reads_back_to_what_the_json_export_says(client: Client, awkward: object, name: str) -> None:
    expected = json.loads(read(client, f"{name}.json"))
    assert from_csv(read(client, f"{name}.csv")) == [as_cells(row) for row in expected]


def test_json_export_says_what_the_api_says_of_each_certificate(client: Client, awkward: object) -> None:
    rows = json.loads(read(client, "certifications.json"))
    assert {row["description"] for row in rows} == set(AWKWARD)
    for row in rows:
        assert row == client.get(f"/api/v1/certifications/{row['number']}/").json()


def test_requirements_and_changes_are_whole(client: Client, awkward: list[Certificate]) -> None:
    requirements = json.loads(read(client, "requirements.json"))
    assert [(row["number"], row["notes"]) for row in requirements] == [
        (row.number, text) for row, text in zip(awkward, AWKWARD, strict=True)
    ]
    changes = json.loads(read(client, "changes.json"))
    assert changes[-1] == {
        "on": "2026-03-04",
        "kind": "revoked",
        "status": "revoked",
        "reason": AWKWARD[2],
        "cure_by": None,
        "number": awkward[0].number,
        "vendor": AWKWARD[0],
        "platform_name": AWKWARD[0],
        "platform_version": "0",
        "configuration": AWKWARD[0],
        "kubernetes_version": "1.35",
        "simulated": False,
    }
    assert len(changes) == len(AWKWARD) + 1


def test_vendors_are_those_of_the_list(client: Client, registry: dict[str, str]) -> None:
    assert json.loads(read(client, "vendors.json")) == client.get("/api/v1/vendors/").json()["results"]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@A1", "\t=1", "\r=1", "\n=1", "\uff1d1"])
def test_formula_is_text_in_a_spreadsheet(client: Client, today: object, text: str) -> None:
    CertificateFactory(description=text)
    rows = list(csv.DictReader(io.StringIO(read(client, "certifications.csv"), newline="")))
    assert rows[0]["description"] == f"'{text}"


def test_numbers_in_csv_stay_numbers(client: Client, today: object) -> None:
    row = CertificateFactory()
    (cells,) = csv.DictReader(io.StringIO(read(client, "certifications.csv?fields=number,coverage")))
    assert cells == {
        "number": row.number,
        "coverage_requirements": "3",
        "coverage_portal_verified": "1",
        "coverage_vendor_run": "0",
        "coverage_self_attested": "1",
        "coverage_waived": "1",
        "coverage_failed": "0",
    }


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.fixed_dictionaries({"a": VALUES, "b": TEXT}), max_size=4))
def test_any_rows_read_back_in_every_form(rows: list[dict[str, Any]]) -> None:
    for form, reader in READERS.items():
        text = "".join(exports.FORMS[form].write(exports.Table(("a", "b"), rows)))
        assert reader(text) == rows


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.fixed_dictionaries({"a": TEXT, "b": TEXT}), max_size=4))
def test_any_text_reads_back_from_csv(rows: list[dict[str, str]]) -> None:
    assert from_csv("".join(exports.FORMS["csv"].write(exports.Table(("a", "b"), rows)))) == rows


@pytest.mark.parametrize("name", NAMES)
def test_export_of_nothing_is_a_whole_file(client: Client, today: object, name: str) -> None:
    assert json.loads(read(client, f"{name}.json")) == []
    assert yaml.safe_load(read(client, f"{name}.yaml")) == []
    assert read(client, f"{name}.jsonl") == ""
    head = read(client, f"{name}.csv")
    assert head.count("\r\n") == 1
    assert len(head.split(",")) > 4


def test_export_takes_the_filters_and_the_order_of_the_list(client: Client, registry: dict[str, str]) -> None:
    for query in ("status=active&ordering=number", "on=2026-03-10&vendor=acme-cloud", "search=harbour"):
        listed = client.get(f"/api/v1/certifications/?{query}").json()["results"]
        exported = json.loads(read(client, f"certifications.json?{query}"))
        assert [row["number"] for row in exported] == [row["number"] for row in listed] != []
        assert [row["status"] for row in exported] == [row["status"] for row in listed]


@pytest.mark.parametrize("name", NAMES)
def test_export_with_fewer_fields(client: Client, registry: dict[str, str], name: str) -> None:
    ChecklistFactory(version="1.36")
    whole = json.loads(read(client, f"{name}.json"))
    chosen = list(whole[0])[:2]
    asked = ",".join(chosen)
    assert json.loads(read(client, f"{name}.json?fields={asked}")) == [
        {field: row[field] for field in chosen} for row in whole
    ]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("certifications.xml", 404, "not_found"),
        ("changes.", 404, "not_found"),
        ("submissions.json", 404, "not_found"),
        ("certifications.csv?fields=number,secret", 400, "invalid"),
        ("changes.csv?fields=,", 400, "invalid"),
        ("certifications.csv?status=lost", 400, "invalid"),
        ("certifications.csv?search=%00", 400, "invalid"),
        ("certifications.csv?vendor=a%00b", 400, "invalid"),
        ("certifications.csv?on=0000-01-01", 400, "invalid"),
    ],
)
def test_export_that_is_not_there_or_not_understood(
    client: Client, db: None, path: str, status: int, code: str
) -> None:
    response = client.get(f"{ROOT}{path}")
    assert (response.status_code, response["Content-Type"]) == (status, "application/problem+json")
    assert response.json()["code"] == code


def test_list_of_exports_leads_to_each(client: Client, registry: dict[str, str]) -> None:
    ChecklistFactory(version="1.36")
    entries = client.get(ROOT).json()
    assert len(entries) == len(NAMES) * len(exports.FORMS) + 1
    for entry in entries:
        response = client.get(entry["url"].removeprefix("http://127.0.0.1:8000"))
        assert response.status_code == 200
        assert b"".join(response)


def test_certificate_of_a_day_to_come_is_in_no_export(client: Client, today: object) -> None:
    CertificateFactory(platform_name="Later", vendor="Sooner or Later", on=ISSUED.replace(month=9))
    for name in ("certifications", "requirements", "changes"):
        assert json.loads(read(client, f"{name}.json")) == []
    assert "Later" not in read(client, "landscape.yml")


# --- Landscape ------------------------------------------------------------------------------------------


def test_landscape_lists_what_holds_by_version(client: Client, registry: dict[str, str]) -> None:
    (category,) = yaml.safe_load(read(client, "landscape.yml"))["landscape"]
    found = {
        part["name"]: [(item["name"], item["extra"]["certificate"]) for item in part["items"]]
        for part in category["subcategories"]
    }
    assert found == {
        "Kubernetes 1.36": [("Harbour 2.1", registry["active"])],
        "Kubernetes 1.35": [("Fjord 1.0", registry["expiring"])],
    }


def test_landscape_holds_any_name(client: Client, awkward: object) -> None:
    (category,) = yaml.safe_load(read(client, "landscape.yml"))["landscape"]
    items = [item for part in category["subcategories"] for item in part["items"]]
    assert {item["organization"]["name"] for item in items} == {text[:80] or "x" for text in AWKWARD[1:]}
    assert {item.get("description", "") for item in items} == set(AWKWARD[1:])


def test_landscape_of_nothing_is_a_whole_file(client: Client, today: object) -> None:
    (category,) = yaml.safe_load(read(client, "landscape.yml"))["landscape"]
    assert category["subcategories"] == []


# --- How it is served -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_export_asks_the_same_number_of_queries_for_one_and_for_three(
    client: Client, today: object, name: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    # The version with its time, what the filters look at; then the rows and what belongs to them.
    expected = {"certifications": 7, "requirements": 2, "changes": 2, "vendors": 4, "checklists": 2}[name]
    for wanted in (1, 3):
        while Certificate.objects.count() < wanted:
            CertificateFactory(vendor=f"Vendor {Certificate.objects.count()}")
            ChecklistFactory(version=f"1.3{4 + Certificate.objects.count()}")
        with django_assert_num_queries(expected):
            read(client, f"{name}.json")


def test_rows_are_read_while_the_file_is_written() -> None:
    taken = 0

    def rows() -> Any:
        nonlocal taken
        for taken in itertools.count(1):  # noqa: B007 - counts what was taken
            yield {"a": "x" * 100}

    for form in exports.FORMS.values():
        taken = 0
        written = list(itertools.islice(form.write(exports.Table(("a",), rows())), 50))
        assert len(written) == 50
        assert taken <= 51


@pytest.mark.parametrize("path", ["certifications.csv", "changes.jsonl", "vendors.yaml", "landscape.yml", ""])
def test_export_is_not_sent_to_whoever_has_it(client: Client, settled: None, path: str) -> None:
    first = client.get(f"{ROOT}{path}")
    assert first["Cache-Control"] in {"public, max-age=60", "max-age=60, public"}
    for headers in (
        {"if-none-match": first["ETag"]},
        {"if-modified-since": first["Last-Modified"]},
    ):
        for ask in (client.get, client.head):
            again = ask(f"{ROOT}{path}", headers=headers)
            assert (again.status_code, again["ETag"], b"".join(again)) == (304, first["ETag"], b"")
    RegistryState.objects.update(version=2**40)
    changed = client.get(f"{ROOT}{path}", headers={"if-none-match": first["ETag"]})
    # The list of files names what there is, which is the same.
    assert changed.status_code == (200 if path else 304)


@pytest.mark.parametrize("path", ["certifications.json", "landscape.yml"])
def test_head_of_an_export_writes_no_file(
    client: Client, settled: None, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = client.get(f"{ROOT}{path}").headers
    monkeypatch.setattr(exports, "certificates", None)
    monkeypatch.setattr(exports, "landscape", None)
    response = client.head(f"{ROOT}{path}")
    assert (response.status_code, response.content) == (200, b"")
    for name in ("Content-Type", "Content-Disposition", "ETag", "Last-Modified", "Cache-Control"):
        assert response[name] == expected[name]

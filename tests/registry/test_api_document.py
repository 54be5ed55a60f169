"""The OpenAPI document: complete, valid, and true to its own examples."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
import yaml
from django.test import Client
from drf_spectacular.validation import validate_schema
from jsonschema import Draft4Validator, FormatChecker

from certportal.api.schema import document, is_public, operations

DESCRIBED = document()
OPERATIONS = {operation["operationId"]: operation for _path, operation in operations(DESCRIBED)}
PROBLEM = "application/problem+json"


def plain(schema: Any) -> Any:
    """A schema of OpenAPI 3.0 as one of JSON Schema, which knows no `nullable`."""
    if isinstance(schema, list):
        return [plain(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: plain(value) for name, value in schema.items() if name != "nullable"}
    return {"anyOf": [found, {"type": "null"}]} if schema.get("nullable") is True else found


COMPONENTS = plain(DESCRIBED["components"])


def errors(schema: dict[str, Any], value: Any) -> list[str]:
    checker = Draft4Validator(
        {**plain(schema), "components": COMPONENTS}, format_checker=FormatChecker(["date"])
    )
    return [f"{list(error.absolute_path)}: {error.message}" for error in checker.iter_errors(value)]


def contents() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every body of a request or an answer that an operation describes."""
    for name, operation in OPERATIONS.items():
        for media, content in operation.get("requestBody", {}).get("content", {}).items():
            yield f"{name} takes {media}", content
        for code, answer in operation["responses"].items():
            for media, content in answer.get("content", {}).items():
                yield f"{name} answers {code} {media}", content


CONTENTS = dict(contents())
SHOWN = {
    f"{name}: {title}": (content["schema"], example["value"])
    for name, content in CONTENTS.items()
    for title, example in content.get("examples", {}).items()
}


def test_document_is_valid_openapi() -> None:
    validate_schema(DESCRIBED)
    assert DESCRIBED["openapi"].startswith("3.")


@pytest.mark.parametrize("name", SHOWN)
def test_example_keeps_to_its_schema(name: str) -> None:
    assert errors(*SHOWN[name]) == []


def test_check_of_examples_notices_what_is_wrong() -> None:
    schema, value = next(shown for name, shown in SHOWN.items() if name.startswith("certifications_retrieve"))
    assert errors(schema, {**value, "status": "certain"})
    assert errors(schema, {**value, "issued_on": None})


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_shows_what_it_answers(name: str) -> None:
    good = {code: answer for code, answer in OPERATIONS[name]["responses"].items() if code.startswith("2")}
    shown = [
        media
        for answer in good.values()
        for media, content in answer["content"].items()
        if content.get("examples") or "text/csv" in answer["content"]
    ]
    assert shown != []


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_says_in_words_what_it_does(name: str) -> None:
    operation = OPERATIONS[name]
    assert operation.get("description", "").strip()
    for code, answer in operation["responses"].items():
        assert answer["description"] or code.startswith("2")
    for parameter in operation.get("parameters", ()):
        assert parameter.get("description") or parameter["name"] in {"page", "page_size", "form", "uuid"}


@pytest.mark.parametrize("name", OPERATIONS)
def test_errors_are_problem_documents(name: str) -> None:
    for code, answer in OPERATIONS[name]["responses"].items():
        if code >= "400":
            assert list(answer["content"]) == [PROBLEM]


@pytest.mark.parametrize("name", [name for name, said in OPERATIONS.items() if is_public(said)])
def test_public_operation_says_how_it_is_cached(name: str) -> None:
    responses = OPERATIONS[name]["responses"]
    assert set(responses["200"]["headers"]) >= {"ETag", "Last-Modified", "Cache-Control"}
    assert "content" not in responses["304"]


def test_operation_with_a_token_says_how_it_refuses() -> None:
    guarded = [said for said in OPERATIONS.values() if not is_public(said)]
    assert len(guarded) > 8
    for operation in guarded:
        assert set(operation["responses"]["401"]["headers"]) == {"WWW-Authenticate"}


def test_fields_name_what_answers_have() -> None:
    (parameter,) = (
        entry for entry in OPERATIONS["certifications_retrieve"]["parameters"] if entry["name"] == "fields"
    )
    fields = DESCRIBED["components"]["schemas"]["CertificationDetail"]["properties"]
    assert parameter["schema"]["items"]["enum"] == sorted(fields)


@pytest.mark.parametrize(
    ("query", "accept", "media", "read"),
    [
        ("", "*/*", "application/vnd.oai.openapi", yaml.safe_load),
        ("?format=yaml", "application/json", "application/vnd.oai.openapi", yaml.safe_load),
        ("?format=json", "*/*", "application/vnd.oai.openapi+json", json.loads),
        ("", "application/json", "application/json", json.loads),
        ("", "application/yaml", "application/yaml", yaml.safe_load),
    ],
)
def test_document_is_served_in_the_form_asked_for(
    client: Client, db: None, query: str, accept: str, media: str, read: Any
) -> None:
    response = client.get(f"/api/v1/schema/{query}", headers={"accept": accept})
    assert response.status_code == 200
    assert response["Content-Type"].partition(";")[0] == media
    assert response["Cache-Control"] == "public, max-age=60"
    assert list(read(response.content)["paths"]) == list(DESCRIBED["paths"])


def test_document_refuses_as_a_problem(client: Client, db: None) -> None:
    response = client.get("/api/v1/schema/", headers={"accept": "text/html"})
    assert (response.status_code, response["Content-Type"]) == (406, PROBLEM)
    assert json.loads(response.content)["code"] == "not_acceptable"


# --- The same, as a page for people ------------------------------------------------------------------------


@pytest.fixture
def rows(client: Client, db: None) -> dict[str, str]:
    """What the page says of each parameter of the list of certificates, without space between tags."""
    page = client.get("/api/").content.decode()
    operation = page.partition('id="certifications_list"')[2].partition("</article>")[0]
    squeezed = re.sub(r"\s+", " ", re.sub(r">\s+<", "><", operation))
    return dict(
        re.findall(
            r'<th scope="row"><code>(\w+)</code>.*?data-label="Meaning"><div>(.*?)</div></td>', squeezed
        )
    )


def test_page_lists_values_with_what_they_mean(rows: dict[str, str]) -> None:
    expected = (
        '<li><code>portal_verified</code><span class="note">Verified by the portal</span></li>'
        '<li><code>self_attested</code><span class="note">Attested by the vendor</span></li>'
        '<li><code>vendor_run</code><span class="note">Run by the vendor</span></li>'
    )
    assert f'<ul class="choices">{expected}</ul>' in rows["assurance"]
    assert rows["assurance"].startswith("The strongest assurance on the certificate.")


def test_page_says_no_meaning_that_the_value_says_itself(rows: dict[str, str]) -> None:
    assert '<li><code>active</code><span class="note">Certified</span></li>' in rows["status"]
    assert "<li><code>suspended</code></li>" in rows["status"]


def test_page_shows_values_without_meanings_in_one_line(rows: dict[str, str]) -> None:
    assert "<code>assurance</code>, <code>configuration</code>, <code>coverage</code>" in rows["fields"]
    assert "<ul" not in rows["fields"]


def test_page_shows_no_markup_of_the_document(client: Client, db: None, rows: dict[str, str]) -> None:
    page = re.sub(r"<pre.*?</pre>", "", client.get("/api/").content.decode(), flags=re.DOTALL)
    assert "`" in json.dumps(DESCRIBED)
    assert "`" not in unescape(page)
    assert "<code>expiring</code> is an active certificate" in rows["status"]

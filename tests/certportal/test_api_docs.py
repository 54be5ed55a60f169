"""The API as a page for people."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.test import Client

from certportal.api.schema import document, operations

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client: Client) -> str:
    response = client.get("/api/")
    assert response.status_code == 200
    return unescape(response.content.decode())


def test_page_has_every_operation(page: str) -> None:
    found = list(operations(document()))
    assert len(found) > 25
    for path, operation in found:
        assert f'id="{operation["operationId"]}"' in page
        assert path in page
        for parameter in operation.get("parameters", ()):
            assert f"<code>{parameter['name']}</code>" in page


def test_page_has_every_schema(page: str) -> None:
    for name in document()["components"]["schemas"]:
        assert f'id="schema-{name}"' in page


def test_nothing_on_the_page_opens_to_nothing(page: str) -> None:
    assert page.count("</details>") > 50
    assert re.search(r"</summary>\s*</details>", page) is None
    assert 'BlankEnum</code> <span class="note">An empty text' in page


def test_page_shows_examples_and_choices(page: str) -> None:
    assert '"number": "AIK-2026-0042"' in page
    assert "metadata:\n  kubernetesVersion: v1.36.2" in page
    assert "<code>base_conformance_url</code>" in page


def test_page_says_what_will_not_change(page: str) -> None:
    assert 'id="change"' in page
    for header in ("Deprecation", "Sunset", "ETag", "RateLimit", "Retry-After"):
        assert f"<code>{header}</code>" in page


def test_page_needs_nothing_from_elsewhere(client: Client) -> None:
    text = client.get("/api/").content.decode()
    fetched = re.findall(r'<(?:link|script|img|source|iframe)[^>]*?(?:href|src)="([^"]*)"', text)
    assert fetched != []
    assert [
        address for address in fetched if not address.startswith(("/", "#", "http://127.0.0.1:8000/"))
    ] == []


def test_page_is_kept_by_caches(client: Client) -> None:
    assert "public" in client.get("/api/")["Cache-Control"]

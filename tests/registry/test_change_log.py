"""The change log as a page and as feeds: everything that happened, once, in order, under ids that last."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from registry import services
from registry.changes import Position
from registry.models import Certificate, CertificateEvent
from tests.registry.factories import ISSUED, CertificateFactory
from tests.registry.reading import words

pytestmark = pytest.mark.django_db

ATOM = "{http://www.w3.org/2005/Atom}"
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def told(response: HttpResponse) -> list[tuple[str, str]]:
    """What happened to which certificate, from the top of the page down."""
    page = response.content.decode()
    lines = re.findall(r'<ul class="changes">(.*?)</ul>', page, re.DOTALL)
    found = [item for line in lines for item in re.findall(r"<li>(.*?)</li>", line, re.DOTALL)]
    return [
        (
            re.sub(r"<[^>]+>", "", re.findall(r'class="badge[^>]*>(.*?)</span>', item, re.DOTALL)[0]).strip(),
            re.findall(r"AIK-\d{4}-\d{4,}", item)[-1],
        )
        for item in found
    ]


def entries(response: HttpResponse) -> list[ET.Element]:
    return ET.fromstring(response.content).findall(f"{ATOM}entry")  # noqa: S314 - our own answer


def text_of(element: ET.Element, name: str) -> str:
    found = element.find(f"{ATOM}{name}")
    assert found is not None
    return found.text or ""


def items(response: HttpResponse) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(response.content)["items"]
    return found


def test_log_tells_everything_newest_first(client: Client, registry: dict[str, str]) -> None:
    response = client.get("/changes/")
    changes = told(response)
    assert changes[0] == ("Suspended", registry["suspended"])
    assert set(changes) == {
        *(("Certified", registry[name]) for name in registry if name != "renewal"),
        ("Renewed", registry["renewal"]),
        ("Superseded", registry["superseded"]),
        ("Suspended", registry["suspended"]),
        ("Revoked", registry["revoked"]),
        # No task has recorded it yet; the calendar decided.
        ("Expired", registry["expired"]),
    }
    assert len(changes) == len(set(changes))
    days = re.findall(r'<h2 id="day-([\d-]+)">', response.content.decode())
    assert days == sorted(days, reverse=True)
    text = words(response)
    assert "Evidence unreachable." in text
    assert "simulated" in text


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("kind=revoked", {("Revoked", "revoked")}),
        ("kind=expired", {("Expired", "expired")}),
        ("vendor=old-harbour", {("Certified", "active")}),
        ("platform=lagoon", {("Certified", "revoked"), ("Revoked", "revoked")}),
        ("since=2026-05-01", {("Suspended", "suspended")}),
        ("kind=&vendor=&since=2026-05-01", {("Suspended", "suspended")}),
    ],
)
def test_log_and_feeds_are_filtered_alike(
    client: Client, registry: dict[str, str], query: str, expected: set[tuple[str, str]]
) -> None:
    wanted = {(words_, registry[name]) for words_, name in expected}
    assert set(told(client.get(f"/changes/?{query}"))) == wanted
    atom = {
        (text_of(entry, "title").partition(":")[0], text_of(entry, "id").split("/")[1])
        for entry in entries(client.get(f"/changes/feed.atom?{query}"))
    }
    feed = {
        (item["title"].partition(":")[0], item["id"].split("/")[1])
        for item in items(client.get(f"/changes/feed.json?{query}"))
    }
    assert atom == feed == wanted


def test_log_of_one_certificate_is_asked_for_by_its_number(client: Client, registry: dict[str, str]) -> None:
    changes = told(client.get(f"/changes/?number={registry['superseded']}"))
    assert changes == [("Superseded", registry["superseded"]), ("Certified", registry["superseded"])]


@pytest.mark.parametrize("query", ["since=tomorrow", "kind=invented", "vendor=%3Cb%3E"])
def test_filter_that_cannot_be_understood_shows_nothing_and_says_why(
    client: Client, registry: dict[str, str], query: str
) -> None:
    response = client.get(f"/changes/?{query}")
    assert told(response) == []
    assert "The changes could not be looked up" in words(response)
    assert entries(client.get(f"/changes/feed.atom?{query}")) == []
    assert items(client.get(f"/changes/feed.json?{query}")) == []


def test_log_without_changes_says_so(client: Client) -> None:
    assert "Nothing has happened" in words(client.get("/changes/"))


def test_log_turns_pages_without_losing_or_repeating_anything(
    client: Client, today: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.change_views.A_PAGE", 4)
    # Many on one day, so that a page ends within it.
    numbers = {CertificateFactory(platform_version=str(version)).number for version in range(9)}
    expired = CertificateFactory(platform_name="Old", on=date(2025, 3, 15)).number
    found: list[tuple[str, str]] = []
    path = "/changes/"
    while path:
        page = client.get(path).content.decode()
        found += told(client.get(path))
        following = re.search(r'href="(\?[^"]+)" rel="next"', page)
        path = f"/changes/{following[1].replace('&amp;', '&')}" if following else ""
    assert len(found) == len(set(found)) == 11
    assert {number for _what, number in found} == {*numbers, expired}
    assert found[0] == ("Expired", expired)


@pytest.mark.parametrize(
    "after", ["", "17", "2026-13-01.1", "2026-01-01.x", "2026-01-01.٣", "2026-01-01." + "9" * 30]
)
def test_position_that_is_none_is_read_as_none(client: Client, after: str) -> None:
    assert Position.read(after) is None
    assert client.get("/changes/", {"after": after}).status_code == 200


def test_position_is_read_as_it_is_written() -> None:
    position = Position(date(2026, 3, 1), 17)
    assert Position.read(str(position)) == position


# --- The feeds ---------------------------------------------------------------------------------------------


def test_atom_feed_has_what_the_standard_asks_for(
    client: Client, registry: dict[str, str], settings: Settings
) -> None:
    settings.SITE_URL = "https://certified.example"
    response = client.get("/changes/feed.atom?vendor=acme-cloud")
    assert response["Content-Type"] == "application/atom+xml; charset=utf-8"
    feed = ET.fromstring(response.content)  # noqa: S314 - our own answer
    assert feed.tag == f"{ATOM}feed"
    assert text_of(feed, "id").startswith("tag:certified.example,2026:")
    assert text_of(feed, "title")
    links = {link.get("rel"): link.get("href") for link in feed.findall(f"{ATOM}link")}
    assert links == {
        "self": "https://certified.example/changes/feed.atom?vendor=acme-cloud",
        "alternate": "https://certified.example/changes/?vendor=acme-cloud",
    }
    assert feed.find(f"{ATOM}author/{ATOM}name") is not None
    found = feed.findall(f"{ATOM}entry")
    for entry in found:
        assert RFC_3339.fullmatch(text_of(entry, "updated"))
        for name in ("id", "title", "summary"):
            assert text_of(entry, name)
        link = entry.find(f"{ATOM}link")
        assert link is not None
        assert (link.get("href") or "").startswith("https://certified.example/certified/AIK-")
    ids = [text_of(entry, "id") for entry in found]
    assert len(ids) == len(set(ids))
    # The feed was changed when its newest entry was.
    assert text_of(feed, "updated") == max(text_of(entry, "updated") for entry in found)
    assert text_of(feed, "updated").startswith("2026-05-20")


def test_json_feed_has_what_version_1_1_asks_for(
    client: Client, registry: dict[str, str], settings: Settings
) -> None:
    settings.SITE_URL = "https://certified.example"
    response = client.get("/changes/feed.json?vendor=acme-cloud")
    assert response["Content-Type"] == "application/feed+json"
    feed = json.loads(response.content)
    assert feed["version"] == "https://jsonfeed.org/version/1.1"
    assert feed["title"]
    assert feed["feed_url"] == "https://certified.example/changes/feed.json?vendor=acme-cloud"
    assert feed["home_page_url"] == "https://certified.example/changes/?vendor=acme-cloud"
    for item in feed["items"]:
        assert item.keys() >= {"id", "url", "title", "content_text", "date_published"}
        assert RFC_3339.fullmatch(item["date_published"])
        assert isinstance(item["id"], str)
    atom = [text_of(entry, "id") for entry in entries(client.get("/changes/feed.atom?vendor=acme-cloud"))]
    assert [item["id"] for item in feed["items"]] == atom


def test_ids_of_changes_stay_when_time_passes_and_tasks_record_them(
    client: Client, registry: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {item["id"]: item for item in items(client.get("/changes/feed.json"))}
    services.expire_certificates(today=date(2026, 6, 1))
    assert Certificate.objects.get(number=registry["expired"]).status == "expired"
    assert {item["id"]: item for item in items(client.get("/changes/feed.json"))} == before
    later = datetime(2026, 6, 20, 12, tzinfo=UTC)
    monkeypatch.setattr(timezone, "now", lambda: later)
    suspended = Certificate.objects.get(number=registry["active"])
    services.suspend_certificate(certificate=suspended, reason="Asked.", on=date(2026, 6, 10))
    after = {item["id"]: item for item in items(client.get("/changes/feed.json"))}
    assert {id_: after[id_] for id_ in before} == before
    new = [item["title"] for id_, item in after.items() if id_ not in before]
    assert "Suspended: Harbour 2.1" in new


def test_recorded_expiry_stands_in_the_log_once(client: Client, registry: dict[str, str]) -> None:
    services.expire_certificates(today=date(2026, 6, 1))
    assert CertificateEvent.objects.filter(kind="expired").count() == 1
    changes = told(client.get("/changes/"))
    assert changes.count(("Expired", registry["expired"])) == 1


def test_empty_feed_was_changed_when_the_day_began(client: Client, today: datetime) -> None:
    feed = ET.fromstring(client.get("/changes/feed.atom").content)  # noqa: S314 - our own answer
    assert text_of(feed, "updated") == "2026-06-01T00:00:00+00:00"


def test_feed_says_of_what_is_simulated_that_it_certifies_nothing(
    client: Client, registry: dict[str, str]
) -> None:
    said = {
        item["id"].split("/")[1]: item["content_text"] for item in items(client.get("/changes/feed.json"))
    }
    assert "Simulated: certifies nothing." in said[registry["renewal"]]
    assert "imulated" not in said[registry["active"]]


def test_feeds_escape_what_vendors_wrote(client: Client, today: datetime) -> None:
    hostile = 'A & B <script>"x"</script> ]]>'
    CertificateFactory(platform_name=hostile, on=ISSUED)
    (entry,) = entries(client.get("/changes/feed.atom"))
    assert hostile in text_of(entry, "title")
    (item,) = items(client.get("/changes/feed.json"))
    assert hostile in item["title"]


def test_pages_name_their_feeds(client: Client, registry: dict[str, str]) -> None:
    for path, feed in (
        ("/", "/changes/feed.atom"),
        ("/certified/", "/changes/feed.atom"),
        ("/changes/", "/changes/feed.atom"),
        ("/changes/?vendor=acme-cloud&kind=", "/changes/feed.atom?vendor=acme-cloud"),
        ("/vendors/acme-cloud/", "/changes/feed.atom?vendor=acme-cloud"),
    ):
        page = client.get(path).content.decode()
        links = re.findall(r'<link rel="alternate" type="application/atom\+xml"[^>]* href="([^"]+)"', page)
        assert links == [feed], path

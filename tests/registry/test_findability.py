"""What helps to find the pages: titles, canonical addresses, structured data, site maps, cards, robots."""

from __future__ import annotations

import io
import json
import re
from datetime import datetime
from typing import Any
from urllib.robotparser import RobotFileParser
from xml.etree import ElementTree as ET

import pytest
from django.http import HttpResponse
from django.test import Client
from PIL import Image
from pytest_django import Settings

from registry.models import Certificate
from registry.social_card import certificate_card
from tests.registry.factories import CertificateFactory, ChecklistFactory

pytestmark = pytest.mark.django_db

SITE = "https://certified.example"
MAP = "{http://www.sitemaps.org/schemas/sitemap/0.9}"
PAGES = [
    "/",
    "/certified/",
    "/certified/{active}/",
    "/compare/",
    "/matrix/",
    "/verify/",
    "/vendors/",
    "/vendors/acme-cloud/",
    "/vendors/acme-cloud/tundra/",
    "/requirements/",
    "/requirements/gang_scheduling/",
    "/checklists/1.35/",
    "/statistics/",
    "/changes/",
]


@pytest.fixture
def numbers(registry: dict[str, str], settings: Settings) -> dict[str, str]:
    """The registry with a checklist, at a public address."""
    settings.SITE_URL = SITE
    ChecklistFactory(version="1.35")
    return registry


def head(response: HttpResponse) -> str:
    return response.content.decode().partition("</head>")[0]


def title(response: HttpResponse) -> str:
    found = re.search(r"<title>(.*?)</title>", response.content.decode(), re.DOTALL)
    assert found is not None
    return re.sub(r"\s+", " ", found[1]).strip()


def meta(response: HttpResponse, name: str) -> str:
    found = re.findall(rf'<meta (?:name|property)="{name}" content="([^"]*)">', head(response))
    assert len(found) == 1, name
    return str(found[0])


def structured(response: HttpResponse) -> dict[str, Any]:
    blocks = re.findall(
        r'<script type="application/ld\+json">(.*?)</script>', response.content.decode(), re.DOTALL
    )
    assert len(blocks) == 1
    data: dict[str, Any] = json.loads(blocks[0])
    assert data["@context"] == "https://schema.org"
    return data


def places(response: HttpResponse, element: str) -> list[str]:
    found = ET.fromstring(response.content).findall(f"{MAP}{element}/{MAP}loc")  # noqa: S314 - our own answer
    return [place.text or "" for place in found]


# --- Titles, descriptions, canonical addresses -----------------------------------------------------------


def test_every_page_has_a_title_and_a_description_of_its_own(client: Client, numbers: dict[str, str]) -> None:
    answers = [client.get(path.format(**numbers)) for path in PAGES]
    titles = [title(answer) for answer in answers]
    assert len(set(titles)) == len(titles)
    for text in titles:
        assert re.fullmatch(r".{5,70} · certportal", text), text
    descriptions = [meta(answer, "description") for answer in answers]
    for text in descriptions:
        assert 30 <= len(text) <= 260, text
    # The first page, and pages that need no words of their own.
    assert len(set(descriptions)) >= len(descriptions) - 1


@pytest.mark.parametrize("path", PAGES)
def test_page_names_the_address_by_which_it_is_known(
    client: Client, numbers: dict[str, str], path: str
) -> None:
    path = path.format(**numbers)
    response = client.get(f"{path}?utm_source=mail&view=cards&search=x")
    assert re.findall(r'<link rel="canonical" href="([^"]+)">', head(response)) == [SITE + path]
    assert meta(response, "og:url") == SITE + path
    assert meta(response, "og:site_name") == "certportal"
    assert meta(response, "og:image").startswith(SITE)
    assert meta(response, "twitter:card") == "summary_large_image"


@pytest.mark.parametrize(
    "path", ["/matrix/?kubernetes_version=1.35", "/certified/?page=2", "/vendors/?page=2"]
)
def test_part_of_the_address_that_makes_another_page_is_kept(
    client: Client, numbers: dict[str, str], path: str
) -> None:
    response = client.get(f"{path}&utm_source=mail")
    assert re.findall(r'<link rel="canonical" href="([^"]+)">', head(response)) == [SITE + path]


def test_page_of_somebodys_own_has_no_public_address(client: Client, numbers: dict[str, str]) -> None:
    assert 'rel="canonical"' not in head(client.get("/accounts/login/"))
    assert 'rel="canonical"' not in head(client.get("/no-such-page/"))


# --- Structured data ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("active", "CertificationActive"),
        ("expiring", "CertificationActive"),
        ("expired", "CertificationInactive"),
        ("suspended", "CertificationInactive"),
        ("revoked", "CertificationInactive"),
        ("superseded", "CertificationInactive"),
    ],
)
def test_certificate_is_described_with_its_status_of_today(
    client: Client, numbers: dict[str, str], name: str, status: str
) -> None:
    certificate = Certificate.objects.get(number=numbers[name])
    data = structured(client.get(f"/certified/{certificate.number}/"))
    assert data["@type"] == "Certification"
    assert data["certificationIdentification"] == certificate.number
    assert data["certificationStatus"] == f"https://schema.org/{status}"
    assert data["url"] == f"{SITE}/certified/{certificate.number}/"
    assert data["validFrom"] == certificate.issued_on.isoformat()
    assert data["expires"] == certificate.expires_on.isoformat()
    assert data["about"]["name"] == certificate.platform_name
    assert data["about"]["author"]["name"] == certificate.vendor


def test_simulated_certificate_is_not_described_as_a_certification(
    client: Client, numbers: dict[str, str]
) -> None:
    response = client.get(f"/certified/{numbers['renewal']}/")
    assert structured(response)["@type"] == "BreadcrumbList"
    assert "schema.org/Certification" not in response.content.decode()


def test_registry_is_described_as_a_data_set_whose_files_are_there(
    client: Client, numbers: dict[str, str]
) -> None:
    data = structured(client.get("/certified/"))
    assert data["@type"] == "Dataset"
    assert data["url"] == f"{SITE}/certified/"
    for file in data["distribution"]:
        path = file["contentUrl"].removeprefix(SITE)
        response = client.get(path)
        assert response.status_code == 200
        assert response["Content-Type"].startswith(file["encodingFormat"])


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/vendors/acme-cloud/", ["Vendors", "Acme Cloud"]),
        ("/vendors/acme-cloud/tundra/", ["Vendors", "Acme Cloud", "Tundra"]),
        ("/requirements/gang_scheduling/", ["Requirements", "Gang scheduling"]),
        ("/checklists/1.35/", ["Requirements", "Checklist 1.35"]),
    ],
)
def test_way_to_a_page_is_described(
    client: Client, numbers: dict[str, str], path: str, names: list[str]
) -> None:
    data = structured(client.get(path))
    assert data["@type"] == "BreadcrumbList"
    steps = data["itemListElement"]
    assert [step["name"] for step in steps] == names
    assert [step["position"] for step in steps] == list(range(1, len(names) + 1))
    assert steps[-1]["item"] == SITE + path
    for step in steps:
        assert client.get(step["item"].removeprefix(SITE)).status_code == 200


def test_nothing_in_structured_data_can_end_its_element(client: Client, today: datetime) -> None:
    hostile = "</script><script>alert(1)</script><!-- & \u2028"
    number = CertificateFactory(platform_name=hostile, vendor=hostile).number
    response = client.get(f"/certified/{number}/")
    assert structured(response)["about"]["name"] == hostile
    assert "<script>alert" not in response.content.decode()


# --- Site maps and robots ------------------------------------------------------------


def test_site_map_leads_to_every_page_and_every_certificate(client: Client, numbers: dict[str, str]) -> None:
    parts = places(client.get("/sitemap.xml"), "sitemap")
    assert parts[0] == f"{SITE}/sitemap-pages.xml"
    listed = [place for part in parts for place in places(client.get(part.removeprefix(SITE)), "url")]
    assert len(listed) == len(set(listed))
    own = {path.format(**numbers) for path in PAGES} - {"/compare/", "/vendors/acme-cloud/tundra/"}
    own |= {f"/certified/{number}/" for number in numbers.values()}
    assert {SITE + path for path in own} <= set(listed)
    for place in listed:
        path = place.removeprefix(SITE)
        assert place.startswith(SITE)
        if not path.startswith(("/ja/", "/zh-hans/")):
            response = client.get(path)
            assert response.status_code == 200, path
            canonical = re.findall(r'<link rel="canonical" href="([^"]+)">', head(response))
            assert canonical == [place]


def test_site_map_says_when_a_certificate_last_changed(client: Client, numbers: dict[str, str]) -> None:
    changed = {}
    for part in places(client.get("/sitemap.xml"), "sitemap"):
        tree = ET.fromstring(client.get(part.removeprefix(SITE)).content)  # noqa: S314 - our own answer
        for url in tree.findall(f"{MAP}url"):
            changed[(url.findtext(f"{MAP}loc") or "").removeprefix(SITE)] = url.findtext(f"{MAP}lastmod")
    assert changed[f"/certified/{numbers['active']}/"] == "2026-03-01"
    assert changed[f"/certified/{numbers['revoked']}/"] == "2026-04-01"


@pytest.mark.parametrize("part", ["x", "-1", "٣", "1" * 30, "9999999999999"])
def test_part_of_the_site_map_that_cannot_be_is_not_found(client: Client, part: str) -> None:
    assert client.get(f"/sitemap-{part}.xml").status_code == 404


def test_part_of_the_site_map_without_certificates_is_empty(client: Client) -> None:
    assert places(client.get("/sitemap-77.xml"), "url") == []


def test_robots_find_pages_and_leave_private_and_endless_ones_alone(
    client: Client, numbers: dict[str, str]
) -> None:
    response = client.get("/robots.txt")
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    rules = RobotFileParser()
    rules.parse(response.content.decode().splitlines())
    assert rules.site_maps() == [f"{SITE}/sitemap.xml"]
    for path in PAGES:
        assert rules.can_fetch("*", SITE + path.format(**numbers)), path
    for path in ("/accounts/login/", "/vendor/", "/admin/", "/outbox/"):
        assert not rules.can_fetch("*", SITE + path), path
    assert "Disallow: /certified/*?" in response.content.decode()
    assert "Disallow: /compare/*?" in response.content.decode()


# --- Cards ------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/card.png", "/certified/{active}/card.png", "/certified/{revoked}/card.png"]
)
def test_card_is_a_picture_of_the_size_that_is_said(
    client: Client, numbers: dict[str, str], path: str
) -> None:
    response = client.get(path.format(**numbers))
    assert response["Content-Type"] == "image/png"
    # Other sites show it; that is what it is for.
    assert response["Cross-Origin-Resource-Policy"] == "cross-origin"
    picture = Image.open(io.BytesIO(response.content))
    assert (picture.format, picture.size) == ("PNG", (1200, 630))
    page = client.get("/")
    assert (meta(page, "og:image:width"), meta(page, "og:image:height")) == ("1200", "630")


def test_certificates_page_names_its_own_card(client: Client, numbers: dict[str, str]) -> None:
    path = f"/certified/{numbers['active']}/"
    assert meta(client.get(path), "og:image") == f"{SITE}{path}card.png"
    assert meta(client.get("/matrix/"), "og:image") == f"{SITE}/card.png"


def test_card_says_nothing_that_can_become_wrong(numbers: dict[str, str]) -> None:
    """It is kept for years by those who show it: a revocation changes nothing on it."""
    certificate = Certificate.objects.get(number=numbers["active"])
    before = certificate_card(certificate)
    certificate.status = "revoked"
    assert certificate_card(certificate) == before


@pytest.mark.parametrize("name", ["", "x" * 200, "word " * 40, "星河智算容器平台企业版", "<&>\"'", "A\nB"])
def test_card_of_any_name_can_be_drawn(name: str) -> None:
    certificate = Certificate(platform_name=name, platform_version="1.0", vendor=name, number="AIK-2026-0001")
    content = certificate_card(certificate)
    assert Image.open(io.BytesIO(content)).size == (1200, 630)


def test_card_of_an_unknown_certificate_is_not_found(client: Client) -> None:
    assert client.get("/certified/AIK-1999-0001/card.png").status_code == 404

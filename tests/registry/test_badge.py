"""Badges: they say what holds on the day they are loaded, in every size and for every ground."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest
from django.test import Client

from registry import badge, services
from registry.models import Certificate
from tests.registry.factories import CertificateFactory
from tests.registry.signing import clock

pytestmark = pytest.mark.django_db
LARGE = {
    "active": "Certified to the end of 2027-02-28",
    "expiring": "Certified to the end of 2026-06-30",
    "expired": "Expired on 2026-03-01",
    "suspended": "Suspended: not certified at present",
    "revoked": "No longer certified: revoked",
    "superseded": "No longer certified: superseded",
    "renewal": "Simulated: certifies nothing",
}
SEAL = "M20 2.5 35.2 11.25"


def picture(client: Client, number: str, query: str = "") -> str:
    response = client.get(f"/api/v1/certifications/{number}/badge.svg{query}")
    assert response.status_code == 200
    assert response["Content-Type"] == "image/svg+xml"
    return response.content.decode()


def drawing(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - the portal's own picture


def texts(svg: str) -> list[str]:
    return [node.text or "" for node in drawing(svg).iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_large_badge_states_what_holds_today(client: Client, registry: dict[str, str], theme: str) -> None:
    for name, words in LARGE.items():
        said = texts(picture(client, registry[name], f"?style=large&theme={theme}"))
        assert said[2] == words
        assert said[3] == f"{registry[name]}, checked 2026-06-01"


def test_only_what_holds_bears_the_seal(client: Client, registry: dict[str, str]) -> None:
    with_seal = {name for name in LARGE if SEAL in picture(client, registry[name], "?style=large")}
    assert with_seal == {"active", "expiring"}


def test_badge_of_an_expired_certificate_says_so_before_the_daily_task(
    client: Client, today: datetime
) -> None:
    certificate = CertificateFactory(on=today.date() - timedelta(days=300))
    with clock(certificate.expires_on):
        assert Certificate.objects.get().status == "active"
        assert texts(picture(client, certificate.number))[1].startswith("expired")


def test_badge_follows_the_history_and_not_the_column(client: Client, today: datetime) -> None:
    certificate = CertificateFactory()
    tomorrow = today.date() + timedelta(days=1)
    services.revoke_certificate(certificate=certificate, reason="Announced.", on=tomorrow)
    assert texts(picture(client, certificate.number))[1].startswith("certified")
    with clock(tomorrow):
        assert texts(picture(client, certificate.number))[1] == "revoked"


@pytest.mark.parametrize("query", ["", "?style=small", "?style=", "?theme=light", "?style=small&theme="])
def test_small_light_badge_is_what_comes_unasked(
    client: Client, registry: dict[str, str], query: str
) -> None:
    assert picture(client, registry["active"], query) == picture(client, registry["active"])


@pytest.mark.parametrize("query", ["?style=huge", "?theme=pink", "?style=LARGE"])
def test_unknown_style_is_a_problem(client: Client, registry: dict[str, str], query: str) -> None:
    response = client.get(f"/api/v1/certifications/{registry['active']}/badge.svg{query}")
    assert (response.status_code, response["Content-Type"]) == (400, "application/problem+json")


@pytest.mark.parametrize("style", ["small", "large"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_badge_is_well_formed_and_needs_no_style_sheet(
    client: Client, today: datetime, style: str, theme: str
) -> None:
    hostile = "<script>\"&'<style>" + "長" * 80
    number = CertificateFactory(platform_name=hostile, platform_version="]]>").number
    svg = picture(client, number, f"?style={style}&theme={theme}")
    tags = {node.tag.rpartition("}")[2] for node in drawing(svg).iter()}
    assert tags <= {"svg", "title", "rect", "path", "g", "text", "circle"}
    assert " style=" not in svg
    assert "href" not in svg


def test_long_name_is_cut_to_fit(client: Client, today: datetime) -> None:
    number = CertificateFactory(platform_name="W" * 200).number
    assert texts(picture(client, number, "?style=large"))[1].endswith("W…")


def test_page_reserves_the_place_that_the_badge_takes(client: Client, registry: dict[str, str]) -> None:
    for name in LARGE:
        certificate = Certificate.objects.listed(date(2026, 6, 1)).get(number=registry[name])
        for style in badge.Style:
            svg = picture(client, registry[name], f"?style={style}")
            drawn = re.match(r'<svg [^>]*width="(\d+)" height="(\d+)"', svg)
            assert drawn is not None
            expected = badge.size(certificate, status=certificate.status_on, style=style)
            assert (int(drawn[1]), int(drawn[2])) == expected


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb``, as WCAG 2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", list(badge.Theme))
def test_every_text_of_a_badge_can_be_read(theme: badge.Theme) -> None:
    palette = badge._PALETTES[theme]
    pairs = [
        (palette.label, palette.label_ink),
        (palette.ground, palette.ink),
        (palette.ground, palette.soft),
    ]
    pairs += [(tone, badge._ON_TONE[theme]) for tone in palette.tones.values()]
    pairs += [(palette.ground, tone) for tone in palette.tones.values()]
    for one, other in pairs:
        light, dark = sorted((luminance(one), luminance(other)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (one, other)


def test_badge_may_stand_on_other_sites(client: Client, registry: dict[str, str]) -> None:
    response = client.get(f"/api/v1/certifications/{registry['active']}/badge.svg?style=large")
    assert response["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert response["Access-Control-Allow-Origin"] == "*"
    assert response["Cache-Control"] == "public, max-age=60"


def test_certificate_page_offers_code_for_light_and_dark(client: Client, registry: dict[str, str]) -> None:
    number = registry["active"]
    page = client.get(f"/certified/{number}/").content.decode()
    source = f"http://127.0.0.1:8000/api/v1/certifications/{number}/badge.svg?style=large"
    assert (
        "&lt;source media=&quot;(prefers-color-scheme: dark)&quot; "
        f"srcset=&quot;{source}&amp;amp;theme=dark&quot;&gt;" in page
    )
    assert f"({source})](http://127.0.0.1:8000/certified/{number}/)" in page
    # The button appears where scripts run; without them one click selects the code.
    assert re.search(r'data-copy="large-html"[^>]* hidden>Copy</button>', page)

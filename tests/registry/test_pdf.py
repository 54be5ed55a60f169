"""The certificate on paper and as a QR code."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import zlib
from datetime import date, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import segno
from django.test import Client

from registry import pdf_text, services
from registry.models import Certificate
from tests.registry.factories import CertificateFactory, RequirementSnapshotFactory
from tests.registry.signing import clock

pytestmark = pytest.mark.django_db


def document(client: Client, number: str) -> bytes:
    response = client.get(f"/certified/{number}/certificate.pdf")
    assert response.status_code == 200
    assert response["Content-Type"] == "application/pdf"
    assert response.content.startswith(b"%PDF-")
    return response.content


@pytest.fixture
def words(client: Client, tmp_path: Path):
    """The text of a certificate's PDF, as a reader without eyes gets it."""
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext (poppler-utils) is not installed")

    def read(number: str) -> str:
        path = tmp_path / "certificate.pdf"
        path.write_bytes(document(client, number))
        done = subprocess.run(["pdftotext", "-layout", path, "-"], capture_output=True, check=True)
        return re.sub(r"\s+", " ", done.stdout.decode())

    return read


@pytest.mark.parametrize(
    ("name", "expected", "absent"),
    [
        ("active", "Holds until the end of 28 February 2027", "REVOKED"),
        ("expired", "EXPIRED", "Holds until"),
        ("suspended", "SUSPENDED", "Holds until"),
        ("revoked", "REVOKED", "Holds until"),
        ("superseded", "SUPERSEDED", "Holds until"),
        ("renewal", "CERTIFIES NOTHING", "The platform meets"),
    ],
)
def test_document_says_what_holds_on_the_day(
    words, registry: dict[str, str], name: str, expected: str, absent: str
) -> None:
    said = words(registry[name])
    assert expected in said
    assert absent not in said
    assert f"{registry[name]}, as the registry stated it on 1 June 2026 (UTC)" in said
    assert f"http://127.0.0.1:8000/certified/{registry[name]}/" in said


def test_document_of_a_suspension_says_until_when_it_can_be_cured(words, registry: dict[str, str]) -> None:
    said = words(registry["suspended"])
    assert "The vendor has until the end of 18 June 2026 to cure the cause; otherwise it is revoked." in said
    certificate = Certificate.objects.get(number=registry["suspended"])
    services.revoke_certificate(certificate=certificate, reason="Given up.", on=date(2026, 5, 30))
    assert "to cure the cause" not in words(registry["suspended"])


@pytest.mark.parametrize(("left", "is_told"), [(30, False), (31, True)])
def test_document_tells_of_no_time_to_cure_that_outlasts_the_certificate(
    words, today: datetime, left: int, is_told: bool
) -> None:
    certificate = CertificateFactory(on=date(2025, 7, 1))
    notice = certificate.expires_on - timedelta(days=left)
    services.suspend_certificate(certificate=certificate, reason="Gone.", on=notice)
    with clock(notice):
        said = words(certificate.number)
    assert "SUSPENDED" in said
    assert ("to cure the cause" in said) is is_told


def test_document_says_how_each_requirement_is_known(words, registry: dict[str, str]) -> None:
    said = words(registry["active"])
    assert (
        "Of 3 requirements: 1 verified by the portal, 1 attested by the vendor, 1 waived by reviewers" in said
    )
    assert "Gang scheduling MUST Implemented Verified by the portal" in said
    assert "Page 2 of 2" in said


def test_simulated_document_bears_a_watermark_on_every_page_and_no_seal(
    client: Client, words, registry: dict[str, str]
) -> None:
    assert "Simulated certificate" in words(registry["renewal"])
    turned = re.findall(rb"\n0?\.6156\d* 0?\.788\d* ", uncompressed(document(client, registry["renewal"])))
    assert len(turned) == 2
    assert b".6156" not in uncompressed(document(client, registry["active"]))
    assert SEAL not in uncompressed(document(client, registry["renewal"]))
    assert SEAL in uncompressed(document(client, registry["active"]))


SEAL = b"20 2.5 m 35.2 11.25 l"


def uncompressed(pdf: bytes) -> bytes:
    """What the pages draw: their streams, unpacked."""
    drawn = b""
    for match in re.finditer(
        rb"/Filter \[ /ASCII85Decode /FlateDecode \].*?stream\r?\n(.*?)endstream", pdf, re.DOTALL
    ):
        drawn += zlib.decompress(base64.a85decode(match[1].strip().removesuffix(b"~>")))
    return drawn


@pytest.mark.parametrize(
    "name", ["灵雀云容器平台", "さくらのコンテナ基盤", "네이버 클라우드", "繁體雲端平台"]
)
def test_names_in_asian_scripts_are_written(words, today: datetime, name: str) -> None:
    said = words(CertificateFactory(platform_name=name, vendor=name).number)
    assert said.replace(" ", "").count(name.replace(" ", "")) == 2


@pytest.mark.parametrize(
    ("text", "fonts"),
    [
        ("Harbour 2.1", {"Vera"}),
        ("São Zürich Œuvre", {"Vera"}),
        ("灵雀云", {"STSong-Light"}),
        ("繁體雲端", {"MSung-Light"}),
        ("さくら東京", {"HeiseiMin-W3"}),
        ("네이버", {"HYSMyeongJo-Medium"}),
        ("Яндекс", {"STSong-Light"}),
    ],
)
def test_each_script_gets_the_font_of_its_language(text: str, fonts: set[str]) -> None:
    assert {glyph.font for glyph in pdf_text.glyphs(text, "Vera")} == fonts


def test_further_latin_letters_are_put_together() -> None:
    written = pdf_text.glyphs("Łódź ő", "Vera")
    assert [(glyph.character, glyph.accent) for glyph in written] == [
        ("Ł", ""),
        ("ó", ""),
        ("d", ""),
        ("z", "\u00b4"),
        (" ", ""),
        ("o", "\u02dd"),
    ]


def test_what_no_font_writes_becomes_a_question_mark() -> None:
    assert [glyph.character for glyph in pdf_text.glyphs("🚀", "Vera")] == ["?"]


def test_long_text_is_broken_and_cut() -> None:
    kind = pdf_text.Type("Vera", 10, None)
    lines = kind.wrapped("one two three " + "x" * 200, 100, most=3)
    assert len(lines) == 3
    assert lines[0] == "one two three"
    assert lines[2].endswith("…")
    assert all(kind.width(line) <= 100 for line in lines)


def test_hostile_and_endless_names_make_a_document(client: Client, today: datetime) -> None:
    hostile = "\x00\u202e(\\)<b>%" + "W" * 150
    rows = [RequirementSnapshotFactory(requirement_id=f"r{i}" * 9, claim="y" * 40) for i in range(40)]
    certificate = CertificateFactory(
        platform_name=hostile.replace("\x00", "")[:150],
        platform_version="9" * 100,
        vendor="長" * 200,
        configuration="c" * 120,
        requirements=rows,
    )
    assert document(client, certificate.number).count(b"/Type /Page\n") == 2


def test_document_of_a_certificate_without_requirements_is_one_page(client: Client, today: datetime) -> None:
    pdf = document(client, CertificateFactory(requirements=()).number)
    assert pdf.count(b"/Type /Page\n") == 1


def test_document_is_the_same_file_all_day_and_another_after_a_change(
    client: Client, today: datetime
) -> None:
    certificate = CertificateFactory()
    first = document(client, certificate.number)
    assert document(client, certificate.number) == first
    response = client.get(f"/certified/{certificate.number}/certificate.pdf")
    assert response["Cache-Control"] == "public, max-age=60"
    assert response["Content-Disposition"] == f'inline; filename="{certificate.number}.pdf"'
    services.revoke_certificate(certificate=certificate, reason="Found out.", on=today.date())
    assert document(client, certificate.number) != first


def test_document_of_an_expired_certificate_says_so_before_the_daily_task(
    client: Client, words, today: datetime
) -> None:
    certificate = CertificateFactory()
    with clock(certificate.expires_on):
        assert Certificate.objects.get().status == "active"
        assert "EXPIRED" in words(certificate.number)


@pytest.mark.parametrize("name", ["certificate.pdf", "qr.svg"])
def test_unknown_number_is_not_found(client: Client, name: str) -> None:
    assert client.get(f"/certified/AIK-1999-0001/{name}").status_code == 404


def test_qr_code_is_a_picture_other_sites_may_show(client: Client, registry: dict[str, str]) -> None:
    response = client.get(f"/certified/{registry['active']}/qr.svg")
    root = ET.fromstring(response.content)  # noqa: S314 - the portal's own picture
    assert response["Content-Type"] == "image/svg+xml"
    assert response["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert root.find("{http://www.w3.org/2000/svg}title").text == f"Address of {registry['active']}"


def test_qr_code_in_both_forms_leads_to_the_certificate(
    client: Client, registry: dict[str, str], tmp_path: Path
) -> None:
    """The modules are those of the address: read from the path of the picture, row by row."""
    address = f"http://127.0.0.1:8000/certified/{registry['active']}/"
    expected = segno.make_qr(address, error="q")
    svg = client.get(f"/certified/{registry['active']}/qr.svg").content.decode()
    path = re.search(r'stroke="#15202b" d="([^"]+)"', svg)
    assert path is not None
    dark = set()
    x, y = 0.0, 0.0
    for command, first, second in re.findall(r"([Mmh])(-?[\d.]+)(?:[ ,]?(-?[\d.]+))?", path[1]):
        if command == "M":
            x, y = float(first), float(second)
        elif command == "m":
            x, y = x + float(first), y + float(second or 0)
        else:
            dark |= {(round(y - 0.5) - 4, int(x) + step - 4) for step in range(int(first))}
            x += int(first)
    assert dark == {(r, c) for r, row in enumerate(expected.matrix) for c, on in enumerate(row) if on}

"""The page that verifies what people bring, and the question after a platform and a date."""

from __future__ import annotations

import json
import re
from datetime import date, datetime
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from registry import keys, services
from registry.models import Certificate
from tests.registry.factories import ISSUED, CertificateFactory
from tests.registry.signing import fetch

pytestmark = pytest.mark.django_db
SITE = "http://127.0.0.1:8000"


def words(response: HttpResponse) -> str:
    assert response.status_code == 200
    text = re.sub(r"<[^>]+>", " ", response.content.decode())
    return re.sub(r"\s+", " ", text.replace("&#x27;", "'").replace("&nbsp;", " "))


def steps(response: HttpResponse) -> list[str]:
    """The results of the steps in their order."""
    table = response.content.decode().partition("data--stack steps")[2].partition("</table>")[0]
    return [word.strip() for word in re.findall(r"data-verdict=[^>]*>.*?</svg>([^<]+)<", table, re.DOTALL)]


def paste(client: Client, text: str) -> Any:
    return client.post("/verify/", {"credential": text})


def test_genuine_credential_is_explained_step_by_step(client: Client, registry: dict[str, str]) -> None:
    response = paste(client, fetch(client, registry["active"]))
    said = words(response)
    assert "Genuine, and it holds today" in said
    assert steps(response) == ["Yes"] * 5
    assert f"The registry says of {registry['active']} today, 2026-06-01: certified." in said
    assert "Harbour 2.1" in said
    assert response["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in response


def test_credential_broken_into_lines_by_mail_is_read(client: Client, registry: dict[str, str]) -> None:
    token = fetch(client, registry["active"])
    broken = "\r\n".join(token[start : start + 72] for start in range(0, len(token), 72))
    assert "Genuine, and it holds today" in words(paste(client, f"  {broken}\n"))


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("expired", "expired"),
        ("revoked", "revoked"),
        ("superseded", "replaced by a newer certificate"),
        ("suspended", "suspended"),
    ],
)
def test_genuine_credential_of_what_ended_does_not_hold(
    client: Client, registry: dict[str, str], name: str, status: str
) -> None:
    response = paste(client, fetch(client, registry[name]))
    assert "Genuine, but it does not hold today" in words(response)
    assert f"today, 2026-06-01: {status}." in words(response)
    assert steps(response)[4] == "No"


def test_credential_that_was_kept_is_told_of_the_revocation(
    client: Client, registry: dict[str, str], today: datetime
) -> None:
    token = fetch(client, registry["active"])
    certificate = Certificate.objects.get(number=registry["active"])
    services.revoke_certificate(certificate=certificate, reason="Found out.", on=today.date())
    response = paste(client, token)
    assert steps(response) == ["Yes", "Yes", "Yes", "Yes", "No"]


def test_simulated_credential_is_called_so(client: Client, registry: dict[str, str]) -> None:
    said = words(paste(client, fetch(client, registry["renewal"])))
    assert "Simulated: this certificate certifies nothing." in said


def test_changed_credential_is_not_ours_and_nothing_of_it_is_repeated(
    client: Client, registry: dict[str, str]
) -> None:
    token = fetch(client, registry["active"])
    response = paste(client, token[:-2] + ("AA" if not token.endswith("AA") else "BB"))
    said = words(response)
    assert "Not a credential of this portal" in said
    assert steps(response) == ["Yes", "No", "Not checked", "Not checked", "Not checked"]
    assert "Harbour" not in said


def test_credential_of_a_withdrawn_key_is_refused(
    client: Client, registry: dict[str, str], today: datetime
) -> None:
    token = fetch(client, registry["active"])
    keys.withdraw_key(thumbprint=keys.signing_key().thumbprint, now=today)
    assert "No published key has the name" in words(paste(client, token))


def test_credential_of_a_number_the_registry_has_forgotten_fails(
    client: Client, registry: dict[str, str]
) -> None:
    token = fetch(client, registry["active"])
    Certificate.objects.filter(number=registry["active"]).update(number="AIK-1990-0001")
    response = paste(client, token)
    assert steps(response) == ["Yes", "Yes", "Yes", "Yes", "No"]
    assert "The registry knows no certificate of this credential." in words(response)


def test_uploaded_credential_is_checked(client: Client, registry: dict[str, str]) -> None:
    file = SimpleUploadedFile("mine.jwt", fetch(client, registry["active"]).encode() + b"\n")
    assert "Genuine, and it holds today" in words(client.post("/verify/", {"file": file}))


def test_uploaded_badge_is_read_but_not_believed(client: Client, registry: dict[str, str]) -> None:
    svg = client.get(f"/api/v1/certifications/{registry['active']}/badge.svg").content
    certificate = Certificate.objects.get(number=registry["active"])
    services.revoke_certificate(certificate=certificate, reason="Found out.")
    said = words(client.post("/verify/", {"file": SimpleUploadedFile("badge.svg", svg)}))
    assert "A picture proves nothing" in said
    assert "was revoked" in said


@pytest.mark.parametrize(
    "path",
    [
        "/certified/{number}/",
        "/certified/{number}/certificate.pdf",
        "/api/v1/certifications/{number}/credential/",
        "/api/v1/certifications/{number}/badge.svg?style=large",
        "/certified/{lower}/",
    ],
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_address_of_this_portal_is_followed_within_it(
    client: Client, registry: dict[str, str], path: str, method: str
) -> None:
    number = registry["active"]
    asked = {"credential": SITE + path.format(number=number, lower=number.lower())}
    response = getattr(client, method)("/verify/", asked)
    assert "Genuine, and it holds today" in words(response)
    assert steps(response) == ["Yes"] * 5


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/api/v1/certifications/{number}/credential/",
        "http://127.0.0.1:8001/certified/{number}/",
        "https://127.0.0.1:8000/certified/{number}/",
        "http://127.0.0.1:8000@evil.example/certified/{number}/",
        "http://127.0.0.1:8000.evil.example/certified/{number}/",
        "http://[::1/certified/{number}/",
        "http://127.0.0.1:99999/certified/{number}/",
    ],
)
def test_other_address_is_never_opened(client: Client, registry: dict[str, str], address: str) -> None:
    said = words(paste(client, address.format(number=registry["active"])))
    assert f"This page opens no addresses but those of this portal, {SITE}." in said
    assert "Genuine" not in said


def test_address_of_no_certificate_is_refused(client: Client) -> None:
    assert "It names no certificate of this portal." in words(paste(client, f"{SITE}/compare/"))


def test_address_of_an_unknown_number_says_so(client: Client) -> None:
    said = words(paste(client, f"{SITE}/certified/AIK-1999-0001/"))
    assert "No certificate has this number" in said


def test_number_in_the_field_for_credentials_is_answered(client: Client, registry: dict[str, str]) -> None:
    assert "was certified under" in words(paste(client, f" {registry['active'].lower()} "))


def test_readable_form_is_told_from_the_signed_one(client: Client, registry: dict[str, str]) -> None:
    path = f"/api/v1/certifications/{registry['active']}/credential/"
    said = words(paste(client, client.get(f"{path}?format=json").content.decode()))
    assert "without its signature" in said


def test_enveloped_credential_is_checked(client: Client, registry: dict[str, str]) -> None:
    envelope = {
        "@context": "https://www.w3.org/ns/credentials/v2",
        "id": f"data:application/vc+jwt,{fetch(client, registry['active'])}",
        "type": "EnvelopedVerifiableCredential",
    }
    assert "Genuine, and it holds today" in words(paste(client, json.dumps(envelope)))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"%PDF-1.4 ...", "A PDF is for reading."),
        (b"\xff\xfe\x00", "This file holds no credential"),
        (b'{"id": ', "It looks like JSON"),
        (b"[" * 90000, "Not a credential of this portal"),
        (b"{" * 90000, "It looks like JSON"),
        (b"<svg></svg>", "It names no certificate of this portal."),
        (b"a.b.c", "Not a credential of this portal"),
        (b"hello", "Not a credential of this portal"),
        (b"   ", "There is nothing in it."),
        (b"x" * (512 * 1024 + 1), "This file is larger than any credential of ours."),
    ],
    ids=["pdf", "binary", "json", "nested", "braces", "svg", "dots", "word", "white", "large"],
)
def test_file_that_is_no_credential_is_explained(client: Client, data: bytes, expected: str) -> None:
    response = client.post("/verify/", {"file": SimpleUploadedFile("f", data)})
    assert expected in words(response)


def test_nothing_brought_is_asked_for(client: Client) -> None:
    assert "Paste a credential or an address, or choose a file." in words(client.post("/verify/", {}))


def test_hostile_text_is_escaped(client: Client) -> None:
    page = paste(client, "<script>alert(1)</script>").content.decode()
    assert "<script>alert" not in page


def test_page_sets_no_cookie_and_may_be_cached(client: Client) -> None:
    response = client.get("/verify/")
    assert response["Cache-Control"].startswith("public, max-age=")
    assert "Set-Cookie" not in response
    assert "csrfmiddlewaretoken" not in response.content.decode()


def test_form_works_for_whoever_comes_without_a_cookie(registry: dict[str, str]) -> None:
    strict = Client(enforce_csrf_checks=True)
    assert "was certified under" in words(strict.post("/verify/", {"credential": registry["active"]}))


@pytest.mark.parametrize("method", ["put", "delete", "patch"])
def test_page_takes_nothing_else(client: Client, method: str) -> None:
    assert getattr(client, method)("/verify/").status_code == 405


# --- A platform on a date ----------------------------------------------------------------------------

CERTIFIED = "/api/v1/certified/"


@pytest.mark.parametrize(
    ("query", "certified", "known"),
    [
        ("platform=Harbour", True, True),
        ("platform=harbour&vendor=old-harbour&on=2026-03-01", True, True),
        ("platform=harbour&on=2026-02-28", False, True),
        ("platform=harbour&on=2027-02-28", True, True),
        ("platform=harbour&on=2027-03-01", False, True),
        ("platform=harbour&version=2.1&kubernetes_version=v1.36.2", True, True),
        ("platform=harbour&version=9", False, False),
        ("platform=harbour&configuration=air-gapped", False, False),
        ("platform=harbour&vendor=acme-cloud", False, False),
        ("platform=nothing", False, False),
        ("platform=lagoon&on=2026-03-31", True, True),
        ("platform=lagoon&on=2026-04-01", False, True),
        ("platform=meridian&on=2026-05-20", False, True),
        ("platform=tundra&on=2026-03-19", True, True),
        ("platform=tundra&on=2026-03-20", True, True),
    ],
)
def test_platform_was_certified_on_a_date(
    client: Client, registry: dict[str, str], query: str, certified: bool, known: bool
) -> None:
    body = client.get(f"{CERTIFIED}?{query}").json()
    assert (body["certified"], body["known"]) == (certified, known)
    assert body["certified"] == any(row["status"] == "active" for row in body["certificates"])


def test_answer_names_the_certificates_it_rests_on(client: Client, registry: dict[str, str]) -> None:
    body = client.get(f"{CERTIFIED}?platform=tundra&on=2026-03-19").json()
    assert (body["on"], body["future"], body["simulated"]) == ("2026-03-19", False, False)
    assert [(row["number"], row["status"]) for row in body["certificates"]] == [
        (registry["renewal"], None),
        (registry["superseded"], "active"),
    ]
    today = client.get(f"{CERTIFIED}?platform=tundra").json()
    assert (today["certified"], today["simulated"]) == (True, True)


@pytest.mark.parametrize(
    ("name", "on", "certified", "status"),
    [
        ("active", "2026-06-01", True, "active"),
        ("active", "2026-02-28", False, None),
        ("revoked", "2026-04-01", False, "revoked"),
    ],
)
def test_number_was_certified_on_a_date(
    client: Client, registry: dict[str, str], name: str, on: str, certified: bool, status: str | None
) -> None:
    body = client.get(f"{CERTIFIED}?number={registry[name].lower()}&on={on}").json()
    assert body["certified"] is certified
    assert [row["status"] for row in body["certificates"]] == [status]


def test_every_day_has_the_same_answer_by_number_and_by_platform_on_page_and_in_the_api(
    client: Client, registry: dict[str, str]
) -> None:
    for name, platform in (("active", "harbour"), ("revoked", "lagoon"), ("expired", "quartz")):
        for on in ("2025-03-01", "2026-02-28", "2026-03-01", "2026-04-01", "2027-03-01"):
            by_number = client.get(f"{CERTIFIED}?number={registry[name]}&on={on}").json()["certified"]
            by_platform = client.get(f"{CERTIFIED}?platform={platform}&on={on}").json()["certified"]
            page = client.get(f"/verify/?platform={platform}&on={on}").content.decode()
            detail = client.get(f"/api/v1/certifications/{registry[name]}/?on={on}")
            listed = detail.status_code == 200 and detail.json()["status"] == "active"
            assert by_number == by_platform == listed == ("<h3>Yes" in page)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "on=2026-01-01",
        "platform=x&number=AIK-2026-0001",
        "platform=x&on=soon",
        "platform=x&kubernetes_version=new",
    ],
)
def test_question_that_cannot_be_answered_is_a_problem(client: Client, query: str) -> None:
    response = client.get(f"{CERTIFIED}?{query}")
    assert (response.status_code, response["Content-Type"]) == (400, "application/problem+json")
    assert response.json()["code"] == "invalid"


def test_certificate_of_a_day_to_come_answers_no_question(client: Client, today: datetime) -> None:
    number = CertificateFactory(platform_name="Secret launch", on=ISSUED.replace(month=9)).number
    for query in ("platform=secret-launch&on=2026-10-01", f"number={number}&on=2026-10-01"):
        body = client.get(f"{CERTIFIED}?{query}").json()
        assert (body["known"], body["certificates"]) == (False, [])
    assert "The registry knows no such platform" in words(
        client.get("/verify/?platform=Secret+launch&on=2026-10-01")
    )


@pytest.mark.parametrize("name", ["Harbour AI (Pro)", "harbour-ai-pro", "HARBOUR AI (PRO)", "灵雀云容器平台"])
def test_platform_is_found_by_its_name_in_any_spelling(client: Client, today: datetime, name: str) -> None:
    for platform in ("Harbour AI (Pro)", "灵雀云容器平台", "Harbour AI"):
        CertificateFactory(platform_name=platform)
    assert len(client.get(CERTIFIED, {"platform": name}).json()["certificates"]) == 1


def test_platform_page_warns_of_namesakes(client: Client, today: datetime) -> None:
    for vendor in ("Acme", "Zenith"):
        CertificateFactory(platform_name="Engine", vendor=vendor)
    said = words(client.get("/verify/?platform=engine"))
    assert "2 vendors have a platform of this name: Zenith, Acme." in said
    assert "Yes On 1 June 2026 2 certificates of engine held." in said


def test_platform_answer_costs_the_same_for_one_and_for_three(
    client: Client, today: datetime, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for version in ("1", "2", "3"):
        CertificateFactory(platform_name="Engine", platform_version=version)
        with django_assert_num_queries(2):  # the second asks when the registry last changed
            assert client.get(f"{CERTIFIED}?platform=engine").status_code == 200


# --- What becomes of a suspension ---------------------------------------------------------------------

NOTICE = "a written notice had been served"
ENDS = "Its cause has to be cured before 19 June 2026; otherwise it is revoked on that day."


@pytest.mark.parametrize(
    ("on", "expected"),
    [
        ("", f"On 1 June 2026 {{number}} was suspended: {NOTICE}. {ENDS}"),
        ("2026-05-20", f"On 20 May 2026 {{number}} was suspended: {NOTICE}. {ENDS}"),
        ("2026-06-18", f"On 18 June 2026 {{number}} will be suspended: {NOTICE}. {ENDS}"),
        ("2026-06-19", "On 19 June 2026 {number} will be revoked."),
    ],
)
def test_suspension_is_told_with_its_end(
    client: Client, registry: dict[str, str], on: str, expected: str
) -> None:
    number = registry["suspended"]
    said = words(client.get("/verify/", {"number": number, "on": on}))
    assert expected.format(number=number) in re.sub(r" (?=[.;:,])", "", said)


def test_end_of_a_later_notice_is_not_told_of_an_earlier_one(
    client: Client, registry: dict[str, str]
) -> None:
    certificate = Certificate.objects.get(number=registry["suspended"])
    services.reinstate_certificate(certificate=certificate, reason="Back.", on=date(2026, 5, 22))
    services.suspend_certificate(certificate=certificate, reason="Gone again.", on=date(2026, 5, 28))
    said = words(client.get(f"/verify/?number={certificate.number}&on=2026-05-21"))
    assert f"{NOTICE}, with 30 days to cure its cause." in said
    said = words(client.get(f"/verify/?number={certificate.number}&on=2026-05-28"))
    assert "27 June 2026" in said


def test_end_of_a_notice_that_outlasts_the_certificate_is_not_told(client: Client, today: datetime) -> None:
    certificate = CertificateFactory(on=date(2025, 6, 20))
    services.suspend_certificate(certificate=certificate, reason="Gone.", on=date(2026, 5, 25))
    said = words(client.get(f"/verify/?number={certificate.number}"))
    assert f"{NOTICE}, with 30 days to cure its cause." in said


def test_picture_of_a_suspended_certificate_is_answered_with_its_end(
    client: Client, registry: dict[str, str]
) -> None:
    svg = client.get(f"/api/v1/certifications/{registry['suspended']}/badge.svg").content
    said = words(client.post("/verify/", {"file": SimpleUploadedFile("badge.svg", svg)}))
    assert "Its cause has to be cured before 19 June 2026" in said

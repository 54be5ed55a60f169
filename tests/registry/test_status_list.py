"""Status lists: one bit for each certificate and purpose, right on the day they are made."""

from __future__ import annotations

import gzip
import json
from datetime import datetime, timedelta

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from conformance import credentials as formats
from conformance.credentials import CredentialError, Result, StepName, examine, read_list
from registry import credentials, keys, services
from registry.models import Certificate, StatusEntry
from tests.registry.factories import CertificateFactory
from tests.registry.signing import clock, examined, fetch, payload_of, published_keys, status_lists

pytestmark = pytest.mark.django_db


def bits(client: Client, number: int) -> bytes:
    response = client.get(f"/api/v1/status-lists/{number}/?format=json")
    return formats.unpack_bits(json.loads(response.content)["credentialSubject"]["encodedList"])


def set_places(data: bytes) -> set[int]:
    return {i for i in range(len(data) * 8) if data[i // 8] & (0x80 >> i % 8)}


def place(number: str) -> int:
    return StatusEntry.objects.get(certificate__number=number).pk - 1


def test_lists_say_of_every_status_what_it_means(client: Client, registry: dict[str, str]) -> None:
    ended = {place(registry[name]) for name in ("expired", "revoked", "superseded")}
    assert set_places(bits(client, 1)) == ended
    assert set_places(bits(client, 2)) == {place(registry["suspended"])}


def test_list_is_a_signed_credential_of_the_standard_form(client: Client, today: datetime) -> None:
    response = client.get("/api/v1/status-lists/1/")
    said = json.loads(client.get("/api/v1/status-lists/1/?format=json").content)
    address = "http://127.0.0.1:8000/api/v1/status-lists/1/"
    assert response["Content-Type"] == "application/vc+jwt"
    assert response["Cache-Control"] == "public, max-age=60"
    assert said["type"] == ["VerifiableCredential", "BitstringStatusListCredential"]
    assert said["id"] == address
    assert (said["validFrom"], said["validUntil"]) == ("2026-06-01T12:00:00Z", "2026-06-02T12:00:00Z")
    subject = said["credentialSubject"]
    packed = subject.pop("encodedList")
    assert subject == {
        "id": f"{address}#list",
        "type": "BitstringStatusList",
        "statusPurpose": "revocation",
        "ttl": 60000,
    }
    assert packed.startswith("uH4s")  # multibase base64url of gzip's first bytes
    assert len(formats.unpack_bits(packed)) == 16 * 1024
    assert read_list(response.content, published_keys(client), today).purpose == "revocation"


def test_credential_names_its_place_in_both_lists(client: Client, today: datetime) -> None:
    CertificateFactory()
    number = CertificateFactory().number
    index = str(place(number))
    assert payload_of(client, number)["credentialStatus"] == [
        {
            "id": f"http://127.0.0.1:8000/api/v1/status-lists/{n}/#{index}",
            "type": "BitstringStatusListEntry",
            "statusPurpose": purpose,
            "statusListIndex": index,
            "statusListCredential": f"http://127.0.0.1:8000/api/v1/status-lists/{n}/",
        }
        for n, purpose in ((1, "revocation"), (2, "suspension"))
    ]


@pytest.mark.parametrize("number", ["0", "3", "99999999999999999999"])
def test_list_that_was_not_begun_is_not_found(client: Client, today: datetime, number: str) -> None:
    assert client.get(f"/api/v1/status-lists/{number}/").status_code == 404


def test_first_lists_are_there_before_the_first_certificate(client: Client, today: datetime) -> None:
    assert set_places(bits(client, 1)) == set_places(bits(client, 2)) == set()


def test_certificates_beyond_the_first_list_stand_in_the_next(client: Client, today: datetime) -> None:
    first = CertificateFactory()
    later = CertificateFactory()
    StatusEntry.objects.filter(certificate=later).update(id=credentials.LIST_SIZE + 3)
    for certificate in (first, later):
        services.revoke_certificate(certificate=certificate, reason="Found out.", on=today.date())
    assert set_places(bits(client, 3)) == {2}
    assert place(first.number) in set_places(bits(client, 1))
    assert credentials.LIST_SIZE + 2 not in set_places(bits(client, 1))
    assert set_places(bits(client, 4)) == set()
    assert payload_of(client, later.number)["credentialStatus"][0]["statusListCredential"].endswith("/3/")


def test_place_is_kept_for_ever(client: Client, today: datetime) -> None:
    certificate = CertificateFactory()
    before = payload_of(client, certificate.number)["credentialStatus"]
    keys.rotate_key(now=today)
    services.revoke_certificate(certificate=certificate, reason="Found out.", on=today.date())
    CertificateFactory()
    assert payload_of(client, certificate.number)["credentialStatus"] == before


def test_suspension_is_lifted_again(client: Client, today: datetime) -> None:
    certificate = CertificateFactory()
    token = fetch(client, certificate.number)
    services.suspend_certificate(certificate=certificate, reason="Unreachable.", on=today.date())
    found = examined(client, token, certificate.number, today)
    assert found.result_of(StepName.STATUS) is Result.FAILED
    assert "suspended" in found.steps[-1].text
    services.reinstate_certificate(certificate=certificate, reason="Cured.", on=today.date())
    assert examined(client, token, certificate.number, today).holds


def test_credential_held_since_before_a_revocation_is_found_out(client: Client, today: datetime) -> None:
    certificate = CertificateFactory()
    token = fetch(client, certificate.number)
    services.revoke_certificate(certificate=certificate, reason="Found out.", on=today.date())
    found = examined(client, token, certificate.number, today)
    assert found.result_of(StepName.VALIDITY) is Result.PASSED
    assert found.result_of(StepName.STATUS) is Result.FAILED
    assert found.is_genuine


def test_expiry_shows_before_the_daily_task_has_come_by(client: Client, today: datetime) -> None:
    certificate = CertificateFactory(on=today.date() - timedelta(days=364))
    assert set_places(bits(client, 1)) == set()
    with clock(certificate.expires_on):
        assert Certificate.objects.get().status == "active"
        assert set_places(bits(client, 1)) == {place(certificate.number)}


def test_event_dated_later_shows_on_its_day_and_not_before(client: Client, today: datetime) -> None:
    certificate = CertificateFactory()
    tomorrow = today.date() + timedelta(days=1)
    services.revoke_certificate(certificate=certificate, reason="Announced.", on=tomorrow)
    assert set_places(bits(client, 1)) == set()
    with clock(tomorrow):
        assert set_places(bits(client, 1)) == {place(certificate.number)}


def test_without_its_lists_the_status_stays_unchecked(client: Client, today: datetime) -> None:
    number = CertificateFactory().number
    token, lists = fetch(client, number), status_lists(client, number)
    known = published_keys(client)
    for given_lists in ([], lists[:1], lists[1:]):
        found = examine(token, keys=known, now=today, status_lists=given_lists)
        assert found.result_of(StepName.STATUS) is Result.NOT_CHECKED
        assert not found.holds
        assert not found.failed


def test_list_of_yesterday_is_too_old(client: Client, today: datetime) -> None:
    number = CertificateFactory().number
    token, lists = fetch(client, number), status_lists(client, number)
    known = published_keys(client)
    for hours, expected in ((23, Result.PASSED), (24, Result.FAILED)):
        found = examine(token, keys=known, now=today + timedelta(hours=hours), status_lists=lists)
        assert found.result_of(StepName.STATUS) is expected


@pytest.mark.parametrize("which", ["another document", "damaged", "another portal's"])
def test_list_that_cannot_be_trusted_fails_the_step(client: Client, today: datetime, which: str) -> None:
    number = CertificateFactory().number
    token, lists = fetch(client, number), status_lists(client, number)
    known = published_keys(client)
    given_list = {
        "another document": token,
        "damaged": lists[0][:-20] + lists[1][-20:],
        "another portal's": lists[0],
    }[which]
    if which == "another portal's":
        known = {kid.replace("127.0.0.1", "evil.example"): key for kid, key in known.items()}
        with pytest.raises(CredentialError):
            read_list(given_list, known, today)
        return
    found = examine(token, keys=known, now=today, status_lists=[given_list])
    assert found.result_of(StepName.STATUS) is Result.FAILED
    assert found.steps[-1].text.startswith("A status list cannot be used.")


@given(st.binary(min_size=0, max_size=400))
def test_bits_survive_packing(data: bytes) -> None:
    padded = data.ljust(formats.SHORTEST_LIST, b"\0")
    assert formats.unpack_bits(formats.pack_bits(padded)) == padded


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "zabc",
        "u!",
        "u" + formats.encode_bytes(b"not gzip"),
        "u" + formats.encode_bytes(gzip.compress(b"\0" * 100)),
        "u" + formats.encode_bytes(gzip.compress(b"\0" * formats.SHORTEST_LIST)[:-9]),
        "u" + formats.encode_bytes(gzip.compress(b"\0" * (formats.MAX_LIST + 1))),
    ],
    ids=["nothing", "empty", "other base", "no base64", "no gzip", "short", "cut off", "bomb"],
)
def test_bits_that_cannot_be_unpacked_are_refused(text: str | None) -> None:
    with pytest.raises(CredentialError):
        formats.unpack_bits(text)

"""The credential of a certificate: what it says, in which form, and that no one can change it."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jwt.api_jws import PyJWS

from conformance.credentials import (
    CredentialError,
    Result,
    StepName,
    encode_bytes,
    examine,
    read_keys,
    read_token,
)
from registry import keys, services
from registry.models import Certificate, StatusEntry
from tests.registry.factories import CertificateFactory, RequirementSnapshotFactory
from tests.registry.signing import examined, fetch, payload_of, published_keys

pytestmark = pytest.mark.django_db
SITE = "http://127.0.0.1:8000"


def signed(document: Any, **header: Any) -> str:
    """`document` signed with the portal's own key, whatever it says."""
    key = keys.signing_key()
    headers = {"typ": "vc+jwt", "cty": "vc", "kid": keys.key_address(key), **header}
    return PyJWS().encode(
        json.dumps(document).encode(), keys.private_half(key), algorithm="EdDSA", headers=headers
    )


@pytest.fixture
def token(client: Client, today: datetime) -> str:
    return fetch(client, CertificateFactory(platform_name="Harbour", platform_version="2.1").number)


def test_credential_says_what_the_certificate_says(client: Client, today: datetime) -> None:
    certificate = CertificateFactory(
        platform_name="灵雀云", platform_version="2.1", vendor="Old Harbour", run_digest="sha256:abc"
    )
    number = certificate.number
    said = payload_of(client, number)
    achievement = said["credentialSubject"].pop("achievement")
    assert said["@context"] == [
        "https://www.w3.org/ns/credentials/v2",
        "https://purl.imsglobal.org/spec/ob/v3p0/context-3.0.3.json",
    ]
    assert said["type"] == ["VerifiableCredential", "AchievementCredential", "OpenBadgeCredential"]
    assert said["name"] == "灵雀云 2.1, Kubernetes 1.35"
    assert said["issuer"]["id"] == said["iss"] == SITE
    assert said["id"] == said["jti"] == f"{SITE}/api/v1/certifications/{number}/credential/"
    assert said["credentialSubject"]["id"] == said["sub"] == f"{SITE}/certified/{number}/#platform"
    assert (said["validFrom"], said["validUntil"]) == ("2026-03-01T00:00:00Z", "2027-03-01T00:00:00Z")
    assert said["nbf"] == datetime(2026, 3, 1, tzinfo=UTC).timestamp()
    assert said["exp"] == datetime(2027, 3, 1, tzinfo=UTC).timestamp()
    identity = {row["identityType"]: row["identityHash"] for row in said["credentialSubject"]["identifier"]}
    assert identity == {
        "ext:certificateNumber": number,
        "ext:platformName": "灵雀云",
        "ext:platformVersion": "2.1",
        "ext:configuration": "default",
        "ext:vendorName": "Old Harbour",
        "ext:kubernetesVersion": "1.35",
        "ext:assurance": "portal_verified",
    }
    assert achievement["achievementType"] == "Certification"
    assert said["evidence"][0]["description"] == "Verification report sha256:abc"


def test_credential_says_of_each_requirement_how_it_is_known(client: Client, today: datetime) -> None:
    rows = (
        RequirementSnapshotFactory(requirement_id="one", verified=True),
        RequirementSnapshotFactory(requirement_id="two", verdict="pass", assurance="vendor_run"),
        RequirementSnapshotFactory(requirement_id="three"),
        RequirementSnapshotFactory(requirement_id="four", waiver=True),
        RequirementSnapshotFactory(requirement_id="five", verdict="fail"),
        RequirementSnapshotFactory(requirement_id="six", unclaimed=True),
        RequirementSnapshotFactory(requirement_id="seven", verdict="unknown"),
    )
    subject = payload_of(client, CertificateFactory(requirements=rows).number)["credentialSubject"]
    described = {row["id"]: row for row in subject["achievement"]["resultDescription"]}
    said = {row["resultDescription"].split("#")[1]: row["value"] for row in subject["result"]}
    assert said == {
        "one": "portal_verified",
        "two": "vendor_run",
        "three": "self_attested",
        "four": "waived",
        "five": "seen_to_fail",
        "six": "not_claimed",
        "seven": "self_attested",
    }
    for row in subject["result"]:
        assert row["value"] in described[row["resultDescription"]]["allowedValue"]


def test_simulated_credential_says_so_to_people_and_programs(client: Client, today: datetime) -> None:
    number = CertificateFactory(simulated=True).number
    said = payload_of(client, number)
    assert said["name"].startswith("SIMULATED, certifies nothing: ")
    assert said["credentialSubject"]["achievement"]["achievementType"] == "ext:SimulatedCertification"
    assert read_token(fetch(client, number)).is_simulated


def test_credential_verifies_with_a_plain_jwt_library(client: Client, token: str) -> None:
    known = jwt.PyJWKSet.from_json(client.get("/.well-known/jwks.json").content.decode())
    header = jwt.get_unverified_header(token)
    assert (header["alg"], header["typ"], header["cty"]) == ("EdDSA", "vc+jwt", "vc")
    options: Any = {"verify_exp": False, "verify_nbf": False}
    said = jwt.decode(token, known[header["kid"]], algorithms=["EdDSA"], issuer=SITE, options=options)
    assert said["type"][0] == "VerifiableCredential"
    assert "vc" not in said


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", "application/vc+jwt"),
        ("application/vc+jwt", "application/vc+jwt"),
        ("application/json", "application/json"),
        ("application/json;q=0.5, application/vc+jwt", "application/vc+jwt"),
        ("text/html,*/*;q=0.8", "application/vc+jwt"),
        ("image/png", "application/vc+jwt"),
    ],
)
def test_form_of_the_answer_follows_accept(
    client: Client, today: datetime, accept: str, expected: str
) -> None:
    path = f"/api/v1/certifications/{CertificateFactory().number}/credential/"
    response = client.get(path, headers={"accept": accept})
    assert response["Content-Type"] == expected
    assert "Accept" in response["Vary"]


def test_credential_is_cached_for_a_minute_and_the_same_until_something_changes(
    client: Client, today: datetime
) -> None:
    path = f"/api/v1/certifications/{CertificateFactory().number}/credential/"
    response = client.get(path)
    assert response["Cache-Control"] == "public, max-age=60"
    assert client.get(path, headers={"if-none-match": response["ETag"]}).status_code == 304


def test_credential_of_a_day_to_come_is_not_found(client: Client, today: datetime) -> None:
    number = CertificateFactory(on=today.date() + timedelta(days=1)).number
    for path in (f"/api/v1/certifications/{number}/credential/", f"/certified/{number}/qr.svg"):
        assert client.get(path).status_code == 404


def test_unknown_number_is_a_problem_document_whatever_is_accepted(client: Client) -> None:
    path = "/api/v1/certifications/AIK-1999-0001/credential/"
    response = client.get(path, headers={"accept": "application/vc+jwt"})
    assert (response.status_code, response["Content-Type"]) == (404, "application/problem+json")


def test_credential_fetched_after_a_revocation_says_when_it_ended(client: Client, today: datetime) -> None:
    certificate = CertificateFactory()
    services.revoke_certificate(certificate=certificate, reason="Found out.", on=today.date())
    assert payload_of(client, certificate.number)["validUntil"] == "2026-06-01T00:00:00Z"


def test_credential_of_a_suspended_certificate_keeps_its_dates(client: Client, today: datetime) -> None:
    certificate = CertificateFactory()
    services.suspend_certificate(certificate=certificate, reason="Unreachable.", on=today.date())
    assert payload_of(client, certificate.number)["validUntil"] == "2027-03-01T00:00:00Z"


def test_row_that_came_in_by_other_means_gets_a_place(client: Client, today: datetime) -> None:
    certificate = CertificateFactory()
    StatusEntry.objects.all().delete()
    assert examined(client, fetch(client, certificate.number), certificate.number, today).holds


# --- Nobody can change it ------------------------------------------------------------------------------


def test_genuine_credential_passes_every_step(client: Client, token: str, today: datetime) -> None:
    found = examined(client, token, Certificate.objects.get().number, today)
    assert [(step.name, step.result) for step in found.steps] == [(name, Result.PASSED) for name in StepName]


def test_no_character_of_it_can_be_changed_without_notice(
    client: Client, token: str, today: datetime
) -> None:
    """Every position, and for each every class of character: of the alphabet, outside it, a dot, a space."""
    known = published_keys(client)
    for position in range(len(token)):
        for other in ("A", "z", "0", "-", "_", ".", "=", "+", "/", " ", "\x00", "\xe9"):
            if token[position] == other or (other == " " and position in {0, len(token) - 1}):
                continue
            changed = token[:position] + other + token[position + 1 :]
            assert not examine(changed, keys=known, now=today).is_genuine, (position, other)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_no_damage_goes_unnoticed(client: Client, token: str, today: datetime, data: st.DataObject) -> None:
    """Cut, doubled, inserted into, with bits flipped: never taken for genuine, and never a crash."""
    known = published_keys(client)
    raw = token.encode()
    start = data.draw(st.integers(0, len(raw)))
    end = data.draw(st.integers(start, len(raw)))
    damaged = raw[:start] + data.draw(st.binary(max_size=40)) + raw[end:]
    found = examine(damaged, keys=known, now=today)
    assert found.is_genuine is (damaged.strip() == raw)


def test_spare_bits_of_the_signature_allow_no_second_spelling(
    client: Client, token: str, today: datetime
) -> None:
    """86 characters hold 516 bits, four more than a signature: sixteen last characters decode alike."""
    known = published_keys(client)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    signature = token.rsplit(".", 1)[1]
    accepted = [
        letter for letter in alphabet if examine(token[:-1] + letter, keys=known, now=today).is_genuine
    ]
    assert len(signature) == 86
    assert accepted == [token[-1]]


def test_header_of_another_algorithm_is_refused(client: Client, token: str, today: datetime) -> None:
    known = published_keys(client)
    head, body, _ = token.split(".")
    for algorithm in ("none", "HS256", "ES256", "RS256", None):
        header = json.loads(base64.urlsafe_b64decode(head + "=="))
        header["alg"] = algorithm
        forged = f"{encode_bytes(json.dumps(header).encode())}.{body}.{encode_bytes(b'x' * 64)}"
        assert examine(forged, keys=known, now=today).result_of(StepName.FORMAT) is Result.FAILED


def test_signature_of_a_stranger_under_our_name_is_refused(
    client: Client, token: str, today: datetime
) -> None:
    stranger = Ed25519PrivateKey.generate()
    header = jwt.get_unverified_header(token)
    forged = PyJWS().encode(
        base64.urlsafe_b64decode(token.split(".")[1] + "=="),
        stranger,
        algorithm="EdDSA",
        headers={name: header[name] for name in ("typ", "cty", "kid")},
    )
    found = examine(forged, keys=published_keys(client), now=today)
    assert found.result_of(StepName.SIGNATURE) is Result.FAILED
    assert "letter for letter" in found.steps[1].text


def test_signature_by_a_key_of_another_issuer_is_refused(client: Client, token: str, today: datetime) -> None:
    (key,) = published_keys(client).values()
    found = examine(token, keys={key["kid"]: key}, now=today, issuer="https://elsewhere.example")
    assert found.result_of(StepName.ISSUER) is Result.FAILED
    assert "not by https://elsewhere.example" in found.steps[2].text


@pytest.mark.parametrize(
    ("change", "step"),
    [
        ({"type": ["VerifiableCredential"]}, StepName.FORMAT),
        ({"@context": ["https://www.w3.org/2018/credentials/v1"]}, StepName.FORMAT),
        ({"jti": "other"}, StepName.FORMAT),
        ({"sub": "other"}, StepName.FORMAT),
        ({"iss": "https://elsewhere.example"}, StepName.ISSUER),
        ({"issuer": "https://elsewhere.example", "iss": "https://elsewhere.example"}, StepName.ISSUER),
        ({"issuer": 7}, StepName.ISSUER),
        ({"exp": 4102444800}, StepName.VALIDITY),
        ({"validUntil": "soon"}, StepName.VALIDITY),
        ({"validFrom": "2026-03-01T00:00:00"}, StepName.VALIDITY),
        ({"credentialStatus": []}, StepName.STATUS),
        ({"credentialStatus": [{"type": "Other"}]}, StepName.STATUS),
        ({"credentialStatus": ["nonsense"]}, StepName.STATUS),
    ],
)
def test_signed_text_that_contradicts_itself_is_refused(
    client: Client, today: datetime, change: dict[str, Any], step: StepName
) -> None:
    said = {**payload_of(client, CertificateFactory().number), **change}
    found = examine(signed(said), keys=published_keys(client), now=today)
    assert found.result_of(step) is Result.FAILED, found.steps


@pytest.mark.parametrize(
    "header",
    [{"typ": "JWT"}, {"crit": ["x"], "x": 1}, {"kid": 7}],
    ids=["another type", "critical extension", "no name"],
)
def test_header_the_portal_never_writes_is_refused(
    client: Client, today: datetime, header: dict[str, Any]
) -> None:
    said = payload_of(client, CertificateFactory().number)
    key = keys.signing_key()
    full = {"alg": "EdDSA", "typ": "vc+jwt", "cty": "vc", "kid": keys.key_address(key), **header}
    body = f"{encode_bytes(json.dumps(full).encode())}.{encode_bytes(json.dumps(said).encode())}"
    signature = encode_bytes(keys.private_half(key).sign(body.encode()))
    found = examine(f"{body}.{signature}", keys=published_keys(client), now=today)
    assert found.result_of(StepName.FORMAT) is Result.FAILED


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC), Result.FAILED),
        (datetime(2026, 3, 1, tzinfo=UTC), Result.PASSED),
        (datetime(2027, 2, 28, 23, 59, 59, tzinfo=UTC), Result.PASSED),
        (datetime(2027, 3, 1, tzinfo=UTC), Result.FAILED),
    ],
)
def test_validity_ends_with_the_last_second_of_the_last_day(
    client: Client, token: str, moment: datetime, expected: Result
) -> None:
    found = examine(token, keys=published_keys(client), now=moment)
    assert found.result_of(StepName.VALIDITY) is expected
    assert found.is_genuine


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b'{"keys": 7}',
        b'{"keys": [7]}',
        b'{"keys": []}',
        b"\xff",
        b'{"keys": [{"kty": "RSA"}]}',
    ],
)
def test_what_is_no_key_set_is_refused(data: bytes) -> None:
    with pytest.raises(CredentialError):
        read_keys(data)

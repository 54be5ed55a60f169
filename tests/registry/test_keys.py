"""Keys that sign: published, replaced, withdrawn, and never readable without FIELD_KEYS."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from datetime import UTC, datetime
from io import StringIO

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from pytest_django import Settings

from conformance.credentials import Result, StepName, examine
from registry import keys
from registry.models import RegistryState, SigningKey
from tests.registry.factories import CertificateFactory
from tests.registry.signing import fetch, published_keys

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def test_key_set_names_the_key_by_the_address_at_which_it_is_found(client: Client) -> None:
    response = client.get("/.well-known/jwks.json")
    (key,) = response.json()["keys"]
    assert response["Content-Type"] == "application/jwk-set+json"
    assert response["Access-Control-Allow-Origin"] == "*"
    assert response["Cache-Control"].startswith("public, max-age=")
    assert set(key) == {"crv", "kty", "x", "kid", "alg", "use"}
    assert (key["crv"], key["kty"], key["alg"]) == ("Ed25519", "OKP", "EdDSA")
    path = key["kid"].removeprefix("http://127.0.0.1:8000")
    assert client.get(path).json() == key


def test_name_of_the_key_is_its_thumbprint(client: Client) -> None:
    (key,) = client.get("/.well-known/jwks.json").json()["keys"]
    canonical = f'{{"crv":"Ed25519","kty":"OKP","x":"{key["x"]}"}}'
    digest = hashlib.sha256(canonical.encode()).digest()
    thumbprint = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert key["kid"].endswith(f"/.well-known/keys/{thumbprint}.json")


def test_unknown_key_is_not_found(client: Client) -> None:
    assert client.get("/.well-known/keys/none.json").status_code == 404


def test_did_document_publishes_the_same_keys(client: Client, settings: Settings) -> None:
    settings.SITE_URL = "https://registry.example"
    document = client.get("/.well-known/did.json").json()
    assert document["id"] == "did:web:registry.example"
    assert document["alsoKnownAs"] == ["https://registry.example"]
    (method,) = document["verificationMethod"]
    assert document["assertionMethod"] == [method["id"]]
    assert method["publicKeyJwk"] == client.get("/.well-known/jwks.json").json()["keys"][0]


def test_port_in_the_did_is_escaped(settings: Settings) -> None:
    settings.SITE_URL = "http://127.0.0.1:8000"
    assert keys.decentralized_identifier() == "did:web:127.0.0.1%3A8000"


def test_private_half_is_encrypted_and_nowhere_published(client: Client) -> None:
    key = keys.signing_key()
    raw = keys.private_half(key).private_bytes_raw()
    assert raw not in key.private_key.encode()
    assert base64.urlsafe_b64encode(raw).rstrip(b"=").decode() not in key.private_key
    for path in ("/.well-known/jwks.json", "/.well-known/did.json"):
        assert '"d":' not in client.get(path).content.decode().replace(" ", "")


def test_asking_twice_makes_one_key() -> None:
    assert keys.signing_key() == keys.signing_key()
    assert SigningKey.objects.count() == 1


def test_database_allows_one_signing_key_at_a_time() -> None:
    keys.signing_key()
    with pytest.raises(IntegrityError), transaction.atomic():
        SigningKey.objects.create(thumbprint="another", public_key="x", private_key="y")


def test_database_lets_no_retired_key_keep_its_private_half() -> None:
    key = keys.signing_key()
    with pytest.raises(IntegrityError), transaction.atomic():
        SigningKey.objects.filter(pk=key.pk).update(retired_at=NOON)


@pytest.mark.django_db(transaction=True)
def test_two_processes_that_need_the_first_key_at_once_get_the_same() -> None:
    if connection.vendor == "sqlite":
        pytest.skip("The tests' database in memory serves one thread at a time.")
    found: list[str] = []

    def ask() -> None:
        try:
            found.append(keys.signing_key().thumbprint)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == 1


def test_credential_signed_before_a_rotation_goes_on_verifying(client: Client, today: datetime) -> None:
    number = CertificateFactory().number
    before = fetch(client, number)
    keys.rotate_key(now=today)
    after = fetch(client, number)
    known = published_keys(client)
    assert len(known) == 2
    assert before != after
    for token in (before, after):
        assert examine(token, keys=known, now=today).is_genuine


@pytest.mark.parametrize("change", ["rotate", "withdraw"])
def test_change_of_keys_makes_kept_answers_old(client: Client, today: datetime, change: str) -> None:
    key = keys.signing_key()
    before = RegistryState.objects.get_or_create(pk=1)[0].version
    if change == "rotate":
        keys.rotate_key(now=today)
    else:
        keys.withdraw_key(thumbprint=key.thumbprint, now=today)
    assert RegistryState.objects.get(pk=1).version > before


def test_replaced_key_can_never_sign_again() -> None:
    old = keys.signing_key()
    new = keys.rotate_key(now=NOON)
    old.refresh_from_db()
    assert (old.private_key, old.retired_at) == ("", NOON)
    assert keys.signing_key() == new
    with pytest.raises(keys.SigningKeyError):
        keys.private_half(old)


def test_what_a_withdrawn_key_signed_verifies_no_longer(client: Client, today: datetime) -> None:
    number = CertificateFactory().number
    before = fetch(client, number)
    keys.withdraw_key(thumbprint=keys.signing_key().thumbprint, now=today)
    known = published_keys(client)
    found = examine(before, keys=known, now=today)
    assert found.result_of(StepName.SIGNATURE) is Result.FAILED
    assert examine(fetch(client, number), keys=known, now=today).is_genuine


def test_command_replaces_lists_and_withdraws() -> None:
    first = keys.signing_key().thumbprint
    said = StringIO()
    call_command("rotate_signing_key", stdout=said)
    lines = said.getvalue().splitlines()
    assert [line.split("  ")[2].split(" ")[0] for line in lines] == ["signs", "signed"]
    call_command("rotate_signing_key", withdraw=first, stdout=said)
    said = StringIO()
    call_command("rotate_signing_key", list=True, stdout=said)
    assert [line.split("  ")[2].split(" ")[0] for line in said.getvalue().splitlines()] == [
        "signs",
        "withdrawn",
    ]
    with pytest.raises(CommandError, match="There is no signing key nonsense"):
        call_command("rotate_signing_key", withdraw="nonsense")


def test_new_field_key_opens_the_signing_key_after_rotation(settings: Settings) -> None:
    key = keys.signing_key()
    fresh = Fernet.generate_key().decode()
    settings.FIELD_KEYS = (fresh, *settings.FIELD_KEYS)
    said = StringIO()
    call_command("rotate_field_keys", stdout=said)
    settings.FIELD_KEYS = (fresh,)
    key.refresh_from_db()
    assert keys.private_half(key)
    assert "1 signing keys" in said.getvalue()


def test_lost_field_key_is_a_problem_that_says_nothing_of_keys(
    client: Client, today: datetime, settings: Settings
) -> None:
    number = CertificateFactory().number
    keys.signing_key()
    settings.FIELD_KEYS = (Fernet.generate_key().decode(),)
    response = client.get(f"/api/v1/certifications/{number}/credential/")
    body = json.loads(response.content)
    assert (response.status_code, body["code"]) == (503, "cannot_sign")
    assert response["Content-Type"] == "application/problem+json"
    assert "FIELD_KEYS" not in response.content.decode()
    with pytest.raises(CommandError, match="FIELD_KEYS lacks"):
        call_command("rotate_field_keys", stdout=StringIO())
    keys.rotate_key(now=today)
    assert fetch(client, number)

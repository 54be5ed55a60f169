"""The keys that sign credentials: made, published, replaced, withdrawn."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

import structlog
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from conformance.credentials import encode_bytes
from registry.models import SigningKey
from registry.standing import touch

log = structlog.get_logger(__name__)


class SigningKeyError(Exception):
    """Nothing can be signed, or a key is not there; the text says why and what to do."""


def _cipher() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.FIELD_KEYS])


def _public_jwk(public_key: str) -> dict[str, str]:
    """The members that make up the key, in the order in which RFC 7638 takes its thumbprint."""
    return {"crv": "Ed25519", "kty": "OKP", "x": public_key}


def _new_key(now: datetime) -> SigningKey:
    private = Ed25519PrivateKey.generate()
    public = encode_bytes(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
    canonical = json.dumps(_public_jwk(public), separators=(",", ":"), sort_keys=True)
    return SigningKey.objects.create(
        thumbprint=encode_bytes(hashlib.sha256(canonical.encode()).digest()),
        public_key=public,
        private_key=_cipher().encrypt(private.private_bytes_raw()).decode(),
        created_at=now,
    )


def signing_key() -> SigningKey:
    """The key that signs now; the first one is made when it is first needed."""
    key = SigningKey.objects.filter(retired_at__isnull=True).first()
    if key is not None:
        return key
    try:
        with transaction.atomic():
            key = _new_key(timezone.now())
    except IntegrityError:
        # Another process was first.
        return SigningKey.objects.get(retired_at__isnull=True)
    log.info("signing key made", thumbprint=key.thumbprint)
    return key


def private_half(key: SigningKey) -> Ed25519PrivateKey:
    """What signs. Raises SigningKeyError where FIELD_KEYS no longer opens it."""
    try:
        return Ed25519PrivateKey.from_private_bytes(_cipher().decrypt(key.private_key))
    except InvalidToken as error:
        raise _locked(key) from error


def _locked(key: SigningKey) -> SigningKeyError:
    return SigningKeyError(
        f"The signing key {key.thumbprint} was encrypted with a key that FIELD_KEYS lacks. Put that back, "
        "or make a new signing key with `manage.py rotate_signing_key`."
    )


@transaction.atomic
def rotate_key(*, now: datetime) -> SigningKey:
    """Replace the key that signs. The old private half is destroyed, the public one stays published."""
    for old in SigningKey.objects.select_for_update().filter(retired_at__isnull=True):
        old.retired_at, old.private_key = now, ""
        old.save(update_fields=["retired_at", "private_key"])
    key = _new_key(now)
    touch()
    log.info("signing key replaced", thumbprint=key.thumbprint)
    return key


@transaction.atomic
def withdraw_key(*, thumbprint: str, now: datetime) -> SigningKey:
    """Publish a key no longer: what it signed stops verifying. Raises SigningKeyError.

    The key that signs now is replaced first, so that certificates get credentials of a new key at once.
    """
    key = SigningKey.objects.select_for_update().filter(thumbprint=thumbprint).first()
    if key is None:
        raise SigningKeyError(f"There is no signing key {thumbprint}.")
    if key.retired_at is None:
        rotate_key(now=now)
        key.refresh_from_db()
    if key.withdrawn_at is None:
        key.withdrawn_at = now
        key.save(update_fields=["withdrawn_at"])
        touch()
        log.warning("signing key withdrawn", thumbprint=thumbprint)
    return key


@transaction.atomic
def encrypt_anew() -> int:
    """Encrypt the private half with the first of FIELD_KEYS; returns how many keys that were.

    Raises SigningKeyError where none of FIELD_KEYS opens it.
    """
    keys = list(SigningKey.objects.select_for_update().exclude(private_key=""))
    for key in keys:
        try:
            key.private_key = _cipher().rotate(key.private_key).decode()
        except InvalidToken as error:
            raise _locked(key) from error
        key.save(update_fields=["private_key"])
    return len(keys)


# --- As others read them -----------------------------------------------------------------------------


def published_keys() -> QuerySet[SigningKey]:
    """Every key that credentials may be verified with, the newest first."""
    signing_key()
    return SigningKey.objects.filter(withdrawn_at__isnull=True)


def key_address(key: SigningKey) -> str:
    """The key's name in credentials (`kid`): the address at which it is found."""
    return f"{settings.SITE_URL}/.well-known/keys/{key.thumbprint}.json"


def as_jwk(key: SigningKey) -> dict[str, str]:
    """The public half as a JSON Web Key."""
    return {**_public_jwk(key.public_key), "kid": key_address(key), "alg": key.algorithm, "use": "sig"}


def key_set() -> dict[str, Any]:
    """Every published key as a JSON Web Key Set."""
    return {"keys": [as_jwk(key) for key in published_keys()]}


def decentralized_identifier() -> str:
    """The portal's did:web identifier."""
    return f"did:web:{quote(urlsplit(settings.SITE_URL).netloc, safe='')}"


def did_document() -> dict[str, Any]:
    """The document that a did:web resolver reads: the same keys under the portal's other name."""
    did = decentralized_identifier()
    methods = [
        {
            "id": f"{did}#{key.thumbprint}",
            "type": "JsonWebKey",
            "controller": did,
            "publicKeyJwk": as_jwk(key),
        }
        for key in published_keys()
    ]
    return {
        "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/jwk/v1"],
        "id": did,
        "alsoKnownAs": [settings.SITE_URL],
        "verificationMethod": methods,
        "assertionMethod": [method["id"] for method in methods],
    }

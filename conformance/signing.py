"""Ed25519 keys and signatures of reports, and the DSSE envelope that attestations travel in."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ALGORITHM = "Ed25519"
# What is signed is bound to its type, so that a signature of one thing never serves for another.
REPORT_TYPE = "application/vnd.certportal.report-digest"
STATEMENT_TYPE = "application/vnd.in-toto+json"
MAX_KEY = 16 * 1024

_SIGNATURE_FIELDS = frozenset({"algorithm", "key_id", "public_key", "value"})


class SignatureError(Exception):
    """A key cannot be used, or a signature does not hold. The message says why."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Who signs. The id is the SHA-256 of the key's 32 bytes."""

    raw: bytes

    @property
    def key_id(self) -> str:
        """``sha256:…``: short enough to compare by eye."""
        return f"sha256:{hashlib.sha256(self.raw).hexdigest()}"

    @property
    def text(self) -> str:
        """The bare key, as signatures carry it."""
        return base64.b64encode(self.raw).decode()

    def pem(self) -> str:
        """Return the key as programs exchange it."""
        key = Ed25519PublicKey.from_public_bytes(self.raw)
        return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def check(self, kind: str, message: bytes, signature: bytes) -> None:
        """Raise SignatureError unless this key signed `message` as something of the type `kind`."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, _bound(kind, message))
        except (InvalidSignature, ValueError) as error:
            raise SignatureError("The signature does not fit what it stands under.") from error


class SigningKey:
    """The private half."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    def __repr__(self) -> str:
        """Name the key by its public half."""
        return f"SigningKey({self.public.key_id})"

    @classmethod
    def generate(cls) -> SigningKey:
        """Make a new key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, data: bytes) -> SigningKey:
        """Read a key as `pem` writes it; raise SignatureError."""
        try:
            key = serialization.load_pem_private_key(data, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise SignatureError("The file is not an unencrypted private key in PEM.") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise SignatureError("The key is not an Ed25519 key; `conformance keygen` makes one.")
        return cls(key)

    def pem(self) -> bytes:
        """Return the key in PEM (PKCS #8), unencrypted."""
        return self._key.private_bytes(
            Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def public(self) -> PublicKey:
        """The half that checks."""
        return PublicKey(self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def sign(self, kind: str, message: bytes) -> bytes:
        """Return a signature of `message` as something of the type `kind`."""
        return self._key.sign(_bound(kind, message))


def read_public_key(data: bytes) -> PublicKey:
    """Read a public key in PEM, or its bare 32 bytes in base64; raise SignatureError."""
    text = data.strip()
    if b"PRIVATE KEY" in text:
        raise SignatureError("This is a private key: keep it to yourself, and give the public one.")
    try:
        if not text.startswith(b"-----BEGIN"):
            return _bare(text.decode("ascii"))
        key = serialization.load_pem_public_key(text)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SignatureError("This is not a public key, in PEM as `conformance keygen` prints it.") from error
    if not isinstance(key, Ed25519PublicKey):
        raise SignatureError("The key is not an Ed25519 key; `conformance keygen` makes one.")
    return PublicKey(key.public_bytes(Encoding.Raw, PublicFormat.Raw))


def _bare(text: str) -> PublicKey:
    raw = decoded(text)
    Ed25519PublicKey.from_public_bytes(raw)
    return PublicKey(raw)


def decoded(text: Any) -> bytes:
    """Return the bytes of a base64 text in its one proper spelling; raise ValueError."""
    if not isinstance(text, str):
        raise ValueError("not a text")  # noqa: TRY004 - what strangers write is of a wrong value, whatever it is
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    # The unused bits of a last letter could be changed unseen.
    if base64.b64encode(raw).decode() != text:
        raise ValueError("not base64 in its proper spelling")
    return raw


def _bound(kind: str, message: bytes) -> bytes:
    """Return the pre-authentication encoding of DSSE v1."""
    return b"DSSEv1 %d %s %d %s" % (len(kind.encode()), kind.encode(), len(message), message)


# Reports --------------------------------------------------------------------------------------------


def sign_digest(key: SigningKey, digest: str) -> dict[str, str]:
    """Return the field ``signature`` of a report whose seal is `digest`."""
    return {
        "algorithm": ALGORITHM,
        "key_id": key.public.key_id,
        "public_key": key.public.text,
        "value": base64.b64encode(key.sign(REPORT_TYPE, digest.encode())).decode(),
    }


def check_digest(signature: Any, digest: str) -> PublicKey:
    """Return the key that signed `digest`; raise SignatureError where the field is not wholly in order.

    The field names its key itself: whose key that is, only who knows the key can tell.
    """
    if not isinstance(signature, Mapping) or set(signature) != _SIGNATURE_FIELDS:
        raise SignatureError(f"A signature has the fields {', '.join(sorted(_SIGNATURE_FIELDS))}.")
    if signature["algorithm"] != ALGORITHM:
        raise SignatureError(f"Signatures are made with {ALGORITHM}.")
    try:
        key, value = _bare(signature["public_key"]), decoded(signature["value"])
    except ValueError as error:
        raise SignatureError("The signature or its key is not what it should be.") from error
    if signature["key_id"] != key.key_id:
        raise SignatureError("The key's id does not fit the key.")
    key.check(REPORT_TYPE, digest.encode(), value)
    return key


# Envelopes ------------------------------------------------------------------------------------------


def wrap(key: SigningKey, payload: bytes) -> bytes:
    """Return a DSSE envelope around an in-toto statement."""
    envelope = {
        "payloadType": STATEMENT_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [
            {
                "keyid": key.public.key_id,
                "sig": base64.b64encode(key.sign(STATEMENT_TYPE, payload)).decode(),
            }
        ],
    }
    return json.dumps(envelope, indent=2).encode() + b"\n"


def unwrap(data: bytes, key: PublicKey) -> bytes:
    """Return the statement that `key` signed in the envelope; raise SignatureError."""
    try:
        envelope = json.loads(data)
        payload = decoded(envelope["payload"])
        (signature,) = envelope["signatures"]
        value = decoded(signature["sig"])
        proper = {
            "payloadType": STATEMENT_TYPE,
            "payload": envelope["payload"],
            "signatures": [{"keyid": key.key_id, "sig": signature["sig"]}],
        }
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SignatureError("The envelope is not a DSSE envelope with one signature.") from error
    if json.dumps(proper, indent=2).encode() + b"\n" != data:
        raise SignatureError("The envelope is not written as it was signed, or names another key.")
    key.check(STATEMENT_TYPE, payload, value)
    return payload

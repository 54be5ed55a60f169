"""A certificate authority of the cluster's own, and what it keeps between starts."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import ipaddress
import os
import secrets
import ssl
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALIDITY = dt.timedelta(days=365)
SKEW = dt.timedelta(minutes=5)
_FILES = ("ca.crt", "ca.key", "admin.token", "verifier.token")


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """A cluster's authority, with its certificate as PEM, and the tokens it hands out."""

    ca: bytes
    key: bytes
    admin_token: str
    verifier_token: str


def new_identity() -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "simulated-cluster-ca")])
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        _builder(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Identity(
        ca=certificate.public_bytes(serialization.Encoding.PEM),
        key=_private_bytes(key),
        admin_token=secrets.token_urlsafe(48),
        verifier_token=secrets.token_urlsafe(48),
    )


def kept_identity(folder: Path) -> Identity:
    """Return the identity kept in `folder`, making it at the first start."""
    paths = [folder / name for name in _FILES]
    if all(path.exists() for path in paths):
        ca, key, admin, verifier = (path.read_bytes() for path in paths)
        expires = x509.load_pem_x509_certificate(ca).not_valid_after_utc
        if expires > dt.datetime.now(dt.UTC) + dt.timedelta(days=1):
            return Identity(ca, key, admin.decode(), verifier.decode())
    identity = new_identity()
    folder.mkdir(parents=True, exist_ok=True)
    values = (identity.ca, identity.key, identity.admin_token.encode(), identity.verifier_token.encode())
    for path, value in zip(paths, values, strict=True):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(value)
    return identity


def server_context(identity: Identity) -> ssl.SSLContext:
    """Return a TLS context with a fresh certificate for the loopback address."""
    authority = x509.load_pem_x509_certificate(identity.ca)
    authority_key = serialization.load_pem_private_key(identity.key, None)
    if not isinstance(authority_key, ec.EllipticCurvePrivateKey):
        raise TypeError("the authority's key must be an elliptic curve key")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver")])
    names = [
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        *(x509.DNSName(text) for text in ("localhost", "kubernetes", "kubernetes.default.svc")),
    ]
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    certificate = (
        _builder(name, authority.subject, key.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(issuer_key, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # The ssl module loads certificates from files only.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "server.pem"
        path.touch(mode=0o600)
        path.write_bytes(_private_bytes(key) + certificate.public_bytes(serialization.Encoding.PEM))
        context.load_cert_chain(path)
    return context


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + VALIDITY)
    )


def _private_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )

"""Telling a stranger's server: one signed request to the one address that its name was resolved to.

Nothing is trusted here. The address passes the guard that every outgoing connection passes; the name is
resolved once and pinned, redirects are not followed, the proxies of the environment are not asked, and
time and size have an end that no slow server moves.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.client
import secrets
import socket
import ssl
import threading
from dataclasses import dataclass
from urllib.parse import urlsplit

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from conformance.cluster.guard import AddressRefused, NetworkPolicy, Pinned

LARGEST_ANSWER = 16 * 1024  # bytes
RESOLVE_SECONDS = 3.0
SECRET_PREFIX = "whsec_"
_TLS_PORT, _PLAIN_PORT = 443, 80
_OK = range(200, 300)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request. `error` is empty where the receiver took it."""

    status_code: int | None
    body: bytes = b""
    error: str = ""

    @property
    def is_taken(self) -> bool:
        return not self.error


# --- Secrets -----------------------------------------------------------------------------------------


def _cipher() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.FIELD_KEYS])


def new_secret() -> str:
    """A fresh secret as it is shown once."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def sealed(secret: str) -> str:
    return _cipher().encrypt(secret.encode()).decode()


def opened(kept: str) -> str | None:
    """The secret; None where FIELD_KEYS lacks the key it was encrypted with."""
    try:
        return _cipher().decrypt(kept.encode()).decode()
    except InvalidToken:
        return None


def sealed_anew(kept: str) -> str:
    """Encrypted with the first of FIELD_KEYS. Raises InvalidToken where none opens it."""
    return _cipher().rotate(kept.encode()).decode()


def signature(secret: str, *, id_: str, timestamp: int, body: bytes) -> str:
    """The signature over id, time and body, as Standard Webhooks writes it."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = f"{id_}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


# --- Where to -------------------------------------------------------------------------------------------


def network_policy() -> NetworkPolicy:
    """What may be called: public addresses, and nothing besides."""
    return NetworkPolicy()


def refusal_of(url: str) -> str:
    """Why `url` must not be called; empty where it may be."""
    try:
        parts = urlsplit(url)
        port = parts.port or _TLS_PORT
    except ValueError:
        return "This is no address."
    if parts.scheme != "https":
        return "The address must begin with https://."
    if parts.username is not None or parts.password is not None:
        return "The address must hold no name and no password."
    if not parts.hostname:
        return "The address names no server."
    try:
        network_policy().resolve(parts.hostname, port, timeout=RESOLVE_SECONDS)
    except AddressRefused as error:
        # Its advice beyond the first sentence is for those who run checks against clusters.
        return error.message.partition("; ")[0].partition(". Give")[0].rstrip(".") + "."
    return ""


# --- The request ----------------------------------------------------------------------------------------


def tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()


class _PinnedConnection(http.client.HTTPConnection):
    """To the settled address; the name stays for TLS and the Host header."""

    def __init__(self, pinned: Pinned, *, is_tls: bool, timeout: float) -> None:
        super().__init__(pinned.host.strip("[]"), pinned.port, timeout=timeout)
        self.default_port = _TLS_PORT if is_tls else _PLAIN_PORT
        self.pinned, self.is_tls = pinned, is_tls

    def connect(self) -> None:
        self.sock = socket.create_connection((self.pinned.ip, self.pinned.port), self.timeout)
        if self.is_tls:
            # The handshake comes after, so that the watch has the socket in its hands meanwhile.
            self.sock = tls_context().wrap_socket(
                self.sock, server_hostname=self.host, do_handshake_on_connect=False
            )
            self.sock.do_handshake()


def post(url: str, *, id_: str, timestamp: int, body: bytes, secret: str) -> Answer:
    """Send `body`, signed. Never raises for what the other side does."""
    parts = urlsplit(url)
    is_tls = parts.scheme == "https"
    seconds = float(settings.FOLLOW_WEBHOOK_SECONDS)
    try:
        port = parts.port or (_TLS_PORT if is_tls else _PLAIN_PORT)
        pinned = network_policy().resolve(parts.hostname or "", port, timeout=RESOLVE_SECONDS)
    except AddressRefused as error:
        return Answer(None, error=f"refused: {error.code}")
    connection = _PinnedConnection(pinned, is_tls=is_tls, timeout=seconds)
    # A time-out of the socket begins anew with every byte; this one does not.
    is_late = threading.Event()
    watch = threading.Timer(seconds, _cut, [connection, is_late])
    watch.daemon = True
    watch.start()
    try:
        connection.request(
            "POST",
            f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}",
            body=body,
            headers={
                "Content-Type": "application/json",
                "User-Agent": f"{settings.SITE_NAME} webhook",
                "Webhook-Id": id_,
                "Webhook-Timestamp": str(timestamp),
                "Webhook-Signature": signature(secret, id_=id_, timestamp=timestamp, body=body),
            },
        )
        response = connection.getresponse()
        answered = response.read(LARGEST_ANSWER)
    except (OSError, http.client.HTTPException, UnicodeError, ValueError) as error:
        return Answer(None, error="no answer in time" if is_late.is_set() else _said(error))
    finally:
        watch.cancel()
        connection.close()
    if is_late.is_set():
        return Answer(None, error="no answer in time")
    if response.status not in _OK:
        return Answer(response.status, error=f"answered {response.status}")
    return Answer(response.status, answered)


def _cut(connection: http.client.HTTPConnection, is_late: threading.Event) -> None:
    is_late.set()
    sock = connection.sock
    if sock is not None:
        with contextlib.suppress(OSError):
            # Below TLS: whoever reads in the other thread sees the end of the connection.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _said(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or type(error).__name__).lower().replace('_', ' ')}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return f"no answer ({type(error).__name__})"

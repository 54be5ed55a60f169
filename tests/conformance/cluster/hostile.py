"""A TLS server on loopback that answers as it is told, byte by byte if need be."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from conformance.cluster.connection import Connection, connect
from conformance.cluster.guard import NetworkPolicy
from conformance.cluster.kubeconfig import ClusterAccess
from conformance.simulator import SimulatedCluster

Behaviour = Callable[[ssl.SSLSocket, bytes], None]


def certificate(name: str = "127.0.0.1") -> tuple[str, str]:
    """Return a self-signed certificate for a name or address, and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hostile")])
    try:
        alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        alternative = x509.DNSName(name)
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return signed.public_bytes(serialization.Encoding.PEM).decode(), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


TOKEN = "token-12345678"


class HostileServer:
    """Serves each connection in a thread; `requests` holds the heads it was sent."""

    def __init__(self, behaviour: Behaviour, *, name: str = "127.0.0.1") -> None:
        self._behaviour = behaviour
        self.certificate, key = certificate(name)
        self.requests: list[bytes] = []
        self.stopping = threading.Event()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as folder:
            chain = Path(folder, "chain.pem")
            chain.write_text(self.certificate + key)
            self._context.load_cert_chain(chain)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                raw, _ = self._listener.accept()
            except TimeoutError:
                continue
            thread = threading.Thread(target=self._serve, args=(raw,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, raw: socket.socket) -> None:
        raw.settimeout(5)
        with (
            contextlib.suppress(OSError),
            raw,
            self._context.wrap_socket(raw, server_side=True) as connection,
        ):
            while not self.stopping.is_set():
                head = b""
                while b"\r\n\r\n" not in head:
                    chunk = connection.recv(65536)
                    if not chunk:
                        return
                    head += chunk
                self.requests.append(head)
                self._behaviour(connection, head)

    def connection(self, *, timeout: float = 1.0, host: str = "127.0.0.1", token: str = TOKEN) -> Connection:
        access = ClusterAccess(
            context="hostile",
            host=host,
            port=self.port,
            path="",
            ca_data=self.certificate,
            token=token,
        )
        return connect(access, NetworkPolicy(allowed=frozenset({("127.0.0.1", self.port)})), timeout=timeout)

    def close(self) -> None:
        self.stopping.set()
        for thread in self._threads:
            thread.join(6)
        self._listener.close()


@contextlib.contextmanager
def serving(behaviour: Behaviour, *, name: str = "127.0.0.1") -> Iterator[HostileServer]:
    server = HostileServer(behaviour, name=name)
    try:
        yield server
    finally:
        server.close()


def answer(
    body: bytes, *, status: str = "200 OK", media_type: str = "application/json", headers: str = ""
) -> Behaviour:
    """Return a behaviour that answers every request the same well-formed way."""

    def behave(connection: ssl.SSLSocket, _head: bytes) -> None:
        length = f"Content-Length: {len(body)}\r\n"
        head = f"HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\n{length}{headers}\r\n"
        connection.sendall(head.encode() + body)

    return behave


def between(upstream: SimulatedCluster, hostile: Callable[[str, str], Behaviour | None]) -> Behaviour:
    """Return a behaviour that passes requests on to a simulated cluster, but for what `hostile` takes.

    `hostile` is asked with method and target of each request.
    """
    context = ssl.create_default_context(
        cadata=base64.b64decode(_cluster(upstream)["certificate-authority-data"]).decode()
    )

    def behave(connection: ssl.SSLSocket, head: bytes) -> None:
        method, target, _ = head.split(b" ", 2)
        behaviour = hostile(method.decode(), target.decode())
        headers, _, body = head.partition(b"\r\n\r\n")
        while len(body) < _length(headers):
            body += connection.recv(65536)
        if behaviour is not None:
            behaviour(connection, head)
            return
        # One request a connection: the answer ends where the connection does.
        asked = b"\r\n".join(line for line in headers.split(b"\r\n") if not line.lower().startswith(b"host:"))
        with (
            socket.create_connection(("127.0.0.1", upstream.port)) as raw,
            context.wrap_socket(raw, server_hostname="127.0.0.1") as onward,
        ):
            onward.settimeout(30)
            onward.sendall(asked + b"\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n" + body)
            while data := onward.recv(65536):
                connection.sendall(data)
        connection.close()

    return behave


def _cluster(upstream: SimulatedCluster) -> dict[str, str]:
    return dict(yaml.safe_load(upstream.kubeconfig)["clusters"][0]["cluster"])


def _length(headers: bytes) -> int:
    for line in headers.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0

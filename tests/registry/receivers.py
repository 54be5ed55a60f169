"""A receiver of webhooks over TLS, on loopback, that notes what it was sent."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from conformance.simulator.certificates import new_identity, server_context

Answer = tuple[int, bytes, dict[str, str]]


@dataclass
class Request:
    """What came in."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    def is_signed_with(self, secret: str) -> bool:
        """As a receiver checks it that has read the page and nothing of our code."""
        key = base64.b64decode(secret.split("_", 1)[1])
        signed = b".".join(
            [self.headers["webhook-id"].encode(), self.headers["webhook-timestamp"].encode(), self.body]
        )
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return self.headers["webhook-signature"] == f"v1,{expected}"


def echo(request: Request) -> Answer:
    """Sends the challenge back, and takes everything else."""
    return 200, request.said.get("challenge", "").encode(), {}


@dataclass
class Receiver:
    """`answer` decides what is said to a request."""

    port: int = 0
    ca: str = ""
    answer: Callable[[Request], Answer] = echo
    requests: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/hooks?from=registry"

    def told(self) -> list[str]:
        """Type and number of every delivery that came in, in order."""
        rows = [request.said for request in self.requests]
        return [f"{row['type']} {row['data']['number']}" for row in rows if "data" in row]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Start a receiver whose certificate is for ``localhost`` and its address."""
    identity = new_identity()
    receiver = Receiver(ca=identity.ca.decode())

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = Request(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            receiver.requests.append(request)
            status, answer, headers = receiver.answer(request)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_args: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context: ssl.SSLContext = server_context(identity)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""What hostile API servers do, by name; each is a behaviour for `hostile.serving`."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import socket
import ssl
import time

from tests.conformance.cluster.hostile import Behaviour, answer

JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED_HEAD = JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
ELSEWHERE = "https://169.254.169.254/latest/meta-data/"
_DRIP_SECONDS, _DRIPS = 1.0, 30
_VALUES = 3_000_000


def silent(connection: ssl.SSLSocket, _head: bytes) -> None:
    """Never answer."""
    with contextlib.suppress(TimeoutError):
        while connection.recv(1):
            pass


def dripping(head: bytes) -> Behaviour:
    """Answer a byte a second after `head`."""

    def behave(connection: ssl.SSLSocket, _head: bytes) -> None:
        connection.sendall(head)
        for _ in range(_DRIPS):
            connection.sendall(b" ")
            time.sleep(_DRIP_SECONDS)

    return behave


def _repeating(head: bytes, piece: bytes) -> Behaviour:
    def behave(connection: ssl.SSLSocket, _head: bytes) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(piece)

    return behave


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def paging(pages: int, *, padding: int = 0, seconds: float = 0) -> Behaviour:
    """Answer a list in so many pages of one item, each with so many bytes of padding, after a while."""

    def behave(connection: ssl.SSLSocket, head: bytes) -> None:
        time.sleep(seconds)
        asked = head.split(b" ")[1]
        at = int(asked.partition(b"continue=")[2].partition(b"&")[0] or 0)
        page = {
            "kind": "NodeList",
            "apiVersion": "v1",
            "metadata": {"resourceVersion": "1", "continue": str(at + 1) if at + 1 < pages else ""},
            "items": [{"metadata": {"name": f"n{at}", "annotations": {"a": "x" * padding}}}],
        }
        answer(json.dumps(page).encode())(connection, head)

    return behave


def _going_in_circles(connection: ssl.SSLSocket, head: bytes) -> None:
    page = {"metadata": {"continue": "again"}, "items": [{"metadata": {"name": "a"}}]}
    answer(json.dumps(page).encode())(connection, head)


def _half_closed(connection: ssl.SSLSocket, _head: bytes) -> None:
    """Send half an answer, close the way there without a word of TLS, and go on listening."""
    connection.sendall(JSON_HEAD + b'Content-Length: 1000\r\n\r\n{"kind": ')
    raw = socket.socket(fileno=socket.dup(connection.fileno()))
    raw.shutdown(socket.SHUT_WR)
    with raw, contextlib.suppress(OSError):
        raw.settimeout(5)
        while raw.recv(4096):
            pass


def _bid_farewell(connection: ssl.SSLSocket, _head: bytes) -> None:
    """Send half an answer and end TLS properly, but not the connection."""
    connection.sendall(JSON_HEAD + b'Content-Length: 1000\r\n\r\n{"kind": ')
    connection.settimeout(0.5)
    with contextlib.suppress(OSError, ValueError):
        connection.unwrap()
    time.sleep(1)


def _reset(connection: ssl.SSLSocket, _head: bytes) -> None:
    connection.sendall(CHUNKED_HEAD + b"fff\r\n{")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.close()


def _headers_without_end(connection: ssl.SSLSocket, _head: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    for index in itertools.count():
        connection.sendall(b"X-Header-%d: %s\r\n" % (index, b"a" * 1000))


def watching(events: bytes) -> Behaviour:
    """Answer a watch with `events` and then with nothing, without ever ending it."""

    def behave(connection: ssl.SSLSocket, head: bytes) -> None:
        connection.sendall(CHUNKED_HEAD + (_chunk(events) if events else b""))
        silent(connection, head)

    return behave


def _event(name: str) -> bytes:
    body = {"type": "ADDED", "object": {"metadata": {"name": name, "resourceVersion": "1"}}}
    return json.dumps(body).encode() + b"\n"


def flooding(connection: ssl.SSLSocket, _head: bytes) -> None:
    """Answer a watch with ever new objects."""
    connection.sendall(CHUNKED_HEAD)
    for index in itertools.count():
        connection.sendall(_chunk(b"".join(_event(f"x{index}-{part}") for part in range(100))))


NEVER_ANSWERS: dict[str, Behaviour] = {
    "never answers": silent,
    "status a byte a second": dripping(b""),
    "header a byte a second": dripping(b"HTTP/1.1 200 OK\r\nX-Slow: "),
    "body a byte a second": dripping(JSON_HEAD + b"Content-Length: 1000\r\n\r\n"),
    "chunk a byte a second": dripping(CHUNKED_HEAD + b"fff\r\n"),
    "error a byte a second": dripping(b"HTTP/1.1 500 No\r\nContent-Length: 1000\r\n\r\n"),
    "asks to continue for ever": _repeating(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}
ENDLESS: dict[str, Behaviour] = {
    "body without end": _repeating(CHUNKED_HEAD, _chunk(b"a" * 65536)),
    "body without length or end": _repeating(JSON_HEAD + b"\r\n", b"a" * 65536),
    "line without end": _repeating(b"HTTP/1.1 200 OK\r\nX-Long: ", b"a" * 65536),
    "headers without end": _headers_without_end,
    "many small values": answer(b'{"items": [' + b"[]," * _VALUES + b"[]]}"),
    "error without end": _repeating(
        b"HTTP/1.1 500 No\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        _chunk(b"a" * 65536),
    ),
}
NONSENSE: dict[str, Behaviour] = {
    "compressed bomb": answer(gzip.compress(b"0" * 50_000_000), headers="Content-Encoding: gzip\r\n"),
    "bomb in deflate": answer(b"x\x9c", headers="Content-Encoding: deflate\r\n"),
    "bomb told of late": answer(gzip.compress(b'{"a": "' + b"0" * 50_000_000 + b'"}')),
    "moved elsewhere": answer(b"", status="302 Found", headers=f"Location: {ELSEWHERE}\r\n"),
    "to be asked elsewhere": answer(b"", status="307 Temporary", headers=f"Location: {ELSEWHERE}\r\n"),
    "page of a portal": answer(b"<html>Please log in</html>", media_type="text/html"),
    "page said to be JSON": answer(b"<html>Please log in</html>"),
    "no content type": answer(b"{}", media_type=""),
    "YAML": answer(b"kind: Pod\n", media_type="application/yaml"),
    "invalid JSON": answer(b'{"kind": "Pod", '),
    "deep JSON": answer(b"[" * 500_000),
    "list": answer(b"[1, 2]"),
    "nothing": answer(b""),
    "not UTF-8": answer(b'{"kind": "\xff\xfe"}'),
    "another protocol": _repeating(b"SSH-2.0-OpenSSH_9.6\r\n", b"\x00" * 1024),
}
BROKEN: dict[str, Behaviour] = {
    "half-closed TLS": _half_closed,
    "TLS ended in the middle": _bid_farewell,
    "reset in the middle": _reset,
}
LISTS: dict[str, Behaviour] = {
    "10 000 pages": paging(10_000),
    "pages of a megabyte": paging(10_000, padding=1024 * 1024),
    "pages in circles": _going_in_circles,
}
EVERY: dict[str, Behaviour] = {**NEVER_ANSWERS, **ENDLESS, **NONSENSE, **BROKEN}

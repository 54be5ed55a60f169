"""gunicorn's threaded worker, which answers from the site's cache without waking a thread.

A connection that is kept open is waited for in the worker's main loop. When a plain GET arrives on one
and the cache holds its answer, the loop writes it itself; everything else, and whatever is in any way
unusual, goes the worker's own way. The request is only peeked at until then, so that way finds it whole.
"""

from __future__ import annotations

import socket
import time
from email.utils import formatdate
from typing import Any

from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from certportal.site_cache import KEY_HEADERS, Kept, Key, SiteCache, has_already

LONGEST_HEAD = 8192  # bytes of a request
PATIENCE = 30  # seconds for a slow reader
REMEMBERED = 4096  # requests whose meaning is remembered by their bytes
_END = b"\r\n\r\n"
# A request with one of these is not plain.
_UNUSUAL = frozenset(
    {
        *(
            "cookie",
            "authorization",
            "content-length",
            "transfer-encoding",
            "expect",
            "upgrade",
            "connection",
        ),
        *("range", "if-range", "if-match", "if-modified-since", "if-unmodified-since", "te", "trailer"),
    }
)
_KEY_NAMES = tuple(name.removeprefix("HTTP_").replace("_", "-").lower() for name in KEY_HEADERS)
# The one header of those that gunicorn reads the scheme from that proxies of ours send.
_SCHEME = "x-forwarded-proto"


class CachingWorker(ThreadWorker):  # type: ignore[misc]
    """Connections that are kept open get what the cache holds at once."""

    def init_process(self) -> None:
        self.meanings: dict[tuple[bytes, bool], tuple[Key, str] | None] = {}
        self.date = (0, b"")
        trusted = self.cfg.forwarded_allow_ips
        self.trusts_all, self.trusted = "*" in trusted, frozenset(trusted)
        # With an access log every request is written down, so every request goes the long way.
        self.is_short_cut_open = not (self.cfg.accesslog or self.cfg.is_ssl or self.cfg.statsd_host)
        super().init_process()

    def on_client_socket_readable(self, conn: Any, client: Any) -> None:
        """A kept connection has something to read: the next request, or its end."""
        if not (self.is_short_cut_open and self._answer(conn, client)):
            super().on_client_socket_readable(conn, client)

    def _answer(self, conn: Any, client: Any) -> bool:
        """Answer the request from the cache; False, with nothing read or written, where that is not sure."""
        if conn.is_http2 or not self.alive or not isinstance(self.wsgi, SiteCache):
            return False
        try:
            head = conn.sock.recv(LONGEST_HEAD, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError:
            return False
        if not head.startswith(b"GET ") or head.find(_END) != len(head) - len(_END):
            return False
        address = conn.client[0] if isinstance(conn.client, tuple) else ""
        meaning = self._meaning(head, self.trusts_all or address in self.trusted)
        held = self.wsgi.held(meaning[0]) if meaning else None
        if meaning is None or held is None:
            return False
        parts = self._written(*held, if_none_match=meaning[1])
        conn.sock.recv(len(head))
        self._send(conn, client, parts)
        return True

    def _meaning(self, head: bytes, is_trusted: bool) -> tuple[Key, str] | None:  # noqa: FBT001
        known = self.meanings.get((head, is_trusted), False)
        if known is not False:
            return known  # type: ignore[return-value]
        if len(self.meanings) >= REMEMBERED:
            self.meanings.clear()
        found = read_head(head, is_trusted=is_trusted)
        self.meanings[head, is_trusted] = found
        return found

    def _written(self, kept: Kept, age: int, *, if_none_match: str) -> list[bytes]:
        now = int(time.time())
        if self.date[0] != now:
            self.date = (now, f"Date: {formatdate(now, usegmt=True)}\r\n".encode("latin-1"))
        tail = b"Age: %d\r\n%s\r\n" % (age, self.date[1])
        if if_none_match and kept.etag and has_already(if_none_match, kept.etag):
            return [kept.head_304, tail]
        return [kept.head_200, tail, kept.body]

    def _send(self, conn: Any, client: Any, parts: list[bytes]) -> None:
        try:
            sent = conn.sock.sendmsg(parts)
        except BlockingIOError:
            sent = 0
        except OSError:
            # The client is gone; the loop's own way closes the connection.
            super().on_client_socket_readable(conn, client)
            return
        if sent == sum(map(len, parts)):
            self.keepalived_conns.remove(conn)
            conn.set_timeout()
            self.keepalived_conns.append(conn)
            return
        # A slow reader: a thread waits for it, and gives the connection back as after any request.
        rest = b"".join(parts)[sent:]
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        future = self.tpool.submit(_send_rest, conn, rest)
        future.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))


def _send_rest(conn: Any, rest: bytes) -> bool:
    conn.sock.settimeout(PATIENCE)
    conn.sock.sendall(rest)
    conn.sock.settimeout(None)
    return True


def read_head(head: bytes, *, is_trusted: bool) -> tuple[Key, str] | None:
    """The cache's key of a plain request and its If-None-Match; None where the request is not plain.

    The key is the one that `SiteCache` makes of what gunicorn makes of the same bytes.
    """
    lines = head[: -len(_END)].decode("latin-1").split("\r\n")
    method, _space, rest = lines[0].partition(" ")
    target, _space, version = rest.partition(" ")
    if method != "GET" or version != "HTTP/1.1" or not target.startswith("/") or "#" in target:
        return None
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or name in headers or name in _UNUSUAL or "_" in name or name != name.strip():
            return None
        headers[name] = value.strip(" \t")
    if "host" not in headers or (set(headers) & {"x-forwarded-protocol", "x-forwarded-ssl"}):
        return None
    scheme = "https" if is_trusted and headers.get(_SCHEME) == "https" else "http"
    key = (target, scheme, *(headers.get(name) for name in _KEY_NAMES))
    return key, headers.get("if-none-match", "")

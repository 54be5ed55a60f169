"""Public answers kept in the process, before Django is asked: the same for everyone, for a minute at most.

What may be kept the answer itself says (``Cache-Control: public, max-age``), and nobody keeps it longer:
the age it has here counts. A change of the registry makes all of it old at once in the process that made
the change, and within `LOOK_EVERY` seconds in the others.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import structlog
from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone

log = structlog.get_logger(__name__)

LOOK_EVERY = 1.0  # seconds between two looks at the version of the registry
LARGEST = 1024 * 1024  # bytes of one answer
# Answers may differ by these headers and no others; the request's values are part of the key.
VARYING = {
    "cookie": "HTTP_COOKIE",
    "accept": "HTTP_ACCEPT",
    "accept-encoding": "HTTP_ACCEPT_ENCODING",
    "hx-request": "HTTP_HX_REQUEST",
    "origin": "HTTP_ORIGIN",
}
KEY_HEADERS = (
    *("HTTP_HOST", "HTTP_X_FORWARDED_PROTO", "HTTP_ACCEPT", "HTTP_ACCEPT_ENCODING"),
    *("HTTP_ORIGIN", "HTTP_HX_REQUEST", "HTTP_HX_HISTORY_RESTORE_REQUEST"),
)
# These belong to one client or one moment.
_NOT_KEPT = ("ratelimit", "retry-after", "age", "date", "connection")

Environ = dict[str, Any]
Key = tuple[Any, ...]
Headers = list[tuple[str, str]]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


@dataclass(frozen=True)
class Kept:
    """An answer, the version of the registry that it shows, and the moment from which its age counts."""

    headers: Headers
    body: bytes
    etag: str
    version: int
    since: float
    until: float

    @cached_property
    def head_200(self) -> bytes:
        """The beginning of the whole answer as it is written on the wire; its age and the date follow."""
        return _wire("200 OK", self.headers)

    @cached_property
    def head_304(self) -> bytes:
        """The beginning of the answer to someone who has it already."""
        return _wire("304 Not Modified", _without_content(self.headers))


def registry_version() -> int:
    """The version of the registry in the database."""
    from registry.models import RegistryState

    try:
        return RegistryState.objects.filter(pk=1).values_list("version", flat=True).first() or 0
    finally:
        # No request has begun, so none will give the connection back.
        if not connection.in_atomic_block:
            connection.close()


def _now() -> float:
    return timezone.now().timestamp()


class SiteCache:
    """A WSGI application before another one. `capacity` is in bytes; 0 keeps nothing."""

    def __init__(
        self,
        application: Application,
        *,
        capacity: int,
        version: Callable[[], int] = registry_version,
        clock: Callable[[], float] = _now,
    ) -> None:
        self.application = application
        self.capacity = capacity
        self._read_version = version
        self._clock = clock
        self._kept: dict[Key, Kept] = {}
        self._size = 0
        self._version: int | None = None
        self._looked = float("-inf")
        self._lock = threading.Lock()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if (
            not self.capacity
            or environ["REQUEST_METHOD"] not in {"GET", "HEAD"}
            or "HTTP_COOKIE" in environ
            or "HTTP_AUTHORIZATION" in environ
        ):
            return self.application(environ, start_response)
        now = self._clock()
        version = self._current_version(now)
        key = _key(environ)
        kept = self._kept.get(key)
        if kept is not None and kept.version == version and kept.since <= now < kept.until:
            return _answer(kept, environ, start_response, now)
        if version is None or environ["REQUEST_METHOD"] != "GET" or "HTTP_IF_NONE_MATCH" in environ:
            return self.application(environ, start_response)
        return self._ask(environ, start_response, key, version, now)

    def held(self, key: Key) -> tuple[Kept, int] | None:
        """What is held for `key` and its age in seconds, if it is sure without looking at the database."""
        now = self._clock()
        kept = self._kept.get(key)
        if (
            kept is None
            or kept.version != self._version
            or not kept.since <= now < kept.until
            or not 0 <= now - self._looked < LOOK_EVERY
        ):
            return None
        return kept, math.ceil(now - kept.since)

    def forget(self) -> None:
        """Look at the version again before the next answer: something has changed in this process."""
        self._looked = float("-inf")

    def _current_version(self, now: float) -> int | None:
        """The version as of the last look; None where it has never been seen."""
        if not 0 <= now - self._looked < LOOK_EVERY and self._lock.acquire(blocking=self._version is None):
            try:
                self._version = self._read_version()
                self._looked = now
            except (DatabaseError, InterfaceError) as error:
                # What is kept stays good for as long as was promised, and no longer.
                self._looked = now
                log.warning("version of the registry not read", error=type(error).__name__)
            finally:
                self._lock.release()
        return self._version

    def _ask(
        self, environ: Environ, start_response: StartResponse, key: Key, version: int, now: float
    ) -> Iterable[bytes]:
        said: list[tuple[str, Headers]] = []

        def started(status: str, headers: Headers, *rest: Any) -> Any:
            said.append((status, headers))
            return start_response(status, headers, *rest)

        answer = self.application(environ, started)
        seconds = _seconds(*said[-1]) if said else 0
        if not seconds:
            return answer
        try:
            body = b"".join(answer)
        finally:
            if hasattr(answer, "close"):
                answer.close()
        headers = [(name, value) for name, value in said[-1][1] if not name.lower().startswith(_NOT_KEPT)]
        etag = next((value for name, value in headers if name.lower() == "etag"), "")
        self._keep(key, Kept(headers, body, etag, version, now, now + seconds))
        return [body]

    def _keep(self, key: Key, kept: Kept) -> None:
        with self._lock:
            former = self._kept.pop(key, None)
            self._size += len(kept.body) - (len(former.body) if former else 0)
            self._kept[key] = kept
            # The oldest go first; they are the nearest to their end.
            while self._size > self.capacity and self._kept:
                oldest = next(iter(self._kept))
                self._size -= len(self._kept.pop(oldest).body)


def _key(environ: Environ) -> Key:
    address = environ.get("RAW_URI") or f"{environ['PATH_INFO']}?{environ.get('QUERY_STRING', '')}"
    return (address, environ["wsgi.url_scheme"], *(environ.get(name) for name in KEY_HEADERS))


def _seconds(status: str, headers: Headers) -> int:
    """How long the answer may be kept; 0 where it may not, or is too large or written while it is read."""
    values = {name.lower(): value for name, value in headers}
    control = values.get("cache-control", "")
    vary = {name.strip().lower() for name in values.get("vary", "").split(",") if name.strip()}
    length = values.get("content-length", "")
    if (
        not status.startswith("200")
        or "public" not in control
        or "set-cookie" in values
        or not vary <= set(VARYING)
        or not length.isdigit()
        or int(length) > LARGEST
    ):
        return 0
    for part in control.split(","):
        name, _equals, value = part.strip().partition("=")
        if name == "max-age" and value.isdigit():
            return int(value)
    return 0


def _answer(kept: Kept, environ: Environ, start_response: StartResponse, now: float) -> Iterable[bytes]:
    age = ("Age", str(math.ceil(now - kept.since)))
    asked = environ.get("HTTP_IF_NONE_MATCH")
    if asked is not None and kept.etag and has_already(asked, kept.etag):
        start_response("304 Not Modified", [*_without_content(kept.headers), age])
        return []
    start_response("200 OK", [*kept.headers, age])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [kept.body]


def _without_content(headers: Headers) -> Headers:
    """What a 304 repeats: nothing that describes a body, which it does not have."""
    kept = {"content-security-policy", "content-location"}
    return [
        entry for entry in headers if not entry[0].lower().startswith("content-") or entry[0].lower() in kept
    ]


def _wire(status: str, headers: Headers) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers), ""]
    return "\r\n".join(lines).encode("latin-1")


def has_already(asked: str, etag: str) -> bool:
    """Whether the client has it already; tags are compared weakly."""
    own = etag.removeprefix("W/")
    return any(tag.strip().removeprefix("W/") in {own, "*"} for tag in asked.split(","))

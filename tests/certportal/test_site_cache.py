"""Kept answers are the application's own, never older than promised, and gone when the registry changes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.db import transaction
from django.test import RequestFactory
from django.utils import timezone
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from certportal.caching_worker import read_head
from certportal.site_cache import LOOK_EVERY, SiteCache, _key
from registry import services
from registry.caching import LONGEST
from registry.models import Certificate
from tests.registry.factories import CertificateFactory

START = datetime(2026, 6, 1, 12, tzinfo=UTC)


class Clock:
    """A clock that the test sets."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def seconds(self) -> float:
        return self.now.timestamp()


class Origin:
    """An application that counts how often it is asked."""

    def __init__(self, *headers: tuple[str, str], body: bytes = b"hello", status: str = "200 OK") -> None:
        self.asked = 0
        self.status, self.body = status, body
        self.headers = [("Content-Length", str(len(body))), ("ETag", '"abc"'), *headers]

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.asked += 1
        start_response(self.status, list(self.headers))
        return [self.body]


def ask(
    application: Any, path: str = "/", method: str = "GET", **headers: str
) -> tuple[str, dict[str, str], bytes]:
    environ = RequestFactory().generic(method, path).environ
    environ.pop("HTTP_COOKIE", None)
    environ.update(headers)
    said: list[Any] = []
    answer = application(environ, lambda status, fields, *rest: said.append((status, fields)))
    body = b"".join(answer)
    if hasattr(answer, "close"):
        answer.close()
    return said[0][0], {name.lower(): value for name, value in said[0][1]}, body


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


def cache(
    origin: Any, clock: Clock, version: Callable[[], int] = lambda: 1, capacity: int = 10_000
) -> SiteCache:
    return SiteCache(origin, capacity=capacity, version=version, clock=clock.seconds)


PUBLIC = ("Cache-Control", "public, max-age=60")


def test_answer_is_kept_for_the_promised_seconds_and_tells_its_age(clock: Clock) -> None:
    origin = Origin(PUBLIC)
    site = cache(origin, clock)
    assert "age" not in ask(site)[1]
    clock.now += timedelta(seconds=59)
    assert ask(site)[1:] == ({**dict(_lower(origin.headers)), "age": "59"}, b"hello")
    assert origin.asked == 1
    clock.now += timedelta(seconds=1)
    ask(site)
    assert origin.asked == 2


def _lower(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in headers]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ((), "200 OK"),
        ((("Cache-Control", "private, max-age=60"),), "200 OK"),
        ((("Cache-Control", "public, max-age=0"),), "200 OK"),
        ((PUBLIC, ("Set-Cookie", "a=b")), "200 OK"),
        ((PUBLIC, ("Vary", "User-Agent")), "200 OK"),
        ((PUBLIC,), "404 Not Found"),
    ],
)
def test_answer_that_may_not_be_kept_is_asked_for_again(
    clock: Clock, headers: tuple[tuple[str, str], ...], status: str
) -> None:
    origin = Origin(*headers, status=status)
    site = cache(origin, clock)
    ask(site)
    ask(site)
    assert origin.asked == 2


@pytest.mark.parametrize("headers", [{"HTTP_COOKIE": "sessionid=x"}, {"HTTP_AUTHORIZATION": "Bearer x"}])
def test_request_of_somebody_is_neither_answered_from_the_cache_nor_kept(
    clock: Clock, headers: dict[str, str]
) -> None:
    origin = Origin(PUBLIC)
    site = cache(origin, clock)
    ask(site, **headers)
    ask(site)
    ask(site, **headers)
    assert origin.asked == 3


@pytest.mark.parametrize(
    "other",
    [
        {"HTTP_HX_REQUEST": "true"},
        {"HTTP_ACCEPT": "text/csv"},
        {"HTTP_ACCEPT_ENCODING": "gzip"},
        {"HTTP_HOST": "other.example"},
    ],
)
def test_requests_that_may_be_answered_differently_are_kept_apart(
    clock: Clock, other: dict[str, str]
) -> None:
    origin = Origin(PUBLIC, ("Vary", "Cookie, HX-Request"))
    site = cache(origin, clock)
    ask(site)
    ask(site, **other)
    assert origin.asked == 2


def test_change_of_the_registry_makes_everything_old(clock: Clock) -> None:
    versions = iter([1, 2])
    origin = Origin(PUBLIC)
    site = cache(origin, clock, lambda: next(versions))
    ask(site)
    clock.now += timedelta(seconds=LOOK_EVERY)
    ask(site)
    assert origin.asked == 2


def test_change_in_the_own_process_is_seen_without_waiting(clock: Clock) -> None:
    versions = iter([1, 2])
    origin = Origin(PUBLIC)
    site = cache(origin, clock, lambda: next(versions))
    ask(site)
    site.forget()
    ask(site)
    assert origin.asked == 2


def test_reader_who_has_the_answer_is_not_sent_it_again(clock: Clock) -> None:
    site = cache(Origin(PUBLIC, ("Content-Type", "text/html")), clock)
    ask(site)
    status, headers, body = ask(site, HTTP_IF_NONE_MATCH='"old", W/"abc"')
    assert (status, body, "content-type" in headers, "content-length" in headers) == (
        "304 Not Modified",
        b"",
        False,
        False,
    )


def test_head_is_answered_without_a_body(clock: Clock) -> None:
    origin = Origin(PUBLIC)
    site = cache(origin, clock)
    ask(site)
    status, headers, body = ask(site, method="HEAD")
    assert (status, headers["content-length"], body, origin.asked) == ("200 OK", "5", b"", 1)


def test_oldest_answers_go_when_there_is_no_room(clock: Clock) -> None:
    origin = Origin(PUBLIC, body=b"x" * 400)
    site = cache(origin, clock, capacity=1000)
    for path in ("/a", "/b", "/c"):
        ask(site, path)
    ask(site, "/c")
    assert origin.asked == 3
    ask(site, "/a")
    assert origin.asked == 4


def test_limits_of_one_client_are_not_told_to_the_next(clock: Clock) -> None:
    site = cache(Origin(PUBLIC, ("RateLimit", '"default";r=1;t=5'), ("RateLimit-Remaining", "1")), clock)
    assert "ratelimit" in ask(site)[1]
    assert not [name for name in ask(site)[1] if name.startswith("ratelimit")]


# --- What the worker reads -------------------------------------------------------------------------


def test_worker_makes_the_same_key_of_the_bytes_as_the_cache_of_the_request() -> None:
    head = (
        b"GET /certified/?search=a%20b HTTP/1.1\r\nHost: example.org\r\nAccept: text/html\r\n"
        b'User-Agent: wrk\r\nHX-Request: true\r\nIf-None-Match: "abc"\r\n\r\n'
    )
    environ = {
        "RAW_URI": "/certified/?search=a%20b",
        "wsgi.url_scheme": "http",
        "HTTP_HOST": "example.org",
        "HTTP_ACCEPT": "text/html",
        "HTTP_HX_REQUEST": "true",
    }
    assert read_head(head, is_trusted=False) == (_key(environ), '"abc"')


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nAccept: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_Proto: https\r\n\r\n",
    ],
)
def test_worker_leaves_whatever_is_unusual_to_gunicorn(head: bytes) -> None:
    assert read_head(head, is_trusted=True) is None


@pytest.mark.parametrize(("is_trusted", "scheme"), [(True, "https"), (False, "http")])
def test_worker_believes_only_a_trusted_proxy_about_the_scheme(is_trusted: bool, scheme: str) -> None:
    head = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n"
    found = read_head(head, is_trusted=is_trusted)
    assert found is not None
    assert found[0][1] == scheme


# --- Over time ------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.integers(1, 90).map(lambda seconds: ("wait", seconds)),
        st.sampled_from(("ask", "suspend", "reinstate", "revoke")).map(lambda name: (name, 0)),
    ),
    min_size=3,
    max_size=10,
)
PLACES = (
    "/certified/?status=active",
    "/certified/{0}/",
    "/matrix/",
    "/api/v1/certifications/?fields=number,status",
    "/api/v1/certifications/{0}/badge.svg",
    "/changes/feed.json",
)


def says_active(place: str, body: str, number: str) -> bool:
    """Whether an answer says that the certificate holds."""
    if "feed" in place:
        newest = body.partition('"tags": ["')[2].partition('"')[0]
        return newest in {"issued", "reinstated"}
    if place.endswith("badge.svg"):
        return "certified, ends" in body
    if place.startswith("/api/"):
        return '"status":"active"' in body
    if place in {"/matrix/", "/certified/?status=active"}:
        return number in body
    return 'data-status="active"' in body


@pytest.mark.django_db
@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS, seconds_to_midnight=st.integers(10, 200), expires=st.booleans())
@example(steps=[("ask", 0), ("wait", 50), ("ask", 0)], seconds_to_midnight=30, expires=True)
@example(steps=[("ask", 0), ("revoke", 0), ("wait", 61)], seconds_to_midnight=200, expires=False)
def test_no_answer_says_active_later_than_promised(
    monkeypatch: pytest.MonkeyPatch, steps: list[tuple[str, int]], seconds_to_midnight: int, expires: bool
) -> None:
    """Whoever keeps an answer as long as it allows never says "active" a minute after it was true."""
    midnight = datetime(2026, 6, 2, tzinfo=UTC)
    clock = Clock(midnight - timedelta(seconds=seconds_to_midnight))
    monkeypatch.setattr(timezone, "now", lambda: clock.now)
    with transaction.atomic():
        # It expires at the coming midnight, or next year.
        certificate = CertificateFactory(on=date(2025, 6, 2) if expires else date(2026, 3, 1))
        last_active = _walk(certificate, clock, steps)
        assert last_active <= clock.seconds()
        transaction.set_rollback(True)


def _walk(certificate: Certificate, clock: Clock, steps: list[tuple[str, int]]) -> float:
    """Take the steps and look everywhere after each; returns when the certificate last held."""
    ends = datetime.combine(certificate.expires_on, datetime.min.time(), tzinfo=UTC).timestamp()
    # Two processes, of which neither hears of the other's changes, and a cache before each, as CDNs run them.
    sites = [SiteCache(WSGIHandler(), capacity=10**7, clock=clock.seconds) for _ in range(2)]
    shared: dict[tuple[int, str], tuple[float, str]] = {}
    last_active = clock.seconds()
    for name, seconds in steps:
        holds = Certificate.objects.get(pk=certificate.pk).status_as_of(clock.now.date()) == "active"
        clock.now += timedelta(seconds=seconds)
        if holds:
            last_active = min(clock.seconds(), ends)
        if name not in {"wait", "ask"}:
            with contextlib.suppress(services.RegistryError):
                change = getattr(services, f"{name}_certificate")
                change(certificate=certificate, reason="Because.", on=clock.now.date())
        for index, site in enumerate(sites):
            for template in PLACES:
                place = template.format(certificate.number)
                if says_active(place, _through(shared, index, site, place, clock), certificate.number):
                    now = Certificate.objects.get(pk=certificate.pk).status_as_of(clock.now.date())
                    assert now == "active" or clock.seconds() - last_active <= LONGEST, place
    return last_active


def _through(
    shared: dict[tuple[int, str], tuple[float, str]], index: int, site: SiteCache, place: str, clock: Clock
) -> str:
    until, body = shared.get((index, place), (float("-inf"), ""))
    if clock.seconds() < until:
        return body
    status, headers, content = ask(site, place, HTTP_HOST="127.0.0.1")
    assert status.startswith("200"), (place, status)
    seconds = int(headers["cache-control"].partition("max-age=")[2].split(",")[0]) - int(
        headers.get("age", 0)
    )
    body = content.decode()
    shared[index, place] = (clock.seconds() + seconds, body)
    return body

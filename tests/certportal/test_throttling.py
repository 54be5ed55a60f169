"""Limits of the API: who is counted as whom, what they are told, and what is not counted."""

from __future__ import annotations

from itertools import count
from typing import Any
from uuid import uuid4

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.test import Client, RequestFactory
from drf_spectacular.generators import SchemaGenerator
from redis.exceptions import ConnectionError as RedisConnectionError

from certportal.clients import client_address, client_of
from certportal.site_cache import SiteCache
from submissions.models import ApiToken
from submissions.services import organizations
from tests.registry.factories import CertificateFactory
from tests.submissions.cast import Cast, gather

pytestmark = pytest.mark.django_db
LIST, OWN = "/api/v1/certifications/", "/api/v1/submissions/"
_addresses = count(1)


@pytest.fixture(autouse=True)
def limits(settings: Any) -> Any:
    """Small quotas in a window that does not end while a test runs, and a cache that counted nothing yet."""
    settings.API_RATE_WINDOW = 10**9
    settings.API_RATE_LIMIT, settings.API_TOKEN_LIMIT = 3, 5
    settings.API_WRITE_LIMIT, settings.API_EXPORT_LIMIT = 2, 1
    settings.CACHES = {"default": {**settings.CACHES["default"], "KEY_PREFIX": f"limits-{uuid4()}"}}
    return settings


@pytest.fixture
def cast(db: None) -> Cast:
    """An organization with its people."""
    return gather()


@pytest.fixture
def somebody() -> dict[str, str]:
    """An address that nobody used before."""
    return {"REMOTE_ADDR": f"198.51.100.{next(_addresses)}"}


def codes(client: Client, path: str, times: int, **environ: str) -> list[int]:
    return [client.get(path, **environ).status_code for _turn in range(times)]  # type: ignore[arg-type]


def secret_of(cast: Cast, name: str = "t") -> tuple[ApiToken, dict[str, str]]:
    row, secret = organizations.create_token(
        organization=cast.organization, actor=cast.editor, name=name, scope="write"
    )
    return row, {"HTTP_AUTHORIZATION": f"Bearer {secret}"}


# --- What is told ------------------------------------------------------------------------------------------


def test_answers_say_what_is_left(client: Client, somebody: dict[str, str]) -> None:
    answers = [client.get(LIST, **somebody) for _turn in range(2)]  # type: ignore[arg-type]
    assert [answer["RateLimit-Policy"] for answer in answers] == ['"default";q=3;w=1000000000'] * 2
    assert [answer["RateLimit"].split(";t=")[0] for answer in answers] == ['"default";r=2', '"default";r=1']
    assert answers[1]["RateLimit-Remaining"] == "1"


def test_too_many_requests_are_a_problem_that_says_when_to_come_back(
    client: Client, somebody: dict[str, str]
) -> None:
    assert codes(client, LIST, 3, **somebody) == [200] * 3
    answer = client.get(LIST, **somebody)  # type: ignore[arg-type]
    assert answer.status_code == 429
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["Retry-After"] == answer["RateLimit-Reset"]
    assert answer["Cache-Control"] == "no-store"
    body = answer.json()
    assert (body["code"], body["status"], body["violated-policies"]) == (
        "too_many_requests",
        429,
        ["default"],
    )


def test_pages_are_not_counted(client: Client, somebody: dict[str, str]) -> None:
    assert codes(client, LIST, 4, **somebody)[-1] == 429
    assert codes(client, "/certified/", 4, **somebody) == [200] * 4
    assert "RateLimit" not in client.get("/api/", **somebody)  # type: ignore[arg-type]


def test_next_window_begins_anew(client: Client, limits: Any, somebody: dict[str, str]) -> None:
    assert codes(client, LIST, 4, **somebody)[-1] == 429
    limits.API_RATE_WINDOW = 4 * 10**8  # another window
    assert codes(client, LIST, 1, **somebody) == [200]


def test_quota_of_nothing_switches_a_policy_off(
    client: Client, limits: Any, somebody: dict[str, str]
) -> None:
    limits.API_RATE_LIMIT = 0
    answers = [client.get(LIST, **somebody) for _turn in range(5)]  # type: ignore[arg-type]
    assert {(answer.status_code, answer.has_header("RateLimit")) for answer in answers} == {(200, False)}


def test_cache_that_is_away_stops_nobody(
    client: Client, somebody: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_args: object, **_options: object) -> None:
        raise RedisConnectionError

    monkeypatch.setattr("certportal.clients.cache.add", gone)
    assert codes(client, LIST, 5, **somebody) == [200] * 5


# --- Who is counted as whom --------------------------------------------------------------------------------


def test_each_address_has_a_quota_of_its_own(client: Client, somebody: dict[str, str]) -> None:
    assert codes(client, LIST, 4, **somebody)[-1] == 429
    assert codes(client, LIST, 1, REMOTE_ADDR="203.0.113.9") == [200]


def test_tokens_are_counted_one_by_one_wherever_they_are_used(
    client: Client, cast: Cast, somebody: dict[str, str]
) -> None:
    _first, one = secret_of(cast, "one")
    _second, two = secret_of(cast, "two")
    elsewhere = {"REMOTE_ADDR": "203.0.113.10"}
    assert codes(client, OWN, 3, **somebody, **one) == [200] * 3
    assert codes(client, OWN, 3, **elsewhere, **one) == [200, 200, 429]
    assert codes(client, OWN, 5, **somebody, **two) == [200] * 5
    # None of it was counted for the address.
    assert codes(client, LIST, 3, **somebody) == [200] * 3


@pytest.mark.parametrize("how", ["made up", "revoked", "expired", "not ascii"])
def test_token_that_is_not_good_is_counted_for_the_address(
    client: Client, cast: Cast, somebody: dict[str, str], how: str
) -> None:
    row, good = secret_of(cast)
    headers = {
        "made up": [{"HTTP_AUTHORIZATION": f"Bearer cpt_{n}"} for n in range(4)],
        "not ascii": [{"HTTP_AUTHORIZATION": f"Bearer caf\u00e9{n}"} for n in range(4)],
    }.get(how, [good] * 4)
    if how == "revoked":
        ApiToken.objects.filter(pk=row.pk).update(revoked_at=row.created_at)
    elif how == "expired":
        ApiToken.objects.filter(pk=row.pk).update(expires_at=row.created_at)
    answers = [client.get(OWN, **somebody, **header) for header in headers]  # type: ignore[arg-type]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]


def test_changes_and_exports_have_smaller_quotas_of_their_own(
    client: Client, cast: Cast, somebody: dict[str, str]
) -> None:
    _row, token = secret_of(cast)
    written = [client.post(OWN, "{", "application/json", **somebody, **token) for _turn in range(3)]  # type: ignore[arg-type]
    assert [answer.status_code for answer in written] == [400, 400, 429]
    assert written[-1].json()["violated-policies"] == ["writes"]
    exports = [client.get("/api/v1/exports/nothing.csv", **somebody) for _turn in range(2)]  # type: ignore[arg-type]
    assert [answer["RateLimit-Policy"].split(";")[0] for answer in exports] == ['"exports"'] * 2
    assert exports[-1].status_code == 429
    assert codes(client, LIST, 1, **somebody) == [200]


# --- Addresses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behind", "proxies", "forwarded", "expected"),
    [
        (False, 1, "203.0.113.1", "192.0.2.1"),
        (True, 1, "", "192.0.2.1"),
        (True, 1, "203.0.113.1", "203.0.113.1"),
        (True, 1, "1.1.1.1, 203.0.113.1", "203.0.113.1"),
        (True, 2, "1.1.1.1, 203.0.113.1, 10.0.0.2", "203.0.113.1"),
        (True, 2, "203.0.113.1", "192.0.2.1"),
        (True, 1, "203.0.113.1, ", "192.0.2.1"),
    ],
)
def test_client_behind_proxies_is_whom_the_outermost_one_saw(
    settings: Any, behind: bool, proxies: int, forwarded: str, expected: str
) -> None:
    settings.BEHIND_PROXY, settings.PROXIES = behind, proxies
    request = RequestFactory().get(LIST, REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR=forwarded)
    assert client_address(request) == expected


def test_claimed_addresses_do_not_make_new_clients(
    client: Client, settings: Any, somebody: dict[str, str]
) -> None:
    settings.BEHIND_PROXY = True
    settings.SECURE_PROXY_SSL_HEADER = None
    seen = [
        client.get(LIST, **somebody, HTTP_X_FORWARDED_FOR=f"203.0.113.{n}, 198.18.0.5").status_code  # type: ignore[arg-type]
        for n in range(4)
    ]
    assert seen == [200, 200, 200, 429]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("unix:", "unix:", True),
    ],
)
def test_network_of_an_ipv6_client_is_one_client(one: str, other: str, same: bool) -> None:
    first, second = (client_of(RequestFactory().get("/", REMOTE_ADDR=address)) for address in (one, other))
    assert (first == second) is same
    assert one not in first


# --- What is not counted ---------------------------------------------------------------------------


# The handler ends requests as a server does, and with them its connections.
@pytest.mark.django_db(transaction=True)
def test_answers_of_the_sites_cache_are_not_counted_and_say_no_figures(
    somebody: dict[str, str], django_assert_num_queries: Any
) -> None:
    CertificateFactory()
    site = SiteCache(WSGIHandler(), capacity=10**6, version=lambda: 1)
    said: list[tuple[str, dict[str, str]]] = []

    def ask(**environ: str) -> bytes:
        request = RequestFactory().get(LIST, **{**somebody, **environ}).environ  # type: ignore[arg-type]
        request.pop("HTTP_COOKIE", None)
        return b"".join(site(request, lambda status, fields, *_rest: said.append((status, dict(fields)))))

    first = ask()
    with django_assert_num_queries(0):
        assert [ask() for _turn in range(9)] == [first] * 9
    assert {status for status, _fields in said} == {"200 OK"}
    assert ["RateLimit" in fields for _status, fields in said] == [True] + [False] * 9
    # With the token of somebody it goes the whole way, and is counted.
    ask(HTTP_AUTHORIZATION="Bearer made-up")
    assert said[-1][1]["RateLimit"].startswith('"default";r=1;')


# The handler ends requests as a server does, and with them its connections.
@pytest.mark.django_db(transaction=True)
def test_refusal_is_not_kept_for_others(somebody: dict[str, str], limits: Any) -> None:
    site = SiteCache(WSGIHandler(), capacity=10**6, version=lambda: 1)
    said: list[str] = []

    def ask(address: str) -> None:
        request = RequestFactory().get(f"{LIST}?search=x", REMOTE_ADDR=address).environ
        request.pop("HTTP_COOKIE", None)
        site(request, lambda status, _fields, *_rest: said.append(status))

    limits.API_RATE_LIMIT = 1
    Client().get(f"{LIST}?search=y", REMOTE_ADDR=somebody["REMOTE_ADDR"])
    ask(somebody["REMOTE_ADDR"])
    ask("203.0.113.77")
    assert said == ["429 Too Many Requests", "200 OK"]


# --- In the description ----------------------------------------------------------------------------


def test_every_operation_describes_the_limit() -> None:
    generator: Any = SchemaGenerator()  # type: ignore[no-untyped-call]
    document = generator.get_schema(request=None, public=True)
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len(operations) > 20
    for operation in operations:
        answer = operation["responses"]["429"]
        assert set(answer["headers"]) == {"Retry-After", "RateLimit", "RateLimit-Policy"}
        assert set(answer["content"]) == {"application/problem+json"}


def test_page_of_the_api_says_the_limits(client: Client) -> None:
    page = client.get("/api/").content.decode()
    assert "3 for reading without a token, by address" in " ".join(page.split())
    assert "5 for reading with a token, each by itself" in " ".join(page.split())

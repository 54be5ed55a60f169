"""The API under requests that nobody would send in earnest: never broken, always as described.

`make fuzz` asks far more, and at random.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from rest_framework.test import APIClient

from certportal.api.schema import document, operations
from certportal.wsgi import application
from registry.models import Certificate
from submissions.models import Submission, VerificationRun
from tests.certportal.fuzz import CHECKS, Figures, fuzz, make_world

PROBLEM = "application/problem+json"
# As they stand in an address: NULs, halves of characters, numbers too large, days that never were.
HOSTILE = (
    *("a%00b", "%ED%A0%80", "%FF%FE", "%zz", "%0d%0aX-Y:1", "%E2%80%A8", "9" * 30, "-1", "%D9%A3", "%C2%B2"),
    *("0000-01-01", "9999-12-31", "10000-01-01", "2026-01-01.9223372036854775807", "a" * 5000, "=", "%27"),
    # Cursors with half a character, and with an impossible day.
    *("WyJpc3N1ZWRfb24iLCAiXHVkODAwIiwgMV0", "WyJpc3N1ZWRfb24iLCAiMDAwMC0wMC0wMCIsIDFd"),
)


@pytest.fixture
def token(db: None) -> str:
    return make_world()


def kept(response: Any) -> bool:
    """Whether an answer is none of a broken portal, and every error a problem document."""
    if response.status_code < 400:
        return True
    body = b"".join(response)
    told = json.loads(body) if response["Content-Type"] == PROBLEM else {}
    return response.status_code < 500 and {"type", "title", "status", "code", "detail"} <= set(told)


def addresses() -> Iterator[tuple[str, list[str]]]:
    """Every address that is read, with something that is there in its place, and its parameters."""
    values = {
        "number": Certificate.objects.first().number,
        "uuid": str(Submission.objects.first().uuid),
        "requirement_id": "gang_scheduling",
        "version": "1.36",
        "form": "csv",
    }
    for path, operation in operations(document()):
        if operation["operationId"] == "status_lists_retrieve":
            values = {**values, "number": "1"}
        if path.startswith("/api/v1/verifications/"):
            values = {**values, "uuid": str(VerificationRun.objects.first().uuid)}
        if "requestBody" not in operation and not operation["operationId"].endswith(("submit", "cancel")):
            names = [entry["name"] for entry in operation.get("parameters", ()) if entry["in"] == "query"]
            yield path.format(**values), names
        values["number"] = Certificate.objects.first().number


def test_parameters_break_nothing(token: str) -> None:
    client = APIClient(HTTP_AUTHORIZATION=f"Bearer {token}", raise_request_exception=False)
    broken, asked = [], 0
    for path, names in addresses():
        assert client.get(path).status_code in {200, 400}, path
        for name in names:
            for value in HOSTILE:
                asked += 1
                if not kept(client.get(f"{path}?{name}={value}")):
                    broken.append(f"{path}?{name}={value[:40]}")
    assert broken == []
    assert asked > 1000


@pytest.mark.parametrize(
    "query",
    [
        "certifications/?status=expiring&on=9999-12-31",
        "certifications/?status=expiring&on=0001-01-01",
        "certifications/?ordering=number,vendor&cursor=",
        "certifications/?ordering=,,,",
        "certifications/?ordering=,number",
        "exports/certifications.json?ordering=,",
        "certifications/?cursor=&page=2",
        "certified/?platform=x&on=9999-12-31",
        "certified/?platform=%00&on=2026-01-01",
        "changes/?kind=expired&after=9999-12-31.1",
        "certifications/?" + "&".join(f"a{number}=1" for number in range(3000)),
        "certifications/?" + "status=active&" * 2000,
    ],
)
def test_parameters_together_break_nothing(token: str, query: str) -> None:
    assert kept(Client(raise_request_exception=False).get(f"/api/v1/{query}"))


def test_addresses_break_nothing(token: str) -> None:
    client = APIClient(HTTP_AUTHORIZATION=f"Bearer {token}", raise_request_exception=False)
    places = (
        *("certifications/{}/", "certifications/{}/badge.svg", "certifications/{}/credential/"),
        *("checklists/{}/", "requirements/{}/", "status-lists/{}/", "exports/{}.csv", "exports/changes.{}"),
        *("exports/certifications.{}", "submissions/{}/", "verifications/{}/", "{}", "{}/"),
    )
    for place in places:
        for value in HOSTILE:
            response = client.get(f"/api/v1/{place.format(value)}")
            assert kept(response), (place, value[:40], response.status_code)


ACCEPT = (
    *("", "*", "*/*", "text/html", PROBLEM, "a", "/", ";;;", ",,,", "application/json;q=x", "x" * 9000),
    *("application/json;q=0", 'application/json; version="', "\u00ff\u00fe", "application/json; indent=9999"),
)
SAMPLE = (
    *("certifications/", "certifications/AIK-2026-0042/", "certifications/AIK-2026-0042/badge.svg"),
    *("certifications/AIK-2026-0042/credential/", "exports/vendors.yaml", "schema/", "none/"),
)


@pytest.mark.parametrize("accept", ACCEPT, ids=range(len(ACCEPT)))
def test_unusual_accept_is_answered_or_refused(token: str, accept: str) -> None:
    client = Client(raise_request_exception=False)
    for path in SAMPLE:
        for ask in (client.get, client.options, client.delete):
            response = ask(f"/api/v1/{path}", headers={"accept": accept})
            assert response.status_code in {200, 404, 405, 406}
            assert kept(response)
        assert client.head(f"/api/v1/{path}", headers={"accept": accept}).status_code in {200, 404, 406}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("if-none-match", "garbage"),
        ("if-none-match", "*"),
        ("if-none-match", 'W/"x", "'),
        ("if-modified-since", "garbage"),
        ("if-modified-since", "Thu, 01 Jan 0000 00:00:00 GMT"),
        ("if-modified-since", "Fri, 31 Dec 99999 23:59:59 GMT"),
        ("if-match", '"x"'),
        ("if-unmodified-since", "Sat, 01 Jan 2000 00:00:00 GMT"),
        ("range", "bytes=0-5"),
        ("cookie", "sessionid=\u00ff; csrftoken=;;="),
        ("accept-language", "en-" + "x" * 5000),
        ("x-forwarded-for", "garbage,,"),
        ("x-forwarded-proto", "gopher"),
        ("origin", "null"),
        ("host", "elsewhere.example"),
        ("host", "a b"),
        ("host", ""),
        ("x-http-method-override", "DELETE"),
        ("authorization", "Bearer " + "a" * 20_000),
        ("authorization", "Bearer \u00ff"),
        ("content-type", "multipart/form-data"),
        ("content-length", "many"),
    ],
)
def test_unusual_header_breaks_nothing(token: str, name: str, value: str) -> None:
    client = Client(raise_request_exception=False)
    for path in (*SAMPLE, "submissions/"):
        response = client.get(f"/api/v1/{path}", headers={name: value})
        # A condition that fails is said without a word.
        assert response.status_code == 412 or kept(response), (path, response.status_code)


DEEP = "[" * 50_000 + "]" * 50_000
BODIES = (
    *("", "{", "null", "[]", '"x"', "1", '{"platform": NaN}', '{"platform": Infinity}', DEEP),
    *('{"platform":' + "9" * 6000 + "}", '{"revision": 1e400}', '{"revision": 9223372036854775808}'),
    *('{"revision": true}', '{"revision": "1"}', '{"release_on": "0000-00-00"}', '{"release_on": 1}'),
    *('{"release_on": "9999-12-31"}', '{"metadata": []}', '{"metadata": {"\\ud800": "x"}}'),
    *('{"metadata": {"a\\u0000": "x"}}', '{"metadata": {"platformVersion": "\\ud800"}}'),
    *('{"metadata": {"platformVersion": "a\\u0000"}}', '{"claims": [null]}', '{"claims": {"id": "x"}}'),
    *('{"claims": [{"id": "gang_scheduling", "notes": "\\u0000"}]}', '{"claims": [{"id": "\\ud800"}]}'),
    '{"claims": [{"id": "gang_scheduling", "evidence": ["\\u0000", "\\ud800"]}]}',
    '{"platform": "a\\u0000b", "kubernetes_version": "1.35"}',
    '{"platform": "\\ud800", "kubernetes_version": "1.35"}',
    '{"platform": "???", "kubernetes_version": "1.35"}',
    '{"platform": "x", "kubernetes_version": 1.30}',
    '{"platform": "x", "kubernetes_version": "\u0661.35"}',
    *('{"reason": "\\ud800"}', '{"reason": null}', '{"reason": "\\u0000"}', '{"cluster": "\\u0000"}'),
    *('{"cluster": "lab", "only": ["\\ud800"]}', '{"cluster": "lab", "only": ["none"]}', '{"only": "x"}'),
)
OTHER_BODIES = (
    *("metadata: [", "a: &a [*a]\n", "\0", "? !!python/object:os.system x", "\ufeff{}", "{", "PK\x03\x04"),
    'metadata:\n  kubernetesVersion: v1.35\n  platformName: "a\\0b"\n  platformVersion: "1"\n',
    'metadata:\n  kubernetesVersion: v1.35\n  platformName: "\\ud800"\n  platformVersion: "1"\n',
    f"metadata:\n  kubernetesVersion: v1.35\n  platformName: {'x' * 5000}\n  platformVersion: '1'\n",
    '--x\r\nContent-Disposition: form-data; name="file"; filename="a\0.txt"\r\n\r\nhi\r\n--x--\r\n',
    '--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nhi\r\n--x--\r\n',
    '--x\r\nContent-Disposition: form-data; name="name"\r\n\r\na\0b\r\n--x--\r\n',
    "--x\r\n",
)
TYPES = {
    "application/json": BODIES,
    "application/json; charset=utf-16": OTHER_BODIES[:6],
    "application/yaml": OTHER_BODIES,
    "multipart/form-data; boundary=x": OTHER_BODIES,
    "application/zip": OTHER_BODIES,
    "": OTHER_BODIES[:2],
    "/": OTHER_BODIES[:2],
}


@pytest.mark.parametrize("kind", TYPES)
def test_bodies_break_nothing(token: str, kind: str) -> None:
    client = APIClient(HTTP_AUTHORIZATION=f"Bearer {token}", raise_request_exception=False)
    uuid = Submission.objects.first().uuid
    one = f"/api/v1/submissions/{uuid}/"
    places = (
        *(("POST", "/api/v1/submissions/"), ("PATCH", one), ("POST", f"{one}files/")),
        *(("POST", f"{one}verifications/"), ("POST", f"{one}reports/"), ("POST", f"{one}withdraw/")),
    )
    for method, path in places:
        for body in TYPES[kind]:
            response = client.generic(method, path, body.encode(), content_type=kind)
            assert kept(response), (path, body[:60], response.status_code)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "parse_error"),
        (DEEP.encode(), 400, "parse_error"),
        (b'{"platform": "\\ud800"}', 400, "parse_error"),
        (b"\xff", 400, "parse_error"),
        (b'{"platform": NaN}', 400, "parse_error"),
        (b'"' + b"x" * 4 * 1024 * 1024 + b'"', 413, "body_too_large"),
    ],
)
def test_json_that_cannot_be_taken_is_refused(token: str, body: bytes, status: int, code: str) -> None:
    client = APIClient(HTTP_AUTHORIZATION=f"Bearer {token}")
    response = client.generic("POST", "/api/v1/submissions/", body, content_type="application/json")
    assert (response.status_code, response["Content-Type"]) == (status, PROBLEM)
    assert response.json()["code"] == code


def test_json_may_begin_with_a_mark(token: str) -> None:
    client = APIClient(HTTP_AUTHORIZATION=f"Bearer {token}")
    body = "\ufeff" + json.dumps({"platform": "Engine", "kubernetes_version": "1.36"})
    response = client.generic("POST", "/api/v1/submissions/", body.encode(), content_type="application/json")
    assert response.status_code == 201


def test_number_is_no_text(token: str) -> None:
    client = APIClient(HTTP_AUTHORIZATION=f"Bearer {token}")
    response = client.post("/api/v1/submissions/", {"platform": "Engine", "kubernetes_version": 1.30})
    assert response.status_code == 400
    assert [entry["path"] for entry in response.json()["errors"]] == ["kubernetes_version"]


@pytest.mark.parametrize("path", ["/certified/a%00b/", "/%00", "/certified/?on=9999-12-31&status=expiring"])
def test_pages_withstand_the_same(client: Client, token: str, path: str) -> None:
    assert client.get(path).status_code in {200, 400, 404}


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("GET", "/api/v1/none/", {}, 404, "not_found"),
        ("GET", "/api/none", {}, 404, "not_found"),
        ("DELETE", "/api/v1/certifications/", {}, 405, "method_not_allowed"),
        ("GET", "/api/v1/certifications/", {"accept": "text/html"}, 406, "not_acceptable"),
        ("GET", "/api/v1/schema/", {"accept": "text/html"}, 406, "not_acceptable"),
        ("POST", "/api/v1/schema/", {}, 405, "method_not_allowed"),
        ("GET", "/api/v1/certifications/", {"host": "elsewhere.example"}, 400, "bad_request"),
        ("GET", "/api/v1/submissions/", {}, 401, "not_authenticated"),
    ],
)
def test_every_error_is_a_problem_with_a_code(
    client: Client, db: None, method: str, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    response = client.generic(method, path, headers=headers)
    assert (response.status_code, response["Content-Type"]) == (status, PROBLEM)
    assert response.json()["code"] == code


def test_wrong_type_of_body_is_a_problem(token: str) -> None:
    client = APIClient(HTTP_AUTHORIZATION=f"Bearer {token}")
    response = client.generic("POST", "/api/v1/submissions/", b"x", content_type="text/plain")
    assert (response.status_code, response["Content-Type"]) == (415, PROBLEM)
    assert response.json()["code"] == "unsupported_media_type"


# --- By the description -----------------------------------------------------------------------------------


def said(figures: Figures) -> str:
    return "\n".join(figures.lines())


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("has_token", [True, False])
def test_answers_are_as_described(has_token: bool, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["localhost"]
    secret = make_world()
    phases = ("examples", "fuzzing", "stateful")
    figures = fuzz(application, examples=3, seed=2026, token=secret if has_token else "", phases=phases)
    assert (figures.failures, figures.errors) == ({}, set()), said(figures)
    described = list(operations(document()))
    assert len(figures.operations) == len(described)
    assert figures.cases > 3 * len(described)
    assert figures.checks > len(CHECKS) * figures.cases / 2


@pytest.mark.django_db(transaction=True)
def test_what_is_not_as_described_is_noticed(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ALLOWED_HOSTS = ["localhost"]
    make_world()

    def broken(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"].endswith("/statistics/"):
            start_response("200 OK", [("Content-Type", "application/json")])
            return [b'{"certified": "many"}']
        if environ["PATH_INFO"].startswith("/api/v1/submissions/"):
            start_response("500 Broken", [("Content-Type", "text/plain")])
            return [b"broken"]
        return application(environ, start_response)

    pattern = f"{quote('/api/v1/')}(statistics|submissions)/$"
    figures = fuzz(broken, examples=2, seed=1, token="", phases=("fuzzing",), operations=pattern)
    told = said(figures)
    assert "GET /api/v1/statistics/: response_schema_conformance" in told
    assert "GET /api/v1/submissions/: not_a_server_error" in told
    assert "POST /api/v1/submissions/: status_code_conformance" in told

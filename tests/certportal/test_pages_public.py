"""What holds for every page a stranger can open: the policy, the frame, the errors, the colours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from allauth.account.models import EmailAddress
from django.core.mail import send_mail
from django.http import HttpResponse
from django.test import Client
from django.urls import path as url_path
from pytest_django import Settings

from certportal.accounts.models import User
from certportal.urls import handler404, handler500, urlpatterns  # noqa: F401 - this module is a URLconf too
from tests.registry.factories import CertificateFactory, RequirementSnapshotFactory

pytestmark = pytest.mark.django_db
STATIC = Path(__file__).parents[2] / "static"
PASSWORD = "correct horse battery"


def broken(request: object) -> HttpResponse:
    raise RuntimeError("secret detail")


urlpatterns = [*urlpatterns, url_path("broken/", broken)]

PUBLIC = [
    "/",
    "/certified/",
    "/certified/?status=active&on=2026-03-10",
    "/certified/{number}/",
    "/certified/{number}/?on=2026-03-10",
    "/compare/",
    "/compare/?c={number}",
    "/verify/",
    "/verify/?number={number}",
    "/accounts/login/",
    "/accounts/signup/",
    "/accounts/password/reset/",
    "/accounts/confirm-email/",
    "/no-such-page/",
]
PERSONAL = [
    "/accounts/email/",
    "/accounts/password/change/",
    "/accounts/2fa/",
    "/accounts/2fa/totp/activate/",
    "/accounts/2fa/webauthn/",
    "/accounts/2fa/webauthn/add/",
    "/accounts/reauthenticate/",
    "/accounts/logout/",
]


@pytest.fixture
def number() -> str:
    row = RequirementSnapshotFactory(notes="Two\n\nparagraphs.", verified=True)
    return CertificateFactory(requirements=[row], imported=True, findings=[]).number


@pytest.fixture
def signed_in(client: Client) -> Client:
    user = User.objects.create_user("vera@example.org", PASSWORD, name="Vera")
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    client.post("/accounts/login/", {"login": user.email, "password": PASSWORD})
    # What changes the second factor asks for the password again.
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    return client


def assert_nothing_inline(response: HttpResponse) -> None:
    policy = dict(part.strip().split(" ", 1) for part in response["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert (policy["script-src"], policy["style-src"]) == ("'self'", "'self'")
    page = response.content.decode()
    assert not re.search(r"<[^>]+\s(style|on[a-z]+)\s*=", page)
    assert "<style" not in page
    assert "javascript:" not in page
    for attributes, content in re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL):
        # JSON data blocks are not run, so the policy lets them be.
        is_data = re.search(r'type="application/(ld\+)?json"', attributes)
        assert is_data or (not content.strip() and "src=" in attributes)


def assert_framed(response: HttpResponse) -> None:
    page = response.content.decode()
    assert '<html lang="en">' in page
    assert page.count("<h1") == 1
    assert '<a class="skip-link" href="#main">' in page
    assert '<main id="main"' in page
    title = re.search(r"<title>(.*?)</title>", page, re.DOTALL)
    assert title is not None
    assert len(title[1].split("·")[0].strip()) > 3
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids)), sorted(name for name in ids if ids.count(name) > 1)
    labelled = set(re.findall(r'<label[^>]*\sfor="([^"]+)"', page))
    fields = re.findall(r"<(?:input|select|textarea)([^>]*)>", page)
    asked = [field for field in fields if not re.search(r'type="(hidden|submit)"', field)]
    for field in asked:
        name = re.search(r'\sid="([^"]+)"', field)
        assert name is not None, field
        assert name[1] in labelled, field


@pytest.mark.parametrize("path", PUBLIC)
def test_public_page_is_framed_and_keeps_the_policy(client: Client, number: str, path: str) -> None:
    response = client.get(path.format(number=number))
    assert response.status_code == (404 if path == "/no-such-page/" else 200)
    assert_nothing_inline(response)
    assert_framed(response)


@pytest.mark.parametrize("path", PERSONAL)
def test_account_page_is_framed_and_keeps_the_policy(signed_in: Client, path: str) -> None:
    response = signed_in.get(path)
    assert response.status_code == 200
    assert_nothing_inline(response)
    assert_framed(response)
    assert "Sign out" in response.content.decode()


def test_form_error_is_tied_to_its_field(client: Client) -> None:
    page = client.post("/accounts/login/", {"login": "no-address", "password": ""}).content.decode()
    assert 'aria-invalid="true"' in page
    assert 'id="id_password_error"' in page
    described = re.search(r'<input[^>]*name="password"[^>]*aria-describedby="([^"]+)"', page)
    assert described is not None
    assert "id_password_error" in described[1]


def test_signing_out_is_a_button_that_works_without_scripts(signed_in: Client) -> None:
    page = signed_in.get("/").content.decode()
    assert re.search(
        r'<form method="post" action="/accounts/logout/">\s*<input type="hidden" name="csrf', page
    )
    signed_in.post("/accounts/logout/")
    assert "Sign in" in signed_in.get("/").content.decode()


def test_demo_banner_stands_on_the_embedded_portal_only(client: Client, settings: Settings) -> None:
    settings.EMBEDDED = True
    assert "nothing here certifies anything" in client.get("/").content.decode()
    settings.EMBEDDED = False
    assert "nothing here certifies anything" not in client.get("/").content.decode()


def test_outbox_shows_mail_with_its_links_clickable(client: Client, settings: Settings) -> None:
    settings.EMBEDDED = True
    settings.EMAIL_BACKEND = "certportal.outbox.backend.OutboxBackend"
    send_mail("Confirm <b>", "Open http://127.0.0.1/x?a=1&b=2 now.\n<i>", "a@example.org", ["b@example.org"])
    response = client.get("/outbox/")
    page = response.content.decode()
    assert '<a href="http://127.0.0.1/x?a=1&amp;b=2" rel="nofollow">' in page
    assert "Confirm &lt;b&gt;" in page
    assert "<i>" not in page
    assert_nothing_inline(response)


def test_outbox_is_not_there_on_a_real_portal(client: Client) -> None:
    assert client.get("/outbox/").status_code == 404


@pytest.mark.urls(__name__)
def test_error_page_tells_nothing_of_the_error(client: Client) -> None:
    client.raise_request_exception = False
    response = client.get("/broken/")
    page = response.content.decode()
    assert response.status_code == 500
    assert "Something went wrong on our side" in page
    assert "secret" not in page
    assert_nothing_inline(response)


def test_form_from_elsewhere_is_refused_with_a_page() -> None:
    response = Client(enforce_csrf_checks=True).post("/accounts/login/", {})
    assert response.status_code == 403
    assert "This form has expired" in response.content.decode()


def test_static_files_of_a_page_are_there(client: Client) -> None:
    page = client.get("/").content.decode()
    ours = [name for name in re.findall(r'(?:href|src)="/static/([^"]+)"', page) if "django_htmx" not in name]
    assert {"css/tokens.css", "css/base.css", "css/components.css", "css/print.css", "js/portal.js"} <= set(
        ours
    )
    assert [name for name in ours if not (STATIC / name).is_file()] == []


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb``, as WCAG 2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_of_text_keep_their_contrast(theme: str) -> None:
    light, dark = (STATIC / "css/tokens.css").read_text().split("@media (prefers-color-scheme: dark)")
    colour = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", light if theme == "light" else dark))
    pairs = [("ink", ground) for ground in ("ground", "ground-raised", "ground-sunk")]
    pairs += [(text, ground) for text in ("ink-soft", "accent") for ground in ("ground", "ground-raised")]
    pairs += [("ink-soft", "ground-sunk"), ("accent-ink", "accent"), ("accent-ink", "accent-hover")]
    for tone in ("good", "warn", "bad", "busy", "quiet", "simulated"):
        pairs += [(tone, f"{tone}-soft"), (tone, "ground"), (tone, "ground-raised"), ("ink", f"{tone}-soft")]
    low = {pair: contrast(colour[pair[0]], colour[pair[1]]) for pair in pairs}
    assert {pair: ratio for pair, ratio in low.items() if ratio < 4.5} == {}
    # Borders of controls and the ring of the focus are seen against the ground.
    assert contrast(colour["line-strong"], colour["ground"]) >= 3
    assert contrast(colour["focus"], colour["ground"]) >= 3

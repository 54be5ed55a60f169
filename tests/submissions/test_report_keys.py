"""Public keys of vendors' own runs: registering and revoking."""

from __future__ import annotations

import pytest
from django.urls import reverse

from conformance.signing import SigningKey
from submissions.errors import ApplicantError
from submissions.models import Event
from submissions.services import report_keys
from tests.submissions.cast import Cast
from tests.submissions.vendor_runs import KEY, registered


def url(cast: Cast, name: str = "report-keys", *more: object) -> str:
    return reverse(f"submissions:{name}", args=[cast.organization.slug, *more])


def test_key_is_registered_on_the_page(cast: Cast) -> None:
    response = cast.browser("editor").post(
        url(cast), {"name": "CI", "public_key": KEY.public.pem()}, follow=True
    )

    key = cast.organization.report_keys.get()
    assert (key.key_id, key.added_by) == (KEY.public.key_id, cast.editor)
    assert key.key_id in response.content.decode()
    assert Event.objects.last().action == "report_key_added"


def test_bare_base64_is_the_same_key(cast: Cast) -> None:
    key = report_keys.add_key(
        organization=cast.organization, actor=cast.owner, name="x", public_key=KEY.public.text
    )

    assert key.key_id == KEY.public.key_id


@pytest.mark.parametrize(
    "text",
    ["hello", "AAAA", KEY.pem().decode(), "-----BEGIN PUBLIC KEY-----"],
    ids=["words", "too short", "private", "cut off"],
)
def test_what_is_no_public_key_is_refused(cast: Cast, text: str) -> None:
    response = cast.browser("editor").post(url(cast), {"name": "x", "public_key": text})

    assert response.status_code == 422
    assert not cast.organization.report_keys.exists()


def test_private_key_is_not_shown_again(cast: Cast) -> None:
    response = cast.browser("editor").post(url(cast), {"name": "x", "public_key": KEY.pem().decode()})

    secret = KEY.pem().decode().splitlines()[1]
    assert "private key" in response.content.decode()
    assert secret not in response.content.decode()


def test_known_key_is_refused_even_when_it_was_revoked(cast: Cast) -> None:
    key = registered(cast.submission)
    report_keys.revoke_key(key=key, actor=cast.owner)

    with pytest.raises(ApplicantError) as caught:
        registered(cast.submission)
    assert caught.value.code == "key_known"


def test_key_is_revoked_once_and_for_all(cast: Cast) -> None:
    key = registered(cast.submission)
    browser = cast.browser("editor")

    browser.post(url(cast, "report-key-revoke", key.pk))
    key.refresh_from_db()
    first = key.revoked_at
    browser.post(url(cast, "report-key-revoke", key.pk))
    key.refresh_from_db()

    assert first is not None
    assert key.revoked_at == first
    assert Event.objects.filter(action="report_key_revoked").count() == 1


def test_who_may_see_and_change_keys(cast: Cast) -> None:
    key = registered(cast.submission)
    other = SigningKey.generate().public.pem()

    assert cast.browser("viewer").get(url(cast)).status_code == 200
    assert "Register a key" not in cast.browser("viewer").get(url(cast)).content.decode()
    assert cast.browser("viewer").post(url(cast), {"name": "x", "public_key": other}).status_code == 403
    assert cast.browser("viewer").post(url(cast, "report-key-revoke", key.pk)).status_code == 403
    assert cast.browser("stranger").get(url(cast)).status_code == 404
    assert cast.browser("stranger").post(url(cast, "report-key-revoke", key.pk)).status_code == 404
    assert cast.browser("nobody").get(url(cast)).status_code == 302

"""Log-in of programs: who gets in, and how far."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from submissions.models import ApiToken
from submissions.services import organizations
from tests.submissions.cast import Cast
from tests.submissions.factories import PlatformFactory, SubmissionFactory

LIST = "/api/v1/submissions/"
PROBLEM = "application/problem+json"


def token(cast: Cast, scope: str = "write", who: str = "editor") -> tuple[ApiToken, APIClient]:
    row, secret = organizations.create_token(
        organization=cast.organization, actor=getattr(cast, who), name="t", scope=scope
    )
    return row, APIClient(HTTP_AUTHORIZATION=f"Bearer {secret}")


def test_token_opens_the_api_and_its_use_is_noted(cast: Cast) -> None:
    row, client = token(cast)

    response = client.get(LIST)

    row.refresh_from_db()
    assert response.status_code == 200
    assert response.json()["count"] == 1
    assert row.last_used_at is not None


def test_use_is_noted_once_a_minute(cast: Cast) -> None:
    row, client = token(cast)
    noted = timezone.now() - timedelta(seconds=30)
    ApiToken.objects.update(last_used_at=noted)

    client.get(LIST)

    row.refresh_from_db()
    assert row.last_used_at == noted


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "not_authenticated"),
        ("Bearer cpt_invented", "unknown_token"),
        ("Bearer", "authentication_failed"),
        ("Bearer one two", "authentication_failed"),
        ("Bearer caf\u00e9", "authentication_failed"),
        ("Basic dXNlcjpwYXNz", "not_authenticated"),
    ],
)
def test_wrong_credentials_get_401_with_a_challenge(db: None, header: str, code: str) -> None:
    response = APIClient(HTTP_AUTHORIZATION=header).get(LIST)

    assert response.status_code == 401
    assert response["Content-Type"] == PROBLEM
    assert response["WWW-Authenticate"] == 'Bearer realm="api"'
    assert response.json()["code"] == code


def test_expired_revoked_and_orphaned_tokens_get_401(cast: Cast) -> None:
    expired, expired_client = token(cast)
    revoked, revoked_client = token(cast)
    _, orphaned_client = token(cast, who="viewer", scope="read")
    _, inactive_client = token(cast, who="owner")
    ApiToken.objects.filter(pk=expired.pk).update(expires_at=timezone.now())
    organizations.revoke_token(token=revoked, actor=cast.owner)
    cast.organization.memberships.filter(user=cast.viewer).delete()
    cast.owner.is_active = False
    cast.owner.save()

    answers = [
        client.get(LIST) for client in (expired_client, revoked_client, orphaned_client, inactive_client)
    ]

    assert [answer.status_code for answer in answers] == [401] * 4
    assert [answer.json()["code"] for answer in answers] == [
        "token_expired",
        "token_revoked",
        "token_orphaned",
        "token_orphaned",
    ]


def test_reading_token_changes_nothing(cast: Cast) -> None:
    _, client = token(cast, scope="read")
    address = f"{LIST}{cast.submission.uuid}/"

    answers = [
        client.post(LIST, {"platform": "X", "kubernetes_version": "1.35"}, format="json"),
        client.patch(address, {"metadata": {"description": "x"}}, format="json"),
        client.post(f"{address}submit/"),
        client.post(f"{address}withdraw/"),
        client.post(f"{address}verifications/"),
        client.post(f"{address}files/"),
        client.post(f"/api/v1/verifications/{cast.run.uuid}/cancel/"),
    ]

    assert [answer.status_code for answer in answers] == [403] * 7
    assert {answer.json()["code"] for answer in answers} == {"scope_missing"}
    assert client.get(address).status_code == 200


def test_token_acts_in_its_own_organization_alone(cast: Cast) -> None:
    """Even where the person works for two."""
    second = organizations.create_organization(actor=cast.editor, name="Second")
    foreign = SubmissionFactory(platform=PlatformFactory(organization=second))
    _, client = token(cast)

    assert client.get(LIST).json()["count"] == 1
    assert client.get(f"{LIST}{foreign.uuid}/").status_code == 404
    assert client.post(f"{LIST}{foreign.uuid}/withdraw/").status_code == 404


def test_viewers_writing_token_is_no_way_round_the_role(cast: Cast) -> None:
    row, client = token(cast, who="editor")
    cast.organization.memberships.filter(user=cast.editor).update(role="viewer")

    response = client.post(f"{LIST}{cast.submission.uuid}/withdraw/")

    assert row.scope == "write"
    assert response.status_code == 403
    assert response.json()["code"] == "not_allowed"


def test_signed_in_browser_needs_the_csrf_token(cast: Cast) -> None:
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(cast.editor)

    assert client.get(LIST).status_code == 200
    assert client.post(f"{LIST}{cast.submission.uuid}/withdraw/").status_code == 403


def test_number_of_queries_does_not_grow_with_the_list(cast: Cast) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    _, client = token(cast)
    client.get(LIST)
    with CaptureQueriesContext(connection) as one:
        client.get(LIST)
    SubmissionFactory(platform=PlatformFactory(organization=cast.organization))
    SubmissionFactory(platform=PlatformFactory(organization=cast.organization))

    with CaptureQueriesContext(connection) as three:
        response = client.get(LIST)

    assert response.json()["count"] == 3
    assert len(three) == len(one)

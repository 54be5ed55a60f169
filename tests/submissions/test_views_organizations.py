"""Organizations, members, invitations, platforms, tokens."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from submissions.models import ApiToken, Invitation, MembershipRole, Organization, Platform
from submissions.models.organizations import hash_token
from submissions.services import organizations
from tests.submissions.cast import Cast
from tests.submissions.factories import SubmissionFactory, UserFactory, member


def url(name: str, cast: Cast, *more: object) -> str:
    return reverse(f"submissions:{name}", args=[cast.organization.slug, *more])


def test_first_visit_leads_to_an_organization_and_a_platform(db: None) -> None:
    user = UserFactory()
    browser = Client()
    browser.force_login(user)

    welcome = browser.get(reverse("submissions:workspace")).content.decode()
    response = browser.post(
        reverse("submissions:organization-create"),
        {"name": "  Harbour   Labs ", "website_url": "harbour.dev"},
    )

    organization = Organization.objects.get(name="Harbour Labs")
    assert "Create your organization" in welcome
    assert organization.website_url == "https://harbour.dev"
    assert organization.memberships.get().role == MembershipRole.OWNER
    assert response["Location"] == reverse("submissions:platform-create", args=[organization.slug])


def test_organization_that_exists_is_not_founded_again(cast: Cast) -> None:
    response = cast.browser("stranger").post(
        reverse("submissions:organization-create"), {"name": "northwind cloud"}
    )

    assert response.status_code == 422
    assert "Ask one of its owners to invite you" in response.content.decode()
    assert 'value="northwind cloud"' in response.content.decode()


def test_workspace_needs_a_log_in_and_shows_roles(cast: Cast) -> None:
    assert cast.browser("nobody").get(reverse("submissions:workspace")).status_code == 302
    page = cast.browser("viewer").get(reverse("submissions:workspace")).content.decode()
    assert "Viewer" in page
    assert "New submission" not in page


# Invitations --------------------------------------------------------------------------------------------


def invite(cast: Cast, email: str, capture: object) -> str:
    """Invite from the page; returns the address in the mail."""
    with capture(execute=True):  # type: ignore[operator]
        cast.browser("owner").post(url("members", cast), {"email": email, "role": "viewer"})
    return re.search(r"/vendor/invitations/\S+", mail.outbox[-1].body)[0]


def test_invitation_is_mailed_and_accepted(cast: Cast, django_capture_on_commit_callbacks: object) -> None:
    newcomer = UserFactory(email="new@example.org")
    address = invite(cast, "New@example.org", django_capture_on_commit_callbacks)
    browser = Client()

    to_log_in = browser.get(address)
    browser.force_login(newcomer)
    offered = browser.get(address)
    response = browser.post(address)

    assert mail.outbox[-1].to == ["new@example.org"]
    assert to_log_in.status_code == 302
    assert "Join Northwind Cloud" in offered.content.decode()
    assert response["Location"] == url("organization", cast)
    assert cast.organization.memberships.get(user=newcomer).role == MembershipRole.VIEWER
    assert browser.get(address).status_code == 404


def test_invitation_is_for_its_address_alone(cast: Cast, django_capture_on_commit_callbacks: object) -> None:
    address = invite(cast, "new@example.org", django_capture_on_commit_callbacks)
    browser = cast.browser("stranger")

    page = browser.get(address).content.decode()
    response = browser.post(address, follow=True)

    assert "For another address" in page
    assert "Accept" not in page
    assert "log in with that address" in response.content.decode()
    assert not cast.organization.members.filter(pk=cast.stranger.pk).exists()


def test_expired_and_invented_invitations_are_over(
    cast: Cast, django_capture_on_commit_callbacks: object
) -> None:
    address = invite(cast, cast.stranger.email, django_capture_on_commit_callbacks)
    Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    browser = cast.browser("stranger")

    for where in (address, reverse("submissions:invitation", args=["cpt_invented"])):
        assert browser.get(where).status_code == 404
        browser.post(where)
    assert not cast.organization.members.filter(pk=cast.stranger.pk).exists()


def test_owner_withdraws_an_invitation(cast: Cast, django_capture_on_commit_callbacks: object) -> None:
    address = invite(cast, cast.stranger.email, django_capture_on_commit_callbacks)
    invitation = Invitation.objects.get()

    cast.browser("owner").post(url("members", cast), {"withdraw": invitation.pk})

    assert cast.browser("stranger").get(address).status_code == 404


@pytest.mark.parametrize("who", ["editor", "viewer"])
def test_only_owners_invite(cast: Cast, who: str) -> None:
    response = cast.browser(who).post(url("members", cast), {"email": "x@example.org", "role": "owner"})

    assert response.status_code == 403
    assert not Invitation.objects.exists()


# Members ------------------------------------------------------------------------------------------------


def test_owner_changes_a_role(cast: Cast) -> None:
    membership = cast.organization.memberships.get(user=cast.viewer)

    cast.browser("owner").post(url("member", cast, membership.pk), {"role": "editor"})

    membership.refresh_from_db()
    assert membership.role == MembershipRole.EDITOR


@pytest.mark.parametrize("data", [{"role": "editor"}, {"remove": "1"}])
def test_last_owner_stays_owner(cast: Cast, data: dict[str, str]) -> None:
    membership = cast.organization.memberships.get(user=cast.owner)

    response = cast.browser("owner").post(url("member", cast, membership.pk), data, follow=True)

    membership.refresh_from_db()
    assert membership.role == MembershipRole.OWNER
    assert "make someone else owner first" in response.content.decode()


def test_editor_changes_nobody_but_may_leave(cast: Cast) -> None:
    browser = cast.browser("editor")
    other = cast.organization.memberships.get(user=cast.viewer)
    own = cast.organization.memberships.get(user=cast.editor)

    assert browser.post(url("member", cast, other.pk), {"remove": "1"}).status_code == 403
    assert browser.post(url("member", cast, own.pk), {"role": "owner"}).status_code == 403
    assert browser.post(url("member", cast, own.pk), {"remove": "1"})["Location"] == reverse(
        "submissions:workspace"
    )
    assert not cast.organization.members.filter(pk=cast.editor.pk).exists()


def test_member_of_another_organization_is_not_found(cast: Cast) -> None:
    foreign = cast.stranger.memberships.get()

    assert cast.browser("owner").post(url("member", cast, foreign.pk), {"remove": "1"}).status_code == 404


# Platforms ----------------------------------------------------------------------------------------------


def test_platform_is_added_and_corrected(cast: Cast) -> None:
    browser = cast.browser("editor")

    added = browser.post(url("platform-create", cast), {"name": " Edge  Engine ", "description": "Small."})
    platform = Platform.objects.get(name="Edge Engine")
    browser.post(
        url("platform", cast, platform.slug), {"name": "Edge Engine", "base_platform": "Upstream 1.36"}
    )

    platform.refresh_from_db()
    assert added["Location"] == url("platform", cast, platform.slug)
    assert platform.base_platform == "Upstream 1.36"
    assert platform.description == ""


def test_configuration_is_added_once(cast: Cast) -> None:
    browser = cast.browser("editor")
    address = url("platform", cast, cast.submission.platform.slug)
    data = {"add_configuration": "1", "new-name": "air-gapped"}

    first, second = browser.post(address, data), browser.post(address, data)

    assert first.status_code == 302
    assert second.status_code == 422
    assert "air-gapped already" in second.content.decode()
    assert cast.submission.platform.configurations.filter(name="air-gapped").count() == 1


def test_configuration_that_was_submitted_keeps_its_name(cast: Cast) -> None:
    SubmissionFactory(platform=cast.submission.platform, complete=True, status="submitted")
    configuration = cast.submission.configuration
    address = url("configuration", cast, configuration.platform.slug, configuration.pk)

    renamed = cast.browser("editor").post(address, {"name": "cloud"})
    described = cast.browser("editor").post(address, {"name": "default", "description": "In our cloud."})

    configuration.refresh_from_db()
    assert renamed.status_code == 422
    assert described.status_code == 302
    assert (configuration.name, configuration.description) == ("default", "In our cloud.")


# Tokens -------------------------------------------------------------------------------------------------


def test_token_is_shown_once_and_kept_as_a_hash(cast: Cast) -> None:
    browser = cast.browser("editor")

    response = browser.post(url("tokens", cast), {"name": "pipeline", "scope": "write", "days": "30"})

    secret = response.context["secret"]
    token = ApiToken.objects.get()
    assert secret.startswith("cpt_")
    assert secret in response.content.decode()
    assert secret not in browser.get(url("tokens", cast)).content.decode()
    assert token.token_hash == hash_token(secret)
    assert timedelta(days=29) < token.expires_at - timezone.now() <= timedelta(days=30)


def test_viewer_makes_tokens_that_read(cast: Cast) -> None:
    browser = cast.browser("viewer")

    refused = browser.post(url("tokens", cast), {"name": "x", "scope": "write", "days": "30"})
    made = browser.post(url("tokens", cast), {"name": "x", "scope": "read", "days": "30"})

    assert refused.status_code == 422
    assert "not tokens that write" in refused.content.decode()
    assert made.status_code == 200
    assert ApiToken.objects.get().scope == ApiToken.Scope.READ


def test_token_is_revoked_by_its_maker_or_an_owner(cast: Cast) -> None:
    other = member(cast.organization)
    mine, _ = organizations.create_token(
        organization=cast.organization, actor=cast.editor, name="mine", scope="read"
    )
    theirs, _ = organizations.create_token(
        organization=cast.organization, actor=other, name="theirs", scope="read"
    )
    editor = cast.browser("editor")

    listed = editor.get(url("tokens", cast)).content.decode()
    assert "mine" in listed
    assert "theirs" not in listed
    assert editor.post(url("token-revoke", cast, theirs.pk)).status_code == 404
    assert editor.post(url("token-revoke", cast, mine.pk)).status_code == 302
    assert cast.browser("owner").post(url("token-revoke", cast, theirs.pk)).status_code == 302
    assert not ApiToken.objects.filter(revoked_at=None).exists()

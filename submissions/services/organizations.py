"""Organizations, their people, platforms and tokens."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.core.mail import send_mail
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from certportal.accounts.models import User
from registry.services import address_name
from submissions import rules
from submissions.errors import ApplicantError
from submissions.models import (
    ApiToken,
    Configuration,
    Invitation,
    Membership,
    MembershipRole,
    Organization,
    Platform,
)
from submissions.models.organizations import hash_token
from submissions.services.events import record_event

INVITATION_LASTS = timedelta(days=14)
TOKEN_LASTS_AT_MOST = timedelta(days=366)


def _free_slug(text: str, taken: set[str]) -> str:
    slug = base = address_name(text, longest=70)
    number = 2
    while slug in taken:
        slug = f"{base}-{number}"
        number += 1
    return slug


@transaction.atomic
def create_organization(*, actor: User, name: str, website_url: str = "") -> Organization:
    """Create an organization with the actor as its owner."""
    name = " ".join(name.split())
    if Organization.objects.filter(name__iexact=name).exists():
        raise ApplicantError(
            "name_taken",
            f"An organization called {name} exists already. Ask one of its owners to invite you.",
        )
    taken = set(Organization.objects.values_list("slug", flat=True))
    organization = Organization.objects.create(
        name=name, slug=_free_slug(name, taken), website_url=website_url
    )
    Membership.objects.create(organization=organization, user=actor, role=MembershipRole.OWNER)
    record_event(action="organization_created", actor=actor, data={"organization": organization.slug})
    return organization


@transaction.atomic
def invite_member(*, organization: Organization, actor: User, email: str, role: str) -> Invitation:
    """Send an invitation; the link in the mail is the only copy of its secret."""
    email = email.strip().lower()
    if organization.members.filter(email__iexact=email).exists():
        raise ApplicantError("already_member", f"{email} is a member already.")
    secret = ApiToken.new_secret()
    invitation = Invitation.objects.create(
        organization=organization,
        email=email,
        role=role,
        token_hash=hash_token(secret),
        invited_by=actor,
        expires_at=timezone.now() + INVITATION_LASTS,
    )
    link = settings.SITE_URL + reverse("submissions:invitation", args=[secret])
    text = (
        f"{actor} invites you to work for {organization} on {settings.SITE_NAME}, "
        f"as {invitation.get_role_display().lower()}.\n\n"
        f"Follow this link to accept; it works for {INVITATION_LASTS.days} days:\n{link}\n"
    )
    transaction.on_commit(
        lambda: send_mail(f"[{settings.SITE_NAME}] Invitation to {organization}", text, None, [email])
    )
    record_event(
        action="member_invited",
        actor=actor,
        data={"organization": organization.slug, "email": email, "role": role},
    )
    return invitation


@transaction.atomic
def accept_invitation(*, secret: str, user: User) -> Organization:
    """Take the seat. The person's address has to be the invited one."""
    invitation = (
        Invitation.objects.select_for_update()
        .select_related("organization")
        .filter(token_hash=hash_token(secret), accepted_at=None)
        .first()
    )
    if invitation is None or invitation.expires_at <= timezone.now():
        raise ApplicantError("invitation_over", "This invitation was used or has expired. Ask for a new one.")
    if invitation.email != user.email:
        raise ApplicantError(
            "invitation_for_other",
            f"The invitation was sent to {invitation.email}; log in with that address to accept it.",
        )
    invitation.accepted_at = timezone.now()
    invitation.save(update_fields=["accepted_at"])
    Membership.objects.get_or_create(
        organization=invitation.organization, user=user, defaults={"role": invitation.role}
    )
    record_event(
        action="member_joined",
        actor=user,
        data={"organization": invitation.organization.slug, "role": invitation.role},
    )
    return invitation.organization


def open_invitation(secret: str) -> Invitation | None:
    """The invitation that `secret` opens, as long as it can be accepted."""
    return (
        Invitation.objects.select_related("organization", "invited_by")
        .filter(token_hash=hash_token(secret), accepted_at=None, expires_at__gt=timezone.now())
        .first()
    )


@transaction.atomic
def withdraw_invitation(*, invitation: Invitation, actor: User) -> None:
    """Make an open invitation worthless."""
    data = {"organization": invitation.organization.slug, "email": invitation.email}
    invitation.delete()
    record_event(action="invitation_withdrawn", actor=actor, data=data)


def _refuse_without_owner(organization: Organization) -> None:
    if not organization.memberships.filter(role=MembershipRole.OWNER).exists():
        raise ApplicantError("last_owner", "An organization needs an owner: make someone else owner first.")


@transaction.atomic
def change_role(*, membership: Membership, actor: User, role: str) -> None:
    """Change what a member may do; the last owner stays owner."""
    membership.role = role
    membership.save(update_fields=["role"])
    _refuse_without_owner(membership.organization)
    record_event(
        action="member_role_changed",
        actor=actor,
        data={"organization": membership.organization.slug, "user": membership.user_id, "role": role},
    )


@transaction.atomic
def remove_member(*, membership: Membership, actor: User) -> None:
    """End a membership and revoke the person's tokens for the organization."""
    organization = membership.organization
    organization.tokens.filter(user=membership.user, revoked_at=None).update(revoked_at=timezone.now())
    user_id = membership.user_id
    membership.delete()
    _refuse_without_owner(organization)
    record_event(
        action="member_removed", actor=actor, data={"organization": organization.slug, "user": user_id}
    )


@transaction.atomic
def create_token(
    *, organization: Organization, actor: User, name: str, scope: str, lasts: timedelta = timedelta(days=90)
) -> tuple[ApiToken, str]:
    """Make an API token; returns it with its secret, which cannot be shown again."""
    if scope == ApiToken.Scope.WRITE and not rules.may_edit(actor, organization):
        raise ApplicantError("not_allowed", "Viewers can make tokens that read, not tokens that write.")
    secret = ApiToken.new_secret()
    token = ApiToken.objects.create(
        organization=organization,
        user=actor,
        name=name,
        token_hash=hash_token(secret),
        hint=secret[:8],
        scope=scope,
        expires_at=timezone.now() + min(lasts, TOKEN_LASTS_AT_MOST),
    )
    record_event(
        action="token_created",
        actor=actor,
        data={"organization": organization.slug, "token": name, "scope": scope},
    )
    return token, secret


@transaction.atomic
def revoke_token(*, token: ApiToken, actor: User) -> None:
    """End a token at once."""
    if token.revoked_at is None:
        token.revoked_at = timezone.now()
        token.save(update_fields=["revoked_at"])
        record_event(
            action="token_revoked",
            actor=actor,
            data={"organization": token.organization.slug, "token": token.name},
        )


@transaction.atomic
def create_platform(
    *, organization: Organization, actor: User, name: str, description: str = "", base_platform: str = ""
) -> Platform:
    """Create a platform with a configuration called ``default``."""
    name = " ".join(name.split())
    taken = set(organization.platforms.values_list("slug", flat=True))
    platform = Platform.objects.create(
        organization=organization,
        name=name,
        slug=_free_slug(name, taken),
        description=description,
        base_platform=base_platform,
    )
    Configuration.objects.create(platform=platform, name="default")
    record_event(
        action="platform_created",
        actor=actor,
        data={"organization": organization.slug, "platform": platform.slug},
    )
    return platform


def create_configuration(*, platform: Platform, name: str, description: str = "") -> Configuration:
    """Add a configuration that is certified on its own."""
    try:
        with transaction.atomic():
            return Configuration.objects.create(
                platform=platform, name=" ".join(name.split()), description=description
            )
    except IntegrityError as error:
        raise ApplicantError(
            "name_taken", f"{platform} has a configuration called {name} already."
        ) from error

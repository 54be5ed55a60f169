"""Suspending, reinstating and revoking certificates, on behalf of the accreditation group."""

from __future__ import annotations

from django.conf import settings
from django.core.mail import send_mail
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from certportal.accounts.models import User
from registry import services as registry
from registry.models import Certificate
from submissions import rules
from submissions.errors import ApplicantError
from submissions.models import MembershipRole, Organization, Submission
from submissions.services.events import record_event


class Change(models.TextChoices):
    """What a lead reviewer does to a certificate that was issued."""

    SUSPEND = "suspend", _("Suspend")
    REINSTATE = "reinstate", _("Reinstate")
    REVOKE = "revoke", _("Revoke")


POSSIBLE: dict[str, tuple[Change, ...]] = {
    Certificate.Status.ACTIVE: (Change.SUSPEND, Change.REVOKE),
    Certificate.Status.SUSPENDED: (Change.REINSTATE, Change.REVOKE),
}
WORDS = {Change.SUSPEND: "suspended", Change.REINSTATE: "reinstated", Change.REVOKE: "revoked"}
_WRITERS = {
    Change.SUSPEND: registry.suspend_certificate,
    Change.REINSTATE: registry.reinstate_certificate,
    Change.REVOKE: registry.revoke_certificate,
}


def possible_changes(certificate: Certificate) -> tuple[Change, ...]:
    """What can be done to the certificate as it stands today."""
    return POSSIBLE.get(certificate.current_status, ())


def vendor_of(certificate: Certificate) -> Organization | None:
    """The organization it was issued to; None for an imported record of a vendor that has none here."""
    submission = Submission.objects.with_names().filter(uuid=certificate.source).first()
    if submission is not None:
        organization: Organization = submission.organization
        return organization
    found: Organization | None = Organization.objects.filter(slug=certificate.vendor_slug).first()
    return found


@transaction.atomic
def change_certificate(*, certificate: Certificate, change: Change, actor: User, reason: str) -> Certificate:
    """Suspend, reinstate or revoke, with a reason that stands in the public history; the vendor is told.

    Raises `ApplicantError` when the person may not, or the certificate is not in a state for it.
    """
    if not actor.is_lead_reviewer:
        raise ApplicantError("not_allowed", f"{change.label} is for lead reviewers.")
    vendor = vendor_of(certificate)
    conflict = rules.conflict_of(actor, vendor) if vendor else ""
    if conflict:
        raise ApplicantError("conflict_of_interest", f"{conflict} You must not decide on its certificates.")
    try:
        certificate = _WRITERS[change](certificate=certificate, reason=reason)
    except registry.RegistryError as error:
        raise ApplicantError("not_possible", str(error)) from error
    record_event(
        action=f"certificate_{WORDS[change]}",
        actor=actor,
        submission=Submission.objects.filter(uuid=certificate.source).first(),
        reason=reason.strip(),
        data={"number": certificate.number},
    )
    if change == Change.SUSPEND:
        number = certificate.number
        transaction.on_commit(lambda: _serve_notice(number), robust=True)
    elif vendor is not None:
        _tell(vendor, certificate, change, reason.strip())
    return certificate


def _serve_notice(number: str) -> None:
    """Mail the written notice now; where that fails, the hourly task tries again."""
    from submissions.services.cure_notices import send_cure_mails

    send_cure_mails(today=timezone.now().date(), only=number)


def people_to_tell(vendor: Organization) -> list[str]:
    """Addresses of the people who can act on what happens to the vendor's certificates."""
    return list(
        vendor.memberships.filter(
            role__in=[MembershipRole.OWNER, MembershipRole.EDITOR], user__is_active=True
        ).values_list("user__email", flat=True)
    )


def _tell(vendor: Organization, certificate: Certificate, change: Change, reason: str) -> None:
    """Mail the people who can act on it, once the transaction stands."""
    recipients = people_to_tell(vendor)
    text = (
        f"The certificate {certificate.number} of {certificate.platform_name} {certificate.platform_version} "
        f"was {WORDS[change]}:\n\n{reason}\n\n"
    )
    text += f"{settings.SITE_URL}{certificate.get_absolute_url()}\n"
    subject = f"[{settings.SITE_NAME}] {certificate.number} was {WORDS[change]}"
    transaction.on_commit(lambda: send_mail(subject, text, None, recipients), robust=True)

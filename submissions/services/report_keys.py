"""The public keys of an organization's own runs: registering them, and believing them no longer."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.utils import timezone

from certportal.accounts.models import User
from conformance import signing
from submissions import rules
from submissions.errors import ApplicantError
from submissions.models import Organization, ReportKey
from submissions.services.events import record_event


def add_key(*, organization: Organization, actor: User, name: str, public_key: str) -> ReportKey:
    """Register a public key, in PEM or as its bare base64; raises `ApplicantError`."""
    _refuse_stranger(actor, organization)
    try:
        key = signing.read_public_key(public_key.encode("utf-8", "replace"))
    except signing.SignatureError as error:
        raise ApplicantError("bad_key", str(error)) from error
    try:
        with transaction.atomic():
            row = ReportKey.objects.create(
                organization=organization,
                name=name,
                public_key=key.text,
                key_id=key.key_id,
                added_by=actor,
            )
            record_event(
                action="report_key_added",
                actor=actor,
                data={"organization": organization.slug, "key": key.key_id, "name": name},
            )
    except IntegrityError as error:
        raise ApplicantError(
            "key_known", "The organization has this key already; a revoked key stays revoked."
        ) from error
    return row


@transaction.atomic
def revoke_key(*, key: ReportKey, actor: User) -> None:
    """Believe the key no longer: what it signed is refused, and what is here already stops counting."""
    _refuse_stranger(actor, key.organization)
    revoked = ReportKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now())
    if revoked:
        record_event(
            action="report_key_revoked",
            actor=actor,
            data={"organization": key.organization.slug, "key": key.key_id, "name": key.name},
        )


def _refuse_stranger(actor: User, organization: Organization) -> None:
    if not rules.may_edit(actor, organization):
        raise ApplicantError(
            "not_allowed", f"Only owners and editors of {organization} may do that; ask one of them."
        )

"""What the accreditation group records."""

from __future__ import annotations

from datetime import date

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from submissions.models.organizations import Organization
from submissions.models.submissions import Claim, Submission


class Approval(models.Model):
    """One reviewer's approval in one round. The last one needed decides."""

    submission = models.ForeignKey(Submission, on_delete=models.CASCADE, related_name="approvals")
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    round = models.PositiveSmallIntegerField(_("review round"))
    comment = models.TextField(_("comment"), blank=True)
    at = models.DateTimeField(_("at"), default=timezone.now)

    class Meta:
        verbose_name = _("approval")
        verbose_name_plural = _("approvals")
        ordering = ["at"]
        constraints = [
            models.UniqueConstraint(
                fields=["submission", "reviewer", "round"], name="submissions_one_approval_per_reviewer"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reviewer} approved {self.submission}"


class Waiver(models.Model):
    """A vendor's N/A on a MUST, which a reviewer accepts for a time, or refuses."""

    class Decision(models.TextChoices):
        PENDING = "pending", _("Pending")
        ACCEPTED = "accepted", _("Accepted")
        REFUSED = "refused", _("Refused")

    claim = models.OneToOneField(Claim, on_delete=models.CASCADE, related_name="waiver")
    justification = models.TextField(_("the vendor's justification"))
    decision = models.CharField(_("decision"), max_length=10, choices=Decision, default=Decision.PENDING)
    reason = models.TextField(_("reason"), blank=True)
    expires_on = models.DateField(_("expires on"), null=True, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    decided_at = models.DateTimeField(_("decided"), null=True, blank=True)

    class Meta:
        verbose_name = _("waiver")
        verbose_name_plural = _("waivers")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(decision="pending")
                | (
                    models.Q(decided_by__isnull=False)
                    & models.Q(decided_at__isnull=False)
                    & ~models.Q(reason="")
                ),
                name="submissions_waiver_decided_by_someone",
            ),
            models.CheckConstraint(
                condition=~models.Q(decision="accepted") | models.Q(expires_on__isnull=False),
                name="submissions_waiver_expires",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.claim.requirement.requirement_id}: {self.decision}"

    def has_expired(self, today: date) -> bool:
        """Whether it was accepted and its time is over."""
        return (
            self.decision == self.Decision.ACCEPTED
            and self.expires_on is not None
            and self.expires_on <= today
        )


class ConflictOfInterest(models.Model):
    """A reviewer's interest in a vendor, because of which the reviewer must not decide."""

    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="conflicts")
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="conflicts")
    note = models.CharField(_("interest"), max_length=300)
    declared_at = models.DateTimeField(_("declared"), default=timezone.now)

    class Meta:
        verbose_name = _("conflict of interest")
        verbose_name_plural = _("conflicts of interest")
        constraints = [
            models.UniqueConstraint(fields=["reviewer", "organization"], name="submissions_conflict_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.reviewer} and {self.organization}"

"""Reads of work in progress, as adjectives. Everything a person sees goes through `visible_to`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import F, Q

from submissions.states import AWAITING_REVIEW, RUN_ACTIVE, RunKind, RunStatus, Status

if TYPE_CHECKING:
    from certportal.accounts.models import User
    from submissions.models import Organization, Platform, Submission, TestCluster, VerificationRun


class OrganizationQuerySet(models.QuerySet["Organization"]):
    def visible_to(self, user: User) -> OrganizationQuerySet:
        return self.filter(memberships__user=user)


class PlatformQuerySet(models.QuerySet["Platform"]):
    def visible_to(self, user: User) -> PlatformQuerySet:
        return self.filter(organization__memberships__user=user)


class SubmissionQuerySet(models.QuerySet["Submission"]):
    def visible_to(self, user: User) -> SubmissionQuerySet:
        """Those of the person's organizations. Reviewers read theirs in the admin, not here."""
        return self.filter(configuration__platform__organization__memberships__user=user)

    def with_names(self) -> SubmissionQuerySet:
        return self.select_related("configuration__platform__organization", "checklist")

    def awaiting_review(self) -> SubmissionQuerySet:
        return self.filter(status__in=AWAITING_REVIEW)

    def reviewable(self) -> SubmissionQuerySet:
        """What reviewers may see: everything that was ever submitted."""
        return self.filter(submitted_at__isnull=False)

    def due_for_release(self, today: object) -> SubmissionQuerySet:
        """Approved, uncertified yet, and the release date has come."""
        return self.filter(status=Status.APPROVED, certificate_number="").filter(
            Q(release_on__isnull=True) | Q(release_on__lte=today)
        )


class TestClusterQuerySet(models.QuerySet["TestCluster"]):
    def visible_to(self, user: User) -> TestClusterQuerySet:
        return self.filter(organization__memberships__user=user)

    def usable(self) -> TestClusterQuerySet:
        return self.filter(kubeconfig_encrypted__isnull=False)


class RunQuerySet(models.QuerySet["VerificationRun"]):
    def visible_to(self, user: User) -> RunQuerySet:
        return self.filter(submission__configuration__platform__organization__memberships__user=user)

    def verifications(self) -> RunQuerySet:
        """Runs that looked at something; sweeps only clean up."""
        return self.exclude(kind=RunKind.SWEEP)

    def active(self) -> RunQuerySet:
        return self.filter(status__in=RUN_ACTIVE)

    def available(self, at: datetime) -> RunQuerySet:
        """Runs a worker may take: queued, or running under a lease that ran out."""
        return self.filter(
            Q(status=RunStatus.QUEUED) | Q(status=RunStatus.RUNNING, lease_expires_at__lte=at)
        ).order_by("created_at")

    def finished(self) -> RunQuerySet:
        return self.verifications().filter(status=RunStatus.FINISHED)

    def deciding(self) -> RunQuerySet:
        """The portal's runs a decision may rest on, the newest first.

        Every check ran, all of it after the vendor submitted, and it had ended when the decision fell.
        """
        return (
            self.finished()
            .filter(kind=RunKind.PORTAL, only=[], created_at__gte=F("submission__submitted_at"))
            .filter(Q(submission__decided_at__isnull=True) | Q(finished_at__lte=F("submission__decided_at")))
            .order_by("-finished_at")
        )

    def vouching(self) -> RunQuerySet:
        """The vendor's own runs that count beside a deciding one, the newest first.

        Every check ran, the key that signed it is still good, and it was here when the decision fell.
        """
        return (
            self.finished()
            .filter(kind=RunKind.VENDOR, only=[], signed_by__revoked_at__isnull=True)
            .filter(Q(submission__decided_at__isnull=True) | Q(created_at__lte=F("submission__decided_at")))
            .order_by("-finished_at")
        )

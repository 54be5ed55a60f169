"""Verification runs. A run is a row with a lease and a heartbeat; the queue is only a doorbell."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from registry.models import RequirementLevel
from submissions.models.clusters import TestCluster
from submissions.models.organizations import ReportKey
from submissions.models.submissions import Submission
from submissions.querysets import RunQuerySet
from submissions.states import RUN_ACTIVE, RunKind, RunOutcome, RunStatus, Verdict


class VerificationRun(models.Model):
    """One run of the checks: ours against a test cluster, or the vendor's own that was uploaded.

    A sweep of a test cluster is a row here too, so that the same lease and the same constraint keep runs
    and sweeps of one cluster apart.
    """

    uuid = models.UUIDField(_("id"), default=uuid.uuid4, unique=True, editable=False)
    submission = models.ForeignKey(Submission, on_delete=models.CASCADE, related_name="runs")
    kind = models.CharField(_("kind"), max_length=12, choices=RunKind, default=RunKind.PORTAL)
    cluster = models.ForeignKey(
        TestCluster, on_delete=models.PROTECT, related_name="runs", null=True, blank=True
    )
    signed_by = models.ForeignKey(
        ReportKey, on_delete=models.PROTECT, related_name="runs", null=True, blank=True
    )
    status = models.CharField(_("status"), max_length=10, choices=RunStatus, default=RunStatus.QUEUED)
    outcome = models.CharField(_("outcome"), max_length=16, choices=RunOutcome, blank=True)
    only = models.JSONField(_("only these requirements"), default=list, blank=True)
    simulated = models.BooleanField(_("simulated"), default=False)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(_("queued"), default=timezone.now)
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    # Whoever holds the lease runs it. The heartbeat prolongs the lease; a lease that ran out may be taken.
    lease_owner = models.CharField(max_length=120, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(_("last heartbeat"), null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    cancel_requested_at = models.DateTimeField(_("cancel requested"), null=True, blank=True)
    error = models.TextField(_("error"), blank=True)
    report = models.JSONField(_("report"), null=True, blank=True)
    report_digest = models.CharField(_("digest"), max_length=80, blank=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        verbose_name = _("verification run")
        verbose_name_plural = _("verification runs")
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["status", "created_at"], name="submissions_run_status")]
        constraints = [
            models.UniqueConstraint(
                fields=["cluster"],
                condition=models.Q(status__in=["queued", "running"]),
                name="submissions_one_active_run_per_cluster",
            ),
            models.CheckConstraint(
                condition=~models.Q(status="finished") | ~models.Q(outcome="") | models.Q(kind="sweep"),
                name="submissions_finished_has_outcome",
            ),
            # A vendor's run came to us finished and signed; everything else happens on a cluster.
            models.CheckConstraint(
                condition=models.Q(
                    kind="vendor_run", cluster__isnull=True, signed_by__isnull=False, status="finished"
                )
                | models.Q(kind__in=["portal_run", "sweep"], cluster__isnull=False, signed_by__isnull=True),
                name="submissions_run_fits_its_kind",
            ),
            models.UniqueConstraint(
                fields=["submission", "report_digest"],
                condition=models.Q(kind="vendor_run"),
                name="submissions_vendor_report_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.submission} on {self.place}"

    @property
    def is_by_vendor(self) -> bool:
        return self.kind == RunKind.VENDOR

    @property
    def place(self) -> str:
        """The test cluster's name; of a vendor's run that it was the vendor's own."""
        return str(self.cluster) if self.cluster is not None else "a cluster of the vendor"

    @property
    def is_active(self) -> bool:
        return self.status in RUN_ACTIVE

    @property
    def duration_seconds(self) -> float | None:
        if self.started_at is None:
            return None
        return ((self.finished_at or timezone.now()) - self.started_at).total_seconds()

    def lease_has_expired(self, at: datetime) -> bool:
        return self.lease_expires_at is None or self.lease_expires_at <= at


class CheckResult(models.Model):
    """What a run says of one requirement. Unknown from the start, until the engine has a verdict."""

    run = models.ForeignKey(VerificationRun, on_delete=models.CASCADE, related_name="results")
    requirement_id = models.CharField(_("requirement"), max_length=60)
    level = models.CharField(_("level"), max_length=6, choices=RequirementLevel)
    position = models.PositiveSmallIntegerField(_("position"))
    status = models.CharField(_("verdict"), max_length=16, choices=Verdict, default=Verdict.UNKNOWN)
    reason = models.CharField(_("reason"), max_length=80, default="not_run")
    message = models.TextField(_("message"), blank=True)
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    duration_seconds = models.FloatField(_("duration"), null=True, blank=True)

    class Meta:
        verbose_name = _("check result")
        verbose_name_plural = _("check results")
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(
                fields=["run", "requirement_id"], name="submissions_one_result_per_requirement"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.requirement_id}: {self.status}"

    @property
    def progress(self) -> str:
        """``waiting``, ``running`` or ``done``."""
        if self.finished_at is not None:
            return "done"
        return "running" if self.started_at is not None else "waiting"


class CapturedEvidence(models.Model):
    """What was captured in a run: objects, events, logs; redacted before it came here."""

    name = models.CharField(_("name"), max_length=200)
    media_type = models.CharField(_("media type"), max_length=100)
    sha256 = models.CharField(_("SHA-256"), max_length=64)
    size = models.PositiveIntegerField(_("size"), help_text=_("bytes"))
    content = models.BinaryField(_("content"))
    captured_at = models.DateTimeField(_("captured"), default=timezone.now)

    class Meta:
        abstract = True
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.name

    @property
    def text(self) -> str:
        return bytes(self.content).decode("utf-8", errors="replace")


class CheckEvidence(CapturedEvidence):
    """What a check captured."""

    result = models.ForeignKey(CheckResult, on_delete=models.CASCADE, related_name="evidence")

    class Meta(CapturedEvidence.Meta):
        verbose_name = _("evidence of a check")
        verbose_name_plural = _("evidence of checks")
        constraints = [
            models.UniqueConstraint(fields=["result", "name"], name="submissions_check_evidence_unique"),
        ]

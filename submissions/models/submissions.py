"""A submission: what a vendor claims of one platform version against one checklist."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from registry.models import Checklist, Requirement
from submissions.models.platforms import Configuration
from submissions.querysets import SubmissionQuerySet
from submissions.states import EDITABLE, TERMINAL, Status


class ClaimStatus(models.TextChoices):
    """What a vendor says of a requirement; the values are the programme's."""

    IMPLEMENTED = "Implemented", _("Implemented")
    NOT_IMPLEMENTED = "Not Implemented", _("Not implemented")
    PARTIALLY_IMPLEMENTED = "Partially Implemented", _("Partially implemented")
    NOT_APPLICABLE = "N/A", _("Not applicable")


class Submission(models.Model):
    """One application for certification. It pins its checklist; a later one never changes it."""

    uuid = models.UUIDField(_("id"), default=uuid.uuid4, unique=True, editable=False)
    configuration = models.ForeignKey(Configuration, on_delete=models.PROTECT, related_name="submissions")
    checklist = models.ForeignKey(Checklist, on_delete=models.PROTECT, related_name="submissions")
    status = models.CharField(_("status"), max_length=20, choices=Status, default=Status.DRAFT)
    # Metadata under its camelCase names, texts as typed: what is wrong with them is for the rules to say.
    metadata = models.JSONField(_("metadata"), default=dict, blank=True)
    revision = models.PositiveIntegerField(
        _("revision"), default=0, help_text=_("Counts saves, so that two windows do not overwrite each other")
    )
    round = models.PositiveSmallIntegerField(_("review round"), default=0)
    source_file = models.TextField(_("uploaded PRODUCT.yaml"), blank=True)
    simulated = models.BooleanField(_("simulated"), default=False)
    release_on = models.DateField(
        _("release date"), null=True, blank=True, help_text=_("Nothing is public before this day.")
    )
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)
    submitted_at = models.DateTimeField(_("submitted"), null=True, blank=True)
    due_on = models.DateField(_("due"), null=True, blank=True)
    decided_at = models.DateTimeField(_("decided"), null=True, blank=True)
    certificate_number = models.CharField(_("certificate"), max_length=24, blank=True)

    objects = SubmissionQuerySet.as_manager()

    class Meta:
        verbose_name = _("submission")
        verbose_name_plural = _("submissions")
        ordering = ["-updated_at"]
        indexes = [models.Index(fields=["status", "submitted_at"], name="submissions_status_submitted")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=["draft", "withdrawn"]) | models.Q(submitted_at__isnull=False),
                name="submissions_submitted_has_date",
            ),
            models.CheckConstraint(
                condition=~models.Q(status__in=["approved", "rejected"]) | models.Q(decided_at__isnull=False),
                name="submissions_decided_has_date",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.platform.name} {self.platform_version} ({self.checklist.version})".replace("  ", " ")

    def get_absolute_url(self) -> str:
        return reverse("submissions:detail", args=[self.uuid])

    @property
    def platform(self) -> Any:
        return self.configuration.platform

    @property
    def organization(self) -> Any:
        return self.configuration.platform.organization

    @property
    def platform_version(self) -> str:
        return str(self.metadata.get("platformVersion", ""))

    @property
    def is_editable(self) -> bool:
        return self.status in EDITABLE

    @property
    def is_closed(self) -> bool:
        return self.status in TERMINAL

    @property
    def is_embargoed(self) -> bool:
        """Whether it was approved and waits for the vendor's release date."""
        return self.status == Status.APPROVED and not self.certificate_number


class Claim(models.Model):
    """What the vendor says of one requirement."""

    submission = models.ForeignKey(Submission, on_delete=models.CASCADE, related_name="claims")
    requirement = models.ForeignKey(Requirement, on_delete=models.PROTECT, related_name="+")
    status = models.CharField(_("status"), max_length=200, blank=True)
    evidence = models.JSONField(
        _("evidence"), default=list, blank=True, help_text=_("Links and files, one a line")
    )
    notes = models.TextField(_("notes"), blank=True)
    met_by = models.CharField(
        _("met by"),
        max_length=200,
        blank=True,
        help_text=_("In a layered platform: the layer that meets it."),
    )
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    class Meta:
        verbose_name = _("claim")
        verbose_name_plural = _("claims")
        ordering = ["requirement__position"]
        constraints = [
            models.UniqueConstraint(fields=["submission", "requirement"], name="submissions_claim_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.requirement.requirement_id}: {self.status}"


def evidence_path(instance: EvidenceFile, _name: str) -> str:
    """Where an attached file is kept: its own name never decides."""
    return f"evidence/{instance.submission.uuid}/{uuid.uuid4().hex}"


class EvidenceFile(models.Model):
    """A file attached to a submission; `name` is its path inside the submission, as claims quote it."""

    submission = models.ForeignKey(Submission, on_delete=models.CASCADE, related_name="files")
    name = models.CharField(_("name"), max_length=200)
    content = models.FileField(_("content"), upload_to=evidence_path)
    size = models.PositiveIntegerField(_("size"), help_text=_("bytes"))
    sha256 = models.CharField(_("SHA-256"), max_length=64)
    uploaded_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    uploaded_at = models.DateTimeField(_("uploaded"), default=timezone.now)

    class Meta:
        verbose_name = _("evidence file")
        verbose_name_plural = _("evidence files")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["submission", "name"], name="submissions_evidence_name_unique"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def captured_at(self) -> datetime:
        return self.uploaded_at

"""The event log: append-only, each row sealed with the hash of the one before it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from submissions.models.submissions import Submission

GENESIS = "0" * 64


class Event(models.Model):
    """Something that happened to a submission, who did it and why."""

    submission = models.ForeignKey(Submission, on_delete=models.PROTECT, related_name="events", null=True)
    at = models.DateTimeField(_("at"), default=timezone.now)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    action = models.CharField(_("action"), max_length=40)
    from_status = models.CharField(_("from"), max_length=20, blank=True)
    to_status = models.CharField(_("to"), max_length=20, blank=True)
    reason = models.TextField(_("reason"), blank=True)
    data = models.JSONField(_("details"), default=dict, blank=True)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64, unique=True)

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.action}"

    def seal(self) -> str:
        """SHA-256 over the row's facts and the hash of the row before it."""
        facts = [
            self.previous_hash,
            str(self.submission.uuid) if self.submission is not None else "",
            self.at.isoformat(),
            self.actor_id or 0,
            self.action,
            self.from_status,
            self.to_status,
            self.reason,
            self.data,
        ]
        text = json.dumps(facts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk:
            raise ValidationError(_("The event log is only ever added to."))
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise ValidationError(_("The event log is only ever added to."))


class ChainHead(models.Model):
    """The hash of the newest event and how many there are; locked while one is added.

    The count makes rows cut off the end of the log visible as well.
    """

    hash = models.CharField(max_length=64, default=GENESIS)
    length = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.length} events"

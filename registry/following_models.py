"""Who wants to hear of changes, what there is to tell, and what was told."""

from __future__ import annotations

import secrets
from datetime import date, datetime
from typing import Any

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


def new_nonce() -> str:
    """What makes the signed links of a subscription its own."""
    return secrets.token_urlsafe(12)


class SubscriptionQuerySet(models.QuerySet["Subscription"]):
    """Subscriptions."""

    def active(self) -> SubscriptionQuerySet:
        return self.filter(status=Subscription.Status.ACTIVE)

    def waiting(self, now: datetime) -> SubscriptionQuerySet:
        """Active, with something to deliver, and neither being worked on nor paused after a failure."""
        return (
            self.active()
            .filter(Q(next_attempt_at=None) | Q(next_attempt_at__lte=now))
            .filter(Q(leased_until=None) | Q(leased_until__lte=now))
            .filter(pk__in=Delivery.objects.filter(sent_at=None).values("subscription"))
        )

    def unanswered(self, now: datetime) -> SubscriptionQuerySet:
        """Those whose link or challenge has still to be sent."""
        return self.filter(link_sent_at=None).filter(Q(next_attempt_at=None) | Q(next_attempt_at__lte=now))


class Subscription(models.Model):
    """Somebody who follows a part of the registry. Nothing is sent before the address was confirmed.

    The row goes when it is no longer wanted, and with it the address.
    """

    class Channel(models.TextChoices):
        EMAIL = "email", _("E-mail")
        WEBHOOK = "webhook", _("Webhook")

    class Status(models.TextChoices):
        PENDING = "pending", _("Waiting for confirmation")
        ACTIVE = "active", _("Active")
        DISABLED = "disabled", _("Switched off")

    channel = models.CharField(_("channel"), max_length=8, choices=Channel)
    status = models.CharField(_("status"), max_length=8, choices=Status, default=Status.PENDING)
    email = models.EmailField(_("address"), blank=True)
    url = models.URLField(_("address of the receiver"), max_length=500, blank=True)
    secret = models.TextField(_("secret, encrypted"), blank=True, editable=False)
    challenge = models.CharField(max_length=64, blank=True, editable=False)
    query = models.CharField(
        _("follows"),
        max_length=1000,
        blank=True,
        help_text=_("As in the address of the list; empty: everything"),
    )
    kinds = models.CharField(_("kinds of change"), max_length=120, blank=True, help_text=_("Empty: all"))
    language = models.CharField(_("language"), max_length=10, default="en")
    nonce = models.CharField(max_length=24, default=new_nonce, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    confirmed_at = models.DateTimeField(_("confirmed"), null=True, blank=True)
    link_sent_at = models.DateTimeField(_("link or challenge sent"), null=True, blank=True)
    failures = models.PositiveSmallIntegerField(_("failures in a row"), default=0)
    last_error = models.CharField(_("last error"), max_length=200, blank=True)
    next_attempt_at = models.DateTimeField(_("not before"), null=True, blank=True)
    disabled_at = models.DateTimeField(_("switched off"), null=True, blank=True)
    lease = models.UUIDField(null=True, blank=True, editable=False)
    leased_until = models.DateTimeField(null=True, blank=True, editable=False)

    objects = SubscriptionQuerySet.as_manager()

    class Meta:
        verbose_name = _("subscription")
        verbose_name_plural = _("subscriptions")
        indexes = [
            models.Index(fields=["email"], name="registry_subscription_email"),
            models.Index(fields=["status", "query"], name="registry_subscription_query"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["email", "query"], condition=~Q(email=""), name="registry_one_subscription_each"
            ),
            models.CheckConstraint(
                condition=Q(channel="email", url="", secret="") & ~Q(email="")
                | Q(channel="webhook", email="") & ~Q(url="") & ~Q(secret=""),
                name="registry_subscription_has_one_address",
            ),
            models.CheckConstraint(
                condition=Q(status="pending") | Q(confirmed_at__isnull=False),
                name="registry_subscription_was_confirmed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.channel} {self.pk}: {self.query or 'everything'}"

    def wants(self, kind: str) -> bool:
        """Whether changes of this kind are asked for."""
        return not self.kinds or kind in self.kinds.split()


class Announcement(models.Model):
    """A change that followers are to be told of; written in the transaction of the change itself."""

    event = models.OneToOneField(
        "registry.CertificateEvent", on_delete=models.PROTECT, related_name="announcement"
    )
    due_on = models.DateField(_("due on"), help_text=_("When it takes effect and is public"))
    announced_at = models.DateTimeField(_("announced"), null=True, blank=True)

    class Meta:
        verbose_name = _("announcement")
        verbose_name_plural = _("announcements")
        indexes = [
            models.Index(
                fields=["due_on", "id"], condition=Q(announced_at=None), name="registry_announcement_due"
            )
        ]

    def __str__(self) -> str:
        return f"{self.event_id} due {self.due_on}"

    @classmethod
    def due(cls, today: date) -> Any:
        """Not yet announced, and public by `today`."""
        return cls.objects.filter(announced_at=None, due_on__lte=today)


class Delivery(models.Model):
    """One change told to one subscription: there is one row for the two, however often it was tried."""

    subscription = models.ForeignKey(Subscription, on_delete=models.CASCADE, related_name="deliveries")
    event = models.ForeignKey(
        "registry.CertificateEvent", on_delete=models.PROTECT, related_name="deliveries"
    )
    batch = models.UUIDField(
        null=True, blank=True, help_text=_("The mail it went into; the same when it is sent again")
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    attempted_at = models.DateTimeField(_("last attempt"), null=True, blank=True)
    sent_at = models.DateTimeField(_("delivered"), null=True, blank=True)
    status_code = models.PositiveSmallIntegerField(_("answer"), null=True, blank=True)
    error = models.CharField(_("error"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        constraints = [
            models.UniqueConstraint(fields=["subscription", "event"], name="registry_told_once"),
        ]
        indexes = [
            models.Index(
                fields=["subscription", "event"], condition=Q(sent_at=None), name="registry_delivery_waiting"
            ),
            models.Index(fields=["sent_at"], name="registry_delivery_sent"),
        ]

    def __str__(self) -> str:
        return f"{self.event_id} to {self.subscription_id}"

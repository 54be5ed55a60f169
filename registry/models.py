"""Published facts: frozen checklists, and certificates with their history.

A certificate is a self-contained snapshot. It points at nothing that can still change, so the public
site keeps telling the same story whatever happens to the work it came from.
"""

from __future__ import annotations

import uuid
from datetime import date
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Upper
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from conformance import catalogue

# Django looks for models here.
from registry.following_models import Announcement, Delivery, Subscription  # noqa: F401
from registry.querysets import (
    CertificateQuerySet,
    CertificateRequirementQuerySet,
    ChecklistQuerySet,
    counts_as_met,
)

EXPIRING_DAYS = 60
# From the written notice on, so long to cure its cause; then the certificate is revoked.
CURE_DAYS = 30


class Assurance(models.TextChoices):
    """How we know what a certificate says."""

    SELF_ATTESTED = "self_attested", _("Attested by the vendor")
    VENDOR_RUN = "vendor_run", _("Run by the vendor")
    PORTAL_VERIFIED = "portal_verified", _("Verified by the portal")


class RequirementLevel(models.TextChoices):
    MUST = "MUST", "MUST"
    SHOULD = "SHOULD", "SHOULD"


class Checklist(models.Model):
    """One checklist for a Kubernetes minor version; frozen once published.

    A correction is a new revision. Work that pinned an earlier revision keeps it.
    """

    class Source(models.TextChoices):
        PROGRAMME = "programme", _("published by the programme")
        BUILT_IN = "builtin", _("built in, in our own words")

    version = models.CharField(
        _("version"), max_length=10, help_text=_("Kubernetes minor version, such as 1.36")
    )
    revision = models.PositiveIntegerField(_("revision"), default=1)
    digest = models.CharField(_("digest"), max_length=64, help_text=_("SHA-256 of the canonical content"))
    source = models.CharField(_("source"), max_length=20, choices=Source)
    published_at = models.DateTimeField(_("published"), null=True, blank=True)

    objects = ChecklistQuerySet.as_manager()

    class Meta:
        verbose_name = _("checklist")
        verbose_name_plural = _("checklists")
        ordering = ["version", "revision"]
        constraints = [
            models.UniqueConstraint(
                fields=["version", "revision"], name="registry_checklist_revision_unique"
            ),
            models.UniqueConstraint(fields=["version", "digest"], name="registry_checklist_digest_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.version}" if self.revision == 1 else f"{self.version} (revision {self.revision})"

    @property
    def is_published(self) -> bool:
        return self.published_at is not None

    def as_catalogue(self) -> catalogue.Checklist:
        """The checklist as the rules and the engine read it."""
        categories: dict[str, list[catalogue.Requirement]] = {}
        for requirement in self.requirements.select_related("category"):
            categories.setdefault(requirement.category.key, []).append(
                catalogue.Requirement(
                    requirement.requirement_id, requirement.description, catalogue.Level(requirement.level)
                )
            )
        return catalogue.Checklist(
            version=self.version,
            categories=tuple(catalogue.Category(key, tuple(rows)) for key, rows in categories.items()),
            digest=self.digest,
            published_wording=self.source == self.Source.PROGRAMME,
        )

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Refuse to change what is published: submissions and certificates rely on it."""
        if self.pk and Checklist.objects.filter(pk=self.pk, published_at__isnull=False).exists():
            raise ValidationError(_("A published checklist is frozen. Publish a corrected revision instead."))
        super().save(*args, **kwargs)


class Category(models.Model):
    """A group of requirements in a checklist; `key` is its name in the YAML."""

    checklist = models.ForeignKey(Checklist, on_delete=models.CASCADE, related_name="categories")
    key = models.CharField(_("key"), max_length=60)
    position = models.PositiveSmallIntegerField(_("position"))

    class Meta:
        verbose_name = _("category")
        verbose_name_plural = _("categories")
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["checklist", "key"], name="registry_category_key_unique")
        ]

    def __str__(self) -> str:
        return self.key


class Requirement(models.Model):
    """A requirement as one checklist words it."""

    checklist = models.ForeignKey(Checklist, on_delete=models.CASCADE, related_name="requirements")
    category = models.ForeignKey(Category, on_delete=models.CASCADE, related_name="requirements")
    requirement_id = models.CharField(_("id"), max_length=60)
    description = models.TextField(_("description"))
    level = models.CharField(_("level"), max_length=6, choices=RequirementLevel)
    position = models.PositiveSmallIntegerField(_("position"))

    class Meta:
        verbose_name = _("requirement")
        verbose_name_plural = _("requirements")
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(
                fields=["checklist", "requirement_id"], name="registry_requirement_id_unique"
            ),
        ]

    def __str__(self) -> str:
        return self.requirement_id

    @property
    def is_must(self) -> bool:
        return self.level == RequirementLevel.MUST


class Certificate(models.Model):
    """What was certified: one platform version in one configuration against one checklist."""

    class Status(models.TextChoices):
        ACTIVE = "active", _("Active")
        SUSPENDED = "suspended", _("Suspended")
        REVOKED = "revoked", _("Revoked")
        EXPIRED = "expired", _("Expired")
        SUPERSEDED = "superseded", _("Superseded")

    number = models.CharField(_("number"), max_length=24, unique=True)
    status = models.CharField(_("status"), max_length=12, choices=Status, default=Status.ACTIVE)
    vendor = models.CharField(_("vendor"), max_length=200)
    vendor_slug = models.SlugField(_("vendor in addresses"), max_length=80)
    platform_name = models.CharField(_("platform"), max_length=200)
    platform_slug = models.SlugField(_("platform in addresses"), max_length=80)
    platform_version = models.CharField(_("platform version"), max_length=100)
    configuration = models.CharField(_("configuration"), max_length=120, default="default")
    kubernetes_version = models.CharField(
        _("Kubernetes version"), max_length=10, help_text=_("Minor version, as 1.36")
    )
    checklist_revision = models.PositiveIntegerField(_("checklist revision"), default=1)
    checklist_digest = models.CharField(_("checklist digest"), max_length=64, blank=True)
    assurance = models.CharField(_("assurance"), max_length=20, choices=Assurance)
    issued_on = models.DateField(_("issued on"))
    expires_on = models.DateField(_("expires on"), help_text=_("The first day on which it no longer holds"))
    description = models.TextField(_("description"), blank=True)
    website_url = models.URLField(_("website"), max_length=500, blank=True)
    documentation_url = models.URLField(_("documentation"), max_length=500, blank=True)
    repo_url = models.URLField(_("repository"), max_length=500, blank=True)
    logo_url = models.URLField(_("logo"), max_length=500, blank=True)
    base_conformance_url = models.URLField(_("base conformance"), max_length=500, blank=True)
    base_platform = models.CharField(_("built on"), max_length=200, blank=True)
    simulated = models.BooleanField(
        _("simulated"), default=False, help_text=_("Verified against a simulated cluster; certifies nothing.")
    )
    imported = models.BooleanField(_("imported"), default=False)
    findings = models.JSONField(
        _("findings"), default=list, blank=True, help_text=_("What the rules say of an imported record")
    )
    run_digest = models.CharField(_("digest of the verification report"), max_length=80, blank=True)
    run_finished_at = models.DateTimeField(_("verification finished"), null=True, blank=True)
    source = models.UUIDField(_("source"), default=uuid.uuid4, help_text=_("The submission it came from"))
    supersedes = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="successors"
    )
    # What the list shows and filters by, kept here so that it needs no other table. `registry.standing`
    # derives it from the requirements and the history; nothing else writes it.
    changed_on = models.DateField(
        _("changed on"), null=True, editable=False, help_text=_("Date of the newest entry of the history")
    )
    cure_by = models.DateField(
        _("to be cured by"),
        null=True,
        blank=True,
        editable=False,
        help_text=_("While suspended: the first day on which it is revoked unless it was reinstated"),
    )
    requirement_count = models.PositiveSmallIntegerField(_("requirements"), default=0, editable=False)
    verified_count = models.PositiveSmallIntegerField(_("verified"), default=0, editable=False)
    vendor_run_count = models.PositiveSmallIntegerField(_("run by the vendor"), default=0, editable=False)
    attested_count = models.PositiveSmallIntegerField(_("attested"), default=0, editable=False)
    waived_count = models.PositiveSmallIntegerField(_("waived"), default=0, editable=False)
    failed_count = models.PositiveSmallIntegerField(_("seen to fail"), default=0, editable=False)
    met = models.TextField(_("requirements met"), blank=True, editable=False)
    workloads = models.CharField(_("workloads"), max_length=80, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = CertificateQuerySet.as_manager()

    class Meta:
        verbose_name = _("certificate")
        verbose_name_plural = _("certificates")
        ordering = ["-issued_on", "-pk"]
        indexes = [
            # One for each filter and order of the list: what it shows stands side by side in the index.
            models.Index(fields=["-issued_on", "-id"], name="registry_list_issued"),
            models.Index(fields=["status", "-issued_on", "-id"], name="registry_list_status"),
            models.Index(fields=["vendor_slug", "-issued_on", "-id"], name="registry_list_vendor"),
            models.Index(fields=["kubernetes_version", "-issued_on", "-id"], name="registry_list_version"),
            models.Index(fields=["assurance", "-issued_on", "-id"], name="registry_list_assurance"),
            models.Index(fields=["configuration", "-issued_on", "-id"], name="registry_list_configuration"),
            models.Index(fields=["expires_on", "id"], name="registry_list_expires"),
            models.Index(fields=["platform_name", "id"], name="registry_list_platform"),
            models.Index(fields=["vendor", "id"], name="registry_list_vendor_name"),
            models.Index(
                fields=["expires_on", "id"],
                condition=models.Q(status__in=["active", "suspended"]),
                name="registry_live_expires",
            ),
            models.Index(
                fields=["cure_by", "id"],
                condition=models.Q(status="suspended"),
                name="registry_suspended_cure_by",
            ),
            models.Index(fields=["changed_on"], name="registry_cert_changed"),
            models.Index(Upper("vendor"), name="registry_cert_vendor_upper"),
            models.Index(fields=["platform_slug"], name="registry_cert_platform"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(expires_on__gt=models.F("issued_on")), name="registry_cert_lasts"
            ),
            models.UniqueConstraint(
                fields=[
                    "vendor_slug",
                    "platform_slug",
                    "platform_version",
                    "configuration",
                    "kubernetes_version",
                ],
                condition=models.Q(status__in=["active", "suspended"]),
                name="registry_one_live_certificate",
            ),
            models.UniqueConstraint(fields=["source"], name="registry_one_certificate_per_source"),
        ]

    def __str__(self) -> str:
        return f"{self.number} {self.platform_name} {self.platform_version}"

    def get_absolute_url(self) -> str:
        return reverse("registry:certificate", args=[self.number])

    def status_as_of(self, today: date) -> str:
        """The status on `today`.

        A certificate past its expiry date has expired, and one whose cause was not cured in time is
        revoked, whether or not the hourly task has come by.
        """
        if self.is_uncured(today):
            return self.Status.REVOKED
        if self.status in {self.Status.ACTIVE, self.Status.SUSPENDED} and today >= self.expires_on:
            return self.Status.EXPIRED
        return self.status

    @property
    def cure_ends(self) -> date | None:
        """While suspended: the first day on which it is revoked unless reinstated, if it lasts so long."""
        if self.status != self.Status.SUSPENDED or self.cure_by is None or self.cure_by >= self.expires_on:
            return None
        return self.cure_by

    def is_uncured(self, today: date) -> bool:
        """Whether it is recorded as suspended although the time to cure has ended, before it expired."""
        return self.cure_ends is not None and self.cure_ends <= today

    @property
    def current_status(self) -> str:
        return self.status_as_of(timezone.now().date())

    def is_expiring(self, today: date) -> bool:
        """Whether it is active and has `EXPIRING_DAYS` or fewer left."""
        return self.status_as_of(today) == self.Status.ACTIVE and self.expires_within(today)

    def expires_within(self, today: date) -> bool:
        """Whether its expiry date is `EXPIRING_DAYS` or fewer after `today`, whatever its status."""
        return (self.expires_on - today).days <= EXPIRING_DAYS


class CertificateRequirement(models.Model):
    """What a certificate says of one requirement: the claim, what was observed, and how we know."""

    certificate = models.ForeignKey(Certificate, on_delete=models.CASCADE, related_name="requirements")
    requirement_id = models.CharField(_("id"), max_length=60)
    category = models.CharField(_("category"), max_length=60)
    description = models.TextField(_("description"))
    level = models.CharField(_("level"), max_length=6, choices=RequirementLevel)
    position = models.PositiveSmallIntegerField(_("position"))
    claim = models.CharField(_("claim"), max_length=40, blank=True, help_text=_("The vendor's status"))
    notes = models.TextField(_("notes"), blank=True)
    evidence = models.JSONField(_("evidence"), default=list, blank=True)
    verdict = models.CharField(_("verdict"), max_length=20, blank=True, help_text=_("What the run observed"))
    verdict_reason = models.CharField(_("reason"), max_length=80, blank=True)
    verdict_message = models.TextField(_("message"), blank=True)
    assurance = models.CharField(_("assurance"), max_length=20, choices=Assurance, blank=True)
    waived = models.BooleanField(_("waived"), default=False)
    waiver_reason = models.TextField(_("reason of the waiver"), blank=True)
    waiver_expires_on = models.DateField(_("waiver expires on"), null=True, blank=True)

    objects = CertificateRequirementQuerySet.as_manager()

    class Meta:
        verbose_name = _("certified requirement")
        verbose_name_plural = _("certified requirements")
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(
                fields=["certificate", "requirement_id"], name="registry_cert_requirement_unique"
            ),
        ]

    def __str__(self) -> str:
        return self.requirement_id

    @property
    def is_met(self) -> bool:
        """Whether the certificate counts the requirement as met: claimed, and not contradicted."""
        return counts_as_met(self.claim, self.verdict)


class CertificateEvent(models.Model):
    """One change of a certificate. Rows are only ever added, so every date has one answer."""

    class Kind(models.TextChoices):
        ISSUED = "issued", _("Issued")
        RENEWED = "renewed", _("Renewed")
        SUSPENDED = "suspended", _("Suspended")
        REINSTATED = "reinstated", _("Reinstated")
        REVOKED = "revoked", _("Revoked")
        EXPIRED = "expired", _("Expired")
        SUPERSEDED = "superseded", _("Superseded")

    certificate = models.ForeignKey(Certificate, on_delete=models.PROTECT, related_name="history")
    kind = models.CharField(_("what"), max_length=12, choices=Kind)
    status = models.CharField(_("status from then on"), max_length=12, choices=Certificate.Status)
    effective_on = models.DateField(_("effective on"))
    recorded_at = models.DateTimeField(_("recorded"), default=timezone.now)
    reason = models.TextField(_("reason"), blank=True)
    cure_by = models.DateField(
        _("to be cured by"),
        null=True,
        blank=True,
        help_text=_("Of a suspension: the day that ends the time to cure. Of a revocation: it had passed."),
    )

    class Meta:
        verbose_name = _("certificate event")
        verbose_name_plural = _("certificate events")
        ordering = ["effective_on", "pk"]
        indexes = [models.Index(fields=["-effective_on", "-id"], name="registry_event_newest")]

    def __str__(self) -> str:
        return f"{self.certificate.number} {self.kind} {self.effective_on}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk:
            raise ValidationError(_("The history of a certificate is only ever added to."))
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise ValidationError(_("The history of a certificate is only ever added to."))


class NumberSequence(models.Model):
    """The last certificate number given out in a year; locked while the next one is taken."""

    year = models.PositiveSmallIntegerField(primary_key=True)
    last = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.year}: {self.last}"


class SigningKey(models.Model):
    """An Ed25519 key that signs credentials. One signs at a time; the others stay published to verify with.

    The private half is encrypted with FIELD_KEYS and destroyed when the key is replaced, so that a key that
    no longer signs can never sign again.
    """

    algorithm = models.CharField(_("algorithm"), max_length=10, default="EdDSA")
    thumbprint = models.CharField(
        _("thumbprint"), max_length=43, unique=True, help_text=_("RFC 7638, of the public key")
    )
    public_key = models.CharField(_("public key"), max_length=43, help_text=_("base64url, 32 bytes"))
    private_key = models.TextField(_("private key, encrypted"), blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    retired_at = models.DateTimeField(_("signs no more since"), null=True, blank=True)
    withdrawn_at = models.DateTimeField(
        _("no longer published since"),
        null=True,
        blank=True,
        help_text=_("What it signed no longer verifies: for a key that fell into other hands."),
    )

    class Meta:
        verbose_name = _("signing key")
        verbose_name_plural = _("signing keys")
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["algorithm"],
                condition=models.Q(retired_at__isnull=True),
                name="registry_one_signing_key",
            ),
            models.CheckConstraint(
                condition=models.Q(retired_at__isnull=True) | models.Q(private_key=""),
                name="registry_retired_key_cannot_sign",
            ),
            models.CheckConstraint(
                condition=models.Q(withdrawn_at__isnull=True) | models.Q(retired_at__isnull=False),
                name="registry_withdrawn_key_is_retired",
            ),
        ]

    def __str__(self) -> str:
        return self.thumbprint


class StatusEntry(models.Model):
    """The place of a certificate in the status lists; its row number, given once and never again."""

    certificate = models.OneToOneField(Certificate, on_delete=models.PROTECT, related_name="status_entry")

    class Meta:
        verbose_name = _("place in the status lists")
        verbose_name_plural = _("places in the status lists")

    def __str__(self) -> str:
        return f"{self.pk}: {self.certificate.number}"


class RegistryState(models.Model):
    """One row that every change of the registry touches, so that caches know what they hold is old."""

    version = models.PositiveBigIntegerField(_("version"), default=1)
    changed_at = models.DateTimeField(_("changed"), default=timezone.now)

    def __str__(self) -> str:
        return str(self.version)


class Tally(models.Model):
    """How many certificates with a recorded status have a value, so that counting them reads few rows.

    The row without a status counts them all.
    """

    facet = models.CharField(max_length=24)
    value = models.CharField(max_length=200)
    label = models.CharField(max_length=200)
    status = models.CharField(max_length=12, choices=Certificate.Status, blank=True)
    number = models.PositiveIntegerField(default=0)

    class Meta:
        indexes = [models.Index(fields=["facet", "status", "-number"], name="registry_tally_most")]
        constraints = [
            models.UniqueConstraint(fields=["facet", "value", "status"], name="registry_tally_unique")
        ]

    def __str__(self) -> str:
        return f"{self.facet} {self.value} {self.status}: {self.number}"


class FormerAddress(models.Model):
    """A vendor's or a platform's former short form; its pages lead to the present one for good."""

    class Kind(models.TextChoices):
        VENDOR = "vendor", _("vendor")
        PLATFORM = "platform", _("platform")

    kind = models.CharField(_("of a"), max_length=8, choices=Kind)
    vendor_slug = models.SlugField(_("vendor's former short form"), max_length=80)
    platform_slug = models.SlugField(_("platform's former short form"), max_length=80, blank=True)
    to_vendor_slug = models.SlugField(_("vendor's short form now"), max_length=80)
    to_platform_slug = models.SlugField(_("platform's short form now"), max_length=80, blank=True)

    class Meta:
        verbose_name = _("former address")
        verbose_name_plural = _("former addresses")
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "vendor_slug", "platform_slug"], name="registry_former_address_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.vendor_slug}/{self.platform_slug} -> {self.to_vendor_slug}/{self.to_platform_slug}"

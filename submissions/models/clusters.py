"""Test clusters that vendors provide, and the log of every use of their kubeconfigs."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from submissions.models.organizations import Organization
from submissions.querysets import TestClusterQuerySet


class TestCluster(models.Model):
    """A cluster a vendor lets us test. The kubeconfig is encrypted and never shown again."""

    __test__ = False  # the name is the programme's; pytest need not collect it

    uuid = models.UUIDField(_("id"), default=uuid.uuid4, unique=True, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="clusters")
    name = models.CharField(_("name"), max_length=120)
    server = models.CharField(_("server"), max_length=300, help_text=_("Address of the API server"))
    context = models.CharField(_("context"), max_length=200, blank=True)
    credential_kind = models.CharField(_("credential"), max_length=40, blank=True)
    kubeconfig_encrypted = models.BinaryField(null=True, editable=False)
    probe_settings = models.TextField(
        _("probe settings"), blank=True, help_text=_("YAML; what only the vendor knows")
    )
    # The one secret the settings may hold; in their text a word stands for it.
    store_secret_encrypted = models.BinaryField(null=True, editable=False)
    simulated = models.BooleanField(_("simulated"), default=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(_("registered"), default=timezone.now)
    forgotten_at = models.DateTimeField(_("kubeconfig deleted"), null=True, blank=True)

    objects = TestClusterQuerySet.as_manager()

    class Meta:
        verbose_name = _("test cluster")
        verbose_name_plural = _("test clusters")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "name"], name="submissions_cluster_name_unique"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_usable(self) -> bool:
        return self.kubeconfig_encrypted is not None


class ClusterUse(models.Model):
    """One decryption of a kubeconfig: when, for what, by whom."""

    cluster = models.ForeignKey(TestCluster, on_delete=models.CASCADE, related_name="uses")
    at = models.DateTimeField(_("at"), default=timezone.now)
    purpose = models.CharField(_("purpose"), max_length=200)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )

    class Meta:
        verbose_name = _("use of a kubeconfig")
        verbose_name_plural = _("uses of kubeconfigs")
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.cluster}: {self.purpose}"

"""Products of vendors."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from submissions.models.organizations import Organization
from submissions.querysets import PlatformQuerySet


class Platform(models.Model):
    """A named product: a distribution, a hosted service, an installer. Versions are certified one by one."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="platforms")
    name = models.CharField(_("name"), max_length=200)
    slug = models.SlugField(_("name in addresses"), max_length=80)
    description = models.TextField(_("description"), blank=True)
    base_platform = models.CharField(
        _("built on"),
        max_length=200,
        blank=True,
        help_text=_("For a layered platform: the distribution underneath, with its version."),
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now)

    objects = PlatformQuerySet.as_manager()

    class Meta:
        verbose_name = _("platform")
        verbose_name_plural = _("platforms")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "slug"], name="submissions_platform_slug_unique"),
        ]

    def __str__(self) -> str:
        return self.name


class Configuration(models.Model):
    """A way of running a platform that is certified on its own: in a cloud, air-gapped."""

    platform = models.ForeignKey(Platform, on_delete=models.PROTECT, related_name="configurations")
    name = models.CharField(_("name"), max_length=120, default="default")
    description = models.TextField(_("description"), blank=True)

    class Meta:
        verbose_name = _("configuration")
        verbose_name_plural = _("configurations")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["platform", "name"], name="submissions_configuration_unique"),
        ]

    def __str__(self) -> str:
        return self.name

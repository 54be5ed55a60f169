"""The registers of checklists and certificates. Nothing is changed here: services do, with a reason."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from certportal.records import OperatorAdmin, ReadOnlyInline, RecordAdmin
from registry.models import (
    Certificate,
    CertificateEvent,
    CertificateRequirement,
    Checklist,
    Requirement,
    SigningKey,
)


class RequirementInline(ReadOnlyInline):
    model = Requirement
    fields = ("requirement_id", "category", "level", "description")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("category")


@admin.register(Checklist)
class ChecklistAdmin(RecordAdmin):
    """Checklists, frozen once published. `import_checklists` brings new ones."""

    list_display = ("version", "revision", "source", "requirement_count", "published_at")
    list_filter = ("version", "source")
    ordering = ("-version", "-revision")
    fields = ("version", "revision", "source", "published_at", "digest")
    inlines = (RequirementInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        found: QuerySet[Any] = (
            super().get_queryset(request).annotate(requirements_number=Count("requirements"))
        )
        return found

    @admin.display(description=_("requirements"), ordering="requirements_number")
    def requirement_count(self, checklist: Any) -> int:
        return int(checklist.requirements_number)


class CertificateRequirementInline(ReadOnlyInline):
    model = CertificateRequirement
    fields = ("requirement_id", "level", "claim", "verdict", "assurance", "waived", "waiver_expires_on")


class CertificateEventInline(ReadOnlyInline):
    model = CertificateEvent
    fields = ("effective_on", "kind", "status", "reason", "cure_by", "recorded_at")


@admin.register(Certificate)
class CertificateAdmin(RecordAdmin):
    """Certificates. Lead reviewers suspend, reinstate and revoke them from here, each with a reason."""

    list_display = (
        "number",
        "platform_name",
        "platform_version",
        "vendor",
        "kubernetes_version",
        "status",
        "assurance",
        "issued_on",
        "expires_on",
        "marked_simulated",
    )
    list_filter = ("status", "kubernetes_version", "assurance", "imported", "simulated")
    search_fields = ("number", "platform_name", "vendor")
    date_hierarchy = "issued_on"
    inlines = (CertificateRequirementInline, CertificateEventInline)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    *("number", "status", "cure_by", "assurance", "issued_on", "expires_on", "supersedes"),
                )
            },
        ),
        (
            _("Product"),
            {
                "fields": (
                    "vendor",
                    "platform_name",
                    "platform_version",
                    "configuration",
                    "base_platform",
                    "description",
                )
            },
        ),
        (
            _("Checklist and verification"),
            {
                "fields": (
                    "kubernetes_version",
                    "checklist_revision",
                    "checklist_digest",
                    "run_digest",
                    "run_finished_at",
                    "marked_simulated",
                    "imported",
                )
            },
        ),
    )
    change_form_template = "admin/registry/certificate/change_form.html"


@admin.register(SigningKey)
class SigningKeyAdmin(OperatorAdmin):
    """The keys that sign credentials. `rotate_signing_key` replaces and withdraws them."""

    list_display = ("thumbprint", "algorithm", "created_at", "retired_at", "withdrawn_at")
    fields = ("thumbprint", "algorithm", "public_key", "created_at", "retired_at", "withdrawn_at")

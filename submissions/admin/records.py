"""The registers of submissions, runs and events. Nothing is changed here."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from certportal.records import ReadOnlyInline, RecordAdmin
from submissions.models import Claim, Event, EvidenceFile, Submission, VerificationRun
from submissions.models.runs import CheckResult
from submissions.models.scenarios import ScenarioResult


class ClaimInline(ReadOnlyInline):
    model = Claim
    fields = ("requirement", "status", "notes")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("requirement")


class EvidenceFileInline(ReadOnlyInline):
    model = EvidenceFile
    fields = ("name", "size", "sha256", "uploaded_at", "look")
    readonly_fields = ("look",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("submission")

    @admin.display(description=_("content"))
    def look(self, file: EvidenceFile) -> SafeString:
        return format_html(
            '<a href="{}">{}</a>',
            reverse("admin:review_file", args=[file.submission.uuid, file.pk]),
            _("Open"),
        )


class EventInline(ReadOnlyInline):
    model = Event
    fields = ("at", "actor", "action", "from_status", "to_status", "reason")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("actor")


@admin.register(Submission)
class SubmissionAdmin(RecordAdmin):
    """Everything that was ever submitted. Drafts are the vendors' own."""

    list_display = (
        "__str__",
        "vendor",
        "checklist",
        "status",
        "submitted_at",
        "due_on",
        "certificate_number",
        "marked_simulated",
    )
    list_filter = ("status", "checklist__version", "simulated")
    list_select_related = ("configuration__platform__organization", "checklist")
    search_fields = (
        "configuration__platform__name",
        "configuration__platform__organization__name",
        "certificate_number",
    )
    date_hierarchy = "submitted_at"
    inlines = (ClaimInline, EvidenceFileInline, EventInline)
    fieldsets = (
        (None, {"fields": ("vendor", "configuration", "checklist", "status", "round", "marked_simulated")}),
        (_("Dates"), {"fields": ("submitted_at", "due_on", "decided_at", "release_on")}),
        (_("Outcome"), {"fields": ("certificate_number",)}),
        (_("Product"), {"fields": ("metadata",)}),
    )
    change_form_template = "admin/submissions/submission/change_form.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return Submission.objects.reviewable().with_names()

    @admin.display(description=_("vendor"), ordering="configuration__platform__organization__name")
    def vendor(self, submission: Submission) -> str:
        return str(submission.organization)


class CheckResultInline(ReadOnlyInline):
    model = CheckResult
    fields = ("requirement_id", "level", "status", "reason", "message", "duration_seconds")


class ScenarioResultInline(ReadOnlyInline):
    model = ScenarioResult
    fields = ("scenario_id", "status", "reason", "message", "duration_seconds")


@admin.register(VerificationRun)
class VerificationRunAdmin(RecordAdmin):
    """Every run of the checks."""

    list_display = (
        "submission",
        "kind",
        "cluster",
        "status",
        "outcome",
        "marked_simulated",
        "created_at",
        "finished_at",
    )
    list_filter = ("kind", "status", "outcome", "simulated")
    list_select_related = (
        "submission__configuration__platform",
        "submission__checklist",
        "cluster",
        "signed_by",
        "requested_by",
    )
    search_fields = ("submission__configuration__platform__name", "cluster__name", "report_digest")
    date_hierarchy = "created_at"
    inlines = (CheckResultInline, ScenarioResultInline)
    fields = (
        "submission",
        "kind",
        "cluster",
        "signed_by",
        "status",
        "outcome",
        "marked_simulated",
        "only",
        "requested_by",
        "created_at",
        "started_at",
        "finished_at",
        "attempts",
        "error",
        "report_digest",
    )
    change_form_template = "admin/submissions/verificationrun/change_form.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        found = super().get_queryset(request).filter(submission__submitted_at__isnull=False)
        return found.defer("report", "cluster__kubeconfig_encrypted")


@admin.register(Event)
class EventAdmin(RecordAdmin):
    """The event log: append-only, each row sealed with the hash of the one before it."""

    list_display = ("at", "action", "submission", "actor", "from_status", "to_status", "short_hash")
    list_filter = ("action",)
    list_select_related = ("submission__configuration__platform", "submission__checklist", "actor")
    search_fields = ("action", "reason", "hash", "submission__configuration__platform__name")
    date_hierarchy = "at"
    ordering = ("-pk",)
    fields = (
        "at",
        "action",
        "submission",
        "actor",
        "from_status",
        "to_status",
        "reason",
        "data",
        "previous_hash",
        "hash",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # What happens to a draft is the vendor's own until it is submitted; then its past belongs to it.
        found = super().get_queryset(request)
        return found.exclude(submission__isnull=False, submission__submitted_at__isnull=True)

    @admin.display(description=_("hash"))
    def short_hash(self, event: Event) -> str:
        return event.hash[:12]

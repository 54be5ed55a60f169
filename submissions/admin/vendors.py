"""Vendors, their people, their test clusters and tokens."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from certportal.records import OperatorAdmin, ReadOnlyInline, RecordAdmin, is_operator
from submissions.admin.gate import person
from submissions.errors import ApplicantError
from submissions.models import (
    ApiToken,
    ClusterUse,
    ConflictOfInterest,
    Membership,
    MembershipRole,
    Organization,
    Platform,
    TestCluster,
)
from submissions.services import organizations
from submissions.services.events import record_event


class MembershipInline(ReadOnlyInline):
    model = Membership
    fields = ("user", "role", "since")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("user")


class PlatformInline(ReadOnlyInline):
    model = Platform
    fields = ("name", "base_platform", "created_at")


class ConflictInline(ReadOnlyInline):
    model = ConflictOfInterest
    fields = ("reviewer", "note", "declared_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("reviewer")


@admin.register(Organization)
class OrganizationAdmin(RecordAdmin):
    """Vendors."""

    list_display = ("name", "member_count", "platform_count", "created_at")
    search_fields = ("name", "slug")
    fields = ("name", "slug", "website_url", "created_at")
    inlines = (PlatformInline, MembershipInline, ConflictInline)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        found: QuerySet[Any] = (
            super()
            .get_queryset(request)
            .annotate(
                members_number=Count("memberships", distinct=True),
                platforms_number=Count("platforms", distinct=True),
            )
        )
        return found

    @admin.display(description=_("members"), ordering="members_number")
    def member_count(self, organization: Any) -> int:
        return int(organization.members_number)

    @admin.display(description=_("platforms"), ordering="platforms_number")
    def platform_count(self, organization: Any) -> int:
        return int(organization.platforms_number)


class MembershipForm(forms.ModelForm):  # type: ignore[type-arg] # no generic at run time
    """Refuses to leave an organization without an owner, before anything is written."""

    def clean_role(self) -> str:
        role: str = self.cleaned_data["role"]
        membership = self.instance
        if membership.pk and role != MembershipRole.OWNER:
            others = membership.organization.memberships.filter(role=MembershipRole.OWNER).exclude(
                pk=membership.pk
            )
            if not others.exists():
                raise ValidationError(_("An organization needs an owner: make someone else owner first."))
        return role


@admin.register(Membership)
class MembershipAdmin(OperatorAdmin):
    """Who belongs to which vendor. Operators hand an organization over when nobody is left to do it."""

    form = MembershipForm
    list_display = ("user", "organization", "role", "since")
    list_filter = ("role",)
    list_select_related = ("user", "organization")
    search_fields = ("user__email", "user__name", "organization__name")
    autocomplete_fields = ("user", "organization")
    fields = ("user", "organization", "role")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_operator(request.user)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_operator(request.user)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("user", "organization") if obj else ()

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's
        actor = person(request)
        if change:
            organizations.change_role(membership=obj, actor=actor, role=obj.role)
            return
        super().save_model(request, obj, form, change)
        record_event(
            action="member_added",
            actor=actor,
            data={"organization": obj.organization.slug, "user": obj.user_id, "role": obj.role},
        )


class ClusterUseInline(ReadOnlyInline):
    model = ClusterUse
    verbose_name_plural = _("Uses of the kubeconfig")
    fields = ("at", "purpose", "actor")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("actor")


@admin.register(TestCluster)
class TestClusterAdmin(RecordAdmin):
    """Test clusters. The kubeconfig is never shown; every use of it is."""

    list_display = (
        "name",
        "organization",
        "server",
        "credential_kind",
        "usable",
        "marked_simulated",
        "created_at",
    )
    list_filter = ("simulated",)
    list_select_related = ("organization",)
    search_fields = ("name", "organization__name", "server")
    fields = (
        "name",
        "organization",
        "server",
        "context",
        "credential_kind",
        "marked_simulated",
        "created_by",
        "created_at",
        "forgotten_at",
    )
    inlines = (ClusterUseInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("kubeconfig_encrypted", "probe_settings")

    @admin.display(description=_("kubeconfig"), boolean=True, ordering="forgotten_at")
    def usable(self, cluster: TestCluster) -> bool:
        return cluster.forgotten_at is None


@admin.register(ApiToken)
class ApiTokenAdmin(OperatorAdmin):
    """API tokens: what they are for, never what they are. Operators revoke them."""

    list_display = (
        "name",
        "hint",
        "organization",
        "user",
        "scope",
        "expires_at",
        "last_used_at",
        "revoked_at",
    )
    list_filter = ("scope", ("revoked_at", admin.EmptyFieldListFilter))
    list_select_related = ("organization", "user")
    search_fields = ("name", "hint", "organization__name", "user__email")
    fields = (
        "name",
        "hint",
        "organization",
        "user",
        "scope",
        "created_at",
        "expires_at",
        "last_used_at",
        "revoked_at",
    )
    actions = ("revoke",)

    @admin.action(description=_("Revoke the selected tokens"))
    def revoke(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        actor = person(request)
        if not is_operator(actor):
            raise PermissionDenied
        number = 0
        for token in queryset.filter(revoked_at=None).select_related("organization"):
            try:
                organizations.revoke_token(token=token, actor=actor)
            except ApplicantError as error:
                self.message_user(request, str(error), messages.ERROR)
            else:
                number += 1
        self.message_user(request, _("Tokens revoked: %(number)d.") % {"number": number}, messages.SUCCESS)

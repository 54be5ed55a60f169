"""Interests of reviewers in vendors."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from certportal.accounts.models import ReviewRole, User
from certportal.records import RecordAdmin, is_operator
from submissions.admin.gate import person
from submissions.models import ConflictOfInterest
from submissions.services import conflicts


class ConflictForm(forms.ModelForm):  # type: ignore[type-arg] # no generic at run time
    """A declared interest. `reviewer` is who declares, where the form does not ask."""

    reviewer: User

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        reviewer, organization = data.get("reviewer", self.reviewer), data.get("organization")
        if ConflictOfInterest.objects.filter(reviewer=reviewer, organization=organization).exists():
            raise forms.ValidationError(_("This interest is on record already."))
        return data


@admin.register(ConflictOfInterest)
class ConflictOfInterestAdmin(RecordAdmin):
    """Reviewers declare their interests; lead reviewers manage everybody's."""

    list_display = ("reviewer", "organization", "note", "declared_at")
    list_select_related = ("reviewer", "organization")
    search_fields = ("reviewer__email", "reviewer__name", "organization__name")
    autocomplete_fields = ("organization",)
    form = ConflictForm
    change_form_template = "admin/submissions/conflictofinterest/change_form.html"

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return isinstance(request.user, User) and request.user.is_reviewer

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """One's own; lead reviewers and operators see all."""
        found = super().get_queryset(request)
        user = person(request)
        return found if user.is_lead_reviewer or is_operator(user) else found.filter(reviewer=user)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is not None:
            return ("reviewer", "organization", "note", "declared_at")
        fields = ("organization", "note")
        return ("reviewer", *fields) if person(request).is_lead_reviewer else fields

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002 - Django's
        form = super().get_form(request, obj, change, **kwargs)
        return type("DeclaredConflictForm", (form,), {"reviewer": person(request)})

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's
        actor = person(request)
        saved = conflicts.declare_conflict(
            reviewer=form.cleaned_data.get("reviewer", actor),
            organization=obj.organization,
            note=obj.note,
            actor=actor,
        )
        # Django logs and redirects with the object it was given.
        obj.pk, obj.reviewer = saved.pk, saved.reviewer

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "reviewer":
            kwargs["queryset"] = User.objects.filter(is_active=True).exclude(review_role=ReviewRole.NONE)
            kwargs["initial"] = person(request).pk
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

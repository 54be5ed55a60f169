"""People and their second factors, for operators."""

from __future__ import annotations

from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django import forms
from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from certportal.accounts.models import User
from certportal.admin import SECOND_FACTORS
from certportal.records import OperatorAdmin, is_operator

RIGHTS = ("review_role", "is_active", "is_staff", "is_superuser")


class UserForm(forms.ModelForm):  # type: ignore[type-arg] # no generic at run time
    """Keeps addresses in lower case, as sign-up does."""

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"].strip().lower()
        if User.objects.filter(email__iexact=email).exclude(pk=self.instance.pk).exists():
            raise forms.ValidationError(_("There is an account with this address already."))
        return email


@admin.register(User)
class UserAdmin(OperatorAdmin):
    """People. Who may review is decided here; passwords and second factors are everybody's own."""

    form = UserForm
    list_display = (
        "email",
        "name",
        "review_role",
        "second_factor",
        "is_staff",
        "is_active",
        "last_login",
        "date_joined",
    )
    list_filter = ("review_role", "is_active", "is_staff")
    search_fields = ("email", "name")
    ordering = ("email",)
    readonly_fields = ("second_factor", "last_login", "date_joined")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_operator(request.user)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_operator(request.user)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_operator(request.user)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        factors = Authenticator.objects.filter(user=OuterRef("pk"), type__in=SECOND_FACTORS)
        found: QuerySet[Any] = super().get_queryset(request).annotate(with_second_factor=Exists(factors))
        return found

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        person = (None, {"fields": ("email", "name")})
        roles = (_("Roles"), {"fields": RIGHTS})
        account = (_("Account"), {"fields": ("second_factor", "last_login", "date_joined")})
        return (person, roles, account) if obj else (person, roles)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Only superusers make operators; nobody takes or gives themselves rights."""
        user = request.user
        fixed = list(self.readonly_fields)
        if obj is not None:
            # The log-in belongs to the person, who confirms a new address; here it would not be confirmed.
            fixed.append("email")
        if not (isinstance(user, User) and user.is_superuser):
            fixed += ["is_staff", "is_superuser"]
            if obj is not None and obj.is_superuser:
                fixed.append("is_active")
        if obj is not None and obj == user:
            fixed += RIGHTS
        return tuple(dict.fromkeys(fixed))

    @admin.display(description=_("second factor"), boolean=True)
    def second_factor(self, user: Any) -> bool:
        return bool(getattr(user, "with_second_factor", False))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's
        """Save; what changes somebody's rights goes into the event log."""
        from submissions.services.events import record_event

        if not change:
            # Without a password nobody logs in; the person sets one by "Forgot your password?".
            obj.set_unusable_password()
        super().save_model(request, obj, form, change)
        changed = {name: getattr(obj, name) for name in form.changed_data if name in RIGHTS}
        if changed:
            actor = request.user if isinstance(request.user, User) else None
            record_event(action="rights_changed", actor=actor, data={"user": obj.pk, **changed})


@admin.register(Authenticator)
class AuthenticatorAdmin(OperatorAdmin):
    """Second factors: that they exist, never their secrets. Superusers remove those of a lost device."""

    list_display = ("user", "type", "created_at", "last_used_at")
    list_filter = ("type",)
    list_select_related = ("user",)
    search_fields = ("user__email", "user__name")
    fields = ("user", "type", "created_at", "last_used_at")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        user = request.user
        return isinstance(user, User) and user.is_active and user.is_superuser

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        from submissions.services.events import record_event

        actor = request.user if isinstance(request.user, User) else None
        record_event(
            action="second_factor_removed", actor=actor, data={"user": obj.user_id, "type": obj.type}
        )
        super().delete_model(request, obj)


@admin.register(EmailAddress)
class EmailAddressAdmin(OperatorAdmin):
    """Addresses and whether they were confirmed. Nobody confirms one for somebody else."""

    list_display = ("email", "user", "primary", "verified")
    list_filter = ("verified", "primary")
    list_select_related = ("user",)
    search_fields = ("email", "user__name")

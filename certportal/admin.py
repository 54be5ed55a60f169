"""The admin site, where the accreditation group works and operators look after people and records."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib import messages
from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.auth.views import redirect_to_login
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, resolve_url
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, include, path
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from certportal.accounts.models import User
from certportal.records import is_reader

SECOND_FACTORS = [Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN]
# Other apps bring pages for these that show secrets or lead nowhere here. Ours replace them, or none does.
REPLACED = {"auth.group", "mfa.authenticator", "account.emailaddress"}


def has_second_factor(user: User) -> bool:
    """Whether an authenticator app or a passkey is set up; recovery codes alone are none."""
    return bool(is_mfa_enabled(user, SECOND_FACTORS))


class PortalAdminSite(AdminSite):
    """Open to reviewers and operators. Log-in is allauth's, so that a second factor is asked for."""

    site_header = settings.SITE_NAME
    site_title = settings.SITE_NAME
    index_title = _("Records")
    site_url = "/"
    enable_nav_sidebar = False

    def has_permission(self, request: HttpRequest) -> bool:
        user = request.user
        if not isinstance(user, User) or not is_reader(user):
            return False
        if not settings.REVIEWERS_NEED_MFA:
            return True
        # Asked several times while a page is made; the database is asked once.
        if not hasattr(request, "has_second_factor"):
            request.has_second_factor = has_second_factor(user)  # type: ignore[attr-defined]
        return bool(request.has_second_factor)  # type: ignore[attr-defined]

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        return {**super().each_context(request), "second_factor_needed": settings.REVIEWERS_NEED_MFA}

    def register(
        self,
        model_or_iterable: type[Model] | Iterable[type[Model]],
        admin_class: type[ModelAdmin[Any]] | None = None,
        **options: Any,
    ) -> None:
        """Register, except what `REPLACED` names and somebody else brings."""
        models = [model_or_iterable] if isinstance(model_or_iterable, type) else list(model_or_iterable)
        ours = admin_class is not None and admin_class.__module__.startswith("certportal.")
        names = {model: model._meta.label_lower for model in models}  # noqa: SLF001 - documented by Django
        wanted = [model for model in models if ours or names[model] not in REPLACED]
        super().register(wanted, admin_class, **options)

    def get_urls(self) -> list[URLPattern | URLResolver]:
        # The review pages stand before Django's own, whose last pattern catches everything.
        return [path("review/", include("submissions.admin.urls")), *super().get_urls()]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Show the registers, after how the queue stands."""
        from submissions.review_queue import counts

        summary = counts(timezone.now().date())
        return super().index(request, {"queue": summary, "section": "records", **(extra_context or {})})

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Send strangers to log-in, reviewers without a second factor to its set-up, others away."""
        user = request.user
        if not isinstance(user, User):
            return redirect_to_login(request.GET.get("next", request.path), settings.LOGIN_URL)
        if self.has_permission(request):
            return redirect("admin:index")
        if is_reader(user):
            messages.warning(
                request,
                _("Reviewing needs a second factor: add an authenticator app or a passkey, then come back."),
            )
            return redirect(resolve_url("mfa_index"))
        messages.error(request, _("The review pages are for the accreditation group."))
        return redirect(resolve_url("home"))

    def logout(  # type: ignore[override] # a redirect is as good
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Sign out where everybody does."""
        return redirect("account_logout")

    def password_change(  # type: ignore[override] # a redirect is as good
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Change the password where everybody does."""
        return redirect("account_change_password")

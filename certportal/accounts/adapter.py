"""Where allauth meets this portal."""

from __future__ import annotations

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest
from django.urls import reverse


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc] # allauth brings no types
    """Sends each person to the page where their work is."""

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        user = request.user
        if user.is_authenticated and user.is_reviewer:
            return reverse("admin:review_queue")
        if user.is_authenticated and user.is_staff:
            return reverse("admin:index")
        return reverse("submissions:workspace")

    def get_signup_redirect_url(self, request: HttpRequest) -> str:
        return reverse("submissions:workspace")

"""Accepting a seat in an organization."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from submissions.errors import ApplicantError
from submissions.services import organizations as service
from submissions.views.access import explain, page, person, signed_in


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def invitation(request: HttpRequest, secret: str) -> HttpResponse:
    """Show who invites to what; a POST accepts."""
    user = person(request)
    if request.method == "POST":
        try:
            organization = service.accept_invitation(secret=secret, user=user)
        except ApplicantError as error:
            explain(request, error)
            return redirect("submissions:invitation", secret)
        messages.success(request, f"You work for {organization} now.")
        return redirect("submissions:organization", organization.slug)
    found = service.open_invitation(secret)
    is_for_me = found is not None and found.email == user.email
    context = {"invitation": found, "is_for_me": is_for_me}
    return page(request, "submissions/invitation.html", context, status=200 if found else 404)

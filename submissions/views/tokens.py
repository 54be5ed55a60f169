"""Tokens with which programs act for an organization."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from submissions.errors import ApplicantError
from submissions.forms import TokenForm
from submissions.services import organizations as service
from submissions.views.access import page, person, posted, seat_at, signed_in


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
@sensitive_variables("secret")
def tokens(request: HttpRequest, slug: str) -> HttpResponse:
    """One's own tokens (an owner sees everybody's). A new one's secret is in this one answer alone."""
    seat = seat_at(request, slug)
    form = TokenForm(posted(request))
    fresh, secret = None, ""
    if form.is_valid():
        try:
            fresh, secret = service.create_token(
                organization=seat.organization,
                actor=person(request),
                name=form.cleaned_data["name"],
                scope=form.cleaned_data["scope"],
                lasts=form.lasts,
            )
        except ApplicantError as error:
            form.add_error("scope", str(error))
        else:
            form = TokenForm()
    rows = seat.organization.tokens.select_related("user")
    if not seat.may_manage:
        rows = rows.filter(user=person(request))
    context = {
        "seat": seat,
        "tab": "tokens",
        "form": form,
        "rows": rows,
        "fresh": fresh,
        "secret": secret,
    }
    return page(request, "submissions/tokens.html", context, status=422 if form.errors else 200)


@require_POST
@signed_in
def revoke(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """End a token: one's own, or as an owner anybody's."""
    seat = seat_at(request, slug)
    token = get_object_or_404(seat.organization.tokens.select_related("organization"), pk=pk)
    if not seat.may_manage and token.user_id != request.user.pk:
        raise Http404
    service.revoke_token(token=token, actor=person(request))
    messages.success(request, f"{token.name} no longer works.")
    return redirect("submissions:tokens", slug)

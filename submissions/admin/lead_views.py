"""Changes that only lead reviewers make, each with a reason that stands on record."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from registry.models import Certificate
from submissions.admin.forms import ReasonForm, take_error
from submissions.admin.gate import group_page, page, person
from submissions.errors import ApplicantError
from submissions.models import ConflictOfInterest
from submissions.services.certificates import WORDS, Change, change_certificate, possible_changes
from submissions.services.conflicts import lift_conflict as lift

MEANING = {
    Change.SUSPEND: (
        "The public record shows it at once. The vendor is told in writing and has 30 days to cure the cause."
    ),
    Change.REINSTATE: "The certificate is active again, with the expiry date it had.",
    Change.REVOKE: "The certificate ends for good, and with it the right to use the mark.",
}


@group_page
@require_http_methods(["GET", "HEAD", "POST"])
def change(request: HttpRequest, number: str, action: str) -> HttpResponse:
    """Ask for the reason, then change the certificate."""
    if action not in Change.values:
        raise Http404
    user = person(request)
    if not user.is_lead_reviewer:
        raise PermissionDenied
    certificate = get_object_or_404(Certificate, number=number)
    wanted = Change(action)
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            change_certificate(
                certificate=certificate, change=wanted, actor=user, reason=form.cleaned_data["reason"]
            )
        except ApplicantError as error:
            take_error(form, error)
        else:
            messages.success(request, f"{number} was {WORDS[wanted]}.")
            return redirect("admin:registry_certificate_change", certificate.pk)
    context = {
        "title": f"{wanted.label} {number}",
        "section": "certificates",
        "subject": certificate,
        "subject_url": reverse("admin:registry_certificate_change", args=[certificate.pk]),
        "label": wanted.label,
        "is_dangerous": wanted != Change.REINSTATE,
        "meaning": MEANING[wanted],
        "impossible": ""
        if wanted in possible_changes(certificate)
        else f"{number} is {certificate.current_status}; it cannot be {WORDS[wanted]}.",
        "form": form,
    }
    return page(request, "admin/review/reason.html", context, status=422 if form.errors else 200)


@group_page
@require_http_methods(["GET", "HEAD", "POST"])
def lift_conflict(request: HttpRequest, pk: int) -> HttpResponse:
    """Strike a reviewer's interest off the record."""
    user = person(request)
    if not user.is_lead_reviewer:
        raise PermissionDenied
    conflict = get_object_or_404(ConflictOfInterest.objects.select_related("reviewer", "organization"), pk=pk)
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            lift(conflict=conflict, actor=user, reason=form.cleaned_data["reason"])
        except ApplicantError as error:
            take_error(form, error)
        else:
            messages.success(request, f"The interest of {conflict} is off the record.")
            return redirect("admin:submissions_conflictofinterest_changelist")
    context = {
        "title": "Lift a conflict of interest",
        "section": "records",
        "subject": conflict,
        "subject_url": reverse("admin:submissions_conflictofinterest_change", args=[pk]),
        "label": "Lift",
        "is_dangerous": True,
        "meaning": f"{conflict.reviewer} may then decide on submissions of {conflict.organization} again.",
        "impossible": "Another lead reviewer lifts yours." if conflict.reviewer == user else "",
        "form": form,
    }
    return page(request, "admin/review/reason.html", context, status=422 if form.errors else 200)

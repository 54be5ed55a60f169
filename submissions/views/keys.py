"""Public keys with which an organization signs the reports of its own runs."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_http_methods, require_POST

from submissions.errors import ApplicantError
from submissions.forms import ReportKeyForm
from submissions.services import report_keys as service
from submissions.views.access import page, person, posted, require_editor, seat_at, signed_in


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def keys(request: HttpRequest, slug: str) -> HttpResponse:
    """The organization's report keys, and the form that registers another."""
    seat = seat_at(request, slug)
    form = ReportKeyForm(posted(request))
    if request.method == "POST":
        require_editor(seat)
        if form.is_valid():
            try:
                key = service.add_key(
                    organization=seat.organization, actor=person(request), **form.cleaned_data
                )
            except ApplicantError as error:
                form.add_error("public_key", str(error))
            else:
                messages.success(
                    request, f"{key} is registered. Reports signed with it are taken from now on."
                )
                return redirect("submissions:report-keys", slug)
    rows = seat.organization.report_keys.select_related("added_by").annotate(run_count=Count("runs"))
    context = {"seat": seat, "tab": "keys", "form": form, "rows": rows}
    return page(request, "submissions/report_keys.html", context, status=422 if form.errors else 200)


@require_POST
@signed_in
def revoke(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Believe a key no longer."""
    seat = seat_at(request, slug)
    require_editor(seat)
    key = get_object_or_404(seat.organization.report_keys.select_related("organization"), pk=pk)
    service.revoke_key(key=key, actor=person(request))
    messages.success(request, f"{key} is revoked: runs signed with it count no longer.")
    return redirect("submissions:report-keys", slug)

"""Who may open a review page, and what every such page is given."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse

from certportal.accounts.models import User
from submissions.models import CheckEvidence, ScenarioEvidence, Submission, VerificationRun

View = Callable[..., Any]


def group_page(view: View) -> View:
    """A page for reviewers and operators: strangers log in, others are sent away, nothing is cached.

    A fragment's request that lost its log-in makes the whole page load again, not a corner of it.
    """
    guarded = admin.site.admin_view(view)

    @wraps(view)
    def entered(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.htmx and not admin.site.has_permission(request):  # type: ignore[attr-defined]
            return HttpResponse(status=204, headers={"HX-Refresh": "true"})
        response: HttpResponse = guarded(request, *args, **kwargs)
        return response

    return entered


def person(request: HttpRequest) -> User:
    """The person who is signed in; for views under `group_page`."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


def submission_at(uuid: UUID) -> Submission:
    """A submission that was handed in at least once; drafts are the vendor's own and answer 404."""
    found: Submission = get_object_or_404(Submission.objects.reviewable().with_names(), uuid=uuid)
    return found


def run_at(uuid: UUID) -> VerificationRun:
    """A run of a submission that was handed in at least once."""
    runs = VerificationRun.objects.verifications().filter(submission__submitted_at__isnull=False)
    runs = runs.select_related(
        "submission__configuration__platform__organization",
        "submission__checklist",
        "cluster",
        "signed_by",
        "requested_by",
    )
    # What checks captured may be large; pages only name it.
    evidence = Prefetch("results__evidence", queryset=CheckEvidence.objects.defer("content"))
    played = Prefetch("scenarios__evidence", queryset=ScenarioEvidence.objects.defer("content"))
    runs = runs.defer("cluster__kubeconfig_encrypted").prefetch_related("results", evidence, played)
    found: VerificationRun = get_object_or_404(runs, uuid=uuid)
    return found


def page(
    request: HttpRequest, template: str, context: dict[str, Any], *, status: int = 200
) -> TemplateResponse:
    """Render a page inside the admin site."""
    given = {**admin.site.each_context(request), "section": "queue", **context}
    return TemplateResponse(request, template, given, status=status)


def posted(view: View) -> View:
    """An action of the review page at `uuid`: whoever opens its address gets the page itself."""

    @wraps(view)
    def acted(request: HttpRequest, uuid: UUID, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method != "POST":
            return redirect("admin:review", uuid)
        response: HttpResponse = view(request, uuid, *args, **kwargs)
        return response

    return acted

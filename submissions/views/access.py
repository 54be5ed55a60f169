"""Who may open a page, and what every page of the workspace is given.

A person sees the objects of their own organizations; everybody else's answer 404, as if they did not
exist. What a person may see but not change answers 403 when they try.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, render, resolve_url
from django.utils.cache import add_never_cache_headers

from certportal.accounts.models import User
from submissions import rules
from submissions.errors import ApplicantError
from submissions.models import MembershipRole, Organization, Submission, TestCluster, VerificationRun
from submissions.rules import EDITORS

ROWS_A_PAGE = 25
View = TypeVar("View", bound=Callable[..., HttpResponse])


@dataclass(frozen=True, slots=True)
class Seat:
    """A person in an organization, and what they may do there."""

    organization: Organization
    role: str

    @property
    def may_edit(self) -> bool:
        return self.role in EDITORS

    @property
    def may_manage(self) -> bool:
        return self.role == MembershipRole.OWNER


def signed_in(view: View) -> View:
    """Send strangers to log in; where a fragment was asked for, the whole page and not a corner of it."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return _to_log_in(request)
        response = view(request, *args, **kwargs)
        # Private pages stay out of shared caches, and out of the browser's after signing out.
        add_never_cache_headers(response)
        return response

    return guarded  # type: ignore[return-value]


def _to_log_in(request: HttpRequest) -> HttpResponse:
    is_fragment = bool(getattr(request, "htmx", False))
    wanted = request.htmx.current_url_abs_path if is_fragment else request.get_full_path()  # type: ignore[attr-defined]
    address = f"{resolve_url(settings.LOGIN_URL)}?{urlencode({'next': wanted or '/vendor/'})}"
    if is_fragment:
        return HttpResponse(status=204, headers={"HX-Redirect": address})
    return HttpResponse(status=302, headers={"Location": address})


def person(request: HttpRequest) -> User:
    """The person who is signed in; for views under `signed_in`."""
    user = request.user
    if not isinstance(user, User):
        raise PermissionDenied
    return user


def seat_at(request: HttpRequest, slug: str) -> Seat:
    """The person's seat in the organization; 404 for strangers."""
    user = person(request)
    organization = get_object_or_404(Organization.objects.visible_to(user), slug=slug)
    return Seat(organization, rules.role_in(user, organization))


def submission_at(request: HttpRequest, uuid: UUID) -> tuple[Submission, Seat]:
    """A submission of one of the person's organizations, and their seat there."""
    user = person(request)
    submission = get_object_or_404(Submission.objects.visible_to(user).with_names(), uuid=uuid)
    return submission, Seat(submission.organization, rules.role_in(user, submission.organization))


def cluster_at(request: HttpRequest, uuid: UUID) -> tuple[TestCluster, Seat]:
    """A test cluster of one of the person's organizations, and their seat there."""
    user = person(request)
    clusters = TestCluster.objects.visible_to(user).select_related("organization", "created_by")
    cluster = get_object_or_404(clusters, uuid=uuid)
    return cluster, Seat(cluster.organization, rules.role_in(user, cluster.organization))


def run_at(request: HttpRequest, uuid: UUID) -> tuple[VerificationRun, Seat]:
    """A run of one of the person's submissions, and their seat in its organization."""
    user = person(request)
    runs = VerificationRun.objects.visible_to(user).verifications()
    runs = runs.select_related(
        "submission__configuration__platform__organization",
        "submission__checklist",
        "cluster",
        "signed_by",
        "requested_by",
    )
    run = get_object_or_404(runs.defer("report", "cluster__kubeconfig_encrypted"), uuid=uuid)
    return run, Seat(run.submission.organization, rules.role_in(user, run.submission.organization))


def require_editor(seat: Seat) -> None:
    if not seat.may_edit:
        raise PermissionDenied


def require_owner(seat: Seat) -> None:
    if not seat.may_manage:
        raise PermissionDenied


def posted(request: HttpRequest) -> QueryDict | None:
    """What was sent, for a form; None when the page was only asked for."""
    return request.POST if request.method == "POST" else None


def page(
    request: HttpRequest, template: str, context: dict[str, Any] | None = None, *, status: int = 200
) -> HttpResponse:
    """Render a page of the workspace."""
    return render(request, template, {"section": "vendor", **(context or {})}, status=status)


def rows_of(request: HttpRequest, rows: QuerySet[Any]) -> Page[Any]:
    """The page of `rows` that the address asks for; the nearest one where it asks for none there is."""
    return Paginator(rows, ROWS_A_PAGE).get_page(request.GET.get("page"))


def explain(request: HttpRequest, error: ApplicantError) -> None:
    """Say on the next page why nothing was done."""
    messages.error(request, str(error))

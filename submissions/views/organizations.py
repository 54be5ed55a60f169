"""The workspace: organizations and their people."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from submissions.errors import ApplicantError
from submissions.forms import InvitationForm, OrganizationForm, RoleForm
from submissions.guidance import turn_of
from submissions.models import Membership, MembershipRole, Organization, Submission
from submissions.services import organizations as service
from submissions.views.access import (
    Seat,
    explain,
    page,
    person,
    posted,
    require_owner,
    rows_of,
    seat_at,
    signed_in,
)


@require_safe
@signed_in
def workspace(request: HttpRequest) -> HttpResponse:
    """The person's organizations, and what is going on in all of them."""
    user = person(request)
    memberships = list(user.memberships.select_related("organization").order_by("organization__name"))
    submissions = Submission.objects.visible_to(user).with_names().order_by("-updated_at")
    context = {
        "memberships": memberships,
        "may_edit": [m.organization for m in memberships if Seat(m.organization, m.role).may_edit],
        **listed(request, submissions),
    }
    return page(request, "submissions/workspace.html", context)


def listed(request: HttpRequest, submissions: Any) -> dict[str, Any]:
    """A page of submissions, each with whose turn it is."""
    rows = rows_of(request, submissions)
    today = timezone.now().date()
    return {"rows": [(row, turn_of(row, today)) for row in rows], "page": rows}


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def create(request: HttpRequest) -> HttpResponse:
    """Found an organization; whoever does is its owner."""
    form = OrganizationForm(posted(request))
    if form.is_valid():
        try:
            organization = service.create_organization(actor=person(request), **form.cleaned_data)
        except ApplicantError as error:
            form.add_error("name", str(error))
        else:
            messages.success(request, f"{organization} is there. Add its first platform.")
            return redirect("submissions:platform-create", organization.slug)
    return page(
        request, "submissions/organization_create.html", {"form": form}, status=422 if form.errors else 200
    )


@require_safe
@signed_in
def overview(request: HttpRequest, slug: str) -> HttpResponse:
    """The organization's submissions."""
    seat = seat_at(request, slug)
    submissions = (
        Submission.objects.filter(configuration__platform__organization=seat.organization)
        .with_names()
        .order_by("-updated_at")
    )
    context = {"seat": seat, "tab": "submissions", **listed(request, submissions)}
    return page(request, "submissions/organization.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def members(request: HttpRequest, slug: str) -> HttpResponse:
    """The people of the organization; owners invite more."""
    seat = seat_at(request, slug)
    form = InvitationForm(posted(request))
    if request.method == "POST":
        require_owner(seat)
        if "withdraw" in request.POST:
            return _withdraw_invitation(request, seat.organization)
        if form.is_valid():
            try:
                invitation = service.invite_member(
                    organization=seat.organization, actor=person(request), **form.cleaned_data
                )
            except ApplicantError as error:
                form.add_error("email", str(error))
            else:
                messages.success(request, f"An invitation is on its way to {invitation.email}.")
                return redirect("submissions:members", slug)
    context = {
        "seat": seat,
        "tab": "members",
        "form": form,
        "memberships": seat.organization.memberships.select_related("user").order_by(
            "user__name", "user__email"
        ),
        "invitations": seat.organization.invitations.filter(accepted_at=None, expires_at__gt=timezone.now()),
        "roles": MembershipRole.choices,
    }
    return page(request, "submissions/members.html", context, status=422 if form.errors else 200)


def _withdraw_invitation(request: HttpRequest, organization: Organization) -> HttpResponse:
    number = request.POST["withdraw"]
    invitation = get_object_or_404(
        organization.invitations.filter(accepted_at=None), pk=number if number.isdecimal() else 0
    )
    service.withdraw_invitation(invitation=invitation, actor=person(request))
    messages.success(request, f"The invitation of {invitation.email} no longer works.")
    return redirect("submissions:members", organization.slug)


@require_POST
@signed_in
def member(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Change a member's role, or end the membership. Everybody may leave."""
    seat = seat_at(request, slug)
    membership = get_object_or_404(
        Membership.objects.select_related("user", "organization"), pk=pk, organization=seat.organization
    )
    leaving = "remove" in request.POST and membership.user_id == request.user.pk
    if not (seat.may_manage or leaving):
        raise PermissionDenied
    try:
        if "remove" in request.POST:
            service.remove_member(membership=membership, actor=person(request))
            messages.success(request, f"{membership.user} is no longer a member of {seat.organization}.")
        else:
            form = RoleForm(request.POST)
            if form.is_valid():
                service.change_role(membership=membership, actor=person(request), **form.cleaned_data)
                role = membership.get_role_display().lower()
                messages.success(request, f"{membership.user} is {role} now.")
            else:
                messages.error(request, "Choose one of the roles.")
    except ApplicantError as error:
        explain(request, error)
    if leaving and not Membership.objects.filter(pk=pk).exists():
        return redirect("submissions:workspace")
    return redirect("submissions:members", slug)

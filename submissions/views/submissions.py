"""A submission from its first day to its decision."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from submissions.errors import ApplicantError
from submissions.forms import NewSubmissionForm, ReleaseForm, WithdrawForm
from submissions.guidance import Guidance, guide, happenings, turn_of
from submissions.models import Claim, Submission
from submissions.services import drafting, lifecycle
from submissions.states import TRANSITIONS, Action, RunKind, Status
from submissions.views.access import (
    Seat,
    explain,
    page,
    person,
    posted,
    require_editor,
    seat_at,
    signed_in,
    submission_at,
)

TIMELINE_SHOWN = 200


def frame(submission: Submission, seat: Seat, tab: str, **more: Any) -> dict[str, Any]:
    """What every page of a submission is given."""
    return {
        "submission": submission,
        "seat": seat,
        "tab": tab,
        "turn": turn_of(submission, timezone.now().date()),
        "may_fill_in": seat.may_edit and submission.is_editable,
        **more,
    }


def claims_of(submission: Submission) -> list[Claim]:
    return list(submission.claims.select_related("requirement__category").prefetch_related("waiver"))


def guidance_for(submission: Submission, claims: list[Claim] | None = None) -> Guidance:
    """The judgement of what the form holds, sorted by its pages and fields."""
    return guide(
        submission, drafting.judge_submission(submission), claims_of(submission) if claims is None else claims
    )


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def create(request: HttpRequest, slug: str) -> HttpResponse:
    """Start a draft by choosing what is certified; the page also leads to the upload."""
    seat = seat_at(request, slug)
    require_editor(seat)
    initial = {"configuration": request.GET.get("configuration")}
    form = NewSubmissionForm(posted(request), organization=seat.organization, initial=initial)
    if form.is_valid():
        submission = drafting.create_submission(actor=person(request), **form.cleaned_data)
        messages.success(request, "The draft is there. Nothing is sent before you submit it.")
        return redirect("submissions:product", submission.uuid)
    context = {
        "seat": seat,
        "tab": "submissions",
        "form": form,
        "has_platforms": seat.organization.platforms.exists(),
        "has_checklists": bool(form.fields["checklist"].choices),  # type: ignore[attr-defined]
    }
    return page(request, "submissions/submission_create.html", context, status=422 if form.errors else 200)


@require_safe
@signed_in
def detail(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Where the submission is, whose turn it is, what is missing, what happened."""
    submission, seat = submission_at(request, uuid)
    return _detail(request, submission, seat, ReleaseForm(initial={"release_on": submission.release_on}))


def _detail(
    request: HttpRequest, submission: Submission, seat: Seat, release_form: ReleaseForm
) -> HttpResponse:
    claims = claims_of(submission)
    events = submission.events.select_related("actor").order_by("-pk")[:TIMELINE_SHOWN]
    members = set(submission.organization.memberships.values_list("user_id", flat=True))
    reasons = (
        submission.events.filter(
            action__in=[Action.REQUEST_CHANGES, Action.REJECT], to_status=submission.status
        )
        .order_by("-pk")
        .first()
    )
    context = frame(
        submission,
        seat,
        "overview",
        guidance=guidance_for(submission, claims) if submission.is_editable else None,
        happenings=happenings(submission, reversed(events), members),
        reasons=reasons,
        approvals=submission.approvals.filter(round=submission.round).count(),
        approvals_needed=settings.APPROVALS_NEEDED,
        waivers=[claim.waiver for claim in claims if hasattr(claim, "waiver")],
        runs=submission.runs.verifications()
        .select_related("cluster")
        .defer("report", "cluster__kubeconfig_encrypted")[:5],
        release_form=release_form,
        may_set_release=seat.may_edit
        and not submission.certificate_number
        and submission.status not in {Status.REJECTED, Status.WITHDRAWN},
        may_withdraw=seat.may_edit and (Status(submission.status), Action.WITHDRAW) in TRANSITIONS,
    )
    status = 422 if release_form.errors else 200
    return page(request, "submissions/detail.html", context, status=status)


@require_safe
@signed_in
def check(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Everything that is wrong or doubtful, each with a link to its field; the place to submit from."""
    submission, seat = submission_at(request, uuid)
    claims = claims_of(submission)
    context = frame(submission, seat, "check", guidance=guidance_for(submission, claims))
    context["runs_finished"] = submission.runs.finished().filter(kind=RunKind.PORTAL).count()
    return page(request, "submissions/check.html", context)


@require_POST
@signed_in
def submit(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Hand the submission in."""
    submission, seat = submission_at(request, uuid)
    require_editor(seat)
    try:
        lifecycle.submit(submission=submission, actor=person(request))
    except ApplicantError as error:
        explain(request, error)
        return redirect("submissions:check", uuid)
    days = settings.REVIEW_BUSINESS_DAYS
    messages.success(request, f"Submitted. The reviewers answer within {days} business days.")
    return redirect("submissions:detail", uuid)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def withdraw(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Ask once more, then take the submission back."""
    submission, seat = submission_at(request, uuid)
    require_editor(seat)
    form = WithdrawForm(posted(request))
    if form.is_valid():
        try:
            lifecycle.withdraw(submission=submission, actor=person(request), **form.cleaned_data)
        except ApplicantError as error:
            explain(request, error)
        else:
            messages.success(request, "Withdrawn.")
        return redirect("submissions:detail", uuid)
    return page(request, "submissions/withdraw.html", frame(submission, seat, "overview", form=form))


@require_POST
@signed_in
def release(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Set the day before which nothing is public."""
    submission, seat = submission_at(request, uuid)
    require_editor(seat)
    form = ReleaseForm(request.POST)
    if not form.is_valid():
        return _detail(request, submission, seat, form)
    try:
        lifecycle.set_release_date(submission=submission, actor=person(request), **form.cleaned_data)
    except ApplicantError as error:
        explain(request, error)
    else:
        day = form.cleaned_data["release_on"]
        messages.success(
            request, f"Nothing is public before {day:%-d %B %Y}." if day else "No release date any more."
        )
    return redirect("submissions:detail", uuid)

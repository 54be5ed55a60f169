"""The review of one submission: what is claimed beside what was observed, and the decisions on it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_safe

from submissions.admin.forms import ConflictForm, DecisionForm, RunForm, WaiverForm, take_error
from submissions.admin.gate import group_page, page, person, posted, submission_at
from submissions.errors import ApplicantError, StaleState
from submissions.models import Submission, Waiver
from submissions.review import Review, review_of
from submissions.services import conflicts, lifecycle, runs
from submissions.services.lifecycle import CHANGED_MEANWHILE
from submissions.states import TERMINAL, Action, Status

INVALID = 422


@group_page
@require_safe
def review(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Everything a reviewer weighs, on one page."""
    return _show(request, submission_at(uuid))


def _show(request: HttpRequest, submission: Submission, *, status: int = 200, **bound: Any) -> HttpResponse:
    """Render the review page; `bound` are the forms that were refused, with what was typed."""
    user = person(request)
    now = timezone.now()
    found = review_of(submission, user, now.date())
    may_act = user.is_reviewer and not found.conflict
    in_review = submission.status == Status.IN_REVIEW
    initial = {"round": submission.round}
    waiver_forms = bound.get("waiver_forms", {})
    context = {
        "title": str(submission),
        "review": found,
        "submission": submission,
        "may_act": may_act,
        "may_begin": may_act and submission.status == Status.SUBMITTED,
        "may_decide": may_act and in_review,
        "may_verify": may_act and submission.status not in TERMINAL,
        "has_approved": found.has_approved(user),
        "decision_form": bound.get("decision_form") or DecisionForm(initial=initial),
        "waiver_forms": {
            row.id: waiver_forms.get(row.id) or WaiverForm(prefix=row.id, initial=initial, today=now.date())
            for row in found.rows
            if row.waiver is not None
        },
        "run_form": RunForm(submission=submission),
        "conflict_form": bound.get("conflict_form") or ConflictForm(),
        "progress": runs.progress(found.active_run) if found.active_run else None,
        "days": _days(found, now.date()),
        "today": now.date(),
    }
    return page(request, "admin/review/review.html", context, status=status)


def _days(found: Review, today: Any) -> dict[str, int]:
    """How long it waits and how long is left, in business days."""
    submission = found.submission
    if submission.submitted_at is None or submission.due_on is None:
        return {"age": 0, "left": 0, "late": 0}
    return {
        "age": lifecycle.business_days_between(submission.submitted_at.date(), today),
        "left": lifecycle.business_days_between(today, submission.due_on),
        "late": lifecycle.business_days_between(submission.due_on, today),
    }


def _refuse_stale(submission: Submission, seen: int | None) -> None:
    """Refuse what was written for another round than the one the submission is in."""
    if seen != submission.round:
        raise StaleState(CHANGED_MEANWHILE)


@group_page
@posted
def start(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Take the submission into review."""
    submission = submission_at(uuid)
    try:
        lifecycle.start_review(submission=submission, actor=person(request))
    except ApplicantError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, "The review has begun.")
    return redirect("admin:review", uuid)


@group_page
@posted
def decide(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Approve, request changes or reject. A refusal shows the page again with everything typed."""
    submission = submission_at(uuid)
    form = DecisionForm(request.POST)
    if form.is_valid():
        try:
            _refuse_stale(submission, form.cleaned_data["round"])
            told = _decide(submission, person(request), form.cleaned_data)
        except ApplicantError as error:
            take_error(form, error)
        else:
            messages.success(request, told)
            return redirect("admin:review", uuid)
    return _show(request, submission_at(uuid), status=INVALID, decision_form=form)


def _decide(submission: Submission, actor: Any, decision: dict[str, Any]) -> str:
    """Take the decision; returns what to tell the reviewer."""
    action, reason = decision["action"], decision["reason"]
    if action == Action.REQUEST_CHANGES:
        lifecycle.request_changes(submission=submission, actor=actor, reason=reason)
        return "Changes were requested; the vendor was told."
    if action == Action.REJECT:
        lifecycle.reject(submission=submission, actor=actor, reason=reason)
        return "The submission was rejected; the vendor was told."
    submission = lifecycle.approve(submission=submission, actor=actor, comment=reason)
    if submission.status != Status.APPROVED:
        return "Your approval is recorded. Another reviewer's approval decides."
    submission.refresh_from_db()
    if submission.certificate_number:
        return f"Approved: certificate {submission.certificate_number} was issued."
    return f"Approved. The certificate is issued on the release date, {submission.release_on:%-d %B %Y}."


@group_page
@posted
def waiver(request: HttpRequest, uuid: UUID, requirement_id: str) -> HttpResponse:
    """Accept or refuse the N/A on a MUST."""
    submission = submission_at(uuid)
    found = get_object_or_404(
        Waiver.objects.select_related("claim__submission", "claim__requirement"),
        claim__submission=submission,
        claim__requirement__requirement_id=requirement_id,
    )
    form = WaiverForm(request.POST, prefix=requirement_id, today=timezone.now().date())
    if form.is_valid():
        decision = form.cleaned_data
        try:
            _refuse_stale(submission, decision["round"])
            lifecycle.decide_waiver(
                waiver=found,
                actor=person(request),
                accept=decision["decision"] == "accept",
                reason=decision["reason"],
                expires_on=decision["expires_on"],
            )
        except ApplicantError as error:
            take_error(form, error)
        else:
            messages.success(request, f"The decision on the waiver for {requirement_id} is recorded.")
            return redirect("admin:review", uuid)
    return _show(request, submission_at(uuid), status=INVALID, waiver_forms={requirement_id: form})


@group_page
@posted
def verify(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Ask for a run of every check on one of the vendor's test clusters."""
    submission = submission_at(uuid)
    form = RunForm(request.POST, submission=submission)
    if form.is_valid():
        try:
            run = runs.request_run(
                submission=submission, cluster=form.cleaned_data["cluster"], actor=person(request)
            )
        except ApplicantError as error:
            messages.error(request, str(error))
        else:
            return redirect("admin:review_run", run.uuid)
    else:
        messages.error(request, "Choose one of the vendor's test clusters.")
    return redirect("admin:review", uuid)


@group_page
@posted
def declare_conflict(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Declare that one has an interest in the vendor."""
    submission = submission_at(uuid)
    form = ConflictForm(request.POST)
    if form.is_valid():
        user = person(request)
        try:
            conflicts.declare_conflict(
                reviewer=user,
                organization=submission.organization,
                note=form.cleaned_data["note"],
                actor=user,
            )
        except ApplicantError as error:
            take_error(form, error)
        else:
            messages.success(
                request, f"Your interest in {submission.organization} is on record. Others decide on it."
            )
            return redirect("admin:review", uuid)
    return _show(request, submission_at(uuid), status=INVALID, conflict_form=form)

"""Verification runs: asking for one, watching it, reading what it observed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import Prefetch
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from submissions.comparison import compare
from submissions.errors import ApplicantError
from submissions.forms import ReportForm, RunForm
from submissions.guidance import requirement_title
from submissions.models import (
    CheckEvidence,
    CheckResult,
    Claim,
    ScenarioEvidence,
    ScenarioResult,
    Submission,
    TestCluster,
    VerificationRun,
)
from submissions.services import runs as service
from submissions.services import vendor_reports
from submissions.states import TERMINAL, Verdict
from submissions.views.access import (
    Seat,
    explain,
    page,
    person,
    posted,
    require_editor,
    rows_of,
    run_at,
    signed_in,
    submission_at,
)
from submissions.views.submissions import claims_of, frame

SHOWN_CHARACTERS = 200_000


@dataclass(frozen=True, slots=True)
class Row:
    """One requirement of a run beside what the vendor claims of it."""

    result: CheckResult
    claim: Claim | None
    run_is_active: bool

    @property
    def id(self) -> str:
        return str(self.result.requirement_id)

    @property
    def verdict(self) -> str:
        """The verdict; ``waiting`` or ``running`` as long as there is none."""
        if self.result.finished_at is None and self.run_is_active:
            return str(self.result.progress)
        return str(self.result.status)

    @property
    def code(self) -> str:
        """A letter for what the row shows, so that a page asks only for rows that changed."""
        return f"{self.verdict[:1]}{1 if self.result.finished_at else 0}"

    @property
    def contradiction(self) -> str:
        """In words, where claim and observation do not go together."""
        if self.claim is None or not self.result.finished_at:
            return ""
        claimed, seen = self.claim.status, self.result.status
        if claimed == "Implemented" and seen == Verdict.FAIL:
            return "The claim says Implemented; the run saw the platform fail it."
        if claimed not in {"Implemented", ""} and seen == Verdict.PASS:
            return f"The claim says {claimed}; the run saw it pass."
        return ""


def rows_for(run: VerificationRun) -> list[Row]:
    """The run's requirements in order, without the content of their evidence."""
    claims = {
        claim.requirement.requirement_id: claim
        for claim in run.submission.claims.select_related("requirement")
    }
    pieces = Prefetch("evidence", queryset=CheckEvidence.objects.defer("content"))
    return [
        Row(result, claims.get(result.requirement_id), run.is_active)
        for result in run.results.prefetch_related(pieces)
    ]


def scenarios_for(run: VerificationRun) -> list[ScenarioResult]:
    """The run's scenarios in order, without the content of their evidence."""
    pieces = Prefetch("evidence", queryset=ScenarioEvidence.objects.defer("content"))
    found = list(run.scenarios.prefetch_related(pieces))
    for scenario in found:
        # They ask their run whether it goes on.
        scenario.run = run
    return found


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def runs(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The submission's runs, and the form that starts another."""
    submission, seat = submission_at(request, uuid)
    form = _run_form(request, submission)
    if request.method == "POST":
        require_editor(seat)
        if form.is_valid():
            try:
                run = service.request_run(submission=submission, actor=person(request), **form.cleaned_data)
            except ApplicantError as error:
                form.add_error("cluster", str(error))
            else:
                return redirect("submissions:run", run.uuid)
    return _runs_page(request, submission, seat, form, ReportForm())


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def upload(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Take the signed report of a run the vendor made; whoever opens the address gets the page of runs."""
    submission, seat = submission_at(request, uuid)
    if request.method != "POST":
        return redirect("submissions:runs", uuid)
    require_editor(seat)
    form = ReportForm(request.POST, request.FILES)
    if form.is_valid():
        try:
            run, is_new = vendor_reports.take_report(
                submission=submission, actor=person(request), data=form.data_bytes, now=timezone.now()
            )
        except ApplicantError as error:
            form.add_error("file", str(error))
        else:
            told = (
                "The report is here; it counts as run by you." if is_new else "The report was here already."
            )
            messages.success(request, told)
            return redirect("submissions:run", run.uuid)
    return _runs_page(request, submission, seat, _run_form(request, submission, is_sent=False), form)


def _run_form(request: HttpRequest, submission: Submission, *, is_sent: bool = True) -> RunForm:
    requirements = [
        (
            claim.requirement.requirement_id,
            f"{requirement_title(claim.requirement.requirement_id)} ({claim.requirement.level})",
        )
        for claim in claims_of(submission)
    ]
    sent = posted(request) if is_sent else None
    return RunForm(sent, submission=submission, requirements=requirements)


def _runs_page(
    request: HttpRequest, submission: Submission, seat: Seat, form: RunForm, report_form: ReportForm
) -> HttpResponse:
    rows = (
        submission.runs.verifications()
        .select_related("cluster", "requested_by")
        .defer("report", "cluster__kubeconfig_encrypted")
    )
    context = frame(
        submission,
        seat,
        "runs",
        form=form,
        report_form=report_form,
        may_start=seat.may_edit and submission.status not in TERMINAL,
        page=rows_of(request, rows),
        has_clusters=TestCluster.objects.filter(organization=seat.organization).usable().exists(),
        has_keys=seat.organization.report_keys.filter(revoked_at=None).exists(),
    )
    status = 422 if form.errors or report_form.errors else 200
    return page(request, "submissions/runs.html", context, status=status)


@require_safe
@signed_in
def run(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """A run. While it goes on the page asks each second for what changed: its head, and rows that turned."""
    found, seat = run_at(request, uuid)
    rows = rows_for(found)
    progress = {
        "done": sum(1 for row in rows if row.result.finished_at or not found.is_active),
        "total": len(rows),
        "counts": [(verdict.value, sum(1 for row in rows if row.verdict == verdict)) for verdict in Verdict],
    }
    codes = ".".join(row.code for row in rows)
    scenarios = scenarios_for(found)
    played = ".".join(f"{step.verdict[:2]}" for scenario in scenarios for step in scenario.timeline)
    context = frame(
        found.submission,
        seat,
        "runs",
        run=found,
        rows=rows,
        progress=progress,
        codes=codes,
        scenarios=scenarios,
        played=played,
        may_cancel=seat.may_edit and found.is_active and found.cancel_requested_at is None,
    )
    if not found.is_active:
        context["comparison"] = compare(found)
    if request.htmx and "seen" in request.GET:  # type: ignore[attr-defined]
        context["rows"] = _changed(rows, request.GET["seen"])
        context["turned"] = played != request.GET.get("played") or not found.is_active
        return page(request, "submissions/_run_pieces.html", context)
    context["has_report"] = bool(found.report_digest)
    return page(request, "submissions/run.html", context)


def _changed(rows: list[Row], seen: str) -> list[Row]:
    codes = seen.split(".")
    if len(codes) != len(rows):
        return rows
    return [row for row, code in zip(rows, codes, strict=True) if row.code != code]


@require_POST
@signed_in
def cancel(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Ask the run to stop."""
    found, seat = run_at(request, uuid)
    require_editor(seat)
    try:
        stopped = service.cancel_run(run=found, actor=person(request))
    except ApplicantError as error:
        explain(request, error)
    else:
        if stopped.is_active:
            messages.success(request, "The run stops at the next safe point and cleans up after itself.")
        else:
            messages.success(request, "The run is cancelled.")
    return redirect("submissions:run", uuid)


@require_safe
@signed_in
def report(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The sealed report, as the engine wrote it."""
    found, _ = run_at(request, uuid)
    found.refresh_from_db(fields=["report"])
    content = service.sealed_report(found)
    if content is None:
        raise Http404
    return HttpResponse(
        json.dumps(content, indent=2, ensure_ascii=False) + "\n",
        content_type="application/json",
        headers={
            "Content-Disposition": f'attachment; filename="report-{found.uuid}.json"',
            "X-Content-Type-Options": "nosniff",
        },
    )


def _piece(request: HttpRequest, uuid: UUID, pk: int) -> tuple[VerificationRun, Any, CheckEvidence]:
    found, seat = run_at(request, uuid)
    piece = get_object_or_404(CheckEvidence.objects.select_related("result"), pk=pk, result__run=found)
    return found, seat, piece


def _scene(request: HttpRequest, uuid: UUID, pk: int) -> tuple[VerificationRun, Any, ScenarioEvidence]:
    found, seat = run_at(request, uuid)
    piece = get_object_or_404(ScenarioEvidence.objects.select_related("result"), pk=pk, result__run=found)
    return found, seat, piece


@require_safe
@signed_in
def evidence(request: HttpRequest, uuid: UUID, pk: int) -> HttpResponse:
    """A piece of evidence of a check as text."""
    found, seat, piece = _piece(request, uuid, pk)
    about = requirement_title(piece.result.requirement_id)
    anchor = f"result-{piece.result.requirement_id}"
    return _evidence_page(request, found, seat, piece, about=about, anchor=anchor)


@require_safe
@signed_in
def scenario_evidence(request: HttpRequest, uuid: UUID, pk: int) -> HttpResponse:
    """A piece of evidence of a scenario as text."""
    found, seat, piece = _scene(request, uuid, pk)
    anchor = f"scenario-{piece.result.scenario_id}"
    return _evidence_page(request, found, seat, piece, about=piece.result.title, anchor=anchor)


def _evidence_page(
    request: HttpRequest,
    run: VerificationRun,
    seat: Seat,
    piece: CheckEvidence | ScenarioEvidence,
    *,
    about: str,
    anchor: str,
) -> HttpResponse:
    text = piece.text
    kind = "run-evidence" if isinstance(piece, CheckEvidence) else "run-scenario-evidence"
    context = frame(
        run.submission,
        seat,
        "runs",
        run=run,
        piece=piece,
        about=about,
        anchor=anchor,
        download=reverse(f"submissions:{kind}-download", args=[run.uuid, piece.pk]),
        text=text[:SHOWN_CHARACTERS],
        left_out=max(0, len(text) - SHOWN_CHARACTERS),
    )
    return page(request, "submissions/run_evidence.html", context)


@require_safe
@signed_in
def evidence_download(request: HttpRequest, uuid: UUID, pk: int) -> HttpResponse:
    """A piece of evidence byte for byte, so that its SHA-256 can be computed again."""
    _, _, piece = _piece(request, uuid, pk)
    return _download(piece)


@require_safe
@signed_in
def scenario_evidence_download(request: HttpRequest, uuid: UUID, pk: int) -> HttpResponse:
    """The same of a scenario."""
    _, _, piece = _scene(request, uuid, pk)
    return _download(piece)


def _download(piece: CheckEvidence | ScenarioEvidence) -> HttpResponse:
    return HttpResponse(
        bytes(piece.content),
        content_type="application/octet-stream",
        headers={
            "Content-Disposition": content_disposition_header(as_attachment=True, filename=piece.name)
            or "attachment",
            "X-Content-Type-Options": "nosniff",
        },
    )

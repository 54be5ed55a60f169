"""Verification runs as reviewers see them: live progress, every verdict, what the checks captured."""

from __future__ import annotations

import json
from uuid import UUID

from django.contrib import messages
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST, require_safe

from submissions import rules
from submissions.admin.gate import group_page, page, person, run_at, submission_at
from submissions.comparison import compare
from submissions.errors import ApplicantError
from submissions.models import CheckEvidence, ScenarioEvidence
from submissions.services import runs
from submissions.services.drafting import render_document

SHOWN_BYTES = 256 * 1024
# What is downloaded runs nowhere: not even when a browser is talked into showing it.
DOWNLOAD_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}


@group_page
@require_safe
def run(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One run. While it is active the page asks for its fragment every two seconds."""
    found = run_at(uuid)
    user = person(request)
    context = {
        "title": f"Verification of {found.submission}",
        "run": found,
        "submission": found.submission,
        "progress": runs.progress(found),
        "comparison": None if found.is_active else compare(found),
        "may_cancel": found.is_active and rules.may_review(user, found.submission),
    }
    template = "admin/review/_run.html" if request.htmx else "admin/review/run.html"  # type: ignore[attr-defined]
    return page(request, template, context)


@group_page
@require_safe
def live(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The progress of a run as the review page shows it; whoever opens the address gets the run's page."""
    found = run_at(uuid)
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect("admin:review_run", uuid)
    return page(request, "admin/review/_live.html", {"run": found, "progress": runs.progress(found)})


@group_page
@require_POST
def cancel(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """Ask the run to stop."""
    found = run_at(uuid)
    try:
        runs.cancel_run(run=found, actor=person(request))
    except ApplicantError as error:
        messages.error(request, str(error))
    return redirect("admin:review_run", uuid)


@group_page
@require_safe
def report(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The sealed report of a run."""
    found = run_at(uuid)
    content = runs.sealed_report(found)
    if content is None:
        raise Http404
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    return _download(f"report-{found.uuid}.json", text.encode())


@group_page
@require_safe
def evidence(request: HttpRequest, pk: int) -> HttpResponse:
    """What a check captured: an object, events or a log, shown as text."""
    pieces = CheckEvidence.objects.filter(result__run__submission__submitted_at__isnull=False)
    found = get_object_or_404(
        pieces.select_related(
            "result__run__submission__configuration__platform", "result__run__submission__checklist"
        ),
        pk=pk,
    )
    about = found.result.requirement_id
    return _captured(request, found, {"requirement_id": about, "source": "Captured by the check"})


@group_page
@require_safe
def scenario_evidence(request: HttpRequest, pk: int) -> HttpResponse:
    """What a scenario captured: an object, events or a log, shown as text."""
    pieces = ScenarioEvidence.objects.filter(result__run__submission__submitted_at__isnull=False)
    found = get_object_or_404(
        pieces.select_related(
            "result__run__submission__configuration__platform", "result__run__submission__checklist"
        ),
        pk=pk,
    )
    return _captured(request, found, {"source": f"Captured by the scenario {found.result.title}"})


def _captured(
    request: HttpRequest, found: CheckEvidence | ScenarioEvidence, more: dict[str, object]
) -> HttpResponse:
    data = bytes(found.content)
    if "download" in request.GET:
        return _download(found.name, data)
    run = found.result.run
    context = {
        "title": found.name,
        "submission": run.submission,
        "piece": found,
        "run": run,
        "captured_at": found.captured_at,
        **more,
        **_shown(data),
    }
    return page(request, "admin/review/evidence.html", context)


@group_page
@require_safe
def attached(request: HttpRequest, uuid: UUID, pk: int) -> HttpResponseBase:
    """A file the vendor attached, shown as text where it is text."""
    submission = submission_at(uuid)
    found = get_object_or_404(submission.files, pk=pk)
    if "download" in request.GET:
        return FileResponse(
            found.content.open("rb"),
            as_attachment=True,
            filename=found.name.rpartition("/")[2],
            content_type="application/octet-stream",
            headers=DOWNLOAD_HEADERS,
        )
    with found.content.open("rb") as content:
        data = bytes(content.read(SHOWN_BYTES + 1))
    context = {
        "title": found.name,
        "submission": submission,
        "piece": found,
        "captured_at": found.uploaded_at,
        "source": "Attached by the vendor",
        **_shown(data),
    }
    return page(request, "admin/review/evidence.html", context)


@group_page
@require_safe
def document(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The submission as a PRODUCT.yaml."""
    return _download("PRODUCT.yaml", render_document(submission_at(uuid)).encode())


def _shown(data: bytes) -> dict[str, object]:
    """The beginning of `data` as text; no text where it is none."""
    head = data[:SHOWN_BYTES]
    is_text = b"\x00" not in head
    text = head.decode("utf-8", errors="replace") if is_text else ""
    return {"text": text, "is_text": is_text, "is_cut": len(data) > SHOWN_BYTES}


def _download(name: str, data: bytes) -> HttpResponse:
    response = HttpResponse(data, content_type="application/octet-stream", headers=DOWNLOAD_HEADERS)
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name.rpartition("/")[2])
    response["Content-Disposition"] = f'attachment; filename="{safe}"'
    return response

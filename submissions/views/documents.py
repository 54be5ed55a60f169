"""PRODUCT.yaml: uploaded, shown with the problems beside their lines, downloaded."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_safe

from conformance.document import Severity
from conformance.rules import Judgement
from submissions.errors import ApplicantError
from submissions.forms import DocumentForm
from submissions.guidance import annotate
from submissions.services import drafting
from submissions.views.access import page, person, posted, require_editor, seat_at, signed_in, submission_at
from submissions.views.submissions import frame

SHOWN_BYTES = 1024 * 1024


def shown(data: bytes, judgement: Judgement) -> dict[str, Any]:
    """What the page needs to show a document with its problems."""
    text = data[:SHOWN_BYTES].decode("utf-8", errors="replace")
    errors = sum(1 for problem in judgement.problems if problem.severity is Severity.ERROR)
    return {
        "text": text,
        "lines": annotate(text, judgement.problems),
        "judgement": judgement,
        "problems": judgement.problems,
        "errors": errors,
        "warnings": len(judgement.problems) - errors,
    }


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def create(request: HttpRequest, slug: str) -> HttpResponse:
    """Start a submission from a PRODUCT.yaml. What cannot be used is shown with what is wrong with it."""
    seat = seat_at(request, slug)
    require_editor(seat)
    form = DocumentForm(posted(request), request.FILES or None)
    context: dict[str, Any] = {"seat": seat, "tab": "submissions", "form": form}
    if not form.is_valid():
        return page(request, "submissions/document_create.html", context, status=422 if form.errors else 200)
    data = form.data_bytes
    try:
        upload = drafting.create_from_document(
            actor=person(request), organization=seat.organization, data=data
        )
    except ApplicantError as error:
        judgement, reason = drafting.judge_document(data), str(error)
    else:
        if upload.submission is not None:
            messages.success(request, f"{upload.submission.platform}: the form is filled in from your file.")
            return redirect("submissions:document", upload.submission.uuid)
        judgement = upload.judgement
        reason = "The file does not say which platform it is about (metadata.platformName)."
        if judgement.product.metadata.get("platformName"):
            reason = "Too little of the file can be read."
    context |= shown(data, judgement)
    context["reason"] = reason
    context["form"] = DocumentForm(initial={"text": context["text"]})
    return page(request, "submissions/document_create.html", context, status=422)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def document(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The PRODUCT.yaml uploaded last, with its problems; upload it again, better."""
    submission, seat = submission_at(request, uuid)
    form = DocumentForm(posted(request), request.FILES or None)
    if request.method == "POST":
        require_editor(seat)
    if not form.is_valid():
        return _document(
            request, frame(submission, seat, "document", form=form), submission.source_file.encode()
        )
    data = form.data_bytes
    try:
        upload = drafting.fill_from_document(submission=submission, actor=person(request), data=data)
    except ApplicantError as error:
        reason = str(error)
    else:
        if upload.submission is not None:
            messages.success(request, "The form is filled in from your file. What it did not say was kept.")
            return redirect("submissions:document", uuid)
        reason = "Nothing was changed: too little of the file can be read."
    return _document(request, frame(submission, seat, "document", reason=reason), data)


def _document(request: HttpRequest, context: dict[str, Any], data: bytes) -> HttpResponse:
    submission = context["submission"]
    if data:
        context |= shown(data, drafting.judge_document(data, submission=submission))
    refused = "reason" in context or bool(context["form"].errors)
    if "form" not in context or not context["form"].is_bound:
        context["form"] = DocumentForm(initial={"text": context.get("text", "")})
    return page(request, "submissions/document.html", context, status=422 if refused else 200)


@require_safe
@signed_in
def download(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The submission as it stands in the form, as a PRODUCT.yaml."""
    submission, _ = submission_at(request, uuid)
    return HttpResponse(
        drafting.render_document(submission),
        content_type="application/yaml; charset=utf-8",
        headers={
            "Content-Disposition": 'attachment; filename="PRODUCT.yaml"',
            "X-Content-Type-Options": "nosniff",
        },
    )

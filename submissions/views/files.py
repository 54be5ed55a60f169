"""Evidence files attached to a submission."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from submissions.errors import ApplicantError
from submissions.forms import AttachForm
from submissions.models import EvidenceFile
from submissions.services import drafting
from submissions.views.access import explain, page, person, posted, require_editor, signed_in, submission_at
from submissions.views.submissions import frame

# What a browser may show as text. All else, whatever it claims to be, is bytes to keep.
TEXT_SUFFIXES = frozenset({".txt", ".log", ".xml", ".json", ".yaml", ".yml", ".md", ".csv", ".tap"})

MEBIBYTE = 1024 * 1024


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def files(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The files, and room for more. Of several that are sent, the good ones are kept and the others named."""
    submission, seat = submission_at(request, uuid)
    form = AttachForm(posted(request), request.FILES or None)
    if request.method == "POST":
        require_editor(seat)
        if form.is_valid():
            attached = []
            for file in form.cleaned_data["attachments"]:
                name = "/".join(
                    part for part in (form.cleaned_data["folder"].strip().strip("/"), file.name) if part
                )
                if file.size > drafting.MAX_FILE_BYTES:
                    limit = drafting.MAX_FILE_BYTES // MEBIBYTE
                    form.add_error(
                        "attachments", f"{name} has {file.size / MEBIBYTE:.1f} MiB; a file may have {limit}."
                    )
                    continue
                try:
                    attached.append(
                        drafting.attach_file(
                            submission=submission, actor=person(request), name=name, data=file.read()
                        )
                    )
                except ApplicantError as error:
                    form.add_error("attachments", str(error))
            if attached:
                messages.success(request, f"Attached: {', '.join(file.name for file in attached)}.")
            if not form.errors:
                return redirect("submissions:files", uuid)
    context = frame(submission, seat, "files", form=form)
    context["files"] = submission.files.select_related("uploaded_by")
    context["limit"] = drafting.MAX_FILES
    return page(request, "submissions/files.html", context, status=422 if form.errors else 200)


@require_safe
@signed_in
def download(request: HttpRequest, uuid: UUID, pk: int) -> HttpResponse:
    """The file, always to be saved and never to be run in the portal's name."""
    submission, _ = submission_at(request, uuid)
    file = get_object_or_404(EvidenceFile, submission=submission, pk=pk)
    path = PurePosixPath(file.name)
    kind = "text/plain; charset=utf-8" if path.suffix.lower() in TEXT_SUFFIXES else "application/octet-stream"
    response: Any = FileResponse(file.content.open("rb"), content_type=kind)
    response["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=path.name) or ""
    response["Content-Length"] = str(file.size)
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response  # type: ignore[no-any-return]


@require_POST
@signed_in
def remove(request: HttpRequest, uuid: UUID, pk: int) -> HttpResponse:
    """Detach a file."""
    submission, seat = submission_at(request, uuid)
    require_editor(seat)
    file = get_object_or_404(EvidenceFile, submission=submission, pk=pk)
    try:
        drafting.remove_file(file=file, actor=person(request))
    except ApplicantError as error:
        explain(request, error)
    else:
        messages.success(request, f"{file.name} was removed.")
    return redirect("submissions:files", uuid)

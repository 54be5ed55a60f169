"""The page that answers strangers: whether a number, a credential or a platform holds."""

from __future__ import annotations

from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from conformance.credentials import Result, StepName
from registry import verification
from registry.answers import PlatformAsked, answer_for, answer_for_platform
from registry.caching import public_page
from registry.certificate_views import today_utc
from registry.findings import in_page_language
from registry.forms import CredentialForm, PlatformForm, VerifyForm

STEPS: dict[StepName, tuple[Any, Any]] = {
    StepName.FORMAT: (_("Form"), _("Is it a credential of the kind this portal issues?")),
    StepName.SIGNATURE: (_("Signature"), _("Did one of the portal's keys sign exactly this?")),
    StepName.ISSUER: (_("Issuer"), _("Does it name this portal, and is the key this portal's?")),
    StepName.VALIDITY: (_("Validity"), _("Does today lie between its two dates?")),
    StepName.STATUS: (_("Status today"), _("What does the registry say of the certificate now?")),
}
RESULTS: dict[Result, tuple[str, Any]] = {
    Result.PASSED: ("pass", _("Yes")),
    Result.FAILED: ("fail", _("No")),
    Result.NOT_CHECKED: ("", _("Not checked")),
}


# Nothing is changed or kept, and no one's session matters: a form from elsewhere can do no harm, and
# without a cookie the page stays the same for everyone, so that caches can keep it.
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
@public_page
def verify(request: HttpRequest) -> HttpResponse:
    """Answer for a number, a credential or a platform."""
    asked = request.GET
    credential_given = request.method == "POST" or "credential" in asked
    number_form = VerifyForm(asked if "number" in asked else None)
    platform_form = PlatformForm(asked if "platform" in asked else None, auto_id="id_platform_%s")
    credential_form = CredentialForm(
        (request.POST if request.method == "POST" else asked) if credential_given else None,
        request.FILES if request.method == "POST" else None,
    )
    context: dict[str, Any] = {
        "section": "verify",
        "form": number_form,
        "platform_form": platform_form,
        "credential_form": credential_form,
    }
    if credential_given:
        if credential_form.is_valid():
            context |= _credential_answer(credential_form)
    elif number_form.is_bound and number_form.is_valid():
        context["asked_number"] = True
        context["answer"] = answer_for(
            number_form.cleaned_data["number"],
            number_form.cleaned_data["on"] or today_utc(),
            today=today_utc(),
        )
    elif platform_form.is_bound and platform_form.is_valid():
        context["platform_answer"] = _platform_answer(platform_form)
    response = render(request, "registry/verify.html", context)
    if request.method == "POST":
        response["Cache-Control"] = "no-store"
    return response


def _platform_answer(form: PlatformForm) -> Any:
    asked = form.cleaned_data
    return answer_for_platform(
        PlatformAsked(asked["platform"], asked["vendor"], asked["version"]),
        asked["on"] or today_utc(),
        today=today_utc(),
    )


def _credential_answer(form: CredentialForm) -> dict[str, Any]:
    """What was brought and what is said of it; an error of the form where it is not understood."""
    file: UploadedFile[bytes] | None = form.cleaned_data["file"]
    try:
        brought = verification.understand(file.read() if file else form.cleaned_data["credential"])
    except verification.NotUnderstood as error:
        form.add_error("file" if file else "credential", str(error))
        return {}
    verdict = verification.verify(brought, timezone.now())
    steps = [
        (*STEPS[step.name], *RESULTS[step.result], in_page_language(step.text)) for step in verdict.steps
    ]
    return {"verdict": verdict, "steps": steps, "answer": verdict.answer, "brought_number": brought.number}

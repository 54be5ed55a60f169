"""A certificate's own page, on paper, as a PDF and as a QR code; and the keys that sign credentials."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponsePermanentRedirect, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone, translation
from django.views.decorators.http import require_safe

from certportal.languages import ENGLISH
from registry import badge, certificate_pdf, keys, qr
from registry.answers import answer_for
from registry.caching import public_page
from registry.credentials import address
from registry.forms import OnDateForm
from registry.models import Certificate, CertificateEvent
from registry.services import NOT_CURED

EVENT_TONES: dict[str, str] = {
    CertificateEvent.Kind.ISSUED: "good",
    CertificateEvent.Kind.RENEWED: "good",
    CertificateEvent.Kind.REINSTATED: "good",
    CertificateEvent.Kind.SUSPENDED: "warn",
    CertificateEvent.Kind.REVOKED: "bad",
}


def today_utc() -> date:
    return timezone.now().date()


def shared(response: HttpResponse) -> HttpResponse:
    """Let other sites' pages and scripts use the answer: it is as public as can be."""
    response["Access-Control-Allow-Origin"] = "*"
    response["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


@require_safe
@public_page
def certificate_detail(request: HttpRequest, number: str) -> HttpResponse:
    """Everything a certificate says; printable."""
    if number != number.upper():
        return HttpResponsePermanentRedirect(reverse("registry:certificate", args=[number.upper()]))
    today = today_utc()
    certificate: Any = get_object_or_404(
        Certificate.objects.listed(today).select_related("supersedes"), number=number
    )
    form = OnDateForm(request.GET if "on" in request.GET else None)
    answer = None
    if form.is_bound and form.is_valid():
        answer = answer_for(number, form.cleaned_data["on"], today=today)
    history = [event for event in certificate.history.all() if event.effective_on <= today]
    events = [
        {
            "tone": EVENT_TONES.get(event.kind, "quiet"),
            "title": event.get_kind_display(),
            "when": event.effective_on,
            "text": event.reason,
        }
        for event in history
    ]
    context = {
        "section": "certified",
        "certificate": certificate,
        "today": today,
        "status": certificate.status_on,
        "expiring_soon": certificate.is_expiring(today),
        "days_left": (certificate.expires_on - today).days,
        "last_day": certificate.expires_on - timedelta(days=1),
        "requirements": list(certificate.requirements.all()),
        "events": _with_silent_end(events, certificate),
        "notice": _running_notice(history, certificate),
        "successor": certificate.successors.filter(issued_on__lte=today).order_by("pk").first(),
        "form": form,
        "answer": answer,
        "badges": [_embedding(certificate, certificate.status_on, style) for style in badge.Style],
    }
    return render(request, "registry/certificate.html", context)


def _with_silent_end(events: list[dict[str, Any]], certificate: Any) -> list[dict[str, Any]]:
    """The history with the end that came by the calendar, also before the hourly task records it."""
    kind = CertificateEvent.Kind
    if certificate.status_on == Certificate.Status.EXPIRED and events[-1]["title"] != kind.EXPIRED.label:
        events.append(
            {"tone": "quiet", "title": kind.EXPIRED.label, "when": certificate.expires_on, "text": ""}
        )
    if certificate.status_on == Certificate.Status.REVOKED and events[-1]["title"] != kind.REVOKED.label:
        title, day = kind.REVOKED.label, certificate.cure_by
        events.append({"tone": "bad", "title": title, "when": day, "text": NOT_CURED})
    return events


def _running_notice(history: list[CertificateEvent], certificate: Any) -> dict[str, Any] | None:
    """The notice that suspends it today: since when, why, and the last day to cure the cause."""
    if certificate.status_on != Certificate.Status.SUSPENDED:
        return None
    event = history[-1]
    # Where it expires first, no day to cure is left to name.
    ends = event.cure_by if event.cure_by and event.cure_by < certificate.expires_on else None
    return {
        "since": event.effective_on,
        "reason": event.reason,
        "last_day": ends - timedelta(days=1) if ends else None,
        "revoked_on": ends,
    }


def _embedding(certificate: Certificate, status: str, style: badge.Style) -> dict[str, Any]:
    """A badge and the code that puts it on a page, for light and dark readers alike."""
    path = reverse("api-certification-badge", args=[certificate.number])
    # The code is for any page in the world: badge, words and page are English, and lead to the others.
    with translation.override(ENGLISH):
        page, picture = address(certificate.get_absolute_url()), address(path)
    light = f"{picture}?style={style}"
    words = f"Certificate {certificate.number} and its status today"
    width, height = badge.size(certificate, status=status, style=style)
    return {
        "style": style,
        "width": width,
        "height": height,
        "light": f"{path}?style={style}",
        "dark": f"{path}?style={style}&theme=dark",
        "html": (
            f'<a href="{page}">\n'
            "  <picture>\n"
            f'    <source media="(prefers-color-scheme: dark)" srcset="{light}&amp;theme=dark">\n'
            f'    <img src="{light}" alt="{words}">\n'
            "  </picture>\n"
            "</a>"
        ),
        "markdown": f"[![{words}]({light})]({page})",
    }


def _shown(number: str) -> Any:
    """The certificate with `status_on` today, where the public may see it; raises Http404."""
    return get_object_or_404(Certificate.objects.listed(today_utc()), number=number)


@require_safe
@public_page
def certificate_document(request: HttpRequest, number: str) -> HttpResponse:
    """The certificate as a PDF: what the registry says today, and where to ask what it says later."""
    certificate = _shown(number)
    content = certificate_pdf.render(certificate, status=certificate.status_on, today=today_utc())
    return HttpResponse(
        content,
        content_type="application/pdf",
        headers={"Content-Disposition": f'inline; filename="{certificate.number}.pdf"'},
    )


@require_safe
@public_page
def certificate_qr(request: HttpRequest, number: str) -> HttpResponse:
    """The address of the certificate as a QR code."""
    certificate = _shown(number)
    picture = qr.svg(address(certificate.get_absolute_url()), title=f"Address of {certificate.number}")
    return shared(HttpResponse(picture, content_type="image/svg+xml"))


# --- Keys ----------------------------------------------------------------------------------------------


@require_safe
@public_page
def key_set(request: HttpRequest) -> HttpResponse:
    """Every key that credentials may be verified with."""
    return shared(JsonResponse(keys.key_set(), content_type="application/jwk-set+json"))


@require_safe
@public_page
def one_key(request: HttpRequest, thumbprint: str) -> HttpResponse:
    """The key of this thumbprint: what the `kid` of a credential leads to."""
    key = keys.published_keys().filter(thumbprint=thumbprint).first()
    if key is None:
        raise Http404
    return shared(JsonResponse(keys.as_jwk(key), content_type="application/jwk+json"))


@require_safe
@public_page
def did_document(request: HttpRequest) -> HttpResponse:
    """The portal's did:web document."""
    return shared(JsonResponse(keys.did_document(), content_type="application/did+json"))

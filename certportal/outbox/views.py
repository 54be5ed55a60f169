"""The page that shows the mail of the embedded portal."""

from __future__ import annotations

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from certportal.outbox.models import OutboxMessage

SHOWN = 100


@require_safe
def outbox(request: HttpRequest) -> HttpResponse:
    """Show the newest messages, links clickable. Only the embedded portal has this page.

    It needs no log-in, because the link that confirms an address has to be reachable before the first one.
    """
    if not settings.EMBEDDED:
        raise Http404
    return render(request, "outbox/outbox.html", {"outbox": OutboxMessage.objects.all()[:SHOWN]})

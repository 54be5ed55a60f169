"""Is the process alive, is it ready for traffic, and how is the portal doing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, connection
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.crypto import constant_time_compare
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST


class HealthMiddleware:
    """Answers probes before anything else, so that host checks and redirects cannot fail them."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path == "/healthz":
            return HttpResponse("ok\n", content_type="text/plain")
        if request.path == "/readyz":
            return ready()
        return self.get_response(request)


def ready() -> HttpResponse:
    """200 when the database answers and the cache keeps what it is given, else 503 with what is wrong."""
    problems = {}
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        problems["database"] = type(error).__name__
    try:
        cache.set("readyz", "1", 10)
        if cache.get("readyz") != "1":
            problems["cache"] = "lost a value"
    except OSError as error:
        problems["cache"] = type(error).__name__
    except Exception as error:  # noqa: BLE001 - the client library of the cache has its own error tree
        problems["cache"] = type(error).__name__
    return JsonResponse({"ready": not problems, "problems": problems}, status=503 if problems else 200)


class PortalCollector:
    """Counts taken from the database when they are asked for; nothing is kept in the process."""

    def collect(self) -> Iterator[Metric]:
        from django.db.models import Count

        from registry.models import Certificate
        from submissions.models import Submission, VerificationRun

        for name, text, model in (
            ("certportal_submissions", "Submissions by status", Submission),
            ("certportal_runs", "Verification runs by status", VerificationRun),
            ("certportal_certificates", "Certificates by status", Certificate),
        ):
            gauge = GaugeMetricFamily(name, text, labels=["status"])
            for row in model.objects.values("status").annotate(number=Count("pk")):
                gauge.add_metric([row["status"]], row["number"])
            yield gauge


def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus exposition of the portal's state.

    It counts private work too, so a scraper shows ``METRICS_TOKEN``; without one set, nobody gets it but
    on the machine of the embedded portal, which nobody else reaches.
    """
    token = settings.METRICS_TOKEN
    shown = request.headers.get("Authorization", "")
    if not (constant_time_compare(shown, f"Bearer {token}") if token else settings.EMBEDDED):
        raise Http404
    registry = CollectorRegistry()
    registry.register(PortalCollector())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)

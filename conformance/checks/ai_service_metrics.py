"""A monitoring system discovers a workload that exposes metrics, and collects them unaltered."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from conformance import traffic
from conformance.checks import check
from conformance.cluster import errors
from conformance.conclusions import Concluded, failed, unknown
from conformance.endpoints import ServiceEndpoint
from conformance.resources import Resource
from conformance.rights import BASE, CLUSTER, Right, on
from conformance.run import Run
from conformance.traffic import APP_LABEL, Json
from conformance.verdicts import Status, Verdict

REQUESTS = 10
# An operator may take a minute to hand a new target on, and a system may look once a minute.
COLLECT_SECONDS = 300.0
GROUP = "monitoring.coreos.com"
_MONITORS = {
    kind: Resource(GROUP, "v1", f"{kind.lower()}s", kind) for kind in ("ServiceMonitor", "PodMonitor")
}
_PROMETHEUSES = Resource(GROUP, "v1", "prometheuses", "Prometheus")
_WORKLOAD, _CLIENT = "metrics-workload", "metrics-client"
_LEVEL = "certportal_probe_level"
_COUNTS: Mapping[str, Mapping[str, str]] = {
    "certportal_probe_requests_total": {},
    "certportal_probe_request_seconds_count": {},
    "certportal_probe_request_seconds_bucket": {"le": "+Inf"},
}

# Where Prometheus answers after the usual ways of installing it.
KNOWN_ENDPOINTS = tuple(
    ServiceEndpoint("monitoring", service, port)
    for service, port in (
        ("prometheus-k8s", "9090"),
        ("kube-prometheus-stack-prometheus", "9090"),
        ("prometheus-operated", "9090"),
        ("prometheus-server", "80"),
    )
)


def _known_rights() -> tuple[Right, ...]:
    # Not tied to the namespace: a role in one that is not there could not be applied.
    return tuple(
        right
        for endpoint in KNOWN_ENDPOINTS
        for right in on("services/proxy", "get", scope=CLUSTER, option="known endpoint", name=endpoint.name)
    )


RIGHTS: tuple[Right, ...] = (
    *on("servicemonitors", "create get delete", group=GROUP, option="ServiceMonitor"),
    *on("podmonitors", "create get delete", group=GROUP, option="PodMonitor"),
    *on("prometheuses", "list", group=GROUP, scope=CLUSTER, option="prometheuses"),
    *_known_rights(),
)


@check(
    "ai_service_metrics",
    deadline=900,
    rights=(
        *BASE,
        *on("services", "create get delete"),
        *RIGHTS,
    ),
)
def ai_service_metrics(run: Run) -> Verdict:
    """A monitoring system finds a workload that exposes metrics and collects them.

    A workload exposes a counter, a histogram and a gauge under a random label and gets exactly ten
    requests. Wired up in the way the platform offers, its counter and its histogram arrive with ten,
    its gauge with the level it was given.

    KAR-0061. Read through the vendor's Prometheus-compatible query endpoint, after that has shown
    that it answers at all.
    """
    endpoint = query_endpoint(run)
    wiring = choose_wiring(run)
    label, level = secrets.token_hex(6), secrets.randbelow(9000) + 1000
    annotations = scrape_annotations() if wiring == "annotations" else None
    traffic.serve(
        run, _WORKLOAD, _WORKLOAD, {"PROBE_LABEL": label, "PROBE_LEVEL": str(level)}, annotations=annotations
    )
    traffic.expose(run, _WORKLOAD, _WORKLOAD)
    labels = wire(run, wiring, _WORKLOAD)
    traffic.await_ready(run, _WORKLOAD)
    _send_requests(run)
    seen = _collected(run, endpoint, label, level)
    _expect(seen, level, f"{wiring}{f' labelled {labels}' if labels else ''}")
    return Verdict(
        Status.PASS,
        "collected",
        f"Wired by {wiring}, the workload's counter, histogram and gauge arrived at {endpoint} with the "
        f"{REQUESTS} requests that were sent.",
    )


# The query endpoint -------------------------------------------------------------------------------


def query_endpoint(run: Run) -> ServiceEndpoint:
    """Return the query endpoint that answers; conclude as unknown where none does."""
    named = run.settings.monitoring.endpoint
    if named is not None:
        run.require_rights(named.rights("get"))
        if problem := _problem(run, named):
            run.evidence.observe("endpoints tried", {str(named): problem})
            raise unknown("endpoint_not_answering", f"The query endpoint at {named} {problem}.")
        return named
    run.require("known endpoint")
    problems = {}
    for endpoint in KNOWN_ENDPOINTS:
        problem = _problem(run, endpoint)
        if not problem:
            return endpoint
        problems[str(endpoint)] = problem
    run.evidence.observe("endpoints tried", problems)
    raise unknown(
        "no_endpoint",
        "No Prometheus-compatible query endpoint was found where one usually is; name it under "
        "`monitoring.endpoint` in the probe settings.",
    )


def _problem(run: Run, endpoint: ServiceEndpoint) -> str:
    """Return what is wrong with an endpoint, nothing where it answers a trivial query."""
    try:
        found = query(run, endpoint, "vector(1)")
    except errors.StatusError as error:
        return f"answers {error.status}"
    except errors.BadAnswer:
        return "answers something else than a query endpoint does"
    return "" if [sample.value for sample in found] == [1.0] else "does not answer vector(1) with 1"


@dataclass(frozen=True, slots=True)
class Sample:
    """A series in an instant vector."""

    labels: Mapping[str, str]
    value: float


def query(run: Run, endpoint: ServiceEndpoint, text: str) -> list[Sample]:
    """Return the instant vector a query stands for."""
    answer = run.connection.get(
        endpoint.address("api/v1/query"), query={"query": text}, patience=run.patience()
    )
    data = answer.get("data")
    result = data.get("result") if isinstance(data, dict) else None
    if answer.get("status") != "success" or not isinstance(result, list):
        raise errors.BadAnswer("the query endpoint does not answer as Prometheus does")
    return [sample for entry in result if (sample := _sample(entry)) is not None]


def _sample(entry: Any) -> Sample | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("metric"), dict):
        return None
    try:
        value = float(entry["value"][1])
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    return Sample({str(key): str(text) for key, text in entry["metric"].items()}, value)


# The workload -------------------------------------------------------------------------------------


def choose_wiring(run: Run) -> str:
    """Return how workloads are made known: the vendor's way, or the one this cluster has."""
    wanted = run.settings.monitoring.wiring
    offered = _offered(run)
    run.evidence.observe("monitors offered", offered)
    if wanted in _MONITORS and wanted not in offered:
        raise failed("wiring_missing", f"The server offers no {wanted}, which the probe settings name.")
    chosen = wanted or next((kind for kind in _MONITORS if kind in offered), "annotations")
    if chosen in _MONITORS:
        run.require(chosen)
    run.evidence.observe("wiring", chosen)
    return chosen


def _offered(run: Run) -> list[str]:
    """Return the kinds of monitors the server has."""
    if GROUP not in run.groups():
        return []
    try:
        answer = run.connection.get(f"/apis/{GROUP}/v1", patience=run.patience())
    except errors.NotFound:
        return []
    kinds = {str(entry.get("kind")) for entry in answer.get("resources") or [] if isinstance(entry, dict)}
    return [kind for kind in _MONITORS if kind in kinds]


def scrape_annotations() -> dict[str, str]:
    """Return what many systems take for a pod's wish to be scraped."""
    return {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(traffic.PORT),
        "prometheus.io/path": "/metrics",
    }


def wire(run: Run, wiring: str, app: str) -> dict[str, str]:
    """Create the monitor of an app, where there is one, and return the labels it was given."""
    if wiring not in _MONITORS:
        return {}
    labels = dict(run.settings.monitoring.labels) or _wanted_labels(run, wiring)
    endpoints = "endpoints" if wiring == "ServiceMonitor" else "podMetricsEndpoints"
    spec = {
        "selector": {"matchLabels": {APP_LABEL: app}},
        endpoints: [{"port": "http", "path": "/metrics", "interval": "5s", "scrapeTimeout": "5s"}],
    }
    run.create(_MONITORS[wiring], app, {"metadata": {"labels": labels}, "spec": spec})
    return labels


def _wanted_labels(run: Run, wiring: str) -> dict[str, str]:
    """Return the labels a Prometheus of this cluster selects monitors by."""
    run.require("prometheuses")
    field = f"{wiring[0].lower()}{wiring[1:]}Selector"
    try:
        found = run.items(_PROMETHEUSES, everywhere=True)
    except errors.NotFound:
        return {}
    for item in found:
        selector: Json | None = (item.get("spec") or {}).get(field)
        if selector is not None and not selector.get("matchExpressions"):
            return {str(key): str(value) for key, value in (selector.get("matchLabels") or {}).items()}
    return {}


def _send_requests(run: Run) -> None:
    """Send exactly ten requests over the workload's Service; conclude where it cannot be reached."""
    base = f"http://{_WORKLOAD}.{run.namespace}.svc:{traffic.PORT}"
    told = {
        "PROBE_READY": f"{base}/health",
        "PROBE_URL": f"{base}/v1/models",
        "PROBE_COUNT": str(REQUESTS),
    }
    answers = traffic.ask(run, _CLIENT, told)
    if not answers.reached:
        raise unknown("target_unreachable", "The workload's Service cannot be reached from another pod.")
    if answers.failures:
        raise unknown(
            "requests_lost",
            f"{answers.failures} of {answers.sent} requests to the workload were not answered, so that "
            "what it counted is not known.",
        )


# What arrived -------------------------------------------------------------------------------------


def _collected(run: Run, endpoint: ServiceEndpoint, label: str, level: int) -> list[Sample]:
    """Wait until everything has arrived and return it, or what has arrived when the time is over."""
    patience = run.awhile(COLLECT_SECONDS)
    text = f'{{run="{label}",__name__=~"certportal_probe_.+"}}'
    while True:
        is_last = patience.remaining() <= run.scaled(2)
        try:
            seen = query(run, endpoint, text)
        except (errors.Unauthorized, errors.Forbidden) as error:
            raise unknown(
                "endpoint_not_answering", f"The query endpoint at {endpoint} refuses: {error}"
            ) from error
        is_complete = _missing(seen, level) is None
        if is_last and not is_complete:
            run.blame_engine(patience)
        if is_complete or is_last:
            run.evidence.observe(
                "series",
                [{"labels": dict(sample.labels), "value": sample.value} for sample in seen[:50]],
            )
            return seen
        run.pause(2)


def _missing(seen: list[Sample], level: int) -> Concluded | None:
    """Return what to conclude of the series that arrived, None where nothing is amiss."""
    wanted = [(name, labels, float(REQUESTS)) for name, labels in _COUNTS.items()]
    wanted.append((_LEVEL, {}, float(level)))
    for name, labels, value in wanted:
        found = [
            sample.value
            for sample in seen
            if sample.labels.get("__name__") == name and labels.items() <= sample.labels.items()
        ]
        if not found:
            return failed("series_missing", f"No series {name} arrived")
        if wrong := [entry for entry in found if entry != value]:
            return failed("value_differs", f"{name} arrived with {wrong[0]:g} instead of {value:g}")
    return None


def _expect(seen: list[Sample], level: int, wiring: str) -> None:
    if not seen:
        raise failed(
            "not_collected",
            f"Nothing of the workload arrived although it can be reached. It was wired by {wiring}.",
        )
    missing = _missing(seen, level)
    if missing is not None:
        verdict = missing.verdict
        raise failed(verdict.reason, f"{verdict.message}. It was wired by {wiring}.")

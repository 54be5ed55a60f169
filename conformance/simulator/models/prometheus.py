"""A model of Prometheus: it discovers targets, scrapes them, and answers instant queries."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from conformance.simulator import exposition
from conformance.simulator.exposition import QueryError, Sample
from conformance.simulator.fetching import fetch
from conformance.simulator.monitoring import HOME, POD_MONITORS, PORT, PROMETHEUSES, SERVICE_MONITORS
from conformance.simulator.network import Request, Response
from conformance.simulator.objects import Json, annotations_of, by_name, dig, is_pod_finished, labels_of
from conformance.simulator.programs import FOREVER, Process, Run, models_image
from conformance.simulator.selectors import matches_label_selector
from conformance.simulator.world import World

SCRAPE_SECONDS = 5.0
SLICES, SERVICE_LABEL = "endpointslices.discovery.k8s.io", "kubernetes.io/service-name"


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """Something to scrape and the labels its series get."""

    url: str
    labels: tuple[tuple[str, str], ...]


@models_image("prometheus")
def _prometheus(process: Process) -> Run:
    if process.world is None:
        return Run(seconds=FOREVER, on_term=0)
    server = _Prometheus(process.world)
    return Run(
        first=("Server is ready to receive web requests.",),
        seconds=FOREVER,
        on_term=0,
        listens={PORT: server.answer},
        repeats=server.scrape,
        every=SCRAPE_SECONDS,
    )


class _Prometheus:
    """The latest sample of each series of each target; what is no target any more is forgotten."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._store = world.store
        self._samples: dict[Target, list[Sample]] = {}

    # Scraping

    def scrape(self) -> None:
        targets = [] if "monitoring-ignores-targets" in self._world.faults else list(self._targets())
        self._samples = {target: self._scraped(target) for target in targets}

    def _scraped(self, target: Target) -> list[Sample]:
        answer = fetch(self._world, target.url, namespace=HOME)
        shared = dict(target.labels)
        is_up = answer is not None and answer.status == HTTPStatus.OK
        up = Sample({"__name__": "up", **shared}, float(is_up))
        if answer is None or not is_up:
            return [up]
        return [up, *self._kept(answer.body.decode("utf-8", "replace"), shared)]

    def _kept(self, text: str, shared: Mapping[str, str]) -> Iterator[Sample]:
        faults = self._world.faults
        for sample, kind in exposition.parsed(text):
            name = sample.labels["__name__"]
            if f"monitoring-drops-{kind}s" in faults:
                continue
            if "monitoring-drops-buckets" in faults and name.endswith("_bucket"):
                continue
            value = sample.value
            if f"monitoring-distorts-{kind}s" in faults:
                value = max(value - 1, 0.0)
            yield Sample({**sample.labels, **shared}, value)

    # Discovery

    def _targets(self) -> Iterator[Target]:
        for monitor in self._selected(SERVICE_MONITORS, "serviceMonitorSelector"):
            yield from self._of_service_monitor(monitor)
        for monitor in self._selected(POD_MONITORS, "podMonitorSelector"):
            yield from self._of_pod_monitor(monitor)
        for pod in self._store.each("pods"):
            if annotations_of(pod).get("prometheus.io/scrape") == "true" and dig(pod, "status", "podIP"):
                yield from self._annotated(pod)

    def _selected(self, key: str, selector: str) -> Iterator[Json]:
        wanted = [dig(entry, "spec", selector) for entry in self._store.each(PROMETHEUSES)]
        for monitor in self._store.each(key):
            if any(
                entry is not None and matches_label_selector(entry, labels_of(monitor)) for entry in wanted
            ):
                yield monitor

    def _homes(self, monitor: Json) -> list[str]:
        """Return the namespaces a monitor looks at, its own unless it says otherwise."""
        chosen = dig(monitor, "spec", "namespaceSelector", default={})
        if chosen.get("any"):
            return [""]
        return list(chosen.get("matchNames") or [monitor["metadata"]["namespace"]])

    def _of_service_monitor(self, monitor: Json) -> Iterator[Target]:
        for home in self._homes(monitor):
            for service in self._store.all("services", home):
                if matches_label_selector(monitor["spec"]["selector"], labels_of(service)):
                    for endpoint in monitor["spec"].get("endpoints") or ():
                        yield from self._of_service(service, endpoint)

    def _of_service(self, service: Json, endpoint: Json) -> Iterator[Target]:
        home, name = service["metadata"]["namespace"], service["metadata"]["name"]
        for piece in self._store.all(SLICES, home):
            if labels_of(piece).get(SERVICE_LABEL) != name:
                continue
            for port in piece.get("ports") or ():
                if port.get("name") != endpoint.get("port"):
                    continue
                for found in piece.get("endpoints") or ():
                    labels = {
                        "job": name,
                        "service": name,
                        "endpoint": port["name"],
                        "namespace": home,
                        "pod": dig(found, "targetRef", "name", default=""),
                    }
                    yield _target(found["addresses"][0], port["port"], endpoint.get("path"), labels)

    def _of_pod_monitor(self, monitor: Json) -> Iterator[Target]:
        for home in self._homes(monitor):
            for pod in self._store.all("pods", home):
                address = dig(pod, "status", "podIP")
                if not address or is_pod_finished(pod):
                    continue
                if not matches_label_selector(monitor["spec"]["selector"], labels_of(pod)):
                    continue
                ports = by_name(
                    port
                    for container in pod["spec"]["containers"]
                    for port in container.get("ports") or ()
                    if "name" in port
                )
                for endpoint in monitor["spec"].get("podMetricsEndpoints") or ():
                    port = dig(ports.get(endpoint.get("port", "")), "containerPort")
                    number = endpoint.get("portNumber", port)
                    if number is not None:
                        job = f"{home}/{monitor['metadata']['name']}"
                        yield _target(address, number, endpoint.get("path"), {"job": job, **_of_pod(pod)})

    def _annotated(self, pod: Json) -> Iterator[Target]:
        given = annotations_of(pod)
        if is_pod_finished(pod):
            return
        port = given.get("prometheus.io/port", "80")
        labels = {"job": "kubernetes-pods", **_of_pod(pod)}
        yield _target(pod["status"]["podIP"], port, given.get("prometheus.io/path"), labels)

    # Queries

    def answer(self, request: Request) -> Response:
        path, _, query = request.path.partition("?")
        if path in {"/-/ready", "/-/healthy"}:
            return Response(HTTPStatus.OK, b"Prometheus Server is Ready.\n", {"Content-Type": "text/plain"})
        if path != "/api/v1/query":
            return Response(HTTPStatus.NOT_FOUND, b"404 page not found\n", {"Content-Type": "text/plain"})
        if "monitoring-endpoint-down" in self._world.faults:
            return _json({"status": "error", "errorType": "unavailable"}, HTTPStatus.SERVICE_UNAVAILABLE)
        form = request.body.decode() if request.method == "POST" else query
        wanted = parse_qs(form).get("query", [""])[0]
        samples = [sample for found in self._samples.values() for sample in found]
        try:
            result = exposition.evaluated(wanted, samples)
        except QueryError as error:
            refused = {"status": "error", "errorType": "bad_data", "error": str(error)}
            return _json(refused, HTTPStatus.BAD_REQUEST)
        moment = round(time.time(), 3)
        vector = [{"metric": sample.labels, "value": [moment, f"{sample.value:g}"]} for sample in result]
        return _json({"status": "success", "data": {"resultType": "vector", "result": vector}})


def _of_pod(pod: Json) -> dict[str, str]:
    return {"namespace": pod["metadata"]["namespace"], "pod": pod["metadata"]["name"]}


def _target(address: str, port: Any, path: str | None, labels: Mapping[str, str]) -> Target:
    place = f"{address}:{port}"
    return Target(f"http://{place}{path or '/metrics'}", tuple(sorted({"instance": place, **labels}.items())))


def _json(value: Json, status: int = HTTPStatus.OK) -> Response:
    return Response(int(status), json.dumps(value).encode(), {"Content-Type": "application/json"})

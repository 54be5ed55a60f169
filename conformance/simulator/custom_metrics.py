"""A metrics adapter: serves what pods expose as custom.metrics.k8s.io."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from fractions import Fraction
from http import HTTPStatus

from conformance.simulator.clock import stamp
from conformance.simulator.errors import ApiError, method_not_allowed, no_such_path
from conformance.simulator.objects import Json, dig, labels_of, uid_of
from conformance.simulator.quantities import amount
from conformance.simulator.requests import Target
from conformance.simulator.scraping import exposed
from conformance.simulator.selectors import label_matcher
from conformance.simulator.world import World

GROUP = "custom.metrics.k8s.io"
SCRAPE_SECONDS = 5.0
_KIND = "MetricValueList"


class MetricsAdapter:
    """Answers for pods, by name or all that a selector chooses. Values are as old as the last scrape."""

    versions: tuple[str, ...] = ("v1beta2", "v1beta1")
    is_down = False

    def __init__(self, world: World) -> None:
        self._world = world
        self._scraped: dict[str, tuple[float, Mapping[str, float]]] = {}
        self._highest: dict[str, float] = {}

    def resources(self) -> list[Json]:
        names = {name for pod in self._world.store.each("pods") for name in self._samples(pod)}
        return [
            {"name": f"pods/{name}", "singularName": "", "namespaced": True, "kind": _KIND, "verbs": ["get"]}
            for name in sorted(names)
        ]

    def answer(self, method: str, where: Target, query: Mapping[str, str]) -> Json:
        if method != "GET":
            raise method_not_allowed()
        if where.plural != "pods" or not where.namespace or not where.subresource or where.rest:
            raise no_such_path()
        metric = where.subresource
        chosen = label_matcher(query.get("labelSelector", ""))
        found = {
            str(pod["metadata"]["name"]): value
            for pod in self._world.store.all("pods", where.namespace)
            if where.name in {"*", pod["metadata"]["name"]} and chosen(labels_of(pod))
            if (value := self.value(pod, metric)) is not None
        }
        if not found:
            message = f"the server could not find the metric {metric} for pods"
            raise ApiError(HTTPStatus.NOT_FOUND, "NotFound", message, {})
        items = [
            _value(where, metric, name, value, named=where.version != "v1beta1")
            for name, value in sorted(found.items())
        ]
        return {"kind": _KIND, "apiVersion": f"{GROUP}/{where.version}", "metadata": {}, "items": items}

    def value(self, pod: Json, metric: str) -> float | None:
        """Return a pod's metric as it was last scraped; None where it has none."""
        value = self._samples(pod).get(metric)
        if value is None or "metrics-adapter-blind" in self._world.faults:
            return None
        if "metrics-adapter-never-falls" in self._world.faults:
            value = self._highest[uid_of(pod)] = max(value, self._highest.get(uid_of(pod), value))
        return 0.0 if "metrics-adapter-stuck" in self._world.faults else value

    def _samples(self, pod: Json) -> Mapping[str, float]:
        moment = asyncio.get_running_loop().time()
        known = self._scraped.get(uid_of(pod))
        if known is not None and moment - known[0] < self._world.clock.scaled(SCRAPE_SECONDS):
            return known[1]
        found = exposed(self._world, pod)
        if not found:
            self._scraped.pop(uid_of(pod), None)
            return {}
        self._scraped[uid_of(pod)] = (moment, found)
        return found


def _value(where: Target, metric: str, pod: str, value: float, *, named: bool) -> Json:
    described = {"kind": "Pod", "namespace": where.namespace, "name": pod, "apiVersion": "/v1"}
    entry: Json = {"describedObject": described, "timestamp": stamp(), "value": amount(Fraction(value))}
    if named:
        return entry | {"metric": {"name": metric, "selector": None}}
    return entry | {"metricName": metric, "selector": None}


def api_services(version_priority: int = 100) -> list[Json]:
    """Return how the adapter is registered with the API server."""
    return [
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": f"{version}.{GROUP}"},
            "spec": {
                "group": GROUP,
                "version": version,
                "groupPriorityMinimum": 100,
                "versionPriority": version_priority + index,
                "insecureSkipTLSVerify": True,
                "service": {"name": "prometheus-adapter", "namespace": "monitoring", "port": 443},
            },
        }
        for index, version in enumerate(reversed(MetricsAdapter.versions))
    ]


def mark_available(world: World) -> None:
    """Let the API server have found the adapter behind its registrations."""
    for entry in world.store.all("apiservices.apiregistration.k8s.io"):
        if dig(entry, "spec", "group") == GROUP:
            world.api.edit("apiservices.apiregistration.k8s.io", "", entry["metadata"]["name"], _available)


def _available(entry: Json) -> None:
    condition = {
        "type": "Available",
        "status": "True",
        "reason": "Passed",
        "message": "all checks passed",
        "lastTransitionTime": stamp(),
    }
    entry["status"] = {"conditions": [condition]}

"""The data plane of the simulated gateway: from a request to a backend's answer."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus

from conformance.simulator import proxy
from conformance.simulator.errors import ApiError
from conformance.simulator.gatewayapi import POOLS, ROUTES
from conformance.simulator.network import Request, Response
from conformance.simulator.objects import Json, dig, is_pod_ready, labels_of
from conformance.simulator.selectors import matches_label_selector
from conformance.simulator.world import World

# Where the picker is asked, and the header in which it names its choice.
PICKER_PATH = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
DESTINATION = "x-gateway-destination-endpoint"
_PICKER_PORT = 9002
_FLAKY_EVERY = 5
_KEPT_SECONDS = 60.0


class Forwarder:
    """Finds a route for each request and spreads the requests of a rule by the weights of its backends."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._store = world.store
        self._credits: dict[tuple[str, int], list[float]] = {}
        self._numbers = itertools.count(1)
        self._known: dict[tuple[str, str], dict[tuple[str, int], float]] = {}

    def answer(self, namespace: str, gateway: str, listener: str, request: Request) -> Response:
        found = sorted(
            (
                (_specificity(match), str(route["metadata"]["uid"]), number, rule)
                for route in self._attached(namespace, gateway, listener)
                for number, rule in enumerate(route["spec"].get("rules") or ())
                for match in rule.get("matches") or [{}]
                if self._matches(match, request)
            ),
            key=lambda entry: entry[0],
        )
        if not found or "gateway-serves-no-routes" in self._world.faults:
            return _plain(HTTPStatus.NOT_FOUND, "no route")
        _, uid, number, rule = found[-1]
        backends = [entry for entry in rule.get("backendRefs") or () if entry.get("weight", 1) > 0]
        if not backends:
            return _plain(HTTPStatus.INTERNAL_SERVER_ERROR, "no backend")
        backend = self._weighted((uid, number), backends)
        if "gateway-answers-503" in self._world.faults and next(self._numbers) % _FLAKY_EVERY == 0:
            return _plain(HTTPStatus.SERVICE_UNAVAILABLE, "upstream connect error")
        if backend["kind"] == "InferencePool":
            return self._by_picker(namespace, backend["name"], request)
        return self._to_service(namespace, backend, request)

    def _attached(self, namespace: str, gateway: str, listener: str) -> Iterator[Json]:
        for route in self._store.all(ROUTES):
            home = route["metadata"]["namespace"]
            for parent in dig(route, "status", "parents", default=()):
                reference = parent["parentRef"]
                is_accepted = any(
                    entry["type"] == "Accepted" and entry["status"] == "True"
                    for entry in parent["conditions"]
                )
                if (
                    is_accepted
                    and (reference.get("namespace", home), reference["name"]) == (namespace, gateway)
                    and reference.get("sectionName", listener) == listener
                ):
                    yield route
                    break

    def _matches(self, match: Json, request: Request) -> bool:
        path = request.path.partition("?")[0]
        wanted = match.get("path") or {"type": "PathPrefix", "value": "/"}
        value = str(wanted["value"])
        if wanted["type"] == "Exact":
            is_path = path == value
        elif wanted["type"] == "RegularExpression":
            is_path = re.fullmatch(value, path) is not None
        else:
            is_path = path == value or path.startswith(value.rstrip("/") + "/")
        if not is_path or match.get("method", request.method) != request.method:
            return False
        if "gateway-ignores-headers" in self._world.faults:
            return not match.get("headers")
        wanted_headers = match.get("headers") or ()
        if "gateway-ignores-header-values" in self._world.faults:
            return all(str(entry["name"]).lower() in request.headers for entry in wanted_headers)
        return all(_has(request.headers, entry) for entry in wanted_headers)

    def _weighted(self, key: tuple[str, int], backends: list[Json]) -> Json:
        """Take turns in proportion to the weights, evenly spread."""
        weights = [float(entry.get("weight", 1)) for entry in backends]
        if "gateway-ignores-weights" in self._world.faults:
            weights = [1.0] * len(backends)
        if "gateway-starves-minority" in self._world.faults:
            weights = [weight if weight == max(weights) else 0.0 for weight in weights]
        credit = self._credits.setdefault(key, [0.0] * len(backends))
        for index, weight in enumerate(weights):
            credit[index] += weight
        chosen = max(range(len(backends)), key=lambda index: credit[index])
        credit[chosen] -= sum(weights)
        return backends[chosen]

    def _to_service(self, namespace: str, backend: Json, request: Request) -> Response:
        home = backend.get("namespace", namespace)
        try:
            found = proxy.endpoints(self._store, home, backend["name"], str(backend.get("port", "")))
        except ApiError:
            found = []
        if "gateway-keeps-addresses" in self._world.faults:
            found = self._remembered((home, backend["name"]), found)
        if not found:
            return _plain(HTTPStatus.SERVICE_UNAVAILABLE, "no healthy upstream")
        return self._to(*random.choice(found), request)  # noqa: S311 - a balancer's choice is no secret

    def _remembered(self, service: tuple[str, str], found: list[tuple[str, int]]) -> list[tuple[str, int]]:
        """Return every address a Service had of late, as a gateway knows it that misses changes."""
        moment = asyncio.get_running_loop().time()
        known = self._known.setdefault(service, {})
        known |= dict.fromkeys(found, moment)
        return [
            place for place, seen in known.items() if moment - seen < self._world.clock.scaled(_KEPT_SECONDS)
        ]

    def _by_picker(self, namespace: str, name: str, request: Request) -> Response:
        """Forward to the server of a pool that its endpoint picker names."""
        pool = self._store.get(POOLS, namespace, name)
        if pool is None:
            return _plain(HTTPStatus.INTERNAL_SERVER_ERROR, "no such pool")
        if "pool-answers-503" in self._world.faults:
            return _plain(HTTPStatus.SERVICE_UNAVAILABLE, "no healthy upstream")
        servers = [
            (str(pod["status"]["podIP"]), int(port["number"]))
            for pod in self._store.all("pods", namespace)
            if is_pod_ready(pod) and matches_label_selector(pool["spec"]["selector"], labels_of(pod))
            for port in pool["spec"]["targetPorts"]
        ]
        choice = self._picked(namespace, pool, request)
        if "pool-ignores-picker" in self._world.faults and servers:
            choice = servers[next(self._numbers) % len(servers)]
        if choice is None and pool["spec"]["endpointPickerRef"].get("failureMode") == "FailOpen" and servers:
            choice = servers[next(self._numbers) % len(servers)]
        if choice is None or choice not in servers:
            return _plain(HTTPStatus.SERVICE_UNAVAILABLE, "no endpoint was picked")
        return self._to(*choice, request)

    def _picked(self, namespace: str, pool: Json, request: Request) -> tuple[str, int] | None:
        reference = pool["spec"]["endpointPickerRef"]
        port = dig(reference, "port", "number", default=_PICKER_PORT)
        try:
            found = proxy.endpoints(self._store, namespace, reference["name"], str(port))
        except ApiError:
            return None
        for address, number in found[:1]:
            asked = Request("POST", PICKER_PATH, request.headers, request.body)
            answer = self._world.network.request(address, number, asked)
            if answer is not None and answer.status == HTTPStatus.OK:
                host, _, target = answer.headers.get(DESTINATION, "").rpartition(":")
                return (host, int(target)) if host else None
        return None

    def _to(self, address: str, port: int, request: Request) -> Response:
        answer = self._world.network.request(address, port, request)
        return answer or _plain(HTTPStatus.SERVICE_UNAVAILABLE, "upstream connect error")


def _plain(status: int, text: str) -> Response:
    return Response(int(status), text.encode(), {"Content-Type": "text/plain"})


def _has(headers: Mapping[str, str], wanted: Json) -> bool:
    value = headers.get(str(wanted["name"]).lower())
    if value is None:
        return False
    if wanted.get("type") == "RegularExpression":
        return re.fullmatch(str(wanted["value"]), value) is not None
    return value == str(wanted["value"])


def _specificity(match: Json) -> tuple[bool, int, bool, int]:
    path = match.get("path") or {}
    return (
        path.get("type") == "Exact",
        len(str(path.get("value", "/"))),
        "method" in match,
        len(match.get("headers") or ()),
    )

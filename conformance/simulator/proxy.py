"""The API server's proxy to Services: from a name and a port to an answer of a program in a pod."""

from __future__ import annotations

import random
from http import HTTPStatus

from conformance.simulator.errors import ApiError, Json, not_found
from conformance.simulator.network import Network, Request, Response
from conformance.simulator.objects import dig, labels_of
from conformance.simulator.store import Store

SLICES = "endpointslices.discovery.k8s.io"
SERVICE_LABEL = "kubernetes.io/service-name"
_WITH_SCHEME = 3


def ask(store: Store, network: Network, namespace: str, name: str, request: Request) -> Response:
    """Hand a request on to a ready endpoint of a Service, chosen at random as the API server does.

    `name` reads ``[scheme:]service[:port]`` with the port's number or name; a Service with one port
    needs none. Raises what the API server answers where nobody can be reached.
    """
    parts = name.split(":")
    service, port = parts[1:] if len(parts) == _WITH_SCHEME else [*parts, ""][:2]
    found = endpoints(store, namespace, service, port)
    if not found:
        raise unavailable(f'no endpoints available for service "{service}"')
    address, number = random.choice(found)  # noqa: S311 - a balancer's choice is no secret
    answer = network.request(address, number, request)
    if answer is None:
        problem = f"dial tcp {address}:{number}: connect: connection refused"
        raise unavailable(f"error trying to reach service: {problem}")
    return answer


def endpoints(store: Store, namespace: str, service: str, port: str = "") -> list[tuple[str, int]]:
    """Return address and port of every ready endpoint of a Service's port."""
    obj = store.get("services", namespace, service)
    if obj is None:
        raise not_found("", "services", service)
    entry = _port(obj, port)
    if entry is None:
        raise unavailable(f'no service port "{port}" found for service "{service}"')
    return [
        (str(address), int(published["port"]))
        for piece in store.all(SLICES, namespace)
        if labels_of(piece).get(SERVICE_LABEL) == service
        for published in piece.get("ports") or ()
        if published.get("name", "") == entry.get("name", "")
        for endpoint in piece.get("endpoints") or ()
        if dig(endpoint, "conditions", "ready", default=True)
        for address in endpoint["addresses"][:1]
    ]


def unavailable(message: str) -> ApiError:
    return ApiError(HTTPStatus.SERVICE_UNAVAILABLE, "ServiceUnavailable", message, {})


def _port(service: Json, wanted: str) -> Json | None:
    ports: list[Json] = dig(service, "spec", "ports", default=[])
    if not wanted:
        return ports[0] if len(ports) == 1 else None
    return next((entry for entry in ports if wanted in {entry.get("name"), str(entry["port"])}), None)

"""HTTP between pods: from a URL, as a program in a pod writes it, to an answer of another program."""

from __future__ import annotations

import dataclasses
import ipaddress
import random
from collections.abc import Mapping
from urllib.parse import urlsplit

from conformance.simulator import proxy
from conformance.simulator.errors import ApiError
from conformance.simulator.network import Request, Response
from conformance.simulator.objects import dig, labels_of
from conformance.simulator.world import World

CLUSTER_DOMAIN = ("svc", "cluster", "local")
_HTTP_PORT = 80
_PACKET = 1400
_NEXT_DIGIT = bytes.maketrans(b"0123456789", b"1234567890")
_LOSS = 0.25


def fetch(
    world: World,
    url: str,
    *,
    namespace: str,
    address: str = "",
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> Response | None:
    """Send a request from a pod; None where nobody can be reached.

    `namespace` and `address` are the asking pod's: short names and the loopback address mean them.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _HTTP_PORT
    found = _resolved(world, host, port, namespace, address)
    if not found or "pod-network-down" in world.faults:
        return None
    if "pod-network-flaky" in world.faults and random.random() < _LOSS:  # noqa: S311 - chance, no secret
        return None
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    given = {name.lower(): value for name, value in (headers or {}).items()}
    request = Request(method, path, {"host": parts.netloc, **given}, body)
    place, number = random.choice(found)  # noqa: S311 - a balancer's choice is no secret
    return _carried(world, world.network.request(place, number, request))


def _carried(world: World, answer: Response | None) -> Response | None:
    """Return what arrives of an answer over the pod network of a faulty cluster."""
    if answer is None:
        return None
    if "pod-network-loses-large" in world.faults and len(answer.body) > _PACKET:
        return None
    if "pod-network-garbles" in world.faults and len(answer.body) > _PACKET:
        return dataclasses.replace(answer, body=answer.body.translate(_NEXT_DIGIT))
    return answer


def _resolved(world: World, host: str, port: int, namespace: str, address: str) -> list[tuple[str, int]]:
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        if host == "localhost":
            return [(address, port)]
        if found := _named_pod(world, host.split("."), port, namespace):
            return found
        service, _, rest = host.partition(".")
        home, *domain = rest.split(".") if rest else [namespace]
        is_name = tuple(domain) == CLUSTER_DOMAIN[: len(domain)]
        return _behind(world, home, service, port) if is_name else []
    if literal.is_loopback:
        return [(address, port)]
    for entry in world.store.each("services"):
        if entry["spec"].get("clusterIP") == host:
            return _behind(world, entry["metadata"]["namespace"], entry["metadata"]["name"], port)
    return [(host, port)]


def _named_pod(world: World, labels: list[str], port: int, namespace: str) -> list[tuple[str, int]]:
    """Return the pod of that host name behind a headless Service: ``host.service[.namespace[.svc…]]``."""
    if len(labels) == 1 or "headless-names-missing" in world.faults:
        return []
    host, service, *rest = labels
    home, domain = (rest[0], tuple(rest[1:])) if rest else (namespace, ())
    obj = world.store.get("services", home, service)
    if obj is None or obj["spec"].get("clusterIP") != "None" or domain != CLUSTER_DOMAIN[: len(domain)]:
        return []
    return [
        (str(endpoint["addresses"][0]), port)
        for piece in world.store.all(proxy.SLICES, home)
        if labels_of(piece).get(proxy.SERVICE_LABEL) == service
        for endpoint in piece.get("endpoints") or ()
        if endpoint.get("hostname") == host and dig(endpoint, "conditions", "ready", default=True)
    ]


def _behind(world: World, namespace: str, service: str, port: int) -> list[tuple[str, int]]:
    try:
        return proxy.endpoints(world.store, namespace, service, str(port))
    except ApiError:
        return []

"""Finding out whether, where and how one accelerator can be given to several pods."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from conformance import advertised, devices, pods
from conformance.devices import Device
from conformance.pods import Request
from conformance.resources import CLAIM_TEMPLATES, PODS, RESOURCE_CLAIMS
from conformance.run import Run

Json = dict[str, Any]

TEMPLATE = "share"
_PARENT = "parentUUID"
_PARTITION = re.compile(r"[a-z0-9.-]+/(?:mig-[0-9]+g\.[0-9]+gb[a-z0-9.+]*)")
_SHARED = re.compile(r"[a-z0-9.-]+/[A-Za-z0-9_-]+\.shared")
_DEVICES = "nvidia.com/gpu.count"
# What a node says of one device being handed out several times over: the label with the number.
_REPLICAS = ("nvidia.com/gpu.replicas", "cloud.google.com/gke-max-shared-clients-per-gpu")
_PLAIN = ("nvidia.com/gpu",)


@dataclass(frozen=True, slots=True)
class Offer:
    """Shares of accelerators on a node.

    `shares` are promised, `allocatable` can be asked for. `physical` is how many devices they are
    spread over, None where nobody says. `selector` picks devices of a class by an expression; `devices`
    are those it picks, by driver, pool and name.
    """

    node: str
    way: str
    shares: int
    allocatable: int
    physical: int | None
    resource: str | None = None
    device_class: str | None = None
    selector: str = ""
    devices: frozenset[tuple[str, str, str]] = frozenset()

    def prepare(self, run: Run) -> Request:
        """Create what pods need to ask for a share, and return how they ask."""
        if self.device_class is None:
            return Request(self.resource)
        exactly: Json = {"deviceClassName": self.device_class}
        if self.selector:
            exactly["selectors"] = [{"cel": {"expression": self.selector}}]
        spec = {"devices": {"requests": [{"name": "share", "exactly": exactly}]}}
        run.create(CLAIM_TEMPLATES, TEMPLATE, {"spec": {"metadata": {"labels": run.labels()}, "spec": spec}})
        return Request(template=TEMPLATE)


def offers(run: Run, nodes: Mapping[str, Json]) -> list[Offer]:
    """Return every offer of shares, those easiest to observe first."""
    classes = devices.device_classes(run)
    published = devices.advertised(run, nodes) if classes else []
    found = [*_partitions(published, classes), *_shareable(published, classes)]
    for name, node in nodes.items():
        found += _by_resources(name, node)
    return sorted(found, key=lambda offer: (offer.physical or 99, -offer.shares, offer.node, offer.way))


def taken(run: Run, offer: Offer) -> int:
    """Count the shares of an offer that somebody holds, ourselves included."""
    if offer.device_class is not None:
        return sum(
            (str(result.get("driver")), str(result.get("pool")), str(result.get("device"))) in offer.devices
            for claim in run.items(RESOURCE_CLAIMS, everywhere=True)
            for result in _results(claim)
        )
    return sum(
        _requested(pod, offer.resource or "")
        for pod in run.items(PODS, everywhere=True)
        if pods.node_of(pod) == offer.node and not pods.is_over(pod)
    )


def _results(claim: Json) -> list[Json]:
    allocation = (claim.get("status") or {}).get("allocation") or {}
    return list((allocation.get("devices") or {}).get("results") or [])


def _requested(pod: Json, resource: str) -> int:
    containers = (pod.get("spec") or {}).get("containers") or []
    return sum(
        _number(((container.get("resources") or {}).get("limits") or {}).get(resource, "0"))
        for container in containers
    )


def _class_of(device: Device, published: list[Device], classes: Mapping[str, Json]) -> str | None:
    """Return the narrowest class that selects a device."""
    counted = {
        name: sum(devices.matches(item, other) for other in published)
        for name, item in classes.items()
        if devices.matches(item, device)
    }
    return min(counted, key=lambda name: (counted[name], name), default=None)


def _selecting(device: Device, attribute: str) -> str:
    """Return an expression for the devices that share an attribute with this one."""
    value = advertised.attribute(device, attribute)
    domain = next(
        name.rpartition("/")[0] for name in device.attributes if name.rpartition("/")[2] == attribute
    )
    values = f'device.attributes["{domain}"]'
    return f'"{attribute}" in {values} && {values}["{attribute}"] == "{value}"'


def _partitions(published: list[Device], classes: Mapping[str, Json]) -> Iterator[Offer]:
    """Yield the devices that are partitions of one physical device, several to a device."""
    siblings: defaultdict[tuple[str, str, str], list[Device]] = defaultdict(list)
    for device in published:
        parent = advertised.attribute(device, _PARENT)
        if parent:
            siblings[device.driver, parent, advertised.attribute(device, "profile")].append(device)
    for found in siblings.values():
        device_class = _class_of(found[0], published, classes)
        if len(found) > 1 and device_class is not None:
            yield Offer(
                node=min(found[0].nodes),
                way="partitions, by claims",
                shares=len(found),
                allocatable=len(found),
                physical=1,
                device_class=device_class,
                selector=_selecting(found[0], _PARENT),
                devices=frozenset((device.driver, device.pool, device.name) for device in found),
            )


def _shareable(published: list[Device], classes: Mapping[str, Json]) -> Iterator[Offer]:
    """Yield the devices that several claims may have at a time."""
    for device in published:
        device_class = _class_of(device, published, classes)
        if device.is_shareable and device_class is not None:
            named = advertised.attribute(device, "uuid")
            yield Offer(
                node=min(device.nodes),
                way="one device for several claims",
                shares=2,
                allocatable=2,
                physical=1 if named else None,
                device_class=device_class,
                selector=_selecting(device, "uuid") if named else "",
                devices=frozenset({(device.driver, device.pool, device.name)}),
            )


def _by_resources(name: str, node: Json) -> Iterator[Offer]:
    labels: Mapping[str, str] = (node.get("metadata") or {}).get("labels") or {}
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    physical = _number(labels.get(_DEVICES)) or None
    replicas = max(_number(labels.get(label)) for label in _REPLICAS)
    counted = Counter({resource: _number(amount) for resource, amount in allocatable.items()})
    for resource, amount in sorted(counted.items()):
        promised, way = amount, ""
        if _PARTITION.fullmatch(resource):
            way = "partitions"
        elif _SHARED.fullmatch(resource) or (resource in _PLAIN and replicas > 1):
            way = "time slices"
            promised = max(amount, replicas * (physical or 1))
        if way and promised > 1 and amount > 0:
            yield Offer(name, f"{way}, as {resource}", promised, amount, physical, resource=resource)


def _number(text: object) -> int:
    return int(str(text)) if str(text).isdecimal() else 0

"""A virtual accelerator can be had by a pod and is what it is advertised as."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from conformance import advertised, devices, pods
from conformance.checks import check
from conformance.conclusions import failed, unknown
from conformance.devices import Device
from conformance.identity import Identity
from conformance.pods import Container, Request
from conformance.resources import CLAIM_TEMPLATES, PODS
from conformance.rights import BASE, DEVICES
from conformance.run import Run
from conformance.starting import await_start
from conformance.verdicts import Status, Verdict

Json = dict[str, Any]

_POD, _CONTAINER = "probe", "probe"
_TEMPLATE = "virtual-device"
_HOLD_SECONDS = 300
_PRESENT = "nvidia.com/vgpu.present"
_PRODUCT = "nvidia.com/gpu.product"
# The words by which drivers tell a virtual device from a whole one.
_TYPES = frozenset({"vgpu", "virtual", "virtual-gpu", "vf", "sriov-vf"})
# Types of virtual devices end in their share of memory and the kind of their license, as in A40-8Q.
_VIRTUAL_PRODUCT = re.compile(r"(?:NVIDIA|GRID)[ _-].*-[0-9]+[QCABV](?:ME)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Offer:
    """A virtual device on a node; `request` is None where it is advertised and cannot be asked for."""

    node: str
    product: str
    source: str
    resource: str | None = None
    device_class: str | None = None

    @property
    def is_allocatable(self) -> bool:
        """Whether a pod can ask for it."""
        return self.resource is not None or self.device_class is not None


@check("virtualized_accelerator", since="1.35", deadline=600, rights=(*BASE, *DEVICES), exclusive=True)
def virtualized_accelerator(run: Run) -> Verdict:
    """A virtual accelerator that is advertised can be had by a pod, is sound and is what it is said to be.

    It is found by attributes of devices or by labels of nodes; a pod asks for it as for any device,
    opens it and reads its product.

    KAR-0004. Where none is advertised the requirement's condition does not hold.
    """
    nodes = devices.usable_nodes(run)
    offers = sorted(_offers(run, nodes), key=lambda offer: (not offer.is_allocatable, offer.node))
    run.evidence.observe(
        "virtual devices",
        [{"node": offer.node, "product": offer.product, "found by": offer.source} for offer in offers[:50]],
    )
    if not offers:
        return Verdict(
            Status.NOT_APPLICABLE,
            "not_advertised",
            "No device and no node is advertised as a virtual accelerator.",
        )
    offer = offers[0]
    if not offer.is_allocatable:
        raise failed(
            "not_allocatable",
            f"Node {offer.node} advertises the virtual accelerator {offer.product or 'of no name'} by "
            f"{offer.source}, and nothing there can be asked for by a pod.",
        )
    seen = _look(run, offer, nodes)
    if not seen:
        raise failed("device_missing", "The pod was granted a virtual accelerator and finds none.")
    if not seen[0].is_openable:
        raise failed(
            "unhealthy", f"The pod cannot open the virtual accelerator {seen[0].path} it was granted."
        )
    if not (offer.product and seen[0].model):
        raise unknown(
            "product_unreadable",
            f"Which product the virtual accelerator is cannot be compared: advertised is "
            f"{offer.product or 'none'}, the pod reads {seen[0].model or 'none'}.",
        )
    if not advertised.is_same_product(offer.product, seen[0].model):
        raise failed(
            "product_mismatch",
            f"Advertised is {offer.product} (by {offer.source}); the pod was given {seen[0].model}.",
        )
    return Verdict(
        Status.PASS,
        "usable",
        f"A pod on node {offer.node} was given the virtual accelerator {seen[0].model} as advertised by "
        f"{offer.source}, and could open it.",
    )


def _offers(run: Run, nodes: Mapping[str, Json]) -> Iterator[Offer]:
    classes = devices.device_classes(run)
    slices = devices.slices(run) if classes else []
    published = list(devices.usable_devices(slices, nodes))
    told: set[str] = set()
    for device in devices.usable_devices(slices, nodes, tainted=True):
        if not _is_virtual(device):
            continue
        suiting = [
            name
            for name, item in sorted(classes.items())
            if device in published and devices.matches(item, device)
        ]
        # The narrowest class is the one that is about virtual devices.
        suiting.sort(key=lambda name: sum(devices.matches(classes[name], other) for other in published))
        product = advertised.attribute(device, "productName", "model")
        for name in sorted(device.nodes):
            told.add(name)
            yield Offer(name, product, "attributes of the device", device_class=next(iter(suiting), None))
    for name, node in nodes.items():
        labels = (node.get("metadata") or {}).get("labels") or {}
        if name in told or labels.get(_PRESENT) != "true":
            continue
        allocatable = (node.get("status") or {}).get("allocatable") or {}
        offered = [key for key in devices.KNOWN_RESOURCES if str(allocatable.get(key, "0")) not in {"", "0"}]
        resource = next(iter(offered), None)
        yield Offer(name, str(labels.get(_PRODUCT, "")), "labels of the node", resource=resource)


def _is_virtual(device: Device) -> bool:
    if advertised.attribute(device, "type", "deviceType").casefold() in _TYPES:
        return True
    if advertised.attribute(device, "vgpu", "virtual", "isVirtual").casefold() == "true":
        return True
    return _VIRTUAL_PRODUCT.fullmatch(advertised.attribute(device, "productName", "model")) is not None


def _look(run: Run, offer: Offer, nodes: Mapping[str, Json]) -> list[Identity]:
    """Run a pod with the virtual device on its node and return what it sees."""
    request = Request(offer.resource)
    if offer.device_class is not None:
        exactly = {"deviceClassName": offer.device_class}
        spec = {"devices": {"requests": [{"name": "virtual", "exactly": exactly}]}}
        run.create(CLAIM_TEMPLATES, _TEMPLATE, {"spec": {"metadata": {"labels": run.labels()}, "spec": spec}})
        request = Request(template=_TEMPLATE)
    container = Container(_CONTAINER, "driver", request, {"PROBE_HOLD": str(_HOLD_SECONDS)})
    run.create(PODS, _POD, pods.pod([container], run.image(), devices.placement_on(nodes, offer.node)))
    if await_start(run, _POD) is None:
        raise unknown(
            "no_free_device",
            f"The scheduler found no free virtual accelerator on node {offer.node}; others may hold it.",
        )
    return Identity.all_of(run.markers(_POD, _CONTAINER))

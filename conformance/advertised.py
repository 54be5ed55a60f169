"""What the platform says of an accelerator a pod was given, and of the driver under it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from conformance import devices
from conformance.devices import Device
from conformance.resources import RESOURCE_CLAIMS
from conformance.run import Run

Json = dict[str, Any]

_SEPARATORS = re.compile(r"[\s_-]+")


@dataclass(frozen=True, slots=True)
class Vendor:
    """Where a vendor's driver states its versions: attributes of devices, else labels of nodes.

    A label may be spread over several, from the major number on. `injects_tools` says that the
    container runtime brings the driver's tools into every container with a device.
    """

    name: str
    drivers: frozenset[str]
    resources: str
    driver_attributes: tuple[str, ...]
    runtime_attributes: tuple[str, ...]
    driver_labels: tuple[tuple[str, ...], ...]
    runtime_labels: tuple[tuple[str, ...], ...]
    injects_tools: bool


VENDORS = (
    Vendor(
        name="nvidia",
        drivers=frozenset({"gpu.nvidia.com"}),
        resources="nvidia.com/",
        driver_attributes=("driverVersion",),
        runtime_attributes=("cudaDriverVersion",),
        driver_labels=(
            ("nvidia.com/cuda.driver-version.full",),
            ("nvidia.com/cuda.driver.major", "nvidia.com/cuda.driver.minor", "nvidia.com/cuda.driver.rev"),
        ),
        runtime_labels=(
            ("nvidia.com/cuda.runtime-version.full",),
            ("nvidia.com/cuda.runtime.major", "nvidia.com/cuda.runtime.minor"),
        ),
        injects_tools=True,
    ),
    Vendor(
        name="amd",
        drivers=frozenset({"gpu.amd.com"}),
        resources="amd.com/",
        driver_attributes=("driverVersion",),
        runtime_attributes=(),
        driver_labels=(("amd.com/gpu.driver-version",),),
        runtime_labels=(),
        injects_tools=False,
    ),
)


@dataclass(frozen=True, slots=True)
class Versions:
    """What is advertised of a driver and its runtime, and where it stands; empty where nothing is."""

    driver: str = ""
    runtime: str = ""
    source: str = ""


def vendor_of(driver: str, resource: str) -> Vendor | None:
    """Return the vendor of a device by its driver's name or the extended resource it came by."""
    for vendor in VENDORS:
        if driver in vendor.drivers or (resource and resource.startswith(vendor.resources)):
            return vendor
    return None


def granted(run: Run, pod: Json, nodes: Mapping[str, Json]) -> list[Device]:
    """Return the devices that the claims of a pod were given, as they are advertised."""
    wanted: set[tuple[str, str, str]] = set()
    for entry in (pod.get("status") or {}).get("resourceClaimStatuses") or []:
        claim = run.find(RESOURCE_CLAIMS, str(entry.get("resourceClaimName")))
        allocation = ((claim or {}).get("status") or {}).get("allocation") or {}
        for result in (allocation.get("devices") or {}).get("results") or []:
            wanted.add((str(result.get("driver")), str(result.get("pool")), str(result.get("device"))))
    if not wanted:
        return []
    return [
        device
        for device in devices.advertised(run, nodes)
        if (device.driver, device.pool, device.name) in wanted
    ]


def attribute(device: Device, *names: str) -> str:
    """Return the first of these attributes a device has, whatever their domain, as text."""
    for name in names:
        for full, value in device.attributes.items():
            if full.rpartition("/")[2] == name and value not in (None, ""):
                return str(value)
    return ""


def versions(vendor: Vendor, found: Iterable[Device], node: Json) -> Versions:
    """Return the advertised versions: those of the devices themselves come before the node's."""
    labels: Mapping[str, str] = (node.get("metadata") or {}).get("labels") or {}
    for device in found:
        driver = attribute(device, *vendor.driver_attributes)
        if driver:
            runtime = attribute(device, *vendor.runtime_attributes)
            return Versions(driver, runtime, "the device's attributes")
    driver = _spread(labels, vendor.driver_labels)
    return (
        Versions(driver, _spread(labels, vendor.runtime_labels), "the node's labels")
        if driver
        else Versions()
    )


def _spread(labels: Mapping[str, str], ways: Iterable[tuple[str, ...]]) -> str:
    for names in ways:
        parts = [labels[name] for name in names if labels.get(name)]
        if parts:
            return ".".join(parts)
    return ""


def agree(first: str, second: str) -> bool:
    """Tell whether two versions say the same as far as both go: 580.95.5 is 580.95.05, and 13.0 is 13.0.0."""
    one, other = (text.strip().removeprefix("v").split(".") for text in (first, second))
    return bool(first and second) and all(_number(a) == _number(b) for a, b in zip(one, other, strict=False))


def _number(part: str) -> int | str:
    return int(part) if part.isdecimal() else part


def is_same_product(first: str, second: str) -> bool:
    """Tell whether two names mean one product; labels know no spaces, and some leave the maker out."""
    return _product(first) == _product(second) != ""


def _product(name: str) -> str:
    plain = _SEPARATORS.sub("-", name.strip().casefold())
    return plain.removeprefix("nvidia-").removeprefix("grid-").removesuffix("-shared")

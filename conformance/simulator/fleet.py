"""Which accelerators the nodes of a profile have, and how its drivers advertise them.

Besides whole devices there may be a node whose device is shared by several pods, in one of three
ways, and a node with a virtual device.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable

from conformance.simulator.hardware import (
    DRIVER_VERSION,
    EXTENDED_RESOURCE,
    OTHER,
    OTHER_VIRTUAL_PRODUCT,
    RUNTIME_VERSION,
    SHARED_RESOURCE,
    VIRTUAL_MEMORY_MIB,
    VIRTUAL_PRODUCT,
    Accelerator,
)
from conformance.simulator.objects import Json
from conformance.simulator.profiles import MIG, SHAREABLE, TIME_SLICING, Profile

MIG_PROFILE, MIG_SHARES = "1g.10gb", 3
REPLICAS = 4
HOST_DRIVER_VERSION = "580.95.02"
SHARED_TYPE = "timeslice"


def accelerators(profile: Profile) -> dict[str, tuple[Accelerator, ...]]:
    """Return the accelerators of every worker node."""
    resource = "" if profile.has_dra else EXTENDED_RESOURCE
    kind = OTHER if "unrecognised-vendor" in profile.faults else "gpu"
    found: dict[str, tuple[Accelerator, ...]] = {}
    for index, count in enumerate(profile.nodes_devices):
        name = f"gpu-worker-{index}"
        found[name] = tuple(Accelerator(name, minor, kind=kind, resource=resource) for minor in range(count))
    if profile.sharing:
        found["shared-worker-0"] = _shared(profile, "shared-worker-0")
    if profile.virtual:
        found["vgpu-worker-0"] = (_virtual(profile, "vgpu-worker-0"),)
    return found


def _shared(profile: Profile, node: str) -> tuple[Accelerator, ...]:
    """Return the device of a node where several pods may have one; more, where that is only said."""
    if "sharing-apart" in profile.faults:
        return tuple(
            Accelerator(node, minor, resource=SHARED_RESOURCE, advertised=minor == 0)
            for minor in range(REPLICAS)
        )
    if profile.sharing == MIG:
        return (Accelerator(node, 0, shares=tuple(f"gpu-0-mig-{index}" for index in range(MIG_SHARES))),)
    if profile.sharing == TIME_SLICING:
        replicas = 1 if "sharing-exclusive" in profile.faults else REPLICAS
        return (Accelerator(node, 0, resource=SHARED_RESOURCE, replicas=replicas),)
    return (Accelerator(node, 0, kind=SHARED_TYPE),)


def _virtual(profile: Profile, node: str) -> Accelerator:
    product = OTHER_VIRTUAL_PRODUCT if "vgpu-wrong-product" in profile.faults else VIRTUAL_PRODUCT
    resource = EXTENDED_RESOURCE if profile.virtual == "labels" else ""
    return Accelerator(node, 0, product, VIRTUAL_MEMORY_MIB, "vgpu", resource=resource)


# Nodes


def labels(profile: Profile, devices: Iterable[Accelerator]) -> dict[str, str]:
    """Return what feature discovery says of a node's devices."""
    shown = [device for device in devices if device.advertised]
    if not shown:
        return {}
    first = shown[0]
    if first.kind == OTHER:
        return {"example.com/gpu.present": "true"}
    found = {
        "nvidia.com/gpu.present": "true",
        "nvidia.com/gpu.count": str(len(shown)),
        "nvidia.com/gpu.product": _product(first).replace(" ", "-"),
        "nvidia.com/vgpu.present": str(first.kind == "vgpu").lower(),
    }
    if "driver-not-advertised" not in profile.faults:
        found["nvidia.com/cuda.driver-version.full"] = DRIVER_VERSION
        found["nvidia.com/cuda.runtime-version.full"] = RUNTIME_VERSION
    if first.kind == "vgpu":
        found["nvidia.com/vgpu.host-driver-version"] = HOST_DRIVER_VERSION
    if first.shares:
        found |= {"nvidia.com/mig.capable": "true", "nvidia.com/mig.strategy": "mixed"}
    if first.resource == SHARED_RESOURCE:
        found |= {
            "nvidia.com/gpu.replicas": str(REPLICAS),
            "nvidia.com/gpu.sharing-strategy": "time-slicing",
        }
    return found


def _product(device: Accelerator) -> str:
    """Return the product the driver claims the device to be."""
    return VIRTUAL_PRODUCT if device.kind == "vgpu" else device.product


def capacity(profile: Profile, devices: Iterable[Accelerator]) -> dict[str, str]:
    """Return the extended resources a device plug-in offers for a node's devices."""
    found: dict[str, int] = {}
    for device in devices:
        if device.resource:
            is_withheld = device.kind == "vgpu" and "vgpu-not-allocatable" in profile.faults
            found[device.resource] = found.get(device.resource, 0) + (0 if is_withheld else device.replicas)
    return {resource: str(count) for resource, count in found.items()}


# Dynamic resource allocation


def device_classes(profile: Profile, api_version: str) -> list[Json]:
    """Return the classes the driver brings along: of whole devices, and of what else it offers."""
    driver = Accelerator("", 0, kind=OTHER if "unrecognised-vendor" in profile.faults else "gpu").driver
    types = {driver: "gpu"}
    if profile.sharing == MIG:
        types["mig.nvidia.com"] = "mig"
    if profile.sharing == SHAREABLE:
        types["timeslice.nvidia.com"] = SHARED_TYPE
    if profile.virtual == "dra":
        types["vgpu.nvidia.com"] = "vgpu"
    return [
        {
            "apiVersion": api_version,
            "kind": "DeviceClass",
            "metadata": {"name": name},
            "spec": {
                "selectors": [
                    {
                        "cel": {
                            "expression": f"device.driver == '{driver}' && "
                            f"device.attributes['{driver}'].type == '{kind}'"
                        }
                    }
                ]
            },
        }
        for name, kind in types.items()
    ]


def published(devices: Iterable[Accelerator]) -> list[Accelerator]:
    """Return the devices a driver publishes; the others are a device plug-in's, or nobody's."""
    return [device for device in devices if device.advertised and not device.resource]


def resource_slice(
    api_version: str,
    node: str,
    devices: Iterable[Accelerator],
    place: Json,
    faults: Collection[str] = (),
) -> Json:
    """Return what the driver publishes for the devices of one node."""
    shown = published(devices)
    driver = shown[0].driver
    return {
        "apiVersion": api_version,
        "kind": "ResourceSlice",
        "metadata": {"generateName": f"{node}-{driver}-"},
        "spec": {
            "driver": driver,
            "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
            **place,
            "devices": [entry for device in shown for entry in _entries(device, faults)],
        },
    }


def _entries(device: Accelerator, faults: Collection[str]) -> list[Json]:
    """Return how a device stands in a slice: once, or once for each of its shares."""
    attributes = _attributes(device, faults)
    if device.shares:
        attributes |= {
            "type": {"string": "mig"},
            "parentUUID": {"string": device.uuid},
            "profile": {"string": MIG_PROFILE},
        }
        memory = {"memory": {"value": f"{device.memory // 8}Mi"}}
        return [
            {
                "name": name,
                "attributes": {**attributes, "uuid": {"string": share_uuid(device, name)}},
                "capacity": memory,
            }
            for name in device.shares
        ]
    entry: Json = {
        "name": device.device,
        "attributes": attributes,
        "capacity": {"memory": {"value": f"{device.memory}Mi"}},
    }
    if device.kind == SHARED_TYPE:
        entry["allowMultipleAllocations"] = True
    if device.kind == "vgpu" and "vgpu-not-allocatable" in faults:
        entry["taints"] = [{"key": "gpu.nvidia.com/unlicensed", "effect": "NoSchedule"}]
    return [entry]


def _attributes(device: Accelerator, faults: Collection[str]) -> Json:
    attributes = {
        "type": {"string": "gpu" if device.kind == OTHER else device.kind},
        "uuid": {"string": device.uuid},
        "productName": {"string": _product(device)},
        "brand": {"string": "Nvidia"},
        "architecture": {"string": "Hopper"},
        "cudaComputeCapability": {"version": "9.0.0"},
        "resource.kubernetes.io/pciBusID": {"string": device.bus},
    }
    if "driver-not-advertised" not in faults:
        attributes["driverVersion"] = {"version": _semantic(DRIVER_VERSION)}
        attributes["cudaDriverVersion"] = {"version": _semantic(RUNTIME_VERSION)}
    return attributes


def share_uuid(device: Accelerator, name: str) -> str:
    digest = hashlib.sha256(f"{device.uuid}/{name}".encode()).hexdigest()
    return f"MIG-{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"


def _semantic(version: str) -> str:
    """Return a version as the API demands it: three numbers without leading zeros."""
    numbers = [str(int(part)) for part in version.split(".")]
    return ".".join([*numbers, "0", "0"][:3])

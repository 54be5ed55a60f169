"""A fast network beside the pods' own: interfaces that claims hand to pods, as DRANET does it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator

from conformance.simulator.allocation import CLAIMS
from conformance.simulator.definitions import OPEN, definition, structure
from conformance.simulator.hardware import claim_name
from conformance.simulator.objects import Json, dig, uid_of
from conformance.simulator.profiles import Profile
from conformance.simulator.world import World

DRIVER = "dra.net"
DEVICE_CLASS = "dranet"
SHARED_RDMA = "rdma/rdma_shared_device_a"
PER_NODE = 2
PREFIX_LENGTH = 16


@dataclasses.dataclass(frozen=True, slots=True)
class Interface:
    """One port of a node; `number` counts the nodes, `index` the ports of one."""

    node: str
    number: int
    index: int

    @property
    def device(self) -> str:
        """Its name in the node's pool of devices."""
        return f"pci-0000-{0xC0 + self.index:02x}-00-0"

    @property
    def name(self) -> str:
        return f"gpu{self.index}rdma0"

    @property
    def address(self) -> str:
        return f"10.64.{self.number}.{self.index + 10}"

    @property
    def hardware_address(self) -> str:
        digest = hashlib.sha256(f"{self.node}/{self.index}".encode()).hexdigest()
        return ":".join(["9a", *(digest[at : at + 2] for at in range(0, 10, 2))])


def interfaces(profile: Profile) -> dict[str, tuple[Interface, ...]]:
    """Return the ports of every node that has some a claim can get."""
    if not profile.has_fast_network:
        return {}
    nodes = [f"gpu-worker-{index}" for index, count in enumerate(profile.nodes_devices) if count]
    if "nic-single-node" in profile.faults:
        nodes = nodes[:1]
    return {
        name: tuple(Interface(name, number, index) for index in range(PER_NODE))
        for number, name in enumerate(nodes)
    }


def objects(profile: Profile, api_version: str) -> list[Json]:
    """Return what the network's driver brings along: its class, and a slice for each node."""
    if "nic-other-mechanism" in profile.faults:
        spec = structure({"spec": OPEN})
        return [
            definition(
                "network-attachment-definitions.k8s.cni.cncf.io", "NetworkAttachmentDefinition", {"v1": spec}
            )
        ]
    ports = interfaces(profile)
    if not ports:
        return []
    device_class: Json = {
        "apiVersion": api_version,
        "kind": "DeviceClass",
        "metadata": {"name": DEVICE_CLASS},
        "spec": {"selectors": [{"cel": {"expression": f'device.driver == "{DRIVER}"'}}]},
    }
    slices = [
        {
            "apiVersion": api_version,
            "kind": "ResourceSlice",
            "metadata": {"generateName": f"{node}-{DRIVER}-"},
            "spec": {
                "driver": DRIVER,
                "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
                "nodeName": node,
                "devices": [_device(port, profile) for port in entries],
            },
        }
        for node, entries in ports.items()
    ]
    return [device_class, *slices]


def _device(port: Interface, profile: Profile) -> Json:
    attributes: Json = {
        f"{DRIVER}/ifName": {"string": port.name},
        f"{DRIVER}/ipv4": {"string": port.address},
        f"{DRIVER}/mac": {"string": port.hardware_address},
        f"{DRIVER}/mtu": {"int": 8896},
        f"{DRIVER}/encapsulation": {"string": "ether"},
        f"{DRIVER}/state": {"string": "up"},
        f"{DRIVER}/virtual": {"bool": False},
    }
    if "nic-attributes-missing" not in profile.faults:
        attributes |= {
            f"{DRIVER}/rdma": {"bool": True},
            f"{DRIVER}/numaNode": {"int": port.index % 2},
            "resource.kubernetes.io/pcieRoot": {"string": f"pci0000:{0xC0 + port.index:02x}"},
            "resource.kubernetes.io/pciBusID": {"string": f"0000:{0xC0 + port.index:02x}:00.0"},
        }
    return {"name": port.device, "attributes": attributes}


def equip(world: World, profile: Profile) -> None:
    """Let the nodes offer ports in another way than by claims, where the profile says so."""
    if "nic-other-mechanism" not in profile.faults:
        return
    for index, count in enumerate(profile.nodes_devices):
        if count:
            world.api.edit("nodes", "", f"gpu-worker-{index}", _offer_shared)


def _offer_shared(node: Json) -> None:
    for amounts in (node["status"]["capacity"], node["status"]["allocatable"]):
        amounts[SHARED_RDMA] = "63"


class Fabric:
    """Which pod has which ports."""

    def __init__(self, world: World, profile: Profile) -> None:
        self._world = world
        self._by_device = {
            (entry.node, entry.device): entry for entries in interfaces(profile).values() for entry in entries
        }

    def granted(self, claim: Json) -> list[Interface]:
        """Return the ports a claim was allocated."""
        results = dig(claim, "status", "allocation", "devices", "results", default=())
        return [
            self._by_device[result["pool"], result["device"]]
            for result in results
            if result["driver"] == DRIVER and (result["pool"], result["device"]) in self._by_device
        ]

    def attached(self, pod: Json) -> list[Interface]:
        """Return the ports that show up in a pod."""
        if "nic-not-attached" in self._world.faults:
            return []
        return [port for claim in self._claims(pod) for port in self.granted(claim)]

    def _claims(self, pod: Json) -> Iterator[Json]:
        current = self._world.store.get("pods", pod["metadata"]["namespace"], pod["metadata"]["name"])
        if current is None or uid_of(current) != uid_of(pod):
            return
        for entry in current["spec"].get("resourceClaims") or ():
            name = claim_name(current, entry["name"]) or ""
            claim = self._world.store.get(CLAIMS, current["metadata"]["namespace"], name)
            if claim is not None:
                yield claim

"""The accelerators of the simulated nodes, and which of them a container gets to see."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import Iterable, Mapping

from conformance.simulator.objects import Json, by_name, dig, uid_of
from conformance.simulator.quantities import quantity
from conformance.simulator.store import Store
from conformance.simulator.world import Faults

EXTENDED_RESOURCE = "nvidia.com/gpu"
SHARED_RESOURCE = "nvidia.com/gpu.shared"
DRIVER = "gpu.nvidia.com"
FOREIGN_DRIVER = "gpu.example.com"
PRODUCT, VIRTUAL_PRODUCT, OTHER_VIRTUAL_PRODUCT = "NVIDIA H100 80GB HBM3", "NVIDIA A40-8Q", "NVIDIA A40-4Q"
MEMORY_MIB, VIRTUAL_MEMORY_MIB = 81559, 8192
DRIVER_VERSION, OTHER_DRIVER_VERSION, RUNTIME_VERSION = "580.95.05", "575.57.08", "13.0"
MAJOR, FOREIGN_MAJOR = 195, 261
OTHER = "other"
CLAIMS = "resourceclaims.resource.k8s.io"


class DeviceShortageError(Exception):
    """The node has fewer free devices than the pod asks for."""


@dataclasses.dataclass(frozen=True, slots=True)
class Accelerator:
    """One device of a node; `minor` numbers it there.

    `shares` names the partitions it is handed out in, where it is. `resource` is what a device
    plug-in offers it as, `replicas` how many may hold it at a time. One without `advertised` is there
    and nobody knows.
    """

    node: str
    minor: int
    product: str = PRODUCT
    memory: int = MEMORY_MIB
    kind: str = "gpu"
    shares: tuple[str, ...] = ()
    resource: str = ""
    replicas: int = 1
    advertised: bool = True

    @property
    def is_whole(self) -> bool:
        """Whether one pod has it all, as a physical device."""
        return self.kind in {"gpu", OTHER} and not self.shares and self.resource != SHARED_RESOURCE

    @property
    def names(self) -> tuple[str, ...]:
        """What a claim's allocation may call it."""
        return self.shares or (self.device,)

    @property
    def bus(self) -> str:
        """Its address on the PCI bus."""
        return f"0000:{self.minor + 1:02x}:00.0"

    @property
    def device(self) -> str:
        """Its name in the node's pool of devices."""
        return f"gpu-{self.minor}"

    @property
    def driver(self) -> str:
        """The name of the driver that hands it out."""
        return FOREIGN_DRIVER if self.kind == OTHER else DRIVER

    @property
    def path(self) -> str:
        return f"/dev/accel/accel{self.minor}" if self.kind == OTHER else f"/dev/nvidia{self.minor}"

    @property
    def id(self) -> str:
        return f"c:{FOREIGN_MAJOR if self.kind == OTHER else MAJOR}:{self.minor}"

    @property
    def uuid(self) -> str:
        digest = hashlib.sha256(f"{self.node}/{self.minor}".encode()).hexdigest()
        return f"GPU-{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"


@dataclasses.dataclass(frozen=True, slots=True)
class Stack:
    """The driver on a node as its parts state it; without tools nothing is injected into containers."""

    kernel: str
    library: str
    tool: str
    runtime: str
    has_tools: bool


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """What a container finds: the device nodes in its /dev, and what the kernel lets it open.

    `stack` is the driver it can ask, where it was granted a device.
    """

    visible: tuple[Accelerator, ...] = ()
    openable: frozenset[str] = frozenset()
    existing: frozenset[str] = frozenset()
    stack: Stack | None = None


class Hardware:
    """All accelerators of the cluster, with the device plug-in's book of who holds which."""

    def __init__(self, nodes: Mapping[str, Iterable[Accelerator]], store: Store, faults: Faults) -> None:
        self._store = store
        self._faults = faults
        self._nodes = {name: tuple(devices) for name, devices in nodes.items()}
        self._held: dict[str, dict[str, tuple[Accelerator, ...]]] = {}
        self._busy_until: dict[Accelerator, float] = {}

    def stack(self) -> Stack:
        """Return the driver as it is installed, whatever the nodes advertise."""
        faults = self._faults
        real = OTHER_DRIVER_VERSION if "driver-version-mismatch" in faults else DRIVER_VERSION
        return Stack(
            kernel=OTHER_DRIVER_VERSION if "driver-kernel-mismatch" in faults else real,
            library=OTHER_DRIVER_VERSION if "driver-library-mismatch" in faults else real,
            tool=real,
            runtime="12.9" if "runtime-version-mismatch" in faults else RUNTIME_VERSION,
            has_tools="driver-tools-missing" not in faults,
        )

    # Load

    def work(self, devices: Iterable[Accelerator], seconds: float) -> None:
        """Keep devices busy for so many seconds from now."""
        for device in devices:
            self._busy_until[device] = asyncio.get_running_loop().time() + seconds

    def is_busy(self, device: Accelerator) -> bool:
        return self._busy_until.get(device, 0.0) > asyncio.get_running_loop().time()

    # Who holds what

    def of(self, node: str) -> tuple[Accelerator, ...]:
        return self._nodes.get(node, ())

    def add(self, node: str, count: int) -> None:
        """Take note of a node that came with so many devices."""
        # A node that is added is like those that are there.
        like = next((device for devices in self._nodes.values() for device in devices), Accelerator("", 0))
        self._nodes[node] = tuple(dataclasses.replace(like, node=node, minor=minor) for minor in range(count))

    def remove(self, node: str) -> None:
        self._nodes.pop(node, None)

    def hold(self, pod: Json, node: str) -> None:
        """Set devices of the plug-in aside for the containers that ask for the extended resource."""
        held: dict[str, tuple[Accelerator, ...]] = {}
        for container in _containers(pod):
            granted: list[Accelerator] = []
            for resource in sorted({device.resource for device in self.of(node)} - {""}):
                wanted = dig(container, "resources", "limits", resource)
                count = int(quantity(wanted)) if wanted is not None else 0
                taken = [*self._taken(), *(device for devices in held.values() for device in devices)]
                granted += self._chosen(node, resource, count, taken)
            held[container["name"]] = tuple(granted)
        self._held[uid_of(pod)] = held

    def _taken(self) -> list[Accelerator]:
        return [device for held in self._held.values() for devices in held.values() for device in devices]

    def _chosen(self, node: str, resource: str, count: int, taken: list[Accelerator]) -> list[Accelerator]:
        """Return what the plug-in hands out: of devices several may hold, those held least first."""
        offered = [device for device in self.of(node) if device.resource == resource]
        free = sorted(
            (taken.count(device) + turn, device.minor, device)
            for device in offered
            for turn in range(device.replicas - taken.count(device))
        )
        if count > len(free):
            capacity = sum(device.replicas for device in offered)
            raise DeviceShortageError(
                f"Pod was rejected: Node didn't have enough resource: {resource}, "
                f"requested: {count}, used: {capacity - len(free)}, capacity: {capacity}"
            )
        return [device for _, _, device in free[:count]]

    def release(self, pod_uid: str) -> None:
        self._held.pop(pod_uid, None)

    def view(self, pod: Json, container: str) -> View:
        """Return what `container` sees of its node's devices, the profile's defects included."""
        node = str(pod["spec"].get("nodeName", ""))
        present = self.of(node)
        granted = {entry["name"]: self._granted(pod, entry, present) for entry in _containers(pod)}
        own = granted.get(container, ())
        everything = tuple(
            {device.minor: device for devices in granted.values() for device in devices}.values()
        )
        if "sibling-container-leak" in self._faults:
            own = everything
        if "device-leak" in self._faults and not everything:
            own = present
        if "shared-device" in self._faults and own:
            own = present[:1]
        if "excess-device" in self._faults and own:
            own = present[:2]
        granted_some = bool(own)
        if "device-not-injected" in self._faults:
            own = ()
        openable = own
        if "device-open-bypass" in self._faults or ("device-rules-loose" in self._faults and own):
            openable = present
        if "vgpu-unhealthy" in self._faults:
            openable = tuple(device for device in openable if device.kind != "vgpu")
        visible = tuple(sorted(set(own), key=lambda device: device.minor))
        return View(
            visible,
            frozenset(device.id for device in openable),
            frozenset(device.id for device in present),
            self.stack() if granted_some else None,
        )

    def _granted(self, pod: Json, container: Json, present: Iterable[Accelerator]) -> tuple[Accelerator, ...]:
        devices = list(self._held.get(uid_of(pod), {}).get(container["name"], ()))
        by_device = {name: device for device in present for name in device.names}
        for reference in dig(container, "resources", "claims", default=()):
            claim = self._store.get(
                CLAIMS, pod["metadata"]["namespace"], claim_name(pod, reference["name"]) or ""
            )
            for result in dig(claim, "status", "allocation", "devices", "results", default=()):
                wanted = reference.get("request")
                is_other = wanted and result["request"].partition("/")[0] != wanted
                if result["device"] not in by_device or is_other:
                    continue
                if result["driver"] == by_device[result["device"]].driver:
                    devices.append(by_device[result["device"]])
        return tuple(devices)


def claim_name(pod: Json, name: str) -> str | None:
    """Return the ResourceClaim behind one of the pod's claims, or None while it is not there yet."""
    entry = by_name(dig(pod, "spec", "resourceClaims", default=())).get(name)
    if entry is None:
        return None
    if "resourceClaimName" in entry:
        return str(entry["resourceClaimName"])
    made = by_name(dig(pod, "status", "resourceClaimStatuses", default=())).get(name)
    return str(made["resourceClaimName"]) if made and made.get("resourceClaimName") else None


def _containers(pod: Json) -> list[Json]:
    return [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]

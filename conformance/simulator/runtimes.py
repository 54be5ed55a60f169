"""How containers are run: runtime classes, the handlers the nodes have, and what is seen from inside."""

from __future__ import annotations

import dataclasses
import hashlib
import uuid
from collections.abc import Collection
from typing import TYPE_CHECKING

from conformance.simulator.errors import forbidden
from conformance.simulator.objects import Json, annotations_of, dig, uid_of
from conformance.simulator.profiles import Profile
from conformance.simulator.store import Store

if TYPE_CHECKING:
    from conformance.simulator.world import World

CLASSES = "runtimeclasses.node.k8s.io"
GVISOR, KATA, ORDINARY, UNKNOWN = "runsc", "kata-qemu", "runc", "acme-isolate"
NVIDIA = "nvidia"
# By this a platform's own controllers choose a handler without a class.
HANDLER_ANNOTATION = "node.example.com/runtime-handler"
_SINCE = "1.37"
_WITHOUT = {"sandbox-not-offered", "agent-sandboxes", "agent-sandboxes-idle"}
_POD_STATE = "/var/lib/kubelet/pods"


@dataclasses.dataclass(frozen=True, slots=True)
class Kernel:
    """What a container takes for the kernel it runs on."""

    release: str
    boot: str
    version: str


@dataclasses.dataclass(frozen=True, slots=True)
class Mount:
    """A line of the container's table of mounts."""

    target: str
    type: str
    device: str
    root: str
    source: str
    layers: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Surroundings:
    """All that a container sees of the machine."""

    kernel: Kernel
    processes: tuple[tuple[int, str], ...]
    memory: tuple[str, ...]
    mounts: tuple[Mount, ...]
    interfaces: tuple[str, ...]
    addresses: tuple[str, ...]


# Objects


def objects(profile: Profile) -> list[Json]:
    """Return the runtime classes of a platform: the device vendor's, and a sandbox where there is one."""
    classes = {NVIDIA: NVIDIA}
    if profile.version == _SINCE and profile.faults.isdisjoint(_WITHOUT):
        classes |= {"acme": UNKNOWN} if "sandbox-unrecognised" in profile.faults else {"gvisor": GVISOR}
    return [
        {
            "apiVersion": "node.k8s.io/v1",
            "kind": "RuntimeClass",
            "metadata": {"name": name},
            "handler": handler,
        }
        for name, handler in classes.items()
    ]


def admit(store: Store, pod: Json) -> None:
    """Take over into a pod what its runtime class says; refuse one whose class is not there."""
    name = pod["spec"].get("runtimeClassName")
    if name is None:
        return
    found = store.get(CLASSES, "", name)
    if found is None:
        why = f'pod rejected: RuntimeClass "{name}" not found'
        raise forbidden("", "pods", pod["metadata"]["name"], why)
    spec = pod["spec"]
    if selector := dig(found, "scheduling", "nodeSelector"):
        spec["nodeSelector"] = {**(spec.get("nodeSelector") or {}), **selector}
    spec.setdefault("tolerations", []).extend(dig(found, "scheduling", "tolerations", default=()))
    if "overhead" in found:
        spec["overhead"] = dict(found["overhead"].get("podFixed") or {})


def refuse_sandboxed(pod: Json) -> None:
    """Turn away, as a policy would, a pod that asks for a class of the kind sandboxes are."""
    name = pod["spec"].get("runtimeClassName")
    if name not in {None, NVIDIA}:
        why = f"runtime class {name} is not among those the policy allows"
        raise forbidden("", "pods", pod["metadata"]["name"], why)


def handler_of(store: Store, pod: Json) -> str:
    """Return the handler that runs a pod; empty for the node's usual one."""
    if chosen := annotations_of(pod).get(HANDLER_ANNOTATION):
        return chosen
    found = store.get(CLASSES, "", pod["spec"].get("runtimeClassName") or "")
    return str(found["handler"]) if found is not None else ""


def problem(world: World, pod: Json) -> str | None:
    """Return why the node cannot make a place for the pod to run in; None where it can."""
    handler = handler_of(world.store, pod)
    known = {"", ORDINARY, NVIDIA, UNKNOWN, KATA, GVISOR}
    if "sandbox-handler-missing" in world.faults:
        known -= {GVISOR, KATA}
    if handler in known:
        return None
    return (
        "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to get sandbox runtime: "
        f'no runtime for "{handler}" is configured'
    )


# From inside


def surroundings(world: World | None, pod: Json, address: str) -> Surroundings:
    """Return what a container of `pod` sees of the machine, the profile's defects included."""
    node = world.store.get("nodes", "", pod["spec"].get("nodeName") or "") if world is not None else None
    handler = handler_of(world.store, pod) if world is not None else ""
    faults: Collection[str] = world.faults.names if world is not None else ()
    host = _host_kernel(node)
    is_sandbox = handler in {GVISOR, KATA, UNKNOWN} and "sandbox-shared-kernel" not in faults
    kernel = host
    if is_sandbox:
        kernel = _own_kernel(handler, uid_of(pod))
        if "sandbox-fakes-release" in faults:
            kernel = dataclasses.replace(kernel, boot=host.boot)
    processes: tuple[tuple[int, str], ...] = ((1, "sh"),)
    interfaces: tuple[str, ...] = ("eth0", "lo")
    addresses: tuple[str, ...] = ("127.0.0.1", *([address] if address else []))
    memory: tuple[str, ...] = ()
    mounts = _sandbox_mounts(handler) if is_sandbox else _usual_mounts(uid_of(pod))
    if is_sandbox:
        if "sandbox-host-processes" in faults:
            processes = ((1, "systemd"), (2, "kthreadd"), (712, "containerd"), (871, "kubelet"), (9120, "sh"))
        if "sandbox-host-memory" in faults:
            memory = ("/dev/mem",)
        if "sandbox-host-mounts" in faults:
            mounts += _usual_mounts(uid_of(pod))
        if "sandbox-host-interfaces" in faults:
            interfaces = ("cni0", "eth0", "lo", "veth12ab34cd")
        if "sandbox-host-network" in faults:
            interfaces, addresses = ("ens5", "lo"), ("127.0.0.1", _address_of(node))
    return Surroundings(kernel, processes, memory, mounts, interfaces, addresses)


def _host_kernel(node: Json | None) -> Kernel:
    release = str(dig(node, "status", "nodeInfo", "kernelVersion", default=""))
    boot = str(dig(node, "status", "nodeInfo", "bootID", default=""))
    return Kernel(release, boot, f"Linux version {release} (buildd@build) #71-Ubuntu SMP PREEMPT_DYNAMIC")


def _own_kernel(handler: str, pod_uid: str) -> Kernel:
    if handler == KATA:
        boot = str(uuid.UUID(hashlib.sha256(pod_uid.encode()).hexdigest()[:32]))
        return Kernel("6.12.42", boot, "Linux version 6.12.42 (kata@build) #1 SMP")
    # gVisor's kernel is a program: it states a version it is compatible with, and never boots.
    return Kernel("4.4.0", "", "Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016")


def _usual_mounts(pod_uid: str) -> tuple[Mount, ...]:
    layers = "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/41/fs"
    state = f"{_POD_STATE}/{pod_uid}"
    return (
        Mount("/", "overlay", "0:312", "/", "overlay", layers),
        Mount("/proc", "proc", "0:314", "/", "proc"),
        Mount("/dev", "tmpfs", "0:315", "/", "tmpfs"),
        Mount("/sys", "sysfs", "0:305", "/", "sysfs"),
        Mount("/etc/hosts", "ext4", "259:1", f"{state}/etc-hosts", "/dev/root"),
    )


def _sandbox_mounts(handler: str) -> tuple[Mount, ...]:
    if handler == KATA:
        shared = ("virtiofs", "0:27", "/passthrough", "kataShared")
        return (
            Mount("/", shared[0], shared[1], f"{shared[2]}/rootfs", shared[3]),
            Mount("/etc/hosts", shared[0], shared[1], f"{shared[2]}/hosts", shared[3]),
        )
    return (
        Mount("/", "9p", "0:17", "/", "none"),
        Mount("/proc", "proc", "0:21", "/", "none"),
        Mount("/etc/hosts", "9p", "0:24", "/", "none"),
    )


def _address_of(node: Json | None) -> str:
    for entry in dig(node, "status", "addresses", default=()):
        if entry["type"] == "InternalIP":
            return str(entry["address"])
    return ""

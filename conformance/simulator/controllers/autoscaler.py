"""A node autoscaler: adds nodes to a pool for pods that wait for them, and takes idle ones away.

It goes by the name of Karpenter, whose label its pool carries. It minds the pods that select its pool
and no others, as an autoscaler does whose pool is kept for those that ask for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable

from conformance import probes
from conformance.simulator import definitions, platform
from conformance.simulator.allocation import CLAIMS
from conformance.simulator.controllers.scheduler import requested
from conformance.simulator.errors import ApiError
from conformance.simulator.hardware import DRIVER, EXTENDED_RESOURCE, Hardware, claim_name
from conformance.simulator.machinery import Deletion
from conformance.simulator.objects import (
    Json,
    condition,
    controller_of,
    dig,
    is_deleting,
    is_pod_finished,
    labels_of,
    owner_reference,
)
from conformance.simulator.profiles import POOL, POOL_LABEL, Profile
from conformance.simulator.selectors import matches_node_selector
from conformance.simulator.store import Change
from conformance.simulator.world import Controller, World

SCAN_SECONDS, IDLE_SECONDS = 5.0, 45.0
LAUNCH_SECONDS, DRIVER_SECONDS = 25.0, 8.0
RESTLESS_SECONDS, RESTLESS_IDLE_SECONDS, UNSTEADY_SECONDS = 8.0, 120.0, 12.0
DEVICES_OF_NEW_NODES = 2
MOST_NODES = 8
QUOTA = "Node scale-up failed: googleapi: Error 403: Quota 'GPUS_ALL_REGIONS' exceeded. Limit: 4.0 globally."
TENANT = "tenant"
_SCAN, _TURN = "scan", "turn"


class NodeAutoscaler(Controller):
    """Scales one pool between the nodes it has at the start and MOST_NODES."""

    name = "karpenter"

    def __init__(self, world: World, profile: Profile, hardware: Hardware) -> None:
        super().__init__(world)
        self._profile = profile
        self._hardware = hardware
        self._minimum = len([devices for devices in profile.nodes_devices if devices])
        # Well beyond the nodes that are there from the start, whatever their number.
        self._numbers = itertools.count(50)
        self._idle_since: dict[str, float] = {}
        self._launching = 0

    def notice(self, change: Change) -> None:
        if change.key == "pods" and (_selects_pool(change.obj) or _node_of(change) in self._idle_since):
            self.enqueue(_SCAN, 0 if "pool-cordoned-when-full" in self.world.faults else SCAN_SECONDS)
        elif change.key == "nodes" and change.before is None and _is_of_pool(change.obj):
            self.enqueue(_SCAN, SCAN_SECONDS)
            if "pool-unsteady" in self.world.faults:
                self.enqueue(_TURN, UNSTEADY_SECONDS)

    def reconcile(self, key: str) -> None:
        if key == _TURN:
            self._turn()
            return
        if "pool-cordoned-when-full" in self.world.faults:
            self._cordon_full_nodes()
        waiting = [pod for pod in self.store.each("pods") if self._waits_for_a_node(pod)]
        if waiting:
            self._scale_up(waiting)
        self._scale_down()
        if waiting or self._idle_since:
            self.enqueue(_SCAN, SCAN_SECONDS)

    def _nodes(self) -> list[Json]:
        return [node for node in self.store.each("nodes") if _is_of_pool(node)]

    # Up

    def _waits_for_a_node(self, pod: Json) -> bool:
        """Whether the scheduler found no place for the pod and a new node of the pool would be one."""
        if not _selects_pool(pod) or pod["spec"].get("nodeName") or is_deleting(pod):
            return False
        verdict = condition(pod, "PodScheduled") or {}
        if verdict.get("reason") != "Unschedulable":
            return False
        template = {"metadata": {"name": "", "labels": {POOL_LABEL: POOL}}}
        affinity = dig(
            pod, "spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"
        )
        return matches_node_selector(affinity, template) and self._devices(pod) <= DEVICES_OF_NEW_NODES

    def _devices(self, pod: Json) -> int:
        """Return how many devices a pod asks for."""
        total = int(requested(pod).get(EXTENDED_RESOURCE, 0))
        for entry in pod["spec"].get("resourceClaims") or ():
            claim = self.store.get(CLAIMS, pod["metadata"]["namespace"], claim_name(pod, entry["name"]) or "")
            for request in dig(claim, "spec", "devices", "requests", default=()):
                total += int(dig(request, "exactly", "count", default=1))
        return total

    def _scale_up(self, waiting: list[Json]) -> None:
        faults = self.world.faults
        if "autoscaler-never-adds" in faults or self._launching:
            return
        if "autoscaler-quota" in faults:
            for pod in waiting:
                self.event(pod, "Warning", "FailedScaleUp", QUOTA)
            return
        if "autoscaler-evicts" in faults:
            self._evict_for(waiting)
            return
        if len(self._nodes()) >= MOST_NODES:
            return
        for pod in waiting:
            self.event(pod, "Normal", "Nominated", "Pod should schedule on: nodeclaim/accelerators")
        self._launch(LAUNCH_SECONDS)

    def _evict_for(self, waiting: list[Json]) -> None:
        """Make room by ending another pod, whatever protects it."""
        names = {node["metadata"]["name"] for node in self._nodes()}
        for pod in self.store.each("pods"):
            is_holder = pod["spec"].get("nodeName") in names and self._devices(pod) > 0
            if is_holder and not is_deleting(pod) and not is_pod_finished(pod):
                self._delete_pod(pod)
                return

    def _launch(self, seconds: float) -> None:
        self._launching += 1
        self.world.spawn(self._bring_node(seconds), "launch of a node")

    async def _bring_node(self, seconds: float) -> None:
        clock = self.world.clock
        await clock.sleep(seconds)
        number = next(self._numbers)
        name = f"{POOL}-{number}"
        devices = 0 if "autoscaler-adds-bare-nodes" in self.world.faults else DEVICES_OF_NEW_NODES
        node = platform.node(self._profile, name, number, DEVICES_OF_NEW_NODES)
        # The device plug-in reports what it finds only once it runs there.
        for amounts in (node["status"]["capacity"], node["status"]["allocatable"]):
            amounts.pop(EXTENDED_RESOURCE, None)
        if "pool-unsteady" in self.world.faults:
            # Nobody's pods are drawn into it: what is wrong is the coming and going alone.
            node["spec"]["taints"] = [{"key": "karpenter.sh/unregistered", "effect": "NoExecute"}]
        made = self.store.create("nodes", node)
        await clock.sleep(DRIVER_SECONDS)
        # Until its devices are known a node that is there is still on its way.
        self._launching -= 1
        self._hardware.add(name, devices)
        if devices and self.store.get("nodes", "", name) is not None:
            self._offer(made, devices)

    def _offer(self, node: Json, devices: int) -> None:
        """Let the driver of a new node tell of its devices."""
        name = node["metadata"]["name"]
        if not self._profile.has_dra:
            self.api.edit("nodes", "", name, _with_devices(devices))
            return
        api_version = self.world.types.get("resourceslices.resource.k8s.io").api_version()
        entry = platform.resource_slice(api_version, name, self._hardware.of(name), {"nodeName": name})
        entry["metadata"]["ownerReferences"] = [owner_reference(node)]
        platform.create(self.world, entry)

    # Down

    def _scale_down(self) -> None:
        moment = asyncio.get_running_loop().time()
        nodes = self._nodes()
        idle = {node["metadata"]["name"] for node in nodes if self._is_idle(node)}
        self._idle_since = {
            name: self._idle_since.get(name, moment) for name in idle if len(nodes) > self._minimum
        }
        if "autoscaler-never-removes" in self.world.faults:
            return
        patience = RESTLESS_IDLE_SECONDS if "autoscaler-restless" in self.world.faults else IDLE_SECONDS
        due = [
            name
            for name, since in self._idle_since.items()
            if moment - since >= self.world.clock.scaled(patience)
        ]
        # The youngest go first: they were added for somebody who is gone.
        due.sort(key=lambda name: self.store.get("nodes", "", name) is not None and name, reverse=True)
        added = [name for name in due if name.startswith(f"{POOL}-")]
        for name in (added or due)[: max(len(nodes) - self._minimum, 0)]:
            self._remove(name)

    def _is_idle(self, node: Json) -> bool:
        """Whether nothing runs on the node but what runs on every node."""
        for pod in self.store.each("pods"):
            if pod["spec"].get("nodeName") != node["metadata"]["name"] or is_pod_finished(pod):
                continue
            owner = controller_of(pod)
            if owner is None or owner["kind"] != "DaemonSet":
                return False
        return True

    def _remove(self, name: str) -> None:
        self._idle_since.pop(name, None)
        self._hardware.remove(name)
        with contextlib.suppress(ApiError):
            self.api.delete(self.api.kind("nodes"), "", name)
        if "autoscaler-restless" in self.world.faults:
            self._launch(RESTLESS_SECONDS)

    # Defects

    def _turn(self) -> None:
        """Bring a node nobody waits for, or take it away again."""
        added = [node["metadata"]["name"] for node in self._nodes()][self._minimum :]
        if added:
            self._remove(added[-1])
        elif not self._launching:
            self._launch(0)
        self.enqueue(_TURN, UNSTEADY_SECONDS)

    def _cordon_full_nodes(self) -> None:
        for node in self._nodes():
            name = node["metadata"]["name"]
            used = sum(
                self._devices(pod)
                for pod in self.store.each("pods")
                if pod["spec"].get("nodeName") == name and not is_pod_finished(pod)
            )
            is_full = used >= len(self._hardware.of(name))
            if bool(node["spec"].get("unschedulable")) is not is_full:
                self.api.edit("nodes", "", name, _cordon(is_full))

    def _delete_pod(self, pod: Json) -> None:
        metadata = pod["metadata"]
        deletion = Deletion(uid=metadata["uid"])
        self.api.delete(self.api.kind("pods"), metadata["namespace"], metadata["name"], deletion)


def _selects_pool(pod: Json) -> bool:
    return bool((pod["spec"].get("nodeSelector") or {}).get(POOL_LABEL) == POOL)


def _is_of_pool(node: Json) -> bool:
    return labels_of(node).get(POOL_LABEL) == POOL


def _node_of(change: Change) -> str:
    return str(change.obj["spec"].get("nodeName") or "")


def _with_devices(devices: int) -> Callable[[Json], None]:
    def change(node: Json) -> None:
        for amounts in (node["status"]["capacity"], node["status"]["allocatable"]):
            amounts[EXTENDED_RESOURCE] = str(devices)

    return change


def _cordon(is_full: bool) -> Callable[[Json], None]:  # noqa: FBT001 - the state it brings about
    def change(node: Json) -> None:
        if is_full:
            node["spec"]["unschedulable"] = True
        else:
            node["spec"].pop("unschedulable", None)

    return change


def tenant_objects(profile: Profile) -> list[Json]:
    """Return somebody else's workload on the pool, where the profile has one: it holds a device."""
    if "pool-busy" not in profile.faults:
        return []
    container: Json = {
        "name": "work",
        "image": probes.IMAGE,
        "command": probes.command("hold"),
        "env": [{"name": "PROBE_HOLD", "value": "infinity"}],
    }
    spec: Json = {"restartPolicy": "Never", "containers": [container], "nodeSelector": {POOL_LABEL: POOL}}
    account: Json = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": TENANT},
    }
    objects = [definitions.namespace(TENANT), account]
    if profile.has_dra:
        exactly = {"deviceClassName": DRIVER}
        api_version = f"resource.k8s.io/{profile.resource_versions[0]}"
        objects.append(
            {
                "apiVersion": api_version,
                "kind": "ResourceClaimTemplate",
                "metadata": {"name": "gpu", "namespace": TENANT},
                "spec": {"spec": {"devices": {"requests": [{"name": "gpu", "exactly": exactly}]}}},
            }
        )
        spec["resourceClaims"] = [{"name": "gpu", "resourceClaimTemplateName": "gpu"}]
        container["resources"] = {"claims": [{"name": "gpu"}]}
    else:
        container["resources"] = {"limits": {EXTENDED_RESOURCE: "1"}}
    pod: Json = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "training", "namespace": TENANT},
        "spec": spec,
    }
    return [*objects, pod]

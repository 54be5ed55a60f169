"""The kubelets of all nodes: they run the pods bound to them and hand out their logs."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncGenerator
from http import HTTPStatus

from conformance.simulator.clock import micro_stamp
from conformance.simulator.controllers.pods import PodLife
from conformance.simulator.errors import ApiError, bad_request
from conformance.simulator.hardware import Hardware
from conformance.simulator.objects import (
    Json,
    controller_of,
    dig,
    is_deleting,
    is_pod_finished,
    is_pod_ready,
)
from conformance.simulator.store import DELETED, Change
from conformance.simulator.world import Controller, World

LEASE_SECONDS = 10.0
_KUBELET_PORT = 10250


class Kubelet(Controller):
    """One object for all nodes; every bound pod gets a life of its own."""

    name = "kubelet"

    def __init__(self, world: World, hardware: Hardware) -> None:
        super().__init__(world)
        self.hardware = hardware
        self.preloaded: frozenset[str] = frozenset()
        self._present: set[tuple[str, str]] = set()
        self._lives: dict[str, tuple[PodLife, asyncio.Task[None]]] = {}
        self._addresses = itertools.count(10)

    def notice(self, change: Change) -> None:
        if change.key != "pods":
            return
        uid = str(change.obj["metadata"]["uid"])
        if change.kind == DELETED:
            life = self._lives.pop(uid, None)
            if life is not None:
                life[0].terminate()
                self.hardware.release(uid)
                # Cancelled a moment later, so that the life that removed its pod itself ends well.
                asyncio.get_running_loop().call_soon(life[1].cancel)
            return
        if uid in self._lives:
            if is_deleting(change.obj):
                life_of = self._lives[uid][0]
                life_of.pod = change.obj
                life_of.terminate()
        elif change.obj["spec"].get("nodeName") and not is_pod_finished(change.obj):
            self.enqueue((change.namespace, change.name))

    def reconcile(self, key: tuple[str, str]) -> None:
        pod = self.store.get("pods", *key)
        if pod is None or pod["metadata"]["uid"] in self._lives:
            return
        life = PodLife(self, pod)
        if is_deleting(pod):
            life.terminate()
        task = self.world.spawn(life.run(), f"pod {key[0]}/{key[1]}")
        self._lives[life.uid] = (life, task)

    # What a pod's life asks of its node

    def is_present(self, node: str, image: str) -> bool:
        return image in self.preloaded or (node, image) in self._present

    def pulled(self, node: str, image: str) -> None:
        self._present.add((node, image))

    def is_pullable(self, image: str) -> bool:
        return image in self.preloaded or "image-unpullable" not in self.world.faults

    def crashes(self, image: str) -> bool:
        return "operator-pods-down" in self.world.faults and "/kuberay/operator" in image

    def stays_unready(self, pod: Json) -> bool:
        """Whether the pod never gets Ready: by a defect, those that join a Ready one of their set."""
        owner = controller_of(pod)
        if owner is None or "scaled-pod-never-ready" not in self.world.faults:
            return False
        return owner["kind"] == "ReplicaSet" and any(
            is_pod_ready(other) and (controller_of(other) or {}).get("uid") == owner["uid"]
            for other in self.store.all("pods", pod["metadata"]["namespace"])
        )

    def refusal(self, pod: Json) -> tuple[str, str] | None:
        """Return why the node turns a pod away, as reason and message; None where it takes it."""
        if "nodes-refuse-pods" not in self.world.faults or self._is_installed(pod):
            return None
        capacity = "requested: 1, used: 110, capacity: 110"
        return "OutOfpods", f"Pod was rejected: Node didn't have enough resource: pods, {capacity}"

    def network_problem(self, pod: Json) -> str | None:
        """Return why a pod can get no network; None where it can."""
        has_port = any(container.get("ports") for container in pod["spec"]["containers"])
        fault = "ported-pods-stuck" if has_port else "portless-pods-stuck"
        if fault not in self.world.faults or self._is_installed(pod):
            return None
        return (
            "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for "
            'sandbox: plugin type="bridge" failed (add): no IP addresses available in range set'
        )

    def _is_installed(self, pod: Json) -> bool:
        """Whether a pod is part of the platform, all of which came up before the defect."""
        return all(container["image"] in self.preloaded for container in pod["spec"]["containers"])

    def address(self, node: str) -> str:
        obj = self.store.get("nodes", "", node)
        for entry in dig(obj, "status", "addresses", default=()):
            if entry["type"] == "InternalIP":
                return str(entry["address"])
        return ""

    def new_pod_address(self, node: str) -> str:
        number = next(self._addresses)
        names = sorted(entry["metadata"]["name"] for entry in self.store.each("nodes"))
        return f"10.244.{names.index(node) if node in names else 0}.{number % 250 + 2}"

    # Logs

    def _life(self, pod: Json, container: str) -> PodLife:
        name, node = pod["metadata"]["name"], pod["spec"].get("nodeName")
        if not node:
            raise bad_request(f"pod {name} does not have a host assigned")
        if "logs-unreadable" in self.world.faults:
            address = f"{self.address(node)}:{_KUBELET_PORT}"
            path = f"containerLogs/{pod['metadata']['namespace']}/{name}/{container}"
            message = f'Get "https://{address}/{path}": dial tcp {address}: connect: connection refused'
            raise ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, "", message, {})
        known = self._lives.get(str(pod["metadata"]["uid"]))
        if known is None:
            raise bad_request(
                f'container "{container}" in pod "{name}" is waiting to start: ContainerCreating'
            )
        return known[0]

    def read(self, pod: Json, container: str, *, previous: bool) -> list[tuple[str, str]]:
        name = pod["metadata"]["name"]
        entry = self._life(pod, container).find(container)
        if entry is None:
            raise bad_request(f"container {container} is not valid for pod {name}")
        if previous:
            if entry.previous_lines is None:
                raise bad_request(f'previous terminated container "{container}" in pod "{name}" not found')
            return list(entry.previous_lines)
        waiting = entry.state.get("waiting")
        if waiting is not None and not entry.lines and not entry.restarts:
            reason = waiting["reason"]
            if reason in {"ImagePullBackOff", "ErrImagePull", "InvalidImageName"}:
                reason = "trying and failing to pull image" if reason != "InvalidImageName" else reason
            raise bad_request(f'container "{container}" in pod "{name}" is waiting to start: {reason}')
        return list(entry.lines)

    async def follow(self, pod: Json, container: str, after: int) -> AsyncGenerator[tuple[str, str], None]:
        life = self._life(pod, container)
        entry = life.find(container)
        while entry is not None:
            output = life.output
            lines = list(entry.lines)
            for line in lines[after:]:
                yield line
            after = max(after, len(lines))
            if entry.terminated is not None or str(pod["metadata"]["uid"]) not in self._lives:
                return
            await output.wait()


class NodeHeartbeat(Controller):
    """Keeps the nodes' leases, so that a client that looks at them sees live nodes."""

    name = "node-heartbeat"

    def notice(self, change: Change) -> None:
        if change.key == "nodes" and change.before is None:
            self.enqueue(change.name)

    def reconcile(self, key: str) -> None:
        node = self.store.get("nodes", "", key)
        if node is None:
            return
        with contextlib.suppress(ApiError):
            self._renew(node, key)

    def _renew(self, node: Json, name: str) -> None:
        kind = self.api.kind("leases.coordination.k8s.io")
        spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": micro_stamp()}
        if self.store.get(kind.key, "kube-node-lease", name) is None:
            lease = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": name},
                "spec": spec,
            }
            self.api.create(kind, lease, "kube-node-lease")
        else:
            self.api.edit(kind.key, "kube-node-lease", name, lambda obj: obj["spec"].update(spec))
        # Scaled time would make idle clusters busy; leases keep to the wall clock.
        self.enqueue(name, LEASE_SECONDS * self.world.clock.speed)

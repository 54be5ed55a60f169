"""Deployments, replica sets, daemon sets and the endpoints of services."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any

from conformance.simulator.allocation import tolerated
from conformance.simulator.clock import stamp
from conformance.simulator.machinery import Deletion
from conformance.simulator.objects import (
    Json,
    annotations_of,
    clone,
    condition,
    controller_of,
    dig,
    is_condition_true,
    is_controlled_by,
    is_deleting,
    is_pod_finished,
    is_pod_ready,
    labels_of,
    owner_reference,
    set_condition,
    short_hash,
    uid_of,
)
from conformance.simulator.selectors import matches_label_selector
from conformance.simulator.store import DELETED, Change
from conformance.simulator.world import Controller, World

DEPLOYMENTS, REPLICA_SETS = "deployments.apps", "replicasets.apps"
DAEMON_SETS, SLICES = "daemonsets.apps", "endpointslices.discovery.k8s.io"
HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
SERVICE_LABEL = "kubernetes.io/service-name"
REACTION_SECONDS = 0.1


class OwningController(Controller):
    """A controller whose objects own others: it wakes for both."""

    key = ""
    kind = ""
    owned: frozenset[str] = frozenset()

    def notice(self, change: Change) -> None:
        if change.key == self.key:
            if change.kind != DELETED:
                self.enqueue((change.namespace, change.name), REACTION_SECONDS)
        elif change.key in self.owned:
            owner = controller_of(change.obj)
            if owner is not None and owner["kind"] == self.kind:
                self.enqueue((change.namespace, owner["name"]), REACTION_SECONDS)

    def _write_status(self, obj: Json, status: Json) -> None:
        metadata = obj["metadata"]
        self.api.edit(
            self.key, metadata["namespace"], metadata["name"], lambda stored: stored.update(status=status)
        )

    def _delete(self, key: str, obj: Json) -> None:
        metadata = obj["metadata"]
        deletion = Deletion(uid=metadata["uid"], propagation="Background")
        self.api.delete(self.api.kind(key), metadata["namespace"], metadata["name"], deletion)


class ReplicaSetController(OwningController):
    name = "replicaset-controller"
    key, kind, owned = REPLICA_SETS, "ReplicaSet", frozenset({"pods"})

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._numbers = itertools.count(1)
        self._births: dict[str, int] = {}

    def reconcile(self, key: tuple[str, str]) -> None:
        replica_set = self.store.get(REPLICA_SETS, *key)
        if replica_set is None or is_deleting(replica_set):
            return
        pods = [
            pod
            for pod in self.store.all("pods", key[0])
            if is_controlled_by(pod, replica_set) and not is_deleting(pod) and not is_pod_finished(pod)
        ]
        missing = replica_set["spec"]["replicas"] - len(pods)
        for _ in range(missing):
            pod = _templated_pod(replica_set)
            if pods and "scaled-pod-without-device" in self.world.faults:
                _strip_devices(pod)
            made = self.api.create(self.api.kind("pods"), pod, key[0])
            self._births[uid_of(made)] = next(self._numbers)
            pods.append(made)
            self.event(replica_set, "Normal", "SuccessfulCreate", f"Created pod: {made['metadata']['name']}")
        if missing < 0:
            # The unready go first, then the youngest. Stamps tell no more than the second.
            pods.sort(key=lambda pod: (is_pod_ready(pod), -self._births.get(uid_of(pod), 0)))
            for pod in pods[:-missing]:
                self._delete("pods", pod)
            pods = pods[-missing:]
        ready = len([pod for pod in pods if is_pod_ready(pod)])
        counts = {
            "replicas": len(pods),
            "fullyLabeledReplicas": len(pods),
            "readyReplicas": ready,
            "availableReplicas": ready,
        }
        self._write_status(replica_set, _status(replica_set, counts))


def _revision(obj: Json) -> int:
    text = annotations_of(obj).get(REVISION, "")
    return int(text) if text.isdigit() else 0


def _set_revision(revision: int, obj: Json) -> None:
    obj["metadata"]["annotations"] = {**annotations_of(obj), REVISION: str(revision)}


class DeploymentController(OwningController):
    name = "deployment-controller"
    key, kind, owned = DEPLOYMENTS, "Deployment", frozenset({REPLICA_SETS})

    def reconcile(self, key: tuple[str, str]) -> None:
        deployment = self.store.get(DEPLOYMENTS, *key)
        if deployment is None or is_deleting(deployment):
            return
        sets = [
            entry
            for entry in self.store.all(REPLICA_SETS, key[0])
            if is_controlled_by(entry, deployment) and not is_deleting(entry)
        ]
        revision = short_hash(_template_identity(deployment))
        current = next((entry for entry in sets if labels_of(entry).get(HASH_LABEL) == revision), None)
        if current is None and sets and "rollout-ignored" in self.world.faults:
            current = max(sets, key=_revision)
        if current is None:
            current = self.api.create(self.api.kind(REPLICA_SETS), _replica_set(deployment, revision), key[0])
            sets.append(current)
        self._number(deployment, current, sets)
        self._scale(deployment, current, sets)
        self._report(deployment, current, sets)

    def _number(self, deployment: Json, current: Json, sets: list[Json]) -> None:
        """Give the current template the highest revision; the history of a roll-out is read from these."""
        latest = max(_revision(entry) for entry in sets)
        if _revision(current) != latest or not latest:
            latest += 1
        for key, obj in ((REPLICA_SETS, current), (DEPLOYMENTS, deployment)):
            if _revision(obj) != latest:
                metadata = obj["metadata"]
                self.api.edit(key, metadata["namespace"], metadata["name"], partial(_set_revision, latest))

    def _scale(self, deployment: Json, current: Json, sets: list[Json]) -> None:
        wanted = deployment["spec"]["replicas"]
        old = [entry for entry in sets if entry is not current]
        if deployment["spec"]["strategy"]["type"] != "RollingUpdate":
            for entry in old:
                self._resize(deployment, entry, 0)
            self._resize(deployment, current, wanted)
            return
        surge, unavailable = _room(deployment)
        others = sum(entry["spec"]["replicas"] for entry in old)
        mine = min(wanted, max(current["spec"]["replicas"], wanted + surge - others))
        self._resize(deployment, current, mine)
        # Of the old pods those may go that are not needed to serve, first what serves nobody.
        serving = {
            id(entry): min(
                entry["spec"]["replicas"], int(dig(entry, "status", "availableReplicas", default=0))
            )
            for entry in sets
        }
        spare = sum(serving.values()) - (wanted - unavailable)
        for entry in old:
            replicas = entry["spec"]["replicas"]
            idle = max(replicas - serving[id(entry)], 0)
            going = min(max(spare, 0), replicas - idle)
            spare -= going
            self._resize(deployment, entry, replicas - idle - going)

    def _resize(self, deployment: Json, replica_set: Json, replicas: int) -> None:
        metadata, before = replica_set["metadata"], replica_set["spec"]["replicas"]
        if before == replicas:
            return
        self.api.edit(
            REPLICA_SETS,
            metadata["namespace"],
            metadata["name"],
            lambda obj: obj["spec"].update(replicas=replicas),
        )
        way = "up" if replicas > before else "down"
        message = f"Scaled {way} replica set {metadata['name']} from {before} to {replicas}"
        self.event(deployment, "Normal", "ScalingReplicaSet", message)

    def _report(self, deployment: Json, current: Json, sets: list[Json]) -> None:
        def total(field: str) -> int:
            return sum(int(dig(entry, "status", field, default=0)) for entry in sets)

        wanted = deployment["spec"]["replicas"]
        updated = int(dig(current, "status", "replicas", default=0))
        available = total("availableReplicas")
        counts = {
            "replicas": total("replicas"),
            "updatedReplicas": updated,
            "readyReplicas": total("readyReplicas"),
            "availableReplicas": available,
            "unavailableReplicas": max(wanted - available, 0),
        }
        status = _status(deployment, counts)
        for field in [field for field, value in counts.items() if not value]:
            del status[field]
        conditions: list[Json] = clone(dig(deployment, "status", "conditions", default=[]))
        if available >= wanted:
            message = "Deployment has minimum availability."
            _set_available(conditions, "True", "MinimumReplicasAvailable", message)
        else:
            message = "Deployment does not have minimum availability."
            _set_available(conditions, "False", "MinimumReplicasUnavailable", message)
        name = current["metadata"]["name"]
        if available >= wanted and updated >= wanted:
            done = f'ReplicaSet "{name}" has successfully progressed.'
            set_condition(conditions, "Progressing", "True", reason="NewReplicaSetAvailable", message=done)
        elif condition({"status": {"conditions": conditions}}, "Progressing") is None:
            started = f'Created new replica set "{name}"'
            set_condition(conditions, "Progressing", "True", reason="NewReplicaSetCreated", message=started)
        for entry in conditions:
            entry.setdefault("lastUpdateTime", entry["lastTransitionTime"])
        status["conditions"] = conditions
        self._write_status(deployment, status)


def _room(deployment: Json) -> tuple[int, int]:
    """Return how many pods there may be beyond what is wanted, and how many may be missing."""
    wanted = deployment["spec"]["replicas"]
    rolling = deployment["spec"]["strategy"].get("rollingUpdate") or {}
    surge = _share(rolling.get("maxSurge", 0), wanted, math.ceil)
    unavailable = _share(rolling.get("maxUnavailable", 0), wanted, math.floor)
    return surge, unavailable if surge or unavailable else 1


def _share(amount: Any, wanted: int, rounded: Callable[[float], int]) -> int:
    text = str(amount)
    return rounded(int(text.removesuffix("%")) * wanted / 100) if text.endswith("%") else int(text)


class DaemonSetController(OwningController):
    name = "daemonset-controller"
    key, kind, owned = DAEMON_SETS, "DaemonSet", frozenset({"pods"})

    def notice(self, change: Change) -> None:
        super().notice(change)
        if change.key == "nodes" and (change.before is None or change.kind == DELETED):
            for entry in self.store.each(DAEMON_SETS):
                metadata = entry["metadata"]
                self.enqueue((metadata["namespace"], metadata["name"]), REACTION_SECONDS)

    def reconcile(self, key: tuple[str, str]) -> None:
        daemon_set = self.store.get(DAEMON_SETS, *key)
        if daemon_set is None or is_deleting(daemon_set):
            return
        pods = [
            pod
            for pod in self.store.all("pods", key[0])
            if is_controlled_by(pod, daemon_set) and not is_deleting(pod)
        ]
        nodes = [node for node in self.store.all("nodes") if _suits(daemon_set, node)]
        names = {node["metadata"]["name"] for node in nodes}
        by_node = {pod["spec"].get("nodeName"): pod for pod in pods}
        for name in sorted(names - set(by_node)):
            pod = _templated_pod(daemon_set)
            pod["spec"]["nodeName"] = name
            by_node[name] = self.api.create(self.api.kind("pods"), pod, key[0])
        for name, pod in by_node.items():
            if name not in names:
                self._delete("pods", pod)
        ready = len([pod for name, pod in by_node.items() if name in names and is_pod_ready(pod)])
        counts = {
            "currentNumberScheduled": len(names),
            "desiredNumberScheduled": len(names),
            "numberMisscheduled": 0,
            "numberReady": ready,
            "numberAvailable": ready,
            "updatedNumberScheduled": len(names),
        }
        self._write_status(daemon_set, _status(daemon_set, counts))


class EndpointSliceController(Controller):
    """Keeps one slice per service that selects pods."""

    name = "endpointslice-controller"

    def notice(self, change: Change) -> None:
        if change.key == "services" and change.kind != DELETED:
            self.enqueue((change.namespace, change.name), REACTION_SECONDS)
        elif change.key == "pods" and (change.before is None or _is_endpoint_change(change)):
            for service in self.store.all("services", change.namespace):
                selector = service["spec"].get("selector")
                if selector and _selects(selector, change.obj):
                    self.enqueue((change.namespace, service["metadata"]["name"]), REACTION_SECONDS)

    def reconcile(self, key: tuple[str, str]) -> None:
        service = self.store.get("services", *key)
        if service is None or not service["spec"].get("selector"):
            return
        pods = [
            pod
            for pod in self.store.all("pods", key[0])
            if _selects(service["spec"]["selector"], pod)
            and dig(pod, "status", "podIP")
            and not is_pod_finished(pod)
        ]
        endpoints = [_endpoint(service, pod) for pod in pods]
        ports = [_slice_port(port, pods) for port in service["spec"].get("ports") or ()]
        known = next(
            (
                entry
                for entry in self.store.all(SLICES, key[0])
                if labels_of(entry).get(SERVICE_LABEL) == key[1] and is_controlled_by(entry, service)
            ),
            None,
        )
        if known is None:
            self.api.create(self.api.kind(SLICES), _slice(service, endpoints, ports), key[0])
        else:
            self.api.edit(
                SLICES,
                key[0],
                known["metadata"]["name"],
                lambda obj: obj.update(endpoints=endpoints, ports=ports),
            )


def _status(obj: Json, counts: Json) -> Json:
    return {**counts, "observedGeneration": obj["metadata"].get("generation", 1)}


def _set_available(conditions: list[Json], status: str, reason: str, message: str) -> None:
    if set_condition(conditions, "Available", status, reason=reason, message=message):
        for entry in conditions:
            if entry["type"] == "Available":
                entry["lastUpdateTime"] = stamp()


def _template_identity(deployment: Json) -> Any:
    return deployment["spec"]["template"]


def _templated_pod(owner: Json) -> Json:
    template = clone(owner["spec"]["template"])
    metadata = {
        **(template.get("metadata") or {}),
        "generateName": f"{owner['metadata']['name']}-",
        "ownerReferences": [owner_reference(owner)],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def _strip_devices(pod: Json) -> None:
    pod["spec"].pop("resourceClaims", None)
    for container in pod["spec"]["containers"]:
        container.pop("resources", None)


def _replica_set(deployment: Json, revision: str) -> Json:
    metadata, spec = deployment["metadata"], deployment["spec"]
    template = clone(spec["template"])
    template.setdefault("metadata", {}).setdefault("labels", {})[HASH_LABEL] = revision
    selector = clone(spec["selector"])
    selector.setdefault("matchLabels", {})[HASH_LABEL] = revision
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{metadata['name']}-{revision}",
            "labels": {**template["metadata"]["labels"]},
            "annotations": {"deployment.kubernetes.io/desired-replicas": str(spec["replicas"])},
            "ownerReferences": [owner_reference(deployment)],
        },
        # How many there may be is decided in view of the other sets.
        "spec": {"replicas": 0, "selector": selector, "template": template},
    }


def _suits(daemon_set: Json, node: Json) -> bool:
    spec = daemon_set["spec"]["template"]["spec"]
    labels = labels_of(node)
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    taints = [
        taint
        for taint in dig(node, "spec", "taints", default=())
        if taint.get("effect") in {"NoSchedule", "NoExecute"}
    ]
    return all(tolerated(taint, spec.get("tolerations") or ()) for taint in taints)


def _selects(selector: Json, pod: Json) -> bool:
    return matches_label_selector({"matchLabels": selector}, labels_of(pod))


def _is_endpoint_change(change: Change) -> bool:
    before = change.before or {}
    return (
        change.kind == DELETED
        or is_pod_ready(before) != is_pod_ready(change.obj)
        or is_deleting(before) != is_deleting(change.obj)
        or dig(before, "status", "podIP") != dig(change.obj, "status", "podIP")
        or labels_of(before) != labels_of(change.obj)
    )


def _endpoint(service: Json, pod: Json) -> Json:
    metadata = pod["metadata"]
    serving, terminating = is_condition_true(pod, "Ready"), is_deleting(pod)
    publishes = bool(service["spec"].get("publishNotReadyAddresses"))
    # What is on its way out is no place for new requests, even while it still serves.
    ready = publishes or (serving and not terminating)
    endpoint: Json = {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "nodeName": pod["spec"].get("nodeName"),
        "targetRef": {
            "kind": "Pod",
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
    }
    if pod["spec"].get("hostname") and pod["spec"].get("subdomain") == service["metadata"]["name"]:
        endpoint["hostname"] = pod["spec"]["hostname"]
    return endpoint


def _slice_port(port: Json, pods: list[Json]) -> Json:
    target = port.get("targetPort", port["port"])
    if isinstance(target, str):
        named = [
            entry["containerPort"]
            for pod in pods
            for container in pod["spec"]["containers"]
            for entry in container.get("ports") or ()
            if entry.get("name") == target
        ]
        target = named[0] if named else port["port"]
    return {"name": port.get("name", ""), "port": target, "protocol": port.get("protocol", "TCP")}


def _slice(service: Json, endpoints: list[Json], ports: list[Json]) -> Json:
    metadata = service["metadata"]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": f"{metadata['name']}-",
            "labels": {
                **labels_of(service),
                SERVICE_LABEL: metadata["name"],
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
            "ownerReferences": [owner_reference(service)],
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": ports,
    }

"""Volcano and KAI: gang schedulers with a scheduler name, pod groups and queues of their own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence

from conformance.simulator.clock import stamp
from conformance.simulator.controllers.scheduler import Group
from conformance.simulator.definitions import (
    CONDITIONS,
    INT32,
    OPEN,
    QUANTITY,
    STRING,
    definition,
    deployment,
    namespace,
    structure,
)
from conformance.simulator.objects import (
    Json,
    annotations_of,
    clone,
    controller_of,
    dig,
    is_pod_finished,
    labels_of,
    owner_reference,
)
from conformance.simulator.store import DELETED, Change
from conformance.simulator.world import Controller

REACTION_SECONDS = 0.1
_RESOURCES: Json = {"type": "object", "additionalProperties": QUANTITY}


class GroupedBackend(Controller):
    """A scheduler whose pods name their group in an annotation; it groups the pods that name none."""

    scheduler_name = ""
    groups = ""
    queues = ""
    annotation = ""
    wakes: frozenset[str] = frozenset()

    def notice(self, change: Change) -> None:
        if change.key == "pods" and change.obj["spec"].get("schedulerName") == self.scheduler_name:
            if change.kind != DELETED:
                self.enqueue(("pod", change.namespace, change.name))
            name = annotations_of(change.obj).get(self.annotation)
            if name:
                self.enqueue(("group", change.namespace, name), REACTION_SECONDS)
        elif change.key == self.groups and change.kind != DELETED:
            self.enqueue(("group", change.namespace, change.name), REACTION_SECONDS)

    def reconcile(self, key: tuple[str, str, str]) -> None:
        role, home, name = key
        if role == "pod":
            pod = self.store.get("pods", home, name)
            if pod is not None and self.annotation not in annotations_of(pod):
                self._group_pod(pod)
            return
        group = self.store.get(self.groups, home, name)
        if group is not None:
            self._write_status(group)

    def group_of(self, pod: Json) -> Group | None:
        home = pod["metadata"]["namespace"]
        name = annotations_of(pod).get(self.annotation)
        if name is None:
            # The group is about to be made; until then the pod waits.
            return Group(f"{home}/{pod['metadata']['name']} ungrouped", None)
        key = f"{home}/{name}"
        group = self.store.get(self.groups, home, name)
        if group is None or self.store.get(self.queues, "", self._queue(group)) is None:
            return Group(key, None)
        return Group(key, int(dig(group, "spec", "minMember", default=1)))

    def report(self, group: Group, pods: Sequence[Json], bound: int, message: str) -> None:
        home, _, name = group.key.partition("/")
        minimum = group.minimum or 1
        text = ""
        if message:
            text = (
                f"{len(pods)}/{len(pods) + bound} tasks in gang unschedulable: pod group is not ready, "
                f"{len(pods)} Pending, {minimum} minAvailable; {message}"
            )
        self.api.edit(self.groups, home, name, self._attempted(text))

    def _members(self, group: Json) -> list[Json]:
        metadata = group["metadata"]
        return [
            pod
            for pod in self.store.all("pods", metadata["namespace"])
            if annotations_of(pod).get(self.annotation) == metadata["name"]
        ]

    def _adopt(self, pod: Json, name: str, owner: Json, spec: Json) -> None:
        """Put `pod` into the group `name`, which is made with `spec` where it is missing."""
        home = pod["metadata"]["namespace"]
        kind = self.api.kind(self.groups)
        if self.store.get(self.groups, home, name) is None:
            group = {
                "apiVersion": kind.api_version(),
                "kind": kind.kind,
                "metadata": {"name": name, "ownerReferences": [owner]},
                "spec": spec,
            }
            self.api.create(kind, group, home)

        def change(obj: Json) -> None:
            obj["metadata"].setdefault("annotations", {})[self.annotation] = name

        self.api.edit("pods", home, pod["metadata"]["name"], change)

    def _queue(self, group: Json) -> str:
        raise NotImplementedError

    def _group_pod(self, pod: Json) -> None:
        raise NotImplementedError

    def _write_status(self, group: Json) -> None:
        raise NotImplementedError

    def _attempted(self, message: str) -> Callable[[Json], None]:
        """Return the change of a group's status after an attempt; no message means success."""
        raise NotImplementedError


class Volcano(GroupedBackend):
    name = "volcano"
    scheduler_name = "volcano"
    groups, queues = "podgroups.scheduling.volcano.sh", "queues.scheduling.volcano.sh"
    annotation = "scheduling.k8s.io/group-name"
    wakes = frozenset({groups, queues})

    def _queue(self, group: Json) -> str:
        return str(dig(group, "spec", "queue", default="default"))

    def _group_pod(self, pod: Json) -> None:
        owner = controller_of(pod) or owner_reference(pod)
        queue = annotations_of(pod).get("scheduling.volcano.sh/queue-name", "default")
        self._adopt(pod, f"podgroup-{owner['uid']}", owner, {"minMember": 1, "queue": queue})

    def _write_status(self, group: Json) -> None:
        members = self._members(group)
        counts = {
            "running": len([pod for pod in members if dig(pod, "status", "phase") == "Running"]),
            "succeeded": len([pod for pod in members if dig(pod, "status", "phase") == "Succeeded"]),
            "failed": len([pod for pod in members if dig(pod, "status", "phase") == "Failed"]),
        }
        minimum = dig(group, "spec", "minMember", default=1)
        placed = len([pod for pod in members if pod["spec"].get("nodeName")])
        phase = "Inqueue"
        if self.store.get(self.queues, "", self._queue(group)) is None:
            phase = "Pending"
        elif members and all(is_pod_finished(pod) for pod in members) and placed >= minimum:
            phase = "Completed"
        elif placed >= minimum:
            phase = "Running"

        def change(obj: Json) -> None:
            status = obj.setdefault("status", {})
            status["phase"] = phase
            for field, count in counts.items():
                if count:
                    status[field] = count
                else:
                    status.pop(field, None)

        metadata = group["metadata"]
        self.api.edit(self.groups, metadata["namespace"], metadata["name"], change)

    def _attempted(self, message: str) -> Callable[[Json], None]:
        kind = "Unschedulable" if message else "Scheduled"
        text = message or "tasks in gang are ready to be scheduled"
        reason = "NotEnoughResources" if message else "tasks in gang are ready to be scheduled"

        def change(obj: Json) -> None:
            conditions = obj.setdefault("status", {}).setdefault("conditions", [])
            for entry in conditions:
                if entry["type"] == kind and entry.get("message") == text:
                    return
            conditions[:] = [entry for entry in conditions if entry["type"] != kind]
            conditions.append(
                {
                    "type": kind,
                    "status": "True",
                    "transitionID": str(uuid.uuid4()),
                    "lastTransitionTime": stamp(),
                    "reason": reason,
                    "message": text,
                }
            )

        return change

    @staticmethod
    def objects() -> list[Json]:
        """Return what an installation of Volcano brings along."""
        group_spec = structure(
            {
                "minMember": INT32,
                "minTaskMember": OPEN,
                "minResources": _RESOURCES,
                "queue": {"type": "string", "default": "default"},
                "priorityClassName": STRING,
                "networkTopology": OPEN,
            }
        )
        status = structure(
            {
                "phase": {**STRING, "default": "Pending"},
                "conditions": {"type": "array", "items": OPEN},
                "running": INT32,
                "succeeded": INT32,
                "failed": INT32,
            }
        )
        queue_spec = structure(
            {
                "weight": {**INT32, "default": 1, "minimum": 1, "maximum": 65535},
                "capability": _RESOURCES,
                "deserved": _RESOURCES,
                "guarantee": OPEN,
                "parent": STRING,
                "reclaimable": {"type": "boolean"},
                "type": STRING,
            }
        )
        home = "volcano-system"
        queue = {
            "apiVersion": "scheduling.volcano.sh/v1beta1",
            "kind": "Queue",
            "metadata": {"name": "default"},
            "spec": {"weight": 1, "reclaimable": True},
        }
        return [
            namespace(home),
            definition(
                "podgroups.scheduling.volcano.sh",
                "PodGroup",
                {"v1beta1": structure({"spec": group_spec, "status": status})},
                short_names=["pg", "podgroup-v1beta1"],
            ),
            definition(
                "queues.scheduling.volcano.sh",
                "Queue",
                {
                    "v1beta1": structure(
                        {"spec": queue_spec, "status": {**OPEN, "default": {"state": "Open"}}}
                    )
                },
                namespaced=False,
                short_names=["q", "queue-v1beta1"],
            ),
            deployment(home, "volcano-scheduler", "docker.io/volcanosh/vc-scheduler:v1.13.0"),
            deployment(home, "volcano-controllers", "docker.io/volcanosh/vc-controller-manager:v1.13.0"),
            queue,
        ]


class Kai(GroupedBackend):
    name = "kai-scheduler"
    scheduler_name = "kai-scheduler"
    groups, queues = "podgroups.scheduling.run.ai", "queues.scheduling.run.ai"
    annotation = "pod-group-name"
    wakes = frozenset({groups, queues})
    queue_label, minimum_annotation = "kai.scheduler/queue", "kai.scheduler/batch-min-member"
    default_queue = "default-queue"

    def _queue(self, group: Json) -> str:
        return str(dig(group, "spec", "queue", default=self.default_queue))

    def _group_pod(self, pod: Json) -> None:
        owner = controller_of(pod)
        top = self.store.by_uid(owner["uid"]) if owner is not None else pod
        if top is None:
            return
        text = annotations_of(top).get(self.minimum_annotation, "1")
        minimum = int(text) if text.isdigit() else 1
        # Pods of a job that asks for no gang are placed one by one, each in a group of its own.
        named = top if minimum > 1 else pod
        name = f"pg-{named['metadata']['name']}-{top['metadata']['uid']}"
        queue = labels_of(top).get(self.queue_label) or labels_of(pod).get(self.queue_label)
        spec = {"minMember": minimum, "queue": queue or self.default_queue, "priorityClassName": "train"}
        self._adopt(pod, name, owner_reference(top), spec)

    def _write_status(self, group: Json) -> None:
        """KAI tells of attempts only; there is no phase to keep."""

    def _attempted(self, message: str) -> Callable[[Json], None]:
        def change(obj: Json) -> None:
            status = obj.setdefault("status", {})
            known = clone(status.get("schedulingConditions") or [])
            if not message:
                status.pop("schedulingConditions", None)
            elif not known or known[-1].get("message") != message:
                status["schedulingConditions"] = [
                    {
                        "type": "UnschedulableOnNodePool",
                        "nodePool": "default",
                        "reason": "Unschedulable",
                        "message": message,
                        "transitionID": "1",
                        "lastTransitionTime": stamp(),
                        "status": "True",
                    }
                ]

        return change

    @classmethod
    def objects(cls) -> list[Json]:
        """Return what an installation of the KAI scheduler brings along."""
        group_spec = structure(
            {
                "minMember": {**INT32, "minimum": 1},
                "queue": STRING,
                "priorityClassName": STRING,
                "preemptibility": STRING,
                "markUnschedulable": {"type": "boolean"},
                "schedulingBackoff": INT32,
                "topologyConstraint": OPEN,
                "subGroups": {"type": "array", "items": OPEN},
            }
        )
        status = structure(
            {
                "phase": STRING,
                "pending": INT32,
                "running": INT32,
                "conditions": CONDITIONS,
                "schedulingConditions": {"type": "array", "items": OPEN},
                "resourcesStatus": OPEN,
            }
        )
        queue_spec = structure(
            {
                "displayName": STRING,
                "parentQueue": STRING,
                "priority": {"type": "integer"},
                "resources": OPEN,
                "preemptMinRuntime": STRING,
                "reclaimMinRuntime": STRING,
            }
        )
        unlimited = {"quota": -1, "limit": -1, "overQuotaWeight": 1}
        home = "kai-scheduler"

        def queue(name: str, parent: str = "") -> Json:
            spec: Json = {"resources": dict.fromkeys(("cpu", "gpu", "memory"), unlimited)}
            if parent:
                spec["parentQueue"] = parent
            return {
                "apiVersion": "scheduling.run.ai/v2",
                "kind": "Queue",
                "metadata": {"name": name},
                "spec": spec,
            }

        return [
            namespace(home),
            definition(
                cls.groups,
                "PodGroup",
                {"v2alpha2": structure({"spec": group_spec, "status": status})},
                short_names=["pg"],
            ),
            definition(
                cls.queues,
                "Queue",
                {"v2": structure({"spec": queue_spec, "status": OPEN})},
                namespaced=False,
                short_names=["q"],
            ),
            deployment(
                home, "kai-scheduler-default", "ghcr.io/kai-scheduler/kai-scheduler/scheduler:v0.12.4"
            ),
            deployment(home, "pod-grouper", "ghcr.io/kai-scheduler/kai-scheduler/podgrouper:v0.12.4"),
            queue("default-parent-queue"),
            queue(cls.default_queue, "default-parent-queue"),
        ]

"""The in-tree gang scheduling of Kubernetes 1.36 and later: PodGroup in scheduling.k8s.io."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.simulator.controllers.scheduler import DEFAULT_SCHEDULER, Group
from conformance.simulator.defaults import POD_GROUP_FINALIZER
from conformance.simulator.objects import Json, dig, is_deleting, is_pod_finished, set_condition
from conformance.simulator.store import DELETED, Change
from conformance.simulator.world import Controller, World

POD_GROUPS = "podgroups.scheduling.k8s.io"
RELEASE_SECONDS = 0.2


class PodGroupBackend(Controller):
    """Tells the default scheduler of gangs, and protects groups that pods still refer to."""

    name = "podgroup-protection-controller"
    scheduler_name = DEFAULT_SCHEDULER
    wakes = frozenset({POD_GROUPS})

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._is_alpha = world.types.get(POD_GROUPS).versions == ("v1alpha2",)

    def group_of(self, pod: Json) -> Group | None:
        name = dig(pod, "spec", "schedulingGroup", "podGroupName")
        if not name:
            return None
        namespace = pod["metadata"]["namespace"]
        group = self.store.get(POD_GROUPS, namespace, name)
        if group is None:
            return Group(f"{namespace}/{name}", None)
        minimum = dig(group, "spec", "schedulingPolicy", "gang", "minCount")
        return Group(f"{namespace}/{name}", int(minimum)) if minimum is not None else None

    def report(self, group: Group, pods: Sequence[Json], bound: int, message: str) -> None:
        del pods, bound
        namespace, _, name = group.key.partition("/")
        # The condition was renamed when the kind left alpha 2.
        kind = "PodGroupScheduled" if self._is_alpha else "PodGroupInitiallyScheduled"

        def change(obj: Json) -> None:
            conditions = obj.setdefault("status", {}).setdefault("conditions", [])
            generation = obj["metadata"].get("generation", 1)
            if message:
                values = {"reason": "Unschedulable", "message": message}
                set_condition(conditions, kind, "False", observedGeneration=generation, **values)
            else:
                values = {
                    "reason": "Scheduled",
                    "message": "All required pods have been successfully scheduled",
                }
                set_condition(conditions, kind, "True", observedGeneration=generation, **values)

        self.api.edit(POD_GROUPS, namespace, name, change)

    def notice(self, change: Change) -> None:
        if change.key == POD_GROUPS and change.kind != DELETED and is_deleting(change.obj):
            self.enqueue((change.namespace, change.name), RELEASE_SECONDS)
        elif change.key == "pods":
            name = dig(change.obj, "spec", "schedulingGroup", "podGroupName")
            if name and (change.kind == DELETED or is_pod_finished(change.obj)):
                self.enqueue((change.namespace, name), RELEASE_SECONDS)

    def reconcile(self, key: tuple[str, str]) -> None:
        namespace, name = key
        group = self.store.get(POD_GROUPS, namespace, name)
        if group is None or not is_deleting(group):
            return
        for pod in self.store.all("pods", namespace):
            refers = dig(pod, "spec", "schedulingGroup", "podGroupName") == name
            if refers and not is_pod_finished(pod):
                return
        self.api.edit(POD_GROUPS, namespace, name, _unprotect)


def _unprotect(group: Json) -> None:
    finalizers = [
        entry for entry in group["metadata"].get("finalizers") or () if entry != POD_GROUP_FINALIZER
    ]
    if finalizers:
        group["metadata"]["finalizers"] = finalizers
    else:
        group["metadata"].pop("finalizers", None)

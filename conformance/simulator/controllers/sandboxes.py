"""Sandboxes by an API of their own: a controller that makes an isolated pod for each."""

from __future__ import annotations

from conformance.simulator import definitions
from conformance.simulator.objects import (
    Json,
    clone,
    is_controlled_by,
    is_deleting,
    labels_of,
    owner_reference,
)
from conformance.simulator.profiles import Profile
from conformance.simulator.runtimes import HANDLER_ANNOTATION, KATA
from conformance.simulator.store import Change
from conformance.simulator.world import Controller

GROUP = "agents.x-k8s.io"
SANDBOXES = f"sandboxes.{GROUP}"
REACTION_SECONDS = 0.3


def objects(profile: Profile) -> list[Json]:
    """Return the definition of sandboxes, where a platform has them."""
    if profile.faults.isdisjoint({"agent-sandboxes", "agent-sandboxes-idle"}):
        return []
    template = definitions.structure({"metadata": definitions.OPEN, "spec": definitions.OPEN}, ["spec"])
    spec = definitions.structure(
        {"podTemplate": template, "replicas": definitions.INT32, "shutdownTime": definitions.TIME},
        ["podTemplate"],
    )
    status = definitions.structure({"conditions": definitions.CONDITIONS, "replicas": definitions.INT32})
    schema = definitions.structure({"spec": spec, "status": status})
    return [definitions.definition(SANDBOXES, "Sandbox", {"v1alpha1": schema})]


class SandboxController(Controller):
    """Keeps one pod of a sandbox's name; its containers run in a virtual machine."""

    name = "agent-sandbox-controller"

    def notice(self, change: Change) -> None:
        if change.key == SANDBOXES:
            self.enqueue((change.namespace, change.name), REACTION_SECONDS)

    def reconcile(self, key: tuple[str, str]) -> None:
        namespace, name = key
        sandbox = self.store.get(SANDBOXES, namespace, name)
        if sandbox is None or is_deleting(sandbox) or "agent-sandboxes-idle" in self.world.faults:
            return
        found = self.store.get("pods", namespace, name)
        if found is not None and is_controlled_by(found, sandbox):
            return
        template = clone(sandbox["spec"]["podTemplate"])
        metadata = template.get("metadata") or {}
        pod: Json = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "labels": {**labels_of({"metadata": metadata}), "agents.x-k8s.io/sandbox-name-hash": name},
                "annotations": {HANDLER_ANNOTATION: KATA},
                "ownerReferences": [owner_reference(sandbox)],
            },
            "spec": template["spec"],
        }
        self.api.create(self.api.kind("pods"), pod, namespace)

"""What happens around nodes that come and go."""

from __future__ import annotations

import contextlib

from conformance.simulator.errors import ApiError
from conformance.simulator.machinery import Deletion
from conformance.simulator.store import DELETED, Change
from conformance.simulator.world import Controller

LEASES = "leases.coordination.k8s.io"
LEASE_HOME = "kube-node-lease"
REACTION_SECONDS = 0.5


class NodeGarbageCollector(Controller):
    """Removes what a vanished node leaves behind: its pods, which nobody runs any more, and its lease."""

    name = "pod-garbage-collector"

    def notice(self, change: Change) -> None:
        if change.key == "nodes" and change.kind == DELETED:
            self.enqueue(change.name, REACTION_SECONDS)

    def reconcile(self, key: str) -> None:
        if self.store.get("nodes", "", key) is not None:
            return
        kind = self.api.kind("pods")
        for pod in list(self.store.each("pods")):
            if pod["spec"].get("nodeName") == key:
                metadata = pod["metadata"]
                deletion = Deletion(grace_seconds=0, uid=metadata["uid"])
                with contextlib.suppress(ApiError):
                    self.api.delete(kind, metadata["namespace"], metadata["name"], deletion)
        if self.store.get(LEASES, LEASE_HOME, key) is not None:
            self.api.delete(self.api.kind(LEASES), LEASE_HOME, key)

"""Resource quotas: what a namespace's pods ask for together, and the refusal of more."""

from __future__ import annotations

from fractions import Fraction

from conformance.simulator.controllers.scheduler import requested
from conformance.simulator.errors import forbidden
from conformance.simulator.objects import Json, dig, is_pod_finished
from conformance.simulator.quantities import amount, quantity
from conformance.simulator.store import DELETED, Change
from conformance.simulator.world import Controller, World

QUOTAS = "resourcequotas"
REACTION_SECONDS = 0.5
_REQUESTS = "requests."
_DEMANDED = frozenset({"cpu", "memory", "requests.cpu", "requests.memory"})


class QuotaController(Controller):
    """Keeps the books of quotas, and sits in the way of new pods as admission does."""

    name = "resourcequota-controller"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        world.api.admission.append(self.admit)

    def notice(self, change: Change) -> None:
        if change.key == QUOTAS and change.kind != DELETED:
            self.enqueue((change.namespace, change.name), REACTION_SECONDS)
        elif change.key == "pods":
            for quota in self.store.all(QUOTAS, change.namespace):
                self.enqueue((change.namespace, quota["metadata"]["name"]), REACTION_SECONDS)

    def reconcile(self, key: tuple[str, str]) -> None:
        quota = self.store.get(QUOTAS, *key)
        if quota is None or "quota-not-tracked" in self.world.faults:
            return
        hard = dig(quota, "spec", "hard", default={})
        used = self._used(key[0])
        status = {
            "hard": dict(hard),
            "used": {resource: amount(used.get(_plain(resource), Fraction(0))) for resource in hard},
        }
        if quota.get("status") != status:
            self.api.edit(QUOTAS, *key, lambda obj: obj.update(status=status))

    def _used(self, namespace: str) -> dict[str, Fraction]:
        """Return what the pods of a namespace ask for; those that have ended ask for nothing."""
        total: dict[str, Fraction] = {}
        for pod in self.store.all("pods", namespace):
            if is_pod_finished(pod) and "quota-never-released" not in self.world.faults:
                continue
            for resource, value in requested(pod).items():
                total[resource] = total.get(resource, Fraction(0)) + value
        return total

    def admit(self, pod: Json) -> None:
        """Refuse a pod that would take its namespace beyond a quota."""
        metadata = pod["metadata"]
        if "quota-ignored" in self.world.faults:
            return
        wanted = requested(pod)
        for quota in self.store.all(QUOTAS, metadata["namespace"]):
            name = quota["metadata"]["name"]
            hard = dig(quota, "status", "hard", default={})
            missing = sorted(
                resource for resource in hard if resource in _DEMANDED and _plain(resource) not in wanted
            )
            if missing:
                why = f"failed quota: {name}: must specify {','.join(missing)} for: {_containers(pod)}"
                raise forbidden("", "pods", metadata["name"], why)
            used = self._used(metadata["namespace"])
            for resource, limit in sorted(hard.items()):
                asked = wanted.get(_plain(resource), Fraction(0))
                before = used.get(_plain(resource), Fraction(0))
                if asked and before + asked > quantity(limit):
                    why = (
                        f"exceeded quota: {name}, requested: {resource}={amount(asked)}, "
                        f"used: {resource}={amount(before)}, limited: {resource}={limit}"
                    )
                    raise forbidden("", "pods", metadata["name"], why)


def _plain(resource: str) -> str:
    return resource.removeprefix(_REQUESTS)


def _containers(pod: Json) -> str:
    return ",".join(container["name"] for container in pod["spec"]["containers"])

"""The schedulers: they place pods, alone or in gangs, and allocate the devices of their claims."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Protocol

from conformance.simulator import fabric
from conformance.simulator.affinity import Placed, neighbour_problem
from conformance.simulator.allocation import (
    CLAIMS,
    CLASSES,
    MAX_RESERVATIONS,
    SLICES,
    AllocationError,
    DeviceKey,
    Inventory,
    tolerated,
)
from conformance.simulator.controllers.claims import PROTECTION
from conformance.simulator.hardware import claim_name
from conformance.simulator.objects import (
    Json,
    condition,
    controller_of,
    dig,
    is_condition_true,
    is_deleting,
    is_pod_finished,
    set_condition,
    uid_of,
)
from conformance.simulator.quantities import quantity
from conformance.simulator.selectors import matches_node_selector
from conformance.simulator.store import DELETED, Change
from conformance.simulator.volumes import CLAIMS as VOLUME_CLAIMS
from conformance.simulator.volumes import unbound_problem
from conformance.simulator.world import Controller, World

DEFAULT_SCHEDULER = "default-scheduler"
REACTION_SECONDS = 0.1
_CYCLE = "cycle"
_STAGGER_SECONDS = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """The gang a pod belongs to. `minimum` members start together; None while that is unknown."""

    key: str
    minimum: int | None


class GangBackend(Protocol):
    """What a gang scheduler adds to placing pods."""

    scheduler_name: str
    wakes: frozenset[str]

    def group_of(self, pod: Json) -> Group | None:
        """Return the gang of a pod, or None where it is placed for itself."""

    def report(self, group: Group, pods: Sequence[Json], bound: int, message: str) -> None:
        """Take note of an attempt: `bound` members have a node now; `message` says what was missing."""


class _NoFitError(Exception):
    """The pod fits nowhere; the text is what its condition says."""


class _State:
    """Free resources and devices while a cycle tries placements; cheap to copy."""

    def __init__(
        self,
        free: dict[str, dict[str, Fraction]],
        taken: set[DeviceKey],
        claims: dict[str, Json],
        placed: list[Placed],
    ) -> None:
        self.free = free
        self.taken = taken
        self.claims = claims
        self.placed = placed

    def copy(self) -> _State:
        free = {node: dict(resources) for node, resources in self.free.items()}
        return _State(free, set(self.taken), dict(self.claims), list(self.placed))


@dataclasses.dataclass(frozen=True, slots=True)
class _Placement:
    pod: Json
    node: str
    allocations: dict[str, Json]


@dataclasses.dataclass(slots=True)
class _Cycle:
    """One round over all waiting pods; `state` follows what has been placed."""

    nodes: list[Json]
    inventory: Inventory
    state: _State


class Scheduler(Controller):
    """Serves the default scheduler's name and those of the gang back ends."""

    name = DEFAULT_SCHEDULER

    def __init__(self, world: World, backends: Sequence[GangBackend] = ()) -> None:
        super().__init__(world)
        self._backends = {backend.scheduler_name: backend for backend in backends}
        self._names = {DEFAULT_SCHEDULER, *self._backends}
        wakes = {"pods", "nodes", CLAIMS, SLICES, CLASSES, VOLUME_CLAIMS}
        self._wakes = wakes.union(*(backend.wakes for backend in backends))
        self._given_up: set[str] = set()
        self._next_turn: dict[str, float] = {}

    def notice(self, change: Change) -> None:
        if change.key in self._wakes and not self._is_idle(change):
            self.enqueue(_CYCLE, REACTION_SECONDS)

    @staticmethod
    def _is_idle(change: Change) -> bool:
        """Whether a change cannot make a pod fit: most are status updates of running pods."""
        if change.key != "pods" or change.before is None or change.kind == DELETED:
            return False
        before, after = change.before, change.obj
        return (
            before["spec"] == after["spec"]
            and is_pod_finished(before) == is_pod_finished(after)
            and dig(before, "status", "resourceClaimStatuses")
            == dig(after, "status", "resourceClaimStatuses")
            and is_deleting(before) == is_deleting(after)
        )

    def reconcile(self, key: str) -> None:
        del key
        pending = [pod for pod in self.store.each("pods") if self._is_waiting(pod)]
        if not pending:
            self._given_up.clear()
            return
        nodes = self.store.all("nodes")
        faults, network = self.world.faults, {fabric.DRIVER}
        inventory = Inventory(
            self.store,
            astray=network if "nic-misplaced" in faults else (),
            withheld=network if "nic-never-allocated" in faults else (),
        )
        placed = [
            (pod, str(pod["spec"]["nodeName"]))
            for pod in self.store.each("pods")
            if pod["spec"].get("nodeName") and not is_pod_finished(pod)
        ]
        state = _State(self._free(nodes, placed), inventory.taken, {}, placed)
        cycle = _Cycle(nodes, inventory, state)
        done: set[str] = set()
        for pod in pending:
            backend = self._backends.get(pod["spec"]["schedulerName"])
            group = backend.group_of(pod) if backend is not None else None
            if backend is None or group is None:
                self._place_alone(pod, cycle)
            elif group.key not in done:
                done.add(group.key)
                self._place_gang(backend, group, pending, cycle)
        # What is not waiting any more needs no memory of having failed.
        self._given_up &= done

    def _is_waiting(self, pod: Json) -> bool:
        spec = pod["spec"]
        return (
            not spec.get("nodeName")
            and not is_deleting(pod)
            and not is_pod_finished(pod)
            and not spec.get("schedulingGates")
            and spec["schedulerName"] in self._names
        )

    def _place_alone(self, pod: Json, cycle: _Cycle) -> None:
        try:
            placement = self._place(pod, cycle, cycle.state)
        except _NoFitError as error:
            self._say_unschedulable(pod, str(error))
            return
        if placement is not None:
            self._bind(placement)

    def _place_gang(self, backend: GangBackend, group: Group, pending: list[Json], cycle: _Cycle) -> None:
        """Try to place the gang's waiting members, all that are needed or none."""
        members = [
            pod for pod in self.store.each("pods") if not is_deleting(pod) and backend.group_of(pod) == group
        ]
        waiting = [pod for pod in pending if backend.group_of(pod) == group]
        bound = len([pod for pod in members if pod["spec"].get("nodeName")])
        if "gang-never-bound" in self.world.faults or group.minimum is None or len(members) < group.minimum:
            # The gang is not complete, or its group is not there yet: nobody is tried.
            return
        trial = cycle.state.copy()
        tried = self._try_members(waiting, cycle, trial)
        if tried is None:
            return
        placements, problem = tried
        fits = bound + len(placements) >= group.minimum
        if not fits and "gang-partial" not in self.world.faults:
            self._given_up.add(group.key)
            for pod in waiting:
                self._say_unschedulable(pod, problem)
            backend.report(group, waiting, bound, problem)
            return
        if group.key in self._given_up and "gang-never-released" in self.world.faults:
            return
        self._given_up.discard(group.key)
        if "gang-staggered" in self.world.faults and placements:
            self._bind_one(group.key, placements[0])
            return
        cycle.state = trial
        for placement in placements:
            self._bind(placement)
        placed = {uid_of(placement.pod) for placement in placements}
        left = [pod for pod in waiting if uid_of(pod) not in placed]
        for pod in left:
            self._say_unschedulable(pod, problem)
        backend.report(group, left, bound + len(placements), "" if fits else problem)

    def _bind_one(self, group: str, placement: _Placement) -> None:
        """Bind a single member of a gang, and the next one only a good while later."""
        moment = asyncio.get_running_loop().time()
        if moment >= self._next_turn.get(group, 0.0):
            self._next_turn[group] = moment + self.world.clock.scaled(_STAGGER_SECONDS)
            self._bind(placement)
        self.enqueue(_CYCLE, _STAGGER_SECONDS)

    def _try_members(
        self, waiting: list[Json], cycle: _Cycle, trial: _State
    ) -> tuple[list[_Placement], str] | None:
        """Return what could be placed and what was missing; None while a claim is still to be made."""
        placements: list[_Placement] = []
        problem = ""
        for pod in waiting:
            try:
                placement = self._place(pod, cycle, trial)
            except _NoFitError as error:
                problem = str(error)
                continue
            if placement is None:
                return None
            placements.append(placement)
        return placements, problem

    # One pod

    def _place(self, pod: Json, cycle: _Cycle, state: _State) -> _Placement | None:
        """Choose a node and take what the pod needs from `state`; None while its claims are not made."""
        claims = self._claims(pod, state)
        if claims is None:
            return None
        if problem := unbound_problem(self.world, pod):
            raise _NoFitError(f"0/{len(cycle.nodes)} nodes are available: {problem}.")
        reasons: collections.Counter[str] = collections.Counter()
        candidates = sorted(cycle.nodes, key=lambda node: (-state.free[_name(node)]["pods"], _name(node)))
        wanted = requested(pod)
        for node in candidates:
            reason = self._misfit(pod, node, wanted, state)
            if reason is None:
                by_name = {_name(entry): entry for entry in cycle.nodes}
                reason = neighbour_problem(pod, node, state.placed, by_name)
            if reason is not None:
                reasons[reason] += 1
                continue
            allocations = self._allocate(claims, node, cycle.inventory, state)
            if allocations is None:
                reasons["cannot allocate all claims"] += 1
                continue
            free = state.free[_name(node)]
            for resource, value in wanted.items():
                free[resource] -= value
            for uid, allocation in allocations.items():
                state.claims[uid] = allocation
                state.taken |= _keys(allocation)
            state.placed.append((pod, _name(node)))
            return _Placement(pod, _name(node), allocations)
        raise _NoFitError(_summary(len(cycle.nodes), reasons))

    def _claims(self, pod: Json, state: _State) -> list[Json] | None:
        """Return the pod's claims as they would be by now; None while one does not exist."""
        found: list[Json] = []
        for entry in pod["spec"].get("resourceClaims") or ():
            name = claim_name(pod, entry["name"])
            claim = self.store.get(CLAIMS, pod["metadata"]["namespace"], name) if name else None
            if claim is None or is_deleting(claim):
                return None
            owner = controller_of(claim)
            if "resourceClaimTemplateName" in entry and (owner is None or owner["uid"] != uid_of(pod)):
                return None
            promised = state.claims.get(uid_of(claim))
            if promised is not None:
                claim = {**claim, "status": {**(claim.get("status") or {}), "allocation": promised}}
            found.append(claim)
        return found

    def _misfit(self, pod: Json, node: Json, wanted: dict[str, Fraction], state: _State) -> str | None:
        """Return why `node` cannot take the pod, in the words of the scheduler; None where it can."""
        spec = pod["spec"]
        tolerations = spec.get("tolerations") or ()
        if dig(node, "spec", "unschedulable") and not any(
            entry.get("operator") == "Exists" and not entry.get("key") for entry in tolerations
        ):
            return "node(s) were unschedulable"
        for taint in dig(node, "spec", "taints", default=()):
            if taint.get("effect") in {"NoSchedule", "NoExecute"} and not tolerated(taint, tolerations):
                return "node(s) had untolerated taint(s)"
        if not is_condition_true(node, "Ready"):
            return "node(s) were not ready"
        labels = node["metadata"].get("labels") or {}
        selector = spec.get("nodeSelector") or {}
        affinity = dig(spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
        if any(labels.get(key) != value for key, value in selector.items()) or not matches_node_selector(
            affinity, node
        ):
            return "node(s) didn't match Pod's node affinity/selector"
        free = state.free[_name(node)]
        for resource, value in wanted.items():
            if free.get(resource, Fraction(0)) < value:
                return "Too many pods" if resource == "pods" else f"Insufficient {resource}"
        return None

    def _allocate(
        self, claims: list[Json], node: Json, inventory: Inventory, state: _State
    ) -> dict[str, Json] | None:
        allocations: dict[str, Json] = {}
        taken = set(state.taken)
        for claim in claims:
            existing = dig(claim, "status", "allocation")
            if existing is not None:
                if not matches_node_selector(existing.get("nodeSelector"), node):
                    return None
                if len(dig(claim, "status", "reservedFor", default=())) >= MAX_RESERVATIONS:
                    return None
                continue
            try:
                allocation = inventory.allocate(claim, node, taken)
            except AllocationError as error:
                raise _NoFitError(f"claim {claim['metadata']['name']}: {error}") from error
            if allocation is None:
                return None
            taken |= _keys(allocation)
            allocations[uid_of(claim)] = allocation
        return allocations

    def _bind(self, placement: _Placement) -> None:
        pod = placement.pod
        metadata = pod["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        consumer = {"resource": "pods", "name": name, "uid": metadata["uid"]}
        for entry in pod["spec"].get("resourceClaims") or ():
            claim = self.store.get(CLAIMS, namespace, claim_name(pod, entry["name"]) or "")
            if claim is not None:
                allocation = placement.allocations.get(uid_of(claim))
                self.api.edit(
                    CLAIMS, namespace, claim["metadata"]["name"], _reservation(allocation, consumer)
                )

        def change(obj: Json) -> None:
            obj["spec"]["nodeName"] = placement.node
            conditions = obj["status"].setdefault("conditions", [])
            set_condition(conditions, "PodScheduled", "True", lastProbeTime=None)

        self.api.edit("pods", namespace, name, change)
        message = f"Successfully assigned {namespace}/{name} to {placement.node}"
        component = pod["spec"]["schedulerName"]
        self.world.recorder.record(pod, "Normal", "Scheduled", message, component=component)

    def _say_unschedulable(self, pod: Json, message: str) -> None:
        known = condition(pod, "PodScheduled")
        if known is not None and known["status"] == "False" and known.get("message") == message:
            return

        def change(obj: Json) -> None:
            conditions = obj["status"].setdefault("conditions", [])
            set_condition(
                conditions,
                "PodScheduled",
                "False",
                reason="Unschedulable",
                message=message,
                lastProbeTime=None,
            )

        metadata = pod["metadata"]
        self.api.edit("pods", metadata["namespace"], metadata["name"], change)
        component = pod["spec"]["schedulerName"]
        self.world.recorder.record(pod, "Warning", "FailedScheduling", message, component=component)

    @staticmethod
    def _free(nodes: list[Json], placed: list[Placed]) -> dict[str, dict[str, Fraction]]:
        free = {
            _name(node): {
                resource: quantity(value)
                for resource, value in dig(node, "status", "allocatable", default={}).items()
            }
            for node in nodes
        }
        for resources in free.values():
            resources.setdefault("pods", Fraction(110))
        for pod, node in placed:
            if node in free:
                for resource, value in requested(pod).items():
                    free[node][resource] = free[node].get(resource, Fraction(0)) - value
        return free


def requested(pod: Json) -> dict[str, Fraction]:
    """Return what a pod occupies on its node, itself included."""
    spec = pod["spec"]
    total: dict[str, Fraction] = {"pods": Fraction(1)}
    for container in spec["containers"]:
        for resource, value in dig(container, "resources", "requests", default={}).items():
            total[resource] = total.get(resource, Fraction(0)) + quantity(value)
    for container in spec.get("initContainers") or ():
        for resource, value in dig(container, "resources", "requests", default={}).items():
            total[resource] = max(total.get(resource, Fraction(0)), quantity(value))
    return total


def _name(node: Json) -> str:
    return str(node["metadata"]["name"])


def _keys(allocation: Json) -> set[DeviceKey]:
    results = dig(allocation, "devices", "results", default=())
    return {
        (r["driver"], r["pool"], r["device"])
        for r in results
        if not r.get("adminAccess") and not r.get("shareID")
    }


def _reservation(allocation: Json | None, consumer: Json) -> Callable[[Json], None]:
    def change(claim: Json) -> None:
        status = claim.setdefault("status", {})
        if allocation is not None:
            status["allocation"] = allocation
            finalizers = claim["metadata"].setdefault("finalizers", [])
            if PROTECTION not in finalizers:
                finalizers.append(PROTECTION)
        reserved = status.setdefault("reservedFor", [])
        if not any(entry["uid"] == consumer["uid"] for entry in reserved):
            reserved.append(consumer)

    return change


def _summary(count: int, reasons: collections.Counter[str]) -> str:
    listed = ", ".join(f"{number} {reason}" for reason, number in sorted(reasons.items()))
    tail = f"preemption: 0/{count} nodes are available: {count} Preemption is not helpful for scheduling."
    return f"0/{count} nodes are available: {listed}. {tail}"

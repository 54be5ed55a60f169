"""Nodes with accelerators come when pods wait for them and go when nobody needs them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from conformance import devices, pods
from conformance.checks import check
from conformance.conclusions import Concluded, failed, unknown
from conformance.devices import Allocation
from conformance.pods import Container, Placement, Request
from conformance.resources import (
    DISRUPTION_BUDGETS,
    EVENTS,
    NODES,
    PODS,
    RESOURCE_CLAIMS,
)
from conformance.rights import BASE, CLUSTER, DEVICES, on
from conformance.run import SHORTEST_WAIT, Run
from conformance.verdicts import Status, Verdict

Json = dict[str, Any]

# The one label only nodes bear that an autoscaler made, so that a pool with it scales by itself.
AUTOSCALED_POOL = "karpenter.sh/nodepool"
STEADY_SECONDS = 30.0
BASELINE_SECONDS = 30.0
START_SECONDS = 180.0
REFUSED_SECONDS = 60.0
_ATTEMPTS_AT_REST = 3
_LOOK_SECONDS = 2.0
# An autoscaler takes its time over removing a node: half an hour is not asked about every other second.
_DOWN_LOOK_SECONDS = 5.0
# Longer than everything this check waits for.
_HOLD_SECONDS = "7200"
_TRIGGER = "trigger"
_MOST_NODES = 32
_MOST_SHOWN = 20
_MOST_DEVICES = 32
# Autoscalers must not make room by ending these pods; each has its own word for that.
_KEPT = {
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}
_QUOTA = re.compile(
    r"quota|stockout|out of (resources|capacity)|insufficient.?capacity|limit (reached|exceeded)|"
    r"max(imum)? (node group |total nodes |cluster )?(size|limit)",
    re.IGNORECASE,
)


@check(
    "cluster_autoscaling",
    deadline=3600,
    rights=(
        *BASE,
        *DEVICES,
        *on("pods", "list", scope=CLUSTER),
        *on("resourceclaims", "list", group="resource.k8s.io", scope=CLUSTER),
        *on("poddisruptionbudgets", "create get delete", group="policy"),
    ),
    exclusive=True,
)
def cluster_autoscaling(run: Run) -> Verdict:
    """A node with an accelerator is added for a pod that waits for one, and removed afterwards.

    Every accelerator of an idle pool is taken, so that one more pod finds none. It must come to run on
    a node that was not there before; once all the pods are gone the pool must return to its former
    size and keep to it.

    KAR-0055. The pool is the vendor's choice, or one whose nodes an autoscaler is known to have made.
    """
    pool = _pool(run)
    if pool is None:
        return Verdict(
            Status.NOT_APPLICABLE,
            "no_autoscaler_declared",
            "No pool of nodes is declared to be scaled, and no node says that an autoscaler made it. Name "
            "the labels of one under `autoscaling.pool` in the probe settings if there is.",
        )
    allocation = devices.detect(run, pool)
    stage = _Stage(run, pool, allocation)
    stage.expect_idle()
    stage.await_rest()
    stage.take_all()
    stage.trigger()
    node = stage.await_new_node()
    stage.release()
    stage.await_baseline()
    return Verdict(
        Status.PASS,
        "scaled_both_ways",
        f"Node {node} was added to {stage.title} for a pod that waited for {allocation.name}, and once it "
        f"was gone the pool was back at {stage.baseline} nodes.",
    )


def _pool(run: Run) -> Mapping[str, str] | None:
    """Return the labels of the pool that scales; None where there is none."""
    declared = run.settings.autoscaling.pool
    if declared:
        run.evidence.observe("pool", {"labels": dict(declared), "declared": True})
        return declared
    sizes: dict[str, int] = {}
    nodes = {_name(node): node for node in run.items(NODES)}
    offering = _offering(run, nodes)
    for name, node in nodes.items():
        pool = _labels(node).get(AUTOSCALED_POOL)
        if pool and name in offering:
            sizes[pool] = sizes.get(pool, 0) + 1
    run.evidence.observe("autoscaled pools", {"label": AUTOSCALED_POOL, "nodes": sizes})
    if not sizes:
        return None
    return {AUTOSCALED_POOL: min(sizes, key=lambda pool: (sizes[pool], pool))}


def _offering(run: Run, nodes: Mapping[str, Json]) -> set[str]:
    """Return the nodes that offer an accelerator, however it is asked for."""
    found = {
        name
        for name, node in nodes.items()
        for resource in (node.get("status") or {}).get("allocatable") or {}
        if resource in devices.KNOWN_RESOURCES or resource == run.settings.accelerators.resource
    }
    return found | {name for device in devices.advertised(run, nodes) for name in device.nodes}


@dataclass
class _Stage:
    """The pool, and the pods that fill it."""

    run: Run
    pool: Mapping[str, str]
    allocation: Allocation
    baseline: int = 0
    _uids: frozenset[str] = frozenset()
    _holders: dict[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The pool as a person would name it."""
        return "pool " + ",".join(f"{key}={value}" for key, value in sorted(self.pool.items()))

    @property
    def _selector(self) -> str:
        return ",".join(f"{key}={value}" for key, value in sorted(self.pool.items()))

    def _nodes(self) -> dict[str, Json]:
        """Return the pool's nodes by UID."""
        found = self.run.items(NODES, selector=self._selector)
        return {str((node.get("metadata") or {}).get("uid")): node for node in found}

    # Before ---------------------------------------------------------------------------------------

    def expect_idle(self) -> None:
        """Conclude as unknown where somebody else uses the pool's accelerators or waits for some."""
        per_node = self.allocation.per_node
        if len(per_node) > _MOST_NODES or max(per_node.values()) > _MOST_DEVICES:
            raise unknown("pool_too_large", f"{self.title.capitalize()} is too large to be filled.")
        resource = self.allocation.request.resource
        busy = self._users_of(resource) if resource is not None else self._users_of_claims()
        self.run.evidence.observe("users of the pool", busy[:_MOST_SHOWN])
        if busy:
            raise unknown("pool_not_idle", f"{self.title.capitalize()} is not idle: {busy[0]}.")

    def _users_of(self, resource: str) -> list[str]:
        found = []
        for pod in self.run.items(PODS, everywhere=True):
            if pods.is_over(pod) or not _asks_for(pod, resource):
                continue
            if pods.node_of(pod) in self.allocation.per_node:
                found.append(f"pod {_whole_name(pod)} holds an accelerator")
            elif pods.is_unschedulable(pod):
                found.append(f"pod {_whole_name(pod)} waits for an accelerator")
        return found

    def _users_of_claims(self) -> list[str]:
        nodes = {_name(node): node for node in self._nodes().values()}
        own = {(device.driver, device.pool, device.name) for device in devices.advertised(self.run, nodes)}
        found = []
        waiting = set()
        for claim in self.run.items(RESOURCE_CLAIMS, everywhere=True):
            held = [result for result in _results(claim) if _key(result) in own]
            if held:
                found.append(f"claim {_whole_name(claim)} holds device {held[0].get('device')}")
            elif not _results(claim) and self.allocation.name in _classes(claim):
                waiting.add(_whole_name(claim))
        others = self.run.items(PODS, everywhere=True) if waiting else []
        return found + [
            f"pod {_whole_name(pod)} waits for an accelerator"
            for pod in others
            if pods.is_unschedulable(pod) and waiting & set(_claims_of(pod))
        ]

    def await_rest(self) -> None:
        """Wait until the pool keeps to its nodes for a while; conclude as unknown where it does not."""
        for _ in range(_ATTEMPTS_AT_REST):
            before = self._nodes()
            if self._kept(frozenset(before).__eq__, STEADY_SECONDS):
                self._uids, self.baseline = frozenset(before), len(before)
                self.run.evidence.observe("baseline", {_name(node): uid for uid, node in before.items()})
                if {_name(node) for node in before.values()} != set(self.allocation.per_node):
                    raise unknown(
                        "pool_not_usable", f"Not every node of {self.title} is Ready with an accelerator."
                    )
                return
        raise unknown("pool_unsteady", f"{self.title.capitalize()} gains or loses nodes with nobody asking.")

    def _kept(self, holds: Callable[[frozenset[str]], bool], seconds: float) -> bool:
        """Tell whether something holds of the UIDs of the pool's nodes all through a window."""
        ends = time.monotonic() + self.run.scaled(seconds)
        while True:
            over = time.monotonic() >= ends
            if not holds(frozenset(self._nodes())):
                return False
            if over:
                return True
            self.run.pause(_LOOK_SECONDS)

    # Up -------------------------------------------------------------------------------------------

    def take_all(self) -> None:
        """Start a pod on each node that holds all its accelerators."""
        run = self.run
        run.create(
            DISRUPTION_BUDGETS,
            "keep",
            {
                "spec": {
                    # Percentages need a controller to count by; these pods have none.
                    "minAvailable": self.baseline + 1,
                    "selector": {"matchLabels": run.labels()},
                }
            },
        )
        requests = {
            count: devices.prepare(run, self.allocation, count)
            for count in sorted({1, *self.allocation.per_node.values()})
        }
        for index, (node, count) in enumerate(sorted(self.allocation.per_node.items())):
            name = f"holder-{index:02d}"
            self._create(name, requests[count], self.allocation.placement(node))
            self._holders[name] = node
        if not self._await(lambda found: self._running(found) == len(self._holders), START_SECONDS):
            raise unknown(
                "pool_not_filled",
                f"Not every accelerator of {self.title} could be taken; others may hold some.",
            )

    def _create(self, name: str, request: Request, placement: Placement) -> Json:
        container = Container("hold", "hold", request, {"PROBE_HOLD": _HOLD_SECONDS})
        placement = Placement(placement.nodes, placement.tolerations, self.pool)
        body = pods.pod([container], self.run.image(), placement)
        return self.run.create(PODS, name, {**body, "metadata": {"annotations": _KEPT}})

    def _running(self, found: Mapping[str, Json]) -> int:
        for name, pod in found.items():
            if pods.lacks_image(pod):
                raise unknown("image_unpullable", f"The cluster cannot pull the image {self.run.image()}.")
            if pods.phase(pod) == "Failed":
                raise unknown("probe_failed", f"Pod {name} was started but its probe failed.")
        return sum(1 for name, pod in found.items() if name in self._holders and _runs(pod))

    def _await(self, judge: Callable[[Mapping[str, Json]], bool], seconds: float) -> bool:
        found = self.run.wait(
            PODS, lambda found: True if judge(found) else None, seconds=seconds, selector=self.run.selector
        )
        return found is True

    def trigger(self) -> None:
        """Start one more pod, for which the scheduler must find no accelerator."""
        nodes = tuple(self.allocation.per_node)
        tolerations = self.allocation.placement(*nodes).tolerations
        request = Request(self.allocation.request.resource)
        self._create(_TRIGGER, request, Placement((), tolerations))
        state: list[Json] = []

        def judge(found: Mapping[str, Json]) -> bool:
            pod = found.get(_TRIGGER)
            if pod is None or not (pods.is_unschedulable(pod) or pods.node_of(pod)):
                return False
            state.append(pod)
            return True

        if not self._await(judge, REFUSED_SECONDS):
            raise unknown("not_scheduled", "The scheduler said nothing about a pod without a place.")
        pod = state[-1]
        self.run.evidence.add_object("trigger/waiting", pod)
        if pods.node_of(pod):
            raise self._no_need(pod)
        message = _refusal(pod)
        if self.allocation.name not in message and not ("claim" in message and self._is_claim):
            raise unknown(
                "unschedulable_otherwise",
                f"The pod waits, but the scheduler does not say for an accelerator: {message}",
            )

    @property
    def _is_claim(self) -> bool:
        return self.allocation.request.is_claim

    def _no_need(self, pod: Json) -> Concluded:
        """Return the conclusion where the trigger found a place on a node that was there before."""
        present = {_name(entry) for entry in self.run.items(PODS, selector=self.run.selector) if _runs(entry)}
        lost = sorted(set(self._holders) - present)
        if lost:
            return failed(
                "holder_displaced",
                f"Instead of a node being added, pod {lost[0]} lost its accelerator although a budget "
                "protects it.",
            )
        return unknown(
            "place_left",
            f"The pod found an accelerator on node {pods.node_of(pod)}, which was there before; the pool "
            "has more places than it advertises.",
        )

    def await_new_node(self) -> str:
        """Wait until the trigger runs, and return the new node it runs on."""
        run = self.run
        found: list[Json] = []

        def judge(present: Mapping[str, Json]) -> bool:
            pod = present.get(_TRIGGER)
            if pod is not None and pods.lacks_image(pod):
                raise unknown("image_unpullable", f"The new node cannot pull the image {run.image()}.")
            if pod is not None and _runs(pod):
                found.append(pod)
            return bool(found)

        if not self._await(judge, float(run.settings.autoscaling.scale_up_seconds)):
            raise self._not_scaled_up()
        pod = found[-1]
        nodes = {_name(node): uid for uid, node in self._nodes().items()}
        node = str(pods.node_of(pod))
        run.evidence.observe("scale-up", {"node": node, "uid": nodes.get(node), "pool": sorted(nodes)})
        if node not in nodes:
            raise unknown("node_vanished", f"Node {node} was gone before it could be looked at.")
        if nodes[node] in self._uids:
            raise self._no_need(pod)
        return node

    def _not_scaled_up(self) -> Concluded:
        run = self.run
        events = [
            event
            for event in run.items(EVENTS)
            if (event.get("involvedObject") or {}).get("name") == _TRIGGER
        ]
        run.evidence.add_events(events)
        limited = [text for event in events if _QUOTA.search(text := str(event.get("message")))]
        if limited:
            return unknown("capacity_limited", f"The platform could not add a node: {limited[-1]}")
        added = [_name(node) for uid, node in self._nodes().items() if uid not in self._uids]
        if added:
            return failed(
                "new_node_useless",
                f"Node {added[0]} was added to {self.title}, but the pod that waited does not run there.",
            )
        return failed(
            "not_scaled_up",
            f"No node was added to {self.title} for a pod that waited for {self.allocation.name}.",
        )

    # Down -----------------------------------------------------------------------------------------

    def release(self) -> None:
        """Remove every pod, and what protected them."""
        self.run.remove(*((PODS, name) for name in (*self._holders, _TRIGGER)))
        self.run.remove((DISRUPTION_BUDGETS, "keep"))

    def await_baseline(self) -> None:
        """Wait until the pool is back at its former size and keeps to it."""
        run = self.run
        seconds = float(run.settings.autoscaling.scale_down_seconds)
        ends = time.monotonic() + max(run.scaled(seconds), SHORTEST_WAIT)
        seen: list[int] = []
        while time.monotonic() < ends:
            size = len(self._nodes())
            if not seen or seen[-1] != size:
                seen.append(size)
            if size < self.baseline:
                raise unknown(
                    "baseline_moved",
                    f"{self.title.capitalize()} shrank to {size} nodes, below the {self.baseline} it had: it "
                    "was not at rest before.",
                )
            if size == self.baseline and self._kept(lambda now: len(now) == self.baseline, BASELINE_SECONDS):
                run.evidence.observe("scale-down", {"sizes": seen, "baseline": self.baseline})
                return
            run.pause(_DOWN_LOOK_SECONDS)
        run.patience()
        run.evidence.observe("scale-down", {"sizes": seen, "baseline": self.baseline})
        if self.baseline in seen:
            raise failed(
                "baseline_not_kept",
                f"{self.title.capitalize()} came back to {self.baseline} nodes but grew again with nobody "
                "asking.",
            )
        raise failed(
            "not_scaled_down",
            f"{self.title.capitalize()} kept the node that was added although nobody needed it any more.",
        )


def _name(item: Json) -> str:
    return str((item.get("metadata") or {}).get("name"))


def _whole_name(item: Json) -> str:
    metadata = item.get("metadata") or {}
    return f"{metadata.get('namespace')}/{metadata.get('name')}"


def _labels(item: Json) -> Mapping[str, str]:
    return (item.get("metadata") or {}).get("labels") or {}


def _classes(claim: Json) -> set[str]:
    """Return the device classes a claim asks for, in the first place or instead."""
    found = set()
    for request in ((claim.get("spec") or {}).get("devices") or {}).get("requests") or []:
        for entry in (request.get("exactly") or {}, *(request.get("firstAvailable") or [])):
            found.add(str(entry.get("deviceClassName")))
    return found


def _claims_of(pod: Json) -> list[str]:
    """Return the claims of a pod, with its namespace."""
    made = (pod.get("status") or {}).get("resourceClaimStatuses") or []
    named = (pod.get("spec") or {}).get("resourceClaims") or []
    namespace = (pod.get("metadata") or {}).get("namespace")
    return [
        f"{namespace}/{entry['resourceClaimName']}"
        for entry in (*made, *named)
        if entry.get("resourceClaimName")
    ]


def _key(result: Json) -> tuple[str, str, str]:
    return str(result.get("driver")), str(result.get("pool")), str(result.get("device"))


def _results(claim: Json) -> list[Json]:
    allocation = (claim.get("status") or {}).get("allocation") or {}
    return list((allocation.get("devices") or {}).get("results") or [])


def _asks_for(pod: Json, resource: str) -> bool:
    spec = pod.get("spec") or {}
    return any(
        resource in ((container.get("resources") or {}).get("requests") or {})
        for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
    )


def _runs(pod: Json) -> bool:
    is_going = bool((pod.get("metadata") or {}).get("deletionTimestamp"))
    return pods.phase(pod) == "Running" and not is_going


def _refusal(pod: Json) -> str:
    for condition in (pod.get("status") or {}).get("conditions") or []:
        if condition.get("type") == "PodScheduled":
            return str(condition.get("message") or "")
    return ""

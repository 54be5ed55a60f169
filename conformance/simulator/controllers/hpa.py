"""The horizontal pod autoscaler, for metrics of pods and of resources it has no source for."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import Iterable, Mapping
from fractions import Fraction

from conformance.simulator.clock import stamp
from conformance.simulator.custom_metrics import MetricsAdapter
from conformance.simulator.objects import (
    Json,
    clone,
    dig,
    is_deleting,
    is_pod_finished,
    is_pod_ready,
    labels_of,
    set_condition,
    uid_of,
)
from conformance.simulator.quantities import amount, quantity
from conformance.simulator.selectors import matches_label_selector
from conformance.simulator.store import DELETED, Change
from conformance.simulator.world import Controller, World

HPAS = "horizontalpodautoscalers.autoscaling"
SYNC_SECONDS = 15.0
TOLERANCE = Fraction(1, 10)
DOWN_WINDOW_SECONDS = 300.0
_TARGETS = {"Deployment": "deployments.apps", "ReplicaSet": "replicasets.apps"}


class _NoMetricError(Exception):
    """The metric cannot be had; the text says why, `reason` in a word."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclasses.dataclass(frozen=True, slots=True)
class _Proposal:
    """How many replicas the metrics ask for, and what was measured."""

    replicas: int
    current: list[Json]


class PodAutoscaler(Controller):
    name = "horizontal-pod-autoscaler"

    def __init__(self, world: World, adapter: MetricsAdapter | None) -> None:
        super().__init__(world)
        self._adapter = adapter
        self._proposed: dict[str, list[tuple[float, int]]] = {}

    def notice(self, change: Change) -> None:
        if change.key != HPAS:
            return
        if change.kind == DELETED:
            self._proposed.pop(uid_of(change.obj), None)
        elif change.before is None:
            self.enqueue((change.namespace, change.name), 1.0)

    def reconcile(self, key: tuple[str, str]) -> None:
        autoscaler = self.store.get(HPAS, *key)
        if autoscaler is None or is_deleting(autoscaler):
            return
        self._sync(autoscaler, key[0])
        self.enqueue(key, SYNC_SECONDS)

    def _sync(self, autoscaler: Json, namespace: str) -> None:
        spec = autoscaler["spec"]
        reference = spec["scaleTargetRef"]
        target_key = _TARGETS.get(reference["kind"], "")
        target = self.store.get(target_key, namespace, reference["name"]) if target_key else None
        conditions: list[Json] = clone(dig(autoscaler, "status", "conditions", default=[]))
        status: Json = {**(autoscaler.get("status") or {}), "conditions": conditions}
        if target is None:
            message = "the HPA controller was unable to get the target's current scale"
            set_condition(conditions, "AbleToScale", "False", reason="FailedGetScale", message=message)
            self._write(autoscaler, status)
            return
        current = int(target["spec"].get("replicas", 1))
        message = "recommended size matches current size"
        set_condition(conditions, "AbleToScale", "True", reason="ReadyForNewScale", message=message)
        status |= {"currentReplicas": int(dig(target, "status", "replicas", default=0))}
        try:
            proposal = self._propose(autoscaler, target, namespace, current)
        except _NoMetricError as error:
            text = f"the HPA was unable to compute the replica count: {error}"
            set_condition(conditions, "ScalingActive", "False", reason=error.reason, message=text)
            self.event(autoscaler, "Warning", error.reason, str(error))
            status.setdefault("desiredReplicas", current)
            self._write(autoscaler, status)
            return
        wanted = self._normalized(autoscaler, proposal.replicas, current, conditions)
        if "hpa-scales-inactive" in self.world.faults:
            text = "scaling is disabled since the replica count of the target is zero"
            set_condition(conditions, "ScalingActive", "False", reason="ScalingDisabled", message=text)
        else:
            text = "the HPA was able to successfully calculate a replica count from pods metric"
            set_condition(conditions, "ScalingActive", "True", reason="ValidMetricFound", message=text)
        status |= {"currentMetrics": proposal.current, "desiredReplicas": wanted}
        if wanted != current:
            self.api.edit(
                target_key, namespace, reference["name"], lambda obj: obj["spec"].update(replicas=wanted)
            )
            status["lastScaleTime"] = stamp()
            text = f"the HPA controller was able to update the target scale to {wanted}"
            set_condition(conditions, "AbleToScale", "True", reason="SucceededRescale", message=text)
            why = "above" if wanted > current else "below"
            message = f"New size: {wanted}; reason: pods metric {why} target"
            self.event(autoscaler, "Normal", "SuccessfulRescale", message)
        self._write(autoscaler, status)

    def _write(self, autoscaler: Json, status: Json) -> None:
        metadata = autoscaler["metadata"]
        status["observedGeneration"] = metadata.get("generation", 1)
        self.api.edit(
            HPAS, metadata["namespace"], metadata["name"], lambda stored: stored.update(status=status)
        )

    # Measuring

    def _propose(self, autoscaler: Json, target: Json, namespace: str, current: int) -> _Proposal:
        metrics = autoscaler["spec"].get("metrics") or []
        found: list[_Proposal] = []
        for metric in metrics:
            if metric["type"] != "Pods":
                raise _NoMetricError(
                    "FailedGetResourceMetric", f"unable to get metrics of type {metric['type']}: no source"
                )
            found.append(self._by_pods(metric["pods"], target, namespace, current))
        if not found:
            raise _NoMetricError("FailedGetResourceMetric", "no metrics to scale by")
        most = max(proposal.replicas for proposal in found)
        return _Proposal(most, [entry for proposal in found for entry in proposal.current])

    def _by_pods(self, source: Json, target: Json, namespace: str, current: int) -> _Proposal:
        name = source["metric"]["name"]
        pods = [
            pod
            for pod in self.store.all("pods", namespace)
            if matches_label_selector(target["spec"]["selector"], labels_of(pod))
            and not is_deleting(pod)
            and not is_pod_finished(pod)
        ]
        values = {uid_of(pod): value for pod in pods if (value := self._value(pod, name)) is not None}
        if not values:
            what = f"unable to get metric {name}: unable to fetch metrics from custom metrics API"
            raise _NoMetricError("FailedGetPodsMetric", f"{what}: the server could not find the metric")
        goal = quantity(source["target"]["averageValue"])
        measured = _average(values.values())
        shown = {"metric": source["metric"], "current": {"averageValue": amount(measured)}}
        ratio = _ratio(values, pods, goal)
        proposal = current if abs(ratio - 1) <= TOLERANCE else math.ceil(ratio * len(pods))
        return _Proposal(proposal, [{"type": "Pods", "pods": shown}])

    def _value(self, pod: Json, metric: str) -> float | None:
        if self._adapter is None or "hpa-not-active" in self.world.faults:
            return None
        return self._adapter.value(pod, metric) if is_pod_ready(pod) else None

    # Limits

    def _normalized(self, autoscaler: Json, proposed: int, current: int, conditions: list[Json]) -> int:
        spec = autoscaler["spec"]
        wanted = self._stabilized(autoscaler, proposed, current)
        limited = min(max(wanted, int(spec.get("minReplicas", 1))), int(spec["maxReplicas"]))
        if limited != wanted:
            reason = "TooManyReplicas" if wanted > limited else "TooFewReplicas"
            text = "the desired replica count is outside of the acceptable range"
            set_condition(conditions, "ScalingLimited", "True", reason=reason, message=text)
        else:
            text = "the desired count is within the acceptable range"
            set_condition(conditions, "ScalingLimited", "False", reason="DesiredWithinRange", message=text)
        faults = self.world.faults
        if "hpa-ignores-metric" in faults or ("hpa-never-scales-down" in faults and limited < current):
            return current
        return limited

    def _stabilized(self, autoscaler: Json, proposed: int, current: int) -> int:
        """Return what to do with a proposal: of the recent ones the largest, where it is to shrink."""
        behavior = dig(autoscaler, "spec", "behavior", "scaleDown", default={})
        window = float(behavior.get("stabilizationWindowSeconds", DOWN_WINDOW_SECONDS))
        moment = asyncio.get_running_loop().time()
        recent = [
            (when, count)
            for when, count in self._proposed.get(uid_of(autoscaler), [])
            if moment - when < self.world.clock.scaled(window)
        ]
        recent.append((moment, proposed))
        self._proposed[uid_of(autoscaler)] = recent
        return proposed if proposed >= current else min(current, max(count for _, count in recent))


def _average(values: Iterable[float]) -> Fraction:
    numbers = [Fraction(value) for value in values]
    return sum(numbers, Fraction(0)) / len(numbers)


def _ratio(values: Mapping[str, float], pods: list[Json], goal: Fraction) -> Fraction:
    """Return use over target; pods that tell nothing count for what holds back a change."""
    ratio = _average(values.values()) / goal
    missing = len(pods) - len(values)
    if not missing or ratio == 1:
        return ratio
    filler = Fraction(0) if ratio > 1 else goal
    adjusted = _average([*values.values(), *[float(filler)] * missing]) / goal
    # What was assumed must not turn the direction round.
    return adjusted if (adjusted > 1) == (ratio > 1) else Fraction(1)

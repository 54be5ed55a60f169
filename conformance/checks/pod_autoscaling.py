"""Pods with accelerators are added and removed as a metric of theirs demands."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from conformance import devices, pods
from conformance.checks import check
from conformance.cluster import errors
from conformance.conclusions import Concluded, failed, unknown
from conformance.devices import Allocation
from conformance.pods import Container, Placement
from conformance.probe_settings import metric_rights
from conformance.resources import API_SERVICES, AUTOSCALERS, DEPLOYMENTS, PODS, Resource
from conformance.rights import BASE, CLUSTER, DEVICES, on
from conformance.run import SHORTEST_WAIT, Run
from conformance.starting import expect_ungated
from conformance.verdicts import Status, Verdict

Json = dict[str, Any]

METRIC = "certportal_probe_load"
START_SECONDS = 180.0
# A collector may look only once a minute, and an adapter learns of new series now and then.
METRIC_SECONDS = 300.0
SCALE_UP_SECONDS = 300.0
SCALE_DOWN_SECONDS = 420.0
RELEASE_SECONDS = 60.0
_LOOK_SECONDS = 3.0
_HIGH = 100
_TARGET = 20
_PORT = 8080
_NAME = "scaled"
_LOAD = "load"
ROLE_LABEL = "certportal.dev/role"
# Longer than everything this check waits for.
_HOLD_SECONDS = "3600"
_GROUP = "custom.metrics.k8s.io"
_MONITORS = "monitoring.coreos.com"
# What every container can write to, however its root file system is mounted.
_STATE = "/dev/shm"  # noqa: S108 - inside the probe's own container


@check(
    "pod_autoscaling",
    deadline=1800,
    rights=(
        *BASE,
        *DEVICES,
        *on("deployments", "create get delete", group="apps"),
        *on("horizontalpodautoscalers", "create get delete", group="autoscaling"),
        *on("apiservices", "get", group="apiregistration.k8s.io", scope=CLUSTER),
        *metric_rights(METRIC),
        *on("podmonitors", "create get delete", group=_MONITORS, option="podmonitor"),
    ),
    exclusive=True,
)
def pod_autoscaling(run: Run) -> Verdict:
    """A second pod with an accelerator is started when a metric of the first rises, and goes when it falls.

    The metric is exposed by the pod itself and must be visible as a custom metric. The autoscaler must
    be active on it; both pods must be Ready and hold an accelerator each.

    KAR-0057. The metric follows the load another pod puts on the first one.
    """
    allocation = devices.detect(run)
    if (total := sum(allocation.per_node.values())) < 2:  # noqa: PLR2004 - one for each of the two
        raise unknown("too_few_devices", f"Accelerators where pods can go: {total}; this takes two.")
    scaling = _Scaling(run, allocation, Metric.of(run, _NAME))
    scaling.deploy()
    scaling.await_first()
    scaling.metric.await_value(lambda value: value is not None, "metric_not_visible")
    scaling.attach()
    scaling.raise_load()
    scaling.await_second()
    scaling.expect_active()
    scaling.end_load()
    scaling.await_one()
    scaling.release()
    return Verdict(
        Status.PASS,
        "scaled_by_metric",
        f"With {scaling.metric.name} above its target a second pod with {allocation.name} became Ready; when "
        "the metric fell it was removed again.",
    )


@dataclass
class Metric:
    """A metric of the pods with the label `role`, as the platform shows it."""

    run: Run
    name: str
    version: str
    role: str
    _problem: errors.ServerError | None = None

    @classmethod
    def of(cls, run: Run, role: str) -> Metric:
        """Find the API of custom metrics; conclude as unknown where there is none that works."""
        name = run.settings.autoscaling.metric or METRIC
        run.require_rights(metric_rights(name))
        group = run.groups().get(_GROUP)
        if group is None:
            raise unknown(
                "no_custom_metrics", f"The server does not offer {_GROUP}: no metric is ever visible."
            )
        version = str((group.get("preferredVersion") or {}).get("version"))
        registration = run.find(API_SERVICES, f"{version}.{_GROUP}")
        if registration is not None:
            run.evidence.add_object("apiservice", registration)
            if not _is_true(registration, "Available"):
                raise unknown("no_custom_metrics", f"What serves {_GROUP}/{version} is not available.")
        return cls(run, name, version, role)

    def values(self) -> dict[str, float]:
        """Return the metric of each pod of this check; none where it is not visible."""
        path = f"/apis/{_GROUP}/{self.version}/namespaces/{self.run.namespace}/pods/*/{self.name}"
        try:
            answer = self.run.connection.get(
                path, query={"labelSelector": selector(self.run, self.role)}, patience=self.run.patience()
            )
        except errors.NotFound:
            # What an adapter answers as long as it knows no such metric.
            self._problem = None
            return {}
        except errors.ServerError as error:
            # It may be about to learn of it, or out of order for good.
            self._problem = error
            return {}
        self._problem = None
        found = {
            str((item.get("describedObject") or {}).get("name")): _amount(item.get("value"))
            for item in answer.get("items") or []
        }
        return {name: value for name, value in found.items() if value is not None}

    def highest(self) -> float | None:
        """Return the largest value of any pod."""
        return max(self.values().values(), default=None)

    def await_value(self, suits: Callable[[float | None], bool], reason: str) -> None:
        """Wait until the metric's largest value suits; conclude as unknown where it never does."""
        run, seen = self.run, set[float | None]()
        ends = time.monotonic() + max(run.scaled(METRIC_SECONDS), SHORTEST_WAIT)
        while True:
            over = time.monotonic() >= ends
            value = self.highest()
            seen.add(value)
            if suits(value):
                run.evidence.observe(f"metric {reason}", {"metric": self.name, "value": value})
                return
            if over:
                break
            run.pause(_LOOK_SECONDS)
        shown = sorted(value for value in seen if value is not None)
        run.evidence.observe(f"metric {reason}", {"metric": self.name, "values": shown[:20]})
        if not shown:
            if self._problem is not None:
                raise self._problem
            raise unknown(
                reason,
                f"The metric {self.name} of the pods never became visible in {_GROUP}; name one that the "
                "platform collects under `autoscaling.metric` in the probe settings.",
            )
        raise unknown(reason, f"The metric {self.name} stayed at {shown[-1]:g} whatever the pods exposed.")


@dataclass
class _Scaling:
    """The deployment, its autoscaler, and what drives them."""

    run: Run
    allocation: Allocation
    metric: Metric

    def deploy(self) -> None:
        """Start one pod with an accelerator that exposes the metric, and let it be collected."""
        run, labels = self.run, {**self.run.labels(), ROLE_LABEL: _NAME}
        request = devices.prepare(run, self.allocation)
        environment = {"PROBE_METRIC": self.metric.name, "PROBE_HIGH": str(_HIGH), "PROBE_STATE": _STATE}
        body = pods.pod(
            [Container(_NAME, "gauge", request, environment)],
            run.image(),
            self.allocation.placement(*self.allocation.per_node),
        )
        spec = body["spec"]
        spec["restartPolicy"] = "Always"
        [container] = spec["containers"]
        container["ports"] = [{"name": "metrics", "containerPort": _PORT}]
        container["readinessProbe"] = {"httpGet": {"path": "/metrics", "port": _PORT}, "periodSeconds": 2}
        scrape = {"scrape": "true", "port": str(_PORT), "path": "/metrics"}
        annotations = {f"prometheus.io/{key}": value for key, value in scrape.items()}
        template = {"metadata": {"labels": labels, "annotations": annotations}, "spec": spec}
        run.create(
            DEPLOYMENTS,
            _NAME,
            {
                "spec": {
                    "replicas": 1,
                    "selector": {"matchLabels": labels},
                    # A device cannot be held twice while one pod takes over from another.
                    "strategy": {"type": "Recreate"},
                    "template": template,
                }
            },
        )
        self._monitor(labels)

    def _monitor(self, labels: Mapping[str, str]) -> None:
        """Tell the Prometheus operator of the pods, where there is one."""
        group = self.run.groups().get(_MONITORS)
        if group is None:
            return
        self.run.require("podmonitor")
        version = str((group.get("preferredVersion") or {}).get("version"))
        endpoint = {"port": "metrics", "path": "/metrics", "interval": "5s", "scrapeTimeout": "5s"}
        try:
            self.run.create(
                Resource(_MONITORS, version, "podmonitors", "PodMonitor"),
                _NAME,
                {
                    "metadata": {"labels": dict(self.run.settings.monitoring.labels)},
                    "spec": {"selector": {"matchLabels": dict(labels)}, "podMetricsEndpoints": [endpoint]},
                },
            )
        except errors.NotFound:
            # The group is there without this kind; the annotations have to do.
            self.run.evidence.observe("podmonitor", "not served")

    def attach(self) -> None:
        """Let an autoscaler keep the metric of each pod at the target."""
        metric = {"name": self.metric.name}
        target = {"type": "AverageValue", "averageValue": str(_TARGET)}
        self.run.create(
            AUTOSCALERS,
            _NAME,
            {
                "spec": {
                    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": _NAME},
                    "minReplicas": 1,
                    "maxReplicas": 2,
                    "metrics": [{"type": "Pods", "pods": {"metric": metric, "target": target}}],
                    # By default it waits five minutes before it takes a pod away.
                    "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
                }
            },
        )

    # Load -----------------------------------------------------------------------------------------

    def raise_load(self) -> None:
        """Let another pod send work to the first one until the metric is seen to rise."""
        ready = self._ready()
        if not ready:
            raise unknown("pod_lost", "The pod that was Ready is not any more, so that no work can be sent.")
        address = str((ready[0].get("status") or {}).get("podIP") or "")
        host = f"[{address}]" if ":" in address else address
        environment = {"PROBE_URL": f"http://{host}:{_PORT}/work", "PROBE_HOLD": _HOLD_SECONDS}
        container = Container(_LOAD, "load", environment=environment)
        body = pods.pod([container], self.run.image(), Placement())
        self.run.create(PODS, _LOAD, {**body, "metadata": {"labels": {ROLE_LABEL: _LOAD}}})
        self._await(lambda found: any(_has_started(pod) for pod in found.values()), START_SECONDS, _LOAD)
        report = self.run.markers(_LOAD, _LOAD, seconds=90)
        if report.markers[-1].get("reached") != "yes":
            raise unknown("metric_not_driven", "One pod could not send work to another, to drive its metric.")
        self.metric.await_value(_is_high, "metric_did_not_rise")

    def end_load(self) -> None:
        """End the work, and wait until the metric is seen to fall."""
        self.run.remove((PODS, _LOAD))
        self.metric.await_value(_is_low, "metric_did_not_fall")

    # Pods -----------------------------------------------------------------------------------------

    def await_first(self) -> None:
        """Wait until the one pod is Ready."""
        if self._await(lambda found: _count_ready(found) >= 1, START_SECONDS):
            return
        for pod in self._pods():
            expect_ungated(pod)
        if any(pods.is_unschedulable(pod) for pod in self._pods()):
            raise unknown(
                "no_free_device", f"The scheduler found no free {self.allocation.name}; others may hold them."
            )
        raise failed(
            "pod_never_ready", "A pod with an accelerator did not become Ready although there is room."
        )

    def await_second(self) -> None:
        """Wait until two pods are Ready, each with an accelerator."""
        if not self._await(lambda found: _count_ready(found) >= 2, SCALE_UP_SECONDS):  # noqa: PLR2004
            raise self._not_scaled_up()
        without = [_name(pod) for pod in self._ready() if not devices.has_device(pod, self.allocation)]
        if without:
            raise failed(
                "pod_without_device", f"Pod {without[0]} was added without the accelerator it needs."
            )
        self.run.evidence.observe("scale-up", {"ready": sorted(_name(pod) for pod in self._ready())})

    def _not_scaled_up(self) -> Concluded:
        present = self._pods()
        if any(pods.is_unschedulable(pod) for pod in present):
            return unknown(
                "no_free_device",
                f"The second pod found no free {self.allocation.name}; others may hold them.",
            )
        if len(present) > 1:
            return failed("second_never_ready", "A second pod was added but did not become Ready.")
        if not _is_high(self.metric.highest()):
            return unknown(
                "metric_did_not_rise", f"The metric {self.metric.name} did not stay above its target."
            )
        return failed(
            "not_scaled_up",
            f"The metric {self.metric.name} is visible and above its target, but no pod was added "
            f"({self._conditions()}).",
        )

    def expect_active(self) -> None:
        """Conclude unless the autoscaler says that it is what scales."""
        autoscaler = self.run.get(AUTOSCALERS, _NAME)
        self.run.evidence.add_object("autoscaler/scaled-up", autoscaler)
        if not _is_true(autoscaler, "ScalingActive"):
            raise failed("scaling_not_active", f"The autoscaler is not active ({self._conditions()}).")

    def _conditions(self) -> str:
        autoscaler = self.run.find(AUTOSCALERS, _NAME) or {}
        self.run.evidence.add_object("autoscaler", autoscaler)
        shown = [
            f"{entry.get('type')}={entry.get('status')}: {entry.get('reason')}"
            for entry in (autoscaler.get("status") or {}).get("conditions") or []
        ]
        return ", ".join(shown) or "the autoscaler has no conditions"

    def await_one(self) -> None:
        """Wait until one pod is left."""
        if self._await(lambda found: len(_staying(found.values())) == 1, SCALE_DOWN_SECONDS):
            return
        if not _is_low(self.metric.highest()):
            raise unknown(
                "metric_did_not_fall", f"The metric {self.metric.name} did not stay below its target."
            )
        raise failed(
            "not_scaled_down",
            f"The metric {self.metric.name} is below its target, but the second pod stays "
            f"({self._conditions()}).",
        )

    def release(self) -> None:
        """Remove everything, and wait until the devices are free."""
        self.run.remove((AUTOSCALERS, _NAME), (DEPLOYMENTS, _NAME))
        self._await(lambda found: not found, RELEASE_SECONDS)

    def _await(self, judge: Callable[[Mapping[str, Json]], bool], seconds: float, role: str = _NAME) -> bool:
        def look(found: Mapping[str, Json]) -> bool | None:
            for pod in found.values():
                if pods.lacks_image(pod):
                    raise unknown(
                        "image_unpullable", f"The cluster cannot pull the image {self.run.image()}."
                    )
            return True if judge(found) else None

        return self.run.wait(PODS, look, seconds=seconds, selector=selector(self.run, role)) is True

    def _pods(self) -> list[Json]:
        return _staying(self.run.items(PODS, selector=selector(self.run, _NAME)))

    def _ready(self) -> list[Json]:
        return [pod for pod in self._pods() if _is_true(pod, "Ready")]


def selector(run: Run, role: str) -> str:
    """Select the pods of a run that have a role."""
    return f"{run.selector},{ROLE_LABEL}={role}"


def _name(item: Json) -> str:
    return str((item.get("metadata") or {}).get("name"))


def _is_true(item: Json, kind: str) -> bool:
    return any(
        condition.get("type") == kind and condition.get("status") == "True"
        for condition in (item.get("status") or {}).get("conditions") or []
    )


def _staying(found: Any) -> list[Json]:
    return [pod for pod in found if not (pod.get("metadata") or {}).get("deletionTimestamp")]


def _count_ready(found: Mapping[str, Json]) -> int:
    return sum(1 for pod in _staying(found.values()) if _is_true(pod, "Ready"))


def _has_started(pod: Json) -> bool:
    return pods.phase(pod) in {"Running", "Succeeded", "Failed"}


def _is_high(value: float | None) -> bool:
    return value is not None and value > _TARGET


def _is_low(value: float | None) -> bool:
    return value is not None and value < _TARGET


_SCALES = {
    **{unit: 1e3**power for power, unit in enumerate(("n", "u", "m", "", "k", "M", "G", "T"), -3)},
    **{f"{unit}i": 1024.0**power for power, unit in enumerate("KMGT", 1)},
}


def _amount(text: Any) -> float | None:
    """Read a quantity; None where it is none of the usual."""
    digits = str(text).rstrip("numkMGTKi")
    scale = _SCALES.get(str(text)[len(digits) :])
    try:
        return float(digits) * scale if scale is not None else None
    except ValueError:
        return None

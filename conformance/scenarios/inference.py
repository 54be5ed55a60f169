"""A model that is served by several replicas: routed to, scaled, and updated under traffic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from conformance import devices, pods, traffic
from conformance.catalogue import WorkloadKind
from conformance.checks import ai_service_metrics, pod_autoscaling
from conformance.checks.pod_autoscaling import ROLE_LABEL, Metric
from conformance.conclusions import Concluded, failed, unknown
from conformance.devices import Allocation
from conformance.endpoints import ServiceEndpoint
from conformance.markers import Marker, Report
from conformance.pods import Container, Placement
from conformance.probe_settings import metric_rights
from conformance.reading import hear
from conformance.resources import AUTOSCALERS, DEPLOYMENTS, PODS
from conformance.rights import BASE, CLUSTER, DEVICES, on
from conformance.run import Run
from conformance.scenarios import scenario, step
from conformance.traffic import APP_LABEL, Answers
from conformance.verdicts import Status, Verdict

Json = dict[str, Any]

FEWEST, MOST = 2, 3
MODEL, HEADER = "certportal-model", "X-Gateway-Model-Name"
REQUESTS, OTHERS = 40, 10
TARGET, CALM, RUSH = 10, 1, 8
START_SECONDS = 300.0
REACH_SECONDS = 120.0
SCALE_OUT_SECONDS = 300.0
ROLL_SECONDS = 600.0
SCALE_IN_SECONDS = 600.0
LEAVE_SECONDS = 120.0
# A round of requests none of which is answered takes its time.
TALLY_SECONDS = 200.0
# Until everybody who sends requests knows that a server is on its way out.
DRAIN_SECONDS = 15
# By default an autoscaler waits five minutes before it takes a pod away.
STABLE_SECONDS = 30
_SHORTEST_PAUSE = 0.1
# Longer than everything that is waited for here.
HOLD_SECONDS = 3600

NAME, STEADY, CROWD = "model", "steady", "crowd"
_GATEWAY, _ROUTE = "model", "model"
_PATH = "/v1/chat/completions"
_BODY = f'{{"model":"{MODEL}","messages":[{{"role":"user","content":"hello"}}]}}'
_COUNTER = "certportal_probe_requests_total"
_REVISION, _NEW = "certportal.dev/revision", "2"


@scenario(
    "inference",
    title="Model serving",
    kind=WorkloadKind.INFERENCE,
    deadline=2700,
    rights=(
        *BASE,
        *DEVICES,
        *traffic.RIGHTS,
        *ai_service_metrics.RIGHTS,
        *on("deployments", "create get patch delete", group="apps"),
        *on("horizontalpodautoscalers", "create get delete", group="autoscaling"),
        *on("apiservices", "get", group="apiregistration.k8s.io", scope=CLUSTER),
        *metric_rights(pod_autoscaling.METRIC),
    ),
)
class Serving:
    """Two replicas with a device each serve a model behind a gateway that routes by the model's name.

    What they count is collected; with more traffic a third one is added by their metric, all are
    replaced by a new version without one failed request, and with less traffic one goes again.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._allocation: Allocation | None = None
        self._address = ""
        self._answers: Answers | None = None
        self._metric: Metric | None = None
        self._is_scaled_out = False
        self._streams: set[str] = set()

    # Serving ----------------------------------------------------------------------------------------

    @step("Two replicas with a device each serve the model")
    def serve(self) -> Verdict:
        """Both pods of a Deployment become Ready."""
        run = self._run
        allocation = self._allocation = devices.detect(run)
        total = sum(allocation.per_node.values())
        if total < FEWEST:
            raise unknown("too_few_devices", f"Accelerators where pods can go: {total}; this takes {FEWEST}.")
        self._deploy(allocation)
        if not self._await(lambda found: len(_ready(found)) >= FEWEST, START_SECONDS):
            raise self._missing_replica(allocation, FEWEST)
        self._expect_devices(allocation)
        return Verdict(
            Status.PASS, "serving", f"{FEWEST} replicas with {allocation.name} each are Ready to serve."
        )

    def _deploy(self, allocation: Allocation) -> None:
        run = self._run
        request = devices.prepare(run, allocation)
        labels = {**run.labels(), ROLE_LABEL: NAME, APP_LABEL: NAME}
        told = {"PROBE_METRIC": self._metric_name(), "PROBE_DRAIN": str(DRAIN_SECONDS)}
        body = traffic.server(run, told, request, allocation.placement(*allocation.per_node))
        spec = body["spec"]
        spec["restartPolicy"] = "Always"
        spec["terminationGracePeriodSeconds"] = DRAIN_SECONDS + 15
        own_name = {"fieldRef": {"fieldPath": "metadata.name"}}
        spec["containers"][0]["env"] += [
            {"name": name, "valueFrom": own_name} for name in ("PROBE_NAME", "PROBE_LABEL")
        ]
        metadata = {"labels": labels, "annotations": ai_service_metrics.scrape_annotations()}
        run.create(
            DEPLOYMENTS,
            NAME,
            {
                "spec": {
                    "replicas": FEWEST,
                    "selector": {"matchLabels": labels},
                    # There need not be a free device for a pod before another one gives its own back.
                    "strategy": {
                        "type": "RollingUpdate",
                        "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1},
                    },
                    "template": {"metadata": metadata, "spec": spec},
                }
            },
        )

    def _metric_name(self) -> str:
        return self._run.settings.autoscaling.metric or pod_autoscaling.METRIC

    def _missing_replica(self, allocation: Allocation, wanted: int) -> Concluded:
        """Return what to conclude where there are fewer Ready replicas than there should be."""
        present = self._pods()
        if any(pods.is_unschedulable(pod) for pod in present):
            return unknown(
                "no_free_device", f"A replica found no free {allocation.name}; others may hold them."
            )
        ready = len(_ready({_name(pod): pod for pod in present}))
        return failed(
            "replica_never_ready",
            f"Of {len(present)} replicas {ready} became Ready, although there is room for {wanted}.",
        )

    def _expect_devices(self, allocation: Allocation) -> None:
        without = [_name(pod) for pod in self._pods() if not devices.has_device(pod, allocation)]
        if without:
            raise failed("pod_without_device", f"Replica {without[0]} was made without the device it needs.")

    # Routing ----------------------------------------------------------------------------------------

    @step("A gateway routes by the name of the model")
    def route(self) -> Verdict:
        """Requests for the model reach both replicas, those for another reach none."""
        run = self._run
        if not traffic.serves(run, f"gateways.{traffic.GROUP}", "v1"):
            raise failed("api_missing", f"The server does not offer Gateway in {traffic.GROUP}/v1.")
        class_name = traffic.gateway_class(run, run.settings.inference.gateway_class)
        traffic.expose(run, NAME, NAME)
        traffic.make_gateway(run, _GATEWAY, class_name)
        header = {"type": "Exact", "name": HEADER, "value": MODEL}
        backend = {"name": NAME, "port": traffic.PORT}
        rule = {"matches": [{"headers": [header]}], "backendRefs": [backend]}
        traffic.make_route(run, _ROUTE, _GATEWAY, [rule])
        address = traffic.await_programmed(run, _GATEWAY)
        traffic.await_parents(run, traffic.HTTP_ROUTES, _ROUTE, _GATEWAY, "route")
        self._address = f"http://{address}:{traffic.GATEWAY_PORT}"
        answers = self._ask("asking", MODEL, REQUESTS)
        self._expect_answered(answers)
        other = self._ask("asking-other", "another-model", OTHERS)
        if other.servers or not other.failures:
            raise failed(
                "header_matched_wrongly",
                f"Requests for another model, by the header {HEADER}, were routed to this one's replicas.",
            )
        self._answers = answers
        return Verdict(
            Status.PASS,
            "routed",
            f"GatewayClass {class_name}: {REQUESTS} requests for the model were answered by "
            f"{len(answers.servers)} replicas, those for another model by none.",
        )

    def _ask(self, name: str, model: str, count: int) -> Answers:
        """Send a round of requests for a model; for ours as soon as the way to it is open."""
        told = {
            "PROBE_URL": f"{self._address}{_PATH}",
            "PROBE_HEADER": f"{HEADER}: {model}",
            "PROBE_BODY": _BODY.replace(MODEL, model),
            "PROBE_COUNT": str(count),
        }
        if model == MODEL:
            told["PROBE_READY"] = f"{self._address}/health"
        return traffic.ask(self._run, name, told)

    def _expect_answered(self, found: Answers) -> None:
        if not found.reached and not found.status:
            raise unknown(
                "no_data_path",
                f"Every condition holds, but from a pod nothing answers at the gateway's {self._address}.",
            )
        if not found.reached:
            raise failed(
                "route_not_served", f"The gateway answers {found.status} although the route is accepted."
            )
        if found.failures:
            seen = ", ".join(str(status) for status in sorted(found.statuses) if status != 200)  # noqa: PLR2004
            raise failed(
                "requests_failed", f"{found.failures} of {found.sent} requests failed (status {seen})."
            )
        if idle := {_name(pod) for pod in self._pods()} - found.servers.keys():
            raise failed(
                "replica_idle", f"None of {found.sent} requests went to {min(idle)}, which is Ready."
            )

    # Metrics ----------------------------------------------------------------------------------------

    @step("What the replicas count is collected")
    def metrics(self) -> Verdict:
        """The monitoring system has of each replica how many requests it answered."""
        run = self._run
        if self._answers is None:
            raise unknown("nothing_sent", "No requests were sent that could be counted.")
        endpoint = ai_service_metrics.query_endpoint(run)
        wiring = ai_service_metrics.choose_wiring(run)
        ai_service_metrics.wire(run, wiring, NAME)
        expected = {name: float(count) for name, count in self._answers.servers.items()}
        seen = self._collected(endpoint, expected)
        run.evidence.observe("requests collected", {name: sorted(values) for name, values in seen.items()})
        for name, count in sorted(expected.items()):
            if name not in seen:
                raise failed(
                    "not_collected",
                    f"{_COUNTER} of {name} did not arrive at {endpoint}. It was wired by {wiring}.",
                )
            if wrong := seen[name] - {count}:
                raise failed(
                    "value_differs",
                    f"{_COUNTER} of {name} arrived with {min(wrong):g}; it answered {count:g} requests.",
                )
        return Verdict(
            Status.PASS,
            "collected",
            f"Wired by {wiring}, the requests of each replica arrived at {endpoint}.",
        )

    def _collected(self, endpoint: ServiceEndpoint, expected: Mapping[str, float]) -> dict[str, set[float]]:
        """Wait until the counters are as expected and return them, or what they are in the end."""
        run = self._run
        patience = run.awhile(ai_service_metrics.COLLECT_SECONDS)
        text = f'{_COUNTER}{{run=~"{"|".join(sorted(expected))}"}}'
        wanted = {name: {count} for name, count in expected.items()}
        while True:
            is_last = patience.remaining() <= run.scaled(2)
            seen: dict[str, set[float]] = {}
            for sample in ai_service_metrics.query(run, endpoint, text):
                seen.setdefault(sample.labels.get("run", ""), set()).add(sample.value)
            if seen == wanted:
                return seen
            if is_last:
                run.blame_engine(patience)
                return seen
            self._breathe(2)

    # Scaling out ------------------------------------------------------------------------------------

    @step("With more traffic a replica is added", needs=("serve", "route"))
    def scale_out(self) -> Verdict:
        """Above its target the metric lets a third replica with a device become Ready."""
        run, allocation = self._run, self._need_allocation()
        metric = self._metric = Metric.of(run, NAME)
        self._start_stream(STEADY, CALM)
        metric.await_value(lambda value: value is not None, "metric_not_visible")
        self._attach(metric)
        self._start_stream(CROWD, RUSH)
        metric.await_value(_is_high, "metric_did_not_rise")
        if not self._await(lambda found: len(_ready(found)) >= MOST, SCALE_OUT_SECONDS):
            raise self._not_scaled_out(allocation, metric)
        self._expect_devices(allocation)
        autoscaler = run.get(AUTOSCALERS, NAME)
        run.evidence.add_object("autoscaler/scaled-out", autoscaler)
        if not _is_true(autoscaler, "ScalingActive"):
            raise failed("scaling_not_active", "A replica was added, but not by the autoscaler.")
        self._is_scaled_out = True
        return Verdict(
            Status.PASS,
            "scaled_out",
            f"With {metric.name} above {TARGET} a third replica with {allocation.name} became Ready.",
        )

    def _attach(self, metric: Metric) -> None:
        target = {"type": "AverageValue", "averageValue": str(TARGET)}
        self._run.create(
            AUTOSCALERS,
            NAME,
            {
                "spec": {
                    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME},
                    "minReplicas": FEWEST,
                    "maxReplicas": MOST,
                    "metrics": [
                        {"type": "Pods", "pods": {"metric": {"name": metric.name}, "target": target}}
                    ],
                    "behavior": {"scaleDown": {"stabilizationWindowSeconds": STABLE_SECONDS}},
                }
            },
        )

    def _not_scaled_out(self, allocation: Allocation, metric: Metric) -> Concluded:
        self._run.evidence.add_object("autoscaler", self._run.get(AUTOSCALERS, NAME))
        if len(self._pods()) >= MOST:
            return self._missing_replica(allocation, MOST)
        if not _is_high(metric.highest()):
            return unknown("metric_did_not_rise", f"The metric {metric.name} did not stay above {TARGET}.")
        return failed(
            "not_scaled_out",
            f"The metric {metric.name} is visible and above {TARGET}, yet no replica was added.",
        )

    # Updating ---------------------------------------------------------------------------------------

    @step("An update replaces all replicas without a failed request", needs=("serve", "route"))
    def rolling_update(self) -> Verdict:
        """Requests go on while a new version takes over, and each is answered."""
        run = self._run
        if not self._is_scaled_out:
            self._settle()
        self._start_stream(STEADY, CALM)
        before = {name: self._tally(name) for name in self._streams}
        old = {_name(pod) for pod in self._pods()}
        annotations = {_REVISION: _NEW}
        changed = run.change(
            DEPLOYMENTS, NAME, {"spec": {"template": {"metadata": {"annotations": annotations}}}}
        )
        generation = int((changed.get("metadata") or {}).get("generation") or 0)
        if not self._await_rollout(generation, old):
            raise self._not_rolled_out()
        after = {name: self._tally(name) for name in self._streams}
        sent = sum(_number(after[name], "sent") - _number(before[name], "sent") for name in after)
        lost = sum(_number(after[name], "failed") - _number(before[name], "failed") for name in after)
        run.evidence.observe("requests during the update", {"sent": sent, "failed": lost})
        if lost:
            statuses = sorted({after[name].get("status") for name in after} - {"200"})
            raise failed(
                "requests_failed",
                f"{lost} of {sent} requests failed while the replicas were replaced (status "
                f"{', '.join(statuses)}).",
            )
        return Verdict(
            Status.PASS, "updated", f"All replicas were replaced; each of {sent} requests was answered."
        )

    def _settle(self) -> None:
        """Come back to the replicas there were before an attempt to scale out."""
        run = self._run
        if run.find(AUTOSCALERS, NAME) is not None:
            run.remove((AUTOSCALERS, NAME))
        run.change(DEPLOYMENTS, NAME, {"spec": {"replicas": FEWEST}})

        def settled(found: Mapping[str, Json]) -> bool:
            return len(found) == FEWEST == len(_ready(found))

        if not self._await(settled, START_SECONDS):
            raise self._missing_replica(self._need_allocation(), FEWEST)

    def _await_rollout(self, generation: int, old: set[str]) -> bool:
        """Wait until the new replicas are all there is; tell whether it came to that."""
        run = self._run
        patience = run.awhile(ROLL_SECONDS)
        while True:
            is_last = patience.remaining() <= run.scaled(1)
            if _is_rolled_out(run.get(DEPLOYMENTS, NAME), generation):
                break
            if is_last:
                run.blame_engine(patience)
                return False
            self._breathe(1)

        def replaced(found: Mapping[str, Json]) -> bool:
            return not old & found.keys() and all(_is_new(pod) for pod in found.values())

        # A pod that leaves serves on for a while, and one that left may still be sent requests.
        return self._await(replaced, LEAVE_SECONDS, leaving=True)

    def _not_rolled_out(self) -> Concluded:
        run = self._run
        run.evidence.add_object("deployment", run.get(DEPLOYMENTS, NAME))
        present = self._pods()
        if any(pods.is_unschedulable(pod) for pod in present):
            return unknown(
                "no_free_device", "A new replica found no device, though an old one gave one back."
            )
        outdated = [pod for pod in present if not _is_new(pod)]
        return failed(
            "not_rolled_out",
            f"The Deployment's template was changed, but {len(outdated)} of {len(present)} replicas are of "
            "the old one, or the new ones are not Ready.",
        )

    # Scaling in -------------------------------------------------------------------------------------

    @step("With less traffic a replica goes", needs=("scale_out",))
    def scale_in(self) -> Verdict:
        """Below its target the metric lets the third replica go, and no request fails."""
        run, metric = self._run, self._need_metric()
        if CROWD in self._streams:
            run.remove((PODS, CROWD))
            self._streams.discard(CROWD)
        before = self._tally(STEADY)
        metric.await_value(_is_low, "metric_did_not_fall")
        if not self._await(lambda found: len(found) == FEWEST, SCALE_IN_SECONDS):
            if not _is_low(metric.highest()):
                raise unknown("metric_did_not_fall", f"The metric {metric.name} did not stay below {TARGET}.")
            run.evidence.add_object("autoscaler", run.get(AUTOSCALERS, NAME))
            raise failed(
                "not_scaled_in", f"The metric {metric.name} is below its target, but the third replica stays."
            )
        self._await(lambda found: len(found) == FEWEST, LEAVE_SECONDS, leaving=True)
        after = self._tally(STEADY)
        lost = _number(after, "failed") - _number(before, "failed")
        if lost:
            raise failed(
                "requests_failed",
                f"{lost} requests failed while a replica was taken away (status {after.get('status')}).",
            )
        return Verdict(
            Status.PASS, "scaled_in", "With less traffic the third replica was taken away; no request failed."
        )

    # Traffic ----------------------------------------------------------------------------------------

    def _start_stream(self, name: str, rate: int) -> None:
        """Let a pod send requests for the model until it is removed; conclude where none gets through."""
        if name in self._streams:
            return
        run = self._run
        told = {
            "PROBE_URL": f"{self._address}{_PATH}",
            "PROBE_HEADER": f"{HEADER}: {MODEL}",
            "PROBE_BODY": _BODY,
            "PROBE_RATE": str(rate),
            "PROBE_HOLD": str(HOLD_SECONDS),
        }
        body = pods.pod([Container("stream", "stream", None, told)], run.image(), Placement())
        run.create(PODS, name, {**body, "metadata": {"labels": {ROLE_LABEL: name}}})
        begun = hear(
            run, name, "stream", lambda report: _first(report, "tally", "end"), seconds=REACH_SECONDS
        )
        if begun is None or begun.word == "end":
            raise unknown("no_traffic", "A pod that sends requests all the time did not come to do so.")
        self._streams.add(name)

    def _tally(self, name: str) -> Marker:
        """Return what a stream has counted by now, with the requests that are under way at this moment."""

        def judge(report: Report) -> Marker | None:
            # The first is what was told last; the one after it holds what was under way.
            return next(iter(report.all("tally")[1:]), None)

        found = hear(self._run, name, "stream", judge, seconds=TALLY_SECONDS, tail=1)
        if found is None:
            raise unknown("no_traffic", f"The pod {name}, which sends requests, does not tell how it fares.")
        return found

    def _breathe(self, seconds: float) -> None:
        """Wait before the next look; however fast the cluster's clock runs, its server is not flooded."""
        self._run.patience().sleep(max(_SHORTEST_PAUSE, self._run.scaled(seconds)))

    # Pods -------------------------------------------------------------------------------------------

    def _await(
        self, judge: Callable[[Mapping[str, Json]], bool], seconds: float, *, leaving: bool = False
    ) -> bool:
        """Wait until the replicas suit; those that leave are among them only where that is asked for."""
        run = self._run

        def look(found: Mapping[str, Json]) -> bool | None:
            if any(pods.lacks_image(pod) for pod in found.values()):
                raise unknown("image_unpullable", f"The cluster cannot pull the image {run.image()}.")
            shown = found if leaving else {name: pod for name, pod in found.items() if not _is_leaving(pod)}
            return True if judge(shown) else None

        selector = pod_autoscaling.selector(run, NAME)
        return run.wait(PODS, look, seconds=seconds, selector=selector) is True

    def _pods(self) -> list[Json]:
        found = self._run.items(PODS, selector=pod_autoscaling.selector(self._run, NAME))
        return [pod for pod in found if not _is_leaving(pod)]

    def _need_allocation(self) -> Allocation:
        if self._allocation is None:
            raise unknown("no_devices", "No devices were chosen.")
        return self._allocation

    def _need_metric(self) -> Metric:
        if self._metric is None:
            raise unknown("no_metric", "No metric was found.")
        return self._metric


def _is_rolled_out(deployment: Json, generation: int) -> bool:
    status = deployment.get("status") or {}
    wanted = (deployment.get("spec") or {}).get("replicas")
    counts = [status.get(f"{kind}eplicas") or 0 for kind in ("r", "updatedR", "availableR")]
    return int(status.get("observedGeneration") or 0) >= generation and counts == [wanted] * len(counts)


def _ready(found: Mapping[str, Json]) -> list[str]:
    return [name for name, pod in found.items() if traffic.is_ready(pod)]


def _is_leaving(pod: Json) -> bool:
    return bool((pod.get("metadata") or {}).get("deletionTimestamp"))


def _is_new(pod: Json) -> bool:
    return ((pod.get("metadata") or {}).get("annotations") or {}).get(_REVISION) == _NEW


def _is_true(item: Json, kind: str) -> bool:
    return any(
        condition.get("type") == kind and condition.get("status") == "True"
        for condition in (item.get("status") or {}).get("conditions") or []
    )


def _is_high(value: float | None) -> bool:
    return value is not None and value > TARGET


def _is_low(value: float | None) -> bool:
    return value is not None and value < TARGET


def _first(report: Report, *words: str) -> Marker | None:
    return next((marker for marker in report.markers if marker.word in words), None)


def _number(marker: Marker, key: str) -> int:
    text = marker.get(key)
    return int(text) if text.isdigit() else 0


def _name(item: Json) -> str:
    return str((item.get("metadata") or {}).get("name"))

"""Every observation of every check, how to take it out, and the defect that is then overlooked.

Where a platform with the defect would still fail by a later observation, both are taken out together:
only then does it show that the first one counts. Where what follows cannot go on without the
observation, the check doubts instead of failing.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.conformance.mutation import Drop, Edit, Swap

DOUBT = "raise unknown('taken_out', 'Nobody looked.')"
DOUBTED = "return unknown('taken_out', 'Nobody looked.')"
BELIEVED = "return Verdict(Status.PASS, 'taken_out', 'Nobody looked.')"


@dataclass(frozen=True, slots=True)
class Observation:
    """What a check concludes at a site of a profile, and what it would say with the edits.

    `status` and `reason` are what it says unedited, `becomes` the status with the observation taken out.
    Where a platform cannot be seen to do something, it neither passes nor fails: that counts, too.
    """

    check: str
    at: str
    says: str
    profile: str
    takes: tuple[Edit, ...] = ()
    becomes: str = "pass"
    status: str = "fail"
    reason: str = ""
    settings: bytes | None = None

    @property
    def edits(self) -> tuple[Edit, ...]:
        """What takes the observation out; by default its conclusion alone goes."""
        return self.takes or (Drop(self.at),)

    @property
    def expected_reason(self) -> str:
        """The reason of the unedited check."""
        return self.reason or self.at.rpartition(":")[2].partition("#")[0]

    def __str__(self) -> str:
        """Name it in a test's name."""
        return f"{self.check}: {self.says} ({self.profile})"


_API = "dra_support.dra_support"
_DRY_RUN = "dra_support._try:creation_refused"
DRA_SUPPORT = (
    Observation(
        "dra_support",
        f"{_API}:api_missing",
        "the stable version is served",
        "dra-v1-missing",
        (
            Drop(f"{_API}:api_missing"),
            Drop(f"{_API}:kind_missing", "continue"),
            Drop(_DRY_RUN, "return"),
        ),
    ),
    Observation(
        "dra_support",
        f"{_API}:kind_missing",
        "all four kinds are served",
        "dra-slices-missing",
        (Drop(f"{_API}:kind_missing", "continue"),),
    ),
    Observation(
        "dra_support", f"{_API}:verb_missing", "each kind can be used in every way", "dra-verb-missing"
    ),
    Observation(
        "dra_support",
        _DRY_RUN,
        "new device classes are accepted",
        "errors:422:create:deviceclasses@1.35",
        (Drop(_DRY_RUN, "return"),),
    ),
    Observation(
        "dra_support",
        _DRY_RUN,
        "new claims are accepted",
        "errors:422:create:resourceclaims@1.35",
        (Swap(_API, "_SAMPLES", "_SAMPLES[:1] + _SAMPLES[2:]"),),
    ),
    Observation(
        "dra_support",
        _DRY_RUN,
        "new claim templates are accepted",
        "errors:422:create:resourceclaimtemplates@1.35",
        (Swap(_API, "_SAMPLES", "_SAMPLES[:2]"),),
    ),
)

_NEVER_RAN, _REJECTED = "starting.await_start:pod_never_ran", "starting.await_start:pod_rejected"


def _starting(check: str, version: str = "") -> tuple[Observation, ...]:
    return (
        Observation(
            check,
            _NEVER_RAN,
            "a pod that has a place starts",
            f"portless-pods-stuck{version}",
            (Drop(_NEVER_RAN, DOUBT),),
            becomes="unknown",
        ),
        Observation(
            check,
            _REJECTED,
            "a node takes the pod it was sent",
            f"nodes-refuse-pods{version}",
            (Drop(_REJECTED, DOUBT),),
            becomes="unknown",
        ),
    )


_DRIVER = "driver_runtime_management"
_DRIVER_MISMATCH = "driver_runtime_management._compare:driver_mismatch"


def _driver(source: str, profile: str) -> Observation:
    return Observation(
        _DRIVER,
        _DRIVER_MISMATCH,
        f"the driver of the {source} is the advertised one",
        profile,
        (
            Swap(
                "driver_runtime_management._compare",
                "stated.drivers.items()",
                f"[entry for entry in stated.drivers.items() if entry[0] != {source!r}]",
            ),
        ),
    )


DRIVER_RUNTIME_MANAGEMENT = (
    *_starting(_DRIVER),
    Observation(
        _DRIVER,
        "driver_runtime_management._expect_one_device:device_missing",
        "the device is there",
        "device-not-injected",
        (
            Drop("driver_runtime_management._expect_one_device:device_missing"),
            Drop("driver_runtime_management._expect_tools:tools_not_injected"),
        ),
        becomes="unknown",
    ),
    Observation(
        _DRIVER,
        "driver_runtime_management._expect_one_device:excess_device",
        "no other device is there",
        "excess-device",
    ),
    Observation(
        _DRIVER,
        "driver_runtime_management._expect_tools:tools_not_injected",
        "the driver's tools are there",
        "driver-tools-missing",
    ),
    Observation(
        _DRIVER,
        _DRIVER_MISMATCH,
        "the driver is the advertised one",
        "driver-version-mismatch",
    ),
    _driver("kernel", "driver-kernel-mismatch"),
    _driver("library", "driver-library-mismatch"),
    Observation(
        _DRIVER,
        "driver_runtime_management._compare:runtime_mismatch",
        "the driver's runtime is the advertised one",
        "runtime-version-mismatch",
    ),
)

RUNTIME_NAMED = Observation(
    _DRIVER,
    "driver_runtime_management.driver_runtime_management:runtime_not_named",
    "the node names its container runtime",
    "container-runtime-unnamed",
    status="unknown",
)

GPU_SHARING = (
    *_starting("gpu_sharing"),
    Observation(
        "gpu_sharing",
        "gpu_sharing._Sharing.verdict:not_shared",
        "two pods have the same device",
        "sharing-apart",
        (Drop("gpu_sharing._Sharing.verdict:not_shared", BELIEVED),),
    ),
    Observation(
        "gpu_sharing",
        "gpu_sharing._Sharing._without_place:share_withheld",
        "a second share can be had",
        "sharing-exclusive",
        (Drop("gpu_sharing._Sharing._without_place:share_withheld", DOUBTED),),
        becomes="unknown",
    ),
)

_VIRTUAL = "virtualized_accelerator"
_VIRTUAL_SITE = f"{_VIRTUAL}.{_VIRTUAL}"
VIRTUALIZED_ACCELERATOR = (
    *_starting(_VIRTUAL),
    Observation(
        _VIRTUAL,
        f"{_VIRTUAL_SITE}:not_allocatable",
        "what is advertised can be asked for",
        "vgpu-not-allocatable",
        (Drop(f"{_VIRTUAL_SITE}:not_allocatable", BELIEVED),),
    ),
    Observation(
        _VIRTUAL,
        f"{_VIRTUAL_SITE}:device_missing",
        "the device is there",
        "device-not-injected",
        (Drop(f"{_VIRTUAL_SITE}:device_missing", BELIEVED),),
    ),
    Observation(_VIRTUAL, f"{_VIRTUAL_SITE}:unhealthy", "the device can be opened", "vgpu-unhealthy"),
    Observation(
        _VIRTUAL,
        f"{_VIRTUAL_SITE}:product_mismatch",
        "the device is the advertised one",
        "vgpu-wrong-product",
    ),
)

# Gateways -----------------------------------------------------------------------------------------

_CLASS, _PROGRAMMED, _PARENTS = "traffic.gateway_class", "traffic.await_programmed", "traffic.await_parents"
_READY, _ASK = "traffic.await_ready:pod_never_ran", "traffic.ask:pod_never_ran"
_ANY_GENERATION = Swap("traffic.holds", "entry['observedGeneration'] == generation", "True")
_ANY_ADDRESS = Swap(
    _PROGRAMMED,
    "addresses[0] if holding and addresses else None",
    "next(iter(addresses), '127.0.0.1')",
)
_CONDITIONS = "('Accepted', 'ResolvedRefs')"


def _only(condition: str) -> Swap:
    return Swap(
        _PARENTS,
        f"all(holds(item, found, kind) for kind in {_CONDITIONS})",
        f"holds(item, found, {condition!r})",
    )


def _gateways(check: str) -> tuple[Observation, ...]:
    """Return what both checks of gateways observe."""
    accepted = Swap(_CLASS, "holds(item, (item.get('status') or {}).get('conditions'), 'Accepted')", "True")
    return (
        Observation(
            check,
            f"{_CLASS}:no_class",
            "the class the vendor names is accepted",
            "gateway-class-rejected",
            (Drop(f"{_CLASS}:no_class"),),
            settings=b"inference: {gatewayClass: inference-gateway}",
        ),
        Observation(
            check,
            f"{_CLASS}:no_class#2",
            "there is a class",
            "gateway-class-missing",
            (Drop(f"{_CLASS}:no_class#2", DOUBT),),
            becomes="unknown",
        ),
        Observation(
            check, f"{_CLASS}:no_class#2", "a class is accepted", "gateway-class-rejected", (accepted,)
        ),
        Observation(
            check,
            f"{_CLASS}:no_class#2",
            "the class is accepted as it is now",
            "gateway-class-stale",
            (_ANY_GENERATION,),
        ),
        Observation(
            check,
            f"{_PROGRAMMED}:gateway_not_programmed",
            "the gateway is programmed",
            "gateway-never-programmed",
            (_ANY_ADDRESS,),
            becomes="unknown",
        ),
        Observation(
            check,
            f"{_PROGRAMMED}:gateway_not_programmed",
            "the gateway is programmed as it is now",
            "gateway-status-stale",
            (_ANY_GENERATION,),
        ),
        Observation(
            check,
            f"{_PROGRAMMED}:gateway_without_address",
            "the gateway has an address",
            "gateway-without-address",
            (_ANY_ADDRESS,),
            becomes="unknown",
        ),
        Observation(
            check,
            f"{_PARENTS}:reason",
            "what the route refers to is resolved",
            "route-refs-unresolved",
            (_only("Accepted"),),
            reason="route_refs_unresolved",
        ),
        Observation(
            check,
            f"{_PARENTS}:reason",
            "the route is accepted as it is now",
            "route-status-stale",
            (_ANY_GENERATION,),
            reason="route_not_accepted",
        ),
        Observation(
            check,
            _READY,
            "servers start",
            "ported-pods-stuck",
            (Drop(_READY), *_unserved(check)),
            becomes="unknown",
        ),
        Observation(
            check,
            _ASK,
            "clients start",
            "portless-pods-stuck",
            (Drop(_ASK, DOUBT),),
            becomes="unknown",
        ),
    )


def _unserved(check: str) -> tuple[Edit, ...]:
    """Return what keeps a check from failing where nobody serves a route."""
    if check == "ai_inference":
        return (Drop("ai_inference._expect_answered:route_not_served", DOUBT),)
    return (Drop("advanced_inference_ingress._ask:pool_not_served", DOUBT),)


_BY_HEADER, _ANSWERED = "ai_inference._expect_by_header", "ai_inference._expect_answered"
AI_INFERENCE = (
    *_gateways("ai_inference"),
    Observation(
        "ai_inference",
        "ai_inference.ai_inference:api_missing",
        "the Gateway API is served",
        "gateway-api-missing",
        becomes="error",
    ),
    Observation(
        "ai_inference",
        f"{_PARENTS}:reason",
        "the route is accepted",
        "route-not-accepted",
        (_only("ResolvedRefs"), *_unserved("ai_inference")),
        becomes="unknown",
        reason="route_not_accepted",
    ),
    Observation(
        "ai_inference",
        f"{_ANSWERED}:route_not_served",
        "the route is served",
        "gateway-serves-no-routes",
        _unserved("ai_inference"),
        becomes="unknown",
    ),
    Observation(
        "ai_inference",
        f"{_ANSWERED}:requests_failed",
        "no request fails",
        "gateway-answers-503",
        (
            Drop(f"{_ANSWERED}:requests_failed"),
            Swap(_BY_HEADER, "HEADER_REQUESTS - chosen.servers.get(_MINORITY, 0)", "0"),
        ),
    ),
    Observation(
        "ai_inference",
        f"{_BY_HEADER}:header_not_matched",
        "requests with the header go where they belong",
        "gateway-ignores-headers",
    ),
    Observation(
        "ai_inference",
        f"{_BY_HEADER}:header_matched_wrongly",
        "requests with another value do not",
        "gateway-ignores-header-values",
    ),
    Observation(
        "ai_inference",
        "ai_inference.ai_inference:weights_not_kept",
        "the minority gets no more than it should",
        "gateway-ignores-weights",
        (Swap("ai_inference.ai_inference", "LEAST_SHARE <= share <= MOST_SHARE", "LEAST_SHARE <= share"),),
    ),
    Observation(
        "ai_inference",
        "ai_inference.ai_inference:weights_not_kept",
        "the minority gets no less than it should",
        "gateway-starves-minority",
        (Swap("ai_inference.ai_inference", "LEAST_SHARE <= share <= MOST_SHARE", "share <= MOST_SHARE"),),
    ),
)

_POOL = "advanced_inference_ingress._ask"
ADVANCED_INFERENCE_INGRESS = (
    *_gateways("advanced_inference_ingress"),
    Observation(
        "advanced_inference_ingress",
        f"{_PARENTS}:reason",
        "the route is accepted",
        "route-not-accepted",
        (_only("ResolvedRefs"), *_unserved("advanced_inference_ingress")),
        becomes="unknown",
        reason="route_not_accepted",
    ),
    Observation(
        "advanced_inference_ingress",
        f"{_PARENTS}:reason",
        "the pool is accepted",
        "pool-not-accepted",
        (_only("ResolvedRefs"),),
        reason="pool_not_accepted",
    ),
    Observation(
        "advanced_inference_ingress",
        f"{_PARENTS}:reason",
        "what the pool refers to is resolved",
        "pool-refs-unresolved",
        (_only("Accepted"),),
        reason="pool_refs_unresolved",
    ),
    Observation(
        "advanced_inference_ingress",
        f"{_PARENTS}:reason",
        "the pool is accepted as it is now",
        "pool-status-stale",
        (_ANY_GENERATION,),
        reason="pool_not_accepted",
    ),
    Observation(
        "advanced_inference_ingress",
        f"{_POOL}:pool_not_served",
        "the pool is served",
        "pool-answers-503",
        _unserved("advanced_inference_ingress"),
        becomes="unknown",
    ),
    Observation(
        "advanced_inference_ingress",
        f"{_POOL}:pool_not_served",
        "the route is served",
        "gateway-serves-no-routes",
        _unserved("advanced_inference_ingress"),
        becomes="unknown",
    ),
    Observation(
        "advanced_inference_ingress",
        f"{_POOL}:requests_failed",
        "no request fails",
        "gateway-answers-503",
    ),
    Observation(
        "advanced_inference_ingress",
        f"{_POOL}:emptier_not_preferred",
        "the picker's choice is followed",
        "pool-ignores-picker",
    ),
    Observation(
        "advanced_inference_ingress",
        f"{_POOL}:emptier_not_preferred",
        "the emptier server is chosen",
        "picker-prefers-the-fullest",
    ),
)

# Networks and serving stacks ----------------------------------------------------------------------

_NET = "high_performance_networking"
_EXCHANGE = f"{_NET}._Exchange"
HIGH_PERFORMANCE_NETWORKING = (
    *_starting(_NET),
    Observation(
        _NET,
        f"{_NET}._expect_characteristics:characteristics_missing",
        "slices tell what interfaces can do",
        "nic-attributes-missing",
    ),
    Observation(
        _NET,
        f"{_EXCHANGE}._without_place:never_allocated",
        "claims are allocated",
        "nic-never-allocated",
        (Drop(f"{_EXCHANGE}._without_place:never_allocated", DOUBTED),),
        becomes="unknown",
    ),
    Observation(_NET, f"{_EXCHANGE}.start:misplaced", "pods run where their interface is", "nic-misplaced"),
    Observation(
        _NET,
        f"{_EXCHANGE}._seen:interface_missing",
        "the interface is in the pod",
        "nic-not-attached",
        (Drop(f"{_EXCHANGE}._seen:interface_missing", "return _End(node, 'eth0', tuple(own), report)"),),
    ),
    Observation(
        _NET,
        f"{_EXCHANGE}.expect_transfer:no_transfer",
        "data arrives",
        "nic-no-transfer",
        (
            Drop(f"{_EXCHANGE}.expect_transfer:no_transfer"),
            Drop(f"{_EXCHANGE}.expect_transfer:data_changed"),
            Drop(f"{_EXCHANGE}.expect_transfer:interface_bypassed"),
        ),
    ),
    Observation(_NET, f"{_EXCHANGE}.expect_transfer:data_changed", "data arrives unchanged", "nic-corrupts"),
    Observation(
        _NET, f"{_EXCHANGE}.expect_transfer:interface_bypassed", "data takes the interface", "nic-bypassed"
    ),
)

_SPLIT = "disaggregated_inference"
_PHASES = f"{_SPLIT}._pods_by_phase"
DISAGGREGATED_INFERENCE = (
    Observation(
        _SPLIT,
        f"{_PHASES}:phase_missing",
        "each phase has pods",
        "disaggregation-without-decode",
        (
            Drop(f"{_PHASES}:phase_missing"),
            Drop(f"{_PHASES}:phase_not_ready"),
            Drop(f"{_SPLIT}._refused:request_failed#2", DOUBTED),
        ),
        becomes="unknown",
    ),
    Observation(
        _SPLIT,
        f"{_PHASES}:phase_not_ready",
        "each phase has Ready pods",
        "disaggregation-never-ready",
        (Drop(f"{_PHASES}:phase_not_ready"), Drop(f"{_SPLIT}._refused:request_failed#2", DOUBTED)),
        becomes="unknown",
    ),
    Observation(
        _SPLIT, f"{_PHASES}:phases_share_a_pod", "the phases share no pod", "disaggregation-shares-pods"
    ),
    Observation(
        _SPLIT,
        f"{_SPLIT}._send:request_failed",
        "the request is answered with a completion",
        "disaggregation-answers-nothing",
        becomes="unknown",
    ),
    Observation(
        _SPLIT,
        f"{_SPLIT}._refused:request_failed",
        "the stack can be reached",
        "disaggregation-router-down",
        (Drop(f"{_SPLIT}._refused:request_failed", DOUBTED),),
        becomes="unknown",
    ),
    Observation(
        _SPLIT,
        f"{_SPLIT}._refused:request_failed#2",
        "the request succeeds",
        "disaggregation-request-fails",
        (Drop(f"{_SPLIT}._refused:request_failed#2", DOUBTED),),
        becomes="unknown",
    ),
)

_LOGGED = f"{_SPLIT}._expect_logged"
BOTH_PHASES_TAKE_PART = (
    Observation(
        _SPLIT,
        f"{_LOGGED}:id_not_logged",
        "the request shows in the logs",
        "disaggregation-hides-ids",
        (Drop(f"{_LOGGED}:id_not_logged", "return"),),
        status="unknown",
    ),
    Observation(
        _SPLIT,
        f"{_LOGGED}:id_not_logged",
        "the request shows in the logs of both phases",
        "disaggregation-decodes-in-prefill",
        (Swap(_LOGGED, "list(PHASES)", "['prefill']"),),
        status="unknown",
    ),
)

# Scheduling and scaling ---------------------------------------------------------------------------

_GANG = "gang_scheduling._Stage"
GANG_SCHEDULING = (
    Observation(
        "gang_scheduling",
        f"{_GANG}.fitting_gang_completes:gang_never_bound",
        "a gang that fits is bound",
        "gang-never-bound",
        (
            Drop(f"{_GANG}.fitting_gang_completes:gang_never_bound"),
            Drop(f"{_GANG}.all_bind:gang_never_released"),
        ),
    ),
    Observation(
        "gang_scheduling",
        f"{_GANG}.fitting_gang_completes:gang_never_completed",
        "a gang that fits completes",
        "portless-pods-stuck",
        (Swap(f"{_GANG}.fitting_gang_completes", "pods.phase(pod) == 'Succeeded'", "pods.node_of(pod)"),),
    ),
    *(
        Observation(
            "gang_scheduling",
            f"{_GANG}.nothing_binds:gang_partially_bound",
            "no pod is bound while a place is missing",
            profile,
        )
        for profile in ("gang-partial", "gang-partial@1.33", "gang-partial@1.34", "gang-partial@1.35")
    ),
    *(
        Observation(
            "gang_scheduling",
            f"{_GANG}.all_bind:gang_never_released",
            "all pods are bound once each has a place",
            profile,
        )
        for profile in ("gang-never-released", "gang-never-released@1.33")
    ),
)

_NODES = "cluster_autoscaling._Stage"
QUICK = b"autoscaling: {scaleUpSeconds: 200, scaleDownSeconds: 250}"
CLUSTER_AUTOSCALING = (
    Observation(
        "cluster_autoscaling",
        f"{_NODES}._not_scaled_up:not_scaled_up",
        "a node is added",
        "autoscaler-never-adds",
        (Drop(f"{_NODES}._not_scaled_up:not_scaled_up", DOUBTED),),
        becomes="unknown",
        settings=QUICK,
    ),
    Observation(
        "cluster_autoscaling",
        f"{_NODES}._not_scaled_up:new_node_useless",
        "the pod runs on the node that was added",
        "autoscaler-adds-bare-nodes",
        (
            Drop(f"{_NODES}._not_scaled_up:new_node_useless"),
            Drop(f"{_NODES}._not_scaled_up:not_scaled_up", DOUBTED),
        ),
        becomes="unknown",
        settings=QUICK,
    ),
    Observation(
        "cluster_autoscaling",
        f"{_NODES}._no_need:holder_displaced",
        "no other pod is ended instead",
        "autoscaler-evicts",
        becomes="unknown",
        settings=QUICK,
    ),
    Observation(
        "cluster_autoscaling",
        f"{_NODES}._no_need:holder_displaced",
        "the node is a new one",
        "autoscaler-evicts",
        (Swap(f"{_NODES}.await_new_node", "nodes[node] in self._uids", "False"),),
        settings=QUICK,
    ),
    Observation(
        "cluster_autoscaling",
        f"{_NODES}.await_baseline:baseline_not_kept",
        "the pool keeps to its former size",
        "autoscaler-restless",
        (
            Swap(
                f"{_NODES}.await_baseline",
                "self._kept(lambda now: len(now) == self.baseline, BASELINE_SECONDS)",
                "True",
            ),
        ),
        settings=QUICK,
    ),
    Observation(
        "cluster_autoscaling",
        f"{_NODES}.await_baseline:not_scaled_down",
        "the pool comes back to its former size",
        "autoscaler-never-removes",
        settings=QUICK,
    ),
)

SCALED_FOR_AN_ACCELERATOR = (
    Observation(
        "cluster_autoscaling",
        f"{_NODES}.trigger:unschedulable_otherwise",
        "it is an accelerator the pod waits for",
        "pool-cordoned-when-full",
        status="unknown",
        settings=QUICK,
    ),
)

_PODS = "pod_autoscaling._Scaling"
POD_AUTOSCALING = (
    Observation(
        "pod_autoscaling",
        f"{_PODS}.await_first:pod_never_ready",
        "the first pod becomes Ready",
        "ported-pods-stuck",
        becomes="unknown",
    ),
    Observation(
        "pod_autoscaling",
        f"{_PODS}.await_first:pod_never_ready",
        "nodes take the pods that are started",
        "nodes-refuse-pods",
        becomes="unknown",
    ),
    Observation(
        "pod_autoscaling",
        f"{_PODS}._not_scaled_up:not_scaled_up",
        "the autoscaler sees the metric",
        "hpa-not-active",
        (Drop(f"{_PODS}._not_scaled_up:not_scaled_up", DOUBTED),),
        becomes="unknown",
    ),
    Observation(
        "pod_autoscaling",
        f"{_PODS}._not_scaled_up:not_scaled_up",
        "a pod is added when the metric rises",
        "hpa-ignores-metric",
        (Drop(f"{_PODS}._not_scaled_up:not_scaled_up", DOUBTED),),
        becomes="unknown",
    ),
    Observation(
        "pod_autoscaling",
        f"{_PODS}._not_scaled_up:second_never_ready",
        "the second pod becomes Ready",
        "scaled-pod-never-ready",
        (Swap(f"{_PODS}.await_second", "_count_ready(found) >= 2", "len(found) >= 2"),),
    ),
    Observation(
        "pod_autoscaling",
        f"{_PODS}.await_second:pod_without_device",
        "both pods have an accelerator",
        "scaled-pod-without-device",
    ),
    Observation(
        "pod_autoscaling",
        f"{_PODS}.expect_active:scaling_not_active",
        "it is the autoscaler that scales",
        "hpa-scales-inactive",
    ),
    Observation(
        "pod_autoscaling",
        f"{_PODS}.await_one:not_scaled_down",
        "a pod is removed when the metric falls",
        "hpa-never-scales-down",
    ),
)

# Metrics ------------------------------------------------------------------------------------------

_SERIES = "accelerator_metrics._Scraping.expect_series"
ACCELERATOR_METRICS = (
    *_starting("accelerator_metrics"),
    Observation(
        "accelerator_metrics",
        f"{_SERIES}:no_metrics",
        "there are metrics machines can read",
        "metrics-empty",
        becomes="unknown",
    ),
    Observation(
        "accelerator_metrics",
        f"{_SERIES}:series_missing",
        "utilisation is reported",
        "metrics-utilization-missing",
        (Drop(f"{_SERIES}:series_missing", "continue"), Drop(f"{_SERIES}:device_missing", "continue")),
        becomes="unknown",
    ),
    Observation(
        "accelerator_metrics",
        f"{_SERIES}:series_missing",
        "memory is reported",
        "metrics-memory-missing",
        (Drop(f"{_SERIES}:series_missing", "continue"), Drop(f"{_SERIES}:device_missing", "continue")),
    ),
    Observation(
        "accelerator_metrics",
        f"{_SERIES}:device_missing",
        "every device is reported",
        "metrics-device-missing",
    ),
    Observation(
        "accelerator_metrics",
        f"{_SERIES}:device_missing",
        "the memory of every device is reported",
        "metrics-device-memory-missing",
    ),
    Observation(
        "accelerator_metrics",
        f"{_SERIES}:not_finite",
        "utilisation is a number",
        "metrics-not-finite",
        becomes="unknown",
    ),
    Observation(
        "accelerator_metrics", f"{_SERIES}:not_finite", "memory is a number", "metrics-memory-not-finite"
    ),
)

_UNCHANGED = "accelerator_metrics.accelerator_metrics:utilization_unchanged"
UTILIZATION_REACTS = (
    Observation(
        "accelerator_metrics",
        _UNCHANGED,
        "utilisation follows load",
        "metrics-frozen",
        (Drop(_UNCHANGED, BELIEVED),),
        status="unknown",
    ),
    Observation(
        "accelerator_metrics",
        _UNCHANGED,
        "it is the loaded device's utilisation",
        "metrics-misattributed",
        (
            Swap(
                "accelerator_metrics.accelerator_metrics",
                "load.keys(scraping.readings.utilization)",
                "list(scraping.readings.utilization)",
            ),
        ),
        status="unknown",
    ),
)

_SERVICE = "ai_service_metrics"
_MISSING, _EXPECT = f"{_SERVICE}._missing", f"{_SERVICE}._expect"


def _without(part: str) -> Swap:
    """Return an edit after which nobody looks at some of the counts."""
    return Swap(
        _MISSING,
        "[(name, labels, float(REQUESTS)) for name, labels in _COUNTS.items()]",
        f"[(name, labels, float(REQUESTS)) for name, labels in _COUNTS.items() if {part!r} not in name]",
    )


_WITHOUT_GAUGE = Swap(_MISSING, "wanted.append((_LEVEL, {}, float(level)))", "None")


def _service_metrics(verb: str, site: str) -> tuple[Observation, ...]:
    outcome = {"drops": "arrives", "distorts": "arrives as it was"}[verb]
    return tuple(
        Observation(_SERVICE, site, f"the {kind} {outcome}", f"monitoring-{verb}-{kind}s", (edit,))
        for kind, edit in (
            ("counter", _without("_total")),
            ("histogram", _without("_seconds_")),
            ("gauge", _WITHOUT_GAUGE),
        )
    )


AI_SERVICE_METRICS = (
    Observation(
        _SERVICE,
        f"{_SERVICE}.choose_wiring:wiring_missing",
        "the vendor's way of wiring is there",
        "conformant-1.33",
        becomes="error",
        settings=b"monitoring: {wiring: PodMonitor}",
    ),
    Observation(_SERVICE, _READY, "the workload starts", "ported-pods-stuck", becomes="unknown"),
    Observation(
        _SERVICE,
        _ASK,
        "the client starts",
        "portless-pods-stuck",
        (Drop(_ASK, DOUBT),),
        becomes="unknown",
    ),
    Observation(
        _SERVICE,
        f"{_EXPECT}:not_collected",
        "the workload is discovered",
        "monitoring-ignores-targets",
        (Drop(f"{_EXPECT}:not_collected", "return"),),
    ),
    *_service_metrics("drops", f"{_MISSING}:series_missing"),
    Observation(
        _SERVICE,
        f"{_MISSING}:series_missing",
        "the histogram's buckets arrive",
        "monitoring-drops-buckets",
        (_without("_bucket"),),
    ),
    *_service_metrics("distorts", f"{_MISSING}:value_differs"),
    Observation(
        _SERVICE,
        f"{_EXPECT}:verdict.reason",
        "what did not arrive counts in the end",
        "monitoring-drops-counters",
        reason="series_missing",
    ),
)

# Isolation ----------------------------------------------------------------------------------------

_SECURE = "secure_accelerator_access"
_APART, _NONE = f"{_SECURE}._expect_apart", f"{_SECURE}._Probing._expect_none"
SECURE_ACCELERATOR_ACCESS = (
    *_starting(_SECURE),
    Observation(
        _SECURE,
        f"{_SECURE}._expect_one:excess_device",
        "a pod with one device sees one",
        "excess-device",
        (
            Drop(f"{_SECURE}._expect_one:excess_device"),
            Drop(f"{_APART}:shared_device", "return"),
        ),
    ),
    Observation(
        _SECURE,
        f"{_NONE}:unrequested_device",
        "a pod without a request sees none",
        "device-leak",
        (Drop(f"{_NONE}:unrequested_device"), Drop(f"{_NONE}:foreign_device_opened")),
    ),
    Observation(
        _SECURE,
        f"{_NONE}:unrequested_device",
        "a container without a request sees none",
        "sibling-container-leak",
    ),
    Observation(
        _SECURE,
        f"{_NONE}:foreign_device_opened",
        "who asked for none can open none",
        "device-open-bypass",
        (Drop(f"{_NONE}:foreign_device_opened"), Drop(f"{_APART}:foreign_device_opened")),
    ),
    Observation(
        _SECURE,
        f"{_APART}:shared_device",
        "two pods have devices of their own",
        "shared-device",
        (Drop(f"{_APART}:shared_device", "return"),),
    ),
    Observation(
        _SECURE,
        f"{_APART}:foreign_device_opened",
        "a pod cannot open another's device",
        "device-rules-loose",
    ),
)

_SANDBOX = "workload_sandboxing"
_HOST, _HOST_SITE = f"{_SANDBOX}._expect_nothing_of_host", "f'host_{what}_visible'"


def _host(what: str, profile: str, old: str, new: str) -> Observation:
    return Observation(
        _SANDBOX,
        f"{_HOST}:{_HOST_SITE}",
        f"no {what} of the node",
        profile,
        (Swap(_HOST, old, new),),
        reason=f"host_{what.rpartition(' ')[2]}_visible",
    )


WORKLOAD_SANDBOXING = (
    *_starting(_SANDBOX, "@1.37"),
    Observation(
        _SANDBOX,
        _NEVER_RAN,
        "the sandbox starts",
        "sandbox-handler-missing",
        (Drop(_NEVER_RAN, DOUBT),),
        becomes="unknown",
    ),
    Observation(
        _SANDBOX,
        f"{_SANDBOX}._look:pod_rejected",
        "pods may ask for the sandbox",
        "sandbox-refused",
        (Drop(f"{_SANDBOX}._look:pod_rejected", "raise"),),
        becomes="error",
    ),
    Observation(
        _SANDBOX,
        f"{_SANDBOX}._made_pod:pod_never_made",
        "a pod is made for a sandbox",
        "agent-sandboxes-idle",
        (Drop(f"{_SANDBOX}._made_pod:pod_never_made", DOUBT),),
        becomes="unknown",
    ),
    Observation(
        _SANDBOX,
        f"{_SANDBOX}.{_SANDBOX}:kernel_shared",
        "the sandbox has another kernel",
        "sandbox-shared-kernel",
        (Drop(f"{_SANDBOX}.{_SANDBOX}:kernel_shared"), Drop(f"{_HOST}:{_HOST_SITE}", "continue")),
    ),
    Observation(
        _SANDBOX,
        f"{_SANDBOX}.{_SANDBOX}:kernel_shared",
        "the kernel is another whatever it calls itself",
        "sandbox-fakes-release",
        (Swap(f"{_SANDBOX}.Kernel.is_same", "self.boot and other.boot", "False"),),
    ),
    _host("processes", "sandbox-host-processes", "marker.get('name') in _HOST_PROCESSES", "False"),
    _host("memory", "sandbox-host-memory", "[marker.get('path') for marker in report.all('memory')]", "[]"),
    _host("mounts", "sandbox-host-mounts", "_is_of_host(marker)", "False"),
    _host(
        "interfaces",
        "sandbox-host-interfaces",
        "_HOST_INTERFACES.fullmatch(marker.get('name'))",
        "False",
    ),
    _host("addresses or interfaces", "sandbox-host-network", "marker.get('ip') in own", "False"),
)

_ROBUST, _OPERATOR = "robust_controller", "reconciliation"
_RECONCILED = f"{_OPERATOR}.expect_reconciliation"
_NO_OPERATOR = f"{_OPERATOR}._without_operator:no_operator"
_VENDORS = b"operator: {crd: rayclusters.ray.io, valid: {spec: {}}, invalid: {spec: {}}}"
_ACCEPTED = Drop(f"{_ROBUST}._expect_rejection:invalid_accepted", "return ''")
ROBUST_CONTROLLER = (
    Observation(
        _ROBUST,
        _NO_OPERATOR,
        "an operator is installed",
        "operator-missing",
        (Drop(_NO_OPERATOR, DOUBTED),),
        becomes="unknown",
    ),
    Observation(
        _ROBUST,
        f"{_OPERATOR}.installed_operator:no_operator",
        "the vendor's operator is installed",
        "operator-missing",
        (Drop(f"{_OPERATOR}.installed_operator:no_operator", DOUBT),),
        becomes="unknown",
        settings=_VENDORS,
    ),
    Observation(
        _ROBUST,
        f"{_OPERATOR}.installed_operator:crd_not_established",
        "its definition is established",
        "operator-definition-conflict",
    ),
    Observation(
        _ROBUST,
        f"{_OPERATOR}.resource_of:crd_not_served",
        "its kind is served",
        "operator-kind-not-served",
        (Drop(f"{_OPERATOR}.resource_of:crd_not_served", "served = versions"),),
        becomes="unknown",
    ),
    Observation(
        _ROBUST,
        f"{_ROBUST}._webhooks:no_webhook",
        "a webhook looks at its kind",
        "webhook-missing",
        (Drop(f"{_ROBUST}._webhooks:no_webhook"), _ACCEPTED),
    ),
    Observation(
        _ROBUST,
        f"{_ROBUST}._expect_ready:operator_not_ready",
        "the pods behind the webhook are Ready",
        "operator-pods-down",
        becomes="error",
    ),
    Observation(
        _ROBUST,
        _ACCEPTED.site,
        "the webhook rejects what makes no sense",
        "webhook-accepts-anything",
        (_ACCEPTED,),
    ),
    Observation(
        _ROBUST,
        f"{_RECONCILED}:valid_rejected",
        "what makes sense is accepted",
        "webhook-rejects-everything",
        (Drop(f"{_RECONCILED}:valid_rejected", "raise"),),
        becomes="error",
    ),
    Observation(
        _ROBUST,
        f"{_RECONCILED}:not_reconciled",
        "the operator acts",
        "operator-does-not-reconcile",
        (Drop(f"{_RECONCILED}:not_reconciled", "return ''"),),
    ),
    Observation(
        _ROBUST,
        f"{_RECONCILED}:not_reconciled",
        "the operator has seen the present generation",
        "operator-status-stale",
        (Swap(_RECONCILED, "_is_reconciled(current)", "True"),),
    ),
    Observation(
        _ROBUST,
        f"{_RECONCILED}:not_reconciled",
        "the object has children",
        "operator-makes-nothing",
        (Swap(_RECONCILED, "_is_reconciled(current) and children", "_is_reconciled(current)"),),
    ),
)

BY_THE_WEBHOOK = Observation(
    _ROBUST,
    f"{_ROBUST}._expect_rejection:rejected_by_schema",
    "it is the webhook that rejects",
    "schema-only-validation",
    (Drop(f"{_ROBUST}._expect_rejection:rejected_by_schema", "return ''"),),
    status="unknown",
)

OBSERVATIONS: tuple[Observation, ...] = (
    *DRA_SUPPORT,
    *DRIVER_RUNTIME_MANAGEMENT,
    *GPU_SHARING,
    *VIRTUALIZED_ACCELERATOR,
    *AI_INFERENCE,
    *ADVANCED_INFERENCE_INGRESS,
    *HIGH_PERFORMANCE_NETWORKING,
    *DISAGGREGATED_INFERENCE,
    *GANG_SCHEDULING,
    *CLUSTER_AUTOSCALING,
    *POD_AUTOSCALING,
    *ACCELERATOR_METRICS,
    *AI_SERVICE_METRICS,
    *SECURE_ACCELERATOR_ACCESS,
    *WORKLOAD_SANDBOXING,
    *ROBUST_CONTROLLER,
    RUNTIME_NAMED,
    *BOTH_PHASES_TAKE_PART,
    *SCALED_FOR_AN_ACCELERATOR,
    *UTILIZATION_REACTS,
    BY_THE_WEBHOOK,
)

"""What is particular to each check, where all of them have to behave alike.

Whatever is said here of one check is tried by `test_every_check.py`, so that a new check is tried like the
others once it has its entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Said = tuple[str, str]

NEVER = "never"
# What a check says where a request it cannot do without is answered so, or never.
USUAL: Mapping[str, Said] = {
    "403": ("error", "forbidden"),
    "500": ("error", "server_error"),
    "503": ("error", "server_error"),
    NEVER: ("error", "timeout"),
}


@dataclass(frozen=True, slots=True)
class Particulars:
    """What is particular to a check.

    `requests` are those it cannot do without, as verb and resource; `unusual` holds what it says of an
    answer of which most checks say something else. On the profile `waits_on` it waits for longer than a run
    of `seconds` takes. `verdicts` holds status and reason by profile.
    """

    requests: tuple[str, ...]
    waits_on: str
    verdicts: Mapping[str, Said]
    seconds: float = 2
    unusual: Mapping[tuple[str, str], Said] = field(default_factory=dict)

    def of(self, request: str, answer: str) -> Said:
        """Return what the check says where this request is answered so."""
        return self.unusual.get((request, answer), USUAL[answer])


TABLE: Mapping[str, Particulars] = {
    "accelerator_metrics": Particulars(
        requests=("get:services", "create:pods"),
        waits_on="stalls:create:pods",
        verdicts={
            "metrics-utilization-missing": ("fail", "series_missing"),
            "metrics-memory-missing": ("fail", "series_missing"),
            "metrics-device-missing": ("fail", "device_missing"),
            "metrics-device-missing@1.33": ("fail", "device_missing"),
            "metrics-device-memory-missing": ("fail", "device_missing"),
            "metrics-not-finite": ("fail", "not_finite"),
            "metrics-memory-not-finite": ("fail", "not_finite"),
            "metrics-frozen": ("unknown", "utilization_unchanged"),
            "metrics-misattributed": ("unknown", "utilization_unchanged"),
            "metrics-foreign-names": ("unknown", "names_not_recognised"),
            "metrics-exporter-missing": ("unknown", "exporter_not_found"),
            "no-accelerators": ("unknown", "no_accelerators"),
            "image-unpullable": ("unknown", "load_unpullable"),
            "single-device": ("pass", "reported"),
        },
    ),
    "advanced_inference_ingress": Particulars(
        requests=("create:inferencepools", "create:deployments"),
        waits_on="gateway-never-programmed",
        verdicts={
            "inference-extension-missing": ("not_applicable", "extension_absent"),
            "gateway-class-missing": ("fail", "no_class"),
            "gateway-never-programmed": ("fail", "gateway_not_programmed"),
            "route-not-accepted": ("fail", "route_not_accepted"),
            "pool-not-accepted": ("fail", "pool_not_accepted"),
            "pool-refs-unresolved": ("fail", "pool_refs_unresolved"),
            "pool-status-stale": ("fail", "pool_not_accepted"),
            "pool-answers-503": ("fail", "pool_not_served"),
            "gateway-answers-503": ("fail", "requests_failed"),
            "pool-ignores-picker": ("fail", "emptier_not_preferred"),
            "picker-prefers-the-fullest": ("fail", "emptier_not_preferred"),
            "picker-never-ready": ("unknown", "picker_not_ready"),
            "gateway-unreachable": ("unknown", "status_only"),
            "image-unpullable": ("unknown", "image_unpullable"),
            "logs-unreadable": ("error", "logs_unreadable"),
        },
    ),
    "ai_inference": Particulars(
        requests=("list:gatewayclasses", "create:gateways", "create:httproutes"),
        waits_on="gateway-never-programmed",
        verdicts={
            "gateway-api-missing": ("fail", "api_missing"),
            "gateway-class-missing": ("fail", "no_class"),
            "gateway-class-rejected": ("fail", "no_class"),
            "gateway-class-stale": ("fail", "no_class"),
            "gateway-never-programmed": ("fail", "gateway_not_programmed"),
            "gateway-status-stale": ("fail", "gateway_not_programmed"),
            "gateway-without-address": ("fail", "gateway_without_address"),
            "route-not-accepted": ("fail", "route_not_accepted"),
            "route-refs-unresolved": ("fail", "route_refs_unresolved"),
            "route-status-stale": ("fail", "route_not_accepted"),
            "gateway-serves-no-routes": ("fail", "route_not_served"),
            "gateway-answers-503": ("fail", "requests_failed"),
            "gateway-ignores-headers": ("fail", "header_not_matched"),
            "gateway-ignores-header-values": ("fail", "header_matched_wrongly"),
            "gateway-ignores-weights": ("fail", "weights_not_kept"),
            "gateway-starves-minority": ("fail", "weights_not_kept"),
            "gateway-unreachable": ("unknown", "no_data_path"),
            "image-unpullable": ("unknown", "image_unpullable"),
            "logs-unreadable": ("error", "logs_unreadable"),
        },
    ),
    "ai_service_metrics": Particulars(
        requests=("create:servicemonitors", "create:services"),
        waits_on="monitoring-ignores-targets",
        verdicts={
            "monitoring-ignores-targets": ("fail", "not_collected"),
            "monitoring-drops-counters": ("fail", "series_missing"),
            "monitoring-drops-histograms": ("fail", "series_missing"),
            "monitoring-drops-buckets": ("fail", "series_missing"),
            "monitoring-drops-gauges": ("fail", "series_missing"),
            "monitoring-distorts-counters": ("fail", "value_differs"),
            "monitoring-distorts-histograms": ("fail", "value_differs"),
            "monitoring-distorts-gauges": ("fail", "value_differs"),
            "monitoring-missing": ("unknown", "no_endpoint"),
            "monitoring-endpoint-down": ("unknown", "no_endpoint"),
            "monitoring-endpoint-down@1.37": ("unknown", "endpoint_not_answering"),
            "pod-network-down": ("unknown", "target_unreachable"),
            "pod-network-flaky": ("unknown", "requests_lost"),
            "image-unpullable": ("unknown", "image_unpullable"),
            "logs-unreadable": ("error", "logs_unreadable"),
        },
    ),
    "cluster_autoscaling": Particulars(
        requests=("list:nodes", "create:pods", "create:poddisruptionbudgets"),
        waits_on="autoscaler-never-adds",
        seconds=6,
        verdicts={
            "autoscaler-never-adds": ("fail", "not_scaled_up"),
            "autoscaler-never-adds@1.33": ("fail", "not_scaled_up"),
            "autoscaler-adds-bare-nodes": ("fail", "new_node_useless"),
            "autoscaler-evicts": ("fail", "holder_displaced"),
            "autoscaler-never-removes": ("fail", "not_scaled_down"),
            "autoscaler-restless": ("fail", "baseline_not_kept"),
            "autoscaler-quota": ("unknown", "capacity_limited"),
            "pool-busy": ("unknown", "pool_not_idle"),
            "pool-busy@1.33": ("unknown", "pool_not_idle"),
            "pool-unsteady": ("unknown", "pool_unsteady"),
            "pool-cordoned-when-full": ("unknown", "unschedulable_otherwise"),
            "image-unpullable": ("unknown", "image_unpullable"),
            "no-accelerators": ("not_applicable", "no_autoscaler_declared"),
        },
    ),
    "disaggregated_inference": Particulars(
        requests=("list:pods", "create:services"),
        waits_on="disaggregation-hides-ids",
        # Without a reason of the API server's own it is the stack behind the proxy that answers so.
        unusual={
            ("create:services", "403"): ("unknown", "endpoint_refuses"),
            ("create:services", "503"): ("fail", "request_failed"),
        },
        verdicts={
            "disaggregation-missing": ("not_applicable", "not_deployed"),
            "disaggregation-without-decode": ("fail", "phase_missing"),
            "disaggregation-never-ready": ("fail", "phase_not_ready"),
            "disaggregation-shares-pods": ("fail", "phases_share_a_pod"),
            "disaggregation-request-fails": ("fail", "request_failed"),
            "disaggregation-router-down": ("fail", "request_failed"),
            "disaggregation-answers-nothing": ("fail", "request_failed"),
            "disaggregation-wants-credentials": ("unknown", "endpoint_refuses"),
            "disaggregation-hides-ids": ("unknown", "id_not_logged"),
            "disaggregation-decodes-in-prefill": ("unknown", "id_not_logged"),
            "logs-unreadable": ("error", "server_error"),
        },
    ),
    "dra_support": Particulars(
        requests=("create:selfsubjectaccessreviews", "create:resourceclaims"),
        waits_on="stalls:create:resourceclaims",
        verdicts={
            "dra-v1-missing": ("fail", "api_missing"),
            "dra-slices-missing": ("fail", "kind_missing"),
            "dra-verb-missing": ("fail", "verb_missing"),
        },
    ),
    "driver_runtime_management": Particulars(
        requests=("list:nodes", "create:pods"),
        waits_on="stalls:create:resourceclaimtemplates",
        verdicts={
            "driver-version-mismatch": ("fail", "driver_mismatch"),
            "driver-kernel-mismatch": ("fail", "driver_mismatch"),
            "driver-library-mismatch": ("fail", "driver_mismatch"),
            "runtime-version-mismatch": ("fail", "runtime_mismatch"),
            "driver-tools-missing": ("fail", "tools_not_injected"),
            "excess-device": ("fail", "excess_device"),
            "driver-not-advertised": ("unknown", "driver_not_advertised"),
            "container-runtime-unnamed": ("unknown", "runtime_not_named"),
            "unrecognised-vendor": ("unknown", "vendor_not_recognised"),
            "no-accelerators": ("unknown", "no_accelerators"),
            "image-unpullable": ("unknown", "image_unpullable"),
            "logs-unreadable": ("error", "logs_unreadable"),
        },
    ),
    "gang_scheduling": Particulars(
        requests=("list:nodes", "create:podgroups"),
        waits_on="gang-never-released",
        verdicts={
            "gang-partial": ("fail", "gang_partially_bound"),
            "gang-never-released": ("fail", "gang_never_released"),
            "single-device": ("unknown", "too_few_devices"),
            "no-accelerators": ("unknown", "no_accelerators"),
            "image-unpullable": ("unknown", "image_unpullable"),
        },
    ),
    "gpu_sharing": Particulars(
        requests=("list:nodes", "create:pods"),
        waits_on="stalls:create:pods",
        verdicts={
            "sharing-apart": ("fail", "not_shared"),
            "sharing-exclusive": ("fail", "share_withheld"),
            "sharing-not-offered": ("not_applicable", "not_offered"),
            "no-accelerators": ("not_applicable", "not_offered"),
            "image-unpullable": ("unknown", "image_unpullable"),
            "logs-unreadable": ("error", "logs_unreadable"),
        },
    ),
    "high_performance_networking": Particulars(
        requests=("list:resourceslices", "create:resourceclaimtemplates", "get:resourceclaims"),
        waits_on="nic-never-allocated",
        verdicts={
            "nic-attributes-missing": ("fail", "characteristics_missing"),
            "nic-misplaced": ("fail", "misplaced"),
            "nic-never-allocated": ("fail", "never_allocated"),
            "nic-not-attached": ("fail", "interface_missing"),
            "nic-no-transfer": ("fail", "no_transfer"),
            "nic-corrupts": ("fail", "data_changed"),
            "nic-bypassed": ("fail", "interface_bypassed"),
            "nic-single-node": ("unknown", "one_node"),
            "nic-other-mechanism": ("unknown", "other_mechanism"),
            "nic-not-offered": ("not_applicable", "not_offered"),
            "image-unpullable": ("unknown", "image_unpullable"),
            "logs-unreadable": ("error", "logs_unreadable"),
        },
    ),
    "pod_autoscaling": Particulars(
        requests=(
            "create:deployments",
            "create:horizontalpodautoscalers",
            "get:pods/certportal_probe_load",
        ),
        waits_on="hpa-ignores-metric",
        seconds=3,
        verdicts={
            "hpa-ignores-metric": ("fail", "not_scaled_up"),
            "hpa-not-active": ("fail", "not_scaled_up"),
            "hpa-scales-inactive": ("fail", "scaling_not_active"),
            "hpa-never-scales-down": ("fail", "not_scaled_down"),
            "scaled-pod-never-ready": ("fail", "second_never_ready"),
            "scaled-pod-without-device": ("fail", "pod_without_device"),
            "scaled-pod-without-device@1.33": ("fail", "pod_without_device"),
            "metrics-adapter-missing": ("unknown", "no_custom_metrics"),
            "metrics-adapter-blind": ("unknown", "metric_not_visible"),
            "metrics-adapter-stuck": ("unknown", "metric_did_not_rise"),
            "single-device": ("unknown", "too_few_devices"),
            "no-accelerators": ("unknown", "no_accelerators"),
            "image-unpullable": ("unknown", "image_unpullable"),
            "logs-unreadable": ("error", "logs_unreadable"),
        },
    ),
    "robust_controller": Particulars(
        requests=("list:endpointslices", "create:rayclusters"),
        waits_on="operator-does-not-reconcile",
        # Whoever refuses an object without sense in the webhook's place proves nothing of the webhook.
        unusual={("create:rayclusters", "403"): ("unknown", "rejected_by_schema")},
        verdicts={
            "webhook-accepts-anything": ("fail", "invalid_accepted"),
            "operator-does-not-reconcile": ("fail", "not_reconciled"),
            "operator-pods-down": ("fail", "operator_not_ready"),
            "schema-only-validation": ("unknown", "rejected_by_schema"),
        },
    ),
    "secure_accelerator_access": Particulars(
        requests=("list:nodes", "create:pods"),
        waits_on="stalls:create:pods",
        verdicts={
            "device-leak": ("fail", "unrequested_device"),
            "sibling-container-leak": ("fail", "unrequested_device"),
            "shared-device": ("fail", "shared_device"),
            "device-open-bypass": ("fail", "foreign_device_opened"),
            "single-device": ("pass", "isolated_in_part"),
            "no-accelerators": ("unknown", "no_accelerators"),
            "image-unpullable": ("unknown", "image_unpullable"),
            "logs-unreadable": ("error", "logs_unreadable"),
        },
    ),
    "virtualized_accelerator": Particulars(
        requests=("list:resourceslices", "create:pods"),
        waits_on="stalls:create:pods",
        verdicts={
            "vgpu-not-allocatable": ("fail", "not_allocatable"),
            "vgpu-not-allocatable@1.37": ("fail", "not_allocatable"),
            "vgpu-unhealthy": ("fail", "unhealthy"),
            "vgpu-unhealthy@1.37": ("fail", "unhealthy"),
            "vgpu-wrong-product": ("fail", "product_mismatch"),
            "vgpu-wrong-product@1.37": ("fail", "product_mismatch"),
            "vgpu-not-offered": ("not_applicable", "not_advertised"),
            "no-accelerators": ("not_applicable", "not_advertised"),
            "image-unpullable": ("unknown", "image_unpullable"),
            "logs-unreadable": ("error", "logs_unreadable"),
        },
    ),
    "workload_sandboxing": Particulars(
        requests=("list:runtimeclasses", "create:pods"),
        waits_on="stalls:create:pods",
        # The right to make pods is there, so that what refuses the sandboxed one is the platform.
        unusual={("create:pods", "403"): ("fail", "pod_rejected")},
        verdicts={
            "sandbox-shared-kernel": ("fail", "kernel_shared"),
            "sandbox-fakes-release": ("fail", "kernel_shared"),
            "sandbox-host-processes": ("fail", "host_processes_visible"),
            "sandbox-host-memory": ("fail", "host_memory_visible"),
            "sandbox-host-mounts": ("fail", "host_mounts_visible"),
            "sandbox-host-interfaces": ("fail", "host_interfaces_visible"),
            "sandbox-host-network": ("fail", "host_interfaces_visible"),
            "sandbox-handler-missing": ("fail", "pod_never_ran"),
            "sandbox-unrecognised": ("unknown", "mechanism_not_recognised"),
            "sandbox-not-offered": ("not_applicable", "not_offered"),
            "image-unpullable@1.37": ("unknown", "image_unpullable"),
            "logs-unreadable@1.37": ("error", "logs_unreadable"),
        },
    ),
}

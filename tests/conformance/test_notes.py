import pytest

from conformance.rules.notes import contradiction, is_mere_refusal


@pytest.mark.parametrize(
    ("id_", "notes"),
    [
        ("cluster_autoscaling", "The platform does not provide an autoscaler. It is tested with one."),
        ("cluster_autoscaling", "Harbour is a distribution and does not bundle a cluster-autoscaler."),
        (
            "cluster_autoscaling",
            "Built for fixed pools: it does not ship a cluster autoscaler and stays small.",
        ),
        ("cluster_autoscaling", "There is no autoscaler on bare metal."),
        ("cluster_autoscaling", "N/A is accepted for clusters of fixed size."),
        ("dra_support", "DRA APIs are disabled in 1.33 by default"),
        ("dra_support", "DRA is not yet supported."),
        ("dra_support", "Support for DRA will be added in a future release: DRA will be supported in 4.3."),
        ("gang_scheduling", "Not yet implemented."),
        ("gang_scheduling", "Harbour does not support gang scheduling."),
        ("gang_scheduling", "We don't currently support this feature."),
        ("workload_sandboxing", "We do not provide a sandbox at this time."),
        ("ai_inference", "Currently no support for the Gateway API."),
        ("accelerator_metrics", "N/A"),
    ],
)
def test_notes_that_deny_the_claim_are_seen(id_: str, notes: str) -> None:
    assert contradiction(id_, notes, "Harbour")


@pytest.mark.parametrize(
    ("id_", "notes"),
    [
        (
            "cluster_autoscaling",
            "Harbour does not bundle an autoscaler by default, but autoscaling is supported.",
        ),
        ("cluster_autoscaling", "If the cloud is not available, the autoscaler waits."),
        ("gpu_sharing", "Shown on a T4 (MIG is not supported on T4 hardware; time-slicing is)."),
        (
            "secure_accelerator_access",
            "Verified that a pod without a request cannot access devices (none present).",
        ),
        ("secure_accelerator_access", "Harbour does not support sharing a node between tenants."),
        (
            "driver_runtime_management",
            "Tests are excluded because this platform does not support GPU slicing.",
        ),
        ("accelerator_metrics", "GPU metrics will be available in Prometheus after installing the exporter."),
        ("ai_service_metrics", "No host sync is required. Metrics are scraped."),
        ("gang_scheduling", "Harbour does not bundle Kueue; it installs from its chart."),
        ("dra_support", "DRA APIs are enabled by default."),
        ("pod_autoscaling", "HPA does not require extra components."),
        ("gang_scheduling", "Gang scheduling is not supported on Windows nodes."),
        ("gang_scheduling", ""),
    ],
)
def test_notes_that_deny_something_else_are_left_alone(id_: str, notes: str) -> None:
    assert contradiction(id_, notes, "Harbour") == ""


@pytest.mark.parametrize(
    ("notes", "expected"),
    [
        ("We do not support it.", True),
        ("Not supported", True),
        ("Not applicable for Harbour at this time.", True),
        ("Not applicable: bare metal has no node groups.", False),
        ("We run on bare metal without node groups, so there is nothing to scale.", False),
    ],
)
def test_mere_refusal_is_told_from_a_reason(notes: str, expected: bool) -> None:
    assert is_mere_refusal(notes) is expected

"""Pods that do not start: whose doing that is."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.devices import is_open
from tests.conformance.checks import trial

Json = dict[str, Any]


def _gate(pod: Json) -> None:
    """Hold a pod back as a queue does that manages every pod of the cluster."""
    pod["spec"]["schedulingGates"] = [{"name": "kueue.x-k8s.io/admission"}]


@pytest.mark.cluster
@pytest.mark.parametrize(
    "check_id", ["driver_runtime_management", "ai_service_metrics", "pod_autoscaling", "gpu_sharing"]
)
def test_pod_that_a_queue_holds_back_is_unknown(check_id: str) -> None:
    with trial.hurried("conformant-1.36") as cluster:
        cluster.call(lambda world: world.api.admission.append(_gate))
        result = trial.observe(cluster, check_id)

    assert (result.status.value, result.reason) == ("unknown", "pod_gated")
    assert "kueue.x-k8s.io/admission" in result.message


@pytest.mark.parametrize(
    ("spec", "is_free"),
    [
        ({}, True),
        ({"unschedulable": True}, False),
        ({"taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]}, True),
        ({"taints": [{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]}, False),
        ({"taints": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]}, False),
        ({"taints": [{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]}, False),
        ({"taints": [{"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}]}, False),
        ({"taints": [{"key": "node.kubernetes.io/memory-pressure", "effect": "PreferNoSchedule"}]}, True),
    ],
)
def test_node_is_open_unless_it_is_in_trouble_or_going(spec: Json, is_free: bool) -> None:
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}

    assert is_open({"metadata": {"name": "a"}, "spec": spec, "status": ready}) is is_free

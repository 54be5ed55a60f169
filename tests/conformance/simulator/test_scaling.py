"""Nodes and pods that come and go: the simulated autoscalers, the metrics adapter, claimed interfaces."""

from __future__ import annotations

from typing import Any

import pytest

from conformance import probes
from conformance.simulator.controllers.hpa import _ratio
from conformance.simulator.scraping import samples

from .conftest import claim_template, condition_of, place, pod, until

METRICS = "/apis/custom.metrics.k8s.io"
POOL = {"karpenter.sh/nodepool": "accelerators"}


def gauge(**labels: str) -> dict[str, Any]:
    container = {
        "name": "gauge",
        "image": probes.IMAGE,
        "command": probes.command("gauge"),
        "env": [{"name": "PROBE_METRIC", "value": "depth"}],
    }
    annotations = {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}
    template = {
        "metadata": {"labels": labels, "annotations": annotations},
        "spec": {"containers": [container]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "gauge"},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }


def autoscaler(target: str = "20", **spec: Any) -> dict[str, Any]:
    metric = {"metric": {"name": "depth"}, "target": {"type": "AverageValue", "averageValue": target}}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "gauge"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "gauge"},
            "maxReplicas": 3,
            "metrics": [{"type": "Pods", "pods": metric}],
            **spec,
        },
    }


def hpa(cluster, namespace):
    return cluster.store.get("horizontalpodautoscalers.autoscaling", namespace, "gauge") or {}


def replicas(cluster, namespace) -> int:
    return cluster.store.get("deployments.apps", namespace, "gauge")["spec"]["replicas"]


def test_metric_appears_with_the_pod_that_exposes_it(cluster, admin, namespace):
    path = f"{METRICS}/v1beta2/namespaces/{namespace}/pods/*/depth"
    status, answer = admin.call("GET", path)
    assert (status, answer["reason"]) == (404, "NotFound")
    assert answer["message"] == "the server could not find the metric depth for pods"

    cluster.store.create(place(gauge(app="gauge"), namespace))
    until(lambda: admin.call("GET", path)[0] == 200)

    status, answer = admin.call("GET", f"{path}?labelSelector=app%3Dgauge")
    [item] = answer["items"]
    assert (answer["kind"], answer["apiVersion"]) == ("MetricValueList", "custom.metrics.k8s.io/v1beta2")
    assert (item["value"], item["metric"]["name"]) == ("0", "depth")
    assert item["describedObject"]["kind"] == "Pod"
    older = admin.call("GET", path.replace("v1beta2", "v1beta1"))[1]["items"][0]
    assert older["metricName"] == "depth"
    assert admin.call("GET", f"{path}?labelSelector=app%3Dother")[0] == 404
    assert admin.call("DELETE", path)[0] == 405


def test_metrics_are_discovered_and_need_a_right_of_their_own(cluster, admin, verifier, namespace):
    groups = {entry["name"]: entry for entry in admin.call("GET", "/apis")[1]["groups"]}
    assert groups["custom.metrics.k8s.io"]["preferredVersion"]["version"] == "v1beta2"
    assert admin.call("GET", f"{METRICS}/v1beta1")[1]["groupVersion"] == "custom.metrics.k8s.io/v1beta1"
    service = admin.call("GET", "/apis/apiregistration.k8s.io/v1/apiservices/v1beta2.custom.metrics.k8s.io")[
        1
    ]
    assert condition_of(service, "Available")["status"] == "True"

    path = f"{METRICS}/v1beta2/namespaces/{namespace}/pods/*"
    assert verifier.call("GET", f"{path}/certportal_probe_load")[0] == 404
    assert verifier.call("GET", f"{path}/depth")[0] == 403


def test_pods_follow_the_metric_up_and_slowly_down(cluster, namespace):
    cluster.store.create(place(gauge(app="gauge"), namespace))
    cluster.store.create(place(autoscaler(), namespace))
    until(lambda: (condition_of(hpa(cluster, namespace), "ScalingActive") or {}).get("status") == "True")
    assert replicas(cluster, namespace) == 1

    address = until(
        lambda: next(
            (
                entry["status"].get("podIP")
                for entry in cluster.store.list("pods", namespace)
                if condition_of(entry, "Ready")["status"] == "True"
            ),
            None,
        )
    )
    load = pod("load", "load", hold=3000)
    load["spec"]["containers"][0]["env"].append({"name": "PROBE_URL", "value": f"http://{address}:8080/work"})
    cluster.store.create(place(load, namespace))
    until(lambda: replicas(cluster, namespace) == 3)
    status = hpa(cluster, namespace)["status"]
    assert condition_of({"status": status}, "ScalingLimited")["reason"] == "TooManyReplicas"

    cluster.store.delete("pods", namespace, "load")
    # Five minutes have to pass before it believes the metric: six seconds here.
    until(
        lambda: (
            hpa(cluster, namespace)["status"]["currentMetrics"][0]["pods"]["current"]["averageValue"] == "0"
        )
    )
    assert replicas(cluster, namespace) == 3
    until(lambda: replicas(cluster, namespace) == 1, seconds=20)


def test_autoscaler_without_its_metric_is_not_active(cluster, namespace):
    cluster.store.create(place(autoscaler(), namespace))
    until(lambda: (condition_of(hpa(cluster, namespace), "AbleToScale") or {}).get("status") == "False")

    silent = gauge(app="gauge")
    del silent["spec"]["template"]["metadata"]["annotations"]
    cluster.store.create(place(silent, namespace))
    entry = until(lambda: condition_of(hpa(cluster, namespace), "ScalingActive"))
    assert (entry["status"], entry["reason"]) == ("False", "FailedGetPodsMetric")


@pytest.mark.parametrize(
    ("values", "pods", "ratio"),
    [
        ({"a": 100.0}, 1, 5),
        ({"a": 100.0}, 2, 2.5),
        ({"a": 0.0}, 2, 0.5),
        ({"a": 30.0}, 3, 1),
        ({"a": 20.0, "b": 20.0}, 2, 1),
    ],
)
def test_pods_that_tell_nothing_hold_back_a_change(values, pods, ratio):
    assert _ratio(values, [{}] * pods, 20) == ratio


def test_samples_are_read_and_the_rest_is_left():
    text = '# HELP a b\n# TYPE a gauge\na{x="1 2"} 3\nb 4.5 1700000000\nc NaN\nnot a sample at all\nd x\n'

    found = samples(text)

    assert (found["a"], found["b"]) == (3, 4.5)
    assert set(found) == {"a", "b", "c"}


def test_node_is_added_for_a_pod_that_selects_the_pool_and_goes_with_it(cluster, admin, namespace):
    cluster.store.create(place(claim_template(), namespace))
    for index in range(5):
        cluster.store.create(place(pod(f"p{index}", hold=3000, device="claim", nodeSelector=POOL), namespace))
    names = {entry["metadata"]["name"] for entry in cluster.store.list("nodes")}

    [name] = until(
        lambda: sorted({entry["metadata"]["name"] for entry in cluster.store.list("nodes")} - names)
    )
    until(
        lambda: all(entry["status"]["phase"] == "Running" for entry in cluster.store.list("pods", namespace))
    )
    [tenant] = [
        entry["metadata"]["name"]
        for entry in cluster.store.list("pods", namespace)
        if entry["spec"]["nodeName"] == name
    ]
    slices = cluster.store.list("resourceslices.resource.k8s.io")
    assert name in {entry["spec"].get("nodeName") for entry in slices}
    assert any(
        entry["spec"].get("nodeName") == name for entry in cluster.store.list("pods", "nvidia-dra-driver")
    )
    assert cluster.store.get("leases.coordination.k8s.io", "kube-node-lease", name)

    cluster.store.delete("pods", namespace, tenant)
    until(lambda: cluster.store.get("nodes", "", name) is None)
    until(lambda: cluster.store.get("leases.coordination.k8s.io", "kube-node-lease", name) is None)
    until(
        lambda: (
            name
            not in {
                entry["spec"].get("nodeName")
                for entry in cluster.store.list("resourceslices.resource.k8s.io")
            }
        )
    )
    until(
        lambda: (
            not any(
                entry["spec"].get("nodeName") == name
                for entry in cluster.store.list("pods", "nvidia-dra-driver")
            )
        )
    )


def test_pod_that_does_not_select_the_pool_moves_nothing(cluster, namespace):
    before = len(cluster.store.list("nodes"))
    cluster.store.create(place(claim_template(), namespace))
    for index in range(6):
        cluster.store.create(place(pod(f"p{index}", hold=3000, device="claim"), namespace))

    waiting = until(
        lambda: [
            entry
            for entry in cluster.store.list("pods", namespace)
            if (condition_of(entry, "PodScheduled") or {}).get("reason") == "Unschedulable"
        ]
    )

    assert "cannot allocate all claims" in condition_of(waiting[0], "PodScheduled")["message"]
    assert len(cluster.store.list("nodes")) == before


def test_claim_tells_the_interface_its_pod_got(cluster, namespace):
    template = claim_template()
    template["spec"]["spec"]["devices"]["requests"][0]["exactly"]["deviceClassName"] = "dranet"
    cluster.store.create(place(template, namespace))
    cluster.store.create(place(pod("fast", hold=3000, device="claim"), namespace))

    [claim] = until(
        lambda: [
            entry
            for entry in cluster.store.list("resourceclaims.resource.k8s.io", namespace)
            if (entry.get("status") or {}).get("devices")
        ]
    )

    [device] = claim["status"]["devices"]
    assert device["driver"] == "dra.net"
    assert device["networkData"]["interfaceName"].startswith("gpu")
    assert device["networkData"]["ips"][0].startswith("10.64.")
    assert device["conditions"][0]["type"] == "Ready"

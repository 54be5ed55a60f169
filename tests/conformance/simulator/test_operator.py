"""The AI operator: its webhook, its reconciliation, its defects."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.simulator import SimulatedCluster, start

from .conftest import SPEED, Talker, until

PATH = "/apis/ray.io/v1/namespaces/default/rayclusters"
KEY = "rayclusters.ray.io"


def template() -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "ray", "image": "rayproject/ray:2.46.0"}]}}


def group(name: str, replicas: int = 1, **more: Any) -> dict[str, Any]:
    limits = {"minReplicas": 0, "maxReplicas": 5}
    return {
        "groupName": name,
        "replicas": replicas,
        "rayStartParams": {},
        "template": template(),
        **limits,
        **more,
    }


def ray_cluster(name: str, *groups: dict[str, Any]) -> dict[str, Any]:
    spec = {"headGroupSpec": {"rayStartParams": {}, "template": template()}, "workerGroupSpecs": list(groups)}
    return {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": name}, "spec": spec}


def children(cluster: SimulatedCluster, name: str) -> list[str]:
    owner = cluster.store.get(KEY, "default", name)["metadata"]["uid"]
    found = [*cluster.store.list("pods", "default"), *cluster.store.list("services", "default")]
    return sorted(
        obj["metadata"]["name"]
        for obj in found
        if any(ref["uid"] == owner for ref in obj["metadata"].get("ownerReferences", ()))
    )


def test_valid_cluster_is_reconciled_with_owned_children(admin, cluster):
    code, _ = admin.call("POST", PATH, ray_cluster("good", group("small", 2)))
    assert code == 201
    until(lambda: (cluster.store.get(KEY, "default", "good").get("status") or {}).get("state") == "ready")
    status = cluster.store.get(KEY, "default", "good")["status"]
    assert (status["observedGeneration"], status["readyWorkerReplicas"]) == (1, 2)
    assert len(children(cluster, "good")) == 4
    merge = "application/merge-patch+json"
    admin.call("PATCH", f"{PATH}/good", {"spec": {"workerGroupSpecs": [group("small", 1)]}}, kind=merge)
    until(lambda: cluster.store.get(KEY, "default", "good")["status"]["observedGeneration"] == 2)
    until(lambda: len(children(cluster, "good")) == 3)
    admin.call("DELETE", f"{PATH}/good")
    until(
        lambda: (
            not any(p["metadata"]["name"].startswith("good-") for p in cluster.store.list("pods", "default"))
        )
    )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (ray_cluster("twice", group("a"), group("a")), "worker group names must be unique"),
        (
            ray_cluster("upside", group("a", minReplicas=3, maxReplicas=1)),
            "must not be greater than maxReplicas",
        ),
        (ray_cluster("n" * 51), "should be no more than 50 characters"),
    ],
)
def test_senseless_cluster_is_denied_by_the_webhook(admin, cluster, body, text):
    code, status = admin.call("POST", PATH, body)
    assert (code, status["reason"]) == (422, "Invalid")
    assert status["message"].startswith('admission webhook "vraycluster.kb.io" denied the request: ')
    assert text in status["message"]
    assert cluster.store.get(KEY, "default", body["metadata"]["name"]) is None


def test_cluster_against_the_schema_never_reaches_the_webhook(admin):
    body = ray_cluster("broken")
    del body["spec"]["headGroupSpec"]
    code, status = admin.call("POST", PATH, body)
    assert code == 422
    assert "webhook" not in status["message"]
    assert status["details"]["causes"][0]["field"] == "spec.headGroupSpec"


def test_dry_run_is_admitted_like_any_creation(admin, cluster):
    code, _ = admin.call("POST", f"{PATH}?dryRun=All", ray_cluster("dry", group("a"), group("a")))
    assert code == 422
    code, _ = admin.call("POST", f"{PATH}?dryRun=All", ray_cluster("dry", group("a")))
    assert code == 201
    assert cluster.store.get(KEY, "default", "dry") is None


def test_webhook_for_other_namespaces_is_not_asked(admin, cluster):
    key = "validatingwebhookconfigurations.admissionregistration.k8s.io"
    name = "kuberay-validating-webhook-configuration"
    selector = {"matchLabels": {"kubernetes.io/metadata.name": "elsewhere"}}

    def restrict(value: dict[str, Any]) -> None:
        cluster.store.edit(key, "", name, lambda obj: obj["webhooks"][0].update(namespaceSelector=value))

    restrict(selector)
    try:
        code, _ = admin.call("POST", f"{PATH}?dryRun=All", ray_cluster("x", group("a"), group("a")))
    finally:
        restrict({})
    assert code == 201


def test_unreachable_webhook_fails_closed_or_is_ignored(admin, cluster):
    key = "validatingwebhookconfigurations.admissionregistration.k8s.io"
    body = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "absent"},
        "webhooks": [
            {
                "name": "absent.example.com",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "clientConfig": {"service": {"namespace": "default", "name": "nothing", "path": "/v"}},
                "rules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "resources": ["configmaps"],
                        "operations": ["CREATE"],
                    }
                ],
            }
        ],
    }
    cluster.store.create(body)
    path = "/api/v1/namespaces/default/configmaps?dryRun=All"
    try:
        code, status = admin.call("POST", path, {"metadata": {"name": "x"}})
        cluster.store.edit(key, "", "absent", lambda obj: obj["webhooks"][0].update(failurePolicy="Ignore"))
        ignored, _ = admin.call("POST", path, {"metadata": {"name": "x"}})
    finally:
        cluster.store.delete(key, "", "absent")
    assert (code, status["reason"], ignored) == (500, "InternalError", 201)
    assert 'failed calling webhook "absent.example.com"' in status["message"]
    assert 'service "nothing" not found' in status["message"]


def with_profile(name: str, body: dict[str, Any]) -> tuple[SimulatedCluster, int, dict[str, Any]]:
    cluster = start(name, speed=SPEED)
    talker = Talker(cluster, cluster.admin_kubeconfig)
    code, answer = talker.call("POST", PATH, body)
    talker.close()
    return cluster, code, answer


def test_operator_that_is_down_admits_nothing():
    cluster, code, status = with_profile("operator-pods-down", ray_cluster("c"))
    with cluster:
        assert code == 500
        assert 'no endpoints available for service "kuberay-webhook-service"' in status["message"]
        (operator,) = cluster.store.list("pods", "kuberay-system")
        until(
            lambda: cluster.store.list("pods", "kuberay-system")[0]["status"]["containerStatuses"][0][
                "restartCount"
            ]
        )
        assert operator["metadata"]["name"].startswith("kuberay-operator-")


def test_webhook_that_accepts_anything_lets_nonsense_in():
    cluster, code, _ = with_profile("webhook-accepts-anything", ray_cluster("c", group("a"), group("a")))
    with cluster:
        assert code == 201
        events = until(lambda: cluster.store.list("events", "default"))
        assert [event["reason"] for event in events] == ["InvalidRayClusterSpec"]
        assert children(cluster, "c") == []


def test_operator_that_does_not_reconcile_leaves_the_object_alone():
    cluster, code, _ = with_profile("operator-does-not-reconcile", ray_cluster("c", group("a")))
    with cluster:
        assert code == 201
        other = cluster.store.create({**ray_cluster("d"), "metadata": {"name": "d", "namespace": "default"}})
        assert other["metadata"]["generation"] == 1
        assert children(cluster, "c") == []
        assert "status" not in cluster.store.get(KEY, "default", "c")


def test_strict_schema_refuses_before_the_webhook():
    cluster, code, status = with_profile("schema-only-validation", ray_cluster("c", group("a"), group("a")))
    with cluster:
        assert code == 422
        assert "webhook" not in status["message"]
        assert 'spec.workerGroupSpecs[1]: Duplicate value: {"groupName":"a"}' in status["message"]

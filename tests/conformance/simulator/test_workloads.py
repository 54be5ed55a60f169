"""Jobs, deployments, daemon sets, endpoints."""

from __future__ import annotations

import pytest
from kubernetes import client

from conformance.simulator.network import Request
from conformance.simulator.objects import is_deleting, is_pod_ready

from .conftest import condition_of, phase_of, place, pod, until


def template(*, hold: float = 0, restart: str = "Never", **labels: str) -> dict:
    spec = pod("x", hold=hold)["spec"]
    return {"metadata": {"labels": labels or {"app": "x"}}, "spec": {**spec, "restartPolicy": restart}}


def job(name: str, *, hold: float = 0, **spec) -> dict:
    body = {"template": template(hold=hold), **spec}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": body}


def status_of(cluster, key: str, namespace: str, name: str) -> dict:
    return cluster.store.get(key, namespace, name).get("status") or {}


def pods_of(cluster, namespace: str) -> list[dict]:
    return cluster.store.list("pods", namespace)


def test_job_completes_its_pods(admin, cluster, namespace):
    body = job("j", parallelism=2, completions=3)
    client.BatchV1Api(admin.api).create_namespaced_job(namespace, body)
    until(lambda: condition_of(cluster.store.get("jobs.batch", namespace, "j"), "Complete"))
    found = client.BatchV1Api(admin.api).read_namespaced_job("j", namespace)
    assert (found.status.succeeded, found.status.active, found.status.failed) == (3, None, None)
    assert found.status.completion_time is not None
    assert found.spec.selector.match_labels == {"batch.kubernetes.io/controller-uid": found.metadata.uid}
    made = pods_of(cluster, namespace)
    assert len(made) == 3
    assert {entry["metadata"]["labels"]["job-name"] for entry in made} == {"j"}
    until(lambda: all("finalizers" not in entry["metadata"] for entry in pods_of(cluster, namespace)))


def test_indexed_job_numbers_its_pods(cluster, namespace):
    cluster.store.create(place(job("j", parallelism=3, completions=3, completionMode="Indexed"), namespace))
    until(lambda: status_of(cluster, "jobs.batch", namespace, "j").get("completedIndexes") == "0-2")
    hostnames = {entry["spec"]["hostname"] for entry in pods_of(cluster, namespace)}
    assert hostnames == {"j-0", "j-1", "j-2"}


def test_suspended_job_has_no_pods_until_resumed_and_again_when_suspended(cluster, namespace):
    cluster.store.create(place(job("j", hold=3600, suspend=True), namespace))
    until(lambda: condition_of(cluster.store.get("jobs.batch", namespace, "j"), "Suspended"))
    assert pods_of(cluster, namespace) == []
    cluster.store.edit("jobs.batch", namespace, "j", lambda obj: obj["spec"].update(suspend=False))
    until(lambda: status_of(cluster, "jobs.batch", namespace, "j").get("ready") == 1)
    cluster.store.edit("jobs.batch", namespace, "j", lambda obj: obj["spec"].update(suspend=True))
    until(lambda: not pods_of(cluster, namespace))
    assert "failed" not in status_of(cluster, "jobs.batch", namespace, "j")


def test_job_fails_after_its_backoff_limit(cluster, namespace):
    body = job("j", backoffLimit=1)
    body["spec"]["template"]["spec"]["containers"][0]["command"] = ["/bin/sh", "-c", "false"]
    cluster.store.create(place(body, namespace))
    failed = until(lambda: condition_of(cluster.store.get("jobs.batch", namespace, "j"), "Failed"))
    assert failed["reason"] == "BackoffLimitExceeded"
    assert status_of(cluster, "jobs.batch", namespace, "j")["failed"] == 2


def test_job_keeps_its_pods_unless_told_otherwise(admin, cluster, namespace):
    batch = client.BatchV1Api(admin.api)
    for name in ("kept", "gone"):
        batch.create_namespaced_job(namespace, job(name, hold=3600))
        until(lambda name=name: status_of(cluster, "jobs.batch", namespace, name).get("ready") == 1)
    batch.delete_namespaced_job("kept", namespace)
    batch.delete_namespaced_job("gone", namespace, propagation_policy="Background")
    until(lambda: cluster.store.list("jobs.batch", namespace) == [] or None)
    until(lambda: len(pods_of(cluster, namespace)) == 1)
    (left,) = pods_of(cluster, namespace)
    assert left["metadata"]["generateName"] == "kept-"
    until(
        lambda: "finalizers" not in cluster.store.get("pods", namespace, left["metadata"]["name"])["metadata"]
    )


def test_job_with_a_restart_policy_of_always_is_invalid(admin, namespace):
    body = job("j")
    body["spec"]["template"]["spec"]["restartPolicy"] = "Always"
    code, status = admin.call("POST", f"/apis/batch/v1/namespaces/{namespace}/jobs", body)
    assert (code, status["details"]["causes"][0]["field"]) == (422, "spec.template.spec.restartPolicy")


def deployment(name: str, replicas: int, image: str = "registry.k8s.io/pause:3.10") -> dict:
    labels = {"app": name}
    spec = {"containers": [{"name": "c", "image": image, "ports": [{"name": "http", "containerPort": 8080}]}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def test_deployment_becomes_available_rolls_and_goes(admin, cluster, namespace):
    apps = client.AppsV1Api(admin.api)
    apps.create_namespaced_deployment(namespace, deployment("web", 2))
    until(lambda: status_of(cluster, "deployments.apps", namespace, "web").get("availableReplicas") == 2)
    found = apps.read_namespaced_deployment("web", namespace)
    assert found.status.observed_generation == found.metadata.generation == 1
    image = {
        "spec": {"template": {"spec": {"containers": [{"name": "c", "image": "registry.k8s.io/pause:3.9"}]}}}
    }
    apps.patch_namespaced_deployment("web", namespace, image)

    def images() -> set[str]:
        return {entry["spec"]["containers"][0]["image"] for entry in pods_of(cluster, namespace)}

    until(lambda: images() == {"registry.k8s.io/pause:3.9"} and len(pods_of(cluster, namespace)) == 2)
    assert apps.read_namespaced_deployment_scale("web", namespace).spec.replicas == 2
    apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 1}})
    until(lambda: len(pods_of(cluster, namespace)) == 1)
    apps.delete_namespaced_deployment("web", namespace)
    until(lambda: not pods_of(cluster, namespace))


@pytest.mark.parametrize(("surge", "unavailable"), [(0, 1), (1, 0), ("25%", "25%"), (0, 0)])
def test_rolling_update_keeps_to_the_room_it_has(cluster, namespace, surge, unavailable):
    body = deployment("web", 3)
    room = {"maxSurge": surge, "maxUnavailable": unavailable}
    body["spec"]["strategy"] = {"type": "RollingUpdate", "rollingUpdate": room}
    cluster.store.create(place(body, namespace))
    until(lambda: status_of(cluster, "deployments.apps", namespace, "web").get("availableReplicas") == 3)
    before = {entry["metadata"]["name"] for entry in pods_of(cluster, namespace)}
    seen: list[tuple[int, int]] = []

    def count(world) -> None:
        staying = [entry for entry in world.store.all("pods", namespace) if not is_deleting(entry)]
        seen.append((len(staying), sum(is_pod_ready(entry) for entry in staying)))

    cluster.call(lambda world: world.store.listen(lambda _: count(world)))
    cluster.store.edit(
        "deployments.apps",
        namespace,
        "web",
        lambda obj: obj["spec"]["template"]["metadata"].update(annotations={"revision": "2"}),
    )

    def names() -> set[str]:
        return {entry["metadata"]["name"] for entry in pods_of(cluster, namespace)}

    until(lambda: len(names()) == 3 and not names() & before)
    until(lambda: status_of(cluster, "deployments.apps", namespace, "web").get("availableReplicas") == 3)
    # A quarter of three is rounded up to one for what is beyond, and down to none for what is missing.
    most, fewest = (3, 2) if surge == 0 else (4, 3)
    assert (max(total for total, _ in seen), min(ready for _, ready in seen)) == (most, fewest)


def test_youngest_pod_of_a_replica_set_goes_first(cluster, namespace):
    cluster.store.create(place(deployment("web", 2), namespace))
    until(lambda: status_of(cluster, "deployments.apps", namespace, "web").get("availableReplicas") == 2)
    first = {entry["metadata"]["name"] for entry in pods_of(cluster, namespace)}
    for replicas in (3, 2):
        cluster.store.edit(
            "deployments.apps", namespace, "web", lambda obj, n=replicas: obj["spec"].update(replicas=n)
        )
        until(lambda n=replicas: len(pods_of(cluster, namespace)) == n)
        until(
            lambda n=replicas: (
                status_of(cluster, "deployments.apps", namespace, "web").get("availableReplicas") == n
            )
        )

    assert {entry["metadata"]["name"] for entry in pods_of(cluster, namespace)} == first


def test_pod_on_its_way_out_serves_on_and_is_sent_nothing_new(admin, cluster, namespace):
    body = pod("server", "serve", terminationGracePeriodSeconds=600)
    container = body["spec"]["containers"][0]
    container["env"] = [{"name": "PROBE_DRAIN", "value": "500"}]
    body["metadata"]["labels"] = {"app": "server"}
    cluster.store.create(place(body, namespace))
    spec = {"selector": {"app": "server"}, "ports": [{"port": 80, "targetPort": 8080}]}
    admin.core.create_namespaced_service(namespace, {"metadata": {"name": "server"}, "spec": spec})

    def endpoint() -> dict:
        slices = cluster.store.list("endpointslices.discovery.k8s.io", namespace)
        return next((e for s in slices for e in s["endpoints"]), {})

    until(lambda: endpoint().get("conditions", {}).get("ready"))
    admin.core.delete_namespaced_pod("server", namespace)
    until(lambda: endpoint()["conditions"]["terminating"])
    address = endpoint()["addresses"][0]
    answer = cluster.call(lambda world: world.network.request(address, 8080, Request(path="/health")))

    assert endpoint()["conditions"] == {"ready": False, "serving": True, "terminating": True}
    assert (answer.status, answer.body) == (200, b"ok")
    admin.core.delete_namespaced_pod("server", namespace, grace_period_seconds=0)


def test_selector_that_misses_the_template_is_invalid(admin, namespace):
    body = deployment("web", 1)
    body["spec"]["selector"]["matchLabels"] = {"app": "other"}
    code, status = admin.call("POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", body)
    assert code == 422
    assert "does not match template `labels`" in status["message"]


def test_service_gets_an_address_and_the_ready_pods_as_endpoints(admin, cluster, namespace):
    cluster.store.create(place(deployment("web", 2), namespace))
    made = admin.core.create_namespaced_service(
        namespace,
        {
            "metadata": {"name": "web"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]},
        },
    )
    assert made.spec.cluster_ip.startswith("10.96.")

    def ready() -> list[dict]:
        slices = cluster.store.list("endpointslices.discovery.k8s.io", namespace)
        return [e for s in slices for e in s["endpoints"] if e["conditions"]["ready"]]

    until(lambda: len(ready()) == 2)
    (entry,) = (
        client.DiscoveryV1Api(admin.api)
        .list_namespaced_endpoint_slice(namespace, label_selector="kubernetes.io/service-name=web")
        .items
    )
    assert entry.ports[0].port == 8080
    cluster.store.edit("deployments.apps", namespace, "web", lambda obj: obj["spec"].update(replicas=0))
    until(lambda: ready() == [] or None)


def test_daemon_set_runs_on_each_suitable_node(cluster, namespace):
    body = deployment("ds", 1)
    del body["spec"]["replicas"]
    cluster.store.create(place({**body, "kind": "DaemonSet"}, namespace))
    until(lambda: status_of(cluster, "daemonsets.apps", namespace, "ds").get("numberReady") == 2)
    nodes = {entry["spec"]["nodeName"] for entry in pods_of(cluster, namespace)}
    assert nodes == {"gpu-worker-0", "gpu-worker-1"}


@pytest.mark.parametrize("key", ["deployments.apps", "daemonsets.apps"])
def test_platform_runs_when_the_cluster_is_ready(cluster, key):
    for entry in cluster.store.list(key):
        status = entry["status"]
        assert status.get("availableReplicas") or status.get("numberReady")


def test_pod_of_a_replica_set_is_replaced(cluster, namespace):
    cluster.store.create(place(deployment("web", 1), namespace))
    first = until(lambda: pods_of(cluster, namespace))[0]["metadata"]["name"]
    until(lambda: phase_of(cluster, namespace, first) == "Running")
    cluster.store.delete("pods", namespace, first)
    until(lambda: [p for p in pods_of(cluster, namespace) if p["metadata"]["name"] != first])

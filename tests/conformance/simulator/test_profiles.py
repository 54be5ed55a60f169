"""The profiles and what each defect looks like from outside."""

from __future__ import annotations

import time

import pytest
from kubernetes.client.exceptions import ApiException

from conformance.simulator import SimulatedCluster, UnknownProfileError, descriptions, fleet, start
from conformance.simulator.profiles import profile

from .conftest import SPEED, Talker, claim_template, place, pod, until

NAMED = [name for name in descriptions() if not name.isupper() and ":" not in name]


@pytest.mark.parametrize("name", NAMED)
def test_every_named_profile_starts_and_knows_its_version(name):
    # At the real clock: where nodes come and go, none has come yet.
    with start(name, speed=1) as cluster:
        assert cluster.profile == profile(name)
        workers = fleet.accelerators(cluster.profile)
        assert len(cluster.store.list("nodes")) == 1 + len(workers)
        assert cluster.store.get("serviceaccounts", "certportal-verification", "certportal-verifier")


@pytest.mark.parametrize(
    "name", ["", "conformant", "conformant-1.32", "conformant-1.36@1.35", "device-leak@2", "forbidden:create"]
)
def test_other_names_are_refused(name):
    with pytest.raises(UnknownProfileError):
        start(name)


def test_defect_moves_to_another_base():
    moved = profile("device-leak@1.33")
    assert (moved.version, moved.faults) == ("1.33", frozenset({"device-leak"}))


@pytest.mark.parametrize(
    ("name", "withheld"),
    [
        ("forbidden:create:pods", ("create", "pods")),
        ("forbidden-get-pods/log", ("get", "pods/log")),
        ("forbidden:list:nodes@1.34", ("list", "nodes")),
    ],
)
def test_withheld_right_is_read_from_the_name(name, withheld):
    assert profile(name).withheld == (withheld,)


def seen(
    cluster: SimulatedCluster, *bodies: dict, containers: tuple[str, ...] = ("main",)
) -> list[list[str]]:
    """Run pods side by side and return the device lines of each container."""
    cluster.store.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "look"}})
    until(lambda: cluster.store.get("serviceaccounts", "look", "default"))
    if cluster.profile.has_dra:
        cluster.store.create(place(claim_template(), "look"))
    talker = Talker(cluster, cluster.admin_kubeconfig)
    for body in bodies:
        cluster.store.create(place(body, "look"))
    found = []
    for body in bodies:
        name = body["metadata"]["name"]
        until(lambda name=name: cluster.store.get("pods", "look", name)["status"]["phase"] == "Running")
        for container in containers:
            log = talker.core.read_namespaced_pod_log(name, "look", container=container)
            found.append([line.split()[3] for line in log.splitlines() if line.startswith("::probe device ")])
    talker.close()
    return found


def look(name: str, device: str = "claim") -> dict:
    host = {"kubernetes.io/hostname": "gpu-worker-0"}
    return pod(name, "accelerators", hold=3600, device=device, nodeSelector=host)


@pytest.mark.parametrize(("name", "device"), [("conformant-1.36", "claim"), ("conformant-1.33", "resource")])
def test_conformant_cluster_keeps_devices_apart(name, device):
    with start(name, speed=SPEED) as cluster:
        first, second, none = seen(cluster, look("a", device), look("b", device), look("c", ""))
    assert (len(first), len(second), none) == (1, 1, [])
    assert first != second


def test_leak_shows_every_device_to_a_pod_without_request():
    with start("device-leak", speed=SPEED) as cluster:
        assert seen(cluster, look("a"), look("b", "")) == [["id=c:195:0"], ["id=c:195:0", "id=c:195:1"]]


def test_sibling_leak_shows_the_device_to_the_other_container():
    body = look("a")
    ungranted = {key: value for key, value in body["spec"]["containers"][0].items() if key != "resources"}
    body["spec"]["containers"].append({**ungranted, "name": "sibling"})
    with start("sibling-container-leak", speed=SPEED) as cluster:
        assert seen(cluster, body, containers=("main", "sibling")) == [["id=c:195:0"], ["id=c:195:0"]]


def test_shared_device_is_handed_out_twice():
    with start("shared-device", speed=SPEED) as cluster:
        assert seen(cluster, look("a"), look("b")) == [["id=c:195:0"], ["id=c:195:0"]]


def test_bypass_lets_a_foreign_device_be_opened():
    body = look("a", "")
    body["spec"]["containers"][0]["env"].append({"name": "PROBE_TRY", "value": "c:195:1 c:195:9"})
    with start("device-open-bypass", speed=SPEED) as cluster:
        assert seen(cluster, body) == [[]]
        talker = Talker(cluster, cluster.admin_kubeconfig)
        log = talker.core.read_namespaced_pod_log("a", "look")
        talker.close()
    assert "::probe try id=c:195:1 result=opened" in log
    assert "::probe try id=c:195:9 result=absent" in log


@pytest.mark.parametrize(("name", "devices"), [("no-accelerators", 0), ("single-device", 1)])
def test_poor_clusters_publish_few_devices(name, devices):
    with start(name, speed=SPEED) as cluster:
        slices = cluster.store.list("resourceslices.resource.k8s.io")
        published = [entry["spec"] for entry in slices if entry["spec"]["driver"] == "gpu.nvidia.com"]
        assert sum(len(spec["devices"]) for spec in published) == devices


def test_extended_resource_is_allocatable_where_no_driver_publishes_slices():
    with start("conformant-1.33", speed=SPEED) as cluster:
        counts = [node["status"]["allocatable"].get("nvidia.com/gpu") for node in cluster.store.list("nodes")]
    assert counts == [None, "2", "2"]


def test_unreadable_logs_answer_500():
    with start("logs-unreadable", speed=SPEED) as cluster:
        with pytest.raises(ApiException) as caught:
            seen(cluster, look("a"))
        phase = cluster.store.get("pods", "look", "a")["status"]["phase"]
    assert (caught.value.status, phase) == (500, "Running")
    assert "connection refused" in caught.value.body


def test_unpullable_image_is_only_that_of_strangers():
    with start("image-unpullable", speed=SPEED) as cluster:
        cluster.store.create({**pod("p"), "metadata": {"name": "p", "namespace": "default"}})

        def reason() -> str:
            statuses = cluster.store.get("pods", "default", "p")["status"].get("containerStatuses") or [{}]
            return statuses[0].get("state", {}).get("waiting", {}).get("reason", "")

        until(lambda: reason() == "ImagePullBackOff")
        assert all(
            entry["status"]["phase"] == "Running" for entry in cluster.store.list("pods", "kuberay-system")
        )


def test_failing_api_leaves_discovery_reviews_and_namespaces_alone():
    with start("api-errors-500", speed=SPEED) as cluster:
        talker = Talker(cluster, cluster.admin_kubeconfig)
        assert talker.call("GET", "/api/v1/nodes")[0] == 500
        assert talker.call("GET", "/apis")[0] == 200
        assert talker.call("POST", "/api/v1/namespaces", {"metadata": {"name": "fine"}})[0] == 201
        assert talker.call("DELETE", "/api/v1/namespaces/fine")[0] == 200
        talker.close()


def test_errors_can_be_aimed():
    with start("errors:503:list:pods", speed=SPEED) as cluster:
        talker = Talker(cluster, cluster.admin_kubeconfig)
        assert talker.call("GET", "/api/v1/pods")[0] == 503
        assert talker.call("GET", "/api/v1/nodes")[0] == 200
        talker.close()


def test_stalled_request_is_never_answered_and_does_not_hinder_the_end():
    with start("stalls:list:nodes", speed=SPEED) as cluster:
        talker = Talker(cluster, cluster.admin_kubeconfig)
        with pytest.raises(Exception, match="timed out"):
            talker.core.list_node(_request_timeout=0.3)
        assert talker.call("GET", "/api/v1/pods")[0] == 200
        talker.close()
        began = time.monotonic()
    assert time.monotonic() - began < 5

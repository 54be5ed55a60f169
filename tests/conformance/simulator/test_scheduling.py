"""Placing pods and allocating devices."""

from __future__ import annotations

import pytest

from .conftest import claim_template, condition_of, phase_of, place, pod, until

CLAIMS = "resourceclaims.resource.k8s.io"
SLICES = "resourceslices.resource.k8s.io"
CLASSES = "deviceclasses.resource.k8s.io"


def node_of(cluster, namespace: str, name: str) -> str | None:
    return cluster.store.get("pods", namespace, name)["spec"].get("nodeName")


def unschedulable(cluster, namespace: str, name: str) -> str | None:
    entry = condition_of(cluster.store.get("pods", namespace, name), "PodScheduled")
    return entry["message"] if entry and entry["status"] == "False" else None


def test_pod_without_fitting_node_is_unschedulable(cluster, namespace):
    body = pod("p", nodeSelector={"kubernetes.io/hostname": "nowhere"})
    cluster.store.create(place(body, namespace))
    message = until(lambda: unschedulable(cluster, namespace, "p"))
    assert message.startswith("0/5 nodes are available: ")
    assert "node(s) didn't match Pod's node affinity/selector" in message
    assert "3 node(s) had untolerated taint(s)" in message
    entry = condition_of(cluster.store.get("pods", namespace, "p"), "PodScheduled")
    assert entry["reason"] == "Unschedulable"
    events = [
        event for event in cluster.store.list("events", namespace) if event["reason"] == "FailedScheduling"
    ]
    assert events[0]["message"] == message
    assert phase_of(cluster, namespace, "p") == "Pending"


def test_toleration_opens_a_tainted_node(cluster, namespace):
    key = "node-role.kubernetes.io/control-plane"
    body = pod("p", hold=60, nodeSelector={key: ""}, tolerations=[{"key": key, "operator": "Exists"}])
    cluster.store.create(place(body, namespace))
    assert until(lambda: node_of(cluster, namespace, "p")) == "control-plane-0"


def test_pod_for_an_unknown_scheduler_is_left_alone(cluster, namespace):
    cluster.store.create(place(pod("p", schedulerName="nobody"), namespace))
    cluster.store.create(place(pod("q"), namespace))
    until(lambda: phase_of(cluster, namespace, "q") == "Succeeded")
    assert "conditions" not in cluster.store.get("pods", namespace, "p")["status"]


def test_neighbours_are_kept_apart_or_brought_together(cluster, namespace):
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "x"}}}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
    for index in range(3):
        body = pod(f"apart-{index}", hold=3600, affinity={"podAntiAffinity": required})
        body["metadata"]["labels"] = {"app": "x"}
        cluster.store.create(place(body, namespace))
    names = [f"apart-{index}" for index in range(3)]
    until(lambda: sum(bool(node_of(cluster, namespace, name)) for name in names) == 2)
    left = next(name for name in names if not node_of(cluster, namespace, name))
    message = until(lambda: unschedulable(cluster, namespace, left))
    assert "2 node(s) didn't match pod anti-affinity rules" in message
    host = {"kubernetes.io/hostname": "gpu-worker-0"}
    cluster.store.create(place(pod("near", affinity={"podAffinity": required}, nodeSelector=host), namespace))
    assert until(lambda: node_of(cluster, namespace, "near")) == "gpu-worker-0"


def test_gated_pod_waits_for_its_gate(cluster, namespace):
    cluster.store.create(place(pod("p", schedulingGates=[{"name": "example.com/wait"}]), namespace))
    entry = condition_of(cluster.store.get("pods", namespace, "p"), "PodScheduled")
    assert entry["reason"] == "SchedulingGated"
    cluster.store.edit("pods", namespace, "p", lambda obj: obj["spec"].pop("schedulingGates"))
    until(lambda: phase_of(cluster, namespace, "p") == "Succeeded")


def test_claim_from_a_template_is_named_allocated_reserved_and_freed(cluster, namespace):
    cluster.store.create(place(claim_template(), namespace))
    cluster.store.create(place(pod("p", "hold", hold=3600, device="claim"), namespace))
    until(lambda: phase_of(cluster, namespace, "p") == "Running")
    found = cluster.store.get("pods", namespace, "p")
    (made,) = found["status"]["resourceClaimStatuses"]
    assert made["name"] == "gpu"
    assert made["resourceClaimName"].startswith("p-gpu-")
    claim = cluster.store.get(CLAIMS, namespace, made["resourceClaimName"])
    assert claim["metadata"]["ownerReferences"][0]["uid"] == found["metadata"]["uid"]
    assert claim["metadata"]["finalizers"] == ["resource.kubernetes.io/delete-protection"]
    (result,) = claim["status"]["allocation"]["devices"]["results"]
    assert result["pool"] == found["spec"]["nodeName"]
    assert claim["status"]["reservedFor"] == [
        {"resource": "pods", "name": "p", "uid": found["metadata"]["uid"]}
    ]
    cluster.store.delete("pods", namespace, "p")
    until(lambda: not cluster.store.list(CLAIMS, namespace))


def test_finished_pod_frees_its_device(cluster, namespace):
    cluster.store.create(place(claim_template(), namespace))
    cluster.store.create(place(pod("p", device="claim"), namespace))
    until(lambda: phase_of(cluster, namespace, "p") == "Succeeded")
    until(lambda: not cluster.store.list(CLAIMS, namespace))


def test_shared_claim_stays_while_one_pod_uses_it(cluster, namespace):
    template = claim_template()
    claim = {**template, "kind": "ResourceClaim", "spec": template["spec"]["spec"]}
    cluster.store.create(place(claim, namespace))
    for name, hold in (("short", 0), ("long", 3600)):
        body = pod(name, hold=hold)
        body["spec"]["resourceClaims"] = [{"name": "gpu", "resourceClaimName": "one"}]
        body["spec"]["containers"][0]["resources"] = {"claims": [{"name": "gpu"}]}
        cluster.store.create(place(body, namespace))
    until(lambda: phase_of(cluster, namespace, "short") == "Succeeded")

    def consumers() -> list[str]:
        status = cluster.store.get(CLAIMS, namespace, "one")["status"]
        return [entry["name"] for entry in status.get("reservedFor", [])]

    until(lambda: consumers() == ["long"])
    assert node_of(cluster, namespace, "short") == node_of(cluster, namespace, "long")
    cluster.store.delete("pods", namespace, "long")
    until(lambda: "allocation" not in cluster.store.get(CLAIMS, namespace, "one")["status"])


def test_pod_waits_when_all_devices_are_taken(cluster, namespace):
    cluster.store.create(place(claim_template(), namespace))
    for index in range(5):
        cluster.store.create(place(pod(f"p{index}", hold=3600, device="claim"), namespace))
    message = until(
        lambda: next(filter(None, (unschedulable(cluster, namespace, f"p{i}") for i in range(5))), None)
    )
    assert "cannot allocate all claims" in message
    until(lambda: sum(bool(node_of(cluster, namespace, f"p{i}")) for i in range(5)) == 4)
    waiting = next(f"p{i}" for i in range(5) if not node_of(cluster, namespace, f"p{i}"))
    freed = next(f"p{i}" for i in range(5) if node_of(cluster, namespace, f"p{i}"))
    cluster.store.delete("pods", namespace, freed)
    until(lambda: node_of(cluster, namespace, waiting))


@pytest.fixture
def special(cluster):
    """A device class of its own with slices the test shapes."""
    cluster.store.create(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "DeviceClass",
            "metadata": {"name": "special"},
            "spec": {"selectors": [{"cel": {"expression": "device.driver == 'special.example.com'"}}]},
        }
    )
    names: list[str] = []

    def offer(name: str, devices: list[dict], *, count: int = 1, generation: int = 1, **where) -> None:
        pool = {"name": "pool", "generation": generation, "resourceSliceCount": count}
        cluster.store.create(
            {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "ResourceSlice",
                "metadata": {"name": name},
                "spec": {"driver": "special.example.com", "pool": pool, "devices": devices, **where},
            }
        )
        names.append(name)

    yield offer
    for name in names:
        cluster.store.delete(SLICES, "", name)
    cluster.store.delete(CLASSES, "", "special")


def claimed(cluster, namespace: str, **request) -> None:
    exact = {"deviceClassName": "special", **request}
    claim = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": "one"},
        "spec": {"devices": {"requests": [{"name": "r", "exactly": exact}]}},
    }
    cluster.store.create(place(claim, namespace))
    body = pod("p", hold=3600)
    body["spec"]["resourceClaims"] = [{"name": "r", "resourceClaimName": "one"}]
    cluster.store.create(place(body, namespace))


def allocated(cluster, namespace: str) -> list[str] | None:
    status = cluster.store.get(CLAIMS, namespace, "one")["status"]
    if "allocation" not in status:
        return None
    return [result["device"] for result in status["allocation"]["devices"]["results"]]


HOSTS = {
    "matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["gpu-worker-1"]}]
}


@pytest.mark.parametrize(
    ("where", "nodes"),
    [
        ({"nodeName": "gpu-worker-1"}, {"gpu-worker-1"}),
        ({"nodeSelector": {"nodeSelectorTerms": [HOSTS]}}, {"gpu-worker-1"}),
        ({"allNodes": True}, {"gpu-worker-0", "gpu-worker-1"}),
        ({"perDeviceNodeSelection": True}, {"gpu-worker-1"}),
    ],
)
def test_slices_say_in_four_ways_where_their_devices_are(cluster, namespace, special, where, nodes):
    own = {"nodeName": "gpu-worker-1"} if "perDeviceNodeSelection" in where else {}
    special("s", [{"name": "d", **own}], **where)
    claimed(cluster, namespace)
    assert until(lambda: node_of(cluster, namespace, "p")) in nodes
    selector = cluster.store.get(CLAIMS, namespace, "one")["status"]["allocation"].get("nodeSelector")
    assert (selector is None) is ("allNodes" in where)


def test_incomplete_pool_offers_nothing_until_it_is_complete(cluster, namespace, special):
    special("a", [{"name": "d"}], count=2, nodeName="gpu-worker-0")
    claimed(cluster, namespace)
    until(lambda: unschedulable(cluster, namespace, "p"))
    special("b", [{"name": "e"}], count=2, nodeName="gpu-worker-0")
    until(lambda: node_of(cluster, namespace, "p"))


def test_older_generation_of_a_pool_does_not_count(cluster, namespace, special):
    special("old", [{"name": "old"}], generation=1, nodeName="gpu-worker-0")
    special("new", [{"name": "new"}], generation=2, nodeName="gpu-worker-0")
    claimed(cluster, namespace)
    assert until(lambda: allocated(cluster, namespace)) == ["new"]


def test_tainted_device_is_for_those_who_tolerate_it(cluster, namespace, special):
    taint = {"key": "example.com/broken", "value": "yes", "effect": "NoSchedule"}
    special("s", [{"name": "bad", "taints": [taint]}], nodeName="gpu-worker-0")
    claimed(cluster, namespace)
    until(lambda: unschedulable(cluster, namespace, "p"))
    cluster.store.delete("pods", namespace, "p")
    cluster.store.delete(CLAIMS, namespace, "one")
    until(lambda: cluster.store.get(CLAIMS, namespace, "one") is None)
    claimed(cluster, namespace, tolerations=[{"key": "example.com/broken", "operator": "Exists"}])
    assert until(lambda: allocated(cluster, namespace)) == ["bad"]


def test_selector_and_count_choose_among_devices(cluster, namespace, special):
    devices = [{"name": f"d{i}", "attributes": {"size": {"int": i}}} for i in range(4)]
    special("s", devices, nodeName="gpu-worker-0")
    expression = "device.attributes['special.example.com'].size >= 2"
    claimed(cluster, namespace, count=2, selectors=[{"cel": {"expression": expression}}])
    assert until(lambda: allocated(cluster, namespace)) == ["d2", "d3"]


def test_all_devices_are_given_together_or_not_at_all(cluster, namespace, special):
    special("s", [{"name": "a"}, {"name": "b"}], nodeName="gpu-worker-0")
    claimed(cluster, namespace, allocationMode="All")
    assert until(lambda: allocated(cluster, namespace)) == ["a", "b"]


def test_unknown_device_class_is_said(cluster, namespace):
    claimed(cluster, namespace, deviceClassName="nothing")
    assert "device class nothing does not exist" in until(lambda: unschedulable(cluster, namespace, "p"))


def test_pod_put_on_a_node_by_hand_gets_no_unallocated_claim(cluster, namespace):
    cluster.store.create(place(claim_template(), namespace))
    cluster.store.create(place(pod("p", device="claim", nodeName="gpu-worker-0"), namespace))
    until(
        lambda: [
            event
            for event in cluster.store.list("events", namespace)
            if event["reason"] == "FailedPrepareDynamicResources"
        ]
    )
    assert phase_of(cluster, namespace, "p") == "Pending"

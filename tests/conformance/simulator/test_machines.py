"""What the simulated nodes have: drivers, shares, virtual devices, exporters, sandboxes."""

from __future__ import annotations

import re

import pytest
from kubernetes.client.exceptions import ApiException

from conformance import markers, probes
from conformance.simulator import fleet, programs, runtimes, start
from conformance.simulator.exporters import HOME, NAME
from conformance.simulator.hardware import (
    SHARED_RESOURCE,
    Accelerator,
    DeviceShortageError,
    Hardware,
    Stack,
    View,
)
from conformance.simulator.profiles import profile
from conformance.simulator.store import Store
from conformance.simulator.world import Faults

from .conftest import SPEED, Talker, phase_of, place, pod, until

GPU = Accelerator("n", 0)
STACK = Stack("580.95.05", "580.95.05", "580.95.05", "13.0", has_tools=True)


def modelled(program: str, view: View) -> markers.Report:
    container = {"name": "c", "image": probes.IMAGE, "command": probes.command(program)}
    run = programs.run({"metadata": {"uid": "u"}, "spec": {}}, container, view)
    return markers.parse([*run.first, *run.last])


def keys_in(script: str, word: str) -> set[str]:
    """Return the keys a script prints behind a word, in lines that may be continued."""
    said = re.search(rf"::probe {word}\b(?:[^\n\\]|\\\n|\\.)*", script)
    assert said is not None
    return set(re.findall(r"\b([a-z]+)=", said[0]))


def test_driver_model_tells_what_the_script_tells():
    report = modelled("driver", View((GPU,), frozenset({GPU.id}), frozenset({GPU.id}), STACK))

    assert [marker.word for marker in report.markers] == ["begin", "device", "tool", *["version"] * 3, "end"]
    script = probes.script("driver")
    for marker in report.markers:
        assert set(marker.values) == keys_in(script, marker.word)


def test_sandbox_model_tells_what_the_script_tells():
    report = modelled("sandbox", View())

    script = probes.script("sandbox")
    assert {"begin", "kernel", "process", "mount", "interface", "address", "end"} == {
        marker.word for marker in report.markers
    }
    for marker in report.markers:
        assert set(marker.values) == keys_in(script, marker.word)


# Devices ------------------------------------------------------------------------------------------


def asking(name: str, resource: str, count: int = 1) -> dict:
    limits = {"limits": {resource: str(count)}}
    return {
        "metadata": {"uid": name, "namespace": "x"},
        "spec": {"containers": [{"name": "c", "resources": limits}]},
    }


def test_shares_are_spread_before_any_device_is_handed_out_twice():
    devices = [Accelerator("n", minor, resource=SHARED_RESOURCE, replicas=2) for minor in range(2)]
    hardware = Hardware({"n": devices}, Store(), Faults())
    pods = [asking(name, SHARED_RESOURCE) for name in "abcd"]

    for body in pods:
        body["spec"]["nodeName"] = "n"
        hardware.hold(body, "n")

    seen = [hardware.view(body, "c").visible[0].minor for body in pods]
    assert seen == [0, 1, 0, 1]
    with pytest.raises(DeviceShortageError, match="requested: 1, used: 4, capacity: 4"):
        hardware.hold(asking("e", SHARED_RESOURCE), "n")


def test_released_share_can_be_had_again():
    hardware = Hardware({"n": [Accelerator("n", 0, resource=SHARED_RESOURCE)]}, Store(), Faults())
    hardware.hold(asking("a", SHARED_RESOURCE), "n")
    hardware.release("a")

    hardware.hold(asking("b", SHARED_RESOURCE), "n")


def test_nodes_that_are_added_have_devices_like_the_others():
    hardware = Hardware({"n": [Accelerator("n", 0, resource="nvidia.com/gpu")]}, Store(), Faults())

    hardware.add("m", 2)

    assert [(device.node, device.minor, device.resource) for device in hardware.of("m")] == [
        ("m", 0, "nvidia.com/gpu"),
        ("m", 1, "nvidia.com/gpu"),
    ]


@pytest.mark.parametrize("version", ["1.33", "1.34", "1.35", "1.36", "1.37"])
def test_uuids_and_names_of_devices_are_unique(version):
    devices = [
        device for node in fleet.accelerators(profile(f"conformant-{version}")).values() for device in node
    ]

    assert len({device.uuid for device in devices}) == len(devices)
    assert len({(device.node, name) for device in devices for name in device.names}) >= len(devices)


def test_older_platforms_hand_out_whole_devices_only():
    for version in ("1.33", "1.34"):
        devices = fleet.accelerators(profile(f"conformant-{version}"))
        assert all(device.is_whole for node in devices.values() for device in node)


def test_partitions_name_their_parent_and_share_its_memory():
    devices = fleet.accelerators(profile("conformant-1.35"))["shared-worker-0"]

    entries = fleet.resource_slice("resource.k8s.io/v1", "shared-worker-0", devices, {})["spec"]["devices"]

    assert {entry["attributes"]["parentUUID"]["string"] for entry in entries} == {devices[0].uuid}
    assert len({entry["attributes"]["uuid"]["string"] for entry in entries}) == fleet.MIG_SHARES


# The proxy to services ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def metrics_cluster():
    with start("conformant-1.37", speed=SPEED) as running:
        yield running


def proxied(cluster, name: str, path: str = "metrics", namespace: str = HOME) -> str:
    talker = Talker(cluster, cluster.admin_kubeconfig)
    return talker.core.connect_get_namespaced_service_proxy_with_path(
        name, namespace, path, _request_timeout=10
    )


@pytest.mark.parametrize("name", [NAME, f"{NAME}:9400", f"{NAME}:gpu-metrics", f"http:{NAME}:9400"])
def test_service_is_reached_by_name_and_port(metrics_cluster, name):
    assert "DCGM_FI_DEV_GPU_UTIL{" in proxied(metrics_cluster, name)


def test_service_leads_to_one_exporter_at_a_time(metrics_cluster):
    hosts = {re.search(r'Hostname="([^"]+)"', proxied(metrics_cluster, NAME))[1] for _ in range(60)}

    assert hosts == {"gpu-worker-0", "gpu-worker-1", "shared-worker-0", "vgpu-worker-0"}


@pytest.mark.parametrize(
    ("name", "path", "status", "message"),
    [
        (f"{NAME}:9400", "nowhere", 404, "page not found"),
        (f"{NAME}:1", "metrics", 503, "no service port"),
        ("none:9400", "metrics", 404, "not found"),
    ],
)
def test_proxy_answers_as_the_api_server_does(metrics_cluster, name, path, status, message):
    with pytest.raises(ApiException) as caught:
        proxied(metrics_cluster, name, path)

    assert caught.value.status == status
    assert message in caught.value.body


def test_verifier_may_read_known_exporters_only(metrics_cluster):
    talker = Talker(metrics_cluster, metrics_cluster.kubeconfig)
    read = talker.core.connect_get_namespaced_service_proxy_with_path

    assert "DCGM" in read(f"{NAME}:9400", HOME, "metrics", _request_timeout=10)
    with pytest.raises(ApiException) as caught:
        read(f"{NAME}:gpu-metrics", HOME, "metrics", _request_timeout=10)
    assert caught.value.status == 403


# Runtime classes ------------------------------------------------------------------------------------


def test_pod_of_a_class_that_is_not_there_is_refused(cluster, namespace):
    talker = Talker(cluster, cluster.admin_kubeconfig)

    with pytest.raises(ApiException) as caught:
        talker.core.create_namespaced_pod(
            namespace, place(pod("p", runtimeClassName="none"), namespace), _request_timeout=10
        )

    assert caught.value.status == 403
    assert 'RuntimeClass \\"none\\" not found' in caught.value.body


def test_class_adds_its_overhead_and_placement_to_a_pod(cluster, namespace):
    cluster.store.create(
        {
            "apiVersion": "node.k8s.io/v1",
            "kind": "RuntimeClass",
            "metadata": {"name": "heavy"},
            "handler": runtimes.KATA,
            "overhead": {"podFixed": {"cpu": "250m"}},
            "scheduling": {
                "nodeSelector": {"kubernetes.io/hostname": "gpu-worker-1"},
                "tolerations": [{"key": "sandbox", "operator": "Exists"}],
            },
        }
    )
    cluster.store.create(place(pod("p", runtimeClassName="heavy"), namespace))
    body = until(
        lambda: (found := cluster.store.get("pods", namespace, "p"))["spec"].get("nodeName") and found
    )

    assert body["spec"]["nodeName"] == "gpu-worker-1"
    assert body["spec"]["overhead"] == {"cpu": "250m"}
    assert {"key": "sandbox", "operator": "Exists"} in body["spec"]["tolerations"]
    assert until(lambda: phase_of(cluster, namespace, "p") in {"Running", "Succeeded"})


def test_handler_no_node_has_keeps_the_pod_waiting(cluster, namespace):
    cluster.store.create(
        {
            "apiVersion": "node.k8s.io/v1",
            "kind": "RuntimeClass",
            "metadata": {"name": "strange"},
            "handler": "nobody-has-it",
        }
    )
    cluster.store.create(place(pod("p", runtimeClassName="strange"), namespace))

    def events() -> list[str]:
        return [
            entry["message"]
            for entry in cluster.store.list("events", namespace)
            if entry["reason"] == "FailedCreatePodSandBox"
        ]

    assert "nobody-has-it" in until(events)[0]
    assert phase_of(cluster, namespace, "p") == "Pending"

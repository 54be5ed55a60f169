"""Fast network interfaces: the good platforms, and those that cannot be had."""

from __future__ import annotations

import pytest

from conformance.verdicts import Status
from tests.conformance.checks import trial
from tests.conformance.engine import world

pytestmark = pytest.mark.cluster

CHECK = "high_performance_networking"


@pytest.mark.parametrize("version", ["1.36", "1.37"])
def test_conformant_platform_moves_data(version: str) -> None:
    result = trial.on(f"conformant-{version}", CHECK)

    assert (result.status, result.reason) == (Status.PASS, "data_moved")
    seen = trial.observations(result)
    assert seen["interfaces"][0]["dra.net/rdma"] is True
    assert seen["transfer"]["through_interface"] >= seen["transfer"]["bytes"]
    names = {piece.name for piece in result.evidence}
    assert {"logs/server-links.txt", "logs/client-links.txt", "objects.json"} <= names


def test_class_the_vendor_names_is_taken() -> None:
    result = trial.on("conformant-1.36", CHECK, b"network: {deviceClass: dranet}")

    assert result.status is Status.PASS


def test_class_that_selects_no_interface_is_unknown() -> None:
    result = trial.on("conformant-1.36", CHECK, b"network: {deviceClass: gpu.nvidia.com}")

    assert (result.status, result.reason) == (Status.UNKNOWN, "device_class_missing")


def test_interface_of_a_node_that_is_drained_does_not_count() -> None:
    with world.occupied("conformant-1.36") as cluster:
        cluster.store.edit("nodes", "", "gpu-worker-1", lambda node: node["spec"].update(unschedulable=True))
        result = trial.observe(cluster, CHECK)

    assert (result.status, result.reason) == (Status.UNKNOWN, "one_node")


@pytest.mark.parametrize("held", [range(4), range(2)], ids=["all", "all of one node"])
def test_interfaces_somebody_else_holds_are_unknown_and_not_a_failure(held: range) -> None:
    with world.occupied("conformant-1.36") as cluster:
        world.make_namespace(cluster, "tenant")
        for index in held:
            cluster.store.create(
                {
                    "apiVersion": "resource.k8s.io/v1",
                    "kind": "ResourceClaim",
                    "metadata": {"name": f"held-{index}", "namespace": "tenant"},
                    "spec": {
                        "devices": {"requests": [{"name": "nic", "exactly": {"deviceClassName": "dranet"}}]}
                    },
                }
            )
            result = {
                "request": "nic",
                "driver": "dra.net",
                "pool": f"gpu-worker-{index // 2}",
                "device": f"pci-0000-c{index % 2}-00-0",
            }
            status = {
                "allocation": {"devices": {"results": [result]}},
                "reservedFor": [{"apiGroup": "example.com", "resource": "things", "name": "x", "uid": "y"}],
            }
            cluster.store.edit(
                "resourceclaims.resource.k8s.io",
                "tenant",
                f"held-{index}",
                lambda claim, status=status: claim.update(status=status),
            )
        result = trial.observe(cluster, CHECK)

    assert (result.status, result.reason) == (Status.UNKNOWN, "no_free_interface")

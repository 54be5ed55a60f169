"""Shares of accelerators: every way they are offered, and those that others hold."""

from __future__ import annotations

import pytest

from conformance import checks, sharing
from conformance.checks.gpu_sharing import OCCUPANCY
from conformance.simulator import SimulatedCluster
from conformance.verdicts import Status
from tests.conformance.checks import trial
from tests.conformance.engine import world

pytestmark = pytest.mark.cluster

CHECK = "gpu_sharing"


@pytest.mark.parametrize(
    ("version", "way"),
    [
        ("1.35", "partitions, by claims"),
        ("1.36", "time slices, as nvidia.com/gpu.shared"),
        ("1.37", "one device for several claims"),
    ],
)
def test_conformant_platform_shares_one_device(version: str, way: str) -> None:
    result = trial.on(f"conformant-{version}", CHECK)

    assert (result.status, result.reason) == (Status.PASS, "shared")
    seen = trial.observations(result)
    assert seen["offers"][0]["way"] == way
    assert len(seen["devices"]) == 2
    assert len(set(seen["devices"].values())) == 1


def hold_partitions(cluster: SimulatedCluster, count: int) -> None:
    """Let somebody else have partitions of the shared device."""
    world.make_namespace(cluster, "others")
    exactly = {"deviceClassName": "mig.nvidia.com"}
    for number in range(count):
        name = f"held-{number}"
        claim = {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": name, "namespace": "others"},
            "spec": {"devices": {"requests": [{"name": "r", "exactly": exactly}]}},
        }
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "others"},
            "spec": {
                "containers": [
                    {
                        "name": "c",
                        "image": "busybox",
                        "command": ["sleep", "infinity"],
                        "resources": {"claims": [{"name": "d"}]},
                    }
                ],
                "resourceClaims": [{"name": "d", "resourceClaimName": name}],
                "tolerations": [{"operator": "Exists"}],
            },
        }
        cluster.store.create(claim)
        cluster.store.create(pod)
    world.wait_for(lambda: all(pod["spec"].get("nodeName") for pod in cluster.store.list("pods", "others")))


@pytest.mark.parametrize("held", [2, 3])
def test_shares_that_others_hold_are_no_failure(held: int) -> None:
    with world.occupied("conformant-1.35") as cluster:
        hold_partitions(cluster, held)
        result = trial.observe(cluster, CHECK)

    assert (result.status, result.reason) == (Status.UNKNOWN, "no_free_share")
    assert trial.observations(result)["shares taken"] == 3


def test_rights_to_count_holders_are_asked_for_where_they_are_needed() -> None:
    rights = [right for right in checks.load()[CHECK].info.rights if right.option == OCCUPANCY]
    assert [str(right) for right in rights] == ["list pods", "list resourceclaims.resource.k8s.io"]

    with world.occupied("sharing-exclusive") as cluster, world.withheld(cluster, rights[1]):
        result = trial.observe(cluster, CHECK)

    assert (result.status, result.reason) == (Status.ERROR, "forbidden")


@pytest.mark.parametrize(
    ("allocatable", "labels", "expected"),
    [
        ({"nvidia.com/mig-1g.10gb": "7"}, {}, ("partitions, as nvidia.com/mig-1g.10gb", 7, 7, None)),
        (
            {"nvidia.com/mig-1g.10gb.me": "2"},
            {"nvidia.com/gpu.count": "1"},
            ("partitions, as nvidia.com/mig-1g.10gb.me", 2, 2, 1),
        ),
        (
            {"nvidia.com/gpu": "8"},
            {"nvidia.com/gpu.replicas": "4", "nvidia.com/gpu.count": "2"},
            ("time slices, as nvidia.com/gpu", 8, 8, 2),
        ),
        (
            {"nvidia.com/gpu": "2"},
            {"cloud.google.com/gke-max-shared-clients-per-gpu": "2"},
            ("time slices, as nvidia.com/gpu", 2, 2, None),
        ),
        ({"nvidia.com/gpu.shared": "0"}, {"nvidia.com/gpu.replicas": "4"}, None),
        ({"nvidia.com/gpu": "8"}, {"nvidia.com/gpu.replicas": "1"}, None),
        ({"nvidia.com/gpu": "8"}, {}, None),
        ({"nvidia.com/mig-1g.10gb": "1"}, {}, None),
        ({"cpu": "32", "memory": "1Gi"}, {"nvidia.com/gpu.replicas": "many"}, None),
    ],
)
def test_resources_that_are_shares_are_told_apart(
    allocatable: dict[str, str], labels: dict[str, str], expected: tuple[object, ...] | None
) -> None:
    node = {"metadata": {"labels": labels}, "status": {"allocatable": allocatable}}

    found = list(sharing._by_resources("n", node))

    shown = [(offer.way, offer.shares, offer.allocatable, offer.physical) for offer in found]
    assert shown == ([expected] if expected else [])

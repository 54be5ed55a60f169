"""Claims, gangs, devices and operators: the good platforms, and what a vendor's settings change."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conformance import probe_settings, probes
from conformance.simulator import SimulatedCluster
from conformance.verdicts import Status
from tests.conformance.engine import world

pytestmark = pytest.mark.cluster

VERSIONS = ("1.33", "1.34", "1.35", "1.36", "1.37")
CHECKED = ("dra_support", "secure_accelerator_access", "gang_scheduling", "robust_controller")


@pytest.mark.parametrize("version", VERSIONS)
def test_conformant_platform_passes(version: str) -> None:
    with world.occupied(f"conformant-{version}") as cluster:
        report = world.run(cluster, *CHECKED)

        checked = {result.id: result for result in report.results if result.id in CHECKED}
        expected = dict.fromkeys(checked, Status.PASS)
        if version == "1.33":
            expected["dra_support"] = Status.NOT_APPLICABLE
        assert {name: result.status for name, result in checked.items()} == expected
        assert all(result.evidence for result in checked.values())
        assert report.simulated
        assert report.cleanup.complete
        assert world.leftovers(cluster) == []


@pytest.mark.parametrize(
    ("version", "backend"),
    [
        ("1.33", "Kueue"),
        ("1.34", "Volcano"),
        ("1.35", "KAI scheduler"),
        ("1.36", "in-tree PodGroup"),
        ("1.37", "in-tree PodGroup"),
    ],
)
def test_gang_scheduling_finds_the_backend(version: str, backend: str) -> None:
    with world.occupied(f"conformant-{version}") as cluster:
        result = world.verdict(world.run(cluster, "gang_scheduling"), "gang_scheduling")

    observations = json.loads(
        next(piece for piece in result.evidence if piece.name == "observations.json").content
    )
    assert observations["backend"] == backend
    assert observations["window"]["bound"] == 0
    assert observations["released"]["bound"] == observations["window"]["gang"]


def test_vendors_backend_that_is_missing_is_unknown() -> None:
    settings = probe_settings.parse(b"gang: {backend: volcano}")

    with world.occupied("conformant-1.36") as cluster:
        result = world.verdict(world.run(cluster, "gang_scheduling", settings=settings), "gang_scheduling")

    assert (result.status, result.reason) == (Status.UNKNOWN, "backend_missing")


def test_vendors_queue_that_is_missing_is_unknown() -> None:
    settings = probe_settings.parse(b"gang: {queue: nobody}")

    with world.occupied("conformant-1.34") as cluster:
        result = world.verdict(world.run(cluster, "gang_scheduling", settings=settings), "gang_scheduling")

    assert result.status is Status.UNKNOWN
    assert "nobody" in result.message


def test_vendors_operator_that_is_missing_fails() -> None:
    settings = probe_settings.parse(b"operator: {crd: models.ray.io, valid: {spec: {}}, invalid: {spec: {}}}")

    with world.occupied("conformant-1.36") as cluster:
        result = world.verdict(
            world.run(cluster, "robust_controller", settings=settings), "robust_controller"
        )

    # The vendor's own kind is not among the rights of the manifest that was applied without settings.
    assert (result.status, result.reason) == (Status.ERROR, "forbidden")


def test_vendors_device_class_that_is_missing_is_unknown() -> None:
    settings = probe_settings.parse(b"accelerators: {deviceClass: none.example.com}")

    with world.occupied("conformant-1.36") as cluster:
        result = world.verdict(
            world.run(cluster, "secure_accelerator_access", settings=settings), "secure_accelerator_access"
        )

    assert (result.status, result.reason) == (Status.UNKNOWN, "device_class_empty")


def test_old_server_is_no_excuse_where_the_requirement_is_a_must() -> None:
    with world.occupied("conformant-1.33") as cluster:
        result = world.verdict(world.run(cluster, "dra_support", version="1.34"), "dra_support")

    assert (result.status, result.reason) == (Status.FAIL, "api_missing")


def test_logs_are_kept_as_evidence() -> None:
    with world.occupied("conformant-1.36") as cluster:
        result = world.verdict(world.run(cluster, "secure_accelerator_access"), "secure_accelerator_access")

    logs = {piece.name: piece.content.decode() for piece in result.evidence if piece.name.startswith("logs/")}
    assert set(logs) == {
        "logs/alone-probe.txt",
        "logs/uninvited-probe.txt",
        "logs/second-probe.txt",
        "logs/third-probe.txt",
        "logs/pair-granted.txt",
        "logs/pair-ungranted.txt",
    }
    assert "::probe device path=/dev/nvidia" in logs["logs/alone-probe.txt"]
    assert "::probe end devices=0" in logs["logs/uninvited-probe.txt"]
    names = {piece.name for piece in result.evidence}
    assert {"objects.json", "observations.json"} <= names


def _hold_a_device(cluster: SimulatedCluster, node: str) -> None:
    """Let somebody else's pod use a device of a node."""
    world.make_namespace(cluster, "somebody")
    request = {"name": "r", "exactly": {"deviceClassName": "gpu.nvidia.com"}}
    cluster.store.create(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": "theirs", "namespace": "somebody"},
            "spec": {"devices": {"requests": [request]}},
        }
    )
    container = {
        "name": "c",
        "image": "docker.io/library/busybox:1.37",
        "command": probes.command("hold"),
        "env": [{"name": "PROBE_HOLD", "value": "100000"}],
        "resources": {"claims": [{"name": "d"}]},
    }
    cluster.store.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "theirs", "namespace": "somebody"},
            "spec": {
                "nodeSelector": {"kubernetes.io/hostname": node},
                "resourceClaims": [{"name": "d", "resourceClaimName": "theirs"}],
                "containers": [container],
            },
        }
    )
    world.wait_for(
        lambda: (cluster.store.get("pods", "somebody", "theirs") or {}).get("spec", {}).get("nodeName")
    )


def test_devices_of_others_are_left_alone() -> None:
    with world.occupied("conformant-1.36") as cluster:
        _hold_a_device(cluster, "gpu-worker-0")
        report = world.run(cluster, "gang_scheduling", "secure_accelerator_access")

        gang = world.verdict(report, "gang_scheduling")
        assert gang.reason == "all_or_nothing"
        places = json.loads(
            next(piece for piece in gang.evidence if piece.name == "observations.json").content
        )["places"]
        assert places == {"advertised": 4, "occupied": 3}
        assert world.verdict(report, "secure_accelerator_access").status is Status.PASS
        assert cluster.store.get("pods", "somebody", "theirs") is not None
        assert world.devices_in_use(cluster) == 1


def _set_quota(cluster: SimulatedCluster, amount: str, **spec: str) -> None:
    def change(queue: dict[str, Any]) -> None:
        queue["spec"].update(spec)
        for group in queue["spec"]["resourceGroups"]:
            for flavor in group["flavors"]:
                for entry in flavor["resources"]:
                    if entry["name"] == "nvidia.com/gpu":
                        entry["nominalQuota"] = amount

    name = cluster.store.list("clusterqueues.kueue.x-k8s.io")[0]["metadata"]["name"]
    cluster.store.edit("clusterqueues.kueue.x-k8s.io", "", name, change)


@pytest.mark.parametrize(
    ("amount", "spec", "status", "reason"),
    [
        ("3", {}, Status.PASS, "all_or_nothing"),
        # With more quota than devices Kueue lets a job start of which some pods find no place.
        ("9", {}, Status.FAIL, "gang_partially_bound"),
        ("1", {}, Status.UNKNOWN, "too_few_devices"),
        ("500", {}, Status.UNKNOWN, "queue_too_large"),
        ("4", {"cohort": "shared"}, Status.UNKNOWN, "queue_borrows"),
    ],
)
def test_kueue_is_judged_by_its_quota(amount: str, spec: dict[str, str], status: Status, reason: str) -> None:
    with world.occupied("conformant-1.33") as cluster:
        _set_quota(cluster, amount, **spec)
        report = world.run(cluster, "gang_scheduling")

        result = world.verdict(report, "gang_scheduling")
        assert (result.status, result.reason) == (status, reason)
        assert world.leftovers(cluster) == []

"""Inference traffic through a gateway: the good platforms, and which class is taken."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conformance.simulator import SimulatedCluster
from conformance.verdicts import Status
from tests.conformance.checks import trial
from tests.conformance.engine import world

pytestmark = pytest.mark.cluster

CHECK = "ai_inference"


@pytest.mark.parametrize("version", ["1.33", "1.34", "1.35", "1.36", "1.37"])
def test_conformant_platform_routes_by_weight_and_header(version: str) -> None:
    with world.occupied(f"conformant-{version}") as cluster:
        result = trial.observe(cluster, CHECK)

    assert (result.status, result.reason) == (Status.PASS, "routed")
    observed = trial.observations(result)
    seen = {name: observed[f"answers to traffic-{name}"] for name in ("plain", "chosen", "other")}
    assert seen["plain"]["statuses"] == {"200": 200}
    assert 8 <= seen["plain"]["servers"]["traffic-minority"] <= 36
    assert seen["chosen"]["servers"] == {"traffic-minority": 20}
    assert seen["other"]["servers"]["traffic-majority"] >= 10
    kept = {piece.name for piece in result.evidence}
    assert {"objects.json", "logs/traffic-plain-client.txt", "logs/traffic-chosen-client.txt"} <= kept


@pytest.fixture(scope="module")
def cluster() -> Iterator[SimulatedCluster]:
    with world.occupied("conformant-1.36") as running:
        yield running


def test_class_of_the_settings_that_is_missing_fails(cluster: SimulatedCluster) -> None:
    result = trial.observe(cluster, CHECK, b"inference: {gatewayClass: nobody}")

    assert (result.status, result.reason) == (Status.FAIL, "no_class")
    assert "nobody" in result.message


def another_class(name: str) -> dict:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GatewayClass",
        "metadata": {"name": name},
        "spec": {"controllerName": "inference-gateway.example/controller"},
    }


def test_of_several_classes_the_settings_choose(cluster: SimulatedCluster) -> None:
    kind = "gatewayclasses.gateway.networking.k8s.io"
    cluster.store.create(another_class("second"))
    try:
        world.wait_for(lambda: (cluster.store.get(kind, "", "second") or {}).get("status"))
        undecided = trial.observe(cluster, CHECK)
        decided = trial.observe(cluster, CHECK, b"inference: {gatewayClass: second}")
    finally:
        cluster.store.delete(kind, "", "second")

    assert (undecided.status, undecided.reason) == (Status.UNKNOWN, "gateway_class_ambiguous")
    assert decided.status is Status.PASS


def test_class_of_a_mesh_is_no_way_in(cluster: SimulatedCluster) -> None:
    kind = "gatewayclasses.gateway.networking.k8s.io"
    cluster.store.create(another_class("istio-waypoint"))
    try:
        world.wait_for(lambda: (cluster.store.get(kind, "", "istio-waypoint") or {}).get("status"))
        assert trial.observe(cluster, CHECK).status is Status.PASS
    finally:
        cluster.store.delete(kind, "", "istio-waypoint")


def test_prepared_namespace_is_enough(cluster: SimulatedCluster) -> None:
    world.make_namespace(cluster, "prepared")

    result = trial.observe(cluster, CHECK, namespace="prepared")

    assert result.status is Status.PASS
    assert cluster.store.list("services", "prepared") == []

"""Serving stacks that run prefill and decode apart: the good platforms, and what it takes to look."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conformance.simulator import SimulatedCluster
from conformance.verdicts import Status
from tests.conformance.checks import trial
from tests.conformance.engine import world

pytestmark = pytest.mark.cluster

CHECK = "disaggregated_inference"


@pytest.mark.parametrize("version", ["1.36", "1.37"])
def test_conformant_platform_serves_with_both_phases(version: str) -> None:
    with world.occupied(f"conformant-{version}") as cluster:
        result = trial.observe(cluster, CHECK)

    assert (result.status, result.reason) == (Status.PASS, "both_phases_served")
    seen = trial.observations(result)
    uids = {phase: {pod["uid"] for pod in seen[f"{phase} pods"]} for phase in ("prefill", "decode")}
    assert not uids["prefill"] & uids["decode"]
    logs = {piece.name: piece.content.decode() for piece in result.evidence if piece.name.startswith("logs/")}
    assert set(logs) == {"logs/prefill.txt", "logs/decode.txt"}
    assert all(seen["request"]["id"] in text for text in logs.values())


@pytest.mark.parametrize(
    ("profile", "right"),
    [
        ("forbidden:list:pods", "list pods"),
        ("forbidden:get:pods/log", "get pods/log"),
        ("forbidden:create:services/proxy", "create services/proxy llm-router:8000"),
    ],
)
def test_missing_right_is_named_with_the_namespace_of_the_settings(profile: str, right: str) -> None:
    with trial.hurried(profile) as cluster:
        result = trial.observe(cluster, CHECK)

    assert trial.said(result) == ("error", "forbidden")
    assert f"may not {right} in namespace llm-serving" in result.message


@pytest.fixture(scope="module")
def cluster() -> Iterator[SimulatedCluster]:
    with world.occupied("conformant-1.36") as running:
        yield running


def test_stack_nobody_names_is_not_applicable(cluster: SimulatedCluster) -> None:
    result = trial.observe(cluster, CHECK, b"")

    assert (result.status, result.reason) == (Status.NOT_APPLICABLE, "not_deployed")
    assert result.evidence


def test_nothing_is_created(cluster: SimulatedCluster) -> None:
    before = {entry["metadata"]["name"] for entry in cluster.store.list("namespaces")}
    revision = cluster.call(lambda world_: world_.store.revision)

    trial.observe(cluster, CHECK)

    assert {entry["metadata"]["name"] for entry in cluster.store.list("namespaces")} == before
    assert cluster.call(lambda world_: world_.store.revision) - revision < 50

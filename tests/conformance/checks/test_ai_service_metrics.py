"""Metrics of AI services are found and collected: the good platforms, and the vendor's settings."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conformance.simulator import SimulatedCluster
from conformance.verdicts import Status
from tests.conformance.checks import trial
from tests.conformance.engine import world

pytestmark = pytest.mark.cluster

CHECK = "ai_service_metrics"


@pytest.mark.parametrize(
    ("version", "wiring"),
    [
        ("1.33", "annotations"),
        ("1.34", "ServiceMonitor"),
        ("1.35", "ServiceMonitor"),
        ("1.36", "ServiceMonitor"),
        ("1.37", "ServiceMonitor"),
    ],
)
def test_conformant_platform_collects_what_was_counted(version: str, wiring: str) -> None:
    with world.occupied(f"conformant-{version}") as cluster:
        result = trial.observe(cluster, CHECK)

    assert (result.status, result.reason) == (Status.PASS, "collected")
    seen = trial.observations(result)
    assert seen["wiring"] == wiring
    values = {
        entry["labels"]["__name__"]: entry["value"]
        for entry in seen["series"]
        if entry["labels"].get("le", "+Inf") == "+Inf"
    }
    assert values["certportal_probe_requests_total"] == 10
    assert values["certportal_probe_request_seconds_bucket"] == 10
    assert values["certportal_probe_request_seconds_count"] == 10
    assert values["certportal_probe_level"] >= 1000


@pytest.fixture(scope="module")
def cluster() -> Iterator[SimulatedCluster]:
    with world.occupied("conformant-1.36") as running:
        yield running


def test_missing_right_to_query_the_endpoint_of_the_settings_is_named() -> None:
    with trial.hurried("forbidden:get:services/proxy@1.37") as cluster:
        result = trial.observe(cluster, CHECK)

    assert (result.status, result.reason) == (Status.ERROR, "forbidden")
    assert "get services/proxy" in result.message


@pytest.mark.parametrize("wiring", ["PodMonitor", "annotations"])
def test_wiring_of_the_settings_is_used(cluster: SimulatedCluster, wiring: str) -> None:
    result = trial.observe(cluster, CHECK, f"monitoring: {{wiring: {wiring}}}".encode())

    assert result.status is Status.PASS
    assert trial.observations(result)["wiring"] == wiring


def test_wiring_of_the_settings_that_is_missing_fails() -> None:
    settings = b"monitoring: {wiring: PodMonitor}"

    assert trial.verdict("conformant-1.33", CHECK, settings) == ("fail", "wiring_missing")


def test_monitor_without_the_labels_that_are_wanted_is_not_noticed() -> None:
    with trial.hurried("conformant-1.36") as cluster:
        result = trial.observe(cluster, CHECK, b"monitoring: {labels: {release: other}}")

    assert (result.status, result.reason) == (Status.FAIL, "not_collected")
    assert "'release': 'other'" in result.message


def test_endpoint_that_is_no_query_endpoint_is_unknown() -> None:
    # The proxy of the serving stack answers JSON too, but not to this question.
    settings = b"monitoring: {endpoint: {namespace: llm-serving, service: llm-router, port: 8000}}"

    with trial.hurried("conformant-1.36") as cluster:
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "queries", "namespace": "llm-serving"},
            "rules": [
                {
                    "apiGroups": [""],
                    "resources": ["services/proxy"],
                    "resourceNames": ["llm-router:8000"],
                    "verbs": ["get"],
                }
            ],
        }
        account = {"kind": "ServiceAccount", "name": "certportal-verifier"}
        cluster.store.create(role)
        cluster.store.create(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"name": "queries", "namespace": "llm-serving"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "queries"},
                "subjects": [{**account, "namespace": "certportal-verification"}],
            }
        )
        result = trial.observe(cluster, CHECK, settings)

    assert (result.status, result.reason) == (Status.UNKNOWN, "endpoint_not_answering")
    assert "404" in result.message

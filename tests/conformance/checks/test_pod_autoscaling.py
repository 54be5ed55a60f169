"""Pods with accelerators follow their metric: the good platforms, and the metric's own API."""

from __future__ import annotations

import pytest

from conformance.checks.pod_autoscaling import _amount
from conformance.verdicts import Status
from tests.conformance.checks import trial
from tests.conformance.engine import world

pytestmark = pytest.mark.cluster

CHECK = "pod_autoscaling"


@pytest.mark.parametrize("version", ["1.33", "1.34", "1.35", "1.36", "1.37"])
def test_conformant_platform_scales_by_the_metric(version: str) -> None:
    result = trial.on(f"conformant-{version}", CHECK, speed=100)

    assert (result.status, result.reason) == (Status.PASS, "scaled_by_metric")
    seen = trial.observations(result)
    assert seen["metric metric_not_visible"]["value"] == 0
    assert seen["metric metric_did_not_rise"]["value"] > 20
    assert len(seen["scale-up"]["ready"]) == 2
    assert seen["metric metric_did_not_fall"]["value"] == 0


def test_adapter_that_is_registered_and_not_available_is_unknown() -> None:
    def mark_down(service: dict) -> None:
        service["status"]["conditions"] = [
            {"type": "Available", "status": "False", "reason": "MissingEndpoints"}
        ]

    with world.occupied("conformant-1.36") as cluster:
        for service in cluster.store.list("apiservices.apiregistration.k8s.io"):
            cluster.store.edit(
                "apiservices.apiregistration.k8s.io", "", service["metadata"]["name"], mark_down
            )
        result = trial.observe(cluster, CHECK)

    assert (result.status, result.reason) == (Status.UNKNOWN, "no_custom_metrics")


def test_metric_of_another_name_needs_its_own_right() -> None:
    result = trial.on("conformant-1.36", CHECK, b"autoscaling: {metric: queue_depth}")

    assert (result.status, result.reason) == (Status.ERROR, "forbidden")
    assert "get pods.custom.metrics.k8s.io/queue_depth" in result.message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("100", 100),
        ("2500m", 2.5),
        ("1k", 1000),
        ("1Ki", 1024),
        ("2000000u", 2),
        ("3G", 3e9),
        ("0", 0),
        ("", None),
        ("x", None),
        (None, None),
    ],
)
def test_quantities_are_read(text: str | None, value: float | None) -> None:
    assert _amount(text) == value

"""The inference scenario: good platforms, and for each step a defect that flips it."""

from __future__ import annotations

import json

import pytest

from conformance import probe_settings
from conformance.scenarios.inference import REQUESTS
from conformance.simulator import SimulatedCluster
from conformance.verdicts import ScenarioResult, Status
from tests.conformance.engine import world
from tests.conformance.scenarios.playing import play, step

VERSIONS = ("1.33", "1.34", "1.35", "1.36", "1.37")
STEPS = ("serve", "route", "metrics", "scale_out", "rolling_update", "scale_in")


def played(cluster: SimulatedCluster, **options: object) -> ScenarioResult:
    settings = probe_settings.parse(cluster.settings.encode())
    result = play(cluster, "inference", settings=settings, **options)
    assert tuple(entry.id for entry in result.steps) == STEPS
    return result


def observed(result: ScenarioResult) -> dict[str, dict[str, object]]:
    piece = next(piece for piece in result.evidence if piece.name == "observations.json")
    return dict(json.loads(piece.content))


@pytest.mark.cluster
@pytest.mark.parametrize("version", VERSIONS)
def test_good_platform_serves_scales_and_updates(version: str) -> None:
    with world.occupied(f"conformant-{version}") as cluster:
        result = played(cluster)
        assert world.devices_in_use(cluster) == 0

    assert {entry.id: entry.status for entry in result.steps} == dict.fromkeys(STEPS, Status.PASS)
    assert (result.status, result.reason) == (Status.PASS, "all_steps_passed")
    seen = observed(result)
    servers = seen["answers to asking"]["servers"]
    assert isinstance(servers, dict)
    assert len(servers) == 2
    assert sum(servers.values()) == REQUESTS
    assert {name: [float(count)] for name, count in servers.items()} == seen["requests collected"]
    assert seen["answers to asking-other"]["servers"] == {}
    update = seen["requests during the update"]
    assert update["failed"] == 0
    assert int(str(update["sent"])) > 100
    names = {piece.name for piece in result.evidence}
    assert {"objects.json", "observations.json"} <= names


DEFECTS = [
    ("single-device", "serve", Status.UNKNOWN, "too_few_devices"),
    ("no-accelerators", "serve", Status.UNKNOWN, "no_accelerators"),
    ("image-unpullable", "serve", Status.UNKNOWN, "image_unpullable"),
    ("scaled-pod-without-device", "serve", Status.FAIL, "pod_without_device"),
    ("errors:500:create:deployments", "serve", Status.ERROR, "server_error"),
    ("gateway-api-missing", "route", Status.FAIL, "api_missing"),
    ("gateway-ignores-headers", "route", Status.FAIL, "route_not_served"),
    ("gateway-ignores-header-values", "route", Status.FAIL, "header_matched_wrongly"),
    ("gateway-answers-503", "route", Status.FAIL, "requests_failed"),
    ("gateway-unreachable", "route", Status.UNKNOWN, "no_data_path"),
    ("logs-unreadable", "route", Status.ERROR, "logs_unreadable"),
    ("monitoring-ignores-targets", "metrics", Status.FAIL, "not_collected"),
    ("monitoring-distorts-counters", "metrics", Status.FAIL, "value_differs"),
    ("monitoring-missing", "metrics", Status.UNKNOWN, "no_endpoint"),
    ("hpa-ignores-metric", "scale_out", Status.FAIL, "not_scaled_out"),
    ("hpa-scales-inactive", "scale_out", Status.FAIL, "scaling_not_active"),
    ("metrics-adapter-missing", "scale_out", Status.UNKNOWN, "no_custom_metrics"),
    ("metrics-adapter-blind", "scale_out", Status.UNKNOWN, "metric_not_visible"),
    ("metrics-adapter-stuck", "scale_out", Status.UNKNOWN, "metric_did_not_rise"),
    ("gateway-keeps-addresses", "rolling_update", Status.FAIL, "requests_failed"),
    ("rollout-ignored", "rolling_update", Status.FAIL, "not_rolled_out"),
    ("errors:500:patch:deployments", "rolling_update", Status.ERROR, "server_error"),
    ("hpa-never-scales-down", "scale_in", Status.FAIL, "not_scaled_in"),
    ("metrics-adapter-never-falls", "scale_in", Status.UNKNOWN, "metric_did_not_fall"),
]
# What can still be seen after a step that did not pass.
REACHED = {
    "metrics": {"scale_out", "rolling_update", "scale_in"},
    "scale_out": {"rolling_update"},
    "rolling_update": {"scale_in"},
}


@pytest.mark.cluster
@pytest.mark.parametrize(("profile", "name", "status", "reason"), DEFECTS)
def test_defect_flips_its_step(profile: str, name: str, status: Status, reason: str) -> None:
    with world.occupied(profile, speed=100) as cluster:
        result = played(cluster)

    found = step(result, name)
    assert (found.status, found.reason) == (status, reason)
    assert found.message.strip()
    assert (result.status, result.reason) == (status, reason)
    position = STEPS.index(name)
    assert {entry.status for entry in result.steps[:position]} <= {Status.PASS}
    reached = {entry.id for entry in result.steps[position + 1 :] if entry.reason != "not_reached"}
    assert reached == REACHED.get(name, set())


@pytest.mark.cluster
def test_second_replica_that_is_never_ready_is_noticed() -> None:
    with world.occupied("scaled-pod-never-ready") as cluster:
        result = played(cluster)

    # The first two may become Ready in the same moment; then it is the third one that never does.
    assert (result.status, result.reason) == (Status.FAIL, "replica_never_ready")


@pytest.mark.cluster
def test_update_is_seen_where_there_is_no_device_for_a_third_replica() -> None:
    template = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": "device", "namespace": "default"},
        "spec": {
            "spec": {
                "devices": {
                    "requests": [{"name": "device", "exactly": {"deviceClassName": "gpu.nvidia.com"}}]
                }
            }
        },
    }
    with world.occupied("conformant-1.34") as cluster:
        cluster.store.create(template)
        for name in ("first", "second"):
            cluster.store.create(_holder(name))
        world.wait_for(lambda: world.devices_in_use(cluster) == 2)
        result = played(cluster)

    assert (step(result, "scale_out").status, step(result, "scale_out").reason) == (
        Status.UNKNOWN,
        "no_free_device",
    )
    assert step(result, "rolling_update").status is Status.PASS
    assert step(result, "scale_in").reason == "not_reached"


def _holder(name: str) -> dict[str, object]:
    """Return a pod that keeps a device to itself."""
    container = {
        "name": "holder",
        "image": "docker.io/library/busybox:1.37",
        "command": ["sleep", "infinity"],
        "resources": {"claims": [{"name": "device"}]},
    }
    claims = [{"name": "device", "resourceClaimTemplateName": "device"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [container], "resourceClaims": claims},
    }

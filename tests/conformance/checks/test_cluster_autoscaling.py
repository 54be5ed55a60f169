"""Nodes with accelerators come and go: the good platforms, and which pool is taken."""

from __future__ import annotations

import pytest

from conformance import probe_settings
from conformance.simulator.controllers import autoscaler
from conformance.verdicts import Status
from tests.conformance.checks import trial
from tests.conformance.engine import world

pytestmark = pytest.mark.cluster

CHECK = "cluster_autoscaling"
# Enough for the simulated autoscaler, which needs about a minute each way.
QUICK = b"autoscaling: {scaleUpSeconds: 200, scaleDownSeconds: 250}"


@pytest.mark.parametrize("version", ["1.33", "1.35", "1.36", "1.37"])
def test_conformant_platform_scales_both_ways(version: str) -> None:
    result = trial.on(f"conformant-{version}", CHECK, QUICK, speed=100)

    assert (result.status, result.reason) == (Status.PASS, "scaled_both_ways")
    seen = trial.observations(result)
    assert seen["scale-up"]["uid"] not in seen["baseline"].values()
    assert seen["scale-down"] == {"sizes": [3, 2], "baseline": 2}
    kept = next(piece for piece in result.evidence if piece.name == "objects.json").content.decode()
    assert '"reason": "Unschedulable"' in kept


def test_platform_without_autoscaler_is_not_applicable() -> None:
    result = trial.on("conformant-1.34", CHECK)

    assert (result.status, result.reason) == (Status.NOT_APPLICABLE, "no_autoscaler_declared")
    assert result.evidence


def test_pool_the_vendor_names_is_taken() -> None:
    settings = QUICK.replace(b"{", b"{pool: {nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3}, ", 1)

    result = trial.on("conformant-1.34", CHECK, settings, speed=100)

    # Nobody scales that pool, and the platform says it does.
    assert (result.status, result.reason) == (Status.FAIL, "not_scaled_up")


def test_pool_nobody_has_is_unknown() -> None:
    result = trial.on("conformant-1.36", CHECK, b"autoscaling: {pool: {example.com/pool: none}}")

    assert (result.status, result.reason) == (Status.UNKNOWN, "no_usable_node")


def test_place_that_is_left_is_no_scale_up() -> None:
    """A device that appears on an old node after the pool was filled proves nothing."""
    with world.occupied("conformant-1.36") as cluster:
        recorder = world.Recorder()

        def grow(simulated) -> None:
            # A second slice of the same pool would make it incomplete; the one there is replaced.
            for entry in simulated.store.all("resourceslices.resource.k8s.io"):
                spec = entry["spec"]
                if spec["driver"] == "gpu.nvidia.com" and spec.get("nodeName") == "gpu-worker-0":
                    more = {**spec["devices"][0], "name": "gpu-9"}
                    simulated.api.edit(
                        "resourceslices.resource.k8s.io",
                        "",
                        entry["metadata"]["name"],
                        lambda obj, more=more: obj["spec"]["devices"].append(more),
                    )

        def watch(change) -> None:
            if change.key == "pods" and change.name == "trigger" and change.before is None:
                simulated = cluster._world
                cluster._loop.call_soon(grow, simulated)

        cluster.call(lambda simulated: simulated.store.listen(watch))
        report = world.run(cluster, CHECK, listener=recorder, settings=probe_settings.parse(QUICK))
        result = world.verdict(report, CHECK)

    assert (result.status, result.reason) == (Status.UNKNOWN, "place_left")


def test_simulated_pool_never_outgrows_its_limit() -> None:
    assert autoscaler.MOST_NODES * autoscaler.DEVICES_OF_NEW_NODES < 110

"""The training scenario: good platforms, and for each step a defect that flips it."""

from __future__ import annotations

import json

import pytest

from conformance.scenarios.training import numbers
from conformance.verdicts import Status
from tests.conformance.engine import world
from tests.conformance.scenarios.playing import assert_stops_at, play, step

VERSIONS = ("1.33", "1.34", "1.35", "1.36", "1.37")


@pytest.mark.cluster
@pytest.mark.parametrize("version", VERSIONS)
def test_good_platform_trains(version: str) -> None:
    with world.occupied(f"conformant-{version}") as cluster:
        result = play(cluster, "training")
        assert world.devices_in_use(cluster) == 0

    assert {entry.id: entry.status for entry in result.steps} == dict.fromkeys(
        ("start_together", "rendezvous", "exchange", "checkpoint", "recovery", "release"), Status.PASS
    )
    assert (result.status, result.reason) == (Status.PASS, "all_steps_passed")
    names = {piece.name for piece in result.evidence}
    assert {"objects.json", "observations.json"} <= names
    logs = [piece for piece in result.evidence if piece.name.startswith("logs/train-")]
    # Four workers, and the one that was killed.
    assert len(logs) == 5
    assert sum(b"::probe resumed n=4" in piece.content for piece in logs) == 1


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("profile", "name", "status", "reason"),
    [
        ("single-device", "start_together", Status.UNKNOWN, "too_few_devices"),
        ("no-accelerators", "start_together", Status.UNKNOWN, "no_accelerators"),
        ("image-unpullable", "start_together", Status.UNKNOWN, "image_unpullable"),
        ("gang-staggered", "start_together", Status.FAIL, "started_apart"),
        ("errors:500:create:jobs", "start_together", Status.ERROR, "server_error"),
        ("headless-names-missing", "rendezvous", Status.FAIL, "no_rendezvous"),
        ("logs-unreadable", "rendezvous", Status.ERROR, "logs_unreadable"),
        ("pod-network-loses-large", "exchange", Status.FAIL, "exchange_stalled"),
        ("pod-network-garbles", "exchange", Status.FAIL, "exchange_wrong"),
        ("claims-never-bound", "checkpoint", Status.FAIL, "claim_not_bound"),
        ("volumes-read-only", "checkpoint", Status.FAIL, "checkpoint_not_kept"),
        ("volumes-forget", "recovery", Status.FAIL, "not_resumed"),
        ("job-never-replaces", "recovery", Status.FAIL, "not_replaced"),
        ("finished-pods-keep-devices", "release", Status.FAIL, "devices_not_released"),
    ],
)
def test_defect_flips_its_step(profile: str, name: str, status: Status, reason: str) -> None:
    with world.occupied(profile) as cluster:
        result = play(cluster, "training")

    assert_stops_at(result, name, status, reason)
    after = result.steps[[entry.id for entry in result.steps].index(name) + 1 :]
    assert {entry.reason for entry in after} <= {"not_reached"}
    assert {entry.status for entry in after} <= {Status.UNKNOWN}


@pytest.mark.cluster
def test_checkpoints_go_to_a_volume_of_a_pod_where_none_can_be_claimed() -> None:
    with world.occupied("no-storage-class") as cluster:
        result = play(cluster, "training")

    assert result.status is Status.PASS
    observed = next(piece for piece in result.evidence if piece.name == "observations.json")
    assert json.loads(observed.content)["checkpoints"] == "volume of a pod"
    assert "store's pod" in step(result, "checkpoint").message


def test_numbers_are_those_of_the_recurrence() -> None:
    found = numbers(2, 2)

    assert found == [[1, 1 * 31 + 2 + 1, 34 * 31 + 64 + 2], [2, 2 * 31 + 1 + 1, 64 * 31 + 34 + 2]]

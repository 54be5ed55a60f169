"""What a scenario declares is what it takes: with it and nothing more it is played, and all of it is used.

Each right is asked for before anything is done, and named where it is missing.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from unittest import mock

import pytest

from conformance import checks, probe_settings, scenarios
from conformance.cluster import rbac
from conformance.rights import BASE, DEVICES, OWN_NAMESPACES, Right
from conformance.simulator import SimulatedCluster, expectations, profiles
from conformance.verdicts import Status
from tests.conformance.engine import world
from tests.conformance.scenarios.playing import play

ROLES = "clusterroles.rbac.authorization.k8s.io"
# By these the gang back ends, queues, stores, monitors and operators differ that a scenario may take.
PROFILES = (
    *(f"conformant-{version}" for version in profiles.VERSIONS),
    "no-storage-class",
    "operator-missing",
)


def narrow(cluster: SimulatedCluster, scenario_id: str) -> None:
    """Leave the verifier what its role would hold if there were this scenario alone."""
    settings = probe_settings.parse(cluster.settings.encode())
    only = tuple(info for info in scenarios.info() if info.id == scenario_id)
    with (
        mock.patch.object(checks, "info", return_value=()),
        mock.patch.object(scenarios, "info", return_value=only),
    ):
        manifest = rbac.manifest(cluster.profile.version, settings=settings)
    role = next(entry for entry in manifest if entry["kind"] == "ClusterRole")
    cluster.store.edit(ROLES, "", rbac.ACCOUNT, lambda stored: stored.update(rules=role["rules"]))


@functools.cache
def requests_of(scenario_id: str) -> Counter[str]:
    """Play a scenario with its own rights on each platform; return what it asked of the servers."""
    asked: Counter[str] = Counter()
    for profile in PROFILES:
        with world.occupied(profile) as cluster:
            narrow(cluster, scenario_id)
            settings = probe_settings.parse(cluster.settings.encode())
            result = play(cluster, scenario_id, settings=settings)
            verdict = expectations.expected(profile)[scenario_id]
            assert (profile, result.status.value) == (profile, verdict)
            assert cluster.call(lambda inside: dict(inside.refused)) == {}
            asked += cluster.requests()
    return asked


def key(right: Right) -> str:
    """Name a right as the servers count requests."""
    return f"{right.verb} {right.resource}"


@pytest.mark.cluster
@pytest.mark.parametrize("scenario_id", list(scenarios.load()))
def test_scenario_takes_its_own_rights_and_uses_all_of_them(scenario_id: str) -> None:
    common = {key(right) for right in (*BASE, *DEVICES)}
    # What has an option is asked for on one way of several only.
    always = {key(right) for right in scenarios.load()[scenario_id].info.rights if not right.option}

    assert always - common - set(requests_of(scenario_id)) == set()


# What is asked for besides on the way that a scenario takes on the cluster below; of other ways nobody asks.
TAKEN = {"training": {"podgroup"}}


def needed() -> Iterator[tuple[str, Right]]:
    for scenario_id, found in scenarios.load().items():
        ways = {"", *TAKEN.get(scenario_id, ())}
        declared = {right for right in found.info.rights if right.option in ways}
        for right in sorted({*declared, *OWN_NAMESPACES}):
            yield scenario_id, right


@pytest.fixture(scope="module")
def cluster() -> Iterator[SimulatedCluster]:
    with world.occupied("conformant-1.36") as running:
        yield running


@pytest.mark.cluster
@pytest.mark.parametrize(("scenario_id", "right"), list(needed()), ids=str)
def test_missing_right_is_named(cluster: SimulatedCluster, scenario_id: str, right: Right) -> None:
    settings = probe_settings.parse(cluster.settings.encode())
    with world.withheld(cluster, right):
        result = play(cluster, scenario_id, settings=settings)

    first = result.steps[0]
    assert (first.status, first.reason) == (Status.ERROR, "forbidden")
    assert f"may not {right}" in first.message
    assert {entry.reason for entry in result.steps[1:]} == {"not_reached"}

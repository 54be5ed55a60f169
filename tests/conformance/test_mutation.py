"""Every observation of every check is missed when it is taken out: each has a defect only it notices."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator

import pytest

from conformance import checks
from conformance.simulator import SimulatedCluster, defects, expectations
from conformance.verdicts import CheckResult
from tests.conformance import mutation
from tests.conformance.checks import trial
from tests.conformance.engine import world
from tests.conformance.mutation import DoesNotApplyError, Drop, Swap
from tests.conformance.mutation_table import OBSERVATIONS, Observation

# On a machine under load what is late for a hurried cluster is looked at once more, without hurry.
CALM = 50.0
Start = Callable[[str], contextlib.AbstractContextManager[SimulatedCluster]]
Said = tuple[str, str]


def _in_profiles() -> Iterator[tuple[Observation, ...]]:
    """Yield the observations that can be made on one cluster, one after another."""

    def place(entry: Observation) -> tuple[str, str, bytes]:
        return entry.check, entry.profile, entry.settings or b""

    for _, group in itertools.groupby(sorted(OBSERVATIONS, key=place), key=place):
        yield tuple(group)


GROUPS = list(_in_profiles())
IDS = [f"{group[0].check}-{group[0].profile}" for group in GROUPS]


@pytest.mark.cluster
@pytest.mark.xdist_group("matrix")
@pytest.mark.parametrize("group", GROUPS, ids=IDS)
def test_observation_taken_out_is_missed(group: tuple[Observation, ...]) -> None:
    if wrong := _wrong(group, trial.hurried):
        wrong = _wrong(tuple(wrong), lambda profile: world.occupied(profile, speed=CALM))
    assert {str(entry): said for entry, said in wrong.items()} == {}


def _wrong(group: tuple[Observation, ...], start: Start) -> dict[Observation, tuple[Said, Said]]:
    """Return the observations that count for nothing, with what is said of the defect without and with edits.

    Edited checks get a cluster of their own: some defects show only once.
    """
    first = group[0]
    with start(first.profile) as cluster:
        whole = _said(trial.observe(cluster, first.check, first.settings))
    with start(first.profile) as cluster:
        seen = {entry: (whole, _edited(cluster, entry)) for entry in group}
    return {
        entry: (said, without)
        for entry, (said, without) in seen.items()
        # An edited check that breaks down has proved nothing.
        if said != (entry.status, entry.expected_reason)
        or without[0] != entry.becomes
        or without[1] == "internal"
    }


def _edited(cluster: SimulatedCluster, entry: Observation) -> Said:
    """Return what the check says with the observation taken out."""
    edited = mutation.in_place_of(mutation.mutated(entry.check, entry.edits))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "load", lambda: edited)
        return _said(trial.observe(cluster, entry.check, entry.settings))


def _said(result: CheckResult) -> Said:
    return result.status.value, result.reason


# The table ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("check_id", list(checks.load()))
def test_every_site_of_a_check_is_in_the_table(check_id: str) -> None:
    shown = {entry.at for entry in OBSERVATIONS if entry.check == check_id and entry.status == "fail"}

    assert mutation.sites_of(check_id) == shown


def test_every_defect_that_makes_a_check_fail_is_in_the_table() -> None:
    failing = {
        (check_id, profile)
        for profile in defects.table()
        for check_id, status in expectations.ROWS[profile].items()
        if status == expectations.FAIL
    }

    shown = {(entry.check, entry.profile) for entry in OBSERVATIONS}
    # Where chance decides which requests are lost, it also decides what else is noticed.
    by_chance = {
        (check_id, "pod-network-flaky") for check_id in ("ai_inference", "advanced_inference_ingress")
    }
    assert failing - shown == by_chance


@pytest.mark.parametrize("entry", OBSERVATIONS, ids=str)
def test_observation_can_be_taken_out(entry: Observation) -> None:
    """Where a check has changed so that an edit finds nothing, this is quicker to tell."""
    assert mutation.mutated(entry.check, entry.edits).info == checks.load()[entry.check].info


# The harness --------------------------------------------------------------------------------------


def test_sites_are_told_apart_where_a_function_has_several() -> None:
    found = mutation.sites_of("disaggregated_inference")

    assert {site for site in found if "_refused" in site} == {
        "disaggregated_inference._refused:request_failed",
        "disaggregated_inference._refused:request_failed#2",
    }


def test_sites_of_helpers_belong_to_the_checks_that_use_them() -> None:
    used = mutation.sites_of("ai_service_metrics")

    assert "traffic.await_ready:pod_never_ran" in used
    assert "traffic.gateway_class:no_class" not in used


@pytest.mark.parametrize(
    "edit",
    [
        Drop("gang_scheduling._Stage.all_bind:gang_lost"),
        Drop("traffic.await_ready:pod_never_ran"),
        Swap("gang_scheduling._Stage.all_bind", "len(bound) > size", "True"),
        Swap("gang_scheduling._Stage.some_bind", "len(bound) >= size", "True"),
        Swap("gang_scheduling._Stage.all_bind", "name", "''"),
    ],
    ids=str,
)
def test_edit_that_finds_nothing_or_too_much_is_refused(edit: Drop | Swap) -> None:
    with pytest.raises(DoesNotApplyError):
        mutation.mutated("gang_scheduling", [edit])


def test_edited_check_leaves_the_real_one_alone() -> None:
    before = checks.load()["workload_sandboxing"]

    edited = mutation.mutated("workload_sandboxing", [Drop("starting.await_start:pod_rejected")])

    assert checks.load()["workload_sandboxing"] is before
    assert edited.info == before.info
    assert edited.function is not before.function
    assert mutation.in_place_of(edited)["workload_sandboxing"] is edited

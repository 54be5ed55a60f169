"""The printed manifest is enough, and nothing in it is too much to ask for before anything is done."""

from __future__ import annotations

import contextlib
import copy
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from conformance import checks, probe_settings
from conformance.catalogue import Level
from conformance.checks import CheckInfo
from conformance.cluster import rbac
from conformance.conclusions import Concluded
from conformance.context import RunContext
from conformance.report import Report
from conformance.rights import OWN_NAMESPACES, Right, Scope
from conformance.run import Run
from conformance.simulator import SimulatedCluster, profiles
from conformance.verdicts import Status
from tests.conformance.checks.trial import version_for
from tests.conformance.engine import world

ROLE = "clusterroles.rbac.authorization.k8s.io"
INFOS = {info.id: info for info in checks.info()}
SIDE_BY_SIDE = 3


def settings_of(cluster: SimulatedCluster) -> probe_settings.ProbeSettings:
    return probe_settings.parse(cluster.settings.encode())


def run(cluster: SimulatedCluster, *only: str) -> Report:
    return world.run(cluster, *only, settings=settings_of(cluster), budget=timedelta(seconds=200))


@dataclass
class Platforms:
    """A good cluster for each version, started when it is first needed."""

    running: dict[str, SimulatedCluster] = field(default_factory=dict)
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def of(self, version: str) -> SimulatedCluster:
        if version not in self.running:
            self.running[version] = self.stack.enter_context(world.occupied(f"conformant-{version}"))
        return self.running[version]


@pytest.fixture(scope="module")
def platforms() -> Iterator[Platforms]:
    found = Platforms()
    with found.stack:
        yield found


@dataclass(frozen=True)
class Whole:
    """What came of the run of everything on one version, and which options its checks asked rights for."""

    report: Report
    refused: dict[str, int]
    options: frozenset[tuple[str, str]]


@pytest.fixture(scope="module")
def whole_runs(platforms: Platforms) -> dict[str, Whole]:
    """Run everything on every version with exactly the rights that are printed."""
    asked: set[tuple[str, str, str]] = set()
    require = Run.require

    def noticing(self: Run, option: str = "") -> None:
        asked.add((self.context.checklist_version, self.info.id, option))
        require(self, option)

    def look(version: str) -> tuple[Report, dict[str, int]]:
        cluster = platforms.of(version)
        return run(cluster), cluster.call(lambda inside: dict(inside.refused))

    for version in profiles.VERSIONS:
        platforms.of(version)
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        patch.setattr(Run, "require", noticing)
        found = dict(zip(profiles.VERSIONS, pool.map(look, profiles.VERSIONS), strict=True))
    return {
        version: Whole(
            report,
            refused,
            frozenset((check, option) for at, check, option in asked if at == version),
        )
        for version, (report, refused) in found.items()
    }


@pytest.mark.parametrize("version", profiles.VERSIONS)
def test_printed_manifest_is_enough(whole_runs: dict[str, Whole], version: str) -> None:
    whole = whole_runs[version]

    assert whole.refused == {}
    verdicts = {result.id: (result.status, result.reason) for result in whole.report.results}
    assert not {
        check: seen for check, seen in verdicts.items() if seen[0] not in {Status.PASS, Status.NOT_APPLICABLE}
    }
    assert whole.report.cleanup.complete


# One right less


def rights() -> list[tuple[Right, tuple[str, ...]]]:
    """Return every right that is needed whichever way a check goes, with the checks that need it."""
    needing: dict[Right, list[str]] = {}
    for info in INFOS.values():
        own = [right for right in info.rights if not right.option]
        if any(right.scope is Scope.RUN for right in own):
            own += OWN_NAMESPACES
        for right in own:
            needing.setdefault(right, []).append(info.id)
    return [(right, tuple(sorted(found))) for right, found in sorted(needing.items())]


@contextlib.contextmanager
def withheld(cluster: SimulatedCluster, right: Right) -> Iterator[None]:
    """Take exactly one right away from the verifier, in its stored role."""
    before = copy.deepcopy(cluster.store.get(ROLE, "", rbac.ACCOUNT)["rules"])
    rules = [part for rule in before for part in _without(rule, right)]
    assert rules != before, f"{right} was never granted"
    cluster.store.edit(ROLE, "", rbac.ACCOUNT, lambda role: role.update(rules=rules))
    try:
        yield
    finally:
        cluster.store.edit(ROLE, "", rbac.ACCOUNT, lambda role: role.update(rules=before))


def _without(rule: dict[str, Any], right: Right) -> list[dict[str, Any]]:
    """Return a rule split so that only the one verb on the one resource, or on one name, is gone."""
    names = rule.get("resourceNames", [])
    is_concerned = (
        rule.get("apiGroups") == [right.group]
        and right.resource in rule.get("resources", ())
        and (right.name in names if right.name else not names)
    )
    if not is_concerned:
        return [rule]
    parts = [
        {**rule, "resources": [name for name in rule["resources"] if name != right.resource]},
        {
            **rule,
            "resources": [right.resource],
            "verbs": [verb for verb in rule["verbs"] if verb != right.verb],
        },
    ]
    if right.name:
        others = [name for name in names if name != right.name]
        parts[1]["resourceNames"] = [right.name]
        if others:
            parts.append({**rule, "resources": [right.resource], "resourceNames": others})
    return [part for part in parts if part["resources"] and part["verbs"]]


def _says_so(report: Report, check: str, right: Right) -> None:
    result = world.verdict(report, check)
    assert (result.status, result.reason) == (Status.ERROR, "forbidden"), result
    assert f"may not {right}" in result.message
    assert f"conformance rbac --checklist {report.checklist}" in result.message


@pytest.mark.parametrize(("right", "needing"), rights(), ids=str)
def test_check_without_one_of_its_rights_says_which(
    platforms: Platforms, right: Right, needing: tuple[str, ...]
) -> None:
    by_version: dict[str, list[str]] = {}
    for check in needing:
        by_version.setdefault(version_for(check), []).append(check)

    for version, found in by_version.items():
        cluster = platforms.of(version)
        with withheld(cluster, right):
            report = run(cluster, *found)
        for check in found:
            _says_so(report, check, right)
        assert world.leftovers(cluster) == []


def options() -> list[tuple[str, str]]:
    """Return every check with each way it can go that needs rights of its own."""
    return sorted(
        {(info.id, right.option) for info in INFOS.values() for right in info.rights if right.option}
    )


def _of_option(info: CheckInfo, option: str) -> list[Right]:
    return sorted(right for right in info.rights if right.option == option)


@pytest.mark.parametrize(("check", "option"), options())
def test_check_that_goes_one_way_says_which_of_its_rights_is_missing(
    platforms: Platforms, whole_runs: dict[str, Whole], check: str, option: str
) -> None:
    info = INFOS[check]
    usual = {right for right in info.rights if not right.option}
    taken = [version for version, whole in whole_runs.items() if (check, option) in whole.options]
    for right in _of_option(info, option):
        if whichever_way(right) in usual:
            continue
        cluster = platforms.of(taken[0] if taken else version_for(check))
        with withheld(cluster, right):
            if taken:
                _says_so(run(cluster, check), check, right)
            else:
                # No simulated platform leads the check this way; its rights are asked for all the same.
                assert f"may not {right}" in refusal_of(cluster, info, option)
        assert world.leftovers(cluster) == []


def whichever_way(right: Right) -> Right:
    return Right(right.verb, right.resource, right.group, right.scope, "", right.namespace, right.name)


def refusal_of(cluster: SimulatedCluster, info: CheckInfo, option: str) -> str:
    """Return what the engine says where a check asks for the rights of an option."""
    with world.connected(cluster) as connection:
        context = RunContext(
            connection=connection,
            run_id="rights",
            server_version=checks.minor(cluster.profile.version),
            settings=settings_of(cluster),
            image="",
            namespace=None,
            speed=world.SPEED,
            deadline=time.monotonic() + 20,
            stop=threading.Event(),
            checklist_version=cluster.profile.version,
        )
        asking = Run(context, info, Level.MUST)
        with pytest.raises(Concluded) as refused:
            asking.require(option)
    assert (refused.value.verdict.status, refused.value.verdict.reason) == (Status.ERROR, "forbidden")
    return refused.value.verdict.message

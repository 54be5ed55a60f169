"""Verdicts do not depend on what a simulated server happens to do: rougher ones change none of them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from conformance import checks, probe_settings
from conformance.cluster import errors
from conformance.cluster.patience import Patience
from conformance.report import Report
from conformance.simulator import SimulatedCluster, UnknownProfileError, expectations, manners, profiles
from conformance.verdicts import CheckResult
from tests.conformance.engine import world
from tests.conformance.simulator.conftest import Talker

BUDGET = timedelta(seconds=200)
SIDE_BY_SIDE = 4
CHECKS = {info.id for info in checks.info()}


def _failing() -> dict[str, str]:
    """Return, for each check, a defect that makes it fail and leaves the others alone."""
    found: dict[str, str] = {}
    for defect, row in expectations.ROWS.items():
        match list(row.items()):
            case [(check, expectations.FAIL)] if check in CHECKS:
                found.setdefault(check, defect)
    return dict(sorted(found.items()))


def _run(cluster: SimulatedCluster, *only: str) -> Report:
    settings = probe_settings.parse(cluster.settings.encode())
    report = world.run(cluster, *only, settings=settings, budget=BUDGET)
    assert report.cleanup.complete
    assert world.leftovers(cluster) == []
    return report


def test_whole_run_comes_to_the_same_verdicts() -> None:
    with world.occupied("rough-1.36") as cluster:
        report = _run(cluster)

    wanted = expectations.expected("rough-1.36")
    seen = {result.id: (result.status.value, result.reason) for result in report.results}
    assert {check: status for check, (status, _) in seen.items()} == {
        check: wanted[check] for check in seen
    }, seen


@pytest.fixture(scope="module")
def observed() -> dict[str, CheckResult]:
    """Look at every defect, several at a time: most of a run is waiting."""

    def look(check: str, defect: str) -> CheckResult:
        with world.occupied(f"{defect}+rough") as cluster:
            return world.verdict(_run(cluster, check), check)

    failing = _failing()
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        return dict(zip(failing, pool.map(look, failing, failing.values()), strict=True))


@pytest.mark.parametrize(("check", "defect"), list(_failing().items()))
def test_defect_is_noticed_behind_a_rough_server(
    observed: dict[str, CheckResult], check: str, defect: str
) -> None:
    assert observed[check].status.value == "fail", (defect, observed[check].message)


def test_every_check_has_a_defect_of_its_own() -> None:
    assert set(_failing()) == CHECKS


# The manners themselves


@pytest.fixture(scope="module")
def rough() -> Iterator[SimulatedCluster]:
    with world.occupied("rough-1.36") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def admin(rough: SimulatedCluster) -> Iterator[Talker]:
    user = Talker(rough, rough.admin_kubeconfig)
    yield user
    user.close()


def test_request_is_turned_away_now_and_then(rough: SimulatedCluster) -> None:
    def ask_often() -> None:
        for _ in range(60):
            # Too little patience to wait as asked.
            connection.get("/api/v1/nodes", query={"limit": 1}, patience=Patience.of(0.9))

    with world.connected(rough) as connection, pytest.raises(errors.Throttled) as refused:
        ask_often()
    assert refused.value.retry_after == 1
    assert refused.value.kind == "TooManyRequests"


def test_masters_are_never_turned_away(admin: Talker) -> None:
    assert {admin.call("GET", "/api/v1/nodes?limit=1")[0] for _ in range(60)} == {200}


def test_objects_of_the_cluster_have_managed_fields(rough: SimulatedCluster) -> None:
    pods = rough.store.list("pods")
    assert pods
    assert all(pod["metadata"]["managedFields"] for pod in pods)


def test_policy_engine_marks_what_is_created(rough: SimulatedCluster) -> None:
    world.make_namespace(rough, "marked")
    labels = rough.store.get("namespaces", "", "marked")["metadata"]["labels"]
    assert labels["policy.example.com/seen"] == "true"


def test_aggregated_api_that_is_down_breaks_only_its_own_discovery(admin: Talker) -> None:
    assert "metrics.k8s.io" in {group["name"] for group in admin.call("GET", "/apis")[1]["groups"]}
    assert admin.call("GET", "/apis/metrics.k8s.io/v1beta1")[0] == 503
    assert admin.call("GET", "/apis/metrics.k8s.io/v1beta1/nodes")[0] == 503
    assert admin.call("GET", "/apis/apps/v1")[0] == 200
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    _, document = admin.call("GET", "/apis", accept=accept)
    stale = [
        item["metadata"]["name"] for item in document["items"] if item["versions"][0]["freshness"] == "Stale"
    ]
    assert stale == ["metrics.k8s.io"]


def test_custom_resource_is_served_in_the_version_asked_for(admin: Talker) -> None:
    path = "/apis/ray.io/{}/namespaces/default/rayclusters"
    containers = [{"name": "head", "image": "rayproject/ray:2.46.0"}]
    head = {"rayStartParams": {}, "template": {"spec": {"containers": containers}}}
    body = {
        "apiVersion": "ray.io/v1alpha1",
        "kind": "RayCluster",
        "metadata": {"name": "old"},
        "spec": {"headGroupSpec": head},
    }
    assert admin.call("POST", path.format("v1alpha1"), body)[0] == 201
    for version in ("v1", "v1alpha1"):
        code, found = admin.call("GET", f"{path.format(version)}/old")
        assert (code, found["apiVersion"]) == (200, f"ray.io/{version}")
    assert admin.call("DELETE", f"{path.format('v1')}/old")[0] == 200


def _exactly(configuration: dict[str, Any]) -> None:
    for webhook in configuration["webhooks"]:
        webhook["matchPolicy"] = "Exact"


def test_webhook_for_another_version_counts_unless_it_is_exact() -> None:
    key = "validatingwebhookconfigurations.admissionregistration.k8s.io"
    with world.occupied("conformant-1.36+conversion") as cluster:
        [configuration] = cluster.store.list(key)
        assert [rule["apiVersions"] for rule in configuration["webhooks"][0]["rules"]] == [["v1alpha1"]]
        converted = world.verdict(_run(cluster, "robust_controller"), "robust_controller")
        cluster.store.edit(key, "", configuration["metadata"]["name"], _exactly)
        exact = world.verdict(_run(cluster, "robust_controller"), "robust_controller")

    assert (converted.status.value, converted.reason) == ("pass", "reconciled")
    assert (exact.status.value, exact.reason) == ("fail", "no_webhook")


def test_events_of_the_scheduler_have_no_count(rough: SimulatedCluster) -> None:
    scheduled = [event for event in rough.store.list("events") if event["reason"] == "Scheduled"]
    assert scheduled
    assert all(event["lastTimestamp"] is None and "count" not in event for event in scheduled)
    assert all(event["eventTime"] for event in scheduled)


def test_watch_from_the_past_must_list_anew(rough: SimulatedCluster, admin: Talker) -> None:
    node = rough.store.list("nodes")[0]
    old = str(int(node["metadata"]["resourceVersion"]) - 1)
    path = f"/api/v1/nodes?watch=true&resourceVersion={old}&timeoutSeconds=1"

    def expired() -> bool:
        _, event = admin.call("GET", path)
        return isinstance(event, dict) and event["type"] == "ERROR" and event["object"]["code"] == 410

    assert world.wait_for(expired, seconds=8)


def test_manners_are_chosen_one_by_one() -> None:
    assert profiles.profile("rough-1.35").manners == frozenset(manners.MANNERS)
    assert profiles.profile("conformant-1.35+throttling+events").manners == {"throttling", "events"}
    assert profiles.profile("gang-partial@1.35+rough").version == "1.35"
    assert profiles.plain("rough-1.37") == "conformant-1.37"
    for name in ("conformant-1.36+politeness", "nothing+rough", "rough-1.20"):
        with pytest.raises(UnknownProfileError):
            profiles.profile(name)

"""The rules of the engine: budgets, cancellation, resumption, cleaning up."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from conformance import checks, engine
from conformance.catalogue import Level, builtin_checklists
from conformance.checks import Check, CheckInfo
from conformance.cluster import rbac
from conformance.cluster.connection import connect
from conformance.cluster.guard import NetworkPolicy
from conformance.cluster.kubeconfig import ClusterAccess
from conformance.cluster.patience import Patience
from conformance.context import RUN_LABEL, run_label
from conformance.removal import Created, ask_removal, wait_gone
from conformance.report import Report
from conformance.resources import NAMESPACES, PODS
from conformance.rights import BASE
from conformance.run import Run
from conformance.verdicts import CheckResult, Outcome, Status, Verdict
from tests.conformance.engine import world

pytestmark = pytest.mark.cluster

NOW = datetime(2026, 1, 2, tzinfo=UTC)
# Of a good cluster whose vendor names no disaggregated serving stack.
GOOD = {
    requirement.id: Status.NOT_APPLICABLE if requirement.id == "disaggregated_inference" else Status.PASS
    for _, requirement in builtin_checklists()["1.36"].requirements()
}
POD = {"spec": {"containers": [{"name": "c", "image": "docker.io/library/busybox:1.37"}]}}


def substitute(
    monkeypatch: pytest.MonkeyPatch, *functions: Callable[[Run], Verdict], exclusive: bool = False
) -> None:
    """Let these functions stand for the first requirements of checklist 1.36, and nothing for the rest."""
    ids = ["gang_scheduling", "robust_controller", "secure_accelerator_access"]
    available = {
        check_id: Check(
            CheckInfo(check_id, "t", None, "o", "1.33", None, 60, BASE, exclusive=exclusive), function
        )
        for check_id, function in zip(ids, functions, strict=False)
    }
    monkeypatch.setattr(checks, "load", lambda: available)


def statuses(report: Report) -> dict[str, Status]:
    return {result.id: result.status for result in report.results}


def passing(run: Run) -> Verdict:
    run.evidence.observe("seen", 1)
    return Verdict(Status.PASS, "seen", "Seen.")


def test_report_has_every_requirement_of_the_checklist(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {check_id: check for check_id, check in checks.load().items() if check_id != "ai_inference"}
    monkeypatch.setattr(checks, "load", lambda: known)
    with world.occupied("conformant-1.36") as cluster:
        report = world.run(cluster, "robust_controller")

    checklist = builtin_checklists()["1.36"]
    assert [result.id for result in report.results] == [entry.id for _, entry in checklist.requirements()]
    assert [result.level for result in report.results] == [
        entry.level for _, entry in checklist.requirements()
    ]
    reasons = {result.id: (result.status, result.reason) for result in report.results}
    assert reasons["robust_controller"] == (Status.PASS, "reconciled")
    assert reasons["gang_scheduling"] == (Status.UNKNOWN, "not_selected")
    assert reasons["ai_inference"] == (Status.UNKNOWN, "no_check")
    assert report.outcome is Outcome.INCOMPLETE
    assert report.checklist_digest == checklist.digest
    assert report.cluster.version == "v1.36.2"
    assert report.cluster.nodes == 5
    assert report.cluster.uid


def test_listener_hears_everything_from_the_calling_thread() -> None:
    recorder = world.Recorder()

    with world.occupied("conformant-1.35") as cluster:
        world.run(cluster, listener=recorder)

    ids = {entry.id for _, entry in builtin_checklists()["1.35"].requirements()}
    assert set(recorder.started_ids) == ids
    assert len(recorder.started_ids) == len(ids)
    assert {result.id for result in recorder.finished_results} == ids
    assert recorder.threads == {threading.get_ident()}
    assert [cleanup.complete for cleanup in recorder.cleanups] == [True]


def test_exclusive_checks_never_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    running: list[int] = []

    def alone(run: Run) -> Verdict:
        running.append(1)
        assert len(running) == 1
        run.pause(10)
        running.pop()
        return passing(run)

    substitute(monkeypatch, alone, alone, alone, exclusive=True)
    with world.occupied("conformant-1.36") as cluster:
        report = world.run(cluster)

    assert [world.verdict(report, name).status for name in checks.load()] == [Status.PASS] * 3


def test_other_checks_run_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(3, timeout=10)

    def meeting(run: Run) -> Verdict:
        together.wait()
        return passing(run)

    substitute(monkeypatch, meeting, meeting, meeting)
    with world.occupied("conformant-1.36") as cluster:
        report = world.run(cluster)

    assert [world.verdict(report, name).status for name in checks.load()] == [Status.PASS] * 3


def test_completed_results_are_taken_over() -> None:
    earlier = CheckResult("gang_scheduling", Level.SHOULD, Status.FAIL, "earlier", "m", NOW, NOW, 1.0)
    recorder = world.Recorder()

    with world.occupied("conformant-1.36") as cluster:
        report = world.run(cluster, listener=recorder, completed={"gang_scheduling": earlier})

    found = world.verdict(report, "gang_scheduling")
    assert found == dataclasses.replace(earlier, level=Level.MUST)
    assert "gang_scheduling" not in recorder.started_ids
    assert report.outcome is Outcome.NON_CONFORMANT


def test_what_a_dead_predecessor_left_is_removed_first() -> None:
    with world.occupied("conformant-1.36") as cluster:
        for name, run_id in (("certportal-dead", "run-7"), ("certportal-alive", "run-8")):
            labels = {RUN_LABEL: run_label(run_id)}
            world.make_namespace(cluster, name, labels)
            cluster.store.create(
                {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {"name": "p", "namespace": name, "labels": labels},
                    **POD,
                }
            )

        report = world.run(cluster, "robust_controller", run_id="run-7")

        assert report.cleanup.complete
        assert cluster.store.get("namespaces", "", "certportal-dead") is None
        assert cluster.store.get("namespaces", "", "certportal-alive") is not None
        with world.connected(cluster) as connection:
            assert engine.sweep(connection, None).complete
        assert cluster.store.get("namespaces", "", "certportal-alive") is None
        assert world.leftovers(cluster) == []


def test_cancellation_is_prompt_and_leaves_the_cluster_clean() -> None:
    stop = threading.Event()
    recorder = world.Recorder(on_start=lambda _: threading.Timer(0.4, stop.set).start())

    # At its own speed the gang check would watch for a minute.
    with world.occupied("conformant-1.36", speed=5) as cluster:
        started = time.monotonic()
        report = world.run(cluster, listener=recorder, cancelled=stop.is_set)

        assert time.monotonic() - started < 15
        assert report.cancelled
        assert report.cleanup.complete
        assert world.verdict(report, "gang_scheduling").reason == "cancelled"
        assert world.verdict(report, "secure_accelerator_access").reason == "cancelled"
        assert world.leftovers(cluster) == []
        assert world.devices_in_use(cluster) == 0


def test_budget_that_runs_out_is_an_error_and_cleaned_up() -> None:
    with world.occupied("conformant-1.36", speed=5) as cluster:
        started = time.monotonic()
        report = world.run(cluster, "gang_scheduling", budget=timedelta(seconds=2))

        result = world.verdict(report, "gang_scheduling")
        assert (result.status, result.reason) == (Status.ERROR, "budget")
        assert time.monotonic() - started < 15
        assert world.leftovers(cluster) == []


def test_cluster_that_cannot_be_reached_is_an_error_everywhere() -> None:
    access = ClusterAccess(context="x", host="127.0.0.1", port=1, path="", ca_data=None, token="t")
    recorder = world.Recorder()

    report = engine.verify(
        connect(access, NetworkPolicy(allow_loopback=True), timeout=2),
        builtin_checklists()["1.36"],
        run_id="r",
        budget=timedelta(seconds=5),
        listener=recorder,
    )

    assert world.verdict(report, "gang_scheduling").status is Status.ERROR
    assert world.verdict(report, "gang_scheduling").reason == "connection"
    assert {result.reason for result in report.results} == {"connection"}
    assert len(recorder.finished_results) == len(report.results)
    assert report.outcome is Outcome.INCOMPLETE


def test_refused_credential_is_an_error() -> None:
    with world.occupied("conformant-1.36") as cluster:
        from conformance.cluster import kubeconfig

        access = dataclasses.replace(kubeconfig.load(cluster.kubeconfig.encode()), token="wrong-token")
        report = engine.verify(
            connect(access, NetworkPolicy(allow_loopback=True)),
            builtin_checklists()["1.36"],
            run_id="r",
            budget=timedelta(seconds=30),
        )

    assert world.verdict(report, "gang_scheduling").status is Status.ERROR
    assert world.verdict(report, "gang_scheduling").reason in {"unauthorized", "forbidden"}


def test_exception_in_a_check_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(run: Run) -> Verdict:
        run.create(PODS, "p", POD)
        raise KeyError("surprise")

    substitute(monkeypatch, broken)
    with world.occupied("conformant-1.36") as cluster:
        report = world.run(cluster)
        assert world.leftovers(cluster) == []

    result = world.verdict(report, "gang_scheduling")
    assert (result.status, result.reason) == (Status.ERROR, "internal")
    assert "KeyError" in result.message
    assert "surprise" not in result.message
    assert [piece.name for piece in result.evidence]


@pytest.mark.parametrize("status", [Status.PASS, Status.FAIL, Status.NOT_APPLICABLE])
def test_verdict_without_evidence_does_not_stand(status: Status, monkeypatch: pytest.MonkeyPatch) -> None:
    substitute(monkeypatch, lambda _: Verdict(status, "said", "Said."))

    with world.occupied("conformant-1.36") as cluster:
        report = world.run(cluster)

    result = world.verdict(report, "gang_scheduling")
    assert (result.status, result.reason) == (Status.ERROR, "no_evidence")


def test_what_cannot_be_removed_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def sticky(run: Run) -> Verdict:
        run.create(PODS, "stays", {**POD, "metadata": {"finalizers": ["example.com/stays"]}})
        return passing(run)

    substitute(monkeypatch, sticky)
    monkeypatch.setattr("conformance.run.CLEANUP_SECONDS", 0.5)
    monkeypatch.setattr("conformance.engine.CLEANUP_SECONDS", 0.5)
    recorder = world.Recorder()
    with world.occupied("conformant-1.36") as cluster:
        report = world.run(cluster, listener=recorder)

    assert not report.cleanup.complete
    assert any("pods/stays" in name for name in report.cleanup.left_behind)
    assert any(name.startswith("namespaces/certportal-") for name in report.cleanup.left_behind)
    assert recorder.cleanups == [report.cleanup]


def test_listener_that_fails_leaves_the_cluster_clean() -> None:
    class ListenerError(Exception):
        pass

    def fail(_check_id: str) -> None:
        raise ListenerError

    with world.occupied("conformant-1.36") as cluster:
        with pytest.raises(ListenerError):
            world.run(cluster, listener=world.Recorder(on_start=fail))
        assert world.leftovers(cluster) == []


def test_history_that_expires_during_a_run_does_no_harm() -> None:
    done = threading.Event()

    with world.occupied("conformant-1.36") as cluster:

        def expire() -> None:
            while not done.wait(0.05):
                cluster.store.compact()

        thread = threading.Thread(target=expire)
        thread.start()
        try:
            report = world.run(cluster)
        finally:
            done.set()
            thread.join()

    assert statuses(report) == GOOD


def test_prepared_namespace_is_enough() -> None:
    with world.occupied("conformant-1.36") as cluster:
        for key, name in (("clusterrolebindings", rbac.ACCOUNT), ("clusterroles", rbac.ACCOUNT)):
            cluster.store.delete(f"{key}.rbac.authorization.k8s.io", "", name)
        world.make_namespace(cluster, "prepared")
        for entry in rbac.manifest("1.36", namespace="prepared"):
            if entry["kind"] not in {"Namespace", "ServiceAccount"}:
                cluster.store.create(entry)
        before = {item["metadata"]["name"] for item in cluster.store.list("namespaces")}

        report = world.run(cluster, namespace="prepared")

        assert statuses(report) == GOOD
        assert report.cleanup.complete
        assert world.leftovers(cluster) == []
        assert {item["metadata"]["name"] for item in cluster.store.list("namespaces")} == before
        assert cluster.store.list("pods", "prepared") == []


def test_leftovers_in_a_prepared_namespace_are_swept() -> None:
    with world.occupied("conformant-1.36") as cluster:
        world.make_namespace(cluster, "prepared")
        for name, labels in (("ours", {RUN_LABEL: "run-7"}), ("theirs", {})):
            cluster.store.create(
                {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {"name": name, "namespace": "prepared", "labels": labels},
                    **POD,
                }
            )

        with world.connected(cluster, admin=True) as connection:
            cleanup = engine.sweep(connection, "run-7", namespace="prepared")

        assert cleanup.complete
        assert [pod["metadata"]["name"] for pod in cluster.store.list("pods", "prepared")] == ["theirs"]


def test_image_prefix_reaches_the_pods() -> None:
    images: list[str] = []

    with world.occupied("conformant-1.36") as cluster:

        def look(_check_id: str) -> None:
            pods = world.wait_for(lambda: [p for p in cluster.store.list("pods") if _is_ours(p)])
            images.append(pods[0]["spec"]["containers"][0]["image"])

        world.run(
            cluster,
            "secure_accelerator_access",
            listener=world.Recorder(on_start=look),
            image_prefix="mirror.example",
        )

    assert images == ["mirror.example/library/busybox:1.37"]


def _is_ours(item: dict[str, Any]) -> bool:
    return RUN_LABEL in (item["metadata"].get("labels") or {})


def test_everything_created_carries_the_run_and_is_modest() -> None:
    seen: dict[str, dict[str, Any]] = {}
    done = threading.Event()

    with world.occupied("conformant-1.36") as cluster:

        def look() -> None:
            while not done.is_set():
                for pod in cluster.store.list("pods"):
                    if pod["metadata"]["namespace"].startswith("certportal-") and _is_ours(pod):
                        seen[pod["metadata"]["name"]] = pod
                time.sleep(0.01)

        thread = threading.Thread(target=look)
        thread.start()
        try:
            world.run(cluster, "secure_accelerator_access", "gang_scheduling")
        finally:
            done.set()
            thread.join()

    assert len(seen) > 5
    for pod in seen.values():
        assert pod["metadata"]["labels"][RUN_LABEL] == "test-run"
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["terminationGracePeriodSeconds"] <= 5
        for container in pod["spec"]["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
            assert "privileged" not in container["securityContext"]


@pytest.mark.parametrize(
    "run_id", ["7", "a-b", "x" * 100, "b7f0…", "../..", "4c1f9c1e-5b1e-4a64-8f5e-0f4b0b0b0b0b"]
)
def test_run_label_is_always_valid(run_id: str) -> None:
    import re

    assert re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?", run_label(run_id))


def test_only_the_very_object_is_removed() -> None:
    with world.occupied("conformant-1.36") as cluster:
        world.make_namespace(cluster, "certportal-same-name")
        ours = Created(NAMESPACES, None, "certportal-same-name", uid="the-uid-before")

        with world.connected(cluster) as connection:
            assert ask_removal(connection, ours, Patience.of(5))
            assert wait_gone(connection, [ours], Patience.of(5)) == []

        assert cluster.store.get("namespaces", "", "certportal-same-name") is not None


@pytest.mark.parametrize("width", [1, 2])
def test_no_more_checks_run_side_by_side_than_asked_for(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    lock, running, most = threading.Lock(), 0, 0

    def slow(run: Run) -> Verdict:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.3)
        with lock:
            running -= 1
        return passing(run)

    substitute(monkeypatch, slow, slow, slow)
    with world.occupied("conformant-1.36") as cluster:
        world.run(cluster, parallel=width)

    assert most == width

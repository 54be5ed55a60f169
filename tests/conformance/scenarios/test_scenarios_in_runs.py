"""Scenarios in a run: told as they go, taken over, called off, and written into the report."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from conformance import engine, scenarios
from conformance.bundle import read_bundle, to_bundle
from conformance.catalogue import WorkloadKind, builtin_checklists
from conformance.cli import main
from conformance.report import Report
from conformance.scenarios import scenario, step
from conformance.verdicts import Evidence, ScenarioResult, Status, StepResult, Verdict, deciding_step
from tests.conformance.engine import world
from tests.conformance.scenarios.playing import play

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


def finished(status: Status = Status.PASS) -> ScenarioResult:
    return ScenarioResult(
        id="training",
        status=status,
        reason="seen",
        message="seen",
        steps=(StepResult("one", "The one", status, "seen", "seen", NOW, 1.0),),
        started_at=NOW,
        finished_at=NOW + timedelta(seconds=2),
        duration_seconds=2.0,
        evidence=(Evidence("log.txt", "text/plain", b"said", NOW),),
    )


def test_scenarios_are_known_without_being_played() -> None:
    known = {info.id: info for info in scenarios.info()}

    for info in known.values():
        assert info.observes
        assert len(info.steps) > 1
        assert info.steps[0].needs == ()
        assert info.deadline > 0
        assert {right.verb for right in info.rights} <= {"create", "get", "list", "watch", "delete", "patch"}


def test_two_scenarios_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two scenarios training"):
        scenario("training", title="x", kind=WorkloadKind.TRAINING, deadline=1, rights=())(type("X", (), {}))


def test_step_that_needs_what_comes_later_is_refused() -> None:
    class Stage:
        @step("First", needs=("second",))
        def first(self) -> Verdict:
            raise AssertionError

    with pytest.raises(ValueError, match="first needs second"):
        scenario("other", title="x", kind=WorkloadKind.TRAINING, deadline=1, rights=())(Stage)


def test_the_first_of_the_gravest_steps_decides() -> None:
    def of(*statuses: Status) -> str:
        return deciding_step(
            StepResult(str(number), "", status, "", "") for number, status in enumerate(statuses)
        ).id

    assert of(Status.PASS, Status.NOT_APPLICABLE, Status.PASS) == "0"
    assert of(Status.PASS, Status.UNKNOWN, Status.ERROR, Status.UNKNOWN) == "2"
    assert of(Status.ERROR, Status.FAIL, Status.FAIL) == "1"
    assert of(Status.NOT_APPLICABLE, Status.NOT_APPLICABLE) == "0"


@pytest.mark.cluster
def test_listener_hears_of_scenarios_from_the_calling_thread() -> None:
    recorder = world.Recorder()

    with world.occupied("volumes-forget") as cluster:
        report = world.run(cluster, "dra_support", scenarios=["training"], listener=recorder, version="1.35")

    assert recorder.started_ids == ["dra_support", "training"]
    assert recorder.threads == {threading.get_ident()}
    [result] = recorder.finished_scenarios
    assert report.scenarios == (result,)
    assert [entry for name, entry in recorder.finished_steps if name == "training"] == [
        entry for entry in result.steps if entry.reason != "not_reached"
    ] + [entry for entry in result.steps if entry.reason == "not_reached"]


@pytest.mark.cluster
def test_scenarios_never_change_the_outcome() -> None:
    with world.occupied("volumes-forget") as cluster:
        with_it = world.run(cluster, "robust_controller", scenarios=["training"])
        without = world.run(cluster, "robust_controller")

    assert with_it.scenarios[0].status is Status.FAIL
    assert with_it.outcome == without.outcome
    assert without.scenarios == ()


@pytest.mark.cluster
def test_played_scenarios_are_taken_over() -> None:
    recorder = world.Recorder()
    known = finished()

    with world.occupied("conformant-1.36") as cluster:
        report = world.run(
            cluster, "none", scenarios=["training"], played={"training": known}, listener=recorder
        )

    assert report.scenarios == (known,)
    assert recorder.finished_scenarios == []


@pytest.mark.cluster
def test_cancelled_run_plays_nothing_more_and_leaves_nothing() -> None:
    stop = threading.Event()
    recorder = world.Recorder()
    recorder.on_start = lambda _: stop.set()

    with world.occupied("conformant-1.36", speed=1.0) as cluster:
        report = world.run(cluster, "none", scenarios=["training"], cancelled=stop.is_set, listener=recorder)
        left = world.leftovers(cluster)

    [result] = report.scenarios
    assert report.cancelled
    assert (result.status, result.reason) == (Status.UNKNOWN, "cancelled")
    assert {entry.status for entry in result.steps} == {Status.UNKNOWN}
    assert left == []


@pytest.mark.cluster
@pytest.mark.parametrize("scenario_id", ["inference", "training"])
def test_prepared_namespace_is_enough(scenario_id: str) -> None:
    with world.occupied("conformant-1.36") as cluster:
        world.make_namespace(cluster, "prepared")
        result = play(cluster, scenario_id, namespace="prepared")

    assert result.status is Status.PASS


@pytest.mark.cluster
def test_budget_that_ends_is_an_error_of_the_step_reached() -> None:
    with world.occupied("conformant-1.36", speed=1.0) as cluster:
        report = world.run(cluster, "none", scenarios=["training"], budget=timedelta(seconds=2))

    [result] = report.scenarios
    assert (result.status, result.reason) == (Status.ERROR, "budget")
    assert result.steps[0].reason == "budget"
    assert {entry.reason for entry in result.steps[1:]} == {"not_reached"}


@pytest.mark.cluster
def test_cluster_that_cannot_be_reached_is_an_error() -> None:
    recorder = world.Recorder()
    cluster = world.occupied("conformant-1.36")
    with cluster as running, world.connected(running) as connection:
        running.stop()
        report = engine.verify(
            connection,
            builtin_checklists()["1.36"],
            run_id="r",
            budget=timedelta(seconds=5),
            only=["none"],
            scenarios=["training"],
            listener=recorder,
        )

    assert [entry.status for entry in report.scenarios] == [Status.ERROR]
    assert recorder.finished_scenarios == list(report.scenarios)


def test_report_reads_back_with_its_scenarios() -> None:
    report = _report(finished(Status.FAIL))

    found = Report.from_json(report.to_json())

    assert found.as_dict() == report.as_dict()
    assert found.scenarios[0].steps == report.scenarios[0].steps
    assert found.scenarios[0].evidence[0].sha256 == report.scenarios[0].evidence[0].sha256
    entry = report.as_dict()["scenarios"][0]
    assert {"id", "status", "reason", "message", "steps", "evidence"} <= set(entry)
    assert {"id", "title", "status", "reason", "message", "duration_seconds"} <= set(entry["steps"][0])


def test_seal_breaks_where_a_step_is_changed() -> None:
    report = _report(finished(Status.FAIL))
    mended = dataclasses.replace(report, scenarios=(finished(Status.PASS),))

    assert report.digest != mended.digest


def test_bundle_holds_the_evidence_of_scenarios() -> None:
    found = read_bundle(to_bundle(_report(finished())))

    [result] = found.report.scenarios
    assert found.content("scenarios/training", result.evidence[0]) == b"said"


def _report(result: ScenarioResult) -> Report:
    from conformance.report import ClusterFacts
    from conformance.verdicts import Outcome

    return Report(
        checklist="1.36",
        outcome=Outcome.INCOMPLETE,
        cluster=ClusterFacts("v1.36.2", "uid", 3),
        started_at=NOW,
        finished_at=NOW + timedelta(seconds=3),
        results=(),
        scenarios=(result,),
    )


# The command --------------------------------------------------------------------------------------


@pytest.mark.cluster
def test_command_plays_what_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, out = tmp_path / "kubeconfig", tmp_path / "report.json"
    with world.occupied("conformant-1.36") as cluster:
        config.write_text(cluster.kubeconfig)
        main(
            [
                *("verify", "--kubeconfig", str(config), "--checklist", "1.36"),
                *("--only", "robust_controller", "--scenarios", "training", "--report", str(out)),
            ]
        )

    printed = capsys.readouterr().out
    assert "Scenario training: pass (6 of 6 steps passed)" in printed
    assert "The workers start together" in printed
    assert [entry.id for entry in Report.from_json(out.read_bytes()).scenarios] == ["training"]


@pytest.mark.parametrize(
    ("asked", "only", "expected"),
    [
        (None, None, [info.id for info in scenarios.info()]),
        (None, frozenset({"dra_support"}), []),
        ("all", frozenset({"dra_support"}), [info.id for info in scenarios.info()]),
        ("none", None, []),
        (" training ,", None, ["training"]),
    ],
)
def test_command_understands_which_scenarios(
    asked: str | None, only: frozenset[str] | None, expected: list[str]
) -> None:
    from conformance.cli.verify import _scenarios

    assert _scenarios(asked, only) == expected


def test_command_refuses_an_unknown_scenario(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "kubeconfig"
    config.write_text("{}")

    with contextlib.suppress(SystemExit):
        code = main(["verify", "--kubeconfig", str(config), "--checklist", "1.36", "--scenarios", "cooking"])
        assert code == 2

    assert "there is no scenario cooking" in capsys.readouterr().err

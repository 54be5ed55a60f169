"""Simulated workloads of a run: filled in beforehand, written under the lease, shown step by step."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from conformance import scenarios, verdicts
from submissions.models import VerificationRun
from submissions.services import organizations, runs, scenario_results
from submissions.states import RunStatus
from tests.submissions.cast import Cast
from tests.submissions.factories import RunFactory, TestClusterFactory
from tests.submissions.reviewing import in_review, reviewer

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
HTMX = {"HX-Request": "true"}
TRAINING = scenarios.load()["training"].info


def steps(*statuses: verdicts.Status) -> tuple[verdicts.StepResult, ...]:
    return tuple(
        verdicts.StepResult(step.id, step.title, status, "observed", f"{step.id} was seen", NOW, 1.5)
        for step, status in zip(TRAINING.steps, statuses, strict=True)
    )


def played(*statuses: verdicts.Status) -> verdicts.ScenarioResult:
    given = statuses or (verdicts.Status.PASS,) * len(TRAINING.steps)
    return verdicts.ScenarioResult(
        id="training",
        status=verdicts.Status.PASS,
        reason="all_steps_passed",
        message="every step passed",
        steps=steps(*given),
        started_at=NOW,
        finished_at=NOW + timedelta(seconds=9),
        duration_seconds=9.0,
        evidence=(verdicts.Evidence("logs/train-0.txt", "text/plain", b"<b>::probe end</b>", NOW),),
    )


def active(cast: Cast) -> VerificationRun:
    cluster = TestClusterFactory(organization=cast.organization)
    run = RunFactory(submission=cast.submission, cluster=cluster, status=RunStatus.RUNNING)
    scenario_results.prefill(run)
    return run


def ended(cast: Cast) -> VerificationRun:
    scenario_results.prefill(cast.run)
    scenario_results.write(cast.run, played())
    return cast.run


def url(run: VerificationRun, name: str = "run", *more: object) -> str:
    return reverse(f"submissions:{name}", args=[run.uuid, *more])


def writer(run: VerificationRun) -> runs.ResultWriter:
    VerificationRun.objects.filter(pk=run.pk).update(lease_owner="me", status=RunStatus.RUNNING)
    run.refresh_from_db()
    return runs.ResultWriter(runs.Lease(run))


# Rows ---------------------------------------------------------------------------------------------


def test_run_of_everything_plays_every_scenario(cast: Cast) -> None:
    run = runs.request_run(submission=cast.submission, cluster=cast.cluster, actor=cast.editor)

    rows = list(run.scenarios.all())
    assert [row.scenario_id for row in rows] == [info.id for info in scenarios.info()]
    assert {(row.status, row.reason) for row in rows} == {("unknown", "not_run")}
    assert [entry["id"] for entry in rows[0].steps] == [step.id for step in TRAINING.steps]
    assert {step.verdict for row in rows for step in row.timeline} == {"waiting"}
    assert scenario_results.wanted(run) == [info.id for info in scenarios.info()]


def test_run_of_some_requirements_plays_none(cast: Cast) -> None:
    run = runs.request_run(
        submission=cast.submission,
        cluster=cast.cluster,
        actor=cast.editor,
        only=["gang_scheduling"],
    )

    assert scenario_results.wanted(run) == []


def test_steps_are_written_as_they_end(cast: Cast) -> None:
    run = active(cast)
    listener = writer(run)

    listener.scenario_started("training", NOW)
    listener.step_finished("training", steps(*[verdicts.Status.PASS] * len(TRAINING.steps))[0])

    row = run.scenarios.get(scenario_id="training")
    row.run = run
    assert row.verdict == "running"
    assert [step.verdict for step in row.timeline[:3]] == ["pass", "running", "waiting"]


def test_scenario_that_broke_off_is_seen_anew(cast: Cast) -> None:
    run = active(cast)
    listener = writer(run)
    listener.scenario_started("training", NOW)
    listener.step_finished("training", steps(*[verdicts.Status.FAIL] * len(TRAINING.steps))[0])

    listener.scenario_started("training", NOW + timedelta(minutes=1))

    row = run.scenarios.get(scenario_id="training")
    assert {entry["reason"] for entry in row.steps} == {"not_run"}


def test_results_are_kept_and_handed_to_the_next_attempt(cast: Cast) -> None:
    run = active(cast)
    listener = writer(run)

    listener.scenario_finished(played())
    listener.scenario_finished(played())

    assert scenario_results.finished(run) == {"training": played()}
    assert run.scenarios.get(scenario_id="training").evidence.count() == 1


def test_worker_without_the_lease_writes_nothing(cast: Cast) -> None:
    run = active(cast)
    listener = writer(run)
    VerificationRun.objects.filter(pk=run.pk).update(lease_owner="another")

    listener.scenario_started("training", NOW)
    listener.step_finished("training", steps(*[verdicts.Status.PASS] * len(TRAINING.steps))[0])
    listener.scenario_finished(played())

    row = run.scenarios.get(scenario_id="training")
    assert (row.started_at, row.finished_at, row.status) == (None, None, "unknown")
    assert {entry["reason"] for entry in row.steps} == {"not_run"}
    assert listener.lease.lost.is_set()


def test_steps_of_a_run_that_ended_are_not_waited_for(cast: Cast) -> None:
    scenario_results.prefill(cast.run)

    row = cast.run.scenarios.get(scenario_id="training")

    assert {step.verdict for step in row.timeline} == {"unknown"}


# Pages --------------------------------------------------------------------------------------------


def test_vendor_sees_scenarios_with_their_steps(cast: Cast) -> None:
    run = ended(cast)

    page = cast.browser("viewer").get(url(run)).content.decode()

    assert "Simulated workloads" in page
    assert TRAINING.title in page
    for step in TRAINING.steps:
        assert f'data-step="{step.id}" data-verdict="pass"' in page
        assert f"{step.id} was seen" in page
    assert "logs/train-0.txt" in page


def test_run_without_scenarios_shows_no_heading(cast: Cast) -> None:
    assert "Simulated workloads" not in cast.browser("viewer").get(url(cast.run)).content.decode()


def test_fragment_brings_scenarios_only_where_a_step_turned(cast: Cast) -> None:
    run = active(cast)
    browser = cast.browser("viewer")
    first = browser.get(url(run))
    asked = {"seen": first.context["codes"], "played": first.context["played"]}

    quiet = browser.get(url(run), asked, headers=HTMX).content.decode()
    scenario_results.start(run, "training", timezone.now())
    turned = browser.get(url(run), asked, headers=HTMX).content.decode()

    assert "run-scenarios" not in quiet
    assert 'id="run-scenarios" aria-labelledby="run-scenarios-title" hx-swap-oob="true"' in turned
    assert 'data-verdict="running"' in turned


def test_evidence_is_shown_as_text_and_downloaded_as_bytes(cast: Cast) -> None:
    run = ended(cast)
    piece = run.scenarios.get(scenario_id="training").evidence.get()
    browser = cast.browser("viewer")

    page = browser.get(url(run, "run-scenario-evidence", piece.pk)).content.decode()
    response = browser.get(url(run, "run-scenario-evidence-download", piece.pk))

    assert "&lt;b&gt;::probe end&lt;/b&gt;" in page
    assert f"{url(run)}#scenario-training" in page
    assert response.content == b"<b>::probe end</b>"
    assert response["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize("name", ["run-scenario-evidence", "run-scenario-evidence-download"])
def test_evidence_is_not_found_by_others(cast: Cast, name: str) -> None:
    run = ended(cast)
    piece = run.scenarios.get(scenario_id="training").evidence.get()
    other = RunFactory(submission=cast.submission)

    assert cast.browser("stranger").get(url(run, name, piece.pk)).status_code == 404
    assert cast.browser("viewer").get(url(other, name, piece.pk)).status_code == 404


def test_reviewer_sees_scenarios_and_their_evidence(client: Client, settings: Any) -> None:
    settings.REVIEWERS_NEED_MFA = False
    client.force_login(reviewer())
    run = RunFactory(submission=in_review(), status=RunStatus.FINISHED, outcome="incomplete")
    scenario_results.prefill(run)
    failed = dataclasses.replace(
        played(*[verdicts.Status.FAIL] * len(TRAINING.steps)), status=verdicts.Status.FAIL
    )
    scenario_results.write(run, failed)
    piece = run.scenarios.get(scenario_id="training").evidence.get()

    page = client.get(reverse("admin:review_run", args=[run.uuid])).content.decode()
    shown = client.get(reverse("admin:review_scenario_evidence", args=[piece.pk]))

    assert TRAINING.title in page
    assert 'data-step="recovery" data-verdict="fail"' in page
    assert reverse("admin:review_scenario_evidence", args=[piece.pk]) in page
    assert "&lt;b&gt;::probe end&lt;/b&gt;" in shown.content.decode()


def test_api_tells_scenarios(cast: Cast) -> None:
    run = ended(cast)
    _, secret = organizations.create_token(
        organization=cast.organization, actor=cast.editor, name="pipeline", scope="read"
    )

    api = APIClient(HTTP_AUTHORIZATION=f"Bearer {secret}")
    answer = api.get(f"/api/v1/verifications/{run.uuid}/").json()

    [training, *_] = answer["scenarios"]
    assert (training["id"], training["status"], training["reason"]) == (
        "training",
        "pass",
        "all_steps_passed",
    )
    assert [step["id"] for step in training["steps"]] == [step.id for step in TRAINING.steps]
    assert training["evidence"][0]["name"] == "logs/train-0.txt"

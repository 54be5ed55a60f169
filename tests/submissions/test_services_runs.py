"""Verification runs as rows: who may take one, who may write, and what happens to orphans."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from certportal.accounts.models import User
from conformance import verdicts
from conformance.catalogue import Level, builtin_checklists
from registry.services import publish_checklist
from submissions.errors import ApplicantError
from submissions.models import CheckResult, Submission, TestCluster, VerificationRun
from submissions.services import drafting, organizations, runs
from submissions.states import RunStatus

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.fixture
def vendor() -> User:
    return User.objects.create_user("vendor@example.org", "x", name="Vera")


@pytest.fixture
def submission(vendor: User) -> Submission:
    checklist, _ = publish_checklist(checklist=builtin_checklists()["1.35"], source="builtin")
    organization = organizations.create_organization(actor=vendor, name="Northwind")
    platform = organizations.create_platform(organization=organization, actor=vendor, name="Engine")
    return drafting.create_submission(
        actor=vendor, configuration=platform.configurations.get(), checklist=checklist
    )


@pytest.fixture
def cluster(submission: Submission, vendor: User) -> TestCluster:
    return TestCluster.objects.create(
        organization=submission.organization,
        name="lab",
        server="https://203.0.113.7:6443",
        kubeconfig_encrypted=b"sealed",
        created_by=vendor,
    )


@pytest.fixture
def run(submission: Submission, cluster: TestCluster, vendor: User) -> VerificationRun:
    return runs.request_run(submission=submission, cluster=cluster, actor=vendor)


def finished(requirement_id: str, status: verdicts.Status = verdicts.Status.PASS) -> verdicts.CheckResult:
    return verdicts.CheckResult(
        id=requirement_id,
        level=Level.MUST,
        status=status,
        reason="observed",
        message="seen",
        started_at=NOW,
        finished_at=NOW + timedelta(seconds=3),
        duration_seconds=3.0,
        evidence=(verdicts.Evidence("pod.log", "text/plain", b"::probe end", NOW),),
    )


def test_request_prefills_every_requirement_as_unknown(run: VerificationRun, submission: Submission) -> None:
    rows = list(run.results.values_list("requirement_id", "status", "reason"))
    expected = submission.checklist.requirements.values_list("requirement_id", flat=True)
    assert rows == [(name, "unknown", "not_run") for name in expected]


def test_second_run_on_a_busy_cluster_is_refused(
    run: VerificationRun, submission: Submission, cluster: TestCluster, vendor: User
) -> None:
    with pytest.raises(ApplicantError) as caught:
        runs.request_run(submission=submission, cluster=cluster, actor=vendor)
    assert caught.value.code == "cluster_busy"


def test_database_itself_allows_one_active_run_per_cluster(run: VerificationRun, vendor: User) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        VerificationRun.objects.create(submission=run.submission, cluster=run.cluster, requested_by=vendor)


def test_stranger_cannot_start_a_run(submission: Submission, cluster: TestCluster) -> None:
    stranger = User.objects.create_user("stranger@example.org", "x")
    with pytest.raises(ApplicantError) as caught:
        runs.request_run(submission=submission, cluster=cluster, actor=stranger)
    assert caught.value.code == "not_allowed"


def test_only_one_worker_gets_the_lease(run: VerificationRun) -> None:
    assert runs.take_run(run_id=run.pk, owner="first", now=NOW) is not None
    assert runs.take_run(run_id=run.pk, owner="second", now=NOW) is None


def test_lease_that_ran_out_may_be_taken_and_counts_an_attempt(run: VerificationRun) -> None:
    runs.take_run(run_id=run.pk, owner="first", now=NOW)
    later = NOW + settings.RUN_LEASE
    taken = runs.take_run(run_id=run.pk, owner="second", now=later)
    assert taken is not None
    assert (taken.lease_owner, taken.attempts, taken.started_at) == ("second", 2, NOW)


def test_worker_without_the_lease_writes_nothing(run: VerificationRun) -> None:
    first = runs.take_run(run_id=run.pk, owner="first", now=NOW)
    runs.take_run(run_id=run.pk, owner="second", now=NOW + settings.RUN_LEASE)
    assert first is not None
    lease = runs.Lease(first)
    runs.ResultWriter(lease).finished(finished("gang_scheduling"))
    assert lease.lost.is_set()
    assert run.results.get(requirement_id="gang_scheduling").status == "unknown"


def test_results_are_kept_and_handed_to_the_next_attempt(run: VerificationRun) -> None:
    first = runs.take_run(run_id=run.pk, owner="first", now=NOW)
    assert first is not None
    runs.ResultWriter(runs.Lease(first)).finished(finished("gang_scheduling"))
    handed_over = runs.finished_results(run)
    assert handed_over == {"gang_scheduling": finished("gang_scheduling")}


def test_writing_a_result_twice_leaves_one_row_and_one_evidence(run: VerificationRun) -> None:
    runs.write_result(run, finished("gang_scheduling", verdicts.Status.FAIL))
    runs.write_result(run, finished("gang_scheduling"))
    row = CheckResult.objects.get(run=run, requirement_id="gang_scheduling")
    assert (row.status, row.evidence.count()) == ("pass", 1)


def test_reconciler_finds_queued_and_orphaned_runs_only(
    run: VerificationRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[int] = []
    monkeypatch.setattr("submissions.tasks.verify_run_task.delay", rung.append)
    runs.reconcile_runs(now=NOW)
    assert rung == [run.pk]
    runs.take_run(run_id=run.pk, owner="first", now=NOW)
    assert runs.reconcile_runs(now=NOW + settings.RUN_LEASE / 2) == []
    assert runs.reconcile_runs(now=NOW + settings.RUN_LEASE) == [run.pk]


def test_cancel_ends_a_queued_run_at_once(run: VerificationRun, vendor: User) -> None:
    assert runs.cancel_run(run=run, actor=vendor).status == RunStatus.CANCELLED


def test_cancel_asks_a_running_run_to_stop(run: VerificationRun, vendor: User) -> None:
    runs.take_run(run_id=run.pk, owner="first", now=timezone.now())
    cancelled = runs.cancel_run(run=run, actor=vendor)
    assert cancelled.status == RunStatus.RUNNING
    assert cancelled.cancel_requested_at is not None


def test_cancel_of_an_ended_run_is_refused(run: VerificationRun, vendor: User) -> None:
    runs.cancel_run(run=run, actor=vendor)
    with pytest.raises(ApplicantError) as caught:
        runs.cancel_run(run=run, actor=vendor)
    assert caught.value.code == "stale_state"


def test_run_that_never_ends_is_given_up_after_the_attempts(run: VerificationRun) -> None:
    VerificationRun.objects.filter(pk=run.pk).update(attempts=settings.RUN_ATTEMPTS)
    assert runs.execute_run(run_id=run.pk) == "errored"
    run.refresh_from_db()
    assert "never came to an end" in run.error


def test_kubeconfig_that_cannot_be_decrypted_ends_the_run_with_a_reason(run: VerificationRun) -> None:
    assert runs.execute_run(run_id=run.pk) == "errored"
    run.refresh_from_db()
    assert "FIELD_KEYS" in run.error
    assert run.submission.events.last().action == "verification_errored"


def test_progress_counts_what_is_done(run: VerificationRun) -> None:
    runs.write_result(run, finished("gang_scheduling"))
    how_far: dict[str, Any] = runs.progress(VerificationRun.objects.get(pk=run.pk))
    assert (how_far["done"], how_far["total"], how_far["percent"]) == (1, 12, 8)
    assert how_far["counts"]["pass"] == 1

"""Verification runs: asking for one, holding its lease, running the engine, finding orphans.

The row is the truth. A worker takes the lease with one compare-and-set; from then on every write is
made only while the lease is still its own, so a worker that was thought dead cannot disturb the next.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

import structlog
from django.conf import settings
from django.db import IntegrityError, close_old_connections, connection, transaction
from django.utils import timezone

from certportal.accounts.models import User
from submissions import rules
from submissions.errors import ApplicantError, PortalError, StaleState
from submissions.models import CheckEvidence, CheckResult, Submission, TestCluster, VerificationRun
from submissions.services import scenario_results
from submissions.services.clusters import network_policy, open_kubeconfig, open_probe_settings
from submissions.services.events import record_event
from submissions.services.sweeping import Swept, sweep_cluster
from submissions.states import TERMINAL, RunKind, RunOutcome, RunStatus, Verdict

if TYPE_CHECKING:
    from conformance import verdicts

log = structlog.get_logger(__name__)

HEARTBEATS_PER_LEASE = 4
NOT_RUN = "not_run"


# Asking ---------------------------------------------------------------------------------------------


@transaction.atomic
def request_run(
    *, submission: Submission, cluster: TestCluster, actor: User, only: Collection[str] = ()
) -> VerificationRun:
    """Queue a run of every check of the submission's checklist, or of those named in `only`.

    A run of them all plays the scenarios as well.
    """
    from submissions.tasks import verify_run_task

    if not (rules.may_edit(actor, submission.organization) or rules.may_review(actor, submission)):
        raise ApplicantError(
            "not_allowed", "Only the vendor's owners and editors, or a reviewer, start a run."
        )
    if submission.status in TERMINAL:
        raise ApplicantError("not_possible", f"The submission is {submission.get_status_display().lower()}.")
    if cluster.organization != submission.organization:
        raise ApplicantError("not_allowed", "The test cluster belongs to another organization.")
    if not cluster.is_usable:
        raise ApplicantError(
            "kubeconfig_forgotten", f"The kubeconfig of {cluster} was deleted; register the cluster again."
        )
    requirements = list(submission.checklist.requirements.all())
    unknown = set(only) - {requirement.requirement_id for requirement in requirements}
    if unknown:
        raise ApplicantError("unknown_requirement", f"The checklist has no {', '.join(sorted(unknown))}.")
    try:
        with transaction.atomic():
            run = VerificationRun.objects.create(
                submission=submission,
                cluster=cluster,
                requested_by=actor,
                only=sorted(only),
                simulated=cluster.simulated,
            )
    except IntegrityError as error:
        raise ApplicantError(
            "cluster_busy", f"Another run is using {cluster}. Wait until it has finished, or cancel it."
        ) from error
    CheckResult.objects.bulk_create(
        CheckResult(
            run=run,
            requirement_id=requirement.requirement_id,
            level=requirement.level,
            position=requirement.position,
            reason=NOT_RUN,
        )
        for requirement in requirements
        if not only or requirement.requirement_id in only
    )
    if not only:
        scenario_results.prefill(run)
    record_event(
        action="verification_requested",
        actor=actor,
        submission=submission,
        data={"run": str(run.uuid), "cluster": cluster.name, "only": sorted(only)},
    )
    verify_run_task.delay_on_commit(run.pk)  # type: ignore[attr-defined] # Celery's Django task has it
    return run


@transaction.atomic
def cancel_run(*, run: VerificationRun, actor: User) -> VerificationRun:
    """Ask a run to stop. A queued one ends at once, a running one cleans up first."""
    if not (rules.may_edit(actor, run.submission.organization) or rules.may_review(actor, run.submission)):
        raise ApplicantError(
            "not_allowed", "Only the vendor's owners and editors, or a reviewer, cancel a run."
        )
    now = timezone.now()
    ended = VerificationRun.objects.filter(pk=run.pk, status=RunStatus.QUEUED).update(
        status=RunStatus.CANCELLED, finished_at=now, cancel_requested_at=now
    )
    asked = 0
    if not ended:
        asked = VerificationRun.objects.filter(
            pk=run.pk, status=RunStatus.RUNNING, cancel_requested_at=None
        ).update(cancel_requested_at=now)
    run.refresh_from_db()
    if not ended and not asked and not run.is_active:
        raise StaleState(f"The run is {run.get_status_display().lower()} already.")
    if ended or asked:
        record_event(
            action="verification_cancelled",
            actor=actor,
            submission=run.submission,
            data={"run": str(run.uuid)},
        )
    return run


# Holding --------------------------------------------------------------------------------------------


def new_owner() -> str:
    """A name for one attempt of one worker, unique for ever."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(6)}"


def take_run(*, run_id: int, owner: str, now: datetime) -> VerificationRun | None:
    """Take the lease of a run that is queued or orphaned; None when it is not to be had."""
    run = VerificationRun.objects.filter(pk=run_id).first()
    if run is None:
        return None
    taken = (
        VerificationRun.objects.available(now)
        .filter(pk=run_id, lease_owner=run.lease_owner)
        .update(
            status=RunStatus.RUNNING,
            lease_owner=owner,
            lease_expires_at=now + settings.RUN_LEASE,
            heartbeat_at=now,
            started_at=run.started_at or now,
            attempts=run.attempts + 1,
        )
    )
    if taken != 1:
        return None
    run.refresh_from_db()
    return run


class Lease:
    """Keeps a run's lease alive from a thread of its own, and knows when it is lost or a cancel asked for."""

    def __init__(self, run: VerificationRun) -> None:
        self.run = run
        self.owner = run.lease_owner
        self.lost = threading.Event()
        self.cancel_requested = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease-{run.pk}", daemon=True)

    def __enter__(self) -> Self:
        if self.run.cancel_requested_at is not None:
            self.cancel_requested.set()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def should_stop(self) -> bool:
        """Asked by the engine in every wait."""
        return self.lost.is_set() or self.cancel_requested.is_set()

    def _keep(self) -> None:
        pause = settings.RUN_LEASE.total_seconds() / HEARTBEATS_PER_LEASE
        try:
            while not self._done.wait(min(pause, 1.0)):
                self._beat()
        finally:
            connection.close()

    def _beat(self) -> None:
        close_old_connections()
        now = timezone.now()
        try:
            kept = VerificationRun.objects.filter(
                pk=self.run.pk, status=RunStatus.RUNNING, lease_owner=self.owner
            ).update(heartbeat_at=now, lease_expires_at=now + settings.RUN_LEASE)
            if not kept:
                self.lost.set()
            elif VerificationRun.objects.filter(pk=self.run.pk, cancel_requested_at__isnull=False).exists():
                self.cancel_requested.set()
        except Exception:
            # A database that is away for a moment must not end the run; the lease runs out if it stays away.
            log.exception("heartbeat failed", run=str(self.run.uuid))

    def held(self) -> bool:
        """Lock the run's row, and say whether it is still ours. Call it inside a transaction."""
        return (
            VerificationRun.objects.select_for_update()
            .filter(pk=self.run.pk, status=RunStatus.RUNNING, lease_owner=self.owner)
            .exists()
        )


class ResultWriter:
    """The engine's listener: writes each result as it comes, while the lease is held."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease

    def started(self, check_id: str, at: datetime) -> None:
        with transaction.atomic():
            if self.lease.held():
                self._rows(check_id).update(started_at=at)

    def finished(self, result: verdicts.CheckResult) -> None:
        with transaction.atomic():
            if not self.lease.held():
                self.lease.lost.set()
                return
            write_result(self.lease.run, result)

    def scenario_started(self, scenario_id: str, at: datetime) -> None:
        with transaction.atomic():
            if self.lease.held():
                scenario_results.start(self.lease.run, scenario_id, at)

    def step_finished(self, scenario_id: str, step: verdicts.StepResult) -> None:
        with transaction.atomic():
            if self.lease.held():
                scenario_results.write_step(self.lease.run, scenario_id, step)

    def scenario_finished(self, result: verdicts.ScenarioResult) -> None:
        with transaction.atomic():
            if not self.lease.held():
                self.lease.lost.set()
                return
            scenario_results.write(self.lease.run, result)

    def cleaned(self, cleanup: Any) -> None:
        log.info("run cleaned up", run=str(self.lease.run.uuid), complete=cleanup.complete)

    def _rows(self, check_id: str) -> Any:
        return CheckResult.objects.filter(run=self.lease.run, requirement_id=check_id)


def write_result(run: VerificationRun, result: verdicts.CheckResult) -> None:
    """Replace the pre-filled unknown of one requirement by the engine's verdict and evidence."""
    row = CheckResult.objects.get(run=run, requirement_id=result.id)
    row.status = result.status.value
    row.reason = result.reason
    row.message = result.message
    row.started_at = result.started_at or row.started_at
    row.finished_at = result.finished_at or timezone.now()
    row.duration_seconds = result.duration_seconds
    row.save()
    row.evidence.all().delete()
    CheckEvidence.objects.bulk_create(
        CheckEvidence(
            result=row,
            name=evidence.name,
            media_type=evidence.media_type,
            sha256=evidence.sha256,
            size=evidence.size,
            content=evidence.content,
            captured_at=evidence.captured_at,
        )
        for evidence in result.evidence
    )


def finished_results(run: VerificationRun) -> dict[str, verdicts.CheckResult]:
    """What an earlier attempt of the run finished already, as the engine takes it over."""
    from conformance import verdicts
    from conformance.catalogue import Level

    done = {}
    for row in run.results.filter(finished_at__isnull=False).prefetch_related("evidence"):
        done[row.requirement_id] = verdicts.CheckResult(
            id=row.requirement_id,
            level=Level(row.level),
            status=verdicts.Status(row.status),
            reason=row.reason,
            message=row.message,
            started_at=row.started_at,
            finished_at=row.finished_at,
            duration_seconds=row.duration_seconds or 0.0,
            evidence=tuple(
                verdicts.Evidence(piece.name, piece.media_type, bytes(piece.content), piece.captured_at)
                for piece in row.evidence.all()
            ),
        )
    return done


# Running --------------------------------------------------------------------------------------------


def execute_run(*, run_id: int) -> str:
    """Take the run and see it through; returns the status it ended with, or ``not_taken``."""
    run = take_run(run_id=run_id, owner=new_owner(), now=timezone.now())
    if run is None:
        return "not_taken"
    with structlog.contextvars.bound_contextvars(
        run_id=str(run.uuid), submission_id=str(run.submission.uuid)
    ):
        if run.attempts > settings.RUN_ATTEMPTS:
            return _end(
                run,
                RunStatus.ERRORED,
                error=f"The run was started {settings.RUN_ATTEMPTS} times and never came to an end.",
            )
        log.info("run started", attempt=run.attempts, kind=run.kind, cluster=run.place)
        return _see_through(run)


def _see_through(run: VerificationRun) -> str:
    """Run the checks, or sweep, under the lease and write how it ended."""
    report: Any = None
    swept: Swept | None = None
    try:
        with Lease(run) as lease:
            if run.kind == RunKind.SWEEP:
                swept = sweep_cluster(run)
            else:
                report = _verify(run, lease)
    except (ApplicantError, PortalError) as error:
        return _end(run, RunStatus.ERRORED, error=str(error))
    except Exception as error:
        # The task boundary: whatever it is, the person who waits is told, and the log has the rest.
        log.exception("run errored")
        message = f"The portal failed while running the checks ({type(error).__name__}). Ask for another run."
        return _end(run, RunStatus.ERRORED, error=message)
    if lease.lost.is_set():
        log.warning("lease lost; another worker goes on")
        return "lost"
    status = RunStatus.CANCELLED if lease.cancel_requested.is_set() else RunStatus.FINISHED
    return _end(run, status, report=report, swept=swept)


def _verify(run: VerificationRun, lease: Lease) -> Any:
    """Run the engine. The Kubernetes client is imported here, in workers, never by a web process."""
    from conformance import engine
    from conformance.cluster.connection import connect

    cluster = run.cluster
    assert cluster is not None  # noqa: S101 - a constraint of the database
    access = open_kubeconfig(
        cluster=cluster,
        purpose=f"verification run {run.uuid}, attempt {run.attempts}",
        actor=run.requested_by,
    )
    vendor_settings = open_probe_settings(cluster=cluster)
    link = connect(access, network_policy())
    try:
        return engine.verify(
            link,
            run.submission.checklist.as_catalogue(),
            run_id=str(run.uuid),
            settings=vendor_settings,
            only=run.only or None,
            budget=settings.RUN_BUDGET,
            completed=finished_results(run),
            listener=ResultWriter(lease),
            cancelled=lease.should_stop,
            image_prefix=settings.PROBE_IMAGE_PREFIX,
            scenarios=scenario_results.wanted(run),
            played=scenario_results.finished(run),
        )
    finally:
        link.close()


@transaction.atomic
def _end(
    run: VerificationRun,
    status: RunStatus,
    *,
    report: Any = None,
    swept: Swept | None = None,
    error: str = "",
) -> str:
    held = VerificationRun.objects.select_for_update().filter(
        pk=run.pk, status=RunStatus.RUNNING, lease_owner=run.lease_owner
    )
    row = held.first()
    if row is None:
        return "lost"
    row.status = status
    row.finished_at = timezone.now()
    row.error = error
    row.lease_owner = ""
    row.lease_expires_at = None
    if report is not None:
        row.report = report.as_dict()
        row.report_digest = report.digest
        row.simulated = report.simulated
        for result in report.results:
            if row.results.filter(requirement_id=result.id, finished_at=None).exists():
                write_result(row, result)
        for played in report.scenarios:
            if row.scenarios.filter(scenario_id=played.id, finished_at=None).exists():
                scenario_results.write(row, played)
        if status == RunStatus.FINISHED:
            row.outcome = RunOutcome(report.outcome.value)
    if swept is not None:
        row.report = swept.as_dict()
    row.save()
    if row.simulated and not row.submission.simulated:
        Submission.objects.filter(pk=row.submission_id).update(simulated=True)
    record_event(
        action=f"{'sweep' if row.kind == RunKind.SWEEP else 'verification'}_{status}",
        actor=None,
        submission=row.submission,
        reason=error,
        data={
            "run": str(row.uuid),
            "outcome": row.outcome,
            "digest": row.report_digest,
            "attempts": row.attempts,
        }
        if swept is None
        else {"run": str(row.uuid), "cluster": row.place, **swept.as_dict()},
    )
    log.info("run ended", status=status.value, outcome=row.outcome, attempts=row.attempts)
    return status.value


def sealed_report(run: VerificationRun) -> dict[str, Any] | None:
    """The report of an ended run with its seal, as ``conformance verify-report`` checks it."""
    return {**run.report, "digest": run.report_digest} if run.report is not None else None


def reconcile_runs(*, now: datetime) -> list[int]:
    """Ring the doorbell again for every run that nobody is working on; returns their ids."""
    from submissions.tasks import verify_run_task

    waiting = list(VerificationRun.objects.available(now).values_list("pk", flat=True))
    for run_id in waiting:
        verify_run_task.delay(run_id)
    return waiting


def progress(run: VerificationRun) -> dict[str, Any]:
    """How far the run is: counts for the bar and the verdicts so far."""
    results = list(run.results.all())
    done = sum(1 for result in results if result.finished_at is not None)
    if not run.is_active:
        done = len(results)
    counts = {
        verdict.value: sum(1 for r in results if r.finished_at and r.status == verdict) for verdict in Verdict
    }
    percent = round(100 * done / len(results)) if results else 0
    return {"done": done, "total": len(results), "percent": percent, "counts": counts, "results": results}

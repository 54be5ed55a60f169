"""Finding out where a dead run may have left something behind, and removing it.

A sweep is a row beside the runs, with the same lease and under the same constraint: on a cluster there is
one run or one sweep at a time, never both.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import IntegrityError, transaction
from django.db.models import Q

from submissions.models import TestCluster, VerificationRun
from submissions.services.clusters import network_policy, open_kubeconfig
from submissions.states import RUN_ACTIVE, RunKind, RunStatus

log = structlog.get_logger(__name__)

# What stays for longer than this will not go by asking again; the vendor reads of it on the run's page.
GIVEN_UP_AFTER = timedelta(days=7)
RUNS_SWEPT = 20


@dataclass(frozen=True, slots=True)
class Swept:
    """What was found in a cluster, by name."""

    removed: tuple[str, ...]
    left_behind: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return {"removed": list(self.removed), "left_behind": list(self.left_behind)}


def queue_sweeps(*, now: datetime) -> list[int]:
    """Queue a sweep of every cluster in which a run may have left something; returns their ids."""
    from submissions.tasks import verify_run_task

    queued = []
    for cluster in TestCluster.objects.usable().defer("kubeconfig_encrypted"):
        run = _suspect(cluster, now)
        if run is None:
            continue
        try:
            with transaction.atomic():
                sweep = VerificationRun.objects.create(
                    kind=RunKind.SWEEP,
                    submission=run.submission,
                    cluster=cluster,
                    requested_by=run.requested_by,
                    simulated=cluster.simulated,
                    created_at=now,
                )
        except IntegrityError:
            # A run has the cluster; the next hour is early enough.
            log.info("no sweep while a run is active", cluster=cluster.name)
            continue
        queued.append(sweep.pk)
        verify_run_task.delay_on_commit(sweep.pk)  # type: ignore[attr-defined] # Celery's Django task has it
    return queued


def _suspect(cluster: TestCluster, now: datetime) -> VerificationRun | None:
    """The newest run that may have left something in the cluster and was not cleaned up after since."""
    runs = cluster.runs.filter(kind=RunKind.PORTAL, finished_at__gte=now - GIVEN_UP_AFTER)
    run: VerificationRun | None = (
        runs.filter(Q(status=RunStatus.ERRORED) | Q(report__cleanup__complete=False))
        .defer("report")
        .order_by("-finished_at")
        .first()
    )
    if run is None or run.finished_at is None:
        return None
    sweeps = cluster.runs.filter(
        kind=RunKind.SWEEP, status=RunStatus.FINISHED, started_at__gt=run.finished_at
    )
    return None if sweeps.filter(report__left_behind=[]).exists() else run


def sweep_cluster(sweep: VerificationRun) -> Swept:
    """Remove what ended runs left in the sweep's cluster. For workers: it imports the Kubernetes client."""
    from conformance.cluster.connection import connect
    from conformance.sweeping import sweep_up

    cluster = sweep.cluster
    assert cluster is not None  # noqa: S101 - a constraint of the database
    access = open_kubeconfig(
        cluster=cluster, purpose=f"sweep {sweep.uuid}: removing what runs left behind", actor=None
    )
    ended = cluster.runs.filter(kind=RunKind.PORTAL).exclude(status__in=RUN_ACTIVE)
    removed: list[str] = []
    left: list[str] = []
    link = connect(access, network_policy())
    try:
        for uuid in ended.order_by("-created_at").values_list("uuid", flat=True)[:RUNS_SWEPT]:
            found = sweep_up(link, str(uuid))
            removed += found.removed
            left += found.cleanup.left_behind
    finally:
        link.close()
    return Swept(tuple(removed), tuple(left))

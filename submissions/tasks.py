"""Doorbells. Each task calls one service and may be rung any number of times."""

from __future__ import annotations

from celery import shared_task
from celery.signals import worker_ready
from django.utils import timezone

from submissions.services import clusters, cure_notices, lifecycle, runs, sweeping


@shared_task
def verify_run_task(run_id: int) -> str:
    return runs.execute_run(run_id=run_id)


@shared_task
def reconcile_runs_task() -> list[int]:
    return runs.reconcile_runs(now=timezone.now())


@shared_task
def sweep_clusters_task() -> list[int]:
    return sweeping.queue_sweeps(now=timezone.now())


@shared_task
def publish_released_task() -> list[str]:
    return lifecycle.publish_released(today=timezone.now().date())


@shared_task
def send_cure_mails_task() -> list[str]:
    return cure_notices.send_cure_mails(today=timezone.now().date())


@shared_task
def delete_old_kubeconfigs_task() -> int:
    return clusters.delete_old_kubeconfigs(now=timezone.now())


@worker_ready.connect
def look_for_work(**_: object) -> None:
    """A worker that starts asks the database for work, instead of waiting for the next minute."""
    reconcile_runs_task.delay()

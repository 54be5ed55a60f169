"""Daily work of the registry."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

# Celery looks for tasks here.
from registry import following_tasks, services  # noqa: F401


@shared_task
def expire_certificates_task() -> list[str]:
    """Record expiries; safe to run at any time and any number of times."""
    return services.expire_certificates(today=timezone.now().date())


@shared_task
def revoke_uncured_task() -> list[str]:
    """Record revocations of what was not cured in time; safe to run at any time, any number of times."""
    return services.revoke_uncured(today=timezone.now().date())

"""Doorbells of those who follow. Each task calls one service and may be rung any number of times."""

from __future__ import annotations

from celery import shared_task

from registry import following_services as following


@shared_task
def announce_changes_task() -> list[int]:
    return following.announce_changes()


@shared_task
def send_link_task(subscription_id: int) -> bool:
    return following.send_link(subscription_id=subscription_id)


@shared_task
def deliver_task(subscription_id: int) -> int:
    return following.deliver(subscription_id=subscription_id)


@shared_task
def reconcile_following_task() -> dict[str, int]:
    return following.reconcile_following()

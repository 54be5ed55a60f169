"""Several workers at once tell nobody twice. Only PostgreSQL lets them run side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core import mail
from django.db import connection, connections
from django.utils import timezone

from registry import following_services as following
from registry.following_models import Announcement, Delivery, Subscription
from tests.registry.factories import CertificateFactory

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite lets one writer in at a time."),
]


def test_workers_at_the_same_time_tell_everybody_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following.current_app, "send_task", lambda *_args, **_options: None)
    today = timezone.now().date()
    for number in range(3):
        following.sign_up_by_mail(email=f"{number}@example.org", query="", kinds=[], language="en")
    for subscription in Subscription.objects.all():
        following.confirm(subscription=subscription)
    for number in range(4):
        CertificateFactory(platform_name=f"Platform {number}", on=today)
    subscriptions = list(Subscription.objects.values_list("pk", flat=True))

    def work(turn: int) -> int:
        try:
            following.announce_changes()
            return sum(
                following.deliver(subscription_id=pk) for pk in subscriptions[turn % 3 :] + subscriptions
            )
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        told = sum(pool.map(work, range(12)))
    assert not Announcement.objects.filter(announced_at=None).exists()
    assert Delivery.objects.count() == 12
    assert not Delivery.objects.filter(sent_at=None).exists()
    assert told == 12
    bodies: dict[str, Any] = {}
    for message in mail.outbox:
        bodies.setdefault(message.to[0], []).append(message.body)
    assert {address: "".join(texts).count("Certified: ") for address, texts in bodies.items()} == {
        "0@example.org": 4,
        "1@example.org": 4,
        "2@example.org": 4,
    }

"""The one way into the event log."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from certportal.accounts.models import User
from submissions.models import ChainHead, Event, Submission
from submissions.models.events import GENESIS

CHAIN = 1  # there is one chain for the whole portal


def record_event(
    *,
    action: str,
    actor: User | None,
    submission: Submission | None = None,
    from_status: str = "",
    to_status: str = "",
    reason: str = "",
    data: dict[str, Any] | None = None,
) -> Event:
    """Add an event to the chain, in the caller's transaction or one of its own."""
    with transaction.atomic():
        ChainHead.objects.get_or_create(pk=CHAIN)
        head = ChainHead.objects.select_for_update().get(pk=CHAIN)
        event = Event(
            submission=submission,
            # Stored to the microsecond on both databases, so the hash can be computed again later.
            at=timezone.now(),
            actor=actor,
            action=action,
            from_status=from_status,
            to_status=to_status,
            reason=reason,
            data=data or {},
            previous_hash=head.hash,
        )
        event.hash = event.seal()
        event.save()
        head.hash = event.hash
        head.length += 1
        head.save()
        return event


def _head() -> tuple[str, int]:
    head = ChainHead.objects.filter(pk=CHAIN).first()
    return (head.hash, head.length) if head else (GENESIS, 0)


def verify_chain() -> tuple[int, list[str]]:
    """Recompute the chain; returns how many events were read and what is wrong with them.

    The portal may go on writing meanwhile: events beyond the end as it was at the start need not be seen.
    """
    problems = []
    end_hash, end_length = _head()
    previous, count, hash_at_end = GENESIS, 0, GENESIS
    for event in Event.objects.select_related("submission").order_by("pk").iterator(chunk_size=1000):
        count += 1
        if event.previous_hash != previous:
            problems.append(f"event {event.pk}: the event before it was removed, added or changed")
        if event.seal() != event.hash:
            problems.append(f"event {event.pk}: its content was changed")
        previous = event.hash
        if count == end_length:
            hash_at_end = event.hash
    if count < end_length or count > _head()[1]:
        problems.append(f"the log has {count} events, {_head()[1]} were written")
    elif hash_at_end != end_hash:
        problems.append("the newest event is not the one that was written last")
    return count, problems

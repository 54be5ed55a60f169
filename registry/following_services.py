"""Signing up, confirming, leaving, and telling followers of a change exactly once.

The way of a change: whoever records it writes an announcement in the same transaction; the announcement
becomes one delivery for each subscription that follows the certificate; deliveries of one subscription are
sent by whoever holds its lease. Each step is a row that waits to be done, so a message of the broker that
got lost costs minutes and no news.
"""

from __future__ import annotations

import hmac
import json
import secrets
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from smtplib import SMTPException
from typing import Any

import structlog
from celery import current_app
from cryptography.fernet import InvalidToken
from django.conf import settings
from django.core import signing
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.crypto import get_random_string

from registry import following_mails as mails
from registry import following_webhooks as webhooks
from registry.following_models import Announcement, Delivery, Subscription
from registry.following_payloads import confirmation_body, delivery_body

log = structlog.get_logger(__name__)

Channel, Status = Subscription.Channel, Subscription.Status

LINK_HOLDS = timedelta(days=7)
# A second link is sent no sooner, whoever asks for it.
LINK_AGAIN = timedelta(minutes=10)
# So many unconfirmed subscriptions may wait for one address: a form must not fill somebody's mailbox.
WAITING_AT_MOST = 5
LEASE = timedelta(minutes=5)
MAIL_AT_MOST, CALLS_AT_MOST = 100, 20
PAUSES = tuple(
    timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 3 * 60, 6 * 60, 12 * 60, 24 * 60, 24 * 60)
)
FAILURES_AT_MOST = len(PAUSES) + 1
# What took effect longer ago is history that is being taken over, and no news.
NEWS_FOR = timedelta(days=30)
AT_ONCE = 200  # announcements in one transaction
GONE = 410

ANNOUNCE = "registry.following_tasks.announce_changes_task"
SEND_LINK = "registry.following_tasks.send_link_task"
DELIVER = "registry.following_tasks.deliver_task"


def _ring(task: str, *args: int) -> None:
    """Say "look now" once the transaction stands; whatever is lost, the reconciler finds."""
    transaction.on_commit(lambda: current_app.send_task(task, args=args), robust=True)


# --- Links -------------------------------------------------------------------------------------------


def link_token(subscription: Subscription, purpose: str) -> str:
    """What stands in a link of this subscription. One that confirms runs out, the others do not."""
    value = f"{subscription.pk}.{subscription.nonce}"
    salt = f"registry.following.{purpose}"
    if purpose == "confirm":
        return signing.TimestampSigner(salt=salt).sign(value)
    return signing.Signer(salt=salt).sign(value)


def subscription_of(token: str, purpose: str) -> Subscription | None:
    """Whose link it is. None where the subscription is gone; raises signing.BadSignature."""
    salt = f"registry.following.{purpose}"
    if purpose == "confirm":
        value = signing.TimestampSigner(salt=salt).unsign(token, max_age=LINK_HOLDS)
    else:
        value = signing.Signer(salt=salt).unsign(token)
    pk, _dot, nonce = value.partition(".")
    return Subscription.objects.filter(pk=int(pk), nonce=nonce).first()


# --- Signing up and leaving ---------------------------------------------------------------------------


def sign_up_by_mail(
    *, email: str, query: str, kinds: Sequence[str], language: str, now: datetime | None = None
) -> None:
    """Have a link sent to the address. Nothing here, nor how long it takes, says whether it is known."""
    now = now or timezone.now()
    email = email.strip().lower()
    try:
        with transaction.atomic():
            found = Subscription.objects.select_for_update().filter(email=email, query=query).first()
            if found is None:
                waiting = Subscription.objects.filter(email=email, status=Status.PENDING).count()
                if waiting >= WAITING_AT_MOST:
                    log.info("sign-up ignored: too many wait for this address")
                    return
                found = Subscription.objects.create(
                    channel=Channel.EMAIL,
                    email=email,
                    query=query,
                    kinds=" ".join(kinds),
                    language=language,
                    created_at=now,
                )
            else:
                if found.status == Status.PENDING:
                    found.kinds, found.language = " ".join(kinds), language
                if found.link_sent_at and found.link_sent_at <= now - LINK_AGAIN:
                    found.link_sent_at = None
                found.save(update_fields=["kinds", "language", "link_sent_at"])
            _ring(SEND_LINK, found.pk)
    except IntegrityError:
        # The same sign-up, sent twice at once: the other one does it.
        log.info("sign-up ignored: it is already there")


@transaction.atomic
def sign_up_by_webhook(
    *, url: str, query: str, kinds: Sequence[str], language: str, now: datetime | None = None
) -> tuple[Subscription, str]:
    """Returns the subscription and its secret, which is shown this once. The receiver is challenged next."""
    secret = webhooks.new_secret()
    subscription = Subscription.objects.create(
        channel=Channel.WEBHOOK,
        url=url,
        secret=webhooks.sealed(secret),
        challenge=get_random_string(43),
        query=query,
        kinds=" ".join(kinds),
        language=language,
        created_at=now or timezone.now(),
    )
    _ring(SEND_LINK, subscription.pk)
    return subscription, secret


def confirm(*, subscription: Subscription, now: datetime | None = None) -> None:
    """From now on it is told. Confirming again changes nothing."""
    Subscription.objects.filter(pk=subscription.pk, status=Status.PENDING).update(
        status=Status.ACTIVE,
        confirmed_at=now or timezone.now(),
        failures=0,
        next_attempt_at=None,
        last_error="",
    )


def stop(*, subscription: Subscription) -> None:
    """Forget it, and the address with it."""
    Subscription.objects.filter(pk=subscription.pk).delete()


def change_kinds(*, subscription: Subscription, kinds: Sequence[str]) -> None:
    Subscription.objects.filter(pk=subscription.pk).update(kinds=" ".join(kinds))


def try_again(*, subscription: Subscription, now: datetime | None = None) -> None:
    """Begin anew after failures: challenge who was not confirmed, resume who was switched off."""
    rows = Subscription.objects.filter(pk=subscription.pk)
    fresh = {"failures": 0, "next_attempt_at": None, "last_error": "", "disabled_at": None}
    if rows.filter(status=Status.PENDING).update(**fresh, link_sent_at=None):
        _ring(SEND_LINK, subscription.pk)
    elif rows.filter(status=Status.DISABLED).update(**fresh, status=Status.ACTIVE):
        _ring(DELIVER, subscription.pk)


def everything_of(subscription: Subscription) -> list[Subscription]:
    """What the same address follows; of a webhook only itself."""
    rows = Subscription.objects.order_by("pk")
    found = rows.filter(email=subscription.email) if subscription.email else rows.filter(pk=subscription.pk)
    return list(found)


# --- Links and challenges -------------------------------------------------------------------------------


def send_link(*, subscription_id: int, now: datetime | None = None) -> bool:
    """Send the mail with the link, or the challenge to the receiver, if it has still to be sent."""
    now = now or timezone.now()
    # Whoever sets the time sends; nobody else does.
    if not Subscription.objects.unanswered(now).filter(pk=subscription_id).update(link_sent_at=now):
        return False
    subscription = Subscription.objects.get(pk=subscription_id)
    if subscription.channel == Channel.WEBHOOK:
        error = _challenge(subscription, now)
    else:
        error = _mail(mails.link_message(subscription))
    if not error:
        return True
    failures = subscription.failures + 1
    again = None if failures < FAILURES_AT_MOST else now
    Subscription.objects.filter(pk=subscription_id).update(
        link_sent_at=again, failures=failures, last_error=error, next_attempt_at=now + _pause(failures)
    )
    return False


def _challenge(subscription: Subscription, now: datetime) -> str:
    """Ask the receiver to send the challenge back; returns what went wrong."""
    answer = _call(
        subscription,
        id_=f"confirm-{subscription.pk}-{secrets.token_hex(8)}",
        now=now,
        body=confirmation_body(subscription),
    )
    if answer.error:
        return answer.error
    if not _echoes(answer.body, subscription.challenge):
        return "the answer does not hold the challenge"
    confirm(subscription=subscription, now=now)
    return ""


def _echoes(body: bytes, challenge: str) -> bool:
    text = body.decode("utf-8", errors="replace").strip()
    if text.startswith("{"):
        try:
            text = str(json.loads(text).get("challenge", ""))
        except ValueError:
            return False
    return hmac.compare_digest(text.encode(), challenge.encode())


# --- Announcing -------------------------------------------------------------------------------------------


def announce(event: Any) -> None:
    """Write down that followers are to be told of `event`, in the transaction that records it."""
    if event.effective_on < timezone.now().date() - NEWS_FOR:
        return
    # What is embargoed or dated ahead waits until the public may know it.
    due_on = max(event.effective_on, event.certificate.issued_on)
    Announcement.objects.create(event=event, due_on=due_on)
    if Subscription.objects.active().exists():
        _ring(ANNOUNCE)


def announce_changes(*, now: datetime | None = None) -> list[int]:
    """Make deliveries of every announcement that is due; returns the subscriptions that have some."""
    now = now or timezone.now()
    touched: set[int] = set()
    while True:
        with transaction.atomic():
            rows = list(
                Announcement.due(now.date())
                .select_for_update(of=("self",))
                .select_related("event")
                .order_by("due_on", "pk")[:AT_ONCE]
            )
            if not rows:
                break
            touched |= _fan_out([row.event for row in rows], now)
            Announcement.objects.filter(pk__in=[row.pk for row in rows]).update(announced_at=now)
    for pk in sorted(touched):
        _ring(DELIVER, pk)
    return sorted(touched)


def _fan_out(events: Sequence[Any], now: datetime) -> set[int]:
    """One delivery for each of `events` and each subscription that follows it."""
    from registry.following import Scope

    by_certificate: dict[int, list[Any]] = {}
    for event in events:
        by_certificate.setdefault(event.certificate_id, []).append(event)
    touched: set[int] = set()
    # Many follow the same: each filter is asked once, whoever uses it.
    for query in Subscription.objects.active().order_by().values_list("query", flat=True).distinct():
        followed = Scope.kept(query).certificates().filter(pk__in=by_certificate)
        found = [event for pk in followed.values_list("pk", flat=True) for event in by_certificate[pk]]
        if not found:
            continue
        deliveries = [
            Delivery(subscription=subscription, event=event, created_at=now)
            for subscription in Subscription.objects.active().filter(query=query).iterator()
            for event in sorted(found, key=lambda event: event.pk)
            if subscription.wants(event.kind)
        ]
        Delivery.objects.bulk_create(deliveries, batch_size=500, ignore_conflicts=True)
        touched.update(delivery.subscription_id for delivery in deliveries)
    return touched


# --- Delivering -------------------------------------------------------------------------------------------


def deliver(*, subscription_id: int, now: datetime | None = None) -> int:
    """Send what waits for the subscription; returns how many changes were told.

    Only one at a time does so for a subscription: whoever holds the lease.
    """
    now = now or timezone.now()
    lease = uuid.uuid4()
    mine = Subscription.objects.waiting(now).filter(pk=subscription_id)
    if not mine.update(lease=lease, leased_until=now + LEASE):
        return 0
    subscription = Subscription.objects.get(pk=subscription_id)
    try:
        if subscription.channel == Channel.EMAIL:
            told = _deliver_by_mail(subscription, now)
        else:
            told = _deliver_by_webhook(subscription, now)
    finally:
        Subscription.objects.filter(pk=subscription_id, lease=lease).update(lease=None, leased_until=None)
    if told and Subscription.objects.waiting(now).filter(pk=subscription_id).exists():
        _ring(DELIVER, subscription_id)
    return told


def _waiting_for(subscription: Subscription) -> Any:
    rows = Delivery.objects.filter(subscription=subscription, sent_at=None)
    return rows.select_related("event__certificate").order_by("event")


def _deliver_by_mail(subscription: Subscription, now: datetime) -> int:
    """One mail for all that waits. A mail that may have gone out is sent again with the same Message-ID."""
    begun = _waiting_for(subscription).filter(batch__isnull=False).first()
    if begun is not None:
        batch = begun.batch
        rows = list(_waiting_for(subscription).filter(batch=batch))
    else:
        batch = uuid.uuid4()
        rows = list(_waiting_for(subscription)[:MAIL_AT_MOST])
        Delivery.objects.filter(pk__in=[row.pk for row in rows]).update(batch=batch)
    mine = Delivery.objects.filter(pk__in=[row.pk for row in rows])
    error = _mail(mails.changes_message(subscription, [row.event for row in rows], batch=str(batch)))
    if error:
        mine.update(attempts=F("attempts") + 1, attempted_at=now, error=error)
        _note_failure(subscription, error, now)
        return 0
    mine.update(attempts=F("attempts") + 1, attempted_at=now, sent_at=now, error="")
    _note_success(subscription)
    return len(rows)


def _deliver_by_webhook(subscription: Subscription, now: datetime) -> int:
    """Each change by itself and in order; what fails holds up what comes after it."""
    told = 0
    for row in _waiting_for(subscription)[:CALLS_AT_MOST]:
        # The time that the calls before took counts.
        moment = max(now, timezone.now())
        if row.batch is None:
            row.batch = uuid.uuid4()
            Delivery.objects.filter(pk=row.pk).update(batch=row.batch)
        body = delivery_body(row.event, id_=str(row.batch))
        answer = _call(subscription, id_=str(row.batch), now=moment, body=body)
        Delivery.objects.filter(pk=row.pk).update(
            attempts=F("attempts") + 1,
            attempted_at=moment,
            sent_at=moment if answer.is_taken else None,
            status_code=answer.status_code,
            error=answer.error,
        )
        if not answer.is_taken:
            _note_failure(subscription, answer.error, moment, is_gone=answer.status_code == GONE)
            break
        _note_success(subscription)
        told += 1
    return told


def _call(subscription: Subscription, *, id_: str, now: datetime, body: bytes) -> webhooks.Answer:
    secret = webhooks.opened(subscription.secret)
    if secret is None:
        log.error("secret of a webhook not readable", subscription=subscription.pk)
        return webhooks.Answer(None, error="the portal cannot sign: a key is missing")
    return webhooks.post(subscription.url, id_=id_, timestamp=int(now.timestamp()), body=body, secret=secret)


def _mail(message: Any) -> str:
    """Send `message`; returns what went wrong."""
    try:
        message.send()
    except (OSError, SMTPException) as error:
        log.warning("mail to a follower not sent", error=type(error).__name__)
        return f"not sent ({type(error).__name__})"
    return ""


def _pause(failures: int) -> timedelta:
    return PAUSES[min(failures, len(PAUSES)) - 1]


def _note_success(subscription: Subscription) -> None:
    subscription.failures = 0
    Subscription.objects.filter(pk=subscription.pk).update(failures=0, last_error="", next_attempt_at=None)


def _note_failure(subscription: Subscription, error: str, now: datetime, *, is_gone: bool = False) -> None:
    subscription.failures += 1
    changes: dict[str, Any] = {
        "failures": subscription.failures,
        "last_error": error,
        "next_attempt_at": now + _pause(subscription.failures),
    }
    if subscription.failures >= FAILURES_AT_MOST or is_gone:
        changes |= {"status": Status.DISABLED, "disabled_at": now}
        log.info("subscription switched off", subscription=subscription.pk, error=error)
    Subscription.objects.filter(pk=subscription.pk).update(**changes)


# --- Finding what was lost, and forgetting ---------------------------------------------------------


def reconcile_following(*, now: datetime | None = None) -> dict[str, int]:
    """Ring for everything that waits, and forget what has had its time."""
    now = now or timezone.now()
    announced = announce_changes(now=now)
    links = list(Subscription.objects.unanswered(now).values_list("pk", flat=True))
    waiting = list(Subscription.objects.waiting(now).values_list("pk", flat=True))
    for pk in links:
        _ring(SEND_LINK, pk)
    for pk in set(waiting) - set(announced):
        _ring(DELIVER, pk)
    return {"announced": len(announced), "links": len(links), "waiting": len(waiting)} | forget(now=now)


def forget(*, now: datetime) -> dict[str, int]:
    """Delete addresses that were not confirmed or are no longer reached, and what was told long ago."""
    kept_for = settings.FOLLOW_LOG_RETENTION
    unwanted = Subscription.objects.filter(
        Q(status=Status.PENDING, created_at__lt=now - LINK_HOLDS)
        | Q(status=Status.DISABLED, disabled_at__lt=now - kept_for)
    )
    forgotten = unwanted.count()
    unwanted.delete()
    Delivery.objects.filter(sent_at__lt=now - kept_for).delete()
    Announcement.objects.filter(announced_at__lt=now - kept_for).delete()
    return {"forgotten": forgotten}


def forget_address(address: str) -> int:
    """Delete every subscription of a mail address or a receiver; returns how many."""
    address = address.strip()
    if not address:
        return 0
    found = Subscription.objects.filter(Q(email=address.lower()) | Q(url=address))
    number = found.count()
    found.delete()
    return number


def encrypt_secrets_anew() -> int:
    """Encrypt every webhook's secret with the first of FIELD_KEYS; returns how many.

    A secret that none of them opens stays as it is: its webhook fails, and says why.
    """
    number = 0
    for pk, kept in Subscription.objects.exclude(secret="").values_list("pk", "secret"):
        try:
            anew = webhooks.sealed_anew(kept)
        except InvalidToken:
            log.warning("secret of a webhook not readable", subscription=pk)
            continue
        number += Subscription.objects.filter(pk=pk, secret=kept).update(secret=anew)
    return number

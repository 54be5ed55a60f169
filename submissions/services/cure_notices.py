"""What the vendor is told while the cure clock runs: the notice, a reminder a week before its end, the end.

The registry keeps the clock and knows no addresses; here stands who is to be told. Each mail is written
down in the event log in the transaction that sends it: nothing is told twice, and a mail that could not be
sent is tried again with the next turn.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from smtplib import SMTPException

import structlog
from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction

from registry.models import CURE_DAYS, Certificate, CertificateEvent
from submissions.models import Event, Submission
from submissions.services.certificates import people_to_tell, vendor_of
from submissions.services.events import record_event

log = structlog.get_logger(__name__)

REMINDED_BEFORE = timedelta(days=7)
# A revocation that is older was told, or there was nobody to tell.
TOLD_WITHIN = timedelta(days=30)
NOTICE, REMINDER, REVOKED = "certificate_notice", "certificate_cure_reminder", "certificate_revoked"


def send_cure_mails(*, today: date, only: str = "") -> list[str]:
    """Send every mail that is due; returns the numbers of the certificates whose vendors were told."""
    told = []
    for number, send in [*_notices_unserved(today), *_reminders_due(today), *_revocations_untold(today)]:
        if only and number != only:
            continue
        try:
            with transaction.atomic():
                # Whoever else is at it waits here, and then sees that it is done.
                certificate = Certificate.objects.select_for_update().get(number=number)
                if send(certificate):
                    told.append(number)
        except (OSError, SMTPException) as error:
            log.warning("mail of the cure clock not sent", number=number, error=type(error).__name__)
    return told


def _notices_unserved(today: date) -> list[tuple[str, Callable[[Certificate], bool]]]:
    rows = Certificate.objects.filter(status=Certificate.Status.SUSPENDED, cure_by__gt=today)

    def serve(certificate: Certificate) -> bool:
        day = certificate.cure_by
        notice = certificate.history.filter(kind=CertificateEvent.Kind.SUSPENDED).last()
        if certificate.status_as_of(today) != Certificate.Status.SUSPENDED or day is None or notice is None:
            return False
        text = (
            f"The certificate {_named(certificate)} was suspended on {_day(notice.effective_on)}:\n\n"
            f"{notice.reason}\n\n"
            f"You have {CURE_DAYS} days to cure this, until the end of {_day(day - timedelta(days=1))}; "
            "otherwise the certificate is revoked.\n"
        )
        return _tell_once(certificate, NOTICE, day, "was suspended", text)

    return [(number, serve) for number in rows.order_by("pk").values_list("number", flat=True)]


def _reminders_due(today: date) -> list[tuple[str, Callable[[Certificate], bool]]]:
    rows = Certificate.objects.filter(
        status=Certificate.Status.SUSPENDED, cure_by__gt=today, cure_by__lte=today + REMINDED_BEFORE
    )

    def remind(certificate: Certificate) -> bool:
        day = certificate.cure_by
        if certificate.status_as_of(today) != Certificate.Status.SUSPENDED or day is None:
            return False
        # Where it expires first there is nothing left to be revoked.
        if day >= certificate.expires_on:
            return False
        notice = certificate.history.filter(kind=CertificateEvent.Kind.SUSPENDED).last()
        text = (
            f"The certificate {_named(certificate)} is suspended. The notice said:\n\n"
            f"{notice.reason if notice else ''}\n\n"
            f"The time to cure this ends with {_day(day - timedelta(days=1))}. Unless the accreditation "
            f"group has reinstated the certificate by then, it is revoked on {_day(day)}.\n"
        )
        return _tell_once(certificate, REMINDER, day, "will be revoked soon", text)

    return [(number, remind) for number in rows.order_by("pk").values_list("number", flat=True)]


def _revocations_untold(today: date) -> list[tuple[str, Callable[[Certificate], bool]]]:
    rows = CertificateEvent.objects.filter(
        kind=CertificateEvent.Kind.REVOKED,
        cure_by__isnull=False,
        effective_on__lte=today,
        effective_on__gte=today - TOLD_WITHIN,
    )

    def tell(certificate: Certificate) -> bool:
        event = certificate.history.get(kind=CertificateEvent.Kind.REVOKED)
        text = (
            f"The certificate {_named(certificate)} was revoked on {_day(event.effective_on)}:\n\n"
            f"{event.reason}\n\n"
            "The right to use the mark has ended. The platform can apply again with a new submission.\n"
        )
        return _tell_once(certificate, REVOKED, event.effective_on, "was revoked", text)

    return [(number, tell) for number in rows.order_by("pk").values_list("certificate__number", flat=True)]


def _tell_once(certificate: Certificate, action: str, day: date, subject: str, text: str) -> bool:
    data = {"number": certificate.number, "cure_by": day.isoformat()}
    if Event.objects.filter(
        action=action, data__number=data["number"], data__cure_by=data["cure_by"]
    ).exists():
        return False
    vendor = vendor_of(certificate)
    recipients = people_to_tell(vendor) if vendor else []
    # A revocation stands in the log also where there is nobody to tell.
    if not recipients and action != REVOKED:
        return False
    if recipients:
        send_mail(
            f"[{settings.SITE_NAME}] {certificate.number} {subject}",
            f"{text}\n{settings.SITE_URL}{certificate.get_absolute_url()}\n",
            None,
            recipients,
        )
    record_event(
        action=action,
        actor=None,
        submission=Submission.objects.filter(uuid=certificate.source).first(),
        data=data,
    )
    return bool(recipients)


def _named(certificate: Certificate) -> str:
    return f"{certificate.number} of {certificate.platform_name} {certificate.platform_version}"


def _day(day: date) -> str:
    return f"{day:%-d %B %Y} (UTC)"

"""The mails of the cure clock: at the notice, a week before the end, and at the revocation."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone

from registry import services as registry
from registry.models import Certificate
from submissions.models import Event, Submission
from submissions.services.certificates import Change, change_certificate
from submissions.services.cure_notices import send_cure_mails
from submissions.services.events import verify_chain
from tests.registry.factories import CertificateFactory
from tests.submissions.factories import owner_of
from tests.submissions.reviewing import certified, lead

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def submission() -> Submission:
    return certified()


@pytest.fixture
def suspended(submission: Submission, django_capture_on_commit_callbacks: Any) -> Certificate:
    """A certificate whose vendor was served a notice today; the outbox holds that notice."""
    mail.outbox.clear()
    with django_capture_on_commit_callbacks(execute=True):
        change_certificate(
            certificate=Certificate.objects.get(), change=Change.SUSPEND, actor=lead(), reason="Link is dead."
        )
    return Certificate.objects.get()


def ends(certificate: Certificate) -> date:
    assert certificate.cure_by is not None
    return certificate.cure_by


def sent(today: date) -> list[tuple[str, list[str]]]:
    mail.outbox.clear()
    send_cure_mails(today=today)
    return [(message.subject.partition("] ")[2], message.to) for message in mail.outbox]


def test_notice_names_the_reason_and_the_last_day(suspended: Certificate, submission: Submission) -> None:
    assert ends(suspended) == timezone.now().date() + 30 * DAY
    [notice] = mail.outbox
    assert notice.to == [owner_of(submission.organization).email]
    assert "Link is dead." in notice.body
    last_day = ends(suspended) - DAY
    assert f"until the end of {last_day:%-d %B %Y} (UTC)" in notice.body


def test_notice_that_could_not_be_sent_is_sent_with_the_next_turn(
    submission: Submission, django_capture_on_commit_callbacks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise ConnectionRefusedError

    certificate, today = Certificate.objects.get(), timezone.now().date()
    with monkeypatch.context() as patched:
        patched.setattr("submissions.services.cure_notices.send_mail", refuse)
        with django_capture_on_commit_callbacks(execute=True):
            change_certificate(
                certificate=certificate, change=Change.SUSPEND, actor=lead(), reason="Link is dead."
            )
    assert Certificate.objects.get().status == "suspended"
    owner = owner_of(submission.organization).email
    assert sent(today) == [(f"{certificate.number} was suspended", [owner])]
    assert sent(today) == []


def test_vendor_is_reminded_once_a_week_before_the_end(
    suspended: Certificate, submission: Submission
) -> None:
    day, owner = ends(suspended), owner_of(submission.organization).email
    assert sent(day - 8 * DAY) == []
    assert sent(day - 7 * DAY) == [(f"{suspended.number} will be revoked soon", [owner])]
    assert "Link is dead." in mail.outbox[0].body
    assert f"it is revoked on {day:%-d %B %Y}" in mail.outbox[0].body
    assert sent(day - 6 * DAY) == []
    event = Event.objects.get(action="certificate_cure_reminder")
    assert (event.submission, event.actor) == (submission, None)


def test_late_reminder_is_still_sent_before_the_end(suspended: Certificate) -> None:
    assert len(sent(ends(suspended) - DAY)) == 1


def test_cured_certificate_needs_no_reminder(suspended: Certificate) -> None:
    day = ends(suspended)
    registry.reinstate_certificate(certificate=suspended, reason="Back.")
    assert sent(day - 7 * DAY) == []
    registry.revoke_uncured(today=day)
    assert sent(day) == []


def test_second_notice_is_reminded_of_anew(suspended: Certificate) -> None:
    first = ends(suspended)
    assert len(sent(first - 7 * DAY)) == 1
    registry.reinstate_certificate(certificate=suspended, reason="Back.", on=first - 5 * DAY)
    registry.suspend_certificate(certificate=suspended, reason="Gone again.", on=first)
    number = suspended.number
    assert [subject for subject, _to in sent(first)] == [f"{number} was suspended"]
    assert [subject for subject, _to in sent(first + 23 * DAY)] == [f"{number} will be revoked soon"]
    assert "Gone again." in mail.outbox[0].body


def test_vendor_is_told_of_the_revocation_once(suspended: Certificate, submission: Submission) -> None:
    day, owner = ends(suspended), owner_of(submission.organization).email
    assert sent(day) == []  # the task has not recorded it yet
    registry.revoke_uncured(today=day)
    assert sent(day) == [(f"{suspended.number} was revoked", [owner])]
    assert registry.NOT_CURED in mail.outbox[0].body
    assert sent(day + DAY) == []
    assert Event.objects.filter(action="certificate_revoked").count() == 1
    assert verify_chain()[1] == []


def test_revocation_by_a_person_is_not_told_twice(
    suspended: Certificate, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        change_certificate(certificate=suspended, change=Change.REVOKE, actor=lead(), reason="At once.")
    assert sent(timezone.now().date()) == []


def test_mail_that_could_not_be_sent_is_sent_with_the_next_turn(
    suspended: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise ConnectionRefusedError

    day = ends(suspended) - 7 * DAY
    with monkeypatch.context() as patched:
        patched.setattr("submissions.services.cure_notices.send_mail", refuse)
        assert sent(day) == []
    assert not Event.objects.filter(action="certificate_cure_reminder").exists()
    assert len(sent(day)) == 1


def test_record_of_a_vendor_without_an_organization_is_revoked_without_mail() -> None:
    certificate = CertificateFactory(imported=True, on=timezone.now().date() - 40 * DAY)
    registry.suspend_certificate(certificate=certificate, reason="Gone.", on=timezone.now().date() - 31 * DAY)
    today = timezone.now().date()
    assert registry.revoke_uncured(today=today) == [certificate.number]
    assert sent(today) == []
    assert Event.objects.get(action="certificate_revoked").data["number"] == certificate.number

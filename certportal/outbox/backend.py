"""The mail backend of the embedded portal."""

from __future__ import annotations

from collections.abc import Sequence

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from certportal.outbox.models import OutboxMessage


class OutboxBackend(BaseEmailBackend):
    """Keeps every message in the database, where the outbox page shows it."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        OutboxMessage.objects.bulk_create(
            OutboxMessage(
                sender=message.from_email or "",
                recipients=", ".join(message.recipients()),
                subject=str(message.subject),
                body=str(message.body),
            )
            for message in email_messages
        )
        return len(email_messages)

"""Mail the embedded portal kept, for operators."""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin

from certportal.outbox.models import OutboxMessage
from certportal.records import OperatorAdmin


class OutboxMessageAdmin(OperatorAdmin):
    """Messages that would have been sent."""

    list_display = ("written_at", "recipients", "subject")
    search_fields = ("recipients", "subject", "body")
    fields = ("written_at", "sender", "recipients", "subject", "body")


if settings.EMBEDDED:
    admin.site.register(OutboxMessage, OutboxMessageAdmin)

from django.apps import AppConfig


class OutboxConfig(AppConfig):
    name = "certportal.outbox"
    label = "outbox"
    verbose_name = "Outbox"

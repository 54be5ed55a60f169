"""The portal's house: settings, addresses, accounts, Celery, health, embedded mode."""

from certportal.celery import app as celery_app

__all__ = ["celery_app"]
